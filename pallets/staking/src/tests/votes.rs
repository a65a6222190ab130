//! Votes for operators.

use cuckoo_primitives::{Role, CUC};
use frame_support::{assert_noop, assert_ok};

use super::support::*;
use crate::{mock::*, Amount, Error, Event, Positions};

#[test]
fn an_account_votes_for_any_number_of_operators() {
	run(|| {
		for operator in [MINER, VALIDATOR, COORDINATOR] {
			assert_vote(ALICE, operator, 100 * CUC);
			assert_vote(ALICE, operator, MIN_VOTE);
			assert_vote(BOB, operator, 3_000 * CUC);
		}
		// An operator votes for others like anybody.
		assert_vote(MINER, VALIDATOR, MIN_VOTE);
		assert_eq!(Staking::positions(account(ALICE), None, 10).len(), 3);
	});
}

#[test]
fn a_vote_needs_an_operator_an_amount_and_the_money() {
	run(|| {
		let miner = || account(MINER);
		assert_noop!(
			Staking::vote(signed(ALICE), account(BOB), MIN_VOTE),
			Error::<Test>::OperatorNotFound
		);
		assert_noop!(
			Staking::vote(signed(ALICE), miner(), MIN_VOTE - 1),
			Error::<Test>::VoteTooSmall
		);
		assert_noop!(
			Staking::vote(signed(MINER), miner(), MIN_VOTE),
			Error::<Test>::SelfVoteNotAllowed
		);
		assert_noop!(
			Staking::vote(signed(ALICE), miner(), ENDOWMENT - DEPOSIT + 1),
			Error::<Test>::BalanceTooLow
		);
		assert_noop!(
			Staking::vote(signed(99), miner(), MIN_VOTE),
			Error::<Test>::BalanceTooLow
		);
		assert_noop!(
			Staking::vote(signed(ALICE), miner(), u128::MAX),
			Error::<Test>::AmountTooLarge
		);
		assert_vote(ALICE, MINER, ENDOWMENT - DEPOSIT);
	});
}

#[test]
fn a_vote_is_taken_back_in_part_or_whole() {
	run(|| {
		assert_vote(ALICE, MINER, 100 * CUC);
		assert_vote(BOB, MINER, 100 * CUC);
		assert_unvote(ALICE, MINER, Amount::Value(1));
		assert_unvote(ALICE, MINER, Amount::Value(90 * CUC - 1));
		assert_unvote(ALICE, MINER, Amount::All);
		assert!(!Positions::<Test>::contains_key(
			account(ALICE),
			account(MINER)
		));
		// The whole amount by its number leaves nothing either.
		assert_unvote(BOB, MINER, Amount::Value(100 * CUC));
		assert!(!Positions::<Test>::contains_key(
			account(BOB),
			account(MINER)
		));
	});
}

#[test]
fn what_is_not_there_is_not_taken_back() {
	run(|| {
		assert_vote(ALICE, MINER, 100 * CUC);
		let unvote =
			|who: u8, operator: u8, amount| Staking::unvote(signed(who), account(operator), amount);
		assert_noop!(
			unvote(ALICE, BOB, Amount::All),
			Error::<Test>::OperatorNotFound
		);
		assert_noop!(
			unvote(BOB, MINER, Amount::All),
			Error::<Test>::PositionNotFound
		);
		assert_noop!(
			unvote(ALICE, VALIDATOR, Amount::All),
			Error::<Test>::PositionNotFound
		);
		assert_noop!(
			unvote(MINER, MINER, Amount::All),
			Error::<Test>::SelfVoteNotAllowed
		);
		assert_noop!(
			unvote(ALICE, MINER, Amount::Value(0)),
			Error::<Test>::AmountTooSmall
		);
		assert_noop!(
			unvote(ALICE, MINER, Amount::Value(100 * CUC + 1)),
			Error::<Test>::PositionTooSmall
		);
		assert_noop!(
			unvote(ALICE, MINER, Amount::Value(u128::MAX)),
			Error::<Test>::PositionTooSmall
		);
		assert_noop!(
			unvote(ALICE, MINER, Amount::Value(90 * CUC + 1)),
			Error::<Test>::RemainderTooSmall
		);
	});
}

#[test]
fn votes_move_an_operator_in_the_order() {
	run(|| {
		assert_register(CAROL, Role::Validator, 50, VALIDATOR_STAKE + 1);
		let top = || -> Vec<_> {
			Staking::top(Role::Validator, 10)
				.into_iter()
				.map(|(account, _)| account)
				.collect()
		};
		assert_eq!(top(), [account(CAROL), account(VALIDATOR)]);
		assert_vote(ALICE, VALIDATOR, MIN_VOTE);
		assert_eq!(top(), [account(VALIDATOR), account(CAROL)]);
		assert_unvote(ALICE, VALIDATOR, Amount::All);
		assert_eq!(top(), [account(CAROL), account(VALIDATOR)]);
		assert_retire(CAROL);
		assert_eq!(top(), [account(VALIDATOR)]);
	});
}

#[test]
fn equal_stakes_are_in_the_order_of_accounts() {
	run(|| {
		assert_register(BOB, Role::Validator, 50, VALIDATOR_STAKE);
		assert_register(ALICE, Role::Validator, 51, VALIDATOR_STAKE);
		let top = Staking::top(Role::Validator, 10);
		assert_eq!(
			top,
			[VALIDATOR, ALICE, BOB].map(|who| (account(who), VALIDATOR_STAKE))
		);
	});
}

#[test]
fn rewards_and_slashes_reach_every_voter_in_proportion() {
	run(|| {
		assert_vote(ALICE, MINER, 30_000 * CUC);
		assert_vote(BOB, MINER, 60_000 * CUC);
		raise(MINER, 12_000 * CUC);
		let worth = |who| {
			Staking::position(account(who), account(MINER))
				.unwrap()
				.value
		};
		assert_eq!(worth(MINER), 33_000 * CUC);
		assert_eq!(worth(ALICE), 33_000 * CUC);
		assert_eq!(worth(BOB), 66_000 * CUC);
		lower(MINER, 33_000 * CUC);
		assert_eq!(worth(ALICE), 24_750 * CUC);
		assert_eq!(worth(BOB), 49_500 * CUC);
		// Who comes later pays today's rate and owns nothing of yesterday's.
		assert_ok!(Staking::vote(signed(CAROL), account(MINER), 99_000 * CUC));
		assert_eq!(worth(CAROL), 99_000 * CUC);
		assert_eq!(worth(ALICE), 24_750 * CUC);
	});
}

#[test]
fn a_vote_in_a_pool_that_was_slashed_to_nothing_is_worth_nothing() {
	run(|| {
		assert_vote(ALICE, MINER, 100 * CUC);
		lower(MINER, MINER_STAKE + 100 * CUC);
		assert_eq!(
			Staking::position(account(ALICE), account(MINER))
				.unwrap()
				.value,
			0
		);
		assert_noop!(
			Staking::unvote(signed(ALICE), account(MINER), Amount::Value(1)),
			Error::<Test>::PositionTooSmall
		);
		// New stake begins at 1:1, and the old shares get nothing of it.
		assert_ok!(Staking::vote(signed(BOB), account(MINER), 50 * CUC));
		assert_eq!(
			Staking::position(account(BOB), account(MINER))
				.unwrap()
				.value,
			50 * CUC
		);
		assert_eq!(
			Staking::position(account(ALICE), account(MINER))
				.unwrap()
				.value,
			0
		);
		// The old position can be cleared away, for nothing and without a chunk.
		take_events();
		assert_ok!(Staking::unvote(signed(ALICE), account(MINER), Amount::All));
		assert!(Staking::unbonding(account(ALICE)).is_empty());
		assert_eq!(
			take_events(),
			[Event::Unvoted {
				voter: account(ALICE),
				operator: account(MINER),
				amount: 0,
				position: 0,
				total_stake: 50 * CUC,
				withdrawable_era: UNBONDING_ERAS,
			}]
		);
	});
}

#[test]
fn a_pool_with_shares_and_no_value_takes_no_votes() {
	// No slash leaves such a pool: `run` would refuse the state.
	let miner = genesis_operator(MINER, Role::Miner, MINER_STAKE);
	genesis(vec![miner], Vec::new()).execute_with(|| {
		Staking::change_stake(&account(MINER), |_, stake| {
			crate::Held::<Test>::mutate(|held| *held -= stake.pool.value);
			stake.pool.value = 0;
			Ok(())
		})
		.unwrap();
		assert_noop!(
			Staking::vote(signed(ALICE), account(MINER), MIN_VOTE),
			Error::<Test>::PoolWorthless
		);
	});
}
