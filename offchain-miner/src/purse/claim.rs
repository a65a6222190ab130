//! `offchain-miner claim`: gets all the money that can be got.
//!
//! Nothing of it is on record here: what was claimed, the chain says, so it can be run at any time, twice,
//! and beside a miner that runs.

use super::{
	chain::{Node, SettlementChain},
	era::{self, Claim, Kind},
	status::{books, PurseArgs},
	survey::survey,
};
use crate::ui::printable;
use clap::Args;
use cuckoo_chain_client::keys::load_worker_key;
use cuckoo_coordinator_api::Amount;
use serde::Serialize;
use std::path::PathBuf;

/// The environment variable that holds the secret URI of the key that pays for claims.
pub const CLAIM_VARIABLE: &str = "CUCKOO_CLAIM_URI";

/// Most leaves in one transaction; each has a proof of its own era.
const BATCH: usize = 16;

/// What the chain says when it was done before, by whomever. A coordinator is punished once for an era.
const DONE_BEFORE: [&str; 4] = [
	"NothingToClaim",
	"VoucherUsed",
	"OffenceAlreadyCounted",
	"EvidenceUsed",
];

/// Options of `claim`.
#[derive(Clone, Debug, Args)]
#[command(after_long_help = "\
The money goes to the miner's pool, whoever sends the claim: commission first, the rest streams to its \
stake over an era. The key only pays the fees; it can be any account's, also the worker's.

Leaves of settled eras are claimed by proof, several in one transaction. Vouchers of eras that were not \
settled in time, and what a leaf lacks, are claimed from the coordinator's allotment. What was claimed the \
chain knows: run it as often as you like.

Examples:
  offchain-miner claim --dry-run
  offchain-miner claim --key worker.key
  offchain-miner claim --key worker.key --report-short")]
pub struct ClaimArgs {
	/// Where vouchers, chain and coordinators are.
	#[command(flatten)]
	pub purse: PurseArgs,
	/// The key that pays the fees: a file that only you can read (mode 0600) with a secret URI or a hex
	/// seed. Without it, the environment variable CUCKOO_CLAIM_URI.
	#[arg(long, value_name = "FILE")]
	pub key: Option<PathBuf>,
	/// Say what would be claimed, and send nothing. Needs no key.
	#[arg(long)]
	pub dry_run: bool,
	/// Also prove settlements that are short. The coordinator is suspended and slashed for it, and the
	/// key's account gets the reporter's part.
	#[arg(long)]
	pub report_short: bool,
	/// Print one JSON object.
	#[arg(long)]
	pub json: bool,
}

/// What came of a claim.
#[derive(Clone, Debug, Serialize)]
pub struct Done {
	/// The coordinator.
	pub coordinator: String,
	/// The era.
	pub era: u32,
	/// What it rests on.
	pub kind: Kind,
	/// What it brings.
	pub amount: Amount,
	/// Why it failed, if it did.
	pub failure: Option<String>,
}

impl Done {
	fn of(claim: &Claim, failure: Option<String>) -> Self {
		Self {
			coordinator: claim.coordinator.to_string(),
			era: claim.era,
			kind: claim.kind,
			amount: claim.amount,
			failure,
		}
	}

	/// What it is, in a line.
	pub fn sentence(&self) -> String {
		let Self {
			coordinator,
			era,
			amount,
			..
		} = self;
		match self.kind {
			Kind::Leaf => format!("{amount} of era {era} of {coordinator}, by its leaf"),
			Kind::Voucher => format!("{amount} of era {era} of {coordinator}, from the allotment"),
			Kind::Report => format!("proof that era {era} of {coordinator} is short"),
		}
	}
}

/// Sends claims: leaves together, the others one by one. A batch that fails is sent one by one.
pub async fn carry_out(
	chain: &impl SettlementChain,
	claims: Vec<Claim>,
	tell: &mut (dyn FnMut(&Done) + Send),
) -> Vec<Done> {
	let (leaves, others): (Vec<Claim>, Vec<Claim>) = claims
		.into_iter()
		.partition(|claim| claim.kind == Kind::Leaf);
	let mut all = Vec::new();
	let mut alone = Vec::new();
	for batch in leaves.chunks(BATCH) {
		let calls = batch.iter().map(|claim| claim.call.clone()).collect();
		if batch.len() > 1 && chain.send(calls).await.is_ok() {
			for claim in batch {
				let done = Done::of(claim, None);
				tell(&done);
				all.push(done);
			}
		} else {
			alone.extend(batch.iter().cloned());
		}
	}
	for claim in alone.into_iter().chain(others) {
		let sent = chain.send(vec![claim.call.clone()]).await;
		let failure = sent
			.err()
			.filter(|error| !DONE_BEFORE.iter().any(|name| error.contains(name)));
		let done = Done::of(&claim, failure);
		tell(&done);
		all.push(done);
	}
	all
}

/// Whether all that could be claimed was.
pub async fn command(args: ClaimArgs) -> anyhow::Result<bool> {
	let key = match args.dry_run {
		true => None,
		false => Some(load_worker_key(args.key.as_deref(), CLAIM_VARIABLE)?),
	};
	let node = Node::new(args.purse.chain.url.clone(), key);
	let found = books(&args.purse, &node).await?;
	let mut claims = Vec::new();
	let mut complete = true;
	for book in &found.books {
		match book {
			Ok(book) => {
				let survey = survey(&node, &found.proofs, &found.store, book, false)
					.await
					.map_err(anyhow::Error::msg)?;
				let eras = survey.eras(book);
				claims.extend(era::claims(&book.party(), &eras, args.report_short));
			},
			Err(reason) => {
				complete = false;
				eprintln!("problem  {reason}");
			},
		}
	}
	let done = match args.dry_run {
		true => claims
			.iter()
			.map(|claim| Done::of(claim, None))
			.inspect(|done| {
				if !args.json {
					println!("would claim  {}", done.sentence());
				}
			})
			.collect(),
		false => {
			let json = args.json;
			carry_out(&node, claims, &mut |done| match &done.failure {
				_ if json => {},
				None => println!("claimed  {}", done.sentence()),
				Some(reason) => {
					println!("problem  {}: {}", done.sentence(), printable(reason));
				},
			})
			.await
		},
	};
	complete &= done.iter().all(|done| done.failure.is_none());
	let total = done
		.iter()
		.filter(|done| done.failure.is_none())
		.fold(0, |sum: u128, done| sum.saturating_add(done.amount.0));
	if args.json {
		let output = serde_json::json!({
			"dry_run": args.dry_run, "claims": done, "total": Amount(total), "complete": complete,
		});
		println!("{output}");
	} else if done.is_empty() {
		println!("nothing can be claimed now; `offchain-miner earnings` says what is to come");
	} else {
		println!("{} in all", Amount(total));
	}
	Ok(complete)
}
