//! Other processes of the same operator on the same store. All hold the queue in memory and draw from
//! it among their own miners; the store lets each draw happen once. What one changes the others are
//! told; what gets lost on the way a look at everything mends. When one dies, another takes up what it
//! had as if it had been restarted there.

use crate::{
	bans::Bans,
	coordinator::{internal, Coordinator, Error, Result},
	store::{Change, Notice, Open, Store, Taken},
};
use cuckoo_coordinator_api::miner::Held;
use cuckoo_primitives::{task::TaskId, AccountId};
use std::{
	collections::{BTreeMap, BTreeSet},
	path::Path,
	sync::Arc,
	time::{Duration, Instant},
};
use tokio::time::{interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

/// In the data directory: the number that the process here had last.
const FILE: &str = "instance";

/// For so long a new task is its acceptor's alone, or else every process would draw for it at once.
const HEAD_START: Duration = Duration::from_millis(100);

/// How often this process shows that it lives, and looks for others that do not.
const BEAT: Duration = Duration::from_secs(1);

/// For how long another must be gone before it is taken for dead: after the database was away all are.
const SILENCE: Duration = Duration::from_secs(5);

/// How often the whole queue is compared with the store's.
const COMPARE: Duration = Duration::from_secs(5);

/// Takes over what the process before had in this data directory, which it has left for sure.
pub(crate) async fn succeed(
	store: &Store,
	data_dir: &Path,
	now_ms: u64,
) -> std::result::Result<(), Error> {
	let Some(own) = store.instance() else {
		return Ok(());
	};
	let file = data_dir.join(FILE);
	let former = tokio::fs::read_to_string(&file).await.ok();
	if let Some(former) = former.and_then(|text| text.trim().parse().ok()) {
		// The database notices a moment later than the system that a process is gone.
		for _ in 0..20 {
			let is_silent = store.silent_instances().await?.contains(&former);
			if is_silent {
				store.take_over_from(former, now_ms, |_| {}).await?;
				break;
			}
			tokio::time::sleep(Duration::from_millis(50)).await;
		}
	}
	tokio::fs::write(&file, own.to_string()).await?;
	Ok(())
}

/// Follows the other processes until `stop`. Does nothing where there can be none.
pub async fn run(coordinator: Arc<Coordinator>, stop: CancellationToken) {
	if coordinator.store().instance().is_none() {
		return;
	}
	let mut peers = Peers::default();
	let mut tick = interval(HEAD_START);
	tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
	loop {
		let done = tokio::select! {
			() = stop.cancelled() => return,
			news = coordinator.store().news() => {
				peers.missed |= news.missed;
				peers.hear(&coordinator, news.tasks).await
			},
			_ = tick.tick() => peers.tick(&coordinator).await,
		};
		if let Err(error) = done {
			tracing::error!(%error, "the other processes are not followed for a moment");
			peers.missed = true;
			tokio::time::sleep(BEAT).await;
		}
	}
}

/// What is known of the others.
#[derive(Default)]
struct Peers {
	/// Tasks that wait, as heard before the last tick, and since.
	ripe: Vec<TaskId>,
	fresh: Vec<TaskId>,
	/// Whether something may have been missed.
	missed: bool,
	beat: Option<Instant>,
	compared: Option<Instant>,
	suspects: BTreeSet<i64>,
	/// Since when others are gone.
	silent: BTreeMap<i64, Instant>,
}

impl Peers {
	async fn hear(&mut self, coordinator: &Arc<Coordinator>, notices: Vec<Notice>) -> Result<()> {
		let mut read = Vec::new();
		{
			let mut live = coordinator.live();
			for notice in notices {
				match (live.noticed(&notice), notice.change) {
					(true, Change::Queued) => self.fresh.push(notice.id),
					(true, _) => read.push(notice.id),
					(false, _) => {},
				}
			}
		}
		follow(coordinator, read).await
	}

	async fn tick(&mut self, coordinator: &Arc<Coordinator>) -> Result<()> {
		let ripe = std::mem::replace(&mut self.ripe, std::mem::take(&mut self.fresh));
		follow(coordinator, ripe).await?;
		let missed = std::mem::take(&mut self.missed);
		if missed || is_over(self.compared, COMPARE) {
			self.compare(coordinator).await?;
			self.compared = Some(Instant::now());
		}
		if is_over(self.beat, BEAT) {
			coordinator.store().beat().await.map_err(internal)?;
			self.look_for_the_dead(coordinator).await?;
			self.beat = Some(Instant::now());
		}
		Ok(())
	}

	/// Compares what is in memory with the store.
	async fn compare(&mut self, coordinator: &Arc<Coordinator>) -> Result<()> {
		let store = coordinator.store();
		let queued = store.queued().await.map_err(internal)?;
		let bans = store.bans().await.map_err(internal)?;
		let models = store.models().await.map_err(internal)?;
		let missing = {
			let mut live = coordinator.live();
			live.bans = Bans::new(bans);
			for model in models {
				live.models.declare(&model.info, model.stake);
			}
			live.compare_queue(&queued, &mut self.suspects)
		};
		follow(coordinator, missing).await
	}

	async fn look_for_the_dead(&mut self, coordinator: &Arc<Coordinator>) -> Result<()> {
		let silent = coordinator.store().silent_instances().await;
		let silent: BTreeSet<i64> = silent.map_err(internal)?.into_iter().collect();
		self.silent.retain(|number, _| silent.contains(number));
		for number in silent {
			let since = *self.silent.entry(number).or_insert_with(Instant::now);
			if since.elapsed() >= SILENCE {
				coordinator.take_over_from(number).await?;
				self.silent.remove(&number);
			}
		}
		Ok(())
	}
}

fn is_over(since: Option<Instant>, time: Duration) -> bool {
	since.is_none_or(|since| since.elapsed() >= time)
}

/// Reads these tasks and follows them.
async fn follow(coordinator: &Arc<Coordinator>, ids: Vec<TaskId>) -> Result<()> {
	if ids.is_empty() {
		return Ok(());
	}
	let store = coordinator.store();
	let tasks = store.tasks_with_stages(ids).await.map_err(internal)?;
	let now_ms = coordinator.now_ms();
	let mut live = coordinator.live();
	for (task, stage) in tasks {
		live.follow(&task, &stage, store.instance(), now_ms);
	}
	drop(live);
	coordinator.schedule().notify_one();
	Ok(())
}

impl Coordinator {
	/// Takes up what a process had that is gone, as after a restart.
	async fn take_over_from(self: &Arc<Self>, number: i64) -> Result<()> {
		let now_ms = self.now_ms();
		let (this, runtime) = (self.clone(), tokio::runtime::Handle::current());
		let after = move |open: &Vec<Open>| {
			for open in open.iter().cloned() {
				let id = open.task.id;
				match this.live().take_up(open, now_ms) {
					Ok(None) => {},
					Ok(Some(submitted)) => {
						runtime.spawn(this.clone().check_again(submitted));
					},
					Err(error) => {
						tracing::error!(task = %id, %error, "a task cannot be taken over")
					},
				}
			}
		};
		let taken = self.store().take_over_from(number, now_ms, after).await;
		let tasks = taken.map_err(internal)?.len();
		tracing::warn!(
			instance = number,
			tasks,
			"another process is gone: its miners come here"
		);
		Ok(())
	}

	/// A miner names an attempt. Where another process had drawn it, this one takes it over: a miner
	/// that lost its process goes on where it finds another.
	pub(crate) async fn claim(self: &Arc<Self>, held: &Held, miner: &AccountId) -> Result<()> {
		if self.store().instance().is_none() || self.live().leases.get(&held.task).is_some() {
			return Ok(());
		}
		let task = self.store().task(&held.task).await.map_err(internal)?;
		let elsewhere = task.is_some_and(|task| {
			let its = task.attempt == Some(held.attempt) && task.miner.as_ref() == Some(miner);
			its && !task.state.is_final() && task.instance != self.store().instance()
		});
		if !elsewhere {
			return Ok(());
		}
		let now_ms = self.now_ms();
		let this = self.clone();
		let after = move |taken: &Option<Taken>| {
			if let Some(taken) = taken.clone() {
				this.live().take_over(taken, now_ms);
			}
		};
		let taken = self.store().take_over(*held, miner.clone(), after).await;
		if taken.map_err(internal)?.is_some() {
			tracing::info!(task = %held.task, %miner, "an attempt came along with its miner");
		}
		Ok(())
	}
}
