//! The tree that commits to a list of miners and weights: a binary trie over the accounts' bits, the
//! first bit at the top, without nodes that have one child. Every node holds the sum of the weights
//! below it, and hashes it.
//!
//! - leaf: `blake2_256(0x00 ‖ account ‖ weight)`
//! - branch: `blake2_256(0x01 ‖ left hash ‖ left sum ‖ right hash ‖ right sum)`, with the accounts whose
//!   bit is 0 on the left; the bit is the first in which the accounts below differ
//!
//! Sums are 16 bytes, little-endian. No accounts at all give a hash of zeros.
//!
//! The tree's shape depends on the accounts alone and not on how they came in, so one weight, or one
//! account more or less, changes only the nodes above it: the commitment to a list of 100,000 is
//! brought up to date with about 17 hashes. In accounts' order it is the list itself, and by the sums
//! a ticket is found on the way down.

use crate::{draw::Eligible, AccountId, Balance, H256};
use alloc::vec::Vec;
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use scale_info::TypeInfo;
use sp_crypto_hashing::blake2_256;

/// A node as its parent sees it.
#[derive(
	Clone,
	Copy,
	PartialEq,
	Eq,
	Debug,
	Default,
	Encode,
	Decode,
	DecodeWithMemTracking,
	MaxEncodedLen,
	TypeInfo,
)]
#[cfg_attr(feature = "std", derive(serde::Serialize, serde::Deserialize))]
pub struct Node {
	/// Commits to everything below.
	pub hash: H256,
	/// The weights below it together.
	pub sum: Balance,
}

impl Node {
	/// An account with its weight.
	pub fn leaf(account: &AccountId, weight: Balance) -> Self {
		let mut bytes = [0; 1 + 32 + 16];
		bytes[1..33].copy_from_slice(account.as_ref());
		bytes[33..].copy_from_slice(&weight.to_le_bytes());
		Self {
			hash: blake2_256(&bytes).into(),
			sum: weight,
		}
	}

	/// What stands above two nodes. Sums past the largest number stay at it.
	pub fn branch(left: &Node, right: &Node) -> Self {
		let mut bytes = [0; 1 + 2 * (32 + 16)];
		bytes[0] = 1;
		bytes[1..33].copy_from_slice(left.hash.as_bytes());
		bytes[33..49].copy_from_slice(&left.sum.to_le_bytes());
		bytes[49..81].copy_from_slice(right.hash.as_bytes());
		bytes[81..].copy_from_slice(&right.sum.to_le_bytes());
		Self {
			hash: blake2_256(&bytes).into(),
			sum: left.sum.saturating_add(right.sum),
		}
	}
}

/// A bit of an account: 0 is the highest bit of the first byte, 255 the lowest of the last.
pub fn bit(account: &AccountId, index: u8) -> bool {
	let bytes: &[u8; 32] = account.as_ref();
	bytes[usize::from(index / 8)] & (0x80 >> (index % 8)) != 0
}

/// The first bit in which two accounts differ; `None` if they are the same.
pub fn first_difference(a: &AccountId, b: &AccountId) -> Option<u8> {
	let (a, b): (&[u8; 32], &[u8; 32]) = (a.as_ref(), b.as_ref());
	let byte = a.iter().zip(b).position(|(a, b)| a != b)?;
	let within = (a[byte] ^ b[byte]).leading_zeros();
	// At most 31 · 8 + 7.
	u8::try_from(byte * 8 + within as usize).ok()
}

/// The root over a list in strictly ascending order of accounts. A list in another order has a root as
/// well, which means nothing: see [`crate::draw::is_canonical`].
pub fn root(eligible: &[Eligible]) -> Node {
	// Trees that are not yet joined, each with the bit in which it differs from what comes next: the
	// later the bit, the deeper the branch. Without recursion, so that no list is too deep.
	let mut open: Vec<(Node, u8)> = Vec::new();
	let mut entries = eligible.iter().peekable();
	while let Some(entry) = entries.next() {
		let mut node = Node::leaf(&entry.miner, entry.weight);
		let next = entries
			.peek()
			.and_then(|next| first_difference(&entry.miner, &next.miner));
		while let Some((left, _)) = open.pop_if(|(_, bit)| next.is_none_or(|next| *bit > next)) {
			node = Node::branch(&left, &node);
		}
		open.push((node, next.unwrap_or_default()));
	}
	open.pop().map(|(node, _)| node).unwrap_or_default()
}

#[cfg(test)]
mod tests {
	use super::*;
	use alloc::{collections::BTreeMap, vec};
	use proptest::prelude::*;

	fn list(accounts: impl IntoIterator<Item = ([u8; 32], Balance)>) -> Vec<Eligible> {
		let sorted: BTreeMap<AccountId, Balance> = accounts
			.into_iter()
			.map(|(account, weight)| (AccountId::new(account), weight))
			.collect();
		sorted
			.into_iter()
			.map(|(miner, weight)| Eligible { miner, weight })
			.collect()
	}

	/// The definition, word for word.
	fn by_definition(entries: &[Eligible]) -> Node {
		let (first, last) = match entries {
			[] => return Node::default(),
			[one] => return Node::leaf(&one.miner, one.weight),
			[first, .., last] => (first, last),
		};
		let index = first_difference(&first.miner, &last.miner).unwrap();
		let (left, right): (Vec<_>, Vec<_>) = entries
			.iter()
			.cloned()
			.partition(|entry| !bit(&entry.miner, index));
		Node::branch(&by_definition(&left), &by_definition(&right))
	}

	/// Few different bytes, so that long common beginnings are frequent.
	fn accounts() -> impl Strategy<Value = Vec<([u8; 32], Balance)>> {
		let byte = prop_oneof![Just(0u8), Just(1), Just(0x80), any::<u8>()];
		let short = prop::collection::vec(byte, 4).prop_map(|bytes| {
			let mut account = [7; 32];
			account[..2].copy_from_slice(&bytes[..2]);
			account[30..].copy_from_slice(&bytes[2..]);
			account
		});
		prop::collection::vec((short, 1..1_000u128), 0..60)
	}

	proptest! {
		#[test]
		fn the_root_is_the_definitions(accounts in accounts()) {
			let entries = list(accounts);
			let root = root(&entries);
			prop_assert_eq!(root, by_definition(&entries));
			prop_assert_eq!(Some(root.sum), crate::draw::total_weight(&entries));
		}

		#[test]
		fn every_account_and_weight_counts(
			accounts in accounts(),
			pick in any::<prop::sample::Index>(),
			more in 1..1_000u128,
		) {
			let entries = list(accounts);
			prop_assume!(!entries.is_empty());
			let place = pick.index(entries.len());
			let mut heavier = entries.clone();
			heavier[place].weight += more;
			prop_assert_ne!(root(&heavier).hash, root(&entries).hash);
			let mut without = entries.clone();
			without.remove(place);
			prop_assert_ne!(root(&without).hash, root(&entries).hash);
		}

		#[test]
		fn no_list_panics(accounts in prop::collection::vec((any::<[u8; 32]>(), any::<u128>()), 0..50)) {
			let entries: Vec<Eligible> = accounts
				.into_iter()
				.map(|(account, weight)| Eligible { miner: account.into(), weight })
				.collect();
			root(&entries);
		}

		#[test]
		fn bits_order_like_accounts(a in any::<[u8; 32]>(), b in any::<[u8; 32]>()) {
			let (a, b) = (AccountId::new(a), AccountId::new(b));
			match first_difference(&a, &b) {
				None => prop_assert_eq!(a, b),
				Some(index) => prop_assert_eq!(bit(&b, index), a < b),
			}
		}
	}

	#[test]
	fn nothing_is_zero_and_one_is_its_leaf() {
		assert_eq!(root(&[]), Node::default());
		let one = list([([3; 32], 5)]);
		assert_eq!(root(&one), Node::leaf(&[3; 32].into(), 5));
	}

	/// Accounts that agree in all but their last bits, and others that nest as deep as can be.
	#[test]
	fn the_deepest_trees_have_a_root() {
		let mut deep = vec![([0; 32], 1)];
		for index in 0..=255u8 {
			let mut account = [0; 32];
			account[usize::from(index / 8)] = 0x80 >> (index % 8);
			deep.push((account, 1));
		}
		let entries = list(deep);
		assert_eq!(entries.len(), 257);
		assert_eq!(root(&entries), by_definition(&entries));
	}
}
