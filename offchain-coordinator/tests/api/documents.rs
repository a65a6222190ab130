//! The documents that describe the API say what there is.

use crate::harness::*;
use cuckoo_coordinator_api::{
	miner::SubmitReply,
	payment::{
		AccountStatus, ChannelPayment, ChannelStatus, ProofNode, ProvenLeaf, SettlementProof,
		SignedVoucher,
	},
	rpc::{MinerRpcClient, TaskRpcClient},
	task::{BatchReply, BatchTask, SubmitOptions, TaskRequest},
	Amount,
};
use cuckoo_primitives::{task::SchedulerKind, WorkerSignature};
use jsonrpsee::{core::client::ClientT, rpc_params};
use offchain_coordinator::rpc;
use serde::Serialize;
use serde_json::Value;
use sp_core::Pair;
use std::collections::BTreeSet;

async fn openrpc(server: &Server) -> Value {
	server
		.client
		.request("rpc.discover", rpc_params![])
		.await
		.unwrap()
}

fn names<'a>(names: impl IntoIterator<Item = &'a str>) -> BTreeSet<String> {
	names.into_iter().map(str::to_owned).collect()
}

fn fields(object: &Value) -> BTreeSet<String> {
	names(object.as_object().unwrap().keys().map(String::as_str))
}

/// Every `$ref` of a document leads somewhere.
fn check_references(document: &Value, part: &Value) {
	match part {
		Value::Object(fields) => {
			if let Some(Value::String(path)) = fields.get("$ref") {
				assert!(
					document.pointer(&path[1..]).is_some(),
					"{path} leads nowhere"
				);
			}
			fields
				.values()
				.for_each(|part| check_references(document, part));
		},
		Value::Array(parts) => parts
			.iter()
			.for_each(|part| check_references(document, part)),
		_ => {},
	}
}

#[tokio::test]
async fn the_openrpc_document_names_every_method_and_every_field() {
	let directory = tempfile::tempdir().unwrap();
	let server = Server::start(directory.path()).await;
	let document = openrpc(&server).await;
	check_references(&document, &document);
	let methods = document["methods"].as_array().unwrap();
	let documented = names(
		methods
			.iter()
			.map(|method| method["name"].as_str().unwrap()),
	);
	let registered = rpc::methods(server.coordinator.clone());
	assert_eq!(documented, names(registered.method_names()));

	let check = |schema: &str, given: &dyn erased::Json| {
		let schema = &document["components"]["schemas"][schema]["properties"];
		assert_eq!(fields(schema), fields(&given.json()), "{schema}");
	};
	let hello = TestMiner::hello(&server, "alice").await;
	check("Hello", &hello);
	check(
		"Challenge",
		&server.client.miner_challenge(hello.worker).await.unwrap(),
	);
	check("Session", &server.client.miner_hello(hello).await.unwrap());
	let alice = TestMiner::connect(&server, "alice").await;
	let reply = alice.poll(0).await;
	check("PollReply", &reply);
	check("Standing", &reply.standing);
	let request = TaskRequest {
		negative_prompt: Some("blur".into()),
		model: Some("tiny".into()),
		seed: Some(7),
		steps: Some(2),
		width: Some(16),
		height: Some(16),
		guidance: Some(1.0),
		scheduler: Some(SchedulerKind::Euler),
		..request("a red apple")
	};
	check("TaskRequest", &request);
	let options = SubmitOptions {
		idempotency_key: Some("k".into()),
		priority: Some(1),
		max_wait_ms: Some(600_000),
		deadline_ms: Some(i64::MAX),
		max_price: Some(Amount(1)),
		webhook: Some("https://app.example/".into()),
		// Not looked at where nothing costs anything.
		payment: Some(ChannelPayment {
			channel: 1,
			cumulative: Amount(1),
			signature: WorkerSignature::from_raw([0; 64]),
		}),
	};
	check("SubmitOptions", &options);
	check("ChannelPayment", options.payment.as_ref().unwrap());
	let quote = server
		.client
		.task_quote(request.clone(), None)
		.await
		.unwrap();
	check("Quote", &quote);
	let batch = BatchTask {
		spec: request,
		// Without a key there is none.
		options: Some(SubmitOptions {
			webhook: None,
			..options
		}),
	};
	check("BatchTask", &batch);
	let replies = server
		.client
		.task_submit_batch(vec![batch, BatchTask::default()])
		.await;
	let [BatchReply::Task(task), BatchReply::Error(error)] = &replies.unwrap()[..] else {
		panic!("the first is taken, the second refused");
	};
	check("Error", error);
	check("TaskStatus", &**task);
	check("Spec", &task.spec);
	check(
		"TaskPage",
		&server.client.task_list(None, None, None).await.unwrap(),
	);
	let work = alice.work().await;
	check("Work", &work);
	check("Assignment", &work.assignment);
	check("Held", &held(&work));
	alice.finish(&work).await;
	let result = server.client.task_result(task.id).await.unwrap();
	check("TaskResult", &result);
	check("ResultCommitment", &result.commitment);
	check(
		"DrawProof",
		&server.client.coordinator_draw(task.id, None).await.unwrap(),
	);
	let info = server.client.coordinator_info().await.unwrap();
	check("CoordinatorInfo", &info);
	check("ModelInfo", &info.models[0]);
	check("ModelPrice", &info.prices[0]);
	let miners = server.client.coordinator_miners(None, None).await.unwrap();
	check("MinerInfo", &miners[0]);
	check_money(&check);
	server.stop().await;
}

/// What only a chain gives.
fn check_money(check: &dyn Fn(&str, &dyn erased::Json)) {
	let (amount, account) = (Amount(1), account("alice"));
	let status = ChannelStatus {
		channel: 1,
		deposit: amount,
		highest: amount,
		spent: amount,
		redeemed: amount,
		closing: false,
	};
	check("ChannelStatus", &status);
	let status = AccountStatus {
		balance: amount,
		held: amount,
		spent: amount,
	};
	check("AccountStatus", &status);
	let voucher = SignedVoucher {
		coordinator: account.clone(),
		miner: account.clone(),
		era: 1,
		cumulative: amount,
		worker: pair("alice").public(),
		signature: WorkerSignature::from_raw([0; 64]),
	};
	check("SignedVoucher", &voucher);
	let reply = SubmitReply {
		accepted: true,
		voucher: Some(voucher),
	};
	check("SubmitReply", &reply);
	let node = ProofNode {
		hash: GENESIS,
		sum: amount,
	};
	check("ProofNode", &node);
	let leaf = ProvenLeaf {
		index: 0,
		miner: account.clone(),
		amount,
	};
	check("ProvenLeaf", &leaf);
	let proof = SettlementProof {
		coordinator: account,
		era: 1,
		root: node,
		count: 1,
		leaves: vec![leaf],
		siblings: Vec::new(),
	};
	check("SettlementProof", &proof);
}

/// What can be serialized, behind a reference.
mod erased {
	use super::{Serialize, Value};

	pub trait Json {
		fn json(&self) -> Value;
	}

	impl<T: Serialize> Json for T {
		fn json(&self) -> Value {
			serde_json::to_value(self).unwrap()
		}
	}
}

#[tokio::test]
async fn the_openapi_document_names_every_route() {
	let directory = tempfile::tempdir().unwrap();
	let server = Server::start(directory.path()).await;
	let served = reqwest::get(server.url("/openapi.json")).await.unwrap();
	assert_eq!(served.headers()["content-type"], "application/json");
	let document: Value = serde_json::from_slice(&served.bytes().await.unwrap()).unwrap();
	check_references(&document, &document);
	let paths = fields(&document["paths"]);
	let expected = [
		"/",
		"/artifacts/{hash}",
		"/healthz",
		"/openapi.json",
		"/readyz",
		"/v1/images/generations",
		"/v1/models",
		"/v1/models/{id}",
	];
	assert_eq!(paths, names(expected));
	let served = include_str!("../../src/http.rs").split(".route(").skip(1);
	for route in served.filter_map(|rest| rest.split('"').nth(1)) {
		assert!(paths.contains(route), "{route} is described");
	}
	let result = &document["components"]["schemas"]["TaskEventData"]["required"];
	assert_eq!(*result, serde_json::json!(["status", "result"]));
	assert!(document["webhooks"]["taskEnded"]["post"]["requestBody"].is_object());
	server.stop().await;
}
