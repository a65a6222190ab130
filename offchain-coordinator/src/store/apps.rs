//! Apps that have keys, and the tasks of an app.

use super::{Result, Store, StoreError, TaskRow};
use crate::apps::{App, AppId, KeyHash};
use cuckoo_coordinator_api::task::TaskState;
use sqlx::{sqlite::SqliteRow, Row};

impl Store {
	/// The app that has the key of this hash, unless it was revoked.
	pub async fn app_with_key(&self, key: &KeyHash) -> Result<Option<App>> {
		let row = sqlx::query("SELECT * FROM apps WHERE key_hash = ? AND revoked_ms IS NULL")
			.bind(key.as_slice())
			.fetch_optional(&self.readers)
			.await?;
		row.as_ref().map(app).transpose()
	}

	/// The app's tasks that were accepted before the one with this `seq`, newest first.
	pub async fn tasks_of(
		&self,
		app: &AppId,
		before: i64,
		state: Option<TaskState>,
		limit: u32,
	) -> Result<Vec<TaskRow>> {
		let any = "SELECT * FROM tasks WHERE app = ? AND seq < ? ORDER BY seq DESC LIMIT ?";
		let only = "SELECT * FROM tasks WHERE app = ? AND state = ? AND seq < ? \
			ORDER BY seq DESC LIMIT ?";
		let query = match state {
			Some(state) => sqlx::query(only).bind(app.as_str()).bind(state.name()),
			None => sqlx::query(any).bind(app.as_str()),
		};
		let rows = query
			.bind(before)
			.bind(limit)
			.fetch_all(&self.readers)
			.await?;
		rows.iter().map(TaskRow::from_row).collect()
	}
}

fn app(row: &SqliteRow) -> Result<App> {
	let max_queued: Option<i64> = row.try_get("max_queued")?;
	let submits: Option<i64> = row.try_get("submits_per_minute")?;
	let broken = |_| StoreError::Corrupt("app");
	Ok(App {
		id: AppId::new(row.try_get("id")?),
		max_queued: max_queued
			.map(usize::try_from)
			.transpose()
			.map_err(broken)?,
		submits_per_minute: submits.map(u32::try_from).transpose().map_err(broken)?,
	})
}
