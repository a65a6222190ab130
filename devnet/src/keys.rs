//! The development keys that the chain's `development` genesis registers. They are public: anyone can
//! derive them, so they are worth nothing outside a local network.

use cuckoo_primitives::{AccountId, WorkerId};
use sp_core::{sr25519, Pair};

/// An account derived from a development URI such as `//Miner//1`, with the worker key
/// `//Miner//1//worker`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DevKey {
	uri: String,
}

impl DevKey {
	/// The key of any hard derivation path below the development phrase, for example `//Newcomer`.
	///
	/// # Panics
	/// When `uri` is no derivation path: these are constants of tests and demos.
	pub fn new(uri: impl Into<String>) -> Self {
		let key = Self { uri: uri.into() };
		pair(&key.uri);
		key
	}

	/// The coordinator registered at genesis.
	pub fn coordinator() -> Self {
		Self::new("//Coordinator//1")
	}

	/// The miners registered at genesis are 1, 2 and 3.
	pub fn miner(number: u32) -> Self {
		Self::new(format!("//Miner//{number}"))
	}

	/// The voters funded at genesis are 1, 2 and 3.
	pub fn voter(number: u32) -> Self {
		Self::new(format!("//Voter//{number}"))
	}

	/// The URI itself.
	pub fn uri(&self) -> &str {
		&self.uri
	}

	/// The worker key's URI.
	pub fn worker_uri(&self) -> String {
		format!("{}//worker", self.uri)
	}

	/// The account's key pair.
	pub fn pair(&self) -> sr25519::Pair {
		pair(&self.uri)
	}

	/// The key pair's public half, as what signs and is no account.
	pub fn pair_public(&self) -> WorkerId {
		self.pair().public()
	}

	/// The account.
	pub fn account(&self) -> AccountId {
		AccountId::new(self.pair().public().0)
	}

	/// The worker's key pair.
	pub fn worker_pair(&self) -> sr25519::Pair {
		pair(&self.worker_uri())
	}

	/// The worker key's public half.
	pub fn worker(&self) -> WorkerId {
		self.worker_pair().public()
	}

	/// A name for files and logs: `//Miner//1` is `miner-1`.
	pub fn name(&self) -> String {
		self.uri
			.split('/')
			.filter(|part| !part.is_empty())
			.collect::<Vec<_>>()
			.join("-")
			.to_lowercase()
	}
}

fn pair(uri: &str) -> sr25519::Pair {
	sr25519::Pair::from_string(uri, None)
		.unwrap_or_else(|error| panic!("{uri} is no development key: {error}"))
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn names_and_keys_follow_the_uri() {
		let miner = DevKey::miner(2);
		assert_eq!(
			(miner.uri(), miner.name().as_str()),
			("//Miner//2", "miner-2")
		);
		assert_eq!(miner.worker_uri(), "//Miner//2//worker");
		assert_ne!(
			miner.account().as_ref() as &[u8],
			miner.worker().as_ref() as &[u8]
		);
	}
}
