//! A node as users start it, and its JSON-RPC.

// Every test program uses its part of this.
#![allow(dead_code)]

use serde_json::{json, Value};
use std::{
	io::{BufRead, BufReader, Read, Write},
	net::TcpStream,
	path::Path,
	process::{Child, Command, Stdio},
	sync::mpsc,
	thread,
	time::{Duration, Instant},
};

/// For the node to start, and for a block to come: slow machines compile the wasm runtime for long.
const PATIENCE: Duration = Duration::from_secs(180);

/// A development node with its database in a folder; killed when dropped.
pub struct Node {
	process: Child,
	rpc: String,
}

impl Node {
	/// The address of its JSON-RPC.
	pub fn url(&self) -> String {
		format!("http://{}", self.rpc)
	}

	/// Starts the node with these arguments beside, on ports of the system's choice, and waits until it
	/// serves JSON-RPC.
	pub fn start(base_path: &Path, arguments: &[&str]) -> Self {
		let mut process = Command::new(env!("CARGO_BIN_EXE_cuckoo-node"))
			.args([
				"--dev",
				"--port",
				"0",
				"--rpc-port",
				"0",
				"--no-prometheus",
				"--base-path",
			])
			.arg(base_path)
			.args(arguments)
			.stderr(Stdio::piped())
			.spawn()
			.expect("the node can be started");
		let log = BufReader::new(process.stderr.take().expect("the log is piped"));
		let (found, rpc) = mpsc::channel();
		// Reads to the end, so that the node never waits for its log to be read.
		thread::spawn(move || {
			for line in log.lines().map_while(Result::ok) {
				if let Some((_, address)) = line.split_once("Running JSON-RPC server: addr=") {
					let first = address.split([',', ' ']).next().unwrap_or_default();
					let _ = found.send(first.to_string());
				}
			}
		});
		let rpc = rpc.recv_timeout(PATIENCE);
		let mut node = Node {
			process,
			rpc: String::new(),
		};
		node.rpc = rpc.expect("the node serves JSON-RPC");
		node
	}

	/// Calls a method; the result alone.
	pub fn call(&self, method: &str, params: Value) -> Value {
		let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
		let body = body.to_string();
		let mut stream = TcpStream::connect(&self.rpc).expect("the node accepts connections");
		write!(
			stream,
			"POST / HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n\
			 Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
			self.rpc,
			body.len(),
		)
		.expect("the request can be sent");
		let mut answer = String::new();
		stream
			.read_to_string(&mut answer)
			.expect("the node answers");
		let (_, body) = answer
			.split_once("\r\n\r\n")
			.expect("the answer has a body");
		let answer: Value = serde_json::from_str(body).expect("the answer is JSON");
		answer["result"].clone()
	}

	fn number_of(&self, header: Value) -> u32 {
		let number = header["number"].as_str().expect("a header has a number");
		u32::from_str_radix(number.trim_start_matches("0x"), 16).expect("numbers are hexadecimal")
	}

	pub fn best(&self) -> u32 {
		self.number_of(self.call("chain_getHeader", json!([])))
	}

	pub fn finalized(&self) -> u32 {
		let hash = self.call("chain_getFinalizedHead", json!([]));
		self.number_of(self.call("chain_getHeader", json!([hash])))
	}

	pub fn hash_of(&self, number: u32) -> Value {
		self.call("chain_getBlockHash", json!([number]))
	}

	/// Waits until block `number` is final.
	pub fn wait_finalized(&self, number: u32) {
		let start = Instant::now();
		while self.finalized() < number {
			assert!(
				start.elapsed() < PATIENCE,
				"block {number} did not become final"
			);
			thread::sleep(Duration::from_millis(500));
		}
	}
}

impl Drop for Node {
	/// SIGKILL: the node gets no chance to close its database.
	fn drop(&mut self) {
		let _ = self.process.kill();
		let _ = self.process.wait();
	}
}
