//! How the lists that draws were made from are kept. Between two draws a list of many changes by few
//! entries, so it is not written down whole each time: a *chain* begins with a whole list, and each
//! step after that says what changed.

use super::WeightTree;
use codec::{Decode, Encode};
use cuckoo_primitives::{draw::Eligible, AccountId, Balance};
use std::collections::BTreeMap;

/// Steps of a chain, at most: so many are read to get one list back.
const MAX_STEPS: u32 = 1_024;

/// A list's place in the store, and what has to be stored for it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListRecord {
	/// The chain.
	pub chain: u64,
	/// The step in it, from 0.
	pub step: u32,
	/// What the step consists of; `None` when the list is the one that was recorded last.
	pub entries: Option<ListEntries>,
}

/// A step of a chain.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub enum ListEntries {
	/// The list.
	Whole(Vec<Eligible>),
	/// What differs from the step before; who has no weight is out.
	Changes(Vec<Eligible>),
}

/// Notes what changes between one record and the next.
#[derive(Clone, Debug, Default)]
pub(super) struct Recorder {
	/// The last step that was recorded.
	last: Option<(u64, u32)>,
	/// What has changed since.
	changes: BTreeMap<AccountId, Balance>,
}

impl Recorder {
	/// A miner's weight has changed.
	pub(super) fn changed(&mut self, miner: &AccountId, weight: Balance) {
		// Before there is a list nothing can differ from it.
		if self.last.is_some() {
			self.changes.insert(miner.clone(), weight);
		}
	}

	/// The chain that the next step goes into.
	pub(super) fn chain(&self) -> Option<u64> {
		self.last.map(|(chain, _)| chain)
	}

	/// Records the list as it is now.
	pub(super) fn record(
		&mut self,
		list: &WeightTree,
		new_chain: impl FnOnce() -> u64,
	) -> ListRecord {
		let changes = std::mem::take(&mut self.changes);
		let (chain, step, entries) = match self.last {
			Some((chain, step)) if changes.is_empty() => (chain, step, None),
			// A change takes as much room as an entry of the list.
			Some((chain, step)) if step + 1 < MAX_STEPS && changes.len() < list.len() => {
				let changes = changes
					.into_iter()
					.map(|(miner, weight)| Eligible { miner, weight });
				let changes = ListEntries::Changes(changes.collect());
				(chain, step + 1, Some(changes))
			},
			_ => {
				let whole = ListEntries::Whole(list.iter().collect());
				(new_chain(), 0, Some(whole))
			},
		};
		self.last = Some((chain, step));
		ListRecord {
			chain,
			step,
			entries,
		}
	}
}

/// The list at the end of these steps of a chain, from the first on; `None` if that is no chain.
pub fn replay(steps: impl IntoIterator<Item = ListEntries>) -> Option<Vec<Eligible>> {
	let mut steps = steps.into_iter();
	let ListEntries::Whole(whole) = steps.next()? else {
		return None;
	};
	let mut list: BTreeMap<AccountId, Balance> = whole
		.into_iter()
		.map(|entry| (entry.miner, entry.weight))
		.collect();
	for step in steps {
		let ListEntries::Changes(changes) = step else {
			return None;
		};
		for Eligible { miner, weight } in changes {
			if weight == 0 {
				list.remove(&miner);
			} else {
				list.insert(miner, weight);
			}
		}
	}
	let entries = list
		.into_iter()
		.map(|(miner, weight)| Eligible { miner, weight });
	Some(entries.collect())
}

#[cfg(test)]
pub(crate) mod tests {
	use super::*;
	use proptest::prelude::*;

	/// What the store does: keeps the step, and gives the list back.
	pub fn recorded(
		stored: &mut Vec<(u64, u32, ListEntries)>,
		record: &ListRecord,
	) -> Vec<Eligible> {
		if let Some(entries) = record.entries.clone() {
			stored.push((record.chain, record.step, entries));
		}
		let steps = stored
			.iter()
			.filter(|(chain, step, _)| *chain == record.chain && *step <= record.step)
			.map(|(.., entries)| entries.clone());
		replay(steps).unwrap()
	}

	fn miner(number: u8) -> AccountId {
		AccountId::new([number; 32])
	}

	proptest! {
		#[test]
		fn every_list_comes_back(
			changes in prop::collection::vec((0u8..20, 0u128..5, any::<bool>()), 1..200),
		) {
			let mut tree = WeightTree::default();
			let mut recorder = Recorder::default();
			let (mut stored, mut chains) = (Vec::new(), 0);
			for (number, weight, look) in changes {
				if tree.set(&miner(number), weight) != weight {
					recorder.changed(&miner(number), weight);
				}
				if look {
					let record = recorder.record(&tree, || { chains += 1; chains });
					let list = recorded(&mut stored, &record);
					prop_assert_eq!(list, tree.iter().collect::<Vec<_>>());
					let again = recorder.record(&tree, || unreachable!());
					let same = ListRecord { entries: None, ..record };
					prop_assert_eq!(again, same, "what is known is not written twice");
				}
			}
		}
	}

	#[test]
	fn chains_are_not_longer_than_they_may_be() {
		let mut tree = WeightTree::default();
		let mut recorder = Recorder::default();
		for number in 0..10 {
			tree.set(&miner(number), 1);
		}
		let mut chains = 0;
		for turn in 0..2 * MAX_STEPS {
			let weight = Balance::from(2 + turn);
			tree.set(&miner(0), weight);
			recorder.changed(&miner(0), weight);
			let record = recorder.record(&tree, || {
				chains += 1;
				chains
			});
			assert_eq!(
				(record.chain, record.step),
				(1 + u64::from(turn / MAX_STEPS), turn % MAX_STEPS)
			);
		}
	}

	#[test]
	fn what_is_no_chain_gives_no_list() {
		let changes = ListEntries::Changes(Vec::new());
		let whole = ListEntries::Whole(Vec::new());
		assert_eq!(replay([]), None);
		assert_eq!(replay([changes.clone()]), None);
		assert_eq!(replay([whole.clone(), whole.clone()]), None);
		assert_eq!(replay([whole, changes]), Some(Vec::new()));
	}
}
