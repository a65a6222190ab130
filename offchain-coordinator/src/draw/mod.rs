//! The stake-weighted draw over the miners that are eligible now.
//!
//! The tables are indexed by the chain's list of miners in account order, so an index changes only
//! when the finalized registry gains or loses a miner. Who is eligible is set by the caller, one
//! weight at a time; a weight of zero is a miner that cannot be drawn. There is one table a model and
//! one over all models, which says where a miner stands.
//!
//! What is drawn here, anyone can recompute with [`cuckoo_primitives::draw`] from the list that
//! [`Drawn::eligible`] holds.

mod fenwick;

pub use fenwick::Fenwick;

use cuckoo_primitives::{
	draw::{self, Eligible},
	task::{Attempt, ModelHash, TaskId},
	AccountId, Balance, H256,
};
use std::{collections::HashMap, sync::Arc};

/// Weights are cut to this, so that no sum over fewer than 2^40 miners overflows.
pub const MAX_WEIGHT: Balance = Balance::MAX >> 40;

/// The outcome of one draw.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Drawn {
	/// Who.
	pub miner: AccountId,
	/// From whom, in account order.
	pub eligible: Vec<Eligible>,
	/// The sum of their weights.
	pub total_weight: Balance,
}

/// The weights of the miners that can be drawn for one model.
#[derive(Clone, Debug)]
struct Table {
	accounts: Arc<[AccountId]>,
	weights: Fenwick,
	eligible: u32,
}

impl Table {
	fn new(accounts: Arc<[AccountId]>) -> Self {
		let weights = Fenwick::new(accounts.len());
		Self {
			accounts,
			weights,
			eligible: 0,
		}
	}

	/// Returns the weight before. An account that the chain does not list has none.
	fn set(&mut self, miner: &AccountId, weight: Balance) -> Balance {
		let Ok(position) = self.accounts.binary_search(miner) else {
			return 0;
		};
		let before = self.weights.set(position, weight.min(MAX_WEIGHT));
		self.eligible = self.eligible + u32::from(weight > 0) - u32::from(before > 0);
		before
	}

	fn list(&self) -> Vec<Eligible> {
		let entries = self.accounts.iter().zip(self.weights.weights());
		entries
			.filter(|(_, weight)| **weight > 0)
			.map(|(miner, weight)| Eligible {
				miner: miner.clone(),
				weight: *weight,
			})
			.collect()
	}

	fn draw(&self, randomness: &H256, task: &TaskId, attempt: Attempt) -> Option<Drawn> {
		let total_weight = self.weights.total();
		let ticket = draw::ticket(randomness, task, attempt, total_weight)?;
		let miner = self.accounts.get(self.weights.find(ticket)?)?.clone();
		Some(Drawn {
			miner,
			eligible: self.list(),
			total_weight,
		})
	}
}

/// Who can be drawn for what.
#[derive(Clone, Debug)]
pub struct DrawTables {
	accounts: Arc<[AccountId]>,
	overall: Table,
	by_model: HashMap<ModelHash, Table>,
}

impl Default for DrawTables {
	fn default() -> Self {
		Self::new(Vec::new())
	}
}

impl DrawTables {
	/// Nobody is eligible yet. `accounts` are the chain's miners in ascending order.
	pub fn new(accounts: Vec<AccountId>) -> Self {
		debug_assert!(accounts.windows(2).all(|pair| pair[0] < pair[1]));
		let accounts: Arc<[AccountId]> = accounts.into();
		Self {
			overall: Table::new(accounts.clone()),
			by_model: HashMap::new(),
			accounts,
		}
	}

	/// The chain's miners that the tables are indexed by.
	pub fn accounts(&self) -> &[AccountId] {
		&self.accounts
	}

	/// Sets the weight with which `miner` is drawn for each of its models; zero takes it out.
	pub fn set(&mut self, miner: &AccountId, models: &[ModelHash], weight: Balance) {
		self.overall.set(miner, weight);
		for model in models {
			match self.by_model.get_mut(model) {
				Some(table) => {
					table.set(miner, weight);
				},
				None if weight > 0 => {
					let mut table = Table::new(self.accounts.clone());
					table.set(miner, weight);
					self.by_model.insert(*model, table);
				},
				None => {},
			}
			if self
				.by_model
				.get(model)
				.is_some_and(|table| table.eligible == 0)
			{
				self.by_model.remove(model);
			}
		}
	}

	/// How many can be drawn for some model.
	pub fn eligible(&self) -> u32 {
		self.overall.eligible
	}

	/// The weight of all that can be drawn for some model.
	pub fn total_weight(&self) -> Balance {
		self.overall.weights.total()
	}

	/// The weight of all that can be drawn for this model.
	pub fn model_weight(&self, model: &ModelHash) -> Balance {
		self.by_model
			.get(model)
			.map_or(0, |table| table.weights.total())
	}

	/// The weights of all that can be drawn for some model, heaviest first.
	pub fn ranking(&self) -> Vec<Balance> {
		let mut weights: Vec<Balance> = self
			.overall
			.weights
			.weights()
			.iter()
			.copied()
			.filter(|weight| *weight > 0)
			.collect();
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
		let drawn = table.draw(randomness, task, attempt);
		// Backwards, so that an account named twice gets its first weight back.
		for (miner, weight) in excluded.iter().zip(taken_out).rev() {
			table.set(miner, weight);
		}
		drawn
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use proptest::prelude::*;

	fn miner(number: u8) -> AccountId {
		AccountId::new([number; 32])
	}

	fn model(number: u8) -> ModelHash {
		H256::repeat_byte(number)
	}

	fn tables(weights: &[Balance]) -> DrawTables {
		let mut tables = DrawTables::new((0..weights.len() as u8).map(miner).collect());
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
			prop_assert!(draw::is_canonical(&drawn.eligible));
			prop_assert_eq!(draw::total_weight(&drawn.eligible), Some(left));
			prop_assert_eq!(drawn.total_weight, left);
			let ticket = draw::ticket(&randomness, &task, attempt, left).unwrap();
			prop_assert_eq!(&draw::pick(&drawn.eligible, ticket).unwrap().miner, &drawn.miner);
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

	#[test]
	fn an_account_that_the_chain_does_not_list_is_never_eligible() {
		let mut tables = tables(&[1]);
		tables.set(&miner(9), &[model(1)], 5);
		assert_eq!((tables.eligible(), tables.model_weight(&model(1))), (1, 1));
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
