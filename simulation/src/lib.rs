//! The real [`Coordinator`](offchain_coordinator::coordinator::Coordinator) among simulated apps, miners
//! and a chain, in one process: time is the runtime's and paused, the network drops, doubles, delays and
//! reorders, the coordinator dies at any instant and comes back on the same store. Everything that is
//! left to chance follows from one seed, so that a schedule that breaks a rule can be run again.
//!
//! - [`dice`]: chance. [`trace`]: what happened.
//! - [`world`]: the coordinator's life, its network and its clock. [`chain`]: the registry.
//! - [`app`], [`miner`]: who calls.
//! - [`rules`]: what must hold, while it runs and after everything has healed.
//! - [`schedule`]: one whole run.

#![deny(missing_docs)]

pub mod app;
pub mod chain;
pub mod dice;
pub mod miner;
pub mod rules;
pub mod schedule;
pub mod trace;
pub mod world;
