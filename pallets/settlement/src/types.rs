//! What the pallet stores, and the windows of time.

use codec::{Decode, Encode, MaxEncodedLen};
use cuckoo_primitives::{sum_tree::Root, AccountId, Balance, BlockNumber, EraIndex, WorkerId};
use scale_info::TypeInfo;

/// Most leaves of one claim.
pub const MAX_CLAIMS: u32 = 64;

/// Most nodes beside the paths of one claim: each leaf's path has at most 20.
pub const MAX_SIBLINGS: u32 = MAX_CLAIMS * 20;

/// How many leaves one stored value marks as claimed.
pub const CHUNK_LEAVES: u32 = 1024;

/// Which of [`CHUNK_LEAVES`] leaves were claimed, a bit each: the lowest bit of the first byte first.
pub type Chunk = [u8; CHUNK_LEAVES as usize / 8];

/// Money of an app that a coordinator may redeem by vouchers.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct Channel {
	/// Whose money it is.
	pub app: AccountId,
	/// Who may redeem it.
	pub coordinator: AccountId,
	/// The key that signs the vouchers.
	pub signer: WorkerId,
	/// All that was put in.
	pub deposit: Balance,
	/// All that was redeemed: the highest voucher so far.
	pub redeemed: Balance,
	/// The storage deposit, which goes back with what is left.
	pub bond: Balance,
	/// The last block in which vouchers are taken, once the app is closing it.
	pub closing: Option<BlockNumber>,
}

impl Channel {
	/// What is left to redeem.
	pub fn left(&self) -> Balance {
		self.deposit.saturating_sub(self.redeemed)
	}
}

/// An era of a coordinator that is settled.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode, MaxEncodedLen, TypeInfo)]
pub struct Settlement {
	/// The tree of what the miners are owed; its sum was paid in.
	pub root: Root,
	/// How much of the sum was claimed.
	pub claimed: Balance,
	/// What miners got by vouchers, out of their allotments, that no claimed leaf covers.
	pub by_voucher: Balance,
	/// What is issued on top if all of it is claimed by operators.
	pub emission: Balance,
	/// How many chunks of marks were removed after the era's time.
	pub cleaned: u32,
}

impl Settlement {
	/// What is not claimed.
	pub fn unclaimed(&self) -> Balance {
		self.root.node.sum.saturating_sub(self.claimed)
	}

	/// How much more miners got than the sum, of which the fee has paid the levy.
	pub fn beyond(&self) -> Balance {
		self.claimed
			.saturating_add(self.by_voucher)
			.saturating_sub(self.root.node.sum)
	}

	/// How many chunks the marks of its leaves take.
	pub fn chunks(&self) -> u32 {
		self.root.leaves.div_ceil(CHUNK_LEAVES)
	}
}

/// What can be done for an era, by the era now. Nothing of it depends on when a voucher was signed.
///
/// ```text
/// era        era+1 … era+post_eras      … era+claim_eras      later
/// vouchers   the root is posted
///            leaves are claimed, and short settlements proven
///                        vouchers are claimed from the allotment
///                                                             clean-up
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Windows {
	/// For how many eras after its own an era can be settled.
	pub post_eras: EraIndex,
	/// For how many eras after its own anything of an era can be claimed.
	pub claim_eras: EraIndex,
}

impl Windows {
	/// Whether the era is over.
	pub fn is_over(&self, era: EraIndex, now: EraIndex) -> bool {
		era < now
	}

	/// Whether it is too late to settle the era.
	pub fn is_past_posting(&self, era: EraIndex, now: EraIndex) -> bool {
		now > era.saturating_add(self.post_eras)
	}

	/// Whether it is too late to claim anything of the era.
	pub fn is_past_claiming(&self, era: EraIndex, now: EraIndex) -> bool {
		now > era.saturating_add(self.claim_eras)
	}

	/// The first era of which something can be claimed.
	pub fn first_open(&self, now: EraIndex) -> EraIndex {
		now.saturating_sub(self.claim_eras)
	}

	/// The first era in which no voucher can be claimed any more of those that were taken up to `now`;
	/// one of them may be for the era after it, whose turn not everybody saw at once.
	pub fn all_claimed(&self, now: EraIndex) -> EraIndex {
		now.saturating_add(self.claim_eras).saturating_add(2)
	}
}
