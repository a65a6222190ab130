//! The same tests for every place.

use super::*;
use futures::{stream, TryStreamExt};

type Chunks = Vec<std::result::Result<Vec<u8>, ()>>;

fn hash(bytes: &[u8]) -> H256 {
	H256(*blake3::hash(bytes).as_bytes())
}

fn png(rest: &str) -> Vec<u8> {
	[&crate::verify::PNG_SIGNATURE[..], rest.as_bytes()].concat()
}

async fn put(
	artifacts: &Artifacts,
	hash: &H256,
	chunks: Chunks,
) -> std::result::Result<(), PutError> {
	artifacts.put(hash, stream::iter(chunks)).await
}

fn refusal(outcome: std::result::Result<(), PutError>) -> ErrorCode {
	match outcome {
		Err(PutError::Refused(error)) => error.code,
		other => panic!("{other:?}"),
	}
}

/// An upload is there whole or not at all.
async fn whole_or_not_at_all(artifacts: &Artifacts) {
	let bytes = png("and more");
	let name = hash(&bytes);
	let half = vec![Ok(bytes[..5].to_vec()), Err(())];
	assert!(matches!(
		put(artifacts, &name, half).await,
		Err(PutError::BrokenOff)
	));
	let wrong = put(artifacts, &H256::zero(), vec![Ok(bytes.clone())]).await;
	assert_eq!(refusal(wrong), ErrorCode::ArtifactHashMismatch);
	let text = put(artifacts, &hash(b"text"), vec![Ok(b"text".to_vec())]).await;
	assert_eq!(refusal(text), ErrorCode::ArtifactNotPng);
	let endless = stream::repeat_with(|| Ok::<_, ()>(vec![0u8; 1 << 20]));
	let endless = artifacts.put(&H256::zero(), Box::pin(endless)).await;
	assert_eq!(refusal(endless), ErrorCode::ArtifactTooLarge);
	assert_eq!(artifacts.size(&name).await.unwrap(), None);
	assert_eq!(artifacts.read(&name).await.unwrap(), None);
	assert!(artifacts.stream(&name).await.unwrap().is_none());
	assert_eq!(std::fs::read_dir(&artifacts.incoming).unwrap().count(), 0);

	let chunks = bytes.iter().map(|byte| Ok(vec![*byte])).collect();
	put(artifacts, &name, chunks).await.unwrap();
	put(artifacts, &name, vec![Ok(bytes.clone())])
		.await
		.unwrap();
	assert_eq!(std::fs::read_dir(&artifacts.incoming).unwrap().count(), 0);
	assert_eq!(artifacts.read(&name).await.unwrap(), Some(bytes.clone()));
	assert_eq!(
		artifacts.size(&name).await.unwrap(),
		Some(bytes.len() as u64)
	);
	let (parts, size) = artifacts.stream(&name).await.unwrap().unwrap();
	let parts: Vec<Bytes> = parts.try_collect().await.unwrap();
	assert_eq!((parts.concat(), size), (bytes.clone(), bytes.len() as u64));
}

/// What is there can be listed, is as old as its last upload, and can be removed.
async fn listed_aged_and_removed(artifacts: &Artifacts) {
	let names: Vec<H256> = ["a", "b", "c"].map(|rest| hash(&png(rest))).to_vec();
	assert!(!artifacts.renew(&names[0]).await.unwrap(), "not here");
	for rest in ["a", "b", "c"] {
		let bytes = png(rest);
		put(artifacts, &hash(&bytes), vec![Ok(bytes)])
			.await
			.unwrap();
	}
	let listed = || async {
		let mut names: Vec<H256> = artifacts.walk().try_collect().await.unwrap();
		names.sort_unstable();
		names
	};
	let mut expected = names.clone();
	expected.sort_unstable();
	assert_eq!(listed().await, expected);
	// Storage elsewhere has a clock of its own.
	let hour = Duration::from_secs(3_600);
	let (past, future) = (SystemTime::now() - hour, SystemTime::now() + hour);
	assert!(artifacts.is_older(&names[0], future).await.unwrap());
	assert!(!artifacts.is_older(&names[0], past).await.unwrap());
	assert!(!artifacts.remove_older(&names[0], past).await.unwrap());
	assert_eq!(listed().await, expected);
	assert!(artifacts.remove_older(&names[0], future).await.unwrap());
	assert!(!artifacts.remove_older(&names[0], future).await.unwrap());
	assert_eq!(std::fs::read_dir(&artifacts.incoming).unwrap().count(), 0);
	for name in &names {
		artifacts.remove(name).await.unwrap();
		artifacts.remove(name).await.unwrap();
		assert_eq!(artifacts.size(name).await.unwrap(), None);
		assert!(!artifacts.is_older(name, future).await.unwrap());
	}
	assert!(listed().await.is_empty());
}

async fn keeps_the_rules(place: Place) {
	let directory = tempfile::tempdir().unwrap();
	let artifacts = Artifacts::open(directory.path(), &place).await.unwrap();
	listed_aged_and_removed(&artifacts).await;
	whole_or_not_at_all(&artifacts).await;
	let again = Artifacts::open(directory.path(), &place).await.unwrap();
	let name = hash(&png("and more"));
	assert!(again.size(&name).await.unwrap().is_some(), "it lasts");
	again.remove(&name).await.unwrap();
}

#[tokio::test]
async fn artifacts_in_the_data_directory_keep_the_rules() {
	keeps_the_rules(Place::DataDir).await;
}

#[tokio::test]
async fn artifacts_in_memory_keep_the_rules() {
	keeps_the_rules(Place::Memory(Memory::default())).await;
}

#[tokio::test]
async fn artifacts_in_a_folder_of_their_own_keep_the_rules() {
	let folder = tempfile::tempdir().unwrap();
	keeps_the_rules(Place::Folder(folder.path().to_owned())).await;
}

#[tokio::test]
#[ignore = "needs Python's moto"]
async fn s3_storage_keeps_the_rules() {
	let server = s3_server::Server::start();
	let directory = tempfile::tempdir().unwrap();
	for prefix in ["", "/of/this-test"] {
		let url = format!("s3://{}{prefix}", s3_server::BUCKET);
		keeps_the_rules(Place::S3(server.bucket(&url, directory.path()))).await;
	}
	let missing = server.bucket("s3://no-such-bucket", directory.path());
	let missing = Place::S3(missing);
	let artifacts = Artifacts::open(directory.path(), &missing).await.unwrap();
	let bytes = png("");
	let refused = put(&artifacts, &hash(&bytes), vec![Ok(bytes.clone())]).await;
	assert!(
		matches!(refused, Err(PutError::Storage(Error::Away(_)))),
		"{refused:?}"
	);
}

#[tokio::test]
async fn storage_that_is_away_says_so_in_time() {
	let directory = tempfile::tempdir().unwrap();
	let credentials = directory.path().join("credentials");
	let text = "[default]\naws_access_key_id=one\naws_secret_access_key=very-secret\n";
	std::fs::write(&credentials, text).unwrap();
	let place = Place::S3(S3 {
		// Nobody listens there.
		endpoint: Some("http://127.0.0.1:1".into()),
		region: Some("us-east-1".into()),
		credentials: Some(credentials),
		..S3::parse("s3://bucket").unwrap()
	});
	let artifacts = Artifacts::open(directory.path(), &place).await.unwrap();
	let bytes = png("");
	let shown = format!("{artifacts:?}");
	assert!(!shown.contains("very-secret"), "{shown}");
	let name = hash(&bytes);
	let error = put(&artifacts, &name, vec![Ok(bytes)]).await.unwrap_err();
	let PutError::Storage(Error::Away(why)) = error else {
		panic!("{error:?}")
	};
	assert!(!why.contains("very-secret"), "{why}");
	assert!(matches!(artifacts.size(&name).await, Err(Error::Away(_))));
	let first = artifacts.walk().next().await;
	assert!(matches!(first, Some(Err(Error::Away(_)))));
	assert_eq!(std::fs::read_dir(&artifacts.incoming).unwrap().count(), 0);
}

#[tokio::test]
async fn what_is_uploaded_again_is_new() {
	let directory = tempfile::tempdir().unwrap();
	let artifacts = Artifacts::open(directory.path(), &Place::DataDir)
		.await
		.unwrap();
	let bytes = png("");
	let name = hash(&bytes);
	put(&artifacts, &name, vec![Ok(bytes)]).await.unwrap();
	let past = SystemTime::now() - Duration::from_secs(3_600);
	let Store::Folder(folder) = &artifacts.store else {
		unreachable!()
	};
	let file = std::fs::File::open(folder.path(&name)).unwrap();
	file.set_modified(past).unwrap();
	let later = past + Duration::from_secs(1);
	assert!(artifacts.is_older(&name, later).await.unwrap());
	assert!(!artifacts.is_older(&name, past).await.unwrap());
	assert!(artifacts.renew(&name).await.unwrap());
	assert!(!artifacts.is_older(&name, later).await.unwrap());
}

#[tokio::test]
async fn uploads_on_their_way_of_another_process_stay() {
	let (folder, directory) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
	let place = Place::Folder(folder.path().to_owned());
	let first = Artifacts::open(directory.path(), &place).await.unwrap();
	let (young, old) = (first.incoming.join("young"), first.incoming.join("old"));
	for path in [&young, &old] {
		std::fs::write(path, "half").unwrap();
	}
	let long_ago = SystemTime::now() - 2 * SETTLED;
	let file = std::fs::File::open(&old).unwrap();
	file.set_modified(long_ago).unwrap();
	Artifacts::open(directory.path(), &place).await.unwrap();
	assert!(young.exists() && !old.exists());
}
