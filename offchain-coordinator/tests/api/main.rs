//! The coordinator over its real port.

mod admin;
mod bad_input;
mod configuration;
mod drain;
mod flow;
mod harness;
mod leases;
mod monitoring;
mod restart;
mod retention;
