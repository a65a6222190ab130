//! Money: apps pay for tasks, miners earn by them, and the chain settles what is owed once an era.
//!
//! - [`purse`]: an app's money. [`journal`]: the accounts, and each movement between them. Pure.
//! - [`charge`]: a task's price is held when it is accepted, spent when it is done, given back when it comes
//!   to nothing.
//! - [`earn`]: what a miner has earned in each era, and the vouchers that say so.
//! - [`chain`]: what is asked of the chain; [`node`] asks a node.
//!   [`model`] is one in memory, for tests.
//! - [`settle`]: closes eras, redeems channels, posts roots, allots.
//! - [`by_hand`]: settles on an operator's word.
//! - [`reconcile`]: checks that the books add up. [`commands`], [`listing`]: what operators ask.
//! - [`proof`]: the trees of closed eras, and proofs from them.
//!
//! The truth is in the store, and on the chain: what is here in memory is read again from there at any
//! time.

pub mod by_hand;
pub mod chain;
mod charge;
pub mod commands;
mod earn;
pub mod journal;
pub mod listing;
mod metrics;
pub mod model;
pub mod node;
mod proof;
mod purse;
pub mod reconcile;
pub mod settle;

pub(crate) use charge::refused;
pub use metrics::MoneyMetrics;
pub use purse::{Payer, Payment, Purse, PurseBroken};

use crate::coordinator::{internal, Coordinator, Result};
use chain::{ChainError, Facts, MoneyChain};
use cuckoo_chain_client::Channel;
use cuckoo_coordinator_api::error::{ApiError, ErrorCode};
use cuckoo_primitives::{
	sum_tree::SumTree, voucher::ChannelId, AccountId, BlockNumber, EraIndex, CUC,
};
use std::{
	collections::{BTreeMap, HashMap},
	sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
	time::Duration,
};
use tokio::sync::{watch, Notify};
use tokio_util::sync::CancellationToken;

/// Most channels that are remembered from one look at the chain to the next.
const MAX_CHANNELS: usize = 4_096;

/// Miners whose allotments are read at once.
const ALLOTMENTS_AT_ONCE: usize = 64;

/// Miners whose allotments are read again with each block: of more, in turn.
const ALLOTMENTS_A_BLOCK: usize = 256;

/// How long to wait for a block before the chain is looked at without one, and after it failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// What an operator can set of settlement.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Settings {
	/// What is allotted to each miner that is connected, as far as the reserve allows; 0 for nothing.
	pub allotment: cuckoo_primitives::Balance,
	/// Whether leaves are claimed for their miners.
	pub claim_for_miners: bool,
}

/// From what of a channel can be redeemed on it is worth a transaction.
pub const WORTHWHILE: cuckoo_primitives::Balance = CUC;

/// What the coordinator knows of the chain's side of money.
#[derive(Default)]
pub struct Ledger {
	chain: OnceLock<Arc<dyn MoneyChain>>,
	facts: Mutex<Option<Arc<Facts>>>,
	/// As of the block with this number.
	channels: Mutex<HashMap<ChannelId, (BlockNumber, Option<Channel>)>>,
	era: watch::Sender<Option<EraIndex>>,
	trees: Mutex<BTreeMap<EraIndex, Arc<SumTree>>>,
	/// The last miner whose allotment was read.
	turn: Mutex<Option<AccountId>>,
	turns: Mutex<settle::Turns>,
	block: Notify,
	to_settle: Notify,
}

impl std::fmt::Debug for Ledger {
	fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
		f.debug_struct("Ledger")
			.field("facts", &*lock(&self.facts))
			.finish_non_exhaustive()
	}
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
	// Nothing is left half done when a holder panics.
	mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A failure to read the chain, as an app is told it.
fn away(error: ChainError) -> ApiError {
	tracing::warn!(%error, "the chain's side of money cannot be read");
	ErrorCode::ChainUnavailable.into()
}

impl Ledger {
	/// A block was finalized.
	pub(crate) fn finalized(&self, era: EraIndex) {
		self.era.send_if_modified(|known| {
			let newer = known.is_none_or(|known| era > known);
			if newer {
				*known = Some(era);
			}
			newer
		});
		self.block.notify_one();
	}

	/// What the chain said at the last look.
	pub fn facts(&self) -> Option<Arc<Facts>> {
		lock(&self.facts).clone()
	}

	fn chain(&self) -> Result<&Arc<dyn MoneyChain>> {
		self.chain
			.get()
			.ok_or_else(|| ErrorCode::ChainUnavailable.into())
	}

	/// The era of the last finalized block; waits for the first.
	async fn era(&self) -> EraIndex {
		let mut eras = self.era.subscribe();
		loop {
			if let Some(era) = *eras.borrow_and_update() {
				return era;
			}
			if eras.changed().await.is_err() {
				// The sender lives as long as this ledger.
				std::future::pending::<()>().await;
			}
		}
	}

	/// A channel as of the last finalized block, read at most once a block.
	async fn channel(&self, channel: ChannelId) -> Result<Option<Channel>> {
		let block = self.facts().map_or(0, |facts| facts.block.number);
		if let Some((at, known)) = lock(&self.channels).get(&channel) {
			if *at == block {
				return Ok(known.clone());
			}
		}
		let found = self.chain()?.channel(channel).await.map_err(away)?;
		let mut channels = lock(&self.channels);
		if channels.len() >= MAX_CHANNELS {
			channels.retain(|_, (at, _)| *at == block);
		}
		if channels.len() < MAX_CHANNELS {
			channels.insert(channel, (block, found.clone()));
		}
		Ok(found)
	}
}

impl Coordinator {
	/// Whether anything costs anything here.
	pub(crate) fn charges(&self) -> bool {
		let prices = &self.settings().prices;
		prices.default > 0 || prices.by_model.values().any(|rate| *rate > 0)
	}

	/// Where the chain's side of money is read and written. Only the first counts.
	pub fn set_chain(&self, chain: Arc<dyn MoneyChain>) {
		let _ = self.ledger().chain.set(chain);
	}

	/// Looks at the chain: how fees are split, what is in the reserve and what is allotted to whom.
	pub async fn look_at_chain(self: &Arc<Self>) -> Result<()> {
		let (ledger, identity) = (self.ledger(), self.identity()?);
		let chain = ledger.chain()?;
		let facts = chain.facts(&identity.operator).await.map_err(away)?;
		let first = facts.era.saturating_sub(facts.params.claim_eras);
		*lock(&ledger.facts) = Some(Arc::new(facts));
		let page = {
			let mut turn = lock(&ledger.turn);
			let live = self.live();
			let page = live.connected(turn.as_ref(), ALLOTMENTS_A_BLOCK);
			// A full page may have others after it; the next look begins anew otherwise.
			*turn = page
				.last()
				.filter(|_| page.len() == ALLOTMENTS_A_BLOCK)
				.cloned();
			page
		};
		for miners in page.chunks(ALLOTMENTS_AT_ONCE) {
			let reads = miners
				.iter()
				.map(|miner| chain.allotment(&identity.operator, miner));
			let read = futures::future::try_join_all(reads).await.map_err(away)?;
			let guaranteed = |found: Option<cuckoo_chain_client::Allotment>| {
				found.map_or(0, |allotment| allotment.guaranteed())
			};
			let allotted = miners.iter().cloned().zip(read.into_iter().map(guaranteed));
			let allotted = allotted.collect();
			let now_ms = self.now_ms();
			self.live().set_allotted(allotted, now_ms);
		}
		self.look_at_owed(first).await?;
		self.schedule().notify_one();
		ledger.to_settle.notify_one();
		Ok(())
	}

	/// Brings up to date what is owed to whom, which other processes change too.
	async fn look_at_owed(self: &Arc<Self>, first: EraIndex) -> Result<()> {
		let (store, now_ms, this) = (self.store(), self.now_ms(), self.clone());
		let after = move |earned: &Vec<crate::store::Earned>| this.live().set_owed(earned, now_ms);
		store.unsettled(first, after).await.map_err(internal)?;
		Ok(())
	}
}

/// Follows the chain's side of money, and settles, until `stop`.
pub async fn run(coordinator: Arc<Coordinator>, stop: CancellationToken) {
	let follow = async {
		loop {
			let _ = tokio::time::timeout(PATIENCE, coordinator.ledger().block.notified()).await;
			if !needs_chain(&coordinator).await {
				continue;
			}
			if let Err(error) = coordinator.look_at_chain().await {
				tracing::debug!(%error, "the chain was not looked at");
			}
		}
	};
	let settle = async {
		loop {
			coordinator.ledger().to_settle.notified().await;
			if let Err(error) = settle::pass(&coordinator).await {
				tracing::warn!(%error, "settlement waits");
			}
		}
	};
	tokio::select! {
		() = stop.cancelled() => {},
		() = follow => {},
		() = settle => {},
	}
}

/// Whether there is anything to ask the chain for: something has a price, or had one.
async fn needs_chain(coordinator: &Coordinator) -> bool {
	if coordinator.identity().is_err() || coordinator.ledger().chain.get().is_none() {
		return false;
	}
	if coordinator.charges() {
		return true;
	}
	coordinator.store().has_money().await.unwrap_or(true)
}
