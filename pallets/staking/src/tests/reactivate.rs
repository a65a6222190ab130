//! Coming back into service.

use cuckoo_primitives::{Role, CUC};
use frame_support::{assert_noop, assert_ok};

use super::support::*;
use crate::{mock::*, Amount, Error, Event, ReleasedWorkers, WorkerOwners, MAX_RELEASED_WORKERS};

fn reactivate(who: u8, key: u32) -> sp_runtime::DispatchResult {
	Staking::reactivate(signed(who), worker(key), proof_now(key, who))
}

/// Brings an operator back whose own stake is enough, with a worker key that is not its present one.
fn assert_reactivate(who: u8, key: u32) {
	let before = Snapshot::take(who, who);
	let record = before.record.clone().unwrap();
	take_events();
	assert_ok!(reactivate(who, key));
	let after = Snapshot::take(who, who);
	let counted = after.pool.value;

	let mut expected = before.clone();
	expected.nonce += 1;
	expected
		.released
		.retain(|released| *released != worker(key));
	if let Some(former) = record.worker.filter(|former| *former != worker(key)) {
		expected.released.push(former);
	}
	let place = Role::ALL
		.iter()
		.position(|role| *role == record.role)
		.unwrap();
	expected.totals[place] = expected.totals[place]
		.replaced(None, Some(counted))
		.unwrap();
	expected.ordered = record.role != Role::Miner;
	let new = expected.record.as_mut().unwrap();
	new.worker = Some(worker(key));
	(new.retired, new.suspended, new.counted) = (None, None, Some(counted));
	assert_eq!(after, expected);
	let owner = WorkerOwners::<Test>::get(worker(key)).unwrap();
	assert_eq!((owner.operator, owner.released), (account(who), None));
	assert_eq!(
		take_events(),
		[
			Event::OperatorActivated {
				operator: account(who),
				role: record.role,
				total_stake: counted,
			},
			Event::OperatorReactivated {
				operator: account(who),
				role: record.role,
				worker: worker(key),
			},
		]
	);
}

/// Slashes the miner by a tenth of its stake.
fn slash() {
	assert_report(BOB, MINER, offence_now(0), 0);
	pass_eras(SLASH_DEFER_ERAS);
	assert_ok!(Staking::apply_slashes(signed(BOB), 1));
}

#[test]
fn a_retired_operator_comes_back_with_its_voters() {
	run(|| {
		assert_vote(ALICE, VALIDATOR, 100 * CUC);
		assert_retire(VALIDATOR);
		assert_reactivate(VALIDATOR, 50);
		assert_vote(ALICE, VALIDATOR, 100 * CUC);
	});
	// With its former worker key.
	run(|| {
		assert_retire(MINER);
		assert_reactivate(MINER, MINER.into());
		assert!(ReleasedWorkers::<Test>::get(account(MINER)).is_empty());
	});
}

#[test]
fn a_slashed_operator_comes_back() {
	run(|| {
		slash();
		assert_reactivate(MINER, 50);
	});
	// With the key that it has, and a new proof of it.
	run(|| {
		slash();
		let used = proof_now(MINER.into(), MINER);
		assert_reactivate(MINER, MINER.into());
		assert_retire(MINER);
		assert_noop!(
			Staking::reactivate(signed(MINER), worker(MINER.into()), used),
			Error::<Test>::WorkerProofInvalid
		);
	});
	run(|| {
		slash();
		assert_retire(MINER);
		assert_reactivate(MINER, 50);
	});
}

#[test]
fn nobody_comes_back_while_a_slash_waits() {
	run(|| {
		assert_report(BOB, MINER, offence_now(0), 0);
		assert_noop!(reactivate(MINER, 50), Error::<Test>::SlashPending);
		assert_retire(MINER);
		assert_noop!(reactivate(MINER, 50), Error::<Test>::SlashPending);
		pass_eras(SLASH_DEFER_ERAS);
		// Being due is not being applied.
		assert_noop!(reactivate(MINER, 50), Error::<Test>::SlashPending);
		assert_ok!(Staking::apply_slashes(signed(BOB), 1));
		assert_reactivate(MINER, 50);
	});
}

#[test]
fn an_operator_in_service_has_nothing_to_come_back_from() {
	run(|| {
		assert_noop!(reactivate(MINER, 50), Error::<Test>::OperatorInService);
		assert_noop!(reactivate(ALICE, 50), Error::<Test>::OperatorNotFound);
		// Nor has one that has lost too much, and was not suspended for it.
		lower(MINER, MINER_STAKE / 2);
		assert!(!record(MINER).is_active());
		assert_noop!(reactivate(MINER, 50), Error::<Test>::OperatorInService);
	});
}

#[test]
fn who_has_too_little_is_in_service_and_not_active() {
	run(|| {
		assert_retire(MINER);
		assert_unstake(MINER, Amount::Value(MINER_STAKE / 2));
		take_events();
		assert_ok!(reactivate(MINER, 50));
		assert!(matches!(
			take_events()[..],
			[Event::OperatorReactivated { .. }]
		));
		assert!(record(MINER).takes_stake() && !record(MINER).is_active());
		assert_ok!(Staking::stake_more(signed(MINER), MINER_STAKE / 2));
		assert!(record(MINER).is_active());
	});
}

#[test]
fn a_worker_key_is_proven_and_free() {
	run(|| {
		assert_retire(MINER);
		assert_noop!(
			Staking::reactivate(signed(MINER), worker(50), proof_now(51, MINER)),
			Error::<Test>::WorkerProofInvalid
		);
		assert_noop!(
			Staking::reactivate(signed(MINER), worker(50), proof(50, MINER, 0)),
			Error::<Test>::WorkerProofInvalid
		);
		assert_noop!(
			reactivate(MINER, VALIDATOR.into()),
			Error::<Test>::WorkerAlreadyExists
		);
	});
}

#[test]
fn a_full_list_of_former_workers_leaves_those_to_come_back_with() {
	run(|| {
		for change in 0..MAX_RELEASED_WORKERS - 1 {
			assert_set_worker(MINER, 100 + change);
		}
		assert_retire(MINER);
		assert_noop!(
			reactivate(MINER, 200),
			Error::<Test>::MaxReleasedWorkersExceeded
		);
		assert_reactivate(MINER, 100);
	});
	run(|| {
		for change in 0..MAX_RELEASED_WORKERS - 1 {
			assert_set_worker(MINER, 100 + change);
		}
		let key = 100 + MAX_RELEASED_WORKERS - 2;
		let evidence = two_results(MINER, key, block(), 0);
		assert_report(BOB, MINER, evidence, 0);
		pass_eras(SLASH_DEFER_ERAS);
		assert_ok!(Staking::apply_slashes(signed(BOB), 1));
		assert_noop!(
			reactivate(MINER, 200),
			Error::<Test>::MaxReleasedWorkersExceeded
		);
		// With its present key it needs no room.
		assert_reactivate(MINER, key);
	});
}
