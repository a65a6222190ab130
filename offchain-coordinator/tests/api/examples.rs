//! The programs in examples/, as an app's developer runs them.

use crate::harness::*;
use cuckoo_coordinator_api::{rpc::TaskRpcClient, task::TaskState};
use offchain_coordinator::keys::{Keys, Limits};
use std::{
	path::{Path, PathBuf},
	process::{Command, Output},
};

fn example(name: &str) -> PathBuf {
	Path::new(env!("CARGO_MANIFEST_DIR"))
		.join("../examples")
		.join(name)
}

/// Runs an example with these arguments and this key while a miner works; gives what it said.
async fn run(server: &Server, program: &str, name: &str, arguments: &[&str], key: &str) -> Output {
	let mining = mine(server, "alice").await;
	let mut command = Command::new(program);
	command
		.arg(example(name))
		.args(arguments)
		.args(["--url", &server.url("")])
		.env("CUCKOO_API_KEY", key);
	let output = tokio::task::spawn_blocking(move || command.output());
	let output = output.await.unwrap().unwrap();
	mining.abort();
	output
}

/// The example makes a picture, and says what is wrong when it may not.
async fn makes_a_picture(program: &str, name: &str) {
	let directory = tempfile::tempdir().unwrap();
	let data = directory.path().join("data");
	let server = Server::start(&data).await;
	let mut keys = Keys::open(&data).unwrap();
	let key = keys.create("example", Limits::default(), 1).unwrap();
	let file = directory.path().join("apple.png");
	let arguments = ["a red apple", "--out", file.to_str().unwrap()];

	let output = run(&server, program, name, &arguments, &key.reveal()).await;
	let said = String::from_utf8_lossy(&output.stderr);
	assert!(output.status.success(), "{said}");
	assert!(said.contains("done"), "{said}");
	let picture = std::fs::read(&file).unwrap();
	assert!(picture.starts_with(b"\x89PNG"));

	let output = run(&server, program, name, &arguments, "ck_wrong").await;
	let said = String::from_utf8_lossy(&output.stderr);
	assert!(!output.status.success());
	assert!(
		said.contains("error: ") && said.contains("ApiKeyInvalid"),
		"{said}"
	);

	let tasks = server.client.task_list(None, None, Some(TaskState::Done));
	assert!(
		tasks.await.unwrap().tasks.is_empty(),
		"it is the key's, not the address's"
	);
	server.stop().await;
}

#[tokio::test]
async fn the_python_example_makes_a_picture() {
	makes_a_picture("python3", "picture.py").await;
}

/// Needs Node.js 22.18 or later, which runs TypeScript as it stands: `scripts/test clients`.
#[tokio::test]
#[ignore = "needs Node.js 22.18 or later"]
async fn the_typescript_client_makes_a_picture() {
	makes_a_picture("node", "picture.ts").await;
}
