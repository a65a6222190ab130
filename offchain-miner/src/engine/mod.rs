//! The diffusion engine behind the slots of a [`device`](crate::device): specs to paintings.

mod spec;

pub use spec::{
	megapixel_steps, milli, model_info, parameters, request, scheduler, scheduler_kind,
};

use crate::{
	device::{DeviceError, DeviceProfile, Engine, Go, Layout, PaintError, Profile},
	metrics::Metrics,
	outbox::Painting,
	shelf::{Borrowed, Shelf},
};
use cuckoo_coordinator_api::limits;
use cuckoo_diffusion::{
	png, runtime, Control, Device, Error, LoadOptions, ModelFolder, Picture, Pipeline, Request,
	Stop,
};
use cuckoo_primitives::{
	merkle,
	task::{DeviceClass, TaskSpec},
	H256,
};
use std::{path::PathBuf, sync::Arc, time::Instant};
use tracing::{debug, error, info, warn};

/// Runs the models of some folders on one device. Clones share what is loaded: each slot has one.
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
	metrics: Arc<Metrics>,
}

/// What to open.
#[derive(Clone, Debug)]
pub struct Setup {
	/// The ONNX Runtime library, if the user names one.
	pub library: Option<PathBuf>,
	/// The model folders, one at least. The first is loaded at the start.
	pub folders: Vec<ModelFolder>,
	/// The devices, one at least.
	pub devices: Vec<DeviceSetup>,
	/// Threads and the like; the device is each of `devices` in turn.
	pub options: LoadOptions,
	/// How the work is laid out on each device.
	pub layout: Layout,
	/// What is counted.
	pub metrics: Arc<Metrics>,
}

/// A device to open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceSetup {
	/// Which one.
	pub device: Device,
	/// What the loaded models may need on it, in bytes.
	pub memory_limit: u64,
}

impl Setup {
	/// Some models on one slot, all of them at once.
	pub fn new(folders: Vec<ModelFolder>, options: LoadOptions) -> Self {
		Self {
			library: None,
			folders,
			devices: vec![DeviceSetup {
				device: options.device,
				memory_limit: u64::MAX,
			}],
			options,
			layout: Layout::default(),
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

/// Loads the library, and the first model on every device: an engine for each device of the profile. Of
/// several devices, those that cannot be used are left out: ONNX Runtime can end the process where a GPU is
/// lost, and the others are to go on after the restart. Blocks for seconds.
pub fn open(setup: Setup) -> Result<(Vec<DiffusionEngine>, Profile), DeviceError> {
	// Before anything that takes long.
	setup.layout.tasks_at_once(setup.devices.len())?;
	runtime::init(setup.library.as_deref())
		.map_err(|error| DeviceError::Engine(error.to_string()))?;
	let (mut engines, mut devices) = (Vec::new(), Vec::<DeviceProfile>::new());
	let mut unusable = None;
	for one in &setup.devices {
		let (engine, mut device) = match open_device(&setup, one) {
			Err(error @ DeviceError::Unusable { .. }) => {
				error!("{error}");
				unusable = Some(error);
				continue;
			},
			opened => opened?,
		};
		let before = devices.iter().filter(|it| it.label == device.label);
		match before.count() {
			0 => {},
			// A metric of each.
			count => device.label = format!("{} ({})", device.label, count + 1),
		}
		engines.push(engine);
		devices.push(device);
	}
	if let (true, Some(error)) = (engines.is_empty(), unusable) {
		return Err(error);
	}
	let models = setup.folders.iter().map(model_info).collect();
	let profile = Profile::new(devices, models, setup.layout)?;
	// Weak, so that the metrics do not keep the models in memory.
	let shelves: Vec<_> = engines
		.iter()
		.zip(&profile.devices)
		.map(|(engine, device)| (device.label.clone(), Arc::downgrade(&engine.shared)))
		.collect();
	setup.metrics.take_stock(labels(&setup.folders), move || {
		shelves
			.iter()
			.filter_map(|(label, shared)| Some((label.clone(), shared.upgrade()?.shelf.stock())))
			.collect()
	});
	Ok((engines, profile))
}

fn open_device(
	setup: &Setup,
	one: &DeviceSetup,
) -> Result<(DiffusionEngine, DeviceProfile), DeviceError> {
	let DeviceSetup {
		device,
		memory_limit,
	} = *one;
	let options = LoadOptions {
		device,
		..setup.options
	};
	let first = setup
		.folders
		.first()
		.ok_or_else(|| DeviceError::Engine("no model folder was named".into()))?;
	let at = |folder: &ModelFolder| format!("{} on {device}", folder.path().display());
	let sizes = setup.folders.iter().map(memory_estimate).collect();
	let shelf = Shelf::new(memory_limit, sizes).map_err(|error| {
		DeviceError::Engine(format!("{}: {error}", at(&setup.folders[error.model])))
	})?;
	let mut shared = Shared {
		folders: setup.folders.clone(),
		labels: labels(&setup.folders),
		options,
		shelf,
		metrics: setup.metrics.clone(),
	};
	let pipeline = shared.load(0).map_err(|error| match error {
		Error::Device { device, problem } => DeviceError::Unusable { device, problem },
		error => DeviceError::Engine(format!("{}: {error}", at(first))),
	})?;
	let device = became(device, pipeline.device_class());
	let profile = DeviceProfile {
		label: device.to_string(),
		device: device_class(&pipeline),
		name: pipeline.device_name(),
		engine: profile_text(&pipeline),
	};
	drop(pipeline);
	// Coordinators are told of this device: a later load that fails on it is its failure, and no reason to go
	// on with another.
	shared.options.device = device;
	let shared = Arc::new(shared);
	Ok((DiffusionEngine { shared }, profile))
}

/// The device that a model was loaded on: what `auto` has become.
fn became(device: Device, loaded_on: cuckoo_diffusion::DeviceClass) -> Device {
	match (device, loaded_on) {
		(Device::Auto, cuckoo_diffusion::DeviceClass::Cpu) => Device::Cpu,
		// The first is the one that is tried.
		(Device::Auto, cuckoo_diffusion::DeviceClass::Cuda { .. }) => Device::Cuda(0),
		(device, _) => device,
	}
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

/// The kind of device that a pipeline is on, as commitments have it.
pub fn device_class(pipeline: &Pipeline) -> DeviceClass {
	match pipeline.device_class() {
		cuckoo_diffusion::DeviceClass::Cpu => DeviceClass::Cpu,
		cuckoo_diffusion::DeviceClass::Cuda { major, minor } => DeviceClass::Cuda { major, minor },
	}
}

impl Shared {
	/// The model of this number, loaded if it has to be.
	fn load(&self, number: usize) -> Result<Borrowed<'_, Pipeline>, Error> {
		let (folder, label) = (&self.folders[number], &self.labels[number]);
		self.shelf.borrow(number, || {
			let begun = Instant::now();
			self.metrics.loads(label);
			let pipeline = Pipeline::load(folder, &self.options)?;
			let seconds = begun.elapsed().as_secs_f32();
			info!(model = label, device = %self.options.device, seconds, "loaded");
			Ok(pipeline)
		})
	}

	/// The model of this hash, loaded, and its number.
	fn pipeline(&self, model: &H256) -> Result<(usize, Borrowed<'_, Pipeline>), PaintError> {
		let number = self
			.folders
			.iter()
			.position(|folder| folder.hash() == model.0)
			.ok_or_else(|| {
				PaintError::Failed(format!("this miner does not hold model {model:?}"))
			})?;
		let pipeline = self.load(number).map_err(|error| self.failed(&error))?;
		Ok((number, pipeline))
	}

	fn failed(&self, error: &Error) -> PaintError {
		let text = error.to_string();
		self.metrics.error(&text);
		PaintError::Device(text)
	}

	/// Why there is no picture, and what becomes of the pipeline under it.
	fn refused(
		&self,
		error: &Error,
		label: &str,
		pipeline: &mut Borrowed<'_, Pipeline>,
	) -> PaintError {
		match error {
			Error::Cancelled => PaintError::Stopped,
			error if spoils(error) => {
				warn!(
					model = label,
					device = %self.options.device,
					"loaded anew for the next task, after: {error}"
				);
				pipeline.spoil();
				self.failed(error)
			},
			error => {
				// It was in the smallest parts there are, and those who run the miner are to know.
				if matches!(error, Error::OutOfMemory { .. }) {
					self.metrics.error(&error.to_string());
				}
				// The task's own fault, or the model's. The device is well, also where the task was too large
				// for it: the sessions are as good as before, and a smaller one fits.
				PaintError::Failed(error.to_string())
			},
		}
	}

	fn painting(
		&self,
		spec: &TaskSpec,
		picture: &Picture,
		model: &str,
		engine_profile: H256,
		device: DeviceClass,
	) -> Result<Painting, PaintError> {
		let leaves = &picture.trajectory.leaves;
		let hashes: Vec<H256> = leaves.iter().map(|leaf| merkle::leaf_hash(leaf)).collect();
		let parameters = parameters(spec, model);
		let parameters: Vec<(&str, &str)> = parameters
			.iter()
			.map(|(name, value)| (*name, value.as_str()))
			.collect();
		let png = png::encode(picture, &parameters)
			.map_err(|error| PaintError::Failed(error.to_string()))?;
		Ok(Painting {
			png,
			trajectory_root: merkle::root(&hashes),
			engine_profile,
			device,
		})
	}
}

/// Whether nothing can be said of the sessions any more after this error. A driver that was lost shows as a
/// graph that fails, and not at that graph alone.
fn spoils(error: &Error) -> bool {
	matches!(error, Error::Graph { .. } | Error::Device { .. })
}

impl Engine for DiffusionEngine {
	fn paint(
		&mut self,
		specs: &[TaskSpec],
		stop: &Stop,
		observe: &mut dyn FnMut(usize, u16) -> Go,
	) -> Vec<Result<Painting, PaintError>> {
		let Some(first) = specs.first() else {
			return Vec::new();
		};
		let shared = &*self.shared;
		let (number, mut pipeline) = match shared.pipeline(&first.model) {
			Ok(found) => found,
			Err(error) => return vec![Err(error); specs.len()],
		};
		let (model, label) = (shared.folders[number].name(), &shared.labels[number]);
		shared.metrics.batch(label, specs.len());
		debug!(model = label, pictures = specs.len(), "a batch begins");
		let requests: Vec<Request> = specs.iter().map(request).collect();
		let begun = Instant::now();
		let made = pipeline.generate_together(&requests, stop, &mut |place, progress| {
			// PNDM runs the UNet more often than it has steps; a task has no more than it asked for.
			match observe(place, progress.step.min(first.steps)) {
				Go::On => Control::Continue,
				Go::Stop => Control::Cancel,
			}
		});
		let seconds = begun.elapsed().as_secs_f64();
		let made = match made {
			Ok(made) => made,
			// Of the run that they have in common.
			Err(error) => {
				let error = shared.refused(&error, label, &mut pipeline);
				return vec![Err(error); specs.len()];
			},
		};
		// After the run, in which the pipeline may have learned to do with less memory.
		let engine_profile = pipeline.batch_profile(specs.len());
		let engine_profile = sp_crypto_hashing::blake2_256(engine_profile.as_bytes()).into();
		let device = device_class(&pipeline);
		// What the pictures took together is shared among them: their sum is the device's time.
		let share = seconds / made.iter().filter(|it| it.is_ok()).count().max(1) as f64;
		specs
			.iter()
			.zip(made)
			.map(|(spec, made)| match made {
				Ok(picture) => {
					shared.metrics.painted(label, megapixel_steps(spec), share);
					shared.painting(spec, &picture, model, engine_profile, device)
				},
				Err(error) => Err(shared.refused(&error, label, &mut pipeline)),
			})
			.collect()
	}
}

#[cfg(test)]
mod tests;
