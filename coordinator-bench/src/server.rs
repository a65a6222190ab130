//! The coordinator under test: all of it but the chain, which is a registry made by hand.

use crate::population::{self, GENESIS};
use anyhow::Context;
use offchain_coordinator::{
	clock::Clock, connections::Bounds, coordinator::Coordinator, http, peers, scheduler,
	settings::Settings, store::Place,
};
use std::{net::SocketAddr, path::Path, sync::Arc};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// Connections that it takes.
const MAX_CONNECTIONS: u32 = 20_000;

/// A server that runs.
pub struct Server {
	coordinator: Arc<Coordinator>,
	address: SocketAddr,
	stop: CancellationToken,
	tasks: Vec<JoinHandle<()>>,
}

/// Opens the store in this place as a coordinator does when it starts, with its pictures in the folder.
pub async fn open(place: &Place, folder: &Path) -> anyhow::Result<Arc<Coordinator>> {
	let settings = Settings {
		// The load is one app that is more than any that is let in.
		max_queued: 100_000,
		max_queued_per_app: 100_000,
		submits_per_minute: u32::MAX,
		..Settings::default()
	};
	let key = population::worker(population::COORDINATOR);
	Coordinator::open_at(place, folder, key, settings, Clock::System)
		.await
		.context("the coordinator does not start")
}

impl Server {
	/// Serves on a free port, on a chain with so many miners.
	pub async fn start(place: &Place, folder: &Path, miners: u32) -> anyhow::Result<Self> {
		let coordinator = open(place, folder).await?;
		coordinator
			.set_registry(population::registry(miners), GENESIS)
			.await?;
		let listener = TcpListener::bind("127.0.0.1:0").await?;
		let address = listener.local_addr()?;
		let stop = CancellationToken::new();
		let tasks = vec![
			tokio::spawn(scheduler::run(coordinator.clone(), stop.clone())),
			tokio::spawn(peers::run(coordinator.clone(), stop.clone())),
			tokio::spawn(http::serve(
				coordinator.clone(),
				listener,
				Bounds::of(MAX_CONNECTIONS),
				stop.clone(),
			)),
		];
		Ok(Self {
			coordinator,
			address,
			stop,
			tasks,
		})
	}

	/// Where it serves.
	pub fn url(&self) -> String {
		format!("http://{}", self.address)
	}

	/// Ends it as SIGTERM does.
	pub async fn stop(self) {
		self.coordinator.stop();
		self.stop.cancel();
		futures::future::join_all(self.tasks).await;
		self.coordinator.close().await;
	}
}
