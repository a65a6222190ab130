//! Books on disk.
//!
//! ```text
//! purse/<genesis>/<miner>/lock                       held while a miner runs
//! purse/<genesis>/<miner>/<coordinator>.json         the book: highest vouchers, what was earned
//! purse/<genesis>/<miner>/<coordinator>.<era>.proof  the proven leaf of a settled era
//! ```
//!
//! A file is replaced whole or not at all, so it can be read while a miner runs. One that does not read
//! is left as it is and stops nothing but its own coordinator.

use super::book::{Book, Party};
use crate::durable::{self, DiskError, UNFINISHED};
use cuckoo_coordinator_api::payment::SettlementProof;
use cuckoo_primitives::{signing, AccountId, EraIndex, H256};
use sp_core::crypto::Ss58Codec;
use std::{
	fs::{self, File},
	io::{self, Read},
	path::{Path, PathBuf},
};

/// A book of the most eras has a tenth of it.
const MAX_BOOK_BYTES: u64 = 1024 * 1024;
/// Most books that are read.
const MAX_BOOKS: usize = 10_000;

const BOOK: &str = "json";
const PROOF: &str = "proof";

/// Why the purse cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
	/// A file does not read. Nothing is written over it.
	#[error(
		"{path}: these vouchers do not read ({reason}); restore the file, or move it away: the \
		 coordinator gives again what it still owes"
	)]
	Corrupt {
		/// The file.
		path: PathBuf,
		/// What is wrong with it.
		reason: String,
	},
	/// Another process writes them.
	#[error("{0} is in use by another miner: stop that one")]
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

impl From<DiskError> for StoreError {
	fn from(DiskError { path, source }: DiskError) -> Self {
		StoreError::Io { path, source }
	}
}

/// The folder of the vouchers of one chain.
#[derive(Clone, Debug)]
pub struct Store {
	folder: PathBuf,
	genesis_hash: H256,
}

/// What was found for a party.
pub type Found = (Party, Result<Book, StoreError>);

impl Store {
	/// In a miner's data folder. Touches nothing yet.
	pub fn new(data_dir: &Path, genesis_hash: H256) -> Self {
		Self {
			folder: data_dir.join("purse").join(hex::encode(genesis_hash)),
			genesis_hash,
		}
	}

	/// Where it is.
	pub fn folder(&self) -> &Path {
		&self.folder
	}

	/// The chain.
	pub fn genesis_hash(&self) -> &H256 {
		&self.genesis_hash
	}

	/// Every book of every miner. Those that do not read come with the reason.
	pub fn load(&self) -> Result<Vec<Found>, StoreError> {
		let mut found = Vec::new();
		if !self.folder.exists() {
			return Ok(found);
		}
		for folder in durable::files(&self.folder)? {
			if let Some(miner) = named_account(&folder) {
				found.extend(self.load_of(&miner)?);
			}
		}
		Ok(found)
	}

	/// Every book of one miner.
	pub fn load_of(&self, miner: &AccountId) -> Result<Vec<Found>, StoreError> {
		let mut found = Vec::new();
		for path in durable::files(&self.miner_folder(miner))? {
			let is_book = path.extension().is_some_and(|extension| extension == BOOK);
			let Some(coordinator) = named_account(&path).filter(|_| is_book) else {
				continue;
			};
			let party = Party {
				coordinator,
				miner: miner.clone(),
			};
			let book = self.read(&path, &party);
			found.push((party, book));
			if found.len() >= MAX_BOOKS {
				break;
			}
		}
		Ok(found)
	}

	/// Makes this process the one that writes a miner's books, as long as it keeps the file, and removes
	/// what a crash left half written.
	pub fn lock(&self, miner: &AccountId) -> Result<File, StoreError> {
		let folder = self.miner_folder(miner);
		durable::make_folder(&folder)?;
		let path = folder.join("lock");
		let file = File::options().create(true).append(true).open(&path);
		let file = durable::at(&path, file)?;
		match file.try_lock() {
			Ok(()) => {},
			Err(fs::TryLockError::WouldBlock) => return Err(StoreError::InUse(folder)),
			Err(fs::TryLockError::Error(source)) => return Err(StoreError::Io { path, source }),
		}
		for path in durable::files(&folder)? {
			if path.extension().is_some_and(|it| it == UNFINISHED) {
				durable::remove(&path)?;
			}
		}
		Ok(file)
	}

	/// A party's book: an empty one if there is none.
	pub fn book(&self, party: &Party) -> Result<Book, StoreError> {
		let path = self.book_path(party);
		match path.exists() {
			true => self.read(&path, party),
			false => Ok(Book::new(self.genesis_hash, party)),
		}
	}

	/// Keeps a book; when this returns, it is on the disk.
	pub fn keep(&self, book: &Book) -> Result<(), StoreError> {
		let path = self.book_path(&book.party());
		write_json(&path, book)
	}

	/// Keeps the proof of an era.
	pub fn keep_proof(&self, party: &Party, proof: &SettlementProof) -> Result<(), StoreError> {
		write_json(&self.proof_path(party, proof.era), proof)
	}

	/// The proof of an era, if there is one that reads: the coordinator can be asked for it again.
	pub fn proof(&self, party: &Party, era: EraIndex) -> Option<SettlementProof> {
		let bytes = read_bounded(&self.proof_path(party, era)).ok()?;
		serde_json::from_slice(&bytes).ok()
	}

	/// Forgets the proof of an era.
	pub fn drop_proof(&self, party: &Party, era: EraIndex) -> Result<(), StoreError> {
		Ok(durable::remove(&self.proof_path(party, era))?)
	}

	fn read(&self, path: &Path, party: &Party) -> Result<Book, StoreError> {
		let corrupt = |reason: String| StoreError::Corrupt {
			path: path.to_owned(),
			reason,
		};
		let bytes = durable::at(path, read_bounded(path))?;
		let book: Book =
			serde_json::from_slice(&bytes).map_err(|error| corrupt(error.to_string()))?;
		if book.party() != *party || book.genesis_hash != self.genesis_hash {
			return Err(corrupt("it is of others than its name says".into()));
		}
		for (era, entry) in &book.eras {
			let voucher = entry.voucher.voucher();
			let own = voucher.era == *era
				&& voucher.coordinator == party.coordinator
				&& voucher.miner == party.miner;
			let signed = signing::verify(
				&self.genesis_hash,
				&voucher,
				&entry.voucher.signature,
				&entry.voucher.worker,
			);
			if !own || !signed {
				return Err(corrupt(format!("the voucher of era {era} is not signed")));
			}
		}
		Ok(book)
	}

	fn book_path(&self, party: &Party) -> PathBuf {
		let name = format!("{}.{BOOK}", party.coordinator.to_ss58check());
		self.miner_folder(&party.miner).join(name)
	}

	fn proof_path(&self, party: &Party, era: EraIndex) -> PathBuf {
		let name = format!("{}.{era}.{PROOF}", party.coordinator.to_ss58check());
		self.miner_folder(&party.miner).join(name)
	}

	fn miner_folder(&self, miner: &AccountId) -> PathBuf {
		self.folder.join(miner.to_ss58check())
	}
}

fn write_json(path: &Path, value: &impl serde::Serialize) -> Result<(), StoreError> {
	let bytes = serde_json::to_vec_pretty(value).map_err(io::Error::other);
	let bytes = durable::at(path, bytes)?;
	if let Some(folder) = path.parent() {
		durable::make_folder(folder)?;
	}
	Ok(durable::write(path, &bytes)?)
}

fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
	let mut bytes = Vec::new();
	File::open(path)?
		.take(MAX_BOOK_BYTES + 1)
		.read_to_end(&mut bytes)?;
	if bytes.len() as u64 > MAX_BOOK_BYTES {
		return Err(io::Error::other("it is too large"));
	}
	Ok(bytes)
}

/// The account that a file or folder is named after.
fn named_account(path: &Path) -> Option<AccountId> {
	AccountId::from_ss58check(path.file_stem()?.to_str()?).ok()
}
