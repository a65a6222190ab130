//! Rewards: how they reach a pool, and what validators are paid.

use cuckoo_primitives::{AccountId, Balance};
use frame_support::{
	pallet_prelude::*,
	storage::with_storage_layer,
	traits::{
		fungible::{Balanced, Credit, Inspect},
		Imbalance,
	},
};

use crate::{
	budget::{author_pay, era_budget},
	pool::PoolError,
	AuthoredBlocks, Config, CurrentEra, Error, Event, Held, Pallet, ValidatorParameters,
};

/// Where other pallets bring what operators have earned.
pub trait RewardSink {
	/// Money in hand.
	type Credit;

	/// Pays an operator and its voters: the operator's commission first, the rest evenly to all
	/// stake of the coming era's blocks. The credit is handed back when nobody has stake on the
	/// operator, or no such operator is there.
	fn reward(operator: &AccountId, credit: Self::Credit) -> Result<(), Self::Credit>;
}

impl<T: Config> RewardSink for Pallet<T> {
	type Credit = Credit<AccountId, T::Currency>;

	fn reward(operator: &AccountId, credit: Self::Credit) -> Result<(), Self::Credit> {
		let amount = credit.peek();
		let mut refused = Some(credit);
		let done = with_storage_layer(|| {
			Self::do_reward(operator, amount)?;
			let Some(credit) = refused.take() else {
				return Ok(());
			};
			T::Currency::resolve(&Self::pot(), credit).map_err(|credit| {
				refused = Some(credit);
				DispatchError::from(Error::<T>::AmountTooLarge)
			})
		});
		match (done, refused) {
			(Err(_), Some(credit)) => Err(credit),
			_ => Ok(()),
		}
	}
}

impl<T: Config> Pallet<T> {
	/// Books a reward. The tokens have to follow into the pot.
	fn do_reward(operator: &AccountId, amount: Balance) -> DispatchResult {
		let era = CurrentEra::<T>::get();
		let now = Self::block_number();
		let commission = Self::change_stake(operator, |record, stake| {
			ensure!(!stake.pool.shares.is_zero(), Error::<T>::PoolEmpty);
			let commission = record.commission.in_era(era).mul_floor(amount);
			// The operator's part is at risk like its other stake, and earns from now on.
			let commission = match stake.pool.join(commission) {
				Ok(bought) => {
					Self::add_shares(operator, operator, &stake.pool, bought)?;
					commission
				},
				// Not worth a share: it is everybody's.
				Err(PoolError::TooSmall) => 0,
				Err(error) => return Err(Error::<T>::from(error).into()),
			};
			stake
				.reward(amount - commission, now, T::BlocksPerEra::get())
				.map_err(Error::<T>::from)?;
			Ok(commission)
		})?;
		Self::hold_more(amount)?;
		Self::deposit_event(Event::Rewarded {
			operator: operator.clone(),
			amount,
			commission,
		});
		Ok(())
	}

	/// Counts that the pot owes more.
	pub(crate) fn hold_more(amount: Balance) -> DispatchResult {
		Held::<T>::try_mutate(|held| {
			*held = held.checked_add(amount).ok_or(Error::<T>::AmountTooLarge)?;
			Ok(())
		})
	}

	/// Counts that the pot owes less.
	pub(crate) fn hold_less(amount: Balance) -> DispatchResult {
		Held::<T>::try_mutate(|held| {
			*held = held
				.checked_sub(amount)
				.ok_or(sp_runtime::ArithmeticError::Underflow)?;
			Ok(())
		})
	}

	/// Pays the era's authors for their blocks with newly issued tokens, and begins to count anew. As
	/// many as there are validators, in the block that turns the session, which has room for nothing
	/// else.
	pub(crate) fn pay_validators() {
		let authors: alloc::vec::Vec<(AccountId, u32)> = AuthoredBlocks::<T>::drain().collect();
		let all = authors
			.iter()
			.fold(0u32, |sum, (_, blocks)| sum.saturating_add(*blocks));
		let budget = era_budget(
			T::Currency::total_issuance(),
			ValidatorParameters::<T>::get().yearly_inflation,
			T::EraMillis::get(),
		);
		let mut paid: Balance = 0;
		for (author, blocks) in authors {
			let amount = author_pay(budget, blocks, all, T::BlocksPerEra::get());
			// What nobody takes is burnt: nothing was promised to anybody else.
			if amount > 0 && Self::reward(&author, T::Currency::issue(amount)).is_ok() {
				paid = paid.saturating_add(amount);
			}
		}
		if budget > 0 {
			Self::deposit_event(Event::ValidatorsPaid {
				era: CurrentEra::<T>::get(),
				budget,
				paid,
			});
		}
	}
}

impl<T: Config>
	pallet_authorship::EventHandler<AccountId, frame_system::pallet_prelude::BlockNumberFor<T>>
	for Pallet<T>
{
	fn note_author(author: AccountId) {
		AuthoredBlocks::<T>::mutate(author, |blocks| *blocks = blocks.saturating_add(1));
	}
}
