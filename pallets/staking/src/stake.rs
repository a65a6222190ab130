//! The arithmetic of an operator's stake: its pool, and the rewards that are still streaming into it.
//!
//! A reward does not raise a pool at once: whoever joined a moment before would get as much of it as
//! those whose stake stood for the work. It is spread evenly over the blocks of an era instead, and a
//! bearer gets of each block's part what it holds of the pool in that block.
//!
//! One stream serves any number of rewards. When a reward arrives while an earlier one is still
//! streaming, the two become one, which ends at the mean of both ends, weighted by their amounts. So a
//! speck of a reward cannot hold up a large one, and the cost is the same however many there were.
//!
//! There is no storage and no clock here: the block is given.

use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use cuckoo_primitives::{Balance, BlockNumber};
use scale_info::TypeInfo;

use crate::pool::{mul_div, Pool, PoolError, Round, Shares};

/// Rewards that have not reached their pool yet. They do so evenly from `since` until `until`.
#[derive(
	Clone,
	Copy,
	PartialEq,
	Eq,
	Debug,
	Default,
	Encode,
	Decode,
	DecodeWithMemTracking,
	MaxEncodedLen,
	TypeInfo,
)]
pub struct Stream {
	/// What is still to come.
	pub amount: Balance,
	/// The block up to which the stream has been released.
	pub since: BlockNumber,
	/// The block in which all of it will have been.
	pub until: BlockNumber,
}

impl Stream {
	/// What is due by block `now` and not released yet, rounded down.
	pub fn due(&self, now: BlockNumber) -> Balance {
		if now >= self.until {
			return self.amount;
		}
		let passed = now.saturating_sub(self.since);
		let whole = self.until.saturating_sub(self.since);
		// `now < until` makes `whole` larger than `passed`, so the quotient is below `amount`.
		mul_div(self.amount, passed.into(), whole.into(), Round::Down).unwrap_or(0)
	}

	/// Takes out what is due by block `now`.
	fn release(&mut self, now: BlockNumber) -> Balance {
		let due = self.due(now);
		self.amount -= due;
		self.since = self.since.max(now);
		due
	}

	/// Puts `amount` in at block `now`, to be released over `length` blocks by itself. What was in it
	/// must have been released up to `now`.
	fn add(
		&mut self,
		amount: Balance,
		now: BlockNumber,
		length: BlockNumber,
	) -> Result<(), PoolError> {
		let sum = self.amount.checked_add(amount).ok_or(PoolError::Overflow)?;
		if sum == 0 {
			return Ok(());
		}
		let left = self.until.saturating_sub(now).min(length);
		// The weighted mean of `left` and `length` is `left` and the new amount's part of what
		// `length` has more. Rounded down: a speck moves the end by nothing, or one in each block
		// would hold up everything for ever.
		let more = mul_div((length - left).into(), amount, sum, Round::Down)?;
		// `more <= length - left`, which is a block number.
		let more = BlockNumber::try_from(more).map_err(|_| PoolError::Overflow)?;
		*self = Stream {
			amount: sum,
			since: now,
			until: now.saturating_add(left).saturating_add(more),
		};
		Ok(())
	}
}

/// An operator's pool together with its stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stake {
	/// What shares own already.
	pub pool: Pool,
	/// What is on its way into the pool.
	pub stream: Stream,
}

impl Stake {
	/// Brings the pool up to block `now`.
	pub fn release(&mut self, now: BlockNumber) -> Result<(), PoolError> {
		let due = self.stream.release(now);
		if due > 0 {
			self.pool.gain(due)?;
		}
		Ok(())
	}

	/// The stake as it is at block `now`, without changing it.
	pub fn at(mut self, now: BlockNumber) -> Self {
		// A release that fails leaves the stake as it was: nothing better can be shown.
		let before = self;
		match self.release(now) {
			Ok(()) => self,
			Err(_) => before,
		}
	}

	/// Takes a reward in at block `now`, to be released over `length` blocks.
	pub fn reward(
		&mut self,
		amount: Balance,
		now: BlockNumber,
		length: BlockNumber,
	) -> Result<(), PoolError> {
		if self.pool.shares.is_zero() {
			return Err(PoolError::Empty);
		}
		// Together they must fit, so that no release can fail later.
		self.pool
			.value
			.checked_add(self.stream.amount)
			.and_then(|all| all.checked_add(amount))
			.ok_or(PoolError::Overflow)?;
		self.stream.add(amount, now, length)
	}

	/// Gives `shares` back and returns what is paid for them. The last one out takes the stream as
	/// well: a pool without shares has none.
	pub fn leave(&mut self, shares: Shares) -> Result<Balance, PoolError> {
		if shares == self.pool.shares && !shares.is_zero() {
			self.release_all()?;
		}
		self.pool.leave(shares)
	}

	/// Puts the whole stream into the pool at once.
	pub fn release_all(&mut self) -> Result<(), PoolError> {
		if self.stream.amount > 0 {
			self.pool.gain(self.stream.amount)?;
		}
		self.stream = Stream::default();
		Ok(())
	}

	/// All that belongs to the bearers, now or later.
	pub fn total(&self) -> Balance {
		// Their sum was checked when the stream was filled, and neither grows by itself.
		self.pool.value.saturating_add(self.stream.amount)
	}
}
