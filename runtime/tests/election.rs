//! Who validates: those with the most stake and with keys, as many as there are seats, never nobody.

mod common;

use common::{
	account, block, block_after, next_session, register_validator, sessions, set_new_keys, signed,
	state_of,
};
use cuckoo_primitives::{Balance, CUC};
use cuckoo_runtime::{
	constants::SLOTS_PER_SESSION, AccountId, Babe, Grandpa, Runtime, RuntimeOrigin, Session,
	Staking,
};
use frame_support::{assert_noop, assert_ok};
use pallet_cuckoo_staking::{AuthoredBlocks, ValidatorParams};
use sp_io::TestExternalities;

/// More than each validator of the preset.
const STAKE: Balance = 200_000 * CUC;

/// Sessions from a change until the sessions' set is a new one: the election at the next session's start
/// is for the one after it.
const SESSIONS_TO_SEAT: u32 = 2;

/// Three validators with equal stakes, in their second session.
fn network() -> TestExternalities {
	let mut state = state_of("local");
	state.execute_with(|| sessions(2));
	state
}

fn sorted(mut accounts: Vec<AccountId>) -> Vec<AccountId> {
	accounts.sort();
	accounts
}

/// The validators of the session are these, for BABE and GRANDPA as well.
fn assert_validators(uris: &[&str]) {
	let expected = sorted(uris.iter().map(|uri| account(uri)).collect());
	assert_eq!(sorted(Session::validators()), expected, "{uris:?}");
	assert_eq!(Babe::authorities().len(), uris.len());
	assert_eq!(Grandpa::grandpa_authorities().len(), uris.len());
}

fn set_params(seats: u32, floor: u32) {
	let params = ValidatorParams {
		seats,
		floor,
		..ValidatorParams::default()
	};
	assert_ok!(Staking::set_validator_params(RuntimeOrigin::root(), params));
}

fn vote(voter: &str, operator: &str, amount: Balance) {
	assert_ok!(Staking::vote(signed(voter), account(operator), amount));
}

#[test]
fn the_least_stake_loses_its_seat_and_votes_win_it_back() {
	network().execute_with(|| {
		block(|| {
			set_params(2, 1);
			vote("//Voter//1", "//Bob", 2_000 * CUC);
			vote("//Voter//1", "//Charlie", 1_000 * CUC);
		});
		sessions(SESSIONS_TO_SEAT);
		assert_validators(&["//Bob", "//Charlie"]);

		block(|| vote("//Voter//2", "//Alice", 1_500 * CUC));
		sessions(SESSIONS_TO_SEAT);
		assert_validators(&["//Alice", "//Bob"]);

		block(|| set_params(3, 1));
		sessions(SESSIONS_TO_SEAT);
		assert_validators(&["//Alice", "//Bob", "//Charlie"]);
	});
}

#[test]
fn only_governance_sets_seats() {
	network().execute_with(|| {
		assert_noop!(
			Staking::set_validator_params(signed("//Alice"), ValidatorParams::default()),
			sp_runtime::DispatchError::BadOrigin
		);
	});
}

#[test]
fn a_newcomer_gets_a_seat_once_it_has_keys() {
	network().execute_with(|| {
		block(|| register_validator("//Dave", STAKE));
		sessions(3);
		assert_validators(&["//Alice", "//Bob", "//Charlie"]);

		let keys = block(|| set_new_keys("//Dave"));
		sessions(SESSIONS_TO_SEAT);
		assert_validators(&["//Alice", "//Bob", "//Charlie", "//Dave"]);
		assert!(Babe::authorities().iter().any(|(key, _)| *key == keys.babe));
		assert!(Grandpa::grandpa_authorities()
			.iter()
			.any(|(key, _)| *key == keys.grandpa));
	});
}

#[test]
fn a_retired_validator_leaves() {
	network().execute_with(|| {
		block(|| {
			assert_ok!(Staking::retire(signed("//Charlie")));
		});
		sessions(SESSIONS_TO_SEAT);
		assert_validators(&["//Alice", "//Bob"]);
	});
}

#[test]
fn the_set_never_falls_below_the_floor_and_is_never_empty() {
	for floor in 1..=3 {
		network().execute_with(|| {
			block(|| {
				set_params(3, floor);
				for validator in ["//Alice", "//Bob", "//Charlie"] {
					assert_ok!(Staking::retire(signed(validator)));
				}
			});
			sessions(5);
			assert_eq!(Session::validators().len(), floor as usize);
			assert_eq!(Babe::authorities().len(), floor as usize);
		});
	}
}

/// An unchanged set is no new one: GRANDPA would change its set for nothing, and so would light clients.
#[test]
fn an_election_with_the_same_outcome_changes_nothing() {
	network().execute_with(|| {
		let set = pallet_grandpa::CurrentSetId::<Runtime>::get();
		block(|| vote("//Voter//1", "//Bob", 1_000 * CUC));
		sessions(4);
		assert_eq!(pallet_grandpa::CurrentSetId::<Runtime>::get(), set);
		assert_validators(&["//Alice", "//Bob", "//Charlie"]);
	});
}

/// The author of a session's first block is one of the session's validators, not of the one's before.
#[test]
fn the_first_block_of_a_session_is_credited_to_a_new_validator() {
	network().execute_with(|| {
		block(|| {
			register_validator("//Dave", STAKE);
			set_new_keys("//Dave");
		});
		sessions(SESSIONS_TO_SEAT - 1);
		assert_eq!(Session::validators().len(), 3);
		// The fourth validator exists from this block on.
		block_after(SLOTS_PER_SESSION, 1, 3, || ());
		let fourth = Session::validators()[3].clone();
		assert_eq!(AuthoredBlocks::<Runtime>::get(fourth), 1);
	});
}

#[test]
fn the_election_shows_in_the_events() {
	network().execute_with(|| {
		block(|| {
			assert_ok!(Staking::retire(signed("//Charlie")));
		});
		let elected = next_session(|| {
			common::staking_events()
				.into_iter()
				.find_map(|event| match event {
					pallet_cuckoo_staking::Event::ValidatorsElected {
						session,
						validators,
					} => Some((session, sorted(validators))),
					_ => None,
				})
		});
		let expected = sorted(vec![account("//Alice"), account("//Bob")]);
		assert_eq!(elected, Some((Session::current_index() + 1, expected)));
	});
}
