//! Ctrl-C, for commands that have something to put away before they end.

use anyhow::bail;
use cuckoo_diffusion::Stop;
use std::{future::Future, io};
use tokio::{select, signal, task::JoinHandle};

/// Waits for what a thread works on. Ctrl-C turns the switch, by which the work ends as soon as it can; a second
/// one does not wait for that.
pub async fn finished<T>(work: JoinHandle<anyhow::Result<T>>, stop: &Stop) -> anyhow::Result<T> {
	unless(signal::ctrl_c, work, stop).await
}

async fn unless<T, I>(
	mut interrupted: impl FnMut() -> I,
	mut work: JoinHandle<anyhow::Result<T>>,
	stop: &Stop,
) -> anyhow::Result<T>
where
	I: Future<Output = io::Result<()>>,
{
	select! {
		done = &mut work => return done?,
		signal = interrupted() => signal?,
	}
	stop.stop();
	select! {
		done = &mut work => done?,
		signal = interrupted() => {
			signal?;
			bail!("interrupted");
		},
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use std::{
		future::{pending, ready},
		sync::mpsc,
		time::Duration,
	};
	use tokio::{task::spawn_blocking, time::timeout};

	/// Interrupts so often, and then no more.
	fn times(
		mut left: usize,
	) -> impl FnMut() -> futures::future::BoxFuture<'static, io::Result<()>> {
		move || match left {
			0 => Box::pin(pending()),
			_ => {
				left -= 1;
				Box::pin(ready(Ok(())))
			},
		}
	}

	#[tokio::test]
	async fn the_first_interruption_lets_the_work_end_and_the_second_does_not_wait() {
		let stop = Stop::new();
		let work = spawn_blocking(|| Ok(7));
		assert_eq!(unless(times(0), work, &stop).await.unwrap(), 7);
		assert!(!stop.is_stopped());

		// It looks at the switch now and then, as between two steps.
		let switch = stop.clone();
		let work = spawn_blocking(move || {
			while !switch.is_stopped() {
				std::thread::sleep(Duration::from_millis(1));
			}
			Ok("put away")
		});
		assert_eq!(unless(times(1), work, &stop).await.unwrap(), "put away");

		// It does not look, as while a model loads.
		let (end, ended) = mpsc::channel::<()>();
		let work = spawn_blocking(move || Ok(ended.recv()?));
		let done = timeout(Duration::from_secs(60), unless(times(2), work, &stop)).await;
		assert_eq!(done.unwrap().unwrap_err().to_string(), "interrupted");
		drop(end);
	}
}
