//! How long a coordinator takes to come up with so many tasks in its store.

use crate::{floor::new_task, server};
use offchain_coordinator::store::{Store, FILE_NAME};
use sqlx::{sqlite::SqliteConnectOptions, ConnectOptions, Connection};
use std::{path::Path, time::Instant};

/// Of so many tasks one still waits.
const WAITING_ONE_IN: u32 = 1_000;

/// Fills the store, opens a coordinator on it, and says how many seconds that took.
pub async fn seconds(folder: &Path, tasks: u32) -> anyhow::Result<f64> {
	let store = Store::open(folder).await?;
	store.submit_task(new_task(0), 1, |_| {}).await?;
	store.close().await;
	copy(&folder.join(FILE_NAME), tasks).await?;

	let start = Instant::now();
	let coordinator = server::open(folder).await?;
	let elapsed = start.elapsed().as_secs_f64();
	coordinator.close().await;
	Ok(elapsed)
}

/// Copies the one task until there are `tasks`: done, but for one in [`WAITING_ONE_IN`].
async fn copy(file: &Path, tasks: u32) -> anyhow::Result<()> {
	let mut connection = SqliteConnectOptions::new().filename(file).connect().await?;
	let columns: Vec<String> = sqlx::query_scalar("SELECT name FROM pragma_table_info('tasks')")
		.fetch_all(&mut connection)
		.await?;
	let value = |column: &String| match column.as_str() {
		"seq" => "i + 1".to_owned(),
		"id" => "randomblob(16)".to_owned(),
		"state" => format!("iif(i % {WAITING_ONE_IN} = 0, 'queued', 'done')"),
		other => other.to_owned(),
	};
	let values: Vec<String> = columns.iter().map(value).collect();
	let copies = format!(
		"WITH RECURSIVE numbers (i) AS \
		 (SELECT 1 UNION ALL SELECT i + 1 FROM numbers WHERE i + 1 < {tasks}) \
		 INSERT INTO tasks ({}) SELECT {} FROM numbers, tasks WHERE tasks.seq = 1",
		columns.join(", "),
		values.join(", "),
	);
	let copied = sqlx::query(sqlx::AssertSqlSafe(copies))
		.execute(&mut connection)
		.await?
		.rows_affected();
	anyhow::ensure!(
		copied + 1 == u64::from(tasks),
		"only {copied} copies were made"
	);
	connection.close().await?;
	Ok(())
}
