//! How the lists that were drawn from go with the last attempt that names them.

use super::Result;
use sqlx::sqlite::SqliteConnection;
use std::collections::BTreeSet;

/// What names a list.
pub(super) type ListName = Vec<u8>;

/// The lists that the attempts at a task were drawn from.
pub(super) async fn lists_of(
	connection: &mut SqliteConnection,
	task: &[u8],
) -> Result<Vec<ListName>> {
	let names = sqlx::query_scalar("SELECT DISTINCT eligible_root FROM attempts WHERE task = ?")
		.bind(task)
		.fetch_all(connection)
		.await?;
	Ok(names)
}

/// Removes those of the lists that no attempt names any more.
pub(super) async fn remove_unnamed(
	connection: &mut SqliteConnection,
	names: &BTreeSet<ListName>,
) -> Result<()> {
	for name in names {
		sqlx::query(
			"DELETE FROM eligible_lists WHERE root = ?1 \
			 AND NOT EXISTS (SELECT 1 FROM attempts WHERE eligible_root = ?1)",
		)
		.bind(name)
		.execute(&mut *connection)
		.await?;
	}
	Ok(())
}
