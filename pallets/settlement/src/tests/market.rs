//! A simulated market: one person behind a coordinator, its miners, their voters and the apps, who pays
//! himself to get what is issued. Whatever he does, he loses.

use cuckoo_primitives::{Balance, CUC};
use frame_support::assert_ok;
use proptest::prelude::*;

use super::random::{beginning, both, step, Step};
use crate::{mock::*, Held, Settlements};

/// All that the person has: everybody but the audit fund is he, and what the pot holds is for them.
/// What is lost to the fund is lost to him.
fn wealth() -> Balance {
	let accounts: Balance = ACCOUNTS
		.into_iter()
		.filter(|who| *who != FUND)
		.map(free)
		.sum();
	let pools: Balance = [COORDINATOR, OTHER, MINER, MINER_2, MINER_3]
		.into_iter()
		.map(pool)
		.sum();
	accounts + pools + Held::<Test>::get()
}

/// What there is of all CUC, without the audit fund's.
fn wealth_with_fund() -> Balance {
	wealth() + free(FUND)
}

/// The plain circle: an app pays a coordinator, which owes it all to a miner of its own.
fn circle(fee: Balance) {
	let channel = open(APP, COORDINATOR, fee);
	assert_ok!(redeem(APP, COORDINATOR, channel, fee));
	assert_ok!(Settlement::close_channel(signed(COORDINATOR), channel));
	let worked = era();
	pass_eras(1);
	let miners = fee * 3 / 4;
	let owed = [(MINER, miners / 2), (MINER_2, miners / 2)];
	let tree = settle(COORDINATOR, worked, &owed);
	assert_ok!(claim(COORDINATOR, worked, tree.prove(&[0, 1]).unwrap()));
}

/// Of each 100 CUC 8 are burned and 2 are the audit fund's, 6 are issued: 4 are lost. Even he who were
/// the audit fund as well would lose 2.
#[test]
fn a_circle_loses_the_same_each_time() {
	run(|| {
		for round in 1..=5 {
			let (before, with_fund) = (wealth(), wealth_with_fund());
			circle(1_000 * CUC * round);
			assert_eq!(before - wealth(), 40 * CUC * round);
			assert_eq!(with_fund - wealth_with_fund(), 20 * CUC * round);
		}
	});
}

/// More identities are no better: the loss goes by the sum.
#[test]
fn identities_do_not_help() {
	let lost = |owed: &[(u8, Balance)]| {
		let mut lost = 0;
		run(|| {
			back(COORDINATOR, 1_000 * CUC, MINER, 0);
			let before = wealth();
			pass_eras(1);
			let tree = settle(COORDINATOR, 0, owed);
			let all: Vec<u32> = (0..owed.len() as u32).collect();
			assert_ok!(claim(COORDINATOR, 0, tree.prove(&all).unwrap()));
			lost = before - wealth();
		});
		lost
	};
	let one = lost(&[(MINER, 90 * CUC)]);
	let three = lost(&[(MINER, 30 * CUC), (MINER_2, 30 * CUC), (MINER_3, 30 * CUC)]);
	assert_eq!(one, 48 * CUC / 10);
	assert!(three >= one);
	// Nor does it help to be owed by accounts that are no operators: nothing is issued to them.
	assert!(lost(&[(APP, 90 * CUC)]) > one);
}

fn strategy() -> impl Strategy<Value = Vec<Step>> {
	let round = (0..2usize, 1..500u128, 1..500u128, any::<bool>(), 0..20usize);
	let round = round.prop_map(|(c, one, two, leaf, pick)| {
		let fee = (one + two) * 2 * CUC;
		let mut steps = vec![
			Step::Fund(c, fee),
			Step::Allot(c, 0, one.max(10) * CUC),
			Step::Eras(1),
		];
		steps.extend(if leaf {
			[
				Step::Settle(c, 1, [one * CUC, two * CUC, 0]),
				Step::Claim(pick, [true, true, false]),
			]
		} else {
			[
				Step::Eras(POST_ERAS),
				Step::Voucher(pick, POST_ERAS + 1, one * CUC),
			]
		});
		steps
	});
	let part = prop_oneof![2 => round, 1 => step().prop_map(|step| vec![step])];
	prop::collection::vec(part, 1..25).prop_map(|parts| parts.concat())
}

proptest! {
	#![proptest_config(ProptestConfig::with_cases(96))]

	/// Any strategy, with settlements, vouchers, reports against himself, and changes of the split on
	/// the way: no step of it makes the whole person richer, and each era settled makes him poorer.
	#[test]
	fn no_strategy_earns(steps in strategy()) {
		run(|| {
			let mut model = beginning();
			let beginning = wealth_with_fund();
			let mut settled = false;
			for step in &steps {
				let before = wealth_with_fund();
				both(&mut model, step);
				// A claim may pay out what was issued for its settlement: it is counted with it.
				let open: Balance = Settlements::<Test>::iter_values()
					.map(|settlement| settlement.emission)
					.sum();
				assert!(wealth_with_fund() <= before + open, "{step:?}");
				let _ = Staking::apply_slashes(signed(STRANGER), 10);
				settled |= Settlements::<Test>::iter().next().is_some();
				assert!(wealth_with_fund() <= beginning, "{step:?}");
			}
			assert!(!settled || wealth_with_fund() < beginning);
		});
	}
}
