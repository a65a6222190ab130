//! Graphs on ONNX Runtime, on the CPU or one CUDA device.

mod bound;
mod error;
mod graph;
mod load;
mod lost;
mod turn;
mod values;

pub use bound::Inputs;
pub use load::write_optimised;

use super::{Backend, Graph};
use crate::{cuda, runtime, Device, Error};
use error::{graph_error, is_out_of_memory, NOT_ALL_ON_GPU};
use graph::SessionGraph;
use load::{commit, environment, Source};
use ort::{
	ep::{self, ArenaExtendStrategy, ExecutionProvider},
	session::{
		builder::{GraphOptimizationLevel, SessionBuilder},
		Session,
	},
};
use std::path::Path;

/// ONNX Runtime on one device.
#[derive(Clone, Copy, Debug)]
pub struct OnnxRuntime {
	/// The CUDA device's number; `None` for the CPU.
	cuda: Option<u32>,
	threads: usize,
	/// Whether ONNX Runtime rewrites graphs to faster ones.
	optimised: bool,
	/// Whether this engine does, before it.
	fused: bool,
	/// Bytes that each graph may take of the GPU's memory; as much as there is if absent.
	memory_limit: Option<u64>,
	/// Whether memory goes back to the device at a picture's end.
	gives_back: bool,
	inputs: Inputs,
}

impl OnnxRuntime {
	/// On the CPU, with this many threads a graph; 0 for one a physical core.
	pub fn cpu(threads: usize) -> Self {
		Self {
			cuda: None,
			threads,
			optimised: true,
			fused: true,
			memory_limit: None,
			// The system takes back what it needs, and asking for it anew takes time.
			gives_back: false,
			inputs: Inputs::HandedOver,
		}
	}

	/// On the CUDA device of this number; `threads` run what stays on the CPU.
	pub fn cuda(number: u32, threads: usize) -> Self {
		Self {
			cuda: Some(number),
			threads,
			optimised: true,
			fused: true,
			memory_limit: None,
			gives_back: true,
			inputs: Inputs::Kept,
		}
	}

	/// Runs graphs as they are in their files: slower, and with other roundings.
	pub fn unoptimised(self) -> Self {
		Self {
			optimised: false,
			..self.unfused()
		}
	}

	/// Leaves it to ONNX Runtime alone to make graphs faster, which does not [fuse](fusion) their
	/// attention.
	pub fn unfused(self) -> Self {
		Self {
			fused: false,
			..self
		}
	}

	/// Gives each graph at most this much of the GPU's memory. Has no meaning on the CPU.
	pub fn limited(self, memory_limit: Option<u64>) -> Self {
		Self {
			memory_limit,
			..self
		}
	}

	/// Whether a graph keeps the memory of its work for the next picture, or gives it back. The default
	/// is to keep it on the CPU, and to give it back on a GPU, where other models wait for it.
	pub fn giving_back(self, gives_back: bool) -> Self {
		Self { gives_back, ..self }
	}

	/// How graphs get their inputs. The default is to hand them over on the CPU, where there is no way to
	/// save, and to keep them on a GPU. [`Inputs::Fixed`] is for the graph of the steps alone; the others,
	/// which run once or twice a picture, keep theirs.
	pub fn inputs(self, inputs: Inputs) -> Self {
		Self { inputs, ..self }
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

	fn builder(&self, inputs: Inputs, half: bool) -> Result<SessionBuilder, ort::Error> {
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
			let mut cuda = ep::CUDA::default()
				.with_device_id(i32::try_from(number).unwrap_or(i32::MAX))
				// The same algorithm in each session, by cuDNN's best guess. The default is its last
				// resort, many times slower.
				.with_conv_algorithm_search(ep::cuda::ConvAlgorithmSearch::Heuristic)
				// Fp32 would be rounded to 10 bits. Without it, convolutions in fp16 get no tensor
				// cores either, which round nothing there.
				.with_tf32(half)
				.with_arena_extend_strategy(ArenaExtendStrategy::SameAsRequested);
			if inputs == Inputs::Fixed {
				cuda = cuda.with_cuda_graph(true);
			}
			if let Some(limit) = self.memory_limit {
				cuda = cuda.with_memory_limit(usize::try_from(limit).unwrap_or(usize::MAX));
			}
			// Without it ONNX Runtime runs everything on the CPU and says nothing.
			let cuda = cuda.build().error_on_failure();
			builder = builder.with_execution_providers([cuda])?;
		}
		Ok(builder)
	}
}

impl Backend for OnnxRuntime {
	fn load(&self, path: &Path) -> Result<Box<dyn Graph>, Error> {
		let inputs = match self.inputs {
			Inputs::Fixed => Inputs::Kept,
			inputs => inputs,
		};
		self.load_with(path, inputs)
	}

	fn load_for_steps(&self, path: &Path) -> Result<Box<dyn Graph>, Error> {
		match self.load_with(path, self.inputs) {
			Err(Error::Device { problem, .. })
				if self.inputs == Inputs::Fixed && problem.contains(NOT_ALL_ON_GPU) =>
			{
				tracing::warn!(
					path = %path.display(),
					"its steps are not recorded by CUDA, and run as without: some of its nodes run on the CPU"
				);
				self.load(path)
			},
			loaded => loaded,
		}
	}
}

impl OnnxRuntime {
	fn load_with(&self, path: &Path, inputs: Inputs) -> Result<Box<dyn Graph>, Error> {
		// Before any call of `ort`: without a library, `ort` panics.
		runtime::environment()?;
		if let Some((number, problem)) = self.cuda.and_then(|it| Some((it, lost::why(it)?))) {
			let device = Device::Cuda(number);
			return Err(Error::Device { device, problem });
		}
		let mut missing = Vec::new();
		if let Some(number) = self.cuda {
			// One that is missing may not be needed by this GPU and graph: then nothing is said of it.
			missing = cuda::load_libraries();
			cuda::select(number);
		}
		let failed = |error: ort::Error| match self.cuda {
			Some(number) if !is_out_of_memory(&error.to_string()) => {
				let mut problem = error.to_string();
				lost::note(number, &problem);
				problem.push_str(&format!(" (while loading {})", path.display()));
				for library in &missing {
					problem.push_str(&format!("; {library}"));
				}
				let device = Device::Cuda(number);
				Error::Device { device, problem }
			},
			_ => graph_error(path, &error),
		};
		let source = Source::read(path, self.fused).map_err(|source| Error::Read {
			path: path.into(),
			source,
		})?;
		let _turn = self.cuda.map(|_| turn::wait(false));
		let session = self
			.builder(inputs, source.half)
			.and_then(|builder| commit(builder, path, source.fused))
			.map_err(failed)?;
		let graph = SessionGraph::new(path, session, self.cuda, inputs, self.gives_back);
		Ok(Box::new(graph.map_err(failed)?))
	}
}
