//! Apps: who they are by key and address, and what is theirs alone.

use crate::harness::*;
use cuckoo_coordinator_api::{
	error::ErrorCode,
	rpc::TaskRpcClient,
	task::{BatchReply, BatchTask, SubmitOptions, TaskRequest, TaskState},
};
use jsonrpsee::{
	http_client::{HeaderMap, HttpClient, HttpClientBuilder},
	ws_client::WsClientBuilder,
};
use offchain_coordinator::{
	apps::KEY_CACHE_MS,
	keys::{Keys, KeysError, Limits},
	settings::Settings,
};
use std::path::Path;

fn headers(fields: &[(&'static str, String)]) -> HeaderMap {
	let fields = fields.iter();
	fields
		.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
		.collect()
}

pub fn client(server: &Server, fields: &[(&'static str, String)]) -> HttpClient {
	HttpClientBuilder::default()
		.set_headers(headers(fields))
		.build(server.url(""))
		.unwrap()
}

pub fn bearer(key: &str) -> [(&'static str, String); 1] {
	[("authorization", format!("Bearer {key}"))]
}

pub fn from(address: &str) -> [(&'static str, String); 1] {
	[("x-forwarded-for", address.into())]
}

/// Makes a key as the command line does: through the file, while the coordinator runs.
pub async fn key(directory: &Path, name: &str, limits: Limits) -> String {
	let mut keys = Keys::open(directory).unwrap();
	keys.create(name, limits, 1_000).unwrap().reveal()
}

fn with_key(key: &str) -> Option<SubmitOptions> {
	Some(SubmitOptions {
		idempotency_key: Some(key.into()),
		..SubmitOptions::default()
	})
}

#[tokio::test]
async fn a_task_is_its_apps_own() {
	let directory = tempfile::tempdir().unwrap();
	let server = Server::start(directory.path()).await;
	TestMiner::connect(&server, "alice").await;
	let red = client(
		&server,
		&bearer(&key(directory.path(), "red", Limits::default()).await),
	);
	let blue = client(
		&server,
		&bearer(&key(directory.path(), "blue", Limits::default()).await),
	);

	let task = red
		.task_submit(request("a red apple"), with_key("k"))
		.await
		.unwrap();
	let other = blue
		.task_submit(request("a blue plum"), with_key("k"))
		.await
		.unwrap();
	assert_ne!(
		task.id, other.id,
		"each app has its idempotency keys for itself"
	);
	let again = red
		.task_submit(request("a red apple"), with_key("k"))
		.await
		.unwrap();
	assert_eq!(again.id, task.id);
	let taken = red.task_submit(request("a blue plum"), with_key("k")).await;
	assert_eq!(code(taken), ErrorCode::IdempotencyKeyInvalid);

	for stranger in [&blue, &server.client] {
		assert_eq!(
			code(stranger.task_cancel(task.id).await),
			ErrorCode::TaskNotFound
		);
		let status = stranger.task_status(task.id).await.unwrap();
		assert_eq!(status.state, TaskState::Queued, "who knows the id may look");
	}
	assert_eq!(
		red.task_cancel(task.id).await.unwrap().state,
		TaskState::Cancelled
	);
	server.stop().await;
}

/// A task's id hangs on key and spec, so that anyone can recompute it: two apps cannot have both.
#[tokio::test]
async fn two_apps_with_one_key_and_one_spec_are_told_so() {
	let directory = tempfile::tempdir().unwrap();
	let server = Server::start(directory.path()).await;
	TestMiner::connect(&server, "alice").await;
	let red = client(
		&server,
		&bearer(&key(directory.path(), "red", Limits::default()).await),
	);
	let settled = || TaskRequest {
		seed: Some(7),
		..request("a red apple")
	};
	server
		.client
		.task_submit(settled(), with_key("k"))
		.await
		.unwrap();
	let error = api_error(red.task_submit(settled(), with_key("k")).await.unwrap_err());
	assert_eq!(error.code, ErrorCode::IdempotencyKeyInvalid);
	assert!(error.message.contains("Another app"), "{error}");
	red.task_submit(settled(), with_key("another"))
		.await
		.unwrap();
	server.stop().await;
}

#[tokio::test]
async fn keys_are_taken_at_once_and_refused_soon_after_they_are_revoked() {
	let directory = tempfile::tempdir().unwrap();
	let settings = Settings {
		require_api_key: true,
		..Settings::default()
	};
	let server = Server::start_with(directory.path(), settings, 1_000_000).await;
	TestMiner::connect(&server, "alice").await;
	let submit =
		|client: HttpClient| async move { client.task_submit(request("a red apple"), None).await };
	assert_eq!(
		code(submit(server.client.clone()).await),
		ErrorCode::ApiKeyInvalid
	);
	let unknown = format!("ck_{}", "00".repeat(32));
	for wrong in ["sk-1", "ck_12", &unknown] {
		let refused = submit(client(&server, &bearer(wrong))).await;
		assert_eq!(code(refused), ErrorCode::ApiKeyInvalid, "{wrong}");
	}

	let text = key(directory.path(), "red", Limits::default()).await;
	let red = client(&server, &bearer(&text));
	let task = submit(red.clone()).await.unwrap();
	let ws = WsClientBuilder::default()
		.set_headers(headers(&bearer(&text)))
		.build(format!("ws://{}", server.address))
		.await
		.unwrap();
	ws.task_submit(request("a red apple"), None).await.unwrap();

	let mut keys = Keys::open(directory.path()).unwrap();
	let twice = keys.create("red", Limits::default(), 2_000).unwrap_err();
	assert!(matches!(twice, KeysError::HasKey(_)), "{twice}");
	keys.revoke("red", 2_000).unwrap();
	let again = keys.revoke("red", 2_000).unwrap_err();
	assert!(matches!(again, KeysError::Unknown(_)), "{again}");
	server.pass(KEY_CACHE_MS);
	assert_eq!(code(submit(red.clone()).await), ErrorCode::ApiKeyInvalid);
	let late = ws.task_submit(request("a red apple"), None).await;
	assert_eq!(
		code(late),
		ErrorCode::ApiKeyInvalid,
		"also on an open WebSocket"
	);

	// A new key is the same app.
	let new = keys
		.create("red", Limits::default(), 3_000)
		.unwrap()
		.reveal();
	let list = keys.list().unwrap();
	assert_eq!(
		(list.len(), list[0].name.as_str(), list[0].revoked_ms),
		(1, "red", None)
	);
	let red = client(&server, &bearer(&new));
	assert_eq!(
		red.task_cancel(task.id).await.unwrap().state,
		TaskState::Cancelled
	);
	server.stop().await;
}

#[tokio::test]
async fn names_of_apps_are_bounded() {
	let directory = tempfile::tempdir().unwrap();
	let mut keys = Keys::open(directory.path()).unwrap();
	for wrong in ["", "two\nlines", &"x".repeat(101)] {
		let refused = keys.create(wrong, Limits::default(), 1).unwrap_err();
		assert!(matches!(refused, KeysError::Name), "{refused}");
	}
	let longest = "x".repeat(100);
	keys.create(&longest, Limits::default(), 1).unwrap();
}

#[tokio::test]
async fn addresses_are_apps_of_their_own() {
	let directory = tempfile::tempdir().unwrap();
	let settings = Settings {
		trust_proxy: true,
		..Settings::default()
	};
	let server = Server::start_with(directory.path(), settings, 1_000_000).await;
	TestMiner::connect(&server, "alice").await;
	let near = client(&server, &from("2001:db8:1:2::3"));
	let task = near
		.task_submit(request("a red apple"), None)
		.await
		.unwrap();
	let next_door = client(&server, &from("2001:db8:1:3::3"));
	assert_eq!(
		code(next_door.task_cancel(task.id).await),
		ErrorCode::TaskNotFound
	);
	let same_house = client(&server, &from("2001:db8:1:2:ffff::1"));
	assert_eq!(
		same_house.task_cancel(task.id).await.unwrap().state,
		TaskState::Cancelled
	);
	server.stop().await;
}

#[tokio::test]
async fn options_out_of_bounds_are_refused() {
	let directory = tempfile::tempdir().unwrap();
	let server = Server::start(directory.path()).await;
	TestMiner::connect(&server, "alice").await;
	let submit = |options| {
		server
			.client
			.task_submit(request("a red apple"), Some(options))
	};
	for (priority, max_wait_ms) in [
		(Some(-1), None),
		(Some(10), None),
		(Some(i64::MAX), None),
		(None, Some(0)),
		(None, Some(-5)),
	] {
		let options = SubmitOptions {
			priority,
			max_wait_ms,
			..SubmitOptions::default()
		};
		assert_eq!(code(submit(options).await), ErrorCode::ParameterInvalid);
	}
	server.stop().await;
}

#[tokio::test]
async fn a_task_waits_no_longer_than_its_app_says() {
	let directory = tempfile::tempdir().unwrap();
	let server = Server::start(directory.path()).await;
	let alice = TestMiner::connect(&server, "alice").await;
	let submit = |max_wait_ms| {
		let options = SubmitOptions {
			max_wait_ms: Some(max_wait_ms),
			..SubmitOptions::default()
		};
		server
			.client
			.task_submit(request("a red apple"), Some(options))
	};
	let returned = submit(3_000).await.unwrap();
	let work = alice.work().await;
	let soon = submit(3_000).await.unwrap();
	let at_most = submit(i64::MAX).await.unwrap();
	server.pass(3_000);
	server.until(soon.id, TaskState::Expired).await;
	assert_eq!(server.state(at_most.id).await, TaskState::Queued);

	// A task that comes back waits anew, and as long as it said.
	let failure = cuckoo_coordinator_api::miner::Outcome::Failure {
		reason: "no memory".into(),
	};
	alice.submit_outcome(&work, failure).await.unwrap();
	server.pass(2_999);
	tokio::time::sleep(std::time::Duration::from_millis(100)).await;
	assert_eq!(server.state(returned.id).await, TaskState::Queued);
	server.pass(1);
	server.until(returned.id, TaskState::Expired).await;
	server.pass(Settings::default().queue_timeout_ms);
	server.until(at_most.id, TaskState::Expired).await;
	server.stop().await;
}

async fn submit(
	client: &HttpClient,
	prompt: &str,
	priority: i64,
) -> cuckoo_primitives::task::TaskId {
	let options = SubmitOptions {
		priority: Some(priority),
		..SubmitOptions::default()
	};
	client
		.task_submit(request(prompt), Some(options))
		.await
		.unwrap()
		.id
}

/// One app's many tasks do not keep another's waiting, priority orders only within an app, and the
/// order within an app survives a restart.
#[tokio::test]
async fn apps_take_turns() {
	let directory = tempfile::tempdir().unwrap();
	let server = Server::start(directory.path()).await;
	let alice = TestMiner::connect(&server, "alice").await;
	let red = bearer(&key(directory.path(), "red", Limits::default()).await);
	let blue = bearer(&key(directory.path(), "blue", Limits::default()).await);
	let red_client = client(&server, &red);
	let mut reds = Vec::new();
	for number in 0..20 {
		reds.push(submit(&red_client, "red", if number < 10 { 9 } else { 5 }).await);
	}
	let blue_client = client(&server, &blue);
	let mut blues = Vec::new();
	for priority in [0, 5, 5] {
		blues.push(submit(&blue_client, "blue", priority).await);
	}
	let status = blue_client.task_status(blues[0]).await.unwrap();
	assert_eq!(
		status.position,
		Some(2 + 3),
		"two of its own, and three of the other at most"
	);

	let mut order = Vec::new();
	for _ in 0..3 {
		let work = alice.work().await;
		order.push(work.assignment.task);
		alice.finish(&work).await;
	}
	let now_ms = server.now_ms();
	server.kill();
	let server = Server::start_with(directory.path(), Settings::default(), now_ms).await;
	let alice = TestMiner::connect(&server, "alice").await;
	for _ in 0..20 {
		let work = alice.work().await;
		order.push(work.assignment.task);
		alice.finish(&work).await;
	}
	let of = |tasks: &[_]| {
		order
			.iter()
			.filter(|id| tasks.contains(*id))
			.copied()
			.collect::<Vec<_>>()
	};
	assert_eq!(of(&reds), reds, "first in, first out");
	assert_eq!(
		of(&blues),
		vec![blues[1], blues[2], blues[0]],
		"by priority"
	);
	assert!(
		order[..6].iter().filter(|id| blues.contains(id)).count() >= 2,
		"{order:?}"
	);
	server.stop().await;
}

#[tokio::test]
async fn an_app_has_its_own_limit_of_waiting_tasks() {
	let directory = tempfile::tempdir().unwrap();
	let settings = Settings {
		max_queued: 6,
		max_queued_per_app: 2,
		..Settings::default()
	};
	let server = Server::start_with(directory.path(), settings, 1_000_000).await;
	TestMiner::connect(&server, "alice").await;
	let limits = Limits {
		max_queued: Some(3),
		..Limits::default()
	};
	let large = client(
		&server,
		&bearer(&key(directory.path(), "large", limits).await),
	);
	let small = client(
		&server,
		&bearer(&key(directory.path(), "small", Limits::default()).await),
	);
	for (client, most) in [(&server.client, 2), (&large, 3)] {
		for _ in 0..most {
			client
				.task_submit(request("a red apple"), None)
				.await
				.unwrap();
		}
		let error = api_error(client.task_submit(request("x"), None).await.unwrap_err());
		assert_eq!(error.code, ErrorCode::AppQueueFull);
		assert!(error.message.contains(&most.to_string()), "{error}");
	}
	small
		.task_submit(request("a red apple"), None)
		.await
		.unwrap();
	let full = small.task_submit(request("a red apple"), None).await;
	assert_eq!(code(full), ErrorCode::QueueFull);
	server.stop().await;
}

/// A quote settles the spec, knows nothing at first, and learns from what results took.
#[tokio::test]
async fn a_quote_says_what_a_task_takes() {
	let directory = tempfile::tempdir().unwrap();
	let server = Server::start(directory.path()).await;
	let alice = TestMiner::connect(&server, "alice").await;
	alice.poll(0).await;
	let apple = || TaskRequest {
		width: Some(32),
		..request("a red apple")
	};
	let quote = server.client.task_quote(apple(), None).await.unwrap();
	assert_eq!((quote.position, quote.eta_ms), (0, None));
	assert_eq!(quote.megapixel_steps, 32.0 * 16.0 * 4.0 / 1e6);
	assert_eq!(quote.spec.model, Some(format!("{MODEL:?}")));
	assert_eq!(
		(quote.spec.seed, quote.spec.height, quote.spec.steps),
		(None, Some(16), Some(4))
	);
	let task = server
		.client
		.task_submit(quote.spec.clone(), None)
		.await
		.unwrap();
	assert_eq!(
		(task.spec.width, task.spec.height),
		(32, 16),
		"it can be submitted as it is"
	);

	let work = alice.work().await;
	server.pass(3_000);
	alice.finish(&work).await;
	alice.poll(0).await;
	let quote = server.client.task_quote(apple(), None).await.unwrap();
	assert_eq!(
		(quote.position, quote.eta_ms),
		(0, Some(3_000)),
		"somebody is free"
	);
	let seeded = TaskRequest {
		seed: Some(7),
		width: Some(16),
		..apple()
	};
	let quote = server.client.task_quote(seeded, None).await.unwrap();
	assert_eq!((quote.spec.seed, quote.eta_ms), (Some(7), Some(1_500)));

	// One at work, one before: half of its own time, the other's, and its own.
	let first = server.client.task_submit(apple(), None).await.unwrap();
	let work = alice.work().await;
	let running = server.client.task_status(first.id).await.unwrap();
	assert_eq!(running.eta_ms, Some(3_000));
	let waiting = server.client.task_submit(apple(), None).await.unwrap();
	assert_eq!(waiting.eta_ms, Some(1_500 + 3_000));
	let quote = server.client.task_quote(apple(), None).await.unwrap();
	assert_eq!(
		(quote.position, quote.eta_ms),
		(1, Some(1_500 + 3_000 + 3_000))
	);
	let first_in_line = SubmitOptions {
		priority: Some(9),
		..SubmitOptions::default()
	};
	let quote = server
		.client
		.task_quote(apple(), Some(first_in_line))
		.await
		.unwrap();
	assert_eq!(quote.position, 0);
	let progress = cuckoo_coordinator_api::miner::Progress {
		token: alice.session.token,
		task: first.id,
		attempt: 0,
		steps_done: 3,
	};
	cuckoo_coordinator_api::rpc::MinerRpcClient::miner_progress(&server.client, progress)
		.await
		.unwrap();
	let running = server.client.task_status(first.id).await.unwrap();
	assert_eq!(running.eta_ms, Some(750), "a quarter is left");
	alice.finish(&work).await;
	assert_eq!(
		server.client.task_status(first.id).await.unwrap().eta_ms,
		None
	);

	let wrong = TaskRequest {
		steps: Some(0),
		..apple()
	};
	assert_eq!(
		code(server.client.task_quote(wrong, None).await),
		ErrorCode::StepsInvalid
	);
	let now_ms = server.now_ms();
	server.kill();
	let server = Server::start_with(directory.path(), Settings::default(), now_ms).await;
	let alice = TestMiner::connect(&server, "alice").await;
	alice.poll(0).await;
	let quote = server.client.task_quote(apple(), None).await.unwrap();
	assert!(quote.eta_ms.is_some(), "learned from the store");
	server.stop().await;
}

#[tokio::test]
async fn an_app_lists_its_own_tasks_page_by_page() {
	let directory = tempfile::tempdir().unwrap();
	let server = Server::start(directory.path()).await;
	TestMiner::connect(&server, "alice").await;
	let red = client(
		&server,
		&bearer(&key(directory.path(), "red", Limits::default()).await),
	);
	let mut ids = Vec::new();
	for number in 0..7 {
		ids.insert(0, submit(&red, &format!("apple {number}"), 5).await);
		server.submit("somebody else's").await;
	}
	red.task_cancel(ids[2]).await.unwrap();
	let (mut listed, mut from) = (Vec::new(), None);
	for expected in [3, 3, 1] {
		let page = red.task_list(from, Some(3), None).await.unwrap();
		assert_eq!(page.tasks.len(), expected);
		assert_eq!(page.next.is_some(), listed.len() + expected < ids.len());
		listed.extend(page.tasks.into_iter().map(|task| task.id));
		from = page.next;
	}
	assert_eq!(listed, ids, "newest first, each once");
	let page = red
		.task_list(None, None, Some(TaskState::Cancelled))
		.await
		.unwrap();
	assert_eq!(
		page.tasks.iter().map(|task| task.id).collect::<Vec<_>>(),
		vec![ids[2]]
	);
	assert_eq!(page.next, None);
	let page = red.task_list(None, Some(7), None).await.unwrap();
	assert_eq!((page.tasks.len(), page.next), (7, None));
	for (from, limit) in [
		(None, Some(0)),
		(None, Some(101)),
		(Some(1), Some(u32::MAX)),
	] {
		let refused = red.task_list(from, limit, None).await;
		assert_eq!(code(refused), ErrorCode::ParameterInvalid);
	}
	assert_eq!(
		red.task_list(Some(u64::MAX), None, None)
			.await
			.unwrap()
			.tasks
			.len(),
		7
	);
	assert!(red
		.task_list(Some(0), None, None)
		.await
		.unwrap()
		.tasks
		.is_empty());
	server.stop().await;
}

#[tokio::test]
async fn a_batch_is_taken_task_by_task() {
	let directory = tempfile::tempdir().unwrap();
	let server = Server::start(directory.path()).await;
	TestMiner::connect(&server, "alice").await;
	let task = |prompt: &str, steps| BatchTask {
		spec: TaskRequest {
			steps,
			..request(prompt)
		},
		options: None,
	};
	let batch = vec![
		task("one", None),
		task("two", Some(0)),
		task("three", Some(2)),
	];
	let replies = server.client.task_submit_batch(batch).await.unwrap();
	match replies.as_slice() {
		[BatchReply::Task(one), BatchReply::Error(two), BatchReply::Task(three)] => {
			assert_eq!((one.spec.prompt.as_str(), three.spec.steps), ("one", 2));
			assert_eq!(two.code, ErrorCode::StepsInvalid.code());
			assert_eq!(server.state(three.id).await, TaskState::Queued);
		},
		other => panic!("{other:?}"),
	}
	for wrong in [vec![], vec![task("x", None); 33]] {
		let refused = server.client.task_submit_batch(wrong).await;
		assert_eq!(code(refused), ErrorCode::ParameterInvalid);
	}
	let full = server
		.client
		.task_submit_batch(vec![task("x", None); 32])
		.await
		.unwrap();
	assert!(full
		.iter()
		.all(|reply| matches!(reply, BatchReply::Task(_))));
	server.stop().await;
}

#[tokio::test]
async fn submits_are_limited_for_each_app_and_keys_cannot_be_tried_faster() {
	let directory = tempfile::tempdir().unwrap();
	let settings = Settings {
		submits_per_minute: 3,
		..Settings::default()
	};
	let server = Server::start_with(directory.path(), settings, 1_000_000).await;
	TestMiner::connect(&server, "alice").await;
	for _ in 0..3 {
		server.submit("a red apple").await;
	}
	let refused = server
		.client
		.task_submit(request("a red apple"), None)
		.await;
	let error = api_error(refused.unwrap_err());
	assert_eq!(
		(error.code, error.subject.as_deref()),
		(ErrorCode::RateLimited, Some("retry_after_ms=20000"))
	);
	let http = reqwest::Client::new();
	let request_picture = || {
		let request = http.post(server.url("/v1/images/generations"));
		request
			.json(&serde_json::json!({"prompt": "a red apple"}))
			.send()
	};
	let response = request_picture().await.unwrap();
	assert_eq!(
		(
			response.status().as_u16(),
			&response.headers()["retry-after"]
		),
		(429, &"20".parse().unwrap())
	);

	let wrong = client(&server, &bearer(&format!("ck_{}", "00".repeat(32))));
	assert_eq!(
		code(wrong.task_list(None, None, None).await),
		ErrorCode::RateLimited
	);
	let limits = Limits {
		submits_per_minute: Some(5),
		..Limits::default()
	};
	let red = client(
		&server,
		&bearer(&key(directory.path(), "red", limits).await),
	);
	let batch = vec![
		BatchTask {
			spec: request("a red apple"),
			options: None
		};
		7
	];
	let replies = red.task_submit_batch(batch).await.unwrap();
	let taken = replies
		.iter()
		.filter(|reply| matches!(reply, BatchReply::Task(_)));
	assert_eq!(taken.count(), 5, "a batch counts by its tasks");
	server.pass(20_000);
	server.submit("a red apple").await;
	server.stop().await;
}
