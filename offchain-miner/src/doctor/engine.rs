//! What pictures need: ONNX Runtime, GPUs, models and memory.

use super::{Finding, Health};
use crate::{
	cli::{EngineArgs, HoldArgs},
	engine::memory_estimate,
	memory::Bytes,
	warm::Warm,
};
use cuckoo_diffusion::{cuda, runtime, Control, Device, ModelFolder, Pipeline, Request};
use cuckoo_primitives::H256;
use std::{path::Path, time::Instant};

/// Everything that a picture needs, on each device; and the models, if all of them open.
pub(super) fn look_at(
	args: &EngineArgs,
	hold: &HoldArgs,
) -> (Vec<Finding>, Option<Vec<ModelFolder>>) {
	let mut findings = Vec::new();
	let mut library_path = None;
	let library = match runtime::init(args.onnxruntime.as_deref()) {
		Ok(info) => {
			let detail = format!("{} at {}", info.version, info.path.display());
			findings.push(Finding::ok("ONNX Runtime", detail));
			library_path = Some(info.path);
			true
		},
		Err(error) => {
			findings.push(Finding::problem("ONNX Runtime", error));
			false
		},
	};
	let devices = hold.device.devices();
	let gpus: Vec<Finding> = devices.iter().map(|&device| look_at_gpu(device)).collect();
	let wanted = devices
		.iter()
		.zip(&gpus)
		.find(|(device, gpu)| gpu.health == Health::Ok || matches!(device, Device::Cuda(_)));
	let wanted = wanted.map(|(device, _)| *device);
	findings.extend(gpus);
	// They are the same for all GPUs.
	if let Some(device) = wanted {
		findings.extend(look_at_libraries(device, library_path.as_deref()));
	}
	if let Err(error) = hold.layout().tasks_at_once(devices.len()) {
		findings.push(Finding::problem("tasks at once", error));
	}
	let folders = match hold.paths(args) {
		Ok(folders) => folders,
		Err(error) => {
			findings.push(Finding::problem("model", error));
			return (findings, None);
		},
	};
	let (mut held, mut all) = (Vec::new(), true);
	for path in folders {
		match ModelFolder::open(&path) {
			Ok(folder) => {
				held.push(folder.clone());
				let hash = H256(folder.hash());
				let detail = format!("{hash:?} in {}", folder.path().display());
				findings.push(Finding::ok(format!("model {}", folder.name()), detail));
				if library {
					let steps = devices
						.iter()
						.map(|&device| one_step(&folder, device, devices.len() > 1, args));
					findings.extend(steps);
				}
			},
			Err(error) => {
				all = false;
				findings.push(Finding::problem("model", error));
			},
		}
	}
	if !held.is_empty() {
		let memory = devices.iter().map(|&device| {
			let what = what_on("memory for models", device, devices.len() > 1);
			look_at_memory(what, device, hold, &held)
		});
		findings.extend(memory);
	}
	(findings, all.then_some(held))
}

/// What was looked at, with the device where there are several.
fn what_on(what: &str, device: Device, several: bool) -> String {
	if several {
		format!("{what} on {device}")
	} else {
		what.to_owned()
	}
}

/// Every library that pictures on a GPU need beside the driver, by name.
fn look_at_libraries(device: Device, runtime: Option<&Path>) -> Vec<Finding> {
	let missing = cuda::missing_libraries(runtime);
	if missing.is_empty() {
		return vec![Finding::ok("GPU libraries", "CUDA 13 and cuDNN 9 load")];
	}
	let finding = |missing: cuda::MissingLibrary| {
		let cuda::MissingLibrary { file, problem, fix } = missing;
		match device {
			Device::Cuda(_) => {
				Finding::problem(format!("library {file}"), format!("{problem}: {fix}"))
			},
			_ => Finding::note(
				format!("library {file}"),
				format!("{problem}: pictures are made on the CPU; for the GPU {fix}"),
			),
		}
	};
	missing.into_iter().map(finding).collect()
}

/// Whether every model fits the memory for models, and whether all do at once.
fn look_at_memory(
	what: String,
	device: Device,
	hold: &HoldArgs,
	folders: &[ModelFolder],
) -> Finding {
	let needs: Vec<u64> = folders.iter().map(memory_estimate).collect();
	let largest = needs.iter().copied().max().unwrap_or(0);
	let limit = hold.memory_limit(device, largest);
	if let Err(error) = Warm::new(limit, needs.clone()) {
		let path = folders[error.model].path().display();
		return Finding::problem(what, format!("{path}: {error}"));
	}
	let all = needs.into_iter().fold(0, u64::saturating_add);
	let all = all.saturating_mul(u64::from(hold.slots));
	if all > limit {
		return Finding::note(
			what,
			format!(
				"{} for {}: not all at once, so models are loaded anew now and then",
				Bytes(limit),
				Bytes(all)
			),
		);
	}
	Finding::ok(what, format!("{} of {}", Bytes(all), Bytes(limit)))
}

fn look_at_gpu(device: Device) -> Finding {
	let number = match device {
		Device::Cpu => return Finding::note("GPU", "not wanted (--device cpu)"),
		Device::Auto => 0,
		Device::Cuda(number) => number,
	};
	match (cuda::gpu(number), device) {
		(Ok(gpu), _) => Finding::ok(
			format!("GPU {number}"),
			format!(
				"{}, compute capability {}.{}",
				gpu.name, gpu.major, gpu.minor
			),
		),
		(Err(reason), Device::Auto) => {
			Finding::note("GPU", format!("{reason}; pictures are made on the CPU"))
		},
		(Err(reason), _) => Finding::problem(format!("GPU {number}"), reason),
	}
}

/// The whole way once: a provider that is missing a library often says so only at its first run.
fn one_step(folder: &ModelFolder, device: Device, several: bool, args: &EngineArgs) -> Finding {
	let what = what_on(&format!("one step of {}", folder.name()), device, several);
	let begun = Instant::now();
	let made = Pipeline::load(folder, &args.options(device)).and_then(|mut pipeline| {
		let loaded = begun.elapsed();
		let mut request = Request::new(folder, "a test", 0);
		request.steps = 1;
		let begun = Instant::now();
		pipeline.generate(&request, &mut |_| Control::Continue)?;
		Ok((pipeline.device_name(), loaded, begun.elapsed()))
	});
	match made {
		Ok((name, loaded, made)) => Finding::ok(
			what,
			format!(
				"on {name}: loaded in {:.2} s, made in {:.2} s",
				loaded.as_secs_f32(),
				made.as_secs_f32()
			),
		),
		Err(error) => Finding::problem(what, error),
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn a_model_above_the_limit_is_a_problem_and_all_at_once_is_not_needed() {
		let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/default/model");
		let folder = ModelFolder::open(&model).unwrap();
		let needs = memory_estimate(&folder);
		let finding = |limit, slots| {
			let hold = HoldArgs {
				device: Device::Cpu.into(),
				imported: false,
				models_dir: None,
				slots,
				batch: 1,
				batch_wait: 100,
				memory_limit: Some(Bytes(limit)),
			};
			let what = what_on("memory for models", Device::Cpu, false);
			look_at_memory(what, Device::Cpu, &hold, std::slice::from_ref(&folder)).health
		};
		assert_eq!(finding(needs, 1), Health::Ok);
		assert_eq!(finding(needs, 2), Health::Note);
		assert_eq!(finding(needs - 1, 1), Health::Problem);
	}

	#[test]
	fn each_missing_library_is_named_with_what_to_do() {
		let nowhere = Path::new("/nowhere/libonnxruntime.so");
		let findings = look_at_libraries(Device::Cuda(0), Some(nowhere));
		let provider = findings
			.iter()
			.find(|it| it.what.ends_with("libonnxruntime_providers_cuda.so"))
			.unwrap();
		assert_eq!(provider.health, Health::Problem);
		assert!(
			provider.detail.contains("scripts/setup --cuda"),
			"{}",
			provider.detail
		);
		let notes = look_at_libraries(Device::Auto, Some(nowhere));
		assert!(notes.iter().all(|it| it.health == Health::Note));
	}
}
