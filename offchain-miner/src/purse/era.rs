//! Where an era stands, and what is to be done about it: plain functions of what is known.

use super::{
	book::{Entry, Party},
	chain::{Facts, Windows},
};
use cuckoo_chain_client::SettlementCall;
use cuckoo_coordinator_api::{
	payment::{SettlementProof, SignedVoucher},
	Amount,
};
use cuckoo_primitives::{
	sum_tree::{self, Root},
	AccountId, Balance, EraIndex, H256,
};
use serde::Serialize;

/// Where an era stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
	/// It is not over, or the coordinator still has time to settle it.
	Open,
	/// The chain has its root; the proof of the miner's leaf is not here.
	Settled,
	/// The leaf is proven and not claimed.
	Claimable,
	/// All of it was paid.
	Claimed,
	/// The leaf is too low, missing or kept back.
	Short,
	/// It was not settled in time: the voucher itself can be claimed.
	Unposted,
	/// Nothing can be claimed any more, and not all was paid.
	Expired,
}

impl State {
	/// As tables show it.
	pub fn name(self) -> &'static str {
		match self {
			State::Open => "open",
			State::Settled => "settled",
			State::Claimable => "claimable",
			State::Claimed => "claimed",
			State::Short => "short",
			State::Unposted => "unposted-claimable",
			State::Expired => "expired",
		}
	}
}

/// What came of asking a coordinator for a proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
	/// It was not asked, or is out of reach.
	None,
	/// It refuses, or what it gives proves nothing.
	Refused(String),
	/// Verified: the miner's leaf, or that it has none.
	Proven(Proven),
}

/// A verified proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proven {
	/// What the miner's leaf says; nothing where it has none.
	pub amount: Balance,
	/// Its index, if it has one.
	pub index: Option<u32>,
	/// The proof, as the chain takes it.
	pub proof: SettlementProof,
}

/// Checks a proof against the root that the chain has.
pub fn prove(
	genesis_hash: &H256,
	party: &Party,
	era: EraIndex,
	root: &Root,
	proof: SettlementProof,
) -> Result<Proven, String> {
	let taken = proof.proof();
	let context = sum_tree::context(genesis_hash, &party.coordinator, era);
	if !sum_tree::verify(root, &context, &taken.leaves, &taken.siblings) {
		return Err("its proof does not lead to the root on chain".into());
	}
	let amount = sum_tree::proven_amount(root.leaves, &taken.leaves, &party.miner)
		.ok_or("its proof says nothing of this miner")?;
	let own = taken
		.leaves
		.iter()
		.find(|placed| placed.leaf.miner == party.miner);
	Ok(Proven {
		amount,
		index: own.map(|placed| placed.index),
		proof,
	})
}

/// An era, as far as it is known.
#[derive(Clone, Copy, Debug)]
pub struct Era<'a> {
	/// Which.
	pub era: EraIndex,
	/// The highest voucher.
	pub entry: &'a Entry,
	/// What the chain says.
	pub facts: &'a Facts,
	/// What the coordinator says.
	pub answer: &'a Answer,
}

impl Era<'_> {
	fn proven(&self) -> Option<&Proven> {
		match self.answer {
			Answer::Proven(proven) => Some(proven),
			_ => None,
		}
	}

	fn is_settled(&self) -> bool {
		self.facts.settled.contains_key(&self.era)
	}

	fn leaf_claimed(&self) -> bool {
		let settled = self.facts.settled.get(&self.era);
		settled.is_some_and(|(_, claimed)| *claimed)
	}

	fn is_past_posting(&self) -> bool {
		self.facts.now > self.era.saturating_add(self.facts.windows.post_eras)
	}

	fn is_past_claiming(&self) -> bool {
		self.facts.now > self.era.saturating_add(self.facts.windows.claim_eras)
	}

	/// What the miner got.
	pub fn received(&self) -> Balance {
		let leaf = self
			.proven()
			.filter(|_| self.leaf_claimed())
			.map_or(0, |proven| proven.amount);
		let received = self.facts.noted(self.era).max(leaf);
		match self.is_past_claiming() {
			// The chain forgets eras that are over; the book remembers.
			true => received.max(self.entry.received.0),
			false => received,
		}
	}

	/// What claiming the leaf puts back into the allotment: the miner has it by a voucher, which anybody can
	/// have claimed.
	pub fn restores(&self) -> Balance {
		let open = self.is_settled() && !self.leaf_claimed() && !self.is_past_claiming();
		let leaf = self
			.proven()
			.filter(|proven| open && proven.index.is_some());
		leaf.map_or(0, |proven| proven.amount.min(self.facts.noted(self.era)))
	}

	/// What is at no risk: received, or in a leaf that is proven.
	pub fn secured(&self) -> Balance {
		let leaf = match self.is_past_claiming() {
			true => 0,
			false => self.proven().map_or(0, |proven| proven.amount),
		};
		self.received().max(leaf)
	}

	/// Where it stands.
	pub fn state(&self) -> State {
		let earned = self.entry.amount();
		if self.received() >= earned {
			return State::Claimed;
		}
		if self.is_past_claiming() {
			return State::Expired;
		}
		match (self.is_settled(), self.answer) {
			(true, Answer::Proven(proven)) if proven.amount >= earned => State::Claimable,
			(true, Answer::Proven(_) | Answer::Refused(_)) => State::Short,
			(true, Answer::None) => State::Settled,
			(false, _) if self.is_past_posting() => State::Unposted,
			(false, _) => State::Open,
		}
	}

	/// What there is to do, in a sentence.
	pub fn advice(&self) -> String {
		let until = self.era.saturating_add(self.facts.windows.claim_eras);
		let posted = self.era.saturating_add(self.facts.windows.post_eras);
		match self.state() {
			State::Open if self.facts.now <= self.era => "nothing: the era goes on".into(),
			State::Open => format!("wait: it can be settled until era {posted}"),
			State::Settled => "wait: its coordinator does not give the proof yet".into(),
			State::Claimable => format!("offchain-miner claim, until era {until}"),
			State::Claimed if self.restores() > 0 => {
				format!("offchain-miner claim, until era {until}: its leaf restores the allotment")
			},
			State::Claimed => "nothing".into(),
			State::Short if !self.voucher_counts() => {
				"offchain-miner claim --report-short; no allotment backs the rest".into()
			},
			State::Short if self.is_past_posting() => {
				format!("offchain-miner claim --report-short, until era {until}")
			},
			State::Short => format!(
				"offchain-miner claim --report-short; the rest can be claimed in eras {} to {until}",
				posted.saturating_add(1)
			),
			State::Unposted if self.voucher_counts() => {
				format!("offchain-miner claim, until era {until}")
			},
			State::Unposted => "nothing can be done: no allotment backs the voucher".into(),
			State::Expired => "nothing can be done: it was not claimed in time".into(),
		}
	}

	/// Whether an allotment backs the voucher.
	fn voucher_counts(&self) -> bool {
		let allotment = self.facts.allotment.as_ref();
		allotment.is_some_and(|allotment| allotment.since <= self.era && allotment.amount > 0)
	}
}

/// So many eras before its end a leaf is not waited for any longer.
const LAST_ERAS: EraIndex = 2;

/// Which of all claims to send now: all once they bring this much together, and before that those whose
/// time comes to an end. For those a quarter of the time is kept, so that a miner that is off for a while
/// loses nothing.
pub fn due(claims: Vec<Claim>, threshold: Balance, now: EraIndex, windows: &Windows) -> Vec<Claim> {
	let sum = claims
		.iter()
		.fold(0, |sum: Balance, claim| sum.saturating_add(claim.amount.0));
	if sum >= threshold {
		return claims;
	}
	let margin = LAST_ERAS.max(windows.claim_eras / 4);
	let ends = |claim: &Claim| {
		let last = claim.era.saturating_add(windows.claim_eras);
		now.saturating_add(margin) >= last
	};
	claims.into_iter().filter(ends).collect()
}

/// One call that gets money, or justice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
	/// The coordinator.
	pub coordinator: AccountId,
	/// The era.
	pub era: EraIndex,
	/// What kind.
	pub kind: Kind,
	/// What it brings, to the miner or back into its allotment.
	pub amount: Amount,
	/// The transaction.
	pub call: SettlementCall,
}

/// What a claim rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
	/// The miner's leaf in the era's tree.
	Leaf,
	/// The voucher itself, paid from the allotment.
	Voucher,
	/// The proof that a settlement is short. It brings the reporter's part of the slash.
	Report,
}

/// All that can be claimed of one party's eras, the earliest first: those are lost first. `eras` ascend.
pub fn claims(party: &Party, eras: &[Era<'_>], report_short: bool) -> Vec<Claim> {
	let mut claims = Vec::new();
	// One allotment for all eras.
	let mut allotted = eras
		.first()
		.and_then(|era| era.facts.allotment.as_ref())
		.map_or(0, |allotment| allotment.amount);
	for era in eras.iter().filter(|era| !era.is_past_claiming()) {
		let mut received = era.received();
		let mut claim = |kind, amount, call| {
			claims.push(Claim {
				coordinator: party.coordinator.clone(),
				era: era.era,
				kind,
				amount: Amount(amount),
				call,
			});
		};
		let proven = era.proven().filter(|_| era.is_settled());
		if let Some(proven) = proven {
			let due = proven.amount.saturating_sub(received);
			let due = due.saturating_add(era.restores());
			if proven.index.is_some() && !era.leaf_claimed() && due > 0 {
				let call = SettlementCall::Claim {
					coordinator: party.coordinator.clone(),
					era: era.era,
					proof: proven.proof.proof(),
				};
				claim(Kind::Leaf, due, call);
				received = received.max(proven.amount);
			}
		}
		let SignedVoucher {
			worker, signature, ..
		} = era.entry.voucher;
		let short = proven.filter(|proven| proven.amount < era.entry.amount());
		if let Some(proven) = short.filter(|_| report_short) {
			let call = SettlementCall::ReportShort {
				worker,
				voucher: era.entry.voucher.voucher(),
				signature,
				proof: proven.proof.proof(),
			};
			claim(Kind::Report, 0, call);
		}
		// A leaf that is only not here yet is worth more than the voucher: it brings what is issued.
		let last = era.era.saturating_add(era.facts.windows.claim_eras);
		let in_time = era.facts.now.saturating_add(LAST_ERAS) <= last;
		let waits = era.is_settled() && *era.answer == Answer::None && in_time;
		let due = era.entry.amount().saturating_sub(received).min(allotted);
		if era.is_past_posting() && !waits && era.voucher_counts() && due > 0 {
			let call = SettlementCall::ClaimVoucher {
				worker,
				voucher: era.entry.voucher.voucher(),
				signature,
			};
			claim(Kind::Voucher, due, call);
			allotted -= due;
		}
	}
	claims
}
