//! The coordinator over its real port, on SQLite, and once more on PostgreSQL where there is one.

mod admin;
mod apps;
mod artifacts;
mod bad_input;
mod books;
mod by_hand;
mod configuration;
mod documents;
mod drain;
mod examples;
mod flow;
mod harness;
mod keyless;
mod leases;
mod money;
mod monitoring;
mod on_postgres;
mod openai;
#[path = "../support/postgres.rs"]
mod postgres_server;
mod process;
mod restart;
mod retention;
#[path = "../support/s3.rs"]
mod s3_server;
mod terms;
mod tls;
mod two_processes;
mod webhooks;

// What `s3_server` sets up.
use offchain_coordinator::artifacts::S3;
