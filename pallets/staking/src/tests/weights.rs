//! The estimates are there for every call, and follow what a call does.

use cuckoo_primitives::{Role, CUC};
use frame_support::{dispatch::GetDispatchInfo, weights::Weight, StorageHasher, Twox128};

use super::support::*;
use crate::{
	mock::*,
	weights::{
		withdraw_cost, Cost, REGISTER, RETIRE, SET_INTRODUCTION, SET_WORKER, STAKE, UNSTAKE,
	},
	Amount, Call, MAX_RELEASED_WORKERS,
};

#[test]
fn every_call_costs_at_least_its_transfer_or_record() {
	let calls: Vec<Call<Test>> = vec![
		Call::register {
			role: Role::Miner,
			worker: worker(50),
			worker_signature: proof(50, ALICE, 0),
			stake: MINER_STAKE,
			commission: commission(),
			introduction: introduction(),
		},
		Call::set_worker {
			worker: worker(50),
			worker_signature: proof(50, MINER, 1),
		},
		Call::set_introduction {
			introduction: introduction(),
		},
		Call::stake_more { amount: CUC },
		Call::unstake {
			amount: Amount::All,
		},
		Call::retire {},
		Call::vote {
			operator: account(MINER),
			amount: CUC,
		},
		Call::unvote {
			operator: account(MINER),
			amount: Amount::All,
		},
		Call::withdraw {},
	];
	for call in calls {
		let weight = call.get_dispatch_info().call_weight;
		let least = <Test as frame_system::Config>::DbWeight::get().reads_writes(1, 1);
		assert!(weight.all_gt(Weight::zero()), "{call:?} is free");
		assert!(
			weight.ref_time() > least.ref_time(),
			"{call:?} costs {weight:?}"
		);
	}
}

/// How many values `call` writes in the state that `prepare` makes. Of the system pallet only accounts
/// count: events and the like are in the base weight of every call.
fn writes(prepare: impl FnOnce(), call: impl FnOnce()) -> u64 {
	let operators = vec![
		genesis_operator(MINER, Role::Miner, MINER_STAKE),
		genesis_operator(VALIDATOR, Role::Validator, VALIDATOR_STAKE),
	];
	let mut state = genesis(operators, Vec::new());
	state.execute_with(prepare);
	state.commit_all().unwrap();
	state.execute_with(call);
	let system = Twox128::hash(b"System");
	let account = [system, Twox128::hash(b"Account")].concat();
	let stored = |key: &[u8]| {
		// The depth of the storage layers is kept under such a key while a call runs.
		!key.starts_with(b":") && (!key.starts_with(&system) || key.starts_with(&account))
	};
	let written = state
		.overlayed_changes()
		.changes()
		.filter(|(key, _)| stored(key))
		.count();
	written as u64
}

fn check(cost: Cost, prepare: impl FnOnce(), call: impl FnOnce()) {
	let written = writes(prepare, call);
	assert!(
		written <= cost.writes(),
		"wrote {written}, estimated {}",
		cost.writes()
	);
	// An estimate far off would be no better than a guess. Forgetting workers is counted apart.
	let forgotten = u64::from(MAX_RELEASED_WORKERS);
	assert!(
		cost.writes() <= written + forgotten + 2,
		"wrote {written} of {}",
		cost.writes()
	);
}

#[test]
fn calls_write_no_more_than_estimated() {
	let vote = || assert_vote(ALICE, VALIDATOR, 100 * CUC);
	check(STAKE, || (), vote);
	check(STAKE, vote, || assert_stake_more(VALIDATOR, CUC));
	check(UNSTAKE, vote, || {
		assert_unvote(ALICE, VALIDATOR, Amount::All)
	});
	check(UNSTAKE, vote, || {
		assert_unstake(VALIDATOR, Amount::Value(CUC))
	});
	check(RETIRE, vote, || assert_retire(VALIDATOR));
	check(
		SET_INTRODUCTION,
		|| (),
		|| assert_set_introduction(MINER, introduction()),
	);
	// As many former workers to forget as there can be, and a key that was another's.
	let change_often = || {
		assert_set_worker(VALIDATOR, 50);
		for key in 100..100 + MAX_RELEASED_WORKERS - 1 {
			assert_set_worker(MINER, key);
		}
		pass_eras(UNBONDING_ERAS);
	};
	let former = u32::from(VALIDATOR);
	check(SET_WORKER, change_often, || {
		assert_set_worker(MINER, former)
	});
	check(
		REGISTER,
		|| {
			change_often();
			assert_retire(MINER);
			assert_unstake(MINER, Amount::All);
			pass_eras(UNBONDING_ERAS);
		},
		|| assert_register(MINER, Role::Validator, former, VALIDATOR_STAKE),
	);
	check(
		withdraw_cost(3),
		|| {
			for _ in 0..3 {
				assert_vote(ALICE, VALIDATOR, 100 * CUC);
				assert_unvote(ALICE, VALIDATOR, Amount::All);
				pass_eras(1);
			}
			pass_eras(UNBONDING_ERAS);
		},
		|| assert_withdraw(ALICE, 300 * CUC),
	);
}
