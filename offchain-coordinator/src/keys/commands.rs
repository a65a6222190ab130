//! The commands `offchain-coordinator keys …`.

use super::{Entry, Keys, KeysError, Limits};
use crate::clock::UnixMs;
use clap::{Args, Subcommand};
use std::path::{Path, PathBuf};

/// `keys` with what follows it.
#[derive(Args, Clone, Debug)]
pub struct KeysArgs {
	/// Where tasks and pictures are kept [default: the user's data folder].
	#[arg(long, global = true)]
	pub data_dir: Option<PathBuf>,
	/// What to do.
	#[command(subcommand)]
	pub command: KeysCommand,
}

/// What to do with keys.
#[derive(Subcommand, Clone, Debug)]
pub enum KeysCommand {
	/// Makes a key for an app and prints it: this once.
	Create {
		/// The app's name.
		name: String,
		/// How many of its tasks can wait [default: as for all apps].
		#[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
		max_queued: Option<u32>,
		/// How many tasks it can submit in a minute [default: as for all apps].
		#[arg(long, value_parser = clap::value_parser!(u32).range(1..))]
		submits_per_minute: Option<u32>,
	},
	/// Lists the apps that have or had a key.
	List,
	/// Revokes an app's key.
	Revoke {
		/// The app's name.
		name: String,
	},
}

/// What a command has to say.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reply {
	/// For standard output: the key, or the list.
	pub output: String,
	/// For people.
	pub note: Option<String>,
}

impl KeysCommand {
	/// Does it on the store in this directory.
	pub fn run(self, data_dir: &Path, now_ms: UnixMs) -> Result<Reply, KeysError> {
		let mut keys = Keys::open(data_dir)?;
		self.run_on(&mut keys, now_ms)
	}

	fn run_on(self, keys: &mut Keys, now_ms: UnixMs) -> Result<Reply, KeysError> {
		match self {
			Self::Create {
				name,
				max_queued,
				submits_per_minute,
			} => {
				let limits = Limits {
					max_queued,
					submits_per_minute,
				};
				let key = keys.create(&name, limits, now_ms)?;
				let note = format!("This key is shown this once: give it to {name} by a safe way.");
				Ok(Reply {
					output: format!("{}\n", key.reveal()),
					note: Some(note),
				})
			},
			Self::List => Ok(Reply {
				output: keys.list()?.iter().map(line).collect(),
				note: None,
			}),
			Self::Revoke { name } => {
				keys.revoke(&name, now_ms)?;
				let note = format!(
					"{name}'s key is revoked: a running coordinator refuses it within 5 seconds."
				);
				Ok(Reply {
					output: String::new(),
					note: Some(note),
				})
			},
		}
	}
}

fn line(app: &Entry) -> String {
	let state = match app.revoked_ms {
		Some(_) => "revoked",
		None => "active",
	};
	let limit = |limit: Option<u32>| limit.map_or("-".into(), |it| it.to_string());
	format!(
		"{}\t{}\t{state}\tmax-queued {}\tsubmits-per-minute {}\n",
		app.name,
		app.id,
		limit(app.max_queued),
		limit(app.submits_per_minute),
	)
}
