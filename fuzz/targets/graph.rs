//! An ONNX file as a model's maker wrote it, fused as long as there is something to fuse.
#![no_main]

use cuckoo_diffusion::fusion::fuse;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
	let mut rounds = 0;
	let mut fused = fuse(data);
	// An attention may be found once others are out of the way; each takes a softmax away.
	while let Some(again) = fused {
		rounds += 1;
		assert!(again.attentions > 0 && rounds <= data.len());
		fused = fuse(&again.bytes);
	}
});
