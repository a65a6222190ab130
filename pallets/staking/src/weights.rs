//! What the calls cost.
//!
//! These are **estimates**, to be replaced by benchmarks: no run on reference hardware is behind
//! them. Each call is the sum of its building blocks, whose reads and writes are counted from the
//! code at their worst case and priced by the runtime's `DbWeight`, and of a constant for computing that
//! is generous against what such calls measure in other pallets. A test counts the values that each
//! call does write and compares.

use frame_support::{traits::Get, weights::Weight};

use crate::{types::MAX_RELEASED_WORKERS, Config};

/// Reads and writes of a call, or of a part of one.
#[derive(Clone, Copy)]
pub(crate) struct Cost {
	reads: u64,
	writes: u64,
}

impl Cost {
	const fn new(reads: u64, writes: u64) -> Self {
		Cost { reads, writes }
	}

	const fn and(self, other: Cost) -> Self {
		Cost {
			reads: self.reads + other.reads,
			writes: self.writes + other.writes,
		}
	}

	const fn times(self, count: u64) -> Self {
		Cost {
			reads: self.reads * count,
			writes: self.writes * count,
		}
	}

	/// How many values may be written.
	#[cfg(test)]
	pub(crate) const fn writes(self) -> u64 {
		self.writes
	}

	fn weight<T: Config>(self, compute_ps: u64) -> Weight {
		let proof_size = self.reads.saturating_mul(PROOF_SIZE);
		T::DbWeight::get()
			.reads_writes(self.reads, self.writes)
			.saturating_add(Weight::from_parts(compute_ps, proof_size))
	}
}

/// Computing that every call does: decode, dispatch, hash keys, deposit events. 60 µs.
const COMPUTE: u64 = 60_000_000;
/// One sr25519 verification. 60 µs.
const VERIFY: u64 = 60_000_000;
/// Paying out one chunk. 5 µs.
const CHUNK: u64 = 5_000_000;
/// What reading one value adds to a proof, most of it trie nodes. Bytes.
const PROOF_SIZE: u64 = 4_096;

/// A transfer between an account and the pot: both accounts, and `Held`.
const MOVE_TOKENS: Cost = Cost::new(3, 3);
/// `change_pool`: record, pool, self-stake, the role's rules and totals; the order by stake out and in.
const CHANGE_POOL: Cost = Cost::new(5, 5);
/// One position.
const POSITION: Cost = Cost::new(1, 1);
/// The era, the unbonding pool and the account's chunks.
const START_UNBONDING: Cost = Cost::new(3, 2);
/// Genesis hash and nonce.
const CHECK_PROOF: Cost = Cost::new(2, 0);
/// Own and former owner's list, owner, nonce, era; and every former worker that is forgotten.
/// Forgetting is rare, and counted every time: the weight is known before the list is.
const BIND_WORKER: Cost = Cost::new(5, 4).and(Cost::new(1, 1).times(MAX_RELEASED_WORKERS as u64));
/// Owner, list and era.
const RELEASE_WORKER: Cost = Cost::new(2, 2);
/// The former record, pool and membership; the new record, membership and introduction.
const REPLACE_RECORD: Cost = Cost::new(3, 4);

pub(crate) const REGISTER: Cost = REPLACE_RECORD
	.and(CHECK_PROOF)
	.and(BIND_WORKER)
	.and(CHANGE_POOL)
	.and(POSITION)
	.and(MOVE_TOKENS);
pub(crate) const SET_WORKER: Cost = Cost::new(1, 1)
	.and(CHECK_PROOF)
	.and(RELEASE_WORKER)
	.and(BIND_WORKER);
pub(crate) const SET_INTRODUCTION: Cost = Cost::new(1, 1);
pub(crate) const STAKE: Cost = CHANGE_POOL.and(POSITION).and(MOVE_TOKENS);
pub(crate) const UNSTAKE: Cost = CHANGE_POOL.and(POSITION).and(START_UNBONDING);
pub(crate) const RETIRE: Cost = CHANGE_POOL.and(RELEASE_WORKER);

/// The era and the list, one unbonding pool for each chunk, and the payment.
pub(crate) const fn withdraw_cost(chunks: u64) -> Cost {
	Cost::new(2, 1)
		.and(Cost::new(1, 1).times(chunks))
		.and(MOVE_TOKENS)
}

pub(crate) fn register<T: Config>() -> Weight {
	REGISTER.weight::<T>(COMPUTE + VERIFY)
}

pub(crate) fn set_worker<T: Config>() -> Weight {
	SET_WORKER.weight::<T>(COMPUTE + VERIFY)
}

pub(crate) fn set_introduction<T: Config>() -> Weight {
	SET_INTRODUCTION.weight::<T>(COMPUTE)
}

pub(crate) fn stake_more<T: Config>() -> Weight {
	STAKE.weight::<T>(COMPUTE)
}

pub(crate) fn unstake<T: Config>() -> Weight {
	UNSTAKE.weight::<T>(COMPUTE)
}

pub(crate) fn retire<T: Config>() -> Weight {
	RETIRE.weight::<T>(COMPUTE)
}

pub(crate) fn vote<T: Config>() -> Weight {
	STAKE.weight::<T>(COMPUTE)
}

pub(crate) fn unvote<T: Config>() -> Weight {
	UNSTAKE.weight::<T>(COMPUTE)
}

pub(crate) fn withdraw<T: Config>() -> Weight {
	let chunks = u64::from(T::MaxUnbondingChunks::get());
	withdraw_cost(chunks).weight::<T>(COMPUTE.saturating_add(chunks.saturating_mul(CHUNK)))
}
