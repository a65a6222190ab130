//! An upload on its way: in memory at first, since most pictures are small, and in a file of its own once
//! it is not. Whatever touches the disk runs as one piece on a thread that may wait for it.

use std::{
	fs::{self, File},
	io::{self, Write},
	mem,
	path::{Path, PathBuf},
};

/// With so many bytes in memory, they go to the file.
const PART_BYTES: usize = 256 * 1024;

/// A name that no other file on its way has.
pub(super) fn new_name() -> String {
	hex::encode(rand::random::<[u8; 16]>())
}

/// An upload. Its file goes away with it, unless it was moved to its place.
pub(super) struct Upload {
	path: PathBuf,
	file: Option<File>,
	/// What is not in the file yet.
	part: Vec<u8>,
}

impl Upload {
	/// One whose file will be in this folder.
	pub(super) fn new(folder: &Path) -> Self {
		Self {
			path: folder.join(new_name()),
			file: None,
			part: Vec::new(),
		}
	}

	/// One with more at its end.
	pub(super) async fn append(mut self, chunk: &[u8]) -> io::Result<Self> {
		self.part.extend_from_slice(chunk);
		if self.part.len() < PART_BYTES {
			return Ok(self);
		}
		blocking(move || {
			self.write()?;
			Ok(self)
		})
		.await
	}

	/// All of it.
	pub(super) async fn read(mut self) -> io::Result<Vec<u8>> {
		if self.file.is_none() {
			return Ok(mem::take(&mut self.part));
		}
		blocking(move || {
			self.write()?;
			fs::read(&self.path)
		})
		.await
	}

	/// Gives it another name, once what it holds is on disk. Waits for the disk.
	pub(super) fn move_to(mut self, path: &Path) -> io::Result<()> {
		self.write()?.sync_all()?;
		fs::rename(&self.path, path)?;
		self.file = None;
		Ok(())
	}

	/// Writes what is in memory to the file.
	fn write(&mut self) -> io::Result<&File> {
		let file = match self.file.take() {
			Some(file) => file,
			None => File::create_new(&self.path)?,
		};
		let file = self.file.insert(file);
		file.write_all(&self.part)?;
		self.part.clear();
		Ok(file)
	}
}

impl Drop for Upload {
	fn drop(&mut self) {
		if self.file.is_some() {
			// What is left over goes when the artifacts are opened again.
			let _ = fs::remove_file(&self.path);
		}
	}
}

/// Runs what waits for the disk.
pub(super) async fn blocking<T: Send + 'static>(
	work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
	tokio::task::spawn_blocking(work)
		.await
		.map_err(io::Error::other)?
}
