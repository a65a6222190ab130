//! The one port: JSON-RPC over HTTP and WebSocket at `/`, artifacts by hash, and whether the service
//! is alive and ready.

use crate::{
	apps::Caller,
	artifacts::PutError,
	connections::{self, Bounds, Listener},
	coordinator::{disk, internal, Coordinator},
	openai,
	openapi::{Document, Hash, Png, Problem},
	rpc,
};
use axum::{
	body::{Body, BodyDataStream},
	extract::{Extension, Path, Request, State},
	http::{header, HeaderMap, HeaderValue, StatusCode},
	middleware::AddExtension,
	response::{IntoResponse, Response},
	routing::get,
	Json, Router,
};
use bytes::Bytes;
use cuckoo_coordinator_api::{
	error::{ApiError, ErrorCode},
	limits::{MAX_ARTIFACT_BYTES, MAX_REQUEST_BYTES},
};
use cuckoo_primitives::H256;
use futures::{future::Either, StreamExt};
use httpdate::fmt_http_date;
use jsonrpsee::server::{
	stop_channel, BatchRequestConfig, HttpBody, PingConfig, Server, ServerConfig, ServerHandle,
	TowerService,
};
use std::{
	future::Future,
	net::IpAddr,
	sync::Arc,
	time::{Duration, UNIX_EPOCH},
};
use tokio_util::sync::CancellationToken;
use tower::{Layer, Service};
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};

/// Largest JSON-RPC reply: the list of eligible miners in a draw's proof can be long.
const MAX_RESPONSE_BYTES: u32 = 64 * 1024 * 1024;
/// Most requests in a batch.
const MAX_BATCH: u32 = 32;
/// Most subscriptions of one connection.
const MAX_SUBSCRIPTIONS: u32 = 128;
/// Messages that a slow WebSocket client can be behind.
const MESSAGE_BUFFER: u32 = 64;
/// How long an upload may take.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(300);
/// Most bytes of a refused upload that are taken in.
const MAX_DISCARDED_BYTES: usize = 2 * MAX_ARTIFACT_BYTES;
/// How long a refused upload is taken in.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a JSON-RPC request may take: the longest poll, and time to send it.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(120);
/// How often an idle WebSocket is asked whether it lives.
const PING_INTERVAL: Duration = Duration::from_secs(20);
/// How long open connections are given to finish when the service stops.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

type RpcService = TowerService<tower::layer::util::Identity, tower::layer::util::Identity>;

/// What requests are answered with.
#[derive(Clone)]
pub(crate) struct Shell {
	coordinator: Arc<Coordinator>,
	rpc: RpcService,
}

/// Serves until `stop`, then lets open requests finish.
pub async fn serve(
	coordinator: Arc<Coordinator>,
	listener: impl Into<Listener>,
	bounds: Bounds,
	stop: CancellationToken,
) {
	let (service, rpc_handle) = service(coordinator, bounds.all);
	let listener = listener.into();
	let is_tls = listener.is_tls();
	let connections = connections::serve(listener, bounds, STOP_TIMEOUT, stop.clone(), |peer| {
		service.of(peer.ip(), is_tls)
	});
	let end_rpc = async {
		stop.cancelled().await;
		// An error means that it has stopped already.
		let _ = rpc_handle.stop();
	};
	tokio::join!(connections, end_rpc);
}

/// What answers on the port, without the port.
#[derive(Clone, Debug)]
pub struct Answers(Router);

impl Answers {
	/// Answers a client at this address, over TLS or not.
	pub fn of(&self, address: IpAddr, is_tls: bool) -> AddExtension<Router, Peer> {
		Extension(Peer { address, is_tls }).layer(self.0.clone())
	}
}

/// What answers on the port, and what ends its JSON-RPC.
pub fn service(coordinator: Arc<Coordinator>, max_connections: u32) -> (Answers, ServerHandle) {
	let (stop_rpc, rpc_handle) = stop_channel();
	let config = ServerConfig::builder()
		.max_connections(max_connections)
		.max_request_body_size(MAX_REQUEST_BYTES)
		.max_response_body_size(MAX_RESPONSE_BYTES)
		.max_subscriptions_per_connection(MAX_SUBSCRIPTIONS)
		.set_message_buffer_capacity(MESSAGE_BUFFER)
		.set_batch_request_config(BatchRequestConfig::Limit(MAX_BATCH))
		.enable_ws_ping(PingConfig::new().ping_interval(PING_INTERVAL))
		.build();
	let rpc = Server::builder()
		.set_config(config)
		.to_service_builder()
		.build(rpc::methods(coordinator.clone()), stop_rpc);
	(Answers(router(Shell { coordinator, rpc })), rpc_handle)
}

fn router(shell: Shell) -> Router {
	let described = OpenApiRouter::with_openapi(Document::openapi())
		.routes(routes!(get_artifact, put_artifact))
		.routes(routes!(healthz))
		.routes(routes!(readyz))
		.with_state(shell.clone())
		.merge(openai::routes(shell.coordinator.clone()));
	let (router, document) = described.split_for_parts();
	let document = serde_json::to_vec(&document).expect("its keys are strings; qed");
	let document = Bytes::from(document);
	router
		// Whatever the method: a WebSocket begins with GET.
		.route("/", axum::routing::any(json_rpc))
		.route("/openapi.json", get(move || openapi(document)))
		.fallback(|| async {
			(
				StatusCode::NOT_FOUND,
				"There is nothing here: see docs/protocol.md.",
			)
		})
		.with_state(shell)
		.layer(CatchPanicLayer::new())
}

/// The other end of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Peer {
	/// Its address.
	pub(crate) address: IpAddr,
	/// Whether it speaks TLS with this process.
	pub(crate) is_tls: bool,
}

/// JSON-RPC 2.0, over HTTP and WebSocket; its methods by rpc.discover.
//
// What is returned holds no more than the answer needs: thousands of miners wait for theirs.
#[utoipa::path(
	post,
	path = "/",
	tag = "service",
	security((), ("apiKey" = [])),
	request_body(content = Object, description = "A request, or a list of them."),
	responses((status = 200, description = "A reply.", body = Object)),
)]
pub(crate) fn json_rpc(
	State(mut shell): State<Shell>,
	Extension(peer): Extension<Peer>,
	mut request: Request,
) -> impl Future<Output = Response> + Send {
	let trust_proxy = shell.coordinator.settings().trust_proxy;
	let caller = Caller::new(request.headers(), peer.address, trust_proxy);
	request.extensions_mut().insert(caller);
	let is_too_large = |length: usize| length > MAX_REQUEST_BYTES as usize;
	let reply = if content_length(request.headers()).is_some_and(is_too_large) {
		let taken_in = async move { shell.rpc.call(taken_in(request).await).await };
		Either::Left(Box::pin(taken_in))
	} else {
		Either::Right(shell.rpc.call(request))
	};
	async move {
		match tokio::time::timeout(REQUEST_TIMEOUT, reply).await {
			Ok(Ok(response)) => response.map(body),
			Ok(Err(error)) => {
				tracing::debug!(%error, "a request broke");
				StatusCode::BAD_REQUEST.into_response()
			},
			Err(_) => StatusCode::REQUEST_TIMEOUT.into_response(),
		}
	}
}

/// Takes in the body of a request that is too large, which is refused by its length alone: a client
/// that still sends would see the connection break instead of the reason.
async fn taken_in(request: Request) -> Request {
	let (head, body) = request.into_parts();
	discard(&mut body.into_data_stream()).await;
	Request::from_parts(head, Body::empty())
}

fn body(body: HttpBody) -> Body {
	Body::new(body)
}

/// This document.
#[utoipa::path(
	get,
	path = "/openapi.json",
	tag = "service",
	responses((status = 200, description = "OpenAPI.", body = Object)),
)]
pub(crate) async fn openapi(document: Bytes) -> Response {
	let json = [(header::CONTENT_TYPE, "application/json")];
	(json, document).into_response()
}

/// Whether the process serves.
#[utoipa::path(
	get,
	path = "/healthz",
	tag = "service",
	responses((status = 200, description = "It does.", body = String)),
)]
async fn healthz() -> &'static str {
	"ok"
}

/// Whether the chain is known and the operator is an active coordinator.
#[utoipa::path(
	get,
	path = "/readyz",
	tag = "service",
	responses(
		(status = 200, description = "Both.", body = String),
		(status = 503, description = "What is missing.", body = Problem),
	),
)]
async fn readyz(State(shell): State<Shell>) -> Response {
	match shell.coordinator.readiness() {
		Ok(()) => "ready".into_response(),
		Err(error) => Refused(error).into_response(),
	}
}

/// An artifact never changes: whoever has it need not ask again.
const FOREVER: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

/// The picture of a task that is done.
#[utoipa::path(
	get,
	path = "/artifacts/{hash}",
	tag = "artifacts",
	params(("hash" = Hash, Path)),
	responses(
		(status = 200, description = "The picture, for ever the same.", content_type = "image/png", body = Png),
		(status = 400, description = "That is no hash.", body = Problem),
		(status = 404, description = "It is not here, or no longer.", body = Problem),
		(status = 500, description = "Something failed inside.", body = Problem),
		(status = 503, description = "Where artifacts are kept is away: try again shortly.", body = Problem),
	),
)]
async fn get_artifact(
	State(shell): State<Shell>,
	Path(hash): Path<String>,
) -> Result<Response, Refused> {
	let hash = parse_hash(&hash)?;
	let not_found = || ApiError::new(ErrorCode::ArtifactNotFound).about(format!("{hash:?}"));
	// What was uploaded and is nobody's result is not served: this is no place to keep files.
	if !shell
		.coordinator
		.store()
		.is_result(&hash)
		.await
		.map_err(internal)?
	{
		let removed = shell.coordinator.store().artifact_removed_ms(&hash).await;
		return Err(match removed.map_err(internal)? {
			Some(removed_ms) => gone(&hash, removed_ms).into(),
			None => not_found().into(),
		});
	}
	let opened = shell
		.coordinator
		.artifacts()
		.stream(&hash)
		.await
		.map_err(disk)?;
	let (parts, size) = opened.ok_or_else(not_found)?;
	let headers = [
		(header::CONTENT_TYPE, HeaderValue::from_static("image/png")),
		(header::CONTENT_LENGTH, HeaderValue::from(size)),
		(header::CACHE_CONTROL, FOREVER),
		(
			header::X_CONTENT_TYPE_OPTIONS,
			HeaderValue::from_static("nosniff"),
		),
	];
	Ok((headers, Body::from_stream(parts)).into_response())
}

/// An artifact that was here for as long as artifacts are kept.
fn gone(hash: &H256, removed_ms: u64) -> ApiError {
	let when = UNIX_EPOCH.checked_add(Duration::from_millis(removed_ms));
	let when = when.map_or_else(String::new, |when| format!(" on {}", fmt_http_date(when)));
	let message = format!("The artifact was removed{when}: this coordinator keeps them no longer.");
	ApiError::with_message(ErrorCode::ArtifactNotFound, message).about(format!("{hash:?}"))
}

/// A miner uploads a picture for an attempt that it holds.
#[utoipa::path(
	put,
	path = "/artifacts/{hash}",
	tag = "artifacts",
	params(("hash" = Hash, Path)),
	security(("session" = [])),
	request_body(content = Png, content_type = "image/png"),
	responses(
		(status = 200, description = "It was there."),
		(status = 201, description = "It is on disk."),
		(status = 400, description = "That is no hash, or the upload broke off.", body = Problem),
		(status = 401, description = "There is no such session.", body = Problem),
		(status = 403, description = "The miner holds no attempt that waits for a picture.", body = Problem),
		(status = 413, description = "It is larger than 32 MiB.", body = Problem),
		(status = 422, description = "It has another hash, or is no PNG.", body = Problem),
		(status = 500, description = "Something failed inside.", body = Problem),
		(status = 503, description = "Where artifacts are kept is away: try again shortly.", body = Problem),
	),
)]
async fn put_artifact(
	State(shell): State<Shell>,
	Path(hash): Path<String>,
	headers: HeaderMap,
	body: Body,
) -> Result<StatusCode, Refused> {
	let mut body = body.into_data_stream();
	let outcome = take_upload(&shell.coordinator, &hash, &headers, &mut body).await;
	if !matches!(outcome, Ok(StatusCode::CREATED)) {
		discard(&mut body).await;
	}
	outcome
}

async fn take_upload(
	coordinator: &Coordinator,
	hash: &str,
	headers: &HeaderMap,
	body: &mut BodyDataStream,
) -> Result<StatusCode, Refused> {
	let hash = parse_hash(hash)?;
	let token = bearer(headers)
		.ok_or(ErrorCode::SessionInvalid)
		.map_err(ApiError::from)?;
	if content_length(headers).is_some_and(|length| length > MAX_ARTIFACT_BYTES) {
		return Err(ApiError::new(ErrorCode::ArtifactTooLarge)
			.about(format!("{hash:?}"))
			.into());
	}
	let task = coordinator.upload_begins(&token)?;
	let artifacts = coordinator.artifacts();
	{
		// Not while somebody looks whether it can go.
		let _naming = coordinator.naming().read().await;
		let renewed = artifacts.renew(&hash).await;
		if renewed.is_err() {
			coordinator.upload_undone(&task);
		}
		if renewed.map_err(disk)? {
			return Ok(StatusCode::OK);
		}
	}
	match tokio::time::timeout(UPLOAD_TIMEOUT, artifacts.put(&hash, body)).await {
		Ok(Ok(())) => Ok(StatusCode::CREATED),
		Ok(Err(PutError::Refused(error))) => Err(error.into()),
		Ok(Err(PutError::Storage(error))) => {
			coordinator.upload_undone(&task);
			Err(disk(error).into())
		},
		Ok(Err(PutError::BrokenOff)) | Err(_) => Err(ApiError::with_message(
			ErrorCode::ParameterInvalid,
			"The upload broke off or took too long.",
		)
		.into()),
	}
}

/// Takes in what a client is still sending, within bounds: it only reads why it was refused once it
/// has sent everything.
pub(crate) async fn discard(body: &mut BodyDataStream) {
	let rest = async {
		let mut left = MAX_DISCARDED_BYTES;
		while let Some(Ok(chunk)) = body.next().await {
			left = left.saturating_sub(chunk.len());
			if left == 0 {
				break;
			}
		}
	};
	// Who is slower than that sees the connection close.
	let _ = tokio::time::timeout(DISCARD_TIMEOUT, rest).await;
}

fn content_length(headers: &HeaderMap) -> Option<usize> {
	let value = headers.get(header::CONTENT_LENGTH)?;
	value.to_str().ok()?.parse().ok()
}

fn parse_hash(text: &str) -> Result<H256, Refused> {
	let parsed = text
		.starts_with("0x")
		.then(|| text.parse::<H256>().ok())
		.flatten();
	parsed.ok_or_else(|| {
		let message = "An artifact's name is 0x and 64 hex digits.";
		Refused(ApiError::with_message(ErrorCode::ParameterInvalid, message).about("hash"))
	})
}

fn bearer(headers: &HeaderMap) -> Option<H256> {
	let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
	value.strip_prefix("Bearer ")?.trim().parse().ok()
}

/// An error as HTTP has it: a status, and the same code, name and sentence as JSON-RPC's.
struct Refused(ApiError);

impl From<ApiError> for Refused {
	fn from(error: ApiError) -> Self {
		Self(error)
	}
}

impl IntoResponse for Refused {
	fn into_response(self) -> Response {
		use ErrorCode::*;
		let Refused(error) = self;
		let status = match error.code {
			ParameterInvalid => StatusCode::BAD_REQUEST,
			SessionInvalid => StatusCode::UNAUTHORIZED,
			LeaseNotHeld => StatusCode::FORBIDDEN,
			ArtifactNotFound => StatusCode::NOT_FOUND,
			ArtifactTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
			ArtifactHashMismatch | ArtifactNotPng => StatusCode::UNPROCESSABLE_ENTITY,
			ChainUnavailable | Draining | ArtifactStorageAway => StatusCode::SERVICE_UNAVAILABLE,
			_ => StatusCode::INTERNAL_SERVER_ERROR,
		};
		let body = Problem {
			code: error.code.code(),
			name: error.code.name(),
			message: error.message,
			subject: error.subject,
		};
		(status, Json(body)).into_response()
	}
}
