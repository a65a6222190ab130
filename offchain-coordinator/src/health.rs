//! A miner's health: failures in a row lead to a suspension that doubles, a success clears it. After a
//! suspension the miner is on probation, as one is that is new here: it gets one task at a time until
//! enough of its results stand. All this is the coordinator's own opinion, costs no stake, changes no
//! weight in a draw, and ends by itself.

use crate::{clock::UnixMs, state::Ending};

/// How often a suspension doubles at most.
const MAX_DOUBLINGS: u32 = 6;

/// How many results must stand before a miner that is new, or was suspended, gets more than one task at
/// a time: a stranger's first failures cost few apps their time.
pub const PROBATION_RESULTS: u32 = 3;

/// How a miner has done of late.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Health {
	failures_in_a_row: u32,
	suspended_until_ms: UnixMs,
	reason: &'static str,
	/// Results that must stand until probation ends.
	probation: u32,
}

impl Health {
	/// The miner failed an attempt. A miner that says so itself is only suspended when it happens
	/// twice in a row: giving a task back costs the app least.
	pub fn failed(&mut self, ending: Ending, now_ms: UnixMs, base_ms: u64) {
		self.failures_in_a_row = self.failures_in_a_row.saturating_add(1);
		let severity = match ending {
			Ending::Done | Ending::Cancelled => return,
			Ending::Reported | Ending::Lost => self.failures_in_a_row.saturating_sub(1),
			Ending::NotPickedUp | Ending::LeaseExpired | Ending::InvalidResult => {
				self.failures_in_a_row
			},
		};
		if severity == 0 {
			return;
		}
		let doublings = (severity - 1).min(MAX_DOUBLINGS);
		self.suspended_until_ms = now_ms.saturating_add(base_ms.saturating_mul(1 << doublings));
		self.probation = PROBATION_RESULTS;
		self.reason = match ending {
			Ending::Reported => "it reported failures in a row",
			Ending::Lost => "it lost tasks in a row",
			Ending::NotPickedUp => "it did not fetch a task that it was drawn for",
			Ending::LeaseExpired => "a lease ran out",
			Ending::InvalidResult => "its result was not what was asked for",
			Ending::Done | Ending::Cancelled => "",
		};
	}

	/// The miner's result stands.
	pub fn succeeded(&mut self) {
		*self = Self {
			probation: self.probation.saturating_sub(1),
			..Self::default()
		};
	}

	/// The task was at fault: one failure is forgiven, with the suspension that it brought.
	pub fn pardoned(&mut self) {
		self.failures_in_a_row = self.failures_in_a_row.saturating_sub(1);
		self.suspended_until_ms = 0;
		if self.failures_in_a_row == 0 {
			self.probation = 0;
		}
	}

	/// Whether nothing is held against the miner.
	pub fn is_clean(&self) -> bool {
		self.failures_in_a_row == 0 && self.probation == 0
	}

	/// Whether it was suspended and too few of its results have stood since.
	pub fn is_on_probation(&self) -> bool {
		self.probation > 0
	}

	/// Why the miner is suspended now, as a sentence.
	pub fn suspension(&self, now_ms: UnixMs) -> Option<String> {
		let left = self
			.suspended_until_ms
			.checked_sub(now_ms)
			.filter(|left| *left > 0)?;
		let seconds = left.div_ceil(1_000);
		Some(format!(
			"suspended for {seconds} s more, because {}",
			self.reason
		))
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn suspensions_double_and_end_by_themselves() {
		let mut health = Health::default();
		health.failed(Ending::LeaseExpired, 0, 1_000);
		assert!(health.suspension(999).unwrap().contains("a lease ran out"));
		assert_eq!(health.suspension(1_000), None);
		health.failed(Ending::LeaseExpired, 1_000, 1_000);
		assert!(health.suspension(2_999).is_some());
		for _ in 0..100 {
			health.failed(Ending::LeaseExpired, 0, 1_000);
		}
		assert!(health.suspension(63_999).is_some());
		assert_eq!(health.suspension(64_000), None);
		health.succeeded();
		assert_eq!(health.suspension(0), None);
	}

	#[test]
	fn a_suspension_is_followed_by_probation_until_enough_results_stand() {
		let mut health = Health::default();
		health.failed(Ending::InvalidResult, 0, 1_000);
		for _ in 0..PROBATION_RESULTS {
			assert!(health.is_on_probation() && !health.is_clean());
			health.succeeded();
		}
		assert!(!health.is_on_probation() && health.is_clean());

		health.failed(Ending::Reported, 0, 1_000);
		assert!(!health.is_on_probation(), "no suspension, no probation");
		health.failed(Ending::Reported, 0, 1_000);
		assert!(health.is_on_probation());
		health.pardoned();
		assert!(health.is_on_probation(), "one failure is left");
		health.pardoned();
		assert!(!health.is_on_probation());
	}

	#[test]
	fn one_task_given_back_costs_nothing() {
		let mut health = Health::default();
		health.failed(Ending::Reported, 0, 1_000);
		assert_eq!(health.suspension(0), None);
		health.failed(Ending::Reported, 0, 1_000);
		assert!(health.suspension(0).unwrap().contains("reported failures"));
		health.pardoned();
		assert_eq!(health.suspension(0), None);
	}
}
