//! Each invariant is broken on purpose, and caught.

use cuckoo_primitives::CUC;
use frame_support::{
	assert_ok,
	storage::{unhashed, StoragePrefixedMap},
	traits::fungible::Unbalanced,
};
use sp_runtime::Perbill;

use crate::{
	mock::*, Allotments, Channels, ClaimedLeaves, Held, NextChannel, Reserves, Settlements,
	SplitParameters,
};

/// Makes a state with something in every map, breaks it, and expects the message.
fn breaks(message: &'static str, corrupt: impl FnOnce()) {
	genesis().execute_with(|| {
		let channel = open(APP, COORDINATOR, 100 * CUC);
		assert_ok!(redeem(APP, COORDINATOR, channel, 40 * CUC));
		back(COORDINATOR, 1_000 * CUC, MINER, 50 * CUC);
		pass_eras(1);
		let tree = settle(COORDINATOR, 0, &[(MINER, 30 * CUC), (MINER_2, 15 * CUC)]);
		assert_ok!(claim_of(COORDINATOR, 0, &tree, MINER));
		pass_eras(POST_ERAS);
		assert_ok!(claim_voucher(COORDINATOR, MINER, 0, 31 * CUC));
		check();
		corrupt();
		assert_eq!(Settlement::do_try_state(), Err(message.into()));
	});
}

fn change_allotment(change: impl FnOnce(&mut crate::Allotment)) {
	Allotments::<Test>::mutate(account(COORDINATOR), account(MINER), |allotment| {
		change(allotment.as_mut().unwrap())
	});
}

fn change_reserve(change: impl FnOnce(&mut crate::Reserve)) {
	Reserves::<Test>::mutate(account(COORDINATOR), change);
}

fn change_settlement(change: impl FnOnce(&mut crate::Settlement)) {
	Settlements::<Test>::mutate(account(COORDINATOR), 0, |settlement| {
		change(settlement.as_mut().unwrap())
	});
}

/// Moves what the pot owes, so that only the invariant in question is broken.
fn owe(more: i128) {
	let pot = Balances::free_balance(Settlement::pot());
	let moved = |figure: u128| figure.checked_add_signed(more).unwrap();
	Balances::write_balance(&Settlement::pot(), moved(pot)).unwrap();
	Held::<Test>::mutate(|held| *held = moved(*held));
}

#[test]
fn money_that_is_not_there() {
	let sum = "1: Held is not the sum of channels, reserves and settlements";
	breaks(sum, || Held::<Test>::mutate(|held| *held += 1));
	breaks(sum, || {
		Channels::<Test>::mutate(0, |channel| channel.as_mut().unwrap().redeemed -= 1)
	});
	breaks(sum, || {
		Channels::<Test>::mutate(0, |channel| channel.as_mut().unwrap().bond += 1)
	});
	breaks(sum, || change_reserve(|reserve| reserve.balance += 1));
	breaks(sum, || {
		change_settlement(|settlement| settlement.claimed -= 1)
	});
	breaks("1: the pot has less than it owes", || {
		let pot = Balances::free_balance(Settlement::pot());
		Balances::write_balance(&Settlement::pot(), pot - 1).unwrap();
	});
}

#[test]
fn channels() {
	breaks("2: more was redeemed than was put in", || {
		Channels::<Test>::mutate(0, |channel| {
			channel.as_mut().unwrap().redeemed = 100 * CUC + 1
		});
		owe(-60 * CUC as i128);
	});
	breaks("2: a channel has a number to come", || {
		NextChannel::<Test>::put(0)
	});
}

#[test]
fn reserves() {
	breaks("3: a reserve is empty", || {
		Reserves::<Test>::insert(account(OTHER), crate::Reserve::default())
	});
	breaks("3: more is allotted than there is", || {
		change_reserve(|reserve| reserve.allotted = reserve.balance + 1)
	});
	breaks("3: something is free and something owed", || {
		change_reserve(|reserve| reserve.owed = 1)
	});
	breaks("3: allotments do not add up to what is allotted", || {
		change_allotment(|allotment| allotment.amount -= 1)
	});
	breaks("3: an allotment has no reserve", || {
		let lost = reserve(COORDINATOR).balance;
		Reserves::<Test>::remove(account(COORDINATOR));
		owe(-(lost as i128));
	});
}

#[test]
fn allotments() {
	breaks("4: an allotment is from the future", || {
		change_allotment(|allotment| allotment.since = 100)
	});
	let order = "4: eras that were paid do not ascend";
	breaks(order, || {
		change_allotment(|allotment| allotment.paid = vec![(1, 1), (0, 1)].try_into().unwrap())
	});
	breaks(order, || {
		change_allotment(|allotment| allotment.paid = vec![(0, 1), (0, 1)].try_into().unwrap())
	});
	let paid = "4: an era was paid that is not over, or by nothing";
	breaks(paid, || {
		change_allotment(|allotment| allotment.paid = vec![(era(), 1)].try_into().unwrap())
	});
	breaks(paid, || {
		change_allotment(|allotment| allotment.paid = vec![(0, 0)].try_into().unwrap())
	});
}

#[test]
fn settlements() {
	breaks("5: an era is settled that is not over", || {
		let settlement = Settlements::<Test>::get(account(COORDINATOR), 0).unwrap();
		owe(settlement.unclaimed() as i128);
		Settlements::<Test>::insert(account(COORDINATOR), era(), settlement);
	});
	breaks("5: a settlement's tree cannot be", || {
		change_settlement(|settlement| settlement.root.leaves = 0)
	});
	breaks("5: more was claimed than was settled", || {
		change_settlement(|settlement| settlement.claimed = 46 * CUC);
		owe(-15 * CUC as i128);
	});
	breaks("5: vouchers were claimed before their time", || {
		let mut settlement = Settlements::<Test>::get(account(COORDINATOR), 0).unwrap();
		owe(settlement.unclaimed() as i128);
		settlement.by_voucher = 1;
		Settlements::<Test>::insert(account(COORDINATOR), era() - 1, settlement);
	});
	let cleaned = "5: a settlement is cleaned that is open";
	breaks(cleaned, || {
		change_settlement(|settlement| {
			settlement.root.leaves = 2_000;
			settlement.cleaned = 1;
		})
	});
	breaks(cleaned, || {
		pass_eras(CLAIM_ERAS);
		change_settlement(|settlement| settlement.cleaned = 1);
	});
}

#[test]
fn marks() {
	let mark = |era, chunk, byte: usize| {
		let mut marks = [0; 128];
		marks[byte] = 1;
		ClaimedLeaves::<Test>::insert((account(COORDINATOR), era, chunk), marks);
	};
	breaks("6: marks are of no settlement", || mark(1, 0, 0));
	breaks("6: marks are outside of their settlement", || mark(0, 1, 0));
	breaks("6: a mark is of no leaf", || mark(0, 0, 1));
	breaks("6: a mark is of no leaf", || {
		ClaimedLeaves::<Test>::insert((account(COORDINATOR), 0, 0), [0; 128])
	});
}

#[test]
fn parameters() {
	breaks("7: the split cannot be used", || {
		SplitParameters::<Test>::mutate(|params| params.miner_emission = Perbill::from_percent(8))
	});
}

#[test]
fn values_that_do_not_decode() {
	let message = "8: a value does not decode";
	for prefix in [
		Channels::<Test>::final_prefix(),
		Reserves::<Test>::final_prefix(),
		Allotments::<Test>::final_prefix(),
		Settlements::<Test>::final_prefix(),
		ClaimedLeaves::<Test>::final_prefix(),
	] {
		breaks(message, || {
			let key = sp_io::storage::next_key(&prefix).unwrap();
			assert!(key.starts_with(&prefix));
			unhashed::put_raw(&key, &[1, 2, 3]);
		});
	}
	for key in [
		Held::<Test>::hashed_key(),
		SplitParameters::<Test>::hashed_key(),
		NextChannel::<Test>::hashed_key(),
	] {
		breaks(message, || unhashed::put_raw(&key, &[1, 2, 3]));
	}
}
