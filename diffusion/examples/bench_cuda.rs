//! The engine on a GPU: the work of `scripts/bench-engine --cuda`.
//!
//! `bench_cuda all DEFAULT_MODEL MODEL PYTHON BENCH_TORCH_PY DEVICE ROUNDS STEPS SIDE` prints figures;
//! `bench_cuda serve MODEL DEVICE one-by-one|recorded` is this engine's side, in a process of its own like
//! Python's. With the device `cpu` all but what NVIDIA's tools say of a card can be tried out.

mod side;

use cuckoo_diffusion::{Device, LoadOptions, ModelFolder, Pipeline};
use cuckoo_figures::{median, print, Unit};
use side::{worst_grey, Asked, Result, Side};
use std::{
	env, fs,
	io::Read,
	path::Path,
	process::{Command, Stdio},
	time::{Duration, Instant},
};

/// Processes that make the same picture, and how often each does.
const PROCESSES: u64 = 3;
const RUNS: u64 = 3;
/// Jobs over which memory is to stay flat, and after how many it is looked at first.
const JOBS: u64 = 200;
const WARM_JOBS: u64 = 20;
/// How long the card is watched, and how much of that is left out: what NVML says of a moment is of up to a
/// second before.
const WATCHED: Duration = Duration::from_secs(20);
const LEFT_OUT: Duration = Duration::from_secs(2);
/// How often it is asked.
const PERIOD: Duration = Duration::from_millis(100);
/// Seeds of which the GPU's pictures are compared with the CPU's.
const COMPARED: u64 = 3;

fn main() -> Result<()> {
	let arguments: Vec<String> = env::args().skip(1).collect();
	let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
	match arguments[..] {
		["serve", model, device, how] => serve(
			Path::new(model),
			device.parse()?,
			how == Steps::Recorded.name(),
		),
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

/// How this engine's steps run on the GPU.
#[derive(Clone, Copy)]
enum Steps {
	/// Each node is started by itself, as is the default.
	OneByOne,
	/// As one graph that CUDA recorded (`--cuda-graphs`), as PyTorch's compiled ones are.
	Recorded,
}

impl Steps {
	fn name(self) -> &'static str {
		match self {
			Self::OneByOne => "one-by-one",
			Self::Recorded => "recorded",
		}
	}
}

fn serve(model: &Path, device: Device, cuda_graphs: bool) -> Result<()> {
	let begin = Instant::now();
	let folder = ModelFolder::open(model)?;
	let options = LoadOptions {
		device,
		cuda_graphs,
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
	fn ours(&self, model: &str, device: &str, steps: Steps) -> Result<Side> {
		Side::start(&[self.me, "serve", model, device, steps.name()])
	}

	fn asked(&self, seed: u64) -> Asked {
		Asked::new(&self.folder, self.side, self.steps, seed)
	}

	/// The default model's pictures, which are computed in fp32 on both.
	fn against_the_cpu(&self, default: &str) -> Result<()> {
		let folder = ModelFolder::open(Path::new(default))?;
		let side = |device| self.ours(default, device, Steps::OneByOne);
		let (mut gpu, mut cpu) = (side(self.device)?, side("cpu")?);
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
			let mut side = self.ours(self.model, self.device, Steps::OneByOne)?;
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
		let race = |how, steps| -> Result<(f64, f64)> {
			let mut us = self.ours(self.model, self.device, steps)?;
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
			Ok((of(&ratios), of(&ours)))
		};
		// Like by like: eager PyTorch starts each kernel by itself, compiled PyTorch replays recordings.
		let (ratio, pictures) = race("eager", Steps::OneByOne)?;
		print("gpu_ratio_eager", ratio, Unit::Ratio)?;
		print("gpu_pictures_per_s", pictures, Unit::PerSecond)?;
		let (ratio, pictures) = race("compiled", Steps::Recorded)?;
		print("gpu_ratio_compiled", ratio, Unit::Ratio)?;
		print("gpu_recorded_pictures_per_s", pictures, Unit::PerSecond)?;
		Ok(())
	}

	fn memory_and_kernels(&self) -> Result<()> {
		let number = self
			.device
			.strip_prefix("cuda:")
			.ok_or("kernels and memory are measured on a GPU only: --device cuda:N")?;
		let mut side = self.ours(self.model, self.device, Steps::OneByOne)?;
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
				"-i",
				number,
				"-lms",
			])
			.arg(PERIOD.as_millis().to_string())
			.stdout(Stdio::piped())
			.spawn()?;
		let begin = Instant::now();
		for seed in 0.. {
			side.make(&self.asked(seed))?;
			if begin.elapsed() > WATCHED {
				break;
			}
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
		let left_out = (LEFT_OUT.as_millis() / PERIOD.as_millis()) as usize;
		let busy = samples.get(left_out..).unwrap_or_default();
		if busy.is_empty() {
			return Err("nvidia-smi gave no samples of the GPU's use".into());
		}
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
