//! The JSON-RPC methods: a thin shell around [`Coordinator`].

use crate::{
	apps::Caller,
	coordinator::{Coordinator, Result},
};
use cuckoo_coordinator_api::{
	error::{ApiError, ErrorCode},
	miner::{
		Challenge, Hello, Poll, PollReply, Progress, ProgressReply, Session, Submit, SubmitReply,
	},
	payment::{AccountStatus, ChannelStatus, SettlementProof, SignedVoucher},
	rpc::{MinerRpcServer, TaskRpcServer},
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
	core::{async_trait, RegisterMethodError, RpcResult, SubscriptionResult},
	server::{PendingSubscriptionSink, SubscriptionSink},
	types::ErrorObjectOwned,
	Extensions, Methods, RpcModule,
};
use std::sync::Arc;
use tokio::sync::broadcast::error::RecvError;

/// The methods' implementation.
#[derive(Clone)]
pub struct Rpc(Arc<Coordinator>);

/// Every method.
pub fn methods(coordinator: Arc<Coordinator>) -> Methods {
	let rpc = Rpc(coordinator);
	let mut methods = Methods::from(TaskRpcServer::into_rpc(rpc.clone()));
	methods
		.merge(MinerRpcServer::into_rpc(rpc))
		.and_then(|()| methods.merge(discover()?))
		.expect("the two traits share no method name: every test would fail here; qed");
	methods
}

/// `rpc.discover`: what the methods are, for machines.
fn discover() -> std::result::Result<RpcModule<()>, RegisterMethodError> {
	let mut module = RpcModule::new(());
	module.register_method("rpc.discover", |_, (), _| {
		serde_json::from_str::<serde_json::Value>(include_str!("../api/openrpc.json"))
			.map_err(|_| ErrorObjectOwned::from(ApiError::new(ErrorCode::Internal)))
	})?;
	Ok(module)
}

#[async_trait]
impl TaskRpcServer for Rpc {
	async fn task_submit(
		&self,
		extensions: &Extensions,
		spec: TaskRequest,
		options: Option<SubmitOptions>,
	) -> RpcResult<TaskStatus> {
		let app = self.0.submitter(caller(extensions)?, options.as_ref());
		let (app, options) = (app.await?, options.unwrap_or_default());
		Ok(self.0.submit_task(&app, spec, options).await?)
	}

	async fn task_submit_batch(
		&self,
		extensions: &Extensions,
		tasks: Vec<BatchTask>,
	) -> RpcResult<Vec<BatchReply>> {
		Ok(self.0.submit_batch(caller(extensions)?, tasks).await?)
	}

	async fn task_list(
		&self,
		extensions: &Extensions,
		from: Option<u64>,
		limit: Option<u32>,
		state: Option<TaskState>,
	) -> RpcResult<TaskPage> {
		let app = self.0.app(caller(extensions)?).await?;
		Ok(self.0.list_tasks(&app, from, limit, state).await?)
	}

	async fn task_quote(
		&self,
		extensions: &Extensions,
		spec: TaskRequest,
		options: Option<SubmitOptions>,
	) -> RpcResult<Quote> {
		let app = self.0.asker(caller(extensions)?).await?;
		Ok(self.0.quote(&app, spec, &options.unwrap_or_default())?)
	}

	async fn task_status(&self, id: TaskId) -> RpcResult<TaskStatus> {
		Ok(self.0.task_status(id).await?)
	}

	async fn task_result(&self, id: TaskId) -> RpcResult<TaskResult> {
		Ok(self.0.task_result(id).await?)
	}

	async fn task_cancel(&self, extensions: &Extensions, id: TaskId) -> RpcResult<TaskStatus> {
		Ok(self.0.task_cancel(caller(extensions)?, id).await?)
	}

	async fn task_subscribe(
		&self,
		pending: PendingSubscriptionSink,
		id: TaskId,
	) -> SubscriptionResult {
		let (mut status, mut changes) = match self.0.watch(id).await {
			Ok(watched) => watched,
			Err(error) => {
				pending.reject(error).await;
				return Ok(());
			},
		};
		let sink = pending.accept().await?;
		send(&sink, &status).await?;
		while !status.state.is_final() {
			let change = tokio::select! {
				() = sink.closed() => break,
				change = changes.recv() => change,
			};
			status = match change {
				// Read between the start of the watch and the first change.
				Ok(change) if is_told(&change, &status) => continue,
				Ok(change) => change,
				// The subscriber was too slow for every step: it gets the present state.
				Err(RecvError::Lagged(_)) => self.0.task_status(id).await?,
				Err(RecvError::Closed) => break,
			};
			send(&sink, &status).await?;
		}
		drop(changes);
		self.0.live().unwatch(&id);
		Ok(())
	}

	async fn channel_status(&self, channel: ChannelId) -> RpcResult<ChannelStatus> {
		Ok(self.0.channel_status(channel).await?)
	}

	async fn account_status(&self, extensions: &Extensions) -> RpcResult<AccountStatus> {
		let app = self.0.app(caller(extensions)?).await?;
		Ok(self.0.account_status(&app).await?)
	}

	async fn coordinator_info(&self) -> RpcResult<CoordinatorInfo> {
		Ok(self.0.info()?)
	}

	async fn coordinator_miners(
		&self,
		from: Option<AccountId>,
		limit: Option<u32>,
	) -> RpcResult<Vec<MinerInfo>> {
		Ok(self.0.miners(from, limit)?)
	}

	async fn coordinator_draw(&self, id: TaskId, attempt: Option<Attempt>) -> RpcResult<DrawProof> {
		Ok(self.0.draw_proof(id, attempt).await?)
	}
}

/// Who is calling: the HTTP side has put it there.
fn caller(extensions: &Extensions) -> Result<&Caller> {
	extensions.get().ok_or_else(|| ErrorCode::Internal.into())
}

/// Whether a change is what was told before. What is only foreseen makes no difference.
fn is_told(change: &TaskStatus, told: &TaskStatus) -> bool {
	let foreseen = TaskStatus {
		position: told.position,
		eta_ms: told.eta_ms,
		..change.clone()
	};
	foreseen == *told
}

async fn send(sink: &SubscriptionSink, status: &TaskStatus) -> SubscriptionResult {
	sink.send(serde_json::value::to_raw_value(status)?).await?;
	Ok(())
}

#[async_trait]
impl MinerRpcServer for Rpc {
	async fn miner_challenge(&self, worker: WorkerId) -> RpcResult<Challenge> {
		Ok(self.0.challenge(worker)?)
	}

	async fn miner_hello(&self, hello: Hello) -> RpcResult<Session> {
		Ok(self.0.hello(hello).await?)
	}

	async fn miner_poll(&self, poll: Poll) -> RpcResult<PollReply> {
		Ok(self.0.poll(poll).await?)
	}

	async fn miner_progress(&self, progress: Progress) -> RpcResult<ProgressReply> {
		Ok(self.0.progress(progress).await?)
	}

	async fn miner_submit(&self, submit: Submit) -> RpcResult<SubmitReply> {
		Ok(self.0.submit(submit).await?)
	}

	async fn miner_vouchers(&self, token: H256) -> RpcResult<Vec<SignedVoucher>> {
		Ok(self.0.vouchers(token).await?)
	}

	async fn settlement_proof(
		&self,
		era: EraIndex,
		miner: AccountId,
	) -> RpcResult<SettlementProof> {
		Ok(self.0.settlement_proof(era, &miner).await?)
	}
}
