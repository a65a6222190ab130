//! Measures every call at its worst case.
//!
//! # What is worst
//!
//! - Operators are of a role that is kept in the order of stake, and their stake changes, so that the
//!   order is written twice.
//! - Rewards stream, and some are due: the pool takes them in, and the stream stays.
//! - Lists are as long as they can get: released workers and unbonding chunks by their bounds,
//!   offences by [`offence_eras`]. What there is more of than one is the call's component.
//! - Pools have other owners too, so that every rate is a real division, and nothing that is written
//!   is spared by being removed.
//!
//! # What a block touches once
//!
//! The pot's account, what the pot holds, the roles' totals and parameters and the era are touched by
//! nearly every call, but a block reads and writes each of them once however many calls it has: the
//! overlay keeps them until the block ends. [`hot_keys`] takes them out of the calls' counts, and
//! `hot_storage`, which every block pays once, counts exactly them. The account that signs is left out
//! as in every pallet: the weight of an empty extrinsic has it.

use alloc::{boxed::Box, vec, vec::Vec};
use codec::Encode;
use cuckoo_primitives::{
	signing::{signing_bytes, Assignment, SignedPayload, WorkerProof},
	task::TaskId,
	AccountId, Balance, EraIndex, Role, WorkerId, WorkerSignature, CUC, H256,
};
use frame_benchmarking::v2::*;
use frame_support::traits::{
	fungible::{Balanced, Mutate},
	EnsureOrigin, Get,
};
use frame_system::RawOrigin;
use pallet_cuckoo_staking_runtime_api::{RoleParams, ValidatorParams};
use sp_core::crypto::KeyTypeId;
use sp_runtime::{BoundedVec, DispatchError, Perbill};

use crate::{
	evidence::{Evidence, Signed},
	pool::{Generation, Shares},
	rewards::RewardSink,
	types::{
		Amount, EraStartedAt, IntroductionInput, Moment, Offence, Slash, SlashId, UnbondingChunk,
		WorkerOwner, MAX_PROOFS, MAX_RECOUNT, MAX_RELEASED_WORKERS,
	},
	AuthoredBlocks, Call, Config, CurrentEra, Held, Introductions, Offences, Operators, Pallet,
	Positions, RecentEras, ReleasedWorkers, RoleParameters, SlashQueue, Slashes, Totals, Unbonding,
	UnbondingPools, ValidatorParameters, WorkerOwners,
};

/// What accounts begin with: enough for every role and vote.
const ENDOWMENT: Balance = 1_000_000_000 * CUC;
/// What voters have at an operator.
const VOTES: Balance = 1_000_000 * CUC;
/// What is moved at a time.
const PART: Balance = 1_000 * CUC;
/// What an operator is paid, which then streams.
const REWARD: Balance = 1_000 * CUC;
/// The era of what is long ago.
const LONG_AGO: EraIndex = 1;
/// The era in which the calls are made.
const NOW: EraIndex = 1_000;
/// Most slashes in one measured call. They are of different operators, so that each costs the same;
/// few of them are measured more exactly than many.
const MOST_SLASHES: u32 = 4;
/// The keystore's name for the keys that the benchmarks sign with.
const KEYS: KeyTypeId = KeyTypeId(*b"ckwk");

/// Leaves out of a call's counts what a block touches once.
fn hot_keys<T: Config>() {
	let mut keys = vec![
		frame_system::Account::<T>::hashed_key_for(Pallet::<T>::pot()),
		Held::<T>::hashed_key().to_vec(),
		CurrentEra::<T>::hashed_key().to_vec(),
	];
	for role in Role::ALL {
		keys.push(Totals::<T>::hashed_key_for(role));
		keys.push(RoleParameters::<T>::hashed_key_for(role));
	}
	for key in keys {
		frame_benchmarking::benchmarking::add_to_whitelist(key.into());
	}
}

/// Goes to the beginning of an era, with those before it on record.
fn enter_era<T: Config>(era: EraIndex) {
	let first = era.saturating_sub(T::EvidenceEras::get());
	let starts: Vec<EraStartedAt> = (first..=era)
		.map(|era| EraStartedAt {
			era,
			session: era.saturating_mul(T::SessionsPerEra::get()),
			block: era.saturating_mul(T::BlocksPerEra::get()),
		})
		.collect();
	CurrentEra::<T>::put(era);
	RecentEras::<T>::put(BoundedVec::truncate_from(starts));
	enter_block::<T>(era.saturating_mul(T::BlocksPerEra::get()).saturating_add(1));
}

fn enter_block<T: Config>(block: u32) {
	frame_system::Pallet::<T>::set_block_number(block.into());
}

/// Lets half of what streams fall due.
fn pass_half_an_era<T: Config>() {
	let block = Pallet::<T>::block_number();
	enter_block::<T>(block.saturating_add(T::BlocksPerEra::get() / 2));
}

/// Gives an account enough for everything.
fn fund<T: Config>(account: &AccountId) -> Result<(), DispatchError> {
	T::Currency::mint_into(account, ENDOWMENT).map(|_| ())
}

fn funded<T: Config>(name: &'static str, index: u32) -> Result<AccountId, DispatchError> {
	let account = account(name, index, 0);
	fund::<T>(&account)?;
	Ok(account)
}

/// The account that signs, whose own record is not counted.
fn caller<T: Config>() -> Result<AccountId, DispatchError> {
	let caller: AccountId = whitelisted_caller();
	fund::<T>(&caller)?;
	Ok(caller)
}

/// A worker key in the keystore.
fn signing_worker(seed: &str) -> WorkerId {
	sp_io::crypto::sr25519_generate(KEYS, Some(seed.as_bytes().to_vec()))
}

fn sign<T: Config>(
	worker: &WorkerId,
	payload: &impl SignedPayload,
) -> Result<WorkerSignature, BenchmarkError> {
	let message = signing_bytes(&Pallet::<T>::genesis_hash(), payload);
	sp_io::crypto::sr25519_sign(KEYS, worker, &message)
		.ok_or(BenchmarkError::Stop("the worker's key is in no keystore"))
}

/// The worker's present proof that it acts for the operator.
fn proof<T: Config>(
	operator: &AccountId,
	worker: &WorkerId,
) -> Result<WorkerSignature, BenchmarkError> {
	let nonce = Pallet::<T>::worker_nonce(operator.clone());
	sign::<T>(
		worker,
		&WorkerProof {
			operator: operator.clone(),
			nonce,
		},
	)
}

/// A key that nobody has to sign with.
fn silent_worker(name: &'static str, index: u32) -> WorkerId {
	let bytes: AccountId = account(name, index, 1);
	WorkerId::from_raw(*bytes.as_ref())
}

/// As long as can be. ASCII has the most characters to look at.
fn introduction<T: Config>() -> IntroductionInput {
	let text = |length: u32| vec![b'c'; length as usize];
	IntroductionInput {
		name: text(T::MaxNameLen::get()),
		endpoint: text(T::MaxEndpointLen::get()),
		text: text(T::MaxTextLen::get()),
	}
}

/// What an operator of the role puts in: twice what it must.
fn stake_of<T: Config>(role: Role) -> Balance {
	Pallet::<T>::role_params(role)
		.min_self_stake
		.saturating_mul(2)
}

fn register_as<T: Config>(
	account: &AccountId,
	role: Role,
	worker: WorkerId,
) -> Result<(), DispatchError> {
	let stake = stake_of::<T>(role);
	let commission = Perbill::from_percent(5);
	let introduction = Pallet::<T>::checked_introduction(introduction::<T>())?;
	Pallet::<T>::do_register(
		account.clone(),
		role,
		worker,
		stake,
		commission,
		introduction,
	)
}

/// An active operator.
fn operator<T: Config>(index: u32, role: Role) -> Result<AccountId, DispatchError> {
	let account = funded::<T>("operator", index)?;
	register_as::<T>(&account, role, silent_worker("operator", index))?;
	Ok(account)
}

/// The account that signs, as an active validator.
fn calling_validator<T: Config>() -> Result<AccountId, DispatchError> {
	let caller = caller::<T>()?;
	register_as::<T>(&caller, Role::Validator, silent_worker("caller", 0))?;
	Ok(caller)
}

/// Puts workers on an operator's record that it let go of long ago.
fn release_workers<T: Config>(operator: &AccountId, count: u32) {
	let workers: Vec<WorkerId> = (0..count)
		.map(|index| {
			// Another for each operator: its account is mixed in.
			WorkerId::from_raw(sp_io::hashing::blake2_256(&(operator, index).encode()))
		})
		.collect();
	for worker in &workers {
		let owner = WorkerOwner {
			operator: operator.clone(),
			since: 0,
			released: Some(Moment {
				era: LONG_AGO,
				block: 0,
			}),
		};
		WorkerOwners::<T>::insert(worker, owner);
	}
	ReleasedWorkers::<T>::insert(operator, BoundedVec::truncate_from(workers));
}

/// A worker key in the keystore that another operator let go of long ago, last of many.
fn freed_worker<T: Config>() -> Result<WorkerId, DispatchError> {
	let worker = signing_worker("//freed");
	let former = funded::<T>("former", 0)?;
	register_as::<T>(&former, Role::Validator, worker)?;
	release_workers::<T>(&former, MAX_RELEASED_WORKERS - 1);
	Pallet::<T>::do_retire(former)?;
	Ok(worker)
}

/// Lets a reward stream to an operator from this block on.
fn start_stream<T: Config>(operator: &AccountId) -> Result<(), BenchmarkError> {
	<Pallet<T> as RewardSink>::reward(operator, T::Currency::issue(REWARD))
		.map_err(|_| BenchmarkError::Stop("the operator takes no reward"))
}

/// A voter with a position.
fn voter<T: Config>(index: u32, operator: &AccountId) -> Result<AccountId, DispatchError> {
	let voter = funded::<T>("voter", index)?;
	Pallet::<T>::do_vote(voter.clone(), operator.clone(), VOTES)?;
	Ok(voter)
}

/// Fills an account's list with `count` chunks of other operators.
fn chunks_elsewhere<T: Config>(owner: &AccountId, count: u32) {
	let chunks: Vec<UnbondingChunk> = (0..count)
		.map(|index| UnbondingChunk {
			operator: account("elsewhere", index, 0),
			era: NOW,
			generation: Generation::default(),
			shares: Shares(PART),
		})
		.collect();
	Unbonding::<T>::insert(owner, BoundedVec::truncate_from(chunks));
}

/// In how many eras an operator can have offences on record: what evidence reaches from the oldest
/// moment at which a slash was queued that waits still, and as many from before the operator came back
/// the last time, which are one with those of their time as long as they can be proven. What is older
/// and waits no more goes when the next is queued, and nothing else makes the list longer.
fn offence_eras<T: Config>() -> u32 {
	2 * (T::EvidenceEras::get() + T::SlashDeferEras::get() + 1)
}

/// Fills an operator's list of offences up to this era. None waits, and it has come back since.
fn put_offences<T: Config>(operator: &AccountId) {
	let proofs: Vec<H256> = (0..MAX_PROOFS)
		.map(|number| H256::repeat_byte(number as u8))
		.collect();
	let offences: Vec<Offence> = (NOW + 1 - offence_eras::<T>()..=NOW)
		.map(|era| Offence {
			era,
			applied: Perbill::from_percent(1),
			counted: Perbill::from_percent(1),
			pending: None,
			returned: Some(NOW),
			proofs: BoundedVec::truncate_from(proofs.clone()),
		})
		.collect();
	Offences::<T>::insert(operator, BoundedVec::truncate_from(offences));
}

/// Queues a slash that is due now, for an era that is moved to the end of the operator's long list.
fn put_slash<T: Config>(
	operator: &AccountId,
	era: EraIndex,
	fraction: Perbill,
	reporter: AccountId,
) -> SlashId {
	let id = SlashQueue::<T>::mutate(|queue| {
		queue.next += 1;
		queue.next - 1
	});
	let slash = Slash {
		operator: operator.clone(),
		era,
		fraction,
		reporter: Some(reporter),
		evidence: Some(H256::repeat_byte(0xEE)),
		due: NOW,
	};
	Slashes::<T>::insert(id, slash);
	put_offences::<T>(operator);
	Offences::<T>::mutate(operator, |offences| {
		offences.retain(|offence| offence.era != era);
		// Makes room where the era was none of them.
		if offences.len() as u32 == offence_eras::<T>() {
			offences.remove(0);
		}
		let mut offence = Offence::none(era);
		offence.applied = Perbill::from_percent(1);
		offence.counted = fraction;
		offence.pending = Some(id);
		offence.returned = Some(NOW);
		let proofs = (1..MAX_PROOFS).map(|number| H256::repeat_byte(number as u8));
		offence.proofs = BoundedVec::truncate_from(proofs.collect());
		offences.force_push(offence);
	});
	id
}

/// Takes an operator out of service.
fn suspend<T: Config>(operator: &AccountId) -> Result<(), DispatchError> {
	Pallet::<T>::change_stake(operator, |record, _| {
		record.suspended = Some(NOW);
		Ok(())
	})
}

fn governance<T: Config>() -> Result<T::RuntimeOrigin, BenchmarkError> {
	T::GovernanceOrigin::try_successful_origin().map_err(|_| BenchmarkError::Stop("nobody governs"))
}

#[benchmarks]
mod benches {
	use super::*;

	/// What every block pays once: see the module.
	#[benchmark]
	fn hot_storage() -> Result<(), BenchmarkError> {
		enter_era::<T>(NOW);
		let pot = Pallet::<T>::pot();
		let author = operator::<T>(0, Role::Validator)?;
		let held = Held::<T>::get();

		#[block]
		{
			T::Currency::mint_into(&pot, PART)?;
			Pallet::<T>::hold_more(PART)?;
			core::hint::black_box(CurrentEra::<T>::get());
			for role in Role::ALL {
				core::hint::black_box(RoleParameters::<T>::get(role));
				Totals::<T>::mutate(role, |totals| totals.stake += PART);
			}
			AuthoredBlocks::<T>::mutate(&author, |blocks| *blocks += 1);
		}

		assert_eq!(Held::<T>::get(), held + PART);
		Ok(())
	}

	/// An operator that has retired comes back in another role: its former record goes, its former
	/// workers are forgotten, and the key was another operator's.
	#[benchmark]
	fn register() -> Result<(), BenchmarkError> {
		enter_era::<T>(LONG_AGO);
		let worker = freed_worker::<T>()?;
		let caller = caller::<T>()?;
		register_as::<T>(&caller, Role::Coordinator, silent_worker("caller", 0))?;
		release_workers::<T>(&caller, MAX_RELEASED_WORKERS - 1);
		Pallet::<T>::do_retire(caller.clone())?;
		Pallet::<T>::do_unstake(caller.clone(), Amount::All)?;
		enter_era::<T>(NOW);
		put_offences::<T>(&caller);
		let signature = proof::<T>(&caller, &worker)?;
		let stake = stake_of::<T>(Role::Validator);
		hot_keys::<T>();

		#[extrinsic_call]
		_(
			RawOrigin::Signed(caller.clone()),
			Role::Validator,
			worker,
			signature,
			stake,
			Perbill::from_percent(5),
			introduction::<T>(),
		);

		assert!(Operators::<T>::get(&caller).is_some_and(|record| record.is_active()));
		assert!(ReleasedWorkers::<T>::get(&caller).is_empty());
		Ok(())
	}

	/// All former workers but the last are forgotten, and the key was another operator's.
	#[benchmark]
	fn set_worker() -> Result<(), BenchmarkError> {
		enter_era::<T>(LONG_AGO);
		let worker = freed_worker::<T>()?;
		let caller = calling_validator::<T>()?;
		release_workers::<T>(&caller, MAX_RELEASED_WORKERS - 1);
		enter_era::<T>(NOW);
		let signature = proof::<T>(&caller, &worker)?;
		hot_keys::<T>();

		#[extrinsic_call]
		_(RawOrigin::Signed(caller.clone()), worker, signature);

		assert!(Operators::<T>::get(&caller).is_some_and(|record| record.worker == Some(worker)));
		assert_eq!(ReleasedWorkers::<T>::get(&caller).len(), 1);
		Ok(())
	}

	#[benchmark]
	fn set_introduction() -> Result<(), BenchmarkError> {
		let caller = calling_validator::<T>()?;
		hot_keys::<T>();

		#[extrinsic_call]
		_(RawOrigin::Signed(caller.clone()), introduction::<T>());

		assert!(Introductions::<T>::contains_key(&caller));
		Ok(())
	}

	/// What was announced before is in force by now.
	#[benchmark]
	fn set_commission() -> Result<(), BenchmarkError> {
		enter_era::<T>(LONG_AGO);
		let caller = calling_validator::<T>()?;
		Pallet::<T>::do_set_commission(caller.clone(), Perbill::from_percent(4))?;
		enter_era::<T>(NOW);
		let commission = Perbill::from_percent(3);
		hot_keys::<T>();

		#[extrinsic_call]
		_(RawOrigin::Signed(caller.clone()), commission);

		let record = Operators::<T>::get(&caller);
		assert!(record.is_some_and(|record| record.commission.next == Some((commission, NOW + 1))));
		Ok(())
	}

	#[benchmark]
	fn stake_more() -> Result<(), BenchmarkError> {
		enter_era::<T>(NOW);
		let caller = calling_validator::<T>()?;
		voter::<T>(0, &caller)?;
		start_stream::<T>(&caller)?;
		pass_half_an_era::<T>();
		let held = Held::<T>::get();
		hot_keys::<T>();

		#[extrinsic_call]
		_(RawOrigin::Signed(caller), PART);

		assert_eq!(Held::<T>::get(), held + PART);
		Ok(())
	}

	/// A last chunk is added to the operator's own.
	#[benchmark]
	fn unstake() -> Result<(), BenchmarkError> {
		enter_era::<T>(NOW);
		let caller = calling_validator::<T>()?;
		let other = voter::<T>(0, &caller)?;
		Pallet::<T>::do_unvote(other, caller.clone(), Amount::Value(PART))?;
		chunks_elsewhere::<T>(&caller, T::MaxUnbondingChunks::get() - 1);
		start_stream::<T>(&caller)?;
		pass_half_an_era::<T>();
		hot_keys::<T>();

		#[extrinsic_call]
		_(RawOrigin::Signed(caller.clone()), Amount::Value(PART));

		assert_eq!(
			Unbonding::<T>::get(&caller).len() as u32,
			T::MaxUnbondingChunks::get()
		);
		Ok(())
	}

	#[benchmark]
	fn retire() -> Result<(), BenchmarkError> {
		enter_era::<T>(NOW);
		let caller = calling_validator::<T>()?;
		voter::<T>(0, &caller)?;
		release_workers::<T>(&caller, MAX_RELEASED_WORKERS - 1);
		start_stream::<T>(&caller)?;
		pass_half_an_era::<T>();
		hot_keys::<T>();

		#[extrinsic_call]
		_(RawOrigin::Signed(caller.clone()));

		assert!(Operators::<T>::get(&caller).is_some_and(|record| record.is_retired()));
		Ok(())
	}

	/// After it has retired, with all former workers to be forgotten and a key that was another's.
	#[benchmark]
	fn reactivate() -> Result<(), BenchmarkError> {
		enter_era::<T>(LONG_AGO);
		let worker = freed_worker::<T>()?;
		let caller = calling_validator::<T>()?;
		voter::<T>(0, &caller)?;
		release_workers::<T>(&caller, MAX_RELEASED_WORKERS - 1);
		Pallet::<T>::do_retire(caller.clone())?;
		enter_era::<T>(NOW);
		put_offences::<T>(&caller);
		start_stream::<T>(&caller)?;
		pass_half_an_era::<T>();
		let signature = proof::<T>(&caller, &worker)?;
		hot_keys::<T>();

		#[extrinsic_call]
		_(RawOrigin::Signed(caller.clone()), worker, signature);

		assert!(Operators::<T>::get(&caller).is_some_and(|record| record.is_active()));
		assert!(ReleasedWorkers::<T>::get(&caller).is_empty());
		Ok(())
	}

	/// The voter has a position already: its worth has to be known as well.
	#[benchmark]
	fn vote() -> Result<(), BenchmarkError> {
		enter_era::<T>(NOW);
		let operator = operator::<T>(0, Role::Validator)?;
		let caller = caller::<T>()?;
		Pallet::<T>::do_vote(caller.clone(), operator.clone(), VOTES)?;
		start_stream::<T>(&operator)?;
		pass_half_an_era::<T>();
		let held = Held::<T>::get();
		hot_keys::<T>();

		#[extrinsic_call]
		_(RawOrigin::Signed(caller), operator, PART);

		assert_eq!(Held::<T>::get(), held + PART);
		Ok(())
	}

	/// A last chunk is added to the voter's.
	#[benchmark]
	fn unvote() -> Result<(), BenchmarkError> {
		enter_era::<T>(NOW);
		let operator = operator::<T>(0, Role::Validator)?;
		let other = voter::<T>(0, &operator)?;
		Pallet::<T>::do_unvote(other, operator.clone(), Amount::Value(PART))?;
		let caller = caller::<T>()?;
		Pallet::<T>::do_vote(caller.clone(), operator.clone(), VOTES)?;
		chunks_elsewhere::<T>(&caller, T::MaxUnbondingChunks::get() - 1);
		start_stream::<T>(&operator)?;
		pass_half_an_era::<T>();
		hot_keys::<T>();

		#[extrinsic_call]
		_(
			RawOrigin::Signed(caller.clone()),
			operator,
			Amount::Value(PART),
		);

		assert_eq!(
			Unbonding::<T>::get(&caller).len() as u32,
			T::MaxUnbondingChunks::get()
		);
		Ok(())
	}

	/// `c` chunks of one operator, each of another era, come back.
	#[benchmark]
	fn rebond(c: Linear<1, { T::MaxUnbondingChunks::get() }>) -> Result<(), BenchmarkError> {
		enter_era::<T>(NOW);
		let operator = operator::<T>(0, Role::Validator)?;
		let other = voter::<T>(0, &operator)?;
		let caller = caller::<T>()?;
		Pallet::<T>::do_vote(caller.clone(), operator.clone(), VOTES)?;
		for era in NOW - c..NOW {
			CurrentEra::<T>::put(era);
			for account in [&caller, &other] {
				Pallet::<T>::do_unvote(account.clone(), operator.clone(), Amount::Value(PART))?;
			}
		}
		CurrentEra::<T>::put(NOW);
		start_stream::<T>(&operator)?;
		pass_half_an_era::<T>();
		hot_keys::<T>();

		#[extrinsic_call]
		_(RawOrigin::Signed(caller.clone()), operator, Amount::All);

		assert!(Unbonding::<T>::get(&caller).is_empty());
		Ok(())
	}

	/// `c` chunks, each of another operator with a long record, are paid out.
	#[benchmark]
	fn withdraw(c: Linear<1, { T::MaxUnbondingChunks::get() }>) -> Result<(), BenchmarkError> {
		enter_era::<T>(LONG_AGO);
		let caller = caller::<T>()?;
		let other = funded::<T>("voter", 0)?;
		for index in 0..c {
			let operator = operator::<T>(index, Role::Validator)?;
			for account in [&caller, &other] {
				Pallet::<T>::do_vote(account.clone(), operator.clone(), VOTES)?;
				Pallet::<T>::do_unvote(account.clone(), operator.clone(), Amount::Value(PART))?;
			}
			put_offences::<T>(&operator);
		}
		enter_era::<T>(NOW);
		let held = Held::<T>::get();
		hot_keys::<T>();

		#[extrinsic_call]
		_(RawOrigin::Signed(caller.clone()));

		assert!(Unbonding::<T>::get(&caller).is_empty());
		assert!(Held::<T>::get() < held);
		Ok(())
	}

	/// Two assignments, the longer messages, under two keys, by a coordinator that is active. It
	/// replaces a smaller slash in the oldest era that counts. A slash that waits and an active operator are not there
	/// together; the call is bounded from above by both.
	#[benchmark]
	fn report_equivocation() -> Result<(), BenchmarkError> {
		enter_era::<T>(NOW);
		let former = signing_worker("//former");
		let worker = signing_worker("//offender");
		let offender = funded::<T>("offender", 0)?;
		register_as::<T>(&offender, Role::Coordinator, former)?;
		Pallet::<T>::release_worker(&offender, former)?;
		Pallet::<T>::bind_worker(&offender, worker)?;
		for key in [former, worker] {
			WorkerOwners::<T>::mutate(key, |owner| {
				if let Some(owner) = owner {
					owner.since = 0;
				}
			});
		}
		let era = NOW - T::EvidenceEras::get();
		let caller = caller::<T>()?;
		put_slash::<T>(&offender, era, Perbill::from_percent(2), caller.clone());
		// What no longer counts stays on record while its slash waits.
		Offences::<T>::mutate(&offender, |offences| {
			for older in offences.iter_mut().filter(|offence| offence.era < era) {
				older.pending = Some(SlashId::MAX);
			}
		});
		start_stream::<T>(&offender)?;
		pass_half_an_era::<T>();
		let first = Assignment {
			coordinator: offender.clone(),
			task: TaskId([1; 16]),
			attempt: 0,
			miner: account("miner", 0, 0),
			worker: silent_worker("miner", 0),
			spec_hash: H256::repeat_byte(1),
			model: H256::repeat_byte(2),
			deadline_ms: u64::MAX,
			block_number: era.saturating_mul(T::BlocksPerEra::get()),
			block_hash: H256::repeat_byte(3),
			randomness: H256::repeat_byte(4),
			eligible_root: H256::repeat_byte(5),
			total_weight: Balance::MAX,
		};
		let second = Assignment {
			total_weight: 0,
			..first.clone()
		};
		let evidence = Evidence::Assignments {
			workers: [former, worker],
			first: Signed {
				signature: sign::<T>(&former, &first)?,
				payload: first,
			},
			second: Signed {
				signature: sign::<T>(&worker, &second)?,
				payload: second,
			},
		};
		hot_keys::<T>();

		#[extrinsic_call]
		_(RawOrigin::Signed(caller), Box::new(evidence));

		assert!(Operators::<T>::get(&offender).is_some_and(|record| record.is_suspended()));
		assert!(Slashes::<T>::contains_key(1));
		Ok(())
	}

	/// The operator's only slash that waits: it is in service again.
	#[benchmark]
	fn cancel_slash() -> Result<(), BenchmarkError> {
		enter_era::<T>(NOW);
		let operator = operator::<T>(0, Role::Validator)?;
		voter::<T>(0, &operator)?;
		let reporter = funded::<T>("reporter", 0)?;
		let slash = put_slash::<T>(&operator, NOW, Perbill::from_percent(50), reporter);
		suspend::<T>(&operator)?;
		start_stream::<T>(&operator)?;
		pass_half_an_era::<T>();
		let origin = governance::<T>()?;
		hot_keys::<T>();

		#[extrinsic_call]
		_(origin as T::RuntimeOrigin, slash);

		assert!(Operators::<T>::get(&operator).is_some_and(|record| record.is_active()));
		Ok(())
	}

	/// `s` slashes of different operators. Each reaches an unbonding pool in every era of the
	/// unbonding time, which leaves an era for being late, and chunks of the operator in all of them at
	/// the end of a full list; takes more than the operator has, so that the voters bear a part; and
	/// is reported by an account that has to be opened.
	#[benchmark]
	fn apply_slashes(s: Linear<1, { MOST_SLASHES }>) -> Result<(), BenchmarkError> {
		enter_era::<T>(NOW);
		let eras = NOW + 1 - T::UnbondingEras::get()..=NOW;
		let elsewhere = T::MaxUnbondingChunks::get().saturating_sub(T::UnbondingEras::get());
		for index in 0..s {
			let operator = operator::<T>(index, Role::Validator)?;
			let voter = voter::<T>(index, &operator)?;
			chunks_elsewhere::<T>(&operator, elsewhere);
			for era in eras.clone() {
				CurrentEra::<T>::put(era);
				Pallet::<T>::do_unstake(operator.clone(), Amount::Value(PART))?;
				Pallet::<T>::do_unvote(voter.clone(), operator.clone(), Amount::Value(PART))?;
			}
			let reporter = account("reporter", index, 0);
			put_slash::<T>(
				&operator,
				*eras.start(),
				Perbill::from_percent(90),
				reporter,
			);
			suspend::<T>(&operator)?;
			start_stream::<T>(&operator)?;
		}
		CurrentEra::<T>::put(NOW);
		pass_half_an_era::<T>();
		let caller = caller::<T>()?;
		hot_keys::<T>();

		#[extrinsic_call]
		_(RawOrigin::Signed(caller), s);

		let queue = SlashQueue::<T>::get();
		assert_eq!((queue.first, queue.next), (s, s));
		for index in 0..s {
			let operator: AccountId = account("operator", index, 0);
			assert!(!Positions::<T>::contains_key(&operator, &operator));
			assert_eq!(Unbonding::<T>::get(&operator).len() as u32, elsewhere);
			assert!(UnbondingPools::<T>::contains_key(&operator, eras.start()));
		}
		Ok(())
	}

	#[benchmark]
	fn set_role_params() -> Result<(), BenchmarkError> {
		let origin = governance::<T>()?;
		let params = RoleParams {
			min_self_stake: Balance::MAX,
			offence_fraction: Perbill::from_percent(20),
		};

		#[extrinsic_call]
		_(origin as T::RuntimeOrigin, Role::Miner, params);

		assert_eq!(Pallet::<T>::role_params(Role::Miner), params);
		Ok(())
	}

	#[benchmark]
	fn set_validator_params() -> Result<(), BenchmarkError> {
		let origin = governance::<T>()?;
		let most = T::MaxValidators::get();
		let params = ValidatorParams {
			seats: most,
			floor: most,
			yearly_inflation: Perbill::from_percent(50),
		};

		#[extrinsic_call]
		_(origin as T::RuntimeOrigin, params);

		assert_eq!(ValidatorParameters::<T>::get(), params);
		Ok(())
	}

	/// `o` operators, each with a stream of which some is due.
	#[benchmark]
	fn recount(o: Linear<0, { MAX_RECOUNT }>) -> Result<(), BenchmarkError> {
		enter_era::<T>(NOW);
		let mut operators = Vec::new();
		for index in 0..o {
			let operator = operator::<T>(index, Role::Validator)?;
			start_stream::<T>(&operator)?;
			operators.push(operator);
		}
		pass_half_an_era::<T>();
		let caller = caller::<T>()?;
		let before = Totals::<T>::get(Role::Validator);
		hot_keys::<T>();

		#[extrinsic_call]
		_(
			RawOrigin::Signed(caller),
			BoundedVec::truncate_from(operators),
		);

		let after = Totals::<T>::get(Role::Validator);
		assert_eq!(after.operators, before.operators);
		assert!(o == 0 || after.stake > before.stake);
		Ok(())
	}

	/// The commission joins the operator's own stake, the rest what streams already.
	#[benchmark]
	fn reward() -> Result<(), BenchmarkError> {
		enter_era::<T>(NOW);
		let operator = operator::<T>(0, Role::Validator)?;
		voter::<T>(0, &operator)?;
		start_stream::<T>(&operator)?;
		pass_half_an_era::<T>();
		let credit = T::Currency::issue(REWARD);
		let held = Held::<T>::get();
		let refused;
		hot_keys::<T>();

		#[block]
		{
			refused = <Pallet<T> as RewardSink>::reward(&operator, credit).is_err();
		}

		assert!(!refused);
		assert_eq!(Held::<T>::get(), held + REWARD);
		Ok(())
	}

	impl_benchmark_test_suite!(Pallet, crate::benchmarking::state(), crate::mock::Test);
}

/// A genesis without operators, and a keystore to sign with.
#[cfg(test)]
fn state() -> sp_io::TestExternalities {
	let mut state = crate::mock::genesis(Vec::new(), Vec::new());
	let keystore = sp_keystore::testing::MemoryKeystore::new();
	state.register_extension(sp_keystore::KeystoreExt::new(keystore));
	state
}
