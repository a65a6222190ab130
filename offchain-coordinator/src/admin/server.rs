//! The interface's server.

use super::{BanRequest, ErrorBody, UnbanRequest, DEFAULT_TASKS};
use crate::{
	connections::{self, Bounds},
	coordinator::Coordinator,
	metrics,
};
use axum::{
	extract::{
		rejection::{JsonRejection, QueryRejection},
		DefaultBodyLimit, Path, Query, Request, State,
	},
	http::{header, HeaderMap, StatusCode},
	middleware::{self, Next},
	response::{IntoResponse, Response},
	routing::{get, post},
	Json, Router,
};
use cuckoo_coordinator_api::{
	error::{ApiError, ErrorCode},
	task::TaskState,
};
use cuckoo_primitives::{task::TaskId, AccountId};
use serde::Deserialize;
use std::{net::IpAddr, sync::Arc, time::Duration};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tower::limit::GlobalConcurrencyLimitLayer;
use tower_http::{catch_panic::CatchPanicLayer, timeout::TimeoutLayer};

/// Largest body of a request.
const MAX_BODY_BYTES: usize = 8 * 1024;
/// Connections that can be open.
const MAX_CONNECTIONS: u32 = 64;
/// Requests that are answered at once; further ones wait.
const MAX_REQUESTS: usize = 16;
/// How long a request may take.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How long open requests are given when the service stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

type Shell = State<Arc<Coordinator>>;
type Answer<T> = Result<Json<T>, Refused>;

/// Serves until `stop`. `allow_remote` lets callers name this machine by any address.
pub async fn serve(
	coordinator: Arc<Coordinator>,
	listener: TcpListener,
	allow_remote: bool,
	stop: CancellationToken,
) {
	let router = router(coordinator, allow_remote);
	connections::serve(
		listener,
		Bounds::of(MAX_CONNECTIONS),
		STOP_TIMEOUT,
		stop,
		|_peer| router.clone(),
	)
	.await;
}

fn router(coordinator: Arc<Coordinator>, allow_remote: bool) -> Router {
	Router::new()
		.route("/metrics", get(metrics_text))
		.route("/status", get(status))
		.route("/miners", get(miners))
		.route("/tasks", get(tasks))
		.route("/tasks/{id}", get(task))
		.route("/webhooks", get(webhooks))
		.route("/ban", post(ban))
		.route("/unban", post(unban))
		.route("/drain", post(drain))
		.route("/undrain", post(undrain))
		.fallback(|| async {
			let message = "There is nothing here: see docs/coordinator.md.";
			refuse(StatusCode::NOT_FOUND, message)
		})
		.method_not_allowed_fallback(|| async {
			let message = "Ask with GET, change with POST: see docs/coordinator.md.";
			refuse(StatusCode::METHOD_NOT_ALLOWED, message)
		})
		.layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
		.layer(TimeoutLayer::with_status_code(
			StatusCode::REQUEST_TIMEOUT,
			TIMEOUT,
		))
		.layer(GlobalConcurrencyLimitLayer::new(MAX_REQUESTS))
		.layer(CatchPanicLayer::new())
		.layer(middleware::from_fn(move |request, next| {
			guard(allow_remote, request, next)
		}))
		.with_state(coordinator)
}

/// Refuses what a page in the operator's browser could send: by a name that was made to point here,
/// or without asking first whether it may.
async fn guard(allow_remote: bool, request: Request, next: Next) -> Response {
	let headers = request.headers();
	let host = headers
		.get(header::HOST)
		.and_then(|host| host.to_str().ok());
	if !host.is_some_and(|host| names_this_machine(host, allow_remote)) {
		let message = "The Host header must be localhost or a loopback address; with \
			admin_allow_remote any IP address. Call the interface by its address.";
		return refuse(StatusCode::FORBIDDEN, message);
	}
	let reads = request.method().is_safe();
	if !reads && !is_json(headers) {
		let message = "Changes are asked for with `content-type: application/json`.";
		return refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, message);
	}
	next.run(request).await
}

/// Whether a Host header names this machine without a name service: a name could have been made to
/// point here by whoever wrote the page that asks.
fn names_this_machine(host: &str, allow_remote: bool) -> bool {
	let name = match host.strip_prefix('[') {
		Some(rest) => match rest.split_once(']') {
			Some((name, port)) if port.is_empty() || is_port(port) => name,
			_ => return false,
		},
		None => match host.find(':') {
			Some(place) if is_port(&host[place..]) => &host[..place],
			Some(_) => return false,
			None => host,
		},
	};
	if name.eq_ignore_ascii_case("localhost") {
		return true;
	}
	name.parse()
		.is_ok_and(|address: IpAddr| address.is_loopback() || allow_remote)
}

fn is_port(text: &str) -> bool {
	text.strip_prefix(':')
		.is_some_and(|port| port.parse::<u16>().is_ok())
}

fn is_json(headers: &HeaderMap) -> bool {
	let value = headers
		.get(header::CONTENT_TYPE)
		.and_then(|it| it.to_str().ok());
	let kind = value.and_then(|value| value.split(';').next());
	kind.is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

async fn metrics_text(State(coordinator): Shell) -> Result<Response, Refused> {
	let text = coordinator.metrics_text().await?;
	Ok(([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response())
}

async fn status(State(coordinator): Shell) -> Answer<super::Status> {
	Ok(Json(coordinator.admin_status().await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MinersQuery {
	from: Option<AccountId>,
	limit: Option<u32>,
}

async fn miners(
	State(coordinator): Shell,
	query: Result<Query<MinersQuery>, QueryRejection>,
) -> Answer<super::Miners> {
	let Query(query) = query?;
	Ok(Json(coordinator.admin_miners(query.from, query.limit)?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TasksQuery {
	state: Option<TaskState>,
	limit: Option<u32>,
}

async fn tasks(
	State(coordinator): Shell,
	query: Result<Query<TasksQuery>, QueryRejection>,
) -> Answer<Vec<cuckoo_coordinator_api::task::TaskStatus>> {
	let Query(query) = query?;
	let limit = query.limit.unwrap_or(DEFAULT_TASKS);
	Ok(Json(coordinator.admin_tasks(query.state, limit).await?))
}

async fn task(State(coordinator): Shell, Path(id): Path<String>) -> Answer<super::TaskDetails> {
	let id = serde_json::from_value::<TaskId>(id.into());
	let id = id.map_err(|_| {
		let message = "A task's id is 0x and 32 hex digits.";
		ApiError::with_message(ErrorCode::ParameterInvalid, message).about("id")
	})?;
	Ok(Json(coordinator.admin_task(id).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WebhooksQuery {
	limit: Option<u32>,
}

async fn webhooks(
	State(coordinator): Shell,
	query: Result<Query<WebhooksQuery>, QueryRejection>,
) -> Answer<Vec<super::WebhookLine>> {
	let Query(query) = query?;
	let limit = query.limit.unwrap_or(DEFAULT_TASKS);
	Ok(Json(coordinator.admin_webhooks(limit).await?))
}

async fn ban(
	State(coordinator): Shell,
	body: Result<Json<BanRequest>, JsonRejection>,
) -> Answer<crate::bans::Ban> {
	let Json(request) = body?;
	Ok(Json(coordinator.ban(request).await?))
}

async fn unban(
	State(coordinator): Shell,
	body: Result<Json<UnbanRequest>, JsonRejection>,
) -> Answer<super::Status> {
	let Json(request) = body?;
	coordinator.unban(request.account).await?;
	Ok(Json(coordinator.admin_status().await?))
}

async fn drain(State(coordinator): Shell) -> Answer<super::Status> {
	coordinator.drain();
	tracing::warn!("draining, as the operator asked");
	Ok(Json(coordinator.admin_status().await?))
}

async fn undrain(State(coordinator): Shell) -> Answer<super::Status> {
	coordinator.undrain();
	tracing::warn!("new tasks are taken again, as the operator asked");
	Ok(Json(coordinator.admin_status().await?))
}

/// A refusal of a request as such.
fn refuse(status: StatusCode, message: &str) -> Response {
	Refused(
		ApiError::with_message(ErrorCode::ParameterInvalid, message),
		status,
	)
	.into_response()
}

struct Refused(ApiError, StatusCode);

impl From<ApiError> for Refused {
	fn from(error: ApiError) -> Self {
		let status = match error.code {
			ErrorCode::TaskNotFound => StatusCode::NOT_FOUND,
			ErrorCode::Internal => StatusCode::INTERNAL_SERVER_ERROR,
			ErrorCode::ChainUnavailable => StatusCode::SERVICE_UNAVAILABLE,
			_ => StatusCode::BAD_REQUEST,
		};
		Self(error, status)
	}
}

impl From<QueryRejection> for Refused {
	fn from(rejection: QueryRejection) -> Self {
		ApiError::with_message(ErrorCode::ParameterInvalid, rejection.body_text()).into()
	}
}

impl From<JsonRejection> for Refused {
	fn from(rejection: JsonRejection) -> Self {
		ApiError::with_message(ErrorCode::ParameterInvalid, rejection.body_text()).into()
	}
}

impl IntoResponse for Refused {
	fn into_response(self) -> Response {
		let Refused(error, status) = self;
		let body = ErrorBody {
			code: error.code.code(),
			name: error.code.name().to_owned(),
			message: error.message,
			subject: error.subject,
		};
		(status, Json(body)).into_response()
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn only_addresses_name_this_machine() {
		let here = [
			"localhost",
			"LOCALHOST:1",
			"127.0.0.1",
			"127.8.8.8:8646",
			"[::1]",
			"[::1]:8646",
		];
		for host in here {
			assert!(names_this_machine(host, false), "{host}");
		}
		let remote = ["10.0.0.1:8646", "192.168.1.1", "[2001:db8::1]:1"];
		for host in remote {
			assert!(!names_this_machine(host, false), "{host}");
			assert!(names_this_machine(host, true), "{host}");
		}
		let never = [
			"",
			":",
			"evil.example",
			"evil.example:8646",
			"localhost.evil.example",
			"127.0.0.1.evil",
			"localhost:x",
			"localhost:99999",
			"[::1",
			"[::1]x",
			"[localhost.evil]",
			"127.0.0.1:1:2",
			"evil@localhost:1",
			"::1",
		];
		for host in never {
			assert!(!names_this_machine(host, true), "{host}");
		}
	}
}
