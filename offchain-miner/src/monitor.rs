//! The listener for those who watch the miner: `/metrics` and `/healthz`, on loopback only.

use crate::{device::Devices, outbox::Outbox};
use crate::{
	metrics::{Metrics, Now, CONTENT_TYPE},
	session::Stop,
};
use anyhow::{ensure, Context};
use axum::{
	extract::State,
	http::{header, StatusCode},
	response::{IntoResponse, Json, Response},
	routing::get,
	Router,
};
use std::{
	net::SocketAddr,
	sync::{
		atomic::{AtomicBool, Ordering},
		Arc,
	},
};
use tokio::{net::TcpListener, task::AbortHandle};
use tracing::{info, warn};

/// What is watched.
#[derive(Clone)]
pub struct Watched {
	/// What is counted.
	pub metrics: Arc<Metrics>,
	/// What works.
	pub devices: Devices,
	/// What waits.
	pub outbox: Arc<Outbox>,
	/// Whether no newer block has come for long.
	pub chain_stalled: Arc<AtomicBool>,
	/// Whether it is to stop.
	pub stop: Stop,
}

impl Watched {
	fn now(&self) -> Now {
		Now {
			jobs: *self.devices.load().borrow(),
			slots: self.devices.profile().slots(),
			tasks_at_once: self.devices.profile().tasks_at_once,
			devices: self.devices.states(),
			pending_results: self.outbox.pending().len(),
			outbox_stuck: self.outbox.is_stuck(),
			chain_stalled: self.chain_stalled.load(Ordering::SeqCst),
			draining: self.stop.drain.is_cancelled(),
		}
	}
}

/// A listener that ends when dropped.
pub struct Monitor {
	/// Where it listens.
	pub address: SocketAddr,
	server: AbortHandle,
}

impl Drop for Monitor {
	fn drop(&mut self) {
		self.server.abort();
	}
}

/// Refuses an address that is not loopback: what is shown there is the owner's business.
pub fn check(address: SocketAddr) -> anyhow::Result<()> {
	ensure!(
		address.ip().is_loopback(),
		"--metrics-listen {address} can be reached from elsewhere: name a loopback address such as \
		 127.0.0.1:{}, and put a proxy in front of it if others are to see it",
		address.port()
	);
	Ok(())
}

/// Listens at a loopback address; [`check`] says which.
pub async fn listen(address: SocketAddr, watched: Watched) -> anyhow::Result<Monitor> {
	check(address)?;
	let listener = TcpListener::bind(address)
		.await
		.with_context(|| format!("cannot listen at {address} for --metrics-listen"))?;
	let address = listener.local_addr()?;
	let app = Router::new()
		.route("/metrics", get(metrics))
		.route("/healthz", get(healthz))
		.with_state(watched);
	let server = tokio::spawn(async move {
		if let Err(error) = axum::serve(listener, app).await {
			warn!(%error, "the metrics are served no more");
		}
	});
	info!(%address, "serving /metrics and /healthz");
	Ok(Monitor {
		address,
		server: server.abort_handle(),
	})
}

async fn metrics(State(watched): State<Watched>) -> Response {
	match watched.metrics.text(&watched.now()) {
		Ok(text) => ([(header::CONTENT_TYPE, CONTENT_TYPE)], text).into_response(),
		Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
	}
}

async fn healthz(State(watched): State<Watched>) -> Response {
	let health = watched.metrics.health(&watched.now());
	let status = if health.healthy {
		StatusCode::OK
	} else {
		StatusCode::SERVICE_UNAVAILABLE
	};
	(status, Json(health)).into_response()
}
