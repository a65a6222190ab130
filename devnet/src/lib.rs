//! A whole local Cuckoo network of real processes: a validator, a coordinator and miners, each the
//! same binary that an operator runs, with real keys, real sockets and real files.
//!
//! - [`Network`] starts, kills, restarts and ends the processes. Nothing it started outlives it: an
//!   orderly [`Network::shutdown`], a drop, a panic and even `kill -9` of the parent all end them.
//! - [`Validators`] is a network of validators alone, with fast blocks and eras, that others can join.
//! - [`App`] is what an app does: submit a task, wait, fetch the picture.
//! - [`evidence`] checks a finished task against what was signed and what the chain says, without
//!   trusting the coordinator: the draw, both signatures, the picture's hash.
//! - [`money`] opens channels, fills reserves, and waits for what a paid task leaves on the chain.
//! - [`report`] tells that as a readable account and as JSON; the binary `cuckoo-demo` prints it.
//!
//! The end-to-end tests in `tests/` use the same parts.

#![deny(missing_docs)]

mod app;
mod binaries;
mod error;
pub mod evidence;
mod folder;
pub mod keys;
pub mod money;
mod network;
mod node_rpc;
mod ports;
mod process;
pub mod report;
mod spec;
mod validators;

pub use app::App;
pub use binaries::{find_model, Binaries};
pub use error::{Error, Result};
pub use network::{Network, Options};
pub use node_rpc::NodeRpc;
pub use process::{Ended, Process};
pub use validators::Validators;
