//! A coordinator that speaks the real protocol over real HTTP, and misbehaves as it is told.

use axum::{
	body::Bytes,
	extract::{Path, State},
	http::{header, HeaderMap, StatusCode},
	response::{IntoResponse, Json, Response},
	routing::{post, put},
	Router,
};
use cuckoo_coordinator_api::{
	error::ApiError,
	miner::{
		Challenge, Held, Hello, Outcome, Poll, PollReply, Progress, ProgressReply, Session,
		Standing, Submit, SubmitReply, Work,
	},
	payment::{SettlementProof, SignedVoucher},
	rpc::MinerRpcServer,
	Amount, ErrorCode,
};
use cuckoo_primitives::{
	signing::{self, Assignment, MinerLogin, ResultCommitment},
	task::{Attempt, SchedulerKind, TaskId, TaskSpec},
	voucher::MinerVoucher,
	AccountId, EraIndex, WorkerId, WorkerSignature, H256,
};
use jsonrpsee::{
	core::{async_trait, RpcResult},
	RpcModule,
};
use serde_json::json;
use sp_core::{sr25519, Pair};
use std::{
	collections::{BTreeMap, HashMap, VecDeque},
	net::SocketAddr,
	sync::{Arc, Mutex, MutexGuard},
	time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::{net::TcpListener, sync::Notify, task::JoinHandle, time::timeout};

pub const GENESIS: H256 = H256::repeat_byte(1);
pub const MODEL: H256 = H256::repeat_byte(2);

pub fn account(byte: u8) -> AccountId {
	AccountId::new([byte; 32])
}

pub fn key(byte: u8) -> sr25519::Pair {
	sr25519::Pair::from_seed(&[byte; 32])
}

pub fn now_ms() -> u64 {
	SystemTime::now()
		.duration_since(UNIX_EPOCH)
		.unwrap()
		.as_millis() as u64
}

/// The account and the seed of the worker of the miner under test.
pub const MINER: u8 = 20;

pub fn spec(prompt: &str) -> TaskSpec {
	TaskSpec {
		model: MODEL,
		prompt: prompt.into(),
		negative_prompt: String::new(),
		seed: 7,
		steps: 5,
		width: 64,
		height: 64,
		guidance_milli: 3_000,
		scheduler: SchedulerKind::Ddim,
	}
}

#[derive(Default)]
pub struct Seen {
	pub hellos: usize,
	pub polls: Vec<Poll>,
	pub progress: Vec<Progress>,
	pub submits: Vec<Submit>,
	pub artifacts: HashMap<H256, Vec<u8>>,
	pub uploads: usize,
}

impl Seen {
	/// Every commitment that came, in order.
	pub fn commitments(&self) -> Vec<(ResultCommitment, WorkerSignature)> {
		self.submits
			.iter()
			.filter_map(|submit| match &submit.outcome {
				Outcome::Result {
					commitment,
					signature,
				} => Some((commitment.clone(), *signature)),
				Outcome::Failure { .. } => None,
			})
			.collect()
	}

	/// Every reason for which an attempt was given back.
	pub fn failures(&self) -> Vec<String> {
		self.submits
			.iter()
			.filter_map(|submit| match &submit.outcome {
				Outcome::Failure { reason } => Some(reason.clone()),
				Outcome::Result { .. } => None,
			})
			.collect()
	}
}

#[derive(Default)]
pub struct Inner {
	pub seen: Seen,
	session: Option<H256>,
	sessions_opened: u64,
	work: VecDeque<Work>,
	/// What the next submits are answered with instead of being looked at.
	pub submit_faults: VecDeque<ErrorCode>,
	/// Pictures are forgotten as soon as they are uploaded, so many times.
	pub forget_uploads: usize,
	/// Hands out work also to those who offer no slot.
	pub unasked: bool,
	/// Never answers a submit.
	pub silent: bool,
	/// What every progress report is answered with.
	pub stop: bool,
	pub abandon: Vec<Held>,
	/// Whose account the challenge names, if not this coordinator's.
	pub claims_to_be: Option<AccountId>,
	/// What it owes and how it signs for it.
	pub till: Till,
}

/// How the voucher in a reply to an accepted result is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Signs {
	#[default]
	Right,
	Nothing,
	WithAnotherKey,
	ForAnotherEra,
	ForAnotherMiner,
	TooLow,
}

/// What the coordinator owes the miner.
#[derive(Default)]
pub struct Till {
	pub era: EraIndex,
	/// Earned by accepted results in each era.
	pub owed: BTreeMap<EraIndex, u128>,
	/// What tasks earn that were handed out.
	pays: HashMap<(TaskId, Attempt), u128>,
	accepted: BTreeMap<(TaskId, Attempt), EraIndex>,
	/// How the next replies are signed; after that all are right.
	pub signs: VecDeque<Signs>,
	/// The voucher is also kept back when it is asked for.
	pub withholds: bool,
	/// So many results are accepted, and the answer is lost.
	pub lost_replies: usize,
	pub asked: usize,
}

/// Cloned into the server; the state outlives a server that is ended and begun again.
#[derive(Clone)]
pub struct Coordinator {
	pub byte: u8,
	inner: Arc<Mutex<Inner>>,
	changed: Arc<Notify>,
}

/// A running server; ends when dropped, with every connection.
pub struct Server(JoinHandle<()>);

impl Drop for Server {
	fn drop(&mut self) {
		self.0.abort();
	}
}

impl Coordinator {
	/// The worker's seed is the byte after the account's.
	pub fn new(byte: u8) -> Self {
		Self {
			byte,
			inner: Arc::default(),
			changed: Arc::default(),
		}
	}

	pub fn worker(&self) -> sr25519::Pair {
		key(self.byte + 1)
	}

	pub fn lock(&self) -> MutexGuard<'_, Inner> {
		self.inner.lock().unwrap()
	}

	pub async fn serve(&self, address: SocketAddr) -> (Server, SocketAddr) {
		let listener = loop {
			match TcpListener::bind(address).await {
				Ok(listener) => break listener,
				// The server before has not let go of it yet.
				Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
			}
		};
		let address = listener.local_addr().unwrap();
		let app = Router::new()
			.route("/", post(call))
			.route("/artifacts/{hash}", put(upload))
			.with_state((self.clone(), self.clone().into_rpc()));
		let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
		(Server(server), address)
	}

	/// Forgets who is logged in, as after a restart.
	pub fn forget_sessions(&self) {
		self.lock().session = None;
	}

	pub fn assignment(&self, task: u8, attempt: Attempt, spec: &TaskSpec) -> Assignment {
		Assignment {
			coordinator: account(self.byte),
			task: TaskId([task; 16]),
			attempt,
			miner: account(MINER),
			worker: key(MINER).public(),
			spec_hash: spec.hash(),
			model: spec.model,
			deadline_ms: now_ms() + 60_000,
			block_number: 5,
			block_hash: H256::repeat_byte(5),
			randomness: H256::repeat_byte(6),
			eligible_root: H256::repeat_byte(7),
			total_weight: 9,
		}
	}

	pub fn sign(&self, assignment: Assignment, spec: TaskSpec) -> Work {
		self.sign_paid(assignment, spec, 0)
	}

	pub fn sign_paid(&self, assignment: Assignment, spec: TaskSpec, pay: u128) -> Work {
		let signature = signing::sign(&GENESIS, &assignment, &self.worker());
		let attempt = (assignment.task, assignment.attempt);
		self.lock().till.pays.insert(attempt, pay);
		Work {
			spec: spec.into(),
			assignment,
			signature,
			pay: Amount(pay),
		}
	}

	/// The voucher of an era, as it should be.
	pub fn voucher(&self, era: EraIndex, cumulative: u128) -> SignedVoucher {
		self.voucher_for(account(MINER), era, cumulative, &self.worker())
	}

	fn voucher_for(
		&self,
		miner: AccountId,
		era: EraIndex,
		cumulative: u128,
		worker: &sr25519::Pair,
	) -> SignedVoucher {
		let voucher = MinerVoucher {
			coordinator: account(self.byte),
			miner: miner.clone(),
			era,
			cumulative,
		};
		SignedVoucher {
			coordinator: voucher.coordinator.clone(),
			miner,
			era,
			cumulative: Amount(cumulative),
			worker: self.worker().public(),
			signature: signing::sign(&GENESIS, &voucher, worker),
		}
	}

	/// Counts an accepted result once, and signs for it as it is told.
	fn pay(&self, inner: &mut Inner, attempt: (TaskId, Attempt)) -> Option<SignedVoucher> {
		let till = &mut inner.till;
		let pay = till.pays.get(&attempt).copied().unwrap_or(0);
		if pay == 0 {
			return None;
		}
		let era = till.era;
		let before = till.owed.get(&era).copied().unwrap_or(0);
		let era = *till.accepted.entry(attempt).or_insert_with(|| {
			till.owed.insert(era, before + pay);
			era
		});
		let owed = till.owed[&era];
		match till.signs.pop_front().unwrap_or_default() {
			Signs::Right => Some(self.voucher(era, owed)),
			Signs::Nothing => None,
			Signs::WithAnotherKey => {
				Some(self.voucher_for(account(MINER), era, owed, &key(self.byte)))
			},
			Signs::ForAnotherEra => Some(self.voucher(era + 2, owed)),
			Signs::ForAnotherMiner => {
				Some(self.voucher_for(account(MINER + 1), era, owed, &self.worker()))
			},
			Signs::TooLow => Some(self.voucher(era, owed - 1)),
		}
	}

	pub fn hand_out(&self, work: Work) {
		self.lock().work.push_back(work);
		self.changed.notify_waiters();
	}

	/// Hands out an honest task.
	pub fn ask_for(&self, task: u8) -> Assignment {
		let spec = spec(&format!("task {task}"));
		let assignment = self.assignment(task, 0, &spec);
		self.hand_out(self.sign(assignment.clone(), spec));
		assignment
	}

	/// Hands out an honest task that earns something.
	pub fn ask_for_paid(&self, task: u8, pay: u128) -> Assignment {
		let spec = spec(&format!("task {task}"));
		let assignment = self.assignment(task, 0, &spec);
		self.hand_out(self.sign_paid(assignment.clone(), spec, pay));
		assignment
	}

	/// Hands out an honest task with a lease of so many milliseconds, which may be less than none.
	pub fn ask_for_within(&self, task: u8, millis: i64) -> Assignment {
		let spec = spec(&format!("task {task}"));
		let mut assignment = self.assignment(task, 0, &spec);
		assignment.deadline_ms = now_ms().saturating_add_signed(millis);
		self.hand_out(self.sign(assignment.clone(), spec));
		assignment
	}

	/// Waits until what was seen is as it should be.
	pub async fn wait_for(&self, what: &str, is: impl Fn(&Seen) -> bool) {
		let waited = timeout(Duration::from_secs(20), async {
			loop {
				let changed = self.changed.notified();
				if is(&self.lock().seen) {
					return;
				}
				let _ = timeout(Duration::from_millis(50), changed).await;
			}
		});
		assert!(waited.await.is_ok(), "waited in vain for {what}");
	}

	fn check_session(&self, token: H256) -> RpcResult<()> {
		if self.lock().session == Some(token) {
			Ok(())
		} else {
			Err(ApiError::new(ErrorCode::SessionInvalid).into())
		}
	}
}

#[async_trait]
impl MinerRpcServer for Coordinator {
	async fn miner_challenge(&self, _worker: WorkerId) -> RpcResult<Challenge> {
		Ok(Challenge {
			challenge: H256::repeat_byte(9),
			coordinator: self
				.lock()
				.claims_to_be
				.clone()
				.unwrap_or(account(self.byte)),
			genesis_hash: GENESIS,
			expires_in_ms: 60_000,
		})
	}

	async fn miner_hello(&self, hello: Hello) -> RpcResult<Session> {
		let login = MinerLogin {
			coordinator: account(self.byte),
			worker: hello.worker,
			challenge: hello.challenge.0,
		};
		assert!(signing::verify(
			&GENESIS,
			&login,
			&hello.signature,
			&hello.worker
		));
		let mut inner = self.lock();
		inner.seen.hellos += 1;
		inner.sessions_opened += 1;
		let token = H256::from_low_u64_be(inner.sessions_opened);
		inner.session = Some(token);
		Ok(Session {
			token,
			miner: account(MINER),
			poll_within_ms: 1_000,
		})
	}

	async fn miner_poll(&self, poll: Poll) -> RpcResult<PollReply> {
		self.check_session(poll.token)?;
		let wait = Duration::from_millis(poll.wait_ms);
		let free = poll.free_slots > 0 || self.lock().unasked;
		self.lock().seen.polls.push(poll);
		let until = tokio::time::Instant::now() + wait;
		let work = loop {
			let changed = self.changed.notified();
			if let Some(work) = free.then(|| self.lock().work.pop_front()).flatten() {
				break Some(work);
			}
			if !self.lock().abandon.is_empty()
				|| tokio::time::timeout_at(until, changed).await.is_err()
			{
				break None;
			}
		};
		let abandon = std::mem::take(&mut self.lock().abandon);
		Ok(PollReply {
			work,
			abandon,
			standing: Standing::default(),
		})
	}

	async fn miner_progress(&self, progress: Progress) -> RpcResult<ProgressReply> {
		self.check_session(progress.token)?;
		let mut inner = self.lock();
		inner.seen.progress.push(progress);
		self.changed.notify_waiters();
		Ok(ProgressReply { go_on: !inner.stop })
	}

	async fn miner_submit(&self, submit: Submit) -> RpcResult<SubmitReply> {
		self.check_session(submit.token)?;
		self.lock().seen.submits.push(submit.clone());
		self.changed.notify_waiters();
		if self.lock().silent {
			std::future::pending::<()>().await;
		}
		let mut inner = self.lock();
		if let Some(fault) = inner.submit_faults.pop_front() {
			return Err(ApiError::new(fault).into());
		}
		match submit.outcome {
			Outcome::Failure { .. } => Ok(SubmitReply {
				accepted: false,
				voucher: None,
			}),
			Outcome::Result {
				commitment,
				signature,
			} => {
				assert!(signing::verify(
					&GENESIS,
					&commitment,
					&signature,
					&key(MINER).public()
				));
				if !inner.seen.artifacts.contains_key(&commitment.output) {
					return Err(ApiError::new(ErrorCode::ArtifactMissing).into());
				}
				let voucher = self.pay(&mut inner, (submit.task, submit.attempt));
				if inner.till.lost_replies > 0 {
					inner.till.lost_replies -= 1;
					return Err(ApiError::new(ErrorCode::Internal).into());
				}
				Ok(SubmitReply {
					accepted: true,
					voucher,
				})
			},
		}
	}

	async fn miner_vouchers(&self, token: H256) -> RpcResult<Vec<SignedVoucher>> {
		self.check_session(token)?;
		let mut inner = self.lock();
		inner.till.asked += 1;
		if inner.till.withholds {
			return Ok(Vec::new());
		}
		let owed = inner.till.owed.iter();
		Ok(owed.map(|(era, owed)| self.voucher(*era, *owed)).collect())
	}

	async fn settlement_proof(&self, _: EraIndex, _: AccountId) -> RpcResult<SettlementProof> {
		Err(ApiError::new(ErrorCode::SettlementNotFound).into())
	}
}

type Served = (Coordinator, RpcModule<Coordinator>);

async fn call(State((_, module)): State<Served>, body: String) -> String {
	let (reply, _) = module.raw_json_request(&body, 1).await.unwrap();
	reply.get().to_owned()
}

async fn upload(
	State((coordinator, _)): State<Served>,
	Path(hash): Path<String>,
	headers: HeaderMap,
	body: Bytes,
) -> Response {
	let mut inner = coordinator.lock();
	let bearer = inner.session.map(|token| format!("Bearer {token:?}"));
	let authorization = headers
		.get(header::AUTHORIZATION)
		.and_then(|value| value.to_str().ok());
	if bearer.is_none() || bearer.as_deref() != authorization {
		let code = ErrorCode::SessionInvalid;
		let error = json!({"code": code.code(), "name": code.name(), "message": "no session"});
		return (StatusCode::UNAUTHORIZED, Json(error)).into_response();
	}
	let content = H256(*blake3::hash(&body).as_bytes());
	assert_eq!(format!("{content:?}"), hash);
	inner.seen.uploads += 1;
	if inner.forget_uploads > 0 {
		inner.forget_uploads -= 1;
	} else {
		inner.seen.artifacts.insert(content, body.to_vec());
	}
	StatusCode::CREATED.into_response()
}
