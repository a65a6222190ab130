//! A few hundred schedules, and that a seed gives the same again.

use cuckoo_simulation::schedule;

const SCHEDULES: u64 = 200;

#[test]
fn every_rule_holds() {
	let mut done = 0;
	for seed in 1_000_000..1_000_000 + SCHEDULES {
		let outcome = schedule::run(seed).unwrap();
		assert!(
			outcome.broken.is_empty(),
			"seed {seed}: {:#?}",
			outcome.broken
		);
		done += outcome.done;
	}
	assert!(
		done > SCHEDULES as usize,
		"much is done in spite of all: {done}"
	);
}

#[test]
fn a_seed_gives_the_same_again() {
	for seed in 0..10 {
		let (first, second) = (schedule::run(seed).unwrap(), schedule::run(seed).unwrap());
		assert_eq!(first.hash, second.hash, "seed {seed}");
		assert!(first.hash.0 > 50, "seed {seed}: {:?}", first.hash);
	}
}
