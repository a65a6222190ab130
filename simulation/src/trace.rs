//! What happened, in order, and a hash of it.

use offchain_coordinator::clock::Simulated;
use std::{
	collections::VecDeque,
	fmt::{Arguments, Display},
	sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Lines that are kept.
const KEPT: usize = 4_000;

/// The trace of a schedule.
#[derive(Clone, Debug)]
pub struct Trace(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
	time: Simulated,
	hasher: blake3::Hasher,
	lines: VecDeque<String>,
	count: u64,
	broken: Vec<String>,
}

impl Trace {
	/// Nothing has happened.
	pub fn new(time: Simulated) -> Self {
		Self(Arc::new(Mutex::new(Inner {
			time,
			hasher: blake3::Hasher::new(),
			lines: VecDeque::new(),
			count: 0,
			broken: Vec::new(),
		})))
	}

	fn inner(&self) -> MutexGuard<'_, Inner> {
		self.0.lock().unwrap_or_else(PoisonError::into_inner)
	}

	/// Notes what somebody did or saw.
	pub fn note(&self, who: impl Display, what: Arguments<'_>) {
		let mut inner = self.inner();
		let line = format!("{:>9} {who}: {what}", inner.time.passed().as_millis());
		inner.hasher.update(line.as_bytes());
		inner.count += 1;
		inner.lines.push_back(line);
		if inner.lines.len() > KEPT {
			inner.lines.pop_front();
		}
	}

	/// Notes that a rule was broken.
	pub fn broken(&self, rule: impl Display) {
		self.note("RULE BROKEN", format_args!("{rule}"));
		self.inner().broken.push(rule.to_string());
	}

	/// The rules that were broken.
	pub fn rules_broken(&self) -> Vec<String> {
		self.inner().broken.clone()
	}

	/// The last lines.
	pub fn lines(&self) -> Vec<String> {
		self.inner().lines.iter().cloned().collect()
	}

	/// How many lines there were, and the hash of all.
	pub fn hash(&self) -> (u64, String) {
		let inner = self.inner();
		(inner.count, inner.hasher.finalize().to_hex().to_string())
	}
}
