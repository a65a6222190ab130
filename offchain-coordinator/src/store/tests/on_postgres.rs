//! What can go wrong only where the database is elsewhere.

use super::*;
use ::postgres::{config::Host, Config};
use std::{
	io::{Read, Write},
	net::{Shutdown, TcpListener, TcpStream},
	os::unix::net::UnixStream,
	sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

fn database(name: &str) -> Option<Config> {
	postgres_server::database(&format!("cuckoo_store_{name}_{}", std::process::id()))
}

async fn open(config: &Config) -> Store {
	let place = Place::Postgres(Box::new(config.clone()));
	Store::open_at(&place).await.unwrap()
}

/// Ends every other session on the database, as a restart of the server does.
fn end_sessions(sql: &mut dyn Sql) -> Result<()> {
	let query = "SELECT pg_terminate_backend(pid)::text FROM pg_stat_activity \
		WHERE datname = current_database() AND pid <> pg_backend_pid()";
	sql.query(query, &[]).map(|_| ())
}

#[tokio::test]
async fn connections_that_broke_are_made_anew_and_nobody_notices() {
	let Some(config) = database("broken") else {
		return;
	};
	let store = open(&config).await;
	let other = open(&config).await;
	for number in 0..3 {
		other.write(end_sessions, |()| {}).await.unwrap();
		assert_eq!(store.write(add(number), |_| {}).await.unwrap(), number);
		other.write(end_sessions, |()| {}).await.unwrap();
		assert_eq!(added(&store).await.len() as i64, number + 1);
	}
}

/// A commit of which one write has lost its connection is run again whole.
#[tokio::test]
async fn a_connection_that_breaks_in_the_middle_undoes_all_and_all_is_done_again() {
	let Some(config) = database("middle") else {
		return;
	};
	let store = open(&config).await;
	let after = Arc::new(AtomicU64::new(0));
	let release = hold(&store).await;
	let mut outcomes = Vec::new();
	let broken = Arc::new(AtomicBool::new(false));
	for number in 0..5 {
		let broken = broken.clone();
		let work = move |sql: &mut dyn Sql| {
			if number == 3 && !broken.swap(true, Ordering::SeqCst) {
				sql.query("SELECT pg_terminate_backend(pg_backend_pid())::text", &[])?;
			}
			add(number)(sql)
		};
		let after = after.clone();
		let count = move |_: &i64| {
			after.fetch_add(1, Ordering::SeqCst);
		};
		outcomes.push(send(&store, work, count).await);
	}
	drop(release);
	for outcome in outcomes {
		outcome.await.unwrap().unwrap();
	}
	assert_eq!(after.load(Ordering::SeqCst), 5);
	assert_eq!(added(&store).await, [0, 1, 2, 3, 4]);
}

/// Stands between a store and the database, and can lose a commit or the answer to it.
struct Between {
	config: Config,
	/// Of the next commit: whether it reaches the database. Then everything breaks off.
	lose: Arc<Mutex<Option<bool>>>,
}

impl Between {
	fn new(config: &Config) -> Self {
		let listener = TcpListener::bind("127.0.0.1:0").unwrap();
		let mut between = Config::new();
		between
			.host("127.0.0.1")
			.port(listener.local_addr().unwrap().port())
			.user(config.get_user().unwrap())
			.dbname(config.get_dbname().unwrap());
		let lose = Arc::new(Mutex::new(None));
		let (behind, lost) = (config.clone(), lose.clone());
		std::thread::spawn(move || {
			for client in listener.incoming() {
				let (client, lose) = (client.unwrap(), lost.clone());
				let server = connect_behind(&behind);
				std::thread::spawn(move || pass(client, server, &lose));
			}
		});
		Self {
			config: between,
			lose,
		}
	}
}

/// A connection to the server, as the system has it.
trait Connection: Read + Write + Send {
	fn both(&self) -> Box<dyn Connection>;
	fn end(&self);
}

impl Connection for TcpStream {
	fn both(&self) -> Box<dyn Connection> {
		Box::new(self.try_clone().unwrap())
	}
	fn end(&self) {
		let _ = self.shutdown(Shutdown::Both);
	}
}

impl Connection for UnixStream {
	fn both(&self) -> Box<dyn Connection> {
		Box::new(self.try_clone().unwrap())
	}
	fn end(&self) {
		let _ = self.shutdown(Shutdown::Both);
	}
}

fn connect_behind(config: &Config) -> Box<dyn Connection> {
	let port = config.get_ports().first().copied().unwrap_or(5432);
	match &config.get_hosts()[0] {
		Host::Tcp(host) => Box::new(TcpStream::connect((host.as_str(), port)).unwrap()),
		Host::Unix(folder) => {
			let socket = folder.join(format!(".s.PGSQL.{port}"));
			Box::new(UnixStream::connect(socket).unwrap())
		},
	}
}

fn pass(client: TcpStream, mut server: Box<dyn Connection>, lose: &Mutex<Option<bool>>) {
	let (mut from_server, mut to_client) = (server.both(), client.try_clone().unwrap());
	let mute = Arc::new(AtomicBool::new(false));
	let muted = mute.clone();
	let back = std::thread::spawn(move || {
		let mut buffer = [0; 8_192];
		while let Ok(length @ 1..) = from_server.read(&mut buffer) {
			// The answer to a commit is lost, but waited for: it has happened then.
			if muted.load(Ordering::SeqCst) || to_client.write_all(&buffer[..length]).is_err() {
				break;
			}
		}
		to_client.end();
	});
	let (mut client, mut buffer) = (client, [0; 8_192]);
	while let Ok(length @ 1..) = client.read(&mut buffer) {
		let said = &buffer[..length];
		let reaches = match said.windows(6).any(|word| word == b"COMMIT") {
			true => lock(lose).take(),
			false => None,
		};
		mute.store(reaches.is_some(), Ordering::SeqCst);
		if reaches == Some(false) || server.write_all(said).is_err() {
			break;
		}
		if reaches == Some(true) {
			let _ = back.join();
			server.end();
			return;
		}
	}
	client.end();
	server.end();
}

/// The database went away during a commit: it is asked whether that happened, and each write is told
/// what is true and happens once.
#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_neither_lost_nor_done_twice() {
	let Some(config) = database("answer") else {
		return;
	};
	let between = Between::new(&config);
	let store = open(&between.config).await;
	let after = Arc::new(AtomicU64::new(0));
	for (number, reaches) in [(1, true), (2, false), (3, true)] {
		*lock(&between.lose) = Some(reaches);
		let counted = after.clone();
		let count = move |_: &i64| {
			counted.fetch_add(1, Ordering::SeqCst);
		};
		assert_eq!(store.write(add(number), count).await.unwrap(), number);
		assert_eq!(*lock(&between.lose), None, "it broke");
		assert_eq!(after.load(Ordering::SeqCst), number as u64);
	}
	assert_eq!(added(&store).await, [1, 2, 3]);
}

#[tokio::test]
async fn a_process_that_was_taken_for_dead_can_write_nothing_more() {
	let Some(config) = database("dead") else {
		return;
	};
	let store = open(&config).await;
	let other = open(&config).await;
	let number = store.instance().unwrap();
	assert_ne!(Some(number), other.instance());
	assert_eq!(other.silent_instances().await.unwrap(), Vec::<i64>::new());
	assert!(
		other
			.take_over_from(number, 1, |_| {})
			.await
			.unwrap()
			.is_empty(),
		"it lives"
	);
	store.write(add(1), |_| {}).await.unwrap();
	let mark = "UPDATE instances SET dead_ms = 1 WHERE number = $1";
	other.execute(mark, vec![number.into()]).await.unwrap();
	let refused = store.write(add(2), |_| {}).await.unwrap_err();
	assert!(matches!(refused, StoreError::TakenOver), "{refused}");
	for _ in 0..500 {
		if store.is_closed() {
			break;
		}
		tokio::time::sleep(Duration::from_millis(10)).await;
	}
	assert!(store.is_closed());
	assert_eq!(added(&other).await, [1]);
}

#[tokio::test]
async fn who_is_gone_is_silent_and_can_be_taken_over() {
	let Some(config) = database("gone") else {
		return;
	};
	let store = open(&config).await;
	let other = open(&config).await;
	let number = store.instance().unwrap();
	drop(store);
	let mut silent = Vec::new();
	for _ in 0..500 {
		silent = other.silent_instances().await.unwrap();
		if !silent.is_empty() {
			break;
		}
		tokio::time::sleep(Duration::from_millis(10)).await;
	}
	assert_eq!(silent, [number]);
	other.take_over_from(number, 1, |_| {}).await.unwrap();
	assert_eq!(other.silent_instances().await.unwrap(), Vec::<i64>::new());
}

/// Where there is no database, that is told in time, and nothing has happened.
#[tokio::test]
async fn a_database_that_stays_away_is_told_as_such() {
	let port = TcpListener::bind("127.0.0.1:0")
		.unwrap()
		.local_addr()
		.unwrap()
		.port();
	let mut config = Config::new();
	config
		.host("127.0.0.1")
		.port(port)
		.user("nobody")
		.dbname("nothing");
	let place = Place::Postgres(Box::new(config));
	let refused = Store::open_at(&place).await.unwrap_err();
	assert!(matches!(refused, StoreError::Lost(_)), "{refused}");
}

#[test]
fn addresses_hold_no_passwords_and_are_told_apart() {
	let refused = |url| Place::new(url, Path::new("/data")).unwrap_err();
	assert!(refused("postgres://a:secret@host/db").contains(PASSWORD_VARIABLE));
	assert!(refused("mysql://host/db").contains("postgres://"));
	assert!(refused("postgres://host:port/db").contains("no address"));
	assert!(matches!(
		Place::new("sqlite", Path::new("/data")),
		Ok(Place::Directory(_))
	));
	let url = "postgres://cuckoo@%2Frun%2Fpostgresql/cuckoo";
	assert!(matches!(
		Place::new(url, Path::new("/data")),
		Ok(Place::Postgres(_))
	));
}
