//! The invariants of the crate's documentation, under the same numbers, checked on the whole state.
//!
//! Every message begins with the invariant's number, so that a broken one is found in the list.

use alloc::collections::BTreeMap;
use cuckoo_primitives::{sum_tree::MAX_LEAVES, voucher::ChannelId, AccountId, Balance};
use frame_support::traits::fungible::Inspect;
use pallet_cuckoo_staking::{
	decoding::{all_decode, decodes},
	OperatorAccess,
};
use sp_runtime::TryRuntimeError;

use crate::{
	split::SplitParams, types::CHUNK_LEAVES, Allotments, Channels, ClaimedLeaves, Config, Held,
	NextChannel, Pallet, Reserves, Settlements, SplitParameters,
};

/// Ends the check with the message unless the condition holds.
macro_rules! invariant {
	($condition:expr, $message:literal) => {
		if !$condition {
			return Err(TryRuntimeError::Other($message));
		}
	};
}

impl<T: Config> Pallet<T> {
	/// Checks every invariant. Walks the whole state: for tests, `try-runtime` and `cuckoo-node
	/// check-state` only.
	pub fn do_try_state() -> Result<(), TryRuntimeError> {
		// The others read decoded values: what does not decode would be invisible to them.
		Self::check_decoding()?;
		Self::check_money()?;
		Self::check_channels()?;
		Self::check_reserves()?;
		Self::check_allotments()?;
		Self::check_settlements()?;
		Self::check_marks()?;
		invariant!(
			SplitParameters::<T>::get().is_usable(),
			"7: the split cannot be used"
		);
		Ok(())
	}

	/// Invariant 1: the money that came in and did not go out is what channels, reserves and unclaimed
	/// settlements are together; and the pot has at least that and its existential deposit.
	fn check_money() -> Result<(), TryRuntimeError> {
		let channels =
			Channels::<T>::iter_values().map(|channel| channel.left().saturating_add(channel.bond));
		let reserves = Reserves::<T>::iter_values().map(|reserve| reserve.balance);
		let settlements = Settlements::<T>::iter_values().map(|settlement| settlement.unclaimed());
		let owed = channels
			.chain(reserves)
			.chain(settlements)
			.try_fold(0, |sum: Balance, value| sum.checked_add(value));
		invariant!(
			owed == Some(Held::<T>::get()),
			"1: Held is not the sum of channels, reserves and settlements"
		);
		let needed = Held::<T>::get().saturating_add(T::Currency::minimum_balance());
		invariant!(
			T::Currency::total_balance(&Self::pot()) >= needed,
			"1: the pot has less than it owes"
		);
		Ok(())
	}

	/// Invariant 2: no more was redeemed from a channel than was put in; its number was given out.
	fn check_channels() -> Result<(), TryRuntimeError> {
		let next = NextChannel::<T>::get();
		for (number, channel) in Channels::<T>::iter() {
			invariant!(
				channel.redeemed <= channel.deposit,
				"2: more was redeemed than was put in"
			);
			invariant!(number < next, "2: a channel has a number to come");
		}
		Ok(())
	}

	/// Invariant 3: what is allotted of a reserve is the sum of its allotments and no more than there
	/// is; while something is owed nothing is free; no reserve is empty.
	fn check_reserves() -> Result<(), TryRuntimeError> {
		let mut sums = BTreeMap::<AccountId, Balance>::new();
		for (coordinator, _, allotment) in Allotments::<T>::iter() {
			let sum = sums.entry(coordinator).or_default();
			*sum = sum
				.checked_add(allotment.amount)
				.ok_or(TryRuntimeError::Other("3: allotments overflow"))?;
		}
		for (coordinator, reserve) in Reserves::<T>::iter() {
			invariant!(!reserve.is_empty(), "3: a reserve is empty");
			invariant!(
				reserve.allotted <= reserve.balance,
				"3: more is allotted than there is"
			);
			invariant!(
				reserve.owed == 0 || reserve.free() == 0,
				"3: something is free and something owed"
			);
			let sum = sums.remove(&coordinator).unwrap_or(0);
			invariant!(
				sum == reserve.allotted,
				"3: allotments do not add up to what is allotted"
			);
		}
		invariant!(
			sums.into_values().all(|sum| sum == 0),
			"3: an allotment has no reserve"
		);
		Ok(())
	}

	/// Invariant 4: no allotment is from the future, and what it says was paid is of eras that are
	/// over, each once and in order.
	fn check_allotments() -> Result<(), TryRuntimeError> {
		let now = T::Operators::era();
		for (_, _, allotment) in Allotments::<T>::iter() {
			invariant!(allotment.since <= now, "4: an allotment is from the future");
			let ascending = allotment
				.paid
				.windows(2)
				.all(|pair| matches!(pair, [(one, _), (two, _)] if one < two));
			invariant!(ascending, "4: eras that were paid do not ascend");
			invariant!(
				allotment
					.paid
					.iter()
					.all(|(era, amount)| *era < now && *amount > 0),
				"4: an era was paid that is not over, or by nothing"
			);
		}
		Ok(())
	}

	/// Invariant 5: a settlement is of an era that is over, has a tree with something for each leaf,
	/// and no more was claimed than its sum; clean-up has not begun before its time.
	fn check_settlements() -> Result<(), TryRuntimeError> {
		let now = T::Operators::era();
		for (_, era, settlement) in Settlements::<T>::iter() {
			let root = &settlement.root;
			invariant!(era < now, "5: an era is settled that is not over");
			invariant!(
				(1..=MAX_LEAVES).contains(&root.leaves)
					&& root.node.sum >= Balance::from(root.leaves),
				"5: a settlement's tree cannot be"
			);
			invariant!(
				settlement.claimed <= root.node.sum,
				"5: more was claimed than was settled"
			);
			invariant!(
				settlement.by_voucher == 0 || Self::windows().is_past_posting(era, now),
				"5: vouchers were claimed before their time"
			);
			invariant!(
				settlement.cleaned < settlement.chunks()
					&& (settlement.cleaned == 0 || Self::windows().is_past_claiming(era, now)),
				"5: a settlement is cleaned that is open"
			);
		}
		Ok(())
	}

	/// Invariant 6: every mark is of a leaf of a settlement that is there; no value has none.
	fn check_marks() -> Result<(), TryRuntimeError> {
		for ((coordinator, era, chunk), marks) in ClaimedLeaves::<T>::iter() {
			let settlement = Settlements::<T>::get(&coordinator, era)
				.ok_or(TryRuntimeError::Other("6: marks are of no settlement"))?;
			invariant!(
				(settlement.cleaned..settlement.chunks()).contains(&chunk),
				"6: marks are outside of their settlement"
			);
			let first = chunk.saturating_mul(CHUNK_LEAVES);
			let last_marked = (0..CHUNK_LEAVES)
				.rev()
				.find(|index| marks[(index / 8) as usize] & (1 << (index % 8)) != 0);
			let within = last_marked
				.is_some_and(|index| first.saturating_add(index) < settlement.root.leaves);
			invariant!(within, "6: a mark is of no leaf");
		}
		Ok(())
	}

	/// Invariant 8: every value decodes.
	fn check_decoding() -> Result<(), TryRuntimeError> {
		let decode = [
			all_decode::<_, Channels<T>>(),
			all_decode::<_, Reserves<T>>(),
			all_decode::<_, Allotments<T>>(),
			all_decode::<_, Settlements<T>>(),
			all_decode::<_, ClaimedLeaves<T>>(),
			decodes::<Balance>(&Held::<T>::hashed_key()),
			decodes::<SplitParams>(&SplitParameters::<T>::hashed_key()),
			decodes::<ChannelId>(&NextChannel::<T>::hashed_key()),
		];
		invariant!(
			decode.into_iter().all(|fine| fine),
			"8: a value does not decode"
		);
		Ok(())
	}
}
