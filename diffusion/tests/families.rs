//! Tiny models of each family on ONNX Runtime, against diffusers' own pipelines on the same files.
//! Made by reference/families.py.

mod common;

use common::{family, reference_json, write};
use cuckoo_diffusion::{
	text::Tokenizer, Control, Device, Error, LoadOptions, Mask, ModelFolder, Options, Pipeline,
	Request, Scheduler, Start, Stop,
};
use serde::Deserialize;
use serde_json::Value;
use std::{fs, path::Path};

#[derive(Deserialize)]
struct Reference {
	tokens: serde_json::Map<String, Value>,
	cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
	family: String,
	/// Instead of the folder's own.
	scheduler: Option<Value>,
	/// What the decoder's configuration says besides.
	#[serde(default)]
	vae: serde_json::Map<String, Value>,
	prompt: String,
	negative: String,
	seed: u64,
	steps: u16,
	guidance: f32,
	#[serde(default)]
	clip_skip: u8,
	start: Option<Vec<u8>>,
	mask: Option<Vec<u8>>,
	strength: Option<f32>,
	latents: Vec<Vec<f32>>,
	rgb: Vec<u8>,
}

#[derive(Deserialize)]
struct Tokens {
	prompt: String,
	ids: Vec<Vec<u32>>,
}

fn load(root: &Path) -> (ModelFolder, Pipeline) {
	let folder = ModelFolder::open(root).unwrap_or_else(|error| panic!("{error}"));
	let options = LoadOptions {
		device: Device::Cpu,
		threads: 1,
		..LoadOptions::default()
	};
	let pipeline = Pipeline::load(&folder, &options).unwrap_or_else(|error| panic!("{error}"));
	(folder, pipeline)
}

fn request(folder: &ModelFolder, case: &Case) -> Request {
	Request {
		negative_prompt: case.negative.clone(),
		steps: case.steps,
		guidance: case.guidance,
		options: Options {
			clip_skip: case.clip_skip,
			start: case.start.clone().map(|rgb| Start {
				rgb,
				strength: case.strength.unwrap(),
				mask: case.mask.clone().map(Mask),
			}),
			..Options::default()
		},
		..Request::new(folder, case.prompt.as_str(), case.seed)
	}
}

fn on(_: cuckoo_diffusion::Progress<'_>) -> Control {
	Control::Continue
}

fn reference_data() -> Reference {
	serde_json::from_value(reference_json("families/reference.json")).unwrap()
}

#[test]
fn ids_are_those_of_transformers() {
	for (name, tokens) in reference_data().tokens {
		let directory = family(&name, None);
		let folder = ModelFolder::open(directory.path()).unwrap();
		let mut tokenizers = vec![Tokenizer::load(folder.tokenizer_config()).unwrap()];
		let second = folder.second_tokenizer_config();
		tokenizers.extend(second.map(|config| Tokenizer::load(config).unwrap()));
		for case in serde_json::from_value::<Vec<Tokens>>(tokens).unwrap() {
			assert_eq!(case.ids.len(), tokenizers.len(), "{name}");
			for (tokenizer, ids) in tokenizers.iter().zip(&case.ids) {
				let ours = tokenizer.encode(&case.prompt).unwrap().ids;
				assert_eq!(&ours, ids, "{name}: {}", case.prompt);
			}
		}
	}
}

#[test]
fn every_step_and_picture_is_that_of_diffusers() {
	/// Of a number of the latents, or of 1 where it is smaller.
	const TOLERANCE: f32 = 1e-4;
	/// Where the UNet's ends are fp16: a number that falls on the other side of a rounding there is
	/// off by up to 1/2048 before guidance multiplies it.
	const HALF_TOLERANCE: f32 = 1e-2;
	let cases = reference_data().cases;
	assert!(cases.len() > 15);
	let mut failures = Vec::new();
	for case in &cases {
		let directory = family(&case.family, case.scheduler.as_ref());
		let decoder = directory.path().join("vae_decoder/config.json");
		let mut config: serde_json::Map<String, Value> =
			serde_json::from_slice(&fs::read(&decoder).unwrap()).unwrap();
		config.extend(case.vae.clone());
		fs::write(&decoder, serde_json::to_vec(&config).unwrap()).unwrap();
		let (folder, mut pipeline) = load(directory.path());
		let mut steps: Vec<Vec<f32>> = Vec::new();
		let picture = pipeline
			.generate(&request(&folder, case), &mut |progress| {
				steps.push(progress.latents.to_vec());
				Control::Continue
			})
			.unwrap_or_else(|error| panic!("{} {}: {error}", case.family, case.seed));
		// The first was told before any step.
		assert_eq!(steps.len(), case.latents.len() + 1);
		let mut worst = 0.0f32;
		for (ours, theirs) in steps[1..].iter().zip(&case.latents) {
			assert_eq!(ours.len(), theirs.len());
			for (ours, theirs) in ours.iter().zip(theirs) {
				worst = worst.max((ours - theirs).abs() / theirs.abs().max(1.0));
			}
		}
		let grey = picture.rgb.iter().zip(&case.rgb);
		let grey = grey.map(|(a, b)| a.abs_diff(*b)).max().unwrap();
		let tolerance = match case.family.as_str() {
			"fp16" => HALF_TOLERANCE,
			_ => TOLERANCE,
		};
		if worst > tolerance || grey > 1 || picture.rgb.len() != case.rgb.len() {
			let (family, seed) = (&case.family, case.seed);
			failures.push(format!(
				"{family} {seed}: latents {worst}, grey levels {grey}"
			));
		}
	}
	assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn means_and_deviations_are_one_for_each_channel() {
	let directory = family("sdxl", None);
	let path = directory.path().join("vae_decoder/config.json");
	let config: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
	let means = serde_json::json!([0.0, 0.0, 0.0, 0.0]);
	for deviations in [
		"[1, 1, 1]",
		"[1, 1, 1, 0]",
		"[1, 1, 1, -1]",
		"[1, 1, 1, 1e300]",
	] {
		let mut config = config.clone();
		config["latents_mean"] = means.clone();
		config["latents_std"] = serde_json::from_str(deviations).unwrap();
		fs::write(&path, config.to_string()).unwrap();
		let error = ModelFolder::open(directory.path()).unwrap_err();
		assert!(error.to_string().contains("latents_std"), "{error}");
	}
}

/// Why the pipeline of a folder does not load; it must be about the UNet's graph.
fn unet_error(root: &Path) -> Error {
	let folder = ModelFolder::open(root).unwrap_or_else(|error| panic!("{error}"));
	let options = LoadOptions {
		device: Device::Cpu,
		threads: 1,
		..LoadOptions::default()
	};
	let error = Pipeline::load(&folder, &options).err().unwrap();
	let (Error::Graph { path, .. } | Error::Model { path, .. }) = &error else {
		panic!("{error}")
	};
	assert!(path.ends_with("unet/model.onnx"), "{error}");
	error
}

/// A model whose weights lie in a file beside its graph runs; without that file, or with a part of it,
/// it does not, and says which graph it is.
#[test]
fn weights_beside_the_graph_are_needed() {
	let directory = family("sdxl", None);
	let path = directory.path().join("unet/model.onnx_data");
	let weights = fs::read(&path).unwrap();
	fs::write(&path, &weights[..weights.len() / 2]).unwrap();
	assert!(matches!(unet_error(directory.path()), Error::Graph { .. }));
	fs::remove_file(&path).unwrap();
	let error = ModelFolder::open(directory.path()).unwrap_err();
	assert!(
		matches!(&error, Error::Model { path, .. } if path.ends_with("unet/model.onnx")),
		"{error}"
	);
}

/// A protobuf field that holds bytes, and one that holds a number.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
	[
		&[number << 3 | 2][..],
		&varint(content.len() as u64),
		content,
	]
	.concat()
}

fn number(field: u8, value: u64) -> Vec<u8> {
	[&[field << 3][..], &varint(value)].concat()
}

fn varint(mut value: u64) -> Vec<u8> {
	let mut bytes = Vec::new();
	while value >= 0x80 {
		bytes.push(value as u8 | 0x80);
		value >>= 7;
	}
	bytes.push(value as u8);
	bytes
}

/// An ONNX file with one node, which gives its weight `w` of these dimensions, or its input of this
/// element type.
fn small_graph(dimensions: &[u64], element: u64) -> Vec<u8> {
	let mut weight: Vec<u8> = dimensions
		.iter()
		.flat_map(|&size| number(1, size))
		.collect();
	weight.extend([number(2, 1), field(8, b"w")].concat());
	let from: &[u8] = if dimensions.is_empty() {
		b"sample"
	} else {
		b"w"
	};
	let node = [
		field(1, from),
		field(2, b"out_sample"),
		field(4, b"Identity"),
	]
	.concat();
	let port = |name: &[u8]| {
		let kind = field(1, &number(1, element));
		[field(1, name), field(2, &kind)].concat()
	};
	let mut graph = [field(1, &node), field(2, b"g")].concat();
	if dimensions.is_empty() {
		graph.extend(field(11, &port(b"sample")));
	} else {
		graph.extend(field(5, &weight));
	}
	graph.extend(field(12, &port(b"out_sample")));
	[number(1, 8), field(8, &number(2, 18)), field(7, &graph)].concat()
}

/// Weights that say that they have exabytes take no memory, and inputs of a type that no model has are
/// named.
#[test]
fn huge_dimensions_and_wrong_types_are_refused() {
	let directory = family("sd2", None);
	let path = directory.path().join("unet/model.onnx");
	for dimensions in [
		&[1 << 40, 1 << 20][..],
		&[1 << 62, 4],
		&[1 << 33],
		&[u64::MAX],
	] {
		fs::write(&path, small_graph(dimensions, 1)).unwrap();
		let error = unet_error(directory.path());
		assert!(
			matches!(error, Error::Graph { .. }),
			"{dimensions:?}: {error}"
		);
	}
	// ONNX's numbers of 64-bit floats, texts and truth values.
	for element in [11, 8, 9] {
		fs::write(&path, small_graph(&[], element)).unwrap();
		let error = unet_error(directory.path());
		assert!(matches!(error, Error::Model { .. }), "{element}: {error}");
		assert!(error.to_string().contains("`sample` of a type"), "{error}");
	}
}

#[test]
fn pictures_made_together_are_those_made_alone() {
	let directory = family("sdxl", None);
	let (folder, mut pipeline) = load(directory.path());
	// A scheduler that remembers, and one that adds noise.
	for scheduler in [Scheduler::DpmPlusPlus2m, Scheduler::EulerAncestral] {
		let requests: Vec<Request> = [("a red apple", "", 7), ("a fish", "red", 8), ("", "", 9)]
			.into_iter()
			.map(|(prompt, negative_prompt, seed)| Request {
				negative_prompt: negative_prompt.into(),
				steps: 3,
				guidance: 3.0,
				scheduler,
				..Request::new(&folder, prompt, seed)
			})
			.collect();
		let together = pipeline
			.generate_together(&requests, &Stop::new(), &mut |_, _| Control::Continue)
			.unwrap();
		assert_eq!(together.len(), requests.len());
		for (request, picture) in requests.iter().zip(together) {
			let picture = picture.unwrap();
			let alone = pipeline.generate(request, &mut on).unwrap();
			let worst = alone.rgb.iter().zip(&picture.rgb);
			let worst = worst.map(|(a, b)| a.abs_diff(*b)).max().unwrap();
			assert!(worst <= 1, "seed {}: {worst} grey levels", request.seed);
			let (ours, theirs) = (&alone.trajectory.leaves, &picture.trajectory.leaves);
			assert_eq!(ours.len(), theirs.len());
			assert_eq!(ours[0], theirs[0]);
		}
	}
	assert_eq!(pipeline.batch_profile(1), pipeline.engine_profile());
	assert!(pipeline.batch_profile(3).ends_with(", batch of 3"));
}

#[test]
fn a_picture_that_leaves_a_batch_does_not_disturb_the_others() {
	let directory = family("sd2", None);
	let (folder, mut pipeline) = load(directory.path());
	let requests = [1, 2, 3].map(|seed| Request {
		steps: 4,
		scheduler: Scheduler::DpmPlusPlus2m,
		..Request::new(&folder, "a red apple", seed)
	});
	let mut told = [0, 0, 0];
	let made = pipeline
		.generate_together(&requests, &Stop::new(), &mut |index, progress| {
			told[index] = progress.step;
			match (index, progress.step) {
				// One leaves before the first step, one after the second.
				(0, 0) | (2, 2) => Control::Cancel,
				_ => Control::Continue,
			}
		})
		.unwrap();
	assert_eq!(told, [0, 4, 2]);
	assert!(matches!(
		made[..],
		[Err(Error::Cancelled), Ok(_), Err(Error::Cancelled)]
	));
	let alone = pipeline.generate(&requests[1], &mut on).unwrap();
	let worst = alone.rgb.iter().zip(&made[1].as_ref().unwrap().rgb);
	assert!(worst.map(|(a, b)| a.abs_diff(*b)).max() <= Some(1));

	let all = pipeline.generate_together(&requests, &Stop::new(), &mut |_, _| Control::Cancel);
	assert!(all
		.unwrap()
		.iter()
		.all(|made| matches!(made, Err(Error::Cancelled))));
}

#[test]
fn previews_come_when_they_are_due() {
	let directory = family("sd2", None);
	let (folder, mut pipeline) = load(directory.path());
	let mut request = Request {
		steps: 5,
		..Request::new(&folder, "a red apple", 0)
	};
	let plain = pipeline.generate(&request, &mut on).unwrap();
	request.options.preview_every = 2;
	let mut seen = Vec::new();
	let picture = pipeline
		.generate(&request, &mut |progress| {
			if let Some(preview) = progress.preview {
				assert_eq!((preview.width, preview.height), (32, 32));
				assert_eq!(preview.rgb.len(), 32 * 32 * 3);
				seen.push(progress.step);
			}
			Control::Continue
		})
		.unwrap();
	assert_eq!(seen, [2, 4]);
	assert_eq!(picture, plain, "a preview changes nothing");
}

#[test]
fn tiles_make_nearly_the_same_picture() {
	let directory = family("sd2", None);
	write(directory.path(), "cuckoo.json", r#"{"max_size":128}"#);
	let (folder, mut pipeline) = load(directory.path());
	let request = Request {
		steps: 2,
		width: 96,
		height: 64,
		..Request::new(&folder, "a red apple", 0)
	};
	let whole = pipeline.generate(&request, &mut on).unwrap();
	pipeline.set_vae_tile(32).unwrap();
	assert!(pipeline.engine_profile().contains("tiles of 32"));
	let tiled = pipeline.generate(&request, &mut on).unwrap();
	assert_eq!(whole.rgb.len(), tiled.rgb.len());
	let mean = |a: &[u8], b: &[u8]| {
		let sum: u64 = a
			.iter()
			.zip(b)
			.map(|(a, b)| u64::from(a.abs_diff(*b)))
			.sum();
		sum as f64 / a.len() as f64
	};
	// Random weights make the decoder's attention reach everywhere: seams are small, not gone.
	let apart = mean(&whole.rgb, &tiled.rgb);
	assert!(apart < 16.0, "{apart} grey levels apart");
	assert!(pipeline.set_vae_tile(5).is_err());
	// Pictures that fit a tile are the same.
	let small = Request {
		width: 32,
		height: 32,
		..request
	};
	let tiled = pipeline.generate(&small, &mut on).unwrap();
	pipeline.set_vae_tile(0).unwrap();
	assert_eq!(pipeline.generate(&small, &mut on).unwrap(), tiled);
}

#[test]
fn long_prompts_and_weights_count() {
	for name in ["sd2", "sdxl"] {
		let directory = family(name, None);
		let (folder, mut pipeline) = load(directory.path());
		let mut make = |prompt: &str, weighting, long_prompts| {
			let request = Request {
				steps: 2,
				options: Options {
					weighting,
					long_prompts,
					..Options::default()
				},
				..Request::new(&folder, prompt, 3)
			};
			pipeline.generate(&request, &mut on).unwrap()
		};
		let long = format!("{} apple", "word ".repeat(30));
		let other = format!("{} horse", "word ".repeat(30));
		assert_eq!(
			make(&long, false, false).rgb,
			make(&other, false, false).rgb,
			"cut"
		);
		let (apple, horse) = (make(&long, false, true), make(&other, false, true));
		assert_ne!(apple.trajectory, horse.trajectory, "read to the end");
		let plain = make("a red apple", false, false);
		assert_eq!(make("a red apple", true, true), plain);
		assert_eq!(make("a (red:1.0) apple", true, true).rgb, plain.rgb);
		let weighted = make("a (red:1.5) apple", true, false);
		assert_ne!(weighted.trajectory, plain.trajectory);
	}
}

#[test]
fn a_stop_from_another_thread_ends_the_picture() {
	let directory = family("sd2", None);
	let (folder, mut pipeline) = load(directory.path());
	let request = Request {
		steps: 500,
		..Request::new(&folder, "a red apple", 0)
	};
	let stop = Stop::new();
	let (told, begun) = std::sync::mpsc::channel();
	std::thread::scope(|scope| {
		let switch = stop.clone();
		scope.spawn(move || {
			begun.recv().unwrap();
			switch.stop();
		});
		let mut steps = 0;
		let result = pipeline.generate_until(&request, &stop, &mut |progress| {
			if progress.step == 2 {
				told.send(()).unwrap();
			}
			steps = progress.step;
			Control::Continue
		});
		assert!(matches!(result, Err(Error::Cancelled)), "after {steps}");
		assert!(steps < 500);
	});
	// A stop that was used ends the next one before its first step; the pipeline itself is whole.
	let again = pipeline.generate_until(&request, &stop, &mut on);
	assert!(matches!(again, Err(Error::Cancelled)));
	let short = Request {
		steps: 2,
		..request
	};
	assert!(pipeline.generate(&short, &mut on).is_ok());
}

/// Files that are no good end in an error that names them, and never in a panic.
#[test]
fn damaged_graphs_are_named() {
	let directory = family("sd2", None);
	let path = directory.path().join("unet/model.onnx");
	let whole = fs::read(&path).unwrap();
	let options = LoadOptions {
		device: Device::Cpu,
		threads: 1,
		..LoadOptions::default()
	};
	let try_with = |bytes: &[u8]| -> Option<Error> {
		fs::write(&path, bytes).unwrap();
		let folder = match ModelFolder::open(directory.path()) {
			Ok(folder) => folder,
			Err(error) => return Some(error),
		};
		match Pipeline::load(&folder, &options) {
			Err(error) => Some(error),
			Ok(mut pipeline) => {
				let request = Request {
					steps: 1,
					..Request::new(&folder, "a red apple", 0)
				};
				pipeline.generate(&request, &mut on).err()
			},
		}
	};
	for length in [0, 1, 100, whole.len() / 2, whole.len() - 1] {
		let error = try_with(&whole[..length]).unwrap();
		assert!(error.to_string().contains("unet"), "{length}: {error}");
	}
	// One byte changed, at places all over the file: an error that names the graph, or a model that
	// runs with another number in it.
	for place in (0..whole.len()).step_by(whole.len() / 24) {
		let mut bytes = whole.clone();
		bytes[place] ^= 0xff;
		if let Some(error) = try_with(&bytes) {
			let known = matches!(
				error,
				Error::Graph { .. } | Error::Model { .. } | Error::NotFinite { .. }
			);
			assert!(known, "{place}: {error}");
		}
	}
	// A graph of another part of the same model: its inputs do not fit.
	let encoder = fs::read(directory.path().join("text_encoder/model.onnx")).unwrap();
	let error = try_with(&encoder).unwrap();
	assert!(matches!(error, Error::Model { .. }), "{error}");
}

/// Steps run again agree with an honest trajectory, and not with another one.
#[test]
fn steps_run_again_tell_honest_from_cheating() {
	let directory = family("sd2", None);
	let (folder, mut pipeline) = load(directory.path());
	for scheduler in cuckoo_diffusion::Scheduler::ALL {
		let request = Request {
			steps: 6,
			scheduler,
			..Request::new(&folder, "a red apple", 1)
		};
		let plan = scheduler.plan(folder.scheduler_config(), request.steps);
		let runs = plan.unwrap().timesteps().len();
		let picture = pipeline.generate(&request, &mut on).unwrap();
		let trajectory = &picture.trajectory;
		let stop = Stop::new();
		let start = pipeline.check_start(&request, trajectory).unwrap();
		assert!(start.relative < 1e-3, "{scheduler}: {start:?}");
		for step in 0..runs {
			let error = pipeline
				.rerun_step(&request, trajectory, step, &stop)
				.unwrap();
			assert!(error.relative < 0.1, "{scheduler} {step}: {error:?}");
		}
		let grey = pipeline.check_picture(&request, trajectory, &stop).unwrap();
		assert!(grey <= 2, "{scheduler}: {grey}");

		let other = Request {
			seed: 2,
			..request.clone()
		};
		assert!(pipeline.check_start(&other, trajectory).unwrap().relative > 0.5);
		let mut changed = trajectory.clone();
		changed.leaves[runs + 1].fill(0);
		let error = pipeline.check_start(&request, &changed).unwrap();
		assert!(error.relative > 0.9, "{scheduler}: {error:?}");
		let noise = pipeline.check_noise(&request, &changed).unwrap();
		assert!(noise.relative < 1e-3, "{scheduler}: {noise:?}");
		changed.leaves[runs + 1].pop();
		assert!(pipeline.check_start(&request, &changed).is_err());
		let fewer = Request {
			guidance: 1.0,
			..request.clone()
		};
		assert!(pipeline.check_start(&fewer, trajectory).is_err());
		let mut swapped = trajectory.clone();
		swapped.leaves.swap(2, 3);
		let error = pipeline.rerun_step(&request, &swapped, 1, &stop).unwrap();
		assert!(error.relative > 0.1, "{scheduler}: {error:?}");
		assert!(pipeline
			.rerun_step(&request, trajectory, runs, &stop)
			.is_err());
		let mut short = trajectory.clone();
		short.leaves[1].pop();
		assert!(pipeline.rerun_step(&request, &short, 0, &stop).is_err());
		short.leaves.clear();
		assert!(pipeline.rerun_step(&request, &short, 0, &stop).is_err());
	}
}
