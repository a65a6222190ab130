//! The engine beside Python on the same machine, library, files and noise: the work of
//! scripts/bench-engine.
//!
//! `bench_engine compare NAME MODEL PYTHON BENCH_PY THREADS ROUNDS STEPS SIDE` alternates both and
//! prints figures; `bench_engine serve MODEL THREADS` is this engine's side, in a process of its own
//! like Python's.

mod timed;

use cuckoo_diffusion::{
	backend::OnnxRuntime, Control, DeviceClass, ModelFolder, Pipeline, Request, Scheduler,
};
use cuckoo_figures::{median, print, Unit};
use serde::{Deserialize, Serialize};
use std::{
	env, fs,
	io::{self, BufRead, BufReader, Write},
	path::Path,
	process::{Child, ChildStdin, ChildStdout, Command, Stdio},
	sync::Arc,
	time::Instant,
};
use timed::{Inside, Timed};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const PROMPT: &str = "a red apple";

#[derive(Serialize, Deserialize)]
struct Asked {
	prompt: String,
	width: u16,
	height: u16,
	channels: usize,
	factor: u32,
	steps: u16,
	guidance: f32,
	seed: u64,
}

#[derive(Serialize, Deserialize)]
struct Ready {
	ready: f64,
}

#[derive(Serialize, Deserialize)]
struct Made {
	seconds: f64,
	/// A file with the picture's bytes.
	rgb: String,
	peak_kib: u64,
	/// Seconds outside ONNX Runtime; Python does not tell.
	#[serde(default)]
	outside: f64,
}

fn main() -> Result<()> {
	let arguments: Vec<String> = env::args().skip(1).collect();
	let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
	match arguments[..] {
		["serve", model, threads] => serve(Path::new(model), threads.parse()?),
		["compare", name, model, python, script, threads, rounds, steps, side] => {
			let folder = ModelFolder::open(Path::new(model))?;
			let me = env::current_exe()?;
			let me = me.to_str().ok_or("the program's path is not UTF-8")?;
			let asked = |seed| Asked {
				prompt: PROMPT.into(),
				width: side.parse().unwrap_or(0),
				height: side.parse().unwrap_or(0),
				channels: folder.latent_channels(),
				factor: folder.vae_factor(),
				steps: steps.parse().unwrap_or(0),
				guidance: folder.default_guidance(),
				seed,
			};
			let ours = || Side::start(&[me, "serve", model, threads]);
			let theirs = || Side::start(&[python, script, model, threads]);
			compare(name, ours, theirs, asked, rounds.parse()?)
		},
		_ => Err("see scripts/bench-engine".into()),
	}
}

/// One of both, in its process.
struct Side {
	process: Child,
	input: ChildStdin,
	output: BufReader<ChildStdout>,
	started: Instant,
}

impl Side {
	fn start(command: &[&str]) -> Result<Self> {
		let started = Instant::now();
		let mut process = Command::new(command[0])
			.args(&command[1..])
			.stdin(Stdio::piped())
			.stdout(Stdio::piped())
			.stderr(Stdio::null())
			.spawn()?;
		let input = process.stdin.take().ok_or("no standard input")?;
		let output = process.stdout.take().ok_or("no standard output")?;
		let mut side = Self {
			process,
			input,
			output: BufReader::new(output),
			started,
		};
		serde_json::from_str::<Ready>(&side.line()?)?;
		Ok(side)
	}

	fn line(&mut self) -> Result<String> {
		let mut line = String::new();
		match self.output.read_line(&mut line)? {
			0 => Err("a side of the comparison ended; run it by hand to see why".into()),
			_ => Ok(line),
		}
	}

	fn make(&mut self, asked: &Asked) -> Result<Made> {
		writeln!(self.input, "{}", serde_json::to_string(asked)?)?;
		Ok(serde_json::from_str(&self.line()?)?)
	}
}

impl Drop for Side {
	fn drop(&mut self) {
		// It ends with its input; a stuck one must not outlive the bench.
		let _ = self.process.kill();
		let _ = self.process.wait();
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
		let (x, y) = (fs::read(&a.rgb)?, fs::read(&b.rgb)?);
		if x.len() != y.len() {
			return Err("the pictures have different sizes".into());
		}
		let worst = x.iter().zip(&y).map(|(x, y)| x.abs_diff(*y)).max();
		grey = grey.max(worst.unwrap_or(0));
	}
	let mut cold = Vec::new();
	for _ in 0..rounds.min(3) {
		let seconds = |side: Result<Side>| -> Result<f64> {
			let mut side = side?;
			side.make(&asked(0))?;
			Ok(side.started.elapsed().as_secs_f64())
		};
		let (a, b) = (seconds(ours())?, seconds(theirs())?);
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
	let ready = begin.elapsed().as_secs_f64();
	let mut out = io::stdout().lock();
	writeln!(out, "{}", serde_json::to_string(&Ready { ready })?)?;
	out.flush()?;
	let file = env::temp_dir().join(format!("bench-engine-{}.rgb", std::process::id()));
	for line in io::stdin().lock().lines() {
		let asked: Asked = serde_json::from_str(&line?)?;
		let request = Request {
			width: asked.width,
			height: asked.height,
			steps: asked.steps,
			guidance: asked.guidance,
			scheduler: Scheduler::Ddim,
			..Request::new(&folder, asked.prompt, asked.seed)
		};
		inside.take();
		let start = Instant::now();
		let picture = pipeline.generate(&request, &mut |_| Control::Continue)?;
		// With the commitment's hashes, which Python does not make.
		for leaf in &picture.trajectory.leaves {
			std::hint::black_box(blake3::hash(leaf));
		}
		let seconds = start.elapsed().as_secs_f64();
		fs::write(&file, &picture.rgb)?;
		let made = Made {
			seconds,
			rgb: file.to_str().ok_or("TMPDIR is not UTF-8")?.into(),
			peak_kib: peak_kib()?,
			outside: seconds - inside.take(),
		};
		writeln!(out, "{}", serde_json::to_string(&made)?)?;
		out.flush()?;
	}
	Ok(())
}

/// The most memory that this process has had.
fn peak_kib() -> Result<u64> {
	let status = fs::read_to_string("/proc/self/status")?;
	let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
	let number = line.and_then(|line| line.split_whitespace().next());
	Ok(number.ok_or("no VmHWM in /proc/self/status")?.parse()?)
}
