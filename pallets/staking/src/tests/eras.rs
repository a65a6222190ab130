//! Sessions and eras.

use cuckoo_primitives::{AccountId, Role};
use pallet_session::SessionManager;

use crate::{mock::*, CurrentEra, EraStartedAt, Event, RecentEras};

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
		let start = EraStartedAt {
			era: 1,
			session: SESSIONS_PER_ERA,
			block: 1,
		};
		assert_eq!(RecentEras::<Test>::get().last(), Some(&start));
		let events = take_events();
		assert!(matches!(
			events[0],
			Event::ValidatorsPaid {
				era: 0,
				paid: 0,
				..
			}
		));
		assert_eq!(
			events[1..],
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
fn eras_are_on_record_while_their_offences_count() {
	run(|| {
		pass_eras(EVIDENCE_ERAS + 3);
		let eras: Vec<_> = RecentEras::<Test>::get()
			.iter()
			.map(|start| (start.era, start.session, start.block))
			.collect();
		let expected: Vec<_> = (3..=EVIDENCE_ERAS + 3)
			.map(|era| (era, era * SESSIONS_PER_ERA, 1 + era * BLOCKS_PER_ERA))
			.collect();
		assert_eq!(eras, expected);
		// The last block before an era is in the one before it.
		let (era, session, block) = expected[1];
		assert_eq!(Staking::era_of_block(block), Some(era));
		assert_eq!(Staking::era_of_block(block - 1), Some(era - 1));
		assert_eq!(Staking::era_of_session(session), Some(era));
		assert_eq!(Staking::era_of_session(session - 1), Some(era - 1));
		// What is too old is in none.
		let (_, session, block) = expected[0];
		assert_eq!(Staking::era_of_block(block - 1), None);
		assert_eq!(Staking::era_of_session(session - 1), None);
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
