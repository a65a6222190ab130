//! A [`weight_tree`] that is kept as accounts come, go and change their weight: the list itself, its
//! sum, its commitment, and the place where a ticket falls, each in as many steps as the tree is deep,
//! about log2 n.
//!
//! A branch holds the nodes below it as [`Edge`]s, so that a step down reads one place in memory: with
//! many accounts that is most of a step's time.

use cuckoo_primitives::{
	draw::Eligible,
	weight_tree::{bit, first_difference, Node},
	AccountId, Balance, H256,
};

/// Where a leaf stands in [`WeightTree::leaves`], or a branch in [`WeightTree::branches`].
type Place = u32;

/// What hangs on an edge.
#[derive(Clone, Copy, Debug)]
enum Child {
	/// An account; its weight is the edge's sum.
	Leaf(Place),
	/// A branch, and the bit in which the accounts below it differ: those with 0 are on its left.
	Branch(Place, u8),
}

/// The way down to a node.
#[derive(Clone, Copy, Debug)]
struct Edge {
	node: Node,
	/// Whether the node's hash is behind what stands below it: many changes may come between two looks at
	/// the root.
	stale: bool,
	child: Child,
}

/// A way that was taken down: through this branch, whose accounts differ in this bit, to this side.
#[derive(Clone, Copy, Debug)]
struct Step {
	branch: Place,
	bit: u8,
	side: usize,
}

/// Weights above zero by account.
#[derive(Clone, Debug, Default)]
pub struct WeightTree {
	root: Option<Edge>,
	leaves: Vec<AccountId>,
	branches: Vec<[Edge; 2]>,
	/// Places that are not in use.
	free_leaves: Vec<Place>,
	free_branches: Vec<Place>,
	/// Spares an allocation for each change: the way to an account.
	path: Vec<Step>,
}

impl WeightTree {
	/// How many accounts there are.
	pub fn len(&self) -> usize {
		self.leaves.len() - self.free_leaves.len()
	}

	/// Whether there is none.
	pub fn is_empty(&self) -> bool {
		self.root.is_none()
	}

	/// All weights together.
	pub fn total(&self) -> Balance {
		self.root.map_or(0, |root| root.node.sum)
	}

	/// Changes an account's weight, where zero takes it out; returns the weight before. The caller
	/// keeps the sum below 2^128.
	pub fn set(&mut self, account: &AccountId, weight: Balance) -> Balance {
		let Some(root) = self.root else {
			if weight > 0 {
				self.root = Some(self.new_leaf(account, weight));
			}
			return 0;
		};
		let (nearest, difference) = self.descend(root.child, account);
		match (difference, weight) {
			(Some(_), 0) => 0,
			(Some(index), _) => {
				self.insert(index, account, weight);
				0
			},
			(None, 0) => self.remove(nearest),
			(None, _) => {
				let before = self.end().map_or(0, |edge| edge.node.sum);
				if weight != before {
					self.touch(self.path.len(), before, weight);
				}
				before
			},
		}
	}

	/// The account on which `ticket` falls in the walk over the list; `None` when it is not below the
	/// total.
	pub fn find(&self, ticket: Balance) -> Option<&AccountId> {
		let root = self.root?;
		if ticket >= root.node.sum {
			return None;
		}
		let (mut child, mut rest) = (root.child, ticket);
		loop {
			match child {
				Child::Leaf(place) => return Some(&self.leaves[place as usize]),
				Child::Branch(place, _) => {
					let [left, right] = &self.branches[place as usize];
					child = match rest.checked_sub(left.node.sum) {
						Some(over) => {
							rest = over;
							right.child
						},
						None => left.child,
					};
				},
			}
		}
	}

	/// The commitment to the list.
	pub fn commitment(&mut self) -> H256 {
		let Some(root) = self.root else {
			return H256::zero();
		};
		let node = self.fresh(&root);
		self.root = Some(Edge {
			node,
			stale: false,
			..root
		});
		node.hash
	}

	/// The list, in the order of accounts.
	pub fn iter(&self) -> impl Iterator<Item = Eligible> + '_ {
		let mut ahead: Vec<Edge> = self.root.into_iter().collect();
		std::iter::from_fn(move || loop {
			let edge = ahead.pop()?;
			match edge.child {
				Child::Branch(place, _) => {
					let [left, right] = self.branches[place as usize];
					ahead.extend([right, left]);
				},
				Child::Leaf(place) => {
					return Some(Eligible {
						miner: self.leaves[place as usize].clone(),
						weight: edge.node.sum,
					})
				},
			}
		})
	}

	/// Goes down to the leaf nearest to `account`, noting the way: as far as the branches above the
	/// account's own place. Returns the leaf, and the first bit in which it differs from `account`.
	fn descend(&mut self, root: Child, account: &AccountId) -> (Place, Option<u8>) {
		self.path.clear();
		let mut child = root;
		let nearest = loop {
			match child {
				Child::Leaf(place) => break place,
				Child::Branch(branch, index) => {
					let side = usize::from(bit(account, index));
					self.path.push(Step {
						branch,
						bit: index,
						side,
					});
					child = self.branches[branch as usize][side].child;
				},
			}
		};
		let difference = first_difference(&self.leaves[nearest as usize], account);
		if let Some(difference) = difference {
			let above = self.path.partition_point(|step| step.bit < difference);
			self.path.truncate(above);
		}
		(nearest, difference)
	}

	/// Puts an account in that differs first in bit `index` from what hangs at the path's end.
	fn insert(&mut self, index: u8, account: &AccountId, weight: Balance) {
		let Some(sibling) = self.end().copied() else {
			return;
		};
		let mut edges = [self.new_leaf(account, weight), sibling];
		if bit(account, index) {
			edges.reverse();
		}
		let branch = put(&mut self.branches, &mut self.free_branches, edges);
		self.hang(Edge {
			child: Child::Branch(branch, index),
			..sibling
		});
		self.touch(self.path.len(), 0, weight);
	}

	/// Takes the leaf at the path's end out; returns its weight.
	fn remove(&mut self, leaf: Place) -> Balance {
		let before = self.end().map_or(0, |edge| edge.node.sum);
		self.free_leaves.push(leaf);
		let Some(last) = self.path.pop() else {
			self.root = None;
			return before;
		};
		let sibling = self.branches[last.branch as usize][1 - last.side];
		self.free_branches.push(last.branch);
		self.hang(sibling);
		// What moved up is as it was; only those above it change.
		if let Some(above) = self.path.len().checked_sub(1) {
			self.touch(above, before, 0);
		}
		before
	}

	/// The edge at the path's end.
	fn end(&self) -> Option<&Edge> {
		match self.path.last() {
			None => self.root.as_ref(),
			Some(step) => Some(&self.branches[step.branch as usize][step.side]),
		}
	}

	/// Puts an edge at the path's end.
	fn hang(&mut self, edge: Edge) {
		match self.path.last() {
			None => self.root = Some(edge),
			Some(step) => self.branches[step.branch as usize][step.side] = edge,
		}
	}

	/// Brings the sums of the root's edge and the path's first `steps` up to date.
	fn touch(&mut self, steps: usize, before: Balance, after: Balance) {
		let change = |edge: &mut Edge| {
			edge.node.sum = edge.node.sum - before + after;
			edge.stale = true;
		};
		if let Some(root) = &mut self.root {
			change(root);
		}
		for step in &self.path[..steps] {
			change(&mut self.branches[step.branch as usize][step.side]);
		}
	}

	/// An edge's node with its hash brought up to date. As deep as accounts have bits, at most.
	fn fresh(&mut self, edge: &Edge) -> Node {
		match edge.child {
			_ if !edge.stale => edge.node,
			Child::Leaf(place) => Node::leaf(&self.leaves[place as usize], edge.node.sum),
			Child::Branch(place, _) => {
				for side in 0..2 {
					let below = self.branches[place as usize][side];
					if below.stale {
						let node = self.fresh(&below);
						let below = &mut self.branches[place as usize][side];
						(below.node, below.stale) = (node, false);
					}
				}
				let [left, right] = &self.branches[place as usize];
				Node::branch(&left.node, &right.node)
			},
		}
	}

	fn new_leaf(&mut self, account: &AccountId, weight: Balance) -> Edge {
		let place = put(&mut self.leaves, &mut self.free_leaves, account.clone());
		Edge {
			node: Node {
				hash: H256::zero(),
				sum: weight,
			},
			stale: true,
			child: Child::Leaf(place),
		}
	}
}

/// Puts an item in a place that is free.
fn put<T>(items: &mut Vec<T>, free: &mut Vec<Place>, item: T) -> Place {
	match free.pop() {
		Some(place) => {
			items[place as usize] = item;
			place
		},
		None => {
			items.push(item);
			// There are fewer than 2^32 accounts.
			(items.len() - 1) as Place
		},
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use cuckoo_primitives::{draw, weight_tree};
	use proptest::prelude::*;
	use std::collections::BTreeMap;

	/// Accounts that share long beginnings, and some that share none.
	fn account(number: u16) -> AccountId {
		let mut bytes = [0; 32];
		match number % 3 {
			0 => bytes[31] = number as u8,
			1 => bytes[..2].copy_from_slice(&number.to_be_bytes()),
			_ => bytes[number as usize % 32] = 1 << (number / 32 % 8),
		}
		bytes.into()
	}

	proptest! {
		/// After any changes the tree is the list's: the same entries, the same commitment as anyone
		/// computes from them, and every ticket falls where the walk over the list lets it fall.
		#[test]
		fn it_is_the_list_it_stands_for(
			changes in prop::collection::vec((0u16..400, prop_oneof![Just(0u128), 1..1_000u128], any::<bool>()), 1..200),
			tickets in prop::collection::vec(any::<prop::sample::Index>(), 8),
		) {
			let mut tree = WeightTree::default();
			let mut list = BTreeMap::new();
			for (number, weight, look) in changes {
				let account = account(number);
				let before = match weight {
					0 => list.remove(&account),
					_ => list.insert(account.clone(), weight),
				};
				prop_assert_eq!(tree.set(&account, weight), before.unwrap_or(0));
				if look {
					let entries: Vec<Eligible> = tree.iter().collect();
					prop_assert_eq!(tree.commitment(), draw::eligible_root(&entries));
				}
			}
			let entries: Vec<Eligible> = list
				.into_iter()
				.map(|(miner, weight)| Eligible { miner, weight })
				.collect();
			prop_assert_eq!(tree.iter().collect::<Vec<_>>(), entries.clone());
			prop_assert_eq!((tree.len(), tree.is_empty()), (entries.len(), entries.is_empty()));
			let root = weight_tree::root(&entries);
			prop_assert_eq!((tree.commitment(), tree.total()), (root.hash, root.sum));
			prop_assert_eq!(tree.find(root.sum), None);
			let branches = tree.branches.len() - tree.free_branches.len();
			prop_assert_eq!(branches, entries.len().saturating_sub(1), "no place is lost");
			for ticket in tickets.into_iter().filter(|_| root.sum > 0) {
				let ticket = ticket.index(root.sum as usize) as Balance;
				let expected = draw::pick(&entries, ticket).map(|entry| &entry.miner);
				prop_assert_eq!(tree.find(ticket), expected);
			}
		}
	}
}
