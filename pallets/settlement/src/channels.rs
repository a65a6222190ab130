//! Channels: apps' money that a coordinator redeems by vouchers.

use cuckoo_primitives::{
	signing::{signing_bytes, SignedPayload},
	voucher::{ChannelId, ChannelVoucher},
	AccountId, Balance, BlockNumber, Role, WorkerId, WorkerSignature,
};
use frame_support::pallet_prelude::*;
use pallet_cuckoo_staking::OperatorAccess;
use sp_runtime::SaturatedConversion;

use crate::{types::Channel, Channels, Config, Error, Event, NextChannel, Pallet};

impl<T: Config> Pallet<T> {
	/// The block now.
	pub(crate) fn block_number() -> BlockNumber {
		frame_system::Pallet::<T>::block_number().saturated_into()
	}

	pub(crate) fn do_open_channel(
		app: AccountId,
		coordinator: AccountId,
		signer: WorkerId,
		deposit: Balance,
	) -> DispatchResult {
		ensure!(deposit >= T::MinDeposit::get(), Error::<T>::AmountTooSmall);
		let serves = T::Operators::role(&coordinator) == Some(Role::Coordinator)
			&& T::Operators::is_active(&coordinator);
		ensure!(serves, Error::<T>::CoordinatorNotFound);
		let bond = T::ChannelBond::get();
		let all = deposit
			.checked_add(bond)
			.ok_or(Error::<T>::AmountTooLarge)?;
		Self::take_in(&app, all)?;
		let channel = NextChannel::<T>::try_mutate(|next| {
			let channel = *next;
			*next = channel.checked_add(1).ok_or(Error::<T>::AmountTooLarge)?;
			Ok::<_, Error<T>>(channel)
		})?;
		let record = Channel {
			app: app.clone(),
			coordinator: coordinator.clone(),
			signer,
			deposit,
			redeemed: 0,
			bond,
			closing: None,
		};
		Channels::<T>::insert(channel, record);
		Self::deposit_event(Event::ChannelOpened {
			channel,
			app,
			coordinator,
			signer,
			deposit,
		});
		Ok(())
	}

	pub(crate) fn do_top_up(app: AccountId, channel: ChannelId, amount: Balance) -> DispatchResult {
		ensure!(amount >= T::MinDeposit::get(), Error::<T>::AmountTooSmall);
		let deposit = Channels::<T>::try_mutate(channel, |record| {
			let record = record.as_mut().ok_or(Error::<T>::ChannelNotFound)?;
			ensure!(record.app == app, Error::<T>::NotAuthorized);
			ensure!(record.closing.is_none(), Error::<T>::ChannelClosing);
			record.deposit = record
				.deposit
				.checked_add(amount)
				.ok_or(Error::<T>::AmountTooLarge)?;
			Ok::<_, Error<T>>(record.deposit)
		})?;
		Self::take_in(&app, amount)?;
		Self::deposit_event(Event::ChannelToppedUp { channel, deposit });
		Ok(())
	}

	pub(crate) fn do_redeem(
		channel: ChannelId,
		cumulative: Balance,
		signature: WorkerSignature,
	) -> DispatchResult {
		let mut record = Channels::<T>::get(channel).ok_or(Error::<T>::ChannelNotFound)?;
		let in_time = record
			.closing
			.is_none_or(|until| Self::block_number() <= until);
		ensure!(in_time, Error::<T>::ChannelExpired);
		ensure!(cumulative > record.redeemed, Error::<T>::VoucherUsed);
		ensure!(cumulative <= record.deposit, Error::<T>::VoucherOverdrawn);
		let voucher = ChannelVoucher {
			coordinator: record.coordinator.clone(),
			channel,
			cumulative,
		};
		Self::ensure_signed_by(&record.signer, &voucher, &signature)?;
		let amount = cumulative - record.redeemed;
		record.redeemed = cumulative;
		let coordinator = record.coordinator.clone();
		Channels::<T>::insert(channel, record);
		Self::deposit_event(Event::VoucherRedeemed {
			channel,
			coordinator: coordinator.clone(),
			amount,
			redeemed: cumulative,
		});
		Self::change_reserve(&coordinator, |reserve| {
			reserve.put(amount).ok_or(Error::<T>::AmountTooLarge)
		})?;
		Ok(())
	}

	pub(crate) fn do_close_channel(account: AccountId, channel: ChannelId) -> DispatchResult {
		let mut record = Channels::<T>::get(channel).ok_or(Error::<T>::ChannelNotFound)?;
		if account == record.coordinator {
			return Self::end_channel(channel, record);
		}
		ensure!(account == record.app, Error::<T>::NotAuthorized);
		ensure!(record.closing.is_none(), Error::<T>::ChannelClosing);
		let until = Self::block_number().saturating_add(T::ChallengeBlocks::get());
		record.closing = Some(until);
		let coordinator = record.coordinator.clone();
		Channels::<T>::insert(channel, record);
		Self::deposit_event(Event::ChannelClosing {
			channel,
			coordinator,
			until,
		});
		Ok(())
	}

	pub(crate) fn do_finish_close(channel: ChannelId) -> DispatchResult {
		let record = Channels::<T>::get(channel).ok_or(Error::<T>::ChannelNotFound)?;
		let over = record
			.closing
			.is_some_and(|until| Self::block_number() > until);
		ensure!(over, Error::<T>::ChannelNotExpired);
		Self::end_channel(channel, record)
	}

	/// Gives what is left back to the app, with the storage deposit, and forgets the channel.
	fn end_channel(channel: ChannelId, record: Channel) -> DispatchResult {
		let refund = record.left().saturating_add(record.bond);
		Channels::<T>::remove(channel);
		Self::pay_out(&record.app, refund)?;
		Self::deposit_event(Event::ChannelClosed {
			channel,
			app: record.app,
			refund,
		});
		Ok(())
	}

	/// Refuses a message that the key has not signed for this chain.
	pub(crate) fn ensure_signed_by(
		signer: &WorkerId,
		payload: &impl SignedPayload,
		signature: &WorkerSignature,
	) -> DispatchResult {
		let message = signing_bytes(&Self::genesis_hash(), payload);
		ensure!(
			sp_io::crypto::sr25519_verify(signature, &message, signer),
			Error::<T>::SignatureInvalid
		);
		Ok(())
	}
}
