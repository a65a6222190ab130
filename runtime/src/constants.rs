//! Time, money and fees: the chain's figures that are no other crate's.
//!
//! With the feature `fast-runtime` blocks, sessions, eras and unbonding are short, so that demos and
//! tests see a whole life of stake within minutes. Everything else is the same.

use cuckoo_primitives::{Balance, EraIndex, CUC};
use sp_staking::SessionIndex;

/// A thousandth of a CUC.
pub const MILLI_CUC: Balance = CUC / 1_000;

/// A millionth of a CUC.
pub const MICRO_CUC: Balance = CUC / 1_000_000;

/// An account with less than this is removed.
pub const EXISTENTIAL_DEPOSIT: Balance = MILLI_CUC;

/// Fee of an empty extrinsic's weight at multiplier 1. The fee grows linearly with the weight.
pub const BASE_WEIGHT_FEE: Balance = MILLI_CUC;

/// Fee of each byte of an extrinsic.
pub const BYTE_FEE: Balance = 10 * MICRO_CUC;

/// What is reserved for `items` entries of storage with `bytes` bytes of content, as long as they
/// stand there.
pub const fn storage_deposit(items: u32, bytes: u32) -> Balance {
	items as Balance * CUC + bytes as Balance * 10 * MILLI_CUC
}

const fn fast_or(fast: u64, normal: u64) -> u64 {
	if cfg!(feature = "fast-runtime") {
		fast
	} else {
		normal
	}
}

/// Milliseconds of a BABE slot. Every slot has an author, so this is the time between blocks.
pub const SLOT_DURATION_MS: u64 = fast_or(3_000, 6_000);

/// Slots of a session, which is a BABE epoch: one hour, or one minute when fast.
pub const SLOTS_PER_SESSION: u64 = fast_or(20, 600);

/// Sessions of an era.
pub const SESSIONS_PER_ERA: SessionIndex = fast_or(2, 6) as SessionIndex;

/// Eras until stake that leaves can be withdrawn. Offences are punishable this long.
pub const UNBONDING_ERAS: EraIndex = fast_or(2, 28) as EraIndex;

/// Sessions in which an offence can still be reported: as long as the stake is within reach.
pub const REPORTABLE_SESSIONS: SessionIndex = UNBONDING_ERAS * SESSIONS_PER_ERA;

/// Most validators, and so most authorities of BABE and GRANDPA.
pub const MAX_VALIDATORS: u32 = 512;
