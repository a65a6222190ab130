//! The books add up, however often the coordinator is killed: a process of its own does tasks that apps pay
//! for by channel and by balance, eras pass and are settled, and SIGKILL comes at any moment.
//!
//! Short among the tests; `scripts/reconcile` runs it with 10,000 tasks.

use crate::{
	harness::*,
	process::{serving, Process},
};
use codec::{Decode, Encode};
use cuckoo_chain_client::{Allotment, Channel, Settlement, SettlementCall};
use cuckoo_coordinator_api::{
	error::{from_object, ErrorCode},
	miner::{Outcome, Poll, Submit, Work},
	payment::ChannelPayment,
	rpc::{MinerRpcClient, TaskRpcClient},
	task::{SubmitOptions, TaskState},
	Amount,
};
use cuckoo_primitives::{
	signing,
	sum_tree::Root,
	task::TaskId,
	voucher::{ChannelId, ChannelVoucher},
	AccountId, Balance, EraIndex, WorkerSignature, CUC,
};
use futures::future::BoxFuture;
use jsonrpsee::{
	core::client::Error as ClientError,
	http_client::{HeaderMap, HeaderValue, HttpClient, HttpClientBuilder},
};
use offchain_coordinator::{
	clock::Clock,
	keys::Limits,
	ledger::{
		self,
		chain::{ChainError, ChainResult, Facts, MoneyChain},
		model::Model,
		reconcile::{check, Findings},
	},
	price::Prices,
	settings::Settings,
	store::EraState,
};
use sp_core::Pair;
use std::{
	collections::BTreeMap,
	fs::OpenOptions,
	io::Write,
	path::{Path, PathBuf},
	sync::{
		atomic::{AtomicU64, Ordering},
		Arc, Mutex,
	},
	time::Duration,
};

/// Names the data directory that a process of the test is to serve.
const SERVE: &str = "CUCKOO_TEST_BOOKS";

/// How many tasks, and how often the coordinator is killed at least.
const TASKS: &str = "CUCKOO_TEST_TASKS";
const KILLS: &str = "CUCKOO_TEST_KILLS";

/// What each task costs, and its miner's part.
const PRICE: Balance = 1_024;
const PAY: Balance = 768;

/// Tasks that are under way at once.
const AT_ONCE: u64 = 12;

const MINERS: [&str; 2] = ["alice", "bob"];

/// What the chain took: what outlives the process.
#[derive(Encode, Decode)]
enum Entry {
	Settle(EraIndex, Root),
	Redeem(ChannelId, Balance, [u8; 64]),
}

/// A chain in memory whose transactions are written down, so that a process that is started again finds
/// them.
struct Durable {
	model: Model,
	folder: PathBuf,
}

impl Durable {
	/// As it is by what is written down. Its era is in a file of its own.
	fn open(folder: &Path, deposit: Balance) -> Self {
		let model = Model::new(GENESIS);
		model.open_channel(account("coordinator"), pair("app").public(), deposit);
		{
			let mut state = model.state();
			state.reserve.balance = 1_000 * CUC;
			for miner in MINERS {
				state.reserve.allotted += 100 * CUC;
				let allotment = Allotment {
					amount: 100 * CUC,
					since: 0,
					lowering: None,
					paid: Vec::new(),
				};
				state.allotments.insert(account(miner), allotment);
			}
		}
		let journal = std::fs::read_to_string(folder.join("journal")).unwrap_or_default();
		for line in journal.lines() {
			// The last line may be cut off: then its transaction did not happen.
			let Ok(bytes) = hex::decode(line) else {
				continue;
			};
			let Ok(entry) = Entry::decode(&mut bytes.as_slice()) else {
				continue;
			};
			let call = match entry {
				Entry::Settle(era, root) => {
					model.state().era = era + 1;
					SettlementCall::SettleEra { era, root }
				},
				Entry::Redeem(channel, cumulative, signature) => SettlementCall::Redeem {
					channel,
					cumulative,
					signature: WorkerSignature::from_raw(signature),
				},
			};
			let operator = account("coordinator");
			let sent = futures::executor::block_on(model.send(&operator, vec![call]));
			sent.expect("it was taken before");
		}
		let durable = Self {
			model,
			folder: folder.to_owned(),
		};
		durable.look();
		durable
	}

	/// The era is what the test says.
	fn look(&self) -> EraIndex {
		let era = std::fs::read_to_string(self.folder.join("era")).unwrap_or_default();
		let era = era.parse().unwrap_or(0);
		let mut state = self.model.state();
		state.era = state.era.max(era);
		state.era
	}
}

impl MoneyChain for Durable {
	fn facts<'a>(&'a self, coordinator: &'a AccountId) -> BoxFuture<'a, ChainResult<Facts>> {
		self.look();
		self.model.facts(coordinator)
	}

	fn channel(&self, channel: ChannelId) -> BoxFuture<'_, ChainResult<Option<Channel>>> {
		self.model.channel(channel)
	}

	fn allotment<'a>(
		&'a self,
		coordinator: &'a AccountId,
		miner: &'a AccountId,
	) -> BoxFuture<'a, ChainResult<Option<Allotment>>> {
		self.model.allotment(coordinator, miner)
	}

	fn settled<'a>(
		&'a self,
		coordinator: &'a AccountId,
		era: EraIndex,
	) -> BoxFuture<'a, ChainResult<Option<Settlement>>> {
		self.model.settled(coordinator, era)
	}

	fn claimed<'a>(
		&'a self,
		coordinator: &'a AccountId,
		era: EraIndex,
		leaves: Vec<u32>,
	) -> BoxFuture<'a, ChainResult<Vec<bool>>> {
		self.model.claimed(coordinator, era, leaves)
	}

	fn send<'a>(
		&'a self,
		coordinator: &'a AccountId,
		calls: Vec<SettlementCall>,
	) -> BoxFuture<'a, ChainResult<()>> {
		Box::pin(async move {
			self.model.send(coordinator, calls.clone()).await?;
			let mut journal = OpenOptions::new()
				.create(true)
				.append(true)
				.open(self.folder.join("journal"))
				.map_err(|error| ChainError(error.to_string()))?;
			for call in calls {
				let entry = match call {
					SettlementCall::SettleEra { era, root } => Entry::Settle(era, root),
					SettlementCall::Redeem {
						channel,
						cumulative,
						signature,
					} => Entry::Redeem(channel, cumulative, signature.0),
					other => panic!("not expected: {other:?}"),
				};
				let line = format!("{}\n", hex::encode(entry.encode()));
				journal.write_all(line.as_bytes()).unwrap();
			}
			// Long enough that some kills fall between the block and its sender's hearing of it.
			tokio::time::sleep(Duration::from_millis(30)).await;
			Ok(())
		})
	}
}

fn settings() -> Settings {
	Settings {
		prices: Prices {
			default: 1_000_000,
			..Prices::default()
		},
		suspension_ms: 0,
		grace_ms: 2_000,
		submits_per_minute: 1_000_000,
		..Settings::default()
	}
}

fn deposit() -> Balance {
	100 * CUC
}

async fn see(server: &Server, chain: &Durable) {
	let era = chain.look();
	let block = {
		let mut state = chain.model.state();
		state.block += 1;
		state.block
	};
	let registry = Arc::unwrap_or_clone(registry(block, operators())).in_era(era);
	let seen = server.coordinator.set_registry(Arc::new(registry), GENESIS);
	seen.await.unwrap();
}

/// Not a test of its own: the process that is killed.
#[tokio::test]
async fn a_process_of_the_next_test() {
	let Ok(folder) = std::env::var(SERVE) else {
		return;
	};
	let folder = PathBuf::from(folder);
	let chain = Arc::new(Durable::open(&folder, deposit()));
	let (now, directory) = (Arc::default(), folder.join("data"));
	let server = Server::start_at(
		place(&directory),
		&directory,
		settings(),
		Clock::System,
		now,
	)
	.await;
	server.coordinator.set_chain(chain.clone());
	see(&server, &chain).await;
	let stop = tokio_util::sync::CancellationToken::new();
	tokio::spawn(ledger::run(server.coordinator.clone(), stop));
	serving(&server.url(""));
	loop {
		see(&server, &chain).await;
		tokio::time::sleep(Duration::from_millis(100)).await;
	}
}

/// The coordinator in a process of its own.
fn start(folder: &Path) -> Process {
	Process::start(
		"books::a_process_of_the_next_test",
		&[(SERVE, folder.as_os_str())],
	)
}

/// Where the coordinator is at present, and the key of the app that has a balance.
#[derive(Clone)]
struct Place {
	url: Arc<Mutex<String>>,
	key: Arc<str>,
}

impl Place {
	fn client(&self, with_key: bool) -> HttpClient {
		let url = self.url.lock().unwrap().clone();
		let mut headers = HeaderMap::new();
		if with_key {
			let value = HeaderValue::from_str(&format!("Bearer {}", self.key)).unwrap();
			headers.insert("authorization", value);
		}
		HttpClientBuilder::default()
			.set_headers(headers)
			.request_timeout(Duration::from_secs(10))
			.build(&url)
			.unwrap()
	}
}

/// What the app that pays by channel has signed so far.
#[derive(Default)]
struct Signed(AtomicU64);

impl Signed {
	fn next(&self) -> ChannelPayment {
		let tasks = 1 + self.0.fetch_add(1, Ordering::SeqCst);
		let cumulative = Balance::from(tasks) * PRICE;
		let voucher = ChannelVoucher {
			coordinator: account("coordinator"),
			channel: 0,
			cumulative,
		};
		ChannelPayment {
			channel: 0,
			cumulative: Amount(cumulative),
			signature: signing::sign(&GENESIS, &voucher, &pair("app")),
		}
	}
}

/// Submits until it is taken. Every other task is paid by channel, the rest from the balance.
async fn submit(place: &Place, signed: &Signed, number: u64) -> TaskId {
	let by_channel = number.is_multiple_of(2);
	let payment = by_channel.then(|| signed.next());
	let options = SubmitOptions {
		idempotency_key: Some(format!("key {number}")),
		payment,
		..SubmitOptions::default()
	};
	loop {
		let client = place.client(!by_channel);
		let prompt = request(&format!("apple {number}"));
		match client.task_submit(prompt, Some(options.clone())).await {
			Ok(task) => return task.id,
			Err(ClientError::Call(object)) => {
				let code = from_object(&object).map(|error| error.code);
				let busy = [
					ErrorCode::ChainUnavailable,
					ErrorCode::ModelUnknown,
					ErrorCode::Internal,
					ErrorCode::Draining,
					// A later voucher that came before must not be lost: this one is as good after it.
					ErrorCode::PaymentInvalid,
				];
				assert!(code.is_some_and(|code| busy.contains(&code)), "{object:?}");
			},
			Err(_) => {},
		}
		tokio::time::sleep(Duration::from_millis(20)).await;
	}
}

/// One of the tasks from its submit to its end; now and then it is cancelled.
async fn task(place: Place, signed: Arc<Signed>, number: u64) -> TaskState {
	let id = submit(&place, &signed, number).await;
	let cancels = number % 17 == 3;
	loop {
		let client = place.client(number % 2 == 1);
		if cancels {
			let _ = client.task_cancel(id).await;
		}
		if let Ok(status) = client.task_status(id).await {
			if status.state.is_final() {
				return status.state;
			}
		}
		tokio::time::sleep(Duration::from_millis(40)).await;
	}
}

/// What a miner was told that it has earned, by era.
type Told = Arc<Mutex<BTreeMap<(EraIndex, AccountId), Balance>>>;

/// Mines wherever the coordinator is, and brings along what it has.
async fn mine(place: Place, name: &'static str, told: Told) {
	let mut works: Vec<Work> = Vec::new();
	loop {
		let url = place.url.lock().unwrap().clone();
		let client = place.client(false);
		if let Ok(miner) = TestMiner::connect_at(&client, &url, name).await {
			// Only a connection that broke ends it.
			let _ = mine_here(&miner, &mut works, &told).await;
		}
		tokio::time::sleep(Duration::from_millis(20)).await;
	}
}

async fn mine_here(
	miner: &TestMiner,
	works: &mut Vec<Work>,
	told: &Told,
) -> Result<(), ClientError> {
	loop {
		let poll = Poll {
			token: miner.session.token,
			free_slots: u16::from(works.is_empty()),
			wait_ms: 300,
			holding: works.iter().map(held).collect(),
		};
		let reply = miner.client.miner_poll(poll).await?;
		works.retain(|work| !reply.abandon.contains(&held(work)));
		works.extend(reply.work);
		let Some(work) = works.first().cloned() else {
			continue;
		};
		assert_eq!(work.pay, Amount(PAY));
		let picture = png(16, 16, 1);
		let put = reqwest::Client::new()
			.put(format!("{}/artifacts/{:?}", miner.server, hash(&picture)))
			.bearer_auth(format!("{:?}", miner.session.token))
			.body(picture.clone());
		if put.send().await.is_err() {
			return Ok(());
		}
		let commitment = miner.commitment(&work, hash(&picture));
		let submit = Submit {
			token: miner.session.token,
			task: work.assignment.task,
			attempt: work.assignment.attempt,
			outcome: Outcome::Result {
				signature: signing::sign(&GENESIS, &commitment, &miner.key),
				commitment,
			},
		};
		match miner.client.miner_submit(submit).await {
			Ok(reply) => {
				let voucher = reply.voucher.expect("paid work is paid");
				let mut told = told.lock().unwrap();
				let highest = told.entry((voucher.era, voucher.miner)).or_default();
				*highest = (*highest).max(voucher.cumulative.0);
				works.clear();
			},
			Err(ClientError::Call(object)) => {
				let code = from_object(&object).map(|error| error.code);
				if !matches!(code, Some(ErrorCode::Internal | ErrorCode::SessionInvalid)) {
					works.clear();
				} else if code == Some(ErrorCode::SessionInvalid) {
					return Ok(());
				}
			},
			Err(other) => return Err(other),
		}
	}
}

fn number(variable: &str, otherwise: u64) -> u64 {
	let given = std::env::var(variable).ok();
	given.map_or(otherwise, |text| text.parse().unwrap())
}

async fn findings(directory: &Path, chain: &Durable) -> (Findings, bool, Told) {
	let server = Server::start_without_chain(directory, settings(), 1).await;
	let books = server.coordinator.books().await.unwrap();
	let operator = account("coordinator");
	let findings = check(&books, Some((chain, &operator))).await.unwrap();
	let posted = books.eras.values().all(|row| row.state == EraState::Posted);
	let earned = books
		.earnings
		.iter()
		.map(|(key, row)| (key.clone(), row.amount));
	let earned = Arc::new(Mutex::new(earned.collect()));
	server.stop().await;
	(findings, posted, earned)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_books_add_up_however_often_the_coordinator_is_killed() {
	let (tasks, kills) = (number(TASKS, 200), number(KILLS, 6));
	let root = tempfile::tempdir().unwrap();
	let folder = root.path();
	let data = folder.join("data");
	std::fs::create_dir(&data).unwrap();
	let key = with_keys(&data, |keys| {
		let key = keys.create("app", Limits::default(), 1).unwrap();
		keys.credit("app", 100 * CUC, None, 1).unwrap();
		key.reveal()
	});
	let mut process = start(folder);
	let place = Place {
		url: Arc::new(Mutex::new(process.url.clone())),
		key: key.into(),
	};
	let told = Told::default();
	let miners = MINERS.map(|name| tokio::spawn(mine(place.clone(), name, told.clone())));
	let signed = Arc::new(Signed::default());
	let left = Arc::new(AtomicU64::new(0));
	let apps: Vec<_> = (0..AT_ONCE)
		.map(|_| {
			let (place, signed, left) = (place.clone(), signed.clone(), left.clone());
			tokio::spawn(async move {
				let mut done = 0u64;
				loop {
					let number = left.fetch_add(1, Ordering::SeqCst);
					if number >= tasks {
						return done;
					}
					let state = task(place.clone(), signed.clone(), number).await;
					done += u64::from(state == TaskState::Done);
				}
			})
		})
		.collect();
	// Kills and eras are spread over the tasks.
	let mut killed = 0;
	while killed < kills || !apps.iter().all(|app| app.is_finished()) {
		let pause = 20 + u64::from(rand::random::<u8>()) * 2;
		tokio::time::sleep(Duration::from_millis(pause)).await;
		let reached = left.load(Ordering::SeqCst).min(tasks);
		if killed < kills && reached * kills >= killed * tasks {
			if killed % 2 == 1 {
				let era = folder.join("era.new");
				std::fs::write(&era, (killed / 2 + 1).to_string()).unwrap();
				std::fs::rename(era, folder.join("era")).unwrap();
				// Some kills come while the era is being settled.
				let pause = u64::from(rand::random::<u8>());
				tokio::time::sleep(Duration::from_millis(pause)).await;
			}
			process.kill();
			let folder = folder.to_owned();
			let restart = move || start(&folder);
			process = tokio::task::spawn_blocking(restart).await.unwrap();
			*place.url.lock().unwrap() = process.url.clone();
			killed += 1;
		}
	}
	let mut done = 0;
	for app in apps {
		done += app.await.unwrap();
	}
	for miner in miners {
		miner.abort();
	}
	// The last era ends too, and everything is settled.
	std::fs::write(folder.join("era"), (kills / 2 + 2).to_string()).unwrap();
	let mut seen = None;
	for _ in 0..100 {
		tokio::time::sleep(Duration::from_millis(300)).await;
		process.kill();
		let chain = Durable::open(folder, deposit());
		let (found, posted, earned) = findings(&data, &chain).await;
		seen = Some((found, earned));
		if posted {
			break;
		}
		process = start(folder);
		tokio::time::sleep(Duration::from_millis(700)).await;
	}
	let (found, earned) = seen.unwrap();
	println!("{killed} kills, {done} of {tasks} tasks done: {found:?}");
	assert_eq!(found.differences, Vec::<String>::new());
	assert_eq!((found.tasks, found.done), (tasks, done));
	assert_eq!(found.held, Amount(0));
	assert_eq!(found.spent, Amount(Balance::from(done) * PRICE));
	assert_eq!(found.earned, Amount(Balance::from(done) * PAY));
	assert!(killed >= kills);
	assert!(found.eras > 0);
	// No miner was ever told more than its leaf has.
	let earned = earned.lock().unwrap();
	for (key, told) in told.lock().unwrap().iter() {
		assert!(earned[key] >= *told, "{key:?} was told {told}");
	}
}
