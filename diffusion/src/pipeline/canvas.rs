//! A picture while it is being made.

use super::{half_bytes, prompt::Embedding};
use crate::{rng, schedulers::Schedule};

/// The latents of one picture, and all that the steps need to know of it.
pub(super) struct Canvas {
	/// Its place among the pictures that were asked for together.
	pub(super) index: usize,
	pub(super) seed: u64,
	pub(super) latents: Vec<f32>,
	/// What its steps remember is its own.
	pub(super) schedule: Box<dyn Schedule>,
	/// The negative prompt's first, where it counts.
	pub(super) prompts: Vec<Embedding>,
	pub(super) kept: Option<Kept>,
	/// The trajectory so far.
	pub(super) leaves: Vec<Vec<u8>>,
}

/// What stays of a given picture.
pub(super) struct Kept {
	/// For each number of the latents whether it is painted anew.
	pub(super) mask: Vec<bool>,
	pub(super) picture: Vec<f32>,
	pub(super) noise: Vec<f32>,
}

impl Canvas {
	/// Takes a step, by what the UNet predicts before it.
	pub(super) fn step(&mut self, step: usize, prediction: &[f32]) {
		let noise = if self.schedule.takes_noise(step) {
			// A schedule has fewer runs than a u16 counts.
			rng::normal(
				self.seed,
				rng::Stream::Step(step as u16),
				self.latents.len(),
			)
		} else {
			Vec::new()
		};
		self.schedule
			.step(step, prediction, &noise, &mut self.latents);
		self.keep_unmasked(step + 1);
		self.leaves.push(half_bytes(&self.latents));
	}

	/// Puts the given picture back where it stays, as noisy as the samples are before step `next`.
	fn keep_unmasked(&mut self, next: usize) {
		let Some(kept) = &self.kept else {
			return;
		};
		let mixed;
		let back = if next < self.schedule.timesteps().len() {
			mixed = mix(self.schedule.mixture(next), &kept.picture, &kept.noise);
			&mixed
		} else {
			&kept.picture
		};
		for ((number, back), anew) in self.latents.iter_mut().zip(back).zip(&kept.mask) {
			if !anew {
				*number = *back;
			}
		}
	}
}

/// A picture and noise in these parts.
pub(super) fn mix((signal, deviation): (f32, f32), picture: &[f32], noise: &[f32]) -> Vec<f32> {
	picture
		.iter()
		.zip(noise)
		.map(|(picture, noise)| signal * picture + deviation * noise)
		.collect()
}
