//! What a chain begins with.

use cuckoo_primitives::{Role, CUC};
use frame_support::traits::BuildGenesisConfig;
use sp_runtime::Perbill;

use super::support::Snapshot;
use crate::{
	mock::*, GenesisConfig, GenesisOperator, GenesisVote, Held, RoleParameters,
	ValidatorParameters, ValidatorParams,
};

fn vote(voter: u8, operator: u8, amount: u128) -> GenesisVote {
	GenesisVote {
		voter: account(voter),
		operator: account(operator),
		amount,
	}
}

#[test]
fn operators_and_votes_are_there_and_paid_for() {
	let operators = vec![
		genesis_operator(MINER, Role::Miner, MINER_STAKE),
		genesis_operator(VALIDATOR, Role::Validator, VALIDATOR_STAKE),
	];
	let votes = vec![vote(ALICE, MINER, 500 * CUC), vote(BOB, MINER, MIN_VOTE)];
	genesis(operators, votes).execute_with(|| {
		assert_eq!(Staking::do_try_state(), Ok(()));
		let miner = Staking::operator(account(MINER)).unwrap();
		assert_eq!(miner.name, b"operator 1");
		assert_eq!(miner.worker, Some(worker(MINER.into())));
		assert_eq!(miner.self_stake, MINER_STAKE);
		assert_eq!(miner.total_stake, MINER_STAKE + 500 * CUC + MIN_VOTE);
		assert!(miner.active);
		assert_eq!(free(MINER), ENDOWMENT - MINER_STAKE);
		assert_eq!(free(ALICE), ENDOWMENT - 500 * CUC);
		assert_eq!(free(BOB), ENDOWMENT - MIN_VOTE);
		let state = Snapshot::take(ALICE, MINER);
		assert_eq!(state.total(Role::Miner).operators, 1);
		assert_eq!(state.total(Role::Validator).stake, VALIDATOR_STAKE);
		assert_eq!(state.total(Role::Coordinator), Default::default());
		// The binding of genesis is counted: the next proof is for nonce 1.
		assert_eq!(Staking::worker_nonce(account(MINER)), 1);
	});
}

#[test]
fn every_role_has_its_parameters() {
	run(|| {
		for (role, percent) in [
			(Role::Validator, 1),
			(Role::Coordinator, 10),
			(Role::Miner, 10),
		] {
			let params = RoleParameters::<Test>::get(role).unwrap();
			assert_eq!(params.min_self_stake, role.default_min_self_stake());
			assert_eq!(params.offence_fraction, Perbill::from_percent(percent));
		}
		assert_eq!(
			ValidatorParameters::<Test>::get(),
			ValidatorParams {
				seats: 100,
				floor: 1,
				yearly_inflation: Perbill::from_parts(25_000_000),
			}
		);
	});
}

#[test]
#[should_panic(expected = "genesis validator parameters")]
fn parameters_of_validators_that_cannot_be_used_stop_the_genesis() {
	let config = GenesisConfig::<Test> {
		validators: ValidatorParams {
			seats: 0,
			..Default::default()
		},
		..Default::default()
	};
	sp_io::TestExternalities::default().execute_with(|| config.build());
}

#[test]
fn the_pot_has_its_deposit_beside_what_it_owes() {
	genesis(Vec::new(), Vec::new()).execute_with(|| {
		assert_eq!(Balances::free_balance(Staking::pot()), DEPOSIT);
		assert_eq!(Held::<Test>::get(), 0);
		assert_eq!(Staking::do_try_state(), Ok(()));
	});
	run(|| {
		let pot = Balances::free_balance(Staking::pot());
		assert_eq!(
			pot,
			DEPOSIT + MINER_STAKE + VALIDATOR_STAKE + COORDINATOR_STAKE
		);
	});
}

#[test]
#[should_panic(expected = "SelfStakeTooLow")]
fn an_operator_with_too_little_stops_the_genesis() {
	let minimum = Role::Miner.default_min_self_stake();
	genesis(
		vec![genesis_operator(MINER, Role::Miner, minimum)],
		Vec::new(),
	);
}

#[test]
#[should_panic(expected = "the commission is more than everything")]
fn a_commission_above_one_stops_the_genesis() {
	let commission = serde_json::from_value(serde_json::json!(1_000_000_001)).unwrap();
	let operator = genesis_operator(MINER, Role::Miner, MINER_STAKE);
	genesis(
		vec![GenesisOperator {
			commission,
			..operator
		}],
		Vec::new(),
	);
}

#[test]
#[should_panic(expected = "OperatorAlreadyExists")]
fn an_operator_that_is_there_twice_stops_the_genesis() {
	let operator = genesis_operator(MINER, Role::Miner, MINER_STAKE);
	genesis(vec![operator.clone(), operator], Vec::new());
}

#[test]
#[should_panic(expected = "WorkerAlreadyExists")]
fn a_worker_of_two_operators_stops_the_genesis() {
	let first = genesis_operator(MINER, Role::Miner, MINER_STAKE);
	let second = GenesisOperator {
		account: account(ALICE),
		..first.clone()
	};
	genesis(vec![first, second], Vec::new());
}

#[test]
#[should_panic(expected = "BalanceTooLow")]
fn a_stake_that_is_not_there_stops_the_genesis() {
	genesis(
		vec![genesis_operator(99, Role::Miner, MINER_STAKE)],
		Vec::new(),
	);
}

#[test]
#[should_panic(expected = "OperatorNotFound")]
fn a_vote_for_nobody_stops_the_genesis() {
	genesis(Vec::new(), vec![vote(ALICE, MINER, MIN_VOTE)]);
}

#[test]
fn the_names_in_json_are_camel_case_and_roles_are_words() {
	let config = GenesisConfig::<Test> {
		operators: vec![genesis_operator(
			MINER,
			Role::Coordinator,
			COORDINATOR_STAKE,
		)],
		votes: vec![vote(ALICE, MINER, MIN_VOTE)],
		..Default::default()
	};
	let json = serde_json::to_value(&config).unwrap();
	assert_eq!(json["operators"][0]["role"], "coordinator");
	assert_eq!(json["operators"][0]["commission"], 50_000_000);
	assert_eq!(json["operators"][0]["stake"], 3_000_000_000_000_000_000u64);
	assert_eq!(json["votes"][0]["amount"], 10_000_000_000_000u64);
	let back: GenesisConfig<Test> = serde_json::from_value(json).unwrap();
	assert_eq!(back.operators, config.operators);
	assert_eq!(back.votes, config.votes);
	let unknown = serde_json::json!({ "operators": [], "votes": [], "extra": 1 });
	assert!(serde_json::from_value::<GenesisConfig<Test>>(unknown).is_err());
}
