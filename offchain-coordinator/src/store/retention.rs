//! Removes what has been kept for long enough, a bounded number of rows in each transaction, so that
//! the writer is never held for long.

use super::{
	rows::{read_ms, stored_ms},
	tasks::read_chain,
	writer::job,
	Result, Store,
};
use crate::clock::UnixMs;
use cuckoo_primitives::H256;
use sqlx::{sqlite::SqliteConnection, Row};
use std::collections::BTreeSet;

/// Most tasks or artifacts of one transaction.
pub const BATCH: u32 = 64;

/// What one transaction removed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Removed {
	/// How many rows: tasks, or artifacts whose tasks stay.
	pub rows: u64,
	/// Artifacts that lost a name. Their files can go if nothing else names them.
	pub artifacts: BTreeSet<H256>,
	/// Chains of lists that are gone: nothing may build on them any more.
	pub chains: BTreeSet<u64>,
}

impl Store {
	/// Removes up to [`BATCH`] tasks that ended before then, with all that belongs to them.
	pub async fn remove_tasks(&self, before_ms: UnixMs) -> Result<Removed> {
		let work = job(move |connection| {
			Box::pin(async move {
				let mut removed = Removed::default();
				let mut chains = BTreeSet::new();
				for task in ended_tasks(&mut *connection, before_ms).await? {
					remove_task(&mut *connection, &task, &mut removed.artifacts, &mut chains)
						.await?;
					removed.rows += 1;
				}
				removed.chains = remove_unnamed_lists(connection, &chains).await?;
				Ok(removed)
			})
		});
		self.writer.write(work, |_| {}).await
	}

	/// Notes that up to [`BATCH`] artifacts that came before then are removed, while their tasks stay.
	pub async fn remove_artifacts(&self, before_ms: UnixMs, now_ms: UnixMs) -> Result<Removed> {
		let work = job(move |connection| {
			Box::pin(async move {
				let rows = sqlx::query(
					"UPDATE results SET removed_ms = ?1 WHERE (task, attempt) IN (\
					 SELECT task, attempt FROM results JOIN attempts USING (task, attempt) \
					 WHERE removed_ms IS NULL AND submitted_ms < ?2 AND ending IS NOT NULL \
					 ORDER BY submitted_ms LIMIT ?3) RETURNING artifact",
				)
				.bind(stored_ms(now_ms))
				.bind(stored_ms(before_ms))
				.bind(i64::from(BATCH))
				.fetch_all(connection)
				.await?;
				let artifacts: Result<BTreeSet<H256>> = rows.iter().map(artifact).collect();
				Ok(Removed {
					rows: rows.len() as u64,
					artifacts: artifacts?,
					..Removed::default()
				})
			})
		});
		self.writer.write(work, |_| {}).await
	}

	/// When the artifact was removed, if it was and a task that had it is still here.
	pub async fn artifact_removed_ms(&self, artifact: &H256) -> Result<Option<UnixMs>> {
		let found: Option<i64> = sqlx::query_scalar(
			"SELECT MAX(removed_ms) FROM results JOIN attempts USING (task, attempt) \
			 WHERE artifact = ? AND ending = 'done'",
		)
		.bind(artifact.as_bytes())
		.fetch_one(&self.readers)
		.await?;
		Ok(found.map(read_ms))
	}
}

async fn ended_tasks(connection: &mut SqliteConnection, before_ms: UnixMs) -> Result<Vec<Vec<u8>>> {
	let mut tasks = Vec::new();
	for state in ["done", "failed", "cancelled", "expired"] {
		let left = i64::from(BATCH) - tasks.len() as i64;
		let found: Vec<Vec<u8>> = sqlx::query_scalar(
			"SELECT id FROM tasks WHERE state IN ('done', 'failed', 'cancelled', 'expired') \
			 AND state = ? AND updated_ms < ? ORDER BY updated_ms LIMIT ?",
		)
		.bind(state)
		.bind(stored_ms(before_ms))
		.bind(left)
		.fetch_all(&mut *connection)
		.await?;
		tasks.extend(found);
	}
	Ok(tasks)
}

async fn remove_task(
	connection: &mut SqliteConnection,
	task: &[u8],
	artifacts: &mut BTreeSet<H256>,
	chains: &mut BTreeSet<i64>,
) -> Result<()> {
	let rows = sqlx::query("DELETE FROM results WHERE task = ? RETURNING artifact")
		.bind(task)
		.fetch_all(&mut *connection)
		.await?;
	for row in &rows {
		artifacts.insert(artifact(row)?);
	}
	let drawn_from: Vec<i64> =
		sqlx::query_scalar("DELETE FROM attempts WHERE task = ? RETURNING list_chain")
			.bind(task)
			.fetch_all(&mut *connection)
			.await?;
	chains.extend(drawn_from);
	sqlx::query("DELETE FROM tasks WHERE id = ?")
		.bind(task)
		.execute(connection)
		.await?;
	Ok(())
}

/// Removes those of the chains of lists that no attempt names any more. The one place where lists go.
async fn remove_unnamed_lists(
	connection: &mut SqliteConnection,
	chains: &BTreeSet<i64>,
) -> Result<BTreeSet<u64>> {
	let mut gone = BTreeSet::new();
	for chain in chains {
		let deleted = sqlx::query(
			"DELETE FROM eligible_lists WHERE chain = ?1 \
			 AND NOT EXISTS (SELECT 1 FROM attempts WHERE list_chain = ?1)",
		)
		.bind(chain)
		.execute(&mut *connection)
		.await?
		.rows_affected();
		if deleted > 0 {
			gone.insert(read_chain(*chain));
		}
	}
	Ok(gone)
}

fn artifact(row: &sqlx::sqlite::SqliteRow) -> Result<H256> {
	super::rows::decode(&row.try_get::<Vec<u8>, _>("artifact")?, "artifact")
}
