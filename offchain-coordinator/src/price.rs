//! What tasks cost: a price for a megapixel-step, by model. All whole numbers, rounded up.

use cuckoo_coordinator_api::{
	error::{ApiError, ErrorCode},
	task::ModelInfo,
	Amount,
};
use cuckoo_primitives::{Balance, CUC};
use std::collections::BTreeMap;

/// Pixels of a megapixel.
const MEGA: u64 = 1_000_000;

/// The highest price of a megapixel-step: so low that no task's price can overflow.
pub const MAX_RATE: Balance = 1_000_000_000 * CUC;

/// What megapixel-steps cost.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Prices {
	/// Of models that have no price of their own.
	pub default: Balance,
	/// By the model's hash or name.
	pub by_model: BTreeMap<String, Balance>,
}

impl Prices {
	/// What a megapixel-step of this model costs: by its hash, else by its name, else as all do.
	pub fn rate(&self, model: &ModelInfo) -> Balance {
		let hash = format!("{:?}", model.hash);
		let own = self.by_model.get(&hash);
		*own.or_else(|| self.by_model.get(&model.name))
			.unwrap_or(&self.default)
	}

	/// What so much work with this model costs.
	pub fn of(&self, model: &ModelInfo, pixel_steps: u64) -> Amount {
		Amount(price(pixel_steps, self.rate(model)))
	}
}

/// What so many pixel-steps cost at this price of a million of them, rounded up.
pub fn price(pixel_steps: u64, rate: Balance) -> Balance {
	let (millions, rest) = (pixel_steps / MEGA, pixel_steps % MEGA);
	let rest = (Balance::from(rest) * rate).div_ceil(MEGA.into());
	Balance::from(millions) * rate + rest
}

/// Refuses a task that costs more than its app wants to pay.
pub fn check(price: Amount, max: Option<Amount>) -> Result<(), ApiError> {
	let Some(max) = max.filter(|max| *max < price) else {
		return Ok(());
	};
	let message = format!("The task costs {price}, and at most {max} is to be paid.");
	let subject = format!("price={} max_price={}", price.0, max.0);
	Err(ApiError::with_message(ErrorCode::PriceAboveMaximum, message).about(subject))
}

/// A price of a megapixel-step in CUC.
pub fn parse(text: &str) -> Option<Balance> {
	let Amount(rate) = Amount::from_cuc(text)?;
	(rate <= MAX_RATE).then_some(rate)
}

#[cfg(test)]
mod tests {
	use super::*;
	use cuckoo_primitives::H256;
	use proptest::prelude::*;

	#[test]
	fn hashes_count_before_names_and_names_before_the_default() {
		let model = ModelInfo {
			hash: H256::repeat_byte(1),
			name: "tiny".into(),
			default_size: 64,
			size_multiple: 8,
			max_size: 128,
			default_steps: 20,
			default_guidance_milli: 3_000,
		};
		let mut prices = Prices {
			default: 1,
			..Prices::default()
		};
		assert_eq!(prices.rate(&model), 1);
		prices.by_model.insert("tiny".into(), 2);
		assert_eq!(prices.rate(&model), 2);
		prices.by_model.insert(format!("{:?}", model.hash), 3);
		assert_eq!(prices.rate(&model), 3);
		assert_eq!(prices.of(&model, 1_000_001), Amount(4));
	}

	#[test]
	fn prices_have_twelve_decimals_and_an_end() {
		assert_eq!(parse("0.000000000001"), Some(1));
		assert_eq!(parse("1000000000"), Some(MAX_RATE));
		assert_eq!(parse("1000000000.000000000001"), None);
		assert_eq!(parse("free"), None);
	}

	#[test]
	fn a_task_above_its_maximum_is_refused_with_both() {
		assert_eq!(check(Amount(5), None), Ok(()));
		assert_eq!(check(Amount(5), Some(Amount(5))), Ok(()));
		let error = check(Amount(5), Some(Amount(4))).unwrap_err();
		assert_eq!(error.code, ErrorCode::PriceAboveMaximum);
		assert_eq!(error.subject.as_deref(), Some("price=5 max_price=4"));
	}

	proptest! {
		/// Never less than the exact price, never a whole unit more, and never an overflow.
		#[test]
		fn a_price_is_the_exact_one_rounded_up(work: u64, rate in 0..=MAX_RATE) {
			let charged = price(work, rate);
			// In parts of 2^64, since the product itself needs more than 128 bits.
			let (low, high) = (rate & Balance::from(u64::MAX), rate >> 64);
			let low = low * Balance::from(work);
			let high = high * Balance::from(work) + (low >> 64);
			let low = low & Balance::from(u64::MAX);
			let (of_high, left) = (high / 1_000_000, high % 1_000_000);
			let rest = (left << 64) + low;
			let exact = (of_high << 64) + rest / 1_000_000;
			let expected = exact + Balance::from(rest % 1_000_000 > 0);
			prop_assert_eq!(charged, expected);
		}

		/// More work never costs less, and two halves never less than the whole.
		#[test]
		fn more_work_never_costs_less(one in 0..u64::MAX / 2, more in 0..u64::MAX / 2, rate in 0..=MAX_RATE) {
			let whole = price(one + more, rate);
			prop_assert!(whole >= price(one, rate));
			prop_assert!(price(one, rate) + price(more, rate) >= whole);
		}
	}
}
