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

	/// Whose worker a key is, or was as long as what it signed is attributable.
	fn worker_owner(worker: &WorkerId) -> Option<AccountId>;

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

	fn worker_owner(worker: &WorkerId) -> Option<AccountId> {
		WorkerOwners::<T>::get(worker).map(|owner| owner.operator)
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
