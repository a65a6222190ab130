//! The miner: it polls the coordinators it chose on chain, runs diffusion models for them, and
//! submits what it made under a signed commitment.
//!
//! From the outside in:
//!
//! - [`run`] wires a miner together: key, data folder, device, chain, coordinators.
//! - [`fleet`] keeps the set of coordinators that are served in line with the chain; [`selection`]
//!   is the choice itself, weighted by stake, as a pure function.
//! - [`session`] serves one coordinator: log in, poll, work, submit; [`link`] is how it is reached,
//!   [`trust`] how it is known over TLS,
//!   and [`assignment`] what an assignment must show before any work is done for it.
//! - [`device`] is the threads that work on the devices, one a slot, each on a batch of tasks that go
//!   together; [`engine`] is the diffusion engine behind it, and [`models`] finds model folders. [`warm`] decides which models are loaded, as a pure
//!   state machine within the memory that [`memory`] finds; [`shelf`] does as it says.
//! - [`metrics`] is what is counted, and [`monitor`] the listener that shows it.
//! - [`outbox`] keeps every result on disk until its coordinator acknowledged it, and is the only
//!   place where commitments are signed: **one commitment per assignment, ever**. Two different ones
//!   would be evidence the chain slashes for.
//! - [`purse`] keeps what coordinators owe for them: every voucher, whether it is covered by the chain, and
//!   how it is claimed.
//! - [`verify_step`] runs steps of a picture again from its [`trajectory`], and compares.
//! - [`verify_draw`] recomputes a draw from public data; [`doctor`] checks a machine; [`generate`]
//!   makes a picture without any chain.
//!
//! Nothing that comes from a coordinator is trusted: an assignment is checked against the chain's
//! finalized registry, replies are bounded in size and time, and every wait has an end.

#![deny(missing_docs)]

pub mod assignment;
pub mod bench;
pub mod cli;
mod clock;
pub mod device;
pub mod doctor;
mod durable;
pub mod engine;
pub mod fleet;
pub mod generate;
mod interrupt;
pub mod library;
pub mod link;
pub mod memory;
pub mod metrics;
pub mod models;
pub mod monitor;
pub mod outbox;
pub mod purse;
pub mod run;
pub mod selection;
pub mod session;
pub mod shelf;
pub mod trajectory;
pub mod trust;
pub mod ui;
mod upload;
pub mod verify_draw;
pub mod verify_step;
pub mod warm;
