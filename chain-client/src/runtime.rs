//! The runtime's types, generated at compile time from the checked-in metadata, and the check that a
//! node's runtime has the same ones.

use crate::error::Error;
use cuckoo_primitives::{AccountId, Role};
use subxt::{
	client::{ClientAtBlock, OfflineClientAtBlockT},
	config::SubstrateConfig,
};

pub(crate) use generated::*;

use runtime_types::sp_arithmetic::per_things::Perbill;

// The macro below reads this file without telling the compiler; this line does.
const _: &[u8] = include_bytes!("../metadata/cuckoo.scale");

#[subxt::subxt(
	runtime_metadata_path = "metadata/cuckoo.scale",
	substitute_type(
		path = "sp_core::crypto::AccountId32",
		with = "::subxt::utils::Static<::cuckoo_primitives::AccountId>"
	),
	substitute_type(
		path = "cuckoo_primitives::role::Role",
		with = "::subxt::utils::Static<::cuckoo_primitives::Role>"
	),
	substitute_type(
		path = "cuckoo_primitives::sum_tree::Root",
		with = "::subxt::utils::Static<::cuckoo_primitives::sum_tree::Root>"
	),
	substitute_type(
		path = "cuckoo_primitives::sum_tree::PlacedLeaf",
		with = "::subxt::utils::Static<::cuckoo_primitives::sum_tree::PlacedLeaf>"
	),
	substitute_type(
		path = "cuckoo_primitives::weight_tree::Node",
		with = "::subxt::utils::Static<::cuckoo_primitives::weight_tree::Node>"
	),
	substitute_type(
		path = "cuckoo_primitives::voucher::MinerVoucher",
		with = "::subxt::utils::Static<::cuckoo_primitives::voucher::MinerVoucher>"
	)
)]
mod generated {}

/// Whether the runtime at this block has everything this crate uses, in the same shape. Other parts
/// of the runtime may differ.
pub(crate) fn check<C: OfflineClientAtBlockT<SubstrateConfig>>(
	at: &ClientAtBlock<SubstrateConfig, C>,
) -> Result<(), Error> {
	let mut differs = Vec::new();
	let mut need = |name: &str, fits: bool| {
		if !fits {
			differs.push(name.to_string());
		}
	};
	let anyone = || AccountId::new([0; 32]).into();
	let role = || Role::Miner.into();

	let (api, reads) = (runtime_apis().staking_api(), at.runtime_apis());
	need(
		"StakingApi.operators",
		reads.validate(api.operators(role(), None, 0)).is_ok(),
	);
	need(
		"StakingApi.operator",
		reads.validate(api.operator(anyone())).is_ok(),
	);
	need(
		"StakingApi.role_params",
		reads.validate(api.role_params(role())).is_ok(),
	);
	need(
		"StakingApi.position",
		reads.validate(api.position(anyone(), anyone())).is_ok(),
	);
	need(
		"StakingApi.positions",
		reads.validate(api.positions(anyone(), None, 0)).is_ok(),
	);
	need(
		"StakingApi.unbonding",
		reads.validate(api.unbonding(anyone())).is_ok(),
	);
	need(
		"StakingApi.worker_nonce",
		reads.validate(api.worker_nonce(anyone())).is_ok(),
	);
	need("StakingApi.info", reads.validate(api.info()).is_ok());

	let entries = at.storage();
	need(
		"Babe.Randomness",
		entries.validate(storage().babe().randomness()).is_ok(),
	);
	need(
		"Session.Validators",
		entries.validate(storage().session().validators()).is_ok(),
	);
	need(
		"System.Account",
		entries.validate(storage().system().account()).is_ok(),
	);

	let (staking, calls) = (tx().staking(), at.transactions());
	let introduction = || runtime_types::pallet_cuckoo_staking::types::IntroductionInput {
		name: Vec::new(),
		endpoint: Vec::new(),
		text: Vec::new(),
	};
	let all = || runtime_types::pallet_cuckoo_staking::types::Amount::All;
	let register = staking.register(role(), [0; 32], [0; 64], 0, Perbill(0), introduction());
	need("Staking.register", calls.validate(&register).is_ok());
	need(
		"Staking.set_worker",
		calls
			.validate(&staking.set_worker([0; 32], [0; 64]))
			.is_ok(),
	);
	need(
		"Staking.set_introduction",
		calls
			.validate(&staking.set_introduction(introduction()))
			.is_ok(),
	);
	need(
		"Staking.stake_more",
		calls.validate(&staking.stake_more(0)).is_ok(),
	);
	need(
		"Staking.unstake",
		calls.validate(&staking.unstake(all())).is_ok(),
	);
	need(
		"Staking.vote",
		calls.validate(&staking.vote(anyone(), 0)).is_ok(),
	);
	need(
		"Staking.unvote",
		calls.validate(&staking.unvote(anyone(), all())).is_ok(),
	);
	need(
		"Staking.withdraw",
		calls.validate(&staking.withdraw()).is_ok(),
	);
	need("Staking.retire", calls.validate(&staking.retire()).is_ok());
	need(
		"Staking.set_commission",
		calls.validate(&staking.set_commission(Perbill(0))).is_ok(),
	);
	need(
		"Staking.rebond",
		calls.validate(&staking.rebond(anyone(), all())).is_ok(),
	);
	need(
		"Staking.reactivate",
		calls
			.validate(&staking.reactivate([0; 32], [0; 64]))
			.is_ok(),
	);
	let params = runtime_types::pallet_cuckoo_staking_runtime_api::ValidatorParams {
		seats: 0,
		floor: 0,
		yearly_inflation: Perbill(0),
	};
	need(
		"Staking.set_validator_params",
		calls
			.validate(&staking.set_validator_params(params))
			.is_ok(),
	);
	let transfer = tx().balances().transfer_keep_alive(anyone_address(), 0);
	need(
		"Balances.transfer_keep_alive",
		calls.validate(&transfer).is_ok(),
	);

	need(
		"Proxy.add_proxy",
		calls
			.validate(&tx().proxy().add_proxy(
				anyone_address(),
				runtime_types::cuckoo_runtime::configs::accounts::ProxyType::Settlement,
				0,
			))
			.is_ok(),
	);
	crate::settlement::check(at, &mut need);

	if differs.is_empty() {
		Ok(())
	} else {
		Err(Error::Incompatible {
			spec_version: at.spec_version(),
			what: differs.join(", "),
		})
	}
}

fn anyone_address() -> Address {
	address(&AccountId::new([0; 32]))
}

/// How calls name an account that they pay.
pub(crate) type Address =
	subxt::utils::MultiAddress<subxt::utils::Static<cuckoo_primitives::AccountId>, ()>;

/// An account as calls name it.
pub(crate) fn address(account: &AccountId) -> Address {
	Address::Id(account.clone().into())
}

#[cfg(test)]
pub(crate) mod tests {
	use super::*;
	use subxt::{
		config::substrate::SpecVersionForRange,
		ext::{
			codec::{Decode, Encode},
			frame_metadata::{v16::RuntimeMetadataV16, RuntimeMetadata, RuntimeMetadataPrefixed},
		},
		Metadata, OfflineClient, OfflineClientAtBlock,
	};

	const CHECKED_IN: &[u8] = include_bytes!("../metadata/cuckoo.scale");
	const SPEC_VERSION: u32 = 7;

	/// The pallets of which this crate uses something.
	const USED: [&str; 7] = [
		"System",
		"Babe",
		"Balances",
		"Session",
		"Staking",
		"Settlement",
		"Proxy",
	];

	/// A block of a chain with this metadata, without the chain.
	pub(crate) fn offline(metadata: &[u8]) -> OfflineClientAtBlock<SubstrateConfig> {
		let metadata = Metadata::decode(&mut &*metadata).unwrap();
		let range = SpecVersionForRange {
			block_range: 0..u64::MAX,
			spec_version: SPEC_VERSION,
			transaction_version: 1,
		};
		let config = SubstrateConfig::builder()
			.set_metadata_for_spec_versions([(SPEC_VERSION, metadata.into())])
			.set_spec_version_for_block_ranges([range])
			.build();
		OfflineClient::new_with_config(config)
			.at_block(0u32)
			.unwrap()
	}

	/// A block of a chain with the checked-in metadata.
	pub(crate) fn own() -> OfflineClientAtBlock<SubstrateConfig> {
		offline(CHECKED_IN)
	}

	/// A block of a chain with other metadata.
	pub(crate) fn changed(
		change: impl FnOnce(&mut RuntimeMetadataV16),
	) -> OfflineClientAtBlock<SubstrateConfig> {
		let mut metadata = RuntimeMetadataPrefixed::decode(&mut &*CHECKED_IN).unwrap();
		match &mut metadata.1 {
			RuntimeMetadata::V16(content) => change(content),
			other => panic!("metadata of version {}", other.version()),
		}
		offline(&metadata.encode())
	}

	fn complaint(at: &OfflineClientAtBlock<SubstrateConfig>) -> String {
		match check(at) {
			Err(Error::Incompatible {
				spec_version: SPEC_VERSION,
				what,
			}) => what,
			other => panic!("expected a complaint, got {other:?}"),
		}
	}

	#[test]
	fn own_metadata_fits() {
		check(&own()).unwrap();
	}

	#[test]
	fn what_is_not_used_may_differ() {
		let at = changed(|metadata| {
			metadata.apis.retain(|api| api.name == "StakingApi");
			metadata
				.pallets
				.retain(|pallet| USED.contains(&pallet.name.as_str()));
		});
		check(&at).unwrap();
	}

	#[test]
	fn a_missing_read_is_named() {
		let at = changed(|metadata| metadata.apis.retain(|api| api.name != "StakingApi"));
		let what = complaint(&at);
		assert!(what.starts_with("StakingApi.operators, ") && what.ends_with("StakingApi.info"));
		let at = changed(|metadata| {
			let babe = metadata
				.pallets
				.iter_mut()
				.find(|pallet| pallet.name == "Babe")
				.unwrap();
			babe.storage = None;
		});
		assert_eq!(complaint(&at), "Babe.Randomness");
	}

	#[test]
	fn another_type_is_noticed() {
		let at = changed(|metadata| {
			let api = metadata
				.apis
				.iter_mut()
				.find(|api| api.name == "StakingApi")
				.unwrap();
			let number = api
				.methods
				.iter()
				.find(|method| method.name == "info")
				.unwrap()
				.output;
			let nonce = api
				.methods
				.iter_mut()
				.find(|method| method.name == "worker_nonce");
			nonce.unwrap().output = number;
		});
		assert_eq!(complaint(&at), "StakingApi.worker_nonce");
	}
}
