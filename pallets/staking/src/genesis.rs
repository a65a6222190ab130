//! What staking begins with. A genesis that does not add up stops the chain from being made: every
//! panic here is one of block 0, before there is a chain.

use alloc::{string::String, vec::Vec};
use cuckoo_primitives::{AccountId, Balance, Role, WorkerId};
use frame_support::{
	ensure,
	pallet_prelude::DispatchResult,
	traits::fungible::{Inspect, Mutate},
	BoundedVec,
};
use pallet_cuckoo_staking_runtime_api::ValidatorParams;
use serde::{Deserialize, Serialize};
use sp_runtime::Perbill;

use crate::{
	types::{default_role_params, EraStartedAt, IntroductionInput},
	Config, Pallet, RecentEras, RoleParameters, ValidatorParameters,
};

/// An operator at genesis. Its stake comes out of its account's balance.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GenesisOperator {
	/// The operator's account.
	pub account: AccountId,
	/// What it does.
	pub role: Role,
	/// The key that signs its off-chain messages.
	pub worker: WorkerId,
	/// Its own stake; must exceed the role's minimum.
	pub stake: Balance,
	/// The part of rewards it keeps, in billionths.
	pub commission: Perbill,
	/// Its name.
	pub name: String,
	/// Where it is reached.
	pub endpoint: String,
	/// What it says about itself.
	pub text: String,
}

/// A vote at genesis. Its amount comes out of the voter's balance.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GenesisVote {
	/// The voter.
	pub voter: AccountId,
	/// The operator, one of genesis.
	pub operator: AccountId,
	/// How much.
	pub amount: Balance,
}

impl<T: Config> Pallet<T> {
	/// Sets the roles' rules, opens the pot, registers the operators and casts the votes. The
	/// balances pallet has to be built first.
	pub(crate) fn build_genesis(
		operators: &[GenesisOperator],
		votes: &[GenesisVote],
		validators: ValidatorParams,
	) {
		for role in Role::ALL {
			RoleParameters::<T>::insert(role, default_role_params(role));
		}
		if let Err(error) = Self::checked_validator_params(&validators) {
			panic!("genesis validator parameters {validators:?}: {error:?}");
		}
		ValidatorParameters::<T>::put(validators);
		RecentEras::<T>::put(BoundedVec::truncate_from(alloc::vec![
			EraStartedAt::default()
		]));
		Self::open_pot();
		for operator in operators {
			if let Err(error) = Self::genesis_register(operator) {
				panic!("genesis operator {:?}: {error:?}", operator.account);
			}
		}
		for vote in votes {
			let (voter, operator) = (vote.voter.clone(), vote.operator.clone());
			if let Err(error) = Self::do_vote(voter, operator, vote.amount) {
				panic!(
					"genesis vote of {:?} for {:?}: {error:?}",
					vote.voter, vote.operator
				);
			}
		}
	}

	/// Gives the pot its existential deposit, so that the account outlives the last staker and the
	/// tokens it owes are never counted as dust. It is issued here, beyond the balances of genesis,
	/// and belongs to nobody.
	fn open_pot() {
		let pot = Self::pot();
		let missing =
			T::Currency::minimum_balance().saturating_sub(T::Currency::total_balance(&pot));
		if missing > 0 {
			if let Err(error) = T::Currency::mint_into(&pot, missing) {
				panic!("the staking pot's existential deposit: {error:?}");
			}
		}
	}

	fn genesis_register(operator: &GenesisOperator) -> DispatchResult {
		let bytes = |text: &String| -> Vec<u8> { text.as_bytes().to_vec() };
		let introduction = Self::checked_introduction(IntroductionInput {
			name: bytes(&operator.name),
			endpoint: bytes(&operator.endpoint),
			text: bytes(&operator.text),
		})?;
		// Reading JSON does not bound a part per billion as decoding does.
		ensure!(
			operator.commission <= Perbill::one(),
			"the commission is more than everything"
		);
		Self::vacate(&operator.account)?;
		Self::do_register(
			operator.account.clone(),
			operator.role,
			operator.worker,
			operator.stake,
			operator.commission,
			introduction,
		)
	}
}
