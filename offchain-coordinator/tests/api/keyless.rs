//! Where keys are required, a channel that pays stands in for one.

use crate::{
	harness::*,
	money::{app, by, chain, connect, see, settings, start_with, voucher, work, PRICE},
};
use cuckoo_coordinator_api::{
	error::{ApiError, ErrorCode},
	payment::ChannelPayment,
	rpc::TaskRpcClient,
	task::{BatchReply, BatchTask, SubmitOptions, TaskState, TaskStatus},
};
use cuckoo_primitives::CUC;
use offchain_coordinator::settings::Settings;
use sp_core::Pair;

fn keys_required() -> Settings {
	Settings {
		require_api_key: true,
		..settings()
	}
}

async fn submit(server: &Server, payment: ChannelPayment) -> Result<TaskStatus, ApiError> {
	let submitted = server.client.task_submit(request("one"), by(payment));
	submitted.await.map_err(api_error)
}

#[tokio::test]
async fn a_channel_that_pays_stands_in_for_a_key() {
	let directory = tempfile::tempdir().unwrap();
	let chain = chain();
	let channel = chain.open_channel(account("coordinator"), pair("app").public(), CUC);
	let settings = Settings {
		max_queued_per_app: 2,
		..keys_required()
	};
	let server = start_with(directory.path(), &chain, settings).await;
	let alice = connect(&server, &chain, "alice").await;
	// What it costs is told to all.
	let quote = server
		.client
		.task_quote(request("one"), None)
		.await
		.unwrap();
	assert_eq!(quote.price.0, PRICE);
	let error = api_error(
		server
			.client
			.task_submit(request("one"), None)
			.await
			.unwrap_err(),
	);
	assert_eq!(error.code, ErrorCode::ApiKeyInvalid);
	assert!(error.message.contains("channel"), "{error}");

	let wrong = [
		(
			voucher(channel + 1, PRICE, "app"),
			ErrorCode::ChannelNotFound,
		),
		(voucher(channel, PRICE, "thief"), ErrorCode::PaymentInvalid),
		(
			voucher(channel, PRICE - 1, "app"),
			ErrorCode::PaymentInvalid,
		),
	];
	for (payment, expected) in wrong {
		assert_eq!(submit(&server, payment).await.unwrap_err().code, expected);
	}
	let task = submit(&server, voucher(channel, PRICE, "app"))
		.await
		.unwrap();
	// The limits are those of the account that opened the channel, also by another of its channels.
	let second = chain.open_channel(account("coordinator"), pair("second").public(), CUC);
	see(&server, &chain).await;
	submit(&server, voucher(second, PRICE, "second"))
		.await
		.unwrap();
	let full = submit(&server, voucher(second, 2 * PRICE, "second"))
		.await
		.unwrap_err();
	assert_eq!(full.code, ErrorCode::AppQueueFull);
	let red = app(&server, directory.path(), "red", PRICE).await;
	red.task_submit(request("one"), None).await.unwrap();

	work(&alice).await;
	server.until(task.id, TaskState::Done).await;
	assert!(server.client.task_result(task.id).await.is_ok());
	// Nothing in these calls says who it is.
	assert_eq!(
		code(server.client.task_cancel(task.id).await),
		ErrorCode::ApiKeyInvalid
	);
	assert_eq!(
		code(server.client.task_list(None, None, None).await),
		ErrorCode::ApiKeyInvalid
	);
	server.stop().await;
}

#[tokio::test]
async fn each_task_of_a_batch_is_let_in_by_its_own_voucher() {
	let directory = tempfile::tempdir().unwrap();
	let chain = chain();
	let channel = chain.open_channel(account("coordinator"), pair("app").public(), CUC);
	let server = start_with(directory.path(), &chain, keys_required()).await;
	let _alice = connect(&server, &chain, "alice").await;
	let task = |payment: Option<ChannelPayment>| BatchTask {
		spec: request("one"),
		options: Some(SubmitOptions {
			payment,
			..SubmitOptions::default()
		}),
	};
	let refused = server.client.task_submit_batch(vec![task(None)]).await;
	assert_eq!(code(refused), ErrorCode::ApiKeyInvalid);
	let batch = vec![
		task(Some(voucher(channel, 2 * PRICE, "app"))),
		task(None),
		task(Some(voucher(channel, PRICE, "thief"))),
		task(Some(voucher(channel, 2 * PRICE, "app"))),
	];
	let replies = server.client.task_submit_batch(batch).await.unwrap();
	let taken = replies
		.iter()
		.map(|reply| matches!(reply, BatchReply::Task(_)));
	assert_eq!(taken.collect::<Vec<_>>(), [true, false, false, true]);
	server.stop().await;
}

/// Otherwise any channel, opened once, would get free tasks from who gives them to friends only.
#[tokio::test]
async fn free_tasks_still_need_a_key() {
	let directory = tempfile::tempdir().unwrap();
	let chain = chain();
	let channel = chain.open_channel(account("coordinator"), pair("app").public(), CUC);
	let settings = Settings {
		require_api_key: true,
		..Settings::default()
	};
	let server = start_with(directory.path(), &chain, settings).await;
	let _alice = connect(&server, &chain, "alice").await;
	let refused = submit(&server, voucher(channel, PRICE, "app")).await;
	assert_eq!(refused.unwrap_err().code, ErrorCode::ApiKeyInvalid);
	server.stop().await;
}

#[tokio::test]
async fn strangers_cannot_try_vouchers_faster_than_submit() {
	let directory = tempfile::tempdir().unwrap();
	let chain = chain();
	let settings = Settings {
		submits_per_minute: 3,
		..keys_required()
	};
	let server = start_with(directory.path(), &chain, settings).await;
	let _alice = connect(&server, &chain, "alice").await;
	let mut codes = Vec::new();
	for channel in 0..5 {
		let refused = submit(&server, voucher(channel, PRICE, "app")).await;
		codes.push(refused.unwrap_err().code);
	}
	assert_eq!(codes[0], ErrorCode::ChannelNotFound);
	assert_eq!(codes[4], ErrorCode::RateLimited, "{codes:?}");
	server.stop().await;
}
