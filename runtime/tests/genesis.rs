//! Every preset makes a chain that works: stakes add up, operators are active, sessions have keys.

mod common;

use common::{account, preset, state_of};
use cuckoo_primitives::{Role, CUC};
use cuckoo_runtime::{
	genesis_presets, AccountId, Babe, Balances, Grandpa, Runtime, RuntimeGenesisConfig, Session,
	Staking,
};
use sp_core::{sr25519, Pair};

#[test]
fn presets_are_those_that_are_named() {
	assert_eq!(genesis_presets::preset_names(), ["development", "local"]);
	assert!(genesis_presets::get_preset(&"other".into()).is_none());
}

#[test]
fn each_preset_has_its_validators_with_keys_and_stake() {
	for (name, validators) in [
		("development", vec!["//Alice"]),
		("local", vec!["//Alice", "//Bob", "//Charlie"]),
	] {
		state_of(name).execute_with(|| {
			let mut expected: Vec<AccountId> = validators.iter().map(|uri| account(uri)).collect();
			expected.sort();
			let mut present = Session::validators();
			present.sort();
			assert_eq!(present, expected, "{name}");
			assert_eq!(Babe::authorities().len(), expected.len(), "{name}");
			assert_eq!(
				Grandpa::grandpa_authorities().len(),
				expected.len(),
				"{name}"
			);
			let registered = Staking::operators(Role::Validator, None, 10);
			assert_eq!(registered.len(), expected.len(), "{name}");
			assert!(
				registered.iter().all(|validator| validator.active),
				"{name}"
			);
		});
	}
}

#[test]
fn operators_are_active_and_known_by_their_workers() {
	state_of("development").execute_with(|| {
		for uri in [
			"//Coordinator//1",
			"//Miner//1",
			"//Miner//2",
			"//Miner//3",
			"//Alice",
		] {
			let operator = Staking::operator(account(uri)).expect(uri);
			assert!(operator.active, "{uri}");
			let worker = sr25519::Pair::from_string(&format!("{uri}//worker"), None)
				.unwrap()
				.public();
			assert_eq!(operator.worker, Some(worker), "{uri}");
			assert_eq!(
				Staking::operator_by_worker(worker),
				Some(account(uri)),
				"{uri}"
			);
		}
		assert_eq!(Staking::operators(Role::Miner, None, 10).len(), 3);
		assert_eq!(Staking::operators(Role::Coordinator, None, 10).len(), 1);
	});
}

#[test]
fn pools_differ_and_the_pot_holds_their_sum() {
	state_of("development").execute_with(|| {
		let total = |uri: &str| Staking::operator(account(uri)).expect(uri).total_stake;
		assert_eq!(total("//Miner//1"), 40_000 * CUC);
		assert_eq!(total("//Miner//2"), 100_000 * CUC);
		assert_eq!(total("//Miner//3"), 100_000 * CUC);
		assert_eq!(total("//Coordinator//1"), 2_600_000 * CUC);

		let pools: u128 = Role::ALL
			.iter()
			.flat_map(|role| Staking::operators(*role, None, 100))
			.map(|operator| operator.total_stake)
			.sum();
		let existential_deposit = cuckoo_runtime::constants::EXISTENTIAL_DEPOSIT;
		assert_eq!(
			Balances::free_balance(Staking::pot()),
			pools + existential_deposit
		);
	});
}

#[test]
fn everybody_can_pay_fees_and_alice_is_sudo() {
	state_of("development").execute_with(|| {
		for uri in [
			"//Alice",
			"//Bob",
			"//Charlie",
			"//Dave",
			"//Eve",
			"//Ferdie",
			"//Coordinator//1",
			"//Miner//1",
			"//Miner//2",
			"//Miner//3",
			"//Voter//1",
			"//Voter//2",
			"//Voter//3",
		] {
			assert!(Balances::free_balance(account(uri)) >= 1_000 * CUC, "{uri}");
		}
		assert_eq!(pallet_sudo::Key::<Runtime>::get(), Some(account("//Alice")));
	});
}

/// A tool that moves the coordinator changes its endpoint in the exported specification.
#[test]
fn the_coordinators_endpoint_is_a_string_that_can_be_patched() {
	let patch = preset("development");
	let operators = patch["staking"]["operators"].as_array().unwrap();
	let coordinator = operators
		.iter()
		.find(|operator| operator["role"] == "coordinator")
		.unwrap();
	assert_eq!(coordinator["endpoint"], "http://127.0.0.1:8645");
	assert_eq!(coordinator["name"], "cuckoo-dev-coordinator");
}

/// Every key of the preset is one of the genesis configuration: a typing error would be ignored.
#[test]
fn presets_name_only_pallets_that_exist() {
	let known = serde_json::to_value(RuntimeGenesisConfig::default()).unwrap();
	for name in genesis_presets::preset_names() {
		let patch = preset(&name);
		for key in patch.as_object().unwrap().keys() {
			assert!(known.get(key).is_some(), "{key}");
		}
	}
}
