//! What the scenarios share.

use anyhow::{Context, Result};
use cuckoo_chain_client::{ChainClient, Registry};
use cuckoo_coordinator_api::task::TaskRequest;
use cuckoo_devnet::{evidence, keys::DevKey, App, Network, Options};
use cuckoo_primitives::{task::TaskId, H256};
use futures::FutureExt;
use std::{
	collections::HashMap,
	panic::{resume_unwind, AssertUnwindSafe},
	path::{Path, PathBuf},
	time::{Duration, Instant},
};
use tokio::sync::Mutex;

/// Longest time of one scenario, its network's start included.
const SCENARIO_TIMEOUT: Duration = Duration::from_secs(300);
/// Longest wait for one task, on a machine that is busy with other things.
pub const TASK_TIMEOUT: Duration = Duration::from_secs(60);

/// Scenarios measure time and load both cores: one at a time.
static TURN: Mutex<()> = Mutex::const_new(());

/// Waits for the other scenarios to end.
pub async fn turn() -> tokio::sync::MutexGuard<'static, ()> {
	TURN.lock().await
}

/// The checkout's default model.
pub fn model() -> PathBuf {
	Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/default/model")
}

/// Runs a scenario on a network of its own with these miners. When it fails, the logs' ends are
/// printed; when it succeeds, every process must end when asked to.
pub async fn on_network(
	miners: &[DevKey],
	coordinator_args: &[&str],
	scenario: impl AsyncFnOnce(&mut Network) -> Result<()>,
) -> Result<()> {
	on_chain("dev", miners, coordinator_args, scenario).await
}

/// The same with these arguments of the miners.
pub async fn with_miner_args(
	miners: &[DevKey],
	miner_args: &[&str],
	scenario: impl AsyncFnOnce(&mut Network) -> Result<()>,
) -> Result<()> {
	let change = |options: &mut Options| {
		options.miner_args = miner_args.iter().map(|arg| arg.to_string()).collect();
	};
	on(miners, change, scenario).await
}

/// The same on a chain with eras of 20 seconds and a coordinator that takes money.
pub async fn on_market(
	miners: &[DevKey],
	scenario: impl AsyncFnOnce(&mut Network) -> Result<()>,
) -> Result<()> {
	on_chain("fast", miners, &["--price", "10"], scenario).await
}

pub async fn on_chain(
	chain: &'static str,
	miners: &[DevKey],
	coordinator_args: &[&str],
	scenario: impl AsyncFnOnce(&mut Network) -> Result<()>,
) -> Result<()> {
	let change = |options: &mut Options| {
		options.chain = chain;
		options.coordinator_args = coordinator_args.iter().map(|arg| arg.to_string()).collect();
	};
	on(miners, change, scenario).await
}

async fn on(
	miners: &[DevKey],
	change: impl FnOnce(&mut Options),
	scenario: impl AsyncFnOnce(&mut Network) -> Result<()>,
) -> Result<()> {
	let _turn = turn().await;
	let start = Instant::now();
	let mut options = Options::new(model().canonicalize().context("the default model")?)?;
	change(&mut options);
	options.keep = std::env::var_os("CUCKOO_KEEP").is_some();
	let mut network = Network::start(options, miners).await?;
	println!(
		"network of {} stands after {:.1?}",
		miners.len(),
		start.elapsed()
	);
	let run = async {
		tokio::time::timeout(SCENARIO_TIMEOUT, scenario(&mut network))
			.await
			.context("the scenario takes too long")?
	};
	match AssertUnwindSafe(run).catch_unwind().await {
		Ok(Ok(())) => {},
		Ok(Err(error)) => {
			eprintln!("{}", network.tails());
			return Err(error);
		},
		Err(panic) => {
			eprintln!("{}", network.tails());
			resume_unwind(panic);
		},
	}
	let ended = network.shutdown().await;
	let stubborn: Vec<_> = ended.iter().filter(|process| process.killed).collect();
	assert!(
		stubborn.is_empty(),
		"these did not end when asked: {stubborn:?}"
	);
	println!("scenario took {:.1?}", start.elapsed());
	Ok(())
}

/// A task that takes about `steps` times six milliseconds.
pub fn request(prompt: &str, steps: i64) -> TaskRequest {
	TaskRequest {
		prompt: prompt.to_owned(),
		seed: Some(7),
		steps: Some(steps),
		..TaskRequest::default()
	}
}

/// Registries by block, so that many draws of one block cost one read.
pub struct Auditor {
	chain: ChainClient,
	registries: HashMap<H256, Registry>,
}

impl Auditor {
	pub async fn new(network: &Network) -> Result<Self> {
		let chain = ChainClient::connect(&network.node_url()).await?;
		Ok(Self {
			chain,
			registries: HashMap::new(),
		})
	}

	pub fn chain(&self) -> &ChainClient {
		&self.chain
	}

	pub fn genesis_hash(&self) -> H256 {
		self.chain.genesis_hash()
	}

	pub async fn registry(&mut self, block: H256) -> Result<&Registry> {
		if !self.registries.contains_key(&block) {
			self.registries
				.insert(block, self.chain.registry_at(block).await?);
		}
		Ok(&self.registries[&block])
	}

	/// Checks everything about a task that is done.
	pub async fn audit(&mut self, app: &App, id: TaskId, key: &str) -> Result<evidence::Evidence> {
		let evidence = app.evidence(id, Some(key.to_owned())).await?;
		let genesis = self.genesis_hash();
		let registry = self.registry(evidence.draw.assignment.block_hash).await?;
		evidence::verify(&evidence, registry, &genesis)?;
		Ok(evidence)
	}
}

/// Waits until `probe` says so.
pub async fn until(
	what: &str,
	limit: Duration,
	mut probe: impl AsyncFnMut() -> bool,
) -> Result<()> {
	let start = Instant::now();
	while !probe().await {
		anyhow::ensure!(
			start.elapsed() < limit,
			"{what} did not happen within {limit:?}"
		);
		tokio::time::sleep(Duration::from_millis(20)).await;
	}
	Ok(())
}
