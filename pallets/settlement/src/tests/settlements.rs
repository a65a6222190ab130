//! Settling eras, claims by proof, clean-up.

use cuckoo_primitives::{
	sum_tree::{Leaf, PlacedLeaf, Proof, Root, SumTree},
	weight_tree::Node,
	Balance, CUC, H256,
};
use frame_support::{assert_noop, assert_ok};

use crate::{mock::*, ClaimedLeaves, Error, Event, Held, Settlements};

const OWED: [(u8, Balance); 3] = [(MINER, 30 * CUC), (MINER_2, 15 * CUC), (MINER_3, 30 * CUC)];

/// An era is over of which 75 CUC are owed: a fee of 100.
fn era_over() -> u32 {
	back(COORDINATOR, 1_000 * CUC, MINER, 0);
	let worked = era();
	pass_eras(1);
	worked
}

#[test]
fn a_fee_is_split_and_claims_enter_pools() {
	run(|| {
		let worked = era_over();
		let issuance = Balances::total_issuance();
		let tree = settle(COORDINATOR, worked, &OWED);
		// 100 CUC: 75 for the miners, 15 for the coordinator and 1 issued, 2 for audits, 8 burned.
		assert_eq!(reserve(COORDINATOR).balance, 900 * CUC);
		assert_eq!(pool(COORDINATOR), 3_000_016 * CUC);
		assert_eq!(free(FUND), ENDOWMENT + 2 * CUC);
		assert_eq!(Held::<Test>::get(), 975 * CUC);
		assert_eq!(Balances::total_issuance(), issuance - 7 * CUC);
		assert_ok!(claim_of(COORDINATOR, worked, &tree, MINER));
		// 30 of 75, and as much of the 5 that are issued.
		assert_eq!(pool(MINER), 40_032 * CUC);
		System::assert_last_event(
			Event::LeafClaimed {
				coordinator: account(COORDINATOR),
				era: worked,
				miner: account(MINER),
				amount: 30 * CUC,
				emission: 2 * CUC,
				restored: 0,
			}
			.into(),
		);
		assert_ok!(claim(COORDINATOR, worked, tree.prove(&[0, 1, 2]).unwrap()));
		assert_eq!(pool(MINER_2), 30_016 * CUC);
		assert_eq!(pool(MINER_3), 30_032 * CUC);
		assert_eq!(Balances::total_issuance(), issuance - 2 * CUC);
		assert_eq!(Held::<Test>::get(), 900 * CUC);
	});
}

/// Commission first, then the voters: the stream is staking's.
#[test]
fn voters_and_commission_are_served() {
	run(|| {
		let worked = era_over();
		let tree = settle(COORDINATOR, worked, &OWED);
		assert_ok!(claim_of(COORDINATOR, worked, &tree, MINER));
		pass_eras(1);
		assert_ok!(Staking::recount(
			signed(STRANGER),
			vec![account(MINER)].try_into().unwrap()
		));
		let position = Staking::position(account(STRANGER), account(MINER)).unwrap();
		let own = Staking::position(account(MINER), account(MINER)).unwrap();
		// Of 32 CUC a tenth is commission; a quarter of the rest is the voter's.
		let voter = position.value - 10_000 * CUC;
		assert!(voter > 7 * CUC && voter < 72 * CUC / 10);
		assert!(own.value - 30_000 * CUC > 24 * CUC);
	});
}

#[test]
fn nothing_is_claimed_twice() {
	run(|| {
		let worked = era_over();
		let tree = settle(COORDINATOR, worked, &OWED);
		assert_ok!(claim(COORDINATOR, worked, tree.prove(&[0, 2]).unwrap()));
		for again in [vec![0], vec![0, 2]] {
			assert_noop!(
				claim(COORDINATOR, worked, tree.prove(&again).unwrap()),
				Error::<Test>::NothingToClaim
			);
		}
		// What is new in a batch is paid, the rest passed over.
		assert_ok!(claim(COORDINATOR, worked, tree.prove(&[0, 1, 2]).unwrap()));
		assert_eq!(Held::<Test>::get(), 900 * CUC);
		// The same leaf twice in one claim is no proof.
		let mut twice = tree.prove(&[1]).unwrap();
		twice.leaves.push(twice.leaves[0].clone());
		assert_noop!(
			claim(COORDINATOR, worked, twice),
			Error::<Test>::ProofInvalid
		);
	});
}

#[test]
fn proofs_of_other_eras_coordinators_and_chains_are_refused() {
	run(|| {
		back(COORDINATOR, 1_000 * CUC, MINER, 0);
		back(OTHER, 1_000 * CUC, MINER, 0);
		pass_eras(2);
		// The leaves are the same everywhere, and yet no proof fits elsewhere.
		let tree_0 = settle(COORDINATOR, 0, &OWED);
		let tree_1 = settle(COORDINATOR, 1, &OWED);
		let elsewhere = settle(OTHER, 0, &OWED);
		for (era, tree) in [(0, &tree_1), (0, &elsewhere), (1, &tree_0)] {
			assert_noop!(
				claim_of(COORDINATOR, era, tree, MINER),
				Error::<Test>::ProofInvalid
			);
		}
		let context = cuckoo_primitives::sum_tree::context(&H256::zero(), &account(COORDINATOR), 0);
		let other_chain = SumTree::new(&context, tree_0.leaves().to_vec()).unwrap();
		assert_noop!(
			claim_of(COORDINATOR, 0, &other_chain, MINER),
			Error::<Test>::ProofInvalid
		);
		assert_noop!(
			claim_of(OTHER, 1, &tree_1, MINER),
			Error::<Test>::SettlementNotFound
		);
	});
}

#[test]
fn changed_proofs_are_refused() {
	run(|| {
		let worked = era_over();
		let tree = settle(COORDINATOR, worked, &OWED);
		let good = tree.prove(&[0]).unwrap();
		let changes: [fn(&mut Proof); 5] = [
			|proof| proof.leaves[0].leaf.amount += 1,
			|proof| proof.leaves[0].leaf.miner = account(OTHER),
			|proof| proof.siblings[0].sum -= 1,
			|proof| proof.siblings.push(Node::default()),
			|proof| proof.leaves.clear(),
		];
		for change in changes {
			let mut proof = good.clone();
			change(&mut proof);
			assert_noop!(
				claim(COORDINATOR, worked, proof),
				Error::<Test>::ProofInvalid
			);
		}
	});
}

/// A root that says less than its leaves add up to does not pay out more than was put in.
#[test]
fn a_root_with_a_false_sum_pays_nobody_too_much() {
	run(|| {
		let worked = era_over();
		let tree = tree(COORDINATOR, worked, &OWED);
		let mut root = tree.root();
		root.node.sum -= 60 * CUC;
		assert_ok!(Settlement::settle_era(signed(COORDINATOR), worked, root));
		for miner in MINERS {
			assert_noop!(
				claim_of(COORDINATOR, worked, &tree, miner),
				Error::<Test>::ProofInvalid
			);
		}
	});
}

#[test]
fn settling_has_its_time_and_happens_once() {
	run(|| {
		back(COORDINATOR, 1_000 * CUC, MINER, 0);
		let settle_with = |era, root| Settlement::settle_era(signed(COORDINATOR), era, root);
		let root = tree(COORDINATOR, 0, &OWED).root();
		// A clock that is ahead: the present era and those to come.
		for early in [0, 1, u32::MAX] {
			assert_noop!(settle_with(early, root), Error::<Test>::EraNotOver);
		}
		pass_eras(POST_ERAS);
		assert_ok!(settle_with(0, root));
		assert_noop!(settle_with(0, root), Error::<Test>::EraAlreadySettled);
		pass_eras(2);
		assert_noop!(settle_with(1, root), Error::<Test>::PostingTooLate);
		assert_ok!(settle_with(2, tree(COORDINATOR, 2, &OWED).root()));
	});
}

#[test]
fn a_settlement_is_paid_from_what_is_free() {
	run(|| {
		back(COORDINATOR, 99 * CUC, MINER, 500 * CUC);
		pass_eras(1);
		let root = tree(COORDINATOR, 0, &OWED).root();
		assert_noop!(
			Settlement::settle_era(signed(COORDINATOR), 0, root),
			Error::<Test>::ReserveTooLow
		);
		assert_noop!(
			Settlement::settle_era(signed(STRANGER), 0, root),
			Error::<Test>::ReserveTooLow
		);
		assert_ok!(Settlement::fund_reserve(signed(COORDINATOR), CUC));
		assert_ok!(Settlement::settle_era(signed(COORDINATOR), 0, root));
		assert_eq!(reserve(COORDINATOR).free(), 0);
	});
}

#[test]
fn roots_that_cannot_be_are_refused() {
	run(|| {
		let worked = era_over();
		let good = tree(COORDINATOR, worked, &OWED).root();
		let roots = [
			Root { leaves: 0, ..good },
			Root {
				leaves: (1 << 20) + 1,
				..good
			},
			Root {
				node: Node {
					sum: 2,
					..good.node
				},
				..good
			},
		];
		for root in roots {
			assert_noop!(
				Settlement::settle_era(signed(COORDINATOR), worked, root),
				Error::<Test>::RootInvalid
			);
		}
		let all = Root {
			node: Node {
				sum: Balance::MAX,
				..good.node
			},
			..good
		};
		assert_noop!(
			Settlement::settle_era(signed(COORDINATOR), worked, all),
			Error::<Test>::AmountTooLarge
		);
	});
}

/// A miner without a pool gets its part on its account, and nothing is issued; one whose account cannot
/// take it does not stop the others.
#[test]
fn who_has_no_pool_is_paid_plainly() {
	run(|| {
		let worked = era_over();
		let owed = [(MINER, 30 * CUC), (APP, 45 * CUC - 1), (99, 1)];
		let tree = settle(COORDINATOR, worked, &owed);
		let issuance = Balances::total_issuance();
		assert_noop!(
			claim_of(COORDINATOR, worked, &tree, 99),
			Error::<Test>::NothingToClaim
		);
		assert_ok!(claim(COORDINATOR, worked, tree.prove(&[0, 1, 2]).unwrap()));
		assert_eq!(free(APP), ENDOWMENT + 45 * CUC - 1);
		assert_eq!(pool(MINER), 40_032 * CUC);
		assert_eq!(Balances::total_issuance(), issuance + 2 * CUC);
		let settlement = Settlements::<Test>::get(account(COORDINATOR), worked).unwrap();
		assert_eq!(settlement.unclaimed(), 1);
	});
}

/// 10,000 leaves are one root; 64 of them one claim.
#[test]
fn an_era_of_ten_thousand_miners() {
	run(|| {
		let worked = era_over();
		let context =
			cuckoo_primitives::sum_tree::context(&GENESIS_HASH, &account(COORDINATOR), worked);
		let leaves = (0..10_000u32)
			.map(|number| {
				let mut bytes = [0; 32];
				bytes[..4].copy_from_slice(&number.to_be_bytes());
				Leaf {
					miner: bytes.into(),
					amount: CUC / 100,
				}
			})
			.collect();
		let tree = SumTree::new(&context, leaves).unwrap();
		assert_ok!(Settlement::settle_era(
			signed(COORDINATOR),
			worked,
			tree.root()
		));
		let batch: Vec<u32> = (1_000..1_064).collect();
		assert_ok!(claim(COORDINATOR, worked, tree.prove(&batch).unwrap()));
		assert_ok!(claim(COORDINATOR, worked, tree.prove(&[9_999]).unwrap()));
		assert_eq!(ClaimedLeaves::<Test>::iter().count(), 3);
		check();
		// Clean-up is bounded, by anybody, and leaves nothing.
		let clean =
			|limit| Settlement::clean(signed(STRANGER), account(COORDINATOR), worked, limit);
		assert_noop!(clean(1), Error::<Test>::EraStillOpen);
		pass_eras(CLAIM_ERAS);
		assert_noop!(
			claim(COORDINATOR, worked, tree.prove(&[0]).unwrap()),
			Error::<Test>::ClaimTooLate
		);
		assert_noop!(clean(0), Error::<Test>::AmountTooSmall);
		for _ in 0..3 {
			assert_ok!(clean(3));
			check();
		}
		assert_ok!(clean(1_000));
		assert_noop!(clean(1), Error::<Test>::SettlementNotFound);
		assert_eq!(ClaimedLeaves::<Test>::iter().count(), 0);
		assert_eq!(Settlements::<Test>::iter().count(), 0);
		// What nobody claimed is the reserve's again: 9,935 leaves.
		let fee = 100 * CUC * 4 / 3 + 1;
		assert_eq!(
			reserve(COORDINATOR).balance,
			1_000 * CUC - fee + 9_935 * CUC / 100
		);
	});
}

/// A leaf in its place whose neighbour is not there.
#[test]
fn an_index_out_of_range_is_refused() {
	run(|| {
		let worked = era_over();
		let tree = settle(COORDINATOR, worked, &OWED);
		let mut proof = tree.prove(&[2]).unwrap();
		let PlacedLeaf { index, .. } = &mut proof.leaves[0];
		*index = 3;
		assert_noop!(
			claim(COORDINATOR, worked, proof),
			Error::<Test>::ProofInvalid
		);
	});
}
