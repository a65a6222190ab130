//! Runtime API of the staking pallet. Amounts are balances at the block's rate, never bare shares;
//! lists are paged and bounded by [`MAX_PAGE`].

#![cfg_attr(not(feature = "std"), no_std)]
#![deny(missing_docs)]

extern crate alloc;

use alloc::vec::Vec;
use codec::{Codec, Decode, Encode};
use cuckoo_primitives::{EraIndex, Role, WorkerId};
use scale_info::TypeInfo;
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
	/// Its name, UTF-8.
	pub name: Vec<u8>,
	/// Where it is reached: a coordinator's URL, empty for most miners. UTF-8.
	pub endpoint: Vec<u8>,
	/// What it says about itself, UTF-8.
	pub text: Vec<u8>,
	/// Its own stake.
	pub self_stake: Balance,
	/// Stake of the whole pool: its own and its voters'.
	pub total_stake: Balance,
	/// Whether it counts: own stake above the role's minimum, not retired.
	pub active: bool,
	/// Whether it has retired.
	pub retired: bool,
}

/// A voter's stake on one operator.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode, TypeInfo)]
pub struct PositionInfo<AccountId, Balance> {
	/// The operator.
	pub operator: AccountId,
	/// What the position is worth now.
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

/// A role's parameters in force.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode, TypeInfo)]
pub struct RoleParams<Balance> {
	/// Self-stake must exceed this.
	pub min_self_stake: Balance,
}

/// What the whole of staking holds.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode, TypeInfo)]
pub struct StakingInfo<Balance> {
	/// The era now.
	pub era: EraIndex,
	/// Eras until unbonding stake can be withdrawn.
	pub unbonding_eras: EraIndex,
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
		/// Figures of the whole.
		fn info() -> StakingInfo<Balance>;
	}
}
