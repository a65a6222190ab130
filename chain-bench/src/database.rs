//! The node's database with one state in it, and the clock for work on that state.
//!
//! The state is that of block 0. Work runs the runtime's native code against it the way a block does:
//! reads go through the trie and its cache to ParityDB, writes stay in an overlay, and the state's root
//! is computed from them in the end. Nothing is written back, so every run meets the same state.
//!
//! The clock is the thread's processor time: a machine that does other things as well measures the
//! same. Waiting for a disk is not in it; a database that was just written is in memory anyway.

use anyhow::{ensure, Context};
use cuckoo_runtime::{opaque::Block, Hash, Header};
use rustix::time::{clock_gettime, ClockId};
use sc_client_api::{
	backend::NewBlockState, Backend as _, BlockImportOperation as _, HeaderBackend as _,
	TrieCacheContext,
};
use sc_client_db::{Backend, BlocksPruning, DatabaseSettings, DatabaseSource, PruningMode};
use sp_core::storage::{StateVersion, Storage};
use sp_externalities::{set_and_run_with_externalities, Extensions, Externalities};
use sp_runtime::traits::{Hash as _, HashingFor, Header as _};
use sp_state_machine::{Ext, OverlayedChanges};
use std::{
	fs, io,
	os::unix::fs::MetadataExt,
	path::{Path, PathBuf},
	time::Duration,
};

/// The trie cache, as large as a node's default.
const TRIE_CACHE_BYTES: usize = 1024 * 1024 * 1024;

/// States that are kept, as a node's default.
const KEPT_STATES: u32 = 256;

/// Blocks until a state becomes canonical, as in a node.
const CANONICALIZATION_DELAY: u64 = 4_096;

/// `stat` counts a file's place on the disk in such blocks, whatever the file system has.
const STAT_BLOCK_BYTES: u64 = 512;

/// A storage entry after the work; `None` is a removal.
pub type Write = (Vec<u8>, Option<Vec<u8>>);

type Overlay = OverlayedChanges<HashingFor<Block>>;
type State = <Backend<Block> as sc_client_api::Backend<Block>>::State;
type StateExt<'a> = Ext<'a, HashingFor<Block>, State>;

/// How long a piece of work took, and what it wrote.
#[derive(Clone, Debug)]
pub struct Sample {
	/// The runtime's code with its reads.
	pub calls: Duration,
	/// The state's root with what was written.
	pub root: Duration,
	/// What was written.
	pub writes: Vec<Write>,
}

impl Sample {
	/// Both parts.
	pub fn total(&self) -> Duration {
		self.calls + self.root
	}
}

/// An open database.
pub struct Database {
	backend: Backend<Block>,
	block: Hash,
}

impl Database {
	/// Puts a state into a new database in `folder`, and closes it again.
	pub fn create(folder: &Path, state: Storage) -> anyhow::Result<()> {
		let backend = open_backend(folder)?;
		let mut operation = backend.begin_operation()?;
		let root = operation.set_genesis_state(state, true, state_version())?;
		let header = genesis_header(root);
		operation.set_block_data(
			header,
			Some(Vec::new()),
			None,
			None,
			NewBlockState::Final,
			true,
		)?;
		backend.commit_operation(operation)?;
		Ok(())
	}

	/// Opens the database that [`Self::create`] has left in `folder`.
	pub fn open(folder: &Path) -> anyhow::Result<Self> {
		let backend = open_backend(folder)?;
		let block = backend.blockchain().info().genesis_hash;
		ensure!(block != Hash::default(), "no state in {}", folder.display());
		Ok(Self { backend, block })
	}

	/// Forgets every trie node and value in the process's memory. The operating system's cache of the
	/// files stays.
	pub fn forget_cache(&self) {
		self.backend.reset_trie_cache();
	}

	/// Runs `before` and then `work` on the state; only `work` is timed. What `work` reads stays in the
	/// cache for later runs.
	pub fn time(
		&self,
		before: impl FnOnce(),
		work: impl FnOnce() -> anyhow::Result<()>,
	) -> anyhow::Result<Sample> {
		let (timed, mut overlay) = self.on_state(|ext| {
			set_and_run_with_externalities(ext, before);
			let start = processor_time();
			let result = set_and_run_with_externalities(ext, work);
			let calls = processor_time().saturating_sub(start);
			result.map(|()| (calls, time_root(ext)))
		})?;
		let (calls, root) = timed?;
		let writes = overlay
			.changes_mut()
			.map(|(key, value)| (key.clone(), value.value().cloned()))
			.collect();
		Ok(Sample {
			calls,
			root,
			writes,
		})
	}

	/// Reads and writes these entries and computes the root, with no runtime in between: what storage
	/// alone asks for them.
	pub fn time_bare(&self, writes: &[Write]) -> anyhow::Result<Sample> {
		let copies = writes.to_vec();
		let ((calls, root), _) = self.on_state(|ext| {
			let start = processor_time();
			for (key, value) in copies {
				ext.storage(&key);
				ext.place_storage(key, value);
			}
			let calls = processor_time().saturating_sub(start);
			(calls, time_root(ext))
		})?;
		Ok(Sample {
			calls,
			root,
			writes: Vec::new(),
		})
	}

	/// Reads something from the state.
	pub fn read<R>(&self, read: impl FnOnce() -> R) -> anyhow::Result<R> {
		let (found, _) = self.on_state(|ext| set_and_run_with_externalities(ext, read))?;
		Ok(found)
	}

	/// Does something with the state, and returns what it has written beside what it found.
	fn on_state<R>(&self, work: impl FnOnce(&mut StateExt) -> R) -> anyhow::Result<(R, Overlay)> {
		let state = self
			.backend
			.state_at(self.block, TrieCacheContext::Trusted)?;
		let mut overlay = Overlay::default();
		let mut extensions = Extensions::new();
		let found = work(&mut Ext::new(&mut overlay, &state, Some(&mut extensions)));
		Ok((found, overlay))
	}
}

fn time_root(ext: &mut dyn Externalities) -> Duration {
	let start = processor_time();
	ext.storage_root(state_version());
	processor_time().saturating_sub(start)
}

/// What this thread has had of a processor. Unlike the time of day it stands still while others run.
fn processor_time() -> Duration {
	let time = clock_gettime(ClockId::ThreadCPUTime);
	// Neither part is ever negative, and the second is below a billion.
	Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// How the runtime's version lays its trie out.
fn state_version() -> StateVersion {
	<cuckoo_runtime::Runtime as frame_system::Config>::Version::get().state_version()
}

fn genesis_header(root: Hash) -> Header {
	type Hashing = <Header as sp_runtime::traits::Header>::Hashing;
	let extrinsics_root = Hashing::trie_root(Vec::new(), state_version());
	Header::new(
		0,
		extrinsics_root,
		root,
		Hash::default(),
		Default::default(),
	)
}

fn open_backend(folder: &Path) -> anyhow::Result<Backend<Block>> {
	let settings = DatabaseSettings {
		trie_cache_maximum_size: Some(TRIE_CACHE_BYTES),
		state_pruning: Some(PruningMode::blocks_pruning(KEPT_STATES)),
		source: DatabaseSource::ParityDb {
			path: folder.to_owned(),
		},
		blocks_pruning: BlocksPruning::KeepFinalized,
		pruning_filters: Vec::new(),
		metrics_registry: None,
	};
	Backend::new(settings, CANONICALIZATION_DELAY)
		.with_context(|| format!("the database in {}", folder.display()))
}

/// What the files of a folder take on the disk, in bytes.
pub fn bytes_on_disk(folder: &Path) -> io::Result<u64> {
	let mut bytes = 0;
	let mut folders: Vec<PathBuf> = vec![folder.to_owned()];
	while let Some(folder) = folders.pop() {
		for entry in fs::read_dir(folder)? {
			let entry = entry?;
			let metadata = entry.metadata()?;
			if metadata.is_dir() {
				folders.push(entry.path());
			} else {
				bytes += metadata.blocks() * STAT_BLOCK_BYTES;
			}
		}
	}
	Ok(bytes)
}
