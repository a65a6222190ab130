#![doc = include_str!("../README.md")]
#![cfg_attr(not(feature = "std"), no_std)]
#![deny(missing_docs)]

extern crate alloc;

pub mod pool;

mod genesis;
mod operators;
mod sessions;
#[cfg(any(test, feature = "try-runtime"))]
mod try_state;
mod types;
mod unbonding;
mod views;
mod votes;
mod weights;

#[cfg(test)]
mod mock;
#[cfg(test)]
mod tests;

pub use genesis::{GenesisOperator, GenesisVote};
pub use pallet::*;
pub use types::{
	Amount, DescendingStake, Introduction, IntroductionInput, Operator, RoleRules, RoleTotals,
	UnbondingChunk, WorkerOwner, MAX_RELEASED_WORKERS,
};

/// The staking pallet.
#[frame_support::pallet]
pub mod pallet {
	use super::{
		pool::{Pool, PoolError, Position},
		types::*,
		weights,
	};
	use alloc::vec::Vec;
	use cuckoo_primitives::{AccountId, Balance, EraIndex, Role, WorkerId, WorkerSignature, H256};
	use frame_support::{
		pallet_prelude::*,
		traits::{fungible, tokens::Preservation},
		PalletId,
	};
	use frame_system::pallet_prelude::*;
	use pallet_cuckoo_staking_runtime_api::{
		OperatorInfo, PositionInfo, RoleParams, UnbondingInfo,
	};
	use sp_runtime::{traits::AccountIdConversion, Perbill};
	use sp_staking::SessionIndex;

	/// The version of the storage's layout.
	const STORAGE_VERSION: StorageVersion = StorageVersion::new(1);

	#[pallet::pallet]
	#[pallet::storage_version(STORAGE_VERSION)]
	pub struct Pallet<T>(_);

	#[pallet::config]
	pub trait Config:
		frame_system::Config<RuntimeEvent: From<Event<Self>>, AccountId = AccountId, Hash = H256>
	{
		/// CUC.
		type Currency: fungible::Inspect<AccountId, Balance = Balance> + fungible::Mutate<AccountId>;

		/// Names the pot: the account without a key that holds all staked tokens.
		#[pallet::constant]
		type PalletId: Get<PalletId>;

		/// How many sessions an era has.
		#[pallet::constant]
		type SessionsPerEra: Get<SessionIndex>;

		/// How many eras stake that leaves stays in reach of a slash before it can be withdrawn.
		#[pallet::constant]
		type UnbondingEras: Get<EraIndex>;

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

	/// `() -> session`: the session in which the era began.
	#[pallet::storage]
	pub type EraStart<T: Config> = StorageValue<_, SessionIndex, ValueQuery>;

	/// `() -> amount`: the tokens that the pot owes to stakers. Moves only together with a transfer
	/// into or out of the pot, so that it counts the same money a second way: see invariant 1.
	#[pallet::storage]
	pub type Held<T: Config> = StorageValue<_, Balance, ValueQuery>;

	/// `role -> rules`: what the role asks for. Set at genesis for every role.
	#[pallet::storage]
	pub type Rules<T: Config> = StorageMap<_, Twox64Concat, Role, RoleRules, OptionQuery>;

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
		/// Nothing.
		#[serde(skip)]
		pub _config: core::marker::PhantomData<T>,
	}

	#[pallet::genesis_build]
	impl<T: Config> BuildGenesisConfig for GenesisConfig<T> {
		fn build(&self) {
			Pallet::<T>::build_genesis(&self.operators, &self.votes);
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
		/// The amount is zero, or too small to buy a share of the pool. Use a larger amount.
		AmountTooSmall,
		/// The amount is larger than a pool can hold. Use a smaller amount.
		AmountTooLarge,
		/// The operator's pool was slashed to nothing and takes no stake. Choose another operator.
		PoolWorthless,
		/// Too many unbonding chunks at once. Withdraw what is due, or wait for the next era that is.
		MaxUnbondingChunksExceeded,
		/// Nothing can be withdrawn yet. Look up in which era the unbonding stake can be.
		NothingToWithdraw,
	}

	impl<T> From<PoolError> for Error<T> {
		fn from(error: PoolError) -> Self {
			match error {
				PoolError::TooSmall => Error::AmountTooSmall,
				PoolError::Overflow => Error::AmountTooLarge,
				PoolError::TooLarge => Error::PositionTooSmall,
				PoolError::Worthless => Error::PoolWorthless,
			}
		}
	}

	#[pallet::hooks]
	impl<T: Config> Hooks<BlockNumberFor<T>> for Pallet<T> {
		fn integrity_test() {
			Self::check_config();
		}

		#[cfg(feature = "try-runtime")]
		fn try_state(_: BlockNumberFor<T>) -> Result<(), sp_runtime::TryRuntimeError> {
			Self::do_try_state()
		}
	}

	// The numbers of calls that belong between these (set_commission 3, reactivate 7, rebond 10) are
	// left free, so that the order stays readable when they come.
	#[pallet::call]
	impl<T: Config> Pallet<T> {
		/// Become an operator: take a role, bind a worker key, and put in your own stake, which must
		/// exceed the role's minimum.
		///
		/// `worker_signature` is the worker key's over the worker proof with this account and its
		/// present worker nonce: it shows that the key is held and agrees. An account that has
		/// retired may register again, in any role, once its pool is empty.
		#[pallet::call_index(0)]
		#[pallet::weight(weights::register::<T>())]
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
		#[pallet::call_index(1)]
		#[pallet::weight(weights::set_worker::<T>())]
		pub fn set_worker(
			origin: OriginFor<T>,
			worker: WorkerId,
			worker_signature: WorkerSignature,
		) -> DispatchResult {
			let operator = ensure_signed(origin)?;
			Self::do_set_worker(operator, worker, worker_signature)
		}

		/// Replace your introduction: name, endpoint and text.
		#[pallet::call_index(2)]
		#[pallet::weight(weights::set_introduction::<T>())]
		pub fn set_introduction(
			origin: OriginFor<T>,
			introduction: IntroductionInput,
		) -> DispatchResult {
			let operator = ensure_signed(origin)?;
			let introduction = Self::checked_introduction(introduction)?;
			Self::do_set_introduction(operator, introduction)
		}

		/// Put more of your own stake into your pool.
		#[pallet::call_index(4)]
		#[pallet::weight(weights::stake_more::<T>())]
		pub fn stake_more(
			origin: OriginFor<T>,
			#[pallet::compact] amount: Balance,
		) -> DispatchResult {
			let operator = ensure_signed(origin)?;
			Self::do_stake_more(operator, amount)
		}

		/// Take some of your own stake out. It can be withdrawn after the unbonding time. Unless you
		/// have retired, what stays must exceed the role's minimum.
		#[pallet::call_index(5)]
		#[pallet::weight(weights::unstake::<T>())]
		pub fn unstake(origin: OriginFor<T>, amount: Amount) -> DispatchResult {
			let operator = ensure_signed(origin)?;
			Self::do_unstake(operator, amount)
		}

		/// Stop being an operator. Your worker is released, you take no more votes, and all stake can
		/// be taken out, yours and your voters'.
		#[pallet::call_index(6)]
		#[pallet::weight(weights::retire::<T>())]
		pub fn retire(origin: OriginFor<T>) -> DispatchResult {
			let operator = ensure_signed(origin)?;
			Self::do_retire(operator)
		}

		/// Vote for an operator with `amount` of your CUC. It earns a share of what the operator
		/// earns, and shares its slashes.
		#[pallet::call_index(8)]
		#[pallet::weight(weights::vote::<T>())]
		pub fn vote(
			origin: OriginFor<T>,
			operator: AccountId,
			#[pallet::compact] amount: Balance,
		) -> DispatchResult {
			let voter = ensure_signed(origin)?;
			Self::do_vote(voter, operator, amount)
		}

		/// Take a vote back, or a part of it. It can be withdrawn after the unbonding time.
		#[pallet::call_index(9)]
		#[pallet::weight(weights::unvote::<T>())]
		pub fn unvote(origin: OriginFor<T>, operator: AccountId, amount: Amount) -> DispatchResult {
			let voter = ensure_signed(origin)?;
			Self::do_unvote(voter, operator, amount)
		}

		/// Get all your stake that has been unbonding for long enough.
		#[pallet::call_index(11)]
		#[pallet::weight(weights::withdraw::<T>())]
		pub fn withdraw(origin: OriginFor<T>) -> DispatchResult {
			let account = ensure_signed(origin)?;
			Self::do_withdraw(account)
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
			RoleParams {
				min_self_stake: Self::min_self_stake(role),
			}
		}
	}

	impl<T: Config> Pallet<T> {
		/// The account that holds all staked tokens. It has no key: only this pallet moves them.
		pub fn pot() -> AccountId {
			T::PalletId::get().into_account_truncating()
		}

		/// The self-stake that an operator of this role must exceed.
		pub fn min_self_stake(role: Role) -> Balance {
			Rules::<T>::get(role).map_or_else(
				|| role.default_min_self_stake(),
				|rules| rules.min_self_stake,
			)
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
			Held::<T>::try_mutate(|held| {
				*held = held.checked_add(amount).ok_or(Error::<T>::AmountTooLarge)?;
				Ok(())
			})
		}

		/// Pays `amount` out of the pot, which always keeps its existential deposit.
		pub(crate) fn pay_out(to: &AccountId, amount: Balance) -> DispatchResult {
			use frame_support::traits::fungible::Mutate;
			T::Currency::transfer(&Self::pot(), to, amount, Preservation::Preserve)?;
			Held::<T>::try_mutate(|held| {
				*held = held
					.checked_sub(amount)
					.ok_or(sp_runtime::ArithmeticError::Underflow)?;
				Ok(())
			})
		}
	}
}
