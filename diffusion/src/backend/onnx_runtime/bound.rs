//! Inputs and outputs that stay where they are from run to run.

use super::{
	graph::Run,
	values::{all, copy, empty, owned, put},
};
use crate::backend::Tensor;
use ort::{
	memory::{AllocationDevice, Allocator, AllocatorType, MemoryInfo, MemoryType},
	session::{IoBinding, Session},
	value::DynTensor,
};
use std::{
	collections::BTreeMap,
	sync::Arc,
	thread::{self, ThreadId},
};

/// How a graph gets its inputs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Inputs {
	/// All of them with each run.
	HandedOver,
	/// One that is the same as in the run before stays on the device, such as a prompt's embedding over
	/// the steps.
	Kept,
	/// Inputs and outputs have addresses of their own while their shapes are those of the run before. On a
	/// GPU, CUDA records such a run as a graph, and replays it from then on. All nodes must run there.
	Fixed,
}

/// Inputs that lie where the graph wants them.
pub(super) struct Kept {
	binding: IoBinding,
	/// What was bound, by the input's name.
	inputs: BTreeMap<String, Tensor>,
}

impl Kept {
	pub(super) fn new(session: &Session) -> ort::Result<Self> {
		Ok(Self {
			binding: session.create_binding()?,
			inputs: BTreeMap::new(),
		})
	}

	/// After an error it cannot be used again.
	pub(super) fn run(
		&mut self,
		session: &mut Session,
		run: &Run,
		inputs: &[(&str, &Tensor)],
		names: &[&str],
	) -> ort::Result<Vec<Tensor>> {
		for &(name, tensor) in inputs {
			if self.inputs.get(name) != Some(tensor) {
				self.binding.bind_input(name, &owned(tensor)?)?;
				self.inputs.insert(name.into(), tensor.clone());
			}
		}
		// Bound anew each time: ONNX Runtime would want the shapes of the run before.
		self.binding.clear_outputs();
		let cpu = MemoryInfo::new(
			AllocationDevice::CPU,
			0,
			AllocatorType::Device,
			MemoryType::CPUOutput,
		)?;
		for name in names {
			self.binding.bind_output_to_device(*name, &cpu)?;
		}
		self.binding.synchronize_inputs()?;
		let outputs = session.run_binding_with_options(&self.binding, &run.0)?;
		self.binding.synchronize_outputs()?;
		all(&outputs, names)
	}
}

/// Runs of one set of shapes.
pub(super) struct Fixed {
	/// ONNX Runtime has recordings of each thread.
	thread: ThreadId,
	/// Whether it has not been run.
	is_new: bool,
	binding: IoBinding,
	inputs: Vec<FixedInput>,
	outputs: Vec<FixedOutput>,
	run: Arc<Run>,
}

struct FixedInput {
	name: String,
	/// What is in its place.
	content: Tensor,
	place: DynTensor,
}

struct FixedOutput {
	name: String,
	place: DynTensor,
	/// Of the same shape, where the CPU can read it.
	read: DynTensor,
}

impl Fixed {
	/// For runs on inputs like these, with outputs like these. `run` names the graph that they are.
	pub(super) fn new(
		session: &Session,
		cuda: Option<u32>,
		inputs: &[(&str, &Tensor)],
		outputs: Vec<(&str, Tensor)>,
		run: Arc<Run>,
	) -> ort::Result<Self> {
		let (device, number) = match cuda {
			Some(number) => (AllocationDevice::CUDA, number),
			None => (AllocationDevice::CPU, 0),
		};
		let number = i32::try_from(number).unwrap_or(i32::MAX);
		let info = MemoryInfo::new(device, number, AllocatorType::Device, MemoryType::Default)?;
		let (on_device, on_cpu) = (Allocator::new(session, info)?, Allocator::default());
		let mut binding = session.create_binding()?;
		let mut fixed_inputs = Vec::with_capacity(inputs.len());
		for &(name, tensor) in inputs {
			let mut place = empty(&on_device, tensor)?;
			put(tensor, &mut place)?;
			binding.bind_input(name, &place)?;
			fixed_inputs.push(FixedInput {
				name: name.into(),
				content: tensor.clone(),
				place,
			});
		}
		let mut fixed_outputs = Vec::with_capacity(outputs.len());
		for (name, tensor) in outputs {
			let mut place = empty(&on_device, &tensor)?;
			binding.bind_output(name, &mut place)?;
			fixed_outputs.push(FixedOutput {
				name: name.into(),
				place,
				read: empty(&on_cpu, &tensor)?,
			});
		}
		Ok(Self {
			thread: thread::current().id(),
			is_new: true,
			binding,
			inputs: fixed_inputs,
			outputs: fixed_outputs,
			run,
		})
	}

	/// The handle of its runs.
	pub(super) fn handle(&self) -> Arc<Run> {
		self.run.clone()
	}

	/// Whether its next run is the one that is recorded.
	pub(super) fn is_new(&self) -> bool {
		self.is_new
	}

	/// Whether these inputs and outputs have their places here.
	pub(super) fn fits(&self, inputs: &[(&str, &Tensor)], names: &[&str]) -> bool {
		let same = |(fixed, (name, tensor)): (&FixedInput, &(&str, &Tensor))| {
			fixed.name == *name
				&& fixed.content.shape == tensor.shape
				&& fixed.content.element() == tensor.element()
		};
		let outputs = self.outputs.iter().map(|output| output.name.as_str());
		self.thread == thread::current().id()
			&& self.inputs.len() == inputs.len()
			&& self.inputs.iter().zip(inputs).all(same)
			&& outputs.eq(names.iter().copied())
	}

	/// After an error it cannot be used again.
	pub(super) fn run(
		&mut self,
		session: &mut Session,
		inputs: &[(&str, &Tensor)],
	) -> ort::Result<Vec<Tensor>> {
		for (fixed, &(_, tensor)) in self.inputs.iter_mut().zip(inputs) {
			if fixed.content != *tensor {
				put(tensor, &mut fixed.place)?;
				fixed.content.clone_from(tensor);
			}
		}
		self.binding.synchronize_inputs()?;
		drop(session.run_binding_with_options(&self.binding, &self.run.0)?);
		self.is_new = false;
		self.binding.synchronize_outputs()?;
		self.outputs
			.iter_mut()
			.map(|output| {
				output.place.copy_into(&mut output.read)?;
				copy(&output.read)
			})
			.collect()
	}
}
