//! What is asked of the node.

use super::transactions::{own_version, Chain, Kind};
use anyhow::{anyhow, ensure, Context};
use codec::{Decode, DecodeAll};
use cuckoo_primitives::{BlockNumber, H256};
use cuckoo_runtime::{Hash, RuntimeEvent};
use frame_support::storage::storage_prefix;
use frame_system::{EventRecord, Phase};
use jsonrpsee::{
	core::{client::ClientT, params::BatchRequestBuilder},
	rpc_params,
	ws_client::{WsClient, WsClientBuilder},
};
use serde_json::Value;
use std::{sync::Arc, time::Duration};

/// Longest wait for one reply. A node under full load answers late.
const REPLY_TIMEOUT: Duration = Duration::from_secs(60);

/// The events of a full block are some megabytes.
const MAX_REPLY_BYTES: u32 = 64 * 1024 * 1024;

/// What a block did.
#[derive(Clone, Copy, Debug)]
pub struct Block {
	/// Transactions of the kind that was asked for, done.
	pub done: u32,
	/// Transactions that failed.
	pub failed: u32,
	/// Its time, in milliseconds of Unix time.
	pub millis: u64,
}

/// A connection to the node.
#[derive(Clone)]
pub struct NodeRpc {
	client: Arc<WsClient>,
}

impl NodeRpc {
	/// Connects to `url` (`ws://…`).
	pub async fn connect(url: &str) -> anyhow::Result<Self> {
		let client = WsClientBuilder::default()
			.request_timeout(REPLY_TIMEOUT)
			.max_response_size(MAX_REPLY_BYTES)
			.build(url)
			.await?;
		Ok(Self {
			client: Arc::new(client),
		})
	}

	/// What transactions are signed for. Another runtime than this program's would not understand
	/// them.
	pub async fn chain(&self) -> anyhow::Result<Chain> {
		let version: Value = self
			.client
			.request("state_getRuntimeVersion", rpc_params![])
			.await?;
		let number = |name: &str| {
			version[name]
				.as_u64()
				.and_then(|number| u32::try_from(number).ok())
				.with_context(|| format!("the runtime's version has no {name}"))
		};
		let found = (number("specVersion")?, number("transactionVersion")?);
		ensure!(
			found == own_version(),
			"the node's runtime is another: {found:?}"
		);
		Ok(Chain {
			genesis: self.block_hash(0).await?,
			spec_version: found.0,
			transaction_version: found.1,
		})
	}

	/// The number of the best block.
	pub async fn best_number(&self) -> anyhow::Result<BlockNumber> {
		let header: Value = self
			.client
			.request("chain_getHeader", rpc_params![])
			.await?;
		header["number"]
			.as_str()
			.and_then(|number| number.strip_prefix("0x"))
			.and_then(|digits| BlockNumber::from_str_radix(digits, 16).ok())
			.context("the best block's header has no number")
	}

	async fn block_hash(&self, number: BlockNumber) -> anyhow::Result<H256> {
		let hash: Option<H256> = self
			.client
			.request("chain_getBlockHash", rpc_params![number])
			.await?;
		hash.with_context(|| format!("no block {number}"))
	}

	/// What the block with this number did.
	pub async fn block(&self, number: BlockNumber, kind: Kind) -> anyhow::Result<Block> {
		let hash = self.block_hash(number).await?;
		let events = self.entry(b"System", b"Events", hash).await?;
		let events = Vec::<EventRecord<RuntimeEvent, Hash>>::decode_all(&mut &events[..])?;
		let now = self.entry(b"Timestamp", b"Now", hash).await?;
		let by_transaction = events
			.iter()
			.filter(|record| matches!(record.phase, Phase::ApplyExtrinsic(_)));
		let (mut done, mut failed) = (0, 0);
		for record in by_transaction {
			match &record.event {
				event if is_done(kind, event) => done += 1,
				RuntimeEvent::System(frame_system::Event::ExtrinsicFailed { .. }) => failed += 1,
				_ => (),
			}
		}
		Ok(Block {
			done,
			failed,
			millis: u64::decode(&mut &now[..])?,
		})
	}

	async fn entry(&self, pallet: &[u8], item: &[u8], at: H256) -> anyhow::Result<Vec<u8>> {
		let key = format!("0x{}", hex::encode(storage_prefix(pallet, item)));
		let value: Option<String> = self
			.client
			.request("state_getStorage", rpc_params![key, at])
			.await?;
		let value = value.context("an entry is missing")?;
		Ok(hex::decode(value.trim_start_matches("0x"))?)
	}

	/// Submits transactions in this order. One that the pool refuses is an error.
	pub async fn submit(&self, transactions: &[String]) -> anyhow::Result<()> {
		let mut batch = BatchRequestBuilder::new();
		for transaction in transactions {
			batch.insert("author_submitExtrinsic", rpc_params![transaction])?;
		}
		let answers = self.client.batch_request::<H256>(batch).await?;
		for answer in answers {
			answer.map_err(|error| anyhow!("the pool refused a transaction: {error}"))?;
		}
		Ok(())
	}
}

/// Whether this is the event of a transaction that was done. In a window of transfers nothing else
/// moves tokens between accounts.
fn is_done(kind: Kind, event: &RuntimeEvent) -> bool {
	match kind {
		Kind::Transfer => matches!(
			event,
			RuntimeEvent::Balances(pallet_balances::Event::Transfer { .. })
		),
		Kind::Vote => matches!(
			event,
			RuntimeEvent::Staking(pallet_cuckoo_staking::Event::Voted { .. })
		),
	}
}
