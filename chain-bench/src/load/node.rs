//! A node of the development network with funds for the senders, as a process in a temporary folder.

use super::rpc::NodeRpc;
use anyhow::{ensure, Context};
use cuckoo_primitives::{AccountId, CUC};
use serde_json::{json, Value};
use sp_core::crypto::Ss58Codec;
use std::{
	fs::{self, File},
	io::{Read, Seek, SeekFrom},
	net::TcpListener,
	path::{Path, PathBuf},
	process::{Child, Command, Stdio},
	time::{Duration, Instant},
};
use tempfile::TempDir;

/// What each sender has.
const FUNDS: u128 = 100_000 * CUC;

/// Transactions that may wait in the node's pool, and their bytes in KiB: above what the load keeps
/// waiting, so that the pool's size is not what is measured.
const POOL_TRANSACTIONS: u32 = 100_000;
const POOL_KIB: u32 = 200 * 1024;

/// Longest wait for the node to serve.
const START_LIMIT: Duration = Duration::from_secs(60);

/// How long it may take to end before it is killed.
const END_GRACE: Duration = Duration::from_secs(20);

/// How often a wait looks again.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How much of the log an error shows, in bytes.
const TAIL_BYTES: u64 = 2_048;

/// A running node. It ends when this is dropped.
pub struct Node {
	child: Child,
	port: u16,
	folder: TempDir,
}

impl Node {
	/// Starts a node whose genesis funds these accounts, and waits until it serves.
	pub async fn start(program: &Path, funded: &[AccountId]) -> anyhow::Result<Self> {
		let folder = tempfile::Builder::new().prefix("cuckoo-bench-").tempdir()?;
		let spec = chain_spec(program, folder.path(), funded)?;
		let [rpc, p2p, metrics] = free_ports()?;
		let log = File::create(folder.path().join("node.log"))?;
		let errors = log.try_clone()?;
		// The kernel ends it with this program, however that ends.
		let child = Command::new("setpriv")
			.args(["--pdeathsig", "KILL", "--"])
			.arg(program)
			.arg("--chain")
			.arg(spec)
			.arg("--base-path")
			.arg(folder.path().join("data"))
			.args(["--alice", "--validator", "--force-authoring"])
			.args([
				"--unsafe-force-node-key-generation",
				"--no-telemetry",
				"--no-mdns",
			])
			.args(["--rpc-port", &rpc.to_string()])
			.args(["--listen-addr", &format!("/ip4/127.0.0.1/tcp/{p2p}")])
			.args(["--prometheus-port", &metrics.to_string()])
			.args(["--pool-limit", &POOL_TRANSACTIONS.to_string()])
			.args(["--pool-kbytes", &POOL_KIB.to_string()])
			.stdin(Stdio::null())
			.stdout(log)
			.stderr(errors)
			.spawn()
			.context("cannot start the node (is setpriv of util-linux installed?)")?;
		let mut node = Self {
			child,
			port: rpc,
			folder,
		};
		let start = Instant::now();
		while NodeRpc::connect(&node.url()).await.is_err() {
			let running = node.child.try_wait()?.is_none();
			ensure!(
				running && start.elapsed() < START_LIMIT,
				"the node does not serve; its log ends with\n{}",
				node.log_tail()
			);
			tokio::time::sleep(LOOK_EVERY).await;
		}
		Ok(node)
	}

	/// Its JSON-RPC.
	pub fn url(&self) -> String {
		format!("ws://127.0.0.1:{}", self.port)
	}

	/// The end of its log.
	pub fn log_tail(&self) -> String {
		let tail = || -> std::io::Result<String> {
			let mut log = File::open(self.folder.path().join("node.log"))?;
			let length = log.metadata()?.len();
			log.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
			let mut bytes = Vec::new();
			log.read_to_end(&mut bytes)?;
			Ok(String::from_utf8_lossy(&bytes).into_owned())
		};
		tail().unwrap_or_else(|error| error.to_string())
	}

	/// Asks it to end, and waits for that.
	pub async fn end(mut self) {
		// The standard library sends no signal but SIGKILL.
		let asked = Command::new("kill")
			.arg(self.child.id().to_string())
			.status();
		let start = Instant::now();
		while asked.is_ok() && start.elapsed() < END_GRACE {
			if !matches!(self.child.try_wait(), Ok(None)) {
				return;
			}
			tokio::time::sleep(LOOK_EVERY).await;
		}
	}
}

impl Drop for Node {
	fn drop(&mut self) {
		let _ = self.child.kill();
		let _ = self.child.wait();
	}
}

/// Writes the development network's specification with the accounts' funds added.
fn chain_spec(program: &Path, folder: &Path, funded: &[AccountId]) -> anyhow::Result<PathBuf> {
	let output = Command::new(program)
		.args(["export-chain-spec", "--chain", "dev"])
		.stdin(Stdio::null())
		.output()
		.with_context(|| format!("cannot run {}", program.display()))?;
	ensure!(
		output.status.success(),
		"export-chain-spec: {}",
		String::from_utf8_lossy(&output.stderr)
	);
	let mut spec: Value = serde_json::from_slice(&output.stdout)?;
	let balances = spec
		.pointer_mut("/genesis/runtimeGenesis/patch/balances/balances")
		.and_then(Value::as_array_mut)
		.context("the specification's genesis has no balances")?;
	// As a JSON number it would need more digits than some readers keep; serde_json keeps integers
	// of 64 bits, and these fit.
	let funds = u64::try_from(FUNDS)?;
	balances.extend(
		funded
			.iter()
			.map(|account| json!([account.to_ss58check(), funds])),
	);
	let path = folder.join("spec.json");
	fs::write(&path, spec.to_string())?;
	Ok(path)
}

/// Ports of the loopback interface that are free now.
fn free_ports() -> anyhow::Result<[u16; 3]> {
	// Held together, so that they differ.
	let held = [
		TcpListener::bind(("127.0.0.1", 0))?,
		TcpListener::bind(("127.0.0.1", 0))?,
		TcpListener::bind(("127.0.0.1", 0))?,
	];
	let mut ports = [0; 3];
	for (port, listener) in ports.iter_mut().zip(&held) {
		*port = listener.local_addr()?.port();
	}
	Ok(ports)
}
