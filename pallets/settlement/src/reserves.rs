//! Reserves: what a coordinator has put up, and what of it backs which miner's vouchers.

use cuckoo_primitives::{AccountId, Balance, Role};
use frame_support::pallet_prelude::*;
use pallet_cuckoo_staking::OperatorAccess;

use crate::{Allotment, Allotments, Config, Error, Event, Pallet};

impl<T: Config> Pallet<T> {
	pub(crate) fn do_fund_reserve(coordinator: AccountId, amount: Balance) -> DispatchResult {
		ensure!(
			T::Operators::role(&coordinator) == Some(Role::Coordinator),
			Error::<T>::CoordinatorNotFound
		);
		ensure!(amount > 0, Error::<T>::AmountTooSmall);
		Self::take_in(&coordinator, amount)?;
		let reserve = Self::change_reserve(&coordinator, |reserve| {
			reserve.put(amount).ok_or(Error::<T>::AmountTooLarge)
		})?;
		Self::deposit_event(Event::ReserveFunded {
			coordinator,
			amount,
			balance: reserve.balance,
		});
		Ok(())
	}

	pub(crate) fn do_withdraw_reserve(coordinator: AccountId, amount: Balance) -> DispatchResult {
		ensure!(amount > 0, Error::<T>::AmountTooSmall);
		let reserve = Self::change_reserve(&coordinator, |reserve| {
			reserve.take(amount).ok_or(Error::<T>::ReserveTooLow)?;
			Ok(0)
		})?;
		Self::pay_out(&coordinator, amount)?;
		Self::deposit_event(Event::ReserveWithdrawn {
			coordinator,
			amount,
			balance: reserve.balance,
		});
		Ok(())
	}

	pub(crate) fn do_allot(
		coordinator: AccountId,
		miner: AccountId,
		amount: Balance,
	) -> DispatchResult {
		ensure!(
			amount == 0 || amount >= T::MinAllotment::get(),
			Error::<T>::AmountTooSmall
		);
		let now = T::Operators::era();
		let present = Allotments::<T>::get(&coordinator, &miner);
		if amount == 0 {
			ensure!(present.is_some(), Error::<T>::AllotmentNotFound);
		} else {
			ensure!(
				T::Operators::role(&miner) == Some(Role::Miner),
				Error::<T>::MinerNotFound
			);
		}
		let mut allotment = present.unwrap_or_else(|| Allotment::new(now));
		match amount.checked_sub(allotment.amount) {
			Some(more) => {
				Self::change_reserve(&coordinator, |reserve| {
					reserve.allot(more).ok_or(Error::<T>::ReserveTooLow)?;
					Ok(0)
				})?;
				allotment.amount = amount;
				allotment.lowering = None;
				Self::deposit_event(Event::AllotmentSet {
					coordinator: coordinator.clone(),
					miner: miner.clone(),
					amount,
				});
			},
			None => {
				let due = Self::windows().all_claimed(now);
				allotment.lowering = Some((amount, due));
				Self::deposit_event(Event::AllotmentLowering {
					coordinator: coordinator.clone(),
					miner: miner.clone(),
					target: amount,
					due,
				});
			},
		}
		Allotments::<T>::insert(coordinator, miner, allotment);
		Ok(())
	}

	pub(crate) fn do_release_allotment(coordinator: AccountId, miner: AccountId) -> DispatchResult {
		let mut allotment =
			Allotments::<T>::get(&coordinator, &miner).ok_or(Error::<T>::AllotmentNotFound)?;
		let now = T::Operators::era();
		allotment.forget_before(Self::windows().first_open(now));
		let was_due = allotment.lowering.is_some_and(|(_, due)| now >= due);
		let freed = allotment.lower(now);
		ensure!(was_due || allotment.is_done(), Error::<T>::NothingToRelease);
		let amount = allotment.amount;
		if allotment.is_done() {
			Allotments::<T>::remove(&coordinator, &miner);
		} else {
			Allotments::<T>::insert(&coordinator, &miner, allotment);
		}
		Self::change_reserve(&coordinator, |reserve| {
			reserve.free_up(freed).ok_or(Error::<T>::ReserveTooLow)
		})?;
		Self::deposit_event(Event::AllotmentSet {
			coordinator,
			miner,
			amount,
		});
		Ok(())
	}
}
