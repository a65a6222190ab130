//! The coordinator's configuration: first the file, then, after a line `---`, environment variables.
//! What is accepted and printed gives the same configuration again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use offchain_coordinator::config::Given;

fuzz_target!(|text: &str| {
	let (file, variables) = text.split_once("\n---\n").unwrap_or((text, ""));
	let environment = variables.lines().filter_map(|line| line.split_once('='));
	let given = Given {
		file: Some(("file".into(), file.into())),
		environment: environment
			.map(|(name, value)| (name.into(), value.into()))
			.collect(),
		..Given::default()
	};
	match given.effective() {
		Err(errors) => assert!(!errors.is_empty(), "a refusal says why"),
		Ok(effective) => {
			let file = Some(("printed".into(), effective.to_toml()));
			let again = Given {
				file,
				..Given::default()
			}
			.effective();
			assert_eq!(again.map(|again| again.config), Ok(effective.config));
		},
	}
});
