//! Registering, introducing oneself, own stake, retiring.

use cuckoo_primitives::{Role, CUC};
use frame_support::{assert_noop, assert_ok};
use sp_runtime::{DispatchError, Perbill};

use super::support::*;
use crate::{mock::*, Amount, Error, IntroductionInput, RoleMembers};

/// What a role asks for.
fn minimum_of(role: Role) -> u128 {
	Staking::role_params(role).min_self_stake
}

fn register_with(
	who: u8,
	role: Role,
	stake: u128,
	introduction: IntroductionInput,
) -> sp_runtime::DispatchResult {
	let signature = proof_now(50, who);
	Staking::register(
		signed(who),
		role,
		worker(50),
		signature,
		stake,
		commission(),
		introduction,
	)
}

#[test]
fn an_account_registers_in_each_role() {
	run(|| {
		assert_register(ALICE, Role::Miner, 50, MINER_STAKE);
		assert_register(BOB, Role::Validator, 51, VALIDATOR_STAKE);
		assert_register(CAROL, Role::Coordinator, 52, COORDINATOR_STAKE);
	});
}

#[test]
fn self_stake_must_exceed_the_minimum_and_not_just_reach_it() {
	run(|| {
		for role in Role::ALL {
			let minimum = minimum_of(role);
			assert_noop!(
				register_with(ALICE, role, minimum, introduction()),
				Error::<Test>::SelfStakeTooLow
			);
		}
		assert_register(ALICE, Role::Miner, 50, minimum_of(Role::Miner) + 1);
	});
}

#[test]
fn an_operator_does_not_register_twice() {
	run(|| {
		for role in Role::ALL {
			assert_noop!(
				register_with(MINER, role, COORDINATOR_STAKE, introduction()),
				Error::<Test>::OperatorAlreadyExists
			);
		}
	});
}

#[test]
fn a_stake_that_the_account_cannot_pay_is_refused() {
	run(|| {
		// One unit more than what leaves the existential deposit.
		assert_noop!(
			register_with(ALICE, Role::Miner, ENDOWMENT - DEPOSIT + 1, introduction()),
			Error::<Test>::BalanceTooLow
		);
		assert_register(ALICE, Role::Miner, 50, ENDOWMENT - DEPOSIT);
	});
}

#[test]
fn only_an_account_calls() {
	run(|| {
		let none = RuntimeOrigin::none;
		let bad = DispatchError::BadOrigin;
		let (key, signature) = (worker(50), proof(50, ALICE, 0));
		let miner = account(MINER);
		assert_noop!(
			Staking::register(
				RuntimeOrigin::root(),
				Role::Miner,
				key,
				signature,
				MINER_STAKE,
				Perbill::zero(),
				introduction()
			),
			bad
		);
		assert_noop!(Staking::set_worker(none(), key, signature), bad);
		assert_noop!(Staking::set_introduction(none(), introduction()), bad);
		assert_noop!(Staking::stake_more(none(), CUC), bad);
		assert_noop!(Staking::unstake(none(), Amount::All), bad);
		assert_noop!(Staking::retire(none()), bad);
		assert_noop!(Staking::vote(none(), miner.clone(), CUC), bad);
		assert_noop!(Staking::unvote(none(), miner, Amount::All), bad);
		assert_noop!(Staking::withdraw(none()), bad);
		assert_noop!(Staking::set_commission(none(), Perbill::zero()), bad);
		assert_noop!(Staking::reactivate(none(), key, signature), bad);
		assert_noop!(Staking::rebond(none(), account(MINER), Amount::All), bad);
		let report = two_results(MINER, MINER.into(), 1, 0);
		assert_noop!(Staking::report_equivocation(none(), Box::new(report)), bad);
		assert_noop!(Staking::apply_slashes(none(), 1), bad);
		assert_noop!(Staking::recount(none(), Default::default()), bad);
	});
}

#[test]
fn a_commission_above_one_does_not_decode() {
	use codec::{Decode, Encode};
	assert!(Perbill::decode(&mut &1_000_000_001u32.encode()[..]).is_err());
	assert_eq!(
		Perbill::decode(&mut &1_000_000_000u32.encode()[..]),
		Ok(Perbill::one())
	);
}

#[test]
fn an_introduction_is_replaced() {
	run(|| {
		assert_set_introduction(MINER, introduction());
		assert_set_introduction(MINER, IntroductionInput::default());
	});
}

#[test]
fn an_introduction_has_bounds_to_the_byte() {
	run(|| {
		type Field = fn(&mut IntroductionInput) -> &mut Vec<u8>;
		let fields: [(Field, usize, Error<Test>); 3] = [
			(|input| &mut input.name, 32, Error::MaxNameLenExceeded),
			(
				|input| &mut input.endpoint,
				64,
				Error::MaxEndpointLenExceeded,
			),
			(|input| &mut input.text, 128, Error::MaxTextLenExceeded),
		];
		for (field, bound, error) in fields {
			let mut input = introduction();
			*field(&mut input) = vec![b'x'; bound + 1];
			assert_noop!(
				Staking::set_introduction(signed(MINER), input.clone()),
				error
			);
			*field(&mut input) = vec![b'x'; bound];
			assert_set_introduction(MINER, input);
		}
	});
}

#[test]
fn an_introduction_is_plain_text() {
	run(|| {
		for bad in [
			&b"\xff\xfe"[..],
			b"bell\x07",
			b"\x1b[2J",
			b"two\nlines",
			b"nul\0",
		] {
			let named = IntroductionInput {
				name: bad.to_vec(),
				..introduction()
			};
			let reached = IntroductionInput {
				endpoint: bad.to_vec(),
				..introduction()
			};
			let told = IntroductionInput {
				text: bad.to_vec(),
				..introduction()
			};
			for input in [named, reached, told] {
				assert_noop!(
					Staking::set_introduction(signed(MINER), input.clone()),
					Error::<Test>::IntroductionNotText
				);
				assert_noop!(
					register_with(ALICE, Role::Miner, MINER_STAKE, input),
					Error::<Test>::IntroductionNotText
				);
			}
		}
	});
}

#[test]
fn who_is_no_operator_changes_nothing() {
	run(|| {
		let missing = Error::<Test>::OperatorNotFound;
		let signature = proof(50, ALICE, 0);
		assert_noop!(
			Staking::set_worker(signed(ALICE), worker(50), signature),
			missing
		);
		let missing = Error::<Test>::OperatorNotFound;
		assert_noop!(
			Staking::set_introduction(signed(ALICE), introduction()),
			missing
		);
		let missing = Error::<Test>::OperatorNotFound;
		assert_noop!(Staking::stake_more(signed(ALICE), CUC), missing);
		let missing = Error::<Test>::OperatorNotFound;
		assert_noop!(Staking::unstake(signed(ALICE), Amount::All), missing);
		let missing = Error::<Test>::OperatorNotFound;
		assert_noop!(Staking::retire(signed(ALICE)), missing);
	});
}

#[test]
fn an_operator_stakes_more() {
	run(|| {
		assert_stake_more(MINER, 1);
		assert_stake_more(VALIDATOR, 12_345 * CUC);
		assert_noop!(
			Staking::stake_more(signed(MINER), 0),
			Error::<Test>::AmountTooSmall
		);
		let too_much = free(MINER) - DEPOSIT + 1;
		assert_noop!(
			Staking::stake_more(signed(MINER), too_much),
			Error::<Test>::BalanceTooLow
		);
		let too_large = u128::MAX;
		assert_noop!(
			Staking::stake_more(signed(MINER), too_large),
			Error::<Test>::AmountTooLarge
		);
	});
}

#[test]
fn an_operator_takes_out_what_is_above_the_minimum() {
	run(|| {
		let minimum = minimum_of(Role::Miner);
		let spare = MINER_STAKE - minimum - 1;
		assert_noop!(
			Staking::unstake(signed(MINER), Amount::Value(spare + 1)),
			Error::<Test>::SelfStakeTooLow
		);
		assert_noop!(
			Staking::unstake(signed(MINER), Amount::All),
			Error::<Test>::SelfStakeTooLow
		);
		assert_noop!(
			Staking::unstake(signed(MINER), Amount::Value(0)),
			Error::<Test>::AmountTooSmall
		);
		assert_noop!(
			Staking::unstake(signed(MINER), Amount::Value(MINER_STAKE + 1)),
			Error::<Test>::PositionTooSmall
		);
		assert_unstake(MINER, Amount::Value(spare));
		assert!(Staking::operator(account(MINER)).unwrap().active);
	});
}

#[test]
fn the_voters_stake_does_not_stand_in_for_the_operators() {
	run(|| {
		assert_vote(ALICE, MINER, 1_000_000 * CUC);
		assert_noop!(
			Staking::unstake(signed(MINER), Amount::Value(MINER_STAKE / 2)),
			Error::<Test>::SelfStakeTooLow
		);
	});
}

#[test]
fn a_retired_operator_takes_everything_out_and_only_that() {
	run(|| {
		assert_vote(ALICE, MINER, 50 * CUC);
		assert_retire(MINER);
		let retired = || Error::<Test>::OperatorRetired;
		assert_noop!(Staking::retire(signed(MINER)), retired());
		assert_noop!(Staking::stake_more(signed(MINER), CUC), retired());
		assert_noop!(
			Staking::set_introduction(signed(MINER), introduction()),
			retired()
		);
		assert_noop!(
			Staking::set_worker(signed(MINER), worker(50), proof_now(50, MINER)),
			retired()
		);
		assert_noop!(
			Staking::vote(signed(BOB), account(MINER), MIN_VOTE),
			retired()
		);
		// Not down to dust, but to nothing.
		assert_noop!(
			Staking::unstake(signed(MINER), Amount::Value(MINER_STAKE - MIN_VOTE + 1)),
			Error::<Test>::RemainderTooSmall
		);
		assert_unstake(MINER, Amount::Value(MINER_STAKE - MIN_VOTE));
		assert_unstake(MINER, Amount::All);
		assert_noop!(
			Staking::unstake(signed(MINER), Amount::All),
			Error::<Test>::PositionNotFound
		);
		assert_unvote(ALICE, MINER, Amount::All);
	});
}

#[test]
fn a_retired_operator_registers_again_once_its_pool_is_empty() {
	run(|| {
		assert_vote(ALICE, MINER, 50 * CUC);
		assert_retire(MINER);
		assert_unstake(MINER, Amount::All);
		// A voter that has not left holds a vote for the former role.
		assert_noop!(
			register_with(MINER, Role::Validator, VALIDATOR_STAKE, introduction()),
			Error::<Test>::OperatorAlreadyExists
		);
		assert_unvote(ALICE, MINER, Amount::All);
		assert_register(MINER, Role::Validator, 50, VALIDATOR_STAKE);
		assert!(!RoleMembers::<Test>::contains_key(
			Role::Miner,
			account(MINER)
		));
		assert_eq!(Staking::do_try_state(), Ok(()));
		// What was unbonding before still is.
		pass_eras(UNBONDING_ERAS);
		assert_withdraw(MINER, MINER_STAKE);
	});
}

#[test]
fn an_operator_is_active_again_when_a_slash_is_made_good() {
	run(|| {
		let spare = MINER_STAKE - minimum_of(Role::Miner);
		lower(MINER, spare);
		let operator = Staking::operator(account(MINER)).unwrap();
		assert!(!operator.active && !operator.retired);
		assert_eq!(
			Snapshot::take(MINER, MINER).total(Role::Miner),
			Default::default()
		);
		// It can be voted for, and be topped up.
		assert_ok!(Staking::vote(signed(ALICE), account(MINER), MIN_VOTE));
		assert!(!Staking::operator(account(MINER)).unwrap().active);
		assert_ok!(Staking::stake_more(signed(MINER), CUC));
		assert!(Staking::operator(account(MINER)).unwrap().active);
	});
}
