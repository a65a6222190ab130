//! An app's view of a coordinator: submit a task, wait for it, fetch the picture.

use crate::{evidence::Evidence, Error, Result};
use cuckoo_coordinator_api::{
	limits::MAX_ARTIFACT_BYTES,
	payment::ChannelPayment,
	rpc::TaskRpcClient,
	task::{SubmitOptions, TaskRequest, TaskState, TaskStatus},
};
use cuckoo_primitives::{task::TaskId, H256};
use futures::StreamExt;
use jsonrpsee::{
	core::ClientError,
	http_client::{HttpClient, HttpClientBuilder},
	ws_client::WsClientBuilder,
};
use std::time::{Duration, Instant};

/// Longest wait for one reply.
const REPLY_TIMEOUT: Duration = Duration::from_secs(10);
/// How often [`App::wait`] asks.
const ASK_EVERY: Duration = Duration::from_millis(10);
/// How long [`App::wait`] rests when the coordinator cannot be reached.
const RETRY_AFTER: Duration = Duration::from_millis(200);

/// A coordinator's client.
#[derive(Clone, Debug)]
pub struct App {
	rpc: HttpClient,
	http: reqwest::Client,
	url: String,
}

impl App {
	/// A client of the coordinator at `url` (`http://…`). Connects at the first call.
	pub fn new(url: impl Into<String>) -> Result<Self> {
		let url = url.into();
		let rpc = HttpClientBuilder::default()
			.request_timeout(REPLY_TIMEOUT)
			.build(&url)?;
		let http = reqwest::Client::builder()
			.timeout(REPLY_TIMEOUT)
			.build()
			.map_err(|error| Error::Artifact(error.to_string()))?;
		Ok(Self { rpc, http, url })
	}

	/// The coordinator's URL.
	pub fn url(&self) -> &str {
		&self.url
	}

	/// The JSON-RPC client, for calls that have no helper here.
	pub fn rpc(&self) -> &HttpClient {
		&self.rpc
	}

	/// Submits a task under an idempotency key.
	pub async fn submit(&self, spec: TaskRequest, key: impl Into<String>) -> Result<TaskStatus> {
		let options = SubmitOptions {
			idempotency_key: Some(key.into()),
			..SubmitOptions::default()
		};
		Ok(self.rpc.task_submit(spec, Some(options)).await?)
	}

	/// Submits a task under an idempotency key and pays for it through a channel.
	pub async fn submit_paid(
		&self,
		spec: TaskRequest,
		key: impl Into<String>,
		payment: ChannelPayment,
	) -> Result<TaskStatus> {
		let options = SubmitOptions {
			idempotency_key: Some(key.into()),
			payment: Some(payment),
			..SubmitOptions::default()
		};
		Ok(self.rpc.task_submit(spec, Some(options)).await?)
	}

	/// Waits until the task is done. A coordinator that is down meanwhile is waited for; a refusal or
	/// another end of the task is an error.
	pub async fn wait(&self, id: TaskId, limit: Duration) -> Result<TaskStatus> {
		let start = Instant::now();
		loop {
			let pause = match self.rpc.task_status(id).await {
				Ok(status) if status.state == TaskState::Done => return Ok(status),
				Ok(status) if status.state.is_final() || start.elapsed() > limit => {
					return Err(unfinished(status))
				},
				Ok(_) => ASK_EVERY,
				Err(error @ ClientError::Call(_)) => return Err(error.into()),
				Err(error) if start.elapsed() > limit => return Err(error.into()),
				Err(_) => RETRY_AFTER,
			};
			tokio::time::sleep(pause).await;
		}
	}

	/// Follows the task by subscription until it is done and calls `seen` with each status.
	pub async fn follow(
		&self,
		id: TaskId,
		limit: Duration,
		mut seen: impl FnMut(&TaskStatus),
	) -> Result<TaskStatus> {
		let follow = async {
			let url = self.url.replacen("http", "ws", 1);
			let client = WsClientBuilder::default()
				.request_timeout(REPLY_TIMEOUT)
				.build(&url)
				.await?;
			let mut events = client.task_subscribe(id).await?;
			while let Some(event) = events.next().await {
				let status = event.map_err(ClientError::ParseError)?;
				seen(&status);
				if status.state == TaskState::Done {
					return Ok(status);
				}
				if status.state.is_final() {
					return Err(unfinished(status));
				}
			}
			// The coordinator closed the subscription early: its store still knows.
			self.wait(id, limit).await
		};
		match tokio::time::timeout(limit, follow).await {
			Ok(status) => status,
			Err(_) => Err(unfinished(self.rpc.task_status(id).await?)),
		}
	}

	/// An artifact's bytes, at most as many as the API allows.
	pub async fn artifact(&self, hash: &H256) -> Result<Vec<u8>> {
		let url = format!("{}/artifacts/0x{}", self.url, hex::encode(hash));
		let failed = |error: reqwest::Error| Error::Artifact(format!("{url}: {error}"));
		let reply = self.http.get(&url).send().await.map_err(failed)?;
		let mut body = reply.error_for_status().map_err(failed)?.bytes_stream();
		let mut bytes = Vec::new();
		while let Some(chunk) = body.next().await {
			bytes.extend_from_slice(&chunk.map_err(failed)?);
			if bytes.len() > MAX_ARTIFACT_BYTES {
				return Err(Error::Artifact(format!(
					"{url}: above {MAX_ARTIFACT_BYTES} bytes"
				)));
			}
		}
		Ok(bytes)
	}

	/// Everything that is served about a task that is done.
	pub async fn evidence(&self, id: TaskId, key: Option<String>) -> Result<Evidence> {
		let result = self.rpc.task_result(id).await?;
		Ok(Evidence {
			status: self.rpc.task_status(id).await?,
			draw: self.rpc.coordinator_draw(id, Some(result.attempt)).await?,
			picture: self.artifact(&result.artifact).await?,
			result,
			idempotency_key: key,
		})
	}
}

fn unfinished(status: TaskStatus) -> Error {
	Error::TaskFailed {
		id: status.id,
		state: status.state.name().to_owned(),
		reason: status
			.reason
			.unwrap_or_else(|| "no reason was given".to_owned()),
	}
}
