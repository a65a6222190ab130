//! One whole run: trouble for some minutes, then everything heals, and then everything must end well.

use crate::{
	app::App,
	dice::Dice,
	miner::{Miner, Temper},
	world::World,
};
use cuckoo_coordinator_api::task::TaskState;
use offchain_coordinator::{admin::BanRequest, price::Prices, settings::Settings};
use std::{sync::Arc, time::Duration};
use tokio::task::JoinHandle;

/// What a megapixel-step costs where apps pay.
const PRICE: u128 = 1_000_000;

/// How long everything is given to end once all has healed: far more than any wait, lease and
/// suspension together.
const HEALED: Duration = Duration::from_secs(4 * 3_600);

/// What came of a schedule.
#[derive(Clone, Debug)]
pub struct Outcome {
	/// The rules that were broken.
	pub broken: Vec<String>,
	/// The last lines of the trace.
	pub trace: Vec<String>,
	/// How many lines the trace has, and its hash.
	pub hash: (u64, String),
	/// How many tasks were accepted.
	pub accepted: usize,
	/// How many of them are done.
	pub done: usize,
}

/// Runs the schedule that follows from this seed.
pub fn run(seed: u64) -> anyhow::Result<Outcome> {
	let dice = Dice::new(seed);
	let settings = Settings {
		lease_base_ms: 10_000,
		lease_per_step_ms: 1_000,
		pick_up_ms: 5_000 + dice.number(0..15_000),
		queue_timeout_ms: 120_000 + dice.number(0..600_000),
		max_queued: 30,
		max_queued_per_app: 1 + dice.number(0..8) as usize,
		submits_per_minute: 60,
		suspension_ms: 2_000,
		grace_ms: dice.number(1_000..20_000),
		tick_ms: 500,
		// In every other schedule apps pay.
		prices: Prices {
			default: if seed % 2 == 1 { PRICE } else { 0 },
			..Prices::default()
		},
		..Settings::default()
	};
	let miners = 2 + dice.number(0..5) as u8;
	let world = World::new(&dice, miners, settings)?;
	let time = world.time().clone();
	let runtime = tokio::runtime::Builder::new_current_thread()
		.on_thread_park(move || {
			time.skip();
		})
		// For what has a time limit and no need of it.
		.enable_time()
		.build()?;
	let ran = runtime.block_on(whole(&world, &dice, miners));
	drop(runtime);
	ran?;
	let facts = world.facts();
	let done = facts
		.ended
		.values()
		.filter(|state| **state == TaskState::Done);
	Ok(Outcome {
		broken: world.trace.rules_broken(),
		trace: world.trace.lines(),
		hash: world.trace.hash(),
		accepted: facts.accepted.len(),
		done: done.count(),
	})
}

async fn whole(world: &Arc<World>, dice: &Dice, miners: u8) -> anyhow::Result<()> {
	world.start().await?;
	let mut mining = Vec::new();
	for number in 0..miners {
		let miner = Miner::new(world, dice.split(), number, temper(dice));
		mining.push(tokio::spawn(miner.run()));
	}
	let apps: Vec<JoinHandle<()>> = (0..1 + dice.number(0..4) as u8)
		.map(|number| {
			let app = App::new(world, dice.split(), number);
			tokio::spawn(app.run(1 + dice.number(0..10)))
		})
		.collect();
	trouble(world, dice, miners).await?;

	world.chain().heal();
	world.next_block(dice).await;
	if world.coordinator().is_none() {
		world.start().await?;
	}
	world.heal();
	for app in apps {
		app.await?;
	}
	until_all_ended(world).await;
	for miner in mining {
		miner.abort();
	}
	// What is on its way arrives.
	world.sleep(Duration::from_secs(60)).await;
	world.check_end().await?;
	world.kill().await;
	world.start().await?;
	world.check_end().await
}

/// Some miners are good, some have one fault, some have all of them.
fn temper(dice: &Dice) -> Temper {
	let often = |dice: &Dice| dice.number(0..500);
	match dice.number(0..8) {
		0..=2 => Temper::default(),
		3 => Temper {
			lies: often(dice),
			..Temper::default()
		},
		4 => Temper {
			vanishes: dice.number(0..200),
			..Temper::default()
		},
		5 => Temper {
			stalls: often(dice),
			forgets: dice.number(0..200),
			..Temper::default()
		},
		_ => Temper {
			lies: dice.number(0..200),
			fails: dice.number(0..200),
			stalls: dice.number(0..100),
			vanishes: dice.number(0..50),
			forgets: dice.number(0..50),
			repeats: often(dice),
		},
	}
}

/// Minutes in which everything that can go wrong does.
async fn trouble(world: &Arc<World>, dice: &Dice, miners: u8) -> anyhow::Result<()> {
	let end = world.passed() + dice.millis(20_000..240_000);
	while world.passed() < end {
		world.sleep(dice.millis(100..6_000)).await;
		if world.coordinator().is_none() {
			world.start().await?;
		}
		let miner = dice.number(0..miners.into()) as u8;
		match dice.number(0..24) {
			0..=2 => {
				world.kill().await;
				let down = match dice.chance(800) {
					true => dice.millis(0..3_000),
					false => dice.millis(0..60_000),
				};
				world.sleep(down).await;
				world.start().await?;
			},
			3 => world.partition(dice.millis(1_000..30_000)),
			4 => world.move_clock(dice.number(0..90_000) as i64),
			5 => world.move_clock(-(dice.number(0..5_000) as i64)),
			6 => world.chain().miner(miner).retired = true,
			7..=8 => world.chain().miner(miner).retired = false,
			9 => world.chain().miner(miner).stake = dice.number(10_000..300_000).into(),
			10 => world.chain().miner(miner).worker += 1,
			11 => world.chain().set_coordinator_active(dice.chance(300)),
			12 => world.chain().set_coordinator_active(true),
			13 => ban(world, dice, miner).await,
			_ => world.next_block(dice).await,
		}
		world.check_now().await;
	}
	Ok(())
}

async fn ban(world: &Arc<World>, dice: &Dice, miner: u8) {
	let Some(coordinator) = world.coordinator() else {
		return;
	};
	let account = crate::chain::account(miner);
	let seconds = Some(dice.number(1..120));
	let reason = String::new();
	let request = BanRequest {
		account: account.clone(),
		seconds,
		reason,
	};
	world.trace.note(
		"operator",
		format_args!("bans miner {miner} for {seconds:?} s"),
	);
	// A coordinator that is killed meanwhile need not do it.
	let _ = coordinator.ban(request).await;
	if dice.chance(300) {
		let _ = coordinator.unban(account).await;
	}
}

/// Waits until every accepted task has ended, or for as long as that may take.
async fn until_all_ended(world: &Arc<World>) {
	let end = world.passed() + HEALED;
	while world.passed() < end {
		world.sleep(Duration::from_secs(5)).await;
		world.check_now().await;
		let Some(coordinator) = world.coordinator() else {
			return;
		};
		let tables = coordinator.stored_tables().await;
		if tables.is_ok_and(|tables| tables.queued.is_empty() && tables.leased.is_empty()) {
			return;
		}
	}
}
