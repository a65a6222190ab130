//! Lets go of what has been kept for long enough: tasks that ended, and, if the operator wants, their
//! artifacts before them. Small transactions with pauses in between, so that nobody waits for it.
//!
//! Rows go first and files after them: a crash in between leaves files that nothing names, which the
//! next start removes.

use crate::{
	coordinator::{disk, internal, Coordinator, Result},
	store::Removed,
};
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

/// How often to look for what can go.
const EVERY: Duration = Duration::from_secs(600);

/// Between two transactions, for the others.
const PAUSE: Duration = Duration::from_millis(100);

/// Runs until `stop`.
pub async fn run(coordinator: Arc<Coordinator>, stop: CancellationToken) {
	loop {
		let pass = async {
			match pass(&coordinator).await {
				Ok(0) => {},
				Ok(rows) => tracing::info!(rows, "what was kept for long enough was removed"),
				Err(error) => tracing::error!(%error, "old tasks were not removed: trying later"),
			}
			tokio::time::sleep(EVERY).await;
		};
		tokio::select! {
			() = stop.cancelled() => return,
			() = pass => {},
		}
	}
}

/// Removes everything that can go now; gives the number of tasks, and of artifacts whose tasks stay.
pub async fn pass(coordinator: &Coordinator) -> Result<u64> {
	let settings = coordinator.settings();
	let mut rows = 0;
	let before = |keep_ms: u64| coordinator.now_ms().saturating_sub(keep_ms);
	if settings.retention_ms > 0 {
		loop {
			let before_ms = before(settings.retention_ms);
			let removed = coordinator.store().remove_tasks(before_ms).await;
			let removed = removed.map_err(internal)?;
			if removed.rows == 0 {
				break;
			}
			rows += removed.rows;
			remove_files(coordinator, &removed).await?;
			tokio::time::sleep(PAUSE).await;
		}
	}
	if settings.artifact_retention_ms > 0 {
		loop {
			let (before_ms, now_ms) =
				(before(settings.artifact_retention_ms), coordinator.now_ms());
			let removed = coordinator
				.store()
				.remove_artifacts(before_ms, now_ms)
				.await;
			let removed = removed.map_err(internal)?;
			if removed.rows == 0 {
				break;
			}
			rows += removed.rows;
			remove_files(coordinator, &removed).await?;
			tokio::time::sleep(PAUSE).await;
		}
	}
	Ok(rows)
}

async fn remove_files(coordinator: &Coordinator, removed: &Removed) -> Result<()> {
	for hash in &removed.artifacts {
		// Between the look and the removal no submit may come to rely on the file.
		let _alone = coordinator.naming().write().await;
		let is_named = coordinator.store().names_artifact(hash).await;
		if !is_named.map_err(internal)? {
			coordinator.artifacts().remove(hash).await.map_err(disk)?;
		}
	}
	Ok(())
}
