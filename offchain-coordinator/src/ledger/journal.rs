//! The journal's accounts and entries. Pure.
//!
//! Books are kept by double entry: every movement of money debits one account and credits another with the
//! same amount, so that what all accounts were debited with is what all were credited with. An entry has a
//! key that says what happened, and each key is booked once, so that nothing can be charged, earned or
//! settled twice.
//!
//! | movement | key | debit | credit |
//! |---|---|---|---|
//! | an app's balance is credited | `credit:REFERENCE` | `outside` | `available:PAYER` |
//! | a channel's voucher is higher | `voucher:CHANNEL:CUMULATIVE` | `outside` | `available:PAYER` |
//! | a channel had paid before this store was there | `channel:CHANNEL` | `outside` | `spent:PAYER` |
//! | a task is accepted | `hold:TASK` | `available:PAYER` | `held:PAYER` |
//! | it is done | `spend:TASK` | `held:PAYER` | `spent:PAYER` |
//! | its miner earns | `earn:TASK` | `pay` | `earned:MINER:ERA` |
//! | it came to nothing | `back:TASK` | `held:PAYER` | `available:PAYER` |
//! | an era is settled: the miners' part | `settle:ERA` | `settled:ERA` | `outside` |
//! | the coordinator's part | `pool:ERA` | `pool` | `outside` |
//! | the audit fund's | `audit:ERA` | `audit` | `outside` |
//! | what is burned | `burn:ERA` | `burned` | `outside` |
//! | the journal was opened on a store that had money | `open:ACCOUNT` | | |
//!
//! TASK is the number of the task's acceptance, which never comes again; a task's id can, once the task is
//! no longer kept.

use super::Payer;
use cuckoo_chain_client::Split;
use cuckoo_primitives::{
	sum_tree::Root, task::TaskId, voucher::ChannelId, AccountId, Balance, EraIndex,
};
use std::{collections::BTreeMap, fmt};

/// Where money is, or what it was for.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Account {
	/// Everything beyond these books: apps' wallets, and the coordinator's reserve on chain.
	Outside,
	/// What a payer can still spend.
	Available(Payer),
	/// What is set aside for a payer's tasks that have not ended.
	Held(Payer),
	/// What a payer's tasks have cost: the coordinator's revenue.
	Spent(Payer),
	/// What miners' work has cost the coordinator.
	Pay,
	/// What a miner has earned in an era.
	Earned {
		/// The miner.
		miner: AccountId,
		/// The era.
		era: EraIndex,
	},
	/// What the chain owes an era's miners in the coordinator's stead, since the era is settled.
	Settled(EraIndex),
	/// What settlements have put into the coordinator's own pool.
	Pool,
	/// What the audit fund got by settlements.
	Audit,
	/// What settlements have burned.
	Burned,
}

/// What an account is for, without whose it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Kind {
	/// [`Account::Outside`].
	Outside,
	/// [`Account::Available`].
	Available,
	/// [`Account::Held`].
	Held,
	/// [`Account::Spent`].
	Spent,
	/// [`Account::Pay`].
	Pay,
	/// [`Account::Earned`].
	Earned,
	/// [`Account::Settled`].
	Settled,
	/// [`Account::Pool`].
	Pool,
	/// [`Account::Audit`].
	Audit,
	/// [`Account::Burned`].
	Burned,
}

impl Kind {
	/// The name, with which the accounts of the kind begin.
	pub const fn name(self) -> &'static str {
		match self {
			Self::Outside => "outside",
			Self::Available => "available",
			Self::Held => "held",
			Self::Spent => "spent",
			Self::Pay => "pay",
			Self::Earned => "earned",
			Self::Settled => "settled",
			Self::Pool => "pool",
			Self::Audit => "audit",
			Self::Burned => "burned",
		}
	}

	/// On which side its accounts have their balance.
	pub const fn side(self) -> Side {
		match self {
			Self::Available | Self::Held | Self::Spent | Self::Earned => Side::Credit,
			Self::Outside | Self::Pay | Self::Settled | Self::Pool | Self::Audit | Self::Burned => {
				Side::Debit
			},
		}
	}
}

/// A side of an account.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Side {
	/// What the coordinator has, and what it has paid for.
	Debit,
	/// What it owes, and what it has taken in.
	Credit,
}

impl Account {
	/// What it is for.
	pub const fn kind(&self) -> Kind {
		match self {
			Self::Outside => Kind::Outside,
			Self::Available(_) => Kind::Available,
			Self::Held(_) => Kind::Held,
			Self::Spent(_) => Kind::Spent,
			Self::Pay => Kind::Pay,
			Self::Earned { .. } => Kind::Earned,
			Self::Settled(_) => Kind::Settled,
			Self::Pool => Kind::Pool,
			Self::Audit => Kind::Audit,
			Self::Burned => Kind::Burned,
		}
	}

	/// The accounts of a payer.
	pub fn of_payer(payer: &Payer) -> [Self; 3] {
		[
			Self::Available(payer.clone()),
			Self::Held(payer.clone()),
			Self::Spent(payer.clone()),
		]
	}

	/// From the text that it is stored as.
	pub fn parse(text: &str) -> Option<Self> {
		let (kind, whose) = match text.split_once(':') {
			Some((kind, whose)) => (kind, Some(whose)),
			None => (text, None),
		};
		match (kind, whose) {
			("outside", None) => Some(Self::Outside),
			("available", Some(payer)) => Payer::parse(payer).map(Self::Available),
			("held", Some(payer)) => Payer::parse(payer).map(Self::Held),
			("spent", Some(payer)) => Payer::parse(payer).map(Self::Spent),
			("pay", None) => Some(Self::Pay),
			("earned", Some(whose)) => {
				let (miner, era) = whose.split_once(':')?;
				let (miner, era) = (miner.parse().ok()?, era.parse().ok()?);
				Some(Self::Earned { miner, era })
			},
			("settled", Some(era)) => era.parse().ok().map(Self::Settled),
			("pool", None) => Some(Self::Pool),
			("audit", None) => Some(Self::Audit),
			("burned", None) => Some(Self::Burned),
			_ => None,
		}
	}
}

impl fmt::Display for Account {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		let kind = self.kind().name();
		match self {
			Self::Available(payer) | Self::Held(payer) | Self::Spent(payer) => {
				write!(f, "{kind}:{payer}")
			},
			Self::Earned { miner, era } => write!(f, "{kind}:{miner}:{era}"),
			Self::Settled(era) => write!(f, "{kind}:{era}"),
			Self::Outside | Self::Pay | Self::Pool | Self::Audit | Self::Burned => {
				f.write_str(kind)
			},
		}
	}
}

/// A movement of money.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
	/// What it was. It is booked once.
	pub key: String,
	/// What is debited.
	pub debit: Account,
	/// What is credited.
	pub credit: Account,
	/// With how much.
	pub amount: Balance,
	/// The task that it was for.
	pub task: Option<TaskId>,
	/// The era that it was for.
	pub era: Option<EraIndex>,
}

impl Entry {
	fn new(key: String, debit: Account, credit: Account, amount: Balance) -> Self {
		Self {
			key,
			debit,
			credit,
			amount,
			task: None,
			era: None,
		}
	}

	fn of_task(self, task: TaskId) -> Self {
		Self {
			task: Some(task),
			..self
		}
	}

	fn of_era(self, era: EraIndex) -> Self {
		Self {
			era: Some(era),
			..self
		}
	}

	/// An app's balance is credited.
	pub fn credit(reference: &str, app: &Payer, amount: Balance) -> Self {
		let key = format!("credit:{reference}");
		Self::new(
			key,
			Account::Outside,
			Account::Available(app.clone()),
			amount,
		)
	}

	/// A channel's voucher is higher than what was paid in before, by `amount`.
	pub fn voucher(channel: ChannelId, cumulative: Balance, amount: Balance) -> Self {
		let key = format!("voucher:{channel}:{cumulative}");
		let credit = Account::Available(Payer::Channel(channel));
		Self::new(key, Account::Outside, credit, amount)
	}

	/// A channel comes here of which so much was redeemed before.
	pub fn channel(channel: ChannelId, redeemed: Balance) -> Self {
		let credit = Account::Spent(Payer::Channel(channel));
		let key = format!("channel:{channel}");
		Self::new(key, Account::Outside, credit, redeemed)
	}

	/// The price of a task that is accepted is set aside.
	pub fn hold(number: i64, task: TaskId, payer: &Payer, price: Balance) -> Self {
		let debit = Account::Available(payer.clone());
		let credit = Account::Held(payer.clone());
		Self::new(format!("hold:{number}"), debit, credit, price).of_task(task)
	}

	/// The task is done: what was set aside is spent.
	pub fn spend(number: i64, task: TaskId, payer: &Payer, price: Balance) -> Self {
		let debit = Account::Held(payer.clone());
		let credit = Account::Spent(payer.clone());
		Self::new(format!("spend:{number}"), debit, credit, price).of_task(task)
	}

	/// The task came to nothing: what was set aside is given back.
	pub fn back(number: i64, task: TaskId, payer: &Payer, price: Balance) -> Self {
		let debit = Account::Held(payer.clone());
		let credit = Account::Available(payer.clone());
		Self::new(format!("back:{number}"), debit, credit, price).of_task(task)
	}

	/// The miner of a task that is done earns.
	pub fn earn(number: i64, task: TaskId, miner: AccountId, era: EraIndex, pay: Balance) -> Self {
		let credit = Account::Earned { miner, era };
		let entry = Self::new(format!("earn:{number}"), Account::Pay, credit, pay);
		entry.of_task(task).of_era(era)
	}

	/// What an account had when the journal was opened.
	pub fn open(account: Account, amount: Balance) -> Self {
		let key = format!("open:{account}");
		let era = match &account {
			Account::Earned { era, .. } | Account::Settled(era) => Some(*era),
			_ => None,
		};
		let entry = match account {
			Account::Earned { .. } => Self::new(key, Account::Pay, account, amount),
			Account::Settled(_) => Self::new(key, account, Account::Outside, amount),
			_ => Self::new(key, Account::Outside, account, amount),
		};
		Self { era, ..entry }
	}
}

/// Where the fee of an era's settlement goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fee {
	/// To the miners.
	pub miners: Balance,
	/// Into the coordinator's pool.
	pub coordinator: Balance,
	/// To the audit fund.
	pub audit: Balance,
	/// Burned.
	pub burned: Balance,
}

impl Fee {
	/// The fee for what an era's miners have earned, as the pallet takes it under this split: rounded up,
	/// its parts down, and the rest is burned. `None` if it is no balance.
	pub fn new(split: &Split, root: Root) -> Option<Self> {
		let miners = root.node.sum;
		let fee = split.fee(miners)?;
		let coordinator = part(fee, split.coordinator_ppb);
		let audit = part(fee, split.audit_ppb);
		let others = miners.checked_add(coordinator)?.checked_add(audit)?;
		Some(Self {
			miners,
			coordinator,
			audit,
			burned: fee.checked_sub(others)?,
		})
	}

	/// The entries of the settlement of an era.
	pub fn entries(&self, era: EraIndex) -> [Entry; 4] {
		let of = |name: &str, account, amount| {
			let key = format!("{name}:{era}");
			Entry::new(key, account, Account::Outside, amount).of_era(era)
		};
		[
			of("settle", Account::Settled(era), self.miners),
			of("pool", Account::Pool, self.coordinator),
			of("audit", Account::Audit, self.audit),
			of("burn", Account::Burned, self.burned),
		]
	}
}

/// So many billionths of an amount, rounded down.
fn part(amount: Balance, ppb: u32) -> Balance {
	const BILLION: Balance = 1_000_000_000;
	let part = Balance::from(ppb);
	let (whole, rest) = (amount / BILLION, amount % BILLION);
	whole
		.saturating_mul(part)
		.saturating_add(rest * part / BILLION)
}

/// What an account was debited and credited with.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sums {
	/// All its debits.
	pub debits: Balance,
	/// All its credits.
	pub credits: Balance,
}

impl Sums {
	/// The balance on this side; `None` if it is on the other.
	pub fn balance(&self, side: Side) -> Option<Balance> {
		match side {
			Side::Debit => self.debits.checked_sub(self.credits),
			Side::Credit => self.credits.checked_sub(self.debits),
		}
	}

	/// Together with others; `None` if that is no balance.
	fn plus(self, other: Self) -> Option<Self> {
		Some(Self {
			debits: self.debits.checked_add(other.debits)?,
			credits: self.credits.checked_add(other.credits)?,
		})
	}
}

/// The sums of entries by account.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Balances(BTreeMap<Account, Sums>);

impl Balances {
	/// Adds an entry. Whether the sums are balances still.
	#[must_use]
	pub fn add(&mut self, debit: Account, credit: Account, amount: Balance) -> bool {
		let debits = Sums {
			debits: amount,
			credits: 0,
		};
		let credits = Sums {
			debits: 0,
			credits: amount,
		};
		[(debit, debits), (credit, credits)]
			.into_iter()
			.all(|(account, more)| {
				let sums = self.0.entry(account).or_default();
				match sums.plus(more) {
					Some(both) => *sums = both,
					None => return false,
				}
				true
			})
	}

	/// Each account with its sums, in order.
	pub fn iter(&self) -> impl Iterator<Item = (&Account, &Sums)> {
		self.0.iter()
	}

	/// What an account has on its side: 0 if it has none, `None` if it is overdrawn.
	pub fn balance(&self, account: &Account) -> Option<Balance> {
		let sums = self.0.get(account).copied().unwrap_or_default();
		sums.balance(account.kind().side())
	}

	/// The sums of all accounts of each kind.
	pub fn by_kind(&self) -> BTreeMap<Kind, Sums> {
		let mut kinds = BTreeMap::<Kind, Sums>::new();
		for (account, sums) in &self.0 {
			let kind = kinds.entry(account.kind()).or_default();
			kind.debits = kind.debits.saturating_add(sums.debits);
			kind.credits = kind.credits.saturating_add(sums.credits);
		}
		kinds
	}

	/// The sums of all accounts.
	pub fn total(&self) -> Sums {
		self.0.values().fold(Sums::default(), |total, sums| Sums {
			debits: total.debits.saturating_add(sums.debits),
			credits: total.credits.saturating_add(sums.credits),
		})
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use cuckoo_primitives::{weight_tree::Node, H256};
	use proptest::prelude::*;

	fn accounts() -> Vec<Account> {
		let miner = AccountId::new([7; 32]);
		let mut accounts = vec![
			Account::Outside,
			Account::Pay,
			Account::Earned { miner, era: 3 },
			Account::Settled(EraIndex::MAX),
			Account::Pool,
			Account::Audit,
			Account::Burned,
		];
		for payer in [Payer::Account("app-1".into()), Payer::Channel(u64::MAX)] {
			accounts.extend(Account::of_payer(&payer));
		}
		accounts
	}

	#[test]
	fn accounts_are_told_apart_by_their_text() {
		for account in accounts() {
			let text = account.to_string();
			assert!(text.starts_with(account.kind().name()), "{text}");
			assert_eq!(Account::parse(&text), Some(account), "{text}");
		}
		for text in [
			"",
			"held",
			"outside:1",
			"settled:",
			"settled:x",
			"earned:3",
			"earned:x:3",
			"held:channel-x",
		] {
			assert_eq!(Account::parse(text), None, "{text}");
		}
	}

	#[test]
	fn a_fee_is_split_as_the_documents_say() {
		let split = Split {
			miner_ppb: 750_000_000,
			coordinator_ppb: 150_000_000,
			audit_ppb: 20_000_000,
			burn_ppb: 80_000_000,
			miner_emission_ppb: 50_000_000,
			coordinator_emission_ppb: 10_000_000,
		};
		let root = |sum| Root {
			node: Node {
				hash: H256::zero(),
				sum,
			},
			leaves: 1,
		};
		const CUC: Balance = 1_000_000_000_000;
		let fee = Fee::new(&split, root(75 * CUC)).unwrap();
		assert_eq!(
			(fee.coordinator, fee.audit, fee.burned),
			(15 * CUC, 2 * CUC, 8 * CUC)
		);
		let odd = Fee::new(&split, root(CUC)).unwrap();
		assert_eq!(odd.burned, 106_666_666_668);
		assert_eq!(
			odd.miners + odd.coordinator + odd.audit + odd.burned,
			1_333_333_333_334
		);
		assert_eq!(Fee::new(&split, root(Balance::MAX)), None);
	}

	proptest! {
		/// Whatever is booked, debits and credits are the same sum.
		#[test]
		fn double_entry_balances(
			entries in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(),
				0..Balance::MAX / 64), 0..50),
		) {
			let (mut balances, accounts, mut sum) = (Balances::default(), accounts(), 0u128);
			for (debit, credit, amount) in entries {
				let (debit, credit) = (debit.get(&accounts).clone(), credit.get(&accounts).clone());
				prop_assert!(balances.add(debit, credit, amount));
				sum += amount;
			}
			prop_assert_eq!(balances.total(), Sums { debits: sum, credits: sum });
		}
	}

	#[test]
	fn sums_that_are_no_balances_are_told() {
		let mut balances = Balances::default();
		assert!(balances.add(Account::Outside, Account::Pay, Balance::MAX));
		assert!(!balances.add(Account::Outside, Account::Pool, 1));
		assert_eq!(balances.balance(&Account::Pay), None, "on the wrong side");
		assert_eq!(balances.balance(&Account::Outside), Some(Balance::MAX));
	}
}
