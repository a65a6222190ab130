//! What other pallets are told about operators, and what they report.

use cuckoo_primitives::{Role, H256};
use frame_support::{assert_noop, assert_ok};
use sp_runtime::Perbill;

use super::support::*;
use crate::{mock::*, Error, OperatorAccess};

fn report(operator: u8, era: u32, proof: u8) -> sp_runtime::DispatchResult {
	<Staking as OperatorAccess>::report_offence(
		&account(operator),
		Role::Coordinator,
		era,
		account(BOB),
		H256::repeat_byte(proof),
	)
}

#[test]
fn operators_are_known_by_role_worker_and_activity() {
	run(|| {
		pass_eras(1);
		assert_eq!(<Staking as OperatorAccess>::era(), 1);
		assert_eq!(Staking::evidence_eras(), EVIDENCE_ERAS);
		assert_eq!(
			Staking::role(&account(COORDINATOR)),
			Some(Role::Coordinator)
		);
		assert_eq!(Staking::role(&account(ALICE)), None);
		assert!(Staking::is_active(&account(MINER)));
		let first = worker(COORDINATOR.into());
		assert_set_worker(COORDINATOR, 50);
		// A former worker's messages stay the operator's.
		for worker in [first, worker(50)] {
			assert_eq!(
				Staking::worker_owner(&worker, 1),
				Some(account(COORDINATOR))
			);
		}
		assert_eq!(Staking::worker_owner(&worker(51), 1), None);
		// Not those of eras in which it had let go of it, but for the one that follows, of which somebody
		// may hear first; and those of eras before a key was bound, which are signed again.
		for (era, former) in [(0, true), (2, true), (3, false), (u32::MAX, false)] {
			let owner = |number| Staking::worker_owner(&worker(number), era);
			assert_eq!(owner(COORDINATOR.into()).is_some(), former, "{era}");
			assert_eq!(owner(50), Some(account(COORDINATOR)));
		}
		assert_ok!(Staking::retire(signed(MINER)));
		assert!(!Staking::is_active(&account(MINER)));
		assert_eq!(Staking::role(&account(MINER)), Some(Role::Miner));
	});
}

#[test]
fn an_offence_that_is_reported_is_slashed_like_any_other() {
	run(|| {
		pass_eras(1);
		assert_ok!(report(COORDINATOR, 0, 1));
		assert!(!Staking::is_active(&account(COORDINATOR)));
		let slashes = Staking::slashes(None, 10);
		assert_eq!(slashes.len(), 1);
		assert_eq!(slashes[0].fraction, Perbill::from_percent(10));
		assert_eq!(slashes[0].reporter, Some(account(BOB)));
		assert_noop!(
			report(COORDINATOR, 0, 2),
			Error::<Test>::OffenceAlreadyCounted
		);
		assert_noop!(report(ALICE, 0, 3), Error::<Test>::OperatorNotFound);
		// A proof counts once, also after its slash was cancelled.
		assert_ok!(Staking::cancel_slash(
			RuntimeOrigin::root(),
			slashes[0].slash
		));
		assert_noop!(report(COORDINATOR, 0, 1), Error::<Test>::EvidenceUsed);
		pass_eras(EVIDENCE_ERAS + 1);
		assert_noop!(report(COORDINATOR, 0, 4), Error::<Test>::EvidenceTooOld);
	});
}
