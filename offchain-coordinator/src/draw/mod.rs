//! The stake-weighted draw over the miners that are eligible now.
//!
//! Who is eligible is set by the caller, one weight at a time; a weight of zero is a miner that cannot
//! be drawn. There is one table a model; it is as large as its miners are many, so that declaring
//! models nobody else has costs nothing.
//!
//! What is drawn here, anyone can recompute with [`cuckoo_primitives::draw`] from the list that was
//! drawn from, which is [recorded](ListRecord) with the draw.

mod record;
mod tree;

pub use record::{replay, ListEntries, ListRecord};
pub use tree::WeightTree;

use cuckoo_primitives::{
	draw,
	task::{Attempt, ModelHash, TaskId},
	AccountId, Balance, H256,
};
use record::Recorder;
use std::collections::{BTreeSet, HashMap};

/// Weights are cut to this, so that no sum over fewer than 2^40 miners overflows.
pub const MAX_WEIGHT: Balance = Balance::MAX >> 40;

/// The outcome of one draw.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Drawn {
	/// Who.
	pub miner: AccountId,
	/// The commitment to the list that was drawn from.
	pub eligible_root: H256,
	/// The sum of its weights.
	pub total_weight: Balance,
	/// How many were in it.
	pub eligible: usize,
	/// What the store needs to give the list back.
	pub list: ListRecord,
}

/// The weights of the miners that can be drawn for one model.
#[derive(Clone, Debug, Default)]
struct Table {
	tree: WeightTree,
	recorder: Recorder,
}

impl Table {
	fn set(&mut self, miner: &AccountId, weight: Balance) -> Balance {
		let before = self.tree.set(miner, weight);
		if before != weight {
			self.recorder.changed(miner, weight);
		}
		before
	}

	fn draw(
		&mut self,
		randomness: &H256,
		task: &TaskId,
		attempt: Attempt,
		new_chain: impl FnOnce() -> u64,
	) -> Option<Drawn> {
		let total_weight = self.tree.total();
		let ticket = draw::ticket(randomness, task, attempt, total_weight)?;
		let miner = self.tree.find(ticket)?.clone();
		Some(Drawn {
			miner,
			eligible_root: self.tree.commitment(),
			total_weight,
			eligible: self.tree.len(),
			list: self.recorder.record(&self.tree, new_chain),
		})
	}
}

/// Who can be drawn for what.
#[derive(Clone, Debug)]
pub struct DrawTables {
	/// Whoever can be drawn for some model.
	weights: HashMap<AccountId, Balance>,
	total_weight: Balance,
	by_model: HashMap<ModelHash, Table>,
	next_chain: u64,
}

impl DrawTables {
	/// Nobody is eligible yet. Lists are recorded in chains that are numbered from `first_chain` on: a
	/// random number, so that no two runs give the same.
	pub fn new(first_chain: u64) -> Self {
		Self {
			weights: HashMap::new(),
			total_weight: 0,
			by_model: HashMap::new(),
			next_chain: first_chain,
		}
	}

	/// Sets the weight with which `miner` is drawn for each of its models; zero takes it out.
	pub fn set(&mut self, miner: &AccountId, models: &[ModelHash], weight: Balance) {
		let weight = weight.min(MAX_WEIGHT);
		let before = match weight {
			0 => self.weights.remove(miner),
			_ => self.weights.insert(miner.clone(), weight),
		};
		self.total_weight = self.total_weight - before.unwrap_or(0) + weight;
		for model in models {
			match self.by_model.get_mut(model) {
				Some(table) => {
					table.set(miner, weight);
					if table.tree.is_empty() {
						self.by_model.remove(model);
					}
				},
				None if weight > 0 => {
					let mut table = Table::default();
					table.set(miner, weight);
					self.by_model.insert(*model, table);
				},
				None => {},
			}
		}
	}

	/// How many can be drawn for some model.
	pub fn eligible(&self) -> u32 {
		u32::try_from(self.weights.len()).unwrap_or(u32::MAX)
	}

	/// The weight of all that can be drawn for some model.
	pub fn total_weight(&self) -> Balance {
		self.total_weight
	}

	/// The weight of all that can be drawn for this model.
	pub fn model_weight(&self, model: &ModelHash) -> Balance {
		self.by_model
			.get(model)
			.map_or(0, |table| table.tree.total())
	}

	/// The weights of all that can be drawn for some model, heaviest first.
	pub fn ranking(&self) -> Vec<Balance> {
		let mut weights: Vec<Balance> = self.weights.values().copied().collect();
		weights.sort_unstable_by(|a, b| b.cmp(a));
		weights
	}

	/// Draws a miner for an attempt, leaving out `excluded`. `None` when nobody is eligible.
	pub fn draw(
		&mut self,
		model: &ModelHash,
		excluded: &[AccountId],
		randomness: &H256,
		task: &TaskId,
		attempt: Attempt,
	) -> Option<Drawn> {
		let table = self.by_model.get_mut(model)?;
		let taken_out: Vec<Balance> = excluded.iter().map(|miner| table.set(miner, 0)).collect();
		let next_chain = &mut self.next_chain;
		let drawn = table.draw(randomness, task, attempt, || {
			let chain = *next_chain;
			*next_chain = chain.wrapping_add(1);
			chain
		});
		// Backwards, so that an account named twice gets its first weight back.
		for (miner, weight) in excluded.iter().zip(taken_out).rev() {
			table.set(miner, weight);
		}
		drawn
	}

	/// These chains are no longer in the store: what would follow in them begins anew.
	pub fn forget_chains(&mut self, chains: &BTreeSet<u64>) {
		for table in self.by_model.values_mut() {
			if table
				.recorder
				.chain()
				.is_some_and(|it| chains.contains(&it))
			{
				table.recorder = Recorder::default();
			}
		}
	}

	/// A draw's record did not get into the store: what would follow it begins anew.
	pub fn unrecorded(&mut self, model: &ModelHash) {
		if let Some(table) = self.by_model.get_mut(model) {
			table.recorder = Recorder::default();
		}
	}
}

#[cfg(test)]
pub(crate) mod tests {
	pub use super::record::tests::recorded;
	use super::*;
	use proptest::prelude::*;

	fn miner(number: u8) -> AccountId {
		AccountId::new([number; 32])
	}

	fn model(number: u8) -> ModelHash {
		H256::repeat_byte(number)
	}

	fn tables(weights: &[Balance]) -> DrawTables {
		let mut tables = DrawTables::new(0);
		for (number, weight) in weights.iter().enumerate() {
			tables.set(&miner(number as u8), &[model(1)], *weight);
		}
		tables
	}

	proptest! {
		/// What is drawn is what anyone recomputes from the list that is handed out.
		#[test]
		fn draws_are_recomputable(
			weights in prop::collection::vec(0u128..1_000_000, 1..30),
			excluded in prop::collection::vec(0u8..30, 0..5),
			randomness in any::<[u8; 32]>(),
			task in any::<[u8; 16]>(),
			attempt in any::<u32>(),
		) {
			let mut tables = tables(&weights);
			let mut stored = Vec::new();
			let excluded: Vec<AccountId> = excluded.into_iter().map(miner).collect();
			let (randomness, task) = (randomness.into(), TaskId(task));
			let before = tables.ranking();
			let drawn = tables.draw(&model(1), &excluded, &randomness, &task, attempt);
			prop_assert_eq!(tables.ranking(), before, "a draw changes nothing");
			let left: u128 = weights
				.iter()
				.enumerate()
				.filter(|(number, _)| !excluded.contains(&miner(*number as u8)))
				.map(|(_, weight)| *weight)
				.sum();
			let Some(drawn) = drawn else { prop_assert_eq!(left, 0); return Ok(()) };
			let list = recorded(&mut stored, &drawn.list);
			prop_assert!(draw::is_canonical(&list));
			prop_assert_eq!(draw::eligible_root(&list), drawn.eligible_root);
			prop_assert_eq!(draw::total_weight(&list), Some(left));
			prop_assert_eq!((drawn.total_weight, drawn.eligible), (left, list.len()));
			let ticket = draw::ticket(&randomness, &task, attempt, left).unwrap();
			prop_assert_eq!(&draw::pick(&list, ticket).unwrap().miner, &drawn.miner);
			prop_assert!(!excluded.contains(&drawn.miner));
		}
	}

	#[test]
	fn a_model_without_miners_draws_nobody_and_keeps_no_table() {
		let mut tables = tables(&[1, 2]);
		assert_eq!(
			tables.draw(&model(2), &[], &H256::zero(), &TaskId([0; 16]), 0),
			None
		);
		tables.set(&miner(0), &[model(1)], 0);
		tables.set(&miner(1), &[model(1)], 0);
		assert!(tables.by_model.is_empty());
		assert_eq!((tables.eligible(), tables.total_weight()), (0, 0));
	}

	/// Shares of 20,000 draws fit the stakes: chi-square with 3 degrees of freedom, p > 0.001.
	#[test]
	fn shares_fit_the_stakes() {
		let weights = [10, 20, 30, 40];
		let mut tables = tables(&weights);
		let draws = 20_000u32;
		let mut counts = [0u32; 4];
		for number in 0..draws {
			let mut task = [0u8; 16];
			task[..4].copy_from_slice(&number.to_le_bytes());
			let drawn = tables
				.draw(&model(1), &[], &H256::repeat_byte(3), &TaskId(task), 0)
				.expect("all are eligible");
			counts[(drawn.miner.as_ref() as &[u8])[0] as usize] += 1;
		}
		let chi_square: f64 = counts
			.iter()
			.zip(weights)
			.map(|(count, weight)| {
				let expected = f64::from(draws) * weight as f64 / 100.0;
				(f64::from(*count) - expected).powi(2) / expected
			})
			.sum();
		assert!(
			chi_square < 16.27,
			"chi-square {chi_square}, counts {counts:?}"
		);
	}
}
