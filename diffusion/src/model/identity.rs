//! A model's identity: see [`ModelFolder::hash`](super::ModelFolder::hash) for what it binds.

use crate::Error;
use std::{
	fs::{self, File},
	io::Read,
	path::{Path, PathBuf},
};

const DOMAIN: &[u8] = b"cuckoo/model/1";
const INDEX: &str = "model_index.json";
/// The folders whose files count.
const COMPONENTS: [&str; 8] = [
	"scheduler",
	"text_encoder",
	"text_encoder_2",
	"tokenizer",
	"tokenizer_2",
	"unet",
	"vae_decoder",
	"vae_encoder",
];
/// Far more than any export has.
const MAX_FILES: usize = 4096;
const MAX_DEPTH: usize = 8;
const CHUNK: usize = 1 << 20;

/// The files that count, in the order of the bytes of their names.
pub(super) struct Files(Vec<(String, PathBuf)>);

/// The files that count of the folder at `root`, which is canonical.
pub(super) fn files(root: &Path) -> Result<Files, Error> {
	let index = inside(root, &root.join(INDEX))?;
	if !index.is_file() {
		return Err(no_file(&index));
	}
	let mut collected = Collected {
		files: vec![(INDEX.to_owned(), index)],
		seen: 1,
	};
	for component in COMPONENTS {
		let folder = root.join(component);
		if folder.exists() {
			collected.add(root, &folder, component, MAX_DEPTH)?;
		}
	}
	collected.files.sort();
	Ok(Files(collected.files))
}

impl Files {
	/// Whether a file of this name counts.
	pub(super) fn has(&self, name: &str) -> bool {
		self.0
			.binary_search_by(|(other, _)| other.as_str().cmp(name))
			.is_ok()
	}
}

/// The identity of a folder of these files.
pub(super) fn hash(files: &Files) -> Result<[u8; 32], Error> {
	let mut hasher = blake3::Hasher::new();
	hasher.update(DOMAIN);
	for (name, path) in &files.0 {
		let read_error = |source| Error::Read {
			path: path.clone(),
			source,
		};
		let mut file = File::open(path).map_err(read_error)?;
		let length = file.metadata().map_err(read_error)?.len();
		// A path of the file system has at most some thousands of bytes.
		hasher.update(&(name.len() as u32).to_le_bytes());
		hasher.update(name.as_bytes());
		hasher.update(&length.to_le_bytes());
		let mut buffer = vec![0; CHUNK];
		let mut total = 0;
		loop {
			let read = file.read(&mut buffer).map_err(read_error)?;
			if read == 0 {
				break;
			}
			total += read as u64;
			hasher.update(&buffer[..read]);
		}
		if total != length {
			return Err(Error::model(
				path,
				"changed while it was read; open the folder again",
			));
		}
	}
	Ok(*hasher.finalize().as_bytes())
}

struct Collected {
	/// Each with its name relative to the root.
	files: Vec<(String, PathBuf)>,
	/// Files and folders: links make few folders many.
	seen: usize,
}

impl Collected {
	/// Adds the files under `folder`.
	fn add(&mut self, root: &Path, folder: &Path, name: &str, depth: usize) -> Result<(), Error> {
		if depth == 0 {
			return Err(Error::model(
				folder,
				format!("lies more than {MAX_DEPTH} folders deep"),
			));
		}
		let read_error = |source| Error::Read {
			path: folder.into(),
			source,
		};
		for entry in fs::read_dir(inside(root, folder)?).map_err(read_error)? {
			let entry = entry.map_err(read_error)?;
			let file_name = entry.file_name();
			let Some(file_name) = file_name.to_str() else {
				return Err(Error::model(
					entry.path(),
					"has a name that is not UTF-8; rename it",
				));
			};
			if file_name.starts_with('.') {
				continue;
			}
			let name = format!("{name}/{file_name}");
			let path = inside(root, &entry.path())?;
			self.seen += 1;
			if self.seen > MAX_FILES {
				return Err(Error::model(
					root,
					format!("holds more than {MAX_FILES} files and folders"),
				));
			}
			if path.is_dir() {
				self.add(root, &path, &name, depth - 1)?;
			} else if path.is_file() {
				self.files.push((name, path));
			} else {
				return Err(no_file(&path));
			}
		}
		Ok(())
	}
}

/// Of a pipe or a device, which may be read for ever.
fn no_file(path: &Path) -> Error {
	Error::model(path, "is neither a file nor a folder; remove it")
}

/// The path with links resolved, if that is still inside the folder.
fn inside(root: &Path, path: &Path) -> Result<PathBuf, Error> {
	let real = path.canonicalize().map_err(|source| Error::Read {
		path: path.into(),
		source,
	})?;
	if real.starts_with(root) {
		return Ok(real);
	}
	Err(Error::model(
		path,
		format!(
			"links to {}, outside the model folder; copy the file into it",
			real.display()
		),
	))
}

#[cfg(test)]
mod tests {
	use super::*;

	fn write(root: &Path, files: &[(&str, &str)]) {
		for (name, content) in files {
			let path = root.join(name);
			fs::create_dir_all(path.parent().unwrap()).unwrap();
			fs::write(path, content).unwrap();
		}
	}

	fn hash_of(files: &[(&str, &str)]) -> [u8; 32] {
		let folder = tempfile::tempdir().unwrap();
		write(folder.path(), files);
		hash_at(&folder.path().canonicalize().unwrap()).unwrap()
	}

	fn hash_at(root: &Path) -> Result<[u8; 32], Error> {
		hash(&files(root)?)
	}

	const BASE: [(&str, &str); 3] = [
		(INDEX, "{}"),
		("unet/config.json", "a"),
		("unet/model.onnx", "bc"),
	];

	#[test]
	fn the_definition_is_what_is_computed() {
		let mut bytes = b"cuckoo/model/1".to_vec();
		for (name, content) in BASE {
			bytes.extend((name.len() as u32).to_le_bytes());
			bytes.extend(name.as_bytes());
			bytes.extend((content.len() as u64).to_le_bytes());
			bytes.extend(content.as_bytes());
		}
		assert_eq!(hash_of(&BASE), *blake3::hash(&bytes).as_bytes());
	}

	#[test]
	fn what_counts_changes_it() {
		let with = |name, content| hash_of(&[BASE.as_slice(), &[(name, content)]].concat());
		let base = hash_of(&BASE);
		for name in [
			"unet/model.onnx_data",
			"tokenizer/deep/vocab.json",
			"vae_encoder/model.onnx",
		] {
			assert_ne!(with(name, "x"), base, "{name}");
			assert_ne!(with(name, "x"), with(name, "y"), "{name}");
		}
		// A byte that moves from one file to the next.
		let moved = [
			BASE[0],
			("unet/config.json", "ab"),
			("unet/model.onnx", "c"),
		];
		assert_ne!(hash_of(&moved), base);
	}

	#[test]
	fn what_does_not_count_does_not() {
		let with = |name| hash_of(&[BASE.as_slice(), &[(name, "x")]].concat());
		for name in [
			"README.md",
			"cuckoo.json",
			"unet/.DS_Store",
			"unet/.cache/x",
			"feature/x",
		] {
			assert_eq!(with(name), hash_of(&BASE), "{name}");
		}
	}

	#[cfg(unix)]
	#[test]
	fn links_are_followed_inside_and_refused_outside() {
		let outside = tempfile::NamedTempFile::new().unwrap();
		let folder = tempfile::tempdir().unwrap();
		let root = folder.path().canonicalize().unwrap();
		write(&root, &BASE);
		write(&root, &[("blobs/1", "x")]);
		std::os::unix::fs::symlink(root.join("blobs/1"), root.join("unet/extra")).unwrap();
		let linked = [BASE.as_slice(), &[("unet/extra", "x")]].concat();
		assert_eq!(hash_at(&root).unwrap(), hash_of(&linked));

		std::os::unix::fs::symlink(outside.path(), root.join("unet/escape")).unwrap();
		let error = hash_at(&root).unwrap_err().to_string();
		assert!(
			error.contains("unet/escape") && error.contains("outside"),
			"{error}"
		);
	}

	/// Links to the next of six folders, fifty in each: fifteen thousand million paths to one file.
	#[cfg(unix)]
	#[test]
	fn folders_count_as_files_do() {
		let folder = tempfile::tempdir().unwrap();
		let root = folder.path().canonicalize().unwrap();
		write(&root, &BASE);
		for level in 0..6 {
			let next = root.join(format!("level/{}", level + 1));
			fs::create_dir_all(&next).unwrap();
			let here = match level {
				0 => root.join("unet"),
				_ => root.join(format!("level/{level}")),
			};
			for link in 0..50 {
				std::os::unix::fs::symlink(&next, here.join(link.to_string())).unwrap();
			}
		}
		let error = hash_at(&root).unwrap_err().to_string();
		assert!(error.contains("4096 files and folders"), "{error}");
	}

	/// A socket stands for all that is no file: a pipe would be waited for.
	#[cfg(unix)]
	#[test]
	fn what_is_neither_file_nor_folder_is_refused() {
		for name in ["unet/pipe", INDEX] {
			let folder = tempfile::tempdir().unwrap();
			let root = folder.path().canonicalize().unwrap();
			write(&root, &BASE);
			let _ = fs::remove_file(root.join(name));
			let _socket = std::os::unix::net::UnixListener::bind(root.join(name)).unwrap();
			let error = hash_at(&root).unwrap_err().to_string();
			assert!(error.contains("neither a file nor a folder"), "{error}");
		}
	}
}
