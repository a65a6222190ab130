//! What the store asks of a database, and nothing more. One text of SQL serves all of them.
//!
//! Placeholders are written `$1`, `$2`, … in the order in which they first appear: PostgreSQL knows
//! them by their numbers, and SQLite takes them for names, which it numbers in that order.

use super::{Result, StoreError};
use codec::{Decode, DecodeAll, Encode};
use std::sync::Arc;

/// A value of a column, or one that is given to a statement.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Value {
	/// Nothing.
	Null,
	/// A number.
	Integer(i64),
	/// Text.
	Text(String),
	/// Bytes: ids, hashes, accounts, and whatever is SCALE.
	Bytes(Vec<u8>),
}

/// The values of a statement, each by its [`From`].
macro_rules! values {
	($($value:expr),* $(,)?) => {
		&[$($crate::store::sql::Value::from($value)),*]
	};
}
pub(crate) use values;

/// A value in SCALE, as it is hashed and signed.
pub fn scale<T: Encode>(value: &T) -> Value {
	Value::Bytes(value.encode())
}

impl From<i64> for Value {
	fn from(value: i64) -> Self {
		Self::Integer(value)
	}
}

impl From<u32> for Value {
	fn from(value: u32) -> Self {
		Self::Integer(value.into())
	}
}

impl From<u8> for Value {
	fn from(value: u8) -> Self {
		Self::Integer(value.into())
	}
}

impl From<&str> for Value {
	fn from(value: &str) -> Self {
		Self::Text(value.to_owned())
	}
}

impl From<&String> for Value {
	fn from(value: &String) -> Self {
		Self::Text(value.clone())
	}
}

impl From<&[u8]> for Value {
	fn from(value: &[u8]) -> Self {
		Self::Bytes(value.to_vec())
	}
}

impl<T: Into<Value>> From<Option<T>> for Value {
	fn from(value: Option<T>) -> Self {
		value.map_or(Self::Null, Into::into)
	}
}

/// What a column's value can be read as.
pub trait FromValue: Sized {
	/// The value; `None` if it is another kind.
	fn from_value(value: &Value) -> Option<Self>;
}

impl FromValue for i64 {
	fn from_value(value: &Value) -> Option<Self> {
		match value {
			Value::Integer(number) => Some(*number),
			_ => None,
		}
	}
}

impl FromValue for u8 {
	fn from_value(value: &Value) -> Option<Self> {
		i64::from_value(value)?.try_into().ok()
	}
}

impl FromValue for u32 {
	fn from_value(value: &Value) -> Option<Self> {
		i64::from_value(value)?.try_into().ok()
	}
}

impl FromValue for u64 {
	fn from_value(value: &Value) -> Option<Self> {
		i64::from_value(value)?.try_into().ok()
	}
}

impl FromValue for String {
	fn from_value(value: &Value) -> Option<Self> {
		match value {
			Value::Text(text) => Some(text.clone()),
			_ => None,
		}
	}
}

impl FromValue for Vec<u8> {
	fn from_value(value: &Value) -> Option<Self> {
		match value {
			Value::Bytes(bytes) => Some(bytes.clone()),
			_ => None,
		}
	}
}

impl<T: FromValue> FromValue for Option<T> {
	fn from_value(value: &Value) -> Option<Self> {
		match value {
			Value::Null => Some(None),
			other => T::from_value(other).map(Some),
		}
	}
}

/// A row that a query gave.
#[derive(Clone, Debug)]
pub struct Row {
	columns: Arc<[String]>,
	values: Vec<Value>,
}

impl Row {
	/// The values of these columns.
	pub fn new(columns: Arc<[String]>, values: Vec<Value>) -> Self {
		Self { columns, values }
	}

	/// The value of a column.
	pub fn get<T: FromValue>(&self, column: &'static str) -> Result<T> {
		T::from_value(self.value(column)?).ok_or(StoreError::Corrupt(column))
	}

	/// The value of a column that holds SCALE.
	pub fn decode<T: Decode>(&self, column: &'static str) -> Result<T> {
		match self.value(column)? {
			Value::Bytes(bytes) => decode(bytes, column),
			_ => Err(StoreError::Corrupt(column)),
		}
	}

	/// The value of a column that holds SCALE or nothing.
	pub fn decode_optional<T: Decode>(&self, column: &'static str) -> Result<Option<T>> {
		match self.value(column)? {
			Value::Null => Ok(None),
			_ => self.decode(column).map(Some),
		}
	}

	fn value(&self, column: &'static str) -> Result<&Value> {
		let place = self.columns.iter().position(|name| name == column);
		let value = place.and_then(|place| self.values.get(place));
		value.ok_or(StoreError::Corrupt(column))
	}
}

/// Decodes all of `bytes`.
pub fn decode<T: Decode>(mut bytes: &[u8], what: &'static str) -> Result<T> {
	T::decode_all(&mut bytes).map_err(|_| StoreError::Corrupt(what))
}

/// The SQL that a database speaks, where it matters.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dialect {
	/// SQLite's.
	Sqlite,
	/// PostgreSQL's.
	Postgres,
}

/// A connection to a database. Statements are prepared once and kept.
pub trait Sql: Send {
	/// What it speaks.
	fn dialect(&self) -> Dialect;

	/// Runs a statement; gives the number of rows that it changed.
	fn execute(&mut self, sql: &'static str, values: &[Value]) -> Result<u64>;

	/// Runs a statement that gives rows.
	fn query(&mut self, sql: &'static str, values: &[Value]) -> Result<Vec<Row>>;

	/// Runs statements without values, separated by semicolons.
	fn batch(&mut self, sql: &str) -> Result<()>;

	/// Begins a transaction to write in. No other is in one until it ends, also of other processes.
	fn begin(&mut self) -> Result<()>;

	/// Ends the transaction: what was written is durable. After an error nothing of it has happened.
	fn commit(&mut self) -> Result<()>;

	/// Ends the transaction as if nothing had been written in it.
	fn rollback(&mut self);
}

impl dyn Sql + '_ {
	/// The first row of a query.
	pub fn row(&mut self, sql: &'static str, values: &[Value]) -> Result<Option<Row>> {
		Ok(self.query(sql, values)?.into_iter().next())
	}

	/// The rows of a query as something else.
	pub fn rows<T>(
		&mut self,
		sql: &'static str,
		values: &[Value],
		read: impl Fn(&Row) -> Result<T>,
	) -> Result<Vec<T>> {
		self.query(sql, values)?.iter().map(read).collect()
	}
}
