//! What the pallet stores and takes.

use alloc::vec::Vec;
use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use cuckoo_primitives::{
	signing::MAX_BLOCKS_AHEAD, AccountId, Balance, BlockNumber, EraIndex, Role, WorkerId, H256,
};
use frame_support::pallet_prelude::*;
use pallet_cuckoo_staking_runtime_api::RoleParams;
use scale_info::TypeInfo;
use sp_runtime::Perbill;
use sp_staking::SessionIndex;

use crate::{
	pool::{Generation, Shares},
	Config,
};

/// How many workers an operator may have let go of within the last `UnbondingEras` eras. They stay
/// on record for so long, so that what they signed stays attributable; this bounds the record.
pub const MAX_RELEASED_WORKERS: u32 = 16;

/// How many proofs are remembered for an operator and era. More are not taken after it: each takes a
/// larger fraction than those before, or a slash that was cancelled, and governance has then said often
/// enough that the operator is innocent.
pub const MAX_PROOFS: u32 = 8;

/// How many eras can be on record, an operator's with offences or the last ones' beginnings: more than
/// evidence and deferral can span, which `integrity_test` asserts.
pub const MAX_ERAS: u32 = 128;

/// Most operators that one `recount` takes.
pub const MAX_RECOUNT: u32 = 100;

/// How much is to be taken out.
#[derive(
	Clone,
	Copy,
	PartialEq,
	Eq,
	Debug,
	Encode,
	Decode,
	DecodeWithMemTracking,
	MaxEncodedLen,
	TypeInfo,
)]
pub enum Amount {
	/// Everything that is there.
	All,
	/// So much, in CUC's smallest unit.
	Value(Balance),
}

/// How an operator presents itself, as it comes in with a call: UTF-8, not yet checked.
#[derive(Clone, PartialEq, Eq, Debug, Default, Encode, Decode, DecodeWithMemTracking, TypeInfo)]
pub struct IntroductionInput {
	/// Its name.
	pub name: Vec<u8>,
	/// Where it is reached: a coordinator's URL, empty for most miners.
	pub endpoint: Vec<u8>,
	/// What it says about itself.
	pub text: Vec<u8>,
}

/// How an operator presents itself, as it is stored: UTF-8 without control characters.
#[derive(Encode, Decode, MaxEncodedLen, TypeInfo, DebugNoBound, CloneNoBound, PartialEqNoBound)]
#[scale_info(skip_type_params(T))]
pub struct Introduction<T: Config> {
	/// Its name.
	pub name: BoundedVec<u8, T::MaxNameLen>,
	/// Where it is reached: a coordinator's URL, empty for most miners.
	pub endpoint: BoundedVec<u8, T::MaxEndpointLen>,
	/// What it says about itself.
	pub text: BoundedVec<u8, T::MaxTextLen>,
}

impl<T: Config> Introduction<T> {
	/// Whether people can read it: UTF-8, and nothing in it that moves a terminal's cursor.
	pub fn is_text(&self) -> bool {
		let readable = |field: &[u8]| {
			core::str::from_utf8(field).is_ok_and(|text| !text.chars().any(char::is_control))
		};
		readable(&self.name) && readable(&self.endpoint) && readable(&self.text)
	}
}

/// An account that has registered. Its stake is the pool of the same account.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct Operator {
	/// What it does.
	pub role: Role,
	/// The key that signs its off-chain messages; `None` once retired.
	pub worker: Option<WorkerId>,
	/// The part of rewards it keeps before its voters share the rest.
	pub commission: Commission,
	/// The era in which it retired.
	pub retired: Option<EraIndex>,
	/// The era in which an offence of it was proven. It stays so until it reactivates itself, or the
	/// slash is cancelled.
	pub suspended: Option<EraIndex>,
	/// The role's minimum that its own stake was last compared with. A change of the rule reaches
	/// each operator with the next change of its stake, or by `recount`.
	pub minimum: Balance,
	/// The pool's value while the operator is active, `None` while it is not: exactly what it adds
	/// to its role's totals and where it stands in the order by stake.
	pub counted: Option<Balance>,
}

impl Operator {
	/// Whether it counts: its own stake exceeds the role's minimum, and it is neither retired nor
	/// suspended.
	pub fn is_active(&self) -> bool {
		self.counted.is_some()
	}

	/// Whether it has retired.
	pub fn is_retired(&self) -> bool {
		self.retired.is_some()
	}

	/// Whether an offence of it was proven and it has not come back since.
	pub fn is_suspended(&self) -> bool {
		self.suspended.is_some()
	}

	/// Whether stake may come in.
	pub fn takes_stake(&self) -> bool {
		!self.is_retired() && !self.is_suspended()
	}
}

/// The part of rewards that an operator keeps before its voters share the rest: what is in force, and
/// what was announced.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct Commission {
	/// In force until the announced one is.
	pub rate: Perbill,
	/// What was announced, and the first era in which it is in force.
	pub next: Option<(Perbill, EraIndex)>,
}

impl Commission {
	/// A commission that nothing is announced for.
	pub const fn new(rate: Perbill) -> Self {
		Commission { rate, next: None }
	}

	/// What is in force in `era`.
	pub fn in_era(&self, era: EraIndex) -> Perbill {
		match self.next {
			Some((rate, since)) if era >= since => rate,
			_ => self.rate,
		}
	}

	/// With `rate` announced for the era after `era`. Replaces what was announced before and is not
	/// in force yet.
	pub fn announced(self, rate: Perbill, era: EraIndex) -> Self {
		Commission {
			rate: self.in_era(era),
			next: Some((rate, era.saturating_add(1))),
		}
	}
}

/// A time on the chain. Assignments name a block, vouchers an era.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct Moment {
	/// The era.
	pub era: EraIndex,
	/// The block.
	pub block: BlockNumber,
}

/// Whose worker a key is or was, and from when until when: what it signs for another time is not the
/// operator's, so that a key which was stolen and replaced incriminates nobody any more.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct WorkerOwner {
	/// The operator.
	pub operator: AccountId,
	/// The block in which the operator bound it; the first time, if it took it back since.
	pub since: BlockNumber,
	/// When the operator let go of it; `None` while it is in use.
	pub released: Option<Moment>,
}

impl WorkerOwner {
	/// Whether the operator answers for an assignment that names `block`. A miner takes one of which the
	/// block is a little ahead, so that letting go of the key meanwhile is no way out.
	pub fn answers_at(&self, block: BlockNumber) -> bool {
		self.released
			.is_none_or(|released| block <= released.block.saturating_add(MAX_BLOCKS_AHEAD))
	}

	/// Whether the operator answers for a voucher of `era`. A miner takes those of the eras beside the
	/// present one, too: of an era's turn not everybody hears at once. Those of eras before the key was
	/// bound count: a coordinator signs them again when a miner asks for them.
	pub fn answers_in(&self, era: EraIndex) -> bool {
		self.released
			.is_none_or(|released| era <= released.era.saturating_add(1))
	}
}

/// A role's parameters until governance says otherwise.
///
/// An offence costs a tenth where a worker signed two results for one assignment, or two assignments
/// for one attempt: far above what a task can pay, and survivable once, since a restored disk can do
/// it. A validator that signed two blocks loses a hundredth at least; more of them together lose up to
/// everything, by the formulas of BABE's and GRANDPA's offences.
pub const fn default_role_params(role: Role) -> RoleParams<Balance> {
	let percent = match role {
		Role::Validator => 1,
		Role::Coordinator | Role::Miner => 10,
	};
	RoleParams {
		min_self_stake: role.default_min_self_stake(),
		offence_fraction: Perbill::from_percent(percent),
	}
}

/// Where an era begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct EraStartedAt {
	/// The era.
	pub era: EraIndex,
	/// Its first session.
	pub session: SessionIndex,
	/// Its first block.
	pub block: BlockNumber,
}

/// Names a slash for as long as it waits.
pub type SlashId = u32;

/// A slash that waits until it is applied or cancelled.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct Slash {
	/// Whose stake.
	pub operator: AccountId,
	/// The era of the offence: stake that began to leave in it or later is in reach.
	pub era: EraIndex,
	/// The part that is to be gone of what is in reach.
	pub fraction: Perbill,
	/// Who proved it, and gets a part.
	pub reporter: Option<AccountId>,
	/// Names the proof; `None` where the offences pallet keeps it.
	pub evidence: Option<H256>,
	/// The first era in which it can be applied.
	pub due: EraIndex,
}

/// The numbers of slashes that may be waiting: from `first` on, and before `next`. Those between
/// that are not there were cancelled.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct SlashQueueBounds {
	/// The oldest that may be waiting.
	pub first: SlashId,
	/// The number of the next that will be queued.
	pub next: SlashId,
}

/// An operator's offences in one era, as far as they count: the largest only.
///
/// Those of several eras are one as well, until the operator has been slashed and is back in service: a
/// key that was stolen can sign for many eras at once. Of stake that one slash has reached another takes
/// only what it is larger by; an earlier era counts for what left before the later one, and for nothing
/// else.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct Offence {
	/// The era.
	pub era: EraIndex,
	/// The part that has been taken.
	pub applied: Perbill,
	/// The part that counts: of the slash that waits, or what has been taken.
	pub counted: Perbill,
	/// The slash that waits for this era.
	pub pending: Option<SlashId>,
	/// The era in which the operator came back into service after it was punished; `None` until then.
	pub returned: Option<EraIndex>,
	/// The proofs that were used. They cannot be used again, whatever became of their slashes.
	pub proofs: BoundedVec<H256, ConstU32<MAX_PROOFS>>,
}

impl Offence {
	/// None yet in `era`.
	pub fn none(era: EraIndex) -> Self {
		Offence {
			era,
			applied: Perbill::zero(),
			counted: Perbill::zero(),
			pending: None,
			returned: None,
			proofs: BoundedVec::new(),
		}
	}

	/// Whether an offence of `era` counts as one with this: it is from before the operator came back.
	pub fn is_one_with(&self, era: EraIndex) -> bool {
		self.returned.is_none_or(|returned| era < returned)
	}

	/// Whether the operator has been slashed for it and has not come back since.
	pub fn is_being_served(&self) -> bool {
		!self.applied.is_zero() && self.returned.is_none()
	}
}

/// What the active operators of a role are together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct RoleTotals {
	/// How many there are.
	pub operators: u32,
	/// The sum of their pools.
	pub stake: Balance,
}

impl RoleTotals {
	/// The totals after one operator's stake has changed; `None` stands for not active. Returns
	/// `None` when a figure would leave its range.
	pub(crate) fn replaced(self, before: Option<Balance>, after: Option<Balance>) -> Option<Self> {
		let mut totals = self;
		if let Some(stake) = before {
			totals.operators = totals.operators.checked_sub(1)?;
			totals.stake = totals.stake.checked_sub(stake)?;
		}
		if let Some(stake) = after {
			totals.operators = totals.operators.checked_add(1)?;
			totals.stake = totals.stake.checked_add(stake)?;
		}
		Some(totals)
	}
}

/// Stake of one account on its way out: shares of the unbonding pool of an operator and era.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct UnbondingChunk {
	/// The operator it was staked on.
	pub operator: AccountId,
	/// The era in which it began to leave.
	pub era: EraIndex,
	/// The generation of the unbonding pool in which the shares were bought.
	pub generation: Generation,
	/// Shares of the unbonding pool.
	pub shares: Shares,
}

/// A stake as a storage key that sorts in descending order: the one's complement, big-endian.
#[derive(
	Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Encode, Decode, MaxEncodedLen, TypeInfo,
)]
pub struct DescendingStake([u8; 16]);

impl From<Balance> for DescendingStake {
	fn from(stake: Balance) -> Self {
		DescendingStake((!stake).to_be_bytes())
	}
}

impl From<DescendingStake> for Balance {
	fn from(key: DescendingStake) -> Self {
		!Balance::from_be_bytes(key.0)
	}
}
