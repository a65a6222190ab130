//! The command `offchain-coordinator ledger`: the journal's entries, and what its accounts have.

use super::{
	journal::{Account, Balances, Side, Sums},
	Payer,
};
use crate::{
	admin::text::table,
	clock::utc,
	flags::MoneyArgs,
	store::{
		self,
		sql::{values, Sql},
		Booked, Of, Place,
	},
};
use clap::Args;
use cuckoo_coordinator_api::Amount;
use cuckoo_primitives::{task::TaskId, voucher::ChannelId, AccountId, Balance, EraIndex};
use serde::Serialize;

/// What is printed for what is not there.
const NOTHING: &str = "-";

/// `ledger`.
#[derive(Args, Clone, Debug)]
#[command(mut_arg("chain", |arg| arg.hide(true)))]
#[command(mut_arg("worker-key", |arg| arg.hide(true)))]
#[command(mut_arg("settlement-key", |arg| arg.hide(true)))]
#[command(after_help = "\
Every movement of money is one entry: an amount leaves the debited account for the credited one. \
The accounts:
  available:APP       what an app can still spend; APP is its id, or channel-NUMBER
  held:APP            set aside for its tasks that have not ended
  spent:APP           what its tasks have cost
  earned:MINER:ERA    what a miner has earned in an era
  pay                 what miners' work has cost
  settled:ERA         what the chain has taken over of the era's earnings
  pool, audit, burned where the rest of settlements' fees went
  outside             apps' wallets and the coordinator's reserve
Keys say what happened: credit, voucher, hold, spend, earn, back, settle; the number after it is the \
task's in the order of acceptance, the channel's, or the era's.

Examples:
  offchain-coordinator ledger --data-dir DIR                       the newest 50 entries
  offchain-coordinator ledger --data-dir DIR --app \"picture bot\"   those of an app
  offchain-coordinator ledger --data-dir DIR --balances            the trial balance
  offchain-coordinator ledger --data-dir DIR --era 812 --csv --limit 1000000 > era-812.csv")]
pub struct Ledger {
	/// Where to look. Nothing is asked of the chain here.
	#[command(flatten)]
	pub place: MoneyArgs,
	/// Only what concerns this app, by its name or id.
	#[arg(long, value_name = "NAME", group = "of")]
	pub app: Option<String>,
	/// Only what concerns this channel.
	#[arg(long, value_name = "NUMBER", group = "of")]
	pub channel: Option<ChannelId>,
	/// Only what this miner has earned; with --era, in that era.
	#[arg(long, value_name = "ACCOUNT", group = "of")]
	pub miner: Option<AccountId>,
	/// Only what concerns this task.
	#[arg(long, value_name = "ID", group = "of", conflicts_with = "balances")]
	pub task: Option<TaskId>,
	/// Only what concerns this era: what was earned in it, and its settlement.
	#[arg(long, value_name = "ERA", conflicts_with_all = ["app", "channel", "task"])]
	pub era: Option<EraIndex>,
	/// How many entries at most, newest first.
	#[arg(
		long,
		value_name = "N",
		default_value_t = 50,
		conflicts_with = "balances"
	)]
	#[arg(value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
	pub limit: u32,
	/// Prints what the accounts were debited and credited with, instead of entries: those of the app,
	/// channel, miner or era; without one of these, of all accounts by their kind.
	#[arg(long)]
	pub balances: bool,
	/// Prints JSON. Amounts are in the smallest unit, 10^-12 CUC.
	#[arg(long)]
	pub json: bool,
	/// Prints comma-separated values with a header, for spreadsheets.
	#[arg(long, conflicts_with = "json")]
	pub csv: bool,
}

/// An entry as it is printed.
#[derive(Clone, Debug, Serialize)]
struct EntryLine {
	seq: i64,
	time: String,
	key: String,
	debit: String,
	credit: String,
	amount: Amount,
	task: Option<TaskId>,
	era: Option<EraIndex>,
}

impl From<Booked> for EntryLine {
	fn from(booked: Booked) -> Self {
		let entry = booked.entry;
		Self {
			seq: booked.seq,
			time: utc(booked.at_ms),
			key: entry.key,
			debit: entry.debit.to_string(),
			credit: entry.credit.to_string(),
			amount: Amount(entry.amount),
			task: entry.task,
			era: entry.era,
		}
	}
}

/// An account, or all of a kind, as it is printed.
#[derive(Clone, Debug, Serialize)]
struct BalanceLine {
	account: String,
	debits: Amount,
	credits: Amount,
	balance: Amount,
	side: &'static str,
}

impl BalanceLine {
	fn new(account: String, sums: Sums) -> Self {
		let balance = |side| sums.balance(side).filter(|balance: &Balance| *balance > 0);
		let (balance, side) = match (balance(Side::Debit), balance(Side::Credit)) {
			(Some(balance), _) => (balance, "debit"),
			(_, Some(balance)) => (balance, "credit"),
			(None, None) => (0, NOTHING),
		};
		Self {
			account,
			debits: Amount(sums.debits),
			credits: Amount(sums.credits),
			balance: Amount(balance),
			side,
		}
	}
}

impl Ledger {
	/// Prints what is asked for. Blocks.
	pub fn run(&self, place: &Place) -> anyhow::Result<String> {
		let mut connection = place.connect_beside()?;
		let of = self.of(&mut *connection)?;
		if self.balances {
			let balances = store::balances(&mut *connection)?;
			return self.print(&lines(&balances, &of), BALANCES);
		}
		let entries = store::entries(&mut *connection, &of, self.limit)?;
		let lines: Vec<EntryLine> = entries.into_iter().map(EntryLine::from).collect();
		self.print(&lines, ENTRIES)
	}

	fn of(&self, sql: &mut dyn Sql) -> anyhow::Result<Of> {
		Ok(
			match (&self.app, self.channel, &self.miner, self.task, self.era) {
				(Some(app), ..) => {
					let query = "SELECT id FROM apps WHERE name = $1 OR id = $1";
					let found = sql.row(query, values![app])?;
					let found = found.ok_or_else(|| {
						anyhow::anyhow!("no app is called {app}: see `keys list`")
					})?;
					Of::Payer(Payer::Account(found.get("id")?))
				},
				(_, Some(channel), ..) => Of::Payer(Payer::Channel(channel)),
				(_, _, Some(miner), _, era) => Of::Miner(miner.clone(), era),
				(_, _, _, Some(task), _) => Of::Task(task),
				(_, _, _, _, Some(era)) => Of::Era(era),
				_ => Of::All,
			},
		)
	}

	fn print<T: Serialize>(&self, lines: &[T], columns: &[Column<T>]) -> anyhow::Result<String> {
		if self.json {
			return Ok(serde_json::to_string_pretty(lines)? + "\n");
		}
		if self.csv {
			return Ok(csv(lines, columns));
		}
		if lines.is_empty() {
			return Ok("nothing is booked of that\n".into());
		}
		let shown = || columns.iter().filter(|column| column.for_people);
		let head: Vec<&str> = shown().map(|column| column.name).collect();
		let row = |line: &T| shown().map(|column| (column.cell)(line)).collect();
		Ok(table(&head, &lines.iter().map(row).collect::<Vec<_>>()))
	}
}

/// The accounts that are asked for, and of a trial balance the total.
fn lines(balances: &Balances, of: &Of) -> Vec<BalanceLine> {
	if *of == Of::All {
		let kinds = balances.by_kind();
		let kinds = kinds
			.iter()
			.map(|(kind, sums)| BalanceLine::new(kind.name().into(), *sums));
		let total = BalanceLine::new("total".into(), balances.total());
		return kinds.chain([total]).collect();
	}
	let accounts = balances.iter().filter(|(account, _)| concerns(account, of));
	let lines = accounts.map(|(account, sums)| BalanceLine::new(account.to_string(), *sums));
	lines.collect()
}

fn concerns(account: &Account, of: &Of) -> bool {
	match (of, account) {
		(Of::All, _) => true,
		(Of::Payer(payer), Account::Available(its) | Account::Held(its) | Account::Spent(its)) => {
			its == payer
		},
		(
			Of::Miner(miner, era),
			Account::Earned {
				miner: its,
				era: of,
			},
		) => its == miner && era.is_none_or(|era| era == *of),
		(Of::Era(era), Account::Earned { era: of, .. } | Account::Settled(of)) => era == of,
		_ => false,
	}
}

/// A column of what is printed.
struct Column<T> {
	name: &'static str,
	cell: fn(&T) -> String,
	/// Whether the table for people has it too.
	for_people: bool,
}

const fn both<T>(name: &'static str, cell: fn(&T) -> String) -> Column<T> {
	Column {
		name,
		cell,
		for_people: true,
	}
}

const fn csv_only<T>(name: &'static str, cell: fn(&T) -> String) -> Column<T> {
	Column {
		name,
		cell,
		for_people: false,
	}
}

fn optional<T: ToString>(value: Option<T>) -> String {
	value.map_or(NOTHING.into(), |value| value.to_string())
}

const ENTRIES: &[Column<EntryLine>] = &[
	both("seq", |line| line.seq.to_string()),
	both("time", |line| line.time.clone()),
	both("key", |line| line.key.clone()),
	both("debit", |line| line.debit.clone()),
	both("credit", |line| line.credit.clone()),
	both("cuc", |line| line.amount.to_cuc()),
	csv_only("amount", |line| line.amount.0.to_string()),
	both("task", |line| optional(line.task)),
	both("era", |line| optional(line.era)),
];

const BALANCES: &[Column<BalanceLine>] = &[
	both("account", |line| line.account.clone()),
	both("debits", |line| line.debits.to_cuc()),
	both("credits", |line| line.credits.to_cuc()),
	both("balance", |line| line.balance.to_cuc()),
	csv_only("amount", |line| line.balance.0.to_string()),
	both("side", |line| line.side.into()),
];

/// As RFC 4180 has it.
fn csv<T>(lines: &[T], columns: &[Column<T>]) -> String {
	let quoted = |cell: String| match cell.contains(['"', ',', '\n', '\r']) {
		true => format!("\"{}\"", cell.replace('"', "\"\"")),
		false => cell,
	};
	let line = |cells: Vec<String>| cells.join(",") + "\n";
	let head = columns.iter().map(|column| column.name.into()).collect();
	let rows = lines.iter().map(|it| {
		let cells = columns.iter().map(|column| (column.cell)(it));
		// What is not there is empty for machines.
		line(
			cells
				.map(|cell| {
					if cell == NOTHING {
						String::new()
					} else {
						quoted(cell)
					}
				})
				.collect(),
		)
	});
	line(head) + &rows.collect::<String>()
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn cells_with_commas_and_quotes_are_quoted() {
		let columns = [
			both("a,b", |it: &&str| (*it).to_owned()),
			csv_only("c", |_| NOTHING.into()),
		];
		assert_eq!(
			csv(&["x", "1,2", "say \"7\""], &columns),
			"a,b,c\nx,\n\"1,2\",\n\"say \"\"7\"\"\",\n"
		);
	}

	#[test]
	fn balances_are_of_what_was_asked_for() {
		let (app, other) = (Payer::Account("app-1".into()), Payer::Channel(1));
		let miner = |byte| AccountId::new([byte; 32]);
		let earned = |byte, era| Account::Earned {
			miner: miner(byte),
			era,
		};
		let mut balances = Balances::default();
		for (debit, credit, amount) in [
			(Account::Outside, Account::Available(app.clone()), 9),
			(
				Account::Available(app.clone()),
				Account::Held(app.clone()),
				4,
			),
			(Account::Outside, Account::Available(other), 2),
			(Account::Pay, earned(1, 7), 3),
			(Account::Pay, earned(1, 8), 1),
			(Account::Pay, earned(2, 7), 5),
			(Account::Settled(7), Account::Outside, 8),
		] {
			assert!(balances.add(debit, credit, amount));
		}
		let of = |of| {
			let lines = lines(&balances, &of);
			lines
				.iter()
				.map(|line| (line.account.clone(), line.balance.0, line.side))
				.collect::<Vec<_>>()
		};
		assert_eq!(
			of(Of::Payer(app)),
			[
				("available:app-1".into(), 5, "credit"),
				("held:app-1".into(), 4, "credit")
			]
		);
		assert_eq!(
			of(Of::Miner(miner(1), Some(8))),
			[(earned(1, 8).to_string(), 1, "credit")]
		);
		assert_eq!(of(Of::Miner(miner(1), None)).len(), 2);
		assert_eq!(of(Of::Era(7)).len(), 3);
		assert_eq!(
			of(Of::All),
			[
				("outside".into(), 3, "debit"),
				("available".into(), 7, "credit"),
				("held".into(), 4, "credit"),
				("pay".into(), 9, "debit"),
				("earned".into(), 9, "credit"),
				("settled".into(), 8, "debit"),
				("total".into(), 0, "-"),
			]
		);
	}
}
