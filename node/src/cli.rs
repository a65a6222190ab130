//! The command line.

use crate::{check_state::CheckState, rotate_for::RotateFor};
use sc_cli::RunCmd;

/// How to begin, shown under `--help`.
const EXAMPLES: &str = "\
Examples:
  cuckoo-node --dev
      A development chain of one validator in a temporary folder, with operators, voters and funds.
  cuckoo-node --dev --chain fast
      The same with blocks every second and eras of twenty, to see stake, rewards and unbonding at work.
  cuckoo-node --chain local --validator --alice --unsafe-force-node-key-generation
      One of the three validators of the local network; the others are --bob and --charlie.
      --chain fast-local is the fast one.
  cuckoo-node --chain spec.json --base-path /var/lib/cuckoo
      A full node of the network that the file describes.
  cuckoo-node key generate-node-key --file node-key
      The key that names a node in the network.
  cuckoo-node key rotate-for --account ADDRESS
      New session keys in the node that runs on this machine, and the call that sets them.
  cuckoo-node check-state --chain spec.json --base-path /var/lib/cuckoo
      Whether the state of the last finalized block adds up; the node must not be running.
  cuckoo-node export-chain-spec --chain local --raw --output spec.json
      A network's specification, to start other nodes with.";

/// The node's arguments: without a sub-command it runs.
#[derive(Debug, clap::Parser)]
#[command(after_long_help = EXAMPLES)]
pub struct Cli {
	/// What to do instead of running.
	#[command(subcommand)]
	pub subcommand: Option<Subcommand>,

	/// How to run.
	#[command(flatten)]
	pub run: RunCmd,
}

/// What the node does beside running.
#[derive(Debug, clap::Subcommand)]
pub enum Subcommand {
	/// Make, inspect and insert keys.
	#[command(subcommand)]
	Key(Key),

	/// Print a network's specification, for people or, with --raw, for other nodes.
	ExportChainSpec(sc_cli::ExportChainSpecCmd),

	/// Print what the database holds: best and finalized block.
	ChainInfo(sc_cli::ChainInfoCmd),

	/// Run one block again and check it.
	CheckBlock(sc_cli::CheckBlockCmd),

	/// Check that a block's state keeps the chain's invariants: that money adds up, among others.
	CheckState(CheckState),

	/// Write blocks to a file.
	ExportBlocks(sc_cli::ExportBlocksCmd),

	/// Read blocks from a file and check them.
	ImportBlocks(sc_cli::ImportBlocksCmd),

	/// Write the state of a block as a chain specification.
	ExportState(sc_cli::ExportStateCmd),

	/// Take back blocks that are not yet final.
	Revert(sc_cli::RevertCmd),

	/// Remove the database. Keys stay.
	PurgeChain(sc_cli::PurgeChainCmd),
}

/// What the node does with keys.
#[derive(Debug, clap::Subcommand)]
pub enum Key {
	/// Make new session keys inside the running node, bound to an operator account.
	RotateFor(RotateFor),

	/// What every node of the SDK does.
	#[command(flatten)]
	Sdk(sc_cli::KeySubcommand),
}
