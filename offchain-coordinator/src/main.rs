//! `offchain-coordinator run` and `keys`: see docs/coordinator.md.

use anyhow::Context;
use clap::{Args, Parser, Subcommand, ValueEnum};
use cuckoo_chain_client::keys::load_worker_key;
use cuckoo_primitives::{Balance, CUC};
use offchain_coordinator::{
	chain,
	clock::Clock,
	coordinator::Coordinator,
	http,
	keys::{Keys, Limits},
	scheduler,
	settings::Settings,
};
use std::{
	io::{IsTerminal, Write},
	net::SocketAddr,
	path::PathBuf,
};
use tokio::{net::TcpListener, signal::unix::SignalKind};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

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
	/// Makes, lists and revokes apps' API keys, also while the coordinator runs.
	Keys(KeysArguments),
}

#[derive(Args)]
struct KeysArguments {
	/// Where tasks and pictures are kept [default: the user's data folder].
	#[arg(long, global = true)]
	data_dir: Option<PathBuf>,
	#[command(subcommand)]
	command: KeysCommand,
}

#[derive(Subcommand)]
enum KeysCommand {
	/// Makes a key for an app and prints it: this once.
	Create {
		/// The app's name.
		name: String,
		/// How many of its tasks can wait [default: as for all apps].
		#[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
		max_queued: Option<u32>,
		/// How many tasks it can submit in a minute [default: as for all apps].
		#[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
		submits_per_minute: Option<u32>,
	},
	/// Lists the apps that have or had a key.
	List,
	/// Revokes an app's key.
	Revoke {
		/// The app's name.
		name: String,
	},
}

#[derive(Clone, Copy, ValueEnum)]
enum LogFormat {
	Text,
	Json,
}

#[derive(Args)]
struct Run {
	/// WebSocket URL of a Cuckoo node.
	#[arg(long, default_value = "ws://127.0.0.1:9944")]
	chain: String,
	/// Address and port to listen on; port 0 takes a free one.
	#[arg(long, default_value = "127.0.0.1:8645")]
	listen: SocketAddr,
	/// Where tasks and pictures are kept [default: the user's data folder].
	#[arg(long)]
	data_dir: Option<PathBuf>,
	/// File with the worker key (a secret URI, a hex seed, or a Substrate keystore file), readable by
	/// its owner only. Without it the key's secret URI is taken from CUCKOO_WORKER_URI.
	#[arg(long)]
	worker_key: Option<PathBuf>,
	/// A lease's length before its steps are counted, in milliseconds.
	#[arg(long, default_value_t = Settings::default().lease_base_ms, value_parser = positive())]
	lease_base_ms: u64,
	/// What each denoising step adds to a lease, in milliseconds.
	#[arg(long, default_value_t = Settings::default().lease_per_step_ms)]
	lease_per_step_ms: u64,
	/// How long a drawn miner has to fetch its work, in milliseconds.
	#[arg(long, default_value_t = Settings::default().pick_up_ms, value_parser = positive())]
	pick_up_ms: u64,
	/// How long a task waits for a miner, in seconds.
	#[arg(long, default_value_t = Settings::default().queue_timeout_ms / 1_000, value_parser = positive())]
	queue_timeout: u64,
	/// How many tasks can wait.
	#[arg(long, default_value_t = Settings::default().max_queued)]
	max_queued: usize,
	/// How many tasks of one app can wait, unless its key says otherwise.
	#[arg(long, default_value_t = Settings::default().max_queued_per_app)]
	max_queued_per_app: usize,
	/// How many tasks an app can submit in a minute, unless its key says otherwise.
	#[arg(long, default_value_t = Settings::default().submits_per_minute, value_parser = clap::value_parser!(u32).range(1..))]
	submits_per_minute: u32,
	/// The most stake of a miner that counts in the draw, in CUC [default: no limit].
	#[arg(long)]
	weight_cap: Option<u64>,
	/// A miner's first suspension after a failure, in milliseconds; doubles with each in a row.
	#[arg(long, default_value_t = Settings::default().suspension_ms)]
	suspension_ms: u64,
	/// After a restart, how long leases that ran out meanwhile are kept, in milliseconds.
	#[arg(long, default_value_t = Settings::default().grace_ms)]
	grace_ms: u64,
	/// The model for requests that name none: its hash or name [default: the one with the most stake].
	#[arg(long)]
	default_model: Option<String>,
	/// Take tasks only with an API key.
	#[arg(long)]
	require_api_key: bool,
	/// Take the client's address from the last entry of X-Forwarded-For: for a coordinator that only
	/// a proxy can reach.
	#[arg(long)]
	trust_proxy: bool,
	/// How long a request by OpenAI's API waits for its pictures, in seconds.
	#[arg(long, default_value_t = Settings::default().image_wait_ms / 1_000, value_parser = positive())]
	image_wait: u64,
	/// Where this coordinator is reached, for the addresses of pictures [default: what the request
	/// names as its host].
	#[arg(long)]
	public_url: Option<String>,
	/// How many connections can be open.
	#[arg(long, default_value_t = 4_096, value_parser = clap::value_parser!(u32).range(1..=100_000))]
	max_connections: u32,
	/// How to write the log; RUST_LOG says what to write.
	#[arg(long, value_enum, default_value = "text")]
	log_format: LogFormat,
}

fn positive() -> clap::builder::RangedU64ValueParser<u64> {
	clap::value_parser!(u64).range(1..=u64::MAX / 2_000)
}

fn main() -> anyhow::Result<()> {
	let command = Cli::parse().command;
	let runtime = tokio::runtime::Builder::new_multi_thread()
		.enable_all()
		.build()?;
	match command {
		Command::Run(arguments) => {
			start_log(arguments.log_format);
			runtime.block_on(run(*arguments))
		},
		Command::Keys(arguments) => runtime.block_on(keys(arguments)),
	}
}

async fn keys(arguments: KeysArguments) -> anyhow::Result<()> {
	let data_dir = data_dir(arguments.data_dir)?;
	let mut keys = Keys::open(&data_dir).await?;
	let now_ms = Clock::System.now_ms();
	let mut stdout = std::io::stdout();
	match arguments.command {
		KeysCommand::Create {
			name,
			max_queued,
			submits_per_minute,
		} => {
			let limits = Limits {
				max_queued,
				submits_per_minute,
			};
			let key = keys.create(&name, limits, now_ms).await?;
			writeln!(stdout, "{}", key.reveal())?;
			eprintln!("This key is shown this once: give it to {name} by a safe way.");
		},
		KeysCommand::List => {
			for app in keys.list().await? {
				let state = if app.revoked_ms.is_some() {
					"revoked"
				} else {
					"active"
				};
				let limit = |limit: Option<u32>| limit.map_or("-".into(), |it| it.to_string());
				writeln!(
					stdout,
					"{}\t{}\t{state}\tmax-queued {}\tsubmits-per-minute {}",
					app.name,
					app.id,
					limit(app.max_queued),
					limit(app.submits_per_minute),
				)?;
			}
		},
		KeysCommand::Revoke { name } => {
			keys.revoke(&name, now_ms).await?;
			eprintln!(
				"{name}'s key is revoked: a running coordinator refuses it within 5 seconds."
			);
		},
	}
	Ok(keys.close().await?)
}

async fn run(arguments: Run) -> anyhow::Result<()> {
	let key = load_worker_key(arguments.worker_key.as_deref(), WORKER_VARIABLE)?;
	let data_dir = data_dir(arguments.data_dir.clone())?;
	let coordinator = Coordinator::open(&data_dir, key, arguments.settings(), Clock::System)
		.await
		.with_context(|| format!("cannot start in {}", data_dir.display()))?;

	let listener = TcpListener::bind(arguments.listen)
		.await
		.with_context(|| format!("cannot listen on {}", arguments.listen))?;
	let address = listener.local_addr()?;
	let mut stdout = std::io::stdout().lock();
	writeln!(stdout, "listening http://{address}").and_then(|()| stdout.flush())?;
	drop(stdout);

	let stop = CancellationToken::new();
	let follower = cuckoo_chain_client::follow(arguments.chain.clone());
	let mut scheduler = tokio::spawn(scheduler::run(coordinator.clone(), stop.clone()));
	let mut server = tokio::spawn(http::serve(
		coordinator.clone(),
		listener,
		arguments.max_connections,
		stop.clone(),
	));
	let chain = chain::follow(coordinator.clone(), follower, stop.clone());

	let mut terminate = tokio::signal::unix::signal(SignalKind::terminate())?;
	let outcome = tokio::select! {
		outcome = chain => outcome.map_err(anyhow::Error::from),
		_ = terminate.recv() => Ok(()),
		interrupted = tokio::signal::ctrl_c() => interrupted.map_err(anyhow::Error::from),
		// Neither ends by itself: whoever started this program starts it again.
		_ = &mut scheduler => Err(anyhow::anyhow!("the scheduler broke: see the log")),
		_ = &mut server => Err(anyhow::anyhow!("the server broke: see the log")),
	};
	tracing::info!("stopping");
	coordinator.drain();
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

impl Run {
	fn settings(&self) -> Settings {
		let cap = |cuc: u64| Balance::from(cuc).saturating_mul(CUC);
		Settings {
			lease_base_ms: self.lease_base_ms,
			lease_per_step_ms: self.lease_per_step_ms,
			pick_up_ms: self.pick_up_ms,
			queue_timeout_ms: self.queue_timeout.saturating_mul(1_000),
			max_queued: self.max_queued,
			submits_per_minute: self.submits_per_minute,
			max_queued_per_app: self.max_queued_per_app,
			weight_cap: self.weight_cap.map_or(Balance::MAX, cap),
			suspension_ms: self.suspension_ms,
			grace_ms: self.grace_ms,
			default_model: self.default_model.clone(),
			require_api_key: self.require_api_key,
			image_wait_ms: self.image_wait.saturating_mul(1_000),
			public_url: self.public_url.clone(),
			trust_proxy: self.trust_proxy,
			..Settings::default()
		}
	}
}

fn data_dir(given: Option<PathBuf>) -> anyhow::Result<PathBuf> {
	given
		.or_else(default_data_dir)
		.context("no home folder: name a folder by --data-dir")
}

fn default_data_dir() -> Option<PathBuf> {
	let folders = directories::ProjectDirs::from("network", "Cuckoo", "cuckoo")?;
	Some(folders.data_dir().join("coordinator"))
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
