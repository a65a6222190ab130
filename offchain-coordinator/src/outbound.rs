//! HTTP requests that this process makes of its own accord: to where artifacts are kept and to apps'
//! webhooks. TLS by rustls with the system's roots; no redirect is followed and no proxy asked.

use hyper::body::Body;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
	client::legacy::{
		connect::{dns::GaiResolver, HttpConnector},
		Client,
	},
	rt::{TokioExecutor, TokioTimer},
};
use rustls::{crypto::ring, ClientConfig};
use rustls_platform_verifier::Verifier;
use std::{sync::Arc, time::Duration};

/// How long it may take until a connection stands.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection that nobody uses is kept.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// How many of these are kept for each host.
const MAX_IDLE: usize = 8;

/// A client for requests with bodies `B`, whose hosts are found by `R`.
pub(crate) type Outbound<B, R = GaiResolver> = Client<HttpsConnector<HttpConnector<R>>, B>;

/// Makes a client on these connections.
pub(crate) fn client<B, R>(mut tcp: HttpConnector<R>) -> Result<Outbound<B, R>, rustls::Error>
where
	B: Body + Send,
	B::Data: Send,
	HttpsConnector<HttpConnector<R>>: hyper_util::client::legacy::connect::Connect + Clone,
{
	tcp.enforce_http(false);
	tcp.set_nodelay(true);
	tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
	let connector = HttpsConnectorBuilder::new()
		.with_tls_config(tls()?)
		.https_or_http()
		.enable_http1()
		.wrap_connector(tcp);
	Ok(Client::builder(TokioExecutor::new())
		.timer(TokioTimer::new())
		.pool_timer(TokioTimer::new())
		.pool_idle_timeout(IDLE_TIMEOUT)
		.pool_max_idle_per_host(MAX_IDLE)
		.build(connector))
}

fn tls() -> Result<ClientConfig, rustls::Error> {
	let provider = Arc::new(ring::default_provider());
	let verifier = Verifier::new().with_provider(provider.clone());
	let config = ClientConfig::builder_with_provider(provider)
		.with_safe_default_protocol_versions()?
		.dangerous()
		.with_custom_certificate_verifier(Arc::new(verifier))
		.with_no_client_auth();
	Ok(config)
}

/// "error sending request: connection refused": the outermost cause alone says little.
pub(crate) fn chain_of_causes(error: &(dyn std::error::Error + 'static)) -> String {
	let causes = std::iter::successors(Some(error), |error| error.source());
	causes
		.map(ToString::to_string)
		.collect::<Vec<_>>()
		.join(": ")
}
