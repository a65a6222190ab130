//! Settles: closes eras, redeems channels, posts an era's root, allots, and claims for miners.
//!
//! Every pass begins with what the chain says and ends as soon as it does not know what has become of
//! something: the next one looks again. So it does not matter where a pass is cut off, nor whether a
//! transaction of an earlier one got through. Nothing is sent that the chain has already.

use super::{
	chain::{ChainError, Facts, MoneyChain},
	journal::Fee,
	lock, WORTHWHILE,
};
use crate::{
	coordinator::{failed_inside, internal, Coordinator, Result},
	store::{EraRow, EraState},
};
use cuckoo_chain_client::{Channel, SettlementCall};
use cuckoo_coordinator_api::{
	error::{ApiError, ErrorCode},
	Amount,
};
use cuckoo_primitives::{sum_tree::Root, voucher::ChannelId, AccountId, Balance, EraIndex};
use std::sync::Arc;

/// How long this process is the one that settles, each time that it asks.
const TURN_MS: u64 = 120_000;

/// Calls of one transaction.
pub(super) const CALLS: usize = 32;

/// Channels that are looked at in one pass: of more, in turn.
pub(super) const CHANNELS: u32 = 256;

/// Miners that an allotment is looked for in one pass.
const MINERS: usize = 10_000;

/// Leaves of one claim, as the pallet has it.
const LEAVES: u32 = 64;

/// Claims of one pass.
const CLAIMS: u32 = 16;

/// How long no allotment is tried after one was refused.
const ALLOT_AGAIN_MS: u64 = 60_000;

/// What is to be done for a closed era.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Next {
	/// Its root is posted.
	Posted,
	/// Another root is posted: somebody else settles with this operator's account.
	Foreign,
	/// It is too late.
	Missed,
	/// Its root is to be posted.
	Post,
	/// The reserve does not suffice.
	Short {
		/// For this fee.
		fee: Balance,
	},
}

/// What is to be done for a closed era with this root, by what the chain says.
pub(super) fn next(era: EraIndex, root: Root, posted: Option<Root>, facts: &Facts) -> Next {
	match posted {
		Some(posted) if posted == root => Next::Posted,
		Some(_) => Next::Foreign,
		None if facts.era > era.saturating_add(facts.params.post_eras) => Next::Missed,
		None => match facts.split.fee(root.node.sum) {
			Some(fee) if fee <= facts.reserve.free() => Next::Post,
			fee => Next::Short {
				fee: fee.unwrap_or(Balance::MAX),
			},
		},
	}
}

/// What is remembered from one pass to the next. Nothing hangs on it.
#[derive(Debug, Default)]
pub(super) struct Turns {
	/// The last channel that was looked at.
	channel: Option<ChannelId>,
	/// The last era in which all channels were redeemed.
	redeemed: Option<EraIndex>,
	/// Until when no allotment is tried.
	allot_again_ms: u64,
}

/// One pass, with the chain as it was when it began.
struct Pass<'a> {
	coordinator: &'a Arc<Coordinator>,
	chain: &'a Arc<dyn MoneyChain>,
	operator: &'a AccountId,
	facts: Facts,
}

/// Does what can be done now.
pub async fn pass(coordinator: &Arc<Coordinator>) -> Result<()> {
	let chain = coordinator.ledger().chain()?;
	let operator = &coordinator.identity()?.operator;
	if !is_settler(coordinator).await? {
		return Ok(());
	}
	let facts = chain.facts(operator).await.map_err(super::away)?;
	let mut pass = Pass {
		coordinator,
		chain,
		operator,
		facts,
	};
	if let Some(last) = facts.era.checked_sub(1) {
		coordinator
			.store()
			.close_eras(last)
			.await
			.map_err(internal)?;
	}
	pass.settle().await?;
	pass.allot().await?;
	pass.claim().await
}

async fn is_settler(coordinator: &Coordinator) -> Result<bool> {
	let now_ms = coordinator.now_ms();
	let until_ms = now_ms.saturating_add(TURN_MS);
	coordinator
		.store()
		.settles(now_ms, until_ms)
		.await
		.map_err(internal)
}

/// A transaction of which nobody knows what has become: the pass ends.
fn unknown(error: &ChainError) -> ApiError {
	ApiError::with_message(ErrorCode::ChainUnavailable, error.to_string())
}

impl Pass<'_> {
	/// Brings every closed era on.
	async fn settle(&mut self) -> Result<()> {
		let eras = self
			.coordinator
			.store()
			.eras_to_post()
			.await
			.map_err(internal)?;
		let mut fees: Balance = 0;
		let mut roots = Vec::new();
		for row in eras {
			let root = self.root(&row).await?;
			let fee = self.facts.split.fee(root.node.sum).unwrap_or(Balance::MAX);
			fees = fees.saturating_add(fee);
			roots.push((row.era, root));
		}
		let is_short = fees > self.facts.reserve.free();
		if is_short {
			self.redeem(true).await?;
		}
		let mut waiting = 0;
		for (era, root) in roots {
			waiting += u32::from(!self.step(era, root).await?);
		}
		let money = self.coordinator.metrics().money();
		money.set(&self.facts.reserve, waiting);
		// What is not needed at once waits until the eras are settled: their time is short.
		if !is_short {
			self.redeem(false).await?;
		}
		Ok(())
	}

	/// The root of an era's tree, which is noted the first time.
	async fn root(&self, row: &EraRow) -> Result<Root> {
		if let Some(root) = row.root {
			return Ok(root);
		}
		let root = self.coordinator.tree(row.era).await?.root();
		let noted = self.coordinator.store().put_root(row.era, root).await;
		noted.map_err(internal)?;
		tracing::info!(
			era = row.era, miners = root.leaves, owed = %Amount(root.node.sum), "an era is closed"
		);
		Ok(root)
	}

	/// Brings a closed era on; whether that was its end.
	async fn step(&mut self, era: EraIndex, root: Root) -> Result<bool> {
		let posted = self.posted(era).await?;
		match next(era, root, posted, &self.facts) {
			Next::Posted => self.end_posted(era, root).await,
			Next::Foreign => {
				tracing::error!(
					era, ?root, ?posted,
					"another root is posted for this era than this store has: does another store settle \
					 for this operator?"
				);
				self.coordinator.metrics().money().foreign.inc();
				Ok(false)
			},
			Next::Missed => {
				tracing::error!(
					era, owed = %Amount(root.node.sum),
					"it is too late to settle this era: its miners claim their vouchers"
				);
				self.coordinator.metrics().money().missed.inc();
				let noted = self.coordinator.store().put_missed(era).await;
				noted.map_err(internal)?;
				Ok(true)
			},
			Next::Short { fee } => {
				tracing::warn!(
					era, fee = %Amount(fee), free = %Amount(self.facts.reserve.free()),
					"the reserve does not suffice to settle: put more into it"
				);
				Ok(false)
			},
			Next::Post => {
				self.send(vec![SettlementCall::SettleEra { era, root }])
					.await?;
				// Only what a finalized block has counts.
				self.facts = self.chain.facts(self.operator).await.map_err(super::away)?;
				if self.posted(era).await? != Some(root) {
					return Ok(false);
				}
				self.end_posted(era, root).await
			},
		}
	}

	async fn posted(&self, era: EraIndex) -> Result<Option<Root>> {
		let settled = self.chain.settled(self.operator, era).await;
		Ok(settled.map_err(super::away)?.map(|settled| settled.root))
	}

	async fn end_posted(&self, era: EraIndex, root: Root) -> Result<bool> {
		// By the split of now, which is that of the settlement unless governance has just changed it.
		let fee = Fee::new(&self.facts.split, root).ok_or_else(|| failed_inside(&"no fee"))?;
		let now_ms = self.coordinator.now_ms();
		let noted = self.coordinator.store().put_posted(era, fee, now_ms).await;
		noted.map_err(internal)?;
		tracing::info!(era, owed = %Amount(root.node.sum), "an era is settled");
		Ok(true)
	}

	/// Sends calls in one transaction, as long as this process is the one that settles.
	async fn send(&self, calls: Vec<SettlementCall>) -> Result<()> {
		if !is_settler(self.coordinator).await? {
			let message = "another process settles";
			return Err(ApiError::with_message(ErrorCode::ChainUnavailable, message));
		}
		let sent = self.chain.send(self.operator, calls).await;
		self.coordinator.metrics().money().sent(sent.is_ok());
		sent.map_err(|error| unknown(&error))
	}

	/// Sends many calls, together where that works: one that fails does not hold up the others. Whether
	/// all went through.
	async fn send_all(&self, calls: Vec<SettlementCall>) -> bool {
		let mut all = true;
		for chunk in calls.chunks(CALLS) {
			if self.send(chunk.to_vec()).await.is_ok() {
				continue;
			}
			all = false;
			if chunk.len() == 1 {
				continue;
			}
			for call in chunk {
				if let Err(error) = self.send(vec![call.clone()]).await {
					tracing::warn!(%error, ?call, "a transaction did not go through");
				}
			}
		}
		all
	}

	/// Redeems channels: those that are closing at once; all others that are worth it once an era, or,
	/// when the reserve is short, all.
	async fn redeem(&mut self, is_short: bool) -> Result<()> {
		let store = self.coordinator.store();
		let (after, last) = {
			let turns = lock(&self.coordinator.ledger().turns);
			(turns.channel, turns.redeemed)
		};
		let all = is_short || last != Some(self.facts.era);
		let rows = store.redeemable(after, CHANNELS).await.map_err(internal)?;
		let is_end = rows.len() < CHANNELS as usize;
		let mut calls = Vec::new();
		let now_ms = self.coordinator.now_ms();
		for row in &rows {
			let found = self.coordinator.ledger().channel(row.channel).await?;
			let Some(channel) = found.filter(|found| found.coordinator == *self.operator) else {
				let lost = row.purse.paid_in.saturating_sub(row.redeemed);
				tracing::error!(channel = row.channel, lost = %Amount(lost), "a channel is gone");
				let noted = store.note_channel(row.channel, None, now_ms).await;
				noted.map_err(internal)?;
				continue;
			};
			if channel.redeemed != row.redeemed {
				let noted = store
					.note_channel(row.channel, Some(channel.redeemed), now_ms)
					.await;
				noted.map_err(internal)?;
			}
			if is_worth_it(&channel, row.purse.paid_in, all, is_short, &self.facts) {
				calls.push(SettlementCall::Redeem {
					channel: row.channel,
					cumulative: row.purse.paid_in,
					signature: row.signature,
				});
			}
		}
		{
			let mut turns = lock(&self.coordinator.ledger().turns);
			turns.channel = rows.last().map(|row| row.channel).filter(|_| !is_end);
			if is_end {
				turns.redeemed = Some(self.facts.era);
			}
		}
		if calls.is_empty() {
			return Ok(());
		}
		let count = calls.len();
		let redeemed = self.send_all(calls).await;
		tracing::info!(channels = count, all = redeemed, "channels are redeemed");
		self.facts = self.chain.facts(self.operator).await.map_err(super::away)?;
		Ok(())
	}

	/// Raises the allotments of the miners that are connected, as far as the reserve allows: what is owed
	/// by now stays free for the era's settlement.
	async fn allot(&mut self) -> Result<()> {
		let wish = self.coordinator.settings().settlement.allotment;
		let again_ms = lock(&self.coordinator.ledger().turns).allot_again_ms;
		if wish == 0 || self.coordinator.now_ms() < again_ms {
			return Ok(());
		}
		let wish = wish.max(self.facts.params.min_allotment);
		let (miners, owed) = {
			let live = self.coordinator.live();
			let known = |miner: AccountId| live.allotted(&miner).map(|has| (miner, has));
			let connected = live.connected(None, MINERS);
			let miners: Vec<(AccountId, Balance)> =
				connected.into_iter().filter_map(known).collect();
			(miners, live.owed())
		};
		let kept = self.facts.split.fee(owed).unwrap_or(Balance::MAX);
		let mut free = self.facts.reserve.free().saturating_sub(kept);
		let mut calls = Vec::new();
		for (miner, has) in miners.into_iter().filter(|(_, has)| *has < wish) {
			let more = wish - has;
			if free < more {
				break;
			}
			free -= more;
			let amount = wish;
			calls.push(SettlementCall::Allot { miner, amount });
		}
		if !calls.is_empty() && !self.send_all(calls).await {
			let again_ms = self.coordinator.now_ms().saturating_add(ALLOT_AGAIN_MS);
			lock(&self.coordinator.ledger().turns).allot_again_ms = again_ms;
		}
		Ok(())
	}

	/// Claims leaves for their miners, if the operator wants that.
	async fn claim(&mut self) -> Result<()> {
		if !self.coordinator.settings().settlement.claim_for_miners {
			return Ok(());
		}
		let first = self.facts.era.saturating_sub(self.facts.params.claim_eras);
		let eras = self
			.coordinator
			.store()
			.eras(first)
			.await
			.map_err(internal)?;
		let mut left = CLAIMS;
		for row in eras.into_iter().filter(|row| row.state == EraState::Posted) {
			let (mut from, tree) = (row.claimed, self.coordinator.tree(row.era).await?);
			while from < tree.root().leaves && left > 0 {
				left -= 1;
				let to = from.saturating_add(LEAVES).min(tree.root().leaves);
				let open = self.unclaimed(row.era, from, to).await?;
				if let Some(proof) = tree.prove(&open) {
					let claim = SettlementCall::Claim {
						coordinator: self.operator.clone(),
						era: row.era,
						proof,
					};
					if let Err(error) = self.send(vec![claim]).await {
						// If the chain can be read and says the same, nobody can take them now.
						let still = self.unclaimed(row.era, from, to).await?;
						tracing::warn!(era = row.era, %error, leaves = still.len(), "not claimed");
					}
				}
				from = to;
				let noted = self.coordinator.store().put_claimed(row.era, from).await;
				noted.map_err(internal)?;
			}
		}
		Ok(())
	}

	async fn unclaimed(&self, era: EraIndex, from: u32, to: u32) -> Result<Vec<u32>> {
		let leaves: Vec<u32> = (from..to).collect();
		let claimed = self.chain.claimed(self.operator, era, leaves.clone()).await;
		let claimed = claimed.map_err(super::away)?;
		let open = leaves
			.into_iter()
			.zip(claimed)
			.filter(|(_, claimed)| !claimed);
		Ok(open.map(|(leaf, _)| leaf).collect())
	}
}

/// Whether a channel is to be redeemed now.
pub(super) fn is_worth_it(
	channel: &Channel,
	highest: Balance,
	all: bool,
	is_short: bool,
	facts: &Facts,
) -> bool {
	let adds = highest.saturating_sub(channel.redeemed);
	if adds == 0 || highest > channel.deposit {
		return false;
	}
	match channel.closing {
		// What is not redeemed by then is lost.
		Some(until) => facts.block.number <= until,
		None => is_short || (all && adds >= WORTHWHILE),
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use cuckoo_chain_client::{BlockRef, Reserve, SettlementParams, Split};
	use cuckoo_primitives::{weight_tree::Node, WorkerId, H256};

	fn facts(era: EraIndex, free: Balance) -> Facts {
		Facts {
			block: BlockRef {
				number: 100,
				hash: H256::zero(),
			},
			era,
			params: SettlementParams {
				post_eras: 4,
				claim_eras: 16,
				challenge_blocks: 10,
				min_deposit: 10,
				channel_bond: 1,
				min_allotment: 10,
			},
			split: Split {
				miner_ppb: 750_000_000,
				coordinator_ppb: 150_000_000,
				audit_ppb: 20_000_000,
				burn_ppb: 80_000_000,
				miner_emission_ppb: 50_000_000,
				coordinator_emission_ppb: 10_000_000,
			},
			reserve: Reserve {
				balance: free + 7,
				allotted: 7,
				owed: 0,
			},
		}
	}

	fn root(sum: Balance) -> Root {
		Root {
			node: Node {
				hash: H256::repeat_byte(1),
				sum,
			},
			leaves: 1,
		}
	}

	#[test]
	fn the_chain_is_believed_before_anything_is_sent() {
		let facts_now = facts(8, 100);
		assert_eq!(next(7, root(75), Some(root(75)), &facts_now), Next::Posted);
		assert_eq!(next(7, root(75), Some(root(74)), &facts_now), Next::Foreign);
		assert_eq!(next(3, root(75), Some(root(75)), &facts_now), Next::Posted);
		assert_eq!(next(3, root(75), None, &facts_now), Next::Missed);
		assert_eq!(next(4, root(75), None, &facts_now), Next::Post);
	}

	#[test]
	fn only_what_is_free_pays() {
		assert_eq!(next(7, root(75), None, &facts(8, 100)), Next::Post);
		let short = Next::Short { fee: 100 };
		assert_eq!(next(7, root(75), None, &facts(8, 99)), short);
	}

	#[test]
	fn channels_are_redeemed_when_it_is_worth_it() {
		let channel = |redeemed, closing| Channel {
			app: AccountId::new([1; 32]),
			coordinator: AccountId::new([2; 32]),
			signer: WorkerId::from_raw([3; 32]),
			deposit: 10 * WORTHWHILE,
			redeemed,
			bond: 1,
			closing,
		};
		let now = facts(8, 0);
		let open = channel(0, None);
		assert!(is_worth_it(&open, WORTHWHILE, true, false, &now));
		assert!(!is_worth_it(&open, WORTHWHILE, false, false, &now));
		assert!(!is_worth_it(&open, WORTHWHILE - 1, true, false, &now));
		assert!(is_worth_it(&open, 1, false, true, &now));
		assert!(is_worth_it(&channel(0, Some(100)), 1, false, false, &now));
		assert!(
			!is_worth_it(&channel(0, Some(99)), 1, false, false, &now),
			"too late"
		);
		assert!(
			!is_worth_it(&channel(5, None), 5, true, true, &now),
			"nothing is added"
		);
		assert!(
			!is_worth_it(&open, 11 * WORTHWHILE, true, true, &now),
			"overdrawn"
		);
	}
}
