//! `offchain-coordinator top`: the state, the miners and the youngest tasks, drawn again and again.

use super::{
	client::{Client, Error},
	commands::Place,
	text, Miners, Status,
};
use clap::Args;
use cuckoo_coordinator_api::task::TaskStatus;
use std::{
	io::{IsTerminal, Write},
	time::Duration,
};

/// Another screen, so that what was there comes back at the end; without a cursor.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";
/// From the upper left corner; `TO_THE_END` clears what an earlier frame left.
const HOME: &str = "\x1b[H";
const TO_LINE_END: &str = "\x1b[K";
const TO_THE_END: &str = "\x1b[J";

/// Tasks that are looked at.
const TASKS: u32 = 100;

/// The size of a terminal that does not say.
const USUAL_SIZE: (usize, usize) = (80, 24);

/// `top`.
#[derive(Args, Clone, Debug)]
pub struct Top {
	#[command(flatten)]
	place: Place,
	/// Seconds between two looks.
	#[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3_600))]
	every: u64,
	/// Prints once and ends; also what happens when the output is no terminal.
	#[arg(long)]
	once: bool,
}

/// What one look found.
#[derive(Clone, Debug)]
struct Look {
	status: Status,
	miners: Miners,
	tasks: Vec<TaskStatus>,
}

impl Top {
	/// Until Ctrl-C.
	pub async fn run(&self) -> anyhow::Result<()> {
		let client = self.place.client()?;
		let mut output = std::io::stdout();
		if self.once || !output.is_terminal() {
			let look = look(&client).await?;
			output.write_all(frame(&look, None, usize::MAX, usize::MAX).as_bytes())?;
			return Ok(());
		}
		output.write_all(ENTER.as_bytes())?;
		let shown = tokio::select! {
			shown = self.show(&client, &mut output) => shown,
			stopped = tokio::signal::ctrl_c() => stopped,
		};
		output.write_all(LEAVE.as_bytes())?;
		output.flush()?;
		Ok(shown?)
	}

	async fn show(&self, client: &Client, output: &mut impl Write) -> std::io::Result<()> {
		let mut before = None;
		loop {
			let (width, height) = match terminal_size::terminal_size() {
				Some((width, height)) => (width.0.into(), height.0.into()),
				None => USUAL_SIZE,
			};
			let text = match look(client).await {
				Ok(look) => {
					let text = frame(&look, before.as_ref(), width, height);
					before = Some(look.status);
					text
				},
				// It may be starting again.
				Err(error) => cut(&format!("{error}\n"), usize::MAX, height),
			};
			let lines = text.lines().map(|line| format!("{line}{TO_LINE_END}"));
			let lines: Vec<String> = lines.collect();
			write!(output, "{HOME}{}{TO_THE_END}", lines.join("\n"))?;
			output.flush()?;
			tokio::time::sleep(Duration::from_secs(self.every)).await;
		}
	}
}

async fn look(client: &Client) -> Result<Look, Error> {
	Ok(Look {
		status: client.status().await?,
		miners: client.miners().await?,
		tasks: client.tasks(None, TASKS).await?,
	})
}

/// One picture of at most this many columns and lines.
fn frame(look: &Look, before: Option<&Status>, width: usize, height: usize) -> String {
	let status = &look.status;
	let mut frame = text::status(status);
	if let Some(before) = before {
		frame += &rates(before, status);
	}
	frame += "\n";
	let rest = height.saturating_sub(frame.lines().count() + 1);
	// Half of what is left for each, and what one does not need for the other.
	let miners = text::miners(&look.miners, status.now_ms);
	let tasks = text::tasks(&look.tasks, status.now_ms);
	let for_miners = (rest / 2).max(rest.saturating_sub(tasks.lines().count()));
	frame += &cut(&miners, usize::MAX, for_miners);
	frame += "\n";
	frame += &tasks;
	cut(&frame, width, height)
}

/// What was done between two looks.
fn rates(before: &Status, now: &Status) -> String {
	let ms = now.now_ms.saturating_sub(before.now_ms);
	let a_minute = |before: u64, now: u64| {
		let rate = now.saturating_sub(before) as f64 * 60_000.0;
		if ms == 0 {
			0.0
		} else {
			rate / ms as f64
		}
	};
	format!(
		"a minute     {:.1} submitted, {:.1} done, {:.1} draws\n",
		a_minute(before.tasks.submitted, now.tasks.submitted),
		a_minute(before.tasks.done, now.tasks.done),
		a_minute(before.draws, now.draws),
	)
}

fn cut(text: &str, width: usize, height: usize) -> String {
	let lines = text.lines().take(height);
	lines
		.map(|line| line.chars().take(width).chain(['\n']).collect::<String>())
		.collect()
}

#[cfg(test)]
mod tests {
	use super::*;
	use cuckoo_primitives::AccountId;

	fn status(done: u64, now_ms: u64) -> Status {
		serde_json::from_value(serde_json::json!({
			"version": "1", "operator": null, "worker": worker(), "not_ready": null,
			"draining": false, "started_ms": 0, "now_ms": now_ms, "finalized_block": 7,
			"finalized_age_ms": 1, "queued": 0, "in_flight": 0, "oldest_wait_ms": null,
			"miners": {"online": 0, "eligible": 0, "suspended": 0, "probation": 0, "banned": 0},
			"total_weight": "0", "draws": done, "tasks":
			{"submitted": done, "done": done, "failed": 0, "cancelled": 0, "expired": 0},
		}))
		.unwrap()
	}

	fn worker() -> serde_json::Value {
		let worker = sp_core::sr25519::Public::from_raw([1; 32]);
		serde_json::to_value(worker).unwrap()
	}

	fn look() -> Look {
		let ban = |number: u8| crate::bans::Ban {
			account: AccountId::new([number; 32]),
			since_ms: 0,
			until_ms: None,
			reason: "no\x1b[2J".into(),
		};
		Look {
			status: status(30, 60_000),
			miners: Miners {
				miners: vec![],
				bans: (0..50).map(ban).collect(),
			},
			tasks: vec![],
		}
	}

	#[test]
	fn a_frame_fits_the_terminal_and_carries_no_escapes() {
		for (width, height) in [(80, 24), (10, 3), (1, 1), (300, 100), (0, 0)] {
			let frame = frame(&look(), Some(&status(0, 0)), width, height);
			assert!(frame.lines().count() <= height);
			assert!(frame.lines().all(|line| line.chars().count() <= width));
			assert!(!frame.contains('\x1b'));
		}
		let whole = frame(&look(), None, usize::MAX, usize::MAX);
		assert!(whole.contains("There are no such tasks"), "{whole}");
	}

	#[test]
	fn rates_are_by_the_minute() {
		let shown = rates(&status(10, 30_000), &status(30, 60_000));
		assert!(shown.contains("40.0 submitted, 40.0 done"), "{shown}");
		assert!(rates(&status(1, 1), &status(1, 1)).contains("0.0 done"));
	}
}
