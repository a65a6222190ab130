//! DDIM with eta 0: each step predicts the picture and walks straight towards it.

use super::{noise, PredictionType, Schedule, SchedulerConfig, TimestepSpacing};

pub(super) struct Ddim {
	timesteps: Vec<f32>,
	/// ᾱ before and after each step.
	alphas: Vec<(f32, f32)>,
	prediction: PredictionType,
	clip: Option<f32>,
}

impl Ddim {
	pub(super) fn new(config: &SchedulerConfig, steps: u16) -> Result<Self, String> {
		const DEFAULT_CLIP_RANGE: f32 = 1.0;
		let all = noise::alphas_cumprod(config)?;
		let spacing = config.timestep_spacing.unwrap_or(TimestepSpacing::Leading);
		let timesteps = noise::timesteps(config, spacing, steps, true)?;
		let stride = (config.train_steps() / u32::from(steps)) as usize;
		let last = if config.set_alpha_to_one.unwrap_or(true) {
			1.0
		} else {
			all[0]
		};
		let alphas = timesteps
			.iter()
			.map(|&timestep| {
				// `timesteps` are whole and less than the length of `all`.
				let timestep = timestep as usize;
				(
					all[timestep],
					timestep.checked_sub(stride).map_or(last, |next| all[next]),
				)
			})
			.collect();
		let clip = config.clip_sample.unwrap_or(true);
		Ok(Self {
			timesteps,
			alphas,
			prediction: config.prediction(),
			clip: clip.then(|| config.clip_sample_range.unwrap_or(DEFAULT_CLIP_RANGE)),
		})
	}
}

impl Schedule for Ddim {
	fn timesteps(&self) -> &[f32] {
		&self.timesteps
	}

	fn mixture(&self, step: usize) -> (f32, f32) {
		let (alpha, _) = self.alphas[step];
		(alpha.sqrt(), (1.0 - alpha).sqrt())
	}

	/// Formula 12 of the paper, without its random part.
	fn step(&mut self, step: usize, prediction: &[f32], _noise: &[f32], sample: &mut [f32]) {
		let (alpha, alpha_next) = self.alphas[step];
		let (signal, noise) = (alpha.sqrt(), (1.0 - alpha).sqrt());
		let (signal_next, noise_next) = (alpha_next.sqrt(), (1.0 - alpha_next).sqrt());
		for (sample, &output) in sample.iter_mut().zip(prediction) {
			let (mut picture, epsilon) = match self.prediction {
				PredictionType::Epsilon => ((*sample - noise * output) / signal, output),
				PredictionType::Sample => (output, (*sample - signal * output) / noise),
				PredictionType::VPrediction => (
					signal * *sample - noise * output,
					signal * output + noise * *sample,
				),
			};
			if let Some(range) = self.clip {
				// NaN stays NaN, to be seen and reported.
				picture = picture.clamp(-range, range);
			}
			*sample = signal_next * picture + noise_next * epsilon;
		}
	}
}
