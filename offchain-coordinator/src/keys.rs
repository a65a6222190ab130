//! `offchain-coordinator keys`: makes, lists and revokes API keys in the store's file, also while the
//! coordinator runs.

pub mod commands;

use crate::{
	apps::{ApiKey, AppId},
	clock::UnixMs,
	coordinator,
	store::{self, StoreError},
};
use sqlx::{sqlite::SqliteConnection, Connection, Row};
use std::path::Path;

/// Longest name of an app, in bytes.
const MAX_NAME_BYTES: usize = 100;

/// A key could not be made, listed or revoked.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
	/// The store.
	#[error(transparent)]
	Store(#[from] StoreError),
	/// The data directory.
	#[error("the data directory cannot be used: {0}")]
	Disk(#[from] std::io::Error),
	/// The name.
	#[error("a name has 1 to {MAX_NAME_BYTES} bytes and no control characters")]
	Name,
	/// It has a key.
	#[error("the app {0} has a key: revoke that first")]
	HasKey(String),
	/// There is none.
	#[error("no app is called {0}, or its key was revoked before")]
	Unknown(String),
}

impl From<sqlx::Error> for KeysError {
	fn from(error: sqlx::Error) -> Self {
		Self::Store(error.into())
	}
}

/// What may differ between apps; where absent, what the coordinator sets for all.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
	/// How many of its tasks can wait.
	pub max_queued: Option<u32>,
	/// How many tasks it can submit in a minute.
	pub submits_per_minute: Option<u32>,
}

/// A line of the list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
	/// The app's name.
	pub name: String,
	/// Its id.
	pub id: String,
	/// When it got its key.
	pub created_ms: UnixMs,
	/// When the key was revoked.
	pub revoked_ms: Option<UnixMs>,
	/// How many of its tasks can wait.
	pub max_queued: Option<u32>,
	/// How many tasks it can submit in a minute.
	pub submits_per_minute: Option<u32>,
}

/// The apps in a data directory.
#[derive(Debug)]
pub struct Keys(SqliteConnection);

impl Keys {
	/// Opens the store's file, or creates it.
	pub async fn open(data_dir: &Path) -> Result<Self, KeysError> {
		tokio::fs::create_dir_all(data_dir).await?;
		let connection = match coordinator::lock(data_dir) {
			// Nobody runs here: the file is brought to this version, by this process alone.
			Ok(_lock) => store::open_file(data_dir).await?,
			Err(coordinator::Error::Disk(error)) => return Err(error.into()),
			Err(_) => SqliteConnection::connect_with(&store::options(data_dir)).await?,
		};
		Ok(Self(connection))
	}

	/// Makes a key for a new app, or for one whose key was revoked: that keeps its id, its tasks, and
	/// the limits that are not given anew.
	/// The key is nowhere else afterwards.
	pub async fn create(
		&mut self,
		name: &str,
		limits: Limits,
		now_ms: UnixMs,
	) -> Result<ApiKey, KeysError> {
		if name.is_empty() || name.len() > MAX_NAME_BYTES || name.chars().any(char::is_control) {
			return Err(KeysError::Name);
		}
		let key = ApiKey::random();
		let changed = sqlx::query(
			"INSERT INTO apps (id, name, key_hash, created_ms, max_queued, submits_per_minute) \
			 VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET \
			 key_hash = excluded.key_hash, created_ms = excluded.created_ms, revoked_ms = NULL, \
			 max_queued = COALESCE(excluded.max_queued, max_queued), \
			 submits_per_minute = COALESCE(excluded.submits_per_minute, submits_per_minute) \
			 WHERE revoked_ms IS NOT NULL",
		)
		.bind(AppId::random().as_str())
		.bind(name)
		.bind(key.hash().as_slice())
		.bind(store::stored_ms(now_ms))
		.bind(limits.max_queued)
		.bind(limits.submits_per_minute)
		.execute(&mut self.0)
		.await?
		.rows_affected();
		if changed == 0 {
			return Err(KeysError::HasKey(name.to_owned()));
		}
		Ok(key)
	}

	/// Every app, by name.
	pub async fn list(&mut self) -> Result<Vec<Entry>, KeysError> {
		let rows = sqlx::query("SELECT * FROM apps ORDER BY name")
			.fetch_all(&mut self.0)
			.await?;
		let entries = rows.iter().map(|row| {
			Ok(Entry {
				name: row.try_get("name")?,
				id: row.try_get("id")?,
				created_ms: store::read_ms(row.try_get("created_ms")?),
				revoked_ms: row
					.try_get::<Option<i64>, _>("revoked_ms")?
					.map(store::read_ms),
				max_queued: row.try_get("max_queued")?,
				submits_per_minute: row.try_get("submits_per_minute")?,
			})
		});
		entries.collect()
	}

	/// Revokes an app's key. Its tasks go on; a running coordinator refuses the key within seconds.
	pub async fn revoke(&mut self, name: &str, now_ms: UnixMs) -> Result<(), KeysError> {
		let changed =
			sqlx::query("UPDATE apps SET revoked_ms = ? WHERE name = ? AND revoked_ms IS NULL")
				.bind(store::stored_ms(now_ms))
				.bind(name)
				.execute(&mut self.0)
				.await?
				.rows_affected();
		if changed == 0 {
			return Err(KeysError::Unknown(name.to_owned()));
		}
		Ok(())
	}

	/// Closes the file.
	pub async fn close(self) -> Result<(), KeysError> {
		Ok(self.0.close().await?)
	}
}
