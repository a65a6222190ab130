//! A device that is too small: pictures are made in parts as long as there is a smaller part, and what
//! the parts are is in the profile.

mod common;

use common::*;
use cuckoo_diffusion::{
	backend::{Analytic, Backend, Graph, Port, Tensor},
	Control, DeviceClass, Error, ModelFolder, Picture, Pipeline, Request, Stop,
};
use serde_json::json;
use std::{
	path::Path,
	sync::{
		atomic::{AtomicUsize, Ordering::Relaxed},
		Arc,
	},
};

/// The analytic backend on a device on which a run of a graph has room for so many numbers.
#[derive(Clone)]
struct Cramped {
	inner: Analytic,
	unet: usize,
	decoder: usize,
	/// Runs that found no room.
	refused: Arc<AtomicUsize>,
}

struct CrampedGraph {
	inner: Box<dyn Graph>,
	room: usize,
	refused: Arc<AtomicUsize>,
}

impl Backend for Cramped {
	fn load(&self, path: &Path) -> Result<Box<dyn Graph>, Error> {
		let room = if path.ends_with("unet/model.onnx") {
			self.unet
		} else if path.ends_with("vae_decoder/model.onnx") {
			self.decoder
		} else {
			usize::MAX
		};
		Ok(Box::new(CrampedGraph {
			inner: self.inner.load(path)?,
			room,
			refused: self.refused.clone(),
		}))
	}
}

impl Graph for CrampedGraph {
	fn inputs(&self) -> &[Port] {
		self.inner.inputs()
	}

	fn outputs(&self) -> &[Port] {
		self.inner.outputs()
	}

	fn run(
		&mut self,
		inputs: &[(&str, &Tensor)],
		outputs: &[&str],
		stop: &Stop,
	) -> Result<Vec<Tensor>, Error> {
		let largest = inputs
			.iter()
			.map(|(_, tensor)| tensor.shape.iter().product());
		if largest.max().unwrap_or(0) > self.room {
			self.refused.fetch_add(1, Relaxed);
			return Err(Error::OutOfMemory {
				path: "graph".into(),
				problem: "Failed to allocate memory".into(),
			});
		}
		self.inner.run(inputs, outputs, stop)
	}
}

/// A folder whose pictures may be of 32 pixels, its pipeline on a device with so much room, and the
/// number of runs that found none.
fn pipeline(unet: usize, decoder: usize) -> (tempfile::TempDir, Pipeline, Arc<AtomicUsize>) {
	let directory = small_folder(&json!({}));
	let folder = ModelFolder::open(directory.path()).unwrap();
	let refused = Arc::new(AtomicUsize::new(0));
	let backend = Cramped {
		inner: analytic(folder.scheduler_config().clone()),
		unet,
		decoder,
		refused: refused.clone(),
	};
	let (backend, name) = (Arc::new(backend), String::from("small"));
	let pipeline =
		Pipeline::with_backend(&folder, backend, DeviceClass::Cpu, name.clone(), name).unwrap();
	(directory, pipeline, refused)
}

fn request(directory: &tempfile::TempDir) -> Request {
	let folder = ModelFolder::open(directory.path()).unwrap();
	Request {
		steps: 4,
		guidance: 2.0,
		width: 2 * SMALL_SIZE,
		height: 2 * SMALL_SIZE,
		..Request::new(&folder, "a cab", 5)
	}
}

fn generate(pipeline: &mut Pipeline, request: &Request) -> Result<Picture, Error> {
	pipeline.generate(request, &mut |_| Control::Continue)
}

/// Numbers of a picture's latents.
const LATENTS: usize = SMALL_CHANNELS
	* (2 * SMALL_SIZE as usize / SMALL_FACTOR)
	* (2 * SMALL_SIZE as usize / SMALL_FACTOR);

#[test]
fn the_unet_gets_fewer_samples_at_once_and_the_picture_is_the_same() {
	let (directory, mut roomy, _) = pipeline(usize::MAX, usize::MAX);
	let (_other, mut cramped, refused) = pipeline(LATENTS, usize::MAX);
	let request = request(&directory);
	let expected = generate(&mut roomy, &request).unwrap();
	assert_eq!(roomy.engine_profile(), "small");
	assert_eq!(generate(&mut cramped, &request).unwrap(), expected);
	assert_eq!(refused.load(Relaxed), 1);
	assert_eq!(cramped.engine_profile(), "small, unet rows up to 1");
	// It is not tried again.
	assert_eq!(generate(&mut cramped, &request).unwrap(), expected);
	assert_eq!(refused.load(Relaxed), 1);
}

#[test]
fn a_batch_is_made_in_the_parts_that_fit() {
	let (directory, mut roomy, _) = pipeline(usize::MAX, usize::MAX);
	let (_other, mut cramped, refused) = pipeline(3 * LATENTS, usize::MAX);
	let requests = [1, 2, 3, 4, 5].map(|seed| Request {
		seed,
		..request(&directory)
	});
	let batch = |pipeline: &mut Pipeline| -> Vec<Picture> {
		pipeline
			.generate_together(&requests, &Stop::new(), &mut |_, _| Control::Continue)
			.unwrap()
			.into_iter()
			.map(Result::unwrap)
			.collect()
	};
	let expected = batch(&mut roomy);
	// Ten rows, five, three: the last part has one.
	assert_eq!(batch(&mut cramped), expected);
	assert_eq!(refused.load(Relaxed), 2);
	assert_eq!(cramped.engine_profile(), "small, unet rows up to 3");
}

#[test]
fn a_picture_that_is_too_large_to_decode_is_decoded_in_tiles() {
	let (directory, mut roomy, _) = pipeline(usize::MAX, usize::MAX);
	let (_other, mut cramped, refused) = pipeline(usize::MAX, LATENTS / 4);
	let request = request(&directory);
	let picture = generate(&mut cramped, &request).unwrap();
	assert_eq!(refused.load(Relaxed), 1);
	assert_eq!(cramped.engine_profile(), "small, vae tiles of 16");
	roomy.set_vae_tile(16).unwrap();
	assert_eq!(generate(&mut roomy, &request).unwrap(), picture);
}

#[test]
fn what_fits_in_no_part_is_refused_and_the_next_picture_is_made() {
	let (directory, mut cramped, _) = pipeline(LATENTS - 1, usize::MAX);
	let large = request(&directory);
	let error = generate(&mut cramped, &large).unwrap_err();
	assert!(matches!(error, Error::OutOfMemory { .. }), "{error}");
	assert!(
		error.to_string().contains("make smaller pictures"),
		"{error}"
	);
	let small = Request {
		width: SMALL_SIZE,
		height: SMALL_SIZE,
		..large.clone()
	};
	generate(&mut cramped, &small).unwrap();

	let (_other, mut cramped, _) = pipeline(usize::MAX, 3);
	let error = generate(&mut cramped, &large).unwrap_err();
	assert!(matches!(error, Error::OutOfMemory { .. }), "{error}");
}
