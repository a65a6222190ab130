//! `offchain-miner run`: wires a miner together and keeps it going until it is told to stop.

use crate::{
	bench::Speeds,
	cli::{ChainArgs, CoordinatorArgs, EngineArgs, HoldArgs, KeyArgs, WORKER_VARIABLE},
	device::Devices,
	engine::{self, Setup},
	fleet::{self, Wishes},
	link::Chain,
	memory::Bytes,
	metrics::Metrics,
	monitor::{self, Watched},
	outbox::Outbox,
	purse::{
		self,
		chain::Node,
		store::{Store, StoreError},
		survey::Coordinators,
		Purse,
	},
	session::{Miner, Stop, Timing},
	ui::Ui,
};
use anyhow::{ensure, Context};
use clap::Args;
use cuckoo_chain_client::{follow, keys::load_worker_key, Follower};
use cuckoo_coordinator_api::Amount;
use cuckoo_primitives::{AccountId, Balance, WorkerId};
use sp_core::{crypto::Ss58Codec, Pair};
use std::{
	io,
	net::SocketAddr,
	path::{Path, PathBuf},
	sync::{atomic::AtomicBool, Arc},
	time::Duration,
};
use tokio::{
	select,
	signal::unix::{signal, SignalKind},
	task::{self, JoinSet},
	time::sleep,
};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

/// Options of `run`.
#[derive(Clone, Debug, Args)]
pub struct RunArgs {
	/// The worker key.
	#[command(flatten)]
	pub key: KeyArgs,
	/// The chain.
	#[command(flatten)]
	pub chain: ChainArgs,
	/// How pictures are made.
	#[command(flatten)]
	pub engine: EngineArgs,
	/// Which models are held, and how many at once.
	#[command(flatten)]
	pub hold: HoldArgs,
	/// The coordinators.
	#[command(flatten)]
	pub coordinators: CoordinatorArgs,
	/// Where results are kept until they are acknowledged. Default: cuckoo/miner in the user's data
	/// folder.
	#[arg(long, value_name = "DIR")]
	pub data_dir: Option<PathBuf>,
	/// How long a task that is begun may go on after Ctrl-C before it is given back, in seconds. A
	/// second Ctrl-C gives it back at once.
	#[arg(
		long,
		value_name = "SECONDS",
		default_value_t = 30,
		visible_alias = "drain-timeout"
	)]
	pub grace: u32,
	/// Take no task that earns less than this for a megapixel-step (a million pixels times one step), in
	/// CUC with up to 12 decimals. 0 takes free tasks too.
	#[arg(long, value_name = "CUC", default_value = "0", value_parser = cuc)]
	pub min_pay: Amount,
	/// Serve /metrics (for Prometheus) and /healthz at this loopback address, such as 127.0.0.1:9650.
	#[arg(long, value_name = "ADDRESS:PORT")]
	pub metrics_listen: Option<SocketAddr>,
	/// Claim what can be claimed at every new era. The worker's account pays the fees: send it some CUC.
	#[arg(long)]
	pub auto_claim: bool,
	/// As --auto-claim, but only once all that can be claimed is this much, in CUC with up to 12 decimals,
	/// so that fees stay small beside it. What would be lost otherwise is claimed whatever it is, long
	/// enough before the end of its time.
	#[arg(long, value_name = "CUC", env = "CUCKOO_AUTO_CLAIM_FROM", value_parser = cuc)]
	pub auto_claim_from: Option<Amount>,
}

impl RunArgs {
	/// From what amount on the miner claims by itself, if at all.
	fn claims(&self) -> Option<Balance> {
		let from = self.auto_claim_from.map(|Amount(from)| from);
		from.or(self.auto_claim.then_some(0))
	}
}

fn cuc(text: &str) -> Result<Amount, String> {
	Amount::from_cuc(text)
		.ok_or_else(|| format!("{text:?} is no amount of CUC with up to 12 decimals"))
}

/// The folder for what a miner keeps, as an absolute path: every folder above it has a name, by which it can
/// be looked at and flushed.
pub fn data_dir(named: Option<&Path>) -> anyhow::Result<PathBuf> {
	match named {
		Some(path) => {
			std::path::absolute(path).with_context(|| format!("{path:?} cannot be a --data-dir"))
		},
		None => Ok(directories::BaseDirs::new()
			.context("this user has no home folder: name one with --data-dir")?
			.data_dir()
			.join("cuckoo")
			.join("miner")),
	}
}

/// The outbox of a worker: each worker its own, since it holds what that key has signed.
pub fn outbox_folder(data_dir: &Path, worker: &WorkerId) -> PathBuf {
	data_dir.join("outbox").join(worker.to_ss58check())
}

/// Mines until a signal says to stop.
pub async fn command(args: RunArgs, ui: Ui) -> anyhow::Result<()> {
	// Before anything that takes long.
	args.metrics_listen.map_or(Ok(()), monitor::check)?;
	let worker = load_worker_key(args.key.worker_key.as_deref(), WORKER_VARIABLE)?;
	let claims = args.claims();
	let data_dir = data_dir(args.data_dir.as_deref())?;
	let folder = outbox_folder(&data_dir, &worker.public());
	let outbox = Arc::new(task::spawn_blocking(move || Outbox::open(&folder)).await??);
	let trust = args.coordinators.trust()?;
	let stop = Stop::default();
	let grace = Duration::from_secs(u64::from(args.grace));
	on_signals(stop.clone(), grace)?;

	let metrics = Arc::new(Metrics::new());
	let speeds = Speeds::read(&data_dir);
	let devices = select! {
		devices = open_devices(args.engine, args.hold, metrics.clone(), speeds) => devices?,
		() = stop.drain.cancelled() => return Ok(()),
	};
	let profile = devices.profile();
	info!(
		worker = %worker.public().to_ss58check(),
		device = %profile.device_name,
		engine = %profile.engine(),
		tasks_at_once = profile.tasks_at_once,
		models = profile.models.iter().map(|model| model.name.as_str()).collect::<Vec<_>>().join(", "),
		"ready"
	);

	let chain_stalled = Arc::<AtomicBool>::default();
	let _monitor = match args.metrics_listen {
		Some(address) => {
			let watched = Watched {
				metrics: metrics.clone(),
				devices: devices.clone(),
				outbox: outbox.clone(),
				chain_stalled: chain_stalled.clone(),
				stop: stop.clone(),
			};
			Some(monitor::listen(address, watched).await?)
		},
		None => None,
	};

	let node_url = args.chain.url.clone();
	let follower = follow(args.chain.url);
	let chain = select! {
		chain = first_view(&follower, chain_stalled) => chain?,
		() = stop.drain.cancelled() => return Ok(()),
	};
	let purse = open_purse(
		Store::new(&data_dir, chain.genesis_hash),
		args.min_pay,
		&outbox,
		chain
			.current()
			.and_then(|registry| Some(registry.by_worker(&worker.public())?.account.clone())),
	)
	.await?;
	let only = args.coordinators.only();
	let payer = claims.map(|_| worker.clone());
	let node = Node::new(node_url, payer).of_chain(chain.genesis_hash);
	let proofs = Coordinators {
		registry: chain.registry.clone(),
		only: only.clone(),
		trust: trust.clone(),
	};
	// Ends with this function.
	let mut watcher = JoinSet::new();
	watcher.spawn(purse::watch::run(
		purse.clone(),
		node,
		proofs,
		chain.registry.clone(),
		claims,
	));
	let given_up = devices.given_up().clone();
	tokio::spawn(end_without_devices(given_up, stop.clone(), grace));
	let miner = Miner {
		worker,
		devices: devices.clone(),
		outbox,
		purse,
		ui,
		timing: Timing::default(),
		trust,
		metrics: metrics.clone(),
	};
	let wishes = Wishes {
		most: usize::from(args.coordinators.max_coordinators),
		only,
		seed: rand::random(),
	};
	fleet::run(Arc::new(miner), chain, wishes, stop).await;
	info!("stopped");
	ensure!(
		!devices.given_up().is_cancelled(),
		"every device failed again and again; started anew they may be well, else see \
		 offchain-miner doctor"
	);
	Ok(())
}

/// A driver's fault often lasts as long as the process: whoever started it is to start it anew. What is
/// done has the time of any other end to be delivered.
async fn end_without_devices(given_up: CancellationToken, stop: Stop, grace: Duration) {
	given_up.cancelled().await;
	error!("every device is lost; stopping");
	stop.drain.cancel();
	sleep(grace).await;
	stop.at_once.cancel();
}

/// Opens the books, with what the outbox has still to deliver on this chain.
async fn open_purse(
	store: Store,
	min_pay: Amount,
	outbox: &Arc<Outbox>,
	miner: Option<AccountId>,
) -> anyhow::Result<Arc<Purse>> {
	let outbox = outbox.clone();
	let opened = task::spawn_blocking(move || {
		let mut pending = outbox.pending();
		pending.retain(|record| record.genesis_hash == *store.genesis_hash());
		let purse = Purse::open(store, min_pay.0, &pending);
		if let Some(miner) = &miner {
			purse.adopt(miner)?;
		}
		Ok::<_, StoreError>(purse)
	});
	Ok(Arc::new(opened.await??))
}

/// Opens the devices' threads with the diffusion engine on them.
async fn open_devices(
	args: EngineArgs,
	hold: HoldArgs,
	metrics: Arc<Metrics>,
	speeds: Speeds,
) -> anyhow::Result<Devices> {
	let setup = task::spawn_blocking(move || hold.setup(&args)).await??;
	for one in &setup.devices {
		info!(
			models = setup.folders.len(),
			device = %one.device,
			slots = setup.layout.slots,
			batch = setup.layout.batch,
			memory_limit = %Bytes(one.memory_limit),
			"opening a device"
		);
	}
	Ok(Devices::start(move || {
		let (engines, mut profile) = engine::open(Setup { metrics, ..setup })?;
		profile.device_name = speeds.beside(&profile);
		Ok((engines, profile))
	})
	.await?)
}

async fn first_view(follower: &Follower, stalled: Arc<AtomicBool>) -> anyhow::Result<Chain> {
	let registry = follower.ready().await;
	let genesis_hash = follower
		.genesis_hash()
		.context("the chain's registry came without the chain's genesis hash")?;
	info!(block = registry.block.number, "the chain is there");
	Ok(Chain {
		genesis_hash,
		registry: follower.subscribe(),
		stalled,
	})
}

/// The first signal drains; the second, or the end of the grace period, gives everything back.
fn on_signals(stop: Stop, grace: Duration) -> io::Result<()> {
	let mut interrupt = signal(SignalKind::interrupt())?;
	let mut terminate = signal(SignalKind::terminate())?;
	tokio::spawn(async move {
		select! {
			_ = interrupt.recv() => {},
			_ = terminate.recv() => {},
		}
		info!(
			grace_s = grace.as_secs(),
			"stopping: no new tasks; once more gives back what is begun"
		);
		stop.drain.cancel();
		select! {
			_ = interrupt.recv() => {},
			_ = terminate.recv() => {},
			() = sleep(grace) => {},
		}
		stop.at_once.cancel();
	});
	Ok(())
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn a_data_folder_of_one_word_is_one_in_the_current_folder() {
		let here = std::env::current_dir().unwrap();
		let named = |path| data_dir(Some(Path::new(path)));
		assert_eq!(named("data").unwrap(), here.join("data"));
		assert_eq!(named("/data").unwrap(), Path::new("/data"));
		assert!(named("").is_err());
	}
}
