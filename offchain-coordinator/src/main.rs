//! `offchain-coordinator`: see docs/coordinator.md.

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use cuckoo_chain_client::keys::load_worker_key;
use offchain_coordinator::{
	admin::{self, commands::Admin, top::Top},
	chain,
	clock::Clock,
	config::{Config, Effective, LogFormat},
	connections::Listener,
	coordinator::Coordinator,
	drain,
	flags::{ConfigArgs, MoneyArgs},
	http,
	keys::commands::KeysArgs,
	ledger, peers, retention, scheduler,
	store::Place,
	tls::Tls,
	webhooks,
};
use std::{
	io::{IsTerminal, Write},
	net::SocketAddr,
	path::PathBuf,
	process::ExitCode,
	sync::Arc,
	time::Duration,
};
use tokio::{
	net::TcpListener,
	signal::unix::{signal, Signal, SignalKind},
};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

/// Ten thousand connections with a few kilobytes each: the system's allocator keeps half as much again
/// for them.
#[cfg(not(target_env = "msvc"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// The environment variable that holds the worker key's secret URI, when there is no file.
const WORKER_VARIABLE: &str = "CUCKOO_WORKER_URI";

/// Takes tasks from apps, draws miners for them by stake, keeps results.
#[derive(Parser)]
#[command(version, about)]
struct Cli {
	#[command(subcommand)]
	command: Command,
}

#[derive(Subcommand)]
enum Command {
	/// Runs the coordinator until it is told to stop (SIGTERM or Ctrl-C).
	Run(Box<Run>),
	/// Prints the configuration in effect and where each value comes from, or everything that is wrong
	/// with it. Changes nothing.
	CheckConfig(Box<ConfigArgs>),
	/// Asks a running coordinator on this machine, or tells it what to do.
	Admin(Admin),
	/// Makes, lists and revokes apps' API keys, also while the coordinator runs.
	Keys(KeysArgs),
	/// Checks that the books add up: what apps have paid, what miners have earned, what the chain says.
	/// Also while the coordinator runs. Fails if anything does not.
	Reconcile(ledger::commands::Reconcile),
	/// Says how settlement stands, also while the coordinator runs.
	Settlement(ledger::commands::Settlement),
	/// Lists the journal: every movement of money, or what its accounts have. Also while the coordinator
	/// runs.
	Ledger(Box<ledger::listing::Ledger>),
	/// Settles the eras that are over now, or says why that cannot be. Also while the coordinator runs.
	Settle(Box<ledger::by_hand::Settle>),
	/// Watches a running coordinator on this machine, until Ctrl-C.
	Top(Top),
}

#[derive(Args)]
struct Run {
	/// Prints the configuration in effect instead of running, as check-config does.
	#[arg(long)]
	check_config: bool,
	#[command(flatten)]
	config: ConfigArgs,
}

fn main() -> ExitCode {
	let done = match Cli::parse().command {
		Command::Run(arguments) if arguments.check_config => {
			return check_config(&arguments.config);
		},
		Command::Run(arguments) => start(&arguments.config),
		Command::CheckConfig(arguments) => return check_config(&arguments),
		Command::Admin(admin) => ask(&admin),
		Command::Keys(arguments) => keys(arguments),
		Command::Top(top) => watch(&top),
		Command::Reconcile(arguments) => reconcile(&arguments),
		Command::Settlement(arguments) => settlement(&arguments),
		Command::Ledger(arguments) => list_ledger(&arguments),
		Command::Settle(arguments) => settle(&arguments),
	};
	match done {
		Ok(()) => ExitCode::SUCCESS,
		Err(error) => {
			eprintln!("error: {error:#}");
			ExitCode::FAILURE
		},
	}
}

/// The configuration in effect, or everything that is wrong with it.
fn effective(arguments: &ConfigArgs) -> Result<Effective, Vec<String>> {
	arguments.given().map_err(|error| vec![error])?.effective()
}

fn check_config(arguments: &ConfigArgs) -> ExitCode {
	let checked = effective(arguments).and_then(|effective| {
		let config = &effective.config;
		let key = load_worker_key(config.worker_key.as_deref(), WORKER_VARIABLE);
		let key = key.err().map(|error| error.to_string());
		let settlement_key = config.settlement_key.as_deref();
		let settlement_key = settlement_key.map(|file| load_worker_key(Some(file), ""));
		let settlement_key = settlement_key.and_then(|loaded| loaded.err());
		let tls = config.tls().and_then(|files| files.check().err());
		let artifacts = config.settings.artifacts.check().err();
		let errors: Vec<String> = key
			.into_iter()
			.chain(settlement_key.map(|error| error.to_string()))
			.chain(tls.map(|error| error.to_string()))
			.chain(artifacts.map(|error| error.to_string()))
			.collect();
		if errors.is_empty() {
			Ok(effective)
		} else {
			Err(errors)
		}
	});
	match checked {
		Ok(effective) => {
			for warning in &effective.warnings {
				eprintln!("warning: {warning}");
			}
			// Whoever reads only the first lines and goes away has seen enough.
			let _ = std::io::stdout().write_all(effective.to_toml().as_bytes());
			ExitCode::SUCCESS
		},
		Err(errors) => {
			for error in errors {
				eprintln!("error: {error}");
			}
			ExitCode::FAILURE
		},
	}
}

fn ask(admin: &Admin) -> anyhow::Result<()> {
	let reply = small_runtime()?.block_on(admin.run())?;
	// Whoever reads only the first lines and goes away has seen enough.
	let _ = std::io::stdout().write_all(reply.as_bytes());
	Ok(())
}

fn keys(arguments: KeysArgs) -> anyhow::Result<()> {
	let data_dir = data_dir(arguments.data_dir)?;
	let place = Place::new(&arguments.store_url, &data_dir)
		.map_err(|error| anyhow::anyhow!("--store-url {error}"))?;
	let reply = arguments.command.run(&place, Clock::System.now_ms())?;
	// The key, before the note on it: who cannot take it must not think that it is there.
	std::io::stdout().write_all(reply.output.as_bytes())?;
	if let Some(note) = reply.note {
		eprintln!("{note}");
	}
	Ok(())
}

fn store_at(place: &ledger::commands::Where) -> anyhow::Result<Place> {
	let data_dir = data_dir(place.data_dir.clone())?;
	Place::new(&place.store_url, &data_dir).map_err(|error| anyhow::anyhow!("--store-url {error}"))
}

fn reconcile(arguments: &ledger::commands::Reconcile) -> anyhow::Result<()> {
	let place = store_at(&arguments.place)?;
	let (text, is_well) = small_runtime()?.block_on(arguments.run(&place))?;
	std::io::stdout().write_all(text.as_bytes())?;
	anyhow::ensure!(is_well, "the books do not add up");
	Ok(())
}

fn settlement(arguments: &ledger::commands::Settlement) -> anyhow::Result<()> {
	let place = store_at(&arguments.place)?;
	let text = small_runtime()?.block_on(arguments.run(&place))?;
	std::io::stdout().write_all(text.as_bytes())?;
	Ok(())
}

/// The configuration as far as it says where the money is, and the store.
fn money(arguments: &MoneyArgs) -> anyhow::Result<(Config, Place)> {
	let config = arguments.effective().map_err(anyhow::Error::msg)?;
	let data_dir = data_dir(config.data_dir.clone())?;
	let place = Place::new(&config.store_url, &data_dir).map_err(anyhow::Error::msg)?;
	Ok((config, place))
}

fn list_ledger(arguments: &ledger::listing::Ledger) -> anyhow::Result<()> {
	let (_, place) = money(&arguments.place)?;
	let text = arguments.run(&place)?;
	// Whoever reads only the first lines and goes away has seen enough.
	let _ = std::io::stdout().write_all(text.as_bytes());
	Ok(())
}

fn settle(arguments: &ledger::by_hand::Settle) -> anyhow::Result<()> {
	let (config, place) = money(&arguments.place)?;
	let (text, is_settled) = small_runtime()?.block_on(arguments.run(&config, &place))?;
	std::io::stdout().write_all(text.as_bytes())?;
	anyhow::ensure!(is_settled, "not everything is settled");
	Ok(())
}

fn watch(top: &Top) -> anyhow::Result<()> {
	small_runtime()?.block_on(top.run())
}

fn small_runtime() -> std::io::Result<tokio::runtime::Runtime> {
	tokio::runtime::Builder::new_current_thread()
		.enable_all()
		.build()
}

fn start(arguments: &ConfigArgs) -> anyhow::Result<()> {
	let Effective {
		config, warnings, ..
	} = effective(arguments).map_err(|errors| anyhow::anyhow!(errors.join("\n")))?;
	start_log(config.log_format);
	for warning in warnings {
		tracing::warn!("{warning}");
	}
	let runtime = tokio::runtime::Builder::new_multi_thread()
		.enable_all()
		.build()?;
	runtime.block_on(run(config))
}

async fn run(config: Config) -> anyhow::Result<()> {
	// First of all: who has seen that it listens can end it in order.
	let mut signals = Signals::listen()?;
	let key = load_worker_key(config.worker_key.as_deref(), WORKER_VARIABLE)?;
	let data_dir = data_dir(config.data_dir.clone())?;
	let place = Place::new(&config.store_url, &data_dir).map_err(anyhow::Error::msg)?;
	let settings = config.settings.clone();
	let settlement_key = match config.settlement_key.as_deref() {
		Some(file) => load_worker_key(Some(file), "")?,
		None => key.clone(),
	};
	let coordinator = Coordinator::open_at(&place, &data_dir, key, settings, Clock::System)
		.await
		.with_context(|| format!("cannot start in {}", data_dir.display()))?;

	let node = ledger::node::Node::new(config.chain.clone(), settlement_key);
	coordinator.set_chain(Arc::new(node));

	let tls = config.tls().map(Tls::open).transpose()?;
	let listener = bind(config.listen, "listen").await?;
	let address = listener.local_addr()?;
	let admin = match config.admin_listen {
		Some(address) => Some(bind(address, "admin-listen").await?),
		None => None,
	};
	let mut stdout = std::io::stdout().lock();
	let scheme = if tls.is_some() { "https" } else { "http" };
	writeln!(stdout, "listening {scheme}://{address}").and_then(|()| stdout.flush())?;
	drop(stdout);

	let stop = CancellationToken::new();
	let listener = match tls {
		Some(tls) => {
			tokio::spawn(tls.clone().follow(stop.clone()));
			Listener::tls(listener, tls)
		},
		None => listener.into(),
	};
	let follower = cuckoo_chain_client::follow(config.chain.clone());
	let mut scheduler = tokio::spawn(scheduler::run(coordinator.clone(), stop.clone()));
	let mut server = tokio::spawn(http::serve(
		coordinator.clone(),
		listener,
		config.bounds(),
		stop.clone(),
	));
	tokio::spawn(retention::run(coordinator.clone(), stop.clone()));
	tokio::spawn(peers::run(coordinator.clone(), stop.clone()));
	tokio::spawn(webhooks::run(coordinator.clone(), stop.clone()));
	tokio::spawn(ledger::run(coordinator.clone(), stop.clone()));
	if let Some(listener) = admin {
		tracing::info!(address = %listener.local_addr()?, "the operator's interface");
		tokio::spawn(admin::server::serve(
			coordinator.clone(),
			listener,
			config.admin_allow_remote,
			stop.clone(),
		));
	}
	let mut chain = tokio::spawn(chain::follow(coordinator.clone(), follower, stop.clone()));

	let outcome = tokio::select! {
		outcome = &mut chain => outcome.map_err(anyhow::Error::from).and_then(|ended| Ok(ended?)),
		() = signals.next() => Ok(()),
		// Neither ends by itself: whoever started this program starts it again.
		_ = &mut scheduler => Err(anyhow::anyhow!("the scheduler broke: see the log")),
		_ = &mut server => Err(anyhow::anyhow!("the server broke: see the log")),
	};
	if outcome.is_ok() {
		let timeout = Duration::from_secs(config.drain_timeout);
		drain::finish(&coordinator, timeout, signals.next()).await;
	}
	tracing::info!("stopping");
	coordinator.stop();
	stop.cancel();
	for task in [server, scheduler] {
		if !task.is_finished() {
			// If it breaks now, there is nothing left for it to do.
			let _ = task.await;
		}
	}
	coordinator.close().await;
	outcome
}

async fn bind(address: SocketAddr, flag: &str) -> anyhow::Result<TcpListener> {
	TcpListener::bind(address)
		.await
		.with_context(|| format!("cannot listen on {address}: name another address by --{flag}"))
}

/// What tells the program to end.
struct Signals {
	terminate: Signal,
	interrupt: Signal,
}

impl Signals {
	fn listen() -> std::io::Result<Self> {
		Ok(Self {
			terminate: signal(SignalKind::terminate())?,
			interrupt: signal(SignalKind::interrupt())?,
		})
	}

	/// The next SIGTERM or Ctrl-C.
	async fn next(&mut self) {
		tokio::select! {
			_ = self.terminate.recv() => {},
			_ = self.interrupt.recv() => {},
		}
	}
}

fn data_dir(given: Option<PathBuf>) -> anyhow::Result<PathBuf> {
	let users = || {
		let folders = directories::ProjectDirs::from("network", "Cuckoo", "cuckoo")?;
		Some(folders.data_dir().join("coordinator"))
	};
	given
		.or_else(users)
		.context("no home folder: name a folder by --data-dir")
}

fn start_log(format: LogFormat) {
	let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
	let log = tracing_subscriber::fmt()
		.with_env_filter(filter)
		.with_ansi(std::io::stderr().is_terminal())
		.with_writer(std::io::stderr);
	match format {
		LogFormat::Text => log.init(),
		LogFormat::Json => log.json().init(),
	}
}
