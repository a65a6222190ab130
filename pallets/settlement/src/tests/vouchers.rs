//! Vouchers that are claimed out of the allotment.

use cuckoo_primitives::{signing::sign, Balance, CUC, H256};
use frame_support::{assert_noop, assert_ok};

use crate::{mock::*, Error, Event, Held};

/// An era in which the miner has earned, and the coordinator has not settled in time.
fn not_settled(free: Balance, allotment: Balance) -> u32 {
	back(COORDINATOR, free, MINER, allotment);
	let worked = era();
	pass_eras(POST_ERAS + 1);
	worked
}

#[test]
fn an_era_that_was_not_settled_is_claimed_from_the_allotment() {
	run(|| {
		let worked = not_settled(100 * CUC, 80 * CUC);
		let issuance = Balances::total_issuance();
		assert_ok!(claim_voucher(COORDINATOR, MINER, worked, 75 * CUC));
		assert_eq!(pool(MINER), 40_075 * CUC);
		// The levy of a fee of 100 is burned, and nothing issued.
		assert_eq!(Balances::total_issuance(), issuance - 10 * CUC);
		assert_eq!(reserve(COORDINATOR).balance, 95 * CUC);
		assert_eq!(reserve(COORDINATOR).free(), 90 * CUC);
		assert_eq!(allotment(COORDINATOR, MINER).unwrap().amount, 5 * CUC);
		assert_eq!(Held::<Test>::get(), 95 * CUC);
		System::assert_has_event(
			Event::VoucherClaimed {
				coordinator: account(COORDINATOR),
				era: worked,
				miner: account(MINER),
				amount: 75 * CUC,
				allotment: 5 * CUC,
			}
			.into(),
		);
	});
}

#[test]
fn what_cannot_be_burned_now_is_owed() {
	run(|| {
		let worked = not_settled(4 * CUC, 75 * CUC);
		assert_ok!(claim_voucher(COORDINATOR, MINER, worked, 75 * CUC));
		assert_eq!(reserve(COORDINATOR).owed, 6 * CUC);
		assert_eq!(reserve(COORDINATOR).free(), 0);
		assert_noop!(
			Settlement::withdraw_reserve(signed(COORDINATOR), 1),
			Error::<Test>::ReserveTooLow
		);
		// It is taken from whatever comes in next.
		let channel = open(APP, COORDINATOR, 100 * CUC);
		assert_ok!(redeem(APP, COORDINATOR, channel, 10 * CUC));
		assert_eq!(reserve(COORDINATOR).owed, 0);
		assert_eq!(reserve(COORDINATOR).free(), 4 * CUC);
	});
}

#[test]
fn replayed_and_reordered_vouchers_are_refused() {
	run(|| {
		let worked = not_settled(100 * CUC, 80 * CUC);
		assert_ok!(claim_voucher(COORDINATOR, MINER, worked, 30 * CUC));
		for used in [30 * CUC, 29 * CUC, 0] {
			assert_noop!(
				claim_voucher(COORDINATOR, MINER, worked, used),
				Error::<Test>::VoucherUsed
			);
		}
		assert_ok!(claim_voucher(COORDINATOR, MINER, worked, 40 * CUC));
		assert_eq!(pool(MINER), 40_040 * CUC);
	});
}

/// However much a coordinator signs, and to whom: a miner's allotment is its own.
#[test]
fn overdrawn_vouchers_take_only_their_own_allotment() {
	run(|| {
		back(COORDINATOR, 100 * CUC, MINER, 50 * CUC);
		back(COORDINATOR, 0, MINER_2, 20 * CUC);
		let worked = era();
		pass_eras(POST_ERAS + 1);
		assert_ok!(claim_voucher(COORDINATOR, MINER_2, worked, Balance::MAX));
		assert_eq!(pool(MINER_2), 30_020 * CUC);
		assert_noop!(
			claim_voucher(COORDINATOR, MINER_2, worked, Balance::MAX),
			Error::<Test>::AllotmentEmpty
		);
		assert_noop!(
			claim_voucher(COORDINATOR, MINER_3, worked, CUC),
			Error::<Test>::AllotmentNotFound
		);
		assert_ok!(claim_voucher(COORDINATOR, MINER, worked, 50 * CUC));
	});
}

#[test]
fn forged_vouchers_are_refused() {
	run(|| {
		let worked = not_settled(100 * CUC, 80 * CUC);
		let voucher = miner_voucher(COORDINATOR, MINER, worked, CUC);
		let claim = |worker: u8, voucher: &_, signature| {
			let voucher: &cuckoo_primitives::voucher::MinerVoucher = voucher;
			Settlement::claim_voucher(signed(MINER), public(worker), voucher.clone(), signature)
		};
		let forged = [
			sign_with(OTHER, &voucher),
			sign_with(
				COORDINATOR,
				&miner_voucher(COORDINATOR, MINER, worked, 2 * CUC),
			),
			sign_with(
				COORDINATOR,
				&miner_voucher(COORDINATOR, MINER_2, worked, CUC),
			),
			sign_with(
				COORDINATOR,
				&miner_voucher(COORDINATOR, MINER, worked + 1, CUC),
			),
			sign_with(COORDINATOR, &miner_voucher(OTHER, MINER, worked, CUC)),
			sign(&H256::zero(), &voucher, &key(COORDINATOR)),
		];
		for signature in forged {
			assert_noop!(
				claim(COORDINATOR, &voucher, signature),
				Error::<Test>::SignatureInvalid
			);
		}
		// A key of another coordinator, of the miner itself, and of nobody.
		for worker in [OTHER, MINER, STRANGER] {
			assert_noop!(
				claim(worker, &voucher, sign_with(worker, &voucher)),
				Error::<Test>::WorkerNotCoordinators
			);
		}
	});
}

/// The era in the voucher counts, not when it was signed or handed in: neither a coordinator's nor a
/// miner's clock moves the windows.
#[test]
fn vouchers_have_their_time() {
	run(|| {
		back(COORDINATOR, 100 * CUC, MINER, 80 * CUC);
		let worked = era();
		for _ in 0..=POST_ERAS {
			for early in [worked, era(), era() + 1, u32::MAX] {
				assert_noop!(
					claim_voucher(COORDINATOR, MINER, early, CUC),
					Error::<Test>::ClaimTooEarly
				);
			}
			pass_eras(1);
		}
		assert_ok!(claim_voucher(COORDINATOR, MINER, worked, CUC));
		pass_eras(CLAIM_ERAS - POST_ERAS - 1);
		assert_ok!(claim_voucher(COORDINATOR, MINER, worked, 2 * CUC));
		pass_eras(1);
		// Expired.
		assert_noop!(
			claim_voucher(COORDINATOR, MINER, worked, 3 * CUC),
			Error::<Test>::ClaimTooLate
		);
	});
}

#[test]
fn vouchers_of_before_the_allotment_are_not_backed_by_it() {
	run(|| {
		pass_eras(1);
		back(COORDINATOR, 0, MINER, 80 * CUC);
		pass_eras(POST_ERAS + 1);
		assert_noop!(
			claim_voucher(COORDINATOR, MINER, 0, CUC),
			Error::<Test>::AllotmentNotFound
		);
		assert_ok!(claim_voucher(COORDINATOR, MINER, 1, CUC));
	});
}

/// A leaf and a voucher of one era are together worth the higher of both, and leave the same behind in either
/// order: what the leaf pays does not stay taken out of the allotment.
#[test]
fn leaf_and_voucher_are_not_paid_twice() {
	for (signed_for, leaf_first) in [(40, true), (40, false), (30, false), (20, false)] {
		run(|| {
			back(COORDINATOR, 100 * CUC, MINER, 80 * CUC);
			let worked = era();
			pass_eras(1);
			let tree = settle(COORDINATOR, worked, &[(MINER, 30 * CUC), (MINER_2, CUC)]);
			pass_eras(POST_ERAS);
			let before = pool(MINER);
			let fee = 31 * CUC * 4 / 3 + 1;
			if leaf_first {
				assert_ok!(claim_of(COORDINATOR, worked, &tree, MINER));
				assert_noop!(
					claim_voucher(COORDINATOR, MINER, worked, 30 * CUC),
					Error::<Test>::VoucherUsed
				);
				// The settlement is short: the rest comes from the allotment.
				assert_ok!(claim_voucher(COORDINATOR, MINER, worked, 40 * CUC));
			} else {
				let voucher = signed_for * CUC;
				assert_ok!(claim_voucher(COORDINATOR, MINER, worked, voucher));
				assert_eq!(pool(MINER) - before, voucher);
				assert_ok!(claim_of(COORDINATOR, worked, &tree, MINER));
				let restored = voucher.min(30 * CUC);
				System::assert_has_event(
					Event::LeafClaimed {
						coordinator: account(COORDINATOR),
						era: worked,
						miner: account(MINER),
						amount: 30 * CUC - restored,
						emission: 2 * CUC - 1,
						restored,
					}
					.into(),
				);
			}
			assert_noop!(
				claim_of(COORDINATOR, worked, &tree, MINER),
				Error::<Test>::NothingToClaim
			);
			// 2 of it were issued, rounded down; of what is above the leaf 9 are beyond the sum.
			let above = signed_for.saturating_sub(30) * CUC;
			assert_eq!(pool(MINER) - before, 32 * CUC + above - 1);
			assert_eq!(
				allotment(COORDINATOR, MINER).unwrap().amount,
				80 * CUC - above
			);
			let levy = above.saturating_sub(CUC) * 2 / 15;
			assert_eq!(reserve(COORDINATOR).free(), 100 * CUC - fee - levy);
			// And what nobody has claimed goes back, as ever.
			pass_eras(CLAIM_ERAS - POST_ERAS);
			assert_ok!(Settlement::clean(
				signed(STRANGER),
				account(COORDINATOR),
				worked,
				1
			));
			assert_eq!(reserve(COORDINATOR).free(), 101 * CUC - fee - levy);
		});
	}
}

/// A coordinator claims the voucher of an era that it has settled, so that nothing is left of the allotment
/// for what the miner has done since.
#[test]
fn the_voucher_of_a_settled_era_does_not_use_up_what_backs_later_ones() {
	run(|| {
		back(COORDINATOR, 100 * CUC, MINER, 100 * CUC);
		let worked = era();
		pass_eras(1);
		let tree = settle(COORDINATOR, worked, &[(MINER, 60 * CUC)]);
		// The leaf is proven: the miner counts on all of its allotment for the next eras.
		let later = era();
		pass_eras(POST_ERAS);
		assert_ok!(claim_voucher(COORDINATOR, MINER, worked, 60 * CUC));
		assert_eq!(allotment(COORDINATOR, MINER).unwrap().amount, 40 * CUC);
		assert_ok!(claim_of(COORDINATOR, worked, &tree, MINER));
		assert_eq!(allotment(COORDINATOR, MINER).unwrap().amount, 100 * CUC);
		pass_eras(1);
		assert_ok!(claim_voucher(COORDINATOR, MINER, later, 100 * CUC));
		// The leaf's 60 with 4 that were issued, rounded down, and the 100.
		assert_eq!(pool(MINER), 40_164 * CUC);
	});
}

/// Nor does a voucher above the leaf: the miner has got the more.
#[test]
fn a_voucher_above_a_settled_eras_leaf_costs_the_miner_nothing() {
	run(|| {
		back(COORDINATOR, 1_000 * CUC, MINER, 100 * CUC);
		let worked = era();
		pass_eras(1);
		let tree = settle(COORDINATOR, worked, &[(MINER, 60 * CUC)]);
		let later = era();
		pass_eras(POST_ERAS);
		let before = pool(MINER);
		assert_ok!(claim_voucher(COORDINATOR, MINER, worked, Balance::MAX));
		assert_eq!(allotment(COORDINATOR, MINER).unwrap().amount, 0);
		assert_ok!(claim_of(COORDINATOR, worked, &tree, MINER));
		pass_eras(1);
		assert_ok!(claim_voucher(COORDINATOR, MINER, later, 100 * CUC));
		assert_eq!(pool(MINER) - before, 160 * CUC + 4 * CUC);
	});
}

/// A coordinator that posts a root of next to nothing, and lets its miners claim their vouchers, owes what it
/// would have owed without: the levy goes by what miners get beyond what was settled.
#[test]
fn a_root_of_next_to_nothing_is_no_way_around_the_levy() {
	let left_after = |settles: bool| {
		let mut left = 0;
		run(|| {
			back(COORDINATOR, 100 * CUC, MINER, 75 * CUC);
			let worked = era();
			pass_eras(1);
			let before = reserve(COORDINATOR).balance;
			if settles {
				settle(COORDINATOR, worked, &[(STRANGER, 1)]);
			}
			let fee = before - reserve(COORDINATOR).balance;
			pass_eras(POST_ERAS);
			assert_ok!(claim_voucher(COORDINATOR, MINER, worked, 75 * CUC));
			left = reserve(COORDINATOR).balance + fee;
		});
		left
	};
	assert_eq!(left_after(false), 90 * CUC);
	assert!(left_after(true) <= 90 * CUC + 1);
}

/// In whichever order leaves and vouchers are claimed: more than the sum owes the levy.
#[test]
fn leaves_after_vouchers_owe_the_levy_as_well() {
	for leaf_first in [true, false] {
		run(|| {
			back(COORDINATOR, 1_000 * CUC, MINER, 0);
			back(COORDINATOR, 0, MINER_2, 75 * CUC);
			let worked = era();
			pass_eras(1);
			let tree = settle(COORDINATOR, worked, &[(MINER, 75 * CUC)]);
			pass_eras(POST_ERAS);
			let free = reserve(COORDINATOR).free();
			if leaf_first {
				assert_ok!(claim_of(COORDINATOR, worked, &tree, MINER));
			}
			// It stands in for the leaf that nobody has claimed, and then it does not any more.
			assert_ok!(claim_voucher(COORDINATOR, MINER_2, worked, 75 * CUC));
			if !leaf_first {
				assert_eq!(reserve(COORDINATOR).free(), free);
				assert_ok!(claim_of(COORDINATOR, worked, &tree, MINER));
			}
			assert_eq!(reserve(COORDINATOR).free(), free - 10 * CUC);
		});
	}
}

/// A coordinator that settled what it had signed owes nothing beyond, whatever is claimed by leaf and by
/// voucher, and gets back what its miners leave.
#[test]
fn an_honest_settlement_owes_no_levy_beyond_its_fee() {
	run(|| {
		back(COORDINATOR, 1_000 * CUC, MINER, 80 * CUC);
		back(COORDINATOR, 0, MINER_2, 80 * CUC);
		let worked = era();
		let owed = [(MINER, 30 * CUC), (MINER_2, 20 * CUC), (MINER_3, 10 * CUC)];
		pass_eras(1);
		let tree = settle(COORDINATOR, worked, &owed);
		let left = reserve(COORDINATOR).free();
		pass_eras(POST_ERAS);
		assert_ok!(claim_voucher(COORDINATOR, MINER, worked, 10 * CUC));
		assert_ok!(claim_voucher(COORDINATOR, MINER_2, worked, 20 * CUC));
		assert_ok!(claim(COORDINATOR, worked, tree.prove(&[0, 2]).unwrap()));
		assert_ok!(claim_of(COORDINATOR, worked, &tree, MINER_2));
		assert_eq!(reserve(COORDINATOR).owed, 0);
		assert_eq!(reserve(COORDINATOR).free(), left);
		for miner in [MINER, MINER_2] {
			assert_eq!(allotment(COORDINATOR, miner).unwrap().amount, 80 * CUC);
		}
	});
}

/// Gives the coordinator the worker key 77.
fn change_worker() {
	let proof = cuckoo_primitives::signing::WorkerProof {
		operator: account(COORDINATOR),
		nonce: Staking::worker_nonce(account(COORDINATOR)),
	};
	let signature = sign_with(77, &proof);
	assert_ok!(Staking::set_worker(
		signed(COORDINATOR),
		public(77),
		signature
	));
}

/// What a key has signed while it was the coordinator's stays good after it was changed.
#[test]
fn vouchers_of_a_former_worker_are_good() {
	run(|| {
		let worked = not_settled(0, 80 * CUC);
		change_worker();
		assert_ok!(claim_voucher(COORDINATOR, MINER, worked, CUC));
	});
}

/// Also those that the later key signs for eras before it.
#[test]
fn vouchers_that_a_later_worker_signs_again_are_good() {
	run(|| {
		let worked = not_settled(0, 80 * CUC);
		change_worker();
		let voucher = miner_voucher(COORDINATOR, MINER, worked, CUC);
		let signature = sign_with(77, &voucher);
		assert_ok!(Settlement::claim_voucher(
			signed(MINER),
			public(77),
			voucher,
			signature
		));
	});
}

/// A key that was stolen and replaced empties no allotment of later eras, and proves nothing of them. Of the
/// era that follows one side may have heard first.
#[test]
fn vouchers_of_eras_after_a_worker_was_let_go_of_are_refused() {
	run(|| {
		back(COORDINATOR, 100 * CUC, MINER, 80 * CUC);
		change_worker();
		let let_go = era();
		pass_eras(3);
		let tree = settle(COORDINATOR, let_go + 2, &[(MINER, CUC)]);
		pass_eras(POST_ERAS);
		assert_ok!(claim_voucher(COORDINATOR, MINER, let_go, CUC));
		assert_ok!(claim_voucher(COORDINATOR, MINER, let_go + 1, CUC));
		assert_noop!(
			claim_voucher(COORDINATOR, MINER, let_go + 2, 2 * CUC),
			Error::<Test>::WorkerNotCoordinators
		);
		let voucher = miner_voucher(COORDINATOR, MINER, let_go + 2, 2 * CUC);
		let signature = sign_with(COORDINATOR, &voucher);
		let proof = tree.prove_miner(&account(MINER)).expect("it has a leaf");
		let report = Settlement::report_short(
			signed(STRANGER),
			public(COORDINATOR),
			voucher,
			signature,
			proof.leaves.try_into().expect("one"),
			proof.siblings.try_into().expect("none"),
		);
		assert_eq!(
			report.map_err(|refused| refused.error),
			Err(Error::<Test>::WorkerNotCoordinators.into())
		);
	});
}
