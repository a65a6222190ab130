//! The diffusion engine behind the [`device`](crate::device) thread: a task's spec to a painting.

use crate::{
	device::{DeviceError, Engine, Go, PaintError, Profile},
	metrics::Metrics,
	outbox::Painting,
	shelf::{Borrowed, Shelf},
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
use std::{path::PathBuf, sync::Arc, time::Instant};
use tracing::{info, warn};

/// Runs the models of some folders. Clones share what is loaded: each slot has one.
#[derive(Clone)]
pub struct DiffusionEngine {
	shared: Arc<Shared>,
}

struct Shared {
	folders: Vec<ModelFolder>,
	/// What each is called in the metrics.
	labels: Vec<String>,
	options: LoadOptions,
	shelf: Shelf<Pipeline>,
	trajectory: Option<PathBuf>,
	metrics: Arc<Metrics>,
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
	/// Tasks at once, one at least; each takes a copy of its model.
	pub slots: u16,
	/// What the loaded models may need, in bytes.
	pub memory_limit: u64,
	/// What is counted.
	pub metrics: Arc<Metrics>,
}

impl Setup {
	/// Some models on one slot, all of them at once.
	pub fn new(folders: Vec<ModelFolder>, options: LoadOptions) -> Self {
		Self {
			library: None,
			folders,
			options,
			trajectory: None,
			slots: 1,
			memory_limit: u64::MAX,
			metrics: Arc::default(),
		}
	}
}

/// Tokenizer, sessions and the numbers of a small model's step: what even the smallest model needs.
const MEMORY_OF_ANY_MODEL: u64 = 64 << 20;

/// What a loaded copy of the model needs, by its files: the weights, a quarter more for what is made of
/// them, and what every model needs.
pub fn memory_estimate(folder: &ModelFolder) -> u64 {
	let weights = folder.weight_bytes();
	weights
		.saturating_add(weights / 4)
		.saturating_add(MEMORY_OF_ANY_MODEL)
}

/// Loads the library and the first model. Blocks for seconds.
pub fn open(setup: Setup) -> Result<(DiffusionEngine, Profile), DeviceError> {
	let Setup {
		library,
		folders,
		options,
		trajectory,
		slots,
		memory_limit,
		metrics,
	} = setup;
	runtime::init(library.as_deref()).map_err(|error| DeviceError::Engine(error.to_string()))?;
	let first = folders
		.first()
		.ok_or_else(|| DeviceError::Engine("no model folder was named".into()))?;
	let sizes = folders.iter().map(memory_estimate).collect();
	let shelf = Shelf::new(memory_limit, sizes).map_err(|error| {
		let path = folders[error.model].path().display();
		DeviceError::Engine(format!("{path}: {error}"))
	})?;
	let labels = labels(&folders);
	let pipeline = shelf
		.borrow(0, || load(first, &labels[0], &options, &metrics))
		.map_err(|error| DeviceError::Engine(format!("{}: {error}", first.path().display())))?;
	let profile = Profile {
		device: device_class(&pipeline),
		device_name: pipeline.device_name(),
		engine: profile_text(&pipeline),
		models: folders.iter().map(model_info).collect(),
		slots: slots.max(1),
	};
	drop(pipeline);
	let shared = Arc::new(Shared {
		folders,
		labels: labels.clone(),
		options,
		shelf,
		trajectory,
		metrics,
	});
	// Weak, so that the metrics do not keep the models in memory.
	let weak = Arc::downgrade(&shared);
	shared.metrics.take_stock(labels, move || {
		weak.upgrade()
			.map(|shared| shared.shelf.stock())
			.unwrap_or_default()
	});
	Ok((DiffusionEngine { shared }, profile))
}

/// The engine profile as coordinators are told of it.
pub fn profile_text(pipeline: &Pipeline) -> String {
	let profile = pipeline.engine_profile().chars();
	profile.take(limits::MAX_TEXT_BYTES / 4).collect()
}

/// A label for each: its name, and where two have one name, the beginning of its hash.
fn labels(folders: &[ModelFolder]) -> Vec<String> {
	let label = |folder: &ModelFolder| {
		let name = folder.name();
		let is_alone = folders.iter().filter(|it| it.name() == name).count() == 1;
		if is_alone {
			name.to_owned()
		} else {
			format!("{name} {}", hex::encode(&folder.hash()[..4]))
		}
	};
	folders.iter().map(label).collect()
}

fn load(
	folder: &ModelFolder,
	label: &str,
	options: &LoadOptions,
	metrics: &Metrics,
) -> Result<Pipeline, Error> {
	let begun = Instant::now();
	metrics.loads(label);
	let pipeline = Pipeline::load(folder, options)?;
	let seconds = begun.elapsed().as_secs_f32();
	info!(model = label, seconds, "loaded");
	Ok(pipeline)
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

impl Shared {
	/// The model of this hash, loaded, and its number.
	fn pipeline(&self, model: &H256) -> Result<(usize, Borrowed<'_, Pipeline>), PaintError> {
		let number = self
			.folders
			.iter()
			.position(|folder| folder.hash() == model.0)
			.ok_or_else(|| {
				PaintError::Failed(format!("this miner does not hold model {model:?}"))
			})?;
		let (folder, label) = (&self.folders[number], &self.labels[number]);
		let pipeline = self
			.shelf
			.borrow(number, || load(folder, label, &self.options, &self.metrics))
			.map_err(|error| self.failed(&error))?;
		Ok((number, pipeline))
	}

	fn failed(&self, error: &Error) -> PaintError {
		let text = error.to_string();
		self.metrics.device_failed(&text);
		PaintError::Failed(text)
	}
}

/// Whether nothing can be said of the sessions any more after this error. A driver that was lost shows as a
/// graph that fails, and not at that graph alone.
fn spoils(error: &Error) -> bool {
	matches!(error, Error::Graph { .. } | Error::Device { .. })
}

/// Megapixels times steps: what the time that a picture takes is about proportional to.
pub fn megapixel_steps(spec: &TaskSpec) -> f64 {
	f64::from(spec.width) * f64::from(spec.height) * f64::from(spec.steps) / 1e6
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
		let shared = &*self.shared;
		let keep = shared.trajectory.clone();
		let (number, mut pipeline) = shared.pipeline(&spec.model)?;
		let (model, label) = (shared.folders[number].name(), &shared.labels[number]);
		let begun = Instant::now();
		let made = pipeline.generate_until(
			&request(spec),
			stop,
			// PNDM runs the UNet more often than it has steps; a task has no more than it asked for.
			&mut |progress| match observe(progress.step.min(spec.steps)) {
				Go::On => Control::Continue,
				Go::Stop => Control::Cancel,
			},
		);
		let picture = match made {
			Ok(picture) => picture,
			Err(Error::Cancelled) => return Err(PaintError::Stopped),
			Err(error) if spoils(&error) => {
				warn!(
					model = label,
					"loaded anew for the next task, after: {error}"
				);
				pipeline.spoil();
				return Err(shared.failed(&error));
			},
			// In the smallest parts there are; the sessions are as good as before.
			Err(error @ Error::OutOfMemory { .. }) => return Err(shared.failed(&error)),
			// The task's own fault, or the model's: the device is well.
			Err(error) => return Err(PaintError::Failed(error.to_string())),
		};
		let seconds = begun.elapsed().as_secs_f64();
		shared
			.metrics
			.painted(label, megapixel_steps(spec), seconds);
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
			device: device_class(&pipeline),
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
	use std::{fs, path::Path};

	#[test]
	fn specs_and_the_engine_name_schedulers_alike() {
		for ours in Scheduler::ALL {
			let kind = scheduler_kind(ours);
			assert_eq!(scheduler(kind), ours);
			assert_eq!(serde_json::to_value(kind).unwrap(), ours.name());
		}
	}

	fn default_model() -> ModelFolder {
		let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/default/model");
		ModelFolder::open(path.as_ref()).unwrap()
	}

	/// The same model under another hash.
	fn twin(folder: &Path) -> ModelFolder {
		fn copy(from: &Path, to: &Path) {
			fs::create_dir_all(to).unwrap();
			for entry in fs::read_dir(from).unwrap() {
				let entry = entry.unwrap();
				let to = to.join(entry.file_name());
				if entry.path().is_dir() {
					copy(&entry.path(), &to);
				} else {
					fs::copy(entry.path(), to).unwrap();
				}
			}
		}
		copy(default_model().path(), folder);
		let index = folder.join("model_index.json");
		let text = fs::read_to_string(&index).unwrap();
		fs::write(index, format!("{text} ")).unwrap();
		ModelFolder::open(folder).unwrap()
	}

	fn spec(model: &ModelFolder) -> TaskSpec {
		TaskSpec {
			model: H256(model.hash()),
			prompt: "a red apple".into(),
			negative_prompt: String::new(),
			seed: 7,
			steps: 2,
			width: 64,
			height: 64,
			guidance_milli: 3_000,
			scheduler: SchedulerKind::Ddim,
		}
	}

	#[test]
	fn models_take_turns_in_memory_and_pictures_do_not_change() {
		let folder = tempfile::tempdir().unwrap();
		let models = [default_model(), twin(folder.path())];
		let options = LoadOptions {
			device: cuckoo_diffusion::Device::Cpu,
			..LoadOptions::default()
		};
		let open_with = |memory_limit| {
			open(Setup {
				memory_limit,
				slots: 2,
				..Setup::new(models.to_vec(), options)
			})
		};
		let needs = memory_estimate(&models[0]);
		let error = open_with(needs - 1).err().unwrap().to_string();
		assert!(error.contains("--memory-limit"), "{error}");

		// Room for one.
		let (mut engine, profile) = open_with(needs).unwrap();
		assert_eq!((profile.models.len(), profile.slots), (2, 2));
		let mut paint = |model| engine.paint(&spec(model), &mut |_| Go::On).unwrap();
		let first = paint(&models[0]);
		let other = paint(&models[1]);
		assert_eq!(paint(&models[0]), first);
		// The file names its model; the picture is the same.
		assert_eq!(other.trajectory_root, first.trajectory_root);
		let labels = &engine.shared.labels;
		assert!(labels[0] != labels[1], "two models of one name: {labels:?}");
		let stock = engine.shared.shelf.stock();
		assert_eq!(stock.used, needs);
		let warm: Vec<usize> = stock.models.iter().map(|it| it.warm).collect();
		assert_eq!(warm, [1, 0]);

		// A damaged folder fails its own tasks and no others.
		fs::remove_file(folder.path().join("unet/model.onnx")).unwrap();
		let failed = engine.paint(&spec(&models[1]), &mut |_| Go::On);
		assert!(matches!(failed, Err(PaintError::Failed(_))), "{failed:?}");
		assert_eq!(engine.paint(&spec(&models[0]), &mut |_| Go::On), Ok(first));
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
