//! Reserves and allotments.

use cuckoo_primitives::CUC;
use frame_support::{assert_noop, assert_ok};

use crate::{mock::*, Allotments, Error, Reserves};

fn allot(miner: u8, amount: u128) -> sp_runtime::DispatchResult {
	Settlement::allot(signed(COORDINATOR), account(miner), amount)
}

fn release(miner: u8) -> sp_runtime::DispatchResult {
	Settlement::release_allotment(signed(STRANGER), account(COORDINATOR), account(miner))
}

#[test]
fn what_is_allotted_cannot_be_withdrawn() {
	run(|| {
		back(COORDINATOR, 40 * CUC, MINER, 60 * CUC);
		assert_noop!(
			Settlement::withdraw_reserve(signed(COORDINATOR), 40 * CUC + 1),
			Error::<Test>::ReserveTooLow
		);
		assert_ok!(Settlement::withdraw_reserve(signed(COORDINATOR), 40 * CUC));
		assert_noop!(allot(MINER_2, 10 * CUC), Error::<Test>::ReserveTooLow);
		assert_eq!(free(COORDINATOR), ENDOWMENT - 3_000_000 * CUC - 60 * CUC);
	});
}

#[test]
fn an_allotment_rises_at_once_and_falls_when_no_old_voucher_is_left() {
	run(|| {
		back(COORDINATOR, 100 * CUC, MINER, 20 * CUC);
		assert_ok!(allot(MINER, 80 * CUC));
		assert_eq!(allotment(COORDINATOR, MINER).unwrap().amount, 80 * CUC);
		assert_ok!(allot(MINER, 30 * CUC));
		assert_eq!(allotment(COORDINATOR, MINER).unwrap().amount, 80 * CUC);
		pass_eras(CLAIM_ERAS + 1);
		assert_noop!(release(MINER), Error::<Test>::NothingToRelease);
		pass_eras(1);
		assert_ok!(release(MINER));
		assert_eq!(allotment(COORDINATOR, MINER).unwrap().amount, 30 * CUC);
		assert_eq!(reserve(COORDINATOR).free(), 90 * CUC);
	});
}

/// A voucher taken in the last moment before a lowering is seen, for the next era, is covered.
#[test]
fn vouchers_taken_before_a_lowering_stay_covered() {
	run(|| {
		back(COORDINATOR, 0, MINER, 80 * CUC);
		assert_ok!(allot(MINER, 0));
		let last = era() + 1;
		pass_eras(CLAIM_ERAS + 1);
		assert_noop!(release(MINER), Error::<Test>::NothingToRelease);
		assert_ok!(claim_voucher(COORDINATOR, MINER, last, 80 * CUC));
	});
}

#[test]
fn raising_takes_a_lowering_back() {
	run(|| {
		back(COORDINATOR, 0, MINER, 80 * CUC);
		assert_ok!(allot(MINER, 0));
		assert_ok!(allot(MINER, 80 * CUC));
		pass_eras(CLAIM_ERAS + 2);
		assert_noop!(release(MINER), Error::<Test>::NothingToRelease);
	});
}

#[test]
fn an_allotment_that_ended_is_gone_with_its_reserve() {
	run(|| {
		back(COORDINATOR, 0, MINER, 80 * CUC);
		assert_ok!(allot(MINER, 0));
		pass_eras(CLAIM_ERAS + 2);
		assert_ok!(release(MINER));
		assert_noop!(release(MINER), Error::<Test>::AllotmentNotFound);
		assert_ok!(Settlement::withdraw_reserve(signed(COORDINATOR), 80 * CUC));
		assert_eq!(Reserves::<Test>::iter().count(), 0);
		assert_eq!(Allotments::<Test>::iter().count(), 0);
	});
}

/// What was paid for open eras stays on record, or the same voucher would be good for a new one.
#[test]
fn an_allotment_with_open_payments_stays() {
	run(|| {
		back(COORDINATOR, 100 * CUC, MINER, 10 * CUC);
		let worked = era();
		pass_eras(POST_ERAS + 1);
		assert_ok!(claim_voucher(COORDINATOR, MINER, worked, 10 * CUC));
		assert_eq!(allotment(COORDINATOR, MINER).unwrap().amount, 0);
		assert_noop!(release(MINER), Error::<Test>::NothingToRelease);
		assert_ok!(allot(MINER, 50 * CUC));
		assert_noop!(
			claim_voucher(COORDINATOR, MINER, worked, 10 * CUC),
			Error::<Test>::VoucherUsed
		);
		assert_ok!(allot(MINER, 0));
		pass_eras(CLAIM_ERAS + 2);
		assert_ok!(release(MINER));
		assert_eq!(allotment(COORDINATOR, MINER), None);
	});
}

#[test]
fn who_has_no_part_in_it_is_refused() {
	run(|| {
		assert_noop!(
			Settlement::fund_reserve(signed(STRANGER), CUC),
			Error::<Test>::CoordinatorNotFound
		);
		assert_noop!(
			Settlement::fund_reserve(signed(COORDINATOR), 0),
			Error::<Test>::AmountTooSmall
		);
		assert_noop!(
			Settlement::fund_reserve(signed(COORDINATOR), ENDOWMENT),
			Error::<Test>::BalanceTooLow
		);
		assert_noop!(
			Settlement::withdraw_reserve(signed(COORDINATOR), 0),
			Error::<Test>::AmountTooSmall
		);
		back(COORDINATOR, 100 * CUC, MINER, 0);
		assert_noop!(
			allot(MINER, MIN_ALLOTMENT - 1),
			Error::<Test>::AmountTooSmall
		);
		assert_noop!(allot(OTHER, 20 * CUC), Error::<Test>::MinerNotFound);
		assert_noop!(allot(STRANGER, 20 * CUC), Error::<Test>::MinerNotFound);
		assert_noop!(allot(MINER, 0), Error::<Test>::AllotmentNotFound);
		assert_noop!(
			Settlement::allot(signed(OTHER), account(MINER), 20 * CUC),
			Error::<Test>::ReserveTooLow
		);
	});
}
