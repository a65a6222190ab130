//! Signed transactions, made natively with the runtime's own types.

use codec::Encode;
use cuckoo_primitives::{AccountId, CUC, H256};
use cuckoo_runtime::{
	configs::{RuntimeBlockLength, RuntimeBlockWeights},
	Nonce, Runtime, RuntimeCall, Signature, SignedPayload, TxExtension, UncheckedExtrinsic,
};
use frame_support::dispatch::{DispatchClass, GetDispatchInfo};
use sp_core::{sr25519, Pair};
use sp_runtime::{generic::Era, MultiAddress};
use std::thread;

/// What is transferred, and voted with: the least vote.
const AMOUNT: u128 = 10 * CUC;

/// The development network's miners.
const MINERS: [&str; 3] = ["//Miner//1", "//Miner//2", "//Miner//3"];

/// Kinds of transactions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
	/// `balances.transfer_keep_alive` to another sender.
	Transfer,
	/// `staking.vote` for a miner.
	Vote,
}

/// What a signature is for.
#[derive(Clone, Debug)]
pub struct Chain {
	/// The hash of block 0.
	pub genesis: H256,
	/// The runtime's `spec_version`.
	pub spec_version: u32,
	/// Its `transaction_version`.
	pub transaction_version: u32,
}

/// An account that sends transactions.
pub struct Sender {
	number: u32,
	pair: sr25519::Pair,
	nonce: Nonce,
}

impl Sender {
	/// The sender with this number.
	pub fn new(number: u32) -> Self {
		Self {
			number,
			pair: key(&format!("//Load//{number}")),
			nonce: 0,
		}
	}

	/// Its account.
	pub fn account(&self) -> AccountId {
		AccountId::new(self.pair.public().0)
	}

	/// Its next transaction of this kind, as RPC takes it: `0x` and hex.
	fn next(&mut self, kind: Kind, targets: &Targets, chain: &Chain) -> String {
		let call = targets.call(kind, self.number, self.nonce);
		let extension = extension(self.nonce);
		let implicit = (
			(),
			chain.spec_version,
			chain.transaction_version,
			chain.genesis,
			// Without an end a transaction is bound to block 0.
			chain.genesis,
			(),
			(),
			(),
			None,
			(),
		);
		let payload = SignedPayload::from_raw(call.clone(), extension.clone(), implicit);
		let signature = payload.using_encoded(|bytes| self.pair.sign(bytes));
		let transaction = UncheckedExtrinsic::new_signed(
			call,
			MultiAddress::Id(self.account()),
			Signature::Sr25519(signature),
			extension,
		);
		self.nonce += 1;
		format!("0x{}", hex::encode(transaction.encode()))
	}
}

/// Whom the senders pay and vote for.
struct Targets {
	senders: Vec<AccountId>,
	miners: Vec<AccountId>,
}

impl Targets {
	fn call(&self, kind: Kind, sender: u32, nonce: Nonce) -> RuntimeCall {
		match kind {
			Kind::Transfer => {
				let dest = &self.senders[(sender as usize + 1) % self.senders.len()];
				RuntimeCall::Balances(pallet_balances::Call::transfer_keep_alive {
					dest: MultiAddress::Id(dest.clone()),
					value: AMOUNT,
				})
			},
			Kind::Vote => {
				let miner = &self.miners[(sender + nonce) as usize % self.miners.len()];
				RuntimeCall::Staking(pallet_cuckoo_staking::Call::vote {
					operator: miner.clone(),
					amount: AMOUNT,
				})
			},
		}
	}
}

fn key(uri: &str) -> sr25519::Pair {
	sr25519::Pair::from_string(uri, None).expect("a derivation path is a secret URI")
}

fn extension(nonce: Nonce) -> TxExtension {
	(
		frame_system::CheckNonZeroSender::new(),
		frame_system::CheckSpecVersion::new(),
		frame_system::CheckTxVersion::new(),
		frame_system::CheckGenesis::new(),
		frame_system::CheckMortality::from(Era::Immortal),
		frame_system::CheckNonce::from(nonce),
		frame_system::CheckWeight::new(),
		pallet_transaction_payment::ChargeTransactionPayment::from(0),
		frame_metadata_hash_extension::CheckMetadataHash::new(false),
		frame_system::WeightReclaim::new(),
	)
}

/// Signs `total` transactions of a kind by all senders in turn, in so many queues. One sender's are in
/// one queue and in order.
pub fn sign(
	senders: &mut [Sender],
	kind: Kind,
	chain: &Chain,
	total: u32,
	queues: usize,
) -> Vec<Vec<String>> {
	let targets = Targets {
		senders: senders.iter().map(Sender::account).collect(),
		miners: MINERS
			.iter()
			.map(|uri| AccountId::new(key(uri).public().0))
			.collect(),
	};
	let count = senders.len() as u32;
	let targets = &targets;
	let share = senders.len().div_ceil(queues.max(1));
	thread::scope(|scope| {
		let signing: Vec<_> = senders
			.chunks_mut(share)
			.map(|senders| {
				scope.spawn(move || {
					let mut queue = Vec::new();
					for turn in 0..total.div_ceil(count) {
						for sender in senders.iter_mut() {
							// The last turn has some for the first senders only.
							if turn * count + sender.number < total {
								queue.push(sender.next(kind, targets, chain));
							}
						}
					}
					queue
				})
			})
			.collect();
		signing
			.into_iter()
			.map(|signing| signing.join().expect("signing does not panic"))
			.collect()
	})
}

/// How many transactions of this kind a block admits by their weight.
pub fn block_capacity(kind: Kind) -> u32 {
	let account = AccountId::new([0; 32]);
	let targets = Targets {
		senders: vec![account.clone()],
		miners: vec![account],
	};
	admitted(&targets.call(kind, 0, 0))
}

/// A transaction with this call, whose signature is of the right size and no more.
fn unsigned(call: &RuntimeCall) -> UncheckedExtrinsic {
	UncheckedExtrinsic::new_signed(
		call.clone(),
		MultiAddress::Id(AccountId::new([0; 32])),
		Signature::Sr25519(Default::default()),
		extension(0),
	)
}

/// How long a signed transaction with this call is.
pub fn signed_bytes(call: &RuntimeCall) -> usize {
	unsigned(call).encoded_size()
}

/// How many transactions with this call a block admits by their weight and their length.
pub fn admitted(call: &RuntimeCall) -> u32 {
	let transaction = unsigned(call);
	let limits = RuntimeBlockWeights::get();
	let class = limits.get(DispatchClass::Normal);
	let each = transaction
		.get_dispatch_info()
		.total_weight()
		.saturating_add(class.base_extrinsic);
	let room = class
		.max_total
		.unwrap_or(limits.max_block)
		.saturating_sub(limits.base_block);
	let by_weight = room.ref_time() / each.ref_time().max(1);
	let longest = *RuntimeBlockLength::get().max.get(DispatchClass::Normal);
	let by_length = u64::from(longest) / transaction.encoded_size().max(1) as u64;
	u32::try_from(by_weight.min(by_length)).unwrap_or(u32::MAX)
}

/// The version of the runtime that these types belong to: `spec_version`, `transaction_version`.
pub fn own_version() -> (u32, u32) {
	let version = <Runtime as frame_system::Config>::Version::get();
	(version.spec_version, version.transaction_version)
}

#[cfg(test)]
mod tests {
	use super::*;
	use codec::Decode;

	#[test]
	fn every_sender_signs_its_nonces_in_order_and_in_one_queue() {
		let chain = Chain {
			genesis: H256::repeat_byte(1),
			spec_version: 1,
			transaction_version: 1,
		};
		let mut senders: Vec<Sender> = (0..5).map(Sender::new).collect();
		let queues = sign(&mut senders, Kind::Vote, &chain, 12, 2);
		assert_eq!(queues.iter().map(Vec::len).sum::<usize>(), 12);
		assert_eq!(
			senders
				.iter()
				.map(|sender| sender.nonce)
				.collect::<Vec<_>>(),
			[3, 3, 2, 2, 2]
		);
		for transaction in queues.iter().flatten() {
			let bytes = hex::decode(transaction.strip_prefix("0x").unwrap()).unwrap();
			let transaction = UncheckedExtrinsic::decode(&mut &bytes[..]).unwrap();
			assert!(matches!(
				transaction.function,
				RuntimeCall::Staking(pallet_cuckoo_staking::Call::vote { .. })
			));
		}
	}

	#[test]
	fn a_block_has_room_for_many() {
		assert!(block_capacity(Kind::Transfer) > 100);
		assert!(block_capacity(Kind::Vote) > 100);
	}
}
