//! Any calls in any order: the pallet does what the model does, money conserves, and every invariant
//! holds after each of them.

use cuckoo_primitives::{Balance, EraIndex, CUC};
use frame_support::storage::with_storage_layer;
use proptest::prelude::*;
use sp_runtime::{DispatchError, Perbill};
use std::collections::BTreeMap;

use super::model::Model;
use crate::{mock::*, Allotments, Channels, Held, Reserves, Settlements, SplitParams};

const COORDINATORS: [u8; 2] = [COORDINATOR, OTHER];
const APPS: [u8; 2] = [APP, APP_2];

/// One call, or time that goes by. Apps, coordinators and miners are indices; channels, allotments and
/// settlements are picked among those that there are; eras count back from now.
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
	Release(usize),
	Settle(usize, EraIndex, [Balance; 3]),
	Claim(usize, [bool; 3]),
	Voucher(usize, EraIndex, Balance),
	Report(usize, usize, Balance),
	Clean(usize, u32),
	Split(bool),
	Blocks(u32),
	Eras(u32),
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
	let any_of = || 0..20usize;
	let small = || prop_oneof![1 => Just(0), 4 => 0..20 * CUC];
	prop_oneof![
		2 => (two(), two(), amount()).prop_map(|(a, c, n)| Open(a, c, n)),
		1 => (two(), any_of(), amount()).prop_map(|(a, n, m)| TopUp(a, n, m)),
		4 => (any_of(), 0..110u32).prop_map(|(n, part)| Redeem(n, part)),
		2 => (prop::bool::weighted(0.8), any_of()).prop_map(|(app, n)| Close(app, n)),
		3 => any_of().prop_map(Finish),
		4 => (two(), amount()).prop_map(|(c, n)| Fund(c, n)),
		1 => (two(), amount()).prop_map(|(c, n)| Withdraw(c, n)),
		4 => (two(), three(), amount()).prop_map(|(c, m, n)| Allot(c, m, n)),
		3 => any_of().prop_map(Release),
		6 => (two(), 0..4u32, [small(), small(), small()]).prop_map(|(c, e, n)| Settle(c, e, n)),
		6 => (any_of(), any::<[bool; 3]>()).prop_map(|(s, l)| Claim(s, l)),
		6 => (any_of(), 0..8u32, amount()).prop_map(|(a, e, n)| Voucher(a, e, n)),
		1 => (any_of(), three(), small()).prop_map(|(s, m, n)| Report(s, m, n)),
		2 => (any_of(), 0..3u32).prop_map(|(s, l)| Clean(s, l)),
		1 => any::<bool>().prop_map(Split),
		2 => (1..15u32).prop_map(Blocks),
		3 => (1..4u32).prop_map(Eras),
	]
}

/// One of those that there are; `None` when there are none.
fn picked<Key: Clone, Value>(among: &BTreeMap<Key, Value>, pick: usize) -> Option<Key> {
	among.keys().nth(pick % among.len().max(1)).cloned()
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
	// One number is of a channel that is not there yet.
	let channel = |pick: usize| pick % (model.channels.len() + 1);
	let (expected, done) = match step.clone() {
		Step::Open(app, coordinator, amount) => {
			let (app, coordinator) = (APPS[app], COORDINATORS[coordinator]);
			let to = account(coordinator);
			(
				next.open(app, coordinator, amount),
				Settlement::open_channel(signed(app), to, public(app), amount),
			)
		},
		Step::TopUp(app, pick, amount) => {
			let number = channel(pick);
			(
				next.top_up(APPS[app], number, amount),
				Settlement::top_up(signed(APPS[app]), number as u64, amount),
			)
		},
		Step::Redeem(pick, part) => {
			let number = channel(pick);
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
		Step::Close(by_app, pick) => {
			let number = channel(pick);
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
		Step::Finish(pick) => {
			let number = channel(pick);
			(
				next.finish(number),
				Settlement::finish_close(signed(STRANGER), number as u64),
			)
		},
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
		Step::Release(pick) => {
			let Some((coordinator, miner)) = picked(&next.allotments, pick) else {
				return (true, true);
			};
			(
				next.release(coordinator, miner),
				Settlement::release_allotment(
					signed(STRANGER),
					account(coordinator),
					account(miner),
				),
			)
		},
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
		Step::Claim(pick, wanted) => {
			let Some((coordinator, era)) = picked(&next.settlements, pick) else {
				return (true, true);
			};
			let owed = next.settlements[&(coordinator, era)].owed.clone();
			let indices: Vec<usize> = (0..owed.len()).filter(|index| wanted[*index]).collect();
			let places: Vec<u32> = indices.iter().map(|index| *index as u32).collect();
			let Some(proof) = tree(coordinator, era, &owed).prove(&places) else {
				return (true, true);
			};
			(
				next.claim(coordinator, era, &indices),
				claim(coordinator, era, proof),
			)
		},
		Step::Voucher(pick, back, amount) => {
			let Some((coordinator, miner)) = picked(&next.allotments, pick) else {
				return (true, true);
			};
			let era = now.saturating_sub(back);
			(
				next.claim_voucher(coordinator, miner, era, amount),
				claim_voucher(coordinator, miner, era, amount),
			)
		},
		Step::Report(pick, m, amount) => {
			let Some((coordinator, era)) = picked(&next.settlements, pick) else {
				return (true, true);
			};
			let tree = tree(
				coordinator,
				era,
				&next.settlements[&(coordinator, era)].owed,
			);
			let proof = tree.prove_miner(&account(MINERS[m])).expect("a place");
			let voucher = miner_voucher(coordinator, MINERS[m], era, amount);
			let signature = sign_with(coordinator, &voucher);
			let done = Settlement::report_short(
				signed(STRANGER),
				public(coordinator),
				voucher,
				signature,
				proof.leaves.try_into().expect("one or two"),
				proof.siblings.try_into().expect("few"),
			);
			(
				next.report(coordinator, MINERS[m], era, amount),
				done.map(|_| ()).map_err(|failed| failed.error),
			)
		},
		Step::Clean(pick, limit) => {
			let Some((coordinator, era)) = picked(&next.settlements, pick) else {
				return (true, true);
			};
			let done = Settlement::clean(signed(STRANGER), account(coordinator), era, limit);
			(
				next.clean(coordinator, era, limit),
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
		Step::Eras(count) => {
			pass_eras(count);
			next.era += count;
			next.block += count * BLOCKS_PER_ERA;
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
		assert_eq!(present.by_voucher, expected.by_voucher);
		assert_eq!(present.root.node.sum, expected.total());
	}
	// No more values than there are things.
	assert!(Reserves::<Test>::iter().count() <= COORDINATORS.len());
	assert_eq!(Allotments::<Test>::iter().count(), model.allotments.len());
}

proptest! {
	#![proptest_config(ProptestConfig::with_cases(96))]

	#[test]
	fn any_calls_in_any_order(steps in prop::collection::vec(step(), 1..120)) {
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

/// The steps are of use only if each call goes through now and then, and is refused now and then.
#[test]
fn random_steps_meet_every_rule() {
	use proptest::{strategy::ValueTree, test_runner::TestRunner};
	let mut runner = TestRunner::deterministic();
	let steps = prop::collection::vec(step(), 120);
	let mut seen = BTreeMap::<String, [u32; 2]>::new();
	for _ in 0..40 {
		let steps = steps.new_tree(&mut runner).expect("steps").current();
		run(|| {
			let mut model = beginning();
			for step in &steps {
				let skipped = Held::<Test>::get();
				let before = System::event_count();
				let (_, done) = both(&mut model, step);
				// A step for which there was nothing to try counts as neither.
				let idle =
					done && System::event_count() == before && skipped == Held::<Test>::get();
				let name = format!("{step:?}");
				let name = name.split('(').next().unwrap_or_default().to_string();
				if !idle {
					seen.entry(name).or_default()[usize::from(done)] += 1;
				}
			}
		});
	}
	for call in [
		"Open", "TopUp", "Redeem", "Close", "Finish", "Fund", "Withdraw", "Allot", "Release",
		"Settle", "Claim", "Voucher", "Report", "Clean",
	] {
		let [refused, done] = seen.get(call).copied().unwrap_or_default();
		assert!(
			refused > 2 && done > 2,
			"{call}: {refused} refused, {done} done; {seen:?}"
		);
	}
}
