//! The Cuckoo chain's node: follows the chain, serves it over JSON-RPC, and, as a validator, writes and
//! finalizes its blocks.
//!
//! | file | what is there |
//! |---|---|
//! | `cli.rs` | the command line |
//! | `command.rs` | runs what the command line asks for |
//! | `check_state.rs` | checks that a block's state keeps the chain's invariants |
//! | `chain_spec.rs` | the networks that the node knows |
//! | `service.rs` | puts the node together: client, network, consensus, workers |
//! | `equivocation.rs` | reports authors of two blocks in one slot |
//! | `rotate_for.rs` | session keys for an operator account, made inside a running node |
//! | `rpc.rs` | the JSON-RPC beside what every node of the SDK has |

#![deny(missing_docs)]
// The SDK's error types are what they are; errors here end the program.
#![allow(clippy::result_large_err)]

mod chain_spec;
mod check_state;
mod cli;
mod command;
mod equivocation;
mod rotate_for;
mod rpc;
mod service;

use std::process::ExitCode;

fn main() -> ExitCode {
	match command::run() {
		Ok(()) => ExitCode::SUCCESS,
		// As a sentence: returned from here it would be shown as Rust writes the value.
		Err(error) => {
			eprintln!("Error: {error}");
			ExitCode::FAILURE
		},
	}
}
