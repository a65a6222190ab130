//! The command line.

use crate::{
	bench::BenchArgs,
	device::Layout,
	doctor::DoctorArgs,
	engine::{memory_estimate, DeviceSetup, Setup},
	generate::GenerateArgs,
	library::{Library, ModelsArgs, MODELS_VARIABLE},
	link::is_http_url,
	memory::{default_limit, Bytes},
	models::{self, MODEL_VARIABLE},
	purse::{claim::ClaimArgs, status::EarningsArgs},
	run::RunArgs,
	trust::Trust,
	ui::LogFormat,
	verify_draw::VerifyDrawArgs,
	verify_step::VerifyStepArgs,
};
use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use cuckoo_diffusion::{pipeline::MAX_BATCH, Device, LoadOptions, ModelFolder};
use cuckoo_primitives::{AccountId, SS58_PREFIX};
use sp_core::crypto::{Ss58AddressFormat, Ss58Codec};
use std::{collections::BTreeMap, fmt, path::PathBuf, str::FromStr, time::Duration};

/// The environment variable that holds the worker key's secret URI.
pub const WORKER_VARIABLE: &str = "CUCKOO_WORKER_URI";

/// Runs diffusion models for the Cuckoo network, or for yourself.
#[derive(Debug, Parser)]
#[command(name = "offchain-miner", version, about, max_term_width = 100)]
pub struct Cli {
	/// How log lines are written; which ones, RUST_LOG says.
	#[arg(long, global = true, value_enum, default_value_t)]
	pub log_format: LogFormat,
	/// What to do.
	#[command(subcommand)]
	pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
	/// Mine: poll coordinators, run models, submit results.
	Run(RunArgs),
	/// Make a picture here, without any chain.
	Generate(GenerateArgs),
	/// Check this machine, and say what to do about what is wrong.
	Doctor(DoctorArgs),
	/// Measure how fast this machine makes pictures.
	Bench(BenchArgs),
	/// Import models, list them, or write a faster copy of one.
	Models(ModelsArgs),
	/// Show what was earned, where the money is, and what to do next.
	Earnings(EarningsArgs),
	/// Get all the money that can be got on chain.
	Claim(ClaimArgs),
	/// Recompute the draw of a task from public data.
	VerifyDraw(VerifyDrawArgs),
	/// Run steps of a picture again from its trajectory, and compare.
	VerifyStep(VerifyStepArgs),
}

/// How pictures are made.
#[derive(Clone, Debug, Args)]
pub struct EngineArgs {
	/// Model folder (Stable Diffusion's ONNX layout); may be repeated. Default: models/default/model
	/// here or above the program, then the user's data folder.
	#[arg(long = "model", value_name = "DIR", env = MODEL_VARIABLE)]
	pub models: Vec<PathBuf>,
	/// Threads on the CPU; 0 lets the engine choose: one for small models, else one a physical core.
	#[arg(long, value_name = "N", default_value_t = 0)]
	pub threads: u16,
	/// Decode larger pictures in tiles of this many pixels a side, to save memory; 0 for whole ones.
	#[arg(long, value_name = "PIXELS", default_value_t = 0)]
	pub vae_tile: u16,
	/// The most memory of the GPU that each graph of a model may take, such as 6GiB. Default: as much as
	/// there is.
	#[arg(long, value_name = "BYTES")]
	pub gpu_memory_limit: Option<Bytes>,
	/// Let CUDA record the steps of each size and replay them, which saves the time of starting each of
	/// their nodes. Every node of the model must run on the GPU.
	#[arg(long)]
	pub cuda_graphs: bool,
	/// ONNX Runtime's library, or its folder.
	#[arg(long, value_name = "PATH")]
	pub onnxruntime: Option<PathBuf>,
}

impl EngineArgs {
	/// The folders, opened and hashed. Blocks.
	pub fn folders(&self) -> anyhow::Result<Vec<ModelFolder>> {
		models::find(&self.models)?
			.iter()
			.map(|path| {
				ModelFolder::open(path).with_context(|| format!("the model in {}", path.display()))
			})
			.collect()
	}

	/// How models are loaded on a device.
	pub fn options(&self, device: Device) -> LoadOptions {
		LoadOptions {
			device,
			threads: usize::from(self.threads),
			vae_tile: self.vae_tile,
			gpu_memory_limit: self.gpu_memory_limit.map(|Bytes(limit)| limit),
			cuda_graphs: self.cuda_graphs,
		}
	}
}

/// One device.
#[derive(Clone, Copy, Debug, Args)]
pub struct DeviceArg {
	/// auto, cpu or cuda:N.
	#[arg(long, default_value_t = Device::Auto)]
	pub device: Device,
}

/// Devices on the command line: `auto`, `cpu`, or GPUs with commas between them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceList(Vec<Device>);

impl DeviceList {
	/// One at least.
	pub fn devices(&self) -> &[Device] {
		&self.0
	}
}

impl From<Device> for DeviceList {
	fn from(device: Device) -> Self {
		Self(vec![device])
	}
}

impl FromStr for DeviceList {
	type Err = String;

	fn from_str(text: &str) -> Result<Self, String> {
		let mut devices: Vec<Device> = Vec::new();
		for word in text.split(',') {
			let device = word.parse::<Device>().map_err(|error| error.to_string())?;
			if devices.contains(&device) {
				return Err(format!("{device} is named twice: name each GPU once"));
			}
			devices.push(device);
		}
		let alone = devices
			.iter()
			.find(|device| !matches!(device, Device::Cuda(_)));
		match alone {
			Some(device) if devices.len() > 1 => Err(format!(
				"{device} stands alone: a list names GPUs only, such as cuda:0,cuda:1"
			)),
			_ => Ok(Self(devices)),
		}
	}
}

impl fmt::Display for DeviceList {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		let words: Vec<String> = self.0.iter().map(Device::to_string).collect();
		f.write_str(&words.join(","))
	}
}

/// Which models are held on which devices, and how many tasks are made at once.
#[derive(Clone, Debug, Args)]
pub struct HoldArgs {
	/// auto, cpu, cuda:N, or several GPUs such as cuda:0,cuda:1: each works on tasks of its own.
	#[arg(long, value_name = "DEVICES", default_value_t = DeviceList::from(Device::Auto))]
	pub device: DeviceList,
	/// Also every model that `models import` has put into the models folder.
	#[arg(long)]
	pub imported: bool,
	/// The models folder. Default: cuckoo/models in the user's data folder.
	#[arg(long, value_name = "DIR", env = MODELS_VARIABLE)]
	pub models_dir: Option<PathBuf>,
	/// Slots of each device: each works on tasks of its own, and takes a copy of its model.
	#[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
	pub slots: u16,
	/// Up to so many tasks of one model, size, steps, guidance and scheduler are made in one run of the
	/// model by a slot.
	#[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=MAX_BATCH as i64))]
	pub batch: u16,
	/// How long a free slot waits for more tasks that go into its batch after the newest has come; the
	/// oldest waits four times as long at most.
	#[arg(long, value_name = "MILLISECONDS", default_value_t = 100, value_parser = clap::value_parser!(u16).range(0..=5000))]
	pub batch_wait: u16,
	/// Memory of each device for loaded models, such as 20GiB: the one that was unused longest is let go
	/// of when another needs room. Default: 80% of the GPU's memory, or half of the machine's; with
	/// --device auto the less of both.
	#[arg(long, value_name = "BYTES")]
	pub memory_limit: Option<Bytes>,
}

impl HoldArgs {
	/// Where the model folders are: those named, and those imported if they are wanted.
	pub fn paths(&self, engine: &EngineArgs) -> anyhow::Result<Vec<PathBuf>> {
		if !self.imported {
			return Ok(models::find(&engine.models)?);
		}
		let mut paths = engine.models.clone();
		paths.extend(Library::at(self.models_dir.as_deref())?.folders()?);
		anyhow::ensure!(
			!paths.is_empty(),
			"no model was imported yet: see offchain-miner models import --help"
		);
		Ok(paths)
	}

	/// How the work is laid out on each device.
	pub fn layout(&self) -> Layout {
		Layout {
			slots: self.slots,
			batch: self.batch,
			batch_wait: Duration::from_millis(u64::from(self.batch_wait)),
		}
	}

	/// What loaded models may need on a device, in bytes; the largest needs so many.
	pub fn memory_limit(&self, device: Device, largest: u64) -> u64 {
		match self.memory_limit {
			Some(Bytes(limit)) => limit,
			None => default_limit(device, largest),
		}
	}

	/// The models, opened and hashed, each once: coordinators take no model twice. Blocks.
	pub fn opened(&self, engine: &EngineArgs) -> anyhow::Result<Vec<ModelFolder>> {
		let folders = EngineArgs {
			models: self.paths(engine)?,
			..engine.clone()
		}
		.folders()?;
		Ok(models::distinct(folders))
	}

	/// What the engine opens: the models that are held, within the memory there is. Blocks.
	pub fn setup(&self, engine: &EngineArgs) -> anyhow::Result<Setup> {
		let devices = self.device.devices();
		// Before anything that takes long.
		self.layout().tasks_at_once(devices.len())?;
		let folders = self.opened(engine)?;
		models::declarable(&folders)?;
		let largest = folders.iter().map(memory_estimate).max().unwrap_or(0);
		let place = |&device: &Device| DeviceSetup {
			device,
			memory_limit: self.memory_limit(device, largest),
		};
		Ok(Setup {
			library: engine.onnxruntime.clone(),
			devices: devices.iter().map(place).collect(),
			layout: self.layout(),
			..Setup::new(folders, engine.options(devices[0]))
		})
	}
}

/// The worker key.
#[derive(Clone, Debug, Args)]
pub struct KeyArgs {
	/// The worker key: a file that only you can read (mode 0600) with a secret URI or a hex seed.
	/// Without it, the environment variable CUCKOO_WORKER_URI.
	#[arg(long, value_name = "FILE")]
	pub worker_key: Option<PathBuf>,
}

/// The chain.
#[derive(Clone, Debug, Args)]
pub struct ChainArgs {
	/// A node's JSON-RPC address.
	#[arg(
		long = "chain",
		value_name = "URL",
		env = "CUCKOO_CHAIN",
		default_value = "ws://127.0.0.1:9944"
	)]
	pub url: String,
}

/// The coordinators.
#[derive(Clone, Debug, Args)]
pub struct CoordinatorArgs {
	/// Serve only this coordinator (its account), at this address instead of the one on chain if one
	/// is given; may be repeated.
	#[arg(long = "coordinator", value_name = "ACCOUNT[=URL]")]
	pub coordinators: Vec<Named>,
	/// How many coordinators to serve at once, chosen by their stake.
	#[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=32))]
	pub max_coordinators: u8,
	/// PEM file with certificates of authorities that are trusted beside the system's, for
	/// coordinators with an https address.
	#[arg(long, value_name = "FILE", env = "CUCKOO_COORDINATOR_CA")]
	pub coordinator_ca: Option<PathBuf>,
}

impl CoordinatorArgs {
	/// Which coordinators are who they say.
	pub fn trust(&self) -> anyhow::Result<Trust> {
		Ok(Trust::and(self.coordinator_ca.as_deref())?)
	}

	/// The coordinators named, each with its address if one is given.
	pub fn only(&self) -> BTreeMap<AccountId, Option<String>> {
		self.coordinators
			.iter()
			.map(|named| (named.account.clone(), named.url.clone()))
			.collect()
	}
}

/// A coordinator on the command line: `ACCOUNT` or `ACCOUNT=URL`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
	/// Its account.
	pub account: AccountId,
	/// Its address, if it is not to be the chain's.
	pub url: Option<String>,
}

impl FromStr for Named {
	type Err = String;

	fn from_str(text: &str) -> Result<Self, String> {
		let (account, url) = match text.split_once('=') {
			Some((account, url)) => (account, Some(url.to_owned())),
			None => (text, None),
		};
		let (account, format) = AccountId::from_ss58check_with_version(account)
			.map_err(|error| format!("{account:?} is no SS58 address: {error:?}"))?;
		if format != Ss58AddressFormat::custom(SS58_PREFIX) {
			return Err(format!(
				"this address is of another network (prefix {})",
				u16::from(format)
			));
		}
		if let Some(url) = url.as_ref().filter(|url| !is_http_url(url)) {
			return Err(format!(
				"{url:?} is no URL that begins with http:// or https://"
			));
		}
		Ok(Self { account, url })
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use clap::CommandFactory;

	#[test]
	fn the_command_line_is_consistent() {
		Cli::command().debug_assert();
	}

	#[test]
	fn the_defaults_of_every_command_parse() {
		for line in [
			"run",
			"run --imported --slots 2 --memory-limit 20GiB --drain-timeout 5",
			"run --device cuda:0,cuda:1 --batch 16 --batch-wait 0",
			"generate prompt",
			"doctor --json",
			"doctor --device cuda:1,cuda:0",
			"bench --batch 4 --device cuda:0,cuda:1",
			"models list",
			"models import a.tar.gz",
			"models optimize a --out b",
		] {
			let words = ["offchain-miner"].into_iter().chain(line.split(' '));
			assert!(Cli::try_parse_from(words).is_ok(), "{line}");
		}
		for line in [
			"run --slots 0",
			"run --batch 0",
			"run --batch 17",
			"run --batch-wait 5001",
			"run --device cpu,cpu",
			"generate prompt --device cuda:0,cuda:1",
			"verify-step steps --device cuda:0,cuda:1",
		] {
			let words = ["offchain-miner"].into_iter().chain(line.split(' '));
			assert!(Cli::try_parse_from(words).is_err(), "{line}");
		}
	}

	#[test]
	fn devices_are_one_word_or_a_list_of_gpus() {
		for (text, devices) in [
			("auto", vec![Device::Auto]),
			("cpu", vec![Device::Cpu]),
			("cuda:1", vec![Device::Cuda(1)]),
			("cuda:1,cuda:0", vec![Device::Cuda(1), Device::Cuda(0)]),
		] {
			let list: DeviceList = text.parse().unwrap();
			assert_eq!(list.devices(), devices);
			assert_eq!(list.to_string(), text);
		}
		for (text, reason) in [
			("cuda:0,cuda:0", "cuda:0 is named twice: name each GPU once"),
			("cpu,cpu", "cpu is named twice: name each GPU once"),
			(
				"auto,cuda:0",
				"auto stands alone: a list names GPUs only, such as cuda:0,cuda:1",
			),
			(
				"cuda:0,cpu",
				"cpu stands alone: a list names GPUs only, such as cuda:0,cuda:1",
			),
		] {
			assert_eq!(text.parse::<DeviceList>().unwrap_err(), reason);
		}
		for wrong in ["", ",", "cuda:0,", "cuda:0, cuda:1", "cuda:0;cuda:1"] {
			let reason = wrong.parse::<DeviceList>().unwrap_err();
			assert!(reason.contains("is no device"), "{reason}");
		}
	}

	#[test]
	fn more_tasks_than_coordinators_take_are_refused_before_a_model_is_opened() {
		let words =
			"offchain-miner run --model /nowhere --device cuda:0,cuda:1 --slots 3 --batch 11";
		let cli = Cli::try_parse_from(words.split(' ')).unwrap();
		let Command::Run(args) = cli.command else {
			unreachable!()
		};
		let error = args.hold.setup(&args.engine).unwrap_err().to_string();
		assert!(
			error.contains("66 tasks") && error.contains("--batch"),
			"{error}"
		);
	}

	#[test]
	fn coordinators_are_named_by_account_with_or_without_address() {
		let alice = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";
		let named: Named = alice.parse().unwrap();
		assert_eq!(named.url, None);
		let named: Named = format!("{alice}=http://127.0.0.1:8080").parse().unwrap();
		assert_eq!(named.url.as_deref(), Some("http://127.0.0.1:8080"));
		for wrong in [
			"",
			"alice",
			&format!("{alice}=ftp://there"),
			&format!("{alice}=there"),
			// Polkadot's prefix.
			"15oF4uVJwmo4TdGW7VfQxNLavjCXviqxT9S1MgbjMNHr6Sp5",
		] {
			assert!(wrong.parse::<Named>().is_err(), "{wrong}");
		}
	}
}
