//! Measures the engine: time to open and load a model, time a picture, and the share of it that is
//! spent outside ONNX Runtime.
//!
//! `cargo run --release -p cuckoo-diffusion --example measure -- MODEL_FOLDER [PICTURES]`

use cuckoo_diffusion::{
	backend::{Backend, Graph, OnnxRuntime, Port, Tensor},
	runtime, Control, DeviceClass, Error, ModelFolder, Pipeline, Request, Stop,
};
use std::{
	env,
	path::Path,
	sync::{
		atomic::{AtomicU64, Ordering::Relaxed},
		Arc,
	},
	time::Instant,
};

const DEFAULT_PICTURES: usize = 9;
const THREADS: [usize; 2] = [1, 2];

fn main() -> Result<(), Box<dyn std::error::Error>> {
	let arguments: Vec<String> = env::args().skip(1).collect();
	let (model, pictures) = match &arguments[..] {
		[model] => (model, DEFAULT_PICTURES),
		[model, pictures] => (model, pictures.parse()?),
		_ => return Err("usage: measure MODEL_FOLDER [PICTURES]".into()),
	};
	let start = Instant::now();
	runtime::init(None)?;
	println!(
		"figure: runtime_load {:.3} seconds",
		start.elapsed().as_secs_f64()
	);
	let start = Instant::now();
	let folder = ModelFolder::open(Path::new(model))?;
	println!(
		"figure: folder_open {:.3} seconds",
		start.elapsed().as_secs_f64()
	);

	for threads in THREADS {
		let inside = Arc::new(AtomicU64::new(0));
		let backend = Arc::new(Timed {
			inner: OnnxRuntime::cpu(threads),
			inside: inside.clone(),
		});
		let start = Instant::now();
		let name = format!("{threads} threads");
		let mut pipeline =
			Pipeline::with_backend(&folder, backend, DeviceClass::Cpu, name, String::new())?;
		println!(
			"figure: load_{threads}_threads {:.3} seconds",
			start.elapsed().as_secs_f64()
		);

		let request = Request::new(&folder, "a red apple", 0);
		pipeline.generate(&request, &mut |_| Control::Continue)?;
		inside.store(0, Relaxed);
		let mut seconds = Vec::new();
		for seed in 0..pictures as u64 {
			let request = Request {
				seed,
				..request.clone()
			};
			let start = Instant::now();
			pipeline.generate(&request, &mut |_| Control::Continue)?;
			seconds.push(start.elapsed().as_secs_f64());
		}
		let total: f64 = seconds.iter().sum();
		let outside = 1.0 - inside.load(Relaxed) as f64 * 1e-9 / total;
		seconds.sort_by(f64::total_cmp);
		println!(
			"figure: picture_{threads}_threads {:.3} seconds",
			seconds[seconds.len() / 2]
		);
		println!(
			"figure: outside_runtime_{threads}_threads {:.2} percent",
			outside * 100.0
		);
	}
	Ok(())
}

/// A backend that adds up the time its graphs run.
struct Timed<B> {
	inner: B,
	inside: Arc<AtomicU64>,
}

impl<B: Backend> Backend for Timed<B> {
	fn load(&self, path: &Path) -> Result<Box<dyn Graph>, Error> {
		let inner = self.inner.load(path)?;
		Ok(Box::new(TimedGraph {
			inner,
			inside: self.inside.clone(),
		}))
	}
}

struct TimedGraph {
	inner: Box<dyn Graph>,
	inside: Arc<AtomicU64>,
}

impl Graph for TimedGraph {
	fn inputs(&self) -> &[Port] {
		self.inner.inputs()
	}

	fn outputs(&self) -> &[Port] {
		self.inner.outputs()
	}

	fn run(
		&mut self,
		inputs: &[(&str, &Tensor)],
		outputs: &[&str],
		stop: &Stop,
	) -> Result<Vec<Tensor>, Error> {
		let start = Instant::now();
		let result = self.inner.run(inputs, outputs, stop);
		self.inside
			.fetch_add(start.elapsed().as_nanos() as u64, Relaxed);
		result
	}
}
