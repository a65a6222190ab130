//! What the pallet stores and takes.

use alloc::vec::Vec;
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use cuckoo_primitives::{AccountId, Balance, EraIndex, Role, WorkerId};
use frame_support::pallet_prelude::*;
use scale_info::TypeInfo;
use sp_runtime::Perbill;

use crate::{
	pool::{Generation, Shares},
	Config,
};

/// How many workers an operator may have let go of within the last `UnbondingEras` eras. They stay
/// on record for so long, so that what they signed stays attributable; this bounds the record.
pub const MAX_RELEASED_WORKERS: u32 = 16;

/// How much is to be taken out.
#[derive(
	Clone,
	Copy,
	PartialEq,
	Eq,
	Debug,
	Encode,
	Decode,
	DecodeWithMemTracking,
	MaxEncodedLen,
	TypeInfo,
)]
pub enum Amount {
	/// Everything that is there.
	All,
	/// So much, in CUC's smallest unit.
	Value(Balance),
}

/// How an operator presents itself, as it comes in with a call: UTF-8, not yet checked.
#[derive(Clone, PartialEq, Eq, Debug, Default, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub struct IntroductionInput {
	/// Its name.
	pub name: Vec<u8>,
	/// Where it is reached: a coordinator's URL, empty for most miners.
	pub endpoint: Vec<u8>,
	/// What it says about itself.
	pub text: Vec<u8>,
}

/// How an operator presents itself, as it is stored: UTF-8 without control characters.
#[derive(Encode, Decode, MaxEncodedLen, TypeInfo, DebugNoBound, CloneNoBound, PartialEqNoBound)]
#[scale_info(skip_type_params(T))]
pub struct Introduction<T: Config> {
	/// Its name.
	pub name: BoundedVec<u8, T::MaxNameLen>,
	/// Where it is reached: a coordinator's URL, empty for most miners.
	pub endpoint: BoundedVec<u8, T::MaxEndpointLen>,
	/// What it says about itself.
	pub text: BoundedVec<u8, T::MaxTextLen>,
}

impl<T: Config> Introduction<T> {
	/// Whether people can read it: UTF-8, and nothing in it that moves a terminal's cursor.
	pub fn is_text(&self) -> bool {
		let readable = |field: &[u8]| {
			core::str::from_utf8(field).is_ok_and(|text| !text.chars().any(char::is_control))
		};
		readable(&self.name) && readable(&self.endpoint) && readable(&self.text)
	}
}

/// An account that has registered. Its stake is the pool of the same account.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct Operator {
	/// What it does.
	pub role: Role,
	/// The key that signs its off-chain messages; `None` once retired.
	pub worker: Option<WorkerId>,
	/// The part of rewards it keeps before its voters share the rest.
	pub commission: Perbill,
	/// The era in which it retired.
	pub retired: Option<EraIndex>,
	/// The pool's value while the operator is active, `None` while it is not: exactly what it adds
	/// to its role's totals and where it stands in the order by stake.
	pub counted: Option<Balance>,
}

impl Operator {
	/// Whether it counts: its own stake exceeds the role's minimum and it has not retired.
	pub fn is_active(&self) -> bool {
		self.counted.is_some()
	}

	/// Whether it has retired.
	pub fn is_retired(&self) -> bool {
		self.retired.is_some()
	}
}

/// Whose worker a key is or was.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct WorkerOwner {
	/// The operator.
	pub operator: AccountId,
	/// The era in which the operator let go of it; `None` while it is in use.
	pub released: Option<EraIndex>,
}

/// What a role asks for.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct RoleRules {
	/// An operator's own stake must exceed this.
	pub min_self_stake: Balance,
}

/// What the active operators of a role are together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct RoleTotals {
	/// How many there are.
	pub operators: u32,
	/// The sum of their pools.
	pub stake: Balance,
}

impl RoleTotals {
	/// The totals after one operator's stake has changed; `None` stands for not active. Returns
	/// `None` when a figure would leave its range.
	pub(crate) fn replaced(self, before: Option<Balance>, after: Option<Balance>) -> Option<Self> {
		let mut totals = self;
		if let Some(stake) = before {
			totals.operators = totals.operators.checked_sub(1)?;
			totals.stake = totals.stake.checked_sub(stake)?;
		}
		if let Some(stake) = after {
			totals.operators = totals.operators.checked_add(1)?;
			totals.stake = totals.stake.checked_add(stake)?;
		}
		Some(totals)
	}
}

/// Stake of one account on its way out: shares of the unbonding pool of an operator and era.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct UnbondingChunk {
	/// The operator it was staked on.
	pub operator: AccountId,
	/// The era in which it began to leave.
	pub era: EraIndex,
	/// The generation of the unbonding pool in which the shares were bought.
	pub generation: Generation,
	/// Shares of the unbonding pool.
	pub shares: Shares,
}

/// A stake as a storage key that sorts in descending order: the one's complement, big-endian.
#[derive(
	Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Encode, Decode, MaxEncodedLen, TypeInfo,
)]
pub struct DescendingStake([u8; 16]);

impl From<Balance> for DescendingStake {
	fn from(stake: Balance) -> Self {
		DescendingStake((!stake).to_be_bytes())
	}
}

impl From<DescendingStake> for Balance {
	fn from(key: DescendingStake) -> Self {
		!Balance::from_be_bytes(key.0)
	}
}
