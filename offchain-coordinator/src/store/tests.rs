use super::*;

mod journal;
mod on_postgres;
use std::{sync::mpsc, time::Duration};
use tokio::sync::oneshot;

const MINER: AccountId = AccountId::new([1; 32]);

/// An empty place of every kind that is here, with the folder that it may be in.
fn places(name: &str) -> Vec<(Place, tempfile::TempDir)> {
	let folder = || tempfile::tempdir().unwrap();
	let directory = folder();
	let mut places = vec![(Place::Directory(directory.path().to_owned()), directory)];
	let database = format!("cuckoo_store_{name}_{}", std::process::id());
	if let Some(config) = postgres_server::database(&database) {
		places.push((Place::Postgres(Box::new(config)), folder()));
	}
	places
}

/// Adds the number to a table of its own.
fn add(number: i64) -> impl Fn(&mut dyn Sql) -> Result<i64> + Send + 'static {
	move |sql| {
		let insert = "INSERT INTO meta (key, value) VALUES ($1, $2)";
		sql.execute(
			insert,
			values![number.to_string().as_str(), [0u8; 1].as_slice()],
		)?;
		Ok(number)
	}
}

/// The numbers that were added and are there.
async fn added(store: &Store) -> Vec<i64> {
	let number = |row: &sql::Row| Ok(row.get::<String>("key")?.parse().unwrap());
	let mut numbers = store
		.rows("SELECT key FROM meta", vec![], number)
		.await
		.unwrap();
	numbers.sort_unstable();
	numbers
}

/// Hands a write to the writer, and does not wait for it.
async fn send<T: Send + 'static>(
	store: &Store,
	work: impl Fn(&mut dyn Sql) -> Result<T> + Send + 'static,
	after: impl FnOnce(&T) + Send + 'static,
) -> oneshot::Receiver<Result<T>> {
	let Engine::Threads { writer, .. } = &*store.engine else {
		panic!("not on threads");
	};
	let (job, outcome) = writer::write(work, after);
	writer.send(job).await.unwrap();
	outcome
}

/// Holds the writer until the sender is dropped, so that what comes meanwhile is one commit.
async fn hold(store: &Store) -> mpsc::Sender<()> {
	let (hold, held) = mpsc::channel::<()>();
	let held = Mutex::new(held);
	let wait = move |_: &mut dyn Sql| {
		let _ = lock(&held).recv();
		Ok(())
	};
	send(store, wait, |()| {}).await;
	hold
}

/// A write that fails or panics is undone by itself, whatever else is in its commit.
#[tokio::test]
async fn a_write_that_fails_fails_alone() {
	for (place, _folder) in places("alone") {
		fails_alone(&Store::open_at(&place).await.unwrap()).await;
	}
}

async fn fails_alone(store: &Store) {
	let after = Arc::new(Mutex::new(Vec::new()));
	let release = hold(store).await;
	let mut outcomes = Vec::new();
	for number in 0..12 {
		let work = move |sql: &mut dyn Sql| {
			add(number)(sql)?;
			match number % 4 {
				1 => Err(StoreError::Corrupt("test")),
				2 => panic!("a write breaks on purpose"),
				// Fails in the database: that one is there already.
				3 => add(0)(sql),
				_ => Ok(number),
			}
		};
		let after = after.clone();
		let note = move |number: &i64| lock(&after).push(*number);
		outcomes.push(send(store, work, note).await);
	}
	drop(release);
	for (number, outcome) in outcomes.into_iter().enumerate() {
		let outcome = outcome.await.unwrap();
		assert_eq!(outcome.is_ok(), number % 4 == 0, "{number}: {outcome:?}");
	}
	assert_eq!(*lock(&after), [0, 4, 8], "in their order");
	assert_eq!(added(store).await, [0, 4, 8]);
	assert!(!store.is_closed());
	assert_eq!(store.write(add(20), |_| {}).await.unwrap(), 20);
	store.close().await;
}

#[tokio::test]
async fn close_waits_for_what_was_handed_in_and_nothing_comes_after_it() {
	for (place, folder) in places("close") {
		close_waits(&place, folder.path()).await;
	}
}

async fn close_waits(place: &Place, folder: &Path) {
	let store = Store::open_at(place).await.unwrap();
	let release = hold(&store).await;
	let writes: Vec<_> = (0..300)
		.map(|number| {
			let store = store.clone();
			tokio::spawn(async move { store.write(add(number), |_| {}).await })
		})
		.collect();
	tokio::task::yield_now().await;
	let close = {
		let store = store.clone();
		tokio::spawn(async move { store.close().await })
	};
	tokio::time::sleep(Duration::from_millis(20)).await;
	drop(release);
	close.await.unwrap();
	let mut told = Vec::new();
	for write in writes {
		match write.await.unwrap() {
			Ok(number) => told.push(number),
			Err(error) => assert!(matches!(error, StoreError::Closed), "{error}"),
		}
	}
	assert!(store.is_closed());
	let late = store.write(add(1_000), |_| {}).await.unwrap_err();
	assert!(matches!(late, StoreError::Closed), "{late}");
	assert!(matches!(store.models().await, Err(StoreError::Closed)));
	assert!(!folder.join(format!("{FILE_NAME}-wal")).exists());

	let store = Store::open_at(place).await.unwrap();
	told.sort_unstable();
	assert_eq!(added(&store).await, told);
}

/// Whoever drops the last handle waits for the writes whose callers went away.
#[tokio::test]
async fn a_write_happens_also_when_nobody_waits_for_it() {
	for (place, _folder) in places("nobody") {
		nobody_waits(&place).await;
	}
}

async fn nobody_waits(place: &Place) {
	let store = Store::open_at(place).await.unwrap();
	let release = hold(&store).await;
	{
		let write = store.write(add(7), |_| {});
		let timeout = tokio::time::timeout(Duration::from_millis(1), write);
		assert!(timeout.await.is_err(), "the writer is held");
	}
	drop(release);
	drop(store);
	let store = Store::open_at(place).await.unwrap();
	assert_eq!(added(&store).await, [7]);
}

/// No write waits for another thread, and what was committed survives the store.
#[test]
fn inline_stores_need_no_runtime_and_lose_only_what_was_not_committed() {
	use futures::FutureExt;
	let memory = Memory::new().unwrap();
	let store = Store::open_inline(&memory).unwrap();
	let worker = WorkerId::from_raw([2; 32]);
	let put = store.put_miner_worker(MINER, worker).now_or_never();
	put.expect("nothing to wait for").unwrap();
	let failed = store.write(
		|sql: &mut dyn Sql| {
			add(1)(sql)?;
			Err::<(), _>(StoreError::Corrupt("test"))
		},
		|_| {},
	);
	assert!(failed.now_or_never().unwrap().is_err());
	{
		// As if the process died in the middle of a commit.
		let mut connection = memory.connect().unwrap();
		connection.begin().unwrap();
		add(2)(&mut connection).unwrap();
	}
	drop(store);
	let store = Store::open_inline(&memory).unwrap();
	let found = store.miner_by_worker(&worker).now_or_never().unwrap();
	assert_eq!(found.unwrap(), Some(MINER));
	assert_eq!(added(&store).now_or_never().unwrap(), Vec::<i64>::new());
	store.close().now_or_never().unwrap();
	assert!(store.is_closed());
	assert!(store.models().now_or_never().unwrap().is_err());
}

#[tokio::test]
async fn a_store_of_a_newer_version_is_refused() {
	for (place, _folder) in places("newer") {
		let store = Store::open_at(&place).await.unwrap();
		let insert = "INSERT INTO migrations (number, name, hash) VALUES ($1, $2, $3)";
		let later = values![1_000i64, "1000_later", [0u8; 1].as_slice()].to_vec();
		store.execute(insert, later).await.unwrap();
		store.close().await;
		let refused = Store::open_at(&place).await.unwrap_err().to_string();
		assert!(refused.contains("newer version"), "{refused}");
	}
}
