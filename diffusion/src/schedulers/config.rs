//! `scheduler_config.json`.

use super::Scheduler;
use serde::Deserialize;

/// How the noise grows over the training steps.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BetaSchedule {
	/// Evenly.
	Linear,
	/// Its square root evenly: Stable Diffusion's.
	ScaledLinear,
	/// By a squared cosine (Nichol and Dhariwal 2021, arXiv:2102.09672).
	SquaredcosCapV2,
}

/// Which of the training steps a picture's steps are (table 2 of Lin et al. 2023, arXiv:2305.08891).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TimestepSpacing {
	/// The first of every interval.
	Leading,
	/// The last of every interval.
	Trailing,
	/// Evenly from first to last, both included.
	Linspace,
}

/// What the UNet predicts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PredictionType {
	/// The noise.
	Epsilon,
	/// √ᾱ·noise − √(1−ᾱ)·picture (Salimans and Ho 2022, arXiv:2202.00512).
	VPrediction,
	/// The picture.
	Sample,
}

/// Where Euler's last step goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FinalSigma {
	/// To no noise at all.
	Zero,
	/// To the least noise of the training.
	SigmaMin,
}

/// A model's `scheduler_config.json`. A key that is missing, or `null`, has the default of the
/// class that runs, as in diffusers' `from_config`: a few differ between the classes.
#[derive(Clone, PartialEq, Debug, Default, Deserialize)]
#[serde(default)]
pub struct SchedulerConfig {
	/// diffusers' name of the scheduler that the folder was saved with.
	#[serde(rename = "_class_name")]
	pub class_name: Option<String>,
	/// Steps of the training.
	pub num_train_timesteps: Option<u32>,
	/// The first beta.
	pub beta_start: Option<f64>,
	/// The last beta.
	pub beta_end: Option<f64>,
	/// How the betas lie between.
	pub beta_schedule: Option<BetaSchedule>,
	/// The betas themselves, instead of the three above.
	pub trained_betas: Option<Vec<f32>>,
	/// What the UNet predicts.
	pub prediction_type: Option<PredictionType>,
	/// Which training steps are taken.
	pub timestep_spacing: Option<TimestepSpacing>,
	/// Added to every timestep under leading spacing.
	pub steps_offset: Option<u32>,
	/// Whether the betas are changed so that the last training step is pure noise.
	pub rescale_betas_zero_snr: Option<bool>,
	/// DDIM, PNDM: whether the last step goes to no noise at all, instead of to the first training
	/// step's.
	pub set_alpha_to_one: Option<bool>,
	/// DDIM, LCM: whether the predicted picture is clipped.
	pub clip_sample: Option<bool>,
	/// DDIM, LCM: to which magnitude.
	pub clip_sample_range: Option<f32>,
	/// Euler and the solvers: where the last step goes.
	pub final_sigmas_type: Option<FinalSigma>,
	/// Euler and the solvers: whether the noise levels are those of Karras et al.
	pub use_karras_sigmas: Option<bool>,
	/// Euler and the solvers: whether the noise levels lie evenly by their logarithm.
	pub use_exponential_sigmas: Option<bool>,
	/// The least noise level of these two, instead of the schedule's.
	pub sigma_min: Option<f64>,
	/// The largest noise level of these two, instead of the schedule's.
	pub sigma_max: Option<f64>,
	/// Euler: `linear`, or `log_linear` for noise levels by their logarithm under unchanged timesteps.
	pub interpolation_type: Option<String>,
	/// PNDM: whether to begin without Runge-Kutta steps.
	pub skip_prk_steps: Option<bool>,
	/// DPM++, UniPC: how many pictures a step is made of, its own included.
	pub solver_order: Option<u32>,
	/// DPM++: `midpoint` or `heun`. UniPC: `bh1` or `bh2`. What is of the other is the default.
	pub solver_type: Option<String>,
	/// DPM++: `dpmsolver++`, or `sde-dpmsolver++` with noise in every step.
	pub algorithm_type: Option<String>,
	/// DPM++, UniPC: whether the last steps are of lower order.
	pub lower_order_final: Option<bool>,
	/// DPM++: whether the last step is of the first order.
	pub euler_at_final: Option<bool>,
	/// DPM++: training steps whose logarithm of signal by noise is lower are not used.
	pub lambda_min_clipped: Option<f32>,
	/// UniPC: the steps after which nothing is corrected.
	pub disable_corrector: Option<Vec<u32>>,
	/// UniPC: only `true` is done here.
	pub predict_x0: Option<bool>,
	/// LCM: steps of the schedule that the model was distilled on.
	pub original_inference_steps: Option<u32>,
	/// LCM: by how much a timestep is multiplied in the boundary condition.
	pub timestep_scaling: Option<f64>,
	/// Not done here: for pictures, not latents.
	pub thresholding: Option<bool>,
	/// Not done here.
	pub use_beta_sigmas: Option<bool>,
	/// Not done here.
	pub use_lu_lambdas: Option<bool>,
	/// Not done here: for models of another kind.
	pub use_flow_sigmas: Option<bool>,
	/// Only `discrete` is done here.
	pub timestep_type: Option<String>,
}

/// The most training steps that are believed; every model in use has 1000.
const MAX_TRAIN_STEPS: u32 = 100_000;

impl SchedulerConfig {
	/// The scheduler that the folder was saved with, if it is one of these.
	pub fn own_class(&self) -> Option<Scheduler> {
		match self.class_name.as_deref()? {
			"DDIMScheduler" => Some(Scheduler::Ddim),
			"EulerDiscreteScheduler" => Some(Scheduler::Euler),
			"PNDMScheduler" => Some(Scheduler::Pndm),
			"EulerAncestralDiscreteScheduler" => Some(Scheduler::EulerAncestral),
			"DPMSolverMultistepScheduler" => Some(Scheduler::DpmPlusPlus2m),
			"UniPCMultistepScheduler" => Some(Scheduler::UniPc),
			"LCMScheduler" => Some(Scheduler::Lcm),
			_ => None,
		}
	}

	/// Refuses numbers that make no schedule, and options that this engine would have to ignore.
	pub fn check(&self) -> Result<(), String> {
		let steps = self.train_steps();
		if !(2..=MAX_TRAIN_STEPS).contains(&steps) {
			return Err(format!(
				"num_train_timesteps is {steps}; it must be from 2 to {MAX_TRAIN_STEPS}"
			));
		}
		let options = [
			("thresholding", self.thresholding == Some(true)),
			("use_beta_sigmas", self.use_beta_sigmas == Some(true)),
			("use_lu_lambdas", self.use_lu_lambdas == Some(true)),
			("use_flow_sigmas", self.use_flow_sigmas == Some(true)),
			(
				"interpolation_type",
				self.interpolation_type
					.as_ref()
					.is_some_and(|t| t != "linear" && t != "log_linear"),
			),
			(
				"use_karras_sigmas together with use_exponential_sigmas",
				self.use_karras_sigmas == Some(true) && self.use_exponential_sigmas == Some(true),
			),
			(
				"timestep_type",
				self.timestep_type.as_ref().is_some_and(|t| t != "discrete"),
			),
		];
		if let Some((name, _)) = options.iter().find(|(_, set)| *set) {
			return Err(format!("asks for {name}, which this engine does not do"));
		}
		let (least, most) = (self.sigma_min, self.sigma_max);
		for (name, sigma) in [("sigma_min", least), ("sigma_max", most)] {
			if sigma.is_some_and(|sigma| !(1e-6..=1e6).contains(&sigma)) {
				return Err(format!("{name} must be from 0.000001 to 1000000"));
			}
		}
		if self
			.timestep_scaling
			.is_some_and(|scaling| !(1e-6..=1e6).contains(&scaling))
		{
			return Err("timestep_scaling must be from 0.000001 to 1000000".into());
		}
		if self
			.clip_sample_range
			.is_some_and(|range| !(0.0..=f32::MAX).contains(&range))
		{
			return Err("clip_sample_range must be from 0 on".into());
		}
		if self.zero_snr() && self.prediction() == PredictionType::Epsilon {
			return Err(
				"asks for rescale_betas_zero_snr with epsilon prediction: pure noise says \
			            nothing of the picture, so the first step would divide by 0"
					.into(),
			);
		}
		let alphas = super::alphas_cumprod(self)?;
		let falling = alphas.windows(2).all(|pair| pair[0] > pair[1]);
		// Exactly 0 only at the end, and only for zero terminal SNR.
		let inside = alphas.iter().all(|alpha| (0.0..1.0).contains(alpha));
		let last = alphas.last().is_some_and(|alpha| *alpha > 0.0) || self.zero_snr();
		if falling && inside && last {
			Ok(())
		} else {
			Err("its betas make no schedule: the noise must grow at every step".into())
		}
	}

	/// What diffusers' pipelines of Stable Diffusion 1 and 2 make of a configuration: files of the first of
	/// them lack both, or have them wrong.
	pub(crate) fn for_stable_diffusion(self) -> Self {
		Self {
			steps_offset: Some(1),
			clip_sample: Some(false),
			..self
		}
	}

	/// Without the Runge-Kutta steps that PNDM may begin with.
	pub(crate) fn without_warm_up(self) -> Self {
		Self {
			skip_prk_steps: Some(true),
			..self
		}
	}

	/// LCM's defaults of the betas are not those of all others.
	pub(super) fn with_lcm_betas(&self) -> Self {
		const START: f64 = 0.00085;
		const END: f64 = 0.012;
		Self {
			beta_start: self.beta_start.or(Some(START)),
			beta_end: self.beta_end.or(Some(END)),
			beta_schedule: self.beta_schedule.or(Some(BetaSchedule::ScaledLinear)),
			..self.clone()
		}
	}

	pub(super) fn log_linear(&self) -> bool {
		self.interpolation_type.as_deref() == Some("log_linear")
	}

	pub(super) fn train_steps(&self) -> u32 {
		const DEFAULT: u32 = 1000;
		self.num_train_timesteps.unwrap_or(DEFAULT)
	}

	pub(super) fn prediction(&self) -> PredictionType {
		self.prediction_type.unwrap_or(PredictionType::Epsilon)
	}

	pub(super) fn zero_snr(&self) -> bool {
		self.rescale_betas_zero_snr.unwrap_or(false)
	}
}
