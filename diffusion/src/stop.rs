//! Ends a picture from another thread, in the middle of a step.

use std::sync::{Arc, Mutex, PoisonError};

/// Something at work that can be told to end.
pub(crate) trait Interrupt: Send + Sync {
	/// Tells it; its own call then fails soon.
	fn interrupt(&self);
}

/// A switch for one picture: whoever holds a clone can end it, before it begins or while it is made.
/// What runs is told at once, and the picture ends with [`Error::Cancelled`](crate::Error::Cancelled).
#[derive(Clone, Default)]
pub struct Stop(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
	stopped: bool,
	running: Option<Arc<dyn Interrupt>>,
}

impl Stop {
	/// A switch that is not used yet.
	pub fn new() -> Self {
		Self::default()
	}

	/// Ends the picture.
	pub fn stop(&self) {
		let mut state = self.state();
		state.stopped = true;
		if let Some(running) = &state.running {
			running.interrupt();
		}
	}

	/// Whether it was used.
	pub fn is_stopped(&self) -> bool {
		self.state().stopped
	}

	/// Runs `work`, which `running` interrupts; not at all if it is too late. The second of the pair
	/// says whether it was stopped.
	pub(crate) fn during<T>(
		&self,
		running: Arc<dyn Interrupt>,
		work: impl FnOnce() -> T,
	) -> (Option<T>, bool) {
		{
			let mut state = self.state();
			if state.stopped {
				return (None, true);
			}
			state.running = Some(running);
		}
		let result = work();
		let mut state = self.state();
		state.running = None;
		(Some(result), state.stopped)
	}

	fn state(&self) -> std::sync::MutexGuard<'_, State> {
		// The state is whole after every line above, also if a thread panicked.
		self.0.lock().unwrap_or_else(PoisonError::into_inner)
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

	#[derive(Default)]
	struct Counter(AtomicU32);

	impl Interrupt for Counter {
		fn interrupt(&self) {
			self.0.fetch_add(1, Relaxed);
		}
	}

	#[test]
	fn what_runs_is_told_and_what_comes_later_does_not_run() {
		let (stop, counter) = (Stop::new(), Arc::new(Counter::default()));
		assert_eq!(stop.during(counter.clone(), || 1), (Some(1), false));
		let inside = stop.clone();
		assert_eq!(
			stop.during(counter.clone(), || inside.stop()),
			(Some(()), true)
		);
		assert_eq!(counter.0.load(Relaxed), 1);
		assert_eq!(stop.during(counter.clone(), || 1), (None, true));
		stop.stop();
		assert_eq!(counter.0.load(Relaxed), 1, "nothing runs any more");
	}
}
