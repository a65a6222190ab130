//! Apps pay, miners earn, eras are settled: against a chain in memory that has the pallet's rules.

use crate::harness::*;
use cuckoo_coordinator_api::{
	error::{ApiError, ErrorCode},
	miner::SubmitReply,
	payment::{AccountStatus, ChannelPayment, SignedVoucher},
	rpc::{MinerRpcClient, TaskRpcClient},
	task::{BatchReply, BatchTask, SubmitOptions, TaskState, TaskStatus},
	Amount,
};
use cuckoo_primitives::{
	signing,
	sum_tree::{self, proven_amount},
	voucher::{ChannelId, ChannelVoucher},
	Balance, EraIndex, Role, CUC,
};
use jsonrpsee::http_client::{HeaderMap, HeaderValue, HttpClient, HttpClientBuilder};
use offchain_coordinator::{
	keys::{KeysError, Limits},
	ledger::{
		self,
		model::{Fate, Model},
		reconcile::check as check_books,
		settle,
	},
	price::Prices,
	retention,
	settings::{Settings, DAY_MS},
	store::EraState,
};
use sp_core::Pair;
use std::{path::Path, sync::Arc, time::Duration};

/// What every task here costs: 16 x 16 pixels, 4 steps.
pub const PRICE: Balance = 1_024;

/// Its miner's part.
pub const PAY: Balance = 768;

pub fn settings() -> Settings {
	Settings {
		prices: Prices {
			default: 1_000_000,
			..Prices::default()
		},
		..Settings::default()
	}
}

pub fn chain() -> Model {
	let chain = Model::new(GENESIS);
	let mut state = chain.state();
	state.era = 7;
	state.reserve.balance = 1_000 * CUC;
	drop(state);
	for miner in ["alice", "bob"] {
		allot(&chain, miner, 10 * CUC);
	}
	chain
}

fn allot(chain: &Model, miner: &str, amount: Balance) {
	let mut state = chain.state();
	let allotment = cuckoo_chain_client::Allotment {
		amount,
		since: 0,
		lowering: None,
		paid: Vec::new(),
	};
	state.reserve.allotted += amount;
	state.allotments.insert(account(miner), allotment);
}

/// The coordinator sees the chain as it is now.
pub async fn see(server: &Server, chain: &Model) {
	let (block, era) = {
		let mut state = chain.state();
		state.block += 1;
		(state.block, state.era)
	};
	let registry = Arc::unwrap_or_clone(registry(block, operators())).in_era(era);
	let seen = server.coordinator.set_registry(Arc::new(registry), GENESIS);
	seen.await.unwrap();
	let _ = server.coordinator.look_at_chain().await;
}

async fn start(directory: &Path, chain: &Model) -> Server {
	start_with(directory, chain, settings()).await
}

pub async fn start_with(directory: &Path, chain: &Model, settings: Settings) -> Server {
	let server = Server::start_without_chain(directory, settings, 1_000_000).await;
	server.coordinator.set_chain(Arc::new(chain.clone()));
	see(&server, chain).await;
	server
}

/// A miner that is connected, and whose allotment was read.
pub async fn connect(server: &Server, chain: &Model, name: &str) -> TestMiner {
	let miner = TestMiner::connect(server, name).await;
	see(server, chain).await;
	miner
}

/// An app with a key and so much on its balance.
pub async fn app(server: &Server, directory: &Path, name: &str, amount: Balance) -> HttpClient {
	let key = with_keys(directory, |keys| {
		let key = keys.create(name, Limits::default(), 1).unwrap();
		if amount > 0 {
			keys.credit(name, amount, None, 1).unwrap();
		}
		key.reveal()
	});
	let mut headers = HeaderMap::new();
	let value = HeaderValue::from_str(&format!("Bearer {key}")).unwrap();
	headers.insert("authorization", value);
	HttpClientBuilder::default()
		.set_headers(headers)
		.build(server.url(""))
		.unwrap()
}

fn money(balance: Balance, held: Balance, spent: Balance) -> AccountStatus {
	AccountStatus {
		balance: Amount(balance),
		held: Amount(held),
		spent: Amount(spent),
	}
}

pub async fn pay_from(client: &HttpClient, prompt: &str) -> TaskStatus {
	client.task_submit(request(prompt), None).await.unwrap()
}

pub fn voucher(channel: ChannelId, cumulative: Balance, signer: &str) -> ChannelPayment {
	let voucher = ChannelVoucher {
		coordinator: account("coordinator"),
		channel,
		cumulative,
	};
	ChannelPayment {
		channel,
		cumulative: Amount(cumulative),
		signature: signing::sign(&GENESIS, &voucher, &pair(signer)),
	}
}

pub fn by(payment: ChannelPayment) -> Option<SubmitOptions> {
	Some(SubmitOptions {
		payment: Some(payment),
		..SubmitOptions::default()
	})
}

async fn refused(server: &Server, options: Option<SubmitOptions>) -> ApiError {
	let submitted = server.client.task_submit(request("one"), options).await;
	api_error(submitted.unwrap_err())
}

/// Does the next task; gives what the miner was told.
pub async fn work(miner: &TestMiner) -> SubmitReply {
	let work = miner.work().await;
	assert_eq!(work.pay, Amount(PAY));
	let picture = png(16, 16, 1);
	miner.upload(&hash(&picture), picture.clone()).await;
	let commitment = miner.commitment(&work, hash(&picture));
	let reply = miner.submit(&work, commitment).await.unwrap();
	assert!(reply.accepted);
	reply
}

fn check(voucher: &SignedVoucher, miner: &str, era: EraIndex, cumulative: Balance) {
	assert_eq!(voucher.worker, pair("coordinator").public());
	let signed = voucher.voucher();
	assert!(signing::verify(
		&GENESIS,
		&signed,
		&voucher.signature,
		&voucher.worker
	));
	assert_eq!(voucher.coordinator, account("coordinator"));
	assert_eq!((&voucher.miner, voucher.era), (&account(miner), era));
	assert_eq!(voucher.cumulative, Amount(cumulative));
}

/// Nothing is missing and nothing too much, in the store and on the chain.
async fn adds_up(server: &Server, chain: &Model) {
	let books = server.coordinator.books().await.unwrap();
	let operator = account("coordinator");
	let findings = check_books(&books, None).await.unwrap();
	assert_eq!(findings.differences, Vec::<String>::new());
	let findings = check_books(&books, Some((chain, &operator))).await.unwrap();
	assert_eq!(findings.differences, Vec::<String>::new());
}

async fn state(server: &Server, era: EraIndex) -> EraState {
	server.coordinator.books().await.unwrap().eras[&era].state
}

#[tokio::test]
async fn a_task_with_a_price_is_taken_only_with_what_pays_for_it() {
	let directory = tempfile::tempdir().unwrap();
	let chain = chain();
	let server = start(directory.path(), &chain).await;
	let _alice = connect(&server, &chain, "alice").await;
	let error = refused(&server, None).await;
	assert_eq!(error.code, ErrorCode::PaymentRequired);
	assert_eq!(error.subject.as_deref(), Some("price=1024"));
	let error = server.client.account_status().await;
	assert_eq!(code(error), ErrorCode::ApiKeyInvalid);

	let poor = app(&server, directory.path(), "poor", PRICE - 1).await;
	let error = api_error(poor.task_submit(request("one"), None).await.unwrap_err());
	assert_eq!(error.code, ErrorCode::BalanceTooLow);
	assert_eq!(error.subject.as_deref(), Some("balance=1023 price=1024"));
	with_keys(directory.path(), |keys| {
		keys.credit("poor", 1, Some("invoice 1"), 1).unwrap();
		let again = keys.credit("poor", 1, Some("invoice 1"), 1).unwrap_err();
		assert!(matches!(again, KeysError::Credited(_)), "{again}");
		let empty = keys.credit("poor", 1, Some(""), 1).unwrap_err();
		assert!(matches!(empty, KeysError::Reference), "{empty}");
	});
	let task = pay_from(&poor, "one").await;
	assert_eq!(poor.account_status().await.unwrap(), money(0, PRICE, 0));
	let cancelled = poor.task_cancel(task.id).await.unwrap();
	assert_eq!(cancelled.state, TaskState::Cancelled);
	assert_eq!(poor.account_status().await.unwrap(), money(PRICE, 0, 0));
	assert_eq!(code(poor.task_cancel(task.id).await), ErrorCode::TaskEnded);
	assert_eq!(
		poor.account_status().await.unwrap(),
		money(PRICE, 0, 0),
		"given back once"
	);
	adds_up(&server, &chain).await;
	server.stop().await;
}

#[tokio::test]
async fn a_task_that_is_done_is_charged_and_earned_once() {
	let directory = tempfile::tempdir().unwrap();
	let chain = chain();
	let server = start(directory.path(), &chain).await;
	let alice = connect(&server, &chain, "alice").await;
	let red = app(&server, directory.path(), "red", 3 * PRICE).await;
	let keyed = || {
		Some(SubmitOptions {
			idempotency_key: Some("k".into()),
			..SubmitOptions::default()
		})
	};
	let task = red.task_submit(request("one"), keyed()).await.unwrap();
	assert_eq!(
		red.account_status().await.unwrap(),
		money(2 * PRICE, PRICE, 0)
	);
	let told = alice.work().await;
	assert_eq!(told.pay, Amount(PAY));
	let picture = png(16, 16, 1);
	alice.upload(&hash(&picture), picture.clone()).await;
	let commitment = alice.commitment(&told, hash(&picture));
	let reply = alice.submit(&told, commitment.clone()).await.unwrap();
	check(&reply.voucher.unwrap(), "alice", 7, PAY);
	assert_eq!(
		red.account_status().await.unwrap(),
		money(2 * PRICE, 0, PRICE)
	);

	// Whatever comes again, nothing is charged or earned again.
	let again = red.task_submit(request("one"), keyed()).await.unwrap();
	assert_eq!((again.id, again.state), (task.id, TaskState::Done));
	let again = alice.submit(&told, commitment.clone()).await.unwrap();
	assert!(again.accepted);
	check(&again.voucher.unwrap(), "alice", 7, PAY);
	let other = alice.commitment(&told, hash(b"another"));
	assert_eq!(
		code(alice.submit(&told, other).await),
		ErrorCode::AlreadySubmitted
	);
	server.kill();
	let server = start(directory.path(), &chain).await;
	let alice = connect(&server, &chain, "alice").await;
	let again = alice.submit(&told, commitment).await.unwrap();
	check(&again.voucher.unwrap(), "alice", 7, PAY);
	let vouchers = alice
		.client
		.miner_vouchers(alice.session.token)
		.await
		.unwrap();
	assert_eq!(vouchers.len(), 1);
	check(&vouchers[0], "alice", 7, PAY);
	adds_up(&server, &chain).await;

	// Also when nothing shows the task any more.
	server.pass(100 * DAY_MS);
	assert_eq!(retention::pass(&server.coordinator).await.unwrap(), 1);
	adds_up(&server, &chain).await;
	server.stop().await;
}

#[tokio::test]
async fn what_comes_to_nothing_is_given_back() {
	let directory = tempfile::tempdir().unwrap();
	let chain = chain();
	let server = start(directory.path(), &chain).await;
	let alice = connect(&server, &chain, "alice").await;
	let red = app(&server, directory.path(), "red", 2 * PRICE).await;
	let task = pay_from(&red, "one").await;
	// A failed attempt changes nothing: the price stays held.
	let told = alice.work().await;
	let reason = "no memory".into();
	let failure = cuckoo_coordinator_api::miner::Outcome::Failure { reason };
	alice.submit_outcome(&told, failure).await.unwrap();
	assert_eq!(red.account_status().await.unwrap(), money(PRICE, PRICE, 0));
	server.kill();
	let server = start(directory.path(), &chain).await;
	let red = HttpClientBuilder::default().build(server.url("")).unwrap();
	server.pass(1_000_000_000);
	server.until(task.id, TaskState::Expired).await;
	drop(red);
	let purse = with_keys(directory.path(), |keys| keys.balance("red").unwrap());
	assert_eq!(
		(purse.available(), purse.held, purse.spent),
		(2 * PRICE, 0, 0)
	);
	adds_up(&server, &chain).await;
	server.stop().await;
}

#[tokio::test]
async fn a_channel_pays_in_any_order_and_never_more_than_was_signed() {
	let directory = tempfile::tempdir().unwrap();
	let chain = chain();
	let channel = chain.open_channel(account("coordinator"), pair("app").public(), 4 * PRICE);
	let server = start(directory.path(), &chain).await;
	let alice = connect(&server, &chain, "alice").await;
	let status = server.client.channel_status(channel).await.unwrap();
	assert_eq!((status.highest, status.spent), (Amount(0), Amount(0)));
	assert_eq!(
		code(server.client.channel_status(9).await),
		ErrorCode::ChannelNotFound
	);

	let cases = [
		(voucher(9, PRICE, "app"), ErrorCode::ChannelNotFound),
		(voucher(channel, PRICE, "thief"), ErrorCode::PaymentInvalid),
		(
			voucher(channel, PRICE - 1, "app"),
			ErrorCode::PaymentInvalid,
		),
		(
			voucher(channel, 4 * PRICE + 1, "app"),
			ErrorCode::PaymentInvalid,
		),
	];
	for (payment, expected) in cases {
		assert_eq!(refused(&server, by(payment)).await.code, expected);
	}
	// The later voucher first.
	for cumulative in [2 * PRICE, PRICE] {
		let payment = by(voucher(channel, cumulative, "app"));
		server
			.client
			.task_submit(request("one"), payment)
			.await
			.unwrap();
	}
	let error = refused(&server, by(voucher(channel, 2 * PRICE, "app"))).await;
	assert_eq!(error.subject.as_deref(), Some("due=3072 deposit=4096"));
	let status = server.client.channel_status(channel).await.unwrap();
	assert_eq!(
		(status.highest, status.spent),
		(Amount(2 * PRICE), Amount(2 * PRICE))
	);
	check(&work(&alice).await.voucher.unwrap(), "alice", 7, PAY);
	check(&work(&alice).await.voucher.unwrap(), "alice", 7, 2 * PAY);

	// What was paid for nothing the next task uses up.
	let payment = by(voucher(channel, 3 * PRICE, "app"));
	let third = server
		.client
		.task_submit(request("three"), payment)
		.await
		.unwrap();
	server.client.task_cancel(third.id).await.unwrap();
	let payment = by(voucher(channel, 3 * PRICE, "app"));
	server
		.client
		.task_submit(request("four"), payment)
		.await
		.unwrap();

	chain.state().channels.get_mut(&channel).unwrap().closing = Some(1_000);
	see(&server, &chain).await;
	let error = refused(&server, by(voucher(channel, 4 * PRICE, "app"))).await;
	assert_eq!(error.code, ErrorCode::ChannelNotFound);
	assert!(server.client.channel_status(channel).await.unwrap().closing);
	// A channel that closes is redeemed at once, however little it is.
	settle::pass(&server.coordinator).await.unwrap();
	assert_eq!(chain.state().channels[&channel].redeemed, 3 * PRICE);
	see(&server, &chain).await;
	settle::pass(&server.coordinator).await.unwrap();
	adds_up(&server, &chain).await;
	server.stop().await;
}

#[tokio::test]
async fn batches_pay_for_each_task_that_is_taken() {
	let directory = tempfile::tempdir().unwrap();
	let chain = chain();
	let server = start(directory.path(), &chain).await;
	let _alice = connect(&server, &chain, "alice").await;
	let red = app(&server, directory.path(), "red", 2 * PRICE).await;
	let task = |prompt: &str| BatchTask {
		spec: request(prompt),
		options: None,
	};
	let batch = vec![task("one"), task("two"), task("three")];
	let replies = red.task_submit_batch(batch).await.unwrap();
	let taken = replies
		.iter()
		.filter(|reply| matches!(reply, BatchReply::Task(_)));
	assert_eq!(taken.count(), 2);
	assert_eq!(red.account_status().await.unwrap(), money(0, 2 * PRICE, 0));
	adds_up(&server, &chain).await;
	server.stop().await;
}

#[tokio::test]
async fn a_miner_that_is_not_covered_is_not_drawn_and_is_told_why() {
	let directory = tempfile::tempdir().unwrap();
	let chain = chain();
	allot(&chain, "alice", 2 * PAY + 1);
	let server = start(directory.path(), &chain).await;
	let alice = connect(&server, &chain, "alice").await;
	let red = app(&server, directory.path(), "red", 9 * PRICE).await;
	for prompt in ["one", "two", "three"] {
		pay_from(&red, prompt).await;
	}
	work(&alice).await;
	work(&alice).await;
	server.pass(1_000);
	let reply = alice.poll(300).await;
	assert_eq!(reply.work, None);
	let lacks = reply.standing.lacks.unwrap();
	assert!(lacks.starts_with("not covered"), "{lacks}");
	// Another one is.
	let bob = connect(&server, &chain, "bob").await;
	work(&bob).await;
	// A settled era gives room again.
	pay_from(&red, "four").await;
	drop(bob);
	server.pass(31_000);
	chain.state().era = 8;
	see(&server, &chain).await;
	settle::pass(&server.coordinator).await.unwrap();
	see(&server, &chain).await;
	check(&work(&alice).await.voucher.unwrap(), "alice", 8, PAY);
	adds_up(&server, &chain).await;
	server.stop().await;
}

#[tokio::test]
async fn an_era_is_settled_once_whatever_becomes_of_transactions_and_processes() {
	let directory = tempfile::tempdir().unwrap();
	let chain = chain();
	let mut server = start(directory.path(), &chain).await;
	for name in ["alice", "bob"] {
		let miner = connect(&server, &chain, name).await;
		let key = directory.path();
		let red = app(&server, key, &format!("for {name}"), 5 * PRICE).await;
		pay_from(&red, "one").await;
		work(&miner).await;
		drop(miner);
		server.pass(31_000);
	}
	// Not before it is over.
	settle::pass(&server.coordinator).await.unwrap();
	assert_eq!(chain.state().settled.len(), 0);
	let missing = server.client.settlement_proof(7, account("alice")).await;
	assert_eq!(code(missing), ErrorCode::SettlementNotFound);

	chain.state().era = 8;
	for fate in [Fate::Lost, Fate::Unheard] {
		see(&server, &chain).await;
		chain.state().fates.push_back(fate);
		assert!(settle::pass(&server.coordinator).await.is_err());
		let not_yet = server.client.settlement_proof(7, account("alice")).await;
		assert_eq!(code(not_yet), ErrorCode::SettlementNotFound);
		server.kill();
		server = start(directory.path(), &chain).await;
	}
	settle::pass(&server.coordinator).await.unwrap();
	settle::pass(&server.coordinator).await.unwrap();
	assert_eq!(state(&server, 7).await, EraState::Posted);
	let settled = chain.state().settled[&7];
	assert_eq!((settled.root.node.sum, settled.root.leaves), (2 * PAY, 2));
	assert_eq!(chain.state().sent.len(), 1, "one transaction");

	let context = sum_tree::context(&GENESIS, &account("coordinator"), 7);
	for (name, amount) in [("alice", PAY), ("bob", PAY), ("poor", 0)] {
		let proof = server
			.client
			.settlement_proof(7, account(name))
			.await
			.unwrap();
		assert_eq!(proof.root(), settled.root);
		let (root, proof) = (proof.root(), proof.proof());
		assert!(sum_tree::verify(
			&root,
			&context,
			&proof.leaves,
			&proof.siblings
		));
		let proven = proven_amount(root.leaves, &proof.leaves, &account(name));
		assert_eq!(proven, Some(amount), "{name}");
	}

	// What is done from now on counts for the era after it, also if this process has not heard of it.
	let registry = Arc::unwrap_or_clone(registry(99, operators())).in_era(7);
	let seen = server.coordinator.set_registry(Arc::new(registry), GENESIS);
	seen.await.unwrap();
	let alice = TestMiner::connect(&server, "alice").await;
	let _ = server.coordinator.look_at_chain().await;
	let blue = app(&server, directory.path(), "blue", PRICE).await;
	pay_from(&blue, "late").await;
	check(&work(&alice).await.voucher.unwrap(), "alice", 8, PAY);
	let vouchers = alice
		.client
		.miner_vouchers(alice.session.token)
		.await
		.unwrap();
	let eras: Vec<EraIndex> = vouchers.iter().map(|voucher| voucher.era).collect();
	assert_eq!(eras, [7, 8]);
	adds_up(&server, &chain).await;
	server.stop().await;
}

#[tokio::test]
async fn the_reserve_is_filled_from_channels_and_an_era_waits_until_it_suffices() {
	let directory = tempfile::tempdir().unwrap();
	let chain = chain();
	{
		let mut state = chain.state();
		state.reserve.balance = state.reserve.allotted;
	}
	let channel = chain.open_channel(account("coordinator"), pair("app").public(), CUC);
	let server = start(directory.path(), &chain).await;
	let alice = connect(&server, &chain, "alice").await;
	let red = app(&server, directory.path(), "red", PRICE).await;
	pay_from(&red, "one").await;
	work(&alice).await;
	chain.state().era = 8;
	see(&server, &chain).await;
	settle::pass(&server.coordinator).await.unwrap();
	assert_eq!(
		chain.state().settled.len(),
		0,
		"there is nothing in the reserve"
	);

	let payment = by(voucher(channel, PRICE, "app"));
	server
		.client
		.task_submit(request("two"), payment)
		.await
		.unwrap();
	see(&server, &chain).await;
	settle::pass(&server.coordinator).await.unwrap();
	assert_eq!(chain.state().channels[&channel].redeemed, PRICE);
	assert_eq!(chain.state().settled.len(), 1);
	// Later than that it is too late, and its miners have their vouchers.
	work(&alice).await;
	chain.state().era = 13;
	see(&server, &chain).await;
	settle::pass(&server.coordinator).await.unwrap();
	assert_eq!(state(&server, 8).await, EraState::Missed);
	let vouchers = alice
		.client
		.miner_vouchers(alice.session.token)
		.await
		.unwrap();
	assert_eq!(vouchers.len(), 2);
	adds_up(&server, &chain).await;
	server.stop().await;
}

#[tokio::test]
async fn allotments_are_raised_and_leaves_claimed_where_the_operator_wants_it() {
	let directory = tempfile::tempdir().unwrap();
	let chain = chain();
	let settings = Settings {
		settlement: ledger::Settings {
			allotment: 25 * CUC,
			claim_for_miners: true,
		},
		..settings()
	};
	let server = start_with(directory.path(), &chain, settings).await;
	let alice = connect(&server, &chain, "alice").await;
	settle::pass(&server.coordinator).await.unwrap();
	assert_eq!(chain.state().allotments[&account("alice")].amount, 25 * CUC);
	assert_eq!(
		chain.state().allotments[&account("bob")].amount,
		10 * CUC,
		"not connected"
	);
	see(&server, &chain).await;
	settle::pass(&server.coordinator).await.unwrap();
	assert_eq!(chain.state().sent.len(), 1, "nothing is sent again");
	let red = app(&server, directory.path(), "red", PRICE).await;
	pay_from(&red, "one").await;
	work(&alice).await;
	chain.state().era = 8;
	see(&server, &chain).await;
	settle::pass(&server.coordinator).await.unwrap();
	settle::pass(&server.coordinator).await.unwrap();
	assert_eq!(chain.state().paid[&account("alice")], PAY);
	assert_eq!(chain.state().settled[&7].claimed, PAY);
	adds_up(&server, &chain).await;
	server.stop().await;
}

#[tokio::test]
async fn without_a_node_nothing_is_taken_that_costs_something() {
	let directory = tempfile::tempdir().unwrap();
	let chain = chain();
	let server = Server::start_with(directory.path(), settings(), 1_000_000).await;
	TestMiner::connect(&server, "alice").await;
	let red = app(&server, directory.path(), "red", PRICE).await;
	let error = red.task_submit(request("one"), None).await;
	assert_eq!(code(error), ErrorCode::ChainUnavailable);
	server.coordinator.set_chain(Arc::new(chain.clone()));
	chain.state().away = true;
	see(&server, &chain).await;
	let error = red.task_submit(request("one"), None).await;
	assert_eq!(code(error), ErrorCode::ChainUnavailable);
	chain.state().away = false;
	see(&server, &chain).await;
	pay_from(&red, "one").await;
	server.stop().await;
}

#[tokio::test]
async fn a_result_of_before_a_restart_earns_once_the_chain_is_there() {
	let directory = tempfile::tempdir().unwrap();
	let chain = chain();
	let server = start(directory.path(), &chain).await;
	let alice = connect(&server, &chain, "alice").await;
	let red = app(&server, directory.path(), "red", PRICE).await;
	let task = pay_from(&red, "one").await;
	work(&alice).await;
	server.until(task.id, TaskState::Done).await;
	server.stop().await;
	let settings = settings();
	let server = Server::start_without_chain(directory.path(), settings, 1_000_000).await;
	tokio::time::sleep(Duration::from_millis(50)).await;
	server.coordinator.set_chain(Arc::new(chain.clone()));
	see(&server, &chain).await;
	assert!(operators().iter().any(|it| it.role == Role::Coordinator));
	adds_up(&server, &chain).await;
	server.stop().await;
}
