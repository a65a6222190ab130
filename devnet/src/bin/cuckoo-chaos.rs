//! Tasks that are paid, on a network whose processes are killed at random; then every unit of money is
//! looked for.

use anyhow::{bail, ensure, Context};
use clap::Parser;
use cuckoo_chain_client::{ChainClient, Moved};
use cuckoo_coordinator_api::{
	rpc::TaskRpcClient,
	task::{TaskRequest, TaskStatus},
	Amount, ErrorCode,
};
use cuckoo_devnet::{
	find_model,
	keys::DevKey,
	money::{self, Funds, Wallet},
	App, Error, Network, Options,
};
use cuckoo_primitives::{AccountId, Balance, BlockNumber, CUC};
use jsonrpsee::core::ClientError;
use std::{
	collections::BTreeMap,
	io::Write,
	process::ExitCode,
	sync::{
		atomic::{AtomicU32, Ordering},
		Arc,
	},
	time::{Duration, Instant},
};
use tokio::{sync::Mutex, task::JoinSet};

/// Tasks that are under way at once.
const AT_ONCE: usize = 24;
/// How often the network is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How often miners claim: on this chain an era can be claimed for 40 seconds.
const CLAIM_EVERY: Duration = Duration::from_secs(6);
/// How long a task may take, whoever is killed meanwhile.
const TASK_TIMEOUT: Duration = Duration::from_secs(240);
/// How long an app goes on trying to submit.
const SUBMIT_TIMEOUT: Duration = Duration::from_secs(120);
/// How long after the last task everything may take to be paid.
const PAID_TIMEOUT: Duration = Duration::from_secs(180);
/// Rounding takes at most this from a pool for each reward.
const ROUNDING: Balance = 1_000_000;
/// What the coordinator asks for a million pixels of a denoising step.
const PRICE: &str = "10";

/// Has paid tasks done on a whole network while its processes are killed at random instants, and checks
/// that every unit of money is where it should be.
///
/// Starts a validator of a chain with eras of 20 seconds, a coordinator and two miners on this machine. What
/// is checked in the end: each task that is done was charged and earned once; what eras, vouchers and claims
/// moved on the chain adds up to that; the reserve, the channel and the whole pot hold what is left; and the
/// miners' pools have grown by what was paid and issued.
#[derive(Parser, Debug)]
#[command(name = "chaos", version)]
struct Args {
	/// How many tasks.
	#[arg(long, default_value_t = 10_000)]
	tasks: u32,

	/// How many processes are killed while they are done.
	#[arg(long, default_value_t = 50)]
	kills: u32,

	/// What the instants and the victims follow from.
	#[arg(long, default_value_t = 1)]
	seed: u64,

	/// Keep the network's folder (chain, stores, logs) and say where it is.
	#[arg(long)]
	keep: bool,
}

fn main() -> ExitCode {
	let args = Args::parse();
	let outcome = tokio::runtime::Builder::new_multi_thread()
		.worker_threads(2)
		.enable_all()
		.build()
		.context("the async runtime cannot start")
		.and_then(|runtime| runtime.block_on(run(&args)));
	match outcome {
		Ok(()) => ExitCode::SUCCESS,
		Err(error) => {
			eprintln!("chaos: {error:#}");
			ExitCode::FAILURE
		},
	}
}

async fn run(args: &Args) -> anyhow::Result<()> {
	let mut options = Options::new(find_model(&std::env::current_dir()?)?)?;
	options.keep = args.keep;
	options.chain = "fast";
	options.coordinator_args = vec!["--price".to_owned(), PRICE.to_owned()];
	let miners = [DevKey::miner(1), DevKey::miner(2)];
	let mut network = Network::start(options, &miners).await?;
	if args.keep {
		eprintln!("kept: {}", network.folder().display());
	}
	let done = chaos(args, &mut network, &miners).await;
	if done.is_err() {
		eprintln!("The logs end with\n{}", network.tails());
	}
	let sound = match &done {
		Ok(()) => network.check_state().await.map(|said| println!("{said}")),
		Err(_) => Ok(()),
	};
	network.shutdown().await;
	done.and(sound.context("the chain's state does not add up"))
}

async fn chaos(args: &Args, network: &mut Network, miners: &[DevKey]) -> anyhow::Result<()> {
	let chain = ChainClient::connect(&network.node_url()).await?;
	let accounts: Vec<AccountId> = miners.iter().map(DevKey::account).collect();
	let funds = Funds {
		deposit: 10_000 * CUC,
		reserve: 10_000 * CUC,
		allotment: 1_000 * CUC,
	};
	money::fund_coordinator(&chain, &accounts, funds).await?;
	let wallet = money::open_channel(&chain, &DevKey::new("//Dave"), funds).await?;
	network
		.wait_eligible(&accounts, Duration::from_secs(60))
		.await?;
	let before = pools(&chain, miners).await?;

	let apps = Arc::new(Apps {
		app: network.app()?,
		wallet: Mutex::new(wallet),
		tasks: args.tasks,
		next: AtomicU32::new(0),
		done: AtomicU32::new(0),
	});
	let mut working = JoinSet::new();
	for _ in 0..AT_ONCE {
		working.spawn(apps.clone().work());
	}
	let mut killer = Killer::new(args);
	let mut ledger = Ledger::default();
	let (mut paid, mut failed) = (Paid::default(), 0);
	let (start, mut claimed, mut shown) = (Instant::now(), Instant::now(), Instant::now());
	while !working.is_empty() {
		tokio::select! {
			Some(worker) = working.join_next() => {
				let (mine, lost) = worker??;
				paid.add(&mine);
				failed += lost;
			},
			() = tokio::time::sleep(LOOK_EVERY) => {},
		}
		let done = apps.done.load(Ordering::SeqCst);
		if let Some(victim) = killer.next(done, miners.len()) {
			victim.kill(network, miners).await?;
		}
		// A node that is away is asked again at the next look.
		let _ = ledger.follow(network).await;
		if claimed.elapsed() > CLAIM_EVERY {
			claimed = Instant::now();
			claim(network, miners).await;
		}
		if shown.elapsed() > Duration::from_secs(10) {
			shown = Instant::now();
			eprintln!(
				"{done} of {} tasks, {} kills, {:.0} s",
				args.tasks,
				killer.killed,
				start.elapsed().as_secs_f64()
			);
		}
	}
	let took = start.elapsed().as_secs_f64();
	eprintln!("all tasks have ended after {took:.0} s, waiting for what is owed");

	let start = Instant::now();
	while ledger.earned() < paid.miners {
		ensure!(
			start.elapsed() < PAID_TIMEOUT,
			"of {} only {} was paid to miners",
			Amount(paid.miners),
			Amount(ledger.earned())
		);
		tokio::time::sleep(Duration::from_secs(2)).await;
		claim(network, miners).await;
		ledger.follow(network).await?;
	}
	// What streams into the pools has done so after an era.
	tokio::time::sleep(Duration::from_secs(30)).await;
	ledger.follow(network).await?;

	let wallet = apps.wallet.lock().await;
	let status = apps.app.rpc().channel_status(wallet.channel()).await?;
	let chain = ChainClient::connect(&network.node_url()).await?;
	let mut checks = Checks::default();
	checks.equal("tasks done", paid.tasks + failed, args.tasks.into());
	checks.equal(
		"the channel's spent is the tasks' prices",
		status.spent.0,
		paid.prices,
	);
	checks.equal(
		"what miners were paid is what tasks earned",
		ledger.earned(),
		paid.miners,
	);
	let at = chain.settlement().await?;
	let coordinator = DevKey::coordinator().account();
	let reserve = at.reserve(&coordinator).await?;
	checks.equal("the reserve", reserve.balance, ledger.reserve()?);
	let channel = at
		.channel(wallet.channel())
		.await?
		.context("the channel is gone")?;
	checks.equal("the channel's redeemed", channel.redeemed, ledger.redeemed);
	checks.yes(
		"no more was redeemed than paid",
		channel.redeemed <= status.highest.0,
	);
	let pot = at.pot().await?;
	let parts = pot.channels + pot.reserves + pot.unclaimed;
	checks.equal("the pot", parts, pot.held);
	let after = pools(&chain, miners).await?;
	for (account, before) in &before {
		let expected = ledger
			.into_pool
			.get(account)
			.map_or(0, |(amount, _)| *amount);
		let rewards = ledger.into_pool.get(account).map_or(0, |(_, count)| *count);
		let grown = after[account].saturating_sub(*before);
		let lost = expected.saturating_sub(grown);
		println!(
			"pool {account}: grown by {}, rounding took {lost}",
			Amount(grown)
		);
		checks.yes(
			"a pool has grown by what was paid and issued",
			grown <= expected && lost <= Balance::from(rewards) * ROUNDING,
		);
	}
	match network.reconcile().await {
		Ok(said) => println!("{said}"),
		Err(error) => checks.note(false, format!("the coordinator's books: {error}")),
	}
	println!(
		"{} tasks for {}, {} to miners; {failed} came to nothing; {} kills: {}",
		paid.tasks,
		Amount(paid.prices),
		Amount(paid.miners),
		killer.killed,
		killer.told()
	);
	println!(
		"{} eras settled, {} leaves and {} vouchers paid, {:.1} tasks/s",
		ledger.settled,
		ledger.leaves,
		ledger.vouchers,
		f64::from(paid.tasks as u32) / took
	);
	checks.end()
}

/// What the miners' pools are worth, with all their voters.
async fn pools(
	chain: &ChainClient,
	miners: &[DevKey],
) -> anyhow::Result<BTreeMap<AccountId, Balance>> {
	let mut pools = BTreeMap::new();
	for (miner, number) in miners.iter().zip(1..) {
		let account = miner.account();
		let own = money::worth(chain, &account, &account).await?;
		let voter = money::worth(chain, &DevKey::voter(number).account(), &account).await?;
		pools.insert(account, own + voter);
	}
	Ok(pools)
}

async fn claim(network: &Network, miners: &[DevKey]) {
	for miner in miners {
		if let Err(error) = network.claim(miner).await {
			// Node or coordinator may be away: the next time.
			let text = error.to_string();
			eprintln!("  claim: {}", text.lines().next().unwrap_or_default());
		}
	}
}

/// The apps that submit.
struct Apps {
	app: App,
	wallet: Mutex<Wallet>,
	tasks: u32,
	next: AtomicU32,
	done: AtomicU32,
}

/// What was paid for tasks that are done.
#[derive(Clone, Copy, Debug, Default)]
struct Paid {
	tasks: u128,
	prices: Balance,
	miners: Balance,
}

impl Paid {
	fn add(&mut self, other: &Self) {
		self.tasks += other.tasks;
		self.prices += other.prices;
		self.miners += other.miners;
	}
}

impl Apps {
	/// Has one task after the other done; what was paid, and how many came to nothing.
	async fn work(self: Arc<Self>) -> anyhow::Result<(Paid, u128)> {
		let (mut paid, mut failed) = (Paid::default(), 0);
		loop {
			let number = self.next.fetch_add(1, Ordering::SeqCst);
			if number >= self.tasks {
				return Ok((paid, failed));
			}
			let task = self.submit(number).await?;
			match self.app.wait(task.id, TASK_TIMEOUT).await {
				Ok(status) => {
					paid.tasks += 1;
					paid.prices += status.price.0;
					// The split that the chain begins with.
					paid.miners += status.price.0 * 3 / 4;
				},
				// Given up after too many deaths: its price is given back.
				Err(Error::TaskFailed { .. }) => failed += 1,
				Err(error) => return Err(error.into()),
			}
			self.done.fetch_add(1, Ordering::SeqCst);
		}
	}

	async fn submit(&self, number: u32) -> anyhow::Result<TaskStatus> {
		let spec = TaskRequest {
			prompt: "a star".to_owned(),
			seed: Some(number.into()),
			steps: Some(1),
			..TaskRequest::default()
		};
		let start = Instant::now();
		let mut payment = None;
		loop {
			let error = match &payment {
				None => match self.app.rpc().task_quote(spec.clone(), None).await {
					Ok(quote) => {
						payment = Some(self.wallet.lock().await.pay(quote.price.0));
						continue;
					},
					Err(error) => Error::from(error),
				},
				Some(payment) => {
					let key = format!("chaos-{number}");
					match self
						.app
						.submit_paid(spec.clone(), key, payment.clone())
						.await
					{
						Ok(status) => return Ok(status),
						Err(error) => error,
					}
				},
			};
			if let Error::Rpc(ClientError::Call(refusal)) = &error {
				let code = ErrorCode::from_code(refusal.code());
				if matches!(
					code,
					Some(ErrorCode::PaymentInvalid | ErrorCode::PaymentRequired)
				) {
					return Err(error.into());
				}
			}
			if start.elapsed() > SUBMIT_TIMEOUT {
				return Err(error.into());
			}
			tokio::time::sleep(LOOK_EVERY).await;
		}
	}
}

/// Who is killed.
#[derive(Clone, Copy, Debug)]
enum Victim {
	Node,
	Coordinator,
	Miner(usize),
}

impl Victim {
	async fn kill(self, network: &mut Network, miners: &[DevKey]) -> anyhow::Result<()> {
		match self {
			Self::Node => {
				network.kill_node()?;
				network.start_node().await?;
			},
			Self::Coordinator => {
				network.kill_coordinator()?;
				network.start_coordinator().await?;
			},
			Self::Miner(index) => {
				let miner = miners.get(index).context("no such miner")?;
				network.kill_miner(miner)?;
				network.start_miner(miner)?;
			},
		}
		Ok(())
	}
}

/// Kills at random instants: by how many tasks are done, which no clock decides.
struct Killer {
	random: u64,
	/// After so many tasks, in descending order.
	due: Vec<u32>,
	killed: u32,
	victims: BTreeMap<&'static str, u32>,
}

impl Killer {
	fn new(args: &Args) -> Self {
		let mut killer = Self {
			random: args.seed,
			due: Vec::new(),
			killed: 0,
			victims: BTreeMap::new(),
		};
		let mut due: Vec<u32> = (0..args.kills)
			.map(|_| (killer.random() % u64::from(args.tasks.max(1))) as u32)
			.collect();
		due.sort_unstable_by(|one, two| two.cmp(one));
		killer.due = due;
		killer
	}

	/// splitmix64 (Steele, Lea and Flood 2014).
	fn random(&mut self) -> u64 {
		self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
		let mut mixed = self.random;
		mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
		mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
		mixed ^ (mixed >> 31)
	}

	/// Who is killed now, if anybody.
	fn next(&mut self, done: u32, miners: usize) -> Option<Victim> {
		if *self.due.last()? > done {
			return None;
		}
		self.due.pop();
		self.killed += 1;
		let (victim, name) = match self.random() % 10 {
			0 | 1 => (Victim::Node, "node"),
			2..=5 => (Victim::Coordinator, "coordinator"),
			other => (Victim::Miner(other as usize % miners.max(1)), "miner"),
		};
		*self.victims.entry(name).or_default() += 1;
		Some(victim)
	}

	fn told(&self) -> String {
		let one = |(name, count): (&&str, &u32)| format!("{name} {count}");
		self.victims.iter().map(one).collect::<Vec<_>>().join(", ")
	}
}

/// What has moved on the chain, block by block.
#[derive(Debug, Default)]
struct Ledger {
	next: BlockNumber,
	redeemed: Balance,
	put_in: Balance,
	taken_out: Balance,
	by_leaf: Balance,
	by_voucher: Balance,
	settled: u32,
	leaves: u32,
	vouchers: u32,
	/// What came into each pool, and in how many rewards.
	into_pool: BTreeMap<AccountId, (Balance, u32)>,
}

impl Ledger {
	/// Reads the finalized blocks since the last time: a node keeps their states for some minutes.
	async fn follow(&mut self, network: &Network) -> anyhow::Result<()> {
		let chain = ChainClient::connect(&network.node_url()).await?;
		let node = network.node()?;
		let coordinator = DevKey::coordinator().account();
		let finalized = chain.finalized().await?;
		while self.next <= finalized.number {
			let block = cuckoo_chain_client::BlockRef {
				number: self.next,
				hash: node.block_hash(self.next).await?,
			};
			let moved = chain
				.settlement_at(block)
				.await?
				.moved(&coordinator)
				.await?;
			for moved in moved {
				self.take(moved);
			}
			self.next += 1;
		}
		Ok(())
	}

	fn take(&mut self, moved: Moved) {
		match moved {
			Moved::Redeemed { amount, .. } => {
				self.redeemed += amount;
				self.put_in += amount;
			},
			Moved::Funded(amount) | Moved::Unclaimed { amount, .. } => self.put_in += amount,
			Moved::Withdrawn(amount) | Moved::Burned(amount) => self.taken_out += amount,
			Moved::Settled { fee, .. } => {
				self.taken_out += fee;
				self.settled += 1;
			},
			Moved::LeafPaid {
				miner,
				amount,
				emission,
				restored,
				..
			} => {
				self.put_in += restored;
				self.by_leaf += amount;
				self.leaves += 1;
				self.reward(miner, amount + emission);
			},
			Moved::VoucherPaid { miner, amount, .. } => {
				self.by_voucher += amount;
				self.taken_out += amount;
				self.vouchers += 1;
				self.reward(miner, amount);
			},
		}
	}

	fn reward(&mut self, miner: AccountId, amount: Balance) {
		let (sum, count) = self.into_pool.entry(miner).or_default();
		*sum += amount;
		*count += 1;
	}

	/// All that miners were paid.
	fn earned(&self) -> Balance {
		self.by_leaf + self.by_voucher
	}

	/// What must be in the reserve.
	fn reserve(&self) -> anyhow::Result<Balance> {
		let left = self.put_in.checked_sub(self.taken_out);
		left.context("more was taken out of the reserve than was put in")
	}
}

/// What was found.
#[derive(Debug, Default)]
struct Checks {
	wrong: Vec<String>,
}

impl Checks {
	fn equal(&mut self, what: &str, found: u128, expected: u128) {
		let text = format!("{what}: {found}, expected {expected}");
		self.note(found == expected, text);
	}

	fn yes(&mut self, what: &str, holds: bool) {
		self.note(holds, what.to_owned());
	}

	fn note(&mut self, holds: bool, text: String) {
		let mark = if holds { "ok   " } else { "WRONG" };
		let _ = writeln!(std::io::stdout(), "{mark} {text}");
		if !holds {
			self.wrong.push(text);
		}
	}

	fn end(self) -> anyhow::Result<()> {
		if self.wrong.is_empty() {
			return Ok(());
		}
		bail!(
			"{} checks failed: {}",
			self.wrong.len(),
			self.wrong.join("; ")
		)
	}
}
