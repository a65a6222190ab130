//! A folder with graphs for CUDA beside those for every device.

mod common;

use common::{analytic, small_folder, write};
use cuckoo_diffusion::{
	backend::{Analytic, Backend, Graph, Port, Tensor, Values},
	Control, DeviceClass, Error, ModelFolder, Pipeline, Request, Stop,
};
use serde_json::json;
use std::{
	path::{Path, PathBuf},
	sync::{Arc, Mutex},
};

const GPU: DeviceClass = DeviceClass::Cuda { major: 9, minor: 0 };

/// The analytic backend, which remembers what it was asked to load. Its decoder for CUDA has too little
/// precision.
struct Remembering {
	inner: Analytic,
	loaded: Mutex<Vec<PathBuf>>,
}

impl Backend for Remembering {
	fn load(&self, path: &Path) -> Result<Box<dyn Graph>, Error> {
		self.loaded.lock().unwrap().push(path.into());
		let inner = self.inner.load(path)?;
		if path.ends_with("vae_decoder/model_cuda.onnx") {
			return Ok(Box::new(Overflowing(inner)));
		}
		Ok(inner)
	}
}

/// A graph whose numbers are too large for its precision.
struct Overflowing(Box<dyn Graph>);

impl Graph for Overflowing {
	fn inputs(&self) -> &[Port] {
		self.0.inputs()
	}

	fn outputs(&self) -> &[Port] {
		self.0.outputs()
	}

	fn run(
		&mut self,
		inputs: &[(&str, &Tensor)],
		outputs: &[&str],
		stop: &Stop,
	) -> Result<Vec<Tensor>, Error> {
		let mut tensors = self.0.run(inputs, outputs, stop)?;
		for tensor in &mut tensors {
			if let Values::F32(numbers) = &mut tensor.values {
				numbers.fill(f32::INFINITY);
			}
		}
		Ok(tensors)
	}
}

/// What is loaded for a picture on a device, and the picture.
fn paint(folder: &ModelFolder, class: DeviceClass) -> (Vec<String>, Result<Vec<u8>, Error>) {
	let backend = Arc::new(Remembering {
		inner: analytic(folder.scheduler_config().clone()),
		loaded: Mutex::default(),
	});
	let name = String::from("test");
	let mut pipeline =
		Pipeline::with_backend(folder, backend.clone(), class, name.clone(), name).unwrap();
	let request = Request {
		steps: 2,
		..Request::new(folder, "fox", 1)
	};
	let picture = pipeline.generate(&request, &mut |_| Control::Continue);
	let loaded = backend.loaded.lock().unwrap();
	let loaded = loaded.iter().map(|path| {
		let path = path.strip_prefix(folder.path()).unwrap();
		path.to_str().unwrap().to_owned()
	});
	(loaded.collect(), picture.map(|picture| picture.rgb))
}

#[test]
fn cuda_runs_its_own_graphs_and_everything_else_the_plain_ones() {
	let directory = small_folder(&json!({}));
	let plain = ModelFolder::open(directory.path()).unwrap();
	write(directory.path(), "unet/model_cuda.onnx", "");
	let both = ModelFolder::open(directory.path()).unwrap();
	assert_ne!(plain.hash(), both.hash(), "it is part of what is computed");

	let (loaded, picture) = paint(&both, DeviceClass::Cpu);
	let expected = [
		"text_encoder/model.onnx",
		"unet/model.onnx",
		"vae_decoder/model.onnx",
	];
	assert_eq!(loaded, expected);
	let (loaded, on_gpu) = paint(&both, GPU);
	assert_eq!(loaded[1], "unet/model_cuda.onnx");
	assert_eq!(on_gpu.unwrap(), picture.unwrap());
}

/// As with a `model_fp32.onnx`, which is for folders that are fp16 in all.
#[test]
fn what_cudas_decoder_cannot_decode_the_plain_one_does() {
	let directory = small_folder(&json!({}));
	write(directory.path(), "vae_decoder/model_cuda.onnx", "");
	let folder = ModelFolder::open(directory.path()).unwrap();
	let (loaded, picture) = paint(&folder, GPU);
	let decoders = ["vae_decoder/model_cuda.onnx", "vae_decoder/model.onnx"];
	assert_eq!(loaded[2..], decoders);
	assert_eq!(
		picture.unwrap(),
		paint(&folder, DeviceClass::Cpu).1.unwrap()
	);
}

#[test]
fn memory_is_that_of_the_larger_variant_and_not_of_both() {
	let directory = small_folder(&json!({}));
	let with = |name: &str, bytes: usize| {
		write(directory.path(), name, vec![0; bytes]);
		ModelFolder::open(directory.path()).map(|folder| folder.weight_bytes())
	};
	let empty = with("unet/model.onnx_data", 0).unwrap();
	assert_eq!(
		with("unet/model.onnx_data", 100_000).unwrap(),
		empty + 100_000
	);
	write(directory.path(), "unet/model_cuda.onnx", "");
	assert_eq!(
		with("unet/model_cuda.onnx_data", 50_000).unwrap(),
		empty + 100_000
	);
	let more = with("unet/model_cuda.onnx_data", 500_000).unwrap();
	// Without the UNet's configuration, which is counted with the plain graph.
	assert!((empty..empty + 500_000).contains(&(more - 1)), "{more}");
}

/// A reference out of the folder is refused in whichever graph it stands.
#[test]
fn weights_outside_the_folder_are_refused() {
	let directory = small_folder(&json!({}));
	let field = |number: u8, content: &[u8]| -> Vec<u8> {
		[&[number << 3 | 2, content.len() as u8][..], content].concat()
	};
	let entry = [field(1, b"location"), field(2, b"../secret")].concat();
	let tensor = field(13, &entry);
	write(
		directory.path(),
		"unet/model_cuda.onnx",
		field(7, &field(5, &tensor)),
	);
	let error = ModelFolder::open(directory.path()).unwrap_err().to_string();
	assert!(
		error.contains("model_cuda.onnx") && error.contains("../secret"),
		"{error}"
	);
}
