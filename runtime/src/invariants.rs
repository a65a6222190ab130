//! What must hold of a whole state, checked from outside of it: `cuckoo-node check-state` reads the state
//! of a block and asks here. The same checks run under the SDK's `try-runtime` and in the pallets' tests.

use alloc::string::String;
use cuckoo_primitives::Balance;

use crate::{Balances, Runtime, Settlement, Staking, System};

/// Checks the state that this is executed on. Walks all of it.
///
/// # Errors
///
/// Which pallet's invariant does not hold, and its number in that pallet's documentation.
pub fn check() -> Result<(), String> {
	let told = |pallet: &str, error| alloc::format!("{pallet}: {}", message(error));
	Staking::do_try_state().map_err(|error| told("Staking", error))?;
	Settlement::do_try_state().map_err(|error| told("Settlement", error))?;
	check_issuance()
}

/// What accounts hold is what was issued, to the last unit.
fn check_issuance() -> Result<(), String> {
	let mut held: Balance = 0;
	for (_, account) in frame_system::Account::<Runtime>::iter() {
		held = held
			.saturating_add(account.data.free)
			.saturating_add(account.data.reserved);
	}
	let issued = Balances::total_issuance();
	if held == issued {
		return Ok(());
	}
	Err(alloc::format!(
		"Balances: accounts hold {held}, of {issued} issued, at block {}",
		System::block_number()
	))
}

fn message(error: sp_runtime::TryRuntimeError) -> String {
	match error {
		sp_runtime::TryRuntimeError::Other(message) => message.into(),
		error => alloc::format!("{error:?}"),
	}
}
