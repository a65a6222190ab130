//! Offences and slashes: what is proven suspends at once, what is slashed waits until governance has
//! had time to look.
//!
//! An operator's offences count once, by the largest of them, until it has been slashed and is back in
//! service. An offence of an earlier era than those that were counted has its own slash, which takes
//! only what the others did not reach: stake that left before them. So an operator has at most one slash
//! waiting for an era, and the queue is bounded by what evidence can reach.

use alloc::vec::Vec;
use cuckoo_primitives::{AccountId, Balance, EraIndex, H256};
use frame_support::{
	defensive,
	pallet_prelude::*,
	storage::with_storage_layer,
	traits::{
		fungible::Balanced,
		tokens::{Fortitude, Precision, Preservation},
		Imbalance, OnUnbalanced,
	},
};
use sp_runtime::Perbill;
use sp_staking::{
	offence::{OffenceDetails, OnOffenceHandler},
	SessionIndex,
};

use crate::{
	evidence::Evidence,
	pool::{Position, Shares},
	sessions::SessionAccess,
	slash::{Leaving, Reach, Taken},
	types::{Offence, Slash, SlashId},
	weights::WeightInfo,
	Config, CurrentEra, Error, Event, Offences, Operators, Pallet, Positions, SlashQueue, Slashes,
	Unbonding, UnbondingPools, WorkerOwners,
};

impl<T: Config> Pallet<T> {
	/// Checks a proof and queues the slash.
	pub(crate) fn do_report(reporter: AccountId, evidence: Evidence) -> DispatchResult {
		let proven = evidence
			.check(&Self::genesis_hash())
			.ok_or(Error::<T>::EvidenceInvalid)?;
		ensure!(
			proven.block <= Self::block_number(),
			Error::<T>::EvidenceFromFuture
		);
		// Whose keys they were: a key that was let go of stays its former owner's while offences count,
		// for what it signed before. By the later block it must have been bound: naming an old one in
		// one of two assignments is no way out.
		for (worker, block) in proven.signers {
			let owner = WorkerOwners::<T>::get(worker).ok_or(Error::<T>::EvidenceTooOld)?;
			ensure!(
				owner.operator == proven.operator,
				Error::<T>::EvidenceInvalid
			);
			ensure!(
				owner.since <= proven.block && owner.answers_at(block),
				Error::<T>::WorkerNotBound
			);
		}
		ensure!(
			Operators::<T>::contains_key(&proven.operator),
			Error::<T>::OperatorNotFound
		);
		let era = Self::era_of_block(proven.block).ok_or(Error::<T>::EvidenceTooOld)?;
		let fraction = Self::role_params(proven.role).offence_fraction;
		Self::queue_slash(
			&proven.operator,
			era,
			fraction,
			Some(reporter),
			Some(proven.id),
		)
	}

	/// Suspends an operator and queues a slash, unless one as large is waiting or applied that has all in
	/// its reach.
	pub(crate) fn queue_slash(
		operator: &AccountId,
		era: EraIndex,
		fraction: Perbill,
		reporter: Option<AccountId>,
		evidence: Option<H256>,
	) -> DispatchResult {
		let now = CurrentEra::<T>::get();
		ensure!(Self::is_reportable(era, now), Error::<T>::EvidenceTooOld);
		let due = now.saturating_add(T::SlashDeferEras::get());
		let slash = Offences::<T>::try_mutate(operator, |offences| {
			let waiting = offences.iter().filter(|offence| offence.pending.is_some());
			let oldest = waiting.map(|offence| offence.era).min();
			offences.retain(|offence| {
				oldest.is_some_and(|waiting| offence.is_one_with(waiting))
					|| Self::still_counts(offence, now)
			});
			let one: Vec<&Offence> = offences
				.iter()
				.filter(|offence| offence.is_one_with(era))
				.collect();
			// One of an earlier era has all in its reach that this would have.
			let counted = one
				.iter()
				.filter(|offence| offence.era <= era)
				.map(|offence| offence.counted)
				.max();
			ensure!(
				fraction > counted.unwrap_or_default(),
				Error::<T>::OffenceAlreadyCounted
			);
			let returned = one.iter().filter_map(|offence| offence.returned).min();
			// A proof counts once, whichever era it was counted for, also after its slash was cancelled or
			// the fraction was raised.
			if let Some(id) = evidence {
				let used = offences.iter().any(|offence| offence.proofs.contains(&id));
				ensure!(!used, Error::<T>::EvidenceUsed);
			}
			let index = match offences.iter().position(|offence| offence.era == era) {
				Some(index) => index,
				None => {
					let offence = Offence {
						returned,
						..Offence::none(era)
					};
					offences
						.try_push(offence)
						.map_err(|_| Error::<T>::OffenceAlreadyCounted)?;
					offences.len() - 1
				},
			};
			let offence = offences
				.get_mut(index)
				.ok_or(Error::<T>::OffenceAlreadyCounted)?;
			if let Some(id) = evidence {
				offence
					.proofs
					.try_push(id)
					.map_err(|_| Error::<T>::EvidenceUsed)?;
			}
			if let Some(smaller) = offence.pending {
				Slashes::<T>::remove(smaller);
			}
			let id = SlashQueue::<T>::try_mutate(|queue| {
				let id = queue.next;
				queue.next = id.checked_add(1).ok_or(Error::<T>::AmountTooLarge)?;
				Ok::<_, Error<T>>(id)
			})?;
			offence.pending = Some(id);
			offence.counted = fraction;
			let slash = Slash {
				operator: operator.clone(),
				era,
				fraction,
				reporter: reporter.clone(),
				evidence,
				due,
			};
			Slashes::<T>::insert(id, slash);
			Ok::<_, DispatchError>(id)
		})?;
		Self::change_stake(operator, |record, _| {
			if record.suspended.is_none() {
				record.suspended = Some(now);
				Self::deposit_event(Event::OperatorSuspended {
					operator: operator.clone(),
					role: record.role,
				});
			}
			Ok(())
		})?;
		Self::deposit_event(Event::SlashQueued {
			slash,
			operator: operator.clone(),
			era,
			fraction,
			reporter,
			due_era: due,
		});
		Ok(())
	}

	/// Takes a slash out of the queue for good. The operator is no longer suspended, unless another
	/// slash waits, or was applied before.
	pub(crate) fn do_cancel(id: SlashId) -> DispatchResult {
		let slash = Slashes::<T>::take(id).ok_or(Error::<T>::SlashNotFound)?;
		Self::close_offence(&slash, id, false);
		let suspends = |offence: &Offence| offence.pending.is_some() || offence.is_being_served();
		if !Offences::<T>::get(&slash.operator).iter().any(suspends) {
			Self::change_stake(&slash.operator, |record, _| {
				record.suspended = None;
				Ok(())
			})?;
		}
		Self::deposit_event(Event::SlashCancelled {
			slash: id,
			operator: slash.operator,
		});
		Ok(())
	}

	/// Applies slashes that are due, the oldest first, looking at no more than `limit` places of the
	/// queue. Returns how many places that were.
	pub(crate) fn apply_due(limit: u32) -> u32 {
		let now = CurrentEra::<T>::get();
		let mut queue = SlashQueue::<T>::get();
		let mut looked_at = 0;
		while looked_at < limit && queue.first < queue.next {
			let id = queue.first;
			match Slashes::<T>::get(id) {
				// They were queued in the order in which they are due.
				Some(slash) if slash.due > now => break,
				Some(slash) => {
					Slashes::<T>::remove(id);
					if with_storage_layer(|| Self::apply(id, &slash)).is_err() {
						// No arithmetic in it can fail for amounts that exist. If it did, the one
						// slash is lost and the queue goes on.
						defensive!("a slash could not be applied");
						Self::close_offence(&slash, id, false);
					}
				},
				// Cancelled, or replaced by a larger one.
				None => (),
			}
			queue.first += 1;
			looked_at += 1;
		}
		if looked_at > 0 {
			SlashQueue::<T>::put(queue);
		}
		looked_at
	}

	/// Takes the slash from everything in its reach and pays its reporter.
	fn apply(id: SlashId, slash: &Slash) -> DispatchResult {
		let before: Vec<(EraIndex, Perbill)> = Offences::<T>::get(&slash.operator)
			.iter()
			.filter(|offence| offence.is_one_with(slash.era))
			.map(|offence| (offence.era, offence.applied))
			.collect();
		let taken = Self::slash_reach(&slash.operator, slash.era, slash.fraction, &before)?;
		Self::close_offence(slash, id, true);
		let reporter_reward = Self::pay_slash(taken, slash.reporter.as_ref())?;
		Self::deposit_event(Event::Slashed {
			slash: id,
			operator: slash.operator.clone(),
			amount: taken.all,
			reporter: slash.reporter.clone(),
			reporter_reward,
		});
		Ok(())
	}

	/// Notes that no slash waits for the offence any more.
	fn close_offence(slash: &Slash, id: SlashId, applied: bool) {
		Offences::<T>::mutate(&slash.operator, |offences| {
			for offence in offences
				.iter_mut()
				.filter(|offence| offence.pending == Some(id))
			{
				offence.pending = None;
				if applied {
					offence.applied = offence.applied.max(slash.fraction);
				}
				offence.counted = offence.applied;
			}
		});
	}

	/// Lowers the pools that the slash reaches; returns by how much together.
	fn slash_reach(
		operator: &AccountId,
		era: EraIndex,
		fraction: Perbill,
		before: &[(EraIndex, Perbill)],
	) -> Result<Taken, DispatchError> {
		Self::change_stake(operator, |_, stake| {
			let own = Positions::<T>::get(operator, operator).unwrap_or_default();
			let mut reach = Reach {
				stake: *stake,
				own: own.shares_in(&stake.pool),
				leaving: Self::leaving_since(operator, era),
			};
			let taken = reach.slash(fraction, before).map_err(Error::<T>::from)?;
			*stake = reach.stake;
			let own = Position {
				shares: reach.own,
				generation: reach.stake.pool.generation,
			};
			Self::put_position(operator, operator, own);
			Self::put_leaving(operator, &reach.leaving);
			Ok(taken)
		})
	}

	/// What began to leave the operator in `era` or later.
	fn leaving_since(operator: &AccountId, era: EraIndex) -> Vec<Leaving> {
		let own = Unbonding::<T>::get(operator);
		(era..=CurrentEra::<T>::get())
			.filter_map(|era| {
				let pool = UnbondingPools::<T>::get(operator, era)?;
				let own = own
					.iter()
					.find(|chunk| chunk.operator == *operator && chunk.era == era)
					.filter(|chunk| chunk.generation == pool.generation)
					.map_or(Shares::ZERO, |chunk| chunk.shares);
				Some(Leaving { era, pool, own })
			})
			.collect()
	}

	/// Stores what is left of it.
	fn put_leaving(operator: &AccountId, leaving: &[Leaving]) {
		for Leaving { era, pool, .. } in leaving {
			Self::put_unbonding_pool(operator, *era, pool);
		}
		let mut chunks = Unbonding::<T>::get(operator);
		for chunk in chunks
			.iter_mut()
			.filter(|chunk| chunk.operator == *operator)
		{
			if let Some(leaving) = leaving.iter().find(|leaving| leaving.era == chunk.era) {
				chunk.shares = leaving.own;
			}
		}
		// Shares of an ended generation are worth nothing: they need not be kept.
		chunks.retain(|chunk| !chunk.shares.is_zero());
		Self::put_chunks(operator, chunks);
	}

	/// Moves what was slashed out of the pot: the reporter's share first, where there is one who can
	/// take it. Returns that share.
	///
	/// The share is never more than half of what the operator lost itself: an operator with little of
	/// its own among many votes would otherwise earn by proving its own offence.
	fn pay_slash(taken: Taken, reporter: Option<&AccountId>) -> Result<Balance, DispatchError> {
		let share = T::ReporterShare::get()
			.mul_floor(taken.all)
			.min(taken.own / 2);
		if taken.all == 0 {
			return Ok(0);
		}
		Self::hold_less(taken.all)?;
		let taken = T::Currency::withdraw(
			&Self::pot(),
			taken.all,
			Precision::Exact,
			Preservation::Preserve,
			Fortitude::Force,
		)?;
		let Some(reporter) = reporter else {
			T::OnSlash::on_unbalanced(taken);
			return Ok(0);
		};
		let (share, rest) = taken.split(share);
		T::OnSlash::on_unbalanced(rest);
		let share_amount = share.peek();
		match T::Currency::resolve(reporter, share) {
			Ok(()) => Ok(share_amount),
			// Below the existential deposit of an account that is gone.
			Err(share) => {
				T::OnSlash::on_unbalanced(share);
				Ok(0)
			},
		}
	}

	/// Whether a slash waits for the operator.
	pub(crate) fn has_pending_slash(operator: &AccountId) -> bool {
		Offences::<T>::get(operator)
			.iter()
			.any(|offence| offence.pending.is_some())
	}

	/// Whether a slash waits that reaches stake which began to leave the operator in `era`.
	pub(crate) fn is_in_reach(operator: &AccountId, era: EraIndex) -> bool {
		Offences::<T>::get(operator)
			.iter()
			.any(|offence| offence.pending.is_some() && offence.era <= era)
	}

	/// The operator is back in service: what it did up to now is one, and what it does from now on another.
	pub(crate) fn end_offences(operator: &AccountId) {
		let now = CurrentEra::<T>::get();
		Offences::<T>::mutate(operator, |offences| {
			for offence in offences
				.iter_mut()
				.filter(|offence| offence.is_being_served())
			{
				offence.returned = Some(now);
			}
		});
	}

	/// Whether anything hangs on an offence: its slash waits, or one of its era can still be proven, or
	/// one that would be one with it. (Another thing is a slash that waits for one that is.)
	fn still_counts(offence: &Offence, now: EraIndex) -> bool {
		let last = match offence.returned {
			Some(returned) => returned.saturating_sub(1).max(offence.era),
			None if offence.is_being_served() => now,
			None => offence.era,
		};
		offence.pending.is_some() || Self::is_reportable(last, now)
	}

	/// Whether an offence of `era` still counts when it is proven `now`.
	pub(crate) fn is_reportable(era: EraIndex, now: EraIndex) -> bool {
		era <= now && now - era <= T::EvidenceEras::get()
	}
}

/// What the offences pallet proves of validators: equivocations of BABE and GRANDPA.
impl<T: Config, Identification> OnOffenceHandler<AccountId, (AccountId, Identification), Weight>
	for Pallet<T>
{
	fn on_offence(
		offenders: &[OffenceDetails<AccountId, (AccountId, Identification)>],
		fractions: &[Perbill],
		session: SessionIndex,
	) -> Weight {
		let least = Self::role_params(cuckoo_primitives::Role::Validator).offence_fraction;
		for (details, fraction) in offenders.iter().zip(fractions) {
			let (validator, _) = &details.offender;
			let fraction = least.max(*fraction);
			if let Some(era) = Self::era_of_session(session) {
				// Refused when it is too old, or when one as large is there already: nothing to do.
				let reporter = details.reporters.first().cloned();
				let _ = with_storage_layer(|| {
					Self::queue_slash(validator, era, fraction, reporter, None)
				});
			}
			// One that was slashed for it and is back in service is not disabled for it again.
			if Operators::<T>::get(validator).is_none_or(|record| record.is_suspended()) {
				T::Session::report_offence(validator, fraction);
			}
		}
		let count = u32::try_from(offenders.len()).unwrap_or(u32::MAX);
		T::WeightInfo::report_equivocation().saturating_mul(count.into())
	}
}
