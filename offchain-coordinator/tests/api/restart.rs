//! The coordinator dies without warning and comes back.

use crate::harness::*;
use cuckoo_coordinator_api::{
	error::ErrorCode,
	miner::Poll,
	rpc::{MinerRpcClient, TaskRpcClient},
	task::{SubmitOptions, TaskState},
};
use cuckoo_primitives::H256;
use offchain_coordinator::{clock::Clock, coordinator::Coordinator, settings::Settings};

#[tokio::test]
async fn a_restart_loses_no_task_and_keeps_leases() {
	let directory = tempfile::tempdir().unwrap();
	let server = Server::start(directory.path()).await;
	let alice = TestMiner::connect(&server, "alice").await;
	let done = server.submit("done").await;
	alice.finish(&alice.work().await).await;
	let leased = server.submit("leased").await;
	let work = alice.work().await;
	let mut waiting = Vec::new();
	for number in 0..20 {
		let options = SubmitOptions {
			idempotency_key: Some(format!("key {number}")),
			..SubmitOptions::default()
		};
		let prompt = request(&format!("waiting {number}"));
		waiting.push(
			server
				.client
				.task_submit(prompt, Some(options))
				.await
				.unwrap(),
		);
	}
	let now_ms = server.now_ms();
	server.kill();

	let server = Server::start_with(directory.path(), Settings::default(), now_ms + 1_000).await;
	assert_eq!(server.state(done.id).await, TaskState::Done);
	let result = server.client.task_result(done.id).await.unwrap();
	assert_eq!(
		reqwest::get(server.url(&result.path))
			.await
			.unwrap()
			.status(),
		200
	);
	assert_eq!(server.state(leased.id).await, TaskState::Assigned);
	assert_eq!(server.client.coordinator_info().await.unwrap().queued, 20);
	let options = SubmitOptions {
		idempotency_key: Some("key 3".into()),
		..SubmitOptions::default()
	};
	let again = server
		.client
		.task_submit(request("waiting 3"), Some(options))
		.await
		.unwrap();
	assert_eq!(again.id, waiting[3].id);
	assert_eq!(again.position, Some(3), "the order is kept");

	// The old session is gone, the lease is not: a new session of the same miner hands in.
	let old = Poll {
		token: alice.session.token,
		free_slots: 1,
		wait_ms: 0,
		holding: vec![],
	};
	assert_eq!(
		code(server.client.miner_poll(old).await),
		ErrorCode::SessionInvalid
	);
	let alice = TestMiner::connect(&server, "alice").await;
	let reply = alice.poll_holding(0, vec![held(&work)]).await;
	assert_eq!(reply.abandon, vec![]);
	alice.finish(&work).await;
	assert_eq!(server.state(leased.id).await, TaskState::Done);
	for task in &waiting {
		let work = alice.work().await;
		assert_eq!(work.assignment.task, task.id, "first in, first out");
		alice.finish(&work).await;
	}
	let miners = server.client.coordinator_miners(None, None).await.unwrap();
	assert_eq!((miners[0].done, miners[0].failed), (22, 0));
	server.stop().await;
}

/// What ran out while the coordinator was away is its own fault: there is time to come back.
#[tokio::test]
async fn leases_and_waits_that_ran_out_meanwhile_have_a_grace() {
	let directory = tempfile::tempdir().unwrap();
	let server = Server::start(directory.path()).await;
	let alice = TestMiner::connect(&server, "alice").await;
	let leased = server.submit("leased").await;
	let work = alice.work().await;
	let waiting = server.submit("waiting").await;
	let later = server.now_ms() + 10_000_000;
	server.kill();

	let server = Server::start_with(directory.path(), Settings::default(), later).await;
	tokio::time::sleep(std::time::Duration::from_millis(100)).await;
	assert_eq!(server.state(waiting.id).await, TaskState::Queued);
	let alice = TestMiner::connect(&server, "alice").await;
	alice.finish(&work).await;
	assert_eq!(server.state(leased.id).await, TaskState::Done);
	server.pass(Settings::default().grace_ms);
	server.until(waiting.id, TaskState::Expired).await;
	server.stop().await;
}

/// A result that was taken and not checked is checked at start, and wrong ones are drawn anew.
#[tokio::test]
async fn submitted_results_are_checked_after_a_restart() {
	use cuckoo_primitives::signing;
	use offchain_coordinator::{
		state::Event,
		store::{Extra, Store},
	};
	let directory = tempfile::tempdir().unwrap();
	let server = Server::start(directory.path()).await;
	let mut submitted = Vec::new();
	for (name, prompt, width) in [("bob", "good", 16), ("alice", "bad", 24)] {
		let miner = TestMiner::connect(&server, name).await;
		let task = server.submit(prompt).await;
		let work = miner.work().await;
		miner.poll_holding(0, vec![held(&work)]).await;
		let picture = png(width, 16, 9);
		let uploaded = miner.upload(&hash(&picture), picture.clone()).await;
		assert_eq!(uploaded.status(), 201);
		submitted.push((miner, task, work, picture));
	}
	let now_ms = server.now_ms();
	server.kill();

	// As if it had died between the commit of the submit and the check.
	let store = Store::open_at(&place(directory.path())).await.unwrap();
	for (miner, task, work, picture) in &submitted {
		let commitment = miner.commitment(work, hash(picture));
		let signature = signing::sign(&GENESIS, &commitment, &miner.key);
		let bytes = picture.len() as u64;
		let extra = Extra::Result {
			commitment: Box::new(commitment),
			signature,
			bytes,
		};
		let event = Event::Submit(work.assignment.attempt);
		let outcome = store
			.transition(task.id, event, extra, now_ms, |_| {})
			.await
			.unwrap();
		assert!(outcome.is_ok());
	}
	store.close().await;

	let server = Server::start_with(directory.path(), Settings::default(), now_ms).await;
	server.until(submitted[0].1.id, TaskState::Done).await;
	let bad = submitted[1].1.id;
	server.until(bad, TaskState::Queued).await;
	server.completes_with("bob", bad).await;
	server.stop().await;
}

/// Many submits at once while the coordinator is killed: each that was answered is there.
#[tokio::test]
async fn no_answered_submit_is_lost_when_killed_under_load() {
	let directory = tempfile::tempdir().unwrap();
	let server = Server::start(directory.path()).await;
	TestMiner::connect(&server, "alice").await;
	let submits: Vec<_> = (0..200)
		.map(|number| {
			let client = server.client.clone();
			tokio::spawn(async move {
				client
					.task_submit(request(&format!("apple {number}")), None)
					.await
					.ok()
			})
		})
		.collect();
	tokio::time::sleep(std::time::Duration::from_millis(30)).await;
	let now_ms = server.now_ms();
	server.kill();
	let mut answered = Vec::new();
	for submit in submits {
		answered.extend(submit.await.unwrap());
	}
	let server = Server::start_with(directory.path(), Settings::default(), now_ms).await;
	for task in &answered {
		assert_eq!(
			server.client.task_status(task.id).await.unwrap().spec,
			task.spec
		);
	}
	server.stop().await;
}

#[tokio::test]
async fn a_store_is_not_used_for_another_chain() {
	let directory = tempfile::tempdir().unwrap();
	let first = Server::start(directory.path()).await;
	let place = place(directory.path());
	let open = || {
		let key = pair("coordinator");
		Coordinator::open_at(
			&place,
			directory.path(),
			key,
			Settings::default(),
			Clock::System,
		)
	};
	let second = open().await;
	assert!(second
		.unwrap_err()
		.to_string()
		.contains("another coordinator is running"));
	first.stop().await;
	assert!(
		!directory.path().join("coordinator.sqlite-wal").exists(),
		"folded into the file"
	);
	let coordinator = loop {
		match open().await {
			Err(offchain_coordinator::coordinator::Error::InUse) => {
				tokio::time::sleep(std::time::Duration::from_millis(10)).await;
			},
			opened => break opened.unwrap(),
		}
	};
	let refused = coordinator
		.set_registry(registry(1, operators()), H256::repeat_byte(9))
		.await
		.unwrap_err();
	assert!(
		refused.to_string().contains("use another data directory"),
		"{refused}"
	);
}
