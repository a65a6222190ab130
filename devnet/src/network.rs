//! The network: one validator, one coordinator, any number of miners.

use crate::{
	binaries::NODE_ARGS,
	folder::Folder,
	keys::DevKey,
	node_rpc::NodeRpc,
	ports::free_ports,
	process::{Ended, Process, Spawn},
	spec::set_endpoint,
	App, Binaries, Error, Result,
};
use cuckoo_coordinator_api::{rpc::TaskRpcClient, task::MinerInfo};
use cuckoo_primitives::{task::TaskId, AccountId};
use futures::future::join_all;
use std::{
	collections::BTreeMap,
	ffi::OsString,
	fs,
	path::{Path, PathBuf},
	process::Stdio,
	time::{Duration, Instant},
};

/// Longest wait for a process to serve. Generous, since test machines are slow and busy.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest wait for the node to write its chain specification.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a process may take to end when asked.
const END_GRACE: Duration = Duration::from_secs(10);
/// How long a miner that is asked to end goes on with a task before it gives it back.
const MINER_GRACE: Duration = Duration::from_secs(2);
/// Longest wait for `verify-draw`.
const VERIFY_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest wait for `claim`, whose transactions wait for finalized blocks.
const CLAIM_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest wait for `reconcile`.
const RECONCILE_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest wait for `check-state`.
const CHECK_STATE_TIMEOUT: Duration = Duration::from_secs(120);
/// Longest wait for `settle`, whose transactions wait for finalized blocks.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(120);
/// How often the miners are looked at while waiting for them.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What to start, and where.
#[derive(Clone, Debug)]
pub struct Options {
	/// The programs.
	pub binaries: Binaries,
	/// The miners' model folder.
	pub model: PathBuf,
	/// The chain, as `cuckoo-node --chain` names it: `dev`, or `fast`, whose eras have 20 seconds.
	pub chain: &'static str,
	/// More arguments of `offchain-coordinator run`.
	pub coordinator_args: Vec<String>,
	/// More arguments of `offchain-miner run`.
	pub miner_args: Vec<String>,
	/// Leave the network's folder (data and logs) there at the end.
	pub keep: bool,
}

impl Options {
	/// Finds the programs; everything else as in the demo.
	pub fn new(model: PathBuf) -> Result<Self> {
		Ok(Self {
			binaries: Binaries::find()?,
			model,
			chain: "dev",
			coordinator_args: Vec::new(),
			miner_args: Vec::new(),
			keep: false,
		})
	}
}

/// A local network. Everything it started ends with it.
#[derive(Debug)]
pub struct Network {
	// Fields drop in this order: who depends on another goes first, the folder last.
	miners: BTreeMap<AccountId, Process>,
	coordinator: Option<Process>,
	node: Option<Process>,
	ports: Ports,
	options: Options,
	folder: Folder,
}

#[derive(Clone, Copy, Debug)]
struct Ports {
	node_rpc: u16,
	node_p2p: u16,
	node_metrics: u16,
	coordinator: u16,
}

impl Network {
	/// Chooses ports and a folder. Starts nothing.
	pub fn new(options: Options) -> Result<Self> {
		let [node_rpc, node_p2p, node_metrics, coordinator] = free_ports()?;
		if !options.model.is_dir() {
			return Err(Error::ModelMissing(options.model));
		}
		Ok(Self {
			miners: BTreeMap::new(),
			coordinator: None,
			node: None,
			ports: Ports {
				node_rpc,
				node_p2p,
				node_metrics,
				coordinator,
			},
			folder: Folder::new(options.keep)?,
			options,
		})
	}

	/// Starts a node, the coordinator and these miners, and waits until all miners can be drawn.
	pub async fn start(options: Options, miners: &[DevKey]) -> Result<Self> {
		let mut network = Self::new(options)?;
		network.start_node().await?;
		network.start_coordinator().await?;
		for miner in miners {
			network.start_miner(miner)?;
		}
		let accounts: Vec<AccountId> = miners.iter().map(DevKey::account).collect();
		network.wait_eligible(&accounts, START_TIMEOUT).await?;
		Ok(network)
	}

	/// The node's JSON-RPC over WebSocket.
	pub fn node_url(&self) -> String {
		format!("ws://127.0.0.1:{}", self.ports.node_rpc)
	}

	/// The coordinator's API.
	pub fn coordinator_url(&self) -> String {
		format!("http://127.0.0.1:{}", self.ports.coordinator)
	}

	/// A client of the coordinator.
	pub fn app(&self) -> Result<App> {
		App::new(self.coordinator_url())
	}

	/// A client of the node's JSON-RPC.
	pub fn node(&self) -> Result<NodeRpc> {
		NodeRpc::new(&format!("http://127.0.0.1:{}", self.ports.node_rpc))
	}

	/// Runs `offchain-miner verify-draw` on a task of the coordinator at this URL, with the key that
	/// the task was submitted under; returns what it printed. A deviation is an error.
	pub async fn verify_draw(
		&self,
		coordinator_url: &str,
		task: TaskId,
		idempotency_key: &str,
	) -> Result<String> {
		let mut command = tokio::process::Command::new(&self.options.binaries.miner);
		command
			.arg("verify-draw")
			.args([
				"--coordinator-url",
				coordinator_url,
				"--chain",
				&self.node_url(),
			])
			.args(["--idempotency-key", idempotency_key])
			.arg(task.to_string());
		said("offchain-miner verify-draw", command, VERIFY_TIMEOUT).await
	}

	/// Has a miner claim what it has earned, by `offchain-miner claim` and its operator's key; returns what
	/// that printed.
	pub async fn claim(&self, miner: &DevKey) -> Result<String> {
		let mut command = tokio::process::Command::new(&self.options.binaries.miner);
		command
			.arg("claim")
			.args(["--chain", &self.node_url()])
			.arg("--data-dir")
			.arg(self.folder.sub(&miner.name())?)
			.env("CUCKOO_CLAIM_URI", miner.uri());
		said("offchain-miner claim", command, CLAIM_TIMEOUT).await
	}

	/// Has the coordinator's books checked, by `offchain-coordinator reconcile`; returns what that printed. A
	/// difference is an error.
	pub async fn reconcile(&self) -> Result<String> {
		let mut command = tokio::process::Command::new(&self.options.binaries.coordinator);
		command
			.arg("reconcile")
			.args(["--chain", &self.node_url()])
			.arg("--data-dir")
			.arg(self.folder.sub("coordinator")?);
		said("offchain-coordinator reconcile", command, RECONCILE_TIMEOUT).await
	}

	/// Stops the node and has the chain's invariants checked on the last finalized state that it left, by
	/// `cuckoo-node check-state`; returns what that printed. A broken one is an error.
	pub async fn check_state(&mut self) -> Result<String> {
		self.kill_node()?;
		let spec = self.chain_spec().await?;
		let mut command = tokio::process::Command::new(&self.options.binaries.node);
		command.args(["check-state", "--chain"]).arg(spec);
		command.arg("--base-path").arg(self.folder.sub("node")?);
		said("cuckoo-node check-state", command, CHECK_STATE_TIMEOUT).await
	}

	/// Settles what is over, by `offchain-coordinator settle` and the worker's key; returns what that printed.
	/// An era that waits is an error.
	pub async fn settle(&self) -> Result<String> {
		let mut command = tokio::process::Command::new(&self.options.binaries.coordinator);
		command
			.arg("settle")
			.args(["--chain", &self.node_url()])
			.arg("--data-dir")
			.arg(self.folder.sub("coordinator")?)
			.env("CUCKOO_WORKER_URI", DevKey::coordinator().worker_uri());
		said("offchain-coordinator settle", command, SETTLE_TIMEOUT).await
	}

	/// Where data and logs are.
	pub fn folder(&self) -> &Path {
		self.folder.path()
	}

	/// The programs that run here.
	pub fn binaries(&self) -> &Binaries {
		&self.options.binaries
	}

	/// Starts the validator, or starts it again on the data it left, and waits until it serves.
	pub async fn start_node(&mut self) -> Result<()> {
		let spec = self.chain_spec().await?;
		let base = self.folder.sub("node")?;
		let mut args: Vec<OsString> = vec![
			"--chain".into(),
			spec.into(),
			"--base-path".into(),
			base.into(),
			"--alice".into(),
			"--validator".into(),
			// There are no peers to wait for.
			"--force-authoring".into(),
			"--rpc-port".into(),
			self.ports.node_rpc.to_string().into(),
			"--listen-addr".into(),
			format!("/ip4/127.0.0.1/tcp/{}", self.ports.node_p2p).into(),
			"--prometheus-port".into(),
			self.ports.node_metrics.to_string().into(),
		];
		args.extend(NODE_ARGS.map(OsString::from));
		let program = self.options.binaries.node.clone();
		let mut node = self.spawn("node", &program, args, Vec::new())?;
		let rpc = self.node()?;
		let ready = node
			.until("the node's JSON-RPC", START_TIMEOUT, async || {
				rpc.block_hash(0).await.ok()
			})
			.await;
		self.node = Some(node);
		ready.map(|_genesis| ())
	}

	/// Starts the coordinator, or starts it again on the data it left, and waits until it serves.
	pub async fn start_coordinator(&mut self) -> Result<()> {
		let data = self.folder.sub("coordinator")?;
		let mut args: Vec<OsString> = vec![
			"run".into(),
			"--chain".into(),
			self.node_url().into(),
			"--listen".into(),
			format!("127.0.0.1:{}", self.ports.coordinator).into(),
			// Several networks run side by side: the usual port would be taken.
			"--admin-listen".into(),
			"none".into(),
			"--data-dir".into(),
			data.into(),
		];
		args.extend(self.options.coordinator_args.iter().map(OsString::from));
		let env = vec![("CUCKOO_WORKER_URI", DevKey::coordinator().worker_uri())];
		let program = self.options.binaries.coordinator.clone();
		let mut coordinator = self.spawn("coordinator", &program, args, env)?;
		let app = self.app()?;
		let ready = coordinator
			.until("the coordinator's API", START_TIMEOUT, async || {
				app.rpc().coordinator_info().await.ok()
			})
			.await;
		self.coordinator = Some(coordinator);
		ready.map(|_info| ())
	}

	/// Starts a miner on the CPU. It finds the coordinator by itself, from the chain.
	pub fn start_miner(&mut self, key: &DevKey) -> Result<()> {
		let name = key.name();
		let mut args: Vec<OsString> = vec![
			"run".into(),
			"--chain".into(),
			self.node_url().into(),
			"--data-dir".into(),
			self.folder.sub(&name)?.into(),
			"--device".into(),
			"cpu".into(),
			"--threads".into(),
			"1".into(),
			"--grace".into(),
			MINER_GRACE.as_secs().to_string().into(),
			"--model".into(),
			self.options.model.clone().into(),
		];
		args.extend(self.options.miner_args.iter().map(OsString::from));
		let env = vec![("CUCKOO_WORKER_URI", key.worker_uri())];
		let program = self.options.binaries.miner.clone();
		let miner = self.spawn(&name, &program, args, env)?;
		self.miners.insert(key.account(), miner);
		Ok(())
	}

	/// Waits until the coordinator could draw each of these accounts.
	pub async fn wait_eligible(
		&mut self,
		accounts: &[AccountId],
		limit: Duration,
	) -> Result<Vec<MinerInfo>> {
		let app = self.app()?;
		let start = Instant::now();
		loop {
			self.check()?;
			let miners = app
				.rpc()
				.coordinator_miners(None, None)
				.await
				.unwrap_or_default();
			let missing = accounts
				.iter()
				.find(|account| !miners.iter().any(|m| m.eligible && m.miner == **account));
			let Some(missing) = missing else {
				return Ok(miners);
			};
			if start.elapsed() > limit {
				let lacks = miners.iter().find(|miner| miner.miner == *missing);
				let lacks = lacks.and_then(|miner| miner.lacks.clone());
				let lacks = lacks.unwrap_or_else(|| "it has not connected".to_owned());
				let (name, tail) = self.log_of(missing);
				let what = format!("miner {missing} eligible ({lacks})");
				return Err(Error::Timeout {
					what,
					after: limit,
					name,
					tail,
				});
			}
			tokio::time::sleep(LOOK_EVERY).await;
		}
	}

	/// The log's end of the miner with this account, or else of the coordinator.
	fn log_of(&self, account: &AccountId) -> (String, String) {
		let process = self.miners.get(account).or(self.coordinator.as_ref());
		process.map_or_else(Default::default, |process| {
			(process.name().to_owned(), process.tail())
		})
	}

	/// An error if any process has ended by itself.
	pub fn check(&mut self) -> Result<()> {
		self.miners
			.values_mut()
			.chain(&mut self.coordinator)
			.chain(&mut self.node)
			.try_for_each(Process::check)
	}

	/// The running processes' names and ids.
	pub fn processes(&self) -> Vec<(String, u32)> {
		self.all()
			.map(|process| (process.name().to_owned(), process.pid()))
			.collect()
	}

	/// The ends of all logs, to be shown when something went wrong.
	pub fn tails(&self) -> String {
		self.all()
			.map(|process| format!("  {}\n{}", process.log().display(), process.tail()))
			.collect::<Vec<_>>()
			.join("\n")
	}

	fn all(&self) -> impl Iterator<Item = &Process> {
		self.node
			.iter()
			.chain(&self.coordinator)
			.chain(self.miners.values())
	}

	/// SIGKILL to the node.
	pub fn kill_node(&mut self) -> Result<Ended> {
		let node = self
			.node
			.take()
			.ok_or_else(|| Error::NotRunning("node".to_owned()))?;
		Ok(node.kill())
	}

	/// SIGKILL to the coordinator.
	pub fn kill_coordinator(&mut self) -> Result<Ended> {
		let coordinator = self.coordinator.take();
		Ok(coordinator
			.ok_or_else(|| Error::NotRunning("coordinator".to_owned()))?
			.kill())
	}

	/// SIGKILL to a miner.
	pub fn kill_miner(&mut self, key: &DevKey) -> Result<Ended> {
		let miner = self.miners.remove(&key.account());
		Ok(miner.ok_or_else(|| Error::NotRunning(key.name()))?.kill())
	}

	/// Ends everything in order: miners, coordinator, node. Each is asked first and killed if it does
	/// not follow. Reports how each ended.
	pub async fn shutdown(mut self) -> Vec<Ended> {
		let miners = std::mem::take(&mut self.miners);
		let mut ended =
			join_all(miners.into_values().map(|miner| miner.terminate(END_GRACE))).await;
		ended.sort_by(|a, b| a.name.cmp(&b.name));
		for process in [self.coordinator.take(), self.node.take()]
			.into_iter()
			.flatten()
		{
			ended.push(process.terminate(END_GRACE).await);
		}
		ended
	}

	fn spawn(
		&self,
		name: &str,
		program: &Path,
		args: Vec<OsString>,
		mut env: Vec<(&'static str, String)>,
	) -> Result<Process> {
		// Logs are files: no colours.
		env.push(("NO_COLOR", "1".to_owned()));
		Process::spawn(Spawn {
			name: name.to_owned(),
			program,
			args,
			env,
			log: self.folder.log(name),
			dir: self.folder.path(),
		})
	}

	/// The network's chain specification, written at the first call.
	async fn chain_spec(&self) -> Result<PathBuf> {
		let path = self.folder.path().join("chain-spec.json");
		if path.exists() {
			return Ok(path);
		}
		let export = tokio::process::Command::new(&self.options.binaries.node)
			.args(["export-chain-spec", "--chain", self.options.chain])
			.stdin(Stdio::null())
			.kill_on_drop(true)
			.output();
		let output = tokio::time::timeout(EXPORT_TIMEOUT, export)
			.await
			.map_err(|_| Error::ChainSpec("the node does not finish writing it".to_owned()))?
			.map_err(Error::io("cuckoo-node export-chain-spec"))?;
		if !output.status.success() {
			let said = String::from_utf8_lossy(&output.stderr).into_owned();
			return Err(Error::ChainSpec(format!(
				"export ended with {}: {said}",
				output.status
			)));
		}
		let mut spec = serde_json::from_slice(&output.stdout)
			.map_err(|error| Error::ChainSpec(error.to_string()))?;
		let coordinator = DevKey::coordinator().account().to_string();
		set_endpoint(&mut spec, &coordinator, &self.coordinator_url())?;
		fs::write(&path, spec.to_string())
			.map_err(Error::io(format!("chain specification {}", path.display())))?;
		Ok(path)
	}
}

/// Runs a command to its end; what it printed, or an error with that.
async fn said(what: &str, mut command: tokio::process::Command, limit: Duration) -> Result<String> {
	let run = command
		.env("NO_COLOR", "1")
		.stdin(Stdio::null())
		.kill_on_drop(true)
		.output();
	let timeout = |_| Error::Timeout {
		what: "an answer".to_owned(),
		after: limit,
		name: what.to_owned(),
		tail: String::new(),
	};
	let output = tokio::time::timeout(limit, run)
		.await
		.map_err(timeout)?
		.map_err(Error::io(what))?;
	let said = String::from_utf8_lossy(&output.stdout)
		.trim_end()
		.to_owned();
	if output.status.success() {
		return Ok(said);
	}
	let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
	Err(Error::Exited {
		name: what.to_owned(),
		status: output.status.to_string(),
		tail: format!("{said}\n{complaint}"),
	})
}
