//! Requests to their pictures.

mod canvas;
mod prompt;
mod request;
mod rerun;
mod stage;
mod vae;

pub use request::{
	Mask, Options, Request, Start, GUIDANCE, MAX_BATCH, MAX_PROMPT_BYTES, MAX_STEPS,
};
pub use rerun::StepError;

use crate::{
	backend::{Backend, Inputs, OnnxRuntime, Tensor},
	cuda, math, rng, runtime,
	schedulers::{self, PredictionType, Schedule, Scheduler},
	stop::Stop,
	text::Tokenizer,
	Device, DeviceClass, Error, ModelFolder,
};
use canvas::{mix, Canvas, Kept};
use half::f16;
use prompt::{Embedding, Encoder, Prompts};
use stage::{unet_role, Role, Stage, Turn};
use std::{path::PathBuf, sync::Arc};

/// Up to this scale there is nothing to guide away from: the UNet runs on the prompt alone.
const NO_GUIDANCE: f32 = 1.0;
/// A UNet of fewer bytes is small.
const SMALL_UNET: u64 = 64 << 20;
/// Red, green, blue.
const COLOURS: usize = 3;

/// How a pipeline is loaded.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LoadOptions {
	/// Where it runs.
	pub device: Device,
	/// Threads on the CPU; 0 for what suits the model: one for a small one, one a physical core for
	/// others. The picture does not depend on it.
	pub threads: usize,
	/// Side in pixels of the tiles in which larger pictures are decoded, to save memory; 0 for whole
	/// pictures. The picture depends on it a little, at the tiles' edges.
	pub vae_tile: u16,
	/// Bytes of the GPU's memory that each of the model's graphs may take; as many as there are if absent.
	pub gpu_memory_limit: Option<u64>,
	/// Whether CUDA records the runs of each set of shapes and replays them. Nothing on the CPU.
	pub cuda_graphs: bool,
}

/// How far a picture is. Told before the first step (with 0) and after each.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Progress<'a> {
	/// Runs of the UNet done: one a step, except with PNDM.
	pub step: u16,
	/// Runs in all.
	pub of: u16,
	/// The picture's latents as they are now; empty before the first step.
	pub latents: &'a [f32],
	/// What it will look like, where that was asked for.
	pub preview: Option<&'a Preview>,
}

/// What a picture will look like, as far as the UNet can tell.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Preview {
	/// Pixels in a row.
	pub width: u32,
	/// Rows.
	pub height: u32,
	/// Red, green and blue of each pixel, row by row from the top.
	pub rgb: Vec<u8>,
}

/// What the caller wants after it was told of progress.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Control {
	/// The next step.
	Continue,
	/// No more: [`Pipeline::generate`] returns [`Error::Cancelled`].
	Cancel,
}

/// A picture, and how it came about.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Picture {
	/// Pixels in a row.
	pub width: u32,
	/// Rows.
	pub height: u32,
	/// Red, green and blue of each pixel, row by row from the top.
	pub rgb: Vec<u8>,
	/// What it went through.
	pub trajectory: Trajectory,
}

/// What a picture went through, so that any one step of it can be run again and compared.
///
/// The leaves, in order, numbers as fp16 little-endian in the tensors' order:
/// 1. the latents before the first step: the seed's noise, scaled for the scheduler;
/// 2. the latents after each run of the UNet: one a step, except with PNDM;
/// 3. the text embedding: of the negative prompt and the prompt where guidance is above 1, else of
///    the prompt; each with that of the whole prompt after it where the model has one;
/// 4. the decoded picture: the bytes of [`Picture::rgb`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trajectory {
	/// The leaves: runs + 3 of them.
	pub leaves: Vec<Vec<u8>>,
}

/// A model's graphs, loaded on a device. One request at a time.
pub struct Pipeline {
	folder: ModelFolder,
	prompts: Prompts,
	unet: Stage,
	vae_decoder: Stage,
	/// The decoder in fp32, once the other's numbers were not finite.
	precise_decoder: Option<Stage>,
	/// The encoder, once a picture was given.
	vae_encoder: Option<Stage>,
	backend: Arc<dyn Backend>,
	vae_tile: u16,
	/// The most samples that the UNet is given at once; fewer since memory ran out.
	unet_rows: usize,
	device_class: DeviceClass,
	device_name: String,
	/// The profile without what this pipeline was told or had to do in parts.
	base_profile: String,
	engine_profile: String,
}

impl Pipeline {
	/// Loads a model's graphs. [`Device::Auto`] falls back to the CPU where CUDA does not work, and
	/// logs why.
	pub fn load(folder: &ModelFolder, options: &LoadOptions) -> Result<Self, Error> {
		let mut pipeline = match options.device {
			Device::Cpu => Self::on_cpu(folder, options.threads),
			Device::Cuda(number) => Self::on_cuda(folder, number, options),
			Device::Auto => {
				const FIRST: u32 = 0;
				Self::on_cuda(folder, FIRST, options).or_else(|error| {
					tracing::info!(reason = %error, "running on the CPU");
					Self::on_cpu(folder, options.threads)
				})
			},
		}?;
		pipeline.set_vae_tile(options.vae_tile)?;
		Ok(pipeline)
	}

	/// Loads a model's graphs on any backend; the rest describes it to whoever asks.
	pub fn with_backend(
		folder: &ModelFolder,
		backend: Arc<dyn Backend>,
		device_class: DeviceClass,
		device_name: String,
		engine_profile: String,
	) -> Result<Self, Error> {
		let mut encoders = Vec::new();
		for (component, tokenizer) in folder.tokenizer_configs() {
			let path = folder.graph(component, device_class);
			let stage = load(&*backend, path)?;
			encoders.push(Encoder::new(Tokenizer::load(tokenizer)?, stage));
		}
		let mut needed = vec![Role::Main, Role::Timestep, Role::Hidden];
		if folder.is_xl() {
			needed.extend([Role::Pooled, Role::TimeIds]);
		}
		let graph = |component| folder.graph(component, device_class);
		let path = graph("unet");
		let unet = Stage::new(
			path.clone(),
			backend.load_for_steps(&path)?,
			unet_role,
			&needed,
		)?;
		let decoder = load(&*backend, graph("vae_decoder"))?;
		Ok(Self {
			folder: folder.clone(),
			prompts: Prompts {
				encoders,
				zeros_for_empty: folder.zeros_for_empty_prompt(),
			},
			unet,
			vae_decoder: decoder,
			precise_decoder: None,
			vae_encoder: None,
			backend,
			vae_tile: 0,
			unet_rows: usize::MAX,
			device_class,
			device_name,
			base_profile: engine_profile.clone(),
			engine_profile,
		})
	}

	fn on_cpu(folder: &ModelFolder, threads: usize) -> Result<Self, Error> {
		// A small UNet's layers are done before a second thread has begun.
		let threads = if threads == 0 && folder.unet_bytes() < SMALL_UNET {
			1
		} else {
			threads
		};
		let device = format!("cpu {} fused-attention", instruction_set());
		let profile = engine_profile(&runtime::init(None)?.version, &device);
		let backend = Arc::new(OnnxRuntime::cpu(threads));
		Self::with_backend(folder, backend, DeviceClass::Cpu, processor_name(), profile)
	}

	fn on_cuda(folder: &ModelFolder, number: u32, options: &LoadOptions) -> Result<Self, Error> {
		let device = Device::Cuda(number);
		let unusable = |problem| Error::Device { device, problem };
		let version = runtime::init(None)?.version;
		let gpu = cuda::gpu(number).map_err(unusable)?;
		OnnxRuntime::cuda_available().map_err(unusable)?;
		let cuda::Gpu { name, major, minor } = gpu;
		cuda::load_libraries();
		let cudnn = cuda::cudnn_version().unwrap_or(0);
		let profile = engine_profile(
			&version,
			&format!("cuda sm_{major}{minor} cudnn {cudnn} heuristic no-tf32 fused-attention"),
		);
		let class = DeviceClass::Cuda { major, minor };
		let mut backend =
			OnnxRuntime::cuda(number, options.threads).limited(options.gpu_memory_limit);
		if options.cuda_graphs {
			backend = backend.inputs(Inputs::Fixed);
		}
		let backend = Arc::new(backend);
		let mut pipeline = Self::with_backend(folder, backend, class, name, profile)?;
		// cuDNN is loaded at the first convolution: one that is missing must show now, not when the
		// first task has come.
		let mut probe = Request::new(folder, "", 0);
		probe.steps = 1;
		// PNDM alone cannot do with one step.
		probe.scheduler = Scheduler::Ddim;
		pipeline
			.generate(&probe, &mut |_| Control::Continue)
			.map_err(|error| unusable(format!("the first picture failed: {error}")))?;
		Ok(pipeline)
	}

	/// Decodes pictures larger than `side` pixels in tiles of that side; 0 for whole pictures.
	pub fn set_vae_tile(&mut self, side: u16) -> Result<(), Error> {
		let (multiple, least) = self.tile_sides();
		if side > 0 && (u32::from(side) < least || !side.is_multiple_of(multiple)) {
			let problem = format!("{side}; must be a multiple of {multiple} from {least} on");
			return Err(Error::request("vae_tile", problem));
		}
		self.vae_tile = side;
		self.write_profile();
		Ok(())
	}

	/// Parts change the last bits, and so the profile names them.
	fn write_profile(&mut self) {
		self.engine_profile.clone_from(&self.base_profile);
		if self.vae_tile > 0 {
			let tiles = format!(", vae tiles of {}", self.vae_tile);
			self.engine_profile.push_str(&tiles);
		}
		if self.unet_rows < usize::MAX {
			let rows = format!(", unet rows up to {}", self.unet_rows);
			self.engine_profile.push_str(&rows);
		}
	}

	/// Sides in pixels that a tile is a multiple of, and the least that one has.
	fn tile_sides(&self) -> (u16, u32) {
		let multiple = self.folder.size_multiple();
		// Four latents a side: less has no quarter to blend.
		let least = u32::from(multiple).max(4 * self.folder.vae_factor());
		(multiple, least)
	}

	/// The kind of device that this pipeline runs on.
	pub fn device_class(&self) -> DeviceClass {
		self.device_class
	}

	/// The device's name, for people.
	pub fn device_name(&self) -> String {
		self.device_name.clone()
	}

	/// All that a picture's bits depend on besides model and request: the versions of the engine and
	/// of ONNX Runtime, the provider and its settings, the instruction set.
	pub fn engine_profile(&self) -> &str {
		&self.engine_profile
	}

	/// The same for a picture that is begun together with others, `pictures` in all: the sums of a batch
	/// are added up in another order than those of a picture alone. One that leaves the batch before its
	/// end is not told here, though the steps of the others after it are of a smaller one.
	pub fn batch_profile(&self, pictures: usize) -> String {
		match pictures {
			0 | 1 => self.engine_profile.clone(),
			_ => format!("{}, batch of {pictures}", self.engine_profile),
		}
	}

	/// Makes the picture.
	pub fn generate(
		&mut self,
		request: &Request,
		on_step: &mut dyn FnMut(Progress<'_>) -> Control,
	) -> Result<Picture, Error> {
		self.generate_until(request, &Stop::new(), on_step)
	}

	/// Makes the picture, unless `stop` ends it: at once, also in the middle of a step.
	pub fn generate_until(
		&mut self,
		request: &Request,
		stop: &Stop,
		on_step: &mut dyn FnMut(Progress<'_>) -> Control,
	) -> Result<Picture, Error> {
		let one = std::slice::from_ref(request);
		let mut pictures =
			self.generate_together(one, stop, &mut |_, progress| on_step(progress))?;
		pictures.pop().unwrap_or(Err(Error::Cancelled))
	}

	/// Makes several pictures at once, which differ in their prompts and seeds only
	/// ([`Request::goes_with`]); `on_step` is told the place of the picture that it is told of. On the CPU
	/// it is faster than one after the other; on a GPU it was not measured. The bits may differ from those of a picture alone: that is what
	/// [`batch_profile`](Self::batch_profile) is for.
	///
	/// A picture that is cancelled, or whose own numbers are no good, leaves the others alone, which go on as
	/// a smaller batch: their last bits may be others than with it. What ends all of them is the outer error.
	pub fn generate_together(
		&mut self,
		requests: &[Request],
		stop: &Stop,
		on_step: &mut dyn FnMut(usize, Progress<'_>) -> Control,
	) -> Result<Vec<Result<Picture, Error>>, Error> {
		let common = request::alike(requests)?;
		self.check(common)?;
		let runs = self.plan(common)?.timesteps().len();
		let begin = match self.part_of_schedule(common) {
			Some(_) => 0,
			None => request::begin(common, runs)?,
		};
		// A schedule has at most MAX_STEPS steps, and PNDM's a few runs more.
		let of = (runs - begin) as u16;
		let mut report = |index: usize, step: usize, latents: &[f32], preview: Option<&Preview>| {
			let progress = Progress {
				step: step as u16,
				of,
				latents,
				preview,
			};
			match on_step(index, progress) {
				Control::Continue if !stop.is_stopped() => Ok(()),
				_ => Err(Error::Cancelled),
			}
		};

		let mut ended: Vec<Result<Picture, Error>> = Vec::new();
		ended.resize_with(requests.len(), || Err(Error::Cancelled));
		let mut canvases: Vec<Canvas> = Vec::with_capacity(requests.len());
		for (index, request) in requests.iter().enumerate() {
			// Pictures of several seeds have one prompt.
			let twin = canvases
				.iter()
				.find(|canvas| requests[canvas.index].has_prompts_of(request));
			let prompts = twin.map(|twin| twin.prompts.clone());
			let canvas = report(index, 0, &[], None)
				.and_then(|()| self.canvas(index, request, prompts, begin, stop));
			match canvas {
				Ok(canvas) => canvases.push(canvas),
				Err(error) => ended[index] = Err(error),
			}
		}
		for step in begin..runs {
			if canvases.is_empty() {
				return Ok(ended);
			}
			let predictions = self.predict_all(step, &canvases, common, stop)?;
			let done = step - begin + 1;
			let mut going_on = Vec::with_capacity(canvases.len());
			for (mut canvas, prediction) in canvases.into_iter().zip(predictions) {
				let index = canvas.index;
				let taken = self
					.preview(common, step, &prediction, &canvas, stop)
					.and_then(|preview| {
						canvas.step(step, &prediction);
						finite(&canvas.latents, || format!("step {done} of {of}"))?;
						report(index, done, &canvas.latents, preview.as_ref())
					});
				match taken {
					Ok(()) => going_on.push(canvas),
					Err(error) => ended[index] = Err(error),
				}
			}
			canvases = going_on;
		}
		for canvas in canvases {
			let index = canvas.index;
			ended[index] = self.finish(canvas, common, stop);
		}
		Ok(ended)
	}

	/// The picture of a canvas after its last step.
	fn finish(
		&mut self,
		mut canvas: Canvas,
		request: &Request,
		stop: &Stop,
	) -> Result<Picture, Error> {
		let rgb = self.decode(&canvas.latents, request, stop)?;
		canvas
			.leaves
			.push(canvas.prompts.iter().flat_map(embedding_bytes).collect());
		canvas.leaves.push(rgb.clone());
		Ok(Picture {
			width: request.width.into(),
			height: request.height.into(),
			rgb,
			trajectory: Trajectory {
				leaves: canvas.leaves,
			},
		})
	}

	fn plan(&self, request: &Request) -> Result<Box<dyn Schedule>, Error> {
		let config = self.folder.scheduler_config();
		let start = request.options.start.as_ref();
		match self.part_of_schedule(request) {
			Some(part) => schedulers::lcm_part(config, request.steps, part),
			None if start.is_some_and(|start| start.mask.is_some()) && !self.folder.is_xl() => {
				// As diffusers' inpainting pipeline has it, for all but XL.
				request
					.scheduler
					.plan(&config.clone().without_warm_up(), request.steps)
			},
			None => request.scheduler.plan(config, request.steps),
		}
		.map_err(|problem| Error::request("steps", problem))
	}

	/// Which part of the schedule that it was distilled on a latent consistency model takes its steps of,
	/// where it starts from a picture: as its own pipeline does it, which takes all of them. Others take a
	/// part of their steps.
	fn part_of_schedule(&self, request: &Request) -> Option<f64> {
		let start = request.options.start.as_ref()?;
		let is_own = self.folder.is_lcm() && request.scheduler == Scheduler::Lcm;
		// It has no inpainting: with a mask, it is Stable Diffusion's pipeline that runs it.
		(is_own && start.mask.is_none()).then(|| request::strength(start))
	}

	/// Refuses what this model does not make.
	fn check(&self, request: &Request) -> Result<(), Error> {
		request::check_prompts(request)?;
		if !(1..=MAX_STEPS).contains(&request.steps) {
			let problem = format!("{}; must be from 1 to {MAX_STEPS}", request.steps);
			return Err(Error::request("steps", problem));
		}
		if !GUIDANCE.contains(&request.guidance) {
			let (from, to) = (GUIDANCE.start(), GUIDANCE.end());
			let problem = format!("{}; must be from {from} to {to}", request.guidance);
			return Err(Error::request("guidance", problem));
		}
		let multiple = self.folder.size_multiple();
		let max = self.folder.max_size();
		let factor = self.folder.vae_factor() as usize;
		// A UNet can be exported for one size only.
		let fixed = |axis: usize| {
			let (port, _) = self.unet.port(Role::Main)?;
			port.shape[axis].map(|side| side * factor)
		};
		for (field, side, fixed) in [
			("width", request.width, fixed(3)),
			("height", request.height, fixed(2)),
		] {
			if side == 0 || side > max || !side.is_multiple_of(multiple) {
				let problem = format!("{side}; must be a multiple of {multiple} up to {max}");
				return Err(Error::request(field, problem));
			}
			if let Some(fixed) = fixed.filter(|fixed| *fixed != usize::from(side)) {
				let problem = format!("{side}; this model was exported for {fixed} only");
				return Err(Error::request(field, problem));
			}
		}
		request::check_options(request)
	}

	/// Height and width of the latents.
	fn latent_size(&self, request: &Request) -> [usize; 2] {
		let factor = self.folder.vae_factor() as usize;
		request.size().map(|side| side / factor)
	}

	/// How many numbers one picture's latents have.
	fn latent_count(&self, request: &Request) -> usize {
		let [height, width] = self.latent_size(request);
		self.folder.latent_channels() * height * width
	}

	/// Whether the negative prompt counts: not where the UNet was distilled with guidance.
	fn guided(&self, request: &Request) -> bool {
		request.guidance > NO_GUIDANCE && self.unet.port(Role::Guidance).is_none()
	}

	fn embed(&mut self, request: &Request, stop: &Stop) -> Result<Vec<Embedding>, Error> {
		let negative = self
			.guided(request)
			.then_some(request.negative_prompt.as_str());
		self.prompts
			.embed(&request.prompt, negative, &request.options, stop)
	}

	/// The canvas that a picture begins with: its noise, or another picture with noise. `prompts` are its
	/// embeddings, if they are known.
	fn canvas(
		&mut self,
		index: usize,
		request: &Request,
		prompts: Option<Vec<Embedding>>,
		begin: usize,
		stop: &Stop,
	) -> Result<Canvas, Error> {
		request::check_prompts(request)?;
		let prompts = match prompts {
			Some(prompts) => prompts,
			None => self.embed(request, stop)?,
		};
		let schedule = self.plan(request)?;
		let count = self.latent_count(request);
		let noise = rng::normal(request.seed, rng::Stream::InitialNoise, count);
		let scaled = |noise: &[f32]| -> Vec<f32> {
			let scale = schedule.initial_scale();
			noise.iter().map(|number| number * scale).collect()
		};
		let (latents, kept) = match &request.options.start {
			None => (scaled(&noise), None),
			Some(start) => {
				let drawn = rng::normal(request.seed, rng::Stream::Picture, count);
				let picture = self.encode(&start.rgb, request, &drawn, stop)?;
				let whole = start.strength >= 1.0 && start.mask.is_some();
				let latents = if whole {
					scaled(&noise)
				} else {
					mix(schedule.mixture(begin), &picture, &noise)
				};
				let kept = start.mask.as_ref().map(|mask| Kept {
					mask: self.latent_mask(mask, request),
					picture,
					noise,
				});
				(latents, kept)
			},
		};
		Ok(Canvas {
			index,
			seed: request.seed,
			leaves: vec![half_bytes(&latents)],
			latents,
			schedule,
			prompts,
			kept,
		})
	}

	/// For each place of the latents whether it is painted anew, as the mask's nearest pixel says.
	fn latent_mask(&self, mask: &Mask, request: &Request) -> Vec<bool> {
		const ANEW: u8 = 128;
		let factor = self.folder.vae_factor() as usize;
		let [height, width] = self.latent_size(request);
		let row = usize::from(request.width);
		let plane = (0..height * width).map(|place| {
			let (y, x) = (place / width * factor, place % width * factor);
			mask.0[y * row + x] >= ANEW
		});
		let plane: Vec<bool> = plane.collect();
		plane.repeat(self.folder.latent_channels())
	}

	/// What the UNet predicts before a step, for each canvas.
	fn predict_all(
		&mut self,
		step: usize,
		canvases: &[Canvas],
		request: &Request,
		stop: &Stop,
	) -> Result<Vec<Vec<f32>>, Error> {
		let samples: Vec<Sample<'_>> = canvases
			.iter()
			.map(|canvas| Sample {
				latents: &canvas.latents,
				prompts: &canvas.prompts,
			})
			.collect();
		// They are alike in all that a prediction asks of them.
		let schedule = &*canvases[0].schedule;
		self.predict(schedule, step, &samples, request, stop)
	}

	/// What the UNet predicts for samples before a step, guided: of one size, with as many prompts and
	/// tokens each.
	fn predict(
		&mut self,
		schedule: &dyn Schedule,
		step: usize,
		samples: &[Sample<'_>],
		request: &Request,
		stop: &Stop,
	) -> Result<Vec<Vec<f32>>, Error> {
		let count = self.latent_count(request);
		let mut inputs = Vec::with_capacity(samples.len());
		for sample in samples {
			if sample.prompts[0].tokens != samples[0].prompts[0].tokens {
				let problem = "is read in other parts than another picture's of the batch";
				return Err(Error::request("prompt", problem));
			}
			let mut input = sample.latents.to_vec();
			schedule.scale_input(step, &mut input);
			inputs.push(input);
		}
		let pictures = samples.len();
		let rows = samples[0].prompts.len() * pictures;
		let turn = Turn::last(step + 1 == schedule.timesteps().len());
		let timestep = schedule.timesteps()[step];
		let outputs = loop {
			// All at once, unless the UNet was exported for fewer, or there is no room.
			let fixed = self
				.unet
				.port(Role::Main)
				.and_then(|(port, _)| port.shape[0])
				.filter(|batch| rows.is_multiple_of(*batch));
			let batch = fixed.unwrap_or(rows.min(self.unet_rows));
			let parts = (0..rows).step_by(batch).map(|first| {
				// The rows of the first prompt for all pictures, then those of the second.
				let rows = first..(first + batch).min(rows);
				let latents: Vec<f32> = rows
					.clone()
					.flat_map(|row| &inputs[row % pictures])
					.copied()
					.collect();
				let prompts: Vec<&Embedding> = rows
					.map(|row| &samples[row % pictures].prompts[row / pictures])
					.collect();
				self.run_unet(&latents, timestep, &prompts, request, turn, stop)
			});
			match parts.collect::<Result<Vec<_>, _>>() {
				Ok(parts) => break parts.concat(),
				Err(Error::OutOfMemory { problem, .. }) if batch > 1 && fixed.is_none() => {
					self.unet_rows = batch.div_ceil(2);
					self.write_profile();
					let rows = self.unet_rows;
					tracing::warn!(
						rows,
						problem,
						"out of memory: the UNet gets fewer samples at once"
					);
				},
				Err(error) => return Err(error),
			}
		};
		if outputs.len() != rows * count {
			return Err(self
				.unet
				.unusable("its output has not the shape of its sample"));
		}
		let row = |number: usize| &outputs[number * count..][..count];
		let guidance = request.guidance;
		let prediction = |picture: usize| -> Vec<f32> {
			if rows == pictures {
				return row(picture).to_vec();
			}
			let (negative, positive) = (row(picture), row(pictures + picture));
			negative
				.iter()
				.zip(positive)
				.map(|(negative, positive)| negative + guidance * (positive - negative))
				.collect()
		};
		Ok((0..pictures).map(prediction).collect())
	}

	/// One run of the UNet, a row for each prompt.
	fn run_unet(
		&mut self,
		samples: &[f32],
		timestep: f32,
		prompts: &[&Embedding],
		request: &Request,
		turn: Turn,
		stop: &Stop,
	) -> Result<Vec<f32>, Error> {
		let batch = prompts.len();
		let [height, width] = self.latent_size(request);
		let floats = |role, shape: &[usize], numbers: &[f32]| {
			Tensor::from_floats(self.unet.element(role), shape, numbers)
		};
		let shape = [batch, self.folder.latent_channels(), height, width];
		let sample = floats(Role::Main, &shape, samples);
		let timestep_shape: Vec<usize> = match self.unet.port(Role::Timestep) {
			Some((port, _)) => port.shape.iter().map(|size| size.unwrap_or(1)).collect(),
			None => Vec::new(),
		};
		let timesteps = vec![timestep; timestep_shape.iter().product()];
		let timesteps = floats(Role::Timestep, &timestep_shape, &timesteps);
		let all = |of: fn(&Embedding) -> &Vec<f32>| -> Vec<f32> {
			prompts
				.iter()
				.flat_map(|prompt| of(prompt))
				.copied()
				.collect()
		};
		let hidden_shape = [batch, prompts[0].tokens, prompts[0].width];
		let hidden = floats(Role::Hidden, &hidden_shape, &all(|prompt| &prompt.numbers));
		let pooled = all(|prompt| &prompt.pooled);
		let pooled = floats(Role::Pooled, &[batch, pooled.len() / batch], &pooled);
		let time_ids = time_ids(request).repeat(batch);
		let time_ids = floats(Role::TimeIds, &[batch, TIME_IDS], &time_ids);
		let guidance = match self.unet.port(Role::Guidance) {
			Some((port, _)) => {
				let width = port.shape[1].or(self.folder.guidance_width());
				guidance_embedding(request.guidance, width.unwrap_or(0))
			},
			None => Vec::new(),
		};
		let width = guidance.len();
		let guidance = floats(Role::Guidance, &[batch, width], &guidance.repeat(batch));
		let name = self.unet.output_or_first(&["out_sample"]);
		let outputs = self.unet.run(
			&[
				(Role::Main, &sample),
				(Role::Timestep, &timesteps),
				(Role::Hidden, &hidden),
				(Role::Pooled, &pooled),
				(Role::TimeIds, &time_ids),
				(Role::Guidance, &guidance),
			],
			&[&name],
			turn,
			stop,
		)?;
		Ok(outputs
			.into_iter()
			.next()
			.map(Tensor::into_floats)
			.unwrap_or_default())
	}

	/// The picture as the UNet predicts it, if one is due after this step, which was not taken yet.
	fn preview(
		&mut self,
		request: &Request,
		step: usize,
		prediction: &[f32],
		canvas: &Canvas,
		stop: &Stop,
	) -> Result<Option<Preview>, Error> {
		let every = usize::from(request.options.preview_every);
		if every == 0 || !(step + 1).is_multiple_of(every) {
			return Ok(None);
		}
		let kind = self
			.folder
			.scheduler_config()
			.prediction_type
			.unwrap_or(PredictionType::Epsilon);
		let (signal, noise) = canvas.schedule.mixture(step);
		let latents: Vec<f32> = canvas
			.latents
			.iter()
			.zip(prediction)
			.map(|(&sample, &output)| match kind {
				PredictionType::Epsilon => (sample - noise * output) / signal,
				PredictionType::Sample => output,
				PredictionType::VPrediction => {
					let square = signal * signal + noise * noise;
					(signal * sample - noise * square.sqrt() * output) / square
				},
			})
			.collect();
		// Early predictions can be wild; a preview is no reason to fail.
		match self.decode(&latents, request, stop) {
			Ok(rgb) => Ok(Some(Preview {
				width: request.width.into(),
				height: request.height.into(),
				rgb,
			})),
			Err(Error::NotFinite { .. }) => Ok(None),
			Err(error) => Err(error),
		}
	}

	/// The picture that latents stand for: in smaller tiles, from then on, where memory runs out.
	fn decode(
		&mut self,
		latents: &[f32],
		request: &Request,
		stop: &Stop,
	) -> Result<Vec<u8>, Error> {
		loop {
			match self.decode_at_once(latents, request, stop) {
				Err(Error::OutOfMemory { path, problem }) => {
					let Some(side) = self.smaller_tile(request) else {
						return Err(Error::OutOfMemory { path, problem });
					};
					tracing::warn!(side, problem, "out of memory: decoding in smaller tiles");
					self.set_vae_tile(side)?;
				},
				decoded => return decoded,
			}
		}
	}

	/// About half the side of the tiles that this picture is decoded in; `None` where that is too small.
	fn smaller_tile(&self, request: &Request) -> Option<u16> {
		let whole = request.width.max(request.height);
		let side = match self.vae_tile {
			0 => whole,
			tile => tile.min(whole),
		};
		let (multiple, least) = self.tile_sides();
		let half = side / 2 / multiple * multiple;
		(u32::from(half) >= least).then_some(half)
	}

	/// The same with the tiles there are. Where the decoder's numbers are not finite and the folder has
	/// one in fp32, that one decodes them.
	fn decode_at_once(
		&mut self,
		latents: &[f32],
		request: &Request,
		stop: &Stop,
	) -> Result<Vec<u8>, Error> {
		let size = self.latent_size(request);
		let tile = usize::from(self.vae_tile) / self.folder.vae_factor() as usize;
		let config = self.folder.vae_config();
		let decode = |stage: &mut Stage| {
			if tile > 0 && size.iter().any(|side| *side > tile) {
				vae::decode_tiled(stage, config, latents, size, tile, stop)
			} else {
				vae::decode(stage, config, latents, size, Turn::Last, stop)
			}
		};
		let precise = self.folder.precise_decoder(self.device_class);
		let planes = match (decode(&mut self.vae_decoder), precise) {
			(Err(Error::NotFinite { .. }), Some(path)) => {
				let stage = match self.precise_decoder.take() {
					Some(stage) => stage,
					None => {
						tracing::info!("decoding in fp32: the decoder's numbers were not finite");
						load(&*self.backend, path)?
					},
				};
				decode(self.precise_decoder.insert(stage))
			},
			(planes, _) => planes,
		}?;
		Ok(vae::to_rgb(&planes))
	}

	/// The latents of a given picture.
	fn encode(
		&mut self,
		rgb: &[u8],
		request: &Request,
		noise: &[f32],
		stop: &Stop,
	) -> Result<Vec<f32>, Error> {
		let stage = match self.vae_encoder.take() {
			Some(stage) => stage,
			None => {
				if !self.folder.has_encoder() {
					let problem = "this model's folder has no vae_encoder";
					return Err(Error::request("start", problem));
				}
				load(
					&*self.backend,
					self.folder.graph("vae_encoder", self.device_class),
				)?
			},
		};
		let stage = self.vae_encoder.insert(stage);
		let config = self.folder.vae_config();
		vae::encode(stage, config, rgb, request.size(), noise, stop)
	}
}

/// A picture's latents before a step, and what it is to show.
struct Sample<'a> {
	latents: &'a [f32],
	prompts: &'a [Embedding],
}

/// Loads the graph of a component that has one input.
fn load(backend: &dyn Backend, path: PathBuf) -> Result<Stage, Error> {
	let graph = backend.load(&path)?;
	Stage::new(path, graph, |_| Some(Role::Main), &[Role::Main])
}

/// How many numbers tell Stable Diffusion XL of sizes.
const TIME_IDS: usize = 6;

/// The original size, the crop's corner and the size that is made: the picture is whole.
fn time_ids(request: &Request) -> [f32; TIME_IDS] {
	let [height, width] = [request.height, request.width].map(f32::from);
	[height, width, 0.0, 0.0, height, width]
}

/// The guidance scale as UNets that were distilled with it read it: waves of falling frequency
/// (Vaswani et al. 2017, arXiv:1706.03762) of 1000 times the scale less 1.
fn guidance_embedding(guidance: f32, width: usize) -> Vec<f32> {
	use std::f64::consts::TAU;
	const LONGEST: f64 = 10_000.0;
	const FACTOR: f32 = 1000.0;
	let half = width / 2;
	let scale = (guidance - 1.0) * FACTOR;
	let gap = (math::ln(LONGEST) / (half.max(2) - 1) as f64) as f32;
	let waves: Vec<(f64, f64)> = (0..half)
		.map(|index| {
			let frequency = math::exp(f64::from(index as f32 * -gap)) as f32;
			let turns = f64::from(scale * frequency) / TAU;
			math::sin_cos_turns(turns - turns.floor())
		})
		.collect();
	let sines = waves.iter().map(|(sin, _)| *sin as f32);
	let cosines = waves.iter().map(|(_, cos)| *cos as f32);
	let mut numbers: Vec<f32> = sines.chain(cosines).collect();
	numbers.resize(width, 0.0);
	numbers
}

fn embedding_bytes(embedding: &Embedding) -> Vec<u8> {
	let mut bytes = half_bytes(&embedding.numbers);
	bytes.extend(half_bytes(&embedding.pooled));
	bytes
}

fn half_bytes(numbers: &[f32]) -> Vec<u8> {
	numbers
		.iter()
		.flat_map(|&number| f16::from_f32(number).to_le_bytes())
		.collect()
}

fn finite(numbers: &[f32], stage: impl FnOnce() -> String) -> Result<(), Error> {
	if numbers.iter().all(|number| number.is_finite()) {
		Ok(())
	} else {
		Err(Error::NotFinite { stage: stage() })
	}
}

fn engine_profile(runtime_version: &str, device: &str) -> String {
	format!(
		"cuckoo-diffusion {}, onnxruntime {runtime_version}, {device}",
		env!("CARGO_PKG_VERSION")
	)
}

/// The instructions by which ONNX Runtime's CPU kernels choose among themselves.
fn instruction_set() -> &'static str {
	#[cfg(target_arch = "x86_64")]
	{
		if is_x86_feature_detected!("avx512f") {
			"x86_64 avx512"
		} else if is_x86_feature_detected!("avx2") {
			"x86_64 avx2"
		} else {
			"x86_64"
		}
	}
	#[cfg(not(target_arch = "x86_64"))]
	{
		std::env::consts::ARCH
	}
}

/// What Linux calls the processor.
fn processor_name() -> String {
	std::fs::read_to_string("/proc/cpuinfo")
		.ok()
		.and_then(|text| {
			let line = text.lines().find(|line| line.starts_with("model name"))?;
			Some(line.split_once(':')?.1.trim().to_owned())
		})
		.unwrap_or_else(|| std::env::consts::ARCH.into())
}
