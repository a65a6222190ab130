//! `check-state`: reads the whole state of a block and checks the chain's invariants on it, by the native
//! code of the runtime.

use crate::service::FullClient;
use cuckoo_runtime::{invariants, VERSION};
use sc_cli::{BlockNumberOrHash, CliConfiguration, DatabaseParams, PruningParams, SharedParams};
use sc_client_api::{HeaderBackend, UsageProvider};
use sp_api::{Core, ProvideRuntimeApi};
use sp_state_machine::BasicExternalities;
use std::sync::Arc;

/// Check that a block's state keeps the chain's invariants.
#[derive(Debug, clap::Parser)]
#[command(after_help = "\
Reads all of the state into memory, and walks it: minutes on a large chain. The node must not run on the
same database. Exits with 1 and names the invariant when one does not hold.")]
pub struct CheckState {
	/// The block, by hash or number [default: the last finalized one].
	#[arg(value_name = "HASH or NUMBER")]
	block: Option<BlockNumberOrHash>,

	#[allow(missing_docs)]
	#[command(flatten)]
	shared: SharedParams,

	#[allow(missing_docs)]
	#[command(flatten)]
	pruning: PruningParams,

	#[allow(missing_docs)]
	#[command(flatten)]
	database: DatabaseParams,
}

impl CheckState {
	/// Reads and checks, and prints what was checked.
	pub async fn run(&self, client: Arc<FullClient>) -> sc_cli::Result<()> {
		let asked = self.block.as_ref().map(|block| block.parse()).transpose()?;
		let hash = match asked {
			Some(id) => client.expect_block_hash_from_id(&id)?,
			None => client.usage_info().chain.finalized_hash,
		};
		let number =
			client.expect_block_number_from_id(&sp_runtime::generic::BlockId::Hash(hash))?;
		let version = client
			.runtime_api()
			.version(hash)
			.map_err(|error| error.to_string())?;
		check_version(version.spec_version)?;
		let state = sc_service::chain_ops::export_raw_state(client, hash)?;
		let entries = state.top.len();
		BasicExternalities::new(state)
			.execute_with(invariants::check)
			.map_err(|broken| format!("block {number} ({hash:?}): {broken}"))?;
		println!("block {number} ({hash:?}): every invariant holds, on {entries} entries");
		Ok(())
	}
}

impl CliConfiguration for CheckState {
	fn shared_params(&self) -> &SharedParams {
		&self.shared
	}

	fn pruning_params(&self) -> Option<&PruningParams> {
		Some(&self.pruning)
	}

	fn database_params(&self) -> Option<&DatabaseParams> {
		Some(&self.database)
	}
}

/// Another version may keep its state otherwise.
fn check_version(found: u32) -> sc_cli::Result<()> {
	let own = VERSION.spec_version;
	if found == own {
		return Ok(());
	}
	let message = format!(
		"the block's runtime has version {found}, this program checks version {own}: use the cuckoo-node \
		 of the release that has that version"
	);
	Err(message.into())
}
