//! How results are printed.

use std::{
	fmt,
	io::{self, Write},
};

/// What a figure counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unit {
	/// Nothing: one quantity by another of the same kind.
	Ratio,
	/// Microseconds.
	Micros,
	/// Milliseconds.
	Millis,
	/// Seconds.
	Seconds,
	/// Bytes.
	Bytes,
	/// Pieces.
	Count,
	/// Pieces a second.
	PerSecond,
}

impl fmt::Display for Unit {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		f.write_str(match self {
			Unit::Ratio => "ratio",
			Unit::Micros => "us",
			Unit::Millis => "ms",
			Unit::Seconds => "s",
			Unit::Bytes => "bytes",
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
}
