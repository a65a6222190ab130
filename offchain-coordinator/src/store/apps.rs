//! Apps that have keys.

use super::{Result, Store, StoreError};
use crate::apps::{App, AppId, KeyHash};
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
