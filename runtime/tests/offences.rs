//! Equivocations are proven by a report, suspend and disable the validator, and cost it stake after the
//! time in which governance can cancel the slash.

mod common;

use codec::{Decode, Encode};
use common::{
	account, babe_equivocation, babe_pair, block, block_after, next_session, register_validator,
	sessions, set_new_keys, signed, staking_events, state_of,
};
use cuckoo_primitives::{Balance, Role, CUC, H256};
use cuckoo_runtime::{
	constants::{REPORTABLE_SESSIONS, SESSIONS_PER_ERA, SLASH_DEFER_ERAS, SLOTS_PER_SESSION},
	Babe, Balances, Grandpa, Header, Historical, Runtime, RuntimeEvent, RuntimeOrigin, Session,
	Staking, System,
};
use frame_support::{
	assert_ok,
	storage::{with_transaction, TransactionOutcome},
	traits::KeyOwnerProofSystem,
};
use pallet_cuckoo_staking::{Event, ValidatorParams};
use sp_consensus_babe::Slot;
use sp_core::Pair;
use sp_io::TestExternalities;
use sp_runtime::{DispatchError, DispatchResult, Perbill};
use sp_session::MembershipProof;

const VOTE: Balance = 50_000 * CUC;

/// Four validators, so that one may be disabled: the preset's with a vote for Alice, and Dave, who has
/// the most stake. Nothing is paid for blocks, so that only slashes change the supply.
fn network() -> TestExternalities {
	let mut state = state_of("local");
	state.execute_with(|| {
		block(|| {
			set_seats(4);
			register_validator("//Dave", 400_000 * CUC);
			set_new_keys("//Dave");
			assert_ok!(Staking::vote(
				signed("//Voter//1"),
				account("//Alice"),
				VOTE
			));
		});
		sessions(3);
		assert_eq!(Session::validators().len(), 4);
		assert_eq!(index_of("//Dave"), 0);
	});
	state
}

/// So many seats, and no pay.
fn set_seats(seats: u32) {
	let params = ValidatorParams {
		seats,
		yearly_inflation: Perbill::zero(),
		..ValidatorParams::default()
	};
	assert_ok!(Staking::set_validator_params(RuntimeOrigin::root(), params));
}

fn index_of(uri: &str) -> u32 {
	let validators = Session::validators();
	let index = validators
		.iter()
		.position(|validator| *validator == account(uri));
	index.expect("it is a validator") as u32
}

/// Two blocks of Alice for the present slot, and the proof that her key belongs to the present session.
struct Offence {
	slot: Slot,
	key_owner: MembershipProof,
}

impl Offence {
	fn now() -> Self {
		let key = (sp_consensus_babe::KEY_TYPE, babe_pair("//Alice").public());
		Self {
			slot: pallet_babe::CurrentSlot::<Runtime>::get(),
			key_owner: Historical::prove(key).expect("the key belongs to a validator"),
		}
	}

	/// Eve reports it.
	fn report(&self) -> DispatchResult {
		let proof = babe_equivocation(&babe_pair("//Alice"), self.slot);
		Babe::report_equivocation(signed("//Eve"), Box::new(proof), self.key_owner.clone())
			.map(|_| ())
			.map_err(|failure| failure.error)
	}
}

/// One offender of four: (3 / 4)².
fn fraction() -> Perbill {
	Perbill::from_rational(9u32, 16)
}

fn alice() -> pallet_cuckoo_staking_runtime_api::OperatorInfo<cuckoo_runtime::AccountId, Balance> {
	Staking::operator(account("//Alice")).expect("she is an operator")
}

#[test]
fn an_equivocation_suspends_and_disables_at_once() {
	network().execute_with(|| {
		let recorded = block(|| {
			assert_ok!(Offence::now().report());
			System::events()
				.into_iter()
				.filter(|record| matches!(record.event, RuntimeEvent::Offences(_)))
				.count()
		});
		assert_eq!(recorded, 1);
		assert!(alice().suspended && !alice().active);
		assert_eq!(Session::disabled_validators(), [index_of("//Alice")]);
		// Her stake does not count any more.
		assert!(Staking::top(Role::Validator, 10)
			.iter()
			.all(|(operator, _)| *operator != account("//Alice")));

		sessions(2);
		assert!(!Session::validators().contains(&account("//Alice")));
		assert!(Session::disabled_validators().is_empty());
	});
}

/// Governance cancels the slash before the next election: the same validators are elected, and she is one of
/// them.
#[test]
fn who_is_cleared_of_an_offence_is_not_disabled_for_ever() {
	network().execute_with(|| {
		block(|| {
			assert_ok!(Offence::now().report());
			let slash = Staking::pending_slashes(None, 1)[0].slash;
			assert_ok!(Staking::cancel_slash(RuntimeOrigin::root(), slash));
		});
		let validators = Session::validators();
		assert_eq!(Session::disabled_validators(), [index_of("//Alice")]);
		sessions(2);
		assert!(Session::disabled_validators().is_empty());
		assert_eq!(Session::validators(), validators);
		// And then nothing is named again: the authorities stay as they are.
		sessions(1);
		let set = pallet_grandpa::CurrentSetId::<Runtime>::get();
		sessions(3);
		assert_eq!(pallet_grandpa::CurrentSetId::<Runtime>::get(), set);
	});
}

#[test]
#[should_panic(expected = "is disabled and should not be attempting to author blocks")]
fn a_disabled_validators_block_is_refused() {
	network().execute_with(|| {
		block(|| {
			assert_ok!(Offence::now().report());
		});
		block_after(1, 1, index_of("//Alice"), || ());
	});
}

#[test]
fn its_slash_waits_takes_from_the_operator_first_and_is_burned() {
	network().execute_with(|| {
		let before = alice();
		let era = Staking::info().era;
		block(|| {
			assert_ok!(Offence::now().report());
		});
		let pending = Staking::pending_slashes(None, 10);
		assert_eq!(pending.len(), 1);
		assert_eq!(pending[0].operator, account("//Alice"));
		assert_eq!(pending[0].reporter, Some(account("//Eve")));
		assert_eq!(
			(pending[0].era, pending[0].due_era),
			(era, era + SLASH_DEFER_ERAS)
		);
		assert_eq!(pending[0].fraction, fraction());

		let (issued, eve) = (
			Balances::total_issuance(),
			Balances::free_balance(account("//Eve")),
		);
		common::until_era(era + SLASH_DEFER_ERAS);
		// A block that turns the session has no room for anything else.
		assert_eq!(alice().total_stake, before.total_stake);
		assert_eq!(Balances::total_issuance(), issued);
		block(|| ());
		let slashed = staking_events().into_iter().find_map(|event| match event {
			Event::Slashed {
				operator,
				amount,
				reporter_reward,
				..
			} => Some((operator, amount, reporter_reward)),
			_ => None,
		});
		let amount = fraction().mul_floor(before.total_stake);
		let reward = amount / 10;
		assert_eq!(slashed, Some((account("//Alice"), amount, reward)));
		assert_eq!(alice().total_stake, before.total_stake - amount);
		assert_eq!(alice().self_stake, before.self_stake - amount);
		let vote = Staking::position(account("//Voter//1"), account("//Alice"));
		assert_eq!(vote.expect("the vote stands").value, VOTE);
		assert_eq!(Balances::free_balance(account("//Eve")), eve + reward);
		assert_eq!(Balances::total_issuance(), issued - amount + reward);
		assert!(Staking::pending_slashes(None, 10).is_empty());
	});
}

#[test]
fn an_equivocation_counts_once() {
	network().execute_with(|| {
		block(|| {
			let offence = Offence::now();
			assert_ok!(offence.report());
			assert_eq!(
				offence.report(),
				Err(pallet_babe::Error::<Runtime>::DuplicateOffenceReport.into())
			);
			assert_eq!(Staking::pending_slashes(None, 10).len(), 1);
		});
	});
}

#[test]
fn a_forged_equivocation_is_refused() {
	network().execute_with(|| {
		block(|| {
			let Offence { slot, key_owner } = Offence::now();
			let forged = sp_consensus_babe::EquivocationProof {
				offender: babe_pair("//Alice").public(),
				..babe_equivocation(&babe_pair("//Mallory"), slot)
			};
			let result = Babe::report_equivocation_unsigned(
				RuntimeOrigin::none(),
				Box::new(forged),
				key_owner,
			);
			assert_eq!(
				result.map(|_| ()).map_err(|failure| failure.error),
				Err(pallet_babe::Error::<Runtime>::InvalidEquivocationProof.into()),
			);
			assert!(!alice().suspended);
		});
	});
}

/// What the report would do, without doing it.
fn tried(report: impl FnOnce() -> DispatchResult) -> DispatchResult {
	with_transaction(|| TransactionOutcome::Rollback(Ok::<_, DispatchError>(report())))
		.expect("one more transaction fits")
}

#[test]
fn an_equivocation_counts_for_the_sessions_of_evidence_and_no_longer() {
	network().execute_with(|| {
		let offence = next_session(Offence::now);
		sessions(REPORTABLE_SESSIONS);
		assert_ok!(tried(|| {
			offence.report()?;
			assert!(alice().suspended, "what is taken counts");
			Ok(())
		}));
		sessions(1);
		assert_eq!(
			tried(|| offence.report()),
			Err(pallet_babe::Error::<Runtime>::InvalidKeyOwnershipProof.into())
		);
	});
}

/// Two votes of Alice in one round of GRANDPA, and who owns her key.
struct VoteOffence {
	set: u64,
	key_owner: MembershipProof,
}

impl VoteOffence {
	const ROUND: u64 = 1;

	fn now() -> Self {
		let key = Self::pair().public();
		Self {
			set: pallet_grandpa::CurrentSetId::<Runtime>::get(),
			key_owner: Historical::prove((sp_consensus_grandpa::KEY_TYPE, key))
				.expect("the key belongs to a validator"),
		}
	}

	fn pair() -> sp_consensus_grandpa::AuthorityPair {
		sp_consensus_grandpa::AuthorityPair::from_string("//Alice", None).unwrap()
	}

	fn vote(&self, block: H256) -> ((H256, u32), sp_consensus_grandpa::AuthoritySignature) {
		let vote = sp_consensus_grandpa::Prevote::<Header> {
			target_hash: block,
			target_number: 1,
		};
		let message = sp_consensus_grandpa::Message::<Header>::Prevote(vote);
		let payload = sp_consensus_grandpa::localized_payload(Self::ROUND, self.set, &message);
		((block, 1), Self::pair().sign(&payload))
	}

	fn report(&self) -> DispatchResult {
		/// Which kind of vote the pair is of.
		const PREVOTES: u8 = 0;
		let (first, second) = (
			self.vote(H256::repeat_byte(1)),
			self.vote(H256::repeat_byte(2)),
		);
		let votes = (PREVOTES, Self::ROUND, Self::pair().public(), first, second).encode();
		let votes = Decode::decode(&mut votes.as_slice()).expect("it is an equivocation");
		let proof = sp_consensus_grandpa::EquivocationProof::new(self.set, votes);
		Grandpa::report_equivocation(signed("//Eve"), Box::new(proof), self.key_owner.clone())
			.map(|_| ())
			.map_err(|failure| failure.error)
	}
}

#[test]
fn two_votes_in_one_round_are_an_offence_too() {
	network().execute_with(|| {
		block(|| {
			assert_ok!(VoteOffence::now().report());
		});
		assert!(alice().suspended);
		assert_eq!(Session::disabled_validators(), [index_of("//Alice")]);
	});
}

/// Also when the authority set changes in every session, and so the most sets must be remembered.
#[test]
fn two_votes_count_as_long_as_two_blocks() {
	network().execute_with(|| {
		// The fourth seat comes and goes.
		let mut seats = 4;
		let mut change = || {
			next_session(|| set_seats(seats));
			seats = 7 - seats;
		};
		for _ in 0..3 {
			change();
		}
		let (offence, set) = block(|| {
			let set = pallet_grandpa::CurrentSetId::<Runtime>::get();
			(VoteOffence::now(), set)
		});
		for _ in 0..REPORTABLE_SESSIONS {
			change();
		}
		let sets = pallet_grandpa::CurrentSetId::<Runtime>::get() - set;
		assert_eq!(
			sets,
			u64::from(REPORTABLE_SESSIONS),
			"each session had its own set"
		);
		assert_ok!(tried(|| offence.report()));
		change();
		assert!(tried(|| offence.report()).is_err());
	});
}

/// An offence near the end of an era is of that era: what leaves afterwards is still in reach.
#[test]
fn the_era_of_an_offence_is_its_sessions() {
	network().execute_with(|| {
		common::until_era(1);
		for _ in 1..SESSIONS_PER_ERA {
			block_after(SLOTS_PER_SESSION, 1, 0, || ());
		}
		assert_eq!(Staking::info().era, 1);
		let offence = block(Offence::now);
		sessions(1);
		assert_eq!(Staking::info().era, 2);
		block(|| {
			assert_ok!(offence.report());
		});
		let pending = Staking::pending_slashes(None, 10);
		assert_eq!(
			(pending[0].era, pending[0].due_era),
			(1, 2 + SLASH_DEFER_ERAS)
		);
	});
}
