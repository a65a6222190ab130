//! What the calls cost, as measured. **Generated** by `scripts/weights`: do not edit.
//!
//! A weight is the time of computing on the machine below, and the reads and writes of storage, which
//! the runtime's database prices. The benchmarks, and what is the worst case of each call, are in
//! `benchmarking.rs`. The account that signs is in no call's counts: the weight of an empty extrinsic has
//! it. What the staking pallet reads and writes to pay an operator is in them, also what it does once a
//! block only.
//!
//! | | |
//! |---|---|
//! | tool | frame-benchmarking-cli 64.0.0 |
//! | date | 2026-11-23 |
//! | processor | AMD EPYC |
//! | steps, repeats | 50, 20 |
//!
//! Raised by hand since, until they are measured anew: a claim of leaves reads and writes the reserve, that
//! of a voucher writes the settlement, and a report finds twice as many offences.

use core::marker::PhantomData;
use frame_support::{
	traits::Get,
	weights::{constants::RocksDbWeight, Weight},
};

/// What the calls cost, and what else the pallet does in a block.
pub trait WeightInfo {
	/// What `open_channel` costs.
	fn open_channel() -> Weight;
	/// What `top_up` costs.
	fn top_up() -> Weight;
	/// What `redeem` costs.
	fn redeem() -> Weight;
	/// What `close_channel` costs.
	fn close_channel() -> Weight;
	/// What `finish_close` costs.
	fn finish_close() -> Weight;
	/// What `fund_reserve` costs.
	fn fund_reserve() -> Weight;
	/// What `withdraw_reserve` costs.
	fn withdraw_reserve() -> Weight;
	/// What `allot` costs.
	fn allot() -> Weight;
	/// What `release_allotment` costs.
	fn release_allotment() -> Weight;
	/// What `settle_era` costs.
	fn settle_era() -> Weight;
	/// What `claim` costs, with `l` from 1 to 64.
	fn claim(l: u32) -> Weight;
	/// What `claim_voucher` costs.
	fn claim_voucher() -> Weight;
	/// What `report_short` costs.
	fn report_short() -> Weight;
	/// What `clean` costs, with `c` from 1 to 1024.
	fn clean(c: u32) -> Weight;
	/// What `set_split` costs.
	fn set_split() -> Weight;
}

/// Weights by the database of the runtime `T`.
pub struct SubstrateWeight<T>(PhantomData<T>);

impl<T: frame_system::Config> WeightInfo for SubstrateWeight<T> {
	// Storage: `Staking::Operators` (r:1 w:0)
	// Proof: `Staking::Operators` (`max_values`: None, `max_size`: Some(138), added: 2613, mode: `MaxEncodedLen`)
	// Storage: `System::Account` (r:2 w:2)
	// Proof: `System::Account` (`max_values`: None, `max_size`: Some(128), added: 2603, mode: `MaxEncodedLen`)
	// Storage: `Settlement::Held` (r:1 w:1)
	// Proof: `Settlement::Held` (`max_values`: Some(1), `max_size`: Some(16), added: 511, mode: `MaxEncodedLen`)
	// Storage: `Settlement::NextChannel` (r:1 w:1)
	// Proof: `Settlement::NextChannel` (`max_values`: Some(1), `max_size`: Some(8), added: 503, mode: `MaxEncodedLen`)
	// Storage: `Settlement::Channels` (r:0 w:1)
	// Proof: `Settlement::Channels` (`max_values`: None, `max_size`: Some(165), added: 2640, mode: `MaxEncodedLen`)
	fn open_channel() -> Weight {
		// Proof size in bytes:
		//  measured:  `925`
		//  estimated: `6196`
		// Shortest run: 78_387_000 picoseconds.
		Weight::from_parts(119_928_000, 6_196)
			.saturating_add(T::DbWeight::get().reads(5))
			.saturating_add(T::DbWeight::get().writes(5))
	}

	// Storage: `Settlement::Channels` (r:1 w:1)
	// Proof: `Settlement::Channels` (`max_values`: None, `max_size`: Some(165), added: 2640, mode: `MaxEncodedLen`)
	// Storage: `System::Account` (r:2 w:2)
	// Proof: `System::Account` (`max_values`: None, `max_size`: Some(128), added: 2603, mode: `MaxEncodedLen`)
	// Storage: `Settlement::Held` (r:1 w:1)
	// Proof: `Settlement::Held` (`max_values`: Some(1), `max_size`: Some(16), added: 511, mode: `MaxEncodedLen`)
	fn top_up() -> Weight {
		// Proof size in bytes:
		//  measured:  `534`
		//  estimated: `6196`
		// Shortest run: 68_682_000 picoseconds.
		Weight::from_parts(83_063_000, 6_196)
			.saturating_add(T::DbWeight::get().reads(4))
			.saturating_add(T::DbWeight::get().writes(4))
	}

	// Storage: `Settlement::Channels` (r:1 w:1)
	// Proof: `Settlement::Channels` (`max_values`: None, `max_size`: Some(165), added: 2640, mode: `MaxEncodedLen`)
	// Storage: `System::BlockHash` (r:1 w:0)
	// Proof: `System::BlockHash` (`max_values`: None, `max_size`: Some(44), added: 2519, mode: `MaxEncodedLen`)
	// Storage: `Settlement::Reserves` (r:1 w:1)
	// Proof: `Settlement::Reserves` (`max_values`: None, `max_size`: Some(96), added: 2571, mode: `MaxEncodedLen`)
	// Storage: `Settlement::Held` (r:1 w:1)
	// Proof: `Settlement::Held` (`max_values`: Some(1), `max_size`: Some(16), added: 511, mode: `MaxEncodedLen`)
	// Storage: `System::Account` (r:1 w:1)
	// Proof: `System::Account` (`max_values`: None, `max_size`: Some(128), added: 2603, mode: `MaxEncodedLen`)
	fn redeem() -> Weight {
		// Proof size in bytes:
		//  measured:  `609`
		//  estimated: `3630`
		// Shortest run: 113_699_000 picoseconds.
		Weight::from_parts(142_612_000, 3_630)
			.saturating_add(T::DbWeight::get().reads(5))
			.saturating_add(T::DbWeight::get().writes(4))
	}

	// Storage: `Settlement::Channels` (r:1 w:1)
	// Proof: `Settlement::Channels` (`max_values`: None, `max_size`: Some(165), added: 2640, mode: `MaxEncodedLen`)
	// Storage: `System::Account` (r:2 w:2)
	// Proof: `System::Account` (`max_values`: None, `max_size`: Some(128), added: 2603, mode: `MaxEncodedLen`)
	// Storage: `Settlement::Held` (r:1 w:1)
	// Proof: `Settlement::Held` (`max_values`: Some(1), `max_size`: Some(16), added: 511, mode: `MaxEncodedLen`)
	fn close_channel() -> Weight {
		// Proof size in bytes:
		//  measured:  `534`
		//  estimated: `6196`
		// Shortest run: 72_387_000 picoseconds.
		Weight::from_parts(116_463_000, 6_196)
			.saturating_add(T::DbWeight::get().reads(4))
			.saturating_add(T::DbWeight::get().writes(4))
	}

	// Storage: `Settlement::Channels` (r:1 w:1)
	// Proof: `Settlement::Channels` (`max_values`: None, `max_size`: Some(165), added: 2640, mode: `MaxEncodedLen`)
	// Storage: `System::Account` (r:2 w:2)
	// Proof: `System::Account` (`max_values`: None, `max_size`: Some(128), added: 2603, mode: `MaxEncodedLen`)
	// Storage: `Settlement::Held` (r:1 w:1)
	// Proof: `Settlement::Held` (`max_values`: Some(1), `max_size`: Some(16), added: 511, mode: `MaxEncodedLen`)
	fn finish_close() -> Weight {
		// Proof size in bytes:
		//  measured:  `538`
		//  estimated: `6196`
		// Shortest run: 68_572_000 picoseconds.
		Weight::from_parts(81_792_000, 6_196)
			.saturating_add(T::DbWeight::get().reads(4))
			.saturating_add(T::DbWeight::get().writes(4))
	}

	// Storage: `Staking::Operators` (r:1 w:0)
	// Proof: `Staking::Operators` (`max_values`: None, `max_size`: Some(138), added: 2613, mode: `MaxEncodedLen`)
	// Storage: `System::Account` (r:2 w:2)
	// Proof: `System::Account` (`max_values`: None, `max_size`: Some(128), added: 2603, mode: `MaxEncodedLen`)
	// Storage: `Settlement::Held` (r:1 w:1)
	// Proof: `Settlement::Held` (`max_values`: Some(1), `max_size`: Some(16), added: 511, mode: `MaxEncodedLen`)
	// Storage: `Settlement::Reserves` (r:1 w:1)
	// Proof: `Settlement::Reserves` (`max_values`: None, `max_size`: Some(96), added: 2571, mode: `MaxEncodedLen`)
	fn fund_reserve() -> Weight {
		// Proof size in bytes:
		//  measured:  `1152`
		//  estimated: `6196`
		// Shortest run: 99_027_000 picoseconds.
		Weight::from_parts(150_774_000, 6_196)
			.saturating_add(T::DbWeight::get().reads(5))
			.saturating_add(T::DbWeight::get().writes(4))
	}

	// Storage: `Settlement::Reserves` (r:1 w:1)
	// Proof: `Settlement::Reserves` (`max_values`: None, `max_size`: Some(96), added: 2571, mode: `MaxEncodedLen`)
	// Storage: `System::Account` (r:2 w:2)
	// Proof: `System::Account` (`max_values`: None, `max_size`: Some(128), added: 2603, mode: `MaxEncodedLen`)
	// Storage: `Settlement::Held` (r:1 w:1)
	// Proof: `Settlement::Held` (`max_values`: Some(1), `max_size`: Some(16), added: 511, mode: `MaxEncodedLen`)
	fn withdraw_reserve() -> Weight {
		// Proof size in bytes:
		//  measured:  `513`
		//  estimated: `6196`
		// Shortest run: 66_028_000 picoseconds.
		Weight::from_parts(76_764_000, 6_196)
			.saturating_add(T::DbWeight::get().reads(4))
			.saturating_add(T::DbWeight::get().writes(4))
	}

	// Storage: `Staking::CurrentEra` (r:1 w:0)
	// Proof: `Staking::CurrentEra` (`max_values`: Some(1), `max_size`: Some(4), added: 499, mode: `MaxEncodedLen`)
	// Storage: `Settlement::Allotments` (r:1 w:1)
	// Proof: `Settlement::Allotments` (`max_values`: None, `max_size`: Some(1419), added: 3894, mode: `MaxEncodedLen`)
	// Storage: `Staking::Operators` (r:1 w:0)
	// Proof: `Staking::Operators` (`max_values`: None, `max_size`: Some(138), added: 2613, mode: `MaxEncodedLen`)
	// Storage: `Settlement::Reserves` (r:1 w:1)
	// Proof: `Settlement::Reserves` (`max_values`: None, `max_size`: Some(96), added: 2571, mode: `MaxEncodedLen`)
	fn allot() -> Weight {
		// Proof size in bytes:
		//  measured:  `1298`
		//  estimated: `4884`
		// Shortest run: 42_122_000 picoseconds.
		Weight::from_parts(52_287_000, 4_884)
			.saturating_add(T::DbWeight::get().reads(4))
			.saturating_add(T::DbWeight::get().writes(2))
	}

	// Storage: `Settlement::Allotments` (r:1 w:1)
	// Proof: `Settlement::Allotments` (`max_values`: None, `max_size`: Some(1419), added: 3894, mode: `MaxEncodedLen`)
	// Storage: `Staking::CurrentEra` (r:1 w:0)
	// Proof: `Staking::CurrentEra` (`max_values`: Some(1), `max_size`: Some(4), added: 499, mode: `MaxEncodedLen`)
	// Storage: `Settlement::Reserves` (r:1 w:1)
	// Proof: `Settlement::Reserves` (`max_values`: None, `max_size`: Some(96), added: 2571, mode: `MaxEncodedLen`)
	// Storage: `Settlement::Held` (r:1 w:1)
	// Proof: `Settlement::Held` (`max_values`: Some(1), `max_size`: Some(16), added: 511, mode: `MaxEncodedLen`)
	// Storage: `System::Account` (r:1 w:1)
	// Proof: `System::Account` (`max_values`: None, `max_size`: Some(128), added: 2603, mode: `MaxEncodedLen`)
	fn release_allotment() -> Weight {
		// Proof size in bytes:
		//  measured:  `1240`
		//  estimated: `4884`
		// Shortest run: 64_406_000 picoseconds.
		Weight::from_parts(76_704_000, 4_884)
			.saturating_add(T::DbWeight::get().reads(5))
			.saturating_add(T::DbWeight::get().writes(4))
	}

	// Storage: `Staking::CurrentEra` (r:1 w:0)
	// Proof: `Staking::CurrentEra` (`max_values`: Some(1), `max_size`: Some(4), added: 499, mode: `MaxEncodedLen`)
	// Storage: `Settlement::Settlements` (r:1 w:1)
	// Proof: `Settlement::Settlements` (`max_values`: None, `max_size`: Some(148), added: 2623, mode: `MaxEncodedLen`)
	// Storage: `Settlement::SplitParameters` (r:1 w:0)
	// Proof: `Settlement::SplitParameters` (`max_values`: Some(1), `max_size`: Some(24), added: 519, mode: `MaxEncodedLen`)
	// Storage: `Settlement::Reserves` (r:1 w:1)
	// Proof: `Settlement::Reserves` (`max_values`: None, `max_size`: Some(96), added: 2571, mode: `MaxEncodedLen`)
	// Storage: `Settlement::Held` (r:1 w:1)
	// Proof: `Settlement::Held` (`max_values`: Some(1), `max_size`: Some(16), added: 511, mode: `MaxEncodedLen`)
	// Storage: `System::Account` (r:3 w:3)
	// Proof: `System::Account` (`max_values`: None, `max_size`: Some(128), added: 2603, mode: `MaxEncodedLen`)
	// Storage: `Staking::Operators` (r:1 w:1)
	// Proof: `Staking::Operators` (`max_values`: None, `max_size`: Some(138), added: 2613, mode: `MaxEncodedLen`)
	// Storage: `Staking::Pools` (r:1 w:1)
	// Proof: `Staking::Pools` (`max_values`: None, `max_size`: Some(84), added: 2559, mode: `MaxEncodedLen`)
	// Storage: `Staking::Streams` (r:1 w:1)
	// Proof: `Staking::Streams` (`max_values`: None, `max_size`: Some(72), added: 2547, mode: `MaxEncodedLen`)
	// Storage: `Staking::Positions` (r:1 w:1)
	// Proof: `Staking::Positions` (`max_values`: None, `max_size`: Some(116), added: 2591, mode: `MaxEncodedLen`)
	// Storage: `Staking::RoleParameters` (r:1 w:0)
	// Proof: `Staking::RoleParameters` (`max_values`: None, `max_size`: Some(29), added: 2504, mode: `MaxEncodedLen`)
	// Storage: `Staking::Totals` (r:1 w:1)
	// Proof: `Staking::Totals` (`max_values`: None, `max_size`: Some(29), added: 2504, mode: `MaxEncodedLen`)
	// Storage: `Staking::Held` (r:1 w:1)
	// Proof: `Staking::Held` (`max_values`: Some(1), `max_size`: Some(16), added: 511, mode: `MaxEncodedLen`)
	// Storage: `Staking::ByStake` (r:0 w:2)
	// Proof: `Staking::ByStake` (`max_values`: None, `max_size`: Some(49), added: 2524, mode: `MaxEncodedLen`)
	fn settle_era() -> Weight {
		// Proof size in bytes:
		//  measured:  `2154`
		//  estimated: `8799`
		// Shortest run: 172_346_000 picoseconds.
		Weight::from_parts(268_609_000, 8_799)
			.saturating_add(T::DbWeight::get().reads(15))
			.saturating_add(T::DbWeight::get().writes(14))
	}

	// Storage: `Staking::CurrentEra` (r:1 w:0)
	// Proof: `Staking::CurrentEra` (`max_values`: Some(1), `max_size`: Some(4), added: 499, mode: `MaxEncodedLen`)
	// Storage: `Settlement::Settlements` (r:1 w:1)
	// Proof: `Settlement::Settlements` (`max_values`: None, `max_size`: Some(148), added: 2623, mode: `MaxEncodedLen`)
	// Storage: `System::BlockHash` (r:1 w:0)
	// Proof: `System::BlockHash` (`max_values`: None, `max_size`: Some(44), added: 2519, mode: `MaxEncodedLen`)
	// Storage: `Settlement::ClaimedLeaves` (r:64 w:64)
	// Proof: `Settlement::ClaimedLeaves` (`max_values`: None, `max_size`: Some(200), added: 2675, mode: `MaxEncodedLen`)
	// Storage: `Settlement::Allotments` (r:64 w:64)
	// Proof: `Settlement::Allotments` (`max_values`: None, `max_size`: Some(1419), added: 3894, mode: `MaxEncodedLen`)
	// Storage: `Settlement::Held` (r:1 w:1)
	// Proof: `Settlement::Held` (`max_values`: Some(1), `max_size`: Some(16), added: 511, mode: `MaxEncodedLen`)
	// Storage: `System::Account` (r:2 w:2)
	// Proof: `System::Account` (`max_values`: None, `max_size`: Some(128), added: 2603, mode: `MaxEncodedLen`)
	// Storage: `Staking::Operators` (r:64 w:64)
	// Proof: `Staking::Operators` (`max_values`: None, `max_size`: Some(138), added: 2613, mode: `MaxEncodedLen`)
	// Storage: `Staking::Pools` (r:64 w:64)
	// Proof: `Staking::Pools` (`max_values`: None, `max_size`: Some(84), added: 2559, mode: `MaxEncodedLen`)
	// Storage: `Staking::Streams` (r:64 w:64)
	// Proof: `Staking::Streams` (`max_values`: None, `max_size`: Some(72), added: 2547, mode: `MaxEncodedLen`)
	// Storage: `Staking::Positions` (r:64 w:64)
	// Proof: `Staking::Positions` (`max_values`: None, `max_size`: Some(116), added: 2591, mode: `MaxEncodedLen`)
	// Storage: `Staking::RoleParameters` (r:1 w:0)
	// Proof: `Staking::RoleParameters` (`max_values`: None, `max_size`: Some(29), added: 2504, mode: `MaxEncodedLen`)
	// Storage: `Staking::Totals` (r:1 w:1)
	// Proof: `Staking::Totals` (`max_values`: None, `max_size`: Some(29), added: 2504, mode: `MaxEncodedLen`)
	// Storage: `Staking::Held` (r:1 w:1)
	// Proof: `Staking::Held` (`max_values`: Some(1), `max_size`: Some(16), added: 511, mode: `MaxEncodedLen`)
	fn claim(l: u32) -> Weight {
		// Proof size in bytes:
		//  measured:  `2225 + l * 544`
		//  estimated: `6196 + l * 3894`
		// Shortest run: 240_146_000 picoseconds.
		Weight::from_parts(743_368_784, 6_196)
			// Standard error: 1_585_050
			.saturating_add(Weight::from_parts(130_596_368, 0).saturating_mul(l.into()))
			.saturating_add(T::DbWeight::get().reads(10))
			.saturating_add(T::DbWeight::get().reads(6).saturating_mul(l.into()))
			.saturating_add(T::DbWeight::get().writes(7))
			.saturating_add(T::DbWeight::get().writes(6).saturating_mul(l.into()))
			.saturating_add(Weight::from_parts(0, 3_894).saturating_mul(l.into()))
	}

	// Storage: `Staking::CurrentEra` (r:1 w:0)
	// Proof: `Staking::CurrentEra` (`max_values`: Some(1), `max_size`: Some(4), added: 499, mode: `MaxEncodedLen`)
	// Storage: `Settlement::Allotments` (r:1 w:1)
	// Proof: `Settlement::Allotments` (`max_values`: None, `max_size`: Some(1419), added: 3894, mode: `MaxEncodedLen`)
	// Storage: `Staking::WorkerOwners` (r:1 w:0)
	// Proof: `Staking::WorkerOwners` (`max_values`: None, `max_size`: Some(93), added: 2568, mode: `MaxEncodedLen`)
	// Storage: `System::BlockHash` (r:1 w:0)
	// Proof: `System::BlockHash` (`max_values`: None, `max_size`: Some(44), added: 2519, mode: `MaxEncodedLen`)
	// Storage: `Settlement::Settlements` (r:1 w:0)
	// Proof: `Settlement::Settlements` (`max_values`: None, `max_size`: Some(148), added: 2623, mode: `MaxEncodedLen`)
	// Storage: `Settlement::SplitParameters` (r:1 w:0)
	// Proof: `Settlement::SplitParameters` (`max_values`: Some(1), `max_size`: Some(24), added: 519, mode: `MaxEncodedLen`)
	// Storage: `Settlement::Held` (r:1 w:1)
	// Proof: `Settlement::Held` (`max_values`: Some(1), `max_size`: Some(16), added: 511, mode: `MaxEncodedLen`)
	// Storage: `System::Account` (r:2 w:2)
	// Proof: `System::Account` (`max_values`: None, `max_size`: Some(128), added: 2603, mode: `MaxEncodedLen`)
	// Storage: `Staking::Operators` (r:1 w:1)
	// Proof: `Staking::Operators` (`max_values`: None, `max_size`: Some(138), added: 2613, mode: `MaxEncodedLen`)
	// Storage: `Staking::Pools` (r:1 w:1)
	// Proof: `Staking::Pools` (`max_values`: None, `max_size`: Some(84), added: 2559, mode: `MaxEncodedLen`)
	// Storage: `Staking::Streams` (r:1 w:1)
	// Proof: `Staking::Streams` (`max_values`: None, `max_size`: Some(72), added: 2547, mode: `MaxEncodedLen`)
	// Storage: `Staking::Positions` (r:1 w:1)
	// Proof: `Staking::Positions` (`max_values`: None, `max_size`: Some(116), added: 2591, mode: `MaxEncodedLen`)
	// Storage: `Staking::RoleParameters` (r:1 w:0)
	// Proof: `Staking::RoleParameters` (`max_values`: None, `max_size`: Some(29), added: 2504, mode: `MaxEncodedLen`)
	// Storage: `Staking::Totals` (r:1 w:1)
	// Proof: `Staking::Totals` (`max_values`: None, `max_size`: Some(29), added: 2504, mode: `MaxEncodedLen`)
	// Storage: `Staking::Held` (r:1 w:1)
	// Proof: `Staking::Held` (`max_values`: Some(1), `max_size`: Some(16), added: 511, mode: `MaxEncodedLen`)
	// Storage: `Settlement::Reserves` (r:1 w:1)
	// Proof: `Settlement::Reserves` (`max_values`: None, `max_size`: Some(96), added: 2571, mode: `MaxEncodedLen`)
	fn claim_voucher() -> Weight {
		// Proof size in bytes:
		//  measured:  `2955`
		//  estimated: `6196`
		// Shortest run: 248_880_000 picoseconds.
		Weight::from_parts(285_607_000, 6_196)
			.saturating_add(T::DbWeight::get().reads(17))
			.saturating_add(T::DbWeight::get().writes(12))
	}

	// Storage: `Staking::CurrentEra` (r:1 w:0)
	// Proof: `Staking::CurrentEra` (`max_values`: Some(1), `max_size`: Some(4), added: 499, mode: `MaxEncodedLen`)
	// Storage: `Settlement::Settlements` (r:1 w:0)
	// Proof: `Settlement::Settlements` (`max_values`: None, `max_size`: Some(148), added: 2623, mode: `MaxEncodedLen`)
	// Storage: `Staking::WorkerOwners` (r:1 w:0)
	// Proof: `Staking::WorkerOwners` (`max_values`: None, `max_size`: Some(93), added: 2568, mode: `MaxEncodedLen`)
	// Storage: `System::BlockHash` (r:1 w:0)
	// Proof: `System::BlockHash` (`max_values`: None, `max_size`: Some(44), added: 2519, mode: `MaxEncodedLen`)
	// Storage: `Staking::Operators` (r:1 w:1)
	// Proof: `Staking::Operators` (`max_values`: None, `max_size`: Some(138), added: 2613, mode: `MaxEncodedLen`)
	// Storage: `Staking::RoleParameters` (r:1 w:0)
	// Proof: `Staking::RoleParameters` (`max_values`: None, `max_size`: Some(29), added: 2504, mode: `MaxEncodedLen`)
	// Storage: `Staking::Offences` (r:1 w:1)
	// Proof: `Staking::Offences` (`max_values`: None, `max_size`: Some(35762), added: 38237, mode: `MaxEncodedLen`)
	// Storage: `Staking::SlashQueue` (r:1 w:1)
	// Proof: `Staking::SlashQueue` (`max_values`: Some(1), `max_size`: Some(8), added: 503, mode: `MaxEncodedLen`)
	// Storage: `Staking::Pools` (r:1 w:1)
	// Proof: `Staking::Pools` (`max_values`: None, `max_size`: Some(84), added: 2559, mode: `MaxEncodedLen`)
	// Storage: `Staking::Streams` (r:1 w:1)
	// Proof: `Staking::Streams` (`max_values`: None, `max_size`: Some(72), added: 2547, mode: `MaxEncodedLen`)
	// Storage: `Staking::Totals` (r:1 w:1)
	// Proof: `Staking::Totals` (`max_values`: None, `max_size`: Some(29), added: 2504, mode: `MaxEncodedLen`)
	// Storage: `Staking::ByStake` (r:0 w:1)
	// Proof: `Staking::ByStake` (`max_values`: None, `max_size`: Some(49), added: 2524, mode: `MaxEncodedLen`)
	// Storage: `Staking::Slashes` (r:0 w:1)
	// Proof: `Staking::Slashes` (`max_values`: None, `max_size`: Some(122), added: 2597, mode: `MaxEncodedLen`)
	fn report_short() -> Weight {
		// Proof size in bytes:
		//  measured:  `1793`
		//  estimated: `38075`
		// Shortest run: 200_488_000 picoseconds.
		Weight::from_parts(272_511_000, 38_075)
			.saturating_add(T::DbWeight::get().reads(11))
			.saturating_add(T::DbWeight::get().writes(8))
	}

	// Storage: `Settlement::Settlements` (r:1 w:1)
	// Proof: `Settlement::Settlements` (`max_values`: None, `max_size`: Some(148), added: 2623, mode: `MaxEncodedLen`)
	// Storage: `Staking::CurrentEra` (r:1 w:0)
	// Proof: `Staking::CurrentEra` (`max_values`: Some(1), `max_size`: Some(4), added: 499, mode: `MaxEncodedLen`)
	// Storage: `Settlement::Reserves` (r:1 w:1)
	// Proof: `Settlement::Reserves` (`max_values`: None, `max_size`: Some(96), added: 2571, mode: `MaxEncodedLen`)
	// Storage: `Settlement::Held` (r:1 w:1)
	// Proof: `Settlement::Held` (`max_values`: Some(1), `max_size`: Some(16), added: 511, mode: `MaxEncodedLen`)
	// Storage: `System::Account` (r:1 w:1)
	// Proof: `System::Account` (`max_values`: None, `max_size`: Some(128), added: 2603, mode: `MaxEncodedLen`)
	// Storage: `Settlement::ClaimedLeaves` (r:0 w:1023)
	// Proof: `Settlement::ClaimedLeaves` (`max_values`: None, `max_size`: Some(200), added: 2675, mode: `MaxEncodedLen`)
	fn clean(c: u32) -> Weight {
		// Proof size in bytes:
		//  measured:  `896`
		//  estimated: `3613`
		// Shortest run: 96_894_000 picoseconds.
		Weight::from_parts(15_407_645, 3_613)
			// Standard error: 37_803
			.saturating_add(Weight::from_parts(5_539_182, 0).saturating_mul(c.into()))
			.saturating_add(T::DbWeight::get().reads(5))
			.saturating_add(T::DbWeight::get().writes(4))
			.saturating_add(T::DbWeight::get().writes(1).saturating_mul(c.into()))
	}

	// Storage: `Settlement::SplitParameters` (r:0 w:1)
	// Proof: `Settlement::SplitParameters` (`max_values`: Some(1), `max_size`: Some(24), added: 519, mode: `MaxEncodedLen`)
	fn set_split() -> Weight {
		// Proof size in bytes:
		//  measured:  `0`
		//  estimated: `0`
		// Shortest run: 4_807_000 picoseconds.
		Weight::from_parts(5_488_000, 0).saturating_add(T::DbWeight::get().writes(1))
	}
}

/// For the tests of runtimes with another database.
impl WeightInfo for () {
	fn open_channel() -> Weight {
		Weight::from_parts(119_928_000, 6_196)
			.saturating_add(RocksDbWeight::get().reads(5))
			.saturating_add(RocksDbWeight::get().writes(5))
	}

	fn top_up() -> Weight {
		Weight::from_parts(83_063_000, 6_196)
			.saturating_add(RocksDbWeight::get().reads(4))
			.saturating_add(RocksDbWeight::get().writes(4))
	}

	fn redeem() -> Weight {
		Weight::from_parts(142_612_000, 3_630)
			.saturating_add(RocksDbWeight::get().reads(5))
			.saturating_add(RocksDbWeight::get().writes(4))
	}

	fn close_channel() -> Weight {
		Weight::from_parts(116_463_000, 6_196)
			.saturating_add(RocksDbWeight::get().reads(4))
			.saturating_add(RocksDbWeight::get().writes(4))
	}

	fn finish_close() -> Weight {
		Weight::from_parts(81_792_000, 6_196)
			.saturating_add(RocksDbWeight::get().reads(4))
			.saturating_add(RocksDbWeight::get().writes(4))
	}

	fn fund_reserve() -> Weight {
		Weight::from_parts(150_774_000, 6_196)
			.saturating_add(RocksDbWeight::get().reads(5))
			.saturating_add(RocksDbWeight::get().writes(4))
	}

	fn withdraw_reserve() -> Weight {
		Weight::from_parts(76_764_000, 6_196)
			.saturating_add(RocksDbWeight::get().reads(4))
			.saturating_add(RocksDbWeight::get().writes(4))
	}

	fn allot() -> Weight {
		Weight::from_parts(52_287_000, 4_884)
			.saturating_add(RocksDbWeight::get().reads(4))
			.saturating_add(RocksDbWeight::get().writes(2))
	}

	fn release_allotment() -> Weight {
		Weight::from_parts(76_704_000, 4_884)
			.saturating_add(RocksDbWeight::get().reads(5))
			.saturating_add(RocksDbWeight::get().writes(4))
	}

	fn settle_era() -> Weight {
		Weight::from_parts(268_609_000, 8_799)
			.saturating_add(RocksDbWeight::get().reads(15))
			.saturating_add(RocksDbWeight::get().writes(14))
	}

	fn claim(l: u32) -> Weight {
		Weight::from_parts(743_368_784, 6_196)
			.saturating_add(Weight::from_parts(130_596_368, 0).saturating_mul(l.into()))
			.saturating_add(RocksDbWeight::get().reads(10))
			.saturating_add(RocksDbWeight::get().reads(6).saturating_mul(l.into()))
			.saturating_add(RocksDbWeight::get().writes(7))
			.saturating_add(RocksDbWeight::get().writes(6).saturating_mul(l.into()))
			.saturating_add(Weight::from_parts(0, 3_894).saturating_mul(l.into()))
	}

	fn claim_voucher() -> Weight {
		Weight::from_parts(285_607_000, 6_196)
			.saturating_add(RocksDbWeight::get().reads(17))
			.saturating_add(RocksDbWeight::get().writes(12))
	}

	fn report_short() -> Weight {
		Weight::from_parts(272_511_000, 38_075)
			.saturating_add(RocksDbWeight::get().reads(11))
			.saturating_add(RocksDbWeight::get().writes(8))
	}

	fn clean(c: u32) -> Weight {
		Weight::from_parts(15_407_645, 3_613)
			.saturating_add(Weight::from_parts(5_539_182, 0).saturating_mul(c.into()))
			.saturating_add(RocksDbWeight::get().reads(5))
			.saturating_add(RocksDbWeight::get().writes(4))
			.saturating_add(RocksDbWeight::get().writes(1).saturating_mul(c.into()))
	}

	fn set_split() -> Weight {
		Weight::from_parts(5_488_000, 0).saturating_add(RocksDbWeight::get().writes(1))
	}
}
