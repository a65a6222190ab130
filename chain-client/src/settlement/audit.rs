//! What moved in a block, and what the whole pot holds: for who wants to add everything up.

use super::SettlementAt;
use crate::{
	error::Error,
	runtime::{settlement::events, storage},
	snapshot::cannot_read,
};
use cuckoo_primitives::{voucher::ChannelId, AccountId, Balance, EraIndex};
use subxt::utils::Static;

/// Money that moved.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Moved {
	/// From a channel into its coordinator's reserve.
	Redeemed {
		/// The channel.
		channel: ChannelId,
		/// How much.
		amount: Balance,
	},
	/// From the coordinator's account into its reserve.
	Funded(Balance),
	/// From the reserve to the coordinator's account.
	Withdrawn(Balance),
	/// Out of the reserve, for an era.
	Settled {
		/// The era.
		era: EraIndex,
		/// What its miners are owed.
		owed: Balance,
		/// What was taken for that.
		fee: Balance,
	},
	/// To a miner by its leaf.
	LeafPaid {
		/// The era.
		era: EraIndex,
		/// The miner.
		miner: AccountId,
		/// What was paid in for it.
		amount: Balance,
		/// What was issued on top.
		emission: Balance,
		/// Back into the reserve, as the miner's allotment: what it had by a voucher.
		restored: Balance,
	},
	/// To a miner by its voucher, out of its allotment.
	VoucherPaid {
		/// The era.
		era: EraIndex,
		/// The miner.
		miner: AccountId,
		/// How much.
		amount: Balance,
	},
	/// Out of the reserve, for the levies of vouchers that were claimed.
	Burned(Balance),
	/// Back into the reserve: what nobody claimed of an era.
	Unclaimed {
		/// The era.
		era: EraIndex,
		/// How much.
		amount: Balance,
	},
}

/// All that the pot owes, counted one by one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Pot {
	/// What the pallet says that it is.
	pub held: Balance,
	/// What is left in channels, with their storage deposits.
	pub channels: Balance,
	/// What is in reserves.
	pub reserves: Balance,
	/// What is not claimed of settled eras.
	pub unclaimed: Balance,
}

impl Pot {
	/// Whether all of it adds up to what the pallet says.
	pub fn adds_up(&self) -> bool {
		let parts = [self.channels, self.reserves, self.unclaimed];
		let sum = parts
			.into_iter()
			.try_fold(0, |sum: Balance, part| sum.checked_add(part));
		sum == Some(self.held)
	}
}

impl SettlementAt {
	/// The money of this coordinator that moved in this very block, in order.
	pub async fn moved(&self, coordinator: &AccountId) -> Result<Vec<Moved>, Error> {
		const WHAT: &str = "a block's events";
		let found = self.at.events().fetch().await.map_err(cannot_read(WHAT))?;
		let own = |of: &Static<AccountId>| of.0 == *coordinator;
		let mut moved = Vec::new();
		for event in found.iter() {
			let event = event.map_err(cannot_read(WHAT))?;
			if event.pallet_name() != "Settlement" {
				continue;
			}
			macro_rules! take {
				($kind:ident as $it:ident => $moved:expr) => {
					if let Some(decoded) = event.decode_fields_as::<events::$kind>() {
						let $it = decoded.map_err(cannot_read(WHAT))?;
						if own(&$it.coordinator) {
							moved.push($moved);
						}
						continue;
					}
				};
			}
			take!(VoucherRedeemed as it => Moved::Redeemed {
				channel: it.channel,
				amount: it.amount,
			});
			take!(ReserveFunded as it => Moved::Funded(it.amount));
			take!(ReserveWithdrawn as it => Moved::Withdrawn(it.amount));
			take!(EraSettled as it => Moved::Settled {
				era: it.era,
				owed: it.root.0.node.sum,
				fee: it.split.fee,
			});
			take!(LeafClaimed as it => Moved::LeafPaid {
				era: it.era,
				miner: it.miner.0,
				amount: it.amount,
				emission: it.emission,
				restored: it.restored,
			});
			take!(VoucherClaimed as it => Moved::VoucherPaid {
				era: it.era,
				miner: it.miner.0,
				amount: it.amount,
			});
			take!(OwedPaid as it => Moved::Burned(it.amount));
			take!(EraCleaned as it => Moved::Unclaimed {
				era: it.era,
				amount: it.unclaimed,
			});
		}
		Ok(moved)
	}

	/// All that the pot owes. Reads every channel, reserve and settlement.
	pub async fn pot(&self) -> Result<Pot, Error> {
		const WHAT: &str = "all that settlement holds";
		let (read, all) = (self.at.storage(), storage().settlement());
		let held = read
			.fetch(all.held(), ())
			.await
			.map_err(cannot_read(WHAT))?;
		let mut pot = Pot {
			held: held.decode().map_err(cannot_read(WHAT))?,
			..Pot::default()
		};
		let mut channels = read
			.iter(all.channels(), ())
			.await
			.map_err(cannot_read(WHAT))?;
		while let Some(entry) = channels.next().await {
			let entry = entry.map_err(cannot_read(WHAT))?;
			let channel = entry.value().decode().map_err(cannot_read(WHAT))?;
			pot.channels += channel.deposit - channel.redeemed + channel.bond;
		}
		let mut reserves = read
			.iter(all.reserves(), ())
			.await
			.map_err(cannot_read(WHAT))?;
		while let Some(entry) = reserves.next().await {
			let entry = entry.map_err(cannot_read(WHAT))?;
			pot.reserves += entry.value().decode().map_err(cannot_read(WHAT))?.balance;
		}
		let mut settled = read
			.iter(all.settlements(), ())
			.await
			.map_err(cannot_read(WHAT))?;
		while let Some(entry) = settled.next().await {
			let entry = entry.map_err(cannot_read(WHAT))?;
			let settlement = entry.value().decode().map_err(cannot_read(WHAT))?;
			pot.unclaimed += settlement.root.0.node.sum - settlement.claimed;
		}
		Ok(pot)
	}
}
