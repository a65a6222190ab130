//! How much the devices have to do, and how long that takes by how long it took of late.

use cuckoo_primitives::task::{ModelHash, TaskSpec};
use std::{
	collections::BTreeMap,
	sync::{
		atomic::{AtomicU64, Ordering},
		Arc, Mutex, MutexGuard, PoisonError,
	},
	time::Duration,
};
use tokio::sync::watch;

/// What a task takes a slot, in pixel-steps, if so many steps are left of it. What a picture takes is about
/// proportional to them.
pub(super) fn work_of(spec: &TaskSpec, steps: u16) -> u64 {
	u64::from(spec.width) * u64::from(spec.height) * u64::from(steps)
}

/// The jobs of all devices, those at work included.
#[derive(Default)]
pub(super) struct Load {
	jobs: watch::Sender<usize>,
	pace: Mutex<Pace>,
}

impl Load {
	/// How many jobs there are.
	pub(super) fn jobs(&self) -> watch::Receiver<usize> {
		self.jobs.subscribe()
	}

	/// See [`Pace`].
	pub(super) fn pace(&self) -> MutexGuard<'_, Pace> {
		self.pace.lock().unwrap_or_else(PoisonError::into_inner)
	}
}

/// What is to be done, by model, and how fast it was done last.
#[derive(Debug, Default)]
pub(super) struct Pace {
	/// Pixel-steps that are left.
	left: BTreeMap<ModelHash, u64>,
	/// Seconds of a slot for each, in the last batch that was made whole. Models are those that are held.
	speeds: BTreeMap<ModelHash, f64>,
}

impl Pace {
	/// A slot has done so much of a model's work.
	pub(super) fn took(&mut self, model: ModelHash, work: u64, time: Duration) {
		if work > 0 {
			self.speeds.insert(model, time.as_secs_f64() / work as f64);
		}
	}

	/// How long it takes until a further task of this model is done, if `slots` share what is before it.
	/// `None` while no task of the model was done. What is before it and was never measured counts for
	/// nothing, and so does loading: it is the least that it takes.
	pub(super) fn foresee(&self, model: &ModelHash, work: u64, slots: usize) -> Option<Duration> {
		let seconds = |model: &ModelHash, work: u64| {
			let speed = self.speeds.get(model);
			speed.map(|speed| speed * work as f64)
		};
		let own = seconds(model, work)?;
		let before: f64 = self
			.left
			.iter()
			.filter_map(|(model, work)| seconds(model, *work))
			.sum();
		Duration::try_from_secs_f64(own + before / slots.max(1) as f64).ok()
	}
}

/// Counts as one job with what is left of it, from its making to its end, however that comes.
pub(super) struct Share {
	load: Arc<Load>,
	model: ModelHash,
	left: AtomicU64,
}

impl Share {
	pub(super) fn new(load: &Arc<Load>, spec: &TaskSpec) -> Self {
		load.jobs.send_modify(|jobs| *jobs += 1);
		let share = Self {
			load: load.clone(),
			model: spec.model,
			left: AtomicU64::new(0),
		};
		share.is_left(work_of(spec, spec.steps));
		share
	}

	/// So many pixel-steps are left of it.
	pub(super) fn is_left(&self, work: u64) {
		let mut pace = self.load.pace();
		let before = self.left.swap(work, Ordering::Relaxed);
		let left = pace.left.entry(self.model).or_default();
		*left = left.saturating_sub(before).saturating_add(work);
		if *left == 0 {
			pace.left.remove(&self.model);
		}
	}
}

impl Drop for Share {
	fn drop(&mut self) {
		self.is_left(0);
		self.load.jobs.send_modify(|jobs| *jobs -= 1);
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use crate::device::tests::spec;
	use cuckoo_primitives::H256;

	fn of(model: u8, steps: u16) -> TaskSpec {
		TaskSpec {
			model: H256::repeat_byte(model),
			..spec("a", steps)
		}
	}

	#[test]
	fn what_is_before_a_task_is_shared_among_the_slots_and_shrinks_with_each_step() {
		let load = Arc::new(Load::default());
		let task = of(1, 10);
		let work = work_of(&task, 10);
		let foresee = |slots| load.pace().foresee(&task.model, work, slots);
		assert_eq!(foresee(1), None, "nothing was measured");
		load.pace().took(task.model, work, Duration::from_secs(8));
		assert_eq!(foresee(1), Some(Duration::from_secs(8)));
		let shares = [Share::new(&load, &task), Share::new(&load, &task)];
		assert_eq!(*load.jobs().borrow(), 2);
		assert_eq!(foresee(1), Some(Duration::from_secs(24)));
		assert_eq!(foresee(2), Some(Duration::from_secs(16)));
		shares[0].is_left(work_of(&task, 5));
		assert_eq!(foresee(1), Some(Duration::from_secs(20)));
		// Of a model that was never measured.
		let unknown = Share::new(&load, &of(2, 100));
		assert_eq!(foresee(1), Some(Duration::from_secs(20)));
		drop((shares, unknown));
		assert_eq!(*load.jobs().borrow(), 0);
		assert_eq!(foresee(1), Some(Duration::from_secs(8)));
		assert!(load.pace().left.is_empty());
	}
}
