//! An app's money: what it has paid in, what is set aside for tasks that have not ended, and what tasks
//! that are done have cost. Pure.

use codec::{Decode, Encode};
use cuckoo_coordinator_api::payment::AccountStatus;
use cuckoo_coordinator_api::Amount;
use cuckoo_primitives::{voucher::ChannelId, Balance};
use std::fmt;

/// In front of a channel's number where payers are written as text. No app's id begins so.
const CHANNEL_PREFIX: &str = "channel-";

/// Who pays for a task.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Payer {
	/// An app with an API key, by its id: from its balance.
	Account(String),
	/// A channel.
	Channel(ChannelId),
}

impl Payer {
	/// From the text that it is stored as.
	pub fn parse(text: &str) -> Option<Self> {
		match text.strip_prefix(CHANNEL_PREFIX) {
			Some(number) => number.parse().ok().map(Self::Channel),
			None => Some(Self::Account(text.to_owned())),
		}
	}
}

impl fmt::Display for Payer {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		match self {
			Self::Account(app) => f.write_str(app),
			Self::Channel(channel) => write!(f, "{CHANNEL_PREFIX}{channel}"),
		}
	}
}

/// How a task is paid for. It never changes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Payment {
	/// By whom.
	pub payer: Payer,
	/// What its miner earns.
	pub pay: Amount,
}

/// What a payer has paid in and what became of it. What is held and spent is never above what was paid in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Encode, Decode)]
pub struct Purse {
	/// What was credited; of a channel, the highest voucher.
	pub paid_in: Balance,
	/// Set aside for tasks that have not ended.
	pub held: Balance,
	/// What tasks have cost that are done.
	pub spent: Balance,
}

/// What a step would make of a purse is impossible: it was not held before, or is no balance.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a purse does not hold what is taken from it")]
pub struct PurseBroken;

impl Purse {
	/// What tasks have cost or will cost.
	pub fn committed(&self) -> Balance {
		self.held.saturating_add(self.spent)
	}

	/// What can still be spent.
	pub fn available(&self) -> Balance {
		self.paid_in.saturating_sub(self.committed())
	}

	/// More was paid in.
	pub fn credit(&mut self, amount: Balance) -> Result<(), PurseBroken> {
		self.paid_in = self.paid_in.checked_add(amount).ok_or(PurseBroken)?;
		Ok(())
	}

	/// A voucher over all that was paid in so far. A lower one than before changes nothing.
	pub fn paid_in_total(&mut self, cumulative: Balance) {
		self.paid_in = self.paid_in.max(cumulative);
	}

	/// Sets a task's price aside. Whether there was enough.
	#[must_use]
	pub fn hold(&mut self, price: Balance) -> bool {
		if self.available() < price {
			return false;
		}
		self.held += price;
		true
	}

	/// The task is done: what was held for it is spent.
	pub fn spend(&mut self, price: Balance) -> Result<(), PurseBroken> {
		self.give_back(price)?;
		self.spent = self.spent.checked_add(price).ok_or(PurseBroken)?;
		Ok(())
	}

	/// The task came to nothing: what was held for it can be spent on others.
	pub fn give_back(&mut self, price: Balance) -> Result<(), PurseBroken> {
		self.held = self.held.checked_sub(price).ok_or(PurseBroken)?;
		Ok(())
	}
}

impl From<Purse> for AccountStatus {
	fn from(purse: Purse) -> Self {
		Self {
			balance: Amount(purse.available()),
			held: Amount(purse.held),
			spent: Amount(purse.spent),
		}
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use proptest::prelude::*;

	#[derive(Clone, Debug)]
	enum Step {
		Credit(u128),
		Total(u128),
		Submit(u128),
		Done(prop::sample::Index),
		Back(prop::sample::Index),
	}

	fn step() -> impl Strategy<Value = Step> {
		prop_oneof![
			1 => (0..100u128).prop_map(Step::Credit),
			1 => (0..1_000u128).prop_map(Step::Total),
			4 => (0..60u128).prop_map(Step::Submit),
			2 => any::<prop::sample::Index>().prop_map(Step::Done),
			2 => any::<prop::sample::Index>().prop_map(Step::Back),
		]
	}

	proptest! {
		/// Whatever happens, what is held is what open tasks cost, what is spent is what the done ones
		/// did, and no more is committed than was paid in.
		#[test]
		fn nothing_is_made_or_lost(steps in prop::collection::vec(step(), 0..120)) {
			let mut purse = Purse::default();
			let (mut open, mut done, mut paid_in) = (Vec::new(), 0u128, 0u128);
			for step in steps {
				match step {
					Step::Credit(amount) => {
						purse.credit(amount).unwrap();
						paid_in += amount;
					},
					Step::Total(total) => {
						purse.paid_in_total(total);
						paid_in = paid_in.max(total);
					},
					Step::Submit(price) => {
						let enough = purse.available() >= price;
						prop_assert_eq!(purse.hold(price), enough);
						if enough {
							open.push(price);
						}
					},
					Step::Done(pick) if !open.is_empty() => {
						let price = open.swap_remove(pick.index(open.len()));
						purse.spend(price).unwrap();
						done += price;
					},
					Step::Back(pick) if !open.is_empty() => {
						let price = open.swap_remove(pick.index(open.len()));
						purse.give_back(price).unwrap();
					},
					_ => {},
				}
				prop_assert_eq!(purse.paid_in, paid_in);
				prop_assert_eq!(purse.held, open.iter().sum::<u128>());
				prop_assert_eq!(purse.spent, done);
				prop_assert_eq!(purse.available() + purse.held + purse.spent, paid_in);
			}
		}
	}

	#[test]
	fn what_is_not_held_cannot_be_taken() {
		let mut purse = Purse {
			paid_in: 9,
			held: 2,
			spent: 0,
		};
		assert_eq!(purse.spend(3), Err(PurseBroken));
		assert_eq!(purse.give_back(3), Err(PurseBroken));
		assert_eq!(
			purse,
			Purse {
				paid_in: 9,
				held: 2,
				spent: 0
			}
		);
	}

	#[test]
	fn payers_are_told_apart_by_their_text() {
		for payer in [Payer::Account("app-1".into()), Payer::Channel(u64::MAX)] {
			assert_eq!(Payer::parse(&payer.to_string()), Some(payer));
		}
		assert_eq!(Payer::parse("channel-x"), None);
	}
}
