//! The models folder: what `offchain-miner models` imports, lists and optimises.
//!
//! A model lies in a folder that is named after its hash. It appears whole or not at all: it is put
//! together in a hidden folder beside, checked, flushed to the disk and renamed. What a crash left
//! unfinished is swept out by the next one that is made there; what another process is at work on has its lock.

mod cuda;
mod optimise;
mod unpack;

use crate::{
	engine::memory_estimate,
	interrupt,
	memory::Bytes,
	models,
	ui::{printable, Ui},
};
use anyhow::Context;
use clap::{Args, Subcommand};
use cuckoo_diffusion::{runtime, Device, ModelFolder, Pipeline, Stop};
use cuckoo_primitives::H256;
use serde_json::json;
use std::{
	fs::{self, File},
	io,
	path::{Path, PathBuf},
};
use tokio::task;
use unpack::Staging;

/// The environment variable that names the models folder.
pub const MODELS_VARIABLE: &str = "CUCKOO_MODELS_DIR";

/// In front of the names of folders that are not whole yet; 16 hex digits follow.
const UNFINISHED: &str = ".import-";
/// The file in such a folder, and in the models folder, that is locked by who works on it.
const LOCK: &str = ".lock";
/// How often another process may take a folder that was just made for one that was left.
const TRIES: usize = 8;
/// What of a model's folder is kept: what the engine reads, and what its makers say about it.
const KEPT: [&str; 14] = [
	"model_index.json",
	"cuckoo.json",
	"scheduler",
	"text_encoder",
	"text_encoder_2",
	"tokenizer",
	"tokenizer_2",
	"unet",
	"vae_decoder",
	"vae_encoder",
	"LICENSE",
	"LICENSE.md",
	"NOTICE.md",
	"README.md",
];
/// Larger than any model in use.
const MAX_MODEL: &str = "64GiB";

/// Options of `models`.
#[derive(Clone, Debug, Args)]
pub struct ModelsArgs {
	/// The models folder. Default: cuckoo/models in the user's data folder.
	#[arg(long, value_name = "DIR", env = MODELS_VARIABLE, global = true)]
	pub models_dir: Option<PathBuf>,
	/// Print one JSON object.
	#[arg(long, global = true)]
	pub json: bool,
	/// What to do.
	#[command(subcommand)]
	pub command: ModelsCommand,
}

/// What to do with models.
#[derive(Clone, Debug, Subcommand)]
pub enum ModelsCommand {
	/// Check a model and copy it into the models folder, under its hash.
	Import(ImportArgs),
	/// List the models in the models folder. Hashes them: seconds for several gigabytes.
	List,
	/// Write a copy of a model with the graphs as ONNX Runtime rewrites them, and compare its pictures.
	/// The copy is another model with another hash: coordinators give it no tasks of the first. With
	/// --cuda the copy has graphs for GPUs beside the model's own.
	Optimize(OptimizeArgs),
}

/// Options of `models import`.
#[derive(Clone, Debug, Args)]
pub struct ImportArgs {
	/// A model folder, or one in a .tar, .tar.gz or .zip archive.
	pub source: PathBuf,
	/// The most that it may have in all, such as 20GiB.
	#[arg(long, value_name = "BYTES", default_value = MAX_MODEL)]
	pub max_size: Bytes,
	/// Do not load the graphs to look at their inputs and outputs: for graphs that this machine has no
	/// device for.
	#[arg(long)]
	pub no_load: bool,
	/// How it is loaded.
	#[command(flatten)]
	pub device: optimise::DeviceArgs,
}

/// Options of `models optimize`.
#[derive(Clone, Debug, Args)]
pub struct OptimizeArgs {
	/// The model folder to start from.
	pub source: PathBuf,
	/// The folder of the copy; there must be none yet.
	#[arg(long, short, value_name = "DIR")]
	pub out: PathBuf,
	/// How far a colour of a pixel may be off in the pictures that are compared, of 255.
	#[arg(
		long,
		value_name = "LEVELS",
		default_value_t = 1,
		conflicts_with = "cuda"
	)]
	pub tolerance: u8,
	/// Write graphs for CUDA in fp16 (model_cuda.onnx) beside those of UNet and decoder, by ONNX
	/// Runtime's optimizer for Stable Diffusion. The model's own graphs must be fp32; they stay, for
	/// devices without CUDA.
	#[arg(long)]
	pub cuda: bool,
	/// A Python that has the packages onnx and onnxruntime, whose optimizer is used.
	#[arg(
		long,
		value_name = "FILE",
		default_value = "python3",
		requires = "cuda"
	)]
	pub python: PathBuf,
	/// The GPU on which pictures are made with the new graphs, whose steps are then run again on the CPU.
	#[arg(long, default_value_t = Device::Cuda(0), requires = "cuda")]
	pub device: Device,
	/// Keep the new graphs without a picture: where there is no GPU.
	#[arg(long, requires = "cuda")]
	pub unchecked: bool,
	/// ONNX Runtime's library, or its folder.
	#[arg(long, value_name = "PATH")]
	pub onnxruntime: Option<PathBuf>,
}

/// Why a model was not imported. Nothing of it is left then.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
	/// A path in it leads elsewhere, or is none that every system takes.
	#[error("it has a file named {0:?}, which a model has not; refused for safety")]
	UnsafeName(String),
	/// A link or a device.
	#[error(
		"{0:?} in it is a link or no plain file; refused for safety (a copy made with cp -rL has plain \
		 files)"
	)]
	NotAFile(String),
	/// More bytes than allowed.
	#[error("it has more than {}; refused (--max-size)", Bytes(*.0))]
	TooLarge(u64),
	/// More files than a model has.
	#[error("it has more files than any model; refused")]
	TooManyFiles,
	/// No tar or zip, or a damaged one.
	#[error("it is no archive that reads: {0}")]
	Archive(String),
	/// There is no model in it.
	#[error("there is no model_index.json in it, nor in its only folder: it is no model folder")]
	NoModel,
	/// The model is not in order.
	#[error("the model is not in order: {0}")]
	Model(#[from] cuckoo_diffusion::Error),
	/// Another import is at work.
	#[error("another import is at work in {0}; wait for it")]
	InUse(PathBuf),
	/// The file system refused.
	#[error("{path}: {source}")]
	Io {
		/// The file or folder.
		path: PathBuf,
		/// The system's error.
		source: io::Error,
	},
}

impl ImportError {
	fn io(path: &Path, source: io::Error) -> Self {
		Self::Io {
			path: path.to_owned(),
			source,
		}
	}

	fn archive(error: impl ToString) -> Self {
		Self::Archive(printable(&error.to_string()))
	}
}

/// What came of an import.
#[derive(Clone, Debug)]
pub struct Imported {
	/// The model, where it lies now.
	pub folder: ModelFolder,
	/// Whether it was there before.
	pub was_there: bool,
}

/// The models folder.
#[derive(Clone, Debug)]
pub struct Library {
	root: PathBuf,
}

impl Library {
	/// The folder named, or the one in the user's data folder.
	pub fn at(named: Option<&Path>) -> anyhow::Result<Self> {
		let root = match named {
			Some(path) => path.to_owned(),
			None => directories::BaseDirs::new()
				.context("this user has no home folder: name one with --models-dir")?
				.data_dir()
				.join("cuckoo")
				.join("models"),
		};
		Ok(Self { root })
	}

	/// The folders in it that hold models, in the order of their names.
	pub fn folders(&self) -> anyhow::Result<Vec<PathBuf>> {
		let entries = match fs::read_dir(&self.root) {
			Ok(entries) => entries,
			Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
			Err(error) => {
				return Err(error).with_context(|| format!("cannot read {}", self.root.display()));
			},
		};
		let mut folders = Vec::new();
		for entry in entries {
			let entry = entry.with_context(|| format!("cannot read {}", self.root.display()))?;
			let is_hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
			if !is_hidden && entry.path().join(models::INDEX).is_file() {
				folders.push(entry.path());
			}
		}
		folders.sort();
		Ok(folders)
	}

	/// Checks the model in a folder or archive and copies it here. `check` may refuse it after it was
	/// read and hashed.
	pub fn import(
		&self,
		source: &Path,
		max_bytes: u64,
		check: impl FnOnce(&ModelFolder) -> Result<(), ImportError>,
	) -> Result<Imported, ImportError> {
		fs::create_dir_all(&self.root).map_err(|error| ImportError::io(&self.root, error))?;
		let _lock = self.lock()?;
		let unfinished = Unfinished::new(&self.root)?;
		let unpacked = unfinished.path.join("unpacked");
		create_dir(&unpacked)?;
		Staging::new(unpacked.clone(), max_bytes).fill(source)?;
		let model = unfinished.path.join("model");
		create_dir(&model)?;
		keep(&find_model(&unpacked)?, &model)?;

		let folder = ModelFolder::open(&model)?;
		let place = self.root.join(hex::encode(folder.hash()));
		if place.exists() {
			// Whoever changed it since gets it told, and not repaired behind his back.
			let there = ModelFolder::open(&place)?;
			if there.hash() == folder.hash() {
				return Ok(Imported {
					folder: there,
					was_there: true,
				});
			}
			let changed = io::Error::other("is not what it was imported as; move it away");
			return Err(ImportError::io(&place, changed));
		}
		check(&folder)?;
		sync_folders(&model)?;
		fs::rename(&model, &place).map_err(|error| ImportError::io(&place, error))?;
		sync(&self.root)?;
		Ok(Imported {
			folder: ModelFolder::open(&place)?,
			was_there: false,
		})
	}

	fn lock(&self) -> Result<File, ImportError> {
		let path = self.root.join(LOCK);
		let failed = |error| ImportError::io(&path, error);
		let file = open_lock(&path).map_err(failed)?;
		match file.try_lock() {
			Ok(()) => Ok(file),
			Err(fs::TryLockError::WouldBlock) => Err(ImportError::InUse(self.root.clone())),
			Err(fs::TryLockError::Error(error)) => Err(failed(error)),
		}
	}
}

/// A folder that goes away with everything in it when dropped, or when another is made beside it after the process
/// was killed.
struct Unfinished {
	path: PathBuf,
	/// Released by the system when the process ends, however it ends.
	_lock: File,
}

impl Unfinished {
	fn new(root: &Path) -> Result<Self, ImportError> {
		if let Err(error) = sweep(root) {
			tracing::warn!(path = %root.display(), "not swept out: {error}");
		}
		for _ in 0..TRIES {
			let path = root.join(format!("{UNFINISHED}{:016x}", rand::random::<u64>()));
			create_dir(&path)?;
			let lock = path.join(LOCK);
			let file = match open_lock(&lock) {
				Ok(file) => file,
				// Swept out before it was locked.
				Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
				Err(error) => return Err(ImportError::io(&lock, error)),
			};
			// Where a file system has no locks, nobody else gets one and takes the folder for left.
			if let Err(error) = file.lock() {
				tracing::debug!(path = %lock.display(), "not locked: {error}");
			}
			if lock.exists() {
				return Ok(Self { path, _lock: file });
			}
		}
		let busy = io::Error::other("others sweep it out again and again");
		Err(ImportError::io(root, busy))
	}
}

impl Drop for Unfinished {
	fn drop(&mut self) {
		remove(&self.path);
	}
}

/// Removes what processes that were killed have left unfinished in a folder.
fn sweep(root: &Path) -> io::Result<()> {
	for entry in fs::read_dir(root)? {
		let entry = entry?;
		if !is_unfinished(&entry.file_name().to_string_lossy()) {
			continue;
		}
		let lock = open_lock(&entry.path().join(LOCK));
		if lock.is_ok_and(|lock| lock.try_lock().is_ok()) {
			remove(&entry.path());
		}
	}
	Ok(())
}

fn is_unfinished(name: &str) -> bool {
	let number = name.strip_prefix(UNFINISHED).unwrap_or_default();
	number.len() == 16 && number.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn remove(folder: &Path) {
	if let Err(error) = fs::remove_dir_all(folder) {
		tracing::warn!(path = %folder.display(), "not swept out yet: {error}");
	}
}

fn open_lock(path: &Path) -> io::Result<File> {
	File::options().create(true).append(true).open(path)
}

fn create_dir(path: &Path) -> Result<(), ImportError> {
	fs::create_dir(path).map_err(|error| ImportError::io(path, error))
}

/// The model in what was unpacked: at its top, or in its only folder.
fn find_model(unpacked: &Path) -> Result<PathBuf, ImportError> {
	if unpacked.join(models::INDEX).is_file() {
		return Ok(unpacked.to_owned());
	}
	let failed = |error| ImportError::io(unpacked, error);
	let mut found = None;
	for entry in fs::read_dir(unpacked).map_err(failed)? {
		let path = entry.map_err(failed)?.path();
		if path.join(models::INDEX).is_file() && found.replace(path).is_some() {
			return Err(ImportError::NoModel);
		}
	}
	found.ok_or(ImportError::NoModel)
}

/// Moves what is a model's from one folder to another on the same disk.
fn keep(from: &Path, to: &Path) -> Result<(), ImportError> {
	for name in KEPT {
		let (from, to) = (from.join(name), to.join(name));
		if from.exists() {
			fs::rename(&from, &to).map_err(|error| ImportError::io(&to, error))?;
		}
	}
	Ok(())
}

fn sync(folder: &Path) -> Result<(), ImportError> {
	File::open(folder)
		.and_then(|folder| folder.sync_all())
		.map_err(|error| ImportError::io(folder, error))
}

fn sync_folders(folder: &Path) -> Result<(), ImportError> {
	let failed = |error| ImportError::io(folder, error);
	for entry in fs::read_dir(folder).map_err(failed)? {
		let entry = entry.map_err(failed)?;
		if entry.file_type().map_err(failed)?.is_dir() {
			sync_folders(&entry.path())?;
		}
	}
	sync(folder)
}

/// Does what was asked, and whether nothing wrong was found.
pub async fn command(args: ModelsArgs, ui: Ui) -> anyhow::Result<bool> {
	let stop = Stop::new();
	let (switch, optimizes) = (
		stop.clone(),
		matches!(args.command, ModelsCommand::Optimize(_)),
	);
	let work = task::spawn_blocking(move || match &args.command {
		ModelsCommand::Import(import) => import_command(&args, import).map(|()| true),
		ModelsCommand::List => list_command(&args),
		// Ctrl-C ends Python as well, and so what waits for it.
		ModelsCommand::Optimize(optimize) if optimize.cuda => {
			cuda::command(optimize, args.json, &ui)
		},
		ModelsCommand::Optimize(optimize) => optimise::command(optimize, args.json, &switch),
	});
	match optimizes {
		true => interrupt::finished(work, &stop).await,
		false => work.await?,
	}
}

fn import_command(args: &ModelsArgs, import: &ImportArgs) -> anyhow::Result<()> {
	let library = Library::at(args.models_dir.as_deref())?;
	let options = import.device.options();
	let check = |folder: &ModelFolder| {
		if import.no_load {
			return Ok(());
		}
		// Loading looks at the name, rank and type of every input and output.
		runtime::init(import.device.onnxruntime.as_deref())?;
		Pipeline::load(folder, &options)?;
		Ok(())
	};
	let imported = library
		.import(&import.source, import.max_size.0, check)
		.with_context(|| format!("{} was not imported", import.source.display()))?;
	let folder = &imported.folder;
	if args.json {
		let mut shown = description(folder);
		shown["was_there"] = imported.was_there.into();
		println!("{shown}");
	} else {
		let word = if imported.was_there {
			"was here before"
		} else {
			"imported"
		};
		println!(
			"{:?}  {} {word}: {}",
			H256(folder.hash()),
			printable(folder.name()),
			folder.path().display()
		);
	}
	Ok(())
}

fn list_command(args: &ModelsArgs) -> anyhow::Result<bool> {
	let library = Library::at(args.models_dir.as_deref())?;
	let mut in_order = true;
	let mut shown = Vec::new();
	for path in library.folders()? {
		let folder = match ModelFolder::open(&path) {
			Ok(folder) => folder,
			Err(error) => {
				in_order = false;
				let error = printable(&error.to_string());
				if !args.json {
					println!("problem  {}: {error}", path.display());
				}
				shown.push(json!({ "path": path.display().to_string(), "problem": error }));
				continue;
			},
		};
		let changed = is_changed(&path, &folder);
		in_order &= !changed;
		if !args.json {
			println!(
				"{:?}  {}  {}  {}{}",
				H256(folder.hash()),
				printable(folder.name()),
				Bytes(memory_estimate(&folder)),
				path.display(),
				if changed {
					"  problem: changed since its import"
				} else {
					""
				}
			);
		}
		let mut one = description(&folder);
		one["changed"] = changed.into();
		shown.push(one);
	}
	if args.json {
		println!("{}", json!({ "models": shown }));
	} else if shown.is_empty() {
		println!("no models in {}", library.root.display());
	}
	Ok(in_order)
}

/// Whether a folder that is named after a hash holds something else.
fn is_changed(path: &Path, folder: &ModelFolder) -> bool {
	let name = path
		.file_name()
		.and_then(|name| name.to_str())
		.unwrap_or("");
	let is_hash = name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
	is_hash && name != hex::encode(folder.hash())
}

fn description(folder: &ModelFolder) -> serde_json::Value {
	json!({
		"hash": H256(folder.hash()),
		"name": printable(folder.name()),
		"path": folder.path().display().to_string(),
		"memory_bytes": memory_estimate(folder),
		"default_size": folder.default_size(),
		"default_steps": folder.default_steps(),
	})
}

#[cfg(test)]
mod tests;
