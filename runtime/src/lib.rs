//! The Cuckoo chain's runtime: a solo chain with BABE and GRANDPA, on which operators (validators,
//! coordinators and miners) stake CUC and are voted for.
//!
//! | file | what is there |
//! |---|---|
//! | `lib.rs` | the types, and the list of pallets with their indices |
//! | `constants.rs` | time, money, fees |
//! | `configs/` | each pallet's configuration, by topic |
//! | `apis.rs` | what a node and off-chain programs may ask |
//! | `benchmarks.rs` | what the benchmarking tool may ask |
//! | `historical.rs` | keeps the past validator sets that evidence is checked against |
//! | `genesis_presets.rs` | the development and the local network |
//!
//! The pallets' indices and the order of the transaction extensions are part of every signed
//! transaction: never change one without raising `transaction_version`.

#![cfg_attr(not(feature = "std"), no_std)]
#![recursion_limit = "512"]
// Not `deny(missing_docs)`: half of the public items here are made by macros, which document nothing.

extern crate alloc;

#[cfg(feature = "std")]
include!(concat!(env!("OUT_DIR"), "/wasm_binary.rs"));

/// The wasm runtime that is built with the feature `fast-runtime`, whether or not this crate is.
#[cfg(feature = "std")]
pub mod fast {
	#[cfg(not(feature = "fast-runtime"))]
	include!(concat!(env!("OUT_DIR"), "/fast_wasm_binary.rs"));

	#[cfg(feature = "fast-runtime")]
	pub use super::WASM_BINARY;
}

pub mod apis;
#[cfg(feature = "runtime-benchmarks")]
mod benchmarks;
pub mod configs;
pub mod constants;
pub mod genesis_presets;
mod historical;
#[cfg(feature = "std")]
pub mod invariants;

// The macros below name it.
use alloc::vec::Vec;
use sp_runtime::{
	generic, impl_opaque_keys,
	traits::{BlakeTwo256, IdentifyAccount, Verify},
	MultiAddress, MultiSignature,
};
use sp_version::RuntimeVersion;

pub use cuckoo_primitives::{Balance, BlockNumber};

/// A signature of any of the three kinds of key that wallets hold.
pub type Signature = MultiSignature;

/// An account: the public key, or the hash of it.
pub type AccountId = <<Signature as Verify>::Signer as IdentifyAccount>::AccountId;

/// How extrinsics name an account.
pub type Address = MultiAddress<AccountId, ()>;

/// How many transactions an account has sent.
pub type Nonce = u32;

/// A hash.
pub type Hash = sp_core::H256;

/// A block's header.
pub type Header = generic::Header<BlockNumber, BlakeTwo256>;

/// A block with its extrinsics decoded.
pub type Block = generic::Block<Header, UncheckedExtrinsic>;

/// What is signed beside the call. The SDK's standard set in the order that wallets know: an unknown
/// extension that carries data makes wallets sign garbage.
pub type TxExtension = (
	frame_system::CheckNonZeroSender<Runtime>,
	frame_system::CheckSpecVersion<Runtime>,
	frame_system::CheckTxVersion<Runtime>,
	frame_system::CheckGenesis<Runtime>,
	frame_system::CheckMortality<Runtime>,
	frame_system::CheckNonce<Runtime>,
	frame_system::CheckWeight<Runtime>,
	pallet_transaction_payment::ChargeTransactionPayment<Runtime>,
	frame_metadata_hash_extension::CheckMetadataHash<Runtime>,
	frame_system::WeightReclaim<Runtime>,
);

/// An extrinsic as it travels.
pub type UncheckedExtrinsic =
	generic::UncheckedExtrinsic<Address, RuntimeCall, Signature, TxExtension>;

/// The bytes that a transaction's sender signs.
pub type SignedPayload = generic::SignedPayload<RuntimeCall, TxExtension>;

/// Migrations of this release, run once after the upgrade.
pub type Migrations = (
	pallet_cuckoo_staking::migrations::V1ToV2<Runtime>,
	pallet_cuckoo_settlement::migrations::Open<Runtime>,
);

/// Runs blocks.
pub type Executive = frame_executive::Executive<
	Runtime,
	Block,
	frame_system::ChainContext<Runtime>,
	Runtime,
	AllPalletsWithSystem,
	Migrations,
>;

/// What a node needs to know of this chain without its runtime's types, so that a runtime upgrade
/// needs no new node.
pub mod opaque {
	use super::*;

	/// A block whose extrinsics are bytes.
	pub type Block = generic::Block<Header, sp_runtime::OpaqueExtrinsic>;
}

impl_opaque_keys! {
	/// A validator's hot keys, set with `session.setKeys`.
	pub struct SessionKeys {
		/// Authors blocks.
		pub babe: Babe,
		/// Finalizes blocks.
		pub grandpa: Grandpa,
	}
}

/// This runtime's version. A release that changes behaviour raises `spec_version`; one that changes
/// the bytes of transactions raises `transaction_version` as well.
#[sp_version::runtime_version]
pub const VERSION: RuntimeVersion = RuntimeVersion {
	spec_name: alloc::borrow::Cow::Borrowed("cuckoo"),
	impl_name: alloc::borrow::Cow::Borrowed("cuckoo"),
	authoring_version: 1,
	spec_version: 3,
	impl_version: 1,
	apis: apis::RUNTIME_API_VERSIONS,
	transaction_version: 1,
	system_version: 1,
};

/// BABE's parameters at genesis: a quarter of the slots have primary authors, drawn in secret; every
/// other slot has one secondary author. Both carry a VRF output, so each block has randomness.
pub const BABE_GENESIS_EPOCH_CONFIG: sp_consensus_babe::BabeEpochConfiguration =
	sp_consensus_babe::BabeEpochConfiguration {
		c: (1, 4),
		allowed_slots: sp_consensus_babe::AllowedSlots::PrimaryAndSecondaryVRFSlots,
	};

// Genesis is built in this order: balances before the stakes taken from them, stakes before the
// session that asks for validators.
#[frame_support::runtime]
mod runtime {
	/// The runtime.
	#[runtime::runtime]
	#[runtime::derive(
		RuntimeCall,
		RuntimeEvent,
		RuntimeError,
		RuntimeOrigin,
		RuntimeFreezeReason,
		RuntimeHoldReason,
		RuntimeSlashReason,
		RuntimeLockId,
		RuntimeTask,
		RuntimeViewFunction
	)]
	pub struct Runtime;

	#[runtime::pallet_index(0)]
	pub type System = frame_system;

	#[runtime::pallet_index(1)]
	pub type Timestamp = pallet_timestamp;

	#[runtime::pallet_index(2)]
	pub type Babe = pallet_babe;

	#[runtime::pallet_index(10)]
	pub type Balances = pallet_balances;

	#[runtime::pallet_index(11)]
	pub type TransactionPayment = pallet_transaction_payment;

	#[runtime::pallet_index(20)]
	pub type Staking = pallet_cuckoo_staking;

	#[runtime::pallet_index(21)]
	pub type Settlement = pallet_cuckoo_settlement;

	#[runtime::pallet_index(30)]
	pub type Offences = pallet_offences;

	#[runtime::pallet_index(31)]
	pub type Historical = pallet_session::historical;

	#[runtime::pallet_index(32)]
	pub type Session = pallet_session;

	#[runtime::pallet_index(33)]
	pub type Grandpa = pallet_grandpa;

	// After the session: a session's first block has an author of the new validators already.
	#[runtime::pallet_index(34)]
	pub type Authorship = pallet_authorship;

	#[runtime::pallet_index(40)]
	pub type Utility = pallet_utility;

	#[runtime::pallet_index(41)]
	pub type Proxy = pallet_proxy;

	#[runtime::pallet_index(42)]
	pub type Multisig = pallet_multisig;

	#[runtime::pallet_index(255)]
	pub type Sudo = pallet_sudo;
}
