//! The tables' versions. Each migration is a file of SQL as SQLite speaks it, which is translated for
//! PostgreSQL; it is applied once, in order, and noted with its hash in the table `migrations`.

use super::{
	journal,
	sql::{values, Dialect, Sql},
	Result, StoreError,
};
use crate::clock::Clock;

/// A migration's name and its SQL.
type Migration = (&'static str, &'static str);

/// Every migration, in order. One that has been released is never changed: a new one follows it.
const ALL: &[Migration] = &[
	(
		"0001_initial",
		include_str!("../../migrations/0001_initial.sql"),
	),
	(
		"0002_instances",
		include_str!("../../migrations/0002_instances.sql"),
	),
	(
		"0003_webhooks",
		include_str!("../../migrations/0003_webhooks.sql"),
	),
	(
		"0004_ledger",
		include_str!("../../migrations/0004_ledger.sql"),
	),
	(
		"0005_journal",
		include_str!("../../migrations/0005_journal.sql"),
	),
];

/// What follows a migration's SQL, by its name.
type Step = (&'static str, fn(&mut dyn Sql) -> Result<()>);

const STEPS: &[Step] = &[("0005_journal", |sql| {
	journal::open(sql, Clock::System.now_ms())
})];

/// What PostgreSQL calls otherwise, in the order in which it is replaced.
const POSTGRES: &[(&str, &str)] = &[
	(
		"INTEGER PRIMARY KEY AUTOINCREMENT",
		"BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
	),
	(" INTEGER", " BIGINT"),
	(" COLLATE BINARY", " COLLATE \"C\""),
	(" BLOB", " BYTEA"),
	(") STRICT, WITHOUT ROWID;", ");"),
	(") STRICT;", ");"),
];

const TABLE: &str = "CREATE TABLE IF NOT EXISTS migrations (
	number INTEGER PRIMARY KEY,
	name   TEXT NOT NULL,
	hash   BLOB NOT NULL
) STRICT;";

/// Brings the tables to the present version, all in one transaction; refuses those of a newer one.
pub fn migrate(sql: &mut dyn Sql) -> Result<()> {
	migrate_to(sql, ALL)
}

/// Refuses tables that are not of the present version.
pub fn check(sql: &mut dyn Sql) -> Result<()> {
	let query = "SELECT name FROM migrations ORDER BY number";
	let applied = sql.rows(query, &[], |row| row.get::<String>("name"))?;
	let mut present = ALL.iter().map(|(name, _)| *name);
	if applied.iter().map(String::as_str).eq(present.clone()) {
		return Ok(());
	}
	let (stored, own) = (applied.last(), present.next_back().unwrap_or_default());
	let stored = stored.map_or("nothing", String::as_str);
	let text = format!(
		"it is at {stored}, and this program at {own}: they must be of one version; a coordinator that is \
		 started brings its store to its own"
	);
	Err(StoreError::Migration(text.into()))
}

fn migrate_to(sql: &mut dyn Sql, all: &[Migration]) -> Result<()> {
	sql.begin()?;
	match apply(sql, all) {
		Ok(()) => sql.commit(),
		Err(error) => {
			sql.rollback();
			Err(error)
		},
	}
}

fn apply(sql: &mut dyn Sql, all: &[Migration]) -> Result<()> {
	let failed =
		|what: &str, error: StoreError| StoreError::Migration(format!("{what}: {error}").into());
	let create = translated(TABLE, sql.dialect());
	sql.batch(&create)?;
	let query = "SELECT number, name, hash FROM migrations ORDER BY number";
	let applied = sql.rows(query, &[], |row| {
		Ok((row.get::<String>("name")?, row.get::<Vec<u8>>("hash")?))
	})?;
	if let Some((name, _)) = applied.get(all.len()) {
		let text = format!("a newer version of this program has brought it to {name}");
		return Err(StoreError::Migration(text.into()));
	}
	for (number, (name, text)) in all.iter().enumerate() {
		let hash = blake3::hash(text.as_bytes());
		match applied.get(number) {
			Some(stored) if stored.0 == *name && stored.1 == hash.as_bytes() => {},
			Some((stored, _)) => {
				let text = format!("it was made by another {stored} than this program's {name}");
				return Err(StoreError::Migration(text.into()));
			},
			None => {
				let text = translated(text, sql.dialect());
				sql.batch(&text).map_err(|error| failed(name, error))?;
				for (_, step) in STEPS.iter().filter(|(of, _)| of == name) {
					step(sql).map_err(|error| failed(name, error))?;
				}
				sql.execute(
					"INSERT INTO migrations (number, name, hash) VALUES ($1, $2, $3)",
					values![number as i64 + 1, *name, hash.as_bytes().as_slice()],
				)?;
			},
		}
	}
	Ok(())
}

fn translated(text: &str, dialect: Dialect) -> String {
	match dialect {
		Dialect::Sqlite => text.to_owned(),
		Dialect::Postgres => POSTGRES
			.iter()
			.fold(text.to_owned(), |text, (from, to)| text.replace(from, to)),
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use crate::store::sqlite::Memory;

	const ONE: Migration = ("0001_one", "CREATE TABLE one (a INTEGER NOT NULL) STRICT;");
	const TWO: Migration = ("0002_two", "CREATE TABLE two (b INTEGER NOT NULL) STRICT;");

	fn migrated(memory: &Memory, all: &[Migration]) -> std::result::Result<(), String> {
		let mut connection = memory.connect().unwrap();
		migrate_to(&mut connection, all).map_err(|error| error.to_string())
	}

	#[test]
	fn all_files_are_in_the_list_in_order() {
		let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/migrations");
		let mut files: Vec<String> = std::fs::read_dir(folder)
			.unwrap()
			.map(|entry| entry.unwrap().file_name().into_string().unwrap())
			.collect();
		files.sort();
		let listed: Vec<String> = ALL.iter().map(|(name, _)| format!("{name}.sql")).collect();
		assert_eq!(files, listed);
	}

	#[test]
	fn each_is_applied_once_and_newer_or_other_stores_are_refused() {
		let memory = Memory::new().unwrap();
		assert_eq!(migrated(&memory, &[ONE]), Ok(()));
		assert_eq!(migrated(&memory, &[ONE]), Ok(()));
		assert_eq!(migrated(&memory, &[ONE, TWO]), Ok(()));
		let newer = migrated(&memory, &[ONE]).unwrap_err();
		assert!(
			newer.contains("newer version") && newer.contains("0002_two"),
			"{newer}"
		);
		let changed = (
			"0002_two",
			"CREATE TABLE other (c INTEGER NOT NULL) STRICT;",
		);
		let other = migrated(&memory, &[ONE, changed]).unwrap_err();
		assert!(other.contains("another 0002_two"), "{other}");
	}

	#[test]
	fn one_that_fails_leaves_nothing_behind() {
		let memory = Memory::new().unwrap();
		let broken = (
			"0002_broken",
			"CREATE TABLE two (b INTEGER) STRICT; CREATE TABLE one;",
		);
		let error = migrated(&memory, &[ONE, broken]).unwrap_err();
		assert!(error.contains("0002_broken"), "{error}");
		assert_eq!(migrated(&memory, &[ONE, TWO]), Ok(()));
	}
}
