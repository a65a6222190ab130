//! Runs pieces of work in turns on the large state and on the nearly empty one.
//!
//! Each round times a piece four ways on each state:
//!
//! - *cold*: with an empty trie cache, so that every node is fetched from the database, whose files
//!   are in the operating system's memory;
//! - *warm*: at once again, with all it needs in the trie cache;
//! - *bare*, cold and warm: nothing but reads and writes of the entries that the piece wrote, and the
//!   root. That is the trie's part: a larger trie is deeper, whatever the runtime does.
//!
//! A ratio compares the time on the large state with the time on the nearly empty one and what the
//! trie's depth adds to it, which is the difference of the bare times. Were any part of the pallet's
//! work to grow with the state, it would show: an entry more that is read, a list that is longer. The
//! ratios of the whole times, with the depth in them, are given, too.

use crate::{
	database::{Database, Sample},
	genesis::Size,
	pieces::{self, Piece},
};
use anyhow::Context;
use cuckoo_figures::{median, print, Unit};
use frame_support::weights::constants::WEIGHT_REF_TIME_PER_MICROS;
use std::time::Duration;

/// A state with its size.
pub struct State {
	/// The database that holds it.
	pub database: Database,
	/// How much there is of it.
	pub size: Size,
}

/// What one round measured on one state.
struct Round {
	cold: Sample,
	warm: Sample,
	bare_cold: Sample,
	bare_warm: Sample,
}

/// The medians of all rounds on one state, in microseconds for one call.
#[derive(Clone, Copy, Debug, Default)]
struct Medians {
	cold: f64,
	warm: f64,
	bare_cold: f64,
	bare_warm: f64,
}

fn time_round(state: &State, piece: Piece, round: u32) -> anyhow::Result<Round> {
	let database = &state.database;
	let steps = piece.steps(state.size, round);
	let time = || database.time(pieces::begin_block, || pieces::run(steps.clone()));
	// Brings what is needed of the files into memory: nothing here is about the disk.
	time()?;
	database.forget_cache();
	let cold = time()?;
	let warm = time()?;
	database.forget_cache();
	let bare_cold = database.time_bare(&cold.writes)?;
	let bare_warm = database.time_bare(&cold.writes)?;
	Ok(Round {
		cold,
		warm,
		bare_cold,
		bare_warm,
	})
}

fn medians(rounds: &[Round], calls: usize) -> Option<Medians> {
	let of = |part: fn(&Round) -> &Sample| {
		let micros = |round: &Round| part(round).total().as_secs_f64() * 1e6 / calls as f64;
		median(&rounds.iter().map(micros).collect::<Vec<_>>())
	};
	Some(Medians {
		cold: of(|round| &round.cold)?,
		warm: of(|round| &round.warm)?,
		bare_cold: of(|round| &round.bare_cold)?,
		bare_warm: of(|round| &round.bare_warm)?,
	})
}

/// The large state's time by the nearly empty one's and what the trie's depth adds: cold or warm,
/// whichever is worse.
fn ratio(empty: &Medians, large: &Medians) -> f64 {
	let cold = large.cold / (empty.cold + large.bare_cold - empty.bare_cold);
	let warm = large.warm / (empty.warm + large.bare_warm - empty.bare_warm);
	cold.max(warm)
}

/// Times a piece in so many rounds and prints its figures.
pub fn compare(piece: Piece, empty: &State, large: &State, rounds: u32) -> anyhow::Result<()> {
	let name = piece.name();
	let mut on_empty = Vec::new();
	let mut on_large = Vec::new();
	for round in 0..rounds {
		// In turns, so that what else the machine does meets both.
		on_empty.push(time_round(empty, piece, round)?);
		on_large.push(time_round(large, piece, round)?);
	}
	let calls = piece.steps(large.size, 0).len();
	let empty_medians = medians(&on_empty, calls).context("no rounds")?;
	let large_medians = medians(&on_large, calls).context("no rounds")?;
	for (state, medians) in [("empty", empty_medians), ("1m", large_medians)] {
		let figures = [
			("cold", medians.cold),
			("warm", medians.warm),
			("bare_cold", medians.bare_cold),
			("bare_warm", medians.bare_warm),
		];
		for (cache, micros) in figures {
			print(&format!("{name}_{cache}_{state}"), micros, Unit::Micros)?;
		}
	}
	if let Some(weight) = piece.weight(large.size) {
		let micros = weight.ref_time() as f64 / WEIGHT_REF_TIME_PER_MICROS as f64;
		print(&format!("{name}_weight"), micros, Unit::Micros)?;
	}
	let whole_cold = large_medians.cold / empty_medians.cold;
	let whole_warm = large_medians.warm / empty_medians.warm;
	print(
		&format!("{name}_whole_ratio_cold_1m"),
		whole_cold,
		Unit::Ratio,
	)?;
	print(
		&format!("{name}_whole_ratio_warm_1m"),
		whole_warm,
		Unit::Ratio,
	)?;
	let ratio = ratio(&empty_medians, &large_medians);
	print(&format!("{name}_ratio_1m"), ratio, Unit::Ratio)?;
	if piece == Piece::Rotation {
		print(
			"session_rotation_ms",
			large_medians.cold / 1e3,
			Unit::Millis,
		)?;
	}
	Ok(())
}

/// Rewards every miner of a state once and prints how long that takes in the end.
pub fn reward_era(state: &State, rounds: u32) -> anyhow::Result<()> {
	let mut millis = Vec::new();
	for _ in 0..rounds {
		state.database.forget_cache();
		let steps = pieces::era_rewards(state.size);
		let sample = state
			.database
			.time(pieces::begin_block, || pieces::run(steps))?;
		millis.push(in_millis(sample.total()));
	}
	let millis = median(&millis).context("no rounds")?;
	print("reward_era_ms", millis, Unit::Millis)
}

fn in_millis(time: Duration) -> f64 {
	time.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
	use super::*;

	const EMPTY: Medians = Medians {
		cold: 100.0,
		warm: 50.0,
		bare_cold: 60.0,
		bare_warm: 20.0,
	};

	#[test]
	fn a_deeper_trie_is_no_growth() {
		let deeper = Medians {
			cold: 140.0,
			warm: 60.0,
			bare_cold: 100.0,
			bare_warm: 30.0,
		};
		assert_eq!(ratio(&EMPTY, &deeper), 1.0);
	}

	#[test]
	fn more_work_is() {
		let slower = Medians {
			cold: 280.0,
			warm: 180.0,
			bare_cold: 100.0,
			bare_warm: 30.0,
		};
		assert_eq!(ratio(&EMPTY, &slower), 3.0);
	}
}
