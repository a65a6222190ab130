//! What is counted and measured, in Prometheus' text format. No label has a value that comes from
//! outside: neither tasks nor accounts.

use crate::{
	clock::UnixMs,
	ledger::MoneyMetrics,
	live::MinerCounts,
	state::Ending,
	store::{Submitted, TaskRow, Transition},
};
use cuckoo_coordinator_api::task::TaskState;
use cuckoo_primitives::{Balance, BlockNumber, CUC};
use prometheus::{
	core::Collector, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramTimer, IntCounter,
	IntCounterVec, IntGauge, Opts, Registry, TextEncoder,
};
use std::sync::atomic::{AtomicU64, Ordering};

/// The content type of the text.
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// In front of every name.
pub const PREFIX: &str = "cuckoo_coordinator_";

/// Why making and registering a metric cannot fail.
const GOOD: &str = "names and buckets are fixed here and every test makes all of them; qed";

/// From half a millisecond to half a minute.
const LATENCY_SECONDS: &[f64] = &[
	0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];

/// From a tenth of a second to an hour.
const WORK_SECONDS: &[f64] = &[
	0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 60.0, 120.0, 300.0, 600.0, 1_800.0, 3_600.0,
];

/// Up to the writer's largest batch.
const WRITES: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

/// What the store's writer measures.
#[derive(Clone, Debug)]
pub struct Commits {
	/// How long a commit took.
	pub seconds: Histogram,
	/// How many writes it held.
	pub writes: Histogram,
}

impl Default for Commits {
	fn default() -> Self {
		Self {
			seconds: histogram(
				"store_commit_seconds",
				"How long commits to the store took.",
				LATENCY_SECONDS,
			),
			writes: histogram(
				"store_commit_writes",
				"How many writes were committed together.",
				WRITES,
			),
		}
	}
}

/// How many tasks were accepted and ended since the start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, serde::Serialize, serde::Deserialize)]
pub struct TaskCounts {
	/// Accepted.
	pub submitted: u64,
	/// Done.
	pub done: u64,
	/// Failed for good.
	pub failed: u64,
	/// Cancelled by the app.
	pub cancelled: u64,
	/// Waited too long.
	pub expired: u64,
}

/// What is only known when it is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Now {
	/// Tasks waiting.
	pub queued: usize,
	/// Tasks with miners.
	pub in_flight: usize,
	/// When the oldest task that waits was accepted.
	pub oldest_queued_ms: Option<UnixMs>,
	/// The connected miners.
	pub miners: MinerCounts,
	/// The weight of those that are eligible.
	pub total_weight: Balance,
	/// The last finalized block.
	pub finalized: Option<BlockNumber>,
	/// Whether new tasks are taken.
	pub ready: bool,
	/// Whether the coordinator drains.
	pub draining: bool,
	/// The present.
	pub now_ms: UnixMs,
}

/// Every metric of one coordinator.
#[derive(Debug)]
pub struct Metrics {
	registry: Registry,
	tasks: IntCounterVec,
	draws: IntCounter,
	attempts_ended: IntCounterVec,
	/// Polls that began.
	pub polls: IntCounter,
	task_submit: Histogram,
	result_submit: Histogram,
	task_wait: Histogram,
	attempt: Histogram,
	queued: IntGauge,
	in_flight: IntGauge,
	oldest_wait: Gauge,
	miners: GaugeVec,
	weight: Gauge,
	finalized_block: IntGauge,
	finalized_age: Gauge,
	ready: IntGauge,
	draining: IntGauge,
	finalized_ms: AtomicU64,
	webhook_calls: IntCounterVec,
	webhooks_waiting: IntGauge,
	money: MoneyMetrics,
}

const SUBMITTED: &str = "submitted";

impl Metrics {
	/// Nothing has happened yet.
	pub fn new(commits: &Commits) -> Self {
		let registry = Registry::new();
		let metrics = Self {
			tasks: counters(
				"tasks_total",
				"Tasks accepted and ended, by event.",
				"event",
			),
			draws: counter("draws_total", "Draws that were committed."),
			attempts_ended: counters(
				"attempts_ended_total",
				"Attempts that ended, by how.",
				"ending",
			),
			polls: counter("polls_total", "Polls by miners."),
			task_submit: histogram(
				"task_submit_seconds",
				"How long apps waited for the answer to task_submit.",
				LATENCY_SECONDS,
			),
			result_submit: histogram(
				"result_submit_seconds",
				"How long miners waited for the answer to miner_submit.",
				LATENCY_SECONDS,
			),
			task_wait: histogram(
				"task_wait_seconds",
				"From the acceptance of tasks to their first draw.",
				WORK_SECONDS,
			),
			attempt: histogram(
				"attempt_seconds",
				"From the draw to the end of attempts whose result stands.",
				WORK_SECONDS,
			),
			queued: gauge("tasks_queued", "Tasks that wait for a miner."),
			in_flight: gauge("tasks_in_flight", "Tasks that are with miners."),
			oldest_wait: float_gauge(
				"oldest_wait_seconds",
				"For how long the oldest task that waits has been accepted; 0 if none waits.",
			),
			miners: gauges("miners", "Connected miners, by state.", "state"),
			weight: float_gauge(
				"eligible_weight_cuc",
				"The weight of all miners that can be drawn now, in CUC.",
			),
			finalized_block: gauge("finalized_block", "The last finalized block that is known."),
			finalized_age: float_gauge(
				"finalized_block_age_seconds",
				"How long ago that block became known; since the start of time if none is.",
			),
			ready: gauge("ready", "1 if new tasks are taken, else 0."),
			draining: gauge("draining", "1 while the coordinator drains, else 0."),
			finalized_ms: AtomicU64::new(0),
			webhook_calls: counters(
				"webhook_calls_total",
				"Calls of webhooks, by what came of them.",
				"outcome",
			),
			webhooks_waiting: gauge(
				"webhooks_waiting",
				"Webhooks that are still to be called or are being called.",
			),
			money: MoneyMetrics {
				free: float_gauge(
					"reserve_free_cuc",
					"What is free in the reserve, in CUC, as of the last look by the process that settles.",
				),
				allotted: float_gauge("reserve_allotted_cuc", "What is allotted to miners, in CUC."),
				waiting: gauge("eras_to_settle", "Eras that are over and not settled."),
				missed: counter("eras_missed_total", "Eras that it became too late to settle."),
				foreign: counter(
					"foreign_settlements_total",
					"Looks at the chain that found another root for an era than this store has.",
				),
				transactions: counters(
					"settlement_transactions_total",
					"Transactions for settlement, by what came of them.",
					"outcome",
				),
			},
			registry,
		};
		metrics.register(commits);
		metrics.begin_at_zero();
		metrics
	}

	fn register(&self, commits: &Commits) {
		let build = gauges(
			"build_info",
			"Always 1; the version is in the label.",
			"version",
		);
		build
			.with_label_values(&[env!("CARGO_PKG_VERSION")])
			.set(1.0);
		let all: [Box<dyn Collector>; 28] = [
			Box::new(build),
			Box::new(self.tasks.clone()),
			Box::new(self.draws.clone()),
			Box::new(self.attempts_ended.clone()),
			Box::new(self.polls.clone()),
			Box::new(self.task_submit.clone()),
			Box::new(self.result_submit.clone()),
			Box::new(self.task_wait.clone()),
			Box::new(self.attempt.clone()),
			Box::new(self.queued.clone()),
			Box::new(self.in_flight.clone()),
			Box::new(self.oldest_wait.clone()),
			Box::new(self.miners.clone()),
			Box::new(self.weight.clone()),
			Box::new(self.finalized_block.clone()),
			Box::new(self.finalized_age.clone()),
			Box::new(self.ready.clone()),
			Box::new(self.draining.clone()),
			Box::new(commits.seconds.clone()),
			Box::new(commits.writes.clone()),
			Box::new(self.webhook_calls.clone()),
			Box::new(self.webhooks_waiting.clone()),
			Box::new(self.money.free.clone()),
			Box::new(self.money.allotted.clone()),
			Box::new(self.money.waiting.clone()),
			Box::new(self.money.missed.clone()),
			Box::new(self.money.foreign.clone()),
			Box::new(self.money.transactions.clone()),
		];
		for collector in all {
			self.registry.register(collector).expect(GOOD);
		}
	}

	/// A counter that is there from the start has no gap in front of its first event.
	fn begin_at_zero(&self) {
		let ends = [
			TaskState::Done,
			TaskState::Failed,
			TaskState::Cancelled,
			TaskState::Expired,
		];
		for event in ends.map(TaskState::name).into_iter().chain([SUBMITTED]) {
			self.tasks.with_label_values(&[event]).inc_by(0);
		}
		for outcome in ["delivered", "failed", "given_up"] {
			self.webhook_calls.with_label_values(&[outcome]).inc_by(0);
		}
		for outcome in ["succeeded", "failed"] {
			let counter = self.money.transactions.with_label_values(&[outcome]);
			counter.inc_by(0);
		}
		for ending in Ending::ALL {
			self.attempts_ended
				.with_label_values(&[ending.name()])
				.inc_by(0);
		}
	}

	/// Measures the answer to `task_submit` until it is dropped.
	pub fn task_submit(&self) -> HistogramTimer {
		self.task_submit.start_timer()
	}

	/// Measures the answer to `miner_submit` until it is dropped.
	pub fn result_submit(&self) -> HistogramTimer {
		self.result_submit.start_timer()
	}

	/// A submit was committed.
	pub fn submitted(&self, submitted: &Submitted) {
		if matches!(submitted, Submitted::Accepted(_)) {
			self.tasks.with_label_values(&[SUBMITTED]).inc();
		}
	}

	/// A draw was committed.
	pub fn drawn(&self, task: &TaskRow, now_ms: UnixMs) {
		self.draws.inc();
		if task.attempt == Some(0) {
			self.task_wait.observe(seconds(task.created_ms, now_ms));
		}
	}

	/// A transition was committed.
	pub fn changed(&self, transition: &Transition) {
		if let Some((_, ending)) = &transition.ended {
			self.attempts_ended
				.with_label_values(&[ending.name()])
				.inc();
		}
		let state = transition.after.state;
		if state.is_final() {
			self.tasks.with_label_values(&[state.name()]).inc();
		}
	}

	/// An attempt's result stands.
	pub fn done(&self, assigned_ms: UnixMs, now_ms: UnixMs) {
		self.attempt.observe(seconds(assigned_ms, now_ms));
	}

	/// What is measured of settlement.
	pub fn money(&self) -> &MoneyMetrics {
		&self.money
	}

	/// A webhook was called.
	pub fn webhook(&self, outcome: &str) {
		self.webhook_calls.with_label_values(&[outcome]).inc();
	}

	/// So many webhooks wait.
	pub fn webhooks_waiting(&self, waiting: u64) {
		let waiting = i64::try_from(waiting).unwrap_or(i64::MAX);
		self.webhooks_waiting.set(waiting);
	}

	/// A newly finalized block became known.
	pub fn finalized(&self, now_ms: UnixMs) {
		self.finalized_ms.store(now_ms, Ordering::Relaxed);
	}

	/// How long ago the last finalized block became known.
	pub fn finalized_age_ms(&self, now_ms: UnixMs) -> u64 {
		now_ms.saturating_sub(self.finalized_ms.load(Ordering::Relaxed))
	}

	/// The counters of tasks.
	pub fn task_counts(&self) -> TaskCounts {
		let count = |event: &str| self.tasks.with_label_values(&[event]).get();
		TaskCounts {
			submitted: count(SUBMITTED),
			done: count(TaskState::Done.name()),
			failed: count(TaskState::Failed.name()),
			cancelled: count(TaskState::Cancelled.name()),
			expired: count(TaskState::Expired.name()),
		}
	}

	/// Draws since the start.
	pub fn draws(&self) -> u64 {
		self.draws.get()
	}

	/// Everything as text.
	pub fn text(&self, now: &Now) -> Result<String, prometheus::Error> {
		self.queued.set(now.queued as i64);
		self.in_flight.set(now.in_flight as i64);
		let oldest = now.oldest_queued_ms.map(|ms| seconds(ms, now.now_ms));
		self.oldest_wait.set(oldest.unwrap_or(0.0));
		for (state, count) in now.miners.named() {
			self.miners.with_label_values(&[state]).set(count.into());
		}
		self.weight.set(now.total_weight as f64 / CUC as f64);
		self.finalized_block.set(now.finalized.unwrap_or(0).into());
		let age_ms = self.finalized_age_ms(now.now_ms);
		self.finalized_age.set(age_ms as f64 / 1_000.0);
		self.ready.set(now.ready.into());
		self.draining.set(now.draining.into());
		TextEncoder::new().encode_to_string(&self.registry.gather())
	}
}

fn seconds(from_ms: UnixMs, to_ms: UnixMs) -> f64 {
	to_ms.saturating_sub(from_ms) as f64 / 1_000.0
}

fn named(name: &str) -> String {
	format!("{PREFIX}{name}")
}

fn counter(name: &str, help: &str) -> IntCounter {
	IntCounter::new(named(name), help).expect(GOOD)
}

fn counters(name: &str, help: &str, label: &str) -> IntCounterVec {
	IntCounterVec::new(Opts::new(named(name), help), &[label]).expect(GOOD)
}

fn gauge(name: &str, help: &str) -> IntGauge {
	IntGauge::new(named(name), help).expect(GOOD)
}

fn float_gauge(name: &str, help: &str) -> Gauge {
	Gauge::new(named(name), help).expect(GOOD)
}

fn gauges(name: &str, help: &str, label: &str) -> GaugeVec {
	GaugeVec::new(Opts::new(named(name), help), &[label]).expect(GOOD)
}

fn histogram(name: &str, help: &str, buckets: &[f64]) -> Histogram {
	let options = HistogramOpts::new(named(name), help).buckets(buckets.to_vec());
	Histogram::with_opts(options).expect(GOOD)
}
