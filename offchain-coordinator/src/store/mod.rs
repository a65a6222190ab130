//! What must survive: tasks, attempts with the proofs of their draws, results, models, and what each
//! miner has done. SQLite in WAL mode with `synchronous = FULL`: what was committed survives the
//! process's death and the machine's.
//!
//! All writes go through one writer that commits those that are waiting together, so that one sync to
//! disk pays for many. A write is atomic: it happens whole or not at all, and its caller hears of it
//! after the commit. The `after` of a write runs in the order of commits, which is how the tables in
//! memory never fall behind or get ahead of the store.

mod apps;
mod history;
mod operations;
mod retention;
mod rows;
mod tasks;
mod writer;

pub use history::Past;
pub use retention::{Removed, BATCH as RETENTION_BATCH};
pub(crate) use rows::{read_ms, stored_ms};
pub use rows::{AttemptRow, KnownModel, MinerRow, ResultRow, TaskRow};
pub use tasks::{Extra, NewTask, Open, Submitted, Transition};

use crate::{clock::UnixMs, metrics::Commits, state::Refusal};
use codec::Encode;
use cuckoo_coordinator_api::task::ModelInfo;
use cuckoo_primitives::{AccountId, Balance, WorkerId, H256};
use rows::decode;
use sqlx::{
	sqlite::{
		SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePoolOptions,
		SqliteSynchronous,
	},
	ConnectOptions, Connection, Row, SqlitePool,
};
use std::{path::Path, sync::Arc, time::Duration};
use writer::{job, Writer};

/// The file in the data directory.
pub const FILE_NAME: &str = "coordinator.sqlite";

/// How many can read at once.
const READERS: u32 = 8;

/// How long a connection waits for another process (a backup) to let go of the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Something is wrong with the store.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
	/// SQLite says no.
	#[error("the store failed: {0}")]
	Database(Arc<sqlx::Error>),
	/// The embedded migrations do not fit the file.
	#[error("the store cannot be brought to this version: {0}")]
	Migration(Arc<sqlx::migrate::MigrateError>),
	/// What is stored is not what this software writes.
	#[error("the store holds a broken {0}")]
	Corrupt(&'static str),
	/// The store belongs to another chain or operator.
	#[error("the store belongs to {what} {stored}, not to {given}: use another data directory")]
	Foreign {
		/// What differs.
		what: &'static str,
		/// Whose it is.
		stored: String,
		/// Whose it was taken for.
		given: String,
	},
	/// The writer has stopped.
	#[error("the store is closed")]
	Closed,
}

impl From<sqlx::Error> for StoreError {
	fn from(error: sqlx::Error) -> Self {
		Self::Database(Arc::new(error))
	}
}

/// The result of reading or writing.
pub type Result<T> = std::result::Result<T, StoreError>;

/// The result of a transition: it happened, or it was refused, or there is no such task.
pub type TransitionResult = std::result::Result<Transition, TransitionRefused>;

/// Why a transition did not happen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TransitionRefused {
	/// There is no such task.
	NoTask,
	/// The task's stage does not allow it.
	By(Refusal),
}

/// An open store.
#[derive(Clone, Debug)]
pub struct Store {
	readers: SqlitePool,
	writer: Writer,
	commits: Commits,
}

/// How every connection to the store in this directory is opened.
pub(crate) fn options(directory: &Path) -> SqliteConnectOptions {
	SqliteConnectOptions::new()
		.filename(directory.join(FILE_NAME))
		.create_if_missing(true)
		.journal_mode(SqliteJournalMode::Wal)
		.synchronous(SqliteSynchronous::Full)
		.foreign_keys(true)
		.busy_timeout(BUSY_TIMEOUT)
		.disable_statement_logging()
}

/// Opens the file or creates it, and brings it to the present version.
pub(crate) async fn open_file(directory: &Path) -> Result<SqliteConnection> {
	let mut connection = SqliteConnection::connect_with(&options(directory)).await?;
	sqlx::migrate!("./migrations")
		.run(&mut connection)
		.await
		.map_err(|error| StoreError::Migration(Arc::new(error)))?;
	Ok(connection)
}

impl Store {
	/// Opens the store in this directory, or creates it, and brings it to the present version.
	pub async fn open(directory: &Path) -> Result<Self> {
		let connection = open_file(directory).await?;
		let readers = SqlitePoolOptions::new()
			.max_connections(READERS)
			.connect_with(options(directory).read_only(true).create_if_missing(false))
			.await?;
		let commits = Commits::default();
		Ok(Self {
			readers,
			writer: Writer::spawn(connection, commits.clone()),
			commits,
		})
	}

	/// Waits until all writes that were accepted are committed, and closes the file.
	pub async fn close(&self) {
		// The writer last: only it can fold the write-ahead log into the file.
		self.readers.close().await;
		self.writer.close().await;
	}

	/// What the writer measures.
	pub fn commits(&self) -> &Commits {
		&self.commits
	}

	/// Whether nothing can be written any more.
	pub fn is_closed(&self) -> bool {
		self.writer.is_closed()
	}

	/// Notes the chain and the operator at first use, and refuses others later.
	pub async fn bind(&self, genesis: H256, operator: AccountId) -> Result<()> {
		let values = [
			(
				"genesis",
				"the chain with genesis",
				genesis.as_bytes().to_vec(),
			),
			("operator", "the operator", operator.encode()),
		];
		let work = job(move |connection| {
			Box::pin(async move {
				for (key, what, given) in values {
					sqlx::query("INSERT OR IGNORE INTO meta (key, value) VALUES (?, ?)")
						.bind(key)
						.bind(&given)
						.execute(&mut *connection)
						.await?;
					let stored: Vec<u8> =
						sqlx::query_scalar("SELECT value FROM meta WHERE key = ?")
							.bind(key)
							.fetch_one(&mut *connection)
							.await?;
					if stored != given {
						let text = |bytes| format!("0x{}", hex::encode(bytes));
						return Err(StoreError::Foreign {
							what,
							stored: text(stored),
							given: text(given),
						});
					}
				}
				Ok(())
			})
		});
		self.writer.write(work, |()| {}).await
	}

	/// Every model that was ever declared, first seen first.
	pub async fn models(&self) -> Result<Vec<KnownModel>> {
		let rows = sqlx::query("SELECT * FROM models ORDER BY first_seen_ms, hash")
			.fetch_all(&self.readers)
			.await?;
		rows.iter().map(KnownModel::from_row).collect()
	}

	/// Notes what is known of a model.
	pub async fn put_model(&self, info: ModelInfo, stake: Balance, now_ms: UnixMs) -> Result<()> {
		let text = serde_json::to_string(&info).map_err(|_| StoreError::Corrupt("model"))?;
		let work = job(move |connection| {
			Box::pin(async move {
				sqlx::query(
					"INSERT INTO models (hash, info, stake, first_seen_ms) VALUES (?, ?, ?, ?) \
					 ON CONFLICT (hash) DO UPDATE SET info = excluded.info, stake = excluded.stake",
				)
				.bind(info.hash.as_bytes())
				.bind(text)
				.bind(stake.encode())
				.bind(stored_ms(now_ms))
				.execute(connection)
				.await?;
				Ok(())
			})
		});
		self.writer.write(work, |()| {}).await
	}

	/// What every miner has done here.
	pub async fn miners(&self) -> Result<Vec<MinerRow>> {
		let rows = sqlx::query("SELECT * FROM miners")
			.fetch_all(&self.readers)
			.await?;
		rows.iter().map(MinerRow::from_row).collect()
	}

	/// Notes which worker a miner said hello with.
	pub async fn put_miner_worker(&self, miner: AccountId, worker: WorkerId) -> Result<()> {
		let work = job(move |connection| {
			Box::pin(async move {
				sqlx::query(
					"INSERT INTO miners (account, worker) VALUES (?, ?) \
					 ON CONFLICT (account) DO UPDATE SET worker = excluded.worker \
					 WHERE worker IS NOT excluded.worker",
				)
				.bind(miner.encode())
				.bind(worker.encode())
				.execute(connection)
				.await?;
				Ok(())
			})
		});
		self.writer.write(work, |()| {}).await
	}

	/// The miner that once said hello with this worker: the chain forgets the workers of those that
	/// retired.
	pub async fn miner_by_worker(&self, worker: &WorkerId) -> Result<Option<AccountId>> {
		let row = sqlx::query("SELECT account FROM miners WHERE worker = ? LIMIT 1")
			.bind(worker.encode())
			.fetch_optional(&self.readers)
			.await?;
		row.map(|row| decode(&row.try_get::<Vec<u8>, _>("account")?, "account"))
			.transpose()
	}
}
