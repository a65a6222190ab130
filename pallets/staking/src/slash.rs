//! The arithmetic of a slash: who bears how much of it.
//!
//! In reach of a slash is all that answered for the operator when the offence happened and is still
//! there: its pool, what is streaming into the pool, and the stake that began to leave since. A
//! fraction of all this is taken, in this order:
//!
//! 1. the operator's own shares of the pool, and then its own part of what is leaving: the first loss
//!    is the offender's, and the rate of the others stays as it was;
//! 2. what that does not cover, in proportion from everything else in reach, whether it stays or
//!    leaves. To leave first is no way out, and to stay no punishment.
//!
//! Every part is rounded down: never is more than the fraction taken.
//!
//! There is no storage here.

use alloc::{collections::BTreeMap, vec::Vec};
use cuckoo_primitives::{Balance, EraIndex};
use sp_runtime::{traits::Saturating, PerThing, Perbill};

use crate::{
	pool::{mul_div, Pool, PoolError, Round, Shares},
	stake::Stake,
};

/// Stake that began to leave an operator in one era.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Leaving {
	/// The era.
	pub era: EraIndex,
	/// The unbonding pool of that era.
	pub pool: Pool,
	/// The operator's own shares of it.
	pub own: Shares,
}

/// All that a slash reaches.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reach {
	/// The operator's pool and stream.
	pub stake: Stake,
	/// The operator's own shares of the pool.
	pub own: Shares,
	/// What is leaving, the oldest first.
	pub leaving: Vec<Leaving>,
}

/// What a slash has taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Taken {
	/// From everybody together.
	pub all: Balance,
	/// From the operator's own stake.
	pub own: Balance,
}

impl Reach {
	/// The worth of all of it.
	pub fn total(&self) -> Balance {
		self.leaving
			.iter()
			.fold(self.stake.total(), |sum, leaving| {
				sum.saturating_add(leaving.pool.value)
			})
	}

	/// Takes so much that `fraction` of what was there before the first slash is gone, and returns how
	/// much that is. `before` are the slashes that were applied already and count as one with this, by
	/// the eras of their offences: of what they reached only what this one is larger by is taken. Of
	/// several offences the largest counts, not their sum.
	pub fn slash(
		&mut self,
		fraction: Perbill,
		before: &[(EraIndex, Perbill)],
	) -> Result<Taken, PoolError> {
		// A stream that is the operator's alone is its own loss like its shares.
		if self.own == self.stake.pool.shares {
			self.stake.release_all()?;
		}
		let target = self.target(fraction, before)?;
		let mut own = take_own(&mut self.stake.pool, &mut self.own, target)?;
		for leaving in &mut self.leaving {
			own += take_own(&mut leaving.pool, &mut leaving.own, target - own)?;
		}
		let shared = self.take_from_all(target - own)?;
		let all = own + shared + self.end_spent()?;
		Ok(Taken { all, own })
	}

	/// How much is to be taken: of what is left of `1 - already`, the part that makes it
	/// `1 - fraction`, where `already` is the largest slash before that reached it.
	fn target(
		&self,
		fraction: Perbill,
		before: &[(EraIndex, Perbill)],
	) -> Result<Balance, PoolError> {
		let reached = |left_in: Option<EraIndex>| {
			before
				.iter()
				.filter(|(era, _)| left_in.is_none_or(|left_in| *era <= left_in))
				.map(|(_, applied)| *applied)
				.max()
				.unwrap_or_default()
		};
		let leaving = self
			.leaving
			.iter()
			.map(|leaving| (reached(Some(leaving.era)), leaving.pool.value));
		// Added up first: a slash of all at once is rounded once.
		let mut reach = BTreeMap::<Perbill, Balance>::new();
		for (already, value) in leaving.chain([(reached(None), self.stake.total())]) {
			let sum = reach.entry(already).or_default();
			*sum = sum.saturating_add(value);
		}
		reach
			.into_iter()
			.try_fold(0, |target: Balance, (already, value)| {
				let more = fraction.saturating_sub(already).deconstruct();
				let left = already.left_from_one().deconstruct();
				if more == 0 || left == 0 {
					return Ok(target);
				}
				let part = mul_div(value, more.into(), left.into(), Round::Down)?;
				target.checked_add(part).ok_or(PoolError::Overflow)
			})
	}

	/// Takes `amount` from everything in reach in proportion.
	fn take_from_all(&mut self, amount: Balance) -> Result<Balance, PoolError> {
		let base = self.total();
		if amount == 0 || base == 0 {
			return Ok(0);
		}
		let part = |value: Balance| mul_div(value, amount, base, Round::Down);
		let mut taken = self.stake.pool.lose(part(self.stake.pool.value)?);
		let from_stream = part(self.stake.stream.amount)?.min(self.stake.stream.amount);
		self.stake.stream.amount -= from_stream;
		taken += from_stream;
		for leaving in &mut self.leaving {
			taken += leaving.pool.lose(part(leaving.pool.value)?);
		}
		Ok(taken)
	}

	/// Ends the generation of every pool that is worth nothing now, and takes its last specks.
	fn end_spent(&mut self) -> Result<Balance, PoolError> {
		let mut taken = 0;
		if self.stake.pool.is_spent() {
			// What is on its way may still be worth something.
			self.stake.release_all()?;
		}
		if self.stake.pool.is_spent() {
			taken += self.stake.pool.begin_generation();
			self.own = Shares::ZERO;
		}
		for leaving in &mut self.leaving {
			if leaving.pool.is_spent() {
				taken += leaving.pool.begin_generation();
				leaving.own = Shares::ZERO;
			}
		}
		Ok(taken)
	}
}

/// Takes `amount` of what the operator's own shares of a pool are worth, or all of that; returns how much
/// it is. As many shares are burnt, rounded up: the others' rate does not fall, and what the last of the
/// burnt shares was worth beyond `amount` stays with them.
fn take_own(pool: &mut Pool, own: &mut Shares, amount: Balance) -> Result<Balance, PoolError> {
	let worth = pool.worth(*own);
	let amount = amount.min(worth);
	if amount == 0 {
		return Ok(0);
	}
	let burnt = if amount == worth {
		*own
	} else {
		let up = pool.shares_worth(amount)?.min(*own);
		// Where there are no others, one share is left to own what is left.
		if up == pool.shares {
			Shares(up.0 - 1)
		} else {
			up
		}
	};
	*own = own.checked_sub(burnt).ok_or(PoolError::TooLarge)?;
	pool.shares = pool.shares.checked_sub(burnt).ok_or(PoolError::TooLarge)?;
	Ok(pool.lose(amount))
}
