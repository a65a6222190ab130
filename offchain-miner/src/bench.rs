//! `offchain-miner bench`: how fast this machine makes pictures, measured and remembered, so that
//! coordinators are told what was measured and not what is claimed.

use crate::{
	cli::{EngineArgs, HoldArgs},
	device::{join_names, DeviceProfile, Profile},
	engine::{self, memory_estimate},
	memory::Bytes,
	metrics::resident_bytes,
	run::data_dir,
	ui::{printable, Ui},
};
use anyhow::Context;
use clap::Args;
use cuckoo_coordinator_api::limits;
use cuckoo_diffusion::{runtime, Control, Device, ModelFolder, Pipeline, Request, Stop};
use cuckoo_primitives::H256;
use serde::{Deserialize, Serialize};
use std::{
	fs::{self, File},
	io::{self, Read, Write},
	path::{Path, PathBuf},
	time::Instant,
};
use tokio::task;
use tracing::warn;

/// In the data folder.
const FILE: &str = "bench.json";
/// Far more than it ever has.
const MAX_FILE_BYTES: u64 = 1024 * 1024;
/// Measurements that are kept.
const MAX_MEASUREMENTS: usize = 256;
/// A prompt like those that come.
const PROMPT: &str = "a red apple on a wooden table, soft light";

/// Options of `bench`.
#[derive(Clone, Debug, Args)]
pub struct BenchArgs {
	/// How pictures are made.
	#[command(flatten)]
	pub engine: EngineArgs,
	/// Which models are measured, on which devices, and how many pictures at once.
	#[command(flatten)]
	pub hold: HoldArgs,
	/// Steps of each picture; the model's own default if not given.
	#[arg(long, value_name = "N")]
	pub steps: Option<u16>,
	/// Runs of each model, after one to warm up: of a picture each, or of --batch pictures.
	#[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=1000))]
	pub runs: u16,
	/// Where what was measured is kept. Default: cuckoo/miner in the user's data folder.
	#[arg(long, value_name = "DIR")]
	pub data_dir: Option<PathBuf>,
	/// Print one JSON object.
	#[arg(long)]
	pub json: bool,
}

/// One model on one device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
	/// The model.
	pub model: H256,
	/// Its name.
	pub name: String,
	/// The device.
	pub device_name: String,
	/// The engine profile: another version of the engine is measured anew.
	pub engine: String,
	/// Pixels a side.
	pub size: u16,
	/// Steps of a picture.
	pub steps: u16,
	/// Pictures made at once.
	#[serde(default = "one")]
	pub batch: u16,
	/// Runs, each of one picture or a batch.
	pub runs: u16,
	/// To load it.
	pub load_seconds: f64,
	/// The median of the runs, by the pictures of a run.
	pub seconds_per_picture: f64,
	/// The same by megapixels and steps.
	pub seconds_per_megapixel_step: f64,
	/// The process's memory with the model loaded and used, less that before.
	pub memory_bytes: u64,
}

/// Of measurements from before there were batches.
fn one() -> u16 {
	1
}

/// What was measured on this machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Speeds {
	/// The newest of each model, device, engine and batch.
	pub measurements: Vec<Measurement>,
}

impl Speeds {
	/// Those in this data folder; none if there are none that read.
	pub fn read(data_dir: &Path) -> Self {
		let path = data_dir.join(FILE);
		let mut text = String::new();
		let read = File::open(&path)
			.and_then(|file| file.take(MAX_FILE_BYTES).read_to_string(&mut text))
			.and_then(|_| serde_json::from_str(&text).map_err(io::Error::other));
		match read {
			Ok(speeds) => speeds,
			Err(error) if error.kind() == io::ErrorKind::NotFound => Self::default(),
			Err(error) => {
				warn!(path = %path.display(), "measure again with offchain-miner bench: {error}");
				Self::default()
			},
		}
	}

	/// Keeps a measurement, instead of an older one of the same.
	pub fn keep(&mut self, new: Measurement) {
		let same = |old: &Measurement| {
			(old.model, &old.device_name) == (new.model, &new.device_name)
				&& (&old.engine, old.batch) == (&new.engine, new.batch)
		};
		self.measurements.retain(|old| !same(old));
		self.measurements.push(new);
		let more = self.measurements.len().saturating_sub(MAX_MEASUREMENTS);
		self.measurements.drain(..more);
	}

	/// Writes them: whole or not at all.
	pub fn write(&self, data_dir: &Path) -> anyhow::Result<()> {
		let path = data_dir.join(FILE);
		let written = || -> io::Result<()> {
			fs::create_dir_all(data_dir)?;
			let beside = path.with_extension("part");
			let mut file = File::create(&beside)?;
			file.write_all(&serde_json::to_vec_pretty(self)?)?;
			file.sync_all()?;
			fs::rename(&beside, &path)
		};
		written().with_context(|| format!("cannot write {}", path.display()))
	}

	/// The devices' names with the speeds of the models they hold in batches of the size that is made, as
	/// coordinators are told: `NVIDIA H200 (measured: 0.012 s a megapixel-step with cuckoo-emoji)`.
	pub fn beside(&self, profile: &Profile) -> String {
		let mut kinds: Vec<&DeviceProfile> = Vec::new();
		for device in &profile.devices {
			if !kinds.iter().any(|kind| kind.name == device.name) {
				kinds.push(device);
			}
		}
		let room = limits::MAX_TEXT_BYTES / 2 / kinds.len().max(1);
		let devices = profile.devices.iter();
		join_names(devices.map(|device| self.beside_one(device, profile, room)))
	}

	/// The same for one device, in so many bytes and what is around the speeds.
	fn beside_one(&self, device: &DeviceProfile, profile: &Profile, room: usize) -> String {
		let name = &device.name;
		let batch = profile.layout.batch.max(1);
		let mut said = String::new();
		for model in &profile.models {
			let measured = self.measurements.iter().rev().find(|it| {
				(it.model, &it.device_name) == (model.hash, name)
					&& (&it.engine, it.batch) == (&device.engine, batch)
			});
			let Some(measured) = measured else { continue };
			let comma = if said.is_empty() { "" } else { ", " };
			let one = format!(
				"{comma}{} s a megapixel-step with {}",
				significant(measured.seconds_per_megapixel_step),
				printable(&model.name)
			);
			if name.len() + said.len() + one.len() > room {
				break;
			}
			said.push_str(&one);
		}
		if said.is_empty() {
			name.clone()
		} else {
			format!("{name} (measured: {said})")
		}
	}
}

/// Three digits that count.
fn significant(number: f64) -> String {
	let digits = match number {
		number if number >= 100.0 => 0,
		number if number >= 10.0 => 1,
		number if number >= 1.0 => 2,
		number if number >= 0.1 => 3,
		_ => 5,
	};
	format!("{number:.digits$}")
}

fn median(mut numbers: Vec<f64>) -> f64 {
	numbers.sort_by(f64::total_cmp);
	let middle = numbers.len() / 2;
	match numbers.len() {
		0 => 0.0,
		length if length % 2 == 0 => (numbers[middle - 1] + numbers[middle]) / 2.0,
		_ => numbers[middle],
	}
}

/// Measures every model and remembers what came out.
pub async fn command(args: BenchArgs, ui: Ui) -> anyhow::Result<()> {
	task::spawn_blocking(move || measure_all(&args, &ui)).await?
}

fn measure_all(args: &BenchArgs, ui: &Ui) -> anyhow::Result<()> {
	let data = data_dir(args.data_dir.as_deref())?;
	runtime::init(args.engine.onnxruntime.as_deref())?;
	let mut speeds = Speeds::read(&data);
	let mut measured = Vec::new();
	let paths = args.hold.paths(&args.engine)?;
	let mut folders: Vec<ModelFolder> = Vec::new();
	for &device in args.hold.device.devices() {
		for (number, path) in paths.iter().enumerate() {
			// Hashed once, and not for each device.
			if folders.len() == number {
				let folder = ModelFolder::open(path)
					.with_context(|| format!("the model in {}", path.display()))?;
				folders.push(folder);
			}
			let folder = &folders[number];
			let one = measure(folder, device, args, ui)
				.with_context(|| format!("the model in {} on {device}", path.display()))?;
			if !args.json {
				show(folder, device, &one, number == 0);
			}
			speeds.keep(one.clone());
			// What was measured stays, whatever the next model does.
			speeds.write(&data)?;
			measured.push(one);
		}
	}
	if args.json {
		println!("{}", serde_json::json!({ "measurements": measured }));
	}
	Ok(())
}

fn measure(
	folder: &ModelFolder,
	device: Device,
	args: &BenchArgs,
	ui: &Ui,
) -> anyhow::Result<Measurement> {
	let before = resident_bytes().unwrap_or(0);
	let begun = Instant::now();
	let mut pipeline = Pipeline::load(folder, &args.engine.options(device))?;
	let load_seconds = begun.elapsed().as_secs_f64();
	let mut request = Request::new(folder, PROMPT, 0);
	if let Some(steps) = args.steps {
		request.steps = steps;
	}
	let batch = args.hold.batch;
	let bar = ui.steps(printable(folder.name()), args.runs);
	let mut seconds = Vec::new();
	// The first is to warm up: libraries, caches and arenas.
	for run in 0..=args.runs {
		let requests: Vec<Request> = (0..batch)
			.map(|picture| Request {
				seed: u64::from(run) * u64::from(batch) + u64::from(picture),
				..request.clone()
			})
			.collect();
		let begun = Instant::now();
		let made =
			pipeline.generate_together(&requests, &Stop::new(), &mut |_, _| Control::Continue)?;
		let took = begun.elapsed().as_secs_f64();
		for picture in made {
			picture?;
		}
		if run > 0 {
			seconds.push(took / f64::from(batch));
			bar.inc(1);
		}
	}
	let after = resident_bytes().unwrap_or(0);
	let seconds_per_picture = median(seconds);
	let megapixel_steps =
		f64::from(request.width) * f64::from(request.height) * f64::from(request.steps) / 1e6;
	Ok(Measurement {
		model: H256(folder.hash()),
		name: folder.name().to_owned(),
		device_name: pipeline.device_name(),
		engine: engine::profile_text(&pipeline),
		size: request.width,
		steps: request.steps,
		batch,
		runs: args.runs,
		load_seconds,
		seconds_per_picture,
		seconds_per_megapixel_step: seconds_per_picture / megapixel_steps,
		memory_bytes: after.saturating_sub(before),
	})
}

fn show(folder: &ModelFolder, device: Device, one: &Measurement, is_first: bool) {
	if is_first {
		println!("on {} ({device})", printable(&one.device_name));
		println!(
			"{:<24} {:>9} {:>5} {:>5} {:>9} {:>12} {:>14} {:>12}",
			"model", "size", "steps", "batch", "load s", "picture s", "s/MP-step", "memory"
		);
	}
	println!(
		"{:<24} {:>9} {:>5} {:>5} {:>9.2} {:>12.3} {:>14} {:>12}",
		printable(folder.name()),
		format!("{0}x{0}", one.size),
		one.steps,
		one.batch,
		one.load_seconds,
		one.seconds_per_picture,
		significant(one.seconds_per_megapixel_step),
		// On a GPU the process's own memory says nothing about the model's.
		Bytes(one.memory_bytes.max(memory_estimate(folder))).to_string()
	);
}

#[cfg(test)]
mod tests {
	use super::*;
	use crate::device::Layout;
	use cuckoo_coordinator_api::task::ModelInfo;
	use cuckoo_primitives::task::DeviceClass;

	fn measurement(model: u8, device: &str, seconds: f64) -> Measurement {
		Measurement {
			model: H256::repeat_byte(model),
			name: "model".into(),
			device_name: device.into(),
			engine: "engine 1".into(),
			size: 512,
			steps: 20,
			batch: 1,
			runs: 3,
			load_seconds: 1.0,
			seconds_per_picture: seconds,
			seconds_per_megapixel_step: seconds,
			memory_bytes: 1,
		}
	}

	fn profile(models: u8) -> Profile {
		let model = |number| ModelInfo {
			hash: H256::repeat_byte(number),
			name: format!("model {number}"),
			default_size: 64,
			size_multiple: 8,
			max_size: 64,
			default_steps: 5,
			default_guidance_milli: 3_000,
		};
		let models = (0..models).map(model).collect();
		Profile::new(vec![device("a GPU", "engine 1")], models, Layout::default()).unwrap()
	}

	fn device(name: &str, engine: &str) -> DeviceProfile {
		DeviceProfile {
			label: "cuda:0".into(),
			device: DeviceClass::Cpu,
			name: name.into(),
			engine: engine.into(),
		}
	}

	#[test]
	fn what_was_measured_is_kept_once_and_told_for_this_device_only() {
		let folder = tempfile::tempdir().unwrap();
		let mut speeds = Speeds::read(folder.path());
		assert_eq!(speeds.beside(&profile(2)), "a GPU");
		speeds.keep(measurement(0, "a GPU", 0.5));
		speeds.keep(measurement(0, "a GPU", 0.25));
		speeds.keep(measurement(1, "another", 9.0));
		speeds.write(folder.path()).unwrap();
		let speeds = Speeds::read(folder.path());
		assert_eq!(speeds.measurements.len(), 2);
		assert_eq!(
			speeds.beside(&profile(2)),
			"a GPU (measured: 0.250 s a megapixel-step with model 0)"
		);
		let mut newer = profile(2);
		newer.devices[0].engine = "another engine".into();
		assert_eq!(speeds.beside(&newer), "a GPU");
	}

	#[test]
	fn each_device_is_told_with_what_its_batches_were_measured_at() {
		let mut speeds = Speeds::default();
		speeds.keep(measurement(0, "a GPU", 0.5));
		speeds.keep(Measurement {
			batch: 4,
			..measurement(0, "a GPU", 0.25)
		});
		assert_eq!(speeds.measurements.len(), 2);
		let mut both = profile(1);
		both.devices.push(device("a GPU", "engine 1"));
		let alone = "2 x a GPU (measured: 0.500 s a megapixel-step with model 0)";
		assert_eq!(speeds.beside(&both), alone);
		both.layout.batch = 4;
		both.devices[1].name = "another".into();
		assert_eq!(
			speeds.beside(&both),
			"a GPU (measured: 0.250 s a megapixel-step with model 0), another"
		);
		both.layout.batch = 2;
		assert_eq!(speeds.beside(&both), "a GPU, another");
	}

	#[test]
	fn measurements_from_before_there_were_batches_read() {
		let mut json = serde_json::to_value(measurement(0, "a GPU", 0.5)).unwrap();
		json.as_object_mut().unwrap().remove("batch");
		let read: Measurement = serde_json::from_value(json).unwrap();
		assert_eq!(read, measurement(0, "a GPU", 0.5));
	}

	#[test]
	fn what_is_told_is_bounded_and_a_damaged_file_is_none() {
		let mut speeds = Speeds::default();
		for model in 0..64 {
			speeds.keep(measurement(model, "a GPU", 1.0));
		}
		assert!(speeds.beside(&profile(64)).len() < limits::MAX_TEXT_BYTES);
		let folder = tempfile::tempdir().unwrap();
		fs::write(folder.path().join(FILE), b"{").unwrap();
		assert_eq!(Speeds::read(folder.path()), Speeds::default());
	}

	#[test]
	fn medians_and_digits() {
		assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
		assert_eq!(median(vec![4.0, 1.0]), 2.5);
		assert_eq!(median(Vec::new()), 0.0);
		assert_eq!(significant(123.4), "123");
		assert_eq!(significant(1.234), "1.23");
		assert_eq!(significant(0.012_34), "0.01234");
	}
}
