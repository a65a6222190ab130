//! Removes what has been kept for long enough, a bounded number of rows in each transaction, so that
//! the writer is never held for long.

use super::{
	ended_states, ledger,
	rows::{read_ms, stored_ms},
	sql::{values, Row, Sql},
	tasks::read_chain,
	webhooks, Result, Store,
};
use crate::clock::UnixMs;
use cuckoo_primitives::H256;
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
		let work = move |sql: &mut dyn Sql| {
			let mut removed = Removed::default();
			let mut chains = BTreeSet::new();
			for task in ended_tasks(sql, before_ms)? {
				remove_task(sql, &task, &mut removed.artifacts, &mut chains)?;
				removed.rows += 1;
			}
			removed.chains = remove_unnamed_lists(sql, &chains)?;
			Ok(removed)
		};
		self.write(work, |_| {}).await
	}

	/// Notes that up to [`BATCH`] artifacts that came before then are removed, while their tasks stay.
	pub async fn remove_artifacts(&self, before_ms: UnixMs, now_ms: UnixMs) -> Result<Removed> {
		let work = move |sql: &mut dyn Sql| {
			let artifacts = sql.rows(
				"UPDATE results SET removed_ms = $1 WHERE (task, attempt) IN (\
				 SELECT task, attempt FROM results JOIN attempts USING (task, attempt) \
				 WHERE removed_ms IS NULL AND submitted_ms < $2 AND ending IS NOT NULL \
				 ORDER BY submitted_ms LIMIT $3) RETURNING artifact",
				values![stored_ms(now_ms), stored_ms(before_ms), BATCH],
				artifact,
			)?;
			Ok(Removed {
				rows: artifacts.len() as u64,
				artifacts: artifacts.into_iter().collect(),
				..Removed::default()
			})
		};
		self.write(work, |_| {}).await
	}

	/// When the artifact was removed, if it was and a task that had it is still here.
	pub async fn artifact_removed_ms(&self, artifact: &H256) -> Result<Option<UnixMs>> {
		let query = "SELECT MAX(removed_ms) AS removed_ms FROM results \
			JOIN attempts USING (task, attempt) WHERE artifact = $1 AND ending = 'done'";
		let removed_ms = |row: &Row| row.get::<Option<i64>>("removed_ms");
		let values = values![artifact.as_bytes()].to_vec();
		let found = self.row(query, values, removed_ms).await?;
		Ok(found.flatten().map(read_ms))
	}
}

fn ended_tasks(sql: &mut dyn Sql, before_ms: UnixMs) -> Result<Vec<Vec<u8>>> {
	let mut tasks = Vec::new();
	for state in ["done", "failed", "cancelled", "expired"] {
		let left = i64::from(BATCH) - tasks.len() as i64;
		let found = sql.rows(
			concat!(
				"SELECT id FROM tasks WHERE ",
				ended_states!(),
				" AND state = $1 AND updated_ms < $2 ORDER BY updated_ms LIMIT $3"
			),
			values![state, stored_ms(before_ms), left],
			|row| row.get("id"),
		)?;
		tasks.extend(found);
	}
	Ok(tasks)
}

fn remove_task(
	sql: &mut dyn Sql,
	id: &[u8],
	artifacts: &mut BTreeSet<H256>,
	chains: &mut BTreeSet<i64>,
) -> Result<()> {
	let task = values![id];
	let results = "DELETE FROM results WHERE task = $1 RETURNING artifact";
	artifacts.extend(sql.rows(results, task, artifact)?);
	let attempts = "DELETE FROM attempts WHERE task = $1 RETURNING list_chain";
	chains.extend(sql.rows(attempts, task, |row| row.get::<i64>("list_chain"))?);
	let delete = "DELETE FROM tasks WHERE id = $1 RETURNING payer, pay, price, miner, earned_era";
	if let Some(removed) = sql.row(delete, task)? {
		ledger::forget(sql, &removed)?;
	}
	webhooks::remove(sql, id)?;
	Ok(())
}

/// Removes those of the chains of lists that no attempt names any more. The one place where lists go.
fn remove_unnamed_lists(sql: &mut dyn Sql, chains: &BTreeSet<i64>) -> Result<BTreeSet<u64>> {
	let mut gone = BTreeSet::new();
	for chain in chains {
		let deleted = sql.execute(
			"DELETE FROM eligible_lists WHERE chain = $1 \
			 AND NOT EXISTS (SELECT 1 FROM attempts WHERE list_chain = $1)",
			values![*chain],
		)?;
		if deleted > 0 {
			gone.insert(read_chain(*chain));
		}
	}
	Ok(gone)
}

fn artifact(row: &Row) -> Result<H256> {
	row.decode("artifact")
}
