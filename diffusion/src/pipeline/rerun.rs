//! One step of a picture again, from its trajectory.

use super::{canvas::mix, embedding_bytes, rng, Pipeline, Request, Sample, Trajectory};
use crate::{Error, Stop};
use half::f16;

/// How far a step that was run again is from what the trajectory has.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct StepError {
	/// The largest difference of a number of the latents.
	pub largest: f32,
	/// The differences' root mean square, by that of the step's own change of the latents: 0.01 is an
	/// error of one hundredth of what the step did. What the rounding of the trajectory to fp16
	/// explains is taken off each difference first.
	pub relative: f32,
}

impl StepError {
	/// The one that is further off.
	fn or(self, other: Self) -> Self {
		// Not a number is further than all.
		let is_further = self.relative.is_nan() || self.relative >= other.relative;
		if is_further {
			self
		} else {
			other
		}
	}
}

impl Pipeline {
	/// Runs one step of a task's picture again, from the latents that the trajectory has before it,
	/// and compares the result with what it has after it. `step` counts runs of the UNet from 0.
	///
	/// The trajectory's numbers are fp16; so even the same machine finds a small error. Schedulers
	/// that look back on former steps have those run again, too.
	pub fn rerun_step(
		&mut self,
		request: &Request,
		trajectory: &Trajectory,
		step: usize,
		stop: &Stop,
	) -> Result<StepError, Error> {
		self.check(request)?;
		if request.options.start.is_some() {
			let problem = "a picture that starts from another one cannot be run again";
			return Err(Error::request("start", problem));
		}
		let mut schedule = self.plan(request)?;
		let runs = schedule.timesteps().len();
		if step >= runs {
			let problem = format!("there is no step {step}: they are 0 to {}", runs - 1);
			return Err(Error::request("step", problem));
		}
		let count = self.latent_count(request);
		check_shape(trajectory, runs, count)?;
		let leaf = |index: usize| numbers(&trajectory.leaves[index]);
		let prompts = self.embed(request, stop)?;
		let first = step - schedule.memory().min(step);
		let mut sample = Vec::new();
		for step in first..=step {
			sample = leaf(step);
			let before = Sample {
				latents: &sample,
				prompts: &prompts,
			};
			let predictions = self.predict(&*schedule, step, &[before], request, stop)?;
			let noise = if schedule.takes_noise(step) {
				rng::normal(request.seed, rng::Stream::Step(step as u16), count)
			} else {
				Vec::new()
			};
			schedule.step(step, &predictions[0], &noise, &mut sample);
		}
		Ok(compare(
			&leaf(schedule.origin(step)),
			&leaf(step + 1),
			&sample,
		))
	}

	/// Compares what the picture was made of: the latents that the trajectory begins with, with the noise of
	/// the request's seed, and its text embedding, with that of the request's prompts. The larger error of
	/// both.
	pub fn check_start(
		&mut self,
		request: &Request,
		trajectory: &Trajectory,
	) -> Result<StepError, Error> {
		let noise = self.check_noise(request, trajectory)?;
		let embedding = self.check_embedding(request, trajectory)?;
		Ok(noise.or(embedding))
	}

	/// Compares the text embedding that the trajectory has, with that of the request's prompts. The relative
	/// error is by the embedding itself.
	pub fn check_embedding(
		&mut self,
		request: &Request,
		trajectory: &Trajectory,
	) -> Result<StepError, Error> {
		self.check(request)?;
		let runs = self.plan(request)?.timesteps().len();
		check_shape(trajectory, runs, self.latent_count(request))?;
		let prompts = self.embed(request, &Stop::new())?;
		// As the trajectory has it: fp16, and in its order.
		let ours: Vec<u8> = prompts.iter().flat_map(embedding_bytes).collect();
		let theirs = &trajectory.leaves[runs + 1];
		if theirs.len() != ours.len() {
			let problem = "its text embedding has another size";
			return Err(Error::request("trajectory", problem));
		}
		let ours = numbers(&ours);
		let zeros = vec![0.0; ours.len()];
		Ok(compare(&zeros, &numbers(theirs), &ours))
	}

	/// Compares the latents that the trajectory begins with, with the noise of the request's seed. The
	/// relative error is by the noise itself.
	pub fn check_noise(
		&self,
		request: &Request,
		trajectory: &Trajectory,
	) -> Result<StepError, Error> {
		self.check(request)?;
		let schedule = self.plan(request)?;
		let count = self.latent_count(request);
		check_shape(trajectory, schedule.timesteps().len(), count)?;
		let noise = rng::normal(request.seed, rng::Stream::InitialNoise, count);
		let zeros = vec![0.0; count];
		let expected = mix((0.0, schedule.initial_scale()), &zeros, &noise);
		Ok(compare(&zeros, &numbers(&trajectory.leaves[0]), &expected))
	}

	/// Decodes the latents that the trajectory ends with, and gives the largest difference from its
	/// picture in grey levels.
	pub fn check_picture(
		&mut self,
		request: &Request,
		trajectory: &Trajectory,
		stop: &Stop,
	) -> Result<u8, Error> {
		self.check(request)?;
		let runs = self.plan(request)?.timesteps().len();
		check_shape(trajectory, runs, self.latent_count(request))?;
		let rgb = self.decode(&numbers(&trajectory.leaves[runs]), request, stop)?;
		let theirs = &trajectory.leaves[runs + 2];
		if theirs.len() != rgb.len() {
			return Err(Error::request("trajectory", "its picture has another size"));
		}
		let worst = rgb.iter().zip(theirs).map(|(a, b)| a.abs_diff(*b)).max();
		Ok(worst.unwrap_or(0))
	}
}

/// Whether the trajectory is one of so many runs on latents of so many numbers.
fn check_shape(trajectory: &Trajectory, runs: usize, count: usize) -> Result<(), Error> {
	/// Bytes of a number in fp16.
	const HALF: usize = 2;
	let problem = if trajectory.leaves.len() != runs + 3 {
		format!("has {} leaves, not {}", trajectory.leaves.len(), runs + 3)
	} else if trajectory.leaves[..=runs]
		.iter()
		.any(|leaf| leaf.len() != count * HALF)
	{
		"its latents have another size".into()
	} else {
		return Ok(());
	};
	Err(Error::request("trajectory", problem))
}

fn numbers(leaf: &[u8]) -> Vec<f32> {
	leaf.chunks_exact(2)
		.map(|pair| f16::from_le_bytes([pair[0], pair[1]]).to_f32())
		.collect()
}

fn compare(before: &[f32], theirs: &[f32], ours: &[f32]) -> StepError {
	/// Half of fp16's last place, for a number of size 1.
	const ROUNDING: f32 = 1.0 / 2048.0;
	let mut change = 0.0;
	let mut error = 0.0;
	for ((before, theirs), ours) in before.iter().zip(theirs).zip(ours) {
		change += f64::from(ours - before).powi(2);
		// Both what the step started from and what it came to were rounded.
		let explained = ROUNDING * (before.abs() + theirs.abs());
		let unexplained = (theirs - ours).abs() - explained;
		// Not a number stays so, and fails every comparison with a tolerance.
		error += f64::from(if unexplained <= 0.0 { 0.0 } else { unexplained }).powi(2);
	}
	let largest = theirs
		.iter()
		.zip(ours)
		.map(|(a, b)| (a - b).abs())
		// Not a number is the largest error of all.
		.fold(0.0, |worst: f32, error| {
			if worst.is_nan() || error <= worst {
				worst
			} else {
				error
			}
		});
	let relative = (error / change.max(f64::MIN_POSITIVE)).sqrt();
	StepError {
		largest,
		relative: relative as f32,
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn not_a_number_is_the_largest_error() {
		for theirs in [
			[f32::NAN, 1.0, 3.0],
			[1.0, f32::NAN, 1.0],
			[1.0, 3.0, f32::NAN],
		] {
			let error = compare(&[0.0; 3], &theirs, &[1.0; 3]);
			assert!(
				error.largest.is_nan() && error.relative.is_nan(),
				"{error:?}"
			);
			let none = compare(&[0.0; 3], &[1.0; 3], &[1.0; 3]);
			assert!(none.or(error).relative.is_nan() && error.or(none).relative.is_nan());
		}
		let error = compare(&[0.0; 3], &[1.0, 3.0, 0.0], &[1.0; 3]);
		assert_eq!(error.largest, 2.0);
	}
}
