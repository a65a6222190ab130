//! The time between the first signal to stop and the end: nothing new is begun, and what is with
//! miners may finish.

use crate::coordinator::Coordinator;
use std::{future::Future, time::Duration};
use tokio::time::{interval, timeout, Instant};

/// How often to look whether all is done.
const LOOK: Duration = Duration::from_millis(50);

/// How often to say what is waited for.
const SAY: Duration = Duration::from_secs(5);

/// How a drain ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Drained {
	/// No task is with a miner any more.
	Empty,
	/// The time ran out; so many tasks are still with miners. Their leases stand in the store.
	TimedOut(usize),
	/// Somebody did not want to wait; so many tasks are still with miners.
	CutShort(usize),
}

/// Drains the coordinator until no task is with a miner, at most for `limit`, or until `hurry`.
pub async fn finish(
	coordinator: &Coordinator,
	limit: Duration,
	hurry: impl Future<Output = ()>,
) -> Drained {
	coordinator.drain();
	tracing::info!(
		in_flight = coordinator.in_flight(),
		seconds = limit.as_secs(),
		"draining: no new tasks; a second signal stops at once"
	);
	let outcome = tokio::select! {
		outcome = timeout(limit, empty(coordinator)) => match outcome {
			Ok(()) => Drained::Empty,
			Err(_) => Drained::TimedOut(coordinator.in_flight()),
		},
		() = hurry => Drained::CutShort(coordinator.in_flight()),
	};
	match outcome {
		Drained::Empty => tracing::info!("drained: no task is with a miner"),
		Drained::TimedOut(in_flight) | Drained::CutShort(in_flight) => {
			tracing::warn!(
				in_flight,
				"not drained: these leases stand until the next start"
			);
		},
	}
	outcome
}

async fn empty(coordinator: &Coordinator) {
	let mut look = interval(LOOK);
	let mut said = Instant::now();
	while coordinator.in_flight() > 0 {
		look.tick().await;
		// Who ends the drain by hand now would let tasks in that nobody is there to draw.
		coordinator.drain();
		if said.elapsed() >= SAY {
			said = Instant::now();
			tracing::info!(in_flight = coordinator.in_flight(), "still draining");
		}
	}
}
