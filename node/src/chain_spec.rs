//! The networks that the node knows by name; every other is described by a file.

use cuckoo_primitives::{CUC_DECIMALS, SS58_PREFIX};
use cuckoo_runtime::{
	fast,
	genesis_presets::{self, LOCAL_PRESET},
	WASM_BINARY,
};
use sc_service::{ChainType, GenericChainSpec, Properties};
use sp_genesis_builder::DEV_RUNTIME_PRESET;
use std::path::PathBuf;

/// Keeps this chain's peers apart from other chains'.
const PROTOCOL_ID: &str = "cuckoo";

struct Network {
	/// As `--chain` takes it.
	chain: &'static str,
	name: &'static str,
	id: &'static str,
	chain_type: ChainType,
	preset: &'static str,
	/// The runtime's code, unless it was not built.
	wasm: Option<&'static [u8]>,
}

/// What is started when no network is named.
const DEFAULT_CHAIN: &str = "local";

const NETWORKS: [Network; 4] = [
	// One validator, for a machine alone.
	Network {
		chain: "dev",
		name: "Cuckoo Development",
		id: "cuckoo_dev",
		chain_type: ChainType::Development,
		preset: DEV_RUNTIME_PRESET,
		wasm: WASM_BINARY,
	},
	// Three validators, for tests of a network.
	Network {
		chain: "local",
		name: "Cuckoo Local",
		id: "cuckoo_local",
		chain_type: ChainType::Local,
		preset: LOCAL_PRESET,
		wasm: WASM_BINARY,
	},
	// The same two with blocks every second and eras of twenty: a whole life of stake in minutes.
	Network {
		chain: "fast",
		name: "Cuckoo Fast Development",
		id: "cuckoo_fast",
		chain_type: ChainType::Development,
		preset: DEV_RUNTIME_PRESET,
		wasm: fast::WASM_BINARY,
	},
	Network {
		chain: "fast-local",
		name: "Cuckoo Fast Local",
		id: "cuckoo_fast_local",
		chain_type: ChainType::Local,
		preset: LOCAL_PRESET,
		wasm: fast::WASM_BINARY,
	},
];

/// The specification of the network that `--chain` names, or from the file at this path. Without a
/// name, the local network.
pub fn load(chain: &str) -> Result<GenericChainSpec, String> {
	let named = if chain.is_empty() {
		DEFAULT_CHAIN
	} else {
		chain
	};
	if let Some(network) = NETWORKS.iter().find(|network| network.chain == named) {
		return build(network);
	}
	GenericChainSpec::from_json_file(PathBuf::from(chain)).map_err(|error| {
		let known = NETWORKS.map(|network| network.chain).join(", ");
		format!("`{chain}` is no network that this node knows ({known}), and as a chain specification: {error}")
	})
}

fn build(network: &Network) -> Result<GenericChainSpec, String> {
	let wasm = network.wasm.ok_or(
		"this node was built without its wasm runtime; build it again without SKIP_WASM_BUILD",
	)?;
	// Asked of the runtime's native code: its wasm gives the same answer after seconds of compiling. No
	// preset depends on the constants in which the fast runtime differs.
	let preset = genesis_presets::get_preset(&network.preset.into())
		.ok_or_else(|| format!("the runtime has no genesis preset `{}`", network.preset))?;
	let patch = serde_json::from_slice(&preset)
		.map_err(|error| format!("the genesis preset `{}`: {error}", network.preset))?;
	Ok(GenericChainSpec::builder(wasm, None)
		.with_name(network.name)
		.with_id(network.id)
		.with_chain_type(network.chain_type.clone())
		.with_protocol_id(PROTOCOL_ID)
		.with_genesis_config_patch(patch)
		.with_properties(properties())
		.build())
}

/// What wallets show amounts and addresses with.
fn properties() -> Properties {
	let mut properties = Properties::new();
	properties.insert("tokenSymbol".into(), "CUC".into());
	properties.insert("tokenDecimals".into(), CUC_DECIMALS.into());
	properties.insert("ss58Format".into(), SS58_PREFIX.into());
	properties
}
