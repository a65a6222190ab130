//! Where the workspace's programs and the default model are.

use crate::{Error, Result};
use std::path::{Path, PathBuf};

/// Names the folder of the programs when they are not beside the running one.
const BIN_DIR_VARIABLE: &str = "CUCKOO_BIN_DIR";

/// The default model's place in the checkout.
const MODEL_PATH: &str = "models/default/model";

/// What every node of a local network is started with, beside its own.
///
/// The default instantiation strategy seals a file in memory when it first runs the runtime. Linux may
/// refuse that for a moment (`EBUSY`), more often under load, and the node then ends. A service manager
/// starts it again; here nobody does.
pub(crate) const NODE_ARGS: [&str; 5] = [
	"--unsafe-force-node-key-generation",
	"--no-telemetry",
	"--no-mdns",
	"--wasmtime-instantiation-strategy",
	"pooling",
];

/// The programs that a network consists of.
#[derive(Clone, Debug)]
pub struct Binaries {
	/// `cuckoo-node`.
	pub node: PathBuf,
	/// `offchain-coordinator`.
	pub coordinator: PathBuf,
	/// `offchain-miner`.
	pub miner: PathBuf,
}

impl Binaries {
	/// Looks in `CUCKOO_BIN_DIR` if that is set; else beside the running program and one folder up,
	/// because cargo puts tests into `deps` below the programs.
	pub fn find() -> Result<Self> {
		if let Some(dir) = std::env::var_os(BIN_DIR_VARIABLE) {
			return Self::in_folders(&[dir.into()]);
		}
		let own = std::env::current_exe().map_err(Error::io("the running program's path"))?;
		let folders: Vec<PathBuf> = own
			.ancestors()
			.skip(1)
			.take(2)
			.map(Path::to_owned)
			.collect();
		Self::in_folders(&folders)
	}

	/// Looks in these folders.
	pub fn in_folders(folders: &[PathBuf]) -> Result<Self> {
		let find = |name: &'static str| {
			folders
				.iter()
				.map(|folder| folder.join(name))
				.find(|path| path.is_file())
				.ok_or_else(|| Error::BinaryMissing {
					name,
					looked: folders.to_vec(),
				})
		};
		Ok(Self {
			node: find("cuckoo-node")?,
			coordinator: find("offchain-coordinator")?,
			miner: find("offchain-miner")?,
		})
	}
}

/// The default model's folder: in `start` or the nearest folder above it that has one.
pub fn find_model(start: &Path) -> Result<PathBuf> {
	start
		.ancestors()
		.map(|folder| folder.join(MODEL_PATH))
		.find(|path| path.is_dir())
		.ok_or_else(|| Error::ModelMissing(start.join(MODEL_PATH)))
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn a_missing_program_says_what_to_do() {
		let empty = tempfile::tempdir().unwrap();
		let error = Binaries::in_folders(&[empty.path().to_owned()])
			.unwrap_err()
			.to_string();
		assert!(error.contains("cuckoo-node"), "{error}");
		assert!(
			error.contains("cargo build --release --workspace"),
			"{error}"
		);
	}

	#[test]
	fn programs_are_found_in_the_first_folder_that_has_them() {
		let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
		for name in ["cuckoo-node", "offchain-coordinator", "offchain-miner"] {
			std::fs::write(second.path().join(name), "").unwrap();
		}
		std::fs::write(first.path().join("cuckoo-node"), "").unwrap();
		let found =
			Binaries::in_folders(&[first.path().to_owned(), second.path().to_owned()]).unwrap();
		assert_eq!(found.node, first.path().join("cuckoo-node"));
		assert_eq!(found.miner, second.path().join("offchain-miner"));
	}

	#[test]
	fn the_model_is_found_from_a_folder_below_the_checkout() {
		let root = tempfile::tempdir().unwrap();
		let model = root.path().join(MODEL_PATH);
		std::fs::create_dir_all(&model).unwrap();
		let below = root.path().join("a/b");
		std::fs::create_dir_all(&below).unwrap();
		assert_eq!(find_model(&below).unwrap(), model);
	}
}
