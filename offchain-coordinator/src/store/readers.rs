//! The threads that read, each with a connection of its own.

use super::{sql::Sql, Result, StoreError};
use std::{
	panic::{catch_unwind, AssertUnwindSafe},
	sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::{mpsc, oneshot};

/// Most reads that wait; further callers wait for a place.
const MAX_WAITING: usize = 1_024;

type Job = Box<dyn FnOnce(&mut dyn Sql) + Send>;

enum Message {
	Job(Job),
	Close(oneshot::Sender<()>),
}

/// A handle to the readers.
#[derive(Debug)]
pub struct Readers {
	jobs: mpsc::Sender<Message>,
	threads: usize,
}

impl Readers {
	/// Starts a reader on each of these connections.
	pub fn spawn(connections: Vec<Box<dyn Sql>>) -> std::io::Result<Self> {
		let (jobs, inbox) = mpsc::channel(MAX_WAITING);
		let inbox = Arc::new(Mutex::new(inbox));
		let threads = connections.len();
		for connection in connections {
			let inbox = inbox.clone();
			std::thread::Builder::new()
				.name("store-reader".into())
				.spawn(move || run(connection, &inbox))?;
		}
		Ok(Self { jobs, threads })
	}

	/// Runs `work` on the first connection that is free.
	pub async fn read<T: Send + 'static>(
		&self,
		work: impl FnOnce(&mut dyn Sql) -> Result<T> + Send + 'static,
	) -> Result<T> {
		let (reply, outcome) = oneshot::channel();
		let job: Job = Box::new(move |sql| {
			let done = catch_unwind(AssertUnwindSafe(|| work(sql)));
			// A caller that went away needs no answer.
			let _ = reply.send(done.unwrap_or(Err(StoreError::Corrupt("read"))));
		});
		let sent = self.jobs.send(Message::Job(job)).await;
		sent.map_err(|_| StoreError::Closed)?;
		outcome.await.map_err(|_| StoreError::Closed)?
	}

	/// Ends the readers after the reads that wait, and closes their connections.
	pub async fn close(&self) {
		let mut closing = Vec::new();
		for _ in 0..self.threads {
			let (reply, closed) = oneshot::channel();
			if self.jobs.send(Message::Close(reply)).await.is_ok() {
				closing.push(closed);
			}
		}
		for closed in closing {
			let _ = closed.await;
		}
	}
}

fn run(mut connection: Box<dyn Sql>, inbox: &Mutex<mpsc::Receiver<Message>>) {
	loop {
		// Whoever waits for a message holds the lock; the others wait for that.
		let message = inbox
			.lock()
			.unwrap_or_else(PoisonError::into_inner)
			.blocking_recv();
		match message {
			Some(Message::Job(job)) => job(&mut *connection),
			Some(Message::Close(reply)) => {
				drop(connection);
				let _ = reply.send(());
				return;
			},
			None => return,
		}
	}
}
