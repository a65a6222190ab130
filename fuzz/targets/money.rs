//! Money as the other side says it: an app's payments, a coordinator's vouchers and proofs of settled
//! eras, amounts as people write them. A voucher is also taken as its signer would have signed it, and
//! a proof against the root that it leads to, so that the rules behind signature and hash are reached.
#![no_main]

use cuckoo_coordinator_api::{
	channel::ChannelSigner,
	payment::{AccountStatus, ChannelPayment, ChannelStatus, SettlementProof, SignedVoucher},
	Amount,
};
use cuckoo_primitives::{
	signing,
	sum_tree::{self, Root},
	voucher::ChannelLedger,
	AccountId, Balance, H256,
};
use libfuzzer_sys::fuzz_target;
use offchain_coordinator::ledger::{journal::Account, Payer};
use offchain_miner::purse::{
	book::{Book, Party, Source, View},
	era,
};
use serde::{de::DeserializeOwned, Serialize};
use sp_core::{sr25519, Pair};
use std::{fmt::Debug, sync::LazyLock};

static KEY: LazyLock<sr25519::Pair> = LazyLock::new(|| Pair::from_seed(&[1; 32]));
const GENESIS: H256 = H256::repeat_byte(0x42);
const COORDINATOR: AccountId = AccountId::new([9; 32]);

/// What decodes is written and read again as the same.
fn read<T: DeserializeOwned + Serialize + PartialEq + Debug>(data: &[u8]) -> Option<T> {
	let value: T = serde_json::from_slice(data).ok()?;
	let written = serde_json::to_vec(&value).expect("it was read");
	assert_eq!(
		serde_json::from_slice::<T>(&written).ok().as_ref(),
		Some(&value)
	);
	Some(value)
}

fn payment(payment: &ChannelPayment) {
	let voucher = payment.voucher(COORDINATOR);
	signing::verify(&GENESIS, &voucher, &payment.signature, &KEY.public());
	let mut ledger = ChannelLedger {
		coordinator: COORDINATOR,
		channel: payment.channel,
		deposit: Balance::MAX / 2,
		highest: 1_000,
	};
	if ledger.take(&voucher, 10).is_ok() {
		assert!((1_010..=ledger.deposit).contains(&ledger.highest));
		assert!(ledger.take(&voucher, 1).is_err(), "nothing is paid twice");
	}
}

fn status(status: &ChannelStatus) {
	let mut signer = ChannelSigner::new(GENESIS, COORDINATOR, 7, 100, KEY.clone());
	signer.pay(Amount(60)).expect("the deposit covers it");
	signer.resume(status);
	if let Ok(payment) = signer.pay(Amount(10)) {
		assert!(
			payment.cumulative >= Amount(60),
			"it signs for no less than before"
		);
	}
	assert!(signer.left() <= status.deposit);
}

/// All the vouchers of one answer, into one book.
fn vouchers(vouchers: &[SignedVoucher]) {
	let Some(first) = vouchers.first() else {
		return;
	};
	let party = Party {
		coordinator: first.coordinator.clone(),
		miner: first.miner.clone(),
	};
	let mut book = Book::new(GENESIS, &party);
	for voucher in vouchers {
		let view = View {
			worker: Some(KEY.public()),
			now: first.era,
		};
		let list = Source::List { claim_eras: 8 };
		let _ = book.take(voucher, list, &view);
		let signed = SignedVoucher {
			worker: KEY.public(),
			signature: signing::sign(&GENESIS, &voucher.voucher(), &*KEY),
			..voucher.clone()
		};
		let before = book.signed();
		for source in [Source::Reply, list] {
			let _ = book.take(&signed, source, &view);
		}
		assert!(book.signed() >= before, "no voucher takes anything away");
	}
	book.catch_up(0);
	book.prune(first.era.saturating_add(4), 8);
	assert_eq!(book.missing(), 0, "what was never earned is not missing");
	let written = serde_json::to_vec(&book).expect("a book");
	assert_eq!(serde_json::from_slice::<Book>(&written).ok(), Some(book));
}

fn proof(proof: SettlementProof) {
	let taken = proof.proof();
	let context = sum_tree::context(&GENESIS, &COORDINATOR, proof.era);
	let leads_to = sum_tree::top(proof.count, &context, &taken.leaves, &taken.siblings);
	let root = Root {
		node: leads_to.unwrap_or_default(),
		leaves: proof.count,
	};
	let amounts = taken.leaves.iter().map(|placed| placed.leaf.amount);
	let proven = amounts.fold(Some(0), |sum: Option<Balance>, amount| {
		sum?.checked_add(amount)
	});
	let miners = taken.leaves.iter().map(|placed| placed.leaf.miner.clone());
	for miner in miners.chain([AccountId::new([7; 32])]) {
		let party = Party {
			coordinator: COORDINATOR,
			miner,
		};
		let _ = era::prove(&GENESIS, &party, proof.era, &proof.root(), proof.clone());
		let shown = era::prove(&GENESIS, &party, proof.era, &root, proof.clone());
		if leads_to.is_some() {
			let sum = proven.expect("sums that overflow prove nothing");
			assert!(sum <= root.node.sum, "no more is proven than was posted");
			assert!(shown.map_or(0, |shown| shown.amount) <= sum);
		} else {
			assert!(shown.is_err(), "what leads nowhere proves nothing");
		}
	}
}

fn text(text: &str) {
	if let Some(amount) = Amount::from_cuc(text) {
		assert_eq!(Amount::from_cuc(&amount.to_cuc()), Some(amount));
	}
	// Apps' ids and the store's columns.
	if let Some(payer) = Payer::parse(text) {
		assert_eq!(Payer::parse(&payer.to_string()), Some(payer));
	}
	if let Some(account) = Account::parse(text) {
		assert_eq!(Account::parse(&account.to_string()), Some(account));
	}
}

fuzz_target!(|data: &[u8]| {
	if let Some(read) = read(data) {
		payment(&read);
	}
	if let Some(read) = read(data) {
		status(&read);
	}
	read::<AccountStatus>(data);
	if let Some(one) = read(data) {
		vouchers(&[one]);
	}
	if let Some(read) = read::<Vec<SignedVoucher>>(data) {
		vouchers(&read);
	}
	if let Some(read) = read(data) {
		proof(read);
	}
	if let Ok(read) = std::str::from_utf8(data) {
		text(read);
	}
});
