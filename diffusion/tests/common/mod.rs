//! What the tests share.

#![allow(dead_code)] // Each test file uses its part.

use cuckoo_diffusion::{
	backend::{Analytic, Element},
	model::ModelFolder,
	schedulers::SchedulerConfig,
	DeviceClass, Pipeline,
};
use serde_json::{json, Value};
use std::{
	fs,
	path::{Path, PathBuf},
};
use tempfile::TempDir;

/// The model of this repository.
pub fn default_model() -> PathBuf {
	Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/default/model")
}

/// A file of `reference/`.
pub fn reference(name: &str) -> PathBuf {
	Path::new(env!("CARGO_MANIFEST_DIR"))
		.join("reference")
		.join(name)
}

/// A JSON file of `reference/`.
pub fn reference_json(name: &str) -> Value {
	serde_json::from_str(&fs::read_to_string(reference(name)).unwrap()).unwrap()
}

/// Copies a folder and all in it.
pub fn copy(from: &Path, to: &Path) {
	fs::create_dir_all(to).unwrap();
	for entry in fs::read_dir(from).unwrap() {
		let entry = entry.unwrap();
		let target = to.join(entry.file_name());
		if entry.path().is_dir() {
			copy(&entry.path(), &target);
		} else {
			fs::copy(entry.path(), target).unwrap();
		}
	}
}

/// A family's folder, with the vocabulary in it, and with another scheduler if one is given.
pub fn family(name: &str, scheduler: Option<&Value>) -> TempDir {
	let folder = tempfile::tempdir().unwrap();
	copy(&reference("families").join(name), folder.path());
	for tokenizer in ["tokenizer", "tokenizer_2"] {
		if folder.path().join(tokenizer).exists() {
			for file in ["vocab.json", "merges.txt"] {
				let from = default_model().join("tokenizer").join(file);
				fs::copy(from, folder.path().join(tokenizer).join(file)).unwrap();
			}
		}
	}
	if let Some(scheduler) = scheduler {
		let text = scheduler.to_string();
		write(folder.path(), "scheduler/scheduler_config.json", text);
	}
	folder
}

/// Sides in pixels of the small model's pictures, and what they must be multiples of.
pub const SMALL_SIZE: u16 = 16;
pub const SMALL_MULTIPLE: u16 = 8;
pub const SMALL_CHANNELS: usize = 4;
pub const SMALL_FACTOR: usize = 4;
pub const SMALL_SCALING: f32 = 0.5;
pub const SMALL_LENGTH: usize = 8;

/// A folder that has all a model has, but empty graphs: for the analytic backend.
pub fn small_folder(scheduler: &Value) -> TempDir {
	let folder = tempfile::tempdir().unwrap();
	let mut vocab = serde_json::Map::new();
	for letter in 'a'..='z' {
		for token in [letter.to_string(), format!("{letter}</w>")] {
			let id = vocab.len();
			vocab.insert(token, id.into());
		}
	}
	for token in ["<|startoftext|>", "<|endoftext|>"] {
		let id = vocab.len();
		vocab.insert(token.into(), id.into());
	}
	let files = [
		(
			"model_index.json",
			json!({ "_class_name": "StableDiffusionPipeline" }),
		),
		("scheduler/scheduler_config.json", scheduler.clone()),
		("tokenizer/vocab.json", vocab.into()),
		(
			"text_encoder/config.json",
			json!({ "max_position_embeddings": SMALL_LENGTH, "vocab_size": 54 }),
		),
		(
			"unet/config.json",
			json!({ "in_channels": SMALL_CHANNELS, "sample_size": 4, "block_out_channels": [1, 1] }),
		),
		(
			"vae_decoder/config.json",
			json!({
				"latent_channels": SMALL_CHANNELS,
				"block_out_channels": [1, 1, 1],
				"scaling_factor": SMALL_SCALING,
			}),
		),
	];
	for (name, content) in files {
		write(folder.path(), name, content.to_string());
	}
	write(folder.path(), "tokenizer/merges.txt", "#version: 0.2\n");
	for component in ["text_encoder", "unet", "vae_decoder"] {
		write(folder.path(), &format!("{component}/model.onnx"), "");
	}
	folder
}

pub fn write(root: &Path, name: &str, content: impl AsRef<[u8]>) {
	let path = root.join(name);
	fs::create_dir_all(path.parent().unwrap()).unwrap();
	fs::write(path, content).unwrap();
}

/// The backend that fits [`small_folder`].
pub fn analytic(scheduler: SchedulerConfig) -> Analytic {
	Analytic {
		scheduler,
		channels: SMALL_CHANNELS,
		vae_factor: SMALL_FACTOR,
		scaling: SMALL_SCALING,
		float: Element::F32,
		ids: Element::I64,
		timestep: Element::F32,
		timestep_is_array: false,
		batch: None,
		nan_below: f32::NEG_INFINITY,
	}
}

/// A pipeline on the analytic backend, and the folder that it was loaded from.
pub fn small_pipeline(
	scheduler: &Value,
	change: impl FnOnce(&mut Analytic),
) -> (TempDir, ModelFolder, Pipeline) {
	let directory = small_folder(scheduler);
	let folder = ModelFolder::open(directory.path()).unwrap();
	let mut backend = analytic(folder.scheduler_config().clone());
	change(&mut backend);
	let class = DeviceClass::Cpu;
	let backend = std::sync::Arc::new(backend);
	let pipeline =
		Pipeline::with_backend(&folder, backend, class, "test".into(), "test".into()).unwrap();
	(directory, folder, pipeline)
}
