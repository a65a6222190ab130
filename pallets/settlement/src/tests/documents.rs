//! The worked numbers of docs/settlement.md, computed again. Each row of its checked tables is
//! `| name | what | value |`; every name below must be there with exactly this value, and no other.

use codec::Encode;
use cuckoo_primitives::{
	sum_tree::{context, Leaf, SumTree},
	Balance, CUC, H256,
};
use sp_runtime::Perbill;
use std::collections::BTreeMap;

use crate::{
	mock::account,
	split::{emission_part, Split, SplitParams},
};

const DOCUMENT: &str = include_str!("../../../../docs/settlement.md");

/// An amount as the document writes it: CUC with all its digits.
fn cuc(amount: Balance) -> String {
	let part = format!("{:012}", amount % CUC);
	match part.trim_end_matches('0') {
		"" => format!("{} CUC", amount / CUC),
		part => format!("{}.{part} CUC", amount / CUC),
	}
}

fn percent(part: Perbill) -> String {
	format!("{}%", part.deconstruct() / 10_000_000)
}

fn bytes(count: usize) -> String {
	match (count / 1_000, count % 1_000) {
		(0, small) => format!("{small} bytes"),
		(thousands, rest) => format!("{thousands},{rest:03} bytes"),
	}
}

/// Ten thousand miners' era.
fn large_tree() -> SumTree {
	let leaves = (0..10_000u32)
		.map(|number| {
			let mut miner = [0; 32];
			miner[..4].copy_from_slice(&number.to_be_bytes());
			Leaf {
				miner: miner.into(),
				amount: CUC,
			}
		})
		.collect();
	SumTree::new(&context(&H256::zero(), &account(1), 0), leaves).expect("a fine tree")
}

fn figures() -> BTreeMap<&'static str, String> {
	let mut figures = BTreeMap::new();
	let tree = large_tree();
	let one = tree.prove(&[0]).expect("it is there");
	figures.insert("path", one.siblings.len().to_string());
	figures.insert("proof", bytes(one.encode().len()));
	let places: Vec<u32> = (1_000..1_064).collect();
	let batch = tree.prove(&places).expect("they are there");
	figures.insert("batch path", batch.siblings.len().to_string());
	figures.insert("batch proof", bytes(batch.encode().len()));

	let params = SplitParams::default();
	figures.insert("miner", percent(params.miner));
	figures.insert("coordinator", percent(params.coordinator));
	figures.insert("audit", percent(params.audit));
	figures.insert("burn", percent(params.burn));
	figures.insert("miner emission", percent(params.miner_emission));
	figures.insert("coordinator emission", percent(params.coordinator_emission));

	let split = Split::of_miners_part(75 * CUC, &params).expect("a fee");
	figures.insert("fee", cuc(split.fee));
	figures.insert("coordinator's part", cuc(split.coordinator));
	figures.insert("audit fund", cuc(split.audit));
	figures.insert("burned", cuc(split.burn));
	figures.insert("issued to it", cuc(split.coordinator_emission));
	figures.insert("issued to all miners", cuc(split.miner_emission));
	let emission = emission_part(split.miner_emission, 30 * CUC, split.miner);
	figures.insert("the miner", cuc(30 * CUC + emission));
	figures.insert("levy", cuc(split.levy()));
	let issued = split.miner_emission + split.coordinator_emission;
	figures.insert("circle", cuc(split.burn + split.audit - issued));
	figures.insert("circle with the fund", cuc(split.burn - issued));

	let odd = Split::of_miners_part(CUC, &params).expect("a fee");
	figures.insert("odd fee", cuc(odd.fee));
	figures.insert("odd burned", cuc(odd.burn));
	figures
}

#[test]
fn the_documents_numbers_are_what_the_pallet_does() {
	let written: BTreeMap<&str, String> = DOCUMENT
		.lines()
		.filter_map(|line| {
			let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
			match cells[..] {
				[name, _, value] if !value.is_empty() => {
					let name = name.strip_prefix('`')?.strip_suffix('`')?;
					(!name.contains('/')).then(|| (name, value.to_string()))
				},
				_ => None,
			}
		})
		.collect();
	assert_eq!(written, figures());
}
