//! Lets go of what has been kept for long enough: tasks that ended, and, if the operator wants, their
//! artifacts before them. Small transactions with pauses in between, so that nobody waits for it.
//!
//! Rows go first and files after them: a crash in between leaves files that nothing names. Those go
//! after the next start, with what was uploaded for attempts that never got to a submit.

use crate::{
	coordinator::{disk, internal, Coordinator, Result},
	store::{Removed, StoreError},
};
use cuckoo_primitives::H256;
use futures::StreamExt;
use std::{
	future::Future,
	sync::Arc,
	time::{Duration, SystemTime},
};
use tokio_util::sync::CancellationToken;

/// How often to look for what can go.
const EVERY: Duration = Duration::from_secs(600);

/// Between two transactions, for the others.
const PAUSE: Duration = Duration::from_millis(100);

/// Runs until `stop`.
pub async fn run(coordinator: Arc<Coordinator>, stop: CancellationToken) {
	let sweep = sweep(&coordinator, SystemTime::now());
	tokio::select! {
		() = stop.cancelled() => return,
		swept = sweep => match swept {
			Ok(0) => {},
			Ok(files) => tracing::info!(files, "artifacts that nobody asked for were removed"),
			Err(error) => tracing::error!(%error, "artifacts were not looked through"),
		},
	}
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

/// Removes the artifacts from before then that nothing names; gives their number.
pub async fn sweep(coordinator: &Coordinator, before: SystemTime) -> Result<u64> {
	let mut removed = 0;
	let artifacts = coordinator.artifacts();
	let before = before - artifacts.settled();
	let mut walk = artifacts.walk();
	while let Some(hash) = walk.next().await {
		let hash = hash.map_err(disk)?;
		removed += u64::from(remove_unnamed(coordinator, hash, before).await?);
	}
	Ok(removed)
}

async fn remove_unnamed(coordinator: &Coordinator, hash: H256, before: SystemTime) -> Result<bool> {
	// Most are named, which is seen without holding anybody up.
	if !can_go(coordinator, &hash, before).await? {
		return Ok(false);
	}
	// Between the look and the removal no submit may come to rely on the file, and nobody upload it.
	let _alone = coordinator.naming().write().await;
	if !can_go(coordinator, &hash, before).await? {
		return Ok(false);
	}
	let removed = coordinator.artifacts().remove_older(&hash, before).await;
	removed.map_err(disk)
}

/// Whether nothing names the artifact, and it is from before then.
async fn can_go(coordinator: &Coordinator, hash: &H256, before: SystemTime) -> Result<bool> {
	let is_named = coordinator.store().names_artifact(hash).await;
	if is_named.map_err(internal)? {
		return Ok(false);
	}
	let is_older = coordinator.artifacts().is_older(hash, before).await;
	is_older.map_err(disk)
}

/// Removes everything that can go now; gives the number of tasks, and of artifacts whose tasks stay.
pub async fn pass(coordinator: &Coordinator) -> Result<u64> {
	forget_bans(coordinator).await?;
	let (settings, store) = (coordinator.settings(), coordinator.store());
	let before = |keep_ms: u64| coordinator.now_ms().saturating_sub(keep_ms);
	let mut rows = 0;
	if settings.retention_ms > 0 {
		let remove = || store.remove_tasks(before(settings.retention_ms));
		rows += all(coordinator, remove).await?;
	}
	if settings.artifact_retention_ms > 0 {
		let before_ms = || before(settings.artifact_retention_ms);
		let remove = || store.remove_artifacts(before_ms(), coordinator.now_ms());
		rows += all(coordinator, remove).await?;
	}
	Ok(rows)
}

/// Removes as long as there is something to remove; gives the number of rows.
async fn all<R>(coordinator: &Coordinator, remove: impl Fn() -> R) -> Result<u64>
where
	R: Future<Output = std::result::Result<Removed, StoreError>>,
{
	let mut rows = 0;
	loop {
		let removed = remove().await.map_err(internal)?;
		if removed.rows == 0 {
			return Ok(rows);
		}
		rows += removed.rows;
		let_go(coordinator, &removed).await?;
	}
}

async fn forget_bans(coordinator: &Coordinator) -> Result<()> {
	let now_ms = coordinator.now_ms();
	let stored = coordinator.store().remove_ended_bans(now_ms).await;
	coordinator.live().bans.forget_ended(now_ms);
	stored.map_err(internal)
}

/// Removes the files that lost their last name, and pauses.
async fn let_go(coordinator: &Coordinator, removed: &Removed) -> Result<()> {
	// A draw that was faster than this is not committed, and then begins a chain of its own.
	coordinator.live().forget_chains(&removed.chains);
	remove_files(coordinator, removed).await?;
	tokio::time::sleep(PAUSE).await;
	Ok(())
}

async fn remove_files(coordinator: &Coordinator, removed: &Removed) -> Result<()> {
	for hash in &removed.artifacts {
		// Between the look and the removal no submit may come to rely on the file.
		let _alone = coordinator.naming().write().await;
		let is_named = coordinator.store().names_artifact(hash).await;
		if is_named.map_err(internal)? {
			continue;
		}
		// Where other processes look too, one that came lately stays until the next start: they may be
		// about to name it.
		let artifacts = coordinator.artifacts();
		if artifacts.settled().is_zero() {
			artifacts.remove(hash).await.map_err(disk)?;
		} else {
			let settled = SystemTime::now() - artifacts.settled();
			artifacts.remove_older(hash, settled).await.map_err(disk)?;
		}
	}
	Ok(())
}
