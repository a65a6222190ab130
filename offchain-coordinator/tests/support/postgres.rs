//! A PostgreSQL server for tests: the one that `CUCKOO_TEST_POSTGRES` names, or else one of this
//! process's own, with the programs of Debian's package `postgresql`, if they are here.

use postgres::{Config, NoTls};
use std::{
	io::{BufRead, BufReader, Write},
	path::PathBuf,
	process::{Child, Command, Stdio},
	sync::{Mutex, OnceLock},
};

/// Names a server in which databases can be made: `postgres://USER@HOST/postgres`.
pub const VARIABLE: &str = "CUCKOO_TEST_POSTGRES";

/// Makes a server in a folder of its own, says where, and ends and removes it when its standard input
/// closes: also when the tests are killed. PostgreSQL does not run as root.
const SCRIPT: &str = r#"
set -e
folder=$(mktemp -d)
as=
if [ "$(id -u)" = 0 ]; then
	chown nobody "$folder"
	as="setpriv --reuid=nobody --regid=nogroup --clear-groups --"
fi
cd "$folder"
$as "$1/initdb" -D "$folder/data" -U cuckoo -A trust -E UTF8 --locale=C >"$folder/log" 2>&1
$as "$1/postgres" -D "$folder/data" -k "$folder" -c listen_addresses= -c max_connections=300 \
	</dev/null >>"$folder/log" 2>&1 &
server=$!
tries=0
until [ -S "$folder/.s.PGSQL.5432" ] && "$1/pg_isready" -q -h "$folder"; do
	tries=$((tries + 1))
	[ $tries -lt 600 ]
	sleep 0.1
done
echo "$folder"
read -r _ || true
kill -QUIT $server
wait $server || true
rm -rf "$folder"
"#;

/// Where to make databases; `None`, and said so once, where there is no PostgreSQL.
pub fn server() -> Option<Config> {
	static SERVER: OnceLock<Option<(Config, Option<Child>)>> = OnceLock::new();
	let server = SERVER.get_or_init(|| match std::env::var(VARIABLE) {
		Ok(url) => Some((url.parse().expect(VARIABLE), None)),
		Err(_) => start(),
	});
	server.as_ref().map(|(config, _)| config.clone())
}

fn programs() -> Option<PathBuf> {
	let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
	let folders = versions.filter_map(|entry| Some(entry.ok()?.path().join("bin")));
	folders
		.filter(|folder| folder.join("initdb").exists())
		.max()
}

fn start() -> Option<(Config, Option<Child>)> {
	let Some(programs) = programs() else {
		// Not by println!, which the test harness keeps to itself.
		let _ = writeln!(
			std::io::stderr(),
			"LEFT OUT: the tests on PostgreSQL, of which there is none here; {VARIABLE} can name one"
		);
		return None;
	};
	let mut child = Command::new("sh")
		.args(["-c", SCRIPT, "sh"])
		.arg(programs)
		.stdin(Stdio::piped())
		.stdout(Stdio::piped())
		.spawn()
		.expect("sh runs");
	let mut folder = String::new();
	BufReader::new(child.stdout.take().expect("it is piped"))
		.read_line(&mut folder)
		.expect("the script says something");
	let folder = folder.trim();
	assert!(!folder.is_empty(), "PostgreSQL does not start");
	let mut config = Config::new();
	config.host_path(folder).user("cuckoo").dbname("postgres");
	Some((config, Some(child)))
}

/// A database by this name, made if it is not there.
pub fn database(name: &str) -> Option<Config> {
	static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
	let mut config = server()?;
	let (maker, name) = (config.clone(), name.to_owned());
	config.dbname(&name);
	// The client blocks, which a test's own thread may not do within a runtime.
	std::thread::spawn(move || {
		let _one = ONE_AT_A_TIME.lock().unwrap_or_else(|it| it.into_inner());
		let mut client = maker.connect(NoTls).expect("PostgreSQL answers");
		let query = "SELECT 1 FROM pg_database WHERE datname = $1";
		if client
			.query(query, &[&name])
			.expect("it is asked")
			.is_empty()
		{
			let make = format!("CREATE DATABASE {name}");
			client.batch_execute(&make).expect("it is made");
		}
	})
	.join()
	.expect("a database is made");
	Some(config)
}
