//! Keeps the roots of past validator sets, against which evidence about past sessions is checked.

use crate::{constants::REPORTABLE_SESSIONS, AccountId, Historical, Runtime, Session};
use alloc::vec::Vec;
use core::marker::PhantomData;
use pallet_session::{
	historical::{self, HistoricalSessions},
	DisabledValidators, NextKeys, QueuedKeys, SessionManager,
};
use sp_staking::SessionIndex;

/// Puts the identification that the session's history asks for beside the validators that `Inner`
/// chooses, and lets history go that is too old for any report.
pub struct PastValidators<Inner>(PhantomData<Inner>);

/// Whether the root of the session before `new_index` does not hold for the same validators with the
/// keys that they have set by now.
fn needs_new_root(new_index: SessionIndex) -> bool {
	let no_root = HistoricalSessions::<Runtime>::get(new_index.saturating_sub(1)).is_none();
	no_root
		|| QueuedKeys::<Runtime>::get()
			.into_iter()
			.any(|(validator, keys)| NextKeys::<Runtime>::get(validator) != Some(keys))
}

/// Whether somebody is disabled in a set of validators that nothing else is about to change. The session
/// pallet clears that list only when a set is named, also the same again: a validator that has come back to
/// service after an offence would author no block any more.
fn needs_clearing() -> bool {
	!DisabledValidators::<Runtime>::get().is_empty()
}

fn identified(validators: Vec<AccountId>) -> Vec<(AccountId, ())> {
	validators
		.into_iter()
		.map(|validator| (validator, ()))
		.collect()
}

impl<Inner: SessionManager<AccountId>> SessionManager<AccountId> for PastValidators<Inner> {
	fn new_session(new_index: SessionIndex) -> Option<Vec<AccountId>> {
		Inner::new_session(new_index)
	}

	fn new_session_genesis(new_index: SessionIndex) -> Option<Vec<AccountId>> {
		Inner::new_session_genesis(new_index)
	}

	fn start_session(start_index: SessionIndex) {
		Inner::start_session(start_index)
	}

	fn end_session(end_index: SessionIndex) {
		Inner::end_session(end_index)
	}
}

impl<Inner: SessionManager<AccountId>> historical::SessionManager<AccountId, ()>
	for PastValidators<Inner>
{
	/// Where `Inner` leaves the validators as they are, a session takes over the root of the one before
	/// it. That root is of no use where there is none yet (the first sessions after genesis) or where
	/// a validator has changed its keys: there the same validators are named again, for a new root. So
	/// they are while one of them is disabled, which is for the rest of the session and the next.
	/// Named at every session, GRANDPA would change its set each time for nothing.
	fn new_session(new_index: SessionIndex) -> Option<Vec<(AccountId, ())>> {
		Inner::new_session(new_index)
			.or_else(|| (needs_new_root(new_index) || needs_clearing()).then(Session::validators))
			.map(identified)
	}

	/// `None` leaves it to the session keys in genesis.
	fn new_session_genesis(new_index: SessionIndex) -> Option<Vec<(AccountId, ())>> {
		Inner::new_session_genesis(new_index).map(identified)
	}

	fn start_session(start_index: SessionIndex) {
		Inner::start_session(start_index)
	}

	fn end_session(end_index: SessionIndex) {
		Inner::end_session(end_index);
		let present = end_index.saturating_add(1);
		if let Some(oldest_reportable) = present.checked_sub(REPORTABLE_SESSIONS) {
			Historical::prune_up_to(oldest_reportable);
		}
	}
}
