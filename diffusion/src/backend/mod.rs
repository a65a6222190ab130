//! What the pipeline asks of whatever runs its graphs.
//!
//! [`OnnxRuntime`] runs a model folder's files. [`Analytic`] computes a diffusion whose answer is
//! known, so that pipeline and schedulers are tested without the library.

mod analytic;
mod onnx_runtime;

pub use analytic::Analytic;
pub use onnx_runtime::{write_optimised, Inputs, OnnxRuntime};

use crate::{Error, Stop};
use half::f16;
use std::path::Path;

/// What a tensor's elements are. Graphs of diffusion pipelines have no others at their ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Element {
	/// 32-bit float.
	F32,
	/// 16-bit float.
	F16,
	/// 32-bit integer.
	I32,
	/// 64-bit integer.
	I64,
}

/// An input or output of a graph.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Port {
	/// Its name.
	pub name: String,
	/// Its element type; `None` if it is no tensor of a type known here.
	pub element: Option<Element>,
	/// Its dimensions; `None` where the graph takes any size.
	pub shape: Vec<Option<usize>>,
}

/// The elements of a [`Tensor`], row by row.
#[derive(Clone, PartialEq, Debug)]
pub enum Values {
	/// 32-bit floats.
	F32(Vec<f32>),
	/// 16-bit floats.
	F16(Vec<f16>),
	/// 32-bit integers.
	I32(Vec<i32>),
	/// 64-bit integers.
	I64(Vec<i64>),
}

/// A dense array; the last dimension is the one whose elements are neighbours.
#[derive(Clone, PartialEq, Debug)]
pub struct Tensor {
	/// The dimensions.
	pub shape: Vec<usize>,
	/// The elements: as many as the dimensions' product.
	pub values: Values,
}

impl Tensor {
	/// `numbers` as `element`: rounded to nearest for [`Element::F16`], cut towards zero for
	/// integers.
	pub fn from_floats(element: Element, shape: &[usize], numbers: &[f32]) -> Self {
		let values = match element {
			Element::F32 => Values::F32(numbers.to_vec()),
			Element::F16 => Values::F16(numbers.iter().map(|&n| f16::from_f32(n)).collect()),
			Element::I32 => Values::I32(numbers.iter().map(|&n| n as i32).collect()),
			Element::I64 => Values::I64(numbers.iter().map(|&n| n as i64).collect()),
		};
		Self {
			shape: shape.to_vec(),
			values,
		}
	}

	/// Token ids as `element`; ids fit every type in use (a vocabulary has far less than 2^31).
	pub fn from_ids(element: Element, shape: &[usize], ids: &[u32]) -> Self {
		let values = match element {
			Element::F32 => Values::F32(ids.iter().map(|&id| id as f32).collect()),
			Element::F16 => Values::F16(ids.iter().map(|&id| f16::from_f32(id as f32)).collect()),
			Element::I32 => Values::I32(ids.iter().map(|&id| id as i32).collect()),
			Element::I64 => Values::I64(ids.iter().map(|&id| i64::from(id)).collect()),
		};
		Self {
			shape: shape.to_vec(),
			values,
		}
	}

	/// What its elements are.
	pub fn element(&self) -> Element {
		match self.values {
			Values::F32(_) => Element::F32,
			Values::F16(_) => Element::F16,
			Values::I32(_) => Element::I32,
			Values::I64(_) => Element::I64,
		}
	}

	/// The elements as 32-bit floats.
	pub fn into_floats(self) -> Vec<f32> {
		match self.values {
			Values::F32(numbers) => numbers,
			Values::F16(numbers) => numbers.iter().map(|n| n.to_f32()).collect(),
			Values::I32(numbers) => numbers.iter().map(|&n| n as f32).collect(),
			Values::I64(numbers) => numbers.iter().map(|&n| n as f32).collect(),
		}
	}
}

/// A graph, ready to run.
pub trait Graph: Send {
	/// Its inputs, in the file's order.
	fn inputs(&self) -> &[Port];

	/// Its outputs, in the file's order.
	fn outputs(&self) -> &[Port];

	/// Runs it on `inputs` (by name) and returns the outputs of these names; `stop` ends it with
	/// [`Error::Cancelled`].
	fn run(
		&mut self,
		inputs: &[(&str, &Tensor)],
		outputs: &[&str],
		stop: &Stop,
	) -> Result<Vec<Tensor>, Error>;

	/// The same, for the last run of a picture: memory that the graph has taken for its work goes back to
	/// the device at the end, where the backend can do that.
	fn run_last(
		&mut self,
		inputs: &[(&str, &Tensor)],
		outputs: &[&str],
		stop: &Stop,
	) -> Result<Vec<Tensor>, Error> {
		self.run(inputs, outputs, stop)
	}
}

/// Something that runs graphs.
pub trait Backend: Send + Sync {
	/// Makes the graph of this file ready.
	fn load(&self, path: &Path) -> Result<Box<dyn Graph>, Error>;

	/// The same, for a graph that runs many times a picture, on inputs of the same sizes.
	fn load_for_steps(&self, path: &Path) -> Result<Box<dyn Graph>, Error> {
		self.load(path)
	}
}
