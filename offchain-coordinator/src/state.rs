//! The life of a task. Every transition there is stands in [`Stage::after`]; the store applies each
//! as one compare-and-set, so that of two events that exclude each other exactly one happens.
//!
//! ```text
//! queued ──assign──▶ assigned ──start──▶ running ──submit──▶ submitted ──accept──▶ done
//!   │  ▲                │  └──────────────submit──────────────▲   │
//!   │  └────fail────────┴────────fail───────┴───────fail──────┼───┘
//!   ├─expire─▶ expired      cancel (from queued, assigned, running) ─▶ cancelled
//!   └ fail, when too many miners have failed ─▶ failed
//! ```

use cuckoo_coordinator_api::task::TaskState;
use cuckoo_primitives::{task::Attempt, AccountId};

/// A task that this many different miners failed is at fault itself.
pub const POISON_MINERS: usize = 3;

/// A task that failed this often, also by the same miners, is given up.
pub const MAX_FAILURES: u32 = 6;

/// What transitions depend on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stage {
	/// Where the task stands.
	pub state: TaskState,
	/// The attempt at work or the last one.
	pub attempt: Option<Attempt>,
	/// How many attempts have failed.
	pub failures: u32,
	/// The different miners that failed.
	pub failed_miners: Vec<AccountId>,
}

impl Stage {
	/// A task that was just accepted.
	pub fn new() -> Self {
		Self {
			state: TaskState::Queued,
			attempt: None,
			failures: 0,
			failed_miners: Vec::new(),
		}
	}

	/// The number of the next draw.
	pub fn next_attempt(&self) -> Attempt {
		self.attempt.map_or(0, |last| last.saturating_add(1))
	}
}

impl Default for Stage {
	fn default() -> Self {
		Self::new()
	}
}

/// What happens to a task.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
	/// A miner was drawn for this attempt.
	Assign(Attempt),
	/// The miner reported progress for the first time.
	Start(Attempt),
	/// The miner submitted a signed result.
	Submit(Attempt),
	/// The result was checked and stands.
	Accept(Attempt),
	/// The attempt came to nothing.
	Fail {
		/// Which.
		attempt: Attempt,
		/// Whose.
		miner: AccountId,
	},
	/// The app wants it no more.
	Cancel,
	/// It waited too long.
	Expire,
}

impl Event {
	/// Whether what follows hangs on how often the task has failed. Of a stage that is made for another
	/// event the failures need not be known.
	pub const fn counts_failures(&self) -> bool {
		matches!(self, Event::Fail { .. })
	}

	/// What the event does, if it says so itself: the task need not be read before.
	pub fn step(&self) -> Option<Step> {
		use TaskState::*;
		let step = |from, before, attempt: &Attempt, to| {
			Some(Step {
				from,
				before,
				attempt: *attempt,
				to,
			})
		};
		match self {
			Event::Assign(attempt) => step([Queued; 2], attempt.checked_sub(1), attempt, Assigned),
			Event::Start(attempt) => step([Assigned; 2], Some(*attempt), attempt, Running),
			Event::Submit(attempt) => step([Assigned, Running], Some(*attempt), attempt, Submitted),
			Event::Accept(attempt) => step([Submitted; 2], Some(*attempt), attempt, Done),
			Event::Fail { .. } | Event::Cancel | Event::Expire => None,
		}
	}
}

/// A transition from known states to a known one, as one compare-and-set.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Step {
	/// The states it leads from.
	pub from: [TaskState; 2],
	/// The attempt before it.
	pub before: Option<Attempt>,
	/// The attempt after it.
	pub attempt: Attempt,
	/// The state it leads to.
	pub to: TaskState,
}

/// Why an event does not happen.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refusal {
	/// The task has ended.
	#[error("the task is {}", .0.name())]
	Ended(TaskState),
	/// Another attempt is at work, or none.
	#[error("the attempt is not at work")]
	NotAtWork,
	/// This attempt's result is in already.
	#[error("the attempt's result is in already")]
	AlreadySubmitted,
	/// The task's state has no such way out.
	#[error("that cannot happen to a task that is {}", .0.name())]
	NotFrom(TaskState),
}

impl Stage {
	/// The stage after `event`, or why it stays. Pure: no clock, no storage.
	pub fn after(&self, event: &Event) -> Result<Stage, Refusal> {
		use TaskState::*;
		let at_work = |attempt: Attempt| match self.attempt {
			Some(current) if current == attempt => Ok(()),
			_ => Err(Refusal::NotAtWork),
		};
		let to = |state| {
			Ok(Stage {
				state,
				..self.clone()
			})
		};
		match (event, self.state) {
			// A late second submit is told so even after the task has ended by the first.
			(Event::Submit(attempt), Submitted | Done) => {
				at_work(*attempt)?;
				Err(Refusal::AlreadySubmitted)
			},
			(_, state) if state.is_final() => Err(Refusal::Ended(state)),

			(Event::Assign(attempt), Queued) if *attempt == self.next_attempt() => Ok(Stage {
				state: Assigned,
				attempt: Some(*attempt),
				..self.clone()
			}),
			(Event::Assign(_), Queued) => Err(Refusal::NotAtWork),
			(Event::Start(attempt), Assigned) => at_work(*attempt).and_then(|()| to(Running)),
			(Event::Submit(attempt), Assigned | Running) => {
				at_work(*attempt).and_then(|()| to(Submitted))
			},
			(Event::Accept(attempt), Submitted) => at_work(*attempt).and_then(|()| to(Done)),
			(Event::Fail { attempt, miner }, Assigned | Running | Submitted) => {
				at_work(*attempt)?;
				Ok(self.after_failure(miner))
			},
			(Event::Cancel, Queued | Assigned | Running) => to(Cancelled),
			(Event::Expire, Queued) => to(Expired),
			(Event::Submit(_) | Event::Fail { .. } | Event::Start(_), Queued) => {
				Err(Refusal::NotAtWork)
			},
			(_, state) => Err(Refusal::NotFrom(state)),
		}
	}

	fn after_failure(&self, miner: &AccountId) -> Stage {
		let mut next = self.clone();
		next.failures = self.failures.saturating_add(1);
		if !next.failed_miners.contains(miner) {
			next.failed_miners.push(miner.clone());
		}
		next.state = if next.is_poison() || next.failures >= MAX_FAILURES {
			TaskState::Failed
		} else {
			TaskState::Queued
		};
		next
	}

	/// Whether so many different miners failed that the task is at fault and not they.
	pub fn is_poison(&self) -> bool {
		self.failed_miners.len() >= POISON_MINERS
	}
}

/// How an attempt ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
	/// Its result stands.
	Done,
	/// The miner said that it failed.
	Reported,
	/// The miner no longer had it.
	Lost,
	/// The miner did not fetch it in time.
	NotPickedUp,
	/// The lease ran out.
	LeaseExpired,
	/// What was submitted is not what was asked for.
	InvalidResult,
	/// The app cancelled the task.
	Cancelled,
}

impl Ending {
	/// Every ending.
	pub const ALL: [Ending; 7] = [
		Ending::Done,
		Ending::Reported,
		Ending::Lost,
		Ending::NotPickedUp,
		Ending::LeaseExpired,
		Ending::InvalidResult,
		Ending::Cancelled,
	];

	/// The name in the store.
	pub const fn name(self) -> &'static str {
		match self {
			Ending::Done => "done",
			Ending::Reported => "reported",
			Ending::Lost => "lost",
			Ending::NotPickedUp => "not_picked_up",
			Ending::LeaseExpired => "lease_expired",
			Ending::InvalidResult => "invalid_result",
			Ending::Cancelled => "cancelled",
		}
	}

	/// The ending of that name.
	pub fn from_name(name: &str) -> Option<Self> {
		Self::ALL.into_iter().find(|ending| ending.name() == name)
	}

	/// Whether the miner failed the task.
	pub const fn is_failure(self) -> bool {
		!matches!(self, Ending::Done | Ending::Cancelled)
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use proptest::prelude::*;

	fn miner(number: u8) -> AccountId {
		AccountId::new([number; 32])
	}

	fn event() -> impl Strategy<Value = Event> {
		let attempt = 0u32..8;
		prop_oneof![
			4 => attempt.clone().prop_map(Event::Assign),
			2 => attempt.clone().prop_map(Event::Start),
			2 => attempt.clone().prop_map(Event::Submit),
			1 => attempt.clone().prop_map(Event::Accept),
			2 => (attempt, 0u8..5)
				.prop_map(|(attempt, who)| Event::Fail { attempt, miner: miner(who) }),
			1 => Just(Event::Cancel),
			1 => Just(Event::Expire),
		]
	}

	proptest! {
		/// Over any sequence of events: final states stay, attempts only count up, a task is done only
		/// by one submit and its acceptance, and the number of failures is bounded.
		#[test]
		fn random_events_keep_the_rules(events in prop::collection::vec(event(), 0..200)) {
			let mut stage = Stage::new();
			let mut submits = std::collections::HashSet::new();
			for event in &events {
				let before = stage.clone();
				let outcome = before.after(event);
				if !event.counts_failures() {
					let blank = Stage { failures: 0, failed_miners: Vec::new(), ..before.clone() };
					let state = |stage: Result<Stage, Refusal>| stage.map(|it| (it.state, it.attempt));
					prop_assert_eq!(state(blank.after(event)), state(outcome.clone()));
				}
				if let Some(step) = event.step() {
					let fits = step.from.contains(&before.state) && step.before == before.attempt;
					let taken = fits.then_some((step.to, Some(step.attempt)));
					prop_assert_eq!(taken, outcome.as_ref().ok().map(|it| (it.state, it.attempt)));
				}
				let Ok(after) = outcome else { continue };
				prop_assert!(!before.state.is_final(), "{:?} left {:?}", event, before.state);
				prop_assert!(after.attempt >= before.attempt);
				prop_assert!(after.failures <= MAX_FAILURES);
				prop_assert!(after.failed_miners.len() <= POISON_MINERS);
				match event {
					Event::Submit(attempt) => prop_assert!(
						submits.insert(*attempt), "attempt {attempt} was submitted twice"
					),
					Event::Accept(attempt) => prop_assert!(submits.contains(attempt)),
					Event::Assign(attempt) => prop_assert_eq!(*attempt, before.next_attempt()),
					Event::Fail { .. } => prop_assert!(
						matches!(after.state, TaskState::Queued | TaskState::Failed)
					),
					_ => {},
				}
				prop_assert_eq!(after.state == TaskState::Done, matches!(event, Event::Accept(_)));
				stage = after;
			}
		}

		/// No task is stuck: from every stage that has not ended some event leads on.
		#[test]
		fn every_open_stage_has_a_way_out(events in prop::collection::vec(event(), 0..60)) {
			let stage = events.iter().fold(Stage::new(), |stage, event| {
				stage.after(event).unwrap_or(stage)
			});
			let fail = Event::Fail { attempt: stage.attempt.unwrap_or(0), miner: miner(1) };
			let way_out = stage.after(&fail).is_ok() || stage.after(&Event::Expire).is_ok();
			prop_assert_eq!(way_out, !stage.state.is_final());
		}
	}

	#[test]
	fn three_different_miners_make_a_poison_task_and_one_miner_does_not() {
		let failed = |who: &[u8]| {
			who.iter()
				.enumerate()
				.fold(Stage::new(), |stage, (attempt, who)| {
					let attempt = attempt as Attempt;
					let assigned = stage.after(&Event::Assign(attempt)).unwrap();
					assigned
						.after(&Event::Fail {
							attempt,
							miner: miner(*who),
						})
						.unwrap()
				})
		};
		assert_eq!(failed(&[1, 2]).state, TaskState::Queued);
		assert_eq!(failed(&[1, 1, 2, 2]).state, TaskState::Queued);
		assert!(failed(&[1, 2, 3]).is_poison());
		assert_eq!(failed(&[1, 2, 3]).state, TaskState::Failed);
		assert_eq!(failed(&[1; MAX_FAILURES as usize]).state, TaskState::Failed);
	}

	#[test]
	fn a_second_submit_is_told_apart_from_a_foreign_one() {
		let submitted = Stage::new()
			.after(&Event::Assign(0))
			.and_then(|s| s.after(&Event::Submit(0)))
			.unwrap();
		assert_eq!(
			submitted.after(&Event::Submit(0)),
			Err(Refusal::AlreadySubmitted)
		);
		assert_eq!(submitted.after(&Event::Submit(1)), Err(Refusal::NotAtWork));
		let done = submitted.after(&Event::Accept(0)).unwrap();
		assert_eq!(
			done.after(&Event::Submit(0)),
			Err(Refusal::AlreadySubmitted)
		);
		assert_eq!(
			done.after(&Event::Cancel),
			Err(Refusal::Ended(TaskState::Done))
		);
		assert_eq!(
			submitted.after(&Event::Cancel),
			Err(Refusal::NotFrom(TaskState::Submitted))
		);
	}
}
