//! Checks a finished task against the chain, trusting neither coordinator nor miner.
//!
//! Everything here is pure: what the coordinator served ([`Evidence`]) is held against the registry of
//! the block that the draw names. The first thing that does not fit is the [`Deviation`].

use cuckoo_chain_client::{Operator, Registry};
use cuckoo_coordinator_api::task::{DrawProof, TaskResult, TaskStatus};
use cuckoo_primitives::{
	draw::{self, Eligible},
	signing,
	task::{TaskId, TaskSpec},
	AccountId, Balance, Role, H256,
};
use std::fmt::Display;

/// What a coordinator served about a task that is done.
#[derive(Clone, Debug)]
pub struct Evidence {
	/// `task_status`.
	pub status: TaskStatus,
	/// `task_result`.
	pub result: TaskResult,
	/// `coordinator_draw` for the accepted attempt.
	pub draw: DrawProof,
	/// The artifact's bytes.
	pub picture: Vec<u8>,
	/// The idempotency key that the app gave, if it did.
	pub idempotency_key: Option<String>,
}

/// What was found right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
	/// Where the draw fell: below the total weight.
	pub ticket: Balance,
	/// Hash of what the coordinator's worker signed.
	pub assignment: H256,
	/// Hash of what the miner's worker signed.
	pub commitment: H256,
	/// The picture's width and height.
	pub size: (u32, u32),
}

/// What does not fit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {given} was given, {expected} would be right")]
pub struct Deviation {
	/// What was compared.
	pub what: &'static str,
	/// What the coordinator served.
	pub given: String,
	/// What follows from the chain and the other parts.
	pub expected: String,
}

/// Checks the whole task: its id, the draw, both signatures, the picture. `registry` is the chain's at
/// the assignment's block, `genesis_hash` the chain's.
pub fn verify(
	evidence: &Evidence,
	registry: &Registry,
	genesis_hash: &H256,
) -> Result<Verified, Deviation> {
	verify_task_id(evidence)?;
	let ticket = verify_draw(&evidence.draw, registry, genesis_hash)?;
	let commitment = verify_result(evidence, genesis_hash)?;
	let size = verify_picture(evidence)?;
	let assignment = signing::signing_hash(genesis_hash, &evidence.draw.assignment);
	Ok(Verified {
		ticket,
		assignment,
		commitment,
		size,
	})
}

/// The spec's hash and the id that follows from it: the coordinator chose neither.
fn verify_task_id(evidence: &Evidence) -> Result<(), Deviation> {
	let Evidence {
		status,
		draw,
		idempotency_key,
		..
	} = evidence;
	let assignment = &draw.assignment;
	let spec_hash = TaskSpec::from(status.spec.clone()).hash();
	same("hash of the spec", hex(status.spec_hash), hex(spec_hash))?;
	same(
		"hash of the spec in the assignment",
		hex(assignment.spec_hash),
		hex(spec_hash),
	)?;
	same(
		"model in the assignment",
		hex(assignment.model),
		hex(status.spec.model),
	)?;
	if let Some(key) = idempotency_key {
		same("nonce of the task's id", &draw.id_nonce, key)?;
	}
	let id = TaskId::derive(
		&assignment.coordinator,
		&spec_hash,
		draw.id_nonce.as_bytes(),
	);
	same("task's id", status.id, id)?;
	same("task in the assignment", assignment.task, id)
}

/// The draw alone: the list, its weights, the ticket, who was drawn, and the coordinator's signature.
/// Returns the ticket.
pub fn verify_draw(
	draw: &DrawProof,
	registry: &Registry,
	genesis_hash: &H256,
) -> Result<Balance, Deviation> {
	let assignment = &draw.assignment;
	same("genesis hash", hex(draw.genesis_hash), hex(genesis_hash))?;
	same(
		"block of the draw",
		hex(assignment.block_hash),
		hex(registry.block.hash),
	)?;
	same(
		"number of that block",
		assignment.block_number,
		registry.block.number,
	)?;
	same(
		"randomness of that block",
		hex(assignment.randomness),
		hex(registry.randomness),
	)?;

	let eligible: Vec<Eligible> = draw.eligible.iter().map(Eligible::from).collect();
	same(
		"order of the eligible list is canonical",
		draw::is_canonical(&eligible),
		true,
	)?;
	let root = draw::eligible_root(&eligible);
	same(
		"root of the eligible list",
		hex(assignment.eligible_root),
		hex(root),
	)?;
	let total = draw::total_weight(&eligible).unwrap_or_default();
	same("total weight", assignment.total_weight, total)?;
	verify_weights(&eligible, registry)?;

	let ticket = draw::ticket(
		&assignment.randomness,
		&assignment.task,
		assignment.attempt,
		total,
	);
	let drawn = ticket.and_then(|ticket| draw::pick(&eligible, ticket));
	let (Some(ticket), Some(drawn)) = (ticket, drawn) else {
		return Err(deviation("eligible miners", "none", "at least one"));
	};
	same("drawn miner", &assignment.miner, &drawn.miner)?;

	let miner = active(registry, &assignment.miner, Role::Miner)?;
	same(
		"worker of the drawn miner",
		hex(assignment.worker),
		worker(miner),
	)?;
	let coordinator = active(registry, &assignment.coordinator, Role::Coordinator)?;
	same(
		"worker of the coordinator",
		hex(draw.coordinator_worker),
		worker(coordinator),
	)?;
	let signed = signing::verify(
		genesis_hash,
		assignment,
		&draw.signature,
		&draw.coordinator_worker,
	);
	same(
		"signature over the assignment is the coordinator's worker's",
		signed,
		true,
	)?;
	Ok(ticket)
}

/// Each weight is the pool's stake on chain. A coordinator may cap weights: then all that are below
/// their stake stand at one height, and none stands above it.
fn verify_weights(eligible: &[Eligible], registry: &Registry) -> Result<(), Deviation> {
	let highest = eligible
		.iter()
		.map(|entry| entry.weight)
		.max()
		.unwrap_or_default();
	for entry in eligible {
		let stake = active(registry, &entry.miner, Role::Miner)?.total_stake;
		same(
			"weight of an eligible miner",
			entry.weight,
			stake.min(highest),
		)?;
	}
	Ok(())
}

/// What the miner's worker signed is about this assignment and this file. Returns the commitment's hash.
fn verify_result(evidence: &Evidence, genesis_hash: &H256) -> Result<H256, Deviation> {
	let Evidence {
		status,
		result,
		draw,
		..
	} = evidence;
	let assignment = &draw.assignment;
	same("task of the result", result.id, status.id)?;
	same("attempt of the result", result.attempt, assignment.attempt)?;
	same("miner of the result", &result.miner, &assignment.miner)?;
	same(
		"worker of the result",
		hex(result.worker),
		hex(assignment.worker),
	)?;
	same(
		"assignment in the result commitment",
		hex(result.commitment.assignment),
		hex(signing::signing_hash(genesis_hash, assignment)),
	)?;
	let signed = signing::verify(
		genesis_hash,
		&result.commitment,
		&result.signature,
		&assignment.worker,
	);
	same(
		"signature over the result commitment is the miner's worker's",
		signed,
		true,
	)?;
	Ok(signing::signing_hash(genesis_hash, &result.commitment))
}

/// The file is the one committed to, and a PNG of the size asked for.
fn verify_picture(evidence: &Evidence) -> Result<(u32, u32), Deviation> {
	let Evidence {
		status,
		result,
		picture,
		..
	} = evidence;
	let hash = H256(*blake3::hash(picture).as_bytes());
	same(
		"BLAKE3 of the picture",
		hex(hash),
		hex(result.commitment.output),
	)?;
	same("artifact's name", hex(result.artifact), hex(hash))?;
	same(
		"artifact's path",
		&result.path,
		&format!("/artifacts/{}", hex(hash)),
	)?;
	same(
		"artifact's size in bytes",
		result.bytes,
		picture.len() as u64,
	)?;
	let asked = (u32::from(status.spec.width), u32::from(status.spec.height));
	let size = png_size(picture)
		.map_err(|error| deviation("picture", error, "a PNG that can be decoded"))?;
	same(
		"width and height",
		format!("{size:?}"),
		format!("{asked:?}"),
	)?;
	Ok(size)
}

/// Decodes the whole picture within a bounded memory; returns width and height.
fn png_size(bytes: &[u8]) -> Result<(u32, u32), png::DecodingError> {
	let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info()?;
	let size = (reader.info().width, reader.info().height);
	while reader.next_row()?.is_some() {}
	Ok(size)
}

fn active<'a>(
	registry: &'a Registry,
	account: &AccountId,
	role: Role,
) -> Result<&'a Operator, Deviation> {
	registry
		.operator(account)
		.filter(|operator| operator.active && operator.role == role)
		.ok_or_else(|| deviation("operator", account, format!("an active {}", role.name())))
}

/// The worker on chain, as hex digits.
fn worker(operator: &Operator) -> String {
	operator.worker.map_or_else(|| "none".to_owned(), hex)
}

fn same<T: PartialEq + Display>(
	what: &'static str,
	given: T,
	expected: T,
) -> Result<(), Deviation> {
	if given == expected {
		return Ok(());
	}
	Err(deviation(what, given, expected))
}

fn deviation(what: &'static str, given: impl Display, expected: impl Display) -> Deviation {
	Deviation {
		what,
		given: given.to_string(),
		expected: expected.to_string(),
	}
}

/// `0x` and hex digits.
fn hex(bytes: impl AsRef<[u8]>) -> String {
	format!("0x{}", hex::encode(bytes))
}

#[cfg(test)]
mod tests {
	use super::*;
	use crate::keys::DevKey;
	use cuckoo_chain_client::BlockRef;
	use cuckoo_coordinator_api::{
		task::{EligibleEntry, TaskState},
		Amount,
	};
	use cuckoo_primitives::{
		signing::{Assignment, ResultCommitment},
		task::{DeviceClass, SchedulerKind},
		CUC,
	};
	use serde::{de::DeserializeOwned, Serialize};
	use serde_json::Value;

	const GENESIS: H256 = H256::repeat_byte(1);
	const KEY: &str = "the-apps-own-key";

	fn operator(key: &DevKey, role: Role, total_stake: Balance) -> Operator {
		Operator {
			account: key.account(),
			role,
			worker: Some(key.worker()),
			commission_ppb: 0,
			next_commission: None,
			name: key.name(),
			endpoint: String::new(),
			text: String::new(),
			self_stake: total_stake,
			total_stake,
			active: true,
			retired: false,
			suspended: false,
			streaming: 0,
		}
	}

	fn registry() -> Registry {
		let operators = vec![
			operator(&DevKey::coordinator(), Role::Coordinator, 3_000_000 * CUC),
			operator(&DevKey::miner(1), Role::Miner, 30_000 * CUC),
			operator(&DevKey::miner(2), Role::Miner, 60_000 * CUC),
		];
		let minimum = Role::ALL.map(|role| (role, role.default_min_self_stake()));
		let block = BlockRef {
			number: 7,
			hash: H256::repeat_byte(2),
		};
		Registry::new(block, H256::repeat_byte(3), operators, minimum)
	}

	fn picture() -> Vec<u8> {
		let mut file = Vec::new();
		let mut encoder = png::Encoder::new(&mut file, 8, 8);
		encoder.set_color(png::ColorType::Rgb);
		let mut writer = encoder.write_header().unwrap();
		writer.write_image_data(&[9; 8 * 8 * 3]).unwrap();
		writer.finish().unwrap();
		file
	}

	/// What an honest coordinator and miner serve.
	fn honest() -> Evidence {
		let (registry, picture) = (registry(), picture());
		let spec = TaskSpec {
			model: H256::repeat_byte(4),
			prompt: "a red apple".to_owned(),
			negative_prompt: String::new(),
			seed: u64::MAX,
			steps: 4,
			width: 8,
			height: 8,
			guidance_milli: 3_000,
			scheduler: SchedulerKind::Ddim,
		};
		let coordinator = DevKey::coordinator();
		let id = TaskId::derive(&coordinator.account(), &spec.hash(), KEY.as_bytes());
		let mut eligible: Vec<Eligible> = registry
			.of_role(Role::Miner)
			.map(|miner| Eligible {
				miner: miner.account.clone(),
				weight: miner.total_stake,
			})
			.collect();
		eligible.sort_by(|a, b| a.miner.cmp(&b.miner));
		let total = draw::total_weight(&eligible).unwrap();
		let ticket = draw::ticket(&registry.randomness, &id, 0, total).unwrap();
		let drawn = draw::pick(&eligible, ticket).unwrap().miner.clone();
		let miner = [DevKey::miner(1), DevKey::miner(2)]
			.into_iter()
			.find(|key| key.account() == drawn);
		let miner = miner.unwrap();
		let assignment = Assignment {
			coordinator: coordinator.account(),
			task: id,
			attempt: 0,
			miner: drawn,
			worker: miner.worker(),
			spec_hash: spec.hash(),
			model: spec.model,
			deadline_ms: 1,
			block_number: registry.block.number,
			block_hash: registry.block.hash,
			randomness: registry.randomness,
			eligible_root: draw::eligible_root(&eligible),
			total_weight: total,
		};
		let output = H256(*blake3::hash(&picture).as_bytes());
		let commitment = ResultCommitment {
			assignment: signing::signing_hash(&GENESIS, &assignment),
			output,
			trajectory_root: H256::repeat_byte(5),
			engine_profile: H256::repeat_byte(6),
			device: DeviceClass::Cpu,
		};
		Evidence {
			status: TaskStatus {
				id,
				state: TaskState::Done,
				spec_hash: spec.hash(),
				spec: spec.into(),
				position: None,
				eta_ms: None,
				steps_done: 4,
				attempt: Some(0),
				miner: Some(miner.account()),
				reason: None,
				price: Default::default(),
				deadline_ms: None,
				created_ms: 1,
				updated_ms: 2,
			},
			result: TaskResult {
				id,
				artifact: output,
				path: format!("/artifacts/{}", hex(output)),
				bytes: picture.len() as u64,
				attempt: 0,
				miner: miner.account(),
				worker: miner.worker(),
				signature: signing::sign(&GENESIS, &commitment, &miner.worker_pair()),
				commitment,
				elapsed_ms: 3,
			},
			draw: DrawProof {
				signature: signing::sign(&GENESIS, &assignment, &coordinator.worker_pair()),
				assignment,
				coordinator_worker: coordinator.worker(),
				genesis_hash: GENESIS,
				eligible: eligible
					.iter()
					.map(|entry| EligibleEntry {
						miner: entry.miner.clone(),
						weight: Amount(entry.weight),
					})
					.collect(),
				id_nonce: KEY.to_owned(),
			},
			picture,
			idempotency_key: Some(KEY.to_owned()),
		}
	}

	#[test]
	fn an_honest_task_passes() {
		let verified = verify(&honest(), &registry(), &GENESIS).unwrap();
		assert!(verified.ticket < 90_000 * CUC);
		assert_eq!(verified.size, (8, 8));
	}

	/// Every value of `json` changed a little, one at a time, with its path.
	fn changed(json: &Value) -> Vec<(String, Value)> {
		match json {
			Value::Object(fields) => fields
				.iter()
				.flat_map(|(name, field)| {
					changed(field).into_iter().map(move |(path, value)| {
						let mut other = json.clone();
						other[name] = value;
						(format!("/{name}{path}"), other)
					})
				})
				.collect(),
			Value::Array(items) => (0..items.len())
				.flat_map(|index| {
					changed(&items[index])
						.into_iter()
						.map(move |(path, value)| {
							let mut other = json.clone();
							other[index] = value;
							(format!("/{index}{path}"), other)
						})
				})
				.collect(),
			Value::String(text) => {
				let mut other = text.clone();
				let last = other.pop();
				other.push(if last == Some('1') { '2' } else { '1' });
				vec![(String::new(), other.into())]
			},
			Value::Number(number) => {
				vec![(String::new(), (number.as_u64().unwrap() + 1).into())]
			},
			_ => Vec::new(),
		}
	}

	/// Holds each changed form against the chain. What no longer parses is refused as well.
	fn assert_each_change_is_caught<T: Serialize + DeserializeOwned>(
		part: &T,
		uncheckable: &[&str],
		put: impl Fn(&mut Evidence, T),
	) {
		let forms = changed(&serde_json::to_value(part).unwrap());
		assert!(forms.len() >= 9, "{}", forms.len());
		for (path, form) in forms {
			let Ok(form) = serde_json::from_value(form) else {
				continue;
			};
			let mut evidence = honest();
			put(&mut evidence, form);
			let caught = verify(&evidence, &registry(), &GENESIS).is_err();
			assert_eq!(caught, !uncheckable.contains(&path.as_str()), "{path}");
		}
	}

	#[test]
	fn a_draw_changed_anywhere_is_refused() {
		assert_each_change_is_caught(&honest().draw, &[], |evidence, draw| evidence.draw = draw);
	}

	#[test]
	fn a_result_changed_anywhere_is_refused() {
		assert_each_change_is_caught(&honest().result, &["/elapsed_ms"], |evidence, result| {
			evidence.result = result;
		});
	}

	#[test]
	fn a_changed_spec_is_refused() {
		assert_each_change_is_caught(&honest().status.spec, &[], |evidence, spec| {
			evidence.status.spec = spec;
		});
	}

	#[test]
	fn another_picture_is_refused() {
		let mut evidence = honest();
		*evidence.picture.last_mut().unwrap() ^= 1;
		let deviation = verify(&evidence, &registry(), &GENESIS).unwrap_err();
		assert_eq!(deviation.what, "BLAKE3 of the picture");
	}

	/// A list without one of the miners, correctly drawn from and signed, is the coordinator's right
	/// only as far as it was not eligible; but a weight that is not the stake is always caught.
	#[test]
	fn a_signed_lie_about_a_weight_is_refused() {
		let mut evidence = honest();
		evidence.draw.eligible[0].weight = Amount(1);
		let eligible: Vec<Eligible> = evidence.draw.eligible.iter().map(Eligible::from).collect();
		let assignment = &mut evidence.draw.assignment;
		assignment.eligible_root = draw::eligible_root(&eligible);
		assignment.total_weight = draw::total_weight(&eligible).unwrap();
		let coordinator = DevKey::coordinator().worker_pair();
		evidence.draw.signature = signing::sign(&GENESIS, assignment, &coordinator);
		let deviation = verify_draw(&evidence.draw, &registry(), &GENESIS).unwrap_err();
		assert_eq!(deviation.what, "weight of an eligible miner");
	}

	#[test]
	fn a_key_that_the_app_did_not_give_is_refused() {
		let mut evidence = honest();
		evidence.idempotency_key = Some("another".to_owned());
		let deviation = verify(&evidence, &registry(), &GENESIS).unwrap_err();
		assert_eq!(deviation.what, "nonce of the task's id");
	}
}
