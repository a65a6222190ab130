//! The coordinator: takes tasks from apps, draws a miner for each by stake, hands out signed
//! assignments, checks the signed results and keeps them.
//!
//! Pure core, without clock, disk or network:
//! - [`state`]: the life of a task, every transition in one function.
//! - [`draw`]: the stake-weighted draw.
//! - [`queue`], [`leases`], [`miners`], [`health`], [`bans`], [`sessions`], [`models`]: tables in memory.
//! - [`live`]: these tables together, and who is eligible.
//! - [`settle`], [`verify`]: what is asked for and what comes back. [`eta`]: how long it takes.
//! - [`price`], [`terms`]: what it costs, and what else is agreed on with an app.
//! - [`config`]: what an operator sets, from file, environment and flags ([`flags`]).
//!
//! Shell:
//! - [`store`]: SQLite or PostgreSQL; the truth about tasks. [`peers`]: other processes on the same store.
//!   [`artifacts`]: pictures by hash.
//! - [`coordinator`]: the operations, each of which lets the store decide and then answers.
//! - [`scheduler`]: draws, and ends what ran out.
//! - [`rpc`], [`http`], [`openai`]: the one port. [`connections`]: how many there are, and for how long.
//!   [`tls`]: its certificate.
//! - [`apps`], [`keys`], [`rates`]: who submits, the keys that say so, and how often. [`intake`]: what else apps ask.
//! - [`admin`]: the operator's own interface and the commands that use it.
//! - [`metrics`]: what is counted and measured.
//! - [`retention`]: lets go of what was kept for long enough.
//! - [`webhooks`]: calls apps when their tasks have ended.
//! - [`drain`]: lets what is with miners finish before the end.
//! - [`chain`]: follows the finalized registry. [`clock`], [`entropy`]: time and chance, which tests can set.
//! - [`inspect`]: compares memory with the store, for tests.
//!
//! Invariants: a task changes by [`store::Store::transition`] only, one compare-and-set each; what an
//! app or miner was told is in the store; the tables in memory follow the store in the order of its
//! commits and can be rebuilt from it at any instant.

#![deny(missing_docs)]

pub mod admin;
pub mod apps;
pub mod artifacts;
pub mod bans;
pub mod chain;
pub mod clock;
pub mod config;
pub mod connections;
pub mod coordinator;
pub mod drain;
pub mod draw;
pub mod entropy;
pub mod eta;
pub mod flags;
pub mod health;
pub mod http;
pub mod identity;
pub mod inspect;
pub mod intake;
pub mod keys;
pub mod leases;
pub mod ledger;
pub mod live;
pub mod metrics;
pub mod miners;
pub mod models;
pub mod openai;
mod openapi;
mod outbound;
pub mod peers;
pub mod price;
pub mod queue;
pub mod rates;
pub mod retention;
pub mod rpc;
pub mod scheduler;
pub mod sessions;
pub mod settings;
pub mod settle;
pub mod state;
pub mod store;
pub mod terms;
pub mod tls;
pub mod verify;
pub mod webhooks;
