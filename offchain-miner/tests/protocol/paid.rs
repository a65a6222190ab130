//! Coordinators that pay, and those that do not.

use super::{registry, Running, ANY, FAST, SLOW};
use crate::coordinator::{account, Coordinator, Server, Signs, MINER};
use cuckoo_primitives::{EraIndex, CUC};
use offchain_miner::purse::{book::Party, Standing};
use std::{path::Path, time::Duration};
use tokio::time::sleep;

const ERA: EraIndex = 7;
const PAY: u128 = 2 * CUC;

/// A miner at one coordinator, with an allotment.
struct Pair {
	coordinator: Coordinator,
	miner: Running,
	party: Party,
	_server: Server,
}

impl Pair {
	async fn start(folder: &Path, guaranteed: u128) -> Self {
		Self::with(folder, Coordinator::new(10), guaranteed).await
	}

	async fn with(folder: &Path, coordinator: Coordinator, guaranteed: u128) -> Self {
		coordinator.lock().till.era = ERA;
		let (server, address) = coordinator.serve(ANY).await;
		let registry = registry(&[(&coordinator, address)]).in_era(ERA);
		let miner = Running::start(folder, registry, FAST).await;
		let party = Party {
			coordinator: account(coordinator.byte),
			miner: account(MINER),
		};
		miner.purse.set_claim_eras(16);
		miner.purse.set_guaranteed(&party, guaranteed);
		Self {
			coordinator,
			miner,
			party,
			_server: server,
		}
	}

	/// Whether the miner comes to stand so.
	async fn stands(&self, is: impl Fn(&Standing) -> bool) {
		for _ in 0..1_000 {
			if is(&self.miner.purse.standing(&self.party)) {
				return;
			}
			sleep(Duration::from_millis(20)).await;
		}
		panic!("stands {:?}", self.miner.purse.standing(&self.party));
	}

	/// The voucher of the era, as the purse has it.
	fn voucher(&self) -> u128 {
		let book = self.miner.purse.book(&self.party).unwrap();
		book.eras.get(&ERA).map_or(0, |entry| entry.amount())
	}

	async fn results(&self, count: usize) {
		self.coordinator
			.wait_for("results", |seen| seen.commitments().len() >= count)
			.await;
	}

	async fn failures(&self, count: usize) -> Vec<String> {
		self.coordinator
			.wait_for("failures", |seen| seen.failures().len() >= count)
			.await;
		self.coordinator.lock().seen.failures()
	}
}

#[tokio::test(flavor = "multi_thread")]
async fn every_result_brings_a_voucher_that_is_on_the_disk_before_it_counts_as_delivered() {
	let folder = tempfile::tempdir().unwrap();
	let pair = Pair::start(folder.path(), 100 * CUC).await;
	for task in 1..=3 {
		pair.coordinator.ask_for_paid(task, PAY);
	}
	pair.results(3).await;
	pair.miner.settled().await;
	assert_eq!(pair.voucher(), 3 * PAY);
	let Pair {
		miner,
		party,
		coordinator,
		..
	} = pair;
	miner.kill().await;
	let again = Pair::with(folder.path(), coordinator, 100 * CUC).await;
	assert_eq!(again.party, party);
	assert_eq!(again.voucher(), 3 * PAY);
	assert_eq!(again.miner.purse.standing(&again.party), Standing::Square);
}

/// Each kind of wrong voucher stops paid work, not free work; a right one brings it back.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_right_voucher_there_is_no_more_paid_work_until_there_is_one() {
	for (signs, expected) in [
		(Signs::Nothing, "no voucher came"),
		(Signs::WithAnotherKey, "not of the coordinator's worker"),
		(Signs::ForAnotherEra, "an era that is not near"),
		(Signs::ForAnotherMiner, "for somebody else"),
		(Signs::TooLow, "do not add up"),
	] {
		let folder = tempfile::tempdir().unwrap();
		let pair = Pair::start(folder.path(), 100 * CUC).await;
		{
			let mut inner = pair.coordinator.lock();
			inner.till.signs = [signs].into();
			inner.till.withholds = true;
		}
		pair.coordinator.ask_for_paid(1, PAY);
		pair.results(1).await;
		pair.stands(|standing| matches!(standing, Standing::Unpaid { .. }))
			.await;
		pair.coordinator.ask_for(2);
		pair.results(2).await;
		pair.coordinator.ask_for_paid(3, PAY);
		let reason = &pair.failures(1).await[0];
		assert!(
			reason.starts_with("not paid: ") && reason.contains(expected),
			"{signs:?}: {reason}"
		);
		assert_eq!(pair.miner.painted(), 2, "{signs:?}");

		pair.coordinator.lock().till.withholds = false;
		pair.stands(|standing| *standing == Standing::Square).await;
		assert_eq!(pair.voucher(), PAY, "{signs:?}");
		pair.coordinator.ask_for_paid(4, PAY);
		pair.results(3).await;
		pair.miner.settled().await;
		assert_eq!(pair.voucher(), 2 * PAY, "{signs:?}");
	}
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_reply_is_made_good_by_the_result_that_is_sent_again() {
	let folder = tempfile::tempdir().unwrap();
	let pair = Pair::start(folder.path(), 100 * CUC).await;
	// Accepted, and the reply lost: the list is asked for as well, but says nothing.
	pair.coordinator.lock().till.withholds = true;
	pair.coordinator.lock().till.lost_replies = 2;
	pair.coordinator.ask_for_paid(1, PAY);
	pair.results(3).await;
	pair.miner.settled().await;
	assert_eq!(pair.voucher(), PAY);
	assert_eq!(pair.miner.purse.standing(&pair.party), Standing::Square);
}

#[tokio::test(flavor = "multi_thread")]
async fn vouchers_that_were_lost_come_with_the_next_log_in() {
	let folder = tempfile::tempdir().unwrap();
	let coordinator = Coordinator::new(10);
	coordinator.lock().till.owed = [(ERA - 3, 5 * CUC), (ERA, PAY)].into();
	let pair = Pair::with(folder.path(), coordinator, 100 * CUC).await;
	for _ in 0..1_000 {
		if pair.voucher() == PAY {
			break;
		}
		sleep(Duration::from_millis(20)).await;
	}
	let book = pair.miner.purse.book(&pair.party).unwrap();
	assert_eq!(book.signed(), 5 * CUC + PAY);
	assert_eq!(book.eras[&(ERA - 3)].amount(), 5 * CUC);
	assert_eq!(book.missing(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_allotment_does_not_cover_is_given_back_and_waited_out() {
	let folder = tempfile::tempdir().unwrap();
	let pair = Pair::start(folder.path(), 2 * PAY).await;
	for task in 1..=2 {
		pair.coordinator.ask_for_paid(task, PAY);
		pair.results(task.into()).await;
	}
	pair.miner.settled().await;
	let polls = pair.coordinator.lock().seen.polls.len();
	pair.coordinator
		.wait_for("polls without a slot", |seen| {
			seen.polls[polls..]
				.iter()
				.filter(|it| it.free_slots == 0)
				.count() >= 2
		})
		.await;
	assert!(pair.coordinator.lock().seen.failures().is_empty());
	// Raised on chain.
	pair.miner.purse.set_guaranteed(&pair.party, 3 * PAY);
	pair.coordinator.ask_for_paid(3, PAY);
	pair.results(3).await;
	pair.miner.settled().await;
	assert_eq!(pair.voucher(), 3 * PAY);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_above_the_allotment_is_given_back_with_the_figures() {
	let folder = tempfile::tempdir().unwrap();
	let pair = Pair::start(folder.path(), PAY).await;
	pair.coordinator.ask_for_paid(1, PAY + 1);
	let reasons = pair.failures(1).await;
	assert!(reasons[0].starts_with("not covered: 0 CUC"), "{reasons:?}");
	assert_eq!(pair.miner.painted(), 0);
}

/// The device is slow, so the miner is killed with the result not yet made, made, and handed in.
#[tokio::test(flavor = "multi_thread")]
async fn killed_at_any_time_it_loses_no_voucher() {
	for millis in [20, 200, 500, 560, 620, 700] {
		let folder = tempfile::tempdir().unwrap();
		let coordinator = Coordinator::new(10);
		coordinator.lock().till.era = ERA;
		let (server, address) = coordinator.serve(ANY).await;
		let chain = registry(&[(&coordinator, address)]).in_era(ERA);
		let party = Party {
			coordinator: account(10),
			miner: account(MINER),
		};
		let miner = Running::start(folder.path(), chain.clone(), SLOW).await;
		miner.purse.set_claim_eras(16);
		miner.purse.set_guaranteed(&party, 100 * CUC);
		let assignment = coordinator.ask_for_paid(1, PAY);
		coordinator
			.wait_for("a poll", |seen| !seen.polls.is_empty())
			.await;
		sleep(Duration::from_millis(millis)).await;
		miner.kill().await;
		drop(server);

		let pair = Pair::with(folder.path(), coordinator, 100 * CUC).await;
		let spec = crate::coordinator::spec("task 1");
		let work = pair.coordinator.sign_paid(assignment, spec, PAY);
		pair.coordinator.hand_out(work);
		for _ in 0..1_000 {
			if pair.voucher() == PAY {
				break;
			}
			sleep(Duration::from_millis(20)).await;
		}
		assert_eq!(pair.voucher(), PAY, "killed after {millis} ms");
		assert_eq!(pair.miner.purse.standing(&pair.party), Standing::Square);
	}
}
