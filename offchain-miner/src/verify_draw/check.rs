//! What a draw must fulfil, one check after another. Pure: everything it depends on is given.

use cuckoo_chain_client::{Operator, Registry};
use cuckoo_coordinator_api::{
	task::{DrawProof, TaskResult, TaskStatus},
	Amount,
};
use cuckoo_primitives::{
	draw::{self, Eligible},
	signing::{self, Assignment},
	task::{Attempt, TaskId, TaskSpec},
	Balance, Role, H256,
};
use serde::Serialize;
use sp_core::crypto::Ss58Codec;

/// What was asked for, and by what name the asker knows it.
#[derive(Clone, Debug, Default)]
pub struct Asked {
	/// The task.
	pub task: Option<TaskId>,
	/// The attempt.
	pub attempt: Option<Attempt>,
	/// What is to be made.
	pub spec: Option<TaskSpec>,
	/// Of a task's last attempt: what else the coordinator says about it.
	pub last: Option<Said>,
	/// The idempotency key that the app gave.
	pub idempotency_key: Option<String>,
}

/// What a coordinator says about a task, its draws aside.
#[derive(Clone, Debug)]
pub struct Said {
	/// Where the task stands.
	pub status: TaskStatus,
	/// Of a task that is done, its result, or why there is none to see.
	pub result: Option<Result<TaskResult, String>>,
}

/// What the chain says.
#[derive(Clone, Copy, Debug)]
pub struct OnChain<'a> {
	/// The chain.
	pub genesis_hash: H256,
	/// The operators and the randomness at the assignment's block; or why that is none of the chain's.
	pub registry: Result<&'a Registry, &'a str>,
}

/// One check and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
	/// What was checked.
	pub check: Name,
	/// Whether it holds.
	pub ok: bool,
	/// What was found.
	pub detail: String,
}

impl Check {
	/// From what holds, or what does not.
	pub(super) fn new(check: Name, finding: Finding) -> Self {
		let ok = finding.is_ok();
		let (Ok(detail) | Err(detail)) = finding;
		Self { check, ok, detail }
	}
}

/// The checks, by the names that reports use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Name {
	/// The proof is of the task and attempt that were asked for.
	Subject,
	/// The spec has the hash that was signed.
	Spec,
	/// The id follows from coordinator, spec and nonce.
	TaskId,
	/// The coordinator's worker signed the assignment.
	Signature,
	/// The list is in the order of accounts, each once, none without weight.
	ListOrder,
	/// The list has the root that was signed.
	EligibleRoot,
	/// The weights add up to what was signed.
	TotalWeight,
	/// The ticket falls on the miner that was assigned.
	DrawnMiner,
	/// The task's status names this attempt and this miner.
	Status,
	/// The task's result was signed for this assignment, by its worker.
	Result,
	/// The proof is of this chain.
	Chain,
	/// The block is the chain's, with the number that was signed.
	Block,
	/// The randomness is the chain's at that block.
	Randomness,
	/// The coordinator was an active one with this worker at that block.
	Coordinator,
	/// Everyone on the list was an active miner at that block.
	EligibleMiners,
	/// The weights are the stakes at that block, up to one cap.
	Weights,
	/// The assignment names the drawn miner's worker at that block.
	MinerWorker,
	/// Over many draws: one assignment was signed for an attempt.
	OneAssignment,
	/// Over many draws: the weights of all have one cap.
	OneCap,
}

impl Name {
	/// In words.
	pub fn words(self) -> &'static str {
		match self {
			Name::Subject => "subject",
			Name::Spec => "spec",
			Name::TaskId => "task id",
			Name::Signature => "signature",
			Name::ListOrder => "list order",
			Name::EligibleRoot => "eligible root",
			Name::TotalWeight => "total weight",
			Name::DrawnMiner => "drawn miner",
			Name::Status => "status",
			Name::Result => "result",
			Name::Chain => "chain",
			Name::Block => "block",
			Name::Randomness => "randomness",
			Name::Coordinator => "coordinator",
			Name::EligibleMiners => "eligible miners",
			Name::Weights => "weights",
			Name::MinerWorker => "miner's worker",
			Name::OneAssignment => "one assignment",
			Name::OneCap => "one cap",
		}
	}
}

pub(super) type Finding = Result<String, String>;

/// Every check on the proof by itself, and, with `chain`, every check against the chain.
pub fn check(proof: &DrawProof, asked: &Asked, chain: Option<OnChain<'_>>) -> Vec<Check> {
	let eligible: Vec<Eligible> = proof.eligible.iter().map(Eligible::from).collect();
	let mut checks = vec![(Name::Subject, subject(proof, asked))];
	if let Some(spec) = &asked.spec {
		checks.push((Name::Spec, the_spec(proof, spec)));
	}
	checks.extend([
		(Name::TaskId, task_id(proof, asked)),
		(Name::Signature, signature(proof)),
		(Name::ListOrder, list_order(&eligible)),
		(Name::EligibleRoot, eligible_root(proof, &eligible)),
		(Name::TotalWeight, total_weight(proof, &eligible)),
		(Name::DrawnMiner, drawn_miner(proof, &eligible)),
	]);
	if let Some(said) = &asked.last {
		checks.push((Name::Status, status(proof, &said.status)));
		if let Some(result) = &said.result {
			checks.push((Name::Result, the_result(proof, result)));
		}
	}
	if let Some(chain) = chain {
		checks.push((
			Name::Chain,
			same(&proof.genesis_hash, &chain.genesis_hash, "genesis"),
		));
		match chain.registry {
			Ok(registry) => checks.extend(at_block(proof, &eligible, registry)),
			Err(reason) => checks.push((Name::Block, Err(reason.into()))),
		}
	}
	checks
		.into_iter()
		.map(|(check, finding)| Check::new(check, finding))
		.collect()
}

/// The checks against the chain's state at the assignment's block.
fn at_block(proof: &DrawProof, eligible: &[Eligible], registry: &Registry) -> [(Name, Finding); 6] {
	[
		(Name::Block, block(proof, registry)),
		(
			Name::Randomness,
			same(
				&proof.assignment.randomness,
				&registry.randomness,
				"randomness",
			),
		),
		(Name::Coordinator, coordinator(proof, registry)),
		(Name::EligibleMiners, eligible_miners(eligible, registry)),
		(Name::Weights, weights(eligible, registry)),
		(Name::MinerWorker, miner_worker(proof, registry)),
	]
}

fn same(said: &H256, is: &H256, what: &str) -> Finding {
	if said == is {
		Ok(format!("{is:?}"))
	} else {
		Err(format!("the proof says {what} {said:?}, it is {is:?}"))
	}
}

fn subject(proof: &DrawProof, asked: &Asked) -> Finding {
	let assignment = &proof.assignment;
	let (task, attempt) = (asked.task, asked.attempt);
	if task.is_some_and(|task| task != assignment.task) {
		return Err(format!("the proof is of task {}", assignment.task));
	}
	if attempt.is_some_and(|attempt| attempt != assignment.attempt) {
		return Err(format!("the proof is of attempt {}", assignment.attempt));
	}
	Ok(format!(
		"task {}, attempt {}",
		assignment.task, assignment.attempt
	))
}

fn the_spec(proof: &DrawProof, spec: &TaskSpec) -> Finding {
	if spec.model != proof.assignment.model {
		return Err(format!(
			"the spec asks for model {:?}, the assignment is for {:?}",
			spec.model, proof.assignment.model
		));
	}
	same(&proof.assignment.spec_hash, &spec.hash(), "spec hash")
}

fn task_id(proof: &DrawProof, asked: &Asked) -> Finding {
	if let Some(key) = asked
		.idempotency_key
		.as_ref()
		.filter(|key| **key != proof.id_nonce)
	{
		return Err(format!(
			"the id was made from nonce {:?}, not from {key:?}",
			proof.id_nonce
		));
	}
	let Assignment {
		coordinator,
		task,
		spec_hash,
		..
	} = &proof.assignment;
	let derived = TaskId::derive(coordinator, spec_hash, proof.id_nonce.as_bytes());
	if derived != *task {
		return Err(format!(
			"coordinator, spec and nonce give {derived}, not {task}"
		));
	}
	Ok(match asked.idempotency_key {
		Some(_) => "follows from the coordinator, the spec and the app's own key".into(),
		None => "follows from the coordinator, the spec and the nonce; whether the app chose the \
		         nonce, the app knows (--idempotency-key)"
			.into(),
	})
}

fn signature(proof: &DrawProof) -> Finding {
	let signed = signing::verify(
		&proof.genesis_hash,
		&proof.assignment,
		&proof.signature,
		&proof.coordinator_worker,
	);
	if signed {
		Ok(format!(
			"by worker {}",
			proof.coordinator_worker.to_ss58check()
		))
	} else {
		Err(format!(
			"not by worker {}",
			proof.coordinator_worker.to_ss58check()
		))
	}
}

fn list_order(eligible: &[Eligible]) -> Finding {
	if draw::is_canonical(eligible) {
		Ok(format!("{} in the order of accounts", eligible.len()))
	} else {
		Err("the list is not in ascending order of accounts, or has a miner without weight".into())
	}
}

fn eligible_root(proof: &DrawProof, eligible: &[Eligible]) -> Finding {
	same(
		&proof.assignment.eligible_root,
		&draw::eligible_root(eligible),
		"root",
	)
}

fn total_weight(proof: &DrawProof, eligible: &[Eligible]) -> Finding {
	let signed = proof.assignment.total_weight;
	match draw::total_weight(eligible) {
		Some(total) if total == signed => Ok(Amount(total).to_string()),
		Some(total) => Err(format!(
			"{} was signed, the list has {}",
			Amount(signed),
			Amount(total)
		)),
		None => Err("the weights add up to more than there can be".into()),
	}
}

fn drawn_miner(proof: &DrawProof, eligible: &[Eligible]) -> Finding {
	let Assignment {
		randomness,
		task,
		attempt,
		total_weight,
		miner,
		..
	} = &proof.assignment;
	let ticket = draw::ticket(randomness, task, *attempt, *total_weight)
		.ok_or("the total weight is zero: nobody can be drawn")?;
	let drawn = draw::pick(eligible, ticket)
		.ok_or_else(|| format!("ticket {ticket} falls on nobody in the list"))?;
	if drawn.miner == *miner {
		Ok(format!("{miner}, by ticket {ticket} of {total_weight}"))
	} else {
		Err(format!(
			"ticket {ticket} falls on {}, the task was given to {miner}",
			drawn.miner
		))
	}
}

/// The last attempt and its miner are said twice, and must be the same: else the proof is of another attempt
/// than the one that the task was worked on in.
fn status(proof: &DrawProof, status: &TaskStatus) -> Finding {
	let Assignment {
		task,
		attempt,
		miner,
		..
	} = &proof.assignment;
	if status.id != *task {
		return Err(format!("it is of task {}", status.id));
	}
	let said = status.attempt.zip(status.miner.as_ref());
	match said {
		Some(said) if said == (*attempt, miner) => Ok(format!("attempt {attempt}, {miner}")),
		Some((attempt, miner)) => Err(format!("it says attempt {attempt}, given to {miner}")),
		None => Err(format!(
			"the task is {} and names no attempt and miner",
			status.state.name()
		)),
	}
}

/// Only what the assigned worker signs for this assignment shows that it was this one that was worked on.
fn the_result(proof: &DrawProof, result: &Result<TaskResult, String>) -> Finding {
	let result = result.as_ref().map_err(String::clone)?;
	let Assignment {
		task,
		attempt,
		miner,
		worker,
		..
	} = &proof.assignment;
	if (result.id, result.attempt, &result.miner, result.worker)
		!= (*task, *attempt, miner, *worker)
	{
		return Err(format!(
			"it is of task {}, attempt {}, by {}",
			result.id, result.attempt, result.miner
		));
	}
	let assignment = signing::signing_hash(&proof.genesis_hash, &proof.assignment);
	if result.commitment.assignment != assignment {
		return Err(format!(
			"it was signed for another assignment, {:?}",
			result.commitment.assignment
		));
	}
	if result.commitment.output != result.artifact {
		return Err(format!(
			"picture {:?} is shown, {:?} was signed",
			result.artifact, result.commitment.output
		));
	}
	let (commitment, signature) = (&result.commitment, &result.signature);
	if !signing::verify(&proof.genesis_hash, commitment, signature, worker) {
		return Err(format!("not by worker {}", worker.to_ss58check()));
	}
	Ok("signed for this assignment by its worker".into())
}

fn block(proof: &DrawProof, registry: &Registry) -> Finding {
	let Assignment {
		block_number,
		block_hash,
		..
	} = &proof.assignment;
	if (*block_number, *block_hash) == (registry.block.number, registry.block.hash) {
		Ok(registry.block.to_string())
	} else {
		Err(format!(
			"the proof says #{block_number} ({block_hash:?}), it is {}",
			registry.block
		))
	}
}

fn coordinator(proof: &DrawProof, registry: &Registry) -> Finding {
	let account = &proof.assignment.coordinator;
	let operator = registry
		.operator(account)
		.ok_or_else(|| format!("{account} was no operator at that block"))?;
	if operator.role != Role::Coordinator || !operator.active {
		return Err(format!("{account} was no active coordinator at that block"));
	}
	if operator.worker != Some(proof.coordinator_worker) {
		return Err(format!(
			"{} was not the worker of {account} at that block",
			proof.coordinator_worker.to_ss58check()
		));
	}
	Ok(format!("{account}, active, with this worker"))
}

fn active_miner<'a>(registry: &'a Registry, entry: &Eligible) -> Result<&'a Operator, String> {
	let Eligible { miner, .. } = entry;
	let operator = registry
		.operator(miner)
		.ok_or_else(|| format!("{miner} was no operator at that block"))?;
	if operator.role != Role::Miner || !operator.active {
		return Err(format!("{miner} was no active miner at that block"));
	}
	Ok(operator)
}

fn eligible_miners(eligible: &[Eligible], registry: &Registry) -> Finding {
	for entry in eligible {
		active_miner(registry, entry)?;
	}
	Ok(format!("all {} were active miners", eligible.len()))
}

/// The weights are `min(stake, cap)` for one cap. The cap itself is the coordinator's to choose, so
/// it is read off the list: a weight below its stake can only be the cap.
fn weights(eligible: &[Eligible], registry: &Registry) -> Finding {
	let stake = |entry: &Eligible| -> Balance {
		registry
			.operator(&entry.miner)
			.map_or(0, |operator| operator.total_stake)
	};
	if let Some(entry) = eligible.iter().find(|entry| entry.weight > stake(entry)) {
		return Err(format!(
			"{} has weight {} with a stake of {}",
			entry.miner,
			Amount(entry.weight),
			Amount(stake(entry))
		));
	}
	let cap = eligible
		.iter()
		.filter(|entry| entry.weight < stake(entry))
		.map(|entry| entry.weight)
		.max();
	let Some(cap) = cap else {
		return Ok("each is the stake at that block".into());
	};
	match eligible
		.iter()
		.find(|entry| entry.weight != stake(entry).min(cap))
	{
		None => Ok(format!(
			"each is the stake at that block, up to {}",
			Amount(cap)
		)),
		Some(entry) => Err(format!(
			"{} has weight {} with a stake of {}, while others have up to {}",
			entry.miner,
			Amount(entry.weight),
			Amount(stake(entry)),
			Amount(cap)
		)),
	}
}

fn miner_worker(proof: &DrawProof, registry: &Registry) -> Finding {
	let Assignment { miner, worker, .. } = &proof.assignment;
	let on_chain = registry
		.operator(miner)
		.and_then(|operator| operator.worker);
	if on_chain == Some(*worker) {
		Ok(worker.to_ss58check())
	} else {
		Err(format!(
			"{} was not the worker of {miner} at that block",
			worker.to_ss58check()
		))
	}
}

#[cfg(test)]
pub(super) mod tests {
	use super::*;
	use cuckoo_chain_client::BlockRef;
	use cuckoo_coordinator_api::task::EligibleEntry;
	use cuckoo_primitives::{task::SchedulerKind, AccountId, CUC};
	use proptest::prelude::*;
	use sp_core::{sr25519, Pair};

	pub(in crate::verify_draw) const GENESIS: H256 = H256::repeat_byte(1);

	pub(in crate::verify_draw) fn account(byte: u8) -> AccountId {
		AccountId::new([byte; 32])
	}

	pub(in crate::verify_draw) fn key(byte: u8) -> sr25519::Pair {
		sr25519::Pair::from_seed(&[byte; 32])
	}

	pub(in crate::verify_draw) fn spec() -> TaskSpec {
		TaskSpec {
			model: H256::repeat_byte(2),
			prompt: "a red apple".into(),
			negative_prompt: String::new(),
			seed: 7,
			steps: 10,
			width: 64,
			height: 64,
			guidance_milli: 3_000,
			scheduler: SchedulerKind::Ddim,
		}
	}

	fn operator(byte: u8, role: Role, stake: Balance) -> Operator {
		Operator {
			account: account(byte),
			role,
			worker: Some(key(byte).public()),
			commission_ppb: 0,
			next_commission: None,
			name: String::new(),
			endpoint: String::new(),
			text: String::new(),
			self_stake: stake,
			total_stake: stake,
			active: true,
			retired: false,
			suspended: false,
			streaming: 0,
		}
	}

	/// A chain with one coordinator and four miners of 30,000 to 120,000 CUC.
	pub(in crate::verify_draw) fn operators() -> Vec<Operator> {
		let mut operators: Vec<Operator> = (1..=4)
			.map(|byte| operator(byte, Role::Miner, 30_000 * CUC * Balance::from(byte)))
			.collect();
		operators.push(operator(10, Role::Coordinator, 3_000_000 * CUC));
		operators
	}

	pub(in crate::verify_draw) fn registry_of(operators: Vec<Operator>) -> Registry {
		let block = BlockRef {
			number: 5,
			hash: H256::repeat_byte(5),
		};
		let minima = Role::ALL.map(|role| (role, role.default_min_self_stake()));
		Registry::new(block, H256::repeat_byte(6), operators, minima)
	}

	fn asked() -> Asked {
		Asked {
			task: Some(honest(Balance::MAX, "key").assignment.task),
			attempt: Some(0),
			spec: Some(spec()),
			idempotency_key: Some("key".into()),
			last: None,
		}
	}

	/// What an honest coordinator with this weight cap proves.
	fn honest(cap: Balance, nonce: &str) -> DrawProof {
		honest_attempt(cap, nonce, 0)
	}

	pub(in crate::verify_draw) fn honest_attempt(
		cap: Balance,
		nonce: &str,
		attempt: Attempt,
	) -> DrawProof {
		let registry = registry_of(operators());
		let eligible: Vec<Eligible> = registry
			.of_role(Role::Miner)
			.map(|miner| Eligible {
				miner: miner.account.clone(),
				weight: miner.total_stake.min(cap),
			})
			.collect();
		let total_weight = draw::total_weight(&eligible).unwrap();
		let spec_hash = spec().hash();
		let task = TaskId::derive(&account(10), &spec_hash, nonce.as_bytes());
		let ticket = draw::ticket(&registry.randomness, &task, attempt, total_weight).unwrap();
		let miner = draw::pick(&eligible, ticket).unwrap().miner.clone();
		let proof = DrawProof {
			assignment: Assignment {
				coordinator: account(10),
				task,
				attempt,
				worker: registry.operator(&miner).unwrap().worker.unwrap(),
				miner,
				spec_hash,
				model: spec().model,
				deadline_ms: 1,
				block_number: registry.block.number,
				block_hash: registry.block.hash,
				randomness: registry.randomness,
				eligible_root: draw::eligible_root(&eligible),
				total_weight,
			},
			signature: sr25519::Signature::default(),
			coordinator_worker: key(10).public(),
			genesis_hash: GENESIS,
			eligible: eligible
				.into_iter()
				.map(|entry| EligibleEntry {
					miner: entry.miner,
					weight: Amount(entry.weight),
				})
				.collect(),
			id_nonce: nonce.into(),
		};
		signed(proof)
	}

	pub(in crate::verify_draw) fn signed(mut proof: DrawProof) -> DrawProof {
		proof.signature = signing::sign(&proof.genesis_hash, &proof.assignment, &key(10));
		proof
	}

	fn deviations_on(proof: &DrawProof, asked: &Asked, operators: Vec<Operator>) -> Vec<Name> {
		let registry = registry_of(operators);
		let chain = OnChain {
			genesis_hash: GENESIS,
			registry: Ok(&registry),
		};
		check(proof, asked, Some(chain))
			.into_iter()
			.filter(|check| !check.ok)
			.map(|check| check.check)
			.collect()
	}

	/// Plants a deviation, signs it as a cheating coordinator would, and names what is caught.
	fn planted(plant: impl FnOnce(&mut DrawProof)) -> Vec<Name> {
		let mut proof = honest(Balance::MAX, "key");
		plant(&mut proof);
		deviations_on(&signed(proof), &asked(), operators())
	}

	/// Makes root and total fit a changed list, as a cheating coordinator would.
	pub(in crate::verify_draw) fn cover_up(proof: &mut DrawProof) {
		let eligible: Vec<Eligible> = proof.eligible.iter().map(Eligible::from).collect();
		proof.assignment.eligible_root = draw::eligible_root(&eligible);
		proof.assignment.total_weight = draw::total_weight(&eligible).unwrap();
		let Assignment {
			randomness,
			task,
			attempt,
			total_weight,
			..
		} = &proof.assignment;
		let ticket = draw::ticket(randomness, task, *attempt, *total_weight).unwrap();
		let drawn = draw::pick(&eligible, ticket).unwrap().miner.clone();
		proof.assignment.worker = key((drawn.as_ref() as &[u8])[0]).public();
		proof.assignment.miner = drawn;
	}

	#[test]
	fn an_honest_draw_passes_every_check() {
		let checks = check(
			&honest(Balance::MAX, "key"),
			&asked(),
			Some(OnChain {
				genesis_hash: GENESIS,
				registry: Ok(&registry_of(operators())),
			}),
		);
		assert_eq!(checks.len(), 15);
		assert!(checks.iter().all(|check| check.ok), "{checks:#?}");
		let capped = honest(60_000 * CUC, "key");
		assert_eq!(deviations_on(&capped, &asked(), operators()), []);
	}

	#[test]
	fn a_wrong_miner_is_caught() {
		let found = planted(|proof| {
			let other = (1..=4)
				.map(account)
				.find(|miner| *miner != proof.assignment.miner);
			proof.assignment.miner = other.unwrap();
			let byte = (proof.assignment.miner.as_ref() as &[u8])[0];
			proof.assignment.worker = key(byte).public();
		});
		assert_eq!(found, [Name::DrawnMiner]);
	}

	#[test]
	fn a_wrong_weight_is_caught_however_well_covered_up() {
		let heavier = planted(|proof| {
			proof.eligible[0].weight.0 += 1;
			cover_up(proof);
		});
		assert_eq!(heavier, [Name::Weights]);
		// Below its stake, and another one above it: no cap explains both.
		let lighter = planted(|proof| {
			proof.eligible[1].weight.0 -= 1;
			cover_up(proof);
		});
		assert_eq!(lighter, [Name::Weights]);
	}

	#[test]
	fn a_forged_signature_is_caught() {
		let mut proof = honest(Balance::MAX, "key");
		proof.signature = signing::sign(&GENESIS, &proof.assignment, &key(11));
		assert_eq!(
			deviations_on(&proof, &asked(), operators()),
			[Name::Signature]
		);
		proof.coordinator_worker = key(11).public();
		assert_eq!(
			deviations_on(&proof, &asked(), operators()),
			[Name::Coordinator],
			"a stranger's valid signature"
		);
	}

	#[test]
	fn an_unsorted_or_doubled_or_weightless_list_is_caught() {
		let unsorted = planted(|proof| {
			proof.eligible.swap(0, 3);
			cover_up(proof);
		});
		assert_eq!(unsorted, [Name::ListOrder]);
		let doubled = planted(|proof| {
			proof.eligible.insert(0, proof.eligible[0].clone());
			cover_up(proof);
		});
		assert_eq!(doubled, [Name::ListOrder]);
		let weightless = planted(|proof| {
			proof.eligible[0].weight.0 = 0;
			cover_up(proof);
		});
		assert!(weightless.contains(&Name::ListOrder), "{weightless:?}");
	}

	#[test]
	fn a_missing_or_wrong_root_and_total_are_caught() {
		let missing = planted(|proof| proof.assignment.eligible_root = H256::zero());
		assert_eq!(missing, [Name::EligibleRoot]);
		let total = planted(|proof| proof.assignment.total_weight += 1);
		assert!(total.contains(&Name::TotalWeight), "{total:?}");
		let nothing = planted(|proof| proof.assignment.total_weight = 0);
		assert_eq!(nothing, [Name::TotalWeight, Name::DrawnMiner]);
	}

	#[test]
	fn strangers_on_the_list_are_caught() {
		let stranger = planted(|proof| {
			proof.eligible.push(EligibleEntry {
				miner: account(99),
				weight: Amount(CUC),
			});
			cover_up(proof);
		});
		assert!(stranger.contains(&Name::EligibleMiners), "{stranger:?}");
		let coordinator = planted(|proof| {
			let weight = Amount(3_000_000 * CUC);
			proof.eligible.push(EligibleEntry {
				miner: account(10),
				weight,
			});
			cover_up(proof);
		});
		assert!(
			coordinator.contains(&Name::EligibleMiners),
			"{coordinator:?}"
		);
		let mut inactive = operators();
		inactive[0].active = false;
		let proof = honest(Balance::MAX, "key");
		assert_eq!(
			deviations_on(&proof, &asked(), inactive),
			[Name::EligibleMiners]
		);
	}

	#[test]
	fn wrong_randomness_block_and_chain_are_caught() {
		let randomness = planted(|proof| {
			proof.assignment.randomness = H256::repeat_byte(66);
			cover_up(proof);
		});
		assert_eq!(randomness, [Name::Randomness]);
		assert_eq!(
			planted(|proof| proof.assignment.block_number = 6),
			[Name::Block]
		);
		assert_eq!(
			planted(|proof| proof.assignment.block_hash = H256::zero()),
			[Name::Block]
		);
		assert_eq!(
			planted(|proof| proof.genesis_hash = H256::zero()),
			[Name::Chain]
		);
	}

	#[test]
	fn a_worker_that_is_not_the_miners_is_caught() {
		assert_eq!(
			planted(|proof| proof.assignment.worker = key(77).public()),
			[Name::MinerWorker]
		);
	}

	#[test]
	fn an_id_or_spec_of_the_coordinators_choosing_is_caught() {
		let other_id = planted(|proof| {
			proof.assignment.task = TaskId([9; 16]);
			cover_up(proof);
		});
		assert_eq!(other_id, [Name::Subject, Name::TaskId]);
		let other_nonce = planted(|proof| proof.id_nonce = "tried a thousand".into());
		assert_eq!(other_nonce, [Name::TaskId]);
		// A consistent proof, but not from the key the app gave.
		let ground = honest(Balance::MAX, "ground");
		let found = deviations_on(&ground, &asked(), operators());
		assert_eq!(found, [Name::Subject, Name::TaskId]);
		assert_eq!(
			planted(|proof| proof.assignment.attempt = 1).first(),
			Some(&Name::Subject)
		);
		let mut other = asked();
		other.spec = Some(TaskSpec {
			prompt: "a blue apple".into(),
			..spec()
		});
		let proof = honest(Balance::MAX, "key");
		assert_eq!(deviations_on(&proof, &other, operators()), [Name::Spec]);
		let model = planted(|proof| proof.assignment.model = H256::zero());
		assert_eq!(model, [Name::Spec]);
	}

	#[test]
	fn a_coordinator_that_is_none_is_caught() {
		let proof = honest(Balance::MAX, "key");
		for change in [
			(|coordinator: &mut Operator| coordinator.active = false) as fn(&mut Operator),
			|coordinator| coordinator.worker = Some(key(12).public()),
			|coordinator| coordinator.role = Role::Validator,
			|coordinator| coordinator.account = account(98),
		] {
			let mut operators = operators();
			change(&mut operators[4]);
			assert_eq!(
				deviations_on(&proof, &asked(), operators),
				[Name::Coordinator]
			);
		}
	}

	proptest! {
		/// Honest draws pass whatever the cap, and a changed weight never does.
		#[test]
		fn caps_are_recognised_and_changed_weights_are_not(
			cap in 1u128..200_000,
			nonce in "[a-z]{1,12}",
			// Not the largest: that one lowered looks like a lower cap, which is the coordinator's to choose.
			index in 0usize..3,
			less in 1u128..30_000,
		) {
			let proof = honest(cap * CUC, &nonce);
			let asked = Asked::default();
			prop_assert_eq!(deviations_on(&proof, &asked, operators()), []);
			let mut cheating = proof;
			let weight = cheating.eligible[index].weight.0;
			cheating.eligible[index].weight.0 = weight.saturating_sub(less * CUC).max(1);
			prop_assume!(cheating.eligible[index].weight.0 < weight);
			cover_up(&mut cheating);
			prop_assert_eq!(deviations_on(&signed(cheating), &asked, operators()), [Name::Weights]);
		}
	}
}
