//! How fees are split.

use cuckoo_primitives::{Balance, CUC};
use frame_support::{assert_noop, assert_ok};
use proptest::prelude::*;
use sp_runtime::{traits::BadOrigin, Perbill};

use crate::{
	mock::*,
	split::{emission_part, Split, SplitParams},
	Error, Event, SplitParameters,
};

fn params(parts: [u32; 6]) -> SplitParams {
	let [miner, coordinator, audit, burn, miner_emission, coordinator_emission] =
		parts.map(Perbill::from_parts);
	SplitParams {
		miner,
		coordinator,
		audit,
		burn,
		miner_emission,
		coordinator_emission,
	}
}

#[test]
fn governance_sets_what_can_be_used() {
	run(|| {
		let set = |params| Settlement::set_split(RuntimeOrigin::root(), params);
		let fine = SplitParams {
			miner: Perbill::from_percent(80),
			coordinator: Perbill::from_percent(10),
			..Default::default()
		};
		assert_ok!(set(fine));
		assert_eq!(SplitParameters::<Test>::get(), fine);
		System::assert_last_event(Event::SplitSet { params: fine }.into());
		let percent = 10_000_000;
		for parts in [
			// Not the whole.
			[75, 15, 2, 9, 5, 1],
			[75, 15, 2, 7, 5, 1],
			// Nothing for the miners.
			[0, 90, 2, 8, 5, 1],
			// As much issued as burned, and more.
			[75, 15, 2, 8, 5, 3],
			[75, 15, 2, 8, 9, 0],
			[98, 0, 2, 0, 1, 0],
		] {
			assert_noop!(
				set(params(parts.map(|part| part * percent))),
				Error::<Test>::ParamsInvalid
			);
		}
		assert_noop!(Settlement::set_split(signed(APP), fine), BadOrigin);
		assert!(params([980, 0, 20, 0, 0, 0].map(|part| part * 1_000_000)).is_usable());
	});
}

/// A change holds from the next settlement on: what was settled keeps what it was promised.
#[test]
fn a_new_split_leaves_settled_eras_alone() {
	run(|| {
		back(COORDINATOR, 1_000 * CUC, MINER, 0);
		pass_eras(1);
		let tree = settle(COORDINATOR, 0, &[(MINER, 75 * CUC)]);
		let none = params([980, 0, 20, 0, 0, 0].map(|part| part * 1_000_000));
		assert_ok!(Settlement::set_split(RuntimeOrigin::root(), none));
		assert_ok!(claim_of(COORDINATOR, 0, &tree, MINER));
		assert_eq!(pool(MINER), 40_080 * CUC);
	});
}

fn usable() -> impl Strategy<Value = SplitParams> {
	(
		1..1_000_000_000u32,
		0..1_000_000_000u32,
		0..1_000_000_000u32,
		0..=100u32,
		0..=100u32,
	)
		.prop_map(|(a, b, c, emitted, miners)| {
			let mut cuts = [a, b, c];
			cuts.sort_unstable();
			let [one, two, three] = cuts;
			let (miner, coordinator) = (one.max(1), two - one.min(two));
			let coordinator = coordinator.min(1_000_000_000 - miner);
			let audit = (three - two).min(1_000_000_000 - miner - coordinator);
			let burn = 1_000_000_000 - miner - coordinator - audit;
			let emission = u64::from(burn.saturating_sub(1)) * u64::from(emitted) / 100;
			let miner_emission = emission * u64::from(miners) / 100;
			params([
				miner,
				coordinator,
				audit,
				burn,
				miner_emission as u32,
				(emission - miner_emission) as u32,
			])
		})
}

proptest! {
	#[test]
	fn the_parts_are_the_whole_and_less_is_issued_than_burned(
		miner in 1..1_000_000_000_000_000_000_000u128,
		params in usable(),
	) {
		prop_assert!(params.is_usable());
		let split = Split::of_miners_part(miner, &params).unwrap();
		prop_assert_eq!(split.miner, miner);
		prop_assert_eq!(split.miner + split.coordinator + split.audit + split.burn, split.fee);
		// Rounded against the coordinator, who acts.
		prop_assert!(params.miner.mul_floor(split.fee) >= miner || split.fee >= miner);
		prop_assert!(split.burn >= params.burn.mul_floor(split.fee));
		let issued = split.miner_emission + split.coordinator_emission;
		prop_assert!(issued == 0 || issued < split.burn);
	}

	#[test]
	fn parts_of_an_emission_are_never_more_than_it(
		emission in any::<u64>(),
		amounts in prop::collection::vec(1..1_000_000u128, 1..20),
	) {
		let total: Balance = amounts.iter().sum();
		let issued: Balance = amounts
			.iter()
			.map(|amount| emission_part(emission.into(), *amount, total))
			.sum();
		prop_assert!(issued <= emission.into());
		prop_assert!(issued + amounts.len() as Balance > emission.into());
	}
}
