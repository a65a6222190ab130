//! Stake on its way out.

use cuckoo_primitives::CUC;
use frame_support::{assert_noop, assert_ok};

use super::support::*;
use crate::{mock::*, Amount, CurrentEra, Error, Unbonding, UnbondingPools};

#[test]
fn stake_is_withdrawn_after_the_unbonding_time_and_not_before() {
	run(|| {
		assert_noop!(
			Staking::withdraw(signed(ALICE)),
			Error::<Test>::NothingToWithdraw
		);
		assert_vote(ALICE, MINER, 100 * CUC);
		assert_unvote(ALICE, MINER, Amount::All);
		for _ in 0..UNBONDING_ERAS {
			assert_noop!(
				Staking::withdraw(signed(ALICE)),
				Error::<Test>::NothingToWithdraw
			);
			pass_eras(1);
		}
		assert_withdraw(ALICE, 100 * CUC);
		assert_eq!(free(ALICE), ENDOWMENT);
		assert_noop!(
			Staking::withdraw(signed(ALICE)),
			Error::<Test>::NothingToWithdraw
		);
		assert_eq!(UnbondingPools::<Test>::iter().count(), 0);
	});
}

#[test]
fn chunks_of_one_operator_and_era_are_one() {
	run(|| {
		assert_vote(ALICE, MINER, 100 * CUC);
		assert_vote(ALICE, VALIDATOR, 100 * CUC);
		for _ in 0..5 {
			assert_unvote(ALICE, MINER, Amount::Value(CUC));
			assert_unvote(ALICE, VALIDATOR, Amount::Value(CUC));
		}
		assert_eq!(Unbonding::<Test>::get(account(ALICE)).len(), 2);
		pass_eras(1);
		assert_unvote(ALICE, MINER, Amount::Value(CUC));
		assert_eq!(Unbonding::<Test>::get(account(ALICE)).len(), 3);
	});
}

#[test]
fn what_is_due_is_paid_and_the_rest_waits() {
	run(|| {
		assert_vote(ALICE, MINER, 100 * CUC);
		assert_vote(BOB, MINER, 100 * CUC);
		assert_unvote(ALICE, MINER, Amount::Value(20 * CUC));
		assert_unvote(BOB, MINER, Amount::Value(70 * CUC));
		pass_eras(1);
		assert_unvote(ALICE, MINER, Amount::Value(30 * CUC));
		pass_eras(UNBONDING_ERAS - 1);
		assert_withdraw(ALICE, 20 * CUC);
		pass_eras(1);
		assert_withdraw(ALICE, 30 * CUC);
		assert_withdraw(BOB, 70 * CUC);
	});
}

#[test]
fn a_list_is_bounded_and_withdrawing_makes_room() {
	run(|| {
		assert_vote(ALICE, MINER, 1_000 * CUC);
		assert_vote(ALICE, VALIDATOR, 1_000 * CUC);
		assert_vote(ALICE, COORDINATOR, 1_000 * CUC);
		for _ in 0..2 {
			for operator in [MINER, VALIDATOR, COORDINATOR] {
				assert_unvote(ALICE, operator, Amount::Value(CUC));
			}
			pass_eras(1);
		}
		let unvote = || Staking::unvote(signed(ALICE), account(MINER), Amount::Value(CUC));
		assert_noop!(unvote(), Error::<Test>::MaxUnbondingChunksExceeded);
		pass_eras(UNBONDING_ERAS - 2);
		assert_withdraw(ALICE, 3 * CUC);
		assert_ok!(unvote());
	});
}

#[test]
fn a_slash_reaches_stake_that_is_leaving_and_nobody_elses() {
	run(|| {
		assert_vote(ALICE, MINER, 100 * CUC);
		assert_vote(BOB, MINER, 300 * CUC);
		assert_unvote(ALICE, MINER, Amount::All);
		assert_unvote(BOB, MINER, Amount::All);
		pass_eras(1);
		assert_vote(CAROL, MINER, 100 * CUC);
		assert_unvote(CAROL, MINER, Amount::All);
		lower_unbonding(&account(MINER), 0, 200 * CUC);
		let leaving = |who| -> u128 {
			Staking::unbonding(account(who))
				.into_iter()
				.map(|chunk| chunk.value)
				.sum()
		};
		assert_eq!(
			[ALICE, BOB, CAROL].map(leaving),
			[50 * CUC, 150 * CUC, 100 * CUC]
		);
		pass_eras(UNBONDING_ERAS);
		assert_withdraw(ALICE, 50 * CUC);
		assert_withdraw(BOB, 150 * CUC);
		assert_withdraw(CAROL, 100 * CUC);
	});
}

#[test]
fn an_unbonding_pool_that_was_slashed_to_nothing_goes_on_in_a_new_generation() {
	run(|| {
		assert_vote(ALICE, MINER, 100 * CUC);
		assert_vote(BOB, MINER, 100 * CUC);
		assert_unvote(ALICE, MINER, Amount::Value(50 * CUC));
		assert_unvote(BOB, MINER, Amount::Value(50 * CUC));
		lower_unbonding(&account(MINER), CurrentEra::<Test>::get(), 100 * CUC);
		// In the same era, after the slash: not mixed with the worthless shares.
		assert_ok!(Staking::unvote(signed(ALICE), account(MINER), Amount::All));
		let values: Vec<_> = Staking::unbonding(account(ALICE))
			.into_iter()
			.map(|chunk| chunk.value)
			.collect();
		assert_eq!(values, [0, 50 * CUC]);
		assert_eq!(Staking::do_try_state(), Ok(()));
		pass_eras(UNBONDING_ERAS);
		assert_withdraw(ALICE, 50 * CUC);
		// The pool is gone; the worthless chunk of another account is still cleared away.
		assert_eq!(UnbondingPools::<Test>::iter().count(), 0);
		assert_eq!(Staking::do_try_state(), Ok(()));
		assert_withdraw(BOB, 0);
		assert!(!Unbonding::<Test>::contains_key(account(BOB)));
	});
}

#[test]
fn worthless_shares_take_nothing_out_of_the_next_generation() {
	run(|| {
		assert_vote(ALICE, MINER, 100 * CUC);
		assert_vote(BOB, MINER, 100 * CUC);
		assert_unvote(BOB, MINER, Amount::All);
		lower_unbonding(&account(MINER), 0, 100 * CUC);
		assert_unvote(ALICE, MINER, Amount::All);
		pass_eras(UNBONDING_ERAS);
		assert_withdraw(BOB, 0);
		assert_withdraw(ALICE, 100 * CUC);
	});
}

#[test]
fn stake_leaves_a_retired_operator_the_same_way() {
	run(|| {
		assert_vote(ALICE, MINER, 100 * CUC);
		assert_retire(MINER);
		assert_unvote(ALICE, MINER, Amount::All);
		assert_unstake(MINER, Amount::All);
		pass_eras(UNBONDING_ERAS);
		assert_withdraw(ALICE, 100 * CUC);
		assert_withdraw(MINER, MINER_STAKE);
		assert_eq!(free(MINER), ENDOWMENT);
	});
}
