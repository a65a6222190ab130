//! One helper a call: takes a snapshot, makes the call, and checks every difference and event.

use cuckoo_primitives::{
	signing::{sign, signing_hash, Assignment, ResultCommitment, SignedPayload},
	task::{DeviceClass, TaskId},
	AccountId, Balance, EraIndex, Role, WorkerId, H256,
};
use frame_support::{
	assert_ok,
	dispatch::Pays,
	traits::{fungible::Balanced, Imbalance},
};
use pallet_cuckoo_staking_runtime_api::SlashInfo;

use crate::{
	mock::*,
	pool::Pool,
	types::{
		Amount, Commission, DescendingStake, IntroductionInput, Operator, RoleTotals, SlashId,
		WorkerOwner,
	},
	ByStake, CurrentEra, Event, Evidence, Held, Introductions, Operators, Pools, ReleasedWorkers,
	RewardSink, RoleMembers, Signed, SlashQueue, Totals, Unbonding, UnbondingPools, WorkerNonces,
	WorkerOwners,
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
			commission: Commission::new(commission()),
			retired: None,
			suspended: None,
			minimum: Staking::role_params(role).min_self_stake,
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
			since: block(),
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
	let bound = WorkerOwners::<Test>::get(previous).unwrap();
	// A former worker that is taken back is its own since the first time.
	let since = WorkerOwners::<Test>::get(worker(key))
		.filter(|owner| owner.operator == account(who))
		.filter(|owner| {
			let released = owner.released.expect("nobody's present worker is bound");
			!Staking::is_past(released.era, CurrentEra::<Test>::get())
		})
		.map_or_else(block, |owner| owner.since);
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
			released: Some(Staking::moment()),
			..bound
		})
	);
	assert_eq!(
		WorkerOwners::<Test>::get(worker(key)),
		Some(WorkerOwner {
			operator: operator.clone(),
			since,
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
	let bound = WorkerOwners::<Test>::get(record.worker.unwrap()).unwrap();
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
			released: Some(Staking::moment()),
			..bound
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
	Staking::change_stake(&account(operator), |_, stake| {
		stake.pool.value += amount;
		Ok(())
	})
	.unwrap();
}

/// Lowers what an operator's pool is worth, as a slash does; the tokens are burnt. A pool that is
/// slashed to nothing begins a new generation.
pub fn lower(operator: u8, amount: Balance) {
	burn(amount);
	Staking::change_stake(&account(operator), |_, stake| {
		slash(&mut stake.pool, amount);
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

/// Signs a message with the worker key `key`.
pub fn sign_with<Payload: SignedPayload>(key: u32, payload: Payload) -> Signed<Payload> {
	let signature = sign(&GENESIS_HASH, &payload, &worker_key(key));
	Signed { payload, signature }
}

/// An assignment of the task `task` by [`COORDINATOR`] to a miner with the worker key `key`, from the
/// draw of the block `block`.
pub fn assignment(miner: u8, key: u32, block: u32, task: u8) -> Assignment {
	Assignment {
		coordinator: account(COORDINATOR),
		task: TaskId([task; 16]),
		attempt: 0,
		miner: account(miner),
		worker: worker(key),
		spec_hash: H256::repeat_byte(1),
		model: H256::repeat_byte(2),
		deadline_ms: 1_000,
		block_number: block,
		block_hash: H256::repeat_byte(3),
		randomness: H256::repeat_byte(4),
		eligible_root: H256::repeat_byte(5),
		total_weight: 6,
	}
}

/// A commitment to the output `output` of an assignment.
pub fn commitment(assignment: &Assignment, output: u8) -> ResultCommitment {
	ResultCommitment {
		assignment: signing_hash(&GENESIS_HASH, assignment),
		output: H256::repeat_byte(output),
		trajectory_root: H256::repeat_byte(1),
		engine_profile: H256::repeat_byte(2),
		device: DeviceClass::Cpu,
	}
}

/// Two commitments of the worker key `key` for one assignment.
pub fn two_results(miner: u8, key: u32, block: u32, task: u8) -> Evidence {
	let assignment = assignment(miner, key, block, task);
	let [first, second] = [1, 2].map(|output| sign_with(key, commitment(&assignment, output)));
	Evidence::Results {
		assignment,
		first,
		second,
	}
}

/// Two assignments for one attempt by [`COORDINATOR`]'s worker key `key`.
pub fn two_assignments(key: u32, block: u32, task: u8) -> Evidence {
	let [first, second] =
		[ALICE, BOB].map(|miner| sign_with(key, assignment(miner, miner.into(), block, task)));
	Evidence::Assignments {
		workers: [worker(key); 2],
		first,
		second,
	}
}

/// Proof that [`MINER`]'s first worker has committed an offence in the present block.
pub fn offence_now(task: u8) -> Evidence {
	two_results(MINER, MINER.into(), block(), task)
}

/// The number that the next slash will have.
pub fn next_slash() -> SlashId {
	SlashQueue::<Test>::get().next
}

/// Reports an offence of an operator that is in service and has none in `era` yet. Returns the
/// slash's number.
pub fn assert_report(who: u8, operator: u8, evidence: Evidence, era: EraIndex) -> SlashId {
	let before = Snapshot::take(who, operator);
	let record = before.record.clone().unwrap();
	let (slash, now) = (next_slash(), CurrentEra::<Test>::get());
	// That of the role in which the offence was committed.
	let role = match evidence {
		Evidence::Results { .. } => Role::Miner,
		Evidence::Assignments { .. } => Role::Coordinator,
	};
	let fraction = Staking::role_params(role).offence_fraction;
	take_events();
	let paid = Staking::report_equivocation(signed(who), Box::new(evidence)).unwrap();
	assert_eq!(paid.pays_fee, Pays::No);
	let after = Snapshot::take(who, operator);

	let mut expected = before.clone();
	let place = Role::ALL
		.iter()
		.position(|role| *role == record.role)
		.unwrap();
	expected.totals[place] = expected.totals[place]
		.replaced(record.counted, None)
		.unwrap();
	expected.ordered = false;
	expected.record = Some(Operator {
		suspended: record.suspended.or(Some(now)),
		counted: None,
		..record.clone()
	});
	assert_eq!(after, expected);
	let due_era = now + SLASH_DEFER_ERAS;
	let shown = Staking::pending_slashes(slash.checked_sub(1), 1);
	assert_eq!(
		shown,
		[SlashInfo {
			slash,
			operator: account(operator),
			era,
			fraction,
			reporter: Some(account(who)),
			due_era,
		}]
	);
	let mut events = Vec::new();
	if !record.is_suspended() {
		events.push(Event::OperatorSuspended {
			operator: account(operator),
			role: record.role,
		});
	}
	if before.active() {
		events.push(Event::OperatorDeactivated {
			operator: account(operator),
			role: record.role,
		});
	}
	events.push(Event::SlashQueued {
		slash,
		operator: account(operator),
		era,
		fraction,
		reporter: Some(account(who)),
		due_era,
	});
	assert_eq!(take_events(), events);
	slash
}

/// Applies exactly one slash, and expects that it takes `amount` from the operator and that the
/// reporter, if there is one, gets `reward` of it.
pub fn assert_apply(slash: SlashId, operator: u8, amount: Balance, reporter: u8, reward: Balance) {
	let (before, issued, gone) = (
		Snapshot::take(reporter, operator),
		Balances::total_issuance(),
		SlashedAway::get(),
	);
	take_events();
	let paid = Staking::apply_slashes(signed(CAROL), 1).unwrap();
	assert_eq!(paid.pays_fee, Pays::No);
	let after = Snapshot::take(reporter, operator);
	assert_eq!(after.held, before.held - amount);
	assert_eq!(after.pot, before.pot - amount);
	assert_eq!(after.free, before.free + reward);
	assert_eq!(SlashedAway::get(), gone + amount - reward);
	assert_eq!(Balances::total_issuance(), issued - (amount - reward));
	assert!(Staking::pending_slashes(slash.checked_sub(1), 1)
		.iter()
		.all(|waiting| waiting.slash != slash));
	assert_eq!(
		take_events(),
		[Event::Slashed {
			slash,
			operator: account(operator),
			amount,
			reporter: Some(account(reporter)),
			reporter_reward: reward,
		}]
	);
}

/// Brings a credit of newly issued tokens; returns what came back of it.
pub fn pay(operator: u8, amount: Balance) -> Result<(), Balance> {
	let credit = <Balances as Balanced<AccountId>>::issue(amount);
	<Staking as RewardSink>::reward(&account(operator), credit).map_err(|credit| credit.peek())
}

/// Rewards an operator, and expects that `commission` of it is staked for it at once.
pub fn assert_reward(operator: u8, amount: Balance, commission: Balance) {
	let before = Snapshot::take(operator, operator);
	let (issued, streaming) = (Balances::total_issuance(), streaming(operator));
	take_events();
	assert_eq!(pay(operator, amount), Ok(()));
	let after = Snapshot::take(operator, operator);
	assert_eq!(Balances::total_issuance(), issued + amount);
	assert_eq!(after.held, before.held + amount);
	assert_eq!(after.pot, before.pot + amount);
	assert_eq!(after.free, before.free);
	assert_eq!(
		super::support::streaming(operator),
		streaming + amount - commission
	);
	assert_eq!(
		take_events(),
		[Event::Rewarded {
			operator: account(operator),
			amount,
			commission,
		}]
	);
}

/// What is on its way into an operator's pool at this block.
pub fn streaming(operator: u8) -> Balance {
	Staking::stake_now(&account(operator)).stream.amount
}

/// What an account's stake on an operator is worth now.
pub fn worth(who: u8, operator: u8) -> Balance {
	Staking::position(account(who), account(operator)).map_or(0, |position| position.value)
}

/// What is on its way out for an account.
pub fn leaving(who: u8) -> Balance {
	Staking::unbonding(account(who))
		.into_iter()
		.map(|chunk| chunk.value)
		.sum()
}

/// An operator's record.
pub fn record(operator: u8) -> Operator {
	Operators::<Test>::get(account(operator)).unwrap()
}
