//! Any calls in any order: the pallet does what the model does, money conserves, and every invariant
//! holds after each of them.

use cuckoo_primitives::{Balance, EraIndex, CUC};
use frame_support::storage::with_storage_layer;
use proptest::prelude::*;
use sp_runtime::{DispatchError, Perbill};

use super::model::Model;
use crate::{mock::*, Allotments, Channels, Held, Reserves, Settlements, SplitParams};

const COORDINATORS: [u8; 2] = [COORDINATOR, OTHER];
const APPS: [u8; 2] = [APP, APP_2];

/// One call, or time that goes by. Actors are indices; eras count back from now.
#[derive(Clone, Debug)]
pub enum Step {
	Open(usize, usize, Balance),
	TopUp(usize, usize, Balance),
	Redeem(usize, u32),
	Close(bool, usize),
	Finish(usize),
	Fund(usize, Balance),
	Withdraw(usize, Balance),
	Allot(usize, usize, Balance),
	Release(usize, usize),
	Settle(usize, EraIndex, [Balance; 3]),
	Claim(usize, EraIndex, [bool; 3]),
	Voucher(usize, usize, EraIndex, Balance),
	Report(usize, usize, EraIndex, Balance),
	Clean(usize, EraIndex, u32),
	Split(bool),
	Blocks(u32),
	Era,
}

/// Whole and odd amounts, often equal ones, so that borders are met.
fn amount() -> impl Strategy<Value = Balance> {
	prop_oneof![
		Just(0),
		Just(1),
		Just(10 * CUC),
		Just(30 * CUC),
		(0..200u128).prop_map(|cuc| cuc * CUC),
		0..300 * CUC,
	]
}

pub fn step() -> impl Strategy<Value = Step> {
	use Step::*;
	let two = || 0..2usize;
	let three = || 0..3usize;
	let back = || 0..8u32;
	prop_oneof![
		3 => (two(), two(), amount()).prop_map(|(a, c, n)| Open(a, c, n)),
		1 => (two(), 0..6usize, amount()).prop_map(|(a, n, m)| TopUp(a, n, m)),
		4 => (0..6usize, 0..110u32).prop_map(|(n, part)| Redeem(n, part)),
		1 => (any::<bool>(), 0..6usize).prop_map(|(app, n)| Close(app, n)),
		1 => (0..6usize).prop_map(Finish),
		3 => (two(), amount()).prop_map(|(c, n)| Fund(c, n)),
		1 => (two(), amount()).prop_map(|(c, n)| Withdraw(c, n)),
		4 => (two(), three(), amount()).prop_map(|(c, m, n)| Allot(c, m, n)),
		1 => (two(), three()).prop_map(|(c, m)| Release(c, m)),
		4 => (two(), 0..4u32, [amount(), amount(), amount()]).prop_map(|(c, e, n)| Settle(c, e, n)),
		5 => (two(), back(), any::<[bool; 3]>()).prop_map(|(c, e, l)| Claim(c, e, l)),
		5 => (two(), three(), back(), amount()).prop_map(|(c, m, e, n)| Voucher(c, m, e, n)),
		1 => (two(), three(), back(), amount()).prop_map(|(c, m, e, n)| Report(c, m, e, n)),
		2 => (two(), back(), 0..3u32).prop_map(|(c, e, l)| Clean(c, e, l)),
		1 => any::<bool>().prop_map(Split),
		2 => (1..15u32).prop_map(Blocks),
		4 => Just(Era),
	]
}

pub fn beginning() -> Model {
	Model {
		era: era(),
		block: block(),
		params: SplitParams::default(),
		free: ACCOUNTS.map(|who| (who, free(who))).into(),
		pools: COORDINATORS
			.into_iter()
			.chain(MINERS)
			.map(|who| (who, pool(who)))
			.collect(),
		issuance: Balances::total_issuance(),
		..Default::default()
	}
}

/// Does the step in both; whether each went through. What fails changes nothing.
pub fn both(model: &mut Model, step: &Step) -> (bool, bool) {
	let mut outcome = (false, false);
	let _ = with_storage_layer(|| {
		outcome = try_both(model, step);
		match outcome.1 {
			true => Ok(()),
			false => Err(DispatchError::Other("undone")),
		}
	});
	outcome
}

fn try_both(model: &mut Model, step: &Step) -> (bool, bool) {
	let now = model.era;
	let mut next = model.clone();
	let (expected, done) = match step.clone() {
		Step::Open(app, coordinator, amount) => {
			let (app, coordinator) = (APPS[app], COORDINATORS[coordinator]);
			let to = account(coordinator);
			(
				next.open(app, coordinator, amount),
				Settlement::open_channel(signed(app), to, public(app), amount),
			)
		},
		Step::TopUp(app, number, amount) => (
			next.top_up(APPS[app], number, amount),
			Settlement::top_up(signed(APPS[app]), number as u64, amount),
		),
		Step::Redeem(number, part) => {
			let known = Channels::<Test>::get(number as u64);
			let deposit = known.as_ref().map_or(0, |channel| channel.deposit);
			let cumulative = deposit * Balance::from(part) / 100;
			let app = APPS
				.into_iter()
				.find(|app| {
					known
						.as_ref()
						.is_some_and(|known| known.app == account(*app))
				})
				.unwrap_or(APP);
			let coordinator = COORDINATORS
				.into_iter()
				.find(|c| {
					known
						.as_ref()
						.is_some_and(|known| known.coordinator == account(*c))
				})
				.unwrap_or(COORDINATOR);
			(
				next.redeem(number, cumulative),
				redeem(app, coordinator, number as u64, cumulative),
			)
		},
		Step::Close(by_app, number) => {
			let known = next.channels.get(number).cloned().flatten();
			let who = match (known, by_app) {
				(Some(channel), true) => channel.app,
				(Some(channel), false) => channel.coordinator,
				(None, _) => STRANGER,
			};
			(
				next.close(who, number),
				Settlement::close_channel(signed(who), number as u64),
			)
		},
		Step::Finish(number) => (
			next.finish(number),
			Settlement::finish_close(signed(STRANGER), number as u64),
		),
		Step::Fund(c, amount) => (
			next.fund(COORDINATORS[c], amount),
			Settlement::fund_reserve(signed(COORDINATORS[c]), amount),
		),
		Step::Withdraw(c, amount) => (
			next.withdraw(COORDINATORS[c], amount),
			Settlement::withdraw_reserve(signed(COORDINATORS[c]), amount),
		),
		Step::Allot(c, m, amount) => (
			next.allot(COORDINATORS[c], MINERS[m], amount),
			Settlement::allot(signed(COORDINATORS[c]), account(MINERS[m]), amount),
		),
		Step::Release(c, m) => (
			next.release(COORDINATORS[c], MINERS[m]),
			Settlement::release_allotment(
				signed(STRANGER),
				account(COORDINATORS[c]),
				account(MINERS[m]),
			),
		),
		Step::Settle(c, back, amounts) => {
			let era = now.saturating_sub(back);
			let owed: Vec<(u8, Balance)> = MINERS
				.into_iter()
				.zip(amounts)
				.filter(|(_, amount)| *amount > 0)
				.collect();
			if owed.is_empty() {
				return (true, true);
			}
			let root = tree(COORDINATORS[c], era, &owed).root();
			(
				next.settle(COORDINATORS[c], era, &owed),
				Settlement::settle_era(signed(COORDINATORS[c]), era, root),
			)
		},
		Step::Claim(c, back, wanted) => {
			let era = now.saturating_sub(back);
			let Some(settlement) = next.settlements.get(&(COORDINATORS[c], era)) else {
				return (true, true);
			};
			let indices: Vec<usize> = (0..settlement.owed.len())
				.filter(|index| wanted[*index])
				.collect();
			let places: Vec<u32> = indices.iter().map(|index| *index as u32).collect();
			let tree = tree(COORDINATORS[c], era, &settlement.owed);
			let Some(proof) = tree.prove(&places) else {
				return (true, true);
			};
			(
				next.claim(COORDINATORS[c], era, &indices),
				claim(COORDINATORS[c], era, proof),
			)
		},
		Step::Voucher(c, m, back, amount) => {
			let era = now.saturating_sub(back);
			(
				next.claim_voucher(COORDINATORS[c], MINERS[m], era, amount),
				claim_voucher(COORDINATORS[c], MINERS[m], era, amount),
			)
		},
		Step::Report(c, m, back, amount) => {
			let era = now.saturating_sub(back);
			let Some(settlement) = next.settlements.get(&(COORDINATORS[c], era)) else {
				return (true, true);
			};
			let tree = tree(COORDINATORS[c], era, &settlement.owed);
			let proof = tree.prove_miner(&account(MINERS[m])).expect("a place");
			let voucher = miner_voucher(COORDINATORS[c], MINERS[m], era, amount);
			let signature = sign_with(COORDINATORS[c], &voucher);
			let done = Settlement::report_short(
				signed(STRANGER),
				public(COORDINATORS[c]),
				voucher,
				signature,
				proof.leaves.try_into().expect("one or two"),
				proof.siblings.try_into().expect("few"),
			);
			(
				next.report(COORDINATORS[c], MINERS[m], era, amount),
				done.map(|_| ()).map_err(|failed| failed.error),
			)
		},
		Step::Clean(c, back, limit) => {
			let era = now.saturating_sub(back);
			let done = Settlement::clean(signed(STRANGER), account(COORDINATORS[c]), era, limit);
			(
				next.clean(COORDINATORS[c], era, limit),
				done.map(|_| ()).map_err(|failed| failed.error),
			)
		},
		Step::Split(first) => {
			let params = if first {
				SplitParams::default()
			} else {
				SplitParams {
					miner: Perbill::from_parts(700_000_001),
					coordinator: Perbill::from_parts(99_999_999),
					audit: Perbill::from_parts(33_333_333),
					burn: Perbill::from_parts(166_666_667),
					miner_emission: Perbill::from_parts(111_111_111),
					coordinator_emission: Perbill::from_parts(55_555_555),
				}
			};
			next.params = params;
			(
				Some(()),
				Settlement::set_split(RuntimeOrigin::root(), params),
			)
		},
		Step::Blocks(count) => {
			pass_blocks(count);
			next.block += count;
			(Some(()), Ok(()))
		},
		Step::Era => {
			pass_eras(1);
			next.era += 1;
			next.block += BLOCKS_PER_ERA;
			(Some(()), Ok(()))
		},
	};
	if expected.is_some() {
		*model = next;
	}
	(expected.is_some(), done.is_ok())
}

/// Every figure of the pallet is the model's.
fn compare(model: &Model) {
	for (who, expected) in &model.free {
		assert_eq!(free(*who), *expected, "the balance of {who}");
	}
	for (who, expected) in &model.pools {
		assert_eq!(pool(*who), *expected, "the pool of {who}");
	}
	assert_eq!(Held::<Test>::get(), model.held());
	assert_eq!(
		Balances::free_balance(Settlement::pot()),
		model.held() + DEPOSIT
	);
	assert_eq!(Balances::total_issuance(), model.issuance);
	for (number, expected) in model.channels.iter().enumerate() {
		let present = Channels::<Test>::get(number as u64);
		let figures = |deposit, redeemed, until| (deposit, redeemed, until);
		assert_eq!(
			present.map(|c| figures(c.deposit, c.redeemed, c.closing)),
			expected
				.as_ref()
				.map(|c| figures(c.deposit, c.redeemed, c.until)),
		);
	}
	for coordinator in COORDINATORS {
		let expected = model
			.reserves
			.get(&coordinator)
			.copied()
			.unwrap_or_default();
		let present = reserve(coordinator);
		assert_eq!(
			(present.balance, present.allotted, present.owed),
			(expected.balance, expected.allotted, expected.owed)
		);
		for miner in MINERS {
			let present = allotment(coordinator, miner);
			let expected = model.allotments.get(&(coordinator, miner));
			assert_eq!(
				present.map(|a| (a.amount, a.since, a.lowering, a.paid.into_inner())),
				expected.map(|a| (
					a.amount,
					a.since,
					a.lowering,
					a.paid.clone().into_iter().collect()
				)),
			);
		}
	}
	assert_eq!(Settlements::<Test>::iter().count(), model.settlements.len());
	for ((coordinator, era), expected) in &model.settlements {
		let present = Settlements::<Test>::get(account(*coordinator), era).expect("it is settled");
		assert_eq!(present.claimed, expected.claimed);
		assert_eq!(present.root.node.sum, expected.total());
	}
	// No more values than there are things.
	assert!(Reserves::<Test>::iter().count() <= COORDINATORS.len());
	assert_eq!(Allotments::<Test>::iter().count(), model.allotments.len());
}

proptest! {
	#![proptest_config(ProptestConfig::with_cases(96))]

	#[test]
	fn any_calls_in_any_order(steps in prop::collection::vec(step(), 1..80)) {
		run(|| {
			let mut model = beginning();
			for step in &steps {
				let before = Held::<Test>::get();
				let (expected, done) = both(&mut model, step);
				assert_eq!(done, expected, "{step:?}");
				if !done {
					assert_eq!(Held::<Test>::get(), before, "{step:?}");
				}
				compare(&model);
				check();
			}
		});
	}
}
