//! Finds out where all eras of a party stand: at the chain, and for proofs at the coordinator.

use super::{
	book::{Book, Party},
	chain::{Facts, SettlementChain},
	era::{self, Answer, Era},
	store::Store,
};
use crate::{
	fleet::{self, Wishes},
	link::LinkError,
	trust::Trust,
};
use cuckoo_chain_client::Registry;
use cuckoo_coordinator_api::{payment::SettlementProof, rpc::MinerRpcClient, ErrorCode};
use cuckoo_primitives::{sum_tree::Root, AccountId, EraIndex};
use jsonrpsee::http_client::HttpClientBuilder;
use std::{collections::BTreeMap, future::Future, sync::Arc, time::Duration};
use tokio::{
	sync::watch,
	time::{timeout_at, Instant},
};
use tracing::warn;

/// How long a coordinator may take for all proofs of a look: the others wait.
const PATIENCE: Duration = Duration::from_secs(30);
/// A proof of a few leaves has a hundredth of it.
const MAX_PROOF_BYTES: u32 = 256 * 1024;

/// Why there is no proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoProof {
	/// Nobody answers.
	Away(String),
	/// It says that it has settled no such era.
	Refused(String),
}

/// Who gives proofs.
pub trait Proofs: Send + Sync {
	/// Where the miner stands in the tree of an era.
	fn proof(
		&self,
		party: &Party,
		era: EraIndex,
	) -> impl Future<Output = Result<SettlementProof, NoProof>> + Send;
}

/// The coordinators, at their addresses on chain or those that the user named.
pub struct Coordinators {
	/// The chain.
	pub registry: watch::Receiver<Option<Arc<Registry>>>,
	/// What the user named.
	pub only: BTreeMap<AccountId, Option<String>>,
	/// Which of them are who they say.
	pub trust: Trust,
}

impl Coordinators {
	fn address(&self, coordinator: &AccountId) -> Option<String> {
		let registry = self.registry.borrow().clone()?;
		let wishes = Wishes {
			most: 0,
			only: self.only.clone(),
			seed: Default::default(),
		};
		fleet::address(registry.operator(coordinator)?, &wishes)
	}
}

impl Proofs for Coordinators {
	async fn proof(&self, party: &Party, era: EraIndex) -> Result<SettlementProof, NoProof> {
		let url = self
			.address(&party.coordinator)
			.ok_or_else(|| NoProof::Away("it has no address on chain".into()))?;
		let client = HttpClientBuilder::default()
			.with_custom_cert_store(self.trust.config())
			.max_response_size(MAX_PROOF_BYTES)
			.request_timeout(PATIENCE)
			.build(&url)
			.map_err(|error| NoProof::Away(error.to_string()))?;
		let answer = client.settlement_proof(era, party.miner.clone()).await;
		answer.map_err(|error| {
			let error = LinkError::from(error);
			// Anything else passes.
			match error.code() {
				Some(ErrorCode::SettlementNotFound) => NoProof::Refused(error.to_string()),
				_ => NoProof::Away(error.to_string()),
			}
		})
	}
}

/// What was found of a party.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Survey {
	/// At the chain.
	pub facts: Facts,
	/// At the coordinator, for each era of the book.
	pub answers: BTreeMap<EraIndex, Answer>,
}

impl Survey {
	/// The eras of the book, ascending.
	pub fn eras<'a>(&'a self, book: &'a Book) -> Vec<Era<'a>> {
		const NONE: Answer = Answer::None;
		book.eras
			.iter()
			.map(|(era, entry)| Era {
				era: *era,
				entry,
				facts: &self.facts,
				answer: self.answers.get(era).unwrap_or(&NONE),
			})
			.collect()
	}
}

/// Looks at a party. Proofs that are in the store are not asked for again; those that are new are put there
/// if `keeps`.
pub async fn survey(
	chain: &impl SettlementChain,
	proofs: &impl Proofs,
	store: &Store,
	book: &Book,
	keeps: bool,
) -> Result<Survey, String> {
	survey_within(chain, proofs, store, book, keeps, PATIENCE).await
}

/// [`survey`], with so long for the coordinator. What it does not give in this time is as if it was away.
pub(super) async fn survey_within(
	chain: &impl SettlementChain,
	proofs: &impl Proofs,
	store: &Store,
	book: &Book,
	keeps: bool,
	patience: Duration,
) -> Result<Survey, String> {
	let party = book.party();
	let mut eras: BTreeMap<EraIndex, Option<u32>> =
		book.eras.keys().map(|era| (*era, None)).collect();
	let mut facts = chain.facts(&party, &eras).await?;
	let mut answers = BTreeMap::new();
	let until = Instant::now() + patience;
	for (era, entry) in &book.eras {
		let Some((root, _)) = facts.settled.get(era) else {
			continue;
		};
		// What is paid is asked for, too: somebody may have claimed the voucher, and the leaf is there to
		// restore the allotment. Not when nothing can be claimed any more.
		let last = era.saturating_add(facts.windows.claim_eras);
		if facts.now > last && facts.noted(*era) >= entry.amount() {
			continue;
		}
		let proof = async {
			let given = timeout_at(until, proofs.proof(&party, *era)).await;
			given.unwrap_or_else(|_| Err(NoProof::Away("it takes too long".into())))
		};
		let answer = match prove(proof, store, &party, *era, root, keeps).await {
			Err(NoProof::Refused(reason)) if is_past_noting(&facts, *era) => {
				Answer::Refused(reason)
			},
			Err(_) => Answer::None,
			Ok(answer) => answer,
		};
		if let Answer::Proven(proven) = &answer {
			eras.insert(*era, proven.index);
		}
		answers.insert(*era, answer);
	}
	if eras.values().any(Option::is_some) {
		facts = chain.facts(&party, &eras).await?;
	}
	Ok(Survey { facts, answers })
}

/// Whether a coordinator that has settled this era has noted it by now: an era after the time to settle. Before,
/// the chain can be ahead of the coordinator's own books.
fn is_past_noting(facts: &Facts, era: EraIndex) -> bool {
	let posted = era.saturating_add(facts.windows.post_eras);
	facts.now > posted.saturating_add(1)
}

async fn prove(
	proof: impl Future<Output = Result<SettlementProof, NoProof>>,
	store: &Store,
	party: &Party,
	era: EraIndex,
	root: &Root,
	keeps: bool,
) -> Result<Answer, NoProof> {
	let check = |proof| era::prove(store.genesis_hash(), party, era, root, proof);
	// One that does not fit any more is asked for again.
	let kept = store.proof(party, era).and_then(|proof| check(proof).ok());
	if let Some(proven) = kept {
		return Ok(Answer::Proven(proven));
	}
	Ok(match check(proof.await?) {
		Ok(proven) => {
			if keeps {
				if let Err(error) = store.keep_proof(party, &proven.proof) {
					warn!("a proof cannot be kept: {error}");
				}
			}
			Answer::Proven(proven)
		},
		Err(reason) => Answer::Refused(reason),
	})
}
