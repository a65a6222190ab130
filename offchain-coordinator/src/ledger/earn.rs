//! What miners earn, and the vouchers that say so. A voucher is signed anew each time it is asked for, over
//! what the store has: it is never over more than the leaf that the era's tree has.

use crate::{
	coordinator::{internal, Coordinator, Result},
	store::{Earned, TaskRow},
};
use cuckoo_coordinator_api::{miner::Held, payment::SignedVoucher, task::TaskState, Amount};
use cuckoo_primitives::{
	signing::ResultCommitment, voucher::MinerVoucher, AccountId, EraIndex, H256,
};
use std::time::Duration;

/// How long a result that comes again waits for its check.
const CHECK: Duration = Duration::from_secs(30);

impl Coordinator {
	/// The era for which a task that is done now earns, if anybody pays for it. Waits for the chain where
	/// it is not there yet: a result of before a restart can be checked sooner than that.
	pub(crate) async fn earning_era(&self, task: &TaskRow) -> Option<EraIndex> {
		match &task.terms.payment {
			Some(_) => Some(self.ledger().era().await),
			None => None,
		}
	}

	/// What a miner has earned, signed.
	pub(crate) fn voucher(&self, earned: Earned) -> Result<SignedVoucher> {
		let identity = self.identity()?;
		let Earned {
			miner,
			era,
			cumulative,
		} = earned;
		let voucher = MinerVoucher {
			coordinator: identity.operator.clone(),
			miner,
			era,
			cumulative,
		};
		let signature = self.sign(identity, &voucher);
		Ok(SignedVoucher {
			coordinator: voucher.coordinator,
			miner: voucher.miner,
			era,
			cumulative: Amount(cumulative),
			worker: self.worker(),
			signature,
		})
	}

	/// The vouchers of all eras of which the session's miner can still claim something.
	pub async fn vouchers(&self, token: H256) -> Result<Vec<SignedVoucher>> {
		let miner = self.live().session(&token)?;
		let Some(facts) = self.ledger().facts() else {
			// Nothing costs anything, so that nothing was earned, or the chain is not there yet.
			return Ok(Vec::new());
		};
		let first = facts.era.saturating_sub(facts.params.claim_eras);
		let earned = self.store().earnings_of(&miner, first).await;
		let earned = earned.map_err(internal)?;
		earned
			.into_iter()
			.map(|earned| self.voucher(earned))
			.collect()
	}

	/// A paid result that comes again: the voucher, if it is the accepted one. One that is being checked is
	/// waited for.
	pub(crate) async fn accepted_before(
		&self,
		held: &Held,
		miner: &AccountId,
		commitment: &ResultCommitment,
	) -> Result<Option<Option<SignedVoucher>>> {
		let Some(task) = self.store().task(&held.task).await.map_err(internal)? else {
			return Ok(None);
		};
		let its = task.attempt == Some(held.attempt) && task.miner.as_ref() == Some(miner);
		if task.terms.payment.is_none() || !its {
			return Ok(None);
		}
		let stored = self.store().result(&held.task, held.attempt).await;
		if !stored
			.map_err(internal)?
			.is_some_and(|row| row.commitment == *commitment)
		{
			return Ok(None);
		}
		let task = match task.state {
			TaskState::Submitted => self.after_check(task).await?,
			_ => task,
		};
		let still = task.attempt == Some(held.attempt) && task.state == TaskState::Done;
		if !still {
			return Ok(None);
		}
		let earned = self.store().earned_by(&task).await.map_err(internal)?;
		earned
			.map(|earned| self.voucher(earned))
			.transpose()
			.map(Some)
	}

	/// The task once its result was checked, or as it is after a while.
	async fn after_check(&self, task: TaskRow) -> Result<TaskRow> {
		let (mut status, mut changes) = self.watch(task.id).await?;
		let checked = async {
			while status.state == TaskState::Submitted {
				match changes.recv().await {
					Ok(change) => status = change,
					Err(_) => return,
				}
			}
		};
		let wait = self.clock().sleep(CHECK);
		tokio::select! {
			() = checked => {},
			() = wait => {},
		}
		drop(changes);
		self.live().unwatch(&task.id);
		let again = self.store().task(&task.id).await.map_err(internal)?;
		Ok(again.unwrap_or(task))
	}
}
