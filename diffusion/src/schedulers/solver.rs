//! What the multistep solvers of the diffusion ODE share: their timesteps and noise levels, the
//! predicted picture, and the pictures of the steps before.

use super::{
	noise,
	sigmas::{self, Level},
	FinalSigma, PredictionType, SchedulerConfig, TimestepSpacing,
};
use std::collections::VecDeque;

/// The most steps that a solver looks back on, its own included.
pub(super) const MAX_ORDER: u32 = 3;

pub(super) struct Solver {
	pub(super) timesteps: Vec<f32>,
	/// The level before each step, and after the last.
	pub(super) levels: Vec<Level>,
	pub(super) order: usize,
	prediction: PredictionType,
	/// Predicted pictures, the newest first; never more than `order`.
	pub(super) pictures: VecDeque<Vec<f32>>,
}

impl Solver {
	/// `train` are the training steps that are used, from the first; `whole` says whether timesteps
	/// between the training's are rounded to them, instead of cut.
	pub(super) fn new(
		config: &SchedulerConfig,
		steps: u16,
		train: u32,
		whole: bool,
		end: impl Fn(&[f32], Option<f64>) -> f32,
	) -> Result<Self, String> {
		const DEFAULT_ORDER: u32 = 2;
		let order = config.solver_order.unwrap_or(DEFAULT_ORDER);
		if !(1..=MAX_ORDER).contains(&order) {
			return Err(format!(
				"solver_order is {order}; it must be from 1 to {MAX_ORDER}"
			));
		}
		let table = sigmas::table(config)?;
		let spacing = config.timestep_spacing.unwrap_or(TimestepSpacing::Linspace);
		let mut timesteps = noise::solver_timesteps(config, spacing, steps, train)?;
		let (max, min) = (f64::from(table[table.len() - 1]), f64::from(table[0]));
		let respaced = sigmas::respaced(config, max, min, steps);
		let last = end(
			&table,
			respaced.as_ref().and_then(|levels| levels.last().copied()),
		);
		let levels = match respaced {
			Some(levels) => {
				timesteps = levels
					.iter()
					.map(|&sigma| {
						let timestep = sigmas::timestep_of(sigma, &table);
						if whole {
							timestep.round_ties_even() as f32
						} else {
							timestep.trunc() as f32
						}
					})
					.collect();
				levels
			},
			None => timesteps
				.iter()
				.map(|&timestep| sigmas::at(&table, timestep))
				.collect(),
		};
		let levels = levels
			.iter()
			.map(|&sigma| sigma as f32)
			.chain([last])
			.map(Level::new)
			.collect();
		Ok(Self {
			timesteps,
			levels,
			order: order as usize,
			prediction: config.prediction(),
			pictures: VecDeque::new(),
		})
	}

	/// How far two levels are apart.
	pub(super) fn gap(&self, from: usize, to: usize) -> f32 {
		self.levels[to].lambda - self.levels[from].lambda
	}

	/// The picture that the UNet's output stands for.
	pub(super) fn picture(&self, step: usize, prediction: &[f32], sample: &[f32]) -> Vec<f32> {
		let Level { signal, noise, .. } = self.levels[step];
		sample
			.iter()
			.zip(prediction)
			.map(|(&sample, &output)| match self.prediction {
				PredictionType::Epsilon => (sample - noise * output) / signal,
				PredictionType::Sample => output,
				PredictionType::VPrediction => signal * sample - noise * output,
			})
			.collect()
	}

	/// Keeps the newest picture, and forgets the one that no step needs any more.
	pub(super) fn remember(&mut self, picture: Vec<f32>) {
		self.pictures.truncate(self.order - 1);
		self.pictures.push_front(picture);
	}
}

/// Whether the last step goes to no noise at all.
pub(super) fn ends_clean(config: &SchedulerConfig) -> bool {
	config.final_sigmas_type.unwrap_or(FinalSigma::Zero) == FinalSigma::Zero
}
