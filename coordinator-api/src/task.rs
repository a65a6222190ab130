//! The app's side: what is asked for, and how it goes.

use crate::{error::ErrorReply, payment::ChannelPayment, Amount};
use cuckoo_primitives::{
	draw::Eligible,
	signing::{Assignment, ResultCommitment},
	task::{Attempt, DeviceClass, ModelHash, SchedulerKind, TaskId},
	AccountId, BlockNumber, WorkerId, WorkerSignature, H256,
};
use serde::{Deserialize, Serialize};

/// What an app asks for. Only `prompt` is required; the coordinator fills in the rest from its
/// default model and returns the whole spec with the task.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskRequest {
	/// What the picture shows.
	pub prompt: String,
	/// What it must not show.
	#[serde(default, skip_serializing_if = "Option::is_none")]
	pub negative_prompt: Option<String>,
	/// The model: its hash, or its name as `coordinator_info` lists it.
	#[serde(default, skip_serializing_if = "Option::is_none")]
	pub model: Option<String>,
	/// Seed of the noise; drawn at random when absent.
	#[serde(default, skip_serializing_if = "Option::is_none")]
	pub seed: Option<u64>,
	/// Denoising steps. Signed here so that a negative number gets a sentence, not a parse error.
	#[serde(default, skip_serializing_if = "Option::is_none")]
	pub steps: Option<i64>,
	/// Width in pixels.
	#[serde(default, skip_serializing_if = "Option::is_none")]
	pub width: Option<i64>,
	/// Height in pixels.
	#[serde(default, skip_serializing_if = "Option::is_none")]
	pub height: Option<i64>,
	/// Classifier-free guidance scale; rounded to thousandths.
	#[serde(default, skip_serializing_if = "Option::is_none")]
	pub guidance: Option<f64>,
	/// Scheduler.
	#[serde(default, skip_serializing_if = "Option::is_none")]
	pub scheduler: Option<SchedulerKind>,
}

/// How the task is to be treated.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubmitOptions {
	/// The same key and spec give the same task, so a submit can be repeated safely. Also the nonce of
	/// the task's id ([`TaskId::derive`]): an app that gives one can check that the coordinator did
	/// not choose the id. Each app has its keys for itself.
	#[serde(default, skip_serializing_if = "Option::is_none")]
	pub idempotency_key: Option<String>,
	/// 0 to 9, 5 when absent: tasks of the same app with more are drawn first. Tasks of other apps
	/// are not touched by it.
	#[serde(default, skip_serializing_if = "Option::is_none")]
	pub priority: Option<i64>,
	/// How long it may wait for a miner, in milliseconds; the coordinator's own limit when absent or
	/// longer. A task that is drawn anew waits anew.
	#[serde(default, skip_serializing_if = "Option::is_none")]
	pub max_wait_ms: Option<i64>,
	/// When it must be done, in milliseconds of Unix time: nobody is drawn whose lease could end later,
	/// and a task that nobody can be drawn for any more expires.
	#[serde(default, skip_serializing_if = "Option::is_none")]
	pub deadline_ms: Option<i64>,
	/// The most that it may cost: one that costs more is refused.
	#[serde(default, skip_serializing_if = "Option::is_none")]
	pub max_price: Option<Amount>,
	/// A URL that is called when the task has ended. For apps with an API key.
	#[serde(default, skip_serializing_if = "Option::is_none")]
	pub webhook: Option<String>,
	/// Pays through a channel. Without it, an app with an API key pays from its balance.
	#[serde(default, skip_serializing_if = "Option::is_none")]
	pub payment: Option<ChannelPayment>,
}

/// What is made, every field settled: the readable form of [`cuckoo_primitives::task::TaskSpec`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
	/// The model's hash.
	pub model: ModelHash,
	/// What the picture shows.
	pub prompt: String,
	/// What it must not show.
	pub negative_prompt: String,
	/// Seed of the noise, as a decimal string (JSON numbers end at 2^53).
	#[serde(with = "decimal")]
	pub seed: u64,
	/// Denoising steps.
	pub steps: u16,
	/// Width in pixels.
	pub width: u16,
	/// Height in pixels.
	pub height: u16,
	/// Guidance scale in thousandths.
	pub guidance_milli: u32,
	/// Scheduler.
	pub scheduler: SchedulerKind,
}

impl From<Spec> for cuckoo_primitives::task::TaskSpec {
	fn from(spec: Spec) -> Self {
		Self {
			model: spec.model,
			prompt: spec.prompt,
			negative_prompt: spec.negative_prompt,
			seed: spec.seed,
			steps: spec.steps,
			width: spec.width,
			height: spec.height,
			guidance_milli: spec.guidance_milli,
			scheduler: spec.scheduler,
		}
	}
}

impl From<cuckoo_primitives::task::TaskSpec> for Spec {
	fn from(spec: cuckoo_primitives::task::TaskSpec) -> Self {
		Self {
			model: spec.model,
			prompt: spec.prompt,
			negative_prompt: spec.negative_prompt,
			seed: spec.seed,
			steps: spec.steps,
			width: spec.width,
			height: spec.height,
			guidance_milli: spec.guidance_milli,
			scheduler: spec.scheduler,
		}
	}
}

mod decimal {
	use serde::{Deserialize, Deserializer, Serializer};

	pub fn serialize<S: Serializer>(number: &u64, serializer: S) -> Result<S::Ok, S::Error> {
		serializer.collect_str(number)
	}

	pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
		String::deserialize(deserializer)?
			.parse()
			.map_err(serde::de::Error::custom)
	}
}

/// Where a task stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
	/// Waits for a miner.
	Queued,
	/// A miner was drawn and holds the lease; it has not reported yet.
	Assigned,
	/// The miner has reported progress.
	Running,
	/// The miner has submitted; the result is being checked.
	Submitted,
	/// The picture is there.
	Done,
	/// It failed for good; `reason` says why.
	Failed,
	/// The app cancelled it.
	Cancelled,
	/// No miner took it in time.
	Expired,
}

impl TaskState {
	/// Whether it can change no more.
	pub const fn is_final(self) -> bool {
		matches!(
			self,
			TaskState::Done | TaskState::Failed | TaskState::Cancelled | TaskState::Expired
		)
	}

	/// The name as on the wire.
	pub const fn name(self) -> &'static str {
		match self {
			TaskState::Queued => "queued",
			TaskState::Assigned => "assigned",
			TaskState::Running => "running",
			TaskState::Submitted => "submitted",
			TaskState::Done => "done",
			TaskState::Failed => "failed",
			TaskState::Cancelled => "cancelled",
			TaskState::Expired => "expired",
		}
	}
}

/// Reply to `task_submit`, `task_status` and `task_cancel`; item of `task_subscribe`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskStatus {
	/// The task.
	pub id: TaskId,
	/// Where it stands.
	pub state: TaskState,
	/// What is made.
	pub spec: Spec,
	/// Hash of the spec, as in the assignment.
	pub spec_hash: H256,
	/// While queued: how many tasks for its model are handed out before it at the most, if none is
	/// added and all are alike.
	pub position: Option<u64>,
	/// How long until it is likely to be done, in milliseconds, by what results took of late; `None`
	/// while nothing is known, and once it has ended.
	#[serde(default)]
	pub eta_ms: Option<u64>,
	/// Steps done by the miner at work.
	pub steps_done: u16,
	/// The attempt at work or the last one; `None` before the first draw.
	pub attempt: Option<Attempt>,
	/// The miner of that attempt.
	pub miner: Option<AccountId>,
	/// Why it failed or was drawn anew.
	pub reason: Option<String>,
	/// What it costs, as agreed on when it was accepted.
	#[serde(default)]
	pub price: Amount,
	/// When it must be done, if the app said so.
	#[serde(default)]
	pub deadline_ms: Option<u64>,
	/// When it was accepted.
	pub created_ms: u64,
	/// When it last changed.
	pub updated_ms: u64,
}

/// One task of `task_submit_batch`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchTask {
	/// What to make.
	pub spec: TaskRequest,
	/// How to treat it.
	#[serde(default, skip_serializing_if = "Option::is_none")]
	pub options: Option<SubmitOptions>,
}

/// What became of one task of `task_submit_batch`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BatchReply {
	/// It was accepted.
	Task(Box<TaskStatus>),
	/// It was refused.
	Error(ErrorReply),
}

/// Reply to `task_list`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskPage {
	/// The tasks, newest first.
	pub tasks: Vec<TaskStatus>,
	/// What to give as `from` for the tasks before these; `None` when there are none.
	pub next: Option<u64>,
}

/// Reply to `task_quote`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quote {
	/// What would be made, every field settled but a seed that was not given: to be submitted as it
	/// is.
	pub spec: TaskRequest,
	/// The work: pixels times denoising steps, in millions.
	pub megapixel_steps: f64,
	/// What it would cost.
	#[serde(default)]
	pub price: Amount,
	/// The position in the queue that it would have.
	pub position: u64,
	/// How long until it would be done, in milliseconds; `None` while nothing is known.
	pub eta_ms: Option<u64>,
}

/// Reply to `task_result`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskResult {
	/// The task.
	pub id: TaskId,
	/// BLAKE3 of the PNG.
	pub artifact: H256,
	/// Where to get it, relative to the coordinator's URL: `/artifacts/{hash}`.
	pub path: String,
	/// Size in bytes.
	pub bytes: u64,
	/// The attempt that was accepted.
	pub attempt: Attempt,
	/// Who made it.
	pub miner: AccountId,
	/// The worker key that signed.
	pub worker: WorkerId,
	/// What the worker signed.
	pub commitment: ResultCommitment,
	/// Its signature.
	#[serde(with = "crate::signature")]
	pub signature: WorkerSignature,
	/// From assignment to acceptance, in milliseconds.
	pub elapsed_ms: u64,
}

/// Reply to `coordinator_draw`: everything needed to recompute the draw.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrawProof {
	/// What the coordinator signed.
	pub assignment: Assignment,
	/// By the coordinator's worker.
	#[serde(with = "crate::signature")]
	pub signature: WorkerSignature,
	/// The coordinator's worker at that time.
	pub coordinator_worker: WorkerId,
	/// The chain this was signed for.
	pub genesis_hash: H256,
	/// The list that was drawn from, in account order.
	pub eligible: Vec<EligibleEntry>,
	/// What the app gave as idempotency key, or what the coordinator drew instead: the id's nonce.
	pub id_nonce: String,
}

/// One line of the eligible list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EligibleEntry {
	/// The miner's operator account.
	pub miner: AccountId,
	/// Its weight.
	pub weight: Amount,
}

impl From<&EligibleEntry> for Eligible {
	fn from(entry: &EligibleEntry) -> Self {
		Self {
			miner: entry.miner.clone(),
			weight: entry.weight.0,
		}
	}
}

/// A model that is served.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelInfo {
	/// BLAKE3 over its files.
	pub hash: ModelHash,
	/// A name for people.
	pub name: String,
	/// Width and height made by default, in pixels.
	pub default_size: u16,
	/// Width and height must be multiples of this.
	pub size_multiple: u16,
	/// Longest side in pixels.
	pub max_size: u16,
	/// Steps by default.
	pub default_steps: u16,
	/// Guidance scale by default, in thousandths.
	pub default_guidance_milli: u32,
}

/// What a model costs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelPrice {
	/// The model.
	pub model: ModelHash,
	/// For a megapixel-step: a million pixels times one denoising step.
	pub megapixel_step: Amount,
}

/// Reply to `coordinator_info`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoordinatorInfo {
	/// The software's version.
	pub version: String,
	/// The coordinator's operator account.
	pub operator: AccountId,
	/// Its worker key.
	pub worker: WorkerId,
	/// The chain.
	pub genesis_hash: H256,
	/// The last finalized block it knows.
	pub finalized_block: BlockNumber,
	/// That block's hash.
	pub finalized_hash: H256,
	/// The models that connected miners hold.
	pub models: Vec<ModelInfo>,
	/// The model used when a request names none.
	pub default_model: Option<ModelHash>,
	/// What these models cost.
	#[serde(default)]
	pub prices: Vec<ModelPrice>,
	/// Miners that polled within the last 30 s.
	pub miners_online: u32,
	/// Tasks waiting.
	pub queued: u64,
	/// Tasks with a miner.
	pub in_flight: u64,
	/// The coordinator's clock.
	pub now_ms: u64,
}

/// A line of `coordinator_miners`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MinerInfo {
	/// The miner's operator account.
	pub miner: AccountId,
	/// Its worker key.
	pub worker: WorkerId,
	/// The name it gave itself on chain.
	pub name: String,
	/// Stake of its pool, self and votes.
	pub stake: Amount,
	/// Its share of the weight of all that are eligible now, in parts per million.
	pub share_ppm: u32,
	/// Whether it could be drawn now.
	pub eligible: bool,
	/// Why not, if it is not.
	pub lacks: Option<String>,
	/// What it runs on.
	pub device: DeviceClass,
	/// Names of the models it holds.
	pub models: Vec<ModelHash>,
	/// Slots in use.
	pub busy: u16,
	/// Slots in all.
	pub slots: u16,
	/// When it last polled.
	pub last_poll_ms: u64,
	/// Tasks done here.
	pub done: u64,
	/// Attempts failed here.
	pub failed: u64,
}
