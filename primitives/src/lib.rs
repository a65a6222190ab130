//! What the chain and the off-chain workers must agree on to the last bit: amounts, roles, ids,
//! the payloads that are signed, Merkle trees, and the stake-weighted draw.
//!
//! Everything here is pure and `no_std`: no storage, no network, no clock. The pallet verifies with
//! the same functions that the workers sign with.

#![cfg_attr(not(feature = "std"), no_std)]
#![deny(missing_docs)]

extern crate alloc;

pub mod draw;
pub mod merkle;
mod role;
pub mod signing;
pub mod sum_tree;
pub mod task;
pub mod voucher;
pub mod weight_tree;

pub use role::Role;
pub use sp_core::{crypto::AccountId32 as AccountId, H256};

/// An amount in the smallest unit: 10^-12 CUC.
pub type Balance = u128;

/// A block's number.
pub type BlockNumber = u32;

/// The number of an era, counted from genesis.
pub type EraIndex = u32;

/// How many decimals a CUC has.
pub const CUC_DECIMALS: u8 = 12;

/// One CUC in the smallest unit.
pub const CUC: Balance = 1_000_000_000_000;

/// The address format: Substrate's generic one, so that every wallet reads it.
pub const SS58_PREFIX: u16 = 42;

/// A worker key's public half. The worker key signs off-chain messages and holds no funds.
pub type WorkerId = sp_core::sr25519::Public;

/// A worker key's signature over [`signing::signing_bytes`].
pub type WorkerSignature = sp_core::sr25519::Signature;
