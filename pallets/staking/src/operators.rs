//! Operators: their records, their workers, their own stake, and the one place that decides whether
//! they are active and keeps every figure that follows from it.

use cuckoo_primitives::{
	signing::{signing_bytes, WorkerProof},
	AccountId, Balance, Role, WorkerId, WorkerSignature,
};
use frame_support::pallet_prelude::*;
use sp_runtime::{ArithmeticError, Perbill};

use crate::{
	pool::Pool,
	types::{
		Amount, DescendingStake, Introduction, IntroductionInput, Operator, WorkerOwner,
		MAX_RELEASED_WORKERS,
	},
	ByStake, Config, CurrentEra, Error, Event, Introductions, Operators, Pallet, Pools, Positions,
	ReleasedWorkers, RoleMembers, Totals, WorkerNonces, WorkerOwners,
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
		ensure!(
			stake > Self::min_self_stake(role),
			Error::<T>::SelfStakeTooLow
		);
		Self::bind_worker(&account, worker)?;
		let record = Operator {
			role,
			worker: Some(worker),
			commission,
			retired: None,
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
		Self::change_pool(&account, |_, pool| {
			Self::join_pool(&account, &account, pool, stake)
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
		let (self_stake, total_stake) = Self::change_pool(&account, |record, pool| {
			ensure!(!record.is_retired(), Error::<T>::OperatorRetired);
			let self_stake = Self::join_pool(&account, &account, pool, amount)?;
			Ok((self_stake, pool.value))
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
		let (paid, self_stake, total_stake) = Self::change_pool(&account, |record, pool| {
			let (paid, self_stake) = Self::leave_pool(&account, &account, pool, amount)?;
			if record.is_retired() {
				Self::ensure_no_dust(self_stake)?;
			} else {
				let minimum = Self::min_self_stake(record.role);
				ensure!(self_stake > minimum, Error::<T>::SelfStakeTooLow);
			}
			Ok((paid, self_stake, pool.value))
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
		Self::change_pool(&account, |record, _| {
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

	/// The record of an operator that has not retired.
	fn serving(account: &AccountId) -> Result<Operator, DispatchError> {
		let record = Operators::<T>::get(account).ok_or(Error::<T>::OperatorNotFound)?;
		ensure!(!record.is_retired(), Error::<T>::OperatorRetired);
		Ok(record)
	}

	/// Changes an operator's record or pool, and then brings everything that follows from them up to
	/// date. Nothing else writes [`Pools`] or [`Operator::counted`].
	pub(crate) fn change_pool<R>(
		account: &AccountId,
		change: impl FnOnce(&mut Operator, &mut Pool) -> Result<R, DispatchError>,
	) -> Result<R, DispatchError> {
		let mut record = Operators::<T>::get(account).ok_or(Error::<T>::OperatorNotFound)?;
		let mut pool = Pools::<T>::get(account);
		let result = change(&mut record, &mut pool)?;
		Pools::<T>::insert(account, pool);
		Self::recount(account, &mut record, &pool)?;
		Operators::<T>::insert(account, record);
		Ok(result)
	}

	/// Decides whether an operator is active and with which stake it counts. The one setter of
	/// [`Totals`], [`ByStake`] and [`Operator::counted`].
	fn recount(account: &AccountId, record: &mut Operator, pool: &Pool) -> DispatchResult {
		let active = !record.is_retired()
			&& Self::self_stake(account, pool) > Self::min_self_stake(record.role);
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
		// The hash of block 0 is never pruned from the system pallet's storage.
		let genesis = frame_system::Pallet::<T>::block_hash(
			frame_system::pallet_prelude::BlockNumberFor::<T>::default(),
		);
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

	/// Makes a key the operator's worker.
	pub(crate) fn bind_worker(account: &AccountId, worker: WorkerId) -> DispatchResult {
		let now = CurrentEra::<T>::get();
		Self::forget_old_workers(account);
		if let Some(owner) = WorkerOwners::<T>::get(worker) {
			let released = owner.released.ok_or(Error::<T>::WorkerAlreadyExists)?;
			ensure!(
				owner.operator == *account || Self::is_past(released, now),
				Error::<T>::WorkerAlreadyExists
			);
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
				released: None,
			},
		);
		WorkerNonces::<T>::try_mutate(account, |nonce| {
			*nonce = nonce.checked_add(1).ok_or(ArithmeticError::Overflow)?;
			Ok(())
		})
	}

	/// Lets go of the operator's worker. The key stays on record, and out of others' reach, for the
	/// unbonding time.
	fn release_worker(account: &AccountId, worker: WorkerId) -> DispatchResult {
		let now = CurrentEra::<T>::get();
		WorkerOwners::<T>::insert(
			worker,
			WorkerOwner {
				operator: account.clone(),
				released: Some(now),
			},
		);
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
					.is_some_and(|released| !Self::is_past(released, now));
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
