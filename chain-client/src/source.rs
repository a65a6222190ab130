//! What the follower needs from a node, so that its logic can be tested against a model of one.

use crate::{
	error::Error,
	registry::{BlockRef, Operator},
};
use cuckoo_primitives::{AccountId, Balance, EraIndex, Role, H256};
use futures::stream::BoxStream;
use std::{collections::BTreeSet, future::Future};

/// Finalized blocks, each once, in order, without gaps.
pub(crate) type Heads = BoxStream<'static, Result<BlockRef, Error>>;

/// Makes connections.
pub(crate) trait Connect: Send + Sync + 'static {
	/// What a connection leads to.
	type Chain: Chain;

	/// A new connection to the same address.
	fn connect(&self) -> impl Future<Output = Result<Self::Chain, Error>> + Send;
}

/// A connection to a node.
pub(crate) trait Chain: Send + Sync {
	/// Reads at one block.
	type At: ChainAt;

	/// The hash of the chain's first block.
	fn genesis_hash(&self) -> H256;

	/// The last finalized block.
	fn finalized(&self) -> impl Future<Output = Result<BlockRef, Error>> + Send;

	/// The finalized blocks from now on.
	fn heads(&self) -> impl Future<Output = Result<Heads, Error>> + Send;

	/// Reads at a block.
	fn at(&self, block: BlockRef) -> impl Future<Output = Result<Self::At, Error>> + Send;
}

/// The chain's state at one block.
pub(crate) trait ChainAt: Send + Sync {
	/// The chain's randomness.
	fn randomness(&self) -> impl Future<Output = Result<H256, Error>> + Send;

	/// The era. It changes only in blocks that may change [`Changes::Anything`].
	fn era(&self) -> impl Future<Output = Result<EraIndex, Error>> + Send;

	/// The self-stake that an operator of the role must exceed to be active.
	fn min_self_stake(&self, role: Role) -> impl Future<Output = Result<Balance, Error>> + Send;

	/// One page of a role's operators, after an account or from the first; empty at the end.
	fn operators_page(
		&self,
		role: Role,
		after: Option<AccountId>,
	) -> impl Future<Output = Result<Vec<Operator>, Error>> + Send;

	/// One operator, if there is one.
	fn operator(
		&self,
		account: AccountId,
	) -> impl Future<Output = Result<Option<Operator>, Error>> + Send;

	/// What the block itself changed.
	fn changes(&self) -> impl Future<Output = Result<Changes, Error>> + Send;
}

/// What one block changed about operators.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Changes {
	/// Nothing but these operators, which may be none.
	Operators(BTreeSet<AccountId>),
	/// Anything: a role's parameters, or something this program does not know.
	Anything,
}

impl Changes {
	/// Nothing.
	pub(crate) fn none() -> Self {
		Self::Operators(BTreeSet::new())
	}

	/// What the two changed together.
	pub(crate) fn and(self, other: Self) -> Self {
		match (self, other) {
			(Self::Operators(mut these), Self::Operators(those)) => {
				these.extend(those);
				Self::Operators(these)
			},
			_ => Self::Anything,
		}
	}
}
