//! What an assignment must show before the miner works for it.
//!
//! A worker's signature under a commitment is something it can lose stake for, so nothing is signed
//! and no device time is spent for an assignment that the chain could not stand behind.

use crate::outbox::Due;
use cuckoo_coordinator_api::{limits, miner::Work, Amount};
use cuckoo_primitives::{
	signing::{self, Assignment},
	task::{ModelHash, TaskSpec},
	AccountId, Balance, BlockNumber, WorkerId, H256,
};

/// The longest lease that is accepted, in milliseconds. It bounds how long the memory of a signed
/// commitment must be kept.
pub const MAX_LEASE_MS: u64 = 24 * 60 * 60 * 1_000;
/// How far the block that an assignment names may lie behind the last final one: a lease and an hour, in blocks of
/// six seconds. What names an older one could no longer be proven to the chain, were it one of two.
pub const MAX_BLOCKS_BEHIND: BlockNumber = 15_000;

/// What the miner knows by itself and from the chain.
pub struct Expected<'a> {
	/// The chain.
	pub genesis_hash: &'a H256,
	/// The coordinator that is served.
	pub coordinator: &'a AccountId,
	/// That coordinator's worker, as the chain has it.
	pub coordinator_worker: Option<&'a WorkerId>,
	/// The miner's own operator account, as the chain has it.
	pub miner: Option<&'a AccountId>,
	/// The miner's own worker.
	pub worker: &'a WorkerId,
	/// The last block that is final, as the miner knows it.
	pub finalized: BlockNumber,
	/// The models held.
	pub models: &'a [ModelHash],
	/// The time, in milliseconds of Unix time.
	pub now_ms: u64,
}

/// An assignment that passed [`verify`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
	/// [`signing::signing_hash`] of the assignment: its name in the commitment.
	pub hash: H256,
	/// The assignment.
	pub assignment: Assignment,
	/// What is to be made.
	pub spec: TaskSpec,
	/// What it earns. The coordinator did not sign this; the purse holds it to it.
	pub pay: Balance,
}

impl Verified {
	/// What its result earns, if it is paid.
	pub fn due(&self) -> Option<Due> {
		(self.pay > 0).then(|| Due {
			miner: self.assignment.miner.clone(),
			pay: Amount(self.pay),
		})
	}
}

/// Why an assignment is not worked on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
	/// Another coordinator's assignment.
	#[error("the assignment is of coordinator {0}, not of the one that is served")]
	OtherCoordinator(AccountId),
	/// The chain knows no worker for the coordinator.
	#[error("the coordinator has no worker on chain")]
	NoCoordinatorWorker,
	/// The signature does not verify.
	#[error("the assignment's signature is not of the coordinator's worker on chain")]
	BadSignature,
	/// Made out to someone else.
	#[error("the assignment is for miner {0}, not for this one")]
	OtherMiner(AccountId),
	/// Made out to another worker key.
	#[error("the assignment names another worker key than this miner's")]
	OtherWorker,
	/// It names a block that is far from being there: the chain could not judge it.
	#[error(
		"the assignment names block {named}; the last final one that this miner's node has is {finalized}"
	)]
	TooFarAhead {
		/// The block that it names.
		named: BlockNumber,
		/// The last final one.
		finalized: BlockNumber,
	},
	/// It names a block that is long past: the chain would judge it no more.
	#[error(
		"the assignment names block {named}, and block {finalized} is final: {MAX_BLOCKS_BEHIND} back are taken"
	)]
	TooFarBehind {
		/// The block that it names.
		named: BlockNumber,
		/// The last final one.
		finalized: BlockNumber,
	},
	/// The spec is not the one that was signed.
	#[error("the spec does not have the hash that the coordinator signed")]
	OtherSpec,
	/// The spec names another model than the assignment.
	#[error("the spec asks for another model than the assignment")]
	OtherModel,
	/// The spec is beyond what the protocol allows.
	#[error("the spec's {0} is out of bounds")]
	OutOfBounds(&'static str),
	/// The model is not here.
	#[error("this miner does not hold model {0:?}")]
	ModelNotHeld(ModelHash),
	/// The lease has ended already.
	#[error("the lease ended {} ms ago", .0)]
	TooLate(u64),
	/// The lease is longer than any honest one.
	#[error(
		"the lease ends {} h from now by this machine's clock, and at most {} h are accepted: check the clock",
		.0 / 3_600_000,
		MAX_LEASE_MS / 3_600_000
	)]
	LeaseTooLong(u64),
}

impl Refusal {
	/// Whether the coordinator broke the protocol, rather than being late or unlucky, or the miner's clock
	/// wrong.
	pub fn is_foul(&self) -> bool {
		!matches!(
			self,
			Refusal::ModelNotHeld(_)
				| Refusal::TooLate(_)
				| Refusal::LeaseTooLong(_)
				| Refusal::NoCoordinatorWorker
				// It may be the miner's node that is behind.
				| Refusal::TooFarAhead { .. }
		)
	}
}

/// Checks an assignment. Pure: everything it depends on is given.
pub fn verify(work: &Work, expected: &Expected<'_>) -> Result<Verified, Refusal> {
	let assignment = &work.assignment;
	if assignment.coordinator != *expected.coordinator {
		return Err(Refusal::OtherCoordinator(assignment.coordinator.clone()));
	}
	let signer = expected
		.coordinator_worker
		.ok_or(Refusal::NoCoordinatorWorker)?;
	if !signing::verify(expected.genesis_hash, assignment, &work.signature, signer) {
		return Err(Refusal::BadSignature);
	}
	if expected.miner != Some(&assignment.miner) {
		return Err(Refusal::OtherMiner(assignment.miner.clone()));
	}
	if assignment.worker != *expected.worker {
		return Err(Refusal::OtherWorker);
	}
	let ahead = assignment.block_number.saturating_sub(expected.finalized);
	if ahead > signing::MAX_BLOCKS_AHEAD {
		return Err(Refusal::TooFarAhead {
			named: assignment.block_number,
			finalized: expected.finalized,
		});
	}
	let behind = expected.finalized.saturating_sub(assignment.block_number);
	if behind > MAX_BLOCKS_BEHIND {
		return Err(Refusal::TooFarBehind {
			named: assignment.block_number,
			finalized: expected.finalized,
		});
	}
	let spec = TaskSpec::from(work.spec.clone());
	if spec.hash() != assignment.spec_hash {
		return Err(Refusal::OtherSpec);
	}
	if spec.model != assignment.model {
		return Err(Refusal::OtherModel);
	}
	within_bounds(&spec).map_err(Refusal::OutOfBounds)?;
	if !expected.models.contains(&assignment.model) {
		return Err(Refusal::ModelNotHeld(assignment.model));
	}
	match assignment.deadline_ms.checked_sub(expected.now_ms) {
		None | Some(0) => {
			return Err(Refusal::TooLate(
				expected.now_ms.saturating_sub(assignment.deadline_ms),
			))
		},
		Some(left) if left > MAX_LEASE_MS => return Err(Refusal::LeaseTooLong(left)),
		Some(_) => {},
	}
	let hash = signing::signing_hash(expected.genesis_hash, assignment);
	Ok(Verified {
		hash,
		assignment: assignment.clone(),
		spec,
		pay: work.pay.0,
	})
}

/// The protocol's bounds; the model's own are the engine's to check.
fn within_bounds(spec: &TaskSpec) -> Result<(), &'static str> {
	let checks = [
		(
			"prompt",
			(1..=limits::MAX_PROMPT_BYTES).contains(&spec.prompt.len()),
		),
		(
			"negative prompt",
			spec.negative_prompt.len() <= limits::MAX_PROMPT_BYTES,
		),
		("steps", (1..=limits::MAX_STEPS).contains(&spec.steps)),
		("width", (1..=limits::MAX_SIDE).contains(&spec.width)),
		("height", (1..=limits::MAX_SIDE).contains(&spec.height)),
		(
			"guidance",
			f64::from(spec.guidance_milli) <= limits::MAX_GUIDANCE * 1_000.0,
		),
	];
	checks
		.into_iter()
		.find(|(_, fits)| !fits)
		.map_or(Ok(()), |(name, _)| Err(name))
}

#[cfg(test)]
mod tests {
	use super::*;
	use cuckoo_primitives::task::{SchedulerKind, TaskId};
	use sp_core::{sr25519, Pair};

	const NOW: u64 = 1_000_000;
	const FINALIZED: BlockNumber = 5;
	const GENESIS: H256 = H256::repeat_byte(1);
	const MODEL: H256 = H256::repeat_byte(2);

	fn account(byte: u8) -> AccountId {
		AccountId::new([byte; 32])
	}

	fn key(byte: u8) -> sr25519::Pair {
		sr25519::Pair::from_seed(&[byte; 32])
	}

	fn spec() -> TaskSpec {
		TaskSpec {
			model: MODEL,
			prompt: "a red apple".into(),
			negative_prompt: String::new(),
			seed: 7,
			steps: 10,
			width: 64,
			height: 64,
			guidance_milli: 3_000,
			scheduler: SchedulerKind::Ddim,
		}
	}

	fn assignment() -> Assignment {
		Assignment {
			coordinator: account(10),
			task: TaskId([3; 16]),
			attempt: 0,
			miner: account(20),
			worker: key(21).public(),
			spec_hash: spec().hash(),
			model: MODEL,
			deadline_ms: NOW + 60_000,
			block_number: FINALIZED,
			block_hash: H256::repeat_byte(5),
			randomness: H256::repeat_byte(6),
			eligible_root: H256::repeat_byte(7),
			total_weight: 9,
		}
	}

	fn signed(assignment: Assignment, spec: TaskSpec, signer: &sr25519::Pair) -> Work {
		let signature = signing::sign(&GENESIS, &assignment, signer);
		Work {
			spec: spec.into(),
			assignment,
			signature,
			pay: Amount::default(),
		}
	}

	fn check(work: &Work) -> Result<Verified, Refusal> {
		check_at(work, FINALIZED)
	}

	fn check_at(work: &Work, finalized: BlockNumber) -> Result<Verified, Refusal> {
		verify(
			work,
			&Expected {
				genesis_hash: &GENESIS,
				coordinator: &account(10),
				coordinator_worker: Some(&key(11).public()),
				miner: Some(&account(20)),
				worker: &key(21).public(),
				finalized,
				models: &[MODEL],
				now_ms: NOW,
			},
		)
	}

	fn changed(change: impl FnOnce(&mut Assignment, &mut TaskSpec)) -> Result<Verified, Refusal> {
		let (mut assignment, mut spec) = (assignment(), spec());
		change(&mut assignment, &mut spec);
		check(&signed(assignment, spec, &key(11)))
	}

	#[test]
	fn an_honest_assignment_passes_under_its_own_hash() {
		let verified = changed(|_, _| ()).unwrap();
		assert_eq!(
			verified.hash,
			signing::signing_hash(&GENESIS, &assignment())
		);
		assert_eq!(verified.spec, spec());
	}

	#[test]
	fn each_deviation_is_refused_by_name() {
		assert_eq!(
			changed(|a, _| a.coordinator = account(9)),
			Err(Refusal::OtherCoordinator(account(9)))
		);
		assert_eq!(
			changed(|a, _| a.miner = account(9)),
			Err(Refusal::OtherMiner(account(9)))
		);
		assert_eq!(
			changed(|a, _| a.worker = key(9).public()),
			Err(Refusal::OtherWorker)
		);
		assert_eq!(
			changed(|_, s| s.prompt = "a blue apple".into()),
			Err(Refusal::OtherSpec)
		);
		assert_eq!(
			changed(|a, _| a.model = H256::zero()),
			Err(Refusal::OtherModel)
		);
		assert_eq!(
			changed(|a, _| a.deadline_ms = NOW),
			Err(Refusal::TooLate(0))
		);
		assert_eq!(
			changed(|a, _| a.deadline_ms = NOW - 5),
			Err(Refusal::TooLate(5))
		);
		assert_eq!(
			changed(|a, _| a.deadline_ms = NOW + MAX_LEASE_MS + 1),
			Err(Refusal::LeaseTooLong(MAX_LEASE_MS + 1))
		);
		assert_eq!(
			check(&signed(assignment(), spec(), &key(12))),
			Err(Refusal::BadSignature),
			"signed by a stranger"
		);
	}

	/// The coordinator's node may be ahead by some blocks; what is further cannot be judged on chain yet.
	#[test]
	fn a_block_that_is_far_from_being_there_is_refused() {
		let most = FINALIZED + signing::MAX_BLOCKS_AHEAD;
		for named in [0, FINALIZED + 1, most] {
			assert!(changed(|a, _| a.block_number = named).is_ok());
		}
		for named in [most + 1, BlockNumber::MAX] {
			let refused = changed(|a, _| a.block_number = named).unwrap_err();
			let finalized = FINALIZED;
			assert_eq!(refused, Refusal::TooFarAhead { named, finalized });
			assert!(!refused.is_foul());
		}
	}

	#[test]
	fn a_block_that_is_long_past_is_refused() {
		let work = signed(assignment(), spec(), &key(11));
		let at = |finalized| check_at(&work, finalized);
		assert!(at(FINALIZED + MAX_BLOCKS_BEHIND).is_ok());
		let (named, finalized) = (FINALIZED, FINALIZED + MAX_BLOCKS_BEHIND + 1);
		let refused = at(finalized).unwrap_err();
		assert_eq!(refused, Refusal::TooFarBehind { named, finalized });
		assert!(refused.is_foul());
	}

	#[test]
	fn a_clock_that_is_wrong_is_not_held_against_the_coordinator() {
		let ends = |deadline_ms| changed(|a, _| a.deadline_ms = deadline_ms).unwrap_err();
		for refusal in [ends(NOW - 5), ends(NOW + 2 * MAX_LEASE_MS)] {
			assert!(!refusal.is_foul(), "{refusal}");
		}
		assert!(ends(NOW + 2 * MAX_LEASE_MS)
			.to_string()
			.ends_with("check the clock"));
		assert!(Refusal::BadSignature.is_foul());
	}

	#[test]
	fn a_signature_for_another_chain_is_refused() {
		let signature = signing::sign(&H256::repeat_byte(9), &assignment(), &key(11));
		let work = Work {
			spec: spec().into(),
			assignment: assignment(),
			signature,
			pay: Amount::default(),
		};
		assert_eq!(check(&work), Err(Refusal::BadSignature));
	}

	#[test]
	fn signed_but_impossible_specs_are_refused() {
		let refused = |change: fn(&mut TaskSpec)| {
			changed(|a, s| {
				change(s);
				a.spec_hash = s.hash();
				a.model = s.model;
			})
		};
		assert_eq!(refused(|s| s.steps = 0), Err(Refusal::OutOfBounds("steps")));
		assert_eq!(
			refused(|s| s.steps = 151),
			Err(Refusal::OutOfBounds("steps"))
		);
		assert_eq!(refused(|s| s.width = 0), Err(Refusal::OutOfBounds("width")));
		assert_eq!(
			refused(|s| s.height = 4_096),
			Err(Refusal::OutOfBounds("height"))
		);
		assert_eq!(
			refused(|s| s.prompt.clear()),
			Err(Refusal::OutOfBounds("prompt"))
		);
		assert_eq!(
			refused(|s| s.negative_prompt = "x".repeat(5_000)),
			Err(Refusal::OutOfBounds("negative prompt"))
		);
		assert_eq!(
			refused(|s| s.guidance_milli = 50_001),
			Err(Refusal::OutOfBounds("guidance"))
		);
		let other = H256::repeat_byte(8);
		assert_eq!(
			changed(|a, s| {
				s.model = other;
				a.model = other;
				a.spec_hash = s.hash();
			}),
			Err(Refusal::ModelNotHeld(other))
		);
	}

	#[test]
	fn without_a_word_from_the_chain_nothing_is_accepted() {
		let work = signed(assignment(), spec(), &key(11));
		let (coordinator, worker) = (account(10), key(21).public());
		let (signer, miner) = (key(11).public(), account(20));
		let with = |coordinator_worker, miner| {
			let expected = Expected {
				genesis_hash: &GENESIS,
				coordinator: &coordinator,
				coordinator_worker,
				miner,
				worker: &worker,
				finalized: FINALIZED,
				models: &[MODEL],
				now_ms: NOW,
			};
			verify(&work, &expected)
		};
		assert_eq!(with(None, Some(&miner)), Err(Refusal::NoCoordinatorWorker));
		assert_eq!(
			with(Some(&signer), None),
			Err(Refusal::OtherMiner(account(20)))
		);
	}
}
