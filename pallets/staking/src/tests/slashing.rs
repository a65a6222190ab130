//! Slashes: what they reach and who bears them, when they are applied, and what they stop meanwhile.

use cuckoo_primitives::{Balance, Role, CUC};
use frame_support::{assert_noop, assert_ok, dispatch::Pays, traits::Hooks, weights::Weight};
use sp_runtime::{DispatchError, Perbill};

use super::support::*;
use crate::{
	mock::*, pool::Pool, Amount, CurrentEra, Error, Event, Offences, Pools, Positions, RoleParams,
	SlashQueue, Slashes, Streams, Unbonding, UnbondingPools, WeightInfo,
};

/// Sets what an offence in a role costs.
fn set_fraction(role: Role, fraction: Perbill) {
	let params = RoleParams {
		offence_fraction: fraction,
		..Staking::role_params(role)
	};
	assert_ok!(Staking::set_role_params(
		RuntimeOrigin::root(),
		role,
		params
	));
}

/// Lets the miner commit an offence now that costs `percent` of a hundred, and applies the slash.
/// Returns what was taken.
fn slash_miner(percent: u32) -> Balance {
	set_fraction(Role::Miner, Perbill::from_percent(percent));
	let held = crate::Held::<Test>::get();
	assert_ok!(Staking::report_equivocation(
		signed(BOB),
		Box::new(offence_now(0))
	));
	pass_eras(SLASH_DEFER_ERAS);
	assert_ok!(Staking::apply_slashes(signed(BOB), 1));
	held - crate::Held::<Test>::get()
}

fn pool(operator: u8) -> Pool {
	Pools::<Test>::get(account(operator))
}

fn reactivate(who: u8) {
	let key = 200 + Staking::worker_nonce(account(who));
	assert_ok!(Staking::reactivate(
		signed(who),
		worker(key),
		proof_now(key, who)
	));
}

#[test]
fn a_slash_is_queued_at_once_and_applied_when_it_is_due() {
	run(|| {
		assert_vote(ALICE, MINER, 1_000 * CUC);
		let slash = assert_report(BOB, MINER, offence_now(0), 0);
		assert_eq!(worth(MINER, MINER), MINER_STAKE);
		assert_noop!(
			Staking::apply_slashes(signed(CAROL), 100),
			Error::<Test>::NoSlashDue
		);
		pass_eras(SLASH_DEFER_ERAS);
		assert_apply(slash, MINER, 3_100 * CUC, BOB, 310 * CUC);
		// The operator bears it alone, and is still suspended.
		assert_eq!(worth(MINER, MINER), MINER_STAKE - 3_100 * CUC);
		assert_eq!(worth(ALICE, MINER), 1_000 * CUC);
		assert_eq!(record(MINER).suspended, Some(0));
		assert_eq!(record(MINER).counted, None);
		assert_noop!(
			Staking::apply_slashes(signed(CAROL), 100),
			Error::<Test>::NoSlashDue
		);
	});
}

#[test]
fn a_suspended_operator_takes_no_votes_and_gives_them_back() {
	run(|| {
		assert_vote(ALICE, MINER, 100 * CUC);
		assert_unvote(ALICE, MINER, Amount::Value(50 * CUC));
		assert_unstake(MINER, Amount::Value(CUC));
		assert_report(BOB, MINER, offence_now(0), 0);
		let suspended = || Error::<Test>::OperatorSuspended;
		assert_noop!(
			Staking::vote(signed(ALICE), account(MINER), MIN_VOTE),
			suspended()
		);
		for who in [ALICE, MINER] {
			assert_noop!(
				Staking::rebond(signed(who), account(MINER), Amount::All),
				suspended()
			);
		}
		assert_unvote(ALICE, MINER, Amount::All);
		// The operator can put in more, change its key and leave.
		assert_ok!(Staking::stake_more(signed(MINER), CUC));
		assert!(!record(MINER).is_active());
		assert_set_worker(MINER, 50);
		assert_retire(MINER);
		assert_unstake(MINER, Amount::All);
	});
}

#[test]
fn own_shares_are_the_first_loss() {
	run(|| {
		assert_vote(ALICE, MINER, MINER_STAKE);
		assert_eq!(slash_miner(40), 24_000 * CUC);
		assert_eq!(worth(MINER, MINER), 6_000 * CUC);
		assert_eq!(worth(ALICE, MINER), MINER_STAKE);
		assert_eq!(pool(MINER).value, pool(MINER).shares.0);
	});
	run(|| {
		assert_vote(ALICE, MINER, MINER_STAKE);
		assert_eq!(slash_miner(80), 48_000 * CUC);
		assert!(!Positions::<Test>::contains_key(
			account(MINER),
			account(MINER)
		));
		assert_eq!(worth(ALICE, MINER), 12_000 * CUC);
	});
}

/// Of the operator 25,000 stay and 15,000 leave, of Alice 30,000 and 10,000.
fn half_gone() {
	assert_stake_more(MINER, 10_000 * CUC);
	assert_unstake(MINER, Amount::Value(15_000 * CUC));
	assert_vote(ALICE, MINER, 40_000 * CUC);
	assert_unvote(ALICE, MINER, Amount::Value(10_000 * CUC));
}

#[test]
fn own_stake_that_leaves_is_the_second_loss_and_all_in_proportion_the_third() {
	for (percent, own, own_leaving, voted, voted_leaving) in [
		(25, 5_000, 15_000, 30_000, 10_000),
		(40, 0, 8_000, 30_000, 10_000),
		(50, 0, 0, 30_000, 10_000),
		(60, 0, 0, 24_000, 8_000),
		(95, 0, 0, 3_000, 1_000),
		(100, 0, 0, 0, 0),
	] {
		run(|| {
			half_gone();
			let all = 80_000 * CUC;
			assert_eq!(slash_miner(percent), all / 100 * Balance::from(percent));
			assert_eq!(
				[
					worth(MINER, MINER),
					leaving(MINER),
					worth(ALICE, MINER),
					leaving(ALICE)
				],
				[own, own_leaving, voted, voted_leaving].map(|amount| amount * CUC),
				"{percent}%"
			);
			// What is not there any more takes no place in a list.
			assert_eq!(
				Unbonding::<Test>::contains_key(account(MINER)),
				own_leaving > 0
			);
		});
	}
}

#[test]
fn stake_that_left_before_the_offence_is_out_of_reach() {
	run(|| {
		assert_vote(ALICE, MINER, 20_000 * CUC);
		assert_unvote(ALICE, MINER, Amount::Value(10_000 * CUC));
		assert_unstake(MINER, Amount::Value(5_000 * CUC));
		pass_eras(1);
		assert_unvote(ALICE, MINER, Amount::Value(5_000 * CUC));
		// 25,000 and 5,000 stay, 5,000 leave in this era: all of that is in reach and no more.
		assert_eq!(slash_miner(100), 35_000 * CUC);
		let values: Vec<_> = Staking::unbonding(account(ALICE))
			.into_iter()
			.map(|chunk| chunk.value)
			.collect();
		assert_eq!(values, [10_000 * CUC, 0]);
		assert_eq!(leaving(MINER), 5_000 * CUC);
		pass_eras(UNBONDING_ERAS);
		assert_withdraw(ALICE, 10_000 * CUC);
		assert_withdraw(MINER, 5_000 * CUC);
	});
}

#[test]
fn leaving_after_the_offence_is_no_way_out() {
	run(|| {
		assert_vote(ALICE, MINER, 10_000 * CUC);
		let evidence = offence_now(0);
		// In the era of the offence, and in the one after it.
		assert_unvote(ALICE, MINER, Amount::Value(5_000 * CUC));
		assert_unstake(MINER, Amount::Value(5_000 * CUC));
		pass_eras(1);
		assert_unvote(ALICE, MINER, Amount::All);
		assert_retire(MINER);
		assert_unstake(MINER, Amount::All);
		set_fraction(Role::Miner, Perbill::from_percent(100));
		let slash = assert_report(BOB, MINER, evidence, 0);
		pass_eras(SLASH_DEFER_ERAS);
		assert_apply(slash, MINER, 40_000 * CUC, BOB, 4_000 * CUC);
		assert_eq!(leaving(ALICE) + leaving(MINER), 0);
	});
}

#[test]
fn what_a_slash_may_reach_is_not_paid_out_and_the_rest_is() {
	run(|| {
		assert_vote(ALICE, MINER, 30_000 * CUC);
		assert_vote(ALICE, VALIDATOR, 1_000 * CUC);
		assert_unvote(ALICE, MINER, Amount::Value(1_000 * CUC));
		pass_eras(1);
		assert_unvote(ALICE, MINER, Amount::Value(2_000 * CUC));
		assert_unvote(ALICE, VALIDATOR, Amount::Value(500 * CUC));
		assert_report(BOB, MINER, offence_now(0), 1);
		pass_eras(UNBONDING_ERAS - 1);
		// It left before the offence.
		assert_withdraw(ALICE, 1_000 * CUC);
		assert_noop!(
			Staking::withdraw(signed(ALICE)),
			Error::<Test>::NothingToWithdraw
		);
		pass_eras(1);
		// The other operator's is due as well; the slash, which nobody has applied, holds the rest.
		let before = free(ALICE);
		take_events();
		assert_ok!(Staking::withdraw(signed(ALICE)));
		assert_eq!(free(ALICE), before + 500 * CUC);
		assert_eq!(
			take_events(),
			[Event::Withdrawn {
				account: account(ALICE),
				amount: 500 * CUC
			}]
		);
		assert_noop!(
			Staking::withdraw(signed(ALICE)),
			Error::<Test>::SlashPending
		);
		assert_ok!(Staking::apply_slashes(signed(BOB), 1));
		assert_withdraw(ALICE, 2_000 * CUC);
	});
}

#[test]
fn what_a_cancelled_slash_held_is_paid_out() {
	run(|| {
		assert_vote(ALICE, MINER, 1_000 * CUC);
		assert_unvote(ALICE, MINER, Amount::All);
		let slash = assert_report(BOB, MINER, offence_now(0), 0);
		pass_eras(UNBONDING_ERAS);
		assert_noop!(
			Staking::withdraw(signed(ALICE)),
			Error::<Test>::SlashPending
		);
		assert_ok!(Staking::cancel_slash(RuntimeOrigin::root(), slash));
		assert_withdraw(ALICE, 1_000 * CUC);
	});
}

#[test]
fn of_two_offences_in_one_era_the_larger_counts() {
	run(|| {
		let second = offence_now(1);
		assert_eq!(slash_miner(10), 3_000 * CUC);
		set_fraction(Role::Miner, Perbill::from_percent(30));
		let slash = assert_report(BOB, MINER, second, 0);
		pass_eras(SLASH_DEFER_ERAS);
		// 70% of all are left, and not 60% or 63%.
		assert_apply(slash, MINER, 6_000 * CUC, BOB, 600 * CUC);
		assert_eq!(worth(MINER, MINER), MINER_STAKE / 100 * 70);
	});
}

#[test]
fn a_larger_slash_replaces_one_that_waits() {
	run(|| {
		let first = assert_report(BOB, MINER, offence_now(0), 0);
		set_fraction(Role::Miner, Perbill::from_percent(30));
		let second = assert_report(CAROL, MINER, offence_now(1), 0);
		assert!(!Slashes::<Test>::contains_key(first));
		assert_noop!(
			Staking::cancel_slash(RuntimeOrigin::root(), first),
			Error::<Test>::SlashNotFound
		);
		pass_eras(SLASH_DEFER_ERAS);
		// The place of the first is passed over.
		assert_ok!(Staking::apply_slashes(signed(ALICE), 1));
		assert_apply(second, MINER, 9_000 * CUC, CAROL, 900 * CUC);
		assert_eq!(worth(MINER, MINER), MINER_STAKE / 100 * 70);
	});
}

#[test]
fn a_smaller_or_equal_offence_of_the_same_era_adds_nothing() {
	run(|| {
		set_fraction(Role::Miner, Perbill::from_percent(30));
		let others = [offence_now(1), offence_now(2)];
		let slash = assert_report(BOB, MINER, offence_now(0), 0);
		let refuse = || {
			for evidence in others.clone() {
				assert_noop!(
					Staking::report_equivocation(signed(CAROL), Box::new(evidence)),
					Error::<Test>::OffenceAlreadyCounted
				);
			}
		};
		refuse();
		set_fraction(Role::Miner, Perbill::from_percent(10));
		refuse();
		pass_eras(SLASH_DEFER_ERAS);
		refuse();
		assert_apply(slash, MINER, 9_000 * CUC, BOB, 900 * CUC);
		refuse();
		// Nor does coming back make it count again.
		reactivate(MINER);
		refuse();
	});
}

/// Who steals a worker's key can sign for every era since it was bound, and prove it all at once. So until
/// the operator has been slashed and is back its offences cost what the largest costs, in whatever order they
/// are proven.
#[test]
fn offences_of_different_eras_are_one_until_the_operator_is_back() {
	for latest_first in [true, false] {
		run(|| {
			let mut offences = vec![offence_now(0)];
			for _ in 0..EVIDENCE_ERAS {
				pass_eras(1);
				offences.push(offence_now(0));
			}
			if latest_first {
				offences.reverse();
			}
			let report =
				|evidence| match Staking::report_equivocation(signed(BOB), Box::new(evidence)) {
					Ok(_) => assert!(latest_first || next_slash() == 1),
					Err(refused) => assert!([ALREADY.into(), Error::<Test>::EvidenceTooOld.into()]
						.contains(&refused.error)),
				};
			offences.clone().into_iter().for_each(report);
			pass_eras(SLASH_DEFER_ERAS);
			let before = free(BOB);
			assert_ok!(Staking::apply_slashes(signed(CAROL), 10));
			assert_eq!(worth(MINER, MINER), MINER_STAKE / 10 * 9);
			assert_eq!(free(BOB), before + 300 * CUC);
			// Nor does it cost more after it was applied, or once the operator is back with another key.
			offences.clone().into_iter().for_each(report);
			pass_eras(SLASH_DEFER_ERAS);
			let _ = Staking::apply_slashes(signed(CAROL), 10);
			reactivate(MINER);
			offences.into_iter().for_each(report);
			pass_eras(SLASH_DEFER_ERAS);
			let _ = Staking::apply_slashes(signed(CAROL), 10);
			assert_eq!(worth(MINER, MINER), MINER_STAKE / 10 * 9);
		});
	}
}

const ALREADY: Error<Test> = Error::<Test>::OffenceAlreadyCounted;

/// What it does after it has come back counts anew.
#[test]
fn an_offence_after_coming_back_counts_anew() {
	run(|| {
		assert_report(BOB, MINER, offence_now(0), 0);
		pass_eras(SLASH_DEFER_ERAS);
		assert_apply(0, MINER, 3_000 * CUC, BOB, 300 * CUC);
		let former = offence_now(1);
		pass_eras(1);
		reactivate(MINER);
		let now = CurrentEra::<Test>::get();
		let key = 200 + Staking::worker_nonce(account(MINER)) - 1;
		// One of before, while the former key was its own, does not.
		assert_noop!(
			Staking::report_equivocation(signed(BOB), Box::new(former)),
			ALREADY
		);
		let slash = assert_report(BOB, MINER, two_results(MINER, key, block(), 2), now);
		pass_eras(SLASH_DEFER_ERAS);
		assert_apply(slash, MINER, 2_700 * CUC, BOB, 270 * CUC);
	});
}

/// An operator that proves a late offence of its own does not save what left before it from an earlier one.
#[test]
fn a_late_offence_does_not_shield_what_left_before_it() {
	run(|| {
		assert_ok!(Staking::stake_more(signed(MINER), 100_000 * CUC));
		let early = offence_now(0);
		assert_unstake(MINER, Amount::Value(100_000 * CUC));
		pass_eras(1);
		let late = offence_now(0);
		assert_report(ALICE, MINER, late, 1);
		assert_report(BOB, MINER, early, 0);
		pass_eras(SLASH_DEFER_ERAS);
		assert_apply(0, MINER, 3_000 * CUC, ALICE, 300 * CUC);
		// A tenth of the 100,000 that have left; of the others nothing more.
		assert_apply(1, MINER, 10_000 * CUC, BOB, 1_000 * CUC);
		assert_eq!(worth(MINER, MINER) + leaving(MINER), 117_000 * CUC);
	});
}

#[test]
fn blocks_with_room_apply_what_is_due() {
	run(|| {
		for (task, operator) in [MINER, ALICE, BOB].into_iter().enumerate() {
			let key = u32::from(operator);
			if operator != MINER {
				assert_register(operator, Role::Miner, key, MINER_STAKE);
			}
			let evidence = two_results(operator, key, block(), task as u8);
			assert_report(CAROL, operator, evidence, 0);
		}
		let idle = |remaining| Staking::on_idle(block().into(), remaining);
		let weight = <() as WeightInfo>::apply_slashes;
		let waiting = || Staking::pending_slashes(None, 100).len();
		// Not due.
		assert_eq!(idle(Weight::MAX), weight(0));
		assert_eq!(waiting(), 3);
		pass_eras(SLASH_DEFER_ERAS);
		// No room, not even for one.
		assert_eq!(idle(Weight::zero()), Weight::zero());
		assert_eq!(
			idle(weight(1).saturating_sub(Weight::from_parts(1, 0))),
			Weight::zero()
		);
		assert_eq!(waiting(), 3);
		assert_eq!(idle(weight(1)), weight(1));
		assert_eq!(waiting(), 2);
		assert_eq!(idle(Weight::MAX), weight(2));
		assert_eq!(waiting(), 0);
		assert_eq!(worth(BOB, BOB), MINER_STAKE / 10 * 9);
		let queue = SlashQueue::<Test>::get();
		assert_eq!((queue.first, queue.next), (3, 3));
	});
}

#[test]
fn anybody_applies_what_is_due_the_oldest_first() {
	run(|| {
		for operator in [ALICE, BOB, CAROL] {
			let key = u32::from(operator);
			assert_register(operator, Role::Miner, key, MINER_STAKE);
		}
		let report = |operator: u8| {
			let evidence = two_results(operator, operator.into(), block(), operator);
			assert_report(VALIDATOR, operator, evidence, CurrentEra::<Test>::get())
		};
		let slashes = [report(MINER), report(ALICE), report(BOB)];
		pass_eras(SLASH_DEFER_ERAS);
		let late = report(CAROL);
		assert_ok!(Staking::cancel_slash(RuntimeOrigin::root(), slashes[1]));
		assert_noop!(
			Staking::apply_slashes(signed(CAROL), 0),
			Error::<Test>::NoSlashDue
		);
		// The cancelled one counts as looked at: the weight is that of two.
		let applied = Staking::apply_slashes(signed(CAROL), 2).unwrap();
		assert_eq!(applied.pays_fee, Pays::No);
		assert_eq!(
			applied.actual_weight,
			Some(<() as WeightInfo>::apply_slashes(2))
		);
		assert_eq!(worth(MINER, MINER), MINER_STAKE / 10 * 9);
		assert_eq!(worth(ALICE, ALICE), MINER_STAKE);
		assert_eq!(worth(BOB, BOB), MINER_STAKE);
		// The last is not due, and stops nobody.
		let applied = Staking::apply_slashes(signed(CAROL), 100).unwrap();
		assert_eq!(
			applied.actual_weight,
			Some(<() as WeightInfo>::apply_slashes(1))
		);
		assert_eq!(worth(BOB, BOB), MINER_STAKE / 10 * 9);
		assert_eq!(worth(CAROL, CAROL), MINER_STAKE);
		assert_noop!(
			Staking::apply_slashes(signed(CAROL), 100),
			Error::<Test>::NoSlashDue
		);
		pass_eras(1);
		assert_apply(late, CAROL, 3_000 * CUC, VALIDATOR, 300 * CUC);
	});
}

#[test]
fn a_cancelled_slash_is_never_applied_and_the_operator_is_back() {
	run(|| {
		assert_vote(ALICE, VALIDATOR, 100 * CUC);
		let before = Snapshot::take(ALICE, MINER);
		let slash = assert_report(BOB, MINER, offence_now(0), 0);
		for origin in [signed(MINER), signed(BOB), RuntimeOrigin::none()] {
			assert_noop!(
				Staking::cancel_slash(origin, slash),
				DispatchError::BadOrigin
			);
		}
		take_events();
		assert_ok!(Staking::cancel_slash(RuntimeOrigin::root(), slash));
		assert_eq!(Snapshot::take(ALICE, MINER), before);
		assert_eq!(
			take_events(),
			[
				Event::OperatorActivated {
					operator: account(MINER),
					role: Role::Miner,
					total_stake: MINER_STAKE
				},
				Event::SlashCancelled {
					slash,
					operator: account(MINER)
				}
			]
		);
		for missing in [slash, slash + 1, u32::MAX] {
			assert_noop!(
				Staking::cancel_slash(RuntimeOrigin::root(), missing),
				Error::<Test>::SlashNotFound
			);
		}
		pass_eras(SLASH_DEFER_ERAS + 1);
		// There is a hole in the queue, and nothing in it.
		take_events();
		assert_ok!(Staking::apply_slashes(signed(BOB), 10));
		assert!(take_events().is_empty());
		assert_eq!(worth(MINER, MINER), MINER_STAKE);
	});
}

#[test]
fn an_applied_slash_is_not_cancelled() {
	run(|| {
		slash_miner(10);
		assert_noop!(
			Staking::cancel_slash(RuntimeOrigin::root(), 0),
			Error::<Test>::SlashNotFound
		);
	});
}

#[test]
fn cancelling_one_of_two_slashes_does_not_end_the_suspension() {
	run(|| {
		let first = assert_report(BOB, MINER, offence_now(0), 0);
		pass_eras(1);
		// The first is due, and not applied yet.
		set_fraction(Role::Miner, Perbill::from_percent(30));
		let second = assert_report(BOB, MINER, offence_now(0), 1);
		assert_ok!(Staking::cancel_slash(RuntimeOrigin::root(), first));
		assert!(record(MINER).is_suspended());
		assert_noop!(
			Staking::vote(signed(ALICE), account(MINER), MIN_VOTE),
			Error::<Test>::OperatorSuspended
		);
		assert_ok!(Staking::cancel_slash(RuntimeOrigin::root(), second));
		assert!(!record(MINER).is_suspended());
		assert!(record(MINER).is_active());
	});
}

/// What was applied keeps an operator out of service until it comes back by itself.
#[test]
fn cancelling_a_slash_does_not_end_the_suspension_by_one_that_was_applied() {
	run(|| {
		slash_miner(10);
		let since = record(MINER).suspended;
		set_fraction(Role::Miner, Perbill::from_percent(30));
		let second = assert_report(BOB, MINER, offence_now(1), SLASH_DEFER_ERAS);
		assert_ok!(Staking::cancel_slash(RuntimeOrigin::root(), second));
		assert_eq!(record(MINER).suspended, since);
		assert!(!record(MINER).is_active());
		reactivate(MINER);
		assert!(record(MINER).is_active());
		// And one that it did not suspend it for is lifted as ever.
		let key = 200 + Staking::worker_nonce(account(MINER)) - 1;
		let evidence = two_results(MINER, key, block(), 2);
		let third = assert_report(BOB, MINER, evidence, SLASH_DEFER_ERAS);
		assert_ok!(Staking::cancel_slash(RuntimeOrigin::root(), third));
		assert!(record(MINER).is_active());
	});
}

#[test]
fn a_slash_of_a_retired_operator_can_be_cancelled_and_leaves_it_retired() {
	run(|| {
		let slash = assert_report(BOB, MINER, offence_now(0), 0);
		assert_retire(MINER);
		assert_ok!(Staking::cancel_slash(RuntimeOrigin::root(), slash));
		assert!(record(MINER).is_retired() && !record(MINER).is_suspended());
		assert!(!record(MINER).is_active());
	});
}

#[test]
fn the_reporter_gets_a_tenth_to_the_unit() {
	run(|| {
		assert_ok!(Staking::stake_more(signed(MINER), 987_654_321));
		let own = MINER_STAKE + 987_654_321;
		let slash = assert_report(BOB, MINER, offence_now(0), 0);
		pass_eras(SLASH_DEFER_ERAS);
		assert_apply(slash, MINER, own / 10, BOB, own / 10 / 10);
	});
}

#[test]
fn the_reporter_gets_no_more_than_half_of_the_operators_own_loss() {
	run(|| {
		assert_vote(ALICE, MINER, 10_000_000 * CUC);
		set_fraction(Role::Miner, Perbill::from_percent(50));
		let slash = assert_report(BOB, MINER, offence_now(0), 0);
		pass_eras(SLASH_DEFER_ERAS);
		assert_apply(slash, MINER, 5_015_000 * CUC, BOB, MINER_STAKE / 2);
	});
}

#[test]
fn a_reporter_without_an_account_gets_what_can_open_one() {
	const NOBODY: u8 = 77;
	run(|| {
		let slash = assert_report(NOBODY, MINER, offence_now(0), 0);
		pass_eras(SLASH_DEFER_ERAS);
		assert_apply(slash, MINER, 3_000 * CUC, NOBODY, 300 * CUC);
	});
	run(|| {
		// A millionth of the stake: a tenth of it is below the existential deposit.
		set_fraction(Role::Miner, Perbill::from_parts(1_000));
		let slash = assert_report(NOBODY, MINER, offence_now(0), 0);
		pass_eras(SLASH_DEFER_ERAS);
		const { assert!(MINER_STAKE / 10_000_000 < DEPOSIT) };
		assert_apply(slash, MINER, MINER_STAKE / 1_000_000, NOBODY, 0);
	});
}

#[test]
fn a_pool_slashed_to_nothing_begins_a_new_generation() {
	run(|| {
		assert_vote(ALICE, MINER, 10_000 * CUC);
		assert_unvote(ALICE, MINER, Amount::Value(1_000 * CUC));
		assert_unstake(MINER, Amount::Value(1_000 * CUC));
		assert_eq!(slash_miner(100), MINER_STAKE + 10_000 * CUC);
		assert_eq!(
			pool(MINER),
			Pool {
				generation: 1,
				..Default::default()
			}
		);
		assert_eq!(worth(ALICE, MINER) + leaving(ALICE), 0);
		assert_eq!(worth(MINER, MINER) + leaving(MINER), 0);
		// It comes back and is staked on 1:1; the old shares get nothing of it.
		reactivate(MINER);
		assert_ok!(Staking::stake_more(signed(MINER), MINER_STAKE));
		assert!(record(MINER).is_active());
		assert_vote(BOB, MINER, 500 * CUC);
		assert_eq!(pool(MINER).shares.0, MINER_STAKE + 500 * CUC);
		assert_eq!(worth(ALICE, MINER), 0);
		assert_noop!(
			Staking::unvote(signed(ALICE), account(MINER), Amount::Value(1)),
			Error::<Test>::PositionTooSmall
		);
		// What is worthless can be cleared away.
		assert_ok!(Staking::unvote(signed(ALICE), account(MINER), Amount::All));
		assert!(!Positions::<Test>::contains_key(
			account(ALICE),
			account(MINER)
		));
		assert_noop!(
			Staking::rebond(signed(ALICE), account(MINER), Amount::All),
			Error::<Test>::NothingToRebond
		);
		pass_eras(UNBONDING_ERAS);
		assert_withdraw(ALICE, 0);
		assert_unvote(BOB, MINER, Amount::All);
		pass_eras(UNBONDING_ERAS);
		assert_withdraw(BOB, 500 * CUC);
		assert_eq!(UnbondingPools::<Test>::iter().count(), 0);
	});
}

#[test]
fn stake_that_leaves_in_the_era_of_a_total_slash_is_not_mixed_with_what_it_took() {
	run(|| {
		assert_vote(ALICE, MINER, 10_000 * CUC);
		let evidence = offence_now(0);
		set_fraction(Role::Miner, Perbill::from_percent(100));
		assert_report(BOB, MINER, evidence, 0);
		pass_eras(SLASH_DEFER_ERAS);
		assert_unvote(ALICE, MINER, Amount::Value(1_000 * CUC));
		assert_ok!(Staking::apply_slashes(signed(BOB), 1));
		reactivate(MINER);
		assert_ok!(Staking::stake_more(signed(MINER), MINER_STAKE));
		// The same account, the same era, the next generation.
		assert_vote(ALICE, MINER, 500 * CUC);
		assert_ok!(Staking::unvote(signed(ALICE), account(MINER), Amount::All));
		assert_eq!(leaving(ALICE), 500 * CUC);
		assert_ok!(Staking::unstake(signed(MINER), Amount::Value(CUC)));
		assert_eq!(Staking::do_try_state(), Ok(()));
		pass_eras(UNBONDING_ERAS);
		assert_withdraw(ALICE, 500 * CUC);
		assert_withdraw(MINER, CUC);
	});
}

#[test]
fn nothing_is_left_of_an_unbonding_pool_that_ended_in_its_own_era() {
	run(|| {
		assert_vote(ALICE, MINER, 10_000 * CUC);
		set_fraction(Role::Miner, Perbill::from_percent(100));
		assert_report(BOB, MINER, offence_now(0), 0);
		pass_eras(SLASH_DEFER_ERAS);
		assert_unvote(ALICE, MINER, Amount::Value(1_000 * CUC));
		assert_ok!(Staking::apply_slashes(signed(BOB), 1));
		// Its generation is remembered while more can come in, and forgotten with the last chunk.
		assert_eq!(UnbondingPools::<Test>::iter().count(), 1);
		pass_eras(UNBONDING_ERAS);
		assert_withdraw(ALICE, 0);
		assert_eq!(UnbondingPools::<Test>::iter().count(), 0);
		assert!(!Unbonding::<Test>::contains_key(account(ALICE)));
	});
}

#[test]
fn a_slash_reaches_the_stream() {
	run(|| {
		assert_vote(ALICE, MINER, MINER_STAKE);
		set_fraction(Role::Miner, Perbill::from_percent(80));
		assert_report(BOB, MINER, offence_now(0), 0);
		pass_eras(SLASH_DEFER_ERAS);
		assert_eq!(pay(MINER, 10_000 * CUC), Ok(()));
		// 70,000 in reach: 30,500 are the operator's own, of the others' 39,500 14,000 are left.
		// Every part is rounded down, which here is a unit together.
		assert_apply(0, MINER, 56_000 * CUC - 1, BOB, 5_600 * CUC - 1);
		assert_eq!(worth(MINER, MINER), 0);
		let left = |amount: Balance| amount * CUC * 14_000 / 39_500;
		assert!(worth(ALICE, MINER).abs_diff(left(30_000)) <= 1);
		assert!(streaming(MINER).abs_diff(left(9_500)) <= 1);
		pass_blocks(BLOCKS_PER_ERA);
		assert!(worth(ALICE, MINER).abs_diff(14_000 * CUC) <= 2);
	});
}

#[test]
fn a_small_slash_leaves_the_stream_to_the_voters() {
	run(|| {
		assert_vote(ALICE, MINER, MINER_STAKE);
		assert_report(BOB, MINER, offence_now(0), 0);
		pass_eras(SLASH_DEFER_ERAS);
		assert_eq!(pay(MINER, 10_000 * CUC), Ok(()));
		assert_apply(0, MINER, 7_000 * CUC, BOB, 700 * CUC);
		assert_eq!(streaming(MINER), 9_500 * CUC);
		assert!(worth(ALICE, MINER).abs_diff(MINER_STAKE) <= 1);
	});
}

#[test]
fn a_stream_that_is_the_operators_alone_is_its_own_loss() {
	run(|| {
		set_fraction(Role::Miner, Perbill::from_percent(100));
		assert_report(BOB, MINER, offence_now(0), 0);
		pass_eras(SLASH_DEFER_ERAS);
		assert_eq!(pay(MINER, 10_000 * CUC), Ok(()));
		let all = MINER_STAKE + 10_000 * CUC;
		assert_apply(0, MINER, all, BOB, all / 10);
		assert!(!Streams::<Test>::contains_key(account(MINER)));
		assert_eq!(pool(MINER).value, 0);
	});
	// More than what has reached the pool, and not all: the rest stays its own.
	run(|| {
		set_fraction(Role::Miner, Perbill::from_percent(80));
		assert_report(BOB, MINER, offence_now(0), 0);
		pass_eras(SLASH_DEFER_ERAS);
		assert_eq!(pay(MINER, 10_000 * CUC), Ok(()));
		let taken = 32_000 * CUC;
		let before = crate::Held::<Test>::get();
		assert_ok!(Staking::apply_slashes(signed(BOB), 1));
		assert!((before - crate::Held::<Test>::get()).abs_diff(taken) <= 1);
		assert!(!Streams::<Test>::contains_key(account(MINER)));
		assert!(worth(MINER, MINER).abs_diff(8_000 * CUC) <= 1);
	});
}

#[test]
fn a_slash_of_what_is_gone_takes_nothing() {
	run(|| {
		assert_report(BOB, MINER, offence_now(0), 0);
		pass_eras(1);
		let early = offence_now(1);
		set_fraction(Role::Miner, Perbill::from_percent(50));
		let second = assert_report(BOB, MINER, offence_now(0), 1);
		pass_eras(1);
		set_fraction(Role::Miner, Perbill::from_percent(100));
		let third = assert_report(BOB, MINER, offence_now(0), 2);
		let fourth = assert_report(BOB, MINER, early, 1);
		assert_eq!((second, third, fourth), (1, 2, 3));
		assert_ok!(Staking::apply_slashes(signed(BOB), 2));
		pass_eras(1);
		assert_apply(third, MINER, 27_000 * CUC, BOB, 2_700 * CUC);
		assert_apply(fourth, MINER, 0, BOB, 0);
	});
}

#[test]
fn a_slash_of_nothing_is_no_slash() {
	run(|| {
		set_fraction(Role::Miner, Perbill::zero());
		assert_noop!(
			Staking::report_equivocation(signed(BOB), Box::new(offence_now(0))),
			Error::<Test>::OffenceAlreadyCounted
		);
	});
}

#[test]
fn registering_again_is_no_way_out_of_a_slash_that_waits() {
	run(|| {
		let slash = assert_report(BOB, MINER, offence_now(0), 0);
		assert_retire(MINER);
		assert_unstake(MINER, Amount::All);
		let register = || {
			Staking::register(
				signed(MINER),
				Role::Validator,
				worker(50),
				proof_now(50, MINER),
				VALIDATOR_STAKE,
				commission(),
				introduction(),
			)
		};
		assert_noop!(register(), Error::<Test>::SlashPending);
		pass_eras(SLASH_DEFER_ERAS);
		assert_noop!(register(), Error::<Test>::SlashPending);
		assert_apply(slash, MINER, 3_000 * CUC, BOB, 300 * CUC);
		assert_ok!(register());
		assert!(record(MINER).is_active());
		pass_eras(UNBONDING_ERAS);
		assert_withdraw(MINER, 27_000 * CUC);
	});
}

#[test]
fn another_role_does_not_make_a_former_offence_cheaper() {
	run(|| {
		let evidence = offence_now(0);
		assert_retire(MINER);
		assert_unstake(MINER, Amount::All);
		assert_register(MINER, Role::Validator, 50, VALIDATOR_STAKE);
		assert_ok!(Staking::report_equivocation(
			signed(BOB),
			Box::new(evidence)
		));
		assert_eq!(
			Slashes::<Test>::get(0).unwrap().fraction,
			Perbill::from_percent(10)
		);
		pass_eras(SLASH_DEFER_ERAS);
		assert_apply(0, MINER, 18_000 * CUC, BOB, 1_800 * CUC);
	});
}

#[test]
fn records_of_offences_are_forgotten_when_they_cannot_count_any_more() {
	run(|| {
		let mut key = MINER.into();
		for era in 0..6 {
			assert_ok!(Staking::report_equivocation(
				signed(BOB),
				Box::new(two_results(MINER, key, block(), 0))
			));
			let eras: Vec<_> = Offences::<Test>::get(account(MINER))
				.iter()
				.map(|offence| offence.era)
				.collect();
			let first = u32::saturating_sub(era, EVIDENCE_ERAS);
			assert_eq!(eras, (first..=era).collect::<Vec<_>>());
			pass_eras(1);
			assert_ok!(Staking::apply_slashes(signed(BOB), 10));
			reactivate(MINER);
			key = 200 + Staking::worker_nonce(account(MINER)) - 1;
		}
	});
	// Not before what would be one with them cannot be proven any more either.
	run(|| {
		let eras = || Offences::<Test>::get(account(MINER)).len();
		slash_miner(10);
		pass_eras(2 * EVIDENCE_ERAS);
		set_fraction(Role::Miner, Perbill::from_percent(10));
		assert_noop!(
			Staking::report_equivocation(signed(BOB), Box::new(offence_now(1))),
			ALREADY
		);
		reactivate(MINER);
		let key = 200 + Staking::worker_nonce(account(MINER)) - 1;
		pass_eras(EVIDENCE_ERAS - 1);
		let report = |task| {
			let evidence = two_results(MINER, key, block(), task);
			assert_ok!(Staking::report_equivocation(
				signed(BOB),
				Box::new(evidence)
			));
			assert_ok!(Staking::cancel_slash(
				RuntimeOrigin::root(),
				next_slash() - 1
			));
		};
		report(2);
		assert_eq!(eras(), 2);
		pass_eras(1);
		report(3);
		assert_eq!(eras(), 2);
	});
	// Not while their slash waits, however late it is.
	run(|| {
		assert_report(BOB, MINER, offence_now(0), 0);
		pass_eras(10);
		set_fraction(Role::Miner, Perbill::from_percent(30));
		assert_report(BOB, MINER, offence_now(0), 10);
		assert_eq!(Offences::<Test>::get(account(MINER)).len(), 2);
		assert_ok!(Staking::apply_slashes(signed(BOB), 10));
		assert_eq!(worth(MINER, MINER), MINER_STAKE / 10 * 9);
	});
}

#[test]
fn pending_slashes_are_paged() {
	run(|| {
		for tens in 1..=3 {
			set_fraction(Role::Miner, Perbill::from_percent(10 * tens));
			assert_ok!(Staking::report_equivocation(
				signed(BOB),
				Box::new(offence_now(0))
			));
			pass_eras(1);
		}
		assert_ok!(Staking::cancel_slash(RuntimeOrigin::root(), 1));
		let shown = |from, limit| -> Vec<u32> {
			Staking::pending_slashes(from, limit)
				.into_iter()
				.map(|slash| slash.slash)
				.collect()
		};
		assert_eq!(shown(None, 10), [0, 2]);
		assert_eq!(shown(None, 1), [0]);
		assert_eq!(shown(Some(0), 10), [2]);
		assert_eq!(shown(Some(2), 10), [0; 0]);
		assert_eq!(shown(Some(u32::MAX), 10), [0; 0]);
		assert_eq!(shown(None, 0), [0; 0]);
	});
}
