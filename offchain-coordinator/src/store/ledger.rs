//! Money in the store: what is held for tasks, what they cost, and what miners earn. Every step is in the
//! transaction of what it belongs to, so that both happen or neither.

use super::{
	journal::{self, post},
	rows::{stored_ms, TaskRow},
	sql::{scale, values, Row, Sql},
	Result, Store, StoreError,
};
use crate::{
	clock::UnixMs,
	ledger::{
		journal::{Entry, Fee},
		Payer, Purse, PurseBroken,
	},
};
use codec::{Decode, Encode};
use cuckoo_coordinator_api::task::TaskState;
use cuckoo_primitives::{
	sum_tree::{Leaf, Root},
	voucher::{ChannelId, ChannelLedger, ChannelVoucher, VoucherFault},
	AccountId, Balance, EraIndex, WorkerSignature, H256,
};

/// Where `meta` has the last era that is closed.
const CLOSED_KEY: &str = "closed_era";

/// Where `meta` has the process that settles, and until when it does.
const SETTLER_KEY: &str = "settler";

/// A channel's voucher that came with a task.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TakenVoucher {
	/// What was signed. The signature is checked before.
	pub voucher: ChannelVoucher,
	/// The signature.
	pub signature: WorkerSignature,
	/// What the channel holds, by the chain.
	pub deposit: Balance,
	/// What was redeemed of it, by the chain.
	pub redeemed: Balance,
}

/// Why a task's price cannot be held.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Short {
	/// There is less on the app's balance.
	Balance {
		/// What there is.
		available: Balance,
		/// What the task costs.
		price: Balance,
	},
	/// The voucher does not pay for the task.
	Voucher {
		/// Why not.
		fault: VoucherFault,
		/// What it must be over.
		due: Balance,
		/// What the channel holds.
		deposit: Balance,
	},
}

/// What a miner has earned in an era.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Earned {
	/// The miner.
	pub miner: AccountId,
	/// The era.
	pub era: EraIndex,
	/// All of it.
	pub cumulative: Balance,
}

impl Earned {
	fn from_row(row: &Row) -> Result<Self> {
		Ok(Self {
			miner: row.decode("miner")?,
			era: row.get("era")?,
			cumulative: row.decode("amount")?,
		})
	}
}

/// Where an era stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EraState {
	/// Its earnings are fixed.
	Closed,
	/// Its root is in a finalized block.
	Posted,
	/// It was too late to post it: its vouchers are claimed.
	Missed,
}

impl EraState {
	const ALL: [Self; 3] = [Self::Closed, Self::Posted, Self::Missed];

	/// The name in the store.
	pub const fn name(self) -> &'static str {
		match self {
			Self::Closed => "closed",
			Self::Posted => "posted",
			Self::Missed => "missed",
		}
	}
}

/// A closed era in which something was earned.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EraRow {
	/// The era.
	pub era: EraIndex,
	/// Where it stands.
	pub state: EraState,
	/// The root of its tree, once that was made.
	pub root: Option<Root>,
	/// Of how many leaves, from the first on, it is known that they were claimed.
	pub claimed: u32,
}

impl EraRow {
	pub(super) fn from_row(row: &Row) -> Result<Self> {
		let name: String = row.get("state")?;
		let state = EraState::ALL.into_iter().find(|it| it.name() == name);
		Ok(Self {
			era: row.get("era")?,
			state: state.ok_or(StoreError::Corrupt("state of an era"))?,
			root: row.decode_optional("root")?,
			claimed: row.get("claimed")?,
		})
	}
}

/// A channel that has paid for something here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChannelRow {
	/// The channel.
	pub channel: ChannelId,
	/// Its money.
	pub purse: Purse,
	/// The signature of the highest voucher.
	pub signature: WorkerSignature,
	/// What was redeemed as of the last look at the chain.
	pub redeemed: Balance,
}

impl ChannelRow {
	fn from_row(row: &Row) -> Result<Self> {
		Ok(Self {
			channel: row.get("channel")?,
			purse: purse(row)?,
			signature: row.decode("signature")?,
			redeemed: row.decode("redeemed")?,
		})
	}
}

impl From<PurseBroken> for StoreError {
	fn from(_: PurseBroken) -> Self {
		Self::Corrupt("purse")
	}
}

fn purse(row: &Row) -> Result<Purse> {
	Ok(Purse {
		paid_in: row.decode("paid_in")?,
		held: row.decode("held")?,
		spent: row.decode("spent")?,
	})
}

fn find(sql: &mut dyn Sql, payer: &Payer) -> Result<Option<Purse>> {
	let query = "SELECT * FROM purses WHERE payer = $1";
	let row = sql.row(query, values![&payer.to_string()])?;
	row.as_ref().map(purse).transpose()
}

fn put(sql: &mut dyn Sql, payer: &Payer, purse: &Purse) -> Result<()> {
	let changed = sql.execute(
		"UPDATE purses SET paid_in = $1, held = $2, spent = $3 WHERE payer = $4",
		values![
			scale(&purse.paid_in),
			scale(&purse.held),
			scale(&purse.spent),
			&payer.to_string()
		],
	)?;
	match changed {
		1 => Ok(()),
		_ => Err(StoreError::Corrupt("purse")),
	}
}

/// A price that is to be held, once the task is in the store.
pub(super) struct Hold<'a> {
	payer: &'a Payer,
	voucher: Option<&'a TakenVoucher>,
	purse: Purse,
	/// What the purse had spent before it came here.
	before: Option<Balance>,
	/// By how much the voucher is higher than what was paid in.
	raised: Balance,
	is_higher: bool,
}

/// What holding a task's price makes of its payer's purse; nothing is written yet.
pub(super) fn hold<'a>(
	sql: &mut dyn Sql,
	payer: &'a Payer,
	voucher: Option<&'a TakenVoucher>,
	price: Balance,
) -> Result<std::result::Result<Hold<'a>, Short>> {
	let found = find(sql, payer)?;
	// A channel that has paid before this store was there begins where the chain has it.
	let first = voucher.map_or(0, |taken| taken.redeemed);
	let begin = Purse {
		paid_in: first,
		held: 0,
		spent: first,
	};
	let mut purse = found.unwrap_or(begin);
	let paid_in = purse.paid_in;
	let mut is_higher = false;
	if let Some(taken) = voucher {
		is_higher = found.is_none() || taken.voucher.cumulative > purse.paid_in;
		if let Err(fault) = check_voucher(&purse, taken, price) {
			let due = purse.committed().saturating_add(price);
			let deposit = taken.deposit;
			return Ok(Err(Short::Voucher {
				fault,
				due,
				deposit,
			}));
		}
		purse.paid_in_total(taken.voucher.cumulative);
	}
	let available = purse.available();
	if !purse.hold(price) {
		return Ok(Err(Short::Balance { available, price }));
	}
	Ok(Ok(Hold {
		payer,
		voucher,
		purse,
		before: found.is_none().then_some(first),
		raised: purse.paid_in.saturating_sub(paid_in),
		is_higher,
	}))
}

/// Vouchers of several tasks at once arrive in any order: the highest of them counts for all, and what is
/// committed is never above it.
fn check_voucher(
	purse: &Purse,
	taken: &TakenVoucher,
	price: Balance,
) -> std::result::Result<(), VoucherFault> {
	let ledger = ChannelLedger {
		coordinator: taken.voucher.coordinator.clone(),
		channel: taken.voucher.channel,
		deposit: taken.deposit,
		highest: purse.committed(),
	};
	let mut highest = taken.voucher.clone();
	highest.cumulative = highest.cumulative.max(purse.paid_in);
	ledger.check(&highest, price)
}

impl Hold<'_> {
	/// Writes it, for this task.
	pub(super) fn put(self, sql: &mut dyn Sql, task: &TaskRow) -> Result<()> {
		self.book(sql, task)?;
		if let Some(before) = self.before {
			let channel = match self.payer {
				Payer::Account(_) => None,
				Payer::Channel(channel) => Some(stored_channel(*channel)?),
			};
			sql.execute(
				"INSERT INTO purses (payer, paid_in, held, spent, forgotten, channel, signature, \
				 redeemed) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
				values![
					&self.payer.to_string(),
					scale(&self.purse.paid_in),
					scale(&self.purse.held),
					scale(&self.purse.spent),
					scale(&before),
					channel,
					self.voucher.map(|taken| scale(&taken.signature)),
					self.voucher.map(|taken| scale(&taken.redeemed)),
				],
			)?;
			return Ok(());
		}
		put(sql, self.payer, &self.purse)?;
		if let Some(taken) = self.voucher.filter(|_| self.is_higher) {
			sql.execute(
				"UPDATE purses SET signature = $1, gone_ms = NULL WHERE payer = $2",
				values![scale(&taken.signature), &self.payer.to_string()],
			)?;
		}
		Ok(())
	}
}

impl Hold<'_> {
	fn book(&self, sql: &mut dyn Sql, task: &TaskRow) -> Result<()> {
		let at_ms = task.updated_ms;
		if let Payer::Channel(channel) = *self.payer {
			let begin = Entry::channel(channel, self.before.unwrap_or(0));
			post(sql, &begin, at_ms)?;
			let voucher = Entry::voucher(channel, self.purse.paid_in, self.raised);
			post(sql, &voucher, at_ms)?;
		}
		let hold = Entry::hold(task.seq, task.id, self.payer, task.terms.price.0);
		post(sql, &hold, at_ms)
	}
}

/// A task that somebody pays for has ended: what was held for it is spent and its miner has earned, or it
/// is given back. `now` is the era of the last finalized block, without which nothing can be earned.
pub(super) fn end(
	sql: &mut dyn Sql,
	task: &TaskRow,
	now: Option<EraIndex>,
) -> Result<Option<Earned>> {
	let Some(payment) = &task.terms.payment else {
		return Ok(None);
	};
	let price = task.terms.price.0;
	let mut purse = find(sql, &payment.payer)?.ok_or(StoreError::Corrupt("purse"))?;
	let (number, at_ms) = (task.seq, task.updated_ms);
	if task.state != TaskState::Done {
		purse.give_back(price)?;
		put(sql, &payment.payer, &purse)?;
		let back = Entry::back(number, task.id, &payment.payer, price);
		post(sql, &back, at_ms)?;
		return Ok(None);
	}
	purse.spend(price)?;
	put(sql, &payment.payer, &purse)?;
	let spend = Entry::spend(number, task.id, &payment.payer, price);
	post(sql, &spend, at_ms)?;
	let now = now.ok_or(StoreError::Corrupt("era"))?;
	let miner = task.miner.as_ref().ok_or(StoreError::Corrupt("miner"))?;
	// No voucher is ever signed over more for an era that is closed.
	let era = closed(sql)?.map_or(now, |closed| now.max(closed.saturating_add(1)));
	sql.execute(
		"UPDATE tasks SET earned_era = $1 WHERE id = $2",
		values![era, scale(&task.id)],
	)?;
	if payment.pay.0 == 0 {
		return Ok(None);
	}
	let before = earned(sql, era, miner)?.map_or(0, |earned| earned.cumulative);
	let cumulative = before
		.checked_add(payment.pay.0)
		.ok_or(StoreError::Corrupt("earnings"))?;
	sql.execute(
		"INSERT INTO earnings (era, miner, amount, forgotten) VALUES ($1, $2, $3, $4) \
		 ON CONFLICT (era, miner) DO UPDATE SET amount = excluded.amount",
		values![
			era,
			scale(miner),
			scale(&cumulative),
			scale(&(0 as Balance))
		],
	)?;
	let earn = Entry::earn(number, task.id, miner.clone(), era, payment.pay.0);
	post(sql, &earn, at_ms)?;
	Ok(Some(Earned {
		miner: miner.clone(),
		era,
		cumulative,
	}))
}

/// A task that has ended is removed. What it has cost and earned stays, as what no task shows.
pub(super) fn forget(sql: &mut dyn Sql, removed: &Row) -> Result<()> {
	let Some(payer) = removed.get::<Option<String>>("payer")? else {
		return Ok(());
	};
	let Some(era) = removed.get::<Option<EraIndex>>("earned_era")? else {
		return Ok(());
	};
	let price: Balance = removed.decode("price")?;
	let query = "SELECT forgotten FROM purses WHERE payer = $1";
	let row = sql.row(query, values![&payer])?;
	let before: Balance = row
		.ok_or(StoreError::Corrupt("purse"))?
		.decode("forgotten")?;
	sql.execute(
		"UPDATE purses SET forgotten = $1 WHERE payer = $2",
		values![scale(&before.saturating_add(price)), &payer],
	)?;
	let pay: Balance = removed.decode("pay")?;
	if pay == 0 {
		return Ok(());
	}
	let miner: Vec<u8> = removed.get("miner")?;
	let query = "SELECT forgotten FROM earnings WHERE era = $1 AND miner = $2";
	let row = sql.row(query, values![era, miner.as_slice()])?;
	let before: Balance = row
		.ok_or(StoreError::Corrupt("earnings"))?
		.decode("forgotten")?;
	sql.execute(
		"UPDATE earnings SET forgotten = $1 WHERE era = $2 AND miner = $3",
		values![scale(&before.saturating_add(pay)), era, miner.as_slice()],
	)?;
	Ok(())
}

/// What is credited to an app's balance.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Credit<'a> {
	/// To whom, by the app's id.
	pub app: &'a str,
	/// How much.
	pub amount: Balance,
	/// What for: of each reference there is one credit.
	pub reference: &'a str,
}

/// Adds to an app's balance. Gives what it then has; `None` if there was a credit of this reference.
pub(crate) fn credit(sql: &mut dyn Sql, credit: &Credit, now_ms: UnixMs) -> Result<Option<Purse>> {
	let Credit {
		app,
		amount,
		reference,
	} = *credit;
	let payer = Payer::Account(app.to_owned());
	let entry = Entry::credit(reference, &payer, amount);
	if journal::is_booked(sql, &entry.key)? {
		return Ok(None);
	}
	let nothing = scale(&(0 as Balance));
	sql.execute(
		"INSERT INTO purses (payer, paid_in, held, spent, forgotten) VALUES ($1, $2, $2, $2, $2) \
		 ON CONFLICT (payer) DO NOTHING",
		&[payer.to_string().as_str().into(), nothing],
	)?;
	let mut purse = find(sql, &payer)?.ok_or(StoreError::Corrupt("purse"))?;
	purse.credit(amount)?;
	put(sql, &payer, &purse)?;
	post(sql, &entry, now_ms)?;
	Ok(Some(purse))
}

/// An app's money.
pub(crate) fn balance(sql: &mut dyn Sql, app: &str) -> Result<Purse> {
	Ok(find(sql, &Payer::Account(app.to_owned()))?.unwrap_or_default())
}

fn meta<T: Decode>(sql: &mut dyn Sql, key: &'static str) -> Result<Option<T>> {
	let row = sql.row("SELECT value FROM meta WHERE key = $1", values![key])?;
	row.map(|row| row.decode("value")).transpose()
}

fn put_meta<T: Encode>(sql: &mut dyn Sql, key: &'static str, value: &T) -> Result<()> {
	sql.execute(
		"INSERT INTO meta (key, value) VALUES ($1, $2) \
		 ON CONFLICT (key) DO UPDATE SET value = excluded.value",
		values![key, value.encode().as_slice()],
	)?;
	Ok(())
}

/// The last era that is closed.
pub(super) fn closed(sql: &mut dyn Sql) -> Result<Option<EraIndex>> {
	meta(sql, CLOSED_KEY)
}

fn earned(sql: &mut dyn Sql, era: EraIndex, miner: &AccountId) -> Result<Option<Earned>> {
	let query = "SELECT * FROM earnings WHERE era = $1 AND miner = $2";
	let row = sql.row(query, values![era, scale(miner)])?;
	row.as_ref().map(Earned::from_row).transpose()
}

fn stored_channel(channel: ChannelId) -> Result<i64> {
	i64::try_from(channel).map_err(|_| StoreError::Corrupt("channel"))
}

/// Closes every era up to this one: nothing is earned for it any more.
fn close_eras(sql: &mut dyn Sql, last: EraIndex) -> Result<()> {
	let closed = closed(sql)?;
	if closed.is_some_and(|closed| closed >= last) {
		return Ok(());
	}
	let after = closed.map_or(-1, i64::from);
	sql.execute(
		"INSERT INTO eras (era, state, claimed) SELECT DISTINCT era, 'closed', 0 FROM earnings \
		 WHERE era > $1 AND era <= $2",
		values![after, last],
	)?;
	put_meta(sql, CLOSED_KEY, &last)
}

/// Brings a closed era to its end. Whether this did.
fn end_era(sql: &mut dyn Sql, era: EraIndex, state: EraState) -> Result<bool> {
	let changed = sql.execute(
		"UPDATE eras SET state = $1 WHERE era = $2 AND state = 'closed'",
		values![state.name(), era],
	)?;
	Ok(changed == 1)
}

impl Store {
	/// The money of an app with an API key.
	pub async fn balance(&self, app: &str) -> Result<Purse> {
		let app = app.to_owned();
		self.read(move |sql| balance(sql, &app)).await
	}

	/// Whether anybody has ever paid here.
	pub async fn has_money(&self) -> Result<bool> {
		let query = "SELECT 1 FROM purses LIMIT 1";
		let found = self.row(query, vec![], |_| Ok(())).await?;
		Ok(found.is_some())
	}

	/// A channel, if it has paid for something here.
	pub async fn channel(&self, channel: ChannelId) -> Result<Option<ChannelRow>> {
		let query = "SELECT * FROM purses WHERE payer = $1";
		let payer = Payer::Channel(channel).to_string();
		self.row(query, vec![(&payer).into()], ChannelRow::from_row)
			.await
	}

	/// Channels after this one of which more can be redeemed than was, by number.
	pub async fn redeemable(
		&self,
		after: Option<ChannelId>,
		limit: u32,
	) -> Result<Vec<ChannelRow>> {
		let query = "SELECT * FROM purses WHERE channel IS NOT NULL AND gone_ms IS NULL \
			AND redeemed <> paid_in AND channel > $1 ORDER BY channel LIMIT $2";
		let after = after.map_or(Ok(-1), stored_channel)?;
		let values = values![after, limit].to_vec();
		self.rows(query, values, ChannelRow::from_row).await
	}

	/// Notes what the chain says of a channel: what was redeemed of it, or that it has it no longer.
	pub async fn note_channel(
		&self,
		channel: ChannelId,
		redeemed: Option<Balance>,
		now_ms: UnixMs,
	) -> Result<()> {
		let payer = Payer::Channel(channel).to_string();
		let (query, value) = match redeemed {
			Some(redeemed) => (
				"UPDATE purses SET redeemed = $1 WHERE payer = $2",
				scale(&redeemed),
			),
			None => (
				"UPDATE purses SET gone_ms = $1 WHERE payer = $2",
				stored_ms(now_ms).into(),
			),
		};
		self.execute(query, vec![value, (&payer).into()]).await
	}

	/// What a miner has earned by a task that it has done.
	pub async fn earned_by(&self, task: &TaskRow) -> Result<Option<Earned>> {
		let (id, miner) = (task.id, task.miner.clone());
		let work = move |sql: &mut dyn Sql| {
			let query = "SELECT earned_era FROM tasks WHERE id = $1";
			let row = sql.row(query, values![scale(&id)])?;
			let era = row.map(|row| row.get::<Option<EraIndex>>("earned_era"));
			match (era.transpose()?.flatten(), &miner) {
				(Some(era), Some(miner)) => earned(sql, era, miner),
				_ => Ok(None),
			}
		};
		self.read(work).await
	}

	/// What a miner has earned in this era and those after it.
	pub async fn earnings_of(&self, miner: &AccountId, from: EraIndex) -> Result<Vec<Earned>> {
		let query = "SELECT * FROM earnings WHERE miner = $1 AND era >= $2 ORDER BY era";
		let values = values![scale(miner), from].to_vec();
		self.rows(query, values, Earned::from_row).await
	}

	/// What was earned in eras that are not posted, and can still be claimed. `after` runs in the order
	/// of commits.
	pub async fn unsettled(
		&self,
		from: EraIndex,
		after: impl FnOnce(&Vec<Earned>) + Send + 'static,
	) -> Result<Vec<Earned>> {
		let work = move |sql: &mut dyn Sql| {
			let query =
				"SELECT * FROM earnings WHERE era >= $1 AND NOT EXISTS (SELECT 1 FROM eras \
				WHERE eras.era = earnings.era AND state = 'posted')";
			sql.rows(query, values![from], Earned::from_row)
		};
		self.write(work, after).await
	}

	/// The leaves of an era's tree, in their order.
	pub async fn leaves(&self, era: EraIndex) -> Result<Vec<Leaf>> {
		let query = "SELECT * FROM earnings WHERE era = $1 ORDER BY miner";
		let leaf = |row: &Row| {
			Ok(Leaf {
				miner: row.decode("miner")?,
				amount: row.decode("amount")?,
			})
		};
		self.rows(query, values![era].to_vec(), leaf).await
	}

	/// The last era that is closed.
	pub async fn closed_era(&self) -> Result<Option<EraIndex>> {
		self.read(closed).await
	}

	/// Closes every era up to this one: from then on nothing changes of what was earned in it.
	pub async fn close_eras(&self, last: EraIndex) -> Result<()> {
		self.write(move |sql| close_eras(sql, last), |()| {}).await
	}

	/// The eras up to this one that are not closed, and in which something was earned.
	pub async fn eras_to_close(&self, last: EraIndex) -> Result<Vec<EraIndex>> {
		let work = move |sql: &mut dyn Sql| {
			let after = closed(sql)?.map_or(-1, i64::from);
			let query =
				"SELECT DISTINCT era FROM earnings WHERE era > $1 AND era <= $2 ORDER BY era";
			sql.rows(query, values![after, last], |row| row.get("era"))
		};
		self.read(work).await
	}

	/// The operator and the chain whose store this is, once it has been used.
	pub async fn owner(&self) -> Result<Option<(AccountId, H256)>> {
		let work = |sql: &mut dyn Sql| Ok(meta(sql, "operator")?.zip(meta(sql, "genesis")?));
		self.read(work).await
	}

	/// One closed era.
	pub async fn era(&self, era: EraIndex) -> Result<Option<EraRow>> {
		let query = "SELECT * FROM eras WHERE era = $1";
		self.row(query, values![era].to_vec(), EraRow::from_row)
			.await
	}

	/// The closed eras from this one on, in order.
	pub async fn eras(&self, from: EraIndex) -> Result<Vec<EraRow>> {
		let query = "SELECT * FROM eras WHERE era >= $1 ORDER BY era";
		self.rows(query, values![from].to_vec(), EraRow::from_row)
			.await
	}

	/// Eras that are closed and neither posted nor missed, in order.
	pub async fn eras_to_post(&self) -> Result<Vec<EraRow>> {
		let query = "SELECT * FROM eras WHERE state = 'closed' ORDER BY era";
		self.rows(query, vec![], EraRow::from_row).await
	}

	/// Notes the root of an era's tree. It never changes.
	pub async fn put_root(&self, era: EraIndex, root: Root) -> Result<()> {
		let query = "UPDATE eras SET root = $1 WHERE era = $2 AND root IS NULL";
		self.execute(query, vec![scale(&root), era.into()]).await
	}

	/// Notes that a closed era is posted, and what it has cost. Once: an era that is noted stays so.
	pub async fn put_posted(&self, era: EraIndex, fee: Fee, now_ms: UnixMs) -> Result<()> {
		let work = move |sql: &mut dyn Sql| {
			if end_era(sql, era, EraState::Posted)? {
				for entry in fee.entries(era) {
					post(sql, &entry, now_ms)?;
				}
			}
			Ok(())
		};
		self.write(work, |()| {}).await
	}

	/// Notes that it is too late to post a closed era.
	pub async fn put_missed(&self, era: EraIndex) -> Result<()> {
		let work = move |sql: &mut dyn Sql| end_era(sql, era, EraState::Missed).map(|_| ());
		self.write(work, |()| {}).await
	}

	/// Notes that so many leaves, from the first on, were claimed.
	pub async fn put_claimed(&self, era: EraIndex, claimed: u32) -> Result<()> {
		let query = "UPDATE eras SET claimed = $1 WHERE era = $2";
		self.execute(query, vec![claimed.into(), era.into()]).await
	}

	/// Whether this process settles now and until then: of those that share the store, one does. It goes
	/// on as long as it asks in time.
	pub async fn settles(&self, now_ms: UnixMs, until_ms: UnixMs) -> Result<bool> {
		let Some(own) = self.instance() else {
			return Ok(true);
		};
		let work = move |sql: &mut dyn Sql| {
			let held: Option<(i64, u64)> = meta(sql, SETTLER_KEY)?;
			let held = held.filter(|(who, until)| *who != own && *until > now_ms);
			let others = match held {
				Some((who, _)) => {
					let query = "SELECT 1 FROM instances WHERE number = $1 AND dead_ms IS NULL";
					sql.row(query, values![who])?.is_some()
				},
				None => false,
			};
			if !others {
				put_meta(sql, SETTLER_KEY, &(own, until_ms))?;
			}
			Ok(!others)
		};
		self.write(work, |_| {}).await
	}
}
