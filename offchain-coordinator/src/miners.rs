//! The miners that are connected: what they declared and when they were last heard of.

use crate::{clock::UnixMs, models, settings::POLL_WITHIN_MS};
use cuckoo_coordinator_api::{
	error::{ApiError, ErrorCode},
	limits,
	miner::Hello,
};
use cuckoo_primitives::{
	task::{DeviceClass, ModelHash},
	Balance, WorkerId, H256,
};
use std::{collections::HashSet, sync::Arc};
use tokio::sync::Notify;

/// How many attempts a slot may hold: one at work and one being handed in.
pub const ATTEMPTS_PER_SLOT: usize = 2;

/// A miner that said hello.
#[derive(Clone, Debug)]
pub struct Miner {
	/// Its worker.
	pub worker: WorkerId,
	/// Its session.
	pub session: H256,
	/// The models it holds.
	pub models: Vec<ModelHash>,
	/// What it runs on.
	pub device: DeviceClass,
	/// How many tasks it takes at once.
	pub slots: u16,
	/// Slots free, as of its last poll and what was drawn since.
	pub free_slots: u16,
	/// With which it stands in the tables of the draw: zero while it cannot be drawn.
	pub weight: Balance,
	/// When it was last heard of.
	pub last_seen_ms: UnixMs,
	/// Polls that are waiting.
	pub waiting: u32,
	/// Counts its polls: a new one ends the one before.
	pub polls: u64,
	/// Wakes its waiting poll.
	pub wake: Arc<Notify>,
}

impl Miner {
	/// As it says hello: nothing is drawn for it before its first poll.
	pub fn new(hello: &Hello, session: H256, now_ms: UnixMs) -> Self {
		Self {
			worker: hello.worker,
			session,
			models: hello.models.iter().map(|model| model.hash).collect(),
			device: hello.device,
			slots: hello.slots,
			free_slots: 0,
			weight: 0,
			last_seen_ms: now_ms,
			waiting: 0,
			polls: 0,
			wake: Arc::new(Notify::new()),
		}
	}

	/// Whether it polled within the last 30 s or is waiting in a poll.
	pub fn is_online(&self, now_ms: UnixMs) -> bool {
		self.waiting > 0 || now_ms.saturating_sub(self.last_seen_ms) <= POLL_WITHIN_MS
	}
}

/// Checks what a miner declares of itself.
pub fn check(hello: &Hello) -> Result<(), ApiError> {
	let refuse = |field: &str, message: &str| {
		Err(ApiError::with_message(ErrorCode::CapabilitiesInvalid, message).about(field))
	};
	if hello.slots == 0 || hello.slots > limits::MAX_SLOTS {
		return refuse("slots", "A miner has 1 to 64 slots.");
	}
	if hello.models.is_empty() || hello.models.len() > limits::MAX_MODELS_PER_MINER {
		return refuse("models", "A miner holds 1 to 64 models.");
	}
	if hello.device_name.len() > limits::MAX_TEXT_BYTES {
		return refuse("device_name", "The device's name has at most 1024 bytes.");
	}
	if hello.engine.len() > limits::MAX_TEXT_BYTES {
		return refuse("engine", "The engine's text has at most 1024 bytes.");
	}
	let mut hashes = HashSet::new();
	if !hello.models.iter().all(|model| hashes.insert(model.hash)) {
		return refuse("models", "A model is declared twice.");
	}
	hello.models.iter().try_for_each(models::check)
}
