//! Apps are called when their tasks have ended: signed, at least once, and only where they may be.

use crate::{
	apps::{bearer, client, key},
	harness::*,
};
use axum::{
	body::{Body, Bytes},
	extract::State,
	http::{HeaderMap, StatusCode},
	response::{IntoResponse, Response},
	Router,
};
use base64::{engine::general_purpose::STANDARD, Engine};
use cuckoo_coordinator_api::{
	error::ErrorCode,
	rpc::TaskRpcClient,
	task::{SubmitOptions, TaskState, TaskStatus},
};
use jsonrpsee::http_client::HttpClient;
use offchain_coordinator::{
	admin::{client::Client, WebhookLine},
	keys::Limits,
	retention,
	settings::{Settings, DAY_MS},
	webhooks::Rules,
};
use sp_crypto_hashing::sha2_256;
use std::{
	collections::VecDeque,
	net::SocketAddr,
	path::Path,
	sync::{Arc, Mutex},
	time::Duration,
};
use tokio::{net::TcpListener, task::JoinHandle};

/// What a receiver does with a call.
#[derive(Clone, Copy)]
enum Reply {
	Status(u16),
	Redirect,
	Huge,
	Hang,
}

#[derive(Clone)]
struct Call {
	id: String,
	timestamp: String,
	signature: String,
	path: String,
	body: String,
}

#[derive(Clone, Default)]
struct Inbox {
	calls: Arc<Mutex<Vec<Call>>>,
	replies: Arc<Mutex<VecDeque<Reply>>>,
}

impl Inbox {
	fn will(&self, replies: &[Reply]) {
		self.replies.lock().unwrap().extend(replies);
	}

	fn calls(&self) -> Vec<Call> {
		self.calls.lock().unwrap().clone()
	}

	/// Waits for so many calls, while the coordinator's time passes.
	async fn until(&self, server: &Server, count: usize) -> Vec<Call> {
		for _ in 0..600 {
			if self.calls().len() >= count {
				return self.calls();
			}
			server.pass(1_000);
			tokio::time::sleep(Duration::from_millis(20)).await;
		}
		panic!("{} of {count} calls", self.calls().len());
	}

	async fn serve(&self, address: SocketAddr) -> (Receiver, SocketAddr) {
		let listener = loop {
			match TcpListener::bind(address).await {
				Ok(listener) => break listener,
				Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
			}
		};
		let address = listener.local_addr().unwrap();
		let app = Router::new().fallback(receive).with_state(self.clone());
		let serving = async move { axum::serve(listener, app).await.unwrap() };
		(Receiver(tokio::spawn(serving)), address)
	}
}

async fn receive(
	State(inbox): State<Inbox>,
	uri: axum::http::Uri,
	headers: HeaderMap,
	body: Bytes,
) -> Response {
	let header = |name: &str| headers[name].to_str().unwrap().to_owned();
	inbox.calls.lock().unwrap().push(Call {
		id: header("webhook-id"),
		timestamp: header("webhook-timestamp"),
		signature: header("webhook-signature"),
		path: uri.path().into(),
		body: String::from_utf8(body.to_vec()).unwrap(),
	});
	let reply = inbox.replies.lock().unwrap().pop_front();
	match reply.unwrap_or(Reply::Status(204)) {
		Reply::Status(status) => StatusCode::from_u16(status).unwrap().into_response(),
		Reply::Redirect => (StatusCode::FOUND, [("location", "/elsewhere")]).into_response(),
		Reply::Huge => {
			let endless = futures::stream::repeat_with(|| Ok::<_, std::io::Error>(vec![7; 65_536]));
			Body::from_stream(endless).into_response()
		},
		Reply::Hang => std::future::pending().await,
	}
}

struct Receiver(JoinHandle<()>);

impl Drop for Receiver {
	fn drop(&mut self) {
		self.0.abort();
	}
}

const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

fn lax() -> Settings {
	Settings {
		webhooks: Rules {
			http: true,
			private: true,
		},
		..Settings::default()
	}
}

async fn submit(app: &HttpClient, prompt: &str, webhook: &str) -> TaskStatus {
	let options = SubmitOptions {
		webhook: Some(webhook.into()),
		..SubmitOptions::default()
	};
	app.task_submit(request(prompt), Some(options))
		.await
		.unwrap()
}

/// The signature as RFC 2104 and the specification have it, by the secret that the operator hands out.
fn signature(directory: &Path, call: &Call) -> String {
	let secret = with_keys(directory, |keys| keys.webhook_secret("red")).unwrap();
	let secret = secret.reveal();
	let key = STANDARD
		.decode(secret.strip_prefix("whsec_").unwrap())
		.unwrap();
	let pad = |byte: u8| {
		let mut block = [byte; 64];
		block
			.iter_mut()
			.zip(&key)
			.for_each(|(pad, key)| *pad ^= key);
		block
	};
	let message = format!("{}.{}.{}", call.id, call.timestamp, call.body);
	let inner = sha2_256(&[&pad(0x36)[..], message.as_bytes()].concat());
	let outer = sha2_256(&[&pad(0x5c)[..], &inner].concat());
	format!("v1,{}", STANDARD.encode(outer))
}

async fn failing(server: &Server) -> Vec<WebhookLine> {
	let client = Client::new(&format!("http://{}", server.admin));
	client.webhooks(10).await.unwrap()
}

#[tokio::test]
async fn an_app_is_called_at_each_final_state() {
	let directory = tempfile::tempdir().unwrap();
	let server = Server::start_with(directory.path(), lax(), 1_700_000_000_000).await;
	let alice = TestMiner::connect(&server, "alice").await;
	let red = key(directory.path(), "red", Limits::default()).await;
	let red = client(&server, &bearer(&red));
	let inbox = Inbox::default();
	let (_receiver, address) = inbox.serve(ANY).await;
	let url = format!("http://{address}/hook");

	let done = submit(&red, "one", &url).await;
	let silent = red.task_submit(request("silent"), None).await.unwrap();
	alice.finish(&alice.work().await).await;
	let call = inbox.until(&server, 1).await[0].clone();
	assert_eq!(call.signature, signature(directory.path(), &call));
	assert_eq!(call.path, "/hook");
	assert!(call.timestamp.starts_with("17000"), "{}", call.timestamp);
	let event: serde_json::Value = serde_json::from_str(&call.body).unwrap();
	assert_eq!(event["type"], "task.done");
	let result = server.client.task_result(done.id).await.unwrap();
	assert_eq!(
		event["data"]["result"],
		serde_json::to_value(result).unwrap()
	);
	let status = server.client.task_status(done.id).await.unwrap();
	assert_eq!(
		event["data"]["status"],
		serde_json::to_value(status).unwrap()
	);

	red.task_cancel(silent.id).await.unwrap();
	let cancelled = submit(&red, "two", &url).await;
	red.task_cancel(cancelled.id).await.unwrap();
	let call = inbox.until(&server, 2).await[1].clone();
	let event: serde_json::Value = serde_json::from_str(&call.body).unwrap();
	assert_eq!(event["type"], "task.cancelled");
	assert_eq!(event["data"]["status"]["id"], cancelled.id.to_string());
	assert!(event["data"]["result"].is_null());
	assert!(failing(&server).await.is_empty());
	assert_eq!(inbox.calls().len(), 2, "one a task that names a webhook");
	server.stop().await;
}

#[tokio::test]
async fn a_call_is_made_again_until_it_is_answered_by_a_success() {
	let directory = tempfile::tempdir().unwrap();
	let server = Server::start_with(directory.path(), lax(), 1_700_000_000_000).await;
	TestMiner::connect(&server, "alice").await;
	let red = key(directory.path(), "red", Limits::default()).await;
	let red = client(&server, &bearer(&red));
	let inbox = Inbox::default();
	inbox.will(&[
		Reply::Status(500),
		Reply::Redirect,
		Reply::Status(404),
		Reply::Huge,
	]);
	let (_receiver, address) = inbox.serve(ANY).await;
	let task = submit(&red, "one", &format!("http://{address}/hook")).await;
	red.task_cancel(task.id).await.unwrap();
	inbox.until(&server, 1).await;
	let mut lines = Vec::new();
	for _ in 0..500 {
		lines = failing(&server).await;
		if !lines.is_empty() {
			break;
		}
		tokio::time::sleep(Duration::from_millis(10)).await;
	}
	assert_eq!((lines[0].task, lines[0].tries), (task.id, 1));
	assert!(lines[0].failure.as_ref().unwrap().contains("500"));
	let calls = inbox.until(&server, 4).await;
	for call in &calls {
		assert_eq!((&call.id, call.path.as_str()), (&calls[0].id, "/hook"));
		assert_eq!(call.signature, signature(directory.path(), call));
	}
	for _ in 0..500 {
		if failing(&server).await.is_empty() {
			break;
		}
		tokio::time::sleep(Duration::from_millis(10)).await;
	}
	server.pass(DAY_MS);
	tokio::time::sleep(Duration::from_secs(1)).await;
	assert_eq!(inbox.calls().len(), 4, "answered once, called no more");
	server.stop().await;
}

#[tokio::test]
async fn who_hangs_holds_nobody_else_up() {
	let directory = tempfile::tempdir().unwrap();
	let server = Server::start_with(directory.path(), lax(), 1_700_000_000_000).await;
	TestMiner::connect(&server, "alice").await;
	let red = key(directory.path(), "red", Limits::default()).await;
	let red = client(&server, &bearer(&red));
	let (stuck, good) = (Inbox::default(), Inbox::default());
	stuck.will(&[Reply::Hang; 50]);
	let (_stuck, stuck_at) = stuck.serve(ANY).await;
	let (_good, good_at) = good.serve(ANY).await;
	for number in 0..10 {
		let task = submit(&red, &format!("{number}"), &format!("http://{stuck_at}/")).await;
		red.task_cancel(task.id).await.unwrap();
	}
	let task = submit(&red, "good", &format!("http://{good_at}/")).await;
	red.task_cancel(task.id).await.unwrap();
	good.until(&server, 1).await;
	assert!(stuck.calls().len() <= 4, "few at once to one host");
	for _ in 0..1_000 {
		if !failing(&server).await.is_empty() {
			break;
		}
		tokio::time::sleep(Duration::from_millis(50)).await;
	}
	let why = failing(&server).await[0].failure.clone().unwrap();
	assert!(why.contains("no answer"), "{why}");
	server.stop().await;
}

#[tokio::test]
async fn a_call_survives_the_death_of_the_coordinator() {
	let directory = tempfile::tempdir().unwrap();
	let start = 1_700_000_000_000;
	let server = Server::start_with(directory.path(), lax(), start).await;
	TestMiner::connect(&server, "alice").await;
	let red = key(directory.path(), "red", Limits::default()).await;
	let red = client(&server, &bearer(&red));
	let inbox = Inbox::default();
	inbox.will(&[Reply::Hang]);
	let (receiver, address) = inbox.serve(ANY).await;
	let task = submit(&red, "one", &format!("http://{address}/")).await;
	red.task_cancel(task.id).await.unwrap();
	let first = inbox.until(&server, 1).await;
	server.kill();
	drop(receiver);

	// Nobody is there at first.
	let server = Server::start_with(directory.path(), lax(), start + 120_000).await;
	for _ in 0..500 {
		if !failing(&server).await.is_empty() {
			break;
		}
		tokio::time::sleep(Duration::from_millis(10)).await;
	}
	assert_eq!(failing(&server).await.len(), 1);
	server.kill();
	let (_receiver, _) = inbox.serve(address).await;
	let server = Server::start_with(directory.path(), lax(), start + 180_000).await;
	let calls = inbox.until(&server, 2).await;
	assert_eq!(calls[1].id, first[0].id);
	server.stop().await;
}

#[tokio::test]
async fn calls_that_fail_for_a_day_are_given_up_and_go_with_their_tasks() {
	let directory = tempfile::tempdir().unwrap();
	let settings = Settings {
		retention_ms: DAY_MS / 24,
		..lax()
	};
	let server = Server::start_with(directory.path(), settings, 1_700_000_000_000).await;
	TestMiner::connect(&server, "alice").await;
	let red = key(directory.path(), "red", Limits::default()).await;
	let red = client(&server, &bearer(&red));
	// A port that nobody listens at.
	let url = "http://127.0.0.1:1/";
	let task = submit(&red, "one", url).await;
	red.task_cancel(task.id).await.unwrap();
	let until = |count: usize| {
		let server = &server;
		async move {
			for _ in 0..500 {
				if failing(server).await.len() == count {
					return;
				}
				tokio::time::sleep(Duration::from_millis(10)).await;
			}
			panic!("not {count} calls fail: {:?}", failing(server).await);
		}
	};
	until(1).await;
	server.pass(DAY_MS);
	until(0).await;
	let task = submit(&red, "two", url).await;
	red.task_cancel(task.id).await.unwrap();
	until(1).await;
	server.pass(DAY_MS / 24 + 1);
	retention::pass(&server.coordinator).await.unwrap();
	until(0).await;
	server.stop().await;
}

#[tokio::test]
async fn webhooks_lead_only_where_the_operator_lets_them() {
	let directory = tempfile::tempdir().unwrap();
	let settings = Settings {
		webhooks: Rules {
			http: true,
			private: false,
		},
		..Settings::default()
	};
	let server = Server::start_with(directory.path(), settings, 1_700_000_000_000).await;
	TestMiner::connect(&server, "alice").await;
	let red = key(directory.path(), "red", Limits::default()).await;
	let red = client(&server, &bearer(&red));
	let inbox = Inbox::default();
	let (_receiver, address) = inbox.serve(ANY).await;
	let options = |webhook: String| {
		Some(SubmitOptions {
			webhook: Some(webhook),
			..SubmitOptions::default()
		})
	};
	for wrong in [
		format!("http://{address}/"),
		"http://169.254.169.254/latest/meta-data".into(),
		"ftp://app.example/".into(),
		"app.example".into(),
		String::new(),
	] {
		let refused = red.task_submit(request("one"), options(wrong)).await;
		assert_eq!(code(refused), ErrorCode::WebhookInvalid);
	}
	let keyless = server
		.client
		.task_submit(request("one"), options("https://app.example/".into()))
		.await;
	assert_eq!(code(keyless), ErrorCode::WebhookInvalid);

	// What counts is where the name leads when it is called.
	let url = format!("http://localhost:{}/", address.port());
	let task = submit(&red, "one", &url).await;
	red.task_cancel(task.id).await.unwrap();
	for _ in 0..500 {
		if !failing(&server).await.is_empty() {
			break;
		}
		tokio::time::sleep(Duration::from_millis(10)).await;
	}
	let why = failing(&server).await[0].failure.clone().unwrap();
	assert!(why.contains("public internet"), "{why}");
	assert!(inbox.calls().is_empty());
	assert_eq!(server.state(task.id).await, TaskState::Cancelled);
	server.stop().await;
}
