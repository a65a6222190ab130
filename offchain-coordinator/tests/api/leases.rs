//! Leases that run out, miners that lose or fail tasks, and tasks that nobody can do.

use crate::harness::*;
use cuckoo_coordinator_api::{
	error::ErrorCode,
	miner::{Outcome, Progress},
	rpc::{MinerRpcClient, TaskRpcClient},
	task::TaskState,
};
use offchain_coordinator::settings::Settings;

fn failure(reason: &str) -> Outcome {
	Outcome::Failure {
		reason: reason.into(),
	}
}

#[tokio::test]
async fn a_lease_that_runs_out_goes_to_another_miner() {
	let directory = tempfile::tempdir().unwrap();
	let server = Server::start(directory.path()).await;
	let alice = TestMiner::connect(&server, "alice").await;
	let task = server.submit("a red apple").await;
	let work = alice.work().await;
	let progress = Progress {
		token: alice.session.token,
		task: task.id,
		attempt: 0,
		steps_done: 1,
	};
	server.client.miner_progress(progress).await.unwrap();

	let bob = TestMiner::connect(&server, "bob").await;
	server.pass(work.assignment.deadline_ms - server.now_ms());
	let second = bob.work().await;
	assert_eq!(
		(second.assignment.task, second.assignment.attempt),
		(task.id, 1)
	);
	let status = server.client.task_status(task.id).await.unwrap();
	assert!(status.reason.unwrap().contains("did not finish in time"));

	let picture = png(16, 16, 1);
	let late = alice
		.submit(&work, alice.commitment(&work, hash(&picture)))
		.await;
	assert_eq!(code(late), ErrorCode::LeaseExpired);
	let reply = alice.poll_holding(0, vec![held(&work)]).await;
	assert_eq!(reply.abandon, vec![held(&work)]);
	let lacks = reply.standing.lacks.expect("a suspension");
	assert!(
		lacks.contains("suspended") && lacks.contains("lease ran out"),
		"{lacks}"
	);

	bob.finish(&second).await;
	assert_eq!(server.state(task.id).await, TaskState::Done);
	server.pass(Settings::default().suspension_ms);
	assert_eq!(alice.poll(0).await.standing.lacks, None, "suspensions end");
	server.stop().await;
}

#[tokio::test]
async fn work_that_is_not_fetched_is_drawn_anew() {
	let directory = tempfile::tempdir().unwrap();
	let server = Server::start(directory.path()).await;
	let alice = TestMiner::connect(&server, "alice").await;
	alice.poll(0).await;
	let task = server.submit("a red apple").await;
	server.until(task.id, TaskState::Assigned).await;
	let bob = TestMiner::connect(&server, "bob").await;
	server.pass(Settings::default().pick_up_ms);
	let work = bob.work().await;
	assert_eq!(
		(work.assignment.task, work.assignment.attempt),
		(task.id, 1)
	);
	bob.finish(&work).await;
	server.stop().await;
}

#[tokio::test]
async fn a_miner_that_confirmed_a_task_and_lost_it_hands_it_on_at_once() {
	let directory = tempfile::tempdir().unwrap();
	let server = Server::start(directory.path()).await;
	let alice = TestMiner::connect(&server, "alice").await;
	let task = server.submit("a red apple").await;
	let work = alice.work().await;
	alice.poll_holding(0, vec![held(&work)]).await;
	assert_eq!(server.state(task.id).await, TaskState::Assigned);
	let bob = TestMiner::connect(&server, "bob").await;
	bob.poll(0).await;
	alice.poll_holding(0, vec![]).await;
	let second = bob.work().await;
	assert_eq!(
		(second.assignment.task, second.assignment.attempt),
		(task.id, 1)
	);
	server.stop().await;
}

/// A reply can get lost, and a miner can be restarted: it is told of its attempt again.
#[tokio::test]
async fn an_assignment_is_told_again_to_a_miner_that_never_confirmed_it() {
	let directory = tempfile::tempdir().unwrap();
	let server = Server::start(directory.path()).await;
	let alice = TestMiner::connect(&server, "alice").await;
	let task = server.submit("a red apple").await;
	let first = alice.work().await;
	let again = alice
		.poll(0)
		.await
		.work
		.expect("the first reply may have been lost");
	assert_eq!(first, again);
	let restarted = TestMiner::connect(&server, "alice").await;
	let third = restarted
		.poll(0)
		.await
		.work
		.expect("a new session is told too");
	assert_eq!(first, third);
	// Not for ever: three times.
	let bob = TestMiner::connect(&server, "bob").await;
	bob.poll(0).await;
	restarted.poll(0).await;
	let status = server.client.task_status(task.id).await.unwrap();
	assert!(status.reason.unwrap().contains("no longer has it"));
	bob.finish(&bob.work().await).await;
	assert_eq!(server.state(task.id).await, TaskState::Done);
	server.stop().await;
}

#[tokio::test]
async fn a_task_that_one_miner_fails_is_done_by_the_other() {
	let directory = tempfile::tempdir().unwrap();
	let server = Server::start(directory.path()).await;
	let alice = TestMiner::connect(&server, "alice").await;
	let task = server.submit("a red apple").await;
	let work = alice.work().await;
	let bob = TestMiner::connect(&server, "bob").await;
	bob.poll(0).await;
	let reply = alice
		.submit_outcome(&work, failure("out of memory"))
		.await
		.unwrap();
	assert!(!reply.accepted);
	let status = server.client.task_status(task.id).await.unwrap();
	assert!(status.reason.unwrap().contains("out of memory"));
	let again = alice.submit_outcome(&work, failure("out of memory")).await;
	assert_eq!(code(again), ErrorCode::LeaseNotHeld);
	let standing = alice.poll(0).await;
	assert_eq!(
		(standing.work, standing.standing.lacks),
		(None, None),
		"left out, not suspended"
	);
	let second = bob.work().await;
	assert_eq!(second.assignment.attempt, 1);
	bob.finish(&second).await;
	server.stop().await;
}

#[tokio::test]
async fn a_task_that_three_miners_fail_is_given_up_and_they_are_not_blamed() {
	let directory = tempfile::tempdir().unwrap();
	let server = Server::start(directory.path()).await;
	let mut more = operators();
	more.push(miner("carol", 30_000));
	server
		.coordinator
		.set_registry(registry(2, more), GENESIS)
		.await
		.unwrap();
	let task = server.submit_after_first_miner("a poisoned apple").await;
	for name in ["alice", "bob", "carol"] {
		let miner = TestMiner::connect(&server, name).await;
		let work = miner.work().await;
		assert_eq!(work.assignment.task, task.id);
		server.pass(work.assignment.deadline_ms - server.now_ms());
		for _ in 0..200 {
			if !matches!(
				server.state(task.id).await,
				TaskState::Assigned | TaskState::Running
			) {
				break;
			}
			tokio::time::sleep(std::time::Duration::from_millis(10)).await;
		}
	}
	let failed = server.until(task.id, TaskState::Failed).await;
	let reason = failed.reason.unwrap();
	assert!(
		reason.contains("3 different miners") && reason.contains("in time"),
		"{reason}"
	);
	assert_eq!(
		code(server.client.task_result(task.id).await),
		ErrorCode::TaskNotDone
	);
	for name in ["alice", "bob", "carol"] {
		let miner = TestMiner::connect(&server, name).await;
		assert_eq!(miner.poll(0).await.standing.lacks, None, "{name}");
	}
	server.stop().await;
}

#[tokio::test]
async fn a_task_that_nobody_takes_expires() {
	let directory = tempfile::tempdir().unwrap();
	let settings = Settings {
		queue_timeout_ms: 5_000,
		max_queued: 2,
		..Settings::default()
	};
	let server = Server::start_with(directory.path(), settings, 1_000_000).await;
	let first = server.submit_after_first_miner("one").await;
	let second = server.submit("two").await;
	assert_eq!((first.position, second.position), (Some(0), Some(1)));
	let full = server.client.task_submit(request("three"), None).await;
	assert_eq!(code(full), ErrorCode::QueueFull);
	server.pass(5_000);
	for task in [first, second] {
		let expired = server.until(task.id, TaskState::Expired).await;
		assert_eq!(expired.reason.as_deref(), Some("no miner took it in time"));
	}
	assert_eq!(server.client.coordinator_info().await.unwrap().queued, 0);
	server.stop().await;
}

impl Server {
	/// Submits a task while nobody is eligible, though the model is known.
	async fn submit_after_first_miner(
		&self,
		prompt: &str,
	) -> cuckoo_coordinator_api::task::TaskStatus {
		TestMiner::connect(self, "alice").await;
		self.submit(prompt).await
	}
}
