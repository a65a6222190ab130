//! Graphs on ONNX Runtime, on the CPU or one CUDA device.

use super::{Backend, Element, Graph, Port, Tensor, Values};
use crate::{runtime, Device, Error};
use half::f16;
use ort::{
	ep::{self, ArenaExtendStrategy, ExecutionProvider},
	session::{
		builder::{GraphOptimizationLevel, SessionBuilder},
		HasSelectedOutputs, OutputSelector, RunOptions, Session, SessionInputValue,
	},
	value::{DynValue, Outlet, TensorElementType, TensorRef, ValueType},
};
use std::{
	borrow::Cow,
	collections::HashMap,
	path::{Path, PathBuf},
};

/// ONNX Runtime on one device.
#[derive(Clone, Copy, Debug)]
pub struct OnnxRuntime {
	/// The CUDA device's number; `None` for the CPU.
	cuda: Option<u32>,
	threads: usize,
}

impl OnnxRuntime {
	/// On the CPU, with this many threads a graph; 0 for one a physical core.
	pub fn cpu(threads: usize) -> Self {
		Self {
			cuda: None,
			threads,
		}
	}

	/// On the CUDA device of this number; `threads` run what stays on the CPU.
	pub fn cuda(number: u32, threads: usize) -> Self {
		Self {
			cuda: Some(number),
			threads,
		}
	}

	/// Whether the loaded library has the CUDA provider at all, or why not.
	pub fn cuda_available() -> Result<(), String> {
		let info = runtime::init(None).map_err(|error| error.to_string())?;
		match ep::CUDA::is_available() {
			Ok(true) => Ok(()),
			Ok(false) => Err(format!(
				"{} is the CPU build of ONNX Runtime; run scripts/setup --cuda",
				info.path.display()
			)),
			Err(error) => Err(error.to_string()),
		}
	}

	fn builder(&self) -> Result<SessionBuilder, ort::Error> {
		let mut builder = Session::builder(environment()?)?
			.with_optimization_level(GraphOptimizationLevel::All)?
			// One graph at a time, its nodes one after the other: no order of addition is left to
			// chance, and the threads all work within a node.
			.with_parallel_execution(false)?
			.with_intra_threads(self.threads)?
			.with_deterministic_compute(true)?;
		if let Some(number) = self.cuda {
			let cuda = ep::CUDA::default()
				.with_device_id(i32::try_from(number).unwrap_or(i32::MAX))
				// Exhaustive search picks by measured time: another algorithm, and other sums, in
				// every session. The default is many times slower.
				.with_conv_algorithm_search(ep::cuda::ConvAlgorithmSearch::Heuristic)
				.with_tf32(false)
				.with_arena_extend_strategy(ArenaExtendStrategy::SameAsRequested)
				.build()
				// Without it ONNX Runtime runs everything on the CPU and says nothing.
				.error_on_failure();
			builder = builder.with_execution_providers([cuda])?;
		}
		Ok(builder)
	}
}

/// The environment, with the error that a session builder's `?` understands.
fn environment() -> Result<&'static ort::environment::Environment, ort::Error> {
	runtime::environment().map_err(ort::Error::wrap)
}

impl Backend for OnnxRuntime {
	fn load(&self, path: &Path) -> Result<Box<dyn Graph>, Error> {
		// Before any call of `ort`: without a library, `ort` panics.
		runtime::environment()?;
		let failed = |error: ort::Error| match self.cuda {
			Some(number) => Error::Device {
				device: Device::Cuda(number),
				problem: format!(
					"{error} (while loading {}); the GPU build of ONNX Runtime needs CUDA 13 and \
					 cuDNN 9 on the library path",
					path.display()
				),
			},
			None => Error::Graph {
				path: path.into(),
				problem: error.to_string(),
			},
		};
		let session = self
			.builder()
			.and_then(|mut builder| builder.commit_from_file(path))
			.map_err(failed)?;
		let inputs = session.inputs().iter().map(port).collect();
		let outputs = session.outputs().iter().map(port).collect();
		Ok(Box::new(SessionGraph {
			path: path.into(),
			session,
			inputs,
			outputs,
			run_options: HashMap::new(),
		}))
	}
}

struct SessionGraph {
	path: PathBuf,
	session: Session,
	inputs: Vec<Port>,
	outputs: Vec<Port>,
	/// One for each output that was ever asked for, so that the others are not copied out.
	run_options: HashMap<String, RunOptions<HasSelectedOutputs>>,
}

impl SessionGraph {
	fn try_run(&mut self, inputs: &[(&str, &Tensor)], output: &str) -> ort::Result<Option<Tensor>> {
		let values = inputs
			.iter()
			.map(|&(name, tensor)| Ok((Cow::Borrowed(name), view(tensor)?)))
			.collect::<ort::Result<Vec<_>>>()?;
		if !self.run_options.contains_key(output) {
			let selected = OutputSelector::no_default().with(output);
			self.run_options
				.insert(output.into(), RunOptions::new()?.with_outputs(selected));
		}
		let outputs = self
			.session
			.run_with_options(values, &self.run_options[output])?;
		outputs
			.get(output)
			.map_or(Ok(None), |value| copy(value).map(Some))
	}
}

impl Graph for SessionGraph {
	fn inputs(&self) -> &[Port] {
		&self.inputs
	}

	fn outputs(&self) -> &[Port] {
		&self.outputs
	}

	fn run(&mut self, inputs: &[(&str, &Tensor)], output: &str) -> Result<Tensor, Error> {
		let result = self.try_run(inputs, output);
		let failed = |problem: String| Error::Graph {
			path: self.path.clone(),
			problem,
		};
		result
			.map_err(|error| failed(error.to_string()))?
			.ok_or_else(|| {
				failed(format!(
					"output `{output}` is no tensor of floats or integers"
				))
			})
	}
}

fn port(outlet: &Outlet) -> Port {
	let (element, shape) = match outlet.dtype() {
		ValueType::Tensor { ty, shape, .. } => {
			let element = match ty {
				TensorElementType::Float32 => Some(Element::F32),
				TensorElementType::Float16 => Some(Element::F16),
				TensorElementType::Int32 => Some(Element::I32),
				TensorElementType::Int64 => Some(Element::I64),
				_ => None,
			};
			// A dimension of any size is -1.
			(
				element,
				shape
					.iter()
					.map(|&size| usize::try_from(size).ok())
					.collect(),
			)
		},
		_ => (None, Vec::new()),
	};
	Port {
		name: outlet.name().into(),
		element,
		shape,
	}
}

fn view(tensor: &Tensor) -> ort::Result<SessionInputValue<'_>> {
	let shape = tensor.shape.clone();
	Ok(match &tensor.values {
		Values::F32(values) => TensorRef::from_array_view((shape, values.as_slice()))?.into(),
		Values::F16(values) => TensorRef::from_array_view((shape, values.as_slice()))?.into(),
		Values::I32(values) => TensorRef::from_array_view((shape, values.as_slice()))?.into(),
		Values::I64(values) => TensorRef::from_array_view((shape, values.as_slice()))?.into(),
	})
}

/// The value as a tensor of our own; an error if it is none of a known type.
fn copy(value: &DynValue) -> ort::Result<Tensor> {
	let element = match value.dtype() {
		ValueType::Tensor { ty, .. } => *ty,
		_ => TensorElementType::Undefined,
	};
	let (shape, values) = match element {
		TensorElementType::Float16 => {
			let (shape, values) = value.try_extract_tensor::<f16>()?;
			(shape, Values::F16(values.to_vec()))
		},
		TensorElementType::Int32 => {
			let (shape, values) = value.try_extract_tensor::<i32>()?;
			(shape, Values::I32(values.to_vec()))
		},
		TensorElementType::Int64 => {
			let (shape, values) = value.try_extract_tensor::<i64>()?;
			(shape, Values::I64(values.to_vec()))
		},
		_ => {
			let (shape, values) = value.try_extract_tensor::<f32>()?;
			(shape, Values::F32(values.to_vec()))
		},
	};
	// A value's dimensions are never negative.
	let shape = shape.iter().map(|&size| size.max(0) as usize).collect();
	Ok(Tensor { shape, values })
}
