//! Artifacts as files. A file's path is its hash and nothing else; it appears there whole or not at all.

use super::{
	upload::{blocking, Upload},
	Error, Result,
};
use bytes::Bytes;
use cuckoo_primitives::H256;
use futures::{
	stream::{self, BoxStream},
	StreamExt,
};
use std::{
	io,
	path::{Path, PathBuf},
	time::SystemTime,
};
use tokio::fs::{self, File};
use tokio_util::io::ReaderStream;

/// The folder.
#[derive(Clone, Debug)]
pub(super) struct Folder {
	root: PathBuf,
}

impl Folder {
	pub(super) fn new(root: PathBuf) -> Self {
		Self { root }
	}

	/// Makes the folders that artifacts go to, for good: an upload need not look whether its own is there.
	pub(super) async fn create(&self) -> io::Result<()> {
		let root = self.root.clone();
		blocking(move || {
			std::fs::create_dir_all(&root)?;
			for first in 0..=u8::MAX {
				match std::fs::create_dir(root.join(hex::encode([first]))) {
					Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
						return Err(error)
					},
					_ => {},
				}
			}
			// The folder's own name must survive too.
			for folder in root.ancestors().take(2) {
				std::fs::File::open(folder)?.sync_all()?;
			}
			Ok(())
		})
		.await
	}

	/// `ab/abcd…`: 256 folders, so that none gets too large.
	pub(super) fn path(&self, hash: &H256) -> PathBuf {
		let digits = hex::encode(hash);
		self.root.join(&digits[..2]).join(digits)
	}

	pub(super) async fn size(&self, hash: &H256) -> io::Result<Option<u64>> {
		let metadata = found(fs::metadata(self.path(hash)).await)?;
		Ok(metadata.map(|metadata| metadata.len()))
	}

	pub(super) async fn stream(
		&self,
		hash: &H256,
	) -> io::Result<Option<(BoxStream<'static, io::Result<Bytes>>, u64)>> {
		let Some(file) = found(File::open(self.path(hash)).await)? else {
			return Ok(None);
		};
		let size = file.metadata().await?.len();
		Ok(Some((ReaderStream::new(file).boxed(), size)))
	}

	pub(super) async fn read(&self, hash: &H256) -> io::Result<Option<Vec<u8>>> {
		found(fs::read(self.path(hash)).await)
	}

	/// Moves an upload to its place: on disk for good when this returns.
	pub(super) async fn keep(&self, hash: &H256, upload: Upload) -> io::Result<()> {
		let path = self.path(hash);
		blocking(move || {
			upload.move_to(&path)?;
			// The new name must survive too.
			let folder = path.parent().unwrap_or(Path::new("."));
			std::fs::File::open(folder)?.sync_all()
		})
		.await
	}

	pub(super) async fn remove(&self, hash: &H256) -> io::Result<()> {
		found(fs::remove_file(self.path(hash)).await).map(drop)
	}

	/// Removes a file that was last uploaded before then. `aside` is where it lies for a moment: another
	/// process that has it uploaded again must not rely on a file that is about to go.
	pub(super) async fn remove_older(
		&self,
		hash: &H256,
		than: SystemTime,
		aside: PathBuf,
	) -> io::Result<bool> {
		let path = self.path(hash);
		let is_older = move |path: &Path| -> io::Result<bool> {
			Ok(std::fs::metadata(path)?.modified()? < than)
		};
		let removed = blocking(move || {
			if !is_older(&path)? {
				return Ok(false);
			}
			// From here on an upload finds nothing and brings it whole.
			std::fs::rename(&path, &aside)?;
			if is_older(&aside)? {
				std::fs::remove_file(&aside)?;
				return Ok(true);
			}
			std::fs::rename(&aside, &path)?;
			Ok(false)
		});
		Ok(found(removed.await)?.unwrap_or_default())
	}

	pub(super) async fn renew(&self, hash: &H256) -> io::Result<bool> {
		let Some(file) = found(File::open(self.path(hash)).await)? else {
			return Ok(false);
		};
		file.into_std().await.set_modified(SystemTime::now())?;
		Ok(true)
	}

	pub(super) async fn is_older(&self, hash: &H256, than: SystemTime) -> io::Result<bool> {
		match found(fs::metadata(self.path(hash)).await)? {
			Some(metadata) => Ok(metadata.modified()? < than),
			None => Ok(false),
		}
	}

	/// A folder at a time.
	pub(super) fn walk(&self) -> BoxStream<'static, Result<H256>> {
		let walk = Walk {
			folders: vec![self.root.clone()],
			entries: None,
		};
		let next = |mut walk: Walk| async move {
			let next = walk.next().await.map_err(Error::Disk).transpose()?;
			Some((next, walk))
		};
		stream::unfold(walk, next).boxed()
	}
}

fn found<T>(looked: io::Result<T>) -> io::Result<Option<T>> {
	match looked {
		Ok(found) => Ok(Some(found)),
		Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
		Err(error) => Err(error),
	}
}

struct Walk {
	folders: Vec<PathBuf>,
	entries: Option<fs::ReadDir>,
}

impl Walk {
	async fn next(&mut self) -> io::Result<Option<H256>> {
		loop {
			let Some(entries) = &mut self.entries else {
				let Some(folder) = self.folders.pop() else {
					return Ok(None);
				};
				self.entries = Some(fs::read_dir(folder).await?);
				continue;
			};
			let Some(entry) = entries.next_entry().await? else {
				self.entries = None;
				continue;
			};
			if entry.file_type().await?.is_dir() {
				self.folders.push(entry.path());
				continue;
			}
			let name = entry.file_name();
			if let Some(hash) = name.to_str().and_then(|name| name.parse().ok()) {
				return Ok(Some(hash));
			}
		}
	}
}
