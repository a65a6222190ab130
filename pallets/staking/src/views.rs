//! What the runtime API answers. Amounts are balances at today's rate, never bare shares; lists are
//! paged and bounded.

use alloc::vec::Vec;
use cuckoo_primitives::{AccountId, Balance, Role, WorkerId};
use frame_support::traits::Get;
use pallet_cuckoo_staking_runtime_api::{
	OperatorInfo, PositionInfo, SlashInfo, StakingInfo, UnbondingInfo, MAX_PAGE,
};

use crate::{
	operators::is_sorted,
	pool::Position,
	types::{Operator, SlashId},
	ByStake, Config, CurrentEra, Introductions, Operators, Pallet, Positions, RoleMembers,
	SlashQueue, Slashes, Totals, Unbonding, UnbondingPools, WorkerNonces, WorkerOwners,
};

impl<T: Config> Pallet<T> {
	/// Operators of a role, in the order of storage keys, after `from`; at most `limit`.
	pub fn operators(
		role: Role,
		from: Option<AccountId>,
		limit: u32,
	) -> Vec<OperatorInfo<AccountId, Balance>> {
		let accounts = match from {
			Some(from) => {
				let key = RoleMembers::<T>::hashed_key_for(role, from);
				RoleMembers::<T>::iter_key_prefix_from(role, key)
			},
			None => RoleMembers::<T>::iter_key_prefix(role),
		};
		accounts
			.take(limit.min(MAX_PAGE) as usize)
			.filter_map(|account| {
				let record = Operators::<T>::get(&account)?;
				Some(Self::operator_info(account, record))
			})
			.collect()
	}

	/// The active validators or coordinators with the most stake, most first; empty for miners.
	pub fn top(role: Role, count: u32) -> Vec<(AccountId, Balance)> {
		if !is_sorted(role) {
			return Vec::new();
		}
		ByStake::<T>::iter_key_prefix((role,))
			.take(count.min(T::MaxSorted::get()) as usize)
			.map(|(stake, account)| (account, stake.into()))
			.collect()
	}

	/// What a voter has on all operators, after `from`; at most `limit`.
	pub fn positions(
		voter: AccountId,
		from: Option<AccountId>,
		limit: u32,
	) -> Vec<PositionInfo<AccountId, Balance>> {
		let positions = match from {
			Some(from) => {
				let key = Positions::<T>::hashed_key_for(&voter, from);
				Positions::<T>::iter_prefix_from(&voter, key)
			},
			None => Positions::<T>::iter_prefix(&voter),
		};
		positions
			.take(limit.min(MAX_PAGE) as usize)
			.map(|(operator, position)| Self::position_info(operator, position))
			.collect()
	}

	/// Whose worker this key is. `None` for a key that was let go of.
	pub fn operator_by_worker(worker: WorkerId) -> Option<AccountId> {
		WorkerOwners::<T>::get(worker)
			.filter(|owner| owner.released.is_none())
			.map(|owner| owner.operator)
	}

	/// The nonce that the next worker proof of this operator must carry.
	pub fn worker_nonce(operator: AccountId) -> u32 {
		WorkerNonces::<T>::get(operator)
	}

	/// The slashes that wait, the oldest first, with numbers above `from`; at most `limit`. Looks at no
	/// more than [`MAX_PAGE`] numbers, so that a page may be short: continue after its last one.
	pub fn pending_slashes(from: Option<SlashId>, limit: u32) -> Vec<SlashInfo<AccountId>> {
		let queue = SlashQueue::<T>::get();
		let first = from.map_or(queue.first, |from| queue.first.max(from.saturating_add(1)));
		(first..queue.next)
			.take(MAX_PAGE as usize)
			.filter_map(|id| Some((id, Slashes::<T>::get(id)?)))
			.take(limit as usize)
			.map(|(slash, waiting)| SlashInfo {
				slash,
				operator: waiting.operator,
				era: waiting.era,
				fraction: waiting.fraction,
				reporter: waiting.reporter,
				due_era: waiting.due,
			})
			.collect()
	}

	/// Figures of the whole.
	pub fn info() -> StakingInfo<Balance> {
		StakingInfo {
			era: CurrentEra::<T>::get(),
			unbonding_eras: T::UnbondingEras::get(),
			evidence_eras: T::EvidenceEras::get(),
			slash_defer_eras: T::SlashDeferEras::get(),
			min_vote: T::MinVote::get(),
			active: Role::ALL
				.into_iter()
				.map(|role| {
					let totals = Totals::<T>::get(role);
					(role, totals.operators, totals.stake)
				})
				.collect(),
		}
	}

	pub(crate) fn operator_info(
		account: AccountId,
		record: Operator,
	) -> OperatorInfo<AccountId, Balance> {
		// As it counts, not as it has grown since: it changes only with an event that names the
		// operator, so that whoever follows the events has the same list as whoever reads it whole.
		let stake = Self::stored_stake(&account);
		let pool = stake.pool;
		let now = CurrentEra::<T>::get();
		let commission = record.commission;
		let (name, endpoint, text) = Introductions::<T>::get(&account)
			.map(|introduction| {
				(
					introduction.name.into_inner(),
					introduction.endpoint.into_inner(),
					introduction.text.into_inner(),
				)
			})
			.unwrap_or_default();
		OperatorInfo {
			self_stake: Self::self_stake(&account, &pool),
			total_stake: pool.value,
			account,
			role: record.role,
			worker: record.worker,
			commission: commission.in_era(now),
			next_commission: commission.next.filter(|(_, since)| *since > now),
			name,
			endpoint,
			text,
			active: record.is_active(),
			retired: record.is_retired(),
			suspended: record.is_suspended(),
			streaming: stake.stream.amount,
		}
	}

	pub(crate) fn position_info(
		operator: AccountId,
		position: Position,
	) -> PositionInfo<AccountId, Balance> {
		let value = position.value_in(&Self::stake_now(&operator).pool);
		PositionInfo { operator, value }
	}

	pub(crate) fn unbonding_info(voter: &AccountId) -> Vec<UnbondingInfo<AccountId, Balance>> {
		Unbonding::<T>::get(voter)
			.into_iter()
			.map(|chunk| {
				let pool = UnbondingPools::<T>::get(&chunk.operator, chunk.era).unwrap_or_default();
				UnbondingInfo {
					value: chunk.value_in(&pool),
					since_era: chunk.era,
					withdrawable_era: Self::withdrawable_era(chunk.era),
					operator: chunk.operator,
				}
			})
			.collect()
	}
}
