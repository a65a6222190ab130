//! What is asked of the chain, and what is sent to it. A trait, so that tests have a chain without a node.

use cuckoo_chain_client::{
	Allotment, BlockRef, Channel, Reserve, Settlement, SettlementCall, SettlementParams, Split,
};
use cuckoo_primitives::{voucher::ChannelId, AccountId, EraIndex};
use futures::future::BoxFuture;

/// The chain could not be read, or a transaction did not succeed for certain.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct ChainError(pub String);

/// What a look at the chain gives.
pub type ChainResult<T> = Result<T, ChainError>;

/// What the last finalized block says of a coordinator's money.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Facts {
	/// The block.
	pub block: BlockRef,
	/// Its era.
	pub era: EraIndex,
	/// The pallet's constants.
	pub params: SettlementParams,
	/// How fees are split.
	pub split: Split,
	/// The coordinator's reserve.
	pub reserve: Reserve,
}

/// The chain's side of money, each time as of the last finalized block.
pub trait MoneyChain: Send + Sync {
	/// Era, constants, split and reserve, all of one block.
	fn facts<'a>(&'a self, coordinator: &'a AccountId) -> BoxFuture<'a, ChainResult<Facts>>;

	/// A channel, if there is one.
	fn channel(&self, channel: ChannelId) -> BoxFuture<'_, ChainResult<Option<Channel>>>;

	/// What backs a miner's vouchers.
	fn allotment<'a>(
		&'a self,
		coordinator: &'a AccountId,
		miner: &'a AccountId,
	) -> BoxFuture<'a, ChainResult<Option<Allotment>>>;

	/// An era that was settled.
	fn settled<'a>(
		&'a self,
		coordinator: &'a AccountId,
		era: EraIndex,
	) -> BoxFuture<'a, ChainResult<Option<Settlement>>>;

	/// Which of these leaves of a settled era were claimed.
	fn claimed<'a>(
		&'a self,
		coordinator: &'a AccountId,
		era: EraIndex,
		leaves: Vec<u32>,
	) -> BoxFuture<'a, ChainResult<Vec<bool>>>;

	/// Sends these calls in one transaction, for the coordinator, and waits until it is finalized. After
	/// an error nobody knows what has happened: look at the chain.
	fn send<'a>(
		&'a self,
		coordinator: &'a AccountId,
		calls: Vec<SettlementCall>,
	) -> BoxFuture<'a, ChainResult<()>>;
}
