//! Operators, pools and votes.

use crate::{
	constants::{MAX_VALIDATORS, SESSIONS_PER_ERA, UNBONDING_ERAS},
	Balance, Balances, Runtime,
};
use cuckoo_primitives::CUC;
use frame_support::{
	parameter_types,
	traits::{ConstU128, ConstU32},
	PalletId,
};

/// The smallest vote: what keeps the state from being filled with dust, in place of a deposit.
const MIN_VOTE: Balance = 10 * CUC;

parameter_types! {
	/// Names the keyless account that holds all stake.
	pub const StakingPalletId: PalletId = PalletId(*b"ckoo/stk");
}

impl pallet_cuckoo_staking::Config for Runtime {
	type Currency = Balances;
	type PalletId = StakingPalletId;
	type SessionsPerEra = ConstU32<SESSIONS_PER_ERA>;
	type UnbondingEras = ConstU32<UNBONDING_ERAS>;
	type MinVote = ConstU128<MIN_VOTE>;
	type MaxUnbondingChunks = ConstU32<64>;
	type MaxSorted = ConstU32<MAX_VALIDATORS>;
	type MaxNameLen = ConstU32<32>;
	type MaxEndpointLen = ConstU32<128>;
	type MaxTextLen = ConstU32<512>;
}
