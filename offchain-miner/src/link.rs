//! A coordinator as the miner reaches it: the session, calls with an end, and uploads.
//!
//! Every call that needs a session opens one when there is none, and opens a new one once when the
//! coordinator says that the old one has ended, as after its restart.

use crate::{device::Profile, trust::Trust, ui::printable, upload::Uploader};
use cuckoo_chain_client::Registry;
use cuckoo_coordinator_api::{
	error::{self, ApiError},
	limits,
	miner::{
		Held, Hello, Outcome, Poll, PollReply, Progress, ProgressReply, Session, Submit,
		SubmitReply,
	},
	payment::SignedVoucher,
	rpc::MinerRpcClient,
	ErrorCode,
};
use cuckoo_primitives::{
	signing::{self, MinerLogin},
	AccountId, WorkerId, H256,
};
use http::{uri::InvalidUri, StatusCode, Uri};
use jsonrpsee::{
	core::ClientError,
	http_client::{HttpClient, HttpClientBuilder},
};
use serde::Deserialize;
use sp_core::{sr25519, Pair};
use std::{
	future::Future,
	sync::{
		atomic::{AtomicBool, Ordering},
		Arc,
	},
	time::Duration,
};
use tokio::sync::{watch, Mutex};

/// How long a call may take that does not wait for anything.
const CALL_TIMEOUT: Duration = Duration::from_secs(20);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How much later than agreed a poll may come back.
const POLL_SLACK: Duration = Duration::from_secs(15);
/// Calls that wait for their answers at once: the poll, one or two for each task, and what goes back. A
/// coordinator that answers none of them takes no more connections than that.
const MAX_CALLS: usize = 2 * limits::MAX_SLOTS as usize;
/// A poll's reply holds one spec at most.
const MAX_RESPONSE_BYTES: u32 = 256 * 1024;

/// The chain as the miner sees it: the last finalized registry, `None` until the first is there.
#[derive(Clone)]
pub struct Chain {
	/// The chain.
	pub genesis_hash: H256,
	/// Its operators, as of the last finalized block.
	pub registry: watch::Receiver<Option<Arc<Registry>>>,
	/// Whether no newer block has come for long.
	pub stalled: Arc<AtomicBool>,
}

impl Chain {
	/// Whether no newer block has come for long: the operators may have changed since.
	pub fn is_stalled(&self) -> bool {
		self.stalled.load(Ordering::SeqCst)
	}

	/// The last finalized registry.
	pub fn current(&self) -> Option<Arc<Registry>> {
		self.registry.borrow().clone()
	}
}

/// Why a call came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
	/// The coordinator did not answer, or not in time, or not sensibly.
	#[error("no answer: {0}")]
	Unreachable(String),
	/// The coordinator refused the call, with a stable code.
	#[error(transparent)]
	Refused(#[from] ApiError),
	/// The coordinator opens no session for this miner; the call itself was not made.
	#[error("not admitted: {0}")]
	NotAdmitted(ApiError),
	/// The coordinator refused with a code that this version does not know.
	#[error("refused with the unknown code {code}: {message}")]
	UnknownCode {
		/// The code.
		code: i32,
		/// The sentence that came with it.
		message: String,
	},
	/// It says to be someone else than the chain says.
	#[error(
		"it is run for coordinator {0}, which is not the operator the chain names at this address"
	)]
	OtherCoordinator(AccountId),
	/// It is on another chain.
	#[error("it is on the chain with genesis {0:?}, this miner is not")]
	OtherChain(H256),
	/// The address cannot be used.
	#[error("its address {0:?} cannot be used: {1}")]
	BadAddress(String, String),
}

impl LinkError {
	/// The code with which this call was refused.
	pub fn code(&self) -> Option<ErrorCode> {
		match self {
			LinkError::Refused(error) => Some(error.code),
			_ => None,
		}
	}

	/// Whether this address is not the coordinator's at all: trying again is no use.
	pub fn is_wrong_party(&self) -> bool {
		matches!(
			self,
			LinkError::OtherCoordinator(_) | LinkError::OtherChain(_) | LinkError::BadAddress(..)
		)
	}
}

impl From<ClientError> for LinkError {
	fn from(error: ClientError) -> Self {
		match error {
			ClientError::Call(object) => match error::from_object(&object) {
				Some(error) => LinkError::Refused(printable_error(error)),
				None => LinkError::UnknownCode {
					code: object.code(),
					message: printable(object.message()),
				},
			},
			ClientError::Transport(source) => LinkError::Unreachable(chain_of_causes(&*source)),
			other => LinkError::Unreachable(printable(&other.to_string())),
		}
	}
}

/// What a coordinator writes is shown to people: without control characters, and not too long.
fn printable_error(error: ApiError) -> ApiError {
	ApiError {
		code: error.code,
		message: printable(&error.message),
		subject: error.subject.as_deref().map(printable),
	}
}

/// "error sending request: connection refused": the outermost cause alone says little.
fn chain_of_causes(error: &(dyn std::error::Error + 'static)) -> String {
	std::iter::successors(Some(error), |error| error.source())
		.map(ToString::to_string)
		.collect::<Vec<_>>()
		.join(": ")
}

/// See the module's documentation.
pub struct Link {
	coordinator: AccountId,
	/// Without a slash at its end.
	url: String,
	rpc: HttpClient,
	uploader: Uploader,
	worker: sr25519::Pair,
	profile: Profile,
	chain: Chain,
	/// Locked while a session is opened, so that it is opened once.
	session: Mutex<Option<Session>>,
	/// How often it logged in.
	log_ins: watch::Sender<u64>,
}

impl Link {
	/// A link to `coordinator` at `url`. Nothing is sent yet.
	pub fn new(
		coordinator: AccountId,
		url: &str,
		worker: sr25519::Pair,
		profile: Profile,
		chain: Chain,
		trust: &Trust,
	) -> Result<Self, LinkError> {
		let bad = |reason: String| LinkError::BadAddress(url.to_owned(), reason);
		let rpc = HttpClientBuilder::default()
			.max_request_size(limits::MAX_REQUEST_BYTES)
			.max_response_size(MAX_RESPONSE_BYTES)
			.max_concurrent_requests(MAX_CALLS)
			.connect_timeout(CONNECT_TIMEOUT)
			.with_custom_cert_store(trust.config())
			// Each call has its own, shorter limit; this is the last resort.
			.request_timeout(Duration::from_millis(limits::MAX_POLL_WAIT_MS) + POLL_SLACK)
			.build(url)
			.map_err(|error| bad(error.to_string()))?;
		let url = url.trim_end_matches('/').to_owned();
		Ok(Self {
			coordinator,
			url,
			rpc,
			uploader: Uploader::new(CONNECT_TIMEOUT, trust),
			worker,
			profile,
			chain,
			session: Mutex::default(),
			log_ins: watch::Sender::new(0),
		})
	}

	/// Whose link this is.
	pub fn coordinator(&self) -> &AccountId {
		&self.coordinator
	}

	/// Where it leads.
	pub fn url(&self) -> &str {
		&self.url
	}

	/// The chain that the coordinator is checked against.
	pub fn chain(&self) -> &Chain {
		&self.chain
	}

	/// The miner's own worker.
	pub fn worker(&self) -> WorkerId {
		self.worker.public()
	}

	/// How often it has logged in so far.
	pub fn log_ins(&self) -> watch::Receiver<u64> {
		self.log_ins.subscribe()
	}

	/// The session, opened if there is none.
	pub async fn session(&self) -> Result<Session, LinkError> {
		let mut session = self.session.lock().await;
		match &*session {
			Some(session) => Ok(session.clone()),
			None => {
				let opened = self.log_in().await.map_err(|error| match error {
					LinkError::Refused(error) => LinkError::NotAdmitted(error),
					other => other,
				})?;
				self.log_ins.send_modify(|count| *count += 1);
				Ok(session.insert(opened).clone())
			},
		}
	}

	async fn log_in(&self) -> Result<Session, LinkError> {
		let worker = self.worker.public();
		let challenge = timed(CALL_TIMEOUT, self.rpc.miner_challenge(worker)).await?;
		// A signature for another coordinator would let this one log in there as us.
		if challenge.coordinator != self.coordinator {
			return Err(LinkError::OtherCoordinator(challenge.coordinator));
		}
		if challenge.genesis_hash != self.chain.genesis_hash {
			return Err(LinkError::OtherChain(challenge.genesis_hash));
		}
		let login = MinerLogin {
			coordinator: self.coordinator.clone(),
			worker,
			challenge: challenge.challenge.0,
		};
		let hello = Hello {
			worker,
			challenge: challenge.challenge,
			signature: signing::sign(&self.chain.genesis_hash, &login, &self.worker),
			models: self.profile.models.clone(),
			device: self.profile.device(),
			device_name: self.profile.device_name.clone(),
			slots: self.profile.tasks_at_once,
			engine: self.profile.engine().to_owned(),
		};
		timed(CALL_TIMEOUT, self.rpc.miner_hello(hello)).await
	}

	/// Makes `call` with a session, and once more with a new one if that session has ended.
	async fn in_session<T, F>(&self, call: impl Fn(H256) -> F) -> Result<T, LinkError>
	where
		F: Future<Output = Result<T, LinkError>>,
	{
		let token = self.session().await?.token;
		match call(token).await {
			Err(error) if error.code() == Some(ErrorCode::SessionInvalid) => {
				self.forget(token).await;
				let token = self.session().await?.token;
				call(token).await
			},
			done => done,
		}
	}

	/// Forgets the session, unless someone has opened a new one since.
	async fn forget(&self, token: H256) {
		let mut session = self.session.lock().await;
		if session
			.as_ref()
			.is_some_and(|session| session.token == token)
		{
			*session = None;
		}
	}

	/// Asks for work and waits for it up to `wait`.
	pub async fn poll(
		&self,
		free_slots: u16,
		holding: Vec<Held>,
		wait: Duration,
	) -> Result<PollReply, LinkError> {
		let wait = wait.min(Duration::from_millis(limits::MAX_POLL_WAIT_MS));
		// At most a minute, so the milliseconds fit.
		let wait_ms = wait.as_millis() as u64;
		self.in_session(|token| {
			let poll = Poll {
				token,
				free_slots,
				wait_ms,
				holding: holding.clone(),
			};
			timed(wait + POLL_SLACK, self.rpc.miner_poll(poll))
		})
		.await
	}

	/// Tells how far an attempt is.
	pub async fn progress(&self, held: Held, steps_done: u16) -> Result<ProgressReply, LinkError> {
		let Held { task, attempt } = held;
		self.in_session(|token| {
			let progress = Progress {
				token,
				task,
				attempt,
				steps_done,
			};
			timed(CALL_TIMEOUT, self.rpc.miner_progress(progress))
		})
		.await
	}

	/// Ends an attempt.
	pub async fn submit(&self, held: Held, outcome: Outcome) -> Result<SubmitReply, LinkError> {
		let Held { task, attempt } = held;
		self.in_session(|token| {
			let submit = Submit {
				token,
				task,
				attempt,
				outcome: outcome.clone(),
			};
			timed(CALL_TIMEOUT, self.rpc.miner_submit(submit))
		})
		.await
	}

	/// Asks for all that the coordinator has signed for.
	pub async fn vouchers(&self) -> Result<Vec<SignedVoucher>, LinkError> {
		self.in_session(|token| timed(CALL_TIMEOUT, self.rpc.miner_vouchers(token)))
			.await
	}

	/// Uploads a picture under its BLAKE3 hash.
	pub async fn upload(&self, hash: H256, picture: bytes::Bytes) -> Result<(), LinkError> {
		let url = format!("{}/artifacts/{hash:?}", self.url);
		let url: Uri = url.parse().map_err(|error: InvalidUri| {
			LinkError::BadAddress(self.url.clone(), error.to_string())
		})?;
		self.in_session(|token| {
			let (picture, url) = (picture.clone(), &url);
			async move {
				let token = format!("{token:?}");
				match self.uploader.put(url, &token, "image/png", picture).await {
					Ok(Ok(())) => Ok(()),
					Ok(Err(refusal)) => Err(upload_refusal(refusal.status, &refusal.body)),
					Err(error) => Err(LinkError::Unreachable(chain_of_causes(&*error))),
				}
			}
		})
		.await
	}
}

/// Whether this is an absolute `http` or `https` URL.
pub fn is_http_url(text: &str) -> bool {
	text.parse::<Uri>().is_ok_and(|url| {
		matches!(url.scheme_str(), Some("http" | "https"))
			&& url.host().is_some_and(|host| !host.is_empty())
	})
}

/// The body of an HTTP error: the same code, sentence and subject as in JSON-RPC.
#[derive(Deserialize)]
struct HttpError {
	code: i32,
	message: String,
	subject: Option<String>,
}

fn upload_refusal(status: StatusCode, body: &[u8]) -> LinkError {
	if let Ok(error) = serde_json::from_slice::<HttpError>(body) {
		return match ErrorCode::from_code(error.code) {
			Some(code) => LinkError::Refused(printable_error(ApiError {
				code,
				message: error.message,
				subject: error.subject,
			})),
			None => LinkError::UnknownCode {
				code: error.code,
				message: printable(&error.message),
			},
		};
	}
	match status {
		StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
			LinkError::Refused(ErrorCode::SessionInvalid.into())
		},
		StatusCode::PAYLOAD_TOO_LARGE => LinkError::Refused(ErrorCode::ArtifactTooLarge.into()),
		// A proxy in front of it, or a fault inside: neither says anything about the picture.
		_ => LinkError::Unreachable(format!("the upload was answered with HTTP status {status}")),
	}
}

async fn timed<T>(
	limit: Duration,
	call: impl Future<Output = Result<T, ClientError>>,
) -> Result<T, LinkError> {
	match tokio::time::timeout(limit, call).await {
		Ok(done) => done.map_err(LinkError::from),
		Err(_) => Err(LinkError::Unreachable(format!(
			"nothing within {} s",
			limit.as_secs()
		))),
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn addresses_are_absolute_http_urls() {
		for good in [
			"http://a",
			"https://a.b:1/c",
			"http://127.0.0.1:8645",
			"http://[::1]:1",
		] {
			assert!(is_http_url(good), "{good}");
		}
		for bad in [
			"",
			"a",
			"a:1",
			"/a",
			"ftp://a",
			"file:///a",
			"http://",
			"http:///a",
			"http://a b",
		] {
			assert!(!is_http_url(bad), "{bad}");
		}
	}

	#[test]
	fn upload_errors_keep_their_code_and_proxies_are_no_verdict() {
		let body = br#"{"code":1202,"name":"ArtifactNotPng","message":"no PNG","subject":null}"#;
		let error = upload_refusal(StatusCode::BAD_REQUEST, body);
		assert_eq!(error.code(), Some(ErrorCode::ArtifactNotPng));
		let error = upload_refusal(StatusCode::BAD_GATEWAY, b"<html>");
		assert!(matches!(error, LinkError::Unreachable(_)));
		let error = upload_refusal(StatusCode::UNAUTHORIZED, b"");
		assert_eq!(error.code(), Some(ErrorCode::SessionInvalid));
	}
}
