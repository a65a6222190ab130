//! What somebody would try.

use cuckoo_primitives::{Role, CUC};
use frame_support::{assert_noop, assert_ok};
use proptest::prelude::*;
use sp_runtime::{Perbill, TokenError};

use super::support::*;
use crate::{mock::*, pool::Shares, types::DescendingStake, Amount, Error, Held, Pools, Positions};

fn give(from: u8, to: cuckoo_primitives::AccountId, amount: u128) {
	assert_ok!(Balances::transfer_allow_death(signed(from), to, amount));
}

#[test]
fn a_gift_to_the_pot_moves_no_rate_and_stops_nobody() {
	run(|| {
		assert_vote(ALICE, MINER, 100 * CUC);
		let before = Snapshot::take(ALICE, MINER);
		give(BOB, Staking::pot(), 1_000_000 * CUC);
		let after = Snapshot::take(ALICE, MINER);
		assert_eq!(after.pot, before.pot + 1_000_000 * CUC);
		assert_eq!(
			Snapshot {
				pot: before.pot,
				..after
			},
			before
		);
		assert_eq!(Staking::do_try_state(), Ok(()));
		// Whoever comes next pays the same rate, and everybody gets what is owed and no more.
		assert_vote(CAROL, MINER, 100 * CUC);
		assert_unvote(CAROL, MINER, Amount::All);
		assert_unvote(ALICE, MINER, Amount::All);
		pass_eras(UNBONDING_ERAS);
		assert_withdraw(ALICE, 100 * CUC);
		assert_withdraw(CAROL, 100 * CUC);
	});
}

#[test]
fn the_pot_pays_everything_back_and_keeps_its_deposit() {
	run(|| {
		assert_vote(ALICE, MINER, 100 * CUC);
		assert_unvote(ALICE, MINER, Amount::All);
		for operator in [MINER, VALIDATOR, COORDINATOR] {
			assert_retire(operator);
			assert_unstake(operator, Amount::All);
		}
		pass_eras(UNBONDING_ERAS);
		for who in [ALICE, MINER, VALIDATOR, COORDINATOR] {
			assert_ok!(Staking::withdraw(signed(who)));
			assert_eq!(free(who), ENDOWMENT);
		}
		assert_eq!(Held::<Test>::get(), 0);
		assert_eq!(Balances::free_balance(Staking::pot()), DEPOSIT);
	});
}

#[test]
fn one_stake_does_not_count_for_two_operators() {
	run(|| {
		assert_vote(ALICE, MINER, ENDOWMENT - DEPOSIT);
		assert_noop!(
			Staking::vote(signed(ALICE), account(VALIDATOR), MIN_VOTE),
			Error::<Test>::BalanceTooLow
		);
		// Nor does stake that is on its way out.
		assert_unvote(ALICE, MINER, Amount::All);
		assert_noop!(
			Staking::vote(signed(ALICE), account(VALIDATOR), MIN_VOTE),
			Error::<Test>::BalanceTooLow
		);
	});
}

#[test]
fn retiring_is_no_way_around_the_unbonding_time() {
	run(|| {
		assert_retire(MINER);
		assert_unstake(MINER, Amount::All);
		assert_noop!(
			Staking::withdraw(signed(MINER)),
			Error::<Test>::NothingToWithdraw
		);
		// Nor is coming back and leaving again.
		assert_register(MINER, Role::Miner, 50, MINER_STAKE);
		assert_retire(MINER);
		pass_eras(UNBONDING_ERAS - 1);
		assert_unstake(MINER, Amount::All);
		assert_noop!(
			Staking::withdraw(signed(MINER)),
			Error::<Test>::NothingToWithdraw
		);
		lower_unbonding(&account(MINER), 0, MINER_STAKE / 2);
		pass_eras(1);
		assert_withdraw(MINER, MINER_STAKE / 2);
	});
}

#[test]
fn registering_again_brings_no_dead_shares_back() {
	run(|| {
		assert_vote(ALICE, MINER, 100 * CUC);
		lower(MINER, MINER_STAKE + 100 * CUC);
		// It was slashed to nothing and is not active; it retires, and all its shares are dead.
		assert_ok!(Staking::retire(signed(MINER)));
		assert_register(MINER, Role::Validator, 50, VALIDATOR_STAKE);
		assert_eq!(worth(ALICE, MINER), 0);
		assert_eq!(worth(MINER, MINER), VALIDATOR_STAKE);
		assert_eq!(Staking::do_try_state(), Ok(()));
		assert_ok!(Staking::vote(signed(ALICE), account(MINER), MIN_VOTE));
		assert_eq!(worth(ALICE, MINER), MIN_VOTE);
	});
}

#[test]
fn going_in_and_out_at_an_odd_rate_gains_nothing() {
	run(|| {
		assert_ok!(Staking::vote(signed(ALICE), account(MINER), 100 * CUC + 1));
		raise(MINER, 777_777_777_777_777_777);
		lower(MINER, 99_999_999_999_999_999);
		let honest = worth(ALICE, MINER);
		let begin = free(BOB);
		let mut amount = MIN_VOTE;
		for _ in 0..50 {
			assert_ok!(Staking::vote(signed(BOB), account(MINER), amount));
			assert!(worth(BOB, MINER) <= amount);
			assert_ok!(Staking::unvote(signed(BOB), account(MINER), Amount::All));
			amount += 333_333_333_333;
		}
		pass_eras(UNBONDING_ERAS);
		assert_ok!(Staking::withdraw(signed(BOB)));
		assert!(free(BOB) <= begin);
		// Each way in and out costs less than one share's worth and a unit.
		let pool = Pools::<Test>::get(account(MINER));
		assert!(begin - free(BOB) <= 50 * (pool.value / pool.shares.0 + 2));
		assert!(worth(ALICE, MINER) >= honest);
	});
}

/// Retired, an operator sells nearly all shares of its pool, lets rewards come in, and does so again until
/// one share is left that is worth more than most votes. What a vote buys no share for would be its own.
#[test]
fn a_pool_of_a_few_dear_shares_takes_no_stake_that_would_be_rounded_away() {
	run(|| {
		let stake = MINER_STAKE;
		assert_ok!(Staking::register(
			signed(ALICE),
			Role::Miner,
			worker(50),
			proof_now(50, ALICE),
			stake,
			Perbill::zero(),
			introduction(),
		));
		assert_vote(CAROL, ALICE, 1_500 * CUC);
		assert_retire(ALICE);
		assert_unvote(CAROL, ALICE, Amount::All);
		assert_unstake(ALICE, Amount::Value(stake - MIN_VOTE));
		for _ in 0..8 {
			assert_eq!(pay(ALICE, 1_000 * CUC), Ok(()));
			pass_blocks(BLOCKS_PER_ERA);
			let pool = Staking::stake_now(&account(ALICE)).pool;
			let left = MIN_VOTE + pool.worth(Shares(1)) + 1;
			if left < pool.value {
				let sold = Amount::Value(pool.value - left);
				assert_ok!(Staking::unstake(signed(ALICE), sold));
			}
		}
		assert_eq!(Pools::<Test>::get(account(ALICE)).shares, Shares(1));
		assert_ok!(Staking::reactivate(
			signed(ALICE),
			worker(51),
			proof_now(51, ALICE)
		));
		let too_dear = || Error::<Test>::SharesTooDear;
		assert_noop!(Staking::stake_more(signed(ALICE), stake), too_dear());
		assert_noop!(
			Staking::vote(signed(BOB), account(ALICE), 1_500 * CUC),
			too_dear()
		);
		assert_noop!(
			Staking::rebond(signed(CAROL), account(ALICE), Amount::All),
			too_dear()
		);
		// Nothing is lost, and the operator can begin anew.
		assert_retire(ALICE);
		assert_ok!(Staking::unstake(signed(ALICE), Amount::All));
		assert_register(ALICE, Role::Miner, 52, stake);
		assert_vote(BOB, ALICE, 1_500 * CUC);
		pass_eras(UNBONDING_ERAS);
		assert_withdraw(CAROL, 1_500 * CUC);
	});
}

/// A pool that has earned a hundred times what was put in, and paid it out again, takes the smallest vote
/// whole.
#[test]
fn a_pool_that_earned_much_takes_the_smallest_vote_whole() {
	run(|| {
		raise(MINER, 99 * MINER_STAKE);
		assert_ok!(Staking::unstake(
			signed(MINER),
			Amount::Value(99 * MINER_STAKE)
		));
		raise(MINER, 99 * MINER_STAKE);
		for amount in [MIN_VOTE, MIN_VOTE + 1, 1_234_567 * CUC + 89] {
			let before = worth(BOB, MINER);
			assert_ok!(Staking::vote(signed(BOB), account(MINER), amount));
			let lost = amount - (worth(BOB, MINER) - before);
			assert!(lost <= amount / 1_000_000, "{lost} of {amount}");
		}
	});
}

#[test]
fn taking_out_small_amounts_gains_nothing() {
	run(|| {
		assert_ok!(Staking::vote(signed(ALICE), account(MINER), 100 * CUC));
		// A share is worth a third of a unit: each unit that leaves costs whole shares.
		let value = Pools::<Test>::get(account(MINER)).value;
		lower(MINER, value - value / 3);
		let before = worth(ALICE, MINER);
		let others = worth(MINER, MINER);
		for _ in 0..100 {
			assert_ok!(Staking::unvote(
				signed(ALICE),
				account(MINER),
				Amount::Value(1)
			));
		}
		let leaving: u128 = Staking::unbonding(account(ALICE))
			.into_iter()
			.map(|chunk| chunk.value)
			.sum();
		assert!(leaving + worth(ALICE, MINER) <= before);
		assert!(worth(MINER, MINER) >= others);
	});
}

#[test]
fn votes_do_not_crumble_to_dust() {
	run(|| {
		assert_vote(ALICE, MINER, 2 * MIN_VOTE);
		assert_noop!(
			Staking::unvote(
				signed(ALICE),
				account(MINER),
				Amount::Value(2 * MIN_VOTE - 1)
			),
			Error::<Test>::RemainderTooSmall
		);
		// What a slash has made smaller than the smallest vote leaves as a whole.
		let value = Pools::<Test>::get(account(MINER)).value;
		lower(MINER, value - value / 4);
		assert!(worth(ALICE, MINER) < MIN_VOTE);
		assert_noop!(
			Staking::unvote(signed(ALICE), account(MINER), Amount::Value(1)),
			Error::<Test>::RemainderTooSmall
		);
		assert_ok!(Staking::unvote(signed(ALICE), account(MINER), Amount::All));
	});
}

#[test]
fn shares_that_are_worth_nothing_are_not_left_behind() {
	run(|| {
		assert_vote(ALICE, MINER, 100 * CUC);
		let value = Pools::<Test>::get(account(MINER)).value;
		// Seven shares are worth a unit, and the position is no multiple of seven shares.
		lower(MINER, value - value / 7);
		let amount = worth(ALICE, MINER);
		assert_ok!(Staking::unvote(
			signed(ALICE),
			account(MINER),
			Amount::Value(amount)
		));
		assert!(!Positions::<Test>::contains_key(
			account(ALICE),
			account(MINER)
		));
	});
}

#[test]
fn nobody_is_pushed_out_of_the_order_by_stake() {
	run(|| {
		// `top` shows three; three richer ones come, and go.
		for (who, key) in [(ALICE, 50), (BOB, 51), (CAROL, 52)] {
			assert_register(who, Role::Validator, key, 2 * VALIDATOR_STAKE);
		}
		assert!(!Staking::top(Role::Validator, 3)
			.iter()
			.any(|(who, _)| *who == account(VALIDATOR)));
		for who in [ALICE, BOB, CAROL] {
			assert_retire(who);
		}
		assert_eq!(
			Staking::top(Role::Validator, 3),
			[(account(VALIDATOR), VALIDATOR_STAKE)]
		);
	});
}

#[test]
fn a_payment_that_cannot_open_an_account_waits() {
	run(|| {
		assert_vote(ALICE, MINER, 100 * CUC);
		assert_unvote(ALICE, MINER, Amount::Value(1));
		pass_eras(UNBONDING_ERAS);
		give(ALICE, account(BOB), free(ALICE));
		assert_noop!(Staking::withdraw(signed(ALICE)), TokenError::BelowMinimum);
		give(BOB, account(ALICE), CUC);
		assert_withdraw(ALICE, 1);
	});
}

#[test]
fn a_voter_whose_account_died_keeps_its_stake() {
	run(|| {
		assert_vote(ALICE, MINER, 100 * CUC);
		give(ALICE, account(BOB), free(ALICE));
		assert!(!System::account_exists(&account(ALICE)));
		assert_unvote(ALICE, MINER, Amount::All);
		pass_eras(UNBONDING_ERAS);
		assert_withdraw(ALICE, 100 * CUC);
		assert_eq!(free(ALICE), 100 * CUC);
	});
}

proptest! {
	#[test]
	fn keys_sort_by_stake_from_the_most(a in any::<u128>(), b in any::<u128>()) {
		use codec::Encode;
		let (key_a, key_b) = (DescendingStake::from(a), DescendingStake::from(b));
		prop_assert_eq!(key_a.encode().cmp(&key_b.encode()), b.cmp(&a));
		prop_assert_eq!(u128::from(key_a), a);
	}
}
