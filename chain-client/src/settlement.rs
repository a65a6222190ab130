//! Settlement: what the chain holds of it at one block, and the calls to it.

mod audit;

pub use audit::{Moved, Pot};

use crate::{
	call::Call,
	error::Error,
	registry::BlockRef,
	runtime::{
		constants, runtime_apis,
		runtime_types::{
			bounded_collections::bounded_vec::BoundedVec, pallet_cuckoo_settlement::split,
		},
		settlement::events::ChannelOpened,
		storage, tx,
	},
	snapshot::{block_ref, cannot_read, AtBlock},
};
use cuckoo_primitives::{
	sum_tree::{Proof, Root},
	voucher::{ChannelId, MinerVoucher},
	AccountId, Balance, BlockNumber, EraIndex, WorkerId, WorkerSignature,
};
use subxt::{
	client::{ClientAtBlock, OfflineClientAtBlockT},
	config::SubstrateConfig,
	utils::Static,
};

/// Leaves whose claims one stored value marks; the pallet's `CHUNK_LEAVES`.
const CHUNK_LEAVES: u32 = 1024;

/// The whole, in parts per billion.
const BILLION: Balance = 1_000_000_000;

/// A transaction to the settlement pallet. Who may send which, and why it can fail, is in
/// `docs/settlement.md`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SettlementCall {
	/// The sender opens a channel to a coordinator.
	OpenChannel {
		/// The coordinator.
		coordinator: AccountId,
		/// The key that will sign vouchers.
		signer: WorkerId,
		/// What is put in.
		amount: Balance,
	},
	/// The sender puts more into its channel.
	TopUp {
		/// The channel.
		channel: ChannelId,
		/// How much.
		amount: Balance,
	},
	/// A channel's voucher is redeemed for its coordinator.
	Redeem {
		/// The channel.
		channel: ChannelId,
		/// What the voucher says.
		cumulative: Balance,
		/// By the channel's key.
		signature: WorkerSignature,
	},
	/// The sender begins to close its channel, or as coordinator closes it at once.
	CloseChannel(ChannelId),
	/// A channel whose time is over is paid back.
	FinishClose(ChannelId),
	/// The coordinator puts its own money into its reserve.
	FundReserve(Balance),
	/// The coordinator takes out what is free in its reserve.
	WithdrawReserve(Balance),
	/// The coordinator sets what backs a miner's vouchers.
	Allot {
		/// The miner.
		miner: AccountId,
		/// How much.
		amount: Balance,
	},
	/// What was announced for an allotment, and is due, is done.
	ReleaseAllotment {
		/// The coordinator.
		coordinator: AccountId,
		/// The miner.
		miner: AccountId,
	},
	/// The coordinator settles an era that is over.
	SettleEra {
		/// The era.
		era: EraIndex,
		/// The tree of what the miners are owed.
		root: Root,
	},
	/// Leaves of a settled era are paid to their miners.
	Claim {
		/// The coordinator.
		coordinator: AccountId,
		/// The era.
		era: EraIndex,
		/// Up to 64 leaves with their proof.
		proof: Proof,
	},
	/// A voucher is paid from its miner's allotment.
	ClaimVoucher {
		/// The coordinator's worker.
		worker: WorkerId,
		/// What it signed.
		voucher: MinerVoucher,
		/// By that worker.
		signature: WorkerSignature,
	},
	/// A settlement is proven to have less than was signed.
	ReportShort {
		/// The coordinator's worker.
		worker: WorkerId,
		/// What it signed.
		voucher: MinerVoucher,
		/// By that worker.
		signature: WorkerSignature,
		/// The miner's leaf, or the two between which it would stand.
		proof: Proof,
	},
	/// An era whose time is over is removed.
	Clean {
		/// The coordinator.
		coordinator: AccountId,
		/// The era.
		era: EraIndex,
		/// How many values with marks are removed at most.
		limit: u32,
	},
}

impl From<SettlementCall> for Call {
	fn from(call: SettlementCall) -> Self {
		Call::Settlement(call)
	}
}

/// An app's money that a coordinator may redeem.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Channel {
	/// Whose money it is.
	pub app: AccountId,
	/// Who may redeem it.
	pub coordinator: AccountId,
	/// The key that signs the vouchers.
	pub signer: WorkerId,
	/// All that was put in.
	pub deposit: Balance,
	/// All that was redeemed.
	pub redeemed: Balance,
	/// Its storage deposit.
	pub bond: Balance,
	/// The last block in which vouchers are taken, once the app is closing it.
	pub closing: Option<BlockNumber>,
}

/// A coordinator's reserve.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Reserve {
	/// All of it.
	pub balance: Balance,
	/// What is allotted to miners.
	pub allotted: Balance,
	/// What is still to be burned of what becomes free.
	pub owed: Balance,
}

impl Reserve {
	/// What is not allotted.
	pub fn free(&self) -> Balance {
		self.balance.saturating_sub(self.allotted)
	}
}

/// What of a reserve backs one miner's vouchers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Allotment {
	/// How much.
	pub amount: Balance,
	/// Vouchers of earlier eras are not backed by it.
	pub since: EraIndex,
	/// To what it will be lowered, and the first era in which it can be.
	pub lowering: Option<(Balance, EraIndex)>,
	/// What the miner got for eras that are still open; eras ascend.
	pub paid: Vec<(EraIndex, Balance)>,
}

impl Allotment {
	/// What a miner can count on for work that it does now: the lower amount once that is announced.
	pub fn guaranteed(&self) -> Balance {
		match self.lowering {
			Some((target, _)) => self.amount.min(target),
			None => self.amount,
		}
	}
}

/// An era of a coordinator that is settled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settlement {
	/// The tree of what the miners are owed.
	pub root: Root,
	/// How much of its sum was claimed.
	pub claimed: Balance,
	/// What is issued on top when all of it is claimed.
	pub emission: Balance,
}

/// How a fee is split, in parts per billion.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Split {
	/// The miners' part.
	pub miner_ppb: u32,
	/// The coordinator's part.
	pub coordinator_ppb: u32,
	/// The audit fund's part.
	pub audit_ppb: u32,
	/// What is burned.
	pub burn_ppb: u32,
	/// What is issued to miners for each unit of a fee.
	pub miner_emission_ppb: u32,
	/// What is issued to the coordinator for each unit of a fee.
	pub coordinator_emission_ppb: u32,
}

impl Split {
	/// The miners' part of what an app pays, rounded down: its [`Split::fee`] is never above `paid`.
	pub fn miners_part(&self, paid: Balance) -> Balance {
		let part = Balance::from(self.miner_ppb);
		let (whole, rest) = (paid / BILLION, paid % BILLION);
		whole * part + rest * part / BILLION
	}

	/// The fee of a settlement that pays the miners this, rounded up, as the pallet computes it. `None`
	/// when it is no balance.
	pub fn fee(&self, miners_part: Balance) -> Option<Balance> {
		let part = Balance::from(self.miner_ppb);
		if part == 0 {
			return None;
		}
		let (whole, rest) = (miners_part / part, miners_part % part);
		let rest = (rest * BILLION).div_ceil(part);
		whole.checked_mul(BILLION)?.checked_add(rest)
	}
}

/// The settlement pallet's constants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SettlementParams {
	/// For how many eras after its own an era can be settled.
	pub post_eras: EraIndex,
	/// For how many eras after its own anything of an era can be claimed.
	pub claim_eras: EraIndex,
	/// For how many blocks vouchers are taken after an app has begun to close a channel.
	pub challenge_blocks: BlockNumber,
	/// The least that a channel is opened with or topped up by.
	pub min_deposit: Balance,
	/// A channel's storage deposit.
	pub channel_bond: Balance,
	/// The least that is allotted to a miner.
	pub min_allotment: Balance,
}

/// What the chain holds of settlement at one finalized block.
#[derive(Debug)]
pub struct SettlementAt {
	at: AtBlock,
}

impl SettlementAt {
	pub(crate) fn new(at: AtBlock) -> Self {
		Self { at }
	}

	/// The block.
	pub fn block(&self) -> Result<BlockRef, Error> {
		block_ref(self.at.block_number(), self.at.block_hash())
	}

	/// The era.
	pub async fn era(&self) -> Result<EraIndex, Error> {
		let call = runtime_apis().staking_api().info();
		let info = self.at.runtime_apis().call(call).await;
		Ok(info.map_err(cannot_read("the era"))?.era)
	}

	/// The pallet's constants.
	pub fn params(&self) -> Result<SettlementParams, Error> {
		let (all, read) = (constants().settlement(), self.at.constants());
		let failed = cannot_read("settlement's constants");
		Ok(SettlementParams {
			post_eras: read.entry(all.post_eras()).map_err(&failed)?,
			claim_eras: read.entry(all.claim_eras()).map_err(&failed)?,
			challenge_blocks: read.entry(all.challenge_blocks()).map_err(&failed)?,
			min_deposit: read.entry(all.min_deposit()).map_err(&failed)?,
			channel_bond: read.entry(all.channel_bond()).map_err(&failed)?,
			min_allotment: read.entry(all.min_allotment()).map_err(&failed)?,
		})
	}

	/// How fees are split.
	pub async fn split(&self) -> Result<Split, Error> {
		const WHAT: &str = "how fees are split";
		let address = storage().settlement().split_parameters();
		let entry = self.at.storage().fetch(address, ()).await;
		let split: split::SplitParams = entry
			.map_err(cannot_read(WHAT))?
			.decode()
			.map_err(cannot_read(WHAT))?;
		Ok(Split {
			miner_ppb: split.miner.0,
			coordinator_ppb: split.coordinator.0,
			audit_ppb: split.audit.0,
			burn_ppb: split.burn.0,
			miner_emission_ppb: split.miner_emission.0,
			coordinator_emission_ppb: split.coordinator_emission.0,
		})
	}

	/// A channel, unless it was closed or never opened.
	pub async fn channel(&self, channel: ChannelId) -> Result<Option<Channel>, Error> {
		const WHAT: &str = "a channel";
		let address = storage().settlement().channels();
		let entry = self.at.storage().try_fetch(address, (channel,)).await;
		let Some(entry) = entry.map_err(cannot_read(WHAT))? else {
			return Ok(None);
		};
		let found = entry.decode().map_err(cannot_read(WHAT))?;
		Ok(Some(Channel {
			app: found.app.0,
			coordinator: found.coordinator.0,
			signer: WorkerId::from_raw(found.signer),
			deposit: found.deposit,
			redeemed: found.redeemed,
			bond: found.bond,
			closing: found.closing,
		}))
	}

	/// The channels that an app has opened in this very block.
	pub async fn opened_by(&self, app: &AccountId) -> Result<Vec<ChannelId>, Error> {
		const WHAT: &str = "a block's events";
		let events = self.at.events().fetch().await.map_err(cannot_read(WHAT))?;
		let mut channels = Vec::new();
		for opened in events.find::<ChannelOpened>() {
			let opened = opened.map_err(cannot_read(WHAT))?;
			if opened.app.0 == *app {
				channels.push(opened.channel);
			}
		}
		Ok(channels)
	}

	/// A coordinator's reserve; nothing where there is none.
	pub async fn reserve(&self, coordinator: &AccountId) -> Result<Reserve, Error> {
		const WHAT: &str = "a reserve";
		let address = storage().settlement().reserves();
		let key = (Static(coordinator.clone()),);
		let entry = self.at.storage().try_fetch(address, key).await;
		let Some(entry) = entry.map_err(cannot_read(WHAT))? else {
			return Ok(Reserve::default());
		};
		let found = entry.decode().map_err(cannot_read(WHAT))?;
		Ok(Reserve {
			balance: found.balance,
			allotted: found.allotted,
			owed: found.owed,
		})
	}

	/// What of a coordinator's reserve backs a miner's vouchers.
	pub async fn allotment(
		&self,
		coordinator: &AccountId,
		miner: &AccountId,
	) -> Result<Option<Allotment>, Error> {
		const WHAT: &str = "an allotment";
		let address = storage().settlement().allotments();
		let key = (Static(coordinator.clone()), Static(miner.clone()));
		let entry = self.at.storage().try_fetch(address, key).await;
		let Some(entry) = entry.map_err(cannot_read(WHAT))? else {
			return Ok(None);
		};
		let found = entry.decode().map_err(cannot_read(WHAT))?;
		Ok(Some(Allotment {
			amount: found.amount,
			since: found.since,
			lowering: found.lowering,
			paid: found.paid.0,
		}))
	}

	/// An era that a coordinator has settled, until it is cleaned.
	pub async fn settled(
		&self,
		coordinator: &AccountId,
		era: EraIndex,
	) -> Result<Option<Settlement>, Error> {
		const WHAT: &str = "a settlement";
		let address = storage().settlement().settlements();
		let key = (Static(coordinator.clone()), era);
		let entry = self.at.storage().try_fetch(address, key).await;
		let Some(entry) = entry.map_err(cannot_read(WHAT))? else {
			return Ok(None);
		};
		let found = entry.decode().map_err(cannot_read(WHAT))?;
		Ok(Some(Settlement {
			root: found.root.0,
			claimed: found.claimed,
			emission: found.emission,
		}))
	}

	/// Whether a leaf of a settled era was claimed.
	pub async fn is_claimed(
		&self,
		coordinator: &AccountId,
		era: EraIndex,
		index: u32,
	) -> Result<bool, Error> {
		const WHAT: &str = "which leaves were claimed";
		let address = storage().settlement().claimed_leaves();
		let key = (Static(coordinator.clone()), era, index / CHUNK_LEAVES);
		let entry = self.at.storage().try_fetch(address, key).await;
		let Some(entry) = entry.map_err(cannot_read(WHAT))? else {
			return Ok(false);
		};
		let marks = entry.decode().map_err(cannot_read(WHAT))?;
		Ok(is_marked(&marks, index))
	}
}

/// The lowest bit of the first byte is the first leaf's.
fn is_marked(marks: &[u8], index: u32) -> bool {
	let within = (index % CHUNK_LEAVES) as usize;
	marks
		.get(within / 8)
		.is_some_and(|byte| byte & (1 << (within % 8)) != 0)
}

/// The call as the runtime at this block decodes it.
pub(crate) fn call_data(at: &AtBlock, call: SettlementCall) -> Result<Vec<u8>, Error> {
	use crate::submit::encode;
	let calls = tx().settlement();
	match call {
		SettlementCall::OpenChannel {
			coordinator,
			signer,
			amount,
		} => encode(
			at,
			&calls.open_channel(coordinator.into(), signer.0, amount),
		),
		SettlementCall::TopUp { channel, amount } => encode(at, &calls.top_up(channel, amount)),
		SettlementCall::Redeem {
			channel,
			cumulative,
			signature,
		} => encode(at, &calls.redeem(channel, cumulative, signature.0)),
		SettlementCall::CloseChannel(channel) => encode(at, &calls.close_channel(channel)),
		SettlementCall::FinishClose(channel) => encode(at, &calls.finish_close(channel)),
		SettlementCall::FundReserve(amount) => encode(at, &calls.fund_reserve(amount)),
		SettlementCall::WithdrawReserve(amount) => encode(at, &calls.withdraw_reserve(amount)),
		SettlementCall::Allot { miner, amount } => encode(at, &calls.allot(miner.into(), amount)),
		SettlementCall::ReleaseAllotment { coordinator, miner } => encode(
			at,
			&calls.release_allotment(coordinator.into(), miner.into()),
		),
		SettlementCall::SettleEra { era, root } => encode(at, &calls.settle_era(era, root.into())),
		SettlementCall::Claim {
			coordinator,
			era,
			proof,
		} => {
			let (leaves, siblings) = bounded(proof);
			encode(at, &calls.claim(coordinator.into(), era, leaves, siblings))
		},
		SettlementCall::ClaimVoucher {
			worker,
			voucher,
			signature,
		} => encode(
			at,
			&calls.claim_voucher(worker.0, voucher.into(), signature.0),
		),
		SettlementCall::ReportShort {
			worker,
			voucher,
			signature,
			proof,
		} => {
			let (leaves, siblings) = bounded(proof);
			let call = calls.report_short(worker.0, voucher.into(), signature.0, leaves, siblings);
			encode(at, &call)
		},
		SettlementCall::Clean {
			coordinator,
			era,
			limit,
		} => encode(at, &calls.clean(coordinator.into(), era, limit)),
	}
}

/// Names what this module uses and the runtime at this block has not, or in another shape.
pub(crate) fn check<C: OfflineClientAtBlockT<SubstrateConfig>>(
	at: &ClientAtBlock<SubstrateConfig, C>,
	need: &mut impl FnMut(&str, bool),
) {
	let (entries, kept) = (at.storage(), storage().settlement());
	let mut entry = |name: &str, fits: bool| need(&format!("Settlement.{name}"), fits);
	let fits = entries.validate(kept.split_parameters()).is_ok();
	entry("SplitParameters", fits);
	entry("Channels", entries.validate(kept.channels()).is_ok());
	entry("Reserves", entries.validate(kept.reserves()).is_ok());
	entry("Allotments", entries.validate(kept.allotments()).is_ok());
	entry("Settlements", entries.validate(kept.settlements()).is_ok());
	entry(
		"ClaimedLeaves",
		entries.validate(kept.claimed_leaves()).is_ok(),
	);

	let (read, all) = (at.constants(), constants().settlement());
	let opened = at
		.metadata_ref()
		.pallet_by_name("Settlement")
		.and_then(|pallet| pallet.event_variants())
		.is_some_and(|events| events.iter().any(|event| event.name == "ChannelOpened"));
	entry("ChannelOpened", opened);
	entry("PostEras", read.validate(all.post_eras()).is_ok());
	entry("ClaimEras", read.validate(all.claim_eras()).is_ok());
	entry(
		"ChallengeBlocks",
		read.validate(all.challenge_blocks()).is_ok(),
	);
	entry("MinDeposit", read.validate(all.min_deposit()).is_ok());
	entry("ChannelBond", read.validate(all.channel_bond()).is_ok());
	entry("MinAllotment", read.validate(all.min_allotment()).is_ok());

	let (send, calls) = (at.transactions(), tx().settlement());
	let anyone = || AccountId::new([0; 32]).into();
	let (leaves, siblings) = (BoundedVec(Vec::new()), BoundedVec(Vec::new()));
	let voucher = || {
		let (coordinator, miner) = (AccountId::new([0; 32]), AccountId::new([0; 32]));
		Static(MinerVoucher {
			coordinator,
			miner,
			era: 0,
			cumulative: 0,
		})
	};
	let call = calls.open_channel(anyone(), [0; 32], 0);
	entry("open_channel", send.validate(&call).is_ok());
	entry("top_up", send.validate(&calls.top_up(0, 0)).is_ok());
	let call = calls.redeem(0, 0, [0; 64]);
	entry("redeem", send.validate(&call).is_ok());
	let call = calls.close_channel(0);
	entry("close_channel", send.validate(&call).is_ok());
	let call = calls.finish_close(0);
	entry("finish_close", send.validate(&call).is_ok());
	let call = calls.fund_reserve(0);
	entry("fund_reserve", send.validate(&call).is_ok());
	let call = calls.withdraw_reserve(0);
	entry("withdraw_reserve", send.validate(&call).is_ok());
	let call = calls.allot(anyone(), 0);
	entry("allot", send.validate(&call).is_ok());
	let call = calls.release_allotment(anyone(), anyone());
	entry("release_allotment", send.validate(&call).is_ok());
	let root = Root {
		node: Default::default(),
		leaves: 0,
	};
	let call = calls.settle_era(0, Static(root));
	entry("settle_era", send.validate(&call).is_ok());
	let call = calls.claim(anyone(), 0, leaves, siblings);
	entry("claim", send.validate(&call).is_ok());
	let call = calls.claim_voucher([0; 32], voucher(), [0; 64]);
	entry("claim_voucher", send.validate(&call).is_ok());
	let (leaves, siblings) = (BoundedVec(Vec::new()), BoundedVec(Vec::new()));
	let call = calls.report_short([0; 32], voucher(), [0; 64], leaves, siblings);
	entry("report_short", send.validate(&call).is_ok());
	let call = calls.clean(anyone(), 0, 0);
	entry("clean", send.validate(&call).is_ok());
}

type Leaves = BoundedVec<Static<cuckoo_primitives::sum_tree::PlacedLeaf>>;
type Siblings = BoundedVec<Static<cuckoo_primitives::weight_tree::Node>>;

/// A proof as calls have it. One that is too long is refused by the node.
fn bounded(proof: Proof) -> (Leaves, Siblings) {
	let leaves = proof.leaves.into_iter().map(Static).collect();
	let siblings = proof.siblings.into_iter().map(Static).collect();
	(BoundedVec(leaves), BoundedVec(siblings))
}

#[cfg(test)]
mod tests {
	use super::*;

	const DEFAULT: Split = Split {
		miner_ppb: 750_000_000,
		coordinator_ppb: 150_000_000,
		audit_ppb: 20_000_000,
		burn_ppb: 80_000_000,
		miner_emission_ppb: 50_000_000,
		coordinator_emission_ppb: 10_000_000,
	};

	/// The figures of the documentation's table.
	#[test]
	fn a_fee_is_rounded_up_and_the_miners_part_down() {
		assert_eq!(DEFAULT.fee(75), Some(100));
		assert_eq!(DEFAULT.fee(1_000_000_000_000), Some(1_333_333_333_334));
		assert_eq!(DEFAULT.miners_part(100), 75);
		assert_eq!(DEFAULT.miners_part(1_333_333_333_334), 1_000_000_000_000);
		assert_eq!(DEFAULT.fee(Balance::MAX), None);
		let nothing = Split {
			miner_ppb: 0,
			..DEFAULT
		};
		assert_eq!(nothing.fee(1), None);
	}

	/// Governance can change the split to any parts, and an app pay any price.
	#[test]
	fn no_fee_is_above_what_was_paid() {
		for miner_ppb in [1, 3, 333_333_333, 750_000_000, 999_999_999, 1_000_000_000] {
			let split = Split {
				miner_ppb,
				..DEFAULT
			};
			for paid in [
				0,
				1,
				7,
				999_999_999,
				1_000_000_001,
				u128::from(u64::MAX),
				Balance::MAX,
			] {
				let fee = split.fee(split.miners_part(paid));
				assert!(fee.is_some_and(|fee| fee <= paid), "{miner_ppb} of {paid}");
			}
		}
	}

	#[test]
	fn marks_are_bits_from_the_lowest() {
		let marks = [0b0000_0101, 0b1000_0000];
		let marked: Vec<u32> = (0..24).filter(|index| is_marked(&marks, *index)).collect();
		assert_eq!(marked, [0, 2, 15]);
		assert!(is_marked(&marks, CHUNK_LEAVES));
	}

	#[test]
	fn what_is_announced_to_fall_is_not_counted_on() {
		let mut allotment = Allotment {
			amount: 100,
			since: 3,
			lowering: None,
			paid: Vec::new(),
		};
		assert_eq!(allotment.guaranteed(), 100);
		allotment.lowering = Some((40, 20));
		assert_eq!(allotment.guaranteed(), 40);
		allotment.amount = 30;
		assert_eq!(allotment.guaranteed(), 30);
	}
}
