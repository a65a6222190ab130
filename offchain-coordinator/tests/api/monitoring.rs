//! What is shipped for operators fits the program.

use crate::harness::*;
use offchain_coordinator::{config::Config, metrics::PREFIX};
use serde_json::{json, Value};
use std::{collections::BTreeSet, net::SocketAddr, path::Path, process::Stdio, time::Duration};

/// The names in a text that begin as metrics do.
fn names(text: &str) -> BTreeSet<String> {
	text.match_indices(PREFIX)
		.map(|(place, _)| {
			let rest = text[place..].chars();
			rest.take_while(|it| it.is_ascii_alphanumeric() || *it == '_')
				.collect()
		})
		.collect()
}

#[tokio::test]
async fn every_metric_of_the_dashboard_the_alerts_and_the_docs_is_there() {
	let directory = tempfile::tempdir().unwrap();
	let server = Server::start(directory.path()).await;
	let url = format!("http://{}/metrics", server.admin);
	let text = reqwest::get(url).await.unwrap().text().await.unwrap();
	let served = names(&text);
	for (file, text) in [
		(
			"dashboard.json",
			include_str!("../../monitoring/dashboard.json"),
		),
		("alerts.yml", include_str!("../../monitoring/alerts.yml")),
		(
			"alerts_test.yml",
			include_str!("../../monitoring/alerts_test.yml"),
		),
	] {
		let named = names(text);
		assert!(named.len() > 5, "{file} names {named:?}");
		for name in named {
			assert!(
				served.contains(&name),
				"{file} names {name}, which is not served"
			);
		}
	}
	let docs = include_str!("../../../docs/coordinator.md");
	let described = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
	for name in described.filter_map(|line| line.split(' ').next()) {
		let short = name.strip_prefix(PREFIX).unwrap();
		let is_documented = [format!("`{short}`"), format!("`{short}{{")]
			.iter()
			.any(|it| docs.contains(it));
		assert!(is_documented, "{name} is not in docs/coordinator.md");
	}
	server.stop().await;
}

#[test]
fn the_dashboard_is_json_with_a_query_in_every_panel() {
	let text = include_str!("../../monitoring/dashboard.json");
	let dashboard: serde_json::Value = serde_json::from_str(text).unwrap();
	let panels = dashboard["panels"].as_array().unwrap();
	let mut ids = BTreeSet::new();
	for panel in panels {
		assert!(
			ids.insert(panel["id"].as_u64().unwrap()),
			"{}",
			panel["title"]
		);
		let is_row = panel["type"] == "row";
		assert_eq!(
			panel["targets"].as_array().is_none(),
			is_row,
			"{}",
			panel["title"]
		);
	}
}

/// systemd must wait longer than the drain and the time that open connections have after it.
#[test]
fn the_unit_waits_for_the_drain() {
	let unit = include_str!("../../offchain-coordinator.service");
	let seconds = unit.lines().find_map(|line| {
		let seconds = line.strip_prefix("TimeoutStopSec=")?.strip_suffix('s')?;
		seconds.parse::<u64>().ok()
	});
	assert!(seconds.unwrap() > Config::default().drain_timeout + 10);
}

/// A Prometheus of its own, on a free port, that ends with the test.
struct Prometheus {
	process: std::process::Child,
	url: String,
}

impl Drop for Prometheus {
	fn drop(&mut self) {
		// It may have ended by itself, which the test has noticed.
		let _ = self.process.kill();
		let _ = self.process.wait();
	}
}

impl Prometheus {
	fn start(folder: &Path, scraped: SocketAddr) -> Self {
		let rules = concat!(env!("CARGO_MANIFEST_DIR"), "/monitoring/alerts.yml");
		let config = format!(
			"global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: ['{rules}']\n\
			 scrape_configs:\n- job_name: cuckoo-coordinator\n  static_configs: [{{targets: ['{scraped}']}}]\n"
		);
		let file = folder.join("prometheus.yml");
		std::fs::write(&file, config).unwrap();
		let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
		let address = free.local_addr().unwrap();
		drop(free);
		let log = std::fs::File::create(folder.join("prometheus.log")).unwrap();
		let process = std::process::Command::new("prometheus")
			.arg(format!("--config.file={}", file.display()))
			.arg(format!(
				"--storage.tsdb.path={}",
				folder.join("tsdb").display()
			))
			.arg(format!("--web.listen-address={address}"))
			.stdout(Stdio::null())
			.stderr(log)
			.spawn()
			.expect("prometheus is installed: scripts/setup --monitoring");
		Self {
			process,
			url: format!("http://{address}"),
		}
	}

	/// What the API says under this path; `None` while it does not answer.
	async fn get(&self, path: &str) -> Option<Value> {
		let reply = reqwest::get(format!("{}/api/v1/{path}", self.url))
			.await
			.ok()?;
		let reply: Value = reply.json().await.ok()?;
		assert_eq!(reply["status"], "success", "{path}: {reply}");
		Some(reply["data"].clone())
	}

	/// The values that a query gives now; none while Prometheus does not answer.
	async fn values(&self, query: &str) -> Vec<f64> {
		let data = self.get(&format!("query?query={}", encoded(query))).await;
		let result = data.as_ref().and_then(|data| data["result"].as_array());
		let value = |series: &Value| -> Option<f64> { series["value"][1].as_str()?.parse().ok() };
		result.into_iter().flatten().filter_map(value).collect()
	}
}

fn encoded(query: &str) -> String {
	query.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// The metrics in a text, each with its labels' conditions.
fn selectors(text: &str) -> BTreeSet<String> {
	let ends = |rest: &str| {
		let name = rest.find(|it: char| !it.is_ascii_alphanumeric() && it != '_')?;
		if rest[name..].starts_with('{') {
			Some(name + rest[name..].find('}')? + 1)
		} else {
			Some(name)
		}
	};
	let selector = |(place, _): (usize, &str)| {
		let rest: &str = &text[place..];
		rest[..ends(rest).unwrap_or(rest.len())].to_owned()
	};
	text.match_indices(PREFIX).map(selector).collect()
}

/// What the dashboard asks for.
fn panel_queries() -> Vec<String> {
	let text = include_str!("../../monitoring/dashboard.json");
	let dashboard: Value = serde_json::from_str(text).unwrap();
	let panels = dashboard["panels"].as_array().unwrap();
	let targets = panels
		.iter()
		.filter_map(|panel| panel["targets"].as_array());
	let queries = targets
		.flatten()
		.map(|target| target["expr"].as_str().unwrap());
	queries
		.map(|query| {
			query
				.replace("$instance", ".+")
				.replace("$__rate_interval", "30s")
		})
		.collect()
}

/// A name or a label that is not served gives nothing, for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs prometheus: scripts/test monitoring"]
async fn prometheus_answers_every_query_of_the_dashboard_and_the_alerts() {
	const TRIES: u32 = 120;
	let directory = tempfile::tempdir().unwrap();
	let server = Server::start(&directory.path().join("data")).await;
	let mining = mine(&server, "alice").await;
	let prometheus = Prometheus::start(directory.path(), server.admin);

	let mut left = panel_queries();
	assert!(left.len() > 20, "{left:?}");
	left.extend(selectors(include_str!("../../monitoring/alerts.yml")));
	for _ in 0..TRIES {
		// Something must happen between any two scrapes for rates to be there.
		server.submit("a red apple").await;
		let mut unanswered = Vec::new();
		for query in left {
			let values = prometheus.values(&query).await;
			if values.is_empty() || values.iter().all(|value| value.is_nan()) {
				unanswered.push(query);
			}
		}
		left = unanswered;
		if left.is_empty() {
			break;
		}
		tokio::time::sleep(Duration::from_secs(1)).await;
	}
	let log = std::fs::read_to_string(directory.path().join("prometheus.log")).unwrap();
	assert!(left.is_empty(), "nothing answers {left:#?}\n{log}");

	let instances = format!("label/instance/values?match[]={PREFIX}build_info");
	let instances = prometheus.get(&instances).await.unwrap();
	assert_eq!(instances, json!([server.admin.to_string()]));
	let groups = prometheus.get("rules").await.unwrap();
	let rules = groups["groups"][0]["rules"].as_array().unwrap();
	assert!(rules.len() >= 10, "{groups}");
	for rule in rules {
		assert_eq!(rule["health"], "ok", "{rule}");
	}
	mining.abort();
	drop(prometheus);
	server.stop().await;
}

#[test]
fn selectors_are_found_with_their_labels() {
	let found = selectors(
		"x cuckoo_coordinator_up{a=\"b\"} > cuckoo_coordinator_y[5m] cuckoo_coordinator_z",
	);
	let expected = [
		"cuckoo_coordinator_up{a=\"b\"}",
		"cuckoo_coordinator_y",
		"cuckoo_coordinator_z",
	];
	assert_eq!(found, expected.map(str::to_owned).into());
}
