//! Tasks in the store: acceptance, the compare-and-set of every transition, and recovery.

use super::{
	ledger::{self, Earned, Short, TakenVoucher},
	open_states,
	peers::Notice,
	rows::{stored_ms, AttemptRow, ResultRow, TaskRow},
	sql::{scale, values, Dialect, Row, Sql, Value},
	webhooks, Result, Store, StoreError, TransitionRefused, TransitionResult,
};
use crate::{
	apps::AppId,
	clock::UnixMs,
	draw::{replay, ListEntries, ListRecord},
	state::{Ending, Event, Stage, Step},
	terms::Terms,
};
use cuckoo_coordinator_api::task::TaskState;
use cuckoo_primitives::{
	draw::Eligible,
	signing::ResultCommitment,
	task::{Attempt, TaskId, TaskSpec},
	AccountId, EraIndex, WorkerSignature, H256,
};

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
	/// What is agreed on.
	pub terms: Terms,
	/// The voucher that pays, if a channel does.
	pub voucher: Option<Box<TakenVoucher>>,
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
	/// It has a webhook, and as many calls of the app wait as may.
	WebhooksBehind,
	/// Another app has given the key, for the same spec: the two tasks would have one id.
	IdTaken,
	/// Its price cannot be held.
	Short(Short),
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
	/// With `Accept`: the era of the last finalized block, for which the miner earns. It can be left out
	/// for a task that nobody pays for.
	Done {
		/// The era.
		era: Option<EraIndex>,
	},
	/// With `Fail` and `Cancel`: how the attempt ended.
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
	/// The stage after. Its failures are counted only after events that hang on them.
	pub after: Stage,
	/// The miner whose attempt ended by it, and how.
	pub ended: Option<(AccountId, Ending)>,
	/// What the miner has earned in the era with this task, which it was paid for.
	pub earned: Option<Earned>,
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
		let work = move |sql: &mut dyn Sql| submit(sql, &new, now_ms);
		self.write(work, after).await
	}

	/// The outcome of an earlier submit of this app with this key.
	pub async fn submitted_before(
		&self,
		app: &AppId,
		key: &str,
		request_hash: &H256,
	) -> Result<Option<Submitted>> {
		let (app, key) = (app.clone(), key.to_owned());
		let task = self.read(move |sql| by_key(sql, &app, &key)).await?;
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
		let instance = self.instance;
		let work = move |sql: &mut dyn Sql| transition(sql, &id, &event, &extra, instance, now_ms);
		self.write(work, after).await
	}

	/// A task.
	pub async fn task(&self, id: &TaskId) -> Result<Option<TaskRow>> {
		let id = *id;
		self.read(move |sql| task(sql, &id)).await
	}

	/// One attempt at a task.
	pub async fn attempt(&self, id: &TaskId, attempt: Attempt) -> Result<Option<AttemptRow>> {
		let id = *id;
		self.read(move |sql| read_attempt(sql, &id, attempt)).await
	}

	/// What the miner of an attempt committed to.
	pub async fn result(&self, id: &TaskId, attempt: Attempt) -> Result<Option<ResultRow>> {
		let query = "SELECT * FROM results WHERE task = $1 AND attempt = $2";
		let values = values![scale(id), attempt].to_vec();
		self.row(query, values, ResultRow::from_row).await
	}

	/// The list that an attempt was drawn from.
	pub async fn eligible(&self, id: &TaskId, attempt: Attempt) -> Result<Option<Vec<Eligible>>> {
		let query = "SELECT entries FROM eligible_lists JOIN attempts \
			ON chain = list_chain AND step <= list_step \
			WHERE task = $1 AND attempt = $2 ORDER BY step";
		let values = values![scale(id), attempt].to_vec();
		let entries = |row: &Row| row.decode::<ListEntries>("entries");
		Ok(replay(self.rows(query, values, entries).await?))
	}

	/// Whether the artifact is the result of a task that is done.
	pub async fn is_result(&self, artifact: &H256) -> Result<bool> {
		let query = "SELECT 1 FROM results JOIN attempts USING (task, attempt) \
			WHERE artifact = $1 AND ending = 'done' AND removed_ms IS NULL LIMIT 1";
		let found = self.row(query, vec![scale(artifact)], |_| Ok(())).await?;
		Ok(found.is_some())
	}

	/// Whether anything stored names the artifact as one to be kept.
	pub async fn names_artifact(&self, artifact: &H256) -> Result<bool> {
		let query = "SELECT 1 FROM results WHERE artifact = $1 AND removed_ms IS NULL LIMIT 1";
		let found = self.row(query, vec![scale(artifact)], |_| Ok(())).await?;
		Ok(found.is_some())
	}

	/// Every task that has not ended, in the order of acceptance.
	pub async fn open_tasks(&self) -> Result<Vec<Open>> {
		self.read(open_tasks).await
	}
}

fn open_tasks(sql: &mut dyn Sql) -> Result<Vec<Open>> {
	let query = concat!(
		"SELECT * FROM tasks WHERE ",
		open_states!(),
		" ORDER BY seq"
	);
	let tasks = sql.rows(query, &[], TaskRow::from_row)?;
	let open = tasks.into_iter().map(|task| {
		let stage = stage(sql, &task)?;
		let attempt = match task.attempt.filter(|_| task.state != TaskState::Queued) {
			Some(attempt) => read_attempt(sql, &task.id, attempt)?,
			None => None,
		};
		Ok(Open {
			task,
			stage,
			attempt,
		})
	});
	open.collect()
}

fn submit(sql: &mut dyn Sql, new: &NewTask, now_ms: UnixMs) -> Result<Submitted> {
	if let Some(key) = &new.idempotency_key {
		if let Some(task) = by_key(sql, &new.app, key)? {
			return Ok(repeated(task, &new.request_hash));
		}
	}
	if new.terms.webhook.is_some() && webhooks::are_too_many(sql, &new.app)? {
		return Ok(Submitted::WebhooksBehind);
	}
	let payment = new.terms.payment.as_ref();
	let hold = match payment {
		None => None,
		Some(payment) => {
			let (voucher, price) = (new.voucher.as_deref(), new.terms.price.0);
			match ledger::hold(sql, &payment.payer, voucher, price)? {
				Ok(hold) => Some(hold),
				Err(short) => return Ok(Submitted::Short(short)),
			}
		},
	};
	let spec_hash = new.spec.hash();
	let inserted = sql.row(
		"INSERT INTO tasks (id, app, nonce, idempotency_key, request_hash, spec, spec_hash, \
		 priority, state, created_ms, updated_ms, queue_until_ms, max_wait_ms, \
		 price, deadline_ms, webhook, payer, pay) \
		 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 'queued', $9, $9, $10, $11, $12, $13, $14, $15, \
		 $16) \
		 ON CONFLICT (id) DO NOTHING RETURNING seq",
		values![
			scale(&new.id),
			new.app.as_str(),
			&new.nonce,
			new.idempotency_key.as_ref(),
			scale(&new.request_hash),
			scale(&new.spec),
			scale(&spec_hash),
			new.priority,
			stored_ms(now_ms),
			stored_ms(new.queue_until_ms),
			new.max_wait_ms.map(stored_ms),
			scale(&new.terms.price.0),
			new.terms.deadline_ms.map(stored_ms),
			new.terms.webhook.as_ref(),
			payment.map(|payment| Value::Text(payment.payer.to_string())),
			payment.map(|payment| scale(&payment.pay.0)),
		],
	)?;
	let Some(row) = inserted else {
		return Ok(Submitted::IdTaken);
	};
	let task = TaskRow {
		seq: row.get("seq")?,
		id: new.id,
		app: new.app.clone(),
		nonce: new.nonce.clone(),
		request_hash: new.request_hash,
		spec: new.spec.clone(),
		spec_hash,
		priority: new.priority,
		state: TaskState::Queued,
		attempt: None,
		miner: None,
		reason: None,
		created_ms: now_ms,
		updated_ms: now_ms,
		queue_until_ms: new.queue_until_ms,
		max_wait_ms: new.max_wait_ms,
		instance: None,
		terms: new.terms.clone(),
	};
	if let Some(hold) = hold {
		hold.put(sql, &task)?;
	}
	sql.tell(notice(&task));
	Ok(Submitted::Accepted(task))
}

fn repeated(task: TaskRow, request_hash: &H256) -> Submitted {
	if task.request_hash == *request_hash {
		Submitted::Repeated(task)
	} else {
		Submitted::KeyTaken
	}
}

fn by_key(sql: &mut dyn Sql, app: &AppId, key: &str) -> Result<Option<TaskRow>> {
	let query = "SELECT * FROM tasks WHERE app = $1 AND idempotency_key = $2";
	let row = sql.row(query, values![app.as_str(), key])?;
	row.as_ref().map(TaskRow::from_row).transpose()
}

pub(super) fn task(sql: &mut dyn Sql, id: &TaskId) -> Result<Option<TaskRow>> {
	let row = sql.row("SELECT * FROM tasks WHERE id = $1", values![scale(id)])?;
	row.as_ref().map(TaskRow::from_row).transpose()
}

pub(super) fn read_attempt(
	sql: &mut dyn Sql,
	id: &TaskId,
	attempt: Attempt,
) -> Result<Option<AttemptRow>> {
	let query = "SELECT * FROM attempts WHERE task = $1 AND attempt = $2";
	let row = sql.row(query, values![scale(id), attempt])?;
	row.as_ref().map(AttemptRow::from_row).transpose()
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
pub(super) fn stage(sql: &mut dyn Sql, task: &TaskRow) -> Result<Stage> {
	let mut stage = stage_without_failures(task);
	if task.attempt.is_none() {
		return Ok(stage);
	}
	let query = "SELECT miner, ending FROM attempts WHERE task = $1 ORDER BY attempt";
	for row in sql.query(query, values![scale(&task.id)])? {
		let ending: Option<String> = row.get("ending")?;
		if !ending
			.and_then(|name| Ending::from_name(&name))
			.is_some_and(Ending::is_failure)
		{
			continue;
		}
		stage.failures += 1;
		let miner: AccountId = row.decode("miner")?;
		if !stage.failed_miners.contains(&miner) {
			stage.failed_miners.push(miner);
		}
	}
	Ok(stage)
}

fn transition(
	sql: &mut dyn Sql,
	id: &TaskId,
	event: &Event,
	extra: &Extra,
	instance: Option<i64>,
	now_ms: UnixMs,
) -> Result<TransitionResult> {
	if let Extra::Draw { list, .. } = extra {
		// Also when the draw comes too late for its task: the lists after it build on this one.
		insert_list(sql, list)?;
	}
	let changed = match event.step() {
		Some(step) => take_step(sql, id, event, &step, extra, instance, now_ms)?,
		None => change(sql, id, event, extra, now_ms)?,
	};
	let (task, after, worked) = match changed {
		Ok(changed) => changed,
		Err(refused) => return Ok(Err(refused)),
	};
	let mut ended = None;
	match extra {
		Extra::None | Extra::Reason(_) => {},
		Extra::Draw { attempt, list } => insert_draw(sql, attempt, list)?,
		Extra::Result {
			commitment,
			signature,
			bytes,
		} => {
			let attempt = after.attempt.ok_or(StoreError::Corrupt("attempt"))?;
			insert_result(sql, id, attempt, commitment, signature, *bytes, now_ms)?;
		},
		Extra::Done { .. } | Extra::End { .. } => {
			let (ending, reason) = match extra {
				Extra::End { ending, reason, .. } => (*ending, reason.as_deref()),
				_ => (Ending::Done, None),
			};
			// A task that is cancelled while it waits has no attempt to end.
			if let (Some(attempt), Some(miner), true) = (task.attempt, &task.miner, worked) {
				end_attempt(sql, id, attempt, ending, reason, now_ms)?;
				count(sql, miner, ending)?;
				ended = Some((miner.clone(), ending));
			}
		},
	}
	let mut earned = None;
	if after.state.is_final() {
		webhooks::insert(sql, &task, now_ms)?;
		let era = match extra {
			Extra::Done { era } => *era,
			_ => None,
		};
		earned = ledger::end(sql, &task, era)?;
	}
	sql.tell(notice(&task));
	Ok(Ok(Transition {
		task,
		after,
		ended,
		earned,
	}))
}

/// What other processes are told of a task that has changed.
pub(super) fn notice(task: &TaskRow) -> String {
	Notice {
		id: task.id,
		seq: task.seq,
		change: task.state.into(),
	}
	.text()
}

/// The task and its stage after an event, and whether an attempt was at work before it.
type Changed = std::result::Result<(TaskRow, Stage, bool), TransitionRefused>;

/// Lets an event happen that says itself from where to where it leads: one compare-and-set.
fn take_step(
	sql: &mut dyn Sql,
	id: &TaskId,
	event: &Event,
	step: &Step,
	extra: &Extra,
	instance: Option<i64>,
	now_ms: UnixMs,
) -> Result<Changed> {
	let drawn = match extra {
		Extra::Draw { attempt, .. } => Some(scale(&attempt.assignment.miner)),
		_ => None,
	};
	let row = sql.row(
		"UPDATE tasks SET state = $1, attempt = $2, miner = COALESCE($3, miner), \
		 reason = CASE WHEN $1 = 'done' THEN NULL ELSE reason END, updated_ms = $4, \
		 instance = $5 WHERE id = $6 AND state IN ($7, $8) \
		 AND attempt IS NOT DISTINCT FROM $9 RETURNING *",
		values![
			step.to.name(),
			step.attempt,
			drawn,
			stored_ms(now_ms),
			instance,
			scale(id),
			step.from[0].name(),
			step.from[1].name(),
			step.before,
		],
	)?;
	let Some(row) = row else {
		return refusal(sql, id, event).map(Err);
	};
	let task = TaskRow::from_row(&row)?;
	let after = stage_without_failures(&task);
	let worked = step.before == Some(step.attempt);
	Ok(Ok((task, after, worked)))
}

/// Why the step could not be taken.
fn refusal(sql: &mut dyn Sql, id: &TaskId, event: &Event) -> Result<TransitionRefused> {
	let Some(task) = task(sql, id)? else {
		return Ok(TransitionRefused::NoTask);
	};
	match stage_without_failures(&task).after(event) {
		Err(refusal) => Ok(TransitionRefused::By(refusal)),
		Ok(_) => Err(StoreError::Corrupt("task")),
	}
}

/// Lets an event happen for which the task must be read before.
fn change(
	sql: &mut dyn Sql,
	id: &TaskId,
	event: &Event,
	extra: &Extra,
	now_ms: UnixMs,
) -> Result<Changed> {
	let Some(old) = task(sql, id)? else {
		return Ok(Err(TransitionRefused::NoTask));
	};
	let before = if event.counts_failures() {
		stage(sql, &old)?
	} else {
		stage_without_failures(&old)
	};
	let after = match before.after(event) {
		Ok(after) => after,
		Err(refusal) => return Ok(Err(TransitionRefused::By(refusal))),
	};
	let mut new = old;
	new.state = after.state;
	new.updated_ms = now_ms;
	match extra {
		Extra::End {
			reason,
			queue_until_ms,
			..
		} => {
			new.reason = match (after.state, reason) {
				(TaskState::Failed, Some(last)) => Some(given_up(&after, last)),
				(_, reason) => reason.clone(),
			};
			let own_limit_ms = new.max_wait_ms.map(|wait| now_ms.saturating_add(wait));
			new.queue_until_ms = own_limit_ms.unwrap_or(u64::MAX).min(*queue_until_ms);
		},
		Extra::Reason(reason) => new.reason = Some(reason.clone()),
		Extra::None | Extra::Draw { .. } | Extra::Result { .. } | Extra::Done { .. } => {},
	}
	let changed = sql.execute(
		"UPDATE tasks SET state = $1, reason = $2, updated_ms = $3, queue_until_ms = $4 \
		 WHERE id = $5 AND state = $6 AND attempt IS NOT DISTINCT FROM $7",
		values![
			new.state.name(),
			new.reason.as_ref(),
			stored_ms(new.updated_ms),
			stored_ms(new.queue_until_ms),
			scale(id),
			before.state.name(),
			before.attempt,
		],
	)?;
	if changed != 1 {
		return Err(StoreError::Corrupt("task"));
	}
	let worked = before.state != TaskState::Queued;
	Ok(Ok((new, after, worked)))
}

fn given_up(stage: &Stage, last: &str) -> String {
	let (failures, miners) = (stage.failures, stage.failed_miners.len());
	format!("given up after {failures} failures by {miners} different miners; the last: {last}")
}

fn insert_draw(sql: &mut dyn Sql, row: &AttemptRow, list: &ListRecord) -> Result<()> {
	let assignment = &row.assignment;
	sql.execute(
		"INSERT INTO attempts (task, attempt, miner, assignment, signature, coordinator_worker, \
		 list_chain, list_step, assigned_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
		values![
			scale(&assignment.task),
			assignment.attempt,
			scale(&assignment.miner),
			scale(assignment),
			scale(&row.signature),
			scale(&row.coordinator_worker),
			stored_chain(list.chain),
			list.step,
			stored_ms(row.assigned_ms),
		],
	)?;
	Ok(())
}

/// Adds a step to a chain. One whose step before is not there would give a wrong list: the draw that
/// comes with it is not committed.
fn insert_list(sql: &mut dyn Sql, list: &ListRecord) -> Result<()> {
	let Some(entries) = &list.entries else {
		return Ok(());
	};
	let insert = match sql.dialect() {
		Dialect::Sqlite => {
			"INSERT INTO eligible_lists (chain, step, entries) SELECT $1, $2, $3 WHERE $2 = 0 \
			 OR EXISTS (SELECT 1 FROM eligible_lists WHERE chain = $1 AND step = $2 - 1)"
		},
		// It wants to be told the types of what is selected.
		Dialect::Postgres => {
			"INSERT INTO eligible_lists (chain, step, entries) \
			 SELECT $1::bigint, $2::bigint, $3::bytea WHERE $2 = 0 \
			 OR EXISTS (SELECT 1 FROM eligible_lists WHERE chain = $1 AND step = $2 - 1)"
		},
	};
	let values = values![stored_chain(list.chain), list.step, scale(entries)];
	match sql.execute(insert, values)? {
		1 => Ok(()),
		_ => Err(StoreError::Corrupt("chain of eligible lists")),
	}
}

/// A chain's number as it is stored: the database's integers are signed.
fn stored_chain(chain: u64) -> i64 {
	i64::from_le_bytes(chain.to_le_bytes())
}

/// The number of a chain that is stored so.
pub(super) fn read_chain(stored: i64) -> u64 {
	u64::from_le_bytes(stored.to_le_bytes())
}

fn insert_result(
	sql: &mut dyn Sql,
	id: &TaskId,
	attempt: Attempt,
	commitment: &ResultCommitment,
	signature: &WorkerSignature,
	bytes: u64,
	now_ms: UnixMs,
) -> Result<()> {
	sql.execute(
		"INSERT INTO results (task, attempt, commitment, signature, artifact, bytes, submitted_ms) \
		 VALUES ($1, $2, $3, $4, $5, $6, $7)",
		values![
			scale(id),
			attempt,
			scale(commitment),
			scale(signature),
			scale(&commitment.output),
			i64::try_from(bytes).unwrap_or(i64::MAX),
			stored_ms(now_ms),
		],
	)?;
	Ok(())
}

fn end_attempt(
	sql: &mut dyn Sql,
	id: &TaskId,
	attempt: Attempt,
	ending: Ending,
	reason: Option<&str>,
	now_ms: UnixMs,
) -> Result<()> {
	sql.execute(
		"UPDATE attempts SET ended_ms = $1, ending = $2, reason = $3 \
		 WHERE task = $4 AND attempt = $5 AND ending IS NULL",
		values![stored_ms(now_ms), ending.name(), reason, scale(id), attempt],
	)?;
	Ok(())
}

fn count(sql: &mut dyn Sql, miner: &AccountId, ending: Ending) -> Result<()> {
	sql.execute(
		"INSERT INTO miners (account, done, failed) VALUES ($1, $2, $3) \
		 ON CONFLICT (account) DO UPDATE SET done = miners.done + excluded.done, \
		 failed = miners.failed + excluded.failed",
		values![
			scale(miner),
			i64::from(ending == Ending::Done),
			i64::from(ending.is_failure()),
		],
	)?;
	Ok(())
}
