//! GPUs that this process can use no more.
//!
//! After some errors CUDA refuses each further call of the process, freeing memory included, until the
//! process ends (CUDA Runtime API, "Error Handling"). Where ONNX Runtime frees memory and is refused, it
//! ends the process. So what lies on a lost GPU is never let go of, and nothing is loaded onto it any more.

use super::turn;
use crate::cuda;
use std::{
	collections::BTreeMap,
	mem::ManuallyDrop,
	ops::{Deref, DerefMut},
	sync::{Mutex, PoisonError},
};

/// The lost GPUs' numbers, and what CUDA said.
static LOST: Mutex<BTreeMap<u32, String>> = Mutex::new(BTreeMap::new());

/// Errors of `cudaError_t` that stay: their numbers, and their names without `cudaError`.
const STAYING: [(u32, &str); 13] = [
	(46, "DevicesUnavailable"),
	(214, "ECCUncorrectable"),
	(700, "IllegalAddress"),
	(702, "LaunchTimeout"),
	(709, "ContextIsDestroyed"),
	(710, "Assert"),
	(714, "HardwareStackError"),
	(715, "IllegalInstruction"),
	(716, "MisalignedAddress"),
	(717, "InvalidAddressSpace"),
	(718, "InvalidPc"),
	(719, "LaunchFailure"),
	(999, "Unknown"),
];

/// Why this GPU is lost, if it is.
pub(super) fn why(device: u32) -> Option<String> {
	let lost = LOST.lock().unwrap_or_else(PoisonError::into_inner);
	let said = lost.get(&device)?;
	Some(format!(
		"{said}; CUDA gives it to a new process only: start the program again"
	))
}

/// Notes that the GPU is lost if this is what CUDA says of one that is.
pub(super) fn note(device: u32, problem: &str) {
	if says_lost(problem) {
		let mut lost = LOST.lock().unwrap_or_else(PoisonError::into_inner);
		lost.entry(device).or_insert_with(|| problem.into());
	}
}

/// ONNX Runtime writes `CUDA failure 700: …` or `CUDA error cudaErrorIllegalAddress:…`.
fn says_lost(problem: &str) -> bool {
	let word = |text: &str| -> String {
		text.chars()
			.take_while(char::is_ascii_alphanumeric)
			.collect()
	};
	let is_one = |text: &str| {
		let word = word(text);
		STAYING
			.iter()
			.any(|(code, name)| word == *name || word == code.to_string())
	};
	["CUDA failure ", "cudaError"]
		.iter()
		.any(|sign| problem.split(sign).skip(1).any(is_one))
}

/// What has memory on a GPU, if on one.
pub(super) struct OnDevice<T> {
	device: Option<u32>,
	content: ManuallyDrop<T>,
}

impl<T> OnDevice<T> {
	pub(super) fn new(device: Option<u32>, content: T) -> Self {
		Self {
			device,
			content: ManuallyDrop::new(content),
		}
	}
}

impl<T> Drop for OnDevice<T> {
	#[allow(unsafe_code)] // Drops the field that nothing can use after this.
	fn drop(&mut self) {
		if self.device.and_then(why).is_none() {
			let _turn = self.device.map(|device| {
				cuda::select(device);
				turn::wait(false)
			});
			// SAFETY: once, at the end of its owner's life.
			unsafe { ManuallyDrop::drop(&mut self.content) }
		}
	}
}

impl<T> Deref for OnDevice<T> {
	type Target = T;

	fn deref(&self) -> &T {
		&self.content
	}
}

impl<T> DerefMut for OnDevice<T> {
	fn deref_mut(&mut self) -> &mut T {
		&mut self.content
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use std::rc::Rc;

	/// As ONNX Runtime 1.31 writes it.
	#[test]
	fn a_lost_gpu_is_told_from_other_failures() {
		for problem in [
			"Non-zero status code returned while running MultiHeadAttention node. Status Message: CUDA \
			 failure 700: an illegal memory access was encountered ; GPU=0 ; hostname=a",
			"Non-zero status code returned while running Slice node. Status Message: CUDA error \
			 cudaErrorIllegalAddress:an illegal memory access was encountered",
			"CUDA failure 719: unspecified launch failure ; GPU=0",
		] {
			assert!(says_lost(problem), "{problem}");
		}
		for problem in [
			"CUDA failure 2: out of memory ; GPU=0 ; hostname=a",
			"CUDA failure 7000: no such code",
			"CUDA error cudaErrorMemoryAllocation:out of memory",
			"CUDNN failure 5000: CUDNN_STATUS_EXECUTION_FAILED ; GPU=0",
			"Got invalid dimensions for input: sample",
		] {
			assert!(!says_lost(problem), "{problem}");
		}
	}

	#[test]
	fn what_lies_on_a_lost_gpu_is_kept() {
		// No test uses a GPU of this number.
		let (well, lost) = (4_000_000_001, 4_000_000_000);
		note(
			lost,
			"CUDA failure 700: an illegal memory access was encountered",
		);
		note(lost, "CUDA failure 719: unspecified launch failure");
		assert!(why(lost).unwrap().starts_with("CUDA failure 700"));
		assert_eq!(why(well), None);
		let content = Rc::new(());
		for (device, left) in [(None, 1), (Some(well), 1), (Some(lost), 2)] {
			drop(OnDevice::new(device, content.clone()));
			assert_eq!(Rc::strong_count(&content), left, "{device:?}");
		}
	}
}
