//! Fixed vectors of everything that is signed or hashed. A change here breaks every signature made
//! before it: it needs a new domain (`…/2`), never a new vector under the old one.

use codec::Encode;
use cuckoo_primitives::{
	draw::{self, Eligible},
	merkle,
	signing::{
		sign, signing_bytes, signing_hash, verify, Assignment, MinerLogin, ResultCommitment,
		SignedPayload, WorkerProof,
	},
	task::{DeviceClass, SchedulerKind, TaskId, TaskSpec},
	AccountId, WorkerId, WorkerSignature, CUC, H256,
};
use sp_core::{sr25519, Pair};

const GENESIS: H256 = H256::repeat_byte(0x11);

fn operator() -> AccountId {
	AccountId::new([0x22; 32])
}

fn worker_pair() -> sr25519::Pair {
	sr25519::Pair::from_string("//Miner//1//worker", None).expect("the URI is well formed")
}

fn worker() -> WorkerId {
	worker_pair().public()
}

fn spec() -> TaskSpec {
	TaskSpec {
		model: H256::repeat_byte(0x33),
		prompt: "a red apple".into(),
		negative_prompt: String::new(),
		seed: 42,
		steps: 25,
		width: 64,
		height: 64,
		guidance_milli: 2_000,
		scheduler: SchedulerKind::Ddim,
	}
}

fn assignment() -> Assignment {
	Assignment {
		coordinator: operator(),
		task: TaskId([0x44; 16]),
		attempt: 1,
		miner: AccountId::new([0x55; 32]),
		worker: worker(),
		spec_hash: spec().hash(),
		model: H256::repeat_byte(0x33),
		deadline_ms: 1_700_000_000_000,
		block_number: 7,
		block_hash: H256::repeat_byte(0x66),
		randomness: H256::repeat_byte(0x77),
		eligible_root: H256::repeat_byte(0x88),
		total_weight: 150_000 * CUC,
	}
}

fn commitment() -> ResultCommitment {
	ResultCommitment {
		assignment: signing_hash(&GENESIS, &assignment()),
		output: H256::repeat_byte(0x99),
		trajectory_root: H256::repeat_byte(0xaa),
		engine_profile: H256::repeat_byte(0xbb),
		device: DeviceClass::Cuda { major: 9, minor: 0 },
	}
}

/// Compares the bytes that are signed and checks a signature made when the vector was.
#[track_caller]
fn check<P: SignedPayload>(payload: P, bytes: &str, signature: &str) {
	assert_eq!(hex::encode(signing_bytes(&GENESIS, &payload)), bytes);
	let old: [u8; 64] = hex::decode(signature).unwrap().try_into().unwrap();
	assert!(verify(
		&GENESIS,
		&payload,
		&WorkerSignature::from_raw(old),
		&worker()
	));

	let fresh = sign(&GENESIS, &payload, &worker_pair());
	assert!(verify(&GENESIS, &payload, &fresh, &worker()));
	let other_chain = H256::repeat_byte(0x12);
	assert!(
		!verify(&other_chain, &payload, &fresh, &worker()),
		"valid on another chain"
	);
	let other_key = sr25519::Pair::from_string("//Eve", None).unwrap().public();
	assert!(
		!verify(&GENESIS, &payload, &fresh, &other_key),
		"valid for another key"
	);
}

#[test]
fn worker_proof_bytes_and_signature() {
	check(
		WorkerProof { operator: operator(), nonce: 3 },
		"546375636b6f6f2f776f726b65722d70726f6f662f311111111111111111111111111111111111111111111111111111111111111111222222222222222222222222222222222222222222222222222222222222222203000000",
		"e871457f6761453bb966b5e49aec70ac430cdaf5de9923a2e8517d3a8777da3fd4314f7c2eabcd6236caf33805b6a599d84a014b9aa91d4a6e653b9b04352b8a",
	);
}

#[test]
fn miner_login_bytes_and_signature() {
	check(
		MinerLogin { coordinator: operator(), worker: worker(), challenge: [0xcc; 32] },
		"506375636b6f6f2f6d696e65722d6c6f67696e2f3111111111111111111111111111111111111111111111111111111111111111112222222222222222222222222222222222222222222222222222222222222222905f56100e525393b1fc6637cfaf405d9c795ebc96054924ce699051562e2362cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc",
		"f8a2c29d0a2eece93b0b16d0e79327a7369dc283a23ab0c8277f4b1b07d857525fe31337b71406b3387197d891ed262e709e7aa88217ce28e686322da4469b84",
	);
}

#[test]
fn assignment_bytes_and_signature() {
	check(
		assignment(),
		"4c6375636b6f6f2f61737369676e6d656e742f311111111111111111111111111111111111111111111111111111111111111111222222222222222222222222222222222222222222222222222222222222222244444444444444444444444444444444010000005555555555555555555555555555555555555555555555555555555555555555905f56100e525393b1fc6637cfaf405d9c795ebc96054924ce699051562e2362c3a039340a7df11072a6d8899a0342b2221e1d5a559427c50b59e8944c4391fb33333333333333333333333333333333333333333333333333333333333333330068e5cf8b0100000700000066666666666666666666666666666666666666666666666666666666666666667777777777777777777777777777777777777777777777777777777777777777888888888888888888888888888888888888888888888888888888888888888800004f8c34e814020000000000000000",
		"a2f0977a774d2884654e97e1064f3d33b202334c6dd156457e99d3d947a795457d6414ccfead79fa9ec4bbfa748c52b142eb41ce834d45ccf2676c3826fec082",
	);
}

#[test]
fn result_commitment_bytes_and_signature() {
	check(
		commitment(),
		"686375636b6f6f2f726573756c742d636f6d6d69746d656e742f3111111111111111111111111111111111111111111111111111111111111111116a67c05afa6f529d8cbc043a91e7dddf9a02353c71d58eedb5f7c5ce40ae88e79999999999999999999999999999999999999999999999999999999999999999aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaabbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb010900",
		"2e5f6a6c1fe2dc727bff385a8aafb8ac5be3be298224c2540a84c5a857fb2e2519d53604615dd83644da84b9333e922a8a1e48dec8f65d79c938072de32c1a81",
	);
}

#[test]
fn hashes() {
	assert_eq!(
		hex::encode(spec().hash()),
		"c3a039340a7df11072a6d8899a0342b2221e1d5a559427c50b59e8944c4391fb"
	);
	let id = TaskId::derive(&operator(), &spec().hash(), b"key");
	assert_eq!(id.to_string(), "0x6810720d83b8e057e3cbadf22e8a04e4");
	let leaves = [
		merkle::leaf_hash(b"a"),
		merkle::leaf_hash(b"b"),
		merkle::leaf_hash(b"c"),
	];
	assert_eq!(
		hex::encode(merkle::root(&leaves)),
		"17321db51c1ef3ec1f77e271aa300b4e5c6091708bcba37e46025774a26142ee"
	);
}

#[test]
fn the_draw() {
	let eligible = [(1u8, 30_000), (2, 100_000)].map(|(id, stake)| Eligible {
		miner: AccountId::new([id; 32]),
		weight: stake * CUC,
	});
	assert_eq!(
		hex::encode(draw::eligible_root(&eligible)),
		"32eab8f3459d8a79063378c4b1738be671672f9e31cde49f07f00ad88f1ccea2"
	);
	let total = draw::total_weight(&eligible).unwrap();
	let ticket = draw::ticket(&H256::repeat_byte(0x77), &TaskId([0x44; 16]), 1, total).unwrap();
	assert_eq!(ticket, 33952195763801274);
	let drawn = draw::pick(&eligible, ticket).unwrap();
	assert_eq!(drawn, &eligible[1]);
}

/// Two payloads with the same fields but different domains share no signature.
#[test]
fn domains_separate_kinds_of_messages() {
	let domains = [
		WorkerProof::DOMAIN,
		MinerLogin::DOMAIN,
		Assignment::DOMAIN,
		ResultCommitment::DOMAIN,
	];
	for (index, domain) in domains.iter().enumerate() {
		assert!(!domains[..index].contains(domain), "{domain} is used twice");
	}
}

#[test]
fn task_id_is_written_and_read() {
	let id = TaskId([0x0f; 16]);
	assert_eq!(id.to_string(), "0x0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f");
	assert_eq!(id.to_string().parse(), Ok(id));
	for wrong in [
		"",
		"0x",
		"0x0f",
		"0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f",
		"0x0g0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f",
		"0x0é0f0f0f0f0f0f0f0f0f0f0f0f0f0f0",
	] {
		assert!(wrong.parse::<TaskId>().is_err(), "{wrong} passes");
	}
}

/// A spec's hash has the scheduler's number.
#[test]
fn schedulers_keep_their_numbers() {
	let all = [
		SchedulerKind::Ddim,
		SchedulerKind::Euler,
		SchedulerKind::Pndm,
		SchedulerKind::EulerAncestral,
		SchedulerKind::DpmPlusPlus2m,
		SchedulerKind::UniPc,
		SchedulerKind::Lcm,
	];
	for (number, kind) in all.into_iter().enumerate() {
		assert_eq!(kind.encode(), [number as u8]);
	}
}
