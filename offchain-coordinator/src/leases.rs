//! The leases: which miner holds which attempt, and until when.

use crate::clock::UnixMs;
use cuckoo_coordinator_api::miner::{Held, Work};
use cuckoo_primitives::{signing::Assignment, task::TaskId, AccountId, Balance, H256};
use std::collections::{BTreeSet, HashMap};

/// How often an assignment is told to a miner that does not confirm it. A reply can get lost; one
/// that gets lost this often is the miner's fault.
pub const MAX_TELLINGS: u8 = 3;

/// Most artifacts a miner can upload for one attempt.
pub const MAX_UPLOADS: u8 = 4;

/// A miner's hold on an attempt.
#[derive(Clone, Debug)]
pub struct Lease {
	/// Order of acceptance of the task.
	pub seq: i64,
	/// What was signed.
	pub assignment: Assignment,
	/// When it was drawn.
	pub assigned_ms: UnixMs,
	/// The work as the miner gets it; `None` until the draw is committed.
	pub work: Option<Work>,
	/// When the lease ends. Later than the assignment's deadline only after the coordinator itself
	/// was away.
	pub due_ms: UnixMs,
	/// Until when the miner must have fetched it, if it has not.
	pub pick_up_by_ms: Option<UnixMs>,
	/// Whether the store has it as running.
	pub started: bool,
	/// Steps done, as reported.
	pub steps_done: u16,
	/// Artifacts uploaded.
	pub uploads: u8,
	/// What the miner earns by it.
	pub pay: Balance,
	/// The session that was told last.
	told: Option<H256>,
	tellings: u8,
	/// The session that spoke of it, so that it certainly knows.
	confirmed: Option<H256>,
}

impl Lease {
	/// A lease whose draw is being committed.
	pub fn new(
		seq: i64,
		assignment: Assignment,
		assigned_ms: UnixMs,
		pick_up_by_ms: UnixMs,
	) -> Self {
		Self {
			seq,
			assigned_ms,
			due_ms: assignment.deadline_ms,
			assignment,
			work: None,
			pick_up_by_ms: Some(pick_up_by_ms),
			started: false,
			steps_done: 0,
			uploads: 0,
			pay: 0,
			told: None,
			tellings: 0,
			confirmed: None,
		}
	}

	/// The attempt as miners name it.
	pub fn held(&self) -> Held {
		Held {
			task: self.assignment.task,
			attempt: self.assignment.attempt,
		}
	}

	/// The session knows of the attempt.
	pub fn confirm(&mut self, session: H256) {
		self.told = Some(session);
		self.confirmed = Some(session);
		self.pick_up_by_ms = None;
	}

	/// Whether a session that does not name the attempt has lost it. If not, and the session has not
	/// confirmed it, it will be told once more.
	pub fn is_lost_to(&mut self, session: H256) -> bool {
		if self.confirmed == Some(session) {
			return true;
		}
		if self.told.is_some() && self.tellings >= MAX_TELLINGS {
			return true;
		}
		self.told = None;
		false
	}

	/// Whether the miner waits to be told.
	pub fn is_untold(&self) -> bool {
		self.told.is_none() && self.work.is_some()
	}

	/// Notes that the session is being told.
	pub fn tell(&mut self, session: H256) -> Option<Work> {
		self.told = Some(session);
		self.tellings = self.tellings.saturating_add(1);
		self.pick_up_by_ms = None;
		self.work.clone()
	}

	/// When the lease ends unless something happens before.
	fn ends_ms(&self) -> UnixMs {
		self.pick_up_by_ms
			.map_or(self.due_ms, |pick_up| pick_up.min(self.due_ms))
	}
}

/// All leases.
#[derive(Clone, Debug, Default)]
pub struct Leases {
	by_task: HashMap<TaskId, Lease>,
	by_miner: HashMap<AccountId, BTreeSet<TaskId>>,
}

impl Leases {
	/// How many there are.
	pub fn len(&self) -> usize {
		self.by_task.len()
	}

	/// Whether there are none.
	pub fn is_empty(&self) -> bool {
		self.by_task.is_empty()
	}

	/// Adds a lease.
	pub fn insert(&mut self, lease: Lease) {
		let task = lease.assignment.task;
		self.by_miner
			.entry(lease.assignment.miner.clone())
			.or_default()
			.insert(task);
		self.by_task.insert(task, lease);
	}

	/// Ends a task's lease.
	pub fn remove(&mut self, task: &TaskId) -> Option<Lease> {
		let lease = self.by_task.remove(task)?;
		let miner = &lease.assignment.miner;
		if let Some(tasks) = self.by_miner.get_mut(miner) {
			tasks.remove(task);
			if tasks.is_empty() {
				self.by_miner.remove(miner);
			}
		}
		Some(lease)
	}

	/// A task's lease.
	pub fn get(&self, task: &TaskId) -> Option<&Lease> {
		self.by_task.get(task)
	}

	/// The lease of this attempt, if this miner holds it.
	pub fn held(&self, held: &Held, miner: &AccountId) -> Option<&Lease> {
		self.by_task
			.get(&held.task)
			.filter(|lease| lease.held() == *held && lease.assignment.miner == *miner)
	}

	/// The lease of this attempt, if this miner holds it, to be changed.
	pub fn held_mut(&mut self, held: &Held, miner: &AccountId) -> Option<&mut Lease> {
		self.by_task
			.get_mut(&held.task)
			.filter(|lease| lease.held() == *held && lease.assignment.miner == *miner)
	}

	/// A task's lease, to be changed.
	pub fn get_mut(&mut self, task: &TaskId) -> Option<&mut Lease> {
		self.by_task.get_mut(task)
	}

	/// The tasks that a miner holds.
	pub fn of(&self, miner: &AccountId) -> Vec<TaskId> {
		self.by_miner
			.get(miner)
			.into_iter()
			.flatten()
			.copied()
			.collect()
	}

	/// How many tasks a miner holds.
	pub fn count(&self, miner: &AccountId) -> usize {
		self.by_miner.get(miner).map_or(0, BTreeSet::len)
	}

	/// Every lease, in no order.
	pub fn iter(&self) -> impl Iterator<Item = &Lease> {
		self.by_task.values()
	}

	/// The leases that have ended, in the order of the tasks' acceptance, with whether the miner had
	/// fetched the work.
	pub fn overdue(&self, now_ms: UnixMs) -> Vec<(Held, AccountId, bool)> {
		let ended = |lease: &&Lease| lease.work.is_some() && lease.ends_ms() <= now_ms;
		let mut ended: Vec<&Lease> = self.iter().filter(ended).collect();
		ended.sort_unstable_by_key(|lease| lease.seq);
		ended
			.into_iter()
			.map(|lease| {
				(
					lease.held(),
					lease.assignment.miner.clone(),
					lease.pick_up_by_ms.is_none(),
				)
			})
			.collect()
	}
}
