//! Runtime API of the staking pallet. Amounts are balances at the block's rate, never bare shares;
//! lists are paged and bounded by [`MAX_PAGE`].

#![cfg_attr(not(feature = "std"), no_std)]
#![deny(missing_docs)]

extern crate alloc;

use alloc::vec::Vec;
use codec::{Codec, Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use cuckoo_primitives::{EraIndex, Role, WorkerId};
use scale_info::TypeInfo;
use serde::{Deserialize, Serialize};
use sp_runtime::Perbill;

/// Most entries that one call returns, whatever limit is asked for.
pub const MAX_PAGE: u32 = 1_000;

/// An operator as people and workers see it.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode, TypeInfo)]
pub struct OperatorInfo<AccountId, Balance> {
	/// The operator's account.
	pub account: AccountId,
	/// Its role.
	pub role: Role,
	/// The key that signs its off-chain messages; `None` once retired.
	pub worker: Option<WorkerId>,
	/// The part of rewards it keeps before its voters share the rest.
	pub commission: Perbill,
	/// The commission that it has announced, and the first era in which it is in force.
	pub next_commission: Option<(Perbill, EraIndex)>,
	/// Its name, UTF-8.
	pub name: Vec<u8>,
	/// Where it is reached: a coordinator's URL, empty for most miners. UTF-8.
	pub endpoint: Vec<u8>,
	/// What it says about itself, UTF-8.
	pub text: Vec<u8>,
	/// Its own stake.
	pub self_stake: Balance,
	/// Stake of the whole pool: its own and its voters'. What counts in draws and elections: as of the
	/// last event that names the operator.
	pub total_stake: Balance,
	/// Rewards that are not in `total_stake` yet. They stream in block by block, and what has done so
	/// counts from the operator's next event on; `position` shows it at once.
	pub streaming: Balance,
	/// Whether it counts: own stake above the role's minimum, neither retired nor suspended.
	pub active: bool,
	/// Whether it has retired.
	pub retired: bool,
	/// Whether an offence of it was proven and it has not come back since.
	pub suspended: bool,
}

/// A voter's stake on one operator.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode, TypeInfo)]
pub struct PositionInfo<AccountId, Balance> {
	/// The operator.
	pub operator: AccountId,
	/// What the position is worth in this block.
	pub value: Balance,
}

/// Stake on its way out.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode, TypeInfo)]
pub struct UnbondingInfo<AccountId, Balance> {
	/// The operator it was staked on.
	pub operator: AccountId,
	/// What it is worth now.
	pub value: Balance,
	/// The era in which it began to leave.
	pub since_era: EraIndex,
	/// The first era in which it can be withdrawn.
	pub withdrawable_era: EraIndex,
}

/// What a role asks for, and what an offence in it costs.
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
	Serialize,
	Deserialize,
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RoleParams<Balance> {
	/// An operator's own stake must exceed this.
	pub min_self_stake: Balance,
	/// The part of the stake in reach that an offence costs. For validators the least of it: the
	/// session's offences take more the more validators commit them at once.
	pub offence_fraction: Perbill,
}

/// Seats and pay of validators.
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
	Serialize,
	Deserialize,
)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ValidatorParams {
	/// Most validators.
	pub seats: u32,
	/// Fewest validators: below it those of the present session keep their seats.
	pub floor: u32,
	/// The part of all CUC that is issued for blocks in a year when none is missing.
	pub yearly_inflation: Perbill,
}

impl Default for ValidatorParams {
	/// A hundred seats, and 2.5% a year for their holders.
	fn default() -> Self {
		ValidatorParams {
			seats: 100,
			floor: 1,
			yearly_inflation: Perbill::from_parts(25_000_000),
		}
	}
}

/// A slash that waits until it is applied or cancelled.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode, TypeInfo)]
pub struct SlashInfo<AccountId> {
	/// Its number: what `cancel_slash` takes.
	pub slash: u32,
	/// Whose stake.
	pub operator: AccountId,
	/// The era of the offence: stake that began to leave in it or later is in reach.
	pub era: EraIndex,
	/// The part that is to be gone of what is in reach.
	pub fraction: Perbill,
	/// Who proved it.
	pub reporter: Option<AccountId>,
	/// The first era in which it can be applied.
	pub due_era: EraIndex,
}

/// What the whole of staking holds.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode, TypeInfo)]
pub struct StakingInfo<Balance> {
	/// The era now.
	pub era: EraIndex,
	/// Eras until unbonding stake can be withdrawn.
	pub unbonding_eras: EraIndex,
	/// Eras in which an offence can be proven after it happened.
	pub evidence_eras: EraIndex,
	/// Eras that a slash waits.
	pub slash_defer_eras: EraIndex,
	/// The smallest vote.
	pub min_vote: Balance,
	/// Active operators and their pools' stake, per role in the order of [`Role::ALL`].
	pub active: Vec<(Role, u32, Balance)>,
}

sp_api::decl_runtime_apis! {
	/// Reads of the staking pallet.
	pub trait StakingApi<AccountId, Balance> where AccountId: Codec, Balance: Codec {
		/// Operators of a role, in the order of storage keys, after `from`; at most `limit`.
		fn operators(role: Role, from: Option<AccountId>, limit: u32) -> Vec<OperatorInfo<AccountId, Balance>>;
		/// One operator.
		fn operator(account: AccountId) -> Option<OperatorInfo<AccountId, Balance>>;
		/// The active validators or coordinators with the most stake, most first; empty for miners,
		/// which are too many to be kept sorted.
		fn top(role: Role, count: u32) -> Vec<(AccountId, Balance)>;
		/// What a voter (or the operator itself) has on one operator.
		fn position(voter: AccountId, operator: AccountId) -> Option<PositionInfo<AccountId, Balance>>;
		/// What a voter has on all operators, after `from`; at most `limit`.
		fn positions(voter: AccountId, from: Option<AccountId>, limit: u32) -> Vec<PositionInfo<AccountId, Balance>>;
		/// What is on its way out for a voter.
		fn unbonding(voter: AccountId) -> Vec<UnbondingInfo<AccountId, Balance>>;
		/// Whose worker this key is.
		fn operator_by_worker(worker: WorkerId) -> Option<AccountId>;
		/// The nonce that the next worker proof of this operator must carry.
		fn worker_nonce(operator: AccountId) -> u32;
		/// A role's parameters.
		fn role_params(role: Role) -> RoleParams<Balance>;
		/// Seats and pay of validators.
		fn validator_params() -> ValidatorParams;
		/// The slashes that wait, the oldest first, with numbers above `from`; at most `limit`.
		fn pending_slashes(from: Option<u32>, limit: u32) -> Vec<SlashInfo<AccountId>>;
		/// Figures of the whole.
		fn info() -> StakingInfo<Balance>;
	}
}
