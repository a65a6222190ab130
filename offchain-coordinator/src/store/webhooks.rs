//! Webhooks that are still to be called: written with the final states of their tasks.

use super::{
	sql::{scale, values, Row, Sql},
	stored_ms, Result, Store, StoreError, TaskRow,
};
use crate::{
	apps::{AppId, KeyHash},
	clock::UnixMs,
	store::read_ms,
	webhooks::Secret,
};
use cuckoo_primitives::task::TaskId;

/// Most calls of one app that wait. Past it the app submits no more tasks with webhooks.
pub const MAX_WAITING_CALLS: u32 = 1_000;

/// Where the store's own secret stands in `meta`.
const SECRET_KEY: &str = "webhook_secret";

/// A call that is to be made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WebhookRow {
	/// The task that has ended.
	pub task: TaskId,
	/// Whose it is.
	pub app: AppId,
	/// Where to call.
	pub url: String,
	/// When the task ended.
	pub created_ms: UnixMs,
	/// When to call next.
	pub next_ms: UnixMs,
	/// How often it failed.
	pub tries: u32,
	/// How it failed last.
	pub failure: Option<String>,
}

impl WebhookRow {
	fn from_row(row: &Row) -> Result<Self> {
		Ok(Self {
			task: row.decode("task")?,
			app: AppId::new(&row.get::<String>("app")?),
			url: row.get("url")?,
			created_ms: read_ms(row.get("created_ms")?),
			next_ms: read_ms(row.get("next_ms")?),
			tries: row.get("tries")?,
			failure: row.get("failure")?,
		})
	}
}

impl Store {
	/// How many calls wait or are being made, and when the next is due.
	pub async fn webhooks_waiting(&self) -> Result<(u64, Option<UnixMs>)> {
		let query = "SELECT COUNT(*) AS waiting, MIN(next_ms) AS next_ms FROM webhooks";
		let read = |row: &Row| {
			let next_ms = row.get::<Option<i64>>("next_ms")?.map(read_ms);
			Ok((row.get("waiting")?, next_ms))
		};
		Ok(self.row(query, vec![], read).await?.unwrap_or_default())
	}

	/// Claims calls that are due: until then nobody else makes them.
	pub async fn claim_webhooks(
		&self,
		now_ms: UnixMs,
		until_ms: UnixMs,
		limit: u32,
	) -> Result<Vec<WebhookRow>> {
		let work = move |sql: &mut dyn Sql| {
			sql.rows(
				"UPDATE webhooks SET next_ms = $1 WHERE task IN \
				 (SELECT task FROM webhooks WHERE next_ms <= $2 ORDER BY next_ms LIMIT $3) \
				 RETURNING *",
				values![stored_ms(until_ms), stored_ms(now_ms), limit],
				WebhookRow::from_row,
			)
		};
		self.write(work, |_| {}).await
	}

	/// The call was not made: it is due then.
	pub async fn postpone_webhook(&self, task: TaskId, next_ms: UnixMs) -> Result<()> {
		let update = "UPDATE webhooks SET next_ms = $1 WHERE task = $2";
		self.execute(update, values![stored_ms(next_ms), scale(&task)].to_vec())
			.await
	}

	/// The call failed: it is made again then.
	pub async fn webhook_failed(
		&self,
		task: TaskId,
		next_ms: UnixMs,
		failure: String,
	) -> Result<()> {
		let update =
			"UPDATE webhooks SET next_ms = $1, tries = tries + 1, failure = $2 WHERE task = $3";
		let values = values![stored_ms(next_ms), &failure, scale(&task)].to_vec();
		self.execute(update, values).await
	}

	/// The call was answered or is given up.
	pub async fn remove_webhook(&self, task: TaskId) -> Result<()> {
		let delete = "DELETE FROM webhooks WHERE task = $1";
		self.execute(delete, vec![scale(&task)]).await
	}

	/// The calls that have failed, those that failed most often first.
	pub async fn failing_webhooks(&self, limit: u32) -> Result<Vec<WebhookRow>> {
		let query = "SELECT * FROM webhooks WHERE tries > 0 ORDER BY tries DESC, task LIMIT $1";
		self.rows(query, values![limit].to_vec(), WebhookRow::from_row)
			.await
	}

	/// With which calls to the app are signed; `None` if it has no key.
	pub async fn webhook_secret(&self, app: &AppId) -> Result<Option<Secret>> {
		let id = app.as_str().to_owned();
		self.write(move |sql| secret_of(sql, "id", &id), |_| {})
			.await
	}
}

/// The secret of the app whose column has this value.
fn secret_of(sql: &mut dyn Sql, column: &str, value: &str) -> Result<Option<Secret>> {
	let query = match column {
		"id" => "SELECT key_hash FROM apps WHERE id = $1",
		_ => "SELECT key_hash FROM apps WHERE name = $1 AND revoked_ms IS NULL",
	};
	let Some(row) = sql.row(query, values![value])? else {
		return Ok(None);
	};
	let key_hash: KeyHash = array(row.get("key_hash")?)?;
	Ok(Some(Secret::derive(&own_secret(sql)?, &key_hash)))
}

/// With which calls to the app of this name are signed, unless its key was revoked.
pub(crate) fn secret_by_name(sql: &mut dyn Sql, name: &str) -> Result<Option<Secret>> {
	secret_of(sql, "name", name)
}

/// The store's own secret, made at first use.
fn own_secret(sql: &mut dyn Sql) -> Result<[u8; 32]> {
	let query = "SELECT value FROM meta WHERE key = $1";
	if let Some(row) = sql.row(query, values![SECRET_KEY])? {
		return array(row.get("value")?);
	}
	let fresh: [u8; 32] = rand::random();
	sql.execute(
		"INSERT INTO meta (key, value) VALUES ($1, $2) ON CONFLICT DO NOTHING",
		values![SECRET_KEY, fresh.as_slice()],
	)?;
	let row = sql.row(query, values![SECRET_KEY])?;
	array(row.ok_or(StoreError::Corrupt("meta"))?.get("value")?)
}

fn array(bytes: Vec<u8>) -> Result<[u8; 32]> {
	bytes.try_into().map_err(|_| StoreError::Corrupt("secret"))
}

/// Whether as many calls of the app wait as may.
pub(super) fn are_too_many(sql: &mut dyn Sql, app: &AppId) -> Result<bool> {
	let query = "SELECT COUNT(*) AS waiting FROM webhooks WHERE app = $1";
	let row = sql.row(query, values![app.as_str()])?;
	let waiting: u64 = row.ok_or(StoreError::Corrupt("webhooks"))?.get("waiting")?;
	Ok(waiting >= MAX_WAITING_CALLS.into())
}

/// The task has ended: its webhook is to be called, if it has one.
pub(super) fn insert(sql: &mut dyn Sql, task: &TaskRow, now_ms: UnixMs) -> Result<()> {
	let Some(url) = &task.terms.webhook else {
		return Ok(());
	};
	sql.execute(
		"INSERT INTO webhooks (task, app, url, created_ms, next_ms, tries) \
		 VALUES ($1, $2, $3, $4, $4, 0)",
		values![scale(&task.id), task.app.as_str(), url, stored_ms(now_ms)],
	)?;
	Ok(())
}

/// The task is removed, and with it what is still to be called.
pub(super) fn remove(sql: &mut dyn Sql, task: &[u8]) -> Result<()> {
	sql.execute("DELETE FROM webhooks WHERE task = $1", values![task])?;
	Ok(())
}

#[cfg(test)]
mod tests {
	use super::*;
	use crate::store::{migrations::migrate, Memory};

	#[test]
	fn the_calls_that_wait_are_bounded_by_app() {
		let memory = Memory::new().unwrap();
		let mut connection = memory.connect().unwrap();
		migrate(&mut connection).unwrap();
		let sql: &mut dyn Sql = &mut connection;
		let [one, other] = ["app-1", "app-2"].map(AppId::new);
		for number in 0..MAX_WAITING_CALLS {
			assert!(!are_too_many(sql, &one).unwrap());
			sql.execute(
				"INSERT INTO webhooks (task, app, url, created_ms, next_ms, tries) \
				 VALUES ($1, $2, 'https://app.example/', 0, 0, 0)",
				values![number.to_be_bytes().as_slice(), one.as_str()],
			)
			.unwrap();
		}
		assert!(are_too_many(sql, &one).unwrap());
		assert!(!are_too_many(sql, &other).unwrap());
		remove(sql, &0u32.to_be_bytes()).unwrap();
		assert!(!are_too_many(sql, &one).unwrap());
	}

	#[test]
	fn an_app_has_a_secret_of_its_own_that_changes_with_its_key() {
		let memory = Memory::new().unwrap();
		let mut connection = memory.connect().unwrap();
		migrate(&mut connection).unwrap();
		let sql: &mut dyn Sql = &mut connection;
		for (name, byte) in [("red", 1u8), ("blue", 2)] {
			sql.execute(
				"INSERT INTO apps (id, name, key_hash, created_ms) VALUES ($1, $1, $2, 0)",
				values![name, [byte; 32].as_slice()],
			)
			.unwrap();
		}
		let red = secret_by_name(sql, "red").unwrap();
		assert!(red.is_some());
		assert_eq!(red, secret_of(sql, "id", "red").unwrap());
		assert_ne!(red, secret_by_name(sql, "blue").unwrap());
		assert_eq!(secret_by_name(sql, "green").unwrap(), None);
		let update = "UPDATE apps SET key_hash = $1 WHERE id = 'red'";
		sql.execute(update, values![[3u8; 32].as_slice()]).unwrap();
		assert_ne!(red, secret_by_name(sql, "red").unwrap());
	}
}
