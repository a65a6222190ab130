//! The miner's money: what each coordinator owes, what it has signed for, and what of that is safe.
//!
//! The one invariant: **no voucher is forgotten.** A result counts as delivered only when its voucher is
//! on the disk; until then it is sent again, and the voucher comes again with it. The highest voucher of
//! an era is worth all that came before, so order and repetition do not matter.
//!
//! The risk is bounded by one rule each:
//!
//! - a coordinator whose vouchers do not add up to what its accepted results earn gets no more paid work
//!   done, until they do ([`Book::missing`]); it is asked for them again and again ([`keeper`]);
//! - what is earned and not safe, with the tasks at work, stays within what the chain guarantees
//!   ([`cuckoo_primitives::voucher::MinerLedger::may_work`]).
//!
//! From the inside out: [`book`] is the arithmetic, [`store`] the disk, this module the daemon's way in,
//! [`keeper`] asks coordinators for vouchers. [`era`] says where an era stands and what can be claimed of
//! it, from what [`survey`] has found on the [`chain`] and at coordinators; on it rest the daemon's
//! [`watch`], [`status`] (`offchain-miner earnings`) and [`claim`] (`offchain-miner claim`).

pub mod book;
pub mod chain;
pub mod claim;
pub mod era;
pub mod keeper;
#[cfg(test)]
mod money_tests;
pub mod status;
pub mod store;
pub mod survey;
#[cfg(test)]
mod tests;
pub mod watch;

use crate::{assignment::Verified, outbox::Record};
use book::{Book, Fault, Party, Source, View};
use cuckoo_coordinator_api::{payment::SignedVoucher, Amount};
use cuckoo_primitives::{task::TaskSpec, AccountId, Balance, EraIndex, H256};
use std::{
	collections::BTreeMap,
	fs::File,
	sync::{Arc, Mutex, MutexGuard, PoisonError},
	time::{Duration, Instant},
};
use store::{Store, StoreError};
use tokio::sync::watch as channel;
use tracing::{error, info, warn};

/// After paid work was refused: how long no work is asked for; doubles each time.
const FIRST_PAUSE: Duration = Duration::from_secs(30);
/// The longest such pause. After it free work is asked for, at the risk of being offered paid work again.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);
/// Pixels of a megapixel.
const MEGA: Balance = 1_000_000;

/// Why paid work is not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Declined {
	/// Something is owed that is not signed for.
	#[error("not paid: {missing} are owed without a voucher: {fault}")]
	NotPaid {
		/// How much.
		missing: Amount,
		/// What was wrong last.
		fault: Fault,
	},
	/// The chain does not guarantee so much.
	#[error(
		"not covered: {at_risk} are earned and not settled, {pay} more would be above the {guaranteed} that \
		 the coordinator has allotted to this miner on chain"
	)]
	NotCovered {
		/// Earned and not safe, or at work.
		at_risk: Amount,
		/// What the task earns.
		pay: Amount,
		/// The allotment.
		guaranteed: Amount,
	},
	/// The chain was not asked yet.
	#[error(
		"not covered: what the coordinator has allotted to this miner on chain is not known yet"
	)]
	NotKnown,
	/// Below the miner's own price.
	#[error("it earns {pay}; this miner takes no less than {least} for it")]
	TooLittle {
		/// What the task earns.
		pay: Amount,
		/// What it must earn.
		least: Amount,
	},
	/// The book does not read.
	#[error("this miner cannot keep vouchers now: {0}")]
	NoBook(String),
}

/// Where a miner stands with a coordinator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
	/// All that is owed is signed for.
	Square,
	/// Something is not.
	Unpaid {
		/// How much.
		missing: Amount,
		/// What was wrong last.
		fault: Fault,
	},
	/// The book does not read.
	NoBook(String),
}

/// The miner's accounts with all coordinators. Its methods that touch the disk say so.
pub struct Purse {
	store: Store,
	/// What a megapixel-step must earn, if anything.
	min_pay: Balance,
	inner: Mutex<Inner>,
	/// For how many eras after its own an era can be claimed, once the chain was asked.
	claim_eras: channel::Sender<Option<EraIndex>>,
	/// Counts changes of standing.
	changes: channel::Sender<u64>,
	/// Counts reasons to ask the chain again.
	questions: channel::Sender<u64>,
}

#[derive(Default)]
struct Inner {
	accounts: BTreeMap<Party, Account>,
	/// The miners whose books this process writes; released by the system when it ends, however it ends.
	locks: BTreeMap<AccountId, File>,
}

/// A book and what is only known while the miner runs.
struct Account {
	book: Result<Book, String>,
	/// The results at work or on their way, by assignment.
	in_hand: BTreeMap<H256, InHand>,
	/// The allotment, once the chain was asked.
	guaranteed: Option<Balance>,
	/// What the last paid task earned.
	last_pay: Balance,
	/// What was wrong last.
	fault: Option<Fault>,
	/// No work is asked for before, while the last task would be refused again.
	not_before: Option<Instant>,
	pause: Duration,
	/// The last task was refused for what it earns alone.
	too_little: bool,
	/// What the user was told last.
	told: bool,
}

/// A result at work or on its way.
#[derive(Clone, Copy)]
struct InHand {
	/// What it earns.
	pay: Balance,
	/// The outbox has it: it is delivered sooner or later, whatever happens.
	committed: bool,
}

impl Account {
	fn new(book: Result<Book, String>) -> Self {
		let unpaid = book.as_ref().is_ok_and(|book| book.missing() > 0);
		Self {
			book,
			in_hand: BTreeMap::new(),
			guaranteed: None,
			last_pay: 0,
			fault: unpaid.then_some(Fault::Missing),
			not_before: None,
			pause: FIRST_PAUSE,
			too_little: false,
			told: false,
		}
	}

	fn standing(&self) -> Standing {
		match &self.book {
			Err(reason) => Standing::NoBook(reason.clone()),
			Ok(book) if book.missing() > 0 => Standing::Unpaid {
				missing: Amount(book.missing()),
				fault: self.fault.unwrap_or(Fault::Missing),
			},
			Ok(_) => Standing::Square,
		}
	}

	/// What results earn that are not in the book yet.
	fn on_its_way(&self, book: &Book) -> Balance {
		self.in_hand
			.iter()
			.filter(|(assignment, _)| !book.counted.contains(*assignment))
			.fold(0, |sum: Balance, (_, result)| {
				sum.saturating_add(result.pay)
			})
	}

	/// Whether a task that earns `pay` is safe.
	fn may_take(&self, pay: Balance) -> Result<(), Declined> {
		let book = self.book.as_ref();
		let book = book.map_err(|reason| Declined::NoBook(reason.clone()))?;
		if let Standing::Unpaid { missing, fault } = self.standing() {
			return Err(Declined::NotPaid { missing, fault });
		}
		let guaranteed = self.guaranteed.ok_or(Declined::NotKnown)?;
		let ledger = book.ledger(guaranteed);
		let in_hand = self.on_its_way(book);
		if ledger.may_work(in_hand.saturating_add(pay)) {
			return Ok(());
		}
		Err(Declined::NotCovered {
			at_risk: Amount(ledger.exposure().saturating_add(in_hand)),
			pay: Amount(pay),
			guaranteed: Amount(guaranteed),
		})
	}

	fn asks_again(&mut self) {
		self.not_before = None;
		self.pause = FIRST_PAUSE;
		self.too_little = false;
	}

	fn refused(&mut self, now: Instant) {
		self.not_before = Some(now + self.pause);
		self.pause = (self.pause * 2).min(LONGEST_PAUSE);
	}
}

impl Purse {
	/// Opens the purse. `min_pay` is what a megapixel-step must earn; `pending` are the results that are on
	/// their way. Touches the disk.
	pub fn open(store: Store, min_pay: Balance, pending: &[Record]) -> Self {
		let purse = Self {
			store,
			min_pay,
			inner: Mutex::default(),
			claim_eras: channel::Sender::new(None),
			changes: channel::Sender::new(0),
			questions: channel::Sender::new(0),
		};
		for record in pending {
			purse.committed(record);
		}
		purse
	}

	/// Reads a miner's books, which from now on only this process writes. What does not read stops nothing
	/// but paid work of its own coordinator. Others do the same when they first name the miner. Touches the
	/// disk.
	pub fn adopt(&self, miner: &AccountId) -> Result<(), StoreError> {
		self.adopt_into(&mut self.inner(), miner)
	}

	fn adopt_into(&self, inner: &mut Inner, miner: &AccountId) -> Result<(), StoreError> {
		if inner.locks.contains_key(miner) {
			return Ok(());
		}
		let lock = self.store.lock(miner)?;
		for (party, book) in self.store.load_of(miner)? {
			let book = book.map_err(|reason| {
				error!(coordinator = %party.coordinator, "{reason}");
				reason.to_string()
			});
			match inner.accounts.get_mut(&party) {
				Some(account) => account.book = book,
				None => {
					inner.accounts.insert(party, Account::new(book));
				},
			}
		}
		inner.locks.insert(miner.clone(), lock);
		Ok(())
	}

	/// The disk behind it.
	pub fn store(&self) -> &Store {
		&self.store
	}

	/// Sets aside what a task earns of what is guaranteed, or says why it is not done. The promise ends when
	/// it is dropped, unless the outbox has the result by then.
	pub fn promise(
		self: &Arc<Self>,
		verified: &Verified,
		now: Instant,
	) -> Result<Option<Promise>, Declined> {
		let party = Party {
			coordinator: verified.assignment.coordinator.clone(),
			miner: verified.assignment.miner.clone(),
		};
		let least = least(self.min_pay, &verified.spec);
		let pay = verified.pay;
		if pay == 0 && least == 0 {
			return Ok(None);
		}
		let mut inner = self.inner();
		let account = self.account(&mut inner, &party);
		let fine = if pay < least {
			Err(Declined::TooLittle {
				pay: Amount(pay),
				least: Amount(least),
			})
		} else {
			account.last_pay = pay;
			match pay {
				0 => Ok(()),
				_ => account.may_take(pay),
			}
		};
		match fine {
			Ok(()) => {
				account.asks_again();
				let result = InHand {
					pay,
					committed: false,
				};
				account.in_hand.insert(verified.hash, result);
				Ok(Some(Promise {
					purse: self.clone(),
					party,
					assignment: verified.hash,
				}))
			},
			Err(declined) => {
				account.too_little = matches!(declined, Declined::TooLittle { .. });
				account.refused(now);
				drop(inner);
				// Perhaps the chain has more by now.
				self.ask_chain();
				Err(declined)
			},
		}
	}

	/// The outbox has this result.
	pub fn committed(&self, record: &Record) {
		let (Some(party), Some(due)) = (party_of(record), &record.due) else {
			return;
		};
		let result = InHand {
			pay: due.pay.0,
			committed: true,
		};
		let mut inner = self.inner();
		let account = self.account(&mut inner, &party);
		account.in_hand.insert(record.commitment.assignment, result);
	}

	/// A result was accepted, and this came with it. When this returns, it is on the disk. Touches the
	/// disk.
	pub fn receive(
		&self,
		record: &Record,
		voucher: Option<&SignedVoucher>,
		view: &View,
	) -> Result<Standing, StoreError> {
		let (Some(party), Some(due)) = (party_of(record), &record.due) else {
			return Ok(Standing::Square);
		};
		let assignment = record.commitment.assignment;
		self.update(&party, |account, book| {
			book.counted
				.retain(|counted| account.in_hand.contains_key(counted));
			book.accepted(assignment, due.pay.0);
			let fault = match voucher.map(|voucher| book.take(voucher, Source::Reply, view)) {
				None => Fault::Missing,
				Some(Ok(_)) => Fault::TooLow,
				Some(Err(fault)) => fault,
			};
			account.fault = Some(fault);
		})
	}

	/// The outbox has no need of this result any more, so it will not be acknowledged again.
	pub fn delivered(&self, record: &Record) {
		let Some(party) = party_of(record) else {
			return;
		};
		if let Some(account) = self.inner().accounts.get_mut(&party) {
			account.in_hand.remove(&record.commitment.assignment);
		}
	}

	/// Takes the vouchers that a coordinator was asked for. Touches the disk.
	pub fn absorb(
		&self,
		party: &Party,
		vouchers: &[SignedVoucher],
		view: &View,
	) -> Result<Standing, StoreError> {
		// Without a word of the chain only those around the present era.
		let claim_eras = self.claim_eras.borrow().unwrap_or(1);
		self.update(party, |account, book| {
			for voucher in vouchers.iter().take(book::MAX_ERAS) {
				match book.take(voucher, Source::List { claim_eras }, view) {
					Ok(_) => {},
					Err(fault) => {
						account.fault = Some(fault);
						warn!(coordinator = %party.coordinator, era = voucher.era, "not taken: {fault}");
					},
				}
			}
		})
	}

	/// Where the miner stands with a coordinator.
	pub fn standing(&self, party: &Party) -> Standing {
		let inner = self.inner();
		let account = inner.accounts.get(party);
		account.map_or(Standing::Square, Account::standing)
	}

	/// Whether to ask a coordinator for work: not while the last paid task would not be covered again, and
	/// not for a while after paid work was refused.
	pub fn asks_for_work(&self, party: &Party, now: Instant) -> bool {
		let mut inner = self.inner();
		let Some(account) = inner.accounts.get_mut(party) else {
			return true;
		};
		match account.may_take(account.last_pay) {
			_ if account.last_pay == 0 && account.not_before.is_none() => true,
			Ok(()) if account.last_pay > 0 && !account.too_little => {
				account.asks_again();
				true
			},
			// Not known to be refused yet: the coordinator may not know it either.
			Err(Declined::NotCovered { .. } | Declined::NotKnown)
				if account.not_before.is_none() =>
			{
				account.refused(now);
				false
			},
			_ => account.not_before.is_none_or(|until| until <= now),
		}
	}

	/// Everybody with whom there is an account.
	pub fn parties(&self) -> Vec<Party> {
		self.inner().accounts.keys().cloned().collect()
	}

	/// Opens an account, so that the chain is asked for its allotment.
	pub fn serve(&self, party: &Party) {
		self.account(&mut self.inner(), party);
		self.ask_chain();
	}

	/// A copy of a book.
	pub fn book(&self, party: &Party) -> Option<Book> {
		let inner = self.inner();
		let account = inner.accounts.get(party)?;
		account.book.as_ref().ok().cloned()
	}

	/// Changes when someone's standing may have.
	pub fn changes(&self) -> channel::Receiver<u64> {
		self.changes.subscribe()
	}

	/// Changes when the chain is to be asked again.
	pub fn questions(&self) -> channel::Receiver<u64> {
		self.questions.subscribe()
	}

	/// For how many eras after its own an era can be claimed, once the chain was asked.
	pub fn claim_eras(&self) -> channel::Receiver<Option<EraIndex>> {
		self.claim_eras.subscribe()
	}

	/// The chain's word on the time for claims.
	pub fn set_claim_eras(&self, eras: EraIndex) {
		self.claim_eras
			.send_if_modified(|known| known.replace(eras) != Some(eras));
	}

	/// The chain's word on an allotment.
	pub fn set_guaranteed(&self, party: &Party, guaranteed: Balance) {
		let mut inner = self.inner();
		let account = self.account(&mut inner, party);
		let before = account.guaranteed.replace(guaranteed);
		if before != Some(guaranteed) {
			info!(
				coordinator = %party.coordinator,
				"allotted to this miner on chain: {}", Amount(guaranteed)
			);
		}
	}

	/// The chain's word on an era: so much of it is at no risk, and so much was received. Touches the disk.
	pub fn mark(
		&self,
		party: &Party,
		era: EraIndex,
		secured: Balance,
		received: Balance,
	) -> Result<Standing, StoreError> {
		self.update(party, |_, book| book.mark(era, secured, received))
	}

	/// Forgets eras of which nothing can be claimed any more. Touches the disk.
	pub fn prune(&self, now: EraIndex, claim_eras: EraIndex) -> Result<(), StoreError> {
		for party in self.parties() {
			let before: Vec<EraIndex> = self
				.book(&party)
				.map(|book| book.eras.into_keys().collect())
				.unwrap_or_default();
			if before.is_empty() {
				continue;
			}
			self.update(&party, |_, book| book.prune(now, claim_eras))?;
			let Some(book) = self.book(&party) else {
				continue;
			};
			for era in before.iter().filter(|era| !book.eras.contains_key(era)) {
				self.store.drop_proof(&party, *era)?;
			}
		}
		Ok(())
	}

	/// Changes a copy of the book, keeps it, and only then puts it in the book's place.
	fn update(
		&self,
		party: &Party,
		change: impl FnOnce(&mut Account, &mut Book),
	) -> Result<Standing, StoreError> {
		// Held to the end: what is written later must be what was changed later.
		let mut inner = self.inner();
		let account = self.account(&mut inner, party);
		let Ok(before) = account.book.clone() else {
			// It may have been restored meanwhile. If not, its reason is the caller's.
			self.adopt_into(&mut inner, &party.miner)?;
			let book = self.store.book(party)?;
			self.account(&mut inner, party).book = Ok(book);
			drop(inner);
			return self.update(party, change);
		};
		let mut book = before.clone();
		change(account, &mut book);
		book.catch_up(account.on_its_way(&book));
		if book != before {
			self.store.keep(&book)?;
			account.book = Ok(book);
		}
		let standing = account.standing();
		tell(party, account, &standing);
		drop(inner);
		self.changed();
		Ok(standing)
	}

	fn account<'a>(&self, inner: &'a mut Inner, party: &Party) -> &'a mut Account {
		let adopted = match inner.accounts.contains_key(party) {
			true => Ok(()),
			false => self.adopt_into(inner, &party.miner),
		};
		inner.accounts.entry(party.clone()).or_insert_with(|| {
			// Those that were on the disk are there by now.
			Account::new(match adopted {
				Ok(()) => Ok(Book::new(*self.store.genesis_hash(), party)),
				Err(reason) => {
					error!(coordinator = %party.coordinator, "{reason}");
					Err(reason.to_string())
				},
			})
		})
	}

	fn broken_off(&self, party: &Party, assignment: &H256) {
		let mut inner = self.inner();
		let Some(account) = inner.accounts.get_mut(party) else {
			return;
		};
		let uncommitted = |result: &InHand| !result.committed;
		if account.in_hand.get(assignment).is_some_and(uncommitted) {
			account.in_hand.remove(assignment);
		}
	}

	fn changed(&self) {
		self.changes.send_modify(|count| *count += 1);
	}

	fn ask_chain(&self) {
		self.questions.send_modify(|count| *count += 1);
	}

	/// A thread that panicked while it held the lock has left the maps whole: a book is replaced in one
	/// step, after it was written.
	fn inner(&self) -> MutexGuard<'_, Inner> {
		self.inner.lock().unwrap_or_else(PoisonError::into_inner)
	}
}

/// That the pay of a result at work is within what is guaranteed.
pub struct Promise {
	purse: Arc<Purse>,
	party: Party,
	assignment: H256,
}

impl Drop for Promise {
	fn drop(&mut self) {
		self.purse.broken_off(&self.party, &self.assignment);
	}
}

/// What a task must earn where a megapixel-step must earn `min_pay`, rounded up.
fn least(min_pay: Balance, spec: &TaskSpec) -> Balance {
	let pixels = Balance::from(spec.width) * Balance::from(spec.height);
	let work = pixels * Balance::from(spec.steps);
	min_pay.saturating_mul(work).div_ceil(MEGA)
}

fn party_of(record: &Record) -> Option<Party> {
	let due = record.due.as_ref()?;
	Some(Party {
		coordinator: record.coordinator.clone(),
		miner: due.miner.clone(),
	})
}

/// Tells the user once that a coordinator does not pay, and once that it does again.
fn tell(party: &Party, account: &mut Account, standing: &Standing) {
	let coordinator: &AccountId = &party.coordinator;
	match standing {
		Standing::Square if account.told => {
			account.told = false;
			account.fault = None;
			account.asks_again();
			info!(%coordinator, "all that it owes is signed for again; paid work goes on");
		},
		Standing::Square => account.fault = None,
		Standing::Unpaid { missing, fault } if !account.told => {
			account.told = true;
			warn!(
				%coordinator,
				"not paid: {missing} are owed without a voucher: {fault}; no more paid work for it until \
				 the voucher is here"
			);
		},
		Standing::Unpaid { .. } | Standing::NoBook(_) => {},
	}
}
