//! A network's folder: data and logs of its processes.

use crate::{Error, Result};
use std::{
	fs,
	path::{Path, PathBuf},
};

/// Removed when dropped, unless it is kept.
#[derive(Debug)]
pub(crate) struct Folder {
	path: PathBuf,
	_guard: Option<tempfile::TempDir>,
}

impl Folder {
	/// An empty one among the system's temporary files.
	pub(crate) fn new(keep: bool) -> Result<Self> {
		let guard = tempfile::Builder::new()
			.prefix("cuckoo-")
			.tempdir()
			.map_err(Error::io("folder of the network"))?;
		let path = guard.path().to_owned();
		let guard = if keep {
			let _ = guard.keep();
			None
		} else {
			Some(guard)
		};
		let folder = Self {
			path,
			_guard: guard,
		};
		folder.sub("logs")?;
		Ok(folder)
	}

	/// Where it is.
	pub(crate) fn path(&self) -> &Path {
		&self.path
	}

	/// The folder of this name in it, made if it is not there.
	pub(crate) fn sub(&self, name: &str) -> Result<PathBuf> {
		let path = self.path.join(name);
		fs::create_dir_all(&path).map_err(Error::io(format!("folder {}", path.display())))?;
		Ok(path)
	}

	/// The log file of the process of this name.
	pub(crate) fn log(&self, name: &str) -> PathBuf {
		self.path.join("logs").join(format!("{name}.log"))
	}
}
