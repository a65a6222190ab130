//! An app's side of a channel: what it has paid, and the signature for the next task.
//!
//! The channel itself is opened on chain (`settlement.openChannel`, or `SettlementCall::OpenChannel` of
//! `cuckoo-chain-client`), with this key as its signer.
//!
//! ```
//! use cuckoo_coordinator_api::{channel::ChannelSigner, Amount};
//! # use cuckoo_primitives::{AccountId, H256, CUC};
//! # use sp_core::{sr25519, Pair};
//! # let (genesis_hash, coordinator) = (H256::zero(), AccountId::new([1; 32]));
//! # let key = sr25519::Pair::from_seed(&[2; 32]);
//! let mut channel = ChannelSigner::new(genesis_hash, coordinator, 7, 100 * CUC, key);
//! // With each task: what the quote says that it costs.
//! let payment = channel.pay(Amount(2 * CUC)).expect("the deposit covers it");
//! assert_eq!(payment.cumulative, Amount(2 * CUC));
//! // The task came to nothing: the next ones use up what was signed for it.
//! channel.came_to_nothing(Amount(2 * CUC));
//! let payment = channel.pay(Amount(CUC)).expect("the deposit covers it");
//! assert_eq!(payment.cumulative, Amount(2 * CUC));
//! ```

use crate::{
	payment::{ChannelPayment, ChannelStatus},
	Amount,
};
use cuckoo_primitives::{
	signing,
	voucher::{ChannelId, ChannelVoucher},
	AccountId, Balance, H256,
};
use sp_core::sr25519;

/// The channel does not hold enough for a task: top it up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the channel holds {deposit}; with this task {due} would be spent: top it up")]
pub struct ChannelEmpty {
	/// What was put in.
	pub deposit: Amount,
	/// What would be spent.
	pub due: Amount,
}

/// Signs for tasks, one after another. Keep what [`ChannelSigner::signed`] says: it is what the
/// coordinator can redeem at most.
pub struct ChannelSigner {
	genesis_hash: H256,
	coordinator: AccountId,
	channel: ChannelId,
	deposit: Balance,
	key: sr25519::Pair,
	/// The highest voucher signed.
	signed: Balance,
	/// What tasks cost that are done or under way; below `signed` when some came to nothing.
	spent: Balance,
}

impl ChannelSigner {
	/// For a channel from which nothing was paid.
	pub fn new(
		genesis_hash: H256,
		coordinator: AccountId,
		channel: ChannelId,
		deposit: Balance,
		key: sr25519::Pair,
	) -> Self {
		Self {
			genesis_hash,
			coordinator,
			channel,
			deposit,
			key,
			signed: 0,
			spent: 0,
		}
	}

	/// All that the coordinator can redeem.
	pub fn signed(&self) -> Amount {
		Amount(self.signed)
	}

	/// What is left for tasks.
	pub fn left(&self) -> Amount {
		Amount(self.deposit.saturating_sub(self.spent))
	}

	/// Goes on where `channel_status` says that the channel is. It can only say that more was signed: compare
	/// `spent` with your own books if you do not trust the coordinator.
	pub fn resume(&mut self, status: &ChannelStatus) {
		self.deposit = status.deposit.0;
		self.signed = self.signed.max(status.highest.0);
		self.spent = status.spent.0;
	}

	/// Pays for a task of this price. To be sent with the task; if the task is sent again under its
	/// idempotency key, the same payment goes with it.
	pub fn pay(&mut self, price: Amount) -> Result<ChannelPayment, ChannelEmpty> {
		let due = self.spent.saturating_add(price.0);
		if due > self.deposit {
			return Err(ChannelEmpty {
				deposit: Amount(self.deposit),
				due: Amount(due),
			});
		}
		self.spent = due;
		self.signed = self.signed.max(due);
		let voucher = ChannelVoucher {
			coordinator: self.coordinator.clone(),
			channel: self.channel,
			cumulative: self.signed,
		};
		Ok(ChannelPayment {
			channel: self.channel,
			cumulative: Amount(self.signed),
			signature: signing::sign(&self.genesis_hash, &voucher, &self.key),
		})
	}

	/// A task that was paid for was refused, or ended otherwise than done.
	pub fn came_to_nothing(&mut self, price: Amount) {
		self.spent = self.spent.saturating_sub(price.0);
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use cuckoo_primitives::voucher::ChannelLedger;
	use sp_core::Pair;

	const GENESIS: H256 = H256::repeat_byte(1);

	fn signer() -> ChannelSigner {
		let key = sr25519::Pair::from_seed(&[2; 32]);
		ChannelSigner::new(GENESIS, AccountId::new([9; 32]), 7, 100, key)
	}

	#[test]
	fn what_it_signs_the_coordinator_takes() {
		let mut signer = signer();
		let mut ledger = ChannelLedger {
			coordinator: AccountId::new([9; 32]),
			channel: 7,
			deposit: 100,
			highest: 0,
		};
		for price in [30, 0, 50, 20] {
			let payment = signer.pay(Amount(price)).unwrap();
			let voucher = payment.voucher(AccountId::new([9; 32]));
			let key = sr25519::Pair::from_seed(&[2; 32]).public();
			assert!(signing::verify(
				&GENESIS,
				&voucher,
				&payment.signature,
				&key
			));
			assert_eq!(ledger.take(&voucher, price), Ok(()));
		}
		let empty = signer.pay(Amount(1)).unwrap_err();
		assert_eq!((empty.deposit, empty.due), (Amount(100), Amount(101)));
	}

	#[test]
	fn it_goes_on_where_the_coordinator_says() {
		let mut signer = signer();
		signer.pay(Amount(30)).unwrap();
		let mut status = ChannelStatus {
			channel: 7,
			deposit: Amount(200),
			highest: Amount(60),
			spent: Amount(40),
			redeemed: Amount(0),
			closing: false,
		};
		signer.resume(&status);
		assert_eq!(signer.pay(Amount(10)).unwrap().cumulative, Amount(60));
		assert_eq!(signer.pay(Amount(50)).unwrap().cumulative, Amount(100));
		assert_eq!(signer.left(), Amount(100));
		// It cannot take back what was signed.
		status.highest = Amount(0);
		signer.resume(&status);
		assert_eq!(signer.signed(), Amount(100));
	}
}
