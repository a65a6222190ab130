//! Sessions, eras, and who validates. The session pallet tells when a session starts; an era is a
//! fixed number of them.

use alloc::vec::Vec;
use cuckoo_primitives::{AccountId, BlockNumber, EraIndex, Role};
use frame_support::traits::{Get, ValidatorRegistration};
use pallet_session::SessionManager;
use sp_runtime::{Perbill, SaturatedConversion};
use sp_staking::{offence::OffenceSeverity, SessionIndex};

use crate::{
	election::{elect, Seats},
	types::{EraStartedAt, Moment},
	ByStake, Config, CurrentEra, Event, Pallet, RecentEras, ValidatorParameters,
};

/// What staking asks of the session pallet and tells it.
pub trait SessionAccess {
	/// Who validates in the present session.
	fn validators() -> Vec<AccountId>;

	/// Whether the account has session keys.
	fn has_keys(account: &AccountId) -> bool;

	/// A validator has committed an offence: it may be disabled for the rest of the session.
	fn report_offence(validator: &AccountId, severity: Perbill);
}

/// The session pallet of the runtime `R`.
pub struct SessionOf<R>(core::marker::PhantomData<R>);

impl<R: pallet_session::Config<ValidatorId = AccountId>> SessionAccess for SessionOf<R> {
	fn validators() -> Vec<AccountId> {
		pallet_session::Pallet::<R>::validators()
	}

	fn has_keys(account: &AccountId) -> bool {
		pallet_session::Pallet::<R>::is_registered(account)
	}

	fn report_offence(validator: &AccountId, severity: Perbill) {
		pallet_session::Pallet::<R>::report_offence(validator.clone(), OffenceSeverity(severity));
	}
}

/// How many places of the order by stake an election looks at for each seat: validators without keys
/// take none, and must not make an election long either.
const LOOKED_AT_PER_SEAT: usize = 4;

impl<T: Config> Pallet<T> {
	/// The block now.
	pub(crate) fn block_number() -> BlockNumber {
		frame_system::Pallet::<T>::block_number().saturated_into()
	}

	/// The era and the block now.
	pub(crate) fn moment() -> Moment {
		Moment {
			era: CurrentEra::<T>::get(),
			block: Self::block_number(),
		}
	}

	/// Begins the next era when the present one has had its sessions.
	fn advance_era(session: SessionIndex) {
		let start = RecentEras::<T>::get().last().copied().unwrap_or_default();
		if session.saturating_sub(start.session) < T::SessionsPerEra::get() {
			return;
		}
		Self::pay_validators();
		let era = CurrentEra::<T>::get().saturating_add(1);
		CurrentEra::<T>::put(era);
		RecentEras::<T>::mutate(|eras| {
			eras.retain(|past| Self::is_reportable(past.era, era));
			let start = EraStartedAt {
				era,
				session,
				block: Self::block_number(),
			};
			// The bound is larger than the window, which `integrity_test` asserts.
			if eras.try_push(start).is_err() {
				frame_support::defensive!("there is no room for an era's beginning");
			}
		});
		Self::deposit_event(Event::EraStarted { era, session });
	}

	/// The era that a block was in, if evidence of it still counts.
	pub(crate) fn era_of_block(block: BlockNumber) -> Option<EraIndex> {
		Self::era_that(|start| start.block <= block)
	}

	/// The era that a session was in, if evidence of it still counts.
	pub(crate) fn era_of_session(session: SessionIndex) -> Option<EraIndex> {
		Self::era_that(|start| start.session <= session)
	}

	/// The last era whose beginning fits.
	fn era_that(fits: impl Fn(&EraStartedAt) -> bool) -> Option<EraIndex> {
		RecentEras::<T>::get()
			.iter()
			.rev()
			.find(|start| fits(start))
			.map(|start| start.era)
	}

	fn seats() -> Seats {
		let params = ValidatorParameters::<T>::get();
		let most = params.seats.min(T::MaxValidators::get());
		Seats {
			most: most as usize,
			floor: params.floor.min(most) as usize,
		}
	}

	/// The active validators, most stake first.
	fn active_validators() -> impl Iterator<Item = AccountId> {
		ByStake::<T>::iter_key_prefix((Role::Validator,)).map(|(_, account)| account)
	}

	/// The first validators; `None` when there are none, or when the session pallet is built before
	/// this one: it then takes the accounts that have session keys.
	fn genesis_validators() -> Option<Vec<AccountId>> {
		let validators: Vec<AccountId> =
			Self::active_validators().take(Self::seats().most).collect();
		(!validators.is_empty()).then_some(validators)
	}
}

impl<T: Config> SessionManager<AccountId> for Pallet<T> {
	/// The active validators with the most stake that have session keys; `None` where the present
	/// ones stay.
	fn new_session(session: SessionIndex) -> Option<Vec<AccountId>> {
		let seats = Self::seats();
		let candidates = Self::active_validators()
			.take(seats.most.saturating_mul(LOOKED_AT_PER_SEAT))
			.filter(T::Session::has_keys);
		let incumbents = T::Session::validators();
		let elected = elect(candidates, &incumbents, T::Session::has_keys, seats)?;
		Self::deposit_event(Event::ValidatorsElected {
			session,
			validators: elected.clone(),
		});
		Some(elected)
	}

	fn new_session_genesis(_: SessionIndex) -> Option<Vec<AccountId>> {
		Self::genesis_validators()
	}

	fn start_session(session: SessionIndex) {
		Self::advance_era(session);
	}

	fn end_session(_: SessionIndex) {}
}
