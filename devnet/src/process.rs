//! One child process that never outlives its parent.
//!
//! Three things end it: [`Process::terminate`] (SIGTERM, then SIGKILL if it takes too long), a drop
//! (SIGKILL), and the parent's own death, even by SIGKILL: `setpriv --pdeathsig KILL` asks the kernel
//! to pass it on. The kernel means the parent *thread*, so all children are started by one thread that
//! lives as long as the process. Each child leads its own process group, so that Ctrl-C on a terminal
//! reaches only the parent, which then ends its children in order.

use crate::{Error, Result};
use std::{
	fs::{File, OpenOptions},
	io::{self, Read, Seek, SeekFrom},
	os::unix::process::CommandExt,
	path::{Path, PathBuf},
	process::{Child, Command, Stdio},
	sync::{mpsc, OnceLock},
	time::{Duration, Instant},
};

/// How often a wait looks again.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How much of a log's end is read for an error.
const TAIL_BYTES: u64 = 4_096;
/// How many of the log's last lines an error shows.
const TAIL_LINES: usize = 20;

/// A running child with its log.
#[derive(Debug)]
pub struct Process {
	name: String,
	child: Child,
	log: PathBuf,
}

/// How a process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
	/// Its name.
	pub name: String,
	/// Whether it had to be killed because it did not end when asked.
	pub killed: bool,
	/// Its exit status, in words.
	pub status: String,
}

/// What to start.
pub(crate) struct Spawn<'a> {
	pub name: String,
	pub program: &'a Path,
	pub args: Vec<std::ffi::OsString>,
	pub env: Vec<(&'static str, String)>,
	/// Standard output and error are appended to this file.
	pub log: PathBuf,
	pub dir: &'a Path,
}

impl Process {
	pub(crate) fn spawn(spawn: Spawn<'_>) -> Result<Self> {
		let Spawn {
			name,
			program,
			args,
			env,
			log,
			dir,
		} = spawn;
		let what = format!("log file {}", log.display());
		let out = OpenOptions::new()
			.create(true)
			.append(true)
			.open(&log)
			.map_err(Error::io(what.clone()))?;
		let err = out.try_clone().map_err(Error::io(what))?;
		let mut command = Command::new("setpriv");
		command
			.args(["--pdeathsig", "KILL", "--"])
			.arg(program)
			.args(args)
			.envs(env)
			.current_dir(dir)
			.stdin(Stdio::null())
			.stdout(out)
			.stderr(err)
			.process_group(0);
		let child = spawn_on_lasting_thread(command).map_err(|source| Error::Spawn {
			name: name.clone(),
			source,
		})?;
		tracing::debug!(name, pid = child.id(), "started");
		Ok(Self { name, child, log })
	}

	/// Its name.
	pub fn name(&self) -> &str {
		&self.name
	}

	/// Its process id.
	pub fn pid(&self) -> u32 {
		self.child.id()
	}

	/// Its log file.
	pub fn log(&self) -> &Path {
		&self.log
	}

	/// The log's last lines.
	pub fn tail(&self) -> String {
		tail(&self.log).unwrap_or_else(|error| format!("({}: {error})", self.log.display()))
	}

	/// An error if it has ended.
	pub fn check(&mut self) -> Result<()> {
		match self.child.try_wait() {
			Ok(None) => Ok(()),
			Ok(Some(status)) => Err(Error::Exited {
				name: self.name.clone(),
				status: status.to_string(),
				tail: self.tail(),
			}),
			Err(source) => Err(Error::Io {
				what: format!("state of {}", self.name),
				source,
			}),
		}
	}

	/// Waits until `probe` gives a value. Ends early with an error when the process has ended.
	pub async fn until<T>(
		&mut self,
		what: &str,
		limit: Duration,
		mut probe: impl AsyncFnMut() -> Option<T>,
	) -> Result<T> {
		let start = Instant::now();
		loop {
			self.check()?;
			let left = limit.saturating_sub(start.elapsed());
			if let Ok(Some(value)) = tokio::time::timeout(left, probe()).await {
				return Ok(value);
			}
			if start.elapsed() >= limit {
				return Err(Error::Timeout {
					what: what.to_owned(),
					after: limit,
					name: self.name.clone(),
					tail: self.tail(),
				});
			}
			tokio::time::sleep(LOOK_EVERY).await;
		}
	}

	/// SIGKILL to the whole process group, as a power cut would, and waits for the end.
	pub fn kill(mut self) -> Ended {
		self.kill_now();
		self.ended(true)
	}

	/// Asks it to end (SIGTERM). Does not wait.
	pub fn ask_to_end(&self) {
		// The standard library sends no signal but SIGKILL; the shell's `kill` needs no unsafe code.
		if let Err(error) = signal_group("TERM", self.pid()) {
			tracing::warn!(name = self.name, %error, "cannot ask it to end");
		}
	}

	/// Waits for the end, and kills it after `grace`.
	pub async fn end_within(mut self, grace: Duration) -> Ended {
		let start = Instant::now();
		while start.elapsed() < grace {
			if !matches!(self.child.try_wait(), Ok(None)) {
				return self.ended(false);
			}
			tokio::time::sleep(LOOK_EVERY).await;
		}
		self.kill_now();
		self.ended(true)
	}

	/// SIGTERM, and SIGKILL after `grace`.
	pub async fn terminate(self, grace: Duration) -> Ended {
		self.ask_to_end();
		self.end_within(grace).await
	}

	fn kill_now(&mut self) {
		if matches!(self.child.try_wait(), Ok(None)) {
			// The child first, by its handle, which cannot hit a stranger; then what it may have started.
			let _ = self.child.kill();
			let _ = signal_group("KILL", self.pid());
			let _ = self.child.wait();
		}
	}

	fn ended(&mut self, killed: bool) -> Ended {
		let status = match self.child.try_wait() {
			Ok(Some(status)) => status.to_string(),
			Ok(None) => "still running".to_owned(),
			Err(error) => error.to_string(),
		};
		Ended {
			name: self.name.clone(),
			killed,
			status,
		}
	}
}

impl Drop for Process {
	fn drop(&mut self) {
		self.kill_now();
	}
}

/// Sends a signal to the process group that `leader` leads. `leader` must not have been waited for, so
/// that its number cannot belong to another process.
fn signal_group(signal: &str, leader: u32) -> io::Result<()> {
	// Its exit status does not matter: a group that is gone is what was wanted.
	Command::new("/bin/sh")
		.args([
			"-c",
			r#"kill -s "$1" -- "-$2""#,
			"sh",
			signal,
			&leader.to_string(),
		])
		.stdin(Stdio::null())
		.stderr(Stdio::null())
		.status()
		.map(|_| ())
}

type Job = (Command, mpsc::SyncSender<io::Result<Child>>);

/// Starts a command on a thread that ends only with the process; see the module's text.
fn spawn_on_lasting_thread(command: Command) -> io::Result<Child> {
	static SPAWNER: OnceLock<mpsc::Sender<Job>> = OnceLock::new();
	let gone = || io::Error::other("the thread that starts processes is gone");
	let spawner = SPAWNER.get_or_init(|| {
		let (jobs, inbox) = mpsc::channel::<Job>();
		// Without the thread the inbox is dropped and every send says so.
		let _ = std::thread::Builder::new()
			.name("spawner".to_owned())
			.spawn(move || {
				for (mut command, reply) in inbox {
					let _ = reply.send(command.spawn());
				}
			});
		jobs
	});
	let (reply, answer) = mpsc::sync_channel(1);
	spawner.send((command, reply)).map_err(|_| gone())?;
	answer.recv().map_err(|_| gone())?
}

fn tail(path: &Path) -> io::Result<String> {
	let mut file = File::open(path)?;
	let length = file.metadata()?.len();
	file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
	let mut bytes = Vec::new();
	file.read_to_end(&mut bytes)?;
	let text = String::from_utf8_lossy(&bytes);
	let lines: Vec<&str> = text.lines().collect();
	let last = &lines[lines.len().saturating_sub(TAIL_LINES)..];
	Ok(last
		.iter()
		.map(|line| format!("    {line}"))
		.collect::<Vec<_>>()
		.join("\n"))
}

#[cfg(test)]
mod tests {
	use super::*;

	const GRACE: Duration = Duration::from_secs(5);

	fn shell(dir: &Path, script: &str) -> Process {
		Process::spawn(Spawn {
			name: "shell".to_owned(),
			program: Path::new("/bin/sh"),
			args: vec!["-c".into(), script.into()],
			env: vec![("GREETING", "hello".to_owned())],
			log: dir.join("shell.log"),
			dir,
		})
		.unwrap()
	}

	fn alive(pid: u32) -> bool {
		std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
			!stat
				.rsplit(')')
				.next()
				.unwrap_or("")
				.trim_start()
				.starts_with('Z')
		})
	}

	#[tokio::test]
	async fn an_end_by_itself_is_an_error_with_the_log() {
		let dir = tempfile::tempdir().unwrap();
		let mut process = shell(dir.path(), "echo $GREETING; exit 3");
		let error = process
			.until("spring", GRACE, async || None::<()>)
			.await
			.unwrap_err()
			.to_string();
		assert!(
			error.contains("hello") && error.contains("exit status: 3"),
			"{error}"
		);
	}

	#[tokio::test]
	async fn a_wait_has_an_end() {
		let dir = tempfile::tempdir().unwrap();
		let mut process = shell(dir.path(), "sleep 60");
		let never = async || std::future::pending::<Option<()>>().await;
		let error = process
			.until("spring", Duration::from_millis(100), never)
			.await
			.unwrap_err();
		assert!(matches!(error, Error::Timeout { .. }), "{error}");
	}

	#[tokio::test]
	async fn it_is_asked_first_and_then_killed_with_what_it_started() {
		let dir = tempfile::tempdir().unwrap();
		let mut polite = shell(
			dir.path(),
			"trap 'exit 0' TERM; echo > ready; while :; do sleep 0.05; done",
		);
		polite
			.until("the trap", GRACE, async || {
				dir.path().join("ready").exists().then_some(())
			})
			.await
			.unwrap();
		let ended = polite.terminate(GRACE).await;
		assert!(!ended.killed && ended.status.contains("0"), "{ended:?}");

		let mut stubborn = shell(
			dir.path(),
			"trap '' TERM; sleep 60 & echo $! > pid; wait; wait",
		);
		let pid: u32 = stubborn
			.until("the pid", GRACE, async || {
				std::fs::read_to_string(dir.path().join("pid"))
					.ok()?
					.trim()
					.parse()
					.ok()
			})
			.await
			.unwrap();
		assert!(alive(pid));
		let ended = stubborn.terminate(Duration::from_millis(100)).await;
		assert!(ended.killed, "{ended:?}");
		for _ in 0..100 {
			if !alive(pid) {
				return;
			}
			tokio::time::sleep(LOOK_EVERY).await;
		}
		panic!("the grandchild {pid} lives");
	}

	/// The thread that asked for the child ends; the child must not.
	#[test]
	fn a_child_outlives_the_thread_that_asked_for_it() {
		let dir = tempfile::tempdir().unwrap();
		let path = dir.path().to_owned();
		let process = std::thread::spawn(move || shell(&path, "sleep 60"))
			.join()
			.unwrap();
		std::thread::sleep(Duration::from_millis(200));
		assert!(alive(process.pid()));
		let pid = process.pid();
		drop(process);
		assert!(!alive(pid));
	}
}
