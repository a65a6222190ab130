//! What the calls cost, as measured. **Generated** by `scripts/weights`: do not edit.
//!
//! A weight is the time of computing on the machine below, and the reads and writes of storage, which
//! the runtime's database prices. The benchmarks, and what is the worst case of each call, are in
//! `benchmarking.rs`. Two things are in no call's counts:
//!
//! - what a block reads and writes once, however many calls it has: the pot's account, what the pot
//!   holds, the roles' totals and parameters, the era. Every block pays for it by `hot_storage`;
//! - the account that signs, which the weight of an empty extrinsic has.
//!
//! | | |
//! |---|---|
//! | tool | frame-benchmarking-cli 64.0.0 |
//! | date | 2026-11-22 |
//! | processor | AMD EPYC |
//! | steps, repeats | 50, 20 |
//!
//! Raised by hand since, until they are measured anew: letting go of a worker reads its record, coming
//! back into service writes the offences, and there may be twice as many of those.

use core::marker::PhantomData;
use frame_support::{
	traits::Get,
	weights::{constants::RocksDbWeight, Weight},
};

/// What the calls cost, and what else the pallet does in a block.
pub trait WeightInfo {
	/// What `hot_storage` costs.
	fn hot_storage() -> Weight;
	/// What `register` costs.
	fn register() -> Weight;
	/// What `set_worker` costs.
	fn set_worker() -> Weight;
	/// What `set_introduction` costs.
	fn set_introduction() -> Weight;
	/// What `set_commission` costs.
	fn set_commission() -> Weight;
	/// What `stake_more` costs.
	fn stake_more() -> Weight;
	/// What `unstake` costs.
	fn unstake() -> Weight;
	/// What `retire` costs.
	fn retire() -> Weight;
	/// What `reactivate` costs.
	fn reactivate() -> Weight;
	/// What `vote` costs.
	fn vote() -> Weight;
	/// What `unvote` costs.
	fn unvote() -> Weight;
	/// What `rebond` costs, with `c` from 1 to 64.
	fn rebond(c: u32) -> Weight;
	/// What `withdraw` costs, with `c` from 1 to 64.
	fn withdraw(c: u32) -> Weight;
	/// What `report_equivocation` costs.
	fn report_equivocation() -> Weight;
	/// What `cancel_slash` costs.
	fn cancel_slash() -> Weight;
	/// What `apply_slashes` costs, with `s` from 1 to 4.
	fn apply_slashes(s: u32) -> Weight;
	/// What `set_role_params` costs.
	fn set_role_params() -> Weight;
	/// What `set_validator_params` costs.
	fn set_validator_params() -> Weight;
	/// What `recount` costs, with `o` from 0 to 100.
	fn recount(o: u32) -> Weight;
	/// What `reward` costs.
	fn reward() -> Weight;
}

/// Weights by the database of the runtime `T`.
pub struct SubstrateWeight<T>(PhantomData<T>);

impl<T: frame_system::Config> WeightInfo for SubstrateWeight<T> {
	// Storage: `System::Account` (r:1 w:1)
	// Proof: `System::Account` (`max_values`: None, `max_size`: Some(128), added: 2603, mode: `MaxEncodedLen`)
	// Storage: `Staking::Held` (r:1 w:1)
	// Proof: `Staking::Held` (`max_values`: Some(1), `max_size`: Some(16), added: 511, mode: `MaxEncodedLen`)
	// Storage: `Staking::CurrentEra` (r:1 w:0)
	// Proof: `Staking::CurrentEra` (`max_values`: Some(1), `max_size`: Some(4), added: 499, mode: `MaxEncodedLen`)
	// Storage: `Staking::RoleParameters` (r:3 w:0)
	// Proof: `Staking::RoleParameters` (`max_values`: None, `max_size`: Some(29), added: 2504, mode: `MaxEncodedLen`)
	// Storage: `Staking::Totals` (r:3 w:3)
	// Proof: `Staking::Totals` (`max_values`: None, `max_size`: Some(29), added: 2504, mode: `MaxEncodedLen`)
	// Storage: `Staking::AuthoredBlocks` (r:1 w:1)
	// Proof: `Staking::AuthoredBlocks` (`max_values`: None, `max_size`: Some(44), added: 2519, mode: `MaxEncodedLen`)
	fn hot_storage() -> Weight {
		// Proof size in bytes:
		//  measured:  `772`
		//  estimated: `8502`
		// Shortest run: 54_641_000 picoseconds.
		Weight::from_parts(57_595_000, 8_502)
			.saturating_add(T::DbWeight::get().reads(10))
			.saturating_add(T::DbWeight::get().writes(6))
	}

	// Storage: `Staking::Operators` (r:1 w:1)
	// Proof: `Staking::Operators` (`max_values`: None, `max_size`: Some(138), added: 2613, mode: `MaxEncodedLen`)
	// Storage: `Staking::Pools` (r:1 w:1)
	// Proof: `Staking::Pools` (`max_values`: None, `max_size`: Some(84), added: 2559, mode: `MaxEncodedLen`)
	// Storage: `Staking::Offences` (r:1 w:0)
	// Proof: `Staking::Offences` (`max_values`: None, `max_size`: Some(35762), added: 38237, mode: `MaxEncodedLen`)
	// Storage: `System::BlockHash` (r:1 w:0)
	// Proof: `System::BlockHash` (`max_values`: None, `max_size`: Some(44), added: 2519, mode: `MaxEncodedLen`)
	// Storage: `Staking::WorkerNonces` (r:1 w:1)
	// Proof: `Staking::WorkerNonces` (`max_values`: None, `max_size`: Some(52), added: 2527, mode: `MaxEncodedLen`)
	// Storage: `Staking::ReleasedWorkers` (r:2 w:2)
	// Proof: `Staking::ReleasedWorkers` (`max_values`: None, `max_size`: Some(561), added: 3036, mode: `MaxEncodedLen`)
	// Storage: `Staking::WorkerOwners` (r:17 w:17)
	// Proof: `Staking::WorkerOwners` (`max_values`: None, `max_size`: Some(93), added: 2568, mode: `MaxEncodedLen`)
	// Storage: `Staking::Streams` (r:1 w:0)
	// Proof: `Staking::Streams` (`max_values`: None, `max_size`: Some(72), added: 2547, mode: `MaxEncodedLen`)
	// Storage: `Staking::Positions` (r:1 w:1)
	// Proof: `Staking::Positions` (`max_values`: None, `max_size`: Some(116), added: 2591, mode: `MaxEncodedLen`)
	// Storage: `Staking::ByStake` (r:0 w:1)
	// Proof: `Staking::ByStake` (`max_values`: None, `max_size`: Some(49), added: 2524, mode: `MaxEncodedLen`)
	// Storage: `Staking::Introductions` (r:0 w:1)
	// Proof: `Staking::Introductions` (`max_values`: None, `max_size`: Some(725), added: 3200, mode: `MaxEncodedLen`)
	// Storage: `Staking::RoleMembers` (r:0 w:2)
	// Proof: `Staking::RoleMembers` (`max_values`: None, `max_size`: Some(57), added: 2532, mode: `MaxEncodedLen`)
	fn register() -> Weight {
		// Proof size in bytes:
		//  measured:  `11789`
		//  estimated: `44510`
		// Shortest run: 310_181_000 picoseconds.
		Weight::from_parts(354_016_000, 44_646)
			.saturating_add(T::DbWeight::get().reads(26))
			.saturating_add(T::DbWeight::get().writes(28))
	}

	// Storage: `Staking::Operators` (r:1 w:1)
	// Proof: `Staking::Operators` (`max_values`: None, `max_size`: Some(138), added: 2613, mode: `MaxEncodedLen`)
	// Storage: `System::BlockHash` (r:1 w:0)
	// Proof: `System::BlockHash` (`max_values`: None, `max_size`: Some(44), added: 2519, mode: `MaxEncodedLen`)
	// Storage: `Staking::WorkerNonces` (r:1 w:1)
	// Proof: `Staking::WorkerNonces` (`max_values`: None, `max_size`: Some(52), added: 2527, mode: `MaxEncodedLen`)
	// Storage: `Staking::ReleasedWorkers` (r:2 w:2)
	// Proof: `Staking::ReleasedWorkers` (`max_values`: None, `max_size`: Some(561), added: 3036, mode: `MaxEncodedLen`)
	// Storage: `Staking::WorkerOwners` (r:16 w:17)
	// Proof: `Staking::WorkerOwners` (`max_values`: None, `max_size`: Some(93), added: 2568, mode: `MaxEncodedLen`)
	fn set_worker() -> Weight {
		// Proof size in bytes:
		//  measured:  `3845`
		//  estimated: `41950`
		// Shortest run: 198_064_000 picoseconds.
		Weight::from_parts(221_221_000, 44_646)
			.saturating_add(T::DbWeight::get().reads(22))
			.saturating_add(T::DbWeight::get().writes(21))
	}

	// Storage: `Staking::Operators` (r:1 w:0)
	// Proof: `Staking::Operators` (`max_values`: None, `max_size`: Some(138), added: 2613, mode: `MaxEncodedLen`)
	// Storage: `Staking::Introductions` (r:0 w:1)
	// Proof: `Staking::Introductions` (`max_values`: None, `max_size`: Some(725), added: 3200, mode: `MaxEncodedLen`)
	fn set_introduction() -> Weight {
		// Proof size in bytes:
		//  measured:  `251`
		//  estimated: `3603`
		// Shortest run: 18_587_000 picoseconds.
		Weight::from_parts(20_511_000, 3_603)
			.saturating_add(T::DbWeight::get().reads(1))
			.saturating_add(T::DbWeight::get().writes(1))
	}

	// Storage: `Staking::Operators` (r:1 w:1)
	// Proof: `Staking::Operators` (`max_values`: None, `max_size`: Some(138), added: 2613, mode: `MaxEncodedLen`)
	fn set_commission() -> Weight {
		// Proof size in bytes:
		//  measured:  `259`
		//  estimated: `3603`
		// Shortest run: 16_605_000 picoseconds.
		Weight::from_parts(18_427_000, 3_603)
			.saturating_add(T::DbWeight::get().reads(1))
			.saturating_add(T::DbWeight::get().writes(1))
	}

	// Storage: `Staking::Operators` (r:1 w:1)
	// Proof: `Staking::Operators` (`max_values`: None, `max_size`: Some(138), added: 2613, mode: `MaxEncodedLen`)
	// Storage: `Staking::Pools` (r:1 w:1)
	// Proof: `Staking::Pools` (`max_values`: None, `max_size`: Some(84), added: 2559, mode: `MaxEncodedLen`)
	// Storage: `Staking::Streams` (r:1 w:1)
	// Proof: `Staking::Streams` (`max_values`: None, `max_size`: Some(72), added: 2547, mode: `MaxEncodedLen`)
	// Storage: `Staking::Positions` (r:1 w:1)
	// Proof: `Staking::Positions` (`max_values`: None, `max_size`: Some(116), added: 2591, mode: `MaxEncodedLen`)
	// Storage: `Staking::ByStake` (r:0 w:2)
	// Proof: `Staking::ByStake` (`max_values`: None, `max_size`: Some(49), added: 2524, mode: `MaxEncodedLen`)
	fn stake_more() -> Weight {
		// Proof size in bytes:
		//  measured:  `959`
		//  estimated: `3603`
		// Shortest run: 101_010_000 picoseconds.
		Weight::from_parts(104_685_000, 3_603)
			.saturating_add(T::DbWeight::get().reads(4))
			.saturating_add(T::DbWeight::get().writes(6))
	}

	// Storage: `Staking::Operators` (r:1 w:1)
	// Proof: `Staking::Operators` (`max_values`: None, `max_size`: Some(138), added: 2613, mode: `MaxEncodedLen`)
	// Storage: `Staking::Pools` (r:1 w:1)
	// Proof: `Staking::Pools` (`max_values`: None, `max_size`: Some(84), added: 2559, mode: `MaxEncodedLen`)
	// Storage: `Staking::Streams` (r:1 w:1)
	// Proof: `Staking::Streams` (`max_values`: None, `max_size`: Some(72), added: 2547, mode: `MaxEncodedLen`)
	// Storage: `Staking::Positions` (r:1 w:1)
	// Proof: `Staking::Positions` (`max_values`: None, `max_size`: Some(116), added: 2591, mode: `MaxEncodedLen`)
	// Storage: `Staking::UnbondingPools` (r:1 w:1)
	// Proof: `Staking::UnbondingPools` (`max_values`: None, `max_size`: Some(96), added: 2571, mode: `MaxEncodedLen`)
	// Storage: `Staking::Unbonding` (r:1 w:1)
	// Proof: `Staking::Unbonding` (`max_values`: None, `max_size`: Some(3634), added: 6109, mode: `MaxEncodedLen`)
	// Storage: `Staking::ByStake` (r:0 w:2)
	// Proof: `Staking::ByStake` (`max_values`: None, `max_size`: Some(49), added: 2524, mode: `MaxEncodedLen`)
	fn unstake() -> Weight {
		// Proof size in bytes:
		//  measured:  `4726`
		//  estimated: `7099`
		// Shortest run: 77_415_000 picoseconds.
		Weight::from_parts(82_653_000, 7_099)
			.saturating_add(T::DbWeight::get().reads(6))
			.saturating_add(T::DbWeight::get().writes(8))
	}

	// Storage: `Staking::Operators` (r:1 w:1)
	// Proof: `Staking::Operators` (`max_values`: None, `max_size`: Some(138), added: 2613, mode: `MaxEncodedLen`)
	// Storage: `Staking::Pools` (r:1 w:1)
	// Proof: `Staking::Pools` (`max_values`: None, `max_size`: Some(84), added: 2559, mode: `MaxEncodedLen`)
	// Storage: `Staking::Streams` (r:1 w:1)
	// Proof: `Staking::Streams` (`max_values`: None, `max_size`: Some(72), added: 2547, mode: `MaxEncodedLen`)
	// Storage: `Staking::ReleasedWorkers` (r:1 w:1)
	// Proof: `Staking::ReleasedWorkers` (`max_values`: None, `max_size`: Some(561), added: 3036, mode: `MaxEncodedLen`)
	// Storage: `Staking::ByStake` (r:0 w:1)
	// Proof: `Staking::ByStake` (`max_values`: None, `max_size`: Some(49), added: 2524, mode: `MaxEncodedLen`)
	// Storage: `Staking::WorkerOwners` (r:0 w:1)
	// Proof: `Staking::WorkerOwners` (`max_values`: None, `max_size`: Some(93), added: 2568, mode: `MaxEncodedLen`)
	fn retire() -> Weight {
		// Proof size in bytes:
		//  measured:  `1271`
		//  estimated: `4026`
		// Shortest run: 53_630_000 picoseconds.
		Weight::from_parts(61_744_000, 4_026)
			.saturating_add(T::DbWeight::get().reads(5))
			.saturating_add(T::DbWeight::get().writes(6))
	}

	// Storage: `Staking::Operators` (r:1 w:1)
	// Proof: `Staking::Operators` (`max_values`: None, `max_size`: Some(138), added: 2613, mode: `MaxEncodedLen`)
	// Storage: `Staking::Offences` (r:1 w:0)
	// Proof: `Staking::Offences` (`max_values`: None, `max_size`: Some(35762), added: 38237, mode: `MaxEncodedLen`)
	// Storage: `System::BlockHash` (r:1 w:0)
	// Proof: `System::BlockHash` (`max_values`: None, `max_size`: Some(44), added: 2519, mode: `MaxEncodedLen`)
	// Storage: `Staking::WorkerNonces` (r:1 w:1)
	// Proof: `Staking::WorkerNonces` (`max_values`: None, `max_size`: Some(52), added: 2527, mode: `MaxEncodedLen`)
	// Storage: `Staking::ReleasedWorkers` (r:2 w:2)
	// Proof: `Staking::ReleasedWorkers` (`max_values`: None, `max_size`: Some(561), added: 3036, mode: `MaxEncodedLen`)
	// Storage: `Staking::WorkerOwners` (r:17 w:17)
	// Proof: `Staking::WorkerOwners` (`max_values`: None, `max_size`: Some(93), added: 2568, mode: `MaxEncodedLen`)
	// Storage: `Staking::Pools` (r:1 w:1)
	// Proof: `Staking::Pools` (`max_values`: None, `max_size`: Some(84), added: 2559, mode: `MaxEncodedLen`)
	// Storage: `Staking::Streams` (r:1 w:1)
	// Proof: `Staking::Streams` (`max_values`: None, `max_size`: Some(72), added: 2547, mode: `MaxEncodedLen`)
	// Storage: `Staking::Positions` (r:1 w:0)
	// Proof: `Staking::Positions` (`max_values`: None, `max_size`: Some(116), added: 2591, mode: `MaxEncodedLen`)
	// Storage: `Staking::ByStake` (r:0 w:1)
	// Proof: `Staking::ByStake` (`max_values`: None, `max_size`: Some(49), added: 2524, mode: `MaxEncodedLen`)
	fn reactivate() -> Weight {
		// Proof size in bytes:
		//  measured:  `11845`
		//  estimated: `44510`
		// Shortest run: 245_064_000 picoseconds.
		Weight::from_parts(283_604_000, 47_214)
			.saturating_add(T::DbWeight::get().reads(27))
			.saturating_add(T::DbWeight::get().writes(25))
	}

	// Storage: `Staking::Operators` (r:1 w:1)
	// Proof: `Staking::Operators` (`max_values`: None, `max_size`: Some(138), added: 2613, mode: `MaxEncodedLen`)
	// Storage: `Staking::Pools` (r:1 w:1)
	// Proof: `Staking::Pools` (`max_values`: None, `max_size`: Some(84), added: 2559, mode: `MaxEncodedLen`)
	// Storage: `Staking::Streams` (r:1 w:1)
	// Proof: `Staking::Streams` (`max_values`: None, `max_size`: Some(72), added: 2547, mode: `MaxEncodedLen`)
	// Storage: `Staking::Positions` (r:2 w:1)
	// Proof: `Staking::Positions` (`max_values`: None, `max_size`: Some(116), added: 2591, mode: `MaxEncodedLen`)
	// Storage: `Staking::ByStake` (r:0 w:2)
	// Proof: `Staking::ByStake` (`max_values`: None, `max_size`: Some(49), added: 2524, mode: `MaxEncodedLen`)
	fn vote() -> Weight {
		// Proof size in bytes:
		//  measured:  `1047`
		//  estimated: `6172`
		// Shortest run: 103_894_000 picoseconds.
		Weight::from_parts(108_221_000, 6_172)
			.saturating_add(T::DbWeight::get().reads(5))
			.saturating_add(T::DbWeight::get().writes(6))
	}

	// Storage: `Staking::Operators` (r:1 w:1)
	// Proof: `Staking::Operators` (`max_values`: None, `max_size`: Some(138), added: 2613, mode: `MaxEncodedLen`)
	// Storage: `Staking::Pools` (r:1 w:1)
	// Proof: `Staking::Pools` (`max_values`: None, `max_size`: Some(84), added: 2559, mode: `MaxEncodedLen`)
	// Storage: `Staking::Streams` (r:1 w:1)
	// Proof: `Staking::Streams` (`max_values`: None, `max_size`: Some(72), added: 2547, mode: `MaxEncodedLen`)
	// Storage: `Staking::Positions` (r:2 w:1)
	// Proof: `Staking::Positions` (`max_values`: None, `max_size`: Some(116), added: 2591, mode: `MaxEncodedLen`)
	// Storage: `Staking::UnbondingPools` (r:1 w:1)
	// Proof: `Staking::UnbondingPools` (`max_values`: None, `max_size`: Some(96), added: 2571, mode: `MaxEncodedLen`)
	// Storage: `Staking::Unbonding` (r:1 w:1)
	// Proof: `Staking::Unbonding` (`max_values`: None, `max_size`: Some(3634), added: 6109, mode: `MaxEncodedLen`)
	// Storage: `Staking::ByStake` (r:0 w:2)
	// Proof: `Staking::ByStake` (`max_values`: None, `max_size`: Some(49), added: 2524, mode: `MaxEncodedLen`)
	fn unvote() -> Weight {
		// Proof size in bytes:
		//  measured:  `4848`
		//  estimated: `7099`
		// Shortest run: 79_378_000 picoseconds.
		Weight::from_parts(85_678_000, 7_099)
			.saturating_add(T::DbWeight::get().reads(7))
			.saturating_add(T::DbWeight::get().writes(8))
	}

	// Storage: `Staking::Operators` (r:1 w:1)
	// Proof: `Staking::Operators` (`max_values`: None, `max_size`: Some(138), added: 2613, mode: `MaxEncodedLen`)
	// Storage: `Staking::Pools` (r:1 w:1)
	// Proof: `Staking::Pools` (`max_values`: None, `max_size`: Some(84), added: 2559, mode: `MaxEncodedLen`)
	// Storage: `Staking::Streams` (r:1 w:1)
	// Proof: `Staking::Streams` (`max_values`: None, `max_size`: Some(72), added: 2547, mode: `MaxEncodedLen`)
	// Storage: `Staking::Unbonding` (r:1 w:1)
	// Proof: `Staking::Unbonding` (`max_values`: None, `max_size`: Some(3634), added: 6109, mode: `MaxEncodedLen`)
	// Storage: `Staking::UnbondingPools` (r:64 w:64)
	// Proof: `Staking::UnbondingPools` (`max_values`: None, `max_size`: Some(96), added: 2571, mode: `MaxEncodedLen`)
	// Storage: `Staking::Positions` (r:2 w:1)
	// Proof: `Staking::Positions` (`max_values`: None, `max_size`: Some(116), added: 2591, mode: `MaxEncodedLen`)
	// Storage: `Staking::ByStake` (r:0 w:2)
	// Proof: `Staking::ByStake` (`max_values`: None, `max_size`: Some(49), added: 2524, mode: `MaxEncodedLen`)
	fn rebond(c: u32) -> Weight {
		// Proof size in bytes:
		//  measured:  `1279 + c * 103`
		//  estimated: `7099 + c * 2571`
		// Shortest run: 80_089_000 picoseconds.
		Weight::from_parts(79_625_370, 7_099)
			// Standard error: 61_104
			.saturating_add(Weight::from_parts(10_221_656, 0).saturating_mul(c.into()))
			.saturating_add(T::DbWeight::get().reads(6))
			.saturating_add(T::DbWeight::get().reads(1).saturating_mul(c.into()))
			.saturating_add(T::DbWeight::get().writes(7))
			.saturating_add(T::DbWeight::get().writes(1).saturating_mul(c.into()))
			.saturating_add(Weight::from_parts(0, 2_571).saturating_mul(c.into()))
	}

	// Storage: `Staking::Unbonding` (r:1 w:1)
	// Proof: `Staking::Unbonding` (`max_values`: None, `max_size`: Some(3634), added: 6109, mode: `MaxEncodedLen`)
	// Storage: `Staking::Offences` (r:64 w:0)
	// Proof: `Staking::Offences` (`max_values`: None, `max_size`: Some(35762), added: 38237, mode: `MaxEncodedLen`)
	// Storage: `Staking::UnbondingPools` (r:64 w:64)
	// Proof: `Staking::UnbondingPools` (`max_values`: None, `max_size`: Some(96), added: 2571, mode: `MaxEncodedLen`)
	fn withdraw(c: u32) -> Weight {
		// Proof size in bytes:
		//  measured:  `7285 + c * 239`
		//  estimated: `7099 + c * 37085`
		// Shortest run: 83_373_000 picoseconds.
		Weight::from_parts(61_466_542, 7_099)
			// Standard error: 61_192
			.saturating_add(Weight::from_parts(29_568_427, 0).saturating_mul(c.into()))
			.saturating_add(T::DbWeight::get().reads(1))
			.saturating_add(T::DbWeight::get().reads(2).saturating_mul(c.into()))
			.saturating_add(T::DbWeight::get().writes(1))
			.saturating_add(T::DbWeight::get().writes(1).saturating_mul(c.into()))
			.saturating_add(Weight::from_parts(0, 38_237).saturating_mul(c.into()))
	}

	// Storage: `System::BlockHash` (r:1 w:0)
	// Proof: `System::BlockHash` (`max_values`: None, `max_size`: Some(44), added: 2519, mode: `MaxEncodedLen`)
	// Storage: `Staking::WorkerOwners` (r:2 w:0)
	// Proof: `Staking::WorkerOwners` (`max_values`: None, `max_size`: Some(93), added: 2568, mode: `MaxEncodedLen`)
	// Storage: `Staking::Operators` (r:1 w:1)
	// Proof: `Staking::Operators` (`max_values`: None, `max_size`: Some(138), added: 2613, mode: `MaxEncodedLen`)
	// Storage: `Staking::RecentEras` (r:1 w:0)
	// Proof: `Staking::RecentEras` (`max_values`: Some(1), `max_size`: Some(1538), added: 2033, mode: `MaxEncodedLen`)
	// Storage: `Staking::Offences` (r:1 w:1)
	// Proof: `Staking::Offences` (`max_values`: None, `max_size`: Some(35762), added: 38237, mode: `MaxEncodedLen`)
	// Storage: `Staking::Slashes` (r:1 w:2)
	// Proof: `Staking::Slashes` (`max_values`: None, `max_size`: Some(122), added: 2597, mode: `MaxEncodedLen`)
	// Storage: `Staking::SlashQueue` (r:1 w:1)
	// Proof: `Staking::SlashQueue` (`max_values`: Some(1), `max_size`: Some(8), added: 503, mode: `MaxEncodedLen`)
	// Storage: `Staking::Pools` (r:1 w:1)
	// Proof: `Staking::Pools` (`max_values`: None, `max_size`: Some(84), added: 2559, mode: `MaxEncodedLen`)
	// Storage: `Staking::Streams` (r:1 w:1)
	// Proof: `Staking::Streams` (`max_values`: None, `max_size`: Some(72), added: 2547, mode: `MaxEncodedLen`)
	// Storage: `Staking::ByStake` (r:0 w:1)
	// Proof: `Staking::ByStake` (`max_values`: None, `max_size`: Some(49), added: 2524, mode: `MaxEncodedLen`)
	fn report_equivocation() -> Weight {
		// Proof size in bytes:
		//  measured:  `8599`
		//  estimated: `38075`
		// Shortest run: 235_459_000 picoseconds.
		Weight::from_parts(313_571_000, 39_227)
			.saturating_add(T::DbWeight::get().reads(10))
			.saturating_add(T::DbWeight::get().writes(8))
	}

	// Storage: `Staking::Slashes` (r:1 w:1)
	// Proof: `Staking::Slashes` (`max_values`: None, `max_size`: Some(122), added: 2597, mode: `MaxEncodedLen`)
	// Storage: `Staking::Offences` (r:1 w:1)
	// Proof: `Staking::Offences` (`max_values`: None, `max_size`: Some(35762), added: 38237, mode: `MaxEncodedLen`)
	// Storage: `Staking::Operators` (r:1 w:1)
	// Proof: `Staking::Operators` (`max_values`: None, `max_size`: Some(138), added: 2613, mode: `MaxEncodedLen`)
	// Storage: `Staking::Pools` (r:1 w:1)
	// Proof: `Staking::Pools` (`max_values`: None, `max_size`: Some(84), added: 2559, mode: `MaxEncodedLen`)
	// Storage: `Staking::Streams` (r:1 w:1)
	// Proof: `Staking::Streams` (`max_values`: None, `max_size`: Some(72), added: 2547, mode: `MaxEncodedLen`)
	// Storage: `Staking::Positions` (r:1 w:0)
	// Proof: `Staking::Positions` (`max_values`: None, `max_size`: Some(116), added: 2591, mode: `MaxEncodedLen`)
	// Storage: `Staking::ByStake` (r:0 w:1)
	// Proof: `Staking::ByStake` (`max_values`: None, `max_size`: Some(49), added: 2524, mode: `MaxEncodedLen`)
	fn cancel_slash() -> Weight {
		// Proof size in bytes:
		//  measured:  `8215`
		//  estimated: `38075`
		// Shortest run: 106_839_000 picoseconds.
		Weight::from_parts(151_035_000, 39_227)
			.saturating_add(T::DbWeight::get().reads(6))
			.saturating_add(T::DbWeight::get().writes(6))
	}

	// Storage: `Staking::SlashQueue` (r:1 w:1)
	// Proof: `Staking::SlashQueue` (`max_values`: Some(1), `max_size`: Some(8), added: 503, mode: `MaxEncodedLen`)
	// Storage: `Staking::Slashes` (r:4 w:4)
	// Proof: `Staking::Slashes` (`max_values`: None, `max_size`: Some(122), added: 2597, mode: `MaxEncodedLen`)
	// Storage: `Staking::Offences` (r:4 w:4)
	// Proof: `Staking::Offences` (`max_values`: None, `max_size`: Some(35762), added: 38237, mode: `MaxEncodedLen`)
	// Storage: `Staking::Operators` (r:4 w:4)
	// Proof: `Staking::Operators` (`max_values`: None, `max_size`: Some(138), added: 2613, mode: `MaxEncodedLen`)
	// Storage: `Staking::Pools` (r:4 w:4)
	// Proof: `Staking::Pools` (`max_values`: None, `max_size`: Some(84), added: 2559, mode: `MaxEncodedLen`)
	// Storage: `Staking::Streams` (r:4 w:4)
	// Proof: `Staking::Streams` (`max_values`: None, `max_size`: Some(72), added: 2547, mode: `MaxEncodedLen`)
	// Storage: `Staking::Positions` (r:4 w:4)
	// Proof: `Staking::Positions` (`max_values`: None, `max_size`: Some(116), added: 2591, mode: `MaxEncodedLen`)
	// Storage: `Staking::Unbonding` (r:4 w:4)
	// Proof: `Staking::Unbonding` (`max_values`: None, `max_size`: Some(3634), added: 6109, mode: `MaxEncodedLen`)
	// Storage: `Staking::UnbondingPools` (r:112 w:112)
	// Proof: `Staking::UnbondingPools` (`max_values`: None, `max_size`: Some(96), added: 2571, mode: `MaxEncodedLen`)
	// Storage: `System::Account` (r:4 w:4)
	// Proof: `System::Account` (`max_values`: None, `max_size`: Some(128), added: 2603, mode: `MaxEncodedLen`)
	fn apply_slashes(s: u32) -> Weight {
		// Proof size in bytes:
		//  measured:  `1360 + s * 11990`
		//  estimated: `1493 + s * 71988`
		// Shortest run: 378_432_000 picoseconds.
		Weight::from_parts(16_269_137, 1_493)
			// Standard error: 723_366
			.saturating_add(Weight::from_parts(427_757_697, 0).saturating_mul(s.into()))
			.saturating_add(T::DbWeight::get().reads(1))
			.saturating_add(T::DbWeight::get().reads(36).saturating_mul(s.into()))
			.saturating_add(T::DbWeight::get().writes(1))
			.saturating_add(T::DbWeight::get().writes(36).saturating_mul(s.into()))
			.saturating_add(Weight::from_parts(0, 73_140).saturating_mul(s.into()))
	}

	// Storage: `Staking::RoleParameters` (r:0 w:1)
	// Proof: `Staking::RoleParameters` (`max_values`: None, `max_size`: Some(29), added: 2504, mode: `MaxEncodedLen`)
	fn set_role_params() -> Weight {
		// Proof size in bytes:
		//  measured:  `0`
		//  estimated: `0`
		// Shortest run: 6_780_000 picoseconds.
		Weight::from_parts(7_571_000, 0).saturating_add(T::DbWeight::get().writes(1))
	}

	// Storage: `Staking::ValidatorParameters` (r:0 w:1)
	// Proof: `Staking::ValidatorParameters` (`max_values`: Some(1), `max_size`: Some(12), added: 507, mode: `MaxEncodedLen`)
	fn set_validator_params() -> Weight {
		// Proof size in bytes:
		//  measured:  `0`
		//  estimated: `0`
		// Shortest run: 5_478_000 picoseconds.
		Weight::from_parts(6_169_000, 0).saturating_add(T::DbWeight::get().writes(1))
	}

	// Storage: `Staking::Operators` (r:100 w:100)
	// Proof: `Staking::Operators` (`max_values`: None, `max_size`: Some(138), added: 2613, mode: `MaxEncodedLen`)
	// Storage: `Staking::Pools` (r:100 w:100)
	// Proof: `Staking::Pools` (`max_values`: None, `max_size`: Some(84), added: 2559, mode: `MaxEncodedLen`)
	// Storage: `Staking::Streams` (r:100 w:100)
	// Proof: `Staking::Streams` (`max_values`: None, `max_size`: Some(72), added: 2547, mode: `MaxEncodedLen`)
	// Storage: `Staking::Positions` (r:100 w:0)
	// Proof: `Staking::Positions` (`max_values`: None, `max_size`: Some(116), added: 2591, mode: `MaxEncodedLen`)
	// Storage: `Staking::ByStake` (r:0 w:200)
	// Proof: `Staking::ByStake` (`max_values`: None, `max_size`: Some(49), added: 2524, mode: `MaxEncodedLen`)
	fn recount(o: u32) -> Weight {
		// Proof size in bytes:
		//  measured:  `625 + o * 417`
		//  estimated: `990 + o * 2613`
		// Shortest run: 3_846_000 picoseconds.
		Weight::from_parts(18_219_152, 990)
			// Standard error: 598_528
			.saturating_add(Weight::from_parts(49_012_353, 0).saturating_mul(o.into()))
			.saturating_add(T::DbWeight::get().reads(4).saturating_mul(o.into()))
			.saturating_add(T::DbWeight::get().writes(5).saturating_mul(o.into()))
			.saturating_add(Weight::from_parts(0, 2_613).saturating_mul(o.into()))
	}

	// Storage: `Staking::Operators` (r:1 w:1)
	// Proof: `Staking::Operators` (`max_values`: None, `max_size`: Some(138), added: 2613, mode: `MaxEncodedLen`)
	// Storage: `Staking::Pools` (r:1 w:1)
	// Proof: `Staking::Pools` (`max_values`: None, `max_size`: Some(84), added: 2559, mode: `MaxEncodedLen`)
	// Storage: `Staking::Streams` (r:1 w:1)
	// Proof: `Staking::Streams` (`max_values`: None, `max_size`: Some(72), added: 2547, mode: `MaxEncodedLen`)
	// Storage: `Staking::Positions` (r:1 w:1)
	// Proof: `Staking::Positions` (`max_values`: None, `max_size`: Some(116), added: 2591, mode: `MaxEncodedLen`)
	// Storage: `Staking::ByStake` (r:0 w:2)
	// Proof: `Staking::ByStake` (`max_values`: None, `max_size`: Some(49), added: 2524, mode: `MaxEncodedLen`)
	fn reward() -> Weight {
		// Proof size in bytes:
		//  measured:  `921`
		//  estimated: `3603`
		// Shortest run: 74_641_000 picoseconds.
		Weight::from_parts(78_777_000, 3_603)
			.saturating_add(T::DbWeight::get().reads(4))
			.saturating_add(T::DbWeight::get().writes(6))
	}
}

/// For the tests of runtimes with another database.
impl WeightInfo for () {
	fn hot_storage() -> Weight {
		Weight::from_parts(57_595_000, 8_502)
			.saturating_add(RocksDbWeight::get().reads(10))
			.saturating_add(RocksDbWeight::get().writes(6))
	}

	fn register() -> Weight {
		Weight::from_parts(354_016_000, 44_646)
			.saturating_add(RocksDbWeight::get().reads(26))
			.saturating_add(RocksDbWeight::get().writes(28))
	}

	fn set_worker() -> Weight {
		Weight::from_parts(221_221_000, 44_646)
			.saturating_add(RocksDbWeight::get().reads(22))
			.saturating_add(RocksDbWeight::get().writes(21))
	}

	fn set_introduction() -> Weight {
		Weight::from_parts(20_511_000, 3_603)
			.saturating_add(RocksDbWeight::get().reads(1))
			.saturating_add(RocksDbWeight::get().writes(1))
	}

	fn set_commission() -> Weight {
		Weight::from_parts(18_427_000, 3_603)
			.saturating_add(RocksDbWeight::get().reads(1))
			.saturating_add(RocksDbWeight::get().writes(1))
	}

	fn stake_more() -> Weight {
		Weight::from_parts(104_685_000, 3_603)
			.saturating_add(RocksDbWeight::get().reads(4))
			.saturating_add(RocksDbWeight::get().writes(6))
	}

	fn unstake() -> Weight {
		Weight::from_parts(82_653_000, 7_099)
			.saturating_add(RocksDbWeight::get().reads(6))
			.saturating_add(RocksDbWeight::get().writes(8))
	}

	fn retire() -> Weight {
		Weight::from_parts(61_744_000, 4_026)
			.saturating_add(RocksDbWeight::get().reads(5))
			.saturating_add(RocksDbWeight::get().writes(6))
	}

	fn reactivate() -> Weight {
		Weight::from_parts(283_604_000, 47_214)
			.saturating_add(RocksDbWeight::get().reads(27))
			.saturating_add(RocksDbWeight::get().writes(25))
	}

	fn vote() -> Weight {
		Weight::from_parts(108_221_000, 6_172)
			.saturating_add(RocksDbWeight::get().reads(5))
			.saturating_add(RocksDbWeight::get().writes(6))
	}

	fn unvote() -> Weight {
		Weight::from_parts(85_678_000, 7_099)
			.saturating_add(RocksDbWeight::get().reads(7))
			.saturating_add(RocksDbWeight::get().writes(8))
	}

	fn rebond(c: u32) -> Weight {
		Weight::from_parts(79_625_370, 7_099)
			.saturating_add(Weight::from_parts(10_221_656, 0).saturating_mul(c.into()))
			.saturating_add(RocksDbWeight::get().reads(6))
			.saturating_add(RocksDbWeight::get().reads(1).saturating_mul(c.into()))
			.saturating_add(RocksDbWeight::get().writes(7))
			.saturating_add(RocksDbWeight::get().writes(1).saturating_mul(c.into()))
			.saturating_add(Weight::from_parts(0, 2_571).saturating_mul(c.into()))
	}

	fn withdraw(c: u32) -> Weight {
		Weight::from_parts(61_466_542, 7_099)
			.saturating_add(Weight::from_parts(29_568_427, 0).saturating_mul(c.into()))
			.saturating_add(RocksDbWeight::get().reads(1))
			.saturating_add(RocksDbWeight::get().reads(2).saturating_mul(c.into()))
			.saturating_add(RocksDbWeight::get().writes(1))
			.saturating_add(RocksDbWeight::get().writes(1).saturating_mul(c.into()))
			.saturating_add(Weight::from_parts(0, 38_237).saturating_mul(c.into()))
	}

	fn report_equivocation() -> Weight {
		Weight::from_parts(313_571_000, 39_227)
			.saturating_add(RocksDbWeight::get().reads(10))
			.saturating_add(RocksDbWeight::get().writes(8))
	}

	fn cancel_slash() -> Weight {
		Weight::from_parts(151_035_000, 39_227)
			.saturating_add(RocksDbWeight::get().reads(6))
			.saturating_add(RocksDbWeight::get().writes(6))
	}

	fn apply_slashes(s: u32) -> Weight {
		Weight::from_parts(16_269_137, 1_493)
			.saturating_add(Weight::from_parts(427_757_697, 0).saturating_mul(s.into()))
			.saturating_add(RocksDbWeight::get().reads(1))
			.saturating_add(RocksDbWeight::get().reads(36).saturating_mul(s.into()))
			.saturating_add(RocksDbWeight::get().writes(1))
			.saturating_add(RocksDbWeight::get().writes(36).saturating_mul(s.into()))
			.saturating_add(Weight::from_parts(0, 73_140).saturating_mul(s.into()))
	}

	fn set_role_params() -> Weight {
		Weight::from_parts(7_571_000, 0).saturating_add(RocksDbWeight::get().writes(1))
	}

	fn set_validator_params() -> Weight {
		Weight::from_parts(6_169_000, 0).saturating_add(RocksDbWeight::get().writes(1))
	}

	fn recount(o: u32) -> Weight {
		Weight::from_parts(18_219_152, 990)
			.saturating_add(Weight::from_parts(49_012_353, 0).saturating_mul(o.into()))
			.saturating_add(RocksDbWeight::get().reads(4).saturating_mul(o.into()))
			.saturating_add(RocksDbWeight::get().writes(5).saturating_mul(o.into()))
			.saturating_add(Weight::from_parts(0, 2_613).saturating_mul(o.into()))
	}

	fn reward() -> Weight {
		Weight::from_parts(78_777_000, 3_603)
			.saturating_add(RocksDbWeight::get().reads(4))
			.saturating_add(RocksDbWeight::get().writes(6))
	}
}
