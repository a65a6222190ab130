//! The commands `offchain-coordinator keys …`.

use super::{Entry, Keys, KeysError, Limits};
use crate::{
	clock::UnixMs,
	ledger::Purse,
	store::{Place, SQLITE},
};
use clap::{Args, Subcommand};
use cuckoo_coordinator_api::Amount;
use std::path::PathBuf;

/// `keys` with what follows it.
#[derive(Args, Clone, Debug)]
pub struct KeysArgs {
	/// Where tasks and pictures are kept [default: the user's data folder].
	#[arg(long, global = true)]
	pub data_dir: Option<PathBuf>,
	/// Where the store is: `sqlite`, or postgres://USER@HOST:PORT/DATABASE.
	#[arg(long, global = true, value_name = "URL", default_value = SQLITE)]
	#[arg(env = "CUCKOO_COORDINATOR_STORE_URL")]
	pub store_url: String,
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
	/// Prints the secret with which calls of an app's webhooks are signed. It changes with the key.
	WebhookSecret {
		/// The app's name.
		name: String,
	},
	/// Adds to an app's balance, from which it pays for its tasks, and prints what it then has. Put as much
	/// into the reserve on chain: miners are paid from there.
	Credit {
		/// The app's name.
		name: String,
		/// How much, in CUC with up to 12 decimals.
		amount: String,
		/// What it is for, such as an invoice's number. A reference is credited once: with one, a command
		/// of which you do not know whether it succeeded can be given again.
		#[arg(long, value_name = "TEXT")]
		reference: Option<String>,
	},
	/// Prints an app's balance, what is held for its tasks, and what they have cost.
	Balance {
		/// The app's name.
		name: String,
	},
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
	/// Does it on the store in this place.
	pub fn run(self, place: &Place, now_ms: UnixMs) -> Result<Reply, KeysError> {
		let mut keys = Keys::open_at(place)?;
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
			Self::WebhookSecret { name } => Ok(Reply {
				output: format!("{}\n", keys.webhook_secret(&name)?.reveal()),
				note: None,
			}),
			Self::Credit {
				name,
				amount,
				reference,
			} => {
				let Amount(amount) = Amount::from_cuc(&amount).ok_or(KeysError::Amount)?;
				Ok(money(keys.credit(
					&name,
					amount,
					reference.as_deref(),
					now_ms,
				)?))
			},
			Self::Balance { name } => Ok(money(keys.balance(&name)?)),
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

fn money(purse: Purse) -> Reply {
	let cuc = |amount| Amount(amount).to_cuc();
	let (balance, held, spent) = (purse.available(), purse.held, purse.spent);
	Reply {
		output: format!(
			"balance {}\theld {}\tspent {}\n",
			cuc(balance),
			cuc(held),
			cuc(spent)
		),
		note: None,
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
