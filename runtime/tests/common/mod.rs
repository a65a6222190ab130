//! Chains of the presets, to test on.

use cuckoo_runtime::{genesis_presets, AccountId, RuntimeGenesisConfig};
use frame_support::genesis_builder_helper::build_state;
use serde_json::Value;
use sp_core::{sr25519, Pair};
use sp_io::TestExternalities;

/// A preset's JSON.
pub fn preset(name: &str) -> Value {
	let json = genesis_presets::get_preset(&name.into()).expect("the preset exists");
	serde_json::from_slice(&json).expect("a preset is JSON")
}

/// The state that a preset builds, as a node does it: the default genesis patched by the preset.
pub fn state_of(name: &str) -> TestExternalities {
	let mut state = TestExternalities::default();
	state.execute_with(|| {
		let mut genesis = serde_json::to_value(RuntimeGenesisConfig::default()).unwrap();
		merge(&mut genesis, preset(name));
		build_state::<RuntimeGenesisConfig>(genesis.to_string().into_bytes()).unwrap();
	});
	state
}

/// The account of a secret URI such as `//Alice`.
pub fn account(uri: &str) -> AccountId {
	sr25519::Pair::from_string(uri, None)
		.unwrap()
		.public()
		.into()
}

fn merge(into: &mut Value, patch: Value) {
	match (into, patch) {
		(Value::Object(into), Value::Object(patch)) => {
			for (key, value) in patch {
				merge(into.entry(key).or_insert(Value::Null), value);
			}
		},
		(into, patch) => *into = patch,
	}
}
