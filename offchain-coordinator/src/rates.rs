//! How many tasks an app can submit in a minute. Whoever has submitted fewer of late can submit that
//! many at once.

use crate::{
	apps::AppId,
	clock::{Clock, UnixMs},
};
use cuckoo_coordinator_api::error::{ApiError, ErrorCode};
use governor::{
	clock::{Clock as GovernorClock, ReasonablyRealtime},
	middleware::NoOpMiddleware,
	state::keyed::HashMapStateStore,
	Quota, RateLimiter,
};
use std::{
	collections::HashMap,
	num::NonZeroU32,
	sync::{Arc, Mutex, PoisonError},
	time::Duration,
};

/// How often apps that have all their turns back are forgotten.
const SWEEP_MS: u64 = 60_000;

/// With more apps than this they are forgotten at once: one submit is made up for within a minute.
const SWEEP_ABOVE: usize = 65_536;

/// What the error's subject begins with; milliseconds follow.
const RETRY_AFTER: &str = "retry_after_ms=";

/// The coordinator's clock, as the limiter reads it.
#[derive(Clone, Debug)]
struct Ticks(Clock);

impl GovernorClock for Ticks {
	type Instant = Duration;

	fn now(&self) -> Duration {
		Duration::from_millis(self.0.now_ms())
	}
}

impl ReasonablyRealtime for Ticks {}

type Limiter = RateLimiter<AppId, HashMapStateStore<AppId>, Ticks, NoOpMiddleware<Duration>>;

/// Who submitted how much of late: one limiter for each limit that some app has.
#[derive(Debug)]
pub struct Rates {
	clock: Ticks,
	limiters: Mutex<Limiters>,
}

#[derive(Debug, Default)]
struct Limiters {
	by_limit: HashMap<NonZeroU32, Arc<Limiter>>,
	swept_ms: UnixMs,
}

impl Rates {
	/// Nobody has submitted anything.
	pub fn new(clock: Clock) -> Self {
		Self {
			clock: Ticks(clock),
			limiters: Mutex::default(),
		}
	}

	/// Counts a submit of an app that can make `per_minute`, or says when it may try again.
	pub fn check(&self, app: &AppId, per_minute: u32) -> Result<(), ApiError> {
		let limit = NonZeroU32::new(per_minute).unwrap_or(NonZeroU32::MIN);
		self.limiter(limit).check_key(app).map_err(|not_until| {
			let wait = not_until.wait_time_from(self.clock.now());
			let wait_ms = wait.as_nanos().div_ceil(1_000_000);
			let message = format!("{limit} tasks a minute are taken: try again in {wait_ms} ms.");
			ApiError::with_message(ErrorCode::RateLimited, message)
				.about(format!("{RETRY_AFTER}{wait_ms}"))
		})
	}

	fn limiter(&self, limit: NonZeroU32) -> Arc<Limiter> {
		let now_ms = self.clock.0.now_ms();
		let mut limiters = self.limiters.lock().unwrap_or_else(PoisonError::into_inner);
		let new = || {
			Arc::new(RateLimiter::hashmap_with_clock(
				Quota::per_minute(limit),
				&self.clock,
			))
		};
		let limiter = limiters.by_limit.entry(limit).or_insert_with(new).clone();
		if limiter.len() > SWEEP_ABOVE || now_ms.abs_diff(limiters.swept_ms) >= SWEEP_MS {
			limiters.swept_ms = now_ms;
			limiters
				.by_limit
				.values()
				.for_each(|limiter| limiter.retain_recent());
			limiters
				.by_limit
				.retain(|other, limiter| *other == limit || !limiter.is_empty());
		}
		limiter
	}
}

/// How long to wait, as a [`ErrorCode::RateLimited`] says.
pub fn retry_after_ms(error: &ApiError) -> Option<u64> {
	error
		.subject
		.as_deref()?
		.strip_prefix(RETRY_AFTER)?
		.parse()
		.ok()
}

#[cfg(test)]
mod tests {
	use super::*;
	use std::sync::atomic::{AtomicU64, Ordering};

	fn rates() -> (Rates, Arc<AtomicU64>) {
		let now = Arc::new(AtomicU64::new(1_000_000));
		(Rates::new(Clock::Manual(now.clone())), now)
	}

	#[test]
	fn what_is_unused_can_be_used_at_once_and_comes_back_evenly() {
		let (rates, now) = rates();
		let (red, blue) = (AppId::new("red"), AppId::new("blue"));
		for _ in 0..60 {
			rates.check(&red, 60).unwrap();
		}
		let refused = rates.check(&red, 60).unwrap_err();
		assert_eq!(refused.code, ErrorCode::RateLimited);
		assert_eq!(retry_after_ms(&refused), Some(1_000));
		assert!(refused.message.contains("1000 ms"), "{refused}");
		rates.check(&blue, 60).unwrap();
		now.fetch_add(999, Ordering::SeqCst);
		assert_eq!(retry_after_ms(&rates.check(&red, 60).unwrap_err()), Some(1));
		now.fetch_add(1, Ordering::SeqCst);
		rates.check(&red, 60).unwrap();
		rates.check(&red, 60).unwrap_err();
		rates.check(&blue, 1).unwrap();
		rates.check(&blue, 1).unwrap_err();
	}

	#[test]
	fn memory_is_bounded() {
		let (rates, now) = rates();
		for number in 0..2 * SWEEP_ABOVE {
			now.fetch_add(1, Ordering::SeqCst);
			rates.check(&AppId::new(&number.to_string()), 600).unwrap();
		}
		let limiter = rates.limiter(NonZeroU32::new(600).unwrap());
		assert!(limiter.len() <= SWEEP_ABOVE + 1, "{}", limiter.len());
		now.fetch_add(SWEEP_MS, Ordering::SeqCst);
		rates.check(&AppId::new("last"), 7).unwrap();
		assert!(limiter.is_empty());
		assert_eq!(
			rates.limiters.lock().unwrap().by_limit.len(),
			1,
			"limits go, too"
		);
	}
}
