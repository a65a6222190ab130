//! A server that speaks S3, for tests that `scripts/test clients` runs: it is Python's moto.

use super::S3;
use std::{
	io::{self, BufRead},
	path::Path,
	process::{Child, Command, Stdio},
};

/// The bucket that it has.
pub const BUCKET: &str = "pictures";

/// The server, until it is dropped.
pub struct Server {
	child: Child,
	url: String,
}

impl Server {
	/// Starts it on a free port.
	pub fn start() -> Self {
		let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/s3/server.py");
		let mut child = Command::new("python3")
			.arg(script)
			.stdin(Stdio::piped())
			.stdout(Stdio::piped())
			.spawn()
			.unwrap();
		let mut url = String::new();
		let stdout = io::BufReader::new(child.stdout.take().unwrap());
		BufRead::read_line(&mut { stdout }, &mut url).unwrap();
		let url = url.trim().to_owned();
		assert!(url.starts_with("http://"), "{url}");
		Self { child, url }
	}

	/// How to reach a bucket (`s3://NAME/PREFIX`); the credentials are written to the folder.
	pub fn bucket(&self, bucket: &str, folder: &Path) -> S3 {
		let credentials = folder.join("credentials");
		let text = "[default]\naws_access_key_id = id\naws_secret_access_key = secret\n";
		std::fs::write(&credentials, text).unwrap();
		S3 {
			endpoint: Some(self.url.clone()),
			region: Some("us-east-1".into()),
			credentials: Some(credentials),
			..S3::parse(bucket).unwrap()
		}
	}
}

impl Drop for Server {
	fn drop(&mut self) {
		let _ = self.child.kill();
		let _ = self.child.wait();
	}
}
