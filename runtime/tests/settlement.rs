//! A task's money on the runtime as it is: from an app's channel to the voters of the miner.

mod common;

use common::{account, block_after, signed, state_of, until_era};
use cuckoo_primitives::{
	signing::{self, SignedPayload},
	sum_tree::{self, Leaf, SumTree},
	voucher::{ChannelVoucher, MinerVoucher},
	Balance, EraIndex, WorkerSignature, CUC,
};
use cuckoo_runtime::{
	configs::AuditFundAccount,
	constants::{BLOCKS_PER_ERA, POST_ERAS, SLASH_DEFER_ERAS},
	AccountId, Balances, Runtime, Settlement, Staking, System,
};
use frame_support::{assert_noop, assert_ok, BoundedVec};
use pallet_cuckoo_settlement::{Allotments, Error, Reserves};
use sp_core::{sr25519, Pair};

const COORDINATOR: &str = "//Coordinator//1";
const MINER: &str = "//Miner//1";
/// Has a quarter of the miner's pool.
const VOTER: &str = "//Voter//1";
const APP: &str = "//Dave";
const ANYBODY: &str = "//Eve";

/// Of a fee of 100 CUC the miners get 75, as in the documentation's tables.
const FEE: Balance = 100 * CUC;
const MINERS_PART: Balance = 75 * CUC;

/// Rates of pools have 18 digits: rounding takes far less from a position than this.
const ROUNDING: Balance = CUC / 1_000_000;

fn key(uri: &str) -> sr25519::Pair {
	sr25519::Pair::from_string(uri, None).unwrap()
}

fn sign(payload: &impl SignedPayload, pair: &sr25519::Pair) -> WorkerSignature {
	signing::sign(&System::block_hash(0), payload, pair)
}

/// What the coordinator's worker has signed to the miner for an era.
fn owed(era: EraIndex, cumulative: Balance) -> (sr25519::Public, MinerVoucher, WorkerSignature) {
	let voucher = MinerVoucher {
		coordinator: account(COORDINATOR),
		miner: account(MINER),
		era,
		cumulative,
	};
	let worker = key("//Coordinator//1//worker");
	let signature = sign(&voucher, &worker);
	(worker.public(), voucher, signature)
}

/// The tree of an era in which the coordinator owes this to the miner alone.
fn tree(era: EraIndex, amount: Balance) -> SumTree {
	let context = sum_tree::context(&System::block_hash(0), &account(COORDINATOR), era);
	let leaf = Leaf {
		miner: account(MINER),
		amount,
	};
	SumTree::new(&context, vec![leaf]).unwrap()
}

fn worth(holder: &str, operator: &str) -> Balance {
	Staking::position(account(holder), account(operator)).map_or(0, |position| position.value)
}

fn reserve() -> pallet_cuckoo_settlement::Reserve {
	Reserves::<Runtime>::get(account(COORDINATOR))
}

/// An app pays a fee through a channel, and the coordinator redeems it.
fn pay_by_channel() {
	let signer = key("//Dave//app");
	assert_ok!(Settlement::open_channel(
		signed(APP),
		account(COORDINATOR),
		signer.public(),
		FEE
	));
	let voucher = ChannelVoucher {
		coordinator: account(COORDINATOR),
		channel: 0,
		cumulative: FEE,
	};
	let signature = sign(&voucher, &signer);
	assert_ok!(Settlement::redeem(signed(ANYBODY), 0, FEE, signature));
}

/// Claims the only leaf of an era's tree.
fn claim(era: EraIndex, tree: &SumTree) {
	let proof = tree.prove(&[0]).unwrap();
	assert_ok!(Settlement::claim(
		signed(ANYBODY),
		account(COORDINATOR),
		era,
		BoundedVec::truncate_from(proof.leaves),
		BoundedVec::truncate_from(proof.siblings),
	));
}

/// What a position has grown by is this, less what rounding took.
#[track_caller]
fn assert_grown(before: Balance, after: Balance, expected: Balance) {
	let grown = after - before;
	assert!(
		(expected - ROUNDING..=expected).contains(&grown),
		"grown by {grown}, not {expected}"
	);
}

#[test]
fn a_fee_makes_the_miner_and_its_voters_richer() {
	state_of("development").execute_with(|| {
		until_era(1);
		pay_by_channel();
		assert_eq!(reserve().balance, FEE);
		let miner = worth(MINER, MINER);
		let voter = worth(VOTER, MINER);
		let coordinator = worth(COORDINATOR, COORDINATOR);
		until_era(2);

		let issued = Balances::total_issuance();
		let tree = tree(1, MINERS_PART);
		assert_ok!(Settlement::settle_era(signed(COORDINATOR), 1, tree.root()));
		claim(1, &tree);
		// 8 burned, and 5 and 1 issued.
		assert_eq!(issued - Balances::total_issuance(), 2 * CUC);
		assert_eq!(Balances::free_balance(AuditFundAccount::get()), 2 * CUC);
		assert_eq!(reserve().balance, 0);

		// It streams in over an era of blocks.
		block_after(1, BLOCKS_PER_ERA, 0, || ());
		// Of 80 CUC the commission, 8, is staked at once, and shares the rest with the pool's 40,000.
		let voters_part = 72 * CUC * 10_000 / 40_008;
		assert_grown(voter, worth(VOTER, MINER), voters_part);
		assert_grown(miner, worth(MINER, MINER), 80 * CUC - voters_part);
		assert!(worth(COORDINATOR, COORDINATOR) > coordinator + 15 * CUC);
	});
}

#[test]
fn an_era_that_nobody_settled_is_paid_from_the_allotment() {
	state_of("development").execute_with(|| {
		until_era(1);
		assert_ok!(Settlement::fund_reserve(signed(COORDINATOR), FEE));
		assert_ok!(Settlement::allot(
			signed(COORDINATOR),
			account(MINER),
			MINERS_PART
		));
		let (worker, voucher, signature) = owed(1, MINERS_PART);
		let claim =
			|| Settlement::claim_voucher(signed(ANYBODY), worker, voucher.clone(), signature);
		until_era(1 + POST_ERAS);
		assert_noop!(claim(), Error::<Runtime>::ClaimTooEarly);
		until_era(2 + POST_ERAS);
		assert_ok!(claim());
		let left = Allotments::<Runtime>::get(account(COORDINATOR), account(MINER));
		assert_eq!(left.map(|allotment| allotment.amount), Some(0));
		// The miner's part, and the levy: what would have been burned and given to the audit fund.
		assert_eq!(reserve().balance, FEE - MINERS_PART - 10 * CUC);
		assert_noop!(claim(), Error::<Runtime>::VoucherUsed);
	});
}

#[test]
fn a_settlement_that_is_short_is_slashed() {
	state_of("development").execute_with(|| {
		until_era(1);
		pay_by_channel();
		until_era(2);
		let tree = tree(1, MINERS_PART - 1);
		assert_ok!(Settlement::settle_era(signed(COORDINATOR), 1, tree.root()));
		let stake = worth(COORDINATOR, COORDINATOR);
		let (worker, voucher, signature) = owed(1, MINERS_PART);
		let proof = tree.prove(&[0]).unwrap();
		assert_ok!(Settlement::report_short(
			signed(ANYBODY),
			worker,
			voucher,
			signature,
			BoundedVec::truncate_from(proof.leaves),
			BoundedVec::truncate_from(proof.siblings),
		));
		let operator = |account: AccountId| Staking::operator(account).unwrap();
		assert!(operator(account(COORDINATOR)).suspended);
		until_era(3 + SLASH_DEFER_ERAS);
		assert_ok!(Staking::apply_slashes(signed(ANYBODY), 1));
		assert!(worth(COORDINATOR, COORDINATOR) < stake);
	});
}
