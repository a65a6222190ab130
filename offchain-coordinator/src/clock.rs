//! Where the time comes from, so that tests can move it.

use std::{
	sync::{
		atomic::{AtomicU64, Ordering},
		Arc,
	},
	time::{SystemTime, UNIX_EPOCH},
};

/// Milliseconds of Unix time.
pub type UnixMs = u64;

/// A source of time.
#[derive(Clone, Debug)]
pub enum Clock {
	/// The system's.
	System,
	/// One that is moved by hand.
	Manual(Arc<AtomicU64>),
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
		}
	}
}
