//! The engine beside Python on the same machine, library, files and noise: the work of
//! scripts/bench-engine.
//!
//! `bench_engine compare NAME MODEL PYTHON BENCH_PY THREADS ROUNDS STEPS SIDE` alternates both and
//! prints figures; `bench_engine serve MODEL THREADS` is this engine's side, in a process of its own
//! like Python's.

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
		["compare", name, model, python, script, threads, rounds, steps, side] => {
			let folder = ModelFolder::open(Path::new(model))?;
			let me = env::current_exe()?;
			let me = me.to_str().ok_or("the program's path is not UTF-8")?;
			let (side, steps) = (side.parse()?, steps.parse()?);
			let asked = |seed| Asked::new(&folder, side, steps, seed);
			let ours = || Side::start(&[me, "serve", model, threads]);
			let theirs = || Side::start(&[python, script, model, threads]);
			compare(name, ours, theirs, asked, rounds.parse()?)
		},
		_ => Err("see scripts/bench-engine".into()),
	}
}

fn compare(
	name: &str,
	ours: impl Fn() -> Result<Side>,
	theirs: impl Fn() -> Result<Side>,
	asked: impl Fn(u64) -> Asked,
	rounds: u64,
) -> Result<()> {
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
		cold.push(b / a);
	}
	let of = |values: &[f64]| median(values).unwrap_or(f64::NAN);
	print(&format!("cpu_ratio_{name}"), of(&ratios), Unit::Ratio)?;
	print(
		&format!("overhead_pct_{name}"),
		of(&overheads),
		Unit::Percent,
	)?;
	let memory = peaks.0 as f64 / peaks.1 as f64;
	print(&format!("peak_memory_ratio_{name}"), memory, Unit::Ratio)?;
	print(&format!("cold_start_ratio_{name}"), of(&cold), Unit::Ratio)?;
	print(
		&format!("parity_max_grey_{name}"),
		f64::from(grey),
		Unit::Count,
	)?;
	Ok(())
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
