//! The few things asked of the node directly: which block has a number, what is in the blocks and who
//! wrote them.

use crate::{Error, Result};
use codec::{Compact, Decode};
use cuckoo_primitives::{BlockNumber, H256};
use jsonrpsee::{
	core::{client::ClientT, traits::ToRpcParams},
	http_client::{HttpClient, HttpClientBuilder},
	rpc_params,
};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::time::Duration;

/// Longest wait for one reply.
const REPLY_TIMEOUT: Duration = Duration::from_secs(5);

/// The node's legacy JSON-RPC.
#[derive(Clone, Debug)]
pub struct NodeRpc {
	rpc: HttpClient,
}

impl NodeRpc {
	/// A client of the node at `url` (`http://…`). Connects at the first call.
	pub fn new(url: &str) -> Result<Self> {
		let rpc = HttpClientBuilder::default()
			.request_timeout(REPLY_TIMEOUT)
			.build(url);
		Ok(Self {
			rpc: rpc.map_err(|error| Error::Node(error.to_string()))?,
		})
	}

	/// The hash of the best chain's block with this number.
	pub async fn block_hash(&self, number: BlockNumber) -> Result<H256> {
		let hash: Option<H256> = self.call("chain_getBlockHash", rpc_params![number]).await?;
		hash.ok_or_else(|| Error::Node(format!("it has no block {number}")))
	}

	/// The best block's number.
	pub async fn best_number(&self) -> Result<BlockNumber> {
		number(&self.call("chain_getHeader", rpc_params![]).await?)
	}

	/// The last finalized block's number.
	pub async fn finalized_number(&self) -> Result<BlockNumber> {
		let hash: H256 = self.call("chain_getFinalizedHead", rpc_params![]).await?;
		number(&self.call("chain_getHeader", rpc_params![hash]).await?)
	}

	/// The index of the block's author among the authorities of its session.
	pub async fn author_index(&self, block: H256) -> Result<u32> {
		let header: Value = self.call("chain_getHeader", rpc_params![block]).await?;
		let logs = header["digest"]["logs"].as_array();
		let index = logs.and_then(|logs| logs.iter().find_map(|log| author_in(log.as_str()?)));
		index.ok_or_else(|| Error::Node(format!("block {block:?} names no author")))
	}

	/// The node's name among its peers.
	pub async fn peer_id(&self) -> Result<String> {
		self.call("system_localPeerId", rpc_params![]).await
	}

	/// How many peers the node is connected to.
	pub async fn peers(&self) -> Result<u64> {
		let health: Value = self.call("system_health", rpc_params![]).await?;
		health["peers"]
			.as_u64()
			.ok_or_else(|| Error::Node("its health has no number of peers".to_owned()))
	}

	/// How many transactions the block with this number holds. What a block's author puts in by
	/// itself, such as the time, is none.
	pub async fn transactions(&self, number: BlockNumber) -> Result<usize> {
		let hash = self.block_hash(number).await?;
		let block: Value = self.call("chain_getBlock", rpc_params![hash]).await?;
		let extrinsics = block["block"]["extrinsics"].as_array();
		let bare = extrinsics.and_then(|all| {
			all.iter()
				.map(|extrinsic| is_bare(extrinsic.as_str()?))
				.collect::<Option<Vec<_>>>()
		});
		let bare = bare.ok_or_else(|| Error::Node(format!("block {number} is unreadable")))?;
		Ok(bare.into_iter().filter(|bare| !bare).count())
	}

	async fn call<T: DeserializeOwned>(
		&self,
		method: &str,
		params: impl ToRpcParams + Send,
	) -> Result<T> {
		let reply = self.rpc.request(method, params).await;
		reply.map_err(|error| Error::Node(format!("{method}: {error}")))
	}
}

fn number(header: &Value) -> Result<BlockNumber> {
	let number = header["number"]
		.as_str()
		.and_then(|text| text.strip_prefix("0x"));
	number
		.and_then(|digits| BlockNumber::from_str_radix(digits, 16).ok())
		.ok_or_else(|| Error::Node("a block's header has no number".to_owned()))
}

/// The author's index in a header's digest item, if it is the one that BABE writes before the block.
fn author_in(item: &str) -> Option<u32> {
	/// A digest item that the runtime may read.
	const PRE_RUNTIME: u8 = 6;
	let bytes = hex::decode(item.strip_prefix("0x")?).ok()?;
	let (kind, engine, content) = <(u8, [u8; 4], Vec<u8>)>::decode(&mut bytes.as_slice()).ok()?;
	if (kind, &engine) != (PRE_RUNTIME, b"BABE") {
		return None;
	}
	// Each way to claim a slot begins with the index.
	let (_claim, index) = <(u8, u32)>::decode(&mut content.as_slice()).ok()?;
	Some(index)
}

/// Whether an encoded extrinsic is bare: nobody sent it. The two highest bits of the byte after the
/// length say so (0: bare; 1: general; 2: signed).
fn is_bare(extrinsic: &str) -> Option<bool> {
	let bytes = hex::decode(extrinsic.strip_prefix("0x")?).ok()?;
	let mut rest = bytes.as_slice();
	Compact::<u32>::decode(&mut rest).ok()?;
	Some(rest.first()? >> 6 == 0)
}

#[cfg(test)]
mod tests {
	use super::*;
	use codec::Encode;

	#[test]
	fn inherents_and_transactions_are_told_apart() {
		assert_eq!(is_bare("0x0c050000"), Some(true));
		assert_eq!(is_bare("0x0c040000"), Some(true));
		assert_eq!(is_bare("0x0c840000"), Some(false));
		assert_eq!(is_bare("0x0c450000"), Some(false));
		assert_eq!(is_bare("0x"), None);
		assert_eq!(is_bare("no hex"), None);
	}

	#[test]
	fn the_author_is_read_from_babes_item_alone() {
		let digest = |kind: u8, engine: &[u8; 4]| {
			let claim = (2u8, 7u32, 1_234u64).encode();
			format!("0x{}", hex::encode((kind, engine, claim).encode()))
		};
		assert_eq!(author_in(&digest(6, b"BABE")), Some(7));
		assert_eq!(author_in(&digest(5, b"BABE")), None);
		assert_eq!(author_in(&digest(6, b"FRNK")), None);
		assert_eq!(author_in("0x06"), None);
	}
}
