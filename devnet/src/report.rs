//! The account of one task: who could be drawn, who was, who signed what, and where it stands on
//! chain. [`Report`] serializes to the demo's JSON and displays as its text.

use crate::evidence::{Evidence, Verified};
use cuckoo_chain_client::{BlockRef, Operator, Registry};
use cuckoo_coordinator_api::{task::Spec, Amount};
use cuckoo_primitives::{
	task::{Attempt, TaskId},
	voucher::ChannelId,
	AccountId, Balance, BlockNumber, EraIndex, WorkerId, H256,
};
use serde::Serialize;
use std::{
	fmt::{self, Display},
	path::PathBuf,
	time::Duration,
};

/// Parts per million in one.
const MILLION: u128 = 1_000_000;

/// The account of one task.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
	/// The picture.
	pub picture: Picture,
	/// The task.
	pub task: Task,
	/// Who could be drawn, in account order, as the draw walks them.
	pub eligible: Vec<Candidate>,
	/// The draw.
	pub draw: Draw,
	/// Who signed what, in order of time.
	pub signed: Vec<Signed>,
	/// What the chain knows.
	pub chain: OnChain,
	/// Who paid and who earned, unless nobody waited for that.
	#[serde(skip_serializing_if = "Option::is_none")]
	pub money: Option<Money>,
	/// How long things took.
	pub seconds: Seconds,
}

/// The picture.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Picture {
	/// Where it was saved.
	pub path: PathBuf,
	/// BLAKE3 of the file, as committed to.
	pub blake3: H256,
	/// Size of the file.
	pub bytes: u64,
	/// In pixels.
	pub width: u32,
	/// In pixels.
	pub height: u32,
}

/// The task.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Task {
	/// Its id.
	pub id: TaskId,
	/// The app's key, from which the id follows.
	pub idempotency_key: Option<String>,
	/// What was made.
	pub spec: Spec,
	/// Hash of that.
	pub spec_hash: H256,
	/// The attempt that was accepted.
	pub attempt: Attempt,
}

/// A miner that could be drawn.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Candidate {
	/// Its operator account.
	pub operator: AccountId,
	/// Its name on chain.
	pub name: String,
	/// Its own stake.
	pub self_stake: Amount,
	/// Its voters' stake.
	pub votes: Amount,
	/// What counted in the draw.
	pub weight: Amount,
	/// Its share of all weight, in parts per million.
	pub share_ppm: u32,
	/// Whether it was drawn.
	pub drawn: bool,
}

/// The draw.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Draw {
	/// The block whose registry and randomness it used.
	pub block_number: BlockNumber,
	/// That block's hash.
	pub block_hash: H256,
	/// The chain's randomness at that block.
	pub randomness: H256,
	/// Root of the list of eligible miners.
	pub eligible_root: H256,
	/// The sum of the weights.
	pub total_weight: Amount,
	/// Where it fell.
	pub ticket: Amount,
	/// On whom.
	pub miner: AccountId,
	/// What `offchain-miner verify-draw` said.
	pub verify_draw: String,
}

/// A signed message.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Signed {
	/// `assignment` or `result commitment`.
	pub what: &'static str,
	/// Hash of the bytes that were signed.
	pub hash: H256,
	/// The worker key.
	pub worker: WorkerId,
	/// The operator that this worker signs for, as the chain says.
	pub operator: AccountId,
	/// The operator's role.
	pub role: &'static str,
	/// The signature, in hex.
	pub signature: String,
}

/// What the chain knows.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OnChain {
	/// Which chain.
	pub genesis_hash: H256,
	/// The last finalized block at the end.
	pub finalized_number: BlockNumber,
	/// Its hash.
	pub finalized_hash: H256,
	/// The coordinator and the drawn miner.
	pub operators: Vec<Stake>,
	/// How many signed transactions are in all blocks up to the best.
	pub transactions: usize,
	/// The best block, up to which they were counted.
	pub best_number: BlockNumber,
}

/// An operator's stake on chain.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Stake {
	/// Its account.
	pub operator: AccountId,
	/// Its name.
	pub name: String,
	/// Its role.
	pub role: &'static str,
	/// Its worker key.
	pub worker: Option<WorkerId>,
	/// Its own stake.
	pub self_stake: Amount,
	/// Its voters' stake.
	pub votes: Amount,
}

/// What the task paid to whom.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Money {
	/// The app's channel.
	pub channel: ChannelId,
	/// What the task cost.
	pub price: Amount,
	/// The era in which the miner earned.
	pub era: EraIndex,
	/// The miner's part, as its coordinator's signed voucher says.
	pub miners_part: Amount,
	/// Who is richer for it.
	pub grown: Vec<Grown>,
}

/// A stake that a reward came into.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Grown {
	/// Whose.
	pub holder: AccountId,
	/// `miner's operator` or `voter`.
	pub who: &'static str,
	/// What it was worth before.
	pub before: Amount,
	/// What it is worth now.
	pub after: Amount,
}

impl Grown {
	/// By how much.
	pub fn by(&self) -> Amount {
		Amount(self.after.0.saturating_sub(self.before.0))
	}
}

/// How long things took, in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Seconds {
	/// Until the node served.
	pub node: f64,
	/// Until the coordinator served.
	pub coordinator: f64,
	/// Until all miners could be drawn.
	pub miners: f64,
	/// From submitting to the picture.
	pub task: f64,
	/// Checking.
	pub checks: f64,
	/// From the picture to the reward in the pool, for the most part waiting for the end of an era.
	pub money: f64,
	/// In all.
	pub total: f64,
}

/// What [`Report::new`] cannot know from the evidence.
#[derive(Clone, Debug)]
pub struct Circumstances {
	/// Where the picture was saved.
	pub path: PathBuf,
	/// The chain.
	pub genesis_hash: H256,
	/// The last finalized block.
	pub finalized: BlockRef,
	/// The best block's number.
	pub best_number: BlockNumber,
	/// Signed transactions in all blocks up to the best.
	pub transactions: usize,
	/// What `offchain-miner verify-draw` said.
	pub verify_draw: String,
	/// Who paid and who earned.
	pub money: Option<Money>,
	/// How long things took.
	pub seconds: Seconds,
}

impl Report {
	/// The account of verified evidence. `registry` is the one it was verified against.
	pub fn new(
		evidence: &Evidence,
		verified: &Verified,
		registry: &Registry,
		circumstances: Circumstances,
	) -> Self {
		let Evidence {
			status,
			result,
			draw,
			picture,
			idempotency_key,
		} = evidence;
		let Circumstances {
			path,
			genesis_hash,
			finalized,
			seconds,
			..
		} = circumstances;
		let assignment = &draw.assignment;
		let total = assignment.total_weight;
		let candidate = |account: &AccountId, weight: Balance| {
			let stake = stake(registry, account);
			Candidate {
				operator: account.clone(),
				name: stake.name,
				self_stake: stake.self_stake,
				votes: stake.votes,
				weight: Amount(weight),
				share_ppm: share_ppm(weight, total),
				drawn: *account == assignment.miner,
			}
		};
		Self {
			picture: Picture {
				path,
				blake3: result.artifact,
				bytes: picture.len() as u64,
				width: verified.size.0,
				height: verified.size.1,
			},
			task: Task {
				id: status.id,
				idempotency_key: idempotency_key.clone(),
				spec: status.spec.clone(),
				spec_hash: status.spec_hash,
				attempt: result.attempt,
			},
			eligible: draw
				.eligible
				.iter()
				.map(|entry| candidate(&entry.miner, entry.weight.0))
				.collect(),
			draw: Draw {
				block_number: assignment.block_number,
				block_hash: assignment.block_hash,
				randomness: assignment.randomness,
				eligible_root: assignment.eligible_root,
				total_weight: Amount(total),
				ticket: Amount(verified.ticket),
				miner: assignment.miner.clone(),
				verify_draw: circumstances.verify_draw,
			},
			signed: vec![
				Signed {
					what: "assignment",
					hash: verified.assignment,
					worker: draw.coordinator_worker,
					operator: assignment.coordinator.clone(),
					role: "coordinator",
					signature: hex(draw.signature),
				},
				Signed {
					what: "result commitment",
					hash: verified.commitment,
					worker: result.worker,
					operator: result.miner.clone(),
					role: "miner",
					signature: hex(result.signature),
				},
			],
			chain: OnChain {
				genesis_hash,
				finalized_number: finalized.number,
				finalized_hash: finalized.hash,
				operators: [&assignment.coordinator, &assignment.miner]
					.map(|account| stake(registry, account))
					.into(),
				transactions: circumstances.transactions,
				best_number: circumstances.best_number,
			},
			money: circumstances.money,
			seconds,
		}
	}
}

fn stake(registry: &Registry, account: &AccountId) -> Stake {
	let operator = registry.operator(account);
	let amount = |of: fn(&Operator) -> Balance| Amount(operator.map(of).unwrap_or_default());
	Stake {
		operator: account.clone(),
		name: operator
			.map(|operator| operator.name.clone())
			.unwrap_or_default(),
		role: operator.map_or("unknown", |operator| operator.role.name()),
		worker: operator.and_then(|operator| operator.worker),
		self_stake: amount(|operator| operator.self_stake),
		votes: amount(|operator| operator.total_stake.saturating_sub(operator.self_stake)),
	}
}

/// `weight / total` in parts per million, rounded to the nearest.
fn share_ppm(weight: Balance, total: Balance) -> u32 {
	if total == 0 {
		return 0;
	}
	// Shifted down together until the product fits; the share keeps far more digits than are shown.
	let shift = (u128::BITS - total.leading_zeros()).saturating_sub(100);
	let (weight, total) = (weight >> shift, total >> shift);
	((weight * MILLION + total / 2) / total) as u32
}

impl Seconds {
	/// A duration in seconds, rounded to hundredths.
	pub fn of(duration: Duration) -> f64 {
		(duration.as_secs_f64() * 100.0).round() / 100.0
	}
}

/// Thousands apart, for people: `1,234,567.5 CUC`.
fn cuc(amount: Amount) -> String {
	let text = amount.to_string();
	let number = text.trim_end_matches(" CUC");
	let (whole, rest) = number
		.split_once('.')
		.map_or((number, None), |(w, r)| (w, Some(r)));
	let mut grouped = String::new();
	for (index, digit) in whole.chars().enumerate() {
		if index > 0 && (whole.len() - index) % 3 == 0 {
			grouped.push(',');
		}
		grouped.push(digit);
	}
	match rest {
		Some(rest) => format!("{grouped}.{rest} CUC"),
		None => format!("{grouped} CUC"),
	}
}

fn hex(bytes: impl AsRef<[u8]>) -> String {
	format!("0x{}", hex::encode(bytes))
}

fn percent(ppm: u32) -> String {
	format!("{:.2}%", f64::from(ppm) / 10_000.0)
}

impl Display for Report {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		let Self {
			picture,
			task,
			draw,
			chain,
			seconds,
			..
		} = self;
		let spec = &task.spec;
		writeln!(f, "\"{}\"", spec.prompt.escape_debug())?;
		writeln!(
			f,
			"  {}: {} x {} pixels, {} bytes, seed {}, {} steps",
			picture.path.display(),
			picture.width,
			picture.height,
			picture.bytes,
			spec.seed,
			spec.steps
		)?;
		writeln!(f, "  BLAKE3 {}", hex(picture.blake3))?;

		writeln!(f, "\nWho could be drawn")?;
		let width = self
			.eligible
			.iter()
			.map(|c| c.name.chars().count())
			.max()
			.unwrap_or(0);
		for candidate in &self.eligible {
			writeln!(
				f,
				"  {} {:width$}  {}  stake {:>13} = own {} + votes {}, share {}",
				if candidate.drawn { "=>" } else { "  " },
				candidate.name,
				candidate.operator,
				cuc(candidate.weight),
				cuc(candidate.self_stake),
				cuc(candidate.votes),
				percent(candidate.share_ppm),
			)?;
		}

		writeln!(f, "\nThe draw (attempt {})", task.attempt)?;
		writeln!(f, "  task        {}", task.id)?;
		writeln!(
			f,
			"  ticket      {} of {}",
			cuc(draw.ticket),
			cuc(draw.total_weight)
		)?;
		writeln!(
			f,
			"              = blake2_256(randomness, task, attempt) mod total stake"
		)?;
		writeln!(f, "  drawn       {}", draw.miner)?;
		writeln!(f, "  randomness  {}", hex(draw.randomness))?;
		writeln!(
			f,
			"  block       #{} {} (finalized)",
			draw.block_number,
			hex(draw.block_hash)
		)?;
		writeln!(f, "  list        {}", hex(draw.eligible_root))?;
		writeln!(f, "  recomputed by offchain-miner verify-draw:")?;
		for line in draw.verify_draw.lines() {
			writeln!(f, "              {line}")?;
		}

		writeln!(
			f,
			"\nWho signed what (checked here with the keys that the chain names)"
		)?;
		for signed in &self.signed {
			writeln!(f, "  {}  {}", signed.what, hex(signed.hash))?;
			writeln!(
				f,
				"    by worker {} of {} {}",
				worker(&signed.worker),
				signed.role,
				signed.operator
			)?;
			writeln!(f, "    signature {}", signed.signature)?;
		}

		writeln!(f, "\nWhere it stands on chain {}", hex(chain.genesis_hash))?;
		for operator in &chain.operators {
			writeln!(
				f,
				"  {} {} ({})",
				operator.role, operator.operator, operator.name
			)?;
			let key = operator
				.worker
				.as_ref()
				.map_or_else(|| "none".to_owned(), worker);
			writeln!(f, "    worker {key}")?;
			writeln!(
				f,
				"    own stake {}, votes {}",
				cuc(operator.self_stake),
				cuc(operator.votes)
			)?;
		}
		writeln!(
			f,
			"  finalized   #{} {}",
			chain.finalized_number,
			hex(chain.finalized_hash)
		)?;
		writeln!(
			f,
			"  since genesis: blocks {}, transactions {}",
			chain.best_number, chain.transactions
		)?;
		writeln!(
			f,
			"  Nothing about this task. The chain holds stakes, keys and money; the signatures prove the rest."
		)?;

		if let Some(money) = &self.money {
			writeln!(f, "\nWho paid, and who is richer for it")?;
			let (price, channel) = (cuc(money.price), money.channel);
			writeln!(f, "  the app      {price} through its channel {channel}")?;
			let (part, era) = (cuc(money.miners_part), money.era);
			writeln!(
				f,
				"  the miner    {part} of it, by a voucher of era {era}, settled with one root for all miners"
			)?;
			for grown in &money.grown {
				writeln!(
					f,
					"  {:<16}  {}  {} -> {}, + {}",
					grown.who,
					grown.holder,
					cuc(grown.before),
					cuc(grown.after),
					cuc(grown.by()),
				)?;
			}
		}

		writeln!(
			f,
			"\nTimes: node {:.1} s, coordinator {:.1} s, miners {:.1} s, task {:.2} s, checks {:.1} s, \
			 money {:.1} s, in all {:.1} s",
			seconds.node,
			seconds.coordinator,
			seconds.miners,
			seconds.task,
			seconds.checks,
			seconds.money,
			seconds.total
		)
	}
}

/// A worker key as an address.
fn worker(key: &WorkerId) -> String {
	AccountId::new(key.0).to_string()
}

#[cfg(test)]
mod tests {
	use super::*;
	use cuckoo_primitives::CUC;

	#[test]
	fn amounts_are_readable() {
		assert_eq!(cuc(Amount(0)), "0 CUC");
		assert_eq!(cuc(Amount(999 * CUC)), "999 CUC");
		assert_eq!(cuc(Amount(1_234_567 * CUC + CUC / 2)), "1,234,567.5 CUC");
	}

	#[test]
	fn shares_are_right_at_any_scale() {
		assert_eq!(share_ppm(0, 0), 0);
		assert_eq!(share_ppm(1, 3), 333_333);
		assert_eq!(share_ppm(2, 3), 666_667);
		assert_eq!(share_ppm(u128::MAX, u128::MAX), 1_000_000);
		assert_eq!(share_ppm(u128::MAX / 4, u128::MAX), 250_000);
	}
}
