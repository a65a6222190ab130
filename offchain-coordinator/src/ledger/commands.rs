//! The commands `offchain-coordinator reconcile` and `settlement status`.

use super::{
	chain::MoneyChain,
	node::Node,
	reconcile::{self, Findings},
};
use crate::store::{self, Books, EraState, Place, SQLITE};
use clap::{Args, Subcommand};
use cuckoo_coordinator_api::Amount;
use cuckoo_primitives::{AccountId, Balance, EraIndex};
use serde::Serialize;
use std::{fmt::Write, path::PathBuf};

/// Where the store is, and the chain.
#[derive(Args, Clone, Debug)]
pub struct Where {
	/// Where tasks and pictures are kept [default: the user's data folder].
	#[arg(long, global = true)]
	pub data_dir: Option<PathBuf>,
	/// Where the store is: `sqlite`, or postgres://USER@HOST:PORT/DATABASE.
	#[arg(long, global = true, value_name = "URL", default_value = SQLITE)]
	#[arg(env = "CUCKOO_COORDINATOR_STORE_URL")]
	pub store_url: String,
	/// WebSocket URL of a node, to look at the chain too.
	#[arg(
		long,
		global = true,
		value_name = "URL",
		env = "CUCKOO_COORDINATOR_CHAIN"
	)]
	pub chain: Option<String>,
	/// Prints JSON.
	#[arg(long, global = true)]
	pub json: bool,
}

/// `reconcile`.
#[derive(Args, Clone, Debug)]
pub struct Reconcile {
	/// Where to look.
	#[command(flatten)]
	pub place: Where,
}

/// `settlement` with what follows it.
#[derive(Args, Clone, Debug)]
pub struct Settlement {
	/// Where to look.
	#[command(flatten)]
	pub place: Where,
	/// What to do.
	#[command(subcommand)]
	pub command: SettlementCommand,
}

/// What to do about settlement.
#[derive(Subcommand, Clone, Debug)]
pub enum SettlementCommand {
	/// Prints the reserve and how each era stands.
	Status,
}

/// An era as it is printed.
#[derive(Clone, Debug, Serialize)]
struct EraLine {
	era: EraIndex,
	state: &'static str,
	miners: usize,
	owed: Amount,
	claimed: Option<Amount>,
}

/// How settlement stands, as it is printed.
#[derive(Clone, Debug, Serialize)]
struct Status {
	era: Option<EraIndex>,
	reserve: Option<Amount>,
	free: Option<Amount>,
	allotted: Option<Amount>,
	eras: Vec<EraLine>,
}

fn books(place: &Place) -> anyhow::Result<Books> {
	let mut connection = place.connect_beside()?;
	Ok(store::books(&mut *connection)?)
}

impl Where {
	fn node(&self) -> Option<Node> {
		self.chain.clone().map(Node::reader)
	}
}

impl Reconcile {
	/// Checks the books in this place. Gives what to print, and whether all is well.
	pub async fn run(&self, place: &Place) -> anyhow::Result<(String, bool)> {
		let books = read(place).await?;
		let node = self.place.node();
		let chain = node.as_ref().map(|node| node as &dyn MoneyChain);
		let findings = reconcile::check(&books, chain.zip(books.operator.as_ref())).await?;
		let is_well = findings.differences.is_empty();
		let text = if self.place.json {
			serde_json::to_string_pretty(&findings)? + "\n"
		} else {
			text(&findings)
		};
		Ok((text, is_well))
	}
}

async fn read(place: &Place) -> anyhow::Result<Books> {
	let place = place.clone();
	tokio::task::spawn_blocking(move || books(&place)).await?
}

fn text(findings: &Findings) -> String {
	let mut text = format!(
		"tasks {} (done {})\navailable {}\nheld {}\nspent {}\nearned {}\neras closed {}\n\
		 journal entries {}\nchain {}\n",
		findings.tasks,
		findings.done,
		findings.available,
		findings.held,
		findings.spent,
		findings.earned,
		findings.eras,
		findings.entries,
		if findings.with_chain {
			"looked at"
		} else {
			"not looked at"
		},
	);
	for difference in &findings.differences {
		let _ = writeln!(text, "difference: {difference}");
	}
	if findings.differences.is_empty() {
		text.push_str("everything adds up\n");
	}
	text
}

impl Settlement {
	/// Prints how settlement stands in this place.
	pub async fn run(&self, place: &Place) -> anyhow::Result<String> {
		let SettlementCommand::Status = self.command;
		let books = read(place).await?;
		let node = self.place.node();
		let chain = node.as_ref().zip(books.operator.as_ref());
		let status = status(&books, chain).await?;
		if self.place.json {
			return Ok(serde_json::to_string_pretty(&status)? + "\n");
		}
		Ok(status.text())
	}
}

async fn status(books: &Books, chain: Option<(&Node, &AccountId)>) -> anyhow::Result<Status> {
	let facts = match chain {
		Some((node, operator)) => Some(node.facts(operator).await?),
		None => None,
	};
	let reserve = facts.map(|facts| facts.reserve);
	let mut status = Status {
		era: facts.map(|facts| facts.era),
		reserve: reserve.map(|reserve| Amount(reserve.balance)),
		free: reserve.map(|reserve| Amount(reserve.free())),
		allotted: reserve.map(|reserve| Amount(reserve.allotted)),
		eras: Vec::new(),
	};
	let mut eras: Vec<EraIndex> = books.earnings.keys().map(|(era, _)| *era).collect();
	eras.dedup();
	for era in eras {
		let leaves = books.leaves(era);
		let state = books.eras.get(&era).map_or("open", |row| row.state.name());
		let claimed = match chain.filter(|_| state == EraState::Posted.name()) {
			Some((node, operator)) => node.settled(operator, era).await?,
			None => None,
		};
		status.eras.push(EraLine {
			era,
			state,
			miners: leaves.len(),
			owed: Amount(
				leaves
					.iter()
					.fold(0, |sum: Balance, leaf| sum.saturating_add(leaf.amount)),
			),
			claimed: claimed.map(|settled| Amount(settled.claimed)),
		});
	}
	Ok(status)
}

impl Status {
	fn text(&self) -> String {
		let mut text = String::new();
		let shown = [
			("reserve", self.reserve),
			("free", self.free),
			("allotted", self.allotted),
		];
		for (name, amount) in shown {
			if let Some(amount) = amount {
				let _ = writeln!(text, "{name} {amount}");
			}
		}
		for line in &self.eras {
			let claimed = line
				.claimed
				.map_or("-".into(), |claimed| claimed.to_string());
			let _ = writeln!(
				text,
				"era {}\t{}\tminers {}\towed {}\tclaimed {claimed}",
				line.era, line.state, line.miners, line.owed
			);
		}
		if self.eras.is_empty() {
			text.push_str("nothing was earned yet\n");
		}
		text
	}
}
