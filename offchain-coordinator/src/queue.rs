//! The tasks that wait for a miner, in the order in which they were accepted. A task that comes back
//! after a failed attempt takes its old place.

use cuckoo_primitives::{
	task::{Attempt, ModelHash, TaskId},
	AccountId, H256,
};
use std::collections::{BTreeSet, HashMap, VecDeque};

/// What the scheduler must know of a task that waits.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Waiting {
	/// Order of acceptance.
	pub seq: i64,
	/// The task.
	pub task: TaskId,
	/// The model it needs.
	pub model: ModelHash,
	/// Hash of its spec.
	pub spec_hash: H256,
	/// Its denoising steps: the lease's length depends on them.
	pub steps: u16,
	/// The number of the next draw.
	pub next_attempt: Attempt,
	/// Miners that failed it.
	pub failed_miners: Vec<AccountId>,
	/// When it stops waiting.
	pub until_ms: u64,
}

/// The queue: first in, first out within a model; between models the oldest that can be served.
#[derive(Clone, Debug, Default)]
pub struct Queue {
	by_model: HashMap<ModelHash, VecDeque<Waiting>>,
	overdue: BTreeSet<(u64, i64, TaskId, ModelHash)>,
}

impl Queue {
	/// How many wait.
	pub fn len(&self) -> usize {
		self.overdue.len()
	}

	/// Whether none waits.
	pub fn is_empty(&self) -> bool {
		self.overdue.is_empty()
	}

	/// Puts a task in its place. A task that is there already stays as it is.
	pub fn insert(&mut self, waiting: Waiting) {
		let line = self.by_model.entry(waiting.model).or_default();
		if let Err(place) = line.binary_search_by_key(&waiting.seq, |other| other.seq) {
			self.overdue
				.insert((waiting.until_ms, waiting.seq, waiting.task, waiting.model));
			line.insert(place, waiting);
		}
	}

	/// Takes a task out.
	pub fn remove(&mut self, model: &ModelHash, seq: i64) -> Option<Waiting> {
		let line = self.by_model.get_mut(model)?;
		let place = line.binary_search_by_key(&seq, |other| other.seq).ok()?;
		let waiting = line.remove(place)?;
		if line.is_empty() {
			self.by_model.remove(model);
		}
		self.overdue
			.remove(&(waiting.until_ms, waiting.seq, waiting.task, waiting.model));
		Some(waiting)
	}

	/// How many were accepted before this one and still wait.
	pub fn before(&self, seq: i64) -> u64 {
		self.by_model
			.values()
			.map(|line| line.partition_point(|other| other.seq < seq) as u64)
			.sum()
	}

	/// The models that are waited for, the one with the oldest task first.
	pub fn models(&self) -> Vec<ModelHash> {
		let mut heads: Vec<(i64, ModelHash)> = self
			.by_model
			.iter()
			.filter_map(|(model, line)| line.front().map(|head| (head.seq, *model)))
			.collect();
		heads.sort_unstable();
		heads.into_iter().map(|(_, model)| model).collect()
	}

	/// The tasks that wait for a model, oldest first.
	pub fn line(&self, model: &ModelHash) -> impl Iterator<Item = &Waiting> {
		self.by_model.get(model).into_iter().flatten()
	}

	/// Lets every task wait at least until then.
	pub fn keep_until(&mut self, until_ms: u64) {
		self.overdue.clear();
		for waiting in self.by_model.values_mut().flatten() {
			waiting.until_ms = waiting.until_ms.max(until_ms);
			let Waiting {
				until_ms,
				seq,
				task,
				model,
				..
			} = *waiting;
			self.overdue.insert((until_ms, seq, task, model));
		}
	}

	/// The tasks that have waited too long.
	pub fn overdue(&self, now_ms: u64) -> Vec<TaskId> {
		let late = self
			.overdue
			.iter()
			.take_while(|(until, ..)| *until <= now_ms);
		late.map(|(_, _, task, _)| *task).collect()
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	fn waiting(seq: i64, model: u8, until_ms: u64) -> Waiting {
		Waiting {
			seq,
			task: TaskId([seq as u8; 16]),
			model: H256::repeat_byte(model),
			spec_hash: H256::zero(),
			steps: 1,
			next_attempt: 0,
			failed_miners: Vec::new(),
			until_ms,
		}
	}

	#[test]
	fn keeps_the_order_of_acceptance_also_for_tasks_that_come_back() {
		let mut queue = Queue::default();
		for (seq, model) in [(2, 1), (4, 2), (5, 1), (1, 2)] {
			queue.insert(waiting(seq, model, 100));
		}
		queue.insert(waiting(4, 2, 999));
		assert_eq!(queue.len(), 4);
		assert_eq!(
			queue.models(),
			vec![H256::repeat_byte(2), H256::repeat_byte(1)]
		);
		assert_eq!([1, 2, 4, 5].map(|seq| queue.before(seq)), [0, 1, 2, 3]);
		queue.remove(&H256::repeat_byte(1), 2).unwrap();
		assert_eq!(queue.remove(&H256::repeat_byte(1), 2), None);
		assert_eq!(queue.before(5), 2);
		queue.insert(waiting(2, 1, 100));
		let line: Vec<i64> = queue.line(&H256::repeat_byte(1)).map(|w| w.seq).collect();
		assert_eq!(line, vec![2, 5]);
	}

	#[test]
	fn waits_can_be_prolonged_and_are_not_cut_short() {
		let mut queue = Queue::default();
		queue.insert(waiting(1, 1, 10));
		queue.insert(waiting(2, 2, 50));
		queue.keep_until(20);
		assert_eq!((queue.overdue(19), queue.len()), (vec![], 2));
		assert_eq!(queue.overdue(20), vec![TaskId([1; 16])]);
		assert_eq!(queue.overdue(50).len(), 2);
		queue.remove(&H256::repeat_byte(1), 1).unwrap();
		assert_eq!(queue.len(), 1, "the two tables still agree");
	}

	#[test]
	fn names_the_overdue_until_they_are_taken_out() {
		let mut queue = Queue::default();
		queue.insert(waiting(1, 1, 10));
		queue.insert(waiting(2, 1, 5));
		assert_eq!(queue.overdue(4), vec![]);
		assert_eq!(queue.overdue(5), vec![TaskId([2; 16])]);
		queue.remove(&H256::repeat_byte(1), 2);
		assert_eq!(queue.overdue(10), vec![TaskId([1; 16])]);
		queue.remove(&H256::repeat_byte(1), 1);
		assert!(queue.is_empty());
	}
}
