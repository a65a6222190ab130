//! What only many draws together show. It keeps a few words of each, not the lists.

use super::check::{Check, Name};
use cuckoo_chain_client::Registry;
use cuckoo_coordinator_api::{task::DrawProof, Amount};
use cuckoo_primitives::{
	signing,
	task::{Attempt, TaskId},
	AccountId, Balance, Role, H256,
};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// The draws of a run, as far as they were looked at.
#[derive(Debug, Default)]
pub struct Run {
	tasks: BTreeSet<TaskId>,
	draws: u64,
	deviations: BTreeMap<Name, u64>,
	unsound: u64,
	unanswered: u64,
	unchecked: u64,
	/// The signed assignments by attempt.
	assigned: HashMap<(AccountId, TaskId, Attempt), H256>,
	caps: HashMap<AccountId, Caps>,
	/// In how many lists each miner was that was active on chain at any of the blocks.
	listed: BTreeMap<AccountId, u64>,
}

/// What the weights of one coordinator's draws say about its cap.
#[derive(Clone, Copy, Debug, Default)]
struct Caps {
	/// A weight below its stake: that is the cap.
	cap: Option<Balance>,
	/// The largest weight that was its whole stake: the cap is not below it.
	at_least: Balance,
}

/// What came of a run.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Summary {
	/// Tasks with a draw.
	pub tasks: u64,
	/// Draws that were checked.
	pub draws: u64,
	/// Draws with a deviation.
	pub unsound: u64,
	/// Draws, or tasks, about which the coordinator gave no answer.
	pub unanswered: u64,
	/// Draws that were to be checked against the chain, and whose block's state the node did not give.
	pub unchecked: u64,
	/// How often each check failed.
	pub deviations: BTreeMap<Name, u64>,
	/// Miners that were active on chain and in none of the lists. Nothing public says whether they
	/// could have been: they know, from what their polls were answered.
	pub never_listed: Vec<AccountId>,
}

impl Summary {
	/// Whether the coordinator shows something else than it must.
	pub fn has_deviation(&self) -> bool {
		self.unsound > 0 || self.unanswered > 0
	}

	/// Whether every draw was there, was looked at, and is as it must be.
	pub fn is_sound(&self) -> bool {
		!self.has_deviation() && self.unchecked == 0
	}
}

impl Run {
	/// Adds a draw whose own checks are given, and adds to them what the draws before it show.
	pub fn add(&mut self, proof: &DrawProof, registry: Option<&Registry>, checks: &mut Vec<Check>) {
		self.tasks.insert(proof.assignment.task);
		self.draws += 1;
		checks.push(self.one_assignment(proof));
		if let Some(registry) = registry {
			checks.push(self.one_cap(proof, registry));
			self.count_listed(proof, registry);
		}
		let failed = checks.iter().filter(|check| !check.ok);
		let mut unsound = false;
		for check in failed {
			*self.deviations.entry(check.check).or_default() += 1;
			unsound = true;
		}
		self.unsound += u64::from(unsound);
	}

	/// Notes that the coordinator did not answer.
	pub fn unanswered(&mut self) {
		self.unanswered += 1;
	}

	/// Notes that the node did not answer.
	pub fn unchecked(&mut self) {
		self.unchecked += 1;
	}

	/// What came of it.
	pub fn summary(&self) -> Summary {
		let never = self.listed.iter().filter(|(_, lists)| **lists == 0);
		Summary {
			tasks: self.tasks.len() as u64,
			draws: self.draws,
			unsound: self.unsound,
			unanswered: self.unanswered,
			unchecked: self.unchecked,
			deviations: self.deviations.clone(),
			never_listed: never.map(|(miner, _)| miner.clone()).collect(),
		}
	}

	/// A second, different assignment for one attempt is what the chain slashes for.
	fn one_assignment(&mut self, proof: &DrawProof) -> Check {
		let assignment = &proof.assignment;
		let attempt = (
			assignment.coordinator.clone(),
			assignment.task,
			assignment.attempt,
		);
		let hash = signing::signing_hash(&proof.genesis_hash, assignment);
		let first = *self.assigned.entry(attempt).or_insert(hash);
		let finding = if first == hash {
			Ok(format!("{hash:?}"))
		} else {
			Err(format!(
				"another assignment was signed for this attempt: {first:?} and {hash:?}"
			))
		};
		Check::new(Name::OneAssignment, finding)
	}

	/// One draw alone cannot tell the heaviest miner's weight from a lower cap; two can.
	fn one_cap(&mut self, proof: &DrawProof, registry: &Registry) -> Check {
		let before = self
			.caps
			.entry(proof.assignment.coordinator.clone())
			.or_default();
		let mut now = Caps::default();
		for entry in &proof.eligible {
			let stake = registry
				.operator(&entry.miner)
				.map_or(0, |it| it.total_stake);
			if entry.weight.0 < stake {
				now.cap = now.cap.max(Some(entry.weight.0));
			} else {
				now.at_least = now.at_least.max(entry.weight.0);
			}
		}
		let both = Caps {
			cap: before.cap.or(now.cap),
			at_least: before.at_least.max(now.at_least),
		};
		let differ = before
			.cap
			.zip(now.cap)
			.filter(|(before, now)| before != now);
		let finding = match (differ, both.cap) {
			(Some((before, now)), _) => Err(format!(
				"the weights have a cap of {}, in draws before it was {}",
				Amount(now),
				Amount(before)
			)),
			(None, Some(cap)) if cap < both.at_least => Err(format!(
				"a cap of {} in one draw, a weight of {} in another",
				Amount(cap),
				Amount(both.at_least)
			)),
			(None, Some(cap)) => Ok(Amount(cap).to_string()),
			(None, None) => Ok("none is seen".into()),
		};
		if finding.is_ok() {
			*before = both;
		}
		Check::new(Name::OneCap, finding)
	}

	fn count_listed(&mut self, proof: &DrawProof, registry: &Registry) {
		for miner in registry.of_role(Role::Miner).filter(|miner| miner.active) {
			self.listed.entry(miner.account.clone()).or_default();
		}
		for entry in &proof.eligible {
			*self.listed.entry(entry.miner.clone()).or_default() += 1;
		}
	}
}
