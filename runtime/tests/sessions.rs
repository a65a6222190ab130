//! Sessions turn, past validator sets stay provable as long as misbehaviour can be reported, and a
//! report is verified and recorded.

mod common;

use codec::Encode;
use common::{account, state_of};
use cuckoo_runtime::{
	constants::{REPORTABLE_SESSIONS, SLOTS_PER_SESSION},
	Babe, Hash, Header, Historical, Runtime, RuntimeEvent, RuntimeOrigin, Session, SessionKeys,
	System,
};
use frame_support::{assert_err, assert_ok, traits::KeyOwnerProofSystem};
use pallet_session::historical::HistoricalSessions;
use sp_consensus_babe::{
	digests::{CompatibleDigestItem, PreDigest, SecondaryPlainPreDigest},
	AuthorityPair, EquivocationProof, Slot,
};
use sp_core::Pair;
use sp_io::TestExternalities;
use sp_keystore::{testing::MemoryKeystore, KeystoreExt};
use sp_runtime::DigestItem;

/// The development network in its first block, with a keystore for new session keys.
fn first_block() -> TestExternalities {
	let mut state = state_of("development");
	state.register_extension(KeystoreExt::new(MemoryKeystore::new()));
	state.execute_with(|| System::set_block_number(1));
	state
}

/// Ends the session, one session's slots later.
fn next_session() {
	let slot = pallet_babe::CurrentSlot::<Runtime>::get() + SLOTS_PER_SESSION;
	pallet_babe::CurrentSlot::<Runtime>::put(slot);
	System::set_block_number(System::block_number() + 1);
	Session::rotate_session();
}

fn babe_pair(uri: &str) -> AuthorityPair {
	AuthorityPair::from_string(uri, None).unwrap()
}

fn prove(pair: &AuthorityPair) -> Option<sp_session::MembershipProof> {
	Historical::prove((sp_consensus_babe::KEY_TYPE, pair.public()))
}

#[test]
fn validators_stay_and_every_session_has_a_root() {
	first_block().execute_with(|| {
		for session in 1..5 {
			next_session();
			assert_eq!(Session::current_index(), session);
			assert_eq!(Session::validators(), vec![account("//Alice")]);
			assert!(
				HistoricalSessions::<Runtime>::get(session).is_some(),
				"session {session}"
			);
		}
	});
}

#[test]
fn a_key_of_a_past_session_is_provable() {
	first_block().execute_with(|| {
		next_session();
		let alice = babe_pair("//Alice");
		let proof = prove(&alice).expect("the key belongs to a validator");
		next_session();
		next_session();
		let key = (sp_consensus_babe::KEY_TYPE, alice.public());
		let (owner, ()) = Historical::check_proof(key, proof).expect("the session is remembered");
		assert_eq!(owner, account("//Alice"));
	});
}

/// Without new roots for sessions with new keys nobody could be held to account after a rotation.
#[test]
fn rotated_keys_are_provable_in_later_sessions() {
	first_block().execute_with(|| {
		let alice = account("//Alice");
		let generated = SessionKeys::generate(&alice.encode(), None);
		let origin = RuntimeOrigin::signed(alice.clone());
		let proof = generated.proof.encode();
		assert_ok!(Session::set_keys(origin, generated.keys.clone(), proof));
		for _ in 0..3 {
			next_session();
		}
		let key = (sp_consensus_babe::KEY_TYPE, generated.keys.babe.clone());
		let proof = Historical::prove(key.clone()).expect("the new key is in force");
		next_session();
		next_session();
		assert_eq!(Historical::check_proof(key, proof), Some((alice, ())));
	});
}

#[test]
fn foreign_keys_cannot_be_set() {
	first_block().execute_with(|| {
		let generated = SessionKeys::generate(&account("//Alice").encode(), None);
		let result = Session::set_keys(
			RuntimeOrigin::signed(account("//Bob")),
			generated.keys,
			generated.proof.encode(),
		);
		assert_err!(result, pallet_session::Error::<Runtime>::InvalidProof);
	});
}

#[test]
fn sessions_past_reporting_are_forgotten() {
	first_block().execute_with(|| {
		for _ in 0..REPORTABLE_SESSIONS + 3 {
			next_session();
		}
		assert!(HistoricalSessions::<Runtime>::get(1).is_none());
		let oldest_reportable = Session::current_index() - REPORTABLE_SESSIONS;
		assert!(HistoricalSessions::<Runtime>::get(oldest_reportable).is_some());
	});
}

fn sealed_header(pair: &AuthorityPair, slot: Slot, extrinsics_root: Hash) -> Header {
	let pre_digest = PreDigest::SecondaryPlain(SecondaryPlainPreDigest {
		slot,
		authority_index: 0,
	});
	let mut header = Header {
		parent_hash: Hash::zero(),
		number: 1,
		state_root: Hash::zero(),
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
fn equivocation(pair: &AuthorityPair, slot: Slot) -> EquivocationProof<Header> {
	EquivocationProof {
		offender: pair.public(),
		slot,
		first_header: sealed_header(pair, slot, Hash::repeat_byte(1)),
		second_header: sealed_header(pair, slot, Hash::repeat_byte(2)),
	}
}

fn offences() -> usize {
	System::events()
		.iter()
		.filter(|record| matches!(record.event, RuntimeEvent::Offences(_)))
		.count()
}

#[test]
fn a_past_equivocation_is_recorded_once() {
	first_block().execute_with(|| {
		let alice = babe_pair("//Alice");
		let slot = pallet_babe::CurrentSlot::<Runtime>::get();
		let key_owner = prove(&alice).expect("the key belongs to a validator");
		next_session();
		next_session();
		let report = || {
			let equivocation = Box::new(equivocation(&alice, slot));
			Babe::report_equivocation_unsigned(
				RuntimeOrigin::none(),
				equivocation,
				key_owner.clone(),
			)
			.map(|_| ())
			.map_err(|failure| failure.error)
		};
		assert_ok!(report());
		assert_eq!(offences(), 1);
		assert_err!(
			report(),
			pallet_babe::Error::<Runtime>::DuplicateOffenceReport
		);
		assert_eq!(offences(), 1);
	});
}

#[test]
fn a_forged_equivocation_is_refused() {
	first_block().execute_with(|| {
		let (alice, mallory) = (babe_pair("//Alice"), babe_pair("//Mallory"));
		let key_owner = prove(&alice).expect("the key belongs to a validator");
		let slot = pallet_babe::CurrentSlot::<Runtime>::get();
		let forged = EquivocationProof {
			offender: alice.public(),
			..equivocation(&mallory, slot)
		};
		let result =
			Babe::report_equivocation_unsigned(RuntimeOrigin::none(), Box::new(forged), key_owner);
		assert_eq!(
			result.map(|_| ()).map_err(|failure| failure.error),
			Err(pallet_babe::Error::<Runtime>::InvalidEquivocationProof.into()),
		);
		assert_eq!(offences(), 0);
	});
}
