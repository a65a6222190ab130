//! The machine's clock, and how far it can be trusted.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The clock is said to have jumped when it is off by more than this within a time.
const JUMP: Duration = Duration::from_secs(60);

/// Milliseconds of Unix time; zero on a clock before 1970.
pub(crate) fn now_ms() -> u64 {
	SystemTime::now()
		.duration_since(UNIX_EPOCH)
		.map_or(0, |since| {
			u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
		})
}

/// Since when the clock has gone on as time does. After a start it may be days off, until it is set; what can
/// be decided only once waits until it has gone steadily for a while.
#[derive(Debug, Default)]
pub(crate) struct Steady(Option<(u64, Instant)>);

impl Steady {
	/// For how long the clock has been steady, now that it shows `clock_ms`.
	pub(crate) fn so_far(&mut self, clock_ms: u64, now: Instant) -> Duration {
		if let Some((first_ms, since)) = self.0 {
			let passed = now.saturating_duration_since(since);
			let should_be = u128::from(first_ms) + passed.as_millis();
			if should_be.abs_diff(u128::from(clock_ms)) <= JUMP.as_millis() {
				return passed;
			}
		}
		self.0 = Some((clock_ms, now));
		Duration::ZERO
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn a_clock_is_steady_from_its_last_jump_on() {
		let (mut steady, start) = (Steady::default(), Instant::now());
		let at = |minutes: u64| start + Duration::from_secs(60 * minutes);
		const MINUTE: u64 = 60_000;
		let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
		assert_eq!(steady.so_far(1_000 * MINUTE, at(0)), Duration::ZERO);
		assert_eq!(steady.so_far(1_030 * MINUTE, at(30)), minutes(30));
		// Set back by NTP, or ahead, or the machine slept.
		for (clock, from) in [(40, 40), (2_000, 100)] {
			assert_eq!(steady.so_far(clock * MINUTE, at(from)), Duration::ZERO);
			let later = steady.so_far((clock + 20) * MINUTE, at(from + 20));
			assert_eq!(later, minutes(20));
		}
	}
}
