//! The demo makes a picture, and leaves no process behind however it ends.

use crate::support::{model, turn, until};
use anyhow::{ensure, Context, Result};
use serde_json::Value;
use std::{
	fs,
	path::Path,
	process::{Child, Command, Stdio},
	time::Duration,
};

/// Longest wait for the demo to have made its picture, or to have ended.
const DEMO_TIMEOUT: Duration = Duration::from_secs(240);
/// A node, a coordinator and two miners.
const PROCESSES: usize = 4;
/// What the demo returns after SIGINT: 128 and the signal's number.
const INTERRUPTED: i32 = 130;

fn demo(dir: &Path, args: &[&str]) -> Result<Child> {
	let log = fs::File::create(dir.join("stderr"))?;
	let out = fs::File::create(dir.join("stdout"))?;
	Ok(Command::new(env!("CARGO_BIN_EXE_cuckoo-demo"))
		.args(["a red apple", "--out", "apple.png", "--model"])
		.arg(model().canonicalize()?)
		.args(args)
		.current_dir(dir)
		.stdin(Stdio::null())
		.stdout(out)
		.stderr(log)
		.spawn()?)
}

/// The process ids of the processes that `parent` started, read from /proc.
fn children(parent: u32) -> Vec<u32> {
	let Ok(processes) = fs::read_dir("/proc") else {
		return Vec::new();
	};
	processes
		.flatten()
		.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
		.filter(|pid| parent_of(*pid) == Some(parent))
		.collect()
}

/// The parent of a process that lives: `None` for one that is gone or waits to be reaped.
fn parent_of(pid: u32) -> Option<u32> {
	let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
	// The name in parentheses may hold anything; after it stand the state and the parent.
	let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
	let state = fields.next()?;
	let parent = fields.next()?.parse().ok()?;
	(state != "Z").then_some(parent)
}

fn alive(pid: u32) -> bool {
	parent_of(pid).is_some()
}

/// A demo with all its processes up: the demo and their ids.
async fn running_demo(dir: &Path) -> Result<(Child, Vec<u32>)> {
	let mut demo = demo(dir, &[])?;
	let pid = demo.id();
	let up = until("all processes", DEMO_TIMEOUT, async || {
		children(pid).len() >= PROCESSES
	})
	.await;
	let started = children(pid);
	if let Err(error) = up {
		let _ = demo.kill();
		let _ = demo.wait();
		return Err(error.context(fs::read_to_string(dir.join("stderr"))?));
	}
	Ok((demo, started))
}

async fn assert_gone(started: &[u32]) -> Result<()> {
	until(
		"the end of all processes",
		Duration::from_secs(10),
		async || !started.iter().any(|pid| alive(*pid)),
	)
	.await
}

async fn wait(demo: &mut Child) -> Result<std::process::ExitStatus> {
	let mut status = None;
	until("the demo's end", DEMO_TIMEOUT, async || {
		status = demo.try_wait().ok().flatten();
		status.is_some()
	})
	.await?;
	status.context("it has ended")
}

#[tokio::test]
async fn the_demo_makes_a_picture_and_accounts_for_it() -> Result<()> {
	let _turn = turn().await;
	let dir = tempfile::tempdir()?;
	let mut demo = demo(dir.path(), &["--json", "--seed", "3"])?;
	let pid = demo.id();
	let status = wait(&mut demo).await?;
	let (out, log) = (
		fs::read_to_string(dir.path().join("stdout"))?,
		fs::read_to_string(dir.path().join("stderr"))?,
	);
	ensure!(status.success(), "{status}\n{log}\n{out}");
	assert!(children(pid).is_empty());

	let report: Value = serde_json::from_str(out.lines().last().context("no output")?)?;
	let picture = fs::read(dir.path().join("apple.png"))?;
	let hash = format!("0x{}", blake3::hash(&picture).to_hex());
	assert_eq!(report["picture"]["blake3"], hash);
	assert_eq!(report["eligible"].as_array().map(Vec::len), Some(2));
	assert_eq!(report["signed"].as_array().map(Vec::len), Some(2));

	// What the app paid, less the coordinator's, the audit fund's and the burned part and more what was
	// issued, is in the pool: the operator's and its voter's stakes are worth more.
	let seconds = |part: &str| report["seconds"][part].as_f64().unwrap_or(f64::MAX);
	assert!(seconds("total") - seconds("money") < 60.0, "{report}");
	let money = &report["money"];
	let amount = |value: &Value| value.as_str().and_then(|text| text.parse::<u128>().ok());
	let price = amount(&money["price"]).context("the price")?;
	assert_eq!(amount(&money["miners_part"]), Some(price * 3 / 4));
	let grown = money["grown"].as_array().context("who is richer")?;
	let by = |index: usize| -> Option<u128> {
		let stake = grown.get(index)?;
		amount(&stake["after"])?.checked_sub(amount(&stake["before"])?)
	};
	let (operator, voter) = (by(0).context("operator")?, by(1).context("voter")?);
	assert!(operator > 0 && voter > 0);
	// Four fifths of the price: its three quarters, and a twentieth that is issued.
	let expected = price * 4 / 5;
	let paid = operator + voter;
	assert!(
		paid <= expected && paid > expected - expected / 1_000,
		"{paid} of {expected}"
	);
	for shown in [
		"Who could be drawn",
		"ticket",
		"result commitment",
		"Who paid",
		hash.as_str(),
	] {
		assert!(out.contains(shown), "{shown} is not in\n{out}");
	}
	Ok(())
}

#[tokio::test]
async fn ctrl_c_ends_everything_the_demo_started() -> Result<()> {
	let _turn = turn().await;
	let dir = tempfile::tempdir()?;
	let (mut demo, started) = running_demo(dir.path()).await?;
	let kill = Command::new("/bin/sh")
		.args(["-c", "kill -s INT \"$1\"", "sh"])
		.arg(demo.id().to_string())
		.status()?;
	assert!(kill.success());
	let status = wait(&mut demo).await?;
	let log = fs::read_to_string(dir.path().join("stderr"))?;
	assert_eq!(status.code(), Some(INTERRUPTED), "{log}");
	assert_gone(&started).await?;
	assert!(log.contains("Ended: "), "{log}");
	Ok(())
}

#[tokio::test]
async fn a_killed_demo_takes_its_processes_with_it() -> Result<()> {
	let _turn = turn().await;
	let dir = tempfile::tempdir()?;
	let (mut demo, started) = running_demo(dir.path()).await?;
	demo.kill()?;
	demo.wait()?;
	assert_gone(&started).await
}
