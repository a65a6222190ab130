//! The coordinator over its real port.

mod admin;
mod apps;
mod artifacts;
mod bad_input;
mod configuration;
mod documents;
mod drain;
mod examples;
mod flow;
mod harness;
mod leases;
mod monitoring;
mod openai;
mod restart;
mod retention;
mod terms;
mod tls;
mod webhooks;
