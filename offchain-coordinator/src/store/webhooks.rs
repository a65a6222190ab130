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
