//! What bad input gets: a stable code and a sentence, never a panic; and the task still completes.

use crate::harness::*;
use cuckoo_coordinator_api::{
	error::{ApiError, ErrorCode},
	limits,
	miner::{Hello, Outcome, Poll, Progress},
	rpc::{MinerRpcClient, TaskRpcClient},
	task::{ModelInfo, TaskRequest, TaskState},
};
use cuckoo_primitives::{signing, task::TaskId, WorkerSignature, H256};
use jsonrpsee::core::client::{ClientT, Error as ClientError};
use offchain_coordinator::settings::Settings;

async fn hello_code(server: &Server, hello: Hello) -> ErrorCode {
	code(server.client.miner_hello(hello).await)
}

#[tokio::test]
async fn miners_that_cannot_mine_are_told_why() {
	let directory = tempfile::tempdir().unwrap();
	let server = Server::start(directory.path()).await;
	TestMiner::connect(&server, "alice").await;
	let task = server.submit("a red apple").await;
	for (name, expected) in [
		("stranger", ErrorCode::MinerNotRegistered),
		("validator", ErrorCode::NotAMiner),
		("coordinator", ErrorCode::NotAMiner),
		("retired", ErrorCode::MinerRetired),
		("poor", ErrorCode::MinerUnderstaked),
	] {
		let hello = TestMiner::hello(&server, name).await;
		assert_eq!(hello_code(&server, hello).await, expected, "{name}");
	}
	server.completes_with("alice", task.id).await;

	// The chain forgets the worker of a miner that retires; who was here is told what happened.
	let mut operators = operators();
	let alice = operators
		.iter_mut()
		.find(|it| it.account == account("alice"))
		.unwrap();
	(alice.worker, alice.active, alice.retired) = (None, false, true);
	server
		.coordinator
		.set_registry(registry(2, operators), GENESIS)
		.await
		.unwrap();
	let hello = TestMiner::hello(&server, "alice").await;
	assert_eq!(hello_code(&server, hello).await, ErrorCode::MinerRetired);
	server.stop().await;
}

#[tokio::test]
async fn wrong_and_replayed_logins_are_refused() {
	let directory = tempfile::tempdir().unwrap();
	let server = Server::start(directory.path()).await;
	let good = TestMiner::hello(&server, "alice").await;
	let others = TestMiner::hello(&server, "bob").await;

	let wrong = Hello {
		signature: others.signature,
		..good.clone()
	};
	assert_eq!(
		hello_code(&server, wrong).await,
		ErrorCode::SignatureInvalid
	);
	let zero = Hello {
		signature: WorkerSignature::from_raw([0; 64]),
		..good.clone()
	};
	assert_eq!(hello_code(&server, zero).await, ErrorCode::SignatureInvalid);
	let login = signing::MinerLogin {
		coordinator: account("coordinator"),
		worker: good.worker,
		challenge: good.challenge.0,
	};
	let chain = signing::sign(&H256::repeat_byte(9), &login, &pair("alice"));
	let other_chain = Hello {
		signature: chain,
		..good.clone()
	};
	assert_eq!(
		hello_code(&server, other_chain).await,
		ErrorCode::SignatureInvalid
	);
	let elsewhere = signing::MinerLogin {
		coordinator: account("bob"),
		..login
	};
	let elsewhere = signing::sign(&GENESIS, &elsewhere, &pair("alice"));
	let other_coordinator = Hello {
		signature: elsewhere,
		..good.clone()
	};
	assert_eq!(
		hello_code(&server, other_coordinator).await,
		ErrorCode::SignatureInvalid
	);

	let foreign = Hello {
		challenge: others.challenge,
		..good.clone()
	};
	assert_eq!(
		hello_code(&server, foreign).await,
		ErrorCode::ChallengeInvalid
	);
	let invented = Hello {
		challenge: H256::repeat_byte(3),
		..good.clone()
	};
	assert_eq!(
		hello_code(&server, invented).await,
		ErrorCode::ChallengeInvalid
	);

	// A failed try does not use the challenge up; a good one does.
	server.client.miner_hello(good.clone()).await.unwrap();
	assert_eq!(
		hello_code(&server, good).await,
		ErrorCode::ChallengeInvalid,
		"replayed"
	);
	server.pass(60_001);
	assert_eq!(
		hello_code(&server, others).await,
		ErrorCode::ChallengeInvalid,
		"out of date"
	);
	server.stop().await;
}

#[tokio::test]
async fn declarations_out_of_bounds_are_refused() {
	let directory = tempfile::tempdir().unwrap();
	let server = Server::start(directory.path()).await;
	let good = TestMiner::hello(&server, "alice").await;
	let long = "x".repeat(limits::MAX_TEXT_BYTES + 1);
	let many = (0..65)
		.map(|n| ModelInfo {
			hash: H256::repeat_byte(n),
			..model()
		})
		.collect();
	for wrong in [
		Hello {
			slots: 0,
			..good.clone()
		},
		Hello {
			slots: limits::MAX_SLOTS + 1,
			..good.clone()
		},
		Hello {
			models: vec![],
			..good.clone()
		},
		Hello {
			models: many,
			..good.clone()
		},
		Hello {
			models: vec![model(), model()],
			..good.clone()
		},
		Hello {
			models: vec![ModelInfo {
				size_multiple: 0,
				..model()
			}],
			..good.clone()
		},
		Hello {
			device_name: long.clone(),
			..good.clone()
		},
		Hello {
			engine: long,
			..good.clone()
		},
	] {
		assert_eq!(
			hello_code(&server, wrong).await,
			ErrorCode::CapabilitiesInvalid
		);
	}
	server.client.miner_hello(good).await.unwrap();
	server.stop().await;
}

#[tokio::test]
async fn requests_out_of_bounds_are_refused() {
	use ErrorCode::*;
	let directory = tempfile::tempdir().unwrap();
	let server = Server::start(directory.path()).await;
	let unknown = server
		.client
		.task_submit(request("a red apple"), None)
		.await;
	assert_eq!(code(unknown), ModelUnknown, "no miner was ever here");
	TestMiner::connect(&server, "alice").await;
	let apple = || request("a red apple");
	let long = "x".repeat(limits::MAX_PROMPT_BYTES + 1);
	for (wrong, expected) in [
		(request(""), PromptInvalid),
		(request(&long), PromptInvalid),
		(
			TaskRequest {
				negative_prompt: Some(long),
				..apple()
			},
			PromptInvalid,
		),
		(
			TaskRequest {
				model: Some("nobody's".into()),
				..apple()
			},
			ModelUnknown,
		),
		(
			TaskRequest {
				model: Some(format!("{:?}", H256::zero())),
				..apple()
			},
			ModelUnknown,
		),
		(
			TaskRequest {
				steps: Some(-1),
				..apple()
			},
			StepsInvalid,
		),
		(
			TaskRequest {
				steps: Some(i64::MIN),
				..apple()
			},
			StepsInvalid,
		),
		(
			TaskRequest {
				steps: Some(1_000_000),
				..apple()
			},
			StepsInvalid,
		),
		(
			TaskRequest {
				width: Some(-16),
				..apple()
			},
			SizeInvalid,
		),
		(
			TaskRequest {
				width: Some(1 << 40),
				..apple()
			},
			SizeInvalid,
		),
		(
			TaskRequest {
				height: Some(17),
				..apple()
			},
			SizeInvalid,
		),
		(
			TaskRequest {
				guidance: Some(1e300),
				..apple()
			},
			GuidanceInvalid,
		),
	] {
		assert_eq!(code(server.client.task_submit(wrong, None).await), expected);
	}
	assert_eq!(
		server.client.coordinator_info().await.unwrap().queued,
		0,
		"nothing was taken"
	);
	let named = TaskRequest {
		model: Some("tiny".into()),
		..apple()
	};
	let task = server.client.task_submit(named, None).await.unwrap();
	server.completes_with("alice", task.id).await;
	server.stop().await;
}

#[tokio::test]
async fn what_is_not_there_is_said_so() {
	let directory = tempfile::tempdir().unwrap();
	let server = Server::start(directory.path()).await;
	let nothing = TaskId([9; 16]);
	let client = &server.client;
	assert_eq!(
		code(client.task_status(nothing).await),
		ErrorCode::TaskNotFound
	);
	assert_eq!(
		code(client.task_result(nothing).await),
		ErrorCode::TaskNotFound
	);
	assert_eq!(
		code(client.task_cancel(nothing).await),
		ErrorCode::TaskNotFound
	);
	assert_eq!(
		code(client.coordinator_draw(nothing, None).await),
		ErrorCode::TaskNotFound
	);
	for limit in [0, limits::MAX_PAGE + 1, u32::MAX] {
		let page = client.coordinator_miners(None, Some(limit)).await;
		assert_eq!(code(page), ErrorCode::ParameterInvalid);
	}
	let token = H256::repeat_byte(1);
	let poll = Poll {
		token,
		free_slots: 1,
		wait_ms: 0,
		holding: vec![],
	};
	assert_eq!(
		code(client.miner_poll(poll).await),
		ErrorCode::SessionInvalid
	);
	let progress = Progress {
		token,
		task: nothing,
		attempt: 0,
		steps_done: 1,
	};
	assert_eq!(
		code(client.miner_progress(progress).await),
		ErrorCode::SessionInvalid
	);
	server.stop().await;
}

#[tokio::test]
async fn only_the_holder_submits_and_only_once() {
	let directory = tempfile::tempdir().unwrap();
	let server = Server::start(directory.path()).await;
	let alice = TestMiner::connect(&server, "alice").await;
	let task = server.submit("a red apple").await;
	let work = alice.work().await;
	let bob = TestMiner::connect(&server, "bob").await;
	let picture = png(16, 16, 5);
	let output = hash(&picture);

	// Bob holds nothing: neither by his own signature nor by Alice's words.
	let stolen = bob.submit(&work, bob.commitment(&work, output)).await;
	assert_eq!(code(stolen), ErrorCode::LeaseNotHeld);
	let progress = Progress {
		token: bob.session.token,
		task: task.id,
		attempt: 0,
		steps_done: 4,
	};
	assert_eq!(
		code(server.client.miner_progress(progress).await),
		ErrorCode::LeaseNotHeld
	);
	let failure = Outcome::Failure {
		reason: "sabotage".into(),
	};
	assert_eq!(
		code(bob.submit_outcome(&work, failure).await),
		ErrorCode::LeaseNotHeld
	);

	// Alice, with the wrong signature, assignment, attempt, or without the picture.
	let commitment = alice.commitment(&work, output);
	let forged = Outcome::Result {
		commitment: commitment.clone(),
		signature: signing::sign(&GENESIS, &commitment, &bob.key),
	};
	assert_eq!(
		code(alice.submit_outcome(&work, forged).await),
		ErrorCode::SignatureInvalid
	);
	let mut other = commitment.clone();
	other.assignment = H256::zero();
	assert_eq!(
		code(alice.submit(&work, other).await),
		ErrorCode::AssignmentMismatch
	);
	let mut later = work.clone();
	later.assignment.attempt = 1;
	let later = alice.submit(&later, commitment.clone()).await;
	assert_eq!(code(later), ErrorCode::LeaseNotHeld);
	let missing = alice.submit(&work, commitment.clone()).await;
	assert_eq!(code(missing), ErrorCode::ArtifactMissing);
	let long = Outcome::Failure {
		reason: "x".repeat(limits::MAX_TEXT_BYTES + 1),
	};
	assert_eq!(
		code(alice.submit_outcome(&work, long).await),
		ErrorCode::ParameterInvalid
	);
	assert_eq!(
		server.state(task.id).await,
		TaskState::Assigned,
		"the lease still stands"
	);

	assert_eq!(alice.upload(&output, picture).await.status(), 201);
	// Of many submits at once exactly one is accepted.
	let many = (0..10).map(|_| alice.submit(&work, commitment.clone()));
	let outcomes = futures::future::join_all(many).await;
	assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
	for refused in outcomes.into_iter().filter(Result::is_err) {
		assert_eq!(code(refused), ErrorCode::AlreadySubmitted);
	}
	assert_eq!(server.state(task.id).await, TaskState::Done);
	server.stop().await;
}

async fn http_error(response: reqwest::Response) -> (u16, ErrorCode) {
	let status = response.status().as_u16();
	let body: serde_json::Value = serde_json::from_slice(&response.bytes().await.unwrap()).unwrap();
	let code = ErrorCode::from_code(body["code"].as_i64().unwrap() as i32).unwrap();
	assert_eq!(body["name"], code.name());
	assert!(!body["message"].as_str().unwrap().is_empty());
	(status, code)
}

#[tokio::test]
async fn uploads_are_checked() {
	let directory = tempfile::tempdir().unwrap();
	let server = Server::start(directory.path()).await;
	let alice = TestMiner::connect(&server, "alice").await;
	let picture = png(16, 16, 5);
	let no_lease = alice.upload(&hash(&picture), picture.clone()).await;
	assert_eq!(http_error(no_lease).await, (403, ErrorCode::LeaseNotHeld));

	let task = server.submit("a red apple").await;
	let work = alice.work().await;
	let url = server.url(&format!("/artifacts/{:?}", hash(&picture)));
	let http = reqwest::Client::new();
	let nobody = http.put(&url).body(picture.clone()).send().await.unwrap();
	assert_eq!(http_error(nobody).await, (401, ErrorCode::SessionInvalid));
	let stranger = http.put(&url).bearer_auth(format!("{:?}", H256::zero()));
	let stranger = stranger.body(picture.clone()).send().await.unwrap();
	assert_eq!(http_error(stranger).await, (401, ErrorCode::SessionInvalid));

	let wrong_hash = alice.upload(&H256::zero(), picture.clone()).await;
	assert_eq!(
		http_error(wrong_hash).await,
		(422, ErrorCode::ArtifactHashMismatch)
	);
	let text = b"this is no picture".to_vec();
	let no_png = alice.upload(&hash(&text), text).await;
	assert_eq!(http_error(no_png).await, (422, ErrorCode::ArtifactNotPng));
	let large = vec![0; limits::MAX_ARTIFACT_BYTES + 1];
	let too_large = alice.upload(&hash(&large), large).await;
	assert_eq!(
		http_error(too_large).await,
		(413, ErrorCode::ArtifactTooLarge)
	);
	for path in [
		"/artifacts/0x00",
		"/artifacts/..%2f..%2fcoordinator.sqlite",
		"/artifacts/zz",
	] {
		let response = reqwest::get(server.url(path)).await.unwrap();
		assert_eq!(
			http_error(response).await,
			(400, ErrorCode::ParameterInvalid),
			"{path}"
		);
	}

	assert_eq!(
		alice
			.upload(&hash(&picture), picture.clone())
			.await
			.status(),
		201
	);
	let unpublished = reqwest::get(&url).await.unwrap();
	assert_eq!(
		http_error(unpublished).await,
		(404, ErrorCode::ArtifactNotFound),
		"no result yet"
	);
	let again = alice.upload(&hash(&picture), picture.clone()).await;
	assert_eq!(again.status(), 200);
	let too_often = alice.upload(&hash(&picture), picture.clone()).await;
	assert_eq!(
		http_error(too_often).await,
		(400, ErrorCode::ParameterInvalid)
	);
	alice
		.submit(&work, alice.commitment(&work, hash(&picture)))
		.await
		.unwrap();
	assert_eq!(server.state(task.id).await, TaskState::Done);
	assert_eq!(
		reqwest::get(&url).await.unwrap().bytes().await.unwrap(),
		picture
	);
	server.stop().await;
}

/// A signed result that is not what was asked for costs the miner the task, and another does it.
#[tokio::test]
async fn wrong_pictures_are_refused_and_the_task_is_done_by_another() {
	let directory = tempfile::tempdir().unwrap();
	let server = Server::start(directory.path()).await;
	let mut broken = png(16, 16, 3);
	let middle = broken.len() / 2;
	broken[middle] ^= 0xff;
	for (picture, expected) in [
		(png(24, 16, 3), ErrorCode::ArtifactWrongSize),
		(broken, ErrorCode::ArtifactNotPng),
	] {
		let alice = TestMiner::connect(&server, "alice").await;
		let task = server.submit("a red apple").await;
		let work = alice.work().await;
		assert_eq!(
			alice
				.upload(&hash(&picture), picture.clone())
				.await
				.status(),
			201
		);
		let refused = alice
			.submit(&work, alice.commitment(&work, hash(&picture)))
			.await;
		assert_eq!(code(refused), expected);
		let again = alice
			.submit(&work, alice.commitment(&work, hash(&picture)))
			.await;
		assert_eq!(code(again), ErrorCode::LeaseNotHeld);
		let lacks = alice.poll(0).await.standing.lacks.unwrap();
		assert!(lacks.contains("not what was asked for"), "{lacks}");
		let served = reqwest::get(server.url(&format!("/artifacts/{:?}", hash(&picture)))).await;
		assert_eq!(served.unwrap().status(), 404);
		server.completes_with("bob", task.id).await;
		server.pass(Settings::default().suspension_ms * 4);
	}
	server.stop().await;
}

/// JSON-RPC's own codes for what is no request of this API at all.
#[tokio::test]
async fn malformed_requests_are_refused_without_harm() {
	let directory = tempfile::tempdir().unwrap();
	let server = Server::start(directory.path()).await;
	let http = reqwest::Client::new();
	let post = |body: Vec<u8>| {
		let request = http
			.post(server.url("/"))
			.header("content-type", "application/json");
		async { request.body(body).send().await.unwrap() }
	};
	let call = |method: &str, params: &str| {
		format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#)
	};
	let deep = "[".repeat(100_000);
	for (body, expected) in [
		(b"{".to_vec(), -32700),
		(deep.into_bytes(), -32700),
		(call("nothing", "[]").into_bytes(), -32601),
		(
			call("task_submit", r#"{"spec":{"prompt":1}}"#).into_bytes(),
			-32602,
		),
		(
			call("task_submit", r#"{"spec":{"prompt":"a","colour":"red"}}"#).into_bytes(),
			-32602,
		),
		(
			call("task_submit", r#"{"spec":{"prompt":"a","steps":1e99}}"#).into_bytes(),
			-32602,
		),
		(
			call("task_submit", r#"{"spec":{"prompt":"a","seed":-1}}"#).into_bytes(),
			-32602,
		),
		(call("task_status", r#"["0x12"]"#).into_bytes(), -32602),
	] {
		let text = String::from_utf8_lossy(&body[..body.len().min(80)]).into_owned();
		let reply: serde_json::Value =
			serde_json::from_slice(&post(body).await.bytes().await.unwrap()).unwrap();
		assert_eq!(reply["error"]["code"], expected, "{text}: {reply}");
	}
	let oversized = call("task_submit", &format!(r#"["{}"]"#, "x".repeat(200_000)));
	let response = post(oversized.into_bytes()).await;
	assert_eq!(response.status(), 413);
	let batch = format!("[{}]", vec![call("coordinator_info", "[]"); 33].join(","));
	let reply: serde_json::Value =
		serde_json::from_slice(&post(batch.into_bytes()).await.bytes().await.unwrap()).unwrap();
	assert_eq!(reply["error"]["code"], -32010);
	let nothing = reqwest::get(server.url("/nothing")).await.unwrap();
	assert_eq!(nothing.status(), 404);

	let alice = TestMiner::connect(&server, "alice").await;
	let wide = Poll {
		token: alice.session.token,
		free_slots: u16::MAX,
		wait_ms: u64::MAX,
		holding: (0..200)
			.map(|n| cuckoo_coordinator_api::miner::Held {
				task: TaskId([n; 16]),
				attempt: 0,
			})
			.collect(),
	};
	assert_eq!(
		code(server.client.miner_poll(wide).await),
		ErrorCode::ParameterInvalid
	);
	let unknown: Result<(), ClientError> = server
		.client
		.request("rpc_methods_of_others", jsonrpsee::rpc_params![])
		.await;
	assert!(matches!(unknown, Err(ClientError::Call(object)) if object.code() == -32601));
	let task = server.submit("a red apple").await;
	server.completes_with("alice", task.id).await;
	server.stop().await;
}

#[test]
fn errors_read_as_sentences() {
	for code in ErrorCode::ALL {
		let error = ApiError::new(*code);
		assert!(
			error.message.ends_with('.') || error.message.contains(':'),
			"{error:?}"
		);
	}
}

/// Users build on the codes: the page that documents them names each with its number and meaning.
#[test]
fn every_code_stands_in_the_protocol_page() {
	let page = include_str!("../../../docs/protocol.md");
	for code in ErrorCode::ALL {
		let line = format!(
			"| {} | {} | {} |",
			code.code(),
			code.name(),
			code.meaning().trim()
		);
		assert!(
			page.contains(&line),
			"docs/protocol.md lacks the line {line}"
		);
	}
}
