//! For a chain that runs already when the pallet is put into its runtime.

use frame_support::{pallet_prelude::*, traits::OnRuntimeUpgrade};

use crate::{Config, Pallet, SplitParameters, SplitParams};

/// Does what genesis does: gives the pot its existential deposit and sets how fees are split. Does
/// nothing where that was done. (The storage version cannot tell: a runtime upgrade sets that of a new
/// pallet before its migrations run.)
pub struct Open<T>(core::marker::PhantomData<T>);

impl<T: Config> OnRuntimeUpgrade for Open<T> {
	fn on_runtime_upgrade() -> Weight {
		if SplitParameters::<T>::exists() {
			return T::DbWeight::get().reads(1);
		}
		if Pallet::<T>::open_pot().is_err() {
			frame_support::defensive!("the settlement pot has no existential deposit");
		}
		SplitParameters::<T>::put(SplitParams::default());
		T::DbWeight::get().reads_writes(3, 3)
	}

	#[cfg(feature = "try-runtime")]
	fn post_upgrade(_: alloc::vec::Vec<u8>) -> Result<(), sp_runtime::TryRuntimeError> {
		Pallet::<T>::do_try_state()
	}
}
