//! What was done lately.

use super::{
	rows::{bytes, ms},
	Result, Store,
};
use cuckoo_primitives::{signing::ResultCommitment, task::TaskSpec};

/// A result that was accepted.
#[derive(Clone, Debug)]
pub struct Past {
	/// What was made.
	pub spec: TaskSpec,
	/// What the miner signed.
	pub commitment: ResultCommitment,
	/// From the assignment to the submit.
	pub took_ms: u64,
}

impl Store {
	/// The last results that were accepted, oldest first.
	pub async fn last_results(&self, limit: u32) -> Result<Vec<Past>> {
		// CROSS JOIN keeps the order of the tables: back from the newest task, no further than needed.
		let rows = sqlx::query(
			"SELECT spec, commitment, assigned_ms, submitted_ms FROM tasks \
			 CROSS JOIN attempts ON attempts.task = tasks.id AND attempts.attempt = tasks.attempt \
			 CROSS JOIN results ON results.task = tasks.id AND results.attempt = tasks.attempt \
			 WHERE state = 'done' ORDER BY seq DESC LIMIT ?",
		)
		.bind(limit)
		.fetch_all(&self.readers)
		.await?;
		let past = rows.iter().rev().map(|row| {
			Ok(Past {
				spec: bytes(row, "spec")?,
				commitment: bytes(row, "commitment")?,
				took_ms: ms(row, "submitted_ms")?.saturating_sub(ms(row, "assigned_ms")?),
			})
		});
		past.collect()
	}
}
