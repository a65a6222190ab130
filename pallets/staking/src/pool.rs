//! The arithmetic of pools: value, shares, and the one exchange rate between them.
//!
//! A pool is an amount of CUC (`value`) that is owned by the bearers of `shares`. One share is worth
//! `value / shares`. Stake that comes in buys shares at today's rate, stake that goes out sells
//! them at today's rate, so neither moves the rate for those who stay. A reward raises `value`, a
//! slash lowers it: both reach every bearer at once, in constant time, with nothing to settle later.
//!
//! Every rounding goes against whoever acts: [`Pool::join`] rounds the shares that are bought down,
//! [`Pool::shares_worth`] rounds the shares that are to be sold up, and [`Pool::leave`] rounds what is
//! paid for them down. The difference, below one unit and one share, stays with those who remain.
//! The last one out takes all: a pool without shares is always a pool without value.
//!
//! There is no storage here. Products are computed in 256 bits, so that nothing below
//! `Balance::MAX` can overflow on the way.

use codec::{Decode, DecodeWithMemTracking, Encode, MaxEncodedLen};
use cuckoo_primitives::Balance;
use scale_info::TypeInfo;
use sp_core::U256;

/// Counts how often a pool was slashed to nothing. Shares of an earlier generation are worth nothing.
pub type Generation = u32;

/// How many shares may be worth one unit before a pool is worth nothing: see [`Pool::is_spent`].
const LOWEST_RATE_INVERSE: u128 = 1_000_000_000;

/// The part of an amount that may be lost where it is put in: one in so many. See [`Pool::join_whole`].
const LOST_PART_INVERSE: u128 = 1_000_000;

/// Parts of a pool. Not an amount of CUC: what one is worth is the pool's rate.
#[derive(
	Clone,
	Copy,
	PartialEq,
	Eq,
	PartialOrd,
	Ord,
	Debug,
	Default,
	Encode,
	Decode,
	DecodeWithMemTracking,
	MaxEncodedLen,
	TypeInfo,
)]
pub struct Shares(pub u128);

impl Shares {
	/// No shares.
	pub const ZERO: Shares = Shares(0);

	/// Whether there are none.
	pub const fn is_zero(self) -> bool {
		self.0 == 0
	}

	/// The sum, `None` past the largest number.
	pub fn checked_add(self, other: Shares) -> Option<Shares> {
		self.0.checked_add(other.0).map(Shares)
	}

	/// The difference, `None` below zero.
	pub fn checked_sub(self, other: Shares) -> Option<Shares> {
		self.0.checked_sub(other.0).map(Shares)
	}
}

/// Why a pool refuses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PoolError {
	/// The amount buys no share at this rate.
	TooSmall,
	/// The pool's value or its shares would pass the largest number.
	Overflow,
	/// The pool has fewer shares than are to be sold, or less value than is to be taken out.
	TooLarge,
	/// The pool has shares but no value, so that there is no rate to buy at.
	Worthless,
	/// A share is so dear that too much of the amount would be rounded away.
	TooDear,
	/// The pool has no shares: nobody is there who could be paid.
	Empty,
}

/// Value in CUC and the shares that own it.
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
pub struct Pool {
	/// What the shares are worth together.
	pub value: Balance,
	/// How many shares there are.
	pub shares: Shares,
	/// How often the pool was slashed to nothing.
	pub generation: Generation,
}

impl Pool {
	/// Takes `amount` in and returns the shares it buys, rounded down. The first shares of a pool
	/// cost one unit each.
	pub fn join(&mut self, amount: Balance) -> Result<Shares, PoolError> {
		let shares = if self.shares.is_zero() {
			Shares(amount)
		} else if self.value == 0 {
			return Err(PoolError::Worthless);
		} else {
			Shares(mul_div(amount, self.shares.0, self.value, Round::Down)?)
		};
		if shares.is_zero() {
			return Err(PoolError::TooSmall);
		}
		let value = self.value.checked_add(amount).ok_or(PoolError::Overflow)?;
		self.shares = self.shares.checked_add(shares).ok_or(PoolError::Overflow)?;
		self.value = value;
		Ok(shares)
	}

	/// As [`Pool::join`], for an amount that somebody wants back: refused where a millionth of it would
	/// be lost by the rounding. A pool of which nearly all shares were sold and that earned much
	/// afterwards has a few very dear ones; what a vote there does not buy a share for would be the
	/// others'.
	pub fn join_whole(&mut self, amount: Balance) -> Result<Shares, PoolError> {
		let mut joined = *self;
		let shares = joined.join(amount)?;
		let lost = amount.saturating_sub(joined.worth(shares));
		if lost > amount / LOST_PART_INVERSE {
			return Err(PoolError::TooDear);
		}
		*self = joined;
		Ok(shares)
	}

	/// Gives `shares` back and returns what is paid for them, rounded down.
	pub fn leave(&mut self, shares: Shares) -> Result<Balance, PoolError> {
		let left = self.shares.checked_sub(shares).ok_or(PoolError::TooLarge)?;
		let paid = self.worth(shares);
		self.value = self.value.checked_sub(paid).ok_or(PoolError::TooLarge)?;
		self.shares = left;
		Ok(paid)
	}

	/// Raises the value for all bearers. A pool without shares takes nothing: whoever came next would
	/// get it all.
	pub fn gain(&mut self, amount: Balance) -> Result<(), PoolError> {
		if self.shares.is_zero() {
			return Err(PoolError::Empty);
		}
		self.value = self.value.checked_add(amount).ok_or(PoolError::Overflow)?;
		Ok(())
	}

	/// Lowers the value for all bearers by `amount`, or by all there is; returns by how much.
	pub fn lose(&mut self, amount: Balance) -> Balance {
		let lost = amount.min(self.value);
		self.value -= lost;
		lost
	}

	/// Whether the pool has shares that are worth next to nothing: less than a billionth of a unit
	/// each. Such a rate is never kept, or the numbers of shares would grow with each slash until
	/// they pass the largest one.
	pub fn is_spent(&self) -> bool {
		// Not a quotient: its rounding would let a speck pass, whose rate the next vote then makes exact.
		// A product past the largest number is more than there can be shares.
		self.value.saturating_mul(LOWEST_RATE_INVERSE) < self.shares.0
	}

	/// Declares all shares worthless and begins the next generation. Returns the value that was left.
	pub fn begin_generation(&mut self) -> Balance {
		let left = self.value;
		*self = Pool {
			value: 0,
			shares: Shares::ZERO,
			generation: self.generation.saturating_add(1),
		};
		left
	}

	/// What `shares` are worth now, rounded down. Never more than the pool's value.
	pub fn worth(&self, shares: Shares) -> Balance {
		if self.shares.is_zero() {
			return 0;
		}
		let shares = shares.min(self.shares);
		// With `shares <= self.shares` the quotient is at most `value`: the narrowing cannot fail.
		mul_div(self.value, shares.0, self.shares.0, Round::Down).unwrap_or(self.value)
	}

	/// The fewest shares that are worth at least `amount`.
	pub fn shares_worth(&self, amount: Balance) -> Result<Shares, PoolError> {
		if amount > self.value {
			return Err(PoolError::TooLarge);
		}
		if amount == 0 {
			return Ok(Shares::ZERO);
		}
		mul_div(amount, self.shares.0, self.value, Round::Up).map(Shares)
	}
}

/// What one bearer has of a pool.
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
pub struct Position {
	/// How many shares.
	pub shares: Shares,
	/// The generation of the pool in which they were bought.
	pub generation: Generation,
}

impl Position {
	/// The shares that count in `pool` today: none when they are of an earlier generation.
	pub fn shares_in(&self, pool: &Pool) -> Shares {
		if self.generation == pool.generation {
			self.shares
		} else {
			Shares::ZERO
		}
	}

	/// What the position is worth in `pool` today.
	pub fn value_in(&self, pool: &Pool) -> Balance {
		pool.worth(self.shares_in(pool))
	}

	/// The position with `bought` more shares of `pool`. Worthless shares of an earlier generation
	/// are dropped on the way.
	pub fn with(&self, bought: Shares, pool: &Pool) -> Result<Position, PoolError> {
		let shares = self
			.shares_in(pool)
			.checked_add(bought)
			.ok_or(PoolError::Overflow)?;
		Ok(Position {
			shares,
			generation: pool.generation,
		})
	}
}

/// Which way a quotient is rounded.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Round {
	/// Towards zero.
	Down,
	/// Away from zero.
	Up,
}

/// `a * b / c` with a product of 256 bits. `c` is not zero: every caller has checked it.
pub(crate) fn mul_div(a: u128, b: u128, c: u128, round: Round) -> Result<u128, PoolError> {
	let product = U256::from(a) * U256::from(b);
	let divisor = U256::from(c);
	let mut quotient = product.checked_div(divisor).ok_or(PoolError::Worthless)?;
	if round == Round::Up && quotient * divisor != product {
		quotient += U256::one();
	}
	u128::try_from(quotient).map_err(|_| PoolError::Overflow)
}
