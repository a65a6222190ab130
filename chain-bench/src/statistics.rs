//! The little statistics that timings need.

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
	fn the_middle_is_found_in_any_order() {
		assert_eq!(median(&[]), None);
		assert_eq!(median(&[3.0]), Some(3.0));
		assert_eq!(median(&[9.0, 1.0, 2.0]), Some(2.0));
		assert_eq!(median(&[4.0, 100.0, 1.0, 2.0]), Some(3.0));
	}
}
