//! The interface's replies as people read them.

use super::{Miners, Status, TaskDetails, WebhookLine};
use crate::bans::Ban;
use cuckoo_coordinator_api::task::TaskStatus;
use std::fmt::Write;

/// Columns of texts, each as wide as its widest cell; the last as it comes.
pub fn table(head: &[&str], rows: &[Vec<String>]) -> String {
	let mut widths: Vec<usize> = head.iter().map(|cell| cell.chars().count()).collect();
	for row in rows {
		for (width, cell) in widths.iter_mut().zip(row) {
			*width = (*width).max(cell.chars().count());
		}
	}
	let line = |cells: Vec<&str>| {
		let padded = cells
			.iter()
			.zip(&widths)
			.map(|(cell, width)| format!("{cell:width$}"));
		padded.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
	};
	let mut text = line(head.to_vec());
	for row in rows {
		text += &line(row.iter().map(String::as_str).collect());
	}
	text
}

/// Webhooks that have failed.
pub fn webhooks(webhooks: &[WebhookLine], now_ms: u64) -> String {
	if webhooks.is_empty() {
		return "No webhook has failed that is still to be called.\n".into();
	}
	let row = |webhook: &WebhookLine| {
		vec![
			webhook.task.to_string(),
			clean(&webhook.app),
			webhook.tries.to_string(),
			duration(now_ms.saturating_sub(webhook.created_ms)),
			duration(webhook.next_ms.saturating_sub(now_ms)),
			clean(&webhook.url),
			clean(webhook.failure.as_deref().unwrap_or_default()),
		]
	};
	let head = [
		"TASK",
		"APP",
		"TRIES",
		"SINCE",
		"NEXT IN",
		"URL",
		"LAST FAILURE",
	];
	table(&head, &webhooks.iter().map(row).collect::<Vec<_>>())
}

/// A length of time, roughly: `59 s`, `12 min`, `3 h 5 min`, `4 d 1 h`.
pub fn duration(ms: u64) -> String {
	let seconds = ms / 1_000;
	let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
	match (days, hours, minutes) {
		(0, 0, 0) => format!("{seconds} s"),
		(0, 0, _) => format!("{minutes} min"),
		(0, ..) => format!("{hours} h {} min", minutes % 60),
		_ => format!("{days} d {} h", hours % 24),
	}
}

/// Reads `90s`, `15m`, `2h`, `7d` or plain seconds, as seconds.
pub fn parse_duration(text: &str) -> Result<u64, String> {
	let unit = text.trim_start_matches(|character: char| character.is_ascii_digit());
	let factor = match unit {
		"" | "s" => 1,
		"m" | "min" => 60,
		"h" => 3_600,
		"d" => 86_400,
		_ => 0,
	};
	let number: Option<u64> = text[..text.len() - unit.len()].parse().ok();
	number
		.and_then(|number| number.checked_mul(factor))
		.filter(|seconds| *seconds > 0)
		.ok_or_else(|| "write for example 90s, 15m, 2h or 7d".into())
}

/// Text from outside, without what would move a terminal's cursor.
pub fn clean(text: &str) -> String {
	let shown = |character: char| {
		if character.is_control() {
			' '
		} else {
			character
		}
	};
	text.chars().map(shown).collect()
}

fn ago(now_ms: u64, then_ms: u64) -> String {
	format!("{} ago", duration(now_ms.saturating_sub(then_ms)))
}

/// `status`.
pub fn status(status: &Status) -> String {
	let state = match (&status.not_ready, status.draining) {
		(_, true) => format!("draining: {} with miners", status.in_flight),
		(Some(reason), _) => format!("not ready: {reason}"),
		(None, _) => "ready".into(),
	};
	let chain = match (status.finalized_block, status.finalized_age_ms) {
		(Some(block), Some(age_ms)) => format!("block {block}, {} ago", duration(age_ms)),
		_ => "not there yet".into(),
	};
	let oldest = match status.oldest_wait_ms {
		Some(ms) => format!(", the oldest for {}", duration(ms)),
		None => String::new(),
	};
	let operator = match &status.operator {
		Some(operator) => operator.to_string(),
		None => "unknown until the chain is there".into(),
	};
	let (miners, tasks) = (&status.miners, &status.tasks);
	let mut text = String::new();
	let mut line = |name: &str, value: String| {
		// Writing to a text cannot fail.
		let _ = writeln!(text, "{name:<11}  {value}");
	};
	line("state", state);
	line("operator", operator);
	line("worker", format!("0x{}", hex::encode(status.worker)));
	let running = duration(status.now_ms.saturating_sub(status.started_ms));
	line(
		"version",
		format!("{}, running for {running}", status.version),
	);
	line("chain", chain);
	line(
		"queue",
		format!(
			"{} waiting{oldest}; {} with miners",
			status.queued, status.in_flight
		),
	);
	line(
		"miners",
		format!(
			"{} online, {} eligible, {} suspended, {} on probation, {} banned; weight {}",
			miners.online,
			miners.eligible,
			miners.suspended,
			miners.probation,
			miners.banned,
			status.total_weight
		),
	);
	line(
		"since start",
		format!(
			"{} submitted, {} done, {} failed, {} cancelled, {} expired; {} draws",
			tasks.submitted, tasks.done, tasks.failed, tasks.cancelled, tasks.expired, status.draws
		),
	);
	text
}

/// `miners`.
pub fn miners(miners: &Miners, now_ms: u64) -> String {
	let rows: Vec<Vec<String>> = miners
		.miners
		.iter()
		.map(|miner| {
			vec![
				miner.miner.to_string(),
				clean(&miner.name),
				miner.stake.to_string(),
				format!(
					"{}.{:02} %",
					miner.share_ppm / 10_000,
					miner.share_ppm / 100 % 100
				),
				format!("{}/{}", miner.busy, miner.slots),
				miner.done.to_string(),
				miner.failed.to_string(),
				ago(now_ms, miner.last_poll_ms),
				miner
					.lacks
					.as_deref()
					.map_or_else(|| "eligible".into(), clean),
			]
		})
		.collect();
	let head = [
		"ACCOUNT", "NAME", "STAKE", "SHARE", "BUSY", "DONE", "FAILED", "POLLED", "STANDING",
	];
	let mut text = if rows.is_empty() {
		"No miner is connected.\n".into()
	} else {
		table(&head, &rows)
	};
	if !miners.bans.is_empty() {
		text += "\n";
		text += &bans(&miners.bans, now_ms);
	}
	text
}

/// Bans, in a table.
pub fn bans(bans: &[Ban], now_ms: u64) -> String {
	let rows: Vec<Vec<String>> = bans
		.iter()
		.map(|ban| {
			let until = match ban.until_ms {
				Some(until_ms) => format!("for {}", duration(until_ms.saturating_sub(now_ms))),
				None => "until lifted".into(),
			};
			vec![
				ban.account.to_string(),
				ago(now_ms, ban.since_ms),
				until,
				clean(&ban.reason),
			]
		})
		.collect();
	table(&["BANNED", "SINCE", "STILL", "REASON"], &rows)
}

/// `tasks`.
pub fn tasks(tasks: &[TaskStatus], now_ms: u64) -> String {
	if tasks.is_empty() {
		return "There are no such tasks.\n".into();
	}
	let rows: Vec<Vec<String>> = tasks
		.iter()
		.map(|task| {
			let miner = task.miner.as_ref().map(ToString::to_string);
			vec![
				task.id.to_string(),
				task.state.name().into(),
				format!("{}/{}", task.steps_done, task.spec.steps),
				task.attempt
					.map_or_else(|| "-".into(), |attempt| attempt.to_string()),
				miner.unwrap_or_else(|| "-".into()),
				ago(now_ms, task.created_ms),
				task.reason.as_deref().map(clean).unwrap_or_default(),
			]
		})
		.collect();
	table(
		&[
			"TASK", "STATE", "STEPS", "ATTEMPT", "MINER", "ACCEPTED", "REASON",
		],
		&rows,
	)
}

/// `task`.
pub fn task(details: &TaskDetails, now_ms: u64) -> String {
	let (task, spec) = (&details.task, &details.task.spec);
	let mut text = tasks(std::slice::from_ref(task), now_ms);
	let _ = writeln!(
		text,
		"\nmodel {:?}, {} x {} pixels, {} steps, prompt of {} bytes",
		spec.model,
		spec.width,
		spec.height,
		spec.steps,
		spec.prompt.len()
	);
	if details.attempts.is_empty() {
		text += "No miner was drawn yet.\n";
		return text;
	}
	let rows: Vec<Vec<String>> = details
		.attempts
		.iter()
		.map(|attempt| {
			let took = attempt.ended_ms.unwrap_or(now_ms);
			vec![
				attempt.attempt.to_string(),
				attempt.miner.to_string(),
				ago(now_ms, attempt.assigned_ms),
				duration(took.saturating_sub(attempt.assigned_ms)),
				attempt.ending.clone().unwrap_or_else(|| "at work".into()),
				attempt.reason.as_deref().map(clean).unwrap_or_default(),
			]
		})
		.collect();
	text += "\n";
	text += &table(
		&["ATTEMPT", "MINER", "DRAWN", "TOOK", "ENDING", "REASON"],
		&rows,
	);
	text
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn durations_are_read_and_written() {
		let good = [
			("90s", 90),
			("90", 90),
			("15m", 900),
			("15min", 900),
			("2h", 7_200),
			("7d", 604_800),
		];
		for (text, seconds) in good {
			assert_eq!(parse_duration(text), Ok(seconds), "{text}");
		}
		for text in [
			"",
			"s",
			"0",
			"-1s",
			"1w",
			"1.5h",
			"99999999999999999999s",
			"1h30m",
			"５s",
		] {
			assert!(parse_duration(text).is_err(), "{text}");
		}
		let shown = [0, 59_999, 720_000, 11_100_000, 349_200_000].map(duration);
		assert_eq!(shown, ["0 s", "59 s", "12 min", "3 h 5 min", "4 d 1 h"]);
	}

	#[test]
	fn columns_stand_below_each_other() {
		let rows = vec![
			vec!["1".into(), "é".into()],
			vec!["1000".into(), String::new()],
		];
		assert_eq!(table(&["N", "NAME"], &rows), "N     NAME\n1     é\n1000\n");
		assert_eq!(clean("a\x1b[2Jb\n"), "a [2Jb ");
	}
}
