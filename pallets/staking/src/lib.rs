#![doc = include_str!("../README.md")]
#![cfg_attr(not(feature = "std"), no_std)]
#![deny(missing_docs)]

extern crate alloc;

pub mod budget;
#[cfg(any(feature = "std", feature = "try-runtime"))]
pub mod decoding;
pub mod election;
pub mod evidence;
pub mod migrations;
pub mod pool;
pub mod slash;
pub mod stake;
pub mod weights;

mod access;
#[cfg(feature = "runtime-benchmarks")]
mod benchmarking;
mod genesis;
mod operators;
mod rewards;
mod sessions;
mod slashing;
#[cfg(any(feature = "std", feature = "try-runtime"))]
mod try_state;
mod types;
mod unbonding;
mod views;
mod votes;

#[cfg(test)]
mod mock;
#[cfg(test)]
mod tests;

pub use access::OperatorAccess;
pub use evidence::{Evidence, Signed};
pub use genesis::{GenesisOperator, GenesisVote};
pub use pallet::*;
pub use pallet_cuckoo_staking_runtime_api::{RoleParams, ValidatorParams};
pub use rewards::RewardSink;
pub use sessions::{SessionAccess, SessionOf};
pub use types::{
	default_role_params, Amount, Commission, DescendingStake, EraStartedAt, Introduction,
	IntroductionInput, Moment, Offence, Operator, RoleTotals, Slash, SlashId, SlashQueueBounds,
	UnbondingChunk, WorkerOwner, MAX_ERAS, MAX_PROOFS, MAX_RECOUNT, MAX_RELEASED_WORKERS,
};
pub use weights::WeightInfo;

/// The staking pallet.
#[frame_support::pallet]
pub mod pallet {
	use super::{
		evidence::Evidence,
		pool::{Pool, PoolError, Position},
		sessions::SessionAccess,
		stake::Stream,
		types::*,
		weights::WeightInfo,
	};
	use alloc::{boxed::Box, vec::Vec};
	use cuckoo_primitives::{
		AccountId, Balance, BlockNumber, EraIndex, Role, WorkerId, WorkerSignature, H256,
	};
	use frame_support::{
		pallet_prelude::*,
		traits::{fungible, tokens::Preservation, OnUnbalanced},
		PalletId,
	};
	use frame_system::pallet_prelude::*;
	use pallet_cuckoo_staking_runtime_api::{
		OperatorInfo, PositionInfo, RoleParams, SlashInfo, UnbondingInfo, ValidatorParams,
	};
	use sp_runtime::{traits::AccountIdConversion, Perbill};
	use sp_staking::SessionIndex;

	/// The version of the storage's layout.
	pub(crate) const STORAGE_VERSION: StorageVersion = StorageVersion::new(2);

	/// Most slashes that a block applies by itself.
	const MAX_IDLE_SLASHES: u32 = 16;

	#[pallet::pallet]
	#[pallet::storage_version(STORAGE_VERSION)]
	pub struct Pallet<T>(_);

	#[pallet::config]
	pub trait Config:
		frame_system::Config<RuntimeEvent: From<Event<Self>>, AccountId = AccountId, Hash = H256>
	{
		/// CUC.
		type Currency: fungible::Inspect<AccountId, Balance = Balance>
			+ fungible::Mutate<AccountId>
			+ fungible::Balanced<AccountId>;

		/// Who sets parameters and cancels slashes.
		type GovernanceOrigin: EnsureOrigin<Self::RuntimeOrigin>;

		/// The session pallet.
		type Session: SessionAccess;

		/// Gets what is slashed and not the reporter's. `()` burns it.
		type OnSlash: OnUnbalanced<fungible::Credit<AccountId, Self::Currency>>;

		/// Names the pot: the account without a key that holds all staked tokens.
		#[pallet::constant]
		type PalletId: Get<PalletId>;

		/// How many sessions an era has.
		#[pallet::constant]
		type SessionsPerEra: Get<SessionIndex>;

		/// How many eras stake that leaves stays in reach of a slash before it can be withdrawn.
		#[pallet::constant]
		type UnbondingEras: Get<EraIndex>;

		/// How many eras after its own an offence can be proven.
		#[pallet::constant]
		type EvidenceEras: Get<EraIndex>;

		/// How many eras a slash waits before it is applied, so that governance can look at it.
		#[pallet::constant]
		type SlashDeferEras: Get<EraIndex>;

		/// The reporter's part of a slash.
		#[pallet::constant]
		type ReporterShare: Get<Perbill>;

		/// How many blocks an era has when none is missing: a reward streams for so long, and so many
		/// blocks share an era's pay.
		#[pallet::constant]
		type BlocksPerEra: Get<BlockNumber>;

		/// How long an era is, in milliseconds.
		#[pallet::constant]
		type EraMillis: Get<u64>;

		/// By how much a commission can be raised from one era to the next.
		#[pallet::constant]
		type MaxCommissionRaise: Get<Perbill>;

		/// Most validators, whatever the number of seats is set to.
		#[pallet::constant]
		type MaxValidators: Get<u32>;

		/// What calls cost.
		type WeightInfo: WeightInfo;

		/// The smallest vote, and the least that may be left of one. It pays for the storage.
		#[pallet::constant]
		type MinVote: Get<Balance>;

		/// How many chunks of unbonding stake an account may have at once. Chunks of the same
		/// operator and era are one. May be raised, never lowered: longer lists would no longer
		/// decode.
		#[pallet::constant]
		type MaxUnbondingChunks: Get<u32>;

		/// The most operators that `top` reads from the order by stake. The order itself has no bound.
		#[pallet::constant]
		type MaxSorted: Get<u32>;

		/// The longest name in bytes. May be raised, never lowered.
		#[pallet::constant]
		type MaxNameLen: Get<u32>;

		/// The longest endpoint URL in bytes. May be raised, never lowered.
		#[pallet::constant]
		type MaxEndpointLen: Get<u32>;

		/// The longest introductory text in bytes. May be raised, never lowered.
		#[pallet::constant]
		type MaxTextLen: Get<u32>;
	}

	/// `() -> era`: the era now, counted from genesis.
	#[pallet::storage]
	pub type CurrentEra<T: Config> = StorageValue<_, EraIndex, ValueQuery>;

	/// `() -> beginnings`: where the present era began, and those before it of which evidence still
	/// counts; the oldest first.
	#[pallet::storage]
	pub type RecentEras<T: Config> =
		StorageValue<_, BoundedVec<EraStartedAt, ConstU32<MAX_ERAS>>, ValueQuery>;

	/// `() -> amount`: the tokens that the pot owes to stakers. Moves only together with a transfer
	/// into or out of the pot, so that it counts the same money a second way: see invariant 1.
	#[pallet::storage]
	pub type Held<T: Config> = StorageValue<_, Balance, ValueQuery>;

	/// `role -> parameters`: what the role asks for, and what an offence in it costs. Set at genesis
	/// for every role.
	#[pallet::storage]
	pub type RoleParameters<T: Config> =
		StorageMap<_, Twox64Concat, Role, RoleParams<Balance>, OptionQuery>;

	/// `() -> parameters`: seats and pay of validators.
	#[pallet::storage]
	pub type ValidatorParameters<T: Config> = StorageValue<_, ValidatorParams, ValueQuery>;

	/// `validator -> blocks`: how many it has authored in the present era.
	#[pallet::storage]
	pub type AuthoredBlocks<T: Config> = StorageMap<_, Twox64Concat, AccountId, u32, ValueQuery>;

	/// `role -> totals`: the active operators of the role and their stake.
	#[pallet::storage]
	pub type Totals<T: Config> = StorageMap<_, Twox64Concat, Role, RoleTotals, ValueQuery>;

	/// `operator -> record`. Never removed: a retired operator keeps its record.
	#[pallet::storage]
	pub type Operators<T: Config> =
		StorageMap<_, Blake2_128Concat, AccountId, Operator, OptionQuery>;

	/// `(role, operator) -> ()`: the operators by role, so that one role is listed without a walk
	/// through the others.
	#[pallet::storage]
	pub type RoleMembers<T: Config> =
		StorageDoubleMap<_, Twox64Concat, Role, Blake2_128Concat, AccountId, (), OptionQuery>;

	/// `operator -> introduction`. Apart from the record, which every vote rewrites.
	#[pallet::storage]
	pub type Introductions<T: Config> =
		StorageMap<_, Blake2_128Concat, AccountId, Introduction<T>, OptionQuery>;

	/// `worker -> owner`: in use, or let go of within the last `UnbondingEras` eras (entries past
	/// that go when the owner changes its worker the next time).
	#[pallet::storage]
	pub type WorkerOwners<T: Config> =
		StorageMap<_, Blake2_128Concat, WorkerId, WorkerOwner, OptionQuery>;

	/// `operator -> workers`: those that the operator has let go of, the oldest first.
	#[pallet::storage]
	pub type ReleasedWorkers<T: Config> = StorageMap<
		_,
		Blake2_128Concat,
		AccountId,
		BoundedVec<WorkerId, ConstU32<MAX_RELEASED_WORKERS>>,
		ValueQuery,
	>;

	/// `operator -> count`: how many workers the operator has bound. The next proof must carry this
	/// number. Never removed, so that no proof counts twice.
	#[pallet::storage]
	pub type WorkerNonces<T: Config> = StorageMap<_, Blake2_128Concat, AccountId, u32, ValueQuery>;

	/// `operator -> pool`: value and shares. Never removed: the generation must not start again, or
	/// shares of a pool that was slashed to nothing would come back to life.
	#[pallet::storage]
	pub type Pools<T: Config> = StorageMap<_, Blake2_128Concat, AccountId, Pool, ValueQuery>;

	/// `operator -> stream`: rewards on their way into its pool. None when nothing is left of them.
	#[pallet::storage]
	pub type Streams<T: Config> = StorageMap<_, Blake2_128Concat, AccountId, Stream, ValueQuery>;

	/// `(voter, operator) -> position`: shares of the operator's pool. An operator's own stake is its
	/// position in its own pool.
	#[pallet::storage]
	pub type Positions<T: Config> = StorageDoubleMap<
		_,
		Blake2_128Concat,
		AccountId,
		Blake2_128Concat,
		AccountId,
		Position,
		OptionQuery,
	>;

	/// `(operator, era) -> pool`: stake that began to leave the operator in that era. It has shares of
	/// its own, so that a slash for an offence before it left still reaches it.
	#[pallet::storage]
	pub type UnbondingPools<T: Config> =
		StorageDoubleMap<_, Blake2_128Concat, AccountId, Twox64Concat, EraIndex, Pool, OptionQuery>;

	/// `account -> chunks`: its shares of unbonding pools, the oldest first.
	#[pallet::storage]
	pub type Unbonding<T: Config> = StorageMap<
		_,
		Blake2_128Concat,
		AccountId,
		BoundedVec<UnbondingChunk, T::MaxUnbondingChunks>,
		ValueQuery,
	>;

	/// `operator -> offences`: by era, as far as they can still count.
	#[pallet::storage]
	pub type Offences<T: Config> = StorageMap<
		_,
		Blake2_128Concat,
		AccountId,
		BoundedVec<Offence, ConstU32<MAX_ERAS>>,
		ValueQuery,
	>;

	/// `number -> slash`: those that wait.
	#[pallet::storage]
	pub type Slashes<T: Config> = StorageMap<_, Twox64Concat, SlashId, Slash, OptionQuery>;

	/// `() -> bounds`: between which numbers slashes wait, the oldest first.
	#[pallet::storage]
	pub type SlashQueue<T: Config> = StorageValue<_, SlashQueueBounds, ValueQuery>;

	/// `(role, stake, operator) -> ()`: active validators and coordinators in the order of their
	/// stake, most first, ties by account. The keys are not hashed, so that storage itself keeps the
	/// order: an update costs two writes at any number of operators, and nobody can push another
	/// out of a bounded list. Miners are too many to be worth it and are left out.
	#[pallet::storage]
	pub type ByStake<T: Config> = StorageNMap<
		_,
		(
			NMapKey<Identity, Role>,
			NMapKey<Identity, DescendingStake>,
			NMapKey<Identity, AccountId>,
		),
		(),
		OptionQuery,
	>;

	/// What staking begins with.
	#[pallet::genesis_config]
	#[derive(frame_support::DefaultNoBound)]
	pub struct GenesisConfig<T: Config> {
		/// Operators, registered without a proof of their worker keys.
		pub operators: Vec<crate::GenesisOperator>,
		/// Votes.
		pub votes: Vec<crate::GenesisVote>,
		/// Seats and pay of validators.
		pub validators: ValidatorParams,
		/// Nothing.
		#[serde(skip)]
		pub _config: core::marker::PhantomData<T>,
	}

	#[pallet::genesis_build]
	impl<T: Config> BuildGenesisConfig for GenesisConfig<T> {
		fn build(&self) {
			Pallet::<T>::build_genesis(&self.operators, &self.votes, self.validators);
		}
	}

	/// What happened, with the values that hold after it. Balances are in CUC's smallest unit.
	#[pallet::event]
	#[pallet::generate_deposit(pub(super) fn deposit_event)]
	pub enum Event<T: Config> {
		/// An account has become an operator.
		OperatorRegistered {
			/// The operator.
			operator: AccountId,
			/// What it does.
			role: Role,
			/// The key that signs its off-chain messages.
			worker: WorkerId,
			/// Its own stake.
			self_stake: Balance,
			/// The part of rewards it keeps before its voters share the rest.
			commission: Perbill,
		},
		/// An operator has become active: its own stake exceeds the role's minimum.
		OperatorActivated {
			/// The operator.
			operator: AccountId,
			/// What it does.
			role: Role,
			/// Its own stake and its voters' together.
			total_stake: Balance,
		},
		/// An operator is no longer active.
		OperatorDeactivated {
			/// The operator.
			operator: AccountId,
			/// What it does.
			role: Role,
		},
		/// An operator has retired. Its worker is released; its stake can be taken out.
		OperatorRetired {
			/// The operator.
			operator: AccountId,
			/// The era in which it retired.
			era: EraIndex,
		},
		/// An operator is back in service, after it had retired or was suspended.
		OperatorReactivated {
			/// The operator.
			operator: AccountId,
			/// What it does.
			role: Role,
			/// The key that signs its off-chain messages.
			worker: WorkerId,
		},
		/// An operator is out of service, because an offence of it was proven.
		OperatorSuspended {
			/// The operator.
			operator: AccountId,
			/// What it does.
			role: Role,
		},
		/// An operator has announced another commission.
		CommissionSet {
			/// The operator.
			operator: AccountId,
			/// The part of rewards that it will keep.
			commission: Perbill,
			/// The first era in which it does.
			effective_era: EraIndex,
		},
		/// An operator has a new worker key.
		WorkerSet {
			/// The operator.
			operator: AccountId,
			/// The worker it had before.
			previous: WorkerId,
			/// The worker it has now.
			worker: WorkerId,
		},
		/// An operator introduces itself anew.
		IntroductionSet {
			/// The operator.
			operator: AccountId,
			/// Its name.
			name: Vec<u8>,
			/// Where it is reached.
			endpoint: Vec<u8>,
			/// What it says about itself.
			text: Vec<u8>,
		},
		/// An operator has put more of its own into its pool.
		Staked {
			/// The operator.
			operator: AccountId,
			/// What it put in.
			amount: Balance,
			/// Its own stake now.
			self_stake: Balance,
			/// The whole pool now.
			total_stake: Balance,
		},
		/// An operator has begun to take some of its own stake out.
		Unstaked {
			/// The operator.
			operator: AccountId,
			/// What is leaving.
			amount: Balance,
			/// Its own stake now.
			self_stake: Balance,
			/// The whole pool now.
			total_stake: Balance,
			/// The first era in which the amount can be withdrawn.
			withdrawable_era: EraIndex,
		},
		/// An account has voted for an operator with its stake.
		Voted {
			/// The account.
			voter: AccountId,
			/// The operator.
			operator: AccountId,
			/// What it put in.
			amount: Balance,
			/// What all its votes for this operator are worth now.
			position: Balance,
			/// The whole pool now.
			total_stake: Balance,
		},
		/// An account has begun to take a vote back.
		Unvoted {
			/// The account.
			voter: AccountId,
			/// The operator.
			operator: AccountId,
			/// What is leaving.
			amount: Balance,
			/// What is left of its votes for this operator.
			position: Balance,
			/// The whole pool now.
			total_stake: Balance,
			/// The first era in which the amount can be withdrawn.
			withdrawable_era: EraIndex,
		},
		/// An account has taken stake that was on its way out back into the pool.
		Rebonded {
			/// The account.
			account: AccountId,
			/// The operator.
			operator: AccountId,
			/// What came back.
			amount: Balance,
			/// What its position is worth now.
			position: Balance,
			/// The whole pool now.
			total_stake: Balance,
		},
		/// An operator and its voters have earned.
		Rewarded {
			/// The operator.
			operator: AccountId,
			/// The whole reward. What is not commission streams into the pool over an era.
			amount: Balance,
			/// The operator's part beforehand, staked at once.
			commission: Balance,
		},
		/// An era's blocks have been paid.
		ValidatorsPaid {
			/// The era.
			era: EraIndex,
			/// What all its blocks would have been paid.
			budget: Balance,
			/// What was issued.
			paid: Balance,
		},
		/// Validators have been elected who are not the present ones.
		ValidatorsElected {
			/// The first session in which they validate.
			session: SessionIndex,
			/// They.
			validators: Vec<AccountId>,
		},
		/// An offence was proven. Its slash waits.
		SlashQueued {
			/// The slash's number.
			slash: SlashId,
			/// Whose stake.
			operator: AccountId,
			/// The era of the offence.
			era: EraIndex,
			/// The part that is to be gone of what is in reach.
			fraction: Perbill,
			/// Who proved it.
			reporter: Option<AccountId>,
			/// The first era in which it can be applied.
			due_era: EraIndex,
		},
		/// A slash was applied.
		Slashed {
			/// The slash's number.
			slash: SlashId,
			/// Whose stake.
			operator: AccountId,
			/// What was taken, from the operator first.
			amount: Balance,
			/// Who had proven the offence.
			reporter: Option<AccountId>,
			/// The reporter's part of it.
			reporter_reward: Balance,
		},
		/// A slash was cancelled. It will never be applied.
		SlashCancelled {
			/// The slash's number.
			slash: SlashId,
			/// Whose stake.
			operator: AccountId,
		},
		/// An operator was compared with its role's minimum, and its stake brought up to date.
		Recounted {
			/// The operator.
			operator: AccountId,
			/// The whole pool now.
			total_stake: Balance,
		},
		/// A role has other parameters.
		RoleParamsSet {
			/// The role.
			role: Role,
			/// Its parameters.
			params: RoleParams<Balance>,
		},
		/// Validators have other parameters.
		ValidatorParamsSet {
			/// The parameters.
			params: ValidatorParams,
		},
		/// Unbonded stake has been paid out.
		Withdrawn {
			/// The account.
			account: AccountId,
			/// What it got.
			amount: Balance,
		},
		/// An era has begun.
		EraStarted {
			/// The era.
			era: EraIndex,
			/// Its first session.
			session: SessionIndex,
		},
	}

	/// Why a call was refused, and what to do. Wallets show these sentences.
	#[pallet::error]
	pub enum Error<T> {
		/// No operator has this account. Look up the operator's account, or register it first.
		OperatorNotFound,
		/// This account is an operator already, and an account has one role only. Use another
		/// account, or retire and empty the pool first.
		OperatorAlreadyExists,
		/// This operator has retired and takes no more stake or changes. Choose another operator.
		OperatorRetired,
		/// An offence of this operator was proven, and it takes no stake until it is back in service.
		/// Choose another operator.
		OperatorSuspended,
		/// The operator is in service: neither retired nor suspended. There is nothing to come back
		/// from.
		OperatorInService,
		/// A slash waits for this operator. Wait until it has been applied or cancelled: look up the
		/// pending slashes for its era.
		SlashPending,
		/// The commission rises by more than the constant maxCommissionRaise above the one in force.
		/// Raise it in steps, one an era.
		CommissionRaiseTooLarge,
		/// The operator's own stake would not exceed its role's minimum. Stake more than the minimum;
		/// to take everything out, retire first.
		SelfStakeTooLow,
		/// This worker key is in use, or was until recently by another operator. Make a new worker
		/// key.
		WorkerAlreadyExists,
		/// The worker's signature does not prove that it agrees to act for this operator. Sign again
		/// with the worker key, for this operator, this chain and the operator's present worker nonce.
		WorkerProofInvalid,
		/// The worker was changed too often within the unbonding time. Wait until the oldest of the
		/// former workers is past it.
		MaxReleasedWorkersExceeded,
		/// The name is too long. Shorten it to the constant maxNameLen, counted in bytes.
		MaxNameLenExceeded,
		/// The endpoint is too long. Shorten it to the constant maxEndpointLen, counted in bytes.
		MaxEndpointLenExceeded,
		/// The text is too long. Shorten it to the constant maxTextLen, counted in bytes.
		MaxTextLenExceeded,
		/// The introduction is not plain text. Use UTF-8 without control characters.
		IntroductionNotText,
		/// The account cannot pay this amount and keep its existential deposit. Use less, or fund the
		/// account first.
		BalanceTooLow,
		/// The amount is below the smallest vote. Vote with the constant minVote or more.
		VoteTooSmall,
		/// Less than the smallest vote would be left. Take all of it out, or leave the constant minVote
		/// or more.
		RemainderTooSmall,
		/// An operator does not vote for itself. Use stake_more or unstake for its own stake.
		SelfVoteNotAllowed,
		/// There is no stake of this account on this operator. Look up the account's positions.
		PositionNotFound,
		/// The position is worth less than the amount. Use a smaller amount, or take all of it.
		PositionTooSmall,
		/// The amount is zero, or too small to buy a share of the pool, or less than the smallest vote
		/// where there is no own stake yet. Use a larger amount.
		AmountTooSmall,
		/// The amount is larger than a pool can hold. Use a smaller amount.
		AmountTooLarge,
		/// The operator's pool was slashed to nothing and takes no stake. Choose another operator.
		PoolWorthless,
		/// Too many unbonding chunks at once. Withdraw what is due, or wait for the next era that is.
		MaxUnbondingChunksExceeded,
		/// Nothing can be withdrawn yet. Look up in which era the unbonding stake can be.
		NothingToWithdraw,
		/// None of your stake is on its way out of this operator. Look up the unbonding stake.
		NothingToRebond,
		/// Nobody has stake on this operator.
		PoolEmpty,
		/// The messages do not prove an offence: they must differ, be about the same assignment or
		/// attempt, and both carry the signature of the operator's worker on this chain.
		EvidenceInvalid,
		/// The offence is too long ago, or the worker's owner is no longer on record. Offences count
		/// for the constant evidenceEras.
		EvidenceTooOld,
		/// This evidence was used before, or as many proofs for this operator and era as are remembered.
		/// A proof counts once, whatever became of its slash.
		EvidenceUsed,
		/// An offence as large was proven for this operator, of this era or of one before it. Until the
		/// operator is back in service all of them are punished once, by the largest.
		OffenceAlreadyCounted,
		/// No slash with this number waits. Look up the pending slashes.
		SlashNotFound,
		/// No slash is due. Look up the pending slashes for the era.
		NoSlashDue,
		/// The parameters cannot be used: a minimum below the smallest vote, an inflation above a
		/// half, no seat, or more seats or a higher floor than the constant maxValidators.
		ParamsInvalid,
		/// The pool has so few shares that more than a millionth of the amount would be lost by
		/// rounding. Use a larger amount, or choose another operator; the operator itself can retire,
		/// empty the pool and register again.
		SharesTooDear,
		/// The messages name a block that is still to come. Report them when it is there.
		EvidenceFromFuture,
		/// A message is from a time at which its key was not the operator's worker: before it was bound,
		/// or after it was let go of. The operator does not answer for it.
		WorkerNotBound,
	}

	impl<T> From<PoolError> for Error<T> {
		fn from(error: PoolError) -> Self {
			match error {
				PoolError::TooSmall => Error::AmountTooSmall,
				PoolError::Overflow => Error::AmountTooLarge,
				PoolError::TooLarge => Error::PositionTooSmall,
				PoolError::Worthless => Error::PoolWorthless,
				PoolError::TooDear => Error::SharesTooDear,
				PoolError::Empty => Error::PoolEmpty,
			}
		}
	}

	#[pallet::hooks]
	impl<T: Config> Hooks<BlockNumberFor<T>> for Pallet<T> {
		/// Charges once a block for what every call that moves stake writes and the block therefore
		/// writes once: the pot, what it holds, a role's totals, the author's count.
		fn on_initialize(_: BlockNumberFor<T>) -> Weight {
			T::WeightInfo::hot_storage()
		}

		/// Applies the slashes that are due, as far as the block has room. In blocks that are always
		/// full anybody can do it by `apply_slashes`.
		fn on_idle(_: BlockNumberFor<T>, remaining: Weight) -> Weight {
			let base = T::WeightInfo::apply_slashes(0);
			let each = T::WeightInfo::apply_slashes(1).saturating_sub(base);
			let room = remaining
				.saturating_sub(base)
				.checked_div_per_component(&each)
				.unwrap_or(0)
				.min(u64::from(MAX_IDLE_SLASHES));
			let room = u32::try_from(room).unwrap_or(0);
			if room == 0 {
				return Weight::zero();
			}
			let applied = Self::apply_due(room);
			T::WeightInfo::apply_slashes(applied)
		}

		fn integrity_test() {
			Self::check_config();
		}

		#[cfg(feature = "try-runtime")]
		fn try_state(_: BlockNumberFor<T>) -> Result<(), sp_runtime::TryRuntimeError> {
			Self::do_try_state()
		}
	}

	#[pallet::call]
	impl<T: Config> Pallet<T> {
		/// Become an operator: take a role, bind a worker key, and put in your own stake, which must
		/// exceed the role's minimum.
		///
		/// `worker_signature` is the worker key's over the worker proof with this account and its
		/// present worker nonce: it shows that the key is held and agrees. An account that has
		/// retired may register again, in any role, once its pool is empty.
		///
		/// - Origin: any account.
		/// - Errors: `OperatorAlreadyExists`, `SlashPending`, `WorkerProofInvalid`, `WorkerAlreadyExists`,
		///   `SelfStakeTooLow`, `BalanceTooLow`, and those of the introduction.
		/// - Events: `OperatorRegistered`, `OperatorActivated`.
		/// - Complexity: linear in the workers that were let go of, at most 16.
		#[pallet::call_index(0)]
		#[pallet::weight(T::WeightInfo::register())]
		pub fn register(
			origin: OriginFor<T>,
			role: Role,
			worker: WorkerId,
			worker_signature: WorkerSignature,
			#[pallet::compact] stake: Balance,
			commission: Perbill,
			introduction: IntroductionInput,
		) -> DispatchResult {
			let operator = ensure_signed(origin)?;
			Self::vacate(&operator)?;
			Self::ensure_worker_agrees(&operator, &worker, &worker_signature)?;
			let introduction = Self::checked_introduction(introduction)?;
			Self::do_register(operator, role, worker, stake, commission, introduction)
		}

		/// Replace your worker key. What the old one signed stays attributable to you, and no other
		/// operator can bind it, until the unbonding time is over.
		///
		/// - Origin: the operator's account.
		/// - Errors: `OperatorNotFound`, `OperatorRetired`, `WorkerProofInvalid`, `WorkerAlreadyExists`,
		///   `MaxReleasedWorkersExceeded`.
		/// - Events: `WorkerSet`.
		/// - Complexity: linear in the workers that were let go of, at most 16.
		#[pallet::call_index(1)]
		#[pallet::weight(T::WeightInfo::set_worker())]
		pub fn set_worker(
			origin: OriginFor<T>,
			worker: WorkerId,
			worker_signature: WorkerSignature,
		) -> DispatchResult {
			let operator = ensure_signed(origin)?;
			Self::do_set_worker(operator, worker, worker_signature)
		}

		/// Replace your introduction: name, endpoint and text.
		///
		/// - Origin: the operator's account.
		/// - Errors: `OperatorNotFound`, `OperatorRetired`, `MaxNameLenExceeded`, `MaxEndpointLenExceeded`,
		///   `MaxTextLenExceeded`, `IntroductionNotText`.
		/// - Events: `IntroductionSet`.
		/// - Complexity: constant.
		#[pallet::call_index(2)]
		#[pallet::weight(T::WeightInfo::set_introduction())]
		pub fn set_introduction(
			origin: OriginFor<T>,
			introduction: IntroductionInput,
		) -> DispatchResult {
			let operator = ensure_signed(origin)?;
			let introduction = Self::checked_introduction(introduction)?;
			Self::do_set_introduction(operator, introduction)
		}

		/// Announce another commission: the part of rewards that you keep before your voters share the
		/// rest. It is in force from the next era on; until then another announcement replaces it.
		///
		/// - Origin: the operator's account.
		/// - Errors: `OperatorNotFound`, `OperatorRetired`, `CommissionRaiseTooLarge`.
		/// - Events: `CommissionSet`.
		/// - Complexity: constant.
		#[pallet::call_index(3)]
		#[pallet::weight(T::WeightInfo::set_commission())]
		pub fn set_commission(origin: OriginFor<T>, commission: Perbill) -> DispatchResult {
			let operator = ensure_signed(origin)?;
			Self::do_set_commission(operator, commission)
		}

		/// Put more of your own stake into your pool.
		///
		/// - Origin: the operator's account.
		/// - Errors: `OperatorNotFound`, `OperatorRetired`, `BalanceTooLow`, `AmountTooSmall`,
		///   `SharesTooDear`.
		/// - Events: `Staked`; `OperatorActivated` when the stake is enough.
		/// - Complexity: constant.
		#[pallet::call_index(4)]
		#[pallet::weight(T::WeightInfo::stake_more())]
		pub fn stake_more(
			origin: OriginFor<T>,
			#[pallet::compact] amount: Balance,
		) -> DispatchResult {
			let operator = ensure_signed(origin)?;
			Self::do_stake_more(operator, amount)
		}

		/// Take some of your own stake out. It can be withdrawn after the unbonding time. Unless you
		/// have retired, what stays must exceed the role's minimum.
		///
		/// - Origin: the operator's account.
		/// - Errors: `OperatorNotFound`, `PositionNotFound`, `PositionTooSmall`, `SelfStakeTooLow`,
		///   `RemainderTooSmall`, `MaxUnbondingChunksExceeded`.
		/// - Events: `Unstaked`.
		/// - Complexity: linear in the account's unbonding chunks.
		#[pallet::call_index(5)]
		#[pallet::weight(T::WeightInfo::unstake())]
		pub fn unstake(origin: OriginFor<T>, amount: Amount) -> DispatchResult {
			let operator = ensure_signed(origin)?;
			Self::do_unstake(operator, amount)
		}

		/// Stop being an operator. Your worker is released, you take no more votes, and all stake can
		/// be taken out, yours and your voters'.
		///
		/// - Origin: the operator's account.
		/// - Errors: `OperatorNotFound`, `OperatorRetired`.
		/// - Events: `OperatorRetired`, `OperatorDeactivated`.
		/// - Complexity: constant.
		#[pallet::call_index(6)]
		#[pallet::weight(T::WeightInfo::retire())]
		pub fn retire(origin: OriginFor<T>) -> DispatchResult {
			let operator = ensure_signed(origin)?;
			Self::do_retire(operator)
		}

		/// Come back into service, after you have retired or were suspended for an offence, in the role
		/// that you had. Binds a worker key, the one you had or another; `worker_signature` is its proof,
		/// as in `register`. You are active as soon as your own stake exceeds the role's minimum.
		///
		/// - Origin: the operator's account.
		/// - Errors: `OperatorNotFound`, `OperatorInService`, `SlashPending`, `WorkerProofInvalid`,
		///   `WorkerAlreadyExists`, `MaxReleasedWorkersExceeded`.
		/// - Events: `OperatorReactivated`; `OperatorActivated` when the stake is enough.
		/// - Complexity: linear in the workers that were let go of, at most 16.
		#[pallet::call_index(7)]
		#[pallet::weight(T::WeightInfo::reactivate())]
		pub fn reactivate(
			origin: OriginFor<T>,
			worker: WorkerId,
			worker_signature: WorkerSignature,
		) -> DispatchResult {
			let operator = ensure_signed(origin)?;
			Self::do_reactivate(operator, worker, worker_signature)
		}

		/// Vote for an operator with `amount` of your CUC. It earns a share of what the operator
		/// earns, and shares its slashes.
		///
		/// - Origin: any account but the operator's.
		/// - Errors: `SelfVoteNotAllowed`, `VoteTooSmall`, `OperatorNotFound`, `OperatorRetired`,
		///   `OperatorSuspended`, `BalanceTooLow`, `SharesTooDear`.
		/// - Events: `Voted`.
		/// - Complexity: constant, whatever the number of voters.
		#[pallet::call_index(8)]
		#[pallet::weight(T::WeightInfo::vote())]
		pub fn vote(
			origin: OriginFor<T>,
			operator: AccountId,
			#[pallet::compact] amount: Balance,
		) -> DispatchResult {
			let voter = ensure_signed(origin)?;
			Self::do_vote(voter, operator, amount)
		}

		/// Take a vote back, or a part of it. It can be withdrawn after the unbonding time.
		///
		/// - Origin: the voter's account.
		/// - Errors: `SelfVoteNotAllowed`, `OperatorNotFound`, `PositionNotFound`, `PositionTooSmall`,
		///   `RemainderTooSmall`, `MaxUnbondingChunksExceeded`.
		/// - Events: `Unvoted`.
		/// - Complexity: linear in the account's unbonding chunks, whatever the number of voters.
		#[pallet::call_index(9)]
		#[pallet::weight(T::WeightInfo::unvote())]
		pub fn unvote(origin: OriginFor<T>, operator: AccountId, amount: Amount) -> DispatchResult {
			let voter = ensure_signed(origin)?;
			Self::do_unvote(voter, operator, amount)
		}

		/// Take stake that is on its way out of an operator back into its pool, what left last first.
		/// For voters and for the operator itself.
		///
		/// - Origin: the account whose stake it is.
		/// - Errors: `OperatorNotFound`, `OperatorRetired`, `OperatorSuspended`, `NothingToRebond`,
		///   `PositionTooSmall`, `VoteTooSmall`, `SharesTooDear`.
		/// - Events: `Rebonded`.
		/// - Complexity: linear in the account's unbonding chunks, at most `MaxUnbondingChunks`.
		#[pallet::call_index(10)]
		#[pallet::weight(T::WeightInfo::rebond(T::MaxUnbondingChunks::get()))]
		pub fn rebond(origin: OriginFor<T>, operator: AccountId, amount: Amount) -> DispatchResult {
			let account = ensure_signed(origin)?;
			Self::do_rebond(account, operator, amount)
		}

		/// Get all your stake that has been unbonding for long enough.
		///
		/// - Origin: the account whose stake it is.
		/// - Errors: `NothingToWithdraw`, `SlashPending`.
		/// - Events: `Withdrawn`.
		/// - Complexity: linear in the account's unbonding chunks.
		#[pallet::call_index(11)]
		#[pallet::weight(T::WeightInfo::withdraw(T::MaxUnbondingChunks::get()))]
		pub fn withdraw(origin: OriginFor<T>) -> DispatchResult {
			let account = ensure_signed(origin)?;
			Self::do_withdraw(account)
		}

		/// Prove that an operator's worker has signed what no honest worker signs: two results for one
		/// assignment, or two assignments for one attempt. The operator is suspended at once, and a
		/// slash is queued, of which you get a part when it is applied. What proves an offence costs
		/// no fee.
		///
		/// - Origin: any account.
		/// - Errors: `EvidenceInvalid`, `EvidenceTooOld`, `EvidenceFromFuture`, `EvidenceUsed`,
		///   `WorkerNotBound`, `OffenceAlreadyCounted`, `OperatorNotFound`.
		/// - Events: `SlashQueued`; `OperatorSuspended` and `OperatorDeactivated` the first time.
		/// - Complexity: two signatures; linear in the eras with offences of the operator.
		#[pallet::call_index(12)]
		#[pallet::weight(T::WeightInfo::report_equivocation())]
		pub fn report_equivocation(
			origin: OriginFor<T>,
			evidence: Box<Evidence>,
		) -> DispatchResultWithPostInfo {
			let reporter = ensure_signed(origin)?;
			Self::do_report(reporter, *evidence)?;
			Ok(Pays::No.into())
		}

		/// Take a slash out of the queue before it is applied. Its evidence cannot be used again. The
		/// operator is back in service unless another slash waits.
		///
		/// - Origin: governance.
		/// - Errors: `SlashNotFound`.
		/// - Events: `SlashCancelled`; `OperatorActivated` when the stake is enough.
		/// - Complexity: linear in the eras with offences of the operator.
		#[pallet::call_index(13)]
		#[pallet::weight((T::WeightInfo::cancel_slash(), DispatchClass::Operational))]
		pub fn cancel_slash(origin: OriginFor<T>, slash: SlashId) -> DispatchResult {
			T::GovernanceOrigin::ensure_origin(origin)?;
			Self::do_cancel(slash)
		}

		/// Apply slashes that are due, the oldest first: at most `limit`, where a cancelled one counts
		/// as well. Blocks with room do it by themselves; this is for when they have none. Costs no fee
		/// when there was something to do.
		///
		/// - Origin: any account.
		/// - Errors: `NoSlashDue`.
		/// - Events: `Slashed` for each.
		/// - Complexity: linear in `limit`; for each in the eras in its reach and in the operator's own
		///   unbonding chunks, never in its voters.
		#[pallet::call_index(14)]
		#[pallet::weight(T::WeightInfo::apply_slashes(*limit))]
		pub fn apply_slashes(origin: OriginFor<T>, limit: u32) -> DispatchResultWithPostInfo {
			ensure_signed(origin)?;
			let done = Self::apply_due(limit);
			ensure!(done > 0, Error::<T>::NoSlashDue);
			Ok((Some(T::WeightInfo::apply_slashes(done)), Pays::No).into())
		}

		/// Set what a role asks for, and what an offence in it costs. Operators are compared with a new
		/// minimum when their stake changes next, or by `recount`.
		///
		/// - Origin: governance.
		/// - Errors: `ParamsInvalid`.
		/// - Events: `RoleParamsSet`.
		/// - Complexity: constant.
		#[pallet::call_index(15)]
		#[pallet::weight((T::WeightInfo::set_role_params(), DispatchClass::Operational))]
		pub fn set_role_params(
			origin: OriginFor<T>,
			role: Role,
			params: RoleParams<Balance>,
		) -> DispatchResult {
			T::GovernanceOrigin::ensure_origin(origin)?;
			ensure!(
				params.min_self_stake >= T::MinVote::get(),
				Error::<T>::ParamsInvalid
			);
			RoleParameters::<T>::insert(role, params);
			Self::deposit_event(Event::RoleParamsSet { role, params });
			Ok(())
		}

		/// Set the seats and the pay of validators. Seats count from the next election on, the pay from
		/// the end of this era.
		///
		/// - Origin: governance.
		/// - Errors: `ParamsInvalid`.
		/// - Events: `ValidatorParamsSet`.
		/// - Complexity: constant.
		#[pallet::call_index(16)]
		#[pallet::weight((T::WeightInfo::set_validator_params(), DispatchClass::Operational))]
		pub fn set_validator_params(
			origin: OriginFor<T>,
			params: ValidatorParams,
		) -> DispatchResult {
			T::GovernanceOrigin::ensure_origin(origin)?;
			Self::checked_validator_params(&params)?;
			ValidatorParameters::<T>::put(params);
			Self::deposit_event(Event::ValidatorParamsSet { params });
			Ok(())
		}

		/// Compare operators with their role's minimum of today. For when governance has changed it:
		/// who is active follows at once only where stake moves.
		///
		/// - Origin: any account.
		/// - Errors: none; accounts that are no operators are passed over.
		/// - Events: `Recounted` for each; `OperatorActivated`, `OperatorDeactivated`.
		/// - Complexity: linear in the accounts, at most 100.
		#[pallet::call_index(17)]
		#[pallet::weight(T::WeightInfo::recount(operators.len() as u32))]
		pub fn recount(
			origin: OriginFor<T>,
			operators: BoundedVec<AccountId, ConstU32<MAX_RECOUNT>>,
		) -> DispatchResult {
			ensure_signed(origin)?;
			operators.iter().try_for_each(Self::do_recount)
		}
	}

	#[pallet::view_functions]
	impl<T: Config> Pallet<T> {
		/// One operator.
		pub fn operator(account: AccountId) -> Option<OperatorInfo<AccountId, Balance>> {
			Operators::<T>::get(&account).map(|record| Self::operator_info(account, record))
		}

		/// What a voter (or the operator itself) has on one operator.
		pub fn position(
			voter: AccountId,
			operator: AccountId,
		) -> Option<PositionInfo<AccountId, Balance>> {
			Positions::<T>::get(&voter, &operator)
				.map(|position| Self::position_info(operator, position))
		}

		/// What is on its way out for a voter.
		pub fn unbonding(voter: AccountId) -> Vec<UnbondingInfo<AccountId, Balance>> {
			Self::unbonding_info(&voter)
		}

		/// A role's parameters.
		pub fn role_params(role: Role) -> RoleParams<Balance> {
			RoleParameters::<T>::get(role).unwrap_or_else(|| default_role_params(role))
		}

		/// Seats and pay of validators.
		pub fn validator_params() -> ValidatorParams {
			ValidatorParameters::<T>::get()
		}

		/// The slashes that wait, the oldest first, with numbers above `from`; at most `limit`.
		pub fn slashes(from: Option<SlashId>, limit: u32) -> Vec<SlashInfo<AccountId>> {
			Self::pending_slashes(from, limit)
		}
	}

	impl<T: Config> Pallet<T> {
		/// The account that holds all staked tokens. It has no key: only this pallet moves them.
		pub fn pot() -> AccountId {
			T::PalletId::get().into_account_truncating()
		}

		/// Refuses parameters of validators that nobody can mean.
		pub(crate) fn checked_validator_params(params: &ValidatorParams) -> DispatchResult {
			let most = T::MaxValidators::get();
			let fine = (1..=most).contains(&params.seats)
				&& (1..=params.seats).contains(&params.floor)
				&& params.yearly_inflation <= Perbill::from_percent(50);
			ensure!(fine, Error::<T>::ParamsInvalid);
			Ok(())
		}

		/// What makes a configuration unusable, checked when the runtime is tested.
		fn check_config() {
			assert!(
				T::SessionsPerEra::get() > 0,
				"an era needs at least one session"
			);
			assert!(
				T::UnbondingEras::get() > 0,
				"stake that leaves at once cannot be slashed"
			);
			assert!(
				T::MaxUnbondingChunks::get() > 0,
				"without a chunk nobody can leave"
			);
			assert!(
				T::UnbondingEras::get()
					> T::EvidenceEras::get().saturating_add(T::SlashDeferEras::get()),
				"stake must still be there when the last evidence of its time has waited",
			);
			assert!(
				MAX_ERAS > T::UnbondingEras::get().saturating_add(1),
				"as many eras must have room as stake answers for",
			);
			assert!(
				T::BlocksPerEra::get() > 0 && T::EraMillis::get() > 0,
				"a reward needs time to stream"
			);
			assert!(T::MaxValidators::get() > 0, "somebody has to validate");
			assert!(T::MaxSorted::get() > 0, "`top` needs at least one entry");
			assert!(T::MaxNameLen::get() > 0, "operators need names");
			assert!(T::MaxEndpointLen::get() > 0, "coordinators need endpoints");
			assert!(
				T::MinVote::get() >= <T::Currency as fungible::Inspect<_>>::minimum_balance(),
				"a vote that is taken back must be enough to open an account with",
			);
			for role in Role::ALL {
				assert!(
					role.default_min_self_stake() >= T::MinVote::get(),
					"an operator stakes no less than a voter",
				);
			}
		}

		/// Moves `amount` from an account into the pot.
		pub(crate) fn take_in(from: &AccountId, amount: Balance) -> DispatchResult {
			use frame_support::traits::{
				fungible::{Inspect, Mutate},
				tokens::Fortitude,
			};
			let free =
				T::Currency::reducible_balance(from, Preservation::Preserve, Fortitude::Polite);
			ensure!(free >= amount, Error::<T>::BalanceTooLow);
			T::Currency::transfer(from, &Self::pot(), amount, Preservation::Preserve)?;
			Self::hold_more(amount)
		}

		/// Pays `amount` out of the pot, which always keeps its existential deposit.
		pub(crate) fn pay_out(to: &AccountId, amount: Balance) -> DispatchResult {
			use frame_support::traits::fungible::Mutate;
			T::Currency::transfer(&Self::pot(), to, amount, Preservation::Preserve)?;
			Self::hold_less(amount)
		}
	}
}
