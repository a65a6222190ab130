//! What NVIDIA's driver says about a GPU, asked directly, so that ONNX Runtime's GPU provider need
//! not be loaded to learn that there is none; and the libraries that the provider needs.

#![allow(unsafe_code)] // Calls into the driver's C library; each block says why it is sound.

mod libraries;

pub(crate) use libraries::{cudnn_version, select};
pub use libraries::{load_libraries, missing_libraries, search_folders, MissingLibrary};

use libloading::{Library, Symbol};
use std::ffi::{c_char, c_int, c_uint, CStr};

/// The driver's library; its soname has not changed since CUDA came out.
const DRIVER: &str = "libcuda.so.1";
const CUDA_SUCCESS: c_int = 0;
/// `CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR` of cuda.h.
const ATTRIBUTE_MAJOR: c_int = 75;
/// `CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR` of cuda.h.
const ATTRIBUTE_MINOR: c_int = 76;
/// Room for a device's name; the driver cuts longer ones.
const NAME_LEN: usize = 128;

/// A GPU as its driver describes it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Gpu {
	/// Marketing name, such as `NVIDIA H200`.
	pub name: String,
	/// Compute capability before the dot.
	pub major: u8,
	/// Compute capability after the dot.
	pub minor: u8,
}

/// What the system said: the error itself says only which call failed.
fn why(error: &libloading::Error) -> String {
	std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}

/// The memory of the GPU of this number, in bytes.
pub fn memory(number: u32) -> Result<u64, String> {
	// SAFETY: as in `gpu`.
	let driver = unsafe { Library::new(DRIVER) }.map_err(|error| {
		let why = why(&error);
		format!("{DRIVER} does not load ({why}): install NVIDIA's driver")
	})?;
	let ordinal = c_int::try_from(number).map_err(|_| format!("there is no GPU {number}"))?;
	let missing = |error: libloading::Error| format!("{DRIVER} is no CUDA driver: {error}");
	let check = |what: &str, status: c_int| match status {
		CUDA_SUCCESS => Ok(()),
		status => Err(format!("the driver's {what} failed with status {status}")),
	};
	// SAFETY: the types are those of cuda.h, unchanged since CUDA 3.2; both pointers are to live locals.
	unsafe {
		let init: Symbol<unsafe extern "C" fn(c_uint) -> c_int> =
			driver.get(b"cuInit\0").map_err(missing)?;
		let device_get: Symbol<unsafe extern "C" fn(*mut c_int, c_int) -> c_int> =
			driver.get(b"cuDeviceGet\0").map_err(missing)?;
		let total_memory: Symbol<unsafe extern "C" fn(*mut usize, c_int) -> c_int> =
			driver.get(b"cuDeviceTotalMem_v2\0").map_err(missing)?;
		check("cuInit", init(0))?;
		let mut device = 0;
		check("cuDeviceGet", device_get(&mut device, ordinal))?;
		let mut bytes = 0;
		check("cuDeviceTotalMem", total_memory(&mut bytes, device))?;
		Ok(bytes as u64)
	}
}

/// Describes the GPU of this number, or says why it cannot be used and what to do.
pub fn gpu(number: u32) -> Result<Gpu, String> {
	// SAFETY: loading a library runs its initialisers. This is the driver under the name that every
	// CUDA program loads it by; whoever can replace it already runs code in this account.
	let driver = unsafe { Library::new(DRIVER) }.map_err(|error| {
		let why = why(&error);
		format!("{DRIVER} does not load ({why}): install NVIDIA's driver")
	})?;
	let ordinal = c_int::try_from(number).map_err(|_| format!("there is no GPU {number}"))?;

	let check = |what: &str, status: c_int| match status {
		CUDA_SUCCESS => Ok(()),
		status => Err(format!("the driver's {what} failed with status {status}")),
	};
	let missing = |error: libloading::Error| format!("{DRIVER} is no CUDA driver: {error}");

	// SAFETY: the types are those of cuda.h, unchanged since CUDA 2; every pointer is to a live local
	// of the length passed with it.
	unsafe {
		let init: Symbol<unsafe extern "C" fn(c_uint) -> c_int> =
			driver.get(b"cuInit\0").map_err(missing)?;
		let device_get: Symbol<unsafe extern "C" fn(*mut c_int, c_int) -> c_int> =
			driver.get(b"cuDeviceGet\0").map_err(missing)?;
		let device_name: Symbol<unsafe extern "C" fn(*mut c_char, c_int, c_int) -> c_int> =
			driver.get(b"cuDeviceGetName\0").map_err(missing)?;
		let attribute: Symbol<unsafe extern "C" fn(*mut c_int, c_int, c_int) -> c_int> =
			driver.get(b"cuDeviceGetAttribute\0").map_err(missing)?;

		check("cuInit", init(0))?;
		let mut device = 0;
		check("cuDeviceGet", device_get(&mut device, ordinal))
			.map_err(|error| format!("there is no GPU {number}: {error}"))?;

		let mut name = [0 as c_char; NAME_LEN];
		check(
			"cuDeviceGetName",
			device_name(name.as_mut_ptr(), NAME_LEN as c_int, device),
		)?;
		name[NAME_LEN - 1] = 0;
		let name = CStr::from_ptr(name.as_ptr()).to_string_lossy().into_owned();

		let mut major = 0;
		let mut minor = 0;
		check(
			"cuDeviceGetAttribute",
			attribute(&mut major, ATTRIBUTE_MAJOR, device),
		)?;
		check(
			"cuDeviceGetAttribute",
			attribute(&mut minor, ATTRIBUTE_MINOR, device),
		)?;
		let capability = |value: c_int| {
			u8::try_from(value).map_err(|_| format!("GPU {number} has no compute capability"))
		};
		Ok(Gpu {
			name,
			major: capability(major)?,
			minor: capability(minor)?,
		})
	}
}
