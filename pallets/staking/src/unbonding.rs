//! Stake on its way out. It waits in the unbonding pool of its operator and era, with shares of its
//! own, so that an offence before it left still reaches it.

use alloc::vec::Vec;
use cuckoo_primitives::{AccountId, Balance, EraIndex};
use frame_support::pallet_prelude::*;

use crate::{
	pool::{Pool, Position},
	types::UnbondingChunk,
	Config, CurrentEra, Error, Event, Pallet, Unbonding, UnbondingPools,
};

impl UnbondingChunk {
	/// What the chunk is worth in its unbonding pool now.
	pub(crate) fn value_in(&self, pool: &Pool) -> Balance {
		Position {
			shares: self.shares,
			generation: self.generation,
		}
		.value_in(pool)
	}
}

impl<T: Config> Pallet<T> {
	/// Puts `value` that has just left `operator`'s pool into the unbonding pool of this era for
	/// `account`. Returns the first era in which it can be withdrawn.
	pub(crate) fn start_unbonding(
		account: &AccountId,
		operator: &AccountId,
		value: Balance,
	) -> Result<EraIndex, DispatchError> {
		let era = CurrentEra::<T>::get();
		let withdrawable_era = Self::withdrawable_era(era);
		// A position that was slashed to nothing leaves nothing behind.
		if value == 0 {
			return Ok(withdrawable_era);
		}
		let mut pool = UnbondingPools::<T>::get(operator, era).unwrap_or_default();
		let shares = pool.join(value).map_err(Error::<T>::from)?;
		UnbondingPools::<T>::insert(operator, era, pool);
		let generation = pool.generation;
		Unbonding::<T>::try_mutate(account, |chunks| {
			let same = chunks.iter_mut().find(|chunk| {
				chunk.operator == *operator && chunk.era == era && chunk.generation == generation
			});
			if let Some(chunk) = same {
				chunk.shares = chunk
					.shares
					.checked_add(shares)
					.ok_or(Error::<T>::AmountTooLarge)?;
				return Ok(withdrawable_era);
			}
			let chunk = UnbondingChunk {
				operator: operator.clone(),
				era,
				generation,
				shares,
			};
			chunks
				.try_push(chunk)
				.map_err(|_| Error::<T>::MaxUnbondingChunksExceeded)?;
			Ok(withdrawable_era)
		})
	}

	pub(crate) fn do_withdraw(account: AccountId) -> DispatchResult {
		let now = CurrentEra::<T>::get();
		let mut chunks = Unbonding::<T>::get(&account);
		let is_due = |chunk: &UnbondingChunk| Self::is_past(chunk.era, now);
		let due: Vec<_> = chunks
			.iter()
			.filter(|chunk| is_due(chunk))
			.cloned()
			.collect();
		ensure!(!due.is_empty(), Error::<T>::NothingToWithdraw);
		chunks.retain(|chunk| !is_due(chunk));
		let mut amount: Balance = 0;
		for chunk in &due {
			let value = Self::redeem(chunk)?;
			amount = amount
				.checked_add(value)
				.ok_or(Error::<T>::AmountTooLarge)?;
		}
		if chunks.is_empty() {
			Unbonding::<T>::remove(&account);
		} else {
			Unbonding::<T>::insert(&account, chunks);
		}
		if amount > 0 {
			Self::pay_out(&account, amount)?;
		}
		Self::deposit_event(Event::Withdrawn { account, amount });
		Ok(())
	}

	/// Takes a chunk out of its unbonding pool and returns what it is worth.
	fn redeem(chunk: &UnbondingChunk) -> Result<Balance, DispatchError> {
		let Some(mut pool) = UnbondingPools::<T>::get(&chunk.operator, chunk.era) else {
			return Ok(0);
		};
		if chunk.generation != pool.generation {
			return Ok(0);
		}
		let value = pool.leave(chunk.shares).map_err(Error::<T>::from)?;
		// Its era is over: nothing can come in again, and the generation need not be remembered.
		if pool.shares.is_zero() {
			UnbondingPools::<T>::remove(&chunk.operator, chunk.era);
		} else {
			UnbondingPools::<T>::insert(&chunk.operator, chunk.era, pool);
		}
		Ok(value)
	}

	/// The first era in which stake can be withdrawn that began to leave in `era`.
	pub(crate) fn withdrawable_era(era: EraIndex) -> EraIndex {
		era.saturating_add(T::UnbondingEras::get())
	}

	/// Whether what began in era `since` is past the unbonding time.
	pub(crate) fn is_past(since: EraIndex, now: EraIndex) -> bool {
		now >= Self::withdrawable_era(since)
	}
}
