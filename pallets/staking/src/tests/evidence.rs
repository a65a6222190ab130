//! What proves an offence, and what does not.

use cuckoo_primitives::{
	signing::{sign, signing_hash, Assignment, ResultCommitment},
	Role, WorkerSignature, H256,
};
use frame_support::{assert_noop, assert_ok};

use super::support::*;
use crate::{mock::*, Amount, Error, Evidence, Offences, Signed, Slashes, MAX_PROOFS};

const MINERS_KEY: u32 = MINER as u32;
const COORDINATORS_KEY: u32 = COORDINATOR as u32;

/// Expects a report to be refused.
fn refuse(evidence: Evidence, error: Error<Test>) {
	assert_noop!(
		Staking::report_equivocation(signed(BOB), Box::new(evidence)),
		error
	);
}

fn refuse_invalid(evidence: Evidence) {
	refuse(evidence, Error::<Test>::EvidenceInvalid);
}

/// The parts of a proof that [`MINER`] made two results.
fn results() -> (
	Assignment,
	Signed<ResultCommitment>,
	Signed<ResultCommitment>,
) {
	match offence_now(0) {
		Evidence::Results {
			assignment,
			first,
			second,
		} => (assignment, first, second),
		Evidence::Assignments { .. } => unreachable!("made as results"),
	}
}

fn results_of(
	assignment: Assignment,
	first: Signed<ResultCommitment>,
	second: Signed<ResultCommitment>,
) -> Evidence {
	Evidence::Results {
		assignment,
		first,
		second,
	}
}

fn assignments_of(key: u32, first: Signed<Assignment>, second: Signed<Assignment>) -> Evidence {
	Evidence::Assignments {
		workers: [worker(key); 2],
		first,
		second,
	}
}

#[test]
fn two_results_of_one_assignment_are_an_offence_of_the_miner() {
	run(|| {
		assert_report(BOB, MINER, offence_now(0), 0);
	});
}

#[test]
fn two_assignments_of_one_attempt_are_an_offence_of_the_coordinator() {
	run(|| {
		assert_report(
			BOB,
			COORDINATOR,
			two_assignments(COORDINATORS_KEY, block(), 0),
			0,
		);
	});
	// The same miner, but another deadline: still two promises.
	run(|| {
		let first = assignment(ALICE, 50, block(), 0);
		let second = Assignment {
			deadline_ms: first.deadline_ms + 1,
			..first.clone()
		};
		let [first, second] = [first, second].map(|payload| sign_with(COORDINATORS_KEY, payload));
		let evidence = assignments_of(COORDINATORS_KEY, first, second);
		assert_report(BOB, COORDINATOR, evidence, 0);
	});
}

#[test]
fn the_offender_reports_itself_like_anybody() {
	run(|| {
		assert_report(MINER, MINER, offence_now(0), 0);
	});
}

#[test]
fn every_part_of_a_result_makes_a_difference() {
	type Change = fn(&mut ResultCommitment);
	let changes: [Change; 4] = [
		|result| result.output = H256::repeat_byte(9),
		|result| result.trajectory_root = H256::repeat_byte(9),
		|result| result.engine_profile = H256::repeat_byte(9),
		|result| result.device = cuckoo_primitives::task::DeviceClass::Cuda { major: 9, minor: 0 },
	];
	for change in changes {
		run(|| {
			let (assignment, first, _) = results();
			let mut other = first.payload.clone();
			change(&mut other);
			let evidence = results_of(assignment, first, sign_with(MINERS_KEY, other));
			assert_report(BOB, MINER, evidence, 0);
		});
	}
}

#[test]
fn the_same_message_twice_proves_nothing() {
	run(|| {
		let (assignment, first, _) = results();
		// sr25519 signatures differ each time: the content counts.
		let again = sign_with(MINERS_KEY, first.payload.clone());
		assert_ne!(first.signature, again.signature);
		refuse_invalid(results_of(assignment.clone(), first.clone(), again));
		refuse_invalid(results_of(assignment.clone(), first.clone(), first));
		let [one, two] = [(); 2].map(|()| sign_with(COORDINATORS_KEY, assignment.clone()));
		refuse_invalid(assignments_of(COORDINATORS_KEY, one, two));
	});
}

#[test]
fn forged_signatures_prove_nothing() {
	run(|| {
		let (assignment, first, second) = results();
		let forge = |message: &Signed<ResultCommitment>, signature| Signed {
			signature,
			..message.clone()
		};
		let by_another = sign_with(50, second.payload.clone()).signature;
		for signature in [WorkerSignature::default(), first.signature, by_another] {
			let forged = forge(&second, signature);
			refuse_invalid(results_of(
				assignment.clone(),
				first.clone(),
				forged.clone(),
			));
			refuse_invalid(results_of(assignment.clone(), forged, first.clone()));
		}
		let Evidence::Assignments { first, second, .. } =
			two_assignments(COORDINATORS_KEY, block(), 0)
		else {
			unreachable!("made as assignments")
		};
		let forged = Signed {
			signature: first.signature,
			..second.clone()
		};
		refuse_invalid(assignments_of(
			COORDINATORS_KEY,
			first.clone(),
			forged.clone(),
		));
		refuse_invalid(assignments_of(COORDINATORS_KEY, forged, first));
	});
}

#[test]
fn messages_of_another_chain_prove_nothing() {
	run(|| {
		let elsewhere = H256::repeat_byte(1);
		let (assignment, first, second) = results();
		let abroad = |key, message: &Signed<ResultCommitment>| Signed {
			payload: message.payload.clone(),
			signature: sign(&elsewhere, &message.payload, &worker_key(key)),
		};
		refuse_invalid(results_of(
			assignment.clone(),
			abroad(MINERS_KEY, &first),
			abroad(MINERS_KEY, &second),
		));
		// Not even one of the two.
		refuse_invalid(results_of(
			assignment.clone(),
			first,
			abroad(MINERS_KEY, &second),
		));
		// An assignment's name is another one there.
		let [first, second] = [1, 2].map(|output| {
			sign_with(
				MINERS_KEY,
				ResultCommitment {
					assignment: signing_hash(&elsewhere, &assignment),
					..commitment(&assignment, output)
				},
			)
		});
		refuse_invalid(results_of(assignment, first, second));
		let [first, second] = [ALICE, BOB].map(|miner| {
			let payload = super::support::assignment(miner, 50, block(), 0);
			let signature = sign(&elsewhere, &payload, &worker_key(COORDINATORS_KEY));
			Signed { payload, signature }
		});
		refuse_invalid(assignments_of(COORDINATORS_KEY, first, second));
	});
}

#[test]
fn results_of_different_assignments_prove_nothing() {
	run(|| {
		let (assignment, first, _) = results();
		let next = Assignment {
			attempt: 1,
			..assignment.clone()
		};
		let of_next = sign_with(MINERS_KEY, commitment(&next, 2));
		refuse_invalid(results_of(assignment, first.clone(), of_next.clone()));
		refuse_invalid(results_of(next, first, of_next));
	});
}

#[test]
fn assignments_of_different_attempts_prove_nothing() {
	run(|| {
		let first = assignment(ALICE, 50, block(), 0);
		let other_attempt = Assignment {
			attempt: 1,
			..assignment(BOB, 51, block(), 0)
		};
		let other_task = assignment(BOB, 51, block(), 1);
		let other_coordinator = Assignment {
			coordinator: account(CAROL),
			..assignment(BOB, 51, block(), 0)
		};
		for second in [other_attempt, other_task, other_coordinator] {
			let [first, second] =
				[first.clone(), second].map(|payload| sign_with(COORDINATORS_KEY, payload));
			refuse_invalid(assignments_of(COORDINATORS_KEY, first, second));
		}
	});
}

#[test]
fn a_worker_does_not_incriminate_another_operator() {
	run(|| {
		// The miner's worker signs for a task of the validator's.
		refuse_invalid(two_results(VALIDATOR, MINERS_KEY, block(), 0));
		// The validator's worker is named, the miner's signs.
		let assignment = assignment(VALIDATOR, VALIDATOR.into(), block(), 0);
		let [first, second] =
			[1, 2].map(|output| sign_with(MINERS_KEY, commitment(&assignment, output)));
		refuse_invalid(results_of(assignment, first, second));
		// Somebody else's worker signs in the coordinator's name.
		refuse_invalid(two_assignments(MINERS_KEY, block(), 0));
	});
}

#[test]
fn a_key_that_was_never_bound_incriminates_nobody() {
	run(|| {
		let unknown = Error::<Test>::EvidenceTooOld;
		refuse(two_results(MINER, 50, block(), 0), unknown);
		let unknown = Error::<Test>::EvidenceTooOld;
		refuse(two_assignments(50, block(), 0), unknown);
	});
}

#[test]
fn an_offence_counts_for_the_evidence_eras() {
	run(|| {
		let evidence = offence_now(0);
		pass_eras(EVIDENCE_ERAS);
		assert_report(BOB, MINER, evidence, 0);
	});
	run(|| {
		let evidence = offence_now(0);
		pass_eras(EVIDENCE_ERAS + 1);
		refuse(evidence, Error::<Test>::EvidenceTooOld);
	});
}

#[test]
fn the_last_block_of_an_era_is_in_it() {
	run(|| {
		pass_eras(1);
		let first = block();
		pass_eras(1);
		// The latest first: those of an era count for later ones as well.
		assert_report(BOB, MINER, two_results(MINER, MINERS_KEY, block(), 2), 2);
		assert_report(BOB, MINER, two_results(MINER, MINERS_KEY, first, 1), 1);
		assert_report(BOB, MINER, two_results(MINER, MINERS_KEY, first - 1, 0), 0);
	});
}

/// Counted for the present era it could be counted again in each that comes.
#[test]
fn what_claims_to_be_from_the_future_waits_for_its_block() {
	for ahead in [1, BLOCKS_PER_ERA, u32::MAX - 200] {
		run(|| {
			pass_eras(1);
			let evidence = two_results(MINER, MINERS_KEY, block() + ahead, 0);
			refuse(evidence.clone(), Error::<Test>::EvidenceFromFuture);
			pass_eras(1);
			if ahead <= BLOCKS_PER_ERA {
				let era = 1 + ahead / BLOCKS_PER_ERA;
				assert_report(BOB, MINER, evidence, era);
			} else {
				refuse(evidence, Error::<Test>::EvidenceFromFuture);
			}
		});
	}
}

/// Three assignments of one attempt are one offence, in whichever era the third is.
#[test]
fn one_offence_is_counted_once_over_all_eras() {
	run(|| {
		let first = assignment(ALICE, 50, block(), 0);
		let second = assignment(BOB, 51, block(), 0);
		pass_eras(1);
		let third = assignment(CAROL, 52, block(), 0);
		let sign = |payload| sign_with(COORDINATORS_KEY, payload);
		let pair = |one, other| assignments_of(COORDINATORS_KEY, sign(one), sign(other));
		let slash = assert_report(BOB, COORDINATOR, pair(first.clone(), second), 0);
		assert_ok!(Staking::cancel_slash(RuntimeOrigin::root(), slash));
		refuse(pair(first, third), Error::<Test>::EvidenceUsed);
	});
}

/// Whose key was stolen lets go of it, and answers for what it has signed by then, and for what a miner
/// could have been given by then.
#[test]
fn a_worker_is_answered_for_from_when_it_was_bound_until_it_was_let_go_of() {
	use cuckoo_primitives::signing::MAX_BLOCKS_AHEAD;
	const LATER: u32 = 77;
	let later = |offset: u32| {
		run(|| {
			pass_eras(1);
			assert_set_worker(MINER, LATER);
			assert_set_worker(COORDINATOR, LATER + 1);
			let let_go = block();
			pass_eras(2);
			let at = let_go + offset;
			let results = two_results(MINER, MINERS_KEY, at, 0);
			let assignments = two_assignments(COORDINATORS_KEY, at, 0);
			if offset <= MAX_BLOCKS_AHEAD {
				let era = at / BLOCKS_PER_ERA;
				assert_report(BOB, MINER, results, era);
				assert_report(BOB, COORDINATOR, assignments, era);
			} else {
				refuse(results, Error::<Test>::WorkerNotBound);
				refuse(assignments, Error::<Test>::WorkerNotBound);
			}
		})
	};
	[0, 1, MAX_BLOCKS_AHEAD, MAX_BLOCKS_AHEAD + 1]
		.into_iter()
		.for_each(later);
	// Of eras before the key was bound nothing is proven with it.
	run(|| {
		let before = block();
		pass_eras(1);
		assert_set_worker(MINER, LATER);
		let bound = block();
		pass_blocks(1);
		for block in [before, bound - 1] {
			refuse(
				two_results(MINER, LATER, block, 0),
				Error::<Test>::WorkerNotBound,
			);
		}
		assert_report(BOB, MINER, two_results(MINER, LATER, bound, 0), 1);
	});
	// A key that is taken back was its own all the time: that is no way out either.
	run(|| {
		let evidence = offence_now(0);
		assert_set_worker(MINER, LATER);
		pass_eras(1);
		assert_set_worker(MINER, MINERS_KEY);
		assert_report(BOB, MINER, evidence, 0);
	});
}

/// The key of one of two assignments may be younger than the block that it names: nobody names so old a
/// block but to get away with it.
#[test]
fn naming_a_block_before_the_key_was_bound_is_no_way_out() {
	run(|| {
		const LATER: u32 = 77;
		let old = assignment(ALICE, 50, block(), 0);
		pass_eras(1);
		assert_set_worker(COORDINATOR, LATER);
		let new = assignment(BOB, 51, block(), 0);
		let [old, new] = [old, new].map(|payload| sign_with(LATER, payload));
		assert_report(BOB, COORDINATOR, assignments_of(LATER, old, new), 1);
	});
}

#[test]
fn of_two_assignments_the_later_block_counts() {
	for swapped in [false, true] {
		run(|| {
			let old = assignment(ALICE, 50, block(), 0);
			pass_eras(EVIDENCE_ERAS + 1);
			let new = assignment(BOB, 51, block(), 0);
			let [old, new] = [old, new].map(|payload| sign_with(COORDINATORS_KEY, payload));
			let (first, second) = if swapped { (new, old) } else { (old, new) };
			let evidence = assignments_of(COORDINATORS_KEY, first, second);
			assert_report(BOB, COORDINATOR, evidence, EVIDENCE_ERAS + 1);
		});
	}
}

#[test]
fn evidence_is_used_once() {
	run(|| {
		let evidence = offence_now(0);
		let slash = assert_report(BOB, MINER, evidence.clone(), 0);
		refuse(evidence.clone(), Error::<Test>::OffenceAlreadyCounted);
		pass_eras(SLASH_DEFER_ERAS);
		refuse(evidence.clone(), Error::<Test>::OffenceAlreadyCounted);
		assert_ok!(Staking::apply_slashes(signed(BOB), 1));
		refuse(evidence, Error::<Test>::OffenceAlreadyCounted);
		assert!(!Slashes::<Test>::contains_key(slash));
	});
}

#[test]
fn evidence_of_a_cancelled_slash_is_not_used_again() {
	run(|| {
		let (assignment, first, second) = results();
		let third = sign_with(MINERS_KEY, commitment(&assignment, 3));
		let evidence = results_of(assignment.clone(), first.clone(), second.clone());
		let slash = assert_report(BOB, MINER, evidence.clone(), 0);
		assert_ok!(Staking::cancel_slash(RuntimeOrigin::root(), slash));
		let cancelled = || Error::<Test>::EvidenceUsed;
		refuse(evidence, cancelled());
		// Nor the other way round, nor with another message about the same assignment.
		refuse(
			results_of(assignment.clone(), second, first.clone()),
			cancelled(),
		);
		refuse(results_of(assignment, first, third), cancelled());
		// Another offence of the same era counts.
		assert_report(BOB, MINER, offence_now(1), 0);
	});
}

#[test]
fn governance_that_cancels_again_and_again_has_the_last_word_on_an_era() {
	run(|| {
		for task in 0..MAX_PROOFS as u8 {
			let slash = assert_report(BOB, MINER, offence_now(task), 0);
			assert_ok!(Staking::cancel_slash(RuntimeOrigin::root(), slash));
		}
		refuse(offence_now(100), Error::<Test>::EvidenceUsed);
		let offences = Offences::<Test>::get(account(MINER));
		assert_eq!(offences[0].proofs.len(), MAX_PROOFS as usize);
		// The next era's offences count.
		pass_eras(1);
		assert_report(BOB, MINER, offence_now(100), 1);
	});
}

#[test]
fn a_worker_that_was_let_go_of_stays_attributable() {
	run(|| {
		let evidence = offence_now(0);
		assert_set_worker(MINER, 50);
		pass_eras(EVIDENCE_ERAS);
		assert_report(BOB, MINER, evidence, 0);
	});
	// Also that of an operator which has retired, and has registered in another role since.
	run(|| {
		let evidence = offence_now(0);
		assert_retire(MINER);
		assert_report(BOB, MINER, evidence, 0);
	});
	run(|| {
		let evidence = offence_now(0);
		assert_retire(MINER);
		assert_unstake(MINER, Amount::All);
		assert_register(MINER, Role::Coordinator, 50, COORDINATOR_STAKE);
		assert_report(BOB, MINER, evidence, 0);
	});
}

#[test]
fn a_key_with_a_new_owner_does_not_incriminate_the_former_one() {
	run(|| {
		let evidence = offence_now(0);
		assert_set_worker(MINER, 50);
		pass_eras(UNBONDING_ERAS);
		assert_set_worker(VALIDATOR, MINERS_KEY);
		refuse_invalid(evidence);
		// Signed now, in the name of the former owner.
		refuse_invalid(offence_now(1));
		assert_report(
			BOB,
			VALIDATOR,
			two_results(VALIDATOR, MINERS_KEY, block(), 2),
			UNBONDING_ERAS,
		);
	});
}

#[test]
fn evidence_survives_its_encoding() {
	use codec::{DecodeAll, Encode};
	run(|| {
		for evidence in [
			offence_now(0),
			two_assignments(COORDINATORS_KEY, block(), 0),
		] {
			let bytes = evidence.encode();
			assert_eq!(Evidence::decode_all(&mut &bytes[..]), Ok(evidence));
		}
	});
}

#[test]
fn one_offence_has_one_name() {
	run(|| {
		let name = |evidence: &Evidence| evidence.check(&GENESIS_HASH).unwrap().id;
		let (assignment, first, second) = results();
		let third = sign_with(MINERS_KEY, commitment(&assignment, 3));
		let names = [
			name(&results_of(
				assignment.clone(),
				first.clone(),
				second.clone(),
			)),
			name(&results_of(assignment.clone(), second.clone(), first)),
			name(&results_of(assignment, second, third)),
		];
		assert_eq!(names[0], names[1]);
		assert_eq!(names[0], names[2]);
		assert_ne!(names[0], name(&offence_now(1)));
		let evidence = two_assignments(COORDINATORS_KEY, block(), 0);
		assert_ne!(names[0], name(&evidence));
		assert_ne!(
			name(&evidence),
			name(&two_assignments(COORDINATORS_KEY, block(), 1))
		);
		let Evidence::Assignments {
			workers,
			first,
			second,
		} = evidence.clone()
		else {
			unreachable!("made as assignments")
		};
		let swapped = Evidence::Assignments {
			workers,
			first: second,
			second: first,
		};
		assert_eq!(name(&evidence), name(&swapped));
	});
}

/// A coordinator that changes its worker between the two assignments has signed both all the same.
#[test]
fn two_assignments_under_a_former_and_a_later_worker_are_one_offence() {
	run(|| {
		let signed_by = |key: u32| match two_assignments(key, block(), 0) {
			Evidence::Assignments { first, second, .. } => [first, second],
			Evidence::Results { .. } => unreachable!("made as assignments"),
		};
		const LATER: u32 = 77;
		let [first, _] = signed_by(COORDINATORS_KEY);
		let [_, second] = signed_by(LATER);
		let evidence = Evidence::Assignments {
			workers: [worker(COORDINATORS_KEY), worker(LATER)],
			first,
			second,
		};
		// As long as the later key is nobody's it proves nothing.
		refuse(evidence.clone(), Error::<Test>::EvidenceTooOld);
		assert_set_worker(COORDINATOR, LATER);
		assert_report(BOB, COORDINATOR, evidence, 0);
	});
}

#[test]
fn a_raised_fraction_does_not_make_old_evidence_new() {
	run(|| {
		let evidence = offence_now(0);
		assert_report(BOB, MINER, evidence.clone(), 0);
		pass_eras(SLASH_DEFER_ERAS);
		assert_ok!(Staking::apply_slashes(signed(BOB), 1));
		let params = crate::RoleParams {
			offence_fraction: sp_runtime::Perbill::from_percent(50),
			..Staking::role_params(cuckoo_primitives::Role::Miner)
		};
		assert_ok!(Staking::set_role_params(
			RuntimeOrigin::root(),
			cuckoo_primitives::Role::Miner,
			params
		));
		refuse(evidence, Error::<Test>::EvidenceUsed);
	});
}
