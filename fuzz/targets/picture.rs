//! Uploads: any bytes are checked within bounded memory, and only what passes has the pixels asked for.
//! And pictures to start from: of any kind, and three bytes a pixel.
#![no_main]

use cuckoo_diffusion::png::{decode_any, Limits};
use libfuzzer_sys::fuzz_target;
use offchain_coordinator::verify;

fn start_from(data: &[u8]) {
	let limits = Limits {
		width: 64,
		height: 64,
		..Limits::default()
	};
	if let Ok(decoded) = decode_any(data, &limits) {
		let pixels = decoded.info.width as usize * decoded.info.height as usize;
		assert!(pixels > 0 && decoded.rgb.len() == 3 * pixels);
	}
}

fuzz_target!(|data: &[u8]| {
	let accepted = verify::picture(data, 16, 24).is_ok();
	assert!(
		!accepted || verify::picture(data, 24, 16).is_err(),
		"one size fits"
	);
	// As it would be with a head and an end that are right.
	let framed = [&verify::PNG_SIGNATURE[..], data, b"\0\0\0\0IEND\xaeB`\x82"].concat();
	let _ = verify::picture(&framed, 16, 24);
	start_from(data);
	start_from(&framed);
});
