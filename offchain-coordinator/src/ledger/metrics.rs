//! What is measured of settlement.

use cuckoo_chain_client::Reserve;
use cuckoo_primitives::{Balance, CUC};
use prometheus::{Gauge, IntCounter, IntCounterVec, IntGauge};

/// What is measured of settlement.
#[derive(Debug)]
pub struct MoneyMetrics {
	/// What is free in the reserve.
	pub free: Gauge,
	/// What is allotted of it.
	pub allotted: Gauge,
	/// Closed eras that are not posted.
	pub waiting: IntGauge,
	/// Eras that it is too late for.
	pub missed: IntCounter,
	/// Looks that found another root on chain.
	pub foreign: IntCounter,
	/// Transactions, by outcome.
	pub transactions: IntCounterVec,
}

impl MoneyMetrics {
	/// As of a look at the chain.
	pub fn set(&self, reserve: &Reserve, waiting: u32) {
		self.free.set(cuc(reserve.free()));
		self.allotted.set(cuc(reserve.allotted));
		self.waiting.set(waiting.into());
	}

	/// A transaction was sent.
	pub fn sent(&self, succeeded: bool) {
		let outcome = if succeeded { "succeeded" } else { "failed" };
		self.transactions.with_label_values(&[outcome]).inc();
	}
}

fn cuc(amount: Balance) -> f64 {
	amount as f64 / CUC as f64
}
