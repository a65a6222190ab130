//! Keeps the coordinators that are served in line with the chain.

use crate::{
	clock::{now_ms, Steady},
	link::{is_http_url, Chain, Link},
	selection::{self, Seed},
	session::{self, Ended, Miner, Stop},
	ui::printable,
};
use cuckoo_chain_client::{Operator, Registry};
use cuckoo_coordinator_api::Amount;
use cuckoo_primitives::{AccountId, Role, WorkerId};
use sp_core::{crypto::Ss58Codec, Pair};
use std::{
	collections::{BTreeMap, BTreeSet},
	sync::{atomic::Ordering, Arc},
	time::Duration,
};
use tokio::{
	select,
	task::{self, JoinSet},
	time::{interval, sleep_until, Instant, MissedTickBehavior},
};
use tracing::{info, warn};

/// How long a coordinator is passed over after it was out of reach or broke the protocol, as long as
/// there are others.
const PASSED_OVER_FOR: Duration = Duration::from_secs(300);
/// The longest such time: each is twice the one before, unless the coordinator was served for longer than
/// that in between.
const LONGEST_PASSED_OVER: Duration = Duration::from_secs(4 * 3_600);
/// How soon a session that ended at once is begun again at the earliest.
const RESTART_GAP: Duration = Duration::from_secs(5);
/// How often old records leave the outbox.
const PRUNE_EVERY: Duration = Duration::from_secs(600);
/// For how long the clock must have been steady before anything is forgotten by it: a machine may begin
/// with a clock that is days off, and set it minutes later.
const STEADY_FOR: Duration = Duration::from_secs(3_600);
/// Longest endpoint that is tried.
const MAX_ENDPOINT_BYTES: usize = 512;

/// What the user wants.
#[derive(Clone, Debug)]
pub struct Wishes {
	/// How many coordinators to serve at once.
	pub most: usize,
	/// Only these, if any are named; at this address instead of the chain's, if one is given.
	pub only: BTreeMap<AccountId, Option<String>>,
	/// Fixes the choice among them.
	pub seed: Seed,
}

/// What is to be done at a coordinator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Post {
	/// Where it is.
	pub url: String,
	/// Whether to take work there, or only to deliver what is left.
	pub takes_work: bool,
}

/// Why the chain does not let this worker mine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotMining {
	/// Nobody registered it.
	#[error(
		"worker {} belongs to no operator on chain: register a miner with this worker key (docs/miner.md)",
		.0.to_ss58check()
	)]
	Unregistered(WorkerId),
	/// Its operator does something else.
	#[error("the operator {operator} is a {}, not a miner", .role.name())]
	OtherRole {
		/// The operator.
		operator: AccountId,
		/// What it does.
		role: Role,
	},
	/// Its operator has left.
	#[error("the miner {0} has retired")]
	Retired(AccountId),
	/// Its operator has too little at stake.
	#[error("the miner {operator} has {stake} of its own at stake; it takes more than {minimum}: stake more")]
	Understaked {
		/// The operator.
		operator: AccountId,
		/// What it has.
		stake: Amount,
		/// What it must exceed.
		minimum: Amount,
	},
}

/// The operator that this worker mines for, or why it cannot.
pub fn operator_of<'a>(
	registry: &'a Registry,
	worker: &WorkerId,
) -> Result<&'a Operator, NotMining> {
	let operator = registry
		.by_worker(worker)
		.ok_or(NotMining::Unregistered(*worker))?;
	if operator.role != Role::Miner {
		return Err(NotMining::OtherRole {
			operator: operator.account.clone(),
			role: operator.role,
		});
	}
	if operator.retired {
		return Err(NotMining::Retired(operator.account.clone()));
	}
	if !operator.active {
		return Err(NotMining::Understaked {
			operator: operator.account.clone(),
			stake: Amount(operator.self_stake),
			minimum: Amount(registry.min_self_stake(Role::Miner)),
		});
	}
	Ok(operator)
}

/// The address of a coordinator: the user's word, or else what it wrote on chain, if that is one.
pub fn address(coordinator: &Operator, wishes: &Wishes) -> Option<String> {
	if let Some(Some(url)) = wishes.only.get(&coordinator.account) {
		return Some(url.clone());
	}
	let endpoint = coordinator.endpoint.trim();
	let usable = endpoint.len() <= MAX_ENDPOINT_BYTES && is_http_url(endpoint);
	usable.then(|| endpoint.to_owned())
}

/// The coordinators that could be served: active, reachable by address, and wanted.
fn candidates<'a>(
	registry: &'a Registry,
	wishes: &'a Wishes,
) -> impl Iterator<Item = (&'a Operator, String)> {
	registry
		.of_role(Role::Coordinator)
		.filter(|coordinator| {
			coordinator.active
				&& (wishes.only.is_empty() || wishes.only.contains_key(&coordinator.account))
		})
		.filter_map(|coordinator| Some((coordinator, address(coordinator, wishes)?)))
}

/// Whom to serve. Those in `passed_over` are chosen only when there are no others; those in
/// `creditors` still have a result to get, and are served for that if for nothing else.
pub fn plan(
	registry: &Registry,
	wishes: &Wishes,
	passed_over: &BTreeSet<AccountId>,
	creditors: &BTreeSet<AccountId>,
) -> BTreeMap<AccountId, Post> {
	let candidates: BTreeMap<&AccountId, (&Operator, String)> = candidates(registry, wishes)
		.map(|(coordinator, url)| (&coordinator.account, (coordinator, url)))
		.collect();
	let stakes = |wanted: &dyn Fn(&AccountId) -> bool| -> Vec<_> {
		candidates
			.iter()
			.filter(|(account, _)| wanted(account))
			.map(|(account, (coordinator, _))| ((*account).clone(), coordinator.total_stake))
			.collect()
	};
	let preferred = stakes(&|account| !passed_over.contains(account));
	let mut chosen = selection::choose(&preferred, wishes.most, &wishes.seed);
	if chosen.is_empty() {
		chosen = selection::choose(&stakes(&|_| true), wishes.most, &wishes.seed);
	}
	let mut posts = BTreeMap::new();
	for (account, (_, url)) in candidates {
		let takes_work = chosen.contains(account);
		if takes_work || creditors.contains(account) {
			posts.insert(account.clone(), Post { url, takes_work });
		}
	}
	posts
}

/// For how long one is passed over that was passed over for `before` and then `served` for so long.
fn passed_over_for(before: Option<Duration>, served: Duration) -> Duration {
	match before {
		Some(before) if served <= before => LONGEST_PASSED_OVER.min(before * 2),
		_ => PASSED_OVER_FOR,
	}
}

/// Serves coordinators until told to stop.
pub async fn run(miner: Arc<Miner>, chain: Chain, wishes: Wishes, stop: Stop) {
	let registry_changes = chain.registry.clone();
	let mut fleet = Fleet {
		miner,
		chain,
		wishes,
		stop,
		sessions: JoinSet::new(),
		running: BTreeMap::new(),
		not_before: BTreeMap::new(),
		spans: BTreeMap::new(),
		clock: Steady::default(),
		told: String::new(),
	};
	fleet.run(registry_changes).await;
}

struct Fleet {
	miner: Arc<Miner>,
	chain: Chain,
	wishes: Wishes,
	stop: Stop,
	sessions: JoinSet<(AccountId, Ended)>,
	running: BTreeMap<AccountId, Running>,
	not_before: BTreeMap<AccountId, NotBefore>,
	/// For how long each was passed over last.
	spans: BTreeMap<AccountId, Duration>,
	clock: Steady,
	/// What the user was told last about the miner's standing on chain.
	told: String,
}

struct Running {
	post: Post,
	stop: Stop,
	session: task::Id,
	since: Instant,
}

struct NotBefore {
	restart: Instant,
	passed_over: Instant,
}

impl Fleet {
	async fn run(&mut self, mut registry: tokio::sync::watch::Receiver<Option<Arc<Registry>>>) {
		let mut prune = interval(PRUNE_EVERY);
		let mut probe = interval(self.miner.timing.probe_gap);
		let mut block_came = Instant::now();
		for ticks in [&mut prune, &mut probe] {
			ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
		}
		loop {
			let draining = self.stop.drain.is_cancelled();
			if draining && self.sessions.is_empty() {
				return;
			}
			if !draining {
				self.follow_plan();
			}
			let wake = self.next_wake();
			select! {
				() = self.stop.drain.cancelled(), if !draining => {},
				changed = registry.changed(), if !draining => {
					block_came = Instant::now();
					if changed.is_err() {
						warn!("the chain is followed no more; stopping");
						self.stop.drain.cancel();
					}
				},
				Some(ended) = self.sessions.join_next_with_id(), if !self.sessions.is_empty() => {
					self.ended(ended);
				},
				() = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => {},
				_ = prune.tick() => self.prune().await,
				_ = probe.tick() => {
					self.watch_chain(block_came.elapsed());
					self.probe().await;
				},
			}
		}
	}

	fn follow_plan(&mut self) {
		let now = Instant::now();
		self.not_before
			.retain(|_, until| until.passed_over.max(until.restart) > now);
		let posts = self.posts(now);
		for (account, running) in &self.running {
			if posts.get(account) != Some(&running.post) && !running.stop.drain.is_cancelled() {
				info!(coordinator = %account, "not served any more");
				running.stop.drain.cancel();
			}
		}
		for (account, post) in posts {
			let waits = self
				.not_before
				.get(&account)
				.is_some_and(|until| until.restart > now);
			if !waits && !self.running.contains_key(&account) {
				self.start(account, post);
			}
		}
	}

	fn posts(&mut self, now: Instant) -> BTreeMap<AccountId, Post> {
		let Some(registry) = self.chain.current() else {
			return BTreeMap::new();
		};
		let worker = self.miner.worker.public();
		let word = match operator_of(&registry, &worker) {
			Ok(operator) => format!(
				"mining for {} ({}), stake {}",
				operator.account,
				printable(&operator.name),
				Amount(operator.total_stake)
			),
			Err(reason) => {
				let word = reason.to_string();
				if word != self.told {
					warn!("waiting: {word}");
					self.told = word;
				}
				return BTreeMap::new();
			},
		};
		let passed_over = self
			.not_before
			.iter()
			.filter(|(_, until)| until.passed_over > now)
			.map(|(account, _)| account.clone())
			.collect();
		let creditors = self
			.miner
			.outbox
			.pending()
			.into_iter()
			.filter(|record| record.genesis_hash == self.chain.genesis_hash)
			.map(|record| record.coordinator)
			.collect();
		let posts = plan(&registry, &self.wishes, &passed_over, &creditors);
		let word = if posts.is_empty() {
			format!("{word}; no active coordinator with an http address on chain yet")
		} else {
			word
		};
		if word != self.told {
			info!(block = registry.block.number, "{word}");
			self.told = word;
		}
		posts
	}

	fn start(&mut self, account: AccountId, post: Post) {
		let link = Link::new(
			account.clone(),
			&post.url,
			self.miner.worker.clone(),
			self.miner.devices.profile().clone(),
			self.chain.clone(),
			&self.miner.trust,
		);
		let link = match link {
			Ok(link) => Arc::new(link),
			Err(error) => {
				warn!(coordinator = %account, "passed over: {error}");
				self.pass_over(account, Duration::ZERO);
				return;
			},
		};
		info!(coordinator = %account, url = %post.url, takes_work = post.takes_work, "serving");
		let stop = Stop {
			drain: self.stop.drain.child_token(),
			at_once: self.stop.at_once.child_token(),
		};
		if !post.takes_work {
			stop.drain.cancel();
		}
		let (miner, its_stop, name) = (self.miner.clone(), stop.clone(), account.clone());
		let session = self
			.sessions
			.spawn(async move { (name, session::serve(miner, link, its_stop).await) })
			.id();
		self.running.insert(
			account,
			Running {
				post,
				stop,
				session,
				since: Instant::now(),
			},
		);
	}

	fn ended(&mut self, ended: Result<(task::Id, (AccountId, Ended)), task::JoinError>) {
		let (id, ended) = match ended {
			Ok((id, (_, ended))) => (id, Some(ended)),
			Err(error) => {
				warn!(%error, "a session broke off");
				(error.id(), None)
			},
		};
		let account = self
			.running
			.iter()
			.find(|(_, running)| running.session == id)
			.map(|(account, _)| account.clone());
		let Some(account) = account else { return };
		let Some(running) = self.running.remove(&account) else {
			return;
		};
		let served = running.since.elapsed();
		match ended {
			Some(Ended::Drained) => self.not_before(account, Duration::ZERO),
			Some(Ended::OutOfReach(reason)) => {
				warn!(coordinator = %account, "out of reach: {reason}");
				self.pass_over(account, served);
			},
			Some(Ended::Foul(reason)) => {
				warn!(coordinator = %account, "left, for it broke the protocol: {reason}");
				self.miner.metrics.error(&reason);
				self.pass_over(account, served);
			},
			None => self.pass_over(account, served),
		}
	}

	/// Passes one over that was `served` for so long until it was no use.
	fn pass_over(&mut self, account: AccountId, served: Duration) {
		let span = passed_over_for(self.spans.get(&account).copied(), served);
		self.spans.insert(account.clone(), span);
		self.not_before(account, span);
	}

	fn not_before(&mut self, account: AccountId, span: Duration) {
		let now = Instant::now();
		let until = NotBefore {
			restart: now + RESTART_GAP,
			passed_over: now + span,
		};
		self.not_before.insert(account, until);
	}

	/// When a coordinator may be begun with again.
	fn next_wake(&self) -> Option<Instant> {
		let now = Instant::now();
		self.not_before
			.values()
			.flat_map(|until| [until.restart, until.passed_over])
			.filter(|until| *until > now)
			.min()
	}

	/// Says once when no block has come for long, and once when one has.
	fn watch_chain(&self, silence: Duration) {
		let stalls = silence >= self.miner.timing.chain_patience;
		match (self.chain.stalled.swap(stalls, Ordering::SeqCst), stalls) {
			(false, true) => {
				let text = "no newer block has been finalized for minutes: look at the node, or at the chain";
				warn!("{text}");
				self.miner.metrics.error(text);
			},
			(true, false) => info!("blocks are finalized again"),
			_ => {},
		}
	}

	/// Looks whether the disk takes results again.
	async fn probe(&self) {
		let outbox = self.miner.outbox.clone();
		if !outbox.is_stuck() {
			return;
		}
		match task::spawn_blocking(move || outbox.probe()).await {
			Ok(Ok(())) => info!("the disk takes results again"),
			Ok(Err(error)) => warn!("no work is asked for, since results cannot be kept: {error}"),
			Err(error) => warn!("no work is asked for, since results cannot be kept: {error}"),
		}
	}

	async fn prune(&mut self) {
		let now_ms = now_ms();
		if self.clock.so_far(now_ms, std::time::Instant::now()) < STEADY_FOR {
			return;
		}
		let outbox = self.miner.outbox.clone();
		match task::spawn_blocking(move || outbox.prune(now_ms)).await {
			Ok(Ok(given_up)) => {
				for record in given_up {
					self.miner.purse.delivered(&record);
					warn!(
						task = %record.task,
						coordinator = %record.coordinator,
						"given up: its coordinator took no result for a day"
					);
				}
			},
			Ok(Err(error)) => warn!("the outbox is not cleaned: {error}"),
			Err(error) => warn!("the outbox is not cleaned: {error}"),
		}
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use cuckoo_chain_client::BlockRef;
	use cuckoo_primitives::{Balance, CUC, H256};
	use sp_core::sr25519;

	fn account(byte: u8) -> AccountId {
		AccountId::new([byte; 32])
	}

	fn worker(byte: u8) -> WorkerId {
		sr25519::Pair::from_seed(&[byte; 32]).public()
	}

	fn operator(byte: u8, role: Role, endpoint: &str) -> Operator {
		Operator {
			account: account(byte),
			role,
			worker: Some(worker(byte)),
			commission_ppb: 0,
			next_commission: None,
			name: format!("operator {byte}"),
			endpoint: endpoint.into(),
			text: String::new(),
			self_stake: 3_000_000 * CUC,
			total_stake: 3_000_000 * CUC,
			active: true,
			retired: false,
			suspended: false,
			streaming: 0,
		}
	}

	fn registry(operators: Vec<Operator>) -> Registry {
		let block = BlockRef {
			number: 1,
			hash: H256::zero(),
		};
		let minima: [(Role, Balance); 3] =
			Role::ALL.map(|role| (role, role.default_min_self_stake()));
		Registry::new(block, H256::zero(), operators, minima)
	}

	fn wishes(most: usize) -> Wishes {
		Wishes {
			most,
			only: BTreeMap::new(),
			seed: [1; 32],
		}
	}

	fn none() -> BTreeSet<AccountId> {
		BTreeSet::new()
	}

	#[test]
	fn only_active_coordinators_with_an_http_address_are_planned() {
		let mut retired = operator(2, Role::Coordinator, "http://two");
		retired.active = false;
		let registry = registry(vec![
			operator(1, Role::Coordinator, "http://one:8080"),
			retired,
			operator(3, Role::Coordinator, "ftp://three"),
			operator(4, Role::Coordinator, ""),
			operator(5, Role::Coordinator, "file:///etc/passwd"),
			operator(6, Role::Miner, "http://six"),
			operator(7, Role::Coordinator, &format!("http://{}", "x".repeat(600))),
		]);
		let posts = plan(&registry, &wishes(5), &none(), &none());
		let post = Post {
			url: "http://one:8080".into(),
			takes_work: true,
		};
		assert_eq!(posts, BTreeMap::from([(account(1), post)]));
	}

	#[test]
	fn a_named_coordinator_is_the_only_one_and_its_address_is_the_users() {
		let registry = registry(vec![
			operator(1, Role::Coordinator, "http://one"),
			operator(2, Role::Coordinator, "nonsense"),
		]);
		let mut wishes = wishes(5);
		wishes.only = BTreeMap::from([(account(2), Some("http://127.0.0.1:1".into()))]);
		let posts = plan(&registry, &wishes, &none(), &none());
		let post = Post {
			url: "http://127.0.0.1:1".into(),
			takes_work: true,
		};
		assert_eq!(posts, BTreeMap::from([(account(2), post)]));
	}

	#[test]
	fn the_unreachable_are_passed_over_while_there_are_others() {
		let registry = registry(
			(1..=4)
				.map(|byte| operator(byte, Role::Coordinator, "http://there"))
				.collect(),
		);
		let first = plan(&registry, &wishes(1), &none(), &none());
		let passed_over: BTreeSet<AccountId> = first.keys().cloned().collect();
		let second = plan(&registry, &wishes(1), &passed_over, &none());
		assert_eq!(second.len(), 1);
		assert_ne!(first, second);
		let all: BTreeSet<AccountId> = (1..=4).map(account).collect();
		assert_eq!(plan(&registry, &wishes(1), &all, &none()), first);
	}

	#[test]
	fn one_that_is_never_there_is_tried_ever_more_seldom() {
		let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
		let mut before = None;
		let mut spans = Vec::new();
		for _ in 0..8 {
			before = Some(passed_over_for(before, minutes(1)));
			spans.extend(before);
		}
		assert_eq!(spans[..3], [minutes(5), minutes(10), minutes(20)]);
		assert_eq!(spans[7], LONGEST_PASSED_OVER);
		// It was away for a while after a day.
		assert_eq!(passed_over_for(before, minutes(24 * 60)), PASSED_OVER_FOR);
	}

	#[test]
	fn what_is_owed_is_delivered_even_where_no_work_is_taken() {
		let registry = registry(
			(1..=4)
				.map(|byte| operator(byte, Role::Coordinator, "http://there"))
				.collect(),
		);
		let chosen = plan(&registry, &wishes(1), &none(), &none());
		let owed = (1..=4)
			.map(account)
			.find(|account| !chosen.contains_key(account))
			.unwrap();
		let posts = plan(
			&registry,
			&wishes(1),
			&none(),
			&BTreeSet::from([owed.clone()]),
		);
		assert_eq!(posts.len(), 2);
		assert!(!posts[&owed].takes_work);
	}

	#[test]
	fn who_may_not_mine_is_told_why() {
		let mut poor = operator(2, Role::Miner, "");
		(poor.active, poor.self_stake) = (false, 5 * CUC);
		let mut retired = operator(3, Role::Miner, "");
		(retired.active, retired.retired) = (false, true);
		let registry = registry(vec![
			operator(1, Role::Miner, ""),
			poor,
			retired,
			operator(4, Role::Validator, ""),
		]);
		let of = |byte| operator_of(&registry, &worker(byte));
		assert_eq!(of(1).unwrap().account, account(1));
		assert!(matches!(of(2), Err(NotMining::Understaked { .. })));
		assert_eq!(of(3), Err(NotMining::Retired(account(3))));
		assert_eq!(
			of(4),
			Err(NotMining::OtherRole {
				operator: account(4),
				role: Role::Validator
			})
		);
		assert_eq!(of(5), Err(NotMining::Unregistered(worker(5))));
		let sentence = of(2).unwrap_err().to_string();
		assert!(
			sentence.contains("has 5 CUC") && sentence.contains("20000 CUC"),
			"{sentence}"
		);
	}
}
