//! What the coordinator holds in memory: the chain's registry, the miners that are connected, the
//! queue, the leases, and who can be drawn. All of it follows from the store, the chain and what
//! miners say, and is rebuilt from these after a restart.
//!
//! Nothing here waits, reads a clock, or touches disk or network. It is changed by what miners say,
//! by the chain, and, through [`Live::apply`], by transitions in the order in which the store
//! committed them.

use crate::{
	bans::Bans,
	clock::UnixMs,
	draw::{DrawTables, ListRecord, MAX_WEIGHT},
	eta::{Slots, Speeds},
	health::{Health, PROBATION_RESULTS},
	leases::{Lease, Leases},
	miners::{Miner, ATTEMPTS_PER_SLOT},
	models::Catalogue,
	queue::{Queue, Waiting},
	sessions::{Challenges, Sessions},
	settings::Settings,
	settle,
	state::{Ending, Stage},
	store::{MinerRow, TaskRow, Transition},
	terms,
};
use cuckoo_chain_client::{Operator, Registry};
use cuckoo_coordinator_api::{
	error::{ApiError, ErrorCode},
	miner::{Held, Hello, Poll, PollReply, Standing, Work},
	task::{MinerInfo, TaskState, TaskStatus},
	Amount,
};
use cuckoo_primitives::{
	signing::Assignment,
	task::{ModelHash, TaskId},
	AccountId, Balance, Role, WorkerSignature, H256,
};
use std::{
	borrow::Cow,
	collections::{BTreeMap, BTreeSet, HashMap},
	sync::Arc,
};
use tokio::sync::{broadcast, Notify};

/// How long a session without a poll and without a lease is kept.
const SESSION_IDLE_MS: u64 = 600_000;

/// How often all miners are looked at again for what only time changes.
const REFRESH_MS: u64 = 1_000;

/// With so many miners or more, what they bring to each model is counted once in [`REFRESH_MS`].
const COUNT_ALWAYS_BELOW: usize = 32;

/// With more miners than this, ranks are up to [`REFRESH_MS`] old.
const RANK_ALWAYS_BELOW: usize = 1_000;

/// Changes of a task that a slow subscriber can be behind.
const WATCH_CAPACITY: usize = 256;

/// A draw that is to be signed and committed.
#[derive(Clone, Debug)]
pub struct Draw {
	/// The task as it waited.
	pub waiting: Waiting,
	/// What will be signed.
	pub assignment: Assignment,
	/// When it was made.
	pub drawn_ms: UnixMs,
	/// How many were in the list that was drawn from.
	pub eligible: usize,
	/// What is to be stored of it.
	pub list: ListRecord,
}

/// How a poll begins.
#[derive(Debug)]
pub struct Polling {
	/// Whose it is.
	pub miner: AccountId,
	/// Its number.
	pub number: u64,
	/// Wakes it.
	pub wake: Arc<Notify>,
	/// Attempts that the miner turns out to have lost.
	pub lost: Vec<Held>,
}

/// How many miners are connected, and how they stand.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct MinerCounts {
	/// Polled within the last 30 s.
	pub online: u32,
	/// Can be drawn now.
	pub eligible: u32,
	/// Suspended for their failures.
	pub suspended: u32,
	/// New here or lately suspended: one task at a time.
	pub probation: u32,
	/// Banned by the operator of this coordinator.
	pub banned: u32,
}

impl MinerCounts {
	/// Each count with its name.
	pub const fn named(&self) -> [(&'static str, u32); 5] {
		[
			("online", self.online),
			("eligible", self.eligible),
			("suspended", self.suspended),
			("probation", self.probation),
			("banned", self.banned),
		]
	}
}

/// The state in memory.
#[derive(Debug)]
pub struct Live {
	settings: Settings,
	registry: Option<Arc<Registry>>,
	miners: BTreeMap<AccountId, Miner>,
	draw: DrawTables,
	health: HashMap<AccountId, Health>,
	counts: HashMap<AccountId, (u64, u64)>,
	watchers: HashMap<TaskId, broadcast::Sender<TaskStatus>>,
	refreshed_ms: UnixMs,
	ranking: (UnixMs, Vec<Balance>),
	/// Who is logged in.
	pub sessions: Sessions,
	/// What is to be signed to log in.
	pub challenges: Challenges,
	/// How long tasks took of late.
	speeds: Speeds,
	/// The slots that serve each model, as of the last refresh, when the miners are many.
	slots: HashMap<ModelHash, Slots>,
	/// The stake behind each model, likewise.
	stakes: HashMap<ModelHash, Balance>,
	/// The models that were declared.
	pub models: Catalogue,
	/// The tasks that wait.
	pub queue: Queue,
	/// The attempts at work.
	pub leases: Leases,
	/// Who is left out by the operator's will.
	pub bans: Bans,
	/// What backs the miners' vouchers.
	cover: Cover,
}

impl Live {
	/// Nobody is connected and nothing waits. `first_list` is where [`DrawTables::new`] begins.
	pub fn new(
		settings: Settings,
		challenges: Challenges,
		models: Catalogue,
		miners: Vec<MinerRow>,
		first_list: u64,
	) -> Self {
		let counts = miners
			.into_iter()
			.map(|row| (row.account, (row.done, row.failed)))
			.collect();
		Self {
			settings,
			registry: None,
			miners: BTreeMap::new(),
			draw: DrawTables::new(first_list),
			health: HashMap::new(),
			counts,
			watchers: HashMap::new(),
			refreshed_ms: 0,
			ranking: (0, Vec::new()),
			sessions: Sessions::default(),
			challenges,
			speeds: Speeds::default(),
			slots: HashMap::new(),
			stakes: HashMap::new(),
			models,
			queue: Queue::default(),
			leases: Leases::default(),
			bans: Bans::default(),
			cover: Cover::default(),
		}
	}

	// The chain

	/// The last finalized registry.
	pub fn registry(&self) -> Option<&Arc<Registry>> {
		self.registry.as_ref()
	}

	/// Takes a newer registry.
	pub fn set_registry(&mut self, registry: Arc<Registry>, now_ms: UnixMs) {
		self.registry = Some(registry);
		self.refresh_all(now_ms);
	}

	fn operator(&self, miner: &AccountId) -> Option<&Operator> {
		self.registry.as_ref()?.operator(miner)
	}

	fn weight(&self, miner: &AccountId) -> Balance {
		self.operator(miner).map_or(0, |operator| {
			operator
				.total_stake
				.min(self.settings.weight_cap)
				.min(MAX_WEIGHT)
		})
	}

	// Eligibility

	/// What a miner lacks to be drawn, as a sentence; `None` when it is eligible.
	pub fn lacks(&self, account: &AccountId, now_ms: UnixMs) -> Option<String> {
		let Some(miner) = self.miners.get(account) else {
			return Some("it is not connected".into());
		};
		self.lacks_health(account, miner, now_ms).or_else(|| {
			let held = self.leases.count(account);
			if self.is_on_probation(account) && held > 0 {
				Some(format!(
					"on probation, with one task at a time until {PROBATION_RESULTS} of its results stand"
				))
			} else if miner.free_slots == 0 || held >= usize::from(miner.slots) * ATTEMPTS_PER_SLOT
			{
				Some("it has no free slot".into())
			} else {
				self.lacks_cover(account)
			}
		})
	}

	/// Whether the miner gets one task at a time: it is new here, or was suspended.
	fn is_on_probation(&self, account: &AccountId) -> bool {
		let done = self.counts.get(account).map_or(0, |(done, _)| *done);
		let health = self.health.get(account);
		done < u64::from(PROBATION_RESULTS) || health.is_some_and(Health::is_on_probation)
	}

	/// What a miner lacks, apart from a free slot.
	fn lacks_health(&self, account: &AccountId, miner: &Miner, now_ms: UnixMs) -> Option<String> {
		let Some(registry) = &self.registry else {
			return Some("the coordinator has no view of the chain yet".into());
		};
		let Some(operator) = registry.operator(account) else {
			return Some("its account is not registered on chain".into());
		};
		if let Err(error) = check_operator(operator, registry) {
			return Some(error.message);
		}
		if operator.worker != Some(miner.worker) {
			return Some("its operator has set another worker: say hello with that".into());
		}
		if let Some(ban) = self.bans.ban(account, now_ms) {
			return Some(ban.sentence(now_ms));
		}
		if let Some(suspension) = self
			.health
			.get(account)
			.and_then(|health| health.suspension(now_ms))
		{
			return Some(suspension);
		}
		if !miner.is_online(now_ms) {
			return Some("it has not polled for 30 s".into());
		}
		None
	}

	/// Looks again whether a miner is eligible.
	pub fn refresh(&mut self, account: &AccountId, now_ms: UnixMs) {
		let weight = match self.lacks(account, now_ms) {
			None => self.weight(account),
			Some(_) => 0,
		};
		self.note_room(account, weight > 0);
		let Some(miner) = self.miners.get_mut(account) else {
			return;
		};
		if miner.weight != weight {
			miner.weight = weight;
			self.draw.set(account, &miner.models, weight);
		}
	}

	fn refresh_all(&mut self, now_ms: UnixMs) {
		self.refreshed_ms = now_ms;
		if self.cover.active {
			let pays = self.queue.iter().map(|waiting| waiting.pay);
			self.cover.least_pay = pays.min().unwrap_or(self.cover.least_pay);
		}
		let accounts: Vec<AccountId> = self.miners.keys().cloned().collect();
		for account in &accounts {
			self.refresh(account, now_ms);
		}
		if accounts.len() >= COUNT_ALWAYS_BELOW {
			self.slots = self.count_slots(|_| true);
			self.stakes = self.count_stakes(|_| true, now_ms);
		}
	}

	/// Notices what only time changes: polls that stay away, suspensions that end, idle sessions.
	pub fn tick(&mut self, now_ms: UnixMs) {
		if now_ms.abs_diff(self.refreshed_ms) < REFRESH_MS {
			return;
		}
		let idle = |miner: &Miner| {
			miner.waiting == 0 && now_ms.saturating_sub(miner.last_seen_ms) > SESSION_IDLE_MS
		};
		let gone: Vec<AccountId> = self
			.miners
			.iter()
			.filter(|(account, miner)| idle(miner) && self.leases.count(account) == 0)
			.map(|(account, _)| account.clone())
			.collect();
		for account in gone {
			if let Some(miner) = self.miners.remove(&account) {
				self.draw.set(&account, &miner.models, 0);
				self.sessions.close(&miner.session);
				self.note_room(&account, false);
			}
		}
		self.health.retain(|_, health| !health.is_clean());
		self.refresh_all(now_ms);
	}

	/// Where a miner stands.
	pub fn standing(&mut self, account: &AccountId, now_ms: UnixMs) -> Standing {
		let weight = self.weight(account);
		let lacks = self.lacks(account, now_ms);
		let fresh = now_ms.abs_diff(self.ranking.0) < REFRESH_MS;
		if !fresh || self.miners.len() < RANK_ALWAYS_BELOW {
			self.ranking = (now_ms, self.draw.ranking());
		}
		let heavier = self.ranking.1.partition_point(|other| *other > weight);
		Standing {
			rank: lacks.is_none().then_some(heavier as u32 + 1),
			eligible: self.draw.eligible(),
			weight: Amount(weight),
			total_weight: Amount(self.draw.total_weight()),
			queued: self.queue.len() as u64,
			lacks,
		}
	}

	// Miners

	/// The account whose session this is.
	pub fn session(&self, token: &H256) -> Result<AccountId, ApiError> {
		self.sessions
			.miner(token)
			.cloned()
			.ok_or_else(|| ErrorCode::SessionInvalid.into())
	}

	/// A miner has logged in. Returns the models of which something new was declared, with the stake
	/// behind it.
	pub fn hello(
		&mut self,
		account: &AccountId,
		hello: &Hello,
		token: H256,
		now_ms: UnixMs,
	) -> Vec<(ModelHash, Balance)> {
		let former = self.miners.remove(account);
		if let Some(former) = &former {
			self.draw.set(account, &former.models, 0);
			former.wake.notify_waiters();
		}
		self.sessions
			.open(token, account.clone(), former.map(|miner| miner.session));
		self.miners
			.insert(account.clone(), Miner::new(hello, token, now_ms));
		let stake = self.weight(account);
		let declared = hello
			.models
			.iter()
			.filter(|model| self.models.declare(model, stake));
		declared.map(|model| (model.hash, stake)).collect()
	}

	/// A poll begins.
	pub fn poll_begins(&mut self, poll: &Poll, now_ms: UnixMs) -> Result<Polling, ApiError> {
		self.tick(now_ms);
		let account = self.session(&poll.token)?;
		let (mut lost, mut unconfirmed) = (Vec::new(), 0u16);
		for task in self.leases.of(&account) {
			let Some(lease) = self.leases.get_mut(&task) else {
				continue;
			};
			if poll.holding.contains(&lease.held()) {
				lease.confirm(poll.token);
			} else if lease.work.is_some() && lease.is_lost_to(poll.token) {
				lost.push(lease.held());
			} else {
				unconfirmed = unconfirmed.saturating_add(1);
			}
		}
		let miner = self
			.miners
			.get_mut(&account)
			.ok_or(ErrorCode::SessionInvalid)?;
		miner.free_slots = poll.free_slots.min(miner.slots).saturating_sub(unconfirmed);
		miner.last_seen_ms = now_ms;
		miner.waiting += 1;
		miner.polls += 1;
		miner.wake.notify_waiters();
		let polling = Polling {
			miner: account.clone(),
			number: miner.polls,
			wake: miner.wake.clone(),
			lost,
		};
		self.refresh(&account, now_ms);
		Ok(polling)
	}

	/// Looks whether a waiting poll has something to tell. `last` when it will not wait any longer.
	pub fn poll_looks(
		&mut self,
		poll: &Poll,
		polling: &Polling,
		last: bool,
		now_ms: UnixMs,
	) -> Result<Option<PollReply>, ApiError> {
		self.session(&poll.token)?;
		let superseded = self
			.miners
			.get(&polling.miner)
			.is_none_or(|miner| miner.polls != polling.number);
		let work = if superseded {
			None
		} else {
			self.tell(poll.token, &polling.miner)
		};
		let held = |held: &Held| self.leases.held(held, &polling.miner).is_some();
		let abandon: Vec<Held> = poll
			.holding
			.iter()
			.filter(|it| !held(it))
			.copied()
			.collect();
		if work.is_none() && abandon.is_empty() && !superseded && !last {
			return Ok(None);
		}
		let standing = self.standing(&polling.miner, now_ms);
		Ok(Some(PollReply {
			work,
			abandon,
			standing,
		}))
	}

	/// What was drawn is told whatever the poll offers: it was drawn on an earlier offer, and a miner that
	/// has given its slot to another coordinator since can do it later, or give it back. Kept back, it
	/// would be held against a miner that never heard of it.
	fn tell(&mut self, session: H256, account: &AccountId) -> Option<Work> {
		let tasks = self.leases.of(account);
		let untold = tasks
			.into_iter()
			.find(|task| self.leases.get(task).is_some_and(Lease::is_untold))?;
		self.leases.get_mut(&untold)?.tell(session)
	}

	/// A poll ends, by its reply or because the miner went away.
	pub fn poll_ends(&mut self, miner: &AccountId, token: &H256, now_ms: UnixMs) {
		if let Some(entry) = self
			.miners
			.get_mut(miner)
			.filter(|entry| entry.session == *token)
		{
			entry.waiting = entry.waiting.saturating_sub(1);
			entry.last_seen_ms = now_ms;
			self.refresh(miner, now_ms);
		}
	}

	/// Wakes all waiting polls.
	pub fn wake_all(&self) {
		self.miners
			.values()
			.for_each(|miner| miner.wake.notify_waiters());
	}

	/// The connected miners in account order, after `from`.
	pub fn miner_infos(
		&self,
		from: Option<&AccountId>,
		limit: usize,
		now_ms: UnixMs,
	) -> Vec<MinerInfo> {
		use std::ops::Bound::{Excluded, Unbounded};
		let after = (from.map_or(Unbounded, Excluded), Unbounded);
		let page = self.miners.range::<AccountId, _>(after).take(limit);
		page.map(|(account, miner)| self.miner_info(account, miner, now_ms))
			.collect()
	}

	fn miner_info(&self, account: &AccountId, miner: &Miner, now_ms: UnixMs) -> MinerInfo {
		let operator = self.operator(account);
		let lacks = self.lacks(account, now_ms);
		let (done, failed) = self.counts.get(account).copied().unwrap_or_default();
		let weight = if lacks.is_none() {
			self.weight(account)
		} else {
			0
		};
		MinerInfo {
			miner: account.clone(),
			worker: miner.worker,
			name: operator
				.map(|operator| operator.name.clone())
				.unwrap_or_default(),
			stake: Amount(operator.map_or(0, |operator| operator.total_stake)),
			share_ppm: share_ppm(weight, self.draw.total_weight()),
			eligible: lacks.is_none(),
			lacks,
			device: miner.device,
			models: miner.models.clone(),
			busy: u16::try_from(self.leases.count(account)).unwrap_or(u16::MAX),
			slots: miner.slots,
			last_poll_ms: miner.last_seen_ms,
			done,
			failed,
		}
	}

	/// How many miners polled within the last 30 s, and the models they hold.
	pub fn online(&self, now_ms: UnixMs) -> (u32, Vec<ModelHash>) {
		let online: Vec<&Miner> = self
			.miners
			.values()
			.filter(|miner| miner.is_online(now_ms))
			.collect();
		let mut models: Vec<ModelHash> = online
			.iter()
			.flat_map(|miner| miner.models.iter().copied())
			.collect();
		models.sort_unstable();
		models.dedup();
		(online.len() as u32, models)
	}

	/// How many miners are connected, and how they stand.
	pub fn miner_counts(&self, now_ms: UnixMs) -> MinerCounts {
		let is_suspended = |account: &AccountId| {
			let health = self.health.get(account);
			health.is_some_and(|health| health.suspension(now_ms).is_some())
		};
		let mut counts = MinerCounts {
			eligible: self.draw.eligible(),
			..MinerCounts::default()
		};
		for (account, miner) in &self.miners {
			counts.online += u32::from(miner.is_online(now_ms));
			counts.suspended += u32::from(is_suspended(account));
			counts.probation += u32::from(self.is_on_probation(account));
			counts.banned += u32::from(self.bans.ban(account, now_ms).is_some());
		}
		counts
	}

	/// The weight of all that are eligible.
	pub fn total_weight(&self) -> Balance {
		self.draw.total_weight()
	}

	/// The stake behind a model: of all miners that are online and hold it.
	pub fn model_weight(&self, model: &ModelHash, now_ms: UnixMs) -> Balance {
		let counted = self.miners.len() < COUNT_ALWAYS_BELOW;
		let counted = counted.then(|| self.count_stakes(|other| other == model, now_ms));
		let stakes = counted.as_ref().unwrap_or(&self.stakes);
		stakes.get(model).copied().unwrap_or_default()
	}

	/// The stakes behind the models asked for.
	fn count_stakes(
		&self,
		asked: impl Fn(&ModelHash) -> bool,
		now_ms: UnixMs,
	) -> HashMap<ModelHash, Balance> {
		let mut stakes: HashMap<ModelHash, Balance> = HashMap::new();
		for (account, miner) in &self.miners {
			if !miner.is_online(now_ms) {
				continue;
			}
			let stake = self.weight(account);
			for model in miner.models.iter().filter(|model| asked(model)) {
				let sum = stakes.entry(*model).or_default();
				*sum = sum.saturating_add(stake);
			}
		}
		stakes
	}

	// The draw

	/// Draws miners for up to `limit` waiting tasks in the queue's order, as long as somebody is
	/// eligible.
	/// Each draw takes its task off the queue and a slot off its miner.
	pub fn draw(&mut self, coordinator: &AccountId, limit: usize, now_ms: UnixMs) -> Vec<Draw> {
		let Some(registry) = self.registry.clone() else {
			return Vec::new();
		};
		let mut draws = Vec::new();
		while draws.len() < limit {
			let models = self.queue.models();
			let next = models
				.iter()
				.find_map(|model| self.draw_for(model, coordinator, &registry, now_ms));
			let Some(draw) = next else { break };
			draws.push(draw);
		}
		draws
	}

	fn draw_for(
		&mut self,
		model: &ModelHash,
		coordinator: &AccountId,
		registry: &Registry,
		now_ms: UnixMs,
	) -> Option<Draw> {
		if self.draw.model_weight(model) == 0 {
			return None;
		}
		// Only a task that some miners failed can find nobody here and let later ones pass.
		let mut found = None;
		for waiting in self.queue.line(model) {
			if waiting.draw_by_ms <= now_ms {
				// It is about to expire.
				continue;
			}
			let excluded = self.excluded(waiting, now_ms);
			let uncovered = self.cover.below(waiting.pay);
			let excluded = if uncovered.is_empty() {
				Cow::Borrowed(excluded)
			} else {
				Cow::Owned([excluded, uncovered.as_slice()].concat())
			};
			let (task, attempt) = (&waiting.task, waiting.next_attempt);
			if let Some(drawn) =
				self.draw
					.draw(model, &excluded, &registry.randomness, task, attempt)
			{
				found = Some((waiting.clone(), drawn));
				break;
			}
		}
		let (waiting, drawn) = found?;
		let worker = self.miners.get(&drawn.miner)?.worker;
		self.queue.take(waiting.seq);
		let lease_ms = self.settings.lease_ms(waiting.steps);
		let assignment = Assignment {
			coordinator: coordinator.clone(),
			task: waiting.task,
			attempt: waiting.next_attempt,
			miner: drawn.miner.clone(),
			worker,
			spec_hash: waiting.spec_hash,
			model: waiting.model,
			deadline_ms: now_ms.saturating_add(lease_ms),
			block_number: registry.block.number,
			block_hash: registry.block.hash,
			randomness: registry.randomness,
			eligible_root: drawn.eligible_root,
			total_weight: drawn.total_weight,
		};
		let pick_up_by_ms = now_ms.saturating_add(self.settings.pick_up_ms);
		let mut lease = Lease::new(waiting.seq, assignment.clone(), now_ms, pick_up_by_ms);
		lease.pay = waiting.pay;
		self.leases.insert(lease);
		if let Some(miner) = self.miners.get_mut(&drawn.miner) {
			miner.free_slots = miner.free_slots.saturating_sub(1);
		}
		self.refresh(&drawn.miner, now_ms);
		Some(Draw {
			waiting,
			assignment,
			drawn_ms: now_ms,
			eligible: drawn.eligible,
			list: drawn.list,
		})
	}

	/// Miners that are left out of a draw: those that failed the task, as long as anybody else could
	/// do it, now or when it has a free slot.
	fn excluded<'a>(&self, waiting: &'a Waiting, now_ms: UnixMs) -> &'a [AccountId] {
		if waiting.failed_miners.is_empty() {
			return &[];
		}
		let others = self.miners.iter().any(|(account, miner)| {
			miner.models.contains(&waiting.model)
				&& !waiting.failed_miners.contains(account)
				&& self.lacks_health(account, miner, now_ms).is_none()
		});
		if others {
			&waiting.failed_miners
		} else {
			&[]
		}
	}

	/// The draw is committed: the miner is told.
	pub fn drawn(&mut self, task: &TaskRow, signature: WorkerSignature) {
		if let Some(lease) = self.leases.get_mut(&task.id) {
			lease.work = Some(Work {
				spec: task.spec.clone().into(),
				assignment: lease.assignment.clone(),
				signature,
				pay: task.terms.pay(),
			});
			if let Some(miner) = self.miners.get(&lease.assignment.miner) {
				miner.wake.notify_waiters();
			}
		}
	}

	/// These chains of lists are no longer in the store.
	pub fn forget_chains(&mut self, chains: &BTreeSet<u64>) {
		self.draw.forget_chains(chains);
	}

	/// The draw was not committed: the slot is free again, and the task waits on as `waiting` says.
	/// Without it the task was not to be had any more, but the record of the list was committed.
	pub fn undrawn(&mut self, task: &TaskId, waiting: Option<Waiting>, now_ms: UnixMs) {
		if let Some(lease) = self.leases.remove(task) {
			if waiting.is_some() {
				self.draw.unrecorded(&lease.assignment.model);
			}
			let account = lease.assignment.miner;
			if let Some(miner) = self.miners.get_mut(&account) {
				miner.free_slots = miner.free_slots.saturating_add(1).min(miner.slots);
			}
			self.refresh(&account, now_ms);
		}
		if let Some(waiting) = waiting {
			self.queue.put_back(waiting);
		}
	}

	// Tasks

	/// Puts a task that waits in its place.
	pub fn enqueue(&mut self, task: &TaskRow, stage: &Stage) {
		let waiting = self.waiting(task, stage);
		self.watch_cover(waiting.pay);
		self.queue.insert(waiting);
	}

	/// What the queue must know of a task.
	fn waiting(&self, task: &TaskRow, stage: &Stage) -> Waiting {
		let lease_ms = self.settings.lease_ms(task.spec.steps);
		Waiting {
			seq: task.seq,
			task: task.id,
			app: task.app.clone(),
			priority: task.priority,
			model: task.spec.model,
			spec_hash: task.spec_hash,
			steps: task.spec.steps,
			pixel_steps: settle::pixel_steps(&task.spec),
			next_attempt: stage.next_attempt(),
			failed_miners: stage.failed_miners.clone(),
			until_ms: task.queue_until_ms,
			draw_by_ms: terms::draw_by_ms(task.terms.deadline_ms, lease_ms),
			pay: task.terms.pay().0,
		}
	}

	/// Follows a transition that was committed. A draw's is followed by [`Live::drawn`].
	pub fn apply(&mut self, transition: &Transition, now_ms: UnixMs) {
		let Transition {
			task, after, ended, ..
		} = transition;
		let lease = match after.state {
			TaskState::Assigned | TaskState::Running => {
				if let Some(lease) = self.leases.get_mut(&task.id) {
					lease.started = after.state == TaskState::Running;
				}
				None
			},
			_ => self.leases.remove(&task.id),
		};
		match after.state {
			TaskState::Queued => {
				let waiting = self.waiting(task, after);
				self.queue.put_back(waiting);
			},
			TaskState::Cancelled | TaskState::Expired => {
				self.queue.remove(task.seq);
			},
			_ => {},
		}
		if let Some(earned) = &transition.earned {
			self.cover.earned(earned, task.terms.pay().0);
		}
		if let Some((miner, ending)) = ended {
			self.judge(miner, *ending, now_ms);
		}
		if after.state == TaskState::Failed && after.is_poison() {
			for miner in &after.failed_miners {
				if let Some(health) = self.health.get_mut(miner) {
					health.pardoned();
				}
				self.refresh(miner, now_ms);
			}
		}
		if let Some(lease) = lease {
			// It may have to be told to stop.
			let account = lease.assignment.miner;
			if let Some(miner) = self.miners.get(&account) {
				miner.wake.notify_waiters();
			}
			self.refresh(&account, now_ms);
		}
		self.publish(task);
	}

	fn judge(&mut self, miner: &AccountId, ending: Ending, now_ms: UnixMs) {
		let counts = self.counts.entry(miner.clone()).or_default();
		let health = self.health.entry(miner.clone()).or_default();
		if ending == Ending::Done {
			counts.0 += 1;
			health.succeeded();
		} else if ending.is_failure() {
			counts.1 += 1;
			health.failed(ending, now_ms, self.settings.suspension_ms);
		}
		self.refresh(miner, now_ms);
	}

	/// A task as it is told to apps.
	pub fn status(&self, task: &TaskRow) -> TaskStatus {
		let steps_done = match task.state {
			TaskState::Submitted | TaskState::Done => task.spec.steps,
			TaskState::Running => self
				.leases
				.get(&task.id)
				.filter(|lease| Some(lease.assignment.attempt) == task.attempt)
				.map_or(0, |lease| lease.steps_done),
			_ => 0,
		};
		TaskStatus {
			id: task.id,
			state: task.state,
			spec: task.spec.clone().into(),
			spec_hash: task.spec_hash,
			position: (task.state == TaskState::Queued).then(|| {
				// A task that is just being drawn has none before it.
				let waiting = self.queue.get(task.seq);
				waiting.map_or(0, |waiting| self.queue.before(waiting))
			}),
			eta_ms: self.eta_ms(task, steps_done),
			steps_done,
			attempt: task.attempt,
			miner: task.miner.clone(),
			reason: task.reason.clone(),
			price: task.terms.price,
			deadline_ms: task.terms.deadline_ms,
			created_ms: task.created_ms,
			updated_ms: task.updated_ms,
		}
	}

	/// Tells those who watch the task where it stands.
	pub fn publish(&mut self, task: &TaskRow) {
		let Some(watcher) = self.watchers.get(&task.id) else {
			return;
		};
		// No receiver is left: nobody watches.
		let unwatched = watcher.send(self.status(task)).is_err();
		if unwatched || task.state.is_final() {
			self.watchers.remove(&task.id);
		}
	}

	/// Whether somebody watches the task.
	pub fn is_watched(&self, task: &TaskId) -> bool {
		self.watchers
			.get(task)
			.is_some_and(|watcher| watcher.receiver_count() > 0)
	}

	/// Every change of the task from now on.
	pub fn watch(&mut self, task: TaskId) -> broadcast::Receiver<TaskStatus> {
		let new = || broadcast::Sender::new(WATCH_CAPACITY);
		self.watchers.entry(task).or_insert_with(new).subscribe()
	}

	/// Somebody stopped watching.
	pub fn unwatch(&mut self, task: &TaskId) {
		if self
			.watchers
			.get(task)
			.is_some_and(|watcher| watcher.receiver_count() == 0)
		{
			self.watchers.remove(task);
		}
	}
}

/// Whether an operator can mine.
pub fn check_operator(operator: &Operator, registry: &Registry) -> Result<(), ApiError> {
	let account = &operator.account;
	if operator.role != Role::Miner {
		let message = format!(
			"The operator {account} is registered as {}.",
			operator.role.name()
		);
		return Err(ApiError::with_message(ErrorCode::NotAMiner, message).about(account));
	}
	if operator.retired {
		let message = format!("The miner {account} has retired.");
		return Err(ApiError::with_message(ErrorCode::MinerRetired, message).about(account));
	}
	if !operator.active {
		let message = format!(
			"The miner {account} has {} of its own at stake and must have more than {}: stake more.",
			Amount(operator.self_stake),
			Amount(registry.min_self_stake(Role::Miner)),
		);
		return Err(ApiError::with_message(ErrorCode::MinerUnderstaked, message).about(account));
	}
	Ok(())
}

fn share_ppm(weight: Balance, total: Balance) -> u32 {
	const WHOLE: Balance = 1_000_000;
	if total == 0 {
		return 0;
	}
	// Weights are below 2^88 (`MAX_WEIGHT`), so that this does not overflow.
	(weight * WHOLE / total).min(WHOLE) as u32
}

mod cover;
mod foresee;
mod shared;

pub use shared::Submitted;

use cover::Cover;

#[cfg(test)]
mod tests;
