//! What the HTTP side is, for machines: the OpenAPI document at `/openapi.json`. Each route brings its
//! own description, from where it is answered; here is what they have in common, and what is sent the
//! other way.

use cuckoo_primitives::H256;
use serde::{Deserialize, Serialize};
use utoipa::{
	openapi::{
		path::{
			OperationBuilder, Parameter, ParameterBuilder, ParameterIn, PathItem, PathsBuilder,
		},
		request_body::RequestBodyBuilder,
		security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
		Components, ContentBuilder, HttpMethod, ObjectBuilder, Ref, RefOr, Required,
		ResponseBuilder, Schema, Type,
	},
	Modify, OpenApi, ToSchema,
};

/// What the routes add themselves to.
#[derive(OpenApi)]
#[openapi(
	info(
		title = "Cuckoo coordinator",
		description = "The HTTP side. JSON-RPC describes itself by rpc.discover.",
		license(name = "Apache-2.0", identifier = "Apache-2.0"),
	),
	paths(crate::http::json_rpc, crate::http::openapi),
	components(schemas(Hash, TaskEvent)),
	modifiers(&Bearers, &Webhooks),
)]
pub(crate) struct Document;

/// The name of an artifact: the BLAKE3 hash of its PNG.
#[derive(ToSchema)]
#[schema(as = Hash, value_type = String, pattern = "^0x[0-9a-f]{64}$")]
pub(crate) struct Hash(#[allow(dead_code, reason = "only described")] H256);

/// A picture.
#[derive(ToSchema)]
#[schema(value_type = String, content_media_type = "image/png")]
pub(crate) struct Png(#[allow(dead_code, reason = "only described")] Vec<u8>);

/// What the bearer of a token is.
struct Bearers;

impl Modify for Bearers {
	fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
		let components = document.components.get_or_insert_with(Components::new);
		for (name, description) in [
			("apiKey", "An app's API key, ck_ and 64 hex digits."),
			("session", "A miner's session token."),
		] {
			let bearer = HttpBuilder::new()
				.scheme(HttpAuthScheme::Bearer)
				.description(Some(description))
				.build();
			components.add_security_scheme(name, SecurityScheme::Http(bearer));
		}
	}
}

/// What apps are told at their webhooks.
struct Webhooks;

impl Modify for Webhooks {
	fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
		let event = ContentBuilder::new()
			.schema(Some(Ref::from_schema_name(TaskEvent::name())))
			.build();
		let body = RequestBodyBuilder::new()
			.content("application/json", event)
			.required(Some(Required::True))
			.build();
		let taken =
			"It was taken. Any other answer, and none within 15 seconds, has it sent again, for \
			a day.";
		let operation = OperationBuilder::new()
			.operation_id(Some("taskEnded"))
			.summary(Some("Sent to the webhook of a task when it has ended."))
			.description(Some(
				"At least once, in no order; signed as Standard Webhooks has it. See docs/protocol.md.",
			))
			.parameter(text_header(
				"webhook-id",
				"Stays the same when the call is made again.",
			))
			.parameter(text_header(
				"webhook-timestamp",
				"When this call is made, in seconds of Unix time.",
			))
			.parameter(text_header(
				"webhook-signature",
				"`v1,` and the Base64 of HMAC-SHA256 over `id.timestamp.body`.",
			))
			.request_body(Some(body))
			.response("2XX", ResponseBuilder::new().description(taken).build())
			.build();
		let item = PathItem::new(HttpMethod::Post, operation);
		document.webhooks = Some(PathsBuilder::new().path("taskEnded", item).build());
	}
}

fn text_header(name: &str, description: &str) -> Parameter {
	let text = ObjectBuilder::new().schema_type(Type::String).build();
	ParameterBuilder::new()
		.name(name)
		.parameter_in(ParameterIn::Header)
		.required(Required::True)
		.description(Some(description))
		.schema(Some(RefOr::T(Schema::Object(text))))
		.build()
}

/// What a webhook is told of a task that has ended.
#[derive(Serialize, ToSchema)]
pub(crate) struct TaskEvent {
	/// `task.done`, `task.failed`, `task.cancelled` or `task.expired`.
	#[serde(rename = "type")]
	pub kind: String,
	/// When the task ended, in milliseconds of Unix time.
	pub timestamp: u64,
	/// What there is to know of it.
	pub data: TaskEventData,
}

/// The task of an event.
#[derive(Serialize, ToSchema)]
pub(crate) struct TaskEventData {
	/// Its `TaskStatus`, as `rpc.discover` describes it.
	#[schema(value_type = Object)]
	pub status: cuckoo_coordinator_api::task::TaskStatus,
	/// Its `TaskResult`, once it is done.
	#[schema(value_type = Option<Object>, required = true)]
	pub result: Option<cuckoo_coordinator_api::task::TaskResult>,
}

/// An error, with the same code, name and sentence as JSON-RPC's.
#[derive(Serialize, ToSchema)]
#[schema(as = Error)]
pub(crate) struct Problem {
	/// The stable code: docs/protocol.md lists them.
	pub code: i32,
	/// The code's name.
	pub name: &'static str,
	/// What, where and what to do.
	pub message: String,
	/// What it is about: a field, a hash.
	#[schema(required = true)]
	pub subject: Option<String>,
}

/// An error as OpenAI's clients read it.
#[derive(Serialize, ToSchema)]
pub(crate) struct OpenAiError {
	/// The error.
	pub error: OpenAiProblem,
}

/// What is wrong.
#[derive(Serialize, ToSchema)]
pub(crate) struct OpenAiProblem {
	/// What, where and what to do.
	pub message: String,
	/// `invalid_request_error`, `rate_limit_error` or `server_error`.
	#[serde(rename = "type")]
	pub kind: &'static str,
	/// The field that is wrong.
	#[schema(required = true)]
	pub param: Option<String>,
	/// The error's name.
	pub code: String,
}

/// What is read of a request; clients send more, which is ignored.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct Generation {
	/// What the picture shows.
	pub prompt: String,
	/// Name or hash.
	pub model: Option<String>,
	/// How many pictures.
	#[schema(minimum = 1, maximum = 4)]
	pub n: Option<i64>,
	/// `auto`, or width and height as in `512x512`.
	pub size: Option<String>,
	/// `url` or `b64_json`.
	pub response_format: Option<String>,
	/// `png`.
	pub output_format: Option<String>,
	/// Not true: pictures are not streamed.
	pub stream: Option<bool>,
	/// What it does not show. Not OpenAI's, like what follows: as in `task_submit`.
	pub negative_prompt: Option<String>,
	/// The same seed gives the same picture; the second of a request has the next one.
	pub seed: Option<u64>,
	/// Steps of denoising.
	#[schema(minimum = 1, maximum = 150)]
	pub steps: Option<i64>,
	/// How much the prompt counts.
	#[schema(minimum = 0, maximum = 50)]
	pub guidance: Option<f64>,
}

/// Pictures.
#[derive(Serialize, ToSchema)]
pub(crate) struct Pictures {
	/// When the last of their tasks was submitted, in seconds of Unix time.
	pub created: u64,
	/// `png`.
	pub output_format: &'static str,
	/// One for each that was asked for.
	pub data: Vec<Picture>,
}

/// One picture: a URL, or the PNG itself.
#[derive(Serialize, ToSchema)]
pub(crate) struct Picture {
	/// The task that made it.
	pub task_id: String,
	/// Where it is.
	#[serde(skip_serializing_if = "Option::is_none")]
	pub url: Option<String>,
	/// The PNG in Base64.
	#[serde(skip_serializing_if = "Option::is_none")]
	pub b64_json: Option<String>,
}

/// The models that connected miners hold.
#[derive(Serialize, ToSchema)]
pub(crate) struct Models {
	/// `list`.
	pub object: &'static str,
	/// Each once.
	pub data: Vec<Model>,
}

/// A model.
#[derive(Serialize, ToSchema)]
pub(crate) struct Model {
	/// Its name, or its hash when another has the same name.
	pub id: String,
	/// `model`.
	pub object: &'static str,
	/// 0: it is not known.
	pub created: u64,
	/// `cuckoo`.
	pub owned_by: &'static str,
}
