//! Whatever comes in whatever order, no voucher is lost and less than is owed is never enough.

use super::{
	book::{Book, Party, View},
	store::{Store, StoreError},
	*,
};
use crate::outbox::Due;
use cuckoo_primitives::{
	signing::{self, ResultCommitment},
	task::{DeviceClass, TaskId},
	voucher::MinerVoucher,
	CUC,
};
use proptest::prelude::*;
use sp_core::{crypto::Ss58Codec, sr25519, Pair};
use std::{
	collections::{btree_map::Entry, BTreeMap, BTreeSet},
	fs,
	path::{Path, PathBuf},
};

pub(super) const GENESIS: H256 = H256::repeat_byte(1);
const CLAIM_ERAS: EraIndex = 16;
const FIRST_ERA: EraIndex = 20;

pub(super) fn account(byte: u8) -> AccountId {
	AccountId::new([byte; 32])
}

pub(super) fn worker() -> sr25519::Pair {
	sr25519::Pair::from_seed(&[11; 32])
}

pub(super) fn party() -> Party {
	Party {
		coordinator: account(10),
		miner: account(20),
	}
}

pub(super) fn view(now: EraIndex) -> View {
	View {
		worker: Some(worker().public()),
		now,
	}
}

pub(super) fn voucher(era: EraIndex, cumulative: Balance) -> SignedVoucher {
	let voucher = MinerVoucher {
		coordinator: account(10),
		miner: account(20),
		era,
		cumulative,
	};
	SignedVoucher {
		coordinator: voucher.coordinator.clone(),
		miner: voucher.miner.clone(),
		era,
		cumulative: Amount(cumulative),
		worker: worker().public(),
		signature: signing::sign(&GENESIS, &voucher, &worker()),
	}
}

pub(super) fn record(number: u8, pay: Balance) -> Record {
	let commitment = ResultCommitment {
		assignment: H256::repeat_byte(number),
		output: H256::zero(),
		trajectory_root: H256::zero(),
		engine_profile: H256::zero(),
		device: DeviceClass::Cpu,
	};
	Record {
		genesis_hash: GENESIS,
		coordinator: account(10),
		task: TaskId([number; 16]),
		attempt: 0,
		deadline_ms: 0,
		signature: signing::sign(&GENESIS, &commitment, &worker()),
		commitment,
		due: Some(Due {
			miner: account(20),
			pay: Amount(pay),
		}),
	}
}

pub(super) fn open(folder: &Path, pending: &[Record]) -> Purse {
	let purse = Purse::open(Store::new(folder, GENESIS), 0, pending);
	purse.adopt(&account(20)).unwrap();
	purse.set_claim_eras(CLAIM_ERAS);
	purse
}

fn book_path(folder: &Path) -> PathBuf {
	Store::new(folder, GENESIS)
		.folder()
		.join(account(20).to_ss58check())
		.join(format!("{}.json", account(10).to_ss58check()))
}

#[test]
fn a_surplus_does_not_hide_a_voucher_that_is_missing_later() {
	let folder = tempfile::tempdir().unwrap();
	let purse = open(folder.path(), &[]);
	// All that was earned before the miner's disk was lost.
	purse
		.absorb(&party(), &[voucher(20, 50 * CUC)], &view(20))
		.unwrap();
	let result = record(1, CUC);
	purse.committed(&result);
	let standing = purse
		.receive(&result, Some(&voucher(20, 50 * CUC)), &view(20))
		.unwrap();
	let expected = Standing::Unpaid {
		missing: Amount(CUC),
		fault: Fault::TooLow,
	};
	assert_eq!(standing, expected);
}

#[test]
fn a_new_worker_of_the_coordinator_signs_anew() {
	let folder = tempfile::tempdir().unwrap();
	let purse = open(folder.path(), &[]);
	purse
		.absorb(&party(), &[voucher(20, CUC)], &view(20))
		.unwrap();
	let new = sr25519::Pair::from_seed(&[12; 32]);
	let mut again = voucher(20, CUC);
	again.worker = new.public();
	again.signature = signing::sign(&GENESIS, &again.voucher(), &new);
	let view = View {
		worker: Some(new.public()),
		now: 20,
	};
	purse
		.absorb(&party(), std::slice::from_ref(&again), &view)
		.unwrap();
	assert_eq!(purse.book(&party()).unwrap().eras[&20].voucher, again);
}

#[test]
fn a_file_that_does_not_read_stops_its_own_coordinator_alone_and_is_left_as_it_is() {
	let folder = tempfile::tempdir().unwrap();
	let purse = open(folder.path(), &[]);
	purse
		.absorb(&party(), &[voucher(20, CUC)], &view(20))
		.unwrap();
	drop(purse);
	let path = book_path(folder.path());
	let whole = fs::read_to_string(&path).unwrap();
	let other = path.with_file_name(format!("{}.json", account(30).to_ss58check()));
	let mut others = Book::new(
		GENESIS,
		&Party {
			coordinator: account(30),
			miner: account(20),
		},
	);
	others.past = Amount(3);
	fs::write(&other, serde_json::to_vec(&others).unwrap()).unwrap();
	let forged = whole.replace("\"1000000000000\"", "\"9000000000000\"");
	for damaged in [&whole[..whole.len() / 2], "", "{}", &forged] {
		assert_ne!(damaged, whole);
		fs::write(&path, damaged).unwrap();
		let purse = open(folder.path(), &[]);
		let Standing::NoBook(reason) = purse.standing(&party()) else {
			panic!("{damaged:?} reads");
		};
		assert!(reason.contains("do not read"), "{reason}");
		assert_eq!(purse.book(&others.party()).unwrap().past, Amount(3));
		let result = record(1, CUC);
		let refused = purse.receive(&result, Some(&voucher(20, CUC)), &view(20));
		assert!(matches!(refused, Err(StoreError::Corrupt { .. })));
		assert_eq!(fs::read_to_string(&path).unwrap(), damaged);
	}
	// Restored while the miner runs.
	let purse = open(folder.path(), &[]);
	fs::write(&path, &whole).unwrap();
	purse.absorb(&party(), &[], &view(20)).unwrap();
	assert_eq!(purse.book(&party()).unwrap().signed(), CUC);
}

#[test]
fn two_processes_do_not_write_the_same_books() {
	let folder = tempfile::tempdir().unwrap();
	let first = open(folder.path(), &[]);
	let second = Purse::open(Store::new(folder.path(), GENESIS), 0, &[]);
	let refused = second.absorb(&party(), &[voucher(20, CUC)], &view(20));
	assert!(matches!(refused, Err(StoreError::InUse(_))));
	assert!(matches!(second.standing(&party()), Standing::NoBook(_)));
	let result = record(1, CUC);
	first.committed(&result);
	first
		.receive(&result, Some(&voucher(20, CUC)), &view(20))
		.unwrap();
	drop(first);
	second.absorb(&party(), &[], &view(20)).unwrap();
	assert_eq!(second.book(&party()).unwrap().signed(), CUC);
}

#[test]
fn eras_leave_when_they_were_paid_and_nothing_can_be_claimed() {
	let mut book = Book::new(GENESIS, &party());
	for era in [1, 2, 3] {
		let list = book::Source::List {
			claim_eras: CLAIM_ERAS,
		};
		book.take(&voucher(era, CUC), list, &view(4)).unwrap();
	}
	book.mark(1, CUC, CUC);
	book.mark(3, CUC, CUC);
	let eras = |book: &Book| book.eras.keys().copied().collect::<Vec<_>>();
	book.prune(1 + CLAIM_ERAS, CLAIM_ERAS);
	assert_eq!(eras(&book), [1, 2, 3]);
	book.prune(2 + CLAIM_ERAS, CLAIM_ERAS);
	assert_eq!(eras(&book), [2, 3]);
	assert_eq!(book.ledger(0).exposure(), CUC);
	// What was lost stays to be seen, and is backed by nothing.
	book.prune(100, CLAIM_ERAS);
	assert_eq!(eras(&book), [2]);
	assert_eq!(book.ledger(0).exposure(), 0);
	assert_eq!(book.signed(), 3 * CUC);
}

/// A coordinator's own books, and what has reached the miner.
#[derive(Default)]
struct Model {
	now: EraIndex,
	owed: BTreeMap<EraIndex, Balance>,
	accepted: BTreeMap<u8, EraIndex>,
	pays: BTreeMap<u8, Balance>,
	/// What the outbox would have.
	pending: BTreeSet<u8>,
	/// Acknowledged to the miner.
	acknowledged: BTreeSet<u8>,
	/// The highest that reached it.
	reached: BTreeMap<EraIndex, Balance>,
}

impl Model {
	fn accept(&mut self, number: u8) -> SignedVoucher {
		let now = self.now;
		let pay = self.pays[&number];
		let era = *self.accepted.entry(number).or_insert_with(|| {
			*self.owed.entry(now).or_default() += pay;
			now
		});
		voucher(era, self.owed[&era])
	}

	fn reach(&mut self, era: EraIndex, amount: Balance) {
		let reached = self.reached.entry(era).or_default();
		*reached = (*reached).max(amount);
	}

	fn records(&self) -> Vec<Record> {
		self.pending
			.iter()
			.map(|number| record(*number, self.pays[number]))
			.collect()
	}
}

#[derive(Clone, Debug)]
enum Action {
	/// A result is made.
	Commit {
		number: u8,
		pay: Balance,
	},
	/// It is handed in; the reply is lost, comes without voucher, or with it; perhaps the miner dies
	/// before the outbox lets go of it.
	Submit {
		number: u8,
		arrives: bool,
		signed: bool,
		dies: bool,
	},
	/// A reply from before comes again.
	Old {
		number: u8,
		cut: Balance,
	},
	/// The vouchers are asked for.
	List,
	NextEra,
	Restart,
	/// As a crash does: the file that was being written is there in part.
	DieWriting,
}

fn action() -> impl Strategy<Value = Action> {
	let number = 1u8..8;
	prop_oneof![
		4 => (number.clone(), 1u128..50).prop_map(|(number, pay)| Action::Commit { number, pay }),
		6 => (number.clone(), any::<bool>(), prop::bool::weighted(0.8), prop::bool::weighted(0.2))
			.prop_map(|(number, arrives, signed, dies)| {
				Action::Submit { number, arrives, signed, dies }
			}),
		1 => (number, 0u128..50).prop_map(|(number, cut)| Action::Old { number, cut }),
		2 => Just(Action::List),
		1 => Just(Action::NextEra),
		1 => Just(Action::Restart),
		1 => Just(Action::DieWriting),
	]
}

fn reopen(purse: &mut Purse, folder: &Path, model: &Model) {
	// Ended without a word: its lock goes, as it goes with a process.
	*purse = Purse::open(Store::new(folder, GENESIS), 0, &[]);
	*purse = open(folder, &model.records());
}

proptest! {
	#![proptest_config(ProptestConfig::with_cases(64))]

	#[test]
	fn no_voucher_is_lost_and_nothing_less_than_owed_is_enough(
		actions in prop::collection::vec(action(), 1..40),
	) {
		let folder = tempfile::tempdir().unwrap();
		let mut model = Model { now: FIRST_ERA, ..Model::default() };
		let mut purse = open(folder.path(), &[]);
		let mut eras_left = 6;
		for action in actions {
			match action {
				Action::Commit { number, pay } => {
					if let Entry::Vacant(new) = model.pays.entry(number) {
						new.insert(pay);
						model.pending.insert(number);
						purse.committed(&record(number, pay));
					}
				},
				Action::Submit { number, arrives, signed, dies } => {
					if !model.pending.contains(&number) {
						continue;
					}
					let voucher = model.accept(number);
					if !arrives {
						continue;
					}
					let result = record(number, model.pays[&number]);
					let known = model.reached.get(&voucher.era).copied().unwrap_or(0);
					let near = voucher.era.abs_diff(model.now) <= 1;
					let sent = signed.then_some(&voucher);
					purse.receive(&result, sent, &view(model.now)).unwrap();
					model.acknowledged.insert(number);
					if signed && (near || voucher.cumulative.0 <= known) {
						model.reach(voucher.era, voucher.cumulative.0);
					}
					if dies {
						reopen(&mut purse, folder.path(), &model);
					} else {
						model.pending.remove(&number);
						purse.delivered(&result);
					}
				},
				Action::Old { number, cut } => {
					// For a result that is known: an answer that was on its way for long.
					if !model.acknowledged.contains(&number) || !model.pending.contains(&number) {
						continue;
					}
					let era = model.accepted[&number];
					let old = voucher(era, model.owed[&era].saturating_sub(cut));
					let known = model.reached.get(&era).copied().unwrap_or(0);
					let near = era.abs_diff(model.now) <= 1;
					let result = record(number, model.pays[&number]);
					purse.receive(&result, Some(&old), &view(model.now)).unwrap();
					if near || old.cumulative.0 <= known {
						model.reach(era, old.cumulative.0);
					}
				},
				Action::List => {
					let list: Vec<_> =
						model.owed.iter().map(|(era, owed)| voucher(*era, *owed)).collect();
					let standing = purse.absorb(&party(), &list, &view(model.now)).unwrap();
					for (era, owed) in model.owed.clone() {
						model.reach(era, owed);
					}
					prop_assert_eq!(standing, Standing::Square);
				},
				Action::NextEra if eras_left > 0 => {
					eras_left -= 1;
					model.now += 1;
				},
				Action::NextEra => {},
				Action::Restart => reopen(&mut purse, folder.path(), &model),
				Action::DieWriting => {
					let path = book_path(folder.path()).with_extension("part");
					if path.parent().is_some_and(Path::exists) {
						fs::write(&path, b"{ \"half").unwrap();
					}
					reopen(&mut purse, folder.path(), &model);
					prop_assert!(!path.exists());
				},
			}
			let book = purse.book(&party());
			let kept: BTreeMap<EraIndex, Balance> = book
				.as_ref()
				.map(|book| book.eras.iter().map(|(era, it)| (*era, it.amount())).collect())
				.unwrap_or_default();
			let reached: BTreeMap<EraIndex, Balance> =
				model.reached.clone().into_iter().filter(|(_, amount)| *amount > 0).collect();
			prop_assert_eq!(&kept, &reached, "a voucher was lost, or made up");
			let on_disk = Store::new(folder.path(), GENESIS).book(&party()).unwrap();
			prop_assert_eq!(book.unwrap_or_else(|| on_disk.clone()), on_disk);
			let owed: Balance = model.acknowledged.iter().map(|number| model.pays[number]).sum();
			let signed: Balance = reached.values().sum();
			if signed < owed {
				prop_assert_ne!(purse.standing(&party()), Standing::Square);
			}
		}
	}
}
