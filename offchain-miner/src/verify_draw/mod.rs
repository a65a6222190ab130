//! `offchain-miner verify-draw`: recomputes a task's draw from what the coordinator publishes and, with
//! `--chain`, from what the chain says.

mod check;

pub use check::{check, Asked, Check, Name, OnChain};

use anyhow::{bail, Context};
use clap::Args;
use cuckoo_chain_client::{ChainClient, Registry};
use cuckoo_coordinator_api::{
	error,
	rpc::TaskRpcClient,
	task::{DrawProof, TaskStatus},
};
use cuckoo_primitives::task::{Attempt, TaskId};
use jsonrpsee::{
	core::ClientError,
	http_client::{HttpClient, HttpClientBuilder},
};
use serde_json::json;
use std::time::Duration;
use tokio::time::timeout;

/// A list of a hundred thousand miners has about 13 MB.
const MAX_PROOF_BYTES: u32 = 64 * 1024 * 1024;
const CALL_TIMEOUT: Duration = Duration::from_secs(60);

/// Options of `verify-draw`.
#[derive(Clone, Debug, Args)]
pub struct VerifyDrawArgs {
	/// The task.
	pub task: TaskId,
	/// The coordinator's address.
	#[arg(long, value_name = "URL")]
	pub coordinator_url: String,
	/// Which attempt; the last by default.
	#[arg(long, value_name = "N", conflicts_with = "all")]
	pub attempt: Option<Attempt>,
	/// Every attempt.
	#[arg(long)]
	pub all: bool,
	/// The idempotency key that you gave with the task: then its id cannot be of the coordinator's
	/// choosing.
	#[arg(long, value_name = "KEY")]
	pub idempotency_key: Option<String>,
	/// Check also against the chain, by a node that still has that block's state.
	#[arg(long, value_name = "URL")]
	pub chain: Option<String>,
	/// Print one JSON object.
	#[arg(long)]
	pub json: bool,
}

/// Whether every draw that was asked for is as it must be.
pub async fn command(args: VerifyDrawArgs) -> anyhow::Result<bool> {
	let rpc = HttpClientBuilder::default()
		.max_response_size(MAX_PROOF_BYTES)
		.request_timeout(CALL_TIMEOUT)
		.build(&args.coordinator_url)
		.with_context(|| format!("the address {:?}", args.coordinator_url))?;
	let chain = match &args.chain {
		Some(url) => Some(
			timeout(CALL_TIMEOUT, ChainClient::connect(url))
				.await
				.with_context(|| format!("the node at {url} does not answer"))??,
		),
		None => None,
	};
	let status = rpc.task_status(args.task).await.map_err(told)?;
	let last = rpc
		.coordinator_draw(args.task, args.attempt)
		.await
		.map_err(told)?;
	let mut sound = true;
	let mut reports = Vec::new();
	for proof in proofs(&rpc, &args, last).await? {
		let (attempt, proof) = proof;
		let registry = match &chain {
			Some(chain) => Some(registry_at(chain, &proof).await?),
			None => None,
		};
		let asked = Asked {
			task: Some(args.task),
			attempt,
			spec: Some(status.spec.clone().into()),
			idempotency_key: args.idempotency_key.clone(),
		};
		let on_chain = chain
			.as_ref()
			.zip(registry.as_ref())
			.map(|(chain, registry)| OnChain {
				genesis_hash: chain.genesis_hash(),
				registry,
			});
		let checks = check(&proof, &asked, on_chain);
		sound &= checks.iter().all(|check| check.ok);
		if !args.json {
			print(&proof, &status, &checks);
		}
		reports.push(json!({
			"task": proof.assignment.task,
			"attempt": proof.assignment.attempt,
			"miner": proof.assignment.miner,
			"sound": checks.iter().all(|check| check.ok),
			"checks": checks,
		}));
	}
	if args.json {
		let against_chain = chain.is_some();
		println!(
			"{}",
			json!({"sound": sound, "against_chain": against_chain, "draws": reports})
		);
	} else if chain.is_none() {
		println!("not checked against the chain: add --chain URL");
	}
	Ok(sound)
}

/// The proofs to check, each with the attempt that it must be of.
async fn proofs(
	rpc: &HttpClient,
	args: &VerifyDrawArgs,
	last: DrawProof,
) -> anyhow::Result<Vec<(Option<Attempt>, DrawProof)>> {
	/// Far more draws than a coordinator makes for one task; the number is its own word.
	const MAX_ATTEMPTS: Attempt = 1_000;
	if !args.all {
		return Ok(vec![(args.attempt, last)]);
	}
	let attempts = last.assignment.attempt;
	if attempts > MAX_ATTEMPTS {
		bail!("the coordinator speaks of {attempts} attempts; name one with --attempt");
	}
	let mut proofs = Vec::new();
	for attempt in 0..attempts {
		let proof = rpc
			.coordinator_draw(args.task, Some(attempt))
			.await
			.map_err(told)?;
		proofs.push((Some(attempt), proof));
	}
	proofs.push((Some(attempts), last));
	Ok(proofs)
}

async fn registry_at(chain: &ChainClient, proof: &DrawProof) -> anyhow::Result<Registry> {
	let assignment = &proof.assignment;
	timeout(CALL_TIMEOUT, chain.registry_at(assignment.block_hash))
		.await
		.context("the node does not answer")?
		.with_context(|| {
			format!(
				"the state at block #{} ({:?}): an archive node keeps it, others drop it after a while",
				assignment.block_number, assignment.block_hash
			)
		})
}

fn told(error: ClientError) -> anyhow::Error {
	let refused = match &error {
		ClientError::Call(object) => error::from_object(object),
		_ => None,
	};
	match refused {
		Some(refused) => anyhow::Error::new(refused).context("the coordinator refused"),
		None => anyhow::Error::new(error).context("the coordinator does not answer"),
	}
}

fn print(proof: &DrawProof, status: &TaskStatus, checks: &[Check]) {
	println!(
		"task {} ({}), attempt {}: given to {}",
		proof.assignment.task,
		status.state.name(),
		proof.assignment.attempt,
		proof.assignment.miner
	);
	for check in checks {
		let word = if check.ok { "ok       " } else { "DEVIATION" };
		println!(
			"  {word} {}: {}",
			check.check.words(),
			crate::ui::printable(&check.detail)
		);
	}
}
