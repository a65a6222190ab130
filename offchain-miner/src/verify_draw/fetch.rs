//! What a coordinator publishes about draws.

use anyhow::{bail, Context};
use cuckoo_coordinator_api::{
	error,
	rpc::TaskRpcClient,
	task::{DrawProof, TaskStatus},
	ErrorCode,
};
use cuckoo_primitives::task::{Attempt, TaskId};
use jsonrpsee::core::ClientError;

/// Far more draws than a coordinator makes for one task; the number is its own word.
const MAX_ATTEMPTS: Attempt = 1_000;

/// Which draws of a task are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempts {
	/// The last.
	Last,
	/// This one.
	One(Attempt),
	/// Every one.
	All,
}

/// What is published about a task's draws.
#[derive(Debug)]
pub struct Published {
	/// The task.
	pub status: TaskStatus,
	/// The proofs, each with the attempt that it must be of.
	pub proofs: Vec<(Option<Attempt>, DrawProof)>,
	/// Attempts that the coordinator made and shows no proof of.
	pub missing: Vec<Attempt>,
}

/// A task's draws. With `twice`, the last one is asked for once more, and so must be the same.
pub async fn draws(
	rpc: &impl TaskRpcClient,
	task: TaskId,
	attempts: Attempts,
	twice: bool,
) -> anyhow::Result<Published> {
	let status = rpc.task_status(task).await.map_err(told)?;
	let mut published = Published {
		status,
		proofs: Vec::new(),
		missing: Vec::new(),
	};
	match attempts {
		Attempts::Last => ask(rpc, task, None, &mut published).await?,
		Attempts::One(attempt) => ask(rpc, task, Some(attempt), &mut published).await?,
		Attempts::All => {
			let Some(last) = published.status.attempt else {
				return Ok(published);
			};
			if last > MAX_ATTEMPTS {
				bail!("the coordinator speaks of {last} attempts; name one with --attempt");
			}
			for attempt in 0..=last {
				match ask(rpc, task, Some(attempt), &mut published).await {
					Err(error) if is_missing(&error) => published.missing.push(attempt),
					asked => asked?,
				}
			}
			if twice && !published.missing.contains(&last) {
				ask(rpc, task, Some(last), &mut published).await?;
			}
		},
	}
	Ok(published)
}

async fn ask(
	rpc: &impl TaskRpcClient,
	task: TaskId,
	attempt: Option<Attempt>,
	published: &mut Published,
) -> anyhow::Result<()> {
	let proof = rpc.coordinator_draw(task, attempt).await.map_err(told)?;
	published.proofs.push((attempt, proof));
	Ok(())
}

fn is_missing(error: &anyhow::Error) -> bool {
	let refused = error.downcast_ref::<error::ApiError>();
	refused.is_some_and(|refused| refused.code == ErrorCode::AttemptNotFound)
}

/// Every task of the app that is asking, newest first.
pub async fn tasks_of_app(rpc: &impl TaskRpcClient) -> anyhow::Result<Vec<TaskId>> {
	let (mut tasks, mut from) = (Vec::new(), None);
	loop {
		let page = rpc.task_list(from, None, None).await.map_err(told)?;
		tasks.extend(page.tasks.iter().map(|task| task.id));
		match page.next {
			// The number is the coordinator's word: it must go down.
			Some(next) if from.is_none_or(|from| next < from) => from = Some(next),
			Some(_) => bail!("the coordinator's list of tasks does not end"),
			None => return Ok(tasks),
		}
	}
}

/// Task ids, one a line; empty lines and what follows a `#` do not count.
pub fn parse_tasks(text: &str) -> anyhow::Result<Vec<TaskId>> {
	let lines = text.lines().enumerate();
	let named = lines.filter_map(|(number, line)| {
		let id = line.split('#').next().unwrap_or_default().trim();
		(!id.is_empty()).then_some((number + 1, id))
	});
	named
		.map(|(number, id)| id.parse().with_context(|| format!("line {number}: {id:?}")))
		.collect()
}

/// What the coordinator said, or that it did not answer.
pub fn told(error: ClientError) -> anyhow::Error {
	let refused = match &error {
		ClientError::Call(object) => error::from_object(object),
		_ => None,
	};
	match refused {
		Some(refused) => anyhow::Error::new(refused).context("the coordinator refused"),
		None => anyhow::Error::new(error).context("the coordinator does not answer"),
	}
}
