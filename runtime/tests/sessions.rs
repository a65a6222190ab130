//! Sessions turn, past validator sets stay provable exactly as long as misbehaviour can be reported.

mod common;

use codec::Encode;
use common::{account, babe_pair, block, next_session, sessions, set_new_keys, signed, state_of};
use cuckoo_runtime::{constants::REPORTABLE_SESSIONS, Historical, Runtime, Session, SessionKeys};
use frame_support::{assert_err, traits::KeyOwnerProofSystem};
use pallet_session::historical::HistoricalSessions;
use sp_core::Pair;

fn prove(uri: &str) -> Option<sp_session::MembershipProof> {
	Historical::prove((sp_consensus_babe::KEY_TYPE, babe_pair(uri).public()))
}

#[test]
fn validators_stay_and_every_session_has_a_root() {
	state_of("development").execute_with(|| {
		for session in 1..5 {
			sessions(1);
			assert_eq!(Session::current_index(), session - 1);
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
	state_of("development").execute_with(|| {
		sessions(2);
		let proof = prove("//Alice").expect("the key belongs to a validator");
		sessions(2);
		let key = (sp_consensus_babe::KEY_TYPE, babe_pair("//Alice").public());
		let (owner, ()) = Historical::check_proof(key, proof).expect("the session is remembered");
		assert_eq!(owner, account("//Alice"));
	});
}

/// Without new roots for sessions with new keys nobody could be held to account after a rotation.
#[test]
fn rotated_keys_are_provable_in_later_sessions() {
	state_of("development").execute_with(|| {
		let keys = block(|| set_new_keys("//Alice"));
		sessions(3);
		let key = (sp_consensus_babe::KEY_TYPE, keys.babe);
		let proof = Historical::prove(key.clone()).expect("the new key is in force");
		sessions(2);
		assert_eq!(
			Historical::check_proof(key, proof),
			Some((account("//Alice"), ()))
		);
	});
}

#[test]
fn foreign_keys_cannot_be_set() {
	state_of("development").execute_with(|| {
		let generated = SessionKeys::generate(&account("//Alice").encode(), None);
		let result = Session::set_keys(signed("//Bob"), generated.keys, generated.proof.encode());
		assert_err!(result, pallet_session::Error::<Runtime>::InvalidProof);
	});
}

#[test]
fn history_reaches_as_far_back_as_reports_and_no_further() {
	state_of("development").execute_with(|| {
		sessions(REPORTABLE_SESSIONS + 3);
		for _ in 0..3 {
			next_session(|| {
				let oldest = Session::current_index() - REPORTABLE_SESSIONS;
				assert!(HistoricalSessions::<Runtime>::get(oldest).is_some());
				assert!(HistoricalSessions::<Runtime>::get(oldest - 1).is_none());
			});
		}
	});
}
