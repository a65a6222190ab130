//! Euler's method: the sample is the picture plus noise of standard deviation sigma, and each step
//! follows the slope to the next sigma.

use super::{noise, FinalSigma, PredictionType, Schedule, SchedulerConfig, TimestepSpacing};

/// Stands for ᾱ 0, so that the first sigma of a zero-SNR schedule is finite (diffusers' choice:
/// fp16's smallest number).
const LEAST_ALPHA: f32 = 1.0 / 16_777_216.0;

pub(super) struct Euler {
	timesteps: Vec<f32>,
	/// Sigma before each step, and after the last.
	sigmas: Vec<f32>,
	initial_scale: f32,
	prediction: PredictionType,
}

impl Euler {
	pub(super) fn new(config: &SchedulerConfig, steps: u16) -> Result<Self, String> {
		let mut alphas = noise::alphas_cumprod(config)?;
		if config.zero_snr() {
			if let Some(last) = alphas.last_mut() {
				*last = LEAST_ALPHA;
			}
		}
		let all: Vec<f32> = alphas
			.iter()
			.map(|&alpha| ((1.0 - alpha) / alpha).sqrt())
			.collect();
		let spacing = config.timestep_spacing.unwrap_or(TimestepSpacing::Linspace);
		let timesteps = noise::timesteps(config, spacing, steps, false)?;
		let mut sigmas: Vec<f32> = timesteps
			.iter()
			.map(|&timestep| interpolate(&all, timestep))
			.collect();
		sigmas.push(match config.final_sigmas_type.unwrap_or(FinalSigma::Zero) {
			FinalSigma::Zero => 0.0,
			FinalSigma::SigmaMin => all[0],
		});
		let max = sigmas.iter().copied().fold(0.0, f32::max);
		let initial_scale = match spacing {
			TimestepSpacing::Linspace | TimestepSpacing::Trailing => max,
			TimestepSpacing::Leading => (max * max + 1.0).sqrt(),
		};
		Ok(Self {
			timesteps,
			sigmas,
			initial_scale,
			prediction: config.prediction(),
		})
	}
}

/// The value of `all` at a timestep, on the line between its neighbours; the timestep is less than
/// the length of `all`.
fn interpolate(all: &[f32], timestep: f32) -> f32 {
	let below = timestep.floor();
	let low = f64::from(all[below as usize]);
	let high = f64::from(all[(below as usize + 1).min(all.len() - 1)]);
	((high - low) * f64::from(timestep - below) + low) as f32
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

	fn step(&mut self, step: usize, prediction: &[f32], sample: &mut [f32]) {
		let (sigma, next) = (self.sigmas[step], self.sigmas[step + 1]);
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
			*sample += slope * (next - sigma);
		}
	}
}
