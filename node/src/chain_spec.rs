//! The networks that the node knows by name; every other is described by a file.

use cuckoo_primitives::{CUC_DECIMALS, SS58_PREFIX};
use cuckoo_runtime::{
	genesis_presets::{self, LOCAL_PRESET},
	WASM_BINARY,
};
use sc_service::{ChainType, GenericChainSpec, Properties};
use sp_genesis_builder::DEV_RUNTIME_PRESET;
use std::path::PathBuf;

/// Keeps this chain's peers apart from other chains'.
const PROTOCOL_ID: &str = "cuckoo";

struct Network {
	name: &'static str,
	id: &'static str,
	chain_type: ChainType,
	preset: &'static str,
}

/// One validator, for a machine alone.
const DEVELOPMENT: Network = Network {
	name: "Cuckoo Development",
	id: "cuckoo_dev",
	chain_type: ChainType::Development,
	preset: DEV_RUNTIME_PRESET,
};

/// Three validators, for tests of a network.
const LOCAL: Network = Network {
	name: "Cuckoo Local",
	id: "cuckoo_local",
	chain_type: ChainType::Local,
	preset: LOCAL_PRESET,
};

/// The specification with this name (`dev`, `local`), or from the file at this path. Without a name,
/// the local network.
pub fn load(id: &str) -> Result<GenericChainSpec, String> {
	match id {
		"dev" => build(DEVELOPMENT),
		"" | "local" => build(LOCAL),
		path => GenericChainSpec::from_json_file(PathBuf::from(path)).map_err(|error| {
			format!("`{path}` is neither `dev` nor `local` nor a chain specification: {error}")
		}),
	}
}

fn build(network: Network) -> Result<GenericChainSpec, String> {
	let wasm = WASM_BINARY.ok_or(
		"this node was built without its wasm runtime; build it again without SKIP_WASM_BUILD",
	)?;
	// Asked of the runtime's native code: its wasm gives the same answer after seconds of compiling.
	let preset = genesis_presets::get_preset(&network.preset.into())
		.ok_or_else(|| format!("the runtime has no genesis preset `{}`", network.preset))?;
	let patch = serde_json::from_slice(&preset)
		.map_err(|error| format!("the genesis preset `{}`: {error}", network.preset))?;
	Ok(GenericChainSpec::builder(wasm, None)
		.with_name(network.name)
		.with_id(network.id)
		.with_chain_type(network.chain_type)
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
