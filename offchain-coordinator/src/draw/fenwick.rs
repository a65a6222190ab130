//! Sums over a list of weights that change: a Fenwick tree (Fenwick 1994, "A new data structure for
//! cumulative frequency tables"). Changing one weight and finding the entry on which a ticket falls
//! both take O(log n).

use cuckoo_primitives::Balance;

/// Weights by position, with their running sums.
#[derive(Clone, Debug, Default)]
pub struct Fenwick {
	weights: Vec<Balance>,
	/// `sums[i]` covers the `lowest_bit(i + 1)` weights that end at `i`.
	sums: Vec<Balance>,
	total: Balance,
}

impl Fenwick {
	/// `length` weights of zero.
	pub fn new(length: usize) -> Self {
		Self {
			weights: vec![0; length],
			sums: vec![0; length],
			total: 0,
		}
	}

	/// The sum of all weights.
	pub fn total(&self) -> Balance {
		self.total
	}

	/// The weights in order.
	pub fn weights(&self) -> &[Balance] {
		&self.weights
	}

	/// Changes one weight and returns the one before. The caller keeps the sum below 2^128.
	///
	/// # Panics
	/// If there is no such position.
	pub fn set(&mut self, position: usize, weight: Balance) -> Balance {
		let before = std::mem::replace(&mut self.weights[position], weight);
		// Modulo 2^128, so that a difference may be negative; the sums themselves fit.
		let difference = weight.wrapping_sub(before);
		self.total = self.total.wrapping_add(difference);
		let mut node = position + 1;
		while node <= self.sums.len() {
			self.sums[node - 1] = self.sums[node - 1].wrapping_add(difference);
			node += lowest_bit(node);
		}
		before
	}

	/// The position on which `ticket` falls: the first whose running sum exceeds it. `None` when the
	/// ticket is not below the total.
	pub fn find(&self, ticket: Balance) -> Option<usize> {
		if ticket >= self.total {
			return None;
		}
		let mut rest = ticket;
		let mut found = 0;
		let mut width = self.sums.len().next_power_of_two();
		while width > 0 {
			if let Some(sum) = self.sums.get(found + width - 1) {
				if *sum <= rest {
					rest -= sum;
					found += width;
				}
			}
			width /= 2;
		}
		Some(found)
	}
}

fn lowest_bit(node: usize) -> usize {
	node & node.wrapping_neg()
}

#[cfg(test)]
mod tests {
	use super::*;
	use cuckoo_primitives::{
		draw::{pick, Eligible},
		AccountId,
	};
	use proptest::prelude::*;

	proptest! {
		/// The tree finds the miner that the linear walk of the protocol finds, after any changes.
		#[test]
		fn finds_what_the_linear_walk_finds(
			changes in prop::collection::vec((0usize..40, 0u128..1_000), 0..120),
			length in 40usize..70,
			tickets in prop::collection::vec(any::<u128>(), 1..20),
		) {
			let mut tree = Fenwick::new(length);
			for (position, weight) in changes {
				tree.set(position, weight);
			}
			let list: Vec<Eligible> = tree
				.weights()
				.iter()
				.enumerate()
				.map(|(index, weight)| Eligible {
					miner: AccountId::new([index as u8; 32]),
					weight: *weight,
				})
				.collect();
			prop_assert_eq!(tree.total(), list.iter().map(|entry| entry.weight).sum::<u128>());
			for ticket in tickets {
				let ticket = if tree.total() == 0 { ticket } else { ticket % tree.total() };
				let walked = pick(&list, ticket).map(|entry| entry.miner.clone());
				let found = tree.find(ticket).map(|index| list[index].miner.clone());
				prop_assert_eq!(found, walked);
			}
		}
	}

	#[test]
	fn borders_and_emptiness() {
		assert_eq!(Fenwick::new(0).find(0), None);
		assert_eq!(Fenwick::new(5).find(0), None);
		let mut tree = Fenwick::new(3);
		for (position, weight) in [3, 0, 5].into_iter().enumerate() {
			tree.set(position, weight);
		}
		let found: Vec<_> = (0..9).map(|ticket| tree.find(ticket)).collect();
		let expected = [0, 0, 0, 2, 2, 2, 2, 2].map(Some).into_iter().chain([None]);
		assert!(found.into_iter().eq(expected));
	}

	#[test]
	fn a_hundred_thousand_miners_are_drawn_from_in_microseconds() {
		let mut tree = Fenwick::new(100_000);
		for position in 0..100_000 {
			tree.set(position, 1 + position as Balance % 97);
		}
		let draws = 100_000u32;
		let start = std::time::Instant::now();
		let sum: usize = (0..draws)
			.filter_map(|n| tree.find(n as Balance * 7919 % tree.total()))
			.sum();
		let each = start.elapsed() / draws;
		assert!(sum > 0);
		assert!(
			each < std::time::Duration::from_micros(50),
			"{each:?} a draw"
		);
	}
}
