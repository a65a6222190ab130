//! Follows the chain's finalized registry and hands it to the coordinator.

use crate::coordinator::{Coordinator, Error};
use cuckoo_chain_client::Follower;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Runs until `stop`. Waits for as long as the chain cannot be reached; ends with an error when it can
/// and the worker key cannot act there.
pub async fn follow(
	coordinator: Arc<Coordinator>,
	follower: Follower,
	stop: CancellationToken,
) -> Result<(), Error> {
	let mut registries = follower.subscribe();
	loop {
		let registry = registries.borrow_and_update().clone();
		if let Some((registry, genesis)) = registry.zip(follower.genesis_hash()) {
			coordinator.set_registry(registry, genesis).await?;
		}
		tokio::select! {
			() = stop.cancelled() => return Ok(()),
			changed = registries.changed() => if changed.is_err() {
				// The follower has ended, which it does not do before its last handle is dropped.
				return Ok(());
			},
		}
	}
}
