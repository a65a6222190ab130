//! Accepts connections and serves HTTP/1.1 on them, in plain or over TLS: a bounded number in all and of
//! each address, none of which can take its time with a handshake or a request's head.

use crate::tls::Tls;
use axum::response::Response;
use hyper::{body::Incoming, server::conn::http1, Request};
use hyper_util::{
	rt::{TokioIo, TokioTimer},
	service::TowerToHyperService,
};
use socket2::{SockRef, TcpKeepalive};
use std::{
	collections::HashMap,
	convert::Infallible,
	io,
	net::{IpAddr, SocketAddr},
	sync::{Arc, Mutex, PoisonError},
	time::Duration,
};
use tokio::{
	io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
	net::{TcpListener, TcpStream},
	sync::Semaphore,
	time::timeout,
};
use tokio_rustls::server::TlsStream;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::Service;

/// How long a TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// The first byte of a TLS handshake.
const HANDSHAKE: u8 = 0x16;
/// How long a client may take to send a request's head.
const HEADER_TIMEOUT: Duration = if cfg!(test) {
	Duration::from_millis(500)
} else {
	Duration::from_secs(15)
};
/// Longest head of a request, in bytes. A connection keeps a buffer of this size for as long as it is
/// open, so a waiting miner costs at least that.
const MAX_HEADER_BYTES: usize = 8 * 1024;
/// Most header fields.
const MAX_HEADERS: usize = 64;
/// How long a connection may be silent before the system asks the other end whether it is there.
const KEEPALIVE_AFTER: Duration = Duration::from_secs(30);
/// How long it waits for each answer.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// How often it asks.
const KEEPALIVE_PROBES: u32 = 3;
/// How long what was sent may stay unacknowledged.
const UNACKNOWLEDGED: Duration = Duration::from_secs(60);

/// What a client reads that speaks plain HTTP to TLS.
const NOT_PLAIN: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\n\
	content-length: 46\r\nconnection: close\r\n\r\nThis port speaks TLS: use https:// or wss://.\n";

/// Where connections come from, and what is spoken on them.
pub struct Listener {
	tcp: TcpListener,
	tls: Option<Arc<Tls>>,
}

impl Listener {
	/// Over TLS.
	pub fn tls(tcp: TcpListener, tls: Arc<Tls>) -> Self {
		Self {
			tcp,
			tls: Some(tls),
		}
	}

	/// Whether it speaks TLS.
	pub fn is_tls(&self) -> bool {
		self.tls.is_some()
	}
}

impl From<TcpListener> for Listener {
	/// In plain.
	fn from(tcp: TcpListener) -> Self {
		Self { tcp, tls: None }
	}
}

/// How many connections can be open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bounds {
	/// In all: the next waits to be accepted.
	pub all: u32,
	/// From one address, or one /64 network of IPv6, which is what one customer has: the next is closed at
	/// once, so that nobody takes the places of all others.
	pub each: u32,
}

impl Bounds {
	/// As many in all, and from any address.
	pub fn of(all: u32) -> Self {
		Self { all, each: all }
	}
}

/// The connections that are open, by address.
#[derive(Clone, Debug, Default)]
struct Addresses(Arc<Mutex<HashMap<IpAddr, u32>>>);

impl Addresses {
	/// Counts one more, unless the address has as many as it may.
	fn enter(&self, address: IpAddr, most: u32) -> Option<Entered> {
		let address = customer(address);
		let mut open = self.lock();
		let count = open.entry(address).or_default();
		if *count >= most {
			return None;
		}
		*count += 1;
		Some(Entered {
			addresses: self.clone(),
			address,
		})
	}

	fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<IpAddr, u32>> {
		// Nothing is left half done when a holder panics.
		self.0.lock().unwrap_or_else(PoisonError::into_inner)
	}
}

/// A connection that is counted until this is dropped.
struct Entered {
	addresses: Addresses,
	address: IpAddr,
}

impl Drop for Entered {
	fn drop(&mut self) {
		let mut open = self.addresses.lock();
		if let Some(count) = open.get_mut(&self.address) {
			*count -= 1;
			if *count == 0 {
				open.remove(&self.address);
			}
		}
	}
}

/// What is counted as one address.
fn customer(address: IpAddr) -> IpAddr {
	const NETWORK: u128 = !(u64::MAX as u128);
	match address.to_canonical() {
		IpAddr::V6(address) => IpAddr::V6((u128::from(address) & NETWORK).into()),
		address => address,
	}
}

/// Serves until `stop`, then lets open requests finish for as long as `stop_timeout`. `service_for`
/// makes the service of a connection from the address at its other end.
pub async fn serve<S>(
	listener: impl Into<Listener>,
	bounds: Bounds,
	stop_timeout: Duration,
	stop: CancellationToken,
	service_for: impl Fn(SocketAddr) -> S,
) where
	S: Service<Request<Incoming>, Response = Response, Error = Infallible> + Clone + Send + 'static,
	S::Future: Send,
{
	let Listener { tcp: listener, tls } = listener.into();
	let mut connections = http1::Builder::new();
	connections
		.timer(TokioTimer::new())
		.header_read_timeout(HEADER_TIMEOUT)
		.max_buf_size(MAX_HEADER_BYTES)
		.max_headers(MAX_HEADERS);
	let connections = Arc::new(connections);
	let places = Arc::new(Semaphore::new(bounds.all as usize));
	let addresses = Addresses::default();
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
		let Some(entered) = addresses.enter(peer.ip(), bounds.each) else {
			tracing::debug!(%peer, most = bounds.each, "an address has as many connections as it may");
			continue;
		};
		prepare(&stream);
		let service = TowerToHyperService::new(service_for(peer));
		let (connections, tls, stop) = (connections.clone(), tls.clone(), stop.clone());
		open.spawn(async move {
			// From before the handshake: slow ones are connections too.
			let _place = (place, entered);
			let ended = match tls {
				None => converse(&connections, stream, service, stop).await,
				// Apart, so that connections in plain do without the room for it.
				Some(tls) => {
					Box::pin(converse_over_tls(&connections, &tls, stream, service, stop)).await
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

type Broken = Box<dyn std::error::Error + Send + Sync>;

/// Serves one connection until it ends, or until `stop` and the end of the request at work.
async fn converse<S>(
	connections: &http1::Builder,
	stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
	service: TowerToHyperService<S>,
	stop: CancellationToken,
) -> Result<(), Broken>
where
	S: Service<Request<Incoming>, Response = Response, Error = Infallible> + Clone + Send + 'static,
	S::Future: Send,
{
	let connection = connections.serve_connection(TokioIo::new(stream), service);
	let mut connection = std::pin::pin!(connection.with_upgrades());
	tokio::select! {
		ended = &mut connection => return Ok(ended?),
		() = stop.cancelled() => connection.as_mut().graceful_shutdown(),
	}
	Ok(connection.await?)
}

/// The same over TLS.
async fn converse_over_tls<S>(
	connections: &http1::Builder,
	tls: &Tls,
	stream: TcpStream,
	service: TowerToHyperService<S>,
	stop: CancellationToken,
) -> Result<(), Broken>
where
	S: Service<Request<Incoming>, Response = Response, Error = Infallible> + Clone + Send + 'static,
	S::Future: Send,
{
	let shaken = tokio::select! {
		() = stop.cancelled() => return Ok(()),
		shaken = timeout(HANDSHAKE_TIMEOUT, shake_hands(tls, stream)) => shaken,
	};
	let stream = shaken.map_err(|_| "the handshake took too long")??;
	converse(connections, stream, service, stop).await
}

/// Makes a connection one over TLS. A client that begins to speak HTTP is told what to do instead.
async fn shake_hands(tls: &Tls, mut stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
	let mut first = [0];
	if stream.peek(&mut first).await? == 1 && first[0] != HANDSHAKE {
		if first[0].is_ascii_uppercase() {
			// What is not read would end the connection before the answer is.
			let mut request = vec![0; MAX_HEADER_BYTES];
			let _ = stream.read(&mut request).await?;
			stream.write_all(NOT_PLAIN).await?;
			stream.shutdown().await?;
		}
		return Err(io::Error::new(
			io::ErrorKind::InvalidData,
			"what came is no TLS",
		));
	}
	tls.acceptor().accept(stream).await
}

/// Small messages go out at once, and a client that has vanished without a word is let go of within two
/// minutes, whether something waits to be sent to it or not. A socket that refuses that is as good.
fn prepare(stream: &TcpStream) {
	let keepalive = TcpKeepalive::new()
		.with_time(KEEPALIVE_AFTER)
		.with_interval(KEEPALIVE_INTERVAL)
		.with_retries(KEEPALIVE_PROBES);
	let socket = SockRef::from(stream);
	let _ = stream.set_nodelay(true);
	let _ = socket.set_tcp_keepalive(&keepalive);
	let _ = socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED));
}

#[cfg(test)]
mod tests {
	use super::*;
	use axum::{routing::get, Router};
	use tokio::io::{AsyncReadExt, AsyncWriteExt};

	const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: here\r\n\r\n";

	/// Serves on a free port until the end of the test.
	async fn server(bounds: Bounds) -> SocketAddr {
		let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
		let address = listener.local_addr().unwrap();
		let router = Router::new().route("/", get(|| async { "here" }));
		let stop = CancellationToken::new();
		let service_for = move |_| router.clone();
		tokio::spawn(serve(listener, bounds, Duration::ZERO, stop, service_for));
		address
	}

	async fn answers(stream: &mut TcpStream) -> bool {
		if stream.write_all(REQUEST).await.is_err() {
			return false;
		}
		let mut reply = [0; 12];
		stream.read_exact(&mut reply).await.is_ok() && reply == *b"HTTP/1.1 200"
	}

	#[tokio::test]
	async fn the_system_watches_every_connection() {
		let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
		let address = listener.local_addr().unwrap();
		let (_client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
		let (stream, _) = accepted.unwrap();
		prepare(&stream);
		let socket = SockRef::from(&stream);
		assert!(stream.nodelay().unwrap() && socket.keepalive().unwrap());
		assert_eq!(socket.tcp_keepalive_time().unwrap(), KEEPALIVE_AFTER);
		assert_eq!(socket.tcp_keepalive_interval().unwrap(), KEEPALIVE_INTERVAL);
		assert_eq!(socket.tcp_keepalive_retries().unwrap(), KEEPALIVE_PROBES);
		assert_eq!(socket.tcp_user_timeout().unwrap(), Some(UNACKNOWLEDGED));
	}

	/// Clients that say nothing, say half of something, or say nothing more, and never close: each
	/// place is free again after the timeout.
	#[tokio::test]
	async fn silent_clients_are_let_go_of() {
		let address = server(Bounds::of(3)).await;
		let _silent = TcpStream::connect(address).await.unwrap();
		let mut half = TcpStream::connect(address).await.unwrap();
		half.write_all(&REQUEST[..10]).await.unwrap();
		let mut idle = TcpStream::connect(address).await.unwrap();
		assert!(answers(&mut idle).await);

		// Waits for a place, which nobody gives up by itself.
		let mut next = TcpStream::connect(address).await.unwrap();
		let answered = tokio::time::timeout(Duration::from_secs(60), answers(&mut next)).await;
		assert!(answered.unwrap(), "a place was free in time");
		let mut rest = Vec::new();
		let closed = tokio::time::timeout(Duration::from_secs(60), half.read_to_end(&mut rest));
		assert!(
			closed.await.is_ok(),
			"the half request's connection was closed"
		);
	}

	#[tokio::test]
	async fn an_address_has_a_bounded_number_of_connections() {
		let address = server(Bounds { all: 10, each: 2 }).await;
		let mut first = TcpStream::connect(address).await.unwrap();
		let mut second = TcpStream::connect(address).await.unwrap();
		assert!(answers(&mut first).await && answers(&mut second).await);
		let mut third = TcpStream::connect(address).await.unwrap();
		assert!(!answers(&mut third).await);
		drop(first);
		// Its end takes a moment to be seen.
		let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
		loop {
			let mut next = TcpStream::connect(address).await.unwrap();
			if answers(&mut next).await {
				break;
			}
			assert!(tokio::time::Instant::now() < deadline);
			tokio::time::sleep(Duration::from_millis(10)).await;
		}
	}

	#[test]
	fn connections_are_counted_by_customer() {
		let addresses = Addresses::default();
		let at = |text: &str| text.parse::<IpAddr>().unwrap();
		let first = addresses.enter(at("2001:db8::1"), 1);
		assert!(first.is_some());
		assert!(addresses.enter(at("2001:db8::ffff:2"), 1).is_none());
		assert!(addresses.enter(at("2001:db8:0:1::1"), 1).is_some());
		let mapped = addresses.enter(at("::ffff:192.0.2.1"), 1);
		assert!(mapped.is_some());
		assert!(addresses.enter(at("192.0.2.1"), 1).is_none());
		drop((first, mapped));
		assert!(addresses.lock().is_empty());
	}
}
