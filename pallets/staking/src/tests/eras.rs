//! Sessions and eras.

use cuckoo_primitives::{AccountId, Role};
use pallet_session::SessionManager;

use crate::{mock::*, CurrentEra, EraStart, Event};

fn start(session: u32) {
	<Staking as SessionManager<AccountId>>::start_session(session);
}

#[test]
fn an_era_is_a_number_of_sessions() {
	run(|| {
		take_events();
		for session in 0..SESSIONS_PER_ERA {
			start(session);
			assert_eq!(CurrentEra::<Test>::get(), 0);
		}
		assert!(take_events().is_empty());
		start(SESSIONS_PER_ERA);
		assert_eq!(CurrentEra::<Test>::get(), 1);
		assert_eq!(EraStart::<Test>::get(), SESSIONS_PER_ERA);
		assert_eq!(
			take_events(),
			[Event::EraStarted {
				era: 1,
				session: SESSIONS_PER_ERA
			}]
		);
		pass_eras(5);
		assert_eq!(CurrentEra::<Test>::get(), 6);
	});
}

#[test]
fn the_first_session_of_the_chain_is_in_the_first_era() {
	run(|| {
		start(0);
		assert_eq!(CurrentEra::<Test>::get(), 0);
	});
}

#[test]
fn the_validators_are_those_of_genesis_and_stay() {
	run(|| {
		let expected = Some(vec![account(VALIDATOR)]);
		assert_eq!(
			<Staking as SessionManager<AccountId>>::new_session_genesis(0),
			expected
		);
		assert_eq!(<Staking as SessionManager<AccountId>>::new_session(2), None);
	});
	let miner = genesis_operator(MINER, Role::Miner, MINER_STAKE);
	genesis(vec![miner], Vec::new()).execute_with(|| {
		assert_eq!(
			<Staking as SessionManager<AccountId>>::new_session_genesis(0),
			None
		);
	});
}
