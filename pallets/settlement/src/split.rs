//! The arithmetic of fees: how much of what an app pays is the miner's, the coordinator's, the audit
//! fund's, and burned; and what is issued on top.
//!
//! The miner's part is what vouchers and leaves are about, so a fee is computed from it: the fee of a
//! settlement is what has to be paid so that the miners' part of it is the sum of the leaves.
//!
//! There is no storage here.

use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use cuckoo_primitives::Balance;
use scale_info::TypeInfo;
use serde::{Deserialize, Serialize};
use sp_runtime::{helpers_128bit::multiply_by_rational_with_rounding, Perbill, Rounding};

/// The whole, in parts per billion.
const BILLION: u128 = 1_000_000_000;

/// How a fee is split, and what is issued for each unit of it. Governance sets it.
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
pub struct SplitParams {
	/// The miners' part of a fee.
	pub miner: Perbill,
	/// The coordinator's part, for its pool.
	pub coordinator: Perbill,
	/// The audit fund's part.
	pub audit: Perbill,
	/// What is burned.
	pub burn: Perbill,
	/// What is issued to miners for each unit of a fee.
	pub miner_emission: Perbill,
	/// What is issued to the coordinator for each unit of a fee.
	pub coordinator_emission: Perbill,
}

impl Default for SplitParams {
	fn default() -> Self {
		SplitParams {
			miner: Perbill::from_percent(75),
			coordinator: Perbill::from_percent(15),
			audit: Perbill::from_percent(2),
			burn: Perbill::from_percent(8),
			miner_emission: Perbill::from_percent(5),
			coordinator_emission: Perbill::from_percent(1),
		}
	}
}

impl SplitParams {
	/// Whether they can be used: the parts are the whole, miners get one, and less is issued than
	/// burned, so that who pays itself loses.
	pub fn is_usable(&self) -> bool {
		let sum = |parts: &[Perbill]| {
			parts
				.iter()
				.map(|part| u128::from(part.deconstruct()))
				.sum::<u128>()
		};
		let emission = sum(&[self.miner_emission, self.coordinator_emission]);
		sum(&[self.miner, self.coordinator, self.audit, self.burn]) == BILLION
			&& !self.miner.is_zero()
			&& (emission == 0 || emission < sum(&[self.burn]))
	}
}

/// A fee, split. The first four parts are the whole of it.
#[derive(
	Clone,
	Copy,
	PartialEq,
	Eq,
	Debug,
	Default,
	Encode,
	Decode,
	DecodeWithMemTracking,
	MaxEncodedLen,
	TypeInfo,
)]
pub struct Split {
	/// The whole fee.
	pub fee: Balance,
	/// The miners' part.
	pub miner: Balance,
	/// The coordinator's part.
	pub coordinator: Balance,
	/// The audit fund's part.
	pub audit: Balance,
	/// What is burned.
	pub burn: Balance,
	/// What may be issued to the miners.
	pub miner_emission: Balance,
	/// What is issued to the coordinator.
	pub coordinator_emission: Balance,
}

impl Split {
	/// The fee of which `miner` is the miners' part. The fee is rounded up and all parts down, what is
	/// left over is burned: so no less is burned than its part, and less is issued than burned. `None`
	/// when the fee is no balance.
	pub fn of_miners_part(miner: Balance, params: &SplitParams) -> Option<Self> {
		let part = u128::from(params.miner.deconstruct());
		if part == 0 {
			return None;
		}
		let fee = multiply_by_rational_with_rounding(miner, BILLION, part, Rounding::Up)?;
		let coordinator = params.coordinator.mul_floor(fee);
		let audit = params.audit.mul_floor(fee);
		let burn = fee
			.checked_sub(miner)?
			.checked_sub(coordinator)?
			.checked_sub(audit)?;
		Some(Split {
			fee,
			miner,
			coordinator,
			audit,
			burn,
			miner_emission: params.miner_emission.mul_floor(fee),
			coordinator_emission: params.coordinator_emission.mul_floor(fee),
		})
	}

	/// What is burned and given to the audit fund: the levy that a fee bears.
	pub fn levy(&self) -> Balance {
		self.burn.saturating_add(self.audit)
	}
}

/// The part of `emission` that goes with `amount` of `total`, rounded down.
pub fn emission_part(emission: Balance, amount: Balance, total: Balance) -> Balance {
	if total == 0 {
		return 0;
	}
	multiply_by_rational_with_rounding(emission, amount.min(total), total, Rounding::Down)
		.unwrap_or(0)
}
