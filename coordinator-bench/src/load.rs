//! The other process: apps that submit, and miners that do what real ones do except painting. Both see
//! the same clock, so that the time from an app's submit to a miner's work is theirs to measure.

use crate::population::{self, GENESIS};
use anyhow::Context;
use clap::Args;
use cuckoo_coordinator_api::{
	miner::{Hello, Outcome as Ended, Poll, Submit, Work},
	rpc::{MinerRpcClient, TaskRpcClient},
	task::TaskRequest,
};
use cuckoo_figures::percentile;
use cuckoo_primitives::{
	signing::{self, MinerLogin, ResultCommitment},
	task::{DeviceClass, TaskId},
	H256,
};
use futures::future::try_join_all;
use jsonrpsee::http_client::{HttpClient, HttpClientBuilder};
use serde::{Deserialize, Serialize};
use sp_core::{sr25519, Pair};
use std::{
	collections::HashMap,
	ops::Range,
	sync::{
		atomic::{AtomicU64, Ordering},
		Arc, Mutex, PoisonError,
	},
	time::{Duration, Instant},
};
use tokio::sync::Semaphore;

/// Tasks under way at once when the highest rate is looked for.
const UNDER_WAY: usize = 1_024;

/// What comes before the measurement, so that everything is in motion.
const WARM_UP: Duration = Duration::from_secs(5);

/// How long a poll waits.
const POLL_WAIT_MS: u64 = 30_000;

/// Side of the pictures, in pixels.
const SIDE: u32 = 64;

/// Apps and miners of a coordinator.
#[derive(Args)]
pub struct Load {
	/// The coordinator.
	#[arg(long)]
	url: String,
	/// How many miners.
	#[arg(long)]
	miners: u32,
	/// The number of the first one.
	#[arg(long, default_value_t = 0)]
	first: u32,
	/// Tasks a second, or `max` for as many as go through. Without it nothing is submitted.
	#[arg(long)]
	rate: Option<String>,
	/// How long to measure.
	#[arg(long)]
	seconds: u64,
}

/// What was seen.
#[derive(Serialize, Deserialize)]
pub struct Outcome {
	/// Tasks whose results were accepted within the measured time, a second.
	pub done_per_second: f64,
	/// Median and 99th percentile of the time a submit takes, in milliseconds.
	pub submit_ms: [f64; 2],
	/// The same of the time from the begin of a submit until a miner has the work.
	pub assign_ms: [f64; 2],
	/// Polls that waited when nothing was submitted.
	pub idle_polls: u64,
}

/// What apps and miners share.
struct Shared {
	url: String,
	rpc: HttpClient,
	http: reqwest::Client,
	/// When the tasks under way were submitted.
	submitted: Mutex<HashMap<TaskId, Instant>>,
	/// When miners got work whose submit has not yet returned.
	early: Mutex<HashMap<TaskId, Instant>>,
	under_way: Semaphore,
	/// The measured time.
	window: (Instant, Instant),
	submit_ms: Mutex<Vec<f64>>,
	assign_ms: Mutex<Vec<f64>>,
	done: AtomicU64,
	polls: AtomicU64,
}

impl Load {
	/// Runs for the warm-up and the measured time.
	pub async fn run(&self) -> anyhow::Result<Outcome> {
		let rpc = HttpClientBuilder::default()
			.request_timeout(Duration::from_secs(60))
			.max_concurrent_requests(100_000)
			.build(&self.url)?;
		let http = reqwest::Client::new();
		let connected = connect(&rpc, self.first..self.first + self.miners).await?;
		let start = Instant::now() + WARM_UP;
		let window = (start, start + Duration::from_secs(self.seconds));
		let shared = Arc::new(Shared {
			url: self.url.clone(),
			rpc,
			http,
			submitted: Mutex::default(),
			early: Mutex::default(),
			under_way: Semaphore::new(UNDER_WAY),
			window,
			submit_ms: Mutex::default(),
			assign_ms: Mutex::default(),
			done: AtomicU64::new(0),
			polls: AtomicU64::new(0),
		});
		for (key, token) in connected {
			let shared = shared.clone();
			tokio::spawn(async move {
				if let Err(error) = mine(&shared, &key, token).await {
					// A load that is thinner than it says measures something else.
					eprintln!("a miner failed: {error:#}");
					std::process::exit(1);
				}
			});
		}
		match self.rate.as_deref() {
			None => tokio::time::sleep_until(window.1.into()).await,
			Some("max") => shared.submit_as_fast_as_they_are_done().await?,
			Some(rate) => shared.submit_at(rate.parse().context("--rate")?).await?,
		}
		shared.outcome(self.rate.is_some())
	}
}

/// Logs all miners in.
async fn connect(
	rpc: &HttpClient,
	miners: Range<u32>,
) -> anyhow::Result<Vec<(sr25519::Pair, H256)>> {
	let mut connected = Vec::new();
	for number in miners {
		let key = population::worker(number);
		let challenge = rpc.miner_challenge(key.public()).await?;
		let login = MinerLogin {
			coordinator: challenge.coordinator,
			worker: key.public(),
			challenge: challenge.challenge.0,
		};
		let hello = Hello {
			worker: key.public(),
			challenge: challenge.challenge,
			signature: signing::sign(&challenge.genesis_hash, &login, &key),
			models: vec![population::model()],
			device: DeviceClass::Cpu,
			device_name: "bench".into(),
			slots: 1,
			engine: "bench".into(),
		};
		connected.push((key, rpc.miner_hello(hello).await?.token));
	}
	Ok(connected)
}

/// Polls and hands in for ever.
async fn mine(shared: &Shared, key: &sr25519::Pair, token: H256) -> anyhow::Result<()> {
	loop {
		let poll = Poll {
			token,
			free_slots: 1,
			wait_ms: POLL_WAIT_MS,
			holding: Vec::new(),
		};
		shared.polls.fetch_add(1, Ordering::Relaxed);
		let Some(work) = shared.rpc.miner_poll(poll).await?.work else {
			continue;
		};
		shared.assigned(work.assignment.task);
		shared.hand_in(&work, key, token).await?;
		shared.under_way.add_permits(1);
		if shared.is_measured(Instant::now()) {
			shared.done.fetch_add(1, Ordering::Relaxed);
		}
	}
}

impl Shared {
	fn is_measured(&self, at: Instant) -> bool {
		(self.window.0..self.window.1).contains(&at)
	}

	/// Submits one task as an app does.
	async fn submit(&self) -> anyhow::Result<()> {
		let start = Instant::now();
		let request = TaskRequest {
			prompt: "a red apple on a table".into(),
			..TaskRequest::default()
		};
		let task = self.rpc.task_submit(request, None).await?.id;
		if self.is_measured(start) {
			lock(&self.submit_ms).push(start.elapsed().as_secs_f64() * 1e3);
		}
		// A miner may have got the work before the app got its answer.
		match lock(&self.early).remove(&task) {
			Some(assigned) => self.took(start, assigned),
			None => {
				lock(&self.submitted).insert(task, start);
			},
		}
		Ok(())
	}

	fn assigned(&self, task: TaskId) {
		let now = Instant::now();
		let mut early = lock(&self.early);
		match lock(&self.submitted).remove(&task) {
			Some(start) => self.took(start, now),
			None => {
				early.insert(task, now);
			},
		}
	}

	fn took(&self, start: Instant, assigned: Instant) {
		if self.is_measured(start) {
			let took = assigned.saturating_duration_since(start);
			lock(&self.assign_ms).push(took.as_secs_f64() * 1e3);
		}
	}

	/// Uploads a picture and hands the signed result in.
	async fn hand_in(&self, work: &Work, key: &sr25519::Pair, token: H256) -> anyhow::Result<()> {
		let picture = picture(work.spec.seed)?;
		let output = H256(*blake3::hash(&picture).as_bytes());
		self.http
			.put(format!("{}/artifacts/{output:?}", self.url))
			.bearer_auth(format!("{token:?}"))
			.body(picture)
			.send()
			.await?
			.error_for_status()?;
		let commitment = ResultCommitment {
			assignment: signing::signing_hash(&GENESIS, &work.assignment),
			output,
			trajectory_root: H256::repeat_byte(1),
			engine_profile: H256::repeat_byte(2),
			device: DeviceClass::Cpu,
		};
		let submit = Submit {
			token,
			task: work.assignment.task,
			attempt: work.assignment.attempt,
			outcome: Ended::Result {
				signature: signing::sign(&GENESIS, &commitment, key),
				commitment,
			},
		};
		let reply = self.rpc.miner_submit(submit).await?;
		anyhow::ensure!(reply.accepted, "a result was not accepted");
		Ok(())
	}

	async fn submit_as_fast_as_they_are_done(self: &Arc<Self>) -> anyhow::Result<()> {
		let apps = (0..64).map(|_| {
			let shared = self.clone();
			tokio::spawn(async move {
				while Instant::now() < shared.window.1 {
					shared.under_way.acquire().await?.forget();
					shared.submit().await?;
				}
				anyhow::Ok(())
			})
		});
		for app in try_join_all(apps).await? {
			app?;
		}
		Ok(())
	}

	/// Submits at this rate, whether or not the coordinator keeps up.
	async fn submit_at(self: &Arc<Self>, rate: f64) -> anyhow::Result<()> {
		let mut ticks = tokio::time::interval(Duration::from_secs_f64(1.0 / rate));
		let mut apps = tokio::task::JoinSet::new();
		while Instant::now() < self.window.1 {
			ticks.tick().await;
			let shared = self.clone();
			apps.spawn(async move { shared.submit().await });
			while let Some(submitted) = apps.try_join_next() {
				submitted??;
			}
		}
		while let Some(submitted) = apps.join_next().await {
			submitted??;
		}
		Ok(())
	}

	fn outcome(&self, submitted: bool) -> anyhow::Result<Outcome> {
		let pair = |values: &Mutex<Vec<f64>>| {
			let values = lock(values);
			let part = |part| percentile(&values, part);
			part(0.5).zip(part(0.99)).map(|(p50, p99)| [p50, p99])
		};
		let (submit_ms, assign_ms) = if submitted {
			pair(&self.submit_ms)
				.zip(pair(&self.assign_ms))
				.context("nothing was done within the measured time")?
		} else {
			Default::default()
		};
		let seconds = (self.window.1 - self.window.0).as_secs_f64();
		Ok(Outcome {
			done_per_second: self.done.load(Ordering::Relaxed) as f64 / seconds,
			submit_ms,
			assign_ms,
			idle_polls: self.polls.load(Ordering::Relaxed),
		})
	}
}

/// A picture like no other: the store keeps one file for each.
fn picture(seed: u64) -> anyhow::Result<Vec<u8>> {
	let mut pixels = vec![0; (SIDE * SIDE * 3) as usize];
	pixels[..8].copy_from_slice(&seed.to_le_bytes());
	let mut bytes = Vec::new();
	let mut encoder = png::Encoder::new(&mut bytes, SIDE, SIDE);
	encoder.set_color(png::ColorType::Rgb);
	encoder.set_compression(png::Compression::Fast);
	let mut writer = encoder.write_header()?;
	writer.write_image_data(&pixels)?;
	writer.finish()?;
	Ok(bytes)
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
	mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
