//! Whether what is stored decodes. For checks of the whole state only.

use codec::{Decode, DecodeAll, FullCodec};
use frame_support::storage::StoragePrefixedMap;

/// Whether every value of a map decodes, to the last byte.
pub fn all_decode<Value, Map>() -> bool
where
	Value: FullCodec,
	Map: StoragePrefixedMap<Value>,
{
	let prefix = Map::final_prefix();
	let mut key = prefix.to_vec();
	while let Some(next) = sp_io::storage::next_key(&key).filter(|next| next.starts_with(&prefix)) {
		if !decodes::<Value>(&next) {
			return false;
		}
		key = next;
	}
	true
}

/// Whether there is no value under the key, or one that decodes to the last byte.
pub fn decodes<Value: Decode>(key: &[u8]) -> bool {
	frame_support::storage::unhashed::get_raw(key)
		.is_none_or(|raw| Value::decode_all(&mut &raw[..]).is_ok())
}
