//! Clients that are connected and want nothing: half by HTTP connections that are kept alive, half by
//! WebSockets. They are a process of their own, since each connection takes a file at both ends.

use anyhow::Context;
use clap::Args;
use cuckoo_coordinator_api::rpc::TaskRpcClient;
use futures::{stream, StreamExt, TryStreamExt};
use jsonrpsee::ws_client::{PingConfig, WsClient, WsClientBuilder};
use rustix::process::{getrlimit, setrlimit, Resource, Rlimit};
use std::time::Duration;
use tokio::{
	io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
	net::TcpStream,
};

/// Files besides connections.
const OTHER_FILES: u64 = 512;

/// How often an HTTP connection is used: the coordinator closes those that are silent for 15 s.
const HTTP_INTERVAL: Duration = Duration::from_secs(10);

/// Connections that are opened at once.
const AT_ONCE: usize = 64;

/// Idle connections to a coordinator. Says `ready` when all are there; ends with its standard input,
/// and then says how many still answered.
#[derive(Args)]
pub struct Idle {
	/// The coordinator.
	#[arg(long)]
	url: String,
	/// How many connections.
	#[arg(long)]
	connections: u32,
}

/// Lets this process have so many connections, or says that the system does not.
pub fn allow_files(connections: u32) -> anyhow::Result<()> {
	let needed = u64::from(connections) + OTHER_FILES;
	let limit = getrlimit(Resource::Nofile);
	if limit.current.is_none_or(|current| current >= needed) {
		return Ok(());
	}
	let maximum = limit.maximum.map(|maximum| maximum.max(needed));
	let raised = Rlimit {
		current: Some(needed),
		maximum,
	};
	setrlimit(Resource::Nofile, raised)
		.with_context(|| format!("the system does not let a process have {needed} files open"))
}

impl Idle {
	/// Holds the connections until standard input ends. Returns how many are still there.
	pub async fn run(&self) -> anyhow::Result<u32> {
		allow_files(self.connections)?;
		let https = self.connections / 2;
		let address = self.url.trim_start_matches("http://");
		let http: Vec<TcpStream> = stream::iter(0..https)
			.map(|_| async { anyhow::Ok(TcpStream::connect(address).await?) })
			.buffered(AT_ONCE)
			.and_then(|mut stream| async move { ask(&mut stream).await.map(|()| stream) })
			.try_collect()
			.await?;
		let (keep, kept) = tokio::sync::watch::channel(());
		let http: Vec<_> = http
			.into_iter()
			.map(|stream| tokio::spawn(use_now_and_then(stream, kept.clone())))
			.collect();
		let url = self.url.replacen("http", "ws", 1);
		let sockets: Vec<WsClient> = stream::iter(https..self.connections)
			.map(|_| async {
				let client = WsClientBuilder::default().enable_ws_ping(PingConfig::default());
				anyhow::Ok(client.build(&url).await?)
			})
			.buffered(AT_ONCE)
			.try_collect()
			.await?;
		println!("ready");

		let mut input = BufReader::new(tokio::io::stdin()).lines();
		while input.next_line().await?.is_some() {}
		drop(keep);
		let mut alive = 0;
		for stream in http {
			alive += u32::from(stream.await?.is_ok());
		}
		for socket in sockets {
			alive += u32::from(socket.coordinator_info().await.is_ok());
		}
		Ok(alive)
	}
}

/// Uses a connection as seldom as keeps it; at the end, once more.
async fn use_now_and_then(
	mut stream: TcpStream,
	mut kept: tokio::sync::watch::Receiver<()>,
) -> anyhow::Result<()> {
	loop {
		let last = tokio::select! {
			ended = kept.changed() => ended.is_err(),
			() = tokio::time::sleep(HTTP_INTERVAL) => false,
		};
		ask(&mut stream).await?;
		if last {
			return Ok(());
		}
	}
}

/// Asks for the least there is and takes in the answer.
async fn ask(stream: &mut TcpStream) -> anyhow::Result<()> {
	stream
		.write_all(b"GET /healthz HTTP/1.1\r\nhost: bench\r\n\r\n")
		.await?;
	let mut reply = Vec::new();
	let mut part = [0; 512];
	while !reply.ends_with(b"\r\n\r\nok") {
		let read = stream.read(&mut part).await?;
		anyhow::ensure!(read > 0, "the coordinator closed an idle connection");
		reply.extend_from_slice(&part[..read]);
	}
	Ok(())
}
