//! The trees of closed eras. What is earned in a closed era never changes, so that a tree can be made again
//! at any time.

use super::{lock, Ledger};
use crate::{
	coordinator::{failed_inside, internal, Coordinator, Result},
	store::{EraState, StoreError},
};
use cuckoo_coordinator_api::{
	error::{ApiError, ErrorCode},
	payment::SettlementProof,
};
use cuckoo_primitives::{
	sum_tree::{self, SumTree},
	AccountId, EraIndex,
};
use std::sync::Arc;

/// Most trees that are kept in memory.
const MAX_TREES: usize = 4;

impl Ledger {
	fn keep_tree(&self, era: EraIndex, tree: &Arc<SumTree>) {
		let mut trees = lock(&self.trees);
		trees.insert(era, tree.clone());
		while trees.len() > MAX_TREES {
			trees.pop_first();
		}
	}
}

impl Coordinator {
	/// The tree of a closed era.
	pub(crate) async fn tree(&self, era: EraIndex) -> Result<Arc<SumTree>> {
		if let Some(tree) = lock(&self.ledger().trees).get(&era) {
			return Ok(tree.clone());
		}
		let identity = self.identity()?;
		let closed = self.store().closed_era().await.map_err(internal)?;
		if closed.is_none_or(|closed| closed < era) {
			return Err(failed_inside(&StoreError::Corrupt("era")));
		}
		let leaves = self.store().leaves(era).await.map_err(internal)?;
		let context = sum_tree::context(&identity.genesis, &identity.operator, era);
		let build = move || SumTree::new(&context, leaves);
		// A million leaves take a second.
		let built = tokio::task::spawn_blocking(build).await;
		let built = built.map_err(|error| failed_inside(&error))?;
		let tree = Arc::new(built.map_err(|error| failed_inside(&error))?);
		self.ledger().keep_tree(era, &tree);
		Ok(tree)
	}

	/// Where a miner stands in the tree of a settled era.
	pub async fn settlement_proof(
		&self,
		era: EraIndex,
		miner: &AccountId,
	) -> Result<SettlementProof> {
		let identity = self.identity()?;
		let not_found = || ApiError::new(ErrorCode::SettlementNotFound).about(era);
		let row = self.store().era(era).await.map_err(internal)?;
		row.filter(|row| row.state == EraState::Posted)
			.ok_or_else(not_found)?;
		let tree = self.tree(era).await?;
		let proof = tree.prove_miner(miner).ok_or_else(not_found)?;
		Ok(SettlementProof::new(
			identity.operator.clone(),
			era,
			tree.root(),
			proof,
		))
	}
}
