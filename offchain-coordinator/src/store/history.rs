//! What was done lately.

use super::{rows::ms, sql::Row, Result, Store};
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
		// The newest tasks first and by themselves: no more rows are looked at than are needed.
		let query = "SELECT spec, commitment, assigned_ms, submitted_ms FROM \
			(SELECT seq, id, attempt, spec FROM tasks WHERE state = 'done' \
			 ORDER BY seq DESC LIMIT $1) AS last \
			JOIN attempts ON attempts.task = last.id AND attempts.attempt = last.attempt \
			JOIN results ON results.task = last.id AND results.attempt = last.attempt \
			ORDER BY seq";
		let past = |row: &Row| {
			Ok(Past {
				spec: row.decode("spec")?,
				commitment: row.decode("commitment")?,
				took_ms: ms(row, "submitted_ms")?.saturating_sub(ms(row, "assigned_ms")?),
			})
		};
		self.rows(query, vec![limit.into()], past).await
	}
}
