//! What is in memory, and what would be if it were made anew from the store: for tests, which find the
//! two the same whenever nothing is under way.

use crate::{
	bans::Ban,
	coordinator::{internal, Coordinator, Result},
};
use cuckoo_coordinator_api::task::TaskState;
use cuckoo_primitives::{
	task::{Attempt, TaskId},
	AccountId,
};
use std::collections::BTreeMap;

/// The tasks that have not ended, and the bans.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Tables {
	/// The tasks that wait, each with the number of its next draw and the miners that failed it.
	pub queued: BTreeMap<TaskId, (Attempt, Vec<AccountId>)>,
	/// The attempts at work, each with its miner and whether it has begun.
	pub leased: BTreeMap<TaskId, (Attempt, AccountId, bool)>,
	/// The bans.
	pub bans: Vec<Ban>,
}

impl Coordinator {
	/// As it is in memory.
	pub fn tables(&self) -> Tables {
		let live = self.live();
		let queued = live.queue.iter();
		let leased = live.leases.iter().map(|lease| {
			let held = lease.held();
			let miner = lease.assignment.miner.clone();
			(held.task, (held.attempt, miner, lease.started))
		});
		Tables {
			queued: queued
				.map(|it| (it.task, (it.next_attempt, it.failed_miners.clone())))
				.collect(),
			leased: leased.collect(),
			bans: live.bans.holding(self.now_ms()),
		}
	}

	/// As it follows from the store.
	pub async fn stored_tables(&self) -> Result<Tables> {
		let mut tables = Tables::default();
		for open in self.store().open_tasks().await.map_err(internal)? {
			let (id, stage) = (open.task.id, open.stage);
			match (open.task.state, open.attempt) {
				(TaskState::Queued, _) => {
					let next = stage.next_attempt();
					tables.queued.insert(id, (next, stage.failed_miners));
				},
				(TaskState::Submitted, _) => {},
				(state, Some(row)) => {
					let begun = state == TaskState::Running;
					let lease = (row.assignment.attempt, row.assignment.miner, begun);
					tables.leased.insert(id, lease);
				},
				(_, None) => {},
			}
		}
		let now_ms = self.now_ms();
		let bans = self.store().bans().await.map_err(internal)?;
		tables.bans = bans.into_iter().filter(|ban| ban.holds(now_ms)).collect();
		tables.bans.sort_by(|a, b| a.account.cmp(&b.account));
		Ok(tables)
	}
}
