//! The coordinator: what it does for apps and miners. Each operation checks what came from outside,
//! lets the store decide, and answers; the tables in memory follow the store's commits.

use crate::{
	apps::{App, Caller, KeyCache},
	artifacts::{self, Artifacts},
	bans::Bans,
	clock::Clock,
	entropy::Entropy,
	identity::{self, Identity, IdentityError},
	leases::{Lease, MAX_UPLOADS},
	ledger::{self, Ledger},
	live::{self, check_operator, Live, Polling},
	metrics::Metrics,
	miners,
	models::Catalogue,
	peers, price,
	rates::Rates,
	sessions::{Challenges, CHALLENGE_TTL_MS},
	settings::{Settings, POLL_WITHIN_MS},
	settle,
	state::{Ending, Event, Refusal},
	store::{
		Earned, Extra, NewTask, Past, Place, Store, StoreError, Submitted, TaskRow,
		TransitionRefused, TransitionResult,
	},
	terms::{self, Terms},
	verify, webhooks,
};
use cuckoo_chain_client::Registry;
use cuckoo_coordinator_api::{
	error::{ApiError, ErrorCode},
	limits,
	miner::{
		Challenge, Held, Hello, Outcome, Poll, PollReply, Progress, ProgressReply, Session, Submit,
		SubmitReply,
	},
	task::{
		CoordinatorInfo, DrawProof, EligibleEntry, MinerInfo, ModelInfo, ModelPrice, SubmitOptions,
		TaskRequest, TaskResult, TaskState, TaskStatus,
	},
	Amount,
};
use cuckoo_primitives::{
	draw,
	signing::{self, MinerLogin, ResultCommitment},
	task::{Attempt, TaskId},
	AccountId, WorkerId, WorkerSignature, H256,
};
use sp_core::{sr25519, Pair as _};
use std::{
	fs::{File, TryLockError},
	path::Path,
	sync::{
		atomic::{AtomicBool, Ordering},
		Arc, Mutex, MutexGuard, OnceLock, PoisonError,
	},
	time::Duration,
};
use tokio::sync::{broadcast, Notify, RwLock};

/// Held by the process that uses the data directory.
const LOCK_FILE: &str = "lock";

/// Entries of a page when the caller does not say.
const DEFAULT_PAGE: u32 = 100;

/// Between two looks for an artifact whose storage is away, at first and at most.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Results from which is learned at start how long tasks take.
const PAST_RESULTS: u32 = 256;

/// What an operation gives.
pub type Result<T> = std::result::Result<T, ApiError>;

/// The coordinator could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
	/// The store.
	#[error(transparent)]
	Store(#[from] StoreError),
	/// The data directory.
	#[error("the data directory cannot be used: {0}")]
	Disk(#[from] std::io::Error),
	/// The artifacts.
	#[error(transparent)]
	Artifacts(#[from] artifacts::Error),
	/// Another process has it.
	#[error("another coordinator is running in this data directory: stop it, or name another one")]
	InUse,
	/// The worker key.
	#[error(transparent)]
	Identity(#[from] IdentityError),
}

/// A running coordinator.
#[derive(Debug)]
pub struct Coordinator {
	settings: Settings,
	clock: Clock,
	entropy: Entropy,
	inline: bool,
	started_ms: u64,
	store: Store,
	artifacts: Artifacts,
	key: Key,
	identity: OnceLock<Identity>,
	/// Whether the operator is an active coordinator as of the last finalized block.
	active: AtomicBool,
	metrics: Metrics,
	draining: AtomicBool,
	stopping: AtomicBool,
	keys: KeyCache,
	rates: Rates,
	live: Mutex<Live>,
	ledger: Ledger,
	schedule: Notify,
	/// Wakes who calls webhooks.
	webhooks: Notify,
	/// Held shared from the look for an artifact until a result names it.
	naming: RwLock<()>,
	/// Keeps other processes out of the data directory; the system lets go of it with the process.
	_lock: Option<File>,
}

/// A result that was taken and is not yet checked.
struct Unchecked {
	/// The task, as it is since the submit.
	task: TaskRow,
	miner: AccountId,
	attempt: Attempt,
	assigned_ms: u64,
	commitment: ResultCommitment,
}

/// What a coordinator stands on.
#[derive(Debug)]
pub struct Surroundings {
	/// Keeps other processes out of the data directory.
	pub lock: Option<File>,
	/// The store.
	pub store: Store,
	/// The artifacts.
	pub artifacts: Artifacts,
	/// The time.
	pub clock: Clock,
	/// What is drawn by lot.
	pub entropy: Entropy,
	/// Whether everything is done in the caller's thread, so that it goes the same way each time.
	pub inline: bool,
}

/// The worker key, which no log shows.
struct Key(sr25519::Pair);

impl std::fmt::Debug for Key {
	fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
		write!(f, "Key(0x{})", hex::encode(self.0.public()))
	}
}

impl Coordinator {
	/// Opens the data directory, with the store in it, and takes up what was left there. Nothing is
	/// drawn and nobody is let in before the first [`Coordinator::set_registry`].
	pub async fn open(
		data_dir: &Path,
		key: sr25519::Pair,
		settings: Settings,
		clock: Clock,
	) -> std::result::Result<Arc<Self>, Error> {
		let place = Place::Directory(data_dir.to_owned());
		Self::open_at(&place, data_dir, key, settings, clock).await
	}

	/// As [`Coordinator::open`], with the store in this place.
	pub async fn open_at(
		place: &Place,
		data_dir: &Path,
		key: sr25519::Pair,
		settings: Settings,
		clock: Clock,
	) -> std::result::Result<Arc<Self>, Error> {
		tokio::fs::create_dir_all(data_dir).await?;
		let lock = Some(lock(data_dir)?);
		let store = Store::open_at(place).await?;
		peers::succeed(&store, data_dir, clock.now_ms()).await?;
		let artifacts = Artifacts::open(data_dir, &settings.artifacts).await?;
		let surroundings = Surroundings {
			lock,
			store,
			artifacts,
			clock,
			entropy: Entropy::System,
			inline: false,
		};
		Self::open_in(surroundings, key, settings).await
	}

	/// Takes up what is left in these surroundings.
	pub async fn open_in(
		surroundings: Surroundings,
		key: sr25519::Pair,
		settings: Settings,
	) -> std::result::Result<Arc<Self>, Error> {
		let Surroundings {
			lock,
			store,
			artifacts,
			clock,
			entropy,
			inline,
		} = surroundings;
		let now_ms = clock.now_ms();
		let mut live = Live::new(
			settings.clone(),
			Challenges::new(entropy.random()),
			Catalogue::new(store.models().await?),
			store.miners().await?,
			entropy.random(),
		);
		for past in store.last_results(PAST_RESULTS).await? {
			live.learn(&past);
		}
		let open = store.open_tasks().await?;
		let count = open.len();
		let mut unchecked = Vec::new();
		for task in open {
			// What another process's miners have is not this one's.
			if task.task.state == TaskState::Queued || task.task.instance == store.instance() {
				unchecked.extend(live.take_up(task, now_ms)?);
			}
		}
		live.bans = Bans::new(store.bans().await?);
		let metrics = Metrics::new(store.commits());
		tracing::info!(tasks = count, "the store is open");

		let rates = Rates::new(clock.clone());
		let coordinator = Arc::new(Self {
			settings,
			started_ms: clock.now_ms(),
			clock,
			entropy,
			inline,
			store,
			artifacts,
			key: Key(key),
			identity: OnceLock::new(),
			active: AtomicBool::new(false),
			metrics,
			draining: AtomicBool::new(false),
			stopping: AtomicBool::new(false),
			keys: KeyCache::default(),
			rates,
			live: Mutex::new(live),
			ledger: Ledger::default(),
			schedule: Notify::new(),
			webhooks: Notify::new(),
			naming: RwLock::new(()),
			_lock: lock,
		});
		for submitted in unchecked {
			tokio::spawn(coordinator.clone().check_again(submitted));
		}
		Ok(coordinator)
	}

	/// Checks a result that was taken before a restart, or by another process.
	pub(crate) async fn check_again(self: Arc<Self>, submitted: live::Submitted) {
		let id = submitted.task.id;
		let checked = async {
			let result = self.store.result(&id, submitted.attempt).await;
			let result = result.map_err(internal)?.ok_or_else(|| broken("result"))?;
			let unchecked = Unchecked {
				task: submitted.task,
				miner: submitted.miner,
				attempt: submitted.attempt,
				assigned_ms: submitted.assigned_ms,
				commitment: result.commitment,
			};
			self.clone().check_result(unchecked).await.map(|_| ())
		};
		if let Err(error) = checked.await {
			tracing::warn!(task = %id, %error, "a result that was taken before does not stand");
		}
	}

	/// Takes the registry of a newly finalized block. The first one decides who this coordinator is:
	/// an error then means that the worker key cannot act.
	pub async fn set_registry(
		&self,
		registry: Arc<Registry>,
		genesis: H256,
	) -> std::result::Result<(), Error> {
		let found = identity::find(&registry, &self.worker());
		match (self.identity.get(), found) {
			(None, found) => {
				let operator = found?;
				self.store.bind(genesis, operator.clone()).await?;
				tracing::info!(%operator, ?genesis, block = registry.block.number, "the chain is there");
				self.active.store(true, Ordering::SeqCst);
				let _ = self.identity.set(Identity { operator, genesis });
			},
			(Some(identity), found) => {
				let active = found.as_ref() == Ok(&identity.operator);
				if self.active.swap(active, Ordering::SeqCst) != active {
					match found {
						Err(error) => tracing::error!(%error, "no new tasks are taken"),
						Ok(operator) => tracing::info!(%operator, active, "the operator changed"),
					}
				}
			},
		}
		self.metrics.finalized(self.now_ms());
		let era = registry.era;
		self.live().set_registry(registry, self.now_ms());
		self.ledger.finalized(era);
		self.schedule.notify_one();
		Ok(())
	}

	/// Takes no new tasks and makes no new draws from now on. What is with miners goes on: polls wait,
	/// reports and results are taken, results are served.
	pub fn drain(&self) {
		self.draining.store(true, Ordering::SeqCst);
	}

	/// Takes new tasks and draws again. Tasks whose wait ran out meanwhile have a grace.
	pub fn undrain(&self) {
		let until_ms = self.now_ms().saturating_add(self.settings.grace_ms);
		self.live().queue.keep_until(until_ms);
		self.draining.store(false, Ordering::SeqCst);
		self.schedule.notify_one();
	}

	/// Drains, and answers waiting polls at once: the service is about to end.
	pub fn stop(&self) {
		self.drain();
		self.stopping.store(true, Ordering::SeqCst);
		self.live().wake_all();
		self.schedule.notify_one();
	}

	/// Closes the store.
	pub async fn close(&self) {
		self.store.close().await;
	}

	/// Whether it knows the chain, is an active coordinator there and takes tasks: if not, why.
	pub fn readiness(&self) -> Result<()> {
		if self.is_draining() {
			return Err(ApiError::new(ErrorCode::Draining).about("draining"));
		}
		self.identity().map_err(|error| error.about("chain"))?;
		if !self.active.load(Ordering::SeqCst) {
			let message = "The operator is no active coordinator at the last finalized block.";
			return Err(ApiError::with_message(ErrorCode::Draining, message).about("operator"));
		}
		Ok(())
	}

	/// How many tasks are with miners.
	pub fn in_flight(&self) -> usize {
		self.live().leases.len()
	}

	/// Whether it takes no new tasks and makes no new draws.
	pub fn is_draining(&self) -> bool {
		self.draining.load(Ordering::SeqCst)
	}

	/// Whether its operator is an active coordinator as of the last finalized block.
	pub(crate) fn is_active(&self) -> bool {
		self.active.load(Ordering::SeqCst)
	}

	fn is_stopping(&self) -> bool {
		self.stopping.load(Ordering::SeqCst)
	}

	/// The worker that signs.
	pub fn worker(&self) -> WorkerId {
		self.key.0.public()
	}

	pub(crate) fn metrics(&self) -> &Metrics {
		&self.metrics
	}

	pub(crate) fn ledger(&self) -> &Ledger {
		&self.ledger
	}

	pub(crate) fn settings(&self) -> &Settings {
		&self.settings
	}

	pub(crate) fn store(&self) -> &Store {
		&self.store
	}

	pub(crate) fn keys(&self) -> &KeyCache {
		&self.keys
	}

	pub(crate) fn rates(&self) -> &Rates {
		&self.rates
	}

	pub(crate) fn artifacts(&self) -> &Artifacts {
		&self.artifacts
	}

	pub(crate) fn started_ms(&self) -> u64 {
		self.started_ms
	}

	pub(crate) fn naming(&self) -> &RwLock<()> {
		&self.naming
	}

	pub(crate) fn clock(&self) -> &Clock {
		&self.clock
	}

	pub(crate) fn now_ms(&self) -> u64 {
		self.clock.now_ms()
	}

	pub(crate) fn webhooks(&self) -> &Notify {
		&self.webhooks
	}

	pub(crate) fn schedule(&self) -> &Notify {
		&self.schedule
	}

	pub(crate) fn sign<P: signing::SignedPayload>(
		&self,
		identity: &Identity,
		payload: &P,
	) -> WorkerSignature {
		signing::sign(&identity.genesis, payload, &self.key.0)
	}

	pub(crate) fn live(&self) -> MutexGuard<'_, Live> {
		// A panic elsewhere leaves the tables as consistent as they were between two statements; to go
		// on is better than to stop serving.
		self.live.lock().unwrap_or_else(PoisonError::into_inner)
	}

	pub(crate) fn identity(&self) -> Result<&Identity> {
		self.identity
			.get()
			.ok_or_else(|| ErrorCode::ChainUnavailable.into())
	}

	// Tasks

	/// Accepts a task: it is in the store when this returns.
	pub async fn submit_task(
		self: &Arc<Self>,
		app: &App,
		request: TaskRequest,
		options: SubmitOptions,
	) -> Result<TaskStatus> {
		let _timer = self.metrics.task_submit();
		let identity = self.identity()?;
		self.check_rate(app)?;
		let priority = settle::priority(options.priority)?;
		let max_wait_ms = settle::max_wait_ms(options.max_wait_ms)?;
		let key = options.idempotency_key;
		if let Some(key) = &key {
			check_key(key)?;
		}
		let request_hash = settle::request_hash(&request);
		if let Some(key) = &key {
			let before = self
				.store
				.submitted_before(&app.id, key, &request_hash)
				.await
				.map_err(internal)?;
			if let Some(before) = before {
				return self.submitted(before);
			}
		}
		if self.is_draining() || !self.active.load(Ordering::SeqCst) {
			return Err(ErrorCode::Draining.into());
		}
		let now_ms = self.now_ms();
		let model = {
			let live = self.live();
			if live.queue.len() >= self.settings.max_queued {
				return Err(ErrorCode::QueueFull.into());
			}
			let most = app.max_queued.unwrap_or(self.settings.max_queued_per_app);
			if live.queue.count(&app.id) >= most {
				let message =
					format!("{most} tasks of this app wait, as many as may: try again later.");
				return Err(ApiError::with_message(ErrorCode::AppQueueFull, message));
			}
			self.choose_model(&live, request.model.as_deref(), now_ms)?
		};
		let spec = settle::settle(request, &model, self.entropy.random())?;
		let lease_ms = self.settings.lease_ms(spec.steps);
		let price = self.settings.prices.of(&model, settle::pixel_steps(&spec));
		price::check(price, options.max_price)?;
		let (payment, voucher) = self.paying(app, price, options.payment).await?;
		let terms = Terms {
			price,
			deadline_ms: terms::deadline_ms(options.deadline_ms, lease_ms, now_ms)?,
			webhook: self.webhook(app, options.webhook)?,
			payment,
		};
		let nonce = key
			.clone()
			.unwrap_or_else(|| hex::encode(self.entropy.random::<[u8; 16]>()));
		let new = NewTask {
			id: TaskId::derive(&identity.operator, &spec.hash(), nonce.as_bytes()),
			app: app.id.clone(),
			nonce,
			idempotency_key: key,
			request_hash,
			spec,
			priority,
			queue_until_ms: now_ms.saturating_add(
				self.settings
					.queue_timeout_ms
					.min(max_wait_ms.unwrap_or(u64::MAX)),
			),
			max_wait_ms,
			terms,
			voucher,
		};
		let this = self.clone();
		let after = move |submitted: &Submitted| {
			this.metrics.submitted(submitted);
			if let Submitted::Accepted(task) = submitted {
				this.live().enqueue(task, &crate::state::Stage::new());
				this.schedule.notify_one();
			}
		};
		let submitted = self
			.store
			.submit_task(new, now_ms, after)
			.await
			.map_err(internal)?;
		self.submitted(submitted)
	}

	fn submitted(&self, submitted: Submitted) -> Result<TaskStatus> {
		match submitted {
			Submitted::Accepted(task) | Submitted::Repeated(task) => Ok(self.live().status(&task)),
			Submitted::WebhooksBehind => Err(ErrorCode::WebhooksBehind.into()),
			Submitted::Short(short) => Err(ledger::refused(short)),
			Submitted::KeyTaken => {
				Err(key_invalid("This idempotency key was used for another request."))
			},
			Submitted::IdTaken => Err(key_invalid(
				"Another app used this idempotency key for the same spec: use keys that nobody else \
				 thinks of.",
			)),
		}
	}

	/// The webhook that an app asks for, if it may.
	fn webhook(&self, app: &App, asked: Option<String>) -> Result<Option<String>> {
		let Some(url) = asked else {
			return Ok(None);
		};
		if !app.id.has_key() {
			let message = "Webhooks are for apps with an API key: calls are signed by its secret.";
			let error = ApiError::with_message(ErrorCode::WebhookInvalid, message);
			return Err(error.about("webhook"));
		}
		webhooks::check(&url, self.settings.webhooks)?;
		Ok(Some(url))
	}

	pub(crate) fn choose_model(
		&self,
		live: &Live,
		asked: Option<&str>,
		now_ms: u64,
	) -> Result<cuckoo_coordinator_api::task::ModelInfo> {
		let weight = |hash: &H256| live.model_weight(hash, now_ms);
		let named = asked.or(self.settings.default_model.as_deref());
		let found = match named {
			Some(name) => live.models.find(name, weight),
			None => live.models.default_model(weight),
		};
		found.cloned().ok_or_else(|| {
			let error = ApiError::new(ErrorCode::ModelUnknown);
			match named {
				Some(name) => error.about(name.chars().take(100).collect::<String>()),
				None => error,
			}
		})
	}

	async fn task_row(&self, id: &TaskId) -> Result<TaskRow> {
		let task = self.store.task(id).await.map_err(internal)?;
		task.ok_or_else(|| ApiError::new(ErrorCode::TaskNotFound).about(id))
	}

	/// Where a task stands.
	pub async fn task_status(&self, id: TaskId) -> Result<TaskStatus> {
		let task = self.task_row(&id).await?;
		Ok(self.live().status(&task))
	}

	/// The result of a task that is done.
	pub async fn task_result(&self, id: TaskId) -> Result<TaskResult> {
		let task = self.task_row(&id).await?;
		if task.state != TaskState::Done {
			let state = task.state.name();
			let message = match (task.state.is_final(), task.reason) {
				(false, _) => format!("The task is {state}: watch its status."),
				(true, None) => format!("The task is {state} and will have no result."),
				(true, Some(reason)) => {
					format!("The task is {state} and will have no result: {reason}.")
				},
			};
			return Err(ApiError::with_message(ErrorCode::TaskNotDone, message).about(id));
		}
		let attempt = task.attempt.ok_or_else(|| broken("attempt"))?;
		let result = self.store.result(&id, attempt).await.map_err(internal)?;
		let row = self.store.attempt(&id, attempt).await.map_err(internal)?;
		let (result, row) = result.zip(row).ok_or_else(|| broken("result"))?;
		Ok(TaskResult {
			id,
			artifact: result.commitment.output,
			path: format!("/artifacts/{:?}", result.commitment.output),
			bytes: result.bytes,
			attempt,
			miner: row.assignment.miner,
			worker: row.assignment.worker,
			commitment: result.commitment,
			signature: result.signature,
			elapsed_ms: result.submitted_ms.saturating_sub(row.assigned_ms),
		})
	}

	/// Cancels a task that has not ended, for the app that submitted it.
	pub async fn task_cancel(self: &Arc<Self>, caller: &Caller, id: TaskId) -> Result<TaskStatus> {
		if self.app(caller).await?.id != self.task_row(&id).await?.app {
			return Err(ApiError::new(ErrorCode::TaskNotFound).about(id));
		}
		self.cancel(id).await
	}

	/// Cancels a task that has not ended.
	pub(crate) async fn cancel(self: &Arc<Self>, id: TaskId) -> Result<TaskStatus> {
		let extra = Extra::End {
			ending: Ending::Cancelled,
			reason: Some("the app cancelled it".into()),
			queue_until_ms: 0,
		};
		match self.transition(id, Event::Cancel, extra).await? {
			Ok(transition) => Ok(self.live().status(&transition.task)),
			Err(TransitionRefused::NoTask) => Err(ApiError::new(ErrorCode::TaskNotFound).about(id)),
			Err(TransitionRefused::By(Refusal::NotFrom(_))) => {
				let message = "The task's result is in, so it cannot be cancelled.";
				Err(ApiError::with_message(ErrorCode::TaskEnded, message).about(id))
			},
			Err(TransitionRefused::By(refusal)) => {
				let message = format!("The task cannot be cancelled: {refusal}.");
				Err(ApiError::with_message(ErrorCode::TaskEnded, message).about(id))
			},
		}
	}

	/// Where a task stands, and every change after that.
	pub(crate) async fn watch(
		&self,
		id: TaskId,
	) -> Result<(TaskStatus, broadcast::Receiver<TaskStatus>)> {
		// Watched before it is read, so that no change falls in between.
		let changes = self.live().watch(id);
		match self.task_status(id).await {
			Ok(status) => Ok((status, changes)),
			Err(error) => {
				drop(changes);
				self.live().unwatch(&id);
				Err(error)
			},
		}
	}

	/// The proof of a draw.
	pub async fn draw_proof(&self, id: TaskId, attempt: Option<Attempt>) -> Result<DrawProof> {
		let identity = self.identity()?;
		let task = self.task_row(&id).await?;
		let not_found = || ApiError::new(ErrorCode::AttemptNotFound).about(id);
		let attempt = attempt.or(task.attempt).ok_or_else(not_found)?;
		let row = self
			.store
			.attempt(&id, attempt)
			.await
			.map_err(internal)?
			.ok_or_else(not_found)?;
		let eligible = self
			.store
			.eligible(&id, attempt)
			.await
			.map_err(internal)?
			.filter(|list| draw::eligible_root(list) == row.assignment.eligible_root)
			.ok_or_else(|| broken("eligible list"))?;
		let entry = |entry: draw::Eligible| EligibleEntry {
			miner: entry.miner,
			weight: Amount(entry.weight),
		};
		Ok(DrawProof {
			assignment: row.assignment,
			signature: row.signature,
			coordinator_worker: row.coordinator_worker,
			genesis_hash: identity.genesis,
			eligible: eligible.into_iter().map(entry).collect(),
			id_nonce: task.nonce,
		})
	}

	/// Who this coordinator is and what it serves.
	pub fn info(&self) -> Result<CoordinatorInfo> {
		let identity = self.identity()?;
		let now_ms = self.now_ms();
		let live = self.live();
		let registry = live.registry().ok_or(ErrorCode::ChainUnavailable)?;
		let (miners_online, models) = live.online(now_ms);
		let models: Vec<ModelInfo> = models
			.iter()
			.filter_map(|hash| live.models.get(hash).cloned())
			.collect();
		let price = |model: &ModelInfo| ModelPrice {
			model: model.hash,
			megapixel_step: Amount(self.settings.prices.rate(model)),
		};
		let prices = models.iter().map(price).collect();
		let default_model = self
			.choose_model(&live, None, now_ms)
			.ok()
			.map(|model| model.hash);
		Ok(CoordinatorInfo {
			version: env!("CARGO_PKG_VERSION").into(),
			operator: identity.operator.clone(),
			worker: self.worker(),
			genesis_hash: identity.genesis,
			finalized_block: registry.block.number,
			finalized_hash: registry.block.hash,
			models,
			default_model,
			prices,
			miners_online,
			queued: live.queue.len() as u64,
			in_flight: live.leases.len() as u64,
			now_ms,
		})
	}

	/// The connected miners in account order, after `from`.
	pub fn miners(&self, from: Option<AccountId>, limit: Option<u32>) -> Result<Vec<MinerInfo>> {
		let limit = limit.unwrap_or(DEFAULT_PAGE);
		if limit == 0 || limit > limits::MAX_PAGE {
			let message = "A page has 1 to 1000 entries.";
			return Err(ApiError::with_message(ErrorCode::ParameterInvalid, message).about("limit"));
		}
		Ok(self
			.live()
			.miner_infos(from.as_ref(), limit as usize, self.now_ms()))
	}

	// Miners

	/// A challenge for this worker to sign.
	pub fn challenge(&self, worker: WorkerId) -> Result<Challenge> {
		let identity = self.identity()?;
		let challenge =
			self.live()
				.challenges
				.issue(&worker, self.now_ms(), self.entropy.random::<[u8; 8]>());
		Ok(Challenge {
			challenge,
			coordinator: identity.operator.clone(),
			genesis_hash: identity.genesis,
			expires_in_ms: CHALLENGE_TTL_MS,
		})
	}

	/// Opens a session.
	pub async fn hello(&self, hello: Hello) -> Result<Session> {
		let identity = self.identity()?;
		miners::check(&hello)?;
		if !self
			.live()
			.challenges
			.is_good(&hello.challenge, &hello.worker, self.now_ms())
		{
			return Err(ErrorCode::ChallengeInvalid.into());
		}
		let account = self.miner_of(&hello.worker).await?;
		let login = MinerLogin {
			coordinator: identity.operator.clone(),
			worker: hello.worker,
			challenge: hello.challenge.0,
		};
		if !signing::verify(&identity.genesis, &login, &hello.signature, &hello.worker) {
			return Err(ErrorCode::SignatureInvalid.into());
		}
		self.store
			.put_miner_worker(account.clone(), hello.worker)
			.await
			.map_err(internal)?;
		let now_ms = self.now_ms();
		let token = H256(self.entropy.random());
		let declared = {
			let mut live = self.live();
			// Looked at again under the lock that uses it up: two hellos may carry the same.
			if !live
				.challenges
				.is_good(&hello.challenge, &hello.worker, now_ms)
			{
				return Err(ErrorCode::ChallengeInvalid.into());
			}
			live.challenges.use_up(hello.challenge, now_ms);
			live.hello(&account, &hello, token, now_ms)
		};
		for (hash, stake) in declared {
			let info = hello
				.models
				.iter()
				.find(|model| model.hash == hash)
				.cloned();
			if let Some(info) = info {
				self.store
					.put_model(info, stake, now_ms)
					.await
					.map_err(internal)?;
			}
		}
		tracing::info!(
			miner = %account, device = ?hello.device, device_name = hello.device_name,
			slots = hello.slots, models = hello.models.len(), engine = hello.engine,
			"a miner is connected"
		);
		Ok(Session {
			token,
			miner: account,
			poll_within_ms: POLL_WITHIN_MS,
		})
	}

	/// The active miner that has this worker.
	async fn miner_of(&self, worker: &WorkerId) -> Result<AccountId> {
		let registry = self
			.live()
			.registry()
			.cloned()
			.ok_or(ErrorCode::ChainUnavailable)?;
		if let Some(operator) = registry.by_worker(worker) {
			check_operator(operator, &registry)?;
			return Ok(operator.account.clone());
		}
		// The chain lets a worker go when its operator retires; who was here before is told so.
		let known = self.store.miner_by_worker(worker).await.map_err(internal)?;
		if let Some(operator) = known
			.as_ref()
			.and_then(|account| registry.operator(account))
		{
			if operator.retired {
				check_operator(operator, &registry)?;
			}
		}
		let subject = format!("0x{}", hex::encode(worker));
		Err(ApiError::new(ErrorCode::MinerNotRegistered).about(subject))
	}

	/// Waits for work.
	pub async fn poll(self: &Arc<Self>, poll: Poll) -> Result<PollReply> {
		let most = usize::from(limits::MAX_SLOTS) * miners::ATTEMPTS_PER_SLOT;
		if poll.holding.len() > most {
			let message = format!("A miner holds at most {most} attempts.");
			return Err(
				ApiError::with_message(ErrorCode::ParameterInvalid, message).about("holding")
			);
		}
		self.metrics.polls.inc();
		let miner = self.live().session(&poll.token)?;
		// Apart, as below: a waiting miner does without the room for what it seldom needs.
		for held in &poll.holding {
			Box::pin(self.claim(held, &miner)).await?;
		}
		let polling = self.live().poll_begins(&poll, self.now_ms())?;
		let waiting = Waiting {
			coordinator: self.clone(),
			poll: &poll,
			polling: &polling,
		};
		for held in &polling.lost {
			let reason = "the miner no longer has it";
			Box::pin(self.fail(*held, polling.miner.clone(), Ending::Lost, reason)).await?;
		}
		self.schedule.notify_one();
		let wait = Duration::from_millis(poll.wait_ms.min(limits::MAX_POLL_WAIT_MS));
		let mut wait = std::pin::pin!(self.clock.sleep(wait));
		let mut is_over = poll.wait_ms == 0;
		loop {
			let woken = polling.wake.notified();
			tokio::pin!(woken);
			// Listens before it looks, so that no call is missed in between.
			woken.as_mut().enable();
			let last = self.is_stopping() || is_over;
			let reply = self
				.live()
				.poll_looks(&poll, &polling, last, self.now_ms())?;
			if let Some(mut reply) = reply {
				drop(waiting);
				if self.is_draining() && reply.standing.lacks.is_none() {
					let lacks = "the coordinator is draining and draws nobody now";
					(reply.standing.lacks, reply.standing.rank) = (Some(lacks.into()), None);
				}
				return Ok(reply);
			}
			tokio::select! {
				biased;
				() = woken => {},
				() = &mut wait => is_over = true,
			}
		}
	}

	/// Takes a miner's report of how far it is.
	pub async fn progress(self: &Arc<Self>, progress: Progress) -> Result<ProgressReply> {
		let held = Held {
			task: progress.task,
			attempt: progress.attempt,
		};
		let miner = self.live().session(&progress.token)?;
		self.claim(&held, &miner).await?;
		let (miner, start, watched) = {
			let mut live = self.live();
			let miner = live.session(&progress.token)?;
			let watched = live.is_watched(&held.task);
			match live.leases.held_mut(&held, &miner) {
				Some(lease) => {
					lease.confirm(progress.token);
					let steps = lease.work.as_ref().map_or(0, |work| work.spec.steps);
					lease.steps_done = progress.steps_done.min(steps).max(lease.steps_done);
					(miner, Some(!lease.started), watched)
				},
				None => (miner, None, watched),
			}
		};
		let Some(start) = start else {
			let error = self.why_not_held(&held, &miner).await?;
			let cancelled = self.task_row(&held.task).await?.state == TaskState::Cancelled;
			return if cancelled {
				Ok(ProgressReply { go_on: false })
			} else {
				Err(error)
			};
		};
		if start {
			// Refused only if the attempt has ended since, which the next report will be told.
			let _ = self
				.transition(held.task, Event::Start(held.attempt), Extra::None)
				.await?;
		} else if watched {
			let task = self.task_row(&held.task).await?;
			self.live().publish(&task);
		}
		Ok(ProgressReply { go_on: true })
	}

	/// Ends an attempt with a result or a failure.
	pub async fn submit(self: &Arc<Self>, submit: Submit) -> Result<SubmitReply> {
		let held = Held {
			task: submit.task,
			attempt: submit.attempt,
		};
		let _timer = self.metrics.result_submit();
		let miner = self.live().session(&submit.token)?;
		self.claim(&held, &miner).await?;
		let lease = self.live().leases.held(&held, &miner).cloned();
		let now_ms = self.now_ms();
		let Some(lease) = lease.filter(|lease| lease.due_ms > now_ms) else {
			if let Outcome::Result { commitment, .. } = &submit.outcome {
				if let Some(voucher) = self.accepted_before(&held, &miner, commitment).await? {
					return Ok(SubmitReply {
						accepted: true,
						voucher,
					});
				}
			}
			return Err(self.why_not_held(&held, &miner).await?);
		};
		match submit.outcome {
			Outcome::Failure { reason } => {
				if reason.len() > limits::MAX_TEXT_BYTES {
					let message = "A reason has at most 1024 bytes.";
					return Err(ApiError::with_message(ErrorCode::ParameterInvalid, message)
						.about("reason"));
				}
				let reason = format!("the miner reported: {reason}");
				self.fail(held, miner, Ending::Reported, &reason).await?;
				Ok(SubmitReply {
					accepted: false,
					voucher: None,
				})
			},
			Outcome::Result {
				commitment,
				signature,
			} => {
				self.submit_result(held, miner, lease, commitment, signature)
					.await
			},
		}
	}

	async fn submit_result(
		self: &Arc<Self>,
		held: Held,
		miner: AccountId,
		lease: Lease,
		commitment: ResultCommitment,
		signature: WorkerSignature,
	) -> Result<SubmitReply> {
		let identity = self.identity()?;
		verify::commitment(
			&identity.genesis,
			&lease.assignment,
			&commitment,
			&signature,
		)?;
		let taken = self
			.clone()
			.take_result(held, miner, lease, commitment, signature);
		// On its own: what was begun is finished, also when the miner goes away now.
		tokio::spawn(taken).await.map_err(|_| broken("result"))?
	}

	/// Takes a result whose signature is right, and checks it.
	async fn take_result(
		self: Arc<Self>,
		held: Held,
		miner: AccountId,
		lease: Lease,
		commitment: ResultCommitment,
		signature: WorkerSignature,
	) -> Result<SubmitReply> {
		let artifact = commitment.output;
		let naming = self.naming.read().await;
		let bytes = self
			.artifacts
			.size(&artifact)
			.await
			.map_err(disk)?
			.ok_or_else(|| {
				ApiError::new(ErrorCode::ArtifactMissing).about(format!("{artifact:?}"))
			})?;
		let extra = Extra::Result {
			commitment: Box::new(commitment.clone()),
			signature,
			bytes,
		};
		let outcome = self
			.transition(held.task, Event::Submit(held.attempt), extra)
			.await?;
		drop(naming);
		let Ok(transition) = outcome else {
			return Err(self.why_not_held(&held, &miner).await?);
		};
		let result = Unchecked {
			task: transition.task,
			miner,
			attempt: held.attempt,
			assigned_ms: lease.assigned_ms,
			commitment,
		};
		let earned = self.clone().check_result(result).await?;
		Ok(SubmitReply {
			accepted: true,
			voucher: earned.map(|earned| self.voucher(earned)).transpose()?,
		})
	}

	/// Checks the picture of a task that is submitted: it is done, or the attempt has failed. Gives what
	/// its miner has earned, if anybody pays for the task.
	async fn check_result(self: Arc<Self>, result: Unchecked) -> Result<Option<Earned>> {
		let (id, attempt) = (result.task.id, result.attempt);
		let checked = match self.read_artifact(&result.commitment.output).await? {
			Some(bytes) => {
				let (width, height) = (result.task.spec.width, result.task.spec.height);
				let check = move || verify::picture(&bytes, width, height);
				if self.inline {
					check()
				} else {
					let checked = tokio::task::spawn_blocking(check).await;
					checked.map_err(|_| broken("picture"))?
				}
			},
			None => Err(ErrorCode::ArtifactMissing.into()),
		};
		match checked {
			Ok(()) => {
				let era = self.earning_era(&result.task).await;
				let extra = Extra::Done { era };
				match self.transition(id, Event::Accept(attempt), extra).await? {
					Ok(transition) => {
						self.measure(result, transition.task.updated_ms);
						Ok(transition.earned)
					},
					Err(refused) => {
						tracing::error!(task = %id, ?refused, "a checked result was refused");
						Err(broken("state"))
					},
				}
			},
			Err(error) => {
				let held = Held { task: id, attempt };
				self.fail(held, result.miner, Ending::InvalidResult, &error.message)
					.await?;
				Err(error)
			},
		}
	}

	/// The artifact's bytes. As long as the storage is away, the task whose result it is waits for it:
	/// the miner has done its part.
	async fn read_artifact(&self, artifact: &H256) -> Result<Option<Vec<u8>>> {
		let mut pause = FIRST_PAUSE;
		loop {
			match self.artifacts.read(artifact).await {
				Err(artifacts::Error::Away(error)) if !self.is_stopping() => {
					tracing::warn!(
						?artifact,
						error,
						"a result waits for the storage of artifacts"
					);
				},
				read => return read.map_err(disk),
			}
			self.clock.sleep(pause).await;
			pause = (pause * 2).min(LONGEST_PAUSE);
		}
	}

	/// Learns from an accepted result how long such tasks take.
	fn measure(&self, result: Unchecked, done_ms: u64) {
		self.metrics.done(result.assigned_ms, done_ms);
		self.live().learn(&Past {
			took_ms: result.task.updated_ms.saturating_sub(result.assigned_ms),
			spec: result.task.spec,
			commitment: result.commitment,
		});
	}

	/// Notes an upload by the miner that has this session. It must hold a lease. Gives the task for
	/// which the upload counts.
	pub(crate) fn upload_begins(&self, token: &H256) -> Result<TaskId> {
		let mut live = self.live();
		let miner = live.session(token)?;
		let tasks = live.leases.of(&miner);
		if tasks.is_empty() {
			let message = "Artifacts are taken from miners that hold a lease.";
			return Err(ApiError::with_message(ErrorCode::LeaseNotHeld, message).about(miner));
		}
		for task in tasks {
			if let Some(lease) = live.leases.get_mut(&task) {
				if lease.uploads < MAX_UPLOADS {
					lease.uploads += 1;
					return Ok(task);
				}
			}
		}
		let message = format!("Only {MAX_UPLOADS} artifacts can be uploaded for an attempt.");
		Err(ApiError::with_message(ErrorCode::ParameterInvalid, message).about(miner))
	}

	/// An upload came to nothing by no fault of the miner's: it does not count.
	pub(crate) fn upload_undone(&self, task: &TaskId) {
		if let Some(lease) = self.live().leases.get_mut(task) {
			lease.uploads = lease.uploads.saturating_sub(1);
		}
	}

	/// Why a miner does not hold an attempt.
	async fn why_not_held(&self, held: &Held, miner: &AccountId) -> Result<ApiError> {
		self.task_row(&held.task).await?;
		let row = self
			.store
			.attempt(&held.task, held.attempt)
			.await
			.map_err(internal)?;
		let code = match row {
			Some(row) if row.assignment.miner == *miner => match row.ending {
				Some(Ending::Done) => ErrorCode::AlreadySubmitted,
				Some(Ending::LeaseExpired | Ending::NotPickedUp) => ErrorCode::LeaseExpired,
				// Its result is being checked.
				None if self.live().leases.held(held, miner).is_none() => {
					ErrorCode::AlreadySubmitted
				},
				// It has run out and is about to be ended.
				None => ErrorCode::LeaseExpired,
				Some(_) => ErrorCode::LeaseNotHeld,
			},
			_ => ErrorCode::LeaseNotHeld,
		};
		Ok(ApiError::new(code).about(format!("{}/{}", held.task, held.attempt)))
	}

	// Transitions

	/// An attempt has come to nothing: the task goes back to the queue or is given up.
	pub(crate) async fn fail(
		self: &Arc<Self>,
		held: Held,
		miner: AccountId,
		ending: Ending,
		reason: &str,
	) -> Result<()> {
		let event = Event::Fail {
			attempt: held.attempt,
			miner: miner.clone(),
		};
		let extra = Extra::End {
			ending,
			reason: Some(reason.to_owned()),
			queue_until_ms: self.now_ms().saturating_add(self.settings.queue_timeout_ms),
		};
		let outcome = self.transition(held.task, event, extra).await?;
		if outcome.is_ok() {
			tracing::warn!(
				task = %held.task, attempt = held.attempt, %miner, ending = ending.name(), reason,
				"an attempt failed"
			);
		}
		// If it was refused, something else has ended the attempt before.
		Ok(())
	}

	/// Lets an event happen, and the tables in memory follow.
	pub(crate) async fn transition(
		self: &Arc<Self>,
		id: TaskId,
		event: Event,
		extra: Extra,
	) -> Result<TransitionResult> {
		let now_ms = self.now_ms();
		let this = self.clone();
		let after = move |outcome: &TransitionResult| {
			if let Ok(transition) = outcome {
				this.live().apply(transition, now_ms);
				this.metrics.changed(transition);
				this.schedule.notify_one();
				if transition.after.state.is_final() {
					this.webhooks.notify_one();
				}
				let state = transition.task.state.name();
				tracing::debug!(task = %transition.task.id, state, "a task changed");
			}
		};
		self.store
			.transition(id, event, extra, now_ms, after)
			.await
			.map_err(internal)
	}
}

/// A poll that waits: counts as such until it is dropped, also when its connection breaks.
struct Waiting<'a> {
	coordinator: Arc<Coordinator>,
	poll: &'a Poll,
	polling: &'a Polling,
}

impl Drop for Waiting<'_> {
	fn drop(&mut self) {
		let now_ms = self.coordinator.now_ms();
		self.coordinator
			.live()
			.poll_ends(&self.polling.miner, &self.poll.token, now_ms);
	}
}

/// Keeps other processes out of the data directory as long as the file is open.
pub(crate) fn lock(data_dir: &Path) -> std::result::Result<File, Error> {
	let file = File::create(data_dir.join(LOCK_FILE))?;
	match file.try_lock() {
		Ok(()) => Ok(file),
		Err(TryLockError::WouldBlock) => Err(Error::InUse),
		Err(TryLockError::Error(error)) => Err(error.into()),
	}
}

fn check_key(key: &str) -> Result<()> {
	if key.is_empty() || key.len() > limits::MAX_IDEMPOTENCY_KEY_BYTES {
		return Err(key_invalid("An idempotency key has 1 to 128 bytes."));
	}
	if key.contains('\0') {
		return Err(key_invalid("An idempotency key has no NUL character."));
	}
	Ok(())
}

fn key_invalid(message: &str) -> ApiError {
	ApiError::with_message(ErrorCode::IdempotencyKeyInvalid, message).about("idempotency_key")
}

/// Logs what went wrong under an id that the caller is told.
pub(crate) fn failed_inside(error: &dyn std::fmt::Display) -> ApiError {
	let id = hex::encode(rand::random::<[u8; 8]>());
	tracing::error!(id, %error, "a request failed inside");
	ApiError::new(ErrorCode::Internal).about(id)
}

pub(crate) fn internal(error: StoreError) -> ApiError {
	failed_inside(&error)
}

pub(crate) fn disk(error: artifacts::Error) -> ApiError {
	if let artifacts::Error::Away(_) = &error {
		tracing::error!(%error, "an artifact could not be read or written");
		return ErrorCode::ArtifactStorageAway.into();
	}
	failed_inside(&error)
}

fn broken(what: &'static str) -> ApiError {
	failed_inside(&StoreError::Corrupt(what))
}
