//! A coordinator in a process of its own, to be killed: one test starts this program again to run
//! another one, which serves.

use std::{
	ffi::OsStr,
	io::{BufRead, BufReader, Read},
	process::{Child, Command, Stdio},
};

/// In front of the URL, in the line that says it.
const SERVING: &str = "serving ";

/// A process that serves. It ends with this value, and with this process.
pub struct Process {
	child: Child,
	/// Where it serves.
	pub url: String,
}

impl Process {
	/// Runs the test of this name, which calls [`serving`], with these environment variables.
	pub fn start(test: &str, variables: &[(&str, &OsStr)]) -> Self {
		let mut child = Command::new(std::env::current_exe().unwrap())
			.args([test, "--exact", "--nocapture"])
			.envs(variables.iter().copied())
			.stdin(Stdio::piped())
			.stdout(Stdio::piped())
			.spawn()
			.unwrap();
		let lines = BufReader::new(child.stdout.take().unwrap()).lines();
		let url = lines
			.map(|line| line.unwrap())
			.find_map(|line| Some(line.strip_prefix(SERVING)?.to_owned()))
			.expect("it serves");
		Self { child, url }
	}

	/// By SIGKILL.
	pub fn kill(&mut self) {
		self.child.kill().unwrap();
		self.child.wait().unwrap();
	}
}

impl Drop for Process {
	fn drop(&mut self) {
		let _ = self.child.kill();
		let _ = self.child.wait();
	}
}

/// Tells whoever started this process where it serves, and ends it with them.
pub fn serving(url: &str) {
	std::thread::spawn(|| {
		let _ = std::io::stdin().read(&mut [0]);
		std::process::exit(0);
	});
	println!("\n{SERVING}{url}");
}
