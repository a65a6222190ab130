//! Where the time comes from, so that tests can move it and simulations can skip it.

use std::{
	collections::BTreeMap,
	future::Future,
	pin::Pin,
	sync::{
		atomic::{AtomicU64, Ordering},
		Arc, Mutex, MutexGuard, PoisonError,
	},
	task::{Context, Poll, Waker},
	time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Milliseconds of Unix time.
pub type UnixMs = u64;

/// A time as it is written: `2026-11-23T12:00:00Z`. What is after the year 9999 is shown as its end.
pub fn utc(ms: UnixMs) -> String {
	const DAY: u64 = 86_400;
	let seconds = ms / 1_000;
	let is_leap = |year: u64| {
		year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
	};
	let (mut year, mut days) = (1970, seconds / DAY);
	loop {
		let length = if is_leap(year) { 366 } else { 365 };
		if days < length {
			break;
		}
		if year == 9999 {
			return "9999-12-31T23:59:59Z".into();
		}
		(year, days) = (year + 1, days - length);
	}
	let february = if is_leap(year) { 29 } else { 28 };
	let mut month = 1;
	for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
		if days < length {
			break;
		}
		(month, days) = (month + 1, days - length);
	}
	let (hour, minute, second) = (seconds % DAY / 3_600, seconds / 60 % 60, seconds % 60);
	format!(
		"{year}-{month:02}-{:02}T{hour:02}:{minute:02}:{second:02}Z",
		days + 1
	)
}

/// A source of time.
#[derive(Clone, Debug)]
pub enum Clock {
	/// The system's.
	System,
	/// One that is moved by hand. Waiting takes the system's time.
	Manual(Arc<AtomicU64>),
	/// One in which waiting takes no time.
	Simulated(Simulated),
}

impl Clock {
	/// Now.
	pub fn now_ms(&self) -> UnixMs {
		match self {
			Clock::System => SystemTime::now()
				.duration_since(UNIX_EPOCH)
				.map_or(0, |since| {
					since.as_millis().min(u128::from(u64::MAX)) as u64
				}),
			Clock::Manual(now) => now.load(Ordering::SeqCst),
			Clock::Simulated(time) => time.now_ms(),
		}
	}

	/// Waits for so long.
	pub async fn sleep(&self, time: Duration) {
		match self {
			Clock::System | Clock::Manual(_) => tokio::time::sleep(time).await,
			Clock::Simulated(simulated) => simulated.sleep(time).await,
		}
	}
}

/// Time that stands still while anything can be done, and then skips to the end of the next wait. Two
/// waits end in the order in which they were begun, if not at different times: everything goes the same
/// way each time.
#[derive(Clone, Debug)]
pub struct Simulated(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
	/// Since the beginning; never goes back.
	passed: Duration,
	/// What a clock showed at the beginning, as it is set now.
	start_ms: UnixMs,
	/// Who waits, by when it ends.
	waits: BTreeMap<(Duration, u64), Option<Waker>>,
	begun: u64,
}

impl Simulated {
	/// Begins at this time.
	pub fn new(start_ms: UnixMs) -> Self {
		Self(Arc::new(Mutex::new(Inner {
			passed: Duration::ZERO,
			start_ms,
			waits: BTreeMap::new(),
			begun: 0,
		})))
	}

	fn inner(&self) -> MutexGuard<'_, Inner> {
		self.0.lock().unwrap_or_else(PoisonError::into_inner)
	}

	/// What a clock shows.
	pub fn now_ms(&self) -> UnixMs {
		let inner = self.inner();
		let passed = u64::try_from(inner.passed.as_millis()).unwrap_or(u64::MAX);
		inner.start_ms.saturating_add(passed)
	}

	/// How much time has passed, however clocks were set.
	pub fn passed(&self) -> Duration {
		self.inner().passed
	}

	/// Sets the clock forward or back. Waits are not changed.
	pub fn set(&self, by_ms: i64) {
		let mut inner = self.inner();
		inner.start_ms = inner.start_ms.saturating_add_signed(by_ms);
	}

	/// Skips to the end of the next wait. To be called when nothing can be done; false when nobody
	/// waits either. A runtime's `on_thread_park` is the place.
	pub fn skip(&self) -> bool {
		let mut inner = self.inner();
		let Some(mut first) = inner.waits.first_entry() else {
			return false;
		};
		let (end, _) = *first.key();
		let waker = first.get_mut().take();
		if waker.is_none() {
			// Woken before, and not looked at since.
			first.remove();
		}
		inner.passed = inner.passed.max(end);
		drop(inner);
		if let Some(waker) = waker {
			waker.wake();
		}
		true
	}

	/// Waits for so long.
	pub fn sleep(&self, time: Duration) -> Sleep {
		let mut inner = self.inner();
		inner.begun += 1;
		Sleep {
			time: self.clone(),
			wait: (inner.passed.saturating_add(time), inner.begun),
		}
	}
}

/// A wait.
#[derive(Debug)]
pub struct Sleep {
	time: Simulated,
	wait: (Duration, u64),
}

impl Future for Sleep {
	type Output = ();

	fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
		let mut inner = self.time.inner();
		if inner.passed >= self.wait.0 {
			inner.waits.remove(&self.wait);
			return Poll::Ready(());
		}
		inner.waits.insert(self.wait, Some(context.waker().clone()));
		Poll::Pending
	}
}

impl Drop for Sleep {
	fn drop(&mut self) {
		self.time.inner().waits.remove(&self.wait);
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn times_are_written_as_people_write_them() {
		for (ms, text) in [
			(0, "1970-01-01T00:00:00Z"),
			(951_782_399_999, "2000-02-28T23:59:59Z"),
			(951_782_400_000, "2000-02-29T00:00:00Z"),
			(951_868_800_000, "2000-03-01T00:00:00Z"),
			(1_798_761_599_000, "2026-12-31T23:59:59Z"),
			(4_107_542_400_000, "2100-03-01T00:00:00Z"),
			(253_402_300_799_000, "9999-12-31T23:59:59Z"),
			(u64::MAX, "9999-12-31T23:59:59Z"),
		] {
			assert_eq!(utc(ms), text, "{ms}");
		}
	}

	#[test]
	fn simulated_waits_end_in_their_order_and_take_no_time() {
		let time = Simulated::new(1_000);
		let clock = Clock::Simulated(time.clone());
		let skips = time.clone();
		let runtime = tokio::runtime::Builder::new_current_thread()
			.on_thread_park(move || {
				skips.skip();
			})
			.build()
			.unwrap();
		let order = Arc::new(Mutex::new(Vec::new()));
		let wait = |number: u32, seconds| {
			let (clock, order) = (clock.clone(), order.clone());
			async move {
				clock.sleep(Duration::from_secs(seconds)).await;
				order.lock().unwrap().push((number, clock.now_ms()));
			}
		};
		runtime.block_on(async {
			let waits = [wait(1, 7_200), wait(2, 60), wait(3, 60), wait(4, 0)];
			let all: Vec<_> = waits.into_iter().map(tokio::spawn).collect();
			for one in all {
				one.await.unwrap();
			}
		});
		let expected = [(4, 1_000), (2, 61_000), (3, 61_000), (1, 7_201_000)];
		assert_eq!(*order.lock().unwrap(), expected);
		time.set(-500);
		assert_eq!((time.now_ms(), time.passed().as_secs()), (7_200_500, 7_200));
		assert!(!time.skip(), "nobody waits");
	}
}
