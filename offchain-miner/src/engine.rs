//! The diffusion engine behind the [`device`](crate::device) thread: a task's spec to a painting.

use crate::{
	device::{DeviceError, Engine, Go, PaintError, Profile},
	outbox::Painting,
	trajectory,
};
use cuckoo_coordinator_api::{limits, task::ModelInfo};
use cuckoo_diffusion::{
	png, runtime, Control, Error, LoadOptions, ModelFolder, Options, Pipeline, Request, Scheduler,
	Stop,
};
use cuckoo_primitives::{
	merkle,
	task::{DeviceClass, SchedulerKind, TaskSpec},
	H256,
};
use std::path::PathBuf;
use tracing::info;

/// Runs the models of some folders, one loaded at a time: what a GPU's memory holds is the user's to
/// plan, by the models named.
pub struct DiffusionEngine {
	folders: Vec<ModelFolder>,
	options: LoadOptions,
	loaded: Loaded,
	trajectory: Option<PathBuf>,
}

struct Loaded {
	folder: usize,
	pipeline: Pipeline,
}

/// What to open.
#[derive(Clone, Debug)]
pub struct Setup {
	/// The ONNX Runtime library, if the user names one.
	pub library: Option<PathBuf>,
	/// The model folders, one at least. The first is loaded at the start.
	pub folders: Vec<ModelFolder>,
	/// Device and threads.
	pub options: LoadOptions,
	/// Where the trajectory of each painting is written, over the one before.
	pub trajectory: Option<PathBuf>,
}

/// Loads the library and the first model. Blocks for seconds.
pub fn open(setup: Setup) -> Result<(DiffusionEngine, Profile), DeviceError> {
	let Setup {
		library,
		folders,
		options,
		trajectory,
	} = setup;
	runtime::init(library.as_deref()).map_err(|error| DeviceError::Engine(error.to_string()))?;
	let first = folders
		.first()
		.ok_or_else(|| DeviceError::Engine("no model folder was named".into()))?;
	let pipeline = Pipeline::load(first, &options)
		.map_err(|error| DeviceError::Engine(format!("{}: {error}", first.path().display())))?;
	let profile = Profile {
		device: device_class(&pipeline),
		device_name: pipeline.device_name(),
		engine: pipeline
			.engine_profile()
			.chars()
			.take(limits::MAX_TEXT_BYTES / 4)
			.collect(),
		models: folders.iter().map(model_info).collect(),
	};
	let engine = DiffusionEngine {
		folders,
		options,
		loaded: Loaded {
			folder: 0,
			pipeline,
		},
		trajectory,
	};
	Ok((engine, profile))
}

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

fn device_class(pipeline: &Pipeline) -> DeviceClass {
	match pipeline.device_class() {
		cuckoo_diffusion::DeviceClass::Cpu => DeviceClass::Cpu,
		cuckoo_diffusion::DeviceClass::Cuda { major, minor } => DeviceClass::Cuda { major, minor },
	}
}

impl DiffusionEngine {
	/// The pipeline of this model, loaded if it is not the one that is.
	fn pipeline(&mut self, model: &H256) -> Result<(&str, &mut Pipeline), PaintError> {
		let folder = self
			.folders
			.iter()
			.position(|folder| folder.hash() == model.0)
			.ok_or_else(|| {
				PaintError::Failed(format!("this miner does not hold model {model:?}"))
			})?;
		if self.loaded.folder != folder {
			info!(model = self.folders[folder].name(), "loading");
			let pipeline = Pipeline::load(&self.folders[folder], &self.options)
				.map_err(|error| PaintError::Failed(error.to_string()))?;
			self.loaded = Loaded { folder, pipeline };
		}
		Ok((self.folders[folder].name(), &mut self.loaded.pipeline))
	}
}

impl Engine for DiffusionEngine {
	fn paint(
		&mut self,
		spec: &TaskSpec,
		observe: &mut dyn FnMut(u16) -> Go,
	) -> Result<Painting, PaintError> {
		self.paint_until(spec, &Stop::new(), observe)
	}

	fn paint_until(
		&mut self,
		spec: &TaskSpec,
		stop: &Stop,
		observe: &mut dyn FnMut(u16) -> Go,
	) -> Result<Painting, PaintError> {
		let keep = self.trajectory.clone();
		let (model, pipeline) = self.pipeline(&spec.model)?;
		let picture = pipeline
			.generate_until(
				&request(spec),
				stop,
				// PNDM runs the UNet more often than it has steps; a task has no more than it asked for.
				&mut |progress| match observe(progress.step.min(spec.steps)) {
					Go::On => Control::Continue,
					Go::Stop => Control::Cancel,
				},
			)
			.map_err(|error| match error {
				Error::Cancelled => PaintError::Stopped,
				other => PaintError::Failed(other.to_string()),
			})?;
		let leaves: Vec<H256> = picture
			.trajectory
			.leaves
			.iter()
			.map(|leaf| merkle::leaf_hash(leaf))
			.collect();
		if let Some(path) = keep {
			trajectory::write(&path, spec, &picture.trajectory.leaves)
				.map_err(|error| PaintError::Failed(format!("{error:#}")))?;
		}
		let parameters = parameters(spec, model);
		let parameters: Vec<(&str, &str)> = parameters
			.iter()
			.map(|(name, value)| (*name, value.as_str()))
			.collect();
		let png = png::encode(&picture, &parameters)
			.map_err(|error| PaintError::Failed(error.to_string()))?;
		Ok(Painting {
			png,
			trajectory_root: merkle::root(&leaves),
			engine_profile: sp_crypto_hashing::blake2_256(pipeline.engine_profile().as_bytes())
				.into(),
			device: device_class(pipeline),
		})
	}
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
fn parameters(spec: &TaskSpec, model: &str) -> Vec<(&'static str, String)> {
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
