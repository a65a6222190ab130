//! How benches say what they measured: one line `figure: NAME VALUE UNIT` for each result, on standard
//! output, and an error for what could not be measured.

#![deny(missing_docs)]

use std::{
	fmt,
	io::{self, Write},
};

/// What a figure counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unit {
	/// Nothing: one quantity by another of the same kind.
	Ratio,
	/// Hundredths.
	Percent,
	/// Microseconds.
	Micros,
	/// Milliseconds.
	Millis,
	/// Seconds.
	Seconds,
	/// Bytes.
	Bytes,
	/// 1,024 bytes.
	Kibibytes,
	/// Pieces.
	Count,
	/// Pieces a second.
	PerSecond,
}

impl fmt::Display for Unit {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		f.write_str(match self {
			Unit::Ratio => "ratio",
			Unit::Percent => "percent",
			Unit::Micros => "us",
			Unit::Millis => "ms",
			Unit::Seconds => "s",
			Unit::Bytes => "bytes",
			Unit::Kibibytes => "KiB",
			Unit::Count => "count",
			Unit::PerSecond => "1/s",
		})
	}
}

/// A result's line.
fn line(name: &str, value: f64, unit: Unit) -> String {
	format!("figure: {name} {value:.3} {unit}")
}

/// Prints a result. A value that is no number was not measured.
pub fn print(name: &str, value: f64, unit: Unit) -> anyhow::Result<()> {
	anyhow::ensure!(value.is_finite(), "{name} could not be measured: {value}");
	// At once: a run takes minutes, and what is known should outlive an error in the rest.
	let mut out = io::stdout().lock();
	writeln!(out, "{}", line(name, value, unit))?;
	out.flush()?;
	Ok(())
}

/// The value below which a part `part` of the values lies, 0.99 for the 99th percentile. `None` of
/// nothing.
pub fn percentile(values: &[f64], part: f64) -> Option<f64> {
	let mut sorted = values.to_vec();
	sorted.sort_by(f64::total_cmp);
	let last = sorted.len().checked_sub(1)?;
	// Of a part outside 0 and 1, the nearest end.
	let rank = (part * sorted.len() as f64).ceil() as usize;
	sorted.get(rank.saturating_sub(1).min(last)).copied()
}

/// The middle of the values; of an even number of them, the mean of the two in the middle. `None` of
/// nothing.
pub fn median(values: &[f64]) -> Option<f64> {
	let mut sorted = values.to_vec();
	sorted.sort_by(f64::total_cmp);
	let middle = sorted.len() / 2;
	let upper = *sorted.get(middle)?;
	if sorted.len() % 2 == 1 {
		return Some(upper);
	}
	// An even number that is not zero has two in the middle.
	sorted.get(middle - 1).map(|lower| lower.midpoint(upper))
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn a_line_has_name_value_and_unit() {
		assert_eq!(
			line("vote_ratio_1m", 1.25, Unit::Ratio),
			"figure: vote_ratio_1m 1.250 ratio"
		);
		assert_eq!(line("x", 12.0, Unit::PerSecond), "figure: x 12.000 1/s");
	}

	#[test]
	fn what_is_no_number_is_an_error() {
		assert!(print("x", f64::NAN, Unit::Ratio).is_err());
		assert!(print("x", f64::INFINITY, Unit::Ratio).is_err());
	}

	#[test]
	fn the_middle_is_found_in_any_order() {
		assert_eq!(median(&[]), None);
		assert_eq!(median(&[3.0]), Some(3.0));
		assert_eq!(median(&[9.0, 1.0, 2.0]), Some(2.0));
		assert_eq!(median(&[4.0, 100.0, 1.0, 2.0]), Some(3.0));
	}

	#[test]
	fn percentiles_are_values_that_occur() {
		let values: Vec<f64> = (1..=200).rev().map(f64::from).collect();
		assert_eq!(percentile(&values, 0.99), Some(198.0));
		assert_eq!(percentile(&values, 0.0), Some(1.0));
		assert_eq!(percentile(&values, 1.0), Some(200.0));
		assert_eq!(percentile(&[], 0.5), None);
	}
}
