//! Where randomness comes from, so that a simulation can have the same again.

use rand::{
	distr::{Distribution, StandardUniform},
	rngs::StdRng,
	RngExt, SeedableRng,
};
use std::sync::{Arc, Mutex, PoisonError};

/// A source of randomness.
#[derive(Clone, Debug, Default)]
pub enum Entropy {
	/// The system's: nobody can foretell it.
	#[default]
	System,
	/// One that gives the same each time: for simulations only.
	Seeded(Arc<Mutex<StdRng>>),
}

impl Entropy {
	/// What follows from this number.
	pub fn seeded(seed: u64) -> Self {
		Self::Seeded(Arc::new(Mutex::new(StdRng::seed_from_u64(seed))))
	}

	/// Something random.
	pub fn random<T>(&self) -> T
	where
		StandardUniform: Distribution<T>,
	{
		match self {
			Self::System => rand::random(),
			Self::Seeded(source) => {
				let mut source = source.lock().unwrap_or_else(PoisonError::into_inner);
				source.random()
			},
		}
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn a_seed_gives_the_same_again_and_the_system_does_not() {
		let drawn = |entropy: Entropy| (entropy.random::<[u8; 32]>(), entropy.random::<u64>());
		assert_eq!(drawn(Entropy::seeded(1)), drawn(Entropy::seeded(1)));
		assert_ne!(drawn(Entropy::seeded(1)), drawn(Entropy::seeded(2)));
		assert_ne!(drawn(Entropy::System), drawn(Entropy::System));
	}
}
