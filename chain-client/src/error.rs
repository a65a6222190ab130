//! What can go wrong between a worker and its node.

use crate::registry::BlockRef;
use cuckoo_primitives::H256;
use std::time::Duration;

/// Something between this program and its node went wrong. Each message says what happened and, where
/// there is something to do, what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
	/// No connection, or it broke.
	#[error("no connection to the node at {url}: {reason}; check that it runs and serves JSON-RPC there (an address like ws://127.0.0.1:9944)")]
	Unreachable {
		/// The node's address.
		url: String,
		/// What the transport said.
		reason: String,
	},
	/// The node was too slow.
	#[error("the node gave no answer within {} s: {what}", after.as_secs())]
	Timeout {
		/// What was being done.
		what: &'static str,
		/// The limit.
		after: Duration,
	},
	/// The node's runtime is not the one this program was built for.
	#[error("the node's runtime (spec version {spec_version}) differs from the one this program was built for: {what}; use a program and a node of the same release")]
	Incompatible {
		/// The node's spec version.
		spec_version: u32,
		/// What differs.
		what: String,
	},
	/// The node follows another chain than before.
	#[error("the node is on the chain with genesis {found:?}, expected {expected:?}; point this program at a node of its own chain, or restart it with a fresh data folder to change chains")]
	WrongChain {
		/// The chain that was followed so far.
		expected: H256,
		/// The chain the node is on now.
		found: H256,
	},
	/// The node could not answer a read.
	#[error("cannot read {what}: {reason}")]
	Read {
		/// What was read.
		what: &'static str,
		/// What the node said.
		reason: String,
	},
	/// The node gave more than a chain can hold, or the same thing over and over.
	#[error("the node's answer makes no sense: {0}")]
	Nonsense(String),
	/// The transaction never got into a block.
	#[error("the node refused the transaction: {0}")]
	Refused(String),
	/// The transaction got into a block and failed there; its fee is paid, nothing else happened.
	#[error("the transaction failed in block {block}: {name}: {reason}")]
	Failed {
		/// The block it is in.
		block: BlockRef,
		/// The error's name, like `Staking::NotOperator`.
		name: String,
		/// What the error means, in a sentence.
		reason: String,
	},
	/// The transaction was sent, but whether it got into a block is unknown.
	#[error("transaction {transaction:?} was sent, but its outcome is unknown: {reason}; look for it on chain before you send it again")]
	Undecided {
		/// The transaction's hash.
		transaction: H256,
		/// Why nothing more is known.
		reason: String,
	},
}
