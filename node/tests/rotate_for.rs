//! `key rotate-for` makes keys in a running node that the chain accepts from the account.

mod support;

use codec::DecodeAll;
use cuckoo_runtime::{AccountId, RuntimeCall, SessionKeys};
use serde_json::{json, Value};
use sp_runtime::traits::OpaqueKeys;
use std::process::{Command, Output};
use support::Node;

/// //Alice.
const ACCOUNT: &str = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";

fn rotate_for(account: &str, url: &str) -> Output {
	let arguments = [
		"key",
		"rotate-for",
		"--json",
		"--account",
		account,
		"--url",
		url,
	];
	Command::new(env!("CARGO_BIN_EXE_cuckoo-node"))
		.args(arguments)
		.output()
		.expect("the program can be started")
}

fn complaint(output: &Output) -> String {
	assert!(!output.status.success());
	String::from_utf8_lossy(&output.stderr).into_owned()
}

fn bytes(hex: &Value) -> Vec<u8> {
	let digits = hex.as_str().and_then(|hex| hex.strip_prefix("0x"));
	hex::decode(digits.expect("hex begins with 0x")).expect("it is hex")
}

#[test]
fn keys_belong_to_the_account_and_stay_in_the_node() {
	let folder = tempfile::tempdir().expect("a folder can be made");
	let node = Node::start(folder.path(), &["--chain", "fast"]);
	let output = rotate_for(ACCOUNT, &node.url());
	assert!(
		output.status.success(),
		"{}",
		String::from_utf8_lossy(&output.stderr)
	);
	let rotated: Value = serde_json::from_slice(&output.stdout).expect("it prints JSON");

	let owner: AccountId = ACCOUNT.parse().expect("it is an address");
	assert_eq!(rotated["account"], ACCOUNT);
	let keys = SessionKeys::decode_all(&mut bytes(&rotated["keys"]).as_slice())
		.expect("they are session keys");
	let proof = bytes(&rotated["proof"]);
	assert!(keys.ownership_proof_is_valid(owner.as_ref(), &proof));
	assert_eq!(
		node.call("author_hasSessionKeys", json!([rotated["keys"]])),
		true
	);

	let call = RuntimeCall::decode_all(&mut bytes(&rotated["call"]).as_slice());
	let expected = RuntimeCall::Session(pallet_session::Call::set_keys { keys, proof });
	assert_eq!(call, Ok(expected));
}

#[test]
fn what_went_wrong_is_said_with_what_to_do() {
	let error = complaint(&rotate_for("5Grwva", "http://127.0.0.1:9944"));
	assert!(error.contains("--account"), "{error}");

	let error = complaint(&rotate_for(ACCOUNT, "127.0.0.1"));
	assert!(error.contains("http://127.0.0.1:9944"), "{error}");

	// Port 1 is never a node's.
	let error = complaint(&rotate_for(ACCOUNT, "http://127.0.0.1:1"));
	assert!(
		error.contains("no node answers at http://127.0.0.1:1"),
		"{error}"
	);
	assert!(error.contains("--url"), "{error}");

	let folder = tempfile::tempdir().expect("a folder can be made");
	let node = Node::start(folder.path(), &["--chain", "fast", "--rpc-methods", "safe"]);
	let error = complaint(&rotate_for(ACCOUNT, &node.url()));
	assert!(error.contains("refuses to make keys"), "{error}");
	assert!(error.contains("--rpc-methods safe"), "{error}");
}
