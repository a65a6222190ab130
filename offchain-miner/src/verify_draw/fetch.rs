//! What a coordinator publishes about draws.

use anyhow::{bail, Context};
use cuckoo_coordinator_api::{
	error,
	rpc::TaskRpcClient,
	task::{DrawProof, TaskResult, TaskState, TaskStatus},
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
	/// Of a task that is done, its result, or why there is none to see.
	pub result: Option<Result<TaskResult, String>>,
	/// The last attempt, if a miner was ever drawn.
	pub last: Option<Attempt>,
	/// The proofs, each with the attempt that it must be of.
	pub proofs: Vec<(Attempt, DrawProof)>,
	/// Attempts that the coordinator made and shows no proof of.
	pub missing: Vec<Attempt>,
}

/// The last attempt by what the coordinator says of the task. In some states no task is without one that
/// had none: of those there is a first attempt, whatever it says.
fn last_attempt(status: &TaskStatus) -> Option<Attempt> {
	let was_drawn = match status.state {
		TaskState::Assigned
		| TaskState::Running
		| TaskState::Submitted
		| TaskState::Done
		| TaskState::Failed => true,
		TaskState::Queued | TaskState::Cancelled | TaskState::Expired => false,
	};
	status.attempt.or(was_drawn.then_some(0))
}

/// A task's draws. With `twice`, the last one is asked for once more, and so must be the same.
pub async fn draws(
	rpc: &impl TaskRpcClient,
	task: TaskId,
	attempts: Attempts,
	twice: bool,
) -> anyhow::Result<Published> {
	let status = rpc.task_status(task).await.map_err(told)?;
	let last = last_attempt(&status);
	let mut published = Published {
		result: result(rpc, &status).await?,
		status,
		last,
		proofs: Vec::new(),
		missing: Vec::new(),
	};
	let wanted = match (attempts, last) {
		(Attempts::One(attempt), _) => attempt..=attempt,
		(_, None) => return Ok(published),
		(Attempts::Last, Some(last)) => last..=last,
		(Attempts::All, Some(last)) => 0..=last,
	};
	if wanted.end() - wanted.start() > MAX_ATTEMPTS {
		let last = wanted.end();
		bail!("the coordinator speaks of {last} attempts; name one with --attempt");
	}
	for attempt in wanted.clone() {
		match ask(rpc, task, attempt, &mut published).await {
			Err(error) if is_missing(&error) && Some(attempt) <= last => {
				published.missing.push(attempt);
			},
			asked => asked?,
		}
	}
	let again = last.filter(|last| twice && wanted.contains(last));
	if let Some(last) = again.filter(|last| !published.missing.contains(last)) {
		ask(rpc, task, last, &mut published).await?;
	}
	Ok(published)
}

/// The result of a task that is done. That the coordinator refuses it is a finding, that it does not answer is
/// none.
async fn result(
	rpc: &impl TaskRpcClient,
	status: &TaskStatus,
) -> anyhow::Result<Option<Result<TaskResult, String>>> {
	if status.state != TaskState::Done {
		return Ok(None);
	}
	match rpc.task_result(status.id).await.map_err(told) {
		Ok(result) => Ok(Some(Ok(result))),
		Err(error) if error.is::<error::ApiError>() => Ok(Some(Err(format!("{error:#}")))),
		Err(error) => Err(error),
	}
}

async fn ask(
	rpc: &impl TaskRpcClient,
	task: TaskId,
	attempt: Attempt,
	published: &mut Published,
) -> anyhow::Result<()> {
	let proof = rpc.coordinator_draw(task, Some(attempt)).await;
	published.proofs.push((attempt, proof.map_err(told)?));
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
