//! What settlement begins with, and how it is put into a chain that runs already.

use frame_support::traits::{fungible::Mutate, OnRuntimeUpgrade};
use sp_runtime::{BuildStorage, Perbill};

use crate::{migrations::Open, mock::*, SplitParameters, SplitParams};

#[test]
fn the_pot_is_open_and_the_split_set() {
	run(|| {
		assert_eq!(Balances::free_balance(Settlement::pot()), DEPOSIT);
		assert_eq!(SplitParameters::<Test>::get(), SplitParams::default());
	});
}

#[test]
#[should_panic(expected = "the split at genesis cannot be used")]
fn a_genesis_that_issues_more_than_it_burns_is_refused() {
	let split = SplitParams {
		miner_emission: Perbill::from_percent(50),
		..Default::default()
	};
	let config = crate::GenesisConfig::<Test> {
		split,
		..Default::default()
	};
	let _ = config.build_storage();
}

#[test]
fn a_running_chain_gets_the_same_by_the_upgrade_and_once() {
	run(|| {
		// As on a chain that has never had the pallet.
		Balances::burn_from(
			&Settlement::pot(),
			DEPOSIT,
			frame_support::traits::tokens::Preservation::Expendable,
			frame_support::traits::tokens::Precision::Exact,
			frame_support::traits::tokens::Fortitude::Force,
		)
		.unwrap();
		SplitParameters::<Test>::kill();
		Open::<Test>::on_runtime_upgrade();
		assert_eq!(Balances::free_balance(Settlement::pot()), DEPOSIT);
		assert!(SplitParameters::<Test>::exists());
		let issuance = Balances::total_issuance();
		Open::<Test>::on_runtime_upgrade();
		assert_eq!(Balances::total_issuance(), issuance);
	});
}
