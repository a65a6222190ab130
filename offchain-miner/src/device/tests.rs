use super::*;
use crate::device::health::LOST_AFTER;
use cuckoo_primitives::{
	task::{DeviceClass, SchedulerKind},
	H256,
};
use std::{
	sync::{
		atomic::{AtomicUsize, Ordering},
		Mutex,
	},
	time::Duration,
};

/// Counts steps, and notes of which prompts its batches were.
#[derive(Clone, Default)]
struct Steps {
	batches: Arc<Mutex<Vec<Vec<String>>>>,
	/// Steps that were not told to anybody.
	halted: Arc<AtomicUsize>,
	broken: bool,
}

impl Engine for Steps {
	fn paint(
		&mut self,
		specs: &[TaskSpec],
		stop: &Stop,
		observe: &mut dyn FnMut(usize, u16) -> Go,
	) -> Vec<Result<Painting, PaintError>> {
		let prompts: Vec<String> = specs.iter().map(|spec| spec.prompt.clone()).collect();
		assert!(!prompts.contains(&"a bug".into()), "as asked");
		self.batches.lock().unwrap().push(prompts);
		if self.broken {
			return vec![Err(PaintError::Device("lost".into())); specs.len()];
		}
		let mut going: Vec<usize> = (0..specs.len()).collect();
		let mut results: Vec<_> = vec![Err(PaintError::Stopped); specs.len()];
		for step in 1..=specs[0].steps {
			going.retain(|place| observe(*place, step) == Go::On);
			if going.is_empty() {
				return results;
			}
			if specs[0].prompt == "an endless step" {
				while !stop.is_stopped() {
					thread::sleep(Duration::from_millis(1));
				}
				self.halted.fetch_add(1, Ordering::SeqCst);
				return results;
			}
			thread::sleep(Duration::from_millis(1));
		}
		for place in going {
			results[place] = Ok(Painting {
				png: specs[place].prompt.clone().into_bytes(),
				trajectory_root: H256::zero(),
				engine_profile: H256::zero(),
				device: DeviceClass::Cpu,
			});
		}
		results
	}
}

pub(super) fn layout(slots: u16, batch: u16, batch_wait: Duration) -> Layout {
	Layout {
		slots,
		batch,
		batch_wait,
	}
}

/// Long enough for any test, on any machine.
const LONG: Duration = Duration::from_secs(60);

async fn device() -> Devices {
	devices(vec![Steps::default()], layout(1, 1, LONG)).await
}

async fn devices(engines: Vec<Steps>, layout: Layout) -> Devices {
	let profiles = (0..engines.len()).map(|number| DeviceProfile {
		label: format!("cuda:{number}"),
		device: DeviceClass::Cpu,
		name: "test".into(),
		engine: "test".into(),
	});
	let profile = Profile::new(profiles.collect(), Vec::new(), layout).unwrap();
	Devices::start(move || Ok((engines, profile)))
		.await
		.unwrap()
}

pub(super) fn spec(prompt: &str, steps: u16) -> TaskSpec {
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

async fn painted(running: Running) -> Vec<u8> {
	running.reply.await.unwrap().unwrap().png
}

#[tokio::test]
async fn works_in_order_and_reports_its_load() {
	let device = device().await;
	let first = device.submit(spec("one", 3)).unwrap();
	let second = device.submit(spec("two", 3)).unwrap();
	assert_eq!(*device.load().borrow(), 2);
	assert_eq!(painted(second).await, b"two");
	assert_eq!(first.reply.await.unwrap().unwrap().png, b"one");
	assert_eq!(*first.steps.borrow(), 3);
	let mut load = device.load();
	load.wait_for(|jobs| *jobs == 0).await.unwrap();
}

#[tokio::test]
async fn slots_work_side_by_side() {
	let device = devices(vec![Steps::default()], layout(2, 1, LONG)).await;
	let mut first = device.submit(spec("one", u16::MAX)).unwrap();
	let mut second = device.submit(spec("two", u16::MAX)).unwrap();
	let third = device.submit(spec("three", 1)).unwrap();
	// Both have begun, and neither can have ended.
	first.steps.changed().await.unwrap();
	second.steps.changed().await.unwrap();
	first.stop.cancel();
	assert_eq!(painted(third).await, b"three");
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

/// Whoever waits for a job may end at any moment; the device goes on with what somebody wants.
#[tokio::test]
async fn a_job_that_nobody_waits_for_is_stopped() {
	let device = device().await;
	let mut started = device.submit(spec("an endless step", 2)).unwrap();
	started.steps.changed().await.unwrap();
	drop(started);
	let next = painted(device.submit(spec("next", 1)).unwrap());
	assert_eq!(tokio::time::timeout(LONG, next).await.unwrap(), b"next");
}

#[tokio::test]
async fn what_a_task_takes_is_foreseen_by_the_last_one_of_its_model() {
	let device = device().await;
	let task = spec("one", 50);
	assert_eq!(device.foresee(&task), None);
	painted(device.submit(task.clone()).unwrap()).await;
	let alone = device.foresee(&task).unwrap();
	// A step takes a millisecond at least.
	assert!(alone >= Duration::from_millis(50), "{alone:?}");
	let _busy = device.submit(spec("an endless step", 50)).unwrap();
	assert!(device.foresee(&task).unwrap() > alone);
}

#[tokio::test]
async fn a_panic_fails_its_batch_and_not_the_next() {
	let device = devices(vec![Steps::default()], layout(1, 2, LONG)).await;
	let other = device.submit(spec("another", 1)).unwrap();
	let bug = device.submit(spec("a bug", 1)).unwrap();
	for job in [other, bug] {
		let reply = job.reply.await.unwrap();
		assert!(matches!(reply, Err(PaintError::Failed(_))), "{reply:?}");
	}
	let next = ["next", "after"].map(|prompt| device.submit(spec(prompt, 1)).unwrap());
	for job in next {
		assert!(job.reply.await.unwrap().is_ok());
	}
	assert!(!device.states()[0].is_lost);
}

#[tokio::test]
async fn the_queue_is_bounded() {
	let device = device().await;
	let mut running = Vec::new();
	let most = queue::WAITING_FOR_EACH + 1;
	let full = (0..=most).find(|_| match device.submit(spec("long", u16::MAX)) {
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
		Devices::start(|| Err::<(Vec<Steps>, _), _>(DeviceError::Engine("no such file".into())))
			.await;
	assert_eq!(opened.err().unwrap().to_string(), "no such file");
}

#[tokio::test]
async fn tasks_that_go_together_are_made_together_each_with_its_own_steps() {
	let engine = Steps::default();
	let batches = engine.batches.clone();
	let device = devices(vec![engine], layout(1, 3, LONG)).await;
	assert_eq!(device.profile().tasks_at_once, 3);
	let jobs = ["one", "two", "three"].map(|prompt| device.submit(spec(prompt, 5)).unwrap());
	for (job, prompt) in jobs.into_iter().zip(["one", "two", "three"]) {
		let steps = job.steps.clone();
		assert_eq!(painted(job).await, prompt.as_bytes());
		assert_eq!(*steps.borrow(), 5);
	}
	assert_eq!(*batches.lock().unwrap(), [["one", "two", "three"]]);
}

#[tokio::test]
async fn one_that_is_cancelled_leaves_the_batch_and_the_others_are_made() {
	let device = devices(vec![Steps::default()], layout(1, 2, LONG)).await;
	let mut gone = device.submit(spec("gone", 500)).unwrap();
	let stays = device.submit(spec("stays", 500)).unwrap();
	gone.steps.changed().await.unwrap();
	gone.stop.cancel();
	assert_eq!(gone.reply.await.unwrap(), Err(PaintError::Stopped));
	assert!(*gone.steps.borrow() < 500);
	assert_eq!(painted(stays).await, b"stays");
}

#[tokio::test]
async fn a_step_ends_at_once_when_all_are_cancelled_and_not_before() {
	let engine = Steps::default();
	let halted = engine.halted.clone();
	let device = devices(vec![engine], layout(1, 2, LONG)).await;
	let mut first = device.submit(spec("an endless step", 2)).unwrap();
	let second = device.submit(spec("two", 2)).unwrap();
	first.steps.changed().await.unwrap();
	first.stop.cancel();
	tokio::time::sleep(Duration::from_millis(50)).await;
	assert_eq!(halted.load(Ordering::SeqCst), 0, "the other one is wanted");
	second.stop.cancel();
	for job in [first, second] {
		assert_eq!(job.reply.await.unwrap(), Err(PaintError::Stopped));
	}
	assert_eq!(halted.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_device_that_is_lost_leaves_the_tasks_to_the_other() {
	let broken = Steps {
		broken: true,
		..Steps::default()
	};
	let (tried, well) = (broken.batches.clone(), Steps::default());
	let device = devices(vec![well, broken], layout(1, 1, LONG)).await;
	assert_eq!(device.at_once(), 2);
	// The well one is busy, so that the other gets what comes.
	let mut busy = device.submit(spec("busy", u16::MAX)).unwrap();
	while busy.steps.changed().await.is_err() {
		busy = device.submit(spec("busy", u16::MAX)).unwrap();
	}
	while !device.states()[1].is_lost {
		let job = device.submit(spec("task", 1)).unwrap();
		let failed = PaintError::Device("lost".into());
		assert_eq!(job.reply.await.unwrap(), Err(failed));
	}
	let states = device.states();
	assert_eq!((states[0].failures, states[0].is_lost), (0, false));
	assert_eq!(
		(states[1].failures, &*states[1].label),
		(LOST_AFTER, "cuda:1")
	);
	assert_eq!(device.at_once(), 1);
	let before = tried.lock().unwrap().len();
	busy.stop.cancel();
	for _ in 0..10 {
		assert_eq!(
			painted(device.submit(spec("task", 1)).unwrap()).await,
			b"task"
		);
	}
	assert_eq!(tried.lock().unwrap().len(), before);
}
