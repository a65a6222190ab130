//! What backs the miners' vouchers: how much more each can earn before this coordinator must settle.

use super::Live;
use crate::{clock::UnixMs, store::Earned};
use cuckoo_coordinator_api::Amount;
use cuckoo_primitives::{AccountId, Balance};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What is allotted to the miners and owed to them.
#[derive(Debug, Default)]
pub(super) struct Cover {
	/// Whether there is, or was, a task with pay. Without one none of this is kept up.
	pub(super) active: bool,
	/// What is guaranteed on chain.
	allotted: HashMap<AccountId, Balance>,
	/// What was earned in eras that are not posted.
	owed: HashMap<AccountId, Balance>,
	/// What the cheapest task that waits pays, as of the last look.
	pub(super) least_pay: Balance,
	/// How much more each miner that is eligible can earn: by that, and by miner.
	by_room: BTreeSet<(Balance, AccountId)>,
	room: BTreeMap<AccountId, Balance>,
}

impl Cover {
	/// A task is done: its miner is owed more.
	pub(super) fn earned(&mut self, earned: &Earned, pay: Balance) {
		let owed = self.owed.entry(earned.miner.clone()).or_default();
		*owed = owed.saturating_add(pay);
	}

	/// The eligible miners whose allotment does not cover so much more.
	pub(super) fn below(&self, pay: Balance) -> Vec<AccountId> {
		if pay == 0 {
			return Vec::new();
		}
		let short = self.by_room.iter().take_while(|(room, _)| *room < pay);
		short.map(|(_, miner)| miner.clone()).collect()
	}

	fn note(&mut self, miner: &AccountId, room: Option<Balance>) {
		if self.room.get(miner).copied() == room {
			return;
		}
		if let Some(before) = self.room.remove(miner) {
			self.by_room.remove(&(before, miner.clone()));
		}
		if let Some(room) = room {
			self.room.insert(miner.clone(), room);
			self.by_room.insert((room, miner.clone()));
		}
	}
}

impl Live {
	/// How much more a miner can earn: its allotment, less what it is owed and what it works on.
	fn room(&self, miner: &AccountId) -> Balance {
		let of = |table: &HashMap<AccountId, Balance>| table.get(miner).copied().unwrap_or(0);
		let working = self
			.leases
			.of(miner)
			.into_iter()
			.fold(0, |sum: Balance, task| {
				let lease = self.leases.get(&task);
				sum.saturating_add(lease.map_or(0, |lease| lease.pay))
			});
		of(&self.cover.allotted)
			.saturating_sub(of(&self.cover.owed))
			.saturating_sub(working)
	}

	/// Notes how much more a miner can earn; one that is not eligible needs no place.
	pub(super) fn note_room(&mut self, miner: &AccountId, is_eligible: bool) {
		if !self.cover.active {
			return;
		}
		let room = is_eligible.then(|| self.room(miner));
		self.cover.note(miner, room);
	}

	/// A task with this pay waits: from the first one on it is kept up what backs the miners' vouchers.
	pub(super) fn watch_cover(&mut self, pay: Balance) {
		if self.cover.active || pay == 0 {
			return;
		}
		self.cover.active = true;
		let eligible: Vec<(AccountId, bool)> = self
			.miners
			.iter()
			.map(|(account, miner)| (account.clone(), miner.weight > 0))
			.collect();
		for (miner, is_eligible) in eligible {
			self.note_room(&miner, is_eligible);
		}
	}

	/// That a miner's allotment does not cover any task that waits, as a sentence.
	pub(super) fn lacks_cover(&self, miner: &AccountId) -> Option<String> {
		let pay = self.cover.least_pay;
		if pay == 0 || self.room(miner) >= pay {
			return None;
		}
		let of =
			|table: &HashMap<AccountId, Balance>| Amount(table.get(miner).copied().unwrap_or(0));
		Some(format!(
			"not covered: {} are allotted to it on chain, {} it has earned and was not settled, and the \
			 next task pays {}",
			of(&self.cover.allotted),
			of(&self.cover.owed),
			Amount(pay),
		))
	}

	/// What is guaranteed to these miners by the last finalized block.
	pub fn set_allotted(&mut self, allotted: Vec<(AccountId, Balance)>, now_ms: UnixMs) {
		for (miner, amount) in allotted {
			self.cover.allotted.insert(miner.clone(), amount);
			self.refresh(&miner, now_ms);
		}
	}

	/// What is guaranteed to a miner as of the last look, if there was one.
	pub fn allotted(&self, miner: &AccountId) -> Option<Balance> {
		self.cover.allotted.get(miner).copied()
	}

	/// What is owed to all miners.
	pub fn owed(&self) -> Balance {
		let owed = self.cover.owed.values();
		owed.fold(0, |sum: Balance, owed| sum.saturating_add(*owed))
	}

	/// What miners have earned in eras that are not posted.
	pub fn set_owed(&mut self, earned: &[Earned], now_ms: UnixMs) {
		let mut owed: HashMap<AccountId, Balance> = HashMap::new();
		for earned in earned {
			let sum = owed.entry(earned.miner.clone()).or_default();
			*sum = sum.saturating_add(earned.cumulative);
		}
		let before = std::mem::replace(&mut self.cover.owed, owed);
		let changed = |miner: &AccountId| before.get(miner) != self.cover.owed.get(miner);
		let changed: Vec<AccountId> = self
			.miners
			.keys()
			.filter(|it| changed(it))
			.cloned()
			.collect();
		for miner in changed {
			self.refresh(&miner, now_ms);
		}
	}

	/// The miners that are connected, after this one, in the order of accounts.
	pub fn connected(&self, after: Option<&AccountId>, limit: usize) -> Vec<AccountId> {
		use std::ops::Bound::{Excluded, Unbounded};
		let range = (after.map_or(Unbounded, Excluded), Unbounded);
		let page = self.miners.range::<AccountId, _>(range).take(limit);
		page.map(|(account, _)| account.clone()).collect()
	}
}
