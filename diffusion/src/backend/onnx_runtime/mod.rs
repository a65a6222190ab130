//! Graphs on ONNX Runtime, on the CPU or one CUDA device.

mod bound;
mod lost;
mod turn;
mod values;

pub use bound::Inputs;

use super::{Backend, Graph, Port, Tensor};
use crate::{cuda, fusion, runtime, stop::Interrupt, Device, Error, Stop};
use bound::{Fixed, Kept};
use lost::OnDevice;
use ort::{
	ep::{self, ArenaExtendStrategy, ExecutionProvider},
	session::{
		builder::{GraphOptimizationLevel, SessionBuilder},
		NoSelectedOutputs, RunOptions, Session,
	},
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

/// What a run is told when the memory that it took is to go back to the device at its end.
const SHRINK: &str = "memory.enable_memory_arena_shrinkage";
/// Which recorded graph a run is: counted from 1, or this for none.
const GRAPH: &str = "gpu_graph_id";
const NO_GRAPH: i32 = -1;
/// Recordings of one graph; further sets of shapes run unrecorded. CUDA keeps each until the graph is let
/// go of.
const MAX_RECORDED: i32 = 8;

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
				// One kernel instead of two.
				.with_fuse_conv_bias(true)
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
		let graph = Source::read(from, true).map_err(ort::Error::wrap)?;
		commit(builder, from, graph.fused).map(drop)
	};
	write().map_err(|error| Error::Graph {
		path: from.into(),
		problem: error.to_string(),
	})
}

/// Where ONNX Runtime looks for weights in other files when it is given a graph from memory.
const WEIGHTS_FOLDER: &str = "session.model_external_initializers_file_folder_path";

/// The largest message of protobuf: what has more is ONNX Runtime's to refuse, unread.
const MAX_MESSAGE: u64 = i32::MAX as u64;

/// What is to be known of a graph's file before it is loaded.
struct Source {
	/// Whether its weights are in fp16.
	half: bool,
	/// The graph with its attention fused, if that is wanted and it has what can be.
	fused: Option<fusion::Fused>,
}

impl Source {
	/// The file is gone from memory at the end: a model can be half of it.
	fn read(path: &Path, fused: bool) -> std::io::Result<Self> {
		if std::fs::metadata(path)?.len() > MAX_MESSAGE {
			return Ok(Self {
				half: false,
				fused: None,
			});
		}
		let bytes = std::fs::read(path)?;
		Ok(Self {
			half: fusion::is_half(&bytes),
			fused: fused.then(|| fusion::fuse(&bytes)).flatten(),
		})
	}
}

/// The session of the graph in this file, or of the same graph fused.
fn commit(
	mut builder: SessionBuilder,
	path: &Path,
	fused: Option<fusion::Fused>,
) -> ort::Result<Session> {
	let Some(rewritten) = fused else {
		return builder.commit_from_file(path);
	};
	let folder = path.parent().unwrap_or(Path::new("."));
	let fused = builder
		.clone()
		.with_config_entry(WEIGHTS_FOLDER, folder.to_string_lossy())?
		.commit_from_memory(&rewritten.bytes);
	let not_the_graph = |problem: &str| {
		is_out_of_memory(problem)
			|| problem.contains(NOT_ALL_ON_GPU)
			|| problem.contains("CUDA failure")
	};
	match fused {
		Err(error) if !not_the_graph(&error.to_string()) => {
			tracing::warn!(path = %path.display(), %error, "its attention is not fused");
			builder.commit_from_file(path)
		},
		fused => {
			let attentions = rewritten.attentions;
			tracing::debug!(path = %path.display(), attentions, "attention fused");
			fused
		},
	}
}

/// The environment, with the error that a session builder's `?` understands.
fn environment() -> Result<&'static ort::environment::Environment, ort::Error> {
	runtime::environment().map_err(ort::Error::wrap)
}

/// How ONNX Runtime says that CUDA cannot record a graph: some of its nodes run on the CPU, and are not
/// about shapes alone.
const NOT_ALL_ON_GPU: &str = "cannot use the graph capture feature";

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
		let run_options = graph_run(NO_GRAPH).map_err(failed)?;
		let arena = match self.cuda {
			Some(number) => format!("gpu:{number}"),
			None => "cpu:0".into(),
		};
		// A graph that CUDA has recorded works in the memory that it found.
		let last_run = if self.gives_back && inputs != Inputs::Fixed {
			let mut options = RunOptions::new().map_err(failed)?;
			options.set(SHRINK, arena).map_err(failed)?;
			Arc::new(Run(options))
		} else {
			run_options.clone()
		};
		Ok(Box::new(SessionGraph {
			path: path.into(),
			inputs: session.inputs().iter().map(values::port).collect(),
			outputs: session.outputs().iter().map(values::port).collect(),
			session: OnDevice::new(self.cuda, session),
			run_options,
			last_run,
			cuda: self.cuda,
			how: inputs,
			kept: OnDevice::new(self.cuda, None),
			fixed: OnDevice::new(self.cuda, None),
			recorded: 0,
		}))
	}
}

struct SessionGraph {
	path: PathBuf,
	session: OnDevice<Session>,
	inputs: Vec<Port>,
	outputs: Vec<Port>,
	run_options: Arc<Run>,
	/// For a run after which the memory that runs took goes back to the device.
	last_run: Arc<Run>,
	cuda: Option<u32>,
	how: Inputs,
	kept: OnDevice<Option<Kept>>,
	/// The recording in use. It is let go of before any other run: that one works in the memory that the
	/// recording was made in, and what a recorded copy reads there would be another's.
	fixed: OnDevice<Option<Fixed>>,
	/// Recordings that were made.
	recorded: i32,
}

/// The handle of runs that are this graph.
fn graph_run(graph: i32) -> ort::Result<Arc<Run>> {
	let mut options = RunOptions::new()?;
	options.set(GRAPH, graph.to_string())?;
	Ok(Arc::new(Run(options)))
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
	/// One run as this graph gets its inputs.
	fn try_run(
		&mut self,
		run: &Run,
		inputs: &[(&str, &Tensor)],
		names: &[&str],
	) -> ort::Result<Vec<Tensor>> {
		if self.how == Inputs::Kept {
			let mut kept = match self.kept.take() {
				Some(kept) => kept,
				None => Kept::new(&self.session)?,
			};
			let outputs = kept.run(&mut self.session, run, inputs, names)?;
			*self.kept = Some(kept);
			return Ok(outputs);
		}
		let values = inputs
			.iter()
			.map(|&(name, tensor)| Ok((Cow::Borrowed(name), values::view(tensor)?)))
			.collect::<ort::Result<Vec<_>>>()?;
		let outputs = {
			let outputs = self.session.run_with_options(values, &run.0)?;
			values::all(&outputs, names)?
		};
		if self.how == Inputs::Fixed && self.recorded < MAX_RECORDED {
			// Now the outputs' shapes are known.
			self.recorded += 1;
			let run = graph_run(self.recorded)?;
			let like = names.iter().copied().zip(outputs.clone()).collect();
			*self.fixed = Some(Fixed::new(&self.session, self.cuda, inputs, like, run)?);
		}
		Ok(outputs)
	}

	fn run_as(
		&mut self,
		run: Arc<Run>,
		inputs: &[(&str, &Tensor)],
		outputs: &[&str],
		stop: &Stop,
	) -> Result<Vec<Tensor>, Error> {
		if let Some(number) = self.cuda {
			cuda::select(number);
		}
		let fixed = self
			.fixed
			.take()
			.filter(|fixed| fixed.fits(inputs, outputs));
		let records = fixed.as_ref().is_some_and(Fixed::is_new);
		let _turn = self.cuda.map(|_| turn::wait(records));
		let run = fixed.as_ref().map_or(run, Fixed::handle);
		let (result, stopped) = stop.during(run.clone(), || match fixed {
			Some(mut fixed) => {
				let outputs = fixed.run(&mut self.session, inputs)?;
				// After an error, or a stop, a recording can be half of one.
				*self.fixed = Some(fixed);
				Ok(outputs)
			},
			None => self.try_run(&run, inputs, outputs),
		});
		if stopped {
			// The handle keeps saying so until it is told otherwise.
			run.0.unterminate().map_err(|error| self.failed(&error))?;
			return Err(Error::Cancelled);
		}
		result
			.unwrap_or(Ok(Vec::new()))
			.map_err(|error| self.failed(&error))
	}

	fn failed(&self, error: &ort::Error) -> Error {
		if let Some(number) = self.cuda {
			lost::note(number, &error.to_string());
			if let Some(problem) = lost::why(number) {
				let device = Device::Cuda(number);
				return Error::Device { device, problem };
			}
		}
		graph_error(&self.path, error)
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
		self.run_as(self.run_options.clone(), inputs, outputs, stop)
	}

	fn run_last(
		&mut self,
		inputs: &[(&str, &Tensor)],
		outputs: &[&str],
		stop: &Stop,
	) -> Result<Vec<Tensor>, Error> {
		self.run_as(self.last_run.clone(), inputs, outputs, stop)
	}
}

/// What this graph's failure is.
fn graph_error(path: &Path, error: &ort::Error) -> Error {
	let (path, problem) = (path.into(), error.to_string());
	match is_out_of_memory(&problem) {
		true => Error::OutOfMemory { path, problem },
		false => Error::Graph { path, problem },
	}
}

/// Whether what ONNX Runtime or CUDA's libraries said is that memory ran out: they have no error of one
/// kind for it.
fn is_out_of_memory(problem: &str) -> bool {
	const SIGNS: [&str; 8] = [
		// ONNX Runtime's arena.
		"Failed to allocate memory",
		"Available memory of",
		// The CPU's allocator.
		"bad_alloc",
		"bad allocation",
		// CUDA's runtime; cuBLAS of CUDA 13 and before; cuDNN.
		"out of memory",
		"resource allocation failed",
		"_ALLOC_FAILED",
		"ALLOCATION_FAILED",
	];
	SIGNS.iter().any(|sign| problem.contains(sign))
}

#[cfg(test)]
mod tests {
	use super::*;

	/// As the libraries write it.
	#[test]
	fn memory_that_ran_out_is_told_from_other_failures() {
		for problem in [
			"Non-zero status code returned while running Conv node. Name:'/conv_in/Conv' Status Message: \
			 Failed to allocate memory for requested buffer of size 536870912",
			"Available memory of 12 is smaller than requested bytes of 4096",
			"CUDA failure 2: out of memory ; GPU=0 ; hostname=a ; expr=cudaMalloc((void**)&p, size);",
			"CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED ; GPU=0",
			"CUBLAS failure 3: the resource allocation failed ; GPU=0",
			"CUDNN failure 4: CUDNN_STATUS_ALLOC_FAILED ; GPU=0",
			"CUDNN failure 4004: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED ; GPU=0",
			"Non-zero status code returned while running Add node. Status Message: std::bad_alloc",
		] {
			assert!(is_out_of_memory(problem), "{problem}");
		}
		for problem in [
			"CUDA failure 700: an illegal memory access was encountered",
			"CUDNN failure 5000: CUDNN_STATUS_EXECUTION_FAILED",
			"Got invalid dimensions for input: sample",
		] {
			assert!(!is_out_of_memory(problem), "{problem}");
		}
	}
}
