//! `offchain-miner earnings`: what was earned, where it is, and what to do next.

use super::{
	book::Book,
	chain::Node,
	store::{Store, StoreError},
	survey::{survey, Coordinators},
};
use crate::{
	cli::{ChainArgs, Named},
	run::data_dir,
	trust::Trust,
};
use anyhow::Context;
use clap::Args;
use cuckoo_coordinator_api::Amount;
use serde::Serialize;
use std::{path::PathBuf, sync::Arc};
use tokio::{sync::watch, task};

/// Where vouchers, chain and coordinators are.
#[derive(Clone, Debug, Args)]
pub struct PurseArgs {
	/// The chain.
	#[command(flatten)]
	pub chain: ChainArgs,
	/// Where the miner keeps its vouchers, as for `run`.
	#[arg(long, value_name = "DIR")]
	pub data_dir: Option<PathBuf>,
	/// Ask this coordinator for proofs at this address instead of the one on chain; may be repeated.
	#[arg(long = "coordinator", value_name = "ACCOUNT=URL")]
	pub coordinators: Vec<Named>,
	/// PEM file with certificates of authorities that are trusted beside the system's.
	#[arg(long, value_name = "FILE", env = "CUCKOO_COORDINATOR_CA")]
	pub coordinator_ca: Option<PathBuf>,
}

/// Options of `earnings`.
#[derive(Clone, Debug, Args)]
#[command(after_long_help = "\
States:
  open                the era goes on, or its coordinator still has time to settle it
  settled             the chain has its root; the coordinator is out of reach for the proof of your leaf, or
                      has not noted yet that it has settled
  claimable           your leaf is proven: offchain-miner claim
  claimed             all of it was paid
  short               your leaf is too low or kept back: the rest comes from the allotment, and
                      `claim --report-short` proves it
  unposted-claimable  it was not settled in time: `claim` gets it from the allotment by your voucher
  expired             it was not claimed in time and is lost

It reads what the miner has written and changes nothing; the miner may run.")]
pub struct EarningsArgs {
	/// Where vouchers, chain and coordinators are.
	#[command(flatten)]
	pub purse: PurseArgs,
	/// Print one JSON object.
	#[arg(long)]
	pub json: bool,
}

/// What is on the disk for the chain, and whom to ask for proofs.
pub struct Books {
	/// The disk.
	pub store: Store,
	/// Every book, or why it does not read.
	pub books: Vec<Result<Book, StoreError>>,
	/// The coordinators.
	pub proofs: Coordinators,
}

/// Opens the purse without the daemon: read only.
pub async fn books(args: &PurseArgs, node: &Node) -> anyhow::Result<Books> {
	let client = node.client().await.map_err(anyhow::Error::msg)?;
	let head = client.finalized().await?;
	let registry = client.registry_at(head.hash).await?;
	let store = Store::new(&data_dir(args.data_dir.as_deref())?, client.genesis_hash());
	let reader = store.clone();
	let found = task::spawn_blocking(move || reader.load()).await??;
	let only = args
		.coordinators
		.iter()
		.map(|named| (named.account.clone(), named.url.clone()))
		.collect();
	let trust = Trust::and(args.coordinator_ca.as_deref())
		.context("whom to trust at coordinators with https")?;
	// A channel without a sender still has its last value.
	let (_, registry) = watch::channel(Some(Arc::new(registry)));
	Ok(Books {
		store,
		books: found.into_iter().map(|(_, book)| book).collect(),
		proofs: Coordinators {
			registry,
			only,
			trust,
		},
	})
}

/// A line of the table.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
	/// The era.
	pub era: u32,
	/// The voucher.
	pub earned: Amount,
	/// What was paid of it.
	pub received: Amount,
	/// Where it stands.
	pub state: &'static str,
	/// What to do next.
	pub next: String,
}

/// A coordinator's part of the table.
#[derive(Clone, Debug, Serialize)]
pub struct Part {
	/// The coordinator.
	pub coordinator: String,
	/// The miner.
	pub miner: String,
	/// What it owes without a voucher: no paid work is done for it while this is above zero.
	pub unsigned: Amount,
	/// What is earned and not safe.
	pub at_risk: Amount,
	/// What its allotment guarantees.
	pub allotted: Amount,
	/// By era.
	pub eras: Vec<Line>,
}

/// Whether all vouchers could be read.
pub async fn command(args: EarningsArgs) -> anyhow::Result<bool> {
	let node = Node::new(args.purse.chain.url.clone(), None);
	let found = books(&args.purse, &node).await?;
	let (mut parts, mut unread, mut now) = (Vec::new(), Vec::new(), 0);
	for book in &found.books {
		let book = match book {
			Ok(book) => book,
			Err(reason) => {
				unread.push(reason.to_string());
				continue;
			},
		};
		let survey = survey(&node, &found.proofs, &found.store, book, false)
			.await
			.map_err(anyhow::Error::msg)?;
		now = survey.facts.now;
		let eras = survey.eras(book);
		let at_risk = eras.iter().fold(0u128, |sum, era| {
			let risk = era.entry.amount().saturating_sub(era.secured());
			sum.saturating_add(risk)
		});
		parts.push(Part {
			coordinator: book.coordinator.to_string(),
			miner: book.miner.to_string(),
			unsigned: Amount(book.missing()),
			at_risk: Amount(at_risk),
			allotted: Amount(survey.facts.guaranteed()),
			eras: eras
				.iter()
				.map(|era| Line {
					era: era.era,
					earned: Amount(era.entry.amount()),
					received: Amount(era.received()),
					state: era.state().name(),
					next: era.advice(),
				})
				.collect(),
		});
	}
	if args.json {
		let output = serde_json::json!({ "era": now, "coordinators": parts, "unread": unread });
		println!("{output}");
	} else {
		print(&parts, &unread, found.store.folder());
	}
	Ok(unread.is_empty())
}

fn print(parts: &[Part], unread: &[String], folder: &std::path::Path) {
	if parts.is_empty() && unread.is_empty() {
		println!(
			"no vouchers of this chain in {}: nothing was earned yet, or another --data-dir has them",
			folder.display()
		);
	}
	for part in parts {
		println!("coordinator {}  (miner {})", part.coordinator, part.miner);
		println!("  at risk {} of {} allotted", part.at_risk, part.allotted);
		if part.unsigned.0 > 0 {
			println!(
				"  problem: {} are owed without a voucher; no more paid work for it until they come",
				part.unsigned
			);
		}
		println!(
			"  {:>8}  {:>22}  {:>22}  {:<18}  next",
			"era", "earned", "paid", "state"
		);
		for line in &part.eras {
			println!(
				"  {:>8}  {:>22}  {:>22}  {:<18}  {}",
				line.era,
				line.earned.to_string(),
				line.received.to_string(),
				line.state,
				line.next
			);
		}
	}
	for reason in unread {
		println!("problem: {reason}");
	}
}
