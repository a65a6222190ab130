//! What is asked for and what is held, as coordinators name it and as the engine does.

use cuckoo_coordinator_api::task::ModelInfo;
use cuckoo_diffusion::{ModelFolder, Options, Request, Scheduler};
use cuckoo_primitives::{
	task::{SchedulerKind, TaskSpec},
	H256,
};

/// A model as coordinators are told of it.
pub fn model_info(folder: &ModelFolder) -> ModelInfo {
	ModelInfo {
		hash: H256(folder.hash()),
		name: folder.name().to_owned(),
		default_size: folder.default_size(),
		size_multiple: folder.size_multiple(),
		max_size: folder.max_size(),
		default_steps: folder.default_steps(),
		default_guidance_milli: milli(folder.default_guidance()),
	}
}

/// A guidance scale in thousandths, as specs have it; out of range it becomes the nearest there is.
pub fn milli(guidance: f32) -> u32 {
	// A float that is cast saturates, and not-a-number becomes zero.
	(f64::from(guidance) * 1_000.0).round() as u32
}

/// The engine's scheduler as specs name it.
pub fn scheduler_kind(scheduler: Scheduler) -> SchedulerKind {
	match scheduler {
		Scheduler::Ddim => SchedulerKind::Ddim,
		Scheduler::Euler => SchedulerKind::Euler,
		Scheduler::Pndm => SchedulerKind::Pndm,
		Scheduler::EulerAncestral => SchedulerKind::EulerAncestral,
		Scheduler::DpmPlusPlus2m => SchedulerKind::DpmPlusPlus2m,
		Scheduler::UniPc => SchedulerKind::UniPc,
		Scheduler::Lcm => SchedulerKind::Lcm,
	}
}

/// A spec's scheduler as the engine names it.
pub fn scheduler(kind: SchedulerKind) -> Scheduler {
	match kind {
		SchedulerKind::Ddim => Scheduler::Ddim,
		SchedulerKind::Euler => Scheduler::Euler,
		SchedulerKind::Pndm => Scheduler::Pndm,
		SchedulerKind::EulerAncestral => Scheduler::EulerAncestral,
		SchedulerKind::DpmPlusPlus2m => Scheduler::DpmPlusPlus2m,
		SchedulerKind::UniPc => Scheduler::UniPc,
		SchedulerKind::Lcm => Scheduler::Lcm,
	}
}

/// Megapixels times steps: what the time that a picture takes is about proportional to.
pub fn megapixel_steps(spec: &TaskSpec) -> f64 {
	f64::from(spec.width) * f64::from(spec.height) * f64::from(spec.steps) / 1e6
}

/// What the engine is asked for a task.
pub fn request(spec: &TaskSpec) -> Request {
	Request {
		prompt: spec.prompt.clone(),
		negative_prompt: spec.negative_prompt.clone(),
		seed: spec.seed,
		steps: spec.steps,
		width: spec.width,
		height: spec.height,
		guidance: spec.guidance_milli as f32 / 1_000.0,
		scheduler: scheduler(spec.scheduler),
		options: Options::default(),
	}
}

/// What the PNG says about itself. Nothing but the spec and the model's name: the same task gives
/// the same bytes.
pub fn parameters(spec: &TaskSpec, model: &str) -> Vec<(&'static str, String)> {
	let mut parameters = vec![
		("Software", "Cuckoo offchain-miner".to_owned()),
		("prompt", spec.prompt.clone()),
		("seed", spec.seed.to_string()),
		("steps", spec.steps.to_string()),
		(
			"guidance",
			format!("{}", f64::from(spec.guidance_milli) / 1_000.0),
		),
		("scheduler", scheduler(spec.scheduler).to_string()),
		("model", model.to_owned()),
		("model_hash", format!("{:?}", spec.model)),
		("spec_hash", format!("{:?}", spec.hash())),
	];
	if !spec.negative_prompt.is_empty() {
		parameters.push(("negative_prompt", spec.negative_prompt.clone()));
	}
	parameters
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn specs_and_the_engine_name_schedulers_alike() {
		for ours in Scheduler::ALL {
			let kind = scheduler_kind(ours);
			assert_eq!(scheduler(kind), ours);
			assert_eq!(serde_json::to_value(kind).unwrap(), ours.name());
		}
	}

	#[test]
	fn guidance_keeps_its_thousandths_and_nonsense_is_bounded() {
		assert_eq!(milli(7.5), 7_500);
		assert_eq!(milli(2.001), 2_001);
		assert_eq!(milli(-1.0), 0);
		assert_eq!(milli(f32::NAN), 0);
		assert_eq!(milli(f32::INFINITY), u32::MAX);
	}
}
