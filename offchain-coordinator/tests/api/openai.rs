//! Pictures by OpenAI's API.

use crate::{apps::key, harness::*};
use base64::{engine::general_purpose::STANDARD, Engine};
use cuckoo_coordinator_api::{
	rpc::TaskRpcClient,
	task::{TaskPage, TaskState},
};
use cuckoo_primitives::task::TaskId;
use offchain_coordinator::{keys::Limits, settings::Settings};
use serde_json::{json, Value};
use std::{path::Path, process::Command, time::Duration};

async fn generate(server: &Server, body: Value) -> reqwest::Response {
	let http = reqwest::Client::new();
	let request = http.post(server.url("/v1/images/generations")).json(&body);
	request.send().await.unwrap()
}

async fn json(response: reqwest::Response) -> Value {
	serde_json::from_slice(&response.bytes().await.unwrap()).unwrap()
}

async fn get(server: &Server, path: &str) -> (u16, Value) {
	let response = reqwest::get(server.url(path)).await.unwrap();
	(response.status().as_u16(), json(response).await)
}

/// Status, `code` and `param` of a refusal.
async fn refused(response: reqwest::Response) -> (u16, String, Option<String>) {
	let status = response.status().as_u16();
	let error = json(response).await["error"].clone();
	assert!(error["message"].as_str().unwrap().len() > 10, "{error}");
	assert!(
		error["type"].as_str().unwrap().ends_with("_error"),
		"{error}"
	);
	let text = |field: &str| error[field].as_str().map(str::to_owned);
	(status, text("code").unwrap(), text("param"))
}

async fn tasks(server: &Server) -> TaskPage {
	server.client.task_list(None, None, None).await.unwrap()
}

#[tokio::test]
async fn pictures_come_by_address_or_as_text() {
	let directory = tempfile::tempdir().unwrap();
	let server = Server::start(directory.path()).await;
	let mining = mine(&server, "alice").await;
	let body =
		json!({ "prompt": "a red apple", "model": "tiny", "n": 2, "size": "32x16", "style": 1 });
	let reply = generate(&server, body).await;
	assert_eq!(reply.status(), 200);
	let reply = json(reply).await;
	assert_eq!(reply["created"], 1_000);
	let pictures = reply["data"].as_array().unwrap();
	assert_eq!(pictures.len(), 2);
	for picture in pictures {
		let url = picture["url"].as_str().unwrap();
		assert!(url.starts_with(&server.url("/artifacts/0x")), "{url}");
		let bytes = reqwest::get(url).await.unwrap().bytes().await.unwrap();
		assert_eq!(
			&bytes[16..24],
			&[0, 0, 0, 32, 0, 0, 0, 16],
			"width and height"
		);
		let task: TaskId = picture["task_id"].as_str().unwrap().parse().unwrap();
		server.client.coordinator_draw(task, None).await.unwrap();
	}
	let body = json!({ "prompt": "a red apple", "seed": 5, "response_format": "b64_json" });
	let reply = json(generate(&server, body).await).await;
	let text = reply["data"][0]["b64_json"].as_str().unwrap();
	assert_eq!(STANDARD.decode(text).unwrap(), png(16, 16, 5));
	mining.abort();
	server.stop().await;
}

#[tokio::test]
async fn models_are_listed() {
	let directory = tempfile::tempdir().unwrap();
	let server = Server::start(directory.path()).await;
	assert_eq!(get(&server, "/v1/models").await.1["data"], json!([]));
	TestMiner::connect(&server, "alice").await.poll(0).await;
	let (status, list) = get(&server, "/v1/models").await;
	assert_eq!((status, &list["object"]), (200, &json!("list")));
	assert_eq!(list["data"][0]["id"], "tiny");
	for id in ["tiny".to_owned(), format!("{MODEL:?}")] {
		assert_eq!(
			get(&server, &format!("/v1/models/{id}")).await.1["id"],
			"tiny"
		);
	}
	let (status, error) = get(&server, "/v1/models/dall-e-3").await;
	assert_eq!(
		(status, &error["error"]["code"]),
		(404, &json!("model_not_found"))
	);

	// Another model of that name: both go by their hashes.
	let mut hello = TestMiner::hello(&server, "bob").await;
	hello.models[0].hash = cuckoo_primitives::H256::repeat_byte(0x22);
	cuckoo_coordinator_api::rpc::MinerRpcClient::miner_hello(&server.client, hello)
		.await
		.unwrap();
	let (_, list) = get(&server, "/v1/models").await;
	assert_eq!(list["data"][0]["id"], format!("{MODEL:?}"));
	server.stop().await;
}

#[tokio::test]
async fn refusals_are_in_openais_shape() {
	let directory = tempfile::tempdir().unwrap();
	let server = Server::start(directory.path()).await;
	TestMiner::connect(&server, "alice").await;
	let post = |body: Value| generate(&server, body);
	let param = |text: &str| Some(text.to_owned());
	let cases = [
		(json!({"prompt": ""}), 400, "PromptInvalid", param("prompt")),
		(
			json!({"prompt": "a", "size": "17x16"}),
			400,
			"SizeInvalid",
			param("size"),
		),
		(
			json!({"prompt": "a", "steps": 0}),
			400,
			"StepsInvalid",
			param("steps"),
		),
		(
			json!({"prompt": "a", "n": 5}),
			400,
			"ParameterInvalid",
			param("n"),
		),
		(
			json!({"prompt": "a", "model": "x"}),
			404,
			"model_not_found",
			param("model"),
		),
		(json!({}), 400, "ParameterInvalid", None),
		(
			json!({"prompt": "x".repeat(200_000)}),
			413,
			"ParameterInvalid",
			None,
		),
	];
	for (body, status, code, param) in cases {
		let text: String = body.to_string().chars().take(80).collect();
		assert_eq!(
			refused(post(body).await).await,
			(status, code.to_owned(), param),
			"{text}"
		);
	}
	assert!(tasks(&server).await.tasks.is_empty(), "nothing was taken");

	let http = reqwest::Client::new();
	let request = http
		.post(server.url("/v1/images/generations"))
		.bearer_auth("sk-1");
	let response = request.json(&json!({"prompt": "a"})).send().await.unwrap();
	assert_eq!(
		refused(response).await,
		(401, "invalid_api_key".into(), None)
	);
	server.stop().await;
}

#[tokio::test]
async fn a_picture_that_takes_too_long_goes_on_under_its_id() {
	let directory = tempfile::tempdir().unwrap();
	let settings = Settings {
		image_wait_ms: 100,
		..Settings::default()
	};
	let server = Server::start_with(directory.path(), settings, 1_000_000).await;
	TestMiner::connect(&server, "alice").await;
	let response = generate(&server, json!({"prompt": "a red apple"})).await;
	assert_eq!(
		(
			response.status().as_u16(),
			&response.headers()["x-should-retry"]
		),
		(504, &"false".parse().unwrap())
	);
	let message = json(response).await["error"]["message"].to_string();
	let task = tasks(&server).await.tasks[0].id;
	assert!(message.contains(&task.to_string()), "{message}");
	tokio::time::sleep(Duration::from_millis(50)).await;
	server.completes_with("alice", task).await;
	server.stop().await;
}

#[tokio::test]
async fn a_client_that_goes_away_takes_its_tasks_with_it() {
	let directory = tempfile::tempdir().unwrap();
	let server = Server::start(directory.path()).await;
	TestMiner::connect(&server, "alice").await;
	let gone = generate(&server, json!({"prompt": "a red apple", "n": 2}));
	tokio::time::timeout(Duration::from_millis(300), gone)
		.await
		.unwrap_err();
	let tasks = tasks(&server).await.tasks;
	assert_eq!(tasks.len(), 2);
	for task in tasks {
		server.until(task.id, TaskState::Cancelled).await;
	}
	server.stop().await;
}

#[tokio::test]
async fn a_task_that_comes_to_nothing_is_said_so_and_the_rest_is_cancelled() {
	let directory = tempfile::tempdir().unwrap();
	let server = Server::start(directory.path()).await;
	TestMiner::connect(&server, "alice").await;
	let request = generate(&server, json!({"prompt": "a red apple", "n": 2}));
	let cancel = async {
		let mut first = Vec::new();
		while first.len() < 2 {
			tokio::time::sleep(Duration::from_millis(20)).await;
			first = tasks(&server).await.tasks;
		}
		server.client.task_cancel(first[1].id).await.unwrap();
		first[0].id
	};
	let (response, other) = tokio::join!(request, cancel);
	assert_eq!(
		refused(response).await,
		(409, "task_cancelled".into(), None)
	);
	server.until(other, TaskState::Cancelled).await;
	server.stop().await;
}

/// OpenAI's Python client, as tests/openai/requirements.txt pins it: `scripts/test clients` installs it
/// for the time of the test.
#[tokio::test]
#[ignore = "needs OpenAI's Python package"]
async fn the_official_client_gets_pictures() {
	let directory = tempfile::tempdir().unwrap();
	let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/openai");
	let data = directory.path().join("data");
	let server = Server::start(&data).await;
	let mining = mine(&server, "alice").await;
	let key = key(&data, "openai", Limits::default()).await;
	let (url, check) = (server.url(""), here.join("check.py"));
	let checked = tokio::task::spawn_blocking(move || {
		Command::new("python3")
			.arg(check)
			.args([&url, &key, "tiny"])
			.output()
			.unwrap()
	});
	let output = checked.await.unwrap();
	let text = String::from_utf8_lossy(&output.stdout);
	println!("{text}");
	assert!(
		output.status.success(),
		"{}",
		String::from_utf8_lossy(&output.stderr)
	);
	mining.abort();
	server.stop().await;
}
