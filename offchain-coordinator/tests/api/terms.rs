//! What a task costs and until when it must be done.

use crate::{harness::*, money};
use cuckoo_coordinator_api::{
	error::ErrorCode,
	rpc::TaskRpcClient,
	task::{SubmitOptions, TaskState},
	Amount,
};
use offchain_coordinator::{price::Prices, settings::Settings};

fn priced(rate: u128) -> Settings {
	Settings {
		prices: Prices {
			default: 7,
			by_model: [("tiny".to_owned(), rate)].into(),
		},
		..Settings::default()
	}
}

#[tokio::test]
async fn a_task_costs_what_was_agreed_on_when_it_was_accepted() {
	let directory = tempfile::tempdir().unwrap();
	// 16 x 16 pixels, 4 steps: 1024 pixel-steps.
	let chain = money::chain();
	let server = money::start_with(directory.path(), &chain, priced(1_000_001)).await;
	let app = money::app(&server, directory.path(), "red", 10_000).await;
	TestMiner::connect(&server, "alice").await.poll(0).await;
	let info = server.client.coordinator_info().await.unwrap();
	assert_eq!(info.prices.len(), 1);
	assert_eq!(info.prices[0].model, MODEL);
	assert_eq!(info.prices[0].megapixel_step, Amount(1_000_001));

	let price = Amount(1_025);
	let quote = server
		.client
		.task_quote(request("one"), None)
		.await
		.unwrap();
	assert_eq!(quote.price, price, "rounded up");
	let at_most = |most| {
		Some(SubmitOptions {
			max_price: Some(Amount(most)),
			..SubmitOptions::default()
		})
	};
	let refused = app.task_submit(request("one"), at_most(1_024));
	let error = api_error(refused.await.unwrap_err());
	assert_eq!(error.code, ErrorCode::PriceAboveMaximum);
	assert_eq!(error.subject.as_deref(), Some("price=1025 max_price=1024"));
	let accepted = app.task_submit(request("one"), at_most(1_025));
	let task = accepted.await.unwrap();
	assert_eq!(task.price, price);
	server.stop().await;

	let server = money::start_with(directory.path(), &chain, priced(5_000_000)).await;
	let status = server.client.task_status(task.id).await.unwrap();
	assert_eq!(status.price, price, "also when the price has changed since");
	let app = money::app(&server, directory.path(), "blue", 10_000).await;
	let dearer = app.task_submit(request("two"), None).await.unwrap();
	assert_eq!(dearer.price, Amount(5_120));
	server.stop().await;
}

fn by(deadline_ms: u64) -> Option<SubmitOptions> {
	Some(SubmitOptions {
		deadline_ms: Some(deadline_ms as i64),
		..SubmitOptions::default()
	})
}

#[tokio::test]
async fn a_task_that_nobody_can_finish_by_its_deadline_expires() {
	let directory = tempfile::tempdir().unwrap();
	let server = Server::start(directory.path()).await;
	TestMiner::connect(&server, "alice").await;
	// 30 s, and 3 s for each of 4 steps.
	let lease_ms = 42_000;
	for late in [0, server.now_ms() - 1, server.now_ms() + lease_ms] {
		let submit = server.client.task_submit(request("one"), by(late));
		assert_eq!(code(submit.await), ErrorCode::DeadlineTooSoon);
		let quote = server.client.task_quote(request("one"), by(late));
		assert_eq!(code(quote.await), ErrorCode::DeadlineTooSoon);
	}
	let deadline_ms = server.now_ms() + lease_ms + 5_000;
	let submit = server.client.task_submit(request("one"), by(deadline_ms));
	let task = submit.await.unwrap();
	assert_eq!(task.deadline_ms, Some(deadline_ms));
	server.pass(4_999);
	assert_eq!(server.state(task.id).await, TaskState::Queued);
	server.pass(1);
	let expired = server.until(task.id, TaskState::Expired).await;
	assert!(expired.reason.unwrap().contains("deadline"));
	server.stop().await;
}

#[tokio::test]
async fn a_lease_ends_by_the_deadline_and_is_not_followed_by_another() {
	let directory = tempfile::tempdir().unwrap();
	let server = Server::start(directory.path()).await;
	let alice = TestMiner::connect(&server, "alice").await;
	let deadline_ms = server.now_ms() + 42_000 + 5_000;
	let submit = server.client.task_submit(request("one"), by(deadline_ms));
	let task = submit.await.unwrap();
	let work = alice.work().await;
	assert!(work.assignment.deadline_ms <= deadline_ms);
	// Nor after a restart, which gives leases that ran out meanwhile a grace.
	let now_ms = server.now_ms() + 46_999;
	server.kill();
	let server = Server::start_with(directory.path(), Settings::default(), now_ms).await;
	assert_eq!(server.state(task.id).await, TaskState::Assigned);
	server.pass(1);
	server.until(task.id, TaskState::Expired).await;
	server.stop().await;
}

#[tokio::test]
async fn a_deadline_counts_while_the_coordinator_drains() {
	let directory = tempfile::tempdir().unwrap();
	let server = Server::start(directory.path()).await;
	TestMiner::connect(&server, "alice").await;
	let deadline_ms = server.now_ms() + 42_000 + 5_000;
	let submit = server.client.task_submit(request("one"), by(deadline_ms));
	let task = submit.await.unwrap();
	server.coordinator.drain();
	server.pass(5_000);
	server.until(task.id, TaskState::Expired).await;
	server.stop().await;
}
