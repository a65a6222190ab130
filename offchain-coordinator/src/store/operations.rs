//! What the operator's interface reads and writes.

use super::{
	rows::{decode, read_ms, stored_ms, AttemptRow, TaskRow},
	writer::job,
	Result, Store,
};
use crate::{bans::Ban, clock::UnixMs};
use codec::Encode;
use cuckoo_coordinator_api::task::TaskState;
use cuckoo_primitives::{task::TaskId, AccountId};
use sqlx::Row;

/// The states of tasks that have not ended, as the index over them has it.
const OPEN: &str = "state IN ('queued', 'assigned', 'running', 'submitted')";
/// The states of tasks that ended, as the index over them has it.
const ENDED: &str = "state IN ('done', 'failed', 'cancelled', 'expired')";

impl Store {
	/// Every ban, also those that time has ended.
	pub async fn bans(&self) -> Result<Vec<Ban>> {
		let rows = sqlx::query("SELECT * FROM bans")
			.fetch_all(&self.readers)
			.await?;
		rows.iter()
			.map(|row| {
				Ok(Ban {
					account: decode(&row.try_get::<Vec<u8>, _>("account")?, "account")?,
					since_ms: read_ms(row.try_get("since_ms")?),
					until_ms: row.try_get::<Option<i64>, _>("until_ms")?.map(read_ms),
					reason: row.try_get("reason")?,
				})
			})
			.collect()
	}

	/// Adds a ban, or changes it. `after` runs in the order of commits.
	pub async fn put_ban(&self, ban: Ban, after: impl FnOnce(&()) + Send + 'static) -> Result<()> {
		let work = job(move |connection| {
			Box::pin(async move {
				sqlx::query(
					"INSERT OR REPLACE INTO bans (account, since_ms, until_ms, reason) \
					 VALUES (?, ?, ?, ?)",
				)
				.bind(ban.account.encode())
				.bind(stored_ms(ban.since_ms))
				.bind(ban.until_ms.map(stored_ms))
				.bind(&ban.reason)
				.execute(connection)
				.await?;
				Ok(())
			})
		});
		self.writer.write(work, after).await
	}

	/// Lifts a ban. `after` runs in the order of commits.
	pub async fn remove_ban(
		&self,
		account: AccountId,
		after: impl FnOnce(&()) + Send + 'static,
	) -> Result<()> {
		let work = job(move |connection| {
			Box::pin(async move {
				sqlx::query("DELETE FROM bans WHERE account = ?")
					.bind(account.encode())
					.execute(connection)
					.await?;
				Ok(())
			})
		});
		self.writer.write(work, after).await
	}

	/// Removes the bans that time has ended.
	pub async fn remove_ended_bans(&self, now_ms: UnixMs) -> Result<()> {
		let work = job(move |connection| {
			Box::pin(async move {
				sqlx::query("DELETE FROM bans WHERE until_ms <= ?")
					.bind(stored_ms(now_ms))
					.execute(connection)
					.await?;
				Ok(())
			})
		});
		self.writer.write(work, |()| {}).await
	}

	/// When the oldest task that waits was accepted.
	pub async fn oldest_queued_ms(&self) -> Result<Option<UnixMs>> {
		let query = format!(
			"SELECT created_ms FROM tasks WHERE {OPEN} AND state = 'queued' ORDER BY seq LIMIT 1"
		);
		let found: Option<i64> = sqlx::query_scalar(sqlx::AssertSqlSafe(query))
			.fetch_optional(&self.readers)
			.await?;
		Ok(found.map(read_ms))
	}

	/// The youngest tasks, of one state or of all.
	pub async fn youngest_tasks(
		&self,
		state: Option<TaskState>,
		limit: u32,
	) -> Result<Vec<TaskRow>> {
		let filter = match state {
			None => "ORDER BY seq DESC".to_owned(),
			Some(state) if state.is_final() => {
				format!("WHERE {ENDED} AND state = ?2 ORDER BY updated_ms DESC")
			},
			Some(_) => format!("WHERE {OPEN} AND state = ?2 ORDER BY seq DESC"),
		};
		let query = format!("SELECT * FROM tasks {filter} LIMIT ?1");
		let mut query = sqlx::query(sqlx::AssertSqlSafe(query)).bind(i64::from(limit));
		if let Some(state) = state {
			query = query.bind(state.name());
		}
		let rows = query.fetch_all(&self.readers).await?;
		rows.iter().map(TaskRow::from_row).collect()
	}

	/// Every attempt at a task, in order.
	pub async fn attempts(&self, id: &TaskId) -> Result<Vec<AttemptRow>> {
		let rows = sqlx::query("SELECT * FROM attempts WHERE task = ? ORDER BY attempt")
			.bind(id.encode())
			.fetch_all(&self.readers)
			.await?;
		rows.iter().map(AttemptRow::from_row).collect()
	}
}
