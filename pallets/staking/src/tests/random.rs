//! Random sequences of every call by several accounts, mixed with rewards, offences, gifts, what
//! governance does, and passing blocks and eras. After each step every invariant holds; no call ever
//! makes its caller richer or anybody else poorer; tokens are made and burnt only as it is told; and
//! at the end everybody can leave with all that there is.

use cuckoo_primitives::{AccountId, Balance, Role, CUC};
use frame_support::{assert_ok, traits::Hooks, weights::Weight};
use proptest::prelude::*;
use sp_runtime::{DispatchResult, Perbill, StateVersion};
use sp_staking::offence::{OffenceDetails, OnOffenceHandler};

use super::support::{leaving, pay, streaming, two_assignments, two_results};
use crate::{
	mock::*, Amount, CurrentEra, Event, Held, IntroductionInput, Operators, Pools, ReleasedWorkers,
	RoleParams, SlashQueue, Slashes, Unbonding, UnbondingPools,
};

/// How many worker keys there are.
const KEYS: u32 = 16;

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
	SetCommission {
		percent: u32,
	},
	StakeMore(Balance),
	Unstake(Taken),
	Retire,
	Reactivate {
		key: u32,
	},
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
	/// Of the account's chunks the operator of the one with this number.
	Rebond {
		number: usize,
		taken: Taken,
	},
	Withdraw,
	/// Of the operator's present and former worker keys the one with this number.
	Report {
		operator: u8,
		number: usize,
		task: u8,
		blocks_ago: u32,
	},
	ApplySlashes {
		limit: u32,
	},
	Recount,
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
	PassBlocks(u32),
	Gift(u8, Balance),
	Reward(u8, Balance),
	Author(u8, u32),
	/// What the offences pallet proves: whose, percent, how many sessions ago.
	Offence(u8, u32, u32),
	/// A block with room for so many slashes.
	Idle(u32),
	/// Of the slashes that wait the one with this number.
	Cancel(usize),
	SetRole(Role, Balance, u32),
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

fn stake() -> impl Strategy<Value = Balance> {
	prop_oneof![
		role().prop_map(|role| role.default_min_self_stake()),
		role().prop_map(|role| role.default_min_self_stake() + 1),
		MINER_STAKE..COORDINATOR_STAKE,
	]
}

fn call() -> impl Strategy<Value = Call> {
	prop_oneof![
		2 => (role(), 0..KEYS, stake())
			.prop_map(|(role, key, stake)| Call::Register { role, key, stake }),
		2 => (0..KEYS, 0..8u32)
			.prop_map(|(key, off)| Call::SetWorker { key, nonce_off: off.saturating_sub(6) }),
		1 => (0..40usize).prop_map(|length| Call::SetIntroduction { length }),
		1 => (0..30u32).prop_map(|percent| Call::SetCommission { percent }),
		2 => amount().prop_map(Call::StakeMore),
		3 => taken().prop_map(Call::Unstake),
		1 => Just(Call::Retire),
		6 => (0..KEYS).prop_map(|key| Call::Reactivate { key }),
		9 => (who(), amount()).prop_map(|(operator, amount)| Call::Vote { operator, amount }),
		1 => (who(), taken()).prop_map(|(operator, taken)| Call::Unvote { operator, taken }),
		6 => (0..6usize, taken()).prop_map(|(number, taken)| Call::UnvoteOwn { number, taken }),
		6 => (0..6usize, taken()).prop_map(|(number, taken)| Call::Rebond { number, taken }),
		6 => Just(Call::Withdraw),
		2 => (who(), 0..4usize, 0..3u8, 0..4 * BLOCKS_PER_ERA).prop_map(
			|(operator, number, task, blocks_ago)| Call::Report {
				operator,
				number,
				task,
				blocks_ago,
			}
		),
		2 => (0..4u32).prop_map(|limit| Call::ApplySlashes { limit }),
		1 => Just(Call::Recount),
	]
}

fn step() -> impl Strategy<Value = Step> {
	prop_oneof![
		30 => (who(), call()).prop_map(|(who, call)| Step::Call(who, call)),
		6 => Just(Step::PassEra),
		3 => (1..BLOCKS_PER_ERA).prop_map(Step::PassBlocks),
		1 => (who(), 1..CUC).prop_map(|(who, amount)| Step::Gift(who, amount)),
		3 => (who(), prop_oneof![0..50u128, 1..1_000 * CUC])
			.prop_map(|(who, amount)| Step::Reward(who, amount)),
		2 => (who(), 1..40u32).prop_map(|(who, blocks)| Step::Author(who, blocks)),
		1 => (who(), prop_oneof![3 => 0..60u32, 1 => Just(100)], 0..8u32)
			.prop_map(|(who, percent, ago)| Step::Offence(who, percent, ago)),
		1 => (0..4u32).prop_map(Step::Idle),
		1 => (0..4usize).prop_map(Step::Cancel),
		1 => (role(), stake(), prop::sample::select(&[0, 1, 10, 35, 100][..]))
			.prop_map(|(role, minimum, percent)| Step::SetRole(role, minimum, percent)),
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
		Call::Rebond { number, taken } => {
			let chunks = Unbonding::<Test>::get(account(who));
			let Some(index) = number.checked_rem(chunks.len()) else {
				return Err("nothing is on its way out".into());
			};
			let amount = match taken {
				Taken::Exactly(amount) => amount,
				Taken::Part(part) => Amount::Value(leaving(who) / 1_000 * part),
			};
			Staking::rebond(origin, chunks[index].operator.clone(), amount)
		},
		Call::Withdraw => Staking::withdraw(origin),
		Call::Report {
			operator,
			number,
			task,
			blocks_ago,
		} => {
			let keys = keys_of(operator);
			let Some(index) = number.checked_rem(keys.len()) else {
				return Err("no worker key that could have signed".into());
			};
			let at = block().saturating_sub(blocks_ago);
			let evidence = if operator == COORDINATOR && task == 0 {
				two_assignments(keys[index], at, task)
			} else {
				two_results(operator, keys[index], at, task)
			};
			match Staking::report_equivocation(origin, Box::new(evidence)) {
				Ok(_) => Ok(()),
				Err(error) => Err(error.error),
			}
		},
		Call::ApplySlashes { limit } => match Staking::apply_slashes(origin, limit) {
			Ok(_) => Ok(()),
			Err(error) => Err(error.error),
		},
		Call::Recount => {
			let all = ACCOUNTS.map(account).to_vec();
			Staking::recount(origin, all.try_into().unwrap())
		},
		Call::SetCommission { percent } => {
			Staking::set_commission(origin, Perbill::from_percent(percent))
		},
		Call::Reactivate { key } => Staking::reactivate(origin, worker(key), proof_now(key, who)),
	}
}

/// The numbers of the worker keys that are an operator's, or were.
fn keys_of(operator: u8) -> Vec<u32> {
	let operator = account(operator);
	let present = Operators::<Test>::get(&operator).and_then(|record| record.worker);
	let former = ReleasedWorkers::<Test>::get(&operator);
	(0..KEYS)
		.filter(|key| {
			let key = worker(*key);
			present == Some(key) || former.contains(&key)
		})
		.collect()
}

/// All that an account has: free, staked, on its way out. Not what streams to it: that is nobody's
/// before its block.
fn wealth(who: u8) -> Balance {
	let staked: Balance = Staking::positions(account(who), None, 1_000)
		.into_iter()
		.map(|position| position.value)
		.sum();
	free(who) + staked + leaving(who)
}

/// All that is on its way into pools.
fn streams() -> Balance {
	ACCOUNTS.map(streaming).into_iter().sum()
}

fn root() -> Vec<u8> {
	sp_io::storage::root(StateVersion::V1)
}

/// Makes a call of which nobody may profit.
fn make_and_check(who: u8, call: Call) -> bool {
	let before = ACCOUNTS.map(wealth);
	let (issued, streaming) = (Balances::total_issuance(), streams());
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
	// The last one to leave a pool takes what streams into it.
	let ended = streaming - streams();
	for (other, before) in ACCOUNTS.into_iter().zip(before) {
		let after = wealth(other);
		if other == who {
			assert!(after <= before + ended, "{call:?} made its caller richer");
		} else {
			assert!(after >= before, "{call:?} made {other} poorer");
		}
	}
	done
}

/// The worth of everything that a slash reaches.
fn in_reach(operator: &AccountId, era: u32) -> Balance {
	let leaving: Balance = (era..=CurrentEra::<Test>::get())
		.filter_map(|era| UnbondingPools::<Test>::get(operator, era))
		.map(|pool| pool.value)
		.sum();
	Staking::stake_now(operator).total() + leaving
}

/// Lets slashes be applied: only those who have something on the slashed operators lose, no more than
/// the slash's part; reporters get no more than a tenth; the rest is burnt.
fn apply_and_check(apply: impl FnOnce() -> bool) -> bool {
	let before = ACCOUNTS.map(|who| (who, wealth(who), free(who)));
	let (issued, held, gone) = (
		Balances::total_issuance(),
		Held::<Test>::get(),
		SlashedAway::get(),
	);
	let has_something_on = |who: u8, operator: &AccountId| {
		let staked = Staking::position(account(who), operator.clone()).is_some();
		let leaves = Unbonding::<Test>::get(account(who));
		staked || leaves.iter().any(|chunk| chunk.operator == *operator)
	};
	let concerned: Vec<(u8, AccountId)> = ACCOUNTS
		.into_iter()
		.flat_map(|who| ACCOUNTS.map(|operator| (who, account(operator))))
		.filter(|(who, operator)| has_something_on(*who, operator))
		.collect();
	let waiting: Vec<_> = Slashes::<Test>::iter()
		.map(|(id, slash)| {
			let reach = in_reach(&slash.operator, slash.era);
			(id, slash, reach)
		})
		.collect();
	take_events();
	let root_before = root();
	let done = apply();
	if !done {
		assert_eq!(root(), root_before);
	}
	let slashed: Vec<_> = take_events()
		.into_iter()
		.filter_map(|event| match event {
			Event::Slashed {
				slash,
				operator,
				amount,
				reporter,
				reporter_reward,
			} => Some((slash, operator, amount, reporter, reporter_reward)),
			_ => None,
		})
		.collect();
	let (mut taken, mut rewarded) = (0, 0);
	for (id, operator, amount, _, reward) in &slashed {
		let (_, slash, reach) = waiting
			.iter()
			.find(|(waiting, ..)| waiting == id)
			.expect("what was applied has waited");
		assert!(slash.due <= CurrentEra::<Test>::get(), "{id} was not due");
		assert_eq!(slash.operator, *operator);
		// The last specks of a pool that is worth nothing go as well, a billionth of its shares.
		let specks = ENDOWMENT / 100_000_000;
		assert!(
			*amount <= slash.fraction.mul_ceil(*reach) + specks,
			"{amount} of {reach} for {slash:?}"
		);
		assert!(*reward <= *amount / 10, "{reward} of {amount}");
		taken += amount;
		rewarded += reward;
	}
	assert_eq!(Held::<Test>::get(), held - taken);
	assert_eq!(SlashedAway::get(), gone + taken - rewarded);
	assert_eq!(Balances::total_issuance(), issued - (taken - rewarded));
	for (who, wealth_before, free_before) in before {
		let reward: Balance = slashed
			.iter()
			.filter(|(_, _, _, reporter, _)| *reporter == Some(account(who)))
			.map(|(_, _, _, _, reward)| reward)
			.sum();
		assert_eq!(free(who), free_before + reward);
		let hit = slashed
			.iter()
			.any(|(_, operator, ..)| concerned.contains(&(who, operator.clone())));
		if hit {
			// A stream that ends early in a slash can make up for more than was lost.
			continue;
		}
		assert_eq!(wealth(who), wealth_before + reward, "{who}");
	}
	done
}

/// Takes the step; returns whether something happened.
fn take(step: Step) -> bool {
	match step {
		Step::Call(who, call @ Call::ApplySlashes { .. }) => {
			apply_and_check(|| make(who, call).is_ok())
		},
		Step::Call(who, call) => make_and_check(who, call),
		Step::Idle(slashes) => {
			let room = <() as crate::WeightInfo>::apply_slashes(slashes);
			let first = SlashQueue::<Test>::get().first;
			apply_and_check(|| {
				let used = Staking::on_idle(block().into(), room);
				assert!(used.all_lte(room));
				SlashQueue::<Test>::get().first > first
			})
		},
		Step::PassEra => {
			let before = ACCOUNTS.map(wealth);
			let issued = Balances::total_issuance();
			take_events();
			pass_eras(1);
			let paid: Balance = take_events()
				.into_iter()
				.map(|event| match event {
					Event::ValidatorsPaid { paid, budget, .. } => {
						assert!(paid <= budget);
						paid
					},
					_ => 0,
				})
				.sum();
			assert_eq!(Balances::total_issuance(), issued + paid);
			for (who, before) in ACCOUNTS.into_iter().zip(before) {
				assert!(wealth(who) >= before, "time made {who} poorer");
			}
			true
		},
		Step::PassBlocks(count) => {
			let before = ACCOUNTS.map(wealth);
			pass_blocks(count);
			for (who, before) in ACCOUNTS.into_iter().zip(before) {
				assert!(wealth(who) >= before, "time made {who} poorer");
			}
			true
		},
		Step::Gift(who, amount) => {
			Balances::transfer_keep_alive(signed(who), Staking::pot(), amount).is_ok()
		},
		Step::Reward(operator, amount) => {
			let before = ACCOUNTS.map(wealth);
			let all = before.into_iter().sum::<Balance>() + streams();
			let (issued, held) = (Balances::total_issuance(), Held::<Test>::get());
			let somebody = !Pools::<Test>::get(account(operator)).shares.is_zero();
			let rewarded = pay(operator, amount);
			assert_eq!(rewarded, if somebody { Ok(()) } else { Err(amount) });
			let paid = if somebody { amount } else { 0 };
			assert_eq!(Balances::total_issuance(), issued + paid);
			assert_eq!(Held::<Test>::get(), held + paid);
			for (who, before) in ACCOUNTS.into_iter().zip(before) {
				assert!(wealth(who) >= before, "a reward made {who} poorer");
			}
			let after = ACCOUNTS.map(wealth).into_iter().sum::<Balance>() + streams();
			assert!(after <= all + paid + ACCOUNTS.len() as Balance);
			somebody
		},
		Step::Author(who, blocks) => {
			for _ in 0..blocks {
				<Staking as pallet_authorship::EventHandler<AccountId, u64>>::note_author(account(
					who,
				));
			}
			true
		},
		Step::Offence(who, percent, sessions_ago) => {
			let session = CurrentEra::<Test>::get() * SESSIONS_PER_ERA + SESSIONS_PER_ERA - 1;
			let details = OffenceDetails {
				offender: (account(who), ()),
				reporters: vec![account(BOB)],
			};
			let next = SlashQueue::<Test>::get().next;
			let before = ACCOUNTS.map(wealth);
			<Staking as OnOffenceHandler<AccountId, (AccountId, ()), Weight>>::on_offence(
				&[details],
				&[Perbill::from_percent(percent)],
				session.saturating_sub(sessions_ago),
			);
			assert_eq!(ACCOUNTS.map(wealth), before);
			SlashQueue::<Test>::get().next > next
		},
		Step::Cancel(number) => {
			let mut waiting: Vec<_> = Slashes::<Test>::iter_keys().collect();
			waiting.sort();
			let before = ACCOUNTS.map(wealth);
			match number.checked_rem(waiting.len()) {
				Some(index) => {
					assert_ok!(Staking::cancel_slash(RuntimeOrigin::root(), waiting[index]));
					assert_eq!(ACCOUNTS.map(wealth), before);
					true
				},
				None => false,
			}
		},
		Step::SetRole(role, min_self_stake, percent) => {
			let params = RoleParams {
				min_self_stake,
				offence_fraction: Perbill::from_percent(percent),
			};
			Staking::set_role_params(RuntimeOrigin::root(), role, params).is_ok()
		},
	}
}

/// Everybody leaves, and gets all that there is: whatever has happened, no token is stranded and no
/// withdrawal is blocked.
fn everybody_leaves() {
	pass_eras(UNBONDING_ERAS);
	let _ = Staking::apply_slashes(signed(ALICE), 1_000);
	assert_eq!(Slashes::<Test>::iter().count(), 0);
	for who in ACCOUNTS {
		let _ = Staking::withdraw(signed(who));
		assert!(Unbonding::<Test>::get(account(who)).is_empty());
		let _ = Staking::retire(signed(who));
	}
	for who in ACCOUNTS {
		for position in Staking::positions(account(who), None, 100) {
			if position.operator == account(who) {
				assert_ok!(Staking::unstake(signed(who), Amount::All));
			} else {
				assert_ok!(Staking::unvote(signed(who), position.operator, Amount::All));
			}
		}
	}
	pass_eras(UNBONDING_ERAS);
	for who in ACCOUNTS {
		if !Unbonding::<Test>::get(account(who)).is_empty() {
			assert_ok!(Staking::withdraw(signed(who)));
		}
	}
	assert_eq!(Held::<Test>::get(), 0);
	assert_eq!(UnbondingPools::<Test>::iter().count(), 0);
	assert!(ACCOUNTS.into_iter().all(|who| streaming(who) == 0));
}

proptest! {
	#![proptest_config(ProptestConfig::with_cases(128))]

	#[test]
	fn every_sequence_keeps_every_invariant(steps in prop::collection::vec(step(), 1..120)) {
		run(|| {
			for step in steps {
				let shown = format!("{step:?}");
				take(step);
				assert_eq!(Staking::do_try_state(), Ok(()), "after {shown}");
			}
			everybody_leaves();
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
	for _ in 0..60 {
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
	assert_eq!(effects.len(), 25, "{effects:?}");
	// A vote on a random account is rarely there to be taken back.
	effects.remove("Unvote");
	for (name, count) in &effects {
		assert!(
			*count >= 15,
			"{name} took effect only {count} times: {effects:?}"
		);
	}
}
