//! Worker keys: bound with a proof, unique, attributable for as long as an offence can be reported.

use cuckoo_primitives::{
	signing::{sign, WorkerProof},
	Role, H256,
};
use frame_support::{assert_noop, assert_ok};

use super::support::*;
use crate::{mock::*, Error, ReleasedWorkers, WorkerOwners, MAX_RELEASED_WORKERS};

fn set_worker(who: u8, key: u32) -> sp_runtime::DispatchResult {
	Staking::set_worker(signed(who), worker(key), proof_now(key, who))
}

#[test]
fn a_worker_is_replaced() {
	run(|| {
		assert_set_worker(MINER, 50);
		assert_eq!(
			Staking::operator_by_worker(worker(50)),
			Some(account(MINER))
		);
		assert_eq!(Staking::operator_by_worker(worker(MINER.into())), None);
		assert_eq!(Staking::worker_nonce(account(MINER)), 2);
	});
}

#[test]
fn a_proof_is_for_one_key_operator_chain_and_time() {
	run(|| {
		let invalid = || Error::<Test>::WorkerProofInvalid;
		let refuse = |signature| {
			assert_noop!(
				Staking::set_worker(signed(MINER), worker(50), signature),
				invalid()
			);
			assert_noop!(
				Staking::register(
					signed(ALICE),
					Role::Miner,
					worker(50),
					signature,
					MINER_STAKE,
					commission(),
					introduction()
				),
				invalid()
			);
		};
		// Another key's, another operator's, a nonce gone by and one to come.
		refuse(proof(51, MINER, 1));
		refuse(proof(50, BOB, 1));
		refuse(proof(50, MINER, 0));
		refuse(proof(50, MINER, 2));
		// Another chain's.
		let payload = WorkerProof {
			operator: account(MINER),
			nonce: 1,
		};
		refuse(sign(&H256::repeat_byte(1), &payload, &worker_key(50)));
		// Nobody's.
		refuse(Default::default());
		assert_set_worker(MINER, 50);
	});
}

#[test]
fn a_proof_is_not_replayed() {
	run(|| {
		let signature = proof_now(50, MINER);
		assert_ok!(Staking::set_worker(signed(MINER), worker(50), signature));
		assert_set_worker(MINER, 51);
		assert_noop!(
			Staking::set_worker(signed(MINER), worker(50), signature),
			Error::<Test>::WorkerProofInvalid
		);
		// With a new proof the operator takes its own former worker back.
		assert_set_worker(MINER, 50);
		assert_eq!(ReleasedWorkers::<Test>::get(account(MINER)).len(), 2);
	});
}

#[test]
fn a_worker_in_use_is_nobody_elses() {
	run(|| {
		for key in [MINER, VALIDATOR] {
			assert_noop!(
				set_worker(MINER, key.into()),
				Error::<Test>::WorkerAlreadyExists
			);
		}
		assert_noop!(
			Staking::register(
				signed(ALICE),
				Role::Miner,
				worker(MINER.into()),
				proof_now(MINER.into(), ALICE),
				MINER_STAKE,
				commission(),
				introduction()
			),
			Error::<Test>::WorkerAlreadyExists
		);
	});
}

#[test]
fn a_worker_let_go_of_stays_its_owners_until_the_unbonding_time_is_over() {
	run(|| {
		assert_set_worker(MINER, 50);
		let former = MINER.into();
		pass_eras(UNBONDING_ERAS - 1);
		assert_noop!(
			set_worker(VALIDATOR, former),
			Error::<Test>::WorkerAlreadyExists
		);
		let owner = WorkerOwners::<Test>::get(worker(former)).unwrap();
		let released = owner.released.map(|released| released.era);
		assert_eq!((owner.operator, released), (account(MINER), Some(0)));
		pass_eras(1);
		assert_set_worker(VALIDATOR, former);
		assert!(ReleasedWorkers::<Test>::get(account(MINER)).is_empty());
		assert_eq!(Staking::do_try_state(), Ok(()));
	});
}

#[test]
fn a_retired_operators_worker_is_released() {
	run(|| {
		assert_retire(MINER);
		assert_eq!(Staking::operator_by_worker(worker(MINER.into())), None);
		assert_noop!(
			set_worker(VALIDATOR, MINER.into()),
			Error::<Test>::WorkerAlreadyExists
		);
		pass_eras(UNBONDING_ERAS);
		assert_set_worker(VALIDATOR, MINER.into());
	});
}

#[test]
fn the_record_of_former_workers_is_bounded_and_cleaned() {
	run(|| {
		for change in 0..MAX_RELEASED_WORKERS - 1 {
			assert_set_worker(MINER, 100 + change);
		}
		// One more would leave no room to let go of it, and then the operator could not retire.
		assert_noop!(
			set_worker(MINER, 200),
			Error::<Test>::MaxReleasedWorkersExceeded
		);
		// Its own former worker takes a place off the list while the present one takes one.
		assert_set_worker(MINER, 100);
		pass_eras(UNBONDING_ERAS);
		let records = WorkerOwners::<Test>::iter().count();
		// All former workers are forgotten, the one that is let go of now is not.
		assert_set_worker(MINER, 201);
		assert_eq!(ReleasedWorkers::<Test>::get(account(MINER)).len(), 1);
		let forgotten = MAX_RELEASED_WORKERS as usize - 1;
		assert_eq!(
			WorkerOwners::<Test>::iter().count(),
			records + 1 - forgotten
		);
	});
}

#[test]
fn an_operator_with_a_full_record_can_still_retire() {
	run(|| {
		for change in 0..MAX_RELEASED_WORKERS - 1 {
			assert_set_worker(MINER, 100 + change);
		}
		assert_retire(MINER);
		let released = ReleasedWorkers::<Test>::get(account(MINER)).len();
		assert_eq!(released, MAX_RELEASED_WORKERS as usize);
	});
}
