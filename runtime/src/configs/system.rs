//! Blocks, accounts' bookkeeping, the clock.

use crate::{
	constants::SLOT_DURATION_MS, AccountId, Babe, Balance, Block, BlockNumber, Hash, Nonce,
	PalletInfo, Runtime, RuntimeCall, RuntimeEvent, RuntimeOrigin, RuntimeTask, VERSION,
};
use frame_support::{
	derive_impl, parameter_types,
	traits::{ConstU32, ConstU64},
	weights::{
		constants::{ParityDbWeight, WEIGHT_REF_TIME_PER_MILLIS},
		Weight,
	},
};
use frame_system::limits::{BlockLength, BlockWeights};
use sp_runtime::{traits::AccountIdLookup, Perbill};
use sp_version::RuntimeVersion;

/// The part of a block that transactions may fill; the rest is for operational calls and inherents.
const NORMAL_RATIO: Perbill = Perbill::from_percent(75);

/// Most bytes of a block.
const MAX_BLOCK_BYTES: u32 = 5 * 1024 * 1024;

/// A block may take a third of its slot to run: the rest is for the network and the next author.
const MAX_BLOCK_MILLIS: u64 = SLOT_DURATION_MS / 3;

parameter_types! {
	/// Blocks in which a mortal transaction's birth can still be checked.
	pub const BlockHashCount: BlockNumber = 4_096;
	/// This runtime's version.
	pub const Version: RuntimeVersion = VERSION;
	/// How heavy a block may be. A solo chain has no proof size to bound.
	pub RuntimeBlockWeights: BlockWeights = BlockWeights::with_sensible_defaults(
		Weight::from_parts(MAX_BLOCK_MILLIS * WEIGHT_REF_TIME_PER_MILLIS, u64::MAX),
		NORMAL_RATIO,
	);
	/// How long a block may be.
	pub RuntimeBlockLength: BlockLength = BlockLength::builder()
		.max_length(MAX_BLOCK_BYTES)
		.modify_max_length_for_class(frame_support::dispatch::DispatchClass::Normal, |length| {
			*length = NORMAL_RATIO * MAX_BLOCK_BYTES
		})
		.build();
}

#[derive_impl(frame_system::config_preludes::SolochainDefaultConfig)]
impl frame_system::Config for Runtime {
	type Block = Block;
	type BlockWeights = RuntimeBlockWeights;
	type BlockLength = RuntimeBlockLength;
	type AccountId = AccountId;
	type Nonce = Nonce;
	type Hash = Hash;
	type Lookup = AccountIdLookup<AccountId, ()>;
	type BlockHashCount = BlockHashCount;
	type DbWeight = ParityDbWeight;
	type Version = Version;
	type AccountData = pallet_balances::AccountData<Balance>;
	type SystemWeightInfo = frame_system::weights::SubstrateWeight<Runtime>;
	type ExtensionsWeightInfo = frame_system::SubstrateExtensionsWeight<Runtime>;
	type SS58Prefix = frame_support::traits::ConstU16<{ cuckoo_primitives::SS58_PREFIX }>;
	type MaxConsumers = ConstU32<16>;
}

impl pallet_timestamp::Config for Runtime {
	type Moment = u64;
	type OnTimestampSet = Babe;
	/// Half a slot: a block's time may not fall back behind its slot's.
	type MinimumPeriod = ConstU64<{ SLOT_DURATION_MS / 2 }>;
	type WeightInfo = pallet_timestamp::weights::SubstrateWeight<Runtime>;
}
