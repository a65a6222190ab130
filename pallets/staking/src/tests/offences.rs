//! What the offences pallet proves of validators.

use cuckoo_primitives::{AccountId, CUC};
use frame_support::{assert_ok, weights::Weight};
use sp_runtime::Perbill;
use sp_staking::{
	offence::{OffenceDetails, OnOffenceHandler},
	SessionIndex,
};

use super::support::*;
use crate::{mock::*, Amount, Event, Offences, OperatorAccess, Slashes};

/// Tells of an offence of these operators, each with its fraction in percent.
fn offend(offenders: &[(u8, u32)], reporters: &[u8], session: SessionIndex) -> Weight {
	let details: Vec<_> = offenders
		.iter()
		.map(|(who, _)| OffenceDetails {
			offender: (account(*who), ()),
			reporters: reporters.iter().map(|who| account(*who)).collect(),
		})
		.collect();
	let fractions: Vec<_> = offenders
		.iter()
		.map(|(_, percent)| Perbill::from_percent(*percent))
		.collect();
	<Staking as OnOffenceHandler<AccountId, (AccountId, ()), Weight>>::on_offence(
		&details, &fractions, session,
	)
}

fn told() -> Vec<(AccountId, Perbill)> {
	ReportedOffences::take()
}

#[test]
fn a_validators_offence_costs_the_floor_at_least() {
	run(|| {
		take_events();
		assert!(offend(&[(VALIDATOR, 0)], &[], 0).any_gt(Weight::zero()));
		let floor = Perbill::from_percent(1);
		assert_eq!(told(), [(account(VALIDATOR), floor)]);
		let (operator, role) = (account(VALIDATOR), cuckoo_primitives::Role::Validator);
		assert_eq!(
			take_events(),
			[
				Event::OperatorSuspended {
					operator: operator.clone(),
					role
				},
				Event::OperatorDeactivated {
					operator: operator.clone(),
					role
				},
				Event::SlashQueued {
					slash: 0,
					operator,
					era: 0,
					fraction: floor,
					reporter: None,
					due_era: SLASH_DEFER_ERAS,
				},
			]
		);
		assert!(Staking::top(role, 10).is_empty());
		pass_eras(SLASH_DEFER_ERAS);
		let gone = SlashedAway::get();
		assert_ok!(Staking::apply_slashes(signed(BOB), 1));
		// Nobody has reported it: all of it goes.
		assert_eq!(SlashedAway::get(), gone + 1_500 * CUC);
		assert_eq!(worth(VALIDATOR, VALIDATOR), VALIDATOR_STAKE - 1_500 * CUC);
	});
}

#[test]
fn a_larger_fraction_is_taken_as_it_is_and_its_reporter_is_paid() {
	run(|| {
		offend(&[(VALIDATOR, 20)], &[BOB, CAROL], 1);
		assert_eq!(told(), [(account(VALIDATOR), Perbill::from_percent(20))]);
		pass_eras(SLASH_DEFER_ERAS);
		assert_apply(0, VALIDATOR, 30_000 * CUC, BOB, 3_000 * CUC);
	});
}

#[test]
fn the_session_tells_the_era() {
	run(|| {
		assert_vote(ALICE, VALIDATOR, 100 * CUC);
		pass_eras(1);
		assert_unvote(ALICE, VALIDATOR, Amount::All);
		pass_eras(1);
		offend(&[(VALIDATOR, 100)], &[BOB], 2 * SESSIONS_PER_ERA - 1);
		assert_eq!(Slashes::<Test>::get(0).unwrap().era, 1);
		pass_eras(SLASH_DEFER_ERAS);
		// In reach is what has left since.
		assert_ok!(Staking::apply_slashes(signed(BOB), 1));
		assert_eq!(leaving(ALICE), 0);
	});
	run(|| {
		assert_vote(ALICE, VALIDATOR, 100 * CUC);
		pass_eras(1);
		assert_unvote(ALICE, VALIDATOR, Amount::All);
		pass_eras(1);
		offend(&[(VALIDATOR, 100)], &[BOB], 2 * SESSIONS_PER_ERA);
		assert_eq!(Slashes::<Test>::get(0).unwrap().era, 2);
		pass_eras(SLASH_DEFER_ERAS);
		assert_ok!(Staking::apply_slashes(signed(BOB), 1));
		assert_eq!(leaving(ALICE), 100 * CUC);
	});
}

#[test]
fn what_is_too_old_costs_nothing() {
	run(|| {
		pass_eras(EVIDENCE_ERAS + 1);
		take_events();
		offend(&[(VALIDATOR, 50)], &[], SESSIONS_PER_ERA - 1);
		assert!(take_events().is_empty());
		assert!(!Slashes::<Test>::contains_key(0));
		// One session later it counts.
		offend(&[(VALIDATOR, 50)], &[], SESSIONS_PER_ERA);
		assert!(Slashes::<Test>::contains_key(0));
	});
}

/// Late proof of what an operator has been slashed for does not keep it from validating; what suspends it, or
/// finds it suspended, does.
#[test]
fn who_is_back_in_service_is_not_disabled_for_what_it_was_slashed_for() {
	run(|| {
		offend(&[(VALIDATOR, 20)], &[], 0);
		// Another one of the same era, which adds nothing.
		offend(&[(VALIDATOR, 20)], &[], 0);
		assert_eq!(told().len(), 2);
		pass_eras(SLASH_DEFER_ERAS);
		assert_ok!(Staking::apply_slashes(signed(BOB), 1));
		let key = VALIDATOR.into();
		assert_ok!(Staking::reactivate(
			signed(VALIDATOR),
			worker(key),
			proof_now(key, VALIDATOR)
		));
		offend(&[(VALIDATOR, 20)], &[], 0);
		assert_eq!(told(), []);
		assert!(Staking::is_active(&account(VALIDATOR)));
		// What it does from now on counts.
		offend(&[(VALIDATOR, 20)], &[], SESSIONS_PER_ERA);
		assert_eq!(told().len(), 1);
	});
}

#[test]
fn who_is_no_operator_has_nothing_to_lose() {
	run(|| {
		take_events();
		offend(&[(ALICE, 50), (VALIDATOR, 50)], &[], 0);
		// Nothing is left of the first, and the second is slashed.
		assert!(Offences::<Test>::get(account(ALICE)).is_empty());
		assert_eq!(Slashes::<Test>::iter().count(), 1);
		assert_eq!(told().len(), 2);
		assert_eq!(Staking::do_try_state(), Ok(()));
	});
}

#[test]
fn the_same_offence_with_more_offenders_replaces_the_smaller_slash() {
	run(|| {
		assert_register(
			ALICE,
			cuckoo_primitives::Role::Validator,
			50,
			VALIDATOR_STAKE,
		);
		offend(&[(VALIDATOR, 2)], &[], 0);
		// The formula's fraction rises with the number of those who do it together.
		offend(&[(VALIDATOR, 40), (ALICE, 40)], &[], 0);
		offend(&[(VALIDATOR, 40), (ALICE, 40)], &[], 0);
		offend(&[(VALIDATOR, 3)], &[], 0);
		let waiting: Vec<_> = Staking::pending_slashes(None, 10)
			.into_iter()
			.map(|slash| (slash.operator, slash.fraction))
			.collect();
		let fraction = Perbill::from_percent(40);
		assert_eq!(
			waiting,
			[(account(VALIDATOR), fraction), (account(ALICE), fraction)]
		);
		pass_eras(SLASH_DEFER_ERAS);
		assert_ok!(Staking::apply_slashes(signed(BOB), 10));
		for who in [VALIDATOR, ALICE] {
			assert_eq!(worth(who, who), VALIDATOR_STAKE / 10 * 6);
		}
	});
}

#[test]
fn a_worker_and_a_validator_offence_of_one_era_are_not_added() {
	run(|| {
		// A validator whose worker signs results, which costs a tenth.
		assert_ok!(Staking::report_equivocation(
			signed(BOB),
			Box::new(two_results(VALIDATOR, VALIDATOR.into(), block(), 0))
		));
		offend(&[(VALIDATOR, 5)], &[], 0);
		assert_eq!(Staking::pending_slashes(None, 10).len(), 1);
		offend(&[(VALIDATOR, 25)], &[], 0);
		let waiting = Staking::pending_slashes(None, 10);
		assert_eq!(waiting.len(), 1);
		assert_eq!(waiting[0].fraction, Perbill::from_percent(25));
	});
}

#[test]
fn a_validator_that_has_retired_answers_for_what_it_did() {
	run(|| {
		assert_retire(VALIDATOR);
		assert_unstake(VALIDATOR, Amount::All);
		offend(&[(VALIDATOR, 100)], &[], 0);
		pass_eras(SLASH_DEFER_ERAS);
		assert_ok!(Staking::apply_slashes(signed(BOB), 10));
		assert_eq!(leaving(VALIDATOR), 0);
	});
}
