//! The miner's command line. Exit status: 0 when all is well, 1 when a check found something wrong
//! (`doctor`, `claim`, `verify-draw`, `verify-step`), 2 when the command could not be carried out.

use clap::Parser;
use offchain_miner::{
	bench,
	cli::{Cli, Command},
	doctor, generate, library, purse, run,
	ui::Ui,
	verify_draw, verify_step,
};
use std::process::ExitCode;
use tracing::level_filters::LevelFilter;

const FOUND_WRONG: u8 = 1;
const NOT_CARRIED_OUT: u8 = 2;

fn main() -> ExitCode {
	let cli = Cli::parse();
	let ui = Ui::new();
	let level = match cli.command {
		Command::Run(_) => LevelFilter::INFO,
		// The others tell what there is to tell on standard output.
		_ => LevelFilter::WARN,
	};
	ui.log(cli.log_format, level);
	let runtime = match tokio::runtime::Runtime::new() {
		Ok(runtime) => runtime,
		Err(error) => {
			eprintln!("error: no runtime for network and timers: {error}");
			return ExitCode::from(NOT_CARRIED_OUT);
		},
	};
	let done = runtime.block_on(async {
		match cli.command {
			Command::Run(args) => run::command(args, ui).await.map(|()| true),
			Command::Generate(args) => generate::command(args, ui).await.map(|()| true),
			Command::Doctor(args) => doctor::command(args).await,
			Command::Bench(args) => bench::command(args, ui).await.map(|()| true),
			Command::Models(args) => library::command(args, ui).await,
			Command::Earnings(args) => purse::status::command(args).await,
			Command::Claim(args) => purse::claim::command(args).await,
			Command::VerifyDraw(args) => verify_draw::command(args).await,
			Command::VerifyStep(args) => verify_step::command(args).await,
		}
	});
	// A device that is in the middle of a step is not waited for.
	runtime.shutdown_background();
	match done {
		Ok(true) => ExitCode::SUCCESS,
		Ok(false) => ExitCode::from(FOUND_WRONG),
		Err(error) => {
			eprintln!("error: {error:#}");
			ExitCode::from(NOT_CARRIED_OUT)
		},
	}
}
