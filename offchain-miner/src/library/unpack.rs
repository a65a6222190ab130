//! Files from a folder or an archive of a stranger, into a folder of ours: bounded, and never out of it.

use super::ImportError;
use std::{
	cell::Cell,
	fs::{self, File},
	io::{self, BufReader, Read, Write},
	path::{Path, PathBuf},
	rc::Rc,
};

/// As many as the engine reads of a model.
const MAX_FILES: usize = 4_096;
/// A folder within a folder within …
const MAX_DEPTH: usize = 10;
/// A part of a path.
const MAX_NAME_BYTES: usize = 255;
/// Between two members of a tar archive: headers, long names, attributes, padding.
const MAX_BETWEEN_MEMBERS: u64 = 1024 * 1024;
const CHUNK: usize = 1024 * 1024;

/// A folder that is being filled.
pub(super) struct Staging {
	root: PathBuf,
	max_bytes: u64,
	bytes: u64,
	files: usize,
}

impl Staging {
	/// The empty folder `root`, for so many bytes.
	pub fn new(root: PathBuf, max_bytes: u64) -> Self {
		Self {
			root,
			max_bytes,
			bytes: 0,
			files: 0,
		}
	}

	/// Everything of the folder or archive at `source`.
	pub fn fill(&mut self, source: &Path) -> Result<(), ImportError> {
		let failed = |error| ImportError::io(source, error);
		if fs::metadata(source).map_err(failed)?.is_dir() {
			return self.copy_folder(source, "");
		}
		let mut file = File::open(source).map_err(failed)?;
		let mut magic = [0; 4];
		let mut length = 0;
		while length < magic.len() {
			match file.read(&mut magic[length..]).map_err(failed)? {
				0 => break,
				read => length += read,
			}
		}
		let file = File::open(source).map_err(failed)?;
		match magic {
			[b'P', b'K', 3, 4] => self.unzip(file),
			[0x1f, 0x8b, ..] => self.untar(flate2::read::MultiGzDecoder::new(BufReader::new(file))),
			_ => self.untar(BufReader::new(file)),
		}
	}

	/// The files of `folder`, whose name relative to the source is `name`.
	fn copy_folder(&mut self, folder: &Path, name: &str) -> Result<(), ImportError> {
		let failed = |error| ImportError::io(folder, error);
		for entry in fs::read_dir(folder).map_err(failed)? {
			let entry = entry.map_err(failed)?;
			let file_name = entry.file_name();
			let Some(file_name) = file_name.to_str() else {
				let name = entry.path().display().to_string();
				return Err(ImportError::UnsafeName(name));
			};
			if is_hidden(file_name) {
				continue;
			}
			let name = if name.is_empty() {
				file_name.to_owned()
			} else {
				format!("{name}/{file_name}")
			};
			// Of the link itself, if it is one.
			let kind = entry.file_type().map_err(failed)?;
			if kind.is_dir() {
				safe_name(&name)?;
				self.copy_folder(&entry.path(), &name)?;
			} else if kind.is_file() {
				let path = entry.path();
				let file = File::open(&path).map_err(|error| ImportError::io(&path, error))?;
				self.add(&name, file)?;
			} else {
				return Err(ImportError::NotAFile(name));
			}
		}
		Ok(())
	}

	fn untar(&mut self, archive: impl Read) -> Result<(), ImportError> {
		let leash = Rc::new(Cell::new(MAX_BETWEEN_MEMBERS));
		let mut archive = tar::Archive::new(Leashed {
			input: archive,
			left: leash.clone(),
		});
		for entry in archive.entries().map_err(ImportError::archive)? {
			let mut entry = entry.map_err(ImportError::archive)?;
			let name = String::from_utf8(entry.path_bytes().into_owned())
				.map_err(|error| ImportError::UnsafeName(error.to_string()))?;
			let kind = entry.header().entry_type();
			if kind.is_dir() {
				safe_name(&name)?;
			} else if kind.is_file() || kind.is_contiguous() {
				// As much as the staging takes; that is bounded there.
				leash.set(u64::MAX);
				self.add(&name, &mut entry)?;
			} else {
				return Err(ImportError::NotAFile(name));
			}
			leash.set(MAX_BETWEEN_MEMBERS);
		}
		// To its end, where a gzip file has its checksum; more than padding is not looked at.
		let mut rest = archive.into_inner();
		let mut buffer = [0; 4_096];
		loop {
			match rest.read(&mut buffer) {
				Ok(0) => return Ok(()),
				Ok(_) => {},
				Err(_) if leash.get() == 0 => return Ok(()),
				Err(error) => return Err(ImportError::archive(error)),
			}
		}
	}

	fn unzip(&mut self, file: File) -> Result<(), ImportError> {
		let mut archive =
			zip::ZipArchive::new(BufReader::new(file)).map_err(ImportError::archive)?;
		if archive.len() > MAX_FILES * 2 {
			return Err(ImportError::TooManyFiles);
		}
		for number in 0..archive.len() {
			let mut member = archive.by_index(number).map_err(ImportError::archive)?;
			let name = member.name().map_err(ImportError::archive)?.into_owned();
			if member.is_dir() {
				safe_name(&name)?;
				continue;
			}
			if !is_plain_file(member.unix_mode()) {
				return Err(ImportError::NotAFile(name));
			}
			self.add(&name, &mut member)?;
		}
		Ok(())
	}

	/// One file, under a name that the source has for it. One that is hidden is read, and not kept.
	fn add(&mut self, name: &str, mut content: impl Read) -> Result<(), ImportError> {
		let Some(relative) = safe_name(name)? else {
			return Err(ImportError::UnsafeName(name.into()));
		};
		self.files += 1;
		if self.files > MAX_FILES {
			return Err(ImportError::TooManyFiles);
		}
		let path = self.root.join(&relative);
		let failed = |error| ImportError::io(&path, error);
		let mut file = if relative
			.iter()
			.any(|part| is_hidden(&part.to_string_lossy()))
		{
			None
		} else {
			if let Some(parent) = path.parent() {
				fs::create_dir_all(parent).map_err(failed)?;
			}
			// A second file of this name is refused too.
			Some(File::create_new(&path).map_err(failed)?)
		};
		let mut buffer = vec![0; CHUNK];
		loop {
			let read = match content.read(&mut buffer) {
				Ok(0) => break,
				Ok(read) => read,
				Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
				Err(error) => return Err(ImportError::Archive(format!("{name}: {error}"))),
			};
			// What is read, not what a header says: that may be anything.
			self.bytes += read as u64;
			if self.bytes > self.max_bytes {
				return Err(ImportError::TooLarge(self.max_bytes));
			}
			if let Some(file) = &mut file {
				file.write_all(&buffer[..read]).map_err(failed)?;
			}
		}
		file.map_or(Ok(()), |file| file.sync_all().map_err(failed))
	}
}

/// Caches and the like of other programs, in a folder or an archive: they count for no model.
fn is_hidden(name: &str) -> bool {
	name.starts_with('.')
}

/// Whether a zip member with this Unix mode is a file: no link, no device. Without a mode it is.
fn is_plain_file(mode: Option<u32>) -> bool {
	const KIND: u32 = 0o170_000;
	const FILE: u32 = 0o100_000;
	matches!(mode.map(|mode| mode & KIND), None | Some(0 | FILE))
}

/// A member's name as a path that stays in the folder that it is relative to; `None` for the folder
/// itself.
fn safe_name(name: &str) -> Result<Option<PathBuf>, ImportError> {
	let unsafe_name = || ImportError::UnsafeName(name.chars().take(200).collect());
	let bad = |character: char| character == '\\' || character.is_control();
	if name.starts_with('/') || name.contains(bad) {
		return Err(unsafe_name());
	}
	let mut path = PathBuf::new();
	let mut depth = 0;
	for part in name.split('/') {
		match part {
			// `./model` and `model//x`, as tar writes them.
			"" | "." => {},
			".." => return Err(unsafe_name()),
			part if part.len() > MAX_NAME_BYTES => return Err(unsafe_name()),
			part => {
				path.push(part);
				depth += 1;
			},
		}
	}
	if depth > MAX_DEPTH {
		return Err(unsafe_name());
	}
	Ok((depth > 0).then_some(path))
}

/// A reader that ends with an error after so many bytes: `tar` reads names and attributes into memory,
/// however long an archive says they are.
struct Leashed<R> {
	input: R,
	left: Rc<Cell<u64>>,
}

impl<R: Read> Read for Leashed<R> {
	fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
		let left = self.left.get();
		if left == 0 && !buffer.is_empty() {
			return Err(io::Error::other("a name or attribute in it is too long"));
		}
		let most = usize::try_from(left)
			.unwrap_or(usize::MAX)
			.min(buffer.len());
		let read = self.input.read(&mut buffer[..most])?;
		self.left.set(left - read as u64);
		Ok(read)
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use proptest::prelude::*;

	#[test]
	fn names_stay_inside() {
		for (name, path) in [
			("unet/model.onnx", Some("unet/model.onnx")),
			("./unet//model.onnx", Some("unet/model.onnx")),
			("unet/", Some("unet")),
			("./", None),
			("", None),
		] {
			assert_eq!(safe_name(name).unwrap(), path.map(PathBuf::from), "{name}");
		}
		let (deep, long) = ("a/".repeat(11), "a".repeat(256));
		for name in [
			"../x",
			"a/../x",
			"/etc/passwd",
			"a\\..\\x",
			"a\0b",
			"a\nb",
			"..",
			&deep,
			&long,
		] {
			assert!(safe_name(name).is_err(), "{name:?}");
		}
	}

	/// What a folder is imported without, an archive is as well.
	#[test]
	fn hidden_files_are_left_out_of_archives_too() {
		let folder = tempfile::tempdir().unwrap();
		let archive = folder.path().join("archive.tar");
		let mut builder = tar::Builder::new(File::create(&archive).unwrap());
		let large = vec![7; 2 * MAX_BETWEEN_MEMBERS as usize];
		let members: [(&str, &[u8]); 4] = [
			("unet/.w", &large),
			(".cache/x", b"x"),
			("./unet/model.onnx", b"graph"),
			("unet/sub/.x/y", b"y"),
		];
		for (name, content) in members {
			let mut header = tar::Header::new_gnu();
			header.set_size(content.len() as u64);
			header.set_mode(0o644);
			builder.append_data(&mut header, name, content).unwrap();
		}
		builder.into_inner().unwrap();
		let import = |max_bytes| {
			let root = tempfile::tempdir().unwrap();
			let filled = Staging::new(root.path().into(), max_bytes).fill(&archive);
			(root, filled)
		};
		let (root, filled) = import(u64::MAX);
		filled.unwrap();
		let names = |path: &str| -> Vec<_> {
			let entries = fs::read_dir(root.path().join(path)).unwrap();
			entries.map(|entry| entry.unwrap().file_name()).collect()
		};
		assert_eq!(names(""), ["unet"]);
		assert_eq!(names("unet"), ["model.onnx"]);
		// Reading them is work all the same.
		let (_root, filled) = import(large.len() as u64 - 1);
		assert!(matches!(filled, Err(ImportError::TooLarge(_))));
	}

	proptest! {
		#[test]
		fn whatever_a_name_is_it_stays_inside(name in "[a./\\\\\0é]{0,20}") {
			if let Ok(Some(path)) = safe_name(&name) {
				let plain = |part| matches!(part, std::path::Component::Normal(_));
				prop_assert!(path.components().all(plain));
			}
		}

		#[test]
		fn any_bytes_end_without_a_panic(
			bytes in prop::collection::vec(any::<u8>(), 0..2_000),
			magic in prop_oneof![
				Just(Vec::new()),
				Just(vec![b'P', b'K', 3, 4]),
				Just(vec![0x1f, 0x8b, 8, 0]),
			],
		) {
			let folder = tempfile::tempdir().unwrap();
			let archive = folder.path().join("archive");
			fs::write(&archive, [magic, bytes].concat()).unwrap();
			let root = folder.path().join("root");
			fs::create_dir(&root).unwrap();
			let _ = Staging::new(root, 1_000_000).fill(&archive);
		}
	}
}
