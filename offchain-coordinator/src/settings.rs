//! What an operator can set.

use crate::{artifacts::Place, ledger, price::Prices, webhooks::Rules};
use cuckoo_primitives::Balance;

/// How long a miner stays eligible after its last poll.
pub const POLL_WITHIN_MS: u64 = 30_000;

/// A day.
pub const DAY_MS: u64 = 86_400_000;

/// The coordinator's rules, in the units they are used in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Settings {
	/// A lease's length before the steps are counted.
	pub lease_base_ms: u64,
	/// What each denoising step adds to a lease.
	pub lease_per_step_ms: u64,
	/// How long a drawn miner has to fetch its work.
	pub pick_up_ms: u64,
	/// How long a task waits for a miner before it expires.
	pub queue_timeout_ms: u64,
	/// How many tasks can wait.
	pub max_queued: usize,
	/// How many tasks of one app can wait, unless the app has a limit of its own.
	pub max_queued_per_app: usize,
	/// How many tasks an app can submit in a minute, unless it has a limit of its own.
	pub submits_per_minute: u32,
	/// The most stake that counts in the draw.
	pub weight_cap: Balance,
	/// A miner's first suspension; each further one in a row doubles it.
	pub suspension_ms: u64,
	/// After a restart, how long leases and waits that ran out meanwhile are kept.
	pub grace_ms: u64,
	/// How often deadlines are looked at.
	pub tick_ms: u64,
	/// How long tasks that ended are kept; 0 for ever.
	pub retention_ms: u64,
	/// How long artifacts are kept, if shorter than their tasks; 0 as long as those.
	pub artifact_retention_ms: u64,
	/// Where artifacts are kept.
	pub artifacts: Place,
	/// What tasks cost.
	pub prices: Prices,
	/// How it settles.
	pub settlement: ledger::Settings,
	/// Which webhooks are called.
	pub webhooks: Rules,
	/// The model for requests that name none: its hash or name.
	pub default_model: Option<String>,
	/// Whether tasks are taken only with an API key.
	pub require_api_key: bool,
	/// How long a request by OpenAI's API waits for its pictures.
	pub image_wait_ms: u64,
	/// Where this coordinator is reached, for the addresses of pictures.
	pub public_url: Option<String>,
	/// Whether the address that a proxy names is the client's.
	pub trust_proxy: bool,
}

impl Settings {
	/// How long a lease for so many denoising steps is.
	pub fn lease_ms(&self, steps: u16) -> u64 {
		let work_ms = self.lease_per_step_ms.saturating_mul(steps.into());
		self.lease_base_ms.saturating_add(work_ms)
	}
}

impl Default for Settings {
	fn default() -> Self {
		Self {
			lease_base_ms: 30_000,
			lease_per_step_ms: 3_000,
			pick_up_ms: 20_000,
			queue_timeout_ms: 600_000,
			max_queued: 10_000,
			max_queued_per_app: 1_000,
			submits_per_minute: 600,
			weight_cap: Balance::MAX,
			suspension_ms: 5_000,
			grace_ms: 20_000,
			tick_ms: 250,
			retention_ms: 30 * DAY_MS,
			artifact_retention_ms: 0,
			artifacts: Place::DataDir,
			prices: Prices::default(),
			settlement: ledger::Settings::default(),
			webhooks: Rules::default(),
			default_model: None,
			require_api_key: false,
			image_wait_ms: 120_000,
			public_url: None,
			trust_proxy: false,
		}
	}
}
