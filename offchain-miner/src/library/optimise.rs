//! `models optimize`: the graphs as ONNX Runtime rewrites them, in a model folder of their own.

use super::{OptimizeArgs, Unfinished};
use anyhow::{bail, ensure, Context};
use clap::Args;
use cuckoo_diffusion::{
	backend, runtime, Control, Device, LoadOptions, ModelFolder, Pipeline, Request, Stop,
};
use cuckoo_primitives::H256;
use serde_json::json;
use std::{
	fs,
	path::{Path, PathBuf},
	time::Instant,
};

/// What is painted with both, and the seeds.
pub(super) const SAMPLES: [(&str, u64); 3] =
	[("a red apple", 1), ("a blue house by the sea", 2), ("", 3)];
/// Steps of each: more add time, not knowledge.
pub(super) const STEPS: u16 = 4;
/// The graphs that may be in a folder.
const GRAPHS: [&str; 6] = [
	"text_encoder/model.onnx",
	"text_encoder_2/model.onnx",
	"unet/model.onnx",
	"vae_decoder/model.onnx",
	"vae_decoder/model_fp32.onnx",
	"vae_encoder/model.onnx",
];

/// Where a model is loaded to look at it.
#[derive(Clone, Debug, Args)]
pub struct DeviceArgs {
	/// auto, cpu or cuda:N.
	#[arg(long, default_value_t = Device::Cpu)]
	pub device: Device,
	/// ONNX Runtime's library, or its folder.
	#[arg(long, value_name = "PATH")]
	pub onnxruntime: Option<PathBuf>,
}

impl DeviceArgs {
	/// As the engine takes it.
	pub fn options(&self) -> LoadOptions {
		LoadOptions {
			device: self.device,
			..LoadOptions::default()
		}
	}
}

/// How a copy compares.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Comparison {
	/// The largest difference of a colour of a pixel, of 255.
	pub worst: u8,
	/// Seconds to load each, and to paint the samples.
	pub load: [f64; 2],
	pub paint: [f64; 2],
}

/// Writes the copy; whether its pictures are close enough.
pub(super) fn command(args: &OptimizeArgs, json: bool, stop: &Stop) -> anyhow::Result<bool> {
	let (folder, comparison) = optimise(args, stop)?;
	let Comparison { worst, load, paint } = comparison;
	if json {
		println!(
			"{}",
			json!({
				"hash": H256(folder.hash()),
				"path": args.out.display().to_string(),
				"worst_difference": worst,
				"tolerance": args.tolerance,
				"load_seconds": load,
				"paint_seconds": paint,
			})
		);
	} else {
		println!("{:?}  {}", H256(folder.hash()), args.out.display());
		println!(
			"loads in {:.2} s instead of {:.2} s; {} pictures in {:.2} s instead of {:.2} s; colours \
			 differ by {worst} of 255 at most",
			load[1],
			load[0],
			SAMPLES.len(),
			paint[1],
			paint[0]
		);
		println!("This is another model with another hash: it gets no tasks of the first.");
	}
	Ok(true)
}

/// The copy at its place, after it was compared. The switch ends it after a graph or a step.
pub(super) fn optimise(
	args: &OptimizeArgs,
	stop: &Stop,
) -> anyhow::Result<(ModelFolder, Comparison)> {
	runtime::init(args.onnxruntime.as_deref())?;
	let source = ModelFolder::open(&args.source)?;
	in_a_new_folder(&args.out, |copy| {
		copy_model(source.path(), copy, is_small)?;
		for graph in GRAPHS {
			let from = source.path().join(graph);
			if from.is_file() {
				ensure!(!stop.is_stopped(), "interrupted");
				let to = copy.join(graph);
				backend::write_optimised(&from, &to).with_context(|| graph.to_owned())?;
			}
		}
		let comparison = compare(&source, &ModelFolder::open(copy)?, stop)?;
		if comparison.worst > args.tolerance {
			bail!(
				"its pictures differ from the model's by {} of 255; at most {} is taken (--tolerance). \
				 Nothing was kept",
				comparison.worst,
				args.tolerance
			);
		}
		Ok(comparison)
	})
}

/// Makes a model folder by `fill`, which is given a place for it: whole, or nothing is left of it.
pub(super) fn in_a_new_folder<T>(
	out: &Path,
	fill: impl FnOnce(&Path) -> anyhow::Result<T>,
) -> anyhow::Result<(ModelFolder, T)> {
	ensure!(!out.exists(), "{} is there already", out.display());
	let parent = match out.parent() {
		Some(parent) if !parent.as_os_str().is_empty() => parent,
		_ => Path::new("."),
	};
	fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
	let unfinished = Unfinished::new(parent)?;
	let copy = unfinished.path.join("model");
	let filled = fill(&copy)?;
	super::sync_folders(&copy)?;
	fs::rename(&copy, out).with_context(|| format!("cannot write {}", out.display()))?;
	Ok((ModelFolder::open(out)?, filled))
}

/// Whether it is none of a model's graphs and weights.
fn is_small(path: &Path) -> bool {
	const SUFFIXES: [&str; 3] = ["json", "txt", "md"];
	let suffix = path.extension().and_then(|suffix| suffix.to_str());
	suffix.is_some_and(|suffix| SUFFIXES.contains(&suffix))
}

/// Copies what is a model's and `wanted`.
pub(super) fn copy_model(
	from: &Path,
	to: &Path,
	wanted: impl Fn(&Path) -> bool + Copy,
) -> anyhow::Result<()> {
	fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
	for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
		let path = entry?.path();
		let Some(name) = path.file_name() else {
			continue;
		};
		let is_kept = super::KEPT.iter().any(|kept| name == *kept);
		if path.is_dir() {
			if is_kept {
				copy_component(&path, &to.join(name), wanted)?;
			}
		} else if is_kept || wanted(&path) {
			copy(&path, &to.join(name))?;
		}
	}
	Ok(())
}

/// Copies what is `wanted` of a component and of the folders in it, but for what is hidden: it counts for no model.
fn copy_component(
	from: &Path,
	to: &Path,
	wanted: impl Fn(&Path) -> bool + Copy,
) -> anyhow::Result<()> {
	fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
	for entry in fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))? {
		let entry = entry?;
		let (path, to) = (entry.path(), to.join(entry.file_name()));
		if entry.file_name().as_encoded_bytes().starts_with(b".") {
			continue;
		}
		if path.is_dir() {
			copy_component(&path, &to, wanted)?;
		} else if wanted(&path) {
			copy(&path, &to)?;
		}
	}
	Ok(())
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
	fs::copy(from, to).with_context(|| format!("cannot copy {}", from.display()))?;
	Ok(())
}

/// Paints the samples with both.
fn compare(source: &ModelFolder, copy: &ModelFolder, stop: &Stop) -> anyhow::Result<Comparison> {
	let before = paint(source, stop)?;
	let after = paint(copy, stop)?;
	let differences = before
		.pictures
		.iter()
		.flatten()
		.zip(after.pictures.iter().flatten())
		.map(|(a, b)| a.abs_diff(*b));
	Ok(Comparison {
		worst: differences.max().unwrap_or(0),
		load: [before.load, after.load],
		paint: [before.paint, after.paint],
	})
}

struct Painted {
	pictures: Vec<Vec<u8>>,
	load: f64,
	paint: f64,
}

fn paint(folder: &ModelFolder, stop: &Stop) -> anyhow::Result<Painted> {
	let options = LoadOptions {
		device: Device::Cpu,
		..LoadOptions::default()
	};
	let begun = Instant::now();
	let mut pipeline = Pipeline::load(folder, &options)?;
	let load = begun.elapsed().as_secs_f64();
	let begun = Instant::now();
	let mut pictures = Vec::new();
	for (prompt, seed) in SAMPLES {
		let mut request = Request::new(folder, prompt, seed);
		request.steps = STEPS.min(folder.default_steps());
		let picture = pipeline.generate(&request, &mut |_| match stop.is_stopped() {
			true => Control::Cancel,
			false => Control::Continue,
		})?;
		pictures.push(picture.rgb);
	}
	Ok(Painted {
		pictures,
		load,
		paint: begun.elapsed().as_secs_f64(),
	})
}
