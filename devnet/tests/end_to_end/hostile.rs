//! Bad clients of the real daemon get a stable code or are cut off, and nobody else notices.

use crate::support::{on_network, request, Auditor, TASK_TIMEOUT};
use anyhow::Result;
use cuckoo_coordinator_api::{
	error::{from_object, ErrorCode},
	limits::{MAX_PROMPT_BYTES, MAX_REQUEST_BYTES},
	miner::{Challenge, Hello, Poll},
	rpc::{MinerRpcClient, TaskRpcClient},
	task::{ModelInfo, TaskRequest},
};
use cuckoo_devnet::{keys::DevKey, App};
use cuckoo_primitives::{
	signing::{self, MinerLogin},
	task::DeviceClass,
	H256,
};
use jsonrpsee::core::ClientError;
use serde_json::{json, Value};

#[tokio::test]
async fn bad_clients_are_refused_and_the_coordinator_goes_on() -> Result<()> {
	on_network(&[DevKey::miner(1)], &[], async |network| {
		let app = network.app()?;
		impostors(&app).await?;
		impossible_tasks(&app).await?;
		malformed_requests(&app).await?;
		forbidden_paths(&app).await?;

		network.check()?;
		let task = app.submit(request("a moon", 4), "after-all-that").await?;
		app.wait(task.id, TASK_TIMEOUT).await?;
		Auditor::new(network)
			.await?
			.audit(&app, task.id, "after-all-that")
			.await?;
		Ok(())
	})
	.await
}

fn code<T: std::fmt::Debug>(reply: Result<T, ClientError>) -> ErrorCode {
	match reply {
		Err(ClientError::Call(object)) => {
			let error = from_object(&object).unwrap_or_else(|| panic!("unknown code: {object:?}"));
			assert!(!error.message.is_empty());
			error.code
		},
		other => panic!("an error with a code was expected, not {other:?}"),
	}
}

/// A login of `worker`, signed by `signer`, right in everything else.
fn hello(models: &[ModelInfo], challenge: &Challenge, worker: &DevKey, signer: &DevKey) -> Hello {
	let login = MinerLogin {
		coordinator: challenge.coordinator.clone(),
		worker: worker.worker(),
		challenge: challenge.challenge.0,
	};
	Hello {
		worker: worker.worker(),
		challenge: challenge.challenge,
		signature: signing::sign(&challenge.genesis_hash, &login, &signer.worker_pair()),
		models: models.to_vec(),
		device: DeviceClass::Cpu,
		device_name: "a bad client".to_owned(),
		slots: 1,
		engine: "none".to_owned(),
	}
}

async fn impostors(app: &App) -> Result<()> {
	let rpc = app.rpc();
	let models = rpc.coordinator_info().await?.models;
	let stranger = DevKey::new("//Stranger");
	let challenge = rpc.miner_challenge(stranger.worker()).await?;
	let unregistered = rpc
		.miner_hello(hello(&models, &challenge, &stranger, &stranger))
		.await;
	assert_eq!(code(unregistered), ErrorCode::MinerNotRegistered);

	let miner = DevKey::miner(2);
	let challenge = rpc.miner_challenge(miner.worker()).await?;
	let forged = rpc
		.miner_hello(hello(&models, &challenge, &miner, &stranger))
		.await;
	assert_eq!(code(forged), ErrorCode::SignatureInvalid);

	let own_challenge = Challenge {
		challenge: H256::repeat_byte(7),
		..challenge
	};
	let invented = rpc
		.miner_hello(hello(&models, &own_challenge, &miner, &miner))
		.await;
	assert_eq!(code(invented), ErrorCode::ChallengeInvalid);

	let coordinator = DevKey::coordinator();
	let challenge = rpc.miner_challenge(coordinator.worker()).await?;
	let no_miner = rpc
		.miner_hello(hello(&models, &challenge, &coordinator, &coordinator))
		.await;
	assert_eq!(code(no_miner), ErrorCode::NotAMiner);

	let challenge = rpc.miner_challenge(miner.worker()).await?;
	let nothing_to_run = rpc
		.miner_hello(hello(&[], &challenge, &miner, &miner))
		.await;
	assert_eq!(code(nothing_to_run), ErrorCode::CapabilitiesInvalid);

	let token = H256::repeat_byte(9);
	let poll = Poll {
		token,
		free_slots: 1,
		wait_ms: 0,
		holding: Vec::new(),
	};
	assert_eq!(code(rpc.miner_poll(poll).await), ErrorCode::SessionInvalid);
	Ok(())
}

async fn impossible_tasks(app: &App) -> Result<()> {
	let good = || request("a moon", 4);
	let tasks = [
		(
			TaskRequest {
				prompt: String::new(),
				..good()
			},
			ErrorCode::PromptInvalid,
		),
		(
			TaskRequest {
				prompt: "x".repeat(MAX_PROMPT_BYTES + 1),
				..good()
			},
			ErrorCode::PromptInvalid,
		),
		(
			TaskRequest {
				steps: Some(-1),
				..good()
			},
			ErrorCode::StepsInvalid,
		),
		(
			TaskRequest {
				steps: Some(i64::MAX),
				..good()
			},
			ErrorCode::StepsInvalid,
		),
		(
			TaskRequest {
				width: Some(-64),
				..good()
			},
			ErrorCode::SizeInvalid,
		),
		(
			TaskRequest {
				height: Some(1 << 40),
				..good()
			},
			ErrorCode::SizeInvalid,
		),
		(
			TaskRequest {
				guidance: Some(-1.0),
				..good()
			},
			ErrorCode::GuidanceInvalid,
		),
		(
			TaskRequest {
				model: Some("no such model".to_owned()),
				..good()
			},
			ErrorCode::ModelUnknown,
		),
	];
	for (task, expected) in tasks {
		let what = format!("{task:?}").chars().take(200).collect::<String>();
		assert_eq!(
			code(app.rpc().task_submit(task, None).await),
			expected,
			"{what}"
		);
	}
	Ok(())
}

/// What is no JSON-RPC at all, or too much of it.
async fn malformed_requests(app: &App) -> Result<()> {
	let http = reqwest::Client::new();
	let post = async |body: Vec<u8>| {
		let request = http
			.post(app.url())
			.header("content-type", "application/json")
			.body(body);
		let reply = request.send().await?;
		let status = reply.status();
		anyhow::Ok((status, reply.text().await.unwrap_or_default()))
	};
	for body in [&b"{ junk"[..], b"", b"\xff\xfe\x00", b"[[[[[[[[", b"null"] {
		let (status, text) = post(body.to_vec()).await?;
		let refused = serde_json::from_str::<Value>(&text)
			.map_or(status.is_client_error(), |reply| {
				reply["error"]["code"].is_i64()
			});
		assert!(refused, "{body:?} was answered by {status}: {text}");
	}
	let unknown = json!({ "jsonrpc": "2.0", "id": 1, "method": "task_steal", "params": {} });
	let (_, text) = post(unknown.to_string().into_bytes()).await?;
	assert_eq!(
		serde_json::from_str::<Value>(&text)?["error"]["code"],
		-32601,
		"{text}"
	);

	let prompt = "x".repeat(MAX_REQUEST_BYTES as usize + 1);
	let large = json!({
		"jsonrpc": "2.0", "id": 1, "method": "task_submit", "params": { "spec": { "prompt": prompt } }
	});
	// Cut off while still sending is as good as an answer.
	if let Ok((status, text)) = post(large.to_string().into_bytes()).await {
		let refused = status.is_client_error() || text.contains("\"error\"");
		assert!(
			refused,
			"an oversized body was answered by {status}: {text}"
		);
	}
	app.rpc().coordinator_info().await?;
	Ok(())
}

/// An artifact's path is its hash and nothing else, and only sessions upload.
async fn forbidden_paths(app: &App) -> Result<()> {
	let http = reqwest::Client::new();
	for path in [
		"artifacts/..%2f..%2f..%2fetc%2fpasswd",
		"artifacts/0x00",
		"artifacts/",
		"nothing",
	] {
		let status = http
			.get(format!("{}/{path}", app.url()))
			.send()
			.await?
			.status();
		assert!(status.is_client_error(), "{path}: {status}");
	}
	let hash = H256(*blake3::hash(b"no picture").as_bytes());
	let url = format!("{}/artifacts/0x{}", app.url(), hex::encode(hash));
	let status = http.get(&url).send().await?.status();
	assert_eq!(status.as_u16(), 404);
	let status = http.put(&url).body("no picture").send().await?.status();
	assert!(
		status.is_client_error(),
		"an upload without a session: {status}"
	);
	assert_eq!(http.get(&url).send().await?.status().as_u16(), 404);
	Ok(())
}
