//! `offchain-miner generate`: a picture made here, with the code that a task's picture is made with.

use crate::{
	cli::{DeviceArg, EngineArgs},
	device::{Devices, PaintError, Running},
	engine::{self, Setup},
	outbox::Painting,
	ui::Ui,
};
use anyhow::{bail, ensure, Context};
use clap::Args;
use cuckoo_coordinator_api::limits;
use cuckoo_diffusion::{ModelFolder, Scheduler};
use cuckoo_primitives::{task::TaskSpec, H256};
use serde_json::json;
use std::{
	path::{Path, PathBuf},
	str::FromStr,
	time::{Duration, Instant},
};
use tokio::{fs, select, signal, task};

/// Options of `generate`.
#[derive(Clone, Debug, Args)]
pub struct GenerateArgs {
	/// What the picture shows.
	pub prompt: String,
	/// Where to write the PNG.
	#[arg(long, short, value_name = "FILE", default_value = "picture.png")]
	pub out: PathBuf,
	/// What it must not show.
	#[arg(long, value_name = "TEXT", default_value = "")]
	pub negative: String,
	/// Seed of the noise; drawn at random by default.
	#[arg(long, value_name = "N")]
	pub seed: Option<u64>,
	/// Denoising steps; the model's own default if not given.
	#[arg(long, value_name = "N")]
	pub steps: Option<u16>,
	/// Width and height in pixels, such as 512x512; the model's own default if not given.
	#[arg(long, value_name = "WxH")]
	pub size: Option<Size>,
	/// Classifier-free guidance scale; the model's own default if not given.
	#[arg(long, value_name = "SCALE")]
	pub guidance: Option<f32>,
	/// How the noise is taken away: ddim, euler, pndm, euler_ancestral, dpm_plus_plus_2m, uni_pc or
	/// lcm; the model's own default if not given.
	#[arg(long, value_name = "NAME")]
	pub scheduler: Option<Scheduler>,
	/// Write every step that the picture went through to this file, for `verify-step`.
	#[arg(long, value_name = "FILE")]
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

impl GenerateArgs {
	/// The spec of a task that would ask for the same.
	fn spec(&self, folder: &ModelFolder) -> anyhow::Result<TaskSpec> {
		ensure!(
			(1..=limits::MAX_PROMPT_BYTES).contains(&self.prompt.len()),
			"the prompt must have 1 to {} bytes",
			limits::MAX_PROMPT_BYTES
		);
		let model = engine::model_info(folder);
		let guidance = self.guidance.unwrap_or_else(|| folder.default_guidance());
		ensure!(
			(0.0..=limits::MAX_GUIDANCE).contains(&f64::from(guidance)),
			"the guidance must lie within 0 and {}",
			limits::MAX_GUIDANCE
		);
		let size = self.size.unwrap_or(Size {
			width: model.default_size,
			height: model.default_size,
		});
		Ok(TaskSpec {
			model: model.hash,
			prompt: self.prompt.clone(),
			negative_prompt: self.negative.clone(),
			seed: self.seed.unwrap_or_else(rand::random),
			steps: self.steps.unwrap_or(model.default_steps),
			width: size.width,
			height: size.height,
			guidance_milli: engine::milli(guidance),
			scheduler: engine::scheduler_kind(
				self.scheduler.unwrap_or_else(|| folder.default_scheduler()),
			),
		})
	}
}

/// Makes the picture and writes it.
pub async fn command(args: GenerateArgs, ui: Ui) -> anyhow::Result<()> {
	let engine_args = args.engine.clone();
	let options = engine_args.options(args.place.device);
	let library = engine_args.onnxruntime.clone();
	let trajectory = args.trajectory.clone();
	let folders = task::spawn_blocking(move || engine_args.folders()).await??;
	let [folder] = folders.as_slice() else {
		bail!("generate takes one --model")
	};
	let spec = args.spec(folder)?;
	let name = folder.name().to_owned();
	let device = Devices::start(move || {
		engine::open(Setup {
			trajectory,
			library,
			..Setup::new(folders, options)
		})
	})
	.await?;

	let started = Instant::now();
	let painting = paint(&device, &spec, &ui).await?;
	let elapsed = started.elapsed();
	write(&args.out, &painting.png).await?;
	if args.json {
		println!(
			"{}",
			report(&args.out, &spec, &name, &device, &painting, elapsed)
		);
	} else {
		println!(
			"{} · {}x{} · {} steps in {:.2} s on {} · seed {}",
			args.out.display(),
			spec.width,
			spec.height,
			spec.steps,
			elapsed.as_secs_f32(),
			device.profile().device_name,
			spec.seed
		);
	}
	Ok(())
}

async fn paint(device: &Devices, spec: &TaskSpec, ui: &Ui) -> anyhow::Result<Painting> {
	let Running {
		mut steps,
		stop,
		mut reply,
	} = device.submit(spec.clone())?;
	let bar = ui.steps("painting".into(), spec.steps);
	loop {
		select! {
			biased;
			done = &mut reply => {
				return match done.context("the device's thread ended")? {
					Ok(painting) => Ok(painting),
					Err(PaintError::Stopped) => bail!("interrupted"),
					Err(PaintError::Failed(reason) | PaintError::Device(reason)) => bail!("{reason}"),
				};
			},
			interrupted = signal::ctrl_c(), if !stop.is_cancelled() => {
				interrupted?;
				stop.cancel();
			},
			Ok(()) = steps.changed() => bar.set_position(u64::from(*steps.borrow_and_update())),
		}
	}
}

/// Whole or not at all.
async fn write(path: &Path, png: &[u8]) -> anyhow::Result<()> {
	let mut beside = path.as_os_str().to_owned();
	beside.push(".part");
	let beside = PathBuf::from(beside);
	fs::write(&beside, png)
		.await
		.with_context(|| format!("cannot write {}", beside.display()))?;
	fs::rename(&beside, path)
		.await
		.with_context(|| format!("cannot write {}", path.display()))
}

fn report(
	out: &Path,
	spec: &TaskSpec,
	model: &str,
	device: &Devices,
	painting: &Painting,
	elapsed: Duration,
) -> serde_json::Value {
	json!({
		"out": out.display().to_string(),
		"spec": cuckoo_coordinator_api::task::Spec::from(spec.clone()),
		"spec_hash": spec.hash(),
		"model": model,
		"device": device.profile().device(),
		"device_name": device.profile().device_name,
		"engine": device.profile().engine(),
		"elapsed_ms": u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
		"bytes": painting.png.len(),
		"output": H256(*blake3::hash(&painting.png).as_bytes()),
		"trajectory_root": painting.trajectory_root,
	})
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn sizes_are_width_and_height() {
		assert_eq!(
			"64x128".parse(),
			Ok(Size {
				width: 64,
				height: 128
			})
		);
		for wrong in ["", "64", "64x", "x64", "0x64", "64x-1", "64x70000", "64×64"] {
			assert!(wrong.parse::<Size>().is_err(), "{wrong}");
		}
	}
}
