//! Where a webhook may lead.

use super::is_public;
use axum::http::Uri;
use cuckoo_coordinator_api::{
	error::{ApiError, ErrorCode},
	limits::MAX_WEBHOOK_BYTES,
};
use hyper_util::client::legacy::connect::dns::{GaiAddrs, GaiFuture, GaiResolver, Name};
use std::{
	future::Future,
	io,
	net::{IpAddr, SocketAddr},
	pin::Pin,
	task::{Context, Poll},
	vec::IntoIter,
};
use tower::Service;

/// What the operator allows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Rules {
	/// `http` too.
	pub http: bool,
	/// Hosts on this machine and in its network too.
	pub private: bool,
}

/// The URL that an app names, if it may be called.
pub fn check(url: &str, rules: Rules) -> Result<Uri, ApiError> {
	let refuse = |message: String| {
		Err(ApiError::with_message(ErrorCode::WebhookInvalid, message).about("webhook"))
	};
	if url.len() > MAX_WEBHOOK_BYTES {
		return refuse(format!(
			"A webhook's URL has at most {MAX_WEBHOOK_BYTES} bytes."
		));
	}
	let Ok(uri) = url.parse::<Uri>() else {
		return refuse("A webhook is a URL, such as https://app.example/cuckoo.".into());
	};
	match uri.scheme_str() {
		Some("https") => {},
		Some("http") if rules.http => {},
		Some("http") => return refuse("This coordinator calls webhooks by https only.".into()),
		_ => return refuse("A webhook is a URL that begins with https://.".into()),
	}
	let host = uri.host().unwrap_or_default();
	let authority = uri.authority().map_or("", |authority| authority.as_str());
	if host.is_empty() || authority.contains('@') {
		return refuse("A webhook names a host, and no user.".into());
	}
	if !rules.private && literal(host).is_some_and(|address| !is_public(address)) {
		return refuse(format!("{host} is no address of the public internet."));
	}
	Ok(uri)
}

/// The address that a URL's host is, if it is none to be looked up.
fn literal(host: &str) -> Option<IpAddr> {
	host.trim_start_matches('[')
		.trim_end_matches(']')
		.parse()
		.ok()
}

/// Looks hosts up and gives only addresses that may be called: what counts is the address that is
/// connected to, not one that was looked up before.
#[derive(Clone, Debug)]
pub(super) struct Resolver {
	system: GaiResolver,
	rules: Rules,
}

impl Resolver {
	pub(super) fn new(rules: Rules) -> Self {
		Self {
			system: GaiResolver::new(),
			rules,
		}
	}
}

impl Service<Name> for Resolver {
	type Response = IntoIter<SocketAddr>;
	type Error = io::Error;
	type Future = Looking;

	fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
		self.system.poll_ready(context)
	}

	fn call(&mut self, name: Name) -> Looking {
		Looking {
			found: self.system.call(name),
			rules: self.rules,
		}
	}
}

/// A look-up on its way.
pub(super) struct Looking {
	found: GaiFuture,
	rules: Rules,
}

impl Future for Looking {
	type Output = io::Result<IntoIter<SocketAddr>>;

	fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
		let rules = self.rules;
		Pin::new(&mut self.found)
			.poll(context)
			.map(|found| allowed(found?, rules))
	}
}

fn allowed(found: GaiAddrs, rules: Rules) -> io::Result<IntoIter<SocketAddr>> {
	let may = |address: &SocketAddr| rules.private || is_public(address.ip());
	let allowed: Vec<SocketAddr> = found.filter(may).collect();
	if allowed.is_empty() {
		let message = "the host has no address of the public internet";
		return Err(io::Error::new(io::ErrorKind::PermissionDenied, message));
	}
	Ok(allowed.into_iter())
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn urls_lead_to_hosts_of_the_internet_by_https() {
		let strict = Rules::default();
		for good in [
			"https://app.example/hook?a=b",
			"https://app.example:8443",
			"https://1.1.1.1/",
			"https://[2606:4700::1111]/",
		] {
			assert!(check(good, strict).is_ok(), "{good}");
		}
		for bad in [
			"",
			"app.example",
			"/hook",
			"ftp://app.example",
			"http://app.example",
			"https://",
			"https:///hook",
			"https://user:password@app.example/",
			"https://127.0.0.1/",
			"https://169.254.169.254/latest/meta-data",
			"https://[::1]/",
			"https://[::ffff:10.0.0.1]/",
			"https://a b/",
			&format!("https://app.example/{}", "x".repeat(MAX_WEBHOOK_BYTES)),
		] {
			let refused = check(bad, strict).unwrap_err();
			assert_eq!(refused.code, ErrorCode::WebhookInvalid, "{bad}");
		}
		let lax = Rules {
			http: true,
			private: true,
		};
		assert!(check("http://127.0.0.1:80/", lax).is_ok());
		assert!(check("ftp://127.0.0.1/", lax).is_err());
	}

	/// However it is written, what counts is the address that it leads to.
	#[tokio::test]
	async fn names_that_lead_to_this_machine_are_refused_when_they_are_looked_up() {
		for name in ["localhost", "2130706433", "0x7f.1"] {
			let name: Name = name.parse().unwrap();
			let strict = Resolver::new(Rules::default()).call(name.clone()).await;
			assert!(strict.is_err(), "{name:?}");
		}
		let lax = Rules {
			private: true,
			..Rules::default()
		};
		let found = Resolver::new(lax).call("localhost".parse().unwrap()).await;
		assert!(found.unwrap().next().is_some());
	}
}
