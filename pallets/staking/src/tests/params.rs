//! What governance sets, and how operators follow.

use cuckoo_primitives::{Role, CUC};
use frame_support::{assert_noop, assert_ok};
use sp_runtime::{DispatchError, Perbill};

use super::support::*;
use crate::{
	mock::*, Amount, Error, Event, RoleParameters, RoleParams, ValidatorParameters,
	ValidatorParams, MAX_RECOUNT,
};

fn set_minimum(role: Role, min_self_stake: u128) {
	let params = RoleParams {
		min_self_stake,
		..Staking::role_params(role)
	};
	take_events();
	assert_ok!(Staking::set_role_params(
		RuntimeOrigin::root(),
		role,
		params
	));
	assert_eq!(RoleParameters::<Test>::get(role), Some(params));
	assert_eq!(take_events(), [Event::RoleParamsSet { role, params }]);
}

/// Compares these accounts; returns whose activity changed.
fn recount(accounts: &[u8]) -> Vec<Event<Test>> {
	take_events();
	let list: Vec<_> = accounts.iter().map(|who| account(*who)).collect();
	assert_ok!(Staking::recount(signed(BOB), list.try_into().unwrap()));
	take_events()
		.into_iter()
		.filter(|event| !matches!(event, Event::Recounted { .. }))
		.collect()
}

#[test]
fn only_governance_sets_parameters() {
	run(|| {
		let params = Staking::role_params(Role::Miner);
		for origin in [signed(ALICE), signed(MINER), RuntimeOrigin::none()] {
			assert_noop!(
				Staking::set_role_params(origin.clone(), Role::Miner, params),
				DispatchError::BadOrigin
			);
			assert_noop!(
				Staking::set_validator_params(origin, ValidatorParams::default()),
				DispatchError::BadOrigin
			);
		}
	});
}

#[test]
fn parameters_that_nobody_can_mean_are_refused() {
	run(|| {
		let params = RoleParams {
			min_self_stake: MIN_VOTE - 1,
			..Staking::role_params(Role::Miner)
		};
		assert_noop!(
			Staking::set_role_params(RuntimeOrigin::root(), Role::Miner, params),
			Error::<Test>::ParamsInvalid
		);
		set_minimum(Role::Miner, MIN_VOTE);
		let good = ValidatorParams::default();
		type Change = fn(&mut ValidatorParams);
		let changes: [Change; 5] = [
			|params| params.seats = 0,
			|params| params.seats = MAX_VALIDATORS + 1,
			|params| params.floor = 0,
			|params| params.floor = params.seats + 1,
			|params| params.yearly_inflation = Perbill::from_parts(500_000_001),
		];
		for change in changes {
			let mut params = good;
			change(&mut params);
			assert_noop!(
				Staking::set_validator_params(RuntimeOrigin::root(), params),
				Error::<Test>::ParamsInvalid
			);
		}
	});
}

#[test]
fn parameters_of_validators_are_set_to_their_bounds() {
	run(|| {
		for (seats, floor, percent) in [(1, 1, 0), (MAX_VALIDATORS, MAX_VALIDATORS, 50)] {
			let params = ValidatorParams {
				seats,
				floor,
				yearly_inflation: Perbill::from_percent(percent),
			};
			take_events();
			assert_ok!(Staking::set_validator_params(RuntimeOrigin::root(), params));
			assert_eq!(ValidatorParameters::<Test>::get(), params);
			assert_eq!(Staking::validator_params(), params);
			assert_eq!(take_events(), [Event::ValidatorParamsSet { params }]);
		}
	});
}

#[test]
fn a_higher_minimum_reaches_operators_by_a_recount() {
	run(|| {
		assert_register(ALICE, Role::Miner, 50, 2 * MINER_STAKE);
		set_minimum(Role::Miner, MINER_STAKE);
		// Nothing has changed yet, and the state is sound.
		assert!(record(MINER).is_active());
		assert_eq!(Staking::do_try_state(), Ok(()));
		assert_eq!(
			recount(&[MINER, ALICE, VALIDATOR, BOB]),
			[Event::OperatorDeactivated {
				operator: account(MINER),
				role: Role::Miner
			}]
		);
		assert!(!record(MINER).is_active() && record(ALICE).is_active());
		assert_eq!(
			Snapshot::take(BOB, MINER).total(Role::Miner).stake,
			2 * MINER_STAKE
		);
		assert_eq!(recount(&[MINER, ALICE]), []);
		// One unit less, and it exceeds the minimum again.
		set_minimum(Role::Miner, MINER_STAKE - 1);
		assert_eq!(
			recount(&[MINER]),
			[Event::OperatorActivated {
				operator: account(MINER),
				role: Role::Miner,
				total_stake: MINER_STAKE
			}]
		);
	});
}

#[test]
fn a_change_of_stake_is_a_recount_too() {
	run(|| {
		set_minimum(Role::Validator, 2 * VALIDATOR_STAKE);
		assert_ok!(Staking::vote(signed(ALICE), account(VALIDATOR), MIN_VOTE));
		assert!(!record(VALIDATOR).is_active());
		assert!(Staking::top(Role::Validator, 10).is_empty());
		set_minimum(Role::Validator, 1_000 * CUC);
		assert_ok!(Staking::unvote(
			signed(ALICE),
			account(VALIDATOR),
			Amount::All
		));
		assert!(record(VALIDATOR).is_active());
		// And what can be taken out is bounded by today's minimum.
		assert_noop!(
			Staking::unstake(
				signed(VALIDATOR),
				Amount::Value(VALIDATOR_STAKE - 1_000 * CUC)
			),
			Error::<Test>::SelfStakeTooLow
		);
		assert_unstake(VALIDATOR, Amount::Value(VALIDATOR_STAKE - 1_000 * CUC - 1));
	});
}

#[test]
fn a_recount_brings_nobody_back_who_is_out_of_service() {
	run(|| {
		assert_retire(VALIDATOR);
		assert_report(BOB, MINER, offence_now(0), 0);
		set_minimum(Role::Miner, MIN_VOTE);
		set_minimum(Role::Validator, MIN_VOTE);
		assert_eq!(recount(&[VALIDATOR, MINER]), []);
		assert!(!record(VALIDATOR).is_active() && !record(MINER).is_active());
	});
}

#[test]
fn a_recount_tells_what_has_streamed_in() {
	run(|| {
		assert_eq!(pay(MINER, 1_000 * CUC), Ok(()));
		pass_blocks(BLOCKS_PER_ERA);
		take_events();
		let list = vec![account(MINER), account(ALICE)].try_into().unwrap();
		assert_ok!(Staking::recount(signed(BOB), list));
		assert_eq!(
			take_events(),
			[Event::Recounted {
				operator: account(MINER),
				total_stake: MINER_STAKE + 1_000 * CUC
			}]
		);
		assert_eq!(record(MINER).counted, Some(MINER_STAKE + 1_000 * CUC));
	});
}

#[test]
fn a_recount_is_bounded_and_takes_an_account_twice() {
	run(|| {
		set_minimum(Role::Miner, MINER_STAKE);
		assert_eq!(recount(&[MINER, MINER, MINER]).len(), 1);
		assert_eq!(recount(&[]), []);
		let too_many = vec![account(MINER); MAX_RECOUNT as usize + 1];
		assert!(
			frame_support::BoundedVec::<_, frame_support::traits::ConstU32<MAX_RECOUNT>>::try_from(
				too_many
			)
			.is_err()
		);
	});
}

#[test]
fn a_new_fraction_is_for_offences_that_are_proven_later() {
	run(|| {
		assert_report(BOB, MINER, offence_now(0), 0);
		let params = RoleParams {
			offence_fraction: Perbill::from_percent(90),
			..Staking::role_params(Role::Miner)
		};
		assert_ok!(Staking::set_role_params(
			RuntimeOrigin::root(),
			Role::Miner,
			params
		));
		pass_eras(SLASH_DEFER_ERAS);
		assert_apply(0, MINER, 3_000 * CUC, BOB, 300 * CUC);
	});
}
