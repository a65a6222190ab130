//! The JSON-RPC methods. `TaskRpcServer` and so on are the coordinator's half, `TaskRpcClient` and so
//! on the callers'. Parameters can be given by name or in order.

use crate::{
	miner::{
		Challenge, Hello, Poll, PollReply, Progress, ProgressReply, Session, Submit, SubmitReply,
	},
	payment::{AccountStatus, ChannelStatus, SettlementProof, SignedVoucher},
	task::{
		BatchReply, BatchTask, CoordinatorInfo, DrawProof, MinerInfo, Quote, SubmitOptions,
		TaskPage, TaskRequest, TaskResult, TaskState, TaskStatus,
	},
};
use cuckoo_primitives::{
	task::{Attempt, TaskId},
	voucher::ChannelId,
	AccountId, EraIndex, WorkerId, H256,
};
use jsonrpsee::{
	core::{RpcResult, SubscriptionResult},
	proc_macros::rpc,
};

/// What apps call.
#[rpc(server, client)]
pub trait TaskRpc {
	/// Accepts a task. Once this returns, the task survives the coordinator's death.
	#[method(name = "task_submit", param_kind = map, with_extensions)]
	async fn task_submit(
		&self,
		spec: TaskRequest,
		options: Option<SubmitOptions>,
	) -> RpcResult<TaskStatus>;

	/// Submits up to 32 tasks at once. Each is accepted or refused by itself; the replies are in the
	/// order of the tasks.
	#[method(name = "task_submit_batch", param_kind = map, with_extensions)]
	async fn task_submit_batch(&self, tasks: Vec<BatchTask>) -> RpcResult<Vec<BatchReply>>;

	/// The app's tasks, newest first: before `from`, in this state.
	#[method(name = "task_list", param_kind = map, with_extensions)]
	async fn task_list(
		&self,
		from: Option<u64>,
		limit: Option<u32>,
		state: Option<TaskState>,
	) -> RpcResult<TaskPage>;

	/// What a task would take, without submitting it.
	#[method(name = "task_quote", param_kind = map, with_extensions)]
	async fn task_quote(
		&self,
		spec: TaskRequest,
		options: Option<SubmitOptions>,
	) -> RpcResult<Quote>;

	/// Where a task stands.
	#[method(name = "task_status", param_kind = map)]
	async fn task_status(&self, id: TaskId) -> RpcResult<TaskStatus>;

	/// The result of a task that is done.
	#[method(name = "task_result", param_kind = map)]
	async fn task_result(&self, id: TaskId) -> RpcResult<TaskResult>;

	/// Cancels a task that has not ended. Only the app that submitted it can.
	#[method(name = "task_cancel", param_kind = map, with_extensions)]
	async fn task_cancel(&self, id: TaskId) -> RpcResult<TaskStatus>;

	/// The task's status now and at each change, until it ends.
	#[subscription(name = "task_subscribe" => "task_event", unsubscribe = "task_unsubscribe", item = TaskStatus, param_kind = map)]
	async fn task_subscribe(&self, id: TaskId) -> SubscriptionResult;

	/// What the coordinator knows of a channel to it.
	#[method(name = "channel_status", param_kind = map)]
	async fn channel_status(&self, channel: ChannelId) -> RpcResult<ChannelStatus>;

	/// The balance of the app whose API key calls.
	#[method(name = "account_status", with_extensions)]
	async fn account_status(&self) -> RpcResult<AccountStatus>;

	/// Who this coordinator is and what it serves.
	#[method(name = "coordinator_info")]
	async fn coordinator_info(&self) -> RpcResult<CoordinatorInfo>;

	/// The miners that are connected, in account order, after `from`.
	#[method(name = "coordinator_miners", param_kind = map)]
	async fn coordinator_miners(
		&self,
		from: Option<AccountId>,
		limit: Option<u32>,
	) -> RpcResult<Vec<MinerInfo>>;

	/// The proof of a task's draw; the last attempt's without `attempt`.
	#[method(name = "coordinator_draw", param_kind = map)]
	async fn coordinator_draw(&self, id: TaskId, attempt: Option<Attempt>) -> RpcResult<DrawProof>;
}

/// What miners call.
#[rpc(server, client)]
pub trait MinerRpc {
	/// A challenge for this worker to sign.
	#[method(name = "miner_challenge", param_kind = map)]
	async fn miner_challenge(&self, worker: WorkerId) -> RpcResult<Challenge>;

	/// Opens a session.
	#[method(name = "miner_hello", param_kind = map)]
	async fn miner_hello(&self, hello: Hello) -> RpcResult<Session>;

	/// Waits for work.
	#[method(name = "miner_poll", param_kind = map)]
	async fn miner_poll(&self, poll: Poll) -> RpcResult<PollReply>;

	/// Tells how far an attempt is; the first report turns `assigned` into `running`.
	#[method(name = "miner_progress", param_kind = map)]
	async fn miner_progress(&self, progress: Progress) -> RpcResult<ProgressReply>;

	/// Ends an attempt with a result or a failure.
	#[method(name = "miner_submit", param_kind = map)]
	async fn miner_submit(&self, submit: Submit) -> RpcResult<SubmitReply>;

	/// All that the coordinator owes the session's miner: the voucher of each era of which something can
	/// still be claimed.
	#[method(name = "miner_vouchers", param_kind = map)]
	async fn miner_vouchers(&self, token: H256) -> RpcResult<Vec<SignedVoucher>>;

	/// Where a miner stands in the tree of a settled era, with the proof that the chain's `claim` takes.
	#[method(name = "settlement_proof", param_kind = map)]
	async fn settlement_proof(&self, era: EraIndex, miner: AccountId)
		-> RpcResult<SettlementProof>;
}
