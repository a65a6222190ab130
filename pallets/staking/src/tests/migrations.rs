//! A state of version 1, written by hand, becomes one of version 2.

use codec::Encode;
use cuckoo_primitives::{EraIndex, Role, CUC};
use frame_support::{
	assert_ok,
	storage::unhashed,
	traits::{GetStorageVersion, OnRuntimeUpgrade, StorageVersion},
	weights::Weight,
};
use sp_runtime::Perbill;

use super::support::*;
use crate::{
	default_role_params,
	migrations::{v2::v1, V1ToV2},
	mock::*,
	Amount, Commission, CurrentEra, EraStartedAt, Operator, Operators, RecentEras, RoleParameters,
	Streams, ValidatorParameters, ValidatorParams,
};

/// Where the present era began in the state of version 1.
const SESSION: u32 = 3 * 7;
const ERA: EraIndex = 7;

/// An operator's record as version 1 wrote it.
fn v1_record(record: &Operator) -> v1::Operator {
	v1::Operator {
		role: record.role,
		worker: record.worker,
		commission: record.commission.rate,
		retired: record.retired,
		counted: record.counted,
	}
}

/// Makes a state with votes, unbonding stake, a changed worker, and a retired operator; and then
/// writes what version 1 had in another shape. Returns the records as they were in version 2.
fn version_1() -> Vec<(cuckoo_primitives::AccountId, Operator)> {
	assert_vote(ALICE, MINER, 100 * CUC);
	assert_vote(BOB, VALIDATOR, 100 * CUC);
	assert_unvote(ALICE, MINER, Amount::Value(20 * CUC));
	assert_set_worker(MINER, 50);
	assert_register(CAROL, Role::Coordinator, 51, COORDINATOR_STAKE);
	assert_retire(CAROL);
	let records: Vec<_> = Operators::<Test>::iter().collect();
	for (operator, record) in &records {
		let key = Operators::<Test>::hashed_key_for(operator);
		unhashed::put(&key, &v1_record(record));
	}
	for role in Role::ALL {
		RoleParameters::<Test>::remove(role);
		// Governance of version 1 had its own idea of a minimum.
		let rules = v1::RoleRules {
			min_self_stake: role.default_min_self_stake() + 1,
		};
		v1::Rules::<Test>::insert(role, rules);
	}
	ValidatorParameters::<Test>::kill();
	RecentEras::<Test>::kill();
	v1::EraStart::<Test>::put(SESSION);
	CurrentEra::<Test>::put(ERA);
	StorageVersion::new(1).put::<Staking>();
	records
}

fn on_chain_version() -> StorageVersion {
	<Staking as GetStorageVersion>::on_chain_storage_version()
}

fn upgrade() -> Weight {
	<V1ToV2<Test> as OnRuntimeUpgrade>::on_runtime_upgrade()
}

#[test]
fn the_layouts_of_version_1_are_those_that_its_chain_has() {
	// The bytes are what counts: field by field, as version 1 encoded them.
	let record = v1::Operator {
		role: Role::Coordinator,
		worker: Some(worker(50)),
		commission: Perbill::from_percent(5),
		retired: None,
		counted: Some(COORDINATOR_STAKE),
	};
	let mut bytes = Role::Coordinator.encode();
	bytes.push(1);
	bytes.extend(worker(50).0);
	bytes.extend(50_000_000u32.to_le_bytes());
	bytes.push(0);
	bytes.push(1);
	bytes.extend(COORDINATOR_STAKE.to_le_bytes());
	assert_eq!(record.encode(), bytes);
	let prefix = |item: &str| {
		[
			sp_io::hashing::twox_128(b"Staking"),
			sp_io::hashing::twox_128(item.as_bytes()),
		]
		.concat()
	};
	run(|| {
		assert_eq!(
			v1::EraStart::<Test>::hashed_key().to_vec(),
			prefix("EraStart")
		);
		let key = v1::Rules::<Test>::hashed_key_for(Role::Miner);
		assert!(key.starts_with(&prefix("Rules")));
	});
}

#[test]
fn a_state_of_version_1_is_taken_over_whole() {
	run(|| {
		let before = version_1();
		assert_eq!(on_chain_version(), 1);
		assert!(Staking::do_try_state().is_err());
		let weight = upgrade();
		assert!(weight.ref_time() > 0);
		assert_eq!(on_chain_version(), 2);
		assert_eq!(Staking::do_try_state(), Ok(()));

		for role in Role::ALL {
			let defaults = default_role_params(role);
			let params = RoleParameters::<Test>::get(role).unwrap();
			assert_eq!(params.min_self_stake, defaults.min_self_stake + 1);
			assert_eq!(params.offence_fraction, defaults.offence_fraction);
			assert!(!v1::Rules::<Test>::contains_key(role));
		}
		assert!(!v1::EraStart::<Test>::exists());
		assert_eq!(
			ValidatorParameters::<Test>::get(),
			ValidatorParams::default()
		);
		assert_eq!(
			RecentEras::<Test>::get().into_inner(),
			[EraStartedAt {
				era: ERA,
				session: SESSION,
				block: 0
			}]
		);
		assert_eq!(CurrentEra::<Test>::get(), ERA);
		let after: Vec<_> = Operators::<Test>::iter().collect();
		assert_eq!(after.len(), before.len());
		for ((account, record), (account_before, before)) in after.into_iter().zip(before) {
			assert_eq!(account, account_before);
			let minimum = before.role.default_min_self_stake() + 1;
			assert_eq!(record, Operator { minimum, ..before });
			assert_eq!(record.commission, Commission::new(commission()));
		}
		assert_eq!(Streams::<Test>::iter().count(), 0);
	});
}

#[test]
fn a_second_run_does_nothing() {
	run(|| {
		version_1();
		upgrade();
		// A state of today, with what only version 2 has.
		assert_ok!(Staking::set_commission(signed(MINER), Perbill::zero()));
		assert_eq!(pay(MINER, 100 * CUC), Ok(()));
		let params = ValidatorParams {
			seats: 7,
			..Default::default()
		};
		assert_ok!(Staking::set_validator_params(RuntimeOrigin::root(), params));
		let root = || sp_io::storage::root(sp_runtime::StateVersion::V1);
		let before = root();
		upgrade();
		assert_eq!(root(), before);
		assert_eq!(on_chain_version(), 2);
	});
}

#[test]
fn a_new_chain_has_nothing_to_migrate() {
	run(|| {
		assert_eq!(on_chain_version(), 2);
		let root = || sp_io::storage::root(sp_runtime::StateVersion::V1);
		let before = root();
		upgrade();
		assert_eq!(root(), before);
	});
}

#[test]
fn a_state_without_rules_gets_the_default_ones() {
	run(|| {
		version_1();
		for role in Role::ALL {
			v1::Rules::<Test>::remove(role);
		}
		upgrade();
		for role in Role::ALL {
			assert_eq!(
				RoleParameters::<Test>::get(role),
				Some(default_role_params(role))
			);
		}
	});
}

#[test]
fn the_chain_goes_on_after_the_upgrade() {
	run(|| {
		version_1();
		upgrade();
		// What was signed before the upgrade, in the era that lasts, can be proven.
		assert_report(BOB, MINER, two_results(MINER, 50, 1, 0), ERA);
		assert_report(
			BOB,
			VALIDATOR,
			two_results(VALIDATOR, VALIDATOR.into(), block(), 0),
			ERA,
		);
		pass_eras(1);
		assert_eq!(CurrentEra::<Test>::get(), ERA + 1);
		assert_eq!(
			RecentEras::<Test>::get().last().unwrap().session,
			SESSION + SESSIONS_PER_ERA
		);
		assert_ok!(Staking::apply_slashes(signed(BOB), 2));
		assert_withdraw(ALICE, 20 * CUC);
	});
}
