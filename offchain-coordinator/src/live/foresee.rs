//! How long tasks are likely to take, by what they took of late and what waits.

use super::{Live, COUNT_ALWAYS_BELOW};
use crate::{
	apps::AppId,
	clock::UnixMs,
	eta::Slots,
	queue::Waiting,
	settle,
	store::{Past, TaskRow},
};
use cuckoo_coordinator_api::task::TaskState;
use cuckoo_primitives::{
	task::{ModelHash, TaskId, TaskSpec},
	H256,
};
use std::collections::HashMap;

impl Live {
	/// An accepted result tells how long such tasks take.
	pub fn learn(&mut self, past: &Past) {
		let work = settle::pixel_steps(&past.spec);
		let (model, device) = (past.spec.model, past.commitment.device);
		self.speeds.record(model, device, work, past.took_ms);
	}

	/// The position that a task would have, and how long it would take, if it came now.
	pub fn foresee(&self, app: &AppId, priority: u8, spec: &TaskSpec) -> (u64, Option<u64>) {
		let waiting = Waiting {
			seq: i64::MAX,
			task: TaskId([0; 16]),
			app: app.clone(),
			priority,
			model: spec.model,
			spec_hash: H256::zero(),
			steps: spec.steps,
			pixel_steps: settle::pixel_steps(spec),
			next_attempt: 0,
			failed_miners: Vec::new(),
			until_ms: UnixMs::MAX,
			draw_by_ms: UnixMs::MAX,
			pay: 0,
		};
		(self.queue.before(&waiting), self.eta_waiting_ms(&waiting))
	}

	/// How long until a task is likely to be done, of which so many steps are done.
	pub(super) fn eta_ms(&self, task: &TaskRow, steps_done: u16) -> Option<u64> {
		if let Some(waiting) = self.queue.get(task.seq) {
			return self.eta_waiting_ms(waiting);
		}
		if task.state == TaskState::Submitted {
			return Some(0);
		}
		let miner = &self.leases.get(&task.id)?.assignment.miner;
		let device = self.miners.get(miner)?.device;
		let steps = u64::from(task.spec.steps.max(1));
		let left = steps.saturating_sub(steps_done.into());
		let work = settle::pixel_steps(&task.spec) / steps * left;
		self.speeds.task_ms(&task.spec.model, &device, work)
	}

	fn eta_waiting_ms(&self, waiting: &Waiting) -> Option<u64> {
		let model = &waiting.model;
		let counted = self.miners.len() < COUNT_ALWAYS_BELOW;
		let counted = counted.then(|| self.count_slots(|other| other == model));
		let slots = counted.as_ref().unwrap_or(&self.slots).get(model)?;
		let work_before = self.queue.work_before(waiting);
		let somebody_is_free = self.draw.model_weight(model) > 0;
		self.speeds.eta_ms(
			model,
			slots,
			waiting.pixel_steps,
			work_before,
			somebody_is_free,
		)
	}

	/// The slots of all miners that are well, for the models asked for.
	pub(super) fn count_slots(
		&self,
		asked: impl Fn(&ModelHash) -> bool,
	) -> HashMap<ModelHash, Slots> {
		let mut slots: HashMap<ModelHash, Slots> = HashMap::new();
		for (account, miner) in &self.miners {
			if self
				.lacks_health(account, miner, self.refreshed_ms)
				.is_some()
			{
				continue;
			}
			for model in miner.models.iter().filter(|model| asked(model)) {
				let classes = slots.entry(*model).or_default();
				*classes.entry(miner.device).or_default() += u32::from(miner.slots);
			}
		}
		slots
	}
}
