//! Which coordinators to serve: a sample weighted by stake that changes as little as it must.
//!
//! Each coordinator gets a fixed number `u` in (0, 1] from a seed and its account, and the ones with
//! the smallest `-ln(u) / stake` are served. Over random seeds this is weighted sampling without
//! replacement (Efraimidis and Spirakis 2006, "Weighted random sampling with a reservoir"): the
//! first place falls to each in proportion to its stake. Under one seed the order depends on nothing
//! else, so a coordinator that comes, goes, or changes its stake moves only itself.

use cuckoo_primitives::{AccountId, Balance};

/// Random bytes that fix a miner's choice; drawn once at each start.
pub type Seed = [u8; 32];

/// Up to `most` of the candidates, the preferred first. Candidates without stake are never chosen;
/// an account that is listed twice counts once, with its first entry.
pub fn choose(candidates: &[(AccountId, Balance)], most: usize, seed: &Seed) -> Vec<AccountId> {
	let mut ranked: Vec<(f64, &AccountId)> = candidates
		.iter()
		.filter(|(_, stake)| *stake > 0)
		.map(|(account, stake)| (waiting_time(account, *stake, seed), account))
		.collect();
	ranked.sort_by(|a, b| a.0.total_cmp(&b.0).then_with(|| a.1.cmp(b.1)));
	let mut chosen: Vec<AccountId> = Vec::new();
	for (_, account) in ranked {
		if chosen.len() == most {
			break;
		}
		if !chosen.contains(account) {
			chosen.push(account.clone());
		}
	}
	chosen
}

/// An exponential waiting time with the stake as its rate: who comes first wins.
fn waiting_time(account: &AccountId, stake: Balance, seed: &Seed) -> f64 {
	let mut hasher = blake3::Hasher::new_keyed(seed);
	hasher.update(account.as_ref());
	let mut first = [0u8; 8];
	hasher.finalize_xof().fill(&mut first);
	// 53 bits, the width of an f64's fraction, moved off zero so that the logarithm is finite.
	let uniform = ((u64::from_le_bytes(first) >> 11) + 1) as f64 / (1u64 << 53) as f64;
	-uniform.ln() / stake as f64
}

#[cfg(test)]
mod tests {
	use super::*;
	use proptest::prelude::*;
	use std::collections::BTreeSet;

	fn candidates(stakes: &[Balance]) -> Vec<(AccountId, Balance)> {
		stakes
			.iter()
			.enumerate()
			.map(|(index, stake)| (AccountId::new([index as u8 + 1; 32]), *stake))
			.collect()
	}

	fn seed(number: u64) -> Seed {
		*blake3::hash(&number.to_le_bytes()).as_bytes()
	}

	/// First places of 40,000 seeds fit the stakes: chi-square with 3 degrees of freedom, p > 0.001.
	#[test]
	fn the_first_place_falls_in_proportion_to_stake() {
		let stakes = [10, 20, 30, 40];
		let candidates = candidates(&stakes);
		let rounds = 40_000u64;
		let mut counts = [0u32; 4];
		for number in 0..rounds {
			let first = &choose(&candidates, 1, &seed(number))[0];
			counts[candidates
				.iter()
				.position(|(account, _)| account == first)
				.unwrap()] += 1;
		}
		let chi_square: f64 = counts
			.iter()
			.zip(stakes)
			.map(|(count, stake)| {
				let expected = rounds as f64 * stake as f64 / 100.0;
				(f64::from(*count) - expected).powi(2) / expected
			})
			.sum();
		assert!(
			chi_square < 16.27,
			"chi-square {chi_square}, counts {counts:?}"
		);
	}

	#[test]
	fn nobody_is_chosen_from_nobody_or_for_nothing() {
		assert!(choose(&[], 3, &seed(1)).is_empty());
		assert!(choose(&candidates(&[0, 0]), 3, &seed(1)).is_empty());
		assert!(choose(&candidates(&[5]), 0, &seed(1)).is_empty());
	}

	proptest! {
		#[test]
		fn choices_are_distinct_candidates_and_as_many_as_there_can_be(
			stakes in prop::collection::vec(0u128..1_000, 0..20),
			most in 0usize..8,
			number in any::<u64>(),
		) {
			let candidates = candidates(&stakes);
			let chosen = choose(&candidates, most, &seed(number));
			let distinct: BTreeSet<_> = chosen.iter().collect();
			prop_assert_eq!(distinct.len(), chosen.len());
			let with_stake = stakes.iter().filter(|stake| **stake > 0).count();
			prop_assert_eq!(chosen.len(), with_stake.min(most));
			for account in &chosen {
				prop_assert!(candidates.iter().any(|(a, stake)| a == account && *stake > 0));
			}
		}

		#[test]
		fn the_order_of_the_list_does_not_matter(
			stakes in prop::collection::vec(1u128..1_000, 0..20),
			number in any::<u64>(),
		) {
			let forward = candidates(&stakes);
			let backward: Vec<_> = forward.iter().rev().cloned().collect();
			prop_assert_eq!(choose(&forward, 5, &seed(number)), choose(&backward, 5, &seed(number)));
		}

		/// When one leaves, the others stay in place and at most one comes in.
		#[test]
		fn a_departure_moves_nobody_else(
			stakes in prop::collection::vec(1u128..1_000, 1..20),
			most in 1usize..8,
			gone in any::<prop::sample::Index>(),
			number in any::<u64>(),
		) {
			let before_list = candidates(&stakes);
			let before = choose(&before_list, most, &seed(number));
			let mut after_list = before_list.clone();
			let (left, _) = after_list.remove(gone.index(before_list.len()));
			let after = choose(&after_list, most, &seed(number));
			let kept: Vec<_> = before.into_iter().filter(|account| *account != left).collect();
			prop_assert_eq!(&after[..kept.len()], &kept[..]);
		}

		/// More stake never costs a place.
		#[test]
		fn more_stake_never_loses_a_place(
			stakes in prop::collection::vec(1u128..1_000, 1..20),
			more in 1u128..1_000,
			index in any::<prop::sample::Index>(),
			number in any::<u64>(),
		) {
			let before = candidates(&stakes);
			let mut after = before.clone();
			let index = index.index(stakes.len());
			after[index].1 += more;
			let place = |list: &[(AccountId, Balance)]| {
				choose(list, list.len(), &seed(number)).iter().position(|a| *a == before[index].0)
			};
			prop_assert!(place(&after) <= place(&before));
		}
	}
}
