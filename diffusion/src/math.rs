//! Logarithm, exponential, sine and cosine out of additions, multiplications and divisions only.
//!
//! The standard library's come from the platform's libm and differ in their last bits from system
//! to system. IEEE 754 rounds the four operations and the square root in one way only, and Rust does
//! not fuse them, so these functions have the same bits on every machine. They are good to some
//! 1e-15, which is far more than the `f32` that their results end in.

use std::f64::consts::{FRAC_PI_2, LN_2, SQRT_2};

/// ln(x) for a positive normal `x`.
///
/// x = m·2^e with m near 1; ln m = 2·artanh(s) with s = (m − 1)/(m + 1), |s| < 0.172: the series
/// s + s³/3 + s⁵/5 + … is done after twelve terms.
pub fn ln(x: f64) -> f64 {
	debug_assert!(x.is_normal() && x > 0.0);
	const MANTISSA_BITS: u32 = 52;
	const BIAS: i64 = 1023;
	const TERMS: u32 = 12;
	let bits = x.to_bits();
	let mut exponent = (bits >> MANTISSA_BITS) as i64 - BIAS;
	let mantissa = bits & ((1 << MANTISSA_BITS) - 1);
	let mut m = f64::from_bits(mantissa | (BIAS as u64) << MANTISSA_BITS);
	if m > SQRT_2 {
		m /= 2.0;
		exponent += 1;
	}
	let s = (m - 1.0) / (m + 1.0);
	let square = s * s;
	let mut sum = 0.0;
	for term in (0..TERMS).rev() {
		sum = sum * square + 1.0 / f64::from(2 * term + 1);
	}
	exponent as f64 * LN_2 + 2.0 * s * sum
}

/// e^x, 0 far below and infinite far above.
///
/// x = k·ln 2 + r with |r| at most half of ln 2; Taylor's series of e^r is done after fifteen terms.
pub fn exp(x: f64) -> f64 {
	/// ln 2 in two parts, the first of so few digits that its product with k is exact.
	const LN_2_HIGH: f64 = 0.693_147_180_369_123_8;
	const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;
	const TERMS: u32 = 15;
	/// Beyond, the result is 0 or infinite in `f64`.
	const LIMIT: f64 = 750.0;
	if x.is_nan() {
		return x;
	}
	let x = x.clamp(-LIMIT, LIMIT);
	let k = (x / LN_2 + 0.5).floor();
	let r = (x - k * LN_2_HIGH) - k * LN_2_LOW;
	let mut sum = 1.0;
	for term in (1..TERMS).rev() {
		sum = 1.0 + sum * r / f64::from(term);
	}
	// In two steps: 2^k itself may be no normal number.
	let half = (k / 2.0).floor();
	sum * power_of_two(half) * power_of_two(k - half)
}

/// 2^k for a whole k within the normal numbers.
fn power_of_two(k: f64) -> f64 {
	const MANTISSA_BITS: u32 = 52;
	const BIAS: i64 = 1023;
	f64::from_bits(((k as i64 + BIAS) as u64) << MANTISSA_BITS)
}

/// x^y for a positive normal `x`.
pub fn pow(x: f64, y: f64) -> f64 {
	exp(y * ln(x))
}

/// (sin, cos) of `turns`·2π for `turns` in [0, 1].
///
/// The turn is cut into quarters around 0, ¼, ½ and ¾, exactly; what is left is at most an eighth,
/// where Taylor's series is done after ten terms.
pub fn sin_cos_turns(turns: f64) -> (f64, f64) {
	debug_assert!((0.0..=1.0).contains(&turns));
	const TERMS: u32 = 10;
	let quarters = turns * 4.0;
	let nearest = (quarters + 0.5).floor();
	let x = (quarters - nearest) * FRAC_PI_2;
	let square = x * x;
	let (mut sin, mut cos) = (1.0, 1.0);
	for term in (1..TERMS).rev() {
		let n = f64::from(2 * term);
		sin = 1.0 - sin * square / (n * (n + 1.0));
		cos = 1.0 - cos * square / (n * (n - 1.0));
	}
	let sin = x * sin;
	match nearest as u8 % 4 {
		0 => (sin, cos),
		1 => (cos, -sin),
		2 => (-sin, -cos),
		_ => (-cos, sin),
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use proptest::prelude::*;
	use std::f64::consts::TAU;

	proptest! {
		#[test]
		fn ln_agrees_with_the_platform(x in 1e-12f64..1e12) {
			prop_assert!((ln(x) - x.ln()).abs() <= 4e-15 * x.ln().abs().max(1.0));
		}

		#[test]
		fn exp_agrees_with_the_platform(x in -700.0f64..700.0) {
			prop_assert!((exp(x) - x.exp()).abs() <= 1e-15 * x.exp());
		}

		#[test]
		fn pow_agrees_with_the_platform(x in 1e-3f64..1e5, y in 0.1f64..8.0) {
			prop_assert!((pow(x, y) - x.powf(y)).abs() <= 1e-13 * x.powf(y));
		}

		#[test]
		fn sin_and_cos_agree_with_the_platform(turns in 0.0f64..=1.0) {
			let (sin, cos) = sin_cos_turns(turns);
			prop_assert!((sin - (turns * TAU).sin()).abs() < 2e-15);
			prop_assert!((cos - (turns * TAU).cos()).abs() < 2e-15);
		}
	}

	#[test]
	fn the_corners_are_exact() {
		assert_eq!(ln(1.0), 0.0);
		assert_eq!(exp(0.0), 1.0);
		assert_eq!(exp(f64::NEG_INFINITY), 0.0);
		assert_eq!(exp(f64::INFINITY), f64::INFINITY);
		assert!(exp(f64::NAN).is_nan());
		assert_eq!(sin_cos_turns(0.0), (0.0, 1.0));
		assert_eq!(sin_cos_turns(0.25), (1.0, 0.0));
		assert_eq!(sin_cos_turns(0.5).1, -1.0);
		assert_eq!(sin_cos_turns(1.0), (0.0, 1.0));
	}
}
