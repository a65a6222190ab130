//! A task on its way through the device.

use super::{
	pace::{work_of, Load, Share},
	Go, PaintError,
};
use crate::outbox::Painting;
use cuckoo_primitives::task::TaskSpec;
use std::{ops::Deref, sync::Arc, time::Instant};
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

/// A job that was handed to the device.
pub struct Running {
	/// Steps done so far.
	pub steps: watch::Receiver<u16>,
	/// Cancel it to stop the job, started or not.
	pub stop: StopOnDrop,
	/// What came of it.
	pub reply: oneshot::Receiver<Result<Painting, PaintError>>,
}

/// Stops a job also when it is dropped: whoever waits for the job may end at any moment, and then nobody
/// wants it.
pub struct StopOnDrop(CancellationToken);

impl Deref for StopOnDrop {
	type Target = CancellationToken;

	fn deref(&self) -> &CancellationToken {
		&self.0
	}
}

impl Drop for StopOnDrop {
	fn drop(&mut self) {
		self.0.cancel();
	}
}

/// The device's side of it.
pub(super) struct Job {
	pub(super) spec: TaskSpec,
	pub(super) came: Instant,
	steps: watch::Sender<u16>,
	stop: CancellationToken,
	reply: oneshot::Sender<Result<Painting, PaintError>>,
	share: Share,
}

impl Job {
	/// A job that has come just now, counted in `load`.
	pub(super) fn new(spec: TaskSpec, load: &Arc<Load>) -> (Self, Running) {
		let (steps_sender, steps) = watch::channel(0);
		let (reply_sender, reply) = oneshot::channel();
		let stop = CancellationToken::new();
		let job = Self {
			share: Share::new(load, &spec),
			spec,
			came: Instant::now(),
			steps: steps_sender,
			stop: stop.clone(),
			reply: reply_sender,
		};
		let stop = StopOnDrop(stop);
		(job, Running { steps, stop, reply })
	}

	pub(super) fn is_cancelled(&self) -> bool {
		self.stop.is_cancelled()
	}

	/// Cancelled to stop it.
	pub(super) fn stop(&self) -> &CancellationToken {
		&self.stop
	}

	/// So many steps are done: whether to go on.
	pub(super) fn at(&self, done: u16) -> Go {
		self.steps.send_replace(done);
		let left = self.spec.steps.saturating_sub(done);
		self.share.is_left(work_of(&self.spec, left));
		if self.is_cancelled() {
			Go::Stop
		} else {
			Go::On
		}
	}

	/// What came of it. The one who asked may be gone; then nobody hears it.
	pub(super) fn end(self, result: Result<Painting, PaintError>) {
		let _ = self.reply.send(result);
	}
}
