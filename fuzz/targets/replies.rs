//! What a coordinator answers a miner: whatever it says is read, checked and shown without harm. An
//! assignment is also checked as a coordinator would sign it, so that the checks after the signature
//! are reached.
#![no_main]

use cuckoo_coordinator_api::{
	limits,
	miner::{Challenge, PollReply, ProgressReply, Session, SubmitReply, Work},
};
use cuckoo_primitives::{signing, task::TaskSpec, H256};
use jsonrpsee::{core::ClientError, types::ErrorObjectOwned};
use libfuzzer_sys::fuzz_target;
use offchain_miner::{
	assignment::{verify, Expected},
	link::LinkError,
};
use serde_json::from_slice;
use sp_core::{sr25519, Pair};
use std::sync::LazyLock;

static COORDINATOR: LazyLock<sr25519::Pair> = LazyLock::new(|| Pair::from_seed(&[1; 32]));
const GENESIS: H256 = H256::repeat_byte(0x42);

fn work(mut work: Work) {
	let worker = COORDINATOR.public();
	let assignment = work.assignment.clone();
	let expected = Expected {
		genesis_hash: &GENESIS,
		coordinator: &assignment.coordinator,
		coordinator_worker: Some(&worker),
		miner: Some(&assignment.miner),
		worker: &assignment.worker,
		finalized: 1_000,
		models: &[assignment.model],
		now_ms: 1_000_000,
	};
	let _ = verify(&work, &expected);
	work.assignment.spec_hash = TaskSpec::from(work.spec.clone()).hash();
	work.signature = signing::sign(&GENESIS, &work.assignment, &*COORDINATOR);
	if let Ok(verified) = verify(&work, &expected) {
		assert!((1..=limits::MAX_STEPS).contains(&verified.spec.steps));
		assert!(verified.assignment.deadline_ms > expected.now_ms);
		let most = expected.finalized + signing::MAX_BLOCKS_AHEAD;
		assert!(verified.assignment.block_number <= most);
	}
}

fuzz_target!(|data: &[u8]| {
	if let Ok(reply) = from_slice::<PollReply>(data) {
		reply.work.into_iter().for_each(work);
	}
	let _ = from_slice::<Challenge>(data);
	let _ = from_slice::<Session>(data);
	let _ = from_slice::<ProgressReply>(data);
	let _ = from_slice::<SubmitReply>(data);
	if let Ok(refused) = from_slice::<ErrorObjectOwned>(data) {
		let shown = LinkError::from(ClientError::Call(refused)).to_string();
		assert!(
			!shown.contains(char::is_control),
			"a terminal is not to be written to by others"
		);
		assert!(shown.len() <= 2 * limits::MAX_TEXT_BYTES + 200);
	}
});
