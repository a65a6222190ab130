//! What can go wrong, in sentences that say what to do.

use crate::Device;
use std::{io, path::PathBuf};

/// An error of the engine. Its text names the thing and, where there is one, the remedy.
#[derive(Debug, thiserror::Error)]
pub enum Error {
	/// No place of [`runtime::search_paths`](crate::runtime::search_paths) holds a library that loads.
	#[error(
		"no ONNX Runtime library found (looked at: {looked_at}); run scripts/setup, or name the \
		 library's file in CUCKOO_ONNXRUNTIME"
	)]
	RuntimeMissing {
		/// The places, with the problem at each.
		looked_at: String,
	},
	/// ONNX Runtime was found, but does not start.
	#[error("ONNX Runtime at {}: {problem}; run scripts/setup to install it anew", path.display())]
	Runtime {
		/// The library.
		path: PathBuf,
		/// What it said.
		problem: String,
	},
	/// The device that was asked for cannot be used.
	#[error("device {device} cannot be used: {problem}")]
	Device {
		/// What was asked for.
		device: Device,
		/// Why not, and what to do.
		problem: String,
	},
	/// A file cannot be read.
	#[error("cannot read {}: {source}", path.display())]
	Read {
		/// The file.
		path: PathBuf,
		/// Why not.
		source: io::Error,
	},
	/// A file of a model folder is not what it should be.
	#[error("{}: {problem}", path.display())]
	Model {
		/// The file or folder.
		path: PathBuf,
		/// What is wrong with it.
		problem: String,
	},
	/// ONNX Runtime refuses a graph, or fails while it runs it.
	#[error("ONNX Runtime on {}: {problem}", path.display())]
	Graph {
		/// The graph's file.
		path: PathBuf,
		/// What ONNX Runtime said.
		problem: String,
	},
	/// The device has no room for the numbers of a step, also where they are taken in parts.
	#[error(
		"{}: out of memory: {problem}; make smaller pictures, or hold fewer models on this device",
		path.display()
	)]
	OutOfMemory {
		/// The graph's file.
		path: PathBuf,
		/// What the device's allocator said.
		problem: String,
	},
	/// The request asks for what this model or the engine does not do.
	#[error("{field}: {problem}")]
	Request {
		/// The field of the [`Request`](crate::Request).
		field: &'static str,
		/// What is wrong with it, and what is allowed.
		problem: String,
	},
	/// A graph's output holds NaN or infinity: the picture would be black.
	#[error(
		"{stage} gave numbers that are not finite; the model's precision is too low for this \
		 prompt, guidance or device: try a lower guidance, or the model with fp32 weights"
	)]
	NotFinite {
		/// Where it was seen.
		stage: String,
	},
	/// The caller's callback returned [`Control::Cancel`](crate::Control::Cancel).
	#[error("cancelled")]
	Cancelled,
	/// Bytes are no PNG within the limits, or a picture cannot be written as one.
	#[error("PNG: {0}")]
	Png(String),
}

impl Error {
	/// [`Error::Model`] for `path`.
	pub(crate) fn model(path: impl Into<PathBuf>, problem: impl Into<String>) -> Self {
		Self::Model {
			path: path.into(),
			problem: problem.into(),
		}
	}

	/// [`Error::Request`] for `field`.
	pub(crate) fn request(field: &'static str, problem: impl Into<String>) -> Self {
		Self::Request {
			field,
			problem: problem.into(),
		}
	}
}
