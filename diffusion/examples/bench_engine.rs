//! The engine beside Python on the same machine, library, files and noise: the work of
//! scripts/bench-engine.
//!
//! `bench_engine compare PYTHON BENCH_PY THREADS ROUNDS [NAME MODEL STEPS SIDE]...` alternates both on
//! each model and prints figures, the last model being of Stable Diffusion's shape; `bench_engine serve
//! MODEL THREADS` is this engine's side, in a process of its own like Python's.

mod side;
mod timed;

use cuckoo_diffusion::{backend::OnnxRuntime, DeviceClass, ModelFolder, Pipeline};
use cuckoo_figures::{median, print, Unit};
use side::{worst_grey, Asked, Result, Side};
use std::{env, path::Path, sync::Arc, time::Instant};
use timed::{Inside, Timed};

fn main() -> Result<()> {
	let arguments: Vec<String> = env::args().skip(1).collect();
	let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
	match arguments[..] {
		["serve", model, threads] => serve(Path::new(model), threads.parse()?),
		["compare", python, script, threads, rounds, ref models @ ..] => {
			let me = env::current_exe()?;
			let me = me.to_str().ok_or("the program's path is not UTF-8")?;
			let mut all = Vec::new();
			for model in models.chunks(4) {
				let &[name, model, steps, side] = model else {
					return Err("see scripts/bench-engine".into());
				};
				let folder = ModelFolder::open(Path::new(model))?;
				let (side, steps) = (side.parse()?, steps.parse()?);
				let asked = |seed| Asked::new(&folder, side, steps, seed);
				let ours = || Side::start(&[me, "serve", model, threads]);
				let theirs = || Side::start(&[python, script, model, threads]);
				let compared = compare(ours, theirs, asked, rounds.parse()?)?;
				compared.print(name)?;
				all.push(compared);
			}
			summary(&all)
		},
		_ => Err("see scripts/bench-engine".into()),
	}
}

/// This engine beside Python on one model.
struct Compared {
	/// Python's seconds a picture by this engine's.
	speed: f64,
	/// Percent of this engine's time outside ONNX Runtime.
	overhead: f64,
	/// This engine's largest memory, and its seconds to a first picture, by Python's.
	memory: f64,
	cold_start: f64,
	/// The largest difference of a colour of a pixel.
	grey: u8,
}

impl Compared {
	fn print(&self, name: &str) -> Result<()> {
		print(&format!("cpu_ratio_{name}"), self.speed, Unit::Ratio)?;
		print(
			&format!("overhead_pct_{name}"),
			self.overhead,
			Unit::Percent,
		)?;
		print(
			&format!("peak_memory_ratio_{name}"),
			self.memory,
			Unit::Ratio,
		)?;
		print(
			&format!("cold_start_ratio_{name}"),
			self.cold_start,
			Unit::Ratio,
		)?;
		print(
			&format!("parity_max_grey_{name}"),
			self.grey.into(),
			Unit::Count,
		)?;
		Ok(())
	}
}

/// Of all models: the worst of each, but the overhead on the last.
fn summary(all: &[Compared]) -> Result<()> {
	let last = all.last().ok_or("no model was named")?;
	let worst = |of: fn(&Compared) -> f64| all.iter().map(of).fold(0.0, f64::max);
	print("overhead_pct", last.overhead, Unit::Percent)?;
	print("peak_memory_ratio", worst(|it| it.memory), Unit::Ratio)?;
	print("cold_start_ratio", worst(|it| it.cold_start), Unit::Ratio)?;
	print("parity_max_grey", worst(|it| it.grey.into()), Unit::Count)?;
	Ok(())
}

fn compare(
	ours: impl Fn() -> Result<Side>,
	theirs: impl Fn() -> Result<Side>,
	asked: impl Fn(u64) -> Asked,
	rounds: u64,
) -> Result<Compared> {
	let (mut ratios, mut overheads, mut grey) = (Vec::new(), Vec::new(), 0u8);
	let (mut us, mut them) = (ours()?, theirs()?);
	// The first picture warms up.
	us.make(&asked(0))?;
	them.make(&asked(0))?;
	let mut peaks = (0, 0);
	for seed in 1..=rounds {
		let (a, b) = (us.make(&asked(seed))?, them.make(&asked(seed))?);
		ratios.push(b.seconds / a.seconds);
		overheads.push(100.0 * a.outside / a.seconds);
		peaks = (a.peak_kib, b.peak_kib);
		grey = grey.max(worst_grey(&a, &b)?);
	}
	let mut cold = Vec::new();
	for _ in 0..rounds.min(3) {
		let seconds = |start: &dyn Fn() -> Result<Side>| -> Result<f64> {
			let started = Instant::now();
			start()?.make(&asked(0))?;
			Ok(started.elapsed().as_secs_f64())
		};
		let (a, b) = (seconds(&ours)?, seconds(&theirs)?);
		cold.push(a / b);
	}
	let of = |values: &[f64]| median(values).unwrap_or(f64::NAN);
	Ok(Compared {
		speed: of(&ratios),
		overhead: of(&overheads),
		memory: peaks.0 as f64 / peaks.1 as f64,
		cold_start: of(&cold),
		grey,
	})
}

fn serve(model: &Path, threads: usize) -> Result<()> {
	let begin = Instant::now();
	let inside = Inside::default();
	let folder = ModelFolder::open(model)?;
	let backend = Arc::new(Timed::new(OnnxRuntime::cpu(threads), inside.clone()));
	let text = String::new();
	let mut pipeline =
		Pipeline::with_backend(&folder, backend, DeviceClass::Cpu, text.clone(), text)?;
	side::answer(&folder, &mut pipeline, begin, |seconds| {
		seconds - inside.take()
	})
}
