//! The noise of a seed: the same bits on every machine.
//!
//! A counter-based generator has no state to carry: the n-th number of a seed can be computed alone,
//! so an auditor can draw any part of the noise, and no order of computation can change it.
//!
//! Number n of stream s under a seed: block = ⌊n/4⌋; Philox4x32-10 (Salmon et al. 2011, "Parallel
//! random numbers: as easy as 1, 2, 3") with key (seed low word, seed high word) and counter (block
//! low word, block high word, s, 0) gives four words w₀…w₃. Each pair (a, b) = (w₀, w₁), (w₂, w₃)
//! gives two normal numbers by Box and Muller's r·cos φ, r·sin φ with r = √(−2 ln((a + 1)/2³²)) and
//! φ = 2π·b/2³², computed in `f64` with this crate's own ln, sin and cos (`math.rs`) and rounded to
//! `f32` once.

use crate::math;

/// What a stream of noise is for; each has its own numbers under one seed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stream {
	/// The latents before the first step: stream 0.
	InitialNoise,
	/// What a picture's latents are drawn with where a picture is given: stream 1.
	Picture,
	/// What this step adds, the first being 0, where a scheduler adds noise: stream 2 + step.
	Step(u16),
}

impl Stream {
	fn number(self) -> u32 {
		match self {
			Self::InitialNoise => 0,
			Self::Picture => 1,
			Self::Step(step) => 2 + u32::from(step),
		}
	}
}

const WORDS: usize = 4;
const ROUNDS: u32 = 10;
const MULTIPLIERS: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
/// The fractions of the golden ratio and of √3, by which the key moves each round.
const KEY_STEPS: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];

/// Philox4x32-10: a bijection of 128-bit counters for every key.
fn philox(mut counter: [u32; WORDS], mut key: [u32; 2]) -> [u32; WORDS] {
	for round in 0..ROUNDS {
		if round > 0 {
			key = [
				key[0].wrapping_add(KEY_STEPS[0]),
				key[1].wrapping_add(KEY_STEPS[1]),
			];
		}
		let product = |word: usize, by: usize| {
			let product = u64::from(counter[word]) * u64::from(MULTIPLIERS[by]);
			((product >> 32) as u32, product as u32)
		};
		let (high0, low0) = product(0, 0);
		let (high1, low1) = product(2, 1);
		counter = [
			high1 ^ counter[1] ^ key[0],
			low1,
			high0 ^ counter[3] ^ key[1],
			low0,
		];
	}
	counter
}

/// The first `count` standard normal numbers of a stream under a seed.
pub fn normal(seed: u64, stream: Stream, count: usize) -> Vec<f32> {
	let key = [seed as u32, (seed >> 32) as u32];
	let mut numbers = Vec::with_capacity(count + WORDS);
	for block in 0..count.div_ceil(WORDS) as u64 {
		let words = philox(
			[block as u32, (block >> 32) as u32, stream.number(), 0],
			key,
		);
		for pair in words.chunks_exact(2) {
			numbers.extend(box_muller(pair[0], pair[1]));
		}
	}
	numbers.truncate(count);
	numbers
}

/// Two independent standard normal numbers of two independent words.
fn box_muller(a: u32, b: u32) -> [f32; 2] {
	const TWO_POW_32: f64 = 4_294_967_296.0;
	// a + 1, so that the logarithm never sees 0.
	let radius = (-2.0 * math::ln((f64::from(a) + 1.0) / TWO_POW_32)).sqrt();
	let (sin, cos) = math::sin_cos_turns(f64::from(b) / TWO_POW_32);
	[(radius * cos) as f32, (radius * sin) as f32]
}

#[cfg(test)]
mod tests {
	use super::*;

	/// The vectors that come with the paper's own library, Random123 (kat_vectors, philox4x32 10).
	#[test]
	fn philox_gives_the_published_answers() {
		let check = |counter, key, expected| assert_eq!(philox(counter, key), expected);
		check(
			[0; 4],
			[0; 2],
			[0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8],
		);
		check(
			[u32::MAX; 4],
			[u32::MAX; 2],
			[0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd],
		);
		check(
			[0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
			[0xa409_3822, 0x299f_31d0],
			[0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
		);
	}

	#[test]
	fn the_numbers_are_normal() {
		let numbers = normal(1, Stream::InitialNoise, 1 << 18);
		let count = numbers.len() as f64;
		let moment = |power: i32| {
			numbers
				.iter()
				.map(|&number| f64::from(number).powi(power))
				.sum::<f64>()
				/ count
		};
		// Five standard errors: √(Var(zᵏ)/n), with Var 1, 2, 15, 96.
		for (power, expected, variance) in
			[(1, 0.0, 1.0), (2, 1.0, 2.0), (3, 0.0, 15.0), (4, 3.0, 96.0)]
		{
			let error = (moment(power) - expected).abs();
			assert!(
				error < 5.0 * f64::sqrt(variance / count),
				"moment {power}: off by {error}"
			);
		}
	}

	#[test]
	fn a_shorter_draw_is_the_start_of_a_longer_one() {
		let long = normal(u64::MAX, Stream::InitialNoise, 103);
		for count in [0, 1, 2, 3, 4, 5, 102] {
			assert_eq!(normal(u64::MAX, Stream::InitialNoise, count), long[..count]);
		}
	}

	#[test]
	fn both_words_of_the_seed_count() {
		let draw = |seed| normal(seed, Stream::InitialNoise, 4);
		assert_ne!(draw(1), draw(1 << 32));
		assert_ne!(draw(0), draw(1));
	}

	#[test]
	fn the_extreme_words_give_finite_numbers() {
		for a in [0, 1, u32::MAX] {
			for b in [0, 1 << 30, 1 << 31, u32::MAX] {
				assert!(box_muller(a, b)
					.iter()
					.all(|number| number.is_finite() && number.abs() < 6.7));
			}
		}
	}
}
