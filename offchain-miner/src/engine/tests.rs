use super::*;
use cuckoo_primitives::task::SchedulerKind;
use std::{fs, path::Path};

fn default_model() -> ModelFolder {
	let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/default/model");
	ModelFolder::open(path.as_ref()).unwrap()
}

/// The same model under another hash.
fn twin(folder: &Path) -> ModelFolder {
	fn copy(from: &Path, to: &Path) {
		fs::create_dir_all(to).unwrap();
		for entry in fs::read_dir(from).unwrap() {
			let entry = entry.unwrap();
			let to = to.join(entry.file_name());
			if entry.path().is_dir() {
				copy(&entry.path(), &to);
			} else {
				fs::copy(entry.path(), to).unwrap();
			}
		}
	}
	copy(default_model().path(), folder);
	let index = folder.join("model_index.json");
	let text = fs::read_to_string(&index).unwrap();
	fs::write(index, format!("{text} ")).unwrap();
	ModelFolder::open(folder).unwrap()
}

fn spec(model: &ModelFolder) -> TaskSpec {
	TaskSpec {
		model: H256(model.hash()),
		prompt: "a red apple".into(),
		negative_prompt: String::new(),
		seed: 7,
		steps: 2,
		width: 64,
		height: 64,
		guidance_milli: 3_000,
		scheduler: SchedulerKind::Ddim,
	}
}

/// Three that go together.
fn three(model: &ModelFolder) -> Vec<TaskSpec> {
	let prompts = ["a red apple", "a green frog", "a blue car"];
	let numbered = prompts.into_iter().zip(7..);
	numbered
		.map(|(prompt, seed)| TaskSpec {
			prompt: prompt.into(),
			seed,
			steps: 4,
			..spec(model)
		})
		.collect()
}

fn on_cpu() -> LoadOptions {
	LoadOptions {
		device: Device::Cpu,
		..LoadOptions::default()
	}
}

/// On a CPU of its own for each.
fn limited(memory_limits: &[u64]) -> Vec<DeviceSetup> {
	let limits = memory_limits.iter();
	limits
		.map(|&memory_limit| DeviceSetup {
			device: Device::Cpu,
			memory_limit,
		})
		.collect()
}

fn paint_all(engine: &mut DiffusionEngine, specs: &[TaskSpec]) -> Vec<Painting> {
	let painted = engine.paint(specs, &Stop::new(), &mut |_, _| Go::On);
	painted.into_iter().map(Result::unwrap).collect()
}

fn paint(engine: &mut DiffusionEngine, spec: &TaskSpec) -> Result<Painting, PaintError> {
	let one = std::slice::from_ref(spec);
	let mut painted = engine.paint(one, &Stop::new(), &mut |_, _| Go::On);
	assert_eq!(painted.len(), 1);
	painted.remove(0)
}

fn profile_hash(profile: &str) -> H256 {
	sp_crypto_hashing::blake2_256(profile.as_bytes()).into()
}

#[test]
fn models_take_turns_in_memory_and_pictures_do_not_change() {
	let folder = tempfile::tempdir().unwrap();
	let models = [default_model(), twin(folder.path())];
	let open_with = |memory_limit| {
		open(Setup {
			devices: limited(&[memory_limit]),
			layout: Layout {
				slots: 2,
				..Layout::default()
			},
			..Setup::new(models.to_vec(), on_cpu())
		})
	};
	let needs = memory_estimate(&models[0]);
	let error = open_with(needs - 1).err().unwrap().to_string();
	assert!(error.contains("--memory-limit"), "{error}");

	// Room for one.
	let (engines, profile) = open_with(needs).unwrap();
	assert_eq!((profile.models.len(), profile.tasks_at_once), (2, 2));
	let [mut engine] = <[_; 1]>::try_from(engines).ok().unwrap();
	let mut of = |model| paint(&mut engine, &spec(model)).unwrap();
	let first = of(&models[0]);
	let other = of(&models[1]);
	assert_eq!(of(&models[0]), first);
	// The file names its model; the picture is the same.
	assert_eq!(other.trajectory_root, first.trajectory_root);
	let labels = &engine.shared.labels;
	assert!(labels[0] != labels[1], "two models of one name: {labels:?}");
	let stock = engine.shared.shelf.stock();
	assert_eq!(stock.used, needs);
	let warm: Vec<usize> = stock.models.iter().map(|it| it.warm).collect();
	assert_eq!(warm, [1, 0]);

	// A damaged folder fails its own tasks and no others.
	fs::remove_file(folder.path().join("unet/model.onnx")).unwrap();
	let failed = paint(&mut engine, &spec(&models[1]));
	assert!(matches!(failed, Err(PaintError::Device(_))), "{failed:?}");
	assert_eq!(paint(&mut engine, &spec(&models[0])), Ok(first));
}

#[test]
fn a_batch_has_the_pictures_of_its_tasks_and_a_profile_of_its_own() {
	let model = default_model();
	let metrics = Arc::new(Metrics::new());
	let (mut engines, profile) = open(Setup {
		metrics: metrics.clone(),
		..Setup::new(vec![model.clone()], on_cpu())
	})
	.unwrap();
	let engine = &mut engines[0];
	let specs = three(&model);
	let together = paint_all(engine, &specs);
	for (spec, painting) in specs.iter().zip(&together) {
		let alone = paint(engine, spec).unwrap();
		let [of_batch, of_one] = [painting, &alone]
			.map(|painting| png::decode(&painting.png, &png::Limits::default()).unwrap());
		let differences = of_batch.rgb.iter().zip(&of_one.rgb);
		let worst = differences.map(|(one, other)| one.abs_diff(*other)).max();
		assert!(worst.unwrap() <= 1, "{worst:?} grey levels");
		assert_eq!(alone.engine_profile, profile_hash(profile.engine()));
		let batch = format!("{}, batch of 3", profile.engine());
		assert_eq!(painting.engine_profile, profile_hash(&batch));
	}
	// The same batch again has the same bits, on one device.
	assert_eq!(paint_all(engine, &specs), together);
	let text = metrics.text(&Default::default()).unwrap();
	for line in [
		"batches_total{model=\"cuckoo-emoji\"} 5",
		"batch_pictures_total{model=\"cuckoo-emoji\"} 9",
		"pictures_total{model=\"cuckoo-emoji\"} 9",
	] {
		assert!(text.contains(&format!("cuckoo_miner_{line}\n")), "{text}");
	}
}

#[test]
fn who_is_cancelled_leaves_the_batch_and_who_is_refused_fails_alone() {
	let model = default_model();
	let (mut engines, profile) = open(Setup::new(vec![model.clone()], on_cpu())).unwrap();
	let engine = &mut engines[0];
	let specs = three(&model);
	let mut steps = [0; 3];
	let painted = engine.paint(&specs, &Stop::new(), &mut |place, step| {
		steps[place] = step;
		if place == 1 && step == 2 {
			Go::Stop
		} else {
			Go::On
		}
	});
	assert_eq!(steps, [4, 2, 4]);
	assert_eq!(painted[1], Err(PaintError::Stopped));
	// It began as a batch of three, and is committed to as one.
	let batch = profile_hash(&format!("{}, batch of 3", profile.engine()));
	for place in [0, 2] {
		assert_eq!(painted[place].as_ref().unwrap().engine_profile, batch);
	}

	let mut refused = three(&model);
	refused[1].prompt = "x".repeat(cuckoo_diffusion::MAX_PROMPT_BYTES + 1);
	let painted = engine.paint(&refused, &Stop::new(), &mut |_, _| Go::On);
	assert!(painted[0].is_ok() && painted[2].is_ok());
	assert!(
		matches!(&painted[1], Err(PaintError::Failed(reason)) if reason.contains("prompt")),
		"{:?}",
		painted[1]
	);

	let stop = Stop::new();
	stop.stop();
	let painted = engine.paint(&specs, &stop, &mut |_, _| Go::On);
	assert!(painted.iter().all(|it| *it == Err(PaintError::Stopped)));
}

#[test]
fn each_device_has_models_and_a_limit_of_its_own() {
	let model = default_model();
	let needs = memory_estimate(&model);
	let metrics = Arc::new(Metrics::new());
	let setup = Setup {
		devices: limited(&[needs, 2 * needs]),
		layout: Layout {
			slots: 2,
			batch: 3,
			..Layout::default()
		},
		metrics: metrics.clone(),
		..Setup::new(vec![model.clone()], on_cpu())
	};
	let (mut engines, profile) = open(setup.clone()).unwrap();
	assert_eq!((engines.len(), profile.tasks_at_once), (2, 12));
	let labels: Vec<&str> = profile.devices.iter().map(|it| it.label.as_str()).collect();
	assert_eq!(labels, ["cpu", "cpu (2)"]);
	assert!(
		profile.device_name.starts_with("2 x "),
		"{}",
		profile.device_name
	);
	let spec = spec(&model);
	let [one, other] = [0, 1].map(|device| paint(&mut engines[device], &spec));
	assert_eq!(one, other);
	let text = metrics.text(&Default::default()).unwrap();
	for line in [
		format!("model_memory_bytes{{device=\"cpu\"}} {needs}"),
		format!(
			"model_memory_limit_bytes{{device=\"cpu (2)\"}} {}",
			2 * needs
		),
		"model_copies{model=\"cuckoo-emoji\"} 2".into(),
		"warm_models 1".into(),
	] {
		assert!(
			text.contains(&format!("cuckoo_miner_{line}\n")),
			"{line}\n{text}"
		);
	}

	let too_small = Setup {
		devices: limited(&[needs, needs - 1]),
		..setup.clone()
	};
	let error = open(too_small).err().unwrap().to_string();
	assert!(error.contains("on cpu: "), "{error}");
	let too_many = Setup {
		devices: limited(&[needs; 11]),
		..setup.clone()
	};
	let error = open(too_many).err().unwrap();
	assert!(
		matches!(error, DeviceError::TooManyTasks { tasks: 66, .. }),
		"{error}"
	);
	// One that cannot be used is left out, unless there is no other.
	let mut missing = setup;
	missing.devices[1].device = Device::Cuda(9_999);
	let (engines, profile) = open(missing.clone()).unwrap();
	assert_eq!((engines.len(), profile.devices.len()), (1, 1));
	missing.devices.remove(0);
	let error = open(missing).err().unwrap();
	assert!(
		matches!(&error, DeviceError::Unusable { device, .. } if *device == Device::Cuda(9_999)),
		"{error}"
	);
	let error = error.to_string();
	assert!(
		error.starts_with("device cuda:9999 cannot be used: "),
		"{error}"
	);
}

/// What coordinators were told of at the start stays the device, whatever happens to it.
#[test]
fn what_auto_has_become_it_stays() {
	use cuckoo_diffusion::DeviceClass::{Cpu, Cuda};
	let gpu = Cuda { major: 9, minor: 0 };
	assert_eq!(became(Device::Auto, gpu), Device::Cuda(0));
	assert_eq!(became(Device::Auto, Cpu), Device::Cpu);
	assert_eq!(became(Device::Cuda(3), gpu), Device::Cuda(3));

	let options = LoadOptions {
		device: Device::Auto,
		..LoadOptions::default()
	};
	let (engines, profile) = open(Setup::new(vec![default_model()], options)).unwrap();
	let again = engines[0].shared.options.device;
	assert_ne!(again, Device::Auto, "a later load could fall back");
	assert_eq!(again.to_string(), profile.devices[0].label);
}

#[test]
fn a_task_too_large_for_the_memory_fails_and_its_device_is_well() {
	let (engines, _) = open(Setup::new(vec![default_model()], on_cpu())).unwrap();
	let shared = &engines[0].shared;
	let mut pipeline = shared.load(0).unwrap();
	let mut refused = |error| shared.refused(&error, "model", &mut pipeline);
	let (path, problem) = ("unet".into(), "no room".to_owned());
	let refusal = refused(Error::OutOfMemory { path, problem });
	assert!(matches!(refusal, PaintError::Failed(_)), "{refusal:?}");
	let (path, problem) = ("unet".into(), "the driver is gone".to_owned());
	let refusal = refused(Error::Graph { path, problem });
	assert!(matches!(refusal, PaintError::Device(_)), "{refusal:?}");
}
