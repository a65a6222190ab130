//! How far steps that are run again are from honest trajectories, and from those of cheats.
//!
//! `cargo run --release -p cuckoo-diffusion --example margins -- MODEL_FOLDER [NAME=FOLDER...]`
//!
//! Each NAME=FOLDER is another model of the same shapes whose steps pass for the first one's, such as
//! those that `reference/variants.py` makes.

use cuckoo_diffusion::{
	backend::OnnxRuntime, Control, DeviceClass, Error, ModelFolder, Pipeline, Progress, Request,
	Stop, Trajectory,
};
use std::{env, path::Path, sync::Arc};

const PROMPT: &str = "a red apple";
const SEED: u64 = 7;
/// Above 1, so that leaving it out can be told.
const GUIDANCE: f32 = 3.0;

fn main() -> Result<(), Box<dyn std::error::Error>> {
	let arguments: Vec<String> = env::args().skip(1).collect();
	let [model, others @ ..] = arguments.as_slice() else {
		return Err("usage: margins MODEL_FOLDER [NAME=FOLDER...]".into());
	};
	let folder = ModelFolder::open(Path::new(model))?;
	let request = Request {
		guidance: GUIDANCE,
		..Request::new(&folder, PROMPT, SEED)
	};
	let mut judge = pipeline(&folder, OnnxRuntime::cpu(1))?;

	println!("| trajectory by | least | median | most | noise | picture, grey levels |");
	println!("|---|---|---|---|---|---|");
	let honest = make(&mut judge, &request)?;
	print("the same settings", &mut judge, &request, &honest)?;
	let mut threads = pipeline(&folder, OnnxRuntime::cpu(2))?;
	print(
		"two threads",
		&mut judge,
		&request,
		&make(&mut threads, &request)?,
	)?;
	let mut plain = pipeline(&folder, OnnxRuntime::cpu(1).unoptimised())?;
	let name = "graphs that are not optimised";
	print(name, &mut judge, &request, &make(&mut plain, &request)?)?;
	let mut unfused = pipeline(&folder, OnnxRuntime::cpu(1).unfused())?;
	let name = "attention as the file writes it";
	print(name, &mut judge, &request, &make(&mut unfused, &request)?)?;
	let trajectory = make_among_others(&mut judge, &request)?;
	print("a batch of four", &mut judge, &request, &trajectory)?;
	for other in others {
		let (name, path) = other.split_once('=').ok_or("write NAME=FOLDER")?;
		let folder = ModelFolder::open(Path::new(path))?;
		let mut pipeline = pipeline(&folder, OnnxRuntime::cpu(1))?;
		print(name, &mut judge, &request, &make(&mut pipeline, &request)?)?;
	}

	let unguided = Request {
		guidance: 1.0,
		..request.clone()
	};
	let trajectory = make(&mut judge, &unguided)?;
	print("no guidance", &mut judge, &request, &trajectory)?;
	let other = Request {
		prompt: "a fox".into(),
		..request.clone()
	};
	let trajectory = make(&mut judge, &other)?;
	print("another prompt", &mut judge, &request, &trajectory)?;
	let other = Request {
		seed: SEED + 1,
		..request.clone()
	};
	let trajectory = make(&mut judge, &other)?;
	print("another seed", &mut judge, &request, &trajectory)?;
	let fewer = Request {
		steps: request.steps - 1,
		..request.clone()
	};
	// One latent twice, so that the number of leaves is right.
	let mut trajectory = make(&mut judge, &fewer)?;
	let middle = usize::from(request.steps / 2);
	let again = trajectory.leaves[middle].clone();
	trajectory.leaves.insert(middle, again);
	print("one step fewer", &mut judge, &request, &trajectory)?;
	Ok(())
}

fn pipeline(folder: &ModelFolder, backend: OnnxRuntime) -> Result<Pipeline, Error> {
	let name = String::new();
	Pipeline::with_backend(
		folder,
		Arc::new(backend),
		DeviceClass::Cpu,
		name.clone(),
		name,
	)
}

fn make(pipeline: &mut Pipeline, request: &Request) -> Result<Trajectory, Error> {
	let picture = pipeline.generate(request, &mut |_| Control::Continue)?;
	Ok(picture.trajectory)
}

/// The same picture, made together with others.
fn make_among_others(pipeline: &mut Pipeline, request: &Request) -> Result<Trajectory, Error> {
	let requests: Vec<Request> = ["a fox", PROMPT, "a blue house", ""]
		.into_iter()
		.enumerate()
		.map(|(more, prompt)| Request {
			prompt: prompt.into(),
			seed: if prompt == PROMPT {
				SEED
			} else {
				SEED + more as u64
			},
			..request.clone()
		})
		.collect();
	let on_step = &mut |_, _: Progress<'_>| Control::Continue;
	let mut pictures = pipeline.generate_together(&requests, &Stop::new(), on_step)?;
	Ok(pictures.swap_remove(1)?.trajectory)
}

fn print(
	name: &str,
	judge: &mut Pipeline,
	request: &Request,
	trajectory: &Trajectory,
) -> Result<(), Error> {
	let stop = Stop::new();
	let runs = trajectory.leaves.len() - 3;
	let mut errors = (0..runs)
		.map(|step| {
			let error = judge.rerun_step(request, trajectory, step, &stop)?;
			Ok(100.0 * error.relative)
		})
		.collect::<Result<Vec<f32>, Error>>()?;
	errors.sort_by(f32::total_cmp);
	let noise = 100.0 * judge.check_noise(request, trajectory)?.relative;
	let grey = judge.check_picture(request, trajectory, &stop)?;
	println!(
		"| {name} | {:.3}% | {:.3}% | {:.3}% | {noise:.3}% | {grey} |",
		errors[0],
		errors[runs / 2],
		errors[runs - 1]
	);
	Ok(())
}
