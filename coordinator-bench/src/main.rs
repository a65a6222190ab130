//! Measures the coordinator: a server as in production on a store on disk, and from another process
//! its apps and miners. `scripts/bench-coordinator` builds and runs it; docs/benchmarks.md says what
//! came out.
//!
//! - [`population`]: the simulated miners, and the registry of a chain that has them.
//! - [`server`]: the coordinator with its HTTP server and scheduler, without a chain.
//! - [`load`], [`idle`]: the other processes.
//! - [`draw`], [`floor`], [`restart`]: what needs no load.

mod draw;
mod floor;
mod idle;
mod load;
mod population;
#[path = "../../offchain-coordinator/tests/support/postgres.rs"]
mod postgres_server;
mod restart;
mod server;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use cuckoo_figures::{print, Unit};
use idle::Idle;
use load::{Load, Outcome};
use offchain_coordinator::store::Place;
use server::Server;
use std::{
	path::{Path, PathBuf},
	process::Stdio,
	time::Duration,
};
use tokio::io::{AsyncBufReadExt, BufReader};

/// As the coordinator's own program has it.
#[cfg(not(target_env = "msvc"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// The part of the highest rate at which latencies are measured.
const SHARE_OF_CAPACITY: f64 = 0.7;

/// How long miners that do nothing are given to connect and settle.
const IDLE: Duration = Duration::from_secs(10);

/// Tasks a second that are submitted beside idle connections.
const BESIDE_IDLE: &str = "50";

/// Measures the coordinator and prints its figures, each on a line `figure: NAME VALUE UNIT`.
#[derive(Parser)]
#[command(version)]
struct Cli {
	#[command(subcommand)]
	command: Command,
}

#[derive(Subcommand)]
enum Command {
	/// Measures everything.
	Run(Run),
	/// The other process: apps and miners of a coordinator. Prints what it saw as JSON.
	#[command(hide = true)]
	Load(Load),
	/// The other process: connections that want nothing. Prints how many were there to the end.
	#[command(hide = true)]
	Idle(Idle),
}

#[derive(Args)]
struct Run {
	/// Simulated miners that are connected.
	#[arg(long, default_value_t = 1_000)]
	miners: u32,
	/// Seconds of each measurement under load.
	#[arg(long, default_value_t = 20)]
	seconds: u64,
	/// Miners in the list that is drawn from.
	#[arg(long, default_value_t = 100_000)]
	listed: u32,
	/// Tasks in the store that is opened.
	#[arg(long, default_value_t = 1_000_000)]
	tasks: u32,
	/// Connections that are held and want nothing.
	#[arg(long, default_value_t = 10_000)]
	connections: u32,
	/// Where the stores are made [default: the folder for temporary files]. It should lie on the disk
	/// that a coordinator would use.
	#[arg(long)]
	dir: Option<PathBuf>,
	/// Leaves out what needs a PostgreSQL.
	#[arg(long)]
	without_postgres: bool,
}

fn main() -> anyhow::Result<()> {
	let command = Cli::parse().command;
	let runtime = tokio::runtime::Builder::new_multi_thread()
		.enable_all()
		.build()?;
	match command {
		Command::Load(load) => {
			let outcome = runtime.block_on(load.run())?;
			println!("{}", serde_json::to_string(&outcome)?);
			Ok(())
		},
		Command::Idle(idle) => {
			println!("{}", runtime.block_on(idle.run())?);
			Ok(())
		},
		Command::Run(run) => runtime.block_on(run.run()),
	}
}

impl Run {
	async fn run(&self) -> anyhow::Result<()> {
		print("draw_100k_us", draw::micros(self.listed)?, Unit::Micros)?;

		let each = self.idle_miner_kib().await?;
		print("idle_miner_kib", each, Unit::Kibibytes)?;

		self.idle_connections().await?;

		let folder = self.folder("load")?;
		let place = Place::Directory(folder.path().to_owned());
		let server = Server::start(&place, folder.path(), self.miners).await?;
		let seconds = self.seconds.to_string();
		let most = ["--seconds", &seconds, "--rate", "max"];
		let capacity = finish(self.start_load(&server, &most)?)
			.await?
			.done_per_second;
		print("tasks_per_s_sqlite", capacity, Unit::PerSecond)?;
		let rate = (capacity * SHARE_OF_CAPACITY).to_string();
		let paced = ["--seconds", &seconds, "--rate", &rate];
		let paced = finish(self.start_load(&server, &paced)?).await?;
		server.stop().await;
		print("paced_tasks_per_s", paced.done_per_second, Unit::PerSecond)?;
		for (name, [p50, p99]) in [("submit", paced.submit_ms), ("assign", paced.assign_ms)] {
			print(&format!("{name}_p50_ms"), p50, Unit::Millis)?;
			print(&format!("{name}_p99_ms"), p99, Unit::Millis)?;
		}

		let folder = self.folder("floor")?;
		let place = Place::Directory(folder.path().to_owned());
		let floor = floor::tasks_per_second(&place, Duration::from_secs(self.seconds)).await?;
		print("store_tasks_per_s", floor, Unit::PerSecond)?;
		print("store_floor_ratio", capacity / floor, Unit::Ratio)?;

		if !self.without_postgres {
			self.on_postgres().await?;
		}

		let folder = self.folder("restart")?;
		let opened = restart::seconds(folder.path(), self.tasks).await?;
		print("restart_1m_s", opened, Unit::Seconds)
	}

	/// The rate and its floor with the store in PostgreSQL.
	async fn on_postgres(&self) -> anyhow::Result<()> {
		let place = |name: &str| {
			let database = postgres_server::database(name);
			let database = database.context("there is no PostgreSQL: see --without-postgres")?;
			anyhow::Ok(Place::Postgres(Box::new(database)))
		};
		let folder = self.folder("load on PostgreSQL")?;
		let number = std::process::id();
		let load = place(&format!("cuckoo_bench_load_{number}"))?;
		let server = Server::start(&load, folder.path(), self.miners).await?;
		let seconds = self.seconds.to_string();
		let most = ["--seconds", &seconds, "--rate", "max"];
		let capacity = finish(self.start_load(&server, &most)?)
			.await?
			.done_per_second;
		server.stop().await;
		print("tasks_per_s_postgres", capacity, Unit::PerSecond)?;

		eprintln!("measuring: floor on PostgreSQL");
		let floor = place(&format!("cuckoo_bench_floor_{number}"))?;
		let floor = floor::tasks_per_second(&floor, Duration::from_secs(self.seconds)).await?;
		print("store_tasks_per_s_postgres", floor, Unit::PerSecond)?;
		print("store_floor_ratio_postgres", capacity / floor, Unit::Ratio)
	}

	/// What a second thousand of miners adds to the memory in use: the first one also pays for what is
	/// there once.
	async fn idle_miner_kib(&self) -> anyhow::Result<f64> {
		let folder = self.folder("idle")?;
		let place = Place::Directory(folder.path().to_owned());
		let server = Server::start(&place, folder.path(), 2 * self.miners).await?;
		let (settle, stay) = (IDLE.as_secs(), 2 * IDLE.as_secs());
		let first = self.start_load(&server, &["--seconds", &stay.to_string()])?;
		tokio::time::sleep(Duration::from_secs(settle)).await;
		let before = resident_kib()?;
		let number = self.miners.to_string();
		let args = ["--seconds", &settle.to_string(), "--first", &number];
		let second = self.start_load(&server, &args)?;
		tokio::time::sleep(Duration::from_secs(settle)).await;
		let more = resident_kib()? - before;
		for load in [first, second] {
			let polls = finish(load).await?.idle_polls;
			anyhow::ensure!(
				polls >= u64::from(self.miners),
				"only {polls} miners waited"
			);
		}
		server.stop().await;
		Ok(more / f64::from(self.miners))
	}

	/// What connections that want nothing cost: memory, and the time of those that want something.
	async fn idle_connections(&self) -> anyhow::Result<()> {
		let folder = self.folder("connections")?;
		idle::allow_files(self.connections + self.miners)?;
		let place = Place::Directory(folder.path().to_owned());
		let server = Server::start(&place, folder.path(), self.miners).await?;
		let seconds = self.seconds.to_string();
		let paced = ["--seconds", &seconds, "--rate", BESIDE_IDLE];
		let alone = finish(self.start_load(&server, &paced)?).await?;
		let before = resident_kib()?;
		let mut idle = tokio::process::Command::new(own_program()?)
			.args(["idle", "--url", &server.url()])
			.args(["--connections", &self.connections.to_string()])
			.stdin(Stdio::piped())
			.stdout(Stdio::piped())
			.kill_on_drop(true)
			.spawn()
			.context("the idle clients do not start")?;
		let (input, output) = (idle.stdin.take(), idle.stdout.take());
		let mut lines = BufReader::new(output.context("no output")?).lines();
		let ready = lines.next_line().await?;
		anyhow::ensure!(ready.as_deref() == Some("ready"), "the idle clients failed");
		tokio::time::sleep(IDLE).await;
		let more = resident_kib()? - before;
		let beside = finish(self.start_load(&server, &paced)?).await?;
		drop(input);
		let alive = lines
			.next_line()
			.await?
			.context("the idle clients failed")?;
		server.stop().await;
		print("idle_connections", alive.parse()?, Unit::Count)?;
		let each = more / f64::from(self.connections);
		print("idle_connection_kib", each, Unit::Kibibytes)?;
		for (name, load) in [("without", alone), ("beside", beside)] {
			let [p50, p99] = load.submit_ms;
			print(&format!("{name}_idle_submit_p50_ms"), p50, Unit::Millis)?;
			print(&format!("{name}_idle_submit_p99_ms"), p99, Unit::Millis)?;
		}
		Ok(())
	}

	fn folder(&self, name: &str) -> anyhow::Result<tempfile::TempDir> {
		eprintln!("measuring: {name}");
		let mut folder = tempfile::Builder::new();
		folder.prefix("cuckoo-coordinator-bench-");
		match &self.dir {
			Some(dir) => folder.tempdir_in(dir),
			None => folder.tempdir(),
		}
		.context("no folder for the store")
	}

	fn start_load(&self, server: &Server, args: &[&str]) -> anyhow::Result<tokio::process::Child> {
		tokio::process::Command::new(own_program()?)
			.args(["load", "--url", &server.url()])
			.args(["--miners", &self.miners.to_string()])
			.args(args)
			.stdout(Stdio::piped())
			.kill_on_drop(true)
			.spawn()
			.context("the load does not start")
	}
}

async fn finish(load: tokio::process::Child) -> anyhow::Result<Outcome> {
	let output = load.wait_with_output().await?;
	anyhow::ensure!(
		output.status.success(),
		"the load failed: {}",
		output.status
	);
	serde_json::from_slice(&output.stdout).context("the load does not say what it saw")
}

fn own_program() -> anyhow::Result<PathBuf> {
	std::env::current_exe().context("the running program has no path")
}

/// The memory of this process that is in use.
fn resident_kib() -> anyhow::Result<f64> {
	let status = std::fs::read_to_string(Path::new("/proc/self/status"))?;
	let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
	let kib = line.and_then(|rest| rest.trim().strip_suffix(" kB"));
	kib.and_then(|kib| kib.trim().parse().ok())
		.context("the system does not say how much memory is in use")
}
