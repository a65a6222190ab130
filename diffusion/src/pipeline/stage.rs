//! A graph whose inputs and outputs have been told apart.

use crate::{
	backend::{Element, Graph, Port, Tensor},
	Error, Stop,
};
use std::path::{Path, PathBuf};

/// What an input of a pipeline's graph is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Role {
	/// Latents, a picture or token ids: the input that every graph has.
	Main,
	/// The UNet's timestep.
	Timestep,
	/// The embedding of the prompt's tokens.
	Hidden,
	/// The embedding of the guidance scale, of UNets that were distilled with it.
	Guidance,
	/// The embedding of the whole prompt, of Stable Diffusion XL.
	Pooled,
	/// Sizes and crop, of Stable Diffusion XL.
	TimeIds,
}

/// The role of one of the UNet's inputs: by its name, else by its rank.
pub(super) fn unet_role(port: &Port) -> Option<Role> {
	match (port.name.as_str(), port.shape.len()) {
		("timestep_cond", 2) => Some(Role::Guidance),
		("text_embeds", 2) => Some(Role::Pooled),
		("time_ids", 2) => Some(Role::TimeIds),
		(_, 4) => Some(Role::Main),
		(_, 0 | 1) => Some(Role::Timestep),
		(_, 3) => Some(Role::Hidden),
		_ => None,
	}
}

/// Whether a graph will be run again for the same picture.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Turn {
	/// It will.
	Between,
	/// It has the memory of its work for nothing after this run.
	Last,
}

impl Turn {
	pub(super) fn last(is_last: bool) -> Self {
		match is_last {
			true => Self::Last,
			false => Self::Between,
		}
	}
}

/// More than any input has in a dimension: tensors are made by what the fixed ones say.
const MAX_DIMENSION: usize = 1 << 16;

pub(super) struct Stage {
	pub(super) path: PathBuf,
	graph: Box<dyn Graph>,
	inputs: Vec<(Role, Port, Element)>,
}

impl Stage {
	/// `role` gives each input's role; those of `needed` must be there, and none twice.
	pub(super) fn new(
		path: PathBuf,
		graph: Box<dyn Graph>,
		role: impl Fn(&Port) -> Option<Role>,
		needed: &[Role],
	) -> Result<Self, Error> {
		let mut inputs: Vec<(Role, Port, Element)> = Vec::new();
		for port in graph.inputs() {
			let known = role(port).filter(|role| inputs.iter().all(|(other, ..)| other != role));
			let (Some(role), Some(element)) = (known, port.element) else {
				return Err(unexpected(&path, port));
			};
			let sizes = port.shape.iter().flatten();
			if let Some(size) = sizes
				.copied()
				.find(|size| !(1..=MAX_DIMENSION).contains(size))
			{
				let problem = format!(
					"has an input `{:.64}` of size {size}; it must be from 1 to {MAX_DIMENSION}",
					port.name
				);
				return Err(Error::model(&path, problem));
			}
			inputs.push((role, port.clone(), element));
		}
		if let Some(role) = needed
			.iter()
			.find(|role| inputs.iter().all(|(other, ..)| other != *role))
		{
			let problem = format!("lacks the input for {role:?} that is expected");
			return Err(Error::model(&path, problem));
		}
		if graph.outputs().is_empty() {
			return Err(Error::model(&path, "has no output"));
		}
		Ok(Self {
			path,
			graph,
			inputs,
		})
	}

	/// The port of a role, if the graph has one.
	pub(super) fn port(&self, role: Role) -> Option<(&Port, Element)> {
		self.inputs
			.iter()
			.find(|(other, ..)| *other == role)
			.map(|(_, port, element)| (port, *element))
	}

	/// The element type of a role's port; that of [`Role::Main`]'s where there is none.
	pub(super) fn element(&self, role: Role) -> Element {
		self.port(role)
			.or_else(|| self.port(Role::Main))
			.map_or(Element::F32, |(_, element)| element)
	}

	/// The name of the first of these outputs that there is.
	pub(super) fn output(&self, names: &[&str]) -> Option<String> {
		names
			.iter()
			.find(|name| self.graph.outputs().iter().any(|port| port.name == **name))
			.map(|name| (*name).to_owned())
	}

	/// The same, or the name of the first of all.
	pub(super) fn output_or_first(&self, names: &[&str]) -> String {
		self.output(names)
			.unwrap_or_else(|| self.graph.outputs()[0].name.clone())
	}

	/// Its outputs' names.
	pub(super) fn output_names(&self) -> impl Iterator<Item = &str> {
		self.graph.outputs().iter().map(|port| port.name.as_str())
	}

	/// Runs it on a tensor for each of its inputs.
	pub(super) fn run(
		&mut self,
		tensors: &[(Role, &Tensor)],
		outputs: &[&str],
		turn: Turn,
		stop: &Stop,
	) -> Result<Vec<Tensor>, Error> {
		let mut inputs = Vec::with_capacity(self.inputs.len());
		for (role, port, _) in &self.inputs {
			let tensor = tensors.iter().find(|(other, _)| other == role);
			let (_, tensor) = tensor.ok_or_else(|| unexpected(&self.path, port))?;
			let fits = port.shape.len() == tensor.shape.len()
				&& port
					.shape
					.iter()
					.zip(&tensor.shape)
					.all(|(allowed, size)| allowed.is_none_or(|allowed| allowed == *size));
			if !fits {
				return Err(Error::model(
					&self.path,
					format!(
						"takes `{}` of shape {:?} only, not {:?}",
						port.name, port.shape, tensor.shape
					),
				));
			}
			inputs.push((port.name.as_str(), *tensor));
		}
		match turn {
			Turn::Between => self.graph.run(&inputs, outputs, stop),
			Turn::Last => self.graph.run_last(&inputs, outputs, stop),
		}
	}

	/// An error for an output that is not what it must be.
	pub(super) fn unusable(&self, problem: impl Into<String>) -> Error {
		Error::Graph {
			path: self.path.clone(),
			problem: problem.into(),
		}
	}
}

fn unexpected(path: &Path, port: &Port) -> Error {
	let kind = match port.element {
		Some(_) => format!("of rank {}", port.shape.len()),
		None => "of a type".into(),
	};
	Error::model(
		path,
		format!(
			"has an input `{:.64}` {kind} that this engine does not know: it runs Stable Diffusion \
			 1, 2 and XL, Turbo and LCM (not ControlNet or the XL refiner)",
			port.name
		),
	)
}
