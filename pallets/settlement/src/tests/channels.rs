//! Channels: escrow, vouchers of apps, closing.

use codec::Encode;
use cuckoo_primitives::{
	signing::{sign, signing_bytes},
	CUC, H256,
};
use frame_support::{assert_noop, assert_ok};
use sp_core::Pair;

use crate::{mock::*, Channels, Error, Event, Held};

#[test]
fn a_voucher_moves_what_it_adds_into_the_reserve() {
	run(|| {
		let channel = open(APP, COORDINATOR, 100 * CUC);
		assert_eq!(free(APP), ENDOWMENT - 100 * CUC - BOND);
		assert_ok!(redeem(APP, COORDINATOR, channel, 30 * CUC));
		assert_ok!(redeem(APP, COORDINATOR, channel, 45 * CUC));
		assert_eq!(reserve(COORDINATOR).free(), 45 * CUC);
		assert_eq!(Channels::<Test>::get(channel).unwrap().left(), 55 * CUC);
		assert_eq!(Held::<Test>::get(), 100 * CUC + BOND);
		System::assert_last_event(
			Event::VoucherRedeemed {
				channel,
				coordinator: account(COORDINATOR),
				amount: 15 * CUC,
				redeemed: 45 * CUC,
			}
			.into(),
		);
	});
}

#[test]
fn replayed_and_reordered_vouchers_are_refused() {
	run(|| {
		let channel = open(APP, COORDINATOR, 100 * CUC);
		assert_ok!(redeem(APP, COORDINATOR, channel, 30 * CUC));
		for used in [30 * CUC, 29 * CUC, 0] {
			assert_noop!(
				redeem(APP, COORDINATOR, channel, used),
				Error::<Test>::VoucherUsed
			);
		}
	});
}

#[test]
fn overdrawn_vouchers_are_refused_until_the_app_tops_up() {
	run(|| {
		let channel = open(APP, COORDINATOR, 100 * CUC);
		assert_noop!(
			redeem(APP, COORDINATOR, channel, 100 * CUC + 1),
			Error::<Test>::VoucherOverdrawn
		);
		assert_ok!(Settlement::top_up(signed(APP), channel, 10 * CUC));
		assert_ok!(redeem(APP, COORDINATOR, channel, 110 * CUC));
		assert_eq!(Channels::<Test>::get(channel).unwrap().left(), 0);
	});
}

#[test]
fn forged_vouchers_are_refused() {
	run(|| {
		let channel = open(APP, COORDINATOR, 100 * CUC);
		let other_channel = open(APP, COORDINATOR, 100 * CUC);
		let voucher = channel_voucher(channel, COORDINATOR, CUC);
		let forged = [
			// By another key.
			sign_with(APP_2, &voucher),
			// For another amount, channel or coordinator.
			sign_with(APP, &channel_voucher(channel, COORDINATOR, 2 * CUC)),
			sign_with(APP, &channel_voucher(other_channel, COORDINATOR, CUC)),
			sign_with(APP, &channel_voucher(channel, OTHER, CUC)),
			// For another chain.
			sign(&H256::zero(), &voucher, &key(APP)),
			// Another kind of message with the same content.
			key(APP).sign(&("cuckoo/channel-voucher/2", GENESIS_HASH, &voucher).encode()),
		];
		for signature in forged {
			assert_noop!(
				Settlement::redeem(signed(COORDINATOR), channel, CUC, signature),
				Error::<Test>::SignatureInvalid
			);
		}
		assert_ne!(
			signing_bytes(&GENESIS_HASH, &voucher),
			signing_bytes(&H256::zero(), &voucher)
		);
	});
}

#[test]
fn a_coordinator_can_redeem_while_an_app_closes_and_tasks_run() {
	run(|| {
		let channel = open(APP, COORDINATOR, 100 * CUC);
		assert_ok!(redeem(APP, COORDINATOR, channel, 20 * CUC));
		assert_ok!(Settlement::close_channel(signed(APP), channel));
		assert_noop!(
			Settlement::close_channel(signed(APP), channel),
			Error::<Test>::ChannelClosing
		);
		assert_noop!(
			Settlement::top_up(signed(APP), channel, 10 * CUC),
			Error::<Test>::ChannelClosing
		);
		// The last task ends, and its voucher is good up to the last block.
		pass_blocks(CHALLENGE_BLOCKS);
		assert_ok!(redeem(APP, COORDINATOR, channel, 60 * CUC));
		assert_noop!(
			Settlement::finish_close(signed(APP), channel),
			Error::<Test>::ChannelNotExpired
		);
		pass_blocks(1);
		assert_noop!(
			redeem(APP, COORDINATOR, channel, 70 * CUC),
			Error::<Test>::ChannelExpired
		);
		assert_ok!(Settlement::finish_close(signed(STRANGER), channel));
		assert_eq!(free(APP), ENDOWMENT - 60 * CUC);
		assert_noop!(
			redeem(APP, COORDINATOR, channel, 70 * CUC),
			Error::<Test>::ChannelNotFound
		);
	});
}

#[test]
fn vouchers_of_a_closed_channel_are_good_for_no_other() {
	run(|| {
		let first = open(APP, COORDINATOR, 100 * CUC);
		assert_ok!(Settlement::close_channel(signed(COORDINATOR), first));
		assert_eq!(free(APP), ENDOWMENT);
		let second = open(APP, COORDINATOR, 100 * CUC);
		assert_ne!(first, second);
		let old = sign_with(APP, &channel_voucher(first, COORDINATOR, 50 * CUC));
		assert_noop!(
			Settlement::redeem(signed(COORDINATOR), second, 50 * CUC, old),
			Error::<Test>::SignatureInvalid
		);
	});
}

#[test]
fn strangers_neither_close_nor_top_up() {
	run(|| {
		let channel = open(APP, COORDINATOR, 100 * CUC);
		for stranger in [APP_2, OTHER, STRANGER] {
			assert_noop!(
				Settlement::close_channel(signed(stranger), channel),
				Error::<Test>::NotAuthorized
			);
			assert_noop!(
				Settlement::top_up(signed(stranger), channel, 10 * CUC),
				Error::<Test>::NotAuthorized
			);
		}
		assert_noop!(
			Settlement::finish_close(signed(STRANGER), channel),
			Error::<Test>::ChannelNotExpired
		);
	});
}

#[test]
fn channels_are_opened_with_active_coordinators_only() {
	run(|| {
		let try_open = |coordinator: u8, amount| {
			Settlement::open_channel(signed(APP), account(coordinator), public(APP), amount)
		};
		for nobody in [MINER, STRANGER] {
			assert_noop!(
				try_open(nobody, 100 * CUC),
				Error::<Test>::CoordinatorNotFound
			);
		}
		assert_noop!(
			try_open(COORDINATOR, MIN_DEPOSIT - 1),
			Error::<Test>::AmountTooSmall
		);
		assert_noop!(
			try_open(COORDINATOR, ENDOWMENT),
			Error::<Test>::BalanceTooLow
		);
		assert_noop!(
			try_open(COORDINATOR, u128::MAX),
			Error::<Test>::AmountTooLarge
		);
		assert_ok!(Staking::retire(signed(COORDINATOR)));
		assert_noop!(
			try_open(COORDINATOR, 100 * CUC),
			Error::<Test>::CoordinatorNotFound
		);
	});
}

#[test]
fn a_retired_coordinator_still_redeems() {
	run(|| {
		let channel = open(APP, COORDINATOR, 100 * CUC);
		assert_ok!(Staking::retire(signed(COORDINATOR)));
		assert_ok!(redeem(APP, COORDINATOR, channel, 100 * CUC));
		assert_ok!(Settlement::withdraw_reserve(signed(COORDINATOR), 100 * CUC));
	});
}
