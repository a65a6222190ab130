//! `check-config`, as an operator calls it.

use std::{
	fs,
	os::unix::fs::PermissionsExt,
	process::{Command, Output},
};

const SECRET: &str = "//a secret//worker";

fn check(arguments: &[&str], environment: &[(&str, &str)]) -> (Output, String, String) {
	let mut command = Command::new(env!("CARGO_BIN_EXE_offchain-coordinator"));
	for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CUCKOO_")) {
		command.env_remove(name);
	}
	let output = command
		.args(arguments)
		.envs(environment.iter().copied())
		.output()
		.unwrap();
	let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
	let (out, err) = (text(&output.stdout), text(&output.stderr));
	assert!(
		!out.contains(SECRET) && !err.contains(SECRET),
		"the key is shown: {out}{err}"
	);
	(output, out, err)
}

#[test]
fn a_good_configuration_is_printed_with_where_each_value_comes_from() {
	let directory = tempfile::tempdir().unwrap();
	let (file, key) = (
		directory.path().join("c.toml"),
		directory.path().join("key"),
	);
	fs::write(&key, SECRET).unwrap();
	fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
	let text = format!("worker_key = {key:?}\ngrace_ms = 1\npick_up_ms = 1\nlisten = '[::1]:9'\n");
	fs::write(&file, text).unwrap();
	let file = file.to_str().unwrap();
	let environment = [
		("CUCKOO_COORDINATOR_CONFIG", file),
		("CUCKOO_COORDINATOR_GRACE_MS", "2"),
		("CUCKOO_COORDINATOR_PICK_UP_MS", "2"),
	];
	for start in [&["check-config"][..], &["run", "--check-config"][..]] {
		let (output, out, err) = check(&[start, &["--pick-up-ms", "3"]].concat(), &environment);
		assert!(output.status.success(), "{err}");
		for line in [
			"pick_up_ms = 3 # --pick-up-ms".to_owned(),
			"grace_ms = 2 # CUCKOO_COORDINATOR_GRACE_MS".into(),
			format!("listen = \"[::1]:9\" # {file}:4"),
			format!("worker_key = {key:?} # {file}:1"),
			"suspension_ms = 5000 # default".into(),
			"# weight_cap is not set".into(),
		] {
			assert!(out.lines().any(|it| it == line), "{line} is not in {out}");
		}
		// What was printed is a file that says the same.
		let printed = directory.path().join("printed.toml");
		fs::write(&printed, &out).unwrap();
		let (output, again, _) = check(
			&["check-config", "--config", printed.to_str().unwrap()],
			&[],
		);
		assert!(output.status.success());
		let values = |text: &str| -> Vec<String> {
			let values = text
				.lines()
				.map(|line| line.rsplit_once(" # ").map_or(line, |it| it.0));
			values.map(str::to_owned).collect()
		};
		assert_eq!(values(&out), values(&again));
	}
}

#[test]
fn the_certificate_is_read() {
	let directory = tempfile::tempdir().unwrap();
	let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
	let (certificate, key) = (path("cert.pem"), path("key.pem"));
	let arguments = [
		"check-config",
		"--tls-certificate",
		&certificate,
		"--tls-key",
		&key,
	];
	let environment = [("CUCKOO_WORKER_URI", SECRET)];
	let (output, _, err) = check(&arguments, &environment);
	assert!(
		!output.status.success() && err.contains("cert.pem cannot be read"),
		"{err}"
	);
	let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
	fs::write(&certificate, made.cert.pem()).unwrap();
	fs::write(&key, made.signing_key.serialize_pem()).unwrap();
	let (output, out, err) = check(&arguments, &environment);
	assert!(output.status.success(), "{err}");
	assert!(
		out.contains(&format!(
			"tls.certificate = {certificate:?} # --tls-certificate"
		)),
		"{out}"
	);
	assert!(!out.contains("PRIVATE"));
	let (output, _, err) = check(&arguments[..3], &environment);
	assert!(
		!output.status.success() && err.contains("TLS needs both"),
		"{err}"
	);
}

#[test]
fn everything_that_is_wrong_is_told_and_nothing_is_started() {
	let directory = tempfile::tempdir().unwrap();
	let file = directory.path().join("c.toml");
	fs::write(&file, "listn = 'x'\nmax_queued = -1\n").unwrap();
	let name = file.to_str().unwrap();
	let data = directory.path().join("data");
	let environment = [("CUCKOO_WORKER_URI", SECRET)];
	for start in ["run", "check-config"] {
		let arguments = [
			start,
			"--config",
			name,
			"--data-dir",
			data.to_str().unwrap(),
		];
		let (output, out, err) = check(&arguments, &environment);
		assert_eq!((output.status.code(), out.as_str()), (Some(1), ""));
		assert!(err.contains(&format!(
			"{name}:1: `listn` is no setting: did you mean `listen`?"
		)));
		assert!(
			err.contains(&format!("{name}:2: `max_queued` must be a whole number")),
			"{err}"
		);
	}
	assert!(!data.exists());
	let (output, _, err) = check(
		&["check-config", "--config", "/nowhere/c.toml"],
		&environment,
	);
	assert!(
		!output.status.success() && err.contains("/nowhere/c.toml cannot be read"),
		"{err}"
	);
	let (output, _, err) = check(&["check-config"], &[]);
	assert!(
		!output.status.success() && err.contains("no worker key: name a key file"),
		"{err}"
	);
	let (output, _, err) = check(&["check-config"], &[("CUCKOO_WORKER_URI", "\"broken")]);
	assert!(
		!output.status.success() && err.contains("holds no sr25519 key"),
		"{err}"
	);
}
