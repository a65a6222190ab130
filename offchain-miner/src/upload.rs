//! Uploads by HTTP PUT, over the same TLS as the calls.

use crate::trust::Trust;
use bytes::Bytes;
use http::{header, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
	client::legacy::{connect::HttpConnector, Client},
	rt::{TokioExecutor, TokioTimer},
};
use std::time::{Duration, SystemTime};
use tokio::time::timeout;

/// How long an upload may take, its answer included.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(120);
/// Of an error page, this much is read.
const MAX_ERROR_BYTES: usize = 4 * 1024;

/// Puts pictures where coordinators want them. Follows no redirect, so that a token goes nowhere else.
pub(crate) struct Uploader(Client<HttpsConnector<HttpConnector>, Full<Bytes>>);

/// An answer that is no success.
pub(crate) struct Refusal {
	pub status: StatusCode,
	/// Empty if it is long or broke off.
	pub body: Bytes,
}

impl Uploader {
	pub fn new(connect_timeout: Duration, trust: &Trust) -> Self {
		let mut tcp = HttpConnector::new();
		tcp.enforce_http(false);
		tcp.set_connect_timeout(Some(connect_timeout));
		let connector = HttpsConnectorBuilder::new()
			.with_tls_config(trust.config())
			.https_or_http()
			.enable_http1()
			.wrap_connector(tcp);
		Self(
			Client::builder(TokioExecutor::new())
				.pool_timer(TokioTimer::new())
				.build(connector),
		)
	}

	/// What time the server at this address says it is, whatever else it answers.
	pub async fn date(&self, url: &Uri) -> Option<SystemTime> {
		let request = Request::get(url).body(Full::default()).ok()?;
		let reply = self.0.request(request).await.ok()?;
		let date = reply.headers().get(header::DATE)?.to_str().ok()?;
		httpdate::parse_http_date(date).ok()
	}

	/// The inner result is the server's word, the outer one whether there was any.
	pub async fn put(
		&self,
		url: &Uri,
		bearer: &str,
		content_type: &str,
		content: Bytes,
	) -> Result<Result<(), Refusal>, Box<dyn std::error::Error + Send + Sync>> {
		let request = Request::put(url)
			.header(header::CONTENT_TYPE, content_type)
			.header(header::AUTHORIZATION, format!("Bearer {bearer}"))
			.body(Full::new(content))?;
		timeout(UPLOAD_TIMEOUT, async {
			let reply = self.0.request(request).await?;
			let status = reply.status();
			if status.is_success() {
				return Ok(Ok(()));
			}
			let body = Limited::new(reply.into_body(), MAX_ERROR_BYTES)
				.collect()
				.await;
			let body = body.map(|body| body.to_bytes()).unwrap_or_default();
			Ok(Err(Refusal { status, body }))
		})
		.await?
	}
}
