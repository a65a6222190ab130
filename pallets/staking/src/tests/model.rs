//! Any interleaving of votes, rewards and slashes against an exact model of what they mean.
//!
//! The model knows no shares. A [`Fund`] is money that accounts own together, each an exact fraction of
//! it; a pool is one, and what leaves in an era is another. The rules that it states anew, in rational
//! numbers of any size:
//!
//! - Who joins a fund owns of it what it has put in, who leaves takes what it owns; nobody else's money
//!   changes by either. Money crosses the border of a fund in whole units.
//! - In each block a stream lets an equal part of what is in it flow to all owners of the pool. A reward
//!   is the operator's to the part of its commission, and joins the stream with the rest; the stream then
//!   ends at the mean of both ends, weighted by their amounts, rounded down to whole blocks. Who leaves last
//!   takes the stream.
//! - A slash takes its fraction of pool, stream and what leaves since the era of the offence: what the
//!   operator owns first, and then from all of it in proportion, whole units from each.
//! - Until the operator has been slashed and is back, its offences are one: an offence counts that is larger
//!   than all of its era and of those before it, and of what others have reached its slash takes only the
//!   difference.
//!
//! # How far the pallet may be from it
//!
//! `over` and `under` say for each account by how much the pallet's figure may be above and below the
//! model's. Every rounding in the pallet moves less than one unit, or less than the worth of one share,
//! between those who own a pool together. So:
//!
//! - An account's own action costs it less than a share where it joins, and less than a unit where it
//!   leaves: `under` of the account and `over` of all others grow by that, and nothing else. Where it
//!   leaves altogether the model, too, keeps a part of a unit back for the others, and both sides of all
//!   grow by one.
//! - A release is rounded down to a unit, which comes late: `under` grows by one, shared like the release
//!   itself, and the stream is behind by it until it comes, when `over` grows by it for those who own the
//!   pool then.
//! - A reward multiplies what everybody owns, and the earlier differences with it: by `growth`, and what
//!   the differences of the others make of the distribution.
//! - A slash takes first what the operator owns. By how much that differs, the others bear less or more;
//!   and by the fraction of how much everything in reach differs. Each part of it is rounded to a unit.
//!
//! These are the only ways in which a difference grows: see the functions of [`Margins`]. As long as no
//! reward comes and no slash passes the operator's stake, an account with `k` actions is thus never more
//! below the model than `k` units and `k` shares, and a unit for each other account that has left
//! altogether; and never above it by more than the actions of others.

use std::collections::BTreeMap;

use cuckoo_primitives::{Balance, BlockNumber, EraIndex, Role, CUC};
use frame_support::traits::fungible::Balanced;
use num_bigint::BigUint;
use num_rational::Ratio;
use proptest::prelude::*;
use sp_runtime::Perbill;
use sp_staking::offence::{OffenceDetails, OnOffenceHandler};

use crate::{
	mock::*,
	pool::{Pool, Shares},
	Amount, Event, Pools, Positions, RewardSink, Streams, Unbonding, UnbondingPools,
};

/// The one operator.
const OPERATOR: u8 = VALIDATOR;
/// Who proves offences: nobody whose money is compared.
const REPORTER: u8 = 77;
/// The whole of a fraction.
const BILLION: u32 = 1_000_000_000;

type Exact = Ratio<BigUint>;

fn exact(amount: Balance) -> Exact {
	Ratio::from_integer(BigUint::from(amount))
}

/// The whole units of it.
fn floor(amount: &Exact) -> Balance {
	Balance::try_from(&amount.to_integer()).expect("no more than there is")
}

/// Its size, for margins.
fn size(amount: &Exact) -> f64 {
	floor(amount) as f64 + 1.0
}

/// Money that accounts own together.
#[derive(Clone, Debug)]
struct Fund {
	money: Exact,
	/// What each owns: this part of the sum of all parts.
	parts: BTreeMap<u8, BigUint>,
}

impl Default for Fund {
	fn default() -> Self {
		Fund {
			money: exact(0),
			parts: BTreeMap::new(),
		}
	}
}

impl Fund {
	fn is_owned_by(&self, who: u8) -> bool {
		self.parts.contains_key(&who)
	}

	fn is_owned_by_only(&self, who: u8) -> bool {
		self.parts.len() == 1 && self.is_owned_by(who)
	}

	/// The whole units that an account owns.
	fn worth(&self, who: u8) -> Balance {
		let Some(part) = self.parts.get(&who) else {
			return 0;
		};
		let all: BigUint = self.parts.values().sum();
		let worth = self.money.numer() * part / (self.money.denom() * all);
		Balance::try_from(&worth).expect("no more than there is")
	}

	/// The part of the sum that `amount` is of the money. All parts are multiplied first so that it is
	/// whole: that changes no fraction.
	fn part_of(&mut self, amount: Balance) -> BigUint {
		let all: BigUint = self.parts.values().sum();
		let dividend = all * amount * self.money.denom();
		let factor = Ratio::new(&dividend % self.money.numer(), self.money.numer().clone());
		let factor = factor.denom();
		for part in self.parts.values_mut() {
			*part *= factor;
		}
		dividend * factor / self.money.numer()
	}

	fn join(&mut self, who: u8, amount: Balance) {
		if amount == 0 {
			return;
		}
		if self.parts.is_empty() || *self.money.numer() == BigUint::ZERO {
			self.parts = BTreeMap::from([(who, BigUint::from(1u8))]);
		} else {
			let bought = self.part_of(amount);
			*self.parts.entry(who).or_default() += bought;
		}
		self.money += exact(amount);
	}

	/// Takes less than all out of what an account owns.
	fn take(&mut self, who: u8, amount: Balance) {
		assert!(amount < self.worth(who) || amount == 0);
		let sold = self.part_of(amount);
		*self.parts.get_mut(&who).expect("it owns something") -= sold;
		self.money -= exact(amount);
	}

	/// Takes all out that an account owns, in whole units. What is less than a unit stays with the
	/// others.
	fn leave(&mut self, who: u8) -> Balance {
		let amount = self.worth(who);
		self.parts.remove(&who);
		self.money -= exact(amount);
		if self.parts.is_empty() {
			*self = Fund::default();
		}
		amount
	}
}

/// By how much the pallet's figures for one account may differ from the model's.
#[derive(Clone, Copy, Default, Debug)]
struct Margin {
	over: f64,
	under: f64,
}

impl Margin {
	fn widen(&mut self, over: f64, under: f64) {
		self.over += over;
		self.under += under;
	}
}

/// All margins.
#[derive(Default, Debug)]
struct Margins {
	/// Of positions.
	staked: BTreeMap<u8, Margin>,
	/// Of what leaves or has left.
	left: BTreeMap<u8, Margin>,
	/// Of the stream.
	stream: Margin,
}

impl Margins {
	fn of(&self, who: u8) -> Margin {
		let get = |margins: &BTreeMap<u8, Margin>| margins.get(&who).copied().unwrap_or_default();
		let (staked, left) = (get(&self.staked), get(&self.left));
		Margin {
			over: staked.over + left.over,
			under: staked.under + left.under,
		}
	}

	fn staked(&mut self, who: u8) -> &mut Margin {
		self.staked.entry(who).or_default()
	}

	fn left(&mut self, who: u8) -> &mut Margin {
		self.left.entry(who).or_default()
	}

	/// By how much the pool may differ: all positions do at once.
	fn pool(&self) -> Margin {
		let sum = |of: fn(&Margin) -> f64| self.staked.values().map(of).sum::<f64>();
		Margin {
			over: sum(|margin| margin.over),
			under: sum(|margin| margin.under),
		}
	}

	/// By how much all that there is may differ, either way.
	fn all(&self) -> f64 {
		let margins = self.staked.values().chain(self.left.values());
		margins
			.chain([&self.stream])
			.map(|margin| margin.over + margin.under)
			.sum()
	}

	/// An account has lost up to `loss` by a rounding, to the others of the pool.
	fn lose(&mut self, who: u8, owners: &Fund, loss: f64) {
		for other in owners.parts.keys().filter(|other| **other != who) {
			self.staked(*other).over += loss;
		}
		self.staked(who).under += loss;
	}

	/// An account has left the pool altogether: the difference goes with it, and both the pallet and the
	/// model have left a part of a unit to the others.
	fn leave(&mut self, who: u8, others: &Fund) {
		for other in others.parts.keys() {
			self.staked(*other).widen(1.0, 1.0);
		}
		let moved = self.staked.remove(&who).unwrap_or_default();
		self.left(who).widen(moved.over + 1.0, moved.under + 1.0);
	}

	/// `flowed` has come into a pool that had `before`, as the part `share` of the stream. With
	/// `r = v + d` for the figures of pallet and model, and `x`, `y` for what flowed by the one and the
	/// other into pools `R` and `V`:
	///
	/// `r (1 + x/R) - v (1 + y/V) = d (1 + x/R) + v/V (x - y + x (V - R)/R)`
	///
	/// and never more than `d + x`, nor less than `d - y`.
	fn flow(&mut self, owners: &Fund, before: &Exact, flowed: &Exact, share: f64) {
		let late = Margin {
			over: self.stream.over * share,
			under: self.stream.under * share + 1.0,
		};
		let pool = self.pool();
		let (before, flowed) = (size(before), size(flowed) + late.over);
		let growth = flowed / (before - pool.under).max(1.0);
		for who in owners.parts.keys() {
			let fraction = owners.worth(*who) as f64 / (size(&owners.money) - 1.0).max(1.0) + 1e-9;
			let margin = self.staked(*who);
			let over = growth * margin.over + fraction * (late.over + growth * pool.under);
			let under = growth * margin.under + fraction * (late.under + growth * pool.over);
			margin.widen(over.min(flowed), under.min(flowed + late.under));
		}
		self.stream.over = self.stream.over * (1.0 - share) + 1.0;
		self.stream.under *= 1.0 - share;
		if share >= 1.0 {
			self.stream = Margin::default();
		}
	}

	/// A slash of `fraction` has passed, `parts` parts being rounded; a share was worth `share`.
	fn slash(&mut self, fraction: f64, parts: f64, share: f64) {
		let own = self.of(OPERATOR);
		let common = fraction * self.all() + 2.0 * parts;
		let others = Margin {
			over: common + own.over + share,
			under: common + own.under,
		};
		for (who, margin) in self.staked.iter_mut().chain(&mut self.left) {
			if *who == OPERATOR {
				margin.widen(common, common + share);
			} else {
				margin.widen(others.over, others.under);
			}
		}
		self.stream.widen(others.over, others.under);
	}
}

/// What is known of an era's offences.
#[derive(Clone, Copy, Default, Debug)]
struct Offence {
	applied: u32,
	waiting: Option<usize>,
	/// When the operator came back after it was slashed.
	returned: Option<EraIndex>,
}

impl Offence {
	fn is_one_with(&self, era: EraIndex) -> bool {
		self.returned.is_none_or(|returned| era < returned)
	}
}

/// A slash in the queue.
#[derive(Clone, Copy, Debug)]
struct Waiting {
	era: EraIndex,
	fraction: u32,
	due: EraIndex,
}

/// What there is, by the rules alone.
#[derive(Debug)]
struct Model {
	now: BlockNumber,
	era: EraIndex,
	free: BTreeMap<u8, Balance>,
	pool: Fund,
	stream: Exact,
	until: BlockNumber,
	leaving: BTreeMap<EraIndex, Fund>,
	offences: BTreeMap<EraIndex, Offence>,
	queue: Vec<Option<Waiting>>,
	applied: usize,
	margins: Margins,
}

impl Model {
	/// The state after genesis.
	fn new() -> Self {
		let mut pool = Fund::default();
		pool.join(OPERATOR, VALIDATOR_STAKE);
		Model {
			now: 1,
			era: 0,
			free: ACCOUNTS.map(|who| (who, free(who))).into(),
			pool,
			stream: exact(0),
			until: 0,
			leaving: BTreeMap::new(),
			offences: BTreeMap::new(),
			queue: Vec::new(),
			applied: 0,
			margins: Margins::default(),
		}
	}

	/// All that an account has, a unit short at most for each place where it has something; and in how
	/// many places that is.
	fn wealth(&self, who: u8) -> (Balance, usize) {
		let funds = self
			.leaving
			.values()
			.chain([&self.pool])
			.filter(|fund| fund.is_owned_by(who));
		let places = funds.clone().count();
		let owned: Balance = funds.map(|fund| fund.worth(who)).sum();
		(self.free[&who] + owned, places)
	}

	fn pass_blocks(&mut self, count: BlockNumber) {
		let before = self.pool.money.clone();
		let share = match self.until.saturating_sub(self.now) {
			0 => 1.0,
			left => f64::from(count.min(left)) / f64::from(left),
		};
		for _ in 0..count {
			let left = self.until.saturating_sub(self.now);
			if left > 0 {
				let part = &self.stream / BigUint::from(left);
				self.stream -= &part;
				self.pool.money += part;
			}
			self.now += 1;
		}
		let flowed = &self.pool.money - &before;
		self.margins.flow(&self.pool, &before, &flowed, share);
	}

	fn join(&mut self, who: u8, amount: Balance, share: f64) {
		self.margins.lose(who, &self.pool, share);
		self.pool.join(who, amount);
	}

	/// Begins to let `amount` leave that is in no fund now.
	fn unbond(&mut self, who: u8, amount: Balance) {
		let pool = UnbondingPools::<Test>::get(account(OPERATOR), self.era).unwrap_or_default();
		let share = pool.value as f64 / pool.shares.0.max(1) as f64;
		let fund = self.leaving.entry(self.era).or_default();
		fund.join(who, amount);
		for owner in fund.parts.keys() {
			if *owner == who {
				self.margins.left(*owner).under += share;
			} else {
				self.margins.left(*owner).over += share;
			}
		}
	}

	/// Lets `paid` of a position leave, or all of it.
	fn leave(&mut self, who: u8, paid: Option<Balance>) {
		match paid {
			Some(paid) => {
				self.pool.take(who, paid);
				self.margins.lose(who, &self.pool, 1.0);
				self.unbond(who, paid);
			},
			None => {
				if self.pool.is_owned_by_only(who) {
					self.end_stream();
				}
				let paid = self.pool.leave(who);
				self.margins.leave(who, &self.pool);
				self.unbond(who, paid);
			},
		}
	}

	fn end_stream(&mut self) {
		self.pool.money += &self.stream;
		self.stream = exact(0);
		let moved = std::mem::take(&mut self.margins.stream);
		let owners: Vec<u8> = self.pool.parts.keys().copied().collect();
		for who in owners {
			self.margins.staked(who).widen(moved.over, moved.under);
		}
	}

	/// When a stream ends that gets `amount` more while `present` is in it.
	fn end_with(&self, amount: Balance, present: &Exact) -> BlockNumber {
		let left = self.until.saturating_sub(self.now).min(BLOCKS_PER_ERA);
		let weight = exact(amount) / (present + exact(amount));
		let more = weight * BigUint::from(BLOCKS_PER_ERA - left);
		self.now + left + u32::try_from(more.to_integer()).expect("at most an era")
	}

	/// Takes a reward in; `end` is when the pallet's stream ends then.
	fn reward(&mut self, commission: Balance, rest: Balance, end: BlockNumber, share: f64) {
		if commission > 0 {
			self.join(OPERATOR, commission, share);
		}
		if *self.stream.numer() == BigUint::ZERO && rest == 0 {
			return;
		}
		// The end is rounded to blocks, so that a unit more or less in the stream can be a block.
		let margin = self.margins.stream;
		let most = &self.stream + exact(margin.over.ceil() as u128);
		let least = Ratio::new(
			self.stream
				.numer()
				.max(&(self.stream.denom() * BigUint::from(margin.under.ceil() as u128)))
				- self.stream.denom() * BigUint::from(margin.under.ceil() as u128),
			self.stream.denom().clone(),
		);
		let earliest = if rest == 0 {
			self.now
		} else {
			self.end_with(rest, &most)
		};
		let latest = if rest == 0 {
			self.until.max(self.now)
		} else {
			self.end_with(rest, &least)
		};
		assert!(
			(earliest..=latest).contains(&end),
			"the stream ends in {end}, not within {earliest}..={latest}"
		);
		self.until = end;
		self.stream += exact(rest);
	}

	fn report(&mut self, era: EraIndex, fraction: u32) {
		if self.era - era > EVIDENCE_ERAS {
			return;
		}
		let one = self
			.offences
			.iter()
			.filter(|(_, offence)| offence.is_one_with(era));
		let counted = one.clone().filter(|(other, _)| **other <= era);
		let counted = counted.map(|(_, offence)| {
			let waiting = offence.waiting.and_then(|place| self.queue[place]);
			waiting.map_or(offence.applied, |slash| slash.fraction)
		});
		if fraction <= counted.max().unwrap_or(0) {
			return;
		}
		let returned = one.filter_map(|(_, offence)| offence.returned).min();
		let offence = self.offences.entry(era).or_insert(Offence {
			returned,
			..Default::default()
		});
		if let Some(place) = offence.waiting {
			self.queue[place] = None;
		}
		offence.waiting = Some(self.queue.len());
		self.queue.push(Some(Waiting {
			era,
			fraction,
			due: self.era + SLASH_DEFER_ERAS,
		}));
	}

	fn cancel(&mut self, place: usize) {
		let slash = self.queue[place].take().expect("it waits");
		self.offences.entry(slash.era).or_default().waiting = None;
	}

	/// The operator, which was suspended, is back in service.
	fn come_back(&mut self) {
		for offence in self.offences.values_mut() {
			if offence.applied > 0 && offence.returned.is_none() {
				offence.returned = Some(self.era);
			}
		}
	}

	/// Takes the next slash out of the queue that is due, with its number and what has been taken before
	/// for offences that are one with its own, by era.
	fn next_due(&mut self) -> Option<(usize, Waiting, BTreeMap<EraIndex, u32>)> {
		while self.applied < self.queue.len() {
			let place = self.applied;
			if let Some(slash) = self.queue[place] {
				if slash.due > self.era {
					return None;
				}
				self.queue[place] = None;
				self.applied += 1;
				let one = self.offences.iter();
				let one = one.filter(|(_, offence)| offence.is_one_with(slash.era));
				let before = one.map(|(era, offence)| (*era, offence.applied)).collect();
				let offence = self.offences.entry(slash.era).or_default();
				offence.applied = slash.fraction;
				offence.waiting = None;
				return Some((place, slash, before));
			}
			self.applied += 1;
		}
		None
	}

	/// Returns how much is taken.
	fn slash(&mut self, slash: Waiting, before: &BTreeMap<EraIndex, u32>, share: f64) -> Balance {
		if self.pool.is_owned_by_only(OPERATOR) {
			self.end_stream();
		}
		let reach = self.leaving.range(slash.era..);
		let present = &self.pool.money + &self.stream;
		let total = reach
			.clone()
			.fold(present.clone(), |sum, (_, fund)| sum + &fund.money);
		// What is equally reached by what was taken before is one sum, rounded once.
		let mut equal = BTreeMap::from([(before.values().copied().max().unwrap_or(0), present)]);
		for (era, fund) in reach.clone() {
			let already = before.range(..=era).map(|(_, applied)| *applied).max();
			*equal
				.entry(already.unwrap_or(0))
				.or_insert_with(|| exact(0)) += &fund.money;
		}
		let parts = 2 + reach.count() + equal.len();
		let target = equal
			.iter()
			.filter(|(already, _)| **already < slash.fraction)
			.map(|(already, money)| {
				let fraction = Ratio::new(
					BigUint::from(slash.fraction - already),
					BigUint::from(BILLION - already),
				);
				floor(&(money * fraction))
			})
			.sum::<Balance>();
		let mut taken = 0;
		let leaving = self.leaving.range_mut(slash.era..).map(|(_, fund)| fund);
		for fund in std::iter::once(&mut self.pool).chain(leaving) {
			let missing = target - taken;
			taken += if missing >= fund.worth(OPERATOR) {
				fund.leave(OPERATOR)
			} else {
				fund.take(OPERATOR, missing);
				missing
			};
		}
		let (rest, base) = (target - taken, total - exact(taken));
		if rest > 0 {
			let leaving = self
				.leaving
				.range_mut(slash.era..)
				.map(|(_, fund)| &mut fund.money);
			for money in [&mut self.pool.money, &mut self.stream]
				.into_iter()
				.chain(leaving)
			{
				let part = floor(&(&*money * exact(rest) / &base));
				*money -= exact(part);
				taken += part;
			}
		}
		let fraction = f64::from(slash.fraction) / f64::from(BILLION);
		self.margins.slash(fraction, parts as f64, share);
		taken
	}

	/// By how much the sum of a slash may differ.
	fn slash_margin(&self) -> f64 {
		self.margins.all() + 4.0 + self.leaving.len() as f64
	}

	/// Follows the pallet in what hangs on whether there is anything at all: a pool or position that is
	/// worth next to nothing here is nothing there, or the reverse. Returns what goes with it.
	fn settle(
		&mut self,
		era: EraIndex,
		before: &BTreeMap<EraIndex, Pool>,
		pool_before: Pool,
	) -> Balance {
		let margin = self.slash_margin();
		let next_to_nothing =
			|pool: &Pool| (pool.shares.0 / u128::from(BILLION)) as f64 + margin + 1.0;
		let mut specks = 0;
		let pool = Pools::<Test>::get(account(OPERATOR));
		if Streams::<Test>::get(account(OPERATOR)).amount == 0 && size(&self.stream) > margin {
			assert!(
				size(&self.pool.money) <= next_to_nothing(&pool_before),
				"the stream is gone"
			);
			self.end_stream();
		}
		if pool.generation != pool_before.generation {
			assert!(
				size(&self.pool.money) <= next_to_nothing(&pool_before),
				"the pool has ended"
			);
			assert!(size(&self.stream) <= margin + 1.0, "the stream has ended");
			specks += floor(&(&self.pool.money + &self.stream));
			self.pool = Fund::default();
			self.stream = exact(0);
			self.until = 0;
			let moved = std::mem::take(&mut self.margins.staked);
			for (who, moved) in moved {
				self.margins.left(who).widen(moved.over, moved.under);
			}
		}
		let own = Positions::<Test>::get(account(OPERATOR), account(OPERATOR)).unwrap_or_default();
		match (
			own.shares_in(&pool).is_zero(),
			self.pool.is_owned_by(OPERATOR),
		) {
			(true, true) => {
				assert!(
					self.pool.worth(OPERATOR) as f64 <= margin,
					"the operator's stake is gone"
				);
				specks += self.pool.leave(OPERATOR);
				self.margins.leave(OPERATOR, &self.pool);
			},
			(false, false) => {
				assert!(
					own.value_in(&pool) as f64 <= margin,
					"the operator's stake is back"
				);
				self.pool.join(OPERATOR, 1);
				self.margins.staked(OPERATOR).widen(1.0, 1.0);
			},
			_ => (),
		}
		for (era, fund) in self.leaving.range_mut(era..) {
			let after = UnbondingPools::<Test>::get(account(OPERATOR), era).unwrap_or_default();
			if after.shares.is_zero() {
				let allowed = before.get(era).map_or(margin, next_to_nothing);
				assert!(size(&fund.money) <= allowed, "what left in {era} has ended");
				specks += floor(&fund.money);
				*fund = Fund::default();
			}
		}
		specks
	}

	fn is_in_reach(&self, era: EraIndex) -> bool {
		self.offences
			.range(..=era)
			.any(|(_, offence)| offence.waiting.is_some())
	}

	fn withdraw(&mut self, who: u8) {
		let due: Vec<EraIndex> = self
			.leaving
			.keys()
			.copied()
			.filter(|era| era + UNBONDING_ERAS <= self.era && !self.is_in_reach(*era))
			.collect();
		for era in due {
			self.leave_leaving(who, era, None);
		}
	}

	/// Takes `amount` out of what leaves of `era`, or all of it, and makes it free.
	fn leave_leaving(&mut self, who: u8, era: EraIndex, amount: Option<Balance>) -> Balance {
		let fund = self.leaving.entry(era).or_default();
		let paid = match amount {
			Some(amount) if amount < fund.worth(who) => {
				fund.take(who, amount);
				amount
			},
			_ => fund.leave(who),
		};
		let owners: Vec<u8> = fund.parts.keys().copied().chain([who]).collect();
		for owner in owners {
			self.margins.left(owner).widen(1.0, 1.0);
		}
		*self.free.get_mut(&who).expect("all accounts are there") += paid;
		paid
	}

	fn rebond(&mut self, who: u8, taken: &[(EraIndex, Option<Balance>)], share: f64) {
		let mut sum = 0;
		for (era, amount) in taken {
			sum += self.leave_leaving(who, *era, *amount);
		}
		*self.free.get_mut(&who).expect("all accounts are there") -= sum;
		let moved = self.margins.of(who);
		self.margins.staked(who).widen(moved.over, moved.under);
		self.join(who, sum, share);
	}
}

/// How much of what is there is taken out.
#[derive(Clone, Copy, Debug)]
enum Taken {
	All,
	Exactly(Balance),
	/// Parts per thousand.
	Part(Balance),
}

impl Taken {
	fn of(self, worth: Balance) -> Amount {
		match self {
			Taken::All => Amount::All,
			Taken::Exactly(amount) => Amount::Value(amount),
			Taken::Part(part) => Amount::Value(worth / 1_000 * part),
		}
	}
}

#[derive(Clone, Debug)]
enum Step {
	/// A voter votes, or the operator stakes more.
	Join(u8, Balance),
	Leave(u8, Taken),
	Rebond(u8, Taken),
	Withdraw(u8),
	Reward(Balance),
	Blocks(BlockNumber),
	Era,
	/// An offence so many eras ago, of so many billionths.
	Offence(EraIndex, u32),
	Apply,
	Cancel,
	Retire,
	Reactivate,
	Commission(u32),
}

fn amount() -> impl Strategy<Value = Balance> {
	prop_oneof![
		1 => 1..4u128,
		2 => (MIN_VOTE - 1)..(MIN_VOTE + 3),
		4 => MIN_VOTE..1_000 * CUC,
		4 => 1_000 * CUC..5_000_000 * CUC,
	]
}

fn taken() -> impl Strategy<Value = Taken> {
	prop_oneof![
		2 => Just(Taken::All),
		1 => amount().prop_map(Taken::Exactly),
		3 => (1..1_001u128).prop_map(Taken::Part),
	]
}

fn fraction() -> impl Strategy<Value = u32> {
	prop_oneof![
		6 => 1..BILLION / 5,
		3 => BILLION / 5..BILLION,
		1 => BILLION - 3..=BILLION,
	]
}

fn who() -> impl Strategy<Value = u8> {
	prop::sample::select(&ACCOUNTS[..])
}

fn step() -> impl Strategy<Value = Step> {
	prop_oneof![
		9 => (who(), amount()).prop_map(|(who, amount)| Step::Join(who, amount)),
		7 => (who(), taken()).prop_map(|(who, taken)| Step::Leave(who, taken)),
		6 => (who(), taken()).prop_map(|(who, taken)| Step::Rebond(who, taken)),
		6 => who().prop_map(Step::Withdraw),
		5 => amount().prop_map(Step::Reward),
		6 => (1..BLOCKS_PER_ERA + 5).prop_map(Step::Blocks),
		4 => (1..3u32).prop_map(Step::Blocks),
		5 => Just(Step::Era),
		2 => (0..EVIDENCE_ERAS + 2, fraction()).prop_map(|(ago, part)| Step::Offence(ago, part)),
		4 => Just(Step::Apply),
		2 => Just(Step::Cancel),
		6 => Just(Step::Reactivate),
		1 => (0..60_000_000u32).prop_map(Step::Commission),
	]
}

/// What chance alone does not bring about often enough.
fn scene() -> impl Strategy<Value = Vec<Step>> {
	prop_oneof![
		// Two slashes for one era, the second after the first was applied.
		(fraction(), fraction()).prop_map(|(one, other)| {
			let again = [Step::Era, Step::Apply, Step::Offence(1, other)];
			let end = [Step::Era, Step::Apply, Step::Reactivate];
			[vec![Step::Offence(0, one)], again.to_vec(), end.to_vec()].concat()
		}),
		// All leave, while a reward streams or not; and the operator comes back.
		(amount(), amount()).prop_map(|(reward, stake)| {
			let leave = ACCOUNTS.map(|who| Step::Leave(who, Taken::All));
			let back = [Step::Reactivate, Step::Join(OPERATOR, stake)];
			[
				vec![Step::Reward(reward), Step::Retire],
				leave.to_vec(),
				back.to_vec(),
			]
			.concat()
		}),
	]
}

/// About so many steps.
fn steps(count: impl Into<prop::collection::SizeRange>) -> impl Strategy<Value = Vec<Step>> {
	let steps = prop_oneof![
		40 => step().prop_map(|step| vec![step]),
		1 => scene(),
	];
	prop::collection::vec(steps, count).prop_map(|steps| steps.concat())
}

/// What an account has on its way out, by era.
fn leaving(who: u8) -> BTreeMap<EraIndex, Balance> {
	let mut sums = BTreeMap::new();
	for chunk in Staking::unbonding(account(who)) {
		*sums.entry(chunk.since_era).or_default() += chunk.value;
	}
	sums
}

fn position(who: u8) -> Balance {
	Staking::position(account(who), account(OPERATOR)).map_or(0, |position| position.value)
}

fn has_shares(who: u8) -> bool {
	let pool = Pools::<Test>::get(account(OPERATOR));
	Positions::<Test>::get(account(who), account(OPERATOR))
		.is_some_and(|position| position.shares_in(&pool) > Shares::ZERO)
}

/// The pallet and the model, side by side.
struct Twins {
	model: Model,
	issued: Balance,
}

impl Twins {
	fn new() -> Self {
		SlashedAway::set(0);
		Twins {
			model: Model::new(),
			issued: Balances::total_issuance(),
		}
	}

	/// What one share is worth in the pool at most.
	fn share(&self) -> f64 {
		let pool = Staking::stake_now(&account(OPERATOR)).pool;
		let value = size(&self.model.pool.money) + self.model.margins.pool().over;
		value / (pool.shares.0.max(1) as f64)
	}

	/// Takes the step in both; returns whether something happened.
	fn take(&mut self, step: Step) -> bool {
		let share = self.share();
		take_events();
		match step {
			Step::Join(who, amount) => {
				let done = if who == OPERATOR {
					Staking::stake_more(signed(who), amount)
				} else {
					Staking::vote(signed(who), account(OPERATOR), amount)
				};
				if done.is_err() {
					return false;
				}
				*self.model.free.get_mut(&who).unwrap() -= amount;
				self.model.join(who, amount, share);
			},
			Step::Leave(who, taken) => {
				let asked = taken.of(position(who));
				let done = if who == OPERATOR {
					Staking::unstake(signed(who), asked)
				} else {
					Staking::unvote(signed(who), account(OPERATOR), asked)
				};
				if done.is_err() {
					return false;
				}
				let paid = take_events()
					.into_iter()
					.find_map(|event| match event {
						Event::Unstaked { amount, .. } | Event::Unvoted { amount, .. } => {
							Some(amount)
						},
						_ => None,
					})
					.expect("the event of the call");
				if has_shares(who) {
					let Amount::Value(asked) = asked else {
						panic!("all of it was taken, and shares are left");
					};
					assert!(paid >= asked && ((paid - asked) as f64) <= share + 1.0);
					self.model.leave(who, Some(paid));
				} else {
					self.model.leave(who, None);
				}
			},
			Step::Rebond(who, taken) => {
				let before = leaving(who);
				let asked = taken.of(before.values().sum());
				if Staking::rebond(signed(who), account(OPERATOR), asked).is_err() {
					return false;
				}
				let mut missing = take_events()
					.into_iter()
					.find_map(|event| match event {
						Event::Rebonded { amount, .. } => Some(amount),
						_ => None,
					})
					.expect("the event of the call");
				let after = leaving(who);
				let mut taken = Vec::new();
				// The youngest first.
				for (era, value) in before.into_iter().rev() {
					let left = after.get(&era).copied().unwrap_or(0);
					if left == value {
						assert!(missing == 0 || value == 0, "something older was taken");
					} else if left == 0 {
						taken.push((era, None));
						missing -= value;
					} else {
						taken.push((era, Some(missing)));
						missing = 0;
					}
				}
				assert_eq!(missing, 0, "more was rebonded than was leaving");
				self.model.rebond(who, &taken, share);
			},
			Step::Withdraw(who) => {
				if Staking::withdraw(signed(who)).is_err() {
					return false;
				}
				self.model.withdraw(who);
			},
			Step::Reward(amount) => {
				let in_force = Staking::operator(account(OPERATOR)).unwrap().commission;
				let refused = Staking::reward(&account(OPERATOR), Balances::issue(amount)).is_err();
				let owned = !self.model.pool.parts.is_empty();
				assert_eq!(refused, !owned, "who is there to be rewarded");
				if refused {
					return false;
				}
				self.issued += amount;
				let commission = take_events()
					.into_iter()
					.find_map(|event| match event {
						Event::Rewarded { commission, .. } => Some(commission),
						_ => None,
					})
					.expect("the event of the reward");
				let due = in_force.mul_floor(amount);
				assert!(commission == due || (commission == 0 && due as f64 <= share + 1.0));
				let end = Streams::<Test>::get(account(OPERATOR)).until;
				self.model
					.reward(commission, amount - commission, end, share);
			},
			Step::Blocks(count) => {
				System::set_block_number(System::block_number() + u64::from(count));
				self.model.pass_blocks(count);
			},
			Step::Era => {
				let before = System::block_number();
				pass_eras(1);
				let passed = System::block_number() - before;
				self.model.pass_blocks(u32::try_from(passed).unwrap());
				self.model.era += 1;
			},
			Step::Offence(ago, fraction) => {
				let Some(era) = self.model.era.checked_sub(ago) else {
					return false;
				};
				let before = Staking::pending_slashes(None, 100);
				let least = BILLION / 100;
				<Staking as OnOffenceHandler<_, _, _>>::on_offence(
					&[OffenceDetails {
						offender: (account(OPERATOR), ()),
						reporters: vec![account(REPORTER)],
					}],
					&[Perbill::from_parts(fraction)],
					era * SESSIONS_PER_ERA,
				);
				self.model.report(era, fraction.max(least));
				return Staking::pending_slashes(None, 100) != before;
			},
			Step::Apply => return self.apply(share),
			Step::Cancel => {
				let Some(place) = self.model.queue.iter().position(Option::is_some) else {
					return false;
				};
				let id = u32::try_from(place).unwrap();
				assert_eq!(Staking::cancel_slash(RuntimeOrigin::root(), id), Ok(()));
				self.model.cancel(place);
			},
			Step::Retire => return Staking::retire(signed(OPERATOR)).is_ok(),
			Step::Reactivate => {
				let key = u32::from(OPERATOR);
				let proof = proof_now(key, OPERATOR);
				let suspended = Staking::operator(account(OPERATOR)).unwrap().suspended;
				let done = Staking::reactivate(signed(OPERATOR), worker(key), proof).is_ok();
				if done && suspended {
					self.model.come_back();
				}
				return done;
			},
			Step::Commission(parts) => {
				let rate = Perbill::from_parts(parts);
				return Staking::set_commission(signed(OPERATOR), rate).is_ok();
			},
		}
		true
	}

	/// Applies all slashes that are due, one by one.
	fn apply(&mut self, share: f64) -> bool {
		let mut applied = false;
		loop {
			let pools: BTreeMap<EraIndex, Pool> =
				UnbondingPools::<Test>::iter_prefix(account(OPERATOR)).collect();
			let pool = Staking::stake_now(&account(OPERATOR)).pool;
			let amount = loop {
				take_events();
				if Staking::apply_slashes(signed(REPORTER), 1).is_err() {
					assert_eq!(
						self.model.next_due().map(|due| due.0),
						None,
						"none was applied"
					);
					return applied;
				}
				// Places of the queue that were cancelled take a look each, too.
				let slashed = take_events().into_iter().find_map(|event| match event {
					Event::Slashed { slash, amount, .. } => Some((slash, amount)),
					_ => None,
				});
				if let Some(slashed) = slashed {
					break slashed;
				}
			};
			applied = true;
			let (place, slash, before) = self.model.next_due().expect("one is due");
			assert_eq!(u32::try_from(place), Ok(amount.0), "another was applied");
			let margin = self.model.slash_margin();
			let expected = self.model.slash(slash, &before, share);
			let specks = self.model.settle(slash.era, &pools, pool);
			let (least, most) = (
				expected as f64 - margin,
				(expected + specks) as f64 + margin,
			);
			let taken = amount.1 as f64;
			assert!(
				taken >= least - taken / 1e15 && taken <= most + taken / 1e15,
				"{taken} taken, not {least}..{most}"
			);
		}
	}

	/// Compares each account, and the sums. Returns the widest margin, in units.
	fn compare(&self) -> f64 {
		let mut widest = 0f64;
		for who in ACCOUNTS {
			let real = free(who) + position(who) + leaving(who).values().sum::<Balance>();
			let (model, places) = self.model.wealth(who);
			let margin = self.model.margins.of(who);
			let places = places.max(Unbonding::<Test>::decode_len(account(who)).unwrap_or(0) + 1);
			// The figures of both are rounded down in each place.
			let over = margin.over * 1.000_001 + places as f64;
			let under = margin.under * 1.000_001 + places as f64;
			assert!(
				real <= model || (real - model) as f64 <= over,
				"{who} has {real}, {} more than the model, of {over}",
				real - model
			);
			assert!(
				real >= model || (model - real) as f64 <= under,
				"{who} has {real}, {} less than the model, of {under}",
				model - real
			);
			widest = widest.max(over).max(under);
		}
		// To the last unit: what was issued and not burnt is with the accounts, the reporter and the pot.
		let pot = Balances::free_balance(Staking::pot());
		let there: Balance = ACCOUNTS.into_iter().map(free).sum::<Balance>() + free(REPORTER) + pot;
		assert_eq!(there, self.issued - SlashedAway::get());
		assert_eq!(there, Balances::total_issuance());
		assert_eq!(Staking::do_try_state(), Ok(()));
		widest
	}
}

fn with_twins(test: impl FnOnce(Twins)) {
	let operators = vec![genesis_operator(OPERATOR, Role::Validator, VALIDATOR_STAKE)];
	genesis(operators, Vec::new()).execute_with(|| test(Twins::new()));
}

proptest! {
	#![proptest_config(ProptestConfig::with_cases(256))]

	#[test]
	fn every_voter_gets_what_the_exact_model_says(steps in steps(1..100)) {
		with_twins(|mut twins| {
			for step in steps {
				twins.take(step);
				twins.compare();
			}
		});
	}
}

/// The property above is worth something only if its steps do get somewhere, and if its margins are
/// narrow: against stakes of 10^13 units and more.
#[test]
fn the_steps_take_effect_and_the_margins_are_narrow() {
	use proptest::{
		strategy::ValueTree,
		test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
	};
	let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
	let mut runner = TestRunner::new_with_rng(Config::default(), rng);
	let mut effects = BTreeMap::<String, u32>::new();
	let mut widths = Vec::new();
	for _ in 0..40 {
		let steps = steps(100).new_tree(&mut runner).unwrap().current();
		with_twins(|mut twins| {
			for step in steps {
				let name: String = format!("{step:?}")
					.chars()
					.take_while(|c| c.is_alphanumeric())
					.collect();
				*effects.entry(name).or_default() += u32::from(twins.take(step));
				widths.push(twins.compare());
			}
		});
	}
	assert_eq!(effects.len(), 13, "{effects:?}");
	for (name, count) in &effects {
		assert!(
			*count >= 15,
			"{name} took effect only {count} times: {effects:?}"
		);
	}
	widths.sort_by(f64::total_cmp);
	let at = |percent: usize| widths[widths.len() * percent / 100];
	println!(
		"{effects:?}; margins: {} {} {} {}",
		at(50),
		at(75),
		at(90),
		at(99)
	);
	assert!(at(50) < 1e3, "half of the margins are above {}", at(50));
	assert!(at(90) < 1e6, "a tenth of the margins is above {}", at(90));
}
