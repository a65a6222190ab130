//! `offchain-miner doctor`: looks at everything a miner needs, and says what to do about what is
//! missing.

mod engine;

use crate::{
	cli::{ChainArgs, CoordinatorArgs, EngineArgs, HoldArgs, KeyArgs, WORKER_VARIABLE},
	fleet::{self, Wishes},
	link::LinkError,
	memory::Bytes,
	models,
	outbox::{Outbox, OutboxError},
	run::{data_dir, outbox_folder},
	trust::Trust,
	ui::printable,
	upload::Uploader,
};
use clap::Args;
use cuckoo_chain_client::{keys::load_worker_key, BlockRef, ChainClient, Registry};
use cuckoo_coordinator_api::{rpc::TaskRpcClient, task::CoordinatorInfo};
use cuckoo_diffusion::ModelFolder;
use cuckoo_primitives::{AccountId, WorkerId, H256};
use jsonrpsee::http_client::HttpClientBuilder;
use serde::Serialize;
use sp_core::{crypto::Ss58Codec, Pair};
use std::{
	path::{Path, PathBuf},
	time::{Duration, SystemTime},
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
	/// Which models are held on which devices, and how many tasks are made at once.
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
	let looked = task::spawn_blocking(move || engine::look_at(&engine, &hold));
	let (of_engine, held) = looked.await?;
	for finding in of_engine {
		tell(finding);
	}
	if !args.local {
		// Those that do not open were told of above.
		if let Some(folders) = held {
			tell(held_finding(&models::distinct(folders)));
		}
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

/// Whether coordinators take what is held.
fn held_finding(folders: &[ModelFolder]) -> Finding {
	const WHAT: &str = "models for coordinators";
	match models::declarable(folders) {
		Ok(()) => Finding::ok(WHAT, format!("{} held", folders.len())),
		Err(error) => Finding::problem(WHAT, error),
	}
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
}
