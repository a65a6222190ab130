//! Numbers that exporters compute in the graph, as far as they follow from the graph alone.

use super::{
	proto::{small_tensor, Node, Numbers},
	Graph,
};
use std::cell::Cell;

/// Values behind values; exporters write a dozen.
const MAX_DEPTH: usize = 24;
/// Values looked at for one number: a graph can be made so that there are two ways at each of them.
const MAX_VALUES: u32 = 1000;

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

/// The first numbers of a list of integers, up to where it is not known any more how many there are.
pub(super) fn list(graph: &Graph<'_>, value: &str) -> Vec<Option<i64>> {
	let last = LastDimension {
		of: &|_| false,
		size: 0,
	};
	let (numbers, _) = Evaluation::new(graph, &last).list(value, MAX_DEPTH);
	numbers
}

struct Evaluation<'g, 'a> {
	graph: &'g Graph<'a>,
	last: &'g LastDimension<'g>,
	values_left: Cell<u32>,
}

impl<'g, 'a> Evaluation<'g, 'a> {
	fn new(graph: &'g Graph<'a>, last: &'g LastDimension<'g>) -> Self {
		Self {
			graph,
			last,
			values_left: Cell::new(MAX_VALUES),
		}
	}

	/// The depth below a value, if it is to be looked at.
	fn below(&self, depth: usize) -> Option<usize> {
		self.values_left.set(self.values_left.get().checked_sub(1)?);
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
		let known = shape.is("Shape") && (self.last.of)(shape.inputs.first()?);
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

	/// The beginning of a list, and whether that is all of it.
	fn list(&self, value: &str, depth: usize) -> (Vec<Option<i64>>, bool) {
		const UNKNOWN: (Vec<Option<i64>>, bool) = (Vec::new(), false);
		let Some(depth) = self.below(depth) else {
			return UNKNOWN;
		};
		match self.constant(value) {
			Some(Numbers::Int(numbers)) => return (numbers.into_iter().map(Some).collect(), true),
			Some(Numbers::Float(_)) => return UNKNOWN,
			None => {},
		}
		let Some(node) = self.graph.producer(value) else {
			return UNKNOWN;
		};
		let first = || node.inputs.first().copied().unwrap_or_default();
		if node.is("Concat") {
			let mut numbers = Vec::new();
			for part in &node.inputs {
				let (part, is_whole) = self.list(part, depth);
				numbers.extend(part);
				if !is_whole || numbers.len() > 8 {
					return (numbers, false);
				}
			}
			(numbers, true)
		} else if node.is("Unsqueeze") {
			// What becomes a list by it is a single number, known or not.
			(vec![self.int(first(), depth)], true)
		} else if node.is("Identity") || node.is("Cast") {
			self.list(first(), depth)
		} else if node.is("Slice") {
			match self.bounds(node, depth) {
				Some((begin, end)) if 0 <= begin && begin <= end && end <= 8 => {
					(vec![None; (end - begin) as usize], true)
				},
				_ => UNKNOWN,
			}
		} else {
			UNKNOWN
		}
	}
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
