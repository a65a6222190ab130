//! Domain-separated signing payloads.
//!
//! What is signed is `SCALE((DOMAIN, genesis_hash, payload))` and nothing else. The domain keeps one
//! kind of message from passing as another, the genesis hash keeps a message of one chain from
//! passing on another, and each payload names the parties and the thing it is about, so that it
//! cannot be replayed to another coordinator, task or attempt.
//!
//! Keys are sr25519 with the `substrate` signing context, as every Substrate wallet has them.

use crate::{
	task::{Attempt, DeviceClass, ModelHash, TaskId},
	AccountId, Balance, BlockNumber, WorkerId, WorkerSignature, H256,
};
use alloc::vec::Vec;
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use scale_info::TypeInfo;
use sp_crypto_hashing::blake2_256;

/// A message that a worker key signs.
pub trait SignedPayload: Encode {
	/// Names the kind of message and its version; never reused for another shape.
	const DOMAIN: &'static str;
}

/// The bytes that are signed: `SCALE((DOMAIN, genesis_hash, payload))`.
pub fn signing_bytes<P: SignedPayload>(genesis_hash: &H256, payload: &P) -> Vec<u8> {
	(P::DOMAIN, genesis_hash, payload).encode()
}

/// BLAKE2b-256 of the bytes that are signed: the message's name in other messages.
pub fn signing_hash<P: SignedPayload>(genesis_hash: &H256, payload: &P) -> H256 {
	blake2_256(&signing_bytes(genesis_hash, payload)).into()
}

/// Whether `signature` is `signer`'s over `payload` on the chain with that genesis. For workers: the
/// pallet verifies the same [`signing_bytes`] by the host function.
#[cfg(feature = "std")]
pub fn verify<P: SignedPayload>(
	genesis_hash: &H256,
	payload: &P,
	signature: &WorkerSignature,
	signer: &WorkerId,
) -> bool {
	use sp_core::crypto::Pair;
	sp_core::sr25519::Pair::verify(signature, signing_bytes(genesis_hash, payload), signer)
}

/// Signs `payload` for the chain with that genesis.
#[cfg(feature = "std")]
pub fn sign<P: SignedPayload>(
	genesis_hash: &H256,
	payload: &P,
	pair: &sp_core::sr25519::Pair,
) -> WorkerSignature {
	use sp_core::crypto::Pair;
	pair.sign(&signing_bytes(genesis_hash, payload))
}

/// The worker key agrees to act for an operator. Given to `register` and `set_worker`.
#[derive(
	Clone, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct WorkerProof {
	/// The operator's account.
	pub operator: AccountId,
	/// How many workers this operator's account has bound so far (the chain's `WorkerNonce`): an old
	/// proof cannot bind a worker again after it was let go.
	pub nonce: u32,
}

impl SignedPayload for WorkerProof {
	const DOMAIN: &'static str = "cuckoo/worker-proof/1";
}

/// A miner's worker opens a session with a coordinator.
#[derive(
	Clone, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
pub struct MinerLogin {
	/// The coordinator's operator account: a login at one coordinator is worthless at another.
	pub coordinator: AccountId,
	/// The miner's worker.
	pub worker: WorkerId,
	/// Random bytes from the coordinator, valid once and for a short time.
	pub challenge: [u8; 32],
}

impl SignedPayload for MinerLogin {
	const DOMAIN: &'static str = "cuckoo/miner-login/1";
}

/// How far the block that an [`Assignment`] names may be ahead of the last one that its miner knows to be
/// final: the coordinator's node may be some blocks ahead of the miner's. What names a later block is
/// refused, as the chain could not judge it: a miner does not work for it, and a coordinator's worker
/// that was let go of is answered for up to so many blocks afterwards.
pub const MAX_BLOCKS_AHEAD: BlockNumber = 50;

/// A coordinator's worker hands one attempt at a task to the miner that was drawn. Two of these for
/// one `(coordinator, task, attempt)` that differ in anything are evidence against the coordinator.
#[derive(
	Clone, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
#[cfg_attr(feature = "std", derive(serde::Serialize, serde::Deserialize))]
pub struct Assignment {
	/// The coordinator's operator account.
	pub coordinator: AccountId,
	/// The task.
	pub task: TaskId,
	/// Counts the draws for this task from 0.
	pub attempt: Attempt,
	/// The drawn miner's operator account.
	pub miner: AccountId,
	/// The drawn miner's worker at that block: the key that signs the result commitment.
	pub worker: WorkerId,
	/// [`crate::task::TaskSpec::hash`] of what is to be made.
	pub spec_hash: H256,
	/// The model to run.
	pub model: ModelHash,
	/// When the lease ends, in milliseconds of Unix time.
	pub deadline_ms: u64,
	/// The finalized block whose registry and randomness the draw used.
	pub block_number: BlockNumber,
	/// That block's hash.
	pub block_hash: H256,
	/// The chain's randomness at that block (`Babe::Randomness`).
	pub randomness: H256,
	/// [`crate::draw::eligible_root`] of the list that was drawn from.
	pub eligible_root: H256,
	/// The sum of the weights in that list.
	pub total_weight: Balance,
}

impl SignedPayload for Assignment {
	const DOMAIN: &'static str = "cuckoo/assignment/1";
}

/// A miner's worker commits to what it made. Two of these for one assignment with different content
/// are evidence against the miner.
#[derive(
	Clone, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
#[cfg_attr(feature = "std", derive(serde::Serialize, serde::Deserialize))]
pub struct ResultCommitment {
	/// [`signing_hash`] of the assignment.
	pub assignment: H256,
	/// BLAKE3 of the PNG file.
	pub output: H256,
	/// Merkle root over initial noise, the latents after each step (fp16, little-endian), the text
	/// embedding and the decoded picture: see [`crate::merkle`].
	pub trajectory_root: H256,
	/// BLAKE2b-256 of the engine profile's text (engine version, ONNX Runtime version, execution
	/// provider and its options).
	pub engine_profile: H256,
	/// What it ran on.
	pub device: DeviceClass,
}

impl SignedPayload for ResultCommitment {
	const DOMAIN: &'static str = "cuckoo/result-commitment/1";
}
