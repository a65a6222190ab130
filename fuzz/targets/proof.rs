//! A draw's proof as `verify-draw` reads it: whatever is published is checked without harm, and what
//! passes every check was drawn by the ticket.
#![no_main]

use cuckoo_chain_client::{BlockRef, Registry};
use cuckoo_coordinator_api::task::{DrawProof, TaskStatus};
use cuckoo_primitives::{
	draw::{self, Eligible},
	Role,
};
use libfuzzer_sys::fuzz_target;
use offchain_miner::verify_draw::{check, Asked, Name, OnChain};

fuzz_target!(|data: &[u8]| {
	let _ = serde_json::from_slice::<TaskStatus>(data);
	let Ok(proof) = serde_json::from_slice::<DrawProof>(data) else {
		return;
	};
	let assignment = &proof.assignment;
	let block = BlockRef {
		number: assignment.block_number,
		hash: assignment.block_hash,
	};
	let minima = Role::ALL.map(|role| (role, role.default_min_self_stake()));
	let registry = Registry::new(block, assignment.randomness, Vec::new(), minima);
	let chain = OnChain {
		genesis_hash: proof.genesis_hash,
		registry: Ok(&registry),
	};
	let checks = check(&proof, &Asked::default(), Some(chain));
	let holds = |name| checks.iter().any(|check| check.check == name && check.ok);
	if holds(Name::DrawnMiner) && holds(Name::TotalWeight) {
		let list: Vec<Eligible> = proof.eligible.iter().map(Eligible::from).collect();
		let total = draw::total_weight(&list).expect("it holds");
		let ticket = draw::ticket(
			&assignment.randomness,
			&assignment.task,
			assignment.attempt,
			total,
		);
		let drawn = draw::pick(&list, ticket.expect("there is weight"));
		assert_eq!(drawn.map(|drawn| &drawn.miner), Some(&assignment.miner));
	}
	assert!(!holds(Name::Coordinator), "nobody is on this chain");
});
