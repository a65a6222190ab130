//! Rows of the store as types.

use super::{sql::Row, Result, StoreError};
use crate::{
	apps::AppId,
	clock::UnixMs,
	ledger::{Payer, Payment},
	state::Ending,
	terms::Terms,
};
use cuckoo_coordinator_api::{
	task::{ModelInfo, TaskState},
	Amount,
};
use cuckoo_primitives::{
	signing::{Assignment, ResultCommitment},
	task::{Attempt, TaskId, TaskSpec},
	AccountId, Balance, WorkerId, WorkerSignature, H256,
};

/// A task as it is stored.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TaskRow {
	/// Order of acceptance.
	pub seq: i64,
	/// Its id.
	pub id: TaskId,
	/// Who submitted it.
	pub app: AppId,
	/// The id's nonce.
	pub nonce: String,
	/// Hash of what the app asked for.
	pub request_hash: H256,
	/// What is to be made.
	pub spec: TaskSpec,
	/// That spec's hash.
	pub spec_hash: H256,
	/// Its place among its app's.
	pub priority: u8,
	/// Where it stands.
	pub state: TaskState,
	/// The attempt at work or the last one.
	pub attempt: Option<Attempt>,
	/// That attempt's miner.
	pub miner: Option<AccountId>,
	/// Why it failed or was drawn anew.
	pub reason: Option<String>,
	/// When it was accepted.
	pub created_ms: UnixMs,
	/// When it last changed.
	pub updated_ms: UnixMs,
	/// When it stops waiting.
	pub queue_until_ms: UnixMs,
	/// How long it waits at most each time, if the app said so.
	pub max_wait_ms: Option<u64>,
	/// The process whose miner has the attempt, where several share the store.
	pub instance: Option<i64>,
	/// What was agreed on.
	pub terms: Terms,
}

impl TaskRow {
	pub(super) fn from_row(row: &Row) -> Result<Self> {
		Ok(Self {
			seq: row.get("seq")?,
			id: row.decode("id")?,
			app: AppId::new(&row.get::<String>("app")?),
			nonce: row.get("nonce")?,
			request_hash: row.decode("request_hash")?,
			spec: row.decode("spec")?,
			spec_hash: row.decode("spec_hash")?,
			priority: row.get("priority")?,
			state: state_from_name(&row.get::<String>("state")?)?,
			attempt: row.get("attempt")?,
			miner: row.decode_optional("miner")?,
			reason: row.get("reason")?,
			created_ms: ms(row, "created_ms")?,
			updated_ms: ms(row, "updated_ms")?,
			queue_until_ms: ms(row, "queue_until_ms")?,
			max_wait_ms: row.get::<Option<i64>>("max_wait_ms")?.map(read_ms),
			instance: row.get("instance")?,
			terms: Terms {
				price: Amount(row.decode("price")?),
				deadline_ms: row.get::<Option<i64>>("deadline_ms")?.map(read_ms),
				webhook: row.get("webhook")?,
				payment: payment(row)?,
			},
		})
	}
}

fn payment(row: &Row) -> Result<Option<Payment>> {
	let Some(payer) = row.get::<Option<String>>("payer")? else {
		return Ok(None);
	};
	Ok(Some(Payment {
		payer: Payer::parse(&payer).ok_or(StoreError::Corrupt("payer"))?,
		pay: Amount(row.decode("pay")?),
	}))
}

/// One draw and what became of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AttemptRow {
	/// What the coordinator signed.
	pub assignment: Assignment,
	/// The signature.
	pub signature: WorkerSignature,
	/// The key that signed.
	pub coordinator_worker: WorkerId,
	/// When it was drawn.
	pub assigned_ms: UnixMs,
	/// When it ended.
	pub ended_ms: Option<UnixMs>,
	/// How it ended.
	pub ending: Option<Ending>,
	/// Why.
	pub reason: Option<String>,
}

impl AttemptRow {
	pub(super) fn from_row(row: &Row) -> Result<Self> {
		let ending: Option<String> = row.get("ending")?;
		let ending = ending
			.map(|name| Ending::from_name(&name).ok_or(StoreError::Corrupt("ending")))
			.transpose()?;
		Ok(Self {
			assignment: row.decode("assignment")?,
			signature: row.decode("signature")?,
			coordinator_worker: row.decode("coordinator_worker")?,
			assigned_ms: ms(row, "assigned_ms")?,
			ended_ms: row.get::<Option<i64>>("ended_ms")?.map(read_ms),
			ending,
			reason: row.get("reason")?,
		})
	}
}

/// What a miner committed to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ResultRow {
	/// The attempt.
	pub attempt: Attempt,
	/// What the miner's worker signed.
	pub commitment: ResultCommitment,
	/// The signature.
	pub signature: WorkerSignature,
	/// The artifact's size.
	pub bytes: u64,
	/// When it came.
	pub submitted_ms: UnixMs,
}

impl ResultRow {
	pub(super) fn from_row(row: &Row) -> Result<Self> {
		Ok(Self {
			attempt: row.get("attempt")?,
			commitment: row.decode("commitment")?,
			signature: row.decode("signature")?,
			bytes: row.get("bytes")?,
			submitted_ms: ms(row, "submitted_ms")?,
		})
	}
}

/// What is known of a model.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KnownModel {
	/// What was declared.
	pub info: ModelInfo,
	/// The stake of who declared it.
	pub stake: Balance,
}

impl KnownModel {
	pub(super) fn from_row(row: &Row) -> Result<Self> {
		let text: String = row.get("info")?;
		Ok(Self {
			info: serde_json::from_str(&text).map_err(|_| StoreError::Corrupt("model"))?,
			stake: row.decode("stake")?,
		})
	}
}

/// What a miner has done here.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MinerRow {
	/// Its account.
	pub account: AccountId,
	/// Tasks done.
	pub done: u64,
	/// Attempts failed.
	pub failed: u64,
}

impl MinerRow {
	pub(super) fn from_row(row: &Row) -> Result<Self> {
		Ok(Self {
			account: row.decode("account")?,
			done: row.get("done")?,
			failed: row.get("failed")?,
		})
	}
}

pub(super) fn ms(row: &Row, column: &'static str) -> Result<UnixMs> {
	Ok(read_ms(row.get(column)?))
}

/// A time as it was stored.
pub(crate) fn read_ms(stored: i64) -> UnixMs {
	u64::try_from(stored).unwrap_or(0)
}

/// A time as it is stored: its integers are signed.
pub(crate) fn stored_ms(time: UnixMs) -> i64 {
	i64::try_from(time).unwrap_or(i64::MAX)
}

fn state_from_name(name: &str) -> Result<TaskState> {
	use TaskState::*;
	[
		Queued, Assigned, Running, Submitted, Done, Failed, Cancelled, Expired,
	]
	.into_iter()
	.find(|state| state.name() == name)
	.ok_or(StoreError::Corrupt("state"))
}
