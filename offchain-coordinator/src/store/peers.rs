//! Other processes on the same store: what they did, which of them are gone, and what those had.

use super::{
	open_states,
	postgres::{Postgres, CHANNEL},
	rows::{stored_ms, AttemptRow, TaskRow},
	sql::{scale, values, Sql},
	tasks::{notice, read_attempt, stage, task, Open},
	Result, Store, StoreError,
};
use crate::{clock::UnixMs, state::Stage};
use cuckoo_coordinator_api::{miner::Held, task::TaskState};
use cuckoo_primitives::{task::TaskId, AccountId};
use fallible_iterator::FallibleIterator;
use std::{
	sync::{
		atomic::{AtomicBool, Ordering},
		Arc, Mutex, PoisonError,
	},
	time::Duration,
};
use tokio::sync::Notify;

/// Most changes that are kept for whoever asks next. Past it everything is to be looked at again.
const MAX_NEWS: usize = 20_000;

/// How often the listener looks whether it still has a connection, and whether to end.
const LOOK: Duration = Duration::from_secs(1);

/// For how long a dead process's row is kept: a commit of its may still be asked for.
const KEEP_DEAD_MS: u64 = 86_400_000;

/// A task that was changed, as other processes are told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Notice {
	/// Which.
	pub id: TaskId,
	/// Its order of acceptance.
	pub seq: i64,
	/// What it is now.
	pub change: Change,
}

/// What another process made of a task.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
	/// It waits.
	Queued,
	/// It was handed out.
	Assigned,
	/// Anything else.
	Other,
}

impl Change {
	const ALL: [(Self, &str); 3] = [
		(Self::Queued, "q"),
		(Self::Assigned, "a"),
		(Self::Other, "o"),
	];

	fn letter(self) -> &'static str {
		Self::ALL
			.iter()
			.find(|(change, _)| *change == self)
			.map_or("o", |(_, letter)| letter)
	}
}

impl From<TaskState> for Change {
	fn from(state: TaskState) -> Self {
		match state {
			TaskState::Queued => Self::Queued,
			TaskState::Assigned => Self::Assigned,
			_ => Self::Other,
		}
	}
}

impl Notice {
	/// As it is sent: digits and letters.
	pub(super) fn text(&self) -> String {
		let letter = self.change.letter();
		format!("{letter}{}{:x}", hex::encode(self.id.0), self.seq)
	}

	fn parse(text: &str) -> Option<Self> {
		let (letter, rest) = text.split_at_checked(1)?;
		let (change, _) = Change::ALL.into_iter().find(|(_, it)| *it == letter)?;
		let (id, seq) = rest.split_at_checked(32)?;
		Some(Self {
			id: TaskId(hex::decode(id).ok()?.try_into().ok()?),
			seq: i64::from_str_radix(seq, 16).ok()?,
			change,
		})
	}
}

/// What other processes did since it was asked for last.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct News {
	/// The tasks that they changed, in the order of their commits.
	pub tasks: Vec<Notice>,
	/// Whether there may be more that is not listed.
	pub missed: bool,
}

/// Where the listener leaves what it hears.
#[derive(Debug, Default)]
pub(super) struct Inbox {
	news: Mutex<News>,
	arrived: Notify,
}

impl Inbox {
	fn put(&self, change: impl FnOnce(&mut News)) {
		let mut news = self.news.lock().unwrap_or_else(PoisonError::into_inner);
		change(&mut news);
		if news.tasks.len() > MAX_NEWS {
			*news = News {
				missed: true,
				..News::default()
			};
		}
		drop(news);
		self.arrived.notify_one();
	}

	fn take(&self) -> News {
		std::mem::take(&mut *self.news.lock().unwrap_or_else(PoisonError::into_inner))
	}
}

/// Starts the thread that hears what other processes than `own` do, until `closing`.
pub(super) fn listen(
	config: postgres::Config,
	own: i64,
	inbox: Arc<Inbox>,
	closing: Arc<AtomicBool>,
) -> std::io::Result<()> {
	let listen = move || {
		while !closing.load(Ordering::SeqCst) {
			if let Err(error) = hear(&config, own, &inbox, &closing) {
				tracing::warn!(%error, "not hearing of other processes: trying again");
				std::thread::sleep(LOOK);
			}
		}
	};
	std::thread::Builder::new()
		.name("store-listener".into())
		.spawn(listen)
		.map(|_| ())
}

fn hear(
	config: &postgres::Config,
	own: i64,
	inbox: &Inbox,
	closing: &Arc<AtomicBool>,
) -> Result<()> {
	let lost = |error: postgres::Error| StoreError::Lost(error.to_string().into());
	let mut client = Postgres::connect(config, closing.clone())?.into_client()?;
	client
		.batch_execute(&format!("LISTEN {CHANNEL}"))
		.map_err(lost)?;
	// What was told before this is not heard.
	inbox.put(|news| news.missed = true);
	while !closing.load(Ordering::SeqCst) {
		let heard = client.notifications().timeout_iter(LOOK).next();
		match heard.map_err(lost)? {
			Some(notification) => {
				let mut words = notification.payload().split(' ');
				let from = words.next().and_then(|word| word.parse().ok());
				if from != Some(own) {
					inbox.put(|news| news.tasks.extend(words.filter_map(Notice::parse)));
				}
			},
			None => client.is_valid(LOOK * 5).map_err(lost)?,
		}
	}
	Ok(())
}

/// Whether the row's process holds its lock: for a query over `instances`.
macro_rules! is_alive {
	() => {
		"EXISTS (SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2 \
		 AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
		 AND classid::bigint = $1 AND objid::bigint = number)"
	};
}

/// An attempt that was taken over from another process, for its miner has come here.
#[derive(Clone, Debug)]
pub struct Taken {
	/// The task.
	pub task: TaskRow,
	/// The attempt.
	pub attempt: AttemptRow,
	/// Whether the other process is gone.
	pub was_orphan: bool,
}

impl Store {
	/// The number of this process among those that share the store; `None` where there can be no other.
	pub fn instance(&self) -> Option<i64> {
		self.instance
	}

	/// Waits until other processes have done something, and tells it.
	pub async fn news(&self) -> News {
		loop {
			let arrived = self.inbox.arrived.notified();
			let news = self.inbox.take();
			if news != News::default() {
				return news;
			}
			arrived.await;
		}
	}

	/// Writes nothing, so that a connection which broke is made anew and others see this process alive.
	pub async fn beat(&self) -> Result<()> {
		self.write(|_| Ok(()), |()| {}).await
	}

	/// The processes that are not connected now.
	pub async fn silent_instances(&self) -> Result<Vec<i64>> {
		let query = concat!(
			"SELECT number FROM instances WHERE dead_ms IS NULL AND NOT ",
			is_alive!()
		);
		let values = values![i64::from(super::postgres::LOCKS)].to_vec();
		self.rows(query, values, |row| row.get("number")).await
	}

	/// Takes over what a process had that is gone: nothing, if another was first or it is back.
	pub async fn take_over_from(
		&self,
		number: i64,
		now_ms: UnixMs,
		after: impl FnOnce(&Vec<Open>) + Send + 'static,
	) -> Result<Vec<Open>> {
		let own = self.instance;
		let work = move |sql: &mut dyn Sql| take_over_from(sql, number, own, now_ms);
		self.write(work, after).await
	}

	/// Takes over one attempt for its miner, which has come to this process.
	pub async fn take_over(
		&self,
		held: Held,
		miner: AccountId,
		after: impl FnOnce(&Option<Taken>) + Send + 'static,
	) -> Result<Option<Taken>> {
		let own = self.instance;
		let work = move |sql: &mut dyn Sql| take_over(sql, &held, &miner, own);
		self.write(work, after).await
	}

	/// Every task that waits, by its order of acceptance.
	pub async fn queued(&self) -> Result<Vec<(i64, TaskId)>> {
		let query = concat!(
			"SELECT seq, id FROM tasks WHERE ",
			open_states!(),
			" AND state = 'queued' ORDER BY seq"
		);
		let read = |row: &super::sql::Row| Ok((row.get("seq")?, row.decode("id")?));
		self.rows(query, vec![], read).await
	}

	/// These tasks with their stages, those that are there.
	pub async fn tasks_with_stages(&self, ids: Vec<TaskId>) -> Result<Vec<(TaskRow, Stage)>> {
		let work = move |sql: &mut dyn Sql| {
			let mut found = Vec::new();
			for id in &ids {
				if let Some(task) = task(sql, id)? {
					let stage = stage(sql, &task)?;
					found.push((task, stage));
				}
			}
			Ok(found)
		};
		self.read(work).await
	}
}

fn take_over_from(
	sql: &mut dyn Sql,
	number: i64,
	own: Option<i64>,
	now_ms: UnixMs,
) -> Result<Vec<Open>> {
	let locks = i64::from(super::postgres::LOCKS);
	let mark = concat!(
		"UPDATE instances SET dead_ms = $2 WHERE number = $3 AND dead_ms IS NULL AND NOT ",
		is_alive!()
	);
	if sql.execute(mark, values![locks, stored_ms(now_ms), number])? == 0 {
		return Ok(Vec::new());
	}
	sql.execute(
		"DELETE FROM instances WHERE dead_ms < $1",
		values![stored_ms(now_ms.saturating_sub(KEEP_DEAD_MS))],
	)?;
	let move_to = concat!(
		"UPDATE tasks SET instance = $1 WHERE ",
		open_states!(),
		" AND state <> 'queued' AND instance = $2 RETURNING *"
	);
	let tasks = sql.rows(move_to, values![own, number], TaskRow::from_row)?;
	let mut open = Vec::new();
	for task in tasks {
		let stage = stage(sql, &task)?;
		let number = task.attempt.ok_or(StoreError::Corrupt("attempt"))?;
		let attempt = read_attempt(sql, &task.id, number)?;
		sql.tell(notice(&task));
		open.push(Open {
			task,
			stage,
			attempt,
		});
	}
	Ok(open)
}

fn take_over(
	sql: &mut dyn Sql,
	held: &Held,
	miner: &AccountId,
	own: Option<i64>,
) -> Result<Option<Taken>> {
	let Some(before) = task(sql, &held.task)? else {
		return Ok(None);
	};
	let at_work = matches!(before.state, TaskState::Assigned | TaskState::Running);
	let its = before.attempt == Some(held.attempt) && before.miner.as_ref() == Some(miner);
	if !at_work || !its || before.instance == own {
		return Ok(None);
	}
	let update = "UPDATE tasks SET instance = $1 WHERE id = $2";
	sql.execute(update, values![own, scale(&held.task)])?;
	let attempt = read_attempt(sql, &held.task, held.attempt)?;
	let alive = concat!(
		"SELECT 1 FROM instances WHERE number = $2 AND dead_ms IS NULL AND ",
		is_alive!()
	);
	let locks = i64::from(super::postgres::LOCKS);
	let was_orphan = sql.row(alive, values![locks, before.instance])?.is_none();
	let mut task = before;
	task.instance = own;
	sql.tell(notice(&task));
	Ok(Some(Taken {
		task,
		attempt: attempt.ok_or(StoreError::Corrupt("attempt"))?,
		was_orphan,
	}))
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn a_notice_reads_back_and_what_is_none_is_left_out() {
		let all = [
			(1, Change::Queued),
			(2, Change::Assigned),
			(i64::MAX, Change::Other),
		];
		for (seq, change) in all {
			let notice = Notice {
				id: TaskId([7; 16]),
				seq,
				change,
			};
			assert_eq!(Notice::parse(&notice.text()), Some(notice));
		}
		for wrong in ["", "q", "q12", &"é".repeat(40), &"z".repeat(40)] {
			assert_eq!(Notice::parse(wrong), None, "{wrong}");
		}
	}

	#[test]
	fn what_nobody_asks_for_stays_bounded_and_is_not_forgotten() {
		let inbox = Inbox::default();
		let notice = Notice {
			id: TaskId([7; 16]),
			seq: 1,
			change: Change::Queued,
		};
		for _ in 0..=MAX_NEWS {
			inbox.put(|news| news.tasks.push(notice));
		}
		let news = inbox.take();
		assert!(news.missed && news.tasks.is_empty());
		assert_eq!(inbox.take(), News::default());
	}
}
