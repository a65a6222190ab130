//! Stake decides among the free: a newcomer's share of the draws is its share of the stake.

use crate::support::{on_network, request, until, Auditor, TASK_TIMEOUT};
use anyhow::{ensure, Result};
use cuckoo_chain_client::{Call, Introduction, Until};
use cuckoo_coordinator_api::rpc::TaskRpcClient;
use cuckoo_devnet::{evidence, keys::DevKey};
use cuckoo_primitives::{
	signing::{self, WorkerProof},
	AccountId, Balance, Role, CUC,
};
use statrs::distribution::{ChiSquared, ContinuousCDF};
use std::{collections::BTreeMap, time::Duration};

/// What the newcomer stakes on itself, and what a staker votes for it: the largest of the three pools.
const SELF_STAKE: Balance = 50_000 * CUC;
const VOTE: Balance = 100_000 * CUC;
/// For the newcomer's stake and fees.
const FUNDS: Balance = 60_000 * CUC;
/// Draws from all three miners that are counted.
const DRAWS: u32 = 400;
/// Tasks submitted to get them: some may be drawn while a miner is still returning.
const MOST_TASKS: u32 = 500;
/// A fair draw fails this test once in a thousand times. The draws hang on the chain's genesis and the
/// keys below alone, so they are the same in each run.
const SIGNIFICANCE: f64 = 0.001;
/// Ten commission percents, in parts per billion.
const COMMISSION_PPB: u32 = 100_000_000;

#[tokio::test]
async fn a_new_miners_share_of_400_draws_fits_its_stake() -> Result<()> {
	on_network(
		&[DevKey::miner(1), DevKey::miner(2)],
		&[],
		async |network| {
			let newcomer = DevKey::new("//Newcomer");
			let mut auditor = Auditor::new(network).await?;
			let chain = auditor.chain().clone();

			// A new account is funded, registers as miner, and somebody else votes for it.
			let transfer = Call::Transfer {
				to: newcomer.account(),
				amount: FUNDS,
			};
			chain
				.submit(&transfer, &DevKey::new("//Dave").pair(), Until::InBlock)
				.await?;
			let nonce = chain.worker_nonce(&newcomer.account()).await?;
			let proof = WorkerProof {
				operator: newcomer.account(),
				nonce,
			};
			let genesis = chain.genesis_hash();
			let register = Call::Register {
				role: Role::Miner,
				worker: newcomer.worker(),
				worker_signature: signing::sign(&genesis, &proof, &newcomer.worker_pair()),
				stake: SELF_STAKE,
				commission_ppb: COMMISSION_PPB,
				introduction: Introduction {
					name: "newcomer".to_owned(),
					endpoint: String::new(),
					text: "Joined while the network runs.".to_owned(),
				},
			};
			chain
				.submit(&register, &newcomer.pair(), Until::InBlock)
				.await?;
			let vote = Call::Vote {
				operator: newcomer.account(),
				amount: VOTE,
			};
			let voted = chain
				.submit(&vote, &DevKey::voter(1).pair(), Until::Finalized)
				.await?;
			let stake = auditor
				.registry(voted.block.hash)
				.await?
				.operator(&newcomer.account())
				.map(|operator| (operator.self_stake, operator.total_stake));
			assert_eq!(stake, Some((SELF_STAKE, SELF_STAKE + VOTE)));

			// The coordinator learns of it from the chain, the new process of the coordinator.
			network.start_miner(&newcomer)?;
			let everyone = [
				DevKey::miner(1).account(),
				DevKey::miner(2).account(),
				newcomer.account(),
			];
			network
				.wait_eligible(&everyone, Duration::from_secs(60))
				.await?;

			let app = network.app()?;
			let mut counts: BTreeMap<AccountId, u32> = BTreeMap::new();
			let mut weights: BTreeMap<AccountId, Balance> = BTreeMap::new();
			let mut counted = 0;
			for number in 0..MOST_TASKS {
				if counted == DRAWS {
					break;
				}
				until("three free miners", TASK_TIMEOUT, async || {
					let miners = app
						.rpc()
						.coordinator_miners(None, None)
						.await
						.unwrap_or_default();
					miners.iter().filter(|miner| miner.eligible).count() == everyone.len()
				})
				.await?;
				let task = app
					.submit(request("a star", 1), format!("draw-{number}"))
					.await?;
				app.wait(task.id, TASK_TIMEOUT).await?;
				let draw = app.rpc().coordinator_draw(task.id, Some(0)).await?;
				let registry = auditor.registry(draw.assignment.block_hash).await?;
				evidence::verify_draw(&draw, registry, &genesis)?;
				// Only draws among all three: whether all were free was settled before the ticket.
				if draw.eligible.len() == everyone.len() {
					weights = draw
						.eligible
						.iter()
						.map(|entry| (entry.miner.clone(), entry.weight.0))
						.collect();
					*counts.entry(draw.assignment.miner).or_default() += 1;
					counted += 1;
				}
			}
			ensure!(
				counted == DRAWS,
				"only {counted} of {MOST_TASKS} draws were among all three"
			);
			assert_eq!(weights[&newcomer.account()], SELF_STAKE + VOTE);

			let p = fit(&counts, &weights)?;
			println!("draws {counts:?}, weights {weights:?}, p = {p:.3}");
			assert!(
				p > SIGNIFICANCE,
				"the shares do not fit the stakes: p = {p}"
			);
			// The test can fail: the same draws do not fit equal shares.
			let equal = weights.keys().map(|miner| (miner.clone(), 1)).collect();
			assert!(fit(&counts, &equal)? < SIGNIFICANCE);
			Ok(())
		},
	)
	.await
}

/// Pearson's chi-square test: how likely draws by these weights deviate at least as far as these.
fn fit(counts: &BTreeMap<AccountId, u32>, weights: &BTreeMap<AccountId, Balance>) -> Result<f64> {
	let total: Balance = weights.values().sum();
	let draws: u32 = counts.values().sum();
	let chi_square: f64 = weights
		.iter()
		.map(|(miner, weight)| {
			let expected = f64::from(draws) * *weight as f64 / total as f64;
			let count = f64::from(counts.get(miner).copied().unwrap_or_default());
			(count - expected).powi(2) / expected
		})
		.sum();
	Ok(ChiSquared::new((weights.len() - 1) as f64)?.sf(chi_square))
}
