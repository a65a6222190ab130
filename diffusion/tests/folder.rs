//! Model folders, good and bad.

mod common;

use common::{default_model, small_folder, write};
use cuckoo_diffusion::{Error, ModelFolder, Scheduler};
use serde_json::{json, Value};
use std::{fs, path::Path};

#[test]
fn the_default_model_says_what_it_is() {
	let folder = ModelFolder::open(&default_model()).unwrap();
	assert_eq!(folder.name(), "cuckoo-emoji");
	assert_eq!(
		(
			folder.default_size(),
			folder.size_multiple(),
			folder.max_size()
		),
		(128, 16, 256)
	);
	assert_eq!(
		(folder.default_steps(), folder.default_guidance()),
		(8, 1.0)
	);
	assert_eq!(folder.default_scheduler(), Scheduler::Ddim);
	assert_eq!((folder.vae_factor(), folder.latent_channels()), (8, 4));
}

/// Whoever changes the model's files changes its identity, and must know it.
#[test]
fn the_default_models_identity_is_known() {
	let folder = ModelFolder::open(&default_model()).unwrap();
	let expected = "85f4a8c557eba50be9ee34642860787ff56a9a04bd323bd9b894da0096505798";
	assert_eq!(hex::encode(folder.hash()), expected);
}

#[track_caller]
fn refused(root: &Path, named: &str, because: &str) {
	let error = ModelFolder::open(root).unwrap_err();
	let text = error.to_string();
	assert!(text.contains(named), "`{named}` is not in: {text}");
	assert!(text.contains(because), "`{because}` is not in: {text}");
}

#[test]
fn every_missing_file_is_named() {
	for name in [
		"model_index.json",
		"scheduler/scheduler_config.json",
		"tokenizer/vocab.json",
		"tokenizer/merges.txt",
		"text_encoder/config.json",
		"text_encoder/model.onnx",
		"unet/config.json",
		"unet/model.onnx",
		"vae_decoder/config.json",
		"vae_decoder/model.onnx",
	] {
		let folder = small_folder(&json!({}));
		fs::remove_file(folder.path().join(name)).unwrap();
		let error = ModelFolder::open(folder.path()).unwrap_err();
		assert!(
			matches!(&error, Error::Read { path, .. } if path.ends_with(name)),
			"{name}: {error}"
		);
	}
	let folder = small_folder(&json!({}));
	refused(&folder.path().join("nowhere"), "nowhere", "No such file");
	refused(
		&folder.path().join("model_index.json"),
		"model_index.json",
		"no folder",
	);
}

#[test]
fn damaged_files_are_named() {
	let cases = [
		("model_index.json", "{", "not the JSON"),
		("model_index.json", "{}", "_class_name"),
		(
			"model_index.json",
			r#"{"_class_name":"StableDiffusionXLPipeline"}"#,
			"XL",
		),
		(
			"model_index.json",
			r#"{"_class_name":"StableDiffusionPipeline","text_encoder_2":["a","b"]}"#,
			"no pipeline",
		),
		(
			"scheduler/scheduler_config.json",
			r#"{"beta_schedule":"sigmoid"}"#,
			"sigmoid",
		),
		(
			"scheduler/scheduler_config.json",
			r#"{"prediction_type":"flow"}"#,
			"flow",
		),
		(
			"scheduler/scheduler_config.json",
			r#"{"use_beta_sigmas":true}"#,
			"use_beta_sigmas",
		),
		(
			"scheduler/scheduler_config.json",
			r#"{"_class_name":"DPMSolverMultistepScheduler","algorithm_type":"dpmsolver"}"#,
			"algorithm_type",
		),
		(
			"scheduler/scheduler_config.json",
			r#"{"num_train_timesteps":0}"#,
			"num_train_timesteps",
		),
		(
			"text_encoder/config.json",
			r#"{"max_position_embeddings":0,"vocab_size":1}"#,
			"from 1 to",
		),
		("unet/model.onnx", "text", "no ONNX file"),
		("vae_decoder/model.onnx", "\u{3a}\u{7f}", "no ONNX file"),
		("cuckoo.json", r#"{"default_steps":0}"#, "default_steps"),
		("cuckoo.json", r#"{"default_steps":70000}"#, "not the JSON"),
		(
			"cuckoo.json",
			r#"{"default_guidance":1e9}"#,
			"default_guidance",
		),
		("cuckoo.json", r#"{"name":""}"#, "name"),
		("cuckoo.json", r#"{"nmae":"x"}"#, "nmae"),
	];
	for (name, content, because) in cases {
		let folder = small_folder(&json!({}));
		write(folder.path(), name, content);
		refused(folder.path(), name, because);
	}
}

#[test]
fn sizes_that_make_no_picture_are_refused() {
	let unet = |sample: Value, levels: Vec<u32>| json!({ "in_channels": 4, "sample_size": sample, "block_out_channels": levels });
	for (config, because) in [
		(unet(json!(0), vec![1, 1]), "pixels a side"),
		(unet(json!(3), vec![1, 1]), "pixels a side"),
		(unet(json!(4_000_000_000u32), vec![1, 1]), "pixels a side"),
		(unet(json!(4), vec![]), "levels"),
		(unet(json!(4), vec![1; 40]), "levels"),
		(
			json!({ "in_channels": 9, "sample_size": 4, "block_out_channels": [1] }),
			"inpainting",
		),
	] {
		let folder = small_folder(&json!({}));
		write(folder.path(), "unet/config.json", config.to_string());
		refused(folder.path(), "unet/config.json", because);
	}
	let folder = small_folder(&json!({}));
	write(
		folder.path(),
		"unet/config.json",
		unet(json!([4, 6]), vec![1, 1]).to_string(),
	);
	assert_eq!(ModelFolder::open(folder.path()).unwrap().default_size(), 16);
}

/// An initializer whose bytes are in another file, as the ONNX format writes it.
fn graph_with_weights_in(location: &str) -> Vec<u8> {
	let field =
		|number: u8, content: &[u8]| [&[number << 3 | 2, content.len() as u8], content].concat();
	let entry = [field(1, b"location"), field(2, location.as_bytes())].concat();
	field(7, &field(5, &field(13, &entry)))
}

#[test]
fn weights_outside_the_folder_are_refused() {
	for location in ["../../secret", "/etc/hostname"] {
		let folder = small_folder(&json!({}));
		write(
			folder.path(),
			"unet/model.onnx",
			graph_with_weights_in(location),
		);
		refused(folder.path(), "unet/model.onnx", "outside");
	}
	let folder = small_folder(&json!({}));
	write(
		folder.path(),
		"unet/model.onnx",
		graph_with_weights_in("model.onnx_data"),
	);
	write(folder.path(), "unet/model.onnx_data", "weights");
	assert!(ModelFolder::open(folder.path()).is_ok());
}

/// What a model computes with is in its hash.
#[test]
fn weights_in_files_that_do_not_count_are_refused() {
	for location in [".w", "sub/.w", ".sub/w"] {
		let folder = small_folder(&json!({}));
		write(
			folder.path(),
			"unet/model.onnx",
			graph_with_weights_in(location),
		);
		write(folder.path(), &format!("unet/{location}"), "weights");
		refused(folder.path(), "unet/model.onnx", location);
		refused(folder.path(), "unet/model.onnx", "hash");
	}
}

/// A socket stands for all that is no file: a pipe would be waited for.
#[cfg(unix)]
#[test]
fn what_is_no_file_is_not_read() {
	for name in ["cuckoo.json", "unet/config.json", "unet/model.onnx"] {
		let folder = small_folder(&json!({}));
		let path = folder.path().join(name);
		let _ = fs::remove_file(&path);
		let _socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
		let named = name.rsplit('/').next().unwrap();
		refused(folder.path(), named, "file");
	}
}

#[cfg(unix)]
#[test]
fn links_out_of_the_folder_are_refused() {
	let outside = tempfile::NamedTempFile::new().unwrap();
	let folder = small_folder(&json!({}));
	let path = folder.path().join("unet/model.onnx");
	fs::remove_file(&path).unwrap();
	std::os::unix::fs::symlink(outside.path(), &path).unwrap();
	refused(folder.path(), "unet/model.onnx", "outside the model folder");
}

#[test]
fn defaults_come_from_the_layout() {
	let stable_diffusion = json!({ "_class_name": "HeunDiscreteScheduler", "steps_offset": 1 });
	let directory = small_folder(&stable_diffusion);
	let folder = ModelFolder::open(directory.path()).unwrap();
	assert_eq!(
		(folder.default_steps(), folder.default_guidance()),
		(25, 7.5)
	);
	assert_eq!(
		folder.default_scheduler(),
		Scheduler::Ddim,
		"what every model runs with"
	);
	assert_eq!(
		folder.name(),
		directory.path().file_name().unwrap().to_str().unwrap()
	);

	for (class, scheduler) in [
		("PNDMScheduler", Scheduler::Pndm),
		("EulerAncestralDiscreteScheduler", Scheduler::EulerAncestral),
		("DPMSolverMultistepScheduler", Scheduler::DpmPlusPlus2m),
		("UniPCMultistepScheduler", Scheduler::UniPc),
		("LCMScheduler", Scheduler::Lcm),
	] {
		let directory = small_folder(&json!({ "_class_name": class }));
		let folder = ModelFolder::open(directory.path()).unwrap();
		assert_eq!(folder.default_scheduler(), scheduler);
	}

	// A latent consistency model takes few steps, and may have been distilled on few.
	let few = json!({ "_class_name": "LCMScheduler", "original_inference_steps": 8 });
	let directory = small_folder(&few);
	let folder = ModelFolder::open(directory.path()).unwrap();
	assert_eq!(folder.default_steps(), 4);

	// As Python's json module writes a limit that is none.
	let directory = small_folder(&json!({}));
	let config =
		"{\"_class_name\": \"DPMSolverMultistepScheduler\", \"lambda_min_clipped\": -Infinity}";
	write(directory.path(), "scheduler/scheduler_config.json", config);
	assert!(ModelFolder::open(directory.path()).is_ok());

	let directory = small_folder(&json!({ "_class_name": "EulerDiscreteScheduler" }));
	write(directory.path(), "cuckoo.json", r#"{"max_size":30}"#);
	let folder = ModelFolder::open(directory.path()).unwrap();
	assert_eq!(folder.default_scheduler(), Scheduler::Euler);
	assert_eq!(
		folder.max_size(),
		24,
		"the limit, rounded down to what can be made"
	);
}
