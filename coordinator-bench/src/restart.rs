//! How long a coordinator takes to come up with so many tasks in its store.

use crate::{floor::new_task, server};
use offchain_coordinator::store::{Store, FILE_NAME};
use rusqlite::Connection;
use std::{path::Path, time::Instant};

/// Of so many tasks one still waits.
const WAITING_ONE_IN: u32 = 1_000;

/// Fills the store, opens a coordinator on it, and says how many seconds that took.
pub async fn seconds(folder: &Path, tasks: u32) -> anyhow::Result<f64> {
	let store = Store::open(folder).await?;
	store.submit_task(new_task(0), 1, |_| {}).await?;
	store.close().await;
	copy(&folder.join(FILE_NAME), tasks)?;

	let start = Instant::now();
	let coordinator = server::open(folder).await?;
	let elapsed = start.elapsed().as_secs_f64();
	coordinator.close().await;
	Ok(elapsed)
}

/// Copies the one task until there are `tasks`: done, but for one in [`WAITING_ONE_IN`].
fn copy(file: &Path, tasks: u32) -> anyhow::Result<()> {
	let connection = Connection::open(file)?;
	let mut columns = connection.prepare("SELECT name FROM pragma_table_info('tasks')")?;
	let columns: Vec<String> = columns
		.query_map([], |row| row.get(0))?
		.collect::<Result<_, _>>()?;
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
	let copied = connection.execute(&copies, [])?;
	anyhow::ensure!(
		copied + 1 == tasks as usize,
		"only {copied} copies were made"
	);
	Ok(())
}
