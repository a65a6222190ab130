//! The pure parts with any numbers: streams, slashes, elections, budgets.

use cuckoo_primitives::{Balance, BlockNumber};
use proptest::prelude::*;
use sp_core::{U256, U512};
use sp_runtime::Perbill;

use crate::{
	budget::{author_pay, era_budget, YEAR_MILLIS},
	election::{elect, Seats},
	pool::{Pool, PoolError, Shares},
	slash::{Leaving, Reach, Taken},
	stake::{Stake, Stream},
};

/// The whole of a fraction; and how many shares at most are worth a unit.
const BILLION: u128 = 1_000_000_000;

/// Bits of amounts that leave room for shares at the lowest rate: above any supply of tokens.
const BITS: u32 = 90;

/// A number of any size up to `bits` bits: small ones are as likely as large ones.
fn number(bits: u32) -> impl Strategy<Value = u128> {
	(0..bits, any::<u128>()).prop_map(move |(size, noise)| {
		let mask = (1u128 << size) | ((1u128 << size) - 1);
		noise & mask
	})
}

fn pool(value: Balance, shares: u128) -> Pool {
	Pool {
		value,
		shares: Shares(shares),
		generation: 0,
	}
}

/// A pool with shares and value at any rate that is kept.
fn live_pool() -> impl Strategy<Value = Pool> {
	(number(BITS), number(BITS))
		.prop_map(|(value, shares)| pool(value.max(1), shares.max(1)))
		.prop_filter("a rate that is kept", |pool| !pool.is_spent())
}

/// `a * b / c`, rounded down.
fn quotient(a: u128, b: u128, c: u128) -> u128 {
	u128::try_from(U256::from(a) * U256::from(b) / U256::from(c)).unwrap()
}

fn fraction() -> impl Strategy<Value = Perbill> {
	prop_oneof![
		Just(0),
		Just(1_000_000_000),
		1..1_000u32,
		0..1_000_000_000u32,
		999_999_000..1_000_000_000u32,
	]
	.prop_map(Perbill::from_parts)
}

/// A stake with a stream from block `since` on, and blocks in ascending order.
fn streaming() -> impl Strategy<Value = (Stake, Vec<BlockNumber>)> {
	(
		live_pool(),
		number(BITS),
		0..1_000u32,
		1..5_000u32,
		prop::collection::vec(0..7_000u32, 1..40),
	)
		.prop_map(|(pool, amount, since, length, mut blocks)| {
			let until = since + length;
			blocks.sort();
			let stream = Stream {
				amount,
				since,
				until,
			};
			(Stake { pool, stream }, blocks)
		})
}

proptest! {
	#![proptest_config(ProptestConfig::with_cases(2_000))]

	#[test]
	fn a_stream_is_never_early_and_less_than_a_unit_late_for_each_release(
		(before, blocks) in streaming(),
	) {
		let Stream { amount, since, until } = before.stream;
		let mut stake = before;
		for (releases, now) in (1..).zip(blocks) {
			let earlier = stake;
			stake.release(now).unwrap();
			prop_assert_eq!(stake.total(), before.total());
			prop_assert_eq!(stake.pool.shares, before.pool.shares);
			prop_assert!(stake.pool.value >= earlier.pool.value);
			prop_assert_eq!(stake, earlier.at(now), "what is shown is what is released");
			let released = stake.pool.value - before.pool.value;
			let passed = now.clamp(since, until) - since;
			let even = quotient(amount, passed.into(), (until - since).into());
			prop_assert!(released <= even);
			prop_assert!(released + releases >= even);
			if now >= until {
				prop_assert_eq!(released, amount);
			}
		}
	}

	#[test]
	fn two_releases_in_one_block_are_one((before, blocks) in streaming()) {
		let mut stake = before;
		for now in blocks {
			stake.release(now).unwrap();
			let once = stake;
			stake.release(now).unwrap();
			prop_assert_eq!(stake, once);
			// Nor does time run backwards.
			stake.release(now / 2).unwrap();
			prop_assert_eq!(stake.total(), once.total());
			prop_assert_eq!(stake.stream.since.max(now), once.stream.since.max(now));
		}
	}

	/// The merged stream ends at the mean of both ends, weighted by the amounts, or less than a block
	/// earlier. So whatever a speck of a reward does, it delays a large one by no more than its weight.
	#[test]
	fn a_merged_stream_ends_at_the_weighted_mean(
		pool in live_pool(),
		present in number(BITS),
		left in 0..5_000u32,
		amount in number(BITS),
		now in 0..1_000_000u32,
		length in 1..5_000u32,
	) {
		let left = left.min(length);
		let present = if left == 0 { 0 } else { present };
		prop_assume!(present + amount > 0);
		let stream = Stream { amount: present, since: now, until: now + left };
		let mut stake = Stake { pool, stream };
		stake.reward(amount, now, length).unwrap();
		let merged = stake.stream;
		prop_assert_eq!(stake.pool, pool, "nothing flows at once");
		prop_assert_eq!(merged.amount, present + amount);
		prop_assert_eq!(merged.since, now);
		prop_assert!((now + left..=now + length).contains(&merged.until));
		let wide = |amount: u128, blocks: u32| U256::from(amount) * U256::from(blocks);
		let both = wide(present, left) + wide(amount, length);
		let mean = wide(merged.amount, merged.until - now);
		prop_assert!(mean <= both && mean + U256::from(merged.amount) > both);
	}

	/// Whoever comes and goes gets its part of what flowed while it was there, and no unit of what
	/// flowed before or comes after; nothing if no block passed.
	#[test]
	fn who_joins_gets_its_part_of_the_time_it_is_there(
		(before, blocks) in streaming(),
		amount in number(BITS),
	) {
		let (joins, leaves) = (blocks[0], blocks[blocks.len() - 1]);
		let mut stake = before;
		stake.release(joins).unwrap();
		let joined = stake;
		if let Ok(shares) = stake.pool.join(amount) {
			stake.release(leaves).unwrap();
			let flowed = stake.pool.value - joined.pool.value - amount;
			let paid = stake.leave(shares).unwrap();
			let part = quotient(flowed, amount, joined.pool.value + amount);
			prop_assert!(paid <= amount + part);
			if joins == leaves {
				prop_assert!(paid <= amount);
			}
			// Who stayed has all the rest, now or later, and no less than without the guest's stake.
			prop_assert_eq!(stake.total(), before.total() + amount - paid);
			prop_assert!(stake.pool.value >= joined.pool.value + (flowed - part));
		}
	}

	#[test]
	fn the_last_one_out_takes_the_stream_and_leaves_nothing((before, blocks) in streaming()) {
		let mut stake = before;
		stake.release(blocks[0]).unwrap();
		let half = Shares(stake.pool.shares.0 / 2);
		let mut paid = 0;
		if !half.is_zero() {
			let stream = stake.stream;
			paid += stake.leave(half).unwrap();
			prop_assert_eq!(stake.stream, stream);
		}
		paid += stake.leave(stake.pool.shares).unwrap();
		prop_assert_eq!(paid, before.total());
		prop_assert_eq!(stake, Stake::default());
		prop_assert_eq!(stake.reward(1, 0, 1), Err(PoolError::Empty));
	}

	#[test]
	fn no_stream_panics(
		value in any::<u128>(),
		shares in any::<u128>(),
		amounts in any::<(u128, u128)>(),
		blocks in any::<(u32, u32, u32, u32, u32)>(),
	) {
		let (since, until, now, length, later) = blocks;
		let stream = Stream { amount: amounts.0, since, until };
		let mut stake = Stake { pool: pool(value, shares), stream };
		let _ = stake.at(now);
		let _ = stake.release(now);
		let before = stake;
		if stake.reward(amounts.1, now, length).is_ok() {
			prop_assert_eq!(stake.release(later), Ok(()));
		} else {
			prop_assert_eq!(stake, before);
		}
		let _ = stake.leave(stake.pool.shares);
	}

	/// The numbers of shares stay within what the amounts allow: no vote of tokens that exist can
	/// overflow them.
	#[test]
	fn the_lowest_rate_bounds_the_shares(before in live_pool(), amount in number(BITS)) {
		prop_assert!(before.shares.0 <= BILLION * before.value);
		let mut after = before;
		match after.join(amount) {
			Ok(_) => {
				prop_assert!(!after.is_spent());
				prop_assert!(after.shares.0 <= BILLION * (before.value + amount));
			},
			Err(error) => prop_assert_eq!(error, PoolError::TooSmall),
		}
	}

	#[test]
	fn a_pool_is_spent_exactly_below_the_lowest_rate(value in number(BITS), shares in number(126)) {
		let spent = U256::from(value) * U256::from(BILLION) < U256::from(shares);
		prop_assert_eq!(pool(value, shares).is_spent(), spent);
		let mut ended = pool(value, shares);
		prop_assert_eq!(ended.begin_generation(), value);
		prop_assert_eq!(ended, Pool { generation: 1, ..Pool::default() });
	}
}

/// A pool, sometimes without shares, and the operator's shares of it.
fn owned_pool() -> impl Strategy<Value = (Pool, Shares)> {
	(live_pool(), any::<u128>(), 0..8u32).prop_map(|(pool, own, kind)| match kind {
		0 => (Pool::default(), Shares::ZERO),
		1 => (pool, pool.shares),
		2 => (pool, Shares::ZERO),
		_ => (pool, Shares(own % (pool.shares.0 + 1))),
	})
}

fn reach() -> impl Strategy<Value = Reach> {
	(
		owned_pool(),
		number(BITS),
		prop::collection::vec(owned_pool(), 0..5),
	)
		.prop_map(|((pool, own), amount, leaving)| {
			// Without shares there is no stream.
			let amount = if pool.shares.is_zero() { 0 } else { amount };
			let stream = Stream {
				amount,
				since: 5,
				until: 50,
			};
			Reach {
				stake: Stake { pool, stream },
				own,
				leaving: (1..)
					.zip(leaving)
					.map(|(era, (pool, own))| Leaving { era, pool, own })
					.collect(),
			}
		})
}

/// The pools of it, each with the operator's shares.
fn pools(reach: &Reach) -> Vec<(Pool, Shares)> {
	let leaving = reach
		.leaving
		.iter()
		.map(|leaving| (leaving.pool, leaving.own));
	std::iter::once((reach.stake.pool, reach.own))
		.chain(leaving)
		.collect()
}

/// The reach with the stream of an operator that is alone in its pool where it belongs.
fn settled(mut reach: Reach) -> Reach {
	if reach.own == reach.stake.pool.shares {
		reach.stake.pool.value += reach.stake.stream.amount;
		reach.stake.stream = Stream::default();
	}
	reach
}

/// What is the operator's.
fn own_worth(reach: &Reach) -> Balance {
	pools(reach)
		.iter()
		.map(|(pool, own)| pool.worth(*own))
		.sum()
}

/// What is the others' in a pool.
fn others(pool: &Pool, own: Shares) -> Balance {
	pool.worth(Shares(pool.shares.0 - own.0))
}

/// What one share is worth, rounded up.
fn share(pool: &Pool) -> Balance {
	pool.value.div_ceil(pool.shares.0.max(1))
}

/// Whether the slash has ended a pool's generation; or would have, had the pool of dust not taken its
/// stream in: from then on shares that were worth nothing are worth something, and bear other parts.
fn has_ended(before: &Reach, after: &Reach) -> bool {
	let ended = pools(before)
		.iter()
		.zip(pools(after))
		.any(|((before, _), (after, _))| before.generation != after.generation);
	let took_its_stream = before.stake.stream.amount > 0
		&& after.stake.stream.amount == 0
		&& before.own != before.stake.pool.shares;
	ended || took_its_stream
}

/// In how many parts a slash is rounded.
fn parts(reach: &Reach) -> Balance {
	reach.leaving.len() as Balance + 2
}

proptest! {
	#![proptest_config(ProptestConfig::with_cases(4_000))]

	/// Never more than the fraction, but for the specks of pools that it ends; and a unit less at most
	/// for each part that it takes from.
	#[test]
	fn a_slash_takes_its_fraction(before in reach(), fraction in fraction()) {
		let mut after = before.clone();
		let taken = after.slash(fraction, &[]).unwrap().all;
		prop_assert_eq!(after.total(), before.total() - taken);
		let due = quotient(before.total(), fraction.deconstruct().into(), BILLION);
		prop_assert!(taken + parts(&before) >= due);
		let specks: Balance = pools(&before)
			.iter()
			.zip(pools(&after))
			.filter(|((before, _), (after, _))| before.generation != after.generation)
			.map(|((before, _), _)| before.shares.0 / BILLION)
			.sum();
		prop_assert!(taken <= due + specks);
		for (pool, own) in pools(&after) {
			prop_assert!(own <= pool.shares);
			prop_assert!(!pool.is_spent());
			prop_assert!(!pool.shares.is_zero() || pool.value == 0);
		}
		prop_assert!(!after.stake.pool.shares.is_zero() || after.stake.stream.amount == 0);
	}

	/// While the operator's own stake covers it, nobody else loses a unit, and all of them together win
	/// less than a share of each pool.
	#[test]
	fn the_operator_loses_first(before in reach(), fraction in fraction()) {
		let mut after = before.clone();
		let taken = after.slash(fraction, &[]).unwrap();
		let before = settled(before);
		let due = quotient(before.total(), fraction.deconstruct().into(), BILLION);
		if has_ended(&before, &after) {
			return Ok(());
		}
		if own_worth(&before) < due {
			// All of the operator's has gone before the others lose anything.
			prop_assert_eq!(own_worth(&after), 0);
			return Ok(());
		}
		prop_assert_eq!(taken, Taken { all: due, own: due });
		prop_assert_eq!(after.stake.stream.amount, before.stake.stream.amount);
		for ((before, own_before), (after, own_after)) in
			pools(&before).iter().zip(pools(&after))
		{
			let (had, has) = (others(before, *own_before), others(&after, own_after));
			prop_assert!(has >= had, "{has} of {had}");
			prop_assert!(has <= had + share(before) + 1);
			prop_assert_eq!(
				before.shares.0 - own_before.0,
				after.shares.0 - own_after.0,
				"the others' shares stay"
			);
		}
	}

	/// What the operator does not cover all others bear at one rate, to a unit: those who stay, what
	/// streams to them, and those who leave.
	#[test]
	fn the_others_lose_in_proportion(before in reach(), fraction in fraction()) {
		let mut after = before.clone();
		after.slash(fraction, &[]).unwrap();
		let before = settled(before);
		let due = quotient(before.total(), fraction.deconstruct().into(), BILLION);
		let own = own_worth(&before);
		// A stream that is all that a pool has left comes into it at once.
		let same_stream = before.stake.stream.amount == 0 || after.stake.stream.amount > 0;
		if own >= due || has_ended(&before, &after) || !same_stream {
			return Ok(());
		}
		let (rest, base) = (due - own, before.total() - own);
		let lost_right = |had: Balance, has: Balance| {
			let wide = |a: Balance, b: Balance| U512::from(a) * U512::from(b);
			has <= had
				&& wide(had - has, base) <= wide(had, rest)
				&& wide(had - has + 1, base) > wide(had, rest)
		};
		for ((before, own), (after, _)) in pools(&before).iter().zip(pools(&after)) {
			let had = before.value - before.worth(*own);
			prop_assert!(lost_right(had, after.value), "{had} to {}", after.value);
		}
		prop_assert!(lost_right(before.stake.stream.amount, after.stake.stream.amount));
	}

	#[test]
	fn all_is_all(before in reach()) {
		let mut after = before.clone();
		let taken = after.slash(Perbill::one(), &[]).unwrap().all;
		prop_assert_eq!(taken, before.total());
		prop_assert_eq!(after.total(), 0);
		for ((before, own_before), (after, own)) in pools(&before).iter().zip(pools(&after)) {
			prop_assert!(own.is_zero() && after.shares.is_zero());
			// Voters still have their shares on record: those must not come back to life.
			let by_others = before.shares > *own_before;
			prop_assert!(!by_others || after.generation > before.generation);
		}
		// There is nothing left to take.
		prop_assert_eq!(after.slash(Perbill::one(), &[]), Ok(Taken::default()));
		prop_assert_eq!(after.slash(Perbill::one(), &[(0, Perbill::one())]), Ok(Taken::default()));
	}

	#[test]
	fn nothing_more_is_nothing(
		before in reach(),
		one in fraction(),
		other in fraction(),
	) {
		let (fraction, already) = (one.min(other), one.max(other));
		let mut after = before.clone();
		prop_assert_eq!(after.slash(fraction, &[(0, already)]), Ok(Taken::default()));
		prop_assert_eq!(after.total(), before.total());
		for ((before, own_before), (after, own_after)) in
			pools(&settled(before)).iter().zip(pools(&after))
		{
			prop_assert_eq!((before, own_before), (&after, &own_after));
		}
	}

	/// Two slashes of one era are the larger of them: in all, and for the operator to a share.
	#[test]
	fn two_slashes_of_one_era_are_the_larger(
		before in reach(),
		one in fraction(),
		other in fraction(),
	) {
		let (smaller, larger) = (one.min(other), one.max(other));
		let mut at_once = before.clone();
		at_once.slash(larger, &[]).unwrap();
		let mut in_two = before.clone();
		in_two.slash(smaller, &[]).unwrap();
		in_two.slash(larger, &[(0, smaller)]).unwrap();
		if has_ended(&before, &at_once) || has_ended(&before, &in_two) {
			return Ok(());
		}
		let margin = 2 * parts(&before) + 2;
		prop_assert!(at_once.total().abs_diff(in_two.total()) <= margin);
		let shares: Balance =
			pools(&settled(before)).iter().map(|(pool, _)| 2 * share(pool) + 2).sum();
		prop_assert!(
			own_worth(&settled(at_once)).abs_diff(own_worth(&settled(in_two))) <= margin + shares
		);
	}

	#[test]
	fn no_slash_panics(
		values in any::<[u128; 4]>(),
		shares in any::<[u128; 3]>(),
		own in any::<[u128; 3]>(),
		fraction in fraction(),
		already in fraction(),
	) {
		// What there is together fits: it is part of the issuance.
		let values = values.map(|value| value / 4);
		let own = [0, 1, 2].map(|place: usize| Shares(own[place].min(shares[place])));
		let leaving = |place: usize| Leaving {
			era: 0,
			pool: pool(values[place], shares[place]),
			own: own[place],
		};
		let stream = Stream { amount: values[3], since: 0, until: u32::MAX };
		let mut reach = Reach {
			stake: Stake { pool: pool(values[0], shares[0]), stream },
			own: own[0],
			leaving: vec![leaving(1), leaving(2)],
		};
		let total = reach.total();
		if let Ok(taken) = reach.slash(fraction, &[(0, already)]) {
			prop_assert_eq!(reach.total() + taken.all, total);
		}
	}
}

fn elected(candidates: &[u8], incumbents: &[u8], may_stay: &[u8], seats: Seats) -> Option<Vec<u8>> {
	let candidates = candidates.iter().copied();
	elect(candidates, incumbents, |id| may_stay.contains(id), seats)
}

fn unique(ids: Vec<u8>) -> Vec<u8> {
	let mut seen = std::collections::BTreeSet::new();
	ids.into_iter().filter(|id| seen.insert(*id)).collect()
}

fn ids(most: usize) -> impl Strategy<Value = Vec<u8>> {
	prop::collection::vec(0..24u8, 0..most).prop_map(unique)
}

proptest! {
	#![proptest_config(ProptestConfig::with_cases(4_000))]

	#[test]
	fn an_election_keeps_its_bounds(
		candidates in ids(20),
		incumbents in ids(20),
		may_stay in ids(24),
		most in 1..20usize,
		floor in 0..20usize,
	) {
		let seats = Seats { most, floor: floor.min(most) };
		let staying: Vec<u8> =
			incumbents.iter().copied().filter(|id| may_stay.contains(id)).collect();
		let sorted = |ids: &[u8]| {
			let mut ids = ids.to_vec();
			ids.sort();
			ids
		};
		let Some(set) = elected(&candidates, &incumbents, &may_stay, seats) else {
			// Nobody may validate, or it is the same set: the best candidates, who fill the floor or have
			// nobody to fill it.
			let best = &candidates[..candidates.len().min(most)];
			prop_assert!(
				candidates.is_empty() && staying.is_empty()
					|| best.iter().all(|id| incumbents.contains(id))
			);
			return Ok(());
		};
		prop_assert!(!set.is_empty() && set.len() <= most);
		prop_assert_ne!(sorted(&set), sorted(&incumbents));
		prop_assert_eq!(unique(set.clone()), set.clone());
		// The best candidates first, as many as there are seats.
		let best = candidates.len().min(most);
		prop_assert_eq!(&set[..best], &candidates[..best]);
		// Then incumbents who may stay, in their order, up to the floor and no further.
		let fill = &set[best..];
		let floor = seats.floor.max(1);
		prop_assert!(fill.is_empty() || set.len() <= floor);
		let left: Vec<u8> =
			staying.into_iter().filter(|id| !candidates[..best].contains(id)).collect();
		prop_assert_eq!(fill, &left[..left.len().min(floor.saturating_sub(best))]);
	}

	/// No session changes for nothing; and no set is lost as long as somebody may stay.
	#[test]
	fn the_same_validators_are_no_change(
		incumbents in ids(20),
		most in 1..20usize,
		floor in 0..20usize,
	) {
		let floor = floor.min(most);
		let mut reversed = incumbents.clone();
		reversed.reverse();
		let seats = Seats { most: most.max(incumbents.len()), floor };
		prop_assert_eq!(elected(&reversed, &incumbents, &[], seats), None);
		// None of them is a candidate, and nobody else: up to the floor stay, at least one.
		let set = elected(&[], &incumbents, &incumbents, Seats { most, floor });
		let stay = incumbents.len().min(floor.max(1));
		prop_assert_eq!(set.unwrap_or(incumbents.clone()), &incumbents[..stay]);
		prop_assert_eq!(elected(&[], &incumbents, &[], seats), None);
	}
}

proptest! {
	#![proptest_config(ProptestConfig::with_cases(4_000))]

	#[test]
	fn an_era_is_paid_its_part_of_a_year(
		issuance in any::<u128>(),
		yearly in fraction(),
		millis in 0..2 * YEAR_MILLIS,
	) {
		let budget = era_budget(issuance, yearly, millis);
		let millis = millis.min(YEAR_MILLIS);
		let dividend =
			U512::from(issuance) * U512::from(yearly.deconstruct()) * U512::from(millis);
		let divisor = U512::from(BILLION) * U512::from(YEAR_MILLIS);
		let exact = dividend / divisor;
		prop_assert!(U512::from(budget) <= exact);
		prop_assert!(U512::from(budget) + U512::from(1) >= exact);
		// As many eras as a year has issue no more than its part.
		if let Some(eras) = YEAR_MILLIS.checked_div(millis) {
			let a_year = U512::from(issuance) * U512::from(yearly.deconstruct());
			prop_assert!(U512::from(budget) * U512::from(eras) <= a_year / U512::from(BILLION));
		}
	}

	#[test]
	fn a_budget_grows_with_what_it_is_made_of(
		issuance in any::<[u128; 2]>(),
		yearly in [fraction(), fraction()],
		millis in any::<[u64; 2]>(),
	) {
		let least = era_budget(
			issuance[0].min(issuance[1]),
			yearly[0].min(yearly[1]),
			millis[0].min(millis[1]),
		);
		let most = era_budget(
			issuance[0].max(issuance[1]),
			yearly[0].max(yearly[1]),
			millis[0].max(millis[1]),
		);
		prop_assert!(least <= most);
		prop_assert_eq!(era_budget(issuance[0], Perbill::zero(), millis[0]), 0);
		prop_assert_eq!(era_budget(issuance[0], Perbill::one(), YEAR_MILLIS), issuance[0]);
	}

	#[test]
	fn authors_share_the_budget(
		budget in any::<u128>(),
		blocks in prop::collection::vec(0..100_000u32, 0..20),
		expected in 0..200_000u32,
	) {
		let all: u32 = blocks.iter().sum();
		let pays: Vec<Balance> =
			blocks.iter().map(|blocks| author_pay(budget, *blocks, all, expected)).collect();
		let paid: Balance = pays.iter().sum();
		prop_assert!(paid <= budget);
		if all >= expected && all > 0 {
			prop_assert!(paid + blocks.len() as u128 >= budget);
		} else {
			// The missing blocks' part is nobody's.
			prop_assert!(paid <= quotient(budget, all.into(), expected.max(1).into()));
		}
		for (blocks_of, pay) in blocks.iter().zip(&pays) {
			prop_assert!(author_pay(budget, *blocks_of, all, expected.saturating_add(1)) <= *pay);
			prop_assert!(author_pay(budget, blocks_of.saturating_add(1), all, expected) >= *pay);
		}
	}

	#[test]
	fn no_author_is_paid_more_than_there_is(
		budget in any::<u128>(),
		blocks in any::<u32>(),
		all in any::<u32>(),
		expected in any::<u32>(),
	) {
		prop_assert!(author_pay(budget, blocks, all, expected) <= budget);
	}
}
