//! Sessions and eras. The session pallet tells when a session starts; an era is a fixed number of
//! them.
//!
//! The set of validators is the one of genesis and does not change: there is no election yet, so
//! [`SessionManager::new_session`] never returns a new one.

use alloc::vec::Vec;
use cuckoo_primitives::{AccountId, Role};
use frame_support::traits::Get;
use pallet_session::SessionManager;
use sp_staking::SessionIndex;

use crate::{ByStake, Config, CurrentEra, EraStart, Event, Pallet};

impl<T: Config> Pallet<T> {
	/// Begins the next era when the present one has had its sessions.
	fn advance_era(session: SessionIndex) {
		let in_era = session.saturating_sub(EraStart::<T>::get());
		if in_era < T::SessionsPerEra::get() {
			return;
		}
		let era = CurrentEra::<T>::get().saturating_add(1);
		CurrentEra::<T>::put(era);
		EraStart::<T>::put(session);
		Self::deposit_event(Event::EraStarted { era, session });
	}

	/// The active validators, most stake first; `None` when there are none, or when the session
	/// pallet is built before this one: it then takes the accounts that have session keys.
	fn genesis_validators() -> Option<Vec<AccountId>> {
		let validators: Vec<AccountId> = ByStake::<T>::iter_key_prefix((Role::Validator,))
			.map(|(_, account)| account)
			.collect();
		(!validators.is_empty()).then_some(validators)
	}
}

impl<T: Config> SessionManager<AccountId> for Pallet<T> {
	/// Never: the set stays the one of genesis.
	fn new_session(_: SessionIndex) -> Option<Vec<AccountId>> {
		None
	}

	fn new_session_genesis(_: SessionIndex) -> Option<Vec<AccountId>> {
		Self::genesis_validators()
	}

	fn start_session(session: SessionIndex) {
		Self::advance_era(session);
	}

	fn end_session(_: SessionIndex) {}
}
