//! Operators, pools, votes, and what is earned and lost with them.

use crate::{
	constants::{
		BLOCKS_PER_ERA, ERA_MILLIS, EVIDENCE_ERAS, MAX_VALIDATORS, SESSIONS_PER_ERA,
		SLASH_DEFER_ERAS, UNBONDING_ERAS,
	},
	AccountId, Balance, Balances, Runtime,
};
use cuckoo_primitives::CUC;
use frame_support::{
	parameter_types,
	traits::{ConstU128, ConstU32, ConstU64},
	PalletId,
};
use frame_system::EnsureRoot;
use pallet_cuckoo_staking::{weights::SubstrateWeight, SessionOf};
use sp_runtime::Perbill;

/// The smallest vote: what keeps the state from being filled with dust, in place of a deposit.
const MIN_VOTE: Balance = 10 * CUC;

parameter_types! {
	/// Names the keyless account that holds all stake.
	pub const StakingPalletId: PalletId = PalletId(*b"ckoo/stk");
	/// Enough to pay for looking, and too little to make a slash of one's own worth while.
	pub const ReporterShare: Perbill = Perbill::from_percent(10);
	/// Per era, so that voters see a rise before it takes much from them.
	pub const MaxCommissionRaise: Perbill = Perbill::from_percent(5);
}

impl pallet_cuckoo_staking::Config for Runtime {
	type Currency = Balances;
	/// The test network's sudo key, through `sudo`.
	type GovernanceOrigin = EnsureRoot<AccountId>;
	type Session = SessionOf<Runtime>;
	/// Burned: nobody gains by another's slash but who reports it.
	type OnSlash = ();
	type PalletId = StakingPalletId;
	type SessionsPerEra = ConstU32<SESSIONS_PER_ERA>;
	type UnbondingEras = ConstU32<UNBONDING_ERAS>;
	type EvidenceEras = ConstU32<EVIDENCE_ERAS>;
	type SlashDeferEras = ConstU32<SLASH_DEFER_ERAS>;
	type ReporterShare = ReporterShare;
	type BlocksPerEra = ConstU32<BLOCKS_PER_ERA>;
	type EraMillis = ConstU64<ERA_MILLIS>;
	type MaxCommissionRaise = MaxCommissionRaise;
	type MaxValidators = ConstU32<MAX_VALIDATORS>;
	type WeightInfo = SubstrateWeight<Runtime>;
	type MinVote = ConstU128<MIN_VOTE>;
	type MaxUnbondingChunks = ConstU32<64>;
	type MaxSorted = ConstU32<MAX_VALIDATORS>;
	type MaxNameLen = ConstU32<32>;
	type MaxEndpointLen = ConstU32<128>;
	type MaxTextLen = ConstU32<512>;
}
