//! Operators: their records, their workers, their own stake, and the one place that decides whether
//! they are active and keeps every figure that follows from it.

use cuckoo_primitives::{
	signing::{signing_bytes, WorkerProof},
	AccountId, Balance, Role, WorkerId, WorkerSignature, H256,
};
use frame_support::pallet_prelude::*;
use sp_runtime::{traits::Saturating, ArithmeticError, Perbill};

use crate::{
	pool::Pool,
	stake::Stake,
	types::{
		Amount, Commission, DescendingStake, Introduction, IntroductionInput, Operator,
		WorkerOwner, MAX_RELEASED_WORKERS,
	},
	ByStake, Config, CurrentEra, Error, Event, Introductions, Operators, Pallet, Pools, Positions,
	ReleasedWorkers, RoleMembers, Streams, Totals, WorkerNonces, WorkerOwners,
};

/// Whether active operators of a role are kept in the order of their stake.
pub(crate) const fn is_sorted(role: Role) -> bool {
	match role {
		Role::Validator | Role::Coordinator => true,
		Role::Miner => false,
	}
}

impl<T: Config> Pallet<T> {
	/// Makes room for a new record: there is none yet, or the operator has retired and its pool is
	/// empty. Nobody may still have a vote in it, who voted for it in its former role.
	pub(crate) fn vacate(account: &AccountId) -> DispatchResult {
		if let Some(former) = Operators::<T>::get(account) {
			let emptied = former.is_retired() && Pools::<T>::get(account).shares.is_zero();
			ensure!(emptied, Error::<T>::OperatorAlreadyExists);
			// A new record would not be suspended.
			ensure!(!Self::has_pending_slash(account), Error::<T>::SlashPending);
			if former.is_suspended() {
				Self::end_offences(account);
			}
			RoleMembers::<T>::remove(former.role, account);
			Operators::<T>::remove(account);
		}
		Ok(())
	}

	/// Writes the record of an account that [`Self::vacate`] has made room for, and puts its stake in.
	pub(crate) fn do_register(
		account: AccountId,
		role: Role,
		worker: WorkerId,
		stake: Balance,
		commission: Perbill,
		introduction: Introduction<T>,
	) -> DispatchResult {
		let minimum = Self::role_params(role).min_self_stake;
		ensure!(stake > minimum, Error::<T>::SelfStakeTooLow);
		Self::bind_worker(&account, worker)?;
		let record = Operator {
			role,
			worker: Some(worker),
			commission: Commission::new(commission),
			retired: None,
			suspended: None,
			minimum,
			counted: None,
		};
		Operators::<T>::insert(&account, record);
		RoleMembers::<T>::insert(role, &account, ());
		Introductions::<T>::insert(&account, introduction);
		Self::deposit_event(Event::OperatorRegistered {
			operator: account.clone(),
			role,
			worker,
			self_stake: stake,
			commission,
		});
		Self::change_stake(&account, |_, into| {
			Self::join_pool(&account, &account, into, stake)
		})
		.map(|_| ())
	}

	pub(crate) fn do_set_worker(
		account: AccountId,
		worker: WorkerId,
		signature: WorkerSignature,
	) -> DispatchResult {
		let mut record = Self::serving(&account)?;
		Self::ensure_worker_agrees(&account, &worker, &signature)?;
		let previous = record.worker.ok_or(Error::<T>::OperatorRetired)?;
		ensure!(previous != worker, Error::<T>::WorkerAlreadyExists);
		Self::release_worker(&account, previous)?;
		Self::bind_worker(&account, worker)?;
		record.worker = Some(worker);
		Operators::<T>::insert(&account, record);
		Self::deposit_event(Event::WorkerSet {
			operator: account,
			previous,
			worker,
		});
		Ok(())
	}

	pub(crate) fn do_set_introduction(
		account: AccountId,
		introduction: Introduction<T>,
	) -> DispatchResult {
		Self::serving(&account)?;
		Introductions::<T>::insert(&account, &introduction);
		Self::deposit_event(Event::IntroductionSet {
			operator: account,
			name: introduction.name.into_inner(),
			endpoint: introduction.endpoint.into_inner(),
			text: introduction.text.into_inner(),
		});
		Ok(())
	}

	pub(crate) fn do_stake_more(account: AccountId, amount: Balance) -> DispatchResult {
		let (self_stake, total_stake) = Self::change_stake(&account, |record, stake| {
			ensure!(!record.is_retired(), Error::<T>::OperatorRetired);
			let self_stake = Self::join_pool(&account, &account, stake, amount)?;
			// A pool of a few shares would grow so dear by a reward that votes are rounded away.
			ensure!(self_stake >= T::MinVote::get(), Error::<T>::AmountTooSmall);
			Ok((self_stake, stake.pool.value))
		})?;
		Self::deposit_event(Event::Staked {
			operator: account,
			amount,
			self_stake,
			total_stake,
		});
		Ok(())
	}

	pub(crate) fn do_unstake(account: AccountId, amount: Amount) -> DispatchResult {
		let (paid, self_stake, total_stake) = Self::change_stake(&account, |record, stake| {
			let (paid, self_stake) = Self::leave_pool(&account, &account, stake, amount)?;
			if record.is_retired() {
				Self::ensure_no_dust(self_stake)?;
			} else {
				let minimum = Self::role_params(record.role).min_self_stake;
				ensure!(self_stake > minimum, Error::<T>::SelfStakeTooLow);
			}
			Ok((paid, self_stake, stake.pool.value))
		})?;
		let withdrawable_era = Self::start_unbonding(&account, &account, paid)?;
		Self::deposit_event(Event::Unstaked {
			operator: account,
			amount: paid,
			self_stake,
			total_stake,
			withdrawable_era,
		});
		Ok(())
	}

	pub(crate) fn do_retire(account: AccountId) -> DispatchResult {
		let era = CurrentEra::<T>::get();
		Self::change_stake(&account, |record, _| {
			ensure!(!record.is_retired(), Error::<T>::OperatorRetired);
			if let Some(worker) = record.worker.take() {
				Self::release_worker(&account, worker)?;
			}
			record.retired = Some(era);
			Ok(())
		})?;
		Self::deposit_event(Event::OperatorRetired {
			operator: account,
			era,
		});
		Ok(())
	}

	pub(crate) fn do_set_commission(account: AccountId, rate: Perbill) -> DispatchResult {
		let mut record = Self::serving(&account)?;
		let now = CurrentEra::<T>::get();
		let highest = record
			.commission
			.in_era(now)
			.saturating_add(T::MaxCommissionRaise::get());
		ensure!(rate <= highest, Error::<T>::CommissionRaiseTooLarge);
		record.commission = record.commission.announced(rate, now);
		Operators::<T>::insert(&account, record);
		Self::deposit_event(Event::CommissionSet {
			operator: account,
			commission: rate,
			effective_era: now.saturating_add(1),
		});
		Ok(())
	}

	pub(crate) fn do_reactivate(
		account: AccountId,
		worker: WorkerId,
		signature: WorkerSignature,
	) -> DispatchResult {
		let record = Operators::<T>::get(&account).ok_or(Error::<T>::OperatorNotFound)?;
		ensure!(!record.takes_stake(), Error::<T>::OperatorInService);
		ensure!(!Self::has_pending_slash(&account), Error::<T>::SlashPending);
		Self::ensure_worker_agrees(&account, &worker, &signature)?;
		match record.worker {
			// The key stays, and the proof is used up all the same.
			Some(present) if present == worker => Self::count_worker(&account)?,
			Some(former) => {
				Self::release_worker(&account, former)?;
				Self::bind_worker(&account, worker)?;
			},
			None => Self::bind_worker(&account, worker)?,
		}
		if record.is_suspended() {
			Self::end_offences(&account);
		}
		Self::change_stake(&account, |record, _| {
			record.worker = Some(worker);
			record.retired = None;
			record.suspended = None;
			Ok(())
		})?;
		Self::deposit_event(Event::OperatorReactivated {
			operator: account,
			role: record.role,
			worker,
		});
		Ok(())
	}

	/// Compares an operator with its role's rules of today. Nothing happens to an account that is none.
	pub(crate) fn do_recount(account: &AccountId) -> DispatchResult {
		if Operators::<T>::contains_key(account) {
			let total_stake = Self::change_stake(account, |_, stake| Ok(stake.pool.value))?;
			// Whoever follows the events must learn of what has streamed in.
			Self::deposit_event(Event::Recounted {
				operator: account.clone(),
				total_stake,
			});
		}
		Ok(())
	}

	/// The record of an operator that has not retired.
	fn serving(account: &AccountId) -> Result<Operator, DispatchError> {
		let record = Operators::<T>::get(account).ok_or(Error::<T>::OperatorNotFound)?;
		ensure!(!record.is_retired(), Error::<T>::OperatorRetired);
		Ok(record)
	}

	/// Refuses stake for an operator that is not in service.
	pub(crate) fn ensure_takes_stake(record: &Operator) -> DispatchResult {
		ensure!(!record.is_retired(), Error::<T>::OperatorRetired);
		ensure!(!record.is_suspended(), Error::<T>::OperatorSuspended);
		Ok(())
	}

	/// Changes an operator's record or stake, and then brings everything that follows from them up to
	/// date. What has streamed into the pool by now is in it before the change. Nothing else writes
	/// [`Pools`], [`Streams`] or [`Operator::counted`].
	pub(crate) fn change_stake<R>(
		account: &AccountId,
		change: impl FnOnce(&mut Operator, &mut Stake) -> Result<R, DispatchError>,
	) -> Result<R, DispatchError> {
		let mut record = Operators::<T>::get(account).ok_or(Error::<T>::OperatorNotFound)?;
		let before = Self::stored_stake(account);
		let mut stake = before;
		stake
			.release(Self::block_number())
			.map_err(Error::<T>::from)?;
		let result = change(&mut record, &mut stake)?;
		Pools::<T>::insert(account, stake.pool);
		if stake.stream.amount > 0 {
			Streams::<T>::insert(account, stake.stream);
		} else if before.stream.amount > 0 {
			Streams::<T>::remove(account);
		}
		Self::count(account, &mut record, &stake.pool)?;
		Operators::<T>::insert(account, record);
		Ok(result)
	}

	/// An operator's stake as it was last written.
	pub(crate) fn stored_stake(account: &AccountId) -> Stake {
		Stake {
			pool: Pools::<T>::get(account),
			stream: Streams::<T>::get(account),
		}
	}

	/// An operator's stake at the present block.
	pub(crate) fn stake_now(account: &AccountId) -> Stake {
		Self::stored_stake(account).at(Self::block_number())
	}

	/// Decides whether an operator is active and with which stake it counts. The one setter of
	/// [`Totals`], [`ByStake`] and [`Operator::counted`].
	fn count(account: &AccountId, record: &mut Operator, pool: &Pool) -> DispatchResult {
		record.minimum = Self::role_params(record.role).min_self_stake;
		let active = record.takes_stake() && Self::self_stake(account, pool) > record.minimum;
		let before = record.counted;
		let after = active.then_some(pool.value);
		if before == after {
			return Ok(());
		}
		let totals = Totals::<T>::get(record.role)
			.replaced(before, after)
			.ok_or(ArithmeticError::Overflow)?;
		Totals::<T>::insert(record.role, totals);
		if is_sorted(record.role) {
			if let Some(stake) = before {
				ByStake::<T>::remove((record.role, DescendingStake::from(stake), account));
			}
			if let Some(stake) = after {
				ByStake::<T>::insert((record.role, DescendingStake::from(stake), account), ());
			}
		}
		record.counted = after;
		let (operator, role) = (account.clone(), record.role);
		match (before, after) {
			(None, Some(total_stake)) => Self::deposit_event(Event::OperatorActivated {
				operator,
				role,
				total_stake,
			}),
			(Some(_), None) => Self::deposit_event(Event::OperatorDeactivated { operator, role }),
			_ => (),
		}
		Ok(())
	}

	/// What an operator has in its own pool.
	pub(crate) fn self_stake(account: &AccountId, pool: &Pool) -> Balance {
		Positions::<T>::get(account, account)
			.unwrap_or_default()
			.value_in(pool)
	}

	/// Refuses unless the worker key has signed that it acts for this operator, on this chain, this
	/// time.
	pub(crate) fn ensure_worker_agrees(
		account: &AccountId,
		worker: &WorkerId,
		signature: &WorkerSignature,
	) -> DispatchResult {
		let genesis = Self::genesis_hash();
		let proof = WorkerProof {
			operator: account.clone(),
			nonce: WorkerNonces::<T>::get(account),
		};
		let message = signing_bytes(&genesis, &proof);
		ensure!(
			sp_io::crypto::sr25519_verify(signature, &message, worker),
			Error::<T>::WorkerProofInvalid
		);
		Ok(())
	}

	/// The hash of block 0, which the system pallet never prunes.
	pub(crate) fn genesis_hash() -> H256 {
		frame_system::Pallet::<T>::block_hash(
			frame_system::pallet_prelude::BlockNumberFor::<T>::default(),
		)
	}

	/// Makes a key the operator's worker.
	pub(crate) fn bind_worker(account: &AccountId, worker: WorkerId) -> DispatchResult {
		let now = Self::moment();
		let mut since = now.block;
		Self::forget_old_workers(account);
		if let Some(owner) = WorkerOwners::<T>::get(worker) {
			let released = owner.released.ok_or(Error::<T>::WorkerAlreadyExists)?;
			if owner.operator == *account {
				// It answers for all that the key has signed since it had it first.
				since = owner.since;
			} else {
				ensure!(
					Self::is_past(released.era, now.era),
					Error::<T>::WorkerAlreadyExists
				);
			}
			ReleasedWorkers::<T>::mutate(&owner.operator, |workers| {
				workers.retain(|released| *released != worker)
			});
		}
		// There must be room for it on the day it is let go of.
		ensure!(
			ReleasedWorkers::<T>::decode_len(account).unwrap_or_default()
				< MAX_RELEASED_WORKERS as usize,
			Error::<T>::MaxReleasedWorkersExceeded
		);
		WorkerOwners::<T>::insert(
			worker,
			WorkerOwner {
				operator: account.clone(),
				since,
				released: None,
			},
		);
		Self::count_worker(account)
	}

	/// Counts a proof as used.
	fn count_worker(account: &AccountId) -> DispatchResult {
		WorkerNonces::<T>::try_mutate(account, |nonce| {
			*nonce = nonce.checked_add(1).ok_or(ArithmeticError::Overflow)?;
			Ok(())
		})
	}

	/// Lets go of the operator's worker. The key stays on record, and out of others' reach, for the
	/// unbonding time.
	pub(crate) fn release_worker(account: &AccountId, worker: WorkerId) -> DispatchResult {
		WorkerOwners::<T>::mutate(worker, |owner| {
			if let Some(owner) = owner {
				owner.released = Some(Self::moment());
			}
		});
		ReleasedWorkers::<T>::try_mutate(account, |workers| workers.try_push(worker))
			.map_err(|_| Error::<T>::MaxReleasedWorkersExceeded)?;
		Ok(())
	}

	/// Removes the operator's former workers that are past the unbonding time from the record.
	fn forget_old_workers(account: &AccountId) {
		let now = CurrentEra::<T>::get();
		ReleasedWorkers::<T>::mutate(account, |workers| {
			workers.retain(|worker| {
				let kept = WorkerOwners::<T>::get(worker)
					.and_then(|owner| owner.released)
					.is_some_and(|released| !Self::is_past(released.era, now));
				if !kept {
					WorkerOwners::<T>::remove(worker);
				}
				kept
			})
		});
	}

	/// Checks an introduction's lengths and that people can read it.
	pub(crate) fn checked_introduction(
		input: IntroductionInput,
	) -> Result<Introduction<T>, DispatchError> {
		let introduction = Introduction::<T> {
			name: input
				.name
				.try_into()
				.map_err(|_| Error::<T>::MaxNameLenExceeded)?,
			endpoint: input
				.endpoint
				.try_into()
				.map_err(|_| Error::<T>::MaxEndpointLenExceeded)?,
			text: input
				.text
				.try_into()
				.map_err(|_| Error::<T>::MaxTextLenExceeded)?,
		};
		ensure!(introduction.is_text(), Error::<T>::IntroductionNotText);
		Ok(introduction)
	}
}
