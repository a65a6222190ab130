//! The secret of an app and the signatures by it, as Standard Webhooks has them.

use base64::{engine::general_purpose::STANDARD, Engine};
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// What every secret begins with.
const PREFIX: &str = "whsec_";

/// For the derivation of apps' secrets from the store's.
pub const SECRET_CONTEXT: &str = "cuckoo coordinator 2026 webhook secret of an app";

/// With which calls to an app are signed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret([u8; 32]);

impl Secret {
	/// Of the app with this key, in a store with this secret: whoever has the key's hash alone does not
	/// have it, and a new key gives a new one.
	pub fn derive(store: &[u8; 32], key_hash: &[u8; 32]) -> Self {
		let mut hasher = blake3::Hasher::new_derive_key(SECRET_CONTEXT);
		hasher.update(store).update(key_hash);
		Self(*hasher.finalize().as_bytes())
	}

	/// As the app gets it.
	pub fn reveal(&self) -> String {
		format!("{PREFIX}{}", STANDARD.encode(self.0))
	}

	/// The header `webhook-signature` of a call.
	pub fn sign(&self, id: &str, timestamp: u64, body: &str) -> String {
		let mut mac =
			Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes a key of any length; qed");
		mac.update(format!("{id}.{timestamp}.{body}").as_bytes());
		format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
	}
}

impl std::fmt::Debug for Secret {
	fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
		f.write_str("Secret")
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	/// HMAC as RFC 2104 writes it, over another SHA-256.
	fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
		let pad = |byte: u8| {
			let mut block = [byte; 64];
			block.iter_mut().zip(key).for_each(|(pad, key)| *pad ^= key);
			block
		};
		let inner = sp_crypto_hashing::sha2_256(&[&pad(0x36)[..], message].concat());
		sp_crypto_hashing::sha2_256(&[&pad(0x5c)[..], &inner].concat())
	}

	#[test]
	fn signatures_are_those_of_the_specification() {
		let secret = Secret([7; 32]);
		assert!(secret.reveal().starts_with("whsec_BwcHBw"));
		assert_eq!(format!("{secret:?}"), "Secret");
		let expected = hmac(&[7; 32], b"msg_1.1700000000.{\"a\":1}");
		let signature = secret.sign("msg_1", 1_700_000_000, "{\"a\":1}");
		assert_eq!(signature, format!("v1,{}", STANDARD.encode(expected)));
	}

	#[test]
	fn each_store_and_key_has_a_secret_of_its_own() {
		let one = Secret::derive(&[1; 32], &[2; 32]);
		assert_eq!(one, Secret::derive(&[1; 32], &[2; 32]));
		assert_ne!(one, Secret::derive(&[2; 32], &[2; 32]));
		assert_ne!(one, Secret::derive(&[1; 32], &[1; 32]));
	}
}
