//! What is signed and what proves an offence, in SCALE: whatever decodes encodes to the same bytes and
//! is no longer than its type allows, and the draw's arithmetic bears every list.
#![no_main]

use codec::{Decode, DecodeAll, Encode, MaxEncodedLen};
use cuckoo_primitives::{
	draw::{self, Eligible},
	signing::{self, Assignment, MinerLogin, ResultCommitment, WorkerProof},
	sum_tree::{Proof, Root},
	task::{DeviceClass, TaskId, TaskSpec},
	voucher::{ChannelVoucher, MinerVoucher},
	WorkerSignature, H256,
};
use libfuzzer_sys::fuzz_target;

type Signed<T> = (T, WorkerSignature);

fn exact<T: DecodeAll + Encode>(mut bytes: &[u8]) -> Option<T> {
	let input = bytes;
	let value = T::decode_all(&mut bytes).ok()?;
	assert_eq!(value.encode(), input, "one value has one encoding");
	Some(value)
}

fn bounded<T: DecodeAll + Encode + MaxEncodedLen>(bytes: &[u8]) -> Option<T> {
	let value: T = exact(bytes)?;
	assert!(value.encoded_size() <= T::max_encoded_len());
	Some(value)
}

fn list(bytes: &[u8]) {
	// A miner that is asked for a proof checks a list as it comes.
	let Some(list) = Vec::<Eligible>::decode(&mut &bytes[..]).ok() else {
		return;
	};
	let (root, total) = (draw::eligible_root(&list), draw::total_weight(&list));
	let Some(ticket) = total.and_then(|total| draw::ticket(&root, &TaskId([7; 16]), 0, total))
	else {
		return;
	};
	let drawn = draw::pick(&list, ticket);
	assert!(
		drawn.is_some_and(|drawn| drawn.weight > 0),
		"somebody with weight is drawn"
	);
}

fuzz_target!(|data: &[u8]| {
	let Some((which, bytes)) = data.split_first() else {
		return;
	};
	match which % 14 {
		0 => drop(bounded::<Assignment>(bytes).map(|it| signing::signing_hash(&H256::zero(), &it))),
		1 => drop(bounded::<ResultCommitment>(bytes)),
		2 => drop(bounded::<WorkerProof>(bytes)),
		3 => drop(bounded::<MinerLogin>(bytes)),
		4 => drop(bounded::<DeviceClass>(bytes)),
		5 => drop(exact::<TaskSpec>(bytes).map(|spec| spec.hash())),
		6 => drop(exact::<Signed<Assignment>>(bytes)),
		// The two kinds of evidence that the chain takes.
		7 => drop(exact::<(
			Assignment,
			Signed<ResultCommitment>,
			Signed<ResultCommitment>,
		)>(bytes)),
		8 => drop(exact::<(Signed<Assignment>, Signed<Assignment>)>(bytes)),
		9 => list(bytes),
		// What money is claimed with.
		10 => drop(bounded::<ChannelVoucher>(bytes)),
		11 => drop(bounded::<MinerVoucher>(bytes)),
		12 => drop(bounded::<Root>(bytes)),
		_ => drop(exact::<Proof>(bytes)),
	}
});
