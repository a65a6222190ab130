//! `offchain-coordinator keys`: makes, lists and revokes API keys in the store's file, also while the
//! coordinator runs.

pub mod commands;

use crate::{
	apps::{ApiKey, AppId},
	clock::UnixMs,
	coordinator,
	ledger::Purse,
	store::{
		self,
		sql::{values, Sql},
		Credit, Place, StoreError,
	},
	webhooks::Secret,
};
use cuckoo_primitives::Balance;
use std::path::Path;

/// Longest name of an app, in bytes.
const MAX_NAME_BYTES: usize = 100;

/// A key could not be made, listed or revoked.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
	/// The store.
	#[error(transparent)]
	Store(#[from] StoreError),
	/// The data directory.
	#[error("the data directory cannot be used: {0}")]
	Disk(#[from] std::io::Error),
	/// The name.
	#[error("a name has 1 to {MAX_NAME_BYTES} bytes and no control characters")]
	Name,
	/// It has a key.
	#[error("the app {0} has a key: revoke that first")]
	HasKey(String),
	/// The amount.
	#[error("an amount is CUC with up to 12 decimals, such as 25 or 0.5")]
	Amount,
	/// The reference of a credit.
	#[error("a reference has 1 to {MAX_NAME_BYTES} bytes and no control characters")]
	Reference,
	/// It was used.
	#[error("{0} is credited already: nothing was changed")]
	Credited(String),
	/// There is none.
	#[error("no app is called {0}, or its key was revoked before")]
	Unknown(String),
}

/// What may differ between apps; where absent, what the coordinator sets for all.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
	/// How many of its tasks can wait.
	pub max_queued: Option<u32>,
	/// How many tasks it can submit in a minute.
	pub submits_per_minute: Option<u32>,
}

/// A line of the list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
	/// The app's name.
	pub name: String,
	/// Its id.
	pub id: String,
	/// When it got its key.
	pub created_ms: UnixMs,
	/// When the key was revoked.
	pub revoked_ms: Option<UnixMs>,
	/// How many of its tasks can wait.
	pub max_queued: Option<u32>,
	/// How many tasks it can submit in a minute.
	pub submits_per_minute: Option<u32>,
}

fn is_name(text: &str) -> bool {
	(1..=MAX_NAME_BYTES).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// The apps in a data directory.
pub struct Keys(Box<dyn Sql>);

impl std::fmt::Debug for Keys {
	fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
		f.debug_struct("Keys").finish_non_exhaustive()
	}
}

impl Keys {
	/// Opens the store's file, or creates it.
	pub fn open(data_dir: &Path) -> Result<Self, KeysError> {
		std::fs::create_dir_all(data_dir)?;
		let place = Place::Directory(data_dir.to_owned());
		let connection = match coordinator::lock(data_dir) {
			// Nobody runs here: the file is brought to this version, by this process alone.
			Ok(_lock) => place.connect_and_migrate()?,
			Err(coordinator::Error::Disk(error)) => return Err(error.into()),
			Err(_) => place.connect()?,
		};
		Ok(Self(connection))
	}

	/// Opens the store in this place, which is the data directory or a database.
	pub fn open_at(place: &Place) -> Result<Self, KeysError> {
		match place {
			Place::Directory(data_dir) => Self::open(data_dir),
			Place::Postgres(_) | Place::Memory(_) => Ok(Self(place.connect_and_migrate()?)),
		}
	}

	/// Makes a key for a new app, or for one whose key was revoked: that keeps its id, its tasks, and
	/// the limits that are not given anew.
	/// The key is nowhere else afterwards.
	pub fn create(
		&mut self,
		name: &str,
		limits: Limits,
		now_ms: UnixMs,
	) -> Result<ApiKey, KeysError> {
		if !is_name(name) {
			return Err(KeysError::Name);
		}
		let key = ApiKey::random();
		let changed = self.0.execute(
			"INSERT INTO apps (id, name, key_hash, created_ms, max_queued, submits_per_minute) \
			 VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (name) DO UPDATE SET \
			 key_hash = excluded.key_hash, created_ms = excluded.created_ms, revoked_ms = NULL, \
			 max_queued = COALESCE(excluded.max_queued, apps.max_queued), \
			 submits_per_minute = COALESCE(excluded.submits_per_minute, apps.submits_per_minute) \
			 WHERE apps.revoked_ms IS NOT NULL",
			values![
				AppId::random().as_str(),
				name,
				key.hash().as_slice(),
				store::stored_ms(now_ms),
				limits.max_queued,
				limits.submits_per_minute,
			],
		)?;
		if changed == 0 {
			return Err(KeysError::HasKey(name.to_owned()));
		}
		Ok(key)
	}

	/// With which calls of the app's webhooks are signed.
	pub fn webhook_secret(&mut self, name: &str) -> Result<Secret, KeysError> {
		let secret = store::secret_by_name(&mut *self.0, name)?;
		secret.ok_or_else(|| KeysError::Unknown(name.to_owned()))
	}

	/// Every app, by name.
	pub fn list(&mut self) -> Result<Vec<Entry>, KeysError> {
		let entries = self.0.rows("SELECT * FROM apps ORDER BY name", &[], |row| {
			Ok(Entry {
				name: row.get("name")?,
				id: row.get("id")?,
				created_ms: store::read_ms(row.get("created_ms")?),
				revoked_ms: row.get::<Option<i64>>("revoked_ms")?.map(store::read_ms),
				max_queued: row.get("max_queued")?,
				submits_per_minute: row.get("submits_per_minute")?,
			})
		});
		Ok(entries?)
	}

	/// Adds to an app's balance; gives what it then has. Of each reference there is one credit; without
	/// one it is a credit of its own.
	pub fn credit(
		&mut self,
		name: &str,
		amount: Balance,
		reference: Option<&str>,
		now_ms: UnixMs,
	) -> Result<Purse, KeysError> {
		if reference.is_some_and(|it| !is_name(it)) {
			return Err(KeysError::Reference);
		}
		let random = hex::encode(rand::random::<[u8; 8]>());
		let reference = reference.unwrap_or(&random);
		self.0.begin()?;
		let credited = self.id(name).and_then(|id| {
			let app = id.as_str();
			let credit = Credit {
				app,
				amount,
				reference,
			};
			let purse = store::credit(&mut *self.0, &credit, now_ms)?;
			purse.ok_or_else(|| KeysError::Credited(reference.to_owned()))
		});
		match credited {
			Ok(purse) => {
				self.0.commit()?;
				Ok(purse)
			},
			Err(error) => {
				self.0.rollback();
				Err(error)
			},
		}
	}

	/// An app's money.
	pub fn balance(&mut self, name: &str) -> Result<Purse, KeysError> {
		let id = self.id(name)?;
		Ok(store::balance(&mut *self.0, &id)?)
	}

	/// The id of the app of this name, also of one whose key was revoked.
	fn id(&mut self, name: &str) -> Result<String, KeysError> {
		let row = self
			.0
			.row("SELECT id FROM apps WHERE name = $1", values![name])?;
		let row = row.ok_or_else(|| KeysError::Unknown(name.to_owned()))?;
		Ok(row.get("id")?)
	}

	/// Revokes an app's key. Its tasks go on; a running coordinator refuses the key within seconds.
	pub fn revoke(&mut self, name: &str, now_ms: UnixMs) -> Result<(), KeysError> {
		let changed = self.0.execute(
			"UPDATE apps SET revoked_ms = $1 WHERE name = $2 AND revoked_ms IS NULL",
			values![store::stored_ms(now_ms), name],
		)?;
		if changed == 0 {
			return Err(KeysError::Unknown(name.to_owned()));
		}
		Ok(())
	}
}
