//! `offchain-miner verify-draw`: recomputes draws from what the coordinator publishes and, with
//! `--chain`, from what the chain says.
//!
//! [`check`] is what one draw must fulfil, [`run`] what many together must; [`fetch`] asks the
//! coordinator.

mod check;
pub mod fetch;
pub mod run;
#[cfg(test)]
mod tests;

pub use check::{check, Asked, Check, Name, OnChain, Said};

use anyhow::{bail, Context};
use clap::Args;
use cuckoo_chain_client::{ChainClient, Registry};
use cuckoo_coordinator_api::{
	rpc::TaskRpcClient,
	task::{DrawProof, TaskStatus},
};
use cuckoo_primitives::{
	task::{Attempt, TaskId},
	BlockNumber, H256,
};
use fetch::{Attempts, Published};
use futures::StreamExt;
use jsonrpsee::http_client::{HeaderMap, HeaderValue, HttpClient, HttpClientBuilder};
use run::{Run, Summary};
use serde_json::{json, Value};
use std::{
	collections::VecDeque, future::Future, io::Read, path::PathBuf, sync::Arc, time::Duration,
};
use tokio::time::timeout;

/// A list of a hundred thousand miners has about 13 MB.
const MAX_PROOF_BYTES: u32 = 64 * 1024 * 1024;
const CALL_TIMEOUT: Duration = Duration::from_secs(60);

/// Registries that are kept: many draws are of one block.
const KEPT_REGISTRIES: usize = 16;

/// The environment variable that holds the app's key.
const KEY_VARIABLE: &str = "CUCKOO_API_KEY";

/// Options of `verify-draw`.
#[derive(Clone, Debug, Args)]
pub struct VerifyDrawArgs {
	/// The tasks. Of one, the last attempt is checked; of several, every attempt.
	#[arg(required_unless_present_any = ["tasks_from", "all_tasks"])]
	pub tasks: Vec<TaskId>,
	/// Tasks from a file as well, one a line; - for standard input.
	#[arg(long, value_name = "FILE")]
	pub tasks_from: Option<PathBuf>,
	/// Every task of an app as well: the app whose key is in CUCKOO_API_KEY, or without it the app of
	/// this machine's address.
	#[arg(long)]
	pub all_tasks: bool,
	/// The coordinator's address.
	#[arg(long, value_name = "URL")]
	pub coordinator_url: String,
	/// Which attempt of the task; the last by default.
	#[arg(long, value_name = "N", conflicts_with_all = ["all", "tasks_from", "all_tasks"])]
	pub attempt: Option<Attempt>,
	/// Every attempt.
	#[arg(long)]
	pub all: bool,
	/// Ask for the last attempt of each task twice: a coordinator that has signed two may show both.
	#[arg(long)]
	pub twice: bool,
	/// How many tasks are asked for at once.
	#[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u8).range(1..=64))]
	pub concurrency: u8,
	/// The idempotency key that you gave with the task: then its id cannot be of the coordinator's
	/// choosing.
	#[arg(long, value_name = "KEY", conflicts_with_all = ["tasks_from", "all_tasks"])]
	pub idempotency_key: Option<String>,
	/// Check also against the chain, by a node that still has those blocks' state.
	#[arg(long, value_name = "URL")]
	pub chain: Option<String>,
	/// Print one JSON object.
	#[arg(long)]
	pub json: bool,
}

/// Whether every draw that was asked for is as it must be.
pub async fn command(args: VerifyDrawArgs) -> anyhow::Result<bool> {
	let rpc = connect(&args.coordinator_url)?;
	let chain = match &args.chain {
		Some(url) => Some(
			timeout(CALL_TIMEOUT, ChainClient::connect(url))
				.await
				.with_context(|| format!("the node at {url} does not answer"))??,
		),
		None => None,
	};
	let tasks = tasks(&rpc, &args).await?;
	let asked = asked(&args, &tasks)?;
	let mut verifier = Verifier::new(chain.as_ref());
	let mut shown = Shown::new(&args, tasks.len());
	let looked = verifier
		.verify(&rpc, &tasks, &asked, |event| shown.take(event))
		.await;
	let summary = verifier.run.summary();
	match looked {
		Ok(()) => {
			shown.end(&summary, chain.is_some());
			Ok(summary.is_sound())
		},
		// There is nothing to show but why.
		Err(error) if summary.draws == 0 && !summary.has_deviation() => Err(error),
		Err(error) => {
			shown.end(&summary, chain.is_some());
			if !summary.has_deviation() {
				return Err(error);
			}
			// What was found is worse than what was not looked at.
			eprintln!("not all could be looked at: {error:#}");
			Ok(false)
		},
	}
}

fn connect(url: &str) -> anyhow::Result<HttpClient> {
	let mut headers = HeaderMap::new();
	if let Some(key) = std::env::var(KEY_VARIABLE)
		.ok()
		.filter(|key| !key.is_empty())
	{
		let mut value = HeaderValue::from_str(&format!("Bearer {key}"))
			.with_context(|| format!("{KEY_VARIABLE} is no API key"))?;
		value.set_sensitive(true);
		headers.insert("authorization", value);
	}
	HttpClientBuilder::default()
		.max_response_size(MAX_PROOF_BYTES)
		.request_timeout(CALL_TIMEOUT)
		.set_headers(headers)
		.build(url)
		.with_context(|| format!("the address {url:?}"))
}

/// The tasks that were named, in whichever way.
async fn tasks(rpc: &HttpClient, args: &VerifyDrawArgs) -> anyhow::Result<Vec<TaskId>> {
	let mut tasks = args.tasks.clone();
	if let Some(path) = &args.tasks_from {
		let text = if path.as_os_str() == "-" {
			let mut text = String::new();
			std::io::stdin().read_to_string(&mut text).map(|_| text)
		} else {
			std::fs::read_to_string(path)
		};
		let text = text.with_context(|| format!("the tasks in {}", path.display()))?;
		tasks.extend(fetch::parse_tasks(&text)?);
	}
	if args.all_tasks {
		tasks.extend(fetch::tasks_of_app(rpc).await?);
	}
	Ok(tasks)
}

/// What is asked for about each task.
#[derive(Clone, Debug)]
struct Questions {
	attempts: Attempts,
	twice: bool,
	idempotency_key: Option<String>,
	concurrency: usize,
	/// Of a run, what is not there is counted; of one task, it is an error.
	run: bool,
}

fn asked(args: &VerifyDrawArgs, tasks: &[TaskId]) -> anyhow::Result<Questions> {
	let run = tasks.len() > 1 || args.tasks_from.is_some() || args.all_tasks;
	if run && (args.attempt.is_some() || args.idempotency_key.is_some()) {
		bail!(
			"--attempt and --idempotency-key are about one task, and {} are named",
			tasks.len()
		);
	}
	let attempts = match args.attempt {
		Some(attempt) => Attempts::One(attempt),
		None if run || args.all => Attempts::All,
		None => Attempts::Last,
	};
	Ok(Questions {
		attempts,
		twice: args.twice,
		idempotency_key: args.idempotency_key.clone(),
		concurrency: args.concurrency.into(),
		run,
	})
}

/// What the chain says at a block.
pub trait Blocks {
	/// The chain.
	fn genesis_hash(&self) -> H256;

	/// The hash of the block with this number, if there is one.
	fn block_hash(&self, number: BlockNumber)
		-> impl Future<Output = anyhow::Result<Option<H256>>>;

	/// The operators and the randomness at this block.
	fn registry_at(&self, block: H256) -> impl Future<Output = anyhow::Result<Registry>>;
}

impl Blocks for ChainClient {
	fn genesis_hash(&self) -> H256 {
		self.genesis_hash()
	}

	async fn block_hash(&self, number: BlockNumber) -> anyhow::Result<Option<H256>> {
		Ok(self.block_hash(number).await?)
	}

	async fn registry_at(&self, block: H256) -> anyhow::Result<Registry> {
		let registry = timeout(CALL_TIMEOUT, self.registry_at(block)).await;
		Ok(registry.context("the node does not answer")??)
	}
}

/// What is found while draws are verified.
enum Event<'a> {
	/// A draw and its checks.
	Draw(&'a DrawProof, &'a TaskStatus, &'a [Check]),
	/// The coordinator shows no proof of this attempt, which it made.
	Missing(TaskId, Attempt),
	/// The coordinator says nothing about this task.
	Unanswered(TaskId, &'a anyhow::Error),
}

struct Verifier<'a, B> {
	chain: Option<&'a B>,
	registries: VecDeque<(H256, Arc<Registry>)>,
	/// Why the first state that could not be read was not.
	unread: Option<anyhow::Error>,
	run: Run,
}

impl<'a, B: Blocks> Verifier<'a, B> {
	fn new(chain: Option<&'a B>) -> Self {
		Self {
			chain,
			registries: VecDeque::new(),
			unread: None,
			run: Run::default(),
		}
	}

	/// Verifies the draws of these tasks, in their order. The error of a node that lacks a state comes at the end:
	/// the coordinator chose the block, and may not thereby end the run.
	async fn verify(
		&mut self,
		rpc: &impl TaskRpcClient,
		tasks: &[TaskId],
		questions: &Questions,
		mut tell: impl FnMut(Event<'_>),
	) -> anyhow::Result<()> {
		let Questions {
			attempts, twice, ..
		} = *questions;
		let fetched = futures::stream::iter(tasks.iter().copied())
			.map(|task| async move { (task, fetch::draws(rpc, task, attempts, twice).await) })
			.buffered(questions.concurrency);
		let mut fetched = std::pin::pin!(fetched);
		while let Some((task, published)) = fetched.next().await {
			match published {
				Ok(published) => self.task(task, published, questions, &mut tell).await?,
				Err(error) if questions.run => {
					self.run.unanswered();
					tell(Event::Unanswered(task, &error));
				},
				Err(error) => return Err(error),
			}
		}
		match self.unread.take() {
			Some(error) => Err(error),
			None => Ok(()),
		}
	}

	async fn task(
		&mut self,
		task: TaskId,
		published: Published,
		questions: &Questions,
		tell: &mut impl FnMut(Event<'_>),
	) -> anyhow::Result<()> {
		if published.last.is_none() && !questions.run {
			let state = published.status.state.name();
			bail!("no miner was drawn for the task: it is {state}");
		}
		let said = Said {
			status: published.status,
			result: published.result,
		};
		for attempt in published.missing {
			self.run.unanswered();
			tell(Event::Missing(task, attempt));
		}
		for (attempt, proof) in published.proofs {
			let asked = Asked {
				task: Some(task),
				attempt: Some(attempt),
				spec: Some(said.status.spec.clone().into()),
				idempotency_key: questions.idempotency_key.clone(),
				last: (published.last == Some(attempt)).then(|| said.clone()),
			};
			let at_block = self.at_block(&proof).await;
			let at_block = at_block.inspect_err(|_| self.run.unchecked())?;
			let registry = at_block
				.as_ref()
				.map(|it| it.as_deref().map_err(String::as_str));
			let on_chain = self.chain.zip(registry).map(|(chain, registry)| OnChain {
				genesis_hash: chain.genesis_hash(),
				registry,
			});
			let mut checks = check(&proof, &asked, on_chain);
			self.run
				.add(&proof, registry.and_then(Result::ok), &mut checks);
			tell(Event::Draw(&proof, &said.status, &checks));
		}
		Ok(())
	}

	/// The operators and the randomness at a draw's block, or why it is none of the chain's; nothing where the
	/// chain is not asked, or the node has the block and its state no more.
	async fn at_block(
		&mut self,
		proof: &DrawProof,
	) -> anyhow::Result<Option<Result<Arc<Registry>, String>>> {
		let Some(chain) = self.chain else {
			return Ok(None);
		};
		let (number, hash) = (proof.assignment.block_number, proof.assignment.block_hash);
		if let Some((_, registry)) = self.registries.iter().find(|(block, _)| *block == hash) {
			return Ok(Some(Ok(registry.clone())));
		}
		// A block that was made up must not look like one whose state was dropped.
		let is = chain.block_hash(number).await?;
		if is != Some(hash) {
			let is = match is {
				Some(is) => format!("it is {is:?}"),
				None => "the node has none so high; if it is behind, look again later".into(),
			};
			return Ok(Some(Err(format!(
				"the proof says #{number} ({hash:?}), {is}"
			))));
		}
		let registry = match chain.registry_at(hash).await {
			Ok(registry) => Arc::new(registry),
			Err(error) => {
				let error = error.context(format!(
					"the state at block #{number} ({hash:?}): an archive node keeps it, others drop it after \
					 a while"
				));
				self.unread.get_or_insert(error);
				self.run.unchecked();
				return Ok(None);
			},
		};
		self.registries.push_front((hash, registry.clone()));
		self.registries.truncate(KEPT_REGISTRIES);
		Ok(Some(Ok(registry)))
	}
}

/// What is printed, as it comes.
struct Shown {
	json: bool,
	/// Of many draws, only those with a deviation are shown.
	many: bool,
	reports: Vec<Value>,
}

impl Shown {
	fn new(args: &VerifyDrawArgs, tasks: usize) -> Self {
		Self {
			json: args.json,
			many: tasks > 1,
			reports: Vec::new(),
		}
	}

	fn take(&mut self, event: Event<'_>) {
		match event {
			Event::Draw(proof, status, checks) => {
				let sound = checks.iter().all(|check| check.ok);
				if self.many && sound {
					return;
				}
				if !self.json {
					return print(proof, status, checks);
				}
				self.reports.push(json!({
					"task": proof.assignment.task,
					"attempt": proof.assignment.attempt,
					"miner": proof.assignment.miner,
					"sound": sound,
					"checks": checks,
				}));
			},
			Event::Missing(task, attempt) => self.silent(
				task,
				Some(attempt),
				"the coordinator made this attempt and shows no proof of it",
			),
			Event::Unanswered(task, error) => self.silent(task, None, &format!("{error:#}")),
		}
	}

	fn silent(&mut self, task: TaskId, attempt: Option<Attempt>, why: &str) {
		let why = crate::ui::printable(why);
		if self.json {
			let report = json!({"task": task, "attempt": attempt, "sound": false, "error": why});
			self.reports.push(report);
		} else {
			let attempt =
				attempt.map_or_else(String::new, |attempt| format!(", attempt {attempt}"));
			println!("task {task}{attempt}: {why}");
		}
	}

	fn end(self, summary: &Summary, against_chain: bool) {
		if self.json {
			let whole = json!({
				"sound": summary.is_sound(),
				"against_chain": against_chain,
				"draws": self.reports,
				"summary": summary,
			});
			println!("{whole}");
			return;
		}
		if self.many {
			print_summary(summary);
		}
		if !against_chain {
			println!("not checked against the chain: add --chain URL");
		}
	}
}

fn print_summary(summary: &Summary) {
	println!(
		"{} draws of {} tasks: {} with a deviation, {} not shown",
		summary.draws, summary.tasks, summary.unsound, summary.unanswered
	);
	if summary.unchecked > 0 {
		println!(
			"{} of them were not checked against the chain",
			summary.unchecked
		);
	}
	for (check, count) in &summary.deviations {
		println!("  DEVIATION {}: in {count} draws", check.words());
	}
	for miner in &summary.never_listed {
		println!("  note      {miner} was an active miner on chain and in none of the lists");
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
