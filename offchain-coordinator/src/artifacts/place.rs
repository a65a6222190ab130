//! Where artifacts are kept, as an operator says it.

use cuckoo_primitives::H256;
use futures::FutureExt;
use object_store::{memory::InMemory, path::Path as Key, ObjectStoreExt};
use std::{
	collections::BTreeMap,
	path::{Path, PathBuf},
	sync::Arc,
};

/// Where artifacts are kept.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Place {
	/// In the data directory.
	#[default]
	DataDir,
	/// In a folder that several processes of one coordinator can share.
	Folder(PathBuf),
	/// In storage that speaks S3.
	S3(S3),
	/// In memory, as long as somebody has it: for tests.
	Memory(Memory),
}

/// Storage that speaks S3.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct S3 {
	/// The bucket.
	pub bucket: String,
	/// What stands before the artifacts' names, without a slash at its ends; may be empty.
	pub prefix: String,
	/// The server's URL; `None` for Amazon's in the region.
	pub endpoint: Option<String>,
	/// The region; `None` for what the environment says.
	pub region: Option<String>,
	/// File with the credentials; `None` for the environment.
	pub credentials: Option<PathBuf>,
}

impl S3 {
	/// From `s3://bucket/prefix`.
	pub fn parse(url: &str) -> Option<Self> {
		let (bucket, prefix) = match url.strip_prefix("s3://")?.split_once('/') {
			Some((bucket, prefix)) => (bucket, prefix.trim_matches('/')),
			None => (url.strip_prefix("s3://")?, ""),
		};
		let is_plain = |text: &str| {
			let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._/".contains(&byte);
			text.bytes().all(plain) && !text.split('/').any(|part| matches!(part, "." | ".."))
		};
		let is_good =
			!bucket.is_empty() && is_plain(bucket) && is_plain(prefix) && !prefix.contains("//");
		is_good.then(|| Self {
			bucket: bucket.into(),
			prefix: prefix.into(),
			endpoint: None,
			region: None,
			credentials: None,
		})
	}
}

/// Artifacts in memory.
#[derive(Clone, Debug, Default)]
pub struct Memory(pub(super) Arc<InMemory>);

impl Memory {
	/// Keeps an artifact, unchecked.
	pub fn put(&self, hash: &H256, bytes: Vec<u8>) {
		let key = Key::from(hex::encode(hash));
		// There is nothing to wait for, and nothing that can fail.
		let _ = self.0.put(&key, bytes.into()).now_or_never();
	}
}

impl PartialEq for Memory {
	fn eq(&self, other: &Self) -> bool {
		Arc::ptr_eq(&self.0, &other.0)
	}
}

impl Eq for Memory {}

/// The file with the credentials cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
	/// It cannot be read.
	#[error("the credentials {0} cannot be read: {1}")]
	File(PathBuf, std::io::Error),
	/// It lacks something.
	#[error("the credentials {0} lack `{1}` under `[default]`")]
	Missing(PathBuf, &'static str),
}

/// What signs requests. Shown nowhere.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Credentials {
	pub(super) id: String,
	pub(super) secret: String,
	pub(super) token: Option<String>,
}

impl Credentials {
	/// From a file as Amazon's tools have it.
	pub(super) fn read(path: &Path) -> Result<Self, PlaceError> {
		let text = std::fs::read_to_string(path)
			.map_err(|error| PlaceError::File(path.to_owned(), error))?;
		let mut values = default_section(&text);
		let mut need = |key| {
			let value = values.remove(key);
			value.ok_or_else(|| PlaceError::Missing(path.to_owned(), key))
		};
		Ok(Self {
			id: need("aws_access_key_id")?,
			secret: need("aws_secret_access_key")?,
			token: values.remove("aws_session_token"),
		})
	}
}

fn default_section(text: &str) -> BTreeMap<String, String> {
	let mut is_default = false;
	let mut values = BTreeMap::new();
	for line in text.lines().map(str::trim) {
		if line.starts_with('[') {
			is_default = line == "[default]";
		} else if let Some((key, value)) = line.split_once('=').filter(|_| is_default) {
			values.insert(key.trim().to_owned(), value.trim().to_owned());
		}
	}
	values
}

impl Place {
	/// Reads the file with the credentials, if one is named.
	pub fn check(&self) -> Result<(), PlaceError> {
		match self {
			Self::S3(S3 {
				credentials: Some(path),
				..
			}) => Credentials::read(path).map(drop),
			_ => Ok(()),
		}
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn urls_name_a_bucket_and_perhaps_a_prefix() {
		let parts = |url: &str| S3::parse(url).map(|s3| (s3.bucket, s3.prefix));
		let of = |bucket: &str, prefix: &str| Some((bucket.to_owned(), prefix.to_owned()));
		assert_eq!(parts("s3://pictures"), of("pictures", ""));
		assert_eq!(parts("s3://pictures/"), of("pictures", ""));
		assert_eq!(parts("s3://pictures/a/b/"), of("pictures", "a/b"));
		for wrong in [
			"",
			"pictures",
			"s3://",
			"s3:///a",
			"https://a/b",
			"s3://a/../b",
			"s3://a b",
			"s3://a/b//c",
		] {
			assert_eq!(parts(wrong), None, "{wrong}");
		}
	}

	#[test]
	fn credentials_are_read_from_the_default_section_and_hide() {
		let directory = tempfile::tempdir().unwrap();
		let path = directory.path().join("credentials");
		std::fs::write(
			&path,
			"[other]\naws_access_key_id = x\n[default]\naws_access_key_id=one\n\
			 aws_secret_access_key = two=2\n",
		)
		.unwrap();
		let read = Credentials::read(&path).map_err(|error| error.to_string());
		let read = read.unwrap_or_else(|error| panic!("{error}"));
		assert_eq!((read.id.as_str(), read.secret.as_str()), ("one", "two=2"));
		assert!(read.token.is_none());
		std::fs::write(&path, "[default]\naws_access_key_id=one\n").unwrap();
		let error = Credentials::read(&path).err().unwrap().to_string();
		assert!(error.contains("lack `aws_secret_access_key`"), "{error}");
		std::fs::remove_file(&path).unwrap();
		assert!(Credentials::read(&path).is_err());
	}
}
