//! `offchain-coordinator admin …`: the interface on the command line.

use super::{
	client::{Client, Error},
	text, BanRequest, DEFAULT_TASKS,
};
use crate::{
	config::{Config, FILE_VARIABLE},
	flags::{given, Flags},
};
use clap::{Args, Subcommand};
use cuckoo_coordinator_api::task::TaskState;
use cuckoo_primitives::AccountId;
use serde::Serialize;
use std::{net::Ipv4Addr, path::PathBuf};

/// Where the interface is.
#[derive(Args, Clone, Debug)]
pub struct Place {
	/// The coordinator's configuration file, for its `admin_listen`.
	#[arg(long, global = true, value_name = "FILE", env = FILE_VARIABLE)]
	config: Option<PathBuf>,
	/// Where the interface is [default: http:// and the configuration's `admin_listen`].
	#[arg(long, global = true)]
	url: Option<String>,
}

impl Place {
	/// A client for the interface there.
	pub fn client(&self) -> anyhow::Result<Client> {
		let url = match &self.url {
			Some(url) => url.clone(),
			None => self.configured_url()?,
		};
		Ok(Client::new(&url))
	}

	fn configured_url(&self) -> anyhow::Result<String> {
		let given = given(self.config.as_deref(), &Flags::default()).map_err(anyhow::Error::msg)?;
		let effective = given.effective();
		let effective = effective.map_err(|errors| anyhow::anyhow!(errors.join("\n")))?;
		url(&effective.config)
	}
}

/// `admin`.
#[derive(Args, Clone, Debug)]
pub struct Admin {
	#[command(flatten)]
	place: Place,
	/// Prints the reply as JSON.
	#[arg(long, global = true)]
	json: bool,
	#[command(subcommand)]
	command: Command,
}

#[derive(Subcommand, Clone, Debug)]
enum Command {
	/// Whether it takes tasks, how many wait and are at work, who is connected.
	Status,
	/// The connected miners, what each lacks to be drawn, and all bans.
	Miners,
	/// The youngest tasks.
	Tasks {
		/// Only those in this state: queued, assigned, running, submitted, done, failed, cancelled or
		/// expired.
		#[arg(long, value_parser = task_state)]
		state: Option<TaskState>,
		/// How many at most.
		#[arg(long, default_value_t = DEFAULT_TASKS, value_parser = clap::value_parser!(u32).range(1..=1_000))]
		limit: u32,
	},
	/// One task with every attempt at it.
	Task {
		/// Its id: 0x and 32 hex digits.
		id: String,
	},
	/// The webhooks that have failed and are called again, those that failed most often first.
	Webhooks {
		/// How many at most.
		#[arg(long, default_value_t = DEFAULT_TASKS, value_parser = clap::value_parser!(u32).range(1..=1_000))]
		limit: u32,
	},
	/// Leaves a miner out of the draw. What it has may finish; its polls tell it why.
	Ban {
		/// The miner's operator account.
		account: AccountId,
		/// For how long: 90s, 15m, 2h, 7d [default: until unban].
		#[arg(long = "for", value_name = "DURATION", value_parser = text::parse_duration)]
		seconds: Option<u64>,
		/// Why, as the miner is told.
		#[arg(
			long,
			value_name = "TEXT",
			default_value = "",
			hide_default_value = true
		)]
		reason: String,
	},
	/// Lifts a ban.
	Unban {
		/// The miner's operator account.
		account: AccountId,
	},
	/// Takes no new tasks and draws nobody; what is with miners finishes. The process stays.
	Drain,
	/// Takes tasks and draws again.
	Undrain,
}

fn task_state(name: &str) -> Result<TaskState, String> {
	serde_json::from_value(name.into()).map_err(|_| {
		"must be queued, assigned, running, submitted, done, failed, cancelled or expired".into()
	})
}

impl Admin {
	/// Asks, and gives what is to be printed.
	pub async fn run(&self) -> anyhow::Result<String> {
		Ok(self.ask(&self.place.client()?).await?)
	}

	async fn ask(&self, client: &Client) -> Result<String, Error> {
		// The coordinator's clock, by which its times are to be read.
		let now_ms = || async { client.status().await.map(|status| status.now_ms) };
		Ok(match &self.command {
			Command::Status => self.show(client.status().await?, text::status),
			Command::Miners => {
				let now_ms = now_ms().await?;
				self.show(client.miners().await?, |miners| {
					text::miners(miners, now_ms)
				})
			},
			Command::Tasks { state, limit } => {
				let now_ms = now_ms().await?;
				let tasks = client.tasks(*state, *limit).await?;
				self.show(tasks, |tasks| text::tasks(tasks, now_ms))
			},
			Command::Task { id } => {
				let now_ms = now_ms().await?;
				self.show(client.task(id).await?, |task| text::task(task, now_ms))
			},
			Command::Webhooks { limit } => {
				let now_ms = now_ms().await?;
				self.show(client.webhooks(*limit).await?, |webhooks| {
					text::webhooks(webhooks, now_ms)
				})
			},
			Command::Ban {
				account,
				seconds,
				reason,
			} => {
				let request = BanRequest {
					account: account.clone(),
					seconds: *seconds,
					reason: reason.clone(),
				};
				let ban = client.ban(&request).await?;
				self.show(ban, |ban| {
					text::bans(std::slice::from_ref(ban), ban.since_ms)
				})
			},
			Command::Unban { account } => {
				let status = client.unban(account.clone()).await?;
				self.show(status, |_| format!("{account} can be drawn again.\n"))
			},
			Command::Drain => self.show(client.drain().await?, text::status),
			Command::Undrain => self.show(client.undrain().await?, text::status),
		})
	}

	fn show<T: Serialize>(&self, reply: T, for_people: impl FnOnce(&T) -> String) -> String {
		if self.json {
			let json = serde_json::to_string_pretty(&reply);
			json.expect("the replies have text keys only and no failing part; qed") + "\n"
		} else {
			for_people(&reply)
		}
	}
}

/// Where a coordinator with this configuration has its interface, seen from its own machine.
fn url(config: &Config) -> anyhow::Result<String> {
	let Some(mut address) = config.admin_listen else {
		anyhow::bail!("the configuration turns the interface off: set `admin_listen`");
	};
	if address.port() == 0 {
		anyhow::bail!("`admin_listen` takes a free port: name the one in the log by --url");
	}
	if address.ip().is_unspecified() {
		address.set_ip(Ipv4Addr::LOCALHOST.into());
	}
	Ok(format!("http://{address}"))
}
