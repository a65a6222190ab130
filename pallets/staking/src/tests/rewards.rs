//! Rewards: commission first, the rest in a stream; validators by their blocks.

use cuckoo_primitives::{AccountId, Balance, Role, CUC};
use frame_support::{assert_noop, assert_ok};
use pallet_session::SessionManager;
use sp_runtime::Perbill;

use super::support::*;
use crate::{
	budget::era_budget, mock::*, Amount, AuthoredBlocks, Error, Event, Held, Pools, Streams,
	ValidatorParameters, ValidatorParams,
};

/// A reward of which a billionth of an era's block is a whole number of units.
const REWARD: Balance = 100_000 * CUC;
/// What is left of it after a commission of 5%.
const STREAMED: Balance = 95_000 * CUC;

fn author(who: u8, blocks: u32) {
	for _ in 0..blocks {
		<Staking as pallet_authorship::EventHandler<AccountId, u64>>::note_author(account(who));
	}
}

fn touch(operator: u8) {
	assert_ok!(Staking::recount(
		signed(CAROL),
		vec![account(operator)].try_into().unwrap()
	));
}

#[test]
fn the_commission_comes_first_and_the_rest_streams_over_an_era() {
	run(|| {
		assert_vote(ALICE, MINER, MINER_STAKE);
		assert_reward(MINER, REWARD, REWARD - STREAMED);
		// The commission is the operator's at once, and nobody else's.
		assert_eq!(worth(MINER, MINER), MINER_STAKE + REWARD - STREAMED);
		assert_eq!(worth(ALICE, MINER), MINER_STAKE);
		let pool = Pools::<Test>::get(account(MINER));
		take_events();
		for passed in 1..=BLOCKS_PER_ERA {
			pass_blocks(1);
			let released = STREAMED * Balance::from(passed) / Balance::from(BLOCKS_PER_ERA);
			assert_eq!(streaming(MINER), STREAMED - released);
			// The operator is shown as it counts: with what was there when the pool was touched last.
			let info = Staking::operator(account(MINER)).unwrap();
			assert_eq!((info.total_stake, info.streaming), (pool.value, STREAMED));
			let part = (pool.value + released) * MINER_STAKE / pool.shares.0;
			assert_eq!(worth(ALICE, MINER), part);
		}
		// Nobody has touched the pool: all this was seen, not stored.
		assert_eq!(Pools::<Test>::get(account(MINER)), pool);
		touch(MINER);
		let all = pool.value + STREAMED;
		assert_eq!(
			take_events(),
			[Event::Recounted {
				operator: account(MINER),
				total_stake: all
			}]
		);
		assert_eq!(Pools::<Test>::get(account(MINER)).value, all);
		assert!(!Streams::<Test>::contains_key(account(MINER)));
		assert_eq!(record(MINER).counted, Some(all));
		pass_blocks(1_000);
		assert_eq!(worth(ALICE, MINER), all * MINER_STAKE / pool.shares.0);
	});
}

#[test]
fn touching_the_pool_at_any_time_changes_nothing() {
	run(|| {
		assert_eq!(pay(MINER, REWARD), Ok(()));
		for _ in 0..BLOCKS_PER_ERA {
			let before = (worth(MINER, MINER), streaming(MINER));
			touch(MINER);
			touch(MINER);
			assert_eq!((worth(MINER, MINER), streaming(MINER)), before);
			pass_blocks(1);
		}
		assert_eq!(streaming(MINER), 0);
		assert_eq!(worth(MINER, MINER), MINER_STAKE + REWARD);
	});
}

#[test]
fn who_joins_before_a_reward_and_leaves_after_it_has_nothing_of_it() {
	run(|| {
		assert_ok!(Staking::vote(signed(ALICE), account(MINER), MINER_STAKE));
		assert_eq!(pay(MINER, REWARD), Ok(()));
		assert_ok!(Staking::unvote(signed(ALICE), account(MINER), Amount::All));
		assert!(leaving(ALICE) <= MINER_STAKE);
	});
}

#[test]
fn who_joins_later_gets_of_the_later_blocks_only() {
	run(|| {
		assert_eq!(pay(MINER, REWARD), Ok(()));
		pass_blocks(BLOCKS_PER_ERA / 2);
		let stake = worth(MINER, MINER);
		// As much as the whole pool: half of what comes from now on.
		assert_ok!(Staking::vote(signed(ALICE), account(MINER), stake));
		assert!(stake - worth(ALICE, MINER) <= 1);
		pass_blocks(BLOCKS_PER_ERA);
		assert!(worth(ALICE, MINER).abs_diff(stake + STREAMED / 4) <= 2);
		assert!(worth(MINER, MINER).abs_diff(stake + STREAMED / 4) <= 2);
	});
}

#[test]
fn rewards_that_overlap_end_at_the_mean_of_their_ends() {
	run(|| {
		assert_eq!(pay(MINER, REWARD), Ok(()));
		let first_end = block() + BLOCKS_PER_ERA;
		pass_blocks(BLOCKS_PER_ERA / 2);
		// Half of the first is left: as much again lasts half as long again.
		assert_eq!(pay(MINER, REWARD / 2), Ok(()));
		let stream = Streams::<Test>::get(account(MINER));
		assert_eq!(stream.amount, STREAMED);
		assert_eq!(stream.until, first_end.midpoint(block() + BLOCKS_PER_ERA));
		pass_blocks(BLOCKS_PER_ERA);
		touch(MINER);
		assert_eq!(
			Pools::<Test>::get(account(MINER)).value,
			MINER_STAKE + REWARD + REWARD / 2
		);
	});
}

#[test]
fn a_speck_does_not_hold_up_a_large_reward() {
	run(|| {
		assert_eq!(pay(MINER, REWARD), Ok(()));
		let end = block() + BLOCKS_PER_ERA;
		// One in each block, and several in some.
		for _ in 0..BLOCKS_PER_ERA {
			for _ in 0..1 + block() % 3 {
				assert_eq!(pay(MINER, 1), Ok(()));
			}
			pass_blocks(1);
		}
		assert_eq!(block(), end);
		assert!(
			streaming(MINER) < 1_000,
			"{} of {STREAMED} is left",
			streaming(MINER)
		);
	});
}

#[test]
fn a_large_reward_after_a_speck_takes_its_time() {
	run(|| {
		assert_eq!(pay(MINER, 1_000), Ok(()));
		pass_blocks(BLOCKS_PER_ERA - 1);
		assert_eq!(pay(MINER, REWARD), Ok(()));
		pass_blocks(BLOCKS_PER_ERA / 2);
		let half = STREAMED / 2;
		assert!(streaming(MINER).abs_diff(half) < half / 10);
	});
}

#[test]
fn a_reward_too_small_for_a_share_is_everybodys() {
	run(|| {
		raise(MINER, 40 * MINER_STAKE);
		// A twentieth of it is less than the price of a share.
		assert_reward(MINER, 40, 0);
		assert_eq!(streaming(MINER), 40);
	});
}

#[test]
fn a_commission_of_everything_leaves_no_stream() {
	run(|| {
		assert_vote(ALICE, MINER, MINER_STAKE);
		for step in 2..=20 {
			assert_ok!(Staking::set_commission(
				signed(MINER),
				Perbill::from_percent(5 * step)
			));
			pass_eras(1);
		}
		assert_reward(MINER, REWARD, REWARD);
		assert!(!Streams::<Test>::contains_key(account(MINER)));
		assert_eq!(worth(ALICE, MINER), MINER_STAKE);
		// Nor does it touch a stream that is there.
		assert_ok!(Staking::set_commission(signed(MINER), Perbill::zero()));
		pass_eras(1);
		assert_reward(MINER, REWARD, 0);
		pass_blocks(1);
		let left = streaming(MINER);
		assert_reward(MINER, 0, 0);
		assert_eq!(streaming(MINER), left);
	});
}

#[test]
fn a_reward_for_nobody_is_handed_back() {
	run(|| {
		let issued = Balances::total_issuance();
		let held = Held::<Test>::get();
		take_events();
		// No operator.
		assert_eq!(pay(ALICE, REWARD), Err(REWARD));
		// An operator without anybody's stake.
		assert_retire(MINER);
		assert_unstake(MINER, Amount::All);
		take_events();
		assert_eq!(pay(MINER, REWARD), Err(REWARD));
		assert!(take_events().is_empty());
		assert_eq!(
			(Balances::total_issuance(), Held::<Test>::get()),
			(issued, held)
		);
	});
}

#[test]
fn a_reward_of_nothing_changes_nothing() {
	run(|| {
		let before = Snapshot::take(MINER, MINER);
		assert_reward(MINER, 0, 0);
		assert_eq!(Snapshot::take(MINER, MINER), before);
		assert!(!Streams::<Test>::contains_key(account(MINER)));
	});
}

#[test]
fn a_retired_operator_and_its_voters_still_earn() {
	run(|| {
		assert_vote(ALICE, MINER, 100 * CUC);
		assert_retire(MINER);
		assert_unstake(MINER, Amount::All);
		assert_reward(MINER, REWARD, REWARD - STREAMED);
		pass_eras(1);
		// Alice's stake and the operator's commission share the stream.
		let all = 100 * CUC + REWARD;
		assert!(worth(ALICE, MINER) + worth(MINER, MINER) <= all);
		assert!(worth(ALICE, MINER) + worth(MINER, MINER) >= all - 2);
	});
}

#[test]
fn the_last_one_out_takes_the_stream() {
	run(|| {
		assert_retire(MINER);
		assert_eq!(pay(MINER, REWARD), Ok(()));
		pass_blocks(3);
		assert_ok!(Staking::unstake(signed(MINER), Amount::All));
		assert_eq!(leaving(MINER), MINER_STAKE + REWARD);
		assert!(!Streams::<Test>::contains_key(account(MINER)));
		assert_eq!(Pools::<Test>::get(account(MINER)), Default::default());
	});
}

#[test]
fn who_leaves_before_the_last_one_takes_nothing_of_the_stream() {
	run(|| {
		assert_vote(ALICE, MINER, MINER_STAKE);
		assert_retire(MINER);
		assert_eq!(pay(MINER, REWARD), Ok(()));
		assert_ok!(Staking::unvote(signed(ALICE), account(MINER), Amount::All));
		assert_eq!(leaving(ALICE), MINER_STAKE);
		assert_eq!(streaming(MINER), STREAMED);
	});
}

/// What an era pays for its blocks at most.
fn budget() -> Balance {
	era_budget(
		Balances::total_issuance(),
		Perbill::from_parts(25_000_000),
		ERA_MILLIS,
	)
}

/// What those blocks are paid.
fn pay_of(budget: Balance, blocks: u32, all: u32) -> Balance {
	budget * Balance::from(blocks) / Balance::from(all.max(BLOCKS_PER_ERA))
}

#[test]
fn validators_are_paid_for_their_blocks_at_the_end_of_the_era() {
	run(|| {
		assert_register(ALICE, Role::Validator, 50, VALIDATOR_STAKE);
		author(VALIDATOR, 20);
		author(ALICE, 10);
		let (budget, issued) = (budget(), Balances::total_issuance());
		// A day's part of 2.5% a year of six hundred million and the stakes.
		assert!(budget > 41_000 * CUC && budget < 41_100 * CUC, "{budget}");
		take_events();
		pass_eras(1);
		let (two_thirds, one_third) = (pay_of(budget, 20, 30), pay_of(budget, 10, 30));
		let rewarded = |who, amount| Event::Rewarded {
			operator: account(who),
			amount,
			commission: commission().mul_floor(amount),
		};
		let events = take_events();
		assert_eq!(events.len(), 4);
		assert!(events.contains(&rewarded(VALIDATOR, two_thirds)));
		assert!(events.contains(&rewarded(ALICE, one_third)));
		let paid = two_thirds + one_third;
		assert_eq!(
			events[2..],
			[
				Event::ValidatorsPaid {
					era: 0,
					budget,
					paid
				},
				Event::EraStarted {
					era: 1,
					session: SESSIONS_PER_ERA
				}
			]
		);
		assert_eq!(Balances::total_issuance(), issued + paid);
		assert_eq!(AuthoredBlocks::<Test>::iter().count(), 0);
		// The next era's blocks are counted from none.
		pass_eras(1);
		assert_eq!(Balances::total_issuance(), issued + paid);
	});
}

#[test]
fn a_missing_block_is_paid_to_nobody() {
	run(|| {
		author(VALIDATOR, 6);
		let (budget, issued) = (budget(), Balances::total_issuance());
		pass_eras(1);
		assert_eq!(Balances::total_issuance(), issued + budget / 5);
	});
}

#[test]
fn more_blocks_than_expected_are_not_paid_more() {
	run(|| {
		assert_register(ALICE, Role::Validator, 50, VALIDATOR_STAKE);
		author(VALIDATOR, 2 * BLOCKS_PER_ERA);
		author(ALICE, 2 * BLOCKS_PER_ERA);
		let (budget, issued) = (budget(), Balances::total_issuance());
		pass_eras(1);
		let paid = Balances::total_issuance() - issued;
		assert!(paid <= budget && paid >= budget - 1);
		assert!(streaming(VALIDATOR).abs_diff(streaming(ALICE)) <= 1);
	});
}

#[test]
fn pay_that_nobody_takes_is_not_issued() {
	run(|| {
		// One author is no operator, one has nothing in its pool.
		author(ALICE, 10);
		author(MINER, 10);
		author(VALIDATOR, 10);
		assert_retire(MINER);
		assert_unstake(MINER, Amount::All);
		let (budget, issued) = (budget(), Balances::total_issuance());
		let paid = pay_of(budget, 10, 30);
		take_events();
		pass_eras(1);
		assert_eq!(Balances::total_issuance(), issued + paid);
		assert_eq!(
			take_events()[1],
			Event::ValidatorsPaid {
				era: 0,
				budget,
				paid
			}
		);
	});
}

#[test]
fn without_inflation_nobody_is_paid_and_nothing_is_said() {
	run(|| {
		let params = ValidatorParams {
			yearly_inflation: Perbill::zero(),
			..Default::default()
		};
		ValidatorParameters::<Test>::put(params);
		author(VALIDATOR, 30);
		let issued = Balances::total_issuance();
		take_events();
		pass_eras(1);
		assert_eq!(Balances::total_issuance(), issued);
		assert!(matches!(take_events()[..], [Event::EraStarted { .. }]));
	});
}

#[test]
fn pay_comes_with_the_era_and_not_with_the_session() {
	run(|| {
		author(VALIDATOR, 5);
		let issued = Balances::total_issuance();
		for session in 0..SESSIONS_PER_ERA {
			<Staking as SessionManager<AccountId>>::start_session(session);
			assert_eq!(Balances::total_issuance(), issued);
		}
		assert_eq!(AuthoredBlocks::<Test>::get(account(VALIDATOR)), 5);
	});
}

#[test]
fn one_unit_of_own_stake_does_not_make_shares_so_dear_that_votes_are_rounded_away() {
	run(|| {
		// A validator empties its pool, comes back with the least there is, and is then paid for the
		// blocks that it still has authored.
		assert_retire(VALIDATOR);
		assert_unstake(VALIDATOR, Amount::All);
		assert_ok!(Staking::reactivate(
			signed(VALIDATOR),
			worker(50),
			proof_now(50, VALIDATOR)
		));
		assert_ok!(Staking::set_commission(signed(VALIDATOR), Perbill::zero()));
		pass_eras(1);
		for amount in [1, 1_000, MIN_VOTE - 1] {
			assert_noop!(
				Staking::stake_more(signed(VALIDATOR), amount),
				Error::<Test>::AmountTooSmall
			);
		}
		assert_ok!(Staking::stake_more(signed(VALIDATOR), MIN_VOTE));
		author(VALIDATOR, BLOCKS_PER_ERA);
		pass_eras(1);
		let voted = 1_234 * CUC + 567_890_123_456;
		pass_eras(1);
		assert_ok!(Staking::vote(signed(ALICE), account(VALIDATOR), voted));
		let lost = voted - worth(ALICE, VALIDATOR);
		assert!(lost < 1_000_000, "{lost} of {voted} was rounded away");
	});
}
