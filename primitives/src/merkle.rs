//! Binary Merkle tree over BLAKE2b-256, with the leaf and the node hash kept apart (0x00 and 0x01
//! before the content, as in RFC 6962) so that no node can pass as a leaf. A node without a sibling
//! moves up unchanged. The root of no leaves is zero.

use crate::H256;
use alloc::vec::Vec;
use codec::{Decode, DecodeWithMemTracking, Encode};
use scale_info::TypeInfo;
use sp_crypto_hashing::blake2_256;

/// A leaf's hash: `blake2_256(0x00 ‖ content)`.
pub fn leaf_hash(content: &[u8]) -> H256 {
	let mut bytes = Vec::with_capacity(1 + content.len());
	bytes.push(0);
	bytes.extend_from_slice(content);
	blake2_256(&bytes).into()
}

fn node_hash(left: &H256, right: &H256) -> H256 {
	let mut bytes = [0u8; 65];
	bytes[0] = 1;
	bytes[1..33].copy_from_slice(left.as_bytes());
	bytes[33..].copy_from_slice(right.as_bytes());
	blake2_256(&bytes).into()
}

fn next_layer(layer: &[H256]) -> Vec<H256> {
	layer
		.chunks(2)
		.map(|pair| match pair {
			[left, right] => node_hash(left, right),
			[single] => *single,
			_ => unreachable!("chunks(2) gives one or two"),
		})
		.collect()
}

/// The root over leaves already hashed by [`leaf_hash`].
pub fn root(leaves: &[H256]) -> H256 {
	let mut layer = leaves.to_vec();
	while layer.len() > 1 {
		layer = next_layer(&layer);
	}
	layer.first().copied().unwrap_or_default()
}

/// Proves that a leaf stands at an index under a root.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
#[cfg_attr(feature = "std", derive(serde::Serialize, serde::Deserialize))]
pub struct Proof {
	/// The leaf's index from 0.
	pub index: u32,
	/// How many leaves the tree has.
	pub leaves: u32,
	/// The siblings from the bottom up; layers where the node has none are left out.
	pub siblings: Vec<H256>,
}

/// Proof for `leaves[index]`; `None` if there is no such leaf.
pub fn prove(leaves: &[H256], index: usize) -> Option<Proof> {
	if index >= leaves.len() {
		return None;
	}
	let mut siblings = Vec::new();
	let (mut layer, mut position) = (leaves.to_vec(), index);
	while layer.len() > 1 {
		siblings.extend(layer.get(position ^ 1));
		layer = next_layer(&layer);
		position /= 2;
	}
	Some(Proof {
		index: index as u32,
		leaves: leaves.len() as u32,
		siblings,
	})
}

/// Whether `proof` shows that `leaf` (hashed) stands at its index under `root`.
pub fn verify(root: &H256, leaf: &H256, proof: &Proof) -> bool {
	if proof.index >= proof.leaves {
		return false;
	}
	let (mut hash, mut position, mut width) = (*leaf, proof.index, proof.leaves);
	let mut siblings = proof.siblings.iter();
	while width > 1 {
		let has_sibling = position ^ 1 < width;
		if has_sibling {
			let Some(sibling) = siblings.next() else {
				return false;
			};
			hash = if position % 2 == 0 {
				node_hash(&hash, sibling)
			} else {
				node_hash(sibling, &hash)
			};
		}
		position /= 2;
		width = width.div_ceil(2);
	}
	siblings.next().is_none() && hash == *root
}

#[cfg(test)]
mod tests {
	use super::*;
	use proptest::prelude::*;

	fn leaves(count: usize) -> Vec<H256> {
		(0..count as u32)
			.map(|index| leaf_hash(&index.encode()))
			.collect()
	}

	#[test]
	fn root_of_nothing_is_zero_and_of_one_leaf_that_leaf() {
		assert_eq!(root(&[]), H256::zero());
		assert_eq!(root(&leaves(1)), leaf_hash(&0u32.encode()));
	}

	proptest! {
		#[test]
		fn every_leaf_is_provable_and_no_other_passes(count in 1usize..70, pick in any::<prop::sample::Index>()) {
			let leaves = leaves(count);
			let index = pick.index(count);
			let root = root(&leaves);
			let proof = prove(&leaves, index).expect("index is in range");
			prop_assert!(verify(&root, &leaves[index], &proof));
			prop_assert!(!verify(&root, &leaf_hash(b"other"), &proof));
			let moved = Proof { index: (index as u32 + 1) % count as u32, ..proof.clone() };
			prop_assert!(count == 1 || !verify(&root, &leaves[index], &moved));
			let mut longer = proof.clone();
			longer.siblings.push(H256::zero());
			prop_assert!(!verify(&root, &leaves[index], &longer));
		}
	}

	#[test]
	fn proof_out_of_range_is_refused() {
		assert_eq!(prove(&leaves(3), 3), None);
		let proof = Proof {
			index: 5,
			leaves: 3,
			siblings: Vec::new(),
		};
		assert!(!verify(&H256::zero(), &H256::zero(), &proof));
	}
}
