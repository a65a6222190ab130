//! One helper a call: takes a snapshot, makes the call, and checks every difference and event.

use cuckoo_primitives::{AccountId, Balance, EraIndex, Role, WorkerId};
use frame_support::assert_ok;

use crate::{
	mock::*,
	pool::Pool,
	types::{Amount, DescendingStake, IntroductionInput, Operator, RoleTotals, WorkerOwner},
	ByStake, CurrentEra, Event, Held, Introductions, Operators, Pools, ReleasedWorkers,
	RoleMembers, Totals, Unbonding, UnbondingPools, WorkerNonces, WorkerOwners,
};

/// What a call on one operator by one account can change.
#[derive(Clone, PartialEq, Debug)]
pub struct Snapshot {
	pub free: Balance,
	pub pot: Balance,
	pub held: Balance,
	pub record: Option<Operator>,
	pub pool: Pool,
	pub position: Balance,
	pub self_stake: Balance,
	pub totals: Vec<RoleTotals>,
	pub ordered: bool,
	pub leaving: Balance,
	pub leaving_pool: Pool,
	pub nonce: u32,
	pub released: Vec<WorkerId>,
}

impl Snapshot {
	pub fn take(who: u8, operator: u8) -> Self {
		let (account, operator_account) = (account(who), account(operator));
		let record = Operators::<Test>::get(&operator_account);
		let position = |voter: &AccountId| {
			Staking::position(voter.clone(), operator_account.clone()).map_or(0, |info| info.value)
		};
		let ordered = record.as_ref().is_some_and(|record| {
			record.counted.is_some_and(|stake| {
				let stake = DescendingStake::from(stake);
				ByStake::<Test>::contains_key((record.role, stake, &operator_account))
			})
		});
		Snapshot {
			free: free(who),
			pot: Balances::free_balance(Staking::pot()),
			held: Held::<Test>::get(),
			pool: Pools::<Test>::get(&operator_account),
			position: position(&account),
			self_stake: position(&operator_account),
			totals: Role::ALL.map(Totals::<Test>::get).to_vec(),
			ordered,
			leaving: Staking::unbonding(account.clone())
				.iter()
				.map(|chunk| chunk.value)
				.sum(),
			leaving_pool: UnbondingPools::<Test>::get(&operator_account, CurrentEra::<Test>::get())
				.unwrap_or_default(),
			nonce: WorkerNonces::<Test>::get(&operator_account),
			released: ReleasedWorkers::<Test>::get(&operator_account).into_inner(),
			record,
		}
	}

	/// The totals of a role.
	pub fn total(&self, role: Role) -> RoleTotals {
		self.totals[Role::ALL.iter().position(|other| *other == role).unwrap()]
	}

	fn active(&self) -> bool {
		self.record.as_ref().is_some_and(Operator::is_active)
	}

	/// The snapshot with another pool value in every figure that follows from it, the operator being
	/// active before and after.
	fn repriced(mut self, value: Balance) -> Self {
		if let Some(record) = self.record.as_mut().filter(|record| record.is_active()) {
			let before = record.counted.replace(value);
			let place = Role::ALL
				.iter()
				.position(|role| *role == record.role)
				.unwrap();
			self.totals[place] = self.totals[place].replaced(before, Some(value)).unwrap();
		}
		self.pool.value = value;
		self
	}
}

fn withdrawable() -> EraIndex {
	CurrentEra::<Test>::get() + UNBONDING_ERAS
}

/// Registers an account that has no record, with the worker key `key`.
pub fn assert_register(who: u8, role: Role, key: u32, stake: Balance) {
	let before = Snapshot::take(who, who);
	take_events();
	assert_ok!(Staking::register(
		signed(who),
		role,
		worker(key),
		proof_now(key, who),
		stake,
		commission(),
		introduction(),
	));
	let after = Snapshot::take(who, who);
	let operator = account(who);

	assert_eq!(after.free, before.free - stake);
	assert_eq!(after.pot, before.pot + stake);
	assert_eq!(after.held, before.held + stake);
	assert_eq!(after.pool.value, stake);
	assert_eq!(after.self_stake, stake);
	assert_eq!(after.nonce, before.nonce + 1);
	let record = after.record.as_ref().unwrap();
	assert_eq!(
		*record,
		Operator {
			role,
			worker: Some(worker(key)),
			commission: commission(),
			retired: None,
			counted: Some(stake),
		}
	);
	assert_eq!(
		after.total(role),
		before.total(role).replaced(None, Some(stake)).unwrap()
	);
	assert_eq!(after.ordered, role != Role::Miner);
	assert!(RoleMembers::<Test>::contains_key(role, &operator));
	let introduced = Introductions::<Test>::get(&operator).unwrap();
	assert_eq!(introduced.name.into_inner(), introduction().name);
	assert_eq!(introduced.endpoint.into_inner(), introduction().endpoint);
	assert_eq!(introduced.text.into_inner(), introduction().text);
	assert_eq!(
		WorkerOwners::<Test>::get(worker(key)),
		Some(WorkerOwner {
			operator: operator.clone(),
			released: None
		})
	);
	assert_eq!(
		take_events(),
		[
			Event::OperatorRegistered {
				operator: operator.clone(),
				role,
				worker: worker(key),
				self_stake: stake,
				commission: commission(),
			},
			Event::OperatorActivated {
				operator,
				role,
				total_stake: stake
			},
		]
	);
}

/// Gives an operator the worker key `key`.
pub fn assert_set_worker(who: u8, key: u32) {
	let before = Snapshot::take(who, who);
	let previous = before.record.as_ref().unwrap().worker.unwrap();
	take_events();
	assert_ok!(Staking::set_worker(
		signed(who),
		worker(key),
		proof_now(key, who)
	));
	let after = Snapshot::take(who, who);
	let operator = account(who);

	assert_eq!(after.record.as_ref().unwrap().worker, Some(worker(key)));
	assert_eq!(after.nonce, before.nonce + 1);
	assert_eq!(after.released.last(), Some(&previous));
	assert!(!after.released.contains(&worker(key)));
	assert_eq!(
		WorkerOwners::<Test>::get(previous),
		Some(WorkerOwner {
			operator: operator.clone(),
			released: Some(CurrentEra::<Test>::get()),
		})
	);
	assert_eq!(
		WorkerOwners::<Test>::get(worker(key)),
		Some(WorkerOwner {
			operator: operator.clone(),
			released: None
		})
	);
	// Nothing else has changed.
	let mut expected = before.clone();
	expected.nonce = after.nonce;
	expected.released = after.released.clone();
	expected.record.as_mut().unwrap().worker = Some(worker(key));
	assert_eq!(after, expected);
	assert_eq!(
		take_events(),
		[Event::WorkerSet {
			operator,
			previous,
			worker: worker(key)
		}]
	);
}

/// Replaces an operator's introduction.
pub fn assert_set_introduction(who: u8, introduction: IntroductionInput) {
	let before = Snapshot::take(who, who);
	take_events();
	assert_ok!(Staking::set_introduction(signed(who), introduction.clone()));
	assert_eq!(Snapshot::take(who, who), before);
	let stored = Introductions::<Test>::get(account(who)).unwrap();
	let IntroductionInput {
		name,
		endpoint,
		text,
	} = introduction;
	assert_eq!(stored.name.into_inner(), name);
	assert_eq!(stored.endpoint.into_inner(), endpoint);
	assert_eq!(stored.text.into_inner(), text);
	assert_eq!(
		take_events(),
		[Event::IntroductionSet {
			operator: account(who),
			name,
			endpoint,
			text
		}]
	);
}

/// Adds to an active operator's own stake, at a rate of 1:1.
pub fn assert_stake_more(who: u8, amount: Balance) {
	let before = Snapshot::take(who, who);
	take_events();
	assert_ok!(Staking::stake_more(signed(who), amount));
	let after = Snapshot::take(who, who);

	let mut expected = before.clone().repriced(before.pool.value + amount);
	expected.pool.shares.0 += amount;
	expected.free -= amount;
	expected.pot += amount;
	expected.held += amount;
	expected.position += amount;
	expected.self_stake += amount;
	assert_eq!(after, expected);
	assert_eq!(
		take_events(),
		[Event::Staked {
			operator: account(who),
			amount,
			self_stake: before.self_stake + amount,
			total_stake: before.pool.value + amount,
		}]
	);
}

/// Takes some of an operator's own stake out, at a rate of 1:1.
pub fn assert_unstake(who: u8, amount: Amount) {
	let before = Snapshot::take(who, who);
	let value = match amount {
		Amount::All => before.self_stake,
		Amount::Value(value) => value,
	};
	take_events();
	assert_ok!(Staking::unstake(signed(who), amount));
	let after = Snapshot::take(who, who);

	let mut expected = left(before.clone(), value);
	expected.self_stake -= value;
	assert_eq!(after, expected);
	assert_eq!(
		take_events(),
		[Event::Unstaked {
			operator: account(who),
			amount: value,
			self_stake: before.self_stake - value,
			total_stake: before.pool.value - value,
			withdrawable_era: withdrawable(),
		}]
	);
}

/// Votes for an operator, at a rate of 1:1.
pub fn assert_vote(who: u8, operator: u8, amount: Balance) {
	let before = Snapshot::take(who, operator);
	take_events();
	assert_ok!(Staking::vote(signed(who), account(operator), amount));
	let after = Snapshot::take(who, operator);

	let mut expected = before.clone().repriced(before.pool.value + amount);
	expected.pool.shares.0 += amount;
	expected.free -= amount;
	expected.pot += amount;
	expected.held += amount;
	expected.position += amount;
	assert_eq!(after, expected);
	assert_eq!(
		take_events(),
		[Event::Voted {
			voter: account(who),
			operator: account(operator),
			amount,
			position: before.position + amount,
			total_stake: before.pool.value + amount,
		}]
	);
}

/// Takes a vote back, at a rate of 1:1.
pub fn assert_unvote(who: u8, operator: u8, amount: Amount) {
	let before = Snapshot::take(who, operator);
	let value = match amount {
		Amount::All => before.position,
		Amount::Value(value) => value,
	};
	take_events();
	assert_ok!(Staking::unvote(signed(who), account(operator), amount));
	let after = Snapshot::take(who, operator);

	assert_eq!(after, left(before.clone(), value));
	assert_eq!(
		take_events(),
		[Event::Unvoted {
			voter: account(who),
			operator: account(operator),
			amount: value,
			position: before.position - value,
			total_stake: before.pool.value - value,
			withdrawable_era: withdrawable(),
		}]
	);
}

/// The snapshot after `value` has left the pool for the unbonding pool, at rates of 1:1.
fn left(before: Snapshot, value: Balance) -> Snapshot {
	let total = before.pool.value - value;
	let mut expected = before.repriced(total);
	expected.pool.shares.0 -= value;
	expected.position -= value;
	expected.leaving += value;
	expected.leaving_pool.value += value;
	expected.leaving_pool.shares.0 += value;
	expected
}

/// Withdraws, expecting exactly this amount.
pub fn assert_withdraw(who: u8, amount: Balance) {
	let before = Snapshot::take(who, who);
	let now = CurrentEra::<Test>::get();
	let waiting: Vec<_> = Unbonding::<Test>::get(account(who))
		.into_iter()
		.filter(|chunk| chunk.era + UNBONDING_ERAS > now)
		.collect();
	take_events();
	assert_ok!(Staking::withdraw(signed(who)));
	let after = Snapshot::take(who, who);

	let mut expected = before;
	expected.free += amount;
	expected.pot -= amount;
	expected.held -= amount;
	expected.leaving -= amount;
	assert_eq!(after, expected);
	assert_eq!(Unbonding::<Test>::get(account(who)).into_inner(), waiting);
	assert_eq!(
		take_events(),
		[Event::Withdrawn {
			account: account(who),
			amount
		}]
	);
}

/// Retires an operator.
pub fn assert_retire(who: u8) {
	let before = Snapshot::take(who, who);
	let record = before.record.clone().unwrap();
	let era = CurrentEra::<Test>::get();
	take_events();
	assert_ok!(Staking::retire(signed(who)));
	let after = Snapshot::take(who, who);
	let operator = account(who);

	let mut expected = before.clone();
	let place = Role::ALL
		.iter()
		.position(|role| *role == record.role)
		.unwrap();
	expected.totals[place] = expected.totals[place]
		.replaced(record.counted, None)
		.unwrap();
	expected.ordered = false;
	expected.released.push(record.worker.unwrap());
	expected.record = Some(Operator {
		worker: None,
		retired: Some(era),
		counted: None,
		..record.clone()
	});
	assert_eq!(after, expected);
	assert_eq!(
		WorkerOwners::<Test>::get(record.worker.unwrap()),
		Some(WorkerOwner {
			operator: operator.clone(),
			released: Some(era)
		})
	);
	let mut events = Vec::new();
	if before.active() {
		events.push(Event::OperatorDeactivated {
			operator: operator.clone(),
			role: record.role,
		});
	}
	events.push(Event::OperatorRetired { operator, era });
	assert_eq!(take_events(), events);
}

/// Raises what an operator's pool is worth, as a reward does: nobody gets shares, the tokens come
/// into the pot.
pub fn raise(operator: u8, amount: Balance) {
	use frame_support::traits::fungible::Mutate;
	Balances::mint_into(&Staking::pot(), amount).unwrap();
	Held::<Test>::mutate(|held| *held += amount);
	Staking::change_pool(&account(operator), |_, pool| {
		pool.value += amount;
		Ok(())
	})
	.unwrap();
}

/// Lowers what an operator's pool is worth, as a slash does; the tokens are burnt. A pool that is
/// slashed to nothing begins a new generation.
pub fn lower(operator: u8, amount: Balance) {
	burn(amount);
	Staking::change_pool(&account(operator), |_, pool| {
		slash(pool, amount);
		Ok(())
	})
	.unwrap();
}

/// Lowers what an unbonding pool is worth, as a slash does.
pub fn lower_unbonding(operator: &AccountId, era: EraIndex, amount: Balance) {
	burn(amount);
	UnbondingPools::<Test>::mutate(operator, era, |pool| slash(pool.as_mut().unwrap(), amount));
}

fn burn(amount: Balance) {
	use frame_support::traits::{
		fungible::Mutate,
		tokens::{Fortitude, Precision, Preservation},
	};
	Balances::burn_from(
		&Staking::pot(),
		amount,
		Preservation::Preserve,
		Precision::Exact,
		Fortitude::Polite,
	)
	.unwrap();
	Held::<Test>::mutate(|held| *held -= amount);
}

fn slash(pool: &mut Pool, amount: Balance) {
	pool.value -= amount;
	if pool.value == 0 {
		*pool = Pool {
			generation: pool.generation + 1,
			..Default::default()
		};
	}
}
