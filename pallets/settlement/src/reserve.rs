//! The arithmetic of what a coordinator has put up for its miners.
//!
//! A reserve is a balance, of which a part is **allotted** to miners one by one; the rest is **free**.
//! An allotment backs one miner's vouchers and nothing else: however many vouchers a coordinator signs,
//! to whomever, what is allotted to a miner is there for it. Settlements are paid from what is free.
//!
//! There is no storage and no clock here: the era is given.

use codec::{Decode, Encode, MaxEncodedLen};
use cuckoo_primitives::{Balance, EraIndex};
use frame_support::{traits::ConstU32, BoundedVec};
use scale_info::TypeInfo;

/// Most eras that can be open for claims at once: `integrity_test` asserts that there are fewer.
pub const MAX_OPEN_ERAS: u32 = 64;

/// A coordinator's reserve.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct Reserve {
	/// All of it.
	pub balance: Balance,
	/// What is allotted to miners.
	pub allotted: Balance,
	/// The levies of what miners got beyond what was settled. Taken from what becomes free, before
	/// anything else.
	pub owed: Balance,
}

impl Reserve {
	/// What is not allotted.
	pub fn free(&self) -> Balance {
		self.balance.saturating_sub(self.allotted)
	}

	/// Whether nothing is in it and nothing owed.
	pub fn is_empty(&self) -> bool {
		*self == Reserve::default()
	}

	/// Puts `amount` in; returns how much of what is free is to be burned for what is owed. `None`
	/// when it is no balance.
	#[must_use = "what is returned has to be burned"]
	pub fn put(&mut self, amount: Balance) -> Option<Balance> {
		self.balance = self.balance.checked_add(amount)?;
		Some(self.pay_owed())
	}

	/// Takes `amount` of what is free; `None` when there is less.
	pub fn take(&mut self, amount: Balance) -> Option<()> {
		if amount > self.free() {
			return None;
		}
		self.balance = self.balance.checked_sub(amount)?;
		Some(())
	}

	/// Allots `amount` of what is free; `None` when there is less.
	pub fn allot(&mut self, amount: Balance) -> Option<()> {
		if amount > self.free() {
			return None;
		}
		self.allotted = self.allotted.checked_add(amount)?;
		Some(())
	}

	/// Frees `amount` of what was allotted; returns how much of what is free is to be burned.
	#[must_use = "what is returned has to be burned"]
	pub fn free_up(&mut self, amount: Balance) -> Option<Balance> {
		self.allotted = self.allotted.checked_sub(amount)?;
		Some(self.pay_owed())
	}

	/// Pays `amount` out of an allotment and owes `levy`; returns how much is to be burned of it now.
	#[must_use = "what is returned has to be burned"]
	pub fn pay_allotted(&mut self, amount: Balance, levy: Balance) -> Option<Balance> {
		self.allotted = self.allotted.checked_sub(amount)?;
		self.balance = self.balance.checked_sub(amount)?;
		self.owed = self.owed.saturating_add(levy);
		Some(self.pay_owed())
	}

	/// Puts back `amount` that was paid out of allotments and that leaves cover, and owes `levy`; returns
	/// how much of what is free is to be burned.
	#[must_use = "what is returned has to be burned"]
	pub fn restore(&mut self, amount: Balance, levy: Balance) -> Option<Balance> {
		self.balance = self.balance.checked_add(amount)?;
		self.allotted = self.allotted.checked_add(amount)?;
		self.owed = self.owed.saturating_add(levy);
		Some(self.pay_owed())
	}

	fn pay_owed(&mut self) -> Balance {
		let paid = self.owed.min(self.free());
		self.owed -= paid;
		self.balance -= paid;
		paid
	}
}

/// What of a coordinator's reserve backs one miner's vouchers.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct Allotment {
	/// How much.
	pub amount: Balance,
	/// The era in which it was made: vouchers of earlier eras are not backed by it.
	pub since: EraIndex,
	/// To what it will be lowered, and the first era in which that can be done: no voucher can be
	/// claimed any more then that was signed before it was announced.
	pub lowering: Option<(Balance, EraIndex)>,
	/// What the miner got for eras that are still open, by leaf or by voucher; eras ascend.
	pub paid: BoundedVec<(EraIndex, Balance), ConstU32<MAX_OPEN_ERAS>>,
}

impl Allotment {
	/// A new one.
	pub fn new(since: EraIndex) -> Self {
		Allotment {
			amount: 0,
			since,
			lowering: None,
			paid: BoundedVec::new(),
		}
	}

	/// What the miner got for an era so far.
	pub fn paid_for(&self, era: EraIndex) -> Balance {
		self.paid
			.iter()
			.find(|(paid, _)| *paid == era)
			.map_or(0, |(_, amount)| *amount)
	}

	/// Notes that the miner got `amount` for an era. Eras before `open` are forgotten. `None` when
	/// there is no room, which bounds exclude.
	pub fn note_paid(&mut self, era: EraIndex, amount: Balance, open: EraIndex) -> Option<()> {
		self.forget_before(open);
		match self.paid.binary_search_by_key(&era, |(paid, _)| *paid) {
			Ok(index) => {
				let (_, sum) = self.paid.get_mut(index)?;
				*sum = sum.checked_add(amount)?;
				Some(())
			},
			Err(index) => self.paid.try_insert(index, (era, amount)).ok(),
		}
	}

	/// Forgets what was paid for eras before `open`, which nobody can claim any more.
	pub fn forget_before(&mut self, open: EraIndex) {
		self.paid.retain(|(era, _)| *era >= open);
	}

	/// Lowers it if that was announced and is due by `now`; returns what is freed.
	pub fn lower(&mut self, now: EraIndex) -> Balance {
		match self.lowering {
			Some((target, due)) if now >= due => {
				self.lowering = None;
				// A voucher may have taken it below the target already.
				let freed = self.amount.saturating_sub(target);
				self.amount -= freed;
				freed
			},
			_ => 0,
		}
	}

	/// Whether nothing hangs on it any more.
	pub fn is_done(&self) -> bool {
		self.amount == 0 && self.paid.is_empty()
	}
}
