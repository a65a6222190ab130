//! Taking back what is on its way out.

use cuckoo_primitives::{Balance, CUC};
use frame_support::{assert_noop, assert_ok};

use super::support::*;
use crate::{mock::*, Amount, Error, Event, Positions, Unbonding, UnbondingPools};

fn rebond(who: u8, operator: u8, amount: Amount) -> sp_runtime::DispatchResult {
	Staking::rebond(signed(who), account(operator), amount)
}

/// Takes `value` back, at rates of 1:1.
fn assert_rebond(who: u8, operator: u8, amount: Amount, value: Balance) {
	let before = Snapshot::take(who, operator);
	take_events();
	assert_ok!(rebond(who, operator, amount));
	let after = Snapshot::take(who, operator);
	assert_eq!(after.free, before.free);
	assert_eq!((after.pot, after.held), (before.pot, before.held));
	assert_eq!(after.position, before.position + value);
	assert_eq!(after.leaving, before.leaving - value);
	assert_eq!(after.pool.value, before.pool.value + value);
	assert_eq!(after.pool.shares.0, before.pool.shares.0 + value);
	let record = after.record.unwrap();
	assert_eq!(record.counted, Some(after.pool.value));
	assert_eq!(
		take_events(),
		[Event::Rebonded {
			account: account(who),
			operator: account(operator),
			amount: value,
			position: after.position,
			total_stake: after.pool.value,
		}]
	);
}

#[test]
fn a_vote_that_leaves_is_taken_back_in_part_or_whole() {
	run(|| {
		assert_vote(ALICE, MINER, 100 * CUC);
		assert_unvote(ALICE, MINER, Amount::Value(60 * CUC));
		assert_rebond(ALICE, MINER, Amount::Value(20 * CUC), 20 * CUC);
		assert_rebond(ALICE, MINER, Amount::Value(1), 1);
		assert_rebond(ALICE, MINER, Amount::All, 40 * CUC - 1);
		assert!(!Unbonding::<Test>::contains_key(account(ALICE)));
		assert_eq!(UnbondingPools::<Test>::iter().count(), 0);
		assert_eq!(worth(ALICE, MINER), 100 * CUC);
	});
}

#[test]
fn an_operator_takes_its_own_stake_back() {
	run(|| {
		assert_unstake(MINER, Amount::Value(5_000 * CUC));
		assert_rebond(MINER, MINER, Amount::All, 5_000 * CUC);
		assert_eq!(worth(MINER, MINER), MINER_STAKE);
	});
}

#[test]
fn what_left_last_comes_back_first() {
	run(|| {
		assert_vote(ALICE, MINER, 100 * CUC);
		assert_vote(ALICE, VALIDATOR, 100 * CUC);
		for amount in [10, 20, 30] {
			assert_unvote(ALICE, MINER, Amount::Value(amount * CUC));
			pass_eras(1);
		}
		assert_unvote(ALICE, VALIDATOR, Amount::Value(50 * CUC));
		assert_rebond(ALICE, MINER, Amount::Value(35 * CUC), 35 * CUC);
		let chunks: Vec<_> = Staking::unbonding(account(ALICE))
			.into_iter()
			.map(|chunk| (chunk.operator, chunk.since_era, chunk.value))
			.collect();
		let miner = account(MINER);
		assert_eq!(
			chunks,
			[
				(miner.clone(), 0, 10 * CUC),
				(miner, 1, 15 * CUC),
				(account(VALIDATOR), 3, 50 * CUC)
			]
		);
	});
}

#[test]
fn a_vote_comes_back_even_when_nothing_of_it_stayed() {
	run(|| {
		assert_vote(ALICE, MINER, 100 * CUC);
		assert_unvote(ALICE, MINER, Amount::All);
		assert_noop!(
			rebond(ALICE, MINER, Amount::Value(MIN_VOTE - 1)),
			Error::<Test>::VoteTooSmall
		);
		assert_rebond(ALICE, MINER, Amount::Value(MIN_VOTE), MIN_VOTE);
		// What is left may be any amount.
		assert_rebond(ALICE, MINER, Amount::Value(90 * CUC - 1), 90 * CUC - 1);
		assert_eq!(leaving(ALICE), 1);
	});
}

#[test]
fn what_is_due_can_still_be_taken_back() {
	run(|| {
		assert_vote(ALICE, MINER, 100 * CUC);
		assert_unvote(ALICE, MINER, Amount::All);
		pass_eras(UNBONDING_ERAS + 3);
		assert_rebond(ALICE, MINER, Amount::All, 100 * CUC);
		assert_noop!(
			Staking::withdraw(signed(ALICE)),
			Error::<Test>::NothingToWithdraw
		);
	});
}

#[test]
fn what_is_not_there_is_not_taken_back() {
	run(|| {
		assert_vote(ALICE, MINER, 100 * CUC);
		assert_unvote(ALICE, MINER, Amount::Value(60 * CUC));
		let nothing = || Error::<Test>::NothingToRebond;
		assert_noop!(rebond(ALICE, VALIDATOR, Amount::All), nothing());
		assert_noop!(rebond(BOB, MINER, Amount::All), nothing());
		assert_noop!(rebond(ALICE, MINER, Amount::Value(0)), nothing());
		assert_noop!(
			rebond(ALICE, BOB, Amount::All),
			Error::<Test>::OperatorNotFound
		);
		for too_much in [60 * CUC + 1, u128::MAX] {
			assert_noop!(
				rebond(ALICE, MINER, Amount::Value(too_much)),
				Error::<Test>::PositionTooSmall
			);
		}
		assert_retire(MINER);
		assert_noop!(
			rebond(ALICE, MINER, Amount::All),
			Error::<Test>::OperatorRetired
		);
		assert_eq!(leaving(ALICE), 60 * CUC);
	});
}

#[test]
fn coming_back_buys_at_todays_rate() {
	run(|| {
		assert_vote(ALICE, MINER, MINER_STAKE);
		assert_unvote(ALICE, MINER, Amount::Value(MINER_STAKE / 2));
		raise(MINER, MINER_STAKE);
		let before = worth(ALICE, MINER);
		assert_ok!(rebond(ALICE, MINER, Amount::All));
		let gained = worth(ALICE, MINER) - before;
		assert!((MINER_STAKE / 2 - 2..=MINER_STAKE / 2).contains(&gained));
	});
}

#[test]
fn going_out_and_back_around_a_reward_gains_nothing() {
	run(|| {
		assert_vote(ALICE, MINER, MINER_STAKE);
		assert_vote(BOB, MINER, MINER_STAKE);
		assert_eq!(pay(MINER, 1_000 * CUC), Ok(()));
		// Alice goes out and back in each block, Bob stays.
		for _ in 0..BLOCKS_PER_ERA {
			assert_ok!(Staking::unvote(signed(ALICE), account(MINER), Amount::All));
			assert_ok!(rebond(ALICE, MINER, Amount::All));
			pass_blocks(1);
		}
		let (alice, bob) = (worth(ALICE, MINER), worth(BOB, MINER));
		assert!(alice <= bob, "{alice} {bob}");
		assert!(bob - alice < 1_000, "{alice} {bob}");
	});
}

#[test]
fn chunks_that_were_slashed_come_back_for_what_they_are_worth() {
	run(|| {
		assert_vote(ALICE, MINER, 100 * CUC);
		assert_unvote(ALICE, MINER, Amount::Value(50 * CUC));
		pass_eras(1);
		assert_unvote(ALICE, MINER, Amount::Value(20 * CUC));
		lower_unbonding(&account(MINER), 0, 50 * CUC);
		lower_unbonding(&account(MINER), 1, 10 * CUC);
		assert_noop!(
			rebond(ALICE, MINER, Amount::Value(10 * CUC + 1)),
			Error::<Test>::PositionTooSmall
		);
		// The worthless chunk is cleared away with it.
		assert_rebond(ALICE, MINER, Amount::All, 10 * CUC);
		assert!(!Unbonding::<Test>::contains_key(account(ALICE)));
		lower(MINER, MINER_STAKE / 2);
		assert!(Positions::<Test>::contains_key(
			account(ALICE),
			account(MINER)
		));
	});
}

#[test]
fn stake_that_comes_back_is_in_reach_of_a_slash() {
	run(|| {
		assert_vote(ALICE, MINER, 10_000 * CUC);
		assert_unvote(ALICE, MINER, Amount::All);
		pass_eras(1);
		assert_rebond(ALICE, MINER, Amount::All, 10_000 * CUC);
		assert_report(BOB, MINER, offence_now(0), 1);
		pass_eras(SLASH_DEFER_ERAS);
		assert_apply(0, MINER, 4_000 * CUC, BOB, 400 * CUC);
	});
}
