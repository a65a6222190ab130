//! Makes the proof with which a worker key agrees to act for an operator, for `staking.register` and
//! `staking.set_worker`:
//!
//! ```text
//! cargo run --release -p cuckoo-chain-client --example worker_proof -- \
//!     ws://127.0.0.1:9944 OPERATOR_ADDRESS worker.key
//! ```
//!
//! Without a key file the key is taken from the environment variable `CUCKOO_WORKER_URI`. The node is
//! asked for the chain's genesis hash and the operator's worker nonce; nothing is sent to the chain.

use cuckoo_chain_client::{keys::load_worker_key, ChainClient};
use cuckoo_primitives::{
	signing::{sign, WorkerProof},
	AccountId,
};
use sp_core::crypto::{Pair, Ss58Codec};
use std::{env, error::Error, path::PathBuf, process::ExitCode};

const USAGE: &str = "usage: worker_proof NODE_URL OPERATOR_ADDRESS [WORKER_KEY_FILE]";

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
	match print_proof().await {
		Ok(()) => ExitCode::SUCCESS,
		Err(error) => {
			eprintln!("{error}");
			ExitCode::FAILURE
		},
	}
}

async fn print_proof() -> Result<(), Box<dyn Error>> {
	let mut arguments = env::args().skip(1);
	let (Some(url), Some(address)) = (arguments.next(), arguments.next()) else {
		return Err(USAGE.into());
	};
	let operator = AccountId::from_ss58check(&address)
		.map_err(|error| format!("{address} is no address: {error:?}"))?;
	let file = arguments.next().map(PathBuf::from);
	let worker = load_worker_key(file.as_deref(), "CUCKOO_WORKER_URI")?;

	let client = ChainClient::connect(&url).await?;
	let nonce = client.worker_nonce(&operator).await?;
	let genesis = client.genesis_hash();
	let signature = sign(&genesis, &WorkerProof { operator, nonce }, &worker);
	println!("worker           {}", hex(&worker.public().0));
	println!("worker_signature {}", hex(&signature.0));
	println!("(for {address}, worker nonce {nonce}, genesis {genesis:?})");
	Ok(())
}

fn hex(bytes: &[u8]) -> String {
	let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
	format!("0x{digits}")
}
