//! Uploads: any bytes are checked within bounded memory, and only what passes has the pixels asked for.
#![no_main]

use libfuzzer_sys::fuzz_target;
use offchain_coordinator::verify;

fuzz_target!(|data: &[u8]| {
	let accepted = verify::picture(data, 16, 24).is_ok();
	assert!(
		!accepted || verify::picture(data, 24, 16).is_err(),
		"one size fits"
	);
	// As it would be with a head and an end that are right.
	let framed = [&verify::PNG_SIGNATURE[..], data, b"\0\0\0\0IEND\xaeB`\x82"].concat();
	let _ = verify::picture(&framed, 16, 24);
});
