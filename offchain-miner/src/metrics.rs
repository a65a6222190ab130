//! What a miner counts and measures, in Prometheus' text format, and whether it is well. No label has a
//! value that comes from outside: models are named as their folders are, and those are the user's.

use crate::{clock::now_ms, shelf::Stock, ui::printable};
use prometheus::{
	core::Collector, Gauge, GaugeVec, IntCounter, IntCounterVec, IntGauge, Opts, Registry,
	TextEncoder,
};
use serde::Serialize;
use std::{
	fmt,
	sync::{
		atomic::{AtomicU32, Ordering},
		Mutex, OnceLock, PoisonError,
	},
};

/// The content type of the text.
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;
/// In front of every name.
pub const PREFIX: &str = "cuckoo_miner_";
/// After so many failures of the device without one success it is taken to be lost.
const FAILURES_OF_A_LOST_DEVICE: u32 = 3;

/// Why making and registering a metric cannot fail.
const GOOD: &str = "names are fixed here and every test makes all of them; qed";

/// How a task ended, as this miner sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskEnd {
	/// The coordinator took the result.
	Accepted,
	/// The coordinator refused the result for good.
	Refused,
	/// The engine failed, or the result could not be kept.
	Failed,
	/// Given back unworked: no room, stopping, or the assignment was not in order.
	GivenBack,
	/// Cancelled, handed on, or its lease ended.
	Dropped,
}

impl TaskEnd {
	const ALL: [TaskEnd; 5] = [
		TaskEnd::Accepted,
		TaskEnd::Refused,
		TaskEnd::Failed,
		TaskEnd::GivenBack,
		TaskEnd::Dropped,
	];

	fn name(self) -> &'static str {
		match self {
			TaskEnd::Accepted => "accepted",
			TaskEnd::Refused => "refused",
			TaskEnd::Failed => "failed",
			TaskEnd::GivenBack => "given_back",
			TaskEnd::Dropped => "dropped",
		}
	}
}

/// Where the models' state is read when somebody asks.
type Stocktaking = Box<dyn Fn() -> Stock + Send + Sync>;

/// What is only known when it is asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Now {
	/// Jobs that the device has, those at work included.
	pub jobs: usize,
	/// Jobs at once.
	pub slots: u16,
	/// Results that wait for their acknowledgement.
	pub pending_results: usize,
	/// Whether it takes no new tasks any more.
	pub draining: bool,
}

/// Whether the miner is well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Health {
	/// It makes pictures, and has a coordinator or is told to stop.
	pub healthy: bool,
	/// The device failed several times on end.
	pub device_lost: bool,
	/// Coordinators that answered the last call.
	pub coordinators_up: i64,
	/// Coordinators that are served.
	pub coordinators_served: i64,
	/// It takes no new tasks any more.
	pub draining: bool,
	/// What went wrong last, and when.
	pub last_error: Option<LastError>,
}

/// What went wrong last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LastError {
	/// When, in milliseconds of Unix time.
	pub at_ms: u64,
	/// As a sentence.
	pub text: String,
}

/// Every metric of one miner.
pub struct Metrics {
	registry: Registry,
	tasks: IntCounterVec,
	pictures: IntCounterVec,
	work_seconds: prometheus::CounterVec,
	megapixel_steps: prometheus::CounterVec,
	speed: GaugeVec,
	loads: IntCounterVec,
	errors: IntCounter,
	last_error_seconds: Gauge,
	coordinators_served: IntGauge,
	coordinators_up: IntGauge,
	jobs: IntGauge,
	slots: IntGauge,
	pending_results: IntGauge,
	draining: IntGauge,
	device_failures: IntGauge,
	warm_models: IntGauge,
	copies: GaugeVec,
	model_memory: IntGauge,
	model_memory_limit: IntGauge,
	resident: IntGauge,
	last_error: Mutex<Option<LastError>>,
	failures: AtomicU32,
	stock: OnceLock<(Vec<String>, Stocktaking)>,
}

impl Default for Metrics {
	fn default() -> Self {
		Self::new()
	}
}

impl fmt::Debug for Metrics {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		f.debug_struct("Metrics").finish_non_exhaustive()
	}
}

impl Metrics {
	/// Nothing has happened yet.
	pub fn new() -> Self {
		let metrics = Self {
			registry: Registry::new(),
			tasks: counters("tasks_total", "Tasks that ended, by how.", "outcome"),
			pictures: counters("pictures_total", "Pictures made, by model.", "model"),
			work_seconds: float_counters(
				"work_seconds_total",
				"Time the device spent on pictures, by model; without loading.",
				"model",
			),
			megapixel_steps: float_counters(
				"megapixel_steps_total",
				"Megapixels times steps of the pictures made, by model.",
				"model",
			),
			speed: gauges(
				"seconds_per_megapixel_step",
				"Of the last picture, by model.",
				"model",
			),
			loads: counters("model_loads_total", "Times a model was loaded.", "model"),
			errors: IntCounter::new(named("errors_total"), "Errors of any kind.").expect(GOOD),
			last_error_seconds: float_gauge(
				"last_error_timestamp_seconds",
				"When the last error was, in Unix time; 0 if there was none.",
			),
			coordinators_served: gauge("coordinators_served", "Coordinators that are served."),
			coordinators_up: gauge(
				"coordinators_up",
				"Coordinators served that answered the last call.",
			),
			jobs: gauge("jobs", "Tasks at work or waiting for the device."),
			slots: gauge("slots", "Tasks that the device works on at once."),
			pending_results: gauge("pending_results", "Results not acknowledged yet."),
			draining: gauge("draining", "1 while no new tasks are taken, else 0."),
			device_failures: gauge(
				"device_failures",
				"Failures of the device since its last success.",
			),
			warm_models: gauge("warm_models", "Models with a loaded copy."),
			copies: gauges("model_copies", "Loaded copies, by model.", "model"),
			model_memory: gauge(
				"model_memory_bytes",
				"What the loaded models need, by the size of their files.",
			),
			model_memory_limit: gauge("model_memory_limit_bytes", "What they may need."),
			resident: gauge("resident_memory_bytes", "The process's memory in RAM."),
			last_error: Mutex::default(),
			failures: AtomicU32::new(0),
			stock: OnceLock::new(),
		};
		metrics.register();
		for end in TaskEnd::ALL {
			// A counter that is there from the start has no gap in front of its first event.
			metrics.tasks.with_label_values(&[end.name()]).inc_by(0);
		}
		metrics
	}

	fn register(&self) {
		let build = gauges(
			"build_info",
			"Always 1; the version is in the label.",
			"version",
		);
		build
			.with_label_values(&[env!("CARGO_PKG_VERSION")])
			.set(1.0);
		let all: Vec<Box<dyn Collector>> = vec![
			Box::new(build),
			Box::new(self.tasks.clone()),
			Box::new(self.pictures.clone()),
			Box::new(self.work_seconds.clone()),
			Box::new(self.megapixel_steps.clone()),
			Box::new(self.speed.clone()),
			Box::new(self.loads.clone()),
			Box::new(self.errors.clone()),
			Box::new(self.last_error_seconds.clone()),
			Box::new(self.coordinators_served.clone()),
			Box::new(self.coordinators_up.clone()),
			Box::new(self.jobs.clone()),
			Box::new(self.slots.clone()),
			Box::new(self.pending_results.clone()),
			Box::new(self.draining.clone()),
			Box::new(self.device_failures.clone()),
			Box::new(self.warm_models.clone()),
			Box::new(self.copies.clone()),
			Box::new(self.model_memory.clone()),
			Box::new(self.model_memory_limit.clone()),
			Box::new(self.resident.clone()),
		];
		for collector in all {
			self.registry.register(collector).expect(GOOD);
		}
	}

	/// From now on the models' state is read here. The names are in the order of the shelf's models.
	pub fn take_stock(
		&self,
		names: Vec<String>,
		stock: impl Fn() -> Stock + Send + Sync + 'static,
	) {
		// A second engine in the process would be another miner's, with metrics of its own.
		let _ = self.stock.set((names, Box::new(stock)));
	}

	/// A task ended.
	pub fn ended(&self, end: TaskEnd) {
		self.tasks.with_label_values(&[end.name()]).inc();
	}

	/// A model is being loaded.
	pub fn loads(&self, model: &str) {
		self.loads.with_label_values(&[model]).inc();
	}

	/// A picture was made.
	pub fn painted(&self, model: &str, megapixel_steps: f64, seconds: f64) {
		self.failures.store(0, Ordering::Relaxed);
		self.pictures.with_label_values(&[model]).inc();
		self.work_seconds
			.with_label_values(&[model])
			.inc_by(seconds);
		self.megapixel_steps
			.with_label_values(&[model])
			.inc_by(megapixel_steps);
		if megapixel_steps > 0.0 {
			self.speed
				.with_label_values(&[model])
				.set(seconds / megapixel_steps);
		}
	}

	/// The device failed at a picture.
	pub fn device_failed(&self, text: &str) {
		self.failures.fetch_add(1, Ordering::Relaxed);
		self.error(text);
	}

	/// Something went wrong.
	pub fn error(&self, text: &str) {
		let at_ms = now_ms();
		self.errors.inc();
		self.last_error_seconds.set(at_ms as f64 / 1_000.0);
		let error = LastError {
			at_ms,
			text: printable(text),
		};
		*self
			.last_error
			.lock()
			.unwrap_or_else(PoisonError::into_inner) = Some(error);
	}

	/// Whether a coordinator that is served answers, until dropped.
	pub fn serves(&self) -> Serving {
		self.coordinators_served.inc();
		Serving {
			served: self.coordinators_served.clone(),
			up: self.coordinators_up.clone(),
			is_up: false,
		}
	}

	/// Whether the miner is well.
	pub fn health(&self, now: &Now) -> Health {
		let device_lost = self.failures.load(Ordering::Relaxed) >= FAILURES_OF_A_LOST_DEVICE;
		let coordinators_up = self.coordinators_up.get();
		Health {
			healthy: !device_lost && (coordinators_up > 0 || now.draining),
			device_lost,
			coordinators_up,
			coordinators_served: self.coordinators_served.get(),
			draining: now.draining,
			last_error: self
				.last_error
				.lock()
				.unwrap_or_else(PoisonError::into_inner)
				.clone(),
		}
	}

	/// Everything as text.
	pub fn text(&self, now: &Now) -> Result<String, prometheus::Error> {
		self.jobs.set(count(now.jobs));
		self.slots.set(now.slots.into());
		self.pending_results.set(count(now.pending_results));
		self.draining.set(now.draining.into());
		let failures = self.failures.load(Ordering::Relaxed);
		self.device_failures.set(failures.into());
		self.resident.set(bytes(resident_bytes().unwrap_or(0)));
		if let Some((names, stock)) = self.stock.get() {
			let stock = stock();
			let warm = stock.models.iter().filter(|it| it.warm > 0).count();
			self.warm_models.set(count(warm));
			self.model_memory.set(bytes(stock.used));
			self.model_memory_limit.set(bytes(stock.limit));
			for (name, copies) in names.iter().zip(&stock.models) {
				let copies = copies.warm as f64;
				self.copies.with_label_values(&[name.as_str()]).set(copies);
			}
		}
		TextEncoder::new().encode_to_string(&self.registry.gather())
	}
}

/// Counts a coordinator while it is served.
pub struct Serving {
	served: IntGauge,
	up: IntGauge,
	is_up: bool,
}

impl Serving {
	/// It answered, or it did not.
	pub fn is_up(&mut self, is_up: bool) {
		match (self.is_up, is_up) {
			(false, true) => self.up.inc(),
			(true, false) => self.up.dec(),
			_ => {},
		}
		self.is_up = is_up;
	}
}

impl Drop for Serving {
	fn drop(&mut self) {
		self.is_up(false);
		self.served.dec();
	}
}

/// The process's memory in RAM, where the system tells.
pub fn resident_bytes() -> Option<u64> {
	let status = std::fs::read_to_string("/proc/self/status").ok()?;
	let line = status.lines().find_map(|it| it.strip_prefix("VmRSS:"))?;
	let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
	Some(kib * 1024)
}

fn count(number: usize) -> i64 {
	i64::try_from(number).unwrap_or(i64::MAX)
}

fn bytes(number: u64) -> i64 {
	i64::try_from(number).unwrap_or(i64::MAX)
}

fn named(name: &str) -> String {
	format!("{PREFIX}{name}")
}

fn counters(name: &str, help: &str, label: &str) -> IntCounterVec {
	IntCounterVec::new(Opts::new(named(name), help), &[label]).expect(GOOD)
}

fn float_counters(name: &str, help: &str, label: &str) -> prometheus::CounterVec {
	prometheus::CounterVec::new(Opts::new(named(name), help), &[label]).expect(GOOD)
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

#[cfg(test)]
mod tests {
	use super::*;
	use crate::shelf::Copies;
	use std::collections::BTreeSet;

	fn now() -> Now {
		Now {
			jobs: 2,
			slots: 1,
			pending_results: 3,
			draining: false,
		}
	}

	#[test]
	fn what_happens_shows() {
		let metrics = Metrics::new();
		metrics.take_stock(vec!["emoji".into(), "xl".into()], || Stock {
			used: 5,
			limit: 9,
			models: vec![
				Copies {
					loading: 0,
					warm: 2,
				},
				Copies::default(),
			],
		});
		metrics.ended(TaskEnd::Accepted);
		metrics.painted("emoji", 0.5, 2.0);
		let mut serving = metrics.serves();
		serving.is_up(true);
		serving.is_up(true);
		let text = metrics.text(&now()).unwrap();
		for line in [
			"tasks_total{outcome=\"accepted\"} 1",
			"tasks_total{outcome=\"failed\"} 0",
			"seconds_per_megapixel_step{model=\"emoji\"} 4",
			"work_seconds_total{model=\"emoji\"} 2",
			"warm_models 1",
			"model_copies{model=\"emoji\"} 2",
			"model_copies{model=\"xl\"} 0",
			"model_memory_bytes 5",
			"model_memory_limit_bytes 9",
			"jobs 2",
			"pending_results 3",
			"coordinators_up 1",
			"coordinators_served 1",
			"last_error_timestamp_seconds 0",
		] {
			assert!(
				text.contains(&format!("\n{PREFIX}{line}\n")),
				"{line}\n{text}"
			);
		}
		drop(serving);
		let text = metrics.text(&now()).unwrap();
		assert!(text.contains("coordinators_up 0") && text.contains("coordinators_served 0"));
	}

	#[test]
	fn a_lost_device_is_no_health_and_a_success_heals_it() {
		let metrics = Metrics::new();
		let mut serving = metrics.serves();
		assert!(
			!metrics.health(&now()).healthy,
			"no coordinator answers yet"
		);
		serving.is_up(true);
		assert!(metrics.health(&now()).healthy);
		for _ in 0..FAILURES_OF_A_LOST_DEVICE {
			metrics.device_failed("CUDA\nerror 700");
		}
		let health = metrics.health(&now());
		assert!(health.device_lost && !health.healthy);
		assert_eq!(health.last_error.unwrap().text, "CUDA error 700");
		metrics.painted("emoji", 1.0, 1.0);
		assert!(metrics.health(&now()).healthy);
		serving.is_up(false);
		let draining = Now {
			draining: true,
			..now()
		};
		assert!(metrics.health(&draining).healthy);
	}

	#[test]
	fn every_metric_is_in_the_docs() {
		let docs = include_str!("../../docs/miner.md");
		let metrics = Metrics::new();
		metrics.loads("a");
		metrics.painted("a", 1.0, 1.0);
		let stock = || Stock {
			used: 0,
			limit: 0,
			models: vec![Copies::default()],
		};
		metrics.take_stock(vec!["a".into()], stock);
		let text = metrics.text(&now()).unwrap();
		let served: BTreeSet<&str> = text
			.lines()
			.filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
			.collect();
		assert_eq!(served.len(), 21);
		for name in served {
			let short = name.strip_prefix(PREFIX).unwrap();
			let is_there = [format!("`{short}`"), format!("`{short}{{")]
				.iter()
				.any(|it| docs.contains(it));
			assert!(is_there, "{name} is not in docs/miner.md");
		}
	}
}
