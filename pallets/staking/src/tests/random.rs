//! Random sequences of every call by several accounts, mixed with rewards, slashes, gifts and passing
//! eras. After each step every invariant holds; and no call ever makes its caller richer or anybody
//! else poorer.

use cuckoo_primitives::{AccountId, Balance, Role, CUC};
use proptest::prelude::*;
use sp_runtime::{DispatchResult, StateVersion};

use super::support::{lower, lower_unbonding, raise};
use crate::{mock::*, Amount, IntroductionInput, Operators, Pools, UnbondingPools};

#[derive(Clone, Debug)]
enum Call {
	Register {
		role: Role,
		key: u32,
		stake: Balance,
	},
	SetWorker {
		key: u32,
		nonce_off: u32,
	},
	SetIntroduction {
		length: usize,
	},
	StakeMore(Balance),
	Unstake(Taken),
	Retire,
	Vote {
		operator: u8,
		amount: Balance,
	},
	Unvote {
		operator: u8,
		taken: Taken,
	},
	/// Of the voter's positions the one with this number, counted round and round.
	UnvoteOwn {
		number: usize,
		taken: Taken,
	},
	Withdraw,
}

/// How much of a position is taken out.
#[derive(Clone, Copy, Debug)]
enum Taken {
	Exactly(Amount),
	/// Parts per thousand.
	Part(Balance),
}

impl Taken {
	fn of(self, who: u8, operator: &AccountId) -> Amount {
		match self {
			Taken::Exactly(amount) => amount,
			Taken::Part(part) => {
				let worth = Staking::position(account(who), operator.clone())
					.map_or(0, |position| position.value);
				Amount::Value(worth / 1_000 * part)
			},
		}
	}
}

#[derive(Clone, Debug)]
enum Step {
	Call(u8, Call),
	PassEra,
	Gift(u8, Balance),
	Reward(u8, Balance),
	/// Parts per thousand of a pool's value.
	Slash(u8, u128),
	/// Parts per thousand of the value of the unbonding pool with this number, counted round and
	/// round.
	SlashUnbonding(usize, u128),
}

fn who() -> impl Strategy<Value = u8> {
	prop::sample::select(&ACCOUNTS[..])
}

fn role() -> impl Strategy<Value = Role> {
	prop::sample::select(&Role::ALL[..])
}

/// Amounts around every bound there is, and odd ones.
fn amount() -> impl Strategy<Value = Balance> {
	prop_oneof![
		0..3u128,
		(MIN_VOTE - 2)..(MIN_VOTE + 2),
		1..1_000 * CUC,
		MINER_STAKE..COORDINATOR_STAKE,
		Just(ENDOWMENT),
		Just(u128::MAX),
	]
}

fn taken() -> impl Strategy<Value = Taken> {
	prop_oneof![
		1 => Just(Taken::Exactly(Amount::All)),
		1 => amount().prop_map(|amount| Taken::Exactly(Amount::Value(amount))),
		3 => (0..1_001u128).prop_map(Taken::Part),
	]
}

/// Parts per thousand of what is slashed: mostly little, sometimes all.
fn slashed() -> impl Strategy<Value = u128> {
	prop_oneof![8 => 1..100u128, 2 => 100..1_000u128, 1 => Just(1_000)]
}

fn stake() -> impl Strategy<Value = Balance> {
	prop_oneof![
		role().prop_map(|role| role.default_min_self_stake()),
		role().prop_map(|role| role.default_min_self_stake() + 1),
		MINER_STAKE..COORDINATOR_STAKE,
	]
}

fn call() -> impl Strategy<Value = Call> {
	prop_oneof![
		2 => (role(), 0..12u32, stake())
			.prop_map(|(role, key, stake)| Call::Register { role, key, stake }),
		2 => (0..12u32, 0..8u32)
			.prop_map(|(key, off)| Call::SetWorker { key, nonce_off: off.saturating_sub(6) }),
		1 => (0..40usize).prop_map(|length| Call::SetIntroduction { length }),
		2 => amount().prop_map(Call::StakeMore),
		3 => taken().prop_map(Call::Unstake),
		1 => Just(Call::Retire),
		6 => (who(), amount()).prop_map(|(operator, amount)| Call::Vote { operator, amount }),
		1 => (who(), taken()).prop_map(|(operator, taken)| Call::Unvote { operator, taken }),
		6 => (0..6usize, taken()).prop_map(|(number, taken)| Call::UnvoteOwn { number, taken }),
		6 => Just(Call::Withdraw),
	]
}

fn step() -> impl Strategy<Value = Step> {
	prop_oneof![
		20 => (who(), call()).prop_map(|(who, call)| Step::Call(who, call)),
		6 => Just(Step::PassEra),
		1 => (who(), 1..CUC).prop_map(|(who, amount)| Step::Gift(who, amount)),
		2 => (who(), 1..1_000 * CUC).prop_map(|(who, amount)| Step::Reward(who, amount)),
		2 => (who(), slashed()).prop_map(|(who, part)| Step::Slash(who, part)),
		1 => (0..9usize, slashed()).prop_map(|(number, part)| Step::SlashUnbonding(number, part)),
	]
}

fn make(who: u8, call: Call) -> DispatchResult {
	let origin = signed(who);
	match call {
		Call::Register { role, key, stake } => {
			let signature = proof_now(key, who);
			let (commission, introduction) = (commission(), introduction());
			Staking::register(
				origin,
				role,
				worker(key),
				signature,
				stake,
				commission,
				introduction,
			)
		},
		Call::SetWorker { key, nonce_off } => {
			let nonce = Staking::worker_nonce(account(who)) + nonce_off;
			Staking::set_worker(origin, worker(key), proof(key, who, nonce))
		},
		Call::SetIntroduction { length } => {
			let name = vec![b'n'; length];
			Staking::set_introduction(
				origin,
				IntroductionInput {
					name,
					..Default::default()
				},
			)
		},
		Call::StakeMore(amount) => Staking::stake_more(origin, amount),
		Call::Unstake(taken) => Staking::unstake(origin, taken.of(who, &account(who))),
		Call::Retire => Staking::retire(origin),
		Call::Vote { operator, amount } => Staking::vote(origin, account(operator), amount),
		Call::Unvote { operator, taken } => {
			let operator = account(operator);
			let amount = taken.of(who, &operator);
			Staking::unvote(origin, operator, amount)
		},
		Call::UnvoteOwn { number, taken } => {
			let voted: Vec<_> = Staking::positions(account(who), None, 100)
				.into_iter()
				.map(|position| position.operator)
				.filter(|operator| *operator != account(who))
				.collect();
			if voted.is_empty() {
				return Err("no vote to take back".into());
			}
			let operator = voted[number % voted.len()].clone();
			let amount = taken.of(who, &operator);
			Staking::unvote(origin, operator, amount)
		},
		Call::Withdraw => Staking::withdraw(origin),
	}
}

/// All that an account has: free, staked, on its way out.
fn wealth(who: u8) -> Balance {
	let staked: Balance = Staking::positions(account(who), None, 1_000)
		.into_iter()
		.map(|position| position.value)
		.sum();
	let leaving: Balance = Staking::unbonding(account(who))
		.into_iter()
		.map(|chunk| chunk.value)
		.sum();
	free(who) + staked + leaving
}

fn root() -> Vec<u8> {
	sp_io::storage::root(StateVersion::V1)
}

/// Takes the step; returns whether something happened.
fn take(step: Step) -> bool {
	match step {
		Step::Call(who, call) => {
			let before = ACCOUNTS.map(wealth);
			let issued = Balances::total_issuance();
			let root_before = root();
			let done = make(who, call.clone()).is_ok();
			if !done {
				assert_eq!(
					root(),
					root_before,
					"{call:?} was refused and changed something"
				);
			}
			assert_eq!(
				Balances::total_issuance(),
				issued,
				"{call:?} made or burnt tokens"
			);
			for (other, before) in ACCOUNTS.into_iter().zip(before) {
				let after = wealth(other);
				if other == who {
					assert!(after <= before, "{call:?} made its caller richer");
				} else {
					assert!(after >= before, "{call:?} made {other} poorer");
				}
			}
			done
		},
		Step::PassEra => {
			pass_eras(1);
			true
		},
		Step::Gift(who, amount) => {
			Balances::transfer_keep_alive(signed(who), Staking::pot(), amount).is_ok()
		},
		Step::Reward(operator, amount) => {
			let rewarded = !Pools::<Test>::get(account(operator)).shares.is_zero();
			if rewarded {
				raise(operator, amount);
			}
			rewarded
		},
		Step::Slash(operator, part) => {
			let value = Pools::<Test>::get(account(operator)).value;
			let slashed = Operators::<Test>::contains_key(account(operator)) && value > 0;
			if slashed {
				lower(
					operator,
					(value / 1_000 * part).max(value * part / 1_000).min(value),
				);
			}
			slashed
		},
		Step::SlashUnbonding(number, part) => {
			let pools: Vec<_> = UnbondingPools::<Test>::iter().collect();
			let found = number
				.checked_rem(pools.len())
				.map(|index| pools[index].clone());
			match found {
				Some((operator, era, pool)) if pool.value > 0 => {
					lower_unbonding(&operator, era, pool.value * part / 1_000);
					true
				},
				_ => false,
			}
		},
	}
}

proptest! {
	#![proptest_config(ProptestConfig::with_cases(256))]

	#[test]
	fn every_sequence_keeps_every_invariant(steps in prop::collection::vec(step(), 1..120)) {
		run(|| {
			for step in steps {
				let shown = format!("{step:?}");
				take(step);
				assert_eq!(Staking::do_try_state(), Ok(()), "after {shown}");
			}
		});
	}
}

/// The property above is worth something only if its sequences do get somewhere: of each kind of
/// step a good part must take effect.
#[test]
fn the_random_steps_take_effect() {
	use proptest::{
		strategy::ValueTree,
		test_runner::{Config, TestRunner},
	};
	let mut runner = TestRunner::new_with_rng(
		Config::default(),
		proptest::test_runner::TestRng::deterministic_rng(
			proptest::test_runner::RngAlgorithm::ChaCha,
		),
	);
	let mut effects = std::collections::BTreeMap::<String, u32>::new();
	for _ in 0..40 {
		let steps = prop::collection::vec(step(), 160)
			.new_tree(&mut runner)
			.unwrap()
			.current();
		run(|| {
			for step in steps {
				let name = match &step {
					Step::Call(_, call) => format!("{call:?}"),
					other => format!("{other:?}"),
				};
				let name: String = name.chars().take_while(|c| c.is_alphanumeric()).collect();
				*effects.entry(name).or_default() += u32::from(take(step));
			}
		});
	}
	assert_eq!(effects.len(), 15, "{effects:?}");
	// A vote on a random account is rarely there to be taken back.
	effects.remove("Unvote");
	for (name, count) in &effects {
		assert!(
			*count >= 15,
			"{name} took effect only {count} times: {effects:?}"
		);
	}
}
