use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds of Unix time; zero on a clock before 1970.
pub(crate) fn now_ms() -> u64 {
	SystemTime::now()
		.duration_since(UNIX_EPOCH)
		.map_or(0, |since| {
			u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
		})
}
