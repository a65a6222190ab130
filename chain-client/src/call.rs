//! The transactions that people and workers send.

use crate::{registry::BlockRef, settlement::SettlementCall};
use cuckoo_primitives::{AccountId, Balance, Role, WorkerId, WorkerSignature, H256};

/// How an operator presents itself.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Introduction {
	/// Its name.
	pub name: String,
	/// Where it is reached: a coordinator's URL, empty for most miners.
	pub endpoint: String,
	/// What it says about itself.
	pub text: String,
}

/// How much is to be taken out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Amount {
	/// Everything that is there.
	All,
	/// So much.
	Value(Balance),
}

/// In what an account acts for another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProxyKind {
	/// In everything.
	Any,
	/// In staking, and a validator's session keys.
	Staking,
	/// In settlement: a coordinator's daemon, whose operator's key stays elsewhere.
	Settlement,
}

/// A transaction's content.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Call {
	/// The sender becomes an operator.
	Register {
		/// Its role.
		role: Role,
		/// The key that will sign its off-chain messages.
		worker: WorkerId,
		/// That key's signature over the [`cuckoo_primitives::signing::WorkerProof`].
		worker_signature: WorkerSignature,
		/// Its own stake.
		stake: Balance,
		/// The part of rewards it keeps, in parts per billion.
		commission_ppb: u32,
		/// How it presents itself.
		introduction: Introduction,
	},
	/// The operator changes its worker.
	SetWorker {
		/// The new worker.
		worker: WorkerId,
		/// That key's signature over the [`cuckoo_primitives::signing::WorkerProof`].
		worker_signature: WorkerSignature,
	},
	/// The operator changes how it presents itself.
	SetIntroduction(Introduction),
	/// The operator announces another commission, in parts per billion, for the next era.
	SetCommission(u32),
	/// The operator adds to its own stake.
	StakeMore(Balance),
	/// The operator takes some of its own stake out; it unbonds.
	Unstake(Amount),
	/// The sender stakes on an operator.
	Vote {
		/// The operator.
		operator: AccountId,
		/// How much.
		amount: Balance,
	},
	/// The sender takes stake off an operator; it unbonds.
	Unvote {
		/// The operator.
		operator: AccountId,
		/// How much.
		amount: Amount,
	},
	/// The sender takes out what has finished unbonding.
	Withdraw,
	/// The sender takes stake that is on its way out of an operator back in.
	Rebond {
		/// The operator.
		operator: AccountId,
		/// How much.
		amount: Amount,
	},
	/// The operator stops.
	Retire,
	/// The operator comes back after it retired or was suspended.
	Reactivate {
		/// Its worker from now on.
		worker: WorkerId,
		/// That key's signature over the [`cuckoo_primitives::signing::WorkerProof`].
		worker_signature: WorkerSignature,
	},
	/// Governance sets the seats and the pay of validators.
	SetValidatorParams {
		/// Most validators.
		seats: u32,
		/// Fewest validators.
		floor: u32,
		/// The part of all CUC that is issued for blocks in a year, in parts per billion.
		yearly_inflation_ppb: u32,
	},
	/// A transaction to the settlement pallet.
	Settlement(SettlementCall),
	/// The sender lets another account act for it.
	AddProxy {
		/// That account.
		delegate: AccountId,
		/// In what.
		kind: ProxyKind,
	},
	/// The sender acts for another account, whose proxy it is.
	Proxy {
		/// For whom.
		real: AccountId,
		/// What that account does.
		call: Box<Call>,
	},
	/// All of these together, or none.
	Batch(Vec<Call>),
	/// The test network's sudo key does what governance does.
	Sudo(Box<Call>),
	/// A call that something else has encoded, such as `cuckoo-node key rotate-for`.
	Encoded(Vec<u8>),
	/// The sender pays another account.
	Transfer {
		/// Who is paid.
		to: AccountId,
		/// How much.
		amount: Balance,
	},
}

/// What a submitted transaction waits for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Until {
	/// In a block of the best chain; a fork may still drop it.
	InBlock,
	/// In a finalized block.
	#[default]
	Finalized,
}

/// A transaction that succeeded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Included {
	/// The block it is in.
	pub block: BlockRef,
	/// The transaction's hash.
	pub transaction: H256,
}
