//! The rules once more: plain numbers in plain maps, without anything of the pallet's arithmetic.

use cuckoo_primitives::{Balance, EraIndex};
use sp_runtime::Perbill;
use std::collections::{BTreeMap, BTreeSet};

use crate::{mock::*, SplitParams};

/// A channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Channel {
	pub app: u8,
	pub coordinator: u8,
	pub deposit: Balance,
	pub redeemed: Balance,
	pub until: Option<u32>,
}

/// A reserve: balance, what is allotted of it, what is owed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reserve {
	pub balance: Balance,
	pub allotted: Balance,
	pub owed: Balance,
}

/// An allotment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Allotment {
	pub amount: Balance,
	pub since: EraIndex,
	pub lowering: Option<(Balance, EraIndex)>,
	pub paid: BTreeMap<EraIndex, Balance>,
}

/// A settled era.
#[derive(Clone, Debug)]
pub struct Settlement {
	pub owed: Vec<(u8, Balance)>,
	pub marked: BTreeSet<usize>,
	pub claimed: Balance,
	pub by_voucher: Balance,
	pub emission: Balance,
}

impl Settlement {
	/// What miners got beyond what was settled.
	fn beyond(&self) -> Balance {
		(self.claimed + self.by_voucher).saturating_sub(self.total())
	}

	pub fn total(&self) -> Balance {
		self.owed.iter().map(|(_, amount)| amount).sum()
	}
}

/// Everything.
#[derive(Clone, Debug, Default)]
pub struct Model {
	pub era: EraIndex,
	pub block: u32,
	pub params: SplitParams,
	pub free: BTreeMap<u8, Balance>,
	pub pools: BTreeMap<u8, Balance>,
	pub channels: Vec<Option<Channel>>,
	pub reserves: BTreeMap<u8, Reserve>,
	pub allotments: BTreeMap<(u8, u8), Allotment>,
	pub settlements: BTreeMap<(u8, EraIndex), Settlement>,
	pub reported: BTreeSet<(u8, EraIndex)>,
	pub issuance: Balance,
}

/// Whether a call goes through.
type Done = Option<()>;

fn require(condition: bool) -> Done {
	condition.then_some(())
}

fn part(of: Balance, part: Perbill) -> Balance {
	of * Balance::from(part.deconstruct()) / 1_000_000_000
}

impl Model {
	/// What the pot owes.
	pub fn held(&self) -> Balance {
		let channels = self
			.channels
			.iter()
			.flatten()
			.map(|channel| channel.deposit - channel.redeemed + BOND);
		let reserves = self.reserves.values().map(|reserve| reserve.balance);
		let settlements = self.settlements.values().map(|s| s.total() - s.claimed);
		channels.chain(reserves).chain(settlements).sum()
	}

	fn pay(&mut self, who: u8, amount: Balance) -> Done {
		let free = self.free.get_mut(&who)?;
		require(*free >= amount + DEPOSIT)?;
		*free -= amount;
		Some(())
	}

	fn settle_owed(&mut self, coordinator: u8) {
		let reserve = self.reserves.entry(coordinator).or_default();
		let paid = reserve.owed.min(reserve.balance - reserve.allotted);
		reserve.owed -= paid;
		reserve.balance -= paid;
		self.issuance -= paid;
	}

	fn fee(&self, miners: Balance) -> Balance {
		let part = Balance::from(self.params.miner.deconstruct());
		(miners * 1_000_000_000).div_ceil(part)
	}

	/// What is owed for so much that miners got beyond what was settled.
	fn levy(&self, more: Balance) -> Balance {
		let fee = self.fee(more);
		fee - more - part(fee, self.params.coordinator)
	}

	pub fn open(&mut self, app: u8, coordinator: u8, amount: Balance) -> Done {
		require(amount >= MIN_DEPOSIT)?;
		require(!self.reported.iter().any(|(who, _)| *who == coordinator))?;
		self.pay(app, amount + BOND)?;
		self.channels.push(Some(Channel {
			app,
			coordinator,
			deposit: amount,
			redeemed: 0,
			until: None,
		}));
		Some(())
	}

	fn channel(&self, number: usize) -> Option<Channel> {
		self.channels.get(number).cloned().flatten()
	}

	pub fn top_up(&mut self, app: u8, number: usize, amount: Balance) -> Done {
		let channel = self.channel(number)?;
		require(amount >= MIN_DEPOSIT && channel.app == app && channel.until.is_none())?;
		self.pay(app, amount)?;
		self.channels[number].as_mut()?.deposit += amount;
		Some(())
	}

	pub fn redeem(&mut self, number: usize, cumulative: Balance) -> Done {
		let channel = self.channel(number)?;
		require(channel.until.is_none_or(|until| self.block <= until))?;
		require(cumulative > channel.redeemed && cumulative <= channel.deposit)?;
		self.channels[number].as_mut()?.redeemed = cumulative;
		let reserve = self.reserves.entry(channel.coordinator).or_default();
		reserve.balance += cumulative - channel.redeemed;
		self.settle_owed(channel.coordinator);
		Some(())
	}

	pub fn close(&mut self, who: u8, number: usize) -> Done {
		let channel = self.channel(number)?;
		if who == channel.coordinator {
			return self.end(number);
		}
		require(who == channel.app && channel.until.is_none())?;
		self.channels[number].as_mut()?.until = Some(self.block + CHALLENGE_BLOCKS);
		Some(())
	}

	pub fn finish(&mut self, number: usize) -> Done {
		let until = self.channel(number)?.until?;
		require(self.block > until)?;
		self.end(number)
	}

	fn end(&mut self, number: usize) -> Done {
		let channel = self.channels.get_mut(number)?.take()?;
		*self.free.get_mut(&channel.app)? += channel.deposit - channel.redeemed + BOND;
		Some(())
	}

	pub fn fund(&mut self, coordinator: u8, amount: Balance) -> Done {
		require(amount > 0)?;
		self.pay(coordinator, amount)?;
		self.reserves.entry(coordinator).or_default().balance += amount;
		self.settle_owed(coordinator);
		Some(())
	}

	pub fn withdraw(&mut self, coordinator: u8, amount: Balance) -> Done {
		require(amount > 0)?;
		let reserve = self.reserves.get_mut(&coordinator)?;
		require(amount <= reserve.balance - reserve.allotted)?;
		reserve.balance -= amount;
		*self.free.get_mut(&coordinator)? += amount;
		Some(())
	}

	pub fn allot(&mut self, coordinator: u8, miner: u8, amount: Balance) -> Done {
		require(amount == 0 || amount >= MIN_ALLOTMENT)?;
		let key = (coordinator, miner);
		require(amount > 0 || self.allotments.contains_key(&key))?;
		let present = self.allotments.get(&key).map_or(0, |a| a.amount);
		if amount >= present {
			let more = amount - present;
			let reserve = self.reserves.entry(coordinator).or_default();
			require(more <= reserve.balance - reserve.allotted)?;
			reserve.allotted += more;
		}
		let (era, since) = (self.era, self.era);
		let allotment = self.allotments.entry(key).or_insert(Allotment {
			since,
			..Default::default()
		});
		if amount >= present {
			allotment.amount = amount;
			allotment.lowering = None;
		} else {
			allotment.lowering = Some((amount, era + CLAIM_ERAS + 2));
		}
		Some(())
	}

	pub fn release(&mut self, coordinator: u8, miner: u8) -> Done {
		let (era, key) = (self.era, (coordinator, miner));
		let mut allotment = self.allotments.get(&key)?.clone();
		allotment.paid.retain(|paid, _| paid + CLAIM_ERAS >= era);
		let mut freed = 0;
		let due = allotment.lowering.filter(|(_, due)| era >= *due);
		if let Some((target, _)) = due {
			freed = allotment.amount - allotment.amount.min(target);
			allotment.amount -= freed;
			allotment.lowering = None;
		}
		let done = allotment.amount == 0 && allotment.paid.is_empty();
		require(due.is_some() || done)?;
		if done {
			self.allotments.remove(&key);
		} else {
			self.allotments.insert(key, allotment);
		}
		self.reserves.entry(coordinator).or_default().allotted -= freed;
		self.settle_owed(coordinator);
		Some(())
	}

	pub fn settle(&mut self, coordinator: u8, era: EraIndex, owed: &[(u8, Balance)]) -> Done {
		require(era < self.era && self.era <= era + POST_ERAS)?;
		require(!self.settlements.contains_key(&(coordinator, era)))?;
		let miners: Balance = owed.iter().map(|(_, amount)| amount).sum();
		let fee = self.fee(miners);
		let reserve = self.reserves.get_mut(&coordinator)?;
		require(fee <= reserve.balance - reserve.allotted)?;
		reserve.balance -= fee;
		let own = part(fee, self.params.coordinator);
		let audit = part(fee, self.params.audit);
		let issued = part(fee, self.params.coordinator_emission);
		*self.pools.get_mut(&coordinator)? += own + issued;
		*self.free.get_mut(&FUND)? += audit;
		self.issuance = self.issuance + issued - (fee - miners - own - audit);
		let settlement = Settlement {
			owed: owed.to_vec(),
			marked: BTreeSet::new(),
			claimed: 0,
			by_voucher: 0,
			emission: part(fee, self.params.miner_emission),
		};
		self.settlements.insert((coordinator, era), settlement);
		Some(())
	}

	pub fn claim(&mut self, coordinator: u8, era: EraIndex, indices: &[usize]) -> Done {
		require(self.era <= era + CLAIM_ERAS)?;
		let now = self.era;
		let mut settlement = self.settlements.get(&(coordinator, era))?.clone();
		require(!indices.is_empty() && indices.iter().all(|i| *i < settlement.owed.len()))?;
		let (mut any, mut restored) = (false, 0);
		let (beyond, total) = (settlement.beyond(), settlement.total());
		for index in indices {
			if !settlement.marked.insert(*index) {
				continue;
			}
			let (miner, amount) = settlement.owed[*index];
			let mut allotment = self.allotments.get_mut(&(coordinator, miner));
			let before = allotment
				.as_ref()
				.and_then(|a| a.paid.get(&era).copied())
				.unwrap_or(0);
			// The miner has this by a voucher: it goes back to where that took it from.
			let covered = amount.min(before);
			restored += covered;
			settlement.claimed += amount;
			settlement.by_voucher -= covered;
			let issued = settlement.emission * amount / total;
			*self.pools.get_mut(&miner)? += amount - covered + issued;
			self.issuance += issued;
			if let Some(allotment) = &mut allotment {
				allotment.amount += covered;
				if amount > covered {
					allotment.paid.retain(|paid, _| paid + CLAIM_ERAS >= now);
					*allotment.paid.entry(era).or_default() += amount - covered;
				}
			}
			any = true;
		}
		let levy = self.levy(settlement.beyond() - beyond);
		self.settlements.insert((coordinator, era), settlement);
		let reserve = self.reserves.entry(coordinator).or_default();
		reserve.balance += restored;
		reserve.allotted += restored;
		reserve.owed += levy;
		self.settle_owed(coordinator);
		require(any)
	}

	pub fn claim_voucher(
		&mut self,
		coordinator: u8,
		miner: u8,
		era: EraIndex,
		cumulative: Balance,
	) -> Done {
		require(self.era > era + POST_ERAS && self.era <= era + CLAIM_ERAS)?;
		let now = self.era;
		let allotment = self.allotments.get_mut(&(coordinator, miner))?;
		require(allotment.since <= era)?;
		let before = allotment.paid.get(&era).copied().unwrap_or(0);
		require(cumulative > before)?;
		let amount = (cumulative - before).min(allotment.amount);
		require(amount > 0)?;
		allotment.amount -= amount;
		allotment.paid.retain(|paid, _| paid + CLAIM_ERAS >= now);
		*allotment.paid.entry(era).or_default() += amount;
		let more = match self.settlements.get_mut(&(coordinator, era)) {
			Some(settlement) => {
				let beyond = settlement.beyond();
				settlement.by_voucher += amount;
				settlement.beyond() - beyond
			},
			None => amount,
		};
		let levy = self.levy(more);
		let reserve = self.reserves.get_mut(&coordinator)?;
		reserve.balance -= amount;
		reserve.allotted -= amount;
		reserve.owed += levy;
		*self.pools.get_mut(&miner)? += amount;
		self.settle_owed(coordinator);
		Some(())
	}

	pub fn report(&mut self, coordinator: u8, miner: u8, era: EraIndex, signed: Balance) -> Done {
		require(self.era <= era + CLAIM_ERAS)?;
		let settlement = self.settlements.get(&(coordinator, era))?;
		let posted = settlement
			.owed
			.iter()
			.find(|(who, _)| *who == miner)
			.map_or(0, |(_, amount)| *amount);
		require(signed > posted)?;
		// One of this era or of an earlier one has all in its reach.
		let mut before = self.reported.iter();
		require(!before.any(|(who, other)| *who == coordinator && *other <= era))?;
		require(self.reported.insert((coordinator, era)))
	}

	pub fn clean(&mut self, coordinator: u8, era: EraIndex, limit: u32) -> Done {
		require(limit > 0 && self.era > era + CLAIM_ERAS)?;
		let settlement = self.settlements.remove(&(coordinator, era))?;
		let reserve = self.reserves.entry(coordinator).or_default();
		reserve.balance += settlement.total() - settlement.claimed;
		self.settle_owed(coordinator);
		Some(())
	}
}
