//! What other pallets ask of staking about operators, and tell it.

use cuckoo_primitives::{AccountId, EraIndex, Role, WorkerId, H256};
use frame_support::pallet_prelude::*;

use crate::{Config, CurrentEra, Error, Operators, Pallet, WorkerOwners};

/// Operators, as other pallets need to know them.
pub trait OperatorAccess {
	/// The era now.
	fn era() -> EraIndex;

	/// For how many eras after its own an offence can be proven.
	fn evidence_eras() -> EraIndex;

	/// The account's role, if it is an operator, retired or not.
	fn role(account: &AccountId) -> Option<Role>;

	/// Whether the operator is active.
	fn is_active(account: &AccountId) -> bool;

	/// Whose voucher of `era` it is that a key has signed: its owner's, or its former owner's unless it had
	/// let go of the key by then.
	fn worker_owner(worker: &WorkerId, era: EraIndex) -> Option<AccountId>;

	/// An offence that the caller has checked the proof of, committed in this role: suspends the
	/// operator and queues a slash, as for evidence of a worker. `proof` names it, and counts once.
	fn report_offence(
		operator: &AccountId,
		role: Role,
		era: EraIndex,
		reporter: AccountId,
		proof: H256,
	) -> DispatchResult;
}

impl<T: Config> OperatorAccess for Pallet<T> {
	fn era() -> EraIndex {
		CurrentEra::<T>::get()
	}

	fn evidence_eras() -> EraIndex {
		T::EvidenceEras::get()
	}

	fn role(account: &AccountId) -> Option<Role> {
		Operators::<T>::get(account).map(|record| record.role)
	}

	fn is_active(account: &AccountId) -> bool {
		Operators::<T>::get(account).is_some_and(|record| record.is_active())
	}

	fn worker_owner(worker: &WorkerId, era: EraIndex) -> Option<AccountId> {
		WorkerOwners::<T>::get(worker)
			.filter(|owner| owner.answers_in(era))
			.map(|owner| owner.operator)
	}

	fn report_offence(
		operator: &AccountId,
		role: Role,
		era: EraIndex,
		reporter: AccountId,
		proof: H256,
	) -> DispatchResult {
		ensure!(
			Operators::<T>::contains_key(operator),
			Error::<T>::OperatorNotFound
		);
		let fraction = Self::role_params(role).offence_fraction;
		Self::queue_slash(operator, era, fraction, Some(reporter), Some(proof))
	}
}
