//! Tasks in the store: acceptance, the compare-and-set of every transition, and recovery.

use super::{
	rows::{decode, stored_ms, AttemptRow, ResultRow, TaskRow},
	writer::job,
	Result, Store, StoreError, TransitionRefused, TransitionResult,
};
use crate::{
	apps::AppId,
	clock::UnixMs,
	draw::{replay, ListEntries, ListRecord},
	state::{Ending, Event, Stage},
};
use codec::Encode;
use cuckoo_coordinator_api::task::TaskState;
use cuckoo_primitives::{
	draw::Eligible,
	signing::ResultCommitment,
	task::{Attempt, TaskId, TaskSpec},
	AccountId, WorkerSignature, H256,
};
use sqlx::{sqlite::SqliteConnection, Row};

/// A task to be accepted.
#[derive(Clone, Debug)]
pub struct NewTask {
	/// Its id.
	pub id: TaskId,
	/// Who submits it.
	pub app: AppId,
	/// The id's nonce.
	pub nonce: String,
	/// The app's key, if it gave one.
	pub idempotency_key: Option<String>,
	/// Hash of what the app asked for.
	pub request_hash: H256,
	/// What is to be made.
	pub spec: TaskSpec,
	/// Its place among its app's.
	pub priority: u8,
	/// When it stops waiting.
	pub queue_until_ms: UnixMs,
	/// How long it waits at most each time, if the app said so.
	pub max_wait_ms: Option<u64>,
}

/// How a submit of a task went.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Submitted {
	/// It is new.
	Accepted(TaskRow),
	/// The key and the request were given before, for this task.
	Repeated(TaskRow),
	/// The key was given before, for another request.
	KeyTaken,
	/// Another app has given the key, for the same spec: the two tasks would have one id.
	IdTaken,
}

/// What a transition brings with it, in the same transaction.
#[derive(Clone, Debug)]
pub enum Extra {
	/// Nothing.
	None,
	/// With `Assign`: the draw. A task that goes back to the queue waits anew.
	Draw {
		/// The signed assignment.
		attempt: Box<AttemptRow>,
		/// The list that was drawn from.
		list: ListRecord,
	},
	/// With `Submit`: what the miner signed.
	Result {
		/// The commitment.
		commitment: Box<ResultCommitment>,
		/// The signature.
		signature: WorkerSignature,
		/// The artifact's size.
		bytes: u64,
	},
	/// With `Accept`, `Fail` and `Cancel`: how the attempt ended.
	End {
		/// How.
		ending: Ending,
		/// Why, as a sentence.
		reason: Option<String>,
		/// Until when the task waits, if it goes back to the queue and the app set no sooner end.
		queue_until_ms: UnixMs,
	},
	/// With `Expire`: why.
	Reason(String),
}

/// A transition that happened.
#[derive(Clone, Debug)]
pub struct Transition {
	/// The task after it.
	pub task: TaskRow,
	/// The stage before.
	pub before: Stage,
	/// The stage after.
	pub after: Stage,
	/// The miner whose attempt ended by it, and how.
	pub ended: Option<(AccountId, Ending)>,
}

/// A task that had not ended when the coordinator stopped.
#[derive(Clone, Debug)]
pub struct Open {
	/// The task.
	pub task: TaskRow,
	/// Its stage.
	pub stage: Stage,
	/// The attempt at work, unless it is queued.
	pub attempt: Option<AttemptRow>,
}

impl Store {
	/// Accepts a task. `after` sees the outcome in the order of commits.
	pub async fn submit_task(
		&self,
		new: NewTask,
		now_ms: UnixMs,
		after: impl FnOnce(&Submitted) + Send + 'static,
	) -> Result<Submitted> {
		let work = job(move |connection| {
			Box::pin(async move {
				if let Some(key) = &new.idempotency_key {
					if let Some(task) = by_key(&mut *connection, &new.app, key).await? {
						return Ok(repeated(task, &new.request_hash));
					}
				}
				let row = sqlx::query(
					"INSERT INTO tasks (id, app, nonce, idempotency_key, request_hash, spec, \
					 spec_hash, priority, state, created_ms, updated_ms, queue_until_ms, \
					 max_wait_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 'queued', ?, ?, ?, ?) \
					 ON CONFLICT (id) DO NOTHING RETURNING *",
				)
				.bind(new.id.encode())
				.bind(new.app.as_str())
				.bind(&new.nonce)
				.bind(&new.idempotency_key)
				.bind(new.request_hash.as_bytes())
				.bind(new.spec.encode())
				.bind(new.spec.hash().as_bytes())
				.bind(new.priority)
				.bind(stored_ms(now_ms))
				.bind(stored_ms(now_ms))
				.bind(stored_ms(new.queue_until_ms))
				.bind(new.max_wait_ms.map(stored_ms))
				.fetch_optional(connection)
				.await?;
				match row {
					Some(row) => Ok(Submitted::Accepted(TaskRow::from_row(&row)?)),
					None => Ok(Submitted::IdTaken),
				}
			})
		});
		self.writer.write(work, after).await
	}

	/// The outcome of an earlier submit of this app with this key.
	pub async fn submitted_before(
		&self,
		app: &AppId,
		key: &str,
		request_hash: &H256,
	) -> Result<Option<Submitted>> {
		let mut reader = self.readers.acquire().await?;
		let task = by_key(&mut reader, app, key).await?;
		Ok(task.map(|task| repeated(task, request_hash)))
	}

	/// Lets `event` happen to a task if its stage allows it: the one way in which tasks change.
	/// `after` runs in the order of commits.
	pub async fn transition(
		&self,
		id: TaskId,
		event: Event,
		extra: Extra,
		now_ms: UnixMs,
		after: impl FnOnce(&TransitionResult) + Send + 'static,
	) -> Result<TransitionResult> {
		let work = job(move |connection| {
			Box::pin(async move { transition(connection, id, &event, extra, now_ms).await })
		});
		self.writer.write(work, after).await
	}

	/// A task.
	pub async fn task(&self, id: &TaskId) -> Result<Option<TaskRow>> {
		let mut reader = self.readers.acquire().await?;
		task(&mut reader, id).await
	}

	/// One attempt at a task.
	pub async fn attempt(&self, id: &TaskId, attempt: Attempt) -> Result<Option<AttemptRow>> {
		let row = sqlx::query("SELECT * FROM attempts WHERE task = ? AND attempt = ?")
			.bind(id.encode())
			.bind(i64::from(attempt))
			.fetch_optional(&self.readers)
			.await?;
		row.as_ref().map(AttemptRow::from_row).transpose()
	}

	/// What the miner of an attempt committed to.
	pub async fn result(&self, id: &TaskId, attempt: Attempt) -> Result<Option<ResultRow>> {
		let row = sqlx::query("SELECT * FROM results WHERE task = ? AND attempt = ?")
			.bind(id.encode())
			.bind(i64::from(attempt))
			.fetch_optional(&self.readers)
			.await?;
		row.as_ref().map(ResultRow::from_row).transpose()
	}

	/// The list that an attempt was drawn from.
	pub async fn eligible(&self, id: &TaskId, attempt: Attempt) -> Result<Option<Vec<Eligible>>> {
		let steps: Vec<Vec<u8>> = sqlx::query_scalar(
			"SELECT entries FROM eligible_lists JOIN attempts \
			 ON chain = list_chain AND step <= list_step \
			 WHERE task = ? AND attempt = ? ORDER BY step",
		)
		.bind(id.encode())
		.bind(i64::from(attempt))
		.fetch_all(&self.readers)
		.await?;
		let steps = steps
			.iter()
			.map(|bytes| decode(bytes, "eligible list"))
			.collect::<Result<Vec<ListEntries>>>()?;
		Ok(replay(steps))
	}

	/// Whether the artifact is the result of a task that is done.
	pub async fn is_result(&self, artifact: &H256) -> Result<bool> {
		let found: Option<i64> = sqlx::query_scalar(
			"SELECT 1 FROM results JOIN attempts USING (task, attempt) \
			 WHERE artifact = ? AND ending = 'done' AND removed_ms IS NULL LIMIT 1",
		)
		.bind(artifact.as_bytes())
		.fetch_optional(&self.readers)
		.await?;
		Ok(found.is_some())
	}

	/// Whether anything stored names the artifact as one to be kept.
	pub async fn names_artifact(&self, artifact: &H256) -> Result<bool> {
		let found: Option<i64> = sqlx::query_scalar(
			"SELECT 1 FROM results WHERE artifact = ? AND removed_ms IS NULL LIMIT 1",
		)
		.bind(artifact.as_bytes())
		.fetch_optional(&self.readers)
		.await?;
		Ok(found.is_some())
	}

	/// Every task that has not ended, in the order of acceptance.
	pub async fn open_tasks(&self) -> Result<Vec<Open>> {
		let mut reader = self.readers.acquire().await?;
		let rows = sqlx::query(
			"SELECT * FROM tasks WHERE state IN ('queued', 'assigned', 'running', 'submitted') \
			 ORDER BY seq",
		)
		.fetch_all(&mut *reader)
		.await?;
		let mut open = Vec::with_capacity(rows.len());
		for row in &rows {
			let task = TaskRow::from_row(row)?;
			let stage = stage(&mut reader, &task).await?;
			let attempt = match task.attempt.filter(|_| task.state != TaskState::Queued) {
				Some(attempt) => self.attempt(&task.id, attempt).await?,
				None => None,
			};
			open.push(Open {
				task,
				stage,
				attempt,
			});
		}
		Ok(open)
	}
}

fn repeated(task: TaskRow, request_hash: &H256) -> Submitted {
	if task.request_hash == *request_hash {
		Submitted::Repeated(task)
	} else {
		Submitted::KeyTaken
	}
}

async fn by_key(
	connection: &mut SqliteConnection,
	app: &AppId,
	key: &str,
) -> Result<Option<TaskRow>> {
	let row = sqlx::query("SELECT * FROM tasks WHERE app = ? AND idempotency_key = ?")
		.bind(app.as_str())
		.bind(key)
		.fetch_optional(connection)
		.await?;
	row.as_ref().map(TaskRow::from_row).transpose()
}

async fn task(connection: &mut SqliteConnection, id: &TaskId) -> Result<Option<TaskRow>> {
	let row = sqlx::query("SELECT * FROM tasks WHERE id = ?")
		.bind(id.encode())
		.fetch_optional(connection)
		.await?;
	row.as_ref().map(TaskRow::from_row).transpose()
}

/// The task's stage as if nothing had failed.
fn stage_without_failures(task: &TaskRow) -> Stage {
	Stage {
		state: task.state,
		attempt: task.attempt,
		failures: 0,
		failed_miners: Vec::new(),
	}
}

/// The task's stage, with its failures counted from its attempts.
async fn stage(connection: &mut SqliteConnection, task: &TaskRow) -> Result<Stage> {
	let mut stage = stage_without_failures(task);
	if task.attempt.is_none() {
		return Ok(stage);
	}
	let rows = sqlx::query("SELECT miner, ending FROM attempts WHERE task = ? ORDER BY attempt")
		.bind(task.id.encode())
		.fetch_all(connection)
		.await?;
	for row in rows {
		let ending: Option<String> = row.try_get("ending")?;
		if !ending
			.and_then(|name| Ending::from_name(&name))
			.is_some_and(Ending::is_failure)
		{
			continue;
		}
		stage.failures += 1;
		let miner: AccountId = decode(&row.try_get::<Vec<u8>, _>("miner")?, "miner")?;
		if !stage.failed_miners.contains(&miner) {
			stage.failed_miners.push(miner);
		}
	}
	Ok(stage)
}

async fn transition(
	connection: &mut SqliteConnection,
	id: TaskId,
	event: &Event,
	extra: Extra,
	now_ms: UnixMs,
) -> Result<TransitionResult> {
	if let Extra::Draw { list, .. } = &extra {
		// Also when the draw comes too late for its task: the lists after it build on this one.
		insert_list(&mut *connection, list).await?;
	}
	let Some(old) = task(&mut *connection, &id).await? else {
		return Ok(Err(TransitionRefused::NoTask));
	};
	let before = if event.counts_failures() {
		stage(&mut *connection, &old).await?
	} else {
		stage_without_failures(&old)
	};
	let after = match before.after(event) {
		Ok(after) => after,
		Err(refusal) => return Ok(Err(TransitionRefused::By(refusal))),
	};

	let mut new = old.clone();
	new.state = after.state;
	new.attempt = after.attempt;
	new.updated_ms = now_ms;
	let mut ended = None;
	match &extra {
		Extra::None => {},
		Extra::Draw { attempt, list } => {
			insert_draw(&mut *connection, attempt, list).await?;
			new.miner = Some(attempt.assignment.miner.clone());
		},
		Extra::Result {
			commitment,
			signature,
			bytes,
		} => {
			let attempt = after.attempt.ok_or(StoreError::Corrupt("attempt"))?;
			insert_result(
				&mut *connection,
				&id,
				attempt,
				commitment,
				signature,
				*bytes,
				now_ms,
			)
			.await?;
		},
		Extra::End {
			ending,
			reason,
			queue_until_ms,
		} => {
			new.reason = match (after.state, reason) {
				(TaskState::Failed, Some(last)) => Some(given_up(&after, last)),
				(_, reason) => reason.clone(),
			};
			let own_limit_ms = old.max_wait_ms.map(|wait| now_ms.saturating_add(wait));
			new.queue_until_ms = own_limit_ms.unwrap_or(u64::MAX).min(*queue_until_ms);
			// A task that is cancelled while it waits has no attempt to end.
			if let (Some(attempt), Some(miner), true) = (
				before.attempt,
				&old.miner,
				before.state != TaskState::Queued,
			) {
				end_attempt(
					&mut *connection,
					&id,
					attempt,
					*ending,
					reason.as_deref(),
					now_ms,
				)
				.await?;
				count(&mut *connection, miner, *ending).await?;
				ended = Some((miner.clone(), *ending));
			}
		},
		Extra::Reason(reason) => new.reason = Some(reason.clone()),
	}

	let changed = sqlx::query(
		"UPDATE tasks SET state = ?, attempt = ?, miner = ?, reason = ?, updated_ms = ?, \
		 queue_until_ms = ? WHERE id = ? AND state = ? AND attempt IS ?",
	)
	.bind(new.state.name())
	.bind(new.attempt.map(i64::from))
	.bind(new.miner.as_ref().map(Encode::encode))
	.bind(&new.reason)
	.bind(stored_ms(new.updated_ms))
	.bind(stored_ms(new.queue_until_ms))
	.bind(id.encode())
	.bind(old.state.name())
	.bind(old.attempt.map(i64::from))
	.execute(connection)
	.await?
	.rows_affected();
	if changed != 1 {
		// Another writer was first: the caller's savepoint takes back what was inserted above.
		return Err(StoreError::Database(std::sync::Arc::new(
			sqlx::Error::RowNotFound,
		)));
	}
	Ok(Ok(Transition {
		task: new,
		before,
		after,
		ended,
	}))
}

fn given_up(stage: &Stage, last: &str) -> String {
	let (failures, miners) = (stage.failures, stage.failed_miners.len());
	format!("given up after {failures} failures by {miners} different miners; the last: {last}")
}

async fn insert_draw(
	connection: &mut SqliteConnection,
	row: &AttemptRow,
	list: &ListRecord,
) -> Result<()> {
	let assignment = &row.assignment;
	sqlx::query(
		"INSERT INTO attempts (task, attempt, miner, assignment, signature, coordinator_worker, \
		 list_chain, list_step, assigned_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
	)
	.bind(assignment.task.encode())
	.bind(i64::from(assignment.attempt))
	.bind(assignment.miner.encode())
	.bind(assignment.encode())
	.bind(row.signature.encode())
	.bind(row.coordinator_worker.encode())
	.bind(stored_chain(list.chain))
	.bind(i64::from(list.step))
	.bind(stored_ms(row.assigned_ms))
	.execute(connection)
	.await?;
	Ok(())
}

/// Adds a step to a chain. One whose step before is not there would give a wrong list: the draw that
/// comes with it is not committed.
async fn insert_list(connection: &mut SqliteConnection, list: &ListRecord) -> Result<()> {
	let Some(entries) = &list.entries else {
		return Ok(());
	};
	let inserted = sqlx::query(
		"INSERT INTO eligible_lists (chain, step, entries) SELECT ?1, ?2, ?3 WHERE ?2 = 0 \
		 OR EXISTS (SELECT 1 FROM eligible_lists WHERE chain = ?1 AND step = ?2 - 1)",
	)
	.bind(stored_chain(list.chain))
	.bind(i64::from(list.step))
	.bind(entries.encode())
	.execute(connection)
	.await?
	.rows_affected();
	match inserted {
		1 => Ok(()),
		_ => Err(StoreError::Corrupt("chain of eligible lists")),
	}
}

/// A chain's number as SQLite stores it: its integers are signed.
fn stored_chain(chain: u64) -> i64 {
	i64::from_le_bytes(chain.to_le_bytes())
}

/// The number of a chain that is stored so.
pub(super) fn read_chain(stored: i64) -> u64 {
	u64::from_le_bytes(stored.to_le_bytes())
}

async fn insert_result(
	connection: &mut SqliteConnection,
	id: &TaskId,
	attempt: Attempt,
	commitment: &ResultCommitment,
	signature: &WorkerSignature,
	bytes: u64,
	now_ms: UnixMs,
) -> Result<()> {
	sqlx::query(
		"INSERT INTO results (task, attempt, commitment, signature, artifact, bytes, submitted_ms) \
		 VALUES (?, ?, ?, ?, ?, ?, ?)",
	)
	.bind(id.encode())
	.bind(i64::from(attempt))
	.bind(commitment.encode())
	.bind(signature.encode())
	.bind(commitment.output.as_bytes())
	.bind(i64::try_from(bytes).unwrap_or(i64::MAX))
	.bind(stored_ms(now_ms))
	.execute(connection)
	.await?;
	Ok(())
}

async fn end_attempt(
	connection: &mut SqliteConnection,
	id: &TaskId,
	attempt: Attempt,
	ending: Ending,
	reason: Option<&str>,
	now_ms: UnixMs,
) -> Result<()> {
	sqlx::query(
		"UPDATE attempts SET ended_ms = ?, ending = ?, reason = ? \
		 WHERE task = ? AND attempt = ? AND ending IS NULL",
	)
	.bind(stored_ms(now_ms))
	.bind(ending.name())
	.bind(reason)
	.bind(id.encode())
	.bind(i64::from(attempt))
	.execute(connection)
	.await?;
	Ok(())
}

async fn count(connection: &mut SqliteConnection, miner: &AccountId, ending: Ending) -> Result<()> {
	sqlx::query(
		"INSERT INTO miners (account, done, failed) VALUES (?1, ?2, ?3) \
		 ON CONFLICT (account) DO UPDATE SET done = done + ?2, failed = failed + ?3",
	)
	.bind(miner.encode())
	.bind(i64::from(ending == Ending::Done))
	.bind(i64::from(ending.is_failure()))
	.execute(connection)
	.await?;
	Ok(())
}
