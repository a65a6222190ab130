//! Miners that the operator of this coordinator leaves out of the draw. Like [health](crate::health)
//! it costs no stake; unlike health it is kept over restarts and is only ended by time or by hand.

use crate::clock::UnixMs;
use cuckoo_primitives::AccountId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Most bans that are kept.
pub const MAX_BANS: usize = 10_000;

/// One miner's ban.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Ban {
	/// Whose.
	pub account: AccountId,
	/// Since when.
	pub since_ms: UnixMs,
	/// Until when; `None` until it is lifted.
	pub until_ms: Option<UnixMs>,
	/// Why, as the miner is told.
	pub reason: String,
}

impl Ban {
	/// Whether it has not ended by itself.
	pub fn holds(&self, now_ms: UnixMs) -> bool {
		self.until_ms.is_none_or(|until_ms| until_ms > now_ms)
	}

	/// What the miner is told.
	pub fn sentence(&self, now_ms: UnixMs) -> String {
		let time = match self.until_ms {
			Some(until_ms) => {
				let seconds = until_ms.saturating_sub(now_ms).div_ceil(1_000);
				format!("for {seconds} s more")
			},
			None => "until they lift it".into(),
		};
		let reason = if self.reason.is_empty() {
			String::new()
		} else {
			format!(": {}", self.reason)
		};
		format!("banned by the operator of this coordinator {time}{reason}")
	}
}

/// All bans.
#[derive(Clone, Debug, Default)]
pub struct Bans(BTreeMap<AccountId, Ban>);

impl Bans {
	/// As they are stored.
	pub fn new(bans: Vec<Ban>) -> Self {
		Self(
			bans.into_iter()
				.map(|ban| (ban.account.clone(), ban))
				.collect(),
		)
	}

	/// The miner's ban, if one holds.
	pub fn ban(&self, account: &AccountId, now_ms: UnixMs) -> Option<&Ban> {
		self.0.get(account).filter(|ban| ban.holds(now_ms))
	}

	/// Whether there is a place for this account's ban.
	pub fn has_place(&self, account: &AccountId) -> bool {
		self.0.len() < MAX_BANS || self.0.contains_key(account)
	}

	/// Adds a ban, or changes it.
	pub fn insert(&mut self, ban: Ban) {
		self.0.insert(ban.account.clone(), ban);
	}

	/// Lifts a ban.
	pub fn remove(&mut self, account: &AccountId) {
		self.0.remove(account);
	}

	/// Lets go of those that time has ended.
	pub fn forget_ended(&mut self, now_ms: UnixMs) {
		self.0.retain(|_, ban| ban.holds(now_ms));
	}

	/// Those that hold, in account order.
	pub fn holding(&self, now_ms: UnixMs) -> Vec<Ban> {
		self.0
			.values()
			.filter(|ban| ban.holds(now_ms))
			.cloned()
			.collect()
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn bans_end_by_time_or_by_hand() {
		let account = AccountId::new([1; 32]);
		let ban = |until_ms| Ban {
			account: account.clone(),
			since_ms: 0,
			until_ms,
			reason: "it cheats".into(),
		};
		let mut bans = Bans::new(vec![ban(Some(2_500))]);
		let told = bans.ban(&account, 1_000).unwrap().sentence(1_000);
		assert_eq!(
			told,
			"banned by the operator of this coordinator for 2 s more: it cheats"
		);
		assert_eq!(bans.ban(&account, 2_500), None);
		assert_eq!(bans.holding(2_500), vec![]);
		bans.forget_ended(2_499);
		assert!(bans.ban(&account, 2_499).is_some());
		bans.forget_ended(2_500);
		assert_eq!(bans.ban(&account, 2_499), None);
		bans.insert(ban(None));
		let told = bans.ban(&account, u64::MAX).unwrap().sentence(u64::MAX);
		assert!(told.contains("until they lift it: it cheats"), "{told}");
		bans.remove(&account);
		assert_eq!(bans.ban(&account, 0), None);
	}
}
