//! From what an app asks for to a spec in which every field is settled.

use codec::Encode;
use cuckoo_coordinator_api::{
	error::{ApiError, ErrorCode},
	limits,
	task::{ModelInfo, TaskRequest},
};
use cuckoo_primitives::{
	task::{SchedulerKind, TaskSpec},
	H256,
};

/// Settles a request for this model. `seed` is taken when the app gives none.
pub fn settle(request: TaskRequest, model: &ModelInfo, seed: u64) -> Result<TaskSpec, ApiError> {
	let negative_prompt = request.negative_prompt.unwrap_or_default();
	if request.prompt.trim().is_empty() || request.prompt.len() > limits::MAX_PROMPT_BYTES {
		return Err(ApiError::new(ErrorCode::PromptInvalid).about("prompt"));
	}
	if negative_prompt.len() > limits::MAX_PROMPT_BYTES {
		let message = "The negative prompt is longer than 4096 bytes.";
		return Err(
			ApiError::with_message(ErrorCode::PromptInvalid, message).about("negative_prompt")
		);
	}
	Ok(TaskSpec {
		model: model.hash,
		prompt: request.prompt,
		negative_prompt,
		seed: request.seed.unwrap_or(seed),
		steps: steps(request.steps, model)?,
		width: side("width", request.width, model)?,
		height: side("height", request.height, model)?,
		guidance_milli: guidance(request.guidance, model)?,
		scheduler: request.scheduler.unwrap_or(SchedulerKind::Ddim),
	})
}

/// The priority of a task, 0 to 9.
pub fn priority(asked: Option<i64>) -> Result<u8, ApiError> {
	let asked = asked.unwrap_or(limits::DEFAULT_PRIORITY.into());
	match u8::try_from(asked) {
		Ok(priority) if priority <= limits::MAX_PRIORITY => Ok(priority),
		_ => {
			let message = format!("A priority lies within 0 and {}.", limits::MAX_PRIORITY);
			Err(ApiError::with_message(ErrorCode::ParameterInvalid, message).about("priority"))
		},
	}
}

/// How long a task may wait each time.
pub fn max_wait_ms(asked: Option<i64>) -> Result<Option<u64>, ApiError> {
	let Some(asked) = asked else {
		return Ok(None);
	};
	match u64::try_from(asked) {
		Ok(wait) if wait > 0 => Ok(Some(wait)),
		_ => {
			let message = "A task waits for at least 1 ms.";
			Err(ApiError::with_message(ErrorCode::ParameterInvalid, message).about("max_wait_ms"))
		},
	}
}

/// A task's work: pixels times denoising steps.
pub fn pixel_steps(spec: &TaskSpec) -> u64 {
	u64::from(spec.width) * u64::from(spec.height) * u64::from(spec.steps)
}

fn steps(asked: Option<i64>, model: &ModelInfo) -> Result<u16, ApiError> {
	let Some(asked) = asked else {
		return Ok(model.default_steps);
	};
	match u16::try_from(asked) {
		Ok(steps) if (1..=limits::MAX_STEPS).contains(&steps) => Ok(steps),
		_ => {
			let message = format!(
				"{asked} steps were asked for: 1 to {} are made.",
				limits::MAX_STEPS
			);
			Err(ApiError::with_message(ErrorCode::StepsInvalid, message).about("steps"))
		},
	}
}

fn side(field: &str, asked: Option<i64>, model: &ModelInfo) -> Result<u16, ApiError> {
	let Some(asked) = asked else {
		return Ok(model.default_size);
	};
	match u16::try_from(asked) {
		Ok(side) if side > 0 && side <= model.max_size && side % model.size_multiple == 0 => {
			Ok(side)
		},
		_ => {
			let message = format!(
				"A {field} of {asked} was asked for: this model makes multiples of {} up to {}.",
				model.size_multiple, model.max_size,
			);
			Err(ApiError::with_message(ErrorCode::SizeInvalid, message).about(field))
		},
	}
}

fn guidance(asked: Option<f64>, model: &ModelInfo) -> Result<u32, ApiError> {
	let Some(asked) = asked else {
		return Ok(model.default_guidance_milli);
	};
	if !asked.is_finite() || !(0.0..=limits::MAX_GUIDANCE).contains(&asked) {
		return Err(ApiError::new(ErrorCode::GuidanceInvalid).about("guidance"));
	}
	// Within 0 and 50,000 by the check above.
	Ok((asked * 1_000.0).round() as u32)
}

/// Hash of what the app asked for, before defaults and random seeds: a submit that is repeated under
/// one idempotency key gives the same even though its settled spec would not.
pub fn request_hash(request: &TaskRequest) -> H256 {
	let TaskRequest {
		prompt,
		negative_prompt,
		model,
		seed,
		steps,
		width,
		height,
		guidance,
		scheduler,
	} = request;
	let guidance = guidance.map(f64::to_bits);
	let fields = (
		prompt,
		negative_prompt,
		model,
		seed,
		steps,
		width,
		height,
		guidance,
		scheduler,
	)
		.encode();
	H256(*blake3::hash(&fields).as_bytes())
}

#[cfg(test)]
mod tests {
	use super::*;
	use proptest::prelude::*;

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

	fn request() -> TaskRequest {
		TaskRequest {
			prompt: "a red apple".into(),
			..TaskRequest::default()
		}
	}

	fn code(request: TaskRequest) -> Option<ErrorCode> {
		settle(request, &model(), 7).err().map(|error| error.code)
	}

	#[test]
	fn defaults_come_from_the_model() {
		let spec = settle(request(), &model(), 7).unwrap();
		assert_eq!(
			(spec.seed, spec.steps, spec.width, spec.height),
			(7, 20, 64, 64)
		);
		assert_eq!(
			(spec.guidance_milli, spec.scheduler),
			(3_000, SchedulerKind::Ddim)
		);
		let exact = TaskRequest {
			seed: Some(0),
			guidance: Some(7.4996),
			..request()
		};
		let spec = settle(exact, &model(), 7).unwrap();
		assert_eq!((spec.seed, spec.guidance_milli), (0, 7_500));
	}

	#[test]
	fn each_field_out_of_bounds_has_its_code() {
		use ErrorCode::*;
		let long = "x".repeat(limits::MAX_PROMPT_BYTES + 1);
		let cases = [
			(
				TaskRequest {
					prompt: " \n".into(),
					..request()
				},
				PromptInvalid,
			),
			(
				TaskRequest {
					prompt: long.clone(),
					..request()
				},
				PromptInvalid,
			),
			(
				TaskRequest {
					negative_prompt: Some(long),
					..request()
				},
				PromptInvalid,
			),
			(
				TaskRequest {
					steps: Some(-1),
					..request()
				},
				StepsInvalid,
			),
			(
				TaskRequest {
					steps: Some(0),
					..request()
				},
				StepsInvalid,
			),
			(
				TaskRequest {
					steps: Some(i64::MAX),
					..request()
				},
				StepsInvalid,
			),
			(
				TaskRequest {
					width: Some(-64),
					..request()
				},
				SizeInvalid,
			),
			(
				TaskRequest {
					height: Some(0),
					..request()
				},
				SizeInvalid,
			),
			(
				TaskRequest {
					height: Some(65),
					..request()
				},
				SizeInvalid,
			),
			(
				TaskRequest {
					width: Some(136),
					..request()
				},
				SizeInvalid,
			),
			(
				TaskRequest {
					width: Some(i64::MAX),
					..request()
				},
				SizeInvalid,
			),
			(
				TaskRequest {
					guidance: Some(-0.1),
					..request()
				},
				GuidanceInvalid,
			),
			(
				TaskRequest {
					guidance: Some(50.1),
					..request()
				},
				GuidanceInvalid,
			),
			(
				TaskRequest {
					guidance: Some(f64::NAN),
					..request()
				},
				GuidanceInvalid,
			),
		];
		for (request, expected) in cases {
			assert_eq!(code(request.clone()), Some(expected), "{request:?}");
		}
		let longest = "x".repeat(limits::MAX_PROMPT_BYTES);
		assert_eq!(
			code(TaskRequest {
				prompt: longest,
				..request()
			}),
			None
		);
	}

	#[test]
	fn the_request_hash_tells_requests_apart_and_ignores_nothing() {
		let given = request_hash(&request());
		assert_eq!(given, request_hash(&request()));
		for other in [
			TaskRequest {
				prompt: "a green apple".into(),
				..request()
			},
			TaskRequest {
				negative_prompt: Some(String::new()),
				..request()
			},
			TaskRequest {
				model: Some("tiny".into()),
				..request()
			},
			TaskRequest {
				seed: Some(7),
				..request()
			},
			TaskRequest {
				steps: Some(20),
				..request()
			},
			TaskRequest {
				width: Some(64),
				..request()
			},
			TaskRequest {
				height: Some(64),
				..request()
			},
			TaskRequest {
				guidance: Some(3.0),
				..request()
			},
			TaskRequest {
				scheduler: Some(SchedulerKind::Ddim),
				..request()
			},
		] {
			assert_ne!(given, request_hash(&other), "{other:?}");
		}
	}

	proptest! {
		#[test]
		fn no_request_panics_and_every_settled_spec_is_within_bounds(
			steps in any::<Option<i64>>(),
			width in any::<Option<i64>>(),
			height in prop::option::of(-10i64..300),
			guidance in any::<Option<f64>>(),
		) {
			let request = TaskRequest { steps, width, height, guidance, ..request() };
			if let Ok(spec) = settle(request, &model(), 7) {
				prop_assert!((1..=limits::MAX_STEPS).contains(&spec.steps));
				prop_assert!(spec.width % 8 == 0 && (8..=128).contains(&spec.width));
				prop_assert!(spec.height % 8 == 0 && (8..=128).contains(&spec.height));
				prop_assert!(spec.guidance_milli <= 50_000);
			}
		}
	}
}
