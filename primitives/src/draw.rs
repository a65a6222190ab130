//! The stake-weighted draw, as anyone can recompute it.
//!
//! The eligible list is sorted by account; [`weight_tree`] says how it is committed to. The ticket is
//! `blake2_256(randomness ‖ task id ‖ attempt)` (attempt as 4 bytes little-endian), read as a
//! little-endian integer, modulo the total weight. Walking the list and taking the weights off the
//! ticket, the drawn miner is the one on whom it runs out. A remainder of 2^256 by a total below 2^128
//! favours no miner by more than 2^-128.

use crate::{
	task::{Attempt, TaskId},
	weight_tree, AccountId, Balance, H256,
};
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use scale_info::TypeInfo;
use sp_core::U256;
use sp_crypto_hashing::blake2_256;

/// A miner that can be drawn, with its weight.
#[derive(
	Clone, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
#[cfg_attr(feature = "std", derive(serde::Serialize, serde::Deserialize))]
pub struct Eligible {
	/// The miner's operator account.
	pub miner: AccountId,
	/// Its pool's stake (self and votes), up to the coordinator's cap.
	pub weight: Balance,
}

/// What an assignment says of the list: the root of its [`weight_tree`]. The list must be sorted by
/// account.
pub fn eligible_root(eligible: &[Eligible]) -> H256 {
	weight_tree::root(eligible).hash
}

/// The sum of the weights; `None` when it does not fit.
pub fn total_weight(eligible: &[Eligible]) -> Option<Balance> {
	eligible
		.iter()
		.try_fold(0, |sum: Balance, entry| sum.checked_add(entry.weight))
}

/// The ticket below `total_weight`; `None` when nothing can be drawn.
pub fn ticket(
	randomness: &H256,
	task: &TaskId,
	attempt: Attempt,
	total_weight: Balance,
) -> Option<Balance> {
	if total_weight == 0 {
		return None;
	}
	let mut seed = [0u8; 52];
	seed[..32].copy_from_slice(randomness.as_bytes());
	seed[32..48].copy_from_slice(&task.0);
	seed[48..].copy_from_slice(&attempt.to_le_bytes());
	let number = U256::from_little_endian(&blake2_256(&seed));
	Some((number % U256::from(total_weight)).low_u128())
}

/// The miner on whom `ticket` falls: a walk over the list, for verification. `None` when the ticket
/// is not below the total weight.
pub fn pick(eligible: &[Eligible], ticket: Balance) -> Option<&Eligible> {
	let mut rest = ticket;
	eligible
		.iter()
		.find(|entry| match rest.checked_sub(entry.weight) {
			Some(left) => {
				rest = left;
				false
			},
			None => true,
		})
}

/// Whether the list is in strictly ascending order of accounts, without zero weights.
pub fn is_canonical(eligible: &[Eligible]) -> bool {
	eligible
		.windows(2)
		.all(|pair| pair[0].miner < pair[1].miner)
		&& eligible.iter().all(|entry| entry.weight > 0)
}

#[cfg(test)]
mod tests {
	use super::*;
	use alloc::{vec, vec::Vec};
	use proptest::prelude::*;

	fn list(weights: &[Balance]) -> Vec<Eligible> {
		weights
			.iter()
			.enumerate()
			.map(|(index, weight)| Eligible {
				miner: AccountId::new([index as u8; 32]),
				weight: *weight,
			})
			.collect()
	}

	#[test]
	fn ticket_falls_on_the_right_side_of_every_border() {
		let eligible = list(&[3, 1, 5]);
		let drawn: Vec<u8> = (0..9)
			.map(|ticket| {
				pick(&eligible, ticket)
					.map(|e| e.miner.as_ref() as &[u8])
					.unwrap()[0]
			})
			.collect();
		assert_eq!(drawn, vec![0, 0, 0, 1, 2, 2, 2, 2, 2]);
		assert_eq!(pick(&eligible, 9), None);
	}

	#[test]
	fn nothing_is_drawn_from_nothing() {
		assert_eq!(ticket(&H256::zero(), &TaskId([0; 16]), 0, 0), None);
		assert_eq!(pick(&[], 0), None);
		assert_eq!(total_weight(&list(&[Balance::MAX, 1])), None);
	}

	/// Shares of 40,000 draws fit the weights: chi-square with 4 degrees of freedom, p > 0.001.
	#[test]
	fn shares_fit_the_weights() {
		let weights = [5, 10, 20, 25, 40];
		let eligible = list(&weights);
		let draws = 40_000u32;
		let mut counts = [0u32; 5];
		for attempt in 0..draws {
			let ticket = ticket(&H256::repeat_byte(7), &TaskId([9; 16]), attempt, 100).unwrap();
			let miner = &pick(&eligible, ticket).unwrap().miner;
			counts[(miner.as_ref() as &[u8])[0] as usize] += 1;
		}
		let chi_square: f64 = counts
			.iter()
			.zip(weights)
			.map(|(count, weight)| {
				let expected = draws as f64 * weight as f64 / 100.0;
				(*count as f64 - expected).powi(2) / expected
			})
			.sum();
		assert!(
			chi_square < 18.47,
			"chi-square {chi_square}, counts {counts:?}"
		);
	}

	proptest! {
		#[test]
		fn ticket_below_total_always_draws_a_miner_with_weight(
			weights in prop::collection::vec(0u128..1_000_000, 1..50),
			task in any::<[u8; 16]>(),
			attempt in any::<u32>(),
			randomness in any::<[u8; 32]>(),
		) {
			let eligible = list(&weights);
			let total = total_weight(&eligible).unwrap();
			match ticket(&randomness.into(), &TaskId(task), attempt, total) {
				None => prop_assert_eq!(total, 0),
				Some(ticket) => {
					prop_assert!(ticket < total);
					prop_assert!(pick(&eligible, ticket).unwrap().weight > 0);
				},
			}
		}
	}
}
