//! Whether a device is well. One that fails again and again is lost: it leaves the tasks to others, here or
//! at other miners, and tries one batch after a pause, which grows. One that has failed at several of those
//! is given up: what is wrong with a driver often ends with the process. A state machine that is told what
//! time it is.

use std::time::{Duration, Instant};

/// After so many failures on end a device is taken to be lost.
pub const LOST_AFTER: u32 = 3;
/// The pause before a lost device tries again.
pub const FIRST_REST: Duration = Duration::from_secs(30);
/// The longest such pause; each is twice the one before.
pub const LONGEST_REST: Duration = Duration::from_secs(600);
/// After so many tries on end that failed a lost device is given up.
pub const GIVEN_UP_AFTER: u32 = 3;

/// What a run of the model said of its device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
	/// It made a picture.
	Well,
	/// It failed.
	Failed,
	/// Nothing: the tasks were cancelled, or failed by their own fault.
	Nothing,
}

/// Whether a device is to take a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
	/// Yes.
	Free,
	/// Not before this.
	Resting(Instant),
	/// One of its slots, to see whether it is well again.
	Due,
	/// One of its slots is at that: the others wait.
	Trying,
}

/// The health of one device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
	/// On end.
	failures: u32,
	/// Only while it is lost.
	rest: Option<Rest>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rest {
	until: Instant,
	length: Duration,
	trying: bool,
	/// That failed.
	tries: u32,
}

impl Health {
	/// Failures since its last success.
	pub fn failures(&self) -> u32 {
		self.failures
	}

	/// Whether it is taken to be lost.
	pub fn is_lost(&self) -> bool {
		self.rest.is_some()
	}

	/// Whether it has failed at so many tries that another is not worth a task.
	pub fn is_given_up(&self) -> bool {
		let rest = self.rest.as_ref();
		rest.is_some_and(|rest| rest.tries >= GIVEN_UP_AFTER)
	}

	/// Whether it is to take a task.
	pub fn turn(&self, now: Instant) -> Turn {
		match &self.rest {
			None => Turn::Free,
			Some(rest) if rest.trying => Turn::Trying,
			Some(rest) if now < rest.until => Turn::Resting(rest.until),
			Some(_) => Turn::Due,
		}
	}

	/// A slot takes a batch. Whether this is the one that shows if the device is well again, to be told
	/// to [`Health::ended`].
	pub fn begins(&mut self, now: Instant) -> bool {
		let is_due = self.turn(now) == Turn::Due;
		if let Some(rest) = self.rest.as_mut().filter(|_| is_due) {
			rest.trying = true;
		}
		is_due
	}

	/// A batch ended.
	pub fn ended(&mut self, tried: bool, verdict: Verdict, now: Instant) {
		match verdict {
			Verdict::Well => *self = Self::default(),
			Verdict::Nothing => {
				if let Some(rest) = self.rest.as_mut().filter(|_| tried) {
					rest.trying = false;
				}
			},
			Verdict::Failed => {
				self.failures = self.failures.saturating_add(1);
				if self.failures < LOST_AFTER {
					return;
				}
				// A batch that was begun before the device was lost says nothing new.
				let (length, trying, tries) = match &self.rest {
					None => (FIRST_REST, false, 0),
					Some(rest) if tried => {
						let longer = LONGEST_REST.min(rest.length * 2);
						(longer, false, rest.tries.saturating_add(1))
					},
					Some(rest) => (rest.length, rest.trying, rest.tries),
				};
				self.rest = Some(Rest {
					until: now + length,
					length,
					trying,
					tries,
				});
			},
		}
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use proptest::prelude::*;

	fn lost(now: Instant) -> Health {
		let mut health = Health::default();
		for _ in 0..LOST_AFTER {
			assert_eq!(health.turn(now), Turn::Free);
			assert!(!health.begins(now));
			health.ended(false, Verdict::Failed, now);
		}
		health
	}

	#[test]
	fn failures_on_end_lose_a_device_and_a_success_heals_it() {
		let now = Instant::now();
		let mut health = Health::default();
		for verdict in [
			Verdict::Failed,
			Verdict::Failed,
			Verdict::Well,
			Verdict::Failed,
			Verdict::Nothing,
			Verdict::Failed,
		] {
			health.ended(false, verdict, now);
			assert!(!health.is_lost());
		}
		assert_eq!(health.failures(), 2);
		health.ended(false, Verdict::Failed, now);
		assert!(health.is_lost());
		assert_eq!(health.turn(now), Turn::Resting(now + FIRST_REST));
		// A batch that was begun in better times.
		health.ended(false, Verdict::Well, now);
		assert_eq!(health, Health::default());
	}

	#[test]
	fn one_slot_tries_after_a_pause_that_doubles_up_to_a_bound() {
		let mut now = Instant::now();
		let mut health = lost(now);
		let mut length = FIRST_REST;
		for tries in 0..10 {
			assert_eq!(health.is_given_up(), tries >= GIVEN_UP_AFTER);
			let until = now + length;
			assert_eq!(
				health.turn(until - Duration::from_millis(1)),
				Turn::Resting(until)
			);
			assert!(
				!health.begins(until - Duration::from_millis(1)),
				"too early"
			);
			now = until;
			assert_eq!(health.turn(now), Turn::Due);
			assert!(health.begins(now));
			assert_eq!(health.turn(now), Turn::Trying);
			assert!(!health.begins(now), "one is enough");
			health.ended(true, Verdict::Failed, now);
			length = LONGEST_REST.min(length * 2);
		}
		assert_eq!(length, LONGEST_REST);
		now += length;
		assert!(health.begins(now));
		health.ended(true, Verdict::Nothing, now);
		assert_eq!(health.turn(now), Turn::Due, "it showed nothing");
		assert!(health.begins(now));
		health.ended(true, Verdict::Well, now);
		assert_eq!(health.turn(now), Turn::Free);
		assert!(!health.is_given_up());
	}

	#[test]
	fn late_failures_of_other_slots_neither_double_the_pause_nor_end_the_try() {
		let now = Instant::now();
		let mut health = lost(now);
		health.ended(false, Verdict::Failed, now);
		assert_eq!(health.turn(now), Turn::Resting(now + FIRST_REST));
		let later = now + FIRST_REST;
		assert!(health.begins(later));
		health.ended(false, Verdict::Failed, later);
		health.ended(false, Verdict::Nothing, later);
		assert_eq!(health.turn(later), Turn::Trying);
		health.ended(true, Verdict::Failed, later);
		assert_eq!(health.turn(later), Turn::Resting(later + 2 * FIRST_REST));
	}

	proptest! {
		#[test]
		fn whatever_happens_it_is_lost_by_failures_and_rests_no_longer_than_the_bound(
			events in prop::collection::vec((0u64..700, any::<bool>(), 0u8..3), 0..60),
		) {
			let mut now = Instant::now();
			let mut health = Health::default();
			let mut on_end = 0;
			for (seconds, takes, verdict) in events {
				now += Duration::from_secs(seconds);
				let tried = takes && health.begins(now);
				let verdict = [Verdict::Well, Verdict::Failed, Verdict::Nothing][usize::from(verdict)];
				health.ended(tried, verdict, now);
				match verdict {
					Verdict::Well => on_end = 0,
					Verdict::Failed => on_end += 1,
					Verdict::Nothing => {},
				}
				prop_assert_eq!(health.failures(), on_end);
				prop_assert_eq!(health.is_lost(), on_end >= LOST_AFTER);
				match health.turn(now) {
					Turn::Free => prop_assert!(!health.is_lost()),
					Turn::Resting(until) => prop_assert!(until - now <= LONGEST_REST),
					Turn::Due => prop_assert!(health.is_lost()),
					Turn::Trying => prop_assert!(false, "nobody is at it"),
				}
			}
		}
	}
}
