//! The floor: the same commits for each task by the bare store, without network, signatures, pictures
//! or draws.

use crate::population;
use cuckoo_primitives::{
	signing::{Assignment, ResultCommitment},
	task::{DeviceClass, SchedulerKind, TaskId, TaskSpec},
	WorkerSignature, H256,
};
use offchain_coordinator::{
	apps::AppId,
	draw::{ListEntries, ListRecord},
	state::Event,
	store::{AttemptRow, Extra, NewTask, Place, Store},
	terms::Terms,
};
use sp_core::Pair;
use std::{
	sync::{
		atomic::{AtomicU64, Ordering},
		Arc,
	},
	time::{Duration, Instant},
};

/// Tasks under way at once: enough that every commit is full.
const UNDER_WAY: u64 = 256;

/// Tasks a second from accepted to done.
pub async fn tasks_per_second(place: &Place, time: Duration) -> anyhow::Result<f64> {
	let store = Store::open_at(place).await?;
	let done = Arc::new(AtomicU64::new(0));
	let start = Instant::now();
	let workers: Vec<_> = (0..UNDER_WAY)
		.map(|worker| {
			let (store, done) = (store.clone(), done.clone());
			tokio::spawn(async move {
				let mut number = worker;
				while start.elapsed() < time {
					task(&store, number, worker).await?;
					done.fetch_add(1, Ordering::Relaxed);
					number += UNDER_WAY;
				}
				anyhow::Ok(())
			})
		})
		.collect();
	for worker in workers {
		worker.await??;
	}
	let elapsed = start.elapsed().as_secs_f64();
	store.close().await;
	Ok(done.load(Ordering::Relaxed) as f64 / elapsed)
}

/// Accepts a task and lets it be drawn, submitted and done.
async fn task(store: &Store, number: u64, worker: u64) -> anyhow::Result<()> {
	let new = new_task(number);
	let (id, spec_hash) = (new.id, new.spec.hash());
	store.submit_task(new, 1, |_| {}).await?;
	let assignment = Assignment {
		coordinator: population::account(population::COORDINATOR),
		task: id,
		attempt: 0,
		miner: population::account(worker as u32),
		worker: population::worker(0).public(),
		spec_hash,
		model: population::model().hash,
		deadline_ms: 1,
		block_number: 1,
		block_hash: H256::zero(),
		randomness: H256::zero(),
		eligible_root: H256::zero(),
		total_weight: 1,
	};
	let signature = WorkerSignature::from_raw([1; 64]);
	let attempt = AttemptRow {
		assignment: assignment.clone(),
		signature,
		coordinator_worker: assignment.worker,
		assigned_ms: 1,
		ended_ms: None,
		ending: None,
		reason: None,
	};
	// Each worker has a chain of its own: the steps of one must follow each other.
	let step = (number / UNDER_WAY) as u32;
	let entries = if step == 0 {
		ListEntries::Whole(Vec::new())
	} else {
		ListEntries::Changes(Vec::new())
	};
	let draw = Extra::Draw {
		attempt: Box::new(attempt),
		list: ListRecord {
			chain: worker,
			step,
			entries: Some(entries),
		},
	};
	let result = Extra::Result {
		commitment: Box::new(ResultCommitment {
			assignment: H256::zero(),
			output: H256::from_low_u64_be(number),
			trajectory_root: H256::zero(),
			engine_profile: H256::zero(),
			device: DeviceClass::Cpu,
		}),
		signature,
		bytes: 1,
	};
	let end = Extra::Done { era: None };
	let events = [
		(Event::Assign(0), draw),
		(Event::Submit(0), result),
		(Event::Accept(0), end),
	];
	for (event, extra) in events {
		let happened = store.transition(id, event, extra, 1, |_| {}).await?;
		anyhow::ensure!(happened.is_ok(), "a transition was refused");
	}
	Ok(())
}

/// A task like an app's.
pub fn new_task(number: u64) -> NewTask {
	let mut id = [0; 16];
	id.copy_from_slice(&blake3::hash(&number.to_le_bytes()).as_bytes()[..16]);
	NewTask {
		id: TaskId(id),
		app: AppId::new("bench"),
		nonce: format!("{number:032x}"),
		idempotency_key: None,
		request_hash: H256::zero(),
		spec: TaskSpec {
			model: population::model().hash,
			prompt: "a red apple on a table".into(),
			negative_prompt: String::new(),
			seed: number,
			steps: 20,
			width: 64,
			height: 64,
			guidance_milli: 3_000,
			scheduler: SchedulerKind::Ddim,
		},
		priority: 5,
		queue_until_ms: u64::MAX,
		max_wait_ms: None,
		terms: Terms::default(),
		voucher: None,
	}
}
