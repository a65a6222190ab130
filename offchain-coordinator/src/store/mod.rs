//! What must survive: tasks, attempts with the proofs of their draws, results, models, and what each
//! miner has done. The logic is plain functions over a connection ([`sql::Sql`]); what was committed
//! survives the process's death and the machine's.
//!
//! All writes go through one writer that commits those that are waiting together, so that one sync to
//! disk pays for many. A write is atomic: it happens whole or not at all, and its caller hears of it
//! after the commit. The `after` of a write runs in the order of commits, which is how the tables in
//! memory never fall behind or get ahead of the store.
//!
//! The writer and the readers are threads of their own, and callers wait without holding one up. For
//! tests that must run the same way each time a store can do its work in the caller instead
//! ([`Store::open_inline`]).

mod apps;
mod books;
mod history;
mod journal;
mod ledger;
mod migrations;
mod operations;
mod peers;
mod postgres;
#[cfg(test)]
#[path = "../../tests/support/postgres.rs"]
mod postgres_server;
mod readers;
mod retention;
mod rows;
pub mod sql;
mod sqlite;
mod tasks;
#[cfg(test)]
mod tests;
mod webhooks;
mod writer;

pub(crate) use books::{balances, books};
pub use books::{Books, Costs, EarningsRow, PurseRow};
pub use history::Past;
pub(crate) use journal::entries;
pub use journal::{Booked, Of};
pub(crate) use ledger::{balance, credit};
pub use ledger::{ChannelRow, Credit, Earned, EraRow, EraState, Short, TakenVoucher};
pub use peers::{Change, News, Notice, Taken};
pub use postgres::PASSWORD_VARIABLE;
pub use retention::{Removed, BATCH as RETENTION_BATCH};
pub(crate) use rows::{read_ms, stored_ms};
pub use rows::{AttemptRow, KnownModel, MinerRow, ResultRow, TaskRow};
pub use sqlite::Memory;
pub use tasks::{Extra, NewTask, Open, Submitted, Transition};
pub(crate) use webhooks::secret_by_name;
pub use webhooks::{WebhookRow, MAX_WAITING_CALLS};

use self::postgres::Postgres;
use crate::{
	clock::{Clock, UnixMs},
	metrics::Commits,
	state::Refusal,
};
use codec::Encode;
use cuckoo_coordinator_api::task::ModelInfo;
use cuckoo_primitives::{AccountId, Balance, WorkerId, H256};
use futures::future::BoxFuture;
use peers::Inbox;
use readers::Readers;
use sql::{scale, values, Sql};
use sqlite::Sqlite;
use std::{
	path::{Path, PathBuf},
	sync::{atomic::AtomicBool, Arc, Mutex, PoisonError},
};
use writer::{Job, Writer};

/// The file in the data directory.
pub const FILE_NAME: &str = "coordinator.sqlite";

/// How many can read at once.
const READERS: usize = 4;

/// The states of tasks that have not ended, as the indices over them have it.
macro_rules! open_states {
	() => {
		"state IN ('queued', 'assigned', 'running', 'submitted')"
	};
}
pub(crate) use open_states;

/// The states of tasks that ended, as the index over them has it.
macro_rules! ended_states {
	() => {
		"state IN ('done', 'failed', 'cancelled', 'expired')"
	};
}
pub(crate) use ended_states;

/// Something is wrong with the store.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
	/// The database says no.
	#[error("the store failed: {0}")]
	Database(Arc<str>),
	/// The tables cannot be brought to the present version, or are of a newer one.
	#[error("the store cannot be brought to this version: {0}")]
	Migration(Arc<str>),
	/// A thread could not be started.
	#[error("the store has no thread to work on: {0}")]
	Thread(Arc<std::io::Error>),
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
	/// The database cannot be reached. Of what was to be written nothing has happened.
	#[error("the store's database cannot be reached: {0}")]
	Lost(Arc<str>),
	/// The database went away in the middle of a commit, and nobody waits for it any longer.
	#[error("the store's database went away: whether this was written is not known")]
	Unresolved,
	/// Another process took this one for dead.
	#[error("another process has taken over what this one had: it must start anew")]
	TakenOver,
}

impl From<std::io::Error> for StoreError {
	fn from(error: std::io::Error) -> Self {
		Self::Thread(Arc::new(error))
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

/// Where a store is.
#[derive(Clone, Debug)]
pub enum Place {
	/// In a file of SQLite in this directory. One process uses it.
	Directory(PathBuf),
	/// In a database of PostgreSQL, which several processes can share.
	Postgres(Box<::postgres::Config>),
	/// In memory, for tests, and done in the caller: see [`Store::open_inline`].
	Memory(Arc<Memory>),
}

impl Place {
	/// The place that `url` names: `sqlite` is in the data directory.
	pub fn new(url: &str, data_dir: &Path) -> std::result::Result<Self, String> {
		match url {
			SQLITE => Ok(Self::Directory(data_dir.to_owned())),
			url => Ok(Self::Postgres(Box::new(postgres::parse_url(url)?))),
		}
	}

	/// Opens a connection to write.
	pub(crate) fn connect(&self) -> Result<Box<dyn Sql>> {
		match self {
			Self::Directory(directory) => Ok(Box::new(Sqlite::open(&directory.join(FILE_NAME))?)),
			Self::Postgres(config) => Ok(Box::new(Postgres::connect(config, Arc::default())?)),
			Self::Memory(memory) => Ok(Box::new(memory.connect()?)),
		}
	}

	/// Opens a connection to a store that is there and of the present version, also beside a coordinator
	/// that runs on it.
	pub(crate) fn connect_beside(&self) -> Result<Box<dyn Sql>> {
		if let Self::Directory(directory) = self {
			if !directory.join(FILE_NAME).exists() {
				let text = format!(
					"there is no {FILE_NAME} in {}: name the coordinator's folder by --data-dir",
					directory.display()
				);
				return Err(StoreError::Database(text.into()));
			}
		}
		let mut connection = self.connect()?;
		migrations::check(&mut *connection)?;
		Ok(connection)
	}

	/// Opens a connection to write, and brings the store to the present version. On SQLite, only for
	/// whoever has the data directory to itself.
	pub(crate) fn connect_and_migrate(&self) -> Result<Box<dyn Sql>> {
		let mut connection = self.connect()?;
		migrations::migrate(&mut *connection)?;
		Ok(connection)
	}
}

/// The address of a store that is a file in the data directory.
pub const SQLITE: &str = "sqlite";

/// An open store.
#[derive(Clone, Debug)]
pub struct Store {
	engine: Arc<Engine>,
	commits: Commits,
	instance: Option<i64>,
	inbox: Arc<Inbox>,
	pauses: Option<Pauses>,
}

/// Waits before and after an operation.
#[derive(Clone)]
struct Pauses(Arc<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>);

impl std::fmt::Debug for Pauses {
	fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
		f.write_str("Pauses")
	}
}

/// Where the work is done.
enum Engine {
	/// On threads of its own.
	Threads { readers: Readers, writer: Writer },
	/// In the caller, which holds the others up meanwhile. `None` once it is closed.
	Inline(Mutex<Option<Box<dyn Sql>>>),
}

impl std::fmt::Debug for Engine {
	fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
		f.write_str(match self {
			Self::Threads { .. } => "Threads",
			Self::Inline(_) => "Inline",
		})
	}
}

/// The connections of a store, before its threads are started.
struct Connections {
	writer: Box<dyn Sql>,
	readers: Vec<Box<dyn Sql>>,
	instance: Option<i64>,
	closing: Arc<AtomicBool>,
}

impl Connections {
	fn open(place: &Place) -> Result<Self> {
		let closing = Arc::<AtomicBool>::default();
		match place {
			Place::Directory(_) | Place::Memory(_) => {
				let writer = place.connect_and_migrate()?;
				let read = |_| match place {
					Place::Directory(directory) => {
						let file = directory.join(FILE_NAME);
						Ok(Box::new(Sqlite::open_to_read(&file)?) as Box<dyn Sql>)
					},
					other => other.connect(),
				};
				let readers = (0..READERS).map(read).collect::<Result<_>>()?;
				Ok(Self {
					writer,
					readers,
					instance: None,
					closing,
				})
			},
			Place::Postgres(config) => {
				let connect = || Postgres::connect(config, closing.clone());
				let mut writer = connect()?;
				migrations::migrate(&mut writer)?;
				let instance = writer.join(stored_ms(Clock::System.now_ms()))?;
				let read = |_| Ok(Box::new(connect()?) as Box<dyn Sql>);
				let readers = (0..READERS).map(read).collect::<Result<_>>()?;
				Ok(Self {
					writer: Box::new(writer),
					readers,
					instance: Some(instance),
					closing,
				})
			},
		}
	}
}

impl Store {
	/// Opens the store in this directory, or creates it, and brings it to the present version.
	pub async fn open(directory: &Path) -> Result<Self> {
		Self::open_at(&Place::Directory(directory.to_owned())).await
	}

	/// Opens the store in this place, or creates it, and brings it to the present version.
	pub async fn open_at(place: &Place) -> Result<Self> {
		if let Place::Memory(memory) = place {
			return Self::open_inline(memory);
		}
		let at = place.clone();
		let opened = tokio::task::spawn_blocking(move || Connections::open(&at)).await;
		let opened = opened.map_err(|_| StoreError::Closed)??;
		let commits = Commits::default();
		let inbox = Arc::<Inbox>::default();
		if let (Place::Postgres(config), Some(own)) = (place, opened.instance) {
			let (config, closing) = ((**config).clone(), opened.closing.clone());
			peers::listen(config, own, inbox.clone(), closing)?;
		}
		let engine = Engine::Threads {
			readers: Readers::spawn(opened.readers)?,
			writer: Writer::spawn(opened.writer, commits.clone(), opened.closing)?,
		};
		Ok(Self {
			engine: Arc::new(engine),
			commits,
			instance: opened.instance,
			inbox,
			pauses: None,
		})
	}

	/// Opens a store that is there and of the present version, also beside a coordinator that runs on it:
	/// as an outsider, which has no tasks.
	pub async fn open_beside(place: &Place) -> Result<Self> {
		let at = place.clone();
		let connect = move || Ok([at.connect_beside()?, at.connect_beside()?]);
		let opened: Result<[Box<dyn Sql>; 2]> = match tokio::task::spawn_blocking(connect).await {
			Ok(opened) => opened,
			Err(_) => Err(StoreError::Closed),
		};
		let [writer, reader] = opened?;
		let commits = Commits::default();
		let engine = Engine::Threads {
			readers: Readers::spawn(vec![reader])?,
			writer: Writer::spawn(writer, commits.clone(), Arc::default())?,
		};
		Ok(Self {
			engine: Arc::new(engine),
			commits,
			instance: None,
			inbox: Arc::default(),
			pauses: None,
		})
	}

	/// Opens a store in memory that does its work in the caller, in the order of the calls and without
	/// threads: each write is a commit of its own, and no call ever waits.
	pub fn open_inline(memory: &Memory) -> Result<Self> {
		let mut connection = memory.connect()?;
		migrations::migrate(&mut connection)?;
		Ok(Self {
			engine: Arc::new(Engine::Inline(Mutex::new(Some(Box::new(connection))))),
			commits: Commits::default(),
			instance: None,
			inbox: Arc::default(),
			pauses: None,
		})
	}

	/// Lets every operation take time, as one that is done by threads does: after a write,
	/// since writes keep their order, and before a read. For simulations.
	pub fn with_pauses(
		self,
		pause: impl Fn() -> BoxFuture<'static, ()> + Send + Sync + 'static,
	) -> Self {
		Self {
			pauses: Some(Pauses(Arc::new(pause))),
			..self
		}
	}

	async fn pause(&self) {
		if let Some(Pauses(pause)) = &self.pauses {
			pause().await;
		}
	}

	/// Waits until all writes that were accepted are committed, and closes the database.
	pub async fn close(&self) {
		match &*self.engine {
			Engine::Threads { readers, writer } => {
				// The writer last: only it can fold the write-ahead log into the file.
				readers.close().await;
				writer.close().await;
			},
			Engine::Inline(connection) => *lock(connection) = None,
		}
	}

	/// What the writer measures.
	pub fn commits(&self) -> &Commits {
		&self.commits
	}

	/// Whether nothing can be written any more.
	pub fn is_closed(&self) -> bool {
		match &*self.engine {
			Engine::Threads { writer, .. } => writer.is_closed(),
			Engine::Inline(connection) => lock(connection).is_none(),
		}
	}

	/// Runs `work` in a transaction; once that is committed runs `after`, in the order of commits, and
	/// returns. If the caller goes away, the write and its `after` still happen.
	///
	/// `work` changes nothing but the database: when its transaction has to be run again, so is it.
	async fn write<T, W, A>(&self, work: W, after: A) -> Result<T>
	where
		T: Send + 'static,
		W: Fn(&mut dyn Sql) -> Result<T> + Send + 'static,
		A: FnOnce(&T) + Send + 'static,
	{
		let (job, outcome) = writer::write(work, after);
		match &*self.engine {
			Engine::Threads { writer, .. } => writer.send(job).await?,
			Engine::Inline(connection) => self.commit_inline(connection, job)?,
		}
		let outcome = outcome.await.map_err(|_| StoreError::Closed)?;
		self.pause().await;
		outcome
	}

	fn commit_inline(
		&self,
		connection: &Mutex<Option<Box<dyn Sql>>>,
		job: Box<dyn Job>,
	) -> Result<()> {
		let mut connection = lock(connection);
		let sql = connection.as_mut().ok_or(StoreError::Closed)?;
		writer::commit(&mut **sql, vec![job], &self.commits);
		Ok(())
	}

	/// Runs `work`, which only reads.
	async fn read<T: Send + 'static>(
		&self,
		work: impl Fn(&mut dyn Sql) -> Result<T> + Send + 'static,
	) -> Result<T> {
		self.pause().await;
		match &*self.engine {
			Engine::Threads { readers, .. } => readers.read(work).await,
			Engine::Inline(connection) => {
				let mut connection = lock(connection);
				work(&mut **connection.as_mut().ok_or(StoreError::Closed)?)
			},
		}
	}

	/// The rows of a query as something else.
	async fn rows<T: Send + 'static>(
		&self,
		sql: &'static str,
		values: Vec<sql::Value>,
		read: fn(&sql::Row) -> Result<T>,
	) -> Result<Vec<T>> {
		let work = move |connection: &mut dyn Sql| connection.rows(sql, &values, read);
		self.read(work).await
	}

	/// The first row of a query as something else.
	async fn row<T: Send + 'static>(
		&self,
		sql: &'static str,
		values: Vec<sql::Value>,
		read: fn(&sql::Row) -> Result<T>,
	) -> Result<Option<T>> {
		let work = move |connection: &mut dyn Sql| {
			connection.row(sql, &values)?.as_ref().map(read).transpose()
		};
		self.read(work).await
	}

	/// Runs one statement as a write.
	async fn execute(&self, sql: &'static str, values: Vec<sql::Value>) -> Result<()> {
		let work = move |connection: &mut dyn Sql| connection.execute(sql, &values).map(|_| ());
		self.write(work, |()| {}).await
	}

	/// Notes the chain and the operator at first use, and refuses others later.
	pub async fn bind(&self, genesis: H256, operator: AccountId) -> Result<()> {
		let values = [
			("genesis", "the chain with genesis", genesis.0.to_vec()),
			("operator", "the operator", operator.encode()),
		];
		let work = move |connection: &mut dyn Sql| {
			for (key, what, given) in &values {
				bind_value(connection, key, what, given)?;
			}
			Ok(())
		};
		self.write(work, |()| {}).await
	}

	/// Every model that was ever declared, first seen first.
	pub async fn models(&self) -> Result<Vec<KnownModel>> {
		let query = "SELECT * FROM models ORDER BY first_seen_ms, hash";
		self.rows(query, vec![], KnownModel::from_row).await
	}

	/// Notes what is known of a model.
	pub async fn put_model(&self, info: ModelInfo, stake: Balance, now_ms: UnixMs) -> Result<()> {
		let text = serde_json::to_string(&info).map_err(|_| StoreError::Corrupt("model"))?;
		let values = values![scale(&info.hash), &text, scale(&stake), stored_ms(now_ms)];
		let insert =
			"INSERT INTO models (hash, info, stake, first_seen_ms) VALUES ($1, $2, $3, $4) \
			ON CONFLICT (hash) DO UPDATE SET info = excluded.info, stake = excluded.stake";
		self.execute(insert, values.to_vec()).await
	}

	/// What every miner has done here.
	pub async fn miners(&self) -> Result<Vec<MinerRow>> {
		self.rows("SELECT * FROM miners", vec![], MinerRow::from_row)
			.await
	}

	/// Notes which worker a miner said hello with.
	pub async fn put_miner_worker(&self, miner: AccountId, worker: WorkerId) -> Result<()> {
		let insert = "INSERT INTO miners (account, worker) VALUES ($1, $2) \
			ON CONFLICT (account) DO UPDATE SET worker = excluded.worker \
			WHERE miners.worker IS DISTINCT FROM excluded.worker";
		self.execute(insert, vec![scale(&miner), scale(&worker)])
			.await
	}

	/// The miner that once said hello with this worker: the chain forgets the workers of those that
	/// retired.
	pub async fn miner_by_worker(&self, worker: &WorkerId) -> Result<Option<AccountId>> {
		let query = "SELECT account FROM miners WHERE worker = $1 LIMIT 1";
		self.row(query, vec![scale(worker)], |row| row.decode("account"))
			.await
	}
}

fn bind_value(sql: &mut dyn Sql, key: &str, what: &'static str, given: &[u8]) -> Result<()> {
	sql.execute(
		"INSERT INTO meta (key, value) VALUES ($1, $2) ON CONFLICT DO NOTHING",
		values![key, given],
	)?;
	let row = sql.row("SELECT value FROM meta WHERE key = $1", values![key])?;
	let stored: Vec<u8> = row.ok_or(StoreError::Corrupt("meta"))?.get("value")?;
	if stored != given {
		let text = |bytes: &[u8]| format!("0x{}", hex::encode(bytes));
		return Err(StoreError::Foreign {
			what,
			stored: text(&stored),
			given: text(given),
		});
	}
	Ok(())
}

/// Nothing is left half done when a holder panics.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
	mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
