//! The settings as command line flags: made from [`FIELDS`], so that there is one list of them.

use crate::config::{Config, Field, Given, FIELDS, FILE_VARIABLE};
use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};
use std::{
	collections::BTreeMap,
	path::{Path, PathBuf},
};

/// The flags that were given, by name, as they were written.
#[derive(Clone, Debug, Default)]
pub struct Flags(BTreeMap<&'static str, String>);

impl FromArgMatches for Flags {
	fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
		let given = FIELDS.iter().filter_map(|field| {
			let text = matches.get_one::<String>(field.flag)?;
			Some((field.flag, text.clone()))
		});
		Ok(Self(given.collect()))
	}

	fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
		*self = Self::from_arg_matches(matches)?;
		Ok(())
	}
}

impl Args for Flags {
	fn augment_args(command: Command) -> Command {
		command.args(FIELDS.iter().map(arg))
	}

	fn augment_args_for_update(command: Command) -> Command {
		Self::augment_args(command)
	}
}

fn arg(field: &'static Field) -> Arg {
	let help = match field.shown(&Config::default()) {
		Some(default) => format!("{} [default: {}]", field.help, default.trim_matches('"')),
		None => field.help.into(),
	};
	let arg = Arg::new(field.flag)
		.long(field.flag)
		.value_name(field.value)
		.help(help);
	if field.is_switch() {
		arg.num_args(0..=1)
			.require_equals(true)
			.default_missing_value("true")
	} else {
		arg
	}
}

/// Those of the settings that say where the money is, for commands that need no others.
const OF_MONEY: &[&str] = &[
	"data-dir",
	"store-url",
	"chain",
	"settlement-key",
	"worker-key",
];

/// The configuration as far as it says where the money is: the store, the chain, and the keys.
#[derive(Clone, Debug, Default)]
pub struct MoneyFlags(Flags);

impl FromArgMatches for MoneyFlags {
	fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
		let given = OF_MONEY.iter().filter_map(|flag| {
			let text = matches.get_one::<String>(flag)?;
			Some((*flag, text.clone()))
		});
		Ok(Self(Flags(given.collect())))
	}

	fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
		*self = Self::from_arg_matches(matches)?;
		Ok(())
	}
}

impl Args for MoneyFlags {
	fn augment_args(command: Command) -> Command {
		let is_shown = |field: &&Field| OF_MONEY.contains(&field.flag);
		command.args(FIELDS.iter().filter(is_shown).map(arg))
	}

	fn augment_args_for_update(command: Command) -> Command {
		Self::augment_args(command)
	}
}

/// Where the configuration comes from, for commands about money: the same file and environment as `run`.
#[derive(Args, Clone, Debug)]
pub struct MoneyArgs {
	/// The coordinator's configuration file. Flags and environment variables are as for `run`.
	#[arg(long, value_name = "FILE", env = FILE_VARIABLE)]
	pub config: Option<PathBuf>,
	/// Those settings that are needed.
	#[command(flatten)]
	pub flags: MoneyFlags,
}

impl MoneyArgs {
	/// The configuration in effect, as far as it is needed here.
	pub fn effective(&self) -> Result<Config, String> {
		let given = given(self.config.as_deref(), &self.flags.0)?;
		let effective = given.effective().map_err(|errors| errors.join("\n"))?;
		Ok(effective.config)
	}
}

/// Where the configuration comes from.
#[derive(Args, Clone, Debug)]
pub struct ConfigArgs {
	/// TOML file with settings. Flags beat environment variables (CUCKOO_COORDINATOR_LISTEN for
	/// --listen, and so on), which beat the file, which beats the defaults.
	#[arg(long, value_name = "FILE", env = FILE_VARIABLE)]
	pub config: Option<PathBuf>,
	/// The settings.
	#[command(flatten)]
	pub flags: Flags,
}

impl ConfigArgs {
	/// Everything that was given, with the file read.
	pub fn given(&self) -> Result<Given, String> {
		given(self.config.as_deref(), &self.flags)
	}
}

/// What the file, the environment and these flags say.
pub fn given(file: Option<&Path>, flags: &Flags) -> Result<Given, String> {
	let read = |path: &Path| {
		let name = path.display().to_string();
		match std::fs::read_to_string(path) {
			Ok(text) => Ok((name, text)),
			Err(error) => Err(format!(
				"the configuration file {name} cannot be read: {error}"
			)),
		}
	};
	let environment = std::env::vars_os()
		.map(|(name, value)| [name, value].map(|text| text.to_string_lossy().into_owned()))
		.map(|[name, value]| (name, value));
	Ok(Given {
		file: file.map(read).transpose()?,
		environment: environment.collect(),
		flags: flags.0.clone(),
	})
}
