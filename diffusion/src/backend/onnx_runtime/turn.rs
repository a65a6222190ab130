//! Whose turn it is at CUDA.
//!
//! While a step is recorded, what takes or frees a GPU's memory fails on every thread of the process
//! (`cudaStreamCaptureModeGlobal`, by which ONNX Runtime records), and spoils the recording. So whoever
//! records has CUDA alone, and all others share it.

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

static CUDA: RwLock<()> = RwLock::new(());

/// A turn, until it is dropped.
pub(super) enum Turn {
	Shared {
		_guard: RwLockReadGuard<'static, ()>,
	},
	Alone {
		_guard: RwLockWriteGuard<'static, ()>,
	},
}

/// Waits for a turn: alone for a recording, else beside others. Not while one is held.
pub(super) fn wait(records: bool) -> Turn {
	match records {
		true => Turn::Alone {
			_guard: CUDA.write().unwrap_or_else(PoisonError::into_inner),
		},
		false => Turn::Shared {
			_guard: CUDA.read().unwrap_or_else(PoisonError::into_inner),
		},
	}
}
