//! What transactions cost, and who gets it.

mod common;

use common::{account, block, state_of};
use cuckoo_primitives::{Balance, CUC};
use cuckoo_runtime::{
	configs::{BurnFeeTipAuthor, FeeMultiplierUpdate, RuntimeBlockWeights},
	constants::{BASE_WEIGHT_FEE, MILLI_CUC},
	Balances, Runtime, RuntimeCall, System, TransactionPayment,
};
use frame_support::{
	dispatch::{DispatchClass, GetDispatchInfo},
	storage::{storage_prefix, unhashed},
	traits::{fungible::Balanced, OnUnbalanced},
	weights::{constants::ExtrinsicBaseWeight, Weight},
};
use pallet_transaction_payment::Multiplier;
use sp_runtime::{traits::Convert, FixedPointNumber, MultiAddress};

/// Bytes of a signed transfer.
const TRANSFER_BYTES: u32 = 150;

fn transfer_fee() -> Balance {
	let call = RuntimeCall::Balances(pallet_balances::Call::transfer_keep_alive {
		dest: MultiAddress::Id(account("//Bob")),
		value: CUC,
	});
	TransactionPayment::compute_fee(TRANSFER_BYTES, &call.get_dispatch_info(), 0)
}

#[test]
fn a_transfer_costs_some_thousandths_of_a_cuc() {
	state_of("development").execute_with(|| {
		let fee = transfer_fee();
		assert!((2 * MILLI_CUC..10 * MILLI_CUC).contains(&fee), "{fee}");
	});
}

#[test]
fn an_empty_extrinsics_weight_costs_the_base_fee() {
	state_of("development").execute_with(|| {
		let fee = TransactionPayment::weight_to_fee(ExtrinsicBaseWeight::get());
		// Parts per billion are cut off.
		assert!(BASE_WEIGHT_FEE - fee < BASE_WEIGHT_FEE / 1_000_000, "{fee}");
	});
}

fn multiplier_after_blocks(blocks: u32, fill: Weight) -> Multiplier {
	(0..blocks).fold(Multiplier::saturating_from_integer(1), |multiplier, _| {
		System::reset_events();
		frame_system::BlockWeight::<Runtime>::kill();
		System::register_extra_weight_unchecked(fill, DispatchClass::Normal);
		FeeMultiplierUpdate::convert(multiplier)
	})
}

#[test]
fn full_blocks_raise_the_price_and_empty_ones_lower_it() {
	state_of("development").execute_with(|| {
		let limit = RuntimeBlockWeights::get()
			.get(DispatchClass::Normal)
			.max_total;
		let full = Weight::from_parts(limit.expect("normal blocks are bounded").ref_time(), 0);
		let one = Multiplier::saturating_from_integer(1);
		assert!(multiplier_after_blocks(100, full) > one);
		assert!(multiplier_after_blocks(100, Weight::zero()) < one);
	});
}

/// As blocks run it: the next block's price follows from what this one holds.
#[test]
fn a_full_block_makes_the_next_one_dearer() {
	state_of("development").execute_with(|| {
		let fill = |part: u64| {
			let limit = RuntimeBlockWeights::get()
				.get(DispatchClass::Normal)
				.max_total;
			let limit = limit.expect("normal blocks are bounded").ref_time();
			let fill = Weight::from_parts(limit / 100 * part, 0);
			block(|| System::register_extra_weight_unchecked(fill, DispatchClass::Normal));
			TransactionPayment::next_fee_multiplier()
		};
		let start = TransactionPayment::next_fee_multiplier();
		let full = fill(100);
		assert!(full > start, "full blocks are above the target");
		assert_eq!(fill(25), full, "a quarter is the target");
		assert!(fill(0) < full, "empty blocks are below it");
		let before = transfer_fee();
		fill(100);
		fill(100);
		assert!(transfer_fee() > before);
	});
}

#[test]
fn the_price_does_not_fall_below_a_tenth() {
	state_of("development").execute_with(|| {
		let floor = Multiplier::saturating_from_rational(1, 10);
		assert_eq!(FeeMultiplierUpdate::convert(floor), floor);
	});
}

#[test]
fn fees_are_burned_and_tips_reach_the_author() {
	state_of("development").execute_with(|| {
		let author = account("//Bob");
		// As the pallet notes it in a block; its storage is private.
		let key = storage_prefix(b"Authorship", b"Author");
		unhashed::put(&key, &author);
		let (issued, before) = (Balances::total_issuance(), Balances::free_balance(&author));
		let (fee, tip) = (Balances::issue(3 * CUC), Balances::issue(2 * CUC));
		BurnFeeTipAuthor::on_unbalanceds([fee, tip].into_iter());
		assert_eq!(Balances::free_balance(&author), before + 2 * CUC);
		assert_eq!(Balances::total_issuance(), issued + 2 * CUC);
	});
}
