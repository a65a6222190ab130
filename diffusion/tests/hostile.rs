//! Graphs that are not what they should be, and requests that no model can fulfil: each ends in an
//! error that says which, and never in a panic.

mod common;

use common::*;
use cuckoo_diffusion::{
	backend::{Analytic, Backend, Element, Graph, Port, Tensor, Values},
	Control, DeviceClass, Error, Mask, ModelFolder, Options, Pipeline, Request, Start, Stop,
};
use serde_json::json;
use std::{path::Path, sync::Arc};

/// Changes what a graph of the analytic backend shows of itself, and what it gives.
#[derive(Clone)]
struct Twisted {
	inner: Analytic,
	/// The end of the path of the graph that is changed.
	graph: &'static str,
	ports: fn(&mut Vec<Port>, &mut Vec<Port>),
	result: fn(&mut Vec<Tensor>),
}

struct TwistedGraph {
	inner: Box<dyn Graph>,
	inputs: Vec<Port>,
	outputs: Vec<Port>,
	result: fn(&mut Vec<Tensor>),
}

impl Backend for Twisted {
	fn load(&self, path: &Path) -> Result<Box<dyn Graph>, Error> {
		let inner = self.inner.load(path)?;
		if !path.ends_with(self.graph) {
			return Ok(inner);
		}
		let (mut inputs, mut outputs) = (inner.inputs().to_vec(), inner.outputs().to_vec());
		(self.ports)(&mut inputs, &mut outputs);
		Ok(Box::new(TwistedGraph {
			inner,
			inputs,
			outputs,
			result: self.result,
		}))
	}
}

impl Graph for TwistedGraph {
	fn inputs(&self) -> &[Port] {
		&self.inputs
	}

	fn outputs(&self) -> &[Port] {
		&self.outputs
	}

	fn run(
		&mut self,
		inputs: &[(&str, &Tensor)],
		outputs: &[&str],
		stop: &Stop,
	) -> Result<Vec<Tensor>, Error> {
		let mut tensors = self.inner.run(inputs, outputs, stop)?;
		(self.result)(&mut tensors);
		Ok(tensors)
	}
}

fn honest_ports(_: &mut Vec<Port>, _: &mut Vec<Port>) {}
fn honest_result(_: &mut Vec<Tensor>) {}

fn nan(tensors: &mut Vec<Tensor>) {
	for tensor in tensors {
		if let Values::F32(numbers) = &mut tensor.values {
			numbers.fill(f32::NAN);
		}
	}
}

/// A picture by a pipeline with one graph changed.
fn paint(
	graph: &'static str,
	ports: fn(&mut Vec<Port>, &mut Vec<Port>),
	result: fn(&mut Vec<Tensor>),
	prepare: impl FnOnce(&Path),
) -> Result<Vec<u8>, Error> {
	let directory = small_folder(&json!({ "clip_sample": false }));
	prepare(directory.path());
	let folder = ModelFolder::open(directory.path()).unwrap();
	let backend = Twisted {
		inner: analytic(folder.scheduler_config().clone()),
		graph,
		ports,
		result,
	};
	let name = String::from("test");
	let class = DeviceClass::Cpu;
	let mut pipeline =
		Pipeline::with_backend(&folder, Arc::new(backend), class, name.clone(), name)?;
	let request = Request {
		steps: 2,
		..Request::new(&folder, "fox", 1)
	};
	let picture = pipeline.generate(&request, &mut |_| Control::Continue)?;
	Ok(picture.rgb)
}

const UNET: &str = "unet/model.onnx";
const TEXT: &str = "text_encoder/model.onnx";
const DECODER: &str = "vae_decoder/model.onnx";

#[test]
fn graphs_with_other_ends_are_refused() {
	type Ports = fn(&mut Vec<Port>, &mut Vec<Port>);
	let cases: [(&str, &'static str, Ports); 9] = [
		("no input", UNET, |inputs, _| inputs.clear()),
		("one input less", UNET, |inputs, _| drop(inputs.pop())),
		("no output", UNET, |_, outputs| outputs.clear()),
		("an unknown input", UNET, |inputs, _| {
			inputs.push(Port {
				name: "x".repeat(100_000),
				element: Some(Element::F32),
				shape: vec![None; 5],
			})
		}),
		("an input twice", UNET, |inputs, _| {
			inputs.push(inputs[0].clone())
		}),
		("an input of another type", UNET, |inputs, _| {
			inputs[0].element = None
		}),
		("an input of size 0", UNET, |inputs, _| {
			inputs[0].shape[0] = Some(0)
		}),
		("no output", TEXT, |_, outputs| outputs.clear()),
		("no input", DECODER, |inputs, _| inputs.clear()),
	];
	for (what, graph, ports) in cases {
		let error = paint(graph, ports, honest_result, |_| ()).unwrap_err();
		assert!(
			matches!(&error, Error::Model { path, .. } if path.ends_with(graph)),
			"{graph}, {what}: {error}"
		);
		assert!(error.to_string().len() < 1000, "{what}");
	}
	// Sizes that no request has: of those that no input has, nothing is made.
	let cases: [(&str, &'static str, Ports); 7] = [
		("channels", UNET, |inputs, _| inputs[0].shape[1] = Some(5)),
		("channels", UNET, |inputs, _| {
			inputs[0].shape[1] = Some(usize::MAX)
		}),
		("height", UNET, |inputs, _| {
			inputs[0].shape[2] = Some(1 << 62)
		}),
		("timesteps", UNET, |inputs, _| {
			inputs[1].shape = vec![Some(10_000_000_000_000)]
		}),
		("guidance", UNET, |inputs, _| {
			inputs.push(Port {
				name: "timestep_cond".into(),
				element: Some(Element::F32),
				shape: vec![None, Some(10_000_000_000_000)],
			})
		}),
		("tokens", TEXT, |inputs, _| {
			inputs[0].shape[1] = Some(usize::MAX)
		}),
		("height", DECODER, |inputs, _| {
			inputs[0].shape[2] = Some(1 << 40)
		}),
	];
	for (what, graph, ports) in cases {
		let error = paint(graph, ports, honest_result, |_| ()).unwrap_err();
		assert!(
			matches!(error, Error::Model { .. }),
			"{graph}, {what}: {error}"
		);
	}
}

#[test]
fn graphs_with_other_results_are_refused() {
	type Change = fn(&mut Vec<Tensor>);
	let changes: [(&str, Change); 4] = [
		("nothing", |tensors| tensors.clear()),
		("one number", |tensors| {
			tensors[0] = Tensor::from_floats(Element::F32, &[1], &[0.0])
		}),
		("an empty tensor", |tensors| {
			tensors[0] = Tensor::from_floats(Element::F32, &[1, 0, 0], &[])
		}),
		("not a number", nan),
	];
	for graph in [UNET, TEXT, DECODER] {
		for (what, change) in changes {
			let error = paint(graph, honest_ports, change, |_| ()).unwrap_err();
			let known = matches!(error, Error::Graph { .. } | Error::NotFinite { .. });
			assert!(known, "{graph}, {what}: {error}");
		}
	}
}

/// A decoder in fp16 whose numbers run out is helped by one in fp32, if the folder has it.
#[test]
fn what_the_decoder_cannot_decode_the_precise_one_does() {
	let error = paint(DECODER, honest_ports, nan, |_| ()).unwrap_err();
	assert!(matches!(error, Error::NotFinite { .. }), "{error}");
	let helped = paint(DECODER, honest_ports, nan, |root| {
		write(root, "vae_decoder/model_fp32.onnx", "")
	});
	let honest = paint(DECODER, honest_ports, honest_result, |_| ());
	assert_eq!(helped.unwrap(), honest.unwrap());
}

fn encoder_pipeline() -> (tempfile::TempDir, ModelFolder, Pipeline) {
	let directory = small_folder(&json!({ "clip_sample": false, "set_alpha_to_one": true }));
	write(directory.path(), "vae_encoder/model.onnx", "");
	let folder = ModelFolder::open(directory.path()).unwrap();
	let backend = Arc::new(analytic(folder.scheduler_config().clone()));
	let name = String::from("test");
	let pipeline =
		Pipeline::with_backend(&folder, backend, DeviceClass::Cpu, name.clone(), name).unwrap();
	(directory, folder, pipeline)
}

fn start(folder: &ModelFolder) -> Request {
	let pixels = usize::from(SMALL_SIZE) * usize::from(SMALL_SIZE);
	Request {
		steps: 4,
		options: Options {
			start: Some(Start {
				rgb: vec![200; 3 * pixels],
				strength: 0.5,
				mask: Some(Mask(vec![255; pixels])),
			}),
			..Options::default()
		},
		..Request::new(folder, "fox", 1)
	}
}

#[test]
fn absurd_options_are_refused_by_field() {
	let (_directory, folder, mut pipeline) = encoder_pipeline();
	type Change = fn(&mut Options);
	let changes: [(&str, Change); 8] = [
		("clip_skip", |options| options.clip_skip = 9),
		("clip_skip", |options| options.clip_skip = 1),
		("start", |options| {
			options.start.as_mut().unwrap().rgb.clear()
		}),
		("mask", |options| {
			options.start.as_mut().unwrap().mask = Some(Mask(vec![0; 3]))
		}),
		("strength", |options| {
			options.start.as_mut().unwrap().strength = 0.0
		}),
		("strength", |options| {
			options.start.as_mut().unwrap().strength = 1.1
		}),
		("strength", |options| {
			options.start.as_mut().unwrap().strength = f32::NAN
		}),
		("strength", |options| {
			options.start.as_mut().unwrap().strength = 0.1
		}),
	];
	for (field, change) in changes {
		let mut request = start(&folder);
		change(&mut request.options);
		match pipeline.generate(&request, &mut |_| Control::Continue) {
			Err(Error::Request { field: named, .. }) => assert_eq!(named, field),
			other => panic!("{field}: {other:?}"),
		}
	}
	let request = start(&folder);
	let other = Request {
		steps: request.steps + 1,
		..request.clone()
	};
	let batches = [
		vec![],
		vec![request.clone(); 17],
		vec![request.clone(), other],
	];
	for requests in batches {
		let result =
			pipeline.generate_together(&requests, &Stop::new(), &mut |_, _| Control::Continue);
		assert!(matches!(
			result,
			Err(Error::Request {
				field: "requests",
				..
			})
		));
	}
	for side in [4, 12, 30_000] {
		let refused = pipeline.set_vae_tile(side).is_err();
		assert_eq!(refused, side != 30_000, "{side}");
	}
	// A folder without an encoder cannot start from a picture.
	let (_directory, folder, mut pipeline) =
		small_pipeline(&json!({ "clip_sample": false }), |_| ());
	let result = pipeline.generate(&start(&folder), &mut |_| Control::Continue);
	assert!(matches!(result, Err(Error::Request { field: "start", .. })));
}

/// What the mask does not cover is the given picture's; what it covers is the prompt's.
#[test]
fn a_mask_says_what_is_painted_anew() {
	let (_directory, folder, mut pipeline) = encoder_pipeline();
	for scheduler in cuckoo_diffusion::Scheduler::ALL {
		let mut request = start(&folder);
		request.scheduler = scheduler;
		request.steps = 8;
		let side = usize::from(SMALL_SIZE);
		let left = |pixel: usize| pixel % side < side / 2;
		let mask = (0..side * side).map(|pixel| if left(pixel) { 255 } else { 0 });
		if let Some(start) = &mut request.options.start {
			start.mask = Some(Mask(mask.collect()));
			start.strength = 1.0;
		}
		let Ok(_) = scheduler.plan(folder.scheduler_config(), request.steps) else {
			panic!("{scheduler}")
		};
		let picture = pipeline
			.generate(&request, &mut |_| Control::Continue)
			.unwrap();
		for (pixel, rgb) in picture.rgb.chunks_exact(3).enumerate() {
			let kept = rgb.iter().all(|byte| byte.abs_diff(200) <= 1);
			assert_eq!(kept, !left(pixel), "{scheduler}, pixel {pixel}: {rgb:?}");
		}
	}
}
