//! The worker key, from a file or the environment; never from the command line, never into a log.

use sp_core::{
	crypto::{ExposeSecret, Pair as _, SecretString},
	sr25519,
};
use std::{
	env,
	fs::File,
	io::Read,
	path::{Path, PathBuf},
};

/// More than the longest secret URI anyone writes (24 words, a path and a password).
const MAX_KEY_BYTES: u64 = 4_096;

/// Hex digits of a 32-byte seed.
const SEED_DIGITS: usize = 64;

/// The worker key could not be loaded. No message shows the key or a part of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
	/// Neither a file nor the variable.
	#[error("no worker key: name a key file, or put the key's secret URI into the environment variable {0}")]
	Missing(String),
	/// The file cannot be read.
	#[error("cannot read the key file {}: {source}", path.display())]
	Read {
		/// The file.
		path: PathBuf,
		/// Why.
		source: std::io::Error,
	},
	/// Others may read the file.
	#[error("the key file {} can be read by others (mode {mode:04o}): run `chmod 600 {}`", path.display(), path.display())]
	Exposed {
		/// The file.
		path: PathBuf,
		/// Its permission bits.
		mode: u32,
	},
	/// The content is no key.
	#[error("{place} holds no sr25519 key: expected a secret URI (mnemonic, 0x and 64 hex digits, or //path), or a JSON string of one")]
	Invalid {
		/// The file or the variable.
		place: String,
	},
}

/// Loads the key from `file` if one is named, else from the environment variable.
///
/// The content is a secret URI, a seed in hex, or a JSON string of either, as Substrate's keystore
/// keeps it. On Unix the file must be readable by its owner only (mode 0600 or less).
pub fn load_worker_key(file: Option<&Path>, env_var: &str) -> Result<sr25519::Pair, KeyError> {
	match file {
		Some(path) => parse(&read_file(path)?).ok_or_else(|| KeyError::Invalid {
			place: path.display().to_string(),
		}),
		None => {
			let secret = env::var(env_var).map_err(|_| KeyError::Missing(env_var.into()))?;
			parse(&secret.into()).ok_or_else(|| KeyError::Invalid {
				place: format!("the variable {env_var}"),
			})
		},
	}
}

fn read_file(path: &Path) -> Result<SecretString, KeyError> {
	let failed = |source| KeyError::Read {
		path: path.into(),
		source,
	};
	let file = File::open(path).map_err(failed)?;
	// Asked of the open file, not of the path: it cannot be swapped in between.
	check_mode(path, &file)?;
	let mut secret = String::new();
	let read = file.take(MAX_KEY_BYTES + 1).read_to_string(&mut secret);
	let secret = SecretString::from(secret);
	let invalid = || KeyError::Invalid {
		place: path.display().to_string(),
	};
	match read {
		Ok(bytes) if bytes as u64 > MAX_KEY_BYTES => Err(invalid()),
		Ok(_) => Ok(secret),
		Err(error) if error.kind() == std::io::ErrorKind::InvalidData => Err(invalid()),
		Err(error) => Err(failed(error)),
	}
}

#[cfg(unix)]
fn check_mode(path: &Path, file: &File) -> Result<(), KeyError> {
	use std::os::unix::fs::MetadataExt;
	/// Any permission of the group or of others.
	const OTHERS: u32 = 0o077;
	const PERMISSIONS: u32 = 0o7777;
	let metadata = file.metadata().map_err(|source| KeyError::Read {
		path: path.into(),
		source,
	})?;
	let mode = metadata.mode() & PERMISSIONS;
	if mode & OTHERS == 0 {
		Ok(())
	} else {
		Err(KeyError::Exposed {
			path: path.into(),
			mode,
		})
	}
}

#[cfg(not(unix))]
fn check_mode(_: &Path, _: &File) -> Result<(), KeyError> {
	Ok(())
}

fn parse(secret: &SecretString) -> Option<sr25519::Pair> {
	let text = secret.expose_secret().trim();
	let unquoted: SecretString;
	let uri = if text.starts_with('"') {
		unquoted = serde_json::from_str::<String>(text).ok()?.into();
		unquoted.expose_secret().trim()
	} else {
		text
	};
	let is_bare_seed = uri.len() == SEED_DIGITS && uri.bytes().all(|byte| byte.is_ascii_hexdigit());
	if is_bare_seed {
		let prefixed = SecretString::from(format!("0x{uri}"));
		sr25519::Pair::from_string(prefixed.expose_secret(), None).ok()
	} else if uri.is_empty() {
		// Substrate reads an empty URI as the well-known development account.
		None
	} else {
		sr25519::Pair::from_string(uri, None).ok()
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use std::{fs, io::Write};

	const SEED: &str = "e5be9a5092b81bca64be81d212e7f2f9eba183bb7a90954f7b76361f6edb5c0a";
	const ALICE: &str = "//Alice";

	fn key_file(content: &[u8], mode: u32) -> tempfile::NamedTempFile {
		let mut file = tempfile::NamedTempFile::new().unwrap();
		file.write_all(content).unwrap();
		#[cfg(unix)]
		{
			use std::os::unix::fs::PermissionsExt;
			fs::set_permissions(file.path(), fs::Permissions::from_mode(mode)).unwrap();
		}
		file
	}

	fn load(content: &[u8]) -> Result<sr25519::Pair, KeyError> {
		load_worker_key(Some(key_file(content, 0o600).path()), "UNUSED")
	}

	#[test]
	fn every_form_of_a_key_is_read() {
		let alice = sr25519::Pair::from_string(ALICE, None).unwrap().public();
		// The seed of //Alice: the same key in every form.
		for content in [
			ALICE.to_string(),
			format!("{ALICE}\n"),
			format!("\"{ALICE}\""),
			format!("0x{SEED}"),
			SEED.to_string(),
			format!("\"0x{SEED}\"\n"),
			format!("\"{SEED}\""),
			format!("{}//Alice", sp_core::crypto::DEV_PHRASE),
			format!("\"{}//Alice\"", sp_core::crypto::DEV_PHRASE),
		] {
			assert_eq!(
				load(content.as_bytes()).unwrap().public(),
				alice,
				"{content}"
			);
		}
	}

	#[test]
	fn what_is_no_key_is_refused_without_being_shown() {
		let long = "x".repeat(MAX_KEY_BYTES as usize + 1);
		for content in [
			b"".as_slice(),
			b"\n",
			b"\"\"",
			b"secret words that are no mnemonic",
			b"\"secret//Alice",
			b"0x1234secret",
			b"\xff\xfe secret",
			long.as_bytes(),
		] {
			let error = load(content).err().expect("no key");
			assert!(matches!(error, KeyError::Invalid { .. }), "{error}");
			for shown in [error.to_string(), format!("{error:?}")] {
				assert!(
					!shown.contains("secret") || shown.contains("secret URI"),
					"{shown}"
				);
				assert!(!shown.contains("words that"), "{shown}");
			}
		}
	}

	#[test]
	#[cfg(unix)]
	fn a_file_that_others_can_read_is_refused() {
		for mode in [0o640, 0o604, 0o644, 0o620, 0o660, 0o777] {
			let file = key_file(ALICE.as_bytes(), mode);
			let error = load_worker_key(Some(file.path()), "UNUSED")
				.err()
				.expect("exposed");
			assert!(matches!(error, KeyError::Exposed { mode: found, .. } if found == mode));
			assert!(error.to_string().contains("chmod 600"));
		}
		for mode in [0o600, 0o400] {
			let file = key_file(ALICE.as_bytes(), mode);
			load_worker_key(Some(file.path()), "UNUSED").unwrap();
		}
	}

	#[test]
	fn a_file_wins_and_without_one_the_variable_is_read() {
		const VARIABLE: &str = "CUCKOO_CHAIN_CLIENT_TEST_KEY";
		assert!(
			matches!(load_worker_key(None, VARIABLE), Err(KeyError::Missing(name)) if name == VARIABLE)
		);
		env::set_var(VARIABLE, "//Bob");
		let bob = sr25519::Pair::from_string("//Bob", None).unwrap().public();
		assert_eq!(load_worker_key(None, VARIABLE).unwrap().public(), bob);
		let file = key_file(ALICE.as_bytes(), 0o600);
		assert_ne!(
			load_worker_key(Some(file.path()), VARIABLE)
				.unwrap()
				.public(),
			bob
		);
		let missing = Path::new("no/such/file");
		assert!(matches!(
			load_worker_key(Some(missing), VARIABLE),
			Err(KeyError::Read { .. })
		));
		env::remove_var(VARIABLE);
	}
}
