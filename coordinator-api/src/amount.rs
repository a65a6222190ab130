use cuckoo_primitives::{Balance, CUC};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// CUC in the smallest unit; a decimal string in JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount(pub Balance);

/// Digits of a CUC after the point.
const DECIMALS: usize = 12;

impl Amount {
	/// From CUC as people write it, with up to 12 decimals: `20000.5`.
	pub fn from_cuc(text: &str) -> Option<Self> {
		let (whole, rest) = text.split_once('.').unwrap_or((text, "0"));
		let is_number = |text: &str| !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit());
		if !is_number(whole) || !is_number(rest) || rest.len() > DECIMALS {
			return None;
		}
		let whole: Balance = whole.parse().ok()?;
		let rest: Balance = format!("{rest:0<DECIMALS$}").parse().ok()?;
		whole.checked_mul(CUC)?.checked_add(rest).map(Self)
	}

	/// As [`Amount::from_cuc`] reads it.
	pub fn to_cuc(self) -> String {
		let shown = self.to_string();
		shown.trim_end_matches(" CUC").to_owned()
	}
}

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
		for (text, amount) in [
			("0", Some(0)),
			("20000.5", Some(20_000 * CUC + CUC / 2)),
			("0.000000000001", Some(1)),
			("1.500000000000", Some(CUC + CUC / 2)),
			("0.0000000000001", None),
			("340282366920938463463374607431768211456", None),
			("", None),
			(".5", None),
			("5.", None),
			("-1", None),
			("+1", None),
			("1e3", None),
			(" 1", None),
			("1.2.3", None),
		] {
			assert_eq!(Amount::from_cuc(text), amount.map(Amount), "{text}");
		}
	}

	proptest::proptest! {
		#[test]
		fn what_is_shown_in_cuc_reads_back_the_same(amount: Balance) {
			let amount = Amount(amount);
			proptest::prop_assert_eq!(Amount::from_cuc(&amount.to_cuc()), Some(amount));
		}
	}
}
