//! Pictures by their BLAKE3 hash: in a folder, or in storage that speaks S3. An artifact appears there
//! whole or not at all, and never changes.

mod folder;
mod place;
mod remote;
mod upload;

pub use place::{Memory, Place, PlaceError, S3};

use bytes::Bytes;
use cuckoo_coordinator_api::{
	error::{ApiError, ErrorCode},
	limits::MAX_ARTIFACT_BYTES,
};
use cuckoo_primitives::H256;
use folder::Folder;
use futures::{stream::BoxStream, Stream, StreamExt};
use remote::Remote;
use std::{
	io,
	path::{Path, PathBuf},
	time::{Duration, SystemTime},
};
use tokio::fs;
use upload::Upload;

/// Where others may bring artifacts too, one that came within this time is not removed: a result that
/// names it may be on its way. Longer than an upload and what follows it take.
const SETTLED: Duration = Duration::from_secs(3_600);

/// What an operation on artifacts gives.
pub type Result<T> = std::result::Result<T, Error>;

/// Artifacts could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
	/// The disk.
	#[error(transparent)]
	Disk(#[from] io::Error),
	/// The storage does not answer, or not in time, or refuses: it may do so again later.
	#[error("the storage of artifacts is away: {0}")]
	Away(String),
	/// The storage cannot be used as it is configured.
	#[error("the storage of artifacts cannot be used: {0}")]
	Unusable(String),
}

/// Why an upload was not taken.
#[derive(Debug)]
pub enum PutError {
	/// The miner's mistake.
	Refused(ApiError),
	/// The connection broke off.
	BrokenOff,
	/// The storage's.
	Storage(Error),
}

impl From<Error> for PutError {
	fn from(error: Error) -> Self {
		Self::Storage(error)
	}
}

impl From<io::Error> for PutError {
	fn from(error: io::Error) -> Self {
		Self::Storage(error.into())
	}
}

/// The artifacts.
#[derive(Debug)]
pub struct Artifacts {
	store: Store,
	/// Uploads on their way, on this machine's disk.
	incoming: PathBuf,
	settled: Duration,
}

#[derive(Debug)]
enum Store {
	Folder(Folder),
	Remote(Remote),
}

impl Artifacts {
	/// In their place; uploads on their way are in the data directory, or beside the artifacts where a
	/// file is to be moved there. What a crash cut off is removed.
	pub async fn open(data_dir: &Path, place: &Place) -> Result<Self> {
		let (store, incoming, settled) = match place {
			Place::DataDir => (
				Store::Folder(Folder::new(data_dir.join("artifacts"))),
				data_dir.join("incoming"),
				Duration::ZERO,
			),
			Place::Folder(folder) => (
				Store::Folder(Folder::new(folder.join("artifacts"))),
				// Another process uses the folder too: only what lies there for long is nobody's.
				folder.join("incoming"),
				SETTLED,
			),
			Place::S3(s3) => (
				Store::Remote(Remote::s3(s3)?),
				data_dir.join("incoming"),
				SETTLED,
			),
			Place::Memory(memory) => (
				Store::Remote(Remote::memory(memory)),
				data_dir.join("incoming"),
				Duration::ZERO,
			),
		};
		if let Store::Folder(folder) = &store {
			folder.create().await?;
		}
		fs::create_dir_all(&incoming).await?;
		remove_leftovers(&incoming, SystemTime::now() - settled).await?;
		Ok(Self {
			store,
			incoming,
			settled,
		})
	}

	/// Those that are in memory; none can be taken in.
	pub fn in_memory(memory: &Memory) -> Self {
		Self {
			store: Store::Remote(Remote::memory(memory)),
			incoming: PathBuf::new(),
			settled: Duration::ZERO,
		}
	}

	/// How long an artifact must have been there to be removed.
	pub fn settled(&self) -> Duration {
		self.settled
	}

	/// The artifact's size; `None` if it is not here.
	pub async fn size(&self, hash: &H256) -> Result<Option<u64>> {
		match &self.store {
			Store::Folder(folder) => Ok(folder.size(hash).await?),
			Store::Remote(remote) => remote.size(hash).await,
		}
	}

	/// The artifact as a stream, with its size; `None` if it is not here.
	pub async fn stream(
		&self,
		hash: &H256,
	) -> Result<Option<(BoxStream<'static, io::Result<Bytes>>, u64)>> {
		match &self.store {
			Store::Folder(folder) => Ok(folder.stream(hash).await?),
			Store::Remote(remote) => remote.stream(hash).await,
		}
	}

	/// The artifact's bytes; `None` if it is not here.
	pub async fn read(&self, hash: &H256) -> Result<Option<Vec<u8>>> {
		match &self.store {
			Store::Folder(folder) => Ok(folder.read(hash).await?),
			Store::Remote(remote) => remote.read(hash).await,
		}
	}

	/// Takes an upload: stored for good when this returns.
	pub async fn put<S, B, E>(&self, hash: &H256, body: S) -> std::result::Result<(), PutError>
	where
		S: Stream<Item = std::result::Result<B, E>> + Unpin,
		B: AsRef<[u8]>,
	{
		let upload = take_in(Upload::new(&self.incoming), hash, body).await?;
		match &self.store {
			Store::Folder(folder) => Ok(folder.keep(hash, upload).await?),
			Store::Remote(remote) => Ok(remote.keep(hash, upload).await?),
		}
	}

	/// Removes the artifact; one that is not here is as good as removed.
	pub async fn remove(&self, hash: &H256) -> Result<()> {
		match &self.store {
			Store::Folder(folder) => Ok(folder.remove(hash).await?),
			Store::Remote(remote) => remote.remove(hash).await,
		}
	}

	/// Removes the artifact if it was last uploaded before then; whether it did. In a folder no upload
	/// comes in between, whoever takes it; in object storage one that comes in that very moment is lost,
	/// and its miner told so when it submits.
	pub async fn remove_older(&self, hash: &H256, than: SystemTime) -> Result<bool> {
		match &self.store {
			Store::Folder(folder) => {
				let aside = self.incoming.join(upload::new_name());
				Ok(folder.remove_older(hash, than, aside).await?)
			},
			Store::Remote(remote) => {
				let is_older = remote.is_older(hash, than).await?;
				if is_older {
					remote.remove(hash).await?;
				}
				Ok(is_older)
			},
		}
	}

	/// Notes that the artifact was uploaded once more, so that it counts as new; false if it is not
	/// here, or can be made new only by taking it in again.
	pub async fn renew(&self, hash: &H256) -> Result<bool> {
		match &self.store {
			Store::Folder(folder) => Ok(folder.renew(hash).await?),
			Store::Remote(_) => Ok(false),
		}
	}

	/// Whether the artifact is here and was last uploaded before then.
	pub async fn is_older(&self, hash: &H256, than: SystemTime) -> Result<bool> {
		match &self.store {
			Store::Folder(folder) => Ok(folder.is_older(hash, than).await?),
			Store::Remote(remote) => remote.is_older(hash, than).await,
		}
	}

	/// Every artifact, in no order. Those that come meanwhile may be left out.
	pub fn walk(&self) -> BoxStream<'static, Result<H256>> {
		match &self.store {
			Store::Folder(folder) => folder.walk(),
			Store::Remote(remote) => remote.walk(),
		}
	}
}

/// Takes an upload in, and checks it.
async fn take_in<S, B, E>(
	mut upload: Upload,
	hash: &H256,
	mut body: S,
) -> std::result::Result<Upload, PutError>
where
	S: Stream<Item = std::result::Result<B, E>> + Unpin,
	B: AsRef<[u8]>,
{
	let mut hasher = blake3::Hasher::new();
	let mut size = 0usize;
	let mut beginning: Vec<u8> = Vec::with_capacity(crate::verify::PNG_SIGNATURE.len());
	while let Some(chunk) = body.next().await {
		let chunk = chunk.map_err(|_| PutError::BrokenOff)?;
		let chunk = chunk.as_ref();
		size = size.saturating_add(chunk.len());
		if size > MAX_ARTIFACT_BYTES {
			return Err(PutError::Refused(ErrorCode::ArtifactTooLarge.into()));
		}
		let missing = crate::verify::PNG_SIGNATURE.len() - beginning.len();
		beginning.extend(chunk.iter().take(missing));
		hasher.update(chunk);
		upload = upload.append(chunk).await?;
	}
	if hasher.finalize().as_bytes() != hash.as_fixed_bytes() {
		return Err(PutError::Refused(
			ApiError::new(ErrorCode::ArtifactHashMismatch).about(format!("{hash:?}")),
		));
	}
	// What is whole and yet no PNG will never be a result; the picture itself is checked when it
	// is submitted, against the task.
	if beginning != crate::verify::PNG_SIGNATURE {
		return Err(PutError::Refused(
			ApiError::new(ErrorCode::ArtifactNotPng).about(format!("{hash:?}")),
		));
	}
	Ok(upload)
}

/// Removes uploads on their way that nobody has touched since then.
async fn remove_leftovers(incoming: &Path, before: SystemTime) -> io::Result<()> {
	let mut entries = fs::read_dir(incoming).await?;
	while let Some(entry) = entries.next_entry().await? {
		let changed = entry
			.metadata()
			.await
			.and_then(|metadata| metadata.modified());
		if changed.is_ok_and(|changed| changed <= before) {
			// Its process may just have removed it.
			let _ = fs::remove_file(entry.path()).await;
		}
	}
	Ok(())
}

#[cfg(test)]
#[path = "../../tests/support/s3.rs"]
mod s3_server;
#[cfg(test)]
mod tests;
