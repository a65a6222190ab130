//! Pictures on disk. An artifact's path is its BLAKE3 hash and nothing else; a file appears there
//! whole or not at all, and never changes.

use cuckoo_coordinator_api::{
	error::{ApiError, ErrorCode},
	limits::MAX_ARTIFACT_BYTES,
};
use cuckoo_primitives::H256;
use futures::{Stream, StreamExt};
use std::{
	io,
	path::{Path, PathBuf},
};
use tokio::{
	fs::{self, File},
	io::AsyncWriteExt,
};

/// Why an upload was not taken.
#[derive(Debug)]
pub enum PutError {
	/// The miner's mistake.
	Refused(ApiError),
	/// The connection broke off.
	BrokenOff,
	/// The disk's.
	Disk(io::Error),
}

impl From<io::Error> for PutError {
	fn from(error: io::Error) -> Self {
		Self::Disk(error)
	}
}

/// The folder of artifacts.
#[derive(Clone, Debug)]
pub struct Artifacts {
	root: PathBuf,
	incoming: PathBuf,
}

impl Artifacts {
	/// In this data directory. Uploads that a crash cut off are removed.
	pub async fn open(data_dir: &Path) -> io::Result<Self> {
		let root = data_dir.join("artifacts");
		let incoming = data_dir.join("incoming");
		fs::create_dir_all(&root).await?;
		match fs::remove_dir_all(&incoming).await {
			Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
			_ => {},
		}
		fs::create_dir_all(&incoming).await?;
		Ok(Self { root, incoming })
	}

	/// `ab/cd/abcd…`: two levels, so that no folder gets too large.
	fn path(&self, hash: &H256) -> PathBuf {
		let digits = hex::encode(hash);
		self.root
			.join(&digits[..2])
			.join(&digits[2..4])
			.join(digits)
	}

	/// The artifact's size; `None` if it is not here.
	pub async fn size(&self, hash: &H256) -> io::Result<Option<u64>> {
		match fs::metadata(self.path(hash)).await {
			Ok(metadata) => Ok(Some(metadata.len())),
			Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
			Err(error) => Err(error),
		}
	}

	/// The artifact, opened, with its size; `None` if it is not here.
	pub async fn open_file(&self, hash: &H256) -> io::Result<Option<(File, u64)>> {
		match File::open(self.path(hash)).await {
			Ok(file) => {
				let size = file.metadata().await?.len();
				Ok(Some((file, size)))
			},
			Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
			Err(error) => Err(error),
		}
	}

	/// The artifact's bytes.
	pub async fn read(&self, hash: &H256) -> io::Result<Vec<u8>> {
		fs::read(self.path(hash)).await
	}

	/// Takes an upload: on disk for good when this returns.
	pub async fn put<S, B, E>(&self, hash: &H256, mut body: S) -> Result<(), PutError>
	where
		S: Stream<Item = Result<B, E>> + Unpin,
		B: AsRef<[u8]>,
	{
		let temporary = Temporary::new(&self.incoming);
		let mut file = File::create_new(&temporary.path).await?;
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
			file.write_all(chunk).await?;
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
		file.sync_all().await?;
		drop(file);
		let path = self.path(hash);
		let folder = path.parent().unwrap_or(&self.root);
		fs::create_dir_all(folder).await?;
		fs::rename(&temporary.path, &path).await?;
		// The new name must survive too, and the folders that lead to it.
		for folder in path.ancestors().skip(1).take(3) {
			File::open(folder).await?.sync_all().await?;
		}
		Ok(())
	}

	/// Removes the artifact; one that is not here is as good as removed.
	pub async fn remove(&self, hash: &H256) -> io::Result<()> {
		match fs::remove_file(self.path(hash)).await {
			Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
			_ => Ok(()),
		}
	}

	/// Removes artifacts that nobody asked for: of attempts that never got to a submit. To be called
	/// before uploads are taken.
	pub async fn remove_unless<F, R>(&self, is_named: F) -> io::Result<u64>
	where
		F: Fn(H256) -> R,
		R: std::future::Future<Output = bool>,
	{
		let mut removed = 0;
		let mut folders = vec![self.root.clone()];
		while let Some(folder) = folders.pop() {
			let mut entries = fs::read_dir(folder).await?;
			while let Some(entry) = entries.next_entry().await? {
				if entry.file_type().await?.is_dir() {
					folders.push(entry.path());
					continue;
				}
				let name = entry.file_name();
				let Some(hash) = name.to_str().and_then(|name| name.parse::<H256>().ok()) else {
					continue;
				};
				if !is_named(hash).await {
					fs::remove_file(entry.path()).await?;
					removed += 1;
				}
			}
		}
		Ok(removed)
	}
}

/// A file that goes away unless it was renamed.
struct Temporary {
	path: PathBuf,
}

impl Temporary {
	fn new(folder: &Path) -> Self {
		Self {
			path: folder.join(hex::encode(rand::random::<[u8; 16]>())),
		}
	}
}

impl Drop for Temporary {
	fn drop(&mut self) {
		// Gone already after a rename.
		let _ = std::fs::remove_file(&self.path);
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use futures::stream;

	type Chunks = Vec<Result<Vec<u8>, ()>>;

	fn hash(bytes: &[u8]) -> H256 {
		H256(*blake3::hash(bytes).as_bytes())
	}

	async fn put(artifacts: &Artifacts, hash: &H256, chunks: Chunks) -> Result<(), PutError> {
		artifacts.put(hash, stream::iter(chunks)).await
	}

	#[tokio::test]
	async fn an_upload_is_there_whole_or_not_at_all() {
		let directory = tempfile::tempdir().unwrap();
		let artifacts = Artifacts::open(directory.path()).await.unwrap();
		let bytes = [&crate::verify::PNG_SIGNATURE[..], b"and more"].concat();
		let name = hash(&bytes);
		let half = vec![Ok(bytes[..5].to_vec()), Err(())];
		assert!(matches!(
			put(&artifacts, &name, half).await,
			Err(PutError::BrokenOff)
		));
		let wrong = put(&artifacts, &H256::zero(), vec![Ok(bytes.clone())]).await;
		let Err(PutError::Refused(error)) = wrong else {
			panic!("{wrong:?}")
		};
		assert_eq!(error.code, ErrorCode::ArtifactHashMismatch);
		let text = put(&artifacts, &hash(b"text"), vec![Ok(b"text".to_vec())]).await;
		let Err(PutError::Refused(error)) = text else {
			panic!("{text:?}")
		};
		assert_eq!(error.code, ErrorCode::ArtifactNotPng);
		assert_eq!(artifacts.size(&name).await.unwrap(), None);
		assert_eq!(std::fs::read_dir(&artifacts.incoming).unwrap().count(), 0);

		let chunks = bytes.iter().map(|byte| Ok(vec![*byte])).collect();
		put(&artifacts, &name, chunks).await.unwrap();
		put(&artifacts, &name, vec![Ok(bytes.clone())])
			.await
			.unwrap();
		assert_eq!(artifacts.read(&name).await.unwrap(), bytes);
		assert_eq!(
			artifacts.remove_unless(|_| async { true }).await.unwrap(),
			0
		);
		assert_eq!(
			artifacts.remove_unless(|_| async { false }).await.unwrap(),
			1
		);
		assert_eq!(artifacts.size(&name).await.unwrap(), None);
	}

	#[tokio::test]
	async fn an_upload_larger_than_allowed_is_cut_off() {
		let directory = tempfile::tempdir().unwrap();
		let artifacts = Artifacts::open(directory.path()).await.unwrap();
		let endless = stream::repeat_with(|| Ok::<_, ()>(vec![0u8; 1 << 20]));
		let refused = artifacts.put(&H256::zero(), Box::pin(endless)).await;
		let Err(PutError::Refused(error)) = refused else {
			panic!("{refused:?}")
		};
		assert_eq!(error.code, ErrorCode::ArtifactTooLarge);
	}
}
