//! What the devices are and hold, and how the work is laid out on them.

use super::DeviceError;
use cuckoo_coordinator_api::{limits, task::ModelInfo};
use cuckoo_primitives::task::DeviceClass;
use std::time::Duration;

/// How the work is laid out on each device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
	/// Slots of a device: threads, each with a copy of its model while it works.
	pub slots: u16,
	/// Tasks that a slot makes in one run of the model, at most.
	pub batch: u16,
	/// How long a slot that is free waits for further tasks that fit after the newest one has come, as
	/// long as its batch is not full.
	pub batch_wait: Duration,
}

impl Default for Layout {
	/// One slot, one task at a time.
	fn default() -> Self {
		Self {
			slots: 1,
			batch: 1,
			batch_wait: Duration::ZERO,
		}
	}
}

impl Layout {
	/// Tasks at once on so many devices, or that they are more than coordinators take from one miner.
	pub fn tasks_at_once(&self, devices: usize) -> Result<u16, DeviceError> {
		let (slots, batch) = (self.slots.max(1), self.batch.max(1));
		let tasks = devices
			.saturating_mul(usize::from(slots))
			.saturating_mul(usize::from(batch));
		u16::try_from(tasks)
			.ok()
			.filter(|tasks| *tasks <= limits::MAX_SLOTS)
			.ok_or(DeviceError::TooManyTasks {
				devices,
				slots,
				batch,
				tasks,
			})
	}
}

/// A device that is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceProfile {
	/// What it is called on the command line and in the metrics, such as `cuda:1`.
	pub label: String,
	/// What it is.
	pub device: DeviceClass,
	/// Its name, for people.
	pub name: String,
	/// The engine profile's text.
	pub engine: String,
}

/// What the devices are and hold, as coordinators are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
	/// The devices, one at least.
	pub devices: Vec<DeviceProfile>,
	/// Their names, for people.
	pub device_name: String,
	/// The models held.
	pub models: Vec<ModelInfo>,
	/// How the work is laid out on each device.
	pub layout: Layout,
	/// Tasks at once on all devices: what coordinators call slots.
	pub tasks_at_once: u16,
}

impl Profile {
	/// The devices with their names in one.
	pub fn new(
		devices: Vec<DeviceProfile>,
		models: Vec<ModelInfo>,
		layout: Layout,
	) -> Result<Self, DeviceError> {
		Ok(Self {
			device_name: join_names(devices.iter().map(|device| device.name.clone())),
			tasks_at_once: layout.tasks_at_once(devices.len())?,
			devices,
			models,
			layout,
		})
	}

	/// What the first device is.
	pub fn device(&self) -> DeviceClass {
		self.devices
			.first()
			.map_or(DeviceClass::Cpu, |device| device.device)
	}

	/// The engine profile's text of the first device.
	pub fn engine(&self) -> &str {
		self.devices.first().map_or("", |device| &device.engine)
	}

	/// Slots of all devices.
	pub fn slots(&self) -> usize {
		self.devices.len() * usize::from(self.layout.slots.max(1))
	}
}

/// Names in one, each once with its number: `2 x NVIDIA H200, NVIDIA L4`. Within the protocol's bound.
pub fn join_names(names: impl Iterator<Item = String>) -> String {
	/// In place of those that do not fit.
	const MORE: &str = ", …";
	let mut kinds: Vec<(String, usize)> = Vec::new();
	for name in names {
		match kinds.iter_mut().find(|(known, _)| *known == name) {
			Some((_, count)) => *count += 1,
			None => kinds.push((name, 1)),
		}
	}
	let mut joined = String::new();
	for (name, count) in kinds {
		let comma = if joined.is_empty() { "" } else { ", " };
		let times = if count == 1 {
			String::new()
		} else {
			format!("{count} x ")
		};
		let one = format!("{comma}{times}{name}");
		if joined.len() + one.len() + MORE.len() > limits::MAX_TEXT_BYTES {
			if joined.is_empty() {
				let end = one.floor_char_boundary(limits::MAX_TEXT_BYTES - MORE.len());
				joined.push_str(&one[..end]);
			}
			joined.push_str(MORE);
			break;
		}
		joined.push_str(&one);
	}
	joined
}

#[cfg(test)]
mod tests {
	use super::*;

	fn joined(names: &[&str]) -> String {
		join_names(names.iter().map(|&name| name.into()))
	}

	#[test]
	fn names_are_joined_and_counted_within_the_bound() {
		let (h200, l4) = ("NVIDIA H200", "NVIDIA L4");
		assert_eq!(joined(&[h200]), h200);
		assert_eq!(joined(&[h200, h200]), "2 x NVIDIA H200");
		assert_eq!(joined(&[h200, l4]), "NVIDIA H200, NVIDIA L4");
		assert_eq!(joined(&[h200, l4, h200]), "2 x NVIDIA H200, NVIDIA L4");
		let long: Vec<String> = (0..64)
			.map(|number| format!("{number} é").repeat(20))
			.collect();
		let long = join_names(long.into_iter());
		assert!(long.len() <= limits::MAX_TEXT_BYTES && long.ends_with(", …"));
		let one = joined(&[&"é".repeat(limits::MAX_TEXT_BYTES)]);
		assert!(one.len() <= limits::MAX_TEXT_BYTES && one.ends_with(", …"));
	}

	#[test]
	fn more_tasks_at_once_than_coordinators_take_are_refused_with_the_flags() {
		let layout = |slots, batch| Layout {
			slots,
			batch,
			..Layout::default()
		};
		assert_eq!(layout(2, 4).tasks_at_once(8).unwrap(), 64);
		let error = layout(2, 4).tasks_at_once(9).unwrap_err().to_string();
		assert_eq!(
			error,
			"9 devices with 2 slots of up to 4 tasks each would be 72 tasks at once, and coordinators \
			 take at most 64 from a miner: lower --slots or --batch, or name fewer in --device"
		);
		assert!(layout(u16::MAX, u16::MAX)
			.tasks_at_once(usize::MAX)
			.is_err());
	}
}
