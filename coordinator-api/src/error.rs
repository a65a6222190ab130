//! Stable error codes. A code never changes its meaning; the sentence may be improved.

use jsonrpsee::types::ErrorObjectOwned;
use serde::{Deserialize, Serialize};

macro_rules! error_codes {
	($($(#[doc = $doc:literal])+ $name:ident = $code:literal,)+) => {
		/// What went wrong, as a JSON-RPC error code.
		#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
		#[repr(i32)]
		pub enum ErrorCode {
			$($(#[doc = $doc])+ $name = $code,)+
		}

		impl ErrorCode {
			/// Every code.
			pub const ALL: &'static [ErrorCode] = &[$(ErrorCode::$name,)+];

			/// The code's name, stable like its number.
			pub const fn name(self) -> &'static str {
				match self {
					$(ErrorCode::$name => stringify!($name),)+
				}
			}

			/// What it means and what to do, as the documentation says it.
			pub const fn meaning(self) -> &'static str {
				match self {
					$(ErrorCode::$name => concat!($($doc,)+),)+
				}
			}
		}
	};
}

error_codes! {
	// Tasks: 1000 to 1099
	/// The prompt is empty or longer than 4096 bytes.
	PromptInvalid = 1001,
	/// Steps must lie within 1 and the model's maximum.
	StepsInvalid = 1002,
	/// Width and height must be multiples of the model's granularity within its bounds.
	SizeInvalid = 1003,
	/// The guidance scale must be finite and within 0 and 50.
	GuidanceInvalid = 1004,
	/// No miner has offered this model yet: see coordinator_info for the models served.
	ModelUnknown = 1005,
	/// There is no such task here.
	TaskNotFound = 1006,
	/// The task has no result yet: watch its status.
	TaskNotDone = 1007,
	/// The task has ended, so it cannot be cancelled.
	TaskEnded = 1008,
	/// The queue is full: try again later.
	QueueFull = 1009,
	/// The idempotency key is too long, or was used for another spec.
	IdempotencyKeyInvalid = 1010,
	/// There is no such attempt at this task.
	AttemptNotFound = 1011,
	/// A parameter is not of the documented shape.
	ParameterInvalid = 1012,
	/// The API key is unknown or was revoked, or this coordinator takes tasks only with a key, or paid by
	/// a channel.
	ApiKeyInvalid = 1013,
	/// As many tasks of this app wait as may: try again later.
	AppQueueFull = 1014,
	/// Too many tasks in too short a time: try again after the time that the sentence names.
	RateLimited = 1015,
	/// The task costs more than its max_price: the subject names both.
	PriceAboveMaximum = 1016,
	/// The deadline has passed, or is before a lease for the task could end.
	DeadlineTooSoon = 1017,
	/// The webhook is no URL that this coordinator calls, or the app has no API key.
	WebhookInvalid = 1018,
	/// As many calls of this app's webhooks wait as may: answer those first.
	WebhooksBehind = 1019,
	/// The task has a price, and nothing pays for it: open a channel, or have the app's balance credited.
	PaymentRequired = 1020,
	/// The voucher does not pay for the task: the sentence says why, and the subject what is due.
	PaymentInvalid = 1021,
	/// There is no such channel to this coordinator at the last finalized block, or it is closing.
	ChannelNotFound = 1022,
	/// The app's balance does not cover the task: the subject names both.
	BalanceTooLow = 1023,
	/// The coordinator has settled no such era, or owes the miner nothing for it.
	SettlementNotFound = 1024,

	// Miners: 1100 to 1199
	/// The worker belongs to no operator on chain: register it first.
	MinerNotRegistered = 1101,
	/// The operator is no miner.
	NotAMiner = 1102,
	/// The miner has retired.
	MinerRetired = 1103,
	/// The miner's own stake is not above the minimum: stake more.
	MinerUnderstaked = 1104,
	/// The signature does not fit the worker, this coordinator, this chain and the challenge.
	SignatureInvalid = 1105,
	/// The challenge is unknown, used or out of date: ask for a new one.
	ChallengeInvalid = 1106,
	/// The session is unknown or has ended: say hello again.
	SessionInvalid = 1107,
	/// The miner does not hold the lease of this task and attempt.
	LeaseNotHeld = 1108,
	/// This attempt's result was already accepted.
	AlreadySubmitted = 1109,
	/// The lease has run out: the task was handed on.
	LeaseExpired = 1110,
	/// The commitment names another assignment.
	AssignmentMismatch = 1111,
	/// What the miner declares is out of bounds.
	CapabilitiesInvalid = 1112,

	// Artifacts: 1200 to 1299
	/// The bytes do not have that BLAKE3 hash.
	ArtifactHashMismatch = 1201,
	/// The bytes are no valid PNG.
	ArtifactNotPng = 1202,
	/// The picture does not have the task's width and height.
	ArtifactWrongSize = 1203,
	/// The artifact is larger than 32 MiB.
	ArtifactTooLarge = 1204,
	/// There is no such artifact here.
	ArtifactNotFound = 1205,
	/// The artifact must be uploaded before the result is submitted.
	ArtifactMissing = 1206,
	/// Where artifacts are kept cannot be reached now: try again shortly.
	ArtifactStorageAway = 1207,

	// Service: 1300 to 1399
	/// The coordinator has no finalized view of the chain yet: try again shortly.
	ChainUnavailable = 1301,
	/// Something failed inside; the log has the details under the request's id.
	Internal = 1302,
	/// The coordinator is draining and takes no new tasks.
	Draining = 1303,
}

impl ErrorCode {
	/// The number on the wire.
	pub const fn code(self) -> i32 {
		self as i32
	}

	/// The code with that number.
	pub fn from_code(code: i32) -> Option<Self> {
		Self::ALL.iter().copied().find(|known| known.code() == code)
	}
}

/// The `data` of every error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorData {
	/// The code's name.
	pub name: String,
	/// What it is about: a task id, a field, a worker.
	#[serde(skip_serializing_if = "Option::is_none", default)]
	pub subject: Option<String>,
}

/// An error as it travels: code, a sentence, and what it is about.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} (error {}, {})", .code.code(), .code.name())]
pub struct ApiError {
	/// The stable code.
	pub code: ErrorCode,
	/// A sentence that says what, where and what to do.
	pub message: String,
	/// What it is about.
	pub subject: Option<String>,
}

impl ApiError {
	/// The code with its own meaning as the sentence.
	pub fn new(code: ErrorCode) -> Self {
		Self {
			code,
			message: code.meaning().trim().to_owned(),
			subject: None,
		}
	}

	/// A sentence of its own.
	pub fn with_message(code: ErrorCode, message: impl Into<String>) -> Self {
		Self {
			code,
			message: message.into(),
			subject: None,
		}
	}

	/// Names what it is about.
	pub fn about(mut self, subject: impl ToString) -> Self {
		self.subject = Some(subject.to_string());
		self
	}
}

impl From<ErrorCode> for ApiError {
	fn from(code: ErrorCode) -> Self {
		Self::new(code)
	}
}

impl From<ApiError> for ErrorObjectOwned {
	fn from(error: ApiError) -> Self {
		let data = ErrorData {
			name: error.code.name().to_owned(),
			subject: error.subject,
		};
		ErrorObjectOwned::owned(error.code.code(), error.message, Some(data))
	}
}

/// An error as a part of a reply that is none itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorReply {
	/// The code's number.
	pub code: i32,
	/// Its name.
	pub name: String,
	/// The sentence.
	pub message: String,
	/// What it is about.
	pub subject: Option<String>,
}

impl From<ApiError> for ErrorReply {
	fn from(error: ApiError) -> Self {
		Self {
			code: error.code.code(),
			name: error.code.name().to_owned(),
			message: error.message,
			subject: error.subject,
		}
	}
}

/// Reads an error back; `None` for codes that are not of this API.
pub fn from_object(object: &ErrorObjectOwned) -> Option<ApiError> {
	let code = ErrorCode::from_code(object.code())?;
	let data = object
		.data()
		.and_then(|raw| serde_json::from_str::<ErrorData>(raw.get()).ok());
	Some(ApiError {
		code,
		message: object.message().to_owned(),
		subject: data.and_then(|data| data.subject),
	})
}

#[cfg(test)]
mod tests {
	use super::*;
	use std::collections::HashSet;

	#[test]
	fn codes_are_unique_and_survive_the_wire() {
		let mut numbers = HashSet::new();
		for code in ErrorCode::ALL {
			assert!(numbers.insert(code.code()), "{} is used twice", code.code());
			let error = ApiError::new(*code).about("0x01");
			let object = ErrorObjectOwned::from(error.clone());
			assert_eq!(from_object(&object), Some(error));
			assert!(!code.meaning().is_empty());
		}
		assert_eq!(ErrorCode::from_code(0), None);
	}
}
