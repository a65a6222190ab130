//! A chain in memory, with those of the settlement pallet's rules that a coordinator meets: for tests and
//! simulations. Every transaction is a finalized block of its own.

use super::chain::{ChainError, ChainResult, Facts, MoneyChain};
use cuckoo_chain_client::{
	Allotment, BlockRef, Channel, Reserve, Settlement, SettlementCall, SettlementParams, Split,
};
use cuckoo_primitives::{
	signing,
	sum_tree::{self, MAX_LEAVES},
	voucher::{ChannelId, ChannelVoucher},
	AccountId, Balance, BlockNumber, EraIndex, WorkerId, CUC, H256,
};
use futures::future::BoxFuture;
use std::{
	collections::{BTreeMap, BTreeSet, VecDeque},
	sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// What becomes of the next transaction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fate {
	/// It does not get into a block, and its sender hears that nothing is known.
	Lost,
	/// It gets into a block, and its sender does not hear of it.
	Unheard,
}

/// One coordinator's side of the chain.
#[derive(Clone, Debug)]
pub struct State {
	/// The chain.
	pub genesis: H256,
	/// The last finalized block.
	pub block: BlockNumber,
	/// Its era.
	pub era: EraIndex,
	/// The constants.
	pub params: SettlementParams,
	/// How fees are split.
	pub split: Split,
	/// The reserve.
	pub reserve: Reserve,
	/// The channels.
	pub channels: BTreeMap<ChannelId, Channel>,
	/// What is allotted to miners.
	pub allotments: BTreeMap<AccountId, Allotment>,
	/// The eras that are settled.
	pub settled: BTreeMap<EraIndex, Settlement>,
	/// The leaves that were claimed.
	pub claimed: BTreeSet<(EraIndex, u32)>,
	/// What was paid to miners.
	pub paid: BTreeMap<AccountId, Balance>,
	/// The transactions that succeeded.
	pub sent: Vec<SettlementCall>,
	/// What becomes of the next transactions.
	pub fates: VecDeque<Fate>,
	/// Whether the chain cannot be reached.
	pub away: bool,
}

/// Shared by whoever looks.
#[derive(Clone, Debug)]
pub struct Model(Arc<Mutex<State>>);

fn refused<T>(reason: &str) -> ChainResult<T> {
	Err(ChainError(reason.into()))
}

impl State {
	fn settle(&mut self, era: EraIndex, root: sum_tree::Root) -> ChainResult<()> {
		if era >= self.era {
			return refused("EraNotOver");
		}
		if self.era > era.saturating_add(self.params.post_eras) {
			return refused("PostingTooLate");
		}
		if self.settled.contains_key(&era) {
			return refused("EraAlreadySettled");
		}
		let sum = root.node.sum;
		if !(1..=MAX_LEAVES).contains(&root.leaves) || sum < Balance::from(root.leaves) {
			return refused("RootInvalid");
		}
		let fee = self.split.fee(sum).unwrap_or(Balance::MAX);
		if fee > self.reserve.free() {
			return refused("ReserveTooLow");
		}
		self.reserve.balance -= fee;
		let settlement = Settlement {
			root,
			claimed: 0,
			emission: 0,
		};
		self.settled.insert(era, settlement);
		Ok(())
	}

	fn redeem(
		&mut self,
		number: ChannelId,
		cumulative: Balance,
		signature: &cuckoo_primitives::WorkerSignature,
	) -> ChainResult<()> {
		let (genesis, block) = (self.genesis, self.block);
		let Some(channel) = self.channels.get_mut(&number) else {
			return refused("ChannelNotFound");
		};
		if channel.closing.is_some_and(|until| block > until) {
			return refused("ChannelExpired");
		}
		if cumulative <= channel.redeemed {
			return refused("VoucherUsed");
		}
		if cumulative > channel.deposit {
			return refused("VoucherOverdrawn");
		}
		let voucher = ChannelVoucher {
			coordinator: channel.coordinator.clone(),
			channel: number,
			cumulative,
		};
		if !signing::verify(&genesis, &voucher, signature, &channel.signer) {
			return refused("SignatureInvalid");
		}
		self.reserve.balance += cumulative - channel.redeemed;
		channel.redeemed = cumulative;
		Ok(())
	}

	fn allot(&mut self, miner: AccountId, amount: Balance) -> ChainResult<()> {
		let before = self.allotments.get(&miner).map_or(0, |found| found.amount);
		let Some(more) = amount.checked_sub(before) else {
			return refused("lowering is not modelled");
		};
		if amount < self.params.min_allotment || more > self.reserve.free() {
			return refused("ReserveTooLow");
		}
		self.reserve.allotted += more;
		let allotment = Allotment {
			amount,
			since: self.era,
			lowering: None,
			paid: Vec::new(),
		};
		self.allotments.insert(miner, allotment);
		Ok(())
	}

	fn claim(
		&mut self,
		coordinator: &AccountId,
		era: EraIndex,
		proof: &sum_tree::Proof,
	) -> ChainResult<()> {
		let context = sum_tree::context(&self.genesis, coordinator, era);
		let Some(settled) = self.settled.get_mut(&era) else {
			return refused("EraNotSettled");
		};
		if !sum_tree::verify(&settled.root, &context, &proof.leaves, &proof.siblings) {
			return refused("ProofInvalid");
		}
		let mut any = false;
		for placed in &proof.leaves {
			if self.claimed.insert((era, placed.index)) {
				any = true;
				settled.claimed += placed.leaf.amount;
				*self.paid.entry(placed.leaf.miner.clone()).or_default() += placed.leaf.amount;
			}
		}
		if any {
			Ok(())
		} else {
			refused("NothingToClaim")
		}
	}

	fn apply(&mut self, call: &SettlementCall) -> ChainResult<()> {
		match call {
			SettlementCall::SettleEra { era, root } => self.settle(*era, *root),
			SettlementCall::Redeem {
				channel,
				cumulative,
				signature,
			} => self.redeem(*channel, *cumulative, signature),
			SettlementCall::Allot { miner, amount } => self.allot(miner.clone(), *amount),
			SettlementCall::Claim {
				coordinator,
				era,
				proof,
			} => self.claim(coordinator, *era, proof),
			SettlementCall::FundReserve(amount) => {
				self.reserve.balance += amount;
				Ok(())
			},
			_ => refused("this call is not modelled"),
		}
	}

	/// All of them or none.
	fn apply_all(&mut self, calls: Vec<SettlementCall>) -> ChainResult<()> {
		let mut after = self.clone();
		for call in &calls {
			after.apply(call)?;
		}
		after.sent.extend(calls);
		*self = after;
		Ok(())
	}
}

impl Model {
	/// An empty chain at its first block, with the runtime's constants and its default split.
	pub fn new(genesis: H256) -> Self {
		Self(Arc::new(Mutex::new(State {
			genesis,
			block: 1,
			era: 0,
			params: SettlementParams {
				post_eras: 4,
				claim_eras: 16,
				challenge_blocks: 14_400,
				min_deposit: 10 * CUC,
				channel_bond: CUC,
				min_allotment: 10 * CUC,
			},
			split: Split {
				miner_ppb: 750_000_000,
				coordinator_ppb: 150_000_000,
				audit_ppb: 20_000_000,
				burn_ppb: 80_000_000,
				miner_emission_ppb: 50_000_000,
				coordinator_emission_ppb: 10_000_000,
			},
			reserve: Reserve::default(),
			channels: BTreeMap::new(),
			allotments: BTreeMap::new(),
			settled: BTreeMap::new(),
			claimed: BTreeSet::new(),
			paid: BTreeMap::new(),
			sent: Vec::new(),
			fates: VecDeque::new(),
			away: false,
		})))
	}

	/// The state, to look at or to change.
	pub fn state(&self) -> MutexGuard<'_, State> {
		self.0.lock().unwrap_or_else(PoisonError::into_inner)
	}

	/// The next channel, with this key and so much in it.
	pub fn open_channel(
		&self,
		coordinator: AccountId,
		signer: WorkerId,
		deposit: Balance,
	) -> ChannelId {
		let mut state = self.state();
		let number = state.channels.len() as ChannelId;
		let bond = state.params.channel_bond;
		let channel = Channel {
			app: AccountId::new([9; 32]),
			coordinator,
			signer,
			deposit,
			redeemed: 0,
			bond,
			closing: None,
		};
		state.channels.insert(number, channel);
		number
	}

	fn read<T: Send + 'static>(
		&self,
		read: impl FnOnce(&State) -> T,
	) -> BoxFuture<'static, ChainResult<T>> {
		let state = self.state();
		let found = if state.away {
			refused("the node is away")
		} else {
			Ok(read(&state))
		};
		drop(state);
		Box::pin(async { found })
	}
}

impl MoneyChain for Model {
	fn facts<'a>(&'a self, _: &'a AccountId) -> BoxFuture<'a, ChainResult<Facts>> {
		self.read(|state| Facts {
			block: BlockRef {
				number: state.block,
				hash: H256::from_low_u64_be(state.block.into()),
			},
			era: state.era,
			params: state.params,
			split: state.split,
			reserve: state.reserve,
		})
	}

	fn channel(&self, channel: ChannelId) -> BoxFuture<'_, ChainResult<Option<Channel>>> {
		self.read(|state| state.channels.get(&channel).cloned())
	}

	fn allotment<'a>(
		&'a self,
		_: &'a AccountId,
		miner: &'a AccountId,
	) -> BoxFuture<'a, ChainResult<Option<Allotment>>> {
		self.read(|state| state.allotments.get(miner).cloned())
	}

	fn settled<'a>(
		&'a self,
		_: &'a AccountId,
		era: EraIndex,
	) -> BoxFuture<'a, ChainResult<Option<Settlement>>> {
		self.read(|state| state.settled.get(&era).copied())
	}

	fn claimed<'a>(
		&'a self,
		_: &'a AccountId,
		era: EraIndex,
		leaves: Vec<u32>,
	) -> BoxFuture<'a, ChainResult<Vec<bool>>> {
		self.read(|state| {
			let is_claimed = |leaf: &u32| state.claimed.contains(&(era, *leaf));
			leaves.iter().map(is_claimed).collect()
		})
	}

	fn send<'a>(
		&'a self,
		_: &'a AccountId,
		calls: Vec<SettlementCall>,
	) -> BoxFuture<'a, ChainResult<()>> {
		let mut state = self.state();
		let fate = state.fates.pop_front();
		let sent = match fate {
			_ if state.away => refused("the node is away"),
			Some(Fate::Lost) => refused("nobody knows"),
			_ => {
				state.block += 1;
				state.apply_all(calls)
			},
		};
		let heard = match fate {
			Some(Fate::Unheard) => refused("nobody knows"),
			_ => sent,
		};
		drop(state);
		Box::pin(async { heard })
	}
}
