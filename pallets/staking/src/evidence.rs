//! What proves an offence of an off-chain worker: two messages under its key that no honest worker
//! signs both.
//!
//! The signed bytes begin with the genesis hash, so messages of another chain prove nothing here. The
//! time of the offence is the block that the assignment names: the draw's, whose stakes answered for
//! the work.

use codec::{Decode, DecodeWithMemTracking, Encode};
use cuckoo_primitives::{
	signing::{signing_bytes, signing_hash, Assignment, ResultCommitment, SignedPayload},
	AccountId, BlockNumber, Role, WorkerId, WorkerSignature, H256,
};
use scale_info::TypeInfo;
use sp_io::hashing::blake2_256;

/// A message with its signature.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub struct Signed<Payload> {
	/// What was signed.
	pub payload: Payload,
	/// The worker's signature over the payload's signing bytes.
	pub signature: WorkerSignature,
}

impl<Payload: SignedPayload> Signed<Payload> {
	fn is_by(&self, genesis_hash: &H256, worker: &WorkerId) -> bool {
		let message = signing_bytes(genesis_hash, &self.payload);
		sp_io::crypto::sr25519_verify(&self.signature, &message, worker)
	}
}

/// Proof of an offence.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub enum Evidence {
	/// A miner's worker committed to two different results of one assignment.
	Results {
		/// The assignment that both name by its hash.
		assignment: Assignment,
		/// One commitment.
		first: Signed<ResultCommitment>,
		/// The other.
		second: Signed<ResultCommitment>,
	},
	/// A coordinator signed two different assignments for one attempt at a task, with one worker key or
	/// with a former one and a later one.
	Assignments {
		/// The keys under the first assignment and under the second.
		workers: [WorkerId; 2],
		/// One assignment.
		first: Signed<Assignment>,
		/// The other.
		second: Signed<Assignment>,
	},
}

/// What a proof says, once it has been checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Proven {
	/// Names the offence: the same for every proof of it.
	pub id: H256,
	/// The keys that signed the two messages, each with the block that its message names.
	pub signers: [(WorkerId, BlockNumber); 2],
	/// The operator that the messages name as their owner.
	pub operator: AccountId,
	/// The role in which the offence was committed: the operator may have another by now.
	pub role: Role,
	/// The block whose stakes answered.
	pub block: BlockNumber,
}

/// Keeps the names of offences apart from hashes of anything else, and the kinds apart.
const RESULTS: &str = "cuckoo/offence/results/1";
const ASSIGNMENTS: &str = "cuckoo/offence/assignments/1";

impl Evidence {
	/// Checks the messages against each other and both signatures. `None` when they prove nothing.
	pub fn check(&self, genesis_hash: &H256) -> Option<Proven> {
		match self {
			Evidence::Results {
				assignment,
				first,
				second,
			} => {
				let name = signing_hash(genesis_hash, assignment);
				let same_assignment =
					first.payload.assignment == name && second.payload.assignment == name;
				let worker = assignment.worker;
				let proves = same_assignment
					&& first.payload != second.payload
					&& first.is_by(genesis_hash, &worker)
					&& second.is_by(genesis_hash, &worker);
				proves.then(|| Proven {
					id: blake2_256(&(RESULTS, worker, name).encode()).into(),
					signers: [(worker, assignment.block_number); 2],
					operator: assignment.miner.clone(),
					role: Role::Miner,
					block: assignment.block_number,
				})
			},
			Evidence::Assignments {
				workers,
				first,
				second,
			} => {
				let (one, two) = (&first.payload, &second.payload);
				let attempt = |assignment: &Assignment| {
					(
						assignment.coordinator.clone(),
						assignment.task,
						assignment.attempt,
					)
				};
				let proves = attempt(one) == attempt(two)
					&& one != two && first.is_by(genesis_hash, &workers[0])
					&& second.is_by(genesis_hash, &workers[1]);
				proves.then(|| Proven {
					id: blake2_256(&(ASSIGNMENTS, attempt(one)).encode()).into(),
					signers: [
						(workers[0], one.block_number),
						(workers[1], two.block_number),
					],
					operator: one.coordinator.clone(),
					role: Role::Coordinator,
					// The later: a coordinator cannot make its offence old by naming an old block.
					block: one.block_number.max(two.block_number),
				})
			},
		}
	}
}
