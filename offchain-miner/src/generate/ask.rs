//! The options of `generate` as requests.

use super::{GenerateArgs, Size};
use crate::engine;
use anyhow::{ensure, Context};
use cuckoo_coordinator_api::limits;
use cuckoo_diffusion::{
	png::{self, Decoded, Limits},
	Mask, ModelFolder, Options, Request, Start,
};
use cuckoo_primitives::task::TaskSpec;
use std::{fs::File, io::Read, path::Path};

/// A picture that is asked for.
pub(super) struct Asked {
	/// The spec of a task that would ask for the same, as far as a task can.
	pub(super) spec: TaskSpec,
	pub(super) request: Request,
}

impl Asked {
	/// Whether a task could ask for it.
	pub(super) fn is_a_task(&self) -> bool {
		let Options {
			weighting,
			long_prompts,
			clip_skip,
			start,
			// Changes no picture.
			preview_every: _,
		} = &self.request.options;
		!weighting && !long_prompts && *clip_skip == 0 && start.is_none()
	}

	/// What the PNG says about itself: as a task's does, and what a task cannot ask for.
	pub(super) fn parameters(&self, model: &str) -> Vec<(&'static str, String)> {
		let mut parameters = engine::parameters(&self.spec, model);
		if self.is_a_task() {
			return parameters;
		}
		parameters.retain(|(name, _)| *name != "spec_hash");
		let options = &self.request.options;
		if options.weighting {
			parameters.push(("prompt_weights", "yes".into()));
		}
		if options.long_prompts {
			parameters.push(("long_prompts", "yes".into()));
		}
		if options.clip_skip > 0 {
			parameters.push(("clip_skip", options.clip_skip.to_string()));
		}
		if let Some(start) = &options.start {
			parameters.push(("strength", start.strength.to_string()));
			let mask = if start.mask.is_some() { "yes" } else { "no" };
			parameters.push(("mask", mask.into()));
		}
		parameters
	}
}

/// All pictures that the user asks for.
pub(super) fn all(args: &GenerateArgs, folder: &ModelFolder) -> anyhow::Result<Vec<Asked>> {
	let start = args
		.from
		.as_deref()
		.map(|from| start(args, from))
		.transpose()?;
	let (start, size) = start.unzip();
	if let (Some(asked), Some(from)) = (args.size, size) {
		ensure!(
			asked == from,
			"--from is {}x{}, which --size {}x{} is not: leave it out, or scale the picture first",
			from.width,
			from.height,
			asked.width,
			asked.height
		);
	}
	let first = spec(args, folder, size)?;
	let options = Options {
		weighting: args.weights,
		long_prompts: args.long_prompts,
		clip_skip: args.clip_skip,
		start,
		preview_every: args.preview.as_ref().map_or(0, |_| args.preview_every),
	};
	Ok((0..args.count)
		.map(|number| {
			let spec = TaskSpec {
				seed: first.seed.wrapping_add(number.into()),
				..first.clone()
			};
			let request = Request {
				options: options.clone(),
				..engine::request(&spec)
			};
			Asked { spec, request }
		})
		.collect())
}

fn spec(
	args: &GenerateArgs,
	folder: &ModelFolder,
	start: Option<Size>,
) -> anyhow::Result<TaskSpec> {
	ensure!(
		(1..=limits::MAX_PROMPT_BYTES).contains(&args.prompt.len()),
		"the prompt must have 1 to {} bytes",
		limits::MAX_PROMPT_BYTES
	);
	let model = engine::model_info(folder);
	let guidance = args.guidance.unwrap_or_else(|| folder.default_guidance());
	ensure!(
		(0.0..=limits::MAX_GUIDANCE).contains(&f64::from(guidance)),
		"the guidance must lie within 0 and {}",
		limits::MAX_GUIDANCE
	);
	let size = args.size.or(start).unwrap_or(Size {
		width: model.default_size,
		height: model.default_size,
	});
	Ok(TaskSpec {
		model: model.hash,
		prompt: args.prompt.clone(),
		negative_prompt: args.negative.clone(),
		seed: args.seed.unwrap_or_else(rand::random),
		steps: args.steps.unwrap_or(model.default_steps),
		width: size.width,
		height: size.height,
		guidance_milli: engine::milli(guidance),
		scheduler: engine::scheduler_kind(
			args.scheduler.unwrap_or_else(|| folder.default_scheduler()),
		),
	})
}

/// The picture to start from, and its size.
fn start(args: &GenerateArgs, from: &Path) -> anyhow::Result<(Start, Size)> {
	let picture = read(from)?;
	let mask = match args.mask.as_deref() {
		Some(path) => {
			let mask = read(path)?;
			ensure!(
				(mask.info.width, mask.info.height) == (picture.info.width, picture.info.height),
				"{} is {}x{} and {} is {}x{}: they must be of one size",
				path.display(),
				mask.info.width,
				mask.info.height,
				from.display(),
				picture.info.width,
				picture.info.height
			);
			let brightness = |rgb: &[u8]| {
				let sum: u16 = rgb.iter().copied().map(u16::from).sum();
				// The mean of bytes is one.
				(sum / rgb.len() as u16) as u8
			};
			Some(Mask(mask.rgb.chunks_exact(3).map(brightness).collect()))
		},
		None => None,
	};
	// The limits keep both within a u16.
	let size = Size {
		width: picture.info.width as u16,
		height: picture.info.height as u16,
	};
	let start = Start {
		rgb: picture.rgb,
		strength: args.strength,
		mask,
	};
	Ok((start, size))
}

fn read(path: &Path) -> anyhow::Result<Decoded> {
	let limits = Limits::default();
	let mut bytes = Vec::new();
	File::open(path)
		// One more shows that there are more.
		.and_then(|file| file.take(limits.bytes as u64 + 1).read_to_end(&mut bytes))
		.with_context(|| format!("cannot read {}", path.display()))?;
	png::decode_any(&bytes, &limits).with_context(|| path.display().to_string())
}
