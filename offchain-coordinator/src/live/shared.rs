//! What the tables in memory take from before a restart, and from other processes on the same store.

use super::Live;
use crate::{
	clock::UnixMs,
	leases::Lease,
	state::Stage,
	store::{Change, Notice, Open, StoreError, Taken, TaskRow},
};
use cuckoo_coordinator_api::task::TaskState;
use cuckoo_primitives::{
	signing::Assignment,
	task::{Attempt, TaskId},
	AccountId, WorkerSignature,
};
use std::collections::BTreeSet;

/// A task whose result was taken and is to be checked.
#[derive(Clone, Debug)]
pub struct Submitted {
	/// The task.
	pub task: TaskRow,
	/// Who submitted it.
	pub miner: AccountId,
	/// For which attempt.
	pub attempt: Attempt,
	/// When that was drawn.
	pub assigned_ms: UnixMs,
}

impl Live {
	/// Takes up a task that a process left behind when it ended, this one's former self or another: it
	/// waits, or its lease stands, or this returns that its result is to be checked. What ran out
	/// meanwhile has a grace.
	pub fn take_up(&mut self, open: Open, now_ms: UnixMs) -> Result<Option<Submitted>, StoreError> {
		let grace_ends_ms = now_ms.saturating_add(self.settings.grace_ms);
		let Open {
			mut task,
			stage,
			attempt,
		} = open;
		match (task.state, attempt) {
			(TaskState::Queued, _) => {
				task.queue_until_ms = task.queue_until_ms.max(grace_ends_ms);
				self.enqueue(&task, &stage);
			},
			(TaskState::Submitted, Some(row)) => {
				return Ok(Some(Submitted {
					task,
					attempt: row.assignment.attempt,
					miner: row.assignment.miner,
					assigned_ms: row.assigned_ms,
				}));
			},
			(_, Some(row)) => {
				// The miner must say hello again: it is given time for that.
				let last_ms = task.terms.deadline_ms.unwrap_or(u64::MAX);
				let due_ms = row.assignment.deadline_ms.max(grace_ends_ms.min(last_ms));
				self.lease(
					&task,
					row.assignment,
					row.signature,
					row.assigned_ms,
					due_ms,
				);
			},
			(_, None) => return Err(StoreError::Corrupt("attempt")),
		}
		Ok(None)
	}

	/// A miner brings an attempt along that another process had drawn it for.
	pub fn take_over(&mut self, taken: Taken, now_ms: UnixMs) {
		let Taken {
			task,
			attempt,
			was_orphan,
		} = taken;
		let mut due_ms = attempt.assignment.deadline_ms;
		if was_orphan {
			// No more than once, for this process is alive: nobody gains time by going to and fro.
			due_ms = due_ms.max(now_ms.saturating_add(self.settings.grace_ms));
		}
		let (assignment, drawn_ms) = (attempt.assignment, attempt.assigned_ms);
		self.lease(&task, assignment, attempt.signature, drawn_ms, due_ms);
	}

	fn lease(
		&mut self,
		task: &TaskRow,
		assignment: Assignment,
		signature: WorkerSignature,
		drawn_ms: UnixMs,
		due_ms: UnixMs,
	) {
		let mut lease = Lease::new(task.seq, assignment, drawn_ms, due_ms);
		lease.due_ms = due_ms;
		lease.pick_up_by_ms = None;
		lease.started = task.state == TaskState::Running;
		lease.pay = task.terms.pay().0;
		self.leases.insert(lease);
		self.drawn(task, signature);
	}

	/// Another process has changed the task. Says whether the task itself must be read to follow.
	pub fn noticed(&mut self, notice: &Notice) -> bool {
		match notice.change {
			Change::Queued => return true,
			// Its app has had its turn.
			Change::Assigned => self.queue.take(notice.seq),
			Change::Other => self.queue.remove(notice.seq),
		};
		self.leases.get(&notice.id).is_some() || self.is_watched(&notice.id)
	}

	/// Follows a task that another process has changed. What is read can be older than what this process
	/// did since: then a draw of it is refused by the store, and what is missing comes with the next
	/// look at all that wait.
	pub fn follow(&mut self, task: &TaskRow, stage: &Stage, own: Option<i64>, now_ms: UnixMs) {
		let lease = self.leases.get(&task.id);
		let has_lease = lease.is_some();
		let same = lease.is_some_and(|lease| Some(lease.assignment.attempt) == task.attempt);
		let elsewhere = task.instance.is_some() && task.instance != own;
		let ended = task.state.is_final();
		if task.state == TaskState::Queued && !has_lease {
			let new = self.waiting(task, stage);
			if self.queue.get(task.seq).map(|it| it.next_attempt) != Some(new.next_attempt) {
				self.queue.remove(task.seq);
				self.watch_cover(new.pay);
				self.queue.insert(new);
			}
		}
		if has_lease && (ended || (same && elsewhere)) {
			if let Some(lease) = self.leases.remove(&task.id) {
				let account = lease.assignment.miner;
				if let Some(miner) = self.miners.get(&account) {
					miner.wake.notify_waiters();
				}
				self.refresh(&account, now_ms);
			}
		}
		if ended || elsewhere || (task.state == TaskState::Queued && !has_lease) {
			self.publish(task);
		}
	}

	/// Compares the queue with all that waits in the store: which tasks are missing here. Those that
	/// wait here only are taken out when they did so before (`suspects`) too: they may have come between.
	pub fn compare_queue(
		&mut self,
		stored: &[(i64, TaskId)],
		suspects: &mut BTreeSet<i64>,
	) -> Vec<TaskId> {
		let there: BTreeSet<i64> = stored.iter().map(|(seq, _)| *seq).collect();
		let surplus: BTreeSet<i64> = self
			.queue
			.seqs()
			.filter(|seq| !there.contains(seq))
			.collect();
		for seq in surplus.intersection(suspects) {
			self.queue.remove(*seq);
		}
		*suspects = surplus;
		let is_missing = |(seq, id): &&(i64, TaskId)| {
			self.queue.get(*seq).is_none() && self.leases.get(id).is_none()
		};
		stored
			.iter()
			.filter(is_missing)
			.map(|(_, id)| *id)
			.collect()
	}
}
