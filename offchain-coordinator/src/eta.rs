//! How long tasks take: a mean of what accepted results took, for each model and device class, and
//! from that when a task is likely to be done. An estimate for people, on which nothing hangs.

use cuckoo_primitives::task::{DeviceClass, ModelHash};
use std::collections::HashMap;

/// What the newest result counts in the mean: with this the last ten make up nine tenths of it.
const NEWEST: f64 = 0.2;

/// Most pairs of model and device class that are remembered. Miners name their class.
const MAX_SPEEDS: usize = 4_096;

/// How much of a task whoever is busy has still before them, on average.
const STILL_AT_WORK: f64 = 0.5;

/// The slots that serve a model, by device class.
pub type Slots = HashMap<DeviceClass, u32>;

/// Milliseconds a pixel and denoising step, by model and device class.
#[derive(Clone, Debug, Default)]
pub struct Speeds {
	means: HashMap<ModelHash, HashMap<DeviceClass, f64>>,
	known: usize,
}

impl Speeds {
	/// A result was accepted that took so long from its assignment to its submit.
	pub fn record(
		&mut self,
		model: ModelHash,
		device: DeviceClass,
		pixel_steps: u64,
		took_ms: u64,
	) {
		if pixel_steps == 0 {
			return;
		}
		let measured = took_ms as f64 / pixel_steps as f64;
		let known = self
			.means
			.get_mut(&model)
			.and_then(|classes| classes.get_mut(&device));
		match known {
			Some(mean) => *mean += NEWEST * (measured - *mean),
			None if self.known < MAX_SPEEDS => {
				self.known += 1;
				self.means
					.entry(model)
					.or_default()
					.insert(device, measured);
			},
			None => {},
		}
	}

	/// Milliseconds a pixel-step; of a class that was never measured, the mean of the model's others.
	fn mean(&self, model: &ModelHash, device: &DeviceClass) -> Option<f64> {
		let classes = self.means.get(model)?;
		let all = || classes.values().sum::<f64>() / classes.len() as f64;
		Some(classes.get(device).copied().unwrap_or_else(all))
	}

	/// How long a miner of this class takes for a task.
	pub fn task_ms(
		&self,
		model: &ModelHash,
		device: &DeviceClass,
		pixel_steps: u64,
	) -> Option<u64> {
		Some(whole(self.mean(model, device)? * pixel_steps as f64))
	}

	/// When a task that waits will be done, from now: the work before it and its own, by the slots that
	/// share it. `None` without slots or before the first result.
	pub fn eta_ms(
		&self,
		model: &ModelHash,
		slots: &Slots,
		pixel_steps: u64,
		work_before: u64,
		somebody_is_free: bool,
	) -> Option<u64> {
		let count: u32 = slots.values().sum();
		// Pixel-steps a millisecond, all slots together. A mean of zero is a clock that stood still.
		let mut together = 0.0;
		for (device, slots) in slots {
			together += f64::from(*slots) / self.mean(model, device)?.max(f64::MIN_POSITIVE);
		}
		if together <= 0.0 {
			return None;
		}
		let own = pixel_steps as f64 * f64::from(count) / together;
		let until_one_is_free = if somebody_is_free {
			0.0
		} else {
			own * STILL_AT_WORK
		};
		Some(whole(
			own + until_one_is_free + work_before as f64 / together,
		))
	}
}

fn whole(ms: f64) -> u64 {
	// Saturates.
	ms.round() as u64
}

#[cfg(test)]
mod tests {
	use super::*;
	use cuckoo_primitives::H256;
	use proptest::prelude::*;

	const MODEL: ModelHash = H256::repeat_byte(1);
	const FAST: DeviceClass = DeviceClass::Cuda { major: 9, minor: 0 };
	const SLOW: DeviceClass = DeviceClass::Cpu;

	fn slots(slots: &[(DeviceClass, u32)]) -> Slots {
		slots.iter().copied().collect()
	}

	#[test]
	fn without_measurements_or_slots_there_is_no_estimate() {
		let mut speeds = Speeds::default();
		let one = slots(&[(SLOW, 1)]);
		assert_eq!(speeds.eta_ms(&MODEL, &one, 100, 0, true), None);
		speeds.record(MODEL, SLOW, 100, 1_000);
		assert_eq!(speeds.eta_ms(&MODEL, &one, 100, 0, true), Some(1_000));
		assert_eq!(speeds.eta_ms(&MODEL, &slots(&[]), 100, 0, true), None);
		assert_eq!(speeds.eta_ms(&H256::zero(), &one, 100, 0, true), None);
		speeds.record(MODEL, SLOW, 0, 1_000);
		assert_eq!(speeds.task_ms(&MODEL, &SLOW, 50), Some(500));
	}

	#[test]
	fn work_is_shared_by_the_slots_at_their_speeds() {
		let mut speeds = Speeds::default();
		speeds.record(MODEL, SLOW, 100, 1_000);
		let eta =
			|slots: &Slots, before, free| speeds.eta_ms(&MODEL, slots, 100, before, free).unwrap();
		assert_eq!(eta(&slots(&[(SLOW, 1)]), 200, false), 1_000 + 500 + 2_000);
		assert_eq!(eta(&slots(&[(SLOW, 4)]), 200, true), 1_000 + 500);
		let mut speeds = speeds.clone();
		speeds.record(MODEL, FAST, 100, 100);
		let both = slots(&[(SLOW, 1), (FAST, 1)]);
		let together = 1.0 / 10.0 + 1.0;
		let expected = (100.0 * 2.0 / together + 550.0 / together) as u64;
		assert!(
			speeds
				.eta_ms(&MODEL, &both, 100, 550, true)
				.unwrap()
				.abs_diff(expected)
				<= 1
		);
		let unknown = DeviceClass::Cuda { major: 8, minor: 6 };
		assert_eq!(
			speeds.task_ms(&MODEL, &unknown, 100),
			Some(550),
			"the mean of the others"
		);
	}

	#[test]
	fn the_mean_follows_and_memory_is_bounded() {
		let mut speeds = Speeds::default();
		speeds.record(MODEL, SLOW, 100, 10_000);
		for _ in 0..30 {
			speeds.record(MODEL, SLOW, 100, 1_000);
		}
		let now = speeds.task_ms(&MODEL, &SLOW, 100).unwrap();
		assert!((1_000..1_020).contains(&now), "{now}");
		for number in 0..2 * MAX_SPEEDS as u64 {
			speeds.record(H256::from_low_u64_be(number), SLOW, 1, 1);
		}
		assert_eq!(
			speeds.means.values().map(HashMap::len).sum::<usize>(),
			MAX_SPEEDS
		);
	}

	proptest! {
		#[test]
		fn any_numbers_give_a_number_and_more_work_never_less(
			took in any::<u64>(), work in 1u64.., own in any::<u64>(), before in 0u64..u64::MAX / 2,
			count in 1u32.., free in any::<bool>(),
		) {
			let mut speeds = Speeds::default();
			speeds.record(MODEL, SLOW, work, took);
			let eta = |before| speeds.eta_ms(&MODEL, &slots(&[(SLOW, count)]), own, before, free);
			prop_assert!(eta(before).unwrap() <= eta(2 * before).unwrap());
		}
	}
}
