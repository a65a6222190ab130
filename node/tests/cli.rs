//! The sub-commands, run as a user runs them.

use serde_json::Value;
use std::process::{Command, Output};

fn node(arguments: &[&str]) -> Output {
	Command::new(env!("CARGO_BIN_EXE_cuckoo-node"))
		.args(arguments)
		.output()
		.expect("the node can be started")
}

fn exported_spec(chain: &str) -> Value {
	let output = node(&["export-chain-spec", "--chain", chain]);
	assert!(
		output.status.success(),
		"{}",
		String::from_utf8_lossy(&output.stderr)
	);
	serde_json::from_slice(&output.stdout).expect("the specification is JSON")
}

#[test]
fn named_networks_carry_the_coin_and_a_genesis_that_can_be_patched() {
	for (chain, id, validators) in [
		("dev", "cuckoo_dev", 1),
		("local", "cuckoo_local", 3),
		("fast", "cuckoo_fast", 1),
		("fast-local", "cuckoo_fast_local", 3),
	] {
		let spec = exported_spec(chain);
		assert_eq!(spec["id"], id);
		assert_eq!(spec["properties"]["tokenSymbol"], "CUC");
		assert_eq!(spec["properties"]["tokenDecimals"], 12);
		assert_eq!(spec["properties"]["ss58Format"], 42);
		let patch = &spec["genesis"]["runtimeGenesis"]["patch"];
		assert_eq!(
			patch["session"]["keys"]
				.as_array()
				.expect("session keys")
				.len(),
			validators
		);
		let operators = patch["staking"]["operators"].as_array().expect("operators");
		assert!(operators
			.iter()
			.any(|operator| operator["role"] == "coordinator"));
	}
}

/// The two runtimes are built in one folder: a mix-up would make a chain with the wrong times.
#[test]
fn fast_networks_have_another_runtime_than_the_normal_ones() {
	let code = |chain| exported_spec(chain)["genesis"]["runtimeGenesis"]["code"].clone();
	let (normal, fast) = (code("dev"), code("fast"));
	assert!(normal.is_string() && fast.is_string());
	assert_ne!(normal, fast);
	assert_eq!(normal, code("local"));
	assert_eq!(fast, code("fast-local"));
}

#[test]
fn a_patched_specification_becomes_a_raw_one() {
	let folder = tempfile::tempdir().expect("a folder can be made");
	let path = folder.path().join("spec.json");
	let mut spec = exported_spec("dev");
	spec["name"] = "Patched".into();
	let operators = spec["genesis"]["runtimeGenesis"]["patch"]["staking"]["operators"]
		.as_array_mut()
		.expect("operators");
	for operator in operators {
		operator["endpoint"] = "http://127.0.0.1:1".into();
	}
	std::fs::write(&path, spec.to_string()).expect("the file can be written");

	let path = path.to_str().expect("the path is UTF-8");
	let output = node(&["export-chain-spec", "--chain", path, "--raw"]);
	assert!(
		output.status.success(),
		"{}",
		String::from_utf8_lossy(&output.stderr)
	);
	let raw: Value = serde_json::from_slice(&output.stdout).expect("the specification is JSON");
	assert_eq!(raw["name"], "Patched");
	assert!(!raw["genesis"]["raw"]["top"]
		.as_object()
		.expect("storage")
		.is_empty());
}

#[test]
fn an_unknown_network_is_named_in_the_error() {
	let output = node(&["export-chain-spec", "--chain", "no/such/spec.json"]);
	assert!(!output.status.success());
	let error = String::from_utf8_lossy(&output.stderr);
	assert!(error.contains("no/such/spec.json"), "{error}");
	assert!(error.contains("fast-local"), "{error}");
}

/// The address that everything else in the development network derives from.
#[test]
fn key_inspect_knows_alice() {
	let output = node(&["key", "inspect", "//Alice"]);
	let text = String::from_utf8_lossy(&output.stdout);
	assert!(
		text.contains("5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY"),
		"{text}"
	);
}
