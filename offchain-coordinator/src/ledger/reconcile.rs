//! Checks that the books add up: the store against itself, and against the chain.

use super::{
	chain::{ChainError, MoneyChain},
	journal::Account,
	Payer,
};
use crate::store::{Books, EraState, Store, StoreError};
use cuckoo_coordinator_api::Amount;
use cuckoo_primitives::{
	sum_tree::{self, Root, SumTree},
	AccountId, Balance, EraIndex,
};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};

/// What came of a check.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Findings {
	/// How many tasks somebody pays for.
	pub tasks: u64,
	/// How many of them are done.
	pub done: u64,
	/// What payers can still spend.
	pub available: Amount,
	/// What is held for tasks that have not ended.
	pub held: Amount,
	/// What tasks have cost.
	pub spent: Amount,
	/// What miners have earned.
	pub earned: Amount,
	/// How many closed eras there are in which something was earned.
	pub eras: u64,
	/// How many entries the journal has.
	pub entries: u64,
	/// Whether the chain was looked at too.
	pub with_chain: bool,
	/// What does not add up, each as a sentence. Empty if all is well.
	pub differences: Vec<String>,
}

/// It could not be checked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
	/// The store.
	#[error(transparent)]
	Store(#[from] StoreError),
	/// The chain.
	#[error("the chain cannot be read: {0}")]
	Chain(#[from] ChainError),
}

/// Checks the store, and the chain if there is one to look at.
pub async fn reconcile(
	store: &Store,
	chain: Option<(&dyn MoneyChain, &AccountId)>,
) -> Result<Findings, Error> {
	let books = store.books().await?;
	check(&books, chain).await
}

/// Checks these books, and the chain if there is one to look at.
pub async fn check(
	books: &Books,
	chain: Option<(&dyn MoneyChain, &AccountId)>,
) -> Result<Findings, Error> {
	let mut differences = differences(books);
	if let Some((chain, operator)) = chain {
		differences.extend(against(books, chain, operator).await?);
	}
	let purses = || books.purses.values().map(|row| row.purse);
	Ok(Findings {
		tasks: books.tasks,
		done: books.done,
		available: sum(purses().map(|purse| purse.available())),
		held: sum(purses().map(|purse| purse.held)),
		spent: sum(purses().map(|purse| purse.spent)),
		earned: sum(books.earnings.values().map(|row| row.amount)),
		eras: books.eras.len() as u64,
		entries: books.entries,
		with_chain: chain.is_some(),
		differences,
	})
}

fn sum(amounts: impl Iterator<Item = Balance>) -> Amount {
	Amount(amounts.fold(0, |sum: Balance, amount| sum.saturating_add(amount)))
}

/// What does not add up within the store.
fn differences(books: &Books) -> Vec<String> {
	let mut found = books.odd.clone();
	let payers: BTreeSet<&Payer> = books.costs.keys().chain(books.purses.keys()).collect();
	for payer in payers {
		let costs = books.costs.get(payer).copied().unwrap_or_default();
		let Some(row) = books.purses.get(payer) else {
			found.push(format!("{payer} pays for tasks and has no purse"));
			continue;
		};
		let purse = row.purse;
		if purse.held != costs.open {
			found.push(format!(
				"{payer}: {} is held, and its open tasks cost {}",
				purse.held, costs.open
			));
		}
		let shown = costs.done.saturating_add(row.forgotten);
		if purse.spent != shown {
			found.push(format!(
				"{payer}: {} is spent, and its tasks that are done have cost {shown}",
				purse.spent
			));
		}
		if purse.committed() > purse.paid_in {
			found.push(format!(
				"{payer}: {} is held and spent, and {} was paid in",
				purse.committed(),
				purse.paid_in
			));
		}
	}
	let earners: BTreeSet<&(EraIndex, AccountId)> =
		books.pay.keys().chain(books.earnings.keys()).collect();
	for earner in earners {
		let (era, miner) = earner;
		let pay = books.pay.get(earner).copied().unwrap_or(0);
		let row = books.earnings.get(earner);
		let amount = row.map_or(0, |row| row.amount);
		let shown = pay.saturating_add(row.map_or(0, |row| row.forgotten));
		if amount != shown || amount == 0 {
			found.push(format!(
				"{miner} has earned {amount} in era {era}, and its tasks pay {shown}"
			));
		}
		let is_closed = books.closed.is_some_and(|closed| *era <= closed);
		if is_closed != books.eras.contains_key(era) {
			found.push(format!("era {era} is closed for some and open for others"));
		}
	}
	for (era, row) in &books.eras {
		let Some(root) = row.root else {
			if row.state == EraState::Posted {
				found.push(format!("era {era} is posted and has no root"));
			}
			continue;
		};
		if tree(books, *era) != Some(root) {
			found.push(format!("the root of era {era} is not that of its earnings"));
		}
	}
	found.extend(against_journal(books));
	found
}

/// What every account of the journal has, by the other tables. Those of which nothing else tells are not
/// in it.
fn expected(books: &Books) -> BTreeMap<Account, Balance> {
	let mut expected = BTreeMap::new();
	for (payer, row) in &books.purses {
		let purse = row.purse;
		let amounts = [purse.available(), purse.held, purse.spent];
		expected.extend(Account::of_payer(payer).into_iter().zip(amounts));
	}
	let mut pay: Balance = 0;
	for ((era, miner), row) in &books.earnings {
		let (era, miner) = (*era, miner.clone());
		pay = pay.saturating_add(row.amount);
		expected.insert(Account::Earned { miner, era }, row.amount);
		if books
			.eras
			.get(&era)
			.is_some_and(|row| row.state == EraState::Posted)
		{
			let settled = expected.entry(Account::Settled(era)).or_default();
			*settled = settled.saturating_add(row.amount);
		}
	}
	expected.insert(Account::Pay, pay);
	expected
}

/// What of the journal does not balance, or is not what the other tables say.
fn against_journal(books: &Books) -> Vec<String> {
	let mut found = Vec::new();
	let total = books.journal.total();
	if total.debits != total.credits {
		found.push(format!(
			"the journal does not balance: {} was debited, and {} credited",
			total.debits, total.credits
		));
	}
	let expected = expected(books);
	let told = |account: &Account| {
		let is_told = !matches!(
			account,
			Account::Outside | Account::Pool | Account::Audit | Account::Burned
		);
		is_told.then(|| expected.get(account).copied().unwrap_or(0))
	};
	let booked = books.journal.iter().map(|(account, _)| account);
	let accounts: BTreeSet<&Account> = booked.chain(expected.keys()).collect();
	for account in accounts {
		match (books.journal.balance(account), told(account)) {
			// A coordinator that settles for more than apps have paid puts in its own.
			(None, _) if *account == Account::Outside => {},
			(None, _) => found.push(format!("{account} is overdrawn in the journal")),
			(Some(booked), Some(told)) if booked != told => found.push(format!(
				"{account} has {booked} by the journal, and {told} by the other tables"
			)),
			_ => {},
		}
	}
	found
}

/// The root of the tree of an era's earnings.
fn tree(books: &Books, era: EraIndex) -> Option<Root> {
	let (genesis, operator) = (books.genesis.as_ref()?, books.operator.as_ref()?);
	let context = sum_tree::context(genesis, operator, era);
	let tree = SumTree::new(&context, books.leaves(era)).ok()?;
	Some(tree.root())
}

/// What does not fit what the chain says.
async fn against(
	books: &Books,
	chain: &dyn MoneyChain,
	operator: &AccountId,
) -> Result<Vec<String>, Error> {
	let mut found = Vec::new();
	if books.operator.as_ref().is_some_and(|own| own != operator) {
		found.push(format!("the store is not {operator}'s"));
	}
	let facts = chain.facts(operator).await?;
	if facts.reserve.allotted > facts.reserve.balance {
		found.push("more is allotted than is in the reserve".into());
	}
	if books.closed.is_some_and(|closed| closed >= facts.era) {
		found.push(format!(
			"era {:?} is closed, and the chain is in {}",
			books.closed, facts.era
		));
	}
	for (era, row) in &books.eras {
		let posted = chain
			.settled(operator, *era)
			.await?
			.map(|settled| settled.root);
		let is_gone = facts.era > era.saturating_add(facts.params.claim_eras);
		match (row.state, posted) {
			// The chain may have cleaned it.
			(EraState::Posted, None) if is_gone => {},
			(EraState::Posted, None) => {
				found.push(format!("era {era} is posted here, and not on chain"));
			},
			(_, Some(posted)) if tree(books, *era) != Some(posted) => {
				found.push(format!("the chain has another root for era {era}"));
			},
			_ => {},
		}
	}
	for row in books.purses.values() {
		let Some((number, noted, is_gone)) = row.channel else {
			continue;
		};
		let channel = chain.channel(number).await?;
		match channel {
			None if is_gone => {},
			None if row.purse.paid_in == noted => {},
			None => found.push(format!(
				"channel {number} is gone from the chain with {} that was not redeemed",
				row.purse.paid_in.saturating_sub(noted)
			)),
			Some(channel) => {
				if channel.redeemed > row.purse.paid_in {
					found.push(format!(
						"{} was redeemed of channel {number}, and its highest voucher is {}",
						channel.redeemed, row.purse.paid_in
					));
				}
				if noted > channel.redeemed || row.purse.paid_in > channel.deposit {
					found.push(format!(
						"channel {number} holds less on chain than is known here"
					));
				}
			},
		}
	}
	Ok(found)
}
