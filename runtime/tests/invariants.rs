//! What `cuckoo-node check-state` finds in a state.

mod common;

use common::{account, next_session, state_of};
use cuckoo_primitives::CUC;
use cuckoo_runtime::{invariants, Runtime};

#[test]
fn every_network_keeps_its_invariants() {
	for preset in ["development", "local"] {
		state_of(preset).execute_with(|| {
			assert_eq!(invariants::check(), Ok(()), "{preset}");
			next_session(|| {});
			assert_eq!(invariants::check(), Ok(()), "{preset}");
		});
	}
}

#[test]
fn money_from_nowhere_is_found() {
	state_of("development").execute_with(|| {
		frame_system::Account::<Runtime>::mutate(account("//Dave"), |account| {
			account.data.free += CUC;
		});
		let broken = invariants::check().unwrap_err();
		assert!(broken.starts_with("Balances: accounts hold"), "{broken}");
	});
}

#[test]
fn a_pallet_that_does_not_add_up_is_named() {
	state_of("development").execute_with(|| {
		pallet_cuckoo_staking::Held::<Runtime>::mutate(|held| *held += 1);
		let broken = invariants::check().unwrap_err();
		assert!(broken.starts_with("Staking: "), "{broken}");
	});
	state_of("development").execute_with(|| {
		pallet_cuckoo_settlement::Held::<Runtime>::mutate(|held| *held += 1);
		let broken = invariants::check().unwrap_err();
		assert!(broken.starts_with("Settlement: "), "{broken}");
	});
}
