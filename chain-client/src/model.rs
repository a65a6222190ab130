//! A chain and its node in memory, for tests: it can be stopped, restarted, wiped, swapped, muted and
//! made to hang, and it counts what is asked of it.

use crate::{
	error::Error,
	registry::{BlockRef, Operator, Registry},
	source::{Chain, ChainAt, Changes, Connect, Heads},
};
use cuckoo_primitives::{AccountId, Balance, EraIndex, Role, WorkerId, H256};
use futures::{channel::mpsc, StreamExt};
use std::{
	collections::{BTreeMap, BTreeSet},
	sync::{Arc, Mutex, MutexGuard},
};

/// Operators in one page of the model.
const PAGE: usize = 3;

/// Something that happens to an operator in a block.
#[derive(Clone, Debug)]
pub(crate) enum Action {
	/// The operator is registered or changed. A worker taken from another leaves that one without.
	Set {
		operator: u8,
		role: Role,
		worker: Option<u8>,
		stake: Balance,
	},
	/// The operator disappears.
	Remove { operator: u8 },
	/// The operator announces another commission, in force so many blocks later.
	Announce { operator: u8, blocks: u32 },
	/// A role's minimum changes, and with it who is active.
	SetMinimum { role: Role, minimum: Balance },
}

/// The account of a small number.
pub(crate) fn account(number: u8) -> AccountId {
	AccountId::new([number; 32])
}

/// The worker of a small number.
pub(crate) fn worker(number: u8) -> WorkerId {
	WorkerId::from_raw([number; 32])
}

#[derive(Clone)]
struct Block {
	number: u32,
	hash: H256,
	era: EraIndex,
	operators: BTreeMap<AccountId, Operator>,
	minimums: BTreeMap<Role, Balance>,
	changes: Changes,
}

impl Block {
	fn refresh(&mut self) {
		for operator in self.operators.values_mut() {
			operator.active = operator.self_stake > self.minimums[&operator.role];
		}
	}

	/// What happens by time alone. Commissions come into force by the block's number, and an era begins
	/// when one does. That a commission comes into force is told
	/// by the era's event, which names no operator.
	fn pass_time(&mut self) -> Changes {
		let mut changes = Changes::none();
		for operator in self.operators.values_mut() {
			let due = operator
				.next_commission
				.take_if(|(_, era)| *era <= self.number);
			if let Some((rate, _)) = due {
				operator.commission_ppb = rate;
				self.era = self.number;
				changes = Changes::Anything;
			}
		}
		changes
	}

	fn apply(&mut self, action: &Action) -> Changes {
		match action {
			Action::Set {
				operator,
				role,
				worker: with,
				stake,
			} => {
				let mut touched = BTreeSet::from([account(*operator)]);
				let with = with.map(worker);
				for other in self.operators.values_mut() {
					if with.is_some() && other.worker == with {
						other.worker = None;
						touched.insert(other.account.clone());
					}
				}
				let changed = Operator {
					account: account(*operator),
					role: *role,
					worker: with,
					commission_ppb: 50_000_000,
					next_commission: None,
					name: format!("operator {operator}"),
					endpoint: String::new(),
					text: String::new(),
					self_stake: *stake,
					total_stake: *stake,
					streaming: 0,
					active: false,
					retired: false,
					suspended: false,
				};
				self.operators.insert(changed.account.clone(), changed);
				Changes::Operators(touched)
			},
			Action::Remove { operator } => {
				self.operators.remove(&account(*operator));
				Changes::Operators(BTreeSet::from([account(*operator)]))
			},
			Action::Announce { operator, blocks } => {
				let account = account(*operator);
				let Some(announcing) = self.operators.get_mut(&account) else {
					return Changes::Operators(BTreeSet::new());
				};
				let era = self.number + blocks;
				announcing.next_commission = Some((announcing.commission_ppb + 1, era));
				Changes::Operators(BTreeSet::from([account]))
			},
			Action::SetMinimum { role, minimum } => {
				self.minimums.insert(*role, *minimum);
				Changes::Anything
			},
		}
	}
}

struct State {
	genesis: H256,
	blocks: Vec<Block>,
	finalized: usize,
	online: bool,
	hangs: bool,
	muted: bool,
	connections: usize,
	page_reads: usize,
	subscribers: Vec<mpsc::UnboundedSender<Result<BlockRef, Error>>>,
}

/// The node. Clones are the same node.
#[derive(Clone)]
pub(crate) struct Model(Arc<Mutex<State>>);

impl Model {
	/// A node that runs, at block 0 of the chain with this genesis hash.
	pub(crate) fn new(genesis: H256) -> Self {
		let first = Block {
			number: 0,
			hash: genesis,
			era: 0,
			operators: BTreeMap::new(),
			minimums: Role::ALL.into_iter().map(|role| (role, 10)).collect(),
			changes: Changes::none(),
		};
		Self(Arc::new(Mutex::new(State {
			genesis,
			blocks: vec![first],
			finalized: 0,
			online: true,
			hangs: false,
			muted: false,
			connections: 0,
			page_reads: 0,
			subscribers: Vec::new(),
		})))
	}

	fn state(&self) -> MutexGuard<'_, State> {
		self.0.lock().expect("no test panics with the lock held")
	}

	/// A finalized block in which these things happen.
	pub(crate) fn block(&self, actions: &[Action]) -> BlockRef {
		let mut state = self.state();
		let mut next = state
			.blocks
			.last()
			.expect("there is always a first")
			.clone();
		next.number = state.blocks.len() as u32;
		next.changes = next.pass_time();
		for action in actions {
			let changes = next.apply(action);
			next.changes = next.changes.clone().and(changes);
		}
		next.refresh();
		next.hash = H256::from_low_u64_be(u64::from(next.number)) ^ state.genesis;
		state.finalized = next.number as usize;
		state.blocks.push(next);
		let head = state.head();
		if !state.muted && state.online {
			state
				.subscribers
				.retain(|heads| heads.unbounded_send(Ok(head)).is_ok());
		}
		head
	}

	/// Ends the node: every connection breaks.
	pub(crate) fn stop(&self) {
		let mut state = self.state();
		state.online = false;
		state.subscribers.clear();
	}

	/// Starts the node again.
	pub(crate) fn start(&self) {
		self.state().online = true;
	}

	/// Starts the node again with its last finalized block as it was before.
	pub(crate) fn start_behind(&self, finalized: u32) -> BlockRef {
		let mut state = self.state();
		state.finalized = finalized as usize;
		state.online = true;
		state.head()
	}

	/// Starts the node again on another chain with as many blocks.
	pub(crate) fn start_on(&self, genesis: H256) {
		let mut state = self.state();
		state.genesis = genesis;
		state.online = true;
	}

	/// Whether requests get no answer.
	pub(crate) fn hang(&self, hangs: bool) {
		self.state().hangs = hangs;
	}

	/// Whether subscriptions stay silent.
	pub(crate) fn mute(&self, muted: bool) {
		self.state().muted = muted;
	}

	/// How often something connected.
	pub(crate) fn connections(&self) -> usize {
		self.state().connections
	}

	/// How many pages were read.
	pub(crate) fn page_reads(&self) -> usize {
		self.state().page_reads
	}

	/// The truth at a block.
	pub(crate) fn registry(&self, block: BlockRef) -> Registry {
		let state = self.state();
		let content = &state.blocks[block.number as usize];
		Registry::new(
			block,
			content.hash,
			content.operators.values().cloned().collect(),
			Role::ALL.map(|role| (role, content.minimums[&role])),
		)
		.in_era(content.era)
	}

	/// A connection that is already made.
	pub(crate) fn chain(&self) -> ModelChain {
		let state = self.state();
		ModelChain {
			model: self.clone(),
			genesis: state.genesis,
			connection: state.connections,
		}
	}
}

impl State {
	fn head(&self) -> BlockRef {
		BlockRef {
			number: self.finalized as u32,
			hash: self.blocks[self.finalized].hash,
		}
	}
}

fn offline() -> Error {
	Error::Unreachable {
		url: "model".into(),
		reason: "stopped".into(),
	}
}

impl Connect for Model {
	type Chain = ModelChain;

	async fn connect(&self) -> Result<ModelChain, Error> {
		let mut state = self.state();
		state.connections += 1;
		if state.online {
			let connection = state.connections;
			Ok(ModelChain {
				model: self.clone(),
				genesis: state.genesis,
				connection,
			})
		} else {
			Err(offline())
		}
	}
}

/// A connection to the model.
pub(crate) struct ModelChain {
	model: Model,
	genesis: H256,
	connection: usize,
}

impl ModelChain {
	async fn ask<T>(&self, answer: impl FnOnce(&mut State) -> T) -> Result<T, Error> {
		let hangs = self.model.state().hangs;
		if hangs {
			futures::future::pending::<()>().await;
		}
		let mut state = self.model.state();
		if state.online && state.connections == self.connection {
			Ok(answer(&mut state))
		} else {
			Err(offline())
		}
	}
}

impl Chain for ModelChain {
	type At = ModelAt;

	fn genesis_hash(&self) -> H256 {
		self.genesis
	}

	async fn finalized(&self) -> Result<BlockRef, Error> {
		self.ask(|state| state.head()).await
	}

	async fn heads(&self) -> Result<Heads, Error> {
		let (sender, receiver) = mpsc::unbounded();
		self.ask(|state| state.subscribers.push(sender)).await?;
		Ok(receiver.boxed())
	}

	async fn at(&self, block: BlockRef) -> Result<ModelAt, Error> {
		self.ask(|state| assert_eq!(state.blocks[block.number as usize].hash, block.hash))
			.await?;
		Ok(ModelAt {
			chain: self.model.chain(),
			block,
		})
	}
}

/// The model at one block.
pub(crate) struct ModelAt {
	chain: ModelChain,
	block: BlockRef,
}

impl ModelAt {
	async fn ask<T>(&self, answer: impl FnOnce(&Block) -> T) -> Result<T, Error> {
		let number = self.block.number as usize;
		self.chain.ask(|state| answer(&state.blocks[number])).await
	}
}

impl ChainAt for ModelAt {
	async fn randomness(&self) -> Result<H256, Error> {
		self.ask(|block| block.hash).await
	}

	async fn era(&self) -> Result<EraIndex, Error> {
		self.ask(|block| block.era).await
	}

	async fn min_self_stake(&self, role: Role) -> Result<Balance, Error> {
		self.ask(|block| block.minimums[&role]).await
	}

	async fn operators_page(
		&self,
		role: Role,
		after: Option<AccountId>,
	) -> Result<Vec<Operator>, Error> {
		self.chain.ask(|state| state.page_reads += 1).await?;
		// Descending: the chain's order of storage keys is not the order of accounts either.
		self.ask(|block| {
			block
				.operators
				.values()
				.rev()
				.filter(|operator| operator.role == role)
				.filter(|operator| after.as_ref().is_none_or(|after| operator.account < *after))
				.take(PAGE)
				.cloned()
				.collect()
		})
		.await
	}

	async fn operator(&self, account: AccountId) -> Result<Option<Operator>, Error> {
		self.ask(|block| block.operators.get(&account).cloned())
			.await
	}

	async fn changes(&self) -> Result<Changes, Error> {
		self.ask(|block| block.changes.clone()).await
	}
}
