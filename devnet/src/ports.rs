//! Free ports on the loopback interface.
//!
//! They are taken from below the kernel's ephemeral range. A client that keeps dialling a port in that
//! range while its server is down may be given that very port as its own and connect to itself; the
//! server then cannot come back. These networks kill and restart servers, so they must not be there.

use crate::{Error, Result};
use rand::RngExt;
use std::{collections::HashSet, net::TcpListener};

/// Lowest port chosen: above the ports that people give to services.
const LOWEST: u16 = 20_000;
/// Where Linux's ephemeral range begins when /proc does not say.
const DEFAULT_EPHEMERAL_START: u16 = 32_768;
/// How many ports are tried before giving up.
const TRIES: usize = 1_000;

/// `COUNT` different ports that are free now.
pub fn free_ports<const COUNT: usize>() -> Result<[u16; COUNT]> {
	let end = ephemeral_start().max(LOWEST + TRIES as u16);
	let mut random = rand::rng();
	let mut found = [0; COUNT];
	let mut seen = HashSet::new();
	let mut next = 0;
	for _ in 0..TRIES {
		if next == COUNT {
			return Ok(found);
		}
		let port = random.random_range(LOWEST..end);
		if seen.insert(port) && TcpListener::bind(("127.0.0.1", port)).is_ok() {
			found[next] = port;
			next += 1;
		}
	}
	Err(Error::NoPort(LOWEST, end))
}

fn ephemeral_start() -> u16 {
	std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
		.ok()
		.and_then(|range| range.split_whitespace().next()?.parse().ok())
		.unwrap_or(DEFAULT_EPHEMERAL_START)
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn ports_are_free_different_and_not_ephemeral() {
		let ports = free_ports::<8>().unwrap();
		assert_eq!(ports.iter().collect::<HashSet<_>>().len(), 8);
		for port in ports {
			assert!((LOWEST..ephemeral_start()).contains(&port), "{port}");
			TcpListener::bind(("127.0.0.1", port)).unwrap();
		}
	}
}
