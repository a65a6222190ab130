//! Validators earn by the blocks that they write.

mod common;

use common::{block_after, staking_events, state_of};
use cuckoo_primitives::{AccountId, Balance};
use cuckoo_runtime::{
	constants::{BLOCKS_PER_ERA, ERA_MILLIS, SESSIONS_PER_ERA, SLOTS_PER_SESSION},
	Balances, Staking,
};
use pallet_cuckoo_staking::{budget, Event, ValidatorParams};
use pallet_cuckoo_staking_runtime_api::OperatorInfo;
use sp_runtime::Perbill;

/// The blocks of the first era, by the index of their author: one in each session and three beside.
fn first_era() -> [u32; 3] {
	let mut blocks = [0; 3];
	let mut write = |slots, author: u32| {
		block_after(slots, 1, author, || ());
		blocks[author as usize] += 1;
	};
	write(1, 0);
	write(1, 1);
	write(1, 0);
	for _ in 1..SESSIONS_PER_ERA {
		write(SLOTS_PER_SESSION, 2);
	}
	blocks
}

fn validator(index: usize) -> OperatorInfo<AccountId, Balance> {
	let account = cuckoo_runtime::Session::validators()[index].clone();
	Staking::operator(account).expect("validators are operators")
}

#[test]
fn an_era_pays_its_authors_by_their_blocks() {
	state_of("local").execute_with(|| {
		let blocks = first_era();
		let issued = Balances::total_issuance();
		let before: Vec<_> = (0..3).map(validator).collect();
		block_after(SLOTS_PER_SESSION, 1, 0, || ());
		assert_eq!(Staking::info().era, 1);

		let inflation = ValidatorParams::default().yearly_inflation;
		let budget = budget::era_budget(issued, inflation, ERA_MILLIS);
		let mut paid = 0;
		for (index, before) in before.iter().enumerate() {
			let pay = budget * Balance::from(blocks[index]) / Balance::from(BLOCKS_PER_ERA);
			assert!(pay > 0);
			let rewarded = staking_events().into_iter().find_map(|event| match event {
				Event::Rewarded {
					operator,
					amount,
					commission,
				} if operator == before.account => Some((amount, commission)),
				_ => None,
			});
			// The commission of every operator of the preset.
			let commission = Perbill::from_percent(10).mul_floor(pay);
			assert_eq!(rewarded, Some((pay, commission)));
			paid += pay;
		}
		assert_eq!(Balances::total_issuance(), issued + paid);
	});
}

#[test]
fn a_reward_streams_into_the_pool_over_an_era_of_blocks() {
	state_of("local").execute_with(|| {
		// Nobody votes for the preset's validators: the whole pool is its operator's.
		let worth = || {
			let operator = validator(0).account;
			let position = Staking::position(operator.clone(), operator);
			position.expect("it has a stake of its own").value
		};
		first_era();
		let before = worth();
		block_after(SLOTS_PER_SESSION, 1, 0, || ());
		let paid = validator(0);
		assert!(paid.total_stake > before, "the commission comes at once");
		assert!(paid.streaming > 0, "the rest is on its way");
		assert_eq!(worth(), paid.total_stake);

		block_after(1, BLOCKS_PER_ERA / 2, 0, || ());
		let half_way = worth();
		assert!(half_way > paid.total_stake && half_way < paid.total_stake + paid.streaming);

		block_after(1, BLOCKS_PER_ERA, 0, || ());
		assert_eq!(worth(), paid.total_stake + paid.streaming);
	});
}

/// Who writes nothing earns nothing, and nobody else gets it.
#[test]
fn missing_blocks_are_paid_to_nobody() {
	state_of("local").execute_with(|| {
		for session in 0..SESSIONS_PER_ERA {
			block_after(
				if session == 0 { 1 } else { SLOTS_PER_SESSION },
				1,
				0,
				|| (),
			);
		}
		let issued = Balances::total_issuance();
		let idle = (validator(1), validator(2));
		block_after(SLOTS_PER_SESSION, 1, 0, || ());
		let budget = budget::era_budget(
			issued,
			ValidatorParams::default().yearly_inflation,
			ERA_MILLIS,
		);
		let pay = budget * Balance::from(SESSIONS_PER_ERA) / Balance::from(BLOCKS_PER_ERA);
		assert_eq!(Balances::total_issuance(), issued + pay);
		assert_eq!((validator(1), validator(2)), idle);
	});
}
