//! `offchain-miner doctor`: looks at everything a miner needs, and says what to do about what is
//! missing.

use crate::{
	cli::{ChainArgs, CoordinatorArgs, EngineArgs, HoldArgs, KeyArgs, WORKER_VARIABLE},
	engine::memory_estimate,
	fleet::{self, Wishes},
	link::LinkError,
	memory::{default_limit, Bytes},
	outbox::{Outbox, OutboxError},
	run::{data_dir, outbox_folder},
	trust::Trust,
	ui::printable,
	upload::Uploader,
	warm::Warm,
};
use clap::Args;
use cuckoo_chain_client::{keys::load_worker_key, BlockRef, ChainClient, Registry};
use cuckoo_coordinator_api::{rpc::TaskRpcClient, task::CoordinatorInfo};
use cuckoo_diffusion::{cuda, runtime, Control, Device, ModelFolder, Pipeline, Request};
use cuckoo_primitives::{AccountId, WorkerId, H256};
use jsonrpsee::http_client::HttpClientBuilder;
use serde::Serialize;
use sp_core::{crypto::Ss58Codec, Pair};
use std::{
	path::{Path, PathBuf},
	time::{Duration, Instant, SystemTime},
};
use tokio::{task, time::timeout};

/// How long the chain and each coordinator may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// A whole registry may take longer.
const REGISTRY_PATIENCE: Duration = Duration::from_secs(60);
/// For results that wait, and their records.
const NEEDED_DISK: u64 = 256 << 20;
/// Less fills up by other things.
const COMFORTABLE_DISK: u64 = 2 << 30;
/// Dates in HTTP have whole seconds.
const CLOCK_NOTE: Duration = Duration::from_secs(3);
/// As long as a short lease.
const CLOCK_PROBLEM: Duration = Duration::from_secs(30);
/// A coordinator's description is short.
const MAX_INFO_BYTES: u32 = 1024 * 1024;

/// Options of `doctor`.
#[derive(Clone, Debug, Args)]
pub struct DoctorArgs {
	/// The worker key.
	#[command(flatten)]
	pub key: KeyArgs,
	/// The chain.
	#[command(flatten)]
	pub chain: ChainArgs,
	/// How pictures are made.
	#[command(flatten)]
	pub engine: EngineArgs,
	/// Which models are held, and how many at once.
	#[command(flatten)]
	pub hold: HoldArgs,
	/// The coordinators.
	#[command(flatten)]
	pub coordinators: CoordinatorArgs,
	/// Where results are kept until they are acknowledged.
	#[arg(long, value_name = "DIR")]
	pub data_dir: Option<PathBuf>,
	/// Only what `generate` needs: no key, no chain, no coordinators.
	#[arg(long)]
	pub local: bool,
	/// Print one JSON object.
	#[arg(long)]
	pub json: bool,
}

/// How a thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
	/// As it should be.
	Ok,
	/// Not there, and not needed.
	Note,
	/// Needed and not as it should be.
	Problem,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
	/// The thing.
	pub what: String,
	/// How it is.
	pub health: Health,
	/// What was found and, for a problem, what to do.
	pub detail: String,
}

impl Finding {
	fn ok(what: impl Into<String>, detail: impl Into<String>) -> Self {
		Self {
			what: what.into(),
			health: Health::Ok,
			detail: detail.into(),
		}
	}

	fn note(what: impl Into<String>, detail: impl Into<String>) -> Self {
		Self {
			what: what.into(),
			health: Health::Note,
			detail: detail.into(),
		}
	}

	fn problem(what: impl Into<String>, detail: impl ToString) -> Self {
		Self {
			what: what.into(),
			health: Health::Problem,
			detail: detail.to_string(),
		}
	}
}

/// Whether nothing that is needed is missing.
pub async fn command(args: DoctorArgs) -> anyhow::Result<bool> {
	let json = args.json;
	let mut findings = Vec::new();
	let mut tell = |finding: Finding| {
		if !json {
			let word = match finding.health {
				Health::Ok => "ok     ",
				Health::Note => "note   ",
				Health::Problem => "problem",
			};
			println!("{word}  {}: {}", finding.what, printable(&finding.detail));
		}
		findings.push(finding);
	};

	let (engine, hold) = (args.engine.clone(), args.hold.clone());
	for finding in task::spawn_blocking(move || look_at_engine(&engine, &hold)).await? {
		tell(finding);
	}
	if !args.local {
		tell(look_at_disk(&args));
		let (worker, found) = look_at_key(&args);
		tell(found);
		if let Some(worker) = worker {
			tell(look_at_outbox(&args, &worker).await);
		}
		match look_at_chain(&args).await {
			Ok((genesis_hash, registry)) => {
				tell(Finding::ok(
					"chain",
					format!("{} finalized", registry.block),
				));
				if let Some(worker) = worker {
					tell(look_at_registration(&registry, &worker));
				}
				for finding in look_at_coordinators(&args, &registry, genesis_hash).await {
					tell(finding);
				}
				tell(look_at_clock(&args, &registry).await);
			},
			Err(finding) => tell(finding),
		}
	}

	let healthy = findings
		.iter()
		.all(|finding| finding.health != Health::Problem);
	if json {
		println!(
			"{}",
			serde_json::json!({ "healthy": healthy, "findings": findings })
		);
	}
	Ok(healthy)
}

fn look_at_engine(args: &EngineArgs, hold: &HoldArgs) -> Vec<Finding> {
	let mut findings = Vec::new();
	let mut library_path = None;
	let library = match runtime::init(args.onnxruntime.as_deref()) {
		Ok(info) => {
			let detail = format!("{} at {}", info.version, info.path.display());
			findings.push(Finding::ok("ONNX Runtime", detail));
			library_path = Some(info.path);
			true
		},
		Err(error) => {
			findings.push(Finding::problem("ONNX Runtime", error));
			false
		},
	};
	let gpu = look_at_gpu(args.device);
	let is_wanted = gpu.health == Health::Ok || matches!(args.device, Device::Cuda(_));
	findings.push(gpu);
	if is_wanted {
		findings.extend(look_at_gpu_libraries(args.device, library_path.as_deref()));
	}
	let folders = match hold.paths(args) {
		Ok(folders) => folders,
		Err(error) => {
			findings.push(Finding::problem("model", error));
			return findings;
		},
	};
	let mut held = Vec::new();
	for path in folders {
		match ModelFolder::open(&path) {
			Ok(folder) => {
				held.push(folder.clone());
				let hash = H256(folder.hash());
				let detail = format!("{hash:?} in {}", folder.path().display());
				findings.push(Finding::ok(format!("model {}", folder.name()), detail));
				if library {
					findings.push(one_step(&folder, args));
				}
			},
			Err(error) => findings.push(Finding::problem("model", error)),
		}
	}
	if !held.is_empty() {
		findings.push(look_at_memory(args.device, hold, &held));
	}
	findings
}

/// Every library that pictures on a GPU need beside the driver, by name.
fn look_at_gpu_libraries(device: Device, runtime: Option<&Path>) -> Vec<Finding> {
	let missing = cuda::missing_libraries(runtime);
	if missing.is_empty() {
		return vec![Finding::ok("GPU libraries", "CUDA 13 and cuDNN 9 load")];
	}
	let finding = |missing: cuda::MissingLibrary| {
		let cuda::MissingLibrary { file, problem, fix } = missing;
		match device {
			Device::Cuda(_) => {
				Finding::problem(format!("library {file}"), format!("{problem}: {fix}"))
			},
			_ => Finding::note(
				format!("library {file}"),
				format!("{problem}: pictures are made on the CPU; for the GPU {fix}"),
			),
		}
	};
	missing.into_iter().map(finding).collect()
}

/// Whether every model fits the memory for models, and whether all do at once.
fn look_at_memory(device: Device, hold: &HoldArgs, folders: &[ModelFolder]) -> Finding {
	const WHAT: &str = "memory for models";
	let needs: Vec<u64> = folders.iter().map(memory_estimate).collect();
	let largest = needs.iter().copied().max().unwrap_or(0);
	let limit = match hold.memory_limit {
		Some(Bytes(limit)) => limit,
		None => default_limit(device, largest),
	};
	if let Err(error) = Warm::new(limit, needs.clone()) {
		let path = folders[error.model].path().display();
		return Finding::problem(WHAT, format!("{path}: {error}"));
	}
	let all = needs.into_iter().fold(0, u64::saturating_add);
	let all = all.saturating_mul(u64::from(hold.slots));
	if all > limit {
		return Finding::note(
			WHAT,
			format!(
				"{} for {}: not all at once, so models are loaded anew now and then",
				Bytes(limit),
				Bytes(all)
			),
		);
	}
	Finding::ok(WHAT, format!("{} of {}", Bytes(all), Bytes(limit)))
}

/// Whether results have room on the disk.
fn look_at_disk(args: &DoctorArgs) -> Finding {
	const WHAT: &str = "disk";
	let folder = match data_dir(args.data_dir.as_deref()) {
		Ok(folder) => folder,
		Err(error) => return Finding::problem(WHAT, error),
	};
	// Before the first start it is not there, but a folder above it is.
	let Some(place) = folder.ancestors().find(|place| place.is_dir()) else {
		return Finding::problem(WHAT, format!("{} cannot be made", folder.display()));
	};
	match rustix::fs::statvfs(place) {
		Ok(disk) => disk_finding(&folder, disk.f_bavail.saturating_mul(disk.f_frsize)),
		Err(error) => Finding::problem(WHAT, format!("{}: {error}", place.display())),
	}
}

fn disk_finding(folder: &Path, free: u64) -> Finding {
	const WHAT: &str = "disk";
	let said = format!("{} free for {}", Bytes(free), folder.display());
	if free < NEEDED_DISK {
		let fix =
			"results would not be kept and tasks be given back: make room, or name another folder \
		           with --data-dir";
		return Finding::problem(WHAT, format!("{said}; {fix}"));
	}
	if free < COMFORTABLE_DISK {
		return Finding::note(WHAT, format!("{said}: little"));
	}
	Finding::ok(WHAT, said)
}

/// Whether the clock agrees with the coordinators': leases end by it.
async fn look_at_clock(args: &DoctorArgs, registry: &Registry) -> Finding {
	const WHAT: &str = "clock";
	let Ok(trust) = args.coordinators.trust() else {
		return Finding::note(WHAT, "nothing to compare it with");
	};
	let uploader = Uploader::new(PATIENCE, &trust);
	for (_, post) in fleet::plan(
		registry,
		&wishes(args),
		&Default::default(),
		&Default::default(),
	) {
		let url = format!("{}/healthz", post.url.trim_end_matches('/'));
		let Ok(url) = url.parse() else { continue };
		let asked = SystemTime::now();
		let Ok(Some(theirs)) = timeout(PATIENCE, uploader.date(&url)).await else {
			continue;
		};
		// The reply was written at some moment between the two.
		let ours = asked + asked.elapsed().unwrap_or_default() / 2;
		return clock_finding(ours, theirs, &post.url);
	}
	Finding::note(WHAT, "no coordinator that says what time it is")
}

fn clock_finding(ours: SystemTime, theirs: SystemTime, whose: &str) -> Finding {
	const WHAT: &str = "clock";
	let (apart, word) = match ours.duration_since(theirs) {
		Ok(apart) => (apart, "ahead of"),
		Err(error) => (error.duration(), "behind"),
	};
	let said = format!("{} s {word} that of {whose}", apart.as_secs());
	if apart > CLOCK_PROBLEM {
		let fix = "leases end too early or too late: set it by NTP (timedatectl set-ntp true)";
		return Finding::problem(WHAT, format!("{said}; {fix}"));
	}
	if apart > CLOCK_NOTE {
		return Finding::note(WHAT, format!("{said}: is NTP on?"));
	}
	Finding::ok(WHAT, format!("agrees with that of {whose}"))
}

fn wishes(args: &DoctorArgs) -> Wishes {
	Wishes {
		most: usize::from(args.coordinators.max_coordinators),
		only: args.coordinators.only(),
		seed: rand::random(),
	}
}

fn look_at_gpu(device: Device) -> Finding {
	let number = match device {
		Device::Cpu => return Finding::note("GPU", "not wanted (--device cpu)"),
		Device::Auto => 0,
		Device::Cuda(number) => number,
	};
	match (cuda::gpu(number), device) {
		(Ok(gpu), _) => Finding::ok(
			format!("GPU {number}"),
			format!(
				"{}, compute capability {}.{}",
				gpu.name, gpu.major, gpu.minor
			),
		),
		(Err(reason), Device::Auto) => {
			Finding::note("GPU", format!("{reason}; pictures are made on the CPU"))
		},
		(Err(reason), _) => Finding::problem(format!("GPU {number}"), reason),
	}
}

/// The whole way once: a provider that is missing a library often says so only at its first run.
fn one_step(folder: &ModelFolder, args: &EngineArgs) -> Finding {
	let what = format!("one step of {}", folder.name());
	let begun = Instant::now();
	let made = Pipeline::load(folder, &args.options()).and_then(|mut pipeline| {
		let loaded = begun.elapsed();
		let mut request = Request::new(folder, "a test", 0);
		request.steps = 1;
		let begun = Instant::now();
		pipeline.generate(&request, &mut |_| Control::Continue)?;
		Ok((pipeline.device_name(), loaded, begun.elapsed()))
	});
	match made {
		Ok((device, loaded, made)) => Finding::ok(
			what,
			format!(
				"on {device}: loaded in {:.2} s, made in {:.2} s",
				loaded.as_secs_f32(),
				made.as_secs_f32()
			),
		),
		Err(error) => Finding::problem(what, error),
	}
}

fn look_at_key(args: &DoctorArgs) -> (Option<WorkerId>, Finding) {
	match load_worker_key(args.key.worker_key.as_deref(), WORKER_VARIABLE) {
		Ok(key) => {
			let worker = key.public();
			(
				Some(worker),
				Finding::ok("worker key", worker.to_ss58check()),
			)
		},
		Err(error) => (None, Finding::problem("worker key", error)),
	}
}

async fn look_at_outbox(args: &DoctorArgs, worker: &WorkerId) -> Finding {
	const WHAT: &str = "outbox";
	let folder = match data_dir(args.data_dir.as_deref()) {
		Ok(folder) => outbox_folder(&folder, worker),
		Err(error) => return Finding::problem(WHAT, error),
	};
	let place = folder.clone();
	if !place.exists() {
		return Finding::note(
			WHAT,
			format!("{} will be made at the first start", place.display()),
		);
	}
	match task::spawn_blocking(move || Outbox::open(&folder)).await {
		Ok(Ok(outbox)) => {
			let pending = outbox.pending().len();
			Finding::ok(
				WHAT,
				format!("{}, {pending} to be delivered", place.display()),
			)
		},
		Ok(Err(error @ OutboxError::InUse(_))) => {
			Finding::note(WHAT, format!("a miner is running: {error}"))
		},
		Ok(Err(error)) => Finding::problem(WHAT, error),
		Err(error) => Finding::problem(WHAT, error),
	}
}

async fn look_at_chain(args: &DoctorArgs) -> Result<(H256, Registry), Finding> {
	const WHAT: &str = "chain";
	let url = &args.chain.url;
	let late = |_| Finding::problem(WHAT, format!("{url} does not answer: is the node up?"));
	let failed = |error| Finding::problem(WHAT, error);
	let chain = timeout(PATIENCE, ChainClient::connect(url))
		.await
		.map_err(late)?
		.map_err(failed)?;
	let BlockRef { hash, .. } = timeout(PATIENCE, chain.finalized())
		.await
		.map_err(late)?
		.map_err(failed)?;
	let registry = timeout(REGISTRY_PATIENCE, chain.registry_at(hash))
		.await
		.map_err(late)?
		.map_err(failed)?;
	Ok((chain.genesis_hash(), registry))
}

fn look_at_registration(registry: &Registry, worker: &WorkerId) -> Finding {
	const WHAT: &str = "registration";
	match fleet::operator_of(registry, worker) {
		Ok(operator) => Finding::ok(
			WHAT,
			format!(
				"active as {} ({}), stake {}",
				operator.account,
				operator.name,
				cuckoo_coordinator_api::Amount(operator.total_stake)
			),
		),
		Err(reason) => Finding::problem(WHAT, reason),
	}
}

/// One that answers is enough; the others are notes.
async fn look_at_coordinators(
	args: &DoctorArgs,
	registry: &Registry,
	genesis_hash: H256,
) -> Vec<Finding> {
	let posts = fleet::plan(
		registry,
		&wishes(args),
		&Default::default(),
		&Default::default(),
	);
	if posts.is_empty() {
		let detail = "no active coordinator on chain with an http address (or not the one named)";
		return vec![Finding::problem("coordinators", detail)];
	}
	let trust = match args.coordinators.trust() {
		Ok(trust) => trust,
		Err(error) => return vec![Finding::problem("coordinators", error.to_string())],
	};
	let mut findings = Vec::new();
	for (account, post) in posts {
		let what = format!("coordinator {}", post.url);
		findings.push(match ask(&account, &post.url, genesis_hash, &trust).await {
			Ok(info) => Finding::ok(
				what,
				format!(
					"{} models, {} miners online, {} tasks queued",
					info.models.len(),
					info.miners_online,
					info.queued
				),
			),
			Err(reason) => Finding::problem(what, reason),
		});
	}
	if findings.iter().any(|finding| finding.health == Health::Ok) {
		for finding in &mut findings {
			if finding.health == Health::Problem {
				finding.health = Health::Note;
			}
		}
	}
	findings
}

async fn ask(
	account: &AccountId,
	url: &str,
	genesis_hash: H256,
	trust: &Trust,
) -> Result<CoordinatorInfo, String> {
	let client = HttpClientBuilder::default()
		.with_custom_cert_store(trust.config())
		.max_response_size(MAX_INFO_BYTES)
		.request_timeout(PATIENCE)
		.build(url)
		.map_err(|error| error.to_string())?;
	let info = client
		.coordinator_info()
		.await
		.map_err(|error| LinkError::from(error).to_string())?;
	if info.operator != *account {
		return Err(format!(
			"it is run for {}, not for {account}",
			info.operator
		));
	}
	if info.genesis_hash != genesis_hash {
		return Err(format!(
			"it is on another chain (genesis {:?})",
			info.genesis_hash
		));
	}
	Ok(info)
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn little_disk_is_a_note_and_too_little_a_problem() {
		let folder = Path::new("/data");
		let health = |free| disk_finding(folder, free).health;
		assert_eq!(health(100 << 30), Health::Ok);
		assert_eq!(health(COMFORTABLE_DISK - 1), Health::Note);
		assert_eq!(health(NEEDED_DISK - 1), Health::Problem);
		let detail = disk_finding(folder, 0).detail;
		assert!(
			detail.contains("0 bytes free") && detail.contains("--data-dir"),
			"{detail}"
		);
	}

	#[test]
	fn a_clock_that_is_off_is_told_with_the_direction() {
		let theirs = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
		let finding = |ours| clock_finding(ours, theirs, "http://c");
		assert_eq!(finding(theirs + Duration::from_secs(2)).health, Health::Ok);
		assert_eq!(
			finding(theirs - Duration::from_secs(9)).health,
			Health::Note
		);
		let ahead = finding(theirs + Duration::from_secs(90));
		assert_eq!(ahead.health, Health::Problem);
		assert!(
			ahead.detail.starts_with("90 s ahead of"),
			"{}",
			ahead.detail
		);
		assert!(finding(theirs - Duration::from_secs(90))
			.detail
			.contains("behind"));
	}

	#[test]
	fn a_model_above_the_limit_is_a_problem_and_all_at_once_is_not_needed() {
		let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/default/model");
		let folder = ModelFolder::open(&model).unwrap();
		let needs = memory_estimate(&folder);
		let finding = |limit, slots| {
			let hold = HoldArgs {
				imported: false,
				models_dir: None,
				slots,
				memory_limit: Some(Bytes(limit)),
			};
			look_at_memory(Device::Cpu, &hold, std::slice::from_ref(&folder)).health
		};
		assert_eq!(finding(needs, 1), Health::Ok);
		assert_eq!(finding(needs, 2), Health::Note);
		assert_eq!(finding(needs - 1, 1), Health::Problem);
	}

	#[test]
	fn each_missing_library_is_named_with_what_to_do() {
		let nowhere = Path::new("/nowhere/libonnxruntime.so");
		let findings = look_at_gpu_libraries(Device::Cuda(0), Some(nowhere));
		let provider = findings
			.iter()
			.find(|it| it.what.ends_with("libonnxruntime_providers_cuda.so"))
			.unwrap();
		assert_eq!(provider.health, Health::Problem);
		assert!(
			provider.detail.contains("scripts/setup --cuda"),
			"{}",
			provider.detail
		);
		let notes = look_at_gpu_libraries(Device::Auto, Some(nowhere));
		assert!(notes.iter().all(|it| it.health == Health::Note));
	}
}
