//! Fixed vectors of vouchers and of the tree that settles an era: see `vectors.rs` for what a change
//! here means. The hashes were computed by another program, from the documents alone.

use cuckoo_primitives::{
	signing::{sign, signing_bytes, signing_hash, verify, SignedPayload},
	sum_tree::{self, Leaf, SumTree},
	voucher::{ChannelVoucher, MinerVoucher},
	AccountId, CUC, H256,
};
use sp_core::{sr25519, Pair};

const GENESIS: H256 = H256::repeat_byte(0x11);

fn account(byte: u8) -> AccountId {
	AccountId::new([byte; 32])
}

fn channel_voucher() -> ChannelVoucher {
	ChannelVoucher {
		coordinator: account(0x22),
		channel: 7,
		cumulative: 3 * CUC,
	}
}

fn miner_voucher() -> MinerVoucher {
	MinerVoucher {
		coordinator: account(0x22),
		miner: account(0x55),
		era: 9,
		cumulative: 3 * CUC,
	}
}

fn check(payload: &impl SignedPayload, bytes: &str, hash: &str) {
	assert_eq!(hex::encode(signing_bytes(&GENESIS, payload)), bytes);
	assert_eq!(hex::encode(signing_hash(&GENESIS, payload)), hash);
	let pair = sr25519::Pair::from_string("//App", None).expect("the URI is well formed");
	let signature = sign(&GENESIS, payload, &pair);
	assert!(verify(&GENESIS, payload, &signature, &pair.public()));
	assert!(!verify(&H256::zero(), payload, &signature, &pair.public()));
}

#[test]
fn a_channel_voucher() {
	check(
		&channel_voucher(),
		"606375636b6f6f2f6368616e6e656c2d766f75636865722f311111111111111111111111111111111111111111111111111111111111111111222222222222222222222222222222222222222222222222222222222222222207000000000000000030ef7dba0200000000000000000000",
		"e7fc091e4dc02b70f569861b75a789b811ca9f5b66c5e99d24bd065325f4c7e3",
	);
}

#[test]
fn a_miner_voucher() {
	check(
		&miner_voucher(),
		"586375636b6f6f2f6d696e65722d766f75636865722f31111111111111111111111111111111111111111111111111111111111111111122222222222222222222222222222222222222222222222222222222222222225555555555555555555555555555555555555555555555555555555555555555090000000030ef7dba0200000000000000000000",
		"ac8165167a017d5f3443dde7867134634d859ca218af82375958597cdc088240",
	);
}

/// Five leaves: the last moves up twice without a sibling.
#[test]
fn an_eras_tree() {
	let context = sum_tree::context(&GENESIS, &account(0x22), 9);
	assert_eq!(
		hex::encode(context),
		"9cebccc82a2de860949c12af96031497487edc8f92e9dd5c5757ff40ea872f65"
	);
	let leaves = (1..=5u8)
		.map(|number| Leaf {
			miner: account(number),
			amount: u128::from(number) * CUC,
		})
		.collect();
	let tree = SumTree::new(&context, leaves).expect("a fine tree");
	assert_eq!(tree.root().node.sum, 15 * CUC);
	assert_eq!(
		hex::encode(tree.root().node.hash),
		"2658e0ec7d55caca3f21575b0c8e2d6a784b5b5383899847f73334b74c6a9375"
	);
	let proof = tree.prove(&[4]).expect("it is there");
	assert_eq!(proof.siblings.len(), 1);
}
