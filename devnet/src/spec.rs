//! The chain specification of a local network: the node's development preset with the coordinator's
//! endpoint set to the port that was found free.

use crate::{Error, Result};
use serde_json::Value;

/// Sets the endpoint of the genesis operator whose account is `account` (SS58).
///
/// Only the one field changes: the network runs the genesis that every developer's node has.
pub fn set_endpoint(spec: &mut Value, account: &str, endpoint: &str) -> Result<()> {
	let genesis = spec
		.pointer_mut("/genesis/runtimeGenesis")
		.ok_or_else(|| Error::ChainSpec("it has no /genesis/runtimeGenesis".to_owned()))?;
	let config = ["patch", "config"]
		.into_iter()
		.find(|key| genesis.get(key).is_some())
		.ok_or_else(|| {
			Error::ChainSpec("its genesis is neither a patch nor a config".to_owned())
		})?;
	let operators = genesis[config]
		.pointer_mut("/staking/operators")
		.and_then(Value::as_array_mut)
		.ok_or_else(|| Error::ChainSpec("it has no staking.operators".to_owned()))?;
	let operator = operators
		.iter_mut()
		.find(|operator| operator.get("account").and_then(Value::as_str) == Some(account))
		.ok_or_else(|| Error::ChainSpec(format!("{account} is no operator in it")))?;
	let field = operator
		.get_mut("endpoint")
		.ok_or_else(|| Error::ChainSpec(format!("operator {account} has no endpoint")))?;
	*field = if field.is_array() {
		// A byte vector, as serde writes it.
		Value::from(endpoint.as_bytes().to_vec())
	} else {
		Value::from(endpoint)
	};
	Ok(())
}

#[cfg(test)]
mod tests {
	use super::*;
	use serde_json::json;

	fn spec(endpoint: Value) -> Value {
		json!({ "genesis": { "runtimeGenesis": { "patch": { "staking": { "operators": [
			{ "account": "5Miner", "endpoint": "" },
			{ "account": "5Coordinator", "endpoint": endpoint },
		] } } } } })
	}

	#[test]
	fn one_endpoint_changes_and_nothing_else() {
		let mut text = spec(json!("http://old"));
		set_endpoint(&mut text, "5Coordinator", "http://new").unwrap();
		assert_eq!(text, spec(json!("http://new")));

		let mut bytes = spec(json!([1, 2]));
		set_endpoint(&mut bytes, "5Coordinator", "ab").unwrap();
		assert_eq!(bytes, spec(json!([97, 98])));
	}

	#[test]
	fn an_unexpected_shape_is_named() {
		let error = set_endpoint(&mut spec(json!("")), "5Nobody", "x")
			.unwrap_err()
			.to_string();
		assert!(error.contains("5Nobody is no operator"), "{error}");
		assert!(set_endpoint(&mut json!({}), "5Nobody", "x").is_err());
	}
}
