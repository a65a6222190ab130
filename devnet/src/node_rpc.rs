//! The few things asked of the node directly: which block has a number, and what is in the blocks.

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
		let header: Value = self.call("chain_getHeader", rpc_params![]).await?;
		let number = header["number"]
			.as_str()
			.and_then(|text| text.strip_prefix("0x"));
		number
			.and_then(|digits| BlockNumber::from_str_radix(digits, 16).ok())
			.ok_or_else(|| Error::Node("the best block's header has no number".to_owned()))
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

	#[test]
	fn inherents_and_transactions_are_told_apart() {
		assert_eq!(is_bare("0x0c050000"), Some(true));
		assert_eq!(is_bare("0x0c040000"), Some(true));
		assert_eq!(is_bare("0x0c840000"), Some(false));
		assert_eq!(is_bare("0x0c450000"), Some(false));
		assert_eq!(is_bare("0x"), None);
		assert_eq!(is_bare("no hex"), None);
	}
}
