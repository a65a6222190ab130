//! The systemd unit that is shipped.

use std::{fs, process::Command};

const UNIT: &str = include_str!("../offchain-miner.service");

#[test]
fn systemd_takes_the_unit() {
	if Command::new("systemd-analyze")
		.arg("--version")
		.output()
		.is_err()
	{
		eprintln!("skipped: there is no systemd-analyze here");
		return;
	}
	let folder = tempfile::tempdir().unwrap();
	let path = folder.path().join("offchain-miner.service");
	// The program has to be there.
	let program = env!("CARGO_BIN_EXE_offchain-miner");
	fs::write(
		&path,
		UNIT.replace("/usr/local/bin/offchain-miner", program),
	)
	.unwrap();
	let checked = Command::new("systemd-analyze")
		.args(["verify", "--man=no"])
		.arg(&path)
		.output()
		.unwrap();
	let said = String::from_utf8_lossy(&checked.stderr);
	// It also speaks of units of the machine that have nothing to do with this one.
	let ours: Vec<&str> = said
		.lines()
		.filter(|line| line.contains("offchain-miner.service"))
		.collect();
	assert!(ours.is_empty(), "{ours:?}");
}

#[test]
fn the_unit_starts_the_program_with_options_that_it_has() {
	let start = UNIT
		.lines()
		.find_map(|line| line.strip_prefix("ExecStart=/usr/local/bin/offchain-miner "))
		.unwrap();
	let mut words: Vec<&str> = start.split(' ').collect();
	words.push("--help");
	let help = Command::new(env!("CARGO_BIN_EXE_offchain-miner"))
		.args(&words)
		.output()
		.unwrap();
	assert!(
		help.status.success(),
		"{}",
		String::from_utf8_lossy(&help.stderr)
	);
	let text = String::from_utf8_lossy(&help.stdout);
	for option in words.iter().filter(|word| word.starts_with("--")) {
		assert!(text.contains(option), "{option}");
	}
	let seconds = |name: &str| -> u32 {
		let value = UNIT
			.lines()
			.find_map(|line| line.strip_prefix(name))
			.unwrap();
		value.trim_end_matches('s').parse().unwrap()
	};
	assert!(
		seconds("TimeoutStopSec=") > 30,
		"systemd kills it within --grace"
	);
}
