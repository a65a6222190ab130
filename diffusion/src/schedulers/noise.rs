//! The training's noise schedule, and the timesteps that a picture's steps take of it.

use super::{BetaSchedule, SchedulerConfig, TimestepSpacing};
use crate::math;

/// ᾱ of every training step: how much of the picture is left there (its variance's share).
pub fn alphas_cumprod(config: &SchedulerConfig) -> Result<Vec<f32>, String> {
	let mut betas = betas(config)?;
	if config.zero_snr() {
		rescale_to_zero_snr(&mut betas);
	}
	Ok(cumulate(&betas))
}

/// The same where the scheduler knows no zero terminal SNR.
pub(super) fn unscaled_alphas_cumprod(config: &SchedulerConfig) -> Result<Vec<f32>, String> {
	betas(config).map(|betas| cumulate(&betas))
}

fn betas(config: &SchedulerConfig) -> Result<Vec<f32>, String> {
	const DEFAULT_START: f64 = 0.0001;
	const DEFAULT_END: f64 = 0.02;
	let count = config.train_steps() as usize;
	if let Some(betas) = &config.trained_betas {
		if betas.len() != count {
			return Err(format!(
				"has {} trained_betas for {count} timesteps",
				betas.len()
			));
		}
		return Ok(betas.clone());
	}
	let start = config.beta_start.unwrap_or(DEFAULT_START);
	let end = config.beta_end.unwrap_or(DEFAULT_END);
	Ok(match config.beta_schedule.unwrap_or(BetaSchedule::Linear) {
		BetaSchedule::Linear => linspace(start, end, count),
		BetaSchedule::ScaledLinear => linspace(start.sqrt(), end.sqrt(), count)
			.iter()
			.map(|root| root * root)
			.collect(),
		BetaSchedule::SquaredcosCapV2 => squared_cosine(count),
	})
}

/// `torch.linspace` in `f32`: from both ends to the middle.
pub(super) fn linspace(start: f64, end: f64, count: usize) -> Vec<f32> {
	let (start, end) = (start as f32, end as f32);
	let step = (end - start) / (count - 1) as f32;
	(0..count)
		.map(|index| {
			if index < count / 2 {
				start + step * index as f32
			} else {
				end - step * (count - 1 - index) as f32
			}
		})
		.collect()
}

/// diffusers' `betas_for_alpha_bar`: ᾱ falls as cos², each beta at most 0.999.
fn squared_cosine(count: usize) -> Vec<f32> {
	const SHIFT: f64 = 0.008;
	const MAX_BETA: f64 = 0.999;
	const QUARTER_TURN: f64 = 0.25;
	let alpha_bar = |index: usize| {
		let time = index as f64 / count as f64;
		let (_, cos) = math::sin_cos_turns((time + SHIFT) / (1.0 + SHIFT) * QUARTER_TURN);
		cos * cos
	};
	(0..count)
		.map(|index| (1.0 - alpha_bar(index + 1) / alpha_bar(index)).min(MAX_BETA) as f32)
		.collect()
}

/// The running product of 1 − beta, kept in `f64` and rounded at every step.
fn cumulate(betas: &[f32]) -> Vec<f32> {
	let mut product = 1.0;
	betas
		.iter()
		.map(|beta| {
			product *= f64::from(1.0 - beta);
			product as f32
		})
		.collect()
}

/// Algorithm 1 of Lin et al. 2023 (arXiv:2305.08891): the last step becomes pure noise.
fn rescale_to_zero_snr(betas: &mut [f32]) {
	let mut roots: Vec<f32> = cumulate(betas).into_iter().map(f32::sqrt).collect();
	let (Some(&first), Some(&last)) = (roots.first(), roots.last()) else {
		return;
	};
	let scale = first / (first - last);
	for root in &mut roots {
		*root = (*root - last) * scale;
	}
	let mut previous = 1.0;
	for (beta, root) in betas.iter_mut().zip(&roots) {
		let alpha_bar = root * root;
		*beta = 1.0 - alpha_bar / previous;
		previous = alpha_bar;
	}
}

/// The training steps that so many steps take, as diffusers computes them, the noisiest first.
pub(super) fn timesteps(
	config: &SchedulerConfig,
	spacing: TimestepSpacing,
	steps: u16,
	whole: bool,
) -> Result<Vec<f32>, String> {
	let train = config.train_steps();
	let count = u32::from(steps);
	if count == 0 || count > train {
		return Err(format!("{steps} steps: the model takes from 1 to {train}"));
	}
	let rising = |step: u32| count - 1 - step;
	let timesteps: Vec<f32> = match spacing {
		TimestepSpacing::Leading => {
			let ratio = train / count;
			let offset = config.steps_offset.unwrap_or(0);
			(0..count)
				.map(|step| (rising(step) * ratio).saturating_add(offset) as f32)
				.collect()
		},
		TimestepSpacing::Trailing => {
			// NumPy's arange adds multiples of the second number less the first, which by rounding is not
			// the ratio. Where it comes to one number more than there are steps, it is left out here: it
			// is the timestep -1, which there is none of.
			let train = f64::from(train);
			let down = (train - train / f64::from(count)) - train;
			(0..count)
				.map(|step| {
					let timestep = train + f64::from(step) * down;
					(timestep.round_ties_even() - 1.0) as f32
				})
				.collect()
		},
		TimestepSpacing::Linspace => {
			let gap = f64::from(train - 1) / f64::from(count.max(2) - 1);
			(0..count)
				.map(|step| {
					let timestep = f64::from(rising(step)) * gap;
					(if whole {
						timestep.round_ties_even()
					} else {
						timestep
					}) as f32
				})
				.collect()
		},
	};
	within(timesteps, train)
}

/// The timesteps of the multistep solvers, which end one interval before the first training step:
/// their last step goes from there to no noise. `used` are the training steps that are used.
pub(super) fn solver_timesteps(
	config: &SchedulerConfig,
	spacing: TimestepSpacing,
	steps: u16,
	used: u32,
) -> Result<Vec<f32>, String> {
	let train = config.train_steps();
	let count = u32::from(steps);
	if count == 0 || count >= used {
		return Err(format!(
			"{steps} steps: this scheduler takes from 1 to {}",
			used - 1
		));
	}
	let falling = (0..count).map(|step| count - step);
	let timesteps = match spacing {
		TimestepSpacing::Trailing if used == train => {
			return timesteps(config, spacing, steps, true);
		},
		TimestepSpacing::Trailing => {
			return Err(
				"asks for lambda_min_clipped with trailing spacing, which this engine does \
			            not do"
					.into(),
			);
		},
		TimestepSpacing::Leading => {
			let ratio = used / (count + 1);
			let offset = config.steps_offset.unwrap_or(0);
			falling
				.map(|place| (place * ratio).saturating_add(offset) as f32)
				.collect()
		},
		TimestepSpacing::Linspace => {
			let gap = f64::from(used - 1) / f64::from(count);
			falling
				.map(|place| (f64::from(place) * gap).round_ties_even() as f32)
				.collect()
		},
	};
	within(timesteps, train)
}

/// The timesteps, if the first is one of the training's.
fn within(timesteps: Vec<f32>, train: u32) -> Result<Vec<f32>, String> {
	match timesteps.first() {
		Some(&first) if first < train as f32 => Ok(timesteps),
		_ => Err(format!(
			"{} steps: they would begin after the last of the {train} timesteps",
			timesteps.len()
		)),
	}
}
