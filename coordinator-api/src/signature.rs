//! Signatures in JSON: `0x` and 128 hex digits, like every other byte string of this API.

use cuckoo_primitives::WorkerSignature;
use serde::{Deserialize, Deserializer, Serializer};

/// For `#[serde(serialize_with)]`.
pub fn serialize<S: Serializer>(
	signature: &WorkerSignature,
	serializer: S,
) -> Result<S::Ok, S::Error> {
	serializer.serialize_str(&format!("0x{}", hex::encode(signature.0)))
}

/// For `#[serde(deserialize_with)]`.
pub fn deserialize<'de, D: Deserializer<'de>>(
	deserializer: D,
) -> Result<WorkerSignature, D::Error> {
	let text = String::deserialize(deserializer)?;
	let mut bytes = [0u8; 64];
	text.strip_prefix("0x")
		.and_then(|digits| hex::decode_to_slice(digits, &mut bytes).ok())
		.ok_or_else(|| serde::de::Error::custom("a signature is 0x and 128 hex digits"))?;
	Ok(WorkerSignature::from_raw(bytes))
}

#[cfg(test)]
mod tests {
	use super::*;
	use serde::Serialize;

	#[derive(Debug, PartialEq, Serialize, Deserialize)]
	struct Signed(#[serde(with = "super")] WorkerSignature);

	#[test]
	fn reads_and_writes_hex_with_its_prefix() {
		let signed = Signed(WorkerSignature::from_raw([0xab; 64]));
		let json = serde_json::to_string(&signed).unwrap();
		assert_eq!(json, format!("\"0x{}\"", "ab".repeat(64)));
		assert_eq!(serde_json::from_str::<Signed>(&json).unwrap(), signed);
		for wrong in [
			json.replace("0x", ""),
			json.replace("abab", "ab"),
			"\"0x\"".into(),
		] {
			assert!(
				serde_json::from_str::<Signed>(&wrong).is_err(),
				"{wrong} passes"
			);
		}
	}
}
