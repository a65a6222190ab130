//! Settlements that are short: proven, slashed, and never proven of an honest coordinator.

use cuckoo_primitives::{
	sum_tree::{Leaf, PlacedLeaf, Proof, Root, SumTree},
	weight_tree::Node,
	Balance, EraIndex, CUC,
};
use frame_support::{assert_noop, assert_ok, dispatch::DispatchResultWithPostInfo};
use pallet_cuckoo_staking::OperatorAccess;
use sp_runtime::Perbill;

use crate::{mock::*, Error, Event};

fn report(
	miner: u8,
	era: EraIndex,
	signed_for: Balance,
	proof: Proof,
) -> DispatchResultWithPostInfo {
	let voucher = miner_voucher(COORDINATOR, miner, era, signed_for);
	let signature = sign_with(COORDINATOR, &voucher);
	Settlement::report_short(
		signed(STRANGER),
		public(COORDINATOR),
		voucher,
		signature,
		proof.leaves.try_into().expect("few leaves"),
		proof.siblings.try_into().expect("few siblings"),
	)
}

fn settled(owed: &[(u8, Balance)]) -> SumTree {
	back(COORDINATOR, 1_000 * CUC, MINER, 80 * CUC);
	pass_eras(1);
	settle(COORDINATOR, 0, owed)
}

fn proof_for(tree: &SumTree, miner: u8) -> Proof {
	tree.prove_miner(&account(miner))
		.expect("every account has a place")
}

#[test]
fn a_voucher_above_the_leaf_slashes_and_the_allotment_pays_the_rest() {
	run(|| {
		let tree = settled(&[(MINER, 30 * CUC), (MINER_2, 10 * CUC)]);
		let result = report(MINER, 0, 30 * CUC + 1, proof_for(&tree, MINER)).unwrap();
		assert_eq!(result.pays_fee, frame_support::dispatch::Pays::No);
		System::assert_has_event(
			Event::ShortSettlementProven {
				coordinator: account(COORDINATOR),
				era: 0,
				miner: account(MINER),
				posted: 30 * CUC,
				signed: 30 * CUC + 1,
			}
			.into(),
		);
		assert!(!Staking::is_active(&account(COORDINATOR)));
		let slash = Staking::slashes(None, 10).remove(0);
		assert_eq!(slash.operator, account(COORDINATOR));
		assert_eq!(slash.fraction, Perbill::from_percent(10));
		// Once an era.
		assert!(report(MINER, 0, 40 * CUC, proof_for(&tree, MINER)).is_err());
		assert_ok!(claim_of(COORDINATOR, 0, &tree, MINER));
		pass_eras(POST_ERAS);
		assert_ok!(claim_voucher(COORDINATOR, MINER, 0, 31 * CUC));
		assert_ok!(Staking::apply_slashes(signed(STRANGER), 10));
		// A tenth of the stake, which has earned 8 CUC for its part and half a one that was issued.
		let stake = 3_000_000 * CUC;
		assert!(pool(COORDINATOR) < stake - stake / 10 + 10 * CUC);
		assert!(free(STRANGER) > ENDOWMENT - 10_000 * CUC);
	});
}

#[test]
fn a_miner_that_was_left_out_can_prove_it_at_every_place() {
	for (owed, absent) in [
		(vec![(MINER_2, CUC), (MINER_3, CUC)], MINER),
		(vec![(MINER, CUC), (MINER_3, CUC)], MINER_2),
		(vec![(MINER, CUC), (MINER_2, CUC)], MINER_3),
		(vec![(MINER_2, CUC)], MINER),
		(vec![(MINER_2, CUC)], MINER_3),
	] {
		run(|| {
			let tree = settled(&owed);
			assert_ok!(report(absent, 0, 1, proof_for(&tree, absent)));
		});
	}
}

#[test]
fn nothing_is_proven_of_a_coordinator_that_settled_what_it_signed() {
	run(|| {
		let owed = [(MINER, 30 * CUC), (MINER_2, 10 * CUC), (MINER_3, CUC)];
		let tree = settled(&owed);
		for (miner, amount) in owed {
			for signed_for in [0, 1, amount - 1, amount] {
				assert_noop!(
					report(miner, 0, signed_for, proof_for(&tree, miner)),
					Error::<Test>::NotShort
				);
			}
		}
		// The others' leaves say nothing of a miner that has one.
		assert_noop!(
			report(MINER_2, 0, 10 * CUC, tree.prove(&[0]).unwrap()),
			Error::<Test>::NotShort
		);
		assert_noop!(
			report(MINER_2, 0, 10 * CUC, tree.prove(&[0, 2]).unwrap()),
			Error::<Test>::NotShort
		);
		assert!(Staking::is_active(&account(COORDINATOR)));
	});
}

#[test]
fn forged_and_foreign_evidence_is_refused() {
	run(|| {
		let tree = settled(&[(MINER, 30 * CUC), (MINER_2, 10 * CUC)]);
		let voucher = miner_voucher(COORDINATOR, MINER, 0, 31 * CUC);
		let proof = proof_for(&tree, MINER);
		let report_with = |worker, signature| {
			Settlement::report_short(
				signed(STRANGER),
				public(worker),
				voucher.clone(),
				signature,
				proof.leaves.clone().try_into().unwrap(),
				proof.siblings.clone().try_into().unwrap(),
			)
		};
		assert_noop!(
			report_with(COORDINATOR, sign_with(MINER, &voucher)),
			Error::<Test>::SignatureInvalid
		);
		assert_noop!(
			report_with(MINER, sign_with(MINER, &voucher)),
			Error::<Test>::WorkerNotCoordinators
		);
		assert_noop!(
			report(MINER, 1, 31 * CUC, proof.clone()),
			Error::<Test>::SettlementNotFound
		);
		let mut changed = proof.clone();
		changed.leaves[0].leaf.amount = 1;
		assert_noop!(
			report(MINER, 0, 31 * CUC, changed),
			Error::<Test>::ProofInvalid
		);
		pass_eras(CLAIM_ERAS);
		assert_noop!(
			report(MINER, 0, 31 * CUC, proof.clone()),
			Error::<Test>::ClaimTooLate
		);
	});
}

/// The last era in which it can be proven is one in which it can be slashed.
#[test]
fn it_can_be_proven_as_long_as_the_era_is_open() {
	run(|| {
		let tree = settled(&[(MINER, 30 * CUC)]);
		pass_eras(CLAIM_ERAS - 1);
		assert_ok!(report(MINER, 0, 31 * CUC, proof_for(&tree, MINER)));
	});
}

/// With a coordinator's stolen key vouchers can be signed for every era that is open. It costs what one
/// settlement that is short costs.
#[test]
fn short_settlements_of_many_eras_are_slashed_once() {
	run(|| {
		back(COORDINATOR, 10_000 * CUC, MINER, 80 * CUC);
		let mut trees = Vec::new();
		for era in 0..CLAIM_ERAS {
			pass_eras(1);
			trees.push(settle(COORDINATOR, era, &[(MINER, 30 * CUC)]));
		}
		let stake = pool(COORDINATOR);
		// The latest first: the other way round all but the first are refused.
		for (era, tree) in trees.iter().enumerate().rev() {
			assert_ok!(report(
				MINER,
				era as EraIndex,
				31 * CUC,
				proof_for(tree, MINER)
			));
		}
		pass_eras(SLASH_DEFER_ERAS);
		assert_ok!(Staking::apply_slashes(signed(STRANGER), 10));
		assert!(Staking::slashes(None, 10).is_empty());
		assert_eq!(pool(COORDINATOR), stake - stake / 10);
	});
}

/// What governance has cancelled is not begun again with another miner's voucher.
#[test]
fn a_cancelled_slash_stays_cancelled() {
	run(|| {
		let tree = settled(&[(MINER, 30 * CUC), (MINER_2, 10 * CUC)]);
		assert_ok!(report(MINER, 0, 31 * CUC, proof_for(&tree, MINER)));
		let slash = Staking::slashes(None, 10).remove(0);
		assert_ok!(Staking::cancel_slash(RuntimeOrigin::root(), slash.slash));
		assert!(report(MINER_2, 0, 11 * CUC, proof_for(&tree, MINER_2)).is_err());
		assert!(Staking::is_active(&account(COORDINATOR)));
	});
}

/// A coordinator that does not sort its tree hides nobody: who is left out has a place all the same.
#[test]
fn an_unsorted_tree_hides_nobody() {
	run(|| {
		back(COORDINATOR, 1_000 * CUC, MINER, 80 * CUC);
		pass_eras(1);
		let context = cuckoo_primitives::sum_tree::context(&GENESIS_HASH, &account(COORDINATOR), 0);
		// The honest builder refuses; so the two nodes are joined by hand.
		let one = |miner: u8| {
			let leaf = Leaf {
				miner: account(miner),
				amount: CUC,
			};
			let tree = SumTree::new(&context, vec![leaf.clone()]).unwrap();
			(leaf, tree.root().node)
		};
		let ((high, high_node), (low, low_node)) = (one(MINER_3), one(MINER));
		let root = Root {
			node: Node::branch(&high_node, &low_node),
			leaves: 2,
		};
		assert_ok!(Settlement::settle_era(signed(COORDINATOR), 0, root));
		let proof = Proof {
			leaves: vec![PlacedLeaf {
				index: 0,
				leaf: high,
			}],
			siblings: vec![low_node],
		};
		assert_ok!(report(MINER_2, 0, 1, proof));
		assert_eq!(low.miner, account(MINER));
	});
}
