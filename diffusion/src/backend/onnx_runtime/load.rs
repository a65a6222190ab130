//! From a graph's file to a session.

use super::error::{is_out_of_memory, NOT_ALL_ON_GPU};
use crate::{fusion, runtime, Error};
use ort::session::{
	builder::{GraphOptimizationLevel, SessionBuilder},
	Session,
};
use std::path::Path;

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
pub(super) struct Source {
	/// Whether its weights are in fp16.
	pub(super) half: bool,
	/// The graph with its attention fused, if that is wanted and it has what can be.
	pub(super) fused: Option<fusion::Fused>,
}

impl Source {
	/// The file is gone from memory at the end: a model can be half of it.
	pub(super) fn read(path: &Path, fused: bool) -> std::io::Result<Self> {
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
pub(super) fn commit(
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
pub(super) fn environment() -> Result<&'static ort::environment::Environment, ort::Error> {
	runtime::environment().map_err(ort::Error::wrap)
}
