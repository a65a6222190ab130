//! Who validates next.

use cuckoo_primitives::{AccountId, Balance, Role, CUC};
use frame_support::assert_ok;
use pallet_session::SessionManager;
use proptest::prelude::*;

use super::support::*;
use crate::{
	election::{elect, Seats},
	mock::*,
	Amount, Event, ValidatorParameters, ValidatorParams,
};

fn new_session() -> Option<Vec<AccountId>> {
	<Staking as SessionManager<AccountId>>::new_session(7)
}

fn accounts(numbers: &[u8]) -> Vec<AccountId> {
	numbers.iter().map(|number| account(*number)).collect()
}

fn set_seats(seats: u32, floor: u32) {
	let params = ValidatorParams {
		seats,
		floor,
		..ValidatorParameters::<Test>::get()
	};
	assert_ok!(Staking::set_validator_params(RuntimeOrigin::root(), params));
}

/// Three more validators: Alice with the most stake, then Bob, Carol, and the one of genesis.
fn three_more() {
	for (who, more) in [(ALICE, 300), (BOB, 200), (CAROL, 100)] {
		assert_register(
			who,
			Role::Validator,
			who.into(),
			VALIDATOR_STAKE + more * CUC,
		);
	}
}

#[test]
fn those_with_the_most_stake_are_elected() {
	run(|| {
		three_more();
		take_events();
		let all = accounts(&[ALICE, BOB, CAROL, VALIDATOR]);
		assert_eq!(new_session(), Some(all.clone()));
		assert_eq!(
			take_events(),
			[Event::ValidatorsElected {
				session: 7,
				validators: all
			}]
		);
		set_seats(2, 1);
		assert_eq!(new_session(), Some(accounts(&[ALICE, BOB])));
		// Votes count like own stake.
		assert_vote(MINER, VALIDATOR, 250 * CUC);
		assert_eq!(new_session(), Some(accounts(&[ALICE, VALIDATOR])));
		assert_unvote(MINER, VALIDATOR, Amount::All);
		assert_eq!(new_session(), Some(accounts(&[ALICE, BOB])));
	});
}

#[test]
fn the_same_set_is_no_change_in_whatever_order() {
	run(|| {
		three_more();
		set_seats(3, 1);
		Validators::set(accounts(&[CAROL, ALICE, BOB]));
		take_events();
		assert_eq!(new_session(), None);
		assert!(take_events().is_empty());
		Validators::set(accounts(&[CAROL, ALICE]));
		assert_eq!(new_session(), Some(accounts(&[ALICE, BOB, CAROL])));
	});
}

#[test]
fn without_session_keys_the_richest_takes_no_seat() {
	run(|| {
		three_more();
		set_seats(2, 1);
		Keyless::set(accounts(&[ALICE]));
		assert_eq!(new_session(), Some(accounts(&[BOB, CAROL])));
		Keyless::set(accounts(&[ALICE, BOB]));
		assert_eq!(new_session(), Some(accounts(&[CAROL, VALIDATOR])));
	});
}

#[test]
fn a_suspended_or_retired_validator_is_not_elected() {
	run(|| {
		three_more();
		let evidence = two_results(ALICE, ALICE.into(), block(), 0);
		assert_ok!(Staking::report_equivocation(
			signed(MINER),
			Box::new(evidence)
		));
		assert_eq!(new_session(), Some(accounts(&[BOB, CAROL, VALIDATOR])));
		assert_retire(BOB);
		assert_eq!(new_session(), Some(accounts(&[CAROL, VALIDATOR])));
		assert_ok!(Staking::cancel_slash(RuntimeOrigin::root(), 0));
		assert_eq!(new_session(), Some(accounts(&[ALICE, CAROL, VALIDATOR])));
	});
}

#[test]
fn the_floor_keeps_incumbents() {
	run(|| {
		three_more();
		set_seats(4, 3);
		Validators::set(accounts(&[CAROL, BOB, ALICE, VALIDATOR]));
		for who in [ALICE, BOB, CAROL] {
			assert_retire(who);
		}
		// One is a candidate; two of those who validate now stay, in their order.
		assert_eq!(new_session(), Some(accounts(&[VALIDATOR, CAROL, BOB])));
		// Who has no keys any more cannot stay.
		Keyless::set(accounts(&[BOB]));
		assert_eq!(new_session(), Some(accounts(&[VALIDATOR, CAROL, ALICE])));
		set_seats(4, 1);
		assert_eq!(new_session(), Some(accounts(&[VALIDATOR])));
	});
}

#[test]
fn the_set_is_never_empty() {
	run(|| {
		assert_retire(VALIDATOR);
		// The one that there is stays: no change.
		assert_eq!(new_session(), None);
		Keyless::set(accounts(&[VALIDATOR]));
		assert_eq!(new_session(), None);
		Validators::set(Vec::new());
		assert_eq!(new_session(), None);
	});
	run(|| {
		// Of several the first one stays.
		assert_retire(VALIDATOR);
		Validators::set(accounts(&[BOB, VALIDATOR]));
		assert_eq!(new_session(), Some(accounts(&[BOB])));
	});
}

#[test]
fn the_first_validators_are_those_with_the_most_stake() {
	let operators = [(ALICE, 0), (BOB, 2), (CAROL, 1)]
		.map(|(who, more)| genesis_operator(who, Role::Validator, VALIDATOR_STAKE + more * CUC))
		.to_vec();
	genesis(operators, Vec::new()).execute_with(|| {
		let elected = <Staking as SessionManager<AccountId>>::new_session_genesis(0);
		assert_eq!(elected, Some(accounts(&[BOB, CAROL, ALICE])));
	});
}

proptest! {
	/// Whatever the candidates and incumbents are: no set is empty, has anybody twice, has more than
	/// the seats, or drops below the floor while there is somebody who may stay.
	#[test]
	fn every_election_keeps_its_bounds(
		candidates in prop::collection::btree_set(0..20u8, 0..12),
		incumbents in prop::collection::btree_set(0..20u8, 0..12),
		keyless in prop::collection::btree_set(0..20u8, 0..6),
		most in 1..10usize,
		floor in 0..10usize,
	) {
		let seats = Seats { most, floor: floor.min(most) };
		let has_keys = |who: &u8| !keyless.contains(who);
		let candidates: Vec<u8> = candidates.into_iter().filter(has_keys).collect();
		let incumbents: Vec<u8> = incumbents.into_iter().collect();
		let Some(elected) = elect(candidates.clone(), &incumbents, has_keys, seats) else {
			// Nothing changes: because nobody can be elected, or those who are now.
			let may: Vec<_> = candidates.iter().chain(incumbents.iter().filter(|who| has_keys(who))).collect();
			prop_assert!(may.is_empty() || incumbents.iter().all(has_keys));
			return Ok(());
		};
		let unique: std::collections::BTreeSet<_> = elected.iter().collect();
		prop_assert_eq!(unique.len(), elected.len());
		prop_assert!(!elected.is_empty() && elected.len() <= seats.most);
		prop_assert!(elected.iter().all(has_keys));
		let best = candidates.len().min(seats.most);
		prop_assert_eq!(&elected[..best], &candidates[..best]);
		let could: std::collections::BTreeSet<_> =
			candidates.iter().chain(incumbents.iter().filter(|who| has_keys(who))).collect();
		prop_assert!(elected.len() >= seats.floor.max(1).min(could.len()));
		// Nobody keeps a seat above the floor who is no candidate.
		if elected.len() > seats.floor.max(1) {
			prop_assert!(elected.iter().all(|who| candidates.contains(who)));
		}
	}
}

#[test]
fn an_election_looks_at_a_bounded_number_of_places() {
	// One seat: four places are looked at, and the fifth is not, however many have no keys.
	let stake = |place: u8| VALIDATOR_STAKE + Balance::from(10 - place) * CUC;
	let operators = (0..5)
		.map(|place| genesis_operator(ACCOUNTS[usize::from(place)], Role::Validator, stake(place)))
		.collect();
	genesis(operators, Vec::new()).execute_with(|| {
		set_seats(1, 1);
		Validators::set(accounts(&[VALIDATOR]));
		Keyless::set(accounts(&ACCOUNTS[..3]));
		assert_eq!(new_session(), Some(accounts(&ACCOUNTS[3..4])));
		Keyless::set(accounts(&ACCOUNTS[..4]));
		assert_eq!(new_session(), None);
	});
}
