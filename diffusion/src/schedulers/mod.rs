//! The arithmetic of the steps: from noise to latents, given what the UNet predicts.
//!
//! Each scheduler is a plain computation on slices, configured by the model's
//! `scheduler_config.json` with the defaults of the class in diffusers 0.36, whose numbers it
//! reproduces (`reference/schedulers.json` holds them). As there, the schedule is made in `f32` of
//! `f64` intermediate results, and a step is `f32`.

mod config;
mod ddim;
mod dpm;
mod euler;
mod lcm;
mod noise;
mod pndm;
mod sigmas;
mod solver;
mod unipc;

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
	/// Pseudo numerical methods (Liu et al. 2022, arXiv:2202.09778): Stable Diffusion 1's own. It runs
	/// the UNet once more than there are steps.
	Pndm,
	/// Euler's method with fresh noise in every step (arXiv:2206.00364, in k-diffusion's form).
	EulerAncestral,
	/// DPM-Solver++ of the second order, multistep (Lu et al. 2022, arXiv:2211.01095).
	DpmPlusPlus2m,
	/// The unified predictor-corrector (Zhao et al. 2023, arXiv:2302.04867).
	UniPc,
	/// Latent consistency models (Luo et al. 2023, arXiv:2310.04378), for models distilled so.
	Lcm,
}

impl Scheduler {
	/// All of them.
	pub const ALL: [Self; 7] = [
		Self::Ddim,
		Self::Euler,
		Self::Pndm,
		Self::EulerAncestral,
		Self::DpmPlusPlus2m,
		Self::UniPc,
		Self::Lcm,
	];

	/// Its name, in commands and pictures.
	pub fn name(self) -> &'static str {
		match self {
			Self::Ddim => "ddim",
			Self::Euler => "euler",
			Self::Pndm => "pndm",
			Self::EulerAncestral => "euler_ancestral",
			Self::DpmPlusPlus2m => "dpm_plus_plus_2m",
			Self::UniPc => "uni_pc",
			Self::Lcm => "lcm",
		}
	}

	/// The schedule of so many steps under a model's configuration, or why there is none.
	pub fn plan(self, config: &SchedulerConfig, steps: u16) -> Result<Box<dyn Schedule>, String> {
		Ok(match self {
			Self::Ddim => Box::new(ddim::Ddim::new(config, steps)?),
			Self::Euler => Box::new(euler::Euler::new(config, steps)?),
			Self::Pndm => Box::new(pndm::Pndm::new(config, steps)?),
			Self::EulerAncestral => Box::new(euler::Euler::ancestral(config, steps)?),
			Self::DpmPlusPlus2m => Box::new(dpm::Dpm::new(config, steps)?),
			Self::UniPc => Box::new(unipc::UniPc::new(config, steps)?),
			Self::Lcm => Box::new(lcm::Lcm::new(config, steps)?),
		})
	}
}

/// The schedule of so many steps of a latent consistency model over this part of its training's schedule, the
/// part that is nearest to a picture.
pub(crate) fn lcm_part(
	config: &SchedulerConfig,
	steps: u16,
	part: f64,
) -> Result<Box<dyn Schedule>, String> {
	Ok(Box::new(lcm::Lcm::part(config, steps, part)?))
}

impl fmt::Display for Scheduler {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		f.write_str(self.name())
	}
}

/// A text names no scheduler.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
	"no such scheduler: write ddim, euler, pndm, euler_ancestral, dpm_plus_plus_2m, uni_pc or lcm"
)]
pub struct InvalidScheduler;

impl FromStr for Scheduler {
	type Err = InvalidScheduler;

	fn from_str(text: &str) -> Result<Self, InvalidScheduler> {
		Self::ALL
			.into_iter()
			.find(|scheduler| scheduler.name() == text)
			.ok_or(InvalidScheduler)
	}
}

/// The steps of one picture.
///
/// The caller scales unit noise by [`initial_scale`](Self::initial_scale); then for each step in
/// order it runs the UNet on the [scaled](Self::scale_input) sample with the step's timestep and
/// hands the prediction to [`step`](Self::step). A picture that starts from another one begins at a
/// later step, with a [`mixture`](Self::mixture) of that picture and noise.
pub trait Schedule: Send {
	/// The UNet's timestep for each step. Fractions are possible; a UNet that takes integers gets
	/// them cut. There may be more than the steps that were asked for: PNDM runs the UNet more often.
	fn timesteps(&self) -> &[f32];

	/// The standard deviation of the sample before the first step.
	fn initial_scale(&self) -> f32 {
		1.0
	}

	/// How much of a picture and how much of unit noise make a sample before this step.
	fn mixture(&self, step: usize) -> (f32, f32);

	/// Brings a sample to the variance that the UNet was trained on.
	fn scale_input(&self, _step: usize, _sample: &mut [f32]) {}

	/// Whether this step adds fresh noise.
	fn takes_noise(&self, _step: usize) -> bool {
		false
	}

	/// How many of the steps before have a part in a step's result, besides the sample that it starts
	/// from; `usize::MAX` for all.
	fn memory(&self) -> usize {
		0
	}

	/// The run whose sample this run goes on from: the run itself, unless it repeats one.
	fn origin(&self, step: usize) -> usize {
		step
	}

	/// Takes one step: `sample` becomes what the next step starts from. `noise` is unit noise where
	/// the step [takes](Self::takes_noise) it, else empty.
	fn step(&mut self, step: usize, prediction: &[f32], noise: &[f32], sample: &mut [f32]);
}
