//! Two coordinators on one database share one queue, and either may die at any moment.

use crate::{
	harness::*,
	postgres_server,
	process::{serving, Process},
	s3_server,
};
use cuckoo_coordinator_api::{
	error::{from_object, ErrorCode},
	miner::{Outcome, Poll, Submit, Work},
	rpc::{MinerRpcClient, TaskRpcClient},
	task::{SubmitOptions, TaskState, TaskStatus},
};
use cuckoo_primitives::{signing, task::TaskId};
use jsonrpsee::{
	core::client::Error as ClientError,
	http_client::{HttpClient, HttpClientBuilder},
	ws_client::WsClientBuilder,
};
use offchain_coordinator::{artifacts, clock::Clock, settings::Settings, store::Place};
use postgres::{Config, NoTls};
use std::{
	path::{Path, PathBuf},
	sync::{atomic::AtomicU64, Arc, Mutex},
	time::Duration,
};

/// Names the data directory that a process of the tests is to serve, and its database.
const SERVE: &str = "CUCKOO_TEST_SERVE";
const DATABASE: &str = "CUCKOO_TEST_DATABASE";

/// A database of its own; `None` where there is no PostgreSQL, or where these tests run already.
fn database(name: &str) -> Option<Config> {
	if on_postgres() {
		return None;
	}
	postgres_server::database(&format!("{name}_{}", std::process::id()))
}

/// Data directories side by side.
fn directories<const N: usize>(root: &Path) -> [PathBuf; N] {
	std::array::from_fn(|number| {
		let directory = root.join(number.to_string());
		std::fs::create_dir(&directory).unwrap();
		directory
	})
}

/// Pictures in one folder beside the data directories.
fn one_folder(directory: &Path) -> artifacts::Place {
	artifacts::Place::Folder(directory.with_file_name("pictures"))
}

async fn start(database: &Config, directory: &Path) -> Server {
	start_with(database, directory, one_folder(directory)).await
}

async fn start_with(database: &Config, directory: &Path, artifacts: artifacts::Place) -> Server {
	let now = Arc::new(AtomicU64::new(1_000_000));
	let place = Place::Postgres(Box::new(database.clone()));
	let clock = Clock::Manual(now.clone());
	let settings = Settings {
		artifacts,
		..Settings::default()
	};
	let server = Server::start_at(place, directory, settings, clock, now).await;
	let registry = registry(1, operators());
	server
		.coordinator
		.set_registry(registry, GENESIS)
		.await
		.unwrap();
	server
}

#[tokio::test]
async fn what_one_takes_another_does() {
	let Some(database) = database("one_queue") else {
		return;
	};
	let root = tempfile::tempdir().unwrap();
	let [one, other] = directories(root.path());
	let one = start(&database, &one).await;
	let other = start(&database, &other).await;
	one_takes_another_does(one, other).await;
}

#[tokio::test]
#[ignore = "needs Python's moto"]
async fn s3_storage_serves_two_processes() {
	let Some(database) = database("one_bucket") else {
		return;
	};
	let server = s3_server::Server::start();
	let root = tempfile::tempdir().unwrap();
	let url = format!("s3://{}", s3_server::BUCKET);
	let bucket = artifacts::Place::S3(server.bucket(&url, root.path()));
	let [one, other] = directories(root.path());
	let one = start_with(&database, &one, bucket.clone()).await;
	let other = start_with(&database, &other, bucket).await;
	one_takes_another_does(one, other).await;
}

async fn one_takes_another_does(one: Server, other: Server) {
	// Its miner makes the model known.
	TestMiner::connect(&one, "alice").await;
	let bob = TestMiner::connect(&other, "bob").await;
	let ws = WsClientBuilder::default()
		.build(format!("ws://{}", one.address))
		.await
		.unwrap();
	let task = one.submit("a red apple").await;
	let mut changes = ws.task_subscribe(task.id).await.unwrap();
	bob.finish(&bob.work().await).await;
	assert_eq!(one.state(task.id).await, TaskState::Done);
	let mut last: Option<TaskStatus> = None;
	while !last.as_ref().is_some_and(|status| status.state.is_final()) {
		let change = tokio::time::timeout(Duration::from_secs(20), changes.next());
		last = Some(change.await.expect("it is told").unwrap().unwrap());
	}
	assert_eq!(last.unwrap().state, TaskState::Done);
	let result = one.client.task_result(task.id).await.unwrap();
	assert_eq!(
		reqwest::get(one.url(&result.path)).await.unwrap().status(),
		200
	);

	// The app may cancel anywhere, and the miner is told by whom it has the task from.
	let task = one.submit("a green apple").await;
	let work = bob.work().await;
	assert_eq!(work.assignment.task, task.id);
	one.client.task_cancel(task.id).await.unwrap();
	let mut abandoned = Vec::new();
	for _ in 0..50 {
		abandoned = bob.poll_holding(200, vec![held(&work)]).await.abandon;
		if !abandoned.is_empty() {
			break;
		}
	}
	assert_eq!(abandoned, [held(&work)]);

	// A key is the app's at either.
	let options = Some(SubmitOptions {
		idempotency_key: Some("key".into()),
		..SubmitOptions::default()
	});
	let prompt = || request("a blue apple");
	let first = one.client.task_submit(prompt(), options.clone()).await;
	let again = other.client.task_submit(prompt(), options).await;
	assert_eq!(first.unwrap().id, again.unwrap().id);
	one.stop().await;
	other.stop().await;
}

#[tokio::test]
async fn an_attempt_goes_along_with_its_miner_and_the_dead_leave_nothing_behind() {
	let Some(database) = database("survivor") else {
		return;
	};
	let root = tempfile::tempdir().unwrap();
	let [one, other] = directories(root.path());
	let one = start(&database, &one).await;
	let other = start(&database, &other).await;
	let bob = TestMiner::connect(&one, "bob").await;
	let moved = one.submit("moved").await;
	let moved_work = bob.work().await;
	let bob = TestMiner::connect(&other, "bob").await;
	let reply = bob.poll_holding(0, vec![held(&moved_work)]).await;
	assert_eq!(reply.abandon, [], "it is still bob's");
	bob.finish(&moved_work).await;
	assert_eq!(one.state(moved.id).await, TaskState::Done);

	// Nobody comes back for this one: it goes back to the queue when its lease has run out.
	let alice = TestMiner::connect(&one, "alice").await;
	let left = one.submit("left").await;
	assert_eq!(alice.work().await.assignment.task, left.id);
	one.kill();
	for _ in 0..400 {
		if other.coordinator.in_flight() == 1 {
			break;
		}
		tokio::time::sleep(Duration::from_millis(50)).await;
	}
	assert_eq!(other.coordinator.in_flight(), 1, "taken over");
	other.pass(1_000_000);
	other.completes_with("bob", left.id).await;
	other.stop().await;
}

/// Not a test of its own: what the next one starts, as a process that can be killed.
#[tokio::test]
async fn a_process_of_the_next_test() {
	let (Ok(directory), Ok(database)) = (std::env::var(SERVE), std::env::var(DATABASE)) else {
		return;
	};
	let directory = Path::new(&directory);
	let settings = Settings {
		suspension_ms: 0,
		grace_ms: 5_000,
		artifacts: one_folder(directory),
		..Settings::default()
	};
	let place = Place::Postgres(Box::new(database.parse().unwrap()));
	let server = Server::start_at(place, directory, settings, Clock::System, Arc::default()).await;
	let registry = registry(1, operators());
	server
		.coordinator
		.set_registry(registry, GENESIS)
		.await
		.unwrap();
	serving(&server.url(""));
	std::future::pending::<()>().await;
}

/// A coordinator in a process of its own.
fn start_process(database: &Config, directory: &Path) -> Process {
	let url = database_url(database);
	Process::start(
		"two_processes::a_process_of_the_next_test",
		&[(SERVE, directory.as_os_str()), (DATABASE, url.as_ref())],
	)
}

/// Where the coordinators are at present.
#[derive(Clone)]
struct Places(Arc<Mutex<[String; 2]>>);

impl Places {
	fn any(&self) -> (HttpClient, String) {
		let url = self.0.lock().unwrap()[rand::random::<u8>() as usize % 2].clone();
		let client = HttpClientBuilder::default()
			.request_timeout(Duration::from_secs(10))
			.build(&url)
			.unwrap();
		(client, url)
	}
}

/// Submits until somebody has answered.
async fn submit(places: &Places, number: usize) -> TaskId {
	loop {
		let (client, _) = places.any();
		let options = SubmitOptions {
			idempotency_key: Some(format!("key {number}")),
			..SubmitOptions::default()
		};
		let prompt = request(&format!("apple {number}"));
		match client.task_submit(prompt, Some(options)).await {
			Ok(task) => return task.id,
			Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
		}
	}
}

/// Mines where it finds somebody, and takes its work along when it has to leave.
async fn roam(places: Places, name: &str) {
	let mut works: Vec<Work> = Vec::new();
	loop {
		let (client, url) = places.any();
		if let Ok(miner) = TestMiner::connect_at(&client, &url, name).await {
			// Only a connection that broke ends it.
			let _ = mine_here(&miner, &mut works).await;
		}
		tokio::time::sleep(Duration::from_millis(20)).await;
	}
}

async fn mine_here(miner: &TestMiner, works: &mut Vec<Work>) -> Result<(), ClientError> {
	for _ in 0..40 {
		let poll = Poll {
			token: miner.session.token,
			free_slots: u16::from(works.is_empty()),
			wait_ms: 300,
			holding: works.iter().map(held).collect(),
		};
		let reply = miner.client.miner_poll(poll).await?;
		works.retain(|work| !reply.abandon.contains(&held(work)));
		works.extend(reply.work);
		let Some(work) = works.first().cloned() else {
			continue;
		};
		let picture = png(
			work.spec.width.into(),
			work.spec.height.into(),
			work.spec.seed as u8,
		);
		let put = reqwest::Client::new()
			.put(format!("{}/artifacts/{:?}", miner.server, hash(&picture)))
			.bearer_auth(format!("{:?}", miner.session.token))
			.body(picture.clone());
		if put.send().await.is_err() {
			return Ok(());
		}
		let commitment = miner.commitment(&work, hash(&picture));
		let submit = Submit {
			token: miner.session.token,
			task: work.assignment.task,
			attempt: work.assignment.attempt,
			outcome: Outcome::Result {
				signature: signing::sign(&GENESIS, &commitment, &miner.key),
				commitment,
			},
		};
		match miner.client.miner_submit(submit).await {
			Ok(_) => works.clear(),
			Err(ClientError::Call(object)) => {
				// The answer to a submit before got lost, or the task has gone elsewhere.
				let code = from_object(&object).map(|error| error.code);
				if !matches!(code, Some(ErrorCode::Internal | ErrorCode::SessionInvalid)) {
					works.clear();
				}
			},
			Err(other) => return Err(other),
		}
	}
	Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn either_process_can_be_killed_and_every_task_is_done_once() {
	const TASKS: usize = 120;
	const KILLS: usize = 5;
	let Some(database) = database("killed") else {
		return;
	};
	let root = tempfile::tempdir().unwrap();
	let directories: [PathBuf; 2] = directories(root.path());
	let mut processes = directories
		.each_ref()
		.map(|directory| start_process(&database, directory));
	let urls = processes.each_ref().map(|process| process.url.clone());
	let places = Places(Arc::new(Mutex::new(urls)));
	let miners = ["alice", "bob"].map(|name| tokio::spawn(roam(places.clone(), name)));
	let app = {
		let places = places.clone();
		tokio::spawn(async move {
			let mut tasks = Vec::new();
			for number in 0..TASKS {
				tasks.push(submit(&places, number).await);
			}
			tasks
		})
	};
	for _ in 0..KILLS {
		let pause = 200 + u64::from(rand::random::<u8>()) * 5;
		tokio::time::sleep(Duration::from_millis(pause)).await;
		let victim = rand::random::<u8>() as usize % 2;
		processes[victim].kill();
		let (database, directory) = (database.clone(), directories[victim].clone());
		let restart = move || start_process(&database, &directory);
		processes[victim] = tokio::task::spawn_blocking(restart).await.unwrap();
		places.0.lock().unwrap()[victim] = processes[victim].url.clone();
	}
	let tasks = app.await.unwrap();
	let mut open = tasks.clone();
	for _ in 0..1_200 {
		let (client, _) = places.any();
		let mut left = Vec::new();
		for id in open {
			match client.task_status(id).await {
				Ok(status) if status.state == TaskState::Done => {},
				Ok(status) => {
					assert!(!status.state.is_final(), "{status:?}");
					left.push(id);
				},
				Err(_) => left.push(id),
			}
		}
		open = left;
		if open.is_empty() {
			break;
		}
		tokio::time::sleep(Duration::from_millis(100)).await;
	}
	assert_eq!(open, [], "every task is done");
	for miner in miners {
		miner.abort();
	}
	drop(processes);
	let counts = std::thread::spawn(move || {
		let mut client = database.connect(NoTls).unwrap();
		let mut count = |query: &str| client.query_one(query, &[]).unwrap().get::<_, i64>(0);
		[
			count("SELECT COUNT(*) FROM tasks"),
			count("SELECT COUNT(*) FROM attempts WHERE ending = 'done'"),
			count("SELECT COUNT(DISTINCT task) FROM attempts WHERE ending = 'done'"),
			count("SELECT SUM(done)::bigint FROM miners"),
		]
	});
	assert_eq!(counts.join().unwrap(), [TASKS as i64; 4]);
}
