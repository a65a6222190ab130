//! The Cuckoo chain as off-chain workers see it.
//!
//! - [`follow`] keeps a [`Registry`] of the operators current at the finalized head, through the
//!   node's restarts: what daemons use.
//! - [`ChainClient`] is one connection: reads at any block, and [`Call`]s signed and sent.
//! - [`keys`] loads the worker key.
//!
//! The types of calls, storage and runtime API come from `metadata/cuckoo.scale`, which a test of
//! the runtime compares with the runtime itself. A node whose runtime differs in anything this crate
//! uses is refused at connection.

#![deny(missing_docs)]

mod call;
mod client;
mod error;
mod follower;
pub mod keys;
#[cfg(test)]
mod model;
mod registry;
mod runtime;
mod settlement;
mod snapshot;
mod source;
mod submit;
mod update;

pub use call::{Amount, Call, Included, Introduction, ProxyKind, Until};
pub use client::ChainClient;
pub use error::Error;
pub use follower::{follow, follow_chain, Follower, Status};
pub use registry::{BlockRef, Operator, Registry};
pub use settlement::{
	Allotment, Channel, Moved, Pot, Reserve, Settlement, SettlementAt, SettlementCall,
	SettlementParams, Split,
};
pub use snapshot::{Position, StakingInfo, Unbonding};
