//! Miners are paid, also by a coordinator that dies, whenever it dies.

use crate::{
	channel,
	support::{on_chain, on_market, request, until, TASK_TIMEOUT},
};
use anyhow::{ensure, Context, Result};
use clap::Parser;
use cuckoo_chain_client::ChainClient;
use cuckoo_coordinator_api::rpc::TaskRpcClient;
use cuckoo_devnet::{
	keys::DevKey,
	money::{self, Funds, Wallet},
	Network,
};
use cuckoo_primitives::{Balance, EraIndex};
use std::time::Duration;

/// For an era's end and what follows it: eras have 20 seconds.
const ERA_TIMEOUT: Duration = Duration::from_secs(90);
/// Tasks that are paid.
const TASKS: u32 = 3;

/// A coordinator's and a miner's network whose app has a channel.
struct Market<'a> {
	network: &'a mut Network,
	chain: ChainClient,
	miner: DevKey,
	wallet: Wallet,
}

impl<'a> Market<'a> {
	async fn open(network: &'a mut Network) -> Result<Self> {
		let chain = ChainClient::connect(&network.node_url()).await?;
		let miner = DevKey::miner(1);
		let funds = Funds::default();
		money::fund_coordinator(&chain, &[miner.account()], funds).await?;
		let wallet = money::open_channel(&chain, &DevKey::new("//Dave"), funds).await?;
		network
			.wait_eligible(&[miner.account()], ERA_TIMEOUT)
			.await?;
		Ok(Self {
			network,
			chain,
			miner,
			wallet,
		})
	}

	/// Has a task done and pays for it; what it cost.
	async fn task(&mut self, number: u32) -> Result<Balance> {
		let app = self.network.app()?;
		let spec = request("a star", 1);
		let price = app.rpc().task_quote(spec.clone(), None).await?.price;
		ensure!(price.0 > 0, "tasks are free here");
		let payment = self.wallet.pay(price.0);
		let key = format!("paid-{number}");
		let task = app.submit_paid(spec, key, payment).await?;
		app.wait(task.id, TASK_TIMEOUT).await?;
		Ok(price.0)
	}

	async fn era(&self) -> Result<EraIndex> {
		Ok(self.chain.staking_info().await?.era)
	}

	async fn worth(&self) -> Result<Balance> {
		let miner = self.miner.account();
		Ok(money::worth(&self.chain, &miner, &miner).await?)
	}

	/// What the whole pool has grown by since it was worth so much, once it rests.
	async fn wait_grown(&self, before: Balance) -> Result<Balance> {
		let miner = self.miner.account();
		let grown = money::wait_grown(&self.chain, &miner, &miner, before, ERA_TIMEOUT).await?;
		Ok(grown - before)
	}
}

#[tokio::test]
async fn a_coordinator_that_was_killed_settles_when_it_is_back() -> Result<()> {
	on_market(&[DevKey::miner(1)], async |network| {
		let mut market = Market::open(network).await?;
		let before = market.worth().await?;
		let first = market.era().await?;
		let mut paid = 0;
		for number in 0..TASKS {
			paid += market.task(number).await?;
			// What was accepted and earned is in the store when it is told.
			market.network.kill_coordinator()?;
			market.network.start_coordinator().await?;
			let miner = market.miner.account();
			market.network.wait_eligible(&[miner], ERA_TIMEOUT).await?;
		}
		let last = market.era().await?;
		let mut settled = 0;
		for era in first..=last {
			// Not every era needs to have a task in it.
			if let Ok((_, sum)) = money::wait_settled(&market.chain, era..=era, ERA_TIMEOUT).await {
				settled += sum;
			}
			if settled >= paid * 3 / 4 {
				break;
			}
		}
		assert_eq!(settled, paid * 3 / 4, "what all eras owe");
		market.network.claim(&market.miner).await?;
		// Of its three quarters and the emission, its voter's part apart.
		let grown = market.wait_grown(before).await?;
		assert!(
			grown > paid * 3 / 5 && grown < paid * 4 / 5,
			"{grown} of {paid}"
		);
		let said = market.network.check_state().await?;
		assert!(said.contains("every invariant holds"), "{said}");
		Ok(())
	})
	.await
}

#[tokio::test]
async fn a_miner_is_paid_from_the_reserve_of_a_coordinator_that_is_gone() -> Result<()> {
	on_market(&[DevKey::miner(1)], async |network| {
		let mut market = Market::open(network).await?;
		let before = market.worth().await?;
		let paid = market.task(0).await?;
		market.network.kill_coordinator()?;
		let era = market.era().await?;
		let post_eras = market.chain.settlement().await?.params()?.post_eras;
		until(
			"the end of the time to settle",
			2 * ERA_TIMEOUT,
			async || market.era().await.is_ok_and(|now| now > era + post_eras),
		)
		.await?;
		let said = market.network.claim(&market.miner).await?;
		let grown = market
			.wait_grown(before)
			.await
			.with_context(|| format!("claim said {said}"))?;
		// Nothing is issued for what was not settled.
		assert!(
			grown > paid / 2 && grown < paid * 3 / 4,
			"{grown} of {paid}"
		);
		Ok(())
	})
	.await
}

/// The example in examples/channel.rs, at a coordinator that asks for API keys; and the era is settled by
/// hand while that coordinator is down.
#[tokio::test]
async fn an_app_buys_by_a_channel_as_the_example_does() -> Result<()> {
	let args = ["--price", "10", "--require-api-key"];
	on_chain("fast", &[DevKey::miner(1)], &args, async |network| {
		let chain = ChainClient::connect(&network.node_url()).await?;
		let miner = DevKey::miner(1).account();
		money::fund_coordinator(&chain, &[miner.clone()], Funds::default()).await?;
		network.wait_eligible(&[miner], ERA_TIMEOUT).await?;

		let (url, node) = (network.coordinator_url(), network.node_url());
		let run = async |words: &[&str]| {
			let at = ["channel", "--url", &url, "--chain", &node];
			let cli = channel::Cli::try_parse_from([&at, words].concat())?;
			let keys = |variable| match variable {
				"CUCKOO_APP_URI" => Ok(DevKey::new("//Dave").pair()),
				_ => Ok(DevKey::new("//Dave//channel").pair()),
			};
			channel::run(cli, keys).await
		};
		let said = run(&["open", "--deposit", "20"]).await?;
		assert!(
			said.starts_with("channel 0 to ") && said.ends_with("holds 20 CUC"),
			"{said}"
		);
		let file = network.folder().join("star.png");
		let out = ["--steps", "1", "--out", file.to_str().context("a path")?];
		let dear = run(&[
			&["picture", "0", "a star", "--max-price", "0.001"],
			&out[..],
		]
		.concat())
		.await;
		let dear = dear.unwrap_err().to_string();
		assert!(dear.contains("more than 0.001 CUC"), "{dear}");
		for _ in 0..2 {
			let said = run(&[&["picture", "0", "a star"], &out[..]].concat()).await?;
			assert!(said.contains(" spent, "), "{said}");
		}
		assert!(std::fs::read(&file)?.starts_with(b"\x89PNG"));
		let said = run(&["close", "0"]).await?;
		assert!(said.contains("is closing: close it again in"), "{said}");
		let again = run(&["close", "0"]).await?;
		assert!(again.contains("again after block"), "{again}");
		let status = run(&["status", "0"]).await?;
		assert!(status.ends_with(", closing"), "{status}");

		let era = chain.staking_info().await?.era;
		network.kill_coordinator()?;
		until("the era's end", ERA_TIMEOUT, async || {
			chain.staking_info().await.is_ok_and(|info| info.era > era)
		})
		.await?;
		let said = network.settle().await?;
		println!("{said}");
		money::wait_settled(&chain, era.saturating_sub(2)..=era, ERA_TIMEOUT).await?;
		assert!(network.settle().await?.contains("nothing to settle"));
		println!("{}", network.reconcile().await?);
		network.start_coordinator().await?;
		Ok(())
	})
	.await
}
