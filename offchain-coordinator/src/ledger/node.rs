//! The chain's side of money at a node.

use super::chain::{ChainError, ChainResult, Facts, MoneyChain};
use cuckoo_chain_client::{
	Allotment, Call, ChainClient, Channel, Error, Settlement, SettlementAt, SettlementCall, Until,
};
use cuckoo_primitives::{voucher::ChannelId, AccountId, EraIndex, H256};
use futures::future::BoxFuture;
use sp_core::{sr25519, Pair as _};
use std::{future::Future, time::Duration};
use tokio::{sync::Mutex, time::timeout};

/// For all reads of one look.
const READ: Duration = Duration::from_secs(30);

/// For a transaction, until it is finalized. A node that is slower is asked again what has become of it.
const SEND: Duration = Duration::from_secs(180);

/// A node, and the key that signs what is sent.
pub struct Node {
	url: String,
	key: Option<sr25519::Pair>,
	client: Mutex<Option<ChainClient>>,
}

impl std::fmt::Debug for Node {
	fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
		f.debug_struct("Node")
			.field("url", &self.url)
			.finish_non_exhaustive()
	}
}

impl From<Error> for ChainError {
	fn from(error: Error) -> Self {
		Self(error.to_string())
	}
}

impl Node {
	/// The node at this address. `key` is the operator's, or that of a proxy of it for settlement.
	pub fn new(url: String, key: sr25519::Pair) -> Self {
		Self {
			key: Some(key),
			..Self::reader(url)
		}
	}

	/// The node at this address, only to read.
	pub fn reader(url: String) -> Self {
		Self {
			url,
			key: None,
			client: Mutex::new(None),
		}
	}

	/// The chain's genesis.
	pub async fn genesis(&self) -> ChainResult<H256> {
		let genesis = |client: ChainClient| async move { Ok(client.genesis_hash()) };
		self.with(READ, genesis).await
	}

	async fn client(&self) -> ChainResult<ChainClient> {
		let mut client = self.client.lock().await;
		if let Some(client) = &*client {
			return Ok(client.clone());
		}
		let new = ChainClient::connect(&self.url).await?;
		*client = Some(new.clone());
		Ok(new)
	}

	/// Does it with the connection; one on which it fails is given up.
	async fn with<T, F: Future<Output = ChainResult<T>>>(
		&self,
		limit: Duration,
		work: impl FnOnce(ChainClient) -> F,
	) -> ChainResult<T> {
		let client = self.client().await?;
		let done = timeout(limit, work(client)).await;
		let done = done.unwrap_or_else(|_| Err(ChainError("the node was too slow".into())));
		if done.is_err() {
			*self.client.lock().await = None;
		}
		done
	}

	async fn read<T, F: Future<Output = ChainResult<T>>>(
		&self,
		work: impl FnOnce(SettlementAt) -> F,
	) -> ChainResult<T> {
		let read = |client: ChainClient| async move { work(client.settlement().await?).await };
		self.with(READ, read).await
	}
}

impl MoneyChain for Node {
	fn facts<'a>(&'a self, coordinator: &'a AccountId) -> BoxFuture<'a, ChainResult<Facts>> {
		Box::pin(self.read(move |at| async move {
			Ok(Facts {
				block: at.block()?,
				era: at.era().await?,
				params: at.params()?,
				split: at.split().await?,
				reserve: at.reserve(coordinator).await?,
			})
		}))
	}

	fn channel(&self, channel: ChannelId) -> BoxFuture<'_, ChainResult<Option<Channel>>> {
		Box::pin(self.read(move |at| async move { Ok(at.channel(channel).await?) }))
	}

	fn allotment<'a>(
		&'a self,
		coordinator: &'a AccountId,
		miner: &'a AccountId,
	) -> BoxFuture<'a, ChainResult<Option<Allotment>>> {
		let read =
			move |at: SettlementAt| async move { Ok(at.allotment(coordinator, miner).await?) };
		Box::pin(self.read(read))
	}

	fn settled<'a>(
		&'a self,
		coordinator: &'a AccountId,
		era: EraIndex,
	) -> BoxFuture<'a, ChainResult<Option<Settlement>>> {
		Box::pin(self.read(move |at| async move { Ok(at.settled(coordinator, era).await?) }))
	}

	fn claimed<'a>(
		&'a self,
		coordinator: &'a AccountId,
		era: EraIndex,
		leaves: Vec<u32>,
	) -> BoxFuture<'a, ChainResult<Vec<bool>>> {
		Box::pin(self.read(move |at| async move {
			let reads = leaves
				.iter()
				.map(|index| at.is_claimed(coordinator, era, *index));
			Ok(futures::future::try_join_all(reads).await?)
		}))
	}

	fn send<'a>(
		&'a self,
		coordinator: &'a AccountId,
		calls: Vec<SettlementCall>,
	) -> BoxFuture<'a, ChainResult<()>> {
		let Some(key) = &self.key else {
			return Box::pin(async { Err(ChainError("there is no key to sign with".into())) });
		};
		let own = AccountId::from(key.public());
		let mut calls: Vec<Call> = calls.into_iter().map(Call::from).collect();
		let call = match (calls.len(), calls.pop()) {
			(1, Some(call)) => call,
			(_, Some(last)) => {
				calls.push(last);
				Call::Batch(calls)
			},
			(_, None) => return Box::pin(async { Ok(()) }),
		};
		let call = if own == *coordinator {
			call
		} else {
			Call::Proxy {
				real: coordinator.clone(),
				call: Box::new(call),
			}
		};
		Box::pin(self.with(SEND, move |client| async move {
			client.submit(&call, key, Until::Finalized).await?;
			Ok(())
		}))
	}
}
