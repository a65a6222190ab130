//! What was agreed on with an app when its task was accepted.

use crate::{clock::UnixMs, ledger::Payment};
use cuckoo_coordinator_api::{
	error::{ApiError, ErrorCode},
	Amount,
};

/// The terms of a task. They never change.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Terms {
	/// What it costs.
	pub price: Amount,
	/// When it must be done.
	pub deadline_ms: Option<UnixMs>,
	/// What is called when it has ended.
	pub webhook: Option<String>,
	/// How it is paid for; `None` if it costs nothing, or was accepted before anything was charged.
	pub payment: Option<Payment>,
}

impl Terms {
	/// What the task's miner earns.
	pub fn pay(&self) -> Amount {
		self.payment
			.as_ref()
			.map_or(Amount::default(), |payment| payment.pay)
	}
}

/// The last moment of a draw of a task with this deadline, if its lease takes so long: the lease ends by
/// the deadline.
pub fn draw_by_ms(deadline_ms: Option<UnixMs>, lease_ms: u64) -> UnixMs {
	deadline_ms.map_or(UnixMs::MAX, |deadline_ms| {
		deadline_ms.saturating_sub(lease_ms)
	})
}

/// The deadline that an app asks for, if a task whose lease takes so long can be drawn before it.
pub fn deadline_ms(
	asked: Option<i64>,
	lease_ms: u64,
	now_ms: UnixMs,
) -> Result<Option<UnixMs>, ApiError> {
	let Some(asked) = asked else {
		return Ok(None);
	};
	let deadline_ms = UnixMs::try_from(asked).unwrap_or(0);
	if draw_by_ms(Some(deadline_ms), lease_ms) <= now_ms {
		let message = format!(
			"A miner may take {lease_ms} ms for the task, which is then not done by its deadline: at the \
			 coordinator it is {now_ms} ms now."
		);
		return Err(
			ApiError::with_message(ErrorCode::DeadlineTooSoon, message).about("deadline_ms")
		);
	}
	Ok(Some(deadline_ms))
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn a_deadline_leaves_time_for_a_lease() {
		assert_eq!(deadline_ms(None, 100, 1_000), Ok(None));
		assert_eq!(deadline_ms(Some(1_101), 100, 1_000), Ok(Some(1_101)));
		for asked in [1_100, 1_000, 0, -1, i64::MIN] {
			let error = deadline_ms(Some(asked), 100, 1_000).unwrap_err();
			assert_eq!(error.code, ErrorCode::DeadlineTooSoon, "{asked}");
		}
		assert_eq!(draw_by_ms(Some(50), 100), 0);
		assert_eq!(draw_by_ms(None, 100), UnixMs::MAX);
	}
}
