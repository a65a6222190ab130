//! A network of validators alone: the nodes of the fast local network, and others that join it.

use crate::{
	binaries::NODE_ARGS,
	folder::Folder,
	keys::DevKey,
	node_rpc::NodeRpc,
	ports::free_ports,
	process::{Ended, Process, Spawn},
	Binaries, Error, Result,
};
use cuckoo_primitives::{AccountId, H256};
use futures::future::join_all;
use serde_json::Value;
use std::{
	collections::BTreeMap, ffi::OsString, fs, path::PathBuf, process::Stdio, time::Duration,
};

/// The network: blocks every second, eras of twenty.
const CHAIN: &str = "fast-local";
/// Longest wait for a node to serve. Generous, since test machines are slow and busy.
const START_TIMEOUT: Duration = Duration::from_secs(90);
/// Longest wait for a sub-command of the node.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a node may take to end when asked.
const END_GRACE: Duration = Duration::from_secs(10);

/// Validators on this machine. Everything it started ends with it.
#[derive(Debug)]
pub struct Validators {
	// Fields drop in this order: the folder last.
	nodes: BTreeMap<String, Node>,
	spec: PathBuf,
	binaries: Binaries,
	folder: Folder,
}

#[derive(Debug)]
struct Node {
	process: Process,
	rpc_port: u16,
	p2p_port: u16,
}

impl Validators {
	/// Starts the validators of genesis with these keys (`//Alice`, `//Bob`, `//Charlie`) and waits
	/// until each serves. The network's folder is left behind if `keep`.
	pub async fn start(binaries: Binaries, keys: &[DevKey], keep: bool) -> Result<Self> {
		let folder = Folder::new(keep)?;
		let spec = folder.path().join("chain-spec.json");
		let mut network = Self {
			nodes: BTreeMap::new(),
			spec,
			binaries,
			folder,
		};
		let export = ["export-chain-spec", "--chain", CHAIN, "--raw"];
		let spec = network.command(&export).await?;
		fs::write(&network.spec, spec).map_err(Error::io("chain specification"))?;
		for key in keys {
			network.start_node(&key.name(), Some(key)).await?;
		}
		Ok(network)
	}

	/// Starts a node and waits until it serves: with the keys of a validator of genesis, or without any,
	/// so that it has those that it is told to make. A node of the same name that ended goes on with its
	/// data. Two nodes with the keys of one validator commit an offence.
	pub async fn start_node(&mut self, name: &str, key: Option<&DevKey>) -> Result<()> {
		let [rpc_port, p2p_port] = free_ports()?;
		let mut args: Vec<OsString> = vec![
			"--chain".into(),
			self.spec.clone().into(),
			"--base-path".into(),
			self.folder.sub(name)?.into(),
			"--validator".into(),
			"--rpc-port".into(),
			rpc_port.to_string().into(),
			"--listen-addr".into(),
			format!("/ip4/127.0.0.1/tcp/{p2p_port}").into(),
			"--no-prometheus".into(),
		];
		args.extend(NODE_ARGS.map(OsString::from));
		if let Some(key) = key {
			// `//Alice` is `--alice`, with that key's session keys.
			let known = key.uri().trim_start_matches('/').to_lowercase();
			args.extend([format!("--{known}").into(), "--name".into(), name.into()]);
		}
		for peer in self.nodes.values() {
			let id = peer.rpc()?.peer_id().await?;
			let address = format!("/ip4/127.0.0.1/tcp/{}/p2p/{id}", peer.p2p_port);
			args.extend(["--bootnodes".into(), address.into()]);
		}
		let process = Process::spawn(Spawn {
			name: name.to_owned(),
			program: &self.binaries.node,
			args,
			env: vec![("NO_COLOR", "1".to_owned())],
			log: self.folder.log(name),
			dir: self.folder.path(),
		})?;
		let mut node = Node {
			process,
			rpc_port,
			p2p_port,
		};
		let rpc = node.rpc()?;
		let ready = node
			.process
			.until("the node's JSON-RPC", START_TIMEOUT, async || {
				rpc.block_hash(0).await.ok()
			})
			.await;
		self.nodes.insert(name.to_owned(), node);
		ready.map(|_genesis: H256| ())
	}

	fn named(&self, name: &str) -> Result<&Node> {
		let node = self.nodes.get(name);
		node.ok_or_else(|| Error::NotRunning(name.to_owned()))
	}

	/// A client of a node's JSON-RPC.
	pub fn node(&self, name: &str) -> Result<NodeRpc> {
		self.named(name)?.rpc()
	}

	/// A node's JSON-RPC over WebSocket.
	pub fn url(&self, name: &str) -> Result<String> {
		Ok(format!("ws://127.0.0.1:{}", self.named(name)?.rpc_port))
	}

	/// The names of the nodes that run.
	pub fn names(&self) -> impl Iterator<Item = &str> {
		self.nodes.keys().map(String::as_str)
	}

	/// Makes session keys in a node by `cuckoo-node key rotate-for`; returns the call that sets them.
	pub async fn rotate_for(&self, name: &str, account: &AccountId) -> Result<Vec<u8>> {
		let url = format!("http://127.0.0.1:{}", self.named(name)?.rpc_port);
		let account = account.to_string();
		let rotate = [
			"key",
			"rotate-for",
			"--json",
			"--account",
			&account,
			"--url",
			&url,
		];
		let printed = self.command(&rotate).await?;
		let rotated: Value = serde_json::from_slice(&printed)
			.map_err(|error| Error::Node(format!("key rotate-for: {error}")))?;
		let call = rotated["call"]
			.as_str()
			.and_then(|call| call.strip_prefix("0x"))
			.and_then(|call| hex::decode(call).ok());
		call.ok_or_else(|| Error::Node("key rotate-for prints no call".to_owned()))
	}

	/// Runs a sub-command of the node; returns what it printed.
	async fn command(&self, args: &[&str]) -> Result<Vec<u8>> {
		let what = || format!("cuckoo-node {}", args[0]);
		let run = tokio::process::Command::new(&self.binaries.node)
			.args(args)
			.stdin(Stdio::null())
			.kill_on_drop(true)
			.output();
		let output = tokio::time::timeout(COMMAND_TIMEOUT, run)
			.await
			.map_err(|_| Error::Timeout {
				what: "an answer".to_owned(),
				after: COMMAND_TIMEOUT,
				name: what(),
				tail: String::new(),
			})?
			.map_err(Error::io(what()))?;
		if !output.status.success() {
			return Err(Error::Exited {
				name: what(),
				status: output.status.to_string(),
				tail: String::from_utf8_lossy(&output.stderr).into_owned(),
			});
		}
		Ok(output.stdout)
	}

	/// SIGKILL to a node.
	pub fn kill(&mut self, name: &str) -> Result<Ended> {
		let node = self.nodes.remove(name);
		Ok(node
			.ok_or_else(|| Error::NotRunning(name.to_owned()))?
			.process
			.kill())
	}

	/// An error if any node has ended by itself.
	pub fn check(&mut self) -> Result<()> {
		self.nodes
			.values_mut()
			.try_for_each(|node| node.process.check())
	}

	/// The ends of all logs, to be shown when something went wrong.
	pub fn tails(&self) -> String {
		self.nodes
			.values()
			.map(|node| {
				format!(
					"  {}\n{}",
					node.process.log().display(),
					node.process.tail()
				)
			})
			.collect::<Vec<_>>()
			.join("\n")
	}

	/// Ends all nodes: each is asked first and killed if it does not follow. Reports how each ended.
	pub async fn shutdown(mut self) -> Vec<Ended> {
		let nodes = std::mem::take(&mut self.nodes);
		join_all(
			nodes
				.into_values()
				.map(|node| node.process.terminate(END_GRACE)),
		)
		.await
	}
}

impl Node {
	fn rpc(&self) -> Result<NodeRpc> {
		NodeRpc::new(&format!("http://127.0.0.1:{}", self.rpc_port))
	}
}
