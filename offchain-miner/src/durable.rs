//! Files that are there whole, also after a power cut, or not at all.

use std::{
	fs::{self, DirBuilder, File},
	io::{self, Write},
	os::unix::fs::DirBuilderExt,
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

/// Those of a folder's files that are there, with one flush for all.
pub(crate) fn remove_all(folder: &Path, names: &[String]) -> Result<(), DiskError> {
	for name in names {
		let path = folder.join(name);
		match fs::remove_file(&path) {
			Err(source) if source.kind() != io::ErrorKind::NotFound => {
				return Err(DiskError { path, source });
			},
			_ => {},
		}
	}
	sync(folder)
}

/// Makes a folder, with those above it that are missing, for this user alone. When this returns, they are on
/// the disk.
pub(crate) fn make_folder(folder: &Path) -> Result<(), DiskError> {
	let missing = folder.ancestors().take_while(|it| !it.exists()).count();
	let mut builder = DirBuilder::new();
	at(folder, builder.recursive(true).mode(0o700).create(folder))?;
	// A folder is lasting only when the one above it knows of it.
	for made in folder.ancestors().take(missing) {
		sync_parent(made)?;
	}
	Ok(())
}

/// What is in a folder.
pub(crate) fn files(folder: &Path) -> Result<Vec<PathBuf>, DiskError> {
	let entries = at(folder, fs::read_dir(folder))?;
	entries
		.map(|entry| at(folder, entry).map(|entry| entry.path()))
		.collect()
}

fn sync_parent(path: &Path) -> Result<(), DiskError> {
	let parent = match path.parent() {
		None => return Ok(()),
		Some(here) if here.as_os_str().is_empty() => Path::new("."),
		Some(parent) => parent,
	};
	sync(parent)
}

fn sync(folder: &Path) -> Result<(), DiskError> {
	match File::open(folder).and_then(|it| it.sync_all()) {
		// It may be written and not read, so that it cannot be flushed from here.
		Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
		flushed => at(folder, flushed),
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use std::os::unix::fs::PermissionsExt;

	#[test]
	fn folders_are_made_for_their_user_alone() {
		let folder = tempfile::tempdir().unwrap();
		let made = folder.path().join("above/below");
		make_folder(&made).unwrap();
		make_folder(&made).unwrap();
		for folder in [&made, made.parent().unwrap()] {
			let mode = fs::metadata(folder).unwrap().permissions().mode();
			assert_eq!(mode & 0o777, 0o700, "{}", folder.display());
		}
	}

	#[test]
	fn a_path_of_one_word_is_one_in_the_current_folder() {
		// The crate's folder, where nothing is to stay.
		let (file, folder) = (Path::new("durable.test"), Path::new("durable.folder"));
		let written = write(file, b"whole").and_then(|()| remove(file));
		let made = make_folder(folder);
		let _ = fs::remove_dir(folder);
		written.unwrap();
		made.unwrap();
	}
}
