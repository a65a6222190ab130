//! What the operator can ask of a running coordinator.

use super::{AttemptLine, BanRequest, Miners, Status, TaskDetails, WebhookLine};
use crate::{
	bans::{Ban, MAX_BANS},
	coordinator::{internal, Coordinator, Result},
	metrics::Now,
};
use cuckoo_coordinator_api::{
	error::{ApiError, ErrorCode},
	limits,
	task::{TaskState, TaskStatus},
	Amount,
};
use cuckoo_primitives::{task::TaskId, AccountId};
use std::sync::Arc;

fn refused(message: impl Into<String>, field: &str) -> ApiError {
	ApiError::with_message(ErrorCode::ParameterInvalid, message).about(field)
}

impl Coordinator {
	async fn now(&self) -> Result<Now> {
		let oldest_queued_ms = self.store().oldest_queued_ms().await.map_err(internal)?;
		let now_ms = self.now_ms();
		let (ready, draining) = (self.readiness().is_ok(), self.is_draining());
		let live = self.live();
		Ok(Now {
			queued: live.queue.len(),
			in_flight: live.leases.len(),
			oldest_queued_ms,
			miners: live.miner_counts(now_ms),
			total_weight: live.total_weight(),
			finalized: live.registry().map(|registry| registry.block.number),
			ready,
			draining,
			now_ms,
		})
	}

	/// The metrics in Prometheus' text format.
	pub async fn metrics_text(&self) -> Result<String> {
		let now = self.now().await?;
		let text = self.metrics().text(&now);
		text.map_err(|error| crate::coordinator::failed_inside(&error))
	}

	/// How the coordinator stands.
	pub async fn admin_status(&self) -> Result<Status> {
		let now = self.now().await?;
		let metrics = self.metrics();
		Ok(Status {
			version: env!("CARGO_PKG_VERSION").into(),
			operator: self
				.identity()
				.ok()
				.map(|identity| identity.operator.clone()),
			worker: self.worker(),
			not_ready: self.readiness().err().map(|error| error.message),
			draining: now.draining,
			started_ms: self.started_ms(),
			now_ms: now.now_ms,
			finalized_block: now.finalized,
			finalized_age_ms: now.finalized.map(|_| metrics.finalized_age_ms(now.now_ms)),
			queued: now.queued as u64,
			in_flight: now.in_flight as u64,
			oldest_wait_ms: now.oldest_queued_ms.map(|ms| now.now_ms.saturating_sub(ms)),
			miners: now.miners,
			total_weight: Amount(now.total_weight),
			tasks: metrics.task_counts(),
			draws: metrics.draws(),
		})
	}

	/// The connected miners after `from`, and all bans.
	pub fn admin_miners(&self, from: Option<AccountId>, limit: Option<u32>) -> Result<Miners> {
		Ok(Miners {
			miners: self.miners(from, limit)?,
			bans: self.live().bans.holding(self.now_ms()),
		})
	}

	/// The webhooks that have failed, those that failed most often first.
	pub async fn admin_webhooks(&self, limit: u32) -> Result<Vec<WebhookLine>> {
		if limit == 0 || limit > limits::MAX_PAGE {
			return Err(refused("A page has 1 to 1000 entries.", "limit"));
		}
		let failing = self.store().failing_webhooks(limit).await;
		let failing = failing.map_err(internal)?;
		Ok(failing.into_iter().map(WebhookLine::from).collect())
	}

	/// The youngest tasks, of one state or of all.
	pub async fn admin_tasks(
		&self,
		state: Option<TaskState>,
		limit: u32,
	) -> Result<Vec<TaskStatus>> {
		if limit == 0 || limit > limits::MAX_PAGE {
			return Err(refused("A list has 1 to 1000 tasks.", "limit"));
		}
		let rows = self.store().youngest_tasks(state, limit).await;
		let rows = rows.map_err(internal)?;
		let live = self.live();
		Ok(rows.iter().map(|row| live.status(row)).collect())
	}

	/// A task with every attempt at it.
	pub async fn admin_task(&self, id: TaskId) -> Result<TaskDetails> {
		let task = self.task_status(id).await?;
		let attempts = self.store().attempts(&id).await.map_err(internal)?;
		Ok(TaskDetails {
			task,
			attempts: attempts.iter().map(AttemptLine::new).collect(),
		})
	}

	/// Leaves a miner out of the draw from now on. What it has may finish.
	pub async fn ban(self: &Arc<Self>, request: BanRequest) -> Result<Ban> {
		if request.reason.len() > limits::MAX_TEXT_BYTES {
			return Err(refused("A reason has at most 1024 bytes.", "reason"));
		}
		if request.seconds == Some(0) {
			return Err(refused("A ban lasts at least a second.", "seconds"));
		}
		let now_ms = self.now_ms();
		let end = |seconds: u64| now_ms.saturating_add(seconds.saturating_mul(1_000));
		let ban = Ban {
			account: request.account,
			since_ms: now_ms,
			until_ms: request.seconds.map(end),
			reason: request.reason,
		};
		if !self.live().bans.has_place(&ban.account) {
			let message = format!("There are {MAX_BANS} bans already: lift some.");
			return Err(refused(message, "account"));
		}
		let (this, kept) = (self.clone(), ban.clone());
		let after = move |_: &()| {
			let mut live = this.live();
			let account = kept.account.clone();
			live.bans.insert(kept);
			live.refresh(&account, now_ms);
		};
		let stored = self.store().put_ban(ban.clone(), after).await;
		stored.map_err(internal)?;
		tracing::warn!(miner = %ban.account, until_ms = ban.until_ms, reason = ban.reason, "banned");
		Ok(ban)
	}

	/// Lifts a ban.
	pub async fn unban(self: &Arc<Self>, account: AccountId) -> Result<()> {
		if self.live().bans.ban(&account, self.now_ms()).is_none() {
			let message = format!("{account} is not banned.");
			return Err(refused(message, "account"));
		}
		let (this, whose) = (self.clone(), account.clone());
		let after = move |_: &()| {
			let now_ms = this.now_ms();
			let mut live = this.live();
			live.bans.remove(&whose);
			live.refresh(&whose, now_ms);
			drop(live);
			this.schedule().notify_one();
		};
		let stored = self.store().remove_ban(account.clone(), after).await;
		stored.map_err(internal)?;
		tracing::warn!(miner = %account, "the ban was lifted");
		Ok(())
	}
}
