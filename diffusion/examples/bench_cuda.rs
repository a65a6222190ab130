//! The engine on a GPU: the work of `scripts/bench-engine --cuda`.
//!
//! `bench_cuda all DEFAULT_MODEL MODEL PYTHON BENCH_TORCH_PY DEVICE ROUNDS STEPS SIDE` prints figures;
//! `bench_cuda serve MODEL DEVICE` is this engine's side, in a process of its own like Python's. With the
//! device `cpu` all but what NVIDIA's tools say of a card can be tried out.

mod side;

use cuckoo_diffusion::{Device, LoadOptions, ModelFolder, Pipeline};
use cuckoo_figures::{median, print, Unit};
use side::{worst_grey, Asked, Result, Side};
use std::{
	env, fs,
	io::Read,
	path::Path,
	process::{Command, Stdio},
	time::Instant,
};

/// Processes that make the same picture, and how often each does.
const PROCESSES: u64 = 3;
const RUNS: u64 = 3;
/// Jobs over which memory is to stay flat, and after how many it is looked at first.
const JOBS: u64 = 200;
const WARM_JOBS: u64 = 20;
/// Pictures during which the card is watched.
const WATCHED: u64 = 10;
/// Seeds of which the GPU's pictures are compared with the CPU's.
const COMPARED: u64 = 3;

fn main() -> Result<()> {
	let arguments: Vec<String> = env::args().skip(1).collect();
	let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
	match arguments[..] {
		["serve", model, device] => serve(Path::new(model), device.parse()?),
		["all", default, model, python, script, device, rounds, steps, side] => {
			let me = env::current_exe()?;
			let me = me.to_str().ok_or("the program's path is not UTF-8")?;
			let bench = Bench {
				me,
				model,
				// Once: opening hashes gigabytes.
				folder: ModelFolder::open(Path::new(model))?,
				device,
				rounds: rounds.parse()?,
				steps: steps.parse()?,
				side: side.parse()?,
			};
			bench.against_the_cpu(default)?;
			bench.runs_equal()?;
			bench.against_torch(python, script)?;
			bench.memory_and_kernels()
		},
		_ => Err("see scripts/bench-engine".into()),
	}
}

fn serve(model: &Path, device: Device) -> Result<()> {
	let begin = Instant::now();
	let folder = ModelFolder::open(model)?;
	let options = LoadOptions {
		device,
		..LoadOptions::default()
	};
	let mut pipeline = Pipeline::load(&folder, &options)?;
	side::answer(&folder, &mut pipeline, begin, |_| 0.0)
}

struct Bench<'a> {
	/// This program.
	me: &'a str,
	/// A model of Stable Diffusion 1.5's size, in fp16.
	model: &'a str,
	folder: ModelFolder,
	device: &'a str,
	rounds: u64,
	steps: u16,
	side: u16,
}

impl Bench<'_> {
	fn ours(&self, model: &str, device: &str) -> Result<Side> {
		Side::start(&[self.me, "serve", model, device])
	}

	fn asked(&self, seed: u64) -> Asked {
		Asked::new(&self.folder, self.side, self.steps, seed)
	}

	/// The default model's pictures, which are computed in fp32 on both.
	fn against_the_cpu(&self, default: &str) -> Result<()> {
		let folder = ModelFolder::open(Path::new(default))?;
		let (mut gpu, mut cpu) = (self.ours(default, self.device)?, self.ours(default, "cpu")?);
		let mut grey = 0;
		for seed in 0..COMPARED {
			let asked = Asked::new(&folder, folder.default_size(), folder.default_steps(), seed);
			grey = grey.max(worst_grey(&gpu.make(&asked)?, &cpu.make(&asked)?)?);
		}
		print("gpu_cpu_max_grey", f64::from(grey), Unit::Count)?;
		Ok(())
	}

	fn runs_equal(&self) -> Result<()> {
		let asked = self.asked(7);
		let mut first: Option<Vec<u8>> = None;
		let mut equal = 0.0;
		for _ in 0..PROCESSES {
			let mut side = self.ours(self.model, self.device)?;
			for _ in 0..RUNS {
				let picture = fs::read(side.make(&asked)?.rgb)?;
				let same = first.get_or_insert_with(|| picture.clone()) == &picture;
				equal += f64::from(u8::from(same));
			}
		}
		// The part of the runs that gave the first one's picture.
		print(
			"gpu_runs_equal",
			equal / (PROCESSES * RUNS) as f64,
			Unit::Ratio,
		)?;
		Ok(())
	}

	fn against_torch(&self, python: &str, script: &str) -> Result<()> {
		for (name, how) in [
			("gpu_ratio_eager", "eager"),
			("gpu_ratio_compiled", "compiled"),
		] {
			let mut us = self.ours(self.model, self.device)?;
			let mut them = Side::start(&[python, script, self.model, self.device, how])?;
			// The first pictures warm up; a compiled one is compiled there.
			for seed in 0..2 {
				us.make(&self.asked(seed))?;
				them.make(&self.asked(seed))?;
			}
			let (mut ratios, mut ours) = (Vec::new(), Vec::new());
			for seed in 2..2 + self.rounds {
				let asked = self.asked(seed);
				let (a, b) = (us.make(&asked)?.seconds, them.make(&asked)?.seconds);
				ratios.push(b / a);
				ours.push(1.0 / a);
			}
			let of = |values: &[f64]| median(values).unwrap_or(f64::NAN);
			print(name, of(&ratios), Unit::Ratio)?;
			if how == "eager" {
				print("gpu_pictures_per_s", of(&ours), Unit::PerSecond)?;
			}
		}
		Ok(())
	}

	fn memory_and_kernels(&self) -> Result<()> {
		let number = self
			.device
			.strip_prefix("cuda:")
			.ok_or("kernels and memory are measured on a GPU only: --device cuda:N")?;
		let mut side = self.ours(self.model, self.device)?;
		let mut flat = None;
		for job in 0..JOBS {
			side.make(&self.asked(job))?;
			if job + 1 == WARM_JOBS {
				flat = Some(memory_used(number)?);
			}
		}
		let before = flat.ok_or("too few jobs")?;
		let growth = memory_used(number)? - before;
		print("gpu_memory_growth", growth * 1024.0, Unit::Kibibytes)?;

		// NVML's utilization is the part of a sample's time in which a kernel ran.
		let mut watch = Command::new("nvidia-smi")
			.args([
				"--query-gpu=utilization.gpu",
				"--format=csv,noheader,nounits",
				"-lms",
				"100",
			])
			.args(["-i", number])
			.stdout(Stdio::piped())
			.spawn()?;
		for seed in 0..WATCHED {
			side.make(&self.asked(seed))?;
		}
		watch.kill()?;
		let mut said = String::new();
		if let Some(mut output) = watch.stdout.take() {
			output.read_to_string(&mut said)?;
		}
		watch.wait()?;
		let samples: Vec<f64> = said
			.lines()
			.filter_map(|line| line.trim().parse().ok())
			.collect();
		// The first sample is of the time before.
		let busy = samples.get(1..).unwrap_or_default();
		let share = busy.iter().sum::<f64>() / busy.len() as f64 / 100.0;
		print("gpu_kernel_share", share, Unit::Ratio)?;
		Ok(())
	}
}

/// MiB of the card's memory that are in use.
fn memory_used(number: &str) -> Result<f64> {
	let output = Command::new("nvidia-smi")
		.args([
			"--query-gpu=memory.used",
			"--format=csv,noheader,nounits",
			"-i",
			number,
		])
		.output()?;
	let said = String::from_utf8(output.stdout)?;
	Ok(said
		.trim()
		.parse()
		.map_err(|_| "nvidia-smi does not say how much memory is in use")?)
}
