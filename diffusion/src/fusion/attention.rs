//! Finds attention that is written out: `softmax(Q·Kᵀ·scale)·V` over heads.
//!
//! What exporters write, with each number of `Q`, `K` and `V` a tensor of batch, places, heads and
//! numbers of a head, made by a `Reshape`:
//!
//! ```text
//! Q ─ Transpose ─ (Mul) ─┐
//! K ─ Transpose ─ (Mul) ─ MatMul ─ (Mul) ─ Softmax ─┐
//! V ─ Transpose ──────────────────────────────────── MatMul ─ Transpose ─
//! ```
//!
//! Factors may stand before, between or after, as constants or computed from the size of a head; the
//! transpositions of `K` may be one or two.

use super::{
	values::{self, LastDimension},
	Graph,
};

/// From batch, places, heads, numbers to batch, heads, places, numbers, and back.
const HEADS_OUTSIDE: [usize; 4] = [0, 2, 1, 3];
/// The same with places and numbers exchanged, as a product's right side needs `K`.
const HEADS_OUTSIDE_TRANSPOSED: [usize; 4] = [0, 2, 3, 1];
/// Nodes between a product and what it is of.
const MAX_BETWEEN: usize = 8;
/// More heads than any model has.
const MAX_HEADS: i64 = 1024;

/// An attention that was found.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Attention<'a> {
	/// The node at the end, a `Transpose` to batch, places, heads, numbers.
	pub(super) end: usize,
	/// The values that go in, of that shape.
	pub(super) query: &'a str,
	pub(super) key: &'a str,
	pub(super) value: &'a str,
	pub(super) heads: i64,
	/// What products are multiplied with; `None` where it is one by the root of a head's size.
	pub(super) scale: Option<f32>,
}

/// The attention at this node, if it is the `Softmax` of one.
pub(super) fn find<'a>(graph: &Graph<'a>, softmax: usize) -> Option<Attention<'a>> {
	let node = &graph.nodes[softmax];
	if !node.is("Softmax") || !softmax_is_over_last(graph, softmax) {
		return None;
	}
	let scores = Operand::behind(graph, node.inputs.first()?)?;
	let product = graph.producer(scores.value)?;
	if !product.is("MatMul") || scores.order != IDENTITY {
		return None;
	}
	// The softmax is the left side of the product with the values.
	let pooling = graph.only_use(softmax)?;
	let end = graph.only_use(pooling)?;
	let pooling = &graph.nodes[pooling];
	if !pooling.is("MatMul") || pooling.inputs.first() != node.outputs.first() {
		return None;
	}
	if !graph.nodes[end].is("Transpose") || order(graph, end)? != HEADS_OUTSIDE {
		return None;
	}
	let query = Operand::behind(graph, product.inputs.first()?)?;
	let key = Operand::behind(graph, product.inputs.get(1)?)?;
	let value = Operand::behind(graph, pooling.inputs.get(1)?)?;
	let orders = [query.order, key.order, value.order];
	if orders != [HEADS_OUTSIDE, HEADS_OUTSIDE_TRANSPOSED, HEADS_OUTSIDE]
		|| !value.factors.is_empty()
	{
		return None;
	}
	// Products take one of a batch of one for each of the other side's batch, ONNX Runtime's operator does
	// not: where a batch is in the file, it is that of all three.
	let (batch, heads) = batch_and_heads(graph, query.value)?;
	for other in [key.value, value.value] {
		if batch_and_heads(graph, other)? != (batch, heads) {
			return None;
		}
	}
	Some(Attention {
		end,
		query: query.value,
		key: key.value,
		value: value.value,
		heads,
		scale: scale(graph, &scores, &[&query, &key])?,
	})
}

const IDENTITY: [usize; 4] = [0, 1, 2, 3];

/// A value with what was done to it.
struct Operand<'a> {
	value: &'a str,
	/// Which of its dimensions each dimension is.
	order: [usize; 4],
	factors: Vec<Factor<'a>>,
	/// The values on the way, `value` included, with the order as it was there.
	way: Vec<(&'a str, [usize; 4])>,
}

struct Factor<'a> {
	value: &'a str,
	divides: bool,
}

impl<'a> Operand<'a> {
	/// Goes back from a value over factors and transpositions.
	fn behind(graph: &Graph<'a>, value: &'a str) -> Option<Self> {
		let mut operand = Self {
			value,
			order: IDENTITY,
			factors: Vec::new(),
			way: Vec::new(),
		};
		for _ in 0..MAX_BETWEEN {
			operand.way.push((operand.value, operand.order));
			let Some(index) = graph.producers.get(operand.value).copied() else {
				return Some(operand);
			};
			let node = &graph.nodes[index];
			let input = |place: usize| node.inputs.get(place).copied();
			if node.is("Transpose") {
				let inner = order(graph, index)?;
				operand.order = operand.order.map(|dimension| inner[dimension]);
				operand.value = input(0)?;
			} else if node.is("Identity") {
				operand.value = input(0)?;
			} else if node.is("Mul") || node.is("Div") {
				let divides = node.is("Div");
				let (mut of, mut by) = (input(0)?, input(1)?);
				if !divides && is_number(graph, of) {
					(of, by) = (by, of);
				}
				if !is_number(graph, by) {
					return None;
				}
				operand.factors.push(Factor { value: by, divides });
				operand.value = of;
			} else {
				return Some(operand);
			}
		}
		None
	}
}

impl Operand<'_> {
	/// Whether a value on the way has the last dimension of `value`, a head's size, as its own last.
	fn ends_in_heads(&self, name: &str) -> bool {
		self.way.iter().any(|(value, order)| {
			let is_last = |dimension: usize| order[dimension] == 3 && self.order[dimension] == 3;
			*value == name && (0..4).any(is_last)
		})
	}
}

/// A `Transpose`'s order of four dimensions.
fn order(graph: &Graph<'_>, node: usize) -> Option<[usize; 4]> {
	let order: [i64; 4] = graph.nodes[node].numbers("perm")?.try_into().ok()?;
	let mut sorted = order;
	sorted.sort_unstable();
	(sorted == [0, 1, 2, 3]).then_some(order.map(|dimension| dimension as usize))
}

/// Whether it is over the last dimension: what no axis means depends on the version.
fn softmax_is_over_last(graph: &Graph<'_>, node: usize) -> bool {
	match graph.nodes[node].number("axis") {
		Some(axis) => axis == -1 || axis == 3,
		None => graph.version >= 13,
	}
}

/// Whether it is a single number, whatever the size of a head.
fn is_number(graph: &Graph<'_>, value: &str) -> bool {
	let any = LastDimension {
		of: &|_| true,
		size: 1,
	};
	values::number(graph, value, &any).is_some()
}

/// The batch, where the file says it, and how many heads a value of batch, places, heads and numbers has: by
/// the `Reshape` that makes it.
fn batch_and_heads(graph: &Graph<'_>, value: &str) -> Option<(Option<i64>, i64)> {
	/// More dimensions than any value has.
	const MAX_RANK: usize = 12;
	let node = graph.producer(value)?;
	// Whose zeros could mean an empty dimension.
	if !node.is("Reshape") || node.number("allowzero").unwrap_or(0) != 0 {
		return None;
	}
	let shape = node.inputs.get(1)?;
	let mut found = None;
	for rank in 0..=MAX_RANK {
		// Of any other rank, what is made by it would have no four dimensions to be transposed.
		let (list, is_ranked) = values::list(graph, shape, rank);
		if let Some(&[batch, _, heads, _]) = list.as_deref() {
			let here = (batch.filter(|batch| *batch > 0), heads?);
			if *found.get_or_insert(here) != here {
				return None;
			}
		}
		if !is_ranked {
			break;
		}
	}
	// A rank that was not looked at could have been another answer.
	let is_sure = graph.values_left.get() > 0;
	found.filter(|(_, heads)| is_sure && (1..=MAX_HEADS).contains(heads))
}

/// What the products are multiplied with in all: `Some(None)` for one by the root of a head's size. Of
/// `sides` the last dimension is that size, of the scores it is not.
fn scale(graph: &Graph<'_>, scores: &Operand<'_>, sides: &[&Operand<'_>]) -> Option<Option<f32>> {
	/// Sizes of heads to try it on, which is a proof for what exporters write.
	const SIZES: [i64; 4] = [8, 40, 64, 160];
	/// Half of fp16's last place: exporters compute it in the graph's precision.
	const TOLERANCE: f64 = 1.0 / 2048.0;
	let ends_in_heads = |name: &str| sides.iter().any(|side| side.ends_in_heads(name));
	let at = |size: i64| -> Option<f64> {
		let last = LastDimension {
			of: &ends_in_heads,
			size,
		};
		let mut scale = 1.0;
		let of_sides = sides.iter().flat_map(|side| &side.factors);
		for factor in scores.factors.iter().chain(of_sides) {
			let number = values::number(graph, factor.value, &last)?.float();
			scale *= if factor.divides { 1.0 / number } else { number };
		}
		Some(scale)
	};
	let scales = SIZES.map(at);
	let first = scales[0]?;
	if scales.iter().all(|scale| *scale == Some(first)) {
		return (first.is_finite() && first > 0.0).then_some(Some(first as f32));
	}
	SIZES
		.iter()
		.zip(scales)
		.all(|(size, scale)| {
			let usual = 1.0 / (*size as f64).sqrt();
			scale.is_some_and(|scale| (scale / usual - 1.0).abs() < TOLERANCE)
		})
		.then_some(None)
}
