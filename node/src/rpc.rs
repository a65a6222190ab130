//! The JSON-RPC beside what every node of the SDK has (chain, state, author, system, `chainHead_v1`,
//! `transaction_v1`): account nonces, fees, and the state of BABE and GRANDPA.

use crate::service::{FullBackend, FullClient, FullPool, FullSelectChain};
use cuckoo_runtime::{opaque::Block, AccountId, Balance, BlockNumber, Hash, Nonce};
use jsonrpsee_node::RpcModule;
use pallet_transaction_payment::RuntimeDispatchInfo;
use pallet_transaction_payment_rpc::{TransactionPayment, TransactionPaymentApiServer};
use sc_consensus_babe::BabeWorkerHandle;
use sc_consensus_babe_rpc::{Babe, BabeApiServer};
use sc_consensus_grandpa::{
	FinalityProofProvider, GrandpaJustificationStream, SharedAuthoritySet, SharedVoterState,
};
use sc_consensus_grandpa_rpc::{Grandpa, GrandpaApiServer};
use sc_rpc::SubscriptionTaskExecutor;
use sp_keystore::KeystorePtr;
use std::sync::Arc;
use substrate_frame_rpc_system::{System, SystemApiServer};

/// What the methods read from.
pub struct Sources {
	/// Chain and state.
	pub client: Arc<FullClient>,
	/// Transactions that wait.
	pub pool: Arc<FullPool>,
	/// Which fork is the best.
	pub select_chain: FullSelectChain,
	/// The validator's keys.
	pub keystore: KeystorePtr,
	/// BABE's epochs.
	pub babe_worker: BabeWorkerHandle<Block>,
	/// GRANDPA's authorities.
	pub grandpa_authorities: SharedAuthoritySet<Hash, BlockNumber>,
	/// GRANDPA's rounds.
	pub grandpa_voter: SharedVoterState,
	/// What GRANDPA finalizes.
	pub justifications: GrandpaJustificationStream<Block>,
	/// Proofs of finality.
	pub finality_proofs: Arc<FinalityProofProvider<FullBackend, Block>>,
}

/// The methods, with subscriptions on `executor`.
pub fn module(
	sources: &Sources,
	executor: SubscriptionTaskExecutor,
) -> Result<RpcModule<()>, Box<dyn std::error::Error + Send + Sync>> {
	let client = &sources.client;
	let mut module = RpcModule::new(());
	module.merge(SystemApiServer::<Hash, AccountId, Nonce>::into_rpc(
		System::<_, _, Block>::new(client.clone(), sources.pool.clone()),
	))?;
	module.merge(TransactionPaymentApiServer::<
		Hash,
		RuntimeDispatchInfo<Balance>,
	>::into_rpc(TransactionPayment::<_, Block>::new(
		client.clone(),
	)))?;
	module.merge(
		Babe::new(
			client.clone(),
			sources.babe_worker.clone(),
			sources.keystore.clone(),
			sources.select_chain.clone(),
		)
		.into_rpc(),
	)?;
	module.merge(
		Grandpa::new(
			executor,
			sources.grandpa_authorities.clone(),
			sources.grandpa_voter.clone(),
			sources.justifications.clone(),
			sources.finality_proofs.clone(),
		)
		.into_rpc(),
	)?;
	Ok(module)
}
