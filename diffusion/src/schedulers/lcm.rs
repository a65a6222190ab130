//! Latent consistency models: each step predicts the picture at once, and all but the last add fresh
//! noise to go on from (Luo et al. 2023, arXiv:2310.04378).

use super::{noise, PredictionType, Schedule, SchedulerConfig};

pub(super) struct Lcm {
	timesteps: Vec<f32>,
	/// ᾱ of each step.
	alphas: Vec<f32>,
	/// What stays of the sample, and how much of the prediction counts, in each step.
	boundaries: Vec<(f32, f32)>,
	prediction: PredictionType,
	clip: Option<f32>,
}

impl Lcm {
	pub(super) fn new(config: &SchedulerConfig, steps: u16) -> Result<Self, String> {
		const WHOLE: f64 = 1.0;
		Self::part(config, steps, WHOLE)
	}

	/// Over a part of the schedule that it was distilled on, from the picture on.
	pub(super) fn part(config: &SchedulerConfig, steps: u16, part: f64) -> Result<Self, String> {
		const DEFAULT_ORIGINAL_STEPS: u32 = 50;
		const DEFAULT_SCALING: f64 = 10.0;
		const DEFAULT_CLIP_RANGE: f32 = 1.0;
		/// The standard deviation of the data, of Karras et al. 2022 (arXiv:2206.00364).
		const DATA: f64 = 0.5;
		let all = noise::alphas_cumprod(&config.with_lcm_betas())?;
		let train = config.train_steps();
		let original = config
			.original_inference_steps
			.unwrap_or(DEFAULT_ORIGINAL_STEPS);
		if original == 0 || original > train {
			return Err(format!(
				"original_inference_steps is {original}; it must be from 1 to {train}"
			));
		}
		// Cut, as in Python.
		let used = (f64::from(original) * part) as u32;
		if steps == 0 || u32::from(steps) > used {
			return Err(format!(
				"{steps} steps: this scheduler takes from 1 to its original_inference_steps, {original}, \
				 times the strength: {used}"
			));
		}
		let stride = train / original;
		let timesteps: Vec<f32> = (0..u32::from(steps))
			.map(|step| {
				// Exactly ⌊step·used/steps⌋, as NumPy's linspace gives it.
				let gap = f64::from(used) / f64::from(steps);
				let index = (f64::from(step) * gap).floor() as u32;
				((used - index) * stride - 1) as f32
			})
			.collect();
		let scaling = config.timestep_scaling.unwrap_or(DEFAULT_SCALING);
		let boundaries = timesteps
			.iter()
			.map(|&timestep| {
				let time = f64::from(timestep) * scaling;
				let sum = time * time + DATA * DATA;
				((DATA * DATA / sum) as f32, (time / sum.sqrt()) as f32)
			})
			.collect();
		let clip = config.clip_sample.unwrap_or(false);
		Ok(Self {
			alphas: timesteps
				.iter()
				.map(|&timestep| all[timestep as usize])
				.collect(),
			timesteps,
			boundaries,
			prediction: config.prediction(),
			clip: clip.then(|| config.clip_sample_range.unwrap_or(DEFAULT_CLIP_RANGE)),
		})
	}
}

impl Schedule for Lcm {
	fn timesteps(&self) -> &[f32] {
		&self.timesteps
	}

	fn mixture(&self, step: usize) -> (f32, f32) {
		let alpha = self.alphas[step];
		(alpha.sqrt(), (1.0 - alpha).sqrt())
	}

	fn takes_noise(&self, step: usize) -> bool {
		step + 1 < self.timesteps.len()
	}

	fn step(&mut self, step: usize, prediction: &[f32], noise: &[f32], sample: &mut [f32]) {
		let (keep, take) = self.boundaries[step];
		let (signal, deviation) = self.mixture(step);
		for (sample, &output) in sample.iter_mut().zip(prediction) {
			let mut picture = match self.prediction {
				PredictionType::Epsilon => (*sample - deviation * output) / signal,
				PredictionType::Sample => output,
				PredictionType::VPrediction => signal * *sample - deviation * output,
			};
			if let Some(range) = self.clip {
				picture = picture.clamp(-range, range);
			}
			*sample = take * picture + keep * *sample;
		}
		if self.takes_noise(step) {
			let (signal, deviation) = self.mixture(step + 1);
			for (sample, noise) in sample.iter_mut().zip(noise) {
				*sample = signal * *sample + deviation * noise;
			}
		}
	}
}
