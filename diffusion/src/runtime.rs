//! Finds and loads the ONNX Runtime library, once a process.
//!
//! The library is no part of this program: it is loaded when the first graph is wanted, so that the
//! same binary runs with the CPU build and the GPU build of it. It is looked for at
//! [`search_paths`], in order; the first that loads is taken and never changed.

use crate::Error;
use ort::{environment::Environment, logging::LogLevel};
use std::{
	env, fs,
	path::{Path, PathBuf},
	sync::{Arc, Mutex, OnceLock, PoisonError},
};

/// The version of ONNX Runtime that this engine is tested with and that scripts/setup installs.
pub const VERSION: &str = "1.31.1";

/// The start of the library's file name on Linux.
const LIBRARY_PREFIX: &str = "libonnxruntime.so";

/// Which library was loaded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RuntimeInfo {
	/// Its file.
	pub path: PathBuf,
	/// Its version, such as `1.31.1`.
	pub version: String,
}

struct Loaded {
	info: RuntimeInfo,
	environment: Environment,
}

static LOADED: OnceLock<Loaded> = OnceLock::new();
static LOADING: Mutex<()> = Mutex::new(());

/// Loads ONNX Runtime, unless this process already did: then `explicit` is ignored and the library
/// that is loaded is named.
pub fn init(explicit: Option<&Path>) -> Result<RuntimeInfo, Error> {
	loaded(explicit).map(|loaded| loaded.info.clone())
}

/// The one environment of this process.
pub(crate) fn environment() -> Result<&'static Environment, Error> {
	loaded(None).map(|loaded| &loaded.environment)
}

/// Where the library is looked for, in order.
///
/// 1. `explicit`, the program's flag;
/// 2. `CUCKOO_ONNXRUNTIME`, then `ORT_DYLIB_PATH`, of the environment;
/// 3. the executable's folder;
/// 4. the user's data folder, where scripts/setup puts it:
///    `$XDG_DATA_HOME` (or `~/.local/share`) `/cuckoo/onnxruntime/1.31.1/{gpu,cpu}/`;
/// 5. a Python package `onnxruntime` or `onnxruntime-gpu`: of the active virtual environment, the
///    user, the system.
///
/// 1 and 2 may name the file or its folder. Whoever sets one of them means it: then the list ends
/// there, instead of running quietly on another library.
pub fn search_paths(explicit: Option<&Path>) -> Vec<PathBuf> {
	let named = explicit.map(Path::to_path_buf).or_else(|| {
		["CUCKOO_ONNXRUNTIME", "ORT_DYLIB_PATH"]
			.iter()
			.find_map(|name| env::var_os(name).filter(|value| !value.is_empty()))
			.map(PathBuf::from)
	});
	if let Some(path) = named {
		return vec![if path.is_dir() {
			library_in(&path).unwrap_or(path)
		} else {
			path
		}];
	}

	let file = format!("{LIBRARY_PREFIX}.{VERSION}");
	let mut paths = Vec::new();
	if let Some(folder) = env::current_exe().ok().as_deref().and_then(Path::parent) {
		paths.push(library_in(folder).unwrap_or_else(|| folder.join(&file)));
	}
	if let Some(data) = data_folder() {
		let versions = data.join("cuckoo").join("onnxruntime").join(VERSION);
		paths.extend(["gpu", "cpu"].map(|kind| versions.join(kind).join(&file)));
	}
	paths.extend(
		python_packages()
			.iter()
			.filter_map(|folder| library_in(&folder.join("onnxruntime").join("capi"))),
	);
	paths
}

fn loaded(explicit: Option<&Path>) -> Result<&'static Loaded, Error> {
	// A second thread waits for the first; if that one fails, it tries again and gets its own error.
	let _loading = LOADING.lock().unwrap_or_else(PoisonError::into_inner);
	if let Some(loaded) = LOADED.get() {
		return Ok(loaded);
	}
	let mut looked_at = Vec::new();
	for path in search_paths(explicit) {
		match load(&path) {
			Ok(loaded) => {
				tracing::info!(
					path = %loaded.info.path.display(),
					version = loaded.info.version,
					"ONNX Runtime loaded"
				);
				return Ok(LOADED.get_or_init(|| loaded));
			},
			Err(problem) => {
				if path.exists() {
					tracing::warn!(path = %path.display(), problem, "ONNX Runtime not usable");
				}
				looked_at.push(format!("{}: {problem}", path.display()));
			},
		}
	}
	Err(Error::RuntimeMissing {
		looked_at: looked_at.join("; "),
	})
}

/// Loads the library at `path`. A file that is no ONNX Runtime, or too old, is left again and the
/// next can be tried.
fn load(path: &Path) -> Result<Loaded, String> {
	if !path.is_file() {
		return Err("no such file".into());
	}
	// dlopen searches the system's folders for a name without a slash.
	let path = std::path::absolute(path).map_err(|error| error.to_string())?;
	let version = version_of(&path)?;
	let environment = ort::init_from(&path)
		.map_err(|error| error.to_string())?
		.with_name("cuckoo")
		.with_telemetry(false)
		.with_logger(Arc::new(
			|level, category: &str, _: &str, location: &str, message: &str| {
				log(level, category, location, message);
			},
		))
		.build()
		.map_err(|error| error.to_string())?;
	Ok(Loaded {
		info: RuntimeInfo { path, version },
		environment,
	})
}

/// Asks the library for its version. `ort` checks it too, but does not tell it.
#[allow(unsafe_code)] // Calls into the library; each block says why it is sound.
fn version_of(path: &Path) -> Result<String, String> {
	use std::ffi::CStr;

	// SAFETY: loading a library runs its initialisers. The file is the one that the user, or the
	// set-up, names as ONNX Runtime; whoever can replace it already runs code in this account.
	let library = unsafe { libloading::Library::new(path) }.map_err(|error| error.to_string())?;
	// SAFETY: the type is that of onnxruntime_c_api.h, the library's only stable entry point.
	let base = unsafe {
		library.get::<unsafe extern "C" fn() -> *const ort::sys::OrtApiBase>(b"OrtGetApiBase\0")
	}
	.map_err(|_| String::from("this library is no ONNX Runtime"))?;
	// SAFETY: as above; the pointer is to a static of the library, which is loaded until the end of
	// this function, and so is the string.
	let version = unsafe {
		let base = base();
		if base.is_null() {
			return Err("this library offers no API".into());
		}
		CStr::from_ptr(((*base).GetVersionString)())
			.to_string_lossy()
			.into_owned()
	};
	Ok(version)
}

/// ONNX Runtime's own lines, under one target, so that a filter can name them. Its warnings are for
/// the makers of a graph, not for users.
fn log(level: LogLevel, category: &str, location: &str, message: &str) {
	match level {
		LogLevel::Verbose => tracing::trace!(target: "onnxruntime", category, location, message),
		LogLevel::Info | LogLevel::Warning => {
			tracing::debug!(target: "onnxruntime", category, location, message)
		},
		LogLevel::Error | LogLevel::Fatal => {
			tracing::warn!(target: "onnxruntime", category, location, message)
		},
	}
}

/// The user's folder for what programs keep.
pub(crate) fn data_folder() -> Option<PathBuf> {
	let absolute = |name: &str| {
		env::var_os(name)
			.map(PathBuf::from)
			.filter(|p| p.is_absolute())
	};
	absolute("XDG_DATA_HOME").or_else(|| Some(absolute("HOME")?.join(".local").join("share")))
}

/// The library's file in a folder: the tested version if it is there, else the last by name.
fn library_in(folder: &Path) -> Option<PathBuf> {
	let tested = folder.join(format!("{LIBRARY_PREFIX}.{VERSION}"));
	if tested.is_file() {
		return Some(tested);
	}
	fs::read_dir(folder)
		.ok()?
		.filter_map(|entry| entry.ok().map(|entry| entry.path()))
		.filter(|path| {
			let name = path.file_name().and_then(|name| name.to_str());
			name.is_some_and(|name| name.starts_with(LIBRARY_PREFIX))
		})
		.max()
}

/// Folders where pip puts packages, of every Python 3 that is there: of the active virtual environment,
/// the user, the system.
pub(crate) fn python_packages() -> Vec<PathBuf> {
	let prefixes = [
		env::var_os("VIRTUAL_ENV").map(PathBuf::from),
		env::var_os("HOME").map(|home| PathBuf::from(home).join(".local")),
		Some("/usr/local".into()),
		Some("/usr".into()),
	];
	let mut folders = Vec::new();
	for lib in prefixes
		.into_iter()
		.flatten()
		.map(|prefix| prefix.join("lib"))
	{
		let Ok(entries) = fs::read_dir(&lib) else {
			continue;
		};
		let mut pythons: Vec<PathBuf> = entries
			.filter_map(|entry| entry.ok())
			.filter(|entry| entry.file_name().to_string_lossy().starts_with("python3"))
			.map(|entry| entry.path())
			.collect();
		pythons.sort();
		for python in pythons {
			for packages in ["site-packages", "dist-packages"] {
				folders.push(python.join(packages));
			}
		}
	}
	folders
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn a_named_library_is_the_only_place() {
		let named = Path::new("/nowhere/libonnxruntime.so");
		assert_eq!(search_paths(Some(named)), [named]);
	}

	#[test]
	fn a_folder_stands_for_the_library_in_it() {
		let folder = tempfile::tempdir().unwrap();
		for name in [
			"libonnxruntime.so.1.24.0",
			"libonnxruntime.so.1.30.0",
			"other.so",
		] {
			fs::write(folder.path().join(name), b"").unwrap();
		}
		let newest = folder.path().join("libonnxruntime.so.1.30.0");
		assert_eq!(search_paths(Some(folder.path())), [newest]);
		let tested = folder.path().join(format!("libonnxruntime.so.{VERSION}"));
		fs::write(&tested, b"").unwrap();
		assert_eq!(search_paths(Some(folder.path())), [tested]);
	}

	#[test]
	fn without_a_library_the_error_says_what_to_do() {
		let error = init(Some(Path::new("/nowhere/libonnxruntime.so")))
			.unwrap_err()
			.to_string();
		assert!(
			error.contains("scripts/setup") && error.contains("/nowhere"),
			"{error}"
		);
	}

	#[test]
	fn what_is_no_library_is_refused_with_a_reason() {
		let folder = tempfile::tempdir().unwrap();
		let file = folder.path().join("libonnxruntime.so");
		assert_eq!(load(&file).err().unwrap(), "no such file");
		fs::write(&file, b"text").unwrap();
		assert!(load(&file).is_err());
	}
}
