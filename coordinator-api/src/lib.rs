//! What apps, miners and coordinators say to each other: the JSON-RPC methods, their types, and the
//! stable error codes. The coordinator implements the server half, the miner and the tools use the
//! client half, so that neither can drift from the other.
//!
//! Conventions: hashes, ids, signatures and keys are `0x` and hex digits; accounts are SS58 addresses
//! (prefix 42); CUC amounts are decimal strings in the smallest unit (10^-12 CUC), since JSON numbers
//! lose digits; times are milliseconds of Unix time. Unknown fields are refused.

#![deny(missing_docs)]

mod amount;
pub mod channel;
pub mod error;
pub mod limits;
pub mod miner;
pub mod payment;
pub mod rpc;
mod signature;
pub mod task;

pub use amount::Amount;
pub use error::ErrorCode;
