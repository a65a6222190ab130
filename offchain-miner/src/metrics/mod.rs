//! What a miner counts and measures, in Prometheus' text format, and whether it is well. No label has a
//! value that comes from outside: models are named as their folders are, and those are the user's.

use crate::{clock::now_ms, device::DeviceState, shelf::Stock, ui::printable};
use prometheus::{
	core::Collector, Gauge, GaugeVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts,
	Registry, TextEncoder,
};
use serde::Serialize;
use std::{
	fmt,
	sync::{Mutex, OnceLock, PoisonError},
};

/// The content type of the text.
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;
/// In front of every name.
pub const PREFIX: &str = "cuckoo_miner_";

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

/// Where the models' state is read when somebody asks: of each device, by what it is called.
type Stocktaking = Box<dyn Fn() -> Vec<(String, Stock)> + Send + Sync>;

/// What is only known when it is asked for.
#[derive(Clone, Debug, Default)]
pub struct Now {
	/// Jobs that the devices have, those at work included.
	pub jobs: usize,
	/// Threads that work on batches.
	pub slots: usize,
	/// Jobs at once: the slots times the tasks of a batch.
	pub tasks_at_once: u16,
	/// How each device does.
	pub devices: Vec<DeviceState>,
	/// Results that wait for their acknowledgement.
	pub pending_results: usize,
	/// Whether the disk did not take the last result.
	pub outbox_stuck: bool,
	/// Whether no newer block has come for long.
	pub chain_stalled: bool,
	/// Whether it takes no new tasks any more.
	pub draining: bool,
}

/// Whether the miner is well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Health {
	/// It makes pictures, and has a coordinator or is told to stop.
	pub healthy: bool,
	/// A device failed several times on end.
	pub device_lost: bool,
	/// Which ones.
	pub devices_lost: Vec<String>,
	/// The disk takes no results.
	pub outbox_stuck: bool,
	/// No newer block has come for long.
	pub chain_stalled: bool,
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
	batches: IntCounterVec,
	batch_pictures: IntCounterVec,
	loads: IntCounterVec,
	errors: IntCounter,
	last_error_seconds: Gauge,
	coordinators_served: IntGauge,
	coordinators_up: IntGauge,
	jobs: IntGauge,
	slots: IntGauge,
	tasks_at_once: IntGauge,
	pending_results: IntGauge,
	outbox_stuck: IntGauge,
	chain_stalled: IntGauge,
	draining: IntGauge,
	device_failures: IntGaugeVec,
	device_lost: IntGaugeVec,
	warm_models: IntGauge,
	copies: GaugeVec,
	model_memory: IntGaugeVec,
	model_memory_limit: IntGaugeVec,
	resident: IntGauge,
	last_error: Mutex<Option<LastError>>,
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
			batches: counters(
				"batches_total",
				"Runs of a model, each for one picture or more.",
				"model",
			),
			batch_pictures: counters(
				"batch_pictures_total",
				"Pictures that these runs began with.",
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
			slots: gauge(
				"slots",
				"Batches that are worked on at once, on all devices.",
			),
			tasks_at_once: gauge(
				"tasks_at_once",
				"Tasks that are worked on at once: the slots times the tasks of a batch.",
			),
			pending_results: gauge("pending_results", "Results not acknowledged yet."),
			outbox_stuck: gauge(
				"outbox_stuck",
				"1 while the disk takes no results, and no work is asked for, else 0.",
			),
			chain_stalled: gauge(
				"chain_stalled",
				"1 while no newer block has come for minutes, else 0.",
			),
			draining: gauge("draining", "1 while no new tasks are taken, else 0."),
			device_failures: int_gauges(
				"device_failures",
				"Failures of a device since its last success.",
				"device",
			),
			device_lost: int_gauges(
				"device_lost",
				"1 while a device failed so often that it leaves the tasks to others, else 0.",
				"device",
			),
			warm_models: gauge("warm_models", "Models with a loaded copy."),
			copies: gauges("model_copies", "Loaded copies, by model.", "model"),
			model_memory: int_gauges(
				"model_memory_bytes",
				"What the models loaded on a device need, by the size of their files.",
				"device",
			),
			model_memory_limit: int_gauges(
				"model_memory_limit_bytes",
				"What they may need.",
				"device",
			),
			resident: gauge("resident_memory_bytes", "The process's memory in RAM."),
			last_error: Mutex::default(),
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
			Box::new(self.batches.clone()),
			Box::new(self.batch_pictures.clone()),
			Box::new(self.loads.clone()),
			Box::new(self.errors.clone()),
			Box::new(self.last_error_seconds.clone()),
			Box::new(self.coordinators_served.clone()),
			Box::new(self.coordinators_up.clone()),
			Box::new(self.jobs.clone()),
			Box::new(self.slots.clone()),
			Box::new(self.tasks_at_once.clone()),
			Box::new(self.pending_results.clone()),
			Box::new(self.outbox_stuck.clone()),
			Box::new(self.chain_stalled.clone()),
			Box::new(self.draining.clone()),
			Box::new(self.device_failures.clone()),
			Box::new(self.device_lost.clone()),
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

	/// From now on the models' state is read here, for each device. The names are in the order of the
	/// shelves' models.
	pub fn take_stock(
		&self,
		names: Vec<String>,
		stock: impl Fn() -> Vec<(String, Stock)> + Send + Sync + 'static,
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

	/// A run of a model begins, for so many pictures.
	pub fn batch(&self, model: &str, pictures: usize) {
		self.batches.with_label_values(&[model]).inc();
		self.batch_pictures
			.with_label_values(&[model])
			.inc_by(pictures as u64);
	}

	/// A picture was made; the seconds are its share of the batch's.
	pub fn painted(&self, model: &str, megapixel_steps: f64, seconds: f64) {
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
		let lost = now.devices.iter().filter(|device| device.is_lost);
		let devices_lost: Vec<String> = lost.map(|device| device.label.clone()).collect();
		let device_lost = !devices_lost.is_empty();
		let coordinators_up = self.coordinators_up.get();
		Health {
			healthy: !device_lost
				&& !now.outbox_stuck
				&& !now.chain_stalled
				&& (coordinators_up > 0 || now.draining),
			device_lost,
			devices_lost,
			outbox_stuck: now.outbox_stuck,
			chain_stalled: now.chain_stalled,
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
		self.slots.set(count(now.slots));
		self.tasks_at_once.set(now.tasks_at_once.into());
		self.pending_results.set(count(now.pending_results));
		self.outbox_stuck.set(now.outbox_stuck.into());
		self.chain_stalled.set(now.chain_stalled.into());
		self.draining.set(now.draining.into());
		for device in &now.devices {
			let of = |gauges: &IntGaugeVec| gauges.with_label_values(&[device.label.as_str()]);
			of(&self.device_failures).set(device.failures.into());
			of(&self.device_lost).set(device.is_lost.into());
		}
		self.resident.set(bytes(resident_bytes().unwrap_or(0)));
		if let Some((names, stock)) = self.stock.get() {
			self.show_stock(names, &stock());
		}
		TextEncoder::new().encode_to_string(&self.registry.gather())
	}

	fn show_stock(&self, names: &[String], devices: &[(String, Stock)]) {
		for (device, stock) in devices {
			let of = |gauges: &IntGaugeVec| gauges.with_label_values(&[device.as_str()]);
			of(&self.model_memory).set(bytes(stock.used));
			of(&self.model_memory_limit).set(bytes(stock.limit));
		}
		let mut warm_models = 0;
		for (model, name) in names.iter().enumerate() {
			let on = |stock: &Stock| stock.models.get(model).map_or(0, |copies| copies.warm);
			let copies: usize = devices.iter().map(|(_, stock)| on(stock)).sum();
			self.copies
				.with_label_values(&[name.as_str()])
				.set(copies as f64);
			warm_models += usize::from(copies > 0);
		}
		self.warm_models.set(count(warm_models));
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

fn int_gauges(name: &str, help: &str, label: &str) -> IntGaugeVec {
	IntGaugeVec::new(Opts::new(named(name), help), &[label]).expect(GOOD)
}

fn float_gauge(name: &str, help: &str) -> Gauge {
	Gauge::new(named(name), help).expect(GOOD)
}

fn gauges(name: &str, help: &str, label: &str) -> GaugeVec {
	GaugeVec::new(Opts::new(named(name), help), &[label]).expect(GOOD)
}

#[cfg(test)]
mod tests;
