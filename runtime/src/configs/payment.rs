//! Balances and what transactions cost.

use crate::{
	constants::{BASE_WEIGHT_FEE, BYTE_FEE, EXISTENTIAL_DEPOSIT},
	AccountId, Authorship, Balance, Balances, Runtime, RuntimeEvent, RuntimeFreezeReason,
	RuntimeHoldReason, System,
};
use frame_support::{
	parameter_types,
	traits::{
		fungible::{Balanced, Credit},
		ConstU128, ConstU32, ConstU8, OnUnbalanced, VariantCountOf,
	},
	weights::{
		constants::ExtrinsicBaseWeight, ConstantMultiplier, WeightToFeeCoefficient,
		WeightToFeeCoefficients, WeightToFeePolynomial,
	},
};
use pallet_transaction_payment::{FungibleAdapter, Multiplier, TargetedFeeAdjustment};
use sp_runtime::{traits::Bounded, FixedPointNumber, Perbill, Perquintill};

impl pallet_balances::Config for Runtime {
	type RuntimeEvent = RuntimeEvent;
	type RuntimeHoldReason = RuntimeHoldReason;
	type RuntimeFreezeReason = RuntimeFreezeReason;
	type WeightInfo = pallet_balances::weights::SubstrateWeight<Runtime>;
	type Balance = Balance;
	type DustRemoval = ();
	type ExistentialDeposit = ConstU128<EXISTENTIAL_DEPOSIT>;
	type AccountStore = System;
	type ReserveIdentifier = [u8; 8];
	type FreezeIdentifier = RuntimeFreezeReason;
	type MaxLocks = ConstU32<50>;
	type MaxReserves = ConstU32<50>;
	type MaxFreezes = VariantCountOf<RuntimeFreezeReason>;
	type DoneSlashHandler = ();
}

/// A fee linear in the weight, [`BASE_WEIGHT_FEE`] for the weight of an empty extrinsic.
pub struct WeightFee;

impl WeightToFeePolynomial for WeightFee {
	type Balance = Balance;

	fn polynomial() -> WeightToFeeCoefficients<Balance> {
		let base_weight = Balance::from(ExtrinsicBaseWeight::get().ref_time());
		[WeightToFeeCoefficient {
			degree: 1,
			negative: false,
			coeff_integer: BASE_WEIGHT_FEE / base_weight,
			coeff_frac: Perbill::from_rational(BASE_WEIGHT_FEE % base_weight, base_weight),
		}]
		.into_iter()
		.collect()
	}
}

parameter_types! {
	/// Blocks fuller than this make the next one dearer, emptier ones cheaper.
	pub const TargetBlockFullness: Perquintill = Perquintill::from_percent(25);
	/// How fast: full blocks raise the fee by at most about a quarter a day.
	pub AdjustmentVariable: Multiplier = Multiplier::saturating_from_rational(75, 1_000_000);
	/// An idle chain is a tenth of the normal price. Not lower, or the way back up would take days.
	pub MinimumMultiplier: Multiplier = Multiplier::saturating_from_rational(1, 10);
	/// No upper bound: a flood must become dearer until it ends.
	pub MaximumMultiplier: Multiplier = Bounded::max_value();
}

/// How the price follows demand: Polkadot's slow adjustment.
pub type FeeMultiplierUpdate = TargetedFeeAdjustment<
	Runtime,
	TargetBlockFullness,
	AdjustmentVariable,
	MinimumMultiplier,
	MaximumMultiplier,
>;

/// Fees are burned, so that nobody gains by filling blocks; tips go to the block's author, who
/// chooses what to take in.
pub struct BurnFeeTipAuthor;

impl OnUnbalanced<Credit<AccountId, Balances>> for BurnFeeTipAuthor {
	/// Gets the fee and then, if there is one, the tip.
	fn on_unbalanceds(mut fee_then_tip: impl Iterator<Item = Credit<AccountId, Balances>>) {
		drop(fee_then_tip.next());
		for tip in fee_then_tip {
			if let Some(author) = Authorship::author() {
				// A tip below the existential deposit to an author without account is burned.
				drop(Balances::resolve(&author, tip));
			}
		}
	}
}

impl pallet_transaction_payment::Config for Runtime {
	type RuntimeEvent = RuntimeEvent;
	type OnChargeTransaction = FungibleAdapter<Balances, BurnFeeTipAuthor>;
	type WeightToFee = WeightFee;
	type LengthToFee = ConstantMultiplier<Balance, ConstU128<BYTE_FEE>>;
	type FeeMultiplierUpdate = FeeMultiplierUpdate;
	type OperationalFeeMultiplier = ConstU8<5>;
	type WeightInfo = pallet_transaction_payment::weights::SubstrateWeight<Runtime>;
}
