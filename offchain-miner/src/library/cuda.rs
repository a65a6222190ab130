//! `models optimize --cuda`: a copy of a model with graphs for CUDA beside the plain ones.
//!
//! ONNX Runtime's optimizer for Stable Diffusion is a Python program; `cuda.py` drives it, and refuses what
//! does not compute the same. The plain graphs stay what they are, for auditors and miners without a GPU.

use super::{optimise, OptimizeArgs};
use crate::{ui::Ui, verify_step::TOLERANCE};
use anyhow::{bail, ensure, Context};
use cuckoo_diffusion::{
	model::CUDA_GRAPH, runtime, Control, Device, LoadOptions, ModelFolder, Pipeline, Request, Stop,
};
use cuckoo_primitives::H256;
use serde::Deserialize;
use serde_json::json;
use std::{
	collections::BTreeMap,
	path::Path,
	process::{Command, Stdio},
};

/// What drives ONNX Runtime's optimizer.
const SCRIPT: &str = include_str!("cuda.py");
/// The graphs that a GPU's time goes into, and their kinds to the optimizer.
const COMPONENTS: [(&str, &str); 2] = [("unet", "unet"), ("vae_decoder", "vae")];
/// How the lines of the optimizer's progress begin.
const BAR: &str = "fusion: ";
/// The end of what Python said that an error repeats.
const MAX_LINES: usize = 4;

/// What was made of a graph.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(super) struct Rewritten {
	/// How many nodes there are of each operator of ONNX Runtime's own.
	pub operators: BTreeMap<String, usize>,
	/// The largest difference of its numbers from the plain graph's, by the largest number, both in fp32
	/// on the CPU.
	pub difference: f64,
}

/// Writes the copy, and says what is in it.
pub(super) fn command(args: &OptimizeArgs, json: bool, ui: &Ui) -> anyhow::Result<bool> {
	runtime::init(args.onnxruntime.as_deref())?;
	let device = (!args.unchecked).then_some(args.device);
	let (folder, (rewritten, error)) = optimise::in_a_new_folder(&args.out, |copy| {
		let rewritten = write(args, copy, ui)?;
		let error = device.map(|device| check(copy, device)).transpose()?;
		Ok((rewritten, error))
	})?;
	if json {
		let graphs: BTreeMap<&str, serde_json::Value> = rewritten
			.iter()
			.map(|(component, it)| {
				let shown = json!({ "operators": it.operators, "difference": it.difference });
				(*component, shown)
			})
			.collect();
		println!(
			"{}",
			json!({
				"hash": H256(folder.hash()),
				"path": args.out.display().to_string(),
				"graphs": graphs,
				"largest_step_error": error,
				"tolerance": TOLERANCE,
			})
		);
		return Ok(true);
	}
	println!("{:?}  {}", H256(folder.hash()), args.out.display());
	for (
		component,
		Rewritten {
			operators,
			difference,
		},
	) in &rewritten
	{
		let nodes: usize = operators.values().sum();
		println!(
			"{component}: {nodes} operators of {} kinds, off by {difference:.1e} of the largest number",
			operators.len()
		);
	}
	match error {
		Some(error) => println!(
			"run again without a GPU, its steps are off by {:.3}% at most; up to {:.1}% is taken",
			100.0 * error,
			100.0 * TOLERANCE
		),
		None => println!("no picture was made with it: --unchecked"),
	}
	println!("This is another model with another hash: it gets no tasks of the first.");
	Ok(true)
}

/// Copies the model to `copy` and writes the graphs for CUDA into it.
pub(super) fn write(
	args: &OptimizeArgs,
	copy: &Path,
	ui: &Ui,
) -> anyhow::Result<Vec<(&'static str, Rewritten)>> {
	let source = ModelFolder::open(&args.source)?;
	for (component, _) in COMPONENTS {
		let there = source.path().join(component).join(CUDA_GRAPH);
		ensure!(!there.exists(), "{} is there already", there.display());
	}
	optimise::copy_model(source.path(), copy, |_| true)?;
	let bar = ui.steps("rewriting".into(), COMPONENTS.len() as u16);
	COMPONENTS
		.into_iter()
		.map(|(component, kind)| {
			let folder = copy.join(component);
			let rewritten = rewrite(args, &folder, kind)
				.with_context(|| format!("{component} is not rewritten for CUDA"))?;
			bar.inc(1);
			Ok((component, rewritten))
		})
		.collect()
}

/// Has Python write a component's graph.
fn rewrite(args: &OptimizeArgs, folder: &Path, kind: &str) -> anyhow::Result<Rewritten> {
	let output = Command::new(&args.python)
		.args(["-c", SCRIPT])
		.arg(folder.join("model.onnx"))
		.arg(folder.join(CUDA_GRAPH))
		.arg(kind)
		.stdin(Stdio::null())
		.output()
		.with_context(|| {
			format!(
				"{} does not start: name a Python with --python",
				args.python.display()
			)
		})?;
	let said = String::from_utf8_lossy(&output.stdout);
	if !output.status.success() {
		// The optimizer's bars aside, the last lines say what was wrong.
		let errors = String::from_utf8_lossy(&output.stderr);
		let lines: Vec<&str> = errors
			.split(['\n', '\r'])
			.filter(|line| !line.is_empty() && !line.starts_with(BAR))
			.collect();
		let last = lines[lines.len().saturating_sub(MAX_LINES)..].join("\n");
		bail!("{last}");
	}
	let last = said.lines().last().unwrap_or_default();
	serde_json::from_str(last).with_context(|| format!("Python said {last:?}"))
}

/// Paints on the device and runs each step again on the CPU, as an auditor does: the largest error. More
/// than an auditor takes is refused.
fn check(copy: &Path, device: Device) -> anyhow::Result<f32> {
	let folder = ModelFolder::open(copy)?;
	let on = |device| {
		let options = LoadOptions {
			device,
			..LoadOptions::default()
		};
		Pipeline::load(&folder, &options)
	};
	let mut maker = on(device).context("--unchecked leaves out what needs the device")?;
	let mut auditor = on(Device::Cpu)?;
	let error = largest_step_error(&folder, &mut maker, &mut auditor)?;
	ensure!(
		error <= TOLERANCE,
		"its steps are off by {:.2}% when they are run again on the CPU; an auditor takes {:.1}%. Nothing \
		 was kept",
		100.0 * error,
		100.0 * TOLERANCE
	);
	Ok(error)
}

/// The largest error of a step of the samples that one pipeline makes and the other runs again.
fn largest_step_error(
	folder: &ModelFolder,
	maker: &mut Pipeline,
	auditor: &mut Pipeline,
) -> anyhow::Result<f32> {
	let mut largest = 0.0f32;
	for (prompt, seed) in optimise::SAMPLES {
		let mut request = Request::new(folder, prompt, seed);
		request.steps = optimise::STEPS.min(request.steps);
		let trajectory = maker
			.generate(&request, &mut |_| Control::Continue)?
			.trajectory;
		// The text embedding and the picture are no steps, and the noise is before the first.
		for step in 0..trajectory.leaves.len().saturating_sub(3) {
			let error = auditor.rerun_step(&request, &trajectory, step, &Stop::new())?;
			// Kept once it is not a number.
			if error.relative > largest || error.relative.is_nan() {
				largest = error.relative;
			}
		}
	}
	Ok(largest)
}

#[cfg(test)]
mod tests {
	use super::*;
	use std::path::PathBuf;

	fn model(path: &str) -> PathBuf {
		Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
	}

	fn args(source: PathBuf, out: PathBuf, python: PathBuf) -> OptimizeArgs {
		OptimizeArgs {
			source,
			out,
			tolerance: 1,
			cuda: true,
			python,
			device: Device::Cuda(0),
			unchecked: true,
			onnxruntime: None,
		}
	}

	#[test]
	fn a_python_that_cannot_do_it_is_named_and_nothing_is_kept() {
		let folder = tempfile::tempdir().unwrap();
		let out = folder.path().join("out");
		let source = model("../models/default/model");
		let with = |python: &str| {
			let args = args(source.clone(), out.clone(), python.into());
			format!("{:#}", command(&args, true, &Ui::new()).unwrap_err())
		};
		let error = with("/nowhere/python");
		assert!(
			error.contains("--python") && error.contains("unet"),
			"{error}"
		);
		// It ends well and says nothing.
		let error = with("/bin/true");
		assert!(error.contains("Python said"), "{error}");
		let error = with("/bin/false");
		assert!(error.contains("unet is not rewritten"), "{error}");
		let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
		assert!(left.is_empty(), "{left:?}");
	}

	#[test]
	fn a_machine_without_a_gpu_is_told_of_unchecked() {
		if cuckoo_diffusion::cuda::gpu(0).is_ok() {
			return;
		}
		let source = model("../models/default/model");
		let error = format!("{:#}", check(&source, Device::Cuda(0)).unwrap_err());
		assert!(error.contains("--unchecked"), "{error}");
	}

	#[test]
	fn the_same_graphs_are_within_what_an_auditor_takes() {
		let error = check(&model("../models/default/model"), Device::Cpu).unwrap();
		assert!(error <= TOLERANCE, "{error}");
	}

	/// A tiny model of Stable Diffusion 2's structure; its tokenizer is the default model's.
	fn tiny(source: &Path) {
		let family = model("../diffusion/reference/families/sd2");
		optimise::copy_model(&family, source, |_| true).unwrap();
		let tokenizer = model("../models/default/model/tokenizer");
		for entry in std::fs::read_dir(tokenizer).unwrap() {
			let path = entry.unwrap().path();
			let to = source.join("tokenizer").join(path.file_name().unwrap());
			if !to.exists() {
				std::fs::copy(&path, to).unwrap();
			}
		}
	}

	/// What ONNX Runtime's optimizer makes of the tiny model.
	fn optimised(source: &Path, out: &Path) -> (ModelFolder, Vec<(&'static str, Rewritten)>) {
		let python = std::env::var_os("CUCKOO_OPTIMIZER_PYTHON").unwrap();
		tiny(source);
		let args = args(source.into(), out.into(), python.into());
		optimise::in_a_new_folder(out, |copy| write(&args, copy, &Ui::new())).unwrap()
	}

	/// With ONNX Runtime's optimizer, which `scripts/test optimizer` installs for it.
	#[test]
	#[ignore = "needs CUCKOO_OPTIMIZER_PYTHON, a Python with onnx and onnxruntime"]
	fn the_optimizer_rewrites_what_exporters_write() {
		let folder = tempfile::tempdir().unwrap();
		let (source, out) = (folder.path().join("source"), folder.path().join("out"));
		let (copy, rewritten) = optimised(&source, &out);
		let operators = &rewritten[0].1.operators;
		for operator in [
			"NhwcConv",
			"GroupNorm",
			"SkipGroupNorm",
			"BiasSplitGelu",
			"BiasAdd",
		] {
			assert!(operators.contains_key(operator), "{operators:?}");
		}
		assert!(
			rewritten.iter().all(|(_, it)| it.difference < 1e-4),
			"{rewritten:?}"
		);
		assert!(out.join("unet").join(CUDA_GRAPH).is_file());
		let source = ModelFolder::open(&source).unwrap();
		assert_ne!(copy.hash(), source.hash());
		// Where there is no CUDA, the plain graphs run.
		let paint = |folder: &ModelFolder| {
			let options = LoadOptions {
				device: Device::Cpu,
				..LoadOptions::default()
			};
			let mut pipeline = Pipeline::load(folder, &options).unwrap();
			let mut request = Request::new(folder, "a red apple", 1);
			request.steps = 2;
			pipeline
				.generate(&request, &mut |_| Control::Continue)
				.unwrap()
		};
		assert_eq!(paint(&copy), paint(&source));
	}

	/// With stand-ins for NVIDIA's libraries, which `scripts/test cuda` makes.
	#[test]
	#[ignore = "needs CUCKOO_OPTIMIZER_PYTHON and ONNX Runtime's CUDA provider"]
	fn on_cuda_there_are_kernels_for_what_the_optimizer_writes() {
		let folder = tempfile::tempdir().unwrap();
		let (source, out) = (folder.path().join("source"), folder.path().join("out"));
		let (copy, rewritten) = optimised(&source, &out);
		assert!(rewritten[0].1.operators.contains_key("GroupNorm"));
		let options = LoadOptions {
			device: Device::Cuda(0),
			// Each node must run on the GPU.
			cuda_graphs: true,
			..LoadOptions::default()
		};
		let mut pipeline = Pipeline::load(&copy, &options).unwrap();
		let mut request = Request::new(&copy, "a red apple", 1);
		request.steps = 2;
		pipeline
			.generate(&request, &mut |_| Control::Continue)
			.unwrap();
	}
}
