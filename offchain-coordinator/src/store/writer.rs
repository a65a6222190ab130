//! The one writer of the store, with group commit.

use super::{sql::Sql, Result, StoreError};
use crate::metrics::Commits;
use std::{
	panic::{catch_unwind, AssertUnwindSafe},
	thread::JoinHandle,
};
use tokio::sync::{mpsc, oneshot};

/// Most writes in one commit.
const MAX_BATCH: usize = 256;

/// Most writes that wait; further callers wait for a place.
const MAX_WAITING: usize = 1_024;

/// A write on its way.
pub trait Job: Send {
	/// Does the work; says whether it succeeded. Can be called again, after what it did was undone.
	fn run(&mut self, sql: &mut dyn Sql) -> bool;

	/// The transaction has ended: tells the caller.
	fn finish(self: Box<Self>, committed: Result<()>);
}

/// A write, what follows it, and who waits for it.
struct Write<T, W, A> {
	work: W,
	after: A,
	result: Result<T>,
	reply: oneshot::Sender<Result<T>>,
}

/// Makes a write and the place where its outcome will be. `work` changes nothing but the database: it
/// is called again when its transaction has to be.
pub fn write<T, W, A>(work: W, after: A) -> (Box<dyn Job>, oneshot::Receiver<Result<T>>)
where
	T: Send + 'static,
	W: Fn(&mut dyn Sql) -> Result<T> + Send + 'static,
	A: FnOnce(&T) + Send + 'static,
{
	let (reply, outcome) = oneshot::channel();
	let result = Err(StoreError::Closed);
	let write = Write {
		work,
		after,
		result,
		reply,
	};
	(Box::new(write), outcome)
}

impl<T, W, A> Job for Write<T, W, A>
where
	T: Send,
	W: Fn(&mut dyn Sql) -> Result<T> + Send,
	A: FnOnce(&T) + Send,
{
	fn run(&mut self, sql: &mut dyn Sql) -> bool {
		let done = catch_unwind(AssertUnwindSafe(|| (self.work)(sql)));
		self.result = done.unwrap_or(Err(StoreError::Corrupt("write")));
		self.result.is_ok()
	}

	fn finish(self: Box<Self>, committed: Result<()>) {
		let Self {
			after,
			result,
			reply,
			..
		} = *self;
		let result = result.and_then(|value| committed.map(|()| value));
		if let Ok(value) = &result {
			after(value);
		}
		// A caller that went away needs no answer.
		let _ = reply.send(result);
	}
}

enum Message {
	Job(Box<dyn Job>),
	Close(oneshot::Sender<()>),
}

/// The writer's thread.
#[derive(Debug)]
pub struct Writer {
	jobs: Option<mpsc::Sender<Message>>,
	thread: Option<JoinHandle<()>>,
}

impl Writer {
	/// Starts the writer on this connection.
	pub fn spawn(connection: Box<dyn Sql>, commits: Commits) -> std::io::Result<Self> {
		let (jobs, inbox) = mpsc::channel(MAX_WAITING);
		let thread = std::thread::Builder::new()
			.name("store-writer".into())
			.spawn(move || run(connection, inbox, &commits))?;
		Ok(Self {
			jobs: Some(jobs),
			thread: Some(thread),
		})
	}

	/// Hands in a write. It happens also if the caller goes away.
	pub async fn send(&self, job: Box<dyn Job>) -> Result<()> {
		let jobs = self.jobs.as_ref().ok_or(StoreError::Closed)?;
		let sent = jobs.send(Message::Job(job)).await;
		sent.map_err(|_| StoreError::Closed)
	}

	/// Whether the writer has ended.
	pub fn is_closed(&self) -> bool {
		self.jobs.as_ref().is_none_or(mpsc::Sender::is_closed)
	}

	/// Ends the writer after the writes that wait.
	pub async fn close(&self) {
		let Some(jobs) = &self.jobs else { return };
		let (reply, closed) = oneshot::channel();
		if jobs.send(Message::Close(reply)).await.is_ok() {
			let _ = closed.await;
		}
	}
}

impl Drop for Writer {
	/// Waits for the writes that were handed in: nobody else may use the database before.
	fn drop(&mut self) {
		self.jobs = None;
		if let Some(thread) = self.thread.take() {
			// The last write's `after` can hold the last handle: the thread is then about to end.
			if thread.thread().id() != std::thread::current().id() {
				// If it broke, its panic was told when it happened.
				let _ = thread.join();
			}
		}
	}
}

fn run(mut connection: Box<dyn Sql>, mut inbox: mpsc::Receiver<Message>, commits: &Commits) {
	let mut closing = None;
	while closing.is_none() {
		let Some(first) = inbox.blocking_recv() else {
			break;
		};
		let mut batch = Vec::new();
		let mut next = Some(first);
		while let Some(message) = next.take() {
			match message {
				Message::Job(job) => batch.push(job),
				Message::Close(reply) => {
					inbox.close();
					closing = Some(reply);
					break;
				},
			}
			if batch.len() < MAX_BATCH {
				next = inbox.try_recv().ok();
			}
		}
		if !batch.is_empty() {
			commit(&mut *connection, batch, commits);
		}
	}
	drop(connection);
	if let Some(reply) = closing {
		let _ = reply.send(());
	}
}

/// Runs the jobs in one transaction and tells every caller.
pub fn commit(sql: &mut dyn Sql, mut batch: Vec<Box<dyn Job>>, commits: &Commits) {
	commits.writes.observe(batch.len() as f64);
	let timer = commits.seconds.start_timer();
	let committed = match together(sql, &mut batch) {
		Ok(true) => Ok(()),
		Ok(false) => apart(sql, &mut batch),
		Err(error) => Err(error),
	};
	timer.observe_duration();
	if let Err(error) = &committed {
		tracing::error!(%error, writes = batch.len(), "a commit failed");
	}
	for job in batch {
		job.finish(committed.clone());
	}
}

/// Runs the jobs without a savepoint, which costs more than a job: if one fails, all are undone, and
/// this says `false`. Jobs that fail are rare, for what is refused is no failure.
fn together(sql: &mut dyn Sql, batch: &mut [Box<dyn Job>]) -> Result<bool> {
	sql.begin()?;
	for job in batch.iter_mut() {
		if !job.run(sql) {
			sql.rollback();
			return Ok(false);
		}
	}
	sql.commit().map(|()| true)
}

/// Runs each job in a savepoint of its own, so that one that fails is undone by itself.
fn apart(sql: &mut dyn Sql, batch: &mut [Box<dyn Job>]) -> Result<()> {
	let transaction = |sql: &mut dyn Sql| {
		for job in batch {
			sql.batch("SAVEPOINT job")?;
			if !job.run(sql) {
				sql.batch("ROLLBACK TO SAVEPOINT job")?;
			}
			sql.batch("RELEASE SAVEPOINT job")?;
		}
		Ok(())
	};
	sql.begin()?;
	match transaction(sql) {
		Ok(()) => sql.commit(),
		Err(error) => {
			sql.rollback();
			Err(error)
		},
	}
}
