//! Follows the finalized head and keeps the registry current, through the node's restarts.

use crate::{
	client::Node,
	error::Error,
	registry::{BlockRef, Registry},
	source::{Chain, Connect, Heads},
	update,
};
use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use cuckoo_primitives::H256;
use futures::{FutureExt, StreamExt};
use std::{
	convert::Infallible,
	future::Future,
	sync::{Arc, Mutex, OnceLock, PoisonError},
	time::{Duration, Instant},
};
use tokio::{sync::watch, task::JoinHandle, time};
use tracing::{debug, error, info, warn};

/// Finalized blocks that are taken in one step when several wait.
const MAX_HEADS_AT_ONCE: usize = 64;

/// How long the follower waits for what.
#[derive(Clone, Copy, Debug)]
struct Timing {
	/// For a connection, with the check that the node fits.
	connect: Duration,
	/// For bringing the registry up to date at one head.
	update: Duration,
	/// For a new head before the node is asked whether there is one.
	silence: Duration,
	/// The first pause after a failure; doubles each time, with jitter.
	min_delay: Duration,
	/// The longest pause, before jitter.
	max_delay: Duration,
}

impl Default for Timing {
	fn default() -> Self {
		Self {
			connect: Duration::from_secs(30),
			update: Duration::from_secs(300),
			silence: Duration::from_secs(30),
			min_delay: Duration::from_millis(250),
			max_delay: Duration::from_secs(5),
		}
	}
}

impl Timing {
	fn backoff(&self) -> ExponentialBackoff {
		ExponentialBuilder::new()
			.with_min_delay(self.min_delay)
			.with_max_delay(self.max_delay)
			.without_max_times()
			.with_jitter()
			.build()
	}
}

/// How the follower stands with its node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Status {
	/// The first connection is being made.
	Connecting,
	/// Connected; the registry follows the finalized head.
	Following,
	/// Connected to a node whose finalized head, this one, is older than the registry: the node is
	/// catching up, or its data were wiped. The registry stays as it is until the node gets past it.
	Behind(BlockRef),
	/// Not following, for this reason; it tries again by itself.
	Failing(String),
}

/// What the follower's task and its handles share.
#[derive(Debug)]
struct Shared {
	registry: watch::Sender<Option<Arc<Registry>>>,
	status: watch::Sender<Status>,
	genesis: OnceLock<H256>,
	/// When the registry last advanced to a newer block.
	advanced: Mutex<Option<Instant>>,
}

impl Shared {
	fn current(&self) -> Option<Arc<Registry>> {
		self.registry.borrow().clone()
	}

	fn publish(&self, registry: Registry) {
		let known = self.current().map(|registry| registry.block.number);
		if known.is_none_or(|known| known < registry.block.number) {
			*self.advanced.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
		}
		self.registry.send_replace(Some(Arc::new(registry)));
	}

	/// Logs what changed for better or worse, not each block of it.
	fn set_status(&self, status: Status) {
		let kind = std::mem::discriminant(&status);
		let before = self.status.send_replace(status.clone());
		if std::mem::discriminant(&before) == kind {
			return;
		}
		match status {
			Status::Following => info!("following the chain"),
			Status::Behind(head) => {
				warn!(%head, "the node is behind what it had finalized before; waiting for it");
			},
			Status::Connecting | Status::Failing(_) => {},
		}
	}

	/// The chain followed first is the only one ever followed.
	fn check_genesis(&self, found: H256) -> Result<(), Error> {
		let expected = *self.genesis.get_or_init(|| found);
		if expected == found {
			Ok(())
		} else {
			Err(Error::WrongChain { expected, found })
		}
	}
}

/// Ends the task with the last handle.
#[derive(Debug)]
struct Task(JoinHandle<()>);

impl Drop for Task {
	fn drop(&mut self) {
		self.0.abort();
	}
}

/// A handle on a task that keeps the operator registry current. The task ends when the last clone of
/// the handle is dropped.
#[derive(Clone, Debug)]
pub struct Follower {
	shared: Arc<Shared>,
	_task: Arc<Task>,
}

/// Follows the chain of the node at `url`, whichever chain that is at the first connection; never
/// another one after that. Needs a tokio runtime. Returns at once: see [`Follower::ready`].
pub fn follow(url: String) -> Follower {
	spawn(Node::new(url), OnceLock::new(), Timing::default())
}

/// Like [`follow`], for the chain with this genesis hash only.
pub fn follow_chain(url: String, genesis_hash: H256) -> Follower {
	spawn(
		Node::new(url),
		OnceLock::from(genesis_hash),
		Timing::default(),
	)
}

fn spawn<C: Connect>(connect: C, genesis: OnceLock<H256>, timing: Timing) -> Follower {
	let shared = Arc::new(Shared {
		registry: watch::Sender::new(None),
		status: watch::Sender::new(Status::Connecting),
		genesis,
		advanced: Mutex::new(None),
	});
	let task = tokio::spawn(run(connect, shared.clone(), timing));
	Follower {
		shared,
		_task: Arc::new(Task(task)),
	}
}

impl Follower {
	/// The registry at the last finalized block that was seen; `None` before the first.
	pub fn current(&self) -> Option<Arc<Registry>> {
		self.shared.current()
	}

	/// The registry of each finalized block from now on. Blocks that are finalized together may come
	/// as one, the last.
	pub fn subscribe(&self) -> watch::Receiver<Option<Arc<Registry>>> {
		self.shared.registry.subscribe()
	}

	/// The followed chain's genesis hash; `None` before the first connection.
	pub fn genesis_hash(&self) -> Option<H256> {
		self.shared.genesis.get().copied()
	}

	/// How long ago the registry advanced to a newer finalized block; `None` before the first. Grows
	/// while the node is away, behind or on another chain, and while the chain finalizes nothing.
	pub fn age(&self) -> Option<Duration> {
		let advanced = *self
			.shared
			.advanced
			.lock()
			.unwrap_or_else(PoisonError::into_inner);
		advanced.map(|at| at.elapsed())
	}

	/// How the follower stands with its node.
	pub fn status(&self) -> Status {
		self.shared.status.borrow().clone()
	}

	/// Waits for the first registry.
	pub async fn ready(&self) -> Arc<Registry> {
		let mut registry = self.subscribe();
		loop {
			if let Some(current) = registry.borrow_and_update().clone() {
				return current;
			}
			if registry.changed().await.is_err() {
				// The sender lives in `self.shared`, so it cannot be gone.
				std::future::pending::<()>().await;
			}
		}
	}
}

async fn run<C: Connect>(connect: C, shared: Arc<Shared>, timing: Timing) {
	let mut delays = timing.backoff();
	loop {
		let before = shared.current().map(|registry| registry.block);
		let failure = match session(&connect, &shared, &timing).await {
			Ok(never) => match never {},
			Err(failure) => failure,
		};
		if shared.current().map(|registry| registry.block) != before {
			delays = timing.backoff();
		}
		let delay = delays.next().unwrap_or(timing.max_delay);
		match &failure {
			// These need a person.
			Error::WrongChain { .. } | Error::Incompatible { .. } => {
				error!(retry_in = ?delay, "not following the chain: {failure}");
			},
			_ => warn!(retry_in = ?delay, "not following the chain: {failure}"),
		}
		shared.set_status(Status::Failing(failure.to_string()));
		time::sleep(delay).await;
	}
}

/// One connection, from its start to its failure.
async fn session<C: Connect>(
	connect: &C,
	shared: &Shared,
	timing: &Timing,
) -> Result<Infallible, Error> {
	let chain = limit("connecting", timing.connect, connect.connect()).await?;
	shared.check_genesis(chain.genesis_hash())?;
	// Subscribed before the first read: no block falls between the two.
	let mut heads = limit("subscribing to heads", timing.connect, chain.heads()).await?;
	let mut pending = vec![limit("the head", timing.connect, chain.finalized()).await?];
	info!(genesis = ?chain.genesis_hash(), head = %pending[0], "connected to the node");

	// What was read over an earlier connection is not built upon.
	let mut read_here = false;
	loop {
		if let Some(head) = pending.last().copied() {
			let current = shared.current();
			let update = step(&chain, current.as_deref(), read_here, &pending);
			match limit("updating the registry", timing.update, update).await? {
				Some(registry) => {
					debug!(head = %head, "registry advanced");
					shared.set_status(Status::Following);
					shared.publish(registry);
					read_here = true;
				},
				None if !read_here => shared.set_status(Status::Behind(head)),
				None => {},
			}
		}
		pending = next_heads(&chain, &mut heads, shared, timing).await?;
	}
}

/// The registry at the last of `heads`; `None` when it is older than the current one, or the same
/// block read over the same connection.
async fn step<C: Chain>(
	chain: &C,
	current: Option<&Registry>,
	read_here: bool,
	heads: &[BlockRef],
) -> Result<Option<Registry>, Error> {
	let Some(head) = heads.last().copied() else {
		return Ok(None);
	};
	match current {
		Some(current) if read_here => update::advance(chain, current, heads).await,
		Some(current) if head.number < current.block.number => Ok(None),
		_ => update::read_all(chain, head).await.map(Some),
	}
}

/// Waits for finalized blocks and takes all that are there. Empty when the chain stands still.
async fn next_heads<C: Chain>(
	chain: &C,
	heads: &mut Heads,
	shared: &Shared,
	timing: &Timing,
) -> Result<Vec<BlockRef>, Error> {
	let first = match time::timeout(timing.silence, heads.next()).await {
		Ok(Some(head)) => head?,
		Ok(None) => return Err(subscription_ended()),
		Err(_) => {
			let head = limit("the head", timing.connect, chain.finalized()).await?;
			let known = shared.current().map(|registry| registry.block.number);
			return if known.is_some_and(|known| head.number > known) {
				Err(subscription_ended())
			} else {
				Ok(Vec::new())
			};
		},
	};
	let mut ready = vec![first];
	while ready.len() < MAX_HEADS_AT_ONCE {
		match heads.next().now_or_never() {
			Some(Some(head)) => ready.push(head?),
			Some(None) => return Err(subscription_ended()),
			None => break,
		}
	}
	Ok(ready)
}

fn subscription_ended() -> Error {
	Error::Read {
		what: "finalized heads",
		reason: "the subscription ended".into(),
	}
}

async fn limit<T>(
	what: &'static str,
	after: Duration,
	future: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
	time::timeout(after, future)
		.await
		.unwrap_or(Err(Error::Timeout { what, after }))
}

#[cfg(test)]
mod tests {
	use super::*;
	use crate::model::{account, Action, Model};
	use cuckoo_primitives::Role;

	const GENESIS: H256 = H256::repeat_byte(1);
	const OTHER: H256 = H256::repeat_byte(2);

	/// Longer than anything here takes.
	const PATIENCE: Duration = Duration::from_secs(20);

	fn quick() -> Timing {
		Timing {
			connect: Duration::from_millis(100),
			update: Duration::from_millis(100),
			silence: Duration::from_millis(50),
			min_delay: Duration::from_millis(1),
			max_delay: Duration::from_millis(8),
		}
	}

	fn start(model: &Model) -> Follower {
		spawn(model.clone(), OnceLock::new(), quick())
	}

	fn miner(operator: u8, stake: u128) -> Action {
		Action::Set {
			operator,
			role: Role::Miner,
			worker: Some(operator),
			stake,
		}
	}

	async fn until(follower: &Follower, block: BlockRef) -> Arc<Registry> {
		let mut registry = follower.subscribe();
		let reached = registry.wait_for(|registry| {
			registry
				.as_ref()
				.is_some_and(|registry| registry.block == block)
		});
		let reached = time::timeout(PATIENCE, reached)
			.await
			.expect("in time")
			.unwrap();
		reached.clone().unwrap()
	}

	async fn until_failing(follower: &Follower) -> String {
		let mut status = follower.shared.status.subscribe();
		let failing = status.wait_for(|status| matches!(status, Status::Failing(_)));
		let status = time::timeout(PATIENCE, failing)
			.await
			.expect("in time")
			.unwrap()
			.clone();
		match status {
			Status::Failing(reason) => reason,
			other => panic!("waited for a failure, got {other:?}"),
		}
	}

	#[tokio::test]
	async fn every_block_brings_its_registry() {
		let model = Model::new(GENESIS);
		let first = model.block(&[miner(1, 50)]);
		let follower = start(&model);
		assert_eq!(*follower.ready().await, model.registry(first));
		assert_eq!(follower.genesis_hash(), Some(GENESIS));
		assert_eq!(follower.status(), Status::Following);
		assert!(follower.age().unwrap() < PATIENCE);
		for stake in 51..60 {
			let block = model.block(&[miner(1, stake), miner(stake as u8, stake)]);
			assert_eq!(*until(&follower, block).await, model.registry(block));
		}
		assert_eq!(model.connections(), 1);
	}

	#[tokio::test]
	async fn waits_for_a_node_that_is_not_up_yet() {
		let model = Model::new(GENESIS);
		model.stop();
		let follower = start(&model);
		until_failing(&follower).await;
		assert_eq!(
			(follower.current(), follower.genesis_hash(), follower.age()),
			(None, None, None)
		);
		model.start();
		let ready = time::timeout(PATIENCE, follower.ready()).await.unwrap();
		assert_eq!(ready.block.number, 0);
	}

	#[tokio::test]
	async fn what_happened_while_the_node_was_away_is_not_missed() {
		let model = Model::new(GENESIS);
		model.block(&[miner(1, 50), miner(2, 60)]);
		let follower = start(&model);
		follower.ready().await;
		for round in 0..5 {
			model.stop();
			until_failing(&follower).await;
			assert!(
				follower.current().is_some(),
				"the last known registry stays"
			);
			model.block(&[miner(1, 100 + round), Action::Remove { operator: 2 }]);
			let last = model.block(&[miner(3, 70 + round)]);
			model.start();
			let registry = until(&follower, last).await;
			assert_eq!(*registry, model.registry(last));
			assert_eq!(registry.operator(&account(2)), None);
		}
	}

	#[tokio::test]
	async fn another_chain_is_refused_until_the_own_comes_back() {
		let model = Model::new(GENESIS);
		let block = model.block(&[miner(1, 50)]);
		let follower = start(&model);
		until(&follower, block).await;
		model.stop();
		model.start_on(OTHER);
		let mut status = follower.shared.status.subscribe();
		let refused = status.wait_for(
			|status| matches!(status, Status::Failing(reason) if reason.contains("genesis")),
		);
		time::timeout(PATIENCE, refused)
			.await
			.expect("in time")
			.unwrap();
		let attempts = model.connections();
		time::sleep(Duration::from_millis(50)).await;
		assert!(model.connections() > attempts, "it keeps trying");
		assert_eq!(follower.current().unwrap().block, block);
		assert_eq!(follower.genesis_hash(), Some(GENESIS));

		model.stop();
		model.start_on(GENESIS);
		let next = model.block(&[miner(1, 51)]);
		assert_eq!(*until(&follower, next).await, model.registry(next));
	}

	#[tokio::test]
	async fn an_expected_chain_is_expected_from_the_start() {
		let model = Model::new(OTHER);
		let follower = spawn(model.clone(), OnceLock::from(GENESIS), quick());
		assert!(until_failing(&follower).await.contains("genesis"));
		assert_eq!(follower.current(), None);
	}

	#[tokio::test]
	async fn a_node_that_is_behind_turns_nothing_back() {
		let model = Model::new(GENESIS);
		model.block(&[miner(1, 50)]);
		let block = model.block(&[miner(1, 51)]);
		let follower = start(&model);
		until(&follower, block).await;
		model.stop();
		let behind = model.start_behind(1);
		let mut status = follower.shared.status.subscribe();
		let noticed = status.wait_for(|status| *status == Status::Behind(behind));
		time::timeout(PATIENCE, noticed)
			.await
			.expect("in time")
			.unwrap();
		time::sleep(Duration::from_millis(50)).await;
		assert_eq!(follower.current().unwrap().block, block);
		let next = model.block(&[miner(1, 52)]);
		assert_eq!(*until(&follower, next).await, model.registry(next));
		let following = status.wait_for(|status| *status == Status::Following);
		time::timeout(PATIENCE, following)
			.await
			.expect("in time")
			.unwrap();
	}

	#[tokio::test]
	async fn a_restart_without_a_new_block_makes_nothing_younger() {
		let model = Model::new(GENESIS);
		let follower = start(&model);
		follower.ready().await;
		model.stop();
		until_failing(&follower).await;
		model.start();
		let since = Instant::now();
		let mut status = follower.shared.status.subscribe();
		let following = status.wait_for(|status| *status == Status::Following);
		time::timeout(PATIENCE, following)
			.await
			.expect("in time")
			.unwrap();
		assert!(follower.age().unwrap() > since.elapsed());
	}

	#[tokio::test]
	async fn a_silent_subscription_is_noticed() {
		let model = Model::new(GENESIS);
		let follower = start(&model);
		follower.ready().await;
		model.mute(true);
		let block = model.block(&[miner(1, 50)]);
		assert_eq!(*until(&follower, block).await, model.registry(block));
	}

	#[tokio::test]
	async fn a_chain_that_stands_still_is_no_failure() {
		let model = Model::new(GENESIS);
		let follower = start(&model);
		follower.ready().await;
		time::sleep(4 * quick().silence).await;
		assert_eq!(follower.status(), Status::Following);
		assert_eq!(model.connections(), 1);
		assert!(follower.age().unwrap() >= 4 * quick().silence);
	}

	#[tokio::test]
	async fn a_node_that_hangs_is_left_and_tried_again() {
		let model = Model::new(GENESIS);
		let follower = start(&model);
		follower.ready().await;
		model.hang(true);
		let block = model.block(&[miner(1, 50)]);
		assert!(until_failing(&follower).await.contains("no answer"));
		model.hang(false);
		assert_eq!(*until(&follower, block).await, model.registry(block));
	}

	#[tokio::test]
	async fn the_task_ends_with_the_last_handle() {
		let model = Model::new(GENESIS);
		let follower = start(&model);
		follower.ready().await;
		let mut registry = follower.subscribe();
		registry.mark_unchanged();
		let other = follower.clone();
		drop(follower);
		let block = model.block(&[]);
		until(&other, block).await;
		registry.mark_unchanged();
		drop(other);
		let ended = time::timeout(PATIENCE, registry.changed())
			.await
			.expect("in time");
		assert!(ended.is_err(), "the sender is gone");
	}
}
