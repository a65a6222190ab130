//! Pictures that are not in the data directory.

use crate::harness::*;
use cuckoo_coordinator_api::{error::ErrorCode, rpc::TaskRpcClient};
use offchain_coordinator::{
	artifacts::{Memory, Place, S3},
	retention::pass,
	settings::{Settings, DAY_MS},
};

fn kept_in(artifacts: Place) -> Settings {
	Settings {
		artifacts,
		retention_ms: DAY_MS,
		..Settings::default()
	}
}

#[tokio::test]
async fn pictures_in_object_storage_are_served_survive_and_go_with_their_tasks() {
	let directory = tempfile::tempdir().unwrap();
	let settings = kept_in(Place::Memory(Memory::default()));
	let server = Server::start_with(directory.path(), settings.clone(), 1_000_000).await;
	let alice = TestMiner::connect(&server, "alice").await;
	let task = server.submit("one").await;
	alice.finish(&alice.work().await).await;
	server.kill();

	let server = Server::start_with(directory.path(), settings, 2_000_000).await;
	let result = server.client.task_result(task.id).await.unwrap();
	let get = || async { reqwest::get(server.url(&result.path)).await.unwrap() };
	let picture = get().await;
	assert_eq!(picture.status(), 200);
	assert_eq!(picture.content_length(), Some(result.bytes));
	let picture = picture.bytes().await.unwrap();
	assert_eq!(hash(&picture), result.artifact);
	assert!(!directory.path().join("artifacts").exists());

	server.pass(2 * DAY_MS);
	assert_eq!(pass(&server.coordinator).await.unwrap(), 1);
	assert_eq!(get().await.status(), 404);
	server.stop().await;
}

#[tokio::test]
async fn uploads_while_the_storage_is_away_are_tried_again_and_not_counted() {
	let directory = tempfile::tempdir().unwrap();
	let credentials = directory.path().join("credentials");
	let text = "[default]\naws_access_key_id=one\naws_secret_access_key=two\n";
	std::fs::write(&credentials, text).unwrap();
	let storage = Place::S3(S3 {
		// Nobody listens there.
		endpoint: Some("http://127.0.0.1:1".into()),
		region: Some("us-east-1".into()),
		credentials: Some(credentials),
		..S3::parse("s3://pictures").unwrap()
	});
	let server = Server::start_with(directory.path(), kept_in(storage), 1_000_000).await;
	let alice = TestMiner::connect(&server, "alice").await;
	server.submit("one").await;
	let work = alice.work().await;
	let picture = png(16, 16, 7);
	for _ in 0..6 {
		let refused = alice.upload(&hash(&picture), picture.clone()).await;
		assert_eq!(refused.status(), 503);
		let error: serde_json::Value = refused.json().await.unwrap();
		assert_eq!(error["code"], ErrorCode::ArtifactStorageAway.code());
	}
	let commitment = alice.commitment(&work, hash(&picture));
	let early = code(alice.submit(&work, commitment).await);
	assert_eq!(
		early,
		ErrorCode::ArtifactStorageAway,
		"nothing is taken yet"
	);
	server.stop().await;
}
