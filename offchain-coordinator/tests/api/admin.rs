//! The operator's interface and the metrics.

use crate::harness::*;
use cuckoo_coordinator_api::{error::ErrorCode, rpc::TaskRpcClient, task::TaskState};
use cuckoo_primitives::task::TaskId;
use offchain_coordinator::{
	admin::{client::Client, BanRequest},
	settings::Settings,
};
use reqwest::{header, Method, StatusCode};
use std::{collections::BTreeMap, process::Command};

fn client(server: &Server) -> Client {
	Client::new(&format!("http://{}", server.admin))
}

async fn metrics(server: &Server) -> BTreeMap<String, f64> {
	let url = format!("http://{}/metrics", server.admin);
	let reply = reqwest::get(url).await.unwrap();
	assert!(reply.headers()["content-type"]
		.to_str()
		.unwrap()
		.starts_with("text/plain"));
	let text = reply.text().await.unwrap();
	let lines = text.lines().filter(|line| !line.starts_with('#'));
	lines
		.map(|line| {
			let (name, value) = line.rsplit_once(' ').unwrap();
			let name = name.strip_prefix("cuckoo_coordinator_").unwrap();
			(name.to_owned(), value.parse().unwrap())
		})
		.collect()
}

fn ban(name: &str, seconds: Option<u64>) -> BanRequest {
	BanRequest {
		account: account(name),
		seconds,
		reason: "it sends grey pictures".into(),
	}
}

#[tokio::test]
async fn metrics_follow_what_happens() {
	let directory = tempfile::tempdir().unwrap();
	let server = Server::start(directory.path()).await;
	let before = metrics(&server).await;
	assert_eq!(
		before[r#"tasks_total{event="done"}"#], 0.0,
		"counters begin at zero"
	);
	assert_eq!(before["finalized_block"], 1.0);

	let alice = TestMiner::connect(&server, "alice").await;
	let waiting = server.submit("one").await;
	server.pass(3_000);
	let queued = metrics(&server).await;
	assert_eq!(
		(queued["tasks_queued"], queued["oldest_wait_seconds"]),
		(1.0, 3.0)
	);
	assert_eq!(queued["finalized_block_age_seconds"], 3.0);
	let work = alice.work().await;
	let at_work = metrics(&server).await;
	assert_eq!(
		(at_work["tasks_queued"], at_work["tasks_in_flight"]),
		(0.0, 1.0)
	);
	server.pass(1_500);
	alice.finish(&work).await;
	server.until(waiting.id, TaskState::Done).await;
	let other = server.submit("two").await;
	server.client.task_cancel(other.id).await.unwrap();
	alice.poll(0).await;

	let after = metrics(&server).await;
	for (name, value) in [
		(r#"tasks_total{event="submitted"}"#, 2.0),
		(r#"tasks_total{event="done"}"#, 1.0),
		(r#"tasks_total{event="cancelled"}"#, 1.0),
		(r#"tasks_total{event="failed"}"#, 0.0),
		(r#"attempts_ended_total{ending="done"}"#, 1.0),
		("draws_total", 1.0),
		("tasks_in_flight", 0.0),
		("task_wait_seconds_sum", 3.0),
		("task_wait_seconds_count", 1.0),
		("attempt_seconds_sum", 1.5),
		("task_submit_seconds_count", 2.0),
		("result_submit_seconds_count", 1.0),
		(r#"miners{state="online"}"#, 1.0),
		(r#"miners{state="eligible"}"#, 1.0),
		("eligible_weight_cuc", 30_000.0),
		("ready", 1.0),
		("draining", 0.0),
	] {
		assert_eq!(after[name], value, "{name}");
	}
	assert!(after["polls_total"] >= 2.0);
	assert!(after["store_commit_writes_sum"] >= after["store_commit_seconds_count"]);
	server.stop().await;
}

/// What the labels hold is fixed in the program: neither tasks nor accounts nor models.
#[tokio::test]
async fn the_number_of_series_does_not_grow() {
	let directory = tempfile::tempdir().unwrap();
	let server = Server::start(directory.path()).await;
	let before: Vec<String> = metrics(&server).await.into_keys().collect();
	server.submit_and_fail().await;
	let after: Vec<String> = metrics(&server).await.into_keys().collect();
	assert_eq!(before, after);
	server.stop().await;
}

impl Server {
	/// One attempt at a task fails and one task expires.
	async fn submit_and_fail(&self) {
		let alice = TestMiner::connect(self, "alice").await;
		let task = self.submit("one").await;
		let work = alice.work().await;
		self.pass(work.assignment.deadline_ms - self.now_ms());
		self.until(task.id, TaskState::Queued).await;
		self.pass(Settings::default().queue_timeout_ms);
		self.until(task.id, TaskState::Expired).await;
	}
}

#[tokio::test]
async fn a_ban_leaves_a_miner_out_and_tells_it_why() {
	let directory = tempfile::tempdir().unwrap();
	let server = Server::start(directory.path()).await;
	let admin = client(&server);
	let alice = TestMiner::connect(&server, "alice").await;
	let first = server.submit("one").await;
	let work = alice.work().await;
	admin.ban(&ban("alice", None)).await.unwrap();
	let reply = alice.poll_holding(0, vec![held(&work)]).await;
	assert_eq!(reply.abandon, vec![], "what it has may finish");
	let lacks = reply.standing.lacks.unwrap();
	assert!(
		lacks.contains("banned") && lacks.contains("grey pictures"),
		"{lacks}"
	);
	alice.finish(&work).await;
	assert_eq!(server.state(first.id).await, TaskState::Done);

	let waiting = server.submit("two").await;
	assert_eq!(alice.poll(100).await.work, None);
	assert_eq!(server.state(waiting.id).await, TaskState::Queued);
	assert_eq!(metrics(&server).await[r#"miners{state="banned"}"#], 1.0);

	// It is kept.
	let now_ms = server.now_ms();
	server.kill();
	let server = Server::start_with(directory.path(), Settings::default(), now_ms).await;
	let admin = client(&server);
	let alice = TestMiner::connect(&server, "alice").await;
	assert!(alice
		.poll(0)
		.await
		.standing
		.lacks
		.unwrap()
		.contains("banned"));
	let listed = admin.miners().await.unwrap();
	assert_eq!(listed.bans.len(), 1);
	assert!(listed.miners[0]
		.lacks
		.as_deref()
		.unwrap()
		.contains("grey pictures"));

	admin.unban(account("alice")).await.unwrap();
	assert_eq!(alice.work().await.assignment.task, waiting.id);
	let again = admin.unban(account("alice")).await.unwrap_err().to_string();
	assert!(again.contains("is not banned"), "{again}");
	server.stop().await;
}

#[tokio::test]
async fn a_ban_for_a_time_ends_by_itself() {
	let directory = tempfile::tempdir().unwrap();
	let server = Server::start(directory.path()).await;
	let alice = TestMiner::connect(&server, "alice").await;
	client(&server).ban(&ban("alice", Some(60))).await.unwrap();
	let lacks = alice.poll(0).await.standing.lacks.unwrap();
	assert!(lacks.contains("for 60 s more"), "{lacks}");
	server.pass(60_000);
	assert_eq!(alice.poll(0).await.standing.lacks, None);
	assert_eq!(client(&server).miners().await.unwrap().bans, vec![]);
	server.stop().await;
}

#[tokio::test]
async fn the_operator_sees_tasks_and_can_drain() {
	let directory = tempfile::tempdir().unwrap();
	let server = Server::start(directory.path()).await;
	let admin = client(&server);
	let alice = TestMiner::connect(&server, "alice").await;
	let done = server.submit("one").await;
	alice.finish(&alice.work().await).await;
	let waiting = server.submit("two").await;

	let all = admin.tasks(None, 10).await.unwrap();
	let ids: Vec<TaskId> = all.iter().map(|task| task.id).collect();
	assert_eq!(ids, vec![waiting.id, done.id], "the youngest first");
	for (state, expected) in [
		(TaskState::Done, vec![done.id]),
		(TaskState::Queued, vec![waiting.id]),
		(TaskState::Failed, vec![]),
	] {
		let tasks = admin.tasks(Some(state), 10).await.unwrap();
		assert_eq!(
			tasks.iter().map(|task| task.id).collect::<Vec<_>>(),
			expected
		);
	}
	assert_eq!(admin.tasks(None, 1).await.unwrap().len(), 1);
	let details = admin.task(&done.id.to_string()).await.unwrap();
	assert_eq!(details.attempts.len(), 1);
	assert_eq!(details.attempts[0].ending.as_deref(), Some("done"));
	let unknown = admin
		.task(&TaskId([0; 16]).to_string())
		.await
		.unwrap_err()
		.to_string();
	assert!(unknown.contains("no such task"), "{unknown}");
	let bad = admin.task("../ban").await.unwrap_err().to_string();
	assert!(bad.contains("32 hex digits"), "{bad}");

	let status = admin.drain().await.unwrap();
	assert!(status.draining && status.not_ready.is_some());
	let refused = server.client.task_submit(request("three"), None).await;
	assert_eq!(code(refused), ErrorCode::Draining);
	let status = admin.undrain().await.unwrap();
	assert_eq!((status.draining, status.not_ready), (false, None));
	assert_eq!((status.queued, status.tasks.done), (1, 1));
	assert_eq!(alice.work().await.assignment.task, waiting.id);
	server.stop().await;
}

/// A page in the operator's browser can reach loopback: by a name of its own that points there, or by
/// a form, which a browser sends without asking first.
#[tokio::test]
async fn what_a_web_page_could_send_is_refused() {
	let directory = tempfile::tempdir().unwrap();
	let server = Server::start(directory.path()).await;
	let send = |method: Method, path: &str, host: Option<&str>, kind: Option<&str>, body: &str| {
		let mut request = reqwest::Client::new()
			.request(method, format!("http://{}{path}", server.admin))
			.body(body.to_owned());
		if let Some(host) = host {
			request = request.header(header::HOST, host);
		}
		if let Some(kind) = kind {
			request = request.header(header::CONTENT_TYPE, kind);
		}
		async move { request.send().await.unwrap().status() }
	};
	let json = Some("application/json");
	for path in ["/status", "/metrics", "/nothing"] {
		let status = send(Method::GET, path, Some("evil.example"), None, "").await;
		assert_eq!(status, StatusCode::FORBIDDEN, "{path}");
	}
	let rebound = send(Method::POST, "/drain", Some("evil.example:8646"), json, "").await;
	assert_eq!(rebound, StatusCode::FORBIDDEN);
	for kind in [
		None,
		Some("text/plain"),
		Some("application/x-www-form-urlencoded"),
	] {
		let status = send(Method::POST, "/drain", None, kind, "").await;
		assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{kind:?}");
	}
	assert!(!server.coordinator.is_draining());
	assert_eq!(
		send(Method::GET, "/status", Some("localhost"), None, "").await,
		StatusCode::OK
	);
	let get = send(Method::GET, "/drain", None, None, "").await;
	assert_eq!(get, StatusCode::METHOD_NOT_ALLOWED, "no change by a link");
	for body in [
		"",
		"{",
		"[]",
		r#"{"account": 1}"#,
		r#"{"account": "x", "more": 1}"#,
	] {
		let status = send(Method::POST, "/ban", None, json, body).await;
		assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
	}
	let long = format!(
		r#"{{"account": "{}", "reason": "{}"}}"#,
		account("bob"),
		"x".repeat(1_025)
	);
	assert_eq!(
		send(Method::POST, "/ban", None, json, &long).await,
		StatusCode::BAD_REQUEST
	);
	for query in [
		"?limit=0",
		"?limit=1001",
		"?state=lost",
		"?limit=x",
		"?other=1",
	] {
		let status = send(Method::GET, &format!("/tasks{query}"), None, None, "").await;
		assert_eq!(status, StatusCode::BAD_REQUEST, "{query}");
	}
	assert_eq!(
		send(Method::PUT, "/status", None, json, "").await,
		StatusCode::METHOD_NOT_ALLOWED
	);
	// And the public port has none of it.
	for path in ["/metrics", "/status", "/drain"] {
		assert_eq!(
			reqwest::get(server.url(path)).await.unwrap().status(),
			404,
			"{path}"
		);
	}
	server.stop().await;
}

fn admin_command(url: &str, arguments: &[&str]) -> (bool, String, String) {
	let output = Command::new(env!("CARGO_BIN_EXE_offchain-coordinator"))
		.args(["admin", "--url", url])
		.args(arguments)
		.output()
		.unwrap();
	let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
	(
		output.status.success(),
		text(output.stdout),
		text(output.stderr),
	)
}

#[tokio::test]
async fn the_commands_print_tables_and_json() {
	let directory = tempfile::tempdir().unwrap();
	let server = Server::start(directory.path()).await;
	let url = format!("http://{}", server.admin);
	let alice = TestMiner::connect(&server, "alice").await;
	alice.poll(0).await;
	let bob = account("bob").to_string();

	let (good, table, _) = admin_command(&url, &["miners"]);
	assert!(
		good && table.starts_with("ACCOUNT") && table.contains("eligible"),
		"{table}"
	);
	let banned = [
		"ban",
		&bob,
		"--for",
		"2h",
		"--reason",
		"it sends grey pictures",
	];
	let (good, table, _) = admin_command(&url, &banned);
	assert!(
		good && table.contains("for 2 h 0 min") && table.contains("grey"),
		"{table}"
	);
	let (good, json, _) = admin_command(&url, &["miners", "--json"]);
	let json: serde_json::Value = serde_json::from_str(&json).unwrap();
	assert!(good);
	assert_eq!(json["bans"][0]["account"], bob);
	let (good, text, _) = admin_command(&url, &["status"]);
	assert!(
		good && text.contains("ready") && text.contains("1 eligible"),
		"{text}"
	);

	for (arguments, expected) in [
		(
			vec!["unban", &account("alice").to_string()[..]],
			"is not banned",
		),
		(vec!["task", "0x12"], "32 hex digits"),
		(vec!["tasks", "--state", "lost"], "must be queued, assigned"),
		(vec!["ban", &bob, "--for", "soon"], "90s, 15m, 2h or 7d"),
	] {
		let (good, _, error) = admin_command(&url, &arguments);
		assert!(!good && error.contains(expected), "{arguments:?}: {error}");
	}
	let (good, _, error) = admin_command("http://127.0.0.1:1", &["status"]);
	assert!(!good && error.contains("is it running"), "{error}");
	let (good, _, error) = admin_command(&server.url(""), &["status"]);
	assert!(!good && error.contains("admin_listen"), "{error}");
	server.stop().await;
}
