//! Asks a coordinator for vouchers that were lost or withheld.

use super::{
	book::{Party, View},
	Purse, Standing,
};
use crate::link::Link;
use backon::{BackoffBuilder, ExponentialBuilder};
use std::{sync::Arc, time::Duration};
use tokio::{
	select, task,
	time::{sleep, timeout},
};
use tracing::{debug, warn};

/// How long the chain is waited for, so that vouchers of earlier eras can be judged.
const CHAIN_PATIENCE: Duration = Duration::from_secs(10);

/// How long to wait for what. Tests shorten it.
#[derive(Clone, Copy, Debug)]
pub struct Asking {
	/// The first pause while a voucher is missing; doubles each time, with jitter.
	pub first: Duration,
	/// The longest pause.
	pub longest: Duration,
}

impl Default for Asking {
	fn default() -> Self {
		Self {
			first: Duration::from_secs(1),
			longest: Duration::from_secs(60),
		}
	}
}

/// Who owes whom over this link; `None` while the chain does not know this miner.
pub fn party(link: &Link) -> Option<Party> {
	let registry = link.chain().current()?;
	let miner = registry.by_worker(&link.worker())?.account.clone();
	Some(Party {
		coordinator: link.coordinator().clone(),
		miner,
	})
}

/// What the chain says to check this coordinator's vouchers against.
pub fn view(link: &Link) -> View {
	let registry = link.chain().current();
	let registry = registry.as_deref();
	View {
		worker: registry
			.and_then(|registry| registry.operator(link.coordinator()))
			.and_then(|coordinator| coordinator.worker),
		now: registry.map_or(0, |registry| registry.era),
	}
}

/// Asks for all vouchers after each log-in, and again and again while one is missing. Never ends.
pub async fn run(purse: Arc<Purse>, link: Arc<Link>, asking: Asking) {
	let mut log_ins = link.log_ins();
	let mut changes = purse.changes();
	let mut claim_eras = purse.claim_eras();
	let pauses = || {
		ExponentialBuilder::new()
			.with_min_delay(asking.first)
			.with_max_delay(asking.longest)
			.without_max_times()
			.with_jitter()
			.with_jitter_seed(rand::random())
			.build()
	};
	// The first log-in is the session's to make.
	if log_ins.wait_for(|count| *count > 0).await.is_err() {
		return;
	}
	let _ = timeout(CHAIN_PATIENCE, claim_eras.wait_for(Option::is_some)).await;
	let mut pause = pauses();
	loop {
		log_ins.mark_unchanged();
		let asked = ask(&purse, &link).await;
		if asked == Asked::AllIsWell {
			pause = pauses();
			select! {
				changed = log_ins.changed() => if changed.is_err() { return },
				() = until_unpaid(&purse, &link, &mut changes) => {},
			}
		}
		// Also after it was found to be unpaid: the coordinator may need a moment.
		sleep(pause.next().unwrap_or(asking.longest)).await;
	}
}

#[derive(PartialEq, Eq)]
enum Asked {
	AllIsWell,
	Again,
}

async fn ask(purse: &Arc<Purse>, link: &Link) -> Asked {
	let vouchers = match link.vouchers().await {
		Ok(vouchers) => vouchers,
		Err(error) => {
			debug!(coordinator = %link.coordinator(), "its vouchers are not there: {error}");
			let unpaid = party(link).is_some_and(|it| purse.standing(&it) != Standing::Square);
			return match unpaid || error.code().is_none() {
				true => Asked::Again,
				false => Asked::AllIsWell,
			};
		},
	};
	let Some(party) = party(link) else {
		return Asked::Again;
	};
	let view = view(link);
	if vouchers.is_empty() && purse.standing(&party) == Standing::Square {
		return Asked::AllIsWell;
	}
	let purse = purse.clone();
	let absorbed = task::spawn_blocking(move || purse.absorb(&party, &vouchers, &view)).await;
	match absorbed {
		Ok(Ok(Standing::Square)) => Asked::AllIsWell,
		Ok(Ok(_)) => Asked::Again,
		Ok(Err(error)) => {
			warn!("a voucher cannot be kept: {error}");
			Asked::Again
		},
		Err(error) => {
			warn!("a voucher cannot be kept: {error}");
			Asked::Again
		},
	}
}

async fn until_unpaid(purse: &Purse, link: &Link, changes: &mut tokio::sync::watch::Receiver<u64>) {
	loop {
		let unpaid =
			party(link).is_some_and(|it| matches!(purse.standing(&it), Standing::Unpaid { .. }));
		if unpaid || changes.changed().await.is_err() {
			return;
		}
	}
}
