//! Makes the calls: a bounded number at once, in all and to each host, each with an end.

use super::{
	sign::Secret,
	target::{self, Resolver},
};
use crate::{
	clock::UnixMs,
	coordinator::{internal, Coordinator, Result},
	openapi::{TaskEvent, TaskEventData},
	outbound::{self, chain_of_causes, Outbound},
	store::WebhookRow,
};
use axum::http::{header, Request, StatusCode, Uri};
use bytes::Bytes;
use cuckoo_coordinator_api::task::TaskState;
use cuckoo_primitives::task::TaskId;
use http_body_util::Full;
use hyper_util::client::legacy::connect::HttpConnector;
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio::{task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;

/// Most calls at once.
const MAX_CALLS: usize = 32;
/// Most calls to one host at once.
const MAX_CALLS_A_HOST: usize = 4;
/// How long a call may take, from the look-up of the host to the head of the answer.
const CALL_TIMEOUT: Duration = Duration::from_secs(15);
/// How often to look for calls that are due.
const EVERY: Duration = Duration::from_millis(500);
/// After this a call that was claimed may be made again: whoever made it is dead.
const CLAIM_MS: u64 = 60_000;
/// How long a call waits for one of its host's places.
const BUSY_MS: u64 = 1_000;
/// The first pause after a call that failed; each doubles it.
const FIRST_PAUSE_MS: u64 = 5_000;
/// The longest pause, before jitter.
const LONGEST_PAUSE_MS: u64 = 3_600_000;
/// How long a call is tried.
const GIVE_UP_MS: u64 = 86_400_000;

type Client = Outbound<Full<Bytes>, Resolver>;

/// Runs until `stop`. Calls that are cut off then are made again after the next start.
pub async fn run(coordinator: Arc<Coordinator>, stop: CancellationToken) {
	let tcp = HttpConnector::new_with_resolver(Resolver::new(coordinator.settings().webhooks));
	let client: Client = match outbound::client(tcp) {
		Ok(client) => client,
		Err(error) => {
			tracing::error!(%error, "no webhook can be called");
			return;
		},
	};
	let mut calls = Calls::default();
	loop {
		tokio::select! {
			() = stop.cancelled() => return,
			() = coordinator.webhooks().notified() => {},
			() = tokio::time::sleep(EVERY) => {},
			() = calls.ended() => {},
		}
		if let Err(error) = calls.begin(&coordinator, &client).await {
			tracing::error!(%error, "webhooks wait: the store does not answer");
			tokio::time::sleep(EVERY).await;
		}
	}
}

/// The calls that are being made.
#[derive(Default)]
struct Calls {
	running: JoinSet<String>,
	by_host: HashMap<String, usize>,
}

impl Calls {
	/// Waits until one has ended; for ever if there is none.
	async fn ended(&mut self) {
		match self.running.join_next().await {
			Some(Ok(host)) => self.let_go(&host),
			// It broke: whose place it had is not known, so all are counted anew when all have ended.
			Some(Err(_)) => {},
			None => std::future::pending().await,
		}
		if self.running.is_empty() {
			self.by_host.clear();
		}
	}

	fn let_go(&mut self, host: &str) {
		if let Some(count) = self.by_host.get_mut(host) {
			*count -= 1;
			if *count == 0 {
				self.by_host.remove(host);
			}
		}
	}

	/// Begins as many as are due and may be made.
	async fn begin(&mut self, coordinator: &Arc<Coordinator>, client: &Client) -> Result<()> {
		let store = coordinator.store();
		let now_ms = coordinator.now_ms();
		let (waiting, next_ms) = store.webhooks_waiting().await.map_err(internal)?;
		coordinator.metrics().webhooks_waiting(waiting);
		let free = MAX_CALLS - self.running.len();
		if free == 0 || next_ms.is_none_or(|next_ms| next_ms > now_ms) {
			return Ok(());
		}
		let claimed = store.claim_webhooks(now_ms, now_ms.saturating_add(CLAIM_MS), free as u32);
		for row in claimed.await.map_err(internal)? {
			let uri = row.url.parse::<Uri>().ok();
			let host = uri.and_then(|uri| uri.authority().map(ToString::to_string));
			let host = host.unwrap_or_default();
			let at_host = self.by_host.entry(host.clone()).or_default();
			if *at_host >= MAX_CALLS_A_HOST {
				let later_ms = now_ms.saturating_add(jittered(BUSY_MS));
				store
					.postpone_webhook(row.task, later_ms)
					.await
					.map_err(internal)?;
				continue;
			}
			*at_host += 1;
			let (coordinator, client) = (coordinator.clone(), client.clone());
			self.running.spawn(async move {
				if let Err(error) = make(&coordinator, &client, row).await {
					tracing::error!(%error, "what became of a webhook was not noted");
				}
				host
			});
		}
		Ok(())
	}
}

/// Makes a call and notes what became of it.
async fn make(coordinator: &Arc<Coordinator>, client: &Client, row: WebhookRow) -> Result<()> {
	let (store, metrics) = (coordinator.store(), coordinator.metrics());
	let task = row.task;
	let Err(failure) = call(coordinator, client, &row).await else {
		metrics.webhook("delivered");
		tracing::debug!(%task, "a webhook was answered");
		return store.remove_webhook(task).await.map_err(internal);
	};
	let now_ms = coordinator.now_ms();
	let next_ms = now_ms.saturating_add(pause_ms(row.tries));
	if next_ms.saturating_sub(row.created_ms) > GIVE_UP_MS {
		metrics.webhook("given_up");
		tracing::warn!(%task, app = %row.app, url = row.url, failure, "a webhook was given up");
		return store.remove_webhook(task).await.map_err(internal);
	}
	metrics.webhook("failed");
	tracing::debug!(%task, app = %row.app, failure, "a webhook failed");
	let noted = store.webhook_failed(task, next_ms, failure).await;
	noted.map_err(internal)
}

/// How long to wait after so many failures before this one, with jitter.
fn pause_ms(tries: u32) -> u64 {
	let doubled = FIRST_PAUSE_MS.saturating_mul(1 << tries.min(20));
	jittered(doubled.min(LONGEST_PAUSE_MS))
}

/// Within half and one and a half times.
fn jittered(ms: u64) -> u64 {
	ms / 2 + rand::random_range(0..=ms)
}

/// Calls once. Why it is to be made again, if it is.
async fn call(
	coordinator: &Arc<Coordinator>,
	client: &Client,
	row: &WebhookRow,
) -> std::result::Result<(), String> {
	let rules = coordinator.settings().webhooks;
	// What the operator allows may have changed since.
	let uri = target::check(&row.url, rules).map_err(|error| error.message)?;
	let secret = coordinator.store().webhook_secret(&row.app).await;
	let secret = secret.map_err(|error| error.to_string())?;
	let secret = secret.ok_or("the app has no key")?;
	let body = body(coordinator, row.task).await?;
	let request = signed(uri, row.task, coordinator.now_ms(), &secret, body)?;
	let answer = timeout(CALL_TIMEOUT, client.request(request)).await;
	let answer = answer.map_err(|_| format!("no answer within {} s", CALL_TIMEOUT.as_secs()))?;
	let status: StatusCode = answer.map_err(|error| chain_of_causes(&error))?.status();
	// What the answer says is not read: its connection ends here.
	if status.is_success() {
		Ok(())
	} else {
		Err(format!("it was answered with HTTP status {status}"))
	}
}

fn signed(
	uri: Uri,
	task: TaskId,
	now_ms: UnixMs,
	secret: &Secret,
	body: String,
) -> std::result::Result<Request<Full<Bytes>>, String> {
	let id = format!("msg_{}", task.to_string().trim_start_matches("0x"));
	let timestamp = now_ms / 1_000;
	let signature = secret.sign(&id, timestamp, &body);
	Request::post(uri)
		.header(header::CONTENT_TYPE, "application/json")
		.header(
			header::USER_AGENT,
			concat!("cuckoo-coordinator/", env!("CARGO_PKG_VERSION")),
		)
		.header("webhook-id", id)
		.header("webhook-timestamp", timestamp)
		.header("webhook-signature", signature)
		.body(Full::new(Bytes::from(body)))
		.map_err(|error| error.to_string())
}

/// What an app is told: how the task ended, and what came of it.
async fn body(coordinator: &Arc<Coordinator>, task: TaskId) -> std::result::Result<String, String> {
	let status = coordinator.task_status(task).await;
	let status = status.map_err(|error| error.message)?;
	let result = match status.state {
		TaskState::Done => Some(
			coordinator
				.task_result(task)
				.await
				.map_err(|error| error.message)?,
		),
		_ => None,
	};
	let event = TaskEvent {
		kind: format!("task.{}", status.state.name()),
		timestamp: status.updated_ms,
		data: TaskEventData { status, result },
	};
	serde_json::to_string(&event).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn pauses_grow_to_an_hour_and_never_fall_together() {
		for tries in 0..40 {
			let middle = (FIRST_PAUSE_MS << tries.min(20)).min(LONGEST_PAUSE_MS);
			let pause = pause_ms(tries);
			assert!(
				(middle / 2..=middle * 3 / 2).contains(&pause),
				"{tries}: {pause}"
			);
		}
		let pauses: std::collections::HashSet<u64> = (0..50).map(|_| pause_ms(3)).collect();
		assert!(pauses.len() > 10);
	}
}
