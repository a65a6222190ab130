//! Chance that follows from a seed.

use rand::{rngs::StdRng, RngExt, SeedableRng};
use std::{
	ops::Range,
	sync::{Arc, Mutex, PoisonError},
	time::Duration,
};

/// A source of chance that can be shared.
#[derive(Clone, Debug)]
pub struct Dice(Arc<Mutex<StdRng>>);

impl Dice {
	/// What follows from this number.
	pub fn new(seed: u64) -> Self {
		Self(Arc::new(Mutex::new(StdRng::seed_from_u64(seed))))
	}

	/// Another source, which follows from this one and is then independent of it.
	pub fn split(&self) -> Self {
		Self::new(self.number(0..u64::MAX))
	}

	/// True so many times in a thousand.
	pub fn chance(&self, per_mille: u64) -> bool {
		self.number(0..1_000) < per_mille
	}

	/// A number of the range.
	pub fn number(&self, range: Range<u64>) -> u64 {
		let mut source = self.0.lock().unwrap_or_else(PoisonError::into_inner);
		source.random_range(range)
	}

	/// A time of the range, in milliseconds.
	pub fn millis(&self, range: Range<u64>) -> Duration {
		Duration::from_millis(self.number(range))
	}

	/// One of them.
	pub fn pick<'a, T>(&self, among: &'a [T]) -> &'a T {
		&among[self.number(0..among.len() as u64) as usize]
	}
}
