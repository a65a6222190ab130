//! Who submits: an app, named by its API key, or without one by its client's address.
//!
//! A key is 32 random bytes. Nobody can try through those, so the store keeps a plain BLAKE3 hash of
//! them: a slow hash protects passwords, which can be guessed, and would here only cost time.

use crate::{
	clock::UnixMs,
	coordinator::{internal, Coordinator, Result},
};
use axum::http::{header, HeaderMap};
use cuckoo_coordinator_api::{
	error::{ApiError, ErrorCode},
	task::SubmitOptions,
};
use cuckoo_primitives::AccountId;
use std::{
	collections::HashMap,
	fmt,
	net::{IpAddr, Ipv6Addr},
	sync::{Arc, Mutex, PoisonError},
};

/// What every key begins with: so that people and secret scanners know one when they see it.
const KEY_PREFIX: &str = "ck_";

/// How long a key that was found is taken for good without looking again: a key that was revoked works
/// that much longer.
pub const KEY_CACHE_MS: u64 = 5_000;

/// Most keys that are remembered.
const MAX_CACHED_KEYS: usize = 1_024;

/// An app's id: that of its row in the store, or one made of an address.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AppId(Arc<str>);

impl AppId {
	/// As it is stored.
	pub fn new(text: &str) -> Self {
		Self(text.into())
	}

	/// A new id for an app with a key.
	pub fn random() -> Self {
		let bytes: [u8; 8] = rand::random();
		Self(format!("app-{}", hex::encode(bytes)).into())
	}

	/// Of the client at this address: each IPv4 address, each /64 of IPv6, which is what one customer
	/// gets at the least.
	pub fn of_address(address: IpAddr) -> Self {
		let text = match address.to_canonical() {
			IpAddr::V4(address) => format!("address-{address}"),
			IpAddr::V6(address) => {
				let [a, b, c, d, ..] = address.segments();
				format!("address-{}/64", Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
			},
		};
		Self(text.into())
	}

	/// Of whoever opened a channel, where a voucher of it stands in for a key.
	pub fn of_account(account: &AccountId) -> Self {
		Self(format!("account-{account}").into())
	}

	/// Whether it is that of an account: of an app that pays by a channel where keys are required.
	pub fn is_account(&self) -> bool {
		self.0.starts_with("account-")
	}

	/// Whether it is that of an app with a key.
	pub fn has_key(&self) -> bool {
		!self.is_account() && !self.0.starts_with("address-")
	}

	/// The text.
	pub fn as_str(&self) -> &str {
		&self.0
	}
}

impl fmt::Display for AppId {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		f.write_str(&self.0)
	}
}

impl fmt::Debug for AppId {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		fmt::Display::fmt(self, f)
	}
}

/// An app, and where its limits are not the coordinator's.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct App {
	/// Its id.
	pub id: AppId,
	/// How many of its tasks can wait.
	pub max_queued: Option<usize>,
	/// How many tasks it can submit in a minute.
	pub submits_per_minute: Option<u32>,
}

impl App {
	/// One without a key.
	fn anonymous(address: IpAddr) -> Self {
		Self::without_key(AppId::of_address(address))
	}

	fn without_key(id: AppId) -> Self {
		Self {
			id,
			max_queued: None,
			submits_per_minute: None,
		}
	}
}

/// BLAKE3 of a key's bytes.
pub type KeyHash = [u8; 32];

/// An API key. Shown once, when it is made; never stored or logged.
pub struct ApiKey([u8; 32]);

impl ApiKey {
	/// A new one.
	pub fn random() -> Self {
		Self(rand::random())
	}

	/// From `ck_` and 64 hex digits.
	pub fn parse(text: &str) -> Option<Self> {
		let mut bytes = [0; 32];
		hex::decode_to_slice(text.strip_prefix(KEY_PREFIX)?, &mut bytes).ok()?;
		Some(Self(bytes))
	}

	/// As the app gets it.
	pub fn reveal(&self) -> String {
		format!("{KEY_PREFIX}{}", hex::encode(self.0))
	}

	/// What is stored.
	pub fn hash(&self) -> KeyHash {
		*blake3::hash(&self.0).as_bytes()
	}
}

impl fmt::Debug for ApiKey {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		f.write_str("ApiKey")
	}
}

/// The key that came with a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Presented {
	None,
	Key(KeyHash),
	/// A bearer token that is no key.
	Broken,
}

/// Who sent a request, by what came with it. Which app that is says [`Coordinator::app`], each time
/// anew: a WebSocket can outlive its key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Caller {
	address: IpAddr,
	key: Presented,
}

impl Caller {
	/// From a request's head and the address of its connection. Behind a proxy all connections are the
	/// proxy's: `trust_proxy` takes the address that the proxy put last into `X-Forwarded-For`.
	pub fn new(headers: &HeaderMap, connection: IpAddr, trust_proxy: bool) -> Self {
		let forwarded = trust_proxy.then(|| forwarded_for(headers)).flatten();
		Self {
			address: forwarded.unwrap_or(connection),
			key: presented(headers),
		}
	}
}

fn presented(headers: &HeaderMap) -> Presented {
	let Some(value) = headers.get(header::AUTHORIZATION) else {
		return Presented::None;
	};
	let token = value.to_str().ok().and_then(|text| {
		let (scheme, token) = text.split_once(' ').unwrap_or((text, ""));
		scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
	});
	match token {
		// OpenAI's clients send an empty token when they are given none.
		Some("") => Presented::None,
		Some(token) => {
			ApiKey::parse(token).map_or(Presented::Broken, |key| Presented::Key(key.hash()))
		},
		None => Presented::Broken,
	}
}

fn forwarded_for(headers: &HeaderMap) -> Option<IpAddr> {
	let last = headers.get_all("x-forwarded-for").iter().next_back()?;
	last.to_str().ok()?.rsplit(',').next()?.trim().parse().ok()
}

/// The keys that were found lately.
#[derive(Debug, Default)]
pub struct KeyCache {
	found: Mutex<HashMap<KeyHash, (UnixMs, App)>>,
}

impl KeyCache {
	fn get(&self, key: &KeyHash, now_ms: UnixMs) -> Option<App> {
		let found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
		let (since_ms, app) = found.get(key)?;
		(now_ms.abs_diff(*since_ms) < KEY_CACHE_MS).then(|| app.clone())
	}

	/// Only keys that exist come here: strangers who try others fill nothing.
	fn put(&self, key: KeyHash, app: App, now_ms: UnixMs) {
		let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
		if found.len() >= MAX_CACHED_KEYS {
			found.retain(|_, (since_ms, _)| now_ms.abs_diff(*since_ms) < KEY_CACHE_MS);
		}
		if found.len() < MAX_CACHED_KEYS {
			found.insert(key, (now_ms, app));
		}
	}
}

impl Coordinator {
	/// The app that is calling.
	pub async fn app(&self, caller: &Caller) -> Result<App> {
		let refuse = |message| Err(ApiError::with_message(ErrorCode::ApiKeyInvalid, message));
		let key = match caller.key {
			Presented::Key(key) => key,
			Presented::None if self.settings().require_api_key => {
				return refuse(
					"This coordinator takes tasks only with an API key, or paid by a channel.",
				);
			},
			Presented::None => return Ok(App::anonymous(caller.address)),
			Presented::Broken => {
				return refuse("An API key is a bearer token: ck_ and 64 hex digits.");
			},
		};
		let now_ms = self.now_ms();
		if let Some(app) = self.keys().get(&key, now_ms) {
			return Ok(app);
		}
		match self.store().app_with_key(&key).await.map_err(internal)? {
			Some(app) => {
				self.keys().put(key, app.clone(), now_ms);
				Ok(app)
			},
			None => {
				// Who tries keys may not do so faster than submit.
				self.check_rate(&App::anonymous(caller.address))?;
				Err(ErrorCode::ApiKeyInvalid.into())
			},
		}
	}

	/// The app that submits a task. Where keys are required, a voucher that its channel's key has signed
	/// says who that is as well as a key would: the account that opened the channel.
	pub(crate) async fn submitter(
		&self,
		caller: &Caller,
		options: Option<&SubmitOptions>,
	) -> Result<App> {
		let payment = options.and_then(|options| options.payment.as_ref());
		let needs_none = caller.key != Presented::None || !self.settings().require_api_key;
		let Some(payment) = payment.filter(|_| !needs_none) else {
			return self.app(caller).await;
		};
		// To look at a channel costs more than to look at a key: strangers may not do so faster than submit.
		self.check_rate(&App::anonymous(caller.address))?;
		let (channel, _) = self.signed_by_channel(payment).await?;
		Ok(App::without_key(AppId::of_account(&channel.app)))
	}

	/// Whoever only asks what a task would cost. That is told to all, since a channel's voucher is made
	/// after it.
	pub(crate) async fn asker(&self, caller: &Caller) -> Result<App> {
		match caller.key {
			Presented::None => Ok(App::anonymous(caller.address)),
			_ => self.app(caller).await,
		}
	}

	/// Counts a submit of this app, or says when it may try again.
	pub(crate) fn check_rate(&self, app: &App) -> Result<()> {
		let limit = app
			.submits_per_minute
			.unwrap_or(self.settings().submits_per_minute);
		self.rates().check(&app.id, limit)
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	fn caller(fields: &[(&'static str, &str)], trust_proxy: bool) -> Caller {
		let mut headers = HeaderMap::new();
		for (name, value) in fields {
			headers.append(*name, value.parse().unwrap());
		}
		Caller::new(&headers, "192.0.2.1".parse().unwrap(), trust_proxy)
	}

	#[test]
	fn an_address_is_an_app_and_a_64_of_ipv6_is_one() {
		let id = |text: &str| AppId::of_address(text.parse().unwrap());
		assert_eq!(id("192.0.2.1").as_str(), "address-192.0.2.1");
		assert_eq!(id("::ffff:192.0.2.1"), id("192.0.2.1"));
		assert_ne!(id("192.0.2.2"), id("192.0.2.1"));
		assert_eq!(id("2001:db8:1:2:3::4"), id("2001:db8:1:2:ffff::1"));
		assert_eq!(id("2001:db8:1:2::1").as_str(), "address-2001:db8:1:2::/64");
		assert_ne!(id("2001:db8:1:2::1"), id("2001:db8:1:3::1"));
	}

	#[test]
	fn keys_are_read_as_they_are_shown_and_hide_in_logs() {
		let key = ApiKey::random();
		let text = key.reveal();
		assert_eq!((text.len(), &text[..3]), (67, "ck_"));
		assert_eq!(ApiKey::parse(&text).unwrap().hash(), key.hash());
		assert!(!format!("{key:?}").contains(&text[3..10]));
		assert_ne!(ApiKey::random().hash(), key.hash());
		for wrong in [
			&text[..66],
			&text[3..],
			"ck_",
			"",
			"ck_é",
			&format!("{text}0"),
		] {
			assert!(ApiKey::parse(wrong).is_none(), "{wrong}");
		}
	}

	#[test]
	fn the_head_of_a_request_tells_who_calls() {
		let key = ApiKey::random();
		let bearer = format!("Bearer {}", key.reveal());
		let with = |value: &str| caller(&[("authorization", value)], false).key;
		assert_eq!(caller(&[], false).key, Presented::None);
		assert_eq!(with(&bearer), Presented::Key(key.hash()));
		assert_eq!(
			with(&bearer.replace("Bearer", "bearer")),
			Presented::Key(key.hash())
		);
		assert_eq!(with("Bearer "), Presented::None);
		for broken in ["Bearer sk-1", "Basic YTpi", &key.reveal(), &bearer[..40]] {
			assert_eq!(with(broken), Presented::Broken, "{broken}");
		}
	}

	#[test]
	fn a_proxy_is_believed_only_when_told_to_and_only_its_own_word() {
		let address = |fields: &[_], trust| caller(fields, trust).address.to_string();
		let fields = [("x-forwarded-for", "198.51.100.9, 203.0.113.7")];
		assert_eq!(address(&fields, false), "192.0.2.1");
		assert_eq!(address(&fields, true), "203.0.113.7");
		let twice = [
			("x-forwarded-for", "198.51.100.9"),
			("x-forwarded-for", "2001:db8::1"),
		];
		assert_eq!(address(&twice, true), "2001:db8::1");
		for broken in ["", "unknown", "203.0.113.7,", "203.0.113.7:80"] {
			assert_eq!(address(&[("x-forwarded-for", broken)], true), "192.0.2.1");
		}
	}

	#[test]
	fn the_cache_forgets_and_stays_bounded() {
		let cache = KeyCache::default();
		let app = App::anonymous("192.0.2.1".parse().unwrap());
		cache.put([1; 32], app.clone(), 1_000);
		assert_eq!(
			cache.get(&[1; 32], 1_000 + KEY_CACHE_MS - 1),
			Some(app.clone())
		);
		assert_eq!(cache.get(&[1; 32], 1_000 + KEY_CACHE_MS), None);
		for number in 0..3 * MAX_CACHED_KEYS as u64 {
			let mut key = [0; 32];
			key[..8].copy_from_slice(&number.to_be_bytes());
			cache.put(key, app.clone(), number);
		}
		assert!(cache.found.lock().unwrap().len() <= MAX_CACHED_KEYS);
	}
}
