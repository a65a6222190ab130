//! Chains of the presets, to test on: their state, and blocks on it as a node would run them.

// Every test program uses its part of this.
#![allow(dead_code)]

use codec::Encode;
use cuckoo_primitives::{signing, signing::WorkerProof, BlockNumber, Role, WorkerId, H256};
use cuckoo_runtime::{
	constants::{SLOTS_PER_SESSION, SLOT_DURATION_MS},
	genesis_presets, AccountId, Balance, Executive, Header, Runtime, RuntimeCall, RuntimeEvent,
	RuntimeGenesisConfig, RuntimeOrigin, Session, SessionKeys, Staking, System, UncheckedExtrinsic,
};
use frame_support::{assert_ok, genesis_builder_helper::build_state};
use pallet_cuckoo_staking::IntroductionInput;
use serde_json::Value;
use sp_consensus_babe::{
	digests::{CompatibleDigestItem, PreDigest, SecondaryPlainPreDigest},
	Slot,
};
use sp_core::{sr25519, Pair};
use sp_io::TestExternalities;
use sp_keystore::{testing::MemoryKeystore, KeystoreExt};
use sp_runtime::{DigestItem, Perbill};

/// The slot before a chain's first block.
const GENESIS_SLOT: u64 = 1_000;

/// A preset's JSON.
pub fn preset(name: &str) -> Value {
	let json = genesis_presets::get_preset(&name.into()).expect("the preset exists");
	serde_json::from_slice(&json).expect("a preset is JSON")
}

/// The state that a preset builds, as a node does it: the default genesis patched by the preset. With a
/// keystore for new session keys.
pub fn state_of(name: &str) -> TestExternalities {
	let mut state = TestExternalities::default();
	state.register_extension(KeystoreExt::new(MemoryKeystore::new()));
	state.execute_with(|| {
		let mut genesis = serde_json::to_value(RuntimeGenesisConfig::default()).unwrap();
		merge(&mut genesis, preset(name));
		build_state::<RuntimeGenesisConfig>(genesis.to_string().into_bytes()).unwrap();
	});
	state
}

/// The account of a secret URI such as `//Alice`.
pub fn account(uri: &str) -> AccountId {
	pair(uri).public().into()
}

fn pair(uri: &str) -> sr25519::Pair {
	sr25519::Pair::from_string(uri, None).unwrap()
}

/// An account as the origin of a call.
pub fn signed(uri: &str) -> RuntimeOrigin {
	RuntimeOrigin::signed(account(uri))
}

fn merge(into: &mut Value, patch: Value) {
	match (into, patch) {
		(Value::Object(into), Value::Object(patch)) => {
			for (key, value) in patch {
				merge(into.entry(key).or_insert(Value::Null), value);
			}
		},
		(into, patch) => *into = patch,
	}
}

/// Runs one block of the author with this index, in the slot that is `slots` later and `numbers` blocks
/// on, and `act` in it in the place of transactions. Returns what `act` returns.
///
/// Whole sessions pass by one block each if `slots` is a session's: time goes by slots, not by blocks.
pub fn block_after<T>(slots: u64, numbers: BlockNumber, author: u32, act: impl FnOnce() -> T) -> T {
	let slot = match *pallet_babe::CurrentSlot::<Runtime>::get() {
		0 => GENESIS_SLOT,
		slot => slot,
	} + slots;
	let mut header = Header {
		parent_hash: System::parent_hash(),
		number: System::block_number() + numbers,
		state_root: H256::zero(),
		extrinsics_root: H256::zero(),
		digest: Default::default(),
	};
	let pre_digest = PreDigest::SecondaryPlain(SecondaryPlainPreDigest {
		slot: slot.into(),
		authority_index: author,
	});
	header
		.digest
		.push(<DigestItem as CompatibleDigestItem>::babe_pre_digest(
			pre_digest,
		));
	// The blocks between may be left out.
	System::set_block_number(header.number - 1);
	Executive::initialize_block(&header);
	let now = RuntimeCall::Timestamp(pallet_timestamp::Call::set {
		now: slot * SLOT_DURATION_MS,
	});
	Executive::apply_extrinsic(UncheckedExtrinsic::new_bare(now))
		.expect("a block's time is valid")
		.expect("a block's time can be set");
	let result = act();
	Executive::finalize_block();
	result
}

/// One block of the first validator in the next slot, with `act` in it.
pub fn block<T>(act: impl FnOnce() -> T) -> T {
	block_after(1, 1, 0, act)
}

/// The first block of the next session, with `act` in it.
pub fn next_session<T>(act: impl FnOnce() -> T) -> T {
	block_after(SLOTS_PER_SESSION, 1, 0, act)
}

/// So many sessions of one block each.
pub fn sessions(count: u32) {
	for _ in 0..count {
		next_session(|| ());
	}
}

/// Blocks until the era is `era`.
pub fn until_era(era: u32) {
	while Staking::info().era < era {
		sessions(1);
	}
}

/// The staking pallet's events of this block.
pub fn staking_events() -> Vec<pallet_cuckoo_staking::Event<Runtime>> {
	System::events()
		.into_iter()
		.filter_map(|record| match record.event {
			RuntimeEvent::Staking(event) => Some(event),
			_ => None,
		})
		.collect()
}

/// Makes an account a validator's operator with this stake, without session keys.
pub fn register_validator(uri: &str, stake: Balance) {
	let worker: WorkerId = pair(&format!("{uri}//worker")).public();
	let operator = account(uri);
	let proof = WorkerProof {
		nonce: Staking::worker_nonce(operator.clone()),
		operator,
	};
	let genesis = System::block_hash(0);
	let signature = signing::sign(&genesis, &proof, &pair(&format!("{uri}//worker")));
	assert_ok!(Staking::register(
		signed(uri),
		Role::Validator,
		worker,
		signature,
		stake,
		Perbill::zero(),
		IntroductionInput::default(),
	));
}

/// Gives an account new session keys, made in the keystore.
pub fn set_new_keys(uri: &str) -> SessionKeys {
	let generated = SessionKeys::generate(&account(uri).encode(), None);
	assert_ok!(Session::set_keys(
		signed(uri),
		generated.keys.clone(),
		generated.proof.encode(),
	));
	generated.keys
}

/// The key with which a development validator writes blocks.
pub fn babe_pair(uri: &str) -> sp_consensus_babe::AuthorityPair {
	sp_consensus_babe::AuthorityPair::from_string(uri, None).unwrap()
}

fn sealed_header(
	pair: &sp_consensus_babe::AuthorityPair,
	slot: Slot,
	extrinsics_root: H256,
) -> Header {
	let pre_digest = PreDigest::SecondaryPlain(SecondaryPlainPreDigest {
		slot,
		authority_index: 0,
	});
	let mut header = Header {
		parent_hash: H256::zero(),
		number: 1,
		state_root: H256::zero(),
		extrinsics_root,
		digest: Default::default(),
	};
	header
		.digest
		.push(<DigestItem as CompatibleDigestItem>::babe_pre_digest(
			pre_digest,
		));
	let seal = pair.sign(header.hash().as_ref());
	header
		.digest
		.push(<DigestItem as CompatibleDigestItem>::babe_seal(seal));
	header
}

/// Two blocks of one author for one slot.
pub fn babe_equivocation(
	pair: &sp_consensus_babe::AuthorityPair,
	slot: Slot,
) -> sp_consensus_babe::EquivocationProof<Header> {
	sp_consensus_babe::EquivocationProof {
		offender: pair.public(),
		slot,
		first_header: sealed_header(pair, slot, H256::repeat_byte(1)),
		second_header: sealed_header(pair, slot, H256::repeat_byte(2)),
	}
}
