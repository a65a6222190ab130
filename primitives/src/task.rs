//! Tasks: ids, what is to be made, and the canonical form that is hashed.

use crate::{AccountId, H256};
use alloc::string::String;
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use core::fmt;
use scale_info::TypeInfo;
use sp_crypto_hashing::{blake2_128, blake2_256};

/// BLAKE3 over a model's files in order: the model's identity.
pub type ModelHash = H256;

/// Counts the draws for one task from 0.
pub type Attempt = u32;

/// A task's id: 16 bytes, written as `0x` and 32 hex digits.
#[derive(
	Clone,
	Copy,
	PartialEq,
	Eq,
	PartialOrd,
	Ord,
	Hash,
	Encode,
	Decode,
	DecodeWithMemTracking,
	MaxEncodedLen,
	TypeInfo,
)]
pub struct TaskId(pub [u8; 16]);

impl TaskId {
	/// `blake2_128(SCALE(("cuckoo/task-id/1", coordinator, spec_hash, nonce)))`.
	///
	/// The draw's ticket hangs on the id, so the id must not be the coordinator's to choose: an app
	/// that gives its own `nonce` (the idempotency key) can recompute the id, and then the coordinator
	/// cannot have tried many ids until the draw fell to a friend.
	pub fn derive(coordinator: &AccountId, spec_hash: &H256, nonce: &[u8]) -> Self {
		Self(blake2_128(
			&("cuckoo/task-id/1", coordinator, spec_hash, nonce).encode(),
		))
	}
}

impl fmt::Display for TaskId {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		f.write_str("0x")?;
		self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
	}
}

impl fmt::Debug for TaskId {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		fmt::Display::fmt(self, f)
	}
}

/// A text is no task id.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InvalidTaskId;

impl fmt::Display for InvalidTaskId {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		f.write_str("a task id is 0x and 32 hex digits")
	}
}

impl core::error::Error for InvalidTaskId {}

impl core::str::FromStr for TaskId {
	type Err = InvalidTaskId;

	fn from_str(text: &str) -> Result<Self, InvalidTaskId> {
		let digits = text.strip_prefix("0x").ok_or(InvalidTaskId)?.as_bytes();
		if digits.len() != 32 {
			return Err(InvalidTaskId);
		}
		let nibble = |digit: u8| (digit as char).to_digit(16).ok_or(InvalidTaskId);
		let mut id = [0u8; 16];
		for (byte, pair) in id.iter_mut().zip(digits.chunks_exact(2)) {
			*byte = ((nibble(pair[0])? << 4) | nibble(pair[1])?) as u8;
		}
		Ok(Self(id))
	}
}

#[cfg(feature = "std")]
impl serde::Serialize for TaskId {
	fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
		serializer.collect_str(self)
	}
}

#[cfg(feature = "std")]
impl<'de> serde::Deserialize<'de> for TaskId {
	fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
		let text = <String as serde::Deserialize>::deserialize(deserializer)?;
		text.parse().map_err(serde::de::Error::custom)
	}
}

/// How the noise is taken away step by step.
#[derive(
	Clone,
	Copy,
	PartialEq,
	Eq,
	Hash,
	Debug,
	Encode,
	Decode,
	DecodeWithMemTracking,
	MaxEncodedLen,
	TypeInfo,
)]
#[cfg_attr(feature = "std", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "std", serde(rename_all = "snake_case"))]
pub enum SchedulerKind {
	/// Denoising diffusion implicit models, eta 0 (Song et al. 2020, arXiv:2010.02502).
	Ddim,
	/// Euler's method on the probability flow ODE (Karras et al. 2022, arXiv:2206.00364).
	Euler,
	/// Pseudo numerical methods (Liu et al. 2022, arXiv:2202.09778).
	Pndm,
	/// Euler's method with fresh noise in every step.
	EulerAncestral,
	/// DPM-Solver++ of the second order, multistep (Lu et al. 2022, arXiv:2211.01095).
	#[cfg_attr(feature = "std", serde(rename = "dpm_plus_plus_2m"))]
	DpmPlusPlus2m,
	/// The unified predictor-corrector (Zhao et al. 2023, arXiv:2302.04867).
	UniPc,
	/// Latent consistency models (Luo et al. 2023, arXiv:2310.04378).
	Lcm,
}

/// What is to be made, in the form that is hashed and signed. Two specs that ask for the same
/// picture have the same bytes.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub struct TaskSpec {
	/// The model's hash.
	pub model: ModelHash,
	/// What the picture shows, UTF-8.
	pub prompt: String,
	/// What it must not show; empty for none.
	pub negative_prompt: String,
	/// Seed of the initial noise.
	pub seed: u64,
	/// Denoising steps.
	pub steps: u16,
	/// Width in pixels.
	pub width: u16,
	/// Height in pixels.
	pub height: u16,
	/// Classifier-free guidance scale in thousandths: 7500 is 7.5. An integer, so that it hashes the
	/// same everywhere.
	pub guidance_milli: u32,
	/// The scheduler.
	pub scheduler: SchedulerKind,
}

impl TaskSpec {
	/// BLAKE2b-256 of the SCALE encoding.
	pub fn hash(&self) -> H256 {
		blake2_256(&self.encode()).into()
	}
}

/// What a miner ran on. Results are compared within a class, never across.
#[derive(
	Clone,
	Copy,
	PartialEq,
	Eq,
	Hash,
	Debug,
	Encode,
	Decode,
	DecodeWithMemTracking,
	MaxEncodedLen,
	TypeInfo,
)]
#[cfg_attr(feature = "std", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "std", serde(rename_all = "snake_case", tag = "kind"))]
pub enum DeviceClass {
	/// ONNX Runtime's CPU provider.
	Cpu,
	/// ONNX Runtime's CUDA provider on a GPU of this compute capability.
	Cuda {
		/// 9 of 9.0.
		major: u8,
		/// 0 of 9.0.
		minor: u8,
	},
}
