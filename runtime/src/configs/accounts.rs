//! Acting for others and together: batches, proxies, multi-signature accounts, and the test network's
//! sudo key.

use crate::{
	constants::storage_deposit, Balance, Balances, OriginCaller, Runtime, RuntimeCall,
	RuntimeEvent, System,
};
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use frame_support::{
	parameter_types,
	traits::{ConstU32, InstanceFilter},
};
use scale_info::TypeInfo;
use sp_runtime::traits::BlakeTwo256;

impl pallet_utility::Config for Runtime {
	type RuntimeEvent = RuntimeEvent;
	type RuntimeCall = RuntimeCall;
	type PalletsOrigin = OriginCaller;
	type WeightInfo = pallet_utility::weights::SubstrateWeight<Runtime>;
}

/// What a proxy may do for its principal.
#[derive(
	Clone,
	Copy,
	PartialEq,
	Eq,
	PartialOrd,
	Ord,
	Debug,
	Default,
	Encode,
	Decode,
	DecodeWithMemTracking,
	MaxEncodedLen,
	TypeInfo,
)]
pub enum ProxyType {
	/// Everything.
	#[default]
	Any,
	/// Everything but moving the principal's funds to others: neither transfers, nor channels, whose
	/// money goes to whom their key signs for, nor reserves and roots.
	NonTransfer,
	/// Staking: register, stake, vote, retire, and a validator's session keys. What is withdrawn
	/// returns to the principal, and so does a reporter's reward.
	Staking,
	/// Rejecting what other proxies announced.
	CancelProxy,
	/// Settlement: allotments, roots, claims, and taking out of channels and the reserve. What is withdrawn
	/// returns to the principal; a root moves what is free in the reserve to those it names, and nothing
	/// more: putting the principal's own money into the reserve or into a channel is the principal's.
	Settlement,
}

/// Whether a call puts the signer's own money where others can get it: into a channel, or a reserve.
fn puts_in(call: &RuntimeCall) -> bool {
	use pallet_cuckoo_settlement::Call;
	matches!(
		call,
		RuntimeCall::Settlement(
			Call::open_channel { .. } | Call::top_up { .. } | Call::fund_reserve { .. }
		)
	)
}

/// Whether a call gives others what is free in the signer's reserve.
fn settles(call: &RuntimeCall) -> bool {
	use pallet_cuckoo_settlement::Call;
	matches!(call, RuntimeCall::Settlement(Call::settle_era { .. }))
}

impl InstanceFilter<RuntimeCall> for ProxyType {
	fn filter(&self, call: &RuntimeCall) -> bool {
		match self {
			Self::Any => true,
			Self::NonTransfer => {
				!matches!(call, RuntimeCall::Balances(_) | RuntimeCall::Sudo(_))
					&& !puts_in(call)
					&& !settles(call)
			},
			// Batches are let through because their inner calls are filtered again.
			Self::Staking => {
				matches!(
					call,
					RuntimeCall::Staking(_) | RuntimeCall::Session(_) | RuntimeCall::Utility(_)
				)
			},
			Self::Settlement => {
				matches!(call, RuntimeCall::Settlement(_) | RuntimeCall::Utility(_))
					&& !puts_in(call)
			},
			Self::CancelProxy => {
				matches!(
					call,
					RuntimeCall::Proxy(pallet_proxy::Call::reject_announcement { .. })
				)
			},
		}
	}

	fn is_superset(&self, other: &Self) -> bool {
		match (self, other) {
			(one, two) if one == two => true,
			(Self::Any, _) => true,
			(_, Self::Any) => false,
			// It posts no roots.
			(Self::NonTransfer, Self::Settlement) => false,
			(Self::NonTransfer, _) => true,
			_ => false,
		}
	}
}

parameter_types! {
	// Deposits for one entry of the size that each pallet stores.
	pub const ProxyDepositBase: Balance = storage_deposit(1, 8);
	pub const ProxyDepositFactor: Balance = storage_deposit(0, 33);
	pub const AnnouncementDepositBase: Balance = storage_deposit(1, 8);
	pub const AnnouncementDepositFactor: Balance = storage_deposit(0, 66);
	pub const MultisigDepositBase: Balance = storage_deposit(1, 88);
	pub const MultisigDepositFactor: Balance = storage_deposit(0, 32);
}

impl pallet_proxy::Config for Runtime {
	type RuntimeEvent = RuntimeEvent;
	type RuntimeCall = RuntimeCall;
	type Currency = Balances;
	type ProxyType = ProxyType;
	type ProxyDepositBase = ProxyDepositBase;
	type ProxyDepositFactor = ProxyDepositFactor;
	type MaxProxies = ConstU32<32>;
	type WeightInfo = pallet_proxy::weights::SubstrateWeight<Runtime>;
	type MaxPending = ConstU32<32>;
	type CallHasher = BlakeTwo256;
	type AnnouncementDepositBase = AnnouncementDepositBase;
	type AnnouncementDepositFactor = AnnouncementDepositFactor;
	type BlockNumberProvider = System;
}

impl pallet_multisig::Config for Runtime {
	type RuntimeEvent = RuntimeEvent;
	type RuntimeCall = RuntimeCall;
	type Currency = Balances;
	type DepositBase = MultisigDepositBase;
	type DepositFactor = MultisigDepositFactor;
	type MaxSignatories = ConstU32<100>;
	type WeightInfo = pallet_multisig::weights::SubstrateWeight<Runtime>;
	type BlockNumberProvider = System;
}

impl pallet_sudo::Config for Runtime {
	type RuntimeEvent = RuntimeEvent;
	type RuntimeCall = RuntimeCall;
	type WeightInfo = pallet_sudo::weights::SubstrateWeight<Runtime>;
}
