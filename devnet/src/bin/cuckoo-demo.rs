//! From a prompt to a picture through a whole local network, with an account of what happened.

use anyhow::{ensure, Context};
use clap::Parser;
use cuckoo_chain_client::ChainClient;
use cuckoo_coordinator_api::{
	rpc::TaskRpcClient,
	task::{TaskRequest, TaskStatus},
	Amount,
};
use cuckoo_devnet::{
	evidence, find_model,
	keys::DevKey,
	money::{self, Funds},
	report::{Circumstances, Grown, Money, Report, Seconds},
	Ended, Network, Options,
};
use cuckoo_primitives::{voucher::ChannelId, AccountId, EraIndex};
use indicatif::{ProgressBar, ProgressStyle};
use std::{
	io::{IsTerminal, Write},
	path::PathBuf,
	process::ExitCode,
	time::{Duration, Instant},
};
use tokio::signal::unix::{signal, Signal, SignalKind};

/// Longest wait for the miners to be ready.
const MINERS_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest wait for each step of the money's way: an era has 20 seconds, and a reward streams in over one.
const MONEY_TIMEOUT: Duration = Duration::from_secs(90);
/// Whose money the app spends.
const APP: &str = "//Dave";
/// What the coordinator asks for a million pixels of a denoising step.
const COORDINATOR_ARGS: [&str; 2] = ["--price", "10"];
/// How often the spinner turns.
const TICK: Duration = Duration::from_millis(100);
/// Exit status of a program that a signal ended: this and the signal's number.
const SIGNALLED: u8 = 128;

/// Makes a picture on a whole Cuckoo network of your own and tells who did what.
///
/// Starts a validator, a coordinator and miners on this machine, submits the prompt over JSON-RPC as
/// any app would, checks the draw, the signatures and the picture against the chain, saves the
/// picture, and ends everything it started, also on Ctrl-C. Nothing leaves this machine.
#[derive(Parser, Debug)]
#[command(name = "demo", version, after_help = EXAMPLES)]
struct Args {
	/// What the picture shows. The default model knows things that have an emoji.
	prompt: String,

	/// Where to save the picture.
	#[arg(long, short, default_value = "picture.png", value_name = "FILE")]
	out: PathBuf,

	/// Seed of the noise: the same seed gives the same picture, bit for bit. Drawn at random if absent.
	#[arg(long)]
	seed: Option<u64>,

	/// Denoising steps; the model's default if absent.
	#[arg(long)]
	steps: Option<u16>,

	/// How many of the three registered miners take part.
	#[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=3))]
	miners: u32,

	/// The model's folder; models/default/model of the checkout if absent.
	#[arg(long, value_name = "FOLDER", env = "CUCKOO_MODEL")]
	model: Option<PathBuf>,

	/// Give up on the task after this many seconds.
	#[arg(long, default_value_t = 120, value_name = "SECONDS")]
	timeout: u64,

	/// End with the picture: pay nothing, and do not wait until the miner's stake has grown.
	#[arg(long)]
	free: bool,

	/// Print the account once more, as one JSON object on the last line.
	#[arg(long)]
	json: bool,

	/// Keep the network's folder (chain, stores, logs) and say where it is.
	#[arg(long)]
	keep: bool,
}

const EXAMPLES: &str = "\
Examples:
  scripts/demo \"a red apple\" --out apple.png
  scripts/demo \"a cat\" --seed 7 --miners 3
  scripts/demo \"a rocket\" --json | tail -1 | jq .draw

Exit status: 0 the picture is saved and everything was verified; 1 something failed, the message and
the logs' ends say what; 130 interrupted.";

fn main() -> ExitCode {
	let args = Args::parse();
	tracing_subscriber::fmt()
		.with_writer(std::io::stderr)
		.with_env_filter(
			tracing_subscriber::EnvFilter::try_from_default_env()
				.unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("error")),
		)
		.init();
	let outcome = tokio::runtime::Builder::new_current_thread()
		.enable_all()
		.build()
		.context("the async runtime cannot start")
		.and_then(|runtime| runtime.block_on(run(&args)));
	outcome.unwrap_or_else(|error| {
		eprintln!("demo: {error:#}");
		ExitCode::FAILURE
	})
}

/// How the demo came to its end.
enum Ending {
	Done(Box<Report>),
	Interrupted(Interrupt),
}

async fn run(args: &Args) -> anyhow::Result<ExitCode> {
	let mut interrupts = Interrupts::new()?;
	let model = match &args.model {
		Some(folder) => std::path::absolute(folder)?,
		None => find_model(&std::env::current_dir()?)?,
	};
	let mut options = Options::new(model)?;
	options.keep = args.keep;
	// Eras of 20 seconds: a reward is seen to come.
	options.chain = "fast";
	if !args.free {
		options.coordinator_args = COORDINATOR_ARGS.map(str::to_owned).to_vec();
	}
	let mut network = Network::new(options)?;
	let folder = network.folder().to_owned();
	let screen = Screen::new();

	let ending = tokio::select! {
		done = demo(args, &mut network, &screen) => done.map(|report| Ending::Done(report.into())),
		interrupt = interrupts.next() => Ok(Ending::Interrupted(interrupt)),
	};
	match &ending {
		Ok(Ending::Done(_)) => (),
		Ok(Ending::Interrupted(interrupt)) => {
			screen.say(&format!("{}: ending what was started", interrupt.name));
		},
		// The network is about to go, and its logs with it.
		Err(error)
			if !error
				.downcast_ref()
				.is_some_and(cuckoo_devnet::Error::shows_log) =>
		{
			screen.say(&format!("The logs end with\n{}", network.tails()));
		},
		Err(_) => (),
	}
	let ended = tokio::select! {
		ended = network.shutdown() => list(&ended),
		// Impatience: the rest is killed as the network is dropped.
		_ = interrupts.next() => "killed".to_owned(),
	};
	screen.say(&format!("Ended: {ended}"));
	if args.keep {
		screen.say(&format!("Kept: {}", folder.display()));
	}
	match ending? {
		Ending::Done(report) => {
			let mut out = std::io::stdout().lock();
			write!(out, "\n{report}")?;
			if args.json {
				writeln!(out, "{}", serde_json::to_string(&report)?)?;
			}
			Ok(ExitCode::SUCCESS)
		},
		Ending::Interrupted(interrupt) => Ok(ExitCode::from(SIGNALLED + interrupt.number)),
	}
}

/// `node (exit status: 0), …`
fn list(ended: &[Ended]) -> String {
	let one = |process: &Ended| {
		let how = if process.killed { "killed, " } else { "" };
		format!("{} ({how}{})", process.name, process.status)
	};
	ended.iter().map(one).collect::<Vec<_>>().join(", ")
}

async fn demo(args: &Args, network: &mut Network, screen: &Screen) -> anyhow::Result<Report> {
	let start = Instant::now();
	let mut seconds = Seconds::default();

	let mut stage = screen.stage("validator");
	network.start_node().await?;
	seconds.node = stage.done(&network.node_url());

	stage = screen.stage("coordinator");
	network.start_coordinator().await?;
	seconds.coordinator = stage.done(&network.coordinator_url());

	stage = screen.stage("miners");
	let miners: Vec<DevKey> = (1..=args.miners).map(DevKey::miner).collect();
	for miner in &miners {
		network.start_miner(miner)?;
	}
	let accounts: Vec<AccountId> = miners.iter().map(DevKey::account).collect();
	let ready = network.wait_eligible(&accounts, MINERS_TIMEOUT).await?;
	let mut names: Vec<&str> = ready.iter().map(|miner| miner.name.as_str()).collect();
	names.sort_unstable();
	seconds.miners = stage.done(&names.join(", "));

	let chain = ChainClient::connect(&network.node_url()).await?;
	let mut wallet = None;
	if !args.free {
		stage = screen.stage("channel");
		let (app, funds) = (DevKey::new(APP), Funds::default());
		let (_, opened) = tokio::try_join!(
			money::fund_coordinator(&chain, &accounts, funds),
			money::open_channel(&chain, &app, funds)
		)?;
		// The coordinator draws miners that its reserve backs.
		network.wait_eligible(&accounts, MINERS_TIMEOUT).await?;
		let (deposit, channel) = (Amount(funds.deposit), opened.channel());
		stage.done(&format!("{deposit} of {APP} in channel {channel}"));
		wallet = Some(opened);
	}

	let app = network.app()?;
	let key = format!("demo-{:032x}", rand::random::<u128>());
	let request = TaskRequest {
		prompt: args.prompt.clone(),
		seed: args.seed,
		steps: args.steps.map(i64::from),
		..TaskRequest::default()
	};
	stage = screen.stage("task");
	let task = match &mut wallet {
		Some(wallet) => {
			let quote = app.rpc().task_quote(request.clone(), None).await?;
			let payment = wallet.pay(quote.price.0);
			app.submit_paid(request, key.as_str(), payment).await?
		},
		None => app.submit(request, key.as_str()).await?,
	};
	let limit = Duration::from_secs(args.timeout);
	let done = app
		.follow(task.id, limit, |status| stage.step(status))
		.await?;
	seconds.task = stage.done(&done.id.to_string());

	stage = screen.stage("checks");
	let evidence = app.evidence(done.id, Some(key.clone())).await?;
	let assignment = &evidence.draw.assignment;
	let registry = chain.registry_at(assignment.block_hash).await?;
	let finalized = chain.finalized().await?;
	let node = network.node()?;
	ensure!(
		assignment.block_number <= finalized.number
			&& node.block_hash(assignment.block_number).await? == assignment.block_hash,
		"the draw's block #{} is not finalized",
		assignment.block_number
	);
	let verified = evidence::verify(&evidence, &registry, &chain.genesis_hash())?;
	let verify_draw = network.verify_draw(app.url(), done.id, &key).await?;
	let best_number = node.best_number().await?;
	let mut transactions = 0;
	for number in 1..=best_number {
		transactions += node.transactions(number).await?;
	}
	std::fs::write(&args.out, &evidence.picture)
		.with_context(|| format!("the picture cannot be saved as {}", args.out.display()))?;
	seconds.checks = stage.done("draw, signatures and picture are right");

	let mut earned = None;
	if let Some(wallet) = &wallet {
		stage = screen.stage("money");
		let drawn = miners
			.iter()
			.zip(1..)
			.find(|(miner, _)| miner.account() == assignment.miner);
		let (miner, number) = drawn.context("the miner that was drawn is none of the demo's")?;
		let payment = Payment {
			miner,
			voter: DevKey::voter(number),
			channel: wallet.channel(),
			price: done.price,
			era: registry.era,
		};
		earned = Some(payment.follow(network, &chain, &stage).await?);
		seconds.money = stage.done("the miner's stake has grown, and its voter's");
	}

	seconds.total = Seconds::of(start.elapsed());
	let circumstances = Circumstances {
		path: args.out.clone(),
		genesis_hash: chain.genesis_hash(),
		finalized,
		best_number,
		transactions,
		verify_draw,
		money: earned,
		seconds,
	};
	Ok(Report::new(&evidence, &verified, &registry, circumstances))
}

/// A task that was paid, on its way into the miner's pool.
struct Payment<'a> {
	miner: &'a DevKey,
	/// Has a stake on that miner.
	voter: DevKey,
	channel: ChannelId,
	price: Amount,
	/// The era of the draw.
	era: EraIndex,
}

impl Payment<'_> {
	/// Waits until the task's era is settled, has the miner claim its part, and waits until it has come
	/// into its pool.
	async fn follow(
		&self,
		network: &Network,
		chain: &ChainClient,
		stage: &Stage<'_>,
	) -> anyhow::Result<Money> {
		let operator = self.miner.account();
		let mut holders = vec![
			("miner's operator", operator.clone(), 0),
			("voter", self.voter.account(), 0),
		];
		for (_, holder, before) in &mut holders {
			*before = money::worth(chain, holder, &operator).await?;
		}
		stage.note("waiting for the end of the era, and its settlement");
		let eras = self.era..=self.era + 2;
		let (era, miners_part) = money::wait_settled(chain, eras, MONEY_TIMEOUT).await?;
		stage.note("the miner claims");
		network.claim(self.miner).await?;
		stage.note("the reward streams into the miner's pool");
		let mut grown = Vec::new();
		for (who, holder, before) in holders {
			let after = money::wait_grown(chain, &holder, &operator, before, MONEY_TIMEOUT).await?;
			grown.push(Grown {
				holder,
				who,
				before: Amount(before),
				after: Amount(after),
			});
		}
		Ok(Money {
			channel: self.channel,
			price: self.price,
			era,
			miners_part: Amount(miners_part),
			grown,
		})
	}
}

/// A signal that ends the demo.
#[derive(Clone, Copy, Debug)]
struct Interrupt {
	name: &'static str,
	number: u8,
}

/// Ctrl-C, a polite kill, and the terminal's end.
struct Interrupts {
	int: Signal,
	term: Signal,
	hup: Signal,
}

impl Interrupts {
	fn new() -> anyhow::Result<Self> {
		Ok(Self {
			int: signal(SignalKind::interrupt())?,
			term: signal(SignalKind::terminate())?,
			hup: signal(SignalKind::hangup())?,
		})
	}

	async fn next(&mut self) -> Interrupt {
		tokio::select! {
			_ = self.int.recv() => Interrupt { name: "SIGINT", number: 2 },
			_ = self.term.recv() => Interrupt { name: "SIGTERM", number: 15 },
			_ = self.hup.recv() => Interrupt { name: "SIGHUP", number: 1 },
		}
	}
}

/// Standard error: spinners and bars on a terminal, plain lines elsewhere.
struct Screen {
	bars: bool,
}

impl Screen {
	fn new() -> Self {
		Self {
			bars: std::io::stderr().is_terminal(),
		}
	}

	fn say(&self, line: &str) {
		// Not eprintln: a terminal that is gone is no reason to panic while ending processes.
		let _ = writeln!(std::io::stderr(), "{line}");
	}

	fn stage(&self, name: &'static str) -> Stage<'_> {
		let bar = if self.bars {
			let bar = ProgressBar::new_spinner();
			bar.set_style(style("{spinner} {msg} {elapsed}"));
			bar.set_message(name);
			bar.enable_steady_tick(TICK);
			bar
		} else {
			self.say(&format!("{name} ..."));
			ProgressBar::hidden()
		};
		Stage {
			screen: self,
			name,
			bar,
			start: Instant::now(),
			shown: String::new(),
		}
	}
}

/// One stage of the demo, with its time.
struct Stage<'a> {
	screen: &'a Screen,
	name: &'static str,
	bar: ProgressBar,
	start: Instant,
	shown: String,
}

impl Stage<'_> {
	/// Shows where the task stands.
	fn step(&mut self, status: &TaskStatus) {
		if self.screen.bars {
			self.bar.set_length(u64::from(status.spec.steps));
			self.bar.set_position(u64::from(status.steps_done));
			self.bar
				.set_message(format!("{} {}", self.name, status.state.name()));
			self.bar
				.set_style(style("{spinner} {msg} [{bar:30}] {pos}/{len} steps"));
			return;
		}
		// On a plain log the states are enough; each step would be a line.
		let now = match &status.miner {
			Some(miner) => format!("{} by {miner}", status.state.name()),
			None => status.state.name().to_owned(),
		};
		if now != self.shown {
			self.screen.say(&format!("  {now}"));
			self.shown = now;
		}
	}

	/// Says what goes on.
	fn note(&self, what: &str) {
		if self.screen.bars {
			self.bar.set_message(format!("{}: {what}", self.name));
		} else {
			self.screen.say(&format!("  {what}"));
		}
	}

	/// Ends the stage; returns its seconds.
	fn done(&mut self, what: &str) -> f64 {
		self.bar.finish_and_clear();
		let took = self.start.elapsed();
		self.screen.say(&format!(
			"{:<12} {:>5.1} s  {what}",
			self.name,
			took.as_secs_f64()
		));
		Seconds::of(took)
	}
}

impl Drop for Stage<'_> {
	fn drop(&mut self) {
		self.bar.finish_and_clear();
	}
}

fn style(template: &str) -> ProgressStyle {
	ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
