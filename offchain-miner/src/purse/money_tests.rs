//! Eras from the voucher to the money, on a chain that has the pallet's rules.

use super::{
	book::{Book, Party, Source},
	chain::{Facts, SettlementChain, Windows},
	claim::carry_out,
	era::{self, due, Claim, Kind, State},
	store::Store,
	survey::{survey, survey_within, NoProof, Proofs},
	tests::{account, open, party, record, view, voucher, worker, GENESIS},
	watch::Watcher,
	*,
};
use crate::assignment::Verified;
use cuckoo_chain_client::{Allotment, SettlementCall};
use cuckoo_coordinator_api::payment::SettlementProof;
use cuckoo_primitives::{
	signing::{self, Assignment},
	sum_tree::{self, Leaf, SumTree},
	task::{SchedulerKind, TaskId},
	CUC,
};
use proptest::prelude::*;
use sp_core::Pair;
use std::collections::BTreeSet;

const WINDOWS: Windows = Windows {
	post_eras: 4,
	claim_eras: 16,
};

/// A miner that is in every tree beside the one under test.
fn neighbour() -> Leaf {
	Leaf {
		miner: account(90),
		amount: 5,
	}
}

fn tree(era: EraIndex, amount: Balance) -> SumTree {
	let context = sum_tree::context(&GENESIS, &account(10), era);
	let own = Leaf {
		miner: account(20),
		amount,
	};
	let leaves = if amount > 0 {
		vec![own, neighbour()]
	} else {
		vec![neighbour()]
	};
	SumTree::new(&context, leaves).unwrap()
}

#[derive(Clone, Default)]
struct Ledger {
	now: EraIndex,
	allotment: Option<Allotment>,
	trees: BTreeMap<EraIndex, SumTree>,
	claimed: BTreeSet<(EraIndex, u32)>,
	reported: BTreeSet<EraIndex>,
	/// All that the miner got.
	purse: Balance,
	sent: usize,
}

impl Ledger {
	fn paid(&self, era: EraIndex) -> Balance {
		let paid = self.allotment.iter().flat_map(|it| &it.paid);
		paid.filter(|(at, _)| *at == era).map(|(_, it)| *it).sum()
	}

	fn note(&mut self, era: EraIndex, amount: Balance) {
		let first_open = self.now.saturating_sub(WINDOWS.claim_eras);
		let Some(allotment) = &mut self.allotment else {
			return;
		};
		allotment.paid.retain(|(era, _)| *era >= first_open);
		match allotment.paid.iter_mut().find(|(at, _)| *at == era) {
			Some((_, paid)) => *paid += amount,
			None => allotment.paid.push((era, amount)),
		}
		allotment.paid.sort_unstable();
	}

	/// As the pallet does it.
	fn call(&mut self, call: &SettlementCall) -> Result<(), String> {
		let late = |era: EraIndex| self.now > era + WINDOWS.claim_eras;
		match call {
			SettlementCall::Claim { era, proof, .. } => {
				if late(*era) {
					return Err("ClaimTooLate".into());
				}
				let tree = self.trees.get(era).ok_or("SettlementNotFound")?;
				let context = sum_tree::context(&GENESIS, &account(10), *era);
				if !sum_tree::verify(&tree.root(), &context, &proof.leaves, &proof.siblings) {
					return Err("ProofInvalid".into());
				}
				let placed = &proof.leaves[0];
				if !self.claimed.insert((*era, placed.index)) {
					return Err("NothingToClaim".into());
				}
				let restored = placed.leaf.amount.min(self.paid(*era));
				let due = placed.leaf.amount - restored;
				if let Some(allotment) = &mut self.allotment {
					allotment.amount += restored;
				}
				if due > 0 {
					self.note(*era, due);
				}
				self.purse += due;
			},
			SettlementCall::ClaimVoucher {
				worker: by,
				voucher,
				signature,
			} => {
				if self.now <= voucher.era + WINDOWS.post_eras {
					return Err("ClaimTooEarly".into());
				}
				if late(voucher.era) {
					return Err("ClaimTooLate".into());
				}
				let paid = self.paid(voucher.era);
				let backs = |it: &&mut Allotment| it.since <= voucher.era;
				let allotment = self.allotment.as_mut().filter(backs);
				let allotment = allotment.ok_or("AllotmentNotFound")?;
				assert_eq!(*by, worker().public());
				assert!(signing::verify(&GENESIS, voucher, signature, by));
				let due = voucher.cumulative.saturating_sub(paid);
				if due == 0 {
					return Err("VoucherUsed".into());
				}
				let amount = due.min(allotment.amount);
				if amount == 0 {
					return Err("AllotmentEmpty".into());
				}
				allotment.amount -= amount;
				self.note(voucher.era, amount);
				self.purse += amount;
			},
			SettlementCall::ReportShort { voucher, proof, .. } => {
				let tree = self.trees.get(&voucher.era).ok_or("SettlementNotFound")?;
				let root = tree.root();
				let posted = sum_tree::proven_amount(root.leaves, &proof.leaves, &account(20));
				if posted.is_none_or(|posted| posted >= voucher.cumulative) {
					return Err("NotShort".into());
				}
				if !self.reported.insert(voucher.era) {
					return Err("OffenceAlreadyCounted".into());
				}
			},
			other => panic!("{other:?}"),
		}
		Ok(())
	}
}

#[derive(Clone, Default)]
struct Fake(Arc<Mutex<Ledger>>);

impl Fake {
	fn at(now: EraIndex, allotted: Balance) -> Self {
		let fake = Self::default();
		fake.set(|chain| {
			chain.now = now;
			chain.allotment = Some(Allotment {
				amount: allotted,
				since: 0,
				lowering: None,
				paid: Vec::new(),
			});
		});
		fake
	}

	fn set<T>(&self, change: impl FnOnce(&mut Ledger) -> T) -> T {
		change(&mut self.0.lock().unwrap())
	}

	fn settle(&self, era: EraIndex, amount: Balance) {
		self.set(|chain| chain.trees.insert(era, tree(era, amount)));
	}
}

impl SettlementChain for Fake {
	async fn facts(
		&self,
		_: &Party,
		eras: &BTreeMap<EraIndex, Option<u32>>,
	) -> Result<Facts, String> {
		Ok(self.set(|chain| Facts {
			now: chain.now,
			windows: WINDOWS,
			allotment: chain.allotment.clone(),
			settled: eras
				.iter()
				.filter_map(|(era, leaf)| {
					let root = chain.trees.get(era)?.root();
					let claimed = leaf.is_some_and(|leaf| chain.claimed.contains(&(*era, leaf)));
					Some((*era, (root, claimed)))
				})
				.collect(),
		}))
	}

	async fn send(&self, calls: Vec<SettlementCall>) -> Result<(), String> {
		self.set(|chain| {
			let mut next = chain.clone();
			for call in &calls {
				next.call(call)?;
			}
			next.sent += 1;
			*chain = next;
			Ok(())
		})
	}

	async fn payer(&self) -> Result<Option<(AccountId, Balance)>, String> {
		Ok(Some((account(1), CUC)))
	}
}

/// Gives proofs of what it has, as it is told.
#[derive(Clone)]
enum Gives {
	Honest(Fake),
	Nothing,
	OutOfReach,
	OfAnotherEra(Fake),
}

impl Proofs for Gives {
	async fn proof(&self, party: &Party, era: EraIndex) -> Result<SettlementProof, NoProof> {
		let (chain, of) = match self {
			Gives::Honest(chain) => (chain, era),
			Gives::Nothing => return Err(NoProof::Refused("no".into())),
			Gives::OutOfReach => return Err(NoProof::Away("away".into())),
			Gives::OfAnotherEra(chain) => (chain, era + 1),
		};
		let tree = chain.set(|chain| chain.trees.get(&era).cloned());
		let tree = tree.ok_or_else(|| NoProof::Refused("not settled".into()))?;
		let proof = match of == era {
			true => tree.prove_miner(&party.miner).unwrap(),
			false => self::tree(of, 1).prove_miner(&party.miner).unwrap(),
		};
		Ok(SettlementProof::new(
			party.coordinator.clone(),
			era,
			tree.root(),
			proof,
		))
	}
}

fn book(vouchers: &[(EraIndex, Balance)]) -> Book {
	let mut book = Book::new(GENESIS, &party());
	for (era, amount) in vouchers {
		let taken = book.take(&voucher(*era, *amount), Source::Reply, &view(*era));
		taken.unwrap();
	}
	book
}

fn store(folder: &tempfile::TempDir) -> Store {
	Store::new(folder.path(), GENESIS)
}

async fn states(chain: &Fake, gives: &Gives, book: &Book) -> Vec<State> {
	let folder = tempfile::tempdir().unwrap();
	let survey = survey(chain, gives, &store(&folder), book, false)
		.await
		.unwrap();
	survey.eras(book).iter().map(|era| era.state()).collect()
}

/// Claims everything as the command does. What was claimed, and what failed.
async fn claim_all(chain: &Fake, gives: &Gives, book: &Book, report: bool) -> Vec<(Kind, Balance)> {
	let folder = tempfile::tempdir().unwrap();
	let survey = survey(chain, gives, &store(&folder), book, false)
		.await
		.unwrap();
	let claims = era::claims(&party(), &survey.eras(book), report);
	let done = carry_out(chain, claims, &mut |_| {}).await;
	done.into_iter()
		.map(|done| {
			assert_eq!(done.failure, None, "{done:?}");
			(done.kind, done.amount.0)
		})
		.collect()
}

#[tokio::test]
async fn an_era_goes_from_open_to_claimed() {
	let chain = Fake::at(7, 100);
	let gives = Gives::Honest(chain.clone());
	let book = book(&[(7, 30)]);
	assert_eq!(states(&chain, &gives, &book).await, [State::Open]);
	chain.set(|chain| chain.now = 8);
	assert_eq!(states(&chain, &gives, &book).await, [State::Open]);
	chain.settle(7, 30);
	let away = states(&chain, &Gives::OutOfReach, &book).await;
	assert_eq!(away, [State::Settled]);
	assert_eq!(states(&chain, &gives, &book).await, [State::Claimable]);
	assert_eq!(
		claim_all(&chain, &gives, &book, true).await,
		[(Kind::Leaf, 30)]
	);
	assert_eq!(states(&chain, &gives, &book).await, [State::Claimed]);
	assert!(claim_all(&chain, &gives, &book, true).await.is_empty());
	assert_eq!(chain.set(|chain| chain.purse), 30);
}

/// A coordinator claims the voucher of an era that it has settled, so that the allotment is used up. The leaf
/// is claimed all the same, and the allotment is as it was.
#[tokio::test]
async fn a_voucher_that_somebody_else_claimed_is_made_good_by_the_leaf() {
	let chain = Fake::at(7 + WINDOWS.post_eras + 1, 100);
	let gives = Gives::Honest(chain.clone());
	let book = book(&[(7, 60)]);
	chain.settle(7, 60);
	let claimed = chain.set(|chain| {
		chain.call(&SettlementCall::ClaimVoucher {
			worker: worker().public(),
			voucher: voucher(7, 60).voucher(),
			signature: voucher(7, 60).signature,
		})
	});
	assert_eq!(claimed, Ok(()));
	let allotted = || chain.set(|chain| chain.allotment.as_ref().unwrap().amount);
	assert_eq!((allotted(), chain.set(|chain| chain.purse)), (40, 60));
	assert_eq!(states(&chain, &gives, &book).await, [State::Claimed]);
	assert_eq!(
		claim_all(&chain, &gives, &book, true).await,
		[(Kind::Leaf, 60)]
	);
	assert_eq!((allotted(), chain.set(|chain| chain.purse)), (100, 60));
	assert!(claim_all(&chain, &gives, &book, true).await.is_empty());
}

#[tokio::test]
async fn many_leaves_go_in_one_transaction_and_one_that_fails_holds_up_no_other() {
	let chain = Fake::at(10, 100);
	let gives = Gives::Honest(chain.clone());
	let book = book(&[(7, 30), (8, 10), (9, 5)]);
	for (era, amount) in [(7, 30), (8, 10), (9, 5)] {
		chain.settle(era, amount);
	}
	let folder = tempfile::tempdir().unwrap();
	let survey = survey(&chain, &gives, &store(&folder), &book, false)
		.await
		.unwrap();
	let claims = era::claims(&party(), &survey.eras(&book), false);
	// Somebody else was faster with one of them.
	chain.send(vec![claims[1].call.clone()]).await.unwrap();
	let mut lines = 0;
	let done = carry_out(&chain, claims, &mut |_| lines += 1).await;
	assert!(done.iter().all(|done| done.failure.is_none()));
	assert_eq!(lines, 3);
	assert_eq!(chain.set(|chain| chain.purse), 45);

	let chain = Fake::at(10, 100);
	let gives = Gives::Honest(chain.clone());
	for (era, amount) in [(7, 30), (8, 10), (9, 5)] {
		chain.settle(era, amount);
	}
	claim_all(&chain, &gives, &book, false).await;
	assert_eq!(chain.set(|chain| chain.sent), 1);
}

#[tokio::test]
async fn what_was_not_settled_is_claimed_by_voucher_in_time() {
	let chain = Fake::at(11, 100);
	let book = book(&[(7, 30)]);
	let gives = Gives::Nothing;
	assert_eq!(states(&chain, &gives, &book).await, [State::Open]);
	assert!(claim_all(&chain, &gives, &book, false).await.is_empty());
	chain.set(|chain| chain.now = 12);
	assert_eq!(states(&chain, &gives, &book).await, [State::Unposted]);
	let claimed = claim_all(&chain, &gives, &book, false).await;
	assert_eq!(claimed, [(Kind::Voucher, 30)]);
	assert_eq!(states(&chain, &gives, &book).await, [State::Claimed]);

	let late = Fake::at(7 + WINDOWS.claim_eras + 1, 100);
	assert_eq!(states(&late, &gives, &book).await, [State::Expired]);
	assert!(claim_all(&late, &gives, &book, false).await.is_empty());
}

#[tokio::test]
async fn a_leaf_that_is_low_missing_or_kept_back_is_short_and_the_rest_comes_from_the_allotment() {
	for leaf in [12, 0] {
		let chain = Fake::at(8, 100);
		let gives = Gives::Honest(chain.clone());
		let book = book(&[(7, 30)]);
		chain.settle(7, leaf);
		assert_eq!(states(&chain, &gives, &book).await, [State::Short]);
		let claimed = claim_all(&chain, &gives, &book, true).await;
		let reported = (Kind::Report, 0);
		match leaf {
			0 => assert_eq!(claimed, [reported]),
			leaf => assert_eq!(claimed, [(Kind::Leaf, leaf), reported]),
		}
		let again = claim_all(&chain, &gives, &book, true).await;
		assert_eq!(again, [reported], "proven before, and so no failure");
		chain.set(|chain| chain.now = 12);
		let rest = claim_all(&chain, &gives, &book, false).await;
		assert_eq!(rest, [(Kind::Voucher, 30 - leaf)]);
		assert_eq!(states(&chain, &gives, &book).await, [State::Claimed]);
	}
	let chain = Fake::at(8, 100);
	let book = book(&[(7, 30)]);
	chain.settle(7, 30);
	let false_proof = Gives::OfAnotherEra(chain.clone());
	assert_eq!(states(&chain, &false_proof, &book).await, [State::Short]);
	assert!(claim_all(&chain, &false_proof, &book, true)
		.await
		.is_empty());
	// A coordinator that has not noted its own settlement yet says the same as one that keeps it back, until an
	// era after the time to settle.
	for now in 8..=12 {
		chain.set(|chain| chain.now = now);
		assert_eq!(
			states(&chain, &Gives::Nothing, &book).await,
			[State::Settled]
		);
		assert!(claim_all(&chain, &Gives::Nothing, &book, true)
			.await
			.is_empty());
	}
	chain.set(|chain| chain.now = 13);
	assert_eq!(states(&chain, &Gives::Nothing, &book).await, [State::Short]);
	let claimed = claim_all(&chain, &Gives::Nothing, &book, false).await;
	assert_eq!(claimed, [(Kind::Voucher, 30)]);
}

#[tokio::test]
async fn a_coordinator_that_is_only_away_is_waited_for_until_time_is_short() {
	let chain = Fake::at(12, 100);
	let book = book(&[(7, 30)]);
	chain.settle(7, 30);
	let away = Gives::OutOfReach;
	assert!(claim_all(&chain, &away, &book, false).await.is_empty());
	chain.set(|chain| chain.now = 7 + WINDOWS.claim_eras - 1);
	let claimed = claim_all(&chain, &away, &book, false).await;
	assert_eq!(claimed, [(Kind::Voucher, 30)]);
}

/// Gives proofs of the eras before this one, and for the others no answer.
struct StallsFrom(EraIndex, Gives);

impl Proofs for StallsFrom {
	async fn proof(&self, party: &Party, era: EraIndex) -> Result<SettlementProof, NoProof> {
		if era >= self.0 {
			return std::future::pending().await;
		}
		self.1.proof(party, era).await
	}
}

#[tokio::test]
async fn a_coordinator_that_stalls_is_waited_for_once() {
	let chain = Fake::at(13, 100);
	let eras: Vec<(EraIndex, Balance)> = (1..=12).map(|era| (era, 30)).collect();
	for (era, amount) in &eras {
		chain.settle(*era, *amount);
	}
	let stalls = StallsFrom(3, Gives::Honest(chain.clone()));
	let (folder, book) = (tempfile::tempdir().unwrap(), book(&eras));
	let patience = Duration::from_millis(200);
	let begun = Instant::now();
	let survey = survey_within(&chain, &stalls, &store(&folder), &book, false, patience).await;
	let took = begun.elapsed();
	assert!((patience..4 * patience).contains(&took), "{took:?}");
	let survey = survey.unwrap();
	let states: Vec<State> = survey.eras(&book).iter().map(|era| era.state()).collect();
	assert_eq!(states[..2], [State::Claimable; 2]);
	assert_eq!(states[2..], [State::Settled; 10]);
}

fn verified(number: u8, pay: Balance) -> Verified {
	let spec = TaskSpec {
		model: H256::zero(),
		prompt: "a red apple".into(),
		negative_prompt: String::new(),
		seed: 7,
		steps: 10,
		width: 1_000,
		height: 1_000,
		guidance_milli: 0,
		scheduler: SchedulerKind::Ddim,
	};
	let assignment = Assignment {
		coordinator: account(10),
		task: TaskId([number; 16]),
		attempt: 0,
		miner: account(20),
		worker: worker().public(),
		spec_hash: spec.hash(),
		model: spec.model,
		deadline_ms: 0,
		block_number: 1,
		block_hash: H256::zero(),
		randomness: H256::zero(),
		eligible_root: H256::zero(),
		total_weight: 1,
	};
	Verified {
		hash: H256::repeat_byte(number),
		assignment,
		spec,
		pay,
	}
}

/// What is at work counts, also before there is a voucher; what is proven counts no more.
#[tokio::test]
async fn the_watcher_frees_what_is_settled() {
	let folder = tempfile::tempdir().unwrap();
	let purse = Arc::new(open(folder.path(), &[]));
	let now = Instant::now();
	let first = verified(1, 30);
	let refused = purse.promise(&first, now).err();
	assert_eq!(refused, Some(Declined::NotKnown));
	let chain = Fake::at(7, 50);
	let gives = Gives::Honest(chain.clone());
	let mut watcher = Watcher::new(purse.clone(), chain.clone(), gives, Some(0));
	watcher.round(7).await.unwrap();
	let promise = purse.promise(&first, now).unwrap();
	let second = purse.promise(&verified(2, 30), now).err();
	assert!(
		matches!(second, Some(Declined::NotCovered { .. })),
		"{second:?}"
	);
	assert!(!purse.asks_for_work(&party(), now));
	assert!(purse.asks_for_work(&party(), now + LONGEST_PAUSE));
	let result = record(1, 30);
	purse.committed(&result);
	drop(promise);
	purse
		.receive(&result, Some(&voucher(7, 30)), &view(7))
		.unwrap();
	purse.delivered(&result);
	assert!(purse.promise(&verified(2, 30), now).is_err());

	chain.settle(7, 30);
	chain.set(|chain| chain.now = 8);
	watcher.round(8).await.unwrap();
	let promise = purse.promise(&verified(2, 30), now);
	assert!(promise.is_ok(), "settled, and still at risk");
	assert_eq!(chain.set(|chain| chain.purse), 30, "claimed by itself");
	watcher.round(9).await.unwrap();
	let entry = &purse.book(&party()).unwrap().eras[&7];
	assert_eq!((entry.secured.0, entry.received.0), (30, 30));
	chain.set(|chain| chain.now = 24);
	watcher.round(24).await.unwrap();
	assert!(purse.book(&party()).unwrap().eras.is_empty());
}

/// Below the threshold the watcher waits, and not for ever.
#[tokio::test]
async fn the_watcher_claims_from_the_threshold_on_and_before_it_is_too_late() {
	let folder = tempfile::tempdir().unwrap();
	let purse = Arc::new(open(folder.path(), &[]));
	let chain = Fake::at(7, 1_000);
	let gives = Gives::Honest(chain.clone());
	let mut watcher = Watcher::new(purse.clone(), chain.clone(), gives, Some(50));
	let got = || chain.set(|chain| chain.purse);
	let era_of = |era: EraIndex, amount: Balance| {
		let result = record(era as u8, amount);
		purse.committed(&result);
		let voucher = voucher(era, amount);
		purse.receive(&result, Some(&voucher), &view(era)).unwrap();
		purse.delivered(&result);
		chain.settle(era, amount);
		chain.set(|chain| chain.now = era + 1);
	};
	era_of(7, 20);
	watcher.round(8).await.unwrap();
	assert_eq!(got(), 0);
	era_of(8, 29);
	watcher.round(9).await.unwrap();
	assert_eq!(got(), 0);
	era_of(9, 1);
	watcher.round(10).await.unwrap();
	assert_eq!(got(), 50, "all at once");
	era_of(10, 3);
	let last = 10 + WINDOWS.claim_eras;
	for now in 11..=last - 5 {
		chain.set(|chain| chain.now = now);
		watcher.round(now).await.unwrap();
		assert_eq!(got(), 50, "in era {now}");
	}
	chain.set(|chain| chain.now = last - 4);
	watcher.round(last - 4).await.unwrap();
	assert_eq!(got(), 53);
}

proptest! {
	/// Whatever is claimable when, each claim is sent in its time, none twice; and none is sent while all
	/// together are below the threshold and have time.
	#[test]
	fn what_is_claimable_is_due_in_time(
		amounts in prop::collection::vec((0u128..40, 1u32..6), 1..30),
		threshold in 0u128..100,
		claim_eras in 3u32..20,
	) {
		let windows = Windows { post_eras: 1, claim_eras };
		let (mut open, mut done): (Vec<Claim>, BTreeSet<EraIndex>) = Default::default();
		for now in 0..40 + claim_eras {
			// Each era's can be claimed some eras after it, while there is time.
			let ready = (0..).zip(&amounts).filter(|(era, (_, after))| {
				era + after == now && *after < claim_eras
			});
			open.extend(ready.map(|(era, (amount, _))| Claim {
				coordinator: account(10),
				era,
				kind: Kind::Leaf,
				amount: Amount(*amount),
				call: SettlementCall::FundReserve(0),
			}));
			let sent = due(open.clone(), threshold, now, &windows);
			let sum: Balance = open.iter().map(|claim| claim.amount.0).sum();
			if sum >= threshold {
				prop_assert_eq!(&sent, &open);
			}
			for claim in &sent {
				prop_assert!(done.insert(claim.era), "twice");
				prop_assert!(now <= claim.era + claim_eras, "too late");
				let ends = claim.era + claim_eras <= now + 2.max(claim_eras / 4);
				prop_assert!(sum >= threshold || ends, "too early");
			}
			open.retain(|claim| !done.contains(&claim.era));
		}
		prop_assert!(open.is_empty(), "lost: {open:?}");
	}
}

#[test]
fn less_than_the_miners_own_price_is_given_back() {
	let folder = tempfile::tempdir().unwrap();
	let purse = Arc::new(Purse::open(Store::new(folder.path(), GENESIS), 3, &[]));
	purse.set_guaranteed(&party(), 1_000);
	let now = Instant::now();
	// Ten megapixel-steps.
	for pay in [0, 29] {
		let refused = purse.promise(&verified(1, pay), now).err();
		assert!(
			matches!(refused, Some(Declined::TooLittle { .. })),
			"{refused:?}"
		);
	}
	assert!(!purse.asks_for_work(&party(), now));
	assert!(purse.promise(&verified(1, 30), now).is_ok());
	assert!(purse.asks_for_work(&party(), now));
}

proptest! {
	#![proptest_config(ProptestConfig::with_cases(64))]

	/// Claimed era by era, whatever the coordinator did: no claim is refused by the chain, and the miner
	/// ends with all that its leaves and its allotment are good for.
	#[test]
	fn everything_that_can_be_got_is_got_once(
		eras in prop::collection::vec((1u128..60, prop::option::of(0u128..80), 0u8..3), 1..8),
		allotted in 0u128..200,
		reports in any::<bool>(),
	) {
		let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
		runtime.block_on(async {
			let chain = Fake::at(1, allotted);
			let vouchers: Vec<(EraIndex, Balance)> =
				(1..).zip(&eras).map(|(era, (amount, ..))| (era, *amount)).collect();
			let book = book(&vouchers);
			for now in 2..=(eras.len() as EraIndex + WINDOWS.claim_eras + 1) {
				chain.set(|chain| chain.now = now);
				for (era, (_, leaf, delay)) in (1..).zip(&eras) {
					let posts = era + 1 + EraIndex::from(*delay) == now;
					if let Some(leaf) = leaf.filter(|_| posts) {
						chain.settle(era, leaf);
					}
				}
				let reports = reports && now == 9;
				claim_all(&chain, &Gives::Honest(chain.clone()), &book, reports).await;
			}
			let leaves: Balance = eras.iter().filter_map(|(_, leaf, _)| *leaf).sum();
			let rest: Balance = eras
				.iter()
				.map(|(voucher, leaf, _)| voucher.saturating_sub(leaf.unwrap_or(0)))
				.sum();
			prop_assert_eq!(chain.set(|chain| chain.purse), leaves + rest.min(allotted));
			Ok(())
		})?;
	}

	/// Only what verifies against the chain's root is believed.
	#[test]
	fn no_changed_proof_is_believed(amount in 1u128..100, more in 1u128..100, which in 0..3u8) {
		let tree = tree(7, amount);
		let good = tree.prove_miner(&account(20)).unwrap();
		let mut proof = SettlementProof::new(account(10), 7, tree.root(), good);
		let check = |proof| era::prove(&GENESIS, &party(), 7, &tree.root(), proof);
		prop_assert_eq!(check(proof.clone()).unwrap().amount, amount);
		match which {
			0 => proof.leaves[0].amount.0 += more,
			1 => proof.siblings[0].sum.0 += more,
			_ => proof.leaves[0].miner = account(21),
		}
		prop_assert!(check(proof).is_err());
	}
}
