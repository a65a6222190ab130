//! A prompt goes in, a picture comes out, and the proof holds; a lie about it does not.

use crate::support::{on_network, request, with_miner_args, Auditor, TASK_TIMEOUT};
use anyhow::Result;
use cuckoo_devnet::{evidence, keys::DevKey};
use futures::future::try_join_all;
use serde_json::Value;
use std::collections::BTreeSet;
use tokio::{
	io::{AsyncReadExt, AsyncWriteExt},
	net::{TcpListener, TcpStream},
};

#[tokio::test]
async fn a_prompt_becomes_a_picture_and_everybody_can_verify_it() -> Result<()> {
	let miners = [DevKey::miner(1), DevKey::miner(2)];
	on_network(&miners, &[], async |network| {
		let app = network.app()?;
		let task = app.submit(request("a red apple", 8), "picture").await?;
		let done = app.follow(task.id, TASK_TIMEOUT, |_| ()).await?;
		assert_eq!(done.id, task.id);

		let mut auditor = Auditor::new(network).await?;
		let evidence = auditor.audit(&app, task.id, "picture").await?;
		assert!(miners
			.iter()
			.any(|miner| miner.account() == evidence.result.miner));
		assert_eq!(evidence.draw.eligible.len(), 2);
		let node = network.node()?;
		let assignment = &evidence.draw.assignment;
		assert_eq!(
			node.block_hash(assignment.block_number).await?,
			assignment.block_hash
		);
		network.verify_draw(app.url(), task.id, "picture").await?;

		// The same task again is the same task.
		let again = app.submit(request("a red apple", 8), "picture").await?;
		assert_eq!(again.id, task.id);

		// The same seed on whichever miner: the same picture, bit for bit.
		let twin = app.submit(request("a red apple", 8), "twin").await?;
		assert_ne!(twin.id, task.id);
		app.wait(twin.id, TASK_TIMEOUT).await?;
		let twin = auditor.audit(&app, twin.id, "twin").await?;
		assert_eq!(twin.picture, evidence.picture);

		// A proof with one thing changed is refused, here and by verify-draw.
		let genesis = auditor.genesis_hash();
		let registry = auditor
			.registry(evidence.draw.assignment.block_hash)
			.await?;
		let mut lie = evidence.clone();
		lie.draw.assignment.attempt += 1;
		evidence::verify(&lie, registry, &genesis).unwrap_err();
		for (what, change) in LIES {
			let url = lying_coordinator(app.url().to_owned(), *change).await?;
			let refused = network.verify_draw(&url, task.id, "picture").await;
			let refused = refused.expect_err(what).to_string();
			println!("verify-draw on a lie about {what}: {refused}");
		}
		let url = lying_coordinator(app.url().to_owned(), |_| ()).await?;
		network.verify_draw(&url, task.id, "picture").await?;
		Ok(())
	})
	.await
}

/// Each task of a batch has a picture of its own, and a commitment that names the batch.
#[tokio::test]
async fn tasks_with_prompts_of_their_own_are_made_in_one_run() -> Result<()> {
	let miners = [DevKey::miner(1)];
	// Longer than it takes until all four have come.
	let args = ["--batch", "4", "--batch-wait", "3000"];
	with_miner_args(&miners, &args, async |network| {
		let app = network.app()?;
		let mut auditor = Auditor::new(network).await?;
		// A new miner gets one task at a time until three of its results stand.
		let mut alone = BTreeSet::new();
		for number in 0..3 {
			let key = format!("alone-{number}");
			let task = app.submit(request("a red apple", 8), &key).await?;
			app.wait(task.id, TASK_TIMEOUT).await?;
			let evidence = auditor.audit(&app, task.id, &key).await?;
			alone.insert(evidence.result.commitment.engine_profile);
		}
		assert_eq!(alone.len(), 1);

		let prompts = ["a red apple", "a fish", "a blue house", "a fox"];
		let tasks = prompts.map(|prompt| app.submit(request(prompt, 8), prompt));
		let tasks = try_join_all(tasks).await?;
		let (mut pictures, mut profiles) = (BTreeSet::new(), BTreeSet::new());
		for (task, prompt) in tasks.iter().zip(prompts) {
			app.wait(task.id, TASK_TIMEOUT).await?;
			let evidence = auditor.audit(&app, task.id, prompt).await?;
			pictures.insert(evidence.picture);
			profiles.insert(evidence.result.commitment.engine_profile);
		}
		assert_eq!(pictures.len(), prompts.len());
		assert_eq!(profiles.len(), 1, "one batch of four");
		assert!(profiles.is_disjoint(&alone));
		Ok(())
	})
	.await
}

/// A change to the reply of `coordinator_draw`.
type Lie = fn(&mut Value);

/// What a dishonest coordinator may try.
const LIES: &[(&str, Lie)] = &[
	("a weight", |draw| {
		draw["eligible"][0]["weight"] = "1".into()
	}),
	("the list", |draw| {
		if let Some(list) = draw["eligible"].as_array_mut() {
			list.pop();
		}
	}),
	("the attempt", |draw| {
		draw["assignment"]["attempt"] = 1.into()
	}),
	("the randomness", |draw| {
		draw["assignment"]["randomness"] = format!("0x{}", "11".repeat(32)).into();
	}),
];

/// Stands before the coordinator at `url`, passes calls on, and changes the proofs it serves.
async fn lying_coordinator(url: String, change: Lie) -> Result<String> {
	let listener = TcpListener::bind("127.0.0.1:0").await?;
	let own = format!("http://{}", listener.local_addr()?);
	tokio::spawn(async move {
		while let Ok((stream, _)) = listener.accept().await {
			tokio::spawn(pass_on(stream, url.clone(), change));
		}
	});
	Ok(own)
}

/// Serves one request of one connection.
async fn pass_on(mut stream: TcpStream, url: String, change: Lie) -> Result<()> {
	let mut bytes = Vec::new();
	let body_start = loop {
		if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
			break end + 4;
		}
		anyhow::ensure!(
			stream.read_buf(&mut bytes).await? > 0,
			"the request ends in its head"
		);
	};
	let head = String::from_utf8_lossy(&bytes[..body_start]).to_lowercase();
	let length = head
		.lines()
		.find_map(|line| line.strip_prefix("content-length:"));
	let length: usize = length.unwrap_or("0").trim().parse()?;
	while bytes.len() < body_start + length {
		anyhow::ensure!(
			stream.read_buf(&mut bytes).await? > 0,
			"the request ends in its body"
		);
	}
	let call: Value = serde_json::from_slice(&bytes[body_start..])?;
	let mut reply: Value = reqwest::Client::new()
		.post(url)
		.json(&call)
		.send()
		.await?
		.json()
		.await?;
	if call["method"] == "coordinator_draw" {
		change(&mut reply["result"]);
	}
	let body = reply.to_string();
	let head = format!(
		"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
		 connection: close\r\n\r\n",
		body.len()
	);
	stream.write_all(head.as_bytes()).await?;
	stream.write_all(body.as_bytes()).await?;
	Ok(stream.shutdown().await?)
}
