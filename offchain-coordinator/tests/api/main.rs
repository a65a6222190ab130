//! The coordinator over its real port.

mod bad_input;
mod flow;
mod harness;
mod leases;
mod restart;
