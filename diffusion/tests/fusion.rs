//! Graphs with fused attention compute what they did, on ONNX Runtime's CPU provider.

mod common;

use common::{default_model, reference};
use cuckoo_diffusion::{
	backend::{Backend, Element, Graph, OnnxRuntime, Tensor},
	fusion, rng, Stop,
};
use std::{fs, path::Path};

/// A tensor for each input of the graph; `batch` samples of latents of these sides.
fn inputs(graph: &dyn Graph, batch: usize, [height, width]: [usize; 2]) -> Vec<(String, Tensor)> {
	let tokens = 11;
	graph
		.inputs()
		.iter()
		.enumerate()
		.map(|(seed, port)| {
			let free: &[usize] = match port.shape.len() {
				4 => &[batch, 4, height, width],
				3 => &[batch, tokens, 8],
				2 => &[batch, 6],
				_ => &[1],
			};
			let shape: Vec<usize> = port
				.shape
				.iter()
				.zip(free)
				.map(|(fixed, free)| fixed.unwrap_or(*free))
				.collect();
			let count = shape.iter().product();
			let numbers = rng::normal(seed as u64, rng::Stream::InitialNoise, count);
			let element = port.element.unwrap_or(Element::F32);
			let numbers = match element {
				Element::F32 | Element::F16 if shape.len() > 1 => numbers,
				_ => vec![501.0; count],
			};
			let tensor = Tensor::from_floats(element, &shape, &numbers);
			(port.name.clone(), tensor)
		})
		.collect()
}

fn run(graph: &mut dyn Graph, batch: usize, size: [usize; 2]) -> Vec<f32> {
	let inputs = inputs(graph, batch, size);
	let inputs: Vec<(&str, &Tensor)> = inputs
		.iter()
		.map(|(name, tensor)| (name.as_str(), tensor))
		.collect();
	let output = graph.outputs()[0].name.clone();
	let outputs = graph.run(&inputs, &[&output], &Stop::new()).unwrap();
	outputs.into_iter().next().unwrap().into_floats()
}

/// How many attentions are found, and the largest difference of what the graph computes by the largest
/// number, over batches and sizes.
fn compare(path: &Path) -> (usize, f32) {
	let rewritten = fusion::fuse(&fs::read(path).unwrap()).unwrap();
	// As a file of its own, beside the same weights: one that ONNX Runtime does not take must not be
	// hidden by the graph that is run in its place.
	let folder = tempfile::tempdir().unwrap();
	for entry in fs::read_dir(path.parent().unwrap()).unwrap() {
		let from = entry.unwrap().path();
		fs::copy(&from, folder.path().join(from.file_name().unwrap())).unwrap();
	}
	let file = folder.path().join("model.onnx");
	fs::write(&file, &rewritten.bytes).unwrap();
	let mut itself = OnnxRuntime::cpu(1).unfused().load(&file).unwrap();
	let mut fused = OnnxRuntime::cpu(1).load(path).unwrap();
	let mut plain = OnnxRuntime::cpu(1).unfused().load(path).unwrap();
	let mut worst = 0.0f32;
	for (batch, size) in [(1, [8, 8]), (2, [8, 16]), (3, [16, 8])] {
		let (a, b) = (run(&mut *fused, batch, size), run(&mut *plain, batch, size));
		assert_eq!(a, run(&mut *itself, batch, size), "it is what runs");
		assert_eq!(a.len(), b.len());
		let largest = b.iter().fold(0.0f32, |largest, b| largest.max(b.abs()));
		let differ = a.iter().zip(&b).map(|(a, b)| (a - b).abs() / largest);
		worst = differ.fold(worst, f32::max);
	}
	(rewritten.attentions, worst)
}

#[test]
fn every_attention_of_a_unet_is_found_and_computes_the_same() {
	let unets = [
		(default_model().join("unet/model.onnx"), 12),
		(reference("families/sd2/unet/model.onnx"), 8),
		(reference("families/sdxl/unet/model.onnx"), 8),
		(reference("families/lcm/unet/model.onnx"), 8),
	];
	for (path, attentions) in unets {
		let (found, worst) = compare(&path);
		assert_eq!(found, attentions, "{}", path.display());
		assert!(worst < 1e-5, "{}: {worst}", path.display());
	}
	let half = reference("families/fp16/unet/model.onnx");
	let (found, worst) = compare(&half);
	assert_eq!(found, 8);
	assert!(worst < 2e-3, "{worst}");
}
