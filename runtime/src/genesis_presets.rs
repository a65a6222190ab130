//! Genesis states of the development and the local network.
//!
//! Both begin with a market that works: a coordinator, three miners with different stakes, voters, and
//! one or three validators, all from keys that everybody can derive. Nothing here is for a network
//! with value on it.

use crate::{
	AccountId, BabeConfig, Balance, BalancesConfig, RuntimeGenesisConfig, SessionConfig,
	SessionKeys, StakingConfig, SudoConfig, BABE_GENESIS_EPOCH_CONFIG,
};
use alloc::{collections::BTreeMap, format, string::ToString, vec, vec::Vec};
use cuckoo_primitives::{Role, WorkerId, CUC};
use frame_support::build_struct_json_patch;
use pallet_cuckoo_staking::{GenesisOperator, GenesisVote, ValidatorParams};
use serde_json::Value;
use sp_consensus_babe::AuthorityId as BabeId;
use sp_consensus_grandpa::AuthorityId as GrandpaId;
use sp_core::{crypto::get_public_from_string_or_panic, sr25519};
use sp_genesis_builder::{PresetId, DEV_RUNTIME_PRESET};
use sp_runtime::Perbill;

/// The preset of the local network: three validators.
pub const LOCAL_PRESET: &str = "local";

/// Where the coordinator of a demo listens.
const COORDINATOR_ENDPOINT: &str = "http://127.0.0.1:8645";

/// What everybody can spend beside their stakes.
const FREE: Balance = 1_000_000 * CUC;

const VALIDATOR_STAKE: Balance = 150_000 * CUC;
const COORDINATOR_STAKE: Balance = 2_500_000 * CUC;

/// A miner earns for its voters, too: it keeps this part first.
const COMMISSION: Perbill = Perbill::from_percent(10);

/// Accounts with funds and nothing else, for tries by hand. Those of them that are validators are
/// operators as well.
const WELL_KNOWN: [&str; 6] = ["Alice", "Bob", "Charlie", "Dave", "Eve", "Ferdie"];

/// The miners' keys and self-stakes.
const MINERS: [(&str, Balance); 3] = [
	("Miner//1", 30_000 * CUC),
	("Miner//2", 60_000 * CUC),
	("Miner//3", 90_000 * CUC),
];

const COORDINATOR: &str = "Coordinator//1";

/// Votes as (voter, operator, amount). With them the pools of the miners are 40,000, 100,000 and
/// 100,000 CUC: of two pools of the same size one has most of it from voters.
const VOTES: [(&str, &str, Balance); 4] = [
	("Voter//1", "Miner//1", 10_000 * CUC),
	("Voter//2", "Miner//2", 40_000 * CUC),
	("Voter//3", "Miner//3", 10_000 * CUC),
	("Voter//3", COORDINATOR, 100_000 * CUC),
];

/// The preset with this name as a JSON patch of the default genesis.
pub fn get_preset(id: &PresetId) -> Option<Vec<u8>> {
	let patch = match id.as_str() {
		DEV_RUNTIME_PRESET => genesis(&["Alice"]),
		LOCAL_PRESET => genesis(&["Alice", "Bob", "Charlie"]),
		_ => return None,
	};
	Some(patch.to_string().into_bytes())
}

/// The names of all presets.
pub fn preset_names() -> Vec<PresetId> {
	vec![DEV_RUNTIME_PRESET.to_string(), LOCAL_PRESET.to_string()]
}

/// The account of the key `//{path}`.
fn account(path: &str) -> AccountId {
	let public: sr25519::Public = get_public_from_string_or_panic::<sr25519::Public>(path);
	AccountId::new(public.0)
}

/// The worker of the operator `//{path}`: `//{path}//worker`.
fn worker(path: &str) -> WorkerId {
	get_public_from_string_or_panic::<sr25519::Public>(&format!("{path}//worker"))
}

/// The session keys that a node started with `--alice`, `--bob`, … finds in its keystore.
fn session_keys(path: &str) -> SessionKeys {
	SessionKeys {
		babe: get_public_from_string_or_panic::<BabeId>(path),
		grandpa: get_public_from_string_or_panic::<GrandpaId>(path),
	}
}

struct Introduction<'a> {
	name: &'a str,
	endpoint: &'a str,
	text: &'a str,
}

fn operator(path: &str, role: Role, stake: Balance, introduction: Introduction) -> GenesisOperator {
	GenesisOperator {
		account: account(path),
		role,
		worker: worker(path),
		stake,
		commission: COMMISSION,
		name: introduction.name.into(),
		endpoint: introduction.endpoint.into(),
		text: introduction.text.into(),
	}
}

fn operators(validators: &[&str]) -> Vec<GenesisOperator> {
	let validators = validators.iter().map(|path| {
		let name = format!("cuckoo-dev-validator-{}", path.to_lowercase());
		let text = "A validator of the development network.";
		let introduction = Introduction {
			name: &name,
			endpoint: "",
			text,
		};
		operator(path, Role::Validator, VALIDATOR_STAKE, introduction)
	});
	let coordinator = operator(
		COORDINATOR,
		Role::Coordinator,
		COORDINATOR_STAKE,
		Introduction {
			name: "cuckoo-dev-coordinator",
			endpoint: COORDINATOR_ENDPOINT,
			text: "The coordinator of the development network.",
		},
	);
	let miners = (1..).zip(MINERS).map(|(number, (path, stake))| {
		let name = format!("cuckoo-dev-miner-{number}");
		let text = "A miner of the development network.";
		operator(
			path,
			Role::Miner,
			stake,
			Introduction {
				name: &name,
				endpoint: "",
				text,
			},
		)
	});
	validators.chain([coordinator]).chain(miners).collect()
}

fn votes() -> Vec<GenesisVote> {
	VOTES
		.iter()
		.map(|(voter, operator, amount)| GenesisVote {
			voter: account(voter),
			operator: account(operator),
			amount: *amount,
		})
		.collect()
}

/// Every account's funds: what it stakes and votes with, and [`FREE`] beside it. The stakes are moved
/// into staking's pot when genesis is built.
fn balances(operators: &[GenesisOperator], votes: &[GenesisVote]) -> Vec<(AccountId, Balance)> {
	let mut balances = BTreeMap::new();
	for path in WELL_KNOWN {
		balances.insert(account(path), FREE);
	}
	let stakes = operators
		.iter()
		.map(|operator| (&operator.account, operator.stake));
	let votes = votes.iter().map(|vote| (&vote.voter, vote.amount));
	for (account, amount) in stakes.chain(votes) {
		*balances.entry(account.clone()).or_insert(FREE) += amount;
	}
	balances.into_iter().collect()
}

fn genesis(validators: &[&str]) -> Value {
	let operators = operators(validators);
	let votes = votes();
	let balances = balances(&operators, &votes);
	let keys = validators
		.iter()
		.map(|path| (account(path), account(path), session_keys(path)))
		.collect::<Vec<_>>();
	build_struct_json_patch!(RuntimeGenesisConfig {
		balances: BalancesConfig { balances },
		babe: BabeConfig {
			epoch_config: BABE_GENESIS_EPOCH_CONFIG
		},
		staking: StakingConfig {
			operators,
			votes,
			validators: ValidatorParams::default(),
		},
		session: SessionConfig { keys },
		sudo: SudoConfig {
			key: Some(account("Alice"))
		},
	})
}
