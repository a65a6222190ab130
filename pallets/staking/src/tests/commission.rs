//! Commissions: announced, bounded, in force an era later.

use cuckoo_primitives::{EraIndex, CUC};
use frame_support::{assert_noop, assert_ok};
use sp_runtime::Perbill;

use super::support::*;
use crate::{mock::*, types::Commission, CurrentEra, Error, Event};

fn percent(percent: u32) -> Perbill {
	Perbill::from_percent(percent)
}

/// Announces a commission, which is in force from the next era on.
fn assert_set_commission(who: u8, rate: Perbill) {
	let before = Snapshot::take(who, who);
	let now = CurrentEra::<Test>::get();
	let in_force = before.record.as_ref().unwrap().commission.in_era(now);
	take_events();
	assert_ok!(Staking::set_commission(signed(who), rate));
	let mut expected = before;
	expected.record.as_mut().unwrap().commission = Commission {
		rate: in_force,
		next: Some((rate, now + 1)),
	};
	assert_eq!(Snapshot::take(who, who), expected);
	assert_eq!(
		take_events(),
		[Event::CommissionSet {
			operator: account(who),
			commission: rate,
			effective_era: now + 1,
		}]
	);
}

/// What is in force, and what is announced.
fn shown(who: u8) -> (Perbill, Option<(Perbill, EraIndex)>) {
	let info = Staking::operator(account(who)).unwrap();
	(info.commission, info.next_commission)
}

#[test]
fn a_commission_is_in_force_an_era_after_it_is_announced() {
	run(|| {
		assert_set_commission(MINER, percent(10));
		assert_eq!(shown(MINER), (percent(5), Some((percent(10), 1))));
		assert_reward(MINER, 100 * CUC, 5 * CUC);
		pass_eras(1);
		assert_eq!(shown(MINER), (percent(10), None));
		assert_reward(MINER, 100 * CUC, 10 * CUC);
	});
}

#[test]
fn a_fall_takes_as_long_as_a_rise() {
	run(|| {
		assert_set_commission(MINER, percent(0));
		assert_reward(MINER, 100 * CUC, 5 * CUC);
		pass_eras(1);
		assert_reward(MINER, 100 * CUC, 0);
	});
}

#[test]
fn a_rise_is_bounded_to_the_billionth() {
	run(|| {
		let most = percent(10);
		let too_much = Perbill::from_parts(most.deconstruct() + 1);
		assert_noop!(
			Staking::set_commission(signed(MINER), too_much),
			Error::<Test>::CommissionRaiseTooLarge
		);
		assert_noop!(
			Staking::set_commission(signed(MINER), Perbill::one()),
			Error::<Test>::CommissionRaiseTooLarge
		);
		assert_set_commission(MINER, most);
	});
}

#[test]
fn announcing_twice_in_an_era_does_not_raise_twice() {
	run(|| {
		assert_set_commission(MINER, percent(10));
		assert_noop!(
			Staking::set_commission(signed(MINER), percent(15)),
			Error::<Test>::CommissionRaiseTooLarge
		);
		// Nor does a fall that is announced in between.
		assert_set_commission(MINER, percent(0));
		assert_set_commission(MINER, percent(10));
		pass_eras(1);
		assert_set_commission(MINER, percent(15));
		assert_eq!(shown(MINER), (percent(10), Some((percent(15), 2))));
	});
}

#[test]
fn an_announcement_is_replaced_by_the_next_one() {
	run(|| {
		assert_set_commission(MINER, percent(10));
		assert_set_commission(MINER, percent(3));
		pass_eras(1);
		assert_eq!(shown(MINER), (percent(3), None));
		// Announced again, a fall that is in force bounds the next rise.
		assert_noop!(
			Staking::set_commission(signed(MINER), percent(9)),
			Error::<Test>::CommissionRaiseTooLarge
		);
		assert_set_commission(MINER, percent(8));
	});
}

#[test]
fn an_announcement_of_long_ago_counts_as_what_is_in_force() {
	run(|| {
		assert_set_commission(MINER, percent(10));
		pass_eras(7);
		assert_set_commission(MINER, percent(15));
		assert_reward(MINER, 100 * CUC, 10 * CUC);
	});
}

#[test]
fn only_operators_that_have_not_retired_announce() {
	run(|| {
		assert_noop!(
			Staking::set_commission(signed(ALICE), percent(1)),
			Error::<Test>::OperatorNotFound
		);
		assert_retire(MINER);
		assert_noop!(
			Staking::set_commission(signed(MINER), percent(1)),
			Error::<Test>::OperatorRetired
		);
	});
}

#[test]
fn coming_back_does_not_reset_the_commission() {
	run(|| {
		assert_vote(ALICE, MINER, 100 * CUC);
		assert_set_commission(MINER, percent(10));
		assert_retire(MINER);
		assert_ok!(Staking::reactivate(
			signed(MINER),
			worker(50),
			proof_now(50, MINER)
		));
		assert_eq!(shown(MINER), (percent(5), Some((percent(10), 1))));
		assert_noop!(
			Staking::set_commission(signed(MINER), percent(11)),
			Error::<Test>::CommissionRaiseTooLarge
		);
	});
}
