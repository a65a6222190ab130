//! One request to one picture.

use crate::{
	backend::{Backend, Element, Graph, OnnxRuntime, Port, Tensor},
	cuda, rng, runtime,
	schedulers::Scheduler,
	text::Tokenizer,
	Device, DeviceClass, Error, ModelFolder,
};
use half::f16;
use std::{ops::RangeInclusive, path::PathBuf};

/// More steps make no better picture; fewer keep a request bounded.
pub const MAX_STEPS: u16 = 500;
/// A prompt's bytes in UTF-8. CLIP reads 77 tokens of it.
pub const MAX_PROMPT_BYTES: usize = 8192;
/// Guidance scales that are taken.
pub const GUIDANCE: RangeInclusive<f32> = 0.0..=100.0;

/// Up to this scale there is nothing to guide away from: the UNet runs on the prompt alone.
const NO_GUIDANCE: f32 = 1.0;
/// A UNet of fewer bytes is small.
const SMALL_UNET: u64 = 64 << 20;
/// Red, green, blue.
const COLOURS: usize = 3;

/// What the picture is to be. The same request to the same model gives the same picture.
#[derive(Clone, PartialEq, Debug)]
pub struct Request {
	/// What it shows.
	pub prompt: String,
	/// What it must not show; empty for none. Read only where guidance is above 1.
	pub negative_prompt: String,
	/// Which noise it starts from.
	pub seed: u64,
	/// How many denoising steps, up to [`MAX_STEPS`].
	pub steps: u16,
	/// Pixels; a multiple of the model's [`size_multiple`](ModelFolder::size_multiple).
	pub width: u16,
	/// Pixels; a multiple of the model's [`size_multiple`](ModelFolder::size_multiple).
	pub height: u16,
	/// Classifier-free guidance scale (Ho and Salimans 2022, arXiv:2207.12598); 1 or less for none.
	pub guidance: f32,
	/// How the steps are taken.
	pub scheduler: Scheduler,
}

impl Request {
	/// A request with the model's defaults.
	pub fn new(folder: &ModelFolder, prompt: impl Into<String>, seed: u64) -> Self {
		Self {
			prompt: prompt.into(),
			negative_prompt: String::new(),
			seed,
			steps: folder.default_steps(),
			width: folder.default_size(),
			height: folder.default_size(),
			guidance: folder.default_guidance(),
			scheduler: folder.default_scheduler(),
		}
	}
}

/// How a pipeline is loaded.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LoadOptions {
	/// Where it runs.
	pub device: Device,
	/// Threads on the CPU; 0 for what suits the model: one for a small one, one a physical core for
	/// others. The picture does not depend on it.
	pub threads: usize,
}

/// How far a picture is. Told before the first step (with 0) and after each.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Progress {
	/// Steps done.
	pub step: u16,
	/// Steps in all.
	pub of: u16,
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
/// 2. the latents after each step, so many as there are steps;
/// 3. the text embedding: of the negative prompt and the prompt where guidance is above 1, else of
///    the prompt;
/// 4. the decoded picture: the bytes of [`Picture::rgb`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trajectory {
	/// The leaves: steps + 3 of them.
	pub leaves: Vec<Vec<u8>>,
}

/// A model's graphs, loaded on a device. One picture at a time.
pub struct Pipeline {
	folder: ModelFolder,
	tokenizer: Tokenizer,
	text_encoder: Stage<1>,
	unet: Stage<3>,
	vae_decoder: Stage<1>,
	device_class: DeviceClass,
	device_name: String,
	engine_profile: String,
}

impl Pipeline {
	/// Loads a model's graphs. [`Device::Auto`] falls back to the CPU where CUDA does not work, and
	/// logs why.
	pub fn load(folder: &ModelFolder, options: &LoadOptions) -> Result<Self, Error> {
		match options.device {
			Device::Cpu => Self::on_cpu(folder, options.threads),
			Device::Cuda(number) => Self::on_cuda(folder, number, options.threads),
			Device::Auto => {
				const FIRST: u32 = 0;
				Self::on_cuda(folder, FIRST, options.threads).or_else(|error| {
					tracing::info!(reason = %error, "running on the CPU");
					Self::on_cpu(folder, options.threads)
				})
			},
		}
	}

	/// Loads a model's graphs on any backend; the rest describes it to whoever asks.
	pub fn with_backend(
		folder: &ModelFolder,
		backend: &dyn Backend,
		device_class: DeviceClass,
		device_name: String,
		engine_profile: String,
	) -> Result<Self, Error> {
		let load = |component: &str| {
			let path = folder.graph(component);
			backend.load(&path).map(|graph| (path, graph))
		};
		let (path, graph) = load("text_encoder")?;
		let text_encoder = Stage::new(path, graph, |_| Some(0), &["last_hidden_state"])?;
		let (path, graph) = load("unet")?;
		let unet = Stage::new(path, graph, unet_input, &["out_sample"])?;
		let (path, graph) = load("vae_decoder")?;
		let vae_decoder = Stage::new(path, graph, |_| Some(0), &["sample"])?;
		Ok(Self {
			folder: folder.clone(),
			tokenizer: Tokenizer::load(folder.tokenizer_config())?,
			text_encoder,
			unet,
			vae_decoder,
			device_class,
			device_name,
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
		let device = format!("cpu {}", instruction_set());
		let profile = engine_profile(&runtime::init(None)?.version, &device);
		let backend = OnnxRuntime::cpu(threads);
		Self::with_backend(
			folder,
			&backend,
			DeviceClass::Cpu,
			processor_name(),
			profile,
		)
	}

	fn on_cuda(folder: &ModelFolder, number: u32, threads: usize) -> Result<Self, Error> {
		let device = Device::Cuda(number);
		let unusable = |problem| Error::Device { device, problem };
		let version = runtime::init(None)?.version;
		let gpu = cuda::gpu(number).map_err(unusable)?;
		OnnxRuntime::cuda_available().map_err(unusable)?;
		let cuda::Gpu { name, major, minor } = gpu;
		let profile = engine_profile(
			&version,
			&format!("cuda sm_{major}{minor} heuristic no-tf32"),
		);
		let class = DeviceClass::Cuda { major, minor };
		let backend = OnnxRuntime::cuda(number, threads);
		let mut pipeline = Self::with_backend(folder, &backend, class, name, profile)?;
		// cuDNN is loaded at the first convolution: one that is missing must show now, not when the
		// first task has come.
		let mut probe = Request::new(folder, "", 0);
		probe.steps = 1;
		pipeline
			.generate(&probe, &mut |_| Control::Continue)
			.map_err(|error| unusable(format!("the first picture failed: {error}")))?;
		Ok(pipeline)
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

	/// Makes the picture.
	pub fn generate(
		&mut self,
		request: &Request,
		on_step: &mut dyn FnMut(Progress) -> Control,
	) -> Result<Picture, Error> {
		self.check(request)?;
		let mut schedule = request
			.scheduler
			.plan(self.folder.scheduler_config(), request.steps)
			.map_err(|problem| Error::request("steps", problem))?;
		let mut report = |step| match on_step(Progress {
			step,
			of: request.steps,
		}) {
			Control::Continue => Ok(()),
			Control::Cancel => Err(Error::Cancelled),
		};
		report(0)?;

		let prompts = self.embed(request)?;
		let shape = self.latent_shape(request);
		let mut latents = rng::normal(
			request.seed,
			rng::Stream::InitialNoise,
			shape.iter().product(),
		);
		let scale = schedule.initial_scale();
		latents.iter_mut().for_each(|number| *number *= scale);

		let mut leaves = Vec::with_capacity(usize::from(request.steps) + 3);
		leaves.push(half_bytes(&latents));
		for step in 0..request.steps {
			let index = usize::from(step);
			let timestep = schedule.timesteps()[index];
			let mut input = latents.clone();
			schedule.scale_input(index, &mut input);
			let prediction = self.predict(&input, &shape, timestep, &prompts, request.guidance)?;
			schedule.step(index, &prediction, &mut latents);
			finite(&latents, || {
				format!("step {} of {}", step + 1, request.steps)
			})?;
			leaves.push(half_bytes(&latents));
			report(step + 1)?;
		}
		leaves.push(
			prompts
				.iter()
				.flat_map(|prompt| half_bytes(&prompt.numbers))
				.collect(),
		);

		let rgb = self.decode(&latents, &shape, request)?;
		leaves.push(rgb.clone());
		Ok(Picture {
			width: request.width.into(),
			height: request.height.into(),
			rgb,
			trajectory: Trajectory { leaves },
		})
	}

	/// Refuses what this model does not make.
	fn check(&self, request: &Request) -> Result<(), Error> {
		let prompts = [
			("prompt", &request.prompt),
			("negative_prompt", &request.negative_prompt),
		];
		for (field, prompt) in prompts {
			if prompt.len() > MAX_PROMPT_BYTES {
				let length = prompt.len();
				let problem = format!("has {length} bytes; at most {MAX_PROMPT_BYTES} are read");
				return Err(Error::request(field, problem));
			}
		}
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
		let fixed = |axis: usize| self.unet.inputs[SAMPLE].shape[axis].map(|side| side * factor);
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
		Ok(())
	}

	/// Batch 1, channels, height, width.
	fn latent_shape(&self, request: &Request) -> [usize; 4] {
		let factor = self.folder.vae_factor() as usize;
		let [height, width] =
			[request.height, request.width].map(|side| usize::from(side) / factor);
		[1, self.folder.latent_channels(), height, width]
	}

	/// The embeddings of the prompts that the UNet runs on: the negative one first where there is
	/// guidance.
	fn embed(&mut self, request: &Request) -> Result<Vec<Embedding>, Error> {
		let mut prompts = vec![&request.prompt];
		if request.guidance > NO_GUIDANCE {
			prompts.insert(0, &request.negative_prompt);
		}
		let mut embeddings = Vec::with_capacity(prompts.len());
		for prompt in prompts {
			let tokens = self.tokenizer.encode(prompt)?;
			if tokens.cut > 0 {
				tracing::warn!(
					cut = tokens.cut,
					"the prompt is too long for the model; its end is cut"
				);
			}
			let element = self.text_encoder.element(0);
			let ids = Tensor::from_ids(element, &[1, tokens.ids.len()], &tokens.ids);
			let hidden = self.text_encoder.run([&ids])?;
			let shape = hidden.shape.clone();
			let numbers = hidden.into_floats();
			finite(&numbers, || "the text encoder".into())?;
			embeddings.push(Embedding { shape, numbers });
		}
		Ok(embeddings)
	}

	/// What the UNet predicts for a sample, guided.
	fn predict(
		&mut self,
		sample: &[f32],
		shape: &[usize; 4],
		timestep: f32,
		prompts: &[Embedding],
		guidance: f32,
	) -> Result<Vec<f32>, Error> {
		// Both prompts at once, unless the UNet was exported for one.
		let batch = match self.unet.inputs[SAMPLE].shape[0] {
			Some(1) => 1,
			_ => prompts.len(),
		};
		let mut outputs = Vec::with_capacity(sample.len() * prompts.len());
		for prompts in prompts.chunks(batch) {
			let mut sample_shape = *shape;
			sample_shape[0] = batch;
			let samples = sample.repeat(batch);
			let samples = Tensor::from_floats(self.unet.element(SAMPLE), &sample_shape, &samples);

			let port = &self.unet.inputs[TIMESTEP];
			let timestep_shape: Vec<usize> =
				port.shape.iter().map(|size| size.unwrap_or(1)).collect();
			let timesteps = vec![timestep; timestep_shape.iter().product()];
			let timesteps =
				Tensor::from_floats(self.unet.element(TIMESTEP), &timestep_shape, &timesteps);

			let mut hidden_shape = prompts[0].shape.clone();
			hidden_shape[0] = batch;
			let hidden: Vec<f32> = prompts
				.iter()
				.flat_map(|prompt| &prompt.numbers)
				.copied()
				.collect();
			let hidden = Tensor::from_floats(self.unet.element(HIDDEN), &hidden_shape, &hidden);

			outputs.extend(
				self.unet
					.run([&samples, &timesteps, &hidden])?
					.into_floats(),
			);
		}
		if outputs.len() != sample.len() * prompts.len() {
			return Err(Error::Graph {
				path: self.unet.path.clone(),
				problem: "its output has not the shape of its sample".into(),
			});
		}
		if prompts.len() == 1 {
			return Ok(outputs);
		}
		let (negative, positive) = outputs.split_at(sample.len());
		Ok(negative
			.iter()
			.zip(positive)
			.map(|(negative, positive)| negative + guidance * (positive - negative))
			.collect())
	}

	/// The picture that latents stand for.
	fn decode(
		&mut self,
		latents: &[f32],
		shape: &[usize; 4],
		request: &Request,
	) -> Result<Vec<u8>, Error> {
		let vae = self.folder.vae_config();
		let unscaled: Vec<f32> = latents
			.iter()
			.map(|number| number / vae.scaling + vae.shift)
			.collect();
		let input = Tensor::from_floats(self.vae_decoder.element(0), shape, &unscaled);
		let output = self.vae_decoder.run([&input])?;
		let size = [request.height, request.width].map(usize::from);
		if output.shape != [1, COLOURS, size[0], size[1]] {
			return Err(Error::Graph {
				path: self.vae_decoder.path.clone(),
				problem: format!(
					"its output has shape {:?}, not that of a picture of {}x{}",
					output.shape, size[1], size[0]
				),
			});
		}
		let planes = output.into_floats();
		finite(&planes, || "the VAE decoder".into())?;
		let pixels = size[0] * size[1];
		Ok((0..pixels * COLOURS)
			.map(|index| to_byte(planes[index % COLOURS * pixels + index / COLOURS]))
			.collect())
	}
}

/// A prompt as the text encoder gives it: batch 1, tokens, width.
struct Embedding {
	shape: Vec<usize>,
	numbers: Vec<f32>,
}

/// −1…1 to 0…255, as diffusers rounds it.
fn to_byte(number: f32) -> u8 {
	((number / 2.0 + 0.5).clamp(0.0, 1.0) * 255.0).round_ties_even() as u8
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

/// The UNet's inputs, in the order that [`Stage::run`] takes them.
const SAMPLE: usize = 0;
const TIMESTEP: usize = 1;
const HIDDEN: usize = 2;

/// Which of the UNet's inputs a port is: their ranks differ whatever their names are.
fn unet_input(port: &Port) -> Option<usize> {
	match port.shape.len() {
		4 => Some(SAMPLE),
		0 | 1 => Some(TIMESTEP),
		3 => Some(HIDDEN),
		_ => None,
	}
}

/// A graph whose inputs have been told apart.
struct Stage<const INPUTS: usize> {
	path: PathBuf,
	graph: Box<dyn Graph>,
	inputs: [Port; INPUTS],
	elements: [Element; INPUTS],
	output: String,
}

impl<const INPUTS: usize> Stage<INPUTS> {
	/// `role` gives an input's place among the arguments of [`run`](Self::run); the output is the
	/// first of `outputs` that there is, else the first of all.
	fn new(
		path: PathBuf,
		graph: Box<dyn Graph>,
		role: impl Fn(&Port) -> Option<usize>,
		outputs: &[&str],
	) -> Result<Self, Error> {
		let mut places: [Option<(Port, Element)>; INPUTS] = std::array::from_fn(|_| None);
		for port in graph.inputs() {
			let (Some(place), Some(element)) = (role(port), port.element) else {
				return Err(unexpected(&path, port));
			};
			if places[place].replace((port.clone(), element)).is_some() {
				return Err(unexpected(&path, port));
			}
		}
		let missing = || {
			Error::model(
				&path,
				format!("has fewer inputs than the {INPUTS} that are expected"),
			)
		};
		let places: Vec<_> = places
			.into_iter()
			.collect::<Option<_>>()
			.ok_or_else(missing)?;
		let (inputs, elements): (Vec<_>, Vec<_>) = places.into_iter().unzip();
		let output = outputs
			.iter()
			.find_map(|name| graph.outputs().iter().find(|port| port.name == **name))
			.or(graph.outputs().first())
			.ok_or_else(|| Error::model(&path, "has no output"))?
			.name
			.clone();
		let (Ok(inputs), Ok(elements)) = (inputs.try_into(), elements.try_into()) else {
			return Err(missing());
		};
		Ok(Self {
			path,
			graph,
			inputs,
			elements,
			output,
		})
	}

	fn element(&self, input: usize) -> Element {
		self.elements[input]
	}

	fn run(&mut self, tensors: [&Tensor; INPUTS]) -> Result<Tensor, Error> {
		let inputs: Vec<(&str, &Tensor)> = self
			.inputs
			.iter()
			.map(|port| port.name.as_str())
			.zip(tensors)
			.collect();
		self.graph.run(&inputs, &self.output)
	}
}

fn unexpected(path: &std::path::Path, port: &Port) -> Error {
	Error::model(
		path,
		format!(
			"has an input `{}` of rank {} that this engine does not know: it runs Stable Diffusion \
			 1 and 2 (not XL, LCM with guidance embedding, or ControlNet)",
			port.name,
			port.shape.len()
		),
	)
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
