//! The tasks that wait for a miner: fair between apps, by priority within an app, first come first
//! served within a priority.
//!
//! Start-time fair queueing. Each app that waits has a *tag*: how much work was handed out for it,
//! counted from the queue's *clock* when it began to wait. The app with the smallest tag is next, and
//! what is handed out moves its tag on by the task's work, pixels times denoising steps. The clock is
//! the tag of whoever was served last, so an app that comes late neither catches up on what it did not
//! ask for nor waits behind what others got before. Of apps that all wait, none is ahead of another by
//! more than one task's work.
//!
//! A task that comes back after a failed attempt takes its old place, and its work is taken off the
//! app's tag again. An app whose models nobody serves gains nothing by waiting: when it is served at
//! last, it counts from the clock. Tags are not stored: after a restart all apps begin together.
//!
//! Every operation costs O(log n) for each model that the app waits for.

use crate::apps::AppId;
use cuckoo_primitives::{
	task::{Attempt, ModelHash, TaskId},
	AccountId, Balance, H256,
};
use std::{
	cmp::Reverse,
	collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
};

/// Most apps that are remembered without waiting, for being ahead of the clock.
const MAX_IDLE: usize = 65_536;

/// What the scheduler must know of a task that waits.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Waiting {
	/// Order of acceptance.
	pub seq: i64,
	/// The task.
	pub task: TaskId,
	/// Who submitted it.
	pub app: AppId,
	/// Its place among its app's: more is sooner.
	pub priority: u8,
	/// The model it needs.
	pub model: ModelHash,
	/// Hash of its spec.
	pub spec_hash: H256,
	/// Its denoising steps: the lease's length depends on them.
	pub steps: u16,
	/// Its work: pixels times denoising steps.
	pub pixel_steps: u64,
	/// The number of the next draw.
	pub next_attempt: Attempt,
	/// Miners that failed it.
	pub failed_miners: Vec<AccountId>,
	/// When it stops waiting.
	pub until_ms: u64,
	/// When a draw would come too late for its deadline.
	pub draw_by_ms: u64,
	/// What its miner earns.
	pub pay: Balance,
}

/// Work in pixel-steps on the queue's clock. Signed: a task that comes back can take a tag below zero.
/// A task has less than 2^30, so 2^33 of the largest fit before it would saturate.
type Tag = i64;

/// An app's place in a model's line: by its tag, then by since when it waits.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Turn {
	tag: Tag,
	since: i64,
	app: AppId,
}

/// One app's tasks that wait for one model.
#[derive(Clone, Debug, Default)]
struct Own {
	by_priority: BTreeMap<Reverse<u8>, VecDeque<i64>>,
	load: Load,
}

impl Own {
	fn tasks(&self) -> impl Iterator<Item = i64> + '_ {
		self.by_priority.values().flatten().copied()
	}

	fn insert(&mut self, priority: u8, seq: i64) {
		let line = self.by_priority.entry(Reverse(priority)).or_default();
		if let Err(place) = line.binary_search(&seq) {
			line.insert(place, seq);
		}
	}

	fn remove(&mut self, priority: u8, seq: i64) {
		let Some(line) = self.by_priority.get_mut(&Reverse(priority)) else {
			return;
		};
		if let Ok(place) = line.binary_search(&seq) {
			line.remove(place);
		}
		if line.is_empty() {
			self.by_priority.remove(&Reverse(priority));
		}
	}

	/// How many are handed out before a task of this priority and order of acceptance.
	fn before(&self, priority: u8, seq: i64) -> u64 {
		let sooner = self.by_priority.range(..Reverse(priority));
		let sooner: usize = sooner.map(|(_, line)| line.len()).sum();
		let same = self.by_priority.get(&Reverse(priority));
		let same = same.map_or(0, |line| line.partition_point(|other| *other < seq));
		(sooner + same) as u64
	}
}

/// How much waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Load {
	/// Tasks.
	pub tasks: u64,
	/// Their work.
	pub pixel_steps: u64,
}

impl Load {
	fn add(&mut self, pixel_steps: u64) {
		self.tasks += 1;
		self.pixel_steps = self.pixel_steps.saturating_add(pixel_steps);
	}

	fn take(&mut self, pixel_steps: u64) {
		self.tasks = self.tasks.saturating_sub(1);
		self.pixel_steps = self.pixel_steps.saturating_sub(pixel_steps);
	}
}

/// An app that waits, or that is remembered because it is ahead of the clock.
#[derive(Clone, Debug, Default)]
struct Flow {
	tag: Tag,
	since: i64,
	/// Work that came back and was not handed out again: so far the tag may lie behind the clock.
	credit: Tag,
	waiting: usize,
	by_model: BTreeMap<ModelHash, Own>,
}

/// The apps that wait for one model.
#[derive(Clone, Debug, Default)]
struct Line {
	turns: BTreeSet<Turn>,
	load: Load,
}

/// The queue.
#[derive(Clone, Debug, Default)]
pub struct Queue {
	waiting: HashMap<i64, Waiting>,
	overdue: BTreeSet<(u64, i64)>,
	apps: HashMap<AppId, Flow>,
	lines: HashMap<ModelHash, Line>,
	/// Apps without waiting tasks whose tags are ahead of the clock.
	idle: BTreeSet<(Tag, AppId)>,
	clock: Tag,
}

impl Queue {
	/// How many wait.
	pub fn len(&self) -> usize {
		self.waiting.len()
	}

	/// Whether none waits.
	pub fn is_empty(&self) -> bool {
		self.waiting.is_empty()
	}

	/// The tasks that wait, in no order.
	pub fn iter(&self) -> impl Iterator<Item = &Waiting> {
		self.waiting.values()
	}

	/// How many tasks of this app wait.
	pub fn count(&self, app: &AppId) -> usize {
		self.apps.get(app).map_or(0, |flow| flow.waiting)
	}

	/// Puts a new task in its place. A task that is there already stays as it is.
	pub fn insert(&mut self, waiting: Waiting) {
		self.place(waiting, false);
	}

	/// Puts a task that was handed out back in its place.
	pub fn put_back(&mut self, waiting: Waiting) {
		self.place(waiting, true);
	}

	fn place(&mut self, mut waiting: Waiting, comes_back: bool) {
		waiting.until_ms = waiting.until_ms.min(waiting.draw_by_ms);
		if self.waiting.contains_key(&waiting.seq) {
			return;
		}
		let app = &waiting.app;
		let mut flow = self.lift(app);
		if flow.waiting == 0 {
			flow.tag = flow.tag.max(self.clock);
			flow.since = waiting.seq;
		}
		if comes_back {
			flow.tag = flow.tag.saturating_sub(tag(waiting.pixel_steps));
			flow.credit = flow.credit.saturating_add(tag(waiting.pixel_steps));
		}
		flow.waiting += 1;
		let own = flow.by_model.entry(waiting.model).or_default();
		own.insert(waiting.priority, waiting.seq);
		own.load.add(waiting.pixel_steps);
		let line = self.lines.entry(waiting.model).or_default();
		line.load.add(waiting.pixel_steps);
		self.lay_down(app, flow);
		self.overdue.insert((waiting.until_ms, waiting.seq));
		self.waiting.insert(waiting.seq, waiting);
	}

	/// Takes a task out to hand it out: its app's next turn comes later by the task's work.
	pub fn take(&mut self, seq: i64) -> Option<Waiting> {
		self.take_out(seq, true)
	}

	/// Takes a task out that turned out not to wait any more. Rare, so that it may look at all.
	pub fn forget(&mut self, task: &TaskId) {
		let found = self.waiting.values().find(|it| it.task == *task);
		if let Some(seq) = found.map(|waiting| waiting.seq) {
			self.remove(seq);
		}
	}

	/// The tasks that wait, by their order of acceptance.
	pub fn seqs(&self) -> impl Iterator<Item = i64> + '_ {
		self.waiting.keys().copied()
	}

	/// Takes a task out that is no longer wanted.
	pub fn remove(&mut self, seq: i64) -> Option<Waiting> {
		self.take_out(seq, false)
	}

	fn take_out(&mut self, seq: i64, handed_out: bool) -> Option<Waiting> {
		let waiting = self.waiting.remove(&seq)?;
		self.overdue.remove(&(waiting.until_ms, seq));
		let mut flow = self.lift(&waiting.app);
		flow.waiting = flow.waiting.saturating_sub(1);
		if let Some(own) = flow.by_model.get_mut(&waiting.model) {
			own.remove(waiting.priority, seq);
			own.load.take(waiting.pixel_steps);
			if own.by_priority.is_empty() {
				flow.by_model.remove(&waiting.model);
			}
		}
		if let Some(line) = self.lines.get_mut(&waiting.model) {
			line.load.take(waiting.pixel_steps);
		}
		if handed_out {
			let work = tag(waiting.pixel_steps);
			let from = flow.tag.max(self.clock.saturating_sub(flow.credit));
			self.clock = self.clock.max(from);
			flow.tag = from.saturating_add(work);
			flow.credit = flow.credit.saturating_sub(work).max(0);
		}
		self.lay_down(&waiting.app, flow);
		let line = self.lines.get(&waiting.model);
		if line.is_some_and(|line| line.turns.is_empty()) {
			self.lines.remove(&waiting.model);
		}
		self.forget_idle();
		Some(waiting)
	}

	/// Takes an app out of all lines, to be changed.
	fn lift(&mut self, app: &AppId) -> Flow {
		let flow = self.apps.remove(app).unwrap_or_default();
		self.idle.remove(&(flow.tag, app.clone()));
		for model in flow.by_model.keys() {
			if let Some(line) = self.lines.get_mut(model) {
				line.turns.remove(&flow.turn(app));
			}
		}
		flow
	}

	/// Puts an app into the lines that it belongs in.
	fn lay_down(&mut self, app: &AppId, flow: Flow) {
		if flow.waiting == 0 {
			self.idle.insert((flow.tag, app.clone()));
		}
		for model in flow.by_model.keys() {
			let line = self.lines.entry(*model).or_default();
			line.turns.insert(flow.turn(app));
		}
		self.apps.insert(app.clone(), flow);
	}

	/// Forgets apps that wait for nothing and are no longer ahead. When nobody waits, nobody is.
	fn forget_idle(&mut self) {
		while let Some((tag, app)) = self.idle.pop_first() {
			let ahead = tag > self.clock && !self.waiting.is_empty();
			if ahead && self.idle.len() < MAX_IDLE {
				self.idle.insert((tag, app));
				break;
			}
			self.apps.remove(&app);
		}
	}

	/// How many tasks for its model are handed out before this one at the most, if none is added and
	/// all are alike: its app's own before it, and as many of each other app, and one.
	pub fn before(&self, waiting: &Waiting) -> u64 {
		let own = self.own_before(waiting);
		let (others, apps) = self.others(waiting);
		own + others.tasks.min(apps.saturating_mul(own + 1))
	}

	/// The work of the tasks that [`Queue::before`] counts, if each app's are of its average size.
	pub fn work_before(&self, waiting: &Waiting) -> u64 {
		let load = self.own(waiting).map_or(Load::default(), |own| own.load);
		let average = load.pixel_steps.checked_div(load.tasks).unwrap_or(0);
		let own = self.own_before(waiting).saturating_mul(average);
		let (others, apps) = self.others(waiting);
		let most = apps.saturating_mul(own.saturating_add(waiting.pixel_steps));
		own.saturating_add(others.pixel_steps.min(most))
	}

	fn own(&self, waiting: &Waiting) -> Option<&Own> {
		self.apps.get(&waiting.app)?.by_model.get(&waiting.model)
	}

	fn own_before(&self, waiting: &Waiting) -> u64 {
		self.own(waiting)
			.map_or(0, |own| own.before(waiting.priority, waiting.seq))
	}

	/// What waits for the same model for other apps, and how many these are.
	fn others(&self, waiting: &Waiting) -> (Load, u64) {
		let Some(line) = self.lines.get(&waiting.model) else {
			return (Load::default(), 0);
		};
		let own = self.own(waiting);
		let load = own.map_or(Load::default(), |own| own.load);
		let others = Load {
			tasks: line.load.tasks.saturating_sub(load.tasks),
			pixel_steps: line.load.pixel_steps.saturating_sub(load.pixel_steps),
		};
		(others, line.turns.len() as u64 - u64::from(own.is_some()))
	}

	/// A task that waits.
	pub fn get(&self, seq: i64) -> Option<&Waiting> {
		self.waiting.get(&seq)
	}

	/// The models that are waited for, the one whose turn it is first.
	pub fn models(&self) -> Vec<ModelHash> {
		let first =
			|(model, line): (&ModelHash, &Line)| Some((line.turns.first()?.clone(), *model));
		let mut heads: Vec<(Turn, ModelHash)> = self.lines.iter().filter_map(first).collect();
		heads.sort_unstable();
		heads.into_iter().map(|(_, model)| model).collect()
	}

	/// The tasks that wait for a model: app by app in the order of their turns, each app's in their
	/// order. The first is next.
	pub fn line(&self, model: &ModelHash) -> impl Iterator<Item = &Waiting> {
		let model = *model;
		let turns = self.lines.get(&model).into_iter();
		turns
			.flat_map(|line| &line.turns)
			.filter_map(move |turn| self.apps.get(&turn.app)?.by_model.get(&model))
			.flat_map(Own::tasks)
			.filter_map(|seq| self.waiting.get(&seq))
	}

	/// Lets every task wait at least until then.
	pub fn keep_until(&mut self, until_ms: u64) {
		for waiting in self.waiting.values_mut() {
			waiting.until_ms = waiting.until_ms.max(until_ms).min(waiting.draw_by_ms);
		}
		let overdue = self.waiting.values().map(|it| (it.until_ms, it.seq));
		self.overdue = overdue.collect();
	}

	/// The tasks that have waited too long, with whether a draw would come too late for their deadlines.
	pub fn overdue(&self, now_ms: u64) -> Vec<(TaskId, bool)> {
		let late = self
			.overdue
			.iter()
			.take_while(|(until, _)| *until <= now_ms);
		late.filter_map(|(_, seq)| {
			let waiting = self.waiting.get(seq)?;
			Some((waiting.task, waiting.draw_by_ms <= now_ms))
		})
		.collect()
	}
}

impl Flow {
	fn turn(&self, app: &AppId) -> Turn {
		Turn {
			tag: self.tag,
			since: self.since,
			app: app.clone(),
		}
	}
}

fn tag(pixel_steps: u64) -> Tag {
	Tag::try_from(pixel_steps).unwrap_or(Tag::MAX)
}

#[cfg(test)]
mod tests;
