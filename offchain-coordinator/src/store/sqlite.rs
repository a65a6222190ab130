//! SQLite. In a file: WAL mode with `synchronous = FULL`, so that what was committed survives the
//! process's death and the machine's.

use super::{
	sql::{Dialect, Row, Sql, Value},
	Result, StoreError,
};
use rusqlite::{
	types::{ToSqlOutput, ValueRef},
	Connection, OpenFlags, Statement, ToSql,
};
use std::{
	path::Path,
	sync::{
		atomic::{AtomicU64, Ordering},
		Arc,
	},
	time::Duration,
};

/// How long a connection waits for another process (a backup) to let go of the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Prepared statements that are kept: more than there are.
const STATEMENTS: usize = 256;

/// A connection.
#[derive(Debug)]
pub struct Sqlite(Connection);

impl Sqlite {
	/// Opens the file to write, or creates it.
	pub fn open(file: &Path) -> Result<Self> {
		let connection = Connection::open(file)?;
		prepare(&connection)?;
		connection.pragma_update(None, "journal_mode", "wal")?;
		Ok(Self(connection))
	}

	/// Opens the file, which must exist, to read.
	pub fn open_to_read(file: &Path) -> Result<Self> {
		let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
		let connection = Connection::open_with_flags(file, flags)?;
		prepare(&connection)?;
		Ok(Self(connection))
	}
}

fn prepare(connection: &Connection) -> Result<()> {
	connection.busy_timeout(BUSY_TIMEOUT)?;
	connection.pragma_update(None, "synchronous", "full")?;
	connection.pragma_update(None, "foreign_keys", true)?;
	connection.set_prepared_statement_cache_capacity(STATEMENTS);
	Ok(())
}

/// A database in memory, for tests: it lives as long as this value, and so outlives the stores that are
/// opened on it, as a file does. What such a store had not committed when it was dropped is lost.
#[derive(Debug)]
pub struct Memory {
	name: String,
	_anchor: Connection,
}

impl Memory {
	/// An empty one.
	pub fn new() -> Result<Self> {
		static NUMBER: AtomicU64 = AtomicU64::new(0);
		let number = NUMBER.fetch_add(1, Ordering::Relaxed);
		let name = format!("file:/cuckoo-{number}?vfs=memdb");
		let _anchor = Connection::open(&name)?;
		Ok(Self { name, _anchor })
	}

	/// Opens a connection to it.
	pub(super) fn connect(&self) -> Result<Sqlite> {
		let connection = Connection::open(&self.name)?;
		prepare(&connection)?;
		Ok(Sqlite(connection))
	}
}

impl Sql for Sqlite {
	fn dialect(&self) -> Dialect {
		Dialect::Sqlite
	}

	fn execute(&mut self, sql: &'static str, values: &[Value]) -> Result<u64> {
		let mut statement = self.0.prepare_cached(sql)?;
		check_placeholders(&statement);
		Ok(statement.execute(rusqlite::params_from_iter(values))? as u64)
	}

	fn query(&mut self, sql: &'static str, values: &[Value]) -> Result<Vec<Row>> {
		let mut statement = self.0.prepare_cached(sql)?;
		check_placeholders(&statement);
		let names = statement.column_names();
		let columns: Arc<[String]> = names.into_iter().map(str::to_owned).collect();
		let mut found = statement.query(rusqlite::params_from_iter(values))?;
		let mut rows = Vec::new();
		while let Some(row) = found.next()? {
			let value = |place| Ok(read(row.get_ref(place)?));
			let values = (0..columns.len()).map(value).collect::<Result<_>>()?;
			rows.push(Row::new(columns.clone(), values));
		}
		Ok(rows)
	}

	fn batch(&mut self, sql: &str) -> Result<()> {
		Ok(self.0.execute_batch(sql)?)
	}

	fn begin(&mut self) -> Result<()> {
		self.execute("BEGIN IMMEDIATE", &[]).map(|_| ())
	}

	fn commit(&mut self) -> Result<()> {
		let committed = self.execute("COMMIT", &[]).map(|_| ());
		if committed.is_err() {
			self.rollback();
		}
		committed
	}

	fn rollback(&mut self) {
		// Fails when SQLite has rolled back by itself, which is as good.
		let _ = self.batch("ROLLBACK");
	}
}

/// Names in another order would be given each other's values.
fn check_placeholders(statement: &Statement) {
	if cfg!(debug_assertions) {
		for number in 1..=statement.parameter_count() {
			let name = statement.parameter_name(number);
			assert_eq!(name, Some(format!("${number}").as_str()), "{statement:?}");
		}
	}
}

impl ToSql for Value {
	fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
		Ok(ToSqlOutput::Borrowed(match self {
			Value::Null => ValueRef::Null,
			Value::Integer(number) => ValueRef::Integer(*number),
			Value::Text(text) => ValueRef::Text(text.as_bytes()),
			Value::Bytes(bytes) => ValueRef::Blob(bytes),
		}))
	}
}

fn read(value: ValueRef) -> Value {
	match value {
		ValueRef::Null => Value::Null,
		ValueRef::Integer(number) => Value::Integer(number),
		// No column holds one: the tables are strict.
		ValueRef::Real(_) => Value::Null,
		ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
		ValueRef::Blob(bytes) => Value::Bytes(bytes.to_vec()),
	}
}

impl From<rusqlite::Error> for StoreError {
	fn from(error: rusqlite::Error) -> Self {
		Self::Database(error.to_string().into())
	}
}
