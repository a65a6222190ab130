//! Numbers that exporters compute in the graph, as far as they follow from the graph alone.

use super::{
	proto::{small_tensor, Node, Numbers},
	Graph,
};
use std::cell::Cell;

/// Values behind values; exporters write a dozen.
const MAX_DEPTH: usize = 24;
/// Values looked at for all numbers of a graph, some hundred for each of its attentions: a graph can be
/// made so that there are two ways at each of them.
pub(super) const MAX_VALUES: u32 = 1 << 20;
/// Numbers in a list; a shape has a handful.
const MAX_LIST: usize = 16;

/// A number as the graph computes it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Number {
	Int(i64),
	Float(f64),
}

impl Number {
	pub(super) fn float(self) -> f64 {
		match self {
			Self::Int(number) => number as f64,
			Self::Float(number) => number,
		}
	}
}

/// The last dimension of some values, where a number hangs on it.
pub(super) struct LastDimension<'a> {
	/// The values.
	pub(super) of: &'a dyn Fn(&str) -> bool,
	pub(super) size: i64,
}

/// The one number of a value; `None` if it is more than one, or hangs on what goes in.
pub(super) fn number(graph: &Graph<'_>, value: &str, last: &LastDimension<'_>) -> Option<Number> {
	Evaluation::new(graph, last).number(value, MAX_DEPTH)
}

/// A list of integers, each of them known or not, as it is where the value whose shape it is made of has
/// `rank` dimensions, and whether there is such a value. `None` where it is not known how many there are, or
/// where it is made of several shapes.
pub(super) fn list(
	graph: &Graph<'_>,
	value: &str,
	rank: usize,
) -> (Option<Vec<Option<i64>>>, bool) {
	let last = LastDimension {
		of: &|_| false,
		size: 0,
	};
	let evaluation = Evaluation {
		rank,
		..Evaluation::new(graph, &last)
	};
	let numbers = evaluation.list(value, MAX_DEPTH);
	(numbers, evaluation.ranked.get().is_some())
}

struct Evaluation<'g, 'a> {
	graph: &'g Graph<'a>,
	last: &'g LastDimension<'g>,
	/// Dimensions of the value whose shape a list is made of, and which value that is.
	rank: usize,
	ranked: Cell<Option<&'a str>>,
}

impl<'g, 'a> Evaluation<'g, 'a> {
	fn new(graph: &'g Graph<'a>, last: &'g LastDimension<'g>) -> Self {
		Self {
			graph,
			last,
			rank: 0,
			ranked: Cell::new(None),
		}
	}

	/// The depth below a value, if it is to be looked at.
	fn below(&self, depth: usize) -> Option<usize> {
		let left = &self.graph.values_left;
		left.set(left.get().checked_sub(1)?);
		depth.checked_sub(1)
	}

	/// What a constant holds.
	fn constant(&self, value: &str) -> Option<Numbers> {
		match self.graph.producer(value) {
			Some(node) if node.is("Constant") => small_tensor(node.tensor("value")?),
			Some(_) => None,
			None => small_tensor(self.graph.weights.get(value)?),
		}
	}

	fn number(&self, value: &str, depth: usize) -> Option<Number> {
		let depth = self.below(depth)?;
		if let Some(numbers) = self.constant(value) {
			return match numbers {
				Numbers::Int(numbers) if numbers.len() == 1 => Some(Number::Int(numbers[0])),
				Numbers::Float(numbers) if numbers.len() == 1 => Some(Number::Float(numbers[0])),
				_ => None,
			};
		}
		let node = self.graph.producer(value)?;
		let input = |index: usize| self.number(node.inputs.get(index)?, depth);
		match node.operator {
			_ if !matches!(node.domain, "" | "ai.onnx") => None,
			"Identity" | "Unsqueeze" | "Squeeze" | "Reshape" => input(0),
			"Cast" => cast(input(0)?, node.number("to")?),
			"Sqrt" => Some(Number::Float(input(0)?.float().sqrt())),
			"Reciprocal" => Some(Number::Float(1.0 / input(0)?.float())),
			"Pow" => Some(Number::Float(input(0)?.float().powf(input(1)?.float()))),
			"Add" | "Sub" | "Mul" | "Div" | "Mod" => operate(node.operator, input(0)?, input(1)?),
			"Gather" => {
				let place = self.int(node.inputs.get(1)?, depth)?;
				(place == -1).then(|| self.size(node))?
			},
			"Slice" => {
				let (begin, end) = self.bounds(node, depth)?;
				(begin == -1 && end >= i64::from(i32::MAX)).then(|| self.size(node))?
			},
			_ => None,
		}
	}

	fn int(&self, value: &str, depth: usize) -> Option<i64> {
		match self.number(value, depth)? {
			Number::Int(number) => Some(number),
			Number::Float(_) => None,
		}
	}

	/// The last dimension that a node takes of a shape.
	fn size(&self, node: &Node<'_>) -> Option<Number> {
		let shape = self.graph.producer(node.inputs.first()?)?;
		let known = is_whole_shape(shape) && (self.last.of)(shape.inputs.first()?);
		known.then_some(Number::Int(self.last.size))
	}

	/// From where to where a node cuts a list.
	fn bounds(&self, node: &Node<'_>, depth: usize) -> Option<(i64, i64)> {
		let stride = match node.inputs.get(4) {
			Some(stride) => self.int(stride, depth)?,
			None => 1,
		};
		let begin = self.int(node.inputs.get(1)?, depth)?;
		let end = self.int(node.inputs.get(2)?, depth)?;
		(stride == 1).then_some((begin, end))
	}

	/// A list, if it is known how many numbers it has.
	fn list(&self, value: &str, depth: usize) -> Option<Vec<Option<i64>>> {
		let depth = self.below(depth)?;
		match self.constant(value) {
			Some(Numbers::Int(numbers)) => return Some(numbers.into_iter().map(Some).collect()),
			Some(Numbers::Float(_)) => return None,
			None => {},
		}
		let node = self.graph.producer(value)?;
		let first = *node.inputs.first()?;
		if node.is("Concat") {
			let mut numbers = Vec::new();
			for part in &node.inputs {
				numbers.extend(self.list(part, depth)?);
				if numbers.len() > MAX_LIST {
					return None;
				}
			}
			Some(numbers)
		} else if node.is("Unsqueeze") {
			// What becomes a list by it is a single number, known or not.
			Some(vec![self.int(first, depth)])
		} else if node.is("Identity") || node.is("Cast") {
			self.list(first, depth)
		} else if is_whole_shape(node) {
			// Of a second one, the rank could be another.
			let is_first = self.ranked.get().is_none_or(|ranked| ranked == first);
			self.ranked.set(Some(first));
			is_first.then(|| vec![None; self.rank])
		} else if node.is("Slice") {
			let (begin, end) = self.bounds(node, depth)?;
			let mut numbers = self.list(first, depth)?;
			let (begin, end) = (place(begin, numbers.len()), place(end, numbers.len()));
			numbers.truncate(end);
			Some(numbers.split_off(begin.min(end)))
		} else {
			None
		}
	}
}

/// Whether it is a `Shape` of all dimensions.
fn is_whole_shape(node: &Node<'_>) -> bool {
	node.is("Shape") && !node.has("start") && !node.has("end")
}

/// A place in a list of so many numbers as `Slice` understands it: negative from the end, and never
/// outside.
fn place(bound: i64, length: usize) -> usize {
	let length = length as i64;
	let bound = if bound < 0 {
		bound.saturating_add(length)
	} else {
		bound
	};
	bound.clamp(0, length) as usize
}

/// To a type of TensorProto.
fn cast(number: Number, to: i64) -> Option<Number> {
	const FLOATS: [i64; 4] = [1, 10, 11, 16];
	const INTS: [i64; 2] = [6, 7];
	if FLOATS.contains(&to) {
		Some(Number::Float(number.float()))
	} else if INTS.contains(&to) {
		Some(match number {
			Number::Int(number) => Number::Int(number),
			Number::Float(number) => Number::Int(number as i64),
		})
	} else {
		None
	}
}

fn operate(operator: &str, a: Number, b: Number) -> Option<Number> {
	if let (Number::Int(a), Number::Int(b)) = (a, b) {
		return match operator {
			"Add" => a.checked_add(b),
			"Sub" => a.checked_sub(b),
			"Mul" => a.checked_mul(b),
			"Div" => a.checked_div(b),
			// As ONNX has it for integers: with the divisor's sign.
			"Mod" if b > 0 => a.checked_rem_euclid(b),
			_ => None,
		}
		.map(Number::Int);
	}
	let (a, b) = (a.float(), b.float());
	match operator {
		"Add" => Some(Number::Float(a + b)),
		"Sub" => Some(Number::Float(a - b)),
		"Mul" => Some(Number::Float(a * b)),
		"Div" => Some(Number::Float(a / b)),
		_ => None,
	}
}
