//! Graphs on ONNX Runtime, on the CPU or one CUDA device.

use super::{Backend, Element, Graph, Port, Tensor, Values};
use crate::{runtime, stop::Interrupt, Device, Error, Stop};
use half::f16;
use ort::{
	ep::{self, ArenaExtendStrategy, ExecutionProvider},
	session::{
		builder::{GraphOptimizationLevel, SessionBuilder},
		NoSelectedOutputs, RunOptions, Session, SessionInputValue,
	},
	value::{DynValue, Outlet, TensorElementType, TensorRef, ValueType},
};
use std::{
	borrow::Cow,
	path::{Path, PathBuf},
	sync::Arc,
};

/// ONNX Runtime on one device.
#[derive(Clone, Copy, Debug)]
pub struct OnnxRuntime {
	/// The CUDA device's number; `None` for the CPU.
	cuda: Option<u32>,
	threads: usize,
	/// Whether graphs are rewritten to faster ones.
	optimised: bool,
}

impl OnnxRuntime {
	/// On the CPU, with this many threads a graph; 0 for one a physical core.
	pub fn cpu(threads: usize) -> Self {
		Self {
			cuda: None,
			threads,
			optimised: true,
		}
	}

	/// On the CUDA device of this number; `threads` run what stays on the CPU.
	pub fn cuda(number: u32, threads: usize) -> Self {
		Self {
			cuda: Some(number),
			threads,
			optimised: true,
		}
	}

	/// Runs graphs as they are in their files: slower, and with other roundings.
	pub fn unoptimised(self) -> Self {
		Self {
			optimised: false,
			..self
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
		let level = if self.optimised {
			GraphOptimizationLevel::All
		} else {
			GraphOptimizationLevel::Disable
		};
		let mut builder = Session::builder(environment()?)?
			.with_optimization_level(level)?
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

/// Weights of more than this stay in a file of their own: protobuf has no larger messages than 2 GB.
const EMBEDDED_WEIGHTS: u64 = 1 << 30;
/// That file's name, beside its graph.
const WEIGHTS_FILE: &str = "model.onnx_data";

/// Writes the graph of the file `from` to `to` as ONNX Runtime rewrites it for the CPU, except for what
/// only this machine's processor understands: constants folded, nodes fused. Makes `to`'s folder.
pub fn write_optimised(from: &Path, to: &Path) -> Result<(), Error> {
	runtime::environment()?;
	let read = |source| Error::Read {
		path: from.into(),
		source,
	};
	if let Some(parent) = to.parent() {
		std::fs::create_dir_all(parent).map_err(read)?;
	}
	let folder = from.parent().unwrap_or(Path::new("."));
	let mut weights: u64 = 0;
	for file in std::fs::read_dir(folder).map_err(read)? {
		let file = file.map_err(read)?.path();
		weights = weights.saturating_add(std::fs::metadata(file).map_err(read)?.len());
	}
	let write = || -> ort::Result<()> {
		let mut builder = Session::builder(environment()?)?
			// The next level lays weights out for the instruction set that is here.
			.with_optimization_level(GraphOptimizationLevel::Level2)?
			.with_optimized_model_path(to)?;
		if weights > EMBEDDED_WEIGHTS {
			builder = builder
				.with_config_entry(
					"session.optimized_model_external_initializers_file_name",
					WEIGHTS_FILE,
				)?
				.with_config_entry(
					"session.optimized_model_external_initializers_min_size_in_bytes",
					"1024",
				)?;
		}
		builder.commit_from_file(from).map(drop)
	};
	write().map_err(|error| Error::Graph {
		path: from.into(),
		problem: error.to_string(),
	})
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
		let run_options = Arc::new(Run(RunOptions::new().map_err(failed)?));
		let inputs = session.inputs().iter().map(port).collect();
		let outputs = session.outputs().iter().map(port).collect();
		Ok(Box::new(SessionGraph {
			path: path.into(),
			session,
			inputs,
			outputs,
			run_options,
		}))
	}
}

struct SessionGraph {
	path: PathBuf,
	session: Session,
	inputs: Vec<Port>,
	outputs: Vec<Port>,
	run_options: Arc<Run>,
}

/// The handle by which a run is ended.
struct Run(RunOptions<NoSelectedOutputs>);

impl Interrupt for Run {
	fn interrupt(&self) {
		if let Err(error) = self.0.terminate() {
			tracing::warn!(%error, "a run goes on that was to end");
		}
	}
}

impl SessionGraph {
	fn try_run(&mut self, inputs: &[(&str, &Tensor)], names: &[&str]) -> ort::Result<Vec<Tensor>> {
		let values = inputs
			.iter()
			.map(|&(name, tensor)| Ok((Cow::Borrowed(name), view(tensor)?)))
			.collect::<ort::Result<Vec<_>>>()?;
		let outputs = self.session.run_with_options(values, &self.run_options.0)?;
		names
			.iter()
			.map(|name| {
				let missing = || ort::Error::new(format!("there is no output `{name}`"));
				copy(outputs.get(name).ok_or_else(missing)?)
			})
			.collect()
	}
}

impl Graph for SessionGraph {
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
		let run = self.run_options.clone();
		let (result, stopped) = stop.during(run.clone(), || self.try_run(inputs, outputs));
		let failed = |error: ort::Error| Error::Graph {
			path: self.path.clone(),
			problem: error.to_string(),
		};
		if stopped {
			// The handle keeps saying so until it is told otherwise.
			run.0.unterminate().map_err(failed)?;
			return Err(Error::Cancelled);
		}
		result.unwrap_or(Ok(Vec::new())).map_err(failed)
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
