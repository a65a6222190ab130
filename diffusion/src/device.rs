//! Where the graphs run.

use std::{fmt, str::FromStr};

/// Where the graphs are to run: `auto`, `cpu` or `cuda:N`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Device {
	/// The first CUDA device if ONNX Runtime's GPU library and the device work, else the CPU.
	#[default]
	Auto,
	/// ONNX Runtime's CPU provider.
	Cpu,
	/// ONNX Runtime's CUDA provider on the device of this number.
	Cuda(u32),
}

impl fmt::Display for Device {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		match self {
			Self::Auto => f.write_str("auto"),
			Self::Cpu => f.write_str("cpu"),
			Self::Cuda(number) => write!(f, "cuda:{number}"),
		}
	}
}

/// A text names no device.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{0}` is no device: write auto, cpu or cuda:N, such as cuda:0")]
pub struct InvalidDevice(String);

impl FromStr for Device {
	type Err = InvalidDevice;

	fn from_str(text: &str) -> Result<Self, InvalidDevice> {
		match text {
			"auto" => Ok(Self::Auto),
			"cpu" => Ok(Self::Cpu),
			_ => text
				.strip_prefix("cuda:")
				// `parse` would take "+1".
				.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
				.and_then(|digits| digits.parse().ok())
				.map(Self::Cuda)
				.ok_or_else(|| InvalidDevice(text.chars().take(MAX_ECHO).collect())),
		}
	}
}

/// How much of a wrong text an error repeats.
const MAX_ECHO: usize = 40;

/// The kind of device that made a picture. Two pictures are comparable bit for bit only within one
/// kind, and not always there.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum DeviceClass {
	/// ONNX Runtime's CPU provider.
	Cpu,
	/// ONNX Runtime's CUDA provider on a GPU of this compute capability.
	Cuda {
		/// 9 of 9.0.
		major: u8,
		/// 0 of 9.0.
		minor: u8,
	},
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn texts_and_devices_are_each_others_inverse() {
		for device in [Device::Auto, Device::Cpu, Device::Cuda(0), Device::Cuda(17)] {
			assert_eq!(device.to_string().parse(), Ok(device));
		}
	}

	#[test]
	fn other_texts_are_refused() {
		for text in [
			"",
			"gpu",
			"CPU",
			"cuda",
			"cuda:",
			"cuda:-1",
			"cuda:+1",
			"cuda:99999999999",
		] {
			assert!(text.parse::<Device>().is_err(), "{text}");
		}
	}
}
