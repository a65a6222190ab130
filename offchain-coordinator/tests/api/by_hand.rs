//! An operator settles and looks into the journal by hand, beside a coordinator that runs.

use crate::{
	harness::*,
	money::{app, chain, connect, pay_from, settings, start_with, work, PAY, PRICE},
};
use clap::Parser;
use cuckoo_primitives::{signing, voucher::ChannelVoucher, CUC};
use offchain_coordinator::{
	ledger::{
		by_hand::{ByHand, Line, Outcome, Report},
		listing::Ledger,
		model::{Fate, Model},
		reconcile, settle,
	},
	store::{EraState, Place, Store},
};
use sp_core::Pair;
use std::path::Path;

async fn by_hand(directory: &Path, chain: &Model, is_dry: bool) -> Report {
	let store = Store::open_beside(&place(directory)).await.unwrap();
	let (operator, genesis) = store.owner().await.unwrap().unwrap();
	let by_hand = ByHand {
		store: &store,
		chain,
		operator: &operator,
		genesis,
		is_dry,
	};
	let report = by_hand.settle(1).await.unwrap();
	store.close().await;
	report
}

fn outcomes(report: &Report) -> Vec<(u32, Outcome)> {
	let outcome = |line: &Line| (line.era, line.outcome);
	report.eras.iter().map(outcome).collect()
}

async fn adds_up(server: &Server, chain: &Model) {
	let books = server.coordinator.books().await.unwrap();
	let operator = account("coordinator");
	let findings = reconcile::check(&books, Some((chain, &operator))).await;
	assert_eq!(findings.unwrap().differences, Vec::<String>::new());
}

/// A coordinator that runs, with a task that was paid for and done in era 7.
async fn after_era_7(directory: &Path, chain: &Model) -> Server {
	let server = start_with(directory, chain, settings()).await;
	let alice = connect(&server, chain, "alice").await;
	let red = app(&server, directory, "red", 2 * PRICE).await;
	pay_from(&red, "one").await;
	work(&alice).await;
	chain.state().era = 8;
	server
}

#[tokio::test]
async fn what_is_over_is_settled_by_hand_once() {
	let directory = tempfile::tempdir().unwrap();
	let chain = chain();
	let server = after_era_7(directory.path(), &chain).await;
	for _ in 0..2 {
		let dry = by_hand(directory.path(), &chain, true).await;
		assert_eq!(outcomes(&dry), [(7, Outcome::WouldSettle)]);
		assert!(!dry.waits());
		assert_eq!(chain.state().settled.len(), 0);
		let books = server.coordinator.books().await.unwrap();
		assert_eq!(
			(books.closed, books.eras.len()),
			(None, 0),
			"nothing changed"
		);
	}
	// Whatever is heard of the transaction, the chain says whether it happened.
	chain.state().fates.push_back(Fate::Lost);
	let lost = by_hand(directory.path(), &chain, false).await;
	assert_eq!(outcomes(&lost), [(7, Outcome::NotSent)]);
	assert!(
		lost.waits() && lost.eras[0].says.contains("nobody knows"),
		"{lost:?}"
	);
	chain.state().fates.push_back(Fate::Unheard);
	let settled = by_hand(directory.path(), &chain, false).await;
	assert_eq!(outcomes(&settled), [(7, Outcome::Settled)]);
	assert_eq!(settled.eras[0].owed.0, PAY);
	assert_eq!(by_hand(directory.path(), &chain, false).await.eras, []);
	settle::pass(&server.coordinator).await.unwrap();
	assert_eq!(chain.state().sent.len(), 1);
	let books = server.coordinator.books().await.unwrap();
	assert_eq!(books.eras[&7].state, EraState::Posted);
	adds_up(&server, &chain).await;
	server.stop().await;
}

#[tokio::test]
async fn by_hand_and_by_itself_at_once_is_one_settlement() {
	let directory = tempfile::tempdir().unwrap();
	let chain = chain();
	let server = after_era_7(directory.path(), &chain).await;
	let pass = settle::pass(&server.coordinator);
	let (by_hand, _) = tokio::join!(by_hand(directory.path(), &chain, false), pass);
	assert!(!by_hand.waits(), "{by_hand:?}");
	settle::pass(&server.coordinator).await.unwrap();
	assert_eq!(chain.state().settled.len(), 1);
	let books = server.coordinator.books().await.unwrap();
	assert_eq!(books.eras[&7].state, EraState::Posted);
	adds_up(&server, &chain).await;
	server.stop().await;
}

#[tokio::test]
async fn it_says_why_an_era_waits_and_redeems_what_it_can() {
	let directory = tempfile::tempdir().unwrap();
	let chain = chain();
	let server = after_era_7(directory.path(), &chain).await;
	{
		let mut state = chain.state();
		state.reserve.balance = state.reserve.allotted;
	}
	let short = by_hand(directory.path(), &chain, false).await;
	assert_eq!(outcomes(&short), [(7, Outcome::ReserveTooLow)]);
	assert!(short.eras[0].says.contains("fundReserve"), "{short:?}");
	// A channel pays for the next task, and with that for this era.
	let channel = chain.open_channel(account("coordinator"), pair("app").public(), CUC);
	let voucher = ChannelVoucher {
		coordinator: account("coordinator"),
		channel,
		cumulative: PRICE,
	};
	let payment = cuckoo_coordinator_api::payment::ChannelPayment {
		channel,
		cumulative: cuckoo_coordinator_api::Amount(PRICE),
		signature: signing::sign(&GENESIS, &voucher, &pair("app")),
	};
	let options = cuckoo_coordinator_api::task::SubmitOptions {
		payment: Some(payment),
		..Default::default()
	};
	let submitted = cuckoo_coordinator_api::rpc::TaskRpcClient::task_submit(
		&server.client,
		request("two"),
		Some(options),
	);
	submitted.await.unwrap();
	let settled = by_hand(directory.path(), &chain, false).await;
	assert_eq!(
		(settled.redeemed, outcomes(&settled)),
		(1, vec![(7, Outcome::Settled)])
	);
	adds_up(&server, &chain).await;
	server.stop().await;
}

#[tokio::test]
async fn what_is_too_late_is_said_to_be() {
	let directory = tempfile::tempdir().unwrap();
	let chain = chain();
	let server = after_era_7(directory.path(), &chain).await;
	chain.state().era = 12;
	let late = by_hand(directory.path(), &chain, false).await;
	assert_eq!(outcomes(&late), [(7, Outcome::TooLate)]);
	assert!(!late.waits(), "there is nothing left to do");
	let books = server.coordinator.books().await.unwrap();
	assert_eq!(books.eras[&7].state, EraState::Missed);
	adds_up(&server, &chain).await;
	server.stop().await;
}

#[derive(Parser)]
struct Command {
	#[command(flatten)]
	ledger: Ledger,
}

/// What `ledger` prints with these arguments, on another thread: it blocks.
fn listed(directory: &Path, arguments: &[&str]) -> Result<String, String> {
	let arguments = ["ledger"].iter().chain(arguments);
	let command = Command::try_parse_from(arguments).map_err(|error| error.to_string())?;
	let place: Place = place(directory);
	let run = || {
		command
			.ledger
			.run(&place)
			.map_err(|error| error.to_string())
	};
	std::thread::scope(|scope| scope.spawn(run).join().unwrap())
}

#[tokio::test]
async fn the_journal_is_listed_beside_a_coordinator_that_runs() {
	let directory = tempfile::tempdir().unwrap();
	let chain = chain();
	let server = after_era_7(directory.path(), &chain).await;
	by_hand(directory.path(), &chain, false).await;
	let listed = |arguments: &[&str]| listed(directory.path(), arguments);
	let keys = |arguments: &[&str]| {
		let json = [&["--json"], arguments].concat();
		let lines: serde_json::Value = serde_json::from_str(&listed(&json).unwrap()).unwrap();
		let key = |line: &serde_json::Value| line["key"].as_str().unwrap().to_owned();
		lines
			.as_array()
			.unwrap()
			.iter()
			.map(key)
			.collect::<Vec<_>>()
	};
	assert_eq!(keys(&["--app", "red"]).len(), 3);
	assert_eq!(keys(&["--limit", "2"]), ["burn:7", "audit:7"]);
	let alice = account("alice").to_string();
	assert_eq!(keys(&["--miner", &alice]), ["earn:1"]);
	assert_eq!(
		keys(&["--miner", &alice, "--era", "6"]),
		Vec::<String>::new()
	);
	assert_eq!(keys(&["--era", "7"]).len(), 5);
	assert_eq!(keys(&["--channel", "0"]), Vec::<String>::new());

	let text = listed(&["--era", "7"]).unwrap();
	assert!(text.starts_with("seq  time"), "{text}");
	assert_eq!(
		listed(&["--channel", "0"]).unwrap(),
		"nothing is booked of that\n"
	);
	let csv = listed(&["--csv", "--miner", &alice]).unwrap();
	let line = csv.lines().nth(1).unwrap();
	assert!(
		csv.starts_with("seq,time,key,debit,credit,cuc,amount,task,era\n"),
		"{csv}"
	);
	assert!(
		line.contains(&format!(
			",earn:1,pay,earned:{alice}:7,0.000000000768,768,0x"
		)),
		"{csv}"
	);
	let balances = listed(&["--balances", "--csv"]).unwrap();
	assert!(
		balances.contains(&format!(
			"\nspent,0,0.000000001024,0.000000001024,{PRICE},credit\n"
		)),
		"{balances}"
	);
	let of_red = listed(&["--balances", "--app", "red"]).unwrap();
	assert_eq!(of_red.lines().count(), 4, "{of_red}");

	for (arguments, expected) in [
		(&["--app", "nobody"][..], "no app is called nobody"),
		(&["--app", "red", "--channel", "0"], "cannot be used with"),
		(&["--era", "7", "--app", "red"], "cannot be used with"),
		(&["--csv", "--json"], "cannot be used with"),
		(&["--limit", "0"], "--limit"),
		(&["--task", "7"], "--task"),
	] {
		let error = listed(arguments).unwrap_err();
		assert!(error.contains(expected), "{arguments:?}: {error}");
	}
	server.stop().await;
	let nowhere = tempfile::tempdir().unwrap();
	if !on_postgres() {
		let error = crate::by_hand::listed(nowhere.path(), &[]).unwrap_err();
		assert!(error.contains("--data-dir"), "{error}");
		assert_eq!(std::fs::read_dir(nowhere.path()).unwrap().count(), 0);
	}
}
