//! The tasks that wait for a slot, and who may take them: [`batch`] says which go together, [`Health`]
//! which devices are well enough.

use super::{
	batch::{self, go_together},
	health::{Health, Turn, Verdict},
	job::Job,
	Layout, PaintError, QueueFull,
};
use std::{
	collections::VecDeque,
	sync::{Condvar, Mutex, MutexGuard, PoisonError},
	time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;

/// Jobs that may wait for each that can be at work. More than one coordinator may hand out a task at the
/// same moment; what would wait longer than that is given back.
pub(super) const WAITING_FOR_EACH: usize = 4;
/// So many times the wait after the newest job the oldest of a batch waits at most.
const WAITS_OF_OLDEST: u32 = 4;

/// See the module's documentation. Shared by the handle and the slots of all devices.
pub(super) struct Queue {
	layout: Layout,
	state: Mutex<State>,
	/// Something of the state that a slot may wait for.
	changed: Condvar,
	/// Cancelled when every device is given up.
	given_up: CancellationToken,
}

struct State {
	waiting: VecDeque<Job>,
	/// Batches of slots that are free and wait for more.
	gathering: Vec<Gathering>,
	next_ticket: u64,
	devices: Vec<Health>,
	/// No more jobs come.
	closed: bool,
}

struct Gathering {
	ticket: u64,
	jobs: Vec<Job>,
}

/// What a slot is to make in one run.
pub(super) struct Batch {
	/// One at least, none of them cancelled yet.
	pub(super) jobs: Vec<Job>,
	/// Whether this one shows if a lost device is well again.
	pub(super) tries: bool,
}

impl Queue {
	pub(super) fn new(layout: Layout, devices: usize) -> Self {
		Self {
			layout,
			state: Mutex::new(State {
				waiting: VecDeque::new(),
				gathering: Vec::new(),
				next_ticket: 0,
				devices: vec![Health::default(); devices],
				closed: false,
			}),
			changed: Condvar::new(),
			given_up: CancellationToken::new(),
		}
	}

	/// Puts a job into a batch that waits for one like it, or else at the end of the queue. While all devices
	/// are lost and rest it would wait for too long, so that it counts as full.
	pub(super) fn push(&self, job: Job) -> Result<(), QueueFull> {
		let mut state = self.state();
		state.drop_cancelled();
		if state.all_rest(Instant::now()) {
			return Err(QueueFull);
		}
		let most = self.most();
		let fitting = state
			.gathering
			.iter_mut()
			.find(|it| it.jobs.len() < most && it.takes(&job));
		match fitting {
			Some(gathering) => gathering.jobs.push(job),
			None => {
				let bound = state.devices.len() * self.at_once_on_one() * WAITING_FOR_EACH;
				if state.waiting.len() >= bound {
					return Err(QueueFull);
				}
				state.waiting.push_back(job);
			},
		}
		drop(state);
		self.changed.notify_all();
		Ok(())
	}

	/// The next batch for a slot of this device; waits for it. `None` once the queue is closed and empty.
	pub(super) fn next(&self, device: usize) -> Option<Batch> {
		let mut state = self.state();
		loop {
			state.drop_cancelled();
			if state.waiting.is_empty() {
				if state.closed {
					return None;
				}
				state = self.wait(state);
				continue;
			}
			let now = Instant::now();
			match state.devices[device].turn(now) {
				Turn::Free | Turn::Due => {},
				Turn::Resting(until) => {
					state = self.wait_until(state, now, until);
					continue;
				},
				Turn::Trying => {
					state = self.wait(state);
					continue;
				},
			}
			let tries = state.devices[device].begins(now);
			let jobs = batch::take(&mut state.waiting, self.most(), |one, other| {
				go_together(&one.spec, &other.spec)
			});
			let (next, jobs) = self.gather(state, jobs);
			state = next;
			if jobs.is_empty() {
				// All were cancelled meanwhile.
				state.devices[device].ended(tries, Verdict::Nothing, Instant::now());
				continue;
			}
			drop(state);
			// A closed queue may be empty now, which others wait for.
			self.changed.notify_all();
			return Some(Batch { jobs, tries });
		}
	}

	/// Waits for further jobs that go with these, until the batch is full, or none has come for a while.
	fn gather<'a>(
		&'a self,
		mut state: MutexGuard<'a, State>,
		jobs: Vec<Job>,
	) -> (MutexGuard<'a, State>, Vec<Job>) {
		let most = self.most();
		let ticket = state.next_ticket;
		state.next_ticket += 1;
		state.gathering.push(Gathering { ticket, jobs });
		loop {
			state.drop_cancelled();
			let place = state
				.gathering
				.iter()
				.position(|it| it.ticket == ticket)
				.expect("only this call takes it out; qed");
			let now = Instant::now();
			let jobs = &state.gathering[place].jobs;
			let until = gathered_until(jobs.iter().map(|job| job.came), self.layout.batch_wait);
			match until.filter(|until| now < *until && jobs.len() < most && !state.closed) {
				Some(until) => state = self.wait_until(state, now, until),
				None => {
					let jobs = state.gathering.swap_remove(place).jobs;
					return (state, jobs);
				},
			}
		}
	}

	/// A batch that [`Queue::next`] gave ended.
	pub(super) fn ended(&self, device: usize, tries: bool, verdict: Verdict) {
		let now = Instant::now();
		let mut state = self.state();
		state.devices[device].ended(tries, verdict, now);
		if state.all_rest(now) {
			for job in std::mem::take(&mut state.waiting) {
				job.end(Err(PaintError::Device("no device is well".into())));
			}
		}
		if state.devices.iter().all(Health::is_given_up) {
			self.given_up.cancel();
		}
		drop(state);
		self.changed.notify_all();
	}

	/// Cancelled when every device is given up.
	pub(super) fn given_up(&self) -> &CancellationToken {
		&self.given_up
	}

	/// No more jobs come: slots end when the queue is empty.
	pub(super) fn close(&self) {
		self.state().closed = true;
		self.changed.notify_all();
	}

	/// How many jobs can be at work: none on a device that is lost and rests.
	pub(super) fn at_once(&self) -> usize {
		let now = Instant::now();
		let state = self.state();
		let on = |health: &Health| match health.turn(now) {
			Turn::Free => self.at_once_on_one(),
			// The batch that shows whether it is well again.
			Turn::Due | Turn::Trying => self.most(),
			Turn::Resting(_) => 0,
		};
		state.devices.iter().map(on).sum()
	}

	/// The health of each device.
	pub(super) fn health(&self) -> Vec<Health> {
		self.state().devices.clone()
	}

	/// Jobs of one batch.
	fn most(&self) -> usize {
		usize::from(self.layout.batch.max(1))
	}

	/// Jobs that one device works on at once.
	fn at_once_on_one(&self) -> usize {
		usize::from(self.layout.slots.max(1)) * self.most()
	}

	/// Whole after every line that changes it, also if a thread panicked.
	fn state(&self) -> MutexGuard<'_, State> {
		self.state.lock().unwrap_or_else(PoisonError::into_inner)
	}

	fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
		self.changed
			.wait(state)
			.unwrap_or_else(PoisonError::into_inner)
	}

	fn wait_until<'a>(
		&self,
		state: MutexGuard<'a, State>,
		now: Instant,
		until: Instant,
	) -> MutexGuard<'a, State> {
		let left: Duration = until.saturating_duration_since(now);
		let (state, _) = self
			.changed
			.wait_timeout(state, left)
			.unwrap_or_else(PoisonError::into_inner);
		state
	}
}

/// Until when a batch of jobs that came then waits for more: for each that comes, but not for ever.
fn gathered_until(came: impl Iterator<Item = Instant> + Clone, wait: Duration) -> Option<Instant> {
	let (oldest, newest) = (came.clone().min()?, came.max()?);
	Some((newest + wait).min(oldest + wait * WAITS_OF_OLDEST))
}

impl Gathering {
	fn takes(&self, job: &Job) -> bool {
		let first = self.jobs.first();
		first.is_some_and(|first| go_together(&first.spec, &job.spec))
	}
}

impl State {
	/// Whether no device takes a task now, or soon.
	fn all_rest(&self, now: Instant) -> bool {
		let mut devices = self.devices.iter();
		devices.all(|health| matches!(health.turn(now), Turn::Resting(_)))
	}

	/// Answers what nobody wants any more, so that it takes no place.
	fn drop_cancelled(&mut self) {
		let gathered = self.gathering.iter_mut().map(|it| &mut it.jobs);
		for jobs in gathered {
			for job in jobs.extract_if(.., |job| job.is_cancelled()) {
				job.end(Err(PaintError::Stopped));
			}
		}
		if self.waiting.iter().any(Job::is_cancelled) {
			for job in std::mem::take(&mut self.waiting) {
				if job.is_cancelled() {
					job.end(Err(PaintError::Stopped));
				} else {
					self.waiting.push_back(job);
				}
			}
		}
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use crate::device::{
		health::{GIVEN_UP_AFTER, LOST_AFTER},
		job::Running,
		pace::Load,
		tests::{layout, spec},
	};
	use std::{sync::Arc, thread};

	const LONG: Duration = Duration::from_secs(60);

	fn push(queue: &Queue, prompt: &str, steps: u16) -> Running {
		let load = Arc::<Load>::default();
		let (job, running) = Job::new(spec(prompt, steps), &load);
		queue.push(job).unwrap();
		running
	}

	fn prompts(batch: &Batch) -> Vec<&str> {
		batch
			.jobs
			.iter()
			.map(|job| job.spec.prompt.as_str())
			.collect()
	}

	fn lose(queue: &Queue, device: usize) {
		for _ in 0..LOST_AFTER {
			queue.ended(device, false, Verdict::Failed);
		}
	}

	#[test]
	fn a_full_batch_begins_at_once_and_the_rest_keeps_its_order() {
		let queue = Queue::new(layout(1, 2, LONG), 1);
		let _running: Vec<_> = [("a", 1), ("b", 2), ("c", 1), ("d", 1), ("e", 2)]
			.map(|(prompt, steps)| push(&queue, prompt, steps))
			.into();
		assert_eq!(prompts(&queue.next(0).unwrap()), ["a", "c"]);
		assert_eq!(prompts(&queue.next(0).unwrap()), ["b", "e"]);
		queue.close();
		assert_eq!(prompts(&queue.next(0).unwrap()), ["d"]);
		assert!(queue.next(0).is_none());
	}

	#[test]
	fn who_is_cancelled_while_waiting_is_answered_and_takes_no_place() {
		let queue = Queue::new(layout(1, 2, LONG), 1);
		let [mut first, _second, _third] = ["a", "b", "c"].map(|prompt| push(&queue, prompt, 1));
		first.stop.cancel();
		assert_eq!(prompts(&queue.next(0).unwrap()), ["b", "c"]);
		assert_eq!(first.reply.try_recv(), Ok(Err(PaintError::Stopped)));
	}

	#[test]
	fn a_free_slot_waits_for_more_after_the_newest_and_no_longer() {
		let wait = Duration::from_millis(500);
		let queue = Queue::new(layout(2, 3, wait), 1);
		thread::scope(|scope| {
			let begun = Instant::now();
			let _first = push(&queue, "a", 1);
			let slot = scope.spawn(|| queue.next(0));
			thread::sleep(wait / 2);
			let _other = push(&queue, "other", 2);
			// Another slot is free: what fits the batch that is gathered is left to it.
			let other_slot = scope.spawn(|| queue.next(0));
			let _second = push(&queue, "b", 1);
			let batch = slot.join().unwrap().unwrap();
			assert_eq!(prompts(&batch), ["a", "b"]);
			assert!(begun.elapsed() >= wait / 2 + wait, "after the newest");
			assert_eq!(prompts(&other_slot.join().unwrap().unwrap()), ["other"]);
		});
	}

	#[test]
	fn a_batch_that_gets_full_or_is_cancelled_waits_no_longer() {
		let queue = Queue::new(layout(1, 2, LONG), 1);
		thread::scope(|scope| {
			let begun = Instant::now();
			let first = push(&queue, "a", 1);
			let slot = scope.spawn(|| queue.next(0));
			thread::sleep(Duration::from_millis(50));
			first.stop.cancel();
			let _second = push(&queue, "b", 1);
			let _third = push(&queue, "c", 1);
			assert_eq!(prompts(&slot.join().unwrap().unwrap()), ["b", "c"]);
			assert!(begun.elapsed() < LONG);
		});
	}

	#[test]
	fn the_oldest_of_a_batch_waits_for_a_few_and_not_for_all() {
		let (begun, wait) = (Instant::now(), Duration::from_secs(5));
		let until = |last: u32| {
			let came = (0..=last).map(|job| begun + wait * job);
			gathered_until(came, wait).unwrap()
		};
		assert_eq!(until(0), begun + wait);
		assert_eq!(until(1), begun + wait * 2, "after the newest");
		assert_eq!(until(WAITS_OF_OLDEST), begun + wait * WAITS_OF_OLDEST);
		assert_eq!(until(14), begun + wait * WAITS_OF_OLDEST);
		assert_eq!(gathered_until([].into_iter(), wait), None);
	}

	#[test]
	fn one_at_a_time_waits_for_nobody() {
		let queue = Queue::new(layout(1, 1, LONG), 1);
		let _running = ["a", "b"].map(|prompt| push(&queue, prompt, 1));
		let begun = Instant::now();
		assert_eq!(prompts(&queue.next(0).unwrap()), ["a"]);
		assert_eq!(prompts(&queue.next(0).unwrap()), ["b"]);
		assert!(begun.elapsed() < LONG);
	}

	#[test]
	fn what_was_offered_fits_and_what_is_cancelled_makes_room() {
		let queue = Queue::new(layout(2, 3, LONG), 2);
		assert_eq!(queue.at_once(), 12);
		let running: Vec<_> = (0..12 * WAITING_FOR_EACH)
			.map(|_| push(&queue, "a", 1))
			.collect();
		let load = Arc::<Load>::default();
		let more = || queue.push(Job::new(spec("b", 1), &load).0);
		assert_eq!(more(), Err(QueueFull));
		assert_eq!(*load.jobs().borrow(), 0);
		running[3].stop.cancel();
		assert_eq!(more(), Ok(()));
	}

	#[test]
	fn a_lost_device_leaves_the_tasks_to_one_that_is_well() {
		let queue = Queue::new(layout(1, 1, LONG), 2);
		lose(&queue, 1);
		assert_eq!(queue.at_once(), 1);
		thread::scope(|scope| {
			let lost = scope.spawn(|| queue.next(1));
			let _running = ["a", "b"].map(|prompt| push(&queue, prompt, 1));
			thread::sleep(Duration::from_millis(50));
			assert_eq!(prompts(&queue.next(0).unwrap()), ["a"]);
			assert!(!lost.is_finished());
			// What it had begun in better times.
			queue.ended(1, false, Verdict::Well);
			assert_eq!(queue.at_once(), 2);
			assert_eq!(prompts(&lost.join().unwrap().unwrap()), ["b"]);
		});
	}

	#[test]
	fn when_all_devices_are_lost_nothing_waits_for_them_and_in_the_end_they_are_given_up() {
		let queue = Queue::new(layout(1, 1, LONG), 2);
		let mut waiting = push(&queue, "a", 1);
		lose(&queue, 0);
		assert_eq!(
			(queue.at_once(), waiting.reply.try_recv().is_ok()),
			(1, false)
		);
		lose(&queue, 1);
		assert_eq!(queue.at_once(), 0);
		let reply = waiting.reply.try_recv().unwrap();
		assert!(matches!(reply, Err(PaintError::Device(_))), "{reply:?}");
		let (job, _running) = Job::new(spec("b", 1), &Arc::default());
		assert_eq!(queue.push(job), Err(QueueFull));
		for device in [0, 1] {
			for _ in 0..GIVEN_UP_AFTER {
				assert!(!queue.given_up().is_cancelled());
				queue.ended(device, true, Verdict::Failed);
			}
		}
		assert!(queue.given_up().is_cancelled());
	}

	#[test]
	fn a_lost_device_that_rests_ends_with_the_queue() {
		let queue = Queue::new(layout(1, 1, LONG), 2);
		lose(&queue, 1);
		let _running = push(&queue, "a", 1);
		thread::scope(|scope| {
			let lost = scope.spawn(|| queue.next(1));
			thread::sleep(Duration::from_millis(50));
			queue.close();
			assert!(queue.next(0).is_some());
			assert!(lost.join().unwrap().is_none());
		});
	}
}
