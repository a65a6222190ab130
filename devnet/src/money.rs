//! Money for a local network: a coordinator that can settle and backs its miners, an app with a channel
//! to it, and what a paid task leaves on the chain.

use crate::{keys::DevKey, Error, Result};
use cuckoo_chain_client::{Call, ChainClient, Included, ProxyKind, SettlementCall, Until};
use cuckoo_coordinator_api::{payment::ChannelPayment, Amount};
use cuckoo_primitives::{
	signing,
	voucher::{ChannelId, ChannelVoucher},
	AccountId, Balance, EraIndex, CUC,
};
use std::{
	ops::RangeInclusive,
	time::{Duration, Instant},
};

/// How much is put where.
#[derive(Clone, Copy, Debug)]
pub struct Funds {
	/// What the app puts into its channel.
	pub deposit: Balance,
	/// What the coordinator puts into its reserve.
	pub reserve: Balance,
	/// What of that backs each miner.
	pub allotment: Balance,
}

impl Default for Funds {
	fn default() -> Self {
		Self {
			deposit: 100 * CUC,
			reserve: 1_000 * CUC,
			allotment: 100 * CUC,
		}
	}
}

/// For the fees of the account that settles for the coordinator.
const FEES: Balance = 10 * CUC;

/// How often the chain is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(300);

/// So many looks at the same value say that it has come to rest.
const AT_REST: u32 = 12;

/// Who pays with what.
#[derive(Clone, Debug)]
pub struct Wallet {
	coordinator: AccountId,
	channel: ChannelId,
	key: DevKey,
	genesis: cuckoo_primitives::H256,
	paid: Balance,
}

impl Wallet {
	/// The channel.
	pub fn channel(&self) -> ChannelId {
		self.channel
	}

	/// Pays so much more.
	pub fn pay(&mut self, amount: Balance) -> ChannelPayment {
		self.paid = self.paid.saturating_add(amount);
		let voucher = ChannelVoucher {
			coordinator: self.coordinator.clone(),
			channel: self.channel,
			cumulative: self.paid,
		};
		ChannelPayment {
			channel: self.channel,
			cumulative: Amount(self.paid),
			signature: signing::sign(&self.genesis, &voucher, &self.key.pair()),
		}
	}
}

/// Lets the coordinator's worker settle for it, fills its reserve, and backs these miners.
pub async fn fund_coordinator(
	chain: &ChainClient,
	miners: &[AccountId],
	funds: Funds,
) -> Result<Included> {
	let coordinator = DevKey::coordinator();
	let worker = AccountId::new(coordinator.worker().0);
	let mut calls = vec![
		Call::AddProxy {
			delegate: worker.clone(),
			kind: ProxyKind::Settlement,
		},
		Call::Transfer {
			to: worker,
			amount: FEES,
		},
		SettlementCall::FundReserve(funds.reserve).into(),
	];
	calls.extend(miners.iter().map(|miner| {
		Call::from(SettlementCall::Allot {
			miner: miner.clone(),
			amount: funds.allotment,
		})
	}));
	let (call, pair) = (Call::Batch(calls), coordinator.pair());
	Ok(chain.submit(&call, &pair, Until::Finalized).await?)
}

/// Opens a channel of an app to the coordinator.
pub async fn open_channel(chain: &ChainClient, app: &DevKey, funds: Funds) -> Result<Wallet> {
	let coordinator = DevKey::coordinator().account();
	let key = DevKey::new(format!("{}//channel", app.uri()));
	let call = SettlementCall::OpenChannel {
		coordinator: coordinator.clone(),
		signer: key.pair_public(),
		amount: funds.deposit,
	};
	let included = chain
		.submit(&call.into(), &app.pair(), Until::Finalized)
		.await?;
	let opened = chain
		.settlement_at(included.block)
		.await?
		.opened_by(&app.account())
		.await?;
	let channel = opened.last().copied();
	let channel = channel.ok_or_else(|| Error::Money("the channel was not opened".to_owned()))?;
	Ok(Wallet {
		coordinator,
		channel,
		key,
		genesis: chain.genesis_hash(),
		paid: 0,
	})
}

/// Waits until the coordinator has settled one of these eras on chain: which, and the sum that its miners
/// are owed.
pub async fn wait_settled(
	chain: &ChainClient,
	eras: RangeInclusive<EraIndex>,
	limit: Duration,
) -> Result<(EraIndex, Balance)> {
	let coordinator = DevKey::coordinator().account();
	let start = Instant::now();
	loop {
		let now = chain.settlement().await?;
		for era in eras.clone() {
			if let Some(settled) = now.settled(&coordinator, era).await? {
				return Ok((era, settled.root.node.sum));
			}
		}
		in_time(start, limit, "the settlement of the task's era")?;
		tokio::time::sleep(LOOK_EVERY).await;
	}
}

/// What somebody's stake on an operator is worth.
pub async fn worth(chain: &ChainClient, who: &AccountId, operator: &AccountId) -> Result<Balance> {
	Ok(chain.position(who, operator).await?.unwrap_or_default())
}

/// Waits until a stake that was worth `before` has grown and grows no more: the reward has streamed in.
/// What it is worth then.
pub async fn wait_grown(
	chain: &ChainClient,
	who: &AccountId,
	operator: &AccountId,
	before: Balance,
	limit: Duration,
) -> Result<Balance> {
	let start = Instant::now();
	let (mut last, mut looks) = (before, 0);
	loop {
		let now = worth(chain, who, operator).await?;
		looks = if now == last { looks + 1 } else { 0 };
		last = now;
		if now > before && looks >= AT_REST {
			return Ok(now);
		}
		in_time(start, limit, "the reward in the pool")?;
		tokio::time::sleep(LOOK_EVERY).await;
	}
}

fn in_time(start: Instant, limit: Duration, what: &str) -> Result<()> {
	if start.elapsed() <= limit {
		return Ok(());
	}
	Err(Error::Money(format!(
		"{what} did not come within {limit:?}"
	)))
}
