//! Results on disk until their coordinator acknowledged them, and the memory of every commitment
//! that was signed.
//!
//! The one invariant: **for one assignment there is one commitment, ever.** Two different ones,
//! signed by the same worker, are evidence that the chain slashes for; and a device that does not
//! compute the same bits twice makes a second one by merely working again. So [`Outbox::commit`] is
//! the only place that signs, it signs for an assignment only if nothing was signed for it before,
//! and the signature leaves it only after the record is safe on disk.
//!
//! The folder:
//!
//! ```text
//! lock                        held while a miner runs
//! signed/<assignment>.json    a record: what was signed, for whom, until when
//! pictures/<assignment>.png   the picture, as long as it is to be delivered
//! forgotten                   the latest end of a lease of which the record was removed
//! ```
//!
//! A record with a picture is pending; a record without one is settled. Files appear whole or not at
//! all (written beside, flushed, renamed, the folder flushed), the picture before its record, so
//! that `kill -9` at any instant leaves a state this module can open. A settled record is removed a
//! day after its lease ended: by then an assignment with that deadline is refused anyway, and where the
//! clock was wrong, by the time that is kept: nothing is signed any more for leases that end before it.

use crate::{
	assignment::Verified,
	durable::{self, files, DiskError, UNFINISHED},
};
use cuckoo_coordinator_api::Amount;
use cuckoo_primitives::{
	signing::ResultCommitment,
	task::{Attempt, DeviceClass, TaskId},
	AccountId, WorkerSignature, H256,
};
use serde::{Deserialize, Serialize};
use std::{
	collections::BTreeMap,
	fs::{self, File, Permissions},
	io,
	os::unix::fs::PermissionsExt,
	path::{Path, PathBuf},
	sync::{
		atomic::{AtomicU64, AtomicUsize, Ordering},
		Mutex, MutexGuard, PoisonError,
	},
};

/// How long after its lease a record is kept, in milliseconds: against clocks that jump.
pub const KEEP_AFTER_LEASE_MS: u64 = 24 * 60 * 60 * 1_000;

const RECORD: &str = "json";
const PICTURE: &str = "png";
const FORGOTTEN: &str = "forgotten";
/// Written to see whether the disk takes anything again.
const PROBE: &str = "probe";

/// What was signed, for whom and for how long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
	/// The chain.
	pub genesis_hash: H256,
	/// Who is to get it.
	pub coordinator: AccountId,
	/// The task.
	pub task: TaskId,
	/// The attempt.
	pub attempt: Attempt,
	/// When the lease ends, in milliseconds of Unix time.
	pub deadline_ms: u64,
	/// What was signed.
	pub commitment: ResultCommitment,
	/// By the worker.
	pub signature: WorkerSignature,
	/// What is earned by it, if it is paid.
	#[serde(default, skip_serializing_if = "Option::is_none")]
	pub due: Option<Due>,
}

/// What a result earns once it is accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Due {
	/// The miner's operator account.
	pub miner: AccountId,
	/// How much.
	pub pay: Amount,
}

/// What a device made of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Painting {
	/// The PNG file.
	pub png: Vec<u8>,
	/// Merkle root over the steps.
	pub trajectory_root: H256,
	/// BLAKE2b-256 of the engine profile.
	pub engine_profile: H256,
	/// What it ran on.
	pub device: DeviceClass,
}

/// Why the outbox cannot be opened or written.
#[derive(Debug, thiserror::Error)]
pub enum OutboxError {
	/// Another process has it.
	#[error("{0} is in use by another miner: stop that one, or give this one its own --data-dir")]
	InUse(PathBuf),
	/// A record does not read. Not skipped: it is the memory of what was signed.
	#[error(
		"{path}: this record of a signed commitment does not read ({reason}); restore it, or move it \
		 away after its task's lease has long ended"
	)]
	Corrupt {
		/// The file.
		path: PathBuf,
		/// What is wrong with it.
		reason: String,
	},
	/// Something may have been signed for this assignment: records of leases that end later were removed.
	#[error(
		"what was signed for leases that end at {0} (milliseconds of Unix time) is not known any more: was \
		 this machine's clock ahead?"
	)]
	Forgotten(u64),
	/// The file system refused.
	#[error("{path}: {source}")]
	Io {
		/// The file or folder.
		path: PathBuf,
		/// The system's error.
		source: io::Error,
	},
}

impl From<DiskError> for OutboxError {
	fn from(DiskError { path, source }: DiskError) -> Self {
		OutboxError::Io { path, source }
	}
}

fn at<T>(path: &Path, result: io::Result<T>) -> Result<T, OutboxError> {
	result.map_err(|source| OutboxError::Io {
		path: path.to_owned(),
		source,
	})
}

/// See the module's documentation. Its methods touch the disk: call them where blocking is allowed.
pub struct Outbox {
	folder: PathBuf,
	/// Every record by the hash of its assignment, and whether its picture is still to be delivered.
	records: Mutex<BTreeMap<H256, (Record, Delivery)>>,
	/// Of leases that end by then records were removed. Changed only while the records are locked.
	forgotten_until_ms: AtomicU64,
	/// Bytes of the last picture that the disk did not take, if none was taken since; else 0.
	refused_bytes: AtomicUsize,
	/// Released by the system when the process ends, however it ends.
	_lock: File,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Delivery {
	Pending,
	Settled,
}

impl Outbox {
	/// Opens or creates the outbox in `folder`, and sweeps out what a crash left unfinished.
	pub fn open(folder: &Path) -> Result<Self, OutboxError> {
		for sub in [
			folder.to_owned(),
			folder.join("signed"),
			folder.join("pictures"),
		] {
			durable::make_folder(&sub)?;
		}
		// Prompts are in the pictures. One from before may be open to others; not every file system has
		// modes.
		let _ = fs::set_permissions(folder, Permissions::from_mode(0o700));
		let lock = lock(folder)?;
		let outbox = Self {
			folder: folder.to_owned(),
			records: Mutex::default(),
			forgotten_until_ms: read_forgotten(&folder.join(FORGOTTEN))?.into(),
			refused_bytes: AtomicUsize::new(0),
			_lock: lock,
		};
		let mut records = BTreeMap::new();
		for path in files(&folder.join("signed"))? {
			if path
				.extension()
				.is_some_and(|extension| extension == UNFINISHED)
			{
				at(&path, fs::remove_file(&path))?;
				continue;
			}
			let record = read_record(&path)?;
			let assignment = record.commitment.assignment;
			let delivery = if outbox.picture_path(&assignment).exists() {
				Delivery::Pending
			} else {
				Delivery::Settled
			};
			records.insert(assignment, (record, delivery));
		}
		for path in files(&folder.join("pictures"))? {
			let known = path
				.extension()
				.is_some_and(|extension| extension == PICTURE)
				&& named_hash(&path).is_some_and(|hash| records.contains_key(&hash));
			// Left by a crash before anything was signed for it.
			if !known {
				at(&path, fs::remove_file(&path))?;
			}
		}
		*outbox.records() = records;
		Ok(outbox)
	}

	/// What was signed for this assignment, if anything was.
	pub fn find(&self, assignment: &H256) -> Option<Record> {
		self.records()
			.get(assignment)
			.map(|(record, _)| record.clone())
	}

	/// Whether this assignment's result is still to be delivered.
	pub fn is_pending(&self, assignment: &H256) -> bool {
		matches!(self.records().get(assignment), Some((_, Delivery::Pending)))
	}

	/// Whether something may have been signed for a lease that ends then, of which nothing is known any more.
	/// Only after the clock was wrong can such an assignment be in time.
	pub fn has_forgotten(&self, deadline_ms: u64) -> bool {
		deadline_ms <= self.forgotten_until_ms.load(Ordering::SeqCst)
	}

	/// Whether the disk did not take the last result: another would be lost likewise.
	pub fn is_stuck(&self) -> bool {
		self.refused_bytes.load(Ordering::SeqCst) > 0
	}

	/// Looks whether the disk takes as much again as it last did not.
	pub fn probe(&self) -> Result<(), OutboxError> {
		let bytes = self.refused_bytes.load(Ordering::SeqCst);
		if bytes > 0 {
			let path = self.folder.join(PROBE);
			durable::write(&path, &vec![0; bytes])?;
			durable::remove(&path)?;
			self.refused_bytes.store(0, Ordering::SeqCst);
		}
		Ok(())
	}

	/// Signs and keeps the commitment to `painting`, or returns the one that this assignment already
	/// has: then `painting` is dropped and nothing is signed.
	pub fn commit(
		&self,
		genesis_hash: &H256,
		verified: &Verified,
		painting: &Painting,
		sign: impl FnOnce(&ResultCommitment) -> WorkerSignature,
	) -> Result<Record, OutboxError> {
		// Held to the end: two results for one assignment must not both find nothing.
		let mut records = self.records();
		if let Some((earlier, _)) = records.get(&verified.hash) {
			return Ok(earlier.clone());
		}
		let deadline_ms = verified.assignment.deadline_ms;
		if self.has_forgotten(deadline_ms) {
			return Err(OutboxError::Forgotten(deadline_ms));
		}
		let commitment = ResultCommitment {
			assignment: verified.hash,
			output: H256(*blake3::hash(&painting.png).as_bytes()),
			trajectory_root: painting.trajectory_root,
			engine_profile: painting.engine_profile,
			device: painting.device,
		};
		let record = Record {
			genesis_hash: *genesis_hash,
			coordinator: verified.assignment.coordinator.clone(),
			task: verified.assignment.task,
			attempt: verified.assignment.attempt,
			deadline_ms,
			signature: sign(&commitment),
			commitment,
			due: verified.due(),
		};
		let path = self.record_path(&verified.hash);
		let text = serde_json::to_vec_pretty(&record).map_err(|error| OutboxError::Io {
			path: path.clone(),
			source: io::Error::other(error),
		})?;
		let picture = durable::write(&self.picture_path(&verified.hash), &painting.png);
		let kept = picture.and_then(|()| durable::write(&path, &text));
		let refused = match &kept {
			Ok(()) => 0,
			Err(_) => painting.png.len().max(1),
		};
		self.refused_bytes.store(refused, Ordering::SeqCst);
		kept?;
		records.insert(verified.hash, (record.clone(), Delivery::Pending));
		Ok(record)
	}

	/// The picture to be delivered for this assignment.
	pub fn picture(&self, assignment: &H256) -> Result<Vec<u8>, OutboxError> {
		let path = self.picture_path(assignment);
		at(&path, fs::read(&path))
	}

	/// The coordinator has it, or has refused it for good: the picture goes, the record stays.
	pub fn settle(&self, assignment: &H256) -> Result<(), OutboxError> {
		let mut records = self.records();
		if let Some((_, delivery)) = records.get_mut(assignment) {
			durable::remove(&self.picture_path(assignment))?;
			*delivery = Delivery::Settled;
		}
		Ok(())
	}

	/// What is to be delivered.
	pub fn pending(&self) -> Vec<Record> {
		self.records()
			.values()
			.filter(|(_, delivery)| *delivery == Delivery::Pending)
			.map(|(record, _)| record.clone())
			.collect()
	}

	/// Forgets what was settled and whose lease ended more than [`KEEP_AFTER_LEASE_MS`] ago, and gives
	/// up deliveries as old as that. Returns those given up.
	pub fn prune(&self, now_ms: u64) -> Result<Vec<Record>, OutboxError> {
		let old = self.forget(now_ms)?;
		if old.is_empty() {
			return Ok(Vec::new());
		}
		// Nobody comes to these files any more, so that no lock is held over many of them.
		let named = |extension: &str| -> Vec<String> {
			old.keys()
				.map(|assignment| format!("{}.{extension}", hex::encode(assignment)))
				.collect()
		};
		// The pictures first: a record without one is settled, a picture without one an orphan.
		durable::remove_all(&self.folder.join("pictures"), &named(PICTURE))?;
		durable::remove_all(&self.folder.join("signed"), &named(RECORD))?;
		let given_up = |(record, delivery)| (delivery == Delivery::Pending).then_some(record);
		Ok(old.into_values().filter_map(given_up).collect())
	}

	/// Takes out the old records, after the time is on the disk before which nothing is signed any more.
	fn forget(&self, now_ms: u64) -> Result<BTreeMap<H256, (Record, Delivery)>, OutboxError> {
		let mut records = self.records();
		let is_old =
			|record: &Record| record.deadline_ms.saturating_add(KEEP_AFTER_LEASE_MS) < now_ms;
		let old = records.values().filter(|(record, _)| is_old(record));
		let Some(until_ms) = old.map(|(record, _)| record.deadline_ms).max() else {
			return Ok(BTreeMap::new());
		};
		if !self.has_forgotten(until_ms) {
			let path = self.folder.join(FORGOTTEN);
			durable::write(&path, until_ms.to_string().as_bytes())?;
			self.forgotten_until_ms.store(until_ms, Ordering::SeqCst);
		}
		Ok(records
			.extract_if(.., |_, (record, _)| is_old(record))
			.collect())
	}

	/// A thread that panicked while it held the lock has left the map whole: every change to it is a
	/// single insert, remove or assignment after the files were written.
	fn records(&self) -> MutexGuard<'_, BTreeMap<H256, (Record, Delivery)>> {
		self.records.lock().unwrap_or_else(PoisonError::into_inner)
	}

	fn record_path(&self, assignment: &H256) -> PathBuf {
		self.folder
			.join("signed")
			.join(hex::encode(assignment))
			.with_extension(RECORD)
	}

	fn picture_path(&self, assignment: &H256) -> PathBuf {
		self.folder
			.join("pictures")
			.join(hex::encode(assignment))
			.with_extension(PICTURE)
	}
}

fn lock(folder: &Path) -> Result<File, OutboxError> {
	let path = folder.join("lock");
	let file = at(&path, File::options().create(true).append(true).open(&path))?;
	match file.try_lock() {
		Ok(()) => Ok(file),
		Err(fs::TryLockError::WouldBlock) => Err(OutboxError::InUse(folder.to_owned())),
		Err(fs::TryLockError::Error(source)) => Err(OutboxError::Io { path, source }),
	}
}

/// The hash that a file is named after.
fn named_hash(path: &Path) -> Option<H256> {
	let bytes: [u8; 32] = hex::decode(path.file_stem()?.to_str()?)
		.ok()?
		.try_into()
		.ok()?;
	Some(H256(bytes))
}

/// Zero if nothing was forgotten yet.
fn read_forgotten(path: &Path) -> Result<u64, OutboxError> {
	if !path.exists() {
		return Ok(0);
	}
	let text = at(path, fs::read_to_string(path))?;
	text.trim().parse().map_err(|error| OutboxError::Corrupt {
		path: path.to_owned(),
		reason: format!("{error}"),
	})
}

fn read_record(path: &Path) -> Result<Record, OutboxError> {
	let corrupt = |reason: String| OutboxError::Corrupt {
		path: path.to_owned(),
		reason,
	};
	let bytes = at(path, fs::read(path))?;
	let record: Record =
		serde_json::from_slice(&bytes).map_err(|error| corrupt(error.to_string()))?;
	if named_hash(path) != Some(record.commitment.assignment) {
		return Err(corrupt(
			"it is of another assignment than its name says".into(),
		));
	}
	Ok(record)
}

#[cfg(test)]
mod tests {
	use super::*;
	use cuckoo_primitives::{
		signing::{self, Assignment},
		task::{SchedulerKind, TaskSpec},
	};
	use proptest::prelude::*;
	use sp_core::{sr25519, Pair};
	use std::{cell::Cell, collections::HashMap};

	const GENESIS: H256 = H256::repeat_byte(1);
	const DEADLINE: u64 = 1_000_000;

	fn worker() -> sr25519::Pair {
		sr25519::Pair::from_seed(&[7; 32])
	}

	fn verified(number: u8) -> Verified {
		let spec = TaskSpec {
			model: H256::repeat_byte(2),
			prompt: "a red apple".into(),
			negative_prompt: String::new(),
			seed: 7,
			steps: 1,
			width: 64,
			height: 64,
			guidance_milli: 0,
			scheduler: SchedulerKind::Ddim,
		};
		let assignment = Assignment {
			coordinator: AccountId::new([10; 32]),
			task: TaskId([number; 16]),
			attempt: 0,
			miner: AccountId::new([20; 32]),
			worker: worker().public(),
			spec_hash: spec.hash(),
			model: spec.model,
			deadline_ms: DEADLINE,
			block_number: 1,
			block_hash: H256::zero(),
			randomness: H256::zero(),
			eligible_root: H256::zero(),
			total_weight: 1,
		};
		Verified {
			hash: signing::signing_hash(&GENESIS, &assignment),
			assignment,
			spec,
			pay: 0,
		}
	}

	fn painting(content: u8) -> Painting {
		Painting {
			png: vec![content; 10],
			trajectory_root: H256::repeat_byte(content),
			engine_profile: H256::zero(),
			device: DeviceClass::Cpu,
		}
	}

	fn commit(outbox: &Outbox, number: u8, content: u8) -> Record {
		outbox
			.commit(
				&GENESIS,
				&verified(number),
				&painting(content),
				|commitment| signing::sign(&GENESIS, commitment, &worker()),
			)
			.unwrap()
	}

	#[test]
	fn a_second_result_gets_the_first_commitment_and_no_signature() {
		let folder = tempfile::tempdir().unwrap();
		let outbox = Outbox::open(folder.path()).unwrap();
		let first = commit(&outbox, 1, 5);
		let asked = Cell::new(false);
		let second = outbox
			.commit(&GENESIS, &verified(1), &painting(6), |_| {
				asked.set(true);
				first.signature
			})
			.unwrap();
		assert_eq!(second, first);
		assert!(!asked.get(), "the key was used a second time");
		assert_eq!(
			outbox.picture(&first.commitment.assignment).unwrap(),
			painting(5).png
		);
	}

	#[test]
	fn what_was_committed_survives_and_so_does_its_memory_after_delivery() {
		let folder = tempfile::tempdir().unwrap();
		let first = commit(&Outbox::open(folder.path()).unwrap(), 1, 5);
		let hash = first.commitment.assignment;
		let outbox = Outbox::open(folder.path()).unwrap();
		assert_eq!(outbox.pending(), vec![first.clone()]);
		outbox.settle(&hash).unwrap();
		assert!(outbox.pending().is_empty());
		drop(outbox);
		let outbox = Outbox::open(folder.path()).unwrap();
		assert!(outbox.pending().is_empty());
		assert_eq!(commit(&outbox, 1, 6), first, "signed anew after delivery");
	}

	#[test]
	fn records_outlive_their_lease_by_a_day() {
		let folder = tempfile::tempdir().unwrap();
		let outbox = Outbox::open(folder.path()).unwrap();
		let (pending, settled) = (commit(&outbox, 1, 5), commit(&outbox, 2, 5));
		outbox.settle(&settled.commitment.assignment).unwrap();
		assert!(outbox
			.prune(DEADLINE + KEEP_AFTER_LEASE_MS)
			.unwrap()
			.is_empty());
		assert_eq!(
			outbox.find(&settled.commitment.assignment),
			Some(settled.clone())
		);
		assert_eq!(
			outbox.prune(DEADLINE + KEEP_AFTER_LEASE_MS + 1).unwrap(),
			vec![pending]
		);
		assert_eq!(outbox.find(&settled.commitment.assignment), None);
		drop(outbox);
		let outbox = Outbox::open(folder.path()).unwrap();
		assert!(outbox.records().is_empty());
		for sub in ["signed", "pictures"] {
			assert!(files(&folder.path().join(sub)).unwrap().is_empty());
		}
	}

	/// The clock was ahead by days when old records were removed, and was set right since: the coordinator can
	/// send an assignment again whose lease has not ended.
	#[test]
	fn what_was_forgotten_too_early_is_not_signed_a_second_time() {
		let folder = tempfile::tempdir().unwrap();
		let outbox = Outbox::open(folder.path()).unwrap();
		let first = commit(&outbox, 1, 5);
		outbox.settle(&first.commitment.assignment).unwrap();
		outbox.prune(DEADLINE + 3 * KEEP_AFTER_LEASE_MS).unwrap();
		drop(outbox);
		let outbox = Outbox::open(folder.path()).unwrap();
		assert!(outbox.has_forgotten(DEADLINE) && !outbox.has_forgotten(DEADLINE + 1));
		let again = outbox.commit(&GENESIS, &verified(1), &painting(6), |_| {
			panic!("the key was used a second time")
		});
		assert!(
			matches!(again, Err(OutboxError::Forgotten(DEADLINE))),
			"{again:?}"
		);
		let mut later = verified(2);
		later.assignment.deadline_ms += 1;
		let sign = |commitment: &_| signing::sign(&GENESIS, commitment, &worker());
		assert!(outbox.commit(&GENESIS, &later, &painting(6), sign).is_ok());
	}

	#[test]
	fn its_folder_is_for_its_user_alone_also_one_from_before() {
		let folder = tempfile::tempdir().unwrap();
		for name in ["old", "new/outbox"] {
			let folder = folder.path().join(name);
			if name == "old" {
				fs::create_dir(&folder).unwrap();
				fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
			}
			Outbox::open(&folder).unwrap();
			let mode = fs::metadata(&folder).unwrap().permissions().mode();
			assert_eq!(mode & 0o777, 0o700, "{name}");
		}
	}

	#[test]
	fn on_a_full_disk_nothing_is_signed_and_nothing_left_and_later_it_goes_on() {
		let folder = tempfile::tempdir().unwrap();
		let outbox = Outbox::open(folder.path()).unwrap();
		let picture = outbox.picture_path(&verified(1).hash);
		// A device on which every write fails as on a full disk.
		std::os::unix::fs::symlink("/dev/full", picture.with_extension(UNFINISHED)).unwrap();
		let failed = outbox.commit(&GENESIS, &verified(1), &painting(5), |commitment| {
			signing::sign(&GENESIS, commitment, &worker())
		});
		assert!(matches!(failed, Err(OutboxError::Io { .. })), "{failed:?}");
		assert!(outbox.pending().is_empty());
		assert!(outbox.find(&verified(1).hash).is_none());
		assert!(files(&folder.path().join("pictures")).unwrap().is_empty());
		assert!(outbox.is_stuck());
		let probe = outbox.folder.join(PROBE).with_extension(UNFINISHED);
		std::os::unix::fs::symlink("/dev/full", &probe).unwrap();
		assert!(outbox.probe().is_err() && outbox.is_stuck(), "still full");
		// What failed has taken its file away, and with it what makes the disk full.
		outbox.probe().unwrap();
		assert!(!outbox.is_stuck() && !outbox.folder.join(PROBE).exists());
		let record = commit(&outbox, 1, 6);
		assert_eq!(outbox.pending(), vec![record]);
	}

	#[test]
	fn one_miner_at_a_time() {
		let folder = tempfile::tempdir().unwrap();
		let outbox = Outbox::open(folder.path()).unwrap();
		assert!(matches!(
			Outbox::open(folder.path()),
			Err(OutboxError::InUse(_))
		));
		drop(outbox);
		Outbox::open(folder.path()).unwrap();
	}

	#[test]
	fn leftovers_of_a_crash_are_swept_and_damage_is_not_passed_over() {
		let folder = tempfile::tempdir().unwrap();
		let outbox = Outbox::open(folder.path()).unwrap();
		let record = commit(&outbox, 1, 5);
		let (signed, pictures) = (folder.path().join("signed"), folder.path().join("pictures"));
		drop(outbox);
		// Died while writing a picture, while writing a record, and between the two.
		fs::write(pictures.join("aa.part"), b"half").unwrap();
		fs::write(signed.join("bb.part"), b"half").unwrap();
		fs::write(pictures.join(format!("{}.png", "cc".repeat(32))), b"orphan").unwrap();
		let outbox = Outbox::open(folder.path()).unwrap();
		assert_eq!(outbox.pending(), vec![record.clone()]);
		assert_eq!(files(&pictures).unwrap().len(), 1);
		assert_eq!(files(&signed).unwrap().len(), 1);
		let path = outbox.record_path(&record.commitment.assignment);
		drop(outbox);
		fs::copy(&path, signed.join(format!("{}.json", "dd".repeat(32)))).unwrap();
		assert!(matches!(
			Outbox::open(folder.path()),
			Err(OutboxError::Corrupt { .. })
		));
		fs::write(signed.join(format!("{}.json", "dd".repeat(32))), b"{}").unwrap();
		assert!(matches!(
			Outbox::open(folder.path()),
			Err(OutboxError::Corrupt { .. })
		));
	}

	#[derive(Clone, Debug)]
	enum Action {
		Commit {
			number: u8,
			content: u8,
		},
		Settle {
			number: u8,
		},
		Restart,
		/// As a crash does: the file that was being written is there in part.
		DieWriting {
			number: u8,
		},
	}

	fn action() -> impl Strategy<Value = Action> {
		prop_oneof![
			(0u8..4, any::<u8>()).prop_map(|(number, content)| Action::Commit { number, content }),
			(0u8..4).prop_map(|number| Action::Settle { number }),
			Just(Action::Restart),
			(0u8..4).prop_map(|number| Action::DieWriting { number }),
		]
	}

	proptest! {
		#![proptest_config(ProptestConfig::with_cases(48))]

		/// Whatever happens in whatever order, an assignment has one signature.
		#[test]
		fn one_commitment_per_assignment_ever(actions in prop::collection::vec(action(), 1..24)) {
			let folder = tempfile::tempdir().unwrap();
			let mut outbox = Outbox::open(folder.path()).unwrap();
			let mut seen: HashMap<u8, Record> = HashMap::new();
			for action in actions {
				match action {
					Action::Commit { number, content } => {
						let record = commit(&outbox, number, content);
						let first = seen.entry(number).or_insert_with(|| record.clone());
						prop_assert_eq!(&record, first);
					},
					Action::Settle { number } => outbox.settle(&verified(number).hash).unwrap(),
					Action::Restart => {
						drop(outbox);
						outbox = Outbox::open(folder.path()).unwrap();
					},
					Action::DieWriting { number } => {
						let hash = verified(number).hash;
						for path in [outbox.picture_path(&hash), outbox.record_path(&hash)] {
							fs::write(path.with_extension(UNFINISHED), b"{").unwrap();
						}
						drop(outbox);
						outbox = Outbox::open(folder.path()).unwrap();
					},
				}
				for record in outbox.pending() {
					prop_assert!(seen.values().any(|first| *first == record));
					prop_assert!(outbox.picture(&record.commitment.assignment).is_ok());
				}
			}
		}
	}
}
