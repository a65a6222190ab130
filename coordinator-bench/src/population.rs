//! The miners of a bench, each made from its number, and the chain's registry that has them.

use cuckoo_chain_client::{BlockRef, Operator, Registry};
use cuckoo_coordinator_api::task::ModelInfo;
use cuckoo_primitives::{AccountId, Balance, Role, CUC, H256};
use sp_core::{sr25519, Pair};
use std::sync::Arc;

/// The chain.
pub const GENESIS: H256 = H256::repeat_byte(0x42);

/// The coordinator's number; miners count from 0.
pub const COORDINATOR: u32 = u32::MAX;

/// The worker key of this number.
pub fn worker(number: u32) -> sr25519::Pair {
	let mut seed = [7; 32];
	seed[..4].copy_from_slice(&number.to_le_bytes());
	sr25519::Pair::from_seed(&seed)
}

/// The operator account of this number.
pub fn account(number: u32) -> AccountId {
	// Spread like real ones: the tree of the draw goes by their bits.
	AccountId::new(*blake3::hash(&number.to_le_bytes()).as_bytes())
}

/// The one model that all have: pictures of 64 by 64 pixels: the less a picture costs, the more the coordinator has to do.
pub fn model() -> ModelInfo {
	ModelInfo {
		hash: H256::repeat_byte(0x11),
		name: "bench".into(),
		default_size: 64,
		size_multiple: 8,
		max_size: 64,
		default_steps: 20,
		default_guidance_milli: 3_000,
	}
}

/// A finalized block with the coordinator and so many miners, all of different stakes.
pub fn registry(miners: u32) -> Arc<Registry> {
	let operator = |number, role, stake| Operator {
		account: account(number),
		role,
		worker: Some(worker(number).public()),
		commission_ppb: 0,
		next_commission: None,
		name: String::new(),
		endpoint: String::new(),
		text: String::new(),
		self_stake: stake,
		total_stake: stake,
		active: true,
		retired: false,
		suspended: false,
		streaming: 0,
	};
	let coordinator = operator(COORDINATOR, Role::Coordinator, 3_000_000 * CUC);
	let miner = |number| {
		let stake = (30_000 + Balance::from(number)) * CUC;
		operator(number, Role::Miner, stake)
	};
	let operators = (0..miners).map(miner).chain([coordinator]).collect();
	let block = BlockRef {
		number: 1,
		hash: H256::repeat_byte(1),
	};
	let minima = Role::ALL.map(|role| (role, role.default_min_self_stake()));
	Arc::new(Registry::new(
		block,
		H256::repeat_byte(7),
		operators,
		minima,
	))
}
