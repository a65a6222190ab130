//! What one coordinator owes and has signed for: data and rules, without disk, network or clock.
//!
//! What is owed is the sum of what the accepted results earn. Vouchers are cumulative and of one era
//! each, so what is signed for is the sum of the highest of each era, in whatever order they came. A
//! coordinator is square with the miner when it has signed for at least what it owes.

use cuckoo_coordinator_api::{payment::SignedVoucher, Amount};
use cuckoo_primitives::{
	signing,
	voucher::{MinerLedger, VoucherFault},
	AccountId, Balance, EraIndex, WorkerId, H256,
};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Most eras of a book. Those of which something can be claimed are fewer; the rest is what was lost.
pub const MAX_ERAS: usize = 64;

/// Who owes whom.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Party {
	/// The coordinator's operator account.
	pub coordinator: AccountId,
	/// The miner's operator account.
	pub miner: AccountId,
}

/// A voucher, and what of it is at no risk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
	/// The highest of its era.
	pub voucher: SignedVoucher,
	/// What the miner has got for the era, or has a proven leaf for under a root that the chain has.
	pub secured: Amount,
	/// What the miner has got for the era.
	pub received: Amount,
	/// Nothing of the era can be claimed any more, so no allotment backs it.
	pub over: bool,
}

impl Entry {
	/// All that was earned in the era.
	pub fn amount(&self) -> Balance {
		self.voucher.cumulative.0
	}

	/// What only the allotment backs.
	pub fn at_risk(&self) -> Balance {
		match self.over {
			true => 0,
			false => self.amount().saturating_sub(self.secured.0),
		}
	}
}

/// What one coordinator owes one miner, as it is kept on disk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Book {
	/// The chain.
	pub genesis_hash: H256,
	/// The coordinator's operator account.
	pub coordinator: AccountId,
	/// The miner's operator account.
	pub miner: AccountId,
	/// What all accepted results earned.
	pub earned: Amount,
	/// The vouchers of eras that are not in the book any more.
	pub past: Amount,
	/// Accepted results that are in `earned` and may be acknowledged a second time.
	pub counted: BTreeSet<H256>,
	/// The highest voucher of each era.
	pub eras: BTreeMap<EraIndex, Entry>,
}

/// What the chain says that a voucher is checked against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
	/// The coordinator's worker.
	pub worker: Option<WorkerId>,
	/// The era of the last finalized block.
	pub now: EraIndex,
}

/// How a voucher came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
	/// In answer to a result.
	Reply,
	/// Asked for: also of earlier eras, as long as it could be claimed for so many eras.
	List {
		/// For how many eras after its own anything of an era can be claimed.
		claim_eras: EraIndex,
	},
}

/// Why a coordinator is not square with the miner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
	/// There was none.
	#[error("no voucher came for a result that it accepted")]
	Missing,
	/// Not by its worker.
	#[error("the voucher's signature is not of the coordinator's worker on chain")]
	BadSignature,
	/// For somebody else, or of another era.
	#[error(transparent)]
	Wrong(VoucherFault),
	/// It is fine, and not enough.
	#[error("its vouchers do not add up to what the accepted results earn")]
	TooLow,
	/// There are as many eras as can be kept.
	#[error("there are vouchers of too many eras")]
	TooMany,
}

impl Book {
	/// An empty one.
	pub fn new(genesis_hash: H256, party: &Party) -> Self {
		Self {
			genesis_hash,
			coordinator: party.coordinator.clone(),
			miner: party.miner.clone(),
			earned: Amount(0),
			past: Amount(0),
			counted: BTreeSet::new(),
			eras: BTreeMap::new(),
		}
	}

	/// Who owes whom.
	pub fn party(&self) -> Party {
		Party {
			coordinator: self.coordinator.clone(),
			miner: self.miner.clone(),
		}
	}

	/// All that the coordinator has signed for.
	pub fn signed(&self) -> Balance {
		self.eras
			.values()
			.fold(self.past.0, |sum, entry| sum.saturating_add(entry.amount()))
	}

	/// What it owes beyond what it has signed for.
	pub fn missing(&self) -> Balance {
		self.earned.0.saturating_sub(self.signed())
	}

	/// The rule by which the miner works or does not: what is at risk against what is guaranteed.
	pub fn ledger(&self, guaranteed: Balance) -> MinerLedger {
		MinerLedger {
			coordinator: self.coordinator.clone(),
			miner: self.miner.clone(),
			guaranteed,
			unsettled: self
				.eras
				.iter()
				.map(|(era, entry)| (*era, entry.at_risk()))
				.collect(),
		}
	}

	/// A result was accepted. Counts once, however often it is told.
	pub fn accepted(&mut self, assignment: H256, pay: Balance) {
		if self.counted.insert(assignment) {
			self.earned.0 = self.earned.0.saturating_add(pay);
		}
	}

	/// Takes a voucher if it is right and says more than what there is. An older one changes nothing
	/// and is no fault: replies pass each other.
	pub fn take(
		&mut self,
		voucher: &SignedVoucher,
		source: Source,
		view: &View,
	) -> Result<bool, Fault> {
		let payload = voucher.voucher();
		let own = payload.coordinator == self.coordinator && payload.miner == self.miner;
		if !own {
			return Err(Fault::Wrong(VoucherFault::OtherParty));
		}
		let by_worker = view.worker == Some(voucher.worker)
			&& signing::verify(
				&self.genesis_hash,
				&payload,
				&voucher.signature,
				&voucher.worker,
			);
		if !by_worker {
			return Err(Fault::BadSignature);
		}
		let known = self.eras.get(&payload.era);
		if let Some(known) = known {
			let same = known.voucher.worker == voucher.worker;
			if known.amount() > payload.cumulative || (known.amount() == payload.cumulative && same)
			{
				return Ok(false);
			}
		}
		let claimable = match source {
			Source::Reply => false,
			Source::List { claim_eras } => {
				payload.era < view.now && payload.era.saturating_add(claim_eras) > view.now
			},
		};
		if !claimable {
			// The amount is not the ledger's to judge here: several results may be under way.
			let near = MinerLedger {
				unsettled: BTreeMap::new(),
				..self.ledger(0)
			};
			near.check(&payload, 0, view.now).map_err(Fault::Wrong)?;
		}
		if known.is_none() && self.eras.len() >= MAX_ERAS {
			return Err(Fault::TooMany);
		}
		let entry = Entry {
			voucher: voucher.clone(),
			secured: known.map_or(Amount(0), |known| known.secured),
			received: known.map_or(Amount(0), |known| known.received),
			over: false,
		};
		self.eras.insert(payload.era, entry);
		Ok(true)
	}

	/// Vouchers can be ahead of what is known to be earned by results whose acknowledgement is still on its
	/// way, and by no more: the rest is of results whose acknowledgement never came. Without this, that
	/// rest would hide a voucher that is missing later.
	pub fn catch_up(&mut self, on_its_way: Balance) {
		let certain = self.signed().saturating_sub(on_its_way);
		self.earned.0 = self.earned.0.max(certain);
	}

	/// What the chain says of an era: so much of it is at no risk, and so much was received.
	pub fn mark(&mut self, era: EraIndex, secured: Balance, received: Balance) {
		if let Some(entry) = self.eras.get_mut(&era).filter(|entry| !entry.over) {
			entry.secured = Amount(secured);
			entry.received = Amount(received);
		}
	}

	/// Takes out the eras of which nothing can be claimed any more, if all of it was paid. What was lost
	/// stays to be seen, the newest [`MAX_ERAS`] / 2 eras of it.
	pub fn prune(&mut self, now: EraIndex, claim_eras: EraIndex) {
		let (mut gone, mut lost) = (Vec::new(), Vec::new());
		for (era, entry) in &mut self.eras {
			if now > era.saturating_add(claim_eras) {
				entry.over = true;
				match entry.received.0 >= entry.amount() {
					true => gone.push(*era),
					false => lost.push(*era),
				}
			}
		}
		gone.extend(lost.iter().take(lost.len().saturating_sub(MAX_ERAS / 2)));
		for era in gone {
			if let Some(entry) = self.eras.remove(&era) {
				self.past.0 = self.past.0.saturating_add(entry.amount());
			}
		}
	}
}
