use cuckoo_primitives::{Balance, CUC};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// CUC in the smallest unit; a decimal string in JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount(pub Balance);

impl Serialize for Amount {
	fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
		serializer.collect_str(&self.0)
	}
}

impl<'de> Deserialize<'de> for Amount {
	fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
		String::deserialize(deserializer)?
			.parse()
			.map(Self)
			.map_err(serde::de::Error::custom)
	}
}

/// In CUC, for people: `20000.5 CUC`.
impl fmt::Display for Amount {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		let (whole, rest) = (self.0 / CUC, self.0 % CUC);
		if rest == 0 {
			return write!(f, "{whole} CUC");
		}
		let digits = format!("{rest:012}");
		write!(f, "{whole}.{} CUC", digits.trim_end_matches('0'))
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn reads_and_writes_decimal_strings_and_shows_cuc() {
		let amount = Amount(Balance::MAX);
		let json = serde_json::to_string(&amount).unwrap();
		assert_eq!(json, format!("\"{}\"", Balance::MAX));
		assert_eq!(serde_json::from_str::<Amount>(&json).unwrap(), amount);
		assert!(serde_json::from_str::<Amount>("\"-1\"").is_err());
		assert!(serde_json::from_str::<Amount>("1").is_err());
		assert_eq!(Amount(20_000 * CUC + CUC / 2).to_string(), "20000.5 CUC");
		assert_eq!(Amount(3 * CUC).to_string(), "3 CUC");
	}
}
