//! A task on its way through the device.

use super::{Go, PaintError};
use crate::outbox::Painting;
use cuckoo_primitives::task::TaskSpec;
use std::{sync::Arc, time::Instant};
use tokio::sync::{oneshot, watch};
use tokio_util::sync::CancellationToken;

/// A job that was handed to the device.
pub struct Running {
	/// Steps done so far.
	pub steps: watch::Receiver<u16>,
	/// Cancel it to stop the job, started or not.
	pub stop: CancellationToken,
	/// What came of it.
	pub reply: oneshot::Receiver<Result<Painting, PaintError>>,
}

/// The device's side of it.
pub(super) struct Job {
	pub(super) spec: TaskSpec,
	pub(super) came: Instant,
	steps: watch::Sender<u16>,
	stop: CancellationToken,
	reply: oneshot::Sender<Result<Painting, PaintError>>,
	_load: Load,
}

impl Job {
	/// A job that has come just now, counted in `load`.
	pub(super) fn new(spec: TaskSpec, load: &Arc<watch::Sender<usize>>) -> (Self, Running) {
		let (steps_sender, steps) = watch::channel(0);
		let (reply_sender, reply) = oneshot::channel();
		let stop = CancellationToken::new();
		let job = Self {
			spec,
			came: Instant::now(),
			steps: steps_sender,
			stop: stop.clone(),
			reply: reply_sender,
			_load: Load::new(load),
		};
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

/// Counts as one job from its making to its end, however that comes.
struct Load(Arc<watch::Sender<usize>>);

impl Load {
	fn new(load: &Arc<watch::Sender<usize>>) -> Self {
		load.send_modify(|jobs| *jobs += 1);
		Self(load.clone())
	}
}

impl Drop for Load {
	fn drop(&mut self) {
		self.0.send_modify(|jobs| *jobs -= 1);
	}
}
