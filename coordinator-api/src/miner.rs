//! The miner's side: challenge, hello, poll, progress, submit.

use crate::{
	payment::SignedVoucher,
	task::{ModelInfo, Spec},
	Amount,
};
use cuckoo_primitives::{
	signing::{Assignment, ResultCommitment},
	task::{Attempt, DeviceClass, TaskId},
	AccountId, WorkerId, WorkerSignature, H256,
};
use serde::{Deserialize, Serialize};

/// Reply to `miner_challenge`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Challenge {
	/// Random bytes to sign in a [`cuckoo_primitives::signing::MinerLogin`]; good for one hello.
	pub challenge: H256,
	/// The coordinator's operator account, to be compared with the chain before signing.
	pub coordinator: AccountId,
	/// The chain the coordinator is on.
	pub genesis_hash: H256,
	/// How long the challenge is good, in milliseconds.
	pub expires_in_ms: u64,
}

/// Parameter of `miner_hello`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hello {
	/// The worker key.
	pub worker: WorkerId,
	/// The challenge answered.
	pub challenge: H256,
	/// By the worker over the `MinerLogin`.
	#[serde(with = "crate::signature")]
	pub signature: WorkerSignature,
	/// The models it holds.
	pub models: Vec<ModelInfo>,
	/// What it runs on.
	pub device: DeviceClass,
	/// The device's name, for people.
	pub device_name: String,
	/// How many tasks it takes at once.
	pub slots: u16,
	/// The engine profile's text.
	pub engine: String,
}

/// Reply to `miner_hello`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
	/// To be given with every further call and as bearer token of artifact uploads.
	pub token: H256,
	/// The miner's operator account, as the chain has it.
	pub miner: AccountId,
	/// How often to poll at least, in milliseconds, to stay eligible.
	pub poll_within_ms: u64,
}

/// Parameter of `miner_poll`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Poll {
	/// Session token.
	pub token: H256,
	/// Slots free now.
	pub free_slots: u16,
	/// How long to wait for a task, in milliseconds.
	pub wait_ms: u64,
	/// Attempts the miner holds: a miner that was restarted and lost one leaves it out, and the
	/// coordinator hands the task on at once instead of waiting for the lease to end. An attempt whose
	/// assignment this session was never told of is kept.
	pub holding: Vec<Held>,
}

/// An attempt that a miner holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Held {
	/// The task.
	pub task: TaskId,
	/// The attempt.
	pub attempt: Attempt,
}

/// Reply to `miner_poll`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PollReply {
	/// Work, if there is any.
	pub work: Option<Work>,
	/// Tasks that the miner holds and should stop: cancelled or handed on.
	pub abandon: Vec<Held>,
	/// Where the miner stands in the draw: always there, so that nobody wonders why no work comes.
	pub standing: Standing,
}

/// One attempt at a task for this miner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
	/// What to make.
	pub spec: Spec,
	/// The signed assignment.
	pub assignment: Assignment,
	/// By the coordinator's worker.
	#[serde(with = "crate::signature")]
	pub signature: WorkerSignature,
	/// What the miner earns by the result: the voucher that comes with its acceptance has so much more.
	#[serde(default)]
	pub pay: Amount,
}

/// Where a miner stands in the draw.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
	/// Place by weight among the eligible, from 1; `None` if not eligible.
	pub rank: Option<u32>,
	/// How many are eligible.
	pub eligible: u32,
	/// Its weight.
	pub weight: Amount,
	/// The weight of all that are eligible.
	pub total_weight: Amount,
	/// Tasks waiting.
	pub queued: u64,
	/// What it lacks to be eligible, as a sentence.
	pub lacks: Option<String>,
}

/// Parameter of `miner_progress`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Progress {
	/// Session token.
	pub token: H256,
	/// The task.
	pub task: TaskId,
	/// The attempt.
	pub attempt: Attempt,
	/// Steps done.
	pub steps_done: u16,
}

/// Reply to `miner_progress`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgressReply {
	/// Whether to go on: false when the task was cancelled.
	pub go_on: bool,
}

/// Parameter of `miner_submit`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Submit {
	/// Session token.
	pub token: H256,
	/// The task.
	pub task: TaskId,
	/// The attempt.
	pub attempt: Attempt,
	/// What was made, or why it failed.
	pub outcome: Outcome,
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
	/// A picture was made and uploaded.
	Result {
		/// What the worker signed.
		commitment: ResultCommitment,
		/// By the assignment's worker.
		#[serde(with = "crate::signature")]
		signature: WorkerSignature,
	},
	/// The miner could not do it, or gives it back.
	Failure {
		/// Why, as a sentence.
		reason: String,
	},
}

/// Reply to `miner_submit`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubmitReply {
	/// Whether the result stands. False after a reported failure.
	pub accepted: bool,
	/// With the acceptance of a result that is paid: all that the miner has earned in the era so far. To
	/// submit the result again gives it again, or a higher one.
	#[serde(default, skip_serializing_if = "Option::is_none")]
	pub voucher: Option<SignedVoucher>,
}
