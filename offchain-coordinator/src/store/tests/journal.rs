//! Whatever moves money is booked, once, and whatever differs from what is booked is found.

use super::*;
use crate::{
	apps::AppId,
	ledger::{
		journal::{Account, Fee},
		reconcile, Payer, Payment,
	},
	state::{Ending, Event},
	terms::Terms,
};
use cuckoo_coordinator_api::{task::TaskState, Amount};
use cuckoo_primitives::{
	sum_tree::{self, SumTree},
	task::{SchedulerKind, TaskId, TaskSpec},
	voucher::{ChannelId, ChannelVoucher},
	EraIndex, WorkerSignature,
};

const PRICE: Balance = 100;
const PAY: Balance = 75;
const ERA: EraIndex = 7;
const CHANNEL: ChannelId = 3;
const APP: &str = "app-0011223344556677";

fn spec(seed: u64) -> TaskSpec {
	TaskSpec {
		model: H256::repeat_byte(1),
		prompt: "apple".into(),
		negative_prompt: String::new(),
		seed,
		steps: 4,
		width: 16,
		height: 16,
		guidance_milli: 0,
		scheduler: SchedulerKind::Ddim,
	}
}

fn new_task(number: u8, payer: Payer, voucher: Option<Balance>) -> NewTask {
	let taken = |cumulative| TakenVoucher {
		voucher: ChannelVoucher {
			coordinator: AccountId::new([9; 32]),
			channel: CHANNEL,
			cumulative,
		},
		signature: WorkerSignature::from_raw([0; 64]),
		deposit: 1_000,
		redeemed: 40,
	};
	NewTask {
		id: TaskId([number; 16]),
		app: AppId::new(APP),
		nonce: number.to_string(),
		idempotency_key: None,
		request_hash: H256::zero(),
		spec: spec(number.into()),
		priority: 0,
		queue_until_ms: 1_000,
		max_wait_ms: None,
		terms: Terms {
			price: Amount(PRICE),
			deadline_ms: None,
			webhook: None,
			payment: Some(Payment {
				payer,
				pay: Amount(PAY),
			}),
		},
		voucher: voucher.map(|cumulative| Box::new(taken(cumulative))),
	}
}

async fn submit(store: &Store, new: NewTask) -> TaskRow {
	match store.submit_task(new, 10, |_| {}).await.unwrap() {
		Submitted::Accepted(task) => task,
		other => panic!("{other:?}"),
	}
}

async fn cancel(store: &Store, task: &TaskRow) {
	let extra = Extra::End {
		ending: Ending::Cancelled,
		reason: None,
		queue_until_ms: 0,
	};
	let cancelled = store.transition(task.id, Event::Cancel, extra, 20, |_| {});
	cancelled.await.unwrap().unwrap();
}

/// The task is done by [`MINER`], without the steps that lead there.
async fn done(store: &Store, task: &TaskRow) -> Result<Option<Earned>> {
	let mut task = task.clone();
	(task.state, task.miner, task.updated_ms) = (TaskState::Done, Some(MINER), 20);
	let work = move |sql: &mut dyn Sql| {
		let update = "UPDATE tasks SET state = 'done', miner = $1, updated_ms = 20 WHERE id = $2";
		sql.execute(update, values![scale(&MINER), scale(&task.id)])?;
		ledger::end(sql, &task, Some(ERA))
	};
	store.write(work, |_| {}).await
}

async fn credited(store: &Store, reference: &'static str, amount: Balance) -> bool {
	let work = move |sql: &mut dyn Sql| {
		let credit = Credit {
			app: APP,
			amount,
			reference,
		};
		ledger::credit(sql, &credit, 5)
	};
	store.write(work, |_| {}).await.unwrap().is_some()
}

fn fee(sum: Balance) -> Fee {
	Fee {
		miners: sum,
		coordinator: 30,
		audit: 4,
		burned: 16,
	}
}

async fn post_era(store: &Store) {
	store.close_eras(ERA).await.unwrap();
	let context = sum_tree::context(&H256::zero(), &AccountId::new([9; 32]), ERA);
	let tree = SumTree::new(&context, store.leaves(ERA).await.unwrap()).unwrap();
	store.put_root(ERA, tree.root()).await.unwrap();
	for _ in 0..2 {
		store.put_posted(ERA, fee(2 * PAY), 30).await.unwrap();
	}
}

/// An app and a channel that has paid elsewhere before; two tasks that are done, one that came to nothing
/// and one that waits; the era is settled.
async fn some_of_everything(store: &Store) -> Vec<TaskRow> {
	store
		.bind(H256::zero(), AccountId::new([9; 32]))
		.await
		.unwrap();
	assert!(credited(store, "invoice 1", 250).await);
	assert!(!credited(store, "invoice 1", 250).await, "once");
	let app = Payer::Account(APP.into());
	let channel = Payer::Channel(CHANNEL);
	let tasks = vec![
		submit(store, new_task(1, app.clone(), None)).await,
		submit(store, new_task(2, channel.clone(), Some(240))).await,
		submit(store, new_task(3, app, None)).await,
		submit(store, new_task(4, channel, Some(240))).await,
	];
	for task in &tasks[..2] {
		done(store, task).await.unwrap();
	}
	cancel(store, &tasks[2]).await;
	post_era(store).await;
	tasks
}

async fn differences(store: &Store) -> Vec<String> {
	let books = store.books().await.unwrap();
	reconcile::check(&books, None).await.unwrap().differences
}

async fn keys(store: &Store, of: Of) -> Vec<String> {
	let booked = store.journal(of, 100).await.unwrap();
	booked.into_iter().map(|booked| booked.entry.key).collect()
}

#[tokio::test]
async fn every_movement_is_booked_once() {
	for (place, _folder) in places("booked") {
		booked_once(&Store::open_at(&place).await.unwrap()).await;
	}
}

async fn booked_once(store: &Store) {
	let tasks = some_of_everything(store).await;
	assert_eq!(differences(store).await, Vec::<String>::new());
	let expected = [
		"burn:7",
		"audit:7",
		"pool:7",
		"settle:7",
		"back:3",
		"earn:2",
		"spend:2",
		"earn:1",
		"spend:1",
		"hold:4",
		"hold:3",
		"hold:2",
		"voucher:3:240",
		"channel:3",
		"hold:1",
		"credit:invoice 1",
	];
	assert_eq!(keys(store, Of::All).await, expected);
	let app = Of::Payer(Payer::Account(APP.into()));
	assert_eq!(
		keys(store, app).await,
		["back:3", "spend:1", "hold:3", "hold:1", "credit:invoice 1"]
	);
	let channel = Of::Payer(Payer::Channel(CHANNEL));
	assert_eq!(
		keys(store, channel).await,
		["spend:2", "hold:4", "hold:2", "voucher:3:240", "channel:3"]
	);
	for era in [None, Some(ERA)] {
		assert_eq!(
			keys(store, Of::Miner(MINER, era)).await,
			["earn:2", "earn:1"]
		);
	}
	let nobody = Of::Miner(AccountId::new([2; 32]), None);
	assert_eq!(keys(store, nobody).await, Vec::<String>::new());
	assert_eq!(
		keys(store, Of::Task(tasks[1].id)).await,
		["earn:2", "spend:2", "hold:2"]
	);
	assert_eq!(
		keys(store, Of::Era(ERA)).await,
		["burn:7", "audit:7", "pool:7", "settle:7", "earn:2", "earn:1"]
	);
	let books = store.books().await.unwrap();
	let balance = |account: Account| books.journal.balance(&account).unwrap();
	assert_eq!(balance(Account::Outside), 250 + 240 - 2 * PAY - 50);
	let (miner, era) = (MINER, ERA);
	assert_eq!(balance(Account::Earned { miner, era }), 2 * PAY);
	assert_eq!(balance(Account::Settled(ERA)), 2 * PAY);
	assert_eq!(balance(Account::Burned), 16);

	// A movement that is booked fails whatever would book it again, whole.
	let again = done(store, &tasks[3]).await.unwrap().unwrap();
	assert_eq!((again.era, again.cumulative), (ERA + 1, PAY));
	done(store, &tasks[3]).await.unwrap_err();
	let put_back = |sql: &mut dyn Sql| {
		let update = "UPDATE purses SET held = $1 WHERE channel = 3";
		sql.execute(update, values![scale(&PRICE)]).map(|_| ())
	};
	store.write(put_back, |()| {}).await.unwrap();
	let twice = done(store, &tasks[3]).await.unwrap_err().to_string();
	assert!(twice.contains("journal"), "{twice}");
	let held = |sql: &mut dyn Sql| {
		let update = "UPDATE purses SET held = $1 WHERE channel = 3";
		sql.execute(update, values![scale(&(0 as Balance))])
			.map(|_| ())
	};
	store.write(held, |()| {}).await.unwrap();
	assert_eq!(differences(store).await, Vec::<String>::new());

	// The journal stays when tasks go, and a task of the same id is another one.
	while store.remove_tasks(1_000).await.unwrap().rows > 0 {}
	assert_eq!(differences(store).await, Vec::<String>::new());
	let app = Payer::Account(APP.into());
	submit(store, new_task(1, app, None)).await;
	assert_eq!(
		keys(store, Of::Task(tasks[0].id)).await,
		["hold:5", "earn:1", "spend:1", "hold:1"]
	);
	assert_eq!(differences(store).await, Vec::<String>::new());
}

#[tokio::test]
async fn the_database_refuses_to_change_the_journal() {
	for (place, _folder) in places("refuses") {
		let store = Store::open_at(&place).await.unwrap();
		some_of_everything(&store).await;
		let mut changes = vec![
			"UPDATE journal SET key = 'x' WHERE seq = 1",
			"DELETE FROM journal WHERE seq = 1",
			"DELETE FROM journal",
		];
		if matches!(place, Place::Postgres(_)) {
			changes.push("TRUNCATE journal");
		}
		for change in changes {
			let refused = store.execute(change, vec![]).await.unwrap_err();
			assert!(refused.to_string().contains("only added to"), "{refused}");
		}
		assert_eq!(differences(&store).await, Vec::<String>::new());
	}
}

/// Makes the journal like any other table.
fn let_it_be_changed(sql: &mut dyn Sql) -> Result<()> {
	sql.batch(match sql.dialect() {
		sql::Dialect::Sqlite => "DROP TRIGGER journal_keeps; DROP TRIGGER journal_stays;",
		sql::Dialect::Postgres => "DROP TRIGGER journal_keeps ON journal;",
	})
}

/// The books as they are with something changed, which is then undone.
async fn with(store: &Store, change: &'static str) -> Vec<String> {
	let books = Arc::new(Mutex::new(None));
	let seen = books.clone();
	let work = move |sql: &mut dyn Sql| {
		let_it_be_changed(sql)?;
		let one = [scale(&(1 as Balance))];
		let values = if change.contains("$1") { &one[..] } else { &[] };
		let changed = sql.execute(change, values)?;
		assert_ne!(changed, 0, "{change}");
		*lock(&seen) = Some(books::read(sql)?);
		Err::<(), _>(StoreError::Corrupt("test"))
	};
	let undone = store.write(work, |()| {}).await.unwrap_err();
	let books = lock(&books).take();
	let books = books.unwrap_or_else(|| panic!("{change}: {undone}"));
	reconcile::check(&books, None).await.unwrap().differences
}

#[tokio::test]
async fn whatever_deviates_is_found() {
	for (place, _folder) in places("deviates") {
		let store = Store::open_at(&place).await.unwrap();
		some_of_everything(&store).await;
		deviations_are_found(&store).await;
		assert_eq!(differences(&store).await, Vec::<String>::new());
	}
}

async fn deviations_are_found(store: &Store) {
	// $1 is a balance of 1.
	let cases = [
		(
			"UPDATE purses SET paid_in = $1 WHERE channel IS NULL",
			"available:app-",
		),
		(
			"UPDATE purses SET held = $1 WHERE channel = 3",
			"held:channel-3",
		),
		(
			"UPDATE purses SET spent = $1 WHERE channel = 3",
			"spent:channel-3",
		),
		("UPDATE earnings SET amount = $1", "earned:"),
		("UPDATE earnings SET amount = $1", "pay has"),
		("UPDATE eras SET state = 'closed'", "settled:7 has 150"),
		(
			"DELETE FROM journal WHERE key = 'settle:7'",
			"settled:7 has 0",
		),
		(
			"DELETE FROM journal WHERE key = 'hold:1'",
			"held:app-0011223344556677 is overdrawn",
		),
		(
			"DELETE FROM journal WHERE key = 'earn:2'",
			"has 75 by the journal, and 150",
		),
		(
			"DELETE FROM journal WHERE key = 'credit:invoice 1'",
			"available:app-",
		),
		(
			"UPDATE journal SET amount = $1 WHERE key = 'spend:2'",
			"spent:channel-3 has 41 ",
		),
		(
			"UPDATE journal SET debit = 'outside' WHERE key = 'spend:2'",
			"held:channel-3",
		),
		(
			"UPDATE journal SET debit = 'till' WHERE key = 'burn:7'",
			"entry 16 of the journal is broken",
		),
		(
			"INSERT INTO journal (at_ms, key, debit, credit, amount) \
			 VALUES (1, 'x', 'outside', 'held:app-2', $1)",
			"held:app-2 has 1 by the journal, and 0",
		),
	];
	for (change, expected) in cases {
		let found = with(store, change).await;
		let is_found = found.iter().any(|it| it.contains(expected));
		assert!(is_found, "{change}: {found:?}");
	}
	let overdrawn = "UPDATE journal SET debit = 'audit', credit = 'burned' \
		WHERE key IN ('burn:7', 'credit:invoice 1')";
	let found = with(store, overdrawn).await;
	assert!(
		found.contains(&"burned is overdrawn in the journal".into()),
		"{found:?}"
	);
}

/// A store of before there was a journal gets one that agrees with its other tables.
#[tokio::test]
async fn the_journal_is_opened_with_what_is_there() {
	for (place, _folder) in places("opened") {
		let store = Store::open_at(&place).await.unwrap();
		let tasks = some_of_everything(&store).await;
		let remove = |sql: &mut dyn Sql| {
			let_it_be_changed(sql)?;
			sql.batch("DROP TABLE journal; DELETE FROM migrations WHERE number = 5;")?;
			if sql.dialect() == sql::Dialect::Postgres {
				sql.batch("DROP FUNCTION journal_is_only_added_to")?;
			}
			Ok(())
		};
		store.write(remove, |()| {}).await.unwrap();
		store.close().await;
		let store = Store::open_at(&place).await.unwrap();
		assert_eq!(differences(&store).await, Vec::<String>::new());
		let opened = keys(&store, Of::All).await;
		let earned = format!("open:earned:{MINER}:7");
		assert_eq!(
			opened,
			[
				"open:settled:7",
				&earned,
				"open:spent:channel-3",
				"open:held:channel-3",
				"open:spent:app-0011223344556677",
				"open:available:app-0011223344556677",
			]
		);
		cancel(&store, &tasks[3]).await;
		assert_eq!(keys(&store, Of::Task(tasks[3].id)).await, ["back:4"]);
		assert_eq!(differences(&store).await, Vec::<String>::new());
		let refused = store.execute("DELETE FROM journal", vec![]).await;
		assert!(refused.is_err());
	}
}
