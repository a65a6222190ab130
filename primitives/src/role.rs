use crate::{Balance, CUC};
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use scale_info::TypeInfo;

/// What an operator does. An account holds at most one role.
#[derive(
	Clone,
	Copy,
	PartialEq,
	Eq,
	PartialOrd,
	Ord,
	Hash,
	Debug,
	Encode,
	Decode,
	DecodeWithMemTracking,
	MaxEncodedLen,
	TypeInfo,
)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Role {
	/// Runs a node that authors and finalizes blocks.
	Validator,
	/// Takes tasks from apps and draws miners for them.
	Coordinator,
	/// Runs models on a GPU.
	Miner,
}

impl Role {
	/// Every role.
	pub const ALL: [Role; 3] = [Role::Validator, Role::Coordinator, Role::Miner];

	/// The self-stake that a role's operator must *exceed* at genesis. The chain's storage holds the
	/// value in force; governance may change it.
	pub const fn default_min_self_stake(self) -> Balance {
		match self {
			Role::Validator => 100_000 * CUC,
			Role::Coordinator => 2_000_000 * CUC,
			Role::Miner => 20_000 * CUC,
		}
	}

	/// The role's name in logs and documents.
	pub const fn name(self) -> &'static str {
		match self {
			Role::Validator => "validator",
			Role::Coordinator => "coordinator",
			Role::Miner => "miner",
		}
	}
}
