//! The operators as of one finalized block, indexed by account, worker and role.

use cuckoo_primitives::{AccountId, Balance, BlockNumber, EraIndex, Role, WorkerId, H256};
use std::{
	collections::{BTreeMap, HashMap},
	fmt,
	sync::Arc,
};

/// A block by number and hash.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct BlockRef {
	/// Its number.
	pub number: BlockNumber,
	/// Its hash.
	pub hash: H256,
}

impl fmt::Display for BlockRef {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		write!(f, "#{} ({:?})", self.number, self.hash)
	}
}

/// An operator as of one block.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Operator {
	/// Its account.
	pub account: AccountId,
	/// Its role.
	pub role: Role,
	/// The key that signs its off-chain messages; `None` once retired.
	pub worker: Option<WorkerId>,
	/// The part of rewards it keeps before its voters share the rest, in parts per billion.
	pub commission_ppb: u32,
	/// The commission that it has announced, in parts per billion, and the first era in which it is in
	/// force.
	pub next_commission: Option<(u32, EraIndex)>,
	/// Its name.
	pub name: String,
	/// Where it is reached: a coordinator's URL, empty for most miners. Whoever registered wrote it:
	/// not to be trusted.
	pub endpoint: String,
	/// What it says about itself.
	pub text: String,
	/// Its own stake.
	pub self_stake: Balance,
	/// Stake of the whole pool: its own and its voters'.
	pub total_stake: Balance,
	/// Rewards that are not in `total_stake` yet.
	pub streaming: Balance,
	/// Whether it counts: own stake above the role's minimum, neither retired nor suspended.
	pub active: bool,
	/// Whether it has retired.
	pub retired: bool,
	/// Whether an offence of it was proven and it has not come back since.
	pub suspended: bool,
}

/// Everything that depends on the operators alone. Shared between the registries of consecutive
/// blocks until an operator changes, and operators one by one after that.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Operators {
	/// Per role in the order of [`Role::ALL`]; an account is in one of them at most.
	by_role: [BTreeMap<AccountId, Arc<Operator>>; Role::ALL.len()],
	by_worker: HashMap<WorkerId, AccountId>,
}

impl Operators {
	fn get(&self, account: &AccountId) -> Option<&Arc<Operator>> {
		self.by_role
			.iter()
			.find_map(|operators| operators.get(account))
	}

	fn remove(&mut self, account: &AccountId) {
		for operators in &mut self.by_role {
			let Some(removed) = operators.remove(account) else {
				continue;
			};
			if let Some(worker) = removed.worker {
				if self.by_worker.get(&worker) == Some(account) {
					self.by_worker.remove(&worker);
				}
			}
		}
	}

	fn insert(&mut self, operator: Operator) {
		self.remove(&operator.account);
		if let Some(worker) = operator.worker {
			self.by_worker.insert(worker, operator.account.clone());
		}
		self.by_role[operator.role as usize].insert(operator.account.clone(), Arc::new(operator));
	}
}

/// The operators as of one finalized block, with that block's randomness. Immutable: each block has
/// its own, and a clone costs nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Registry {
	/// The block this was read at.
	pub block: BlockRef,
	/// The chain's randomness at that block (`Babe::Randomness`).
	pub randomness: H256,
	/// The era of that block.
	pub era: EraIndex,
	min_self_stake: [(Role, Balance); Role::ALL.len()],
	operators: Arc<Operators>,
}

impl Registry {
	/// A registry of these operators in era 0. Of two entries for one account the last counts.
	pub fn new(
		block: BlockRef,
		randomness: H256,
		operators: Vec<Operator>,
		min_self_stake: [(Role, Balance); Role::ALL.len()],
	) -> Self {
		let mut tables = Operators::default();
		for operator in operators {
			tables.insert(operator);
		}
		Self {
			block,
			randomness,
			era: 0,
			min_self_stake,
			operators: Arc::new(tables),
		}
	}

	/// The same in another era.
	pub fn in_era(self, era: EraIndex) -> Self {
		Self { era, ..self }
	}

	/// The registry one or more blocks later. `changed` holds every operator that may differ, `None`
	/// for one that is gone.
	pub(crate) fn advanced(
		&self,
		block: BlockRef,
		randomness: H256,
		changed: Vec<(AccountId, Option<Operator>)>,
	) -> Self {
		let mut next = Self {
			block,
			randomness,
			..self.clone()
		};
		if changed.is_empty() {
			return next;
		}
		let tables = Arc::make_mut(&mut next.operators);
		// All out before any goes in: a worker may have moved from one of them to another.
		for (account, _) in &changed {
			tables.remove(account);
		}
		for operator in changed.into_iter().filter_map(|(_, operator)| operator) {
			tables.insert(operator);
		}
		next
	}

	/// The operator with this account, whatever its state.
	pub fn operator(&self, account: &AccountId) -> Option<&Operator> {
		self.operators.get(account).map(Arc::as_ref)
	}

	/// The operator that this worker signs for.
	pub fn by_worker(&self, worker: &WorkerId) -> Option<&Operator> {
		self.operator(self.operators.by_worker.get(worker)?)
	}

	/// Every operator, also inactive and retired ones: role by role, in the order of accounts.
	pub fn operators(&self) -> impl Iterator<Item = &Operator> {
		Role::ALL.into_iter().flat_map(|role| self.of_role(role))
	}

	/// Operators of a role, also inactive and retired ones, in the order of accounts.
	pub fn of_role(&self, role: Role) -> impl Iterator<Item = &Operator> {
		self.operators.by_role[role as usize]
			.values()
			.map(Arc::as_ref)
	}

	/// The self-stake that an operator of this role must exceed to be active.
	pub fn min_self_stake(&self, role: Role) -> Balance {
		self.min_self_stake
			.iter()
			.find(|(of, _)| *of == role)
			.map_or_else(|| role.default_min_self_stake(), |(_, stake)| *stake)
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	fn operator(number: u32, role: Role) -> Operator {
		let mut bytes = [0; 32];
		bytes[..4].copy_from_slice(&number.to_be_bytes());
		Operator {
			account: AccountId::new(bytes),
			role,
			worker: Some(WorkerId::from_raw(bytes)),
			commission_ppb: 50_000_000,
			next_commission: None,
			name: format!("operator {number}"),
			endpoint: String::new(),
			text: String::new(),
			self_stake: 1,
			total_stake: 2,
			streaming: 0,
			active: true,
			retired: false,
			suspended: false,
		}
	}

	fn block(number: BlockNumber) -> BlockRef {
		BlockRef {
			number,
			hash: H256::from_low_u64_be(u64::from(number)),
		}
	}

	fn registry(operators: Vec<Operator>) -> Registry {
		let minimums = Role::ALL.map(|role| (role, role as Balance));
		Registry::new(block(1), H256::zero(), operators, minimums)
	}

	#[test]
	fn operators_are_found_by_account_worker_and_role() {
		let (miner, coordinator) = (operator(1, Role::Miner), operator(2, Role::Coordinator));
		let registry = registry(vec![miner.clone(), coordinator.clone()]);
		assert_eq!(registry.operator(&miner.account), Some(&miner));
		assert_eq!(
			registry.by_worker(&coordinator.worker.unwrap()),
			Some(&coordinator)
		);
		assert_eq!(registry.of_role(Role::Miner).collect::<Vec<_>>(), [&miner]);
		assert_eq!(registry.of_role(Role::Validator).count(), 0);
		assert_eq!(
			registry.operators().collect::<Vec<_>>(),
			[&coordinator, &miner]
		);
		assert_eq!(registry.operator(&operator(3, Role::Miner).account), None);
		assert_eq!(registry.by_worker(&WorkerId::from_raw([9; 32])), None);
		for role in Role::ALL {
			assert_eq!(registry.min_self_stake(role), role as Balance);
		}
	}

	#[test]
	fn a_retired_operator_can_come_back_in_another_role() {
		let first = operator(1, Role::Miner);
		let old = registry(vec![first.clone()]);
		let second = Operator {
			worker: None,
			..operator(1, Role::Coordinator)
		};
		let changed = vec![(first.account.clone(), Some(second.clone()))];
		let new = old.advanced(block(2), H256::zero(), changed);
		assert_eq!(new.operators().collect::<Vec<_>>(), [&second]);
		assert_eq!(new.by_worker(&first.worker.unwrap()), None);
	}

	/// A hundred thousand operators cost nothing in a block that changes none, and little in one that
	/// changes few: what did not change is shared, not copied.
	#[test]
	fn what_did_not_change_is_shared() {
		let many = (0..100_000)
			.map(|number| operator(number, Role::Miner))
			.collect();
		let first = registry(many);
		let second = first.advanced(block(2), H256::zero(), Vec::new());
		assert!(Arc::ptr_eq(&first.operators, &second.operators));

		let moved = Operator {
			total_stake: 3,
			..operator(7, Role::Miner)
		};
		let changed = vec![(moved.account.clone(), Some(moved.clone()))];
		let third = second.advanced(block(3), H256::zero(), changed);
		assert_eq!(third.operator(&moved.account), Some(&moved));
		assert_eq!(second.operator(&moved.account).unwrap().total_stake, 2);
		let copies = first.operators.by_role[Role::Miner as usize]
			.iter()
			.filter(|(account, old)| {
				!Arc::ptr_eq(
					old,
					&third.operators.by_role[Role::Miner as usize][*account],
				)
			})
			.count();
		assert_eq!(copies, 1);
	}
}
