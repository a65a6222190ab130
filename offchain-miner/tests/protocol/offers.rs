//! Slots that were offered, and coordinators that hand out more, or nothing in time, or answer nothing.

use super::{registry, Running, ANY, FAST, SLOW};
use crate::coordinator::{spec, Coordinator};
use cuckoo_coordinator_api::ErrorCode;
use offchain_miner::{device::Layout, trust::Trust};
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// Between two polls of the miner under test.
const POLL_GAP: Duration = Duration::from_millis(10);

fn slots(slots: u16) -> Layout {
	Layout {
		slots,
		..Layout::default()
	}
}

#[tokio::test(flavor = "multi_thread")]
async fn work_beyond_what_was_offered_is_not_begun_and_who_goes_on_with_it_is_left() {
	let folder = tempfile::tempdir().unwrap();
	let coordinator = Coordinator::new(10);
	coordinator.lock().unasked = true;
	for task in 1..=30 {
		coordinator.ask_for(task);
	}
	let (_server, address) = coordinator.serve(ANY).await;
	let chain = registry(&[(&coordinator, address)]);
	let miner = Running::start(folder.path(), chain, SLOW * 10).await;
	coordinator
		.wait_for("work given back", |seen| seen.failures().len() >= 9)
		.await;
	// The first is at work, for which a slot was offered; nothing waits behind it in others' place.
	assert_eq!(*miner.devices.load().borrow(), 1);
	sleep(POLL_GAP * 5).await;
	let seen = &coordinator.lock().seen;
	assert_eq!(seen.failures(), ["no slot was offered for it"; 9]);
	assert_eq!(miner.painted(), 1);
}

/// The slot that was offered to both is taken by one; what the other has drawn on it by then comes all the
/// same, and is done.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_drawn_on_an_offer_is_done_also_when_it_comes_to_a_busy_miner() {
	let folder = tempfile::tempdir().unwrap();
	let (first, second) = (Coordinator::new(10), Coordinator::new(12));
	first.lock().unasked = true;
	let (_server, address) = first.serve(ANY).await;
	let (_other_server, other_address) = second.serve(ANY).await;
	let chain = registry(&[(&first, address), (&second, other_address)]);
	let trust = Trust::system().unwrap();
	let miner = Running::start_laid_out(folder.path(), chain, SLOW, trust, 1, slots(2)).await;
	for coordinator in [&first, &second] {
		coordinator
			.wait_for("an offer of both", |seen| {
				seen.polls.iter().any(|poll| poll.free_slots == 2)
			})
			.await;
	}
	second.ask_for(1);
	second.ask_for(2);
	second
		.wait_for("the work's begin", |seen| seen.progress.len() >= 2)
		.await;
	first.ask_for(1);
	first.ask_for(2);
	for coordinator in [&first, &second] {
		coordinator
			.wait_for("both results", |seen| seen.commitments().len() == 2)
			.await;
		assert!(coordinator.lock().seen.failures().is_empty());
	}
	miner.settled().await;
	assert_eq!(miner.painted(), 4);
}

/// One that never answers has some calls on their way, and no more with each assignment; and it does not make
/// the miner poll without a pause.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_given_back_and_not_answered_does_not_pile_up() {
	const TASKS: u8 = 40;
	let folder = tempfile::tempdir().unwrap();
	let coordinator = Coordinator::new(10);
	coordinator.lock().silent = true;
	for task in 1..=TASKS {
		coordinator.ask_for_within(task, -5);
	}
	let (_server, address) = coordinator.serve(ANY).await;
	let chain = registry(&[(&coordinator, address)]);
	let trust = Trust::system().unwrap();
	let layout = Layout {
		batch: 16,
		..slots(2)
	};
	let begun = Instant::now();
	let miner = Running::start_laid_out(folder.path(), chain, FAST, trust, 1, layout).await;
	// What polls bring back is seen in the next one.
	let polls = usize::from(TASKS) + 1;
	coordinator
		.wait_for("all of it handed out", |seen| seen.polls.len() >= polls)
		.await;
	assert!(begun.elapsed() >= POLL_GAP * (u32::from(TASKS) - 1));
	assert_eq!(coordinator.lock().seen.submits.len(), 16);
	assert_eq!(miner.painted(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_not_be_done_in_time_is_given_back_at_once() {
	let folder = tempfile::tempdir().unwrap();
	let coordinator = Coordinator::new(10);
	let (_server, address) = coordinator.serve(ANY).await;
	let miner = Running::start(folder.path(), registry(&[(&coordinator, address)]), SLOW).await;
	// As fast as this one the next will be.
	coordinator.ask_for(1);
	coordinator
		.wait_for("a result", |seen| seen.commitments().len() == 1)
		.await;
	miner.settled().await;
	coordinator.ask_for_within(2, 300);
	coordinator
		.wait_for("an answer", |seen| !seen.failures().is_empty())
		.await;
	let reason = "it would not be done before its lease ends";
	assert_eq!(coordinator.lock().seen.failures(), [reason]);
	assert_eq!(miner.painted(), 1);
}

/// It takes no result, and then it forges: what is done stays in the outbox, and the place is another's.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_left_keeps_its_place_for_no_longer_than_the_pictures_take() {
	let folder = tempfile::tempdir().unwrap();
	let coordinator = Coordinator::new(10);
	coordinator.lock().submit_faults = vec![ErrorCode::Internal; 1_000].into();
	let (_server, address) = coordinator.serve(ANY).await;
	let chain = registry(&[(&coordinator, address)]);
	let trust = Trust::system().unwrap();
	let miner = Running::start_laid_out(folder.path(), chain, SLOW, trust, 1, slots(2)).await;
	coordinator.ask_for(1);
	coordinator
		.wait_for("the work's begin", |seen| !seen.progress.is_empty())
		.await;
	miner.tells("coordinators_served 1").await;
	let spec = spec("task 2");
	let mut forged = coordinator.sign(coordinator.assignment(2, 0, &spec), spec);
	forged.assignment.total_weight += 1;
	coordinator.hand_out(forged);
	miner.tells("coordinators_served 0").await;
	assert_eq!(miner.painted(), 1, "the picture was finished");
	assert_eq!(miner.outbox.pending().len(), 1);
}
