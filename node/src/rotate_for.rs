//! `key rotate-for`: session keys for an operator account, made inside the running node.
//!
//! The node makes the keys and keeps them; with them it signs the account, which is the proof that
//! `session.setKeys` asks for. What is printed is public.

use codec::{DecodeAll, Encode};
use cuckoo_runtime::{AccountId, Runtime, RuntimeCall, SessionKeys};
use jsonrpsee::{
	core::{client::ClientT, ClientError},
	http_client::HttpClient,
	rpc_params,
};
use serde_json::json;
use sp_runtime::traits::OpaqueKeys;
use std::time::Duration;

/// The method that makes keys with a proof. It changes the node's state, so nodes answer it to callers
/// on their own machine only, by default.
const METHOD: &str = "author_rotateKeysWithOwner";

/// Longest wait for the node, which runs its runtime for this.
const REPLY_TIMEOUT: Duration = Duration::from_secs(60);

/// Two keys and their signatures have some hundred bytes.
const MAX_REPLY_BYTES: u32 = 64 * 1024;

/// Why there are no keys, and what to do.
#[derive(Debug, thiserror::Error)]
enum Error {
	#[error("{url} is no address of a node ({reason}); expected one like http://127.0.0.1:9944")]
	Url { url: String, reason: String },
	#[error(
		"no node answers at {url} ({reason}); start it, or name its JSON-RPC address with --url"
	)]
	Unreachable { url: String, reason: String },
	#[error(
		"the node at {url} refuses to make keys: {reason}; run this command on the node's own machine \
		 and against its own address, and do not start the node with --rpc-methods safe"
	)]
	Refused { url: String, reason: String },
	#[error(
		"the answer of the node at {0} is not a pair of session keys with a proof; use the \
		 cuckoo-node of the same release as the one that runs"
	)]
	Unreadable(String),
	#[error(
		"the proof that the node at {0} gave does not bind the keys to the account; do not use them"
	)]
	Unproven(String),
}

/// Make new session keys inside the running node, bound to an operator account.
#[derive(Debug, clap::Parser)]
#[command(after_help = "\
The node keeps the keys; this prints their public half, the proof, and the call that sets them, to be \
signed by the account in a wallet.")]
pub struct RotateFor {
	/// The operator account that will own the keys, as an address.
	#[arg(long, value_name = "ADDRESS")]
	account: AccountId,

	/// The JSON-RPC of the node that will use the keys.
	#[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9944")]
	url: String,

	/// Print JSON.
	#[arg(long)]
	json: bool,
}

/// As the node answers.
#[derive(serde::Deserialize)]
struct Answer {
	keys: String,
	proof: String,
}

/// Keys that the account can set.
struct Rotated {
	keys: SessionKeys,
	proof: Vec<u8>,
}

impl RotateFor {
	/// Asks the node and prints what it made.
	pub fn run(&self) -> sc_cli::Result<()> {
		let runtime = sc_cli::build_runtime()?;
		let rotated = runtime
			.block_on(self.rotate())
			.map_err(|error| sc_cli::Error::Application(Box::new(error)))?;
		self.print(rotated);
		Ok(())
	}

	async fn rotate(&self) -> Result<Rotated, Error> {
		let client = HttpClient::builder()
			.request_timeout(REPLY_TIMEOUT)
			.max_response_size(MAX_REPLY_BYTES)
			.build(&self.url)
			.map_err(|error| Error::Url {
				url: self.url.clone(),
				reason: error.to_string(),
			})?;
		let answer: Answer = client
			.request(METHOD, rpc_params![hex(self.account.as_ref())])
			.await
			.map_err(|error| self.explain(error))?;
		self.check(&answer)
	}

	fn explain(&self, error: ClientError) -> Error {
		let url = self.url.clone();
		match error {
			ClientError::Call(refusal) => Error::Refused {
				url,
				reason: refusal.message().to_owned(),
			},
			ClientError::ParseError(_) => Error::Unreadable(url),
			other => Error::Unreachable {
				url,
				reason: reason(&other),
			},
		}
	}

	/// What the chain will check is checked here first: a wrong proof would cost a fee to find out.
	fn check(&self, answer: &Answer) -> Result<Rotated, Error> {
		let unreadable = || Error::Unreadable(self.url.clone());
		let keys = bytes(&answer.keys).ok_or_else(unreadable)?;
		let keys = SessionKeys::decode_all(&mut keys.as_slice()).map_err(|_| unreadable())?;
		let proof = bytes(&answer.proof).ok_or_else(unreadable)?;
		if !keys.ownership_proof_is_valid(self.account.as_ref(), &proof) {
			return Err(Error::Unproven(self.url.clone()));
		}
		Ok(Rotated { keys, proof })
	}

	fn print(&self, Rotated { keys, proof }: Rotated) {
		let (keys_hex, proof_hex) = (hex(&keys.encode()), hex(&proof));
		let call = RuntimeCall::Session(pallet_session::Call::<Runtime>::set_keys { keys, proof });
		let call = hex(&call.encode());
		if self.json {
			let account = self.account.to_string();
			let rotated =
				json!({ "account": account, "keys": keys_hex, "proof": proof_hex, "call": call });
			println!("{rotated:#}");
			return;
		}
		println!("account  {}", self.account);
		println!("keys     {keys_hex}");
		println!("proof    {proof_hex}");
		println!("call     {call}");
		println!(
			"\nNext: send session.setKeys(keys, proof) from this account. In polkadot.js apps paste the \
			 call under Developer, Extrinsics, Decode, and submit it. The keys are in force two \
			 sessions later; until then the node goes on with those it has."
		);
	}
}

/// An error with its causes: the outermost one alone rarely says what happened.
fn reason(error: &dyn std::error::Error) -> String {
	let mut text = error.to_string();
	let mut source = error.source();
	while let Some(cause) = source {
		let cause_text = cause.to_string();
		if !text.contains(&cause_text) {
			text = format!("{text}: {cause_text}");
		}
		source = cause.source();
	}
	text
}

fn hex(bytes: &[u8]) -> String {
	format!("0x{}", hex::encode(bytes))
}

fn bytes(text: &str) -> Option<Vec<u8>> {
	hex::decode(text.strip_prefix("0x")?).ok()
}
