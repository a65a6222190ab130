//! Time, money and fees: the chain's figures that are no other crate's.
//!
//! With the feature `fast-runtime` blocks, sessions, eras and unbonding are short, so that demos and
//! tests see a whole life of stake within minutes. Everything else is the same. The build makes both
//! wasm runtimes; native code that asks these constants gets the normal ones, unless it is built with
//! the feature itself.

use cuckoo_primitives::{Balance, BlockNumber, EraIndex, CUC};
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
pub const SLOT_DURATION_MS: u64 = fast_or(1_000, 6_000);

/// Slots of a session, which is a BABE epoch: one hour, or ten seconds when fast.
pub const SLOTS_PER_SESSION: u64 = fast_or(10, 600);

/// Sessions of an era.
pub const SESSIONS_PER_ERA: SessionIndex = fast_or(2, 6) as SessionIndex;

/// Blocks of an era in which no slot is missed.
pub const BLOCKS_PER_ERA: BlockNumber = SLOTS_PER_SESSION as BlockNumber * SESSIONS_PER_ERA;

/// Milliseconds of an era: six hours, or twenty seconds when fast.
pub const ERA_MILLIS: u64 = BLOCKS_PER_ERA as u64 * SLOT_DURATION_MS;

/// Eras until stake that leaves can be withdrawn. An offence can be proven for
/// [`EVIDENCE_ERAS`] and its slash waits for [`SLASH_DEFER_ERAS`]: stake stays longer than both.
pub const UNBONDING_ERAS: EraIndex = fast_or(4, 28) as EraIndex;

/// Eras in which an offence can be proven after it happened.
pub const EVIDENCE_ERAS: EraIndex = fast_or(2, 18) as EraIndex;

/// Eras in which governance can cancel a slash before it applies.
pub const SLASH_DEFER_ERAS: EraIndex = fast_or(1, 8) as EraIndex;

/// Sessions in which an equivocation of a validator can be reported after it happened: as long as
/// evidence counts.
pub const REPORTABLE_SESSIONS: SessionIndex = EVIDENCE_ERAS * SESSIONS_PER_ERA;

/// Eras after its own in which a coordinator can settle an era: a day.
pub const POST_ERAS: EraIndex = fast_or(1, 4) as EraIndex;

/// Eras after its own in which anything of an era can be claimed. Not above [`EVIDENCE_ERAS`]: what is
/// proven of a settlement must still be slashed.
pub const CLAIM_ERAS: EraIndex = fast_or(2, 16) as EraIndex;

/// Blocks in which vouchers are taken after an app has begun to close a channel: a day.
pub const CHALLENGE_BLOCKS: BlockNumber = 4 * BLOCKS_PER_ERA;

/// Most validators, and so most authorities of BABE and GRANDPA.
pub const MAX_VALIDATORS: u32 = 512;
