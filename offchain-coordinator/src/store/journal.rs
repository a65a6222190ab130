//! The journal in the store. Entries are only ever added, by the transaction that moves the money.

use super::{
	ledger::EraState,
	rows::{read_ms, stored_ms},
	sql::{scale, values, Dialect, Row, Sql},
	Result, Store, StoreError,
};
use crate::{
	clock::UnixMs,
	ledger::{
		journal::{Account, Balances, Entry},
		Payer, Purse,
	},
};
use cuckoo_primitives::{task::TaskId, AccountId, Balance, EraIndex};
use std::collections::BTreeMap;

/// Entries that are read at once.
const PAGE: u32 = 10_000;

/// An entry as it is stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Booked {
	/// Its place in the journal.
	pub seq: i64,
	/// When it was booked.
	pub at_ms: UnixMs,
	/// What was.
	pub entry: Entry,
}

impl Booked {
	fn from_row(row: &Row) -> Result<Self> {
		Ok(Self {
			seq: row.get("seq")?,
			at_ms: read_ms(row.get("at_ms")?),
			entry: Entry {
				key: row.get("key")?,
				debit: account(row, "debit")?,
				credit: account(row, "credit")?,
				amount: row.decode("amount")?,
				task: row.decode_optional("task")?,
				era: row.get("era")?,
			},
		})
	}
}

fn account(row: &Row, column: &'static str) -> Result<Account> {
	Account::parse(&row.get::<String>(column)?).ok_or(StoreError::Corrupt("account"))
}

/// Books a movement, once: a key that is there already fails the transaction. Nothing is no movement.
pub(super) fn post(sql: &mut dyn Sql, entry: &Entry, at_ms: UnixMs) -> Result<()> {
	if entry.amount == 0 {
		return Ok(());
	}
	sql.execute(
		"INSERT INTO journal (at_ms, key, debit, credit, amount, task, era) \
		 VALUES ($1, $2, $3, $4, $5, $6, $7)",
		values![
			stored_ms(at_ms),
			&entry.key,
			entry.debit.to_string().as_str(),
			entry.credit.to_string().as_str(),
			scale(&entry.amount),
			entry.task.as_ref().map(scale),
			entry.era,
		],
	)?;
	Ok(())
}

/// Whether a movement is booked.
pub(super) fn is_booked(sql: &mut dyn Sql, key: &str) -> Result<bool> {
	let found = sql.row("SELECT 1 FROM journal WHERE key = $1", values![key])?;
	Ok(found.is_some())
}

/// Lets the database refuse what is not an addition.
fn close_to_changes(sql: &mut dyn Sql) -> Result<()> {
	sql.batch(match sql.dialect() {
		Dialect::Sqlite => {
			"CREATE TRIGGER journal_keeps BEFORE UPDATE ON journal \
			 BEGIN SELECT RAISE(ABORT, 'the journal is only added to'); END; \
			 CREATE TRIGGER journal_stays BEFORE DELETE ON journal \
			 BEGIN SELECT RAISE(ABORT, 'the journal is only added to'); END;"
		},
		Dialect::Postgres => {
			"CREATE FUNCTION journal_is_only_added_to() RETURNS trigger LANGUAGE plpgsql AS \
			 $$ BEGIN RAISE EXCEPTION 'the journal is only added to'; END $$; \
			 CREATE TRIGGER journal_keeps BEFORE UPDATE OR DELETE OR TRUNCATE ON journal \
			 FOR EACH STATEMENT EXECUTE FUNCTION journal_is_only_added_to();"
		},
	})
}

/// Opens the journal on a store that has money already: an entry for what each account has, so that its
/// sums are those of the other tables from the beginning.
pub(super) fn open(sql: &mut dyn Sql, now_ms: UnixMs) -> Result<()> {
	close_to_changes(sql)?;
	let purses = sql.rows("SELECT * FROM purses ORDER BY payer", &[], |row| {
		let payer = Payer::parse(&row.get::<String>("payer")?);
		let purse = Purse {
			paid_in: row.decode("paid_in")?,
			held: row.decode("held")?,
			spent: row.decode("spent")?,
		};
		Ok((payer.ok_or(StoreError::Corrupt("payer"))?, purse))
	})?;
	for (payer, purse) in purses {
		let amounts = [purse.available(), purse.held, purse.spent];
		for (account, amount) in Account::of_payer(&payer).into_iter().zip(amounts) {
			post(sql, &Entry::open(account, amount), now_ms)?;
		}
	}
	let query = "SELECT era, state FROM eras";
	let states: Vec<(EraIndex, String)> =
		sql.rows(query, &[], |row| Ok((row.get("era")?, row.get("state")?)))?;
	let posted =
		|(era, state): &(EraIndex, String)| (state == EraState::Posted.name()).then_some((*era, 0));
	let mut settled: BTreeMap<EraIndex, Balance> = states.iter().filter_map(posted).collect();
	let earnings = sql.rows("SELECT * FROM earnings ORDER BY era, miner", &[], |row| {
		let (miner, era): (AccountId, EraIndex) = (row.decode("miner")?, row.get("era")?);
		Ok((miner, era, row.decode::<Balance>("amount")?))
	})?;
	for (miner, era, amount) in earnings {
		if let Some(sum) = settled.get_mut(&era) {
			*sum = sum.saturating_add(amount);
		}
		post(
			sql,
			&Entry::open(Account::Earned { miner, era }, amount),
			now_ms,
		)?;
	}
	for (era, sum) in settled {
		post(sql, &Entry::open(Account::Settled(era), sum), now_ms)?;
	}
	Ok(())
}

/// The sums of the whole journal by account. What cannot be added up is named in `odd`.
pub(super) fn balances(sql: &mut dyn Sql, odd: &mut Vec<String>) -> Result<(u64, Balances)> {
	let (mut balances, mut entries, mut last) = (Balances::default(), 0, 0i64);
	loop {
		let query = "SELECT seq, debit, credit, amount FROM journal WHERE seq > $1 \
			ORDER BY seq LIMIT $2";
		let rows = sql.query(query, values![last, PAGE])?;
		for row in &rows {
			last = row.get("seq")?;
			entries += 1;
			let read = (|| {
				Ok((
					account(row, "debit")?,
					account(row, "credit")?,
					row.decode("amount")?,
				))
			})();
			let added = read.map(|(debit, credit, amount)| balances.add(debit, credit, amount));
			if !matches!(added, Result::Ok(true)) {
				odd.push(format!("entry {last} of the journal is broken"));
			}
		}
		if rows.len() < PAGE as usize {
			return Ok((entries, balances));
		}
	}
}

/// Which entries are asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Of {
	/// All.
	All,
	/// Those of an app or channel.
	Payer(Payer),
	/// What a miner has earned: in one era, or in all.
	Miner(AccountId, Option<EraIndex>),
	/// Those of a task.
	Task(TaskId),
	/// Those of an era.
	Era(EraIndex),
}

impl Store {
	/// The newest of these entries, newest first.
	pub async fn journal(&self, of: Of, limit: u32) -> Result<Vec<Booked>> {
		self.read(move |sql| entries(sql, &of, limit)).await
	}
}

/// The newest of these entries, newest first.
pub(crate) fn entries(sql: &mut dyn Sql, of: &Of, limit: u32) -> Result<Vec<Booked>> {
	let read = Booked::from_row;
	match of {
		Of::All => {
			let query = "SELECT * FROM journal ORDER BY seq DESC LIMIT $1";
			sql.rows(query, values![limit], read)
		},
		Of::Payer(payer) => {
			// Whatever concerns a payer credits one of its accounts.
			let [available, held, spent] = Account::of_payer(payer).map(|it| it.to_string());
			let query = "SELECT * FROM journal WHERE credit IN ($1, $2, $3) \
				ORDER BY seq DESC LIMIT $4";
			sql.rows(query, values![&available, &held, &spent, limit], read)
		},
		Of::Miner(miner, Some(era)) => {
			let (miner, era) = (miner.clone(), *era);
			let account = Account::Earned { miner, era }.to_string();
			let query = "SELECT * FROM journal WHERE credit = $1 ORDER BY seq DESC LIMIT $2";
			sql.rows(query, values![&account, limit], read)
		},
		Of::Miner(miner, None) => {
			// Every text that begins so lies between these.
			let (first, end) = (format!("earned:{miner}:"), format!("earned:{miner};"));
			let query = "SELECT * FROM journal WHERE credit >= $1 AND credit < $2 \
				ORDER BY seq DESC LIMIT $3";
			sql.rows(query, values![&first, &end, limit], read)
		},
		Of::Task(task) => {
			let query = "SELECT * FROM journal WHERE task = $1 ORDER BY seq DESC LIMIT $2";
			sql.rows(query, values![scale(task), limit], read)
		},
		Of::Era(era) => {
			let query = "SELECT * FROM journal WHERE era = $1 ORDER BY seq DESC LIMIT $2";
			sql.rows(query, values![*era, limit], read)
		},
	}
}
