//! What the chain says of an era, behind a small trait, and the connection that answers.

use super::book::Party;
use cuckoo_chain_client::{Allotment, Call, ChainClient, Settlement, SettlementCall, Until};
use cuckoo_primitives::{sum_tree::Root, AccountId, Balance, EraIndex, H256};
use sp_core::sr25519;
use std::{collections::BTreeMap, future::Future, sync::Arc};
use tokio::sync::Mutex;

/// For how long what can be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
	/// For how many eras after its own an era can be settled.
	pub post_eras: EraIndex,
	/// For how many eras after its own anything of an era can be claimed.
	pub claim_eras: EraIndex,
}

/// What the chain has of one party, at one finalized block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
	/// The era.
	pub now: EraIndex,
	/// How long what can be done.
	pub windows: Windows,
	/// What backs the vouchers.
	pub allotment: Option<Allotment>,
	/// The eras that were asked for and are settled: the root, and whether the leaf that was asked for
	/// was claimed.
	pub settled: BTreeMap<EraIndex, (Root, bool)>,
}

impl Facts {
	/// What the miner can count on.
	pub fn guaranteed(&self) -> Balance {
		self.allotment.as_ref().map_or(0, Allotment::guaranteed)
	}

	/// What the miner got for an era, as far as the allotment notes it.
	pub fn noted(&self, era: EraIndex) -> Balance {
		let paid = self
			.allotment
			.iter()
			.flat_map(|allotment| &allotment.paid)
			.find(|(paid, _)| *paid == era);
		paid.map_or(0, |(_, amount)| *amount)
	}
}

/// The chain as the purse sees it. An error is a sentence.
pub trait SettlementChain: Send + Sync {
	/// What it has of a party and of these eras; with an era, the index of the miner's leaf if that is known.
	fn facts(
		&self,
		party: &Party,
		eras: &BTreeMap<EraIndex, Option<u32>>,
	) -> impl Future<Output = Result<Facts, String>> + Send;

	/// Sends these calls, all together or none, and waits until they are final.
	fn send(&self, calls: Vec<SettlementCall>) -> impl Future<Output = Result<(), String>> + Send;

	/// The account that pays for [`SettlementChain::send`], and what it has; `None` without one.
	fn payer(&self) -> impl Future<Output = Result<Option<(AccountId, Balance)>, String>> + Send;
}

/// A node. Connects when it is first asked, and anew after a connection broke.
pub struct Node {
	url: String,
	payer: Option<sr25519::Pair>,
	/// The chain that it must be on, if that is known.
	genesis_hash: Option<H256>,
	client: Mutex<Option<Arc<ChainClient>>>,
}

impl Node {
	/// At this address, with the key that pays for calls.
	pub fn new(url: String, payer: Option<sr25519::Pair>) -> Self {
		Self {
			url,
			payer,
			genesis_hash: None,
			client: Mutex::default(),
		}
	}

	/// The same, as long as it is on this chain: another may have taken its address when it is connected to
	/// anew.
	pub fn of_chain(self, genesis_hash: H256) -> Self {
		Self {
			genesis_hash: Some(genesis_hash),
			..self
		}
	}

	/// The connection.
	pub async fn client(&self) -> Result<Arc<ChainClient>, String> {
		let mut client = self.client.lock().await;
		if let Some(client) = &*client {
			return Ok(client.clone());
		}
		let connected = ChainClient::connect(&self.url).await;
		let connected = Arc::new(connected.map_err(|error| error.to_string())?);
		self.check(connected.genesis_hash())?;
		Ok(client.insert(connected).clone())
	}

	fn check(&self, found: H256) -> Result<(), String> {
		match self.genesis_hash {
			Some(expected) if expected != found => Err(format!(
				"the node at {} is on the chain with genesis {found:?} by now, this miner is on {expected:?}",
				self.url
			)),
			_ => Ok(()),
		}
	}

	/// Forgets a connection on which something failed.
	async fn checked<T>(&self, done: Result<T, cuckoo_chain_client::Error>) -> Result<T, String> {
		match done {
			Ok(value) => Ok(value),
			Err(error) => {
				*self.client.lock().await = None;
				Err(error.to_string())
			},
		}
	}
}

async fn read(
	client: &ChainClient,
	party: &Party,
	eras: &BTreeMap<EraIndex, Option<u32>>,
) -> Result<Facts, cuckoo_chain_client::Error> {
	let Party { coordinator, miner } = party;
	let at = client.settlement().await?;
	let params = at.params()?;
	let mut settled = BTreeMap::new();
	for (era, leaf) in eras {
		if let Some(Settlement { root, .. }) = at.settled(coordinator, *era).await? {
			let claimed = match leaf {
				Some(index) => at.is_claimed(coordinator, *era, *index).await?,
				None => false,
			};
			settled.insert(*era, (root, claimed));
		}
	}
	Ok(Facts {
		now: at.era().await?,
		windows: Windows {
			post_eras: params.post_eras,
			claim_eras: params.claim_eras,
		},
		allotment: at.allotment(coordinator, miner).await?,
		settled,
	})
}

impl SettlementChain for Node {
	async fn facts(
		&self,
		party: &Party,
		eras: &BTreeMap<EraIndex, Option<u32>>,
	) -> Result<Facts, String> {
		let client = self.client().await?;
		self.checked(read(&client, party, eras).await).await
	}

	async fn send(&self, calls: Vec<SettlementCall>) -> Result<(), String> {
		let payer = self.payer.as_ref().ok_or("there is no key to pay with")?;
		let mut calls: Vec<Call> = calls.into_iter().map(Call::from).collect();
		let call = match (calls.len(), calls.pop()) {
			(1, Some(only)) => only,
			(_, Some(last)) => {
				calls.push(last);
				Call::Batch(calls)
			},
			(_, None) => return Ok(()),
		};
		let client = self.client().await?;
		let sent = client.submit(&call, payer, Until::Finalized).await;
		match sent {
			Ok(_) => Ok(()),
			// The chain's own word: nothing is wrong with the connection.
			Err(
				error @ (cuckoo_chain_client::Error::Failed { .. }
				| cuckoo_chain_client::Error::Refused(_)),
			) => Err(error.to_string()),
			Err(error) => self.checked(Err(error)).await,
		}
	}

	async fn payer(&self) -> Result<Option<(AccountId, Balance)>, String> {
		use sp_core::Pair;
		let Some(payer) = &self.payer else {
			return Ok(None);
		};
		let account = AccountId::new(payer.public().0);
		let client = self.client().await?;
		let balance = self.checked(client.balance(&account).await).await?;
		Ok(Some((account, balance)))
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn a_node_that_is_on_another_chain_by_now_is_refused() {
		let [ours, other] = [1, 2].map(H256::repeat_byte);
		let node = Node::new("ws://there".into(), None);
		assert_eq!(node.check(other), Ok(()), "any will do");
		let node = node.of_chain(ours);
		assert_eq!(node.check(ours), Ok(()));
		assert!(node.check(other).unwrap_err().contains("ws://there"));
	}
}
