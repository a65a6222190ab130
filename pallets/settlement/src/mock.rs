//! A runtime for the tests: system, balances, staking, settlement. Staking is the real one, so that
//! claims go through pools, and slashes through its queue.

use cuckoo_primitives::{
	signing::{sign, SignedPayload},
	sum_tree::{context, Leaf, Proof, SumTree},
	voucher::{ChannelId, ChannelVoucher, MinerVoucher},
	AccountId, Balance, EraIndex, Role, WorkerId, WorkerSignature, CUC, H256,
};
use frame_support::{
	assert_ok, derive_impl, parameter_types,
	storage::with_storage_layer,
	traits::{ConstU128, ConstU32, ConstU64, Hooks},
	weights::constants::RocksDbWeight,
	PalletId,
};
use frame_system::EnsureRoot;
use pallet_cuckoo_staking::{GenesisOperator, GenesisVote};
use pallet_session::SessionManager;
use sp_core::{sr25519, Pair};
use sp_runtime::{traits::IdentityLookup, BuildStorage, DispatchResult, Perbill};

use crate::{self as pallet_cuckoo_settlement, SplitParams};

type Block = frame_system::mocking::MockBlock<Test>;

/// What every account of the tests begins with.
pub const ENDOWMENT: Balance = 100_000_000 * CUC;
/// The existential deposit.
pub const DEPOSIT: Balance = CUC / 100;
/// What a channel's storage costs.
pub const BOND: Balance = CUC;
/// The least that is put into a channel.
pub const MIN_DEPOSIT: Balance = 10 * CUC;
/// The least that is allotted to a miner.
pub const MIN_ALLOTMENT: Balance = 10 * CUC;
/// For how many blocks vouchers are taken from a channel that is being closed.
pub const CHALLENGE_BLOCKS: u32 = 20;
/// For how many eras an era can be settled.
pub const POST_ERAS: EraIndex = 2;
/// For how many eras an era can be claimed.
pub const CLAIM_ERAS: EraIndex = 5;
/// For how many eras an offence can be proven.
pub const EVIDENCE_ERAS: EraIndex = 6;
/// How many eras a slash waits.
pub const SLASH_DEFER_ERAS: EraIndex = 1;
/// How many blocks an era has.
pub const BLOCKS_PER_ERA: u32 = 30;
/// The hash of block 0.
pub const GENESIS_HASH: H256 = H256::repeat_byte(0xC0);

/// A coordinator.
pub const COORDINATOR: u8 = 1;
/// Another coordinator.
pub const OTHER: u8 = 2;
/// A miner.
pub const MINER: u8 = 3;
/// Another miner.
pub const MINER_2: u8 = 4;
/// A third miner.
pub const MINER_3: u8 = 5;
/// Every miner.
pub const MINERS: [u8; 3] = [MINER, MINER_2, MINER_3];
/// An app.
pub const APP: u8 = 10;
/// Another app.
pub const APP_2: u8 = 11;
/// Somebody who is neither.
pub const STRANGER: u8 = 12;
/// The audit fund's account.
pub const FUND: u8 = 20;
/// Every account with an endowment.
pub const ACCOUNTS: [u8; 9] = [
	COORDINATOR,
	OTHER,
	MINER,
	MINER_2,
	MINER_3,
	APP,
	APP_2,
	STRANGER,
	FUND,
];

frame_support::construct_runtime!(
	pub enum Test {
		System: frame_system,
		Balances: pallet_balances,
		Staking: pallet_cuckoo_staking,
		Settlement: pallet_cuckoo_settlement,
	}
);

#[derive_impl(frame_system::config_preludes::TestDefaultConfig)]
impl frame_system::Config for Test {
	type Block = Block;
	type AccountId = AccountId;
	type Lookup = IdentityLookup<AccountId>;
	type AccountData = pallet_balances::AccountData<Balance>;
	type DbWeight = RocksDbWeight;
}

#[derive_impl(pallet_balances::config_preludes::TestDefaultConfig)]
impl pallet_balances::Config for Test {
	type Balance = Balance;
	type ExistentialDeposit = ConstU128<DEPOSIT>;
	type AccountStore = System;
}

parameter_types! {
	pub const StakingPalletId: PalletId = PalletId(*b"cuckoo/s");
	pub const SettlementPalletId: PalletId = PalletId(*b"cuckoo/p");
	pub const ReporterShare: Perbill = Perbill::from_percent(10);
	pub const MaxCommissionRaise: Perbill = Perbill::from_percent(5);
	pub FundAccount: AccountId = account(FUND);
}

/// Stands for the session pallet: nobody validates.
pub struct NoSession;

impl pallet_cuckoo_staking::SessionAccess for NoSession {
	fn validators() -> Vec<AccountId> {
		Vec::new()
	}

	fn has_keys(_: &AccountId) -> bool {
		false
	}

	fn report_offence(_: &AccountId, _: Perbill) {}
}

impl pallet_cuckoo_staking::Config for Test {
	type Currency = Balances;
	type GovernanceOrigin = EnsureRoot<AccountId>;
	type Session = NoSession;
	type OnSlash = ();
	type EvidenceEras = ConstU32<EVIDENCE_ERAS>;
	type SlashDeferEras = ConstU32<SLASH_DEFER_ERAS>;
	type ReporterShare = ReporterShare;
	type BlocksPerEra = ConstU32<BLOCKS_PER_ERA>;
	type EraMillis = ConstU64<86_400_000>;
	type MaxCommissionRaise = MaxCommissionRaise;
	type MaxValidators = ConstU32<128>;
	type WeightInfo = ();
	type PalletId = StakingPalletId;
	type SessionsPerEra = ConstU32<1>;
	type UnbondingEras = ConstU32<10>;
	type MinVote = ConstU128<{ 10 * CUC }>;
	type MaxUnbondingChunks = ConstU32<6>;
	type MaxSorted = ConstU32<3>;
	type MaxNameLen = ConstU32<32>;
	type MaxEndpointLen = ConstU32<64>;
	type MaxTextLen = ConstU32<128>;
}

impl crate::Config for Test {
	type Currency = Balances;
	type GovernanceOrigin = EnsureRoot<AccountId>;
	type Operators = Staking;
	type Rewards = Staking;
	type AuditFund = frame_support::traits::tokens::imbalance::ResolveTo<FundAccount, Balances>;
	type PalletId = SettlementPalletId;
	type MinDeposit = ConstU128<MIN_DEPOSIT>;
	type ChannelBond = ConstU128<BOND>;
	type ChallengeBlocks = ConstU32<CHALLENGE_BLOCKS>;
	type MinAllotment = ConstU128<MIN_ALLOTMENT>;
	type PostEras = ConstU32<POST_ERAS>;
	type ClaimEras = ConstU32<CLAIM_ERAS>;
	type WeightInfo = crate::weights::SubstrateWeight<Test>;
}

/// The account with this number.
pub fn account(number: u8) -> AccountId {
	AccountId::new([number; 32])
}

/// The signed origin of an account.
pub fn signed(number: u8) -> RuntimeOrigin {
	RuntimeOrigin::signed(account(number))
}

/// The key with this number: an operator's worker, an app's signer.
pub fn key(number: u8) -> sr25519::Pair {
	sr25519::Pair::from_seed(&[number; 32])
}

/// Its public half.
pub fn public(number: u8) -> WorkerId {
	key(number).public()
}

/// An operator at genesis, whose worker is the key of its own number.
pub fn genesis_operator(number: u8, role: Role, stake: Balance) -> GenesisOperator {
	GenesisOperator {
		account: account(number),
		role,
		worker: public(number),
		stake,
		commission: Perbill::from_percent(10),
		name: format!("operator {number}"),
		endpoint: String::new(),
		text: String::new(),
	}
}

/// The state after a genesis with two coordinators and three miners.
pub fn genesis() -> sp_io::TestExternalities {
	let balances = ACCOUNTS.map(|number| (account(number), ENDOWMENT)).to_vec();
	let mut operators: Vec<_> = [COORDINATOR, OTHER]
		.map(|number| genesis_operator(number, Role::Coordinator, 3_000_000 * CUC))
		.to_vec();
	operators.extend(MINERS.map(|number| genesis_operator(number, Role::Miner, 30_000 * CUC)));
	let vote = GenesisVote {
		voter: account(STRANGER),
		operator: account(MINER),
		amount: 10_000 * CUC,
	};
	let config = RuntimeGenesisConfig {
		balances: pallet_balances::GenesisConfig {
			balances,
			..Default::default()
		},
		staking: pallet_cuckoo_staking::GenesisConfig {
			operators,
			votes: vec![vote],
			..Default::default()
		},
		settlement: crate::GenesisConfig {
			split: SplitParams::default(),
			..Default::default()
		},
		..Default::default()
	};
	let mut state: sp_io::TestExternalities = config
		.build_storage()
		.expect("a genesis of plain values")
		.into();
	state.execute_with(|| {
		frame_system::BlockHash::<Test>::insert(0, GENESIS_HASH);
		System::set_block_number(1);
	});
	state
}

/// Runs a test, and checks every invariant at its end.
pub fn run(test: impl FnOnce()) {
	genesis().execute_with(|| {
		test();
		check();
		Settlement::integrity_test();
	});
}

/// Every invariant holds, and staking holds what its pools are worth.
pub fn check() {
	assert_eq!(Settlement::do_try_state(), Ok(()));
	let held: Balance = pallet_cuckoo_staking::Pools::<Test>::iter_values()
		.chain(pallet_cuckoo_staking::UnbondingPools::<Test>::iter_values())
		.map(|pool| pool.value)
		.chain(pallet_cuckoo_staking::Streams::<Test>::iter_values().map(|stream| stream.amount))
		.sum();
	assert_eq!(held, pallet_cuckoo_staking::Held::<Test>::get());
	assert_eq!(Balances::free_balance(Staking::pot()), held + DEPOSIT);
}

/// The era now.
pub fn era() -> EraIndex {
	pallet_cuckoo_staking::CurrentEra::<Test>::get()
}

/// The block now.
pub fn block() -> u32 {
	System::block_number().try_into().expect("tests are short")
}

/// Lets blocks go by in the present era.
pub fn pass_blocks(count: u32) {
	System::set_block_number((block() + count).into());
}

/// Lets whole eras go by.
pub fn pass_eras(count: u32) {
	for session in era() + 1..=era() + count {
		pass_blocks(BLOCKS_PER_ERA);
		<Staking as SessionManager<AccountId>>::start_session(session);
	}
}

/// The free balance of an account.
pub fn free(number: u8) -> Balance {
	Balances::free_balance(account(number))
}

/// What is in an operator's pool and on its way into it.
pub fn pool(number: u8) -> Balance {
	let who = account(number);
	pallet_cuckoo_staking::Pools::<Test>::get(&who).value
		+ pallet_cuckoo_staking::Streams::<Test>::get(&who).amount
}

/// The signature of a key for this chain.
pub fn sign_with(number: u8, payload: &impl SignedPayload) -> WorkerSignature {
	sign(&GENESIS_HASH, payload, &key(number))
}

/// A voucher of an app's key.
pub fn channel_voucher(channel: ChannelId, coordinator: u8, cumulative: Balance) -> ChannelVoucher {
	ChannelVoucher {
		coordinator: account(coordinator),
		channel,
		cumulative,
	}
}

/// A voucher for a miner.
pub fn miner_voucher(
	coordinator: u8,
	miner: u8,
	era: EraIndex,
	cumulative: Balance,
) -> MinerVoucher {
	MinerVoucher {
		coordinator: account(coordinator),
		miner: account(miner),
		era,
		cumulative,
	}
}

/// Opens a channel; its signer is the key of the app's number.
pub fn open(app: u8, coordinator: u8, amount: Balance) -> ChannelId {
	let channel = crate::NextChannel::<Test>::get();
	assert_ok!(Settlement::open_channel(
		signed(app),
		account(coordinator),
		public(app),
		amount
	));
	channel
}

/// Redeems a voucher that the app has signed.
pub fn redeem(app: u8, coordinator: u8, channel: ChannelId, cumulative: Balance) -> DispatchResult {
	let voucher = channel_voucher(channel, coordinator, cumulative);
	let signature = sign_with(app, &voucher);
	Settlement::redeem(signed(STRANGER), channel, cumulative, signature)
}

/// Claims a voucher that the coordinator has signed.
pub fn claim_voucher(
	coordinator: u8,
	miner: u8,
	era: EraIndex,
	cumulative: Balance,
) -> DispatchResult {
	let voucher = miner_voucher(coordinator, miner, era, cumulative);
	let signature = sign_with(coordinator, &voucher);
	Settlement::claim_voucher(signed(STRANGER), public(coordinator), voucher, signature)
}

/// The tree of what a coordinator owes for an era.
pub fn tree(coordinator: u8, era: EraIndex, owed: &[(u8, Balance)]) -> SumTree {
	let mut leaves: Vec<Leaf> = owed
		.iter()
		.map(|(miner, amount)| Leaf {
			miner: account(*miner),
			amount: *amount,
		})
		.collect();
	leaves.sort_by(|a, b| a.miner.cmp(&b.miner));
	let context = context(&GENESIS_HASH, &account(coordinator), era);
	SumTree::new(&context, leaves).expect("the tests' trees are fine")
}

/// Settles an era.
pub fn settle(coordinator: u8, era: EraIndex, owed: &[(u8, Balance)]) -> SumTree {
	let tree = tree(coordinator, era, owed);
	assert_ok!(Settlement::settle_era(
		signed(coordinator),
		era,
		tree.root()
	));
	tree
}

/// Claims what a proof shows; changes nothing where it fails, as when it is dispatched.
pub fn claim(coordinator: u8, era: EraIndex, proof: Proof) -> DispatchResult {
	with_storage_layer(|| {
		Settlement::claim(
			signed(STRANGER),
			account(coordinator),
			era,
			proof.leaves.try_into().expect("few leaves"),
			proof.siblings.try_into().expect("few siblings"),
		)
	})
}

/// Claims the leaf of a miner.
pub fn claim_of(coordinator: u8, era: EraIndex, tree: &SumTree, miner: u8) -> DispatchResult {
	let index = tree.place(&account(miner)).expect("the miner has a leaf");
	claim(coordinator, era, tree.prove(&[index]).expect("in range"))
}

/// Funds a reserve and allots `allotment` of it to a miner.
pub fn back(coordinator: u8, free: Balance, miner: u8, allotment: Balance) {
	assert_ok!(Settlement::fund_reserve(
		signed(coordinator),
		free + allotment
	));
	if allotment > 0 {
		assert_ok!(Settlement::allot(
			signed(coordinator),
			account(miner),
			allotment
		));
	}
}

/// A coordinator's reserve.
pub fn reserve(coordinator: u8) -> crate::Reserve {
	crate::Reserves::<Test>::get(account(coordinator))
}

/// A miner's allotment.
pub fn allotment(coordinator: u8, miner: u8) -> Option<crate::Allotment> {
	crate::Allotments::<Test>::get(account(coordinator), account(miner))
}
