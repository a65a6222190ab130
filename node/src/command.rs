//! Runs what the command line asks for.

use crate::{
	chain_spec,
	cli::{Cli, Key, Subcommand},
	service::{self, Components},
};
use cuckoo_runtime::opaque::Block;
use sc_cli::SubstrateCli;
use sc_network::config::NetworkBackendType;
use sc_service::ChainSpec;
use sp_runtime::traits::Block as BlockT;

/// The year on the copyright line of `--version`.
const FIRST_YEAR: i32 = 2026;

impl SubstrateCli for Cli {
	fn impl_name() -> String {
		"Cuckoo Node".into()
	}

	fn impl_version() -> String {
		env!("SUBSTRATE_CLI_IMPL_VERSION").into()
	}

	fn description() -> String {
		"The Cuckoo chain's node: follows the chain, serves it over JSON-RPC, and, as a validator, \
		 writes and finalizes its blocks."
			.into()
	}

	fn author() -> String {
		"Cuckoo Network".into()
	}

	fn support_url() -> String {
		concat!(env!("CARGO_PKG_REPOSITORY"), "/issues").into()
	}

	fn copyright_start_year() -> i32 {
		FIRST_YEAR
	}

	fn load_spec(&self, id: &str) -> Result<Box<dyn ChainSpec>, String> {
		chain_spec::load(id).map(|spec| Box::new(spec) as Box<dyn ChainSpec>)
	}
}

/// Parses the command line and does what it says.
pub fn run() -> sc_cli::Result<()> {
	let cli = Cli::from_args();
	let Some(subcommand) = &cli.subcommand else {
		return run_node(&cli);
	};
	match subcommand {
		Subcommand::Key(Key::RotateFor(command)) => command.run(),
		Subcommand::Key(Key::Sdk(command)) => command.run(&cli),
		Subcommand::ExportChainSpec(command) => {
			let spec = cli.load_spec(&command.chain)?;
			command.run(spec)
		},
		Subcommand::ChainInfo(command) => cli
			.create_runner(command)?
			.sync_run(|config| command.run::<Block>(&config)),
		Subcommand::CheckBlock(command) => cli.create_runner(command)?.async_run(|config| {
			let Components {
				client,
				task_manager,
				import_queue,
				..
			} = service::components(&config)?;
			Ok((command.run(client, import_queue), task_manager))
		}),
		Subcommand::CheckState(command) => cli.create_runner(command)?.async_run(|config| {
			let Components {
				client,
				task_manager,
				..
			} = service::components(&config)?;
			Ok((command.run(client), task_manager))
		}),
		Subcommand::ExportBlocks(command) => cli.create_runner(command)?.async_run(|config| {
			let Components {
				client,
				task_manager,
				..
			} = service::components(&config)?;
			Ok((command.run(client, config.database), task_manager))
		}),
		Subcommand::ImportBlocks(command) => cli.create_runner(command)?.async_run(|config| {
			let Components {
				client,
				task_manager,
				import_queue,
				..
			} = service::components(&config)?;
			Ok((command.run(client, import_queue), task_manager))
		}),
		Subcommand::ExportState(command) => cli.create_runner(command)?.async_run(|config| {
			let Components {
				client,
				task_manager,
				..
			} = service::components(&config)?;
			Ok((command.run(client, config.chain_spec), task_manager))
		}),
		Subcommand::Revert(command) => cli.create_runner(command)?.async_run(|config| {
			let Components {
				client,
				task_manager,
				backend,
				..
			} = service::components(&config)?;
			Ok((
				command.run(client, backend, Some(Box::new(service::revert))),
				task_manager,
			))
		}),
		Subcommand::PurgeChain(command) => cli
			.create_runner(command)?
			.sync_run(|config| command.run(config.database)),
	}
}

fn run_node(cli: &Cli) -> sc_cli::Result<()> {
	cli.create_runner(&cli.run)?
		.run_node_until_exit(|config| async move {
			let task_manager = match config.network.network_backend {
				NetworkBackendType::Libp2p => service::start::<
					sc_network::NetworkWorker<Block, <Block as BlockT>::Hash>,
				>(config),
				NetworkBackendType::Litep2p => {
					service::start::<sc_network::Litep2pNetworkBackend>(config)
				},
			};
			task_manager.map_err(sc_cli::Error::Service)
		})
}
