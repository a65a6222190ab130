//! Changes of the storage's layout, one module a version. `docs/migrations.md` says how they are made
//! and checked.

use cuckoo_primitives::{AccountId, Balance, EraIndex, Role, WorkerId};
use frame_support::{
	migrations::VersionedMigration,
	pallet_prelude::*,
	storage_alias,
	traits::{Get, UncheckedOnRuntimeUpgrade},
	weights::Weight,
};
use pallet_cuckoo_staking_runtime_api::RoleParams;
use sp_runtime::Perbill;
use sp_staking::SessionIndex;

use crate::{
	default_role_params,
	types::{Commission, EraStartedAt, Operator},
	Config, CurrentEra, Operators, Pallet, RecentEras, RoleParameters, ValidatorParameters,
};

/// From version 1, which had neither rewards nor slashes nor elections, to version 2.
pub type V1ToV2<T> =
	VersionedMigration<1, 2, v2::Migration<T>, Pallet<T>, <T as frame_system::Config>::DbWeight>;

/// Version 2: rewards, slashes, elections.
pub mod v2 {
	use super::*;

	/// The storage of version 1 that version 2 has no more, or has in another shape.
	// `storage_alias` makes items that it does not document.
	#[allow(missing_docs)]
	pub mod v1 {
		use super::*;

		/// What a role asked for.
		#[derive(Clone, Encode, Decode)]
		pub struct RoleRules {
			/// An operator's own stake must exceed this.
			pub min_self_stake: Balance,
		}

		/// An operator's record.
		#[derive(Clone, Encode, Decode)]
		pub struct Operator {
			/// What it does.
			pub role: Role,
			/// Its worker key.
			pub worker: Option<WorkerId>,
			/// Its commission.
			pub commission: Perbill,
			/// The era in which it retired.
			pub retired: Option<EraIndex>,
			/// The stake that it counts with.
			pub counted: Option<Balance>,
		}

		/// `role -> rules`.
		#[storage_alias]
		pub type Rules<T: Config> = StorageMap<Pallet<T>, Twox64Concat, Role, RoleRules>;

		/// `() -> session`: where the era began.
		#[storage_alias]
		pub type EraStart<T: Config> = StorageValue<Pallet<T>, SessionIndex, ValueQuery>;
	}

	/// Takes over the roles' minima and the era's beginning, and writes every operator's record anew.
	///
	/// All records in one block: a network of version 1 has at most some thousand operators, which
	/// a block bears. What would take longer has to go in steps, by `pallet-migrations`.
	pub struct Migration<T>(core::marker::PhantomData<T>);

	impl<T: Config> UncheckedOnRuntimeUpgrade for Migration<T> {
		fn on_runtime_upgrade() -> Weight {
			let mut touched: u64 = 0;
			for role in Role::ALL {
				let defaults = default_role_params(role);
				let min_self_stake = v1::Rules::<T>::take(role)
					.map_or(defaults.min_self_stake, |rules| rules.min_self_stake);
				let params = RoleParams {
					min_self_stake,
					..defaults
				};
				RoleParameters::<T>::insert(role, params);
				touched += 1;
			}
			ValidatorParameters::<T>::put(
				pallet_cuckoo_staking_runtime_api::ValidatorParams::default(),
			);
			// The blocks of the present era before this one count to it, or nothing signed in them
			// could be proven.
			let start = EraStartedAt {
				era: CurrentEra::<T>::get(),
				session: v1::EraStart::<T>::take(),
				block: 0,
			};
			RecentEras::<T>::put(BoundedVec::truncate_from(alloc::vec![start]));
			Operators::<T>::translate::<v1::Operator, _>(|_: AccountId, old| {
				touched += 1;
				Some(Operator {
					role: old.role,
					worker: old.worker,
					commission: Commission::new(old.commission),
					retired: old.retired,
					suspended: None,
					minimum: Pallet::<T>::role_params(old.role).min_self_stake,
					counted: old.counted,
				})
			});
			// Each operator or role is read and written, with the parameters of its role; and four
			// values of the pallet.
			T::DbWeight::get().reads_writes(touched.saturating_mul(2) + 2, touched + 4)
		}

		#[cfg(feature = "try-runtime")]
		fn pre_upgrade() -> Result<alloc::vec::Vec<u8>, sp_runtime::TryRuntimeError> {
			let operators = u64::try_from(Operators::<T>::iter_keys().count())
				.map_err(|_| "too many operators")?;
			Ok(operators.encode())
		}

		#[cfg(feature = "try-runtime")]
		fn post_upgrade(state: alloc::vec::Vec<u8>) -> Result<(), sp_runtime::TryRuntimeError> {
			let before =
				u64::decode(&mut &state[..]).map_err(|_| "the count of operators is lost")?;
			let after = Operators::<T>::iter_values().count() as u64;
			ensure!(before == after, "operators were lost");
			ensure!(
				v1::Rules::<T>::iter_keys().next().is_none(),
				"rules of version 1 are left"
			);
			Pallet::<T>::do_try_state()
		}
	}
}
