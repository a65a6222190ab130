//! A runtime for the tests: system, balances, staking.

use cuckoo_primitives::{
	signing::{sign, WorkerProof},
	AccountId, Balance, Role, WorkerId, WorkerSignature, CUC, H256,
};
use frame_support::{
	derive_impl, parameter_types,
	traits::{fungible::Credit, ConstU128, ConstU32, ConstU64, Hooks, Imbalance, OnUnbalanced},
	weights::constants::RocksDbWeight,
	PalletId,
};
use frame_system::EnsureRoot;
use pallet_session::SessionManager;
use sp_core::{sr25519, Pair};
use sp_runtime::{traits::IdentityLookup, BuildStorage, Perbill};

use crate::{self as pallet_cuckoo_staking, GenesisOperator, GenesisVote, IntroductionInput};

type Block = frame_system::mocking::MockBlock<Test>;

/// What every account of the tests begins with.
pub const ENDOWMENT: Balance = 100_000_000 * CUC;
/// The existential deposit.
pub const DEPOSIT: Balance = CUC / 100;
/// The smallest vote.
pub const MIN_VOTE: Balance = 10 * CUC;
/// A stake that is enough for a miner.
pub const MINER_STAKE: Balance = 30_000 * CUC;
/// A stake that is enough for a validator.
pub const VALIDATOR_STAKE: Balance = 150_000 * CUC;
/// A stake that is enough for a coordinator.
pub const COORDINATOR_STAKE: Balance = 3_000_000 * CUC;
/// Eras until unbonding stake can be withdrawn.
pub const UNBONDING_ERAS: u32 = 4;
/// Sessions in an era.
pub const SESSIONS_PER_ERA: u32 = 3;
/// The hash of block 0.
pub const GENESIS_HASH: H256 = H256::repeat_byte(0xC0);
/// An operator that is there from genesis: a miner.
pub const MINER: u8 = 1;
/// An operator that is there from genesis: a validator.
pub const VALIDATOR: u8 = 2;
/// An operator that is there from genesis: a coordinator.
pub const COORDINATOR: u8 = 3;
/// Accounts that are no operators.
pub const ALICE: u8 = 10;
/// Accounts that are no operators.
pub const BOB: u8 = 11;
/// Accounts that are no operators.
pub const CAROL: u8 = 12;
/// Every account with an endowment.
pub const ACCOUNTS: [u8; 6] = [MINER, VALIDATOR, COORDINATOR, ALICE, BOB, CAROL];

frame_support::construct_runtime!(
	pub enum Test {
		System: frame_system,
		Balances: pallet_balances,
		Staking: pallet_cuckoo_staking,
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
}

/// How many eras an offence counts after its own.
pub const EVIDENCE_ERAS: u32 = 2;
/// How many eras a slash waits.
pub const SLASH_DEFER_ERAS: u32 = 1;
/// How many blocks an era has.
pub const BLOCKS_PER_ERA: u32 = 30;
/// How many blocks a session has.
pub const BLOCKS_PER_SESSION: u32 = BLOCKS_PER_ERA / SESSIONS_PER_ERA;
/// How long an era is, in milliseconds.
pub const ERA_MILLIS: u64 = 86_400_000;
/// Most validators.
pub const MAX_VALIDATORS: u32 = 128;

parameter_types! {
	/// Who validates now.
	pub static Validators: Vec<AccountId> = vec![account(VALIDATOR)];
	/// Who has no session keys.
	pub static Keyless: Vec<AccountId> = Vec::new();
	/// Offences that the session pallet was told of.
	pub static ReportedOffences: Vec<(AccountId, Perbill)> = Vec::new();
	/// What was slashed and is not the reporters'.
	pub static SlashedAway: Balance = 0;
	pub const ReporterShare: Perbill = Perbill::from_percent(10);
	pub const MaxCommissionRaise: Perbill = Perbill::from_percent(5);
}

/// Stands for the session pallet, which has tests with this one in the runtime's.
pub struct MockSession;

impl crate::SessionAccess for MockSession {
	fn validators() -> Vec<AccountId> {
		Validators::get()
	}

	fn has_keys(account: &AccountId) -> bool {
		!Keyless::get().contains(account)
	}

	fn report_offence(validator: &AccountId, severity: Perbill) {
		ReportedOffences::mutate(|reported| reported.push((validator.clone(), severity)));
	}
}

/// Burns what is slashed, and counts it.
pub struct CountSlashed;

impl OnUnbalanced<Credit<AccountId, Balances>> for CountSlashed {
	fn on_nonzero_unbalanced(slashed: Credit<AccountId, Balances>) {
		SlashedAway::mutate(|sum| *sum += slashed.peek());
	}
}

impl crate::Config for Test {
	type Currency = Balances;
	type GovernanceOrigin = EnsureRoot<AccountId>;
	type Session = MockSession;
	type OnSlash = CountSlashed;
	type EvidenceEras = ConstU32<EVIDENCE_ERAS>;
	type SlashDeferEras = ConstU32<SLASH_DEFER_ERAS>;
	type ReporterShare = ReporterShare;
	type BlocksPerEra = ConstU32<BLOCKS_PER_ERA>;
	type EraMillis = ConstU64<ERA_MILLIS>;
	type MaxCommissionRaise = MaxCommissionRaise;
	type MaxValidators = ConstU32<MAX_VALIDATORS>;
	type WeightInfo = ();
	type PalletId = StakingPalletId;
	type SessionsPerEra = ConstU32<SESSIONS_PER_ERA>;
	type UnbondingEras = ConstU32<UNBONDING_ERAS>;
	type MinVote = ConstU128<MIN_VOTE>;
	type MaxUnbondingChunks = ConstU32<6>;
	type MaxSorted = ConstU32<3>;
	type MaxNameLen = ConstU32<32>;
	type MaxEndpointLen = ConstU32<64>;
	type MaxTextLen = ConstU32<128>;
}

/// The account with this number.
pub fn account(number: u8) -> AccountId {
	AccountId::new([number; 32])
}

/// The signed origin of an account.
pub fn signed(number: u8) -> RuntimeOrigin {
	RuntimeOrigin::signed(account(number))
}

/// The worker key with this number.
pub fn worker_key(number: u32) -> sr25519::Pair {
	let mut seed = [7; 32];
	seed[..4].copy_from_slice(&number.to_le_bytes());
	sr25519::Pair::from_seed(&seed)
}

/// The public half of the worker key with this number.
pub fn worker(number: u32) -> WorkerId {
	worker_key(number).public()
}

/// The proof that a worker key makes for an operator that has bound `nonce` workers so far.
pub fn proof(worker: u32, operator: u8, nonce: u32) -> WorkerSignature {
	let payload = WorkerProof {
		operator: account(operator),
		nonce,
	};
	sign(&GENESIS_HASH, &payload, &worker_key(worker))
}

/// The proof that a worker key has to make for an operator now.
pub fn proof_now(worker: u32, operator: u8) -> WorkerSignature {
	proof(worker, operator, Staking::worker_nonce(account(operator)))
}

/// An introduction that is fine.
pub fn introduction() -> IntroductionInput {
	IntroductionInput {
		name: b"Kuckuck".to_vec(),
		endpoint: b"https://cuckoo.example:8443".to_vec(),
		text: "Runs on sunlight \u{2600}.".as_bytes().to_vec(),
	}
}

/// The commission of the operators of the tests.
pub fn commission() -> Perbill {
	Perbill::from_percent(5)
}

/// An operator at genesis with the worker key of its own number.
pub fn genesis_operator(number: u8, role: Role, stake: Balance) -> GenesisOperator {
	GenesisOperator {
		account: account(number),
		role,
		worker: worker(number.into()),
		stake,
		commission: commission(),
		name: format!("operator {number}"),
		endpoint: String::new(),
		text: String::new(),
	}
}

/// The state after a genesis with these operators and votes.
pub fn genesis(
	operators: Vec<GenesisOperator>,
	votes: Vec<GenesisVote>,
) -> sp_io::TestExternalities {
	let balances = ACCOUNTS.map(|number| (account(number), ENDOWMENT)).to_vec();
	let config = RuntimeGenesisConfig {
		balances: pallet_balances::GenesisConfig {
			balances,
			..Default::default()
		},
		staking: crate::GenesisConfig {
			operators,
			votes,
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
	// These are no storage: what an earlier test of the same thread has left is not for this one.
	Validators::set(vec![account(VALIDATOR)]);
	Keyless::set(Vec::new());
	ReportedOffences::set(Vec::new());
	SlashedAway::set(0);
	state
}

/// Runs a test on a state with one operator of each role, and checks every invariant at its end.
pub fn run(test: impl FnOnce()) {
	let operators = vec![
		genesis_operator(MINER, Role::Miner, MINER_STAKE),
		genesis_operator(VALIDATOR, Role::Validator, VALIDATOR_STAKE),
		genesis_operator(COORDINATOR, Role::Coordinator, COORDINATOR_STAKE),
	];
	genesis(operators, Vec::new()).execute_with(|| {
		test();
		assert_eq!(Staking::do_try_state(), Ok(()));
		Staking::integrity_test();
	});
}

/// The block now.
pub fn block() -> u32 {
	System::block_number().try_into().expect("tests are short")
}

/// Lets blocks go by, all in the present session.
pub fn pass_blocks(count: u32) {
	System::set_block_number((block() + count).into());
}

/// Lets whole eras go by, session by session, with all their blocks.
pub fn pass_eras(count: u32) {
	let first = crate::RecentEras::<Test>::get()
		.last()
		.map_or(0, |start| start.session)
		+ 1;
	for session in first..first + count * SESSIONS_PER_ERA {
		pass_blocks(BLOCKS_PER_SESSION);
		<Staking as SessionManager<AccountId>>::end_session(session - 1);
		<Staking as SessionManager<AccountId>>::start_session(session);
	}
}

/// The pallet's events since the last call, the oldest first.
pub fn take_events() -> Vec<crate::Event<Test>> {
	let events = System::read_events_for_pallet();
	System::reset_events();
	events
}

/// The free balance of an account.
pub fn free(number: u8) -> Balance {
	Balances::free_balance(account(number))
}
