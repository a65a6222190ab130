//! Schedulers, against diffusers 0.36.

mod common;

use cuckoo_diffusion::schedulers::{Scheduler, SchedulerConfig};
use proptest::prelude::*;
use serde::{de::DeserializeOwned, Deserialize};
use serde_json::{json, Value};

/// Of the number, or of 1 where it is smaller.
const TOLERANCE: f32 = 1e-5;

#[derive(Deserialize)]
struct Reference {
	start: Vec<f32>,
	predictions: Vec<Vec<f32>>,
	noises: Vec<Vec<f32>>,
	/// For 1 to 500 steps, the sum of trailing timesteps, each times its place.
	trailing: Vec<u64>,
	cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
	scheduler: String,
	config: Value,
	steps: u16,
	initial_scale: f32,
	timesteps: Vec<f32>,
	inputs: Vec<Vec<f32>>,
	samples: Vec<Vec<f32>>,
	last: Vec<f32>,
}

fn parse<T: DeserializeOwned>(value: Value) -> T {
	serde_json::from_value(value).unwrap()
}

/// `scale` is the largest number of the computation: two units in its last place are allowed too.
/// That counts only for zero-SNR schedules under Euler, where 4096 less 4082 leaves few digits.
fn close(ours: &[f32], theirs: &[f32], scale: f32, what: &dyn Fn() -> String) {
	assert_eq!(ours.len(), theirs.len(), "{}", what());
	for (ours, theirs) in ours.iter().zip(theirs) {
		let allowed = (TOLERANCE * theirs.abs().max(1.0)).max(2.0 * f32::EPSILON * scale);
		assert!(
			(ours - theirs).abs() <= allowed,
			"{}: {ours} for {theirs}",
			what()
		);
	}
}

#[test]
fn every_case_agrees_with_diffusers() {
	let reference: Reference = parse(common::reference_json("schedulers.json"));
	assert!(reference.cases.len() > 400);
	for case in &reference.cases {
		let what = |step: &str| {
			format!(
				"{} {} steps {} {step}",
				case.scheduler, case.steps, case.config
			)
		};
		let config: SchedulerConfig = parse(case.config.clone());
		config
			.check()
			.unwrap_or_else(|problem| panic!("{problem}: {}", what("")));
		let scheduler: Scheduler = case.scheduler.parse().unwrap();
		let mut schedule = scheduler.plan(&config, case.steps).unwrap();
		close(schedule.timesteps(), &case.timesteps, 1.0, &|| {
			what("timesteps")
		});
		close(
			&[schedule.initial_scale()],
			&[case.initial_scale],
			1.0,
			&|| what("initial scale"),
		);

		let scale = schedule.initial_scale();
		let mut sample: Vec<f32> = reference
			.start
			.iter()
			.map(|number| number * scale)
			.collect();
		for step in 0..case.timesteps.len() {
			let mut input = sample.clone();
			schedule.scale_input(step, &mut input);
			let prediction = &reference.predictions[step % reference.predictions.len()];
			let noise: &[f32] = if schedule.takes_noise(step) {
				&reference.noises[step % reference.noises.len()]
			} else {
				&[]
			};
			schedule.step(step, prediction, noise, &mut sample);
			if let (Some(theirs), Some(next)) = (case.inputs.get(step), case.samples.get(step)) {
				close(&input, theirs, scale, &|| what(&format!("input {step}")));
				close(&sample, next, scale, &|| what(&format!("sample {step}")));
			}
		}
		close(&sample, &case.last, scale, &|| what("last"));
	}
}

#[test]
fn trailing_timesteps_are_those_of_diffusers_for_any_count() {
	let reference: Reference = parse(common::reference_json("schedulers.json"));
	assert_eq!(reference.trailing.len(), 500);
	let config: SchedulerConfig = parse(json!({ "timestep_spacing": "trailing" }));
	for (steps, expected) in (1..).zip(reference.trailing) {
		let schedule = Scheduler::Ddim.plan(&config, steps).unwrap();
		let places = (1..).zip(schedule.timesteps());
		let sum: u64 = places
			.map(|(place, timestep)| place * *timestep as u64)
			.sum();
		assert_eq!(sum, expected, "{steps} steps");
	}
}

fn refusal(config: Value) -> String {
	parse::<SchedulerConfig>(config).check().unwrap_err()
}

#[test]
fn options_that_would_be_ignored_are_refused() {
	for name in [
		"thresholding",
		"use_beta_sigmas",
		"use_lu_lambdas",
		"use_flow_sigmas",
	] {
		assert!(refusal(json!({ name: true })).contains(name));
	}
	let both = json!({ "use_karras_sigmas": true, "use_exponential_sigmas": true });
	assert!(refusal(both).contains("together"));
	assert!(refusal(json!({ "interpolation_type": "cubic" })).contains("interpolation_type"));
	assert!(refusal(json!({ "timestep_type": "continuous" })).contains("timestep_type"));
	assert!(refusal(json!({ "rescale_betas_zero_snr": true })).contains("zero_snr"));
}

#[test]
fn numbers_that_make_no_schedule_are_refused() {
	for config in [
		json!({ "num_train_timesteps": 0 }),
		json!({ "num_train_timesteps": 1 }),
		json!({ "num_train_timesteps": 4_000_000_000u32 }),
		json!({ "beta_start": -1.0 }),
		json!({ "beta_start": 0.0, "beta_end": 0.0 }),
		json!({ "beta_end": 2.0 }),
		json!({ "beta_start": -0.1, "beta_schedule": "scaled_linear" }),
		json!({ "trained_betas": [0.1, 0.2] }),
		json!({ "trained_betas": [], "num_train_timesteps": 2 }),
		json!({ "sigma_min": 0.0 }),
		json!({ "sigma_max": -1.0 }),
		json!({ "sigma_max": 1e300 }),
		json!({ "timestep_scaling": 0.0 }),
		json!({ "clip_sample_range": -1.0 }),
		json!({ "clip_sample_range": 1e300 }),
	] {
		refusal(config);
	}
}

#[test]
fn steps_beyond_the_training_are_refused() {
	let config = parse::<SchedulerConfig>(json!({ "steps_offset": 1 }));
	for scheduler in Scheduler::ALL {
		assert!(scheduler.plan(&config, 0).is_err());
		assert!(scheduler.plan(&config, 1001).is_err());
		assert!(scheduler.plan(&config, u16::MAX).is_err());
	}
	// The first of 1000 leading timesteps would be 1000: diffusers fails with an index error there.
	assert!(Scheduler::Ddim.plan(&config, 1000).is_err());
	let far = parse::<SchedulerConfig>(json!({ "steps_offset": u32::MAX }));
	assert!(Scheduler::Ddim.plan(&far, 10).is_err());
}

#[test]
fn what_a_scheduler_cannot_do_is_said() {
	use Scheduler::*;
	for (scheduler, config, because) in [
		(
			Pndm,
			json!({ "prediction_type": "sample" }),
			"sample prediction",
		),
		(
			EulerAncestral,
			json!({ "prediction_type": "sample" }),
			"sample prediction",
		),
		(DpmPlusPlus2m, json!({ "solver_order": 4 }), "solver_order"),
		(DpmPlusPlus2m, json!({ "solver_order": 0 }), "solver_order"),
		(
			DpmPlusPlus2m,
			json!({ "algorithm_type": "dpmsolver" }),
			"algorithm_type",
		),
		(
			DpmPlusPlus2m,
			json!({ "lambda_min_clipped": 99.0 }),
			"lambda_min_clipped",
		),
		(UniPc, json!({ "predict_x0": false }), "predict_x0"),
		(
			UniPc,
			json!({ "lower_order_final": false }),
			"lower_order_final",
		),
		(
			Lcm,
			json!({ "original_inference_steps": 0 }),
			"original_inference_steps",
		),
		(
			Lcm,
			json!({ "original_inference_steps": 5 }),
			"original_inference_steps",
		),
		(
			Lcm,
			json!({ "original_inference_steps": 2000 }),
			"original_inference_steps",
		),
	] {
		let error = scheduler.plan(&parse(config), 7).err().unwrap();
		assert!(error.contains(because), "{scheduler}: {error}");
	}
	assert!(Pndm.plan(&parse(json!({})), 3).is_err(), "no warm-up fits");
}

#[test]
fn names_and_schedulers_are_each_others_inverse() {
	for scheduler in Scheduler::ALL {
		assert_eq!(scheduler.to_string().parse(), Ok(scheduler));
	}
	assert!("DDIM".parse::<Scheduler>().is_err());
}

proptest! {
	/// Timesteps fall, and lie in the training.
	#[test]
	fn timesteps_fall(
		steps in 4u16..=240,
		train in 500u32..2000,
		spacing in prop::sample::select(vec!["leading", "trailing", "linspace"]),
	) {
		let config = parse::<SchedulerConfig>(json!({
			"num_train_timesteps": train,
			"timestep_spacing": spacing,
			"beta_end": 0.001,
			"skip_prk_steps": true,
			"original_inference_steps": 250,
		}));
		for scheduler in Scheduler::ALL {
			let schedule = scheduler.plan(&config, steps).unwrap();
			let timesteps = schedule.timesteps();
			// PNDM takes its second timestep twice.
			let again = usize::from(scheduler == Scheduler::Pndm);
			prop_assert_eq!(timesteps.len(), usize::from(steps) + again);
			let equal = timesteps.windows(2).filter(|pair| pair[0] == pair[1]).count();
			prop_assert_eq!(equal, again);
			prop_assert!(timesteps.windows(2).all(|pair| pair[0] >= pair[1]));
			prop_assert!(timesteps.iter().all(|timestep| (0.0..train as f32).contains(timestep)));
		}
	}
}
