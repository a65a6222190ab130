//! What must hold, and what must be remembered to see it.

use crate::{
	chain::{account, COORDINATOR, GENESIS},
	world::World,
};
use cuckoo_coordinator_api::{
	miner::{Held, Work},
	task::{TaskState, TaskStatus},
};
use cuckoo_primitives::{
	signing,
	task::{Attempt, TaskId},
	AccountId, H256,
};
use offchain_coordinator::{
	admin::AttemptLine, coordinator::Coordinator, ledger::reconcile, miners::ATTEMPTS_PER_SLOT,
};
use offchain_miner::verify_draw::{check, Asked, OnChain, Said};
use std::{
	collections::{BTreeMap, BTreeSet},
	sync::Arc,
};

/// What was told to somebody.
#[derive(Debug, Default)]
pub struct Facts {
	/// The tasks that apps were told are accepted, each with its app.
	pub accepted: BTreeMap<TaskId, String>,
	/// The task of each app's idempotency key.
	pub keys: BTreeMap<(String, String), TaskId>,
	/// The final state that somebody was told.
	pub ended: BTreeMap<TaskId, TaskState>,
	/// The assignment of each attempt, by its hash.
	pub assigned: BTreeMap<(TaskId, Attempt), H256>,
	/// The results that miners were told stand.
	pub stands: BTreeMap<TaskId, Attempt>,
	/// The slots of each miner.
	pub slots: BTreeMap<AccountId, u16>,
}

impl World {
	/// An app was told that its task is accepted.
	pub fn told_accepted(&self, app: &str, key: Option<&str>, status: &TaskStatus) {
		let mut facts = self.facts();
		facts.accepted.insert(status.id, app.into());
		let Some(key) = key else { return };
		let before = facts.keys.insert((app.into(), key.into()), status.id);
		if before.is_some_and(|before| before != status.id) {
			let rule = format!(
				"the key {key} of {app} made two tasks: {before:?} and {}",
				status.id
			);
			drop(facts);
			self.trace.broken(rule);
		}
	}

	/// Somebody was told how a task stands. Answers can overtake each other, but an end is an end.
	pub fn told_status(&self, status: &TaskStatus) {
		let mut facts = self.facts();
		if !status.state.is_final() {
			return;
		}
		let before = facts.ended.insert(status.id, status.state);
		drop(facts);
		if before.is_some_and(|before| before != status.state) {
			let (id, now) = (status.id, status.state);
			self.trace
				.broken(format!("task {id} was {before:?} for good, and is {now:?}"));
		}
	}

	/// A miner was given work.
	pub fn told_work(&self, work: &Work) {
		let assignment = &work.assignment;
		let hash = signing::signing_hash(&GENESIS, assignment);
		let attempt = (assignment.task, assignment.attempt);
		let before = self.facts().assigned.insert(attempt, hash);
		if before.is_some_and(|before| before != hash) {
			self.trace
				.broken(format!("two assignments were signed for {attempt:?}"));
		}
	}

	/// A miner was told that its result stands.
	pub fn told_stands(&self, held: Held) {
		let before = self.facts().stands.insert(held.task, held.attempt);
		if before.is_some_and(|before| before != held.attempt) {
			let task = held.task;
			self.trace.broken(format!(
				"two results of task {task} stand: {before:?}, {held:?}"
			));
		}
	}

	/// What must hold at any time.
	pub async fn check_now(&self) {
		let Some(coordinator) = self.coordinator() else {
			return;
		};
		let tables = coordinator.tables();
		let mut held: BTreeMap<&AccountId, usize> = BTreeMap::new();
		for (_, miner, _) in tables.leased.values() {
			*held.entry(miner).or_default() += 1;
		}
		let slots = self.facts().slots.clone();
		for (miner, count) in held {
			let most = usize::from(slots.get(miner).copied().unwrap_or_default());
			if count > most * ATTEMPTS_PER_SLOT {
				self.trace
					.broken(format!("{miner} with {most} slots holds {count} attempts"));
			}
		}
		if let Some(both) = tables
			.queued
			.keys()
			.find(|task| tables.leased.contains_key(task))
		{
			self.trace
				.broken(format!("task {both} waits and is at work"));
		}
		self.check_limits(&coordinator).await;
	}

	/// No app has more new tasks waiting than it may. Tasks that come back are not counted.
	async fn check_limits(&self, coordinator: &Coordinator) {
		let Ok(tables) = coordinator.stored_tables().await else {
			return;
		};
		let mut waiting: BTreeMap<String, usize> = BTreeMap::new();
		let new = tables.queued.iter().filter(|(_, (next, _))| *next == 0);
		let facts = self.facts();
		for (task, _) in new {
			if let Some(app) = facts.accepted.get(task) {
				*waiting.entry(app.clone()).or_default() += 1;
			}
		}
		drop(facts);
		let most = self.settings().max_queued_per_app;
		for (app, count) in waiting {
			if count > most {
				self.trace
					.broken(format!("{count} new tasks of {app} wait, {most} may"));
			}
		}
	}

	/// What must hold once everything has healed and nothing is left to do.
	pub async fn check_end(&self) -> anyhow::Result<()> {
		let Some(coordinator) = self.coordinator() else {
			anyhow::bail!("no coordinator runs");
		};
		self.compare(&coordinator).await?;
		let accepted: BTreeSet<TaskId> = self.facts().accepted.keys().copied().collect();
		for id in accepted {
			self.check_task(&coordinator, id).await;
		}
		self.check_books(&coordinator).await
	}

	/// Every task that is done was charged once and earned for once, and nothing is held any more.
	async fn check_books(&self, coordinator: &Coordinator) -> anyhow::Result<()> {
		let books = coordinator.books().await?;
		let operator = account(COORDINATOR);
		let findings = reconcile::check(&books, Some((&self.money, &operator))).await?;
		for difference in &findings.differences {
			self.trace.broken(format!("the books: {difference}"));
		}
		if findings.held.0 > 0 {
			let held = findings.held;
			self.trace
				.broken(format!("all tasks have ended, and {held} is held"));
		}
		if self.settings().prices.default == 0 && findings.tasks > 0 {
			self.trace.broken("somebody pays where nothing has a price");
		}
		Ok(())
	}

	async fn check_task(&self, coordinator: &Arc<Coordinator>, id: TaskId) {
		let details = match coordinator.admin_task(id).await {
			Ok(details) => details,
			Err(error) => {
				self.trace
					.broken(format!("the accepted task {id} is not there: {error}"));
				return;
			},
		};
		let status = details.task;
		if !status.state.is_final() {
			self.trace
				.broken(format!("task {id} has not ended: {status:?}"));
			return;
		}
		self.told_status(&status);
		self.trace.note(
			"end",
			format_args!("{id} {:?} {:?}", status.state, status.attempt),
		);
		if let Err(rule) = attempts_fit(&status, &details.attempts) {
			self.trace
				.broken(format!("task {id}: {rule}: {:?}", details.attempts));
		}
		let stands = self.facts().stands.get(&id).copied();
		if stands.is_some() && (status.state != TaskState::Done || stands != status.attempt) {
			self.trace.broken(format!(
				"attempt {stands:?} of {id} was told to stand: {status:?}"
			));
		}
		let result = coordinator.task_result(id).await;
		if result.is_ok() != (status.state == TaskState::Done) {
			self.trace.broken(format!(
				"task {id} is {:?} and has {result:?}",
				status.state
			));
		}
		for line in &details.attempts {
			self.check_draw(coordinator, &status, line.attempt).await;
		}
	}

	/// What the coordinator says about a task, its draws aside.
	async fn said(&self, coordinator: &Coordinator, status: &TaskStatus) -> Said {
		let result = match status.state {
			TaskState::Done => {
				let result = coordinator.task_result(status.id).await;
				Some(result.map_err(|error| error.to_string()))
			},
			_ => None,
		};
		Said {
			status: status.clone(),
			result,
		}
	}

	/// The draw is as `verify-draw` wants it.
	async fn check_draw(&self, coordinator: &Coordinator, status: &TaskStatus, attempt: Attempt) {
		let id = status.id;
		let proof = match coordinator.draw_proof(id, Some(attempt)).await {
			Ok(proof) => proof,
			Err(error) => {
				self.trace
					.broken(format!("{id}/{attempt} has no proof: {error}"));
				return;
			},
		};
		let hash = signing::signing_hash(&GENESIS, &proof.assignment);
		let told = self.facts().assigned.get(&(id, attempt)).copied();
		if told.is_some_and(|told| told != hash) {
			self.trace.broken(format!(
				"{id}/{attempt}: another assignment was told to the miner"
			));
		}
		let Some(registry) = self.chain().at(&proof.assignment.block_hash) else {
			self.trace
				.broken(format!("{id}/{attempt} names a block that never was"));
			return;
		};
		let asked = Asked {
			task: Some(id),
			attempt: Some(attempt),
			spec: Some(status.spec.clone().into()),
			last: match status.attempt == Some(attempt) {
				true => Some(self.said(coordinator, status).await),
				false => None,
			},
			idempotency_key: None,
		};
		let chain = OnChain {
			genesis_hash: GENESIS,
			registry: Ok(&registry),
		};
		for check in check(&proof, &asked, Some(chain)) {
			if !check.ok {
				self.trace
					.broken(format!("the draw of {id}/{attempt}: {check:?}"));
			}
		}
	}
}

/// Attempts count from 0, every one has ended in one way, and a task is done by its last one.
fn attempts_fit(status: &TaskStatus, attempts: &[AttemptLine]) -> Result<(), String> {
	let numbers: Vec<Attempt> = attempts.iter().map(|line| line.attempt).collect();
	let expected: Vec<Attempt> = (0..numbers.len() as Attempt).collect();
	if numbers != expected || status.attempt != numbers.last().copied() {
		return Err(format!(
			"attempts {numbers:?}, the last of which is {:?}",
			status.attempt
		));
	}
	if let Some(open) = attempts.iter().find(|line| line.ending.is_none()) {
		return Err(format!("attempt {} has not ended", open.attempt));
	}
	let done = attempts
		.iter()
		.filter(|line| line.ending.as_deref() == Some("done"));
	let done: Vec<Attempt> = done.map(|line| line.attempt).collect();
	let expected: Vec<Attempt> = match status.state {
		TaskState::Done => status.attempt.into_iter().collect(),
		_ => Vec::new(),
	};
	if done == expected {
		Ok(())
	} else {
		Err(format!("{:?} with results of {done:?}", status.state))
	}
}

/// Notes how many slots a miner has.
pub fn has_slots(world: &World, number: u8, slots: u16) {
	world.facts().slots.insert(account(number), slots);
}
