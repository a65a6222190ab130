//! UniPC (Zhao et al. 2023, arXiv:2302.04867): a multistep solver whose every step first corrects the
//! one before, now that the picture at its end is known.

use super::{
	sigmas,
	solver::{ends_clean, Solver},
	Schedule, SchedulerConfig,
};
use crate::math;

pub(super) struct UniPc {
	solver: Solver,
	/// The paper's B(h): e^h − 1, or h.
	exponential: bool,
	lower_order_final: bool,
	/// Steps whose result is not corrected.
	uncorrected: Vec<u32>,
	/// The corrected sample that the last step started from, and the order that it had.
	last: Option<(Vec<f32>, usize)>,
}

impl UniPc {
	pub(super) fn new(config: &SchedulerConfig, steps: u16) -> Result<Self, String> {
		if config.predict_x0 == Some(false) {
			return Err("asks for predict_x0 false, which this engine does not do".into());
		}
		let lower_order_final = config.lower_order_final.unwrap_or(true);
		if !lower_order_final && ends_clean(config) {
			return Err(
				"lower_order_final false needs final_sigmas_type sigma_min: at no noise, \
			            the higher orders divide by 0"
					.into(),
			);
		}
		let karras = config.use_karras_sigmas == Some(true);
		let end = |table: &[f32], respaced: Option<f64>| match respaced {
			Some(sigma) if !ends_clean(config) => sigma as f32,
			_ => sigmas::last(config, table),
		};
		Ok(Self {
			solver: Solver::new(config, steps, config.train_steps(), karras, end)?,
			exponential: config.solver_type.as_deref() != Some("bh1"),
			lower_order_final,
			uncorrected: config.disable_corrector.clone().unwrap_or_default(),
			last: None,
		})
	}

	/// The functions of the gap that both halves of a step are made of.
	fn functions(&self, gap: f32) -> Functions {
		let negative = -gap;
		let phi = (math::exp(f64::from(negative)) - 1.0) as f32;
		Functions {
			gap: negative,
			phi,
			b: if self.exponential { phi } else { negative },
		}
	}

	/// Steps of the last one's order from the sample that it started from, with the slopes to the
	/// pictures before it; `now`, where it is known, is the picture at the end.
	fn walk(&self, step: usize, order: usize, start: &[f32], now: Option<&[f32]>) -> Vec<f32> {
		let solver = &self.solver;
		let (from, to) = (solver.levels[step], solver.levels[step + 1]);
		let gap = solver.gap(step, step + 1);
		let functions = self.functions(gap);
		let mut distances: Vec<f32> = (1..order)
			.map(|age| solver.gap(step, step - age) / gap)
			.collect();
		let weights = match (now, order) {
			(None, 1) => Vec::new(),
			// The paper's simplifications of the first unknown.
			(None, 2) | (Some(_), 1) => vec![0.5],
			(None, _) => functions.weights(&distances),
			(Some(_), _) => {
				distances.push(1.0);
				functions.weights(&distances)
			},
		};
		let keep = to.noise / from.noise;
		(0..start.len())
			.map(|place| {
				let newest = solver.pictures[0][place];
				let base = keep * start[place] - to.signal * functions.phi * newest;
				let mut slopes = 0.0;
				for age in 1..order {
					let slope = (solver.pictures[age][place] - newest) / distances[age - 1];
					slopes += weights[age - 1] * slope;
				}
				if let (Some(now), Some(weight)) = (now, weights.last()) {
					slopes += weight * (now[place] - newest);
				} else if order == 1 {
					// B(h) may be infinite where the step ends without noise.
					return base;
				}
				base - to.signal * functions.b * slopes
			})
			.collect()
	}
}

struct Functions {
	gap: f32,
	phi: f32,
	b: f32,
}

impl Functions {
	/// The weights of slopes over these distances, so that the step is exact for polynomials of their
	/// number: the solution of Vandermonde's equations, formula 7 of the paper.
	fn weights(&self, distances: &[f32]) -> Vec<f32> {
		let count = distances.len();
		let mut phi = self.phi / self.gap - 1.0;
		let mut factorial = 1.0;
		let mut rows: Vec<Vec<f64>> = Vec::with_capacity(count);
		for power in 0..count {
			let mut row: Vec<f64> = distances
				.iter()
				.map(|&distance| (0..power).fold(1.0, |x, _| x * f64::from(distance)))
				.collect();
			row.push(f64::from(phi * factorial / self.b));
			rows.push(row);
			factorial *= (power + 2) as f32;
			phi = phi / self.gap - 1.0 / factorial;
		}
		solve(rows)
			.into_iter()
			.map(|weight| weight as f32)
			.collect()
	}
}

/// Solves linear equations, each row's last number its right side, by elimination with pivots.
fn solve(mut rows: Vec<Vec<f64>>) -> Vec<f64> {
	let count = rows.len();
	for column in 0..count {
		let pivot = (column..count)
			.max_by(|&a, &b| rows[a][column].abs().total_cmp(&rows[b][column].abs()))
			.unwrap_or(column);
		rows.swap(column, pivot);
		let (top, rest) = rows.split_at_mut(column + 1);
		let top = &top[column];
		for row in rest {
			let factor = row[column] / top[column];
			for (number, above) in row.iter_mut().zip(top) {
				*number -= factor * above;
			}
		}
	}
	let mut solution = vec![0.0; count];
	for index in (0..count).rev() {
		let known: f64 = (index + 1..count)
			.map(|other| rows[index][other] * solution[other])
			.sum();
		solution[index] = (rows[index][count] - known) / rows[index][index];
	}
	solution
}

impl Schedule for UniPc {
	fn timesteps(&self) -> &[f32] {
		&self.solver.timesteps
	}

	fn mixture(&self, step: usize) -> (f32, f32) {
		let level = self.solver.levels[step];
		(level.signal, level.noise)
	}

	/// A correction hangs on the one before, and so on to the start.
	fn memory(&self) -> usize {
		usize::MAX
	}

	fn step(&mut self, step: usize, prediction: &[f32], _noise: &[f32], sample: &mut [f32]) {
		let picture = self.solver.picture(step, prediction, sample);
		if let Some((start, order)) = self.last.take() {
			if step > 0 && !self.uncorrected.contains(&(step as u32 - 1)) {
				let corrected = self.walk(step - 1, order, &start, Some(&picture));
				sample.copy_from_slice(&corrected);
			}
		}
		self.solver.remember(picture);
		let left = self.solver.timesteps.len() - step;
		let limit = if self.lower_order_final {
			self.solver.order.min(left)
		} else {
			self.solver.order
		};
		let order = limit.min(self.solver.pictures.len());
		let next = self.walk(step, order, sample, None);
		self.last = Some((sample.to_vec(), order));
		sample.copy_from_slice(&next);
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn equations_are_solved() {
		let solution = solve(vec![
			vec![0.0, 2.0, 1.0, 7.0],
			vec![1.0, 1.0, 1.0, 6.0],
			vec![2.0, 0.0, -1.0, -1.0],
		]);
		for (ours, expected) in solution.iter().zip([1.0, 2.0, 3.0]) {
			assert!((ours - expected).abs() < 1e-12, "{solution:?}");
		}
	}
}
