//! Pictures as OpenAI's clients ask for them: `POST /v1/images/generations`, `GET /v1/models`. Each
//! picture is a task like any other; the request waits for it, and takes it back when its client goes
//! away.

use crate::{
	apps::Caller,
	coordinator::{disk, Coordinator, Result},
	http::{self, Peer},
	openapi::{Generation, Model, Models, OpenAiError, OpenAiProblem, Picture, Pictures},
	rates,
};
use axum::{
	body::{Body, BodyDataStream},
	extract::{Extension, Path, State},
	http::{header, uri::Authority, HeaderMap, HeaderName, StatusCode},
	response::{IntoResponse, Response},
	Json,
};
use base64::{engine::general_purpose::STANDARD, Engine};
use cuckoo_coordinator_api::{
	error::{ApiError, ErrorCode},
	limits::MAX_REQUEST_BYTES,
	task::{ModelInfo, SubmitOptions, TaskRequest, TaskState, TaskStatus},
};
use cuckoo_primitives::task::TaskId;
use futures::StreamExt;
use std::{sync::Arc, time::Duration};
use utoipa_axum::{router::OpenApiRouter, routes};

/// Most pictures of one request.
const MAX_PICTURES: i64 = 4;

/// How long a client may take to send a request.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// Tells OpenAI's clients not to try again by themselves.
const NO_RETRY: (HeaderName, &str) = (HeaderName::from_static("x-should-retry"), "false");

/// The routes under `/v1`.
pub(crate) fn routes<S>(coordinator: Arc<Coordinator>) -> OpenApiRouter<S>
where
	S: Clone + Send + Sync + 'static,
{
	OpenApiRouter::default()
		.routes(routes!(generate))
		.routes(routes!(models))
		.routes(routes!(model))
		.with_state(coordinator)
}

/// How the pictures are given.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Format {
	Url,
	Base64,
}

/// A request that was understood.
#[derive(Debug)]
struct Wanted {
	tasks: Vec<TaskRequest>,
	format: Format,
}

fn understand(body: &[u8]) -> std::result::Result<Wanted, Refused> {
	let asked: Generation = serde_json::from_slice(body).map_err(|error| {
		Refused::parameter(None, format!("The body is not understood: {error}."))
	})?;
	let n = asked.n.unwrap_or(1);
	if !(1..=MAX_PICTURES).contains(&n) {
		let message = format!("1 to {MAX_PICTURES} pictures are made at once.");
		return Err(Refused::parameter(Some("n"), message));
	}
	let format = match asked.response_format.as_deref() {
		None | Some("url") => Format::Url,
		Some("b64_json") => Format::Base64,
		Some(_) => {
			let message = "A response_format is url or b64_json.";
			return Err(Refused::parameter(Some("response_format"), message));
		},
	};
	if asked.output_format.is_some_and(|format| format != "png") {
		return Err(Refused::parameter(
			Some("output_format"),
			"Pictures are png.",
		));
	}
	if asked.stream == Some(true) {
		return Err(Refused::parameter(
			Some("stream"),
			"Pictures are not streamed.",
		));
	}
	let (width, height) = size(asked.size.as_deref())?;
	let request = TaskRequest {
		prompt: asked.prompt,
		negative_prompt: asked.negative_prompt,
		model: asked.model,
		seed: asked.seed,
		steps: asked.steps,
		width,
		height,
		guidance: asked.guidance,
		scheduler: None,
	};
	// Several of one seed would be one picture several times.
	let tasks = (0..n as u64).map(|number| TaskRequest {
		seed: request.seed.map(|seed| seed.wrapping_add(number)),
		..request.clone()
	});
	Ok(Wanted {
		tasks: tasks.collect(),
		format,
	})
}

fn size(asked: Option<&str>) -> std::result::Result<(Option<i64>, Option<i64>), Refused> {
	let Some(text) = asked.filter(|text| *text != "auto") else {
		return Ok((None, None));
	};
	let side = |text: &str| text.parse::<u16>().ok().map(i64::from);
	let sides = text
		.split_once('x')
		.map(|(width, height)| (side(width), side(height)));
	match sides {
		Some((Some(width), Some(height))) => Ok((Some(width), Some(height))),
		_ => Err(Refused::parameter(
			Some("size"),
			"A size is auto, or width and height in pixels as in 512x512.",
		)),
	}
}

/// All of a body. One that is too large is taken in within bounds, so that its client reads why it was
/// refused.
async fn read(body: Body) -> std::result::Result<Vec<u8>, Refused> {
	let mut body = body.into_data_stream();
	let late = |_| Refused::parameter(None, "The body took too long.");
	let whole = tokio::time::timeout(BODY_TIMEOUT, collect(&mut body));
	if let Some(bytes) = whole.await.map_err(late)?? {
		return Ok(bytes);
	}
	http::discard(&mut body).await;
	let message = format!("A request has at most {MAX_REQUEST_BYTES} bytes.");
	Err(Refused {
		status: StatusCode::PAYLOAD_TOO_LARGE,
		..Refused::parameter(None, message)
	})
}

/// The bytes of a body; `None` when they are too many.
async fn collect(body: &mut BodyDataStream) -> std::result::Result<Option<Vec<u8>>, Refused> {
	let mut bytes = Vec::new();
	while let Some(chunk) = body.next().await {
		let chunk = chunk.map_err(|_| Refused::parameter(None, "The body broke off."))?;
		if bytes.len() + chunk.len() > MAX_REQUEST_BYTES as usize {
			return Ok(None);
		}
		bytes.extend_from_slice(&chunk);
	}
	Ok(Some(bytes))
}

/// Makes pictures, as OpenAI's clients ask for them, and waits for them.
#[utoipa::path(
	post,
	path = "/v1/images/generations",
	tag = "OpenAI",
	security((), ("apiKey" = [])),
	request_body = Generation,
	responses(
		(status = 200, description = "The pictures.", body = Pictures),
		(status = 400, description = "A field is wrong: `param` names it.", body = OpenAiError),
		(status = 401, description = "The API key is not known.", body = OpenAiError),
		(status = 402, description = "It costs, and the app's balance does not cover it.", body = OpenAiError),
		(status = 404, description = "No such model is served.", body = OpenAiError),
		(status = 409, description = "The task was cancelled.", body = OpenAiError),
		(status = 413, description = "The request is too large.", body = OpenAiError),
		(status = 429, description = "Too many requests, or too many tasks wait.", body = OpenAiError),
		(status = 500, description = "The task failed, or something did inside.", body = OpenAiError),
		(status = 503, description = "The queue is full, or nobody took the task in time.", body = OpenAiError),
		(status = 504, description = "Not finished in time; the work goes on.", body = OpenAiError),
	),
)]
async fn generate(
	State(coordinator): State<Arc<Coordinator>>,
	Extension(peer): Extension<Peer>,
	headers: HeaderMap,
	body: Body,
) -> std::result::Result<Response, Refused> {
	let body = read(body).await?;
	let caller = Caller::new(&headers, peer.address, coordinator.settings().trust_proxy);
	let app = coordinator.app(&caller).await?;
	let wanted = understand(&body)?;
	let mut pending = Pending {
		coordinator: coordinator.clone(),
		tasks: Vec::new(),
	};
	let mut created_ms = 0;
	for request in wanted.tasks {
		let status = coordinator
			.submit_task(&app, request, SubmitOptions::default())
			.await?;
		created_ms = status.created_ms;
		pending.tasks.push(status.id);
	}
	let pictures = pictures(
		&coordinator,
		&pending.tasks,
		wanted.format,
		base_url(&coordinator, peer, &headers),
	);
	let wait = Duration::from_millis(coordinator.settings().image_wait_ms);
	let pictures = match tokio::time::timeout(wait, pictures).await {
		Ok(pictures) => pictures?,
		// They go on: who has the ids can come back for them.
		Err(_) => return Err(Refused::too_late(std::mem::take(&mut pending.tasks))),
	};
	pending.tasks.clear();
	let reply = Pictures {
		created: created_ms / 1_000,
		output_format: "png",
		data: pictures,
	};
	Ok(Json(reply).into_response())
}

/// The tasks of a request. Those that have not ended when it is dropped are cancelled: the client has
/// gone, or another of its tasks came to nothing.
struct Pending {
	coordinator: Arc<Coordinator>,
	tasks: Vec<TaskId>,
}

impl Drop for Pending {
	fn drop(&mut self) {
		// Without a runtime the process is ending.
		let Ok(runtime) = tokio::runtime::Handle::try_current() else {
			return;
		};
		for task in std::mem::take(&mut self.tasks) {
			let coordinator = self.coordinator.clone();
			// Refused if it has ended.
			runtime.spawn(async move { coordinator.cancel(task).await.is_ok() });
		}
	}
}

async fn pictures(
	coordinator: &Arc<Coordinator>,
	tasks: &[TaskId],
	format: Format,
	base_url: String,
) -> std::result::Result<Vec<Picture>, Refused> {
	let mut pictures = Vec::with_capacity(tasks.len());
	for task in tasks {
		let status = ended(coordinator, *task).await?;
		if status.state != TaskState::Done {
			return Err(Refused::came_to_nothing(status));
		}
		let result = coordinator.task_result(*task).await?;
		let mut picture = Picture {
			task_id: task.to_string(),
			url: None,
			b64_json: None,
		};
		match format {
			Format::Url => picture.url = Some(format!("{base_url}{}", result.path)),
			Format::Base64 => {
				let bytes = coordinator
					.artifacts()
					.read(&result.artifact)
					.await
					.map_err(disk)?
					.ok_or_else(|| ApiError::new(ErrorCode::ArtifactNotFound))?;
				picture.b64_json = Some(STANDARD.encode(bytes));
			},
		}
		pictures.push(picture);
	}
	Ok(pictures)
}

/// Waits until a task has ended.
async fn ended(coordinator: &Arc<Coordinator>, task: TaskId) -> Result<TaskStatus> {
	let (mut status, mut changes) = coordinator.watch(task).await?;
	while !status.state.is_final() {
		status = match changes.recv().await {
			Ok(status) => status,
			// Too slow for every step, or the last one has been told.
			Err(_) => coordinator.task_status(task).await?,
		};
	}
	drop(changes);
	coordinator.live().unwatch(&task);
	Ok(status)
}

/// Where the pictures are, without the path: as the operator says, or as the client has found here.
fn base_url(coordinator: &Coordinator, peer: Peer, headers: &HeaderMap) -> String {
	let settings = coordinator.settings();
	if let Some(url) = &settings.public_url {
		return url.trim_end_matches('/').to_owned();
	}
	let host = headers
		.get(header::HOST)
		.and_then(|host| host.to_str().ok());
	let Some(host) = host.and_then(|host| host.parse::<Authority>().ok()) else {
		return String::new();
	};
	let forwarded = headers
		.get("x-forwarded-proto")
		.filter(|_| settings.trust_proxy);
	let is_https = match forwarded {
		Some(scheme) => scheme.as_bytes() == b"https",
		None => peer.is_tls,
	};
	let scheme = if is_https { "https" } else { "http" };
	format!("{scheme}://{host}")
}

/// The models that connected miners hold.
#[utoipa::path(
	get,
	path = "/v1/models",
	tag = "OpenAI",
	responses((status = 200, description = "The models.", body = Models)),
)]
async fn models(State(coordinator): State<Arc<Coordinator>>) -> Json<Models> {
	let served = served(&coordinator);
	Json(Models {
		object: "list",
		data: served.into_iter().map(|(id, _)| entry(id)).collect(),
	})
}

/// One model.
#[utoipa::path(
	get,
	path = "/v1/models/{id}",
	tag = "OpenAI",
	params(("id" = String, Path, description = "Name or hash.")),
	responses(
		(status = 200, description = "The model.", body = Model),
		(status = 404, description = "No such model is served.", body = OpenAiError),
	),
)]
async fn model(
	State(coordinator): State<Arc<Coordinator>>,
	Path(id): Path<String>,
) -> std::result::Result<Json<Model>, Refused> {
	let served = served(&coordinator);
	let mut served = served.into_iter();
	let found = served.find(|(name, info)| *name == id || format!("{:?}", info.hash) == id);
	let (id, _) = found.ok_or_else(|| ApiError::new(ErrorCode::ModelUnknown).about("model"))?;
	Ok(Json(entry(id)))
}

fn entry(id: String) -> Model {
	Model {
		id,
		object: "model",
		created: 0,
		owned_by: "cuckoo",
	}
}

/// The models that connected miners hold, each by its name, or by its hash when another has the same.
fn served(coordinator: &Coordinator) -> Vec<(String, ModelInfo)> {
	let live = coordinator.live();
	let (_, hashes) = live.online(coordinator.now_ms());
	let models: Vec<&ModelInfo> = hashes
		.iter()
		.filter_map(|hash| live.models.get(hash))
		.collect();
	let id = |info: &ModelInfo| {
		let alone = models
			.iter()
			.filter(|other| other.name == info.name)
			.count() == 1;
		if alone {
			info.name.clone()
		} else {
			format!("{:?}", info.hash)
		}
	};
	models
		.iter()
		.map(|info| (id(info), (*info).clone()))
		.collect()
}

/// A refusal in OpenAI's shape.
#[derive(Debug)]
struct Refused {
	status: StatusCode,
	kind: &'static str,
	code: String,
	message: String,
	param: Option<String>,
	retry_after_ms: Option<u64>,
	final_word: bool,
}

impl Refused {
	fn new(status: StatusCode, kind: &'static str, code: &str, message: impl Into<String>) -> Self {
		Self {
			status,
			kind,
			code: code.to_owned(),
			message: message.into(),
			param: None,
			retry_after_ms: None,
			final_word: false,
		}
	}

	fn parameter(param: Option<&str>, message: impl Into<String>) -> Self {
		let code = ErrorCode::ParameterInvalid.name();
		Self {
			param: param.map(str::to_owned),
			..Self::new(StatusCode::BAD_REQUEST, INVALID, code, message)
		}
	}

	fn too_late(tasks: Vec<TaskId>) -> Self {
		let tasks: Vec<String> = tasks.iter().map(TaskId::to_string).collect();
		let message = format!(
			"Not finished in time. The work goes on: ask task_status for {}.",
			tasks.join(", ")
		);
		Self {
			param: None,
			final_word: true,
			..Self::new(StatusCode::GATEWAY_TIMEOUT, SERVER, "timeout", message)
		}
	}

	fn came_to_nothing(status: TaskStatus) -> Self {
		let (id, state) = (status.id, status.state.name());
		let reason = status
			.reason
			.map(|reason| format!(": {reason}"))
			.unwrap_or_default();
		let message = format!("The task {id} is {state}{reason}.");
		let (http, code) = match status.state {
			TaskState::Expired => (StatusCode::SERVICE_UNAVAILABLE, "task_expired"),
			TaskState::Cancelled => (StatusCode::CONFLICT, "task_cancelled"),
			_ => (StatusCode::INTERNAL_SERVER_ERROR, "task_failed"),
		};
		Self {
			final_word: true,
			..Self::new(http, SERVER, code, message)
		}
	}
}

const INVALID: &str = "invalid_request_error";
const SERVER: &str = "server_error";
const RATE: &str = "rate_limit_error";

impl From<ApiError> for Refused {
	fn from(error: ApiError) -> Self {
		use ErrorCode::*;
		let name = error.code.name();
		let (status, kind, code) = match error.code {
			ApiKeyInvalid => (StatusCode::UNAUTHORIZED, INVALID, "invalid_api_key"),
			ModelUnknown => (StatusCode::NOT_FOUND, INVALID, "model_not_found"),
			PromptInvalid | StepsInvalid | SizeInvalid | GuidanceInvalid | ParameterInvalid => {
				(StatusCode::BAD_REQUEST, INVALID, name)
			},
			PaymentRequired | BalanceTooLow => (StatusCode::PAYMENT_REQUIRED, INVALID, name),
			RateLimited | AppQueueFull => {
				(StatusCode::TOO_MANY_REQUESTS, RATE, "rate_limit_exceeded")
			},
			QueueFull | Draining | ChainUnavailable | ArtifactStorageAway => {
				(StatusCode::SERVICE_UNAVAILABLE, SERVER, name)
			},
			_ => (StatusCode::INTERNAL_SERVER_ERROR, SERVER, name),
		};
		let param = match (error.code, error.subject.as_deref()) {
			(ModelUnknown, _) => Some("model".to_owned()),
			(SizeInvalid, _) => Some("size".to_owned()),
			(_, subject) if status == StatusCode::BAD_REQUEST => subject.map(str::to_owned),
			_ => None,
		};
		Self {
			param,
			retry_after_ms: rates::retry_after_ms(&error),
			..Self::new(status, kind, code, error.message)
		}
	}
}

impl IntoResponse for Refused {
	fn into_response(self) -> Response {
		let body = OpenAiError {
			error: OpenAiProblem {
				message: self.message,
				kind: self.kind,
				param: self.param,
				code: self.code,
			},
		};
		let mut response = (self.status, Json(body)).into_response();
		let headers = response.headers_mut();
		if self.final_word {
			headers.insert(NO_RETRY.0, header::HeaderValue::from_static(NO_RETRY.1));
		}
		if let Some(wait_ms) = self.retry_after_ms {
			headers.insert(header::RETRY_AFTER, wait_ms.div_ceil(1_000).into());
		}
		response
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use serde_json::{json, Value};

	fn wanted(body: Value) -> std::result::Result<Wanted, Option<String>> {
		understand(body.to_string().as_bytes()).map_err(|refused| refused.param)
	}

	#[test]
	fn what_clients_send_is_understood_and_what_they_send_besides_ignored() {
		let wanted = wanted(json!({
			"prompt": "a red apple", "model": "tiny", "n": 3, "size": "16x32", "seed": 7,
			"response_format": "b64_json", "output_format": "png", "user": "u", "quality": "high",
			"style": "vivid", "background": "auto", "moderation": "low", "stream": false,
		}))
		.unwrap();
		assert_eq!((wanted.tasks.len(), wanted.format), (3, Format::Base64));
		let last = &wanted.tasks[2];
		assert_eq!(
			(last.width, last.height, last.seed),
			(Some(16), Some(32), Some(9))
		);
		let plain = super::understand(br#"{"prompt":"a","size":"auto"}"#).unwrap();
		assert_eq!(
			(plain.tasks.len(), plain.format, plain.tasks[0].width),
			(1, Format::Url, None)
		);
	}

	#[test]
	fn what_is_not_made_is_refused_by_the_name_of_the_field() {
		for (field, value) in [
			("n", json!(0)),
			("n", json!(5)),
			("n", json!(i64::MIN)),
			("size", json!("")),
			("size", json!("16")),
			("size", json!("16x")),
			("size", json!("-16x16")),
			("size", json!("16x16x16")),
			("size", json!("99999x16")),
			("response_format", json!("html")),
			("output_format", json!("webp")),
			("stream", json!(true)),
		] {
			let mut body = json!({ "prompt": "a red apple" });
			body[field] = value;
			assert_eq!(
				wanted(body.clone()).unwrap_err().as_deref(),
				Some(field),
				"{body}"
			);
		}
		for broken in [
			json!([]),
			json!({}),
			json!({"prompt": 1}),
			json!({"prompt": "a", "n": "2"}),
		] {
			assert_eq!(wanted(broken).unwrap_err(), None);
		}
	}
}
