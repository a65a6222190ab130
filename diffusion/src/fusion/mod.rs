//! Rewrites a graph before ONNX Runtime sees it: attention that an exporter wrote out becomes one node.
//!
//! PyTorch's exporter writes attention as products, a softmax and transpositions, whose tables of all
//! places by all places are most of what a large picture needs in memory and much of its time. ONNX
//! Runtime has an operator for the whole (`MultiHeadAttention` of the domain `com.microsoft`), which on
//! the CPU never holds the table (flash attention, Dao et al. 2022, arXiv:2205.14135); what ONNX Runtime
//! rewrites by itself at a load does not include it.
//!
//! The rewritten graph computes the same up to the last bits of a sum. The model's file and its identity
//! stay what they are. A graph that is not understood is left alone.

mod attention;
mod proto;
#[cfg(test)]
mod tests;
mod values;

use attention::Attention;
use proto::{fields, put_bytes, put_float, put_header, put_number, Field, Node};
use std::{
	cell::Cell,
	collections::{HashMap, HashSet},
};

/// A rewritten model.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fused {
	/// The model, as a file would have it. Weights in other files are where they were.
	pub bytes: Vec<u8>,
	/// How many attentions were found.
	pub attentions: usize,
}

/// The model of these bytes with each attention as one node; `None` where there is none.
pub fn fuse(model: &[u8]) -> Option<Fused> {
	let model = Model::read(model)?;
	let graph = Graph::read(model.graph, model.version)?;
	let attentions: Vec<Attention<'_>> = (0..graph.nodes.len())
		.filter_map(|node| attention::find(&graph, node))
		.collect();
	if attentions.is_empty() {
		return None;
	}
	let new = graph.with(&attentions);
	Some(Fused {
		bytes: model.with_graph(&new),
		attentions: attentions.len(),
	})
}

/// Whether most of the model's weights are in fp16.
pub fn is_half(model: &[u8]) -> bool {
	/// Of TensorProto's types.
	const FLOAT16: u64 = 10;
	let weights = || {
		let model = Model::read(model)?;
		let graph = fields(model.graph)?;
		let weights = graph.iter().filter(|field| field.number == Graph::WEIGHTS);
		weights
			.map(|field| proto::tensor_size(field.bytes()?))
			.collect::<Option<Vec<_>>>()
	};
	let (mut half, mut all) = (0_u64, 0_u64);
	for (kind, size) in weights().unwrap_or_default() {
		all = all.saturating_add(size);
		if kind == FLOAT16 {
			half = half.saturating_add(size);
		}
	}
	half > all / 2
}

/// The domain of ONNX Runtime's own operators.
const DOMAIN: &str = "com.microsoft";

/// ONNX' ModelProto.
struct Model<'a> {
	fields: Vec<Field<'a>>,
	graph: &'a [u8],
	/// Of ONNX' own operators.
	version: i64,
	has_domain: bool,
}

impl<'a> Model<'a> {
	const GRAPH: u64 = 7;
	const OPERATORS: u64 = 8;
	const FUNCTIONS: u64 = 25;

	fn read(bytes: &'a [u8]) -> Option<Self> {
		let fields = fields(bytes)?;
		let mut graphs = fields.iter().filter(|field| field.number == Self::GRAPH);
		let graph = graphs.next()?.bytes()?;
		let has_functions = fields.iter().any(|field| field.number == Self::FUNCTIONS);
		if graphs.next().is_some() || has_functions {
			return None;
		}
		let (mut version, mut has_domain) = (0, false);
		for field in fields.iter().filter(|it| it.number == Self::OPERATORS) {
			let (mut domain, mut number) = ("", 0);
			for field in proto::fields(field.bytes()?)? {
				match (field.number, field.content) {
					(1, _) => domain = field.text()?,
					(2, proto::Content::Number(value)) => number = value as i64,
					_ => {},
				}
			}
			match domain {
				"" | "ai.onnx" => version = number,
				DOMAIN => has_domain = true,
				_ => {},
			}
		}
		Some(Self {
			fields,
			graph,
			version,
			has_domain,
		})
	}

	/// The model with another graph.
	fn with_graph(&self, graph: &[Piece<'_>]) -> Vec<u8> {
		let length = graph.iter().map(|piece| piece.bytes().len()).sum();
		let mut out = Vec::with_capacity(length + 64);
		for field in &self.fields {
			if field.number == Self::GRAPH {
				put_header(&mut out, Self::GRAPH, length);
				graph.iter().for_each(|piece| out.extend(piece.bytes()));
			} else {
				out.extend(field.raw);
			}
		}
		if !self.has_domain {
			let mut operators = Vec::new();
			put_bytes(&mut operators, 1, DOMAIN.as_bytes());
			put_number(&mut operators, 2, 1);
			put_bytes(&mut out, Self::OPERATORS, &operators);
		}
		out
	}
}

/// A part of a message: one that was there, or a new one.
enum Piece<'a> {
	Old(&'a [u8]),
	New(Vec<u8>),
}

impl Piece<'_> {
	fn bytes(&self) -> &[u8] {
		match self {
			Self::Old(bytes) => bytes,
			Self::New(bytes) => bytes,
		}
	}
}

/// ONNX' GraphProto.
struct Graph<'a> {
	fields: Vec<Field<'a>>,
	/// In the file's order.
	nodes: Vec<Node<'a>>,
	/// The node that makes a value.
	producers: HashMap<&'a str, usize>,
	/// The nodes that use a value.
	uses: HashMap<&'a str, Vec<usize>>,
	/// Tensors of the file, as it has them.
	weights: HashMap<&'a str, &'a [u8]>,
	outputs: HashSet<&'a str>,
	version: i64,
	/// How many values are still looked at for numbers that the graph computes.
	values_left: Cell<u32>,
}

impl<'a> Graph<'a> {
	const NODE: u64 = 1;
	const WEIGHTS: u64 = 5;
	const OUTPUT: u64 = 12;

	fn read(bytes: &'a [u8], version: i64) -> Option<Self> {
		let mut graph = Self {
			fields: fields(bytes)?,
			nodes: Vec::new(),
			producers: HashMap::new(),
			uses: HashMap::new(),
			weights: HashMap::new(),
			outputs: HashSet::new(),
			version,
			values_left: Cell::new(values::MAX_VALUES),
		};
		for field in &graph.fields {
			match field.number {
				Self::NODE => {
					let node = Node::read(field)?;
					// Which of the outer values it uses, its inputs do not say.
					if node.has_graph() {
						return None;
					}
					let index = graph.nodes.len();
					for output in &node.outputs {
						graph.producers.insert(output, index);
					}
					for input in &node.inputs {
						graph.uses.entry(input).or_default().push(index);
					}
					graph.nodes.push(node);
				},
				Self::WEIGHTS => {
					let tensor = field.bytes()?;
					graph.weights.insert(proto::tensor_name(tensor)?, tensor);
				},
				Self::OUTPUT => {
					let name = proto::fields(field.bytes()?)?;
					let name = name.iter().find(|field| field.number == 1)?.text()?;
					graph.outputs.insert(name);
				},
				_ => {},
			}
		}
		Some(graph)
	}

	fn producer(&self, value: &str) -> Option<&Node<'a>> {
		self.producers.get(value).map(|index| &self.nodes[*index])
	}

	/// The one node that uses what a node makes, if it is one, and once.
	fn only_use(&self, node: usize) -> Option<usize> {
		let [output] = self.nodes[node].outputs[..] else {
			return None;
		};
		match self.uses.get(output).map(Vec::as_slice) {
			Some([user]) if !self.outputs.contains(output) => Some(*user),
			_ => None,
		}
	}

	/// The graph's parts with attentions as nodes, and without the nodes that nothing uses any more.
	fn with(&self, attentions: &[Attention<'a>]) -> Vec<Piece<'a>> {
		let by_end: HashMap<usize, (usize, &Attention<'a>)> = attentions
			.iter()
			.enumerate()
			.map(|(number, attention)| (attention.end, (number, attention)))
			.collect();
		// Not by going through the nodes from the end: some writers put one behind those that use it.
		let mut needed: Vec<&str> = self.outputs.iter().copied().collect();
		let mut kept = vec![false; self.nodes.len()];
		while let Some(value) = needed.pop() {
			let Some(&index) = self.producers.get(value) else {
				continue;
			};
			if std::mem::replace(&mut kept[index], true) {
				continue;
			}
			match by_end.get(&index) {
				Some((_, it)) => needed.extend([it.query, it.key, it.value]),
				None => needed.extend(&self.nodes[index].inputs),
			}
		}
		let mut pieces = Vec::with_capacity(self.fields.len());
		let mut index = 0;
		for field in &self.fields {
			if field.number != Self::NODE {
				pieces.push(Piece::Old(field.raw));
				continue;
			}
			match by_end.get(&index) {
				_ if !kept[index] => {},
				Some((number, attention)) => {
					let output = self.nodes[index].outputs[0];
					pieces.push(Piece::New(attention_nodes(*number, attention, output)));
				},
				None => pieces.push(Piece::Old(self.nodes[index].raw)),
			}
			index += 1;
		}
		pieces
	}
}

/// The nodes that are an attention: `output` has its shape as the `Transpose` at its end gave it.
fn attention_nodes(number: usize, attention: &Attention<'_>, output: &str) -> Vec<u8> {
	let name = |part: &str| format!("cuckoo/attention.{number}/{part}");
	let (rows, heads) = (name("rows"), name("heads"));
	let mut out = Vec::new();
	// Batch and places stay; heads and their numbers become one dimension, and two again.
	constant(&mut out, &rows, &[0, 0, -1]);
	constant(&mut out, &heads, &[0, 0, attention.heads, -1]);
	let inputs = [
		("query", attention.query),
		("key", attention.key),
		("value", attention.value),
	]
	.map(|(part, value)| {
		let flat = name(part);
		node(&mut out, "Reshape", "", &[value, &rows], &flat, &[]);
		flat
	});
	let attended = name("attended");
	let mut attributes = vec![number_attribute("num_heads", attention.heads)];
	attributes.extend(attention.scale.map(|scale| float_attribute("scale", scale)));
	node(
		&mut out,
		"MultiHeadAttention",
		DOMAIN,
		&inputs.each_ref().map(String::as_str),
		&attended,
		&attributes,
	);
	node(&mut out, "Reshape", "", &[&attended, &heads], output, &[]);
	out
}

/// Appends a node with one output.
fn node(
	out: &mut Vec<u8>,
	operator: &str,
	domain: &str,
	inputs: &[&str],
	output: &str,
	attributes: &[Vec<u8>],
) {
	let mut node = Vec::new();
	for input in inputs {
		put_bytes(&mut node, 1, input.as_bytes());
	}
	put_bytes(&mut node, 2, output.as_bytes());
	// Its name, by which errors and profiles tell of it.
	put_bytes(&mut node, 3, output.as_bytes());
	put_bytes(&mut node, 4, operator.as_bytes());
	for attribute in attributes {
		put_bytes(&mut node, 5, attribute);
	}
	if !domain.is_empty() {
		put_bytes(&mut node, 7, domain.as_bytes());
	}
	put_bytes(out, Graph::NODE, &node);
}

/// Types of AttributeProto.
const FLOAT: u64 = 1;
const INT: u64 = 2;
const TENSOR: u64 = 4;

fn attribute(name: &str, kind: u64, put: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
	let mut attribute = Vec::new();
	put_bytes(&mut attribute, 1, name.as_bytes());
	put(&mut attribute);
	put_number(&mut attribute, 20, kind);
	attribute
}

fn number_attribute(name: &str, number: i64) -> Vec<u8> {
	attribute(name, INT, |out| put_number(out, 3, number as u64))
}

fn float_attribute(name: &str, number: f32) -> Vec<u8> {
	attribute(name, FLOAT, |out| put_float(out, 2, number))
}

/// Appends a node that is a list of integers.
fn constant(out: &mut Vec<u8>, output: &str, numbers: &[i64]) {
	/// Of TensorProto.
	const INT64: u64 = 7;
	let mut tensor = Vec::new();
	put_number(&mut tensor, 1, numbers.len() as u64);
	put_number(&mut tensor, 2, INT64);
	let bytes: Vec<u8> = numbers.iter().flat_map(|it| it.to_le_bytes()).collect();
	put_bytes(&mut tensor, 9, &bytes);
	let value = attribute("value", TENSOR, |out| put_bytes(out, 5, &tensor));
	node(out, "Constant", "", &[], output, &[value]);
}
