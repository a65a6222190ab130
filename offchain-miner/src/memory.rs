//! How much memory the loaded models may need: what the user says, or a part of what there is.

use cuckoo_diffusion::{cuda, Device};
use std::{fmt, str::FromStr};

/// Of a GPU's memory, so much is for models by default: the rest is for the numbers of a step, and for
/// the screen.
const OF_GPU: f64 = 0.8;
/// Of the machine's memory: others live there too.
const OF_MACHINE: f64 = 0.5;

/// Bytes on the command line: a number, or one with KiB, MiB, GiB or TiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bytes(pub u64);

const UNITS: [(&str, u32); 4] = [("KiB", 10), ("MiB", 20), ("GiB", 30), ("TiB", 40)];

impl FromStr for Bytes {
	type Err = String;

	fn from_str(text: &str) -> Result<Self, String> {
		let wrong =
			|| format!("{text:?} is no amount of memory: write bytes, or such as 800MiB or 20GiB");
		let unit = UNITS
			.iter()
			.find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, *shift)));
		let (number, shift) = unit.unwrap_or((text, 0));
		let number = number.trim_end();
		// `parse` would take "+1".
		if !number.bytes().all(|byte| byte.is_ascii_digit()) {
			return Err(wrong());
		}
		let number: u64 = number.parse().map_err(|_| wrong())?;
		number
			.checked_mul(1 << shift)
			.filter(|bytes| *bytes > 0)
			.map(Self)
			.ok_or_else(wrong)
	}
}

impl fmt::Display for Bytes {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		let unit = UNITS.iter().rev().find(|(_, shift)| self.0 >> shift > 0);
		match unit {
			Some((unit, shift)) => {
				write!(f, "{:.1} {unit}", self.0 as f64 / (1u64 << shift) as f64)
			},
			None => write!(f, "{} bytes", self.0),
		}
	}
}

/// The limit when the user names none: a part of the device's memory, but always enough for the
/// largest model, which worked before there was a limit.
pub fn default_limit(device: Device, largest: u64) -> u64 {
	let gpu = |number| cuda::memory(number).ok().map(|bytes| part(bytes, OF_GPU));
	let machine = || machine_memory().map(|bytes| part(bytes, OF_MACHINE));
	let found = match device {
		Device::Cpu => machine(),
		Device::Cuda(number) => gpu(number),
		// On the GPU if it works, else on the CPU: what fits both.
		Device::Auto => match (gpu(0), machine()) {
			(Some(gpu), Some(machine)) => Some(gpu.min(machine)),
			(gpu, machine) => gpu.or(machine),
		},
	};
	found.unwrap_or(0).max(largest)
}

fn part(bytes: u64, share: f64) -> u64 {
	(bytes as f64 * share) as u64
}

/// The machine's memory, or the container's if that is less; in bytes.
fn machine_memory() -> Option<u64> {
	let text = std::fs::read_to_string("/proc/meminfo").ok()?;
	let line = text
		.lines()
		.find_map(|line| line.strip_prefix("MemTotal:"))?;
	let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
	// "max" where there is no limit, and no file where there is no such container.
	let container = std::fs::read_to_string("/sys/fs/cgroup/memory.max")
		.ok()
		.and_then(|text| text.trim().parse().ok());
	Some(container.unwrap_or(u64::MAX).min(kib * 1024))
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn amounts_are_bytes_or_have_a_unit() {
		for (text, bytes) in [
			("1", 1),
			("4096", 4096),
			("3KiB", 3 << 10),
			("800MiB", 800 << 20),
			("20 GiB", 20 << 30),
		] {
			assert_eq!(text.parse(), Ok(Bytes(bytes)), "{text}");
		}
		for wrong in [
			"",
			"0",
			"GiB",
			"-1",
			"+1",
			"1.5GiB",
			"20GB",
			"20G",
			"99999999999TiB",
			"1GiBs",
		] {
			assert!(wrong.parse::<Bytes>().is_err(), "{wrong}");
		}
		assert_eq!(Bytes(3 << 29).to_string(), "1.5 GiB");
		assert_eq!(Bytes(10).to_string(), "10 bytes");
	}

	#[test]
	fn without_a_word_from_the_user_the_largest_model_fits() {
		assert_eq!(default_limit(Device::Cuda(9_999), 7), 7);
		assert_eq!(default_limit(Device::Cpu, u64::MAX), u64::MAX);
		if let Some(bytes) = machine_memory() {
			assert_eq!(default_limit(Device::Cpu, 1), bytes / 2);
		}
	}
}
