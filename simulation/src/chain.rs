//! The chain as the coordinator sees it: a registry that changes from block to block.

use crate::dice::Dice;
use cuckoo_chain_client::{BlockRef, Operator, Registry};
use cuckoo_primitives::{AccountId, Balance, Role, CUC, H256};
use sp_core::{sr25519, Pair};
use std::{collections::BTreeMap, sync::Arc};

/// The chain.
pub const GENESIS: H256 = H256::repeat_byte(0x42);

/// The coordinator's number.
pub const COORDINATOR: u8 = 200;

/// The operator account of this number.
pub fn account(number: u8) -> AccountId {
	AccountId::new([number; 32])
}

/// The worker key of this number; each version is another one.
pub fn worker(number: u8, version: u8) -> sr25519::Pair {
	let mut seed = [number; 32];
	seed[0] = version;
	sr25519::Pair::from_seed(&seed)
}

/// One miner as the chain has it.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
	/// In CUC.
	pub stake: Balance,
	/// Counts its worker keys.
	pub worker: u8,
	/// Whether it has retired.
	pub retired: bool,
}

/// The chain's state, and every registry that there was.
#[derive(Debug)]
pub struct Chain {
	block: u32,
	miners: Vec<Entry>,
	coordinator_active: bool,
	seen: BTreeMap<H256, Arc<Registry>>,
}

impl Chain {
	/// With so many miners, all active.
	pub fn new(dice: &Dice, miners: u8) -> Self {
		let entry = |_| Entry {
			stake: 21_000 + Balance::from(dice.number(0..200_000)),
			worker: 0,
			retired: false,
		};
		let mut chain = Self {
			block: 0,
			miners: (0..miners).map(entry).collect(),
			coordinator_active: true,
			seen: BTreeMap::new(),
		};
		chain.next(dice);
		chain
	}

	/// One miner.
	pub fn miner(&mut self, number: u8) -> &mut Entry {
		&mut self.miners[usize::from(number)]
	}

	/// Whether the coordinator's operator is an active one.
	pub fn set_coordinator_active(&mut self, active: bool) {
		self.coordinator_active = active;
	}

	/// Everybody is as at first, but for stakes and keys.
	pub fn heal(&mut self) {
		self.coordinator_active = true;
		for miner in &mut self.miners {
			miner.retired = false;
			miner.stake = miner.stake.max(21_000);
		}
	}

	/// A new block is finalized.
	pub fn next(&mut self, dice: &Dice) -> Arc<Registry> {
		self.block += 1 + dice.number(0..3) as u32;
		let block = BlockRef {
			number: self.block,
			hash: H256::from_low_u64_be(self.block.into()),
		};
		let randomness = H256::from_low_u64_be(dice.number(0..u64::MAX));
		let miners = self.miners.iter().zip(0..).map(|(entry, number)| {
			let active = !entry.retired && entry.stake > 20_000;
			let mut miner = operator(number, Role::Miner, entry.stake * CUC, active);
			miner.retired = entry.retired;
			// The chain lets a worker go when its operator retires.
			miner.worker = (!entry.retired).then(|| worker(number, entry.worker).public());
			miner
		});
		let stake = 3_000_000 * CUC;
		let coordinator = operator(
			COORDINATOR,
			Role::Coordinator,
			stake,
			self.coordinator_active,
		);
		let operators = miners.chain([coordinator]).collect();
		let minima = Role::ALL.map(|role| (role, role.default_min_self_stake()));
		let registry = Arc::new(Registry::new(block, randomness, operators, minima));
		self.seen.insert(block.hash, registry.clone());
		registry
	}

	/// The registry at the last finalized block.
	pub fn last(&self) -> Arc<Registry> {
		let (_, last) = self
			.seen
			.last_key_value()
			.expect("made with its first block; qed");
		last.clone()
	}

	/// The registry at this block.
	pub fn at(&self, block: &H256) -> Option<Arc<Registry>> {
		self.seen.get(block).cloned()
	}
}

fn operator(number: u8, role: Role, stake: Balance, active: bool) -> Operator {
	Operator {
		account: account(number),
		role,
		worker: Some(worker(number, 0).public()),
		commission_ppb: 0,
		next_commission: None,
		name: String::new(),
		endpoint: String::new(),
		text: String::new(),
		self_stake: stake,
		total_stake: stake,
		active,
		retired: false,
		suspended: false,
		streaming: 0,
	}
}
