//! Keeps the purse in line with the chain: allotments at every block, eras whenever one begins, and every
//! few minutes.

use super::{
	book::Party,
	chain::{Facts, SettlementChain},
	claim,
	era::{self, State},
	survey::{survey, Proofs},
	Purse,
};
use cuckoo_chain_client::Registry;
use cuckoo_coordinator_api::Amount;
use cuckoo_primitives::{Balance, EraIndex};
use std::{
	collections::{BTreeMap, BTreeSet},
	sync::Arc,
	time::{Duration, Instant},
};
use tokio::{select, sync::watch, task, time::sleep};
use tracing::{error, info, warn};

/// How often eras are looked at when none begins: a settlement can come at any time.
const LOOK_EVERY: Duration = Duration::from_secs(120);
/// Between two rounds at least, however often something asks for one.
const GAP: Duration = Duration::from_secs(1);
/// Least balance with which the daemon claims by itself, for the fees of many claims.
const LEAST_BALANCE: u128 = cuckoo_primitives::CUC / 10;

/// Watches until the registry ends. With `claims` it also claims what can be claimed, once that is so much.
pub async fn run(
	purse: Arc<Purse>,
	chain: impl SettlementChain,
	proofs: impl Proofs,
	mut registry: watch::Receiver<Option<Arc<Registry>>>,
	claims: Option<Balance>,
) {
	let mut questions = purse.questions();
	let mut watcher = Watcher {
		purse,
		chain,
		proofs,
		claims,
		looked: BTreeMap::new(),
		told: BTreeMap::new(),
		claimed: None,
	};
	let mut failed = false;
	loop {
		registry.mark_unchanged();
		questions.mark_unchanged();
		let era = registry.borrow().as_ref().map(|registry| registry.era);
		if let Some(era) = era {
			match watcher.round(era).await {
				Ok(()) => failed = false,
				Err(reason) if !failed => {
					failed = true;
					warn!("vouchers cannot be compared with the chain now: {reason}");
				},
				Err(_) => {},
			}
		}
		sleep(GAP).await;
		select! {
			changed = registry.changed() => if changed.is_err() { return },
			changed = questions.changed() => if changed.is_err() { return },
			() = sleep(LOOK_EVERY) => {},
		}
	}
}

/// See [`run`].
pub struct Watcher<C, P> {
	purse: Arc<Purse>,
	chain: C,
	proofs: P,
	/// From what amount on to claim, if at all.
	claims: Option<Balance>,
	/// When each party's eras were looked at last, and in which era.
	looked: BTreeMap<Party, (EraIndex, Instant)>,
	/// What the user was told of eras.
	told: BTreeMap<Party, BTreeSet<(EraIndex, &'static str)>>,
	/// The era in which the daemon has claimed last.
	claimed: Option<EraIndex>,
}

impl<C: SettlementChain, P: Proofs> Watcher<C, P> {
	/// One that has seen nothing yet.
	pub fn new(purse: Arc<Purse>, chain: C, proofs: P, claims: Option<Balance>) -> Self {
		Self {
			purse,
			chain,
			proofs,
			claims,
			looked: BTreeMap::new(),
			told: BTreeMap::new(),
			claimed: None,
		}
	}

	/// Asks the chain once, for everybody.
	pub async fn round(&mut self, era: EraIndex) -> Result<(), String> {
		for party in self.purse.parties() {
			let looked = self.looked.get(&party);
			let due = looked.is_none_or(|(seen, when)| *seen != era || when.elapsed() > LOOK_EVERY);
			if due {
				self.look(&party).await?;
				self.looked.insert(party, (era, Instant::now()));
			} else {
				let facts = self.chain.facts(&party, &BTreeMap::new()).await?;
				self.note(&party, &facts);
			}
		}
		if let Some(threshold) = self.claims.filter(|_| self.claimed != Some(era)) {
			self.claim(threshold).await?;
			self.claimed = Some(era);
		}
		Ok(())
	}

	fn note(&self, party: &Party, facts: &Facts) {
		self.purse.set_claim_eras(facts.windows.claim_eras);
		self.purse.set_guaranteed(party, facts.guaranteed());
	}

	async fn look(&mut self, party: &Party) -> Result<(), String> {
		let Some(book) = self.purse.book(party) else {
			return Ok(());
		};
		let survey = survey(&self.chain, &self.proofs, self.purse.store(), &book, true).await?;
		self.note(party, &survey.facts);
		let mut marks = Vec::new();
		let told = self.told.entry(party.clone()).or_default();
		told.retain(|(era, _)| book.eras.contains_key(era));
		for era in survey.eras(&book) {
			marks.push((era.era, era.secured(), era.received()));
			let state = era.state();
			if told.insert((era.era, state.name())) {
				tell(party, &era, state);
			}
		}
		let (purse, party, facts) = (self.purse.clone(), party.clone(), survey.facts.clone());
		task::spawn_blocking(move || {
			for (era, secured, received) in marks {
				purse.mark(&party, era, secured, received)?;
			}
			purse.prune(facts.now, facts.windows.claim_eras)
		})
		.await
		.map_err(|error| error.to_string())?
		.map_err(|error| error.to_string())
	}

	/// Claims what is due, if there is something to pay the fees with.
	async fn claim(&self, threshold: Balance) -> Result<(), String> {
		let (mut claims, mut seen) = (Vec::new(), None);
		for party in self.purse.parties() {
			let Some(book) = self.purse.book(&party) else {
				continue;
			};
			let survey = survey(&self.chain, &self.proofs, self.purse.store(), &book, true).await?;
			claims.extend(era::claims(&party, &survey.eras(&book), false));
			seen = Some((survey.facts.now, survey.facts.windows));
		}
		let claims = match seen {
			Some((now, windows)) => era::due(claims, threshold, now, &windows),
			None => claims,
		};
		if claims.is_empty() {
			return Ok(());
		}
		match self.chain.payer().await? {
			Some((_, balance)) if balance >= LEAST_BALANCE => {},
			Some((account, balance)) => {
				warn!(
					"not claimed: the worker account {account} has {} for fees; send it {} or use \
					 `offchain-miner claim`",
					Amount(balance),
					Amount(LEAST_BALANCE)
				);
				return Ok(());
			},
			None => return Ok(()),
		}
		claim::carry_out(&self.chain, claims, &mut |done| match &done.failure {
			None => info!("claimed: {}", done.sentence()),
			Some(reason) => warn!("not claimed: {}: {reason}", done.sentence()),
		})
		.await;
		Ok(())
	}
}

fn tell(party: &Party, era: &era::Era<'_>, state: State) {
	let (coordinator, number) = (&party.coordinator, era.era);
	let earned = Amount(era.entry.amount());
	match state {
		State::Short => error!(
			%coordinator, era = number,
			"the settlement is short: {earned} earned, {} proven{}; {}",
			Amount(era.secured()),
			match era.answer {
				era::Answer::Refused(reason) => format!(" ({reason})"),
				_ => String::new(),
			},
			era.advice()
		),
		State::Unposted | State::Claimable => {
			info!(%coordinator, era = number, "{earned} can be claimed; {}", era.advice());
		},
		State::Claimed => info!(%coordinator, era = number, "{earned} were paid"),
		State::Expired => warn!(
			%coordinator, era = number,
			"{} of {earned} were never claimed and are lost",
			Amount(era.entry.amount().saturating_sub(era.received()))
		),
		State::Open | State::Settled => {},
	}
}
