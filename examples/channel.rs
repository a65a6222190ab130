//! An app that pays for pictures by a channel: opens one, buys pictures with it, and closes it.
//!
//!     export CUCKOO_APP_URI='…'      # the account that puts money in
//!     export CUCKOO_CHANNEL_URI='…'  # the channel's own key: it can spend the deposit, and nothing else
//!     cargo run --release -p cuckoo-devnet --example channel -- open --deposit 20
//!     cargo run --release -p cuckoo-devnet --example channel -- picture 7 "a red apple" --out apple.png
//!     cargo run --release -p cuckoo-devnet --example channel -- status 7
//!     cargo run --release -p cuckoo-devnet --example channel -- close 7
//!
//! What an app of your own needs of this are `cuckoo-coordinator-api`, for the calls and the vouchers, and
//! `cuckoo-chain-client`, for the channel on chain.

use anyhow::{bail, ensure, Context, Result};
use clap::{Args, Parser, Subcommand};
use cuckoo_chain_client::{keys::load_worker_key, Call, ChainClient, SettlementCall, Until};
use cuckoo_coordinator_api::{
	channel::ChannelSigner,
	limits::MAX_ARTIFACT_BYTES,
	payment::ChannelStatus,
	rpc::TaskRpcClient,
	task::{SubmitOptions, TaskRequest, TaskState, TaskStatus},
	Amount,
};
use cuckoo_primitives::{voucher::ChannelId, AccountId};
use jsonrpsee::{
	core::ClientError,
	http_client::{HttpClient, HttpClientBuilder},
};
use sp_core::{sr25519, Pair};
use std::{path::PathBuf, time::Duration};

/// The secret URI of the account that opens and closes channels.
const APP_VARIABLE: &str = "CUCKOO_APP_URI";
/// The secret URI of the channel's key, which signs vouchers.
const CHANNEL_VARIABLE: &str = "CUCKOO_CHANNEL_URI";
/// How often a submit that was not answered is sent again.
const ATTEMPTS: u32 = 5;
/// How often the task is asked for.
const ASK_EVERY: Duration = Duration::from_millis(500);

/// Buys pictures from a Cuckoo coordinator by a channel.
#[derive(Parser)]
pub struct Cli {
	#[command(flatten)]
	at: At,
	#[command(subcommand)]
	command: Command,
}

/// Where coordinator and chain are.
#[derive(Args)]
struct At {
	/// The coordinator.
	#[arg(long, global = true, value_name = "URL", env = "CUCKOO_URL")]
	#[arg(default_value = "http://127.0.0.1:8645")]
	url: String,
	/// A node, to open and close channels.
	#[arg(long, global = true, value_name = "URL", env = "CUCKOO_CHAIN")]
	#[arg(default_value = "ws://127.0.0.1:9944")]
	chain: String,
}

#[derive(Subcommand)]
enum Command {
	/// Opens a channel to the coordinator, and prints its number.
	Open {
		/// What is put in, in CUC. What is not spent comes back when the channel is closed.
		#[arg(long, value_name = "CUC", value_parser = cuc)]
		deposit: Amount,
	},
	/// Buys a picture.
	Picture(Picture),
	/// Prints what the channel holds and what was spent of it.
	Status {
		/// The channel's number.
		channel: ChannelId,
	},
	/// Begins to close the channel, or ends it when the coordinator's time to redeem is over.
	Close {
		/// The channel's number.
		channel: ChannelId,
	},
}

#[derive(Args)]
struct Picture {
	/// The channel's number.
	channel: ChannelId,
	/// What the picture shows.
	prompt: String,
	/// Where to save it.
	#[arg(long, value_name = "FILE", default_value = "picture.png")]
	out: PathBuf,
	/// Denoising steps; the model's default if absent.
	#[arg(long)]
	steps: Option<i64>,
	/// Buy nothing that costs more, in CUC.
	#[arg(long, value_name = "CUC", value_parser = cuc)]
	max_price: Option<Amount>,
}

fn cuc(text: &str) -> Result<Amount, String> {
	Amount::from_cuc(text).ok_or_else(|| format!("{text:?} is no amount of CUC"))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
	let keys = |variable| Ok(load_worker_key(None, variable)?);
	println!("{}", run(Cli::parse(), keys).await?);
	Ok(())
}

/// Does what was asked for, with the keys of these names; gives what there is to say.
pub async fn run(cli: Cli, keys: impl Fn(&'static str) -> Result<sr25519::Pair>) -> Result<String> {
	let url = cli.at.url.trim_end_matches('/');
	let client = HttpClientBuilder::default().build(url)?;
	match cli.command {
		Command::Open { deposit } => {
			let (app, signer) = (keys(APP_VARIABLE)?, keys(CHANNEL_VARIABLE)?.public());
			open(&client, &cli.at.chain, &app, signer, deposit).await
		},
		Command::Picture(wish) => picture(&client, url, keys(CHANNEL_VARIABLE)?, &wish).await,
		Command::Status { channel } => Ok(shown(&client.channel_status(channel).await?)),
		Command::Close { channel } => close(&cli.at.chain, &keys(APP_VARIABLE)?, channel).await,
	}
}

async fn open(
	client: &HttpClient,
	chain: &str,
	app: &sr25519::Pair,
	signer: sr25519::Public,
	deposit: Amount,
) -> Result<String> {
	let chain = ChainClient::connect(chain).await?;
	let info = client.coordinator_info().await?;
	ensure!(
		info.genesis_hash == chain.genesis_hash(),
		"the coordinator and the node are on different chains"
	);
	let call = SettlementCall::OpenChannel {
		coordinator: info.operator.clone(),
		signer,
		amount: deposit.0,
	};
	// A coordinator counts with finalized blocks only.
	let included = chain.submit(&call.into(), app, Until::Finalized).await?;
	let own = AccountId::new(app.public().0);
	let opened = chain.settlement_at(included.block).await?;
	let channel = opened.opened_by(&own).await?;
	let channel = channel.last().context("the channel was not opened")?;
	Ok(format!(
		"channel {channel} to {} holds {deposit}",
		info.operator
	))
}

async fn picture(
	client: &HttpClient,
	url: &str,
	key: sr25519::Pair,
	wish: &Picture,
) -> Result<String> {
	let info = client.coordinator_info().await?;
	let before = client.channel_status(wish.channel).await?;
	let deposit = before.deposit.0;
	let mut signer =
		ChannelSigner::new(info.genesis_hash, info.operator, wish.channel, deposit, key);
	// What was signed before this program was started. An app that buys often keeps its own books, and
	// compares.
	signer.resume(&before);

	let asked = TaskRequest {
		prompt: wish.prompt.clone(),
		steps: wish.steps,
		..TaskRequest::default()
	};
	let quote = client.task_quote(asked, None).await?;
	let price = quote.price;
	if let Some(most) = wish.max_price.filter(|most| *most < price) {
		bail!("it costs {price}, which is more than {most}");
	}
	eprintln!("{price}, {} left in the channel", signer.left());
	let options = SubmitOptions {
		// Under one key it is one task, however often it is sent.
		idempotency_key: Some(hex::encode(rand::random::<[u8; 16]>())),
		max_price: Some(price),
		payment: Some(signer.pay(price)?),
		..SubmitOptions::default()
	};
	let task = submit(client, quote.spec, options).await?;
	let task = wait(client, task).await?;
	if task.state != TaskState::Done {
		// It costs nothing: what was signed for it pays for the next.
		let reason = task.reason.unwrap_or_default();
		bail!("the task is {}: {reason}", task.state.name());
	}

	let result = client.task_result(task.id).await?;
	let reply = reqwest::get(format!("{url}{}", result.path)).await?;
	let bytes = reply.error_for_status()?.bytes().await?;
	ensure!(
		bytes.len() <= MAX_ARTIFACT_BYTES,
		"the picture is too large"
	);
	ensure!(
		*blake3::hash(&bytes).as_bytes() == result.artifact.0,
		"the picture is not the one that the miner signed for"
	);
	std::fs::write(&wish.out, &bytes).context("the picture cannot be saved")?;

	let after = client.channel_status(wish.channel).await?;
	let spent = after.spent.0.saturating_sub(before.spent.0);
	ensure!(
		spent == price.0 && after.highest <= signer.signed(),
		"{} was spent for a picture of {price}: stop buying here",
		Amount(spent)
	);
	Ok(format!(
		"{} for {price}; {}",
		wish.out.display(),
		shown(&after)
	))
}

/// Submits once, however often it has to ask: the same key and the same payment.
async fn submit(
	client: &HttpClient,
	spec: TaskRequest,
	options: SubmitOptions,
) -> Result<TaskStatus> {
	for attempt in 0..ATTEMPTS {
		match client
			.task_submit(spec.clone(), Some(options.clone()))
			.await
		{
			Ok(task) => return Ok(task),
			// It says no.
			Err(error @ ClientError::Call(_)) => return Err(error.into()),
			Err(error) => eprintln!("not answered: {error}"),
		}
		tokio::time::sleep(Duration::from_secs(1 << attempt)).await;
	}
	bail!("the coordinator does not answer")
}

async fn wait(client: &HttpClient, mut task: TaskStatus) -> Result<TaskStatus> {
	while !task.state.is_final() {
		tokio::time::sleep(ASK_EVERY).await;
		match client.task_status(task.id).await {
			Ok(status) => task = status,
			Err(error @ ClientError::Call(_)) => return Err(error.into()),
			// It is asked again.
			Err(error) => eprintln!("not answered: {error}"),
		}
	}
	Ok(task)
}

async fn close(chain: &str, app: &sr25519::Pair, number: ChannelId) -> Result<String> {
	let chain = ChainClient::connect(chain).await?;
	let now = chain.settlement().await?;
	let channel = now
		.channel(number)
		.await?
		.context("there is no such channel")?;
	let (call, said) = match channel.closing {
		None => {
			let blocks = now.params()?.challenge_blocks;
			let said = format!("channel {number} is closing: close it again in {blocks} blocks");
			(SettlementCall::CloseChannel(number), said)
		},
		Some(until) if now.block()?.number <= until => {
			return Ok(format!(
				"channel {number} is closing: close it again after block {until}"
			));
		},
		Some(_) => {
			let rest = Amount(channel.deposit.saturating_sub(channel.redeemed));
			(
				SettlementCall::FinishClose(number),
				format!("channel {number} is closed: {rest} came back"),
			)
		},
	};
	chain
		.submit(&Call::from(call), app, Until::Finalized)
		.await?;
	Ok(said)
}

fn shown(status: &ChannelStatus) -> String {
	let ChannelStatus {
		channel,
		deposit,
		highest,
		spent,
		redeemed,
		closing,
	} = status;
	let closing = if *closing { ", closing" } else { "" };
	format!(
		"channel {channel} holds {deposit}: {spent} spent, {highest} signed for, {redeemed} redeemed{closing}"
	)
}
