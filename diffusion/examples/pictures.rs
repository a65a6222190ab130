//! Makes one picture of each line of a file: line n becomes `n.png`, from 0, with seed n.
//!
//! `cargo run --release -p cuckoo-diffusion --example pictures -- MODEL_FOLDER PROMPTS.txt FOLDER`

use cuckoo_diffusion::{png, Control, Device, LoadOptions, ModelFolder, Pipeline, Request};
use std::{env, error::Error, fs, path::Path};

fn main() -> Result<(), Box<dyn Error>> {
	let arguments: Vec<String> = env::args().skip(1).collect();
	let [model, prompts, output] = &arguments[..] else {
		return Err("usage: pictures MODEL_FOLDER PROMPTS.txt FOLDER".into());
	};
	let folder = ModelFolder::open(Path::new(model))?;
	let options = LoadOptions {
		device: Device::Cpu,
		threads: 1,
		..LoadOptions::default()
	};
	let mut pipeline = Pipeline::load(&folder, &options)?;
	fs::create_dir_all(output)?;
	for (index, prompt) in fs::read_to_string(prompts)?.lines().enumerate() {
		let request = Request::new(&folder, prompt, index as u64);
		let picture = pipeline.generate(&request, &mut |_| Control::Continue)?;
		let path = Path::new(output).join(format!("{index}.png"));
		fs::write(path, png::encode(&picture, &[("prompt", prompt)])?)?;
	}
	Ok(())
}
