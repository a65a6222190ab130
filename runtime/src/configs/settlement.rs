//! How apps pay coordinators, and coordinators their miners, without a transaction for each task.

use crate::{
	constants::{CHALLENGE_BLOCKS, CLAIM_ERAS, POST_ERAS},
	AccountId, Balances, Runtime, Staking,
};
use cuckoo_primitives::CUC;
use frame_support::{
	parameter_types,
	traits::{tokens::imbalance::ResolveTo, ConstU128, ConstU32},
	PalletId,
};
use frame_system::EnsureRoot;
use pallet_cuckoo_settlement::weights::SubstrateWeight;
use sp_runtime::traits::AccountIdConversion;

parameter_types! {
	/// Names the keyless account that holds channels, reserves and settlements.
	pub const SettlementPalletId: PalletId = PalletId(*b"ckoo/set");
	/// Names the keyless account that pays for audits.
	pub AuditFundAccount: AccountId = PalletId(*b"ckoo/aud").into_account_truncating();
}

impl pallet_cuckoo_settlement::Config for Runtime {
	type Currency = Balances;
	/// The test network's sudo key, through `sudo`.
	type GovernanceOrigin = EnsureRoot<AccountId>;
	type Operators = Staking;
	type Rewards = Staking;
	type AuditFund = ResolveTo<AuditFundAccount, Balances>;
	type PalletId = SettlementPalletId;
	type MinDeposit = ConstU128<{ 10 * CUC }>;
	type ChannelBond = ConstU128<CUC>;
	type ChallengeBlocks = ConstU32<CHALLENGE_BLOCKS>;
	type MinAllotment = ConstU128<{ 10 * CUC }>;
	type PostEras = ConstU32<POST_ERAS>;
	type ClaimEras = ConstU32<CLAIM_ERAS>;
	type WeightInfo = SubstrateWeight<Runtime>;
}
