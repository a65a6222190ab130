//! What it costs to settle an era of many miners: one root, and a claim for each miner.
//!
//! The era is that of a coordinator whose miners have done a number of tasks, each for a pay of its own. The
//! tree is made as the coordinator makes it; the root is posted, and leaves are claimed, by the runtime's
//! calls on the state with all these miners.

use crate::{
	database::{Database, Sample},
	genesis::{Party, Size},
	load::transactions::{admitted, signed_bytes},
	pieces::{self, NOW},
};
use anyhow::{anyhow, ensure, Context};
use cuckoo_figures::{median, print, Unit};
use cuckoo_primitives::{
	sum_tree::{self, Leaf, Proof, SumTree},
	AccountId, Balance, EraIndex, CUC,
};
use cuckoo_runtime::{Balances, Runtime, RuntimeCall, RuntimeOrigin, Settlement, System};
use frame_support::{
	dispatch::GetDispatchInfo, traits::fungible::Mutate,
	weights::constants::WEIGHT_REF_TIME_PER_MICROS, BoundedVec,
};
use pallet_cuckoo_settlement::{Call, Settlements, MAX_CLAIMS};
use sp_runtime::traits::Dispatchable;
use std::time::Instant;

/// The era that is settled: the last that is over.
const ERA: EraIndex = NOW - 1;

/// What a miner gets for a task at least, and by how much tasks differ.
const PAY: Balance = CUC / 10;
const PAYS_DIFFER: u32 = 1_000;

/// Times everything and prints the figures.
pub fn measure(database: &Database, size: Size, tasks: u32, rounds: u32) -> anyhow::Result<()> {
	ensure!(
		tasks >= size.miners && size.miners >= MAX_CLAIMS,
		"at least {MAX_CLAIMS} miners, and a task for each"
	);
	let genesis = database.read(|| System::block_hash(0))?;
	let context = sum_tree::context(&genesis, &coordinator(), ERA);
	let start = Instant::now();
	let tree = SumTree::new(&context, leaves(size.miners, tasks))
		.map_err(|error| anyhow!("the tree: {error:?}"))?;
	print("tree_ms", start.elapsed().as_secs_f64() * 1e3, Unit::Millis)?;

	let post = post(&tree);
	print("root_post_bytes", bytes(&post), Unit::Bytes)?;
	print("root_post_weight", micros(&post), Unit::Micros)?;
	let millis = time(
		rounds,
		|| database.time(funded, || dispatch(post.clone())),
		database,
	)?;
	print("root_post_ms", millis, Unit::Millis)?;

	let apart = size.miners / MAX_CLAIMS;
	let one: Vec<u32> = vec![size.miners / 2];
	let neighbours: Vec<u32> = (0..MAX_CLAIMS).collect();
	let scattered: Vec<u32> = (0..MAX_CLAIMS).map(|number| number * apart).collect();
	for (name, indices) in [
		("claim", one),
		("claim_64", neighbours),
		("claim_64_apart", scattered),
	] {
		let proof = tree.prove(&indices).context("a proof")?;
		let call = claim(proof);
		let leaves = indices.len() as f64;
		print(&format!("{name}_bytes"), bytes(&call) / leaves, Unit::Bytes)?;
		print(
			&format!("{name}_weight"),
			micros(&call) / leaves,
			Unit::Micros,
		)?;
		let before = || {
			funded();
			// Whatever fails here shows in the claim.
			let _ = dispatch(post.clone());
		};
		let run = || database.time(before, || dispatch(call.clone()));
		let millis = time(rounds, run, database)?;
		print(&format!("{name}_ms"), millis / leaves, Unit::Millis)?;
		let per_block = f64::from(admitted(&call)) * leaves;
		print(&format!("{name}s_per_block"), per_block, Unit::Count)?;
	}
	Ok(())
}

/// The median of what a piece of work takes for a block that has nothing of it in the trie's cache, in
/// milliseconds.
fn time(
	rounds: u32,
	work: impl Fn() -> anyhow::Result<Sample>,
	database: &Database,
) -> anyhow::Result<f64> {
	let mut millis = Vec::new();
	// Brings what is needed of the files into memory.
	work()?;
	for _ in 0..rounds {
		database.forget_cache();
		millis.push(work()?.total().as_secs_f64() * 1e3);
	}
	median(&millis).context("no rounds")
}

fn coordinator() -> AccountId {
	Party::Coordinator.account()
}

/// What each miner is owed for so many tasks, by ascending account.
fn leaves(miners: u32, tasks: u32) -> Vec<Leaf> {
	let mut leaves: Vec<Leaf> = (0..miners)
		.map(|number| Leaf {
			miner: Party::Miner(number).account(),
			amount: 0,
		})
		.collect();
	for task in 0..tasks {
		let pay = PAY + Balance::from(task % PAYS_DIFFER) * CUC / 1_000_000;
		leaves[(task % miners) as usize].amount += pay;
	}
	leaves.sort_by(|one, two| one.miner.cmp(&two.miner));
	leaves
}

/// The block in which everything happens, with a reserve that covers the era.
fn funded() {
	pieces::begin_block();
	let amount = 1_000_000_000 * CUC;
	// Whatever fails here shows in the settlement.
	let _ = <Balances as Mutate<AccountId>>::mint_into(&coordinator(), 2 * amount);
	let _ = Settlement::fund_reserve(RuntimeOrigin::signed(coordinator()), amount);
}

fn post(tree: &SumTree) -> RuntimeCall {
	RuntimeCall::Settlement(Call::settle_era {
		era: ERA,
		root: tree.root(),
	})
}

fn claim(proof: Proof) -> RuntimeCall {
	RuntimeCall::Settlement(Call::claim {
		coordinator: coordinator(),
		era: ERA,
		leaves: BoundedVec::truncate_from(proof.leaves),
		siblings: BoundedVec::truncate_from(proof.siblings),
	})
}

/// The coordinator does everything: a claim is anybody's.
fn dispatch(call: RuntimeCall) -> anyhow::Result<()> {
	call.dispatch(RuntimeOrigin::signed(coordinator()))
		.map_err(|failure| anyhow!("a call failed: {:?}", failure.error))?;
	ensure!(
		Settlements::<Runtime>::contains_key(coordinator(), ERA),
		"the era is not settled"
	);
	Ok(())
}

/// The call in a signed transaction.
fn bytes(call: &RuntimeCall) -> f64 {
	signed_bytes(call) as f64
}

/// What the call is charged for, without what every transaction costs.
fn micros(call: &RuntimeCall) -> f64 {
	let weight = call.get_dispatch_info().call_weight;
	weight.ref_time() as f64 / WEIGHT_REF_TIME_PER_MICROS as f64
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn every_task_is_in_the_leaves() {
		let leaves = leaves(7, 1_000);
		let sum: Balance = leaves.iter().map(|leaf| leaf.amount).sum();
		let differ: Balance = (0..1_000).map(|task| task * CUC / 1_000_000).sum();
		assert_eq!(sum, 1_000 * PAY + differ);
		assert!(leaves.windows(2).all(|pair| pair[0].miner < pair[1].miner));
	}

	#[test]
	fn a_claim_fits_a_block() {
		let tree = SumTree::new(&Default::default(), leaves(100, 1_000)).unwrap();
		assert!(admitted(&post(&tree)) > 100);
		let all: Vec<u32> = (0..MAX_CLAIMS).collect();
		assert!(admitted(&claim(tree.prove(&all).unwrap())) > 0);
	}
}
