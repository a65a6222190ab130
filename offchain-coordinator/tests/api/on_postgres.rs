//! Runs all these tests once more, on PostgreSQL.

use crate::{harness::*, postgres_server};
use std::process::Command;

#[test]
fn every_test_passes_on_postgres_too() {
	if on_postgres() {
		return;
	}
	let Some(server) = postgres_server::server() else {
		return;
	};
	let tests = std::env::current_exe().unwrap();
	let mut run = Command::new(tests);
	run.env(STORE_VARIABLE, "postgres");
	if std::env::var(postgres_server::VARIABLE).is_err() {
		run.env(postgres_server::VARIABLE, database_url(&server));
	}
	let output = run.output().unwrap();
	let text = String::from_utf8_lossy(&output.stdout);
	assert!(output.status.success(), "{text}");
}
