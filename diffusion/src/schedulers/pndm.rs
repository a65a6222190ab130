//! Pseudo numerical methods: DDIM's step on a mixture of the last predictions of the noise.
//!
//! Liu et al. 2022 (arXiv:2202.09778), formulas 9, 12 and 13. The first steps have no predictions
//! behind them. Stable Diffusion's folders make up for that by taking the first step twice
//! (`skip_prk_steps`); without it, the first three steps are Runge and Kutta's, of four predictions
//! each.

use super::{noise, PredictionType, Schedule, SchedulerConfig, TimestepSpacing};

/// Predictions of a whole mixture, and points of Runge and Kutta's warm-up.
const ORDER: usize = 4;

pub(super) struct Pndm {
	timesteps: Vec<f32>,
	/// How many of `timesteps` are of the warm-up.
	warm_up: usize,
	alphas: Vec<f32>,
	last_alpha: f32,
	stride: i64,
	prediction: PredictionType,
	/// Steps taken.
	counter: usize,
	/// The predictions of the steps before, the newest last.
	before: Vec<Vec<f32>>,
	/// The mixture that a warm-up step is adding up.
	mixture: Vec<f32>,
	/// The sample that a step of several predictions started from.
	start: Vec<f32>,
}

impl Pndm {
	pub(super) fn new(config: &SchedulerConfig, steps: u16) -> Result<Self, String> {
		if config.prediction() == PredictionType::Sample {
			return Err("PNDM's steps are not defined for sample prediction".into());
		}
		// It has no zero-SNR schedule: the option is not one of its own.
		let alphas = noise::unscaled_alphas_cumprod(config)?;
		let spacing = config.timestep_spacing.unwrap_or(TimestepSpacing::Leading);
		let falling = noise::timesteps(config, spacing, steps, true)?;
		let stride = i64::from(config.train_steps() / u32::from(steps));
		let (timesteps, warm_up) = if config.skip_prk_steps.unwrap_or(false) {
			let mut timesteps = falling;
			if let Some(&second) = timesteps.get(1) {
				timesteps.insert(1, second);
			}
			(timesteps, 0)
		} else {
			with_warm_up(&falling, stride, alphas.len())?
		};
		Ok(Self {
			timesteps,
			warm_up,
			last_alpha: if config.set_alpha_to_one.unwrap_or(false) {
				1.0
			} else {
				alphas[0]
			},
			alphas,
			stride,
			prediction: config.prediction(),
			counter: 0,
			before: Vec::new(),
			mixture: Vec::new(),
			start: Vec::new(),
		})
	}

	/// ᾱ at a timestep; before the first it is that of the end.
	fn alpha(&self, timestep: i64) -> f32 {
		usize::try_from(timestep).map_or(self.last_alpha, |timestep| self.alphas[timestep])
	}

	/// Formula 9: `sample` from one timestep to the other.
	fn walk(&self, from: i64, to: i64, prediction: &[f32], sample: &mut [f32]) {
		let (alpha, next) = (self.alpha(from), self.alpha(to));
		let (beta, beta_next) = (1.0 - alpha, 1.0 - next);
		let keep = (next / alpha).sqrt();
		let divisor = alpha * beta_next.sqrt() + (alpha * beta * next).sqrt();
		for (sample, &output) in sample.iter_mut().zip(prediction) {
			let epsilon = match self.prediction {
				PredictionType::VPrediction => alpha.sqrt() * output + beta.sqrt() * *sample,
				_ => output,
			};
			*sample = keep * *sample - (next - alpha) * epsilon / divisor;
		}
	}

	/// One of the four predictions of a Runge-Kutta step.
	fn warm_up_step(&mut self, timestep: i64, prediction: &[f32], sample: &mut [f32]) {
		const EDGE: f32 = 1.0 / 6.0;
		const MIDDLE: f32 = 1.0 / 3.0;
		let half = if self.counter.is_multiple_of(2) {
			self.stride / 2
		} else {
			0
		};
		let part = self.counter % ORDER;
		let begin = self.timesteps[self.counter - part] as i64;
		let used: Vec<f32> = match part {
			0 => {
				self.mixture = prediction.iter().map(|number| EDGE * number).collect();
				self.before.push(prediction.to_vec());
				self.start = sample.to_vec();
				prediction.to_vec()
			},
			1 | 2 => {
				for (sum, number) in self.mixture.iter_mut().zip(prediction) {
					*sum += MIDDLE * number;
				}
				prediction.to_vec()
			},
			_ => self
				.mixture
				.iter()
				.zip(prediction)
				.map(|(sum, number)| sum + EDGE * number)
				.collect(),
		};
		sample.copy_from_slice(&self.start);
		self.walk(begin, timestep - half, &used, sample);
	}

	/// A step by the last four predictions, or by as many as there are.
	fn multistep(&mut self, timestep: i64, prediction: &[f32], sample: &mut [f32]) {
		let (mut from, mut to) = (timestep, timestep - self.stride);
		if self.counter == 1 {
			// The first step once more, from its beginning, with the mean of both predictions.
			(from, to) = (timestep + self.stride, timestep);
		} else {
			if self.before.len() >= ORDER {
				self.before.remove(0);
			}
			self.before.push(prediction.to_vec());
		}
		let back = |age: usize| &self.before[self.before.len() - age];
		let mixed: Vec<f32> = (0..prediction.len())
			.map(|place| {
				let e = |age: usize| back(age)[place];
				match self.before.len() {
					1 if self.counter == 0 => prediction[place],
					1 if self.counter == 1 => (prediction[place] + e(1)) / 2.0,
					2 => (3.0 * e(1) - e(2)) / 2.0,
					3 => (23.0 * e(1) - 16.0 * e(2) + 5.0 * e(3)) / 12.0,
					_ => (1.0 / 24.0) * (55.0 * e(1) - 59.0 * e(2) + 37.0 * e(3) - 9.0 * e(4)),
				}
			})
			.collect();
		match self.counter {
			0 => self.start = sample.to_vec(),
			1 => sample.copy_from_slice(&self.start),
			_ => {},
		}
		self.walk(from, to, &mixed, sample);
	}
}

/// The timesteps of three Runge-Kutta steps, then those of the rest; and how many the former are.
fn with_warm_up(falling: &[f32], stride: i64, train: usize) -> Result<(Vec<f32>, usize), String> {
	if falling.len() < ORDER {
		return Err(format!(
			"PNDM takes at least {ORDER} steps unless the scheduler says skip_prk_steps"
		));
	}
	let half = (stride / 2) as f32;
	// Of each point itself and the one half a stride before it, the outermost two once, all others
	// twice.
	let mut points: Vec<f32> = falling[..ORDER]
		.iter()
		.flat_map(|timestep| [timestep + half, *timestep])
		.collect();
	points.remove(0);
	let mut timesteps: Vec<f32> = points.iter().flat_map(|&point| [point, point]).collect();
	timesteps.remove(0);
	timesteps.pop();
	let warm_up = timesteps.len();
	timesteps.extend(&falling[ORDER - 1..]);
	if timesteps.iter().any(|&timestep| timestep >= train as f32) {
		return Err("its warm-up begins after the last of the model's timesteps".into());
	}
	Ok((timesteps, warm_up))
}

impl Schedule for Pndm {
	fn timesteps(&self) -> &[f32] {
		&self.timesteps
	}

	fn mixture(&self, step: usize) -> (f32, f32) {
		let alpha = self.alphas[self.timesteps[step] as usize];
		(alpha.sqrt(), (1.0 - alpha).sqrt())
	}

	fn memory(&self) -> usize {
		usize::MAX
	}

	fn origin(&self, step: usize) -> usize {
		match step {
			_ if step < self.warm_up => step - step % ORDER,
			1 if self.warm_up == 0 => 0,
			_ => step,
		}
	}

	fn step(&mut self, step: usize, prediction: &[f32], _noise: &[f32], sample: &mut [f32]) {
		let timestep = self.timesteps[step] as i64;
		if self.counter < self.warm_up {
			self.warm_up_step(timestep, prediction, sample);
		} else {
			self.multistep(timestep, prediction, sample);
		}
		self.counter += 1;
	}
}
