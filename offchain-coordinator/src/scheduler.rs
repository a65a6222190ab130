//! The one task that hands out work: it draws a miner for every task that waits as soon as somebody
//! is eligible, and ends leases and waits that ran out.

use crate::{
	coordinator::{Coordinator, Result},
	live::Draw,
	state::{Ending, Event},
	store::{AttemptRow, Extra, TaskRow, TransitionResult},
};
use cuckoo_primitives::BlockNumber;
use std::{sync::Arc, time::Duration};
use tokio_util::sync::CancellationToken;

/// Draws that are committed together.
const BATCH: usize = 64;

/// How long to wait after the store failed.
const PAUSE: Duration = Duration::from_secs(1);

/// Runs until `stop`, or until the store has broken for good.
pub async fn run(coordinator: Arc<Coordinator>, stop: CancellationToken) {
	let tick = Duration::from_millis(coordinator.settings().tick_ms);
	loop {
		tokio::select! {
			biased;
			() = stop.cancelled() => return,
			() = coordinator.schedule().notified() => {},
			() = coordinator.clock().sleep(tick) => {},
		}
		if let Err(error) = pass(&coordinator).await {
			if coordinator.store().is_closed() && !stop.is_cancelled() {
				tracing::error!("the store's writer has broken: nothing can be done without it");
				return;
			}
			tracing::error!(%error, "the scheduler pauses");
			coordinator.clock().sleep(PAUSE).await;
		}
	}
}

/// Does everything that can be done now.
pub async fn pass(coordinator: &Arc<Coordinator>) -> Result<()> {
	end_what_ran_out(coordinator).await?;
	let Ok(identity) = coordinator.identity() else {
		return Ok(());
	};
	// What is signed at a block at which it is no active coordinator proves nothing.
	while !coordinator.is_draining() && coordinator.is_active() {
		let now_ms = coordinator.now_ms();
		let draws = coordinator.live().draw(&identity.operator, BATCH, now_ms);
		if draws.is_empty() {
			break;
		}
		let commits = draws.into_iter().map(|draw| commit(coordinator, draw));
		// To the end, also when one fails: a commit that is dropped half way leaves its task nowhere.
		let committed = futures::future::join_all(commits).await;
		committed.into_iter().collect::<Result<Vec<()>>>()?;
	}
	Ok(())
}

async fn end_what_ran_out(coordinator: &Arc<Coordinator>) -> Result<()> {
	let now_ms = coordinator.now_ms();
	let (leases, waits) = {
		let mut live = coordinator.live();
		live.tick(now_ms);
		let mut waits = live.queue.overdue(now_ms);
		if coordinator.is_draining() {
			// Nobody is drawn now, so that waiting in vain is not the miners' fault.
			waits.retain(|(_, is_too_late)| *is_too_late);
		}
		(live.leases.overdue(now_ms), waits)
	};
	for (held, miner, fetched) in leases {
		let (ending, reason) = if fetched {
			(Ending::LeaseExpired, "the miner did not finish in time")
		} else {
			(Ending::NotPickedUp, "the miner did not fetch the task")
		};
		coordinator.fail(held, miner, ending, reason).await?;
	}
	for (task, is_too_late) in waits {
		let reason = if is_too_late {
			"no miner could finish it by its deadline any more"
		} else {
			"no miner took it in time"
		};
		let reason = Extra::Reason(reason.into());
		match coordinator.transition(task, Event::Expire, reason).await? {
			Ok(_) => tracing::warn!(%task, "a task expired in the queue"),
			// Another process was first, and what it has to tell is on its way.
			Err(_) => coordinator.live().queue.forget(&task),
		}
	}
	Ok(())
}

/// Signs a draw and commits it; the miner is told once it is in the store.
async fn commit(coordinator: &Arc<Coordinator>, draw: Draw) -> Result<()> {
	let Draw {
		waiting,
		assignment,
		drawn_ms: now_ms,
		eligible,
		list,
	} = draw;
	let identity = coordinator.identity()?;
	let signature = coordinator.sign(identity, &assignment);
	let (task, attempt) = (assignment.task, assignment.attempt);
	let block = assignment.block_number;
	let row = AttemptRow {
		assignment,
		signature,
		coordinator_worker: coordinator.worker(),
		assigned_ms: now_ms,
		ended_ms: None,
		ending: None,
		reason: None,
	};
	let extra = Extra::Draw {
		attempt: Box::new(row),
		list,
	};
	let this = coordinator.clone();
	let after = move |outcome: &TransitionResult| {
		let mut live = this.live();
		match outcome {
			Ok(transition) => {
				live.apply(transition, now_ms);
				live.drawn(&transition.task, signature);
				this.metrics().drawn(&transition.task, now_ms);
				log(&transition.task, block, eligible);
			},
			// It was cancelled in the meantime, or another process was first.
			Err(_) => live.undrawn(&task, None, now_ms),
		}
	};
	let event = Event::Assign(attempt);
	let committed = coordinator
		.store()
		.transition(task, event, extra, now_ms, after)
		.await;
	if let Err(error) = committed {
		// Nothing was told to anybody: the task waits on, and may be drawn otherwise.
		coordinator.live().undrawn(&task, Some(waiting), now_ms);
		return Err(crate::coordinator::internal(error));
	}
	Ok(())
}

fn log(task: &TaskRow, block: BlockNumber, eligible: usize) {
	if let (Some(attempt), Some(miner)) = (task.attempt, &task.miner) {
		tracing::info!(task = %task.id, attempt, %miner, block, eligible, "a miner was drawn");
	}
}
