//! Measures the chain where it could become slow: on state with a million votes and a hundred
//! thousand miners, and under more transactions than fit into its blocks. `scripts/bench-chain` runs
//! it; docs/benchmarks.md says what came out.
//!
//! - [`genesis`] makes the states: the runtime's own genesis builder with so many operators and votes,
//!   and its own calls for what genesis cannot say. Nothing writes the pallet's maps by hand.
//! - [`database`] puts a state into the database that the node uses (ParityDB, by the client's own
//!   code) and times pieces of work on it.
//! - [`pieces`] are those pieces: the runtime's native code behind a vote, a slash, a session's end.
//! - [`compare`] runs them in turns on the large state and on a nearly empty one.
//! - [`settlement`] posts an era of many miners on such a state, and claims from it.
//! - [`load`] starts a node and sends it more signed transactions than it can take.
//!
//! Each result is a line `figure: NAME VALUE UNIT` on standard output. What cannot be measured is an
//! error and never a figure.
//!
//! This is a crate of its own because it alone needs the client's database beside the native runtime:
//! `node` has no use for the pallets, `devnet` links none of the programs that it starts, and the
//! runtime must not know the client.

#![deny(missing_docs)]

pub mod compare;
pub mod database;
pub mod genesis;
pub mod load;
pub mod pieces;
pub mod settlement;
