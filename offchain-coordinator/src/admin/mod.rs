//! The operator's own interface: JSON over HTTP on an address of its own, with the metrics, and the
//! commands that use it. Whoever reaches it may do everything, so it listens on loopback unless told
//! otherwise, and refuses what a web page in the operator's browser could send.

pub mod client;
pub mod commands;
mod operations;
pub mod server;
pub(crate) mod text;
pub mod top;

use crate::{bans::Ban, live::MinerCounts, metrics::TaskCounts, state::Ending};
use cuckoo_coordinator_api::{
	task::{MinerInfo, TaskStatus},
	Amount,
};
use cuckoo_primitives::{
	task::{Attempt, TaskId},
	AccountId, BlockNumber, WorkerId,
};
use serde::{Deserialize, Serialize};

/// Tasks in a list when the caller does not say.
pub const DEFAULT_TASKS: u32 = 50;

/// Reply to `GET /status`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
	/// The software's version.
	pub version: String,
	/// The operator's account, once the chain is there.
	pub operator: Option<AccountId>,
	/// The worker that signs.
	pub worker: WorkerId,
	/// Why no new tasks are taken, if none are.
	pub not_ready: Option<String>,
	/// Whether it drains.
	pub draining: bool,
	/// Since when it runs.
	pub started_ms: u64,
	/// Its clock.
	pub now_ms: u64,
	/// The last finalized block, once there is one.
	pub finalized_block: Option<BlockNumber>,
	/// How long ago that became known.
	pub finalized_age_ms: Option<u64>,
	/// Tasks waiting.
	pub queued: u64,
	/// Tasks with miners.
	pub in_flight: u64,
	/// For how long the oldest task that waits has been accepted.
	pub oldest_wait_ms: Option<u64>,
	/// The connected miners.
	pub miners: MinerCounts,
	/// The weight of those that can be drawn now.
	pub total_weight: Amount,
	/// Tasks accepted and ended since the start.
	pub tasks: TaskCounts,
	/// Draws since the start.
	pub draws: u64,
}

/// Reply to `GET /miners`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Miners {
	/// A page of the connected miners, in account order.
	pub miners: Vec<MinerInfo>,
	/// Every ban that holds, also of miners that are not connected.
	pub bans: Vec<Ban>,
}

/// Reply to `GET /tasks/{id}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskDetails {
	/// The task.
	pub task: TaskStatus,
	/// Every attempt at it.
	pub attempts: Vec<AttemptLine>,
}

/// One attempt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AttemptLine {
	/// Its number.
	pub attempt: Attempt,
	/// Who was drawn.
	pub miner: AccountId,
	/// When.
	pub assigned_ms: u64,
	/// Until when the lease was given.
	pub deadline_ms: u64,
	/// When it ended.
	pub ended_ms: Option<u64>,
	/// How it ended.
	pub ending: Option<String>,
	/// Why.
	pub reason: Option<String>,
}

impl AttemptLine {
	fn new(row: &crate::store::AttemptRow) -> Self {
		Self {
			attempt: row.assignment.attempt,
			miner: row.assignment.miner.clone(),
			assigned_ms: row.assigned_ms,
			deadline_ms: row.assignment.deadline_ms,
			ended_ms: row.ended_ms,
			ending: row.ending.map(Ending::name).map(str::to_owned),
			reason: row.reason.clone(),
		}
	}
}

/// A webhook that has failed, in the reply to `GET /webhooks`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WebhookLine {
	/// The task that has ended.
	pub task: TaskId,
	/// Whose it is.
	pub app: String,
	/// Where is called.
	pub url: String,
	/// When the task ended.
	pub created_ms: u64,
	/// When to call next.
	pub next_ms: u64,
	/// How often it failed.
	pub tries: u32,
	/// How it failed last.
	pub failure: Option<String>,
}

impl From<crate::store::WebhookRow> for WebhookLine {
	fn from(row: crate::store::WebhookRow) -> Self {
		Self {
			task: row.task,
			app: row.app.as_str().to_owned(),
			url: row.url,
			created_ms: row.created_ms,
			next_ms: row.next_ms,
			tries: row.tries,
			failure: row.failure,
		}
	}
}

/// Body of `POST /ban`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BanRequest {
	/// Whom.
	pub account: AccountId,
	/// For how long; without it until it is lifted.
	#[serde(default)]
	pub seconds: Option<u64>,
	/// Why, as the miner is told.
	#[serde(default)]
	pub reason: String,
}

/// Body of `POST /unban`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UnbanRequest {
	/// Whom.
	pub account: AccountId,
}

/// An error as the interface and the public port write it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
	/// Stable, as in docs/protocol.md.
	pub code: i32,
	/// The code's name.
	pub name: String,
	/// What is wrong and what to do.
	pub message: String,
	/// What it is about.
	pub subject: Option<String>,
}
