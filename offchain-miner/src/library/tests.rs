use super::*;
use std::io::Write;

/// The model that ships.
fn model() -> PathBuf {
	Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/default/model")
}

fn unchecked(_: &ModelFolder) -> Result<(), ImportError> {
	Ok(())
}

fn import(library: &Library, source: &Path) -> Result<Imported, ImportError> {
	library.import(source, 64 << 20, unchecked)
}

/// What the models folder shows, the lock aside.
fn left(library: &Library) -> Vec<String> {
	let mut names: Vec<String> = fs::read_dir(&library.root)
		.unwrap()
		.map(|entry| entry.unwrap().file_name().into_string().unwrap())
		.filter(|name| name != ".lock")
		.collect();
	names.sort();
	names
}

fn library(folder: &Path) -> Library {
	Library::at(Some(&folder.join("models"))).unwrap()
}

/// Every file of the model that ships: its path in it, and its content.
fn files(folder: &Path, prefix: &str, found: &mut Vec<(String, Vec<u8>)>) {
	for entry in fs::read_dir(folder).unwrap() {
		let entry = entry.unwrap();
		let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
		if entry.path().is_dir() {
			files(&entry.path(), &format!("{name}/"), found);
		} else {
			found.push((name, fs::read(entry.path()).unwrap()));
		}
	}
}

fn model_files() -> Vec<(String, Vec<u8>)> {
	let mut found = Vec::new();
	files(&model(), "", &mut found);
	found
}

fn tar_of(members: &[(String, Vec<u8>)]) -> Vec<u8> {
	let mut builder = tar::Builder::new(Vec::new());
	for (name, content) in members {
		let mut header = tar::Header::new_gnu();
		header.set_size(content.len() as u64);
		header.set_mode(0o644);
		// Past the builder's own look at names.
		header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
		header.set_cksum();
		builder.append(&header, content.as_slice()).unwrap();
	}
	builder.into_inner().unwrap()
}

fn zip_of(members: &[(String, Vec<u8>)]) -> Vec<u8> {
	let mut writer = zip::ZipWriter::new(io::Cursor::new(Vec::new()));
	for (name, content) in members {
		let options = zip::write::SimpleFileOptions::default();
		writer.start_file(name.as_str(), options).unwrap();
		writer.write_all(content).unwrap();
	}
	writer.finish().unwrap().into_inner()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
	let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
	encoder.write_all(bytes).unwrap();
	encoder.finish().unwrap()
}

#[test]
fn folders_and_archives_of_one_model_are_one_model() {
	let folder = tempfile::tempdir().unwrap();
	let library = library(folder.path());
	let first = import(&library, &model()).unwrap();
	assert!(!first.was_there);
	let hash = ModelFolder::open(&model()).unwrap().hash();
	assert_eq!(first.folder.hash(), hash);
	assert_eq!(left(&library), [hex::encode(hash)]);
	assert!(import(&library, &model()).unwrap().was_there);

	let inside: Vec<_> = model_files()
		.into_iter()
		.map(|(name, content)| (format!("emoji/{name}"), content))
		.collect();
	for (name, bytes) in [
		("model.tar", tar_of(&model_files())),
		("model.tar.gz", gzip(&tar_of(&inside))),
		("model.zip", zip_of(&inside)),
	] {
		let archive = folder.path().join(name);
		fs::write(&archive, bytes).unwrap();
		let imported = import(&library, &archive).expect(name);
		assert!(imported.was_there, "{name}");
		assert_eq!(imported.folder.hash(), hash, "{name}");
	}
	assert_eq!(left(&library).len(), 1);
	assert_eq!(library.folders().unwrap().len(), 1);
}

#[test]
fn hostile_archives_are_refused_and_leave_nothing() {
	let folder = tempfile::tempdir().unwrap();
	let library = library(folder.path());
	let with = |name: &str| vec![(name.to_owned(), b"x".to_vec())];
	let link = {
		let mut builder = tar::Builder::new(Vec::new());
		let mut header = tar::Header::new_gnu();
		header.set_entry_type(tar::EntryType::Symlink);
		header.set_size(0);
		builder.append_link(&mut header, "unet", "/etc").unwrap();
		builder.into_inner().unwrap()
	};
	let long_name = {
		let mut header = tar::Header::new_gnu();
		header.set_entry_type(tar::EntryType::GNULongName);
		header.set_path("x").unwrap();
		header.set_size(1 << 40);
		header.set_cksum();
		let mut bytes = header.as_bytes().to_vec();
		bytes.resize(4 << 20, b'a');
		gzip(&bytes)
	};
	let zip_link = {
		let mut writer = zip::ZipWriter::new(io::Cursor::new(Vec::new()));
		let options = zip::write::SimpleFileOptions::default();
		writer.add_symlink("unet", "/etc", options).unwrap();
		writer.finish().unwrap().into_inner()
	};
	let twice = [with("a"), with("a")].concat();
	let whole = tar_of(&model_files());
	let mut changed = gzip(&whole);
	let checksum = changed.len() - 6;
	changed[checksum] ^= 1;
	for (what, bytes) in [
		("a path that leaves", tar_of(&with("../escape"))),
		("an absolute path", tar_of(&with("/escape"))),
		("a zip whose path leaves", zip_of(&with("a/../../escape"))),
		("a link", link),
		("a link in a zip", zip_link),
		("a name without end", long_name),
		("a file twice", tar_of(&twice)),
		("no model", tar_of(&with("readme"))),
		("no archive", b"nothing of the kind".to_vec()),
		("an empty file", Vec::new()),
		("half a tar", whole[..whole.len() / 2].to_vec()),
		("a gzip whose checksum is wrong", changed),
		("half a gzip", gzip(&whole)[..5_000].to_vec()),
		("half a zip", zip_of(&model_files())[..5_000].to_vec()),
	] {
		let archive = folder.path().join("archive");
		fs::write(&archive, bytes).unwrap();
		let error = import(&library, &archive).expect_err(what);
		assert!(!error.to_string().is_empty());
		assert!(
			left(&library).is_empty(),
			"{what} left {:?}",
			left(&library)
		);
		assert!(!folder.path().join("escape").exists(), "{what}");
		assert!(!library.root.join("escape").exists(), "{what}");
	}
}

#[test]
fn what_is_too_large_is_refused_by_what_it_has_not_by_what_it_says() {
	let folder = tempfile::tempdir().unwrap();
	let library = library(folder.path());
	let bomb = vec![("unet/model.onnx".to_owned(), vec![0; 3 << 20])];
	for (name, bytes) in [
		("bomb.zip", zip_of(&bomb)),
		("bomb.tar.gz", gzip(&tar_of(&bomb))),
	] {
		let archive = folder.path().join(name);
		fs::write(&archive, &bytes).unwrap();
		assert!(bytes.len() < 100_000, "{name} is no bomb");
		let error = library.import(&archive, 1 << 20, unchecked).unwrap_err();
		assert!(matches!(error, ImportError::TooLarge(_)), "{error}");
		assert!(left(&library).is_empty());
	}
	let many: Vec<_> = (0..5_000)
		.map(|number| (format!("f{number}"), Vec::new()))
		.collect();
	let archive = folder.path().join("many.tar");
	fs::write(&archive, tar_of(&many)).unwrap();
	let error = import(&library, &archive).unwrap_err();
	assert!(matches!(error, ImportError::TooManyFiles), "{error}");
}

#[test]
fn links_in_a_folder_are_refused_and_damage_is_told() {
	let folder = tempfile::tempdir().unwrap();
	let library = library(folder.path());
	let source = folder.path().join("source");
	for (name, content) in model_files() {
		let path = source.join(name);
		fs::create_dir_all(path.parent().unwrap()).unwrap();
		fs::write(path, content).unwrap();
	}
	std::os::unix::fs::symlink("/etc/passwd", source.join("unet/extra")).unwrap();
	let error = import(&library, &source).unwrap_err();
	assert!(matches!(error, ImportError::NotAFile(_)), "{error}");
	fs::remove_file(source.join("unet/extra")).unwrap();
	// Cut, as by a copy that broke off.
	let graph = source.join("unet/model.onnx");
	let content = fs::read(&graph).unwrap();
	fs::write(&graph, &content[..content.len() / 2]).unwrap();
	let error = import(&library, &source).unwrap_err();
	assert!(matches!(error, ImportError::Model(_)), "{error}");
	assert!(left(&library).is_empty());
	fs::write(&graph, content).unwrap();
	let refuse = |_: &ModelFolder| Err(ImportError::NoModel);
	assert!(library.import(&source, 64 << 20, refuse).is_err());
	assert!(left(&library).is_empty(), "refused by the last check");
	import(&library, &source).unwrap();
}

#[test]
fn a_killed_import_is_swept_out_and_two_at_once_are_not_let() {
	let folder = tempfile::tempdir().unwrap();
	let library = library(folder.path());
	let killed = library.root.join(".import-00c0ffee00c0ffee");
	fs::create_dir_all(killed.join("unpacked/unet")).unwrap();
	fs::write(killed.join("unpacked/unet/half"), b"x").unwrap();
	fs::write(killed.join(".lock"), b"").unwrap();
	let second = library.clone();
	let busy = |_: &ModelFolder| {
		let error = import(&second, &model()).unwrap_err();
		assert!(matches!(error, ImportError::InUse(_)), "{error}");
		Ok(())
	};
	let imported = library.import(&model(), 64 << 20, busy).unwrap();
	assert_eq!(left(&library).len(), 1);
	// Changed behind the library's back.
	let config = imported.folder.path().join("unet/config.json");
	let text = fs::read_to_string(&config).unwrap();
	fs::write(config, format!("{text} ")).unwrap();
	assert!(import(&library, &model()).is_err());
	let path = library.folders().unwrap().remove(0);
	assert!(is_changed(&path, &ModelFolder::open(&path).unwrap()));
}

#[test]
fn an_optimised_copy_paints_the_same_within_a_level() {
	let folder = tempfile::tempdir().unwrap();
	let args = OptimizeArgs {
		source: model(),
		out: folder.path().join("fast"),
		tolerance: 1,
		cuda: false,
		python: "python3".into(),
		device: Device::Cpu,
		unchecked: false,
		onnxruntime: None,
	};
	// Left by one that was killed, and what only looks like it.
	fs::create_dir_all(folder.path().join(".import-00c0ffee00c0ffee/model")).unwrap();
	fs::create_dir(folder.path().join(".import-photos")).unwrap();
	let stopped = Stop::new();
	stopped.stop();
	let error = optimise::optimise(&args, &stopped).unwrap_err();
	assert_eq!(error.to_string(), "interrupted");
	let names = || -> Vec<String> {
		let entries = fs::read_dir(folder.path()).unwrap();
		entries
			.map(|entry| entry.unwrap().file_name().into_string().unwrap())
			.collect()
	};
	assert_eq!(names(), [".import-photos"]);

	let (copy, comparison) = optimise::optimise(&args, &Stop::new()).unwrap();
	assert!(comparison.worst <= 1, "{comparison:?}");
	assert_ne!(copy.hash(), ModelFolder::open(&model()).unwrap().hash());
	let again = optimise::optimise(&args, &Stop::new());
	assert!(again.is_err(), "is there already");
	assert_eq!(names().len(), 2, "{:?}", names());
}

/// A model may be made in the models folder itself, beside an import.
#[test]
fn an_import_leaves_alone_what_another_process_is_at_work_on() {
	let folder = tempfile::tempdir().unwrap();
	let library = library(folder.path());
	let out = library.root.join("made");
	let (made, ()) = optimise::in_a_new_folder(&out, |copy| {
		optimise::copy_model(&model(), copy, |_| true)?;
		import(&library, &model())?;
		Ok(())
	})
	.unwrap();
	assert_eq!(made.hash(), ModelFolder::open(&model()).unwrap().hash());
	assert_eq!(left(&library), [hex::encode(made.hash()), "made".into()]);
}

/// Weights outside of their graph may lie in a folder of their own, and count for the model's identity.
#[test]
fn a_copy_has_the_folders_of_its_components() {
	let folder = tempfile::tempdir().unwrap();
	let (source, copy) = (folder.path().join("source"), folder.path().join("copy"));
	optimise::copy_model(&model(), &source, |_| true).unwrap();
	let deep = source.join("unet/weights/more");
	fs::create_dir_all(&deep).unwrap();
	fs::write(deep.join("part.bin"), b"weights").unwrap();
	fs::create_dir(source.join("unet/.cache")).unwrap();
	optimise::copy_model(&source, &copy, |_| true).unwrap();
	let hash = |folder: &Path| ModelFolder::open(folder).unwrap().hash();
	assert_eq!(hash(&copy), hash(&source));
	assert_ne!(hash(&copy), hash(&model()));
	assert!(!copy.join("unet/.cache").exists());
}
