//! What somebody would try for money: the list of docs/economics.md.

use cuckoo_primitives::{Balance, Role, CUC};
use frame_support::{assert_noop, assert_ok};
use proptest::prelude::*;
use sp_runtime::Perbill;

use super::support::*;
use crate::{mock::*, Amount, CurrentEra, Error, Operators, RoleParams, UnbondingPools};

#[test]
fn joining_just_before_a_reward_and_leaving_earns_nothing() {
	run(|| {
		assert_vote(ALICE, MINER, 10_000 * CUC);
		let all = 1_000_000 * CUC;
		assert_vote(BOB, MINER, all);
		assert_eq!(pay(MINER, 1_000 * CUC), Ok(()));
		assert_ok!(Staking::unvote(signed(BOB), account(MINER), Amount::All));
		assert!(leaving(BOB) <= all);
		// Who stays has all of it in the end, but for the commission of 5%.
		pass_blocks(BLOCKS_PER_ERA);
		let pool = worth(ALICE, MINER) + worth(MINER, MINER);
		let expected = MINER_STAKE + 10_000 * CUC + 1_000 * CUC;
		assert!(pool <= expected && expected - pool < 1_000, "{pool}");
	});
}

#[test]
fn staying_for_one_block_earns_one_block() {
	run(|| {
		assert_vote(ALICE, MINER, 10_000 * CUC);
		assert_eq!(pay(MINER, 1_000 * CUC), Ok(()));
		assert_ok!(Staking::vote(signed(BOB), account(MINER), 1_000_000 * CUC));
		pass_blocks(1);
		assert_ok!(Staking::unvote(signed(BOB), account(MINER), Amount::All));
		let block = 950 * CUC / Balance::from(BLOCKS_PER_ERA);
		let gained = leaving(BOB).saturating_sub(1_000_000 * CUC);
		assert!(gained > block / 2 && gained <= block, "{gained} of {block}");
	});
}

#[test]
fn hopping_with_votes_earns_nothing_on_the_way() {
	run(|| {
		assert_vote(ALICE, MINER, 10_000 * CUC);
		assert_unvote(ALICE, MINER, Amount::All);
		let before = leaving(ALICE);
		assert_eq!(pay(MINER, 1_000 * CUC), Ok(()));
		assert_eq!(pay(COORDINATOR, 1_000 * CUC), Ok(()));
		pass_blocks(BLOCKS_PER_ERA);
		assert_eq!(leaving(ALICE), before);
		// Nor can the same CUC be put on the next payer before they are free.
		assert_noop!(
			Staking::withdraw(signed(ALICE)),
			Error::<Test>::NothingToWithdraw
		);
	});
}

#[test]
fn stake_split_over_operators_earns_what_it_earns_on_one() {
	// Rewards go by stake: each pool is rewarded a thousandth of what it has.
	let earned = |split: bool| {
		let operators = vec![
			genesis_operator(MINER, Role::Miner, MINER_STAKE),
			genesis_operator(CAROL, Role::Miner, MINER_STAKE),
		];
		genesis(operators, Vec::new()).execute_with(|| {
			let parts: &[(u8, Balance)] = if split {
				&[(MINER, 5_000), (CAROL, 5_000)]
			} else {
				&[(MINER, 10_000)]
			};
			for (operator, amount) in parts {
				assert_ok!(Staking::vote(
					signed(ALICE),
					account(*operator),
					amount * CUC
				));
			}
			for operator in [MINER, CAROL] {
				let stake = Staking::operator(account(operator)).unwrap().total_stake;
				assert_eq!(pay(operator, stake / 1_000), Ok(()));
			}
			pass_blocks(BLOCKS_PER_ERA);
			worth(ALICE, MINER) + worth(ALICE, CAROL)
		})
	};
	assert!(earned(true) <= earned(false) + 2);
}

#[test]
fn retiring_and_leaving_is_no_way_out_of_a_slash() {
	run(|| {
		let evidence = offence_now(0);
		assert_retire(MINER);
		assert_unstake(MINER, Amount::All);
		assert_ok!(Staking::report_equivocation(
			signed(ALICE),
			Box::new(evidence)
		));
		pass_eras(SLASH_DEFER_ERAS);
		assert_ok!(Staking::apply_slashes(signed(BOB), 1));
		assert_eq!(leaving(MINER), MINER_STAKE - MINER_STAKE / 10);
	});
}

#[test]
fn changing_the_worker_is_no_way_out_of_a_slash() {
	run(|| {
		let evidence = offence_now(0);
		assert_set_worker(MINER, 50);
		pass_eras(EVIDENCE_ERAS);
		assert_ok!(Staking::report_equivocation(
			signed(ALICE),
			Box::new(evidence)
		));
		pass_eras(SLASH_DEFER_ERAS);
		assert_ok!(Staking::apply_slashes(signed(BOB), 1));
		assert_eq!(worth(MINER, MINER), MINER_STAKE - MINER_STAKE / 10);
	});
}

/// The stake leaves in the era of the offence, the proof comes at the last moment, and nobody applies
/// the slash for as long as one likes: it still finds the stake.
#[test]
fn withdrawing_is_no_race_with_evidence() {
	run(|| {
		let evidence = offence_now(0);
		assert_vote(ALICE, MINER, 100_000 * CUC);
		assert_unvote(ALICE, MINER, Amount::All);
		pass_eras(EVIDENCE_ERAS);
		assert_noop!(
			Staking::withdraw(signed(ALICE)),
			Error::<Test>::NothingToWithdraw
		);
		assert_ok!(Staking::report_equivocation(
			signed(BOB),
			Box::new(evidence.clone())
		));
		pass_eras(UNBONDING_ERAS);
		assert_noop!(
			Staking::withdraw(signed(ALICE)),
			Error::<Test>::SlashPending
		);
		assert_ok!(Staking::apply_slashes(signed(BOB), 1));
		assert_ok!(Staking::withdraw(signed(ALICE)));
		// And then it is too late for more.
		assert_noop!(
			Staking::report_equivocation(signed(BOB), Box::new(evidence)),
			Error::<Test>::EvidenceTooOld
		);
	});
}

#[test]
fn registering_by_the_thousand_takes_a_stake_each() {
	run(|| {
		let minimum = Staking::role_params(Role::Miner).min_self_stake;
		assert_noop!(
			Staking::register(
				signed(ALICE),
				Role::Miner,
				worker(50),
				proof_now(50, ALICE),
				minimum,
				commission(),
				introduction(),
			),
			Error::<Test>::SelfStakeTooLow
		);
		// And the stake comes back only after the unbonding time, however often one does it.
		assert_register(ALICE, Role::Miner, 50, minimum + 1);
		assert_retire(ALICE);
		assert_unstake(ALICE, Amount::All);
		assert_eq!(leaving(ALICE), minimum + 1);
		assert_noop!(
			Staking::withdraw(signed(ALICE)),
			Error::<Test>::NothingToWithdraw
		);
	});
}

#[test]
fn a_commission_raised_before_a_payout_is_not_in_force() {
	run(|| {
		assert_vote(ALICE, MINER, MINER_STAKE);
		let raised = commission() + MaxCommissionRaise::get();
		assert_ok!(Staking::set_commission(signed(MINER), raised));
		let before = worth(MINER, MINER);
		assert_eq!(pay(MINER, 1_000 * CUC), Ok(()));
		let kept = worth(MINER, MINER) - before;
		assert!(kept <= 50 * CUC && kept > 49 * CUC, "{kept}");
		assert_noop!(
			Staking::set_commission(signed(MINER), raised + Perbill::from_parts(1)),
			Error::<Test>::CommissionRaiseTooLarge
		);
	});
}

#[test]
fn the_same_offence_again_and_smaller_ones_are_not_added() {
	run(|| {
		let evidence = offence_now(0);
		assert_ok!(Staking::report_equivocation(
			signed(ALICE),
			Box::new(evidence.clone())
		));
		assert_noop!(
			Staking::report_equivocation(signed(BOB), Box::new(evidence.clone())),
			Error::<Test>::OffenceAlreadyCounted
		);
		pass_eras(SLASH_DEFER_ERAS);
		assert_ok!(Staking::apply_slashes(signed(BOB), 1));
		assert_noop!(
			Staking::report_equivocation(signed(BOB), Box::new(evidence)),
			Error::<Test>::OffenceAlreadyCounted
		);
	});
}

proptest! {
	#![proptest_config(ProptestConfig::with_cases(64))]

	/// An operator and a reporter who are one person lose together, whoever voted and however much a
	/// slash takes.
	#[test]
	fn reporting_oneself_never_pays(
		votes in MIN_VOTE..ENDOWMENT / 2,
		leaves in 0..1_001u128,
		percent in 1..101u32,
	) {
		run(|| {
			let params = RoleParams {
				offence_fraction: Perbill::from_percent(percent),
				..Staking::role_params(Role::Miner)
			};
			assert_ok!(Staking::set_role_params(RuntimeOrigin::root(), Role::Miner, params));
			assert_ok!(Staking::vote(signed(ALICE), account(MINER), votes));
			let part = votes / 1_000 * leaves;
			if part > 0 && (votes - part == 0 || votes - part >= MIN_VOTE) {
				assert_ok!(Staking::unvote(signed(ALICE), account(MINER), Amount::Value(part)));
			}
			let own = |who: u8| free(who) + worth(who, MINER) + leaving(who);
			let before = own(MINER) + own(BOB);
			let evidence = offence_now(0);
			assert_ok!(Staking::report_equivocation(signed(BOB), Box::new(evidence)));
			pass_eras(SLASH_DEFER_ERAS);
			assert_ok!(Staking::apply_slashes(signed(BOB), 1));
			let after = own(MINER) + own(BOB);
			assert!(after < before, "{before} became {after}");
			assert!(!Operators::<Test>::get(account(MINER)).unwrap().is_active());
			let era = CurrentEra::<Test>::get();
			assert!(UnbondingPools::<Test>::get(account(MINER), era).is_none());
		});
	}
}
