//! Miners' vouchers on chain: claimed where a settlement does not do it, and proof against a
//! settlement that is short.

use codec::Encode;
use cuckoo_primitives::{
	sum_tree::{proven_amount, PlacedLeaf},
	voucher::MinerVoucher,
	weight_tree::Node,
	AccountId, Role, WorkerId, WorkerSignature, H256,
};
use frame_support::pallet_prelude::*;
use pallet_cuckoo_staking::OperatorAccess;
use sp_io::hashing::blake2_256;

use crate::{Allotments, Config, Error, Event, Pallet, Settlements};

/// Keeps the names of offences apart from hashes of anything else.
const SHORT: &str = "cuckoo/offence/short-settlement/1";

impl<T: Config> Pallet<T> {
	pub(crate) fn do_claim_voucher(
		worker: WorkerId,
		voucher: MinerVoucher,
		signature: WorkerSignature,
	) -> DispatchResult {
		let (now, windows) = (T::Operators::era(), Self::windows());
		ensure!(
			windows.is_past_posting(voucher.era, now),
			Error::<T>::ClaimTooEarly
		);
		ensure!(
			!windows.is_past_claiming(voucher.era, now),
			Error::<T>::ClaimTooLate
		);
		let MinerVoucher {
			coordinator,
			miner,
			era,
			cumulative,
		} = &voucher;
		let mut allotment = Allotments::<T>::get(coordinator, miner)
			.filter(|allotment| allotment.since <= *era)
			.ok_or(Error::<T>::AllotmentNotFound)?;
		Self::ensure_coordinators(&worker, &voucher, &signature)?;
		let due = cumulative.saturating_sub(allotment.paid_for(*era));
		ensure!(due > 0, Error::<T>::VoucherUsed);
		let amount = due.min(allotment.amount);
		ensure!(amount > 0, Error::<T>::AllotmentEmpty);
		// A settlement has paid the levy on its sum, and on no more.
		let levy = match Settlements::<T>::get(coordinator, era) {
			Some(mut settlement) => {
				let beyond = settlement.beyond();
				settlement.by_voucher = settlement.by_voucher.saturating_add(amount);
				let levy = Self::levy_beyond(beyond, &settlement)?;
				Settlements::<T>::insert(coordinator, era, settlement);
				levy
			},
			None => Self::levy_on(amount)?,
		};
		allotment.amount -= amount;
		allotment
			.note_paid(*era, amount, windows.first_open(now))
			.ok_or(Error::<T>::AmountTooLarge)?;
		Self::deposit_event(Event::VoucherClaimed {
			coordinator: coordinator.clone(),
			era: *era,
			miner: miner.clone(),
			amount,
			allotment: allotment.amount,
		});
		Allotments::<T>::insert(coordinator, miner, allotment);
		Self::pay_operator(miner, Self::take_out(amount)?, 0)
			.map_err(|_| Error::<T>::PayoutRefused)?;
		Self::change_reserve(coordinator, |reserve| {
			reserve
				.pay_allotted(amount, levy)
				.ok_or(Error::<T>::ReserveTooLow)
		})?;
		Ok(())
	}

	pub(crate) fn do_report_short(
		reporter: AccountId,
		worker: WorkerId,
		voucher: MinerVoucher,
		signature: WorkerSignature,
		leaves: &[PlacedLeaf],
		siblings: &[Node],
	) -> DispatchResult {
		let settlement = Self::open_settlement(&voucher.coordinator, voucher.era)?;
		Self::ensure_coordinators(&worker, &voucher, &signature)?;
		let MinerVoucher {
			coordinator,
			miner,
			era,
			cumulative,
		} = voucher;
		Self::ensure_proven(&coordinator, era, &settlement, leaves, siblings)?;
		let posted = proven_amount(settlement.root.leaves, leaves, &miner)
			.filter(|posted| *posted < cumulative)
			.ok_or(Error::<T>::NotShort)?;
		Self::deposit_event(Event::ShortSettlementProven {
			coordinator: coordinator.clone(),
			era,
			miner,
			posted,
			signed: cumulative,
		});
		// One name for the era: what governance has cancelled is not begun again by the next miner.
		let proof: H256 = blake2_256(&(SHORT, &coordinator, era).encode()).into();
		T::Operators::report_offence(&coordinator, Role::Coordinator, era, reporter, proof)
	}

	/// Refuses a voucher that no worker of the coordinator in it has signed, or one that it had let go of
	/// by then.
	fn ensure_coordinators(
		worker: &WorkerId,
		voucher: &MinerVoucher,
		signature: &WorkerSignature,
	) -> DispatchResult {
		ensure!(
			T::Operators::worker_owner(worker, voucher.era).as_ref() == Some(&voucher.coordinator),
			Error::<T>::WorkerNotCoordinators
		);
		Self::ensure_signed_by(worker, voucher, signature)
	}
}
