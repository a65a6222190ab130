//! What a slot's thread does: one batch after another.

use super::{
	health::Verdict,
	job::Job,
	pace::{work_of, Load},
	queue::Queue,
	Engine, Go, PaintError,
};
use crate::outbox::Painting;
use cuckoo_diffusion::Stop;
use cuckoo_primitives::task::TaskSpec;
use std::{
	panic::{catch_unwind, AssertUnwindSafe},
	time::Instant,
};
use tokio::runtime::Handle;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

/// Works until the queue is closed and empty. The runtime watches the switches of what is at work.
pub(super) fn work(
	mut engine: impl Engine,
	device: usize,
	queue: &Queue,
	load: &Load,
	runtime: &Handle,
) {
	while let Some(batch) = queue.next(device) {
		let mut results = paint(&mut engine, &batch.jobs, load, runtime).into_iter();
		let results: Vec<_> = batch
			.jobs
			.into_iter()
			.map(|job| {
				let silent = || Err(PaintError::Failed("the engine gave no answer".into()));
				(job, results.next().unwrap_or_else(silent))
			})
			.collect();
		// Before the replies: who hears of a failure finds the device as it is after it.
		let verdict = verdict(results.iter().map(|(_, result)| result));
		queue.ended(device, batch.tries, verdict);
		for (job, result) in results {
			job.end(result);
		}
	}
}

/// What the results of a batch say of the device: one failure, however many tasks it took along.
fn verdict<'a>(results: impl Iterator<Item = &'a Result<Painting, PaintError>> + Clone) -> Verdict {
	let failed = |result: &Result<_, _>| matches!(result, Err(PaintError::Device(_)));
	if results.clone().any(failed) {
		Verdict::Failed
	} else if results.clone().any(Result::is_ok) {
		Verdict::Well
	} else {
		Verdict::Nothing
	}
}

fn paint(
	engine: &mut impl Engine,
	jobs: &[Job],
	load: &Load,
	runtime: &Handle,
) -> Vec<Result<Painting, PaintError>> {
	let specs: Vec<TaskSpec> = jobs.iter().map(|job| job.spec.clone()).collect();
	let halt = Stop::new();
	let _watcher = halt_when_unwanted(jobs, halt.clone(), runtime);
	// Before the first step the model may be loaded, which the next batch has not to wait for.
	let mut first_step = None;
	let mut observe = |place: usize, done| {
		first_step.get_or_insert_with(|| (Instant::now(), done));
		jobs.get(place).map_or(Go::Stop, |job| job.at(done))
	};
	// A bug that a prompt can reach must not end the miner. The engine holds no state across paintings
	// that a panic could leave half changed: each starts from the loaded model.
	let results = catch_unwind(AssertUnwindSafe(|| {
		engine.paint(&specs, &halt, &mut observe)
	}))
	.unwrap_or_else(|_| {
		let panicked = PaintError::Failed("the engine panicked; see the log".into());
		vec![Err(panicked); jobs.len()]
	});
	// What was left halfway says little.
	if let Some((begun, done)) = first_step.filter(|_| results.iter().all(Result::is_ok)) {
		let rest = |spec: &TaskSpec| work_of(spec, spec.steps.saturating_sub(done));
		let work = specs.iter().map(rest).sum();
		load.pace().took(specs[0].model, work, begun.elapsed());
	}
	results
}

/// Ends the step that is under way once nobody wants any picture of the batch; until then a step is for
/// those who do.
fn halt_when_unwanted(jobs: &[Job], halt: Stop, runtime: &Handle) -> AbortOnDropHandle<()> {
	let switches: Vec<CancellationToken> = jobs.iter().map(|job| job.stop().clone()).collect();
	AbortOnDropHandle::new(runtime.spawn(async move {
		for switch in &switches {
			switch.cancelled().await;
		}
		halt.stop();
	}))
}
