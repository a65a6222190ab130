//! The coordinator's life, and the network between it and everybody else.

use crate::{
	chain::{account, worker, Chain, COORDINATOR, GENESIS},
	dice::Dice,
	rules::Facts,
	trace::Trace,
};
use cuckoo_chain_client::Allotment;
use cuckoo_coordinator_api::error::ApiError;
use cuckoo_primitives::{CUC, H256};
use futures::future::BoxFuture;
use offchain_coordinator::{
	artifacts::{Artifacts, Memory as Pictures},
	clock::{Clock, Simulated, Sleep},
	coordinator::{Coordinator, Surroundings},
	entropy::Entropy,
	ledger::model::Model,
	scheduler,
	settings::Settings,
	store::{Memory, Store},
};
use sp_core::Pair;
use std::{
	fmt::Display,
	future::Future,
	sync::{
		atomic::{AtomicBool, Ordering},
		Arc, Mutex, MutexGuard, PoisonError,
	},
	time::Duration,
};
use tokio_util::sync::CancellationToken;

/// Apps that have a channel: more than there are.
const MAX_APPS: u8 = 8;

/// How long callers wait for an answer.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// When the simulation begins.
const START_MS: u64 = 1_700_000_000_000;

/// Why there is no answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Failed {
	/// Nobody answered: it may have happened or not.
	Lost,
	/// The coordinator said no.
	Refused(ApiError),
}

/// A coordinator that runs.
#[derive(Clone)]
struct Running {
	coordinator: Arc<Coordinator>,
	/// Ends everything that goes on in it.
	death: CancellationToken,
}

/// Everything there is.
pub struct World {
	/// What happened.
	pub trace: Trace,
	/// What must be remembered to check the rules.
	pub facts: Mutex<Facts>,
	/// The pictures, which survive the coordinator.
	pub pictures: Pictures,
	dice: Dice,
	chain: Mutex<Chain>,
	/// The chain's side of money.
	pub money: Model,
	/// In a lock, since a connection is used by one thread at a time.
	memory: Mutex<Memory>,
	settings: Settings,
	time: Simulated,
	running: Mutex<Option<Running>>,
	/// Whether the network does what it should.
	healed: AtomicBool,
	/// Until when nothing gets through.
	partitioned_until: Mutex<Duration>,
}

/// How often the coordinator looks at the chain's side of money.
const LOOK: Duration = Duration::from_secs(6);

/// The coordinator looks at the chain's side of money, as it does with each block.
async fn look(coordinator: Arc<Coordinator>, time: Simulated) {
	loop {
		// Only a store that is closed ends that, with the coordinator.
		let _ = coordinator.look_at_chain().await;
		time.sleep(LOOK).await;
	}
}

/// A chain on which every miner is covered, and every app has a channel.
fn money(miners: u8) -> Model {
	let money = Model::new(GENESIS);
	for number in 0..MAX_APPS {
		let key = worker(app_key(number), 0).public();
		money.open_channel(account(COORDINATOR), key, 1_000_000 * CUC);
	}
	let mut state = money.state();
	for number in 0..miners {
		let allotment = Allotment {
			amount: 1_000 * CUC,
			since: 0,
			lowering: None,
			paid: Vec::new(),
		};
		state.allotments.insert(account(number), allotment);
	}
	drop(state);
	money
}

/// The number of the key with which an app signs.
pub fn app_key(app: u8) -> u8 {
	100 + app
}

/// What becomes of a call.
struct Fate {
	there: Duration,
	back: Duration,
	request_lost: bool,
	reply_lost: bool,
	/// The same request comes once more, so much later.
	doubled: Option<Duration>,
}

impl World {
	/// With so many miners; nothing runs yet.
	pub fn new(dice: &Dice, miners: u8, settings: Settings) -> anyhow::Result<Arc<Self>> {
		let time = Simulated::new(START_MS);
		let chain = Chain::new(&dice.split(), miners);
		Ok(Arc::new(Self {
			trace: Trace::new(time.clone()),
			facts: Mutex::default(),
			pictures: Pictures::default(),
			dice: dice.split(),
			chain: Mutex::new(chain),
			money: money(miners),
			memory: Mutex::new(Memory::new()?),
			settings,
			time: time.clone(),
			running: Mutex::new(None),
			healed: AtomicBool::new(false),
			partitioned_until: Mutex::new(Duration::ZERO),
		}))
	}

	/// Waits.
	pub fn sleep(&self, time: Duration) -> Sleep {
		self.time.sleep(time)
	}

	/// How much time has passed.
	pub fn passed(&self) -> Duration {
		self.time.passed()
	}

	/// The time, to be skipped.
	pub fn time(&self) -> &Simulated {
		&self.time
	}

	/// What must be remembered.
	pub fn facts(&self) -> MutexGuard<'_, Facts> {
		lock(&self.facts)
	}

	/// The chain.
	pub fn chain(&self) -> MutexGuard<'_, Chain> {
		lock(&self.chain)
	}

	/// The limits that the coordinator has.
	pub fn settings(&self) -> &Settings {
		&self.settings
	}

	/// The coordinator's clock.
	pub fn now_ms(&self) -> u64 {
		self.time.now_ms()
	}

	/// The coordinator, if it runs.
	pub fn coordinator(&self) -> Option<Arc<Coordinator>> {
		Some(lock(&self.running).as_ref()?.coordinator.clone())
	}

	// The coordinator's life

	/// Starts the coordinator on what is in the store. It ends at once if the chain knows it as none.
	pub async fn start(&self) -> anyhow::Result<()> {
		let dice = self.dice.split();
		let store = Store::open_inline(&lock(&self.memory))?.with_pauses(self.pauses());
		let surroundings = Surroundings {
			lock: None,
			store,
			artifacts: Artifacts::in_memory(&self.pictures),
			clock: Clock::Simulated(self.time.clone()),
			entropy: Entropy::seeded(dice.number(0..u64::MAX)),
			inline: true,
		};
		let key = worker(COORDINATOR, 0);
		let coordinator = Coordinator::open_in(surroundings, key, self.settings.clone()).await?;
		self.trace
			.note("world", format_args!("the coordinator starts"));
		self.compare(&coordinator).await?;
		coordinator.set_chain(Arc::new(self.money.clone()));
		let registry = self.chain().last();
		if let Err(error) = coordinator.set_registry(registry, GENESIS).await {
			// It is no coordinator on chain: the program ends, and is started again.
			self.trace
				.note("world", format_args!("the coordinator ends: {error}"));
			coordinator.close().await;
			return Ok(());
		}
		let death = CancellationToken::new();
		let scheduling = scheduler::run(coordinator.clone(), death.clone());
		tokio::spawn(until(death.clone(), scheduling));
		if self.settings.prices.default > 0 {
			let looking = look(coordinator.clone(), self.time.clone());
			tokio::spawn(until(death.clone(), looking));
		}
		*lock(&self.running) = Some(Running { coordinator, death });
		Ok(())
	}

	/// What is in memory is what follows from the store.
	pub async fn compare(&self, coordinator: &Coordinator) -> anyhow::Result<()> {
		/// Results that are being checked may end while the store is read.
		const TRIES: u32 = 20;
		for _ in 0..TRIES {
			let before = coordinator.tables();
			let stored = coordinator.stored_tables().await?;
			let after = coordinator.tables();
			if before == after {
				if stored != after {
					let rule = format!("memory has {after:?}, the store {stored:?}");
					self.trace.broken(rule);
				}
				return Ok(());
			}
		}
		anyhow::bail!("the tables do not come to rest")
	}

	/// How long the store's operations take: most no time, some a while.
	fn pauses(&self) -> impl Fn() -> BoxFuture<'static, ()> + Send + Sync + 'static {
		let (dice, time) = (self.dice.split(), self.time.clone());
		move || match dice.chance(250) {
			true => Box::pin(time.sleep(dice.millis(1..400))),
			false => Box::pin(std::future::ready(())),
		}
	}

	/// Kills the coordinator: what was not committed never was.
	pub async fn kill(&self) {
		let Some(running) = lock(&self.running).take() else {
			return;
		};
		self.trace
			.note("world", format_args!("the coordinator dies"));
		running.death.cancel();
		// Whatever of it still moves can write no more.
		running.coordinator.close().await;
	}

	/// The clock of the coordinator's machine is set.
	pub fn move_clock(&self, by_ms: i64) {
		self.trace
			.note("world", format_args!("the clock moves by {by_ms} ms"));
		self.time.set(by_ms);
	}

	/// A block is finalized; the coordinator hears of it.
	pub async fn next_block(&self, dice: &Dice) {
		let registry = self.chain().next(dice);
		self.trace
			.note("chain", format_args!("block {}", registry.block.number));
		if let Some(coordinator) = self.coordinator() {
			// A coordinator that was killed meanwhile need not hear of it.
			let _ = coordinator.set_registry(registry, GENESIS).await;
		}
	}

	// The network

	/// Nothing gets through for this long.
	pub fn partition(&self, time: Duration) {
		self.trace
			.note("network", format_args!("nothing gets through for {time:?}"));
		*lock(&self.partitioned_until) = self.time.passed() + time;
	}

	/// From now on everything gets through, once and soon.
	pub fn heal(&self) {
		self.trace.note("world", format_args!("everything heals"));
		self.healed.store(true, Ordering::SeqCst);
		*lock(&self.partitioned_until) = Duration::ZERO;
	}

	/// Whether everything has healed.
	pub fn is_healed(&self) -> bool {
		self.healed.load(Ordering::SeqCst)
	}

	fn fate(&self) -> Fate {
		let dice = &self.dice;
		if self.is_healed() {
			return Fate {
				there: dice.millis(1..20),
				back: dice.millis(1..20),
				request_lost: false,
				reply_lost: false,
				doubled: None,
			};
		}
		let delay = || match dice.chance(100) {
			true => dice.millis(1..8_000),
			false => dice.millis(1..200),
		};
		let cut = self.time.passed() < *lock(&self.partitioned_until);
		Fate {
			there: delay(),
			back: delay(),
			request_lost: cut || dice.chance(40),
			reply_lost: dice.chance(40),
			doubled: dice.chance(40).then(|| dice.millis(1..5_000)),
		}
	}

	/// Asks the coordinator over the network.
	pub async fn call<T, F, Fut>(
		self: &Arc<Self>,
		who: impl Display,
		what: &str,
		ask: F,
	) -> Result<T, Failed>
	where
		T: Send + 'static,
		F: Fn(Arc<Coordinator>) -> Fut + Send + Sync + 'static,
		Fut: Future<Output = Result<T, ApiError>> + Send + 'static,
	{
		let fate = self.fate();
		self.sleep(fate.there).await;
		if fate.request_lost {
			self.trace
				.note(&who, format_args!("{what}: the request is lost"));
			self.sleep(PATIENCE).await;
			return Err(Failed::Lost);
		}
		let ask = Arc::new(ask);
		if let Some(later) = fate.doubled {
			let (world, ask) = (self.clone(), ask.clone());
			tokio::spawn(async move {
				world.sleep(later).await;
				// Nobody hears the answer.
				let _ = world.arrive(&*ask).await;
			});
		}
		let answer = self.arrive(&*ask).await;
		if answer.is_err() || fate.reply_lost {
			self.trace.note(&who, format_args!("{what}: no answer"));
			return Err(Failed::Lost);
		}
		self.sleep(fate.back).await;
		answer?.map_err(Failed::Refused)
	}

	/// A request has arrived: it is worked on until it is done, the caller gives up, or the coordinator
	/// dies.
	async fn arrive<T, F, Fut>(&self, ask: &F) -> Result<Result<T, ApiError>, Failed>
	where
		T: Send + 'static,
		F: Fn(Arc<Coordinator>) -> Fut,
		Fut: Future<Output = Result<T, ApiError>> + Send + 'static,
	{
		let Some(running) = lock(&self.running).clone() else {
			return Err(Failed::Lost);
		};
		let work = until(running.death.clone(), ask(running.coordinator));
		// A server ends the work on a request when its client is gone, unless it is too late for that.
		let patience = self.sleep(PATIENCE);
		let done = match self.dice.chance(500) {
			true => within(patience, work).await,
			false => within(patience, tokio::spawn(work))
				.await
				.and_then(Result::ok),
		};
		done.flatten().ok_or(Failed::Lost)
	}

	/// A picture is uploaded: over the network, which may lose it.
	pub async fn upload(&self, hash: H256, bytes: Vec<u8>) -> Result<(), Failed> {
		let fate = self.fate();
		self.sleep(fate.there).await;
		if fate.request_lost || self.coordinator().is_none() {
			return Err(Failed::Lost);
		}
		self.pictures.put(&hash, bytes);
		self.sleep(fate.back).await;
		if fate.reply_lost {
			return Err(Failed::Lost);
		}
		Ok(())
	}
}

async fn within<T>(patience: Sleep, work: impl Future<Output = T>) -> Option<T> {
	tokio::select! {
		biased;
		done = work => Some(done),
		() = patience => None,
	}
}

async fn until<T>(death: CancellationToken, work: impl Future<Output = T>) -> Option<T> {
	tokio::select! {
		biased;
		() = death.cancelled() => None,
		done = work => Some(done),
	}
}

/// Nothing is left half done when a holder panics.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
	mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
