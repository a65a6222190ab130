//! Pictures on disk. An artifact's path is its BLAKE3 hash and nothing else; a file appears there
//! whole or not at all, and never changes.

use cuckoo_coordinator_api::{
	error::{ApiError, ErrorCode},
	limits::MAX_ARTIFACT_BYTES,
};
use cuckoo_primitives::H256;
use futures::{Stream, StreamExt};
use std::{
	collections::BTreeMap,
	io,
	path::{Path, PathBuf},
	sync::{Arc, Mutex, PoisonError},
	time::SystemTime,
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
	memory: Option<Memory>,
}

/// Artifacts in memory, for simulations.
#[derive(Clone, Debug, Default)]
pub struct Memory(Arc<Mutex<BTreeMap<H256, Vec<u8>>>>);

impl Memory {
	/// Keeps an artifact.
	pub fn put(&self, hash: H256, bytes: Vec<u8>) {
		let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
		kept.insert(hash, bytes);
	}

	fn get(&self, hash: &H256) -> Option<Vec<u8>> {
		let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
		kept.get(hash).cloned()
	}
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
		Ok(Self {
			root,
			incoming,
			memory: None,
		})
	}

	/// Those in memory: what is there can be read.
	pub fn in_memory(memory: &Memory) -> Self {
		Self {
			root: PathBuf::new(),
			incoming: PathBuf::new(),
			memory: Some(memory.clone()),
		}
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
		if let Some(memory) = &self.memory {
			return Ok(memory.get(hash).map(|bytes| bytes.len() as u64));
		}
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
		if let Some(memory) = &self.memory {
			return memory
				.get(hash)
				.ok_or_else(|| io::ErrorKind::NotFound.into());
		}
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

	/// Notes that the artifact was uploaded once more, so that it counts as new; false if it is not here.
	pub async fn renew(&self, hash: &H256) -> io::Result<bool> {
		match File::open(self.path(hash)).await {
			Ok(file) => {
				file.into_std().await.set_modified(SystemTime::now())?;
				Ok(true)
			},
			Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
			Err(error) => Err(error),
		}
	}

	/// Whether the artifact is here and was last uploaded before then.
	pub async fn is_older(&self, hash: &H256, than: SystemTime) -> io::Result<bool> {
		match fs::metadata(self.path(hash)).await {
			Ok(metadata) => Ok(metadata.modified()? < than),
			Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
			Err(error) => Err(error),
		}
	}

	/// Every artifact, in no order. Those that come meanwhile may be left out.
	pub fn walk(&self) -> Walk {
		Walk {
			folders: vec![self.root.clone()],
			entries: None,
		}
	}
}

/// Goes through the artifacts, a folder at a time.
#[derive(Debug)]
pub struct Walk {
	folders: Vec<PathBuf>,
	entries: Option<fs::ReadDir>,
}

impl Walk {
	/// The next one; `None` after the last.
	pub async fn next(&mut self) -> io::Result<Option<H256>> {
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
		let mut walk = artifacts.walk();
		assert_eq!(walk.next().await.unwrap(), Some(name));
		assert_eq!(walk.next().await.unwrap(), None);
		artifacts.remove(&name).await.unwrap();
		assert_eq!(artifacts.size(&name).await.unwrap(), None);
	}

	#[tokio::test]
	async fn what_is_uploaded_again_is_new() {
		let directory = tempfile::tempdir().unwrap();
		let artifacts = Artifacts::open(directory.path()).await.unwrap();
		let bytes = crate::verify::PNG_SIGNATURE.to_vec();
		let name = hash(&bytes);
		assert!(!artifacts.renew(&name).await.unwrap(), "not here");
		put(&artifacts, &name, vec![Ok(bytes)]).await.unwrap();
		let past = SystemTime::now() - std::time::Duration::from_secs(3_600);
		let file = std::fs::File::open(artifacts.path(&name)).unwrap();
		file.set_modified(past).unwrap();
		let later = past + std::time::Duration::from_secs(1);
		assert!(artifacts.is_older(&name, later).await.unwrap());
		assert!(!artifacts.is_older(&name, past).await.unwrap());
		assert!(artifacts.renew(&name).await.unwrap());
		assert!(!artifacts.is_older(&name, later).await.unwrap());
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
