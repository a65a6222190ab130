//! Files that are there whole, also after a power cut, or not at all.

use std::{
	fs::{self, File},
	io::{self, Write},
	path::{Path, PathBuf},
};

/// How the name of a file ends that a crash may leave half written. Whoever opens the folder sweeps it.
pub(crate) const UNFINISHED: &str = "part";

/// The file system refused.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {source}")]
pub(crate) struct DiskError {
	/// The file or folder.
	pub(crate) path: PathBuf,
	/// The system's error.
	pub(crate) source: io::Error,
}

pub(crate) fn at<T>(path: &Path, result: io::Result<T>) -> Result<T, DiskError> {
	result.map_err(|source| DiskError {
		path: path.to_owned(),
		source,
	})
}

/// Written beside, flushed, renamed, the folder flushed.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), DiskError> {
	let beside = path.with_extension(UNFINISHED);
	let write_beside = || {
		let mut file = File::create(&beside)?;
		file.write_all(bytes)?;
		file.sync_all()
	};
	if let Err(source) = write_beside() {
		// On a full disk half a file is in the way of the next one.
		let _ = fs::remove_file(&beside);
		return Err(DiskError {
			path: beside,
			source,
		});
	}
	at(path, fs::rename(&beside, path))?;
	sync_parent(path)
}

/// Also when it is gone already.
pub(crate) fn remove(path: &Path) -> Result<(), DiskError> {
	match fs::remove_file(path) {
		Ok(()) => sync_parent(path),
		Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
		Err(source) => Err(DiskError {
			path: path.to_owned(),
			source,
		}),
	}
}

/// What is in a folder.
pub(crate) fn files(folder: &Path) -> Result<Vec<PathBuf>, DiskError> {
	let entries = at(folder, fs::read_dir(folder))?;
	entries
		.map(|entry| at(folder, entry).map(|entry| entry.path()))
		.collect()
}

fn sync_parent(path: &Path) -> Result<(), DiskError> {
	let Some(parent) = path.parent() else {
		return Ok(());
	};
	at(
		parent,
		File::open(parent).and_then(|folder| folder.sync_all()),
	)
}
