//! Who writes and finalizes blocks, and how misbehaviour is proven.
//!
//! Equivocations of BABE and GRANDPA are reported with a proof that the key belonged to a validator
//! of that session (`Historical`); a verified report is recorded in `Offences`, which tells `Staking`
//! to suspend the validator and to queue its slash.

use crate::{
	constants::{MAX_VALIDATORS, REPORTABLE_SESSIONS, SLOTS_PER_SESSION, SLOT_DURATION_MS},
	historical::PastValidators,
	AccountId, Babe, Balance, Balances, Historical, Offences, Runtime, RuntimeCall, RuntimeEvent,
	Session, SessionKeys, Staking, UncheckedExtrinsic,
};
use frame_support::{
	parameter_types,
	traits::{ConstU32, ConstU64},
	weights::Weight,
};
use pallet_cuckoo_staking::WeightInfo as _;
use pallet_session::historical::NoteHistoricalRoot;
use sp_runtime::traits::{Convert, ConvertInto, OpaqueKeys};

parameter_types! {
	/// Slots in which an equivocation can be reported after it happened.
	pub const ReportLongevity: u64 = REPORTABLE_SESSIONS as u64 * SLOTS_PER_SESSION;
	/// GRANDPA's authority sets that are remembered with their session. The set may change every
	/// session, and each must be known as long as its misbehaviour can be reported: the present one, as
	/// many before it, and one more, by which a report finds where the oldest began.
	pub const MaxSetIdSessionEntries: u64 = REPORTABLE_SESSIONS as u64 + 2;
	/// Held while an account has session keys.
	pub const KeyDeposit: Balance = crate::constants::storage_deposit(3, 256);
}

/// What it costs to report a validator that signed twice.
///
/// BABE and GRANDPA ship hand-counted weights and no benchmarks: of checking the two signatures and the proof
/// of membership, and of an offence as the SDK's own staking takes it. What this chain's staking does with
/// an offence is measured, and comes on top: the sum is on the safe side.
pub struct EquivocationWeight;

impl EquivocationWeight {
	fn offence() -> Weight {
		<Runtime as pallet_cuckoo_staking::Config>::WeightInfo::report_equivocation()
	}
}

impl pallet_babe::WeightInfo for EquivocationWeight {
	fn plan_config_change() -> Weight {
		<() as pallet_babe::WeightInfo>::plan_config_change()
	}

	fn report_equivocation(validators: u32, nominators: u32) -> Weight {
		<() as pallet_babe::WeightInfo>::report_equivocation(validators, nominators)
			.saturating_add(Self::offence())
	}
}

impl pallet_grandpa::WeightInfo for EquivocationWeight {
	fn report_equivocation(validators: u32, nominators: u32) -> Weight {
		<() as pallet_grandpa::WeightInfo>::report_equivocation(validators, nominators)
			.saturating_add(Self::offence())
	}

	fn note_stalled() -> Weight {
		<() as pallet_grandpa::WeightInfo>::note_stalled()
	}
}

impl pallet_babe::Config for Runtime {
	type EpochDuration = ConstU64<SLOTS_PER_SESSION>;
	type ExpectedBlockTime = ConstU64<SLOT_DURATION_MS>;
	/// Sessions and epochs change together: the session pallet tells.
	type EpochChangeTrigger = pallet_babe::ExternalTrigger;
	type DisabledValidators = Session;
	type WeightInfo = EquivocationWeight;
	type MaxAuthorities = ConstU32<MAX_VALIDATORS>;
	/// For the weight of a report only. A pool's slash costs the same for any number of voters.
	type MaxNominators = ConstU32<0>;
	type KeyOwnerProof = sp_session::MembershipProof;
	type EquivocationReportSystem =
		pallet_babe::EquivocationReportSystem<Self, Offences, Historical, ReportLongevity>;
}

impl pallet_grandpa::Config for Runtime {
	type RuntimeEvent = RuntimeEvent;
	type WeightInfo = EquivocationWeight;
	type MaxAuthorities = ConstU32<MAX_VALIDATORS>;
	type MaxNominators = ConstU32<0>;
	type MaxSetIdSessionEntries = MaxSetIdSessionEntries;
	type KeyOwnerProof = sp_session::MembershipProof;
	type EquivocationReportSystem =
		pallet_grandpa::EquivocationReportSystem<Self, Offences, Historical, ReportLongevity>;
}

impl pallet_authorship::Config for Runtime {
	type FindAuthor = pallet_session::FindAccountFromAuthorIndex<Self, Babe>;
	/// Validators are paid by the blocks that they write.
	type EventHandler = Staking;
}

impl pallet_session::Config for Runtime {
	type RuntimeEvent = RuntimeEvent;
	type ValidatorId = AccountId;
	type ValidatorIdOf = ConvertInto;
	type ShouldEndSession = Babe;
	type NextSessionRotation = Babe;
	type SessionManager = NoteHistoricalRoot<Self, PastValidators<Staking>>;
	type SessionHandler = <SessionKeys as OpaqueKeys>::KeyTypeIdProviders;
	type Keys = SessionKeys;
	/// Up to a third of the validators at once, those with the gravest offences: more would stop
	/// finality. In a set of up to three nobody is disabled; an offender leaves it by the next election.
	type DisablingStrategy = pallet_session::disabling::UpToLimitWithReEnablingDisablingStrategy;
	type WeightInfo = pallet_session::weights::SubstrateWeight<Runtime>;
	type Currency = Balances;
	type KeyDeposit = KeyDeposit;
}

/// A past validator is identified by its account alone: its pool's shares are found by era when it is
/// slashed.
pub struct ByAccount;

impl Convert<AccountId, Option<()>> for ByAccount {
	fn convert(_validator: AccountId) -> Option<()> {
		Some(())
	}
}

impl pallet_session::historical::Config for Runtime {
	type RuntimeEvent = RuntimeEvent;
	type FullIdentification = ();
	type FullIdentificationOf = ByAccount;
}

impl pallet_offences::Config for Runtime {
	type RuntimeEvent = RuntimeEvent;
	type IdentificationTuple = pallet_session::historical::IdentificationTuple<Self>;
	type OnOffenceHandler = Staking;
}

impl<LocalCall> frame_system::offchain::CreateTransactionBase<LocalCall> for Runtime
where
	RuntimeCall: From<LocalCall>,
{
	type Extrinsic = UncheckedExtrinsic;
	type RuntimeCall = RuntimeCall;
}

/// A node reports an equivocation that it saw by an unsigned transaction of its own.
impl<LocalCall> frame_system::offchain::CreateBare<LocalCall> for Runtime
where
	RuntimeCall: From<LocalCall>,
{
	fn create_bare(call: RuntimeCall) -> UncheckedExtrinsic {
		UncheckedExtrinsic::new_bare(call)
	}
}
