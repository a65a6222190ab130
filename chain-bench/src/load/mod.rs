//! How many transactions a running node takes into its blocks.
//!
//! A node of the development network with a few thousand funded accounts is sent signed transactions of
//! one kind, more than its blocks can hold, until all are included; then those of the other kind, in
//! turns. Everything is signed beforehand. What counts is what the blocks' events say was done, in
//! blocks that were as full as they get: not the first of a window, in which the sending begins, and
//! not the last, which takes what is left. The time is the one in the blocks.

mod node;
mod rpc;
pub mod transactions;

use anyhow::{ensure, Context};
use cuckoo_figures::{median, print, Unit};
use rpc::{Block, NodeRpc};
use std::{collections::VecDeque, path::PathBuf, time::Duration};
use tokio::{task::JoinSet, time::Instant};
use transactions::{Chain, Kind, Sender};

/// Accounts that send. Each sends several transactions in a window, one after the other.
const SENDERS: u32 = 2_000;

/// Connections that submit side by side.
const CONNECTIONS: usize = 4;

/// Transactions in one request.
const BATCH: usize = 100;

/// How many full blocks may wait in the node's pool: enough that no block finds it empty.
const BACKLOG_BLOCKS: u32 = 2;

/// Full blocks that a window counts.
const COUNTED_BLOCKS: u32 = 3;

/// Blocks that it does not count: the first and the last ones.
const MARGIN_BLOCKS: u32 = 2;

/// How often the chain is asked for new blocks.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A window that takes longer has a problem.
const WINDOW_LIMIT: Duration = Duration::from_secs(300);

/// What to run.
#[derive(Clone, Debug)]
pub struct Options {
	/// The `cuckoo-node` program.
	pub node: PathBuf,
	/// How many windows of each kind.
	pub windows: u32,
}

/// What a window has counted.
#[derive(Clone, Copy, Debug)]
struct Rate {
	per_second: f64,
	/// Transactions in a full block by those that its weight would admit.
	fill: f64,
}

/// Starts the node, loads it, prints the figures, ends the node.
pub async fn run(options: &Options) -> anyhow::Result<()> {
	let senders: Vec<Sender> = (0..SENDERS).map(Sender::new).collect();
	let accounts: Vec<_> = senders.iter().map(Sender::account).collect();
	let node = node::Node::start(&options.node, &accounts).await?;
	let result = measure(&node, senders, options.windows).await;
	let result = result.with_context(|| format!("the node's log ends with\n{}", node.log_tail()));
	node.end().await;
	result
}

async fn measure(node: &node::Node, mut senders: Vec<Sender>, windows: u32) -> anyhow::Result<()> {
	let rpc = NodeRpc::connect(&node.url()).await?;
	let chain = rpc.chain().await?;
	let (mut transfers, mut votes) = (Vec::new(), Vec::new());
	for _ in 0..windows {
		transfers.push(window(node, &rpc, &chain, &mut senders, Kind::Transfer).await?);
		votes.push(window(node, &rpc, &chain, &mut senders, Kind::Vote).await?);
	}
	let rate = |windows: &[Rate]| {
		median(
			&windows
				.iter()
				.map(|rate| rate.per_second)
				.collect::<Vec<_>>(),
		)
		.context("no windows")
	};
	let fill = |windows: &[Rate]| {
		median(&windows.iter().map(|rate| rate.fill).collect::<Vec<_>>()).context("no windows")
	};
	print("transfers_per_second", rate(&transfers)?, Unit::PerSecond)?;
	print("transfers_block_fill", fill(&transfers)?, Unit::Ratio)?;
	print("votes_per_second", rate(&votes)?, Unit::PerSecond)?;
	print("votes_block_fill", fill(&votes)?, Unit::Ratio)?;
	print(
		"votes_per_transfer",
		rate(&votes)? / rate(&transfers)?,
		Unit::Ratio,
	)
}

/// Sends enough transactions of one kind for some full blocks, and waits until all are included.
async fn window(
	node: &node::Node,
	rpc: &NodeRpc,
	chain: &Chain,
	senders: &mut [Sender],
	kind: Kind,
) -> anyhow::Result<Rate> {
	let capacity = transactions::block_capacity(kind);
	let total = (COUNTED_BLOCKS + MARGIN_BLOCKS) * capacity;
	let queues = transactions::sign(senders, kind, chain, total, CONNECTIONS);
	let start = Instant::now();
	let before = rpc.best_number().await?;
	let mut blocks = Vec::new();
	let mut seen = before;
	let mut included = 0;
	let mut flow = Flow::new(node, queues).await?;
	while included < total {
		ensure!(
			start.elapsed() < WINDOW_LIMIT,
			"{included} of {total} transactions were included in time"
		);
		let waits = flow.submitted >= included + BACKLOG_BLOCKS * capacity;
		let sent = if waits { 0 } else { flow.submit().await? };
		let best = rpc.best_number().await?;
		while seen < best {
			seen += 1;
			let block = rpc.block(seen, kind).await?;
			ensure!(block.failed == 0, "{} transactions failed", block.failed);
			included += block.done;
			eprintln!(
				"block {seen}: {} of kind {kind:?}, {included} of {total}",
				block.done
			);
			blocks.push(block);
		}
		if sent == 0 {
			tokio::time::sleep(LOOK_EVERY).await;
		}
	}
	rate(&blocks, capacity)
}

/// The rate in the blocks that were full, by the time between them.
fn rate(blocks: &[Block], capacity: u32) -> anyhow::Result<Rate> {
	let first = blocks
		.iter()
		.position(|block| block.done > 0)
		.context("no block with a transaction")?;
	let last = blocks
		.iter()
		.rposition(|block| block.done > 0)
		.context("no block with a transaction")?;
	// Each counted block fills the time since the one before it.
	ensure!(last >= first + 2, "too few blocks with transactions");
	let counted = &blocks[first + 1..last];
	let done: u32 = counted.iter().map(|block| block.done).sum();
	let millis = counted[counted.len() - 1].millis - blocks[first].millis;
	ensure!(millis > 0, "no time passed between the blocks");
	Ok(Rate {
		per_second: f64::from(done) * 1e3 / millis as f64,
		fill: f64::from(done) / f64::from(capacity) / counted.len() as f64,
	})
}

/// Submits from several queues over as many connections, each queue in its order.
struct Flow {
	lanes: Vec<(NodeRpc, VecDeque<String>)>,
	submitted: u32,
}

impl Flow {
	async fn new(node: &node::Node, queues: Vec<Vec<String>>) -> anyhow::Result<Self> {
		let mut lanes = Vec::new();
		for queue in queues {
			lanes.push((NodeRpc::connect(&node.url()).await?, queue.into()));
		}
		Ok(Self {
			lanes,
			submitted: 0,
		})
	}

	/// Submits the next batch of each queue. Returns how many transactions that were.
	async fn submit(&mut self) -> anyhow::Result<u32> {
		let before = self.submitted;
		let mut sending = JoinSet::new();
		for (rpc, queue) in &mut self.lanes {
			let batch: Vec<String> = queue.drain(..BATCH.min(queue.len())).collect();
			if batch.is_empty() {
				continue;
			}
			self.submitted += batch.len() as u32;
			let rpc = rpc.clone();
			sending.spawn(async move { rpc.submit(&batch).await });
		}
		while let Some(sent) = sending.join_next().await {
			sent??;
		}
		Ok(self.submitted - before)
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	fn block(done: u32, millis: u64) -> Block {
		Block {
			done,
			failed: 0,
			millis,
		}
	}

	#[test]
	fn the_first_and_the_last_block_do_not_count() {
		let blocks = [
			block(0, 0),
			block(10, 6_000),
			block(100, 12_000),
			block(80, 18_000),
			block(5, 24_000),
		];
		let rate = rate(&blocks, 100).unwrap();
		assert_eq!(rate.per_second, 15.0);
		assert_eq!(rate.fill, 0.9);
	}

	#[test]
	fn a_block_that_is_missing_costs_time() {
		let blocks = [block(1, 6_000), block(90, 24_000), block(1, 30_000)];
		assert_eq!(rate(&blocks, 90).unwrap().per_second, 5.0);
	}

	#[test]
	fn nothing_is_made_of_too_few_blocks() {
		assert!(rate(&[], 1).is_err());
		assert!(rate(&[block(0, 6_000)], 1).is_err());
		assert!(rate(&[block(1, 6_000), block(1, 12_000)], 1).is_err());
	}
}
