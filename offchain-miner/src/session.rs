//! One coordinator, served: log in, wait for work, do it, deliver it.
//!
//! A session never ends by itself on a fault that may pass; it backs off, and says what is wrong. It
//! ends when it is drained, or when the coordinator has been unreachable for so long, or has done
//! something so wrong, that another one should be served instead.

use crate::{
	assignment::{self, Expected, Refusal, Verified},
	clock::now_ms,
	device::{Devices, PaintError, Running},
	link::{Link, LinkError},
	metrics::{Metrics, Serving, TaskEnd},
	outbox::{Outbox, OutboxError, Painting, Record},
	purse::{self, keeper::Asking, Promise, Purse},
	trust::Trust,
	ui::{self, StepProgress, Ui},
};
use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use bytes::Bytes;
use cuckoo_coordinator_api::{
	limits,
	miner::{Held, Outcome, PollReply, Work},
	payment::SignedVoucher,
	ErrorCode,
};
use cuckoo_primitives::{signing, task::ModelHash};
use sp_core::{sr25519, Pair};
use std::{
	collections::HashMap,
	convert::Infallible,
	future::pending,
	pin::pin,
	sync::{
		atomic::{AtomicBool, Ordering},
		Arc,
	},
	time::{Duration, Instant},
};
use tokio::{
	select,
	sync::watch,
	task::{self, JoinSet},
	time::sleep,
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

/// The longest wait asked for in one poll: short enough for proxies that cut idle connections.
const MAX_WAIT: Duration = Duration::from_secs(20);
/// The first poll is short, so that the user soon learns where the miner stands.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// Deliveries under way at one coordinator beyond which no new work is taken from it, by a miner that
/// works on one task at a time.
const MAX_DELIVERIES: usize = 4;
/// How many times longer a coordinator is waited for while something is under way there.
const PATIENCE_WITH_TASKS: u32 = 3;
/// How long giving back may take at the end.
const FAREWELL: Duration = Duration::from_secs(5);
/// How often a failure is reported before the lease is left to end by itself.
const FAILURE_REPORTS: usize = 3;
/// Attempts on their way back to one coordinator without having been begun. The leases of more end by
/// themselves: one that answers none of them holds no more than that.
const MAX_GIVE_BACKS: usize = 16;
/// Assignments on end that come beyond what was offered, and are given back, before their sender is left. An
/// honest one has a few where a miner was restarted, or came to another of its processes.
const MAX_SURPLUS: usize = 8;
/// What is left of a lease when work that is not done by then is given back: while the coordinator still
/// listens, and too little to hand a result in.
const LEASE_MARGIN: Duration = Duration::from_secs(1);

const BUSY: &str = "the device is busy with other tasks";
const NOT_OFFERED: &str = "no slot was offered for it";
const TOO_LATE: &str = "it would not be done before its lease ends";
const DISK: &str = "the miner cannot keep results on its disk now";
const SHUTTING_DOWN: &str = "the miner is shutting down";

/// How long a session waits for what. Tests shorten it.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
	/// The first pause after a failed call; doubles each time, with jitter.
	pub first_pause: Duration,
	/// The longest pause, before jitter.
	pub longest_pause: Duration,
	/// Between two polls at least.
	pub poll_gap: Duration,
	/// Between two progress reports at least.
	pub progress_gap: Duration,
	/// How long a coordinator may be unreachable before another is served instead.
	pub patience: Duration,
	/// Between two looks whether a disk that took no result takes one again.
	pub probe_gap: Duration,
	/// How long no newer block may come until the chain is said to stall.
	pub chain_patience: Duration,
	/// How a coordinator is asked for vouchers.
	pub asking: Asking,
}

impl Default for Timing {
	fn default() -> Self {
		Self {
			first_pause: Duration::from_millis(500),
			longest_pause: Duration::from_secs(15),
			poll_gap: Duration::from_millis(500),
			progress_gap: Duration::from_secs(1),
			patience: Duration::from_secs(60),
			probe_gap: Duration::from_secs(10),
			chain_patience: Duration::from_secs(300),
			asking: Asking::default(),
		}
	}
}

impl Timing {
	fn pauses(&self) -> ExponentialBackoff {
		ExponentialBuilder::new()
			.with_min_delay(self.first_pause)
			.with_max_delay(self.longest_pause)
			.without_max_times()
			.with_jitter()
			// Without a seed, all miners would make the same pauses, and come back as one.
			.with_jitter_seed(rand::random())
			.build()
	}
}

/// What all sessions of a miner share.
pub struct Miner {
	/// The key that signs.
	pub worker: sr25519::Pair,
	/// What paints.
	pub devices: Devices,
	/// What is kept until it is acknowledged.
	pub outbox: Arc<Outbox>,
	/// What coordinators owe.
	pub purse: Arc<Purse>,
	/// Where progress is shown.
	pub ui: Ui,
	/// How long to wait.
	pub timing: Timing,
	/// Which coordinators are who they say.
	pub trust: Trust,
	/// What is counted.
	pub metrics: Arc<Metrics>,
}

/// When a session is to stop.
#[derive(Clone, Default)]
pub struct Stop {
	/// Take no new work, finish what is begun.
	pub drain: CancellationToken,
	/// Give back what is begun. What is on disk stays there for the next start.
	pub at_once: CancellationToken,
}

/// Why a session ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
	/// It was told to, and everything begun is finished or given back.
	Drained,
	/// The coordinator was out of reach for too long.
	OutOfReach(String),
	/// The coordinator broke the protocol.
	Foul(String),
}

/// Serves the coordinator behind `link` until told to stop.
pub async fn serve(miner: Arc<Miner>, link: Arc<Link>, stop: Stop) -> Ended {
	let mut session = Session {
		load: miner.devices.load(),
		serving: miner.metrics.serves(),
		tasks: JoinSet::new(),
		held: HashMap::new(),
		offers: Offers::default(),
		leaves: CancellationToken::new(),
		standing: String::new(),
		miner,
		link,
		stop,
	};
	session.deliver_pending();
	// Ends with the session.
	let mut keeper = JoinSet::new();
	keeper.spawn(session.keep_vouchers());
	let ended = session.run().await;
	// One that is left or gone takes nothing for now: pictures are finished, and then the outbox has them.
	if ended != Ended::Drained {
		session.leaves.cancel();
	}
	session.finish().await;
	// Whatever is left was given back, or stays in the outbox.
	session.tasks.shutdown().await;
	ended
}

struct Session {
	miner: Arc<Miner>,
	link: Arc<Link>,
	stop: Stop,
	load: watch::Receiver<usize>,
	serving: Serving,
	tasks: JoinSet<()>,
	/// The attempts that tasks are about.
	held: HashMap<task::Id, Attempted>,
	offers: Offers,
	/// Cancelled when the coordinator is left: what is not taken now stays in the outbox.
	leaves: CancellationToken,
	/// What the user was told last.
	standing: String,
}

struct Attempted {
	held: Held,
	/// Cancelled when the coordinator wants it no more.
	unwanted: CancellationToken,
	/// It was not begun.
	goes_back: bool,
}

/// How many assignments a coordinator may still tell: it draws no more at once than the most slots that were
/// offered, and tells what it drew whatever is offered by then.
#[derive(Debug, Default)]
struct Offers {
	open: usize,
	/// Assignments on end beyond that.
	surplus: usize,
}

/// How an assignment fits what was offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fits {
	Offer,
	/// It does not, which may happen.
	Surplus,
	/// Nor did those before it.
	Nothing,
}

impl Offers {
	/// A poll offers so many slots.
	fn offer(&mut self, slots: u16) {
		self.open = self.open.max(slots.into());
	}

	/// An assignment has come.
	fn take(&mut self) -> Fits {
		if self.open > 0 {
			*self = Self {
				open: self.open - 1,
				surplus: 0,
			};
			return Fits::Offer;
		}
		self.surplus += 1;
		match self.surplus <= MAX_SURPLUS {
			true => Fits::Surplus,
			false => Fits::Nothing,
		}
	}
}

/// What became of a poll's reply.
#[derive(Debug)]
enum Taken {
	/// It brought no work.
	Nothing,
	/// Work was begun.
	Work,
	/// Its work is not begun.
	Refused,
	/// Its sender is left.
	Foul(String),
}

impl Session {
	async fn run(&mut self) -> Ended {
		let timing = self.miner.timing;
		let mut pauses = timing.pauses();
		let mut pause = Duration::ZERO;
		let mut answered = Instant::now();
		// After work that was not begun the coordinator is not asked before, whatever else is to be said.
		let mut not_before = answered;
		loop {
			let draining = self.stop.drain.is_cancelled();
			if draining && (self.tasks.is_empty() || self.stop.at_once.is_cancelled()) {
				return Ended::Drained;
			}
			pause = pause.max(not_before.saturating_duration_since(Instant::now()));
			let asked = Instant::now() + pause;
			let said = self.to_say();
			match self.poll(pause).await {
				None => pause = Duration::ZERO,
				Some(Ok(reply)) => {
					self.serving.is_up(true);
					answered = Instant::now();
					pauses = timing.pauses();
					let says_more = self.to_say() != said;
					// The gap is between polls that say the same: a slot that came free meanwhile is
					// offered at once.
					pause = match self.take(reply) {
						Taken::Foul(reason) => return Ended::Foul(reason),
						Taken::Work => Duration::ZERO,
						Taken::Nothing if says_more => Duration::ZERO,
						Taken::Nothing => timing.poll_gap.saturating_sub(asked.elapsed()),
						Taken::Refused => {
							not_before = Instant::now() + timing.poll_gap;
							timing.poll_gap
						},
					};
				},
				Some(Err(error)) if error.is_wrong_party() => {
					return Ended::Foul(error.to_string());
				},
				Some(Err(error)) => {
					self.serving.is_up(false);
					self.miner.metrics.error(&error.to_string());
					let silence = answered.elapsed();
					// With something begun here it waits longer; what is done is on disk in any case.
					let patience = if self.tasks.is_empty() {
						timing.patience
					} else {
						timing.patience * PATIENCE_WITH_TASKS
					};
					if silence > patience {
						return Ended::OutOfReach(error.to_string());
					}
					pause = pauses.next().unwrap_or(timing.longest_pause);
					warn!(
						coordinator = %self.link.url(),
						retry_in_ms = pause.as_millis() as u64,
						"{error}"
					);
				},
			}
		}
	}

	/// How many tasks the next poll offers to take: what the protocol calls slots.
	fn free_slots(&self) -> u16 {
		let at_once = usize::from(self.miner.devices.profile().tasks_at_once);
		let full = self.tasks.len() >= MAX_DELIVERIES + at_once - 1;
		if full || self.stop.drain.is_cancelled() || self.miner.outbox.is_stuck() {
			return 0;
		}
		let asks = purse::keeper::party(&self.link)
			.is_none_or(|party| self.miner.purse.asks_for_work(&party, Instant::now()));
		if !asks {
			return 0;
		}
		let free = self
			.miner
			.devices
			.at_once()
			.saturating_sub(*self.load.borrow());
		// At most what the profile says, which is a u16.
		free.min(at_once) as u16
	}

	/// Opens the account with this coordinator, and keeps asking for what it owes.
	fn keep_vouchers(&self) -> impl std::future::Future<Output = ()> + Send + 'static {
		if let Some(party) = purse::keeper::party(&self.link) {
			self.miner.purse.serve(&party);
		}
		let asking = self.miner.timing.asking;
		purse::keeper::run(self.miner.purse.clone(), self.link.clone(), asking)
	}

	/// What the next poll tells the coordinator: how many slots it offers, and what is held.
	fn to_say(&self) -> (u16, Vec<Held>) {
		let holding = self.held.values().map(|attempt| attempt.held).collect();
		(self.free_slots(), holding)
	}

	/// One poll after `pause`; `None` when it was left because a new one says something else. A poll
	/// that asks for work is left only to stop: the work it might bring would be lost.
	async fn poll(&mut self, pause: Duration) -> Option<Result<PollReply, LinkError>> {
		let draining = self.stop.drain.is_cancelled();
		self.load.mark_unchanged();
		let (free_slots, holding) = self.to_say();
		let takes_work = free_slots > 0;
		self.offers.offer(free_slots);
		let link = self.link.clone();
		let told_nothing = self.standing.is_empty();
		let sent = AtomicBool::new(false);
		let mut poll = pin!(async {
			sleep(pause).await;
			sent.store(true, Ordering::Relaxed);
			let within = Duration::from_millis(link.session().await?.poll_within_ms);
			// Half of what the coordinator allows: a poll that comes late makes the miner ineligible.
			let wait = (within / 2).min(if told_nothing { FIRST_WAIT } else { MAX_WAIT });
			link.poll(free_slots, holding, wait).await
		});
		loop {
			select! {
				biased;
				() = self.stop.at_once.cancelled(), if draining => return None,
				() = self.stop.drain.cancelled(), if !draining => return None,
				reply = &mut poll => return Some(reply),
				Some(ended) = self.tasks.join_next_with_id(), if !self.tasks.is_empty() => {
					let id = match ended {
						Ok((id, ())) => id,
						Err(error) => {
							warn!(%error, "a task of this session broke off");
							error.id()
						},
					};
					self.held.remove(&id);
					if !takes_work || !sent.load(Ordering::Relaxed) {
						return None;
					}
				},
				changed = self.load.changed(), if !takes_work => {
					// The device outlives the session, so there is always a sender.
					if changed.is_ok() && !draining {
						return None;
					}
				},
			}
		}
	}

	/// Waits for what is begun, but not for long once it is to stop at once.
	async fn finish(&mut self) {
		let hurry = async {
			self.stop.at_once.cancelled().await;
			sleep(FAREWELL).await;
		};
		let tasks = async { while self.tasks.join_next().await.is_some() {} };
		select! {
			() = tasks => {},
			() = hurry => {},
		}
	}

	fn take(&mut self, reply: PollReply) -> Taken {
		// With work in hand a miner is not eligible, and knows why.
		if reply.work.is_none() && self.held.is_empty() {
			let standing = ui::standing(&reply.standing);
			if standing != self.standing {
				info!(coordinator = %self.link.url(), "{standing}");
				self.standing = standing;
			}
		}
		for held in reply.abandon {
			for attempt in self.held.values().filter(|attempt| attempt.held == held) {
				attempt.unwanted.cancel();
			}
		}
		reply.work.map_or(Taken::Nothing, |work| self.begin(work))
	}

	fn begin(&mut self, work: Work) -> Taken {
		let held = Held {
			task: work.assignment.task,
			attempt: work.assignment.attempt,
		};
		if self.held.values().any(|attempt| attempt.held == held) {
			debug!(task = %held.task, attempt = held.attempt, "assigned again while at work on it");
			return Taken::Refused;
		}
		let fits = self.offers.take();
		if self.stop.drain.is_cancelled() {
			return self.give_back(held, SHUTTING_DOWN);
		}
		if fits == Fits::Nothing {
			self.give_back(held, NOT_OFFERED);
			return Taken::Foul("it goes on handing out work for which no slot was offered".into());
		}
		let verified = match self.verify(&work) {
			Ok(verified) => verified,
			Err(refusal) => {
				warn!(task = %held.task, coordinator = %self.link.url(), "refused: {refusal}");
				self.miner.metrics.error(&refusal.to_string());
				let refused = self.give_back(held, &refusal.to_string());
				// A coordinator that sends what it must not is left; not by what was true of it long ago.
				return match refusal.is_foul() && !self.link.chain().is_stalled() {
					true => Taken::Foul(refusal.to_string()),
					false => refused,
				};
			},
		};
		match self.miner.outbox.find(&verified.hash) {
			Some(record) if self.miner.outbox.is_pending(&verified.hash) => {
				info!(task = %held.task, "assigned again; the result is here and is sent again");
				self.spawn(held, |job| async move { job.deliver(record).await });
				return Taken::Work;
			},
			// Making it again could end in a second, different commitment.
			Some(_) => {
				return self.give_back(held, "this attempt's result was delivered before");
			},
			None => {},
		}
		if let Some(reason) = self.cannot_do(&verified, fits) {
			warn!(task = %held.task, coordinator = %self.link.url(), "given back: {reason}");
			return self.give_back(held, &reason);
		}
		let promise = match self.miner.purse.promise(&verified, Instant::now()) {
			Ok(promise) => promise,
			Err(declined) => {
				warn!(task = %held.task, coordinator = %self.link.url(), "{declined}");
				return self.hand_back(held, TaskEnd::Failed, declined.to_string());
			},
		};
		// Handed to the device here, so that the next poll says that it is busy.
		let Ok(running) = self.miner.devices.submit(verified.spec.clone()) else {
			return self.give_back(held, BUSY);
		};
		info!(
			task = %held.task,
			attempt = held.attempt,
			steps = verified.spec.steps,
			size = %format_args!("{}x{}", verified.spec.width, verified.spec.height),
			"working"
		);
		self.spawn(held, |job| async move {
			job.work(verified, running, promise).await;
		});
		Taken::Work
	}

	/// Why an assignment that is in order would come to nothing here.
	fn cannot_do(&self, verified: &Verified, fits: Fits) -> Option<String> {
		let deadline_ms = verified.assignment.deadline_ms;
		let left = left_of(deadline_ms);
		let devices = &self.miner.devices;
		if fits != Fits::Offer {
			Some(NOT_OFFERED.into())
		} else if self.miner.outbox.has_forgotten(deadline_ms) {
			Some(OutboxError::Forgotten(deadline_ms).to_string())
		} else if self.miner.outbox.is_stuck() {
			Some(DISK.into())
		} else if devices
			.foresee(&verified.spec)
			.is_some_and(|needs| needs > left)
		{
			Some(TOO_LATE.into())
		} else {
			None
		}
	}

	/// Gives back an attempt that is not begun.
	fn give_back(&mut self, held: Held, reason: &str) -> Taken {
		self.hand_back(held, TaskEnd::GivenBack, reason.to_owned())
	}

	fn hand_back(&mut self, held: Held, end: TaskEnd, reason: String) -> Taken {
		let on_their_way = self.held.values().filter(|it| it.goes_back).count();
		if on_their_way >= MAX_GIVE_BACKS {
			debug!(task = %held.task, "its lease is left to end by itself: {reason}");
			self.miner.metrics.ended(end);
			return Taken::Refused;
		}
		let id = self.spawn(held, |job| async move {
			job.miner.metrics.ended(end);
			job.hand_back(reason).await;
		});
		if let Some(attempt) = self.held.get_mut(&id) {
			attempt.goes_back = true;
		}
		Taken::Refused
	}

	fn verify(&self, work: &Work) -> Result<Verified, Refusal> {
		let registry = self.link.chain().current();
		let registry = registry.as_deref();
		let worker = self.miner.worker.public();
		let models: Vec<ModelHash> = self
			.miner
			.devices
			.profile()
			.models
			.iter()
			.map(|model| model.hash)
			.collect();
		assignment::verify(
			work,
			&Expected {
				genesis_hash: &self.link.chain().genesis_hash,
				coordinator: self.link.coordinator(),
				coordinator_worker: registry
					.and_then(|registry| registry.operator(self.link.coordinator()))
					.and_then(|coordinator| coordinator.worker.as_ref()),
				miner: registry
					.and_then(|registry| registry.by_worker(&worker))
					.map(|operator| &operator.account),
				worker: &worker,
				finalized: registry.map_or(0, |registry| registry.block.number),
				models: &models,
				now_ms: now_ms(),
			},
		)
	}

	fn deliver_pending(&mut self) {
		for record in self.miner.outbox.pending() {
			let ours = record.coordinator == *self.link.coordinator()
				&& record.genesis_hash == self.link.chain().genesis_hash;
			if ours {
				let held = Held {
					task: record.task,
					attempt: record.attempt,
				};
				info!(task = %held.task, "a result from before the start is delivered");
				self.spawn(held, |job| async move { job.deliver(record).await });
			}
		}
	}

	fn spawn<F>(&mut self, held: Held, act: impl FnOnce(Job) -> F) -> task::Id
	where
		F: std::future::Future<Output = ()> + Send + 'static,
	{
		let unwanted = CancellationToken::new();
		let job = Job {
			miner: self.miner.clone(),
			link: self.link.clone(),
			held,
			unwanted: unwanted.clone(),
			at_once: self.stop.at_once.clone(),
			leaves: self.leaves.clone(),
		};
		let id = self.tasks.spawn(act(job)).id();
		let attempt = Attempted {
			held,
			unwanted,
			goes_back: false,
		};
		self.held.insert(id, attempt);
		id
	}
}

/// One attempt, from its assignment to its acknowledgement.
struct Job {
	miner: Arc<Miner>,
	link: Arc<Link>,
	held: Held,
	unwanted: CancellationToken,
	at_once: CancellationToken,
	leaves: CancellationToken,
}

/// How the painting ended.
enum Painted {
	Done(Painting),
	Failed(String),
	/// The miner stops before it is done.
	GivenBack(String),
	/// Nobody wants it any more.
	Unwanted,
	/// It is not done, and the lease is about to end.
	TooLate,
}

impl Job {
	/// The promise is kept until the outbox has the result, or there is none.
	async fn work(self, verified: Verified, running: Running, promise: Option<Promise>) {
		let started = Instant::now();
		let task = self.held.task;
		match self.paint(&verified, running).await {
			Painted::Done(painting) => {
				let seconds = started.elapsed().as_secs_f32();
				match self.commit(verified, painting).await {
					Ok(record) => {
						self.miner.purse.committed(&record);
						drop(promise);
						info!(%task, seconds, output = ?record.commitment.output, "done; delivering");
						self.deliver(record).await;
					},
					Err(error) => {
						warn!(%task, "the result cannot be kept: {error}");
						self.miner.metrics.error(&error.to_string());
						self.fail("the miner could not keep the result on its disk".into())
							.await;
					},
				}
			},
			Painted::Failed(reason) => {
				warn!(%task, "failed: {reason}");
				self.fail(reason).await;
			},
			Painted::GivenBack(reason) => self.give_back(reason).await,
			Painted::Unwanted => {
				info!(%task, "dropped: cancelled or handed on");
				self.miner.metrics.ended(TaskEnd::Dropped);
			},
			Painted::TooLate => {
				info!(%task, "dropped: its lease ends");
				self.miner.metrics.ended(TaskEnd::Dropped);
				// A lease that runs out is worse for the miner and for the app.
				self.hand_back(TOO_LATE.into()).await;
			},
		}
	}

	async fn paint(&self, verified: &Verified, mut running: Running) -> Painted {
		let left = left_of(verified.assignment.deadline_ms);
		let margin = LEASE_MARGIN.min(left / 10);
		let label = format!("task {}", self.held.task);
		let mut bar = self.miner.ui.progress(label, verified.spec.steps);
		let Running { steps, stop, reply } = &mut running;
		let ended = select! {
			biased;
			painted = reply => match painted {
				Ok(Ok(painting)) => Painted::Done(painting),
				Ok(Err(PaintError::Failed(reason) | PaintError::Device(reason))) => {
					Painted::Failed(reason)
				},
				Ok(Err(PaintError::Stopped)) | Err(_) => Painted::Failed("the device stopped".into()),
			},
			() = self.at_once.cancelled() => Painted::GivenBack(SHUTTING_DOWN.into()),
			() = self.unwanted.cancelled() => Painted::Unwanted,
			() = self.report(steps.clone()) => Painted::Unwanted,
			() = sleep(left - margin) => Painted::TooLate,
			never = show(steps.clone(), &mut bar) => match never {},
		};
		// Without effect on what is done; the rest stops after the step it is in.
		stop.cancel();
		ended
	}

	/// Reports progress; ends when the coordinator wants no more of it.
	async fn report(&self, mut steps: watch::Receiver<u16>) {
		loop {
			let done = *steps.borrow_and_update();
			match self.link.progress(self.held, done).await {
				Ok(reply) if reply.go_on => {},
				Ok(_) => return,
				Err(error) if error.code().is_some_and(ends_attempt) => return,
				Err(error) => debug!(task = %self.held.task, "progress not reported: {error}"),
			}
			sleep(self.miner.timing.progress_gap).await;
			if steps.changed().await.is_err() {
				// The painting has ended: whoever waits for it goes on.
				pending::<()>().await;
			}
		}
	}

	async fn commit(&self, verified: Verified, painting: Painting) -> Result<Record, OutboxError> {
		let miner = self.miner.clone();
		let genesis_hash = self.link.chain().genesis_hash;
		let committed = task::spawn_blocking(move || {
			miner
				.outbox
				.commit(&genesis_hash, &verified, &painting, |commitment| {
					signing::sign(&genesis_hash, commitment, &miner.worker)
				})
		});
		match committed.await {
			Ok(record) => record,
			Err(error) => Err(OutboxError::Io {
				path: Default::default(),
				source: std::io::Error::other(error),
			}),
		}
	}

	/// Uploads and submits until the coordinator acknowledged or refused it for good, or until it is to
	/// stop or the coordinator is left: then the outbox has it.
	async fn deliver(&self, record: Record) {
		let task = self.held.task;
		let mut pauses = self.miner.timing.pauses();
		let mut uploaded = false;
		while self.miner.outbox.is_pending(&record.commitment.assignment) {
			let error = match self.try_to_deliver(&record, &mut uploaded).await {
				Ok(true) => {
					info!(%task, "accepted");
					self.miner.metrics.ended(TaskEnd::Accepted);
					return self.settle(&record).await;
				},
				Ok(false) => {
					warn!(%task, "not accepted");
					self.miner.metrics.ended(TaskEnd::Refused);
					return self.settle(&record).await;
				},
				Err(DeliveryError::Link(error)) if error.code().is_some_and(is_final) => {
					if error.code() == Some(ErrorCode::AlreadySubmitted) {
						info!(%task, "was accepted before");
						self.miner.metrics.ended(TaskEnd::Accepted);
					} else {
						warn!(%task, "refused for good: {error}");
						self.miner.metrics.ended(TaskEnd::Refused);
						self.miner.metrics.error(&error.to_string());
					}
					return self.settle(&record).await;
				},
				Err(error) => error,
			};
			let pause = pauses.next().unwrap_or(self.miner.timing.longest_pause);
			warn!(%task, retry_in_ms = pause.as_millis() as u64, "not delivered yet: {error}");
			self.miner.metrics.error(&error.to_string());
			select! {
				() = sleep(pause) => {},
				() = self.at_once.cancelled() => return,
				() = self.leaves.cancelled() => return,
			}
		}
	}

	async fn try_to_deliver(
		&self,
		record: &Record,
		uploaded: &mut bool,
	) -> Result<bool, DeliveryError> {
		if !*uploaded {
			let (outbox, assignment) = (self.miner.outbox.clone(), record.commitment.assignment);
			let picture = task::spawn_blocking(move || outbox.picture(&assignment))
				.await
				.map_err(|error| DeliveryError::Disk(error.to_string()))?
				.map_err(|error| DeliveryError::Disk(error.to_string()))?;
			match self
				.link
				.upload(record.commitment.output, Bytes::from(picture))
				.await
			{
				Ok(()) => *uploaded = true,
				// Perhaps since the result was accepted and the reply lost: the submit will tell.
				Err(error) if error.code() == Some(ErrorCode::LeaseNotHeld) => {},
				Err(error) => return Err(error.into()),
			}
		}
		let outcome = Outcome::Result {
			commitment: record.commitment.clone(),
			signature: record.signature,
		};
		match self.link.submit(self.held, outcome).await {
			Ok(reply) => {
				if reply.accepted {
					self.receive(record, reply.voucher).await?;
				}
				Ok(reply.accepted)
			},
			Err(error) => {
				if error.code() == Some(ErrorCode::AlreadySubmitted) {
					self.receive(record, None).await?;
				}
				*uploaded &= error.code() != Some(ErrorCode::ArtifactMissing);
				Err(error.into())
			},
		}
	}

	/// An accepted result is to be paid. Only with this on the disk is it delivered.
	async fn receive(
		&self,
		record: &Record,
		voucher: Option<SignedVoucher>,
	) -> Result<(), DeliveryError> {
		if record.due.is_none() {
			return Ok(());
		}
		let (purse, record) = (self.miner.purse.clone(), record.clone());
		let view = purse::keeper::view(&self.link);
		let kept =
			task::spawn_blocking(move || purse.receive(&record, voucher.as_ref(), &view)).await;
		match kept {
			Ok(Ok(_)) => Ok(()),
			Ok(Err(error)) => Err(DeliveryError::Purse(error.to_string())),
			Err(error) => Err(DeliveryError::Purse(error.to_string())),
		}
	}

	async fn settle(&self, record: &Record) {
		let (outbox, assignment) = (self.miner.outbox.clone(), record.commitment.assignment);
		let settled = task::spawn_blocking(move || outbox.settle(&assignment)).await;
		match settled {
			Ok(Ok(())) => self.miner.purse.delivered(record),
			// It will be sent again after the next start, and be refused as submitted already.
			Ok(Err(error)) => warn!(task = %self.held.task, "the outbox keeps it: {error}"),
			Err(error) => warn!(task = %self.held.task, "the outbox keeps it: {error}"),
		}
	}

	/// The attempt came to nothing here.
	async fn fail(&self, reason: String) {
		self.miner.metrics.ended(TaskEnd::Failed);
		self.hand_back(reason).await;
	}

	/// The attempt was not begun, or not to the end.
	async fn give_back(&self, reason: String) {
		self.miner.metrics.ended(TaskEnd::GivenBack);
		self.hand_back(reason).await;
	}

	/// Gives the attempt back, so that it is drawn anew at once.
	async fn hand_back(&self, reason: String) {
		let reason = cut(reason);
		let mut pauses = self.miner.timing.pauses();
		for _ in 0..FAILURE_REPORTS {
			let outcome = Outcome::Failure {
				reason: reason.clone(),
			};
			match self.link.submit(self.held, outcome).await {
				Ok(_) => return info!(task = %self.held.task, "given back: {reason}"),
				Err(error) if error.code().is_some() => {
					return debug!(task = %self.held.task, "not given back: {error}");
				},
				Err(error) => debug!(task = %self.held.task, "not given back yet: {error}"),
			}
			if self.at_once.is_cancelled() {
				return;
			}
			sleep(pauses.next().unwrap_or(self.miner.timing.longest_pause)).await;
		}
	}
}

#[derive(Debug, thiserror::Error)]
enum DeliveryError {
	#[error(transparent)]
	Link(#[from] LinkError),
	#[error("the outbox does not read: {0}")]
	Disk(String),
	#[error("its voucher cannot be kept: {0}")]
	Purse(String),
}

/// What is left of a lease.
fn left_of(deadline_ms: u64) -> Duration {
	Duration::from_millis(deadline_ms.saturating_sub(now_ms()))
}

/// Follows the steps on the bar.
async fn show(mut steps: watch::Receiver<u16>, bar: &mut StepProgress) -> Infallible {
	while steps.changed().await.is_ok() {
		let done = *steps.borrow_and_update();
		bar.at(done);
	}
	// The painting has ended: whoever waits for it goes on.
	pending().await
}

/// Whether nobody waits for this attempt any more.
fn ends_attempt(code: ErrorCode) -> bool {
	matches!(
		code,
		ErrorCode::LeaseNotHeld
			| ErrorCode::LeaseExpired
			| ErrorCode::TaskEnded
			| ErrorCode::TaskNotFound
			| ErrorCode::AttemptNotFound
			| ErrorCode::AlreadySubmitted
	)
}

/// Whether a result with this answer is not to be sent again.
fn is_final(code: ErrorCode) -> bool {
	ends_attempt(code)
		|| matches!(
			code,
			ErrorCode::AssignmentMismatch
				| ErrorCode::SignatureInvalid
				| ErrorCode::ArtifactNotPng
				| ErrorCode::ArtifactWrongSize
				| ErrorCode::ArtifactTooLarge
		)
}

/// Within the protocol's bound, on a character's border.
fn cut(mut reason: String) -> String {
	let mut end = reason.len().min(limits::MAX_TEXT_BYTES);
	while !reason.is_char_boundary(end) {
		end -= 1;
	}
	reason.truncate(end);
	reason
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn pauses_grow_to_a_bound_and_no_two_miners_make_the_same() {
		let timing = Timing::default();
		let pauses = || -> Vec<Duration> { timing.pauses().take(8).collect() };
		let (mine, yours) = (pauses(), pauses());
		assert_eq!(mine.len(), 8);
		assert!(mine.iter().all(|pause| *pause >= timing.first_pause));
		assert!(mine.iter().all(|pause| *pause <= timing.longest_pause * 2));
		assert_ne!(mine, yours);
	}

	#[test]
	fn reasons_fit_the_protocol() {
		assert_eq!(cut("short".into()), "short");
		let long = cut("é".repeat(limits::MAX_TEXT_BYTES) + "x");
		assert_eq!(long.len(), limits::MAX_TEXT_BYTES);
		assert!(
			cut(format!("x{}", "é".repeat(limits::MAX_TEXT_BYTES))).len() < limits::MAX_TEXT_BYTES
		);
	}
}
