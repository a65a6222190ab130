//! `offchain-miner doctor`: looks at everything a miner needs, and says what to do about what is
//! missing.

use crate::{
	cli::{ChainArgs, CoordinatorArgs, EngineArgs, KeyArgs, WORKER_VARIABLE},
	fleet::{self, Wishes},
	link::LinkError,
	outbox::{Outbox, OutboxError},
	run::{data_dir, outbox_folder},
	trust::Trust,
	ui::printable,
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
	path::PathBuf,
	time::{Duration, Instant},
};
use tokio::{task, time::timeout};

/// How long the chain and each coordinator may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// A whole registry may take longer.
const REGISTRY_PATIENCE: Duration = Duration::from_secs(60);
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

	let engine = args.engine.clone();
	for finding in task::spawn_blocking(move || look_at_engine(&engine)).await? {
		tell(finding);
	}
	if !args.local {
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

fn look_at_engine(args: &EngineArgs) -> Vec<Finding> {
	let mut findings = Vec::new();
	let library = match runtime::init(args.onnxruntime.as_deref()) {
		Ok(info) => {
			let detail = format!("{} at {}", info.version, info.path.display());
			findings.push(Finding::ok("ONNX Runtime", detail));
			true
		},
		Err(error) => {
			findings.push(Finding::problem("ONNX Runtime", error));
			false
		},
	};
	findings.push(look_at_gpu(args.device));
	let folders = match crate::models::find(&args.models) {
		Ok(folders) => folders,
		Err(error) => {
			findings.push(Finding::problem("model", error));
			return findings;
		},
	};
	for path in folders {
		match ModelFolder::open(&path) {
			Ok(folder) => {
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
	findings
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
	let wishes = Wishes {
		most: usize::from(args.coordinators.max_coordinators),
		only: args.coordinators.only(),
		seed: rand::random(),
	};
	let posts = fleet::plan(registry, &wishes, &Default::default(), &Default::default());
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
