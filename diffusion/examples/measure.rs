//! Measures the engine: time to open and load a model, time a picture, and the share of it that is
//! spent outside ONNX Runtime.
//!
//! `cargo run --release -p cuckoo-diffusion --example measure -- MODEL_FOLDER [PICTURES]`

mod timed;

use cuckoo_diffusion::{
	backend::OnnxRuntime, runtime, Control, DeviceClass, ModelFolder, Pipeline, Request,
};
use std::{env, path::Path, sync::Arc, time::Instant};
use timed::{Inside, Timed};

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
		let inside = Inside::default();
		let backend = Arc::new(Timed::new(OnnxRuntime::cpu(threads), inside.clone()));
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
		inside.take();
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
		let outside = 1.0 - inside.take() / total;
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
