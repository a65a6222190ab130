//! PostgreSQL, which several processes can share.
//!
//! **Turns.** A transaction that writes begins by taking one advisory lock, so that the writers of all
//! processes take turns: what they commit has one order, as in SQLite, and they cannot deadlock. A turn
//! is one group commit, so that it costs a sync to disk however many writes it holds.
//!
//! **Instances.** Each process that serves has a row in `instances`, and its writer's session holds an
//! advisory lock with the row's number, which the database frees when the process dies. Each of its
//! turns counts up the row's `turns`. After a connection broke during a commit, that tells whether it
//! happened; and where the row says that the process was taken for dead, it can commit nothing more.

use super::{
	sql::{values, Dialect, Row, Sql, Value},
	Result, StoreError,
};
use bytes::BytesMut;
use postgres::{
	types::{to_sql_checked, FromSql, IsNull, ToSql, Type},
	Client, Config, NoTls, Statement,
};
use std::{
	collections::HashMap,
	error::Error,
	sync::{
		atomic::{AtomicBool, Ordering},
		Arc,
	},
	thread::sleep,
	time::{Duration, Instant},
};

/// The advisory locks of coordinators: this and the number of an instance, or [`TURN`].
pub(super) const LOCKS: i32 = 0x0c0c_0000;

/// The lock of whoever writes; instances are numbered from 1.
const TURN: i32 = 0;

/// Where changed tasks are told.
pub(super) const CHANNEL: &str = "cuckoo_tasks";

/// Most bytes of a notification; PostgreSQL takes less than 8000.
const MAX_NOTICE: usize = 7_900;

/// How long a call tries to reach the database before it fails.
const PATIENCE: Duration = Duration::from_secs(5);

/// The first and the longest pause between two tries.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// What every session is set to: a process that froze or lost its network loses its session and with it
/// its locks, and no statement takes for ever.
const SESSION: &str = "SET client_min_messages = warning; SET synchronous_commit = on; \
	SET statement_timeout = '60s'; SET idle_in_transaction_session_timeout = '15s'; \
	SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3";

/// Reads the address of a database. A password does not belong into it: addresses are shown.
pub fn parse_url(url: &str) -> std::result::Result<Config, String> {
	let scheme = url.starts_with("postgres://") || url.starts_with("postgresql://");
	if !scheme {
		return Err("must be `sqlite`, or postgres://USER@HOST:PORT/DATABASE".into());
	}
	let config: Config = url
		.parse()
		.map_err(|error| format!("is no address of a PostgreSQL database: {}", told(&error)))?;
	if config.get_password().is_some() {
		let message = "must not hold a password: give it in the environment variable";
		return Err(format!("{message} {PASSWORD_VARIABLE}"));
	}
	Ok(config)
}

/// The environment variable with the database's password.
pub const PASSWORD_VARIABLE: &str = "CUCKOO_STORE_PASSWORD";

/// A connection, which is made anew when it broke.
pub struct Postgres {
	config: Config,
	client: Option<Client>,
	prepared: HashMap<&'static str, Prepared>,
	member: Option<Member>,
	/// Whether a statement of the present transaction failed.
	failed: bool,
	/// What is told with the commit.
	notices: Vec<String>,
	/// Nobody waits any longer for a database that is away.
	closing: Arc<AtomicBool>,
}

struct Prepared {
	statement: Statement,
	columns: Arc<[String]>,
}

/// What makes a connection the one of its process's writer.
struct Member {
	number: i64,
	turns: i64,
}

impl Postgres {
	/// Connects.
	pub fn connect(config: &Config, closing: Arc<AtomicBool>) -> Result<Self> {
		let mut config = config.clone();
		config
			.application_name("cuckoo-coordinator")
			.connect_timeout(PATIENCE)
			.tcp_user_timeout(Duration::from_secs(20))
			.keepalives_idle(Duration::from_secs(10));
		if let Ok(password) = std::env::var(PASSWORD_VARIABLE) {
			config.password(password);
		}
		let mut this = Self {
			config,
			client: None,
			prepared: HashMap::new(),
			member: None,
			failed: false,
			notices: Vec::new(),
			closing,
		};
		this.ready()?;
		Ok(this)
	}

	/// Makes this the connection of a process's writer, under a new number.
	pub fn join(&mut self, now_ms: i64) -> Result<i64> {
		let insert = "INSERT INTO instances (started_ms) VALUES ($1) RETURNING number";
		let row = (self as &mut dyn Sql).row(insert, values![now_ms])?;
		let number = row.ok_or(StoreError::Corrupt("instance"))?.get("number")?;
		self.member = Some(Member { number, turns: 0 });
		self.hold()?;
		Ok(number)
	}

	/// A client to listen with.
	pub fn into_client(mut self) -> Result<Client> {
		self.client.take().ok_or_else(away)
	}

	fn try_connect(&mut self) -> Result<()> {
		let mut client = self.config.connect(NoTls).map_err(|error| {
			let text = told(&error);
			// To be refused as a user is no matter of time.
			match error.as_db_error().map(|error| error.code().code()) {
				Some(code) if code.starts_with("28") || code.starts_with("3D") => {
					StoreError::Database(text.into())
				},
				_ => StoreError::Lost(text.into()),
			}
		})?;
		let set = client.batch_execute(SESSION);
		self.client = Some(client);
		let ready = set
			.map_err(|error| self.failure(&error))
			.and_then(|()| self.hold());
		if ready.is_err() {
			self.client = None;
		}
		ready
	}

	/// Takes the lock of this process's instance. Where the former session of this process still has
	/// it, this waits until that has ended, and with it everything that it had begun.
	fn hold(&mut self) -> Result<()> {
		let Some(member) = &self.member else {
			return Ok(());
		};
		let number = member.number;
		self.batch(&format!("SELECT pg_advisory_lock({LOCKS}, {number})"))
	}

	fn try_begin(&mut self) -> Result<()> {
		let begin = format!("BEGIN; SELECT pg_advisory_xact_lock({LOCKS}, {TURN})");
		self.batch(&begin)?;
		let Some(Member { number, turns }) = self.member else {
			return Ok(());
		};
		let counted = self.execute(
			"UPDATE instances SET turns = $1 WHERE number = $2 AND dead_ms IS NULL",
			values![turns + 1, number],
		)?;
		if counted == 0 {
			self.rollback();
			return Err(StoreError::TakenOver);
		}
		Ok(())
	}

	/// Whether the commit that was under way when the connection broke has happened.
	fn resolve(&mut self) -> Result<()> {
		let Some(Member { number, turns }) = self.member else {
			return Err(StoreError::Unresolved);
		};
		tracing::warn!("the database went away during a commit: asking it whether that happened");
		while !self.closing.load(Ordering::SeqCst) {
			let query = "SELECT turns FROM instances WHERE number = $1";
			let found = self
				.ready()
				.and_then(|()| (self as &mut dyn Sql).row(query, values![number]));
			match found {
				Ok(Some(row)) if row.get::<i64>("turns")? > turns => return Ok(()),
				Ok(Some(_)) => return Err(away()),
				Ok(None) => return Err(StoreError::Unresolved),
				Err(StoreError::Lost(_)) => {},
				Err(error) => {
					tracing::error!(%error, "the database does not say");
					sleep(PAUSES.1);
				},
			}
		}
		Err(StoreError::Unresolved)
	}

	fn run<T>(
		&mut self,
		sql: &'static str,
		work: impl FnOnce(&mut Client, &Prepared) -> std::result::Result<T, postgres::Error>,
	) -> Result<T> {
		let client = self.client.as_mut().ok_or_else(away)?;
		if !self.prepared.contains_key(sql) {
			let statement = match client.prepare(sql) {
				Ok(statement) => statement,
				Err(error) => return Err(self.failure(&error)),
			};
			let names = statement.columns().iter();
			let columns = names.map(|column| column.name().to_owned()).collect();
			let prepared = Prepared { statement, columns };
			self.prepared.insert(sql, prepared);
		}
		let Some(prepared) = self.prepared.get(sql) else {
			return Err(StoreError::Corrupt("statement"));
		};
		work(client, prepared).map_err(|error| self.failure(&error))
	}

	/// Notes a failure. One that is not the statement's is the connection's.
	fn failure(&mut self, error: &postgres::Error) -> StoreError {
		self.failed = true;
		let fatal =
			|error: &postgres::error::DbError| matches!(error.severity(), "FATAL" | "PANIC");
		if error.as_db_error().is_some_and(|error| !fatal(error)) {
			return StoreError::Database(told(error).into());
		}
		self.client = None;
		self.prepared.clear();
		StoreError::Lost(told(error).into())
	}
}

fn away() -> StoreError {
	StoreError::Lost("there is no connection".into())
}

/// An error with everything behind it: by itself it says little.
fn told(error: &postgres::Error) -> String {
	let mut text = error.to_string();
	let mut source = error.source();
	while let Some(error) = source {
		let more = error.to_string();
		if !text.contains(&more) {
			text = format!("{text}: {more}");
		}
		source = error.source();
	}
	text
}

impl Sql for Postgres {
	fn dialect(&self) -> Dialect {
		Dialect::Postgres
	}

	fn execute(&mut self, sql: &'static str, values: &[Value]) -> Result<u64> {
		let values = parameters(values);
		self.run(sql, |client, prepared| {
			client.execute(&prepared.statement, &values)
		})
	}

	fn query(&mut self, sql: &'static str, values: &[Value]) -> Result<Vec<Row>> {
		let values = parameters(values);
		self.run(sql, |client, prepared| {
			let rows = client.query(&prepared.statement, &values)?;
			let row = |row: &postgres::Row| {
				let values = (0..row.len()).map(|place| row.try_get(place));
				let values = values.collect::<std::result::Result<_, _>>()?;
				Ok(Row::new(prepared.columns.clone(), values))
			};
			rows.iter().map(row).collect()
		})
	}

	fn batch(&mut self, sql: &str) -> Result<()> {
		let client = self.client.as_mut().ok_or_else(away)?;
		match client.batch_execute(sql) {
			Ok(()) => {
				// In a transaction that has failed only its end succeeds, or that of a savepoint.
				self.failed = false;
				Ok(())
			},
			Err(error) => Err(self.failure(&error)),
		}
	}

	fn ready(&mut self) -> Result<()> {
		let start = Instant::now();
		let mut pause = PAUSES.0;
		while self.client.is_none() {
			match self.try_connect() {
				Err(StoreError::Lost(error)) => {
					let closing = self.closing.load(Ordering::SeqCst);
					if closing || start.elapsed() + pause > PATIENCE {
						return Err(StoreError::Lost(error));
					}
				},
				connected => return connected,
			}
			sleep(pause);
			pause = (pause * 2).min(PAUSES.1);
		}
		Ok(())
	}

	fn begin(&mut self) -> Result<()> {
		self.notices.clear();
		self.ready()?;
		let begun = match self.try_begin() {
			// It may have broken long ago, when nobody used it.
			Err(StoreError::Lost(_)) => {
				self.ready()?;
				self.try_begin()
			},
			begun => begun,
		};
		if begun.is_err() {
			self.rollback();
		}
		begun
	}

	fn commit(&mut self) -> Result<()> {
		if self.failed {
			self.rollback();
			return Err(StoreError::Corrupt("transaction"));
		}
		let mut end = notifications(self.member.as_ref(), &self.notices);
		end.push_str("COMMIT");
		let committed = match self.batch(&end) {
			Err(StoreError::Lost(_)) => self.resolve(),
			ended => ended,
		};
		match (&committed, &mut self.member) {
			(Ok(()), Some(member)) => member.turns += 1,
			(Ok(()), None) => {},
			(Err(_), _) => self.rollback(),
		}
		committed
	}

	fn rollback(&mut self) {
		if self.client.is_some() {
			// If the connection breaks here, the database rolls back by itself.
			let _ = self.batch("ROLLBACK");
		}
		self.failed = false;
	}

	fn tell(&mut self, notice: String) {
		if self.member.is_some() {
			self.notices.push(notice);
		}
	}
}

/// The statements that tell the other processes, each notification as full as can be. Notices are made
/// of digits and letters.
fn notifications(member: Option<&Member>, notices: &[String]) -> String {
	let (mut text, mut payload) = (String::new(), String::new());
	let Some(member) = member else {
		return text;
	};
	let mut flush = |payload: &mut String| {
		text.push_str(&format!("NOTIFY {CHANNEL}, '{payload}'; "));
		payload.clear();
	};
	for notice in notices {
		if payload.len() + notice.len() >= MAX_NOTICE {
			flush(&mut payload);
		}
		if payload.is_empty() {
			payload = member.number.to_string();
		}
		payload.push(' ');
		payload.push_str(notice);
	}
	if !payload.is_empty() {
		flush(&mut payload);
	}
	text
}

fn parameters(values: &[Value]) -> Vec<&(dyn ToSql + Sync)> {
	values
		.iter()
		.map(|value| value as &(dyn ToSql + Sync))
		.collect()
}

impl ToSql for Value {
	fn to_sql(
		&self,
		kind: &Type,
		out: &mut BytesMut,
	) -> std::result::Result<IsNull, Box<dyn Error + Sync + Send>> {
		match self {
			Value::Null => Ok(IsNull::Yes),
			Value::Integer(number) if *kind == Type::INT4 => {
				i32::try_from(*number)?.to_sql(kind, out)
			},
			Value::Integer(number) => number.to_sql(kind, out),
			// PostgreSQL's texts hold every character but this one.
			Value::Text(text) if text.contains('\0') => {
				text.replace('\0', "\u{fffd}").to_sql(kind, out)
			},
			Value::Text(text) => text.to_sql(kind, out),
			Value::Bytes(bytes) => bytes.to_sql(kind, out),
		}
	}

	fn accepts(_: &Type) -> bool {
		true
	}

	to_sql_checked!();
}

impl<'a> FromSql<'a> for Value {
	fn from_sql(
		kind: &Type,
		raw: &'a [u8],
	) -> std::result::Result<Self, Box<dyn Error + Sync + Send>> {
		match *kind {
			Type::INT4 => i32::from_sql(kind, raw).map(|number| Value::Integer(number.into())),
			Type::INT8 => i64::from_sql(kind, raw).map(Value::Integer),
			Type::BYTEA => Ok(Value::Bytes(raw.to_vec())),
			_ => String::from_sql(kind, raw).map(Value::Text),
		}
	}

	fn from_sql_null(_: &Type) -> std::result::Result<Self, Box<dyn Error + Sync + Send>> {
		Ok(Value::Null)
	}

	fn accepts(kind: &Type) -> bool {
		matches!(
			*kind,
			Type::INT4 | Type::INT8 | Type::BYTEA | Type::TEXT | Type::VARCHAR
		)
	}
}
