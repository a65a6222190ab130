//! A task's way when all goes well.

use crate::harness::*;
use cuckoo_coordinator_api::{
	error::ErrorCode,
	miner::Progress,
	rpc::{MinerRpcClient, TaskRpcClient},
	task::{SubmitOptions, TaskRequest, TaskState},
};
use cuckoo_primitives::{draw, signing, task::TaskId, Role, CUC, H256};
use jsonrpsee::{core::client::ClientT, rpc_params, ws_client::WsClientBuilder};
use offchain_coordinator::settings::Settings;
use std::{collections::HashMap, time::Duration};

/// Submit, draw, progress, upload, signed submit, result; and the draw recomputed from what the
/// coordinator serves.
#[tokio::test]
async fn a_task_becomes_a_picture_that_can_be_verified() {
	let directory = tempfile::tempdir().unwrap();
	let server = Server::start(directory.path()).await;
	let alice = TestMiner::connect(&server, "alice").await;
	let bob = TestMiner::connect(&server, "bob").await;
	assert!(alice.poll(0).await.work.is_none());
	assert!(bob.poll(0).await.work.is_none());

	let options = SubmitOptions {
		idempotency_key: Some("apple-1".into()),
		..SubmitOptions::default()
	};
	let task = server
		.client
		.task_submit(request("a red apple"), Some(options))
		.await
		.unwrap();
	assert_eq!(
		(task.spec.steps, task.spec.width, task.spec.height),
		(4, 16, 16)
	);
	let assigned = server.until(task.id, TaskState::Assigned).await;
	let drawn = assigned.miner.unwrap();
	let winner = if drawn == account("alice") {
		&alice
	} else {
		&bob
	};
	assert_eq!(
		code(server.client.task_result(task.id).await),
		ErrorCode::TaskNotDone
	);

	let work = winner
		.poll(1_000)
		.await
		.work
		.expect("the drawn miner gets the work");
	let spec: cuckoo_primitives::task::TaskSpec = work.spec.clone().into();
	assert_eq!(
		(spec.hash(), work.assignment.spec_hash),
		(task.spec_hash, task.spec_hash)
	);
	let coordinator = pair("coordinator");
	let signer = sp_core::Pair::public(&coordinator);
	assert!(signing::verify(
		&GENESIS,
		&work.assignment,
		&work.signature,
		&signer
	));

	for steps_done in 1..=2 {
		let progress = Progress {
			token: winner.session.token,
			task: task.id,
			attempt: work.assignment.attempt,
			steps_done,
		};
		assert!(server.client.miner_progress(progress).await.unwrap().go_on);
	}
	let running = server.client.task_status(task.id).await.unwrap();
	assert_eq!((running.state, running.steps_done), (TaskState::Running, 2));
	server.pass(1_500);
	winner.finish(&work).await;

	let done = server.client.task_status(task.id).await.unwrap();
	assert_eq!((done.state, done.reason), (TaskState::Done, None));
	let result = server.client.task_result(task.id).await.unwrap();
	assert_eq!((&result.miner, result.elapsed_ms), (&drawn, 1_500));
	assert!(signing::verify(
		&GENESIS,
		&result.commitment,
		&result.signature,
		&result.worker
	));
	let picture = reqwest::get(server.url(&result.path)).await.unwrap();
	assert_eq!(picture.headers()["content-type"], "image/png");
	assert!(picture.headers()["cache-control"]
		.to_str()
		.unwrap()
		.contains("immutable"));
	let bytes = picture.bytes().await.unwrap();
	assert_eq!(
		(hash(&bytes), bytes.len() as u64),
		(result.artifact, result.bytes)
	);

	let proof = server.client.coordinator_draw(task.id, None).await.unwrap();
	assert_eq!(proof.assignment, work.assignment);
	let assignment = &proof.assignment;
	assert!(signing::verify(
		&GENESIS,
		assignment,
		&proof.signature,
		&proof.coordinator_worker
	));
	let eligible: Vec<_> = proof.eligible.iter().map(draw::Eligible::from).collect();
	assert!(draw::is_canonical(&eligible));
	assert_eq!(draw::eligible_root(&eligible), assignment.eligible_root);
	assert_eq!(draw::total_weight(&eligible), Some(assignment.total_weight));
	assert_eq!(assignment.total_weight, 90_000 * CUC);
	let ticket =
		draw::ticket(&assignment.randomness, &task.id, 0, assignment.total_weight).unwrap();
	assert_eq!(draw::pick(&eligible, ticket).unwrap().miner, drawn);
	assert_eq!(proof.id_nonce, "apple-1");
	let id = TaskId::derive(
		&assignment.coordinator,
		&task.spec_hash,
		proof.id_nonce.as_bytes(),
	);
	assert_eq!(id, task.id);
	let later = server.client.coordinator_draw(task.id, Some(1)).await;
	assert_eq!(code(later), ErrorCode::AttemptNotFound);

	let miners = server.client.coordinator_miners(None, None).await.unwrap();
	let line = miners.iter().find(|line| line.miner == drawn).unwrap();
	assert_eq!((line.done, line.failed, line.busy), (1, 0, 0));
	server.stop().await;
}

#[tokio::test]
async fn a_waiting_poll_gets_work_at_once() {
	let directory = tempfile::tempdir().unwrap();
	let server = Server::start(directory.path()).await;
	let alice = TestMiner::connect(&server, "alice").await;
	alice.poll(0).await;
	let waiting = tokio::spawn(async move { (alice.poll(30_000).await, alice) });
	tokio::time::sleep(Duration::from_millis(200)).await;
	let start = std::time::Instant::now();
	let task = server.submit("a red apple").await;
	let (reply, alice) = waiting.await.unwrap();
	assert!(
		start.elapsed() < Duration::from_secs(2),
		"{:?}",
		start.elapsed()
	);
	let work = reply.work.expect("the poll was waiting");
	assert_eq!(work.assignment.task, task.id);
	alice.finish(&work).await;
	assert_eq!(server.state(task.id).await, TaskState::Done);
	server.stop().await;
}

#[tokio::test]
async fn a_subscription_tells_every_state_until_the_end() {
	let directory = tempfile::tempdir().unwrap();
	let server = Server::start(directory.path()).await;
	let alice = TestMiner::connect(&server, "alice").await;
	let ws = WsClientBuilder::default()
		.build(format!("ws://{}", server.address))
		.await
		.unwrap();
	let task = ws.task_submit(request("a red apple"), None).await.unwrap();
	let mut events = ws.task_subscribe(task.id).await.unwrap();
	let work = alice.work().await;
	let progress = Progress {
		token: alice.session.token,
		task: task.id,
		attempt: 0,
		steps_done: 1,
	};
	ws.miner_progress(progress).await.unwrap();
	alice.finish(&work).await;
	let mut states = Vec::new();
	while !states
		.last()
		.is_some_and(|state: &TaskState| state.is_final())
	{
		states.push(events.next().await.unwrap().unwrap().state);
	}
	use TaskState::*;
	assert_eq!(states, vec![Queued, Assigned, Running, Submitted, Done]);

	let mut late = ws.task_subscribe(task.id).await.unwrap();
	assert_eq!(late.next().await.unwrap().unwrap().state, Done);
	let unknown = ws.task_subscribe(TaskId([0; 16])).await;
	assert_eq!(code(unknown.map(|_| ())), ErrorCode::TaskNotFound);
	server.stop().await;
}

#[tokio::test]
async fn the_same_key_and_request_give_the_same_task() {
	let directory = tempfile::tempdir().unwrap();
	let server = Server::start(directory.path()).await;
	TestMiner::connect(&server, "alice").await;
	let with = |key: &str| {
		Some(SubmitOptions {
			idempotency_key: Some(key.into()),
			..SubmitOptions::default()
		})
	};
	let submit = |prompt: &str, key: &str| server.client.task_submit(request(prompt), with(key));
	let first = submit("a red apple", "k").await.unwrap();
	let again = submit("a red apple", "k").await.unwrap();
	assert_eq!(
		(first.id, &first.spec),
		(again.id, &again.spec),
		"also the seed that was drawn"
	);
	assert_ne!(submit("a red apple", "l").await.unwrap().id, first.id);
	assert_ne!(server.submit("a red apple").await.id, first.id);
	let error = code(submit("a green apple", "k").await);
	assert_eq!(error, ErrorCode::IdempotencyKeyInvalid);
	for key in [String::new(), "x".repeat(129), "nul\0".into()] {
		assert_eq!(
			code(submit("a red apple", &key).await),
			ErrorCode::IdempotencyKeyInvalid
		);
	}
	// Many at once are one.
	let many = futures::future::join_all((0..20).map(|_| submit("a pear", "m"))).await;
	let ids: std::collections::HashSet<_> = many.into_iter().map(|task| task.unwrap().id).collect();
	assert_eq!(ids.len(), 1);
	server.stop().await;
}

#[tokio::test]
async fn a_cancelled_task_is_taken_off_its_miner() {
	let directory = tempfile::tempdir().unwrap();
	let server = Server::start(directory.path()).await;
	let alice = TestMiner::connect(&server, "alice").await;
	let queued = server.submit("one").await;
	let cancelled = server.client.task_cancel(queued.id).await.unwrap();
	assert_eq!(cancelled.state, TaskState::Cancelled);
	assert_eq!(
		code(server.client.task_cancel(queued.id).await),
		ErrorCode::TaskEnded
	);
	assert_eq!(
		code(server.client.task_result(queued.id).await),
		ErrorCode::TaskNotDone
	);

	let task = server.submit("two").await;
	let work = alice.work().await;
	let waiting = alice.poll_holding(30_000, vec![held(&work)]);
	let cancel = async {
		tokio::time::sleep(Duration::from_millis(100)).await;
		server.client.task_cancel(task.id).await.unwrap()
	};
	let (reply, _) = tokio::join!(waiting, cancel);
	assert_eq!(
		reply.abandon,
		vec![held(&work)],
		"the waiting poll is told at once"
	);
	let progress = Progress {
		token: alice.session.token,
		task: task.id,
		attempt: 0,
		steps_done: 1,
	};
	assert!(!server.client.miner_progress(progress).await.unwrap().go_on);
	let late = alice
		.submit(&work, alice.commitment(&work, H256::zero()))
		.await;
	assert_eq!(code(late), ErrorCode::LeaseNotHeld);
	let miners = server.client.coordinator_miners(None, None).await.unwrap();
	assert_eq!(
		(miners[0].failed, miners[0].lacks.as_deref()),
		(0, None),
		"not the miner's fault"
	);
	server.stop().await;
}

/// 400 draws over the real port fit the stakes: chi-square with 1 degree of freedom, p > 0.001.
#[tokio::test]
async fn shares_fit_the_stakes() {
	let directory = tempfile::tempdir().unwrap();
	let server = Server::start(directory.path()).await;
	let miners = [
		TestMiner::connect(&server, "alice").await,
		TestMiner::connect(&server, "bob").await,
	];
	let mut counts: HashMap<_, u32> = HashMap::new();
	for number in 0..400 {
		for miner in &miners {
			miner.poll(0).await;
		}
		// The ids, and with them the draws, are the same in each run.
		let request = TaskRequest {
			seed: Some(number),
			..request("apple")
		};
		let options = SubmitOptions {
			idempotency_key: Some(number.to_string()),
			..SubmitOptions::default()
		};
		let submitted = server.client.task_submit(request, Some(options)).await;
		let task = submitted.unwrap();
		let drawn = server
			.until(task.id, TaskState::Assigned)
			.await
			.miner
			.unwrap();
		*counts.entry(drawn).or_default() += 1;
		server.client.task_cancel(task.id).await.unwrap();
	}
	let observed = f64::from(counts[&account("alice")]);
	let chi_square =
		(observed - 133.33).powi(2) / 133.33 + (400.0 - observed - 266.67).powi(2) / 266.67;
	assert!(
		chi_square < 10.83,
		"chi-square {chi_square}, counts {counts:?}"
	);
	server.stop().await;
}

#[tokio::test]
async fn every_poll_says_where_the_miner_stands() {
	let directory = tempfile::tempdir().unwrap();
	let server = Server::start(directory.path()).await;
	let alice = TestMiner::connect(&server, "alice").await;
	let bob = TestMiner::connect(&server, "bob").await;
	bob.poll(0).await;
	let standing = alice.poll(0).await.standing;
	assert_eq!(
		(standing.rank, standing.eligible, standing.lacks),
		(Some(2), 2, None)
	);
	assert_eq!(standing.weight.0, 30_000 * CUC);
	assert_eq!(standing.total_weight.0, 90_000 * CUC);
	server.pass(30_001);
	let standing = bob.poll(0).await.standing;
	assert_eq!(
		(standing.rank, standing.eligible),
		(Some(1), 1),
		"alice has not polled"
	);
	let miners = server.client.coordinator_miners(None, None).await.unwrap();
	let line = miners
		.iter()
		.find(|line| line.miner == account("alice"))
		.unwrap();
	assert!(
		line.lacks.as_deref().unwrap().contains("has not polled"),
		"{line:?}"
	);
	assert_eq!(
		server
			.client
			.coordinator_info()
			.await
			.unwrap()
			.miners_online,
		1
	);

	// What the chain says counts at the next block.
	let mut changed = operators();
	changed.retain(|operator| operator.account != account("alice"));
	let bob_now = changed
		.iter_mut()
		.find(|it| it.account == account("bob"))
		.unwrap();
	(bob_now.self_stake, bob_now.active) = (1, false);
	server
		.coordinator
		.set_registry(registry(2, changed), GENESIS)
		.await
		.unwrap();
	let lacks = bob.poll(0).await.standing.lacks.unwrap();
	assert!(lacks.contains("stake more"), "{lacks}");
	let lacks = alice.poll(0).await.standing.lacks.unwrap();
	assert!(lacks.contains("not registered"), "{lacks}");
	assert_eq!(
		server
			.client
			.coordinator_info()
			.await
			.unwrap()
			.finalized_block,
		2
	);
	server.stop().await;
}

#[tokio::test]
async fn without_the_chain_nothing_is_promised() {
	let directory = tempfile::tempdir().unwrap();
	let server =
		Server::start_without_chain(directory.path(), Settings::default(), 1_000_000).await;
	let submitted = server
		.client
		.task_submit(request("a red apple"), None)
		.await;
	assert_eq!(code(submitted), ErrorCode::ChainUnavailable);
	assert_eq!(
		code(server.client.coordinator_info().await),
		ErrorCode::ChainUnavailable
	);
	let worker = sp_core::Pair::public(&pair("alice"));
	assert_eq!(
		code(server.client.miner_challenge(worker).await),
		ErrorCode::ChainUnavailable
	);
	assert_eq!(
		reqwest::get(server.url("/healthz")).await.unwrap().status(),
		200
	);
	assert_eq!(
		reqwest::get(server.url("/readyz")).await.unwrap().status(),
		503
	);

	let mut foreign = operators();
	foreign.retain(|operator| operator.role != Role::Coordinator);
	let refused = server
		.coordinator
		.set_registry(registry(1, foreign), GENESIS)
		.await;
	let error = refused.unwrap_err().to_string();
	assert!(error.contains("register a coordinator"), "{error}");
	server
		.coordinator
		.set_registry(registry(2, operators()), GENESIS)
		.await
		.unwrap();
	assert_eq!(
		reqwest::get(server.url("/readyz")).await.unwrap().status(),
		200
	);

	// An operator that retires takes no new tasks.
	let mut retired = operators();
	retired[0].active = false;
	server
		.coordinator
		.set_registry(registry(3, retired), GENESIS)
		.await
		.unwrap();
	let submitted = server
		.client
		.task_submit(request("a red apple"), None)
		.await;
	assert_eq!(code(submitted), ErrorCode::Draining);
	server.stop().await;
}

#[tokio::test]
async fn parameters_can_be_given_by_name_or_in_order() {
	let directory = tempfile::tempdir().unwrap();
	let server = Server::start(directory.path()).await;
	TestMiner::connect(&server, "alice").await;
	let params = rpc_params![serde_json::json!({ "prompt": "a red apple", "steps": 3 })];
	let task: cuckoo_coordinator_api::task::TaskStatus =
		server.client.request("task_submit", params).await.unwrap();
	assert_eq!(task.spec.steps, 3);
	assert_eq!(
		server.client.task_status(task.id).await.unwrap().id,
		task.id
	);
	server.stop().await;
}
