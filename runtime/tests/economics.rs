//! The worked numbers of docs/economics.md, computed again with the chain's own functions and
//! constants. Each row of its checked tables is `| name | what | value |`; every name below must be
//! there with exactly this value, and no other.

use cuckoo_primitives::{Balance, Role, CUC};
use cuckoo_runtime::{
	constants::{
		BLOCKS_PER_ERA, ERA_MILLIS, EVIDENCE_ERAS, SESSIONS_PER_ERA, SLASH_DEFER_ERAS,
		SLOTS_PER_SESSION, SLOT_DURATION_MS, UNBONDING_ERAS,
	},
	Runtime,
};
use frame_support::traits::Get;
use pallet_cuckoo_staking::{
	budget::{author_pay, era_budget},
	default_role_params,
	pool::{Pool, Shares},
	slash::{Leaving, Reach, Taken},
	stake::{Stake, Stream},
	Config, ValidatorParams,
};
use sp_runtime::Perbill;
use std::collections::BTreeMap;

const DOCUMENT: &str = include_str!("../../docs/economics.md");

/// The supply of the worked examples.
const SUPPLY: Balance = 1_000_000_000 * CUC;

/// An amount as the document writes it: CUC with all its digits, thousands apart.
fn cuc(amount: Balance) -> String {
	let whole = grouped(amount / CUC);
	let part = format!("{:012}", amount % CUC);
	match part.trim_end_matches('0') {
		"" => format!("{whole} CUC"),
		part => format!("{whole}.{part} CUC"),
	}
}

fn grouped(number: u128) -> String {
	let digits = number.to_string();
	let mut text = String::new();
	for (place, digit) in digits.chars().enumerate() {
		if place > 0 && (digits.len() - place).is_multiple_of(3) {
			text.push(',');
		}
		text.push(digit);
	}
	text
}

fn percent(part: Perbill) -> String {
	let billionths = part.deconstruct();
	let text = format!("{}.{:07}", billionths / 10_000_000, billionths % 10_000_000);
	format!("{}%", text.trim_end_matches('0').trim_end_matches('.'))
}

fn eras(count: u32) -> String {
	let hours = u64::from(count) * ERA_MILLIS / 3_600_000;
	format!("{count} eras, {hours} h")
}

fn pool(value: Balance) -> Pool {
	Pool {
		value,
		shares: Shares(value),
		generation: 0,
	}
}

/// An operator with this much of its own, votes and leaving votes, slashed by `fraction`.
fn slashed(own: Balance, votes: Balance, leaving: Balance, fraction: Perbill) -> (Taken, Reach) {
	let mut reach = Reach {
		stake: Stake {
			pool: pool(own + votes),
			stream: Stream::default(),
		},
		own: Shares(own),
		leaving: vec![Leaving {
			era: 0,
			pool: pool(leaving),
			own: Shares::ZERO,
		}],
	};
	let taken = reach.slash(fraction, &[]).expect("small numbers");
	(taken, reach)
}

fn reporter(taken: Taken) -> Balance {
	<Runtime as Config>::ReporterShare::get()
		.mul_floor(taken.all)
		.min(taken.own / 2)
}

fn figures() -> BTreeMap<&'static str, String> {
	let mut figures = BTreeMap::new();
	let mut figure = |name, value: String| {
		assert!(figures.insert(name, value).is_none(), "{name} twice");
	};

	// Time.
	figure("block", format!("{} s", SLOT_DURATION_MS / 1_000));
	figure(
		"session",
		format!(
			"{SLOTS_PER_SESSION} blocks, {} h",
			SLOTS_PER_SESSION * SLOT_DURATION_MS / 3_600_000
		),
	);
	figure(
		"era",
		format!("{SESSIONS_PER_ERA} sessions, {} h", ERA_MILLIS / 3_600_000),
	);
	figure("unbonding", eras(UNBONDING_ERAS));
	figure("evidence", eras(EVIDENCE_ERAS));
	figure("deferral", eras(SLASH_DEFER_ERAS));

	// Parameters.
	for role in Role::ALL {
		let params = default_role_params(role);
		let (stake, offence) = match role {
			Role::Miner => ("miner stake", "miner offence"),
			Role::Coordinator => ("coordinator stake", "coordinator offence"),
			Role::Validator => ("validator stake", "validator offence"),
		};
		figure(stake, cuc(params.min_self_stake));
		figure(offence, percent(params.offence_fraction));
	}
	let validators = ValidatorParams::default();
	figure("smallest vote", cuc(<Runtime as Config>::MinVote::get()));
	figure(
		"reporter",
		percent(<Runtime as Config>::ReporterShare::get()),
	);
	figure(
		"commission raise",
		percent(<Runtime as Config>::MaxCommissionRaise::get()),
	);
	figure("seats", validators.seats.to_string());
	figure("inflation", percent(validators.yearly_inflation));

	// A pool's rate: 100 voted at 1:1, a tenth of reward, 11 more voted.
	let mut rate = Pool::default();
	rate.join(100 * CUC).expect("fits");
	rate.gain(10 * CUC).expect("it has shares");
	let bought = rate.join(11 * CUC).expect("fits");
	figure("bought", format!("{} shares", grouped(bought.0)));
	figure("first voter", cuc(rate.worth(Shares(100 * CUC))));
	rate.lose(rate.value / 10);
	figure("after a tenth", cuc(rate.worth(Shares(100 * CUC))));

	// A reward of 1,000 CUC to a pool of 40,000, commission 10%.
	let commission = Perbill::from_percent(10).mul_floor(1_000 * CUC);
	let mut stake = Stake {
		pool: pool(40_000 * CUC),
		stream: Stream::default(),
	};
	let own = stake.pool.join(commission).expect("fits");
	stake
		.reward(1_000 * CUC - commission, 0, BLOCKS_PER_ERA)
		.expect("it has shares");
	figure("commission", cuc(commission));
	figure("a block's part", cuc(stake.stream.due(1)));
	figure("half an era", cuc(stake.stream.due(BLOCKS_PER_ERA / 2)));
	let voter = Shares(10_000 * CUC);
	let end = stake.at(BLOCKS_PER_ERA).pool;
	figure("voter after an era", cuc(end.worth(voter)));
	figure(
		"operator after an era",
		cuc(end.worth(Shares(30_000 * CUC + own.0))),
	);

	// A second reward of 100 CUC when half of the era has passed.
	stake.release(BLOCKS_PER_ERA / 2).expect("fits");
	stake
		.reward(100 * CUC, BLOCKS_PER_ERA / 2, BLOCKS_PER_ERA)
		.expect("it has shares");
	figure(
		"merged end",
		format!("block {}", grouped(stake.stream.until.into())),
	);

	// Validators.
	let budget = era_budget(SUPPLY, validators.yearly_inflation, ERA_MILLIS);
	figure("budget", cuc(budget));
	figure(
		"a block",
		cuc(author_pay(budget, 1, BLOCKS_PER_ERA, BLOCKS_PER_ERA)),
	);
	figure(
		"a validator",
		cuc(author_pay(budget, 36, BLOCKS_PER_ERA, BLOCKS_PER_ERA)),
	);
	figure(
		"half missing",
		cuc(author_pay(
			budget,
			BLOCKS_PER_ERA / 2,
			BLOCKS_PER_ERA / 2,
			BLOCKS_PER_ERA,
		)),
	);

	// Slashes.
	let tenth = default_role_params(Role::Miner).offence_fraction;
	let (taken, reach) = slashed(30_000 * CUC, 70_000 * CUC, 0, tenth);
	figure("A taken", cuc(taken.all));
	figure("A own", cuc(taken.own));
	figure(
		"A votes",
		cuc(reach.stake.pool.value - reach.stake.pool.worth(reach.own)),
	);
	figure("A reporter", cuc(reporter(taken)));
	let (taken, reach) = slashed(25_000 * CUC, 375_000 * CUC, 100_000 * CUC, tenth);
	figure("B taken", cuc(taken.all));
	figure("B own", cuc(taken.own));
	figure("B votes", cuc(reach.stake.pool.value));
	figure("B leaving", cuc(reach.leaving[0].pool.value));
	figure("B reporter", cuc(reporter(taken)));
	let (taken, _) = slashed(21_000 * CUC, 2_979_000 * CUC, 0, tenth);
	figure("C taken", cuc(taken.all));
	figure("C own", cuc(taken.own));
	figure("C reporter", cuc(reporter(taken)));
	let mut twice = Reach {
		stake: Stake {
			pool: pool(100_000 * CUC),
			stream: Stream::default(),
		},
		own: Shares::ZERO,
		leaving: Vec::new(),
	};
	let smaller = Perbill::from_percent(10);
	let larger = Perbill::from_percent(30);
	twice.slash(smaller, &[]).expect("small numbers");
	figure("two first", cuc(twice.stake.pool.value));
	twice.slash(larger, &[(0, smaller)]).expect("small numbers");
	figure("two second", cuc(twice.stake.pool.value));
	figures
}

/// The rows of the document whose first cell is a name between backquotes and which have three cells.
fn rows() -> BTreeMap<String, String> {
	let mut rows = BTreeMap::new();
	for line in DOCUMENT.lines() {
		let cells: Vec<&str> = line
			.trim()
			.trim_matches('|')
			.split(" | ")
			.map(str::trim)
			.collect();
		let [name, _, value] = cells[..] else {
			continue;
		};
		let Some(name) = name
			.strip_prefix('`')
			.and_then(|name| name.strip_suffix('`'))
		else {
			continue;
		};
		let before = rows.insert(name.to_owned(), value.to_owned());
		assert_eq!(before, None, "`{name}` stands twice in the document");
	}
	rows
}

#[test]
fn the_documents_numbers_are_the_chains() {
	let expected: BTreeMap<String, String> = figures()
		.into_iter()
		.map(|(name, value)| (name.to_owned(), value))
		.collect();
	let found = rows();
	let differing: Vec<_> = expected
		.iter()
		.filter(|(name, value)| found.get(*name) != Some(value))
		.map(|(name, value)| format!("| `{name}` | … | {value} |"))
		.collect();
	assert!(
		differing.is_empty(),
		"docs/economics.md should have:\n{}",
		differing.join("\n")
	);
	assert_eq!(
		found.len(),
		expected.len(),
		"the document has other figures"
	);
}
