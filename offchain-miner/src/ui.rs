//! What the user sees: progress bars and short lines on a terminal, structured logs elsewhere.

use clap::ValueEnum;
use cuckoo_coordinator_api::{limits, miner::Standing};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::{
	io::{self, IsTerminal, Write},
	time::{Duration, Instant},
};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{fmt::MakeWriter, EnvFilter};

const BAR: &str = "{prefix} {wide_bar} {pos}/{len} steps  {elapsed_precise}";

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
	/// One line for people.
	#[default]
	Text,
	/// One JSON object a line.
	Json,
}

/// The user's terminal, or the lack of one. Clones share it.
#[derive(Clone)]
pub struct Ui {
	bars: MultiProgress,
	on_terminal: bool,
}

impl Ui {
	/// Bars on a terminal, none elsewhere.
	pub fn new() -> Self {
		let on_terminal = io::stderr().is_terminal();
		let target = if on_terminal {
			ProgressDrawTarget::stderr()
		} else {
			ProgressDrawTarget::hidden()
		};
		Self {
			bars: MultiProgress::with_draw_target(target),
			on_terminal,
		}
	}

	/// Sends the process's log lines to standard error, between the bars: those that `RUST_LOG` says,
	/// or else from `level` on. A second call does nothing.
	pub fn log(&self, format: LogFormat, level: LevelFilter) {
		let filter = EnvFilter::try_from_default_env()
			.unwrap_or_else(|_| EnvFilter::default().add_directive(level.into()));
		let builder = tracing_subscriber::fmt()
			.with_env_filter(filter)
			.with_ansi(io::stderr().is_terminal())
			.with_writer(self.clone());
		let started = match format {
			LogFormat::Text => builder.with_target(false).try_init(),
			LogFormat::Json => builder.json().flatten_event(true).try_init(),
		};
		if let Err(error) = started {
			tracing::debug!(%error, "logging was started before");
		}
	}

	/// The steps of a task: a bar on a terminal, and elsewhere a line now and then.
	pub fn progress(&self, label: String, steps: u16) -> StepProgress {
		StepProgress {
			bar: self.steps(label.clone(), steps),
			lines: (!self.on_terminal).then(|| Lines::new(Instant::now())),
			label,
			steps,
		}
	}

	/// A bar that counts steps.
	pub fn steps(&self, label: String, steps: u16) -> ProgressBar {
		if !self.on_terminal {
			// Those that end are let go of when the others are drawn: never, here.
			return ProgressBar::hidden();
		}
		let bar = self.bars.add(ProgressBar::new(u64::from(steps)));
		// The template is a constant; without it the bar has the default look.
		if let Ok(style) = ProgressStyle::with_template(BAR) {
			bar.set_style(style);
		}
		bar.with_prefix(label)
			.with_finish(indicatif::ProgressFinish::AndClear)
	}
}

/// The steps of one task, shown.
pub struct StepProgress {
	bar: ProgressBar,
	/// Where there is no terminal.
	lines: Option<Lines>,
	label: String,
	steps: u16,
}

impl StepProgress {
	/// So many steps are done.
	pub fn at(&mut self, done: u16) {
		self.bar.set_position(u64::from(done));
		let due = self
			.lines
			.as_mut()
			.is_some_and(|lines| lines.due(done, self.steps, Instant::now()));
		if due {
			tracing::info!("{}: {done} of {} steps", self.label, self.steps);
		}
	}
}

/// When a line about progress is due: not for what is done soon, and not too often.
struct Lines {
	last: Instant,
}

impl Lines {
	const EVERY: Duration = Duration::from_secs(10);

	fn new(now: Instant) -> Self {
		Self { last: now }
	}

	fn due(&mut self, done: u16, steps: u16, now: Instant) -> bool {
		// The end has a line of its own.
		if done == 0 || done >= steps || now.duration_since(self.last) < Self::EVERY {
			return false;
		}
		self.last = now;
		true
	}
}

impl Default for Ui {
	fn default() -> Self {
		Self::new()
	}
}

/// Writes a log line while the bars are out of the way.
pub struct BetweenBars(MultiProgress);

impl Write for BetweenBars {
	fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
		self.0
			.suspend(|| io::stderr().write_all(bytes))
			.map(|()| bytes.len())
	}

	fn flush(&mut self) -> io::Result<()> {
		io::stderr().flush()
	}
}

impl<'a> MakeWriter<'a> for Ui {
	type Writer = BetweenBars;

	fn make_writer(&'a self) -> BetweenBars {
		BetweenBars(self.bars.clone())
	}
}

/// Foreign text as it may be shown: on one line, without control characters, cut to 1 KiB.
pub fn printable(text: &str) -> String {
	let mut shown = String::new();
	for character in text.chars() {
		let character = if character.is_control() {
			' '
		} else {
			character
		};
		if shown.len() + character.len_utf8() > limits::MAX_TEXT_BYTES {
			break;
		}
		shown.push(character);
	}
	shown
}

/// Where a miner stands, in a line: `rank 2 of 3, 31% of the weight; nothing queued`.
pub fn standing(standing: &Standing) -> String {
	let queued = match standing.queued {
		0 => "nothing queued".to_owned(),
		1 => "1 task queued".to_owned(),
		tasks => format!("{tasks} tasks queued"),
	};
	match (&standing.lacks, standing.rank) {
		(Some(lacks), _) => format!("not eligible: {}; {queued}", printable(lacks)),
		(None, None) => format!("not eligible; {queued}"),
		(None, Some(rank)) => {
			let share = share(standing.weight.0, standing.total_weight.0);
			format!(
				"rank {rank} of {}, {share} of the weight; {queued}",
				standing.eligible
			)
		},
	}
}

fn share(weight: u128, total: u128) -> String {
	if total == 0 || weight == 0 {
		return "0%".into();
	}
	let percent = weight as f64 / total as f64 * 100.0;
	if percent < 1.0 {
		"less than 1%".into()
	} else {
		format!("{percent:.0}%")
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use cuckoo_coordinator_api::Amount;
	use indicatif::TermLike;
	use std::sync::{
		atomic::{AtomicUsize, Ordering},
		Arc,
	};

	#[test]
	fn a_standing_reads_as_a_sentence() {
		let mut place = Standing {
			rank: Some(2),
			eligible: 3,
			weight: Amount(31),
			total_weight: Amount(100),
			queued: 0,
			lacks: None,
		};
		assert_eq!(
			standing(&place),
			"rank 2 of 3, 31% of the weight; nothing queued"
		);
		place.total_weight = Amount(100_000);
		place.queued = 1;
		assert_eq!(
			standing(&place),
			"rank 2 of 3, less than 1% of the weight; 1 task queued"
		);
		place.lacks = Some("its own\nstake is too low".into());
		assert_eq!(
			standing(&place),
			"not eligible: its own stake is too low; 1 task queued"
		);
		let nothing = Standing::default();
		assert_eq!(standing(&nothing), "not eligible; nothing queued");
	}

	#[test]
	fn without_a_terminal_a_line_comes_now_and_then() {
		let start = Instant::now();
		let at = |seconds| start + Duration::from_secs(seconds);
		let mut lines = Lines::new(start);
		assert!(!lines.due(0, 50, at(20)), "nothing is done");
		assert!(!lines.due(1, 50, at(9)));
		assert!(lines.due(2, 50, at(10)));
		assert!(!lines.due(3, 50, at(19)));
		assert!(lines.due(9, 50, at(20)));
		assert!(!lines.due(50, 50, at(60)), "the end has its own line");
	}

	/// Counts what is drawn.
	#[derive(Clone, Debug, Default)]
	struct Screen(Arc<AtomicUsize>);

	impl Screen {
		fn drawn(&self) -> io::Result<()> {
			self.0.fetch_add(1, Ordering::SeqCst);
			Ok(())
		}
	}

	impl TermLike for Screen {
		fn width(&self) -> u16 {
			80
		}
		fn move_cursor_up(&self, _: usize) -> io::Result<()> {
			Ok(())
		}
		fn move_cursor_down(&self, _: usize) -> io::Result<()> {
			Ok(())
		}
		fn move_cursor_right(&self, _: usize) -> io::Result<()> {
			Ok(())
		}
		fn move_cursor_left(&self, _: usize) -> io::Result<()> {
			Ok(())
		}
		fn write_line(&self, _: &str) -> io::Result<()> {
			self.drawn()
		}
		fn write_str(&self, _: &str) -> io::Result<()> {
			self.drawn()
		}
		fn clear_line(&self) -> io::Result<()> {
			Ok(())
		}
		fn flush(&self) -> io::Result<()> {
			Ok(())
		}
	}

	/// A bar that the others know of would be drawn with them, and stay with them.
	#[test]
	fn without_a_terminal_no_bar_is_kept() {
		for on_terminal in [true, false] {
			let screen = Screen::default();
			let target = ProgressDrawTarget::term_like(Box::new(screen.clone()));
			let ui = Ui {
				bars: MultiProgress::with_draw_target(target),
				on_terminal,
			};
			let mut progress = ui.progress("a task".into(), 8);
			progress.bar.tick();
			progress.at(4);
			assert_eq!(screen.0.load(Ordering::SeqCst) > 0, on_terminal);
		}
	}

	#[test]
	fn foreign_text_cannot_move_the_cursor_or_flood_the_screen() {
		assert_eq!(printable("a\u{1b}[2Jb\r\n"), "a [2Jb  ");
		assert_eq!(printable(&"é".repeat(5_000)).len(), limits::MAX_TEXT_BYTES);
	}
}
