//! Reads at one block.

use crate::{
	error::Error,
	registry::{BlockRef, Operator},
	runtime::{
		runtime_apis, runtime_types::pallet_cuckoo_staking_runtime_api::OperatorInfo, storage,
	},
	source::{ChainAt, Changes},
};
use cuckoo_primitives::{AccountId, Balance, EraIndex, Role, H256};
use std::collections::BTreeSet;
use subxt::{
	config::SubstrateConfig, events::Events, ext::scale_decode::DecodeAsType, utils::Static,
	OnlineClientAtBlock,
};
use tracing::info;

pub(crate) type AtBlock = OnlineClientAtBlock<SubstrateConfig>;

/// Entries that are asked for in one call; the runtime's own limit.
const PAGE: u32 = 1_000;

/// More positions than any account has: a node that goes on and on is not believed.
const MAX_POSITIONS: usize = 1_000_000;

/// What a voter has on one operator.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Position {
	/// The operator.
	pub operator: AccountId,
	/// What the position is worth.
	pub value: Balance,
}

/// Stake on its way out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unbonding {
	/// The operator it was staked on.
	pub operator: AccountId,
	/// What it is worth.
	pub value: Balance,
	/// The era in which it began to leave.
	pub since_era: EraIndex,
	/// The first era in which it can be withdrawn.
	pub withdrawable_era: EraIndex,
}

/// What the whole of staking holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StakingInfo {
	/// The era now.
	pub era: EraIndex,
	/// Eras until unbonding stake can be withdrawn.
	pub unbonding_eras: EraIndex,
	/// Eras in which an offence can be proven after it happened.
	pub evidence_eras: EraIndex,
	/// Eras that a slash waits.
	pub slash_defer_eras: EraIndex,
	/// The smallest vote.
	pub min_vote: Balance,
}

/// The chain's state at one block.
pub(crate) struct Snapshot {
	at: AtBlock,
	/// Whether the runtime is new at this block: then events do not tell what its migrations changed.
	upgraded: bool,
}

impl Snapshot {
	pub(crate) fn new(at: AtBlock, upgraded: bool) -> Self {
		Self { at, upgraded }
	}

	pub(crate) async fn balance(&self, account: &AccountId) -> Result<Balance, Error> {
		const WHAT: &str = "an account's balance";
		let key = (Static(account.clone()),);
		let entry = self
			.at
			.storage()
			.fetch(storage().system().account(), key)
			.await;
		let info = entry.map_err(cannot_read(WHAT))?;
		Ok(info.decode().map_err(cannot_read(WHAT))?.data.free)
	}

	pub(crate) async fn worker_nonce(&self, operator: &AccountId) -> Result<u32, Error> {
		let call = runtime_apis()
			.staking_api()
			.worker_nonce(operator.clone().into());
		self.at
			.runtime_apis()
			.call(call)
			.await
			.map_err(cannot_read("a worker nonce"))
	}

	pub(crate) async fn position(
		&self,
		voter: &AccountId,
		operator: &AccountId,
	) -> Result<Option<Balance>, Error> {
		let api = runtime_apis().staking_api();
		let call = api.position(voter.clone().into(), operator.clone().into());
		let found = self
			.at
			.runtime_apis()
			.call(call)
			.await
			.map_err(cannot_read("a position"))?;
		Ok(found.map(|position| position.value))
	}

	pub(crate) async fn positions(&self, voter: &AccountId) -> Result<Vec<Position>, Error> {
		let mut positions: Vec<Position> = Vec::new();
		let mut seen = BTreeSet::new();
		loop {
			let after = positions
				.last()
				.map(|position| Static(position.operator.clone()));
			let call = runtime_apis()
				.staking_api()
				.positions(voter.clone().into(), after, PAGE);
			let page = self
				.at
				.runtime_apis()
				.call(call)
				.await
				.map_err(cannot_read("positions"))?;
			if page.is_empty() {
				return Ok(positions);
			}
			for position in page {
				let operator = position.operator.0;
				if !seen.insert(operator.clone()) || seen.len() > MAX_POSITIONS {
					return Err(Error::Nonsense(format!(
						"the positions of {voter} do not end"
					)));
				}
				positions.push(Position {
					operator,
					value: position.value,
				});
			}
		}
	}

	pub(crate) async fn unbonding(&self, voter: &AccountId) -> Result<Vec<Unbonding>, Error> {
		let call = runtime_apis().staking_api().unbonding(voter.clone().into());
		let found = self
			.at
			.runtime_apis()
			.call(call)
			.await
			.map_err(cannot_read("unbonding"))?;
		let chunks = found.into_iter().map(|chunk| Unbonding {
			operator: chunk.operator.0,
			value: chunk.value,
			since_era: chunk.since_era,
			withdrawable_era: chunk.withdrawable_era,
		});
		Ok(chunks.collect())
	}

	pub(crate) async fn staking_info(&self) -> Result<StakingInfo, Error> {
		let call = runtime_apis().staking_api().info();
		let info = self
			.at
			.runtime_apis()
			.call(call)
			.await
			.map_err(cannot_read("staking"))?;
		Ok(StakingInfo {
			era: info.era,
			unbonding_eras: info.unbonding_eras,
			evidence_eras: info.evidence_eras,
			slash_defer_eras: info.slash_defer_eras,
			min_vote: info.min_vote,
		})
	}

	pub(crate) async fn validators(&self) -> Result<Vec<AccountId>, Error> {
		const WHAT: &str = "the validators";
		let entry = self
			.at
			.storage()
			.fetch(storage().session().validators(), ())
			.await;
		let validators = entry.map_err(cannot_read(WHAT))?;
		let validators = validators.decode().map_err(cannot_read(WHAT))?;
		Ok(validators.into_iter().map(|account| account.0).collect())
	}

	/// This block.
	pub(crate) fn block(&self) -> Result<BlockRef, Error> {
		block_ref(self.at.block_number(), self.at.block_hash())
	}
}

impl ChainAt for Snapshot {
	async fn randomness(&self) -> Result<H256, Error> {
		const WHAT: &str = "the chain's randomness";
		let entry = self
			.at
			.storage()
			.fetch(storage().babe().randomness(), ())
			.await;
		let value = entry.map_err(cannot_read(WHAT))?;
		Ok(H256(value.decode().map_err(cannot_read(WHAT))?))
	}

	async fn era(&self) -> Result<EraIndex, Error> {
		Ok(self.staking_info().await?.era)
	}

	async fn min_self_stake(&self, role: Role) -> Result<Balance, Error> {
		let call = runtime_apis().staking_api().role_params(role.into());
		let found = self.at.runtime_apis().call(call).await;
		Ok(found
			.map_err(cannot_read("a role's parameters"))?
			.min_self_stake)
	}

	async fn operators_page(
		&self,
		role: Role,
		after: Option<AccountId>,
	) -> Result<Vec<Operator>, Error> {
		let call = runtime_apis()
			.staking_api()
			.operators(role.into(), after.map(Static), PAGE);
		let page = self
			.at
			.runtime_apis()
			.call(call)
			.await
			.map_err(cannot_read("operators"))?;
		Ok(page.into_iter().map(operator).collect())
	}

	async fn operator(&self, account: AccountId) -> Result<Option<Operator>, Error> {
		let call = runtime_apis().staking_api().operator(account.into());
		let found = self
			.at
			.runtime_apis()
			.call(call)
			.await
			.map_err(cannot_read("an operator"))?;
		Ok(found.map(operator))
	}

	async fn changes(&self) -> Result<Changes, Error> {
		if self.upgraded {
			return Ok(Changes::Anything);
		}
		let events = self
			.at
			.events()
			.fetch()
			.await
			.map_err(cannot_read("a block's events"))?;
		changes_in(&events)
	}
}

/// The one field that matters of an event that changes an operator.
#[derive(DecodeAsType)]
#[decode_as_type(crate_path = "subxt::ext::scale_decode")]
struct Changed {
	operator: Static<AccountId>,
}

/// The staking pallet's events that change no operator.
const UNRELATED_EVENTS: [&str; 4] = [
	"Withdrawn",
	"ValidatorsPaid",
	"ValidatorsElected",
	"ValidatorParamsSet",
];

/// Those after which any operator may read otherwise: announced commissions come into force, a role
/// asks for another stake.
const SWEEPING_EVENTS: [&str; 2] = ["EraStarted", "RoleParamsSet"];

/// What the events of a block tell of changes to operators. An event that neither names an operator
/// nor is known not to matter may mean anything.
fn changes_in(events: &Events<SubstrateConfig>) -> Result<Changes, Error> {
	let mut operators = BTreeSet::new();
	for event in events.iter() {
		let event = event.map_err(cannot_read("a block's events"))?;
		if event.pallet_name() != "Staking" || UNRELATED_EVENTS.contains(&event.event_name()) {
			continue;
		}
		if SWEEPING_EVENTS.contains(&event.event_name()) {
			return Ok(Changes::Anything);
		}
		match event.decode_fields_unchecked_as::<Changed>() {
			Ok(changed) => operators.insert(changed.operator.0),
			Err(_) => {
				info!(
					event = event.event_name(),
					"staking event that may change anything; reading all"
				);
				return Ok(Changes::Anything);
			},
		};
	}
	Ok(Changes::Operators(operators))
}

fn operator(info: OperatorInfo<Static<AccountId>, Balance>) -> Operator {
	let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
	Operator {
		account: info.account.0,
		role: info.role.0,
		worker: info.worker.map(Into::into),
		commission_ppb: info.commission.0,
		next_commission: info.next_commission.map(|(rate, era)| (rate.0, era)),
		name: text(info.name),
		endpoint: text(info.endpoint),
		text: text(info.text),
		self_stake: info.self_stake,
		total_stake: info.total_stake,
		streaming: info.streaming,
		active: info.active,
		retired: info.retired,
		suspended: info.suspended,
	}
}

/// A block as this crate names it.
pub(crate) fn block_ref(number: u64, hash: H256) -> Result<BlockRef, Error> {
	let number = number.try_into().map_err(|_| {
		Error::Nonsense(format!("block number {number} is larger than the chain's"))
	})?;
	Ok(BlockRef { number, hash })
}

pub(crate) fn cannot_read<E: std::fmt::Display>(what: &'static str) -> impl Fn(E) -> Error {
	move |error| Error::Read {
		what,
		reason: error.to_string(),
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use crate::runtime::tests::{changed, own};
	use scale_info::TypeDef;
	use subxt::ext::codec::{Compact, Encode};

	/// Bytes of an event of the staking pallet outside of any transaction.
	fn event(name: &str, fields: impl Encode) -> Vec<u8> {
		const PHASE_INITIALIZATION: u8 = 2;
		let at = own();
		let pallet = at.metadata_ref().pallet_by_name("Staking").unwrap();
		let variants = pallet.event_variants().unwrap();
		let variant = variants
			.iter()
			.find(|variant| variant.name == name)
			.unwrap();
		let no_topics = Vec::<H256>::new();
		(
			PHASE_INITIALIZATION,
			pallet.event_index(),
			variant.index,
			fields,
			no_topics,
		)
			.encode()
	}

	fn changes(events: &[Vec<u8>]) -> Result<Changes, Error> {
		let mut bytes = Compact(events.len() as u32).encode();
		bytes.extend(events.concat());
		changes_in(&own().events().from_bytes(bytes))
	}

	fn account(byte: u8) -> AccountId {
		AccountId::new([byte; 32])
	}

	#[test]
	fn events_name_the_operators_they_change() {
		let voted = event("Voted", (account(1), account(2), 5u128, 5u128, 9u128));
		let deactivated = event("OperatorDeactivated", (account(3), Role::Miner));
		let withdrawn = event("Withdrawn", (account(4), 5u128));
		assert_eq!(
			changes(&[voted.clone(), withdrawn.clone(), deactivated, voted]).unwrap(),
			Changes::Operators(BTreeSet::from([account(2), account(3)])),
		);
		assert_eq!(changes(&[withdrawn]).unwrap(), Changes::none());
		assert_eq!(changes(&[]).unwrap(), Changes::none());
		let era = event("EraStarted", (3u32, 18u32));
		assert_eq!(changes(&[era]).unwrap(), Changes::Anything);
	}

	#[test]
	fn bytes_that_are_no_event_are_an_error() {
		assert!(changes(&[vec![2, 255, 255, 0]]).is_err());
		let mut cut = event("Voted", (account(1), account(2), 5u128, 5u128, 9u128));
		cut.truncate(40);
		assert!(changes(&[cut]).is_err());
	}

	/// The follower knows what every event means that the pallet has now.
	#[test]
	fn every_event_names_its_operator_or_changes_none() {
		let at = own();
		let pallet = at.metadata_ref().pallet_by_name("Staking").unwrap();
		for variant in pallet.event_variants().unwrap() {
			let named = variant
				.fields
				.iter()
				.any(|field| field.name.as_deref() == Some("operator"));
			assert!(
				named
					|| UNRELATED_EVENTS.contains(&variant.name.as_str())
					|| SWEEPING_EVENTS.contains(&variant.name.as_str()),
				"{}",
				variant.name
			);
		}
	}

	#[test]
	fn an_event_of_a_later_runtime_may_mean_anything() {
		let withdrawn = event("Withdrawn", (account(4), 5u128));
		let later = changed(|metadata| {
			let mut pallets = metadata.pallets.iter();
			let events = pallets
				.find(|pallet| pallet.name == "Staking")
				.unwrap()
				.event
				.clone();
			let ty = &mut metadata.types.types[events.unwrap().ty.id as usize].ty;
			let TypeDef::Variant(events) = &mut ty.type_def else {
				panic!("events are an enum")
			};
			let event = events
				.variants
				.iter_mut()
				.find(|event| event.name == "Withdrawn");
			event.unwrap().name = "Reorganized".into();
		});
		let bytes = [Compact(1u32).encode(), withdrawn].concat();
		let events = later.events().from_bytes(bytes);
		assert_eq!(changes_in(&events).unwrap(), Changes::Anything);
	}
}
