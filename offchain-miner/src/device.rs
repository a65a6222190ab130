//! The threads of a device, one a slot. The first opens the engines; then each takes one job after
//! another from one bounded queue; nothing else in the process touches the device.

use crate::outbox::Painting;
use cuckoo_coordinator_api::task::ModelInfo;
use cuckoo_diffusion::Stop;
use cuckoo_primitives::task::{DeviceClass, TaskSpec};
use std::{
	panic::{catch_unwind, AssertUnwindSafe},
	sync::{Arc, Mutex, PoisonError},
	thread,
};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

/// Jobs that may wait for the device. More than one coordinator may hand out a task at the same
/// moment; what would wait longer than that is given back.
const QUEUE: usize = 4;

/// What a slot's thread runs.
pub trait Engine {
	/// Makes what the spec asks for. `observe` is told the steps done and says whether to go on.
	fn paint(
		&mut self,
		spec: &TaskSpec,
		observe: &mut dyn FnMut(u16) -> Go,
	) -> Result<Painting, PaintError>;

	/// The same, and `stop` ends it in the middle of a step, if the engine can do that.
	fn paint_until(
		&mut self,
		spec: &TaskSpec,
		_stop: &Stop,
		observe: &mut dyn FnMut(u16) -> Go,
	) -> Result<Painting, PaintError> {
		self.paint(spec, observe)
	}
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
	/// The engine could not.
	#[error("{0}")]
	Failed(String),
}

/// The device cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
	/// The engine did not open.
	#[error("{0}")]
	Engine(String),
	/// The system gave no thread, or it ended at once.
	#[error("the device's thread did not start: {0}")]
	Thread(String),
}

/// What the device is and holds, as coordinators are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
	/// What it runs on.
	pub device: DeviceClass,
	/// Its name, for people.
	pub device_name: String,
	/// The engine profile's text.
	pub engine: String,
	/// The models held.
	pub models: Vec<ModelInfo>,
	/// Tasks at once.
	pub slots: u16,
}

/// A handle to a device's threads. They end after the last handle is gone and the queue empty.
#[derive(Clone)]
pub struct Device {
	jobs: mpsc::Sender<Job>,
	load: Arc<watch::Sender<usize>>,
	profile: Arc<Profile>,
}

struct Job {
	spec: TaskSpec,
	steps: watch::Sender<u16>,
	stop: CancellationToken,
	/// Ends a step that is under way.
	halt: Stop,
	_watcher: AbortOnDropHandle<()>,
	reply: oneshot::Sender<Result<Painting, PaintError>>,
	_load: Load,
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

/// A job that was handed to the device.
pub struct Running {
	/// Steps done so far.
	pub steps: watch::Receiver<u16>,
	/// Cancel it to stop the job, started or not.
	pub stop: CancellationToken,
	/// What came of it.
	pub reply: oneshot::Receiver<Result<Painting, PaintError>>,
}

/// The queue before the device is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the device has too many tasks waiting")]
pub struct QueueFull;

impl Device {
	/// Starts the threads and waits until `open` has made the engine, which each thread gets a clone
	/// of: as many as the profile has slots.
	pub async fn start<E: Engine + Clone + Send + 'static>(
		open: impl FnOnce() -> Result<(E, Profile), DeviceError> + Send + 'static,
	) -> Result<Self, DeviceError> {
		let (jobs, queue) = mpsc::channel(QUEUE);
		let queue = Queue(Arc::new(Mutex::new(queue)));
		let (opened, ready) = oneshot::channel();
		thread::Builder::new()
			.name("device".into())
			.spawn(move || {
				let begun = open().and_then(|(engine, profile)| {
					for slot in 1..profile.slots {
						spawn_slot(slot, engine.clone(), queue.clone())?;
					}
					Ok((engine, profile))
				});
				match begun {
					Ok((engine, profile)) => {
						if opened.send(Ok(profile)).is_ok() {
							work(engine, &queue);
						}
					},
					Err(error) => {
						// Nobody waits any more when the receiver is gone.
						let _ = opened.send(Err(error));
					},
				}
			})
			.map_err(|error| DeviceError::Thread(error.to_string()))?;
		let profile = ready
			.await
			.map_err(|_| DeviceError::Thread("it panicked".into()))??;
		Ok(Self {
			jobs,
			load: Arc::new(watch::Sender::new(0)),
			profile: Arc::new(profile),
		})
	}

	/// What it is and holds.
	pub fn profile(&self) -> &Profile {
		&self.profile
	}

	/// How many jobs it has, the one at work included.
	pub fn load(&self) -> watch::Receiver<usize> {
		self.load.subscribe()
	}

	/// Hands a job to the device. Must be called on the network's runtime, which watches the switch.
	pub fn submit(&self, spec: TaskSpec) -> Result<Running, QueueFull> {
		let (steps_sender, steps) = watch::channel(0);
		let (reply_sender, reply) = oneshot::channel();
		let stop = CancellationToken::new();
		let (halt, cancelled) = (Stop::new(), stop.clone().cancelled_owned());
		let switch = halt.clone();
		let watcher = tokio::spawn(async move {
			cancelled.await;
			switch.stop();
		});
		let job = Job {
			spec,
			steps: steps_sender,
			stop: stop.clone(),
			halt,
			_watcher: AbortOnDropHandle::new(watcher),
			reply: reply_sender,
			_load: Load::new(&self.load),
		};
		self.jobs.try_send(job).map_err(|_| QueueFull)?;
		Ok(Running { steps, stop, reply })
	}
}

/// The jobs that wait for a slot.
#[derive(Clone)]
struct Queue(Arc<Mutex<mpsc::Receiver<Job>>>);

impl Queue {
	/// The next job; `None` after the last handle is gone. Slots that wait stand in line for the lock.
	fn next(&self) -> Option<Job> {
		let mut queue = self.0.lock().unwrap_or_else(PoisonError::into_inner);
		queue.blocking_recv()
	}
}

fn spawn_slot<E: Engine + Send + 'static>(
	slot: u16,
	engine: E,
	queue: Queue,
) -> Result<(), DeviceError> {
	thread::Builder::new()
		.name(format!("device-{slot}"))
		.spawn(move || work(engine, &queue))
		.map(|_| ())
		.map_err(|error| DeviceError::Thread(error.to_string()))
}

fn work(mut engine: impl Engine, queue: &Queue) {
	while let Some(job) = queue.next() {
		let Job {
			spec,
			steps,
			stop,
			halt,
			_watcher,
			reply,
			_load,
		} = job;
		// The one who asked may be gone; then nobody hears the reply.
		let _ = reply.send(paint(&mut engine, &spec, &steps, &stop, &halt));
	}
}

fn paint(
	engine: &mut impl Engine,
	spec: &TaskSpec,
	steps: &watch::Sender<u16>,
	stop: &CancellationToken,
	halt: &Stop,
) -> Result<Painting, PaintError> {
	if stop.is_cancelled() {
		return Err(PaintError::Stopped);
	}
	let mut observe = |done| {
		steps.send_replace(done);
		if stop.is_cancelled() {
			Go::Stop
		} else {
			Go::On
		}
	};
	// A bug that a prompt can reach must not end the miner. The engine holds no state across paintings
	// that a panic could leave half changed: each starts from the loaded model.
	catch_unwind(AssertUnwindSafe(|| {
		engine.paint_until(spec, halt, &mut observe)
	}))
	.unwrap_or_else(|_| {
		Err(PaintError::Failed(
			"the engine panicked; see the log".into(),
		))
	})
}

#[cfg(test)]
mod tests {
	use super::*;
	use cuckoo_primitives::{task::SchedulerKind, H256};
	use std::time::Duration;

	#[derive(Clone)]
	struct Steps;

	impl Engine for Steps {
		fn paint(
			&mut self,
			spec: &TaskSpec,
			observe: &mut dyn FnMut(u16) -> Go,
		) -> Result<Painting, PaintError> {
			assert_ne!(spec.prompt, "a bug", "as asked");
			for step in 1..=spec.steps {
				if observe(step) == Go::Stop {
					return Err(PaintError::Stopped);
				}
				thread::sleep(Duration::from_millis(1));
			}
			Ok(Painting {
				png: spec.prompt.clone().into_bytes(),
				trajectory_root: H256::zero(),
				engine_profile: H256::zero(),
				device: DeviceClass::Cpu,
			})
		}
	}

	async fn device() -> Device {
		device_with(1).await
	}

	async fn device_with(slots: u16) -> Device {
		let profile = Profile {
			device: DeviceClass::Cpu,
			device_name: "test".into(),
			engine: "test".into(),
			models: Vec::new(),
			slots,
		};
		Device::start(move || Ok((Steps, profile))).await.unwrap()
	}

	fn spec(prompt: &str, steps: u16) -> TaskSpec {
		TaskSpec {
			model: H256::zero(),
			prompt: prompt.into(),
			negative_prompt: String::new(),
			seed: 0,
			steps,
			width: 64,
			height: 64,
			guidance_milli: 0,
			scheduler: SchedulerKind::Ddim,
		}
	}

	#[tokio::test]
	async fn works_in_order_and_reports_its_load() {
		let device = device().await;
		let first = device.submit(spec("one", 3)).unwrap();
		let second = device.submit(spec("two", 3)).unwrap();
		assert_eq!(*device.load().borrow(), 2);
		assert_eq!(second.reply.await.unwrap().unwrap().png, b"two");
		assert_eq!(first.reply.await.unwrap().unwrap().png, b"one");
		assert_eq!(*first.steps.borrow(), 3);
		let mut load = device.load();
		load.wait_for(|jobs| *jobs == 0).await.unwrap();
	}

	#[tokio::test]
	async fn slots_work_side_by_side() {
		let device = device_with(2).await;
		let mut first = device.submit(spec("one", u16::MAX)).unwrap();
		let mut second = device.submit(spec("two", u16::MAX)).unwrap();
		let third = device.submit(spec("three", 1)).unwrap();
		// Both have begun, and neither can have ended.
		first.steps.changed().await.unwrap();
		second.steps.changed().await.unwrap();
		first.stop.cancel();
		assert_eq!(third.reply.await.unwrap().unwrap().png, b"three");
		second.stop.cancel();
		assert_eq!(second.reply.await.unwrap(), Err(PaintError::Stopped));
	}

	#[tokio::test]
	async fn stops_started_and_waiting_jobs() {
		let device = device().await;
		let mut started = device.submit(spec("long", u16::MAX)).unwrap();
		let waiting = device.submit(spec("next", 1)).unwrap();
		started.steps.changed().await.unwrap();
		waiting.stop.cancel();
		started.stop.cancel();
		assert_eq!(started.reply.await.unwrap(), Err(PaintError::Stopped));
		assert_eq!(waiting.reply.await.unwrap(), Err(PaintError::Stopped));
	}

	#[tokio::test]
	async fn a_panic_fails_one_job_and_not_the_next() {
		let device = device().await;
		let bug = device.submit(spec("a bug", 1)).unwrap();
		assert!(matches!(
			bug.reply.await.unwrap(),
			Err(PaintError::Failed(_))
		));
		let next = device.submit(spec("next", 1)).unwrap();
		assert!(next.reply.await.unwrap().is_ok());
	}

	#[tokio::test]
	async fn the_queue_is_bounded() {
		let device = device().await;
		let mut running = Vec::new();
		let full = (0..=QUEUE + 1).find(|_| match device.submit(spec("long", u16::MAX)) {
			Ok(job) => {
				running.push(job);
				false
			},
			Err(QueueFull) => true,
		});
		assert!(full.is_some(), "took {} jobs", running.len());
		assert_eq!(*device.load().borrow(), running.len());
		running.iter().for_each(|job| job.stop.cancel());
	}

	#[tokio::test]
	async fn an_engine_that_does_not_open_says_why() {
		let opened =
			Device::start(|| Err::<(Steps, _), _>(DeviceError::Engine("no such file".into())))
				.await;
		assert_eq!(opened.err().unwrap().to_string(), "no such file");
	}
}
