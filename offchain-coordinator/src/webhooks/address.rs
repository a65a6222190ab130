//! Which addresses a webhook may lead to. An app names the host, so it must not reach what only this
//! machine or its network can reach.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether an address is one of the public internet, whichever way it is written.
pub fn is_public(address: IpAddr) -> bool {
	match address {
		IpAddr::V4(address) => is_public_v4(address),
		IpAddr::V6(address) => is_public_v6(address),
	}
}

fn is_public_v4(address: Ipv4Addr) -> bool {
	let [a, b, c, _] = address.octets();
	let reserved = matches!(
		(a, b, c),
		(0 | 10 | 127 | 224..=255, _, _)
			| (100, 64..=127, _)
			| (169, 254, _)
			| (172, 16..=31, _)
			| (192, 0, 0 | 2)
			| (192, 88, 99)
			| (192, 168, _)
			| (198, 18 | 19, _)
			| (198, 51, 100)
			| (203, 0, 113)
	);
	!reserved
}

fn is_public_v6(address: Ipv6Addr) -> bool {
	let segments = address.segments();
	let embedded = |high: u16, low: u16| {
		let [a, b] = high.to_be_bytes();
		let [c, d] = low.to_be_bytes();
		is_public_v4(Ipv4Addr::new(a, b, c, d))
	};
	match segments {
		// IPv4 in another dress: mapped, translated, 6to4.
		[0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
			embedded(high, low)
		},
		[0x2002, high, low, ..] => embedded(high, low),
		// Teredo, documentation, and what is set aside beside them.
		[0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x3fff, 0..=0xfff, ..] => false,
		// Global unicast, which is all that the internet routes.
		[first, ..] => (0x2000..=0x3fff).contains(&first),
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn only_the_public_internet_is_public() {
		let public = |text: &str| is_public(text.parse().unwrap());
		for good in [
			"1.1.1.1",
			"8.8.8.8",
			"100.63.255.255",
			"100.128.0.1",
			"172.15.0.1",
			"172.32.0.1",
			"192.167.0.1",
			"223.255.255.255",
			"2606:4700::1111",
			"2001:4860:4860::8888",
			"::ffff:1.1.1.1",
			"64:ff9b::1.1.1.1",
			"2002:101:101::",
		] {
			assert!(public(good), "{good}");
		}
		for bad in [
			"0.0.0.0",
			"10.1.2.3",
			"100.64.0.1",
			"127.0.0.1",
			"127.255.255.254",
			"169.254.169.254",
			"172.16.0.1",
			"172.31.255.255",
			"192.0.0.1",
			"192.0.2.1",
			"192.168.1.1",
			"198.18.0.1",
			"198.51.100.1",
			"203.0.113.1",
			"224.0.0.1",
			"240.0.0.1",
			"255.255.255.255",
			"::",
			"::1",
			"::ffff:127.0.0.1",
			"::ffff:10.0.0.1",
			"::127.0.0.1",
			"64:ff9b::a9fe:a9fe",
			"64:ff9b:1::1",
			"2001::1",
			"2001:db8::1",
			"2002:7f00:1::",
			"3fff::1",
			"fc00::1",
			"fd12:3456::1",
			"fe80::1",
			"fec0::1",
			"ff02::1",
		] {
			assert!(!public(bad), "{bad}");
		}
	}
}
