//! NVIDIA's libraries that ONNX Runtime's GPU build needs, found where pip and scripts/setup put them.
//!
//! The system's loader looks in folders of its own alone. A library that is already loaded under a name
//! is taken for that name, though, wherever its file is: so those that the loader does not find are
//! loaded here, before ONNX Runtime asks for them.

use super::why;
use crate::runtime;
use libloading::Library;
use std::{
	ffi::c_int,
	path::{Path, PathBuf},
	sync::{Mutex, PoisonError},
};

const RUNTIME: &str = "libcudart.so.13";
const CUDNN: &str = "libcudnn.so.9";
/// The files, and what they belong to; what one needs stands above it. The last are loaded by cuDNN when
/// it wants them, from its own folder or by name.
const LIBRARIES: [(&str, &str); 11] = [
	(RUNTIME, "CUDA 13's runtime"),
	("libcublasLt.so.13", "CUDA 13's cuBLAS"),
	("libcublas.so.13", "CUDA 13's cuBLAS"),
	("libcurand.so.10", "CUDA 13's cuRAND"),
	("libnvrtc.so.13", "CUDA 13's NVRTC"),
	(CUDNN, "cuDNN 9"),
	("libcudnn_graph.so.9", "cuDNN 9"),
	("libcudnn_ops.so.9", "cuDNN 9"),
	("libcudnn_cnn.so.9", "cuDNN 9"),
	("libcudnn_heuristic.so.9", "cuDNN 9"),
	("libcudnn_engines_precompiled.so.9", "cuDNN 9"),
];
/// What lies beside ONNX Runtime's library where it is the GPU build.
const PROVIDERS: [&str; 2] = [
	"libonnxruntime_providers_shared.so",
	"libonnxruntime_providers_cuda.so",
];
/// The major version of CUDA that they are of.
const CUDA: &str = "13";

/// A library that pictures on a GPU need and that does not load.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MissingLibrary {
	/// Its file's name.
	pub file: String,
	/// What the system said.
	pub problem: String,
	/// What to do.
	pub fix: String,
}

impl std::fmt::Display for MissingLibrary {
	fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
		write!(
			f,
			"{} does not load ({}): {}",
			self.file, self.problem, self.fix
		)
	}
}

/// What has been loaded here; it is kept until the process ends.
static LOADED: Mutex<Vec<(&str, Library)>> = Mutex::new(Vec::new());

/// Where NVIDIA's libraries are looked for after the system's own search path (`LD_LIBRARY_PATH`,
/// `ldconfig`), in order: the user's data folder, where scripts/setup puts them
/// (`$XDG_DATA_HOME` or `~/.local/share`, `/cuckoo/cuda/13`), then Python packages.
pub fn search_folders() -> Vec<PathBuf> {
	let ours = runtime::data_folder().map(|data| data.join("cuckoo").join("cuda").join(CUDA));
	let packages = runtime::python_packages().into_iter().flat_map(|folder| {
		let nvidia = folder.join("nvidia");
		[format!("cu{CUDA}"), "cudnn".into()].map(|part| nvidia.join(part).join("lib"))
	});
	ours.into_iter().chain(packages).collect()
}

/// Loads what a GPU needs beside the driver, unless it is loaded, and names what does not.
pub fn load_libraries() -> Vec<MissingLibrary> {
	let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
	let mut folders = None;
	let mut missing = Vec::new();
	for (file, of) in LIBRARIES {
		if loaded.iter().any(|(name, _)| *name == file) {
			continue;
		}
		let folders = folders.get_or_insert_with(search_folders);
		match load(file, folders) {
			Ok(library) => loaded.push((file, library)),
			Err(problem) => missing.push(MissingLibrary {
				file: file.into(),
				problem,
				fix: format!(
					"run scripts/setup --cuda, or install {of} and name its folder in LD_LIBRARY_PATH"
				),
			}),
		}
	}
	missing
}

/// Makes this GPU the one that the thread's calls are about. ONNX Runtime does it where kernels begin, but not
/// for all that comes before and after: with a GPU that is lost, those would fail.
///
/// What CUDA says of it is not told: the call that it is for will say the same.
#[allow(unsafe_code)] // Calls CUDA's library.
pub(crate) fn select(device: u32) {
	let loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
	let Some((_, library)) = loaded.iter().find(|(name, _)| *name == RUNTIME) else {
		return;
	};
	// SAFETY: the types are those of cuda_runtime_api.h.
	unsafe {
		let set_device = library.get::<unsafe extern "C" fn(c_int) -> c_int>("cudaSetDevice");
		let last_error = library.get::<unsafe extern "C" fn() -> c_int>("cudaGetLastError");
		if let (Ok(set_device), Ok(last_error)) = (set_device, last_error) {
			set_device(c_int::try_from(device).unwrap_or(c_int::MAX));
			// Of the GPU before: who asks after the first kernel on this one would take it for its own.
			last_error();
		}
	}
}

/// The version of cuDNN that is loaded, such as 91900 for 9.19.0: with another, convolutions have other last
/// bits.
pub(crate) fn cudnn_version() -> Option<usize> {
	let loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
	let (_, library) = loaded.iter().find(|(name, _)| *name == CUDNN)?;
	number(library, "cudnnGetVersion")
}

/// What a function of cuDNN without arguments answers.
#[allow(unsafe_code)] // Calls NVIDIA's library.
fn number(library: &Library, function: &str) -> Option<usize> {
	// SAFETY: the type is that of the two functions of cudnn_graph.h that are asked for here.
	unsafe {
		let function = library.get::<unsafe extern "C" fn() -> usize>(function);
		function.ok().map(|function| function())
	}
}

/// The library of this name, by the system's loader or of the first of these folders that has it.
fn load(file: &str, folders: &[PathBuf]) -> Result<Library, String> {
	let by_name = match open(Path::new(file), file) {
		Ok(library) => return Ok(library),
		Err(problem) => problem,
	};
	let mut candidates = folders.iter().map(|folder| folder.join(file));
	match candidates.find(|path| path.is_file()) {
		Some(path) => open(&path, file),
		None => Err(by_name),
	}
}

#[allow(unsafe_code)] // Loads NVIDIA's libraries.
fn open(path: &Path, file: &str) -> Result<Library, String> {
	// SAFETY: loading a library runs its initialisers. These are NVIDIA's, under the names that ONNX
	// Runtime loads them by; whoever can replace them in the loader's folders or the user's own already
	// runs code in this account.
	let library = unsafe { Library::new(path) }.map_err(|error| why(&error))?;
	if file == CUDNN {
		// The one for CUDA 12 has the same name.
		let cuda = number(&library, "cudnnGetCudartVersion").map_or(0, |version| version / 1000);
		if cuda.to_string() != CUDA {
			return Err(format!("it is for CUDA {cuda}, not {CUDA}"));
		}
	}
	Ok(library)
}

/// The libraries that are missing for pictures on a GPU; `runtime` is ONNX Runtime's own, if it was
/// found. The others are loaded, and nothing is run on the GPU.
pub fn missing_libraries(runtime: Option<&Path>) -> Vec<MissingLibrary> {
	let beside = runtime.and_then(Path::parent).into_iter();
	let providers = beside.flat_map(|folder| PROVIDERS.map(|name| folder.join(name)));
	let no_providers = providers
		.filter(|file| !file.is_file())
		.map(|file| MissingLibrary {
			file: file.display().to_string(),
			problem: "no such file: this is the CPU build of ONNX Runtime".into(),
			fix: "run scripts/setup --cuda".into(),
		});
	no_providers.chain(load_libraries()).collect()
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn a_library_is_found_by_name_or_in_a_folder() {
		// One that every Linux has stands for NVIDIA's.
		assert!(load("libgcc_s.so.1", &[]).is_ok());
		let folder = tempfile::tempdir().unwrap();
		let name = "libcuckoo-no-such.so.1";
		let folders = [folder.path().join("empty"), folder.path().into()];
		let error = load(name, &folders).unwrap_err();
		assert!(error.contains(name), "{error}");
		let real = path_of("libgcc_s.so.1");
		std::fs::copy(real, folder.path().join(name)).unwrap();
		assert!(load(name, &folders).is_ok());
		// What is found and does not load is the problem that is told.
		std::fs::write(folder.path().join("libcuckoo-text.so.1"), "text").unwrap();
		let error = load("libcuckoo-text.so.1", &folders).unwrap_err();
		assert!(error.contains("libcuckoo-text.so.1"), "{error}");
	}

	/// Where the loader found a library of this process.
	fn path_of(file: &str) -> PathBuf {
		let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
		let path = maps
			.lines()
			.filter_map(|line| line.split_whitespace().nth(5))
			.find(|path| path.ends_with(file));
		path.unwrap().into()
	}
}
