//! The arithmetic alone: value is conserved, and no way in and out is worth a unit.

use cuckoo_primitives::Balance;
use proptest::prelude::*;

use crate::pool::{Pool, PoolError, Position, Shares};

fn pool(value: Balance, shares: u128) -> Pool {
	Pool {
		value,
		shares: Shares(shares),
		generation: 0,
	}
}

/// A number of any size up to `bits` bits: small ones are as likely as large ones.
fn number(bits: u32) -> impl Strategy<Value = u128> {
	(0..bits, any::<u128>()).prop_map(move |(size, noise)| {
		let mask = (1u128 << size) | ((1u128 << size) - 1);
		noise & mask
	})
}

/// A pool with shares and value, at any rate within what rewards and slashes can do to it.
fn live_pool() -> impl Strategy<Value = Pool> {
	(number(90), number(90)).prop_map(|(value, shares)| pool(value.max(1), shares.max(1)))
}

/// Whether one share of `after` is worth at least one share of `before`.
fn rate_holds(before: &Pool, after: &Pool) -> bool {
	use sp_core::U512;
	let cross = |value: Balance, shares: Shares| U512::from(value) * U512::from(shares.0);
	cross(after.value, before.shares) >= cross(before.value, after.shares)
}

#[test]
fn the_first_shares_cost_one_each() {
	let mut empty = Pool::default();
	assert_eq!(empty.join(1_000), Ok(Shares(1_000)));
	assert_eq!(empty, pool(1_000, 1_000));
}

#[test]
fn shares_follow_the_rate() {
	let mut doubled = pool(2_000, 1_000);
	assert_eq!(doubled.join(500), Ok(Shares(250)));
	assert_eq!(doubled.leave(Shares(250)), Ok(500));
	assert_eq!(doubled, pool(2_000, 1_000));
}

#[test]
fn an_amount_that_buys_nothing_is_refused() {
	assert_eq!(Pool::default().join(0), Err(PoolError::TooSmall));
	assert_eq!(pool(2_000, 1_000).join(1), Err(PoolError::TooSmall));
}

#[test]
fn stake_that_is_wanted_back_is_taken_whole_or_not_at_all() {
	// One share of 1,101: 1,500 would buy one, worth 1,300 then.
	assert_eq!(pool(1_101, 1).join_whole(1_500), Err(PoolError::TooDear));
	assert_eq!(pool(1_101, 1).join(1_500), Ok(Shares(1)));
	assert_eq!(pool(1_101, 1).join_whole(2_202), Ok(Shares(2)));
	assert_eq!(pool(1_101, 1).join_whole(1_100), Err(PoolError::TooSmall));
	assert_eq!(Pool::default().join_whole(7), Ok(Shares(7)));
	// A millionth is borne, and no more.
	assert_eq!(pool(3, 2).join_whole(1_000_000), Ok(Shares(666_666)));
	assert_eq!(pool(3, 2).join_whole(1_000), Err(PoolError::TooDear));
}

#[test]
fn shares_without_value_have_no_rate() {
	assert_eq!(pool(0, 1_000).join(5), Err(PoolError::Worthless));
	assert_eq!(pool(0, 1_000).leave(Shares(1_000)), Ok(0));
}

#[test]
fn the_largest_numbers_are_refused_and_not_wrapped() {
	let mut full = pool(Balance::MAX, u128::MAX);
	assert_eq!(full.join(1), Err(PoolError::Overflow));
	assert_eq!(full.worth(Shares(u128::MAX)), Balance::MAX);
	assert_eq!(full.shares_worth(Balance::MAX), Ok(Shares(u128::MAX)));
	assert_eq!(full.leave(Shares(u128::MAX)), Ok(Balance::MAX));
	assert_eq!(full, Pool::default());
	assert_eq!(full.join(Balance::MAX), Ok(Shares(u128::MAX)));
	// More shares than there are numbers: a pool that was slashed to almost nothing.
	assert_eq!(pool(1, u128::MAX / 2).join(3), Err(PoolError::Overflow));
	assert_eq!(pool(1, u128::MAX).join(1), Err(PoolError::Overflow));
}

#[test]
fn more_than_there_is_cannot_leave() {
	assert_eq!(pool(10, 10).leave(Shares(11)), Err(PoolError::TooLarge));
	assert_eq!(pool(10, 10).shares_worth(11), Err(PoolError::TooLarge));
}

#[test]
fn a_refusal_changes_nothing() {
	for (before, amount) in [
		(pool(2_000, 1_000), 1),
		(pool(Balance::MAX, 5), Balance::MAX),
	] {
		let mut after = before;
		assert!(after.join(amount).is_err());
		assert_eq!(after, before);
		assert!(after.leave(Shares(before.shares.0 + 1)).is_err());
		assert_eq!(after, before);
	}
}

#[test]
fn shares_of_an_earlier_generation_are_worth_nothing() {
	let reborn = Pool {
		value: 500,
		shares: Shares(500),
		generation: 3,
	};
	let old = Position {
		shares: Shares(400),
		generation: 2,
	};
	assert_eq!(old.value_in(&reborn), 0);
	let renewed = old.with(Shares(7), &reborn).unwrap();
	assert_eq!(
		renewed,
		Position {
			shares: Shares(7),
			generation: 3
		}
	);
}

proptest! {
	#![proptest_config(ProptestConfig::with_cases(2_000))]

	#[test]
	fn joining_and_leaving_pays_no_more_than_it_cost(
		before in live_pool(),
		amount in number(90),
	) {
		let mut after = before;
		if let Ok(shares) = after.join(amount) {
			prop_assert!(rate_holds(&before, &after));
			let joined = after;
			let paid = after.leave(shares).unwrap();
			prop_assert!(paid <= amount);
			prop_assert!(rate_holds(&joined, &after));
			prop_assert_eq!(after.value, before.value + amount - paid);
			prop_assert_eq!(after.shares, before.shares);
		}
	}

	#[test]
	fn what_is_taken_whole_is_worth_what_it_cost_to_a_millionth(
		before in live_pool(),
		amount in number(90),
	) {
		let (mut whole, mut any) = (before, before);
		match (whole.join_whole(amount), any.join(amount)) {
			(Ok(shares), joined) => {
				prop_assert_eq!((Ok(shares), whole), (joined, any));
				prop_assert!(amount - whole.worth(shares) <= amount / 1_000_000);
			},
			(Err(error), joined) => {
				prop_assert_eq!(whole, before);
				let lost = |shares| amount - any.worth(shares) > amount / 1_000_000;
				prop_assert!(joined.map_or_else(|other| other == error, lost));
			},
		}
		// The smallest vote is whole wherever a share is worth less than its millionth.
		let smallest = crate::mock::MIN_VOTE;
		if before.value / before.shares.0 < smallest / 1_000_000 - 2 && amount >= smallest {
			prop_assert_ne!(before.clone().join_whole(amount), Err(PoolError::TooDear));
		}
	}

	#[test]
	fn leaving_in_parts_pays_no_more_than_at_once(
		before in live_pool(),
		first in number(90),
		second in number(90),
	) {
		let first = Shares(first % (before.shares.0 + 1));
		let second = Shares(second % (before.shares.0 - first.0 + 1));
		let mut at_once = before;
		let paid_at_once = at_once.leave(Shares(first.0 + second.0)).unwrap();
		let mut in_parts = before;
		let paid_in_parts = in_parts.leave(first).unwrap() + in_parts.leave(second).unwrap();
		// The rounding of the first part stays in the pool, and raises what the second is worth by
		// less than a unit.
		prop_assert!(paid_in_parts <= paid_at_once + 1);
		prop_assert!(rate_holds(&before, &in_parts));
	}

	#[test]
	fn the_shares_for_an_amount_are_enough_and_not_one_too_many(
		pool in live_pool(),
		amount in number(90),
	) {
		let amount = amount % (pool.value + 1);
		let shares = pool.shares_worth(amount).unwrap();
		prop_assert!(shares <= pool.shares);
		prop_assert!(pool.worth(shares) >= amount);
		if shares.0 > 0 {
			prop_assert!(pool.worth(Shares(shares.0 - 1)) < amount);
		}
	}

	#[test]
	fn the_last_one_out_takes_all(
		before in live_pool(),
		amounts in prop::collection::vec(number(80), 1..8),
	) {
		let mut pool = before;
		let mut put_in = before.value;
		let mut bearers = vec![before.shares];
		for amount in amounts {
			if let Ok(shares) = pool.join(amount) {
				put_in += amount;
				bearers.push(shares);
			}
		}
		let worth: Balance = bearers.iter().map(|shares| pool.worth(*shares)).sum();
		prop_assert!(worth <= pool.value);
		let taken: Balance = bearers.into_iter().map(|shares| pool.leave(shares).unwrap()).sum();
		prop_assert_eq!(taken, put_in);
		prop_assert_eq!(pool, Pool::default());
	}

	#[test]
	fn nobody_else_loses_by_a_join_or_a_leave(
		before in live_pool(),
		amount in number(90),
		mine in number(90),
	) {
		let other = Shares(mine.min(before.shares.0));
		let mut after = before;
		if after.join(amount).is_ok() {
			prop_assert!(after.worth(other) >= before.worth(other));
		}
		let mut after = before;
		after.leave(Shares(before.shares.0 - other.0)).unwrap();
		prop_assert!(after.worth(other) >= before.worth(other));
	}

	#[test]
	fn nothing_panics(value in any::<u128>(), shares in any::<u128>(), amount in any::<u128>()) {
		let pool = pool(value, shares);
		let _ = pool.clone().join(amount);
		let _ = pool.clone().leave(Shares(amount));
		let _ = pool.shares_worth(amount);
		prop_assert!(pool.worth(Shares(amount)) <= value);
	}
}
