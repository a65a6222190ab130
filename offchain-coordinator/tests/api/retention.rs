//! What was kept for long enough goes, in small steps, and says so.

use crate::harness::*;
use cuckoo_coordinator_api::{
	error::ErrorCode,
	rpc::TaskRpcClient,
	task::{SubmitOptions, TaskResult, TaskState},
};
use cuckoo_primitives::{task::TaskId, H256};
use offchain_coordinator::{
	retention::{pass, sweep},
	settings::{Settings, DAY_MS},
	store::{Place, Store, FILE_NAME, RETENTION_BATCH},
};
use std::path::{Path, PathBuf};

fn settings(days: u64, artifact_days: u64) -> Settings {
	Settings {
		retention_ms: days * DAY_MS,
		artifact_retention_ms: artifact_days * DAY_MS,
		..Settings::default()
	}
}

/// A task that a new session of alice does, with this picture.
async fn done(server: &Server, prompt: &str, shade: u8) -> TaskId {
	let alice = TestMiner::connect(server, "alice").await;
	let task = server.submit(prompt).await;
	let work = alice.work().await;
	let picture = png(16, 16, shade);
	alice.upload(&hash(&picture), picture.clone()).await;
	let commitment = alice.commitment(&work, hash(&picture));
	assert!(alice.submit(&work, commitment).await.unwrap().accepted);
	task.id
}

fn file(directory: &Path, artifact: &H256) -> PathBuf {
	let digits = hex::encode(artifact);
	directory.join("artifacts").join(&digits[..2]).join(digits)
}

async fn picture(server: &Server, result: &TaskResult) -> (u16, String) {
	let reply = reqwest::get(server.url(&result.path)).await.unwrap();
	let status = reply.status().as_u16();
	let text = String::from_utf8_lossy(&reply.bytes().await.unwrap()).into_owned();
	(status, text)
}

/// How many rows the tables have.
fn rows(directory: &Path) -> [i64; 4] {
	let count = |table| format!("SELECT COUNT(*) FROM {table}");
	let tables = ["tasks", "attempts", "results", "eligible_lists"];
	match place(directory) {
		Place::Directory(_) | Place::Memory(_) => {
			let connection = rusqlite::Connection::open(directory.join(FILE_NAME)).unwrap();
			tables.map(|table| {
				let count = connection.query_row(&count(table), [], |row| row.get(0));
				count.unwrap()
			})
		},
		// The client blocks, which a test's own thread may not do within a runtime.
		Place::Postgres(config) => std::thread::spawn(move || {
			let mut client = config.connect(postgres::NoTls).unwrap();
			tables.map(|table| client.query_one(&count(table), &[]).unwrap().get(0))
		})
		.join()
		.unwrap(),
	}
}

#[tokio::test]
async fn a_task_that_was_kept_for_long_enough_is_gone_with_all_that_belongs_to_it() {
	let directory = tempfile::tempdir().unwrap();
	let server = Server::start_with(directory.path(), settings(30, 0), 1_000_000).await;
	let alice = TestMiner::connect(&server, "alice").await;
	let options = Some(SubmitOptions {
		idempotency_key: Some("key".into()),
		..SubmitOptions::default()
	});
	let old = server
		.client
		.task_submit(request("old"), options.clone())
		.await
		.unwrap();
	alice.finish(&alice.work().await).await;
	let result = server.client.task_result(old.id).await.unwrap();
	let cancelled = server.submit("cancelled").await;
	server.client.task_cancel(cancelled.id).await.unwrap();
	server.pass(30 * DAY_MS);
	assert_eq!(pass(&server.coordinator).await.unwrap(), 0, "not yet");
	assert_eq!(rows(directory.path()), [2, 1, 1, 1]);

	server.pass(1);
	let young = done(&server, "young", 7).await;
	let waiting = server.submit("waiting").await;
	assert_eq!(pass(&server.coordinator).await.unwrap(), 2);
	for id in [old.id, cancelled.id] {
		assert_eq!(
			code(server.client.task_status(id).await),
			ErrorCode::TaskNotFound
		);
		assert_eq!(
			code(server.client.task_result(id).await),
			ErrorCode::TaskNotFound
		);
		assert_eq!(
			code(server.client.coordinator_draw(id, None).await),
			ErrorCode::TaskNotFound
		);
	}
	let (status, text) = picture(&server, &result).await;
	assert_eq!(
		(status, text.contains("ArtifactNotFound")),
		(404, true),
		"{text}"
	);
	assert!(!file(directory.path(), &result.artifact).exists());

	// The others are whole: also the list that both draws were from.
	assert_eq!(server.state(waiting.id).await, TaskState::Queued);
	let kept = server.client.task_result(young).await.unwrap();
	assert_eq!(picture(&server, &kept).await.0, 200);
	assert_eq!(
		server
			.client
			.coordinator_draw(young, None)
			.await
			.unwrap()
			.eligible
			.len(),
		1
	);
	assert_eq!(rows(directory.path()), [2, 1, 1, 1]);
	// The key is free again, as for an app that never was here.
	let again = server
		.client
		.task_submit(request("old"), options)
		.await
		.unwrap();
	assert_eq!(again.state, TaskState::Queued);

	server.client.task_cancel(again.id).await.unwrap();
	server.client.task_cancel(waiting.id).await.unwrap();
	server.pass(31 * DAY_MS);
	assert_eq!(pass(&server.coordinator).await.unwrap(), 3);
	assert_eq!(rows(directory.path()), [0; 4], "no list without a draw");
	// The next draw needs nothing that went.
	let next = done(&server, "next", 8).await;
	assert_eq!(rows(directory.path()), [1; 4]);
	let proof = server.client.coordinator_draw(next, None).await.unwrap();
	assert_eq!((proof.assignment.attempt, proof.eligible.len()), (0, 1));
	server.stop().await;
}

#[tokio::test]
async fn a_picture_can_go_before_its_task_and_come_back() {
	let directory = tempfile::tempdir().unwrap();
	let server = Server::start_with(directory.path(), settings(0, 2), 1_000_000).await;
	let first = done(&server, "one", 1).await;
	let other = done(&server, "two", 2).await;
	server.pass(DAY_MS);
	let same = done(&server, "three", 2).await;
	server.pass(DAY_MS + 1);
	assert_eq!(pass(&server.coordinator).await.unwrap(), 2);
	assert_eq!(
		pass(&server.coordinator).await.unwrap(),
		0,
		"once is enough"
	);

	let gone = server.client.task_result(first).await.unwrap();
	let (status, text) = picture(&server, &gone).await;
	assert_eq!(status, 404);
	let told = "The artifact was removed on Sat, 03 Jan 1970 00:16:40 GMT";
	assert!(
		text.contains("ArtifactNotFound") && text.contains(told),
		"{text}"
	);
	assert!(!file(directory.path(), &gone.artifact).exists());
	// A younger task has the same picture: it stays.
	for id in [other, same] {
		let result = server.client.task_result(id).await.unwrap();
		assert_eq!(picture(&server, &result).await.0, 200);
	}
	let anew = done(&server, "four", 1).await;
	let result = server.client.task_result(anew).await.unwrap();
	assert_eq!(
		(result.artifact, picture(&server, &result).await.0),
		(gone.artifact, 200)
	);
	server.pass(1_000 * DAY_MS);
	pass(&server.coordinator).await.unwrap();
	assert_eq!(
		server.state(first).await,
		TaskState::Done,
		"tasks are kept for ever"
	);
	server.stop().await;
}

#[tokio::test]
async fn a_transaction_removes_a_bounded_number_and_a_crash_leaves_no_file_behind() {
	let directory = tempfile::tempdir().unwrap();
	let server = Server::start(directory.path()).await;
	let id = done(&server, "one", 1).await;
	let artifact = server.client.task_result(id).await.unwrap().artifact;
	let more = i64::from(RETENTION_BATCH) + 5;
	for number in 0..more {
		let task = server.submit(&format!("apple {number}")).await;
		server.client.task_cancel(task.id).await.unwrap();
	}
	let now_ms = server.now_ms();
	server.stop().await;

	let store = Store::open_at(&place(directory.path())).await.unwrap();
	assert_eq!(
		store.remove_tasks(now_ms).await.unwrap().rows,
		0,
		"they ended now, not before"
	);
	let mut steps = Vec::new();
	while steps.last() != Some(&0) {
		steps.push(store.remove_tasks(now_ms + 1).await.unwrap().rows);
	}
	assert_eq!(steps, [u64::from(RETENTION_BATCH), 6, 0]);
	store.close().await;
	assert!(file(directory.path(), &artifact).exists(), "rows first");

	let server = Server::start(directory.path()).await;
	let now = std::time::SystemTime::now();
	assert_eq!(sweep(&server.coordinator, now).await.unwrap(), 1);
	assert!(!file(directory.path(), &artifact).exists());
	server.stop().await;
}

#[tokio::test]
async fn what_nobody_asked_for_goes_after_a_start_unless_it_is_uploaded_again() {
	let directory = tempfile::tempdir().unwrap();
	let server = Server::start(directory.path()).await;
	let kept = done(&server, "one", 1).await;
	let kept = server.client.task_result(kept).await.unwrap();
	let alice = TestMiner::connect(&server, "alice").await;
	server.submit("two").await;
	let work = alice.work().await;
	let (dropped, again) = (png(16, 16, 77), png(16, 16, 78));
	for picture in [&dropped, &again] {
		let uploaded = alice.upload(&hash(picture), picture.clone()).await;
		assert_eq!(uploaded.status().as_u16(), 201);
	}
	let restart = std::time::SystemTime::now();
	let uploaded = alice.upload(&hash(&again), again.clone()).await;
	assert_eq!(uploaded.status().as_u16(), 200);
	assert_eq!(sweep(&server.coordinator, restart).await.unwrap(), 1);
	assert!(!file(directory.path(), &hash(&dropped)).exists());
	assert!(file(directory.path(), &kept.artifact).exists());
	let reply = alice
		.submit(&work, alice.commitment(&work, hash(&again)))
		.await;
	assert!(reply.unwrap().accepted, "it was there to be named");
	server.stop().await;
}
