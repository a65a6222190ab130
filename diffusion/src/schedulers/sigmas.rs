//! The noise levels of the schedulers that count in sigma, the noise's standard deviation beside a
//! picture of size 1.

use super::{noise, FinalSigma, SchedulerConfig};
use crate::math;

/// Stands for ᾱ 0, so that the first sigma of a zero-SNR schedule is finite (diffusers' choice:
/// fp16's smallest number).
const LEAST_ALPHA: f32 = 1.0 / 16_777_216.0;

/// Sigma of every training step.
pub(super) fn table(config: &SchedulerConfig) -> Result<Vec<f32>, String> {
	let mut alphas = noise::alphas_cumprod(config)?;
	if config.zero_snr() {
		if let Some(last) = alphas.last_mut() {
			*last = LEAST_ALPHA;
		}
	}
	Ok(alphas
		.iter()
		.map(|&alpha| ((1.0 - alpha) / alpha).sqrt())
		.collect())
}

/// The sigma at a timestep, on the line between its neighbours; the timestep is less than the length
/// of `table`.
pub(super) fn at(table: &[f32], timestep: f32) -> f64 {
	let below = timestep.floor();
	let low = f64::from(table[below as usize]);
	let high = f64::from(table[(below as usize + 1).min(table.len() - 1)]);
	(high - low) * f64::from(timestep - below) + low
}

/// Where the last step goes.
pub(super) fn last(config: &SchedulerConfig, table: &[f32]) -> f32 {
	match config.final_sigmas_type.unwrap_or(FinalSigma::Zero) {
		FinalSigma::Zero => 0.0,
		FinalSigma::SigmaMin => table[0],
	}
}

/// The levels of a configuration that does not take those of the timesteps: from `max` to `min` (or
/// the configuration's own ends) by Karras et al. 2022 (arXiv:2206.00364, formula 5, rho 7) or by
/// their logarithm. `None` where it does.
pub(super) fn respaced(
	config: &SchedulerConfig,
	max: f64,
	min: f64,
	steps: u16,
) -> Option<Vec<f64>> {
	const RHO: f64 = 7.0;
	let max = config.sigma_max.unwrap_or(max);
	let min = config.sigma_min.unwrap_or(min);
	let line = |from: f64, to: f64| {
		let gaps = f64::from(steps.max(2) - 1);
		(0..steps).map(move |step| from + f64::from(step) / gaps * (to - from))
	};
	if config.use_karras_sigmas == Some(true) {
		let root = |sigma| math::pow(sigma, 1.0 / RHO);
		Some(
			line(root(max), root(min))
				.map(|root| math::pow(root, RHO))
				.collect(),
		)
	} else if config.use_exponential_sigmas == Some(true) {
		Some(line(math::ln(max), math::ln(min)).map(math::exp).collect())
	} else {
		None
	}
}

/// The timestep, with a fraction, whose sigma this is.
pub(super) fn timestep_of(sigma: f64, table: &[f32]) -> f64 {
	let log = |index: usize| f64::from(math::ln(f64::from(table[index])) as f32);
	let sought = math::ln(sigma.max(1e-10));
	// The last of the rising table that is no larger, but never the last of all.
	let below = table
		.partition_point(|&sigma| f64::from(math::ln(f64::from(sigma)) as f32) <= sought)
		.saturating_sub(1)
		.min(table.len() - 2);
	let (low, high) = (log(below), log(below + 1));
	let part = ((low - sought) / (low - high)).clamp(0.0, 1.0);
	(1.0 - part) * below as f64 + part * (below + 1) as f64
}

/// A sigma as the solvers see it: the picture's share and the noise's, whose squares add up to 1, and
/// the logarithm of their ratio.
#[derive(Clone, Copy)]
pub(super) struct Level {
	pub(super) signal: f32,
	pub(super) noise: f32,
	pub(super) lambda: f32,
}

impl Level {
	pub(super) fn new(sigma: f32) -> Self {
		let signal = 1.0 / (sigma * sigma + 1.0).sqrt();
		let noise = sigma * signal;
		Self {
			signal,
			noise,
			lambda: ln(signal) - ln(noise),
		}
	}
}

/// ln(x), −∞ for 0.
fn ln(x: f32) -> f32 {
	if x > 0.0 {
		math::ln(f64::from(x)) as f32
	} else {
		f32::NEG_INFINITY
	}
}
