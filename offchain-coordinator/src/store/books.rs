//! Everything that the store says of money, at one moment, to be checked against itself.

use super::{
	journal,
	ledger::{closed, EraRow},
	sql::{values, Dialect, Row, Sql},
	Result, Store, StoreError,
};
use crate::{
	coordinator::{self, Coordinator},
	ledger::{journal::Balances, Payer, Purse},
};
use codec::Decode;
use cuckoo_primitives::{sum_tree::Leaf, voucher::ChannelId, AccountId, Balance, EraIndex, H256};
use std::collections::BTreeMap;

/// Tasks that are read at once.
const PAGE: u32 = 10_000;

/// What a payer's tasks add up to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Costs {
	/// The prices of those that have not ended.
	pub open: Balance,
	/// The prices of those that are done.
	pub done: Balance,
}

/// A payer's purse as it is stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PurseRow {
	/// The money.
	pub purse: Purse,
	/// Of what is spent, what no task shows.
	pub forgotten: Balance,
	/// The channel, if it is one, with what was redeemed of it as of the last look, and whether it is gone.
	pub channel: Option<(ChannelId, Balance, bool)>,
}

/// What a miner has earned in an era, as it is stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EarningsRow {
	/// All of it.
	pub amount: Balance,
	/// Of that, what no task shows.
	pub forgotten: Balance,
}

/// Everything that the store says of money.
#[derive(Clone, Debug, Default)]
pub struct Books {
	/// The chain.
	pub genesis: Option<H256>,
	/// The coordinator's operator.
	pub operator: Option<AccountId>,
	/// How many tasks somebody pays for.
	pub tasks: u64,
	/// How many of them are done.
	pub done: u64,
	/// What they add up to, by who pays.
	pub costs: BTreeMap<Payer, Costs>,
	/// What those that are done have earned, by era and miner.
	pub pay: BTreeMap<(EraIndex, AccountId), Balance>,
	/// Tasks whose state does not fit whether they were earned for, and entries that cannot be read.
	pub odd: Vec<String>,
	/// The purses.
	pub purses: BTreeMap<Payer, PurseRow>,
	/// The earnings.
	pub earnings: BTreeMap<(EraIndex, AccountId), EarningsRow>,
	/// The closed eras.
	pub eras: BTreeMap<EraIndex, EraRow>,
	/// The last that is closed.
	pub closed: Option<EraIndex>,
	/// How many entries the journal has.
	pub entries: u64,
	/// What they add up to, by account.
	pub journal: Balances,
}

impl Books {
	/// What was earned in an era, as leaves.
	pub fn leaves(&self, era: EraIndex) -> Vec<Leaf> {
		let of_era = self.earnings.iter().filter(|((of, _), _)| *of == era);
		let leaf = |((_, miner), row): (&(EraIndex, AccountId), &EarningsRow)| Leaf {
			miner: miner.clone(),
			amount: row.amount,
		};
		of_era.map(leaf).collect()
	}

	fn add_task(&mut self, row: &Row) -> Result<()> {
		let id: Vec<u8> = row.get("id")?;
		let state: String = row.get("state")?;
		let payer = Payer::parse(&row.get::<String>("payer")?);
		let payer = payer.ok_or(StoreError::Corrupt("payer"))?;
		let price: Balance = row.decode("price")?;
		let pay: Balance = row.decode("pay")?;
		let era: Option<EraIndex> = row.get("earned_era")?;
		let costs = self.costs.entry(payer).or_default();
		self.tasks += 1;
		match state.as_str() {
			"done" => {
				self.done += 1;
				costs.done = costs.done.saturating_add(price);
			},
			"queued" | "assigned" | "running" | "submitted" => {
				costs.open = costs.open.saturating_add(price);
			},
			_ => {},
		}
		if (state == "done") != era.is_some() {
			self.odd.push(format!(
				"task 0x{} is {state}, and was earned for in era {era:?}",
				hex::encode(id)
			));
		}
		if let Some(era) = era.filter(|_| pay > 0) {
			let sum = self.pay.entry((era, row.decode("miner")?)).or_default();
			*sum = sum.saturating_add(pay);
		}
		Ok(())
	}
}

fn meta<T: Decode>(sql: &mut dyn Sql, key: &str) -> Result<Option<T>> {
	let row = sql.row("SELECT value FROM meta WHERE key = $1", values![key])?;
	row.map(|row| row.decode("value")).transpose()
}

fn purse_row(row: &Row) -> Result<(Payer, PurseRow)> {
	let payer = Payer::parse(&row.get::<String>("payer")?);
	let purse = Purse {
		paid_in: row.decode("paid_in")?,
		held: row.decode("held")?,
		spent: row.decode("spent")?,
	};
	let channel = match row.get::<Option<u64>>("channel")? {
		Some(channel) => {
			let gone = row.get::<Option<i64>>("gone_ms")?.is_some();
			Some((channel, row.decode("redeemed")?, gone))
		},
		None => None,
	};
	let row = PurseRow {
		purse,
		forgotten: row.decode("forgotten")?,
		channel,
	};
	Ok((payer.ok_or(StoreError::Corrupt("payer"))?, row))
}

/// Reads everything, in a transaction that sees one moment.
pub(super) fn read(sql: &mut dyn Sql) -> Result<Books> {
	let mut books = Books {
		genesis: meta(sql, "genesis")?,
		operator: meta(sql, "operator")?,
		closed: closed(sql)?,
		..Books::default()
	};
	let purses = sql.rows("SELECT * FROM purses", &[], purse_row)?;
	books.purses.extend(purses);
	let earnings = sql.rows("SELECT * FROM earnings", &[], |row| {
		let key = (row.get("era")?, row.decode("miner")?);
		let earnings = EarningsRow {
			amount: row.decode("amount")?,
			forgotten: row.decode("forgotten")?,
		};
		Ok((key, earnings))
	})?;
	books.earnings.extend(earnings);
	let eras = sql.rows("SELECT * FROM eras", &[], EraRow::from_row)?;
	books
		.eras
		.extend(eras.into_iter().map(|row| (row.era, row)));
	(books.entries, books.journal) = journal::balances(sql, &mut books.odd)?;
	let mut last: i64 = -1;
	loop {
		let query = "SELECT seq, id, state, payer, price, pay, miner, earned_era FROM tasks \
			WHERE payer IS NOT NULL AND seq > $1 ORDER BY seq LIMIT $2";
		let rows = sql.query(query, values![last, PAGE])?;
		for row in &rows {
			books.add_task(row)?;
			last = row.get("seq")?;
		}
		if rows.len() < PAGE as usize {
			return Ok(books);
		}
	}
}

/// Reads something at one moment, also while a coordinator runs on the store.
fn at_once<T>(sql: &mut dyn Sql, read: impl FnOnce(&mut dyn Sql) -> Result<T>) -> Result<T> {
	sql.batch(match sql.dialect() {
		Dialect::Sqlite => "BEGIN",
		Dialect::Postgres => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
	})?;
	let found = read(sql);
	sql.rollback();
	found
}

/// Everything that the store says of money, also while a coordinator runs on it.
pub(crate) fn books(sql: &mut dyn Sql) -> Result<Books> {
	at_once(sql, read)
}

/// The sums of the journal by account, also while a coordinator runs on the store.
pub(crate) fn balances(sql: &mut dyn Sql) -> Result<Balances> {
	let mut odd = Vec::new();
	let (_, balances) = at_once(sql, |sql| journal::balances(sql, &mut odd))?;
	match odd.is_empty() {
		true => Ok(balances),
		false => Err(StoreError::Corrupt("journal")),
	}
}

impl Coordinator {
	/// Everything that its store says of money.
	pub async fn books(&self) -> coordinator::Result<Books> {
		self.store().books().await.map_err(coordinator::internal)
	}
}

impl Store {
	/// Everything that the store says of money.
	pub async fn books(&self) -> Result<Books> {
		self.write(read, |_| {}).await
	}
}
