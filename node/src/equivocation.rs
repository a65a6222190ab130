//! Finds authors of two blocks in one slot, and reports them to the chain.
//!
//! The block import of `sc-consensus-babe` does so, too, but on headers whose seal it has taken off
//! before: without the seals no runtime accepts the proof. Here headers are as they were imported.

use crate::service::FullClient;
use cuckoo_runtime::{opaque::Block, Header};
use futures::StreamExt;
use sc_client_api::BlockchainEvents;
use sc_consensus_babe::find_pre_digest;
use sc_transaction_pool_api::OffchainTransactionPoolFactory;
use sp_api::{ApiExt, ProvideRuntimeApi};
use sp_consensus::BlockOrigin;
use sp_consensus_babe::{AuthorityId, AuthorityIndex, BabeApi, EquivocationProof, Slot};
use std::{collections::BTreeMap, sync::Arc};

/// A block is compared with the others of its slot while the newest is no more slots away than this.
const KEPT_SLOTS: u64 = 1_000;

/// Why there is no report. The blocks are imported all the same.
#[derive(Debug, thiserror::Error)]
enum Error {
	#[error("the runtime does not answer: {0}")]
	Runtime(#[from] sp_api::ApiError),
	#[error("the author's key is in no session that the chain remembers")]
	NoOwner,
	#[error("the runtime refuses the proof")]
	Refused,
}

/// Looks at every block that is imported, until the node ends. Reports go into the node's own
/// transaction pool: they are for the blocks that it writes, as every validator sees the same.
pub async fn watch(client: Arc<FullClient>, pool: OffchainTransactionPoolFactory<Block>) {
	let mut imported = client.every_import_notification_stream();
	let mut slots = Slots::default();
	while let Some(block) = imported.next().await {
		// Too old to count, and too many.
		if block.origin == BlockOrigin::NetworkInitialSync {
			continue;
		}
		let Some((slot, first, second)) = slots.note(block.header) else {
			continue;
		};
		match report(&client, &pool, slot, first, second) {
			Ok(Some(author)) => {
				tracing::info!("reported {author:?}: two blocks in slot {slot}");
			},
			Ok(None) => (),
			Err(error) => {
				tracing::warn!("two blocks in slot {slot} are not reported: {error}");
			},
		}
	}
}

/// The blocks of late by slot and author. One for each, so that many blocks of one author take no more
/// room than two; `None` where there was a second: that is known and needs no other proof.
#[derive(Default)]
struct Slots(BTreeMap<(Slot, AuthorityIndex), Option<Header>>);

impl Slots {
	/// Takes note of a block; returns it with the other one if it is its author's second in the slot.
	fn note(&mut self, header: Header) -> Option<(Slot, Header, Header)> {
		let digest = find_pre_digest::<Block>(&header).ok()?;
		let slot = digest.slot();
		if let Some(((newest, _), _)) = self.0.last_key_value() {
			let oldest = newest.saturating_sub(KEPT_SLOTS);
			if slot < oldest {
				return None;
			}
			self.0 = self.0.split_off(&(oldest, 0));
		}
		let seen = self
			.0
			.entry((slot, digest.authority_index()))
			.or_insert_with(|| Some(header.clone()));
		let first = seen.take_if(|first| first.hash() != header.hash())?;
		Some((slot, first, header))
	}
}

/// Proves that the two blocks are of the same author and puts the report into the pool. `None` where
/// they are not: forks may number their authors differently.
fn report(
	client: &FullClient,
	pool: &OffchainTransactionPoolFactory<Block>,
	slot: Slot,
	first: Header,
	second: Header,
) -> Result<Option<AuthorityId>, Error> {
	let offender = author(client, &first)?;
	if offender.is_none() || offender != author(client, &second)? {
		return Ok(None);
	}
	let Some(offender) = offender else {
		return Ok(None);
	};
	// In the state of the block itself its session is the present one, even if it is the first.
	let owner = client
		.runtime_api()
		.generate_key_ownership_proof(second.hash(), slot, offender.clone())?
		.ok_or(Error::NoOwner)?;
	let proof = EquivocationProof {
		offender: offender.clone(),
		slot,
		first_header: first,
		second_header: second,
	};
	let best = client.chain_info().best_hash;
	let mut runtime = client.runtime_api();
	runtime.register_extension(pool.offchain_transaction_pool(best));
	runtime
		.submit_report_equivocation_unsigned_extrinsic(best, proof, owner)?
		.ok_or(Error::Refused)?;
	Ok(Some(offender))
}

/// The key that the block is sealed with, by the authorities in its own state.
fn author(client: &FullClient, header: &Header) -> Result<Option<AuthorityId>, Error> {
	let Ok(digest) = find_pre_digest::<Block>(header) else {
		return Ok(None);
	};
	let epoch = client.runtime_api().current_epoch(header.hash())?;
	let author = epoch.authorities.get(digest.authority_index() as usize);
	Ok(author.map(|(author, _)| author.clone()))
}
