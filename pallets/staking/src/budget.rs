//! What validators are paid: plain arithmetic of supply, time and blocks.

use cuckoo_primitives::Balance;
use sp_runtime::Perbill;

use crate::pool::{mul_div, Round};

/// Milliseconds of a Julian year, 365.25 days of 86,400 seconds.
pub const YEAR_MILLIS: u64 = 31_557_600_000;

/// What an era's blocks are paid together when none is missing: the era's part of a year's part of
/// the supply, rounded down. In CUC's smallest unit.
pub fn era_budget(issuance: Balance, yearly: Perbill, era_millis: u64) -> Balance {
	// At most `issuance` each time, as neither factor is above its divisor in any era up to a year.
	let a_year = mul_div(issuance, yearly.deconstruct().into(), BILLION, Round::Down).unwrap_or(0);
	let millis = era_millis.min(YEAR_MILLIS);
	mul_div(a_year, millis.into(), YEAR_MILLIS.into(), Round::Down).unwrap_or(0)
}

/// What one author gets of `budget` for `blocks` of the era's `all` blocks, of which `expected` were
/// due, rounded down. A block that is missing is paid to nobody; more blocks than expected share the
/// same budget.
pub fn author_pay(budget: Balance, blocks: u32, all: u32, expected: u32) -> Balance {
	let shared_by = all.max(expected).max(1);
	mul_div(
		budget,
		blocks.min(shared_by).into(),
		shared_by.into(),
		Round::Down,
	)
	.unwrap_or(0)
}

const BILLION: u128 = 1_000_000_000;
