//! The invariants of the crate's documentation, under the same numbers, checked on the whole state.
//!
//! Every message begins with the invariant's number, so that a broken one is found in the list.

use alloc::collections::{BTreeMap, BTreeSet};
use cuckoo_primitives::{AccountId, Balance, EraIndex, Role};
use frame_support::{
	traits::{fungible::Inspect, ConstU32},
	BoundedVec,
};
use pallet_cuckoo_staking_runtime_api::ValidatorParams;
use sp_runtime::TryRuntimeError;

use crate::{
	decoding::{all_decode, decodes},
	operators::is_sorted,
	pool::{Generation, Shares},
	types::{
		DescendingStake, EraStartedAt, RoleTotals, SlashId, SlashQueueBounds, MAX_ERAS,
		MAX_RELEASED_WORKERS,
	},
	AuthoredBlocks, ByStake, Config, CurrentEra, Held, Introductions, Offences, Operators, Pallet,
	Pools, Positions, RecentEras, ReleasedWorkers, RoleMembers, RoleParameters, SlashQueue,
	Slashes, Streams, Totals, Unbonding, UnbondingPools, ValidatorParameters, WorkerNonces,
	WorkerOwners,
};

/// Ends the check with the message unless the condition holds.
macro_rules! invariant {
	($condition:expr, $message:literal) => {
		if !$condition {
			return Err(TryRuntimeError::Other($message));
		}
	};
}

impl<T: Config> Pallet<T> {
	/// Checks every invariant. Walks the whole state: for tests, `try-runtime` and `cuckoo-node
	/// check-state` only.
	pub fn do_try_state() -> Result<(), TryRuntimeError> {
		// The others read decoded values: what does not decode would be invisible to them.
		Self::check_decoding()?;
		Self::check_money()?;
		Self::check_pools()?;
		Self::check_unbonding()?;
		Self::check_activity()?;
		Self::check_workers()?;
		Self::check_order()?;
		Self::check_totals()?;
		Self::check_records()?;
		Self::check_slashes()?;
		Self::check_eras()
	}

	/// Invariant 1: the money that came in and did not go out, and what pools, streams and unbonding
	/// pools are worth, are the same; and the pot has at least that and its existential deposit.
	fn check_money() -> Result<(), TryRuntimeError> {
		let owed = Pools::<T>::iter_values()
			.chain(UnbondingPools::<T>::iter_values())
			.map(|pool| pool.value)
			.chain(Streams::<T>::iter_values().map(|stream| stream.amount))
			.try_fold(0, |sum: Balance, value| sum.checked_add(value));
		invariant!(
			owed == Some(Held::<T>::get()),
			"1: Held is not the sum of all pools and streams"
		);
		let needed = Held::<T>::get().saturating_add(T::Currency::minimum_balance());
		invariant!(
			T::Currency::total_balance(&Self::pot()) >= needed,
			"1: the pot has less than it owes"
		);
		Ok(())
	}

	/// Invariant 2: the shares of a pool are those of its positions; without shares there is no value
	/// and no stream; what is worth next to nothing is of a past generation.
	fn check_pools() -> Result<(), TryRuntimeError> {
		let mut sums = BTreeMap::<AccountId, Shares>::new();
		for (_, operator, position) in Positions::<T>::iter() {
			invariant!(!position.shares.is_zero(), "2: a position has no shares");
			invariant!(
				Pools::<T>::contains_key(&operator),
				"2: a position has no pool"
			);
			let pool = Pools::<T>::get(&operator);
			invariant!(
				position.generation <= pool.generation,
				"2: a position is of a generation to come"
			);
			let sum = sums.entry(operator).or_default();
			*sum = sum
				.checked_add(position.shares_in(&pool))
				.ok_or(TryRuntimeError::Other("2: positions overflow"))?;
		}
		for (operator, pool) in Pools::<T>::iter() {
			let sum = sums.get(&operator).copied().unwrap_or_default();
			invariant!(
				sum == pool.shares,
				"2: positions do not add up to the pool's shares"
			);
			invariant!(
				!pool.shares.is_zero() || pool.value == 0,
				"2: a pool has value but no shares"
			);
			invariant!(!pool.is_spent(), "2: a pool's shares are worth nothing");
		}
		for (operator, stream) in Streams::<T>::iter() {
			invariant!(stream.amount > 0, "2: a stream has nothing left");
			invariant!(
				stream.since < stream.until && stream.since <= Self::block_number(),
				"2: a stream has no time to flow"
			);
			invariant!(
				!Pools::<T>::get(&operator).shares.is_zero(),
				"2: a stream flows to nobody"
			);
		}
		Ok(())
	}

	/// Invariant 3: the shares of an unbonding pool are those of its chunks; no chunk is twice in a
	/// list or from the future.
	fn check_unbonding() -> Result<(), TryRuntimeError> {
		let now = CurrentEra::<T>::get();
		let mut sums = BTreeMap::<(AccountId, EraIndex, Generation), Shares>::new();
		for (_, chunks) in Unbonding::<T>::iter() {
			let mut seen = BTreeSet::new();
			for chunk in chunks {
				let key = (chunk.operator, chunk.era, chunk.generation);
				invariant!(key.1 <= now, "3: a chunk is from the future");
				invariant!(!chunk.shares.is_zero(), "3: a chunk has no shares");
				invariant!(seen.insert(key.clone()), "3: a chunk is twice in a list");
				let sum = sums.entry(key).or_default();
				*sum = sum
					.checked_add(chunk.shares)
					.ok_or(TryRuntimeError::Other("3: chunks overflow"))?;
			}
		}
		for (operator, era, pool) in UnbondingPools::<T>::iter() {
			let sum = sums
				.remove(&(operator, era, pool.generation))
				.unwrap_or_default();
			invariant!(
				sum == pool.shares,
				"3: chunks do not add up to the unbonding pool's shares"
			);
			invariant!(
				!pool.shares.is_zero() || pool.value == 0,
				"3: an unbonding pool has value but no shares"
			);
		}
		// What is left is of an earlier generation of a pool that is there or was.
		for (operator, era, generation) in sums.into_keys() {
			let stale = match UnbondingPools::<T>::get(&operator, era) {
				Some(pool) => generation < pool.generation,
				None => era < now,
			};
			invariant!(stale, "3: a chunk has no unbonding pool");
		}
		Ok(())
	}

	/// Invariant 4: an operator is active exactly if its own stake exceeds the minimum that it was last
	/// compared with, and it is neither retired nor suspended; it counts with its pool's value. While
	/// a slash waits for it, it is suspended.
	fn check_activity() -> Result<(), TryRuntimeError> {
		for (operator, record) in Operators::<T>::iter() {
			let pool = Pools::<T>::get(&operator);
			let enough = Self::self_stake(&operator, &pool) > record.minimum;
			invariant!(
				record.is_active() == (enough && record.takes_stake()),
				"4: an operator is active and should not be, or the reverse"
			);
			invariant!(
				record.counted.is_none_or(|stake| stake == pool.value),
				"4: an operator counts with another stake than its pool's"
			);
			invariant!(
				record.is_suspended() || !Self::has_pending_slash(&operator),
				"4: a slash waits for an operator that is not suspended"
			);
		}
		Ok(())
	}

	/// Invariant 5: workers in use and operators that have not retired are in bijection; workers let
	/// go of are on their owner's list; there is room for the one in use.
	fn check_workers() -> Result<(), TryRuntimeError> {
		for (operator, record) in Operators::<T>::iter() {
			invariant!(
				record.worker.is_some() != record.is_retired(),
				"5: a worker is missing, or bound to a retired operator"
			);
			let Some(worker) = record.worker else {
				continue;
			};
			invariant!(
				WorkerOwners::<T>::get(worker)
					.is_some_and(|owner| owner.operator == operator && owner.released.is_none()),
				"5: an operator's worker is not recorded as its own"
			);
			invariant!(
				WorkerNonces::<T>::get(&operator) > 0,
				"5: a bound worker was not counted"
			);
			invariant!(
				ReleasedWorkers::<T>::get(&operator).len() < MAX_RELEASED_WORKERS as usize,
				"5: there is no room to let go of a worker"
			);
		}
		for (worker, owner) in WorkerOwners::<T>::iter() {
			let bound = Operators::<T>::get(&owner.operator).and_then(|record| record.worker);
			let on_list = ReleasedWorkers::<T>::get(&owner.operator).contains(&worker);
			invariant!(
				(bound == Some(worker)) == owner.released.is_none(),
				"5: a worker in use is not its owner's"
			);
			invariant!(
				on_list == owner.released.is_some(),
				"5: a worker let go of is not on its owner's list"
			);
			invariant!(
				owner.released.is_none_or(|released| {
					released.era <= CurrentEra::<T>::get() && owner.since <= released.block
				}),
				"5: a worker is let go of in the future, or before it was bound"
			);
			invariant!(
				owner.since <= Self::block_number(),
				"5: a worker is bound in the future"
			);
		}
		for (operator, workers) in ReleasedWorkers::<T>::iter() {
			let unique: BTreeSet<_> = workers.iter().collect();
			invariant!(
				unique.len() == workers.len(),
				"5: a worker is twice on a list"
			);
			for worker in &workers {
				invariant!(
					WorkerOwners::<T>::get(worker).is_some_and(|owner| owner.operator == operator),
					"5: a list has a worker of another owner"
				);
			}
		}
		Ok(())
	}

	/// Invariant 6: the order by stake has exactly the active validators and coordinators, each once,
	/// with its stake.
	fn check_order() -> Result<(), TryRuntimeError> {
		// The keys sort themselves; what can go wrong is what is in them.
		let listed: BTreeSet<(Role, DescendingStake, AccountId)> =
			ByStake::<T>::iter_keys().collect();
		let expected: BTreeSet<_> = Operators::<T>::iter()
			.filter(|(_, record)| is_sorted(record.role))
			.filter_map(|(operator, record)| Some((record.role, record.counted?.into(), operator)))
			.collect();
		invariant!(
			listed == expected,
			"6: the order by stake does not list the active operators"
		);
		Ok(())
	}

	/// Invariant 7: a role's totals are the number and the sum of its active operators.
	fn check_totals() -> Result<(), TryRuntimeError> {
		for role in Role::ALL {
			let mut expected = RoleTotals::default();
			for record in Operators::<T>::iter_values().filter(|record| record.role == role) {
				expected = expected
					.replaced(None, record.counted)
					.ok_or(TryRuntimeError::Other("7: totals overflow"))?;
			}
			invariant!(
				Totals::<T>::get(role) == expected,
				"7: a role's totals are not those of its active operators"
			);
		}
		Ok(())
	}

	/// Invariant 8: every operator has an introduction in plain text, and is listed under its role and
	/// no other; only operators have pools; every role has parameters; those of validators can be used.
	fn check_records() -> Result<(), TryRuntimeError> {
		for (operator, record) in Operators::<T>::iter() {
			invariant!(
				Introductions::<T>::get(&operator)
					.is_some_and(|introduction| introduction.is_text()),
				"8: an operator has no readable introduction"
			);
			invariant!(
				RoleMembers::<T>::contains_key(record.role, &operator),
				"8: an operator is not listed under its role"
			);
		}
		let operators = Operators::<T>::iter_keys().count();
		invariant!(
			RoleMembers::<T>::iter_keys().count() == operators,
			"8: an account is listed under a role that it does not have"
		);
		invariant!(
			Introductions::<T>::iter_keys().count() == operators,
			"8: an introduction is nobody's"
		);
		for operator in Pools::<T>::iter_keys() {
			invariant!(
				Operators::<T>::contains_key(&operator),
				"8: a pool is nobody's"
			);
		}
		invariant!(
			Self::checked_validator_params(&ValidatorParameters::<T>::get()).is_ok(),
			"8: the validators' parameters cannot be used"
		);
		for role in Role::ALL {
			invariant!(
				RoleParameters::<T>::contains_key(role),
				"8: a role has no parameters"
			);
		}
		Ok(())
	}

	/// Invariant 10: every slash that waits is the one of its operator's offence in its era, takes more
	/// than was taken, has a number within the queue's bounds and a proof that is on record; and the reverse.
	fn check_slashes() -> Result<(), TryRuntimeError> {
		let queue = SlashQueue::<T>::get();
		let mut waiting = BTreeMap::<SlashId, (AccountId, EraIndex)>::new();
		for (operator, offences) in Offences::<T>::iter() {
			let eras: BTreeSet<_> = offences.iter().map(|offence| offence.era).collect();
			invariant!(
				eras.len() == offences.len(),
				"10: an era is twice on an operator's record"
			);
			for offence in offences {
				let Some(id) = offence.pending else {
					invariant!(
						offence.counted == offence.applied,
						"10: an offence counts with another part than was taken or waits"
					);
					continue;
				};
				let slash = Slashes::<T>::get(id)
					.ok_or(TryRuntimeError::Other("10: an offence waits for no slash"))?;
				invariant!(
					slash.fraction > offence.applied,
					"10: a slash takes no more than was taken"
				);
				invariant!(
					slash.fraction == offence.counted,
					"10: an offence counts with another part than was taken or waits"
				);
				invariant!(
					slash.evidence.is_none_or(|id| offence.proofs.contains(&id)),
					"10: a slash waits whose proof could be used again"
				);
				waiting.insert(id, (operator.clone(), offence.era));
			}
		}
		for (id, slash) in Slashes::<T>::iter() {
			invariant!(
				(queue.first..queue.next).contains(&id),
				"10: a slash is outside of the queue"
			);
			invariant!(
				waiting.get(&id) == Some(&(slash.operator, slash.era)),
				"10: a slash is not on its operator's record"
			);
		}
		Ok(())
	}

	/// Invariant 11: the eras on record follow each other without a gap, each beginning later than
	/// the one before, and the last is the present one.
	fn check_eras() -> Result<(), TryRuntimeError> {
		let eras = RecentEras::<T>::get();
		for pair in eras.windows(2) {
			if let [one, two] = pair {
				let follows = one.era.checked_add(1) == Some(two.era)
					&& one.session < two.session
					&& one.block <= two.block;
				invariant!(follows, "11: eras do not follow each other");
			}
		}
		invariant!(
			eras.last().map(|last| last.era) == Some(CurrentEra::<T>::get()),
			"11: the present era is not the last on record"
		);
		Ok(())
	}

	/// Invariant 9: every value decodes.
	fn check_decoding() -> Result<(), TryRuntimeError> {
		let decode = [
			all_decode::<_, RoleParameters<T>>(),
			all_decode::<_, Totals<T>>(),
			all_decode::<_, Operators<T>>(),
			all_decode::<_, RoleMembers<T>>(),
			all_decode::<_, Introductions<T>>(),
			all_decode::<_, WorkerOwners<T>>(),
			all_decode::<_, ReleasedWorkers<T>>(),
			all_decode::<_, WorkerNonces<T>>(),
			all_decode::<_, Pools<T>>(),
			all_decode::<_, Streams<T>>(),
			all_decode::<_, Positions<T>>(),
			all_decode::<_, Offences<T>>(),
			all_decode::<_, Slashes<T>>(),
			all_decode::<_, AuthoredBlocks<T>>(),
			all_decode::<_, UnbondingPools<T>>(),
			all_decode::<_, Unbonding<T>>(),
			all_decode::<_, ByStake<T>>(),
			decodes::<EraIndex>(&CurrentEra::<T>::hashed_key()),
			decodes::<BoundedVec<EraStartedAt, ConstU32<MAX_ERAS>>>(&RecentEras::<T>::hashed_key()),
			decodes::<ValidatorParams>(&ValidatorParameters::<T>::hashed_key()),
			decodes::<SlashQueueBounds>(&SlashQueue::<T>::hashed_key()),
			decodes::<Balance>(&Held::<T>::hashed_key()),
		];
		invariant!(
			decode.into_iter().all(|fine| fine),
			"9: a value does not decode"
		);
		Ok(())
	}
}
