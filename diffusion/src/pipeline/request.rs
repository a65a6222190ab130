//! What is asked for, and what of it needs no model to be refused.

use super::COLOURS;
use crate::{schedulers::Scheduler, Error, ModelFolder};
use std::ops::RangeInclusive;

/// More steps make no better picture; fewer keep a request bounded.
pub const MAX_STEPS: u16 = 500;
/// A prompt's bytes in UTF-8. CLIP reads 77 tokens of it.
pub const MAX_PROMPT_BYTES: usize = 8192;
/// Guidance scales that are taken.
pub const GUIDANCE: RangeInclusive<f32> = 0.0..=100.0;
/// Pictures made at once.
pub const MAX_BATCH: usize = 16;
/// The most layers that are left out at the text encoder's end.
const MAX_CLIP_SKIP: u8 = 8;

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
	/// What a task does not ask for.
	pub options: Options,
}

/// What more can be asked for than a task does. The default is a task's.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Options {
	/// Whether `(words:1.3)` in prompts are weights; see [`weights`](crate::text::weights).
	pub weighting: bool,
	/// Whether a prompt that is longer than the text encoder reads is read in parts, instead of cut.
	pub long_prompts: bool,
	/// How many of the text encoder's last layers are left out, for the prompt alone.
	pub clip_skip: u8,
	/// The picture to start from, instead of from noise alone.
	pub start: Option<Start>,
	/// A preview after every so many runs of the UNet; 0 for none.
	pub preview_every: u16,
}

/// A picture to start from.
#[derive(Clone, PartialEq, Debug)]
pub struct Start {
	/// Red, green and blue of each pixel, of the request's size.
	pub rgb: Vec<u8>,
	/// How much of the way from noise is gone, from above 0 to 1: at 1 little is left of the picture.
	pub strength: f32,
	/// What is painted anew; everything if there is none.
	pub mask: Option<Mask>,
}

/// A byte for each pixel, row by row: from 128, it is painted anew.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mask(pub Vec<u8>);

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
			options: Options::default(),
		}
	}

	/// Whether this picture can be made together with the other: they differ in their prompts and seeds
	/// only.
	pub fn goes_with(&self, other: &Self) -> bool {
		let Self {
			prompt: _,
			negative_prompt: _,
			seed: _,
			steps,
			width,
			height,
			guidance,
			scheduler,
			options,
		} = self;
		(steps, width, height) == (&other.steps, &other.width, &other.height)
			&& (guidance, scheduler) == (&other.guidance, &other.scheduler)
			&& *options == other.options
	}

	/// Whether both show the same.
	pub(super) fn has_prompts_of(&self, other: &Self) -> bool {
		self.prompt == other.prompt && self.negative_prompt == other.negative_prompt
	}

	/// Height and width in pixels.
	pub(super) fn size(&self) -> [usize; 2] {
		[self.height, self.width].map(usize::from)
	}
}

/// The run that a picture begins with: a later one where another picture is given.
pub(super) fn begin(request: &Request, runs: usize) -> Result<usize, Error> {
	let Some(start) = &request.options.start else {
		return Ok(0);
	};
	let steps = usize::from(request.steps);
	// Cut, as in Python.
	let taken = (f64::from(request.steps) * strength(start)) as usize;
	let begin = steps - taken.min(steps);
	if taken == 0 || begin >= runs {
		let problem = format!("{} of {steps} steps is none", start.strength);
		return Err(Error::request("strength", problem));
	}
	Ok(begin)
}

/// The strength as Python has it, which computes in f64: the number that was written, and not the f32 that is
/// nearest to it.
pub(super) fn strength(start: &Start) -> f64 {
	let written = start.strength.to_string();
	written.parse().unwrap_or(f64::from(start.strength))
}

/// Refuses prompts that are too long to be read.
pub(super) fn check_prompts(request: &Request) -> Result<(), Error> {
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
	Ok(())
}

pub(super) fn check_options(request: &Request) -> Result<(), Error> {
	let options = &request.options;
	if options.clip_skip > MAX_CLIP_SKIP {
		let problem = format!("{}; must be at most {MAX_CLIP_SKIP}", options.clip_skip);
		return Err(Error::request("clip_skip", problem));
	}
	let Some(start) = &options.start else {
		return Ok(());
	};
	if !(start.strength > 0.0 && start.strength <= 1.0) {
		let problem = format!("{}; must be above 0 and at most 1", start.strength);
		return Err(Error::request("strength", problem));
	}
	let pixels: usize = request.size().iter().product();
	if start.rgb.len() != pixels * COLOURS {
		let problem = format!("must be a picture of {}x{}", request.width, request.height);
		return Err(Error::request("start", problem));
	}
	if start
		.mask
		.as_ref()
		.is_some_and(|mask| mask.0.len() != pixels)
	{
		let problem = format!("must be of {}x{}", request.width, request.height);
		return Err(Error::request("mask", problem));
	}
	Ok(())
}

/// The first of requests for pictures that are made together, all of which may differ from it in their
/// prompts and seeds only.
pub(super) fn alike(requests: &[Request]) -> Result<&Request, Error> {
	let count = requests.len();
	let Some(first) = requests.first().filter(|_| count <= MAX_BATCH) else {
		let problem = format!("{count} at once; must be from 1 to {MAX_BATCH}");
		return Err(Error::request("requests", problem));
	};
	if requests[1..]
		.iter()
		.any(|request| !request.goes_with(first))
	{
		let problem = "pictures that are made together differ in their prompts and seeds only";
		return Err(Error::request("requests", problem));
	}
	Ok(first)
}

#[cfg(test)]
mod tests {
	use super::*;

	/// The steps that are taken, or 0 where that is refused.
	fn taken(steps: u16, strength: f32) -> usize {
		let request = Request {
			prompt: String::new(),
			negative_prompt: String::new(),
			seed: 0,
			steps,
			width: 8,
			height: 8,
			guidance: 1.0,
			scheduler: Scheduler::Ddim,
			options: Options {
				start: Some(Start {
					rgb: Vec::new(),
					strength,
					mask: None,
				}),
				..Options::default()
			},
		};
		let runs = usize::from(steps);
		begin(&request, runs).map_or(0, |begin| runs - begin)
	}

	/// Of every strength in hundredths the sum over 1 to 500 steps, by reference/families.py.
	#[test]
	fn as_many_steps_are_taken_as_in_python() {
		let path = concat!(
			env!("CARGO_MANIFEST_DIR"),
			"/reference/families/reference.json"
		);
		let reference: serde_json::Value =
			serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
		let sums = reference["steps_taken"].as_array().unwrap();
		assert_eq!(sums.len(), 100);
		for (hundredths, expected) in (1..).zip(sums) {
			let strength = (f64::from(hundredths) / 100.0) as f32;
			let sum: usize = (1..=MAX_STEPS).map(|steps| taken(steps, strength)).sum();
			assert_eq!(sum as u64, *expected, "{strength}");
		}
		assert_eq!(taken(50, 0.9), 45);
		assert_eq!(taken(50, 0.58), 28);
		assert_eq!(taken(4, 0.2), 0);
	}
}
