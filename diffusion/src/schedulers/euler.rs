//! Euler's method: the sample is the picture plus noise of standard deviation sigma, and each step
//! follows the slope to the next sigma.
//!
//! The ancestral kind steps further down and adds fresh noise up to the next sigma.

use super::{noise, sigmas, PredictionType, Schedule, SchedulerConfig, TimestepSpacing};
use crate::math;

pub(super) struct Euler {
	timesteps: Vec<f32>,
	/// Sigma before each step, and after the last.
	sigmas: Vec<f32>,
	initial_scale: f32,
	prediction: PredictionType,
	ancestral: bool,
}

impl Euler {
	pub(super) fn new(config: &SchedulerConfig, steps: u16) -> Result<Self, String> {
		let table = sigmas::table(config)?;
		let spacing = config.timestep_spacing.unwrap_or(TimestepSpacing::Linspace);
		let mut timesteps = noise::timesteps(config, spacing, steps, false)?;
		let mut levels: Vec<f64> = if config.log_linear() {
			log_line(&table, steps)
		} else {
			timesteps
				.iter()
				.map(|&timestep| sigmas::at(&table, timestep))
				.collect()
		};
		let last = levels.len() - 1;
		if let Some(respaced) = sigmas::respaced(config, levels[0], levels[last], steps) {
			timesteps = respaced
				.iter()
				.map(|&sigma| sigmas::timestep_of(sigma, &table) as f32)
				.collect();
			levels = respaced;
		}
		let mut sigmas: Vec<f32> = levels.iter().map(|&sigma| sigma as f32).collect();
		sigmas.push(sigmas::last(config, &table));
		Ok(Self::of(config, spacing, timesteps, sigmas, false))
	}

	/// The ancestral kind has neither other spacings of sigma nor another end.
	pub(super) fn ancestral(config: &SchedulerConfig, steps: u16) -> Result<Self, String> {
		if config.prediction() == PredictionType::Sample {
			return Err("Euler's ancestral steps are not defined for sample prediction".into());
		}
		let table = sigmas::table(config)?;
		let spacing = config.timestep_spacing.unwrap_or(TimestepSpacing::Linspace);
		let timesteps = noise::timesteps(config, spacing, steps, false)?;
		let mut sigmas: Vec<f32> = timesteps
			.iter()
			.map(|&timestep| sigmas::at(&table, timestep) as f32)
			.collect();
		sigmas.push(0.0);
		Ok(Self::of(config, spacing, timesteps, sigmas, true))
	}

	fn of(
		config: &SchedulerConfig,
		spacing: TimestepSpacing,
		timesteps: Vec<f32>,
		sigmas: Vec<f32>,
		ancestral: bool,
	) -> Self {
		let max = sigmas.iter().copied().fold(0.0, f32::max);
		let initial_scale = match spacing {
			TimestepSpacing::Linspace | TimestepSpacing::Trailing => max,
			TimestepSpacing::Leading => (max * max + 1.0).sqrt(),
		};
		Self {
			timesteps,
			sigmas,
			initial_scale,
			prediction: config.prediction(),
			ancestral,
		}
	}
}

/// From the largest sigma to the least by their logarithm, in one point more than there are steps:
/// diffusers' `log_linear`, whose last step ends at the least sigma.
fn log_line(table: &[f32], steps: u16) -> Vec<f64> {
	let end = |sigma: f32| math::ln(f64::from(sigma)) as f32;
	let (from, to) = (end(table[table.len() - 1]), end(table[0]));
	noise::linspace(from.into(), to.into(), usize::from(steps) + 1)
		.into_iter()
		.map(|log| f64::from(math::exp(f64::from(log)) as f32))
		.collect()
}

impl Schedule for Euler {
	fn timesteps(&self) -> &[f32] {
		&self.timesteps
	}

	fn initial_scale(&self) -> f32 {
		self.initial_scale
	}

	fn scale_input(&self, step: usize, sample: &mut [f32]) {
		let sigma = self.sigmas[step];
		let deviation = (sigma * sigma + 1.0).sqrt();
		for number in sample {
			*number /= deviation;
		}
	}

	fn mixture(&self, step: usize) -> (f32, f32) {
		(1.0, self.sigmas[step])
	}

	fn takes_noise(&self, _step: usize) -> bool {
		self.ancestral
	}

	fn step(&mut self, step: usize, prediction: &[f32], noise: &[f32], sample: &mut [f32]) {
		let (sigma, next) = (self.sigmas[step], self.sigmas[step + 1]);
		let (down, up) = if self.ancestral {
			let (from, to) = (sigma * sigma, next * next);
			let up = (to * (from - to) / from).sqrt();
			((to - up * up).sqrt(), up)
		} else {
			(next, 0.0)
		};
		let variance = sigma * sigma + 1.0;
		for (sample, &output) in sample.iter_mut().zip(prediction) {
			let picture = match self.prediction {
				PredictionType::Epsilon => *sample - sigma * output,
				PredictionType::Sample => output,
				PredictionType::VPrediction => {
					output * (-sigma / variance.sqrt()) + *sample / variance
				},
			};
			let slope = (*sample - picture) / sigma;
			*sample += slope * (down - sigma);
		}
		for (sample, noise) in sample.iter_mut().zip(noise) {
			*sample += noise * up;
		}
	}
}
