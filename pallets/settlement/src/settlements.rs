//! Settlements: one root an era, claims by proof, and the clean-up when an era's time is over.

use cuckoo_primitives::{
	sum_tree::{self, PlacedLeaf, Root, MAX_LEAVES},
	weight_tree::Node,
	AccountId, Balance, EraIndex,
};
use frame_support::{
	pallet_prelude::*,
	storage::with_storage_layer,
	traits::{Imbalance, OnUnbalanced},
};
use pallet_cuckoo_staking::OperatorAccess;

use crate::{
	split::{emission_part, Split},
	types::{Settlement, CHUNK_LEAVES},
	Allotments, ClaimedLeaves, Config, Error, Event, Pallet, Settlements, SplitParameters,
};

impl<T: Config> Pallet<T> {
	pub(crate) fn do_settle_era(
		coordinator: AccountId,
		era: EraIndex,
		root: Root,
	) -> DispatchResult {
		let (now, windows) = (T::Operators::era(), Self::windows());
		ensure!(windows.is_over(era, now), Error::<T>::EraNotOver);
		ensure!(
			!windows.is_past_posting(era, now),
			Error::<T>::PostingTooLate
		);
		ensure!(
			!Settlements::<T>::contains_key(&coordinator, era),
			Error::<T>::EraAlreadySettled
		);
		// No leaf is of nothing.
		let fine =
			(1..=MAX_LEAVES).contains(&root.leaves) && root.node.sum >= Balance::from(root.leaves);
		ensure!(fine, Error::<T>::RootInvalid);
		let params = SplitParameters::<T>::get();
		let mut split =
			Split::of_miners_part(root.node.sum, &params).ok_or(Error::<T>::AmountTooLarge)?;
		Self::change_reserve(&coordinator, |reserve| {
			reserve.take(split.fee).ok_or(Error::<T>::ReserveTooLow)?;
			Ok(0)
		})?;
		split.coordinator_emission = Self::distribute(&coordinator, &split)?;
		let settlement = Settlement {
			root,
			claimed: 0,
			by_voucher: 0,
			emission: split.miner_emission,
			cleaned: 0,
		};
		Settlements::<T>::insert(&coordinator, era, settlement);
		Self::deposit_event(Event::EraSettled {
			coordinator,
			era,
			root,
			split,
		});
		Ok(())
	}

	/// Takes all but the miners' part of a fee out of the pot and gives everybody theirs. Returns what
	/// was issued to the coordinator.
	fn distribute(coordinator: &AccountId, split: &Split) -> Result<Balance, DispatchError> {
		let rest = Self::take_out(split.fee.saturating_sub(split.miner))?;
		let (audit, rest) = rest.split(split.audit);
		let (own, burned) = rest.split(split.coordinator);
		T::AuditFund::on_unbalanced(audit);
		drop(burned);
		// What a coordinator without pool and account cannot take is burned as well.
		let issued = Self::pay_operator(coordinator, own, split.coordinator_emission);
		Ok(issued.unwrap_or(0))
	}

	pub(crate) fn do_claim(
		coordinator: AccountId,
		era: EraIndex,
		leaves: &[PlacedLeaf],
		siblings: &[Node],
	) -> DispatchResult {
		let mut settlement = Self::open_settlement(&coordinator, era)?;
		Self::ensure_proven(&coordinator, era, &settlement, leaves, siblings)?;
		let beyond = settlement.beyond();
		let (mut claimed, mut restored) = (false, 0);
		for placed in leaves {
			// What nobody can take is left as it was, for later.
			let done =
				with_storage_layer(|| Self::claim_leaf(&coordinator, era, &mut settlement, placed));
			if let Ok(Some(covered)) = done {
				claimed = true;
				restored = covered.saturating_add(restored);
			}
		}
		ensure!(claimed, Error::<T>::NothingToClaim);
		let levy = Self::levy_beyond(beyond, &settlement)?;
		Settlements::<T>::insert(&coordinator, era, settlement);
		if restored > 0 || levy > 0 {
			Self::change_reserve(&coordinator, |reserve| {
				reserve
					.restore(restored, levy)
					.ok_or(Error::<T>::AmountTooLarge)
			})?;
		}
		Ok(())
	}

	/// What is owed for what miners got beyond what was settled, if it was `before` until now.
	pub(crate) fn levy_beyond(
		before: Balance,
		settlement: &Settlement,
	) -> Result<Balance, Error<T>> {
		match settlement.beyond().saturating_sub(before) {
			0 => Ok(0),
			more => Self::levy_on(more),
		}
	}

	/// What would have been burned of a fee, and given to the audit fund, of which so much is the miners'
	/// part.
	pub(crate) fn levy_on(amount: Balance) -> Result<Balance, Error<T>> {
		let split = Split::of_miners_part(amount, &SplitParameters::<T>::get());
		Ok(split.ok_or(Error::<T>::AmountTooLarge)?.levy())
	}

	/// Pays one leaf. What its miner got for the era by a voucher goes back into the allotment that it
	/// came out of, so that it makes no difference which of the two comes first: or a coordinator could
	/// use up what backs later eras by claiming the voucher of one that it has settled. Returns how much
	/// goes back; `None` where there was nothing to do.
	fn claim_leaf(
		coordinator: &AccountId,
		era: EraIndex,
		settlement: &mut Settlement,
		placed: &PlacedLeaf,
	) -> Result<Option<Balance>, DispatchError> {
		if !Self::mark_claimed(coordinator, era, placed.index) {
			return Ok(None);
		}
		let miner = &placed.leaf.miner;
		let mut allotment = Allotments::<T>::get(coordinator, miner);
		let before = allotment
			.as_ref()
			.map_or(0, |allotment| allotment.paid_for(era));
		let amount = placed.leaf.amount;
		if amount == 0 {
			return Ok(None);
		}
		let covered = amount.min(before);
		let due = amount.saturating_sub(covered);
		let claimed = settlement
			.claimed
			.checked_add(amount)
			.filter(|claimed| *claimed <= settlement.root.node.sum)
			.ok_or(Error::<T>::AmountTooLarge)?;
		let emission = emission_part(settlement.emission, amount, settlement.root.node.sum);
		let issued = Self::pay_operator(miner, Self::take_out(due)?, emission)
			.map_err(|_| Error::<T>::PayoutRefused)?;
		if let Some(allotment) = &mut allotment {
			if due > 0 {
				let open = Self::windows().first_open(T::Operators::era());
				allotment
					.note_paid(era, due, open)
					.ok_or(Error::<T>::AmountTooLarge)?;
			}
			allotment.amount = allotment
				.amount
				.checked_add(covered)
				.ok_or(Error::<T>::AmountTooLarge)?;
			Allotments::<T>::insert(coordinator, miner, allotment);
		}
		settlement.claimed = claimed;
		settlement.by_voucher = settlement.by_voucher.saturating_sub(covered);
		Self::deposit_event(Event::LeafClaimed {
			coordinator: coordinator.clone(),
			era,
			miner: miner.clone(),
			amount: due,
			emission: issued,
			restored: covered,
		});
		Ok(Some(covered))
	}

	/// Marks a leaf as claimed; whether it was not.
	fn mark_claimed(coordinator: &AccountId, era: EraIndex, index: u32) -> bool {
		let key = (coordinator, era, index / CHUNK_LEAVES);
		let mut chunk = ClaimedLeaves::<T>::get(key).unwrap_or([0; CHUNK_LEAVES as usize / 8]);
		let within = (index % CHUNK_LEAVES) as usize;
		let (byte, bit) = (within / 8, 1u8 << (within % 8));
		if chunk[byte] & bit != 0 {
			return false;
		}
		chunk[byte] |= bit;
		ClaimedLeaves::<T>::insert(key, chunk);
		true
	}

	/// A settlement of which something can still be claimed.
	pub(crate) fn open_settlement(
		coordinator: &AccountId,
		era: EraIndex,
	) -> Result<Settlement, Error<T>> {
		let late = Self::windows().is_past_claiming(era, T::Operators::era());
		ensure!(!late, Error::<T>::ClaimTooLate);
		Settlements::<T>::get(coordinator, era).ok_or(Error::<T>::SettlementNotFound)
	}

	/// Refuses leaves that do not stand in the tree of this settlement.
	pub(crate) fn ensure_proven(
		coordinator: &AccountId,
		era: EraIndex,
		settlement: &Settlement,
		leaves: &[PlacedLeaf],
		siblings: &[Node],
	) -> DispatchResult {
		let context = sum_tree::context(&Self::genesis_hash(), coordinator, era);
		ensure!(
			sum_tree::verify(&settlement.root, &context, leaves, siblings),
			Error::<T>::ProofInvalid
		);
		Ok(())
	}

	/// Removes up to `limit` values with marks, and with the last the settlement. Returns how many
	/// those were.
	pub(crate) fn do_clean(
		coordinator: AccountId,
		era: EraIndex,
		limit: u32,
	) -> Result<u32, DispatchError> {
		ensure!(limit > 0, Error::<T>::AmountTooSmall);
		let mut settlement =
			Settlements::<T>::get(&coordinator, era).ok_or(Error::<T>::SettlementNotFound)?;
		let over = Self::windows().is_past_claiming(era, T::Operators::era());
		ensure!(over, Error::<T>::EraStillOpen);
		let (from, chunks) = (settlement.cleaned, settlement.chunks());
		let upto = from.saturating_add(limit).min(chunks);
		for chunk in from..upto {
			ClaimedLeaves::<T>::remove((&coordinator, era, chunk));
		}
		if upto < chunks {
			settlement.cleaned = upto;
			Settlements::<T>::insert(&coordinator, era, settlement);
			return Ok(upto - from);
		}
		Settlements::<T>::remove(&coordinator, era);
		let unclaimed = settlement.unclaimed();
		Self::change_reserve(&coordinator, |reserve| {
			reserve.put(unclaimed).ok_or(Error::<T>::AmountTooLarge)
		})?;
		Self::deposit_event(Event::EraCleaned {
			coordinator,
			era,
			unclaimed,
		});
		Ok(upto - from)
	}
}
