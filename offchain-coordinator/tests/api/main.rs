//! The coordinator over its real port.

mod apps;
mod bad_input;
mod documents;
mod flow;
mod harness;
mod leases;
mod openai;
mod restart;
