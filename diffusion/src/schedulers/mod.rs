//! The arithmetic of the steps: from noise to latents, given what the UNet predicts.
//!
//! Each scheduler is a plain computation on slices, configured by the model's
//! `scheduler_config.json` with the defaults of the class in diffusers 0.36, whose numbers it
//! reproduces (`reference/schedulers.json` holds them). As there, the schedule is made in `f32` of
//! `f64` intermediate results, and a step is `f32`.

mod config;
mod ddim;
mod euler;
mod noise;

pub use config::{BetaSchedule, FinalSigma, PredictionType, SchedulerConfig, TimestepSpacing};
pub use noise::alphas_cumprod;

use std::{fmt, str::FromStr};

/// How the noise is taken away step by step.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Scheduler {
	/// Denoising diffusion implicit models, eta 0 (Song et al. 2020, arXiv:2010.02502).
	Ddim,
	/// Euler's method on the probability flow ODE (Karras et al. 2022, arXiv:2206.00364).
	Euler,
}

impl Scheduler {
	/// All of them.
	pub const ALL: [Self; 2] = [Self::Ddim, Self::Euler];

	/// The schedule of so many steps under a model's configuration, or why there is none.
	pub fn plan(self, config: &SchedulerConfig, steps: u16) -> Result<Box<dyn Schedule>, String> {
		Ok(match self {
			Self::Ddim => Box::new(ddim::Ddim::new(config, steps)?),
			Self::Euler => Box::new(euler::Euler::new(config, steps)?),
		})
	}
}

impl fmt::Display for Scheduler {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		f.write_str(match self {
			Self::Ddim => "ddim",
			Self::Euler => "euler",
		})
	}
}

/// A text names no scheduler.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("no such scheduler: write ddim or euler")]
pub struct InvalidScheduler;

impl FromStr for Scheduler {
	type Err = InvalidScheduler;

	fn from_str(text: &str) -> Result<Self, InvalidScheduler> {
		Self::ALL
			.into_iter()
			.find(|scheduler| scheduler.to_string() == text)
			.ok_or(InvalidScheduler)
	}
}

/// The steps of one picture.
///
/// The caller scales unit noise by [`initial_scale`](Self::initial_scale); then for each step in
/// order it runs the UNet on the [scaled](Self::scale_input) sample with the step's timestep and
/// hands the prediction to [`step`](Self::step).
pub trait Schedule: Send {
	/// The UNet's timestep for each step. Fractions are possible; a UNet that takes integers gets
	/// them cut.
	fn timesteps(&self) -> &[f32];

	/// The standard deviation of the sample before the first step.
	fn initial_scale(&self) -> f32 {
		1.0
	}

	/// Brings a sample to the variance that the UNet was trained on.
	fn scale_input(&self, _step: usize, _sample: &mut [f32]) {}

	/// Takes one step: `sample` becomes what the next step starts from.
	fn step(&mut self, step: usize, prediction: &[f32], sample: &mut [f32]);
}
