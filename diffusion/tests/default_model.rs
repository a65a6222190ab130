//! The default model on ONNX Runtime. These tests fail where the library is missing: run
//! scripts/setup.

mod common;

use common::{default_model, reference, reference_json, small_folder};
use cuckoo_diffusion::{
	backend::{Inputs, OnnxRuntime},
	png, runtime, Control, Device, DeviceClass, Error, LoadOptions, ModelFolder, Options, Picture,
	Pipeline, Request, Scheduler,
};
use serde_json::json;
use std::{fs, sync::Arc};

fn folder() -> ModelFolder {
	ModelFolder::open(&default_model()).unwrap()
}

fn pipeline(threads: usize) -> Pipeline {
	let options = LoadOptions {
		device: Device::Cpu,
		threads,
		..LoadOptions::default()
	};
	Pipeline::load(&folder(), &options).unwrap_or_else(|error| panic!("{error}"))
}

fn generate(pipeline: &mut Pipeline, request: &Request) -> Picture {
	pipeline
		.generate(request, &mut |_| Control::Continue)
		.unwrap()
}

#[test]
fn the_library_is_loaded_once_and_named() {
	let info = runtime::init(None).unwrap_or_else(|error| panic!("{error}"));
	assert!(
		info.path.is_absolute() && info.version.starts_with("1."),
		"{info:?}"
	);
	assert_eq!(runtime::init(Some("/nowhere".as_ref())).unwrap(), info);
}

#[test]
fn pictures_are_those_of_diffusers() {
	let mut pipeline = pipeline(1);
	let request = |prompt: &str, negative: &str, seed, steps, guidance, scheduler| Request {
		prompt: prompt.into(),
		negative_prompt: negative.into(),
		seed,
		steps,
		width: 128,
		height: 128,
		guidance,
		scheduler,
		options: Options::default(),
	};
	// As in reference/pictures.py.
	for (name, request) in [
		(
			"apple_ddim",
			request("a red apple", "", 7, 8, 1.0, Scheduler::Ddim),
		),
		(
			"apple_euler",
			request("a red apple", "", 7, 12, 2.0, Scheduler::Euler),
		),
		(
			"fox_unguided",
			request("a fox", "", 1 << 40, 10, 1.0, Scheduler::Ddim),
		),
		(
			"heart_negative",
			request(
				"a red heart",
				"a blue book",
				u64::MAX,
				12,
				4.5,
				Scheduler::Ddim,
			),
		),
	] {
		let file = fs::read(reference(&format!("pictures/{name}.png"))).unwrap();
		let theirs = png::decode(&file, &png::Limits::default()).unwrap().rgb;
		let ours = generate(&mut pipeline, &request).rgb;
		let worst = ours
			.iter()
			.zip(&theirs)
			.map(|(a, b)| a.abs_diff(*b))
			.max()
			.unwrap();
		assert!(worst <= 1, "{name}: off by {worst} of 255");
	}
}

#[test]
fn a_picture_has_the_same_bits_again_and_for_any_number_of_threads() {
	let request = Request::new(&folder(), "a red apple", 42);
	let mut first = pipeline(1);
	let picture = generate(&mut first, &request);
	assert_eq!(generate(&mut first, &request), picture, "again");
	// With other work in between.
	generate(
		&mut first,
		&Request {
			width: 96,
			seed: 1,
			..request.clone()
		},
	);
	assert_eq!(generate(&mut first, &request), picture, "after another");
	for threads in [1, 2, 3, 0] {
		assert_eq!(
			generate(&mut pipeline(threads), &request),
			picture,
			"{threads} threads"
		);
	}
}

/// What a GPU is asked to do with memory, on the CPU, where ONNX Runtime can do it as well.
#[test]
fn inputs_that_stay_and_memory_that_goes_back_change_no_picture() {
	let folder = folder();
	let plain = OnnxRuntime::cpu(1);
	let [expected, kept, fixed, given_back] = [
		plain,
		plain.inputs(Inputs::Kept),
		plain.inputs(Inputs::Fixed),
		plain.giving_back(true),
	]
	.map(|backend| {
		let (backend, name) = (Arc::new(backend), String::new());
		let class = DeviceClass::Cpu;
		let mut pipeline =
			Pipeline::with_backend(&folder, backend, class, name.clone(), name).unwrap();
		// Other shapes and another number of samples in between.
		let sizes = [(128, 1.0), (64, 1.0), (64, 3.0), (128, 1.0)];
		sizes.map(|(side, guidance)| {
			let request = Request {
				steps: 3,
				width: side,
				height: side,
				guidance,
				..Request::new(&folder, "a red apple", 1)
			};
			generate(&mut pipeline, &request)
		})
	});
	assert_eq!(kept, expected);
	assert_eq!(fixed, expected);
	assert_eq!(given_back, expected);
	assert_eq!(expected[0], expected[3]);
}

#[test]
fn two_pipelines_at_once_do_not_disturb_each_other() {
	let request = Request::new(&folder(), "a fox", 3);
	let expected = generate(&mut pipeline(1), &request);
	std::thread::scope(|scope| {
		let workers: Vec<_> = (0..2)
			.map(|_| scope.spawn(|| generate(&mut pipeline(1), &request)))
			.collect();
		for worker in workers {
			assert_eq!(worker.join().unwrap(), expected);
		}
	});
}

/// 8x8 pixels, as evaluate.py makes them.
fn thumbnail(picture: &Picture) -> Vec<f32> {
	const SIDE: usize = 8;
	let (width, height) = (picture.width as usize, picture.height as usize);
	let (block_width, block_height) = (width / SIDE, height / SIDE);
	let mut sums = vec![0.0; SIDE * SIDE * 3];
	for (index, byte) in picture.rgb.iter().enumerate() {
		let (pixel, colour) = (index / 3, index % 3);
		let (y, x) = (pixel / width / block_height, pixel % width / block_width);
		sums[(y * SIDE + x) * 3 + colour] += f32::from(*byte);
	}
	sums.iter()
		.map(|sum| sum / (block_width * block_height) as f32)
		.collect()
}

#[test]
fn pictures_show_what_their_prompts_say() {
	let thumbnails: Vec<(String, Vec<f32>)> =
		serde_json::from_value(reference_json("thumbnails.json")["thumbnails"].clone()).unwrap();
	assert!(thumbnails.len() >= 12);
	let mut pipeline = pipeline(1);
	for (seed, (prompt, _)) in thumbnails.iter().enumerate() {
		let request = Request::new(&folder(), prompt.as_str(), seed as u64);
		let ours = thumbnail(&generate(&mut pipeline, &request));
		let distance = |theirs: &[f32]| -> f32 {
			ours.iter()
				.zip(theirs)
				.map(|(a, b)| (a - b) * (a - b))
				.sum()
		};
		let nearest = thumbnails
			.iter()
			.min_by(|a, b| distance(&a.1).total_cmp(&distance(&b.1)));
		assert_eq!(&nearest.unwrap().0, prompt);
	}
}

#[test]
fn other_sizes_are_made() {
	let folder = folder();
	let mut pipeline = pipeline(1);
	for (width, height) in [(16, 16), (128, 64), (48, 80)] {
		let request = Request {
			width,
			height,
			steps: 2,
			..Request::new(&folder, "a key", 0)
		};
		let picture = generate(&mut pipeline, &request);
		assert_eq!(
			(picture.width, picture.height),
			(width.into(), height.into())
		);
		assert_eq!(
			picture.rgb.len(),
			usize::from(width) * usize::from(height) * 3
		);
	}
}

/// Tiles of six and of ten latents, and those that a picture is decoded in where memory runs out.
#[test]
fn pictures_in_tiles_are_the_whole_ones() {
	let folder = folder();
	let mut pipeline = pipeline(1);
	for (side, tiles) in [(128, &[32, 48, 64, 80, 96][..]), (160, &[48, 80])] {
		let request = Request {
			width: side,
			height: side,
			..Request::new(&folder, "a red apple", 7)
		};
		pipeline.set_vae_tile(0).unwrap();
		let whole = generate(&mut pipeline, &request).rgb;
		for tile in tiles {
			pipeline.set_vae_tile(*tile).unwrap();
			let tiled = generate(&mut pipeline, &request).rgb;
			// Row by row: a bar at an edge is little of the whole.
			let row = usize::from(side) * 3;
			let rows = whole.chunks(row).zip(tiled.chunks(row));
			let apart = rows.map(|(a, b)| {
				let sum: u32 = a
					.iter()
					.zip(b)
					.map(|(a, b)| u32::from(a.abs_diff(*b)))
					.sum();
				sum / row as u32
			});
			let worst = apart.max().unwrap();
			// The decoder looks at the whole picture: the less of it a tile is, the more it shows.
			assert!(
				worst <= 32,
				"{side} in tiles of {tile}: {worst} grey levels"
			);
		}
	}
}

#[test]
fn a_cancelled_picture_leaves_the_pipeline_whole() {
	let request = Request::new(&folder(), "a fox", 3);
	let mut pipeline = pipeline(1);
	let result = pipeline.generate(&request, &mut |progress| match progress.step {
		3 => Control::Cancel,
		_ => Control::Continue,
	});
	assert!(matches!(result, Err(Error::Cancelled)));
	generate(&mut pipeline, &request);
}

#[test]
fn it_says_where_it_runs() {
	let pipeline = pipeline(1);
	assert_eq!(pipeline.device_class(), DeviceClass::Cpu);
	assert!(!pipeline.device_name().is_empty());
	let version = runtime::init(None).unwrap().version;
	assert!(pipeline
		.engine_profile()
		.contains(&format!("onnxruntime {version}, cpu")));
}

/// An empty file is a well-formed message without a graph: only ONNX Runtime can refuse it.
#[test]
fn graphs_that_onnx_runtime_refuses_are_named() {
	let directory = small_folder(&json!({}));
	let folder = ModelFolder::open(directory.path()).unwrap();
	let options = LoadOptions {
		device: Device::Cpu,
		threads: 1,
		..LoadOptions::default()
	};
	let error = Pipeline::load(&folder, &options).err().unwrap();
	assert!(
		matches!(&error, Error::Graph { path, .. } if path.ends_with("text_encoder/model.onnx")),
		"{error}"
	);
}

/// A GPU of a number that no machine has: a clear error when it is asked for.
#[test]
fn a_missing_gpu_is_an_error_and_not_the_cpu() {
	let options = LoadOptions {
		device: Device::Cuda(999),
		threads: 1,
		..LoadOptions::default()
	};
	let error = Pipeline::load(&folder(), &options).err().unwrap();
	assert!(
		matches!(
			&error,
			Error::Device {
				device: Device::Cuda(999),
				..
			}
		),
		"{error}"
	);
}

#[test]
fn auto_finds_something() {
	let mut pipeline = Pipeline::load(&folder(), &LoadOptions::default()).unwrap();
	generate(&mut pipeline, &Request::new(&folder(), "a key", 0));
}
