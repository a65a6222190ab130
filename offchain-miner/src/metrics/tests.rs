use super::*;
use crate::{device::health::LOST_AFTER, shelf::Copies};
use std::collections::BTreeSet;

fn now() -> Now {
	Now {
		jobs: 2,
		slots: 2,
		tasks_at_once: 8,
		devices: vec![device("cuda:0", 0), device("cuda:1", 0)],
		pending_results: 3,
		outbox_stuck: false,
		chain_stalled: false,
		draining: false,
	}
}

fn device(label: &str, failures: u32) -> DeviceState {
	DeviceState {
		label: label.into(),
		failures,
		is_lost: failures >= LOST_AFTER,
	}
}

#[test]
fn what_happens_shows() {
	let metrics = Metrics::new();
	metrics.take_stock(vec!["emoji".into(), "xl".into()], || {
		let stock = |used, warm| Stock {
			used,
			limit: 9,
			models: vec![Copies { loading: 0, warm }, Copies::default()],
		};
		vec![
			("cuda:0".into(), stock(5, 2)),
			("cuda:1".into(), stock(3, 1)),
		]
	});
	metrics.ended(TaskEnd::Accepted);
	metrics.batch("emoji", 3);
	metrics.batch("emoji", 1);
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
		"batches_total{model=\"emoji\"} 2",
		"batch_pictures_total{model=\"emoji\"} 4",
		"warm_models 1",
		"model_copies{model=\"emoji\"} 3",
		"model_copies{model=\"xl\"} 0",
		"model_memory_bytes{device=\"cuda:0\"} 5",
		"model_memory_bytes{device=\"cuda:1\"} 3",
		"model_memory_limit_bytes{device=\"cuda:1\"} 9",
		"device_failures{device=\"cuda:1\"} 0",
		"device_lost{device=\"cuda:1\"} 0",
		"slots 2",
		"tasks_at_once 8",
		"jobs 2",
		"pending_results 3",
		"outbox_stuck 0",
		"chain_stalled 0",
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
fn a_device_that_is_lost_is_named_and_no_health() {
	let metrics = Metrics::new();
	let mut serving = metrics.serves();
	assert!(
		!metrics.health(&now()).healthy,
		"no coordinator answers yet"
	);
	serving.is_up(true);
	assert!(metrics.health(&now()).healthy);
	metrics.error("CUDA\nerror 700");
	let with = |failures| Now {
		devices: vec![device("cuda:0", 0), device("cuda:1", failures)],
		..now()
	};
	assert!(metrics.health(&with(LOST_AFTER - 1)).healthy);
	let health = metrics.health(&with(LOST_AFTER));
	assert!(health.device_lost && !health.healthy);
	assert_eq!(health.devices_lost, ["cuda:1"]);
	assert_eq!(health.last_error.unwrap().text, "CUDA error 700");
	let text = metrics.text(&with(LOST_AFTER)).unwrap();
	for line in [
		"device_failures{device=\"cuda:0\"} 0",
		"device_failures{device=\"cuda:1\"} 3",
		"device_lost{device=\"cuda:1\"} 1",
	] {
		assert!(text.contains(line), "{text}");
	}
	serving.is_up(false);
	let draining = Now {
		draining: true,
		..now()
	};
	assert!(metrics.health(&draining).healthy);
}

#[test]
fn a_disk_that_takes_no_results_is_no_health() {
	let metrics = Metrics::new();
	let mut serving = metrics.serves();
	serving.is_up(true);
	let stuck = Now {
		outbox_stuck: true,
		..now()
	};
	let health = metrics.health(&stuck);
	assert!(health.outbox_stuck && !health.healthy);
	assert!(metrics.text(&stuck).unwrap().contains("outbox_stuck 1"));
}

#[test]
fn a_chain_that_stalls_is_no_health() {
	let metrics = Metrics::new();
	let mut serving = metrics.serves();
	serving.is_up(true);
	let stalled = Now {
		chain_stalled: true,
		..now()
	};
	let health = metrics.health(&stalled);
	assert!(health.chain_stalled && !health.healthy);
	assert!(metrics.text(&stalled).unwrap().contains("chain_stalled 1"));
}

#[test]
fn every_metric_is_in_the_docs() {
	let docs = include_str!("../../../docs/miner.md");
	let metrics = Metrics::new();
	metrics.loads("a");
	metrics.painted("a", 1.0, 1.0);
	metrics.batch("a", 1);
	let stock = || {
		let models = vec![Copies::default()];
		let stock = Stock {
			models,
			..Stock::default()
		};
		vec![("cpu".into(), stock)]
	};
	metrics.take_stock(vec!["a".into()], stock);
	let text = metrics.text(&now()).unwrap();
	let served: BTreeSet<&str> = text
		.lines()
		.filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
		.collect();
	assert_eq!(served.len(), 27);
	for name in served {
		let short = name.strip_prefix(PREFIX).unwrap();
		let is_there = [format!("`{short}`"), format!("`{short}{{")]
			.iter()
			.any(|it| docs.contains(it));
		assert!(is_there, "{name} is not in docs/miner.md");
	}
}
