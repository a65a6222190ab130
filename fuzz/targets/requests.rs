//! The parameters of the JSON-RPC methods, without a coordinator: what decodes can be checked and
//! settled, and what is settled lies within the limits.
#![no_main]

use cuckoo_coordinator_api::{
	limits,
	miner::{Hello, Poll, Progress, Submit},
	task::{BatchTask, ModelInfo, SubmitOptions, TaskRequest},
};
use cuckoo_primitives::H256;
use libfuzzer_sys::fuzz_target;
use offchain_coordinator::{miners, settle};
use serde_json::from_slice;

fn model() -> ModelInfo {
	ModelInfo {
		hash: H256::repeat_byte(1),
		name: "tiny".into(),
		default_size: 64,
		size_multiple: 8,
		max_size: 128,
		default_steps: 20,
		default_guidance_milli: 3_000,
	}
}

fn task(request: TaskRequest) {
	let _ = settle::request_hash(&request);
	let Ok(spec) = settle::settle(request, &model(), 7) else {
		return;
	};
	assert!((1..=limits::MAX_STEPS).contains(&spec.steps));
	assert!((8..=128).contains(&spec.width) && spec.width % 8 == 0);
	assert!((8..=128).contains(&spec.height) && spec.height % 8 == 0);
	assert!(spec.prompt.len() <= limits::MAX_PROMPT_BYTES);
	assert!(settle::pixel_steps(&spec) > 0);
	let _ = spec.hash();
}

fn options(options: &SubmitOptions) {
	if let Ok(priority) = settle::priority(options.priority) {
		assert!(priority <= limits::MAX_PRIORITY);
	}
	let _ = settle::max_wait_ms(options.max_wait_ms);
}

fuzz_target!(|data: &[u8]| {
	if let Ok(request) = from_slice(data) {
		task(request);
	}
	if let Ok(asked) = from_slice(data) {
		options(&asked);
	}
	if let Ok(batch) = from_slice::<Vec<BatchTask>>(data) {
		for one in batch {
			task(one.spec);
			options(&one.options.unwrap_or_default());
		}
	}
	if let Ok(hello) = from_slice::<Hello>(data) {
		let checked = miners::check(&hello);
		assert!(checked.is_err() || (1..=limits::MAX_SLOTS).contains(&hello.slots));
	}
	let _ = from_slice::<Poll>(data);
	let _ = from_slice::<Progress>(data);
	let _ = from_slice::<Submit>(data);
});
