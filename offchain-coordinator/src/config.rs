//! One configuration from four places: flags beat the environment, which beats a TOML file, which
//! beats the defaults.
//!
//! Pure: texts and maps go in; a [`Config`] with where each value came from, or every mistake at once,
//! comes out. All settings stand in [`FIELDS`], from which the flags, their help, the keys of the
//! file, the environment variables and the printed form follow.

use crate::{
	artifacts::{Place, S3},
	connections::Bounds,
	price,
	settings::{Settings, DAY_MS},
	store, tls,
};
use cuckoo_coordinator_api::Amount;
use cuckoo_primitives::{Balance, CUC};
use std::{
	collections::BTreeMap,
	fmt,
	net::SocketAddr,
	ops::RangeInclusive,
	path::{Path, PathBuf},
};
use toml_edit::{ImDocument, InlineTable, Item, TableLike, Value};

/// An environment variable is this and the key in capitals.
pub const VARIABLE_PREFIX: &str = "CUCKOO_COORDINATOR_";

/// The environment variable that names the file.
pub const FILE_VARIABLE: &str = "CUCKOO_COORDINATOR_CONFIG";

/// Largest time and count: below what TOML and SQLite can hold, also in milliseconds.
const MOST: u64 = i64::MAX as u64 / 2_000;

/// How alike a key that does not exist must be to one that does for that to be suggested.
const ALIKE: f64 = 0.6;

/// Keys of the file that are tables: what begins with one of them and a dash is in it.
const TABLES: &[&str] = &["tls", "artifacts", "webhooks", "settlement"];

/// Turns off what has an address.
const NONE: &str = "none";

/// How the log is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LogFormat {
	/// Lines for people.
	Text,
	/// One JSON object a line.
	Json,
}

/// Everything that an operator can set.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Config {
	/// WebSocket URL of a node.
	pub chain: String,
	/// Where apps and miners are served.
	pub listen: SocketAddr,
	/// The certificate in PEM with which that is TLS; `None` for plain HTTP.
	pub tls_certificate: Option<PathBuf>,
	/// The certificate's key in PEM.
	pub tls_key: Option<PathBuf>,
	/// Where tasks and pictures are kept; `None` for the user's data folder.
	pub data_dir: Option<PathBuf>,
	/// Where the store is: in a file of the data directory, or a database.
	pub store_url: String,
	/// Where artifacts are kept, as it was written.
	pub artifacts: ArtifactsAsWritten,
	/// The worker key's file; `None` for the environment.
	pub worker_key: Option<PathBuf>,
	/// The file of the key that sends transactions for settlement; `None` for the worker key.
	pub settlement_key: Option<PathBuf>,
	/// How many connections can be open.
	pub max_connections: u32,
	/// How many of them one address can have.
	pub max_connections_per_address: u32,
	/// How the log is written.
	pub log_format: LogFormat,
	/// How long tasks that are with miners may go on after the first signal, in seconds.
	pub drain_timeout: u64,
	/// Where the operator's own interface and the metrics are; `None` for nowhere.
	pub admin_listen: Option<SocketAddr>,
	/// Whether that may be reachable from other machines.
	pub admin_allow_remote: bool,
	/// The coordinator's rules.
	pub settings: Settings,
}

/// What the settings say of where artifacts are kept.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ArtifactsAsWritten {
	/// A folder.
	pub dir: Option<PathBuf>,
	/// Storage that speaks S3.
	pub url: Option<String>,
	/// Its server.
	pub endpoint: Option<String>,
	/// Its region.
	pub region: Option<String>,
	/// File with the credentials for it.
	pub credentials: Option<PathBuf>,
}

impl ArtifactsAsWritten {
	fn place(&self) -> Place {
		match (&self.dir, self.url.as_deref().and_then(S3::parse)) {
			(_, Some(s3)) => Place::S3(S3 {
				endpoint: self.endpoint.clone(),
				region: self.region.clone(),
				credentials: self.credentials.clone(),
				..s3
			}),
			(Some(folder), None) => Place::Folder(folder.clone()),
			(None, None) => Place::DataDir,
		}
	}
}

impl Config {
	/// Certificate and key, if it is to speak TLS.
	pub fn tls(&self) -> Option<tls::Files> {
		let (certificate, key) = self.tls_certificate.clone().zip(self.tls_key.clone())?;
		Some(tls::Files { certificate, key })
	}

	/// How many connections can be open.
	pub fn bounds(&self) -> Bounds {
		let each = if self.settings.trust_proxy {
			// All of them are the proxy's.
			self.max_connections
		} else {
			self.max_connections_per_address
		};
		Bounds {
			all: self.max_connections,
			each,
		}
	}
}

impl Default for Config {
	fn default() -> Self {
		Self {
			chain: "ws://127.0.0.1:9944".into(),
			listen: SocketAddr::from(([127, 0, 0, 1], 8645)),
			tls_certificate: None,
			tls_key: None,
			data_dir: None,
			store_url: store::SQLITE.into(),
			artifacts: ArtifactsAsWritten::default(),
			worker_key: None,
			settlement_key: None,
			max_connections: 4_096,
			max_connections_per_address: 512,
			log_format: LogFormat::Text,
			drain_timeout: 60,
			admin_listen: Some(SocketAddr::from(([127, 0, 0, 1], 8646))),
			admin_allow_remote: false,
			settings: Settings::default(),
		}
	}
}

/// What a field's value looks like in the file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
	Text,
	Number,
	Switch,
	Table,
}

/// One setting.
pub struct Field {
	/// The flag, without the dashes in front.
	pub flag: &'static str,
	/// What stands for its value in the help.
	pub value: &'static str,
	/// What it sets.
	pub help: &'static str,
	kind: Kind,
	set: fn(&mut Config, &str) -> Result<(), String>,
	get: fn(&Config) -> Option<Value>,
}

impl Field {
	/// The key in the file, with a dot after its table if it is in one.
	pub fn key(&self) -> String {
		let in_table = |table: &&str| {
			let rest = self.flag.strip_prefix(*table)?.strip_prefix('-')?;
			Some(format!("{table}.{}", rest.replace('-', "_")))
		};
		let found = TABLES.iter().find_map(in_table);
		found.unwrap_or_else(|| self.flag.replace('-', "_"))
	}

	/// The environment variable.
	pub fn variable(&self) -> String {
		format!(
			"{VARIABLE_PREFIX}{}",
			self.flag.replace('-', "_").to_uppercase()
		)
	}

	/// Whether it is true or false.
	pub fn is_switch(&self) -> bool {
		self.kind == Kind::Switch
	}

	/// The value in this configuration as the file would have it; `None` if it is not set.
	pub fn shown(&self, config: &Config) -> Option<String> {
		(self.get)(config).map(|value| value.to_string())
	}
}

/// Every setting, in the order in which they are shown.
pub const FIELDS: &[Field] = &[
	Field {
		flag: "chain",
		value: "URL",
		help: "WebSocket URL of a Cuckoo node",
		kind: Kind::Text,
		set: |config, text| put(&mut config.chain, web_socket_url(text)),
		get: |config| Some(config.chain.as_str().into()),
	},
	Field {
		flag: "listen",
		value: "ADDRESS",
		help: "Address and port to listen on for apps and miners; port 0 takes a free one",
		kind: Kind::Text,
		set: |config, text| put(&mut config.listen, address(text)),
		get: |config| Some(config.listen.to_string().into()),
	},
	Field {
		flag: "tls-certificate",
		value: "FILE",
		help: "PEM file with the certificate and those between it and its root: apps and miners are served \
			over TLS. Looked at again every ten seconds, as is the key [default: plain HTTP]",
		kind: Kind::Text,
		set: |config, text| put(&mut config.tls_certificate, path(text).map(Some)),
		get: |config| shown_path(config.tls_certificate.as_ref()),
	},
	Field {
		flag: "tls-key",
		value: "FILE",
		help: "PEM file with the certificate's private key",
		kind: Kind::Text,
		set: |config, text| put(&mut config.tls_key, path(text).map(Some)),
		get: |config| shown_path(config.tls_key.as_ref()),
	},
	Field {
		flag: "data-dir",
		value: "DIR",
		help: "Where tasks and pictures are kept [default: the user's data folder]",
		kind: Kind::Text,
		set: |config, text| put(&mut config.data_dir, path(text).map(Some)),
		get: |config| shown_path(config.data_dir.as_ref()),
	},
	Field {
		flag: "store-url",
		value: "URL",
		help: "Where the store is: `sqlite`, in the data directory, or \
			postgres://USER@HOST:PORT/DATABASE, which several processes can share. The database's \
			password is taken from the environment variable CUCKOO_STORE_PASSWORD",
		kind: Kind::Text,
		set: |config, text| put(&mut config.store_url, store_url(text)),
		get: |config| Some(config.store_url.as_str().into()),
	},
	Field {
		flag: "artifacts-dir",
		value: "DIR",
		help: "Where pictures are kept; processes of one coordinator can share it [default: the data \
			directory]",
		kind: Kind::Text,
		set: |config, text| put(&mut config.artifacts.dir, path(text).map(Some)),
		get: |config| shown_path(config.artifacts.dir.as_ref()),
	},
	Field {
		flag: "artifacts-url",
		value: "URL",
		help: "Storage that speaks S3, where pictures are kept: s3://BUCKET/PREFIX. Credentials are taken \
			from the environment as Amazon's tools have them (AWS_ACCESS_KEY_ID and so on)",
		kind: Kind::Text,
		set: |config, text| put(&mut config.artifacts.url, s3_url(text).map(Some)),
		get: |config| config.artifacts.url.as_deref().map(Value::from),
	},
	Field {
		flag: "artifacts-endpoint",
		value: "URL",
		help: "The storage's server [default: Amazon's in the region]",
		kind: Kind::Text,
		set: |config, text| put(&mut config.artifacts.endpoint, http_url(text).map(Some)),
		get: |config| config.artifacts.endpoint.as_deref().map(Value::from),
	},
	Field {
		flag: "artifacts-region",
		value: "REGION",
		help: "The storage's region [default: AWS_REGION, or us-east-1]",
		kind: Kind::Text,
		set: |config, text| put(&mut config.artifacts.region, filled(text).map(Some)),
		get: |config| config.artifacts.region.as_deref().map(Value::from),
	},
	Field {
		flag: "artifacts-credentials",
		value: "FILE",
		help: "File with the storage's credentials, as Amazon's tools have it [default: the environment]",
		kind: Kind::Text,
		set: |config, text| put(&mut config.artifacts.credentials, path(text).map(Some)),
		get: |config| shown_path(config.artifacts.credentials.as_ref()),
	},
	Field {
		flag: "worker-key",
		value: "FILE",
		help: "File with the worker key (a secret URI, a hex seed, or a Substrate keystore file), \
			readable by its owner only. Without it the key's secret URI is taken from the \
			environment variable CUCKOO_WORKER_URI",
		kind: Kind::Text,
		set: |config, text| put(&mut config.worker_key, path(text).map(Some)),
		get: |config| shown_path(config.worker_key.as_ref()),
	},
	Field {
		flag: "lease-base-ms",
		value: "MS",
		help: "A lease's length before its steps are counted, in milliseconds",
		kind: Kind::Number,
		set: |config, text| put(&mut config.settings.lease_base_ms, number(text, 1..=MOST)),
		get: |config| shown_number(config.settings.lease_base_ms),
	},
	Field {
		flag: "lease-per-step-ms",
		value: "MS",
		help: "What each denoising step adds to a lease, in milliseconds",
		kind: Kind::Number,
		set: |config, text| {
			put(
				&mut config.settings.lease_per_step_ms,
				number(text, 0..=MOST),
			)
		},
		get: |config| shown_number(config.settings.lease_per_step_ms),
	},
	Field {
		flag: "pick-up-ms",
		value: "MS",
		help: "How long a drawn miner has to fetch its work, in milliseconds",
		kind: Kind::Number,
		set: |config, text| put(&mut config.settings.pick_up_ms, number(text, 1..=MOST)),
		get: |config| shown_number(config.settings.pick_up_ms),
	},
	Field {
		flag: "queue-timeout",
		value: "SECONDS",
		help: "How long a task waits for a miner before it expires, in seconds",
		kind: Kind::Number,
		set: |config, text| {
			let ms = number(text, 1..=MOST / 1_000).map(|seconds| seconds * 1_000);
			put(&mut config.settings.queue_timeout_ms, ms)
		},
		get: |config| shown_number(config.settings.queue_timeout_ms / 1_000),
	},
	Field {
		flag: "max-queued",
		value: "COUNT",
		help: "How many tasks can wait; past it apps get QueueFull",
		kind: Kind::Number,
		set: |config, text| {
			let count = number(text, 0..=u32::MAX.into()).map(|count| count as usize);
			put(&mut config.settings.max_queued, count)
		},
		get: |config| shown_number(config.settings.max_queued as u64),
	},
	Field {
		flag: "max-queued-per-app",
		value: "COUNT",
		help: "How many tasks of one app can wait, unless its key says otherwise; past it the app gets \
			AppQueueFull",
		kind: Kind::Number,
		set: |config, text| {
			let count = number(text, 0..=u32::MAX.into()).map(|count| count as usize);
			put(&mut config.settings.max_queued_per_app, count)
		},
		get: |config| shown_number(config.settings.max_queued_per_app as u64),
	},
	Field {
		flag: "submits-per-minute",
		value: "COUNT",
		help: "How many tasks an app can submit in a minute, unless its key says otherwise",
		kind: Kind::Number,
		set: |config, text| {
			let count = number(text, 1..=u32::MAX.into()).map(|count| count as u32);
			put(&mut config.settings.submits_per_minute, count)
		},
		get: |config| shown_number(config.settings.submits_per_minute.into()),
	},
	Field {
		flag: "weight-cap",
		value: "CUC",
		help: "The most stake of a miner that counts in the draw, in CUC [default: no limit]",
		kind: Kind::Number,
		set: |config, text| {
			let cap = number(text, 1..=MOST).map(|cuc| Balance::from(cuc) * CUC);
			put(&mut config.settings.weight_cap, cap)
		},
		get: |config| match config.settings.weight_cap {
			Balance::MAX => None,
			cap => shown_number(u64::try_from(cap / CUC).unwrap_or(MOST)),
		},
	},
	Field {
		flag: "suspension-ms",
		value: "MS",
		help:
			"A miner's first suspension after a failure, in milliseconds; doubles with each in a \
			row",
		kind: Kind::Number,
		set: |config, text| put(&mut config.settings.suspension_ms, number(text, 0..=MOST)),
		get: |config| shown_number(config.settings.suspension_ms),
	},
	Field {
		flag: "grace-ms",
		value: "MS",
		help: "After a restart, how long leases and waits that ran out meanwhile are kept, in \
			milliseconds",
		kind: Kind::Number,
		set: |config, text| put(&mut config.settings.grace_ms, number(text, 0..=MOST)),
		get: |config| shown_number(config.settings.grace_ms),
	},
	Field {
		flag: "default-model",
		value: "MODEL",
		help: "The model for requests that name none: its hash or name [default: the one with the \
			most stake]",
		kind: Kind::Text,
		set: |config, text| put(&mut config.settings.default_model, filled(text).map(Some)),
		get: |config| config.settings.default_model.as_deref().map(Value::from),
	},
	Field {
		flag: "price",
		value: "CUC",
		help: "What a megapixel-step costs, in CUC with up to 12 decimals: a million pixels times one \
			denoising step. Apps pay it by a channel or from the balance of their API key",
		kind: Kind::Text,
		set: |config, text| put(&mut config.settings.prices.default, rate(text)),
		get: |config| Some(Amount(config.settings.prices.default).to_cuc().into()),
	},
	Field {
		flag: "model-prices",
		value: "TABLE",
		help: "What a megapixel-step of single models costs, by name or hash, as TOML has it: \
			{ tiny = \"0.002\" }",
		kind: Kind::Table,
		set: |config, text| put(&mut config.settings.prices.by_model, rates(text)),
		get: |config| {
			let by_model = &config.settings.prices.by_model;
			let shown = |(model, rate): (&String, &Balance)| (model.clone(), Amount(*rate).to_cuc());
			let table: InlineTable = by_model.iter().map(shown).collect();
			(!table.is_empty()).then_some(Value::InlineTable(table))
		},
	},
	Field {
		flag: "settlement-key",
		value: "FILE",
		help: "File with the key that sends transactions for settlement: that of an account that is a \
			Settlement proxy of the operator and has CUC for fees [default: the worker key]",
		kind: Kind::Text,
		set: |config, text| put(&mut config.settlement_key, path(text).map(Some)),
		get: |config| shown_path(config.settlement_key.as_ref()),
	},
	Field {
		flag: "settlement-allotment",
		value: "CUC",
		help: "What is allotted on chain to each miner that is connected, as far as the reserve allows, in \
			CUC with up to 12 decimals; 0 leaves allotments to the operator",
		kind: Kind::Text,
		set: |config, text| put(&mut config.settings.settlement.allotment, rate(text)),
		get: |config| Some(Amount(config.settings.settlement.allotment).to_cuc().into()),
	},
	Field {
		flag: "settlement-claim-for-miners",
		value: "true|false",
		help: "Claims what miners are owed of settled eras for them, and pays the transactions' fees",
		kind: Kind::Switch,
		set: |config, text| put(&mut config.settings.settlement.claim_for_miners, switch(text)),
		get: |config| Some(config.settings.settlement.claim_for_miners.into()),
	},
	Field {
		flag: "webhooks-allow-http",
		value: "true|false",
		help: "Calls apps' webhooks by http too, not only by https",
		kind: Kind::Switch,
		set: |config, text| put(&mut config.settings.webhooks.http, switch(text)),
		get: |config| Some(config.settings.webhooks.http.into()),
	},
	Field {
		flag: "webhooks-allow-private",
		value: "true|false",
		help: "Calls apps' webhooks on this machine and in its network too: whoever has an API key can \
			then reach what this machine can reach",
		kind: Kind::Switch,
		set: |config, text| put(&mut config.settings.webhooks.private, switch(text)),
		get: |config| Some(config.settings.webhooks.private.into()),
	},
	Field {
		flag: "retention-days",
		value: "DAYS",
		help: "How long tasks that ended are kept, with their results and pictures; 0 for ever",
		kind: Kind::Number,
		set: |config, text| put(&mut config.settings.retention_ms, days(text)),
		get: |config| shown_number(config.settings.retention_ms / DAY_MS),
	},
	Field {
		flag: "artifact-retention-days",
		value: "DAYS",
		help: "How long pictures are kept, if shorter than their tasks; 0 as long as those",
		kind: Kind::Number,
		set: |config, text| put(&mut config.settings.artifact_retention_ms, days(text)),
		get: |config| shown_number(config.settings.artifact_retention_ms / DAY_MS),
	},
	Field {
		flag: "require-api-key",
		value: "true|false",
		help: "Takes tasks only with an API key, or with what pays for them by a channel",
		kind: Kind::Switch,
		set: |config, text| put(&mut config.settings.require_api_key, switch(text)),
		get: |config| Some(config.settings.require_api_key.into()),
	},
	Field {
		flag: "trust-proxy",
		value: "true|false",
		help: "Takes the client's address from the last entry of X-Forwarded-For: for a coordinator that \
			only a proxy can reach",
		kind: Kind::Switch,
		set: |config, text| put(&mut config.settings.trust_proxy, switch(text)),
		get: |config| Some(config.settings.trust_proxy.into()),
	},
	Field {
		flag: "image-wait",
		value: "SECONDS",
		help: "How long a request by OpenAI's API waits for its pictures, in seconds",
		kind: Kind::Number,
		set: |config, text| {
			let ms = number(text, 1..=3_600).map(|seconds| seconds * 1_000);
			put(&mut config.settings.image_wait_ms, ms)
		},
		get: |config| shown_number(config.settings.image_wait_ms / 1_000),
	},
	Field {
		flag: "public-url",
		value: "URL",
		help: "Where this coordinator is reached, for the addresses of pictures [default: what the request \
			names as its host]",
		kind: Kind::Text,
		set: |config, text| put(&mut config.settings.public_url, http_url(text).map(Some)),
		get: |config| config.settings.public_url.as_deref().map(Value::from),
	},
	Field {
		flag: "max-connections",
		value: "COUNT",
		help: "How many connections can be open",
		kind: Kind::Number,
		set: |config, text| {
			let count = number(text, 1..=100_000).map(|count| count as u32);
			put(&mut config.max_connections, count)
		},
		get: |config| shown_number(config.max_connections.into()),
	},
	Field {
		flag: "max-connections-per-address",
		value: "COUNT",
		help: "How many connections one address can have, a /64 network of IPv6 as one; behind a proxy \
		       that is trusted, it does not count",
		kind: Kind::Number,
		set: |config, text| {
			let count = number(text, 1..=100_000).map(|count| count as u32);
			put(&mut config.max_connections_per_address, count)
		},
		get: |config| shown_number(config.max_connections_per_address.into()),
	},
	Field {
		flag: "drain-timeout",
		value: "SECONDS",
		help:
			"After the first SIGTERM or Ctrl-C, how long tasks that are with miners may go on, in \
			seconds",
		kind: Kind::Number,
		set: |config, text| put(&mut config.drain_timeout, number(text, 0..=86_400)),
		get: |config| shown_number(config.drain_timeout),
	},
	Field {
		flag: "admin-listen",
		value: "ADDRESS",
		help: "Address and port of the operator's own interface and of the metrics; `none` turns \
			them off",
		kind: Kind::Text,
		set: |config, text| put(&mut config.admin_listen, address_or_none(text)),
		get: |config| {
			let shown = config.admin_listen.map(|address| address.to_string());
			Some(shown.unwrap_or_else(|| NONE.into()).into())
		},
	},
	Field {
		flag: "admin-allow-remote",
		value: "true|false",
		help:
			"Lets the operator's interface, which asks nobody who they are, listen on an address \
			that other machines can reach",
		kind: Kind::Switch,
		set: |config, text| put(&mut config.admin_allow_remote, switch(text)),
		get: |config| Some(config.admin_allow_remote.into()),
	},
	Field {
		flag: "log-format",
		value: "text|json",
		help: "How to write the log; RUST_LOG says what to write",
		kind: Kind::Text,
		set: |config, text| {
			let format = match text {
				"text" => Ok(LogFormat::Text),
				"json" => Ok(LogFormat::Json),
				_ => Err("must be `text` or `json`".into()),
			};
			put(&mut config.log_format, format)
		},
		get: |config| match config.log_format {
			LogFormat::Text => Some("text".into()),
			LogFormat::Json => Some("json".into()),
		},
	},
];

fn put<T>(place: &mut T, value: Result<T, String>) -> Result<(), String> {
	*place = value?;
	Ok(())
}

fn number(text: &str, range: RangeInclusive<u64>) -> Result<u64, String> {
	let parsed = text.parse().ok().filter(|number| range.contains(number));
	parsed.ok_or_else(|| {
		let (from, to) = (range.start(), range.end());
		format!("must be a whole number from {from} to {to}")
	})
}

fn rate(text: &str) -> Result<Balance, String> {
	let message =
		"must be CUC in quotes with up to 12 decimals and at most 1000000000, such as \"0.0005\"";
	price::parse(text).ok_or_else(|| message.into())
}

fn rates(text: &str) -> Result<BTreeMap<String, Balance>, String> {
	let message = "must be a table of models with their prices, such as { tiny = \"0.002\" }";
	let table = text.parse().ok().and_then(|value| match value {
		Value::InlineTable(table) => Some(table),
		_ => None,
	});
	let entry = |(model, value): (&str, &Value)| {
		let text = value.as_str().ok_or(message)?;
		Ok((model.to_owned(), rate(text)?))
	};
	table.ok_or(message)?.iter().map(entry).collect()
}

fn days(text: &str) -> Result<u64, String> {
	number(text, 0..=36_500).map(|days| days * DAY_MS)
}

fn switch(text: &str) -> Result<bool, String> {
	text.parse().map_err(|_| "must be true or false".into())
}

fn address(text: &str) -> Result<SocketAddr, String> {
	let message = "must be an IP address and a port, such as 127.0.0.1:8645 or [::1]:8645";
	text.parse().map_err(|_| message.into())
}

fn address_or_none(text: &str) -> Result<Option<SocketAddr>, String> {
	if text == NONE {
		return Ok(None);
	}
	let message = "must be an IP address and a port, such as 127.0.0.1:8646, or `none`";
	text.parse().map(Some).map_err(|_| message.into())
}

fn web_socket_url(text: &str) -> Result<String, String> {
	let rest = text
		.strip_prefix("ws://")
		.or_else(|| text.strip_prefix("wss://"));
	match rest {
		Some(rest) if !rest.is_empty() => Ok(text.into()),
		_ => Err("must be a WebSocket URL, such as ws://127.0.0.1:9944".into()),
	}
}

fn http_url(text: &str) -> Result<String, String> {
	let rest = text
		.strip_prefix("http://")
		.or_else(|| text.strip_prefix("https://"));
	match rest {
		Some(rest) if !rest.is_empty() => Ok(text.into()),
		_ => Err("must be a URL, such as https://coordinator.example".into()),
	}
}

fn store_url(text: &str) -> Result<String, String> {
	store::Place::new(text, Path::new("")).map(|_| text.into())
}

fn s3_url(text: &str) -> Result<String, String> {
	match S3::parse(text) {
		Some(_) => Ok(text.into()),
		None => Err(
			"must be s3:// with a bucket and perhaps a prefix, such as s3://pictures/cuckoo".into(),
		),
	}
}

fn filled(text: &str) -> Result<String, String> {
	if text.is_empty() {
		return Err("must not be empty: leave it out instead".into());
	}
	Ok(text.into())
}

fn path(text: &str) -> Result<PathBuf, String> {
	filled(text).map(PathBuf::from)
}

fn shown_path(path: Option<&PathBuf>) -> Option<Value> {
	path.map(|path| path.display().to_string().into())
}

/// Numbers are read with bounds below `i64::MAX`.
fn shown_number(number: u64) -> Option<Value> {
	Some(i64::try_from(number).unwrap_or(i64::MAX).into())
}

/// Where a value came from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Source {
	/// Nobody set it.
	Default,
	/// This line of this file.
	File(String, usize),
	/// This environment variable.
	Variable(String),
	/// This flag.
	Flag(&'static str),
}

impl fmt::Display for Source {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		match self {
			Self::Default => f.write_str("default"),
			Self::File(name, line) => write!(f, "{name}:{line}"),
			Self::Variable(name) => f.write_str(name),
			Self::Flag(flag) => write!(f, "--{flag}"),
		}
	}
}

/// What was given.
#[derive(Clone, Debug, Default)]
pub struct Given {
	/// The file's name and text.
	pub file: Option<(String, String)>,
	/// The environment.
	pub environment: BTreeMap<String, String>,
	/// The flags, without dashes in front.
	pub flags: BTreeMap<&'static str, String>,
}

/// The configuration in effect.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Effective {
	/// The values.
	pub config: Config,
	/// Where each of [`FIELDS`] came from.
	pub sources: Vec<Source>,
	/// What is odd and does no harm.
	pub warnings: Vec<String>,
}

impl Given {
	/// The configuration in effect, or every mistake, each with what to do.
	pub fn effective(&self) -> Result<Effective, Vec<String>> {
		let mut errors = Vec::new();
		let file = self.file_values(&mut errors);
		let mut config = Config::default();
		let mut sources = Vec::with_capacity(FIELDS.len());
		for field in FIELDS {
			let chosen = self.chosen(field, &file);
			if let Some((text, source)) = &chosen {
				if let Err(message) = (field.set)(&mut config, text) {
					errors.push(format!(
						"{source}: `{}` {message}, not {text:?}",
						field.key()
					));
				}
			}
			sources.push(chosen.map_or(Source::Default, |(_, source)| source));
		}
		if errors.is_empty() {
			errors = contradictions(&config);
		}
		if !errors.is_empty() {
			return Err(errors);
		}
		config.settings.artifacts = config.artifacts.place();
		Ok(Effective {
			config,
			sources,
			warnings: self.unknown_variables(),
		})
	}

	/// The text that counts for a field.
	fn chosen(
		&self,
		field: &Field,
		file: &BTreeMap<String, (String, Source)>,
	) -> Option<(String, Source)> {
		if let Some(text) = self.flags.get(field.flag) {
			return Some((text.clone(), Source::Flag(field.flag)));
		}
		let variable = field.variable();
		if let Some(text) = self.environment.get(&variable) {
			return Some((text.clone(), Source::Variable(variable)));
		}
		file.get(&field.key()).cloned()
	}

	/// The file's values as text, by key.
	fn file_values(&self, errors: &mut Vec<String>) -> BTreeMap<String, (String, Source)> {
		let mut values = BTreeMap::new();
		let Some((name, text)) = &self.file else {
			return values;
		};
		let line = |place: Option<std::ops::Range<usize>>| {
			let before = text.as_bytes().iter().take(place.map_or(0, |it| it.start));
			1 + before.filter(|byte| **byte == b'\n').count()
		};
		let document = match ImDocument::parse(text.as_str()) {
			Ok(document) => document,
			Err(error) => {
				let message = error.message().replace('\n', ", ");
				errors.push(format!(
					"{name}:{}: this is no TOML: {message}",
					line(error.span())
				));
				return values;
			},
		};
		for (key, place, item) in entries(&document) {
			let line = line(place.or_else(|| item.span()));
			let Some(field) = FIELDS.iter().find(|field| field.key() == key) else {
				errors.push(format!(
					"{name}:{line}: `{key}` is no setting{}",
					suggestion(&key, Field::key)
				));
				continue;
			};
			match scalar(field.kind, item) {
				Ok(value) => {
					values.insert(key, (value, Source::File(name.clone(), line)));
				},
				Err(message) => errors.push(format!("{name}:{line}: `{key}` {message}")),
			}
		}
		values
	}

	/// Variables that look like settings and are none. Not an error: others, such as an orchestrator
	/// that names services, can set variables with this prefix.
	fn unknown_variables(&self) -> Vec<String> {
		let known = |name: &str| FIELDS.iter().any(|field| field.variable() == name);
		let unknown = self.environment.keys().filter(|name| {
			name.starts_with(VARIABLE_PREFIX) && *name != FILE_VARIABLE && !known(name)
		});
		unknown
			.map(|name| {
				let key = name[VARIABLE_PREFIX.len()..].to_lowercase();
				format!(
					"the variable {name} sets nothing{}",
					suggestion(&key, Field::variable)
				)
			})
			.collect()
	}
}

/// The keys of a file, with where they stand; those of [`TABLES`] with their table's name.
fn entries<'a>(
	document: &'a ImDocument<&str>,
) -> Vec<(String, Option<std::ops::Range<usize>>, &'a Item)> {
	let mut entries = Vec::new();
	for (key, item) in document.as_table() {
		match item.as_table_like().filter(|_| TABLES.contains(&key)) {
			Some(table) => entries.extend(table.iter().map(|(inner, item)| {
				let place = table.key(inner).and_then(|key| key.span());
				(format!("{key}.{inner}"), place, item)
			})),
			None => {
				let place = document.as_table().key(key).and_then(|key| key.span());
				entries.push((key.to_owned(), place, item));
			},
		}
	}
	entries
}

fn scalar(kind: Kind, item: &Item) -> Result<String, String> {
	match (kind, item) {
		(Kind::Text, Item::Value(Value::String(text))) => Ok(text.value().clone()),
		(Kind::Number, Item::Value(Value::Integer(number))) => Ok(number.value().to_string()),
		(Kind::Switch, Item::Value(Value::Boolean(switch))) => Ok(switch.value().to_string()),
		(Kind::Table, item) if item.is_table_like() => inline(item),
		(Kind::Table, _) => Err("must be a table".into()),
		(Kind::Text, _) => Err("must be a text in quotes".into()),
		(Kind::Number, _) => Err("must be a whole number, without quotes".into()),
		(Kind::Switch, _) => Err("must be true or false, without quotes".into()),
	}
}

/// A table as one value, as it is written in a line.
fn inline(item: &Item) -> Result<String, String> {
	let mut inline = InlineTable::new();
	for (key, item) in item.as_table_like().into_iter().flat_map(TableLike::iter) {
		let value = item.as_value().ok_or("must have no tables in it")?;
		inline.insert(key, value.clone().decorated("", ""));
	}
	Ok(Value::InlineTable(inline).to_string())
}

/// What was probably meant, by the nearest key if one is near.
fn suggestion(key: &str, shown: impl Fn(&Field) -> String) -> String {
	let alike = |field: &&Field| strsim::normalized_damerau_levenshtein(key, &field.key());
	let nearest = FIELDS
		.iter()
		.filter(|field| alike(field) >= ALIKE)
		.max_by(|one, other| alike(one).total_cmp(&alike(other)));
	match nearest {
		Some(field) => format!(": did you mean `{}`?", shown(field)),
		None => ": `check-config` without a file prints all settings there are".into(),
	}
}

/// Values that are good each by itself and not together.
fn contradictions(config: &Config) -> Vec<String> {
	let mut errors = Vec::new();
	if let Some(admin) = config.admin_listen {
		if !admin.ip().is_loopback() && !config.admin_allow_remote {
			errors.push(format!(
				"`admin_listen` {admin} can be reached from other machines, and the interface asks \
				 nobody who they are: use a loopback address such as 127.0.0.1:8646, or, behind a \
				 firewall, set `admin_allow_remote` to true"
			));
		}
		if admin == config.listen && admin.port() != 0 {
			errors.push(format!(
				"`listen` and `admin_listen` are both {admin}: give them different ports"
			));
		}
	}
	if config.tls_certificate.is_some() != config.tls_key.is_some() {
		let (given, missing) = match config.tls_key {
			None => ("tls.certificate", "tls.key"),
			Some(_) => ("tls.key", "tls.certificate"),
		};
		errors.push(format!(
			"`{given}` is set and `{missing}` is not: TLS needs both"
		));
	}
	let artifacts = &config.artifacts;
	if artifacts.dir.is_some() && artifacts.url.is_some() {
		let message = "`artifacts.dir` and `artifacts.url` are both set: pictures have one place";
		errors.push(message.into());
	}
	let of_storage = [
		("endpoint", artifacts.endpoint.is_some()),
		("region", artifacts.region.is_some()),
		("credentials", artifacts.credentials.is_some()),
	];
	for (key, _) in of_storage.iter().filter(|(_, given)| *given) {
		if artifacts.url.is_none() {
			errors.push(format!(
				"`artifacts.{key}` is set and `artifacts.url` is not: name the storage"
			));
		}
	}
	let (task_ms, artifact_ms) = (
		config.settings.retention_ms,
		config.settings.artifact_retention_ms,
	);
	if task_ms > 0 && artifact_ms > task_ms {
		errors.push(format!(
			"`artifact_retention_days` ({}) is longer than `retention_days` ({}), with which \
			 pictures go: make it shorter, or 0",
			artifact_ms / DAY_MS,
			task_ms / DAY_MS
		));
	}
	errors
}

impl Effective {
	/// The whole configuration as a TOML file that gives the same again, with where each value came
	/// from. The worker key's file is named, the key is not shown.
	pub fn to_toml(&self) -> String {
		let lines = FIELDS.iter().zip(&self.sources).map(|(field, source)| {
			match field.shown(&self.config) {
				Some(value) => format!("{} = {value} # {source}\n", field.key()),
				None => format!("# {} is not set\n", field.key()),
			}
		});
		lines.collect()
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use proptest::prelude::*;

	fn file(text: &str) -> Given {
		Given {
			file: Some(("c.toml".into(), text.into())),
			..Given::default()
		}
	}

	fn with(mut given: Given, variable: &str, flag: Option<(&'static str, &str)>) -> Given {
		if let Some((name, value)) = variable.split_once('=') {
			given.environment.insert(name.into(), value.into());
		}
		given
			.flags
			.extend(flag.map(|(flag, text)| (flag, text.to_owned())));
		given
	}

	#[test]
	fn flags_beat_the_environment_which_beats_the_file_which_beats_defaults() {
		let of = |given: Given| {
			let effective = given.effective().unwrap();
			let place = FIELDS
				.iter()
				.position(|field| field.flag == "grace-ms")
				.unwrap();
			(
				effective.config.settings.grace_ms,
				effective.sources[place].to_string(),
			)
		};
		let text = "# a comment\ngrace_ms = 2\n";
		assert_eq!(of(Given::default()), (20_000, "default".into()));
		assert_eq!(of(file(text)), (2, "c.toml:2".into()));
		let variable = "CUCKOO_COORDINATOR_GRACE_MS=3";
		let name = "CUCKOO_COORDINATOR_GRACE_MS";
		assert_eq!(of(with(file(text), variable, None)), (3, name.into()));
		let all = with(file(text), variable, Some(("grace-ms", "4")));
		assert_eq!(of(all), (4, "--grace-ms".into()));
	}

	#[test]
	fn every_mistake_is_told_with_its_place_and_what_to_do() {
		let given = with(
			file("chain = 'http://x'\nlistn = '127.0.0.1:1'\nfrobnicate = 1\ngrace_ms = '5'\n[admin]\n"),
			"CUCKOO_COORDINATOR_LISTEN=everywhere",
			Some(("pick-up-ms", "0")),
		);
		let errors = given.effective().unwrap_err();
		let expected = [
			"c.toml:2: `listn` is no setting: did you mean `listen`?",
			"c.toml:3: `frobnicate` is no setting: `check-config` without",
			"c.toml:4: `grace_ms` must be a whole number, without quotes",
			"c.toml:5: `admin` is no setting",
			"c.toml:1: `chain` must be a WebSocket URL, such as ws://127.0.0.1:9944, not \"http://x\"",
			"CUCKOO_COORDINATOR_LISTEN: `listen` must be an IP address and a port",
			"--pick-up-ms: `pick_up_ms` must be a whole number from 1 to",
		];
		assert_eq!(errors.len(), expected.len(), "{errors:#?}");
		for (error, expected) in errors.iter().zip(expected) {
			assert!(error.starts_with(expected), "{error} is not {expected}");
		}
	}

	#[test]
	fn what_is_no_toml_names_its_line() {
		let errors = file("grace_ms = 5\nlisten = \n").effective().unwrap_err();
		assert!(
			errors[0].starts_with("c.toml:2: this is no TOML"),
			"{errors:?}"
		);
		let twice = file("grace_ms = 5\ngrace_ms = 6\n")
			.effective()
			.unwrap_err();
		assert!(
			twice[0].starts_with("c.toml:2: this is no TOML"),
			"{twice:?}"
		);
	}

	#[test]
	fn the_operators_interface_stays_on_this_machine_unless_told_otherwise() {
		let remote = "admin_listen = '0.0.0.0:8646'\n";
		let errors = file(remote).effective().unwrap_err();
		assert!(
			errors[0].contains("set `admin_allow_remote` to true"),
			"{errors:?}"
		);
		let allowed = format!("{remote}admin_allow_remote = true\n");
		assert!(file(&allowed)
			.effective()
			.unwrap()
			.config
			.admin_listen
			.is_some());
		let off = file("admin_listen = 'none'").effective().unwrap();
		assert_eq!(off.config.admin_listen, None);
		let same = file("admin_listen = '127.0.0.1:8645'")
			.effective()
			.unwrap_err();
		assert!(same[0].contains("different ports"), "{same:?}");
	}

	#[test]
	fn keys_of_tables_have_a_dot_in_the_file_only() {
		let table = "[tls]\ncertificate = 'c.pem'\nkey = 'k.pem'\n";
		let dotted = "tls.certificate = 'c.pem'\ntls.key = 'k.pem'\n";
		let inline = "tls = { certificate = 'c.pem', key = 'k.pem' }\n";
		let flag = with(
			Given::default(),
			"CUCKOO_COORDINATOR_TLS_CERTIFICATE=c.pem",
			Some(("tls-key", "k.pem")),
		);
		for given in [file(table), file(dotted), file(inline), flag] {
			let effective = given.effective().unwrap();
			let files = effective.config.tls().unwrap();
			assert_eq!(files.certificate, PathBuf::from("c.pem"));
			assert_eq!(files.key, PathBuf::from("k.pem"));
			let again = file(&effective.to_toml()).effective().unwrap();
			assert_eq!(again.config, effective.config);
		}
		let errors = file("[tls]\ncertficate = 'c'\n").effective().unwrap_err();
		assert!(
			errors[0].starts_with(
				"c.toml:2: `tls.certficate` is no setting: did you mean `tls.certificate`?"
			),
			"{errors:?}"
		);
		let half = file("tls.key = 'k'").effective().unwrap_err();
		assert!(half[0].contains("TLS needs both"), "{half:?}");
	}

	#[test]
	fn artifacts_have_one_place() {
		let place = |text: &str| file(text).effective().unwrap().config.settings.artifacts;
		assert_eq!(place(""), Place::DataDir);
		let folder = place("artifacts.dir = '/a'");
		assert_eq!(folder, Place::Folder("/a".into()));
		let s3 = "[artifacts]\nurl = 's3://b/p'\nendpoint = 'http://127.0.0.1:9000'\n";
		let Place::S3(s3) = place(s3) else {
			panic!("no S3")
		};
		assert_eq!((s3.bucket.as_str(), s3.prefix.as_str()), ("b", "p"));
		assert_eq!(s3.endpoint.as_deref(), Some("http://127.0.0.1:9000"));
		for (wrong, why) in [
			(
				"artifacts.dir = '/a'\nartifacts.url = 's3://b'",
				"one place",
			),
			("artifacts.region = 'x'", "name the storage"),
			("artifacts.url = 'https://b'", "must be s3://"),
		] {
			let errors = file(wrong).effective().unwrap_err();
			assert!(errors[0].contains(why), "{errors:?}");
		}
	}

	#[test]
	fn models_have_prices_by_name_or_hash() {
		let prices = |given: Given| given.effective().unwrap().config.settings.prices;
		let table = "price = '0.5'\n[model_prices]\n'a, b' = '0.000000000001'\n0x11 = '3'\n";
		let inline = "price = '0.5'\nmodel_prices = { 'a, b' = '0.000000000001', 0x11 = '3' }\n";
		let flag = with(
			file("price = '0.5'\n"),
			"",
			Some(("model-prices", "{ 'a, b' = '0.000000000001', 0x11 = '3' }")),
		);
		for given in [file(table), file(inline), flag] {
			let effective = given.effective().unwrap();
			let again = file(&effective.to_toml());
			for prices in [prices(given), prices(again)] {
				assert_eq!(prices.default, CUC / 2);
				assert_eq!(prices.by_model["a, b"], 1);
				assert_eq!(prices.by_model["0x11"], 3 * CUC);
			}
		}
		for (wrong, why) in [
			("price = 1", "a text in quotes"),
			("price = '-1'", "12 decimals"),
			("price = '1000000001'", "12 decimals"),
			("model_prices = 'a'", "must be a table"),
			("model_prices = { a = 1 }", "with their prices"),
			("model_prices = { a = '1e3' }", "12 decimals"),
			("[model_prices.a]\nb = '1'", "no tables in it"),
		] {
			let errors = file(wrong).effective().unwrap_err();
			assert!(errors[0].contains(why), "{wrong}: {errors:?}");
		}
	}

	#[test]
	fn a_variable_that_sets_nothing_is_a_warning() {
		let given = with(Given::default(), "CUCKOO_COORDINATOR_GRACE_MSS=1", None);
		let warnings = given.effective().unwrap().warnings;
		assert_eq!(warnings.len(), 1);
		assert!(
			warnings[0].contains("did you mean `CUCKOO_COORDINATOR_GRACE_MS`?"),
			"{warnings:?}"
		);
		let file = with(Given::default(), "CUCKOO_COORDINATOR_CONFIG=x", None);
		assert_eq!(file.effective().unwrap().warnings, Vec::<String>::new());
	}

	/// The example names every setting, and says what happens without it.
	#[test]
	fn the_example_file_is_the_defaults() {
		let text = include_str!("../coordinator.toml");
		let given = file(text).effective().unwrap();
		assert_eq!(given.config, Config::default());
		for (field, source) in FIELDS.iter().zip(&given.sources) {
			let key = field.key();
			assert!(
				text.contains(&format!("{key} = ")),
				"{key} is not in the example"
			);
			let set = !matches!(source, Source::Default);
			assert_eq!(set, field.shown(&Config::default()).is_some(), "{key}");
		}
	}

	proptest! {
		/// What `check-config` prints gives the same configuration when it is used as the file.
		#[test]
		fn the_printed_form_reads_back_the_same(
			numbers in prop::collection::vec(1u64..MOST / 1_000, 5), cap in prop::option::of(1u64..MOST),
			path in prop::option::of("[^\0]{1,20}"), model in prop::option::of("\\PC{1,20}"),
			json: bool, admin in prop::option::of(1u16..8_000),
		) {
			let config = Config {
				data_dir: path.map(PathBuf::from),
				log_format: if json { LogFormat::Json } else { LogFormat::Text },
				admin_listen: admin.map(|port| SocketAddr::from(([127, 0, 0, 1], port))),
				settings: Settings {
					lease_base_ms: numbers[0],
					lease_per_step_ms: numbers[1],
					queue_timeout_ms: numbers[2] * 1_000,
					suspension_ms: numbers[3],
					grace_ms: numbers[4],
					weight_cap: cap.map_or(Balance::MAX, |cuc| Balance::from(cuc) * CUC),
					default_model: model,
					..Settings::default()
				},
				..Config::default()
			};
			let sources = vec![Source::Default; FIELDS.len()];
			let printed = Effective { config: config.clone(), sources, warnings: vec![] }.to_toml();
			prop_assert_eq!(file(&printed).effective().unwrap().config, config);
		}
	}
}
