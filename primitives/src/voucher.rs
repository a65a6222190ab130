//! Vouchers: how tasks are paid without a transaction for each.
//!
//! Both kinds are **cumulative**: a voucher names all that was earned so far, so the highest is worth
//! all that came before it, an old one is worth nothing beside it, and the order in which they arrive
//! does not matter.
//!
//! - An app signs a [`ChannelVoucher`] for each task. The coordinator keeps the highest and redeems it
//!   on chain when it likes.
//! - A coordinator's worker signs a [`MinerVoucher`] for each result. It counts for one era. The
//!   coordinator settles the era with a [`sum_tree`](crate::sum_tree); where it does not, the voucher
//!   itself is claimed.
//!
//! What each side accepts is here too, without storage, network or clock: [`ChannelLedger`] is the
//! coordinator's rule, [`MinerLedger`] the miner's.

use crate::{signing::SignedPayload, AccountId, Balance, EraIndex};
use alloc::collections::BTreeMap;
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use core::fmt;
use scale_info::TypeInfo;

/// Names a channel; counted from 0 on the chain and never used again.
pub type ChannelId = u64;

/// An app pays a coordinator: all that it has paid through the channel so far, this task included.
/// Signed by the key that the channel names.
#[derive(
	Clone, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
#[cfg_attr(feature = "std", derive(serde::Serialize, serde::Deserialize))]
pub struct ChannelVoucher {
	/// The coordinator's operator account.
	pub coordinator: AccountId,
	/// The channel.
	pub channel: ChannelId,
	/// All that the app has paid through it.
	pub cumulative: Balance,
}

impl SignedPayload for ChannelVoucher {
	const DOMAIN: &'static str = "cuckoo/channel-voucher/1";
}

/// A coordinator owes a miner: all that it has earned in the era so far, this task included. Signed
/// by the coordinator's worker.
#[derive(
	Clone, PartialEq, Eq, Debug, Encode, Decode, DecodeWithMemTracking, MaxEncodedLen, TypeInfo,
)]
#[cfg_attr(feature = "std", derive(serde::Serialize, serde::Deserialize))]
pub struct MinerVoucher {
	/// The coordinator's operator account.
	pub coordinator: AccountId,
	/// The miner's operator account.
	pub miner: AccountId,
	/// The chain's era that it counts for, whenever it was signed.
	pub era: EraIndex,
	/// All that the miner has earned in it.
	pub cumulative: Balance,
}

impl SignedPayload for MinerVoucher {
	const DOMAIN: &'static str = "cuckoo/miner-voucher/1";
}

/// Why a voucher is not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum VoucherFault {
	/// It names another coordinator, miner or channel.
	OtherParty,
	/// It is for an era that is neither the present one nor next to it.
	OtherEra,
	/// It does not add what the task costs to what there was: it is an old one, or too low.
	TooLow,
	/// It is above what the channel holds.
	Overdrawn,
}

impl fmt::Display for VoucherFault {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		f.write_str(match self {
			VoucherFault::OtherParty => "the voucher is for somebody else",
			VoucherFault::OtherEra => "the voucher is for an era that is not near the present one",
			VoucherFault::TooLow => "the voucher does not cover the task",
			VoucherFault::Overdrawn => "the voucher is above what the channel holds",
		})
	}
}

impl core::error::Error for VoucherFault {}

/// What a coordinator knows of a channel. The signature is checked before.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct ChannelLedger {
	/// The coordinator itself.
	pub coordinator: AccountId,
	/// The channel.
	pub channel: ChannelId,
	/// What the app has put into it, by the chain.
	pub deposit: Balance,
	/// The highest voucher taken so far.
	pub highest: Balance,
}

impl ChannelLedger {
	/// Whether a voucher pays for a task of this price.
	pub fn check(&self, voucher: &ChannelVoucher, price: Balance) -> Result<(), VoucherFault> {
		if voucher.coordinator != self.coordinator || voucher.channel != self.channel {
			return Err(VoucherFault::OtherParty);
		}
		if voucher.cumulative > self.deposit {
			return Err(VoucherFault::Overdrawn);
		}
		match self.highest.checked_add(price) {
			Some(due) if voucher.cumulative >= due => Ok(()),
			_ => Err(VoucherFault::TooLow),
		}
	}

	/// Takes a voucher, if it pays for a task of this price.
	pub fn take(&mut self, voucher: &ChannelVoucher, price: Balance) -> Result<(), VoucherFault> {
		self.check(voucher, price)?;
		self.highest = voucher.cumulative;
		Ok(())
	}
}

/// What a miner knows of its vouchers from one coordinator. The signature is checked before.
///
/// The miner's risk is at most one task beyond what is guaranteed to it: it stops when a voucher is
/// missing or wrong, and when it [may not work](Self::may_work) because its vouchers that are not
/// settled yet would be above its allotment of the coordinator's reserve.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
pub struct MinerLedger {
	/// The coordinator.
	pub coordinator: AccountId,
	/// The miner itself.
	pub miner: AccountId,
	/// The allotment on chain; the lower one while it is being lowered.
	pub guaranteed: Balance,
	/// The highest voucher of each era that is not settled.
	pub unsettled: BTreeMap<EraIndex, Balance>,
}

impl MinerLedger {
	/// All that is owed and not settled.
	pub fn exposure(&self) -> Balance {
		self.unsettled
			.values()
			.fold(0, |sum: Balance, owed| sum.saturating_add(*owed))
	}

	/// Whether a task that earns `price` would still be covered.
	pub fn may_work(&self, price: Balance) -> bool {
		self.exposure()
			.checked_add(price)
			.is_some_and(|exposure| exposure <= self.guaranteed)
	}

	/// Whether a voucher pays `price` for a task whose result was handed in, where the chain's last
	/// finalized block is of era `now`. One of the two sides may have seen an era's turn that the other
	/// has not, so the eras beside it count as well.
	pub fn check(
		&self,
		voucher: &MinerVoucher,
		price: Balance,
		now: EraIndex,
	) -> Result<(), VoucherFault> {
		if voucher.coordinator != self.coordinator || voucher.miner != self.miner {
			return Err(VoucherFault::OtherParty);
		}
		if voucher.era.abs_diff(now) > 1 {
			return Err(VoucherFault::OtherEra);
		}
		let before = self.unsettled.get(&voucher.era).copied().unwrap_or(0);
		match before.checked_add(price) {
			Some(due) if voucher.cumulative >= due => Ok(()),
			_ => Err(VoucherFault::TooLow),
		}
	}

	/// Takes a voucher, if it pays `price`.
	pub fn take(
		&mut self,
		voucher: &MinerVoucher,
		price: Balance,
		now: EraIndex,
	) -> Result<(), VoucherFault> {
		self.check(voucher, price, now)?;
		self.unsettled.insert(voucher.era, voucher.cumulative);
		Ok(())
	}

	/// Nothing of the era is at risk any more: its leaf is proven under a root that the chain has, or it
	/// was claimed.
	pub fn settled(&mut self, era: EraIndex) {
		self.unsettled.remove(&era);
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	fn account(number: u8) -> AccountId {
		AccountId::new([number; 32])
	}

	fn channel() -> ChannelLedger {
		ChannelLedger {
			coordinator: account(1),
			channel: 7,
			deposit: 100,
			highest: 0,
		}
	}

	fn paid(cumulative: Balance) -> ChannelVoucher {
		ChannelVoucher {
			coordinator: account(1),
			channel: 7,
			cumulative,
		}
	}

	#[test]
	fn a_channel_takes_what_covers_the_task_and_nothing_twice() {
		let mut channel = channel();
		assert_eq!(channel.take(&paid(10), 10), Ok(()));
		assert_eq!(channel.take(&paid(10), 10), Err(VoucherFault::TooLow));
		assert_eq!(channel.take(&paid(19), 10), Err(VoucherFault::TooLow));
		assert_eq!(channel.take(&paid(30), 10), Ok(()));
		// Reordered: it arrives after a higher one.
		assert_eq!(channel.take(&paid(20), 10), Err(VoucherFault::TooLow));
		assert_eq!(channel.take(&paid(101), 10), Err(VoucherFault::Overdrawn));
		assert_eq!(
			channel.take(&paid(100), Balance::MAX),
			Err(VoucherFault::TooLow)
		);
		assert_eq!(channel.highest, 30);
	}

	#[test]
	fn a_channel_takes_no_others_voucher() {
		let mut voucher = paid(10);
		voucher.channel = 8;
		assert_eq!(channel().check(&voucher, 10), Err(VoucherFault::OtherParty));
		let mut voucher = paid(10);
		voucher.coordinator = account(2);
		assert_eq!(channel().check(&voucher, 10), Err(VoucherFault::OtherParty));
	}

	fn ledger() -> MinerLedger {
		MinerLedger {
			coordinator: account(1),
			miner: account(2),
			guaranteed: 100,
			unsettled: BTreeMap::new(),
		}
	}

	fn owed(era: EraIndex, cumulative: Balance) -> MinerVoucher {
		MinerVoucher {
			coordinator: account(1),
			miner: account(2),
			era,
			cumulative,
		}
	}

	#[test]
	fn a_miner_stops_at_its_allotment() {
		let mut ledger = ledger();
		assert_eq!(ledger.take(&owed(5, 60), 60, 5), Ok(()));
		assert_eq!(ledger.take(&owed(6, 30), 30, 6), Ok(()));
		assert!(ledger.may_work(10));
		assert!(!ledger.may_work(11));
		assert!(!ledger.may_work(Balance::MAX));
		ledger.settled(5);
		assert!(ledger.may_work(70));
		assert!(!ledger.may_work(71));
	}

	#[test]
	fn a_miner_takes_no_wrong_voucher() {
		let mut ledger = ledger();
		assert_eq!(ledger.take(&owed(5, 10), 10, 5), Ok(()));
		assert_eq!(ledger.check(&owed(5, 10), 10, 5), Err(VoucherFault::TooLow));
		assert_eq!(ledger.check(&owed(5, 15), 10, 5), Err(VoucherFault::TooLow));
		let mut other = owed(5, 20);
		other.miner = account(3);
		assert_eq!(ledger.check(&other, 10, 5), Err(VoucherFault::OtherParty));
		let mut other = owed(5, 20);
		other.coordinator = account(3);
		assert_eq!(ledger.check(&other, 10, 5), Err(VoucherFault::OtherParty));
	}

	/// The two sides may be an era apart, not more.
	#[test]
	fn eras_beside_the_present_one_count() {
		let ledger = ledger();
		for era in [4, 5, 6] {
			assert_eq!(ledger.check(&owed(era, 10), 10, 5), Ok(()));
		}
		for era in [0, 3, 7, EraIndex::MAX] {
			assert_eq!(
				ledger.check(&owed(era, 10), 10, 5),
				Err(VoucherFault::OtherEra)
			);
		}
	}
}
