//! Calls a running coordinator's interface.

use super::{BanRequest, ErrorBody, Miners, Status, TaskDetails, UnbanRequest, WebhookLine};
use crate::bans::Ban;
use cuckoo_coordinator_api::{
	limits,
	task::{TaskState, TaskStatus},
};
use cuckoo_primitives::AccountId;
use serde::{de::DeserializeOwned, Serialize};
use std::time::Duration;

/// How long a reply may take.
const TIMEOUT: Duration = Duration::from_secs(40);

/// The interface did not do what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
	/// Nobody answers.
	#[error(
		"no coordinator answers at {url} ({source}): is it running, and is this its `admin_listen`? \
		 Name the address by --url, or the configuration by --config"
	)]
	Unreachable {
		/// Where.
		url: String,
		/// Why.
		source: reqwest::Error,
	},
	/// The coordinator says no.
	#[error("{0}")]
	Refused(String),
	/// Something else answers.
	#[error("what answers at {0} is no coordinator's admin interface: see `admin_listen`")]
	Foreign(String),
}

/// A connection to the interface.
#[derive(Clone, Debug)]
pub struct Client {
	http: reqwest::Client,
	url: String,
}

impl Client {
	/// For the interface at this URL.
	pub fn new(url: &str) -> Self {
		Self {
			http: reqwest::Client::new(),
			url: url.trim_end_matches('/').to_owned(),
		}
	}

	/// How the coordinator stands.
	pub async fn status(&self) -> Result<Status, Error> {
		self.get("/status", &[]).await
	}

	/// Every connected miner and every ban.
	pub async fn miners(&self) -> Result<Miners, Error> {
		let limit = limits::MAX_PAGE.to_string();
		let mut all = self
			.get::<Miners>("/miners", &[("limit", limit.clone())])
			.await?;
		let mut more = all.miners.len() == limits::MAX_PAGE as usize;
		while more {
			let last = all.miners.last().map(|miner| miner.miner.to_string());
			let query = [("limit", limit.clone()), ("from", last.unwrap_or_default())];
			let page = self.get::<Miners>("/miners", &query).await?;
			more = page.miners.len() == limits::MAX_PAGE as usize;
			all.miners.extend(page.miners);
		}
		Ok(all)
	}

	/// The youngest tasks.
	pub async fn tasks(
		&self,
		state: Option<TaskState>,
		limit: u32,
	) -> Result<Vec<TaskStatus>, Error> {
		let mut query = vec![("limit", limit.to_string())];
		query.extend(state.map(|state| ("state", state.name().to_owned())));
		self.get("/tasks", &query).await
	}

	/// A task with its attempts.
	pub async fn task(&self, id: &str) -> Result<TaskDetails, Error> {
		let is_plain = id
			.chars()
			.all(|character| character.is_ascii_alphanumeric());
		if !is_plain || id.is_empty() {
			return Err(Error::Refused(
				"A task's id is 0x and 32 hex digits.".into(),
			));
		}
		self.get(&format!("/tasks/{id}"), &[]).await
	}

	/// The webhooks that have failed.
	pub async fn webhooks(&self, limit: u32) -> Result<Vec<WebhookLine>, Error> {
		self.get("/webhooks", &[("limit", limit.to_string())]).await
	}

	/// Bans a miner.
	pub async fn ban(&self, request: &BanRequest) -> Result<Ban, Error> {
		self.post("/ban", request).await
	}

	/// Lifts a ban.
	pub async fn unban(&self, account: AccountId) -> Result<Status, Error> {
		self.post("/unban", &UnbanRequest { account }).await
	}

	/// Drains.
	pub async fn drain(&self) -> Result<Status, Error> {
		self.post("/drain", &()).await
	}

	/// Ends the drain.
	pub async fn undrain(&self) -> Result<Status, Error> {
		self.post("/undrain", &()).await
	}

	async fn get<T: DeserializeOwned>(
		&self,
		path: &str,
		query: &[(&str, String)],
	) -> Result<T, Error> {
		// Keys and values are numbers, names and accounts, which stand in a URL as they are.
		let pairs: Vec<String> = query
			.iter()
			.map(|(key, value)| format!("{key}={value}"))
			.collect();
		let query = if pairs.is_empty() {
			String::new()
		} else {
			format!("?{}", pairs.join("&"))
		};
		self.answer(self.http.get(format!("{}{path}{query}", self.url)))
			.await
	}

	async fn post<T: DeserializeOwned>(
		&self,
		path: &str,
		body: &impl Serialize,
	) -> Result<T, Error> {
		self.answer(self.http.post(format!("{}{path}", self.url)).json(body))
			.await
	}

	async fn answer<T: DeserializeOwned>(
		&self,
		request: reqwest::RequestBuilder,
	) -> Result<T, Error> {
		let unreachable = |source: reqwest::Error| Error::Unreachable {
			url: self.url.clone(),
			source: source.without_url(),
		};
		let reply = request.timeout(TIMEOUT).send().await.map_err(unreachable)?;
		let good = reply.status().is_success();
		let text = reply.bytes().await.map_err(unreachable)?;
		if good {
			return serde_json::from_slice(&text).map_err(|_| Error::Foreign(self.url.clone()));
		}
		match serde_json::from_slice::<ErrorBody>(&text) {
			Ok(error) => Err(Error::Refused(error.message)),
			Err(_) => Err(Error::Foreign(self.url.clone())),
		}
	}
}
