//! The tree by which a coordinator settles an era: a binary Merkle tree over what each miner is owed,
//! in which every node holds the sum of the amounts below it, and hashes it.
//!
//! - leaf: `blake2_256(0x00 ‖ context ‖ miner ‖ amount)`, the amount as 16 bytes little-endian
//! - branch: as in [`weight_tree`](crate::weight_tree), whose [`Node`] this is:
//!   `blake2_256(0x01 ‖ left hash ‖ left sum ‖ right hash ‖ right sum)`
//! - a node without a sibling moves up unchanged, as in [`merkle`](crate::merkle)
//!
//! The context names the chain, the coordinator and the era ([`context`]), so a proof says nothing
//! about any other, even where the leaves are the same.
//!
//! # Why not the weight tree itself
//!
//! Its shape follows the accounts' bits, which is what a list that changes all day needs. This one is
//! made once, and is proven from. Its shape is fixed by the number of leaves, so that a leaf has an
//! index: what was claimed is one bit, many leaves share one proof, and that a miner is *not* in it is
//! shown by two neighbours ([`proven_amount`]).
//!
//! # What a verifier may rely on
//!
//! Whoever made the tree, and however: the amounts that can be proven at different indices of one
//! root never add up to more than its sum. A verifier computes each parent's sum from those of its
//! children, and the parent's parent hashes that sum.

use crate::{weight_tree::Node, AccountId, Balance, EraIndex, H256};
use alloc::vec::Vec;
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use core::fmt;
use scale_info::TypeInfo;
use sp_crypto_hashing::blake2_256;

/// Most leaves of a tree: no path is longer than 20 nodes.
pub const MAX_LEAVES: u32 = 1 << 20;

/// Keeps contexts apart from hashes of anything else.
const CONTEXT: &str = "cuckoo/settlement/1";

/// What every leaf of an era's tree is bound to.
pub fn context(genesis_hash: &H256, coordinator: &AccountId, era: EraIndex) -> H256 {
	blake2_256(&(CONTEXT, genesis_hash, coordinator, era).encode()).into()
}

/// What a miner is owed.
#[derive(
	Clone, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
#[cfg_attr(feature = "std", derive(serde::Serialize, serde::Deserialize))]
pub struct Leaf {
	/// The miner's operator account.
	pub miner: AccountId,
	/// The highest voucher that it was given for the era.
	pub amount: Balance,
}

impl Leaf {
	fn node(&self, context: &H256) -> Node {
		let mut bytes = [0; 1 + 32 + 32 + 16];
		bytes[1..33].copy_from_slice(context.as_bytes());
		bytes[33..65].copy_from_slice(self.miner.as_ref());
		bytes[65..].copy_from_slice(&self.amount.to_le_bytes());
		Node {
			hash: blake2_256(&bytes).into(),
			sum: self.amount,
		}
	}
}

/// What is posted of a tree.
#[derive(
	Clone,
	Copy,
	PartialEq,
	Eq,
	Debug,
	Encode,
	Decode,
	DecodeWithMemTracking,
	MaxEncodedLen,
	TypeInfo,
)]
#[cfg_attr(feature = "std", derive(serde::Serialize, serde::Deserialize))]
pub struct Root {
	/// Hash and sum of the topmost node.
	pub node: Node,
	/// How many leaves there are, which fixes the shape.
	pub leaves: u32,
}

/// A leaf in its place.
#[derive(
	Clone, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
#[cfg_attr(feature = "std", derive(serde::Serialize, serde::Deserialize))]
pub struct PlacedLeaf {
	/// Its index from 0.
	pub index: u32,
	/// The leaf.
	pub leaf: Leaf,
}

/// Proves that leaves stand under a root: one leaf, or many at once that share their paths.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
#[cfg_attr(feature = "std", derive(serde::Serialize, serde::Deserialize))]
pub struct Proof {
	/// What is proven, by ascending index.
	pub leaves: Vec<PlacedLeaf>,
	/// The nodes beside the paths: from the bottom up, each layer from the left, without those that
	/// can be computed.
	pub siblings: Vec<Node>,
}

/// Why leaves make no tree.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TreeError {
	/// There are no leaves, or more than [`MAX_LEAVES`].
	Count,
	/// The miners are not in strictly ascending order.
	Order,
	/// A leaf has nothing in it.
	Zero,
	/// The sum is above what a balance can be.
	Overflow,
}

impl fmt::Display for TreeError {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		f.write_str(match self {
			TreeError::Count => "a settlement has at least one leaf and at most 2^20",
			TreeError::Order => "the miners of a settlement ascend and are each named once",
			TreeError::Zero => "a leaf of a settlement is above zero",
			TreeError::Overflow => "the sum of a settlement is no balance",
		})
	}
}

impl core::error::Error for TreeError {}

/// An era's tree with everything that proofs are made of.
#[derive(Clone, Debug)]
pub struct SumTree {
	leaves: Vec<Leaf>,
	/// The leaves' nodes first, the root last; never empty.
	layers: Vec<Vec<Node>>,
}

impl SumTree {
	/// Hashes the tree: as many hashes as there are leaves, twice.
	pub fn new(context: &H256, leaves: Vec<Leaf>) -> Result<Self, TreeError> {
		let count = u32::try_from(leaves.len()).map_err(|_| TreeError::Count)?;
		if !(1..=MAX_LEAVES).contains(&count) {
			return Err(TreeError::Count);
		}
		if leaves.windows(2).any(|pair| pair[0].miner >= pair[1].miner) {
			return Err(TreeError::Order);
		}
		if leaves.iter().any(|leaf| leaf.amount == 0) {
			return Err(TreeError::Zero);
		}
		let mut layer: Vec<Node> = leaves.iter().map(|leaf| leaf.node(context)).collect();
		let mut layers = Vec::new();
		while layer.len() > 1 {
			let next = next_layer(&layer).ok_or(TreeError::Overflow)?;
			layers.push(core::mem::replace(&mut layer, next));
		}
		layers.push(layer);
		Ok(SumTree { leaves, layers })
	}

	/// The leaves, in the miners' order.
	pub fn leaves(&self) -> &[Leaf] {
		&self.leaves
	}

	/// What is posted of it.
	pub fn root(&self) -> Root {
		let node = self.layers.last().and_then(|top| top.first());
		Root {
			node: node.copied().unwrap_or_default(),
			// `new` has bounded it.
			leaves: self.leaves.len() as u32,
		}
	}

	/// Where a miner's leaf is, or else where it would be.
	pub fn place(&self, miner: &AccountId) -> Result<u32, u32> {
		self.leaves
			.binary_search_by(|leaf| leaf.miner.cmp(miner))
			.map(|index| index as u32)
			.map_err(|index| index as u32)
	}

	/// One proof for the leaves at these indices, which must ascend. `None` where there is no such
	/// leaf, or none is asked for.
	pub fn prove(&self, indices: &[u32]) -> Option<Proof> {
		if indices.is_empty() || indices.windows(2).any(|pair| pair[0] >= pair[1]) {
			return None;
		}
		let leaves = indices
			.iter()
			.map(|index| {
				let leaf = self.leaves.get(*index as usize)?.clone();
				Some(PlacedLeaf {
					index: *index,
					leaf,
				})
			})
			.collect::<Option<Vec<_>>>()?;
		let mut siblings = Vec::new();
		let mut known: Vec<usize> = indices.iter().map(|index| *index as usize).collect();
		for layer in &self.layers {
			let mut above: Vec<usize> = Vec::with_capacity(known.len());
			for (place, position) in known.iter().enumerate() {
				if above.last() != Some(&(position / 2)) {
					above.push(position / 2);
				}
				let sibling = position ^ 1;
				let beside = [place.wrapping_sub(1), place + 1]
					.into_iter()
					.any(|other| known.get(other) == Some(&sibling));
				if !beside {
					siblings.extend(layer.get(sibling));
				}
			}
			known = above;
		}
		Some(Proof { leaves, siblings })
	}

	/// Proves what a miner is owed: its leaf, or, where it has none, the leaves between which it would
	/// be. [`proven_amount`] reads the answer.
	pub fn prove_miner(&self, miner: &AccountId) -> Option<Proof> {
		let last = self.root().leaves.checked_sub(1)?;
		match self.place(miner) {
			Ok(index) => self.prove(&[index]),
			Err(0) => self.prove(&[0]),
			Err(index) if index > last => self.prove(&[last]),
			Err(index) => self.prove(&[index - 1, index]),
		}
	}
}

/// The parent of two nodes; `None` when their sum is no balance.
fn join(left: &Node, right: &Node) -> Option<Node> {
	left.sum.checked_add(right.sum)?;
	Some(Node::branch(left, right))
}

fn next_layer(layer: &[Node]) -> Option<Vec<Node>> {
	layer
		.chunks(2)
		.map(|pair| match pair {
			[left, right] => join(left, right),
			single => single.first().copied(),
		})
		.collect()
}

/// Whether `leaves` stand at their indices under `root`, of a tree of this context. The work is
/// bounded by the number of leaves times the length of a path, whatever is handed in.
pub fn verify(root: &Root, context: &H256, leaves: &[PlacedLeaf], siblings: &[Node]) -> bool {
	top(root.leaves, context, leaves, siblings) == Some(root.node)
}

/// The topmost node to which `leaves` lead with these nodes beside their paths, in a tree of `count`
/// leaves. `None` when they are no proof of anything.
pub fn top(count: u32, context: &H256, leaves: &[PlacedLeaf], siblings: &[Node]) -> Option<Node> {
	let ascending = leaves.windows(2).all(|pair| pair[0].index < pair[1].index);
	let within = leaves.last().is_some_and(|last| last.index < count);
	if !ascending || !within || count > MAX_LEAVES {
		return None;
	}
	let nodes = leaves
		.iter()
		.map(|placed| (placed.index, placed.leaf.node(context)))
		.collect();
	climb(count, nodes, siblings)
}

/// The node at the top of a tree of so many leaves, from some of them and the nodes beside their
/// paths. `None` when a node is missing or left over, or a sum is no balance.
fn climb(leaves: u32, mut layer: Vec<(u32, Node)>, siblings: &[Node]) -> Option<Node> {
	let mut siblings = siblings.iter();
	let mut width = leaves;
	while width > 1 {
		let mut above = Vec::with_capacity(layer.len());
		let mut nodes = layer.into_iter().peekable();
		while let Some((position, node)) = nodes.next() {
			let parent = if position ^ 1 >= width {
				node
			} else if position % 2 == 1 {
				join(siblings.next()?, &node)?
			} else {
				let right = match nodes.next_if(|(next, _)| *next == position + 1) {
					Some((_, right)) => right,
					None => *siblings.next()?,
				};
				join(&node, &right)?
			};
			above.push((position / 2, parent));
		}
		layer = above;
		width = width.div_ceil(2);
	}
	match (siblings.next(), layer.as_slice()) {
		(None, [(_, top)]) => Some(*top),
		_ => None,
	}
}

/// What *verified* leaves of a tree of `count` say that `miner` is owed: the amount of its leaf; zero
/// where they show that it has none; `None` where they say nothing of it.
///
/// That it has none is shown by two neighbours between which it would be, or by the first or the last
/// leaf when it would be outside of them. An account that is in no leaf always has such a place, even in
/// a tree that its maker has not sorted: somewhere the accounts go from below it to above. Of a
/// miner that *is* in a sorted tree it can never be shown.
pub fn proven_amount(count: u32, leaves: &[PlacedLeaf], miner: &AccountId) -> Option<Balance> {
	if let Some(own) = leaves.iter().find(|placed| placed.leaf.miner == *miner) {
		return Some(own.leaf.amount);
	}
	let before_all = leaves
		.first()
		.is_some_and(|first| first.index == 0 && *miner < first.leaf.miner);
	let after_all = leaves
		.last()
		.is_some_and(|last| last.index.checked_add(1) == Some(count) && last.leaf.miner < *miner);
	let between = leaves.windows(2).any(|pair| {
		pair[0].index.checked_add(1) == Some(pair[1].index)
			&& pair[0].leaf.miner < *miner
			&& *miner < pair[1].leaf.miner
	});
	(before_all || after_all || between).then_some(0)
}

#[cfg(test)]
mod tests {
	use super::*;
	use alloc::{collections::BTreeMap, vec};
	use proptest::prelude::*;

	fn miner(number: u32) -> AccountId {
		let mut bytes = [0; 32];
		bytes[..4].copy_from_slice(&number.to_be_bytes());
		bytes.into()
	}

	fn here() -> H256 {
		context(&H256::repeat_byte(1), &AccountId::new([2; 32]), 3)
	}

	/// Miners 1, 3, 5 …, so that there is room for others between them.
	fn leaves(amounts: &[Balance]) -> Vec<Leaf> {
		amounts
			.iter()
			.enumerate()
			.map(|(index, amount)| Leaf {
				miner: miner(2 * index as u32 + 1),
				amount: *amount,
			})
			.collect()
	}

	fn tree(amounts: &[Balance]) -> SumTree {
		SumTree::new(&here(), leaves(amounts)).unwrap()
	}

	fn holds(root: &Root, proof: &Proof) -> bool {
		verify(root, &here(), &proof.leaves, &proof.siblings)
	}

	#[test]
	fn what_makes_no_tree_is_refused() {
		let build = |leaves| SumTree::new(&here(), leaves).map(|_| ());
		assert_eq!(build(vec![]), Err(TreeError::Count));
		assert_eq!(build(leaves(&[1, 0])), Err(TreeError::Zero));
		assert_eq!(build(leaves(&[Balance::MAX, 1])), Err(TreeError::Overflow));
		let mut twice = leaves(&[1, 2]);
		twice[1].miner = twice[0].miner.clone();
		assert_eq!(build(twice), Err(TreeError::Order));
	}

	#[test]
	fn one_leaf_is_its_own_root() {
		let tree = tree(&[7]);
		let proof = tree.prove(&[0]).unwrap();
		assert!(proof.siblings.is_empty());
		assert_eq!(tree.root().node.sum, 7);
		assert!(holds(&tree.root(), &proof));
	}

	/// A path of 12,345 leaves is 14 nodes, and a batch of neighbours is hardly longer.
	#[test]
	fn ten_thousand_leaves_and_more() {
		let amounts: Vec<Balance> = (1..=12_345).collect();
		let tree = tree(&amounts);
		let root = tree.root();
		assert_eq!(root.node.sum, 12_345 * 12_346 / 2);
		for index in [0, 1, 4_095, 4_096, 12_343, 12_344] {
			let proof = tree.prove(&[index]).unwrap();
			assert!(proof.siblings.len() <= 14);
			assert!(holds(&root, &proof));
		}
		let batch: Vec<u32> = (5_000..5_064).collect();
		let proof = tree.prove(&batch).unwrap();
		assert!(proof.siblings.len() <= 20);
		assert!(holds(&root, &proof));
		assert_eq!(tree.prove(&[12_345]), None);
		assert_eq!(tree.prove(&[2, 1]), None);
		assert_eq!(tree.prove(&[]), None);
	}

	#[test]
	fn another_context_proves_nothing() {
		let (genesis, coordinator) = (H256::repeat_byte(1), AccountId::new([2; 32]));
		let tree = tree(&[5, 6, 7]);
		let (root, proof) = (tree.root(), tree.prove(&[1]).unwrap());
		let verifies = |context: H256| verify(&root, &context, &proof.leaves, &proof.siblings);
		assert!(verifies(context(&genesis, &coordinator, 3)));
		assert!(!verifies(context(&genesis, &coordinator, 4)));
		assert!(!verifies(context(&genesis, &AccountId::new([9; 32]), 3)));
		assert!(!verifies(context(&H256::zero(), &coordinator, 3)));
	}

	/// A tree whose maker lies about sums: some branches are hashed with other sums than their
	/// children's, in both directions.
	struct Crooked {
		layers: Vec<Vec<Node>>,
	}

	impl Crooked {
		fn new(leaves: &[Leaf], lies: &[Option<Balance>]) -> Self {
			let mut lies = lies.iter().copied().cycle();
			let mut layer: Vec<Node> = leaves.iter().map(|leaf| leaf.node(&here())).collect();
			let mut layers = vec![layer.clone()];
			while layer.len() > 1 {
				layer = layer
					.chunks(2)
					.map(|pair| match pair {
						[left, right] => {
							let mut node = Node::branch(left, right);
							if let Some(Some(sum)) = lies.next() {
								node.sum = sum;
							}
							node
						},
						single => single[0],
					})
					.collect();
				layers.push(layer.clone());
			}
			Crooked { layers }
		}

		fn path(&self, index: usize) -> Vec<Node> {
			let mut position = index;
			let mut siblings = Vec::new();
			for layer in &self.layers {
				siblings.extend(layer.get(position ^ 1));
				position /= 2;
			}
			siblings
		}
	}

	proptest! {
		#[test]
		fn any_leaves_are_provable_together(
			amounts in prop::collection::vec(1..1_000u128, 1..80),
			picks in prop::collection::vec(any::<prop::sample::Index>(), 1..12),
		) {
			let tree = tree(&amounts);
			let mut indices: Vec<u32> =
				picks.iter().map(|pick| pick.index(amounts.len()) as u32).collect();
			indices.sort_unstable();
			indices.dedup();
			let proof = tree.prove(&indices).unwrap();
			prop_assert!(holds(&tree.root(), &proof));
			prop_assert_eq!(tree.root().node.sum, amounts.iter().sum::<u128>());
			prop_assert_eq!(tree.root().leaves as usize, amounts.len());
		}

		#[test]
		fn no_changed_proof_holds(
			amounts in prop::collection::vec(1..1_000u128, 2..80),
			pick in any::<prop::sample::Index>(),
			change in 0..8u8,
			place in any::<prop::sample::Index>(),
			more in 1..1_000u128,
		) {
			let tree = tree(&amounts);
			let mut root = tree.root();
			let mut proof = tree.prove(&[pick.index(amounts.len()) as u32]).unwrap();
			let sibling = place.index(proof.siblings.len());
			match change {
				0 => proof.leaves[0].leaf.amount += more,
				1 => proof.leaves[0].leaf.miner = miner(2),
				2 => {
					let other = (u128::from(proof.leaves[0].index) + more) % amounts.len() as u128;
					prop_assume!(other as u32 != proof.leaves[0].index);
					proof.leaves[0].index = other as u32;
				},
				3 => proof.siblings[sibling].sum += more,
				4 => proof.siblings[sibling].hash = H256::repeat_byte(9),
				5 => { proof.siblings.remove(sibling); },
				6 => proof.siblings.push(Node::default()),
				_ => root.node.sum += more,
			}
			prop_assert!(!holds(&root, &proof));
		}

		#[test]
		fn what_can_be_proven_never_exceeds_the_sum(
			amounts in prop::collection::vec(1..1_000u128, 1..40),
			lies in prop::collection::vec(prop::option::of(0..3_000u128), 1..40),
		) {
			let leaves = leaves(&amounts);
			let crooked = Crooked::new(&leaves, &lies);
			let root = Root {
				node: crooked.layers.last().unwrap()[0],
				leaves: leaves.len() as u32,
			};
			let proven: u128 = leaves
				.iter()
				.enumerate()
				.filter(|(index, leaf)| {
					let placed = PlacedLeaf { index: *index as u32, leaf: (*leaf).clone() };
					verify(&root, &here(), &[placed], &crooked.path(*index))
				})
				.map(|(_, leaf)| leaf.amount)
				.sum();
			prop_assert!(proven <= root.node.sum);
		}

		#[test]
		fn what_a_miner_is_owed_is_provable_whether_it_has_a_leaf_or_not(
			amounts in prop::collection::vec(1..1_000u128, 1..40),
			asked in 0..90u32,
		) {
			let tree = tree(&amounts);
			let asked = miner(asked);
			let owed: BTreeMap<_, _> =
				tree.leaves().iter().map(|leaf| (leaf.miner.clone(), leaf.amount)).collect();
			let proof = tree.prove_miner(&asked).unwrap();
			prop_assert!(holds(&tree.root(), &proof));
			let amount = proven_amount(tree.root().leaves, &proof.leaves, &asked);
			prop_assert_eq!(amount, Some(owed.get(&asked).copied().unwrap_or(0)));
		}

		#[test]
		fn a_miner_with_a_leaf_is_never_shown_to_have_none(
			amounts in prop::collection::vec(1..1_000u128, 2..40),
			own in any::<prop::sample::Index>(),
			picks in prop::collection::vec(any::<prop::sample::Index>(), 1..12),
		) {
			let tree = tree(&amounts);
			let own = own.index(amounts.len()) as u32;
			let mut indices: Vec<u32> = picks
				.iter()
				.map(|pick| pick.index(amounts.len()) as u32)
				.filter(|index| *index != own)
				.collect();
			indices.sort_unstable();
			indices.dedup();
			prop_assume!(!indices.is_empty());
			let proof = tree.prove(&indices).unwrap();
			let asked = &tree.leaves()[own as usize].miner;
			prop_assert_eq!(proven_amount(tree.root().leaves, &proof.leaves, asked), None);
		}

		#[test]
		fn an_absent_miner_has_a_place_in_an_unsorted_tree_too(
			order in Just((0..20u32).collect::<Vec<_>>()).prop_shuffle(),
			asked in 0..20u32,
		) {
			let placed: Vec<PlacedLeaf> = order
				.iter()
				.enumerate()
				.map(|(index, number)| PlacedLeaf {
					index: index as u32,
					leaf: Leaf { miner: miner(2 * number + 1), amount: 1 },
				})
				.collect();
			prop_assert_eq!(proven_amount(20, &placed, &miner(2 * asked)), Some(0));
		}

		#[test]
		fn no_proof_panics(
			count in any::<u32>(),
			indices in prop::collection::vec(any::<u32>(), 0..5),
			amount in any::<u128>(),
			sums in prop::collection::vec(any::<u128>(), 0..40),
		) {
			let leaves: Vec<PlacedLeaf> = indices
				.iter()
				.map(|index| PlacedLeaf { index: *index, leaf: Leaf { miner: miner(*index), amount } })
				.collect();
			let siblings: Vec<Node> =
				sums.iter().map(|sum| Node { hash: H256::zero(), sum: *sum }).collect();
			let root = Root { node: Node::default(), leaves: count };
			prop_assert!(!verify(&root, &here(), &leaves, &siblings));
			proven_amount(count, &leaves, &miner(7));
		}
	}
}
