//! Challenges for miners to sign, and the sessions that come of them.
//!
//! A challenge costs nothing to hand out: its bytes carry their own proof (time, randomness, and a
//! keyed hash over both and the worker), so that strangers asking for challenges fill no memory. Only
//! a challenge that was answered with a valid signature is remembered, until it would be out of date.

use crate::clock::UnixMs;
use cuckoo_primitives::{AccountId, WorkerId, H256};
use std::collections::HashMap;

/// How long a challenge is good.
pub const CHALLENGE_TTL_MS: u64 = 60_000;

const TIME: std::ops::Range<usize> = 0..8;
const RANDOM: std::ops::Range<usize> = 8..16;
const PROOF: std::ops::Range<usize> = 16..32;

/// Makes challenges and knows its own again.
pub struct Challenges {
	key: [u8; 32],
	used: HashMap<H256, UnixMs>,
}

impl std::fmt::Debug for Challenges {
	fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
		f.debug_struct("Challenges")
			.field("used", &self.used.len())
			.finish_non_exhaustive()
	}
}

impl Challenges {
	/// With a key that nobody else knows.
	pub fn new(key: [u8; 32]) -> Self {
		Self {
			key,
			used: HashMap::new(),
		}
	}

	/// A challenge for this worker.
	pub fn issue(&self, worker: &WorkerId, now_ms: UnixMs, random: [u8; 8]) -> H256 {
		let mut bytes = [0u8; 32];
		bytes[TIME].copy_from_slice(&now_ms.to_be_bytes());
		bytes[RANDOM].copy_from_slice(&random);
		let proof = self.proof(worker, &bytes);
		bytes[PROOF].copy_from_slice(&proof);
		bytes.into()
	}

	/// Whether the challenge is ours, for this worker, in time and unused.
	pub fn is_good(&self, challenge: &H256, worker: &WorkerId, now_ms: UnixMs) -> bool {
		let bytes = challenge.as_fixed_bytes();
		let mut time = [0u8; 8];
		time.copy_from_slice(&bytes[TIME]);
		let age = now_ms.checked_sub(UnixMs::from_be_bytes(time));
		age.is_some_and(|age| age <= CHALLENGE_TTL_MS)
			&& !self.used.contains_key(challenge)
			&& same(&self.proof(worker, bytes), &bytes[PROOF])
	}

	/// Uses the challenge up. To be called once its answer was found right.
	pub fn use_up(&mut self, challenge: H256, now_ms: UnixMs) {
		self.used
			.retain(|_, used_ms| now_ms.saturating_sub(*used_ms) <= CHALLENGE_TTL_MS);
		self.used.insert(challenge, now_ms);
	}

	fn proof(&self, worker: &WorkerId, challenge: &[u8; 32]) -> [u8; 16] {
		let mut hasher = blake3::Hasher::new_keyed(&self.key);
		hasher.update(&challenge[..PROOF.start]).update(&worker.0);
		let mut proof = [0u8; 16];
		hasher.finalize_xof().fill(&mut proof);
		proof
	}
}

/// Compares without telling by its time where the difference is.
fn same(a: &[u8], b: &[u8]) -> bool {
	a.len() == b.len()
		&& a.iter()
			.zip(b)
			.fold(0, |difference, (x, y)| difference | (x ^ y))
			== 0
}

/// Who is logged in: one session a miner, the latest. Bounded by the number of miners on chain, since
/// only they can log in.
#[derive(Debug, Default)]
pub struct Sessions {
	miners: HashMap<H256, AccountId>,
}

impl Sessions {
	/// Adds a session and ends the miner's former one.
	pub fn open(&mut self, token: H256, miner: AccountId, former: Option<H256>) {
		if let Some(former) = former {
			self.miners.remove(&former);
		}
		self.miners.insert(token, miner);
	}

	/// Whose session it is.
	pub fn miner(&self, token: &H256) -> Option<&AccountId> {
		self.miners.get(token)
	}

	/// Ends a session.
	pub fn close(&mut self, token: &H256) {
		self.miners.remove(token);
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	fn worker(number: u8) -> WorkerId {
		WorkerId::from_raw([number; 32])
	}

	#[test]
	fn a_challenge_is_good_once_in_time_for_its_worker() {
		let mut challenges = Challenges::new([7; 32]);
		let challenge = challenges.issue(&worker(1), 1_000, [1; 8]);
		assert_ne!(challenge, challenges.issue(&worker(1), 1_000, [2; 8]));
		assert!(challenges.is_good(&challenge, &worker(1), 1_000));
		assert!(challenges.is_good(&challenge, &worker(1), 1_000 + CHALLENGE_TTL_MS));
		assert!(!challenges.is_good(&challenge, &worker(1), 1_001 + CHALLENGE_TTL_MS));
		assert!(
			!challenges.is_good(&challenge, &worker(1), 999),
			"from the future"
		);
		assert!(
			!challenges.is_good(&challenge, &worker(2), 1_000),
			"another's"
		);
		assert!(
			!Challenges::new([8; 32]).is_good(&challenge, &worker(1), 1_000),
			"not ours"
		);
		for byte in 0..32 {
			let mut forged = challenge;
			forged.0[byte] ^= 1;
			assert!(
				!challenges.is_good(&forged, &worker(1), 1_000),
				"byte {byte} changed"
			);
		}
		challenges.use_up(challenge, 1_000);
		assert!(
			!challenges.is_good(&challenge, &worker(1), 1_000),
			"replayed"
		);
	}

	#[test]
	fn used_challenges_are_forgotten_once_out_of_date() {
		let mut challenges = Challenges::new([7; 32]);
		for number in 0..100 {
			let challenge = challenges.issue(&worker(1), number * CHALLENGE_TTL_MS, [1; 8]);
			challenges.use_up(challenge, number * CHALLENGE_TTL_MS);
		}
		assert!(challenges.used.len() <= 2);
	}
}
