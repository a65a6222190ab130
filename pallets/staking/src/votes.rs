//! Votes, and what they share with an operator's own stake: coming into a pool and going out.

use cuckoo_primitives::{AccountId, Balance};
use frame_support::pallet_prelude::*;

use crate::{
	pool::{Pool, Position, Shares},
	types::Amount,
	Config, Error, Event, Pallet, Positions,
};

impl<T: Config> Pallet<T> {
	pub(crate) fn do_vote(
		voter: AccountId,
		operator: AccountId,
		amount: Balance,
	) -> DispatchResult {
		ensure!(voter != operator, Error::<T>::SelfVoteNotAllowed);
		ensure!(amount >= T::MinVote::get(), Error::<T>::VoteTooSmall);
		let (position, total_stake) = Self::change_pool(&operator, |record, pool| {
			ensure!(!record.is_retired(), Error::<T>::OperatorRetired);
			let position = Self::join_pool(&voter, &operator, pool, amount)?;
			Ok((position, pool.value))
		})?;
		Self::deposit_event(Event::Voted {
			voter,
			operator,
			amount,
			position,
			total_stake,
		});
		Ok(())
	}

	pub(crate) fn do_unvote(
		voter: AccountId,
		operator: AccountId,
		amount: Amount,
	) -> DispatchResult {
		ensure!(voter != operator, Error::<T>::SelfVoteNotAllowed);
		let (paid, position, total_stake) = Self::change_pool(&operator, |_, pool| {
			let (paid, position) = Self::leave_pool(&voter, &operator, pool, amount)?;
			Self::ensure_no_dust(position)?;
			Ok((paid, position, pool.value))
		})?;
		let withdrawable_era = Self::start_unbonding(&voter, &operator, paid)?;
		Self::deposit_event(Event::Unvoted {
			voter,
			operator,
			amount: paid,
			position,
			total_stake,
			withdrawable_era,
		});
		Ok(())
	}

	/// Moves `amount` of an account into a pool, and returns what its position is worth then. Call it
	/// within [`Self::change_pool`].
	pub(crate) fn join_pool(
		account: &AccountId,
		operator: &AccountId,
		pool: &mut Pool,
		amount: Balance,
	) -> Result<Balance, DispatchError> {
		let bought = pool.join(amount).map_err(Error::<T>::from)?;
		Self::take_in(account, amount)?;
		let before = Positions::<T>::get(account, operator).unwrap_or_default();
		let position = before.with(bought, pool).map_err(Error::<T>::from)?;
		Positions::<T>::insert(account, operator, position);
		Ok(position.value_in(pool))
	}

	/// Takes an amount of an account's position out of a pool; returns what came out and what is
	/// left. Call it within [`Self::change_pool`]: the caller has to put what came out somewhere.
	pub(crate) fn leave_pool(
		account: &AccountId,
		operator: &AccountId,
		pool: &mut Pool,
		amount: Amount,
	) -> Result<(Balance, Balance), DispatchError> {
		let position =
			Positions::<T>::get(account, operator).ok_or(Error::<T>::PositionNotFound)?;
		let held = position.shares_in(pool);
		let sold = match amount {
			Amount::All => held,
			Amount::Value(0) => return Err(Error::<T>::AmountTooSmall.into()),
			Amount::Value(value) => {
				ensure!(value <= pool.worth(held), Error::<T>::PositionTooSmall);
				pool.shares_worth(value).map_err(Error::<T>::from)?
			},
		};
		let left = held.checked_sub(sold).ok_or(Error::<T>::PositionTooSmall)?;
		// Shares that are worth nothing are not left behind: they would keep a position in storage
		// that the smallest vote does not pay for.
		let (sold, left) = if pool.worth(left) == 0 {
			(held, Shares::ZERO)
		} else {
			(sold, left)
		};
		let paid = pool.leave(sold).map_err(Error::<T>::from)?;
		if left.is_zero() {
			Positions::<T>::remove(account, operator);
		} else {
			let position = Position {
				shares: left,
				generation: pool.generation,
			};
			Positions::<T>::insert(account, operator, position);
		}
		Ok((paid, pool.worth(left)))
	}

	/// Refuses a remainder that is worth less than the smallest vote.
	pub(crate) fn ensure_no_dust(remainder: Balance) -> DispatchResult {
		ensure!(
			remainder == 0 || remainder >= T::MinVote::get(),
			Error::<T>::RemainderTooSmall
		);
		Ok(())
	}
}
