//! The command `offchain-coordinator settle`: what the coordinator does by itself when an era is over, by
//! hand. It can run beside a coordinator: an era is closed in one transaction of the store, the chain is
//! looked at before anything is sent and again after it, and it takes an era's root once.

use super::{
	chain::{Facts, MoneyChain},
	journal::Fee,
	node::Node,
	reconcile::Error,
	settle::{is_worth_it, next, Next, CALLS, CHANNELS},
};
use crate::{
	clock::UnixMs,
	config::Config,
	flags::MoneyArgs,
	store::{EraRow, Place, Store, StoreError},
};
use anyhow::Context;
use clap::Args;
use cuckoo_chain_client::{keys::load_worker_key, SettlementCall};
use cuckoo_coordinator_api::Amount;
use cuckoo_primitives::{
	sum_tree::{self, Root, SumTree},
	AccountId, Balance, EraIndex, H256,
};
use serde::Serialize;
use std::fmt::Write;

/// `settle`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
For each era that is over and not settled: closes it, so that nothing is earned for it any more; makes its \
tree; redeems channels if the reserve does not suffice; posts the root; and notes it as settled once a \
finalized block has it. A running coordinator does all this by itself; this is for when it is down for \
longer, or to see why an era waits. Both at once do no harm.

It signs as `run` does: with --settlement-key, else the worker key. Fails if an era still waits.

Examples:
  offchain-coordinator settle --config coordinator.toml --dry-run
  offchain-coordinator settle --data-dir DIR --chain ws://127.0.0.1:9944 --settlement-key FILE")]
pub struct Settle {
	/// Where to look, and with which key to sign.
	#[command(flatten)]
	pub place: MoneyArgs,
	/// Only says what would be done: changes nothing, sends nothing, needs no key.
	#[arg(long)]
	pub dry_run: bool,
	/// Prints JSON. Amounts are in the smallest unit, 10^-12 CUC.
	#[arg(long)]
	pub json: bool,
}

/// What has become of an era.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
	/// It is settled now.
	Settled,
	/// It was on chain already, and is noted now.
	SettledBefore,
	/// It would be settled.
	WouldSettle,
	/// The reserve does not suffice.
	ReserveTooLow,
	/// It is too late: its vouchers are claimed.
	TooLate,
	/// Another root is on chain.
	OtherRoot,
	/// The transaction did not succeed, or nobody knows.
	NotSent,
}

impl Outcome {
	/// Whether the era still waits.
	const fn waits(self) -> bool {
		matches!(self, Self::ReserveTooLow | Self::OtherRoot | Self::NotSent)
	}
}

/// An era as it is printed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Line {
	/// The era.
	pub era: EraIndex,
	/// What has become of it.
	pub outcome: Outcome,
	/// Of how many miners.
	pub miners: u32,
	/// What they are owed.
	pub owed: Amount,
	/// What is taken for that from the reserve.
	pub fee: Amount,
	/// The same as a sentence.
	pub says: String,
}

/// What was done, as it is printed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Report {
	/// The chain's era.
	pub era: EraIndex,
	/// What is free in the reserve, after all.
	pub free: Amount,
	/// How many channels were redeemed.
	pub redeemed: usize,
	/// The eras that were over and not settled.
	pub eras: Vec<Line>,
}

impl Report {
	/// Whether an era still waits.
	pub fn waits(&self) -> bool {
		self.eras.iter().any(|line| line.outcome.waits())
	}

	fn text(&self) -> String {
		let mut text = format!(
			"the chain is in era {}, {} free in the reserve\n",
			self.era, self.free
		);
		if self.redeemed > 0 {
			let _ = writeln!(text, "{} channels were redeemed", self.redeemed);
		}
		for line in &self.eras {
			let _ = writeln!(text, "era {}: {}", line.era, line.says);
		}
		if self.eras.is_empty() {
			text.push_str(
				"nothing to settle: every era that is over and in which something was earned is\n",
			);
		}
		text
	}
}

impl Settle {
	/// Settles what is to be settled in this place. Gives what to print, and whether nothing waits.
	pub async fn run(&self, config: &Config, place: &Place) -> anyhow::Result<(String, bool)> {
		let store = Store::open_beside(place).await?;
		let (operator, genesis) = store
			.owner()
			.await?
			.context("no coordinator has run on this store")?;
		let node = self.node(config)?;
		let found = node.genesis().await.context("the chain cannot be read")?;
		anyhow::ensure!(
			found == genesis,
			"the node at {} is on the chain with genesis {found:?}, and the store is of {genesis:?}",
			config.chain
		);
		let by_hand = ByHand {
			store: &store,
			chain: &node,
			operator: &operator,
			genesis,
			is_dry: self.dry_run,
		};
		let now_ms = crate::clock::Clock::System.now_ms();
		let report = by_hand.settle(now_ms).await?;
		store.close().await;
		let text = match self.json {
			true => serde_json::to_string_pretty(&report)? + "\n",
			false => report.text(),
		};
		Ok((text, !report.waits()))
	}

	fn node(&self, config: &Config) -> anyhow::Result<Node> {
		if self.dry_run {
			return Ok(Node::reader(config.chain.clone()));
		}
		let file = config
			.settlement_key
			.as_ref()
			.or(config.worker_key.as_ref());
		let key = load_worker_key(file.map(|file| file.as_path()), WORKER_VARIABLE)?;
		Ok(Node::new(config.chain.clone(), key))
	}
}

/// The environment variable that holds the worker key's secret URI, when there is no file.
const WORKER_VARIABLE: &str = "CUCKOO_WORKER_URI";

/// What is settled, and where.
#[derive(Clone, Copy)]
pub struct ByHand<'a> {
	/// The store.
	pub store: &'a Store,
	/// The chain.
	pub chain: &'a dyn MoneyChain,
	/// The coordinator's operator.
	pub operator: &'a AccountId,
	/// The chain's genesis.
	pub genesis: H256,
	/// Whether nothing is changed.
	pub is_dry: bool,
}

impl std::fmt::Debug for ByHand<'_> {
	fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
		f.debug_struct("ByHand")
			.field("operator", &self.operator)
			.field("is_dry", &self.is_dry)
			.finish_non_exhaustive()
	}
}

impl ByHand<'_> {
	/// Settles every era that is over.
	pub async fn settle(&self, now_ms: UnixMs) -> Result<Report, Error> {
		let mut facts = self.chain.facts(self.operator).await?;
		let mut roots = Vec::new();
		for (era, root) in self.closed(facts.era).await? {
			roots.push((era, self.root(era, root).await?));
		}
		let fee = |root: &Root| facts.split.fee(root.node.sum).unwrap_or(Balance::MAX);
		let fees = roots.iter().map(|(_, root)| fee(root));
		let fees = fees.fold(0, |sum: Balance, fee| sum.saturating_add(fee));
		let mut redeemed = 0;
		if fees > facts.reserve.free() && !self.is_dry {
			redeemed = self.redeem(&facts).await?;
			facts = self.chain.facts(self.operator).await?;
		}
		let mut eras = Vec::new();
		for (era, root) in roots {
			let line = self.step(era, root, &mut facts, now_ms).await?;
			eras.push(line);
		}
		Ok(Report {
			era: facts.era,
			free: Amount(facts.reserve.free()),
			redeemed,
			eras,
		})
	}

	/// The eras that are over and not settled, with their roots where these are noted.
	async fn closed(&self, now: EraIndex) -> Result<Vec<(EraIndex, Option<Root>)>, StoreError> {
		let last = now.checked_sub(1);
		let mut to_close = Vec::new();
		match last {
			Some(last) if self.is_dry => to_close = self.store.eras_to_close(last).await?,
			Some(last) => self.store.close_eras(last).await?,
			None => {},
		}
		let closed = self.store.eras_to_post().await?;
		let noted = closed.into_iter().map(|row: EraRow| (row.era, row.root));
		Ok(noted
			.chain(to_close.into_iter().map(|era| (era, None)))
			.collect())
	}

	/// The root of a closed era, which is noted the first time.
	async fn root(&self, era: EraIndex, noted: Option<Root>) -> Result<Root, StoreError> {
		if let Some(root) = noted {
			return Ok(root);
		}
		let leaves = self.store.leaves(era).await?;
		let context = sum_tree::context(&self.genesis, self.operator, era);
		let tree = SumTree::new(&context, leaves).map_err(|_| StoreError::Corrupt("tree"))?;
		if !self.is_dry {
			self.store.put_root(era, tree.root()).await?;
		}
		Ok(tree.root())
	}

	/// Redeems whatever can be. How many channels.
	async fn redeem(&self, facts: &Facts) -> Result<usize, Error> {
		let (mut after, mut calls) = (None, Vec::new());
		loop {
			let rows = self.store.redeemable(after, CHANNELS).await?;
			for row in &rows {
				let found = self.chain.channel(row.channel).await?;
				let channel = found.filter(|found| found.coordinator == *self.operator);
				if channel.is_some_and(|it| is_worth_it(&it, row.purse.paid_in, true, true, facts))
				{
					calls.push(SettlementCall::Redeem {
						channel: row.channel,
						cumulative: row.purse.paid_in,
						signature: row.signature,
					});
				}
			}
			after = rows.last().map(|row| row.channel);
			if rows.len() < CHANNELS as usize {
				break;
			}
		}
		let mut redeemed = 0;
		for chunk in calls.chunks(CALLS) {
			if self.chain.send(self.operator, chunk.to_vec()).await.is_ok() {
				redeemed += chunk.len();
			}
		}
		Ok(redeemed)
	}

	async fn posted(&self, era: EraIndex) -> Result<Option<Root>, Error> {
		let settled = self.chain.settled(self.operator, era).await?;
		Ok(settled.map(|settled| settled.root))
	}

	/// Brings a closed era on as far as it goes.
	async fn step(
		&self,
		era: EraIndex,
		root: Root,
		facts: &mut Facts,
		now_ms: UnixMs,
	) -> Result<Line, Error> {
		let posted = self.posted(era).await?;
		let next = next(era, root, posted, facts);
		let mut reason = String::new();
		let outcome = match next {
			Next::Posted => Outcome::SettledBefore,
			Next::Foreign => Outcome::OtherRoot,
			Next::Missed => Outcome::TooLate,
			Next::Short { .. } => Outcome::ReserveTooLow,
			Next::Post if self.is_dry => Outcome::WouldSettle,
			Next::Post => {
				let call = SettlementCall::SettleEra { era, root };
				if let Err(error) = self.chain.send(self.operator, vec![call]).await {
					reason = error.to_string();
				}
				// Only what a finalized block has counts, whatever was heard.
				*facts = self.chain.facts(self.operator).await?;
				match self.posted(era).await? {
					Some(posted) if posted == root => Outcome::Settled,
					_ => Outcome::NotSent,
				}
			},
		};
		if !self.is_dry {
			self.note(era, root, outcome, facts, now_ms).await?;
		}
		let fee = facts.split.fee(root.node.sum).unwrap_or(Balance::MAX);
		Ok(line(era, root, fee, outcome, facts, &reason))
	}

	async fn note(
		&self,
		era: EraIndex,
		root: Root,
		outcome: Outcome,
		facts: &Facts,
		now_ms: UnixMs,
	) -> Result<(), StoreError> {
		match outcome {
			Outcome::Settled | Outcome::SettledBefore => {
				let fee = Fee::new(&facts.split, root).ok_or(StoreError::Corrupt("fee"))?;
				self.store.put_posted(era, fee, now_ms).await
			},
			Outcome::TooLate => self.store.put_missed(era).await,
			_ => Ok(()),
		}
	}
}

fn line(
	era: EraIndex,
	root: Root,
	fee: Balance,
	outcome: Outcome,
	facts: &Facts,
	reason: &str,
) -> Line {
	let (owed, fee) = (Amount(root.node.sum), Amount(fee));
	let parts = format!(
		"{owed} owed (miners: {}), {fee} from the reserve",
		root.leaves
	);
	let says = match outcome {
		Outcome::Settled => format!("settled: {parts}"),
		Outcome::SettledBefore => format!("was settled already, and is noted now: {parts}"),
		Outcome::WouldSettle => format!("would be settled: {parts}"),
		Outcome::ReserveTooLow => format!(
			"waits: its fee is {fee}, and {} is free in the reserve: put more in by fundReserve",
			Amount(facts.reserve.free())
		),
		Outcome::TooLate => format!(
			"too late, it had to be settled by era {}: its miners claim their vouchers over {owed} from \
			 their allotments",
			era.saturating_add(facts.params.post_eras)
		),
		Outcome::OtherRoot => {
			"waits: the chain has another root for it than this store: does another \
		                       store settle for this operator, or is this an old copy?"
				.into()
		},
		Outcome::NotSent if reason.is_empty() => {
			"waits: the transaction went through, and its block is not final yet: look again".into()
		},
		Outcome::NotSent => format!("waits: the transaction did not go through: {reason}"),
	};
	Line {
		era,
		outcome,
		miners: root.leaves,
		owed,
		fee,
		says,
	}
}
