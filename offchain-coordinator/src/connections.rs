//! Accepts connections and serves HTTP/1.1 on them: a bounded number, none of which can take its time
//! with a request's head.

use axum::response::Response;
use hyper::{body::Incoming, Request};
use hyper_util::{
	rt::{TokioExecutor, TokioIo, TokioTimer},
	server::conn::auto,
	service::TowerToHyperService,
};
use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{net::TcpListener, sync::Semaphore};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::Service;

/// How long a client may take to send a request's head.
const HEADER_TIMEOUT: Duration = Duration::from_secs(15);
/// Longest head of a request, in bytes. A connection keeps a buffer of this size for as long as it is
/// open, so a waiting miner costs at least that.
const MAX_HEADER_BYTES: usize = 8 * 1024;
/// Most header fields.
const MAX_HEADERS: usize = 64;

/// Serves until `stop`, then lets open requests finish for as long as `stop_timeout`. `service_for`
/// makes the service of a connection from the address at its other end.
pub async fn serve<S>(
	listener: TcpListener,
	max_connections: u32,
	stop_timeout: Duration,
	stop: CancellationToken,
	service_for: impl Fn(SocketAddr) -> S,
) where
	S: Service<Request<Incoming>, Response = Response, Error = Infallible> + Clone + Send + 'static,
	S::Future: Send,
{
	let mut connections = auto::Builder::new(TokioExecutor::new()).http1_only();
	connections
		.http1()
		.timer(TokioTimer::new())
		.header_read_timeout(HEADER_TIMEOUT)
		.max_buf_size(MAX_HEADER_BYTES)
		.max_headers(MAX_HEADERS);
	let places = Arc::new(Semaphore::new(max_connections as usize));
	let open = TaskTracker::new();
	loop {
		let place = tokio::select! {
			() = stop.cancelled() => break,
			place = places.clone().acquire_owned() => place,
		};
		let accepted = tokio::select! {
			() = stop.cancelled() => break,
			accepted = listener.accept() => accepted,
		};
		let (stream, peer) = match accepted {
			Ok(accepted) => accepted,
			Err(error) => {
				// Too many open files, or a client that has gone already.
				tracing::warn!(%error, "a connection was not accepted");
				tokio::time::sleep(Duration::from_millis(50)).await;
				continue;
			},
		};
		// Small messages go out at once; a socket that refuses that is as good.
		let _ = stream.set_nodelay(true);
		let service = TowerToHyperService::new(service_for(peer));
		let (connections, stop) = (connections.clone(), stop.clone());
		open.spawn(async move {
			let _place = place;
			let connection =
				connections.serve_connection_with_upgrades(TokioIo::new(stream), service);
			tokio::pin!(connection);
			let ended = tokio::select! {
				ended = &mut connection => ended,
				() = stop.cancelled() => {
					connection.as_mut().graceful_shutdown();
					connection.await
				},
			};
			if let Err(error) = ended {
				tracing::debug!(%error, "a connection broke");
			}
		});
	}
	drop(listener);
	open.close();
	if tokio::time::timeout(stop_timeout, open.wait())
		.await
		.is_err()
	{
		tracing::warn!(connections = open.len(), "connections were cut off");
	}
}
