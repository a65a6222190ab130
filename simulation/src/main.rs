//! Runs simulated schedules; `scripts/simulate` builds and starts it.

use clap::Parser;
use cuckoo_simulation::schedule;
use std::{process::ExitCode, time::Instant};

/// Runs the coordinator through schedules of trouble, each from a seed, and tells of the first that
/// breaks a rule.
#[derive(Parser)]
#[command(version)]
struct Cli {
	/// How many.
	#[arg(long, default_value_t = 10_000)]
	schedules: u64,
	/// The seed of the first; the next ones follow.
	#[arg(long, default_value_t = 0)]
	seed: u64,
	/// Print the trace of the last one also if no rule is broken.
	#[arg(long)]
	trace: bool,
}

fn main() -> ExitCode {
	let cli = Cli::parse();
	let start = Instant::now();
	let (mut accepted, mut done, mut lines) = (0, 0, 0);
	for number in 0..cli.schedules {
		let seed = cli.seed.wrapping_add(number);
		let outcome = match schedule::run(seed) {
			Ok(outcome) => outcome,
			Err(error) => {
				eprintln!("error: the schedule of seed {seed} could not be run: {error:#}");
				return ExitCode::FAILURE;
			},
		};
		let last = number + 1 == cli.schedules;
		if !outcome.broken.is_empty() || (cli.trace && last) {
			outcome.trace.iter().for_each(|line| println!("{line}"));
		}
		if !outcome.broken.is_empty() {
			eprintln!("seed {seed} breaks rules:");
			outcome.broken.iter().for_each(|rule| eprintln!("  {rule}"));
			eprintln!("again: scripts/simulate --schedules 1 --seed {seed}");
			return ExitCode::FAILURE;
		}
		accepted += outcome.accepted;
		done += outcome.done;
		lines += outcome.hash.0;
		if (number + 1) % 1_000 == 0 {
			eprintln!(
				"{} schedules, {:.0} s",
				number + 1,
				start.elapsed().as_secs_f64()
			);
		}
	}
	println!(
		"{} schedules, {accepted} tasks accepted, {done} done, {lines} events, {:.1} s: every rule held",
		cli.schedules,
		start.elapsed().as_secs_f64()
	);
	ExitCode::SUCCESS
}
