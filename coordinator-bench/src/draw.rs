//! A draw: who is drawn, the commitment to the list, what is stored of it, and the miner's slot taken,
//! among so many miners.

use crate::population;
use anyhow::Context;
use cuckoo_figures::median;
use cuckoo_primitives::{task::TaskId, H256};
use offchain_coordinator::draw::DrawTables;
use std::time::Instant;

/// Rounds, of which the median counts.
const ROUNDS: u32 = 31;

/// Draws of a round. Whoever was drawn is out of the list from then on.
const DRAWS: u32 = 100;

/// Microseconds a draw, the median of the rounds.
pub fn micros(miners: u32) -> anyhow::Result<f64> {
	let models = [population::model().hash];
	let mut tables = DrawTables::new(0);
	for number in 0..miners {
		let weight = 30_000 + u128::from(number);
		tables.set(&population::account(number), &models, weight);
	}
	let randomness = H256::repeat_byte(7);
	let mut draw = |attempt| {
		let drawn = tables.draw(&models[0], &[], &randomness, &TaskId([0; 16]), attempt)?;
		tables.set(&drawn.miner, &models, 0);
		Some(drawn)
	};
	// The first one writes the whole list down.
	draw(0).context("nobody can be drawn")?;
	let mut rounds = Vec::new();
	for round in 0..ROUNDS {
		let start = Instant::now();
		for number in 0..DRAWS {
			let drawn = draw(1 + round * DRAWS + number).context("nobody is left")?;
			std::hint::black_box(&drawn);
		}
		rounds.push(start.elapsed().as_secs_f64() * 1e6 / f64::from(DRAWS));
	}
	median(&rounds).context("no rounds")
}
