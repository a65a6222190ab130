//! A [`weight_tree`] that is kept as accounts come, go and change their weight: the list itself, its
//! sum, its commitment, and the place where a ticket falls, each in as many steps as the tree is deep,
//! about log2 n.

use cuckoo_primitives::{
	draw::Eligible,
	weight_tree::{bit, first_difference, Node},
	AccountId, Balance, H256,
};

/// Where a node stands in [`WeightTree::nodes`].
type Place = u32;

/// A node, and whether its hash is behind what stands below it: many changes may come between two
/// looks at the root.
#[derive(Clone, Debug)]
struct Slot {
	node: Node,
	stale: bool,
	kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
	/// An account; its weight is the node's sum.
	Leaf(AccountId),
	/// The bit in which the accounts below differ, and those with 0 and with 1 there.
	Branch(u8, [Place; 2]),
}

/// Weights above zero by account.
#[derive(Clone, Debug, Default)]
pub struct WeightTree {
	nodes: Vec<Slot>,
	root: Option<Place>,
	/// Places that are not in use.
	free: Vec<Place>,
	leaves: usize,
	/// Spares an allocation for each change: the branches on the way to an account, and which way.
	path: Vec<(Place, usize)>,
}

impl WeightTree {
	/// How many accounts there are.
	pub fn len(&self) -> usize {
		self.leaves
	}

	/// Whether there is none.
	pub fn is_empty(&self) -> bool {
		self.root.is_none()
	}

	/// All weights together.
	pub fn total(&self) -> Balance {
		self.root.map_or(0, |root| self.slot(root).node.sum)
	}

	/// Changes an account's weight, where zero takes it out; returns the weight before. The caller
	/// keeps the sum below 2^128.
	pub fn set(&mut self, account: &AccountId, weight: Balance) -> Balance {
		let Some(root) = self.root else {
			if weight > 0 {
				self.root = Some(self.put_leaf(account, weight));
			}
			return 0;
		};
		let (nearest, difference) = self.descend(root, account);
		match (difference, weight) {
			(Some(_), 0) => 0,
			(Some(index), _) => {
				self.insert(index, account, weight);
				0
			},
			(None, 0) => self.remove(nearest),
			(None, _) => {
				let before = self.slot(nearest).node.sum;
				if weight != before {
					let slot = self.slot_mut(nearest);
					slot.node.sum = weight;
					slot.stale = true;
					self.touch_path(before, weight);
				}
				before
			},
		}
	}

	/// The account on which `ticket` falls in the walk over the list; `None` when it is not below the
	/// total.
	pub fn find(&self, ticket: Balance) -> Option<&AccountId> {
		let mut place = self.root?;
		if ticket >= self.total() {
			return None;
		}
		let mut rest = ticket;
		loop {
			match &self.slot(place).kind {
				Kind::Leaf(account) => return Some(account),
				Kind::Branch(_, [left, right]) => {
					let below = self.slot(*left).node.sum;
					place = match rest.checked_sub(below) {
						Some(over) => {
							rest = over;
							*right
						},
						None => *left,
					};
				},
			}
		}
	}

	/// The commitment to the list.
	pub fn commitment(&mut self) -> H256 {
		self.root.map_or(H256::zero(), |root| self.fresh(root).hash)
	}

	/// The list, in the order of accounts.
	pub fn iter(&self) -> impl Iterator<Item = Eligible> + '_ {
		let mut ahead: Vec<Place> = self.root.into_iter().collect();
		std::iter::from_fn(move || loop {
			let slot = self.slot(ahead.pop()?);
			match &slot.kind {
				Kind::Branch(_, [left, right]) => ahead.extend([*right, *left]),
				Kind::Leaf(account) => {
					return Some(Eligible {
						miner: account.clone(),
						weight: slot.node.sum,
					})
				},
			}
		})
	}

	/// Goes down to the leaf nearest to `account`, noting the branches on the way: those above the
	/// account's own place. Returns the leaf, and the first bit in which it differs from `account`.
	fn descend(&mut self, root: Place, account: &AccountId) -> (Place, Option<u8>) {
		let mut path = std::mem::take(&mut self.path);
		path.clear();
		let mut place = root;
		let nearest = loop {
			match &self.slot(place).kind {
				Kind::Leaf(found) => break found,
				Kind::Branch(index, children) => {
					let side = usize::from(bit(account, *index));
					path.push((place, side));
					place = children[side];
				},
			}
		};
		let difference = first_difference(nearest, account);
		if let Some(difference) = difference {
			let above = path.partition_point(|(place, _)| self.index(*place) < difference);
			path.truncate(above);
		}
		self.path = path;
		(place, difference)
	}

	/// Puts an account in that differs first in bit `index` from what stands below the path.
	fn insert(&mut self, index: u8, account: &AccountId, weight: Balance) {
		let Some(sibling) = self.below_path() else {
			return;
		};
		let leaf = self.put_leaf(account, weight);
		let mut children = [leaf, sibling];
		if bit(account, index) {
			children.reverse();
		}
		let sum = self.slot(sibling).node.sum + weight;
		let branch = self.put(Slot {
			node: Node {
				hash: H256::zero(),
				sum,
			},
			stale: true,
			kind: Kind::Branch(index, children),
		});
		self.hang(branch);
		self.touch_path(0, weight);
	}

	/// Takes the leaf at the path's end out; returns its weight.
	fn remove(&mut self, leaf: Place) -> Balance {
		let before = self.slot(leaf).node.sum;
		self.free.push(leaf);
		self.leaves -= 1;
		let Some((parent, side)) = self.path.pop() else {
			self.root = None;
			return before;
		};
		if let Kind::Branch(_, children) = self.slot(parent).kind {
			self.hang(children[1 - side]);
			self.free.push(parent);
		}
		self.touch_path(before, 0);
		before
	}

	/// What hangs at the path's end.
	fn below_path(&self) -> Option<Place> {
		match self.path.last() {
			None => self.root,
			Some((parent, side)) => match &self.slot(*parent).kind {
				Kind::Branch(_, children) => Some(children[*side]),
				Kind::Leaf(_) => None,
			},
		}
	}

	/// Hangs `place` at the path's end.
	fn hang(&mut self, place: Place) {
		match self.path.last().copied() {
			None => self.root = Some(place),
			Some((parent, side)) => {
				if let Kind::Branch(_, children) = &mut self.slot_mut(parent).kind {
					children[side] = place;
				}
			},
		}
	}

	/// Brings the sums of the path's branches up to date.
	fn touch_path(&mut self, before: Balance, after: Balance) {
		for (place, _) in &self.path {
			let slot = &mut self.nodes[*place as usize];
			slot.node.sum = slot.node.sum - before + after;
			slot.stale = true;
		}
	}

	/// The node with its hash brought up to date. As deep as accounts have bits, at most.
	fn fresh(&mut self, place: Place) -> Node {
		let slot = self.slot(place);
		if !slot.stale {
			return slot.node;
		}
		let node = match &slot.kind {
			Kind::Leaf(account) => Node::leaf(account, slot.node.sum),
			Kind::Branch(_, [left, right]) => {
				let (left, right) = (*left, *right);
				let left = self.fresh(left);
				Node::branch(&left, &self.fresh(right))
			},
		};
		let slot = self.slot_mut(place);
		slot.node = node;
		slot.stale = false;
		node
	}

	fn index(&self, place: Place) -> u8 {
		match &self.slot(place).kind {
			Kind::Branch(index, _) => *index,
			Kind::Leaf(_) => u8::MAX,
		}
	}

	fn put_leaf(&mut self, account: &AccountId, weight: Balance) -> Place {
		self.leaves += 1;
		self.put(Slot {
			node: Node {
				hash: H256::zero(),
				sum: weight,
			},
			stale: true,
			kind: Kind::Leaf(account.clone()),
		})
	}

	fn put(&mut self, slot: Slot) -> Place {
		match self.free.pop() {
			Some(place) => {
				self.nodes[place as usize] = slot;
				place
			},
			None => {
				self.nodes.push(slot);
				// Two nodes an account: there are fewer than 2^31 accounts.
				(self.nodes.len() - 1) as Place
			},
		}
	}

	fn slot(&self, place: Place) -> &Slot {
		&self.nodes[place as usize]
	}

	fn slot_mut(&mut self, place: Place) -> &mut Slot {
		&mut self.nodes[place as usize]
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
			let used = entries.len() + entries.len().saturating_sub(1);
			prop_assert_eq!(tree.nodes.len() - tree.free.len(), used, "no place is lost");
			for ticket in tickets.into_iter().filter(|_| root.sum > 0) {
				let ticket = ticket.index(root.sum as usize) as Balance;
				let expected = draw::pick(&entries, ticket).map(|entry| &entry.miner);
				prop_assert_eq!(tree.find(ticket), expected);
			}
		}
	}
}
