//! `offchain-miner verify-step`: runs steps of a picture again from its stored trajectory, and says how
//! far the results are apart.
//!
//! A result's commitment binds every step on the way to the picture. Whoever has the trajectory can
//! check any one step alone, in the time of one step, on any machine: nothing has to agree to the
//! bit, only to what rounding explains.

use crate::{
	cli::{DeviceArg, EngineArgs},
	engine, trajectory,
};
use anyhow::{bail, Context};
use clap::Args;
use cuckoo_diffusion::{runtime, Pipeline, StepError, Stop, Trajectory};
use cuckoo_primitives::H256;
use serde_json::json;
use std::path::PathBuf;
use tokio::task;

/// An error of a step, by what the step did: more than twice what honest machines came to, fp16 included,
/// and a sixth of the least that any cheat did. The table in docs/models.md has what was measured.
pub const TOLERANCE: f32 = 0.005;
/// Grey levels by which a picture decoded again may differ.
const GREY_TOLERANCE: u8 = 8;

/// Options of `verify-step`.
#[derive(Clone, Debug, Args)]
pub struct VerifyStepArgs {
	/// The trajectory, as `generate --trajectory` writes it.
	pub trajectory: PathBuf,
	/// Which run of the UNet, from 0; may be repeated. All of them by default.
	#[arg(long, value_name = "N")]
	pub step: Vec<usize>,
	/// The trajectory root of the result's commitment, to be compared with the file's.
	#[arg(long, value_name = "HASH")]
	pub root: Option<H256>,
	/// The error of a step that is still taken, by what the step did.
	#[arg(long, value_name = "PART", default_value_t = TOLERANCE)]
	pub tolerance: f32,
	/// Where steps are run.
	#[command(flatten)]
	pub place: DeviceArg,
	/// How steps are run.
	#[command(flatten)]
	pub engine: EngineArgs,
	/// Print one JSON object.
	#[arg(long)]
	pub json: bool,
}

/// What was found.
struct Findings {
	root: H256,
	start: StepError,
	steps: Vec<(usize, StepError)>,
	/// Of the picture, in grey levels; looked at when all steps are.
	picture: Option<u8>,
}

/// Whether everything that was looked at is within the tolerance.
pub async fn command(args: VerifyStepArgs) -> anyhow::Result<bool> {
	let asked = args.clone();
	let findings = task::spawn_blocking(move || look(&asked)).await??;
	let root_is_right = args.root.is_none_or(|root| root == findings.root);
	let fits = |error: &StepError| error.relative <= args.tolerance;
	let sound = root_is_right
		&& fits(&findings.start)
		&& findings.steps.iter().all(|(_, error)| fits(error))
		&& findings.picture.is_none_or(|grey| grey <= GREY_TOLERANCE);
	if args.json {
		println!("{}", report(&findings, root_is_right, sound));
		return Ok(sound);
	}
	let say = |what: &str, ok: bool, detail: String| {
		println!("{:8} {what}: {detail}", if ok { "ok" } else { "differs" });
	};
	say("root", root_is_right, format!("{:?}", findings.root));
	let of = |error: &StepError| {
		format!(
			"{:.3}% of it, at most {:.4}",
			100.0 * error.relative,
			error.largest
		)
	};
	say("noise", fits(&findings.start), of(&findings.start));
	for (step, error) in &findings.steps {
		say(&format!("step {step}"), fits(error), of(error));
	}
	if let Some(grey) = findings.picture {
		let detail = format!("{grey} grey levels at most");
		say("picture", grey <= GREY_TOLERANCE, detail);
	}
	Ok(sound)
}

fn look(args: &VerifyStepArgs) -> anyhow::Result<Findings> {
	let stored = trajectory::read(&args.trajectory)?;
	let folders = args.engine.folders()?;
	let model = stored.spec.model;
	let folder = folders.iter().find(|folder| folder.hash() == model.0);
	let Some(folder) = folder else {
		bail!("none of the models named is the trajectory's, {model:?}")
	};
	runtime::init(args.engine.onnxruntime.as_deref())?;
	let mut pipeline = Pipeline::load(folder, &args.engine.options(args.place.device))
		.with_context(|| format!("the model in {}", folder.path().display()))?;
	let request = engine::request(&stored.spec);
	let root = stored.root();
	let trajectory = Trajectory {
		leaves: stored.leaves,
	};
	let start = pipeline.check_start(&request, &trajectory)?;
	let stop = Stop::new();
	let runs = trajectory.leaves.len() - 3;
	let all = args.step.is_empty();
	let wanted: Vec<usize> = if all {
		(0..runs).collect()
	} else {
		args.step.clone()
	};
	let mut steps = Vec::with_capacity(wanted.len());
	for step in wanted {
		let error = pipeline.rerun_step(&request, &trajectory, step, &stop)?;
		steps.push((step, error));
	}
	let picture = if all {
		Some(pipeline.check_picture(&request, &trajectory, &stop)?)
	} else {
		None
	};
	Ok(Findings {
		root,
		start,
		steps,
		picture,
	})
}

fn report(findings: &Findings, root_is_right: bool, sound: bool) -> serde_json::Value {
	let error = |error: &StepError| json!({ "relative": error.relative, "largest": error.largest });
	let steps: Vec<_> = findings
		.steps
		.iter()
		.map(|(step, found)| json!({ "step": step, "error": error(found) }))
		.collect();
	json!({
		"sound": sound,
		"root": findings.root,
		"root_is_right": root_is_right,
		"noise": error(&findings.start),
		"steps": steps,
		"picture_grey_levels": findings.picture,
	})
}

#[cfg(test)]
mod tests {
	use super::*;
	use crate::engine::{model_info, request};
	use cuckoo_diffusion::{Control, Device, ModelFolder, Request};
	use cuckoo_primitives::task::{SchedulerKind, TaskSpec};
	use std::path::Path;

	fn model() -> PathBuf {
		Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/default/model")
	}

	fn engine_args() -> EngineArgs {
		EngineArgs {
			models: vec![model()],
			threads: 1,
			vae_tile: 0,
			gpu_memory_limit: None,
			cuda_graphs: false,
			onnxruntime: None,
		}
	}

	/// Paints with the default model, keeps the trajectory, and gives its root.
	fn painted(path: &Path, scheduler: SchedulerKind) -> H256 {
		painted_in_batch(path, scheduler, 1)
	}

	/// The same of the last picture of a batch.
	fn painted_in_batch(path: &Path, scheduler: SchedulerKind, pictures: u64) -> H256 {
		let folder = ModelFolder::open(&model()).unwrap();
		let spec = TaskSpec {
			model: model_info(&folder).hash,
			prompt: "a red apple".into(),
			negative_prompt: String::new(),
			seed: 7,
			steps: 5,
			width: 64,
			height: 64,
			guidance_milli: 3_000,
			scheduler,
		};
		let options = engine_args().options(Device::Cpu);
		let mut pipeline = Pipeline::load(&folder, &options).unwrap();
		let numbered = (0..pictures).map(|number| Request {
			seed: spec.seed + number,
			..request(&spec)
		});
		let requests: Vec<Request> = numbered.collect();
		let mut painted = pipeline
			.generate_together(&requests, &Stop::new(), &mut |_, _| Control::Continue)
			.unwrap();
		let picture = painted.pop().unwrap().unwrap();
		let spec = TaskSpec {
			seed: spec.seed + pictures - 1,
			..spec
		};
		trajectory::write(path, &spec, &picture.trajectory.leaves).unwrap();
		trajectory::read(path).unwrap().root()
	}

	fn args(path: &Path) -> VerifyStepArgs {
		VerifyStepArgs {
			trajectory: path.into(),
			step: Vec::new(),
			root: None,
			tolerance: TOLERANCE,
			place: DeviceArg {
				device: Device::Cpu,
			},
			engine: engine_args(),
			json: true,
		}
	}

	#[tokio::test]
	async fn honest_steps_pass_and_changed_ones_do_not() {
		let folder = tempfile::tempdir().unwrap();
		let path = folder.path().join("steps");
		for scheduler in [SchedulerKind::Ddim, SchedulerKind::EulerAncestral] {
			let root = painted(&path, scheduler);
			let with_root = VerifyStepArgs {
				root: Some(root),
				..args(&path)
			};
			assert!(command(with_root.clone()).await.unwrap(), "{scheduler:?}");
			let other = VerifyStepArgs {
				root: Some(H256::zero()),
				..args(&path)
			};
			assert!(!command(other).await.unwrap());

			let mut stored = trajectory::read(&path).unwrap();
			assert_eq!(stored.root(), root);
			// The latents after the third step become those after the second.
			stored.leaves[3] = stored.leaves[2].clone();
			trajectory::write(&path, &stored.spec, &stored.leaves).unwrap();
			let of_step = |step| VerifyStepArgs {
				step: vec![step],
				..args(&path)
			};
			assert!(command(of_step(1)).await.unwrap());
			assert!(!command(of_step(2)).await.unwrap());
			assert!(!command(with_root).await.unwrap(), "the root is another");
			assert!(command(of_step(99)).await.is_err());
		}
	}

	/// Whoever checks a step runs it alone.
	#[tokio::test]
	async fn steps_of_a_picture_made_in_a_batch_pass() {
		let folder = tempfile::tempdir().unwrap();
		let path = folder.path().join("steps");
		let root = painted_in_batch(&path, SchedulerKind::Ddim, 4);
		let strict = VerifyStepArgs {
			root: Some(root),
			// A tenth of what is taken.
			tolerance: TOLERANCE / 10.0,
			..args(&path)
		};
		assert!(command(strict).await.unwrap());
	}

	#[tokio::test]
	async fn what_is_no_trajectory_of_the_model_is_an_error() {
		let folder = tempfile::tempdir().unwrap();
		let path = folder.path().join("steps");
		assert!(command(args(&path)).await.is_err());
		std::fs::write(&path, b"text").unwrap();
		assert!(command(args(&path)).await.is_err());
		painted(&path, SchedulerKind::Ddim);
		let stored = trajectory::read(&path).unwrap();
		trajectory::write(&path, &stored.spec, &stored.leaves[..2]).unwrap();
		assert!(command(args(&path)).await.is_err());
		let other = TaskSpec {
			model: H256::zero(),
			..stored.spec
		};
		trajectory::write(&path, &other, &stored.leaves).unwrap();
		assert!(command(args(&path)).await.is_err());
	}
}
