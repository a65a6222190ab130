//! Validators lose, win and leave seats on a running network, and one that two nodes sign for is found
//! out.

use crate::support::{turn, until};
use anyhow::{ensure, Context, Result};
use cuckoo_chain_client::{Call, ChainClient, Included, Introduction, Operator, Until};
use cuckoo_devnet::{keys::DevKey, Binaries, Validators};
use cuckoo_primitives::{
	signing::{self, WorkerProof},
	AccountId, Balance, BlockNumber, Role, CUC,
};
use futures::FutureExt;
use std::{
	collections::BTreeSet,
	panic::{resume_unwind, AssertUnwindSafe},
	time::{Duration, Instant},
};

/// Longest time of one scenario, its network's start included.
const SCENARIO_TIMEOUT: Duration = Duration::from_secs(300);
/// An election is for the session after the next, and sessions take ten seconds: on a busy machine that
/// misses slots, some more.
const SEAT_TIMEOUT: Duration = Duration::from_secs(75);
/// Longest wait for some blocks to be final.
const FINAL_TIMEOUT: Duration = Duration::from_secs(60);
/// A slash waits for an era of twenty seconds, after the one in which it was queued.
const SLASH_TIMEOUT: Duration = Duration::from_secs(90);
/// The validators of the local network stake 150,000.
const NEWCOMERS_STAKE: Balance = 200_000 * CUC;
/// The parameters of genesis beside the seats.
const FLOOR: u32 = 1;
const YEARLY_INFLATION_PPB: u32 = 25_000_000;

fn genesis_keys() -> [DevKey; 3] {
	["//Alice", "//Bob", "//Charlie"].map(DevKey::new)
}

/// The network and a client of its first node.
struct Scene {
	network: Validators,
	chain: ChainClient,
}

impl Scene {
	async fn submit(&self, call: Call, key: &DevKey) -> Result<Included> {
		Ok(self
			.chain
			.submit(&call, &key.pair(), Until::InBlock)
			.await?)
	}

	/// The validators of the last finalized block's session.
	async fn validators(&self) -> Result<BTreeSet<AccountId>> {
		let block = self.chain.finalized().await?;
		let validators = self.chain.validators_at(block.hash).await?;
		Ok(validators.into_iter().collect())
	}

	async fn wait_validators(&self, keys: &[&DevKey]) -> Result<()> {
		let start = Instant::now();
		let expected: BTreeSet<_> = keys.iter().map(|key| key.account()).collect();
		let names: Vec<_> = keys.iter().map(|key| key.name()).collect();
		let what = format!("the set {names:?}");
		until(&what, SEAT_TIMEOUT, async || {
			self.validators().await.is_ok_and(|now| now == expected)
		})
		.await?;
		println!("{what} after {:.0?}", start.elapsed());
		Ok(())
	}

	/// Waits until each of these nodes has finalized `blocks` more than the first has now.
	async fn wait_final(&self, nodes: &[&str], blocks: BlockNumber) -> Result<()> {
		let target = self.network.node(nodes[0])?.finalized_number().await? + blocks;
		for name in nodes {
			let node = self.network.node(name)?;
			until(
				&format!("block {target} final on {name}"),
				FINAL_TIMEOUT,
				async || {
					node.finalized_number()
						.await
						.is_ok_and(|number| number >= target)
				},
			)
			.await?;
		}
		let mut hashes = BTreeSet::new();
		for name in nodes {
			hashes.insert(self.network.node(name)?.block_hash(target).await?);
		}
		ensure!(
			hashes.len() == 1,
			"the nodes have different blocks {target}: {hashes:?}"
		);
		Ok(())
	}

	async fn operator(&self, key: &DevKey) -> Result<Operator> {
		let block = self.chain.finalized().await?;
		let operator = self.chain.operator_at(block.hash, &key.account()).await?;
		operator.with_context(|| format!("{} is no operator", key.name()))
	}

	async fn set_seats(&self, seats: u32) -> Result<()> {
		let params = Call::SetValidatorParams {
			seats,
			floor: FLOOR,
			yearly_inflation_ppb: YEARLY_INFLATION_PPB,
		};
		let alice = DevKey::new("//Alice");
		self.submit(Call::Sudo(Box::new(params)), &alice).await?;
		Ok(())
	}
}

/// Runs a scenario on the three validators of the fast local network.
async fn on_validators(scenario: impl AsyncFnOnce(&mut Scene) -> Result<()>) -> Result<()> {
	let _turn = turn().await;
	let start = Instant::now();
	let keep = std::env::var_os("CUCKOO_KEEP").is_some();
	let network = Validators::start(Binaries::find()?, &genesis_keys(), keep).await?;
	println!("three validators serve after {:.1?}", start.elapsed());
	let chain = ChainClient::connect(&network.url("alice")?).await?;
	let mut scene = Scene { network, chain };
	let run = async {
		tokio::time::timeout(SCENARIO_TIMEOUT, scenario(&mut scene))
			.await
			.context("the scenario takes too long")?
	};
	match AssertUnwindSafe(run).catch_unwind().await {
		Ok(Ok(())) => scene.network.check()?,
		Ok(Err(error)) => {
			eprintln!("{}", scene.network.tails());
			return Err(error);
		},
		Err(panic) => {
			eprintln!("{}", scene.network.tails());
			resume_unwind(panic);
		},
	}
	let ended = scene.network.shutdown().await;
	let stubborn: Vec<_> = ended.iter().filter(|process| process.killed).collect();
	assert!(
		stubborn.is_empty(),
		"these did not end when asked: {stubborn:?}"
	);
	println!("scenario took {:.1?}", start.elapsed());
	Ok(())
}

#[tokio::test]
async fn validators_lose_win_and_leave_seats_while_the_chain_goes_on() -> Result<()> {
	on_validators(async |scene| {
		let [alice, bob, charlie] = &genesis_keys();
		let everyone = ["alice", "bob", "charlie"];
		scene.wait_final(&everyone, 3).await?;

		// Of two seats Charlie gets none: nobody votes for it.
		for operator in [alice, bob] {
			let vote = Call::Vote {
				operator: operator.account(),
				amount: 1_000 * CUC,
			};
			scene.submit(vote, &DevKey::voter(1)).await?;
		}
		scene.set_seats(2).await?;
		scene.wait_validators(&[alice, bob]).await?;
		scene.wait_final(&everyone, 3).await?;

		// With a third seat it is back.
		scene.set_seats(3).await?;
		scene.wait_validators(&[alice, bob, charlie]).await?;

		// It retires; a newcomer takes its place with keys that its own node has made.
		let dave = DevKey::new("//Dave");
		scene.network.start_node("dave", None).await?;
		register(scene, &dave).await?;
		let set_keys = scene.network.rotate_for("dave", &dave.account()).await?;
		scene.submit(Call::Encoded(set_keys), &dave).await?;
		scene.submit(Call::Retire, charlie).await?;
		scene.wait_validators(&[alice, bob, &dave]).await?;
		let first = scene.network.node("dave")?.best_number().await?;
		wait_author(scene, &dave, first).await?;
		scene
			.wait_final(&["alice", "bob", "charlie", "dave"], 3)
			.await
	})
	.await
}

/// A restored copy of a validator's machine is started beside it: both sign for the same slots.
#[tokio::test]
async fn a_validator_on_two_nodes_is_found_out_and_slashed() -> Result<()> {
	on_validators(async |scene| {
		let [alice, bob, charlie] = &genesis_keys();
		scene.wait_final(&["alice", "bob", "charlie"], 2).await?;
		let stake = scene.operator(bob).await?.total_stake;
		scene.network.start_node("bobs-twin", Some(bob)).await?;
		until("Bob suspended", SEAT_TIMEOUT, async || {
			scene
				.operator(bob)
				.await
				.is_ok_and(|bob| bob.suspended && !bob.active)
		})
		.await?;
		// The slash waits.
		assert_eq!(scene.operator(bob).await?.self_stake, stake);
		scene.wait_validators(&[alice, charlie]).await?;
		scene.wait_final(&["alice", "charlie"], 3).await?;
		// One offender of three validators loses everything: (3 / 3)².
		until("Bob slashed", SLASH_TIMEOUT, async || {
			scene
				.operator(bob)
				.await
				.is_ok_and(|bob| bob.total_stake == 0)
		})
		.await
	})
	.await
}

async fn register(scene: &Scene, key: &DevKey) -> Result<()> {
	let proof = WorkerProof {
		operator: key.account(),
		nonce: scene.chain.worker_nonce(&key.account()).await?,
	};
	let genesis = scene.chain.genesis_hash();
	let register = Call::Register {
		role: Role::Validator,
		worker: key.worker(),
		worker_signature: signing::sign(&genesis, &proof, &key.worker_pair()),
		stake: NEWCOMERS_STAKE,
		commission_ppb: 0,
		introduction: Introduction {
			name: key.name(),
			..Introduction::default()
		},
	};
	scene.submit(register, key).await?;
	Ok(())
}

/// Waits for a block of this validator, from block `next` on.
async fn wait_author(scene: &Scene, key: &DevKey, mut next: BlockNumber) -> Result<()> {
	let node = scene.network.node("alice")?;
	let start = Instant::now();
	while start.elapsed() < SEAT_TIMEOUT {
		if node.best_number().await? < next {
			tokio::time::sleep(Duration::from_millis(100)).await;
			continue;
		}
		let hash = node.block_hash(next).await?;
		let index = node.author_index(hash).await?;
		let validators = scene.chain.validators_at(hash).await?;
		if validators.get(index as usize) == Some(&key.account()) {
			println!("{} writes block {next}", key.name());
			return Ok(());
		}
		next += 1;
	}
	anyhow::bail!("{} writes no block within {SEAT_TIMEOUT:?}", key.name());
}
