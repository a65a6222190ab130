//! Nothing new is begun while the coordinator drains, and what is with miners finishes.

use crate::harness::*;
use cuckoo_coordinator_api::{
	error::ErrorCode,
	miner::Progress,
	rpc::{MinerRpcClient, TaskRpcClient},
	task::TaskState,
};
use offchain_coordinator::{
	drain::{finish, Drained},
	settings::Settings,
};
use std::{
	future::pending,
	io::{BufRead, BufReader, Read},
	path::Path,
	process::{Child, Command, Stdio},
	time::{Duration, Instant},
};

#[tokio::test]
async fn what_is_with_miners_finishes_and_nothing_new_begins() {
	let directory = tempfile::tempdir().unwrap();
	let server = Server::start(directory.path()).await;
	let alice = TestMiner::connect(&server, "alice").await;
	let task = server.submit("one").await;
	let work = alice.work().await;
	let waiting = server.submit("two").await;
	let bob = TestMiner::connect(&server, "bob").await;

	let coordinator = server.coordinator.clone();
	let draining =
		tokio::spawn(async move { finish(&coordinator, Duration::from_secs(60), pending()).await });
	while !server.coordinator.is_draining() {
		tokio::time::sleep(Duration::from_millis(5)).await;
	}
	let refused = server.client.task_submit(request("three"), None).await;
	assert_eq!(code(refused), ErrorCode::Draining);
	let ready = reqwest::get(server.url("/readyz")).await.unwrap();
	assert_eq!(ready.status(), 503);
	assert!(ready
		.text()
		.await
		.unwrap()
		.contains(r#""subject":"draining""#));
	let health = reqwest::get(server.url("/healthz")).await.unwrap();
	assert_eq!(health.status(), 200, "it is alive");

	// A poll waits as usual, gets nothing though a task waits, and is told why.
	let start = Instant::now();
	let reply = bob.poll(400).await;
	assert!(
		start.elapsed() >= Duration::from_millis(400),
		"miners would poll in a busy loop"
	);
	assert_eq!((reply.work, reply.standing.rank), (None, None));
	assert!(reply.standing.lacks.unwrap().contains("draining"));
	// The queue keeps even what has waited too long: nobody was drawn meanwhile.
	server.pass(Settings::default().queue_timeout_ms);
	assert_eq!(draining.await.unwrap(), Drained::Empty, "the lease ran out");
	let reply = alice.poll_holding(0, vec![held(&work)]).await;
	assert_eq!(reply.abandon, vec![held(&work)]);
	assert_eq!(server.state(waiting.id).await, TaskState::Queued);

	server.coordinator.undrain();
	let work = bob.work().await;
	assert_eq!(work.assignment.task, task.id, "in its old place");
	let coordinator = server.coordinator.clone();
	let draining =
		tokio::spawn(async move { finish(&coordinator, Duration::from_secs(60), pending()).await });
	while !server.coordinator.is_draining() {
		tokio::time::sleep(Duration::from_millis(5)).await;
	}
	let reply = bob.poll_holding(0, vec![held(&work)]).await;
	assert_eq!(reply.abandon, vec![], "nothing is lost");
	let progress = Progress {
		token: bob.session.token,
		task: task.id,
		attempt: work.assignment.attempt,
		steps_done: 1,
	};
	assert!(server.client.miner_progress(progress).await.unwrap().go_on);
	assert!(!draining.is_finished());
	bob.finish(&work).await;
	assert_eq!(draining.await.unwrap(), Drained::Empty);
	let result = server.client.task_result(task.id).await.unwrap();
	let picture = reqwest::get(server.url(&result.path)).await.unwrap();
	assert_eq!(picture.status(), 200, "results are served on");
	assert_eq!(server.state(waiting.id).await, TaskState::Queued);

	server.coordinator.undrain();
	assert_eq!(bob.work().await.assignment.task, waiting.id);
	server.stop().await;
}

#[tokio::test]
async fn a_drain_ends_by_time_or_by_a_second_signal() {
	let directory = tempfile::tempdir().unwrap();
	let server = Server::start(directory.path()).await;
	let alice = TestMiner::connect(&server, "alice").await;
	let task = server.submit("one").await;
	alice.work().await;
	let short = Duration::from_millis(200);
	let drained = finish(&server.coordinator, short, pending()).await;
	assert_eq!(drained, Drained::TimedOut(1));
	let drained = finish(&server.coordinator, Duration::from_secs(60), async {}).await;
	assert_eq!(drained, Drained::CutShort(1));
	assert_eq!(
		server.state(task.id).await,
		TaskState::Assigned,
		"its lease stands"
	);
	server.stop().await;
}

/// The real program, without a chain.
struct Program {
	child: Child,
	url: String,
}

impl Program {
	fn start(directory: &Path, arguments: &[&str]) -> Self {
		let mut child = Command::new(env!("CARGO_BIN_EXE_offchain-coordinator"))
			.args([
				"run",
				"--chain",
				"ws://127.0.0.1:1",
				"--listen",
				"127.0.0.1:0",
			])
			.args(["--admin-listen", "127.0.0.1:0", "--data-dir"])
			.arg(directory)
			.args(["--store-url", &store_url(directory)])
			.args(arguments)
			.env("CUCKOO_WORKER_URI", "//coordinator//worker")
			.env_remove("RUST_LOG")
			.stdout(Stdio::piped())
			.stderr(Stdio::piped())
			.spawn()
			.unwrap();
		let mut line = String::new();
		let stdout = child.stdout.as_mut().unwrap();
		BufReader::new(stdout).read_line(&mut line).unwrap();
		let url = line.trim().strip_prefix("listening ").unwrap().to_owned();
		Self { child, url }
	}

	fn terminate(&self) {
		let pid = self.child.id().to_string();
		let killed = Command::new("kill").args(["-TERM", &pid]).status();
		assert!(killed.unwrap().success());
	}

	/// Waits for its end and gives the log of a good one.
	fn log(mut self) -> String {
		let mut log = String::new();
		let stderr = self.child.stderr.as_mut().unwrap();
		stderr.read_to_string(&mut log).unwrap();
		assert!(self.child.wait().unwrap().success(), "{log}");
		log
	}
}

#[tokio::test]
async fn the_program_drains_at_the_first_sigterm_and_stops_at_the_second() {
	let directory = tempfile::tempdir().unwrap();
	let server = Server::start(directory.path()).await;
	let alice = TestMiner::connect(&server, "alice").await;
	let task = server.submit("one").await;
	alice.work().await;
	server.stop().await;

	let program = Program::start(directory.path(), &[]);
	program.terminate();
	let mut draining = String::new();
	for _ in 0..100 {
		let ready = reqwest::get(format!("{}/readyz", program.url))
			.await
			.unwrap();
		assert_eq!(ready.status(), 503);
		draining = ready.text().await.unwrap();
		if draining.contains("draining") {
			break;
		}
		tokio::time::sleep(Duration::from_millis(20)).await;
	}
	assert!(draining.contains(r#""subject":"draining""#), "{draining}");
	tokio::time::sleep(Duration::from_millis(300)).await;
	let start = Instant::now();
	program.terminate();
	let log = program.log();
	assert!(start.elapsed() < Duration::from_secs(5));
	assert!(
		log.contains("draining") && log.contains("in_flight=1"),
		"{log}"
	);
	assert!(log.contains("not drained"), "{log}");

	let start = Instant::now();
	let program = Program::start(directory.path(), &["--drain-timeout", "1"]);
	program.terminate();
	let log = program.log();
	assert!(log.contains("not drained"), "{log}");
	assert!(start.elapsed() >= Duration::from_secs(1), "it waited");

	let server = Server::start(directory.path()).await;
	assert_eq!(
		server.state(task.id).await,
		TaskState::Assigned,
		"the lease stands"
	);
	server.stop().await;
}
