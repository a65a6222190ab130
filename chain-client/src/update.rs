//! How a registry is read, and how it is brought up to date: whole at first, then block by block
//! from what each block says it changed.
//!
//! The pallet's promise behind this: whoever changes an operator emits an event that names it, or one
//! after which any may read otherwise, such as the beginning of an era, which puts announced commissions
//! into force.

use crate::{
	error::Error,
	registry::{BlockRef, Operator, Registry},
	source::{Chain, ChainAt, Changes},
};
use cuckoo_primitives::{AccountId, Role};
use futures::{stream, StreamExt, TryStreamExt};
use std::collections::HashSet;

/// More operators of one role than any chain holds: a node that goes on and on is not believed.
const MAX_OPERATORS: usize = 1_000_000;

/// When blocks name more operators than this, whole pages are cheaper than one call for each.
const MAX_SINGLE_READS: usize = 500;

/// Reads of single operators under way at the same time.
const CONCURRENT_READS: usize = 16;

/// The whole registry at a block.
pub(crate) async fn read_all<C: Chain>(chain: &C, block: BlockRef) -> Result<Registry, Error> {
	let at = chain.at(block).await?;
	read_all_at(&at, block).await
}

/// The whole registry at a block whose state is at hand.
pub(crate) async fn read_all_at<A: ChainAt>(at: &A, block: BlockRef) -> Result<Registry, Error> {
	let mut operators = Vec::new();
	let mut min_self_stake = Role::ALL.map(|role| (role, 0));
	for (role, minimum) in &mut min_self_stake {
		*minimum = at.min_self_stake(*role).await?;
		operators.append(&mut read_role(at, *role).await?);
	}
	let registry = Registry::new(block, at.randomness().await?, operators, min_self_stake);
	Ok(registry.in_era(at.era().await?))
}

async fn read_role<A: ChainAt>(at: &A, role: Role) -> Result<Vec<Operator>, Error> {
	let mut operators: Vec<Operator> = Vec::new();
	let mut seen = HashSet::new();
	loop {
		let after = operators.last().map(|operator| operator.account.clone());
		let page = at.operators_page(role, after).await?;
		if page.is_empty() {
			return Ok(operators);
		}
		for operator in page {
			if operator.role != role || !seen.insert(operator.account.clone()) {
				return Err(Error::Nonsense(format!(
					"{} came twice or with another role among the {}s",
					operator.account,
					role.name()
				)));
			}
			operators.push(operator);
		}
		if operators.len() > MAX_OPERATORS {
			return Err(Error::Nonsense(format!(
				"more than {MAX_OPERATORS} {}s",
				role.name()
			)));
		}
	}
}

/// The registry at the last of `heads`, which are finalized blocks in ascending order; `None` when
/// it is not newer. Reads only what the blocks since `registry` changed when there is no gap.
pub(crate) async fn advance<C: Chain>(
	chain: &C,
	registry: &Registry,
	heads: &[BlockRef],
) -> Result<Option<Registry>, Error> {
	let heads: Vec<BlockRef> = heads
		.iter()
		.copied()
		.filter(|head| head.number > registry.block.number)
		.collect();
	let Some(last) = heads.last().copied() else {
		return Ok(None);
	};
	let gapless = heads
		.iter()
		.zip(1..)
		.all(|(head, distance)| registry.block.number.checked_add(distance) == Some(head.number));
	if !gapless {
		return read_all(chain, last).await.map(Some);
	}

	let mut changes = Changes::none();
	for head in &heads {
		changes = changes.and(chain.at(*head).await?.changes().await?);
	}
	let at = chain.at(last).await?;
	match changes {
		Changes::Operators(accounts) if accounts.len() <= MAX_SINGLE_READS => {
			let changed: Vec<(AccountId, Option<Operator>)> = stream::iter(accounts)
				.map(|account| read_one(&at, account))
				.buffer_unordered(CONCURRENT_READS)
				.try_collect()
				.await?;
			Ok(Some(registry.advanced(
				last,
				at.randomness().await?,
				changed,
			)))
		},
		_ => read_all_at(&at, last).await.map(Some),
	}
}

async fn read_one<A: ChainAt>(
	at: &A,
	account: AccountId,
) -> Result<(AccountId, Option<Operator>), Error> {
	let operator = at.operator(account.clone()).await?;
	match &operator {
		Some(operator) if operator.account != account => Err(Error::Nonsense(format!(
			"asked for operator {account}, got {}",
			operator.account
		))),
		_ => Ok((account, operator)),
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use crate::model::{account, worker, Action, Model};
	use cuckoo_primitives::H256;
	use proptest::prelude::*;

	const GENESIS: H256 = H256::repeat_byte(1);

	fn wait<T>(future: impl std::future::Future<Output = Result<T, Error>>) -> T {
		futures::executor::block_on(future).unwrap()
	}

	fn set(operator: u8, stake: u128) -> Action {
		Action::Set {
			operator,
			role: Role::Miner,
			worker: Some(operator),
			stake,
		}
	}

	#[test]
	fn whole_read_takes_every_page_of_every_role() {
		let model = Model::new(GENESIS);
		let actions: Vec<Action> = (0..20)
			.map(|operator| Action::Set {
				operator,
				role: Role::ALL[operator as usize % 3],
				worker: Some(operator),
				stake: 5 + u128::from(operator),
			})
			.collect();
		let block = model.block(&actions);
		let registry = wait(read_all(&model.chain(), block));
		assert_eq!(registry, model.registry(block));
		assert_eq!(registry.operators().count(), 20);
		assert_eq!(registry.of_role(Role::Validator).count(), 7);
	}

	#[test]
	fn named_operators_are_read_one_by_one_and_nothing_else() {
		let model = Model::new(GENESIS);
		let first = model.block(&[set(1, 50), set(2, 60), set(3, 70)]);
		let chain = model.chain();
		let registry = wait(read_all(&chain, first));
		let pages = model.page_reads();
		let second = model.block(&[set(2, 61)]);
		let third = model.block(&[]);
		let next = wait(advance(&chain, &registry, &[second, third])).unwrap();
		assert_eq!(next, model.registry(third));
		assert_eq!(next.operator(&account(2)).unwrap().self_stake, 61);
		assert_eq!(model.page_reads(), pages, "no page was read");
	}

	#[test]
	fn a_commission_that_comes_into_force_is_followed() {
		let model = Model::new(GENESIS);
		let announce = Action::Announce {
			operator: 1,
			blocks: 2,
		};
		let first = model.block(&[set(1, 50), set(2, 60), announce]);
		let chain = model.chain();
		let mut registry = wait(read_all(&chain, first));
		let before = registry.operator(&account(1)).unwrap().commission_ppb;
		for in_force in [false, true, true] {
			let head = model.block(&[]);
			registry = wait(advance(&chain, &registry, &[head])).unwrap();
			let now = registry.operator(&account(1)).unwrap().commission_ppb;
			assert_eq!(now != before, in_force);
			assert_eq!(registry, model.registry(head));
		}
	}

	#[test]
	fn old_heads_change_nothing_and_a_gap_reads_all() {
		let model = Model::new(GENESIS);
		let first = model.block(&[set(1, 50)]);
		let second = model.block(&[set(1, 51)]);
		let chain = model.chain();
		let registry = wait(read_all(&chain, second));
		assert_eq!(wait(advance(&chain, &registry, &[first, second])), None);
		model.block(&[set(9, 90)]);
		let fourth = model.block(&[]);
		let next = wait(advance(&chain, &registry, &[fourth])).unwrap();
		assert_eq!(next, model.registry(fourth));
	}

	#[test]
	fn a_worker_may_move_between_operators_in_one_block() {
		let model = Model::new(GENESIS);
		let first = model.block(&[set(1, 50), set(2, 60)]);
		let chain = model.chain();
		let registry = wait(read_all(&chain, first));
		let swap = |operator, with| Action::Set {
			operator,
			role: Role::Miner,
			worker: Some(with),
			stake: 50,
		};
		let second = model.block(&[swap(1, 2), swap(2, 1)]);
		let next = wait(advance(&chain, &registry, &[second])).unwrap();
		assert_eq!(next, model.registry(second));
		assert_eq!(next.by_worker(&worker(2)).unwrap().account, account(1));
		assert_eq!(next.by_worker(&worker(1)).unwrap().account, account(2));
		assert_eq!(
			registry,
			model.registry(first),
			"the old registry stays as it was"
		);
	}

	fn action() -> impl Strategy<Value = Action> {
		let role = || prop::sample::select(Role::ALL.to_vec());
		prop_oneof![
			8 => (0u8..12, role(), prop::option::of(0u8..16), 0u128..40)
				.prop_map(|(operator, role, worker, stake)| Action::Set { operator, role, worker, stake }),
			2 => (0u8..12).prop_map(|operator| Action::Remove { operator }),
			2 => (0u8..12, 1u32..5).prop_map(|(operator, blocks)| Action::Announce { operator, blocks }),
			1 => (role(), 0u128..40).prop_map(|(role, minimum)| Action::SetMinimum { role, minimum }),
		]
	}

	proptest! {
		/// Whatever happens, and however the blocks come in, following gives what a whole read gives.
		#[test]
		fn following_equals_reading_all(
			steps in prop::collection::vec(
				// Blocks of actions that come together, and whether the first of them is missed.
				(prop::collection::vec(prop::collection::vec(action(), 0..5), 1..4), prop::bool::weighted(0.1)),
				1..12,
			),
		) {
			let model = Model::new(GENESIS);
			let chain = model.chain();
			let mut registry = wait(read_all(&chain, model.block(&[])));
			for (blocks, missed) in steps {
				let mut heads: Vec<BlockRef> = blocks.iter().map(|actions| model.block(actions)).collect();
				if missed && heads.len() > 1 {
					heads.remove(0);
				}
				let last = *heads.last().unwrap();
				registry = wait(advance(&chain, &registry, &heads)).unwrap();
				prop_assert_eq!(&registry, &wait(read_all(&chain, last)));
				prop_assert_eq!(&registry, &model.registry(last));
				for operator in registry.operators() {
					prop_assert_eq!(registry.operator(&operator.account), Some(operator));
					if let Some(worker) = operator.worker {
						prop_assert_eq!(registry.by_worker(&worker), Some(operator));
					}
				}
			}
		}
	}
}
