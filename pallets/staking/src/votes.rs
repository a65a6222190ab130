//! Votes, and what they share with an operator's own stake: coming into a pool and going out.

use cuckoo_primitives::{AccountId, Balance};
use frame_support::pallet_prelude::*;

use crate::{
	pool::{Pool, Position, Shares},
	stake::Stake,
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
		let (position, total_stake) = Self::change_stake(&operator, |record, stake| {
			Self::ensure_takes_stake(record)?;
			let position = Self::join_pool(&voter, &operator, stake, amount)?;
			Ok((position, stake.pool.value))
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
		let (paid, position, total_stake) = Self::change_stake(&operator, |_, stake| {
			let (paid, position) = Self::leave_pool(&voter, &operator, stake, amount)?;
			Self::ensure_no_dust(position)?;
			Ok((paid, position, stake.pool.value))
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
	/// within [`Self::change_stake`].
	pub(crate) fn join_pool(
		account: &AccountId,
		operator: &AccountId,
		stake: &mut Stake,
		amount: Balance,
	) -> Result<Balance, DispatchError> {
		let bought = stake.pool.join_whole(amount).map_err(Error::<T>::from)?;
		Self::take_in(account, amount)?;
		Self::add_shares(account, operator, &stake.pool, bought)
	}

	/// Books shares of `pool` that an account has bought; returns what its position is worth then.
	pub(crate) fn add_shares(
		account: &AccountId,
		operator: &AccountId,
		pool: &Pool,
		bought: Shares,
	) -> Result<Balance, DispatchError> {
		let before = Positions::<T>::get(account, operator).unwrap_or_default();
		let position = before.with(bought, pool).map_err(Error::<T>::from)?;
		Positions::<T>::insert(account, operator, position);
		Ok(position.value_in(pool))
	}

	/// Stores a position, or removes it when it has no shares.
	pub(crate) fn put_position(account: &AccountId, operator: &AccountId, position: Position) {
		if position.shares.is_zero() {
			Positions::<T>::remove(account, operator);
		} else {
			Positions::<T>::insert(account, operator, position);
		}
	}

	/// Takes an amount of an account's position out of a pool; returns what came out and what is
	/// left. Call it within [`Self::change_stake`]: the caller has to put what came out somewhere.
	pub(crate) fn leave_pool(
		account: &AccountId,
		operator: &AccountId,
		stake: &mut Stake,
		amount: Amount,
	) -> Result<(Balance, Balance), DispatchError> {
		let position =
			Positions::<T>::get(account, operator).ok_or(Error::<T>::PositionNotFound)?;
		let pool = &stake.pool;
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
		let paid = stake.leave(sold).map_err(Error::<T>::from)?;
		let position = Position {
			shares: left,
			generation: stake.pool.generation,
		};
		Self::put_position(account, operator, position);
		Ok((paid, stake.pool.worth(left)))
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
