//! Measures every call at its worst case.
//!
//! # What is worst
//!
//! - Something is owed by the reserve wherever money comes free in it, so that there is something to
//!   burn.
//! - Trees have as many leaves as can be, so that paths are as long; what is claimed together lies as far
//!   apart as it can, so that paths share nothing and each leaf's mark is in a value of its own.
//! - Miners have allotments that note what was paid, pools with voters, and rewards that stream.
//! - An allotment's list of what was paid is as long as its eras allow.
//!
//! The trees are never built: a proof is made up from the top down by nodes of nothing beside its paths.

use alloc::vec::Vec;
use cuckoo_primitives::{
	signing::{signing_bytes, SignedPayload, WorkerProof},
	sum_tree::{self, Leaf, PlacedLeaf, Root, MAX_LEAVES},
	voucher::{ChannelId, ChannelVoucher, MinerVoucher},
	weight_tree::Node,
	AccountId, Balance, EraIndex, Role, WorkerId, WorkerSignature, CUC,
};
use frame_benchmarking::v2::*;
use frame_support::traits::{
	fungible::{Balanced, Mutate},
	ConstU32, EnsureOrigin, Get,
};
use frame_system::RawOrigin;
use pallet_cuckoo_staking::{IntroductionInput, OperatorAccess, RewardSink};
use sp_core::crypto::KeyTypeId;
use sp_runtime::{BoundedVec, Perbill};

use crate::{
	reserve::Allotment,
	split::SplitParams,
	types::{Settlement, CHUNK_LEAVES},
	Allotments, Call, Channels, ClaimedLeaves, Config, Held, Pallet, Reserves, Settlements,
	SplitParameters,
};

/// What accounts begin with: enough for every role.
const ENDOWMENT: Balance = 1_000_000_000 * CUC;
/// What is moved at a time.
const PART: Balance = 1_000 * CUC;
/// The era in which miners have worked.
const WORKED: EraIndex = 1_000;
/// The keystore's name for the keys that the benchmarks sign with.
const KEYS: KeyTypeId = KeyTypeId(*b"ckwk");

fn enter_era<T: pallet_cuckoo_staking::Config>(era: EraIndex) {
	pallet_cuckoo_staking::CurrentEra::<T>::put(era);
}

/// Goes to the first era in which vouchers are claimed.
fn enter_voucher_claims<T: Config + pallet_cuckoo_staking::Config>() {
	enter_era::<T>(WORKED.saturating_add(T::PostEras::get()).saturating_add(1));
}

fn funded<T: Config>(name: &'static str, index: u32) -> Result<AccountId, BenchmarkError> {
	let account = account(name, index, 0);
	<T as Config>::Currency::mint_into(&account, ENDOWMENT)?;
	Ok(account)
}

fn key(seed: &str) -> WorkerId {
	sp_io::crypto::sr25519_generate(KEYS, Some(seed.as_bytes().to_vec()))
}

fn sign<T: Config>(
	key: &WorkerId,
	payload: &impl SignedPayload,
) -> Result<WorkerSignature, BenchmarkError> {
	let message = signing_bytes(&Pallet::<T>::genesis_hash(), payload);
	sp_io::crypto::sr25519_sign(KEYS, key, &message)
		.ok_or(BenchmarkError::Stop("the key is in no keystore"))
}

/// An active operator with a voter, to whom rewards stream. The pot is open.
fn operator<T: Config + pallet_cuckoo_staking::Config>(
	role: Role,
	index: u32,
	worker: WorkerId,
) -> Result<AccountId, BenchmarkError> {
	Pallet::<T>::open_pot()?;
	let account = funded::<T>(role.name(), index)?;
	let proof = WorkerProof {
		operator: account.clone(),
		nonce: 0,
	};
	pallet_cuckoo_staking::Pallet::<T>::register(
		RawOrigin::Signed(account.clone()).into(),
		role,
		worker,
		sign::<T>(&worker, &proof)?,
		role.default_min_self_stake().saturating_mul(2),
		Perbill::from_percent(5),
		IntroductionInput {
			name: b"operator".to_vec(),
			..Default::default()
		},
	)?;
	let voter = funded::<T>("voter", index)?;
	pallet_cuckoo_staking::Pallet::<T>::vote(
		RawOrigin::Signed(voter).into(),
		account.clone(),
		PART,
	)?;
	T::Rewards::reward(&account, <T as Config>::Currency::issue(PART))
		.map_err(|_| BenchmarkError::Stop("the operator takes no reward"))?;
	Ok(account)
}

fn coordinator<T: Config + pallet_cuckoo_staking::Config>(
) -> Result<(AccountId, WorkerId), BenchmarkError> {
	enter_era::<T>(WORKED);
	let worker = key("//coordinator");
	Ok((operator::<T>(Role::Coordinator, 0, worker)?, worker))
}

fn miner<T: Config + pallet_cuckoo_staking::Config>(
	index: u32,
) -> Result<AccountId, BenchmarkError> {
	operator::<T>(Role::Miner, index, key(&alloc::format!("//miner//{index}")))
}

/// Puts `free` and `allotted` into a reserve, of which something is owed if nothing is free.
fn fund<T: Config>(
	coordinator: &AccountId,
	free: Balance,
	allotted: Balance,
) -> Result<(), BenchmarkError> {
	Pallet::<T>::take_in(coordinator, free.saturating_add(allotted))?;
	Reserves::<T>::mutate(coordinator, |reserve| {
		reserve.balance = reserve
			.balance
			.saturating_add(free)
			.saturating_add(allotted);
		reserve.allotted = reserve.allotted.saturating_add(allotted);
		reserve.owed = if free == 0 { CUC } else { 0 };
	});
	Ok(())
}

/// An allotment whose list of what was paid is as long as it can be before `era`.
fn allot<T: Config>(coordinator: &AccountId, miner: &AccountId, amount: Balance) {
	let paid: Vec<(EraIndex, Balance)> = (WORKED.saturating_sub(T::ClaimEras::get())..WORKED)
		.map(|era| (era, CUC))
		.collect();
	let allotment = Allotment {
		amount,
		since: 0,
		lowering: None,
		paid: BoundedVec::truncate_from(paid),
	};
	Allotments::<T>::insert(coordinator, miner, allotment);
}

/// A channel of a new app, and the app's key.
fn channel<T: Config + pallet_cuckoo_staking::Config>(
) -> Result<(AccountId, AccountId, WorkerId, ChannelId), BenchmarkError> {
	let (coordinator, _) = coordinator::<T>()?;
	let (app, signer) = (funded::<T>("app", 0)?, key("//app"));
	let deposit = T::MinDeposit::get().saturating_add(PART);
	Pallet::<T>::do_open_channel(app.clone(), coordinator.clone(), signer, deposit)?;
	Ok((coordinator, app, signer, 0))
}

/// How many nodes are beside the paths of these leaves.
fn siblings_of(leaves: &[PlacedLeaf]) -> usize {
	let mut positions: Vec<u32> = leaves.iter().map(|placed| placed.index).collect();
	let (mut width, mut count) = (MAX_LEAVES, 0);
	while width > 1 {
		count += positions
			.iter()
			.filter(|position| positions.binary_search(&(**position ^ 1)).is_err())
			.count();
		positions = positions.iter().map(|position| position / 2).collect();
		positions.dedup();
		width /= 2;
	}
	count
}

/// The nodes beside the paths of a claim.
type Siblings = BoundedVec<Node, ConstU32<{ crate::MAX_SIBLINGS }>>;

/// The settlement of the largest tree that has these leaves, with its proof.
fn settled<T: Config>(
	coordinator: &AccountId,
	leaves: &[PlacedLeaf],
) -> Result<Siblings, BenchmarkError> {
	let context = sum_tree::context(&Pallet::<T>::genesis_hash(), coordinator, WORKED);
	let siblings = alloc::vec![Node::default(); siblings_of(leaves)];
	let node = sum_tree::top(MAX_LEAVES, &context, leaves, &siblings)
		.ok_or(BenchmarkError::Stop("the proof is none"))?;
	let settlement = Settlement {
		root: Root {
			node,
			leaves: MAX_LEAVES,
		},
		claimed: 0,
		by_voucher: 0,
		emission: node.sum / 100,
		cleaned: 0,
	};
	Pallet::<T>::take_in(coordinator, node.sum)?;
	Settlements::<T>::insert(coordinator, WORKED, settlement);
	Ok(BoundedVec::truncate_from(siblings))
}

fn placed(index: u32, miner: AccountId, amount: Balance) -> PlacedLeaf {
	PlacedLeaf {
		index,
		leaf: Leaf { miner, amount },
	}
}

fn caller() -> RawOrigin<AccountId> {
	RawOrigin::Signed(whitelisted_caller())
}

#[benchmarks(where T: pallet_cuckoo_staking::Config)]
mod benchmarks {
	use super::*;

	#[benchmark]
	fn open_channel() -> Result<(), BenchmarkError> {
		let (coordinator, _) = coordinator::<T>()?;
		let app = funded::<T>("app", 0)?;
		let amount = T::MinDeposit::get();

		#[extrinsic_call]
		_(RawOrigin::Signed(app), coordinator, key("//app"), amount);

		assert!(Channels::<T>::contains_key(0));
		Ok(())
	}

	#[benchmark]
	fn top_up() -> Result<(), BenchmarkError> {
		let (_, app, _, channel) = channel::<T>()?;
		let amount = T::MinDeposit::get();

		#[extrinsic_call]
		_(RawOrigin::Signed(app), channel, amount);

		let record = Channels::<T>::get(channel).ok_or("the channel is there")?;
		assert!(record.deposit > amount);
		Ok(())
	}

	/// The app is closing, and the reserve owes something.
	#[benchmark]
	fn redeem() -> Result<(), BenchmarkError> {
		let (coordinator, app, signer, channel) = channel::<T>()?;
		fund::<T>(&coordinator, 0, PART)?;
		Pallet::<T>::do_close_channel(app, channel)?;
		let voucher = ChannelVoucher {
			coordinator: coordinator.clone(),
			channel,
			cumulative: PART,
		};
		let signature = sign::<T>(&signer, &voucher)?;

		#[extrinsic_call]
		_(caller(), channel, PART, signature);

		assert_eq!(Reserves::<T>::get(&coordinator).owed, 0);
		Ok(())
	}

	/// By the coordinator: the refund goes out at once.
	#[benchmark]
	fn close_channel() -> Result<(), BenchmarkError> {
		let (coordinator, _, _, channel) = channel::<T>()?;

		#[extrinsic_call]
		_(RawOrigin::Signed(coordinator), channel);

		assert!(!Channels::<T>::contains_key(channel));
		Ok(())
	}

	#[benchmark]
	fn finish_close() -> Result<(), BenchmarkError> {
		let (_, app, _, channel) = channel::<T>()?;
		Pallet::<T>::do_close_channel(app, channel)?;
		let until = T::ChallengeBlocks::get().saturating_add(Pallet::<T>::block_number());
		frame_system::Pallet::<T>::set_block_number(until.saturating_add(1).into());

		#[extrinsic_call]
		_(caller(), channel);

		assert!(!Channels::<T>::contains_key(channel));
		Ok(())
	}

	#[benchmark]
	fn fund_reserve() -> Result<(), BenchmarkError> {
		let (coordinator, _) = coordinator::<T>()?;
		fund::<T>(&coordinator, 0, PART)?;

		#[extrinsic_call]
		_(RawOrigin::Signed(coordinator.clone()), PART);

		assert_eq!(Reserves::<T>::get(&coordinator).owed, 0);
		Ok(())
	}

	#[benchmark]
	fn withdraw_reserve() -> Result<(), BenchmarkError> {
		let (coordinator, _) = coordinator::<T>()?;
		fund::<T>(&coordinator, PART, PART)?;

		#[extrinsic_call]
		_(RawOrigin::Signed(coordinator.clone()), PART);

		assert_eq!(Reserves::<T>::get(&coordinator).balance, PART);
		Ok(())
	}

	/// Raised: the reserve is written as well.
	#[benchmark]
	fn allot() -> Result<(), BenchmarkError> {
		let (coordinator, _) = coordinator::<T>()?;
		let miner = miner::<T>(0)?;
		fund::<T>(&coordinator, PART, PART)?;
		super::allot::<T>(&coordinator, &miner, PART);
		let amount = PART.saturating_mul(2);

		#[extrinsic_call]
		_(RawOrigin::Signed(coordinator.clone()), miner, amount);

		assert_eq!(Reserves::<T>::get(&coordinator).allotted, amount);
		Ok(())
	}

	#[benchmark]
	fn release_allotment() -> Result<(), BenchmarkError> {
		let (coordinator, _) = coordinator::<T>()?;
		let miner = miner::<T>(0)?;
		fund::<T>(&coordinator, 0, PART)?;
		super::allot::<T>(&coordinator, &miner, PART);
		Allotments::<T>::mutate(&coordinator, &miner, |allotment| {
			if let Some(allotment) = allotment {
				allotment.lowering = Some((PART / 2, WORKED));
			}
		});

		#[extrinsic_call]
		_(caller(), coordinator.clone(), miner.clone());

		assert_eq!(Reserves::<T>::get(&coordinator).allotted, PART / 2);
		assert!(Allotments::<T>::contains_key(&coordinator, &miner));
		Ok(())
	}

	#[benchmark]
	fn settle_era() -> Result<(), BenchmarkError> {
		let (coordinator, _) = coordinator::<T>()?;
		fund::<T>(&coordinator, PART.saturating_mul(2), PART)?;
		enter_era::<T>(WORKED.saturating_add(1));
		let root = Root {
			node: Node {
				hash: Default::default(),
				sum: PART,
			},
			leaves: MAX_LEAVES,
		};

		#[extrinsic_call]
		_(RawOrigin::Signed(coordinator.clone()), WORKED, root);

		assert!(Settlements::<T>::contains_key(&coordinator, WORKED));
		Ok(())
	}

	#[benchmark]
	fn claim(l: Linear<1, { crate::MAX_CLAIMS }>) -> Result<(), BenchmarkError> {
		let (coordinator, _) = coordinator::<T>()?;
		let apart = MAX_LEAVES / crate::MAX_CLAIMS;
		let mut leaves = Vec::new();
		for index in 0..l {
			let miner = miner::<T>(index)?;
			super::allot::<T>(&coordinator, &miner, 0);
			leaves.push(placed(index.saturating_mul(apart), miner, PART));
		}
		enter_voucher_claims::<T>();
		let siblings = settled::<T>(&coordinator, &leaves)?;
		// Vouchers of others have used up the sum: the reserve owes the levy.
		Settlements::<T>::mutate(&coordinator, WORKED, |settlement| {
			if let Some(settlement) = settlement {
				settlement.by_voucher = settlement.root.node.sum;
			}
		});
		let leaves = BoundedVec::truncate_from(leaves);

		#[extrinsic_call]
		_(caller(), coordinator.clone(), WORKED, leaves, siblings);

		let settlement =
			Settlements::<T>::get(&coordinator, WORKED).ok_or("the settlement is there")?;
		assert_eq!(settlement.unclaimed(), 0);
		Ok(())
	}

	/// The era is not settled: the levy is owed, and a part of it burned.
	#[benchmark]
	fn claim_voucher() -> Result<(), BenchmarkError> {
		let (coordinator, worker) = coordinator::<T>()?;
		let miner = miner::<T>(0)?;
		fund::<T>(&coordinator, CUC, PART)?;
		super::allot::<T>(&coordinator, &miner, PART);
		let voucher = MinerVoucher {
			coordinator: coordinator.clone(),
			miner: miner.clone(),
			era: WORKED,
			cumulative: PART / 2,
		};
		let signature = sign::<T>(&worker, &voucher)?;
		enter_voucher_claims::<T>();
		// Settled for less, so that the settlement is written and the reserve owes the levy.
		settled::<T>(&coordinator, &[placed(0, account("another", 0, 0), 1)])?;

		#[extrinsic_call]
		_(caller(), worker, voucher, signature);

		assert_eq!(Reserves::<T>::get(&coordinator).allotted, PART / 2);
		assert!(Reserves::<T>::get(&coordinator).owed > 0);
		Ok(())
	}

	/// A miner that was left out: two leaves, and the longest paths.
	#[benchmark]
	fn report_short() -> Result<(), BenchmarkError> {
		let (coordinator, worker) = coordinator::<T>()?;
		let (first, last) = (AccountId::new([0; 32]), AccountId::new([255; 32]));
		// Neighbours under different halves share no node of their paths.
		let half = MAX_LEAVES / 2;
		let leaves = [placed(half - 1, first, CUC), placed(half, last, CUC)];
		let siblings = settled::<T>(&coordinator, &leaves)?;
		let voucher = MinerVoucher {
			coordinator: coordinator.clone(),
			miner: account("absent", 0, 0),
			era: WORKED,
			cumulative: CUC,
		};
		let signature = sign::<T>(&worker, &voucher)?;
		enter_era::<T>(WORKED.saturating_add(1));
		let leaves = BoundedVec::truncate_from(leaves.to_vec());
		let siblings = BoundedVec::truncate_from(siblings.into_inner());

		#[extrinsic_call]
		_(caller(), worker, voucher, signature, leaves, siblings);

		assert!(!T::Operators::is_active(&coordinator));
		Ok(())
	}

	/// With the last values goes the settlement, and something is owed of what comes back.
	#[benchmark]
	fn clean(c: Linear<1, { MAX_LEAVES / CHUNK_LEAVES }>) -> Result<(), BenchmarkError> {
		let (coordinator, _) = coordinator::<T>()?;
		fund::<T>(&coordinator, 0, PART)?;
		let leaf = placed(0, account("miner", 0, 0), PART);
		settled::<T>(&coordinator, &[leaf])?;
		Settlements::<T>::mutate(&coordinator, WORKED, |settlement| {
			if let Some(settlement) = settlement {
				settlement.root.leaves = c.saturating_mul(CHUNK_LEAVES);
			}
		});
		for chunk in 0..c {
			ClaimedLeaves::<T>::insert((&coordinator, WORKED, chunk), [255; 128]);
		}
		enter_era::<T>(WORKED.saturating_add(T::ClaimEras::get()).saturating_add(1));
		let before = Held::<T>::get();

		#[extrinsic_call]
		_(caller(), coordinator.clone(), WORKED, c);

		assert_eq!(ClaimedLeaves::<T>::iter().count(), 0);
		assert_eq!(Held::<T>::get(), before - CUC);
		Ok(())
	}

	#[benchmark]
	fn set_split() -> Result<(), BenchmarkError> {
		let origin = <T as Config>::GovernanceOrigin::try_successful_origin()
			.map_err(|_| BenchmarkError::Weightless)?;
		let params = SplitParams {
			miner: Perbill::from_percent(74),
			coordinator: Perbill::from_percent(16),
			..Default::default()
		};

		#[extrinsic_call]
		_(origin as T::RuntimeOrigin, params);

		assert_eq!(SplitParameters::<T>::get(), params);
		Ok(())
	}

	impl_benchmark_test_suite!(Pallet, crate::benchmarking::state(), crate::mock::Test);
}

/// A genesis, and a keystore to sign with.
#[cfg(test)]
fn state() -> sp_io::TestExternalities {
	let mut state = crate::mock::genesis();
	let keystore = sp_keystore::testing::MemoryKeystore::new();
	state.register_extension(sp_keystore::KeystoreExt::new(keystore));
	state
}
