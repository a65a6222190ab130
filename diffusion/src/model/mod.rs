//! The model folder: layout, limits, identity.
//!
//! ```text
//! model_index.json                 which components there are
//! scheduler/scheduler_config.json  noise schedule, spacing, prediction type
//! tokenizer/                       vocab.json, merges.txt, and optionally tokenizer_config.json,
//!                                  special_tokens_map.json
//! text_encoder/                    model.onnx, config.json
//! unet/                            model.onnx, config.json
//! vae_decoder/                     model.onnx, config.json, and optionally model_fp32.onnx
//! vae_encoder/                     optional: model.onnx, to start from a picture
//! tokenizer_2/, text_encoder_2/    of Stable Diffusion XL, as the first
//! cuckoo.json                      optional: name and defaults, read by nobody else
//! ```
//!
//! Beside each `model.onnx` may lie a `model_cuda.onnx`, which computes the same with operators that only
//! CUDA has: it is what runs there.
//!
//! That is what diffusers and optimum export for Stable Diffusion 1, 2 and XL, Turbo and LCM. Other folders and files
//! may lie beside these.

mod config;
mod identity;
mod onnx;

pub use config::{TextEncoderConfig, TokenizerConfig, UnetConfig, VaeConfig};

use crate::{
	schedulers::{Scheduler, SchedulerConfig},
	DeviceClass, Error,
};
use config::{read_json, read_python_json, CuckooConfig, Kind, ModelIndex};
use std::{
	ffi::OsStr,
	fs,
	path::{Path, PathBuf},
};

/// A component's graph.
const GRAPH: &str = "model.onnx";
/// The decoder once more in fp32, for latents that fp16 cannot decode.
const PRECISE_GRAPH: &str = "model_fp32.onnx";
/// A component's graph once more, with operators that only CUDA has.
pub const CUDA_GRAPH: &str = "model_cuda.onnx";
/// What may have a graph.
pub const GRAPH_FOLDERS: [&str; 5] = [
	"text_encoder",
	"text_encoder_2",
	"unet",
	"vae_decoder",
	"vae_encoder",
];
/// Neither side of a picture is ever larger, whatever the folder says.
pub const MAX_SIDE: u16 = 2048;
/// A model makes pictures of up to so many times its own sides, unless `cuckoo.json` says otherwise:
/// beyond, pictures repeat themselves, and attention takes memory by the fourth power of the side.
const MAX_ENLARGEMENT: u32 = 2;
/// What Stable Diffusion is used with by most.
const DEFAULT_STEPS: u16 = 25;
/// What latent consistency models are distilled for.
const LCM_STEPS: u16 = 4;
const DEFAULT_GUIDANCE: f32 = 7.5;

/// A model folder that was read, checked and hashed; its graphs are not loaded yet.
#[derive(Clone, Debug)]
pub struct ModelFolder {
	root: PathBuf,
	hash: [u8; 32],
	name: String,
	default_steps: u16,
	default_guidance: f32,
	max_side: u16,
	scheduler: SchedulerConfig,
	tokenizer: TokenizerConfig,
	text_encoder: TextEncoderConfig,
	/// The second text encoder's, of Stable Diffusion XL.
	second_tokenizer: Option<TokenizerConfig>,
	kind: Kind,
	zeros_for_empty: bool,
	has_encoder: bool,
	has_precise_decoder: bool,
	unet: UnetConfig,
	vae: VaeConfig,
}

impl ModelFolder {
	/// Reads the folder's configuration, checks that it is of a kind that this engine runs and that
	/// nothing in it points out of it, and hashes it (a few seconds for several gigabytes).
	pub fn open(dir: &Path) -> Result<Self, Error> {
		let root = dir.canonicalize().map_err(|source| Error::Read {
			path: dir.into(),
			source,
		})?;
		if !root.is_dir() {
			return Err(Error::model(
				dir,
				"is no folder; name the folder that holds model_index.json",
			));
		}
		// First of all, so that nothing below reads what is no file.
		let files = identity::files(&root)?;
		let index: ModelIndex = read_json(&root.join("model_index.json"))?;
		let kind = index.check(&root)?;
		let xl = kind == Kind::Xl;

		let scheduler_path = root.join("scheduler").join("scheduler_config.json");
		let mut scheduler: SchedulerConfig = read_python_json(&scheduler_path)?;
		if kind == Kind::StableDiffusion {
			scheduler = scheduler.for_stable_diffusion();
		}
		scheduler
			.check()
			.map_err(|problem| Error::model(&scheduler_path, problem))?;
		let text_encoder = TextEncoderConfig::read(&root, "text_encoder")?;
		let tokenizer = TokenizerConfig::read(&root, "tokenizer", &text_encoder)?;
		let second_tokenizer = if xl {
			let encoder = TextEncoderConfig::read(&root, "text_encoder_2")?;
			Some(TokenizerConfig::read(&root, "tokenizer_2", &encoder)?)
		} else {
			None
		};
		let unet = UnetConfig::read(&root)?;
		let vae = VaeConfig::read(&root, kind)?;
		if unet.in_channels != vae.latent_channels {
			return Err(Error::model(
				root.join("unet").join("config.json"),
				format!(
					"in_channels {} differs from the VAE's {} latent channels: this is an inpainting \
					 or other special UNet, which this engine does not run",
					unet.in_channels, vae.latent_channels
				),
			));
		}
		let extras = CuckooConfig::read(&root)?;

		let mut graphs = vec!["text_encoder", "unet", "vae_decoder"];
		graphs.extend(xl.then_some("text_encoder_2"));
		let mut graphs: Vec<PathBuf> = graphs
			.iter()
			.map(|component| root.join(component).join(GRAPH))
			.collect();
		let optional = [
			root.join("vae_encoder").join(GRAPH),
			root.join("vae_decoder").join(PRECISE_GRAPH),
		];
		let [has_encoder, has_precise_decoder] = optional.each_ref().map(|path| path.exists());
		let fused = GRAPH_FOLDERS.map(|component| root.join(component).join(CUDA_GRAPH));
		let there = optional.into_iter().chain(fused);
		graphs.extend(there.filter(|path| path.exists()));
		for graph in &graphs {
			let component = graph.parent().and_then(Path::file_name);
			let component = component.and_then(OsStr::to_str).unwrap_or_default();
			onnx::check_external_data(graph, component, |name| files.has(name))?;
		}
		let hash = identity::hash(&files)?;

		let mut folder = Self {
			hash,
			name: extras.name.unwrap_or_else(|| {
				root.file_name()
					.map_or("model".into(), |name| name.to_string_lossy().into_owned())
			}),
			default_steps: extras.default_steps.unwrap_or(match scheduler.own_class() {
				Some(Scheduler::Lcm) => LCM_STEPS,
				_ => DEFAULT_STEPS,
			}),
			default_guidance: extras.default_guidance.unwrap_or(DEFAULT_GUIDANCE),
			max_side: MAX_SIDE,
			scheduler,
			tokenizer,
			text_encoder,
			second_tokenizer,
			kind,
			zeros_for_empty: index.zeros_for_empty(kind),
			has_encoder,
			has_precise_decoder,
			unet,
			vae,
			root,
		};
		let default = folder.unet.sample_side.saturating_mul(folder.vae_factor());
		let multiple = folder.multiple().unwrap_or(u32::MAX);
		if default > u32::from(MAX_SIDE) || default < multiple || !default.is_multiple_of(multiple)
		{
			return Err(Error::model(
				folder.root.join("unet").join("config.json"),
				format!(
					"pictures of {default} pixels a side in multiples of {multiple} are none that \
					 this engine makes (at most {MAX_SIDE})"
				),
			));
		}
		let limit = extras
			.max_size
			.map_or(default.saturating_mul(MAX_ENLARGEMENT), u32::from)
			.clamp(default, u32::from(MAX_SIDE));
		// At most MAX_SIDE, which is a u16.
		folder.max_side = (limit / multiple * multiple) as u16;
		// What a scheduler's class cannot do shows only in a schedule of it.
		folder
			.default_scheduler()
			.plan(&folder.scheduler, folder.default_steps)
			.map_err(|problem| Error::model(&scheduler_path, problem))?;
		Ok(folder)
	}

	/// The model's identity: what it computes, in 32 bytes.
	///
	/// BLAKE3 of `"cuckoo/model/1"`, then for every file that counts, in the order of the bytes of
	/// its path: the path's length (`u32` little-endian), the path relative to the folder in UTF-8
	/// with `/` between its parts, the content's length (`u64` little-endian), the content.
	///
	/// The files that count: `model_index.json`, and every file at any depth under `scheduler/`,
	/// `tokenizer/`, `tokenizer_2/`, `text_encoder/`, `text_encoder_2/`, `unet/`, `vae_decoder/` and
	/// `vae_encoder/`, except those whose name, or whose folder's name, starts with a dot. Read-me,
	/// licence and `cuckoo.json` do not count. Links are followed, and refused where they leave the
	/// folder; so is a graph whose weights are in a file that does not count.
	pub fn hash(&self) -> [u8; 32] {
		self.hash
	}

	/// The name in `cuckoo.json`, or the folder's.
	pub fn name(&self) -> &str {
		&self.name
	}

	/// The folder, absolute.
	pub fn path(&self) -> &Path {
		&self.root
	}

	/// Width and height that the model was trained for, in pixels.
	pub fn default_size(&self) -> u16 {
		// `open` checked it against MAX_SIDE.
		(self.unet.sample_side * self.vae_factor()) as u16
	}

	/// Width and height must be multiples of this: the VAE's factor times what the UNet halves.
	pub fn size_multiple(&self) -> u16 {
		// `open` checked that it is no larger than the default size.
		self.multiple().unwrap_or(u32::MAX) as u16
	}

	/// Neither width nor height may be larger.
	pub fn max_size(&self) -> u16 {
		self.max_side
	}

	/// The steps for a user who names none.
	pub fn default_steps(&self) -> u16 {
		self.default_steps
	}

	/// The guidance scale for a user who names none.
	pub fn default_guidance(&self) -> f32 {
		self.default_guidance
	}

	/// The folder's own scheduler; DDIM if this engine does not have that one.
	pub fn default_scheduler(&self) -> Scheduler {
		self.scheduler.own_class().unwrap_or(Scheduler::Ddim)
	}

	/// Latents are smaller than pictures by this factor a side.
	pub fn vae_factor(&self) -> u32 {
		self.vae.factor
	}

	/// Channels of the latents.
	pub fn latent_channels(&self) -> usize {
		self.vae.latent_channels
	}

	/// The scheduler's configuration, as the folder's pipeline takes it: that of Stable Diffusion 1 and 2
	/// has a `steps_offset` of 1 and no `clip_sample`, whatever the file says.
	pub fn scheduler_config(&self) -> &SchedulerConfig {
		&self.scheduler
	}

	/// The tokenizer's configuration.
	pub fn tokenizer_config(&self) -> &TokenizerConfig {
		&self.tokenizer
	}

	/// Whether it is a Stable Diffusion XL, with two text encoders.
	pub fn is_xl(&self) -> bool {
		self.kind == Kind::Xl
	}

	/// Whether it is a latent consistency model by its class, and not by its scheduler alone.
	pub(crate) fn is_lcm(&self) -> bool {
		self.kind == Kind::Lcm
	}

	/// Whether it can encode a picture, to start from one.
	pub fn has_encoder(&self) -> bool {
		self.has_encoder
	}

	/// The text encoders' folders, each with the configuration of its tokenizer.
	pub(crate) fn tokenizer_configs(
		&self,
	) -> impl Iterator<Item = (&'static str, &TokenizerConfig)> {
		let second = self.second_tokenizer.as_ref();
		[("text_encoder", &self.tokenizer)]
			.into_iter()
			.chain(second.map(|config| ("text_encoder_2", config)))
	}

	/// The configuration of the second tokenizer, of Stable Diffusion XL.
	pub fn second_tokenizer_config(&self) -> Option<&TokenizerConfig> {
		self.second_tokenizer.as_ref()
	}

	/// Whether an empty negative prompt is zeros instead of an empty text.
	pub(crate) fn zeros_for_empty_prompt(&self) -> bool {
		self.zeros_for_empty
	}

	/// How many numbers the guidance scale's embedding has, if the UNet reads one.
	pub(crate) fn guidance_width(&self) -> Option<usize> {
		self.unet.guidance_width
	}

	/// The file of a decoder in fp32 for where that of `class` gives numbers that are not finite.
	pub(crate) fn precise_decoder(&self, class: DeviceClass) -> Option<PathBuf> {
		let decoder = self.root.join("vae_decoder");
		if self.has_precise_decoder {
			Some(decoder.join(PRECISE_GRAPH))
		} else {
			// CUDA's own is of fp16, as a rule.
			let plain = decoder.join(GRAPH);
			(self.graph("vae_decoder", class) != plain).then_some(plain)
		}
	}

	/// The text encoder's configuration.
	pub fn text_encoder_config(&self) -> &TextEncoderConfig {
		&self.text_encoder
	}

	/// The VAE's configuration.
	pub fn vae_config(&self) -> &VaeConfig {
		&self.vae
	}

	/// The file of a component's graph, for devices of this class.
	pub(crate) fn graph(&self, component: &str, class: DeviceClass) -> PathBuf {
		let folder = self.root.join(component);
		let fused = folder.join(CUDA_GRAPH);
		match class {
			DeviceClass::Cuda { .. } if fused.exists() => fused,
			_ => folder.join(GRAPH),
		}
	}

	/// Bytes of the files of the UNet's graph, weights included.
	pub(crate) fn unet_bytes(&self) -> u64 {
		bytes_in(&self.root.join("unet"))
	}

	/// Bytes of the files of the graphs that a picture takes, weights included: about what a loaded
	/// pipeline holds in memory before it runs, on the device where that is more.
	pub fn weight_bytes(&self) -> u64 {
		let second = self.is_xl().then_some("text_encoder_2");
		["text_encoder", "unet", "vae_decoder"]
			.into_iter()
			.chain(second)
			.map(|component| bytes_in(&self.root.join(component)))
			.fold(0, u64::saturating_add)
	}

	fn multiple(&self) -> Option<u32> {
		self.vae.factor.checked_mul(self.unet.factor)
	}
}

/// Bytes of the files of a component's graph, as far as they can be read: of the one for CUDA or the
/// other, whichever has more.
fn bytes_in(folder: &Path) -> u64 {
	let (mut plain, mut fused) = (0u64, 0u64);
	for file in fs::read_dir(folder).into_iter().flatten().flatten() {
		let Ok(metadata) = fs::metadata(file.path()) else {
			continue;
		};
		let name = file.file_name();
		// With its weights in `model_cuda.onnx_data`.
		let is_fused = name.as_encoded_bytes().starts_with(CUDA_GRAPH.as_bytes());
		let sum = if is_fused { &mut fused } else { &mut plain };
		if metadata.is_file() {
			*sum = sum.saturating_add(metadata.len());
		}
	}
	plain.max(fused)
}
