//! The coordinator: takes tasks from apps, draws a miner for each by stake, hands out signed
//! assignments, checks the signed results and keeps them.
//!
//! Pure core, without clock, disk or network:
//! - [`state`]: the life of a task, every transition in one function.
//! - [`draw`]: the stake-weighted draw.
//! - [`queue`], [`leases`], [`miners`], [`health`], [`sessions`], [`models`]: tables in memory.
//! - [`live`]: these tables together, and who is eligible.
//! - [`settle`], [`verify`]: what is asked for and what comes back. [`eta`]: how long it takes.
//!
//! Shell:
//! - [`store`]: SQLite; the truth about tasks. [`artifacts`]: pictures on disk.
//! - [`coordinator`]: the operations, each of which lets the store decide and then answers.
//! - [`scheduler`]: draws, and ends what ran out.
//! - [`rpc`], [`http`], [`openai`]: the one port.
//! - [`apps`], [`keys`], [`rates`]: who submits, the keys that say so, and how often. [`intake`]: what else apps ask.
//! - [`chain`]: follows the finalized registry.
//!
//! Invariants: a task changes by [`store::Store::transition`] only, one compare-and-set each; what an
//! app or miner was told is in the store; the tables in memory follow the store in the order of its
//! commits and can be rebuilt from it at any instant.

#![deny(missing_docs)]

pub mod apps;
pub mod artifacts;
pub mod chain;
pub mod clock;
pub mod coordinator;
pub mod draw;
pub mod eta;
pub mod health;
pub mod http;
pub mod identity;
pub mod intake;
pub mod keys;
pub mod leases;
pub mod live;
pub mod miners;
pub mod models;
pub mod openai;
pub mod queue;
pub mod rates;
pub mod rpc;
pub mod scheduler;
pub mod sessions;
pub mod settings;
pub mod settle;
pub mod state;
pub mod store;
pub mod verify;
