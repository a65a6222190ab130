//! What the calls cost. **Estimated**, not measured yet: the reads and writes of storage are counted
//! from the code, at each call's worst case, and the time of computing is what the same work was
//! measured to take in the staking pallet, rounded up. `scripts/weights` replaces this file by the
//! benchmarks' results once the pallet is in the runtime.
//!
//! | what | counted as |
//! |---|---|
//! | work on one key of storage | 5 µs, beside the database's price |
//! | a signature | 60 µs |
//! | hashing a node of a tree, or a leaf | 2 µs |
//! | paying an operator: records, pool, stream, position, totals, order by stake, three accounts | 15 reads, 12 writes, 100 µs |
//! | proof size of a read | 3,200 bytes |

use core::marker::PhantomData;
use frame_support::{
	traits::Get,
	weights::{constants::WEIGHT_REF_TIME_PER_MICROS, RuntimeDbWeight, Weight},
};

/// What the calls cost.
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
	/// What `claim` costs, with `l` leaves from 1 to 64.
	fn claim(l: u32) -> Weight;
	/// What `claim_voucher` costs.
	fn claim_voucher() -> Weight;
	/// What `report_short` costs.
	fn report_short() -> Weight;
	/// What `clean` costs, with `c` values of marks from 0 to 1,024.
	fn clean(c: u32) -> Weight;
	/// What `set_split` costs.
	fn set_split() -> Weight;
}

/// Reads and writes of paying an operator.
const PAY: (u64, u64) = (15, 12);
/// Microseconds of paying an operator.
const PAY_MICROS: u64 = 100;
/// Microseconds of checking a signature.
const SIGNATURE_MICROS: u64 = 60;
/// Microseconds of a path of 20 nodes, with its leaf.
const PATH_MICROS: u64 = 42;

fn estimate(db: RuntimeDbWeight, micros: u64, reads: u64, writes: u64) -> Weight {
	let micros = micros.saturating_add(reads.saturating_mul(5));
	Weight::from_parts(
		micros.saturating_mul(WEIGHT_REF_TIME_PER_MICROS),
		reads.saturating_mul(3_200),
	)
	.saturating_add(db.reads_writes(reads, writes))
}

/// Estimates by the prices of a database.
pub struct Estimated<D>(PhantomData<D>);

/// Estimates by the database of the runtime `T`.
pub type SubstrateWeight<T> = Estimated<<T as frame_system::Config>::DbWeight>;

impl<D: Get<RuntimeDbWeight>> WeightInfo for Estimated<D> {
	fn open_channel() -> Weight {
		// Operator twice, account, pot, held, next channel; channel.
		estimate(D::get(), 60, 6, 5)
	}

	fn top_up() -> Weight {
		// Channel, account, pot, held.
		estimate(D::get(), 60, 4, 4)
	}

	fn redeem() -> Weight {
		// Channel, genesis hash, reserve, held, pot, issuance.
		estimate(D::get(), SIGNATURE_MICROS + 40, 6, 5)
	}

	fn close_channel() -> Weight {
		// Channel, pot, app's account, held.
		estimate(D::get(), 60, 4, 4)
	}

	fn finish_close() -> Weight {
		// As by the coordinator at once.
		Self::close_channel()
	}

	fn fund_reserve() -> Weight {
		// Operator, account, pot, held, reserve, issuance.
		estimate(D::get(), 80, 6, 5)
	}

	fn withdraw_reserve() -> Weight {
		// Reserve, account, pot, held.
		estimate(D::get(), 60, 4, 4)
	}

	fn allot() -> Weight {
		// Era, allotment, operator, reserve.
		estimate(D::get(), 30, 4, 2)
	}

	fn release_allotment() -> Weight {
		// Allotment, era, reserve, held, pot, issuance.
		estimate(D::get(), 60, 6, 5)
	}

	fn settle_era() -> Weight {
		// Era, settlement, split, reserve, held, pot, issuance, the audit fund; the coordinator's pay.
		estimate(D::get(), 100 + PAY_MICROS, 8 + PAY.0, 6 + PAY.1)
	}

	fn claim(l: u32) -> Weight {
		// Era, settlement, genesis hash, held, pot, issuance once; each leaf its marks, allotment and pay.
		let each = estimate(D::get(), PATH_MICROS + PAY_MICROS, 2 + PAY.0, 2 + PAY.1);
		estimate(D::get(), 40, 6, 4).saturating_add(each.saturating_mul(l.into()))
	}

	fn claim_voucher() -> Weight {
		// Era, allotment, worker, genesis hash, settlement, split, reserve, held, pot, issuance.
		estimate(
			D::get(),
			SIGNATURE_MICROS + 60 + PAY_MICROS,
			10 + PAY.0,
			5 + PAY.1,
		)
	}

	fn report_short() -> Weight {
		// Era, settlement, worker, genesis hash; the slash as in staking's `report_equivocation`, whose
		// record of offences is large.
		estimate(
			D::get(),
			2 * SIGNATURE_MICROS + 2 * PATH_MICROS + 150,
			14,
			8,
		)
		.saturating_add(Weight::from_parts(0, 40_000))
	}

	fn clean(c: u32) -> Weight {
		// Settlement, era, reserve, held, pot, issuance; each value of marks is removed unread.
		let each = estimate(D::get(), 5, 0, 1);
		estimate(D::get(), 60, 6, 5).saturating_add(each.saturating_mul(c.into()))
	}

	fn set_split() -> Weight {
		estimate(D::get(), 15, 0, 1)
	}
}
