//! What is fused and what is not, on graphs as exporters write them and as they do not.

use super::*;
use proptest::prelude::*;

/// Operator, inputs, output and attributes.
type NodeParts = (&'static str, Vec<&'static str>, &'static str, Vec<Vec<u8>>);

/// A graph with one attention, as PyTorch's exporter writes it.
#[derive(Clone)]
struct Written {
	nodes: Vec<NodeParts>,
	constants: Vec<(&'static str, Vec<u8>)>,
	outputs: Vec<&'static str>,
	version: u64,
}

fn numbers_attribute(name: &str, numbers: &[i64]) -> Vec<u8> {
	attribute(name, 7, |out| {
		for number in numbers {
			put_number(out, 8, *number as u64);
		}
	})
}

fn ints(numbers: &[i64]) -> Vec<u8> {
	let mut tensor = Vec::new();
	put_number(&mut tensor, 1, numbers.len() as u64);
	put_number(&mut tensor, 2, 7);
	let bytes: Vec<u8> = numbers.iter().flat_map(|it| it.to_le_bytes()).collect();
	put_bytes(&mut tensor, 9, &bytes);
	tensor
}

fn float(number: f32) -> Vec<u8> {
	let mut tensor = Vec::new();
	put_number(&mut tensor, 2, 1);
	put_bytes(&mut tensor, 9, &number.to_le_bytes());
	tensor
}

fn transpose(order: [i64; 4]) -> Vec<Vec<u8>> {
	vec![numbers_attribute("perm", &order)]
}

impl Written {
	/// With three heads and a factor of the product's left side.
	fn new() -> Self {
		let outside = [0, 2, 1, 3];
		Self {
			nodes: vec![
				("Reshape", vec!["q", "shape"], "q4", vec![]),
				("Reshape", vec!["k", "shape"], "k4", vec![]),
				("Reshape", vec!["v", "shape"], "v4", vec![]),
				("Transpose", vec!["q4"], "qh", transpose(outside)),
				("Transpose", vec!["k4"], "kh", transpose([0, 2, 3, 1])),
				("Transpose", vec!["v4"], "vh", transpose(outside)),
				("Mul", vec!["qh", "factor"], "qs", vec![]),
				("MatMul", vec!["qs", "kh"], "scores", vec![]),
				(
					"Softmax",
					vec!["scores"],
					"weights",
					vec![number_attribute("axis", -1)],
				),
				("MatMul", vec!["weights", "vh"], "pooled", vec![]),
				("Transpose", vec!["pooled"], "places", transpose(outside)),
				("Reshape", vec!["places", "flat"], "out", vec![]),
			],
			constants: vec![
				("shape", ints(&[0, -1, 3, 8])),
				("flat", ints(&[0, -1, 24])),
				("factor", float(0.25)),
			],
			outputs: vec!["out"],
			version: 18,
		}
	}

	fn node(&mut self, output: &str) -> &mut NodeParts {
		self.nodes.iter_mut().find(|node| node.2 == output).unwrap()
	}

	fn bytes(&self) -> Vec<u8> {
		let mut graph = Vec::new();
		for (operator, inputs, output, attributes) in &self.nodes {
			node(&mut graph, operator, "", inputs, output, attributes);
		}
		for (name, tensor) in &self.constants {
			let mut tensor = tensor.clone();
			put_bytes(&mut tensor, 8, name.as_bytes());
			put_bytes(&mut graph, Graph::WEIGHTS, &tensor);
		}
		for name in &self.outputs {
			let mut port = Vec::new();
			put_bytes(&mut port, 1, name.as_bytes());
			put_bytes(&mut graph, Graph::OUTPUT, &port);
		}
		let mut operators = Vec::new();
		put_number(&mut operators, 2, self.version);
		let mut model = Vec::new();
		put_number(&mut model, 1, 9);
		put_bytes(&mut model, Model::GRAPH, &graph);
		put_bytes(&mut model, Model::OPERATORS, &operators);
		put_bytes(&mut model, 99, b"kept as it is");
		model
	}

	/// The attention that is found.
	fn found(&self) -> Option<(i64, Option<f32>)> {
		let bytes = self.bytes();
		let model = Model::read(&bytes)?;
		let graph = Graph::read(model.graph, model.version)?;
		let softmax = graph.nodes.iter().position(|node| node.is("Softmax"))?;
		let attention = attention::find(&graph, softmax)?;
		assert_eq!(
			[attention.query, attention.key, attention.value],
			["q4", "k4", "v4"]
		);
		assert_eq!(fuse(&bytes).map(|fused| fused.attentions), Some(1));
		Some((attention.heads, attention.scale))
	}
}

fn operators(model: &[u8]) -> Vec<String> {
	let model = Model::read(model).unwrap();
	let graph = Graph::read(model.graph, model.version).unwrap();
	graph
		.nodes
		.iter()
		.map(|node| node.operator.to_owned())
		.collect()
}

/// As ONNX Runtime's optimizer writes what it adds for fp16.
#[test]
fn a_node_behind_those_that_use_it_stays() {
	let mut written = Written::new();
	written.node("out").1[1] = "late";
	written
		.nodes
		.push(("Identity", vec!["flat"], "late", vec![]));
	let fused = fuse(&written.bytes()).unwrap().bytes;
	assert_eq!(operators(&fused).last().unwrap(), "Identity");
}

#[test]
fn attention_becomes_one_node_and_the_rest_stays() {
	let written = Written::new();
	assert_eq!(written.found(), Some((3, Some(0.25))));
	let fused = fuse(&written.bytes()).unwrap().bytes;
	let expected = [
		// Of what goes in.
		"Reshape",
		"Reshape",
		"Reshape", //
		"Constant",
		"Constant",
		"Reshape",
		"Reshape",
		"Reshape",
		"MultiHeadAttention",
		"Reshape", //
		"Reshape",
	];
	assert_eq!(operators(&fused), expected);
	let model = Model::read(&fused).unwrap();
	assert!(model.has_domain);
	let unknown = model
		.fields
		.iter()
		.find(|field| field.number == 99)
		.unwrap();
	assert_eq!(unknown.bytes(), Some(&b"kept as it is"[..]));
	assert_eq!(fuse(&fused), None, "there is nothing left to fuse");
}

#[test]
fn factors_may_stand_anywhere_and_be_computed() {
	// Behind the product, divided, as the second of two.
	let mut written = Written::new();
	written
		.nodes
		.insert(8, ("Div", vec!["scores", "eight"], "scaled", vec![]));
	written.constants.push(("eight", float(8.0)));
	written.node("weights").1 = vec!["scaled"];
	assert_eq!(written.found(), Some((3, Some(0.25 / 8.0))));

	// One by the root of a head's size, as PyTorch's exporter computes it.
	let mut written = Written::new();
	let computed = [
		("Shape", vec!["qh"], "sizes", vec![]),
		("Slice", vec!["sizes", "last", "end"], "size", vec![]),
		(
			"Cast",
			vec!["size"],
			"real",
			vec![number_attribute("to", 1)],
		),
		("Sqrt", vec!["real"], "root", vec![]),
		("Div", vec!["one", "root"], "factor", vec![]),
	];
	written.nodes.splice(6..6, computed);
	written.constants.retain(|(name, _)| *name != "factor");
	written.constants.extend([
		("one", float(1.0)),
		("last", ints(&[-1])),
		("end", ints(&[i64::MAX])),
	]);
	assert_eq!(written.found(), Some((3, None)));
	written.node("sizes").1 = vec!["k4"];
	assert_eq!(written.found(), Some((3, None)));
	// A shape of some dimensions ends in another one.
	for (name, place) in [("end", -1), ("end", 3), ("start", 1)] {
		let mut part = written.clone();
		part.node("sizes").3 = vec![number_attribute(name, place)];
		assert_eq!(part.found(), None, "{name}");
	}
	// The last dimension of the transposed keys, and of the scores, is the number of places.
	for other in ["q", "kh", "vh"] {
		written.node("sizes").1 = vec![other];
		assert_eq!(written.found(), None, "{other}");
	}
	let mut written = Written::new();
	let of_scores = [
		("Shape", vec!["scores"], "sizes", vec![]),
		("Slice", vec!["sizes", "last", "end"], "size", vec![]),
		(
			"Cast",
			vec!["size"],
			"real",
			vec![number_attribute("to", 1)],
		),
		("Sqrt", vec!["real"], "root", vec![]),
		("Div", vec!["scores", "root"], "scaled", vec![]),
	];
	written.nodes.splice(8..8, of_scores);
	written.node("weights").1 = vec!["scaled"];
	written.node("qs").0 = "Identity";
	written.node("qs").1 = vec!["qh"];
	written
		.constants
		.extend([("last", ints(&[-1])), ("end", ints(&[i64::MAX]))]);
	assert_eq!(written.found(), None, "by the root of the places");
}

#[test]
fn heads_are_found_in_shapes_that_are_computed() {
	let mut written = Written::new();
	let computed = [
		("Shape", vec!["q"], "sizes", vec![]),
		("Gather", vec!["sizes", "nought"], "batch", vec![]),
		("Unsqueeze", vec!["batch", "nought"], "batches", vec![]),
		(
			"Concat",
			vec!["batches", "rest"],
			"shape",
			vec![number_attribute("axis", 0)],
		),
	];
	written.nodes.splice(0..0, computed);
	written.constants.retain(|(name, _)| *name != "shape");
	written
		.constants
		.extend([("nought", ints(&[0])), ("rest", ints(&[-1, 5, 8]))]);
	assert_eq!(written.found().map(|(heads, _)| heads), Some(5));
}

/// Each list of a shape has as many numbers as the shape has, which is known where the whole must be four.
#[test]
fn parts_of_shapes_are_as_long_as_they_can_be() {
	let with = |parts: &[&'static str], nodes: &[NodeParts]| {
		let mut written = Written::new();
		let concat = vec![number_attribute("axis", 0)];
		let mut made = vec![("Shape", vec!["q"], "sizes", vec![])];
		made.extend(nodes.iter().cloned());
		made.push(("Concat", parts.to_vec(), "shape", concat));
		written.nodes.splice(0..0, made);
		written.constants.retain(|(name, _)| *name != "shape");
		written.constants.extend([
			("nought", ints(&[0])),
			("one", ints(&[1])),
			("two", ints(&[2])),
			("three", ints(&[3])),
			("last", ints(&[-1])),
			("end", ints(&[i64::MAX])),
			("heads", ints(&[5, 7])),
		]);
		written.found().map(|(heads, _)| heads)
	};
	let cut = |of, from, to, name| ("Slice", vec![of, from, to], name, vec![]);
	// As PyTorch writes `(*x.shape[:2], 5, 7, *x.shape[3:])`.
	let begin = cut("sizes", "nought", "two", "begin");
	let rest = cut("sizes", "three", "end", "rest");
	assert_eq!(
		with(&["begin", "heads", "rest"], &[begin.clone(), rest]),
		Some(5)
	);
	// Only where the shape has a single number are there four.
	let first = cut("sizes", "nought", "one", "first");
	assert_eq!(
		with(&["begin", "heads", "first"], &[begin.clone(), first]),
		Some(7)
	);
	let tail = cut("sizes", "nought", "last", "tail");
	assert_eq!(with(&["tail", "heads"], &[tail]), Some(5));
	// Four in two ways: of one and one, and of two and none.
	let middle = cut("sizes", "last", "two", "middle");
	let ways = ["begin", "heads", "middle"];
	assert_eq!(with(&ways, &[begin.clone(), middle]), None);
	// Of two shapes, each may have as many as it likes.
	let other = [
		begin,
		("Shape", vec!["k"], "others", vec![]),
		cut("others", "three", "end", "rest"),
	];
	assert_eq!(with(&["begin", "heads", "rest"], &other), None);
}

#[test]
fn what_is_not_attention_is_left_alone() {
	type Change = fn(&mut Written);
	let changes: [(&str, Change); 13] = [
		("softmax over places", |it| {
			it.node("weights").3 = vec![number_attribute("axis", 2)]
		}),
		("old softmax without an axis", |it| {
			it.node("weights").3 = vec![];
			it.version = 11;
		}),
		("a mask", |it| {
			it.nodes
				.insert(8, ("Add", vec!["scores", "mask"], "masked", vec![]));
			it.node("weights").1 = vec!["masked"];
		}),
		("scores are shown", |it| it.outputs.push("weights")),
		("pooled values are used again", |it| {
			it.nodes.push(("Relu", vec!["pooled"], "more", vec![]));
			it.outputs.push("more");
		}),
		("keys are not transposed", |it| {
			it.node("kh").3 = transpose([0, 2, 1, 3])
		}),
		("heads stay outside", |it| {
			it.node("places").3 = transpose([0, 1, 2, 3])
		}),
		("the factor is a table", |it| {
			it.constants.retain(|(name, _)| *name != "factor");
			it.constants.push(("factor", ints(&[1, 2])));
		}),
		("the factor is given", |it| {
			it.constants.retain(|(name, _)| *name != "factor")
		}),
		("the factor turns signs", |it| {
			it.constants.retain(|(name, _)| *name != "factor");
			it.constants.push(("factor", float(-1.0)));
		}),
		("values have other heads", |it| {
			it.node("v4").1 = vec!["v", "other"];
			it.constants.push(("other", ints(&[0, -1, 1, 8])));
		}),
		("one batch of values for all", |it| {
			it.node("v4").1 = vec!["v", "other"];
			it.constants.push(("other", ints(&[1, -1, 3, 8])));
		}),
		("the softmax is the right side", |it| {
			it.node("pooled").1 = vec!["vh", "weights"]
		}),
	];
	for (what, change) in changes {
		let mut written = Written::new();
		change(&mut written);
		assert_eq!(written.found(), None, "{what}");
	}
}

#[test]
fn graphs_within_nodes_are_left_alone() {
	let mut written = Written::new();
	let within = attribute("body", 5, |out| put_bytes(out, 6, b""));
	written.nodes.push(("If", vec!["q"], "other", vec![within]));
	written.outputs.push("other");
	assert_eq!(fuse(&written.bytes()), None);
}

#[test]
fn numbers_that_would_take_for_ever_are_given_up() {
	let mut written = Written::new();
	written.constants.retain(|(name, _)| *name != "factor");
	written.constants.push(("a23", float(1.0)));
	const NAMES: [&str; 24] = [
		"factor", "a1", "a2", "a3", "a4", "a5", "a6", "a7", "a8", "a9", "a10", "a11", "a12", "a13",
		"a14", "a15", "a16", "a17", "a18", "a19", "a20", "a21", "a22", "a23",
	];
	for pair in NAMES.windows(2) {
		let twice = vec![pair[1], pair[1]];
		written.nodes.insert(6, ("Mul", twice, pair[0], vec![]));
	}
	let begun = std::time::Instant::now();
	assert_eq!(written.found(), None);
	assert!(begun.elapsed().as_secs() < 5);

	// A constant that is long to read, looked at again and again.
	let mut written = written.clone();
	let (_, tensor) = written.constants.last_mut().unwrap();
	tensor.extend([12 << 3 | 2, 0].repeat(1 << 19));
	let begun = std::time::Instant::now();
	assert_eq!(written.found(), None);
	assert!(begun.elapsed().as_secs() < 5);
}

proptest! {
	#[test]
	fn any_bytes_end_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
		let _ = fuse(&bytes);
	}

	/// What is damaged is fused or not, and reads again where it is.
	#[test]
	fn damaged_models_end_without_a_panic(
		damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
	) {
		let mut bytes = Written::new().bytes();
		for (place, byte) in damage {
			let place = place.index(bytes.len());
			bytes[place] = byte;
		}
		if let Some(fused) = fuse(&bytes) {
			prop_assert!(Model::read(&fused.bytes).is_some());
		}
	}
}
