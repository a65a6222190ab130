//! Who this coordinator is: the worker key it signs with, and the operator that the chain names for it.

use cuckoo_chain_client::Registry;
use cuckoo_coordinator_api::Amount;
use cuckoo_primitives::{AccountId, Role, WorkerId, H256};

/// The operator that this coordinator signs for, and the chain it is on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
	/// The operator's account.
	pub operator: AccountId,
	/// The chain.
	pub genesis: H256,
}

/// The worker key cannot act as a coordinator.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum IdentityError {
	/// No operator has it.
	#[error(
		"the worker key 0x{} belongs to no operator on this chain: register a coordinator with it \
		 (or give it to yours by set_worker), or start with the key that is registered",
		hex::encode(.0)
	)]
	NotRegistered(WorkerId),
	/// Its operator is something else.
	#[error("the worker key belongs to {0}, which is registered as {role}: use a coordinator's key", role = .1.name())]
	NotACoordinator(AccountId, Role),
	/// Its operator has retired.
	#[error("the coordinator {0} has retired: register another operator")]
	Retired(AccountId),
	/// Its operator has too little at stake.
	#[error("the coordinator {account} has {stake} of its own at stake and must have more than {minimum}: stake more")]
	Understaked {
		/// The operator.
		account: AccountId,
		/// What it has.
		stake: Amount,
		/// What it must exceed.
		minimum: Amount,
	},
}

/// The account of the active coordinator that has this worker.
pub fn find(registry: &Registry, worker: &WorkerId) -> Result<AccountId, IdentityError> {
	let operator = registry
		.by_worker(worker)
		.ok_or(IdentityError::NotRegistered(*worker))?;
	let account = operator.account.clone();
	if operator.role != Role::Coordinator {
		return Err(IdentityError::NotACoordinator(account, operator.role));
	}
	if operator.retired {
		return Err(IdentityError::Retired(account));
	}
	if !operator.active {
		return Err(IdentityError::Understaked {
			account,
			stake: Amount(operator.self_stake),
			minimum: Amount(registry.min_self_stake(Role::Coordinator)),
		});
	}
	Ok(account)
}
