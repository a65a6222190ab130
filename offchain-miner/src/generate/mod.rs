//! `offchain-miner generate`: pictures made here, as a task's are and with more to ask for.

mod ask;

use crate::{
	cli::{DeviceArg, EngineArgs},
	engine, interrupt, trajectory,
	ui::{printable, Ui},
};
use anyhow::{bail, ensure, Context};
use ask::Asked;
use clap::Args;
use cuckoo_diffusion::{
	pipeline::MAX_BATCH, png, runtime, Control, Error, Picture, Pipeline, Preview, Progress,
	Scheduler, Stop,
};
use cuckoo_primitives::{merkle, H256};
use serde_json::json;
use std::{
	fs::{self, File},
	path::{Path, PathBuf},
	str::FromStr,
	sync::Arc,
	time::{Duration, Instant},
};
use tokio::task;

/// Options of `generate`.
#[derive(Clone, Debug, Args)]
pub struct GenerateArgs {
	/// What the picture shows.
	pub prompt: String,
	/// Where to write the PNG; with --count each file's name has its number.
	#[arg(long, short, value_name = "FILE", default_value = "picture.png")]
	pub out: PathBuf,
	/// What it must not show.
	#[arg(long, value_name = "TEXT", default_value = "")]
	pub negative: String,
	/// Seed of the noise; drawn at random by default.
	#[arg(long, value_name = "N")]
	pub seed: Option<u64>,
	/// How many pictures, all at once: of this seed, the next one, and so on.
	#[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=MAX_BATCH as i64))]
	pub count: u16,
	/// Denoising steps; the model's own default if not given.
	#[arg(long, value_name = "N")]
	pub steps: Option<u16>,
	/// Width and height in pixels, such as 512x512; those of --from, or else the model's own default if
	/// not given.
	#[arg(long, value_name = "WxH")]
	pub size: Option<Size>,
	/// Classifier-free guidance scale; the model's own default if not given.
	#[arg(long, value_name = "SCALE")]
	pub guidance: Option<f32>,
	/// How the noise is taken away: ddim, euler, pndm, euler_ancestral, dpm_plus_plus_2m, uni_pc or
	/// lcm; the model's own default if not given.
	#[arg(long, value_name = "NAME")]
	pub scheduler: Option<Scheduler>,
	/// A PNG to start from, of the picture's size.
	#[arg(long, value_name = "FILE")]
	pub from: Option<PathBuf>,
	/// How much of the picture to start from is painted anew, from above 0 to 1.
	#[arg(long, value_name = "PART", default_value_t = 0.75, requires = "from")]
	pub strength: f32,
	/// A PNG of the same size: what is white is painted anew, what is black stays as in --from.
	#[arg(long, value_name = "FILE", requires = "from")]
	pub mask: Option<PathBuf>,
	/// Read (words:1.3) in prompts as words of that weight.
	#[arg(long)]
	pub weights: bool,
	/// Read a prompt that is longer than the text encoder takes in parts, instead of cutting it.
	#[arg(long)]
	pub long_prompts: bool,
	/// Leave out so many of the text encoder's last layers.
	#[arg(long, value_name = "N", default_value_t = 0)]
	pub clip_skip: u8,
	/// Write what the first picture will look like to this PNG while it is made.
	#[arg(long, value_name = "FILE")]
	pub preview: Option<PathBuf>,
	/// After how many steps each time; every preview takes the time of decoding a picture.
	#[arg(long, value_name = "N", default_value_t = 5, requires = "preview", value_parser = clap::value_parser!(u16).range(1..))]
	pub preview_every: u16,
	/// Write every step that the picture went through to this file, for `verify-step`.
	#[arg(
		long,
		value_name = "FILE",
		conflicts_with_all = ["from", "weights", "long_prompts", "clip_skip"]
	)]
	pub trajectory: Option<PathBuf>,
	/// Where it is made.
	#[command(flatten)]
	pub place: DeviceArg,
	/// How pictures are made.
	#[command(flatten)]
	pub engine: EngineArgs,
	/// Print one JSON object instead of a line for people.
	#[arg(long)]
	pub json: bool,
}

/// `WxH`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
	/// Pixels from left to right.
	pub width: u16,
	/// Pixels from top to bottom.
	pub height: u16,
}

impl FromStr for Size {
	type Err = String;

	fn from_str(text: &str) -> Result<Self, String> {
		let wrong = || format!("{text:?} is no size: write width and height like 512x512");
		let (width, height) = text.split_once('x').ok_or_else(wrong)?;
		let side = |side: &str| {
			side.parse::<u16>()
				.ok()
				.filter(|side| *side > 0)
				.ok_or_else(wrong)
		};
		Ok(Self {
			width: side(width)?,
			height: side(height)?,
		})
	}
}

/// Makes the pictures and writes them; Ctrl-C ends it within a step, and a second one at once.
pub async fn command(args: GenerateArgs, ui: Ui) -> anyhow::Result<()> {
	let (stop, files) = (Stop::new(), Arc::new(Files::begin(&args)?));
	let (switch, written) = (stop.clone(), files.clone());
	let making = task::spawn_blocking(move || make(&args, &written, &ui, &switch));
	let made = interrupt::finished(making, &stop).await;
	// The thread may still be at work, and then ends with the process.
	files.sweep();
	made
}

/// The files that are written. They are begun before the first step, so that one that cannot be written is known
/// then; what is not finished goes away.
struct Files {
	pictures: Vec<Begun>,
	trajectory: Option<Begun>,
}

impl Files {
	fn begin(args: &GenerateArgs) -> anyhow::Result<Self> {
		if let Some(preview) = &args.preview {
			Begun::at(preview)?;
		}
		let count = args.count.into();
		Ok(Self {
			pictures: (0..count)
				.map(|number| Begun::at(&numbered(&args.out, number, count)))
				.collect::<anyhow::Result<_>>()?,
			trajectory: args.trajectory.as_deref().map(Begun::at).transpose()?,
		})
	}

	fn sweep(&self) {
		self.pictures
			.iter()
			.chain(&self.trajectory)
			.for_each(Begun::sweep);
	}
}

/// A file that is begun beside its place.
struct Begun {
	place: PathBuf,
	beside: PathBuf,
}

impl Begun {
	fn at(place: &Path) -> anyhow::Result<Self> {
		ensure!(
			!place.is_dir(),
			"cannot write {}: it is a folder",
			place.display()
		);
		let mut beside = place.as_os_str().to_owned();
		beside.push(".part");
		let begun = Self {
			place: place.to_owned(),
			beside: beside.into(),
		};
		File::create(&begun.beside).with_context(|| begun.unwritten())?;
		Ok(begun)
	}

	/// Whole or not at all.
	fn finish(&self, content: &[u8]) -> anyhow::Result<()> {
		let written = fs::write(&self.beside, content);
		let placed = written.and_then(|()| fs::rename(&self.beside, &self.place));
		placed.with_context(|| self.unwritten())
	}

	fn unwritten(&self) -> String {
		format!("cannot write {}", self.place.display())
	}

	/// What is finished is there no more.
	fn sweep(&self) {
		let _ = fs::remove_file(&self.beside);
	}
}

impl Drop for Begun {
	fn drop(&mut self) {
		self.sweep();
	}
}

/// A picture that was made and written.
struct Made {
	out: PathBuf,
	asked: Asked,
	bytes: usize,
	output: H256,
	trajectory_root: H256,
}

fn make(args: &GenerateArgs, files: &Files, ui: &Ui, stop: &Stop) -> anyhow::Result<()> {
	ensure!(
		args.trajectory.is_none() || args.count == 1,
		"--trajectory is of one picture: leave out --count"
	);
	runtime::init(args.engine.onnxruntime.as_deref())?;
	let folders = args.engine.folders()?;
	let [folder] = folders.as_slice() else {
		bail!("generate takes one --model")
	};
	let all = ask::all(args, folder)?;
	let mut pipeline = Pipeline::load(folder, &args.engine.options(args.place.device))?;
	let requests: Vec<_> = all.iter().map(|asked| asked.request.clone()).collect();
	let bar = ui.steps("painting".into(), requests[0].steps);
	let mut unwritten = None;
	let mut on_step = |place: usize, progress: Progress<'_>| {
		if place > 0 {
			return Control::Continue;
		}
		bar.set_length(progress.of.into());
		bar.set_position(progress.step.into());
		let (Some(path), Some(preview)) = (&args.preview, progress.preview) else {
			return Control::Continue;
		};
		match write_preview(path, preview) {
			Ok(()) => Control::Continue,
			// Now, and not after the last step.
			Err(error) => {
				unwritten = Some(error);
				stop.stop();
				Control::Cancel
			},
		}
	};
	let started = Instant::now();
	let pictures = pipeline.generate_together(&requests, stop, &mut on_step);
	let elapsed = started.elapsed();
	bar.finish_and_clear();
	if let Some(error) = unwritten {
		return Err(error);
	}
	let mut made = Vec::new();
	let all = all.into_iter().zip(&files.pictures);
	for ((asked, file), picture) in all.zip(pictures.map_err(told)?) {
		let picture = picture.map_err(told)?;
		if let Some(Begun { place, .. }) = &files.trajectory {
			trajectory::write(place, &asked.spec, &picture.trajectory.leaves)?;
		}
		made.push(finish(file, asked, folder.name(), &picture)?);
	}
	report(args.json, &made, folder.name(), &pipeline, elapsed);
	Ok(())
}

/// An error as the user is told.
fn told(error: Error) -> anyhow::Error {
	match error {
		Error::Cancelled => anyhow::anyhow!("interrupted"),
		error => error.into(),
	}
}

/// Writes a picture to its file.
fn finish(out: &Begun, asked: Asked, model: &str, picture: &Picture) -> anyhow::Result<Made> {
	let parameters = asked.parameters(model);
	let parameters: Vec<(&str, &str)> = parameters
		.iter()
		.map(|(name, value)| (*name, value.as_str()))
		.collect();
	let file = png::encode(picture, &parameters)?;
	out.finish(&file)?;
	let leaves = picture.trajectory.leaves.iter();
	let leaves: Vec<H256> = leaves.map(|leaf| merkle::leaf_hash(leaf)).collect();
	Ok(Made {
		out: out.place.clone(),
		asked,
		bytes: file.len(),
		output: H256(*blake3::hash(&file).as_bytes()),
		trajectory_root: merkle::root(&leaves),
	})
}

/// The file of one of several pictures: `picture-2.png`.
fn numbered(out: &Path, number: usize, count: usize) -> PathBuf {
	if count == 1 {
		return out.to_owned();
	}
	let mut name = out.file_stem().unwrap_or_default().to_owned();
	name.push(format!("-{}", number + 1));
	if let Some(suffix) = out.extension() {
		name.push(".");
		name.push(suffix);
	}
	out.with_file_name(name)
}

fn write_preview(path: &Path, preview: &Preview) -> anyhow::Result<()> {
	let png = png::encode_rgb(preview.width, preview.height, &preview.rgb, &[])?;
	Begun::at(path)?.finish(&png)
}

fn report(as_json: bool, made: &[Made], model: &str, pipeline: &Pipeline, elapsed: Duration) {
	if !as_json {
		for Made { out, asked, .. } in made {
			println!(
				"{} · {}x{} · {} steps in {:.2} s on {} · seed {}",
				out.display(),
				asked.spec.width,
				asked.spec.height,
				asked.spec.steps,
				elapsed.as_secs_f32(),
				printable(&pipeline.device_name()),
				asked.spec.seed
			);
		}
		return;
	}
	let mut pictures: Vec<serde_json::Value> = made
		.iter()
		.map(|it| {
			json!({
				"out": it.out.display().to_string(),
				"spec": cuckoo_coordinator_api::task::Spec::from(it.asked.spec.clone()),
				"spec_hash": it.asked.is_a_task().then(|| it.asked.spec.hash()),
				"model": model,
				"device": engine::device_class(pipeline),
				"device_name": pipeline.device_name(),
				"engine": pipeline.batch_profile(made.len()),
				"elapsed_ms": u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
				"bytes": it.bytes,
				"output": it.output,
				"trajectory_root": it.trajectory_root,
			})
		})
		.collect();
	match pictures.len() {
		1 => println!("{}", pictures.remove(0)),
		_ => println!("{}", json!({ "pictures": pictures })),
	}
}

#[cfg(test)]
mod tests;
