//! A graph that runs.

use super::{
	bound::{Fixed, Inputs, Kept},
	error::graph_error,
	lost::{self, OnDevice},
	turn, values,
};
use crate::{
	backend::{Graph, Port, Tensor},
	cuda,
	stop::Interrupt,
	Device, Error, Stop,
};
use ort::session::{NoSelectedOutputs, RunOptions, Session};
use std::{
	borrow::Cow,
	path::{Path, PathBuf},
	sync::Arc,
};

/// What a run is told when the memory that it took is to go back to the device at its end.
const SHRINK: &str = "memory.enable_memory_arena_shrinkage";
/// Which recorded graph a run is: counted from 1, or this for none.
const GRAPH: &str = "gpu_graph_id";
const NO_GRAPH: i32 = -1;
/// Recordings of one graph; further sets of shapes run unrecorded. CUDA keeps each until the graph is let
/// go of.
const MAX_RECORDED: i32 = 8;

pub(super) struct SessionGraph {
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
pub(super) struct Run(pub(super) RunOptions<NoSelectedOutputs>);

impl Interrupt for Run {
	fn interrupt(&self) {
		if let Err(error) = self.0.terminate() {
			tracing::warn!(%error, "a run goes on that was to end");
		}
	}
}

impl SessionGraph {
	/// `gives_back` says whether a picture's last run returns the memory of its work to the device.
	pub(super) fn new(
		path: &Path,
		session: Session,
		cuda: Option<u32>,
		how: Inputs,
		gives_back: bool,
	) -> ort::Result<Self> {
		let run_options = graph_run(NO_GRAPH)?;
		// A graph that CUDA has recorded works in the memory that it found.
		let last_run = if gives_back && how != Inputs::Fixed {
			let arena = cuda.map_or_else(|| "cpu:0".into(), |number| format!("gpu:{number}"));
			let mut options = RunOptions::new()?;
			options.set(SHRINK, arena)?;
			Arc::new(Run(options))
		} else {
			run_options.clone()
		};
		Ok(Self {
			path: path.into(),
			inputs: session.inputs().iter().map(values::port).collect(),
			outputs: session.outputs().iter().map(values::port).collect(),
			session: OnDevice::new(cuda, session),
			run_options,
			last_run,
			cuda,
			how,
			kept: OnDevice::new(cuda, None),
			fixed: OnDevice::new(cuda, None),
			recorded: 0,
		})
	}

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
