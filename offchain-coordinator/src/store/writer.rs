//! The one writer of the store, with group commit.

use super::{Result, StoreError};
use crate::metrics::Commits;
use futures::{future::BoxFuture, FutureExt};
use sqlx::sqlite::SqliteConnection;
use sqlx::Connection;
use std::{panic::AssertUnwindSafe, sync::Arc};
use tokio::sync::{mpsc, oneshot};

/// Most writes in one commit.
const MAX_BATCH: usize = 256;

/// Most writes that wait; further callers wait for a place.
const MAX_WAITING: usize = 1_024;

/// What a write does within the transaction.
pub type JobFuture<'c, T> = BoxFuture<'c, Result<T>>;

/// Gives a closure the type that [`Writer::write`] wants: one for any lifetime of the connection.
pub fn job<T, W>(work: W) -> W
where
	W: for<'c> FnOnce(&'c mut SqliteConnection) -> JobFuture<'c, T>,
{
	work
}

/// Tells the caller how it went, once the transaction has ended.
type Finish = Box<dyn FnOnce(Result<()>) + Send>;

/// A write: does its work, and says whether to keep it.
type Job =
	Box<dyn for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, (bool, Finish)> + Send>;

enum Message {
	Job(Job),
	Close(oneshot::Sender<()>),
}

/// A handle to the writer.
#[derive(Clone)]
pub struct Writer {
	jobs: mpsc::Sender<Message>,
}

impl std::fmt::Debug for Writer {
	fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
		f.debug_struct("Writer").finish_non_exhaustive()
	}
}

impl Writer {
	/// Starts the writer on this connection.
	pub fn spawn(connection: SqliteConnection, commits: Commits) -> Self {
		let (jobs, inbox) = mpsc::channel(MAX_WAITING);
		tokio::spawn(run(connection, inbox, commits));
		Self { jobs }
	}

	/// Runs `work` in a transaction; once that is committed runs `after`, in the order of commits, and
	/// returns. If the caller goes away, the write and its `after` still happen.
	pub async fn write<T, W, A>(&self, work: W, after: A) -> Result<T>
	where
		T: Send + 'static,
		W: for<'c> FnOnce(&'c mut SqliteConnection) -> JobFuture<'c, T> + Send + 'static,
		A: FnOnce(&T) + Send + 'static,
	{
		let (reply, outcome) = oneshot::channel::<Result<T>>();
		let job: Job = Box::new(move |connection| {
			let done = AssertUnwindSafe(work(connection)).catch_unwind();
			Box::pin(async move {
				let result = done.await.unwrap_or(Err(StoreError::Corrupt("write")));
				let keep = result.is_ok();
				let finish = move |committed: Result<()>| {
					let result = result.and_then(|value| committed.map(|()| value));
					if let Ok(value) = &result {
						after(value);
					}
					// A caller that went away needs no answer.
					let _ = reply.send(result);
				};
				(keep, Box::new(finish) as Finish)
			})
		});
		self.jobs
			.send(Message::Job(job))
			.await
			.map_err(|_| StoreError::Closed)?;
		outcome.await.map_err(|_| StoreError::Closed)?
	}

	/// Whether the writer has ended.
	pub fn is_closed(&self) -> bool {
		self.jobs.is_closed()
	}

	/// Ends the writer after the writes that wait.
	pub async fn close(&self) {
		let (reply, closed) = oneshot::channel();
		if self.jobs.send(Message::Close(reply)).await.is_ok() {
			let _ = closed.await;
		}
	}
}

async fn run(
	mut connection: SqliteConnection,
	mut inbox: mpsc::Receiver<Message>,
	commits: Commits,
) {
	let mut closing = None;
	while closing.is_none() {
		let Some(first) = inbox.recv().await else {
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
			commits.writes.observe(batch.len() as f64);
			let _timer = commits.seconds.start_timer();
			commit(&mut connection, batch).await;
		}
	}
	if let Err(error) = connection.close().await {
		tracing::warn!(%error, "the store did not close cleanly");
	}
	if let Some(reply) = closing {
		let _ = reply.send(());
	}
}

/// Runs the jobs in one transaction, each in a savepoint of its own, and tells every caller.
async fn commit(connection: &mut SqliteConnection, batch: Vec<Job>) {
	let mut finishes = Vec::with_capacity(batch.len());
	let result = transaction(connection, batch, &mut finishes).await;
	let result = result.map_err(|error| {
		tracing::error!(%error, writes = finishes.len(), "a commit failed");
		StoreError::Database(Arc::new(error))
	});
	if result.is_err() {
		// Fails when SQLite has rolled back by itself, which is as good.
		let _ = sqlx::query("ROLLBACK").execute(&mut *connection).await;
	}
	for finish in finishes {
		finish(result.clone());
	}
}

async fn transaction(
	connection: &mut SqliteConnection,
	batch: Vec<Job>,
	finishes: &mut Vec<Finish>,
) -> std::result::Result<(), sqlx::Error> {
	// Every command is a round trip to the thread that SQLite runs in: as few as can be.
	sqlx::raw_sql("BEGIN IMMEDIATE; SAVEPOINT job")
		.execute(&mut *connection)
		.await?;
	let last = batch.len() - 1;
	for (number, job) in batch.into_iter().enumerate() {
		let (keep, finish) = job(&mut *connection).await;
		finishes.push(finish);
		let then = match (keep, number == last) {
			(false, _) => "ROLLBACK TO job",
			(true, false) => "RELEASE job; SAVEPOINT job",
			// The commit releases it.
			(true, true) => continue,
		};
		sqlx::raw_sql(then).execute(&mut *connection).await?;
	}
	sqlx::raw_sql("COMMIT").execute(&mut *connection).await?;
	Ok(())
}
