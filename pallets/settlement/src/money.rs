//! The pot: what comes in, what goes out, and how operators are paid from it.

use cuckoo_primitives::{AccountId, Balance};
use frame_support::{
	pallet_prelude::*,
	traits::{
		fungible::{Balanced, Credit, Inspect, Mutate},
		tokens::{Fortitude, Precision, Preservation},
		Imbalance,
	},
};
use pallet_cuckoo_staking::RewardSink;
use sp_runtime::{traits::AccountIdConversion, ArithmeticError};

use crate::{Config, Error, Event, Held, Pallet, Reserve, Reserves};

impl<T: Config> Pallet<T> {
	/// The account that holds channels, reserves and settlements. It has no key.
	pub fn pot() -> AccountId {
		T::PalletId::get().into_account_truncating()
	}

	/// Gives the pot its existential deposit, so that the account outlives the last channel and the
	/// tokens it owes are never counted as dust. It is issued and belongs to nobody.
	pub(crate) fn open_pot() -> DispatchResult {
		let pot = Self::pot();
		let missing =
			T::Currency::minimum_balance().saturating_sub(T::Currency::total_balance(&pot));
		if missing > 0 {
			T::Currency::mint_into(&pot, missing)?;
		}
		Ok(())
	}

	/// Moves `amount` from an account into the pot.
	pub(crate) fn take_in(from: &AccountId, amount: Balance) -> DispatchResult {
		let free = T::Currency::reducible_balance(from, Preservation::Preserve, Fortitude::Polite);
		ensure!(free >= amount, Error::<T>::BalanceTooLow);
		T::Currency::transfer(from, &Self::pot(), amount, Preservation::Preserve)?;
		Held::<T>::try_mutate(|held| {
			*held = held.checked_add(amount).ok_or(Error::<T>::AmountTooLarge)?;
			Ok(())
		})
	}

	/// Pays `amount` out of the pot, which always keeps its existential deposit.
	pub(crate) fn pay_out(to: &AccountId, amount: Balance) -> DispatchResult {
		T::Currency::transfer(&Self::pot(), to, amount, Preservation::Preserve)?;
		Self::hold_less(amount)
	}

	/// Takes `amount` out of the pot, in hand.
	pub(crate) fn take_out(
		amount: Balance,
	) -> Result<Credit<AccountId, T::Currency>, DispatchError> {
		Self::hold_less(amount)?;
		T::Currency::withdraw(
			&Self::pot(),
			amount,
			Precision::Exact,
			Preservation::Preserve,
			Fortitude::Force,
		)
	}

	/// Counts that the pot owes less.
	fn hold_less(amount: Balance) -> DispatchResult {
		Held::<T>::try_mutate(|held| {
			*held = held.checked_sub(amount).ok_or(ArithmeticError::Underflow)?;
			Ok(())
		})
	}

	/// Changes a coordinator's reserve, and burns what the change says.
	pub(crate) fn change_reserve(
		coordinator: &AccountId,
		change: impl FnOnce(&mut Reserve) -> Result<Balance, Error<T>>,
	) -> Result<Reserve, DispatchError> {
		let mut reserve = Reserves::<T>::get(coordinator);
		let burned = change(&mut reserve)?;
		if reserve.is_empty() {
			Reserves::<T>::remove(coordinator);
		} else {
			Reserves::<T>::insert(coordinator, reserve);
		}
		if burned > 0 {
			// Dropped: burned.
			drop(Self::take_out(burned)?);
			Self::deposit_event(Event::OwedPaid {
				coordinator: coordinator.clone(),
				amount: burned,
				owed: reserve.owed,
			});
		}
		Ok(reserve)
	}

	/// Pays an operator `amount` in hand and issues `emission` on top, into its pool. One without a pool
	/// gets the amount on its account, and nothing is issued. Returns what was issued, or the amount
	/// when nobody takes it.
	pub(crate) fn pay_operator(
		operator: &AccountId,
		amount: Credit<AccountId, T::Currency>,
		emission: Balance,
	) -> Result<Balance, Credit<AccountId, T::Currency>> {
		let paid = amount.peek();
		let all = amount.merge(T::Currency::issue(emission));
		let Err(all) = T::Rewards::reward(operator, all) else {
			return Ok(emission);
		};
		// The emission is dropped again: it is issued only into pools.
		let (amount, _) = all.split(paid);
		T::Currency::resolve(operator, amount).map(|()| 0)
	}
}
