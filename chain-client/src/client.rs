//! One connection to a node.
//!
//! It speaks the node's legacy JSON-RPC methods: they read at any block by its hash and pin nothing,
//! where `chainHead` serves pinned blocks only and ends every subscription when a client lags.

use crate::{
	call::{Call, Included, Until},
	error::Error,
	registry::{BlockRef, Operator, Registry},
	runtime,
	settlement::SettlementAt,
	snapshot::{block_ref, AtBlock, Position, Snapshot, StakingInfo, Unbonding},
	source::{Chain, ChainAt, Connect, Heads},
	submit, update,
};
use cuckoo_primitives::{AccountId, Balance, BlockNumber, H256};
use futures::StreamExt;
use sp_core::sr25519;
use std::{
	sync::{Arc, Mutex, PoisonError},
	time::Duration,
};
use subxt::{
	backend::LegacyBackend,
	config::{RpcConfigFor, SubstrateConfig},
	ext::jsonrpsee::ws_client::{PingConfig, WsClientBuilder},
	rpcs::{LegacyRpcMethods, RpcClient},
	OnlineClient,
};
use tokio::time;

/// For a connection, with the check that the node fits.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// For one request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// How often the node is asked for a sign of life, and how long it may give none.
const PING_INTERVAL: Duration = Duration::from_secs(10);
const PING_LIMIT: Duration = Duration::from_secs(20);

/// The largest answer that is read; a full page of operators with the longest introductions has 2 MB.
const MAX_RESPONSE_BYTES: u32 = 16 * 1024 * 1024;

/// Where a node is.
#[derive(Clone, Debug)]
pub(crate) struct Node {
	url: String,
}

impl Node {
	pub(crate) fn new(url: String) -> Self {
		Self { url }
	}
}

impl Connect for Node {
	type Chain = ChainClient;

	async fn connect(&self) -> Result<ChainClient, Error> {
		ChainClient::connect(&self.url).await
	}
}

/// The runtime as this connection saw it last.
#[derive(Clone, Copy, Debug)]
struct Runtime {
	spec_version: u32,
	/// The first block that had it, unless that was before the connection.
	since: Option<BlockNumber>,
}

/// A connection to a node. Clones share it. Every request is bounded in time. A connection that broke
/// stays broken: connect again, or let [`crate::follow`] do it.
#[derive(Clone, Debug)]
pub struct ChainClient {
	api: OnlineClient<SubstrateConfig>,
	pub(crate) rpc: LegacyRpcMethods<RpcConfigFor<SubstrateConfig>>,
	runtime: Arc<Mutex<Runtime>>,
	/// Held from the reading of an account's next nonce until the node has the transaction.
	pub(crate) sending: Arc<tokio::sync::Mutex<()>>,
}

impl ChainClient {
	/// Connects to the node at `url` (`ws://` or `wss://`) and checks that its runtime is one that
	/// this crate knows.
	pub async fn connect(url: &str) -> Result<Self, Error> {
		time::timeout(CONNECT_TIMEOUT, Self::connect_unbounded(url))
			.await
			.unwrap_or(Err(Error::Timeout {
				what: "connecting",
				after: CONNECT_TIMEOUT,
			}))
	}

	async fn connect_unbounded(url: &str) -> Result<Self, Error> {
		let unreachable = |reason: String| Error::Unreachable {
			url: url.into(),
			reason,
		};
		let ping = PingConfig::new()
			.ping_interval(PING_INTERVAL)
			.inactive_limit(PING_LIMIT);
		let socket = WsClientBuilder::new()
			.connection_timeout(CONNECT_TIMEOUT)
			.request_timeout(REQUEST_TIMEOUT)
			.max_response_size(MAX_RESPONSE_BYTES)
			.enable_ws_ping(ping)
			.build(url)
			.await
			.map_err(|error| unreachable(error.to_string()))?;
		let socket = RpcClient::new(socket);
		let backend = LegacyBackend::builder().build(socket.clone());
		let api = OnlineClient::<SubstrateConfig>::from_backend(Arc::new(backend))
			.await
			.map_err(|error| unreachable(error.to_string()))?;
		let at = api
			.at_current_block()
			.await
			.map_err(|error| unreachable(error.to_string()))?;
		runtime::check(&at)?;
		let runtime = Runtime {
			spec_version: at.spec_version(),
			since: None,
		};
		Ok(Self {
			api,
			rpc: LegacyRpcMethods::new(socket),
			runtime: Arc::new(Mutex::new(runtime)),
			sending: Arc::default(),
		})
	}

	/// The hash of the chain's first block.
	pub fn genesis_hash(&self) -> H256 {
		self.api.genesis_hash()
	}

	/// The last finalized block.
	pub async fn finalized(&self) -> Result<BlockRef, Error> {
		let failed = |reason: String| Error::Read {
			what: "the finalized head",
			reason,
		};
		let hash = self
			.rpc
			.chain_get_finalized_head()
			.await
			.map_err(|error| failed(error.to_string()))?;
		let header = self.rpc.chain_get_header(Some(hash)).await;
		let header = header.map_err(|error| failed(error.to_string()))?;
		let header = header.ok_or_else(|| failed(format!("it has no block {hash:?}")))?;
		block_ref(header.number, hash)
	}

	/// The hash of the block with this number, if the node's chain has come so far.
	pub async fn block_hash(&self, number: BlockNumber) -> Result<Option<H256>, Error> {
		let hash = self.rpc.chain_get_block_hash(Some(number.into())).await;
		hash.map_err(|error| Error::Read {
			what: "a block's hash",
			reason: error.to_string(),
		})
	}

	/// The whole registry at a block, which the node must still have the state of.
	pub async fn registry_at(&self, block_hash: H256) -> Result<Registry, Error> {
		let snapshot = self.snapshot_at(block_hash).await?;
		update::read_all_at(&snapshot, snapshot.block()?).await
	}

	/// One operator at a block.
	pub async fn operator_at(
		&self,
		block_hash: H256,
		account: &AccountId,
	) -> Result<Option<Operator>, Error> {
		self.snapshot_at(block_hash)
			.await?
			.operator(account.clone())
			.await
	}

	/// The nonce that the next worker proof of this operator must carry, as of the last finalized
	/// block.
	pub async fn worker_nonce(&self, operator: &AccountId) -> Result<u32, Error> {
		self.snapshot().await?.worker_nonce(operator).await
	}

	/// An account's free balance as of the last finalized block.
	pub async fn balance(&self, account: &AccountId) -> Result<Balance, Error> {
		self.snapshot().await?.balance(account).await
	}

	/// What a voter (or the operator itself) has on one operator as of the last finalized block.
	pub async fn position(
		&self,
		voter: &AccountId,
		operator: &AccountId,
	) -> Result<Option<Balance>, Error> {
		self.snapshot().await?.position(voter, operator).await
	}

	/// What a voter has on all operators as of the last finalized block.
	pub async fn positions(&self, voter: &AccountId) -> Result<Vec<Position>, Error> {
		self.snapshot().await?.positions(voter).await
	}

	/// What is on its way out for a voter as of the last finalized block.
	pub async fn unbonding(&self, voter: &AccountId) -> Result<Vec<Unbonding>, Error> {
		self.snapshot().await?.unbonding(voter).await
	}

	/// Figures of the whole of staking as of the last finalized block.
	pub async fn staking_info(&self) -> Result<StakingInfo, Error> {
		self.snapshot().await?.staking_info().await
	}

	/// Reads of settlement, all as of the last finalized block.
	pub async fn settlement(&self) -> Result<SettlementAt, Error> {
		Ok(SettlementAt::new(self.at_finalized().await?))
	}

	/// Reads of settlement as of a block.
	pub async fn settlement_at(&self, block: BlockRef) -> Result<SettlementAt, Error> {
		Ok(SettlementAt::new(self.open(block).await?))
	}

	/// Who validates in a block's session, by their index as BABE's authorities.
	pub async fn validators_at(&self, block_hash: H256) -> Result<Vec<AccountId>, Error> {
		self.snapshot_at(block_hash).await?.validators().await
	}

	/// Signs a call, sends it, and waits until it is where `until` says. An error that the call met
	/// in its block comes with its name and its meaning.
	///
	/// Calls of one account through one client may be sent side by side; they take effect in the
	/// order in which they were sent.
	pub async fn submit(
		&self,
		call: &Call,
		signer: &sr25519::Pair,
		until: Until,
	) -> Result<Included, Error> {
		submit::submit(self, call, signer, until).await
	}

	/// subxt's view of the last finalized block.
	pub(crate) async fn at_finalized(&self) -> Result<AtBlock, Error> {
		self.open(self.finalized().await?).await
	}

	async fn snapshot(&self) -> Result<Snapshot, Error> {
		self.at(self.finalized().await?).await
	}

	async fn snapshot_at(&self, block_hash: H256) -> Result<Snapshot, Error> {
		let at = self
			.api
			.at_block(block_hash)
			.await
			.map_err(|error| Error::Read {
				what: "a block",
				reason: error.to_string(),
			})?;
		runtime::check(&at)?;
		Ok(Snapshot::new(at, false))
	}

	async fn open(&self, block: BlockRef) -> Result<AtBlock, Error> {
		let at = self.api.at_block_hash_and_number(
			subxt::backend::BlockRef::from_hash(block.hash),
			u64::from(block.number),
		);
		at.await.map_err(|error| Error::Read {
			what: "a block",
			reason: error.to_string(),
		})
	}

	/// Whether the runtime is new at this block. A node that calls into a block's state runs the code
	/// that the block leaves behind, so the new version shows one block before its migrations run:
	/// both blocks count.
	fn note_runtime(&self, spec_version: u32, block: BlockNumber) -> bool {
		let mut runtime = self.runtime.lock().unwrap_or_else(PoisonError::into_inner);
		if runtime.spec_version != spec_version {
			*runtime = Runtime {
				spec_version,
				since: Some(block),
			};
		}
		runtime
			.since
			.is_some_and(|since| block.saturating_sub(since) <= 1)
	}
}

impl Chain for ChainClient {
	type At = Snapshot;

	fn genesis_hash(&self) -> H256 {
		self.genesis_hash()
	}

	async fn finalized(&self) -> Result<BlockRef, Error> {
		self.finalized().await
	}

	async fn heads(&self) -> Result<Heads, Error> {
		let blocks = self
			.api
			.stream_blocks()
			.await
			.map_err(|error| Error::Read {
				what: "finalized heads",
				reason: error.to_string(),
			})?;
		let heads = blocks.map(|block| match block {
			Ok(block) => block_ref(block.number(), block.hash()),
			Err(error) => Err(Error::Read {
				what: "finalized heads",
				reason: error.to_string(),
			}),
		});
		Ok(heads.fuse().boxed())
	}

	async fn at(&self, block: BlockRef) -> Result<Snapshot, Error> {
		let at = self.open(block).await?;
		let upgraded = self.note_runtime(at.spec_version(), block.number);
		if upgraded {
			runtime::check(&at)?;
		}
		Ok(Snapshot::new(at, upgraded))
	}
}
