//! Measures the chain; see the library. `scripts/bench-chain` builds and runs it.

use anyhow::Context;
use clap::{Parser, Subcommand};
use cuckoo_chain_bench::{
	compare::{compare, reward_era, State},
	database::{bytes_on_disk, Database},
	genesis::{self, Entries, Size, VALIDATORS},
	load,
	pieces::{self, Piece, CALLS},
	settlement,
};
use cuckoo_figures::{print, Unit};
use std::{
	path::{Path, PathBuf},
	time::Instant,
};

/// Measures the chain and prints its figures, each on a line `figure: NAME VALUE UNIT`.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
	#[command(subcommand)]
	command: Option<Part>,

	/// Miners of the large state.
	#[arg(
		long,
		default_value_t = 100_000,
		global = true,
		overrides_with = "miners"
	)]
	miners: u32,

	/// Accounts that vote in the large state: each for one of the miners, and for one more that has
	/// them all.
	#[arg(long, default_value_t = 1_000_000, global = true)]
	voters: u32,

	/// How often each piece of work is timed on each state.
	#[arg(long, default_value_t = 31, global = true)]
	rounds: u32,

	/// Windows of each kind of load.
	#[arg(long, default_value_t = 2, global = true)]
	windows: u32,

	/// The node that is loaded; without it, the one beside this program.
	#[arg(long, global = true)]
	node: Option<PathBuf>,
}

/// What to measure; without it, everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Subcommand)]
enum Part {
	/// Calls, rewards and sessions on large state against nearly empty state, and the state's bytes.
	State,
	/// Transactions a second of a running node.
	Load,
	/// An era of many miners settled and claimed. Not among everything.
	Settlement {
		/// How many tasks the miners have done.
		#[arg(long, default_value_t = 1_000_000)]
		tasks: u32,
	},
}

/// How often all miners are rewarded.
const ERA_ROUNDS: u32 = 3;

fn main() -> anyhow::Result<()> {
	let cli = Cli::parse();
	if let Some(Part::Settlement { tasks }) = cli.command {
		return measure_settlement(&cli, tasks);
	}
	if cli.command != Some(Part::Load) {
		measure_state(&cli)?;
	}
	if cli.command != Some(Part::State) {
		let node = match &cli.node {
			Some(node) => node.clone(),
			None => std::env::current_exe()?.with_file_name("cuckoo-node"),
		};
		let options = load::Options {
			node,
			windows: cli.windows,
		};
		tokio::runtime::Runtime::new()?.block_on(load::run(&options))?;
	}
	Ok(())
}

fn measure_settlement(cli: &Cli, tasks: u32) -> anyhow::Result<()> {
	let size = Size {
		miners: cli.miners,
		..Size::NEARLY_EMPTY
	};
	pieces::check(size)?;
	let folder = tempfile::Builder::new().prefix("cuckoo-bench-").tempdir()?;
	let built = build(folder.path(), size)?;
	let database = Database::open(&built.folder)?;
	settlement::measure(&database, size, tasks, cli.rounds)
}

fn measure_state(cli: &Cli) -> anyhow::Result<()> {
	let large = Size {
		miners: cli.miners,
		voters: cli.voters,
		leavers: (cli.rounds * CALLS).max(Size::NEARLY_EMPTY.leavers),
	};
	pieces::check(large)?;
	let folder = tempfile::Builder::new().prefix("cuckoo-bench-").tempdir()?;
	let built = |name: &str, size| build(&folder.path().join(name), size);
	let empty_size = Size::NEARLY_EMPTY;
	let empty = built("empty", empty_size)?;
	let without_voters = built(
		"miners",
		Size {
			miners: large.miners,
			..empty_size
		},
	)?;
	let full = built("large", large)?;
	print_bytes(&empty, &without_voters, &full)?;

	let empty = State {
		database: Database::open(&empty.folder)?,
		size: empty_size,
	};
	let full = State {
		database: Database::open(&full.folder)?,
		size: large,
	};
	for piece in Piece::ALL {
		eprintln!("timing {}", piece.name());
		compare(piece, &empty, &full, cli.rounds)?;
	}
	reward_era(&full, ERA_ROUNDS)
}

/// A state on the disk.
struct Built {
	folder: PathBuf,
	size: Size,
	disk: u64,
	staking: Entries,
	positions: Entries,
	unbonding: Entries,
}

fn build(folder: &Path, size: Size) -> anyhow::Result<Built> {
	let start = Instant::now();
	let state = genesis::build(size)?;
	let positions = Entries::of_map(&state, "Positions");
	let staking = Entries::of_staking(&state);
	let unbonding =
		Entries::of_map(&state, "Unbonding") + Entries::of_map(&state, "UnbondingPools");
	eprintln!(
		"state of {size:?}: {} entries in {:.0} s",
		state.top.len(),
		start.elapsed().as_secs_f64()
	);
	Database::create(folder, state)?;
	eprintln!(
		"in the database after {:.0} s",
		start.elapsed().as_secs_f64()
	);
	let disk = bytes_on_disk(folder).context("the database's size")?;
	Ok(Built {
		folder: folder.to_owned(),
		size,
		disk,
		staking,
		positions,
		unbonding,
	})
}

/// What a vote and an operator take: in the state's keys and values, and in the database's files.
fn print_bytes(empty: &Built, miners: &Built, full: &Built) -> anyhow::Result<()> {
	let operators = VALIDATORS + 1 + miners.size.miners;
	let position = miners.positions.bytes as f64 / miners.positions.count as f64;
	// Everything that staking keeps for an operator, with its position in its own pool.
	let votes = miners.positions.count as f64 - f64::from(operators);
	let of_operators =
		miners.staking.bytes as f64 - miners.unbonding.bytes as f64 - votes * position;
	print("voter_bytes", position, Unit::Bytes)?;
	print(
		"operator_bytes",
		of_operators / f64::from(operators),
		Unit::Bytes,
	)?;
	let growth = |from: &Built, to: &Built, count: u32| {
		(to.disk as f64 - from.disk as f64) / f64::from(count)
	};
	let more_voters = full.size.voters - miners.size.voters;
	let more_miners = miners.size.miners - empty.size.miners;
	print(
		"voter_database_bytes",
		growth(miners, full, more_voters),
		Unit::Bytes,
	)?;
	print(
		"operator_database_bytes",
		growth(empty, miners, more_miners),
		Unit::Bytes,
	)?;
	print("database_bytes_1m", full.disk as f64, Unit::Bytes)
}
