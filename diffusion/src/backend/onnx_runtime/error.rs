//! What went wrong, by what ONNX Runtime and CUDA's libraries say.

use crate::Error;
use std::path::Path;

/// How ONNX Runtime says that CUDA cannot record a graph: some of its nodes run on the CPU, and are not
/// about shapes alone.
pub(super) const NOT_ALL_ON_GPU: &str = "cannot use the graph capture feature";

/// What this graph's failure is.
pub(super) fn graph_error(path: &Path, error: &ort::Error) -> Error {
	let (path, problem) = (path.into(), error.to_string());
	match is_out_of_memory(&problem) {
		true => Error::OutOfMemory { path, problem },
		false => Error::Graph { path, problem },
	}
}

/// Whether what ONNX Runtime or CUDA's libraries said is that memory ran out: they have no error of one
/// kind for it.
pub(super) fn is_out_of_memory(problem: &str) -> bool {
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
