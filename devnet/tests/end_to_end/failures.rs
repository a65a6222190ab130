//! Every process may die by SIGKILL at any instant; no accepted task may be lost by it.

use crate::support::{on_network, request, until, Auditor, TASK_TIMEOUT};
use anyhow::{ensure, Context, Result};
use cuckoo_coordinator_api::{rpc::TaskRpcClient, task::TaskState};
use cuckoo_devnet::{keys::DevKey, App};
use cuckoo_primitives::task::TaskId;
use futures::future::try_join_all;
use std::{
	collections::{BTreeMap, BTreeSet},
	time::Duration,
};

/// Steps of a task that is still running when its miner is killed: the most a model takes.
const LONG: i64 = 150;
/// A killed miner may have been done already; then the next task is tried.
const TRIES: usize = 10;
/// Longest wait for a submit to be accepted while the coordinator is down and comes back.
const SUBMIT_TIMEOUT: Duration = Duration::from_secs(60);
/// Apps that submit at once, and how many tasks each submits.
const APPS: usize = 4;
const TASKS_EACH: usize = 15;
/// How many times the coordinator is killed under this load.
const KILLS: usize = 3;

/// Short leases, so that a dead miner's task is handed on within seconds.
const SHORT_LEASES: &[&str] = &[
	"--lease-base-ms=4000",
	"--lease-per-step-ms=40",
	"--pick-up-ms=4000",
	"--suspension-ms=500",
];

#[tokio::test]
async fn a_task_whose_miner_is_killed_completes_elsewhere() -> Result<()> {
	let miners = [DevKey::miner(1), DevKey::miner(2)];
	on_network(&miners, SHORT_LEASES, async |network| {
		let app = network.app()?;
		let mut auditor = Auditor::new(network).await?;
		for number in 0..TRIES {
			let key = format!("long-{number}");
			let task = app.submit(request("a snowman", LONG), &key).await?;
			let holder = holder(&app, task.id).await?;
			let victim = miners.iter().find(|miner| miner.account() == holder);
			let victim = victim.context("the task is held by one of the miners")?;
			network.kill_miner(victim)?;
			let done = app.wait(task.id, TASK_TIMEOUT).await?;
			if done.miner == Some(victim.account()) {
				// It was faster than the kill. Back with it, and once more.
				network.start_miner(victim)?;
				network.wait_eligible(&[holder], TASK_TIMEOUT).await?;
				continue;
			}
			assert!(done.attempt > Some(0), "{done:?}");
			let first = app.rpc().coordinator_draw(task.id, Some(0)).await?;
			assert_eq!(first.assignment.miner, victim.account());
			let evidence = auditor.audit(&app, task.id, &key).await?;
			assert_ne!(evidence.result.miner, victim.account());

			// The miner comes back on the data it left, and works again.
			network.start_miner(victim)?;
			network
				.wait_eligible(&[victim.account()], TASK_TIMEOUT)
				.await?;
			return Ok(());
		}
		anyhow::bail!("{TRIES} tasks of {LONG} steps were all done before their miner was killed")
	})
	.await
}

/// Who works on the task.
async fn holder(app: &App, id: TaskId) -> Result<cuckoo_primitives::AccountId> {
	let mut holder = None;
	until("somebody at work", TASK_TIMEOUT, async || {
		if let Ok(status) = app.rpc().task_status(id).await {
			if status.state == TaskState::Running {
				holder = status.miner;
			}
		}
		holder.is_some()
	})
	.await?;
	holder.context("a running task has a miner")
}

#[tokio::test]
async fn a_coordinator_killed_under_load_loses_no_accepted_task() -> Result<()> {
	on_network(
		&[DevKey::miner(1), DevKey::miner(2)],
		SHORT_LEASES,
		async |network| {
			let app = network.app()?;
			let load = try_join_all((0..APPS).map(|number| submit_all(app.clone(), number)));
			let storm = async {
				let mut unfinished = 0;
				for _ in 0..KILLS {
					tokio::time::sleep(Duration::from_millis(700)).await;
					let info = app.rpc().coordinator_info().await?;
					unfinished += info.queued + info.in_flight;
					network.kill_coordinator()?;
					network.start_coordinator().await?;
				}
				anyhow::Ok(unfinished)
			};
			let (accepted, unfinished) = tokio::try_join!(load, storm)?;
			ensure!(
				unfinished > 0,
				"the coordinator was idle each time it was killed"
			);
			println!(
				"{unfinished} tasks were unfinished when the coordinator was killed {KILLS} times"
			);

			let accepted: BTreeMap<String, TaskId> = accepted.into_iter().flatten().collect();
			assert_eq!(accepted.len(), APPS * TASKS_EACH);
			let ids: BTreeSet<TaskId> = accepted.values().copied().collect();
			assert_eq!(ids.len(), accepted.len(), "two tasks share an id");

			let mut auditor = Auditor::new(network).await?;
			for (key, id) in &accepted {
				app.wait(*id, TASK_TIMEOUT).await?;
				auditor.audit(&app, *id, key).await?;
				// Each exactly once: the key still leads to the task that is done.
				let again = app.submit(load_request(), key.as_str()).await?;
				assert_eq!((again.id, again.state), (*id, TaskState::Done));
			}
			let info = app.rpc().coordinator_info().await?;
			assert_eq!(
				(info.queued, info.in_flight),
				(0, 0),
				"something is left over"
			);
			Ok(())
		},
	)
	.await
}

fn load_request() -> cuckoo_coordinator_api::task::TaskRequest {
	request("a tree", 20)
}

/// One app's tasks under keys of its own. A submit without an answer is repeated under its key.
async fn submit_all(app: App, number: usize) -> Result<Vec<(String, TaskId)>> {
	let mut accepted = Vec::new();
	for task in 0..TASKS_EACH {
		let key = format!("app-{number}-task-{task}");
		let mut id = None;
		until("an answer to a submit", SUBMIT_TIMEOUT, async || {
			id = app
				.submit(load_request(), key.as_str())
				.await
				.ok()
				.map(|status| status.id);
			id.is_some()
		})
		.await?;
		accepted.push((key, id.context("it was accepted")?));
		tokio::time::sleep(Duration::from_millis(100)).await;
	}
	Ok(accepted)
}

#[tokio::test]
async fn coordinator_and_miners_go_on_through_a_killed_node() -> Result<()> {
	on_network(
		&[DevKey::miner(1), DevKey::miner(2)],
		SHORT_LEASES,
		async |network| {
			let app = network.app()?;
			until("a finalized block", TASK_TIMEOUT, async || {
				app.rpc()
					.coordinator_info()
					.await
					.is_ok_and(|info| info.finalized_block > 0)
			})
			.await?;
			let before = app.rpc().coordinator_info().await?.finalized_block;
			network.kill_node()?;

			// Without a node, on the last finalized view.
			let task = app.submit(request("a fish", 4), "without-node").await?;
			app.wait(task.id, TASK_TIMEOUT).await?;

			// The node goes on from its data; the coordinator follows it again.
			network.start_node().await?;
			until(
				"a newer finalized block at the coordinator",
				TASK_TIMEOUT,
				async || {
					app.rpc()
						.coordinator_info()
						.await
						.is_ok_and(|info| info.finalized_block > before + 1)
				},
			)
			.await?;
			let second = app.submit(request("a fish", 4), "with-node").await?;
			app.wait(second.id, TASK_TIMEOUT).await?;
			let mut auditor = Auditor::new(network).await?;
			auditor.audit(&app, task.id, "without-node").await?;
			let evidence = auditor.audit(&app, second.id, "with-node").await?;
			assert!(evidence.draw.assignment.block_number > before);
			network
				.verify_draw(app.url(), second.id, "with-node")
				.await?;

			// A miner that starts now finds the coordinator through the restarted node.
			network.start_miner(&DevKey::miner(3))?;
			network
				.wait_eligible(&[DevKey::miner(3).account()], TASK_TIMEOUT)
				.await?;
			Ok(())
		},
	)
	.await
}
