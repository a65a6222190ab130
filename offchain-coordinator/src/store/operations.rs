//! What the operator's interface reads and writes.

use super::{
	ended_states, open_states,
	rows::{read_ms, stored_ms, AttemptRow, TaskRow},
	sql::{scale, values, Row, Sql},
	Result, Store,
};
use crate::{bans::Ban, clock::UnixMs};
use cuckoo_coordinator_api::task::TaskState;
use cuckoo_primitives::{task::TaskId, AccountId};

impl Store {
	/// Every ban, also those that time has ended.
	pub async fn bans(&self) -> Result<Vec<Ban>> {
		let ban = |row: &Row| {
			Ok(Ban {
				account: row.decode("account")?,
				since_ms: read_ms(row.get("since_ms")?),
				until_ms: row.get::<Option<i64>>("until_ms")?.map(read_ms),
				reason: row.get("reason")?,
			})
		};
		self.rows("SELECT * FROM bans", vec![], ban).await
	}

	/// Adds a ban, or changes it. `after` runs in the order of commits.
	pub async fn put_ban(&self, ban: Ban, after: impl FnOnce(&()) + Send + 'static) -> Result<()> {
		let values = values![
			scale(&ban.account),
			stored_ms(ban.since_ms),
			ban.until_ms.map(stored_ms),
			&ban.reason
		]
		.to_vec();
		let insert = "INSERT INTO bans (account, since_ms, until_ms, reason) \
			VALUES ($1, $2, $3, $4) ON CONFLICT (account) DO UPDATE SET \
			since_ms = excluded.since_ms, until_ms = excluded.until_ms, reason = excluded.reason";
		let work = move |sql: &mut dyn Sql| sql.execute(insert, &values).map(|_| ());
		self.write(work, after).await
	}

	/// Lifts a ban. `after` runs in the order of commits.
	pub async fn remove_ban(
		&self,
		account: AccountId,
		after: impl FnOnce(&()) + Send + 'static,
	) -> Result<()> {
		let work = move |sql: &mut dyn Sql| {
			let delete = "DELETE FROM bans WHERE account = $1";
			sql.execute(delete, &[scale(&account)]).map(|_| ())
		};
		self.write(work, after).await
	}

	/// Removes the bans that time has ended.
	pub async fn remove_ended_bans(&self, now_ms: UnixMs) -> Result<()> {
		let delete = "DELETE FROM bans WHERE until_ms <= $1";
		self.execute(delete, vec![stored_ms(now_ms).into()]).await
	}

	/// When the oldest task that waits was accepted.
	pub async fn oldest_queued_ms(&self) -> Result<Option<UnixMs>> {
		let query = concat!(
			"SELECT created_ms FROM tasks WHERE ",
			open_states!(),
			" AND state = 'queued' ORDER BY seq LIMIT 1"
		);
		self.row(query, vec![], |row| Ok(read_ms(row.get("created_ms")?)))
			.await
	}

	/// The youngest tasks, of one state or of all.
	pub async fn youngest_tasks(
		&self,
		state: Option<TaskState>,
		limit: u32,
	) -> Result<Vec<TaskRow>> {
		let all = "SELECT * FROM tasks ORDER BY seq DESC LIMIT $1";
		let ended = concat!(
			"SELECT * FROM tasks WHERE ",
			ended_states!(),
			" AND state = $1 ORDER BY updated_ms DESC LIMIT $2"
		);
		let open = concat!(
			"SELECT * FROM tasks WHERE ",
			open_states!(),
			" AND state = $1 ORDER BY seq DESC LIMIT $2"
		);
		let (query, values) = match state {
			None => (all, vec![limit.into()]),
			Some(state) => {
				let query = if state.is_final() { ended } else { open };
				(query, vec![state.name().into(), limit.into()])
			},
		};
		self.rows(query, values, TaskRow::from_row).await
	}

	/// Every attempt at a task, in order.
	pub async fn attempts(&self, id: &TaskId) -> Result<Vec<AttemptRow>> {
		let query = "SELECT * FROM attempts WHERE task = $1 ORDER BY attempt";
		self.rows(query, vec![scale(id)], AttemptRow::from_row)
			.await
	}
}
