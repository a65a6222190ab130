//! Stake on its way out. It waits in the unbonding pool of its operator and era, with shares of its
//! own, so that an offence before it left still reaches it.

use alloc::vec::Vec;
use cuckoo_primitives::{AccountId, Balance, EraIndex};
use frame_support::pallet_prelude::*;

use crate::{
	pool::{Pool, Position},
	types::{Amount, UnbondingChunk},
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

	/// Takes stake that is on its way out back into the operator's pool, what left last first.
	pub(crate) fn do_rebond(
		account: AccountId,
		operator: AccountId,
		amount: Amount,
	) -> DispatchResult {
		let (rebonded, position, total_stake) = Self::change_stake(&operator, |record, stake| {
			Self::ensure_takes_stake(record)?;
			let rebonded = Self::take_back(&account, &operator, amount)?;
			let bought = stake.pool.join_whole(rebonded).map_err(Error::<T>::from)?;
			let position = Self::add_shares(&account, &operator, &stake.pool, bought)?;
			ensure!(position >= T::MinVote::get(), Error::<T>::VoteTooSmall);
			Ok((rebonded, position, stake.pool.value))
		})?;
		Self::deposit_event(Event::Rebonded {
			account,
			operator,
			amount: rebonded,
			position,
			total_stake,
		});
		Ok(())
	}

	/// Takes an amount out of the account's chunks of one operator, the youngest first. Returns what
	/// came out: up to a unit more for each chunk than was asked for, as whole shares come out.
	fn take_back(
		account: &AccountId,
		operator: &AccountId,
		amount: Amount,
	) -> Result<Balance, DispatchError> {
		let mut chunks = Unbonding::<T>::get(account);
		let mut taken: Balance = 0;
		for chunk in chunks
			.iter_mut()
			.rev()
			.filter(|chunk| chunk.operator == *operator)
		{
			let pool = UnbondingPools::<T>::get(operator, chunk.era).unwrap_or_default();
			let worth = chunk.value_in(&pool);
			let sold = match amount {
				Amount::All => chunk.shares,
				Amount::Value(wanted) => match wanted.saturating_sub(taken) {
					0 => break,
					missing if missing >= worth => chunk.shares,
					missing => pool.shares_worth(missing).map_err(Error::<T>::from)?,
				},
			};
			let left = chunk
				.shares
				.checked_sub(sold)
				.ok_or(Error::<T>::PositionTooSmall)?;
			let out = UnbondingChunk {
				shares: sold,
				..chunk.clone()
			};
			taken = taken
				.checked_add(Self::redeem(&out)?)
				.ok_or(Error::<T>::AmountTooLarge)?;
			chunk.shares = left;
		}
		ensure!(taken > 0, Error::<T>::NothingToRebond);
		if let Amount::Value(wanted) = amount {
			ensure!(taken >= wanted, Error::<T>::PositionTooSmall);
		}
		chunks.retain(|chunk| !chunk.shares.is_zero());
		Self::put_chunks(account, chunks);
		Ok(taken)
	}

	pub(crate) fn do_withdraw(account: AccountId) -> DispatchResult {
		let now = CurrentEra::<T>::get();
		let mut chunks = Unbonding::<T>::get(&account);
		let is_due = |chunk: &UnbondingChunk| Self::is_past(chunk.era, now);
		ensure!(chunks.iter().any(is_due), Error::<T>::NothingToWithdraw);
		// A slash that is late, because nobody applied it, still finds what it reaches.
		let mut due = Vec::new();
		chunks.retain(|chunk| {
			let leaves = is_due(chunk) && !Self::is_in_reach(&chunk.operator, chunk.era);
			if leaves {
				due.push(chunk.clone());
			}
			!leaves
		});
		ensure!(!due.is_empty(), Error::<T>::SlashPending);
		let mut amount: Balance = 0;
		for chunk in &due {
			let value = Self::redeem(chunk)?;
			amount = amount
				.checked_add(value)
				.ok_or(Error::<T>::AmountTooLarge)?;
		}
		Self::put_chunks(&account, chunks);
		if amount > 0 {
			Self::pay_out(&account, amount)?;
		}
		Self::deposit_event(Event::Withdrawn { account, amount });
		Ok(())
	}

	/// Stores an account's chunks, or removes the list when it is empty.
	pub(crate) fn put_chunks(
		account: &AccountId,
		chunks: BoundedVec<UnbondingChunk, T::MaxUnbondingChunks>,
	) {
		if chunks.is_empty() {
			Unbonding::<T>::remove(account);
		} else {
			Unbonding::<T>::insert(account, chunks);
		}
	}

	/// Takes a chunk out of its unbonding pool and returns what it is worth.
	fn redeem(chunk: &UnbondingChunk) -> Result<Balance, DispatchError> {
		let Some(mut pool) = UnbondingPools::<T>::get(&chunk.operator, chunk.era) else {
			return Ok(0);
		};
		if chunk.generation != pool.generation {
			// A pool without shares was remembered while its era lasted: it goes with what is left.
			Self::put_unbonding_pool(&chunk.operator, chunk.era, &pool);
			return Ok(0);
		}
		let value = pool.leave(chunk.shares).map_err(Error::<T>::from)?;
		Self::put_unbonding_pool(&chunk.operator, chunk.era, &pool);
		Ok(value)
	}

	/// Stores an unbonding pool, or removes it when it has no shares. While its era lasts more can come
	/// in, so that a generation must be remembered, or shares of an ended one would come back to
	/// life.
	pub(crate) fn put_unbonding_pool(operator: &AccountId, era: EraIndex, pool: &Pool) {
		let remembers = pool.generation > 0 && era == CurrentEra::<T>::get();
		if pool.shares.is_zero() && !remembers {
			UnbondingPools::<T>::remove(operator, era);
		} else {
			UnbondingPools::<T>::insert(operator, era, pool);
		}
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
