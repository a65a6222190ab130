#![doc = include_str!("../README.md")]
#![cfg_attr(not(feature = "std"), no_std)]
#![deny(missing_docs)]

extern crate alloc;

pub mod migrations;
pub mod reserve;
pub mod split;
pub mod weights;

#[cfg(feature = "runtime-benchmarks")]
mod benchmarking;
mod channels;
mod money;
mod reserves;
mod settlements;
#[cfg(any(feature = "std", feature = "try-runtime"))]
mod try_state;
mod types;
mod vouchers;

#[cfg(test)]
mod mock;
#[cfg(test)]
mod tests;

pub use pallet::*;
pub use reserve::{Allotment, Reserve, MAX_OPEN_ERAS};
pub use split::{Split, SplitParams};
pub use types::{Channel, Chunk, Settlement, Windows, CHUNK_LEAVES, MAX_CLAIMS, MAX_SIBLINGS};
pub use weights::WeightInfo;

/// The settlement pallet.
#[frame_support::pallet]
pub mod pallet {
	use super::{
		reserve::{Allotment, Reserve, MAX_OPEN_ERAS},
		split::{Split, SplitParams},
		types::*,
		weights::WeightInfo,
	};
	use cuckoo_primitives::{
		sum_tree::{PlacedLeaf, Root},
		voucher::{ChannelId, MinerVoucher},
		weight_tree::Node,
		AccountId, Balance, BlockNumber, EraIndex, WorkerId, WorkerSignature, H256,
	};
	use frame_support::{
		pallet_prelude::*,
		traits::{fungible, OnUnbalanced},
		PalletId,
	};
	use frame_system::pallet_prelude::*;
	use pallet_cuckoo_staking::{OperatorAccess, RewardSink};

	/// The version of the storage's layout.
	pub(crate) const STORAGE_VERSION: StorageVersion = StorageVersion::new(1);

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

		/// Who sets how fees are split.
		type GovernanceOrigin: EnsureOrigin<Self::RuntimeOrigin>;

		/// The operators: roles, workers, eras, and where offences are reported. The staking pallet.
		type Operators: OperatorAccess;

		/// Where operators' earnings go. The staking pallet.
		type Rewards: RewardSink<Credit = fungible::Credit<AccountId, Self::Currency>>;

		/// Gets its part of every fee.
		type AuditFund: OnUnbalanced<fungible::Credit<AccountId, Self::Currency>>;

		/// Names the pot: the account without a key that holds everything.
		#[pallet::constant]
		type PalletId: Get<PalletId>;

		/// The least that a channel is opened with or topped up by.
		#[pallet::constant]
		type MinDeposit: Get<Balance>;

		/// What a channel's storage costs while it is open. Goes back to the app.
		#[pallet::constant]
		type ChannelBond: Get<Balance>;

		/// For how many blocks vouchers are still taken after an app has begun to close a channel.
		#[pallet::constant]
		type ChallengeBlocks: Get<BlockNumber>;

		/// The least that is allotted to a miner. It pays for the storage.
		#[pallet::constant]
		type MinAllotment: Get<Balance>;

		/// For how many eras after its own an era can be settled. Then vouchers are claimed.
		#[pallet::constant]
		type PostEras: Get<EraIndex>;

		/// For how many eras after its own anything of an era can be claimed.
		#[pallet::constant]
		type ClaimEras: Get<EraIndex>;

		/// What calls cost.
		type WeightInfo: WeightInfo;
	}

	/// `() -> amount`: the tokens that the pot owes. Moves only together with a transfer into or out of
	/// the pot, so that it counts the same money a second way: see invariant 1.
	#[pallet::storage]
	pub type Held<T: Config> = StorageValue<_, Balance, ValueQuery>;

	/// `() -> parameters`: how fees are split.
	#[pallet::storage]
	pub type SplitParameters<T: Config> = StorageValue<_, SplitParams, ValueQuery>;

	/// `() -> number`: the next channel's. Numbers are never used again, or vouchers of a channel that
	/// was closed would be good for another.
	#[pallet::storage]
	pub type NextChannel<T: Config> = StorageValue<_, ChannelId, ValueQuery>;

	/// `number -> channel`. Removed when it is closed.
	#[pallet::storage]
	pub type Channels<T: Config> = StorageMap<_, Twox64Concat, ChannelId, Channel, OptionQuery>;

	/// `coordinator -> reserve`. Removed when nothing is in it.
	#[pallet::storage]
	pub type Reserves<T: Config> = StorageMap<_, Blake2_128Concat, AccountId, Reserve, ValueQuery>;

	/// `(coordinator, miner) -> allotment`: what of the reserve backs the miner's vouchers.
	#[pallet::storage]
	pub type Allotments<T: Config> = StorageDoubleMap<
		_,
		Blake2_128Concat,
		AccountId,
		Blake2_128Concat,
		AccountId,
		Allotment,
		OptionQuery,
	>;

	/// `(coordinator, era) -> settlement`. Removed by `clean` when its time is over.
	#[pallet::storage]
	pub type Settlements<T: Config> = StorageDoubleMap<
		_,
		Blake2_128Concat,
		AccountId,
		Twox64Concat,
		EraIndex,
		Settlement,
		OptionQuery,
	>;

	/// `(coordinator, era, chunk) -> marks`: which leaves of a settlement were claimed. Removed with it.
	#[pallet::storage]
	pub type ClaimedLeaves<T: Config> = StorageNMap<
		_,
		(
			NMapKey<Blake2_128Concat, AccountId>,
			NMapKey<Twox64Concat, EraIndex>,
			NMapKey<Twox64Concat, u32>,
		),
		Chunk,
		OptionQuery,
	>;

	/// What settlement begins with.
	#[pallet::genesis_config]
	#[derive(frame_support::DefaultNoBound)]
	pub struct GenesisConfig<T: Config> {
		/// How fees are split.
		pub split: SplitParams,
		/// Nothing.
		#[serde(skip)]
		pub _config: core::marker::PhantomData<T>,
	}

	#[pallet::genesis_build]
	impl<T: Config> BuildGenesisConfig for GenesisConfig<T> {
		/// A genesis that does not add up stops the chain from being made.
		fn build(&self) {
			assert!(
				self.split.is_usable(),
				"the split at genesis cannot be used: {:?}",
				self.split
			);
			SplitParameters::<T>::put(self.split);
			if let Err(error) = Pallet::<T>::open_pot() {
				panic!("the settlement pot's existential deposit: {error:?}");
			}
		}
	}

	/// What happened, with the values that hold after it. Balances are in CUC's smallest unit.
	#[pallet::event]
	#[pallet::generate_deposit(pub(super) fn deposit_event)]
	pub enum Event<T: Config> {
		/// An app has opened a channel.
		ChannelOpened {
			/// The channel.
			channel: ChannelId,
			/// Whose money it is.
			app: AccountId,
			/// Who may redeem it.
			coordinator: AccountId,
			/// The key that signs the vouchers.
			signer: WorkerId,
			/// What was put in.
			deposit: Balance,
		},
		/// An app has put more into a channel.
		ChannelToppedUp {
			/// The channel.
			channel: ChannelId,
			/// All that was put in by now.
			deposit: Balance,
		},
		/// A voucher was redeemed: its coordinator's reserve has grown.
		VoucherRedeemed {
			/// The channel.
			channel: ChannelId,
			/// The coordinator.
			coordinator: AccountId,
			/// By how much the channel has shrunk.
			amount: Balance,
			/// All that was redeemed by now.
			redeemed: Balance,
		},
		/// An app is closing a channel.
		ChannelClosing {
			/// The channel.
			channel: ChannelId,
			/// The coordinator, which has to redeem its highest voucher.
			coordinator: AccountId,
			/// The last block in which vouchers are taken.
			until: BlockNumber,
		},
		/// A channel is closed.
		ChannelClosed {
			/// The channel.
			channel: ChannelId,
			/// Whose money was left.
			app: AccountId,
			/// What it got back, the storage deposit included.
			refund: Balance,
		},
		/// A coordinator has put money into its reserve.
		ReserveFunded {
			/// The coordinator.
			coordinator: AccountId,
			/// How much.
			amount: Balance,
			/// The whole reserve now.
			balance: Balance,
		},
		/// A coordinator has taken money out of its reserve.
		ReserveWithdrawn {
			/// The coordinator.
			coordinator: AccountId,
			/// How much.
			amount: Balance,
			/// The whole reserve now.
			balance: Balance,
		},
		/// The levies of what miners got beyond what was settled were paid and burned.
		OwedPaid {
			/// The coordinator.
			coordinator: AccountId,
			/// How much.
			amount: Balance,
			/// What is still owed.
			owed: Balance,
		},
		/// A miner has another allotment.
		AllotmentSet {
			/// The coordinator.
			coordinator: AccountId,
			/// The miner.
			miner: AccountId,
			/// What backs its vouchers.
			amount: Balance,
		},
		/// A coordinator has announced that it lowers an allotment. From now on the miner counts on the
		/// lower one.
		AllotmentLowering {
			/// The coordinator.
			coordinator: AccountId,
			/// The miner.
			miner: AccountId,
			/// To what.
			target: Balance,
			/// The first era in which it can be.
			due: EraIndex,
		},
		/// An era was settled.
		EraSettled {
			/// The coordinator.
			coordinator: AccountId,
			/// The era.
			era: EraIndex,
			/// The tree of what the miners are owed.
			root: Root,
			/// The fee, and who got what of it.
			split: Split,
		},
		/// A miner was paid by its leaf.
		LeafClaimed {
			/// The coordinator.
			coordinator: AccountId,
			/// The era.
			era: EraIndex,
			/// The miner.
			miner: AccountId,
			/// What it got of its part of the fees: what it did not have by a voucher.
			amount: Balance,
			/// What was issued on top.
			emission: Balance,
			/// What it had by a voucher. It is in its allotment again.
			restored: Balance,
		},
		/// A miner was paid by its voucher, out of its allotment.
		VoucherClaimed {
			/// The coordinator.
			coordinator: AccountId,
			/// The era.
			era: EraIndex,
			/// The miner.
			miner: AccountId,
			/// What it got.
			amount: Balance,
			/// What is left of the allotment.
			allotment: Balance,
		},
		/// A coordinator was proven to have settled less than it had signed.
		ShortSettlementProven {
			/// The coordinator.
			coordinator: AccountId,
			/// The era.
			era: EraIndex,
			/// The miner.
			miner: AccountId,
			/// What its leaf says; zero without one.
			posted: Balance,
			/// What its voucher says.
			signed: Balance,
		},
		/// An era whose time is over was removed; what nobody claimed is in the reserve again.
		EraCleaned {
			/// The coordinator.
			coordinator: AccountId,
			/// The era.
			era: EraIndex,
			/// What nobody claimed.
			unclaimed: Balance,
		},
		/// Fees are split in another way.
		SplitSet {
			/// The parameters.
			params: SplitParams,
		},
	}

	/// Why a call was refused, and what to do. Wallets show these sentences.
	#[pallet::error]
	pub enum Error<T> {
		/// There is no such channel: it was closed, or never opened. Look up the number.
		ChannelNotFound,
		/// The channel is being closed, and takes no more money. Open another.
		ChannelClosing,
		/// The channel's time for vouchers is not over yet. Wait for the block that ChannelClosing
		/// named.
		ChannelNotExpired,
		/// The channel's time for vouchers is over. What is left belongs to the app.
		ChannelExpired,
		/// This is for the app or the coordinator of the channel to do.
		NotAuthorized,
		/// The account is no active coordinator. Look up the coordinator's account.
		CoordinatorNotFound,
		/// The account is no miner. Look up the miner's operator account.
		MinerNotFound,
		/// The amount is below the least: the constant minDeposit for channels, minAllotment for
		/// allotments, and above zero for all.
		AmountTooSmall,
		/// The amount is larger than can be. Use a smaller amount.
		AmountTooLarge,
		/// The account cannot pay this amount and keep its existential deposit. Use less, or fund the
		/// account first.
		BalanceTooLow,
		/// The signature does not fit the voucher, the key and this chain.
		SignatureInvalid,
		/// The voucher adds nothing to what was paid already: it is an old one, or was used.
		VoucherUsed,
		/// The voucher is above what the channel holds. Redeem a lower one, or have the app top it up.
		VoucherOverdrawn,
		/// The voucher was not signed by a worker of the coordinator that it names, or by one which the
		/// coordinator had let go of before the voucher's era. Ask the coordinator for it again.
		WorkerNotCoordinators,
		/// The reserve has less that is free: not allotted to miners, nor owed. Fund it, redeem
		/// vouchers, or lower allotments.
		ReserveTooLow,
		/// The miner has no allotment that backs this: none at all, or one made after that era.
		AllotmentNotFound,
		/// The allotment is used up.
		AllotmentEmpty,
		/// There is nothing to release: no lowering is due, and something hangs on the allotment.
		NothingToRelease,
		/// The era is not over yet. Settle it in the next.
		EraNotOver,
		/// It is too late to settle the era. Its vouchers are claimed now.
		PostingTooLate,
		/// The era is settled already. It cannot be changed.
		EraAlreadySettled,
		/// The tree has no leaf, too many, or nothing in it.
		RootInvalid,
		/// The coordinator has not settled this era, or it was cleaned.
		SettlementNotFound,
		/// The leaves do not stand in the tree that was posted for this coordinator and era. They must
		/// ascend, with exactly the nodes beside their paths.
		ProofInvalid,
		/// Vouchers of this era cannot be claimed yet: it may still be settled. Wait for the end of the
		/// constant postEras.
		ClaimTooEarly,
		/// Nothing of this era can be claimed any more: the constant claimEras is over.
		ClaimTooLate,
		/// Everything that was handed in is claimed already.
		NothingToClaim,
		/// The miner takes no payment: it has no stake, and its account is below the existential
		/// deposit. Stake, or fund the account.
		PayoutRefused,
		/// The proof does not show that the settlement has less for this miner than was signed.
		NotShort,
		/// The era is still open. Wait until the constant claimEras is over.
		EraStillOpen,
		/// The parameters cannot be used: the parts must be the whole, miners must get one, and less
		/// must be issued than burned.
		ParamsInvalid,
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

	#[pallet::call]
	impl<T: Config> Pallet<T> {
		/// Open a channel: put CUC in that `coordinator` can redeem by vouchers of the key `signer`. A
		/// channel's storage deposit is taken on top and comes back with what is left.
		///
		/// - Origin: any account.
		/// - Errors: `AmountTooSmall`, `CoordinatorNotFound`, `BalanceTooLow`.
		/// - Events: `ChannelOpened`.
		/// - Complexity: constant.
		#[pallet::call_index(0)]
		#[pallet::weight(T::WeightInfo::open_channel())]
		pub fn open_channel(
			origin: OriginFor<T>,
			coordinator: AccountId,
			signer: WorkerId,
			#[pallet::compact] amount: Balance,
		) -> DispatchResult {
			let app = ensure_signed(origin)?;
			Self::do_open_channel(app, coordinator, signer, amount)
		}

		/// Put more into your channel.
		///
		/// - Origin: the channel's app.
		/// - Errors: `AmountTooSmall`, `ChannelNotFound`, `NotAuthorized`, `ChannelClosing`,
		///   `AmountTooLarge`, `BalanceTooLow`.
		/// - Events: `ChannelToppedUp`.
		/// - Complexity: constant.
		#[pallet::call_index(1)]
		#[pallet::weight(T::WeightInfo::top_up())]
		pub fn top_up(
			origin: OriginFor<T>,
			#[pallet::compact] channel: ChannelId,
			#[pallet::compact] amount: Balance,
		) -> DispatchResult {
			let app = ensure_signed(origin)?;
			Self::do_top_up(app, channel, amount)
		}

		/// Redeem a voucher: what it adds to those before it goes into the coordinator's reserve. While
		/// the app is closing the channel vouchers are taken up to the block that was named.
		///
		/// - Origin: any account; the money is the coordinator's whoever calls.
		/// - Errors: `ChannelNotFound`, `ChannelExpired`, `VoucherUsed`, `VoucherOverdrawn`,
		///   `SignatureInvalid`.
		/// - Events: `VoucherRedeemed`, `OwedPaid`.
		/// - Complexity: constant; one signature.
		#[pallet::call_index(2)]
		#[pallet::weight(T::WeightInfo::redeem())]
		pub fn redeem(
			origin: OriginFor<T>,
			#[pallet::compact] channel: ChannelId,
			#[pallet::compact] cumulative: Balance,
			signature: WorkerSignature,
		) -> DispatchResult {
			ensure_signed(origin)?;
			Self::do_redeem(channel, cumulative, signature)
		}

		/// Close a channel. By its coordinator at once: all that was not redeemed goes back to the app.
		/// By its app in `ChallengeBlocks` blocks, in which the coordinator can redeem its highest
		/// voucher; then anybody ends it by `finish_close`.
		///
		/// - Origin: the channel's app or its coordinator.
		/// - Errors: `ChannelNotFound`, `NotAuthorized`, `ChannelClosing`.
		/// - Events: `ChannelClosing` or `ChannelClosed`.
		/// - Complexity: constant.
		#[pallet::call_index(3)]
		#[pallet::weight(T::WeightInfo::close_channel())]
		pub fn close_channel(
			origin: OriginFor<T>,
			#[pallet::compact] channel: ChannelId,
		) -> DispatchResult {
			let account = ensure_signed(origin)?;
			Self::do_close_channel(account, channel)
		}

		/// End the closing of a channel whose time for vouchers is over: what is left goes to the app.
		///
		/// - Origin: any account.
		/// - Errors: `ChannelNotFound`, `ChannelNotExpired`.
		/// - Events: `ChannelClosed`.
		/// - Complexity: constant.
		#[pallet::call_index(4)]
		#[pallet::weight(T::WeightInfo::finish_close())]
		pub fn finish_close(
			origin: OriginFor<T>,
			#[pallet::compact] channel: ChannelId,
		) -> DispatchResult {
			ensure_signed(origin)?;
			Self::do_finish_close(channel)
		}

		/// Put CUC of your own into your reserve: to allot it to miners, or to settle what apps have
		/// paid you in other ways than by channels.
		///
		/// - Origin: a coordinator's account.
		/// - Errors: `CoordinatorNotFound`, `AmountTooSmall`, `AmountTooLarge`, `BalanceTooLow`.
		/// - Events: `ReserveFunded`, `OwedPaid`.
		/// - Complexity: constant.
		#[pallet::call_index(5)]
		#[pallet::weight(T::WeightInfo::fund_reserve())]
		pub fn fund_reserve(
			origin: OriginFor<T>,
			#[pallet::compact] amount: Balance,
		) -> DispatchResult {
			let coordinator = ensure_signed(origin)?;
			Self::do_fund_reserve(coordinator, amount)
		}

		/// Take out of your reserve what is free: neither allotted nor owed.
		///
		/// - Origin: the account whose reserve it is.
		/// - Errors: `AmountTooSmall`, `ReserveTooLow`.
		/// - Events: `ReserveWithdrawn`.
		/// - Complexity: constant.
		#[pallet::call_index(6)]
		#[pallet::weight(T::WeightInfo::withdraw_reserve())]
		pub fn withdraw_reserve(
			origin: OriginFor<T>,
			#[pallet::compact] amount: Balance,
		) -> DispatchResult {
			let coordinator = ensure_signed(origin)?;
			Self::do_withdraw_reserve(coordinator, amount)
		}

		/// Set what of your reserve backs a miner's vouchers. A higher amount does so at once. A lower
		/// one is announced, and takes effect when no voucher can be claimed any more that the miner
		/// took before; zero ends it.
		///
		/// - Origin: the account whose reserve it is.
		/// - Errors: `AmountTooSmall`, `MinerNotFound`, `ReserveTooLow`, `AllotmentNotFound`.
		/// - Events: `AllotmentSet` or `AllotmentLowering`.
		/// - Complexity: constant.
		#[pallet::call_index(7)]
		#[pallet::weight(T::WeightInfo::allot())]
		pub fn allot(
			origin: OriginFor<T>,
			miner: AccountId,
			#[pallet::compact] amount: Balance,
		) -> DispatchResult {
			let coordinator = ensure_signed(origin)?;
			Self::do_allot(coordinator, miner, amount)
		}

		/// Do what was announced for an allotment and is due, and remove one that nothing hangs on.
		///
		/// - Origin: any account.
		/// - Errors: `AllotmentNotFound`, `NothingToRelease`.
		/// - Events: `AllotmentSet`, `OwedPaid`.
		/// - Complexity: constant.
		#[pallet::call_index(8)]
		#[pallet::weight(T::WeightInfo::release_allotment())]
		pub fn release_allotment(
			origin: OriginFor<T>,
			coordinator: AccountId,
			miner: AccountId,
		) -> DispatchResult {
			ensure_signed(origin)?;
			Self::do_release_allotment(coordinator, miner)
		}

		/// Settle an era that is over: `root` is that of the tree of what you owe each miner for it. The
		/// fee of which that is the miners' part is taken from your reserve: the miners' part waits for
		/// their claims, your part goes into your pool, the audit fund gets its part, the rest is
		/// burned. It cannot be changed afterwards. The tree is to be had by every miner in it.
		///
		/// - Origin: the account whose reserve it is.
		/// - Errors: `EraNotOver`, `PostingTooLate`, `EraAlreadySettled`, `RootInvalid`,
		///   `AmountTooLarge`, `ReserveTooLow`.
		/// - Events: `EraSettled`, and `Rewarded` of the staking pallet.
		/// - Complexity: constant, whatever the number of miners.
		#[pallet::call_index(9)]
		#[pallet::weight(T::WeightInfo::settle_era())]
		pub fn settle_era(
			origin: OriginFor<T>,
			#[pallet::compact] era: EraIndex,
			root: Root,
		) -> DispatchResult {
			let coordinator = ensure_signed(origin)?;
			Self::do_settle_era(coordinator, era, root)
		}

		/// Claim leaves of a settled era for their miners, with one proof for all of them: by ascending
		/// index, with the nodes beside their paths from the bottom up and from the left. Each amount
		/// enters its operator's pool as a reward, with what is issued on top; what of it the miner had by a
		/// voucher goes back into its allotment instead. What is claimed already, or what nobody can take,
		/// is passed over.
		///
		/// - Origin: any account; the money is the miners' whoever calls.
		/// - Errors: `SettlementNotFound`, `ClaimTooLate`, `ProofInvalid`, `NothingToClaim`.
		/// - Events: `LeafClaimed` for each, `OwedPaid`, and `Rewarded` of the staking pallet.
		/// - Complexity: for each leaf, the logarithm of the number of leaves.
		#[pallet::call_index(10)]
		#[pallet::weight(T::WeightInfo::claim(leaves.len() as u32))]
		pub fn claim(
			origin: OriginFor<T>,
			coordinator: AccountId,
			#[pallet::compact] era: EraIndex,
			leaves: BoundedVec<PlacedLeaf, ConstU32<MAX_CLAIMS>>,
			siblings: BoundedVec<Node, ConstU32<MAX_SIBLINGS>>,
		) -> DispatchResult {
			ensure_signed(origin)?;
			Self::do_claim(coordinator, era, &leaves, &siblings)
		}

		/// Claim a voucher for its miner, out of its allotment: when the era was not settled in time, or
		/// was settled with less, or the coordinator withholds the proof. What was paid for the era
		/// already is taken off. `worker` is the key of the coordinator that has signed it. Of what the
		/// miners get of an era beyond what was settled the coordinator owes what would have been burned
		/// and given to the audit fund, and nothing is issued.
		///
		/// - Origin: any account; the money is the miner's whoever calls.
		/// - Errors: `ClaimTooEarly`, `ClaimTooLate`, `WorkerNotCoordinators`, `SignatureInvalid`,
		///   `AllotmentNotFound`, `VoucherUsed`, `AllotmentEmpty`, `PayoutRefused`, `AmountTooLarge`.
		/// - Events: `VoucherClaimed`, `OwedPaid`, and `Rewarded` of the staking pallet.
		/// - Complexity: constant; one signature.
		#[pallet::call_index(11)]
		#[pallet::weight(T::WeightInfo::claim_voucher())]
		pub fn claim_voucher(
			origin: OriginFor<T>,
			worker: WorkerId,
			voucher: MinerVoucher,
			signature: WorkerSignature,
		) -> DispatchResult {
			ensure_signed(origin)?;
			Self::do_claim_voucher(worker, voucher, signature)
		}

		/// Prove that a coordinator has settled an era with less for a miner than it had signed: by the
		/// voucher, and by the miner's leaf, or by the leaves between which it would be. The coordinator
		/// is suspended, and a slash is queued, of which you get a part. Costs no fee when it proves it.
		///
		/// - Origin: any account.
		/// - Errors: `SettlementNotFound`, `ClaimTooLate`, `WorkerNotCoordinators`, `SignatureInvalid`,
		///   `ProofInvalid`, `NotShort`, and those of the staking pallet when it was counted already.
		/// - Events: `ShortSettlementProven`, and `SlashQueued` of the staking pallet.
		/// - Complexity: one signature; the logarithm of the number of leaves.
		#[pallet::call_index(12)]
		#[pallet::weight(T::WeightInfo::report_short())]
		pub fn report_short(
			origin: OriginFor<T>,
			worker: WorkerId,
			voucher: MinerVoucher,
			signature: WorkerSignature,
			leaves: BoundedVec<PlacedLeaf, ConstU32<2>>,
			siblings: BoundedVec<Node, ConstU32<40>>,
		) -> DispatchResultWithPostInfo {
			let reporter = ensure_signed(origin)?;
			Self::do_report_short(reporter, worker, voucher, signature, &leaves, &siblings)?;
			Ok(Pays::No.into())
		}

		/// Remove a settlement whose time is over, at most `limit` values with marks at a time. What
		/// nobody claimed goes back into the reserve. Costs no fee when there was something to do.
		///
		/// - Origin: any account.
		/// - Errors: `SettlementNotFound`, `EraStillOpen`, `AmountTooSmall` for a limit of none.
		/// - Events: `EraCleaned` with the last of it, `OwedPaid`.
		/// - Complexity: linear in `limit`.
		#[pallet::call_index(13)]
		#[pallet::weight(T::WeightInfo::clean(*limit))]
		pub fn clean(
			origin: OriginFor<T>,
			coordinator: AccountId,
			#[pallet::compact] era: EraIndex,
			limit: u32,
		) -> DispatchResultWithPostInfo {
			ensure_signed(origin)?;
			let removed = Self::do_clean(coordinator, era, limit)?;
			Ok((Some(T::WeightInfo::clean(removed)), Pays::No).into())
		}

		/// Set how fees are split and what is issued on top, from the next settlement on.
		///
		/// - Origin: governance.
		/// - Errors: `ParamsInvalid`.
		/// - Events: `SplitSet`.
		/// - Complexity: constant.
		#[pallet::call_index(14)]
		#[pallet::weight((T::WeightInfo::set_split(), DispatchClass::Operational))]
		pub fn set_split(origin: OriginFor<T>, params: SplitParams) -> DispatchResult {
			T::GovernanceOrigin::ensure_origin(origin)?;
			ensure!(params.is_usable(), Error::<T>::ParamsInvalid);
			SplitParameters::<T>::put(params);
			Self::deposit_event(Event::SplitSet { params });
			Ok(())
		}
	}

	impl<T: Config> Pallet<T> {
		/// When what can be done for an era.
		pub fn windows() -> Windows {
			Windows {
				post_eras: T::PostEras::get(),
				claim_eras: T::ClaimEras::get(),
			}
		}

		/// The hash of block 0, which the system pallet never prunes.
		pub(crate) fn genesis_hash() -> H256 {
			frame_system::Pallet::<T>::block_hash(BlockNumberFor::<T>::default())
		}

		/// What makes a configuration unusable, checked when the runtime is tested.
		fn check_config() {
			let least = <T::Currency as fungible::Inspect<_>>::minimum_balance();
			assert!(
				T::MinDeposit::get() > 0 && T::MinAllotment::get() > 0,
				"what costs nothing fills the state"
			);
			assert!(
				T::ChannelBond::get() >= least,
				"what a channel gives back must be enough to open an account with",
			);
			assert!(
				T::ChallengeBlocks::get() > 0,
				"a coordinator needs time to redeem its last voucher"
			);
			assert!(
				T::PostEras::get() > 0 && T::ClaimEras::get() > T::PostEras::get(),
				"vouchers need time after the settlements"
			);
			assert!(
				T::ClaimEras::get().saturating_add(1) < MAX_OPEN_ERAS,
				"as many eras must have room as are open"
			);
			assert!(
				T::ClaimEras::get() <= T::Operators::evidence_eras(),
				"a short settlement that can be proven must be one that can be slashed"
			);
		}
	}
}
