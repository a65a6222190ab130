//! One side of a comparison, in a process of its own: it loads a model, says that it is ready, and makes a
//! picture for each line that it is given. Python's sides (`../reference/bench*.py`) speak the same.

use cuckoo_diffusion::{Control, ModelFolder, Pipeline, Request, Scheduler};
use serde::{Deserialize, Serialize};
use std::{
	env, fs,
	io::{self, BufRead, BufReader, Write},
	process::{Child, ChildStdin, ChildStdout, Command, Stdio},
	time::Instant,
};

pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// What all pictures show.
pub const PROMPT: &str = "a red apple";

/// A picture that is asked for.
#[derive(Clone, Serialize, Deserialize)]
pub struct Asked {
	pub prompt: String,
	pub width: u16,
	pub height: u16,
	pub channels: usize,
	pub factor: u32,
	pub steps: u16,
	pub guidance: f32,
	pub seed: u64,
}

/// It has loaded its model.
#[derive(Serialize, Deserialize)]
pub struct Ready {
	pub ready: f64,
}

/// A picture that was made.
#[derive(Serialize, Deserialize)]
pub struct Made {
	pub seconds: f64,
	/// A file with the picture's bytes.
	pub rgb: String,
	pub peak_kib: u64,
	/// Seconds outside ONNX Runtime; Python does not tell.
	#[serde(default)]
	pub outside: f64,
}

impl Asked {
	/// By the model's guidance.
	pub fn new(folder: &ModelFolder, side: u16, steps: u16, seed: u64) -> Self {
		Self {
			prompt: PROMPT.into(),
			width: side,
			height: side,
			channels: folder.latent_channels(),
			factor: folder.vae_factor(),
			steps,
			guidance: folder.default_guidance(),
			seed,
		}
	}
}

/// A side, as whoever compares sees it.
pub struct Side {
	process: Child,
	input: ChildStdin,
	output: BufReader<ChildStdout>,
}

impl Side {
	pub fn start(command: &[&str]) -> Result<Self> {
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

	pub fn make(&mut self, asked: &Asked) -> Result<Made> {
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

/// This engine's side: says that it is ready, and answers until its input ends. `outside` gives the
/// seconds of a picture that were not spent in graphs, of so many in all.
pub fn answer(
	folder: &ModelFolder,
	pipeline: &mut Pipeline,
	begin: Instant,
	mut outside: impl FnMut(f64) -> f64,
) -> Result<()> {
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
			..Request::new(folder, asked.prompt, asked.seed)
		};
		outside(0.0);
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
			outside: outside(seconds),
		};
		writeln!(out, "{}", serde_json::to_string(&made)?)?;
		out.flush()?;
	}
	Ok(())
}

/// The largest difference of a colour of a pixel between two pictures in files.
pub fn worst_grey(a: &Made, b: &Made) -> Result<u8> {
	let (a, b) = (fs::read(&a.rgb)?, fs::read(&b.rgb)?);
	if a.len() != b.len() {
		return Err("the pictures have different sizes".into());
	}
	let worst = a.iter().zip(&b).map(|(a, b)| a.abs_diff(*b)).max();
	Ok(worst.unwrap_or(0))
}

/// The most memory that this process has had.
fn peak_kib() -> Result<u64> {
	let status = fs::read_to_string("/proc/self/status")?;
	let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
	let number = line.and_then(|line| line.split_whitespace().next());
	Ok(number.ok_or("no VmHWM in /proc/self/status")?.parse()?)
}
