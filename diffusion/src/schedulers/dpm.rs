//! DPM-Solver++, multistep (Lu et al. 2022, arXiv:2211.01095): known as DPM++ 2M, and with its noise
//! as DPM++ 2M SDE.

use super::{
	noise,
	sigmas::{self, Level},
	solver::{ends_clean, Solver},
	BetaSchedule, Schedule, SchedulerConfig,
};
use crate::math;

/// Schedules of fewer steps are more stable with a last step of lower order.
const FEW_STEPS: usize = 15;

pub(super) struct Dpm {
	solver: Solver,
	/// Whether each step adds noise.
	stochastic: bool,
	heun: bool,
	lower_order_final: bool,
	/// Whether the last step is of the first order whatever else is said.
	plain_end: bool,
}

impl Dpm {
	pub(super) fn new(config: &SchedulerConfig, steps: u16) -> Result<Self, String> {
		let stochastic = match config.algorithm_type.as_deref() {
			None | Some("dpmsolver++" | "deis") => false,
			Some("sde-dpmsolver++") => true,
			Some(other) => {
				return Err(format!(
					"algorithm_type is {other:.40}; this engine has dpmsolver++ and sde-dpmsolver++"
				))
			},
		};
		let karras = config.use_karras_sigmas == Some(true);
		let cosine = config.beta_schedule == Some(BetaSchedule::SquaredcosCapV2);
		let train = trained(config)?;
		let solver = Solver::new(config, steps, train, karras && !cosine, |table, _| {
			sigmas::last(config, table)
		})?;
		Ok(Self {
			solver,
			stochastic,
			heun: config.solver_type.as_deref() == Some("heun"),
			lower_order_final: config.lower_order_final.unwrap_or(true),
			plain_end: config.euler_at_final == Some(true) || ends_clean(config),
		})
	}

	fn order(&self, step: usize) -> usize {
		let steps = self.solver.timesteps.len();
		let lower = self.lower_order_final && steps < FEW_STEPS;
		let limit = match steps - step {
			1 if lower || self.plain_end => 1,
			2 if lower => 2,
			_ => self.solver.order,
		};
		limit.min(self.solver.pictures.len())
	}
}

impl Dpm {
	/// Formulas of the paper's appendix, for a step over this gap.
	fn weights(&self, order: usize, from: Level, to: Level, gap: f32) -> Weights {
		let midpoint = order == 2 && !self.heun;
		if self.stochastic {
			let fall = exp(-2.0 * gap);
			let whole = to.signal * (1.0 - fall);
			let double = 2.0 * gap;
			Weights {
				keep: to.noise / from.noise * exp(-gap),
				whole,
				slope: if midpoint {
					0.5 * whole
				} else {
					to.signal * ((1.0 - fall) / -double + 1.0)
				},
				curve: to.signal * ((1.0 - fall - double) / (double * double) - 0.5),
				fresh: to.noise * (1.0 - fall).sqrt(),
			}
		} else {
			let fall = exp(-gap) - 1.0;
			let whole = -(to.signal * fall);
			Weights {
				keep: to.noise / from.noise,
				whole,
				slope: if midpoint {
					0.5 * whole
				} else {
					to.signal * (fall / gap + 1.0)
				},
				curve: -(to.signal * ((fall + gap) / (gap * gap) - 0.5)),
				fresh: 0.0,
			}
		}
	}
}

/// How many of the training steps are not too noisy for the solver.
fn trained(config: &SchedulerConfig) -> Result<u32, String> {
	let Some(least) = config.lambda_min_clipped else {
		return Ok(config.train_steps());
	};
	let count = noise::alphas_cumprod(config)?
		.iter()
		.filter(|&&alpha| {
			let log = |x: f32| math::ln(f64::from(x.max(f32::MIN_POSITIVE))) as f32;
			log(alpha.sqrt()) - log((1.0 - alpha).sqrt()) >= least
		})
		.count();
	match count {
		0 => Err(format!(
			"lambda_min_clipped is {least}: no timestep is left"
		)),
		_ => Ok(count as u32),
	}
}

/// How much of the sample, of the newest picture, of its first and second slope over the steps before,
/// and of the noise goes on into the next sample.
struct Weights {
	keep: f32,
	whole: f32,
	slope: f32,
	curve: f32,
	fresh: f32,
}

fn exp(x: f32) -> f32 {
	math::exp(f64::from(x)) as f32
}

impl Schedule for Dpm {
	fn timesteps(&self) -> &[f32] {
		&self.solver.timesteps
	}

	fn mixture(&self, step: usize) -> (f32, f32) {
		let level = self.solver.levels[step];
		(level.signal, level.noise)
	}

	fn takes_noise(&self, _step: usize) -> bool {
		self.stochastic
	}

	fn memory(&self) -> usize {
		self.solver.order - 1
	}

	fn step(&mut self, step: usize, prediction: &[f32], noise: &[f32], sample: &mut [f32]) {
		let picture = self.solver.picture(step, prediction, sample);
		self.solver.remember(picture);
		let order = self.order(step);
		let solver = &self.solver;
		let (from, to) = (solver.levels[step], solver.levels[step + 1]);
		let gap = solver.gap(step, step + 1);

		let weights = self.weights(order, from, to, gap);
		let ratio = |age: usize| solver.gap(step - age - 1, step - age) / gap;
		for (place, sample) in sample.iter_mut().enumerate() {
			let m = |age: usize| solver.pictures[age][place];
			let mut next = weights.keep * *sample + weights.whole * m(0);
			if order == 2 {
				next += weights.slope * ((1.0 / ratio(0)) * (m(0) - m(1)));
			} else if order == 3 {
				let (r0, r1) = (ratio(0), ratio(1));
				let (near, far) = ((1.0 / r0) * (m(0) - m(1)), (1.0 / r1) * (m(1) - m(2)));
				next += weights.slope * (near + (r0 / (r0 + r1)) * (near - far));
				next += weights.curve * ((1.0 / (r0 + r1)) * (near - far));
			}
			if let Some(noise) = noise.get(place) {
				next += weights.fresh * noise;
			}
			*sample = next;
		}
	}
}
