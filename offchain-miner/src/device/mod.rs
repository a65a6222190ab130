//! The threads that work on the devices. A *slot* is one thread with a copy of a model on one device; each
//! takes one *batch* of tasks after another from one bounded queue, and makes it in one run of the model.
//! Nothing else in the process touches a device.
//!
//! [`batch`] is the choice which tasks go together, [`health`] whether a device that fails goes on; both
//! are plain functions. The queue does as they say.

pub mod batch;
pub mod health;
mod job;
mod pace;
mod profile;
mod queue;
mod slot;

pub use job::{Running, StopOnDrop};
pub use profile::{join_names, DeviceProfile, Layout, Profile};

use crate::outbox::Painting;
use cuckoo_coordinator_api::limits;
use cuckoo_diffusion::Stop;
use cuckoo_primitives::task::TaskSpec;
use job::Job;
use pace::{work_of, Load};
use queue::Queue;
use std::{sync::Arc, thread, time::Duration};
use tokio::{
	runtime::Handle,
	sync::{oneshot, watch},
};
use tokio_util::sync::CancellationToken;

/// What a slot's thread runs.
pub trait Engine {
	/// Makes what the specs ask for in one run; they go together ([`batch::go_together`]), and a batch
	/// of one is the ordinary case. `observe` is told the place of a spec and its steps done, and says
	/// whether that one goes on. `stop` ends all of them in the middle of a step, if the engine can do
	/// that. A result for each spec, in their order.
	fn paint(
		&mut self,
		specs: &[TaskSpec],
		stop: &Stop,
		observe: &mut dyn FnMut(usize, u16) -> Go,
	) -> Vec<Result<Painting, PaintError>>;
}

/// Whether to go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Go {
	/// Yes.
	On,
	/// Stop: nobody wants the result any more.
	Stop,
}

/// Why there is no painting.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PaintError {
	/// It was told to stop.
	#[error("stopped before it was done")]
	Stopped,
	/// The task could not be done; the device is well.
	#[error("{0}")]
	Failed(String),
	/// The device failed.
	#[error("{0}")]
	Device(String),
}

/// The devices cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
	/// The engine did not open.
	#[error("{0}")]
	Engine(String),
	/// One of the devices that were named.
	#[error("device {device} cannot be used: {problem}; mend it, or name others with --device")]
	Unusable {
		/// As on the command line.
		device: cuckoo_diffusion::Device,
		/// Why not.
		problem: String,
	},
	/// Coordinators would not take it.
	#[error(
		"{devices} devices with {slots} slots of up to {batch} tasks each would be {tasks} tasks at once, \
		 and coordinators take at most {} from a miner: lower --slots or --batch, or name fewer in --device",
		limits::MAX_SLOTS
	)]
	TooManyTasks {
		/// Devices.
		devices: usize,
		/// Slots of each.
		slots: u16,
		/// Tasks of a batch.
		batch: u16,
		/// All at once.
		tasks: usize,
	},
	/// The system gave no thread, or it ended at once.
	#[error("the device's thread did not start: {0}")]
	Thread(String),
}

/// The queue before the devices is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the device has too many tasks waiting")]
pub struct QueueFull;

/// How a device does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceState {
	/// As in its [`DeviceProfile`].
	pub label: String,
	/// Failures since its last success.
	pub failures: u32,
	/// Whether it is taken to be lost.
	pub is_lost: bool,
}

/// A handle to the threads of all devices. They end after the last handle is gone and the queue empty.
#[derive(Clone)]
pub struct Devices {
	queue: Arc<Open>,
	load: Arc<Load>,
	profile: Arc<Profile>,
}

/// Closes the queue with the last handle.
struct Open(Arc<Queue>);

impl Drop for Open {
	fn drop(&mut self) {
		self.0.close();
	}
}

impl Devices {
	/// Starts the threads and waits until `open` has made an engine for each device of the profile. Each
	/// slot gets a clone of its device's.
	pub async fn start<E: Engine + Clone + Send + 'static>(
		open: impl FnOnce() -> Result<(Vec<E>, Profile), DeviceError> + Send + 'static,
	) -> Result<Self, DeviceError> {
		let runtime = Handle::current();
		let load = Arc::<Load>::default();
		let loaded = load.clone();
		let (opened, ready) = oneshot::channel();
		// What opens the engines ends then; the drivers of devices do not mind which thread calls them.
		thread::Builder::new()
			.name("device".into())
			.spawn(move || {
				let begun = open().and_then(|(engines, profile)| {
					let queue = start_slots(engines, &profile, &loaded, &runtime)?;
					Ok((queue, profile))
				});
				// Nobody waits any more when the receiver is gone.
				let _ = opened.send(begun);
			})
			.map_err(|error| DeviceError::Thread(error.to_string()))?;
		let (queue, profile) = ready
			.await
			.map_err(|_| DeviceError::Thread("it panicked".into()))??;
		Ok(Self {
			queue: Arc::new(queue),
			load,
			profile: Arc::new(profile),
		})
	}

	/// What they are and hold.
	pub fn profile(&self) -> &Profile {
		&self.profile
	}

	/// How many jobs they have, those at work included.
	pub fn load(&self) -> watch::Receiver<usize> {
		self.load.jobs()
	}

	/// How many jobs they can work on at once now: what the profile says, less what is lost.
	pub fn at_once(&self) -> usize {
		self.queue.0.at_once()
	}

	/// Cancelled when all of them were lost and none came back: the process should begin anew.
	pub fn given_up(&self) -> &CancellationToken {
		self.queue.0.given_up()
	}

	/// How long it takes at least until such a task were done, behind all that is there, at the speed of
	/// the last one of its model; `None` while none was done.
	pub fn foresee(&self, spec: &TaskSpec) -> Option<Duration> {
		let batch = usize::from(self.profile.layout.batch.max(1));
		let work = work_of(spec, spec.steps);
		self.load
			.pace()
			.foresee(&spec.model, work, self.at_once() / batch)
	}

	/// How each device does.
	pub fn states(&self) -> Vec<DeviceState> {
		let profiles = self.profile.devices.iter();
		profiles
			.zip(self.queue.0.health())
			.map(|(profile, health)| DeviceState {
				label: profile.label.clone(),
				failures: health.failures(),
				is_lost: health.is_lost(),
			})
			.collect()
	}

	/// Hands a job to the devices.
	pub fn submit(&self, spec: TaskSpec) -> Result<Running, QueueFull> {
		let (job, running) = Job::new(spec, &self.load);
		self.queue.0.push(job)?;
		Ok(running)
	}
}

fn start_slots<E: Engine + Clone + Send + 'static>(
	engines: Vec<E>,
	profile: &Profile,
	load: &Arc<Load>,
	runtime: &Handle,
) -> Result<Open, DeviceError> {
	let queue = Open(Arc::new(Queue::new(profile.layout, engines.len())));
	for (device, engine) in engines.into_iter().enumerate() {
		for slot in 0..profile.layout.slots.max(1) {
			let (engine, runtime) = (engine.clone(), runtime.clone());
			let (queue, load) = (queue.0.clone(), load.clone());
			thread::Builder::new()
				.name(format!("device-{device}-{slot}"))
				.spawn(move || slot::work(engine, device, &queue, &load, &runtime))
				.map_err(|error| DeviceError::Thread(error.to_string()))?;
		}
	}
	Ok(queue)
}

#[cfg(test)]
mod tests;
