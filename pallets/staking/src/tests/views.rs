//! What the runtime API answers.

use cuckoo_primitives::{AccountId, Role, CUC};
use pallet_cuckoo_staking_runtime_api::{OperatorInfo, PositionInfo, RoleParams, UnbondingInfo};
use sp_runtime::Perbill;

use super::support::*;
use crate::{mock::*, Amount};

#[test]
fn an_operator_is_shown_whole() {
	run(|| {
		assert_register(ALICE, Role::Coordinator, 50, COORDINATOR_STAKE);
		assert_vote(BOB, ALICE, 500 * CUC);
		let expected = OperatorInfo {
			account: account(ALICE),
			role: Role::Coordinator,
			worker: Some(worker(50)),
			commission: commission(),
			next_commission: None,
			name: introduction().name,
			endpoint: introduction().endpoint,
			text: introduction().text,
			self_stake: COORDINATOR_STAKE,
			total_stake: COORDINATOR_STAKE + 500 * CUC,
			active: true,
			retired: false,
			suspended: false,
			streaming: 0,
		};
		assert_eq!(Staking::operator(account(ALICE)), Some(expected.clone()));
		assert_eq!(
			Staking::operator_by_worker(worker(50)),
			Some(account(ALICE))
		);
		assert_retire(ALICE);
		let retired = OperatorInfo {
			worker: None,
			active: false,
			retired: true,
			..expected
		};
		assert_eq!(Staking::operator(account(ALICE)), Some(retired));
		assert_eq!(Staking::operator(account(BOB)), None);
	});
}

#[test]
fn operators_of_a_role_are_paged_without_gaps() {
	run(|| {
		for (who, key) in [(ALICE, 50), (BOB, 51), (CAROL, 52)] {
			assert_register(who, Role::Miner, key, MINER_STAKE);
		}
		let all: Vec<AccountId> = Staking::operators(Role::Miner, None, u32::MAX)
			.into_iter()
			.map(|operator| operator.account)
			.collect();
		assert_eq!(all.len(), 4);
		let mut paged = Vec::new();
		loop {
			let page = Staking::operators(Role::Miner, paged.last().cloned(), 1);
			match page.as_slice() {
				[] => break,
				[operator] => paged.push(operator.account.clone()),
				more => panic!("asked for one, got {}", more.len()),
			}
		}
		assert_eq!(paged, all);
		assert!(Staking::operators(Role::Miner, None, 0).is_empty());
		assert_eq!(Staking::operators(Role::Coordinator, None, 10).len(), 1);
	});
}

#[test]
fn the_top_is_most_first_and_bounded() {
	run(|| {
		for (step, who) in [ALICE, BOB, CAROL].into_iter().enumerate() {
			let stake = COORDINATOR_STAKE + (step as u128 + 1) * CUC;
			assert_register(who, Role::Coordinator, 50 + step as u32, stake);
		}
		let top = Staking::top(Role::Coordinator, u32::MAX);
		let expected = [
			(account(CAROL), COORDINATOR_STAKE + 3 * CUC),
			(account(BOB), COORDINATOR_STAKE + 2 * CUC),
			(account(ALICE), COORDINATOR_STAKE + CUC),
		];
		assert_eq!(top, expected);
		assert_eq!(Staking::top(Role::Coordinator, 1), expected[..1]);
		assert_eq!(
			Staking::top(Role::Validator, 5),
			[(account(VALIDATOR), VALIDATOR_STAKE)]
		);
		assert!(Staking::top(Role::Miner, 5).is_empty());
	});
}

#[test]
fn positions_are_balances_at_todays_rate() {
	run(|| {
		assert_vote(ALICE, MINER, MINER_STAKE);
		assert_vote(ALICE, VALIDATOR, 100 * CUC);
		raise(MINER, 2_000 * CUC);
		let expected = PositionInfo {
			operator: account(MINER),
			value: MINER_STAKE + 1_000 * CUC,
		};
		assert_eq!(
			Staking::position(account(ALICE), account(MINER)),
			Some(expected.clone())
		);
		assert_eq!(
			Staking::position(account(MINER), account(MINER)),
			Some(expected.clone())
		);
		assert_eq!(
			Staking::position(account(ALICE), account(COORDINATOR)),
			None
		);

		let all = Staking::positions(account(ALICE), None, 10);
		assert_eq!(all.len(), 2);
		assert!(all.contains(&expected));
		let first = Staking::positions(account(ALICE), None, 1);
		let second = Staking::positions(account(ALICE), Some(first[0].operator.clone()), 10);
		assert_eq!([first, second].concat(), all);
		assert!(Staking::positions(account(BOB), None, 10).is_empty());
	});
}

#[test]
fn unbonding_tells_the_era() {
	run(|| {
		assert_vote(ALICE, MINER, 100 * CUC);
		pass_eras(2);
		assert_unvote(ALICE, MINER, Amount::Value(40 * CUC));
		assert_eq!(
			Staking::unbonding(account(ALICE)),
			[UnbondingInfo {
				operator: account(MINER),
				value: 40 * CUC,
				since_era: 2,
				withdrawable_era: 2 + UNBONDING_ERAS,
			}]
		);
	});
}

#[test]
fn figures_of_the_whole() {
	run(|| {
		pass_eras(1);
		assert_vote(ALICE, MINER, 100 * CUC);
		let info = Staking::info();
		assert_eq!((info.era, info.unbonding_eras), (1, UNBONDING_ERAS));
		assert_eq!(info.evidence_eras, EVIDENCE_ERAS);
		assert_eq!(info.slash_defer_eras, SLASH_DEFER_ERAS);
		assert_eq!(info.min_vote, MIN_VOTE);
		assert_eq!(
			info.active,
			[
				(Role::Validator, 1, VALIDATOR_STAKE),
				(Role::Coordinator, 1, COORDINATOR_STAKE),
				(Role::Miner, 1, MINER_STAKE + 100 * CUC),
			]
		);
		assert_eq!(
			Staking::role_params(Role::Miner),
			RoleParams {
				min_self_stake: 20_000 * CUC,
				offence_fraction: Perbill::from_percent(10),
			}
		);
	});
}
