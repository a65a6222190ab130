//! What is shipped for operators fits the program.

use crate::harness::*;
use offchain_coordinator::{config::Config, metrics::PREFIX};
use std::collections::BTreeSet;

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
