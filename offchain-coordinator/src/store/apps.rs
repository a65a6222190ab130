//! Apps that have keys, and the tasks of an app.

use super::{
	sql::{values, Row},
	Result, Store, StoreError, TaskRow,
};
use crate::apps::{App, AppId, KeyHash};
use cuckoo_coordinator_api::task::TaskState;

impl Store {
	/// The app that has the key of this hash, unless it was revoked.
	pub async fn app_with_key(&self, key: &KeyHash) -> Result<Option<App>> {
		let query = "SELECT * FROM apps WHERE key_hash = $1 AND revoked_ms IS NULL";
		self.row(query, values![key.as_slice()].to_vec(), app).await
	}

	/// The app's tasks that were accepted before the one with this `seq`, newest first.
	pub async fn tasks_of(
		&self,
		app: &AppId,
		before: i64,
		state: Option<TaskState>,
		limit: u32,
	) -> Result<Vec<TaskRow>> {
		let any = "SELECT * FROM tasks WHERE app = $1 AND seq < $2 ORDER BY seq DESC LIMIT $3";
		let only = "SELECT * FROM tasks WHERE app = $1 AND seq < $2 AND state = $3 \
			ORDER BY seq DESC LIMIT $4";
		let (query, values) = match state {
			None => (any, values![app.as_str(), before, limit].to_vec()),
			Some(state) => (
				only,
				values![app.as_str(), before, state.name(), limit].to_vec(),
			),
		};
		self.rows(query, values, TaskRow::from_row).await
	}
}

fn app(row: &Row) -> Result<App> {
	let max_queued: Option<u64> = row.get("max_queued")?;
	let broken = |_| StoreError::Corrupt("app");
	Ok(App {
		id: AppId::new(&row.get::<String>("id")?),
		max_queued: max_queued
			.map(usize::try_from)
			.transpose()
			.map_err(broken)?,
		submits_per_minute: row.get("submits_per_minute")?,
	})
}
